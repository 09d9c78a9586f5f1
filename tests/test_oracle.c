/* The independent implementation's runs (oracle.h) as far as they can be repeated: the first loss of block 0
 * of every run, the error of round to nearest at every block's end, and the first loss of block 1 behind a
 * block 0 tuned with the same batches. The oracle's tuned weights are not part of its records, so the last is
 * approximate; it is exact where AR_ORACLE_DUMP names a folder made by golden/make_oracle_dump.py, which runs
 * the oracle again and keeps them. ctest-labels: device all */
#include "oracle.h"

static const struct {
    const char *model, *setting;
    double error[ORACLE_BLOCKS];
} rtn_rows[] = {
    {"tinystories-656K-hf", "W4g32s", {2.09129, 12.3612}},
    {"tinystories-656K-hf", "W2g32", {48.868, 367.609}},
    {"tinystories-656K-hf", "W3g32", {8.42894, 53.0373}},
    {"tinystories-656K-hf", "W4g128", {2.80476, 18.1069}},
    {"tinystories-656K-hf", "W2g128", {70.9239, 555.503}},
    {"tinystories-656K-hf", "W4g32", {1.84994, 10.7146}},
    {"tinystories-656K-hf", "W3g128", {13.3371, 84.927}},
    {"tinystories-656K-hf", "W2g32s", {45.7291, 270.159}},
    {"stories260K-hf", "W4g32s", {0.00222931, 0.0100637, 0.0252403, 0.0635161, 0.157599}},
    {"stories260K-hf", "W2g32", {0.0552216, 0.208806, 0.510165, 1.25095, 2.97493}},
    {"stories260K-hf", "W3g32", {0.010075, 0.0402068, 0.103114, 0.258709, 0.654562}},
    {"stories260K-hf", "W4g128", {0.0031117, 0.0122091, 0.0298525, 0.0751879, 0.189602}},
    {"stories260K-hf", "W2g128", {0.0729329, 0.282604, 0.663244, 1.49468, 3.39412}},
    {"stories260K-hf", "W4g32", {0.00216489, 0.00914196, 0.0231942, 0.0581156, 0.14813}},
    {"stories260K-hf", "W3g128", {0.0140376, 0.0538895, 0.134546, 0.351276, 0.903797}},
    {"stories260K-hf", "W2g32s", {0.0422069, 0.161094, 0.375136, 0.896086, 2.09211}},
};

static void first_batches(ar_device *device, void *ctx) {
    oracle_story s;
    oracle_open(&s, ctx);
    for (int i = 0; i < ORACLE_RUNS; i++)
        if (strcmp(oracle_runs[i].model, s.of->name) == 0) oracle_first_loss(device, &s, &oracle_runs[i]);
    oracle_close(&s);
}

static void errors(ar_device *device, void *ctx) {
    oracle_story s;
    oracle_open(&s, ctx);
    for (size_t i = 0; i < sizeof rtn_rows / sizeof *rtn_rows; i++)
        if (strcmp(rtn_rows[i].model, s.of->name) == 0)
            oracle_errors(device, &s, &(oracle_run){rtn_rows[i].model, rtn_rows[i].setting, 0, {0}},
                          rtn_rows[i].error);
    oracle_close(&s);
}

static void behind(ar_device *device, void *ctx) {
    oracle_story s;
    oracle_open(&s, ctx);
    for (int i = 0; i < ORACLE_QUICK; i++) oracle_behind_tuned_block(device, &s, &oracle_runs[i], NULL);
    oracle_close(&s);
}

static int32_t dumps_found;

static void dumps(ar_device *device, void *ctx) {
    oracle_story s;
    oracle_open(&s, ctx);
    for (int i = 0; i < ORACLE_RUNS; i++) {
        const oracle_run *run = &oracle_runs[i];
        char path[4096];
        oracle_dump d = {0};
        if (strcmp(run->model, s.of->name) != 0) continue;
        snprintf(path, sizeof path, "%s/%s-%s-%d.safetensors", getenv("AR_ORACLE_DUMP"), run->model,
                 run->setting, (int)run->seed);
        if (!ar_path_exists(path)) continue;
        CHECK_OK(ar_safetensors_open(&d.file, path));
        oracle_behind_dump(device, &s, run, &d);
        ar_safetensors_close(d.file);
        dumps_found++;
    }
    oracle_close(&s);
}

/* ---- cases ---- */

/* The batches of the runs in oracle.h. */
static void the_order_is_pythons(void **state) {
    (void)state;
    static const int32_t expected[2][8] = {{23, 25, 7, 22, 45, 33, 19, 59},
                                           {9, 92, 102, 76, 49, 16, 62, 103}};
    for (int i = 0; i < 2; i++) {
        oracle_random random;
        int32_t order[ORACLE_ITERS * ORACLE_BATCH];
        oracle_seed(&random, 42);
        oracle_order(&random, order, &oracle_stories[i]);
        assert_memory_equal(order, expected[i], sizeof expected[i]);
    }
}

static void on_each_model(check_case run) {
    if (!shared_data("tinystories-656K-hf")) skip();
    for (int i = 0; i < 2; i++) check_each_device(run, (void *)(uintptr_t)&oracle_stories[i]);
}
static void first_losses_equal_the_oracles(void **state) {
    (void)state;
    on_each_model(first_batches);
}
static void errors_at_block_ends_equal_the_oracles(void **state) {
    (void)state;
    on_each_model(errors);
}
static void behind_a_tuned_block_losses_are_the_oracles(void **state) {
    (void)state;
    if (!shared_data("tinystories-656K-hf")) skip();
    check_each_device(behind, (void *)(uintptr_t)&oracle_stories[0]);
}
static void behind_the_oracles_tuned_blocks_losses_are_the_oracles(void **state) {
    (void)state;
    if (!getenv("AR_ORACLE_DUMP")) {
        print_message("AR_ORACLE_DUMP is not set (golden/make_oracle_dump.py): skipped\n");
        skip();
    }
    on_each_model(dumps);
    if (!dumps_found) fail_msg("no run in %s", getenv("AR_ORACLE_DUMP"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_is_pythons), cmocka_unit_test(first_losses_equal_the_oracles),
        cmocka_unit_test(errors_at_block_ends_equal_the_oracles),
        cmocka_unit_test(behind_a_tuned_block_losses_are_the_oracles),
        cmocka_unit_test(behind_the_oracles_tuned_blocks_losses_are_the_oracles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
