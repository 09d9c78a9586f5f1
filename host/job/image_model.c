/* Nets for images as folders: config.json with every number, model.safetensors in PyTorch's shapes. */
#include "hf_folder.h"
#include "images.h"
#include "states_folder.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TYPE       "anyround-image"
#define JSON_BYTES ((size_t)1 << 20)

bool ar__image_model_is(const char *path) { return ar__hf_is_type(path, TYPE); }

/* ---- writing ---- */

static void add_integers(cJSON *o, const char *key, const int32_t *values, int32_t count) {
    cJSON *list = ar_json_add_list(o, key);
    for (int32_t i = 0; i < count; i++) ar_json_push(list, cJSON_CreateNumber(values[i]));
}

static void add_floats(cJSON *o, const char *key, const float *values, int32_t count) {
    cJSON *list = ar_json_add_list(o, key);
    char text[32];
    for (int32_t i = 0; i < count; i++) {
        snprintf(text, sizeof text, "%.9g", (double)values[i]);
        ar_json_push(list, cJSON_CreateRaw(text));
    }
}

static ar_status write_config(const char *dir, const ar_image_model *m) {
    const ar_image_desc *d = &m->desc;
    cJSON *o = cJSON_CreateObject();
    ar_json_add_string(o, "model_type", TYPE);
    ar_json_add_number(o, "image_height", d->H);
    ar_json_add_number(o, "image_width", d->W);
    ar_json_add_number(o, "num_channels", d->C);
    ar_json_add_number(o, "num_labels", d->classes);
    add_integers(o, "conv_channels", d->conv, d->conv_count);
    add_integers(o, "hidden_sizes", d->hidden, d->hidden_count);
    add_floats(o, "image_mean", m->mean, d->C);
    add_floats(o, "image_std", m->std, d->C);
    ar_status status = ar__hf_write_json(dir, "config.json", o);
    cJSON_Delete(o);
    return status;
}

/* (O, C 9) is kept as PyTorch's (O, C, 3, 3). */
static int32_t shape_of(int64_t dims[4], const ar_param *p) {
    int32_t count = ar_tensor_dim_count(p->t);
    for (int32_t i = 0; i < count; i++) dims[i] = ar_tensor_dim(p->t, i);
    if (count < 2 || strncmp(p->name, "conv.", 5) != 0) return count;
    dims[1] /= 9;
    dims[2] = dims[3] = 3;
    return 4;
}

static ar_status write_tensors(const char *dir, const ar_net *net, float *const *values) {
    ar_status status;
    ar_st_writer *w = NULL;
    char *path = NULL;
    int64_t dims[4];
    AR_GO(ar_path_join(&path, dir, AR_IMAGE_TENSORS));
    AR_GO(ar_st_writer_create(&w));
    AR_GO(ar_st_writer_metadata(w, "format", "pt"));
    AR_GO(ar_st_writer_metadata(w, AR_HF_WRITER_KEY, AR_HF_WRITER));
    for (int32_t i = 0; i < net->param_count; i++) {
        int32_t count = shape_of(dims, &net->params[i]);
        AR_GO(ar_st_writer_declare(w, net->params[i].name, "F32", count, dims));
    }
    AR_GO(ar_st_writer_begin(w, path));
    for (int32_t i = 0; i < net->param_count; i++)
        AR_GO(ar_st_writer_data(w, values[i], (size_t)ar_tensor_count(net->params[i].t) * sizeof **values));
    AR_GO(ar_st_writer_finish(&w));
done:
    ar_st_writer_abort(&w);
    free(path);
    return status;
}

ar_status ar__image_model_write(const char *path, const char *made, const ar_image_model *m,
                                const ar_net *net, float *const *values) {
    if (ar_path_exists(made)) AR_TRY(ar_dir_remove(made));
    AR_TRY(ar_dir_create(made));
    AR_TRY(write_tensors(made, net, values));
    AR_TRY(write_config(made, m));
    return ar__hf_folder_place(path, made);
}

/* ---- reading ---- */

static ar_status read_integers(int32_t *out, int32_t *count, const ar_json *root, const char *key,
                               const char *what) {
    const cJSON *list = ar_json_get(root, key), *item;
    *count = 0;
    if (!cJSON_IsArray(list))
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found no list, expected one of widths", what, key);
    cJSON_ArrayForEach(item, list) {
        double x = cJSON_IsNumber(item) ? item->valuedouble : 0;
        if (*count >= AR_IMAGE_LAYERS || !(x >= 1 && x <= 65536) || x > (double)(int32_t)x)
            return ar__fail(AR_ERR_FORMAT, "%s: %s: found item %d of %g, expected at most %d of 1 to 65536",
                            what, key, (int)*count, x, AR_IMAGE_LAYERS);
        out[(*count)++] = (int32_t)x;
    }
    return AR_OK;
}

static ar_status read_floats(float *out, int32_t count, const ar_json *root, const char *key,
                             const char *what) {
    const cJSON *list = ar_json_get(root, key);
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != count)
        return ar__fail(AR_ERR_FORMAT, "%s: %s: expected a list of %d numbers", what, key, (int)count);
    for (int32_t c = 0; c < count; c++) {
        const cJSON *item = cJSON_GetArrayItem(list, c);
        if (!cJSON_IsNumber(item))
            return ar__fail(AR_ERR_FORMAT, "%s: %s: item %d is no number", what, key, (int)c);
        out[c] = (float)item->valuedouble;
    }
    return AR_OK;
}

static ar_status read_config(ar_image_model *m, const char *what, const ar_json *root) {
    int64_t H, W, C, classes;
    ar_image_desc *d = &m->desc;
    AR_TRY(ar_json_int(&H, root, "image_height", 1, 4096, what));
    AR_TRY(ar_json_int(&W, root, "image_width", 1, 4096, what));
    AR_TRY(ar_json_int(&C, root, "num_channels", 1, AR_IMAGE_CHANNELS, what));
    AR_TRY(ar_json_int(&classes, root, "num_labels", 2, 256, what));
    *d = (ar_image_desc){.H = (int32_t)H, .W = (int32_t)W, .C = (int32_t)C, .classes = (int32_t)classes};
    AR_TRY(read_integers(d->conv, &d->conv_count, root, "conv_channels", what));
    AR_TRY(read_integers(d->hidden, &d->hidden_count, root, "hidden_sizes", what));
    AR_TRY(read_floats(m->mean, d->C, root, "image_mean", what));
    AR_TRY(read_floats(m->std, d->C, root, "image_std", what));
    for (int32_t c = 0; c < d->C; c++)
        if (!(m->std[c] > 0))
            return ar__fail(AR_ERR_FORMAT, "%s: image_std: found %g, expected a positive number", what,
                            (double)m->std[c]);
    return AR_OK;
}

static ar_status load_tensors(ar_net *net, const char *path) {
    ar_safetensors *st = NULL;
    ar_status status;
    AR_GO(ar_safetensors_open(&st, path));
    for (int32_t i = 0; i < net->param_count; i++) {
        const ar_param *p = &net->params[i];
        const ar_st_tensor *x = ar_safetensors_find(st, p->name);
        int64_t dims[4];
        int32_t count = shape_of(dims, p);
        if (!x || strcmp(x->dtype, "F32") != 0 || x->dim_count != count ||
            memcmp(x->dims, dims, (size_t)count * sizeof *dims) != 0)
            AR_GO(ar__fail(AR_ERR_FORMAT,
                           "%s: tensor %s: %s, expected F32 of the shape that config.json gives", path,
                           p->name, x ? "found another" : "missing"));
        AR_GO(ar_tensor_write(p->t, x->data, 0, ar_tensor_count(p->t)));
    }
done:
    ar_safetensors_close(st);
    return status;
}

ar_status ar__image_model_config(ar_image_model *m, const char *path) {
    char *config = NULL;
    ar_json *root = NULL;
    ar_status status = ar_path_join(&config, path, "config.json");
    if (status == AR_OK) status = ar_json_open(&root, config, JSON_BYTES);
    if (status == AR_OK) status = read_config(m, config, root);
    ar_json_close(root);
    free(config);
    return status;
}

ar_status ar__image_model_open(ar_image_model *m, ar_net **net, const char *path, ar_device *device) {
    const ar_image_desc *d = &m->desc;
    ar_status status;
    char *tensors = NULL;
    *net = NULL;
    AR_GO(ar__image_model_config(m, path));
    AR_GO(ar_path_join(&tensors, path, AR_IMAGE_TENSORS));
    AR_GO(ar__net_file_check(tensors, &(ar__net_shape){.H = d->H,
                                                       .W = d->W,
                                                       .I = d->C,
                                                       .conv = d->conv,
                                                       .conv_count = d->conv_count,
                                                       .hidden = d->hidden,
                                                       .hidden_count = d->hidden_count,
                                                       .classes = d->classes}));
    AR_GO(ar_net_image_create(net, &m->desc, device, NULL));
    AR_GO(load_tensors(*net, tensors));
done:
    if (status != AR_OK) ar_net_destroy(*net);
    if (status != AR_OK) *net = NULL;
    free(tensors);
    return status;
}
