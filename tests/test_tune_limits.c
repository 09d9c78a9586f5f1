/* What tuning refuses, and how it fits a budget, on every device. */
/* ctest-labels: device vulkan */
#include "temp_files.h"
#include "tuned_model.h"

/* ---- weights that no code holds ---- */

/* The model's own readers but for one element of one block. */
static struct {
    const ar_block *block;
    int32_t linear;
    int64_t row, column;
    float value;
} spoilt;
static ar_status (*read_unspoilt)(const ar_block *b, float *dst, int32_t i, int64_t row, int64_t rows);

static ar_status read_spoilt(const ar_block *b, float *dst, int32_t i, int64_t row, int64_t rows) {
    CHECK_OK(read_unspoilt(b, dst, i, row, rows));
    if (b == spoilt.block && i == spoilt.linear && spoilt.row >= row && spoilt.row < row + rows)
        dst[(spoilt.row - row) * b->linears[i].I + spoilt.column] = spoilt.value;
    return AR_OK;
}

static bool all_but_the_spoilt(void *ctx, const ar_block *block, int32_t i, ar_scheme *scheme) {
    (void)ctx;
    (void)scheme;
    return block != spoilt.block || i != spoilt.linear;
}

static ar_status quantize_spoilt(outcome *o, ar_open_model *m, ar_device *device, const char *method,
                                 float value, const ar__tune_desc *desc) {
    int32_t ids[2 * T] = {0};
    for (int32_t i = 0; i < 2 * T; i++) ids[i] = i % 50;
    ar_samples samples = {ids, 2, T};
    ar_sink sink = {.block = collect, .ctx = o};
    memset(o, 0, sizeof *o);
    spoilt.value = value;
    return tune_method(method, &m->model, device, &samples, desc, &sink, NULL);
}

static void refuse_spoilt(ar_device *device, void *ctx) {
    static const char *const methods[] = {"rtn", "signround"};
    static const struct {
        float value;
        const char *text;
    } cases[] = {
        {NAN, "model.layers.1.self_attn.o_proj.weight: found NaN at row 5, column 41"},
        {-INFINITY, "model.layers.1.self_attn.o_proj.weight: found -Inf at row 5, column 41"},
        {1e30f, "model.layers.1.self_attn.o_proj.weight: found 1e+30 at row 5, column 41"},
        {1e6f, "model.layers.1.self_attn.o_proj.weight: found weights from row 5, column 32 on whose scale"}};
    ar_open_model *m = NULL;
    outcome o;
    ar__tune_desc desc = asym2;
    (void)ctx;
    CHECK_OK(ar_random_model_open(&m, &small, 5));
    for (int b = 0; b < LAYERS; b++) {
        read_unspoilt = m->model.blocks[b].read_linear;
        m->model.blocks[b].read_linear = read_spoilt;
    }
    spoilt.block = &m->model.blocks[1];
    spoilt.linear = 3;
    spoilt.row = 5;
    spoilt.column = 41;
    for (size_t k = 0; k < 2 * sizeof cases / sizeof *cases; k++) {
        assert_int_equal(quantize_spoilt(&o, m, device, methods[k % 2], cases[k / 2].value, &desc),
                         AR_ERR_FORMAT);
        if (!strstr(ar_error(), cases[k / 2].text))
            fail_msg("found '%s', expected '%s'", ar_error(), cases[k / 2].text);
        assert_int_equal(o.blocks, 1); /* the block before is in order */
        outcome_free(&o);
    }
    desc.choose = all_but_the_spoilt; /* what stays float is to be finite, and is */
    assert_int_equal(quantize_spoilt(&o, m, device, "rtn", NAN, &desc), AR_ERR_FORMAT);
    outcome_free(&o);
    CHECK_OK(quantize_spoilt(&o, m, device, "rtn", 1e30f, &desc));
    assert_int_equal(o.blocks, LAYERS);
    outcome_free(&o);
    ar_block_weights weights; /* and what is only evaluated */
    CHECK_OK(ar_block_weights_init(&weights, spoilt.block, device));
    ar_block_weights_deinit(&weights);
    spoilt.value = NAN;
    assert_error(ar_block_weights_init(&weights, spoilt.block, device), AR_ERR_FORMAT, cases[0].text);
    ar_random_model_close(m);
}
static void weights_that_no_code_holds_are_refused_by_name(void **state) {
    (void)state;
    check_each_device(refuse_spoilt, NULL);
}

/* ---- budgets: each device is opened again with less memory ---- */

static ar_status with_budget(outcome *o, const char *select, uint64_t budget, uint64_t *high_water) {
    ar_device *device = NULL;
    ar_memory_stats memory;
    CHECK_OK(ar_device_open(&device, &(ar_device_desc){.select = select, .memory_budget = budget}));
    ar__tune_desc desc = asym2;
    desc.batch = 12;
    ar_status status = quantize_model(o, &narrow, device, "signround", &desc, NULL);
    ar_device_memory(device, &memory);
    *high_water = memory.high_water;
    assert_true(memory.high_water <= budget);
    ar_device_close(device);
    return status;
}

static void shrink(ar_device *device, void *ctx) {
    const ar_device_facts *f = ar_device_get_facts(device);
    char select[24];
    outcome roomy, tight;
    uint64_t roomy_bytes = 0, bytes = 0;
    int streamed = 0, smaller = 0;
    (void)ctx;
    snprintf(select, sizeof select, "%.7s:%d", f->api, (int)f->index);
    CHECK_OK(with_budget(&roomy, select, (uint64_t)512 << 20, &roomy_bytes));
    for (uint64_t budget = 1 << 20; budget >= 1 << 16; budget -= budget / 4) {
        ar_status status = with_budget(&tight, select, budget, &bytes);
        if (status == AR_ERR_DEVICE_MEMORY) {
            outcome_free(&tight);
            break;
        }
        assert_int_equal(status, AR_OK);
        size_t n = differing_codes(&roomy, &tight);
        /* the held-out slice (one sample, fewer than a batch) is the same one, streamed or resident */
        assert_true(fabs(tight.reports[0].heldout_first / roomy.reports[0].heldout_first - 1) < 1e-5);
        streamed += n == 0;
        smaller += n != 0; /* micro-batches add up in another order, which may flip a sign near zero */
        assert_true(n < 200);
        outcome_free(&tight);
    }
    print_message("%s: %d budgets with the same bits, %d with others\n", select, streamed, smaller);
    assert_true(streamed > 0);
    outcome_free(&roomy);
}
static void small_budgets_are_kept_and_give_the_same_bits_while_a_batch_fits(void **state) {
    (void)state;
    check_each_device(shrink, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_that_no_code_holds_are_refused_by_name),
        cmocka_unit_test(small_budgets_are_kept_and_give_the_same_bits_while_a_batch_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
