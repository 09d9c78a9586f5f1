/* OpenCL: its error codes as statuses. */
#include "driver_cl.h"

/* By number: headers older than a name do not know it. */
const char *ar__cl_error_name(cl_int code) {
    switch (code) {
#define AR_CL_ERROR(name, number)                                                                            \
    case number:                                                                                             \
        return #name;
#include "errors.def"
#undef AR_CL_ERROR
    default: return "no name in OpenCL";
    }
}

ar_status ar__cl_fail(cl_int code, const char *what) {
    ar_status status = AR_ERR_DEVICE;
    if (code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_RESOURCES ||
        code == CL_INVALID_BUFFER_SIZE)
        status = AR_ERR_DEVICE_MEMORY;
    if (code == CL_OUT_OF_HOST_MEMORY) status = AR_ERR_MEMORY;
    if (code == CL_DEVICE_NOT_AVAILABLE || code == CL_INVALID_COMMAND_QUEUE) status = AR_ERR_DEVICE_LOST;
    return ar__fail(status, "cl: %s: OpenCL error %d (%s)", what, (int)code, ar__cl_error_name(code));
}
