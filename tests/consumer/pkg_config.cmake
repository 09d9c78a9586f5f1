# Compiles project/consumer.c with nothing but a compiler and pkg-config, against the shared and the static
# library.
set(ENV{PKG_CONFIG_PATH} ${STAGE}/${LIBDIR}/pkgconfig)
file(MAKE_DIRECTORY ${WORK})
foreach(kind shared static)
    set(flags "")
    if(kind STREQUAL static)
        set(flags --static)
    endif()
    execute_process(COMMAND pkg-config ${flags} --cflags --libs anyround OUTPUT_VARIABLE flags
        OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
    if(kind STREQUAL static) # pkg-config names -lanyround; with both kinds in one folder the file decides
        string(REPLACE "-lanyround" "${STAGE}/${LIBDIR}/libanyround.a" flags "${flags}")
    endif()
    separate_arguments(flags UNIX_COMMAND "${flags}")
    execute_process(COMMAND ${CC} -std=c11 -Wall -Wextra -Werror ${SOURCE}/consumer.c
        -o ${WORK}/pc_${kind} ${flags}
        COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND ${CMAKE_COMMAND} -E env LD_LIBRARY_PATH=${STAGE}/${LIBDIR} ${WORK}/pc_${kind}
        COMMAND_ERROR_IS_FATAL ANY)
endforeach()
