/* Scales of a whole model tuned behind the last block: codes stay, the divergence falls, minima and
 * super-blocks move too. ctest-labels: device */
#include "small_llama.h"
#include "op_check.h"
#include "ar_host.h"
#include "random_model.h"

enum { T = 12, SAMPLES = 5, LAYERS = 2, LINEARS = LAYERS * AR_MAX_LINEARS };

static const ar_config small = {SMALL_LLAMA,      .hidden = 256, .intermediate = 256,
                                .layers = LAYERS, .heads = 4,    .head_dim = 64};

/* Rounded to nearest; the first block's first linear stays float. */
static void round_all(ar_qlinear **list, ar_open_model *m, const ar_scheme *scheme) {
    for (int32_t b = 0; b < LAYERS; b++) {
        const ar_block *block = &m->model.blocks[b];
        for (int32_t i = 0; i < block->linear_count; i++) {
            int64_t O = block->linears[i].O, I = block->linears[i].I;
            float *W = malloc((size_t)(O * I) * sizeof *W);
            if (b + i == 0) {
                free(W);
                continue;
            }
            ar_qlinear *q = list[b * AR_MAX_LINEARS + i] = calloc(1, sizeof *q);
            CHECK_OK(block->read_linear(block, W, i, 0, O));
            CHECK_OK(ar_qlinear_init(q, scheme, O, I));
            CHECK_OK(ar_qlinear_rtn(q, W));
            free(W);
        }
    }
}

static size_t moved(const uint16_t *a, const uint16_t *b, int64_t count) {
    size_t n = 0;
    for (int64_t i = 0; a && i < count; i++) n += a[i] != b[i];
    return n;
}

static void check_scheme(ar_device *device, ar_open_model *m, const ar_samples *samples,
                         const ar_scheme *scheme) {
    ar_qlinear *before[LINEARS] = {NULL}, *after[LINEARS] = {NULL}, *again[LINEARS] = {NULL};
    const ar_finish_desc desc = {.steps = 8, .seed = 42};
    ar_finish_report r, same;
    size_t scales = 0, minima = 0, differ = 0;
    round_all(before, m, scheme);
    round_all(after, m, scheme);
    round_all(again, m, scheme);
    CHECK_OK(ar_finish_scales(&r, after, &m->model, device, samples, &desc, NULL));
    CHECK_OK(ar_finish_scales(&same, again, &m->model, device, samples, &desc, NULL));
    print_message("%d bits, kind %d: %g -> %g at step %d\n", (int)scheme->bits, (int)scheme->zero,
                  r.loss_first, r.loss_best, (int)r.best_step);
    assert_true(r.loss_best < r.loss_first && r.loss_best > 0.0);
    assert_true(r.loss_best == same.loss_best);
    for (int i = 0; i < LINEARS; i++) {
        const ar_qlinear *a = before[i], *b = after[i], *c = again[i];
        if (!a) continue;
        int64_t groups = a->O * a->groups, supers = a->O * a->supers;
        assert_memory_equal(a->codes, b->codes, (size_t)(a->O * a->I));
        if (a->zeros) assert_memory_equal(a->zeros, b->zeros, (size_t)groups);
        if (a->sub_scales) assert_memory_equal(a->sub_scales, b->sub_scales, (size_t)groups);
        scales += moved(a->scales, b->scales, groups) + moved(a->d, b->d, supers);
        minima += moved(a->mins, b->mins, groups) + moved(a->dmin, b->dmin, supers);
        differ += moved(b->scales, c->scales, groups) + moved(b->d, c->d, supers);
    }
    assert_true(scales > 0 && differ == 0);
    assert_true((minima > 0) == (scheme->zero == AR_ZERO_F16MIN));
    for (int i = 0; i < LINEARS; i++) {
        ar_qlinear_free(before[i]);
        ar_qlinear_free(after[i]);
        ar_qlinear_free(again[i]);
    }
}

static void on_device(ar_device *device, void *ctx) {
    static int32_t ids[SAMPLES * T];
    ar_open_model *m = ctx;
    uint64_t state = 99;
    for (int i = 0; i < T; i++) ids[i] = (int32_t)(check_random(&state) % 50);
    for (int i = T; i < SAMPLES * T; i++) ids[i] = ids[i - T]; /* held out is what is tuned on */
    const ar_samples samples = {ids, SAMPLES, T}, none = {ids, 0, T};
    const ar_scheme schemes[] = {{2, 32, AR_ZERO_INT, 0, AR_SUPER_NONE},
                                 {3, -1, AR_ZERO_F16MIN, 0, AR_SUPER_NONE},
                                 ar_scheme_super(AR_SUPER_Q2_K)};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        check_scheme(device, m, &samples, &schemes[i]);
    ar_qlinear *list[LINEARS] = {NULL};
    ar_finish_report r;
    assert_int_equal(
        ar_finish_scales(&r, list, &m->model, device, &none, &(ar_finish_desc){.steps = 1}, NULL),
        AR_ERR_ARG);
}

static void the_divergence_falls_and_codes_stay(void **state) {
    ar_open_model *m = NULL;
    (void)state;
    CHECK_OK(ar_random_model_open(&m, &small, 7));
    check_each_device(on_device, m);
    ar_random_model_close(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_divergence_falls_and_codes_stay)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
