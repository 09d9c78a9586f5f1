/* A small random Llama, tuned; and what a method delivers of it. */
#ifndef AR_TEST_TUNED_MODEL_H
#define AR_TEST_TUNED_MODEL_H
#include "small_llama.h"
#include "op_check.h"
#include "ar_host.h"
#include "tune_method.h"
#include "random_model.h"

enum { T = 24, SAMPLES = 13, LINEARS = 7, LAYERS = 2 };

static const ar_config small = {SMALL_LLAMA,      .hidden = 64, .intermediate = 96,
                                .layers = LAYERS, .heads = 4,   .head_dim = 16};

/* So narrow that activations outweigh the weights' state: micro-batches save something. */
static const ar_config narrow = {SMALL_LLAMA,      .hidden = 16, .intermediate = 24,
                                 .layers = LAYERS, .heads = 4,   .head_dim = 4};

/* ---- collecting what a method delivers ---- */

typedef struct outcome {
    uint8_t *codes[LAYERS * LINEARS];
    uint16_t *scales[LAYERS * LINEARS];
    size_t elems[LAYERS * LINEARS], groups[LAYERS * LINEARS];
    ar_block_report reports[LAYERS];
    int32_t blocks;
} outcome;

static inline ar_status collect(void *ctx, const ar_block *block, ar_qlinear *const *linears,
                                const ar_block_report *report) {
    outcome *o = ctx;
    for (int32_t i = 0; i < block->linear_count; i++) {
        int32_t k = block->index * LINEARS + i;
        if (!linears[i]) continue;
        o->elems[k] = (size_t)(linears[i]->O * linears[i]->I);
        o->groups[k] = (size_t)(linears[i]->O * linears[i]->groups);
        o->codes[k] = malloc(o->elems[k]);
        o->scales[k] = malloc(o->groups[k] * 2);
        memcpy(o->codes[k], linears[i]->codes, o->elems[k]);
        memcpy(o->scales[k], linears[i]->scales, o->groups[k] * 2);
    }
    o->reports[block->index] = *report;
    o->blocks++;
    return AR_OK;
}

static inline void outcome_free(outcome *o) {
    for (int k = 0; k < LAYERS * LINEARS; k++) {
        free(o->codes[k]);
        free(o->scales[k]);
    }
    memset(o, 0, sizeof *o);
}

static inline size_t differing_codes(const outcome *a, const outcome *b) {
    size_t n = 0;
    for (int k = 0; k < LAYERS * LINEARS; k++) {
        assert_int_equal(a->elems[k], b->elems[k]);
        for (size_t i = 0; i < a->elems[k]; i++) n += a->codes[k][i] != b->codes[k][i];
        for (size_t i = 0; i < a->groups[k]; i++) n += a->scales[k][i] != b->scales[k][i];
    }
    return n;
}

static const ar__tune_desc asym2 = {
    .scheme = {2, 32, AR_ZERO_INT, 0, AR_SUPER_NONE}, .iters = 8, .batch = 4, .seed = 42};

static inline ar_status quantize_model(outcome *o, const ar_config *config, ar_device *device,
                                       const char *method, const ar__tune_desc *desc,
                                       const ar_observer *observer) {
    ar_open_model *m = NULL;
    int32_t ids[SAMPLES * T];
    uint64_t state = 99;
    for (int i = 0; i < SAMPLES * T; i++) ids[i] = (int32_t)(check_random(&state) % (uint64_t)config->vocab);
    ar_samples samples = {ids, SAMPLES, T};
    ar_sink sink = {.block = collect, .ctx = o};
    memset(o, 0, sizeof *o);
    CHECK_OK(ar_random_model_open(&m, config, 5));
    ar_status status = tune_method(method, &m->model, device, &samples, desc, &sink, observer);
    ar_random_model_close(m);
    return status;
}

static inline ar_status quantize(outcome *o, ar_device *device, const char *method, const ar__tune_desc *desc,
                                 const ar_observer *observer) {
    return quantize_model(o, &small, device, method, desc, observer);
}
#endif
