/* SignRound's tuning against a PyTorch implementation of our own, on the tiny model of
 * tests/golden/signround: whole runs, each with the blocks that it tuned, made by
 * tests/golden/make_signround.py. test_oracle.c does the same on larger models. ctest-labels: device vulkan
 */
#include "oracle.h"

#define FOLDER "tests/golden/signround/"
static const oracle_model tiny = {FOLDER "model", NULL, FOLDER "windows.safetensors", 16, 24, 4, 40, true};
static const char *const settings[] = {"W4g32s", "W3g32", "W2g32", "W2g128"};
enum { SETTINGS = sizeof settings / sizeof *settings, SEED = 42 };

/* What the run's file says: its first losses, and with `rtn` the errors of round to nearest at every block.
 */
static void read_losses(double losses[2], const oracle_dump *d, const char *name) {
    const ar_st_tensor *t = ar_safetensors_find(d->file, name);
    assert_non_null(t);
    assert_string_equal(t->dtype, "F64");
    assert_int_equal(t->bytes, 2 * sizeof *losses);
    memcpy(losses, t->data, t->bytes);
}

typedef void (*run_case)(ar_device *device, const oracle_story *s, const oracle_run *run, oracle_dump *d);

static void each_setting(ar_device *device, void *ctx) {
    oracle_story s;
    oracle_open(&s, &tiny);
    assert_int_equal(s.m->model.block_count, 2);
    for (int i = 0; i < SETTINGS; i++) {
        char path[128];
        oracle_dump d = {0};
        oracle_run run = {tiny.name, settings[i], SEED, {0}};
        snprintf(path, sizeof path, "%s-%s-%d.safetensors", tiny.name, settings[i], SEED);
        CHECK_OK(ar_safetensors_open(&d.file, path));
        read_losses(run.first, &d, "first");
        (*(run_case *)ctx)(device, &s, &run, &d);
        ar_safetensors_close(d.file);
    }
    oracle_close(&s);
}

static void errors(ar_device *device, const oracle_story *s, const oracle_run *run, oracle_dump *d) {
    double expected[2];
    read_losses(expected, d, "rtn");
    oracle_errors(device, s, run, expected);
}

static void behind(ar_device *device, const oracle_story *s, const oracle_run *run, oracle_dump *d) {
    oracle_behind_tuned_block(device, s, run, d);
}

static void errors_at_block_ends_equal_the_oracles(void **state) {
    (void)state;
    check_each_device(each_setting, &(run_case){errors});
}
static void behind_a_tuned_block_losses_are_the_oracles(void **state) {
    (void)state;
    check_each_device(each_setting, &(run_case){behind});
}
static void behind_the_oracles_tuned_blocks_losses_are_the_oracles(void **state) {
    (void)state;
    check_each_device(each_setting, &(run_case){oracle_behind_dump});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_at_block_ends_equal_the_oracles),
        cmocka_unit_test(behind_a_tuned_block_losses_are_the_oracles),
        cmocka_unit_test(behind_the_oracles_tuned_blocks_losses_are_the_oracles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
