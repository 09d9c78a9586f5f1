/* Taps: what is taken of every input of a linear while the float chain passes a block. A tap makes one tensor
 * per linear and adds to it what it sees; a method says which it wants of which linear. */
#ifndef AR_QUANT_TAP_H
#define AR_QUANT_TAP_H
#include "core.h"

/* A row of taps.def; the tensor's shape is its own affair. */
typedef struct ar__tap {
    const char *name;
    bool (*applies)(const ar_scheme *scheme); /* of these linears' inputs; NULL = of all */
    ar_status (*create)(ar_tensor **t, ar_device *device,
                        const ar_linear *lin);                          /* zeros, or NULL if it fails */
    ar_status (*record)(ar_graph *g, ar_tensor *t, const ar_tensor *x); /* t += what x (N, I) shows, in g */
    ar_status (*finish)(ar_tensor *t);                                  /* when all data has passed */
} ar__tap;
#define AR_TAP(name) extern const ar__tap ar__tap_##name;
#include "taps.def"
#undef AR_TAP
typedef enum ar__tap_id {
#define AR_TAP(name) AR__TAP_##name,
#include "taps.def"
#undef AR_TAP
    AR__TAP_COUNT
} ar__tap_id;
_Static_assert(AR__TAP_COUNT <= 32, "a method declares its taps as bits of 32");
/* The bit of a row, as in ar_method.taps. */
#define AR__TAP(name) (1u << AR__TAP_##name)

/* One tap of one block: a hook that does as its base does, once it has looked. */
typedef struct ar__tap_layer {
    const ar__tap *tap;
    ar_tensor *list[AR_MAX_LINEARS]; /* NULL where not wanted */
    ar_hook hook;
} ar__tap_layer;
typedef struct ar__taps {
    ar__tap_layer layers[AR__TAP_COUNT];
    const ar_hook *top;
} ar__taps;
/* Of what a method declares, what applies to a linear under scheme: bits as well. */
uint32_t ar__taps_of(uint32_t declared, const ar_scheme *scheme);
/* Installs on base what wanted[i], such bits, says of linear i; base outlives it, and *t does not move.
 * Run the block forward through ar__taps_hook over the data (a last, incomplete batch counts its old rows
 * again), then finish. On failure deinit is due all the same. Errors: the device's; MEMORY. */
ar_status ar__taps_init(ar__taps *t, ar_device *device, const ar_block *block, const ar_hook *base,
                        const uint32_t *wanted);
/* The topmost of the stack, or base where nothing is wanted. */
const ar_hook *ar__taps_hook(const ar__taps *t);
ar_status ar__taps_finish(ar__taps *t);
/* What a tap made of linear i's input; NULL where it was not wanted, or t is NULL. */
const ar_tensor *ar__taps_at(const ar__taps *t, ar__tap_id k, int32_t i);
/* Moments (I) of linear i's input from elsewhere, which are normalized in place, become what the tap
 * importance, wanted there, made of it. Errors: the device's. */
ar_status ar__importance_take(ar__taps *t, float *moments, int32_t i);
void ar__taps_deinit(ar__taps *t); /* also of zeros */
#endif
