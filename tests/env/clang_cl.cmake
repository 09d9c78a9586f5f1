# Every kernel's OpenCL C (as the build made it) is OpenCL C 1.2 without a warning, at each vector width.
# SPECs are given their defaults, as the driver would. Macros of soft.h name values that some users leave.
file(GLOB kernels ${GEN}/*.cl)
set(bad 0)
foreach(kernel IN LISTS kernels)
    file(READ ${kernel} body)
    set(defines -DWGX=64u -DWGY=1u)
    string(REGEX MATCHALL "SPEC\\([0-9]+, *uint, *[A-Za-z0-9_]+, *[0-9]+\\)" specs "${body}")
    foreach(spec IN LISTS specs)
        string(REGEX MATCH "uint, *([A-Za-z0-9_]+), *([0-9]+)" _ "${spec}")
        list(FILTER defines EXCLUDE REGEX "^-D${CMAKE_MATCH_1}=")
        list(APPEND defines -D${CMAKE_MATCH_1}=${CMAKE_MATCH_2}u)
    endforeach()
    foreach(vw 4 8 16)
        execute_process(COMMAND ${CLANG} -x cl -cl-std=CL1.2 -Xclang -finclude-default-header -fsyntax-only
            -Wall -Wextra -Wno-unused-parameter -Wno-unused-function -Wno-unused-variable
            -Werror -DVW=${vw} ${defines} ${kernel}
            ERROR_VARIABLE log RESULT_VARIABLE status)
        if(NOT status EQUAL 0)
            message("${kernel}, VW ${vw}: ${log}")
            math(EXPR bad "${bad} + 1")
        endif()
    endforeach()
endforeach()
list(LENGTH kernels count)
if(bad OR count EQUAL 0)
    message(FATAL_ERROR "${bad} of ${count} kernels failed")
endif()
message(STATUS "${count} kernels")
