/* Nets for images: losses follow PyTorch's from the same start (golden/train_images.safetensors), folders
 * read back, and files of images that are refused. ctest-labels: device vulkan */
#include "images.h"
#include "op_check.h"

enum { STEPS = 20, BATCH = 8, H = 8, W = 6, C = 2, CLASSES = 5 };

static const ar_image_desc desc = {.H = H,
                                   .W = W,
                                   .C = C,
                                   .classes = CLASSES,
                                   .conv = {4, 6},
                                   .conv_count = 2,
                                   .hidden = {12},
                                   .hidden_count = 1};

static const void *golden(const ar_safetensors *st, const char *name, uint64_t bytes) {
    const ar_st_tensor *t = ar_safetensors_find(st, name);
    if (!t || t->bytes != bytes) fail_msg("%s: not as expected", name);
    return t->data;
}

static ar_status draw(const ar_data *d, void *input, int32_t *labels, int64_t step, int32_t first,
                      int32_t count) {
    const ar_safetensors *st = d->impl;
    size_t each = H * W * C;
    const float *images = golden(st, "images", STEPS * BATCH * each * 4);
    const int32_t *classes = golden(st, "labels", STEPS * BATCH * 4);
    memcpy(input, images + (size_t)(step * BATCH + first) * each, (size_t)count * each * 4);
    memcpy(labels, classes + step * BATCH + first, (size_t)count * 4);
    return AR_OK;
}

static ar_status held(const ar_data *d, void *input, int32_t *labels, int64_t first, int32_t count) {
    return draw(d, input, labels, STEPS - 1, (int32_t)first, count);
}

static ar_data data_of(ar_safetensors *st) {
    return (ar_data){.dtype = AR_F32,
                     .rows = H * W,
                     .width = C,
                     .labels = 1,
                     .held_count = BATCH,
                     .draw = draw,
                     .held = held,
                     .impl = st};
}

static ar_net *open_net(ar_device *device, const ar_safetensors *st) {
    static const char *const names[] = {"conv.0.weight", "conv.0.bias", "conv.1.weight", "conv.1.bias",
                                        "fc.0.weight",   "fc.0.bias",   "fc.1.weight",   "fc.1.bias"};
    const float *values[8];
    ar_net *net = NULL;
    for (int i = 0; i < 8; i++) values[i] = (const float *)ar_safetensors_find(st, names[i])->data;
    CHECK_OK(ar_net_image_create(&net, &desc, device, values));
    for (int i = 0; i < 8; i++) assert_string_equal(net->params[i].name, names[i]);
    return net;
}

static void golden_case(ar_device *device, void *ctx) {
    ar_safetensors *st = NULL;
    ar_trainer *t = NULL;
    ar_train_score score;
    (void)ctx;
    CHECK_OK(ar_safetensors_open(&st, "tests/golden/train_images.safetensors"));
    const float *losses = golden(st, "losses", STEPS * 4), *norms = golden(st, "norms", STEPS * 4);
    ar_data data = data_of(st);
    ar_net *net = open_net(device, st);
    ar_train_desc d = {.rate = {.lr = 0.02, .end = 0.1, .warmup = 4, .beta1 = 0.9, .beta2 = 0.98},
                       .eps = 1e-8f,
                       .decay = 0.1f,
                       .clip = 1,
                       .steps = STEPS,
                       .batch = BATCH,
                       .accumulate = 1};
    CHECK_OK(ar_trainer_create(&t, net, &data, &d, device));
    for (int32_t step = 0; step < STEPS; step++) {
        double loss, norm;
        CHECK_OK(ar_trainer_step(t, &loss, &norm));
        if (fabs(loss - (double)losses[step]) > 1e-3 || fabs(norm - (double)norms[step]) > 1e-2)
            fail_msg("%s, step %d: loss %.6f, norm %.5f, PyTorch's %.6f, %.5f", check_name(device), step,
                     loss, norm, (double)losses[step], (double)norms[step]);
    }
    CHECK_OK(ar_net_score(&score, NULL, net, &data, device, 3)); /* no divisor of 8 */
    assert_int_equal(score.labels, BATCH);
    assert_true(score.loss < (double)losses[0] - 0.2);
    ar_trainer_destroy(t);
    ar_net_destroy(net);
    ar_safetensors_close(st);
}

static void losses_follow_pytorch(void **state) { (void)state, check_each_device(golden_case, NULL); }

/* ---- folders ---- */

static void folder_case(ar_device *device, void *ctx) {
    ar_safetensors *st = NULL;
    ar_image_model m = {.desc = desc, .mean = {0.25f, 0.5f}, .std = {1, 2}}, read = {0};
    ar_net *again = NULL;
    float *values[8];
    char dir[] = "/tmp/ar-images-XXXXXX", path[64], made[64];
    (void)ctx;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/net", dir);
    snprintf(made, sizeof made, "%s/made", dir);
    CHECK_OK(ar_safetensors_open(&st, "tests/golden/train_images.safetensors"));
    ar_net *net = open_net(device, st);
    for (int i = 0; i < 8; i++) values[i] = check_read(net->params[i].t);
    CHECK_OK(ar__image_model_write(path, made, &m, net, values));
    assert_true(ar__image_model_is(path) && !ar__image_model_is(dir));
    CHECK_OK(ar__image_model_open(&read, &again, path, device));
    assert_memory_equal(&read.mean, &m.mean, sizeof m.mean);
    for (int i = 0; i < 8; i++) {
        float *values_again = check_read(again->params[i].t);
        assert_memory_equal(values[i], values_again, (size_t)ar_tensor_count(net->params[i].t) * 4);
        free(values_again);
        free(values[i]);
    }
    ar_net_destroy(again);
    ar_net_destroy(net);
    ar_safetensors_close(st);
    CHECK_OK(ar_dir_remove(dir));
}

static void folders_are_read_back(void **state) { (void)state, check_each_device(folder_case, NULL); }

/* ---- files ---- */

static void write_file(const char *path, const uint8_t *data, size_t bytes) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    fclose(f);
}

static void files_of_images_are_read_and_wrong_ones_refused(void **state) {
    char dir[] = "/tmp/ar-idx-XXXXXX", images[64], labels[64];
    uint8_t pixels[16 + 12] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3},
                        classes[8 + 2] = {0, 0, 8, 1, 0, 0, 0, 2, 4, 9};
    uint8_t *cifar = calloc(2, 3073);
    ar_images im;
    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_non_null(cifar);
    snprintf(images, sizeof images, "%s/images", dir);
    snprintf(labels, sizeof labels, "%s/labels", dir);
    write_file(images, pixels, sizeof pixels);
    write_file(labels, classes, sizeof classes);
    CHECK_OK(ar__images_open(&im, images, labels, 10));
    assert_true(im.count == 2 && im.H == 2 && im.W == 3 && im.C == 1 && im.pixels[2] == 3 &&
                im.labels[1] == 9);
    ar__images_deinit(&im);
    assert_int_equal(ar__images_open(&im, images, labels, 9), AR_ERR_FORMAT);  /* 9 is no class */
    assert_int_equal(ar__images_open(&im, labels, images, 10), AR_ERR_FORMAT); /* exchanged */
    assert_int_equal(ar__images_open(&im, "/nowhere", labels, 10), AR_ERR_IO);
    for (size_t n = 0; n < sizeof pixels; n++) { /* every truncated prefix */
        write_file(images, pixels, n);
        assert_int_equal(ar__images_open(&im, images, labels, 10), AR_ERR_FORMAT);
    }
    pixels[2] = 13; /* floats */
    write_file(images, pixels, sizeof pixels);
    assert_int_equal(ar__images_open(&im, images, labels, 10), AR_ERR_FORMAT);
    cifar[0] = 3, cifar[1] = 7, cifar[1 + 1024] = 8, cifar[1 + 2048] = 9, cifar[3073] = 5;
    write_file(images, cifar, 2 * 3073);
    CHECK_OK(ar__images_open(&im, images, NULL, 10));
    assert_true(im.count == 2 && im.C == 3 && im.labels[0] == 3 && im.labels[1] == 5);
    assert_true(im.pixels[0] == 7 && im.pixels[1] == 8 && im.pixels[2] == 9);
    ar__images_deinit(&im);
    assert_int_equal(ar__images_open(&im, images, NULL, 5), AR_ERR_FORMAT);
    write_file(images, cifar, 2 * 3073 - 1);
    assert_int_equal(ar__images_open(&im, images, NULL, 10), AR_ERR_FORMAT);
    free(cifar);
    CHECK_OK(ar_dir_remove(dir));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_follow_pytorch),
        cmocka_unit_test(folders_are_read_back),
        cmocka_unit_test(files_of_images_are_read_and_wrong_ones_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
