/* Which calibration samples each step sees: shuffle, hand out consecutive slices, shuffle again when fewer than
 * a batch remain (autoround.md 1.7), with our own counter-based random numbers. */
#include "methods.h"
#include <stdlib.h>

/* Fisher-Yates keyed by (seed, block, pass). */
static void shuffle(int32_t *p, int32_t count, uint64_t seed, int32_t block, int32_t pass) {
    uint64_t stream = ((uint64_t)(uint32_t)block << 32) | (uint32_t)pass;
    for (int32_t i = 0; i < count; i++) p[i] = i;
    for (int32_t i = count - 1; i > 0; i--) {
        int32_t j = (int32_t)(ar_random_unit(seed, stream, (uint64_t)i) * (i + 1));
        int32_t t = p[i];
        p[i] = p[j];
        p[j] = t;
    }
}

ar_status ar__sample_order(int32_t *order, int32_t iters, int32_t batch, int32_t count, uint64_t seed, int32_t block) {
    int32_t *p = ar__alloc((size_t)count, sizeof *p);
    if (!p) return AR_ERR_MEMORY;
    int32_t next = count, pass = 0;
    for (int32_t t = 0; t < iters; t++) {
        if (next + batch > count) {
            shuffle(p, count, seed, block, pass++);
            next = 0;
        }
        for (int32_t b = 0; b < batch; b++) order[t * batch + b] = p[next++];
    }
    free(p);
    return AR_OK;
}
