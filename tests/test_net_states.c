/* Nets of few states learn made-up images, and what is left of them in whole numbers on the host gives every
 * code of theirs, by thresholds and folded in floats. ctest-labels: device vulkan */
#include "ar_error.h"
#include "ar_host.h"
#include "states_folder.h"
#include <unistd.h>
#include "op_check.h"

enum { SIDE = 8, CLASSES = 4, PIXELS = SIDE * SIDE, STEPS = 40, BATCH = 16, HELD = 64 };

/* Bars, upright or lying, at one of two places, in noise. */
static int32_t draw_image(uint8_t *image, uint64_t number) {
    uint64_t state = number * 77 + 5;
    int32_t label = (int32_t)(check_random(&state) % CLASSES), at = label / 2 * 4 + 1;
    for (int i = 0; i < PIXELS; i++) {
        int line = label % 2 ? i / SIDE : i % SIDE;
        bool is_bar = line == at || line == at + 1;
        image[i] = (uint8_t)(check_random(&state) % 90 + (is_bar ? 120 : 0));
    }
    return label;
}

static ar_status give(float *input, int32_t *labels, uint64_t first, int32_t count) {
    uint8_t image[PIXELS];
    for (int32_t i = 0; i < count; i++) {
        labels[i] = draw_image(image, first + (uint64_t)i);
        for (int k = 0; k < PIXELS; k++) input[i * PIXELS + k] = image[k];
    }
    return AR_OK;
}

static ar_status draw(const ar_data *d, void *input, int32_t *labels, int64_t step, int32_t first,
                      int32_t count) {
    (void)d;
    return give(input, labels, (uint64_t)(1000 + step * BATCH + first), count);
}

static ar_status held(const ar_data *d, void *input, int32_t *labels, int64_t first, int32_t count) {
    (void)d;
    return give(input, labels, (uint64_t)first, count);
}

static const ar_data images = {
    .dtype = AR_F32, .rows = PIXELS, .width = 1, .labels = 1, .held_count = HELD, .draw = draw, .held = held};

static ar_states_desc net_of(bool is_conv, int32_t mw, int32_t ma, ar_stats stats) {
    ar_states_desc d = {.H = SIDE, .W = SIDE, .C = 1, .classes = CLASSES, .mw = mw, .ma = ma, .stats = stats};
    d.seed = 3;
    d.hidden[0] = 12;
    d.hidden_count = 1;
    if (is_conv) d.conv[0] = 6, d.conv[1] = 8, d.conv_count = 2;
    return d;
}

/* A net that has learnt for a while. */
static ar_net *learn(ar_device *device, const ar_states_desc *d, double *accuracy) {
    ar_net *net = NULL;
    ar_trainer *t = NULL;
    ar_train_score score;
    ar_train_desc desc = {.rate = {AR_SCHEDULE_COSINE, 0.01, 0.02, 0, 0.9, 0.98},
                          .eps = 1e-8f,
                          .clip = 1,
                          .steps = STEPS,
                          .batch = BATCH,
                          .accumulate = 1};
    CHECK_OK(ar_net_states_create(&net, d, device));
    CHECK_OK(ar_trainer_create(&t, net, &images, &desc, device));
    for (int i = 0; i < STEPS; i++) CHECK_OK(ar_trainer_step(t, NULL, NULL));
    CHECK_OK(ar_trainer_evaluate(t, &score));
    *accuracy = score.accuracy;
    ar_trainer_destroy(t);
    return net;
}

/* Gains that turn around, so that thresholds do. */
static void turn_gains(ar_net *net) {
    for (int32_t i = 0; i < net->param_count; i++) {
        size_t length = strlen(net->params[i].name);
        if (length < 5 || strcmp(net->params[i].name + length - 5, ".gain") != 0) continue;
        float *values = check_read(net->params[i].t);
        values[0] *= -1;
        CHECK_OK(ar_tensor_write(net->params[i].t, values, 0, ar_tensor_count(net->params[i].t)));
        free(values);
    }
}

/* On the device the whole numbers give the same scores and codes; the last batch is not full. */
static void check_runner(ar_device *device, const ar_states_model *m, const uint8_t *pixels,
                         const float *scores, const uint8_t *codes) {
    ar_states_runner *r = NULL;
    int32_t labels[HELD];
    float found[HELD * CLASSES];
    int64_t each = ar_states_code_count(m);
    uint8_t *own = malloc((size_t)each * HELD);
    assert_non_null(own);
    CHECK_OK(ar_states_runner_create(&r, m, device, 40, true));
    CHECK_OK(ar_states_runner_run(labels, found, own, r, pixels, 40));
    CHECK_OK(ar_states_runner_run(labels + 40, found + 40 * CLASSES, own + 40 * each, r, pixels + 40 * PIXELS,
                                  HELD - 40));
    assert_memory_equal(found, scores, sizeof found);
    assert_memory_equal(own, codes, (size_t)each * HELD);
    assert_int_equal(ar_states_runner_run(labels, NULL, NULL, r, pixels, 41), AR_ERR_ARG);
    ar_states_runner_destroy(r);
    CHECK_OK(ar_states_runner_create(&r, m, device, 40, false));
    CHECK_OK(ar_states_runner_run(labels, found, NULL, r, pixels, 40));
    assert_memory_equal(found, scores, 40 * CLASSES * sizeof *found);
    assert_int_equal(ar_states_runner_run(labels, NULL, own, r, pixels, 40), AR_ERR_ARG);
    ar_states_runner_destroy(r);
    free(own);
}

/* A file of whole numbers says the same again; one that is damaged says where. */
static void check_folder(const ar_net *net, const ar_states_desc *d, const ar_states_model *m) {
    char folder[] = "/tmp/anyround-states-XXXXXX", *path = NULL, *made = NULL, *file = NULL, *text = NULL;
    float *values[64];
    size_t bytes = 0;
    ar_states_model again;
    assert_non_null(mkdtemp(folder));
    CHECK_OK(ar_path_join(&path, folder, "net"));
    CHECK_OK(ar_path_join(&made, folder, "made"));
    CHECK_OK(ar_path_join(&file, path, "model.safetensors"));
    for (int32_t i = 0; i < net->param_count; i++) values[i] = check_read(net->params[i].t);
    CHECK_OK(ar__states_write(path, made, d, net, values, m));
    for (int32_t i = 0; i < net->param_count; i++) free(values[i]);
    assert_true(ar__states_is(path));
    CHECK_OK(ar_states_open(&again, path));
    assert_int_equal(again.layer_count, m->layer_count);
    for (int32_t i = 0; i < m->layer_count; i++) {
        const ar_states_layer *a = &again.layers[i], *b = &m->layers[i];
        assert_memory_equal(a->codes, b->codes, (size_t)b->O * (size_t)b->I);
        assert_memory_equal(a->fold, b->fold, (size_t)b->O * 8);
        if (b->thresholds)
            assert_memory_equal(a->thresholds, b->thresholds, (size_t)b->O * ((size_t)b->M - 1) * 4);
    }
    assert_true(ar_states_bytes(m) > 0);
    ar_states_model_deinit(&again);
    CHECK_OK(ar_file_read_text(&text, &bytes, file, 1 << 20));
    FILE *f = fopen(file, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, bytes - 9, f), bytes - 9);
    fclose(f);
    assert_int_equal(ar_states_open(&again, path), AR_ERR_FORMAT);
    CHECK_OK(ar_dir_remove(folder));
    free(path), free(made), free(file), free(text);
}

/* Every code and score of the net's own, by both ways on the host. */
static void check_codes(ar_device *device, const ar_net *net, const ar_states_desc *d) {
    ar_states_model m;
    CHECK_OK(ar_states_model_read(&m, net, device));
    int64_t each = ar_states_code_count(&m), turned = 0;
    uint8_t pixels[HELD * PIXELS], *codes = malloc((size_t)each * HELD), *own = malloc((size_t)each);
    float scores[HELD * CLASSES], mine[CLASSES];
    assert_non_null(codes);
    assert_non_null(own);
    for (int i = 0; i < HELD; i++) draw_image(pixels + i * PIXELS, (uint64_t)i);
    CHECK_OK(ar_net_states_run(scores, codes, net, device, pixels, HELD));
    for (int i = 0; i < HELD; i++)
        for (int way = 0; way < 2; way++) {
            int32_t label = -1;
            CHECK_OK(ar_states_classify(&label, mine, own, &m, pixels + i * PIXELS, way == 1));
            assert_memory_equal(own, codes + i * each, (size_t)each);
            assert_memory_equal(mine, scores + i * CLASSES, sizeof mine);
        }
    for (int32_t o = 0; o < m.layers[0].O; o++) turned += m.layers[0].turned[o];
    assert_true(turned > 0);
    check_runner(device, &m, pixels, scores, codes);
    check_folder(net, d, &m);
    free(codes);
    free(own);
    ar_states_model_deinit(&m);
}

static void learning_case(ar_device *device, void *ctx) {
    static const struct {
        bool is_conv;
        int32_t mw, ma;
        ar_stats stats;
    } nets[] = {{true, 3, 3, AR_STATS_LAYER_BATCH}, {true, 7, 7, AR_STATS_SAMPLE},
                {false, 2, 4, AR_STATS_BATCH},      {false, 4, 2, AR_STATS_LAYER_BATCH},
                {true, 0, 0, AR_STATS_LAYER},       {false, 0, 0, AR_STATS_LAYER_BATCH}};
    (void)ctx;
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        ar_states_desc d = net_of(nets[i].is_conv, nets[i].mw, nets[i].ma, nets[i].stats);
        double accuracy = 0;
        ar_net *net = learn(device, &d, &accuracy);
        print_message("%s %d: accuracy %.3f\n", check_name(device), (int)i, accuracy);
        if (!(accuracy >= 0.85)) fail_msg("net %d: accuracy %g", (int)i, accuracy);
        turn_gains(net);
        if (d.mw && d.ma) {
            check_codes(device, net, &d);
        } else {
            ar_states_model m;
            assert_int_equal(ar_states_model_read(&m, net, device), AR_ERR_UNSUPPORTED);
        }
        ar_net_destroy(net);
    }
}

static void nets_of_few_states_learn_and_are_whole_numbers(void **state) {
    (void)state, check_each_device(learning_case, NULL);
}

static void refusals_case(ar_device *device, void *ctx) {
    ar_net *net = NULL;
    (void)ctx;
    ar_states_desc d = net_of(true, 1, 3, AR_STATS_LAYER_BATCH);
    assert_int_equal(ar_net_states_create(&net, &d, device), AR_ERR_ARG);
    assert_non_null(strstr(ar_error(), "found 1 of weights"));
    d = net_of(true, 3, -1, AR_STATS_LAYER_BATCH);
    assert_int_equal(ar_net_states_create(&net, &d, device), AR_ERR_ARG);
    d = net_of(true, 3, 3, AR_STATS_FIXED);
    assert_int_equal(ar_net_states_create(&net, &d, device), AR_ERR_ARG);
    d = net_of(true, 255, 255, AR_STATS_LAYER_BATCH);
    d.conv[0] = 60; /* 540 inputs of 127 x 254 */
    assert_int_equal(ar_net_states_create(&net, &d, device), AR_ERR_ARG);
    assert_non_null(strstr(ar_error(), "2^24"));
    d = net_of(true, 3, 3, AR_STATS_LAYER_BATCH);
    d.conv[2] = d.conv[3] = 4, d.conv_count = 4; /* 8 x 8 has three halves */
    assert_int_equal(ar_net_states_create(&net, &d, device), AR_ERR_ARG);
}

static void nets_that_make_no_sense_are_refused(void **state) {
    (void)state, check_each_device(refusals_case, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nets_of_few_states_learn_and_are_whole_numbers),
        cmocka_unit_test(nets_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
