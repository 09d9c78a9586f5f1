# Configures, builds and runs project/ with find_package(anyround) pointed at STAGE.
file(REMOVE_RECURSE ${WORK}/project)
foreach(step
    "-S;${SOURCE};-B;${WORK}/project;-DCMAKE_PREFIX_PATH=${STAGE};-DCMAKE_C_COMPILER=${CC};\
-DEXAMPLES=${HEADERS}/examples" "--build;${WORK}/project")
    execute_process(COMMAND ${CMAKE_COMMAND} ${step} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
execute_process(COMMAND ${CTEST} --output-on-failure --no-tests=error WORKING_DIRECTORY ${WORK}/project
    COMMAND_ERROR_IS_FATAL ANY)
