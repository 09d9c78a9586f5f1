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
# Forms for extensions that no device here has and clang does not know: their functions are declared first.
# The target has halves and subgroups, as those devices do.
function(compile_form kernel std)
    set(defines ${ARGN})
    file(READ ${GEN}/${kernel}.cl body)
    string(REGEX MATCHALL "SPEC\\([0-9]+, *uint, *[A-Za-z0-9_]+, *[0-9]+\\)" specs "${body}")
    foreach(spec IN LISTS specs)
        string(REGEX MATCH "uint, *([A-Za-z0-9_]+), *([0-9]+)" _ "${spec}")
        set(name ${CMAKE_MATCH_1})
        set(value ${CMAKE_MATCH_2})
        if(NOT ";${defines}" MATCHES ";-D${name}=")
            list(APPEND defines -D${name}=${value}u)
        endif()
    endforeach()
    execute_process(COMMAND ${CLANG} -x cl -cl-std=${std} -target spir64 -Xclang -finclude-default-header
        -fsyntax-only -Wall -Wextra -Wno-unused-parameter -Wno-unused-function -Wno-unused-variable -Werror
        -Wno-ignored-pragmas -Wno-unknown-attributes -DVW=4 ${defines}
        -include ${CMAKE_CURRENT_LIST_DIR}/cl_forms.h ${GEN}/${kernel}.cl
        ERROR_VARIABLE log RESULT_VARIABLE status)
    if(NOT status EQUAL 0)
        message("${kernel}, ${ARGN}: ${log}")
        math(EXPR more "${bad} + 1")
        set(bad ${more} PARENT_SCOPE)
    endif()
endfunction()
foreach(lanes 8 16)
    math(EXPR items "8 * ${lanes}")
    set(subgroups -DAR_SUBGROUP=${lanes}u -DAR_SUBGROUP_MOST=32u -Dcl_intel_required_subgroup_size=1)
    foreach(kernel gemm_coop attention_coop attention_dq_coop attention_dkv_coop)
        compile_form(${kernel} CL3.0 -DAR_INTEL_MATRIX -DWGX=${items}u -DSUBGROUP=${lanes}u -DCM=8u
            -DCN=${lanes}u -DCK=16u ${subgroups})
    endforeach()
    compile_form(gemm_lanes CL3.0 -DAR_SHUFFLE -DWGX=${lanes}u -DLANES=${lanes}u -DTC=64u ${subgroups})
endforeach()
foreach(lanes 64 128) # "half" and "full"; no kernel's lanes are as many yet
    compile_form(gemm_lanes CL3.0 -DAR_SHUFFLE -DWGX=${lanes}u -DLANES=${lanes}u -DTC=512u
        -DAR_SUBGROUP=${lanes}u -DAR_SUBGROUP_MOST=128u -Dcl_qcom_reqd_sub_group_size=1)
endforeach()
foreach(code 4 8)
    compile_form(gemv_bytes_dot CL1.2 -DAR_QCOM_DOT -DCODE=${code}u)
    compile_form(gemv_bytes_dot CL3.0 -DAR_INT_DOT -DCODE=${code}u)
endforeach()
list(LENGTH kernels count)
if(bad OR count EQUAL 0)
    message(FATAL_ERROR "${bad} of ${count} kernels failed")
endif()
message(STATUS "${count} kernels")
