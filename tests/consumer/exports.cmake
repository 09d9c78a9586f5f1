# The shared library defines every function that a public header declares, and nothing else.
file(GLOB library ${STAGE}/${LIBDIR}/libanyround.so ${STAGE}/${LIBDIR}/libanyround.dylib)
execute_process(COMMAND ${NM} -gD --defined-only ${library} OUTPUT_VARIABLE table COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^ \n]+\n" found "${table}")
list(TRANSFORM found STRIP)
set(declared "")
foreach(header
        backend/ar_acts.h
        backend/ar_backend.h
        backend/ar_peak_ops.h
        backend/ar_soft.h
        backend/ar_step_ops.h
        backend/ar_status.h
        backend/ar_state_ops.h
        backend/ar_train_ops.h
        backend/ar_tuning.h
        host/ar_files.h
        host/ar_host.h
        host/ar_states_files.h
        quant/ar_finish.h
        quant/ar_quant.h
        quant/ar_states.h
        quant/ar_train.h
        quant/ar_window.h)
    file(READ ${HEADERS}/${header} text)
    string(REGEX REPLACE "/\\*[^*]*\\*+([^/*][^*]*\\*+)*/" "" text "${text}")
    string(REGEX MATCHALL "\n[a-z][A-Za-z0-9_ *]*[ *]ar_[A-Za-z0-9_]+\\(" prototypes "${text}")
    foreach(prototype IN LISTS prototypes)
        if(NOT prototype MATCHES "typedef")
            string(REGEX MATCH "ar_[A-Za-z0-9_]+\\($" name "${prototype}")
            string(REPLACE "(" "" name "${name}")
            list(APPEND declared ${name})
        endif()
    endforeach()
endforeach()
list(LENGTH declared count)
if(count LESS 50)
    message(FATAL_ERROR "only ${count} prototypes were read from the headers")
endif()
set(missing ${declared})
list(REMOVE_ITEM missing ${found})
set(extra ${found})
list(REMOVE_ITEM extra ${declared})
if(missing OR extra)
    message(FATAL_ERROR
        "${count} functions declared\nnot exported: ${missing}\nexported but not public: ${extra}")
endif()
message(STATUS "${count} public functions, all exported, nothing else")
