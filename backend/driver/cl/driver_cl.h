/* Shared by driver_cl*.c only: the run-time table of OpenCL entry points and the open device. */
#ifndef AR_DRIVER_CL_H
#define AR_DRIVER_CL_H
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include "cache.h"
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

typedef struct ar__cl_set ar__cl_set; /* driver_cl_set.c */

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
    ar__cl_set *sets;
};

struct ar__pipeline {
    cl_program program; /* its own, or its set's */
    const ar__kernel *kernel;
    uint32_t specs[AR_MAX_SPECS];
    size_t group[3];    /* items per group */
    char base[256];     /* options without specialization values */
    char options[1024]; /* with them: what a program of this kernel alone is built with */
    char entry[64];     /* the kernel's name in the program */
    bool store_at_end;  /* its binary is not kept yet */
    ar__cl_set *set;    /* NULL = alone in its program */
    int32_t member;     /* of the set */
    bool is_kept;       /* the cache says that it is in its set */
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

#define AR_CL_VERSION_BYTES 800
/* The identity of a cache file of that kernel (NULL: of source_hash 0); version holds AR_CL_VERSION_BYTES. */
ar__cache_id ar__cl_cache_id(const ar__drv *drv, const ar__kernel *kernel, const char *options,
                             char *version);
/* A built program from the cache, or NULL: a binary the driver refuses is a miss like any other. */
cl_program ar__cl_program_cached(ar__drv *drv, const char *kind, const ar__cache_id *id, const char *options);
/* A program of this kernel alone. Errors: DEVICE, with the compiler's words. */
ar_status ar__cl_program_build(ar__drv *drv, cl_program *program, const ar__kernel *kernel,
                               const char *options);
/* Whether the program's binary was to be had, and stored unless that failed. */
bool ar__cl_program_keep(ar__drv *drv, const char *kind, cl_program program, const ar__cache_id *id);

/* ---- driver_cl_set.c ---- */

/* Builds pipelines of equal base options as one program; false, and nothing has happened, where it does not
 * build. */
bool ar__cl_set_build(ar__drv *drv, ar__pipeline *const *members, int32_t count);
/* Gives p the program that the cache says it is in, if it does. id: of p's kernel and options. */
bool ar__cl_set_find(ar__drv *drv, ar__pipeline *p, const ar__cache_id *id);
/* p leaves its set; what is not in the cache is put there. */
void ar__cl_set_leave(ar__drv *drv, ar__pipeline *p);

/* ---- driver_cl_pipeline.c ---- */

ar_status ar__cl_pipeline_create(ar__drv *drv, ar__pipeline **pipeline, const ar__kernel *kernel,
                                 const uint32_t *specs);
ar_status ar__cl_pipelines_create(ar__drv *drv, ar__pipeline **pipelines, const ar__kernel *const *kernels,
                                  const uint32_t (*specs)[AR_MAX_SPECS], int32_t count);
void ar__cl_pipeline_destroy(ar__drv *drv, ar__pipeline *pipeline);
#endif
