/* OpenCL: its error codes as statuses. */
#include "driver_cl.h"

static const char *code_name(cl_int code) {
    switch (code) {
#define CL_CASE(name)                                                                                        \
    case name: return #name;
        CL_CASE(CL_DEVICE_NOT_FOUND)
        CL_CASE(CL_DEVICE_NOT_AVAILABLE)
        CL_CASE(CL_COMPILER_NOT_AVAILABLE)
        CL_CASE(CL_MEM_OBJECT_ALLOCATION_FAILURE)
        CL_CASE(CL_OUT_OF_RESOURCES)
        CL_CASE(CL_OUT_OF_HOST_MEMORY)
        CL_CASE(CL_BUILD_PROGRAM_FAILURE)
        CL_CASE(CL_MISALIGNED_SUB_BUFFER_OFFSET)
        CL_CASE(CL_INVALID_VALUE)
        CL_CASE(CL_INVALID_BUFFER_SIZE)
        CL_CASE(CL_INVALID_COMMAND_QUEUE)
        CL_CASE(CL_INVALID_MEM_OBJECT)
        CL_CASE(CL_INVALID_BINARY)
        CL_CASE(CL_INVALID_BUILD_OPTIONS)
        CL_CASE(CL_INVALID_KERNEL_NAME)
        CL_CASE(CL_INVALID_KERNEL_ARGS)
        CL_CASE(CL_INVALID_ARG_INDEX)
        CL_CASE(CL_INVALID_ARG_VALUE)
        CL_CASE(CL_INVALID_ARG_SIZE)
        CL_CASE(CL_INVALID_WORK_GROUP_SIZE)
        CL_CASE(CL_INVALID_WORK_ITEM_SIZE)
        CL_CASE(CL_INVALID_GLOBAL_WORK_SIZE)
#undef CL_CASE
    default: return "unnamed";
    }
}

ar_status ar__cl_fail(cl_int code, const char *what) {
    ar_status status = AR_ERR_DEVICE;
    if (code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_RESOURCES ||
        code == CL_INVALID_BUFFER_SIZE)
        status = AR_ERR_DEVICE_MEMORY;
    if (code == CL_OUT_OF_HOST_MEMORY) status = AR_ERR_MEMORY;
    if (code == CL_DEVICE_NOT_AVAILABLE || code == CL_INVALID_COMMAND_QUEUE) status = AR_ERR_DEVICE_LOST;
    return ar__fail(status, "cl: %s: OpenCL error %d (%s)", what, (int)code, code_name(code));
}
