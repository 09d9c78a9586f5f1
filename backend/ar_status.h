/* anyround backend: statuses, errors and data types, part of ar_backend.h. */
#ifndef AR_STATUS_H
#define AR_STATUS_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/* ---- status ---- */

#define AR_STATUS_LIST(X)                                                                                    \
    X(OK, 0, "ok")                                                                                           \
    X(ERR_ARG, -1, "bad argument")                                                                           \
    X(ERR_SHAPE, -2, "shape mismatch")                                                                       \
    X(ERR_DTYPE, -3, "wrong data type")                                                                      \
    X(ERR_MEMORY, -4, "out of host memory")                                                                  \
    X(ERR_DEVICE_MEMORY, -5, "out of device memory")                                                         \
    X(ERR_DEVICE, -6, "device failure")                                                                      \
    X(ERR_DEVICE_LOST, -7, "device lost")                                                                    \
    X(ERR_NO_DEVICE, -8, "no usable device")                                                                 \
    X(ERR_IO, -9, "input/output failure")                                                                    \
    X(ERR_FORMAT, -10, "bad or unsupported file")                                                            \
    X(ERR_UNSUPPORTED, -11, "not supported")                                                                 \
    X(ERR_USAGE, -12, "wrong usage")                                                                         \
    X(ERR_CHECK, -13, "check failed")                                                                        \
    X(ERR_INTERRUPTED, -14, "interrupted")

typedef enum ar_status {
#define AR_STATUS_ENUM(name, code, text) AR_##name = (code),
    AR_STATUS_LIST(AR_STATUS_ENUM)
#undef AR_STATUS_ENUM
} ar_status;

/* The one-line text of the latest failure on this thread (what, where, found, expected); "" if none. */
const char *ar_error(void);
/* The generic text of a status code; never NULL. */
const char *ar_status_text(ar_status status);
/* The library's version, "0.1.0". */
const char *ar_version(void);

/* ---- data types ---- */

typedef enum ar_dtype { AR_F32, AR_F16, AR_BF16, AR_I32, AR_U32, AR_I16, AR_U8, AR_DTYPE_COUNT } ar_dtype;

size_t ar_dtype_bytes(ar_dtype dtype);
const char *ar_dtype_name(ar_dtype dtype);
/* Exact conversions; f32 -> f16 and f32 -> bf16 round half to even, overflow to infinity. */
float ar_f16_to_f32(uint16_t h);
uint16_t ar_f32_to_f16(float f);
float ar_bf16_to_f32(uint16_t h);
uint16_t ar_f32_to_bf16(float f);

#ifdef __cplusplus
}
#endif
#endif
