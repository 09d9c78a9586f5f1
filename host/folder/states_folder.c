/* See states_folder.h. */
#include "states_folder.h"
#include "hf_folder.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TYPE       "anyround-states"
#define JSON_BYTES ((size_t)1 << 20)

static const char *const stats_names[] = {"layer-batch", "sample", "batch", "layer", NULL};

const char *ar__states_stats_name(ar_stats stats) { return stats_names[stats]; }

bool ar__states_is(const char *path) { return ar__hf_is_type(path, TYPE); }

/* ---- writing ---- */

static void add_widths(cJSON *o, const char *key, const int32_t *values, int32_t count) {
    cJSON *list = ar_json_add_list(o, key);
    for (int32_t i = 0; i < count; i++) ar_json_push(list, cJSON_CreateNumber(values[i]));
}

/* Nine digits: the same float again. */
static void add_float(cJSON *o, const char *key, float value) {
    char text[32];
    snprintf(text, sizeof text, "%.9g", (double)value);
    ar_json_put(o, key, cJSON_CreateRaw(text));
}

static void add_layer(cJSON *list, const ar_states_layer *l) {
    cJSON *o = ar_json_push(list, cJSON_CreateObject());
    ar_json_add_string(o, "kind", l->K ? "conv3x3" : "product");
    ar_json_add_number(o, "height", l->H);
    ar_json_add_number(o, "width", l->W);
    ar_json_add_number(o, "channels", l->C);
    ar_json_add_number(o, "outputs", l->O);
    ar_json_add_number(o, "lowest", l->low);
    ar_json_add_number(o, "highest", l->high);
    ar_json_add_bool(o, "two", l->two);
    ar_json_add_number(o, "states", l->M);
    add_float(o, "gain", l->gain);
}

static ar_status write_config(const char *dir, const ar_states_desc *d, const ar_states_model *whole) {
    cJSON *o = cJSON_CreateObject();
    ar_json_add_string(o, "model_type", TYPE);
    ar_json_add_number(o, "image_height", d->H);
    ar_json_add_number(o, "image_width", d->W);
    ar_json_add_number(o, "num_channels", d->C);
    ar_json_add_number(o, "num_labels", d->classes);
    ar_json_add_number(o, "context", d->context);
    ar_json_add_number(o, "embedding", d->embed);
    add_widths(o, "conv_channels", d->conv, d->conv_count);
    add_widths(o, "hidden_sizes", d->hidden, d->hidden_count);
    ar_json_add_number(o, "weight_states", d->mw);
    ar_json_add_number(o, "activation_states", d->ma);
    ar_json_add_string(o, "statistics", stats_names[d->stats]);
    ar_json_add_bool(o, "standardized", !d->raw);
    ar_json_add_bool(o, "surrogates", !d->plain);
    add_float(o, "momentum", d->momentum);
    add_float(o, "pixel", d->pixel);
    if (whole) {
        cJSON *list = ar_json_add_list(o, "layers");
        for (int32_t i = 0; i < whole->layer_count; i++) add_layer(list, &whole->layers[i]);
    }
    ar_status status = ar__hf_write_json(dir, "config.json", o);
    cJSON_Delete(o);
    return status;
}

ar_status ar__states_params_write(const char *dir, const ar_net *net, float *const *values) {
    ar_status status;
    ar_st_writer *w = NULL;
    char *path = NULL;
    AR_GO(ar_path_join(&path, dir, AR__STATES_PARAMS));
    AR_GO(ar_st_writer_create(&w));
    AR_GO(ar_st_writer_metadata(w, "format", "pt"));
    AR_GO(ar_st_writer_metadata(w, AR_HF_WRITER_KEY, AR_HF_WRITER));
    for (int32_t i = 0; i < net->param_count; i++) {
        const ar_tensor *t = net->params[i].t;
        int64_t dims[2] = {ar_tensor_dim(t, 0), ar_tensor_dim_count(t) > 1 ? ar_tensor_dim(t, 1) : 0};
        AR_GO(ar_st_writer_declare(w, net->params[i].name, "F32", ar_tensor_dim_count(t), dims));
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

ar_status ar__states_write(const char *path, const char *made, const ar_states_desc *desc, const ar_net *net,
                           float *const *values, const ar_states_model *whole) {
    if (ar_path_exists(made)) AR_TRY(ar_dir_remove(made));
    AR_TRY(ar_dir_create(made));
    AR_TRY(ar__states_params_write(made, net, values));
    if (whole) AR_TRY(ar__states_numbers_write(made, whole));
    AR_TRY(write_config(made, desc, whole));
    return ar__hf_folder_place(path, made);
}

/* ---- reading what was trained ---- */

static ar_status read_widths(int32_t *out, int32_t *count, const ar_json *root, const char *key,
                             const char *what) {
    const cJSON *list = ar_json_get(root, key), *item;
    *count = 0;
    if (!cJSON_IsArray(list))
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found no list, expected widths", what, key);
    cJSON_ArrayForEach(item, list) {
        double x = cJSON_IsNumber(item) ? item->valuedouble : 0;
        if (*count >= AR_STATES_LAYERS || !(x >= 1 && x <= 65536) || x > (double)(int32_t)x)
            return ar__fail(AR_ERR_FORMAT, "%s: %s: found item %d of %g, expected at most %d of 1 to 65536",
                            what, key, (int)*count, x, AR_STATES_LAYERS);
        out[(*count)++] = (int32_t)x;
    }
    return AR_OK;
}

static ar_status read_sizes(ar_states_desc *d, const ar_json *root, const char *what) {
    const struct {
        int32_t *to;
        const char *key;
        int64_t lo, hi;
    } sizes[] = {{&d->H, "image_height", 0, 4096},  {&d->W, "image_width", 0, 4096},
                 {&d->C, "num_channels", 0, 64},    {&d->classes, "num_labels", 2, 65536},
                 {&d->context, "context", 0, 4096}, {&d->embed, "embedding", 0, 4096},
                 {&d->mw, "weight_states", 0, 256}, {&d->ma, "activation_states", 0, 256}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t x;
        AR_TRY(ar_json_int(&x, root, sizes[i].key, sizes[i].lo, sizes[i].hi, what));
        *sizes[i].to = (int32_t)x;
    }
    AR_TRY(read_widths(d->conv, &d->conv_count, root, "conv_channels", what));
    return read_widths(d->hidden, &d->hidden_count, root, "hidden_sizes", what);
}

ar_status ar__states_stats_read(ar_stats *stats, const ar_json *root, const char *what) {
    const char *name;
    int32_t i = 0;
    AR_TRY(ar_json_string_or(&name, root, "statistics", "", what));
    while (stats_names[i] && strcmp(stats_names[i], name) != 0) i++;
    if (!stats_names[i])
        return ar__fail(AR_ERR_FORMAT,
                        "%s: statistics: found '%s', expected layer-batch, sample, batch or layer", what,
                        name);
    *stats = (ar_stats)i;
    return AR_OK;
}

static ar_status read_config(ar_states_desc *d, const ar_json *root, const char *what) {
    bool standardized, surrogates;
    double momentum, pixel;
    *d = (ar_states_desc){0};
    AR_TRY(read_sizes(d, root, what));
    AR_TRY(ar_json_bool_or(&standardized, root, "standardized", true, what));
    AR_TRY(ar_json_bool_or(&surrogates, root, "surrogates", true, what));
    AR_TRY(ar_json_number_or(&momentum, root, "momentum", 0, 0, 1, what));
    AR_TRY(ar_json_number_or(&pixel, root, "pixel", 1, 0, 65536, what));
    d->raw = !standardized;
    d->plain = !surrogates;
    d->momentum = (float)momentum;
    d->pixel = (float)pixel;
    return ar__states_stats_read(&d->stats, root, what);
}

ar_status ar__states_params_read(ar_net *net, const char *dir) {
    ar_safetensors *st = NULL;
    char *path = NULL;
    ar_status status;
    AR_GO(ar_path_join(&path, dir, AR__STATES_PARAMS));
    AR_GO(ar_safetensors_open(&st, path));
    if (ar_safetensors_count(st) != net->param_count)
        AR_GO(ar__fail(AR_ERR_FORMAT, "%s: found %lld tensors, expected the %d of what config.json says",
                       path, (long long)ar_safetensors_count(st), (int)net->param_count));
    for (int32_t i = 0; i < net->param_count; i++) {
        const ar_param *p = &net->params[i];
        const ar_st_tensor *x = ar_safetensors_find(st, p->name);
        bool good = x && strcmp(x->dtype, "F32") == 0 && x->dim_count == ar_tensor_dim_count(p->t);
        for (int32_t k = 0; good && k < x->dim_count; k++) good = x->dims[k] == ar_tensor_dim(p->t, k);
        if (!good)
            AR_GO(ar__fail(AR_ERR_FORMAT,
                           "%s: tensor %s: %s, expected F32 of the shape that config.json gives", path,
                           p->name, x ? "found another" : "missing"));
        AR_GO(ar_tensor_write(p->t, x->data, 0, ar_tensor_count(p->t)));
    }
done:
    ar_safetensors_close(st);
    free(path);
    return status;
}

ar_status ar__states_desc_open(ar_states_desc *desc, const char *path) {
    char *config = NULL;
    ar_json *root = NULL;
    ar_status status = ar_path_join(&config, path, "config.json");
    if (status == AR_OK) status = ar_json_open(&root, config, JSON_BYTES);
    if (status == AR_OK) status = read_config(desc, root, config);
    ar_json_close(root);
    free(config);
    return status;
}

/* Of a net over bytes the embedding stands before the first layer. */
static ar_status check_bytes(const ar_states_desc *d, const char *dir) {
    char *path = NULL;
    int64_t wide = (int64_t)d->context * d->embed;
    ar_status status = ar_path_join(&path, dir, AR__STATES_PARAMS);
    if (status == AR_OK)
        status = ar__net_file_check(path, &(ar__net_shape){.H = d->context ? 1 : d->H,
                                                           .W = d->context ? 1 : d->W,
                                                           .I = d->context ? wide : d->C,
                                                           .others = d->context ? 256 * (int64_t)d->embed : 0,
                                                           .conv = d->conv,
                                                           .conv_count = d->conv_count,
                                                           .hidden = d->hidden,
                                                           .hidden_count = d->hidden_count,
                                                           .classes = d->classes});
    free(path);
    return status;
}

ar_status ar__states_net_open(ar_states_desc *desc, ar_net **net, const char *path, ar_device *device) {
    *net = NULL;
    AR_TRY(ar__states_desc_open(desc, path));
    AR_TRY(check_bytes(desc, path));
    AR_TRY(ar_net_states_create(net, desc, device));
    ar_status status = ar__states_params_read(*net, path);
    if (status != AR_OK) ar_net_destroy(*net);
    if (status != AR_OK) *net = NULL;
    return status;
}
