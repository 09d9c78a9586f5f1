/* quant/core/recompute.c and host/job/recheck.c: codes that no device can have made from the weights are
 * found, and those that it did make pass. ctest-labels: device */
#include "recheck.h"
#include "all_devices.h"
#include "core.h"
#include "write_source.h"

/* ---- what a device says of a weight ---- */

enum { O = 5, I = 256 };

static void fill_weights(float *W) {
    uint32_t state = 5;
    for (int i = 0; i < O * I; i++) W[i] = ((float)(source_random(&state) % 2001) - 1000.0f) / 5000.0f;
}

/* Tuned offsets and coefficients of every state type; *v and *mm may stay NULL. */
static void make_state(ar_fq_state *st, ar_device *device, ar_dtype dtype, int64_t groups) {
    static int32_t wide[O * I];
    static int16_t narrow[O * I];
    static float floats[O * I];
    uint32_t state = 9;
    for (int i = 0; i < O * I; i++) {
        wide[i] = (int32_t)(source_random(&state) % 801) - 400;
        narrow[i] = (int16_t)wide[i];
        floats[i] = (float)wide[i];
    }
    const void *values = dtype == AR_F32   ? (const void *)floats
                         : dtype == AR_I16 ? (const void *)narrow
                                           : wide;
    assert_ok(ar_tensor_create(&st->v, device, dtype, 2, (const int64_t[]){O, I}));
    assert_ok(ar_tensor_write(st->v, values, 0, O * I));
    for (int i = 0; i < O * I; i++)
        wide[i] = -abs(wide[i]), narrow[i] = (int16_t)wide[i], floats[i] = (float)wide[i];
    assert_ok(ar_tensor_create(&st->mm, device, dtype, 3, (const int64_t[]){O, groups, 2}));
    assert_ok(ar_tensor_write(st->mm, values, 0, O * groups * 2));
}

/* Each number of a row that is looked at, changed by the least that matters. */
static void changes_are_found(ar_qlinear *q, ar_device *device, const ar_tensor *W, const ar_tensor *range,
                              const ar_fq_state *st, const ar_fq_desc *fq) {
    int64_t last = (O - 1) * I + 77;
    assert_ok(ar__recompute(q, device, W, range, st, fq));
    q->codes[last] ^= 1;
    assert_error(ar__recompute(q, device, W, range, st, fq), AR_ERR_CHECK, "row 4, column 77");
    q->codes[last] ^= 1;
    if (q->d) {
        q->d[0] += 3;
        assert_error(ar__recompute(q, device, W, range, st, fq), AR_ERR_CHECK,
                     "the scale that the device gave");
        q->d[0] -= 3;
        q->sub_scales[2] ^= 1;
        assert_error(ar__recompute(q, device, W, range, st, fq), AR_ERR_CHECK,
                     "the scale that the device gave");
        q->sub_scales[2] ^= 1;
    } else {
        q->scales[0] ^= 8;
        assert_error(ar__recompute(q, device, W, range, st, fq), AR_ERR_CHECK, "row 0");
        q->scales[0] ^= 8;
        q->zeros[0] ^= 1;
        assert_error(ar__recompute(q, device, W, range, st, fq), AR_ERR_CHECK, "row 0");
        q->zeros[0] ^= 1;
    }
    memset(q->codes, 0, O * I); /* as memory that nobody wrote */
    assert_error(ar__recompute(q, device, W, range, st, fq), AR_ERR_CHECK, "the code that the device gave");
}

static void try_scheme(ar_device *device, const ar_scheme *scheme, int tuned) {
    float weights[O * I];
    ar_qlinear q;
    ar_tensor *W = NULL, *range = NULL;
    ar_graph *g = NULL;
    ar_fq_state st = {0};
    int64_t each = scheme->super != AR_SUPER_NONE ? 4 : 2;
    ar_fq_desc fq = {*scheme, tuned ? 1000.0f : 0.0f, tuned ? 4000.0f : 0.0f};
    fill_weights(weights);
    assert_ok(ar_qlinear_init(&q, scheme, O, I));
    assert_ok(ar_tensor_create(&W, device, AR_F32, 2, (const int64_t[]){O, I}));
    assert_ok(ar_tensor_write(W, weights, 0, O * I));
    assert_ok(ar_tensor_create(&range, device, AR_F32, 3, (const int64_t[]){O, q.groups, each}));
    assert_ok(ar_graph_create(&g, device));
    assert_ok(ar_op_group_range(g, range, W, scheme));
    assert_ok(ar_graph_build(g));
    assert_ok(ar_graph_run(g));
    if (tuned) make_state(&st, device, tuned == 1 ? AR_F32 : tuned == 2 ? AR_I32 : AR_I16, q.groups);
    assert_ok(ar__read_codes(&q, device, W, range, &st, &fq));
    changes_are_found(&q, device, W, range, &st, &fq);
    ar_tensor_destroy(st.v);
    ar_tensor_destroy(st.mm);
    ar_graph_destroy(g);
    ar_tensor_destroy(range);
    ar_tensor_destroy(W);
    ar_qlinear_deinit(&q);
}

static void a_device_is_believed_for_what_the_host_computes_too(void **state) {
    (void)state;
    const ar_scheme schemes[] = {
        {4, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE}, {2, 64, AR_ZERO_INT, 0, AR_SUPER_NONE},
        {8, -1, AR_ZERO_INT, 1, AR_SUPER_NONE}, {5, 32, AR_ZERO_F16MIN, 0, AR_SUPER_NONE},
        ar_scheme_super(AR_SUPER_Q2_K),         ar_scheme_super(AR_SUPER_Q3_K),
        ar_scheme_super(AR_SUPER_Q4_K),         ar_scheme_super(AR_SUPER_Q6_K)};
    const device_set set = all_devices();
    for (int32_t d = 1; d < set.count; d++) {
        ar_device *device = NULL;
        assert_ok(ar_device_open(&device, &(ar_device_desc){.select = set.selects[d]}));
        for (size_t k = 0; k < sizeof schemes / sizeof *schemes; k++)
            for (int tuned = 0; tuned < (schemes[k].group < 0 ? 1 : 4); tuned++)
                try_scheme(device, &schemes[k], tuned);
        ar_device_close(device);
    }
}

/* ---- what a state says of a model's weights ---- */

static int
    wrong; /* 0 nothing, 1 zeros, 2 another row's codes, 3 scales eight times as large, 4 turned signs */

static ar_status read_row(const ar_block *b, float *dst, int32_t i, int64_t row, int64_t rows) {
    uint32_t state = (uint32_t)(b->index * 1000 + i * 100 + (int)row);
    for (int64_t k = 0; k < rows * b->linears[i].I; k++)
        dst[k] = ((float)(source_random(&state) % 2001) - 1000.0f) / 5000.0f;
    return AR_OK;
}

static ar_status rounded(void *ctx, ar_qlinear **q, int32_t block, int32_t i) {
    const test_source *t = ctx;
    const ar_linear *lin = &t->blocks[block].linears[i];
    int64_t last = lin->O - 1;
    float *w = calloc((size_t)(lin->O * lin->I), sizeof *w);
    for (int64_t o = 0; o < lin->O; o++) AR_TRY(read_row(&t->blocks[block], w + o * lin->I, i, o, 1));
    *q = calloc(1, sizeof **q);
    assert_ok(ar_qlinear_init(*q, &t->plan.scheme, lin->O, lin->I));
    assert_ok(ar_qlinear_rtn(*q, w));
    free(w);
    if (!wrong || block != 1 || i != 3) return AR_OK;
    uint8_t *codes = (*q)->codes + last * lin->I;
    for (int64_t k = 0; k < lin->I; k++) {
        if (wrong == 1) codes[k] = 8;
        if (wrong == 2) codes[k] = (*q)->codes[k];
        if (wrong == 4) codes[k] = (uint8_t)(15 - codes[k]);
    }
    for (int64_t k = 0; wrong == 3 && k < (*q)->groups; k++)
        (*q)->scales[last * (*q)->groups + k] += 3 << 10; /* fp16's exponent */
    return AR_OK;
}

static void rows_that_are_not_the_weights_are_found(void **state) {
    (void)state;
    static const source_shape shape = {.hidden = 64, .kv = 32, .inter = 96, .dtype = "F16"};
    static const ar_output_request fake = {"fake", NULL, 4, 32, 1, false};
    char *folder = temp_folder(), model[4200];
    test_source t;
    snprintf(model, sizeof model, "%s/model", folder);
    source_open(&t, model, &shape, &fake);
    for (int b = 0; b < 2; b++) t.blocks[b].read_linear = read_row;
    t.src.linear = rounded;
    for (wrong = 0; wrong <= 4; wrong++) {
        if (wrong == 0)
            assert_ok(ar__recheck_rows(&t.src));
        else
            assert_error(ar__recheck_rows(&t.src), AR_ERR_CHECK,
                         "of the codes does not stand for its weights");
        assert_true(wrong == 0 || strstr(ar_error(), t.blocks[1].linears[3].name));
    }
    source_close(&t);
    temp_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_device_is_believed_for_what_the_host_computes_too),
                                       cmocka_unit_test(rows_that_are_not_the_weights_are_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
