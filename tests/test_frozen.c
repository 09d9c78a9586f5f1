/* First losses of codes between two against those of an independent PyTorch program: TinyStories-656K, 64
 * windows of 512 tokens, block 0 before the first update, where a fifth of the codes is decided, on windows
 * 23, 25, 7 and 22. ctest-labels: device full */
#include "oracle.h"

static const oracle_model stories = {
    "tinystories-656K-hf", "text/tinystories/tinystories_v1_sample.txt", NULL, 64, 512, 4, 1, false};
static const struct {
    const char *setting;
    double loss;
} rows[] = {
    {"W2g32", 28.792},
    {"W2g128", 34.336},
    {"W3g32", 2.5818},
    {"W4g32s", 0.20758},
};

static ar_status tune_by(ar_block_report *report, float *history, const ar__tune_unit *unit,
                         ar_device *device, const ar__tune_desc *desc, const ar_observer *observer) {
    return ar__tune(report, history, unit, desc->goal, device, desc, observer);
}

static void first_losses(ar_device *device, void *ctx) {
    static const int32_t order[] = {23, 25, 7, 22};
    oracle_story s;
    oracle_open(&s, ctx);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const oracle_run run = {stories.name, rows[i].setting, 42, {0}};
        const ar__goal goal = {&ar__trainable_between, &ar__loss_block_mse};
        oracle_sink kept = {0};
        ar__tune_desc desc = {.scheme = oracle_scheme(run.setting),
                              .iters = 1,
                              .batch = 4,
                              .select = AR_SELECT_LAST,
                              .order = order,
                              .block_limit = 1,
                              .taps = AR__TAP(importance),
                              .searches = true,
                              .goal = &goal};
        CHECK_OK(ar__walk_blocks(&s.m->model, device, &s.samples, &desc,
                                 &(ar_sink){.block = oracle_keep, .ctx = &kept}, NULL, tune_by));
        oracle_check(device, &run, 0, kept.first[0], rows[i].loss, 4e-3);
    }
    oracle_close(&s);
}

static void first_losses_equal_the_pilots(void **state) {
    (void)state;
    if (!shared_data(stories.name)) skip();
    check_each_device(first_losses, (void *)(uintptr_t)&stories);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(first_losses_equal_the_pilots)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
