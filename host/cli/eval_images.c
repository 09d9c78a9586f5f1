/* anyround eval of a net for images: accuracy and the confusion matrix. */
#include "eval_images.h"
#include "output.h"
#include "states_folder.h"
#include <cjson/cJSON.h>
#include <stdlib.h>

static void count_pairs(int64_t *matrix, const ar_images *im, const int32_t *said, int32_t classes) {
    for (int64_t i = 0; i < im->count; i++) matrix[im->labels[i] * classes + said[i]]++;
}

/* All that is told. */
typedef struct told {
    ar_train_score score;
    eval_whole whole;
    eval_codes codes;
    int64_t *matrix;
    int32_t classes;
} told;

static void add_whole(cJSON *o, const eval_whole *w) {
    cJSON *whole = ar_json_add_object(o, "whole_numbers");
    ar_json_add_number(whole, "same_class", (double)w->same);
    ar_json_add_number(whole, "bytes", (double)w->bytes);
    ar_json_add_number(whole, "float_bytes", (double)w->float_bytes);
    ar_json_add_number(whole, "images_per_s", w->images_per_s);
    ar_json_add_number(whole, "float_images_per_s", w->float_images_per_s);
}

static void add_codes(cJSON *o, const eval_codes *e) {
    cJSON *codes = ar_json_add_object(o, "codes");
    ar_json_add_number(codes, "compared", (double)e->codes);
    ar_json_add_number(codes, "device_differing", (double)e->device);
    ar_json_add_number(codes, "host_differing", (double)e->host);
    ar_json_add_number(codes, "folded_differing", (double)e->folded);
    ar_json_add_number(codes, "classes_differing", (double)e->classes);
}

static ar_status print_json(const told *t) {
    cJSON *o = cJSON_CreateObject();
    ar_json_add_number(o, "accuracy", t->score.accuracy);
    ar_json_add_number(o, "nll", t->score.loss);
    ar_json_add_number(o, "images", (double)t->score.labels);
    if (t->whole.is_whole) add_whole(o, &t->whole);
    if (t->codes.is_compared) add_codes(o, &t->codes);
    cJSON *rows = ar_json_add_list(o, "confusion");
    for (int32_t k = 0; k < t->classes; k++) {
        cJSON *row = cJSON_CreateArray();
        ar_json_push(rows, row);
        for (int32_t c = 0; row && c < t->classes; c++)
            ar_json_push(row, cJSON_CreateNumber((double)t->matrix[k * t->classes + c]));
    }
    ar_status status = ar_program_json(o, false);
    cJSON_Delete(o);
    return status;
}

static ar_status print_text(const told *t) {
    const eval_whole *w = &t->whole;
    const eval_codes *e = &t->codes;
    printf("accuracy %.4f  nll %.6f  (%lld images)\n", t->score.accuracy, t->score.loss,
           (long long)t->score.labels);
    if (w->is_whole)
        printf("whole numbers: the same class for %lld, %lld bytes (floats %lld), %.0f images/s (%.0f)\n",
               (long long)w->same, (long long)w->bytes, (long long)w->float_bytes, w->images_per_s,
               w->float_images_per_s);
    if (e->is_compared)
        printf("codes: %lld, differing %lld on the device, %lld on the host, %lld folded; classes %lld\n",
               (long long)e->codes, (long long)e->device, (long long)e->host, (long long)e->folded,
               (long long)e->classes);
    printf("class");
    for (int32_t c = 0; c < t->classes; c++) printf(" %5d", (int)c);
    printf("  said\n");
    for (int32_t k = 0; k < t->classes; k++) {
        printf("%5d", (int)k);
        for (int32_t c = 0; c < t->classes; c++) printf(" %5lld", (long long)t->matrix[k * t->classes + c]);
        putchar('\n');
    }
    return AR_OK;
}

static ar_status save_classes(const char *path, const int32_t *said, int64_t count) {
    char line[16];
    ar_writer *w = NULL;
    ar_status status = ar_writer_open(&w, path);
    for (int64_t i = 0; status == AR_OK && i < count; i++) {
        int length = snprintf(line, sizeof line, "%d\n", (int)said[i]);
        status = ar_writer_write(w, line, (size_t)length);
    }
    if (status == AR_OK) status = ar_writer_commit(&w);
    ar_writer_abort(&w);
    return status;
}

static ar_status check_places(const char *path, const eval_images_options *o) {
    const ar_input inputs[] = {{path, "the net"}, {o->images, "the images"}, {o->labels, "the labels"}};
    if (!o->save_classes) return AR_OK;
    AR_TRY(ar__output_check_file("--save-classes", o->save_classes, NULL));
    return ar__path_check_inputs(o->save_classes, false, inputs, 3);
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

/* What the codes are, and whether they are the same, which is told in any case. */
static ar_status check_codes(const eval_codes *e) {
    if (e->device + e->host + e->folded + e->classes == 0) return AR_OK;
    return ar__fail(AR_ERR_CHECK, "states: %lld of %lld codes and %lld classes differ, expected none",
                    (long long)(e->device + e->host + e->folded), (long long)(3 * e->codes),
                    (long long)e->classes);
}

static ar_status evaluate(told *t, int32_t *said, const char *path, const ar_net *net, const ar_images *im,
                          const ar_image_data *data, const eval_images_options *o, ar_device *device) {
    double started = ar__now_s();
    AR_TRY(ar_net_score(&t->score, said, net, &data->data, device, o->batch));
    t->whole.float_images_per_s = (double)im->count / (ar__now_s() - started);
    if (t->whole.is_whole) AR_TRY(ar__eval_states_run(&t->whole, path, im, said, device, o->batch));
    if (o->codes) AR_TRY(ar__eval_codes_run(&t->codes, path, net, im, device, o->batch));
    count_pairs(t->matrix, im, said, t->classes);
    return o->save_classes ? save_classes(o->save_classes, said, im->count) : AR_OK;
}

ar_status ar__eval_images_run(const char *path, const eval_images_options *o, const ar_common *common) {
    ar_status status;
    ar_device *device = NULL;
    ar_net *net = NULL;
    ar_image_model m = {0};
    ar_images im = {0};
    ar_image_data data;
    int32_t *said = NULL;
    told t = {0};
    AR_GO(check_places(path, o));
    AR_GO(ar_program_device(&device, common, true));
    AR_GO(open_net(&m, &net, &t.whole, path, device));
    if (o->codes && !t.whole.is_whole)
        AR_GO(ar__fail(AR_ERR_USAGE, "--codes: %s is not whole numbers, expected a net of few states", path));
    AR_GO(ar__images_open(&im, o->images, o->labels, m.desc.classes));
    AR_GO(ar__image_data_init(&data, &im, &m, 0, 1, 0));
    t.classes = m.desc.classes;
    said = ar__alloc((size_t)im.count, sizeof *said);
    t.matrix = ar__alloc((size_t)(t.classes * t.classes), sizeof *t.matrix);
    AR_GO(said && t.matrix ? AR_OK : AR_ERR_MEMORY);
    AR_GO(evaluate(&t, said, path, net, &im, &data, o, device));
    ar_program_results_beside(o->save_classes);
    AR_GO(common->json ? print_json(&t) : print_text(&t));
    AR_GO(check_codes(&t.codes));
done:
    free(said);
    free(t.matrix);
    ar__images_deinit(&im);
    ar_net_destroy(net);
    ar_device_close(device);
    return status;
}
