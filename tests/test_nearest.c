/* What tuning is told beside: the loss of round to nearest on the samples that are held out, whatever tuning
 * starts from. The reference takes the weights that method rtn delivers, and its error on the host.
 * ctest-labels: device vulkan */
#include "tuned_model.h"
#include <math.h>

static const ar_config wide = {SMALL_LLAMA,      .hidden = 256, .intermediate = 256,
                               .layers = LAYERS, .heads = 4,    .head_dim = 64};

enum { HELD = 3 };

typedef struct result {
    float *W[LAYERS * LINEARS]; /* as delivered */
    ar_block_report reports[LAYERS];
} result;

static ar_status take(void *ctx, const ar_block *block, ar_qlinear *const *linears,
                      const ar_block_report *report) {
    result *r = ctx;
    for (int32_t i = 0; i < block->linear_count; i++) {
        float **W = &r->W[block->index * LINEARS + i];
        *W = malloc((size_t)(linears[i]->O * linears[i]->I) * sizeof **W);
        ar_qlinear_dequant(*W, linears[i]);
    }
    r->reports[block->index] = *report;
    return AR_OK;
}

static void result_free(result *r) {
    for (int k = 0; k < LAYERS * LINEARS; k++) free(r->W[k]);
}

static ar_status tune_soft(ar_block_report *report, float *history, const ar__tune_unit *unit,
                           ar_device *device, const ar__tune_desc *desc, const ar_observer *observer) {
    const ar__goal goal = {&ar__trainable_soft, &ar__loss_block_mse};
    return ar__tune(report, history, unit, &goal, device, desc, observer);
}

typedef struct subject {
    ar_open_model *m;
    int32_t ids[SAMPLES * T];
    ar_samples samples;
} subject;

static void model_open(subject *m, const ar_config *config) {
    uint64_t state = 99;
    CHECK_OK(ar_random_model_open(&m->m, config, 5));
    for (int i = 0; i < SAMPLES * T; i++)
        m->ids[i] = i % T == T - 1 ? 0 : 1 + (int32_t)(check_random(&state) % (uint64_t)(config->vocab - 1));
    m->samples = (ar_samples){m->ids, SAMPLES, T};
}

static void walk(result *r, const subject *m, ar_device *device, const ar__tune_desc *d,
                 ar__block_method method) {
    ar_sink sink = {.block = take, .ctx = r};
    *r = (result){0};
    CHECK_OK(ar__walk_blocks(&m->m->model, device, method ? &m->samples : NULL, d, &sink, NULL, method));
}

/* The mean square error of blocks first, first + 1, … with the weights of `rtn`, on the float chain. */
static double error_of(const result *rtn, const subject *m, ar_device *device, int32_t first, int32_t count) {
    const ar_model *model = &m->m->model;
    ar_chain x = {.fd = -1}, y = {.fd = -1};
    int64_t values = (int64_t)SAMPLES * T * model->hidden,
            from = (int64_t)(SAMPLES - HELD) * T * model->hidden;
    double sum = 0;
    CHECK_OK(ar_chain_init(&x, (int64_t)SAMPLES * T, model->hidden, NULL, 0));
    CHECK_OK(ar_chain_init(&y, (int64_t)SAMPLES * T, model->hidden, NULL, 0));
    CHECK_OK(ar_chain_embed(&x, model, &m->samples));
    for (int32_t b = 0; b < first + count; b++) {
        const ar_block *block = &model->blocks[b];
        ar_block_weights w;
        if (b == first) memcpy(y.data, x.data, (size_t)values * sizeof *y.data);
        CHECK_OK(ar_block_weights_init(&w, block, device));
        CHECK_OK(ar_chain_forward(&x, &x, device, block, &w.hook, T, 4));
        for (int32_t i = 0; b >= first && i < block->linear_count; i++)
            CHECK_OK(ar_tensor_write(w.linears[i], rtn->W[b * LINEARS + i], 0,
                                     block->linears[i].O * block->linears[i].I));
        if (b >= first) CHECK_OK(ar_chain_forward(&y, &y, device, block, &w.hook, T, 4));
        ar_block_weights_deinit(&w);
    }
    for (int64_t i = from; i < values; i++) {
        if (i / model->hidden % T == T - 1) continue; /* the last position counts nothing */
        double e = (double)y.data[i] - (double)x.data[i];
        sum += e * e;
    }
    ar_chain_deinit(&x);
    ar_chain_deinit(&y);
    return sum / (double)(values - from);
}

static bool near(double a, double b) { return fabs(a - b) <= 1e-5 * fabs(b); }

static const ar__tune_desc base = {.iters = 2,
                                   .batch = 4,
                                   .heldout = HELD,
                                   .seed = 42,
                                   .no_quantized_input = true, /* every block's is the float chain */
                                   .taps = AR__TAP(importance)};

static const struct {
    ar_scheme scheme;
    const ar_config *config;
} rows[] = {{{2, 32, AR_ZERO_INT, 0, AR_SUPER_NONE}, &small},
            {{4, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE}, &small},
            {{3, 32, AR_ZERO_F16MIN, 0, AR_SUPER_NONE}, &small},
            {{2, 16, AR_ZERO_F16MIN, 0, AR_SUPER_Q2_K}, &wide}};

static void beside(ar_device *device, void *ctx) {
    (void)ctx;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        subject m;
        result rtn, soft, rounding;
        ar__tune_desc d = base;
        d.scheme = rows[i].scheme;
        model_open(&m, rows[i].config);
        walk(&rtn, &m, device, &(ar__tune_desc){.scheme = d.scheme}, NULL);
        walk(&rounding, &m, device, &d, tune_rounding);
        d.searches = true;
        walk(&soft, &m, device, &d, tune_soft);
        for (int32_t b = 0; b < LAYERS; b++) {
            const ar_block_report *s = &soft.reports[b], *r = &rounding.reports[b];
            assert_true(near(s->heldout_nearest, error_of(&rtn, &m, device, b, 1)));
            assert_true(s->heldout_nearest == r->heldout_nearest);
            assert_true(s->heldout_first != s->heldout_nearest);
            assert_int_equal(r->heldout_first == r->heldout_nearest, d.scheme.super == AR_SUPER_NONE);
            assert_true(s->heldout_best <= s->heldout_first && r->heldout_best <= r->heldout_first);
        }
        result_free(&rtn);
        result_free(&soft);
        result_free(&rounding);
        ar_random_model_close(m.m);
    }
}
static void nearest_is_what_rtn_loses_on_the_heldout_slice(void **state) {
    (void)state;
    check_each_device(beside, NULL);
}

/* A window that goes on from another one: all of its blocks rounded to nearest. */
static void in_windows(ar_device *device, void *ctx) {
    (void)ctx;
    subject m;
    result rtn, tuned;
    ar__tune_desc d = base;
    d.scheme = rows[0].scheme;
    d.iters = 10;
    d.window = (ar_window){2, 1, 0};
    model_open(&m, &small);
    walk(&rtn, &m, device, &(ar__tune_desc){.scheme = d.scheme}, NULL);
    walk(&tuned, &m, device, &d, tune_rounding);
    const ar_block_report *r = &tuned.reports[0];
    assert_int_equal(r->window.count, 2);
    assert_true(near(r->heldout_nearest, error_of(&rtn, &m, device, r->window.first, r->window.count)));
    assert_true(r->heldout_first < r->heldout_nearest);
    result_free(&rtn);
    result_free(&tuned);
    ar_random_model_close(m.m);
}
static void nearest_of_a_window_is_that_of_its_blocks(void **state) {
    (void)state;
    check_each_device(in_windows, NULL);
}

/* Nothing held out: nothing is told. */
static void nothing_held(ar_device *device, void *ctx) {
    (void)ctx;
    subject m;
    result soft;
    ar__tune_desc d = base;
    d.scheme = rows[0].scheme;
    d.select = AR_SELECT_LAST;
    d.heldout = 0;
    d.searches = true;
    model_open(&m, &small);
    walk(&soft, &m, device, &d, tune_soft);
    assert_true(soft.reports[0].heldout_nearest == 0.0 && soft.reports[0].loss_first > 0.0);
    result_free(&soft);
    ar_random_model_close(m.m);
}
static void without_a_heldout_slice_nearest_is_not_told(void **state) {
    (void)state;
    check_each_device(nothing_held, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(nearest_is_what_rtn_loses_on_the_heldout_slice),
                                       cmocka_unit_test(nearest_of_a_window_is_that_of_its_blocks),
                                       cmocka_unit_test(without_a_heldout_slice_nearest_is_not_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
