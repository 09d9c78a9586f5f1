/* anyround eval of a net for images: accuracy and the confusion matrix. */
#include "eval_images.h"
#include "states_folder.h"
#include <cjson/cJSON.h>
#include <stdlib.h>

static void count_pairs(int64_t *matrix, const ar_images *im, const int32_t *said, int32_t classes) {
    for (int64_t i = 0; i < im->count; i++) matrix[im->labels[i] * classes + said[i]]++;
}

static ar_status print_json(const ar_train_score *s, const eval_whole *w, const int64_t *matrix,
                            int32_t classes) {
    cJSON *o = cJSON_CreateObject();
    ar_json_add_number(o, "accuracy", s->accuracy);
    ar_json_add_number(o, "nll", s->loss);
    ar_json_add_number(o, "images", (double)s->labels);
    if (w->is_whole) {
        cJSON *whole = ar_json_add_object(o, "whole_numbers");
        ar_json_add_number(whole, "same_class", (double)w->same);
        ar_json_add_number(whole, "bytes", (double)w->bytes);
        ar_json_add_number(whole, "float_bytes", (double)w->float_bytes);
        ar_json_add_number(whole, "images_per_s", w->images_per_s);
        ar_json_add_number(whole, "float_images_per_s", w->float_images_per_s);
    }
    cJSON *rows = ar_json_add_list(o, "confusion");
    for (int32_t k = 0; k < classes; k++) {
        cJSON *row = cJSON_CreateArray();
        ar_json_push(rows, row);
        for (int32_t c = 0; row && c < classes; c++)
            ar_json_push(row, cJSON_CreateNumber((double)matrix[k * classes + c]));
    }
    ar_status status = ar_program_json(o, false);
    cJSON_Delete(o);
    return status;
}

static void print_text(const ar_train_score *s, const eval_whole *w, const int64_t *matrix, int32_t classes) {
    printf("accuracy %.4f  nll %.6f  (%lld images)\n", s->accuracy, s->loss, (long long)s->labels);
    if (w->is_whole)
        printf("whole numbers: the same class for %lld, %lld bytes (floats %lld), %.0f images/s (%.0f)\n",
               (long long)w->same, (long long)w->bytes, (long long)w->float_bytes, w->images_per_s,
               w->float_images_per_s);
    printf("class");
    for (int32_t c = 0; c < classes; c++) printf(" %5d", (int)c);
    printf("  said\n");
    for (int32_t k = 0; k < classes; k++) {
        printf("%5d", (int)k);
        for (int32_t c = 0; c < classes; c++) printf(" %5lld", (long long)matrix[k * classes + c]);
        putchar('\n');
    }
}

/* A net for images, or one of few states, whose pixels are bytes over 255. */
static ar_status open_net(ar_image_model *m, ar_net **net, eval_whole *w, const char *path,
                          ar_device *device) {
    ar_states_desc d;
    if (!ar__states_is(path)) return ar__image_model_open(m, net, path, device);
    AR_TRY(ar__states_net_open(&d, net, path, device));
    if (d.context || d.C > AR_IMAGE_CHANNELS)
        return ar__fail(AR_ERR_FORMAT, "%s: found a net of bytes, expected one of images", path);
    m->desc = (ar_image_desc){.H = d.H, .W = d.W, .C = d.C, .classes = d.classes};
    for (int c = 0; c < AR_IMAGE_CHANNELS; c++) m->mean[c] = 0, m->std[c] = 1;
    w->is_whole = d.mw && d.ma && d.stats != AR_STATS_LAYER;
    for (int32_t i = 0; i < (*net)->param_count; i++)
        if (!(*net)->params[i].is_state) w->float_bytes += 4 * ar_tensor_count((*net)->params[i].t);
    return AR_OK;
}

ar_status ar__eval_images_run(const char *path, const char *images, const char *labels, int32_t batch,
                              const ar_common *common) {
    ar_status status;
    ar_device *device = NULL;
    ar_net *net = NULL;
    ar_image_model m = {0};
    ar_images im = {0};
    ar_image_data data;
    ar_train_score score;
    int32_t *said = NULL;
    int64_t *matrix = NULL;
    eval_whole whole = {0};
    AR_GO(ar_program_device(&device, common, true));
    AR_GO(open_net(&m, &net, &whole, path, device));
    AR_GO(ar__images_open(&im, images, labels, m.desc.classes));
    AR_GO(ar__image_data_init(&data, &im, &m, 0, 1, 0));
    said = ar__alloc((size_t)im.count, sizeof *said);
    matrix = ar__alloc((size_t)(m.desc.classes * m.desc.classes), sizeof *matrix);
    AR_GO(said && matrix ? AR_OK : AR_ERR_MEMORY);
    double started = ar__now_s();
    AR_GO(ar_net_score(&score, said, net, &data.data, device, batch));
    whole.float_images_per_s = (double)im.count / (ar__now_s() - started);
    if (whole.is_whole) AR_GO(ar__eval_states_run(&whole, path, &im, said, device, batch));
    count_pairs(matrix, &im, said, m.desc.classes);
    if (common->json)
        AR_GO(print_json(&score, &whole, matrix, m.desc.classes));
    else
        print_text(&score, &whole, matrix, m.desc.classes);
done:
    free(said);
    free(matrix);
    ar__images_deinit(&im);
    ar_net_destroy(net);
    ar_device_close(device);
    return status;
}
