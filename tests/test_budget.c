/* What a budget of memory changes: how many samples pass a block at once, and where tuning has its data. The
 * null device computes nothing, but has memory. */
#include "tuned_model.h"

static ar_device *open_null(uint64_t budget) {
    ar_device *device = NULL;
    CHECK_OK(ar_device_open(&device, &(ar_device_desc){.select = "null", .memory_budget = budget}));
    return device;
}

/* ---- samples through a block ---- */

enum { ODD = 7 }; /* samples at once, of which half are no divisor */

typedef struct passes {
    int64_t rows; /* of the last recording */
    int32_t runs;
    ar_hook hook;
} passes;

static ar_status note_linear(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    passes *p = ctx;
    p->rows = ar_tensor_dim(x, 0);
    return ar_hook_linear(p->hook.base, g, y, i, x);
}

static void note_run(void *ctx, const ar_graph *graph) {
    (void)graph;
    ((passes *)ctx)->runs++;
}

/* Samples at once within so many bytes of memory; 0 = none. */
static int64_t at_once_within(uint64_t budget) {
    ar_device *device = open_null(budget);
    ar_open_model *m = NULL;
    ar_block_weights w;
    ar_chain c = {.fd = -1};
    CHECK_OK(ar_random_model_open(&m, &small, 5));
    CHECK_OK(ar_chain_init(&c, ODD * T, small.hidden, NULL, 0));
    ar_status status = ar_block_weights_init(&w, &m->model.blocks[0], device);
    passes p = {.hook = {.linear = note_linear, .ctx = &p, .base = &w.hook}};
    ar_device_watch(device, note_run, &p);
    if (status == AR_OK) status = ar_chain_forward(&c, &c, device, w.block, &p.hook, T, ODD);
    if (status != AR_OK) assert_int_equal(status, AR_ERR_DEVICE_MEMORY);
    ar_block_weights_deinit(&w);
    ar_chain_deinit(&c);
    ar_random_model_close(m);
    ar_device_close(device);
    if (status == AR_OK) assert_int_equal(p.runs * p.rows, ODD * T); /* each sample once */
    return status == AR_OK ? p.rows / T : 0;
}

static void a_batch_made_smaller_for_the_budget_counts_no_sample_twice(void **state) {
    int64_t found = ODD, least = ODD;
    (void)state;
    for (uint64_t budget = 2 << 20; (found = at_once_within(budget)) > 0; budget -= budget / 8) least = found;
    assert_int_equal(at_once_within(2 << 20), ODD);
    assert_int_equal(least, 1);
}

/* ---- what is said before is what a run takes ---- */

enum { MANY = 640 }; /* samples, whose two chains are 2 MB */

/* cost NULL: runs it. Returns the most memory of the device. */
static uint64_t run_or_measure(ar_quant_cost *cost, uint64_t budget) {
    static int32_t ids[MANY * T];
    ar_device *device = open_null(budget);
    ar_open_model *m = NULL;
    ar_memory_stats memory;
    outcome o = {.blocks = 0};
    ar_method_options options;
    ar__tune_desc d = asym2;
    ar_samples samples = {ids, MANY, T};
    ar_sink sink = {.block = collect, .ctx = &o};
    const ar_method *method = ar_method_find("signround");
    d.iters = d.block_limit = 1;
    d.batch = 2;
    d.select = AR_SELECT_LAST;
    tune_options(&options, &d);
    ar_quant_desc desc = {.scheme = d.scheme, .options = &options};
    for (int32_t i = 0; i < MANY * T; i++) ids[i] = (int32_t)(i * 7 % narrow.vocab);
    CHECK_OK(ar_random_model_open(&m, &narrow, 5));
    if (cost) CHECK_OK(method->measure(cost, &m->model, device, &samples, &desc, NULL));
    if (!cost) CHECK_OK(method->run(&m->model, device, &samples, &desc, &sink, NULL));
    ar_device_memory(device, &memory);
    outcome_free(&o);
    ar_random_model_close(m);
    ar_device_close(device);
    return memory.high_water;
}

/* A third of the first budget holds both chains, of the second not. */
static void what_is_measured_streams_samples_where_a_run_does(void **state) {
    static const uint64_t budgets[] = {(uint64_t)64 << 20, (uint64_t)4 << 20};
    (void)state;
    for (int k = 0; k < 2; k++) {
        ar_quant_cost cost = {0};
        uint64_t measured = run_or_measure(&cost, budgets[k]), taken = run_or_measure(NULL, budgets[k]);
        assert_int_equal(cost.is_streamed, k == 1);
        assert_int_equal(cost.device_bytes, measured);
        if (!(fabs((double)measured / (double)taken - 1.0) < 0.1))
            fail_msg("%llu bytes: %llu expected, %llu taken", (unsigned long long)budgets[k],
                     (unsigned long long)measured, (unsigned long long)taken);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_made_smaller_for_the_budget_counts_no_sample_twice),
        cmocka_unit_test(what_is_measured_streams_samples_where_a_run_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
