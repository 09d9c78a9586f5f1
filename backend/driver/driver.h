/* The contract between the backend and its drivers (driver_vk*.c, driver_cl.c, driver_null.c). A driver knows
 * buffers, pipelines and recorded command lists; it knows no op, no tensor and no policy (plan.c decides). */
#ifndef AR_DRIVER_H
#define AR_DRIVER_H
#include "ar_backend.h"

#define AR_MAX_BINDINGS 8  /* buffers of a kernel; the plan refuses devices that bind fewer */
#define AR_MAX_PARAMS   32 /* 4-byte words: 128 bytes, Vulkan's guaranteed minimum */
#define AR_MAX_SPECS    12

enum { AR_RO = 1, AR_WO = 2, AR_RW = 3 };

/* Bytes behind a binding that a view of it as texels may take in: none reads them, but barriers count them.
 */
#define AR_TEXEL_MORE 256

/* One kernel as the build embedded it; the table is generated from shaders/kernels.def and the kernel text.
 */
typedef struct ar__kernel {
    const char *name;
    const char *cl_source; /* dialect_cl.h + num.h + the kernel text */
    const uint32_t *spirv; /* NULL where the build had no compiler new enough */
    size_t spirv_words;
    int32_t binding_count, param_count, spec_count;
    uint8_t access[AR_MAX_BINDINGS]; /* AR_RO, AR_WO, AR_RW */
    const char *spec_names[AR_MAX_SPECS];
    uint32_t spec_defaults[AR_MAX_SPECS]; /* [0] is WGX, [1] is WGY */
    const char *cl_own; /* names that cl_source defines besides macros, by blanks; NULL = not known */
    uint32_t texels;    /* bits: bindings that this SPIR-V, for devices that want it so, reads as texels */
    const uint32_t *texel_spirv;
    size_t texel_words;
} ar__kernel;

typedef struct ar__drv ar__drv; /* an open device of some driver */
typedef struct ar__buffer ar__buffer;
typedef struct ar__pipeline ar__pipeline;
typedef struct ar__stream ar__stream; /* a recorded command list */

typedef struct ar__binding {
    ar__buffer *buffer;
    uint64_t offset, bytes;
} ar__binding;

/* One dispatch of a recorded list. */
typedef struct ar__command {
    const ar__pipeline *pipeline;
    const ar__kernel *kernel;
    ar__binding bind[AR_MAX_BINDINGS];
    uint32_t params[AR_MAX_PARAMS];
    uint32_t groups[3];
    bool barrier; /* wait for everything before it (all earlier shader and copy writes visible) */
    double ms;    /* estimated duration, for cutting submissions */
} ar__command;

typedef struct ar__driver {
    const char *name;
    /* Facts of every device; *count = 0 and a note when the loader or devices are missing. Never fails for
     * that. */
    ar_status (*list)(ar_device_facts *out, int32_t *count, int32_t capacity, char *note, size_t note_bytes);
    /* Behind a list and the open of what it found: gives up what was kept for that. NULL: nothing is. */
    void (*list_end)(void);
    ar_status (*open)(ar__drv **drv, const ar_device_facts *facts, const ar_plan *plan,
                      const ar_device_desc *desc);
    void (*close)(ar__drv *drv);
    ar_status (*buffer_create)(ar__drv *drv, ar__buffer **buffer, uint64_t bytes);
    void (*buffer_destroy)(ar__drv *drv, ar__buffer *buffer);
    /* Synchronous, after everything submitted so far. */
    ar_status (*write)(ar__drv *drv, ar__buffer *buffer, uint64_t offset, const void *src, uint64_t bytes);
    ar_status (*read)(ar__drv *drv, ar__buffer *buffer, uint64_t offset, void *dst, uint64_t bytes);
    ar_status (*pipeline_create)(ar__drv *drv, ar__pipeline **pipeline, const ar__kernel *kernel,
                                 const uint32_t *specs);
    /* The same for several at once, where that takes less than one by one; NULL = it does not. On failure
     * there is none. */
    ar_status (*pipelines_create)(ar__drv *drv, ar__pipeline **pipelines, const ar__kernel *const *kernels,
                                  const uint32_t (*specs)[AR_MAX_SPECS], int32_t count);
    void (*pipeline_destroy)(ar__drv *drv, ar__pipeline *pipeline);
    /* Records commands; cut into submissions of at most submit_ms estimated work (desc or plan). The array is
     * not kept. *submissions says how many. */
    ar_status (*stream_create)(ar__drv *drv, ar__stream **stream, const ar__command *commands, int32_t count,
                               int32_t *submissions);
    void (*stream_destroy)(ar__drv *drv, ar__stream *stream);
    ar_status (*submit)(ar__drv *drv, ar__stream *stream);
    ar_status (*wait)(ar__drv *drv);
    /* Runs the stream once, each command timed: us[count]. *wall says host time was used. */
    ar_status (*profile)(ar__drv *drv, ar__stream *stream, double *us, bool *wall);
} ar__driver;

#define AR_DRIVER(name) extern const ar__driver ar__driver_##name;
#include "drivers.def"
#undef AR_DRIVER
#endif
