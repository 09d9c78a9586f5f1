/* How tuned values follow their gradients: one row per optimiser (ar_optimizer), on multiples of the step's
 * unit. */
#ifndef AR_QUANT_OPTIMIZER_H
#define AR_QUANT_OPTIMIZER_H
#include "engine.h"

/* What an optimiser remembers of one tensor; NULL what it does not need. */
typedef struct ar__moments {
    ar_tensor *mean, *square;
} ar__moments;

typedef struct ar__optimizer {
    ar_optimizer kind;
    int32_t iters;
    ar_tensor *step;  /* (1) i32, the caller's */
    ar_tensor *rates; /* adam: (iters, 2) */
} ar__optimizer;

/* The rate of sign steps where none is given, in 1/iters: 2 in linears of at most 3 bits with 1000 steps or
 * more, else 1. */
double ar__default_rate(int32_t iters, int32_t bits);
/* On failure deinit is due all the same. step: counted by the caller's graphs. */
ar_status ar__optimizer_init(ar__optimizer *o, ar_device *device, ar_optimizer kind, int32_t iters,
                             ar_tensor *step);
void ar__optimizer_deinit(ar__optimizer *o);
/* Zeroed moments for one tensor of these dims; on failure deinit is due all the same. */
ar_status ar__moments_init(ar__moments *m, const ar__optimizer *o, ar_device *device, int32_t dims,
                           const int64_t *dim);
void ar__moments_deinit(ar__moments *m);
/* Appends p's update by gradient d (any positive scale), kept within [lo, hi]. */
ar_status ar__optimizer_step(const ar__optimizer *o, ar_graph *g, ar_tensor *p, const ar_tensor *d,
                             const ar__moments *m, float lo, float hi);
#endif
