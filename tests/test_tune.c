/* The tuning engine over a small random Llama, on every device: what must be equal is equal bit for bit.
 * ctest-labels: device vulkan */
#include "tuned_model.h"

/* ---- claims ---- */

static void zero_iterations(ar_device *device, void *ctx) {
    outcome a, b;
    ar__tune_desc none = asym2;
    (void)ctx;
    none.iters = 0;
    CHECK_OK(quantize(&a, device, "signround", &none, NULL));
    CHECK_OK(quantize(&b, device, "rtn", &none, NULL));
    assert_int_equal(a.blocks, LAYERS);
    assert_int_equal(differing_codes(&a, &b), 0);
    outcome_free(&a);
    outcome_free(&b);
}
static void signround_without_iterations_is_rtn(void **state) {
    (void)state;
    check_each_device(zero_iterations, NULL);
}

static void repeatable(ar_device *device, void *ctx) {
    outcome a, b, c;
    ar__tune_desc other = asym2;
    (void)ctx;
    other.seed = 7;
    CHECK_OK(quantize(&a, device, "signround", &asym2, NULL));
    CHECK_OK(quantize(&b, device, "signround", &asym2, NULL));
    CHECK_OK(quantize(&c, device, "signround", &other, NULL));
    assert_int_equal(differing_codes(&a, &b), 0);
    assert_true(differing_codes(&a, &c) > 0);
    outcome_free(&a);
    outcome_free(&b);
    outcome_free(&c);
}
static void one_seed_gives_one_result(void **state) {
    (void)state;
    check_each_device(repeatable, NULL);
}

/* In passes of 5, 1 (no other number up to 4 divides 5) and 1 samples. */
static void heldout_by_batches(ar_device *device, void *ctx) {
    static const int32_t batches[] = {5, 4, 2};
    double first[3];
    ar__tune_desc d = asym2;
    (void)ctx;
    d.heldout = 5;
    d.iters = 1;
    for (int i = 0; i < 3; i++) {
        outcome o;
        d.batch = batches[i];
        CHECK_OK(quantize(&o, device, "signround", &d, NULL));
        first[i] = o.reports[0].heldout_first;
        outcome_free(&o);
        assert_true(first[i] > 0 && fabs(first[i] / first[0] - 1) < 1e-5);
    }
}
static void every_heldout_sample_counts_whatever_the_batch(void **state) {
    (void)state;
    check_each_device(heldout_by_batches, NULL);
}

static void states(ar_device *device, void *ctx) {
    static const ar_state_kind kinds[] = {AR_STATE_F32, AR_STATE_I32, AR_STATE_I16};
    outcome first, next;
    ar__tune_desc d = asym2;
    (void)ctx;
    d.state = kinds[0];
    CHECK_OK(quantize(&first, device, "signround", &d, NULL));
    for (int i = 1; i < 3; i++) {
        d.state = kinds[i];
        CHECK_OK(quantize(&next, device, "signround", &d, NULL));
        assert_int_equal(differing_codes(&first, &next), 0);
        outcome_free(&next);
    }
    outcome_free(&first);
}
static void integer_state_gives_the_general_paths_bits(void **state) {
    (void)state;
    check_each_device(states, NULL);
}

static void improves(ar_device *device, void *ctx) {
    static const ar_select selects[] = {AR_SELECT_HELDOUT, AR_SELECT_BATCH};
    ar__tune_desc d = asym2;
    (void)ctx;
    d.iters = 40;
    for (int i = 0; i < 2; i++) {
        outcome o;
        d.select = selects[i];
        CHECK_OK(quantize(&o, device, "signround", &d, NULL));
        for (int b = 0; b < LAYERS; b++) {
            const ar_block_report *r = &o.reports[b];
            assert_true(r->loss_first > 0 && r->loss_best < 0.9 * r->loss_first);
            if (i == 0) assert_true(r->heldout_first > 0 && r->heldout_best <= r->heldout_first);
        }
        outcome_free(&o);
    }
}
static void tuning_lowers_the_loss_and_is_never_worse_than_rtn_on_the_heldout_slice(void **state) {
    (void)state;
    check_each_device(improves, NULL);
}

/* Adam takes the sign step's place: another result, a better one than rounding to nearest, the same twice. */
static void adam(ar_device *device, void *ctx) {
    outcome sign, a, b;
    ar__tune_desc d = asym2;
    (void)ctx;
    d.iters = 40;
    CHECK_OK(quantize(&sign, device, "signround", &d, NULL));
    d.optimizer = AR_OPTIMIZER_ADAM;
    CHECK_OK(quantize(&a, device, "signround", &d, NULL));
    CHECK_OK(quantize(&b, device, "signround", &d, NULL));
    assert_true(differing_codes(&sign, &a) > 0);
    assert_int_equal(differing_codes(&a, &b), 0);
    for (int i = 0; i < LAYERS; i++) assert_true(a.reports[i].loss_best < 0.9 * a.reports[i].loss_first);
    assert_true(a.reports[0].loss_first == sign.reports[0].loss_first);
    outcome_free(&sign);
    outcome_free(&a);
    outcome_free(&b);
    d.state = AR_STATE_I32;
    assert_int_equal(quantize(&a, device, "signround", &d, NULL), AR_ERR_USAGE);
}
static void adam_improves_too_and_wants_f32_state(void **state) {
    (void)state;
    check_each_device(adam, NULL);
}

static bool stop_at_once(void *ctx) { return ++*(int *)ctx > 3; }

static void cancelled(ar_device *device, void *ctx) {
    outcome o;
    int polls = 0;
    ar_observer observer = {.cancelled = stop_at_once, .ctx = &polls};
    (void)ctx;
    assert_int_equal(quantize(&o, device, "signround", &asym2, &observer), AR_ERR_INTERRUPTED);
    assert_int_equal(o.blocks, 0);
    outcome_free(&o);
}
static void cancelling_ends_between_steps(void **state) {
    (void)state;
    check_each_device(cancelled, NULL);
}

/* ---- samples ---- */

static void samples_are_held_out_and_the_rest_trained_on(void **state) {
    (void)state;
    static const struct {
        ar__tune_desc desc;
        int32_t count;
        ar_sample_split split;
    } cases[] = {{{.iters = 0}, 128, {8, 120, 8, AR_SELECT_HELDOUT}},
                 {{.iters = 0}, 33, {2, 31, 8, AR_SELECT_HELDOUT}},
                 {{.iters = 0}, 2, {1, 1, 1, AR_SELECT_HELDOUT}},
                 {{.iters = 0}, 1, {0, 1, 1, AR_SELECT_BATCH}},
                 {{.batch = 8}, 8, {1, 7, 7, AR_SELECT_HELDOUT}},
                 {{.heldout = 64, .batch = 3}, 65, {64, 1, 1, AR_SELECT_HELDOUT}},
                 {{.select = AR_SELECT_BATCH}, 8, {0, 8, 8, AR_SELECT_BATCH}},
                 {{.select = AR_SELECT_LAST, .heldout = 9}, 8, {0, 8, 8, AR_SELECT_LAST}}};
    ar_sample_split s;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const ar_sample_split *want = &cases[k].split;
        CHECK_OK(ar__sample_split_make(&s, &cases[k].desc, cases[k].count));
        if (s.held != want->held || s.train != want->train || s.batch != want->batch ||
            s.select != want->select)
            fail_msg("case %d: found %d, %d, %d, %d", (int)k, s.held, s.train, s.batch, (int)s.select);
    }
    assert_int_equal(ar__sample_split_make(&s, &(ar__tune_desc){.heldout = 8}, 8), AR_ERR_USAGE);
    assert_int_equal(ar__sample_split_make(&s, &(ar__tune_desc){.heldout = 1}, 1), AR_ERR_USAGE);
    assert_int_equal(ar__sample_split_make(&s, &(ar__tune_desc){.heldout = 65}, 100), AR_ERR_USAGE);
}

static void no_training(ar_device *device, void *ctx) {
    outcome o;
    ar__tune_desc d = asym2;
    (void)ctx;
    d.heldout = SAMPLES;
    assert_int_equal(quantize(&o, device, "signround", &d, NULL), AR_ERR_USAGE);
    assert_int_equal(o.blocks, 0);
    outcome_free(&o);
}
static void a_heldout_slice_of_all_samples_is_refused(void **state) {
    (void)state;
    check_each_device(no_training, NULL);
}

/* ---- options ---- */

/* Of one block: codes, and scales. */
static size_t differing_in(size_t *scales, const outcome *a, const outcome *b, int block) {
    size_t codes = 0;
    *scales = 0;
    for (int k = block * LINEARS; k < (block + 1) * LINEARS; k++) {
        for (size_t i = 0; i < a->elems[k]; i++) codes += a->codes[k][i] != b->codes[k][i];
        for (size_t i = 0; i < a->groups[k]; i++) *scales += a->scales[k][i] != b->scales[k][i];
    }
    return codes;
}

/* asym2 as it is, changed by what follows; the last step is kept, so that every rate shows. */
static ar__tune_desc last_step(void) {
    ar__tune_desc d = asym2;
    d.select = AR_SELECT_LAST;
    return d;
}

static void range_options(ar_device *device, void *ctx) {
    outcome nearest, usual, fixed;
    size_t scales;
    ar__tune_desc d = last_step();
    (void)ctx;
    CHECK_OK(quantize(&nearest, device, "rtn", &asym2, NULL));
    CHECK_OK(quantize(&usual, device, "signround", &d, NULL));
    d.no_minmax = true;
    CHECK_OK(quantize(&fixed, device, "signround", &d, NULL));
    for (int b = 0; b < LAYERS; b++) {
        assert_true(differing_in(&scales, &nearest, &usual, b) > 0);
        assert_true(scales > 0);
        assert_true(differing_in(&scales, &nearest, &fixed, b) > 0);
        assert_int_equal(scales, 0);
    }
    outcome_free(&nearest);
    outcome_free(&usual);
    outcome_free(&fixed);
}
static void without_minmax_the_scales_are_those_of_rtn(void **state) {
    (void)state;
    check_each_device(range_options, NULL);
}

static void input_options(ar_device *device, void *ctx) {
    outcome usual, from_float;
    size_t scales;
    ar__tune_desc d = last_step();
    (void)ctx;
    CHECK_OK(quantize(&usual, device, "signround", &d, NULL));
    d.no_quantized_input = true;
    CHECK_OK(quantize(&from_float, device, "signround", &d, NULL));
    assert_int_equal(differing_in(&scales, &usual, &from_float, 0) + scales, 0); /* both see the embedding */
    assert_true(differing_in(&scales, &usual, &from_float, 1) > 0);
    assert_true(usual.reports[1].loss_first != from_float.reports[1].loss_first);
    outcome_free(&usual);
    outcome_free(&from_float);
}
static void without_quantized_input_only_later_blocks_change(void **state) {
    (void)state;
    check_each_device(input_options, NULL);
}

static void range_rates(ar_device *device, void *ctx) {
    outcome usual, same, slower;
    ar__tune_desc d = last_step(); /* lr is 1/8 */
    (void)ctx;
    CHECK_OK(quantize(&usual, device, "signround", &d, NULL));
    d.minmax_lr = 0.125f;
    CHECK_OK(quantize(&same, device, "signround", &d, NULL));
    d.minmax_lr = 0.03125f;
    CHECK_OK(quantize(&slower, device, "signround", &d, NULL));
    assert_int_equal(differing_codes(&usual, &same), 0);
    assert_true(differing_codes(&usual, &slower) > 0);
    outcome_free(&usual);
    outcome_free(&same);
    outcome_free(&slower);
}
static void the_rate_of_ranges_is_that_of_offsets_unless_given(void **state) {
    (void)state;
    check_each_device(range_rates, NULL);
}

/* lr = 2 / iters in linears of at most 3 bits where iters >= 1000, else 1 / iters, unless given; the ranges'
 * is the same, a sixteenth in double-quantized structures. */
static void few_bits_and_many_steps_double_the_rate(void **state) {
    (void)state;
    static const struct {
        int32_t iters, bits;
        float lr, minmax_lr;
        bool fixed, super;
        double v_lr, m_lr;
    } cases[] = {
        {1000, 2, 0, 0, false, false, 2e-3, 2e-3},     {1000, 3, 0, 0, false, false, 2e-3, 2e-3},
        {1000, 4, 0, 0, false, false, 1e-3, 1e-3},     {999, 2, 0, 0, false, false, 1 / 999.0, 1 / 999.0},
        {2000, 2, 0.01f, 0, false, false, 0.01, 0.01}, {1000, 2, 0, 0.01f, false, false, 2e-3, 0.01},
        {1000, 2, 0, 0, true, false, 2e-3, 0},         {1000, 2, 0, 0, false, true, 2e-3, 1.25e-4},
        {200, 4, 0, 0.01f, false, true, 5e-3, 0.01}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        ar__tune_desc d = {.scheme = {8, 32, AR_ZERO_INT, 0, AR_SUPER_NONE},
                           .iters = cases[k].iters,
                           .lr = cases[k].lr,
                           .minmax_lr = cases[k].minmax_lr,
                           .no_minmax = cases[k].fixed};
        ar_scheme scheme = d.scheme; /* the linear's own, not the run's */
        scheme.bits = cases[k].bits;
        if (cases[k].super) scheme.super = AR_SUPER_Q2_K;
        ar_fq_desc units = ar__linear_units(&d, &scheme);
        double v_div = d.iters / cases[k].v_lr, m_div = cases[k].m_lr > 0 ? d.iters / cases[k].m_lr : 0;
        if (fabs(units.v_div - v_div) > 1e-6 * v_div || fabs(units.m_div - m_div) > 1e-6 * m_div)
            fail_msg("case %d: found %g, %g, expected %g, %g", (int)k, (double)units.v_div,
                     (double)units.m_div, v_div, m_div);
    }
}

/* ---- which positions count ---- */

enum { TAIL = 12 };

/* Keeps W' of block 0 as f32. */
static ar_status keep_dequantized(void *ctx, const ar_block *block, ar_qlinear *const *linears,
                                  const ar_block_report *report) {
    float **W = ctx;
    (void)report;
    for (int32_t i = 0; block->index == 0 && i < block->linear_count; i++) {
        W[i] = malloc((size_t)(linears[i]->O * linears[i]->I) * sizeof **W);
        ar_qlinear_dequant(W[i], linears[i]);
    }
    return AR_OK;
}

static ar_status keep_report(void *ctx, const ar_block *block, ar_qlinear *const *linears,
                             const ar_block_report *report) {
    (void)linears;
    if (block->index == 0) *(ar_block_report *)ctx = *report;
    return AR_OK;
}

/* Squared errors of block 0 rounded to nearest at every position of the sample, each over hidden. */
static void position_errors(double *errors, ar_open_model *m, ar_device *device, const ar_samples *samples) {
    float *W[LINEARS] = {0};
    const ar_block *block = &m->model.blocks[0];
    ar_sink sink = {.block = keep_dequantized, .ctx = W};
    ar_block_weights weights;
    ar_chain in = {.fd = -1}, target = {.fd = -1}, got = {.fd = -1};
    CHECK_OK(tune_method("rtn", &m->model, device, NULL, &asym2, &sink, NULL));
    CHECK_OK(ar_chain_init(&in, T, m->model.hidden, NULL, 0));
    CHECK_OK(ar_chain_init(&target, T, m->model.hidden, NULL, 0));
    CHECK_OK(ar_chain_init(&got, T, m->model.hidden, NULL, 0));
    CHECK_OK(ar_chain_embed(&in, &m->model, samples));
    CHECK_OK(ar_block_weights_init(&weights, block, device));
    CHECK_OK(ar_chain_forward(&target, &in, device, block, &weights.hook, T, 1));
    for (int32_t i = 0; i < LINEARS; i++) {
        CHECK_OK(ar_tensor_write(weights.linears[i], W[i], 0, block->linears[i].O * block->linears[i].I));
        free(W[i]);
    }
    CHECK_OK(ar_chain_forward(&got, &in, device, block, &weights.hook, T, 1));
    for (int32_t p = 0; p < T; p++) {
        errors[p] = 0.0;
        for (int64_t i = 0; i < in.width; i++) {
            double e = (double)got.data[p * in.width + i] - (double)target.data[p * in.width + i];
            errors[p] += e * e / (double)in.width;
        }
    }
    ar_block_weights_deinit(&weights);
    ar_chain_deinit(&in);
    ar_chain_deinit(&target);
    ar_chain_deinit(&got);
}

/* One sample that ends in TAIL equal tokens: neither they nor the last position count. */
static void mask_tail(ar_device *device, void *ctx) {
    ar_open_model *m = NULL;
    int32_t ids[T];
    double errors[T], counted = 0.0, all = 0.0;
    ar_samples samples = {ids, 1, T};
    ar_block_report report = {0};
    ar_sink sink = {.block = keep_report, .ctx = &report};
    ar__tune_desc desc = asym2;
    (void)ctx;
    for (int32_t p = 0; p < T; p++) ids[p] = p < T - TAIL ? (p * 7 + 3) % 50 : 11;
    desc.iters = 1;
    desc.select = AR_SELECT_BATCH;
    CHECK_OK(ar_random_model_open(&m, &small, 5));
    position_errors(errors, m, device, &samples);
    CHECK_OK(tune_method("signround", &m->model, device, &samples, &desc, &sink, NULL));
    for (int32_t p = 0; p < T - 1; p++) {
        counted += p < T - TAIL ? errors[p] / T : 0.0;
        all += errors[p] / T;
    }
    if (fabs(report.loss_first / counted - 1) > 1e-4)
        fail_msg("found %.9g, expected %.9g", report.loss_first, counted);
    assert_true(all > 1.2 * counted);
    ar_random_model_close(m);
}
static void a_trailing_run_of_one_token_does_not_count(void **state) {
    (void)state;
    check_each_device(mask_tail, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signround_without_iterations_is_rtn),
        cmocka_unit_test(one_seed_gives_one_result),
        cmocka_unit_test(integer_state_gives_the_general_paths_bits),
        cmocka_unit_test(tuning_lowers_the_loss_and_is_never_worse_than_rtn_on_the_heldout_slice),
        cmocka_unit_test(adam_improves_too_and_wants_f32_state),
        cmocka_unit_test(cancelling_ends_between_steps),
        cmocka_unit_test(samples_are_held_out_and_the_rest_trained_on),
        cmocka_unit_test(every_heldout_sample_counts_whatever_the_batch),
        cmocka_unit_test(a_heldout_slice_of_all_samples_is_refused),
        cmocka_unit_test(without_minmax_the_scales_are_those_of_rtn),
        cmocka_unit_test(without_quantized_input_only_later_blocks_change),
        cmocka_unit_test(the_rate_of_ranges_is_that_of_offsets_unless_given),
        cmocka_unit_test(few_bits_and_many_steps_double_the_rate),
        cmocka_unit_test(a_trailing_run_of_one_token_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
