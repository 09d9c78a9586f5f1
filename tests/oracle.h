/* Runs of independent SignRound implementations (PyTorch on a CPU) and what it takes to repeat them: the
 * calibration windows and the sample order, which is that of Python's `random`. Small runs are
 * tests/golden/make_signround.py's and make_reference.py's; those of the table below belong to the larger
 * material. */
#ifndef AR_ORACLE_H
#define AR_ORACLE_H
#include "op_check.h"
#include "ar_host.h"
#include "tune_method.h"
#include "temp_files.h"

enum { ORACLE_BLOCKS = 5, ORACLE_ITERS = 200, ORACLE_BATCH = 8, ORACLE_T = 512 }; /* at most */

/* A model and how its runs were calibrated. */
typedef struct oracle_model {
    const char *name, *text, *windows; /* windows: ids in a file of their own instead of a text */
    int32_t count, T, batch, iters;
    bool committed; /* paths in this repository; else in the larger material */
} oracle_model;

static const oracle_model oracle_stories[] = {
    {"tinystories-656K-hf", "text/tinystories/tinystories_v1_sample.txt", NULL, 64, 512, 8, 200, false},
    {"stories260K-hf", "text/tinystories/tinystories_v1_sample.txt", NULL, 128, 512, 8, 200, false},
};

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

static inline const char *oracle_path(const oracle_model *of, const char *name) {
    return of->committed ? name : shared_data(name);
}

/* ---- a model, opened, and its windows ---- */

typedef struct oracle_story {
    const oracle_model *of;
    ar_open_model *m;
    ar_samples samples;
} oracle_story;

static inline void oracle_windows(ar_samples *s, const oracle_model *of) {
    ar_safetensors *st;
    CHECK_OK(ar_safetensors_open(&st, oracle_path(of, of->windows)));
    const ar_st_tensor *ids = ar_safetensors_find(st, "ids");
    assert_non_null(ids);
    assert_string_equal(ids->dtype, "I32");
    assert_int_equal(ids->bytes, (size_t)of->count * (size_t)of->T * sizeof *s->ids);
    *s = (ar_samples){malloc(ids->bytes), of->count, of->T};
    memcpy(s->ids, ids->data, ids->bytes);
    ar_safetensors_close(st);
}

/* The first windows of the text. */
static inline void oracle_head(ar_samples *s, const ar_open_model *m, const oracle_model *of) {
    ar_file f = {0};
    int32_t *ids = NULL;
    int64_t n = 0;
    CHECK_OK(ar_file_open(&f, oracle_path(of, of->text)));
    CHECK_OK(ar_tokenizer_encode(m->tokenizer, &ids, &n, (const char *)f.data, (size_t)f.bytes, false));
    ar_file_close(&f);
    assert_true(n >= (int64_t)of->count * of->T);
    *s = (ar_samples){ids, of->count, of->T};
}

static inline void oracle_open(oracle_story *s, const oracle_model *of) {
    *s = (oracle_story){.of = of};
    CHECK_OK(ar_model_open(&s->m, oracle_path(of, of->name)));
    if (of->windows)
        oracle_windows(&s->samples, of);
    else
        oracle_head(&s->samples, s->m, of);
    assert_int_equal(s->samples.count, of->count);
    assert_int_equal(s->samples.T, of->T);
}

static inline void oracle_close(oracle_story *s) {
    ar_samples_deinit(&s->samples);
    ar_model_close(s->m);
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

/* One block's batches, (iters, batch); the generator carries on from block to block. */
static inline void oracle_order(oracle_random *r, int32_t *order, const oracle_model *of) {
    int32_t p[128], next = 0;
    assert_true(of->count <= 128);
    for (int32_t i = 0; i < of->count; i++) p[i] = i;
    oracle_shuffle(r, p, of->count);
    for (int32_t t = 0; t < of->iters; t++) {
        if (next + of->batch > of->count) {
            oracle_shuffle(r, p, of->count);
            next = 0;
        }
        for (int32_t b = 0; b < of->batch; b++) *order++ = p[next++];
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
static inline void oracle_one_step(ar_device *device, const oracle_story *s, const oracle_run *run,
                                   const int32_t *order, int32_t limit, const ar_sink *sink) {
    const int32_t T = s->of->T, batch = s->of->batch;
    int32_t same[ORACLE_BATCH], ids[ORACLE_BATCH * ORACLE_T];
    for (int32_t i = 0; i < batch; i++) {
        memcpy(ids + i * T, s->samples.ids + (int64_t)order[i] * T, (size_t)T * sizeof *ids);
        same[i] = i;
    }
    ar__tune_desc desc = {.scheme = oracle_scheme(run->setting),
                          .iters = 1,
                          .batch = batch,
                          .select = AR_SELECT_BATCH,
                          .order = same,
                          .block_limit = limit};
    ar_samples first = {ids, batch, T};
    CHECK_OK(tune_method("signround", &s->m->model, device, &first, &desc, sink, NULL));
}

static inline void oracle_first_loss(ar_device *device, const oracle_story *s, const oracle_run *run) {
    oracle_random random;
    int32_t order[ORACLE_ITERS * ORACLE_BATCH];
    oracle_seed(&random, (uint32_t)run->seed);
    oracle_order(&random, order, s->of);
    oracle_sink kept = {0};
    oracle_one_step(device, s, run, order, 1, &(ar_sink){.block = oracle_keep, .ctx = &kept});
    oracle_check(device, run, 0, kept.first[0], run->first[0], 1e-3);
}

/* ---- round to nearest ---- */

/* One step over all windows: the state before the first update, round to nearest, is what `batch` keeps. */
static inline void oracle_errors(ar_device *device, const oracle_story *s, const oracle_run *run,
                                 const double *expected) {
    int32_t order[128];
    for (int32_t i = 0; i < s->samples.count; i++) order[i] = i;
    oracle_sink kept = {0};
    ar_sink sink = {.block = oracle_keep, .ctx = &kept};
    ar__tune_desc desc = {.scheme = oracle_scheme(run->setting),
                          .iters = 1,
                          .batch = s->samples.count,
                          .select = AR_SELECT_BATCH,
                          .order = order};
    CHECK_OK(tune_method("signround", &s->m->model, device, &s->samples, &desc, &sink, NULL));
    for (int32_t b = 0; b < s->m->model.block_count; b++)
        oracle_check(device, run, b, kept.first[b], expected[b], 1e-3);
}

/* ---- the other implementation's own tuned blocks ---- */

typedef struct oracle_dump {
    oracle_sink kept; /* first, so that oracle_keep and oracle_finished take a dump */
    ar_safetensors *file;
    ar_scheme scheme;
} oracle_dump;

static inline const void *oracle_dump_data(const oracle_dump *d, const char *name, const char *dtype,
                                           int64_t rows, int64_t columns) {
    const ar_st_tensor *t = ar_safetensors_find(d->file, name);
    if (!t) fail_msg("no tensor %s", name);
    assert_string_equal(t->dtype, dtype);
    assert_int_equal(t->dim_count, 2);
    assert_int_equal(t->dims[0], rows);
    assert_int_equal(t->dims[1], columns);
    return t->data;
}

/* A tensor (O, columns) of one linear. */
static inline const void *oracle_dump_part(const oracle_dump *d, const ar_block *block, int32_t i,
                                           const char *part, const char *dtype, int64_t columns) {
    const ar_linear *linear = &block->linears[i];
    const char *dot = strrchr(linear->name, '.');
    char name[128];
    snprintf(name, sizeof name, "%d.%s.%s", (int)block->index, dot ? dot + 1 : linear->name, part);
    return oracle_dump_data(d, name, dtype, linear->O, columns);
}

static inline ar_status oracle_dump_load(void *ctx, const ar_block *block, ar_qlinear **linears) {
    const oracle_dump *d = ctx;
    for (int32_t i = 0; i < block->linear_count; i++) {
        ar_qlinear *q = linears[i] = calloc(1, sizeof *q);
        CHECK_OK(ar_qlinear_init(q, &d->scheme, block->linears[i].O, block->linears[i].I));
        size_t codes = (size_t)(q->O * q->I), groups = (size_t)(q->O * q->groups);
        memcpy(q->codes, oracle_dump_part(d, block, i, "codes", "U8", q->I), codes);
        memcpy(q->scales, oracle_dump_part(d, block, i, "scales", "F16", q->groups), groups * 2);
        memcpy(q->zeros, oracle_dump_part(d, block, i, "zeros", "U8", q->groups), groups);
    }
    return AR_OK;
}

/* Every block with the oracle's tuned blocks before it, on the batch with which the oracle began it. */
static inline void oracle_behind_dump(ar_device *device, const oracle_story *s, const oracle_run *run,
                                      oracle_dump *d) {
    const ar_st_tensor *first = ar_safetensors_find(d->file, "first");
    const int32_t blocks = s->m->model.block_count;
    const char *orders = oracle_dump_data(d, "order", "I32", blocks, s->of->batch);
    ar_sink sink = {
        .block = oracle_keep, .finished = oracle_finished, .load = oracle_dump_load, .ctx = &d->kept};
    oracle_random random;
    assert_non_null(first);
    assert_string_equal(first->dtype, "F64");
    assert_int_equal(first->dims[0], blocks);
    oracle_seed(&random, (uint32_t)run->seed);
    d->scheme = oracle_scheme(run->setting);
    for (int32_t b = 0; b < blocks; b++) {
        int32_t order[ORACLE_ITERS * ORACLE_BATCH];
        double expected;
        oracle_order(&random, order, s->of);
        assert_memory_equal(order, orders + (size_t)b * (size_t)s->of->batch * sizeof *order,
                            (size_t)s->of->batch * sizeof *order);
        memcpy(&expected, first->data + (size_t)b * sizeof expected, sizeof expected);
        d->kept.finished = b;
        oracle_one_step(device, s, run, order, b + 1, &sink);
        oracle_check(device, run, b, d->kept.first[b], expected, 1e-5);
    }
}

/* ---- behind a block tuned here ---- */

/* At most 1 in 100 of block 0's codes are not those that the other implementation ended with. */
static inline void oracle_check_codes(const ar_device *device, const oracle_story *s, const oracle_run *run,
                                      const oracle_dump *d, ar_qlinear *const *kept) {
    const ar_block *block = &s->m->model.blocks[0];
    int64_t differ = 0, count = 0;
    for (int32_t i = 0; i < block->linear_count; i++) {
        const uint8_t *want = oracle_dump_part(d, block, i, "codes", "U8", kept[i]->I);
        for (int64_t j = 0; j < kept[i]->O * kept[i]->I; j++, count++) differ += kept[i]->codes[j] != want[j];
    }
    print_message("%s %s: %d of %d tuned codes differ\n", check_name(device), run->setting, (int)differ,
                  (int)count);
    assert_true(100 * differ <= count);
}

/* Block 0 with all batches of the run, then one step of block 1 with the run's next batch. Signs of gradients
 * near zero depend on the order of float sums, so two implementations tune block 0 to slightly different
 * weights, and block 1 starts from another input: hence the bound, 6 %. d: NULL, or
 * the run's tuned blocks, to be compared. */
static inline void oracle_behind_tuned_block(ar_device *device, const oracle_story *s, const oracle_run *run,
                                             const oracle_dump *d) {
    oracle_random random;
    int32_t *order = calloc((size_t)s->of->iters, ORACLE_BATCH * sizeof *order);
    oracle_sink kept = {.keeps = true};
    ar_sink sink = {.block = oracle_keep, .finished = oracle_finished, .load = oracle_load, .ctx = &kept};
    ar__tune_desc desc = {.scheme = oracle_scheme(run->setting),
                          .iters = s->of->iters,
                          .batch = s->of->batch,
                          .select = AR_SELECT_BATCH,
                          .order = order,
                          .block_limit = 1};
    oracle_seed(&random, (uint32_t)run->seed);
    oracle_order(&random, order, s->of);
    CHECK_OK(tune_method("signround", &s->m->model, device, &s->samples, &desc, &sink, NULL));
    oracle_check(device, run, 0, kept.first[0], run->first[0], 1e-3);
    if (d) oracle_check_codes(device, s, run, d, kept.kept);
    oracle_order(&random, order, s->of);
    desc.iters = 1;
    desc.block_limit = 2;
    kept.finished = 1;
    kept.keeps = false;
    CHECK_OK(tune_method("signround", &s->m->model, device, &s->samples, &desc, &sink, NULL));
    oracle_check(device, run, 1, kept.first[1], run->first[1], 0.06);
    oracle_sink_free(&kept);
    free(order);
}
#endif
