/* Shared by driver_cl*.c only: the run-time table of OpenCL entry points and the open device. */
#ifndef AR_DRIVER_CL_H
#define AR_DRIVER_CL_H
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include "internal.h"

/* Every entry point used; all of them are OpenCL 1.2 or older. Their types come from the prototypes: the
 * names of the pointer types differ between versions of the headers. */
/* clang-format off */
#define CL_ENTRY_POINTS(X)                                                                                   \
    X(GetPlatformIDs) X(GetPlatformInfo) X(GetDeviceIDs) X(GetDeviceInfo) X(CreateContext)                   \
    X(ReleaseContext) X(CreateCommandQueue) X(ReleaseCommandQueue) X(CreateBuffer) X(CreateSubBuffer)        \
    X(ReleaseMemObject) X(EnqueueWriteBuffer) X(EnqueueReadBuffer) X(EnqueueMapBuffer)                       \
    X(EnqueueUnmapMemObject)                                                                                 \
    X(CreateProgramWithSource) X(CreateProgramWithBinary) X(BuildProgram) X(GetProgramInfo)                  \
    X(GetProgramBuildInfo) X(ReleaseProgram) X(CreateKernel) X(ReleaseKernel) X(SetKernelArg)                \
    X(EnqueueNDRangeKernel) X(GetEventProfilingInfo) X(ReleaseEvent) X(Flush) X(Finish)
/* clang-format on */

typedef struct cl_table {
#define CL_MEMBER(name) __typeof__(&cl##name) name;
    CL_ENTRY_POINTS(CL_MEMBER)
#undef CL_MEMBER
} cl_table;

struct ar__drv {
    cl_table cl;
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
    ar_device_facts facts;
    ar_plan plan;
    double submit_ms;
    char platform_version[256], device_version[256]; /* for cache files */
    char *cache_dir;                                 /* NULL = no cache */
};

struct ar__pipeline {
    cl_program program;
    const ar__kernel *kernel;
    size_t group[3]; /* items per group */
    char options[1024];
    bool store_at_end; /* its binary is not kept yet */
};

/* ---- driver_cl_error.c ---- */

/* An OpenCL error as a status, with its name in the text. Running out of memory is DEVICE_MEMORY. */
ar_status ar__cl_fail(cl_int code, const char *what);
/* "CL_OUT_OF_RESOURCES" */
const char *ar__cl_error_name(cl_int code);
/* PoCL compiles in a folder. Where it cannot write there it tells no more than that there is no device, or
 * that a kernel does not build. */
#define AR_POCL "Portable Computing Language"
#define AR_POCL_CACHE                                                                                        \
    "PoCL needs a cache folder that it can write ($POCL_CACHE_DIR, else $XDG_CACHE_HOME/pocl or "            \
    "~/.cache/pocl), with room on its disk"

/* ---- driver_cl_find.c ---- */

ar_status ar__cl_list(ar_device_facts *out, int32_t *count, int32_t capacity, char *note, size_t note_bytes);
/* Fills cl, device, platform_version and device_version for the device that facts describe. */
ar_status ar__cl_find(ar__drv *drv, const ar_device_facts *facts);

/* ---- driver_cl_program.c ---- */

ar_status ar__cl_pipeline_create(ar__drv *drv, ar__pipeline **pipeline, const ar__kernel *kernel,
                                 const uint32_t *specs);
void ar__cl_pipeline_destroy(ar__drv *drv, ar__pipeline *pipeline);
#endif
