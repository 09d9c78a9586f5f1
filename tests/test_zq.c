/* Weights tuned through the quantizer: one step against the host, and whose error moves which linear.
 * ctest-labels: device */
#include "small_llama.h"
#include "op_check.h"
#include "ar_host.h"
#include "random_model.h"

enum { T = 16, SAMPLES = 8, LINEARS = 7, LAYERS = 2 };

static const ar_config small = {SMALL_LLAMA,      .hidden = 32, .intermediate = 64,
                                .layers = LAYERS, .heads = 4,   .head_dim = 8};
static const ar_scheme asym2 = {2, 32, AR_ZERO_INT, 0, AR_SUPER_NONE};

typedef struct outcome {
    uint8_t *codes[LAYERS][LINEARS];
    uint16_t *scales[LAYERS][LINEARS];
    uint8_t *zeros[LAYERS][LINEARS];
    double loss_first[LAYERS], loss_best[LAYERS];
} outcome;

static ar_status collect(void *ctx, const ar_block *block, ar_qlinear *const *linears,
                         const ar_block_report *report) {
    outcome *o = ctx;
    o->loss_first[block->index] = report->loss_first;
    o->loss_best[block->index] = report->loss_best;
    for (int32_t i = 0; i < block->linear_count; i++) {
        if (!linears[i]) continue;
        size_t codes = (size_t)(linears[i]->O * linears[i]->I),
               groups = (size_t)(linears[i]->O * linears[i]->groups);
        o->codes[block->index][i] = malloc(codes);
        o->scales[block->index][i] = malloc(2 * groups);
        o->zeros[block->index][i] = malloc(groups);
        memcpy(o->zeros[block->index][i], linears[i]->zeros, groups);
        memcpy(o->codes[block->index][i], linears[i]->codes, codes);
        memcpy(o->scales[block->index][i], linears[i]->scales, 2 * groups);
    }
    return AR_OK;
}

static void drop(outcome *o) {
    for (int b = 0; b < LAYERS; b++)
        for (int i = 0; i < LINEARS; i++) {
            free(o->codes[b][i]);
            free(o->scales[b][i]);
            free(o->zeros[b][i]);
        }
}

static bool all_but_the_last(void *ctx, const ar_block *block, int32_t i, ar_scheme *scheme) {
    (void)ctx, (void)scheme;
    return i + 1 < block->linear_count;
}

static const char *const *settings; /* name, value, ...; NULL at the end */

static void tune(outcome *o, ar_open_model *m, ar_device *device, const char *method, bool all) {
    static int32_t ids[SAMPLES * T];
    uint64_t state = 99;
    for (int i = 0; i < SAMPLES * T; i++) ids[i] = (int32_t)(check_random(&state) % 50);
    const ar_samples samples = {ids, SAMPLES, T};
    const ar_sink sink = {.block = collect, .ctx = o};
    ar_method_options options;
    ar_method_options_init(&options, ar_method_find(method));
    CHECK_OK(ar_method_options_set(&options, "batch", "4"));
    for (int k = 0; settings[k]; k += 2)
        CHECK_OK(ar_method_options_set(&options, settings[k], settings[k + 1]));
    const ar_quant_desc desc = {
        .scheme = asym2, .options = &options, .choose = all ? NULL : all_but_the_last};
    memset(o, 0, sizeof *o);
    CHECK_OK(options.method->run(&m->model, device, &samples, &desc, &sink, NULL));
}

static float rms_of(const float *w, int64_t count) {
    double sum = 0;
    for (int64_t n = 0; n < count; n++) sum += (double)w[n] * (double)w[n];
    return (float)sqrt(sum / (double)count);
}

/* Adam's first step is as long whatever the gradient: a code is that of the weight moved up, or down. */
static void one_step(ar_device *device, void *ctx) {
    static const char *const set[] = {"iters", "1", "lr", "0.1", "select", "last", NULL};
    ar_open_model *m;
    outcome o;
    (void)ctx;
    settings = set;
    CHECK_OK(ar_random_model_open(&m, &small, 5));
    tune(&o, m, device, "zq-global", true);
    const ar_block *block = &m->model.blocks[0];
    int64_t moved = 0;
    for (int32_t i = 0; i < LINEARS; i++) {
        int64_t O = block->linears[i].O, I = block->linears[i].I;
        float *w = malloc((size_t)(O * I) * sizeof *w);
        ar_qlinear q;
        CHECK_OK(block->read_linear(block, w, i, 0, O));
        CHECK_OK(ar_qlinear_init(&q, &asym2, O, I));
        float rate = 0.1f * rms_of(w, O * I);
        CHECK_OK(ar_qlinear_rtn(&q, w));
        for (int64_t n = 0; n < O * I; n++) {
            int64_t group = n / I * q.groups + n % I / 32;
            float s = ar_f16_to_f32(o.scales[0][i][group]);
            int code = o.codes[0][i][n], found = 0;
            for (int side = -1; side <= 1; side++) {
                float at = rintf((w[n] + (float)side * rate) / s) + (float)o.zeros[0][i][group];
                found += code == (int)fminf(fmaxf(at, 0), 3);
            }
            moved += code != q.codes[n];
            if (!found) fail_msg("%s: linear %d, weight %d: code %d", check_name(device), i, (int)n, code);
        }
        ar_qlinear_deinit(&q);
        free(w);
    }
    assert_true(moved > 0);
    drop(&o);
    ar_random_model_close(m);
}
static void one_step_moves_weights_by_the_rate(void **state) {
    (void)state;
    check_each_device(one_step, NULL);
}

static bool same_linears(const outcome *a, const outcome *b, const ar_open_model *m, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        const ar_linear *l = &m->model.blocks[0].linears[i];
        if (memcmp(a->codes[0][i], b->codes[0][i], (size_t)(l->O * l->I)) ||
            memcmp(a->scales[0][i], b->scales[0][i], 2 * (size_t)(l->O * l->I / 32)))
            return false;
    }
    return true;
}

/* The last linear of block 0 stays float, or does not: alone, no other linear hears of it. */
static void heard(ar_device *device, void *ctx) {
    static const char *const set[] = {"iters", "20", "select", "last", NULL};
    ar_open_model *m;
    (void)ctx;
    settings = set;
    CHECK_OK(ar_random_model_open(&m, &small, 5));
    for (int global = 0; global < 2; global++) {
        outcome all, but;
        const char *method = global ? "zq-global" : "zq-local";
        tune(&all, m, device, method, true);
        tune(&but, m, device, method, false);
        assert_int_equal(same_linears(&all, &but, m, LINEARS - 1), !global);
        drop(&all);
        drop(&but);
    }
    ar_random_model_close(m);
}
static void a_linear_hears_of_the_others_in_zq_global_alone(void **state) {
    (void)state;
    check_each_device(heard, NULL);
}

static void lowered(ar_device *device, void *ctx) {
    static const char *const sets[][7] = {{"iters", "120", "lr", "0.01", NULL},
                                          {"iters", "120", "lr", "0.01", "minmax", "1", NULL}};
    ar_open_model *m;
    (void)ctx;
    CHECK_OK(ar_random_model_open(&m, &small, 5));
    for (int k = 0; k < 4; k++) {
        outcome o;
        settings = sets[k / 2];
        tune(&o, m, device, k % 2 ? "zq-global" : "zq-local", true);
        for (int b = 0; b < LAYERS; b++)
            if (!(o.loss_best[b] < 0.9 * o.loss_first[b]))
                fail_msg("%s, %d: block %d from %g to %g", check_name(device), k, b, o.loss_first[b],
                         o.loss_best[b]);
        drop(&o);
    }
    ar_random_model_close(m);
}
static void both_lower_their_loss(void **state) {
    (void)state;
    check_each_device(lowered, NULL);
}

static void what_has_no_effect_is_refused(void **state) {
    static const char *const wrong[][4] = {{"zq-local", "minmax_lr", "0.1"},
                                           {"zq-local", "loss", "shift"},
                                           {"zq-local", "stride", "1"},
                                           {"zq-global", "minmax", "2"},
                                           {"zq-global", "minmax_lr", "0.1"}};
    (void)state;
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        ar_method_options o;
        ar_method_options_init(&o, ar_method_find(wrong[k][0]));
        ar_status status = ar_method_options_set(&o, wrong[k][1], wrong[k][2]);
        if (status == AR_OK) status = ar_method_options_finish(&o);
        assert_int_equal(status, AR_ERR_USAGE);
    }
}

int main(int argc, char **argv) { /* test_zq [NAME]: the tests of that name only */
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_step_moves_weights_by_the_rate),
                                       cmocka_unit_test(a_linear_hears_of_the_others_in_zq_global_alone),
                                       cmocka_unit_test(both_lower_their_loss),
                                       cmocka_unit_test(what_has_no_effect_is_refused)};
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
