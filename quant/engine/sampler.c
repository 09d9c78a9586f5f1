/* Which calibration samples are held out, and which each step sees: shuffle, hand out consecutive slices,
 * shuffle again when fewer than a batch remain, with counter-based random numbers. */
#include "engine.h"
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

ar_status ar__sample_split_make(ar_sample_split *s, const ar__tune_desc *desc, int32_t count) {
    int32_t held = count / 16 < 1 ? 1 : count / 16 > 8 ? 8 : count / 16;
    *s = (ar_sample_split){.train = count, .select = desc->select};
    if (desc->select == AR_SELECT_HELDOUT && desc->heldout > AR_MAX_HELDOUT)
        return ar__fail(AR_ERR_USAGE, "held-out samples: found %d, expected at most %d", (int)desc->heldout,
                        AR_MAX_HELDOUT);
    if (desc->select == AR_SELECT_HELDOUT && !desc->order && desc->heldout >= count)
        return ar__fail(AR_ERR_USAGE,
                        "held-out samples: found %d, expected fewer than the %d samples there are",
                        (int)desc->heldout, (int)count);
    if (s->select == AR_SELECT_HELDOUT && (desc->order || count == 1)) s->select = AR_SELECT_BATCH;
    if (s->select == AR_SELECT_HELDOUT) s->held = desc->heldout > 0 ? desc->heldout : held;
    s->train = count - s->held;
    s->batch = desc->batch > 0 ? desc->batch : 8;
    if (s->batch > s->train) s->batch = s->train;
    return AR_OK;
}

ar_status ar__sample_order(int32_t *order, int32_t iters, int32_t batch, int32_t count, uint64_t seed,
                           int32_t block) {
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
