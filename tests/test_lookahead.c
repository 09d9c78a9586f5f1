/* Look-ahead's claim (arXiv 2411.03934), as far as a small model can show it: with block 0 of the demo model
 * alone quantized, and tuned to the error behind block 1, that error is lower on samples it has not seen than
 * if it is tuned to the error behind itself.
 * ctest-labels: device */
#include "op_check.h"
#include "ar_host.h"

enum { T = 64, TUNED = 64, HELD = 32, STEPS = 60 };

static ar_open_model *model;
static ar_samples samples; /* the last HELD are not tuned on */

typedef struct outcome {
    float *W[AR_MAX_LINEARS]; /* of block 0 */
} outcome;

static ar_status collect(void *ctx, const ar_block *block, ar_qlinear *const *linears,
                         const ar_block_report *report) {
    outcome *o = ctx;
    for (int32_t i = 0; block->index == 0 && i < block->linear_count; i++) {
        o->W[i] = malloc((size_t)(linears[i]->O * linears[i]->I) * sizeof(float));
        ar_qlinear_dequant(o->W[i], linears[i]);
        assert_true(report->window.count == 1);
    }
    return AR_OK;
}

static bool first_block(void *ctx, const ar_block *block, int32_t i, ar_scheme *scheme) {
    (void)ctx, (void)i, (void)scheme;
    return block->index == 0;
}

static void tune(outcome *o, ar_device *device, int32_t ahead, int32_t seed) {
    const ar_samples seen = {samples.ids, TUNED, T};
    const ar_sink sink = {.block = collect, .ctx = o};
    ar_method_options options;
    ar_method_options_init(&options, ar_method_find("signround"));
    ar_method_options_put(&options, "iters", STEPS);
    ar_method_options_put(&options, "batch", 4);
    ar_method_options_put(&options, "lookahead", ahead);
    ar_method_options_put(&options, "stride", 1);
    ar_method_options_put(&options, "seed", seed);
    ar_method_options_put(&options, "blocks", 1);
    const ar_quant_desc desc = {
        .scheme = {2, 32, AR_ZERO_INT, 0, AR_SUPER_NONE}, .choose = first_block, .options = &options};
    memset(o, 0, sizeof *o);
    CHECK_OK(options.method->run(&model->model, device, &seen, &desc, &sink, NULL));
}

/* Mean square error behind block 1 on the samples held out. */
static double error_behind(const outcome *o, ar_device *device) {
    ar_chain x, y;
    const ar_samples held = {samples.ids + TUNED * T, HELD, T};
    int64_t width = model->model.hidden, count = HELD * T * width;
    double sum = 0;
    CHECK_OK(ar_chain_init(&x, HELD * T, width, NULL, 0));
    CHECK_OK(ar_chain_init(&y, HELD * T, width, NULL, 0));
    CHECK_OK(ar_chain_embed(&x, &model->model, &held));
    CHECK_OK(ar_chain_embed(&y, &model->model, &held));
    for (int b = 0; b < 2; b++) {
        const ar_block *block = &model->model.blocks[b];
        ar_block_weights w;
        CHECK_OK(ar_block_weights_init(&w, block, device));
        CHECK_OK(ar_chain_forward(&x, &x, device, block, &w.hook, T, 4));
        for (int i = 0; b == 0 && i < block->linear_count; i++)
            CHECK_OK(ar_tensor_write(w.linears[i], o->W[i], 0, block->linears[i].O * block->linears[i].I));
        CHECK_OK(ar_chain_forward(&y, &y, device, block, &w.hook, T, 4));
        ar_block_weights_deinit(&w);
    }
    for (int64_t i = 0; i < count; i++) sum += pow((double)x.data[i] - (double)y.data[i], 2);
    ar_chain_deinit(&x);
    ar_chain_deinit(&y);
    return sum / (double)count;
}

static void compare(ar_device *device, void *ctx) {
    static const char *const text[] = {"examples/demo-heldout.txt"};
    bool *done = ctx;
    if (*done) return; /* a minute: on one device */
    *done = true;
    CHECK_OK(ar_model_open(&model, "examples/demo-model"));
    CHECK_OK(ar_calib_make(&samples, model, device, text, 1, TUNED + HELD, T, 42, NULL));
    assert_int_equal(samples.count, TUNED + HELD);
    for (int32_t seed = 1; seed <= 3; seed++) {
        double error[2];
        for (int32_t ahead = 0; ahead < 2; ahead++) {
            outcome o;
            tune(&o, device, ahead, seed);
            error[ahead] = error_behind(&o, device);
            for (int i = 0; i < AR_MAX_LINEARS; i++) free(o.W[i]);
        }
        print_message("%s, seed %d: error behind block 1 %.5g, with look-ahead %.5g (%+.1f %%)\n",
                      check_name(device), (int)seed, error[0], error[1], 100 * (error[1] / error[0] - 1));
        assert_true(error[1] < error[0]);
    }
    ar_samples_deinit(&samples);
    ar_model_close(model);
}
static void error_behind_the_next_block_is_lower_with_look_ahead(void **state) {
    (void)state;
    bool done = false;
    check_each_device(compare, &done);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_behind_the_next_block_is_lower_with_look_ahead)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
