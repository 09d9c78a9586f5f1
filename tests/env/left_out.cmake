# cmake -DSHADERS=dir -DEMBED=embed_kernel.cmake -DGLSLANG=program -DFAILS=program -DOUT=dir -P left_out.cmake
# FAILS, a glslang that compiles nothing, stops the build at a kernel that must be there and leaves out a
# variant, with a remark and without SPIR-V in the row; a good one leaves out nothing.
file(MAKE_DIRECTORY ${OUT})
function(embed name optional program)
    execute_process(COMMAND ${CMAKE_COMMAND} -DNAME=${name} -DSHADERS=${SHADERS} -DOUT=${OUT}
        -DOPTIONAL=${optional} -DGLSLANG=${program}
        -P ${EMBED} RESULT_VARIABLE bad OUTPUT_VARIABLE log ERROR_VARIABLE log)
    set(bad ${bad} PARENT_SCOPE)
    set(log ${log} PARENT_SCOPE)
endfunction()
function(row_has name text)
    file(READ ${OUT}/${name}.row.h row)
    string(FIND "${row}" "${text}" at)
    if(at EQUAL -1)
        message(FATAL_ERROR "${name}.row.h: expected ${text}, found ${row}")
    endif()
endfunction()
embed(gemm OFF ${FAILS})
if(bad EQUAL 0)
    message(FATAL_ERROR "gemm was left out")
endif()
embed(gemm_lanes ON ${FAILS})
if(NOT bad EQUAL 0 OR NOT log MATCHES "kernel gemm_lanes is left out")
    message(FATAL_ERROR "gemm_lanes: ${bad}, ${log}")
endif()
row_has(gemm_lanes "ar__cl_gemm_lanes, 0, 0,")
embed(gemm_lanes ON ${GLSLANG})
if(NOT bad EQUAL 0 OR log MATCHES "left out")
    message(FATAL_ERROR "gemm_lanes: ${bad}, ${log}")
endif()
row_has(gemm_lanes "ar__cl_gemm_lanes, ar__spv_gemm_lanes, ")
# and configuring tells it already
execute_process(COMMAND ${CMAKE_COMMAND} -S ${SHADERS}/.. -B ${OUT}/configured -DBUILD_TESTING=OFF
    -DAR_GLSLANG=${FAILS} RESULT_VARIABLE bad OUTPUT_QUIET ERROR_VARIABLE log)
if(NOT bad EQUAL 0 OR NOT log MATCHES "left out of the Vulkan build[^\n]* gemm_lanes,")
    message(FATAL_ERROR "configuring: ${bad}, ${log}")
endif()
