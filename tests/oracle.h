/* Runs of the independent SignRound implementation (../shared/reference/oracle.md, PyTorch on a CPU) and what
 * it takes to repeat them: its calibration windows and its sample order, which is that of Python's `random`.
 */
#ifndef AR_ORACLE_H
#define AR_ORACLE_H
#include "op_check.h"
#include "ar_host.h"
#include "tune_method.h"
#include "temp_files.h"

enum { ORACLE_BLOCKS = 5, ORACLE_ITERS = 200, ORACLE_BATCH = 8, ORACLE_T = 512 };

typedef struct oracle_run {
    const char *model, *setting; /* "W4g32s": bits, group, s = symmetric */
    int32_t seed;
    double first[2]; /* loss of the first batch of blocks 0 and 1; block 1 sees the tuned block 0 */
} oracle_run;

static const oracle_run oracle_runs[] = {
    {"tinystories-656K-hf", "W4g32s", 42, {2.09925, 8.99644}},
    {"tinystories-656K-hf", "W3g32", 42, {8.49567, 40.7696}},
    {"tinystories-656K-hf", "W2g32", 42, {49.4464, 230.965}},
    {"tinystories-656K-hf", "W2g128", 42, {71.164, 350.887}},
    {"tinystories-656K-hf", "W4g32", 42, {1.84774, 8.57322}},
    {"tinystories-656K-hf", "W4g128", 42, {2.82768, 13.178}},
    {"tinystories-656K-hf", "W3g128", 42, {13.5137, 53.691}},
    {"tinystories-656K-hf", "W2g32s", 42, {46.2965, 145.959}},
    {"tinystories-656K-hf", "W4g32s", 1, {2.08927, 9.38774}},
    {"tinystories-656K-hf", "W3g32", 1, {8.35028, 38.8198}},
    {"tinystories-656K-hf", "W2g32", 1, {48.3808, 230.172}},
    {"tinystories-656K-hf", "W4g128", 1, {2.78311, 13.7835}},
    {"stories260K-hf", "W4g32s", 42, {0.00213538, 0.00754462}},
    {"stories260K-hf", "W3g32", 42, {0.00979606, 0.0283481}},
    {"stories260K-hf", "W2g32", 42, {0.0541879, 0.140152}},
    {"stories260K-hf", "W2g128", 42, {0.0714224, 0.169447}},
    {"stories260K-hf", "W4g128", 42, {0.00294035, 0.00846347}},
};
enum {
    ORACLE_RUNS = sizeof oracle_runs / sizeof *oracle_runs,
    ORACLE_QUICK = 4
}; /* the first are those of every tier */

static inline ar_scheme oracle_scheme(const char *setting) {
    int bits = 0, group = 0;
    char s = 0;
    int found = sscanf(setting, "W%dg%d%c", &bits, &group, &s);
    assert_true(found >= 2);
    return (ar_scheme){bits, group, s == 's' ? AR_ZERO_SYM : AR_ZERO_INT, 0, AR_SUPER_NONE};
}

static inline int32_t oracle_count(const char *model) {
    return strcmp(model, "stories260K-hf") == 0 ? 128 : 64;
}

static inline void oracle_samples(ar_samples *s, const ar_open_model *m, ar_device *device,
                                  const char *model) {
    CHECK_OK(ar_calib_make(s, m, device, shared_data("text/tinystories/tinystories_v1_sample.txt"),
                           oracle_count(model), ORACLE_T, 0, NULL));
    assert_int_equal(s->count, oracle_count(model));
    assert_int_equal(s->T, ORACLE_T);
}

/* ---- random.Random(seed).shuffle: MT19937 (Matsumoto and Nishimura 1998), seeded by an array of one word
 * ---- */

typedef struct oracle_random {
    uint32_t state[624];
    int32_t at;
} oracle_random;

static inline void oracle_seed(oracle_random *r, uint32_t seed) {
    uint32_t *s = r->state;
    s[0] = 19650218u;
    for (uint32_t i = 1; i < 624; i++) s[i] = 1812433253u * (s[i - 1] ^ s[i - 1] >> 30) + i;
    uint32_t i = 1;
    for (int k = 0; k < 624; k++) {
        s[i] = (s[i] ^ (s[i - 1] ^ s[i - 1] >> 30) * 1664525u) + seed;
        if (++i == 624) s[0] = s[623], i = 1;
    }
    for (int k = 0; k < 623; k++) {
        s[i] = (s[i] ^ (s[i - 1] ^ s[i - 1] >> 30) * 1566083941u) - i;
        if (++i == 624) s[0] = s[623], i = 1;
    }
    s[0] = 0x80000000u;
    r->at = 624;
}

static inline uint32_t oracle_u32(oracle_random *r) {
    uint32_t *s = r->state;
    if (r->at == 624) {
        for (int i = 0; i < 624; i++) {
            uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % 624] & 0x7fffffffu);
            s[i] = s[(i + 397) % 624] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
        }
        r->at = 0;
    }
    uint32_t y = s[r->at++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

static inline void oracle_shuffle(oracle_random *r, int32_t *p, int32_t count) {
    for (int32_t i = count - 1; i > 0; i--) {
        int32_t bits = 0, j;
        while ((i + 1) >> bits) bits++;
        do j = (int32_t)(oracle_u32(r) >> (32 - bits));
        while (j > i);
        int32_t t = p[i];
        p[i] = p[j];
        p[j] = t;
    }
}

/* One block's batches, (iters, ORACLE_BATCH); the generator carries on from block to block. */
static inline void oracle_order(oracle_random *r, int32_t *order, int32_t iters, int32_t count) {
    int32_t p[128], next = 0;
    for (int32_t i = 0; i < count; i++) p[i] = i;
    oracle_shuffle(r, p, count);
    for (int32_t t = 0; t < iters; t++) {
        if (next + ORACLE_BATCH > count) {
            oracle_shuffle(r, p, count);
            next = 0;
        }
        for (int32_t b = 0; b < ORACLE_BATCH; b++) *order++ = p[next++];
    }
}

/* ---- comparing ---- */

static inline void oracle_check(const ar_device *device, const oracle_run *run, int32_t block, double found,
                                double expected, double within) {
    double off = found / expected - 1;
    print_message("%s %s %s seed %d block %d: %.6g, expected %.6g (%+.1e)\n", check_name(device), run->model,
                  run->setting, (int)run->seed, (int)block, found, expected, off);
    if (!(fabs(off) < within)) fail_msg("expected within %g", within);
}

/* ---- collecting first losses and codes ---- */

typedef struct oracle_sink {
    double first[ORACLE_BLOCKS];
    ar_qlinear *kept[AR_MAX_LINEARS];
    bool keeps;
    int32_t finished;
} oracle_sink;

static inline ar_qlinear *oracle_copy(const ar_qlinear *from) {
    ar_qlinear *q = calloc(1, sizeof *q);
    CHECK_OK(ar_qlinear_init(q, &from->scheme, from->O, from->I));
    memcpy(q->codes, from->codes, (size_t)(q->O * q->I));
    memcpy(q->scales, from->scales, (size_t)(q->O * q->groups) * 2);
    memcpy(q->zeros, from->zeros, (size_t)(q->O * q->groups));
    return q;
}

/* Keeps the first loss of every block, and of block 0 the codes. */
static inline ar_status oracle_keep(void *ctx, const ar_block *block, ar_qlinear *const *linears,
                                    const ar_block_report *report) {
    oracle_sink *s = ctx;
    s->first[block->index] = report->loss_first;
    for (int32_t i = 0; s->keeps && block->index == 0 && i < block->linear_count; i++)
        s->kept[i] = oracle_copy(linears[i]);
    return AR_OK;
}
static inline bool oracle_finished(void *ctx, int32_t block) {
    return block < ((oracle_sink *)ctx)->finished;
}
static inline ar_status oracle_load(void *ctx, const ar_block *block, ar_qlinear **linears) {
    for (int32_t i = 0; i < block->linear_count; i++) linears[i] = oracle_copy(((oracle_sink *)ctx)->kept[i]);
    return AR_OK;
}
static inline void oracle_sink_free(oracle_sink *s) {
    for (int32_t i = 0; i < AR_MAX_LINEARS; i++) ar_qlinear_free(s->kept[i]);
}

/* ---- the first loss of a block ---- */

/* The loss before the first update of block `limit` - 1 goes to sink; only the windows of its batch are
 * needed. */
static inline void oracle_one_step(ar_device *device, const ar_open_model *m, const ar_samples *all,
                                   const oracle_run *run, const int32_t order[ORACLE_BATCH], int32_t limit,
                                   const ar_sink *sink) {
    int32_t same[ORACLE_BATCH], ids[ORACLE_BATCH * ORACLE_T];
    for (int32_t i = 0; i < ORACLE_BATCH; i++) {
        memcpy(ids + i * ORACLE_T, all->ids + (int64_t)order[i] * ORACLE_T, ORACLE_T * sizeof *ids);
        same[i] = i;
    }
    ar__tune_desc desc = {.scheme = oracle_scheme(run->setting),
                          .iters = 1,
                          .batch = ORACLE_BATCH,
                          .select = AR_SELECT_BATCH,
                          .order = same,
                          .block_limit = limit};
    ar_samples batch = {ids, ORACLE_BATCH, ORACLE_T};
    CHECK_OK(tune_method("signround", &m->model, device, &batch, &desc, sink, NULL));
}

static inline void oracle_first_loss(ar_device *device, const ar_open_model *m, const ar_samples *all,
                                     const oracle_run *run) {
    oracle_random random;
    int32_t order[ORACLE_BATCH];
    oracle_seed(&random, (uint32_t)run->seed);
    oracle_order(&random, order, 1, all->count);
    oracle_sink kept = {0};
    oracle_one_step(device, m, all, run, order, 1, &(ar_sink){.block = oracle_keep, .ctx = &kept});
    oracle_check(device, run, 0, kept.first[0], run->first[0], 1e-3);
}
#endif
