/* The whole numbers of a net of few states as a file: model.safetensors, codes as digits to the base of their
 * states, as many in a byte as it holds (8 of 2, 5 of 3, 3 of 6, 2 of 15), the folded norms in F32. */
#include "hf_folder.h"
#include "states_folder.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSON_BYTES ((size_t)1 << 20)
#define EXACT      16777216 /* 2^24: sums that floats hold */

/* 2 for -1 and 1. */
int32_t ar__states_of_codes(const ar_states_layer *l) { return l->two ? 2 : l->high - l->low + 1; }

static int32_t digits_of(int32_t states) {
    int32_t digits = 1;
    for (int32_t all = states; all * states <= 256; all *= states) digits++;
    return digits;
}

int64_t ar__states_codes_bytes(const ar_states_layer *l) {
    int32_t digits = digits_of(ar__states_of_codes(l));
    return ((int64_t)l->O * l->I + digits - 1) / digits;
}

int64_t ar_states_bytes(const ar_states_model *m) {
    int64_t bytes = 0;
    for (int32_t i = 0; i < m->layer_count; i++)
        bytes += ar__states_codes_bytes(&m->layers[i]) + (int64_t)m->layers[i].O * 2 * (int64_t)sizeof(float);
    return bytes;
}

/* ---- writing ---- */

static int32_t digit_of(const ar_states_layer *l, int8_t code) { return l->two ? code > 0 : code - l->low; }

static ar_status write_codes(ar_st_writer *w, const ar_states_layer *l) {
    int32_t states = ar__states_of_codes(l), digits = digits_of(states);
    int64_t count = (int64_t)l->O * l->I, bytes = ar__states_codes_bytes(l);
    uint8_t *packed = ar__alloc((size_t)bytes, 1);
    if (!packed) return AR_ERR_MEMORY;
    for (int64_t b = 0; b < bytes; b++) {
        int32_t value = 0;
        for (int32_t k = digits - 1; k >= 0; k--)
            value = value * states + (b * digits + k < count ? digit_of(l, l->codes[b * digits + k]) : 0);
        packed[b] = (uint8_t)value;
    }
    ar_status status = ar_st_writer_data(w, packed, (size_t)bytes);
    free(packed);
    return status;
}

ar_status ar__states_numbers_write(const char *dir, const ar_states_model *m) {
    ar_status status;
    ar_st_writer *w = NULL;
    char *path = NULL, name[64];
    AR_GO(ar_path_join(&path, dir, AR__STATES_NUMBERS));
    AR_GO(ar_st_writer_create(&w));
    AR_GO(ar_st_writer_metadata(w, AR_HF_WRITER_KEY, AR_HF_WRITER));
    for (int32_t i = 0; i < m->layer_count; i++) {
        const int64_t bytes = ar__states_codes_bytes(&m->layers[i]), fold[] = {m->layers[i].O, 2};
        snprintf(name, sizeof name, "layers.%d.codes", (int)i);
        AR_GO(ar_st_writer_declare(w, name, "U8", 1, &bytes));
        snprintf(name, sizeof name, "layers.%d.fold", (int)i);
        AR_GO(ar_st_writer_declare(w, name, "F32", 2, fold));
    }
    AR_GO(ar_st_writer_begin(w, path));
    for (int32_t i = 0; i < m->layer_count; i++) {
        AR_GO(write_codes(w, &m->layers[i]));
        AR_GO(ar_st_writer_data(w, m->layers[i].fold, (size_t)m->layers[i].O * 2 * sizeof(float)));
    }
    AR_GO(ar_st_writer_finish(&w));
done:
    ar_st_writer_abort(&w);
    free(path);
    return status;
}

/* ---- reading ---- */

static ar_status read_layer(ar_states_layer *l, const ar_json *o, const char *what) {
    const char *kind;
    double gain;
    int64_t sizes[7];
    static const struct {
        const char *key;
        int64_t lo, hi;
    } keys[7] = {{"height", 1, 4096},  {"width", 1, 4096},  {"channels", 1, 65536}, {"outputs", 1, 65536},
                 {"lowest", -128, -1}, {"highest", 0, 127}, {"states", 0, 256}};
    for (int i = 0; i < 7; i++) AR_TRY(ar_json_int(&sizes[i], o, keys[i].key, keys[i].lo, keys[i].hi, what));
    AR_TRY(ar_json_string_or(&kind, o, "kind", "", what));
    AR_TRY(ar_json_number_or(&gain, o, "gain", 0, 0, 1e6, what));
    AR_TRY(ar_json_bool_or(&l->two, o, "two", false, what));
    bool is_conv = strcmp(kind, "conv3x3") == 0;
    if (!is_conv && strcmp(kind, "product") != 0)
        return ar__fail(AR_ERR_FORMAT, "%s: kind: found '%s', expected conv3x3 or product", what, kind);
    l->H = (int32_t)sizes[0], l->W = (int32_t)sizes[1], l->C = (int32_t)sizes[2], l->O = (int32_t)sizes[3];
    l->low = (int32_t)sizes[4], l->high = (int32_t)sizes[5], l->M = (int32_t)sizes[6];
    l->K = is_conv ? 3 : 0;
    l->gain = (float)gain;
    int64_t inputs = is_conv ? (int64_t)l->C * 9 : (int64_t)l->H * l->W * l->C;
    if (inputs > EXACT)
        return ar__fail(AR_ERR_FORMAT, "%s: found %lld inputs, expected at most %d", what, (long long)inputs,
                        EXACT);
    l->I = (int32_t)inputs;
    return AR_OK;
}

/* Whether layer i reads what the one before gives, and its sums are exact. */
static ar_status check_layer(const ar_states_model *m, int32_t i, const char *what) {
    const ar_states_layer *l = &m->layers[i], *before = i ? l - 1 : NULL;
    bool is_last = i == m->layer_count - 1;
    int32_t H = !before     ? m->H
                : before->K ? before->H / 2
                            : 1,
            W = !before     ? m->W
                : before->K ? before->W / 2
                            : 1;
    int64_t input = before ? before->M - 1 : 255, most = -l->low > l->high ? -l->low : l->high;
    if (l->H != H || l->W != W || l->C != (before ? before->O : m->C))
        return ar__fail(AR_ERR_FORMAT, "%s: layer %d reads %d x %d x %d, expected what is given to it", what,
                        (int)i, (int)l->H, (int)l->W, (int)l->C);
    if (is_last ? l->gain > 0 || l->M || l->K || l->O != m->classes : !(l->gain > 0) || l->M < 2)
        return ar__fail(AR_ERR_FORMAT, "%s: layer %d: found %d states, gain %g, %d outputs, expected %s",
                        what, (int)i, (int)l->M, (double)l->gain, (int)l->O,
                        is_last ? "the scores" : "codes");
    if (most * input * l->I >= EXACT)
        return ar__fail(AR_ERR_FORMAT, "%s: layer %d: sums pass 2^24, expected less", what, (int)i);
    return AR_OK;
}

static ar_status read_config(ar_states_model *m, const ar_json *root, const char *what) {
    int64_t H, W, C, classes, mw, ma;
    const cJSON *list = ar_json_get(root, "layers"), *item;
    AR_TRY(ar_json_int(&H, root, "image_height", 1, 4096, what));
    AR_TRY(ar_json_int(&W, root, "image_width", 1, 4096, what));
    AR_TRY(ar_json_int(&C, root, "num_channels", 1, 64, what));
    AR_TRY(ar_json_int(&classes, root, "num_labels", 2, 65536, what));
    AR_TRY(ar_json_int(&mw, root, "weight_states", 2, 256, what));
    AR_TRY(ar_json_int(&ma, root, "activation_states", 2, 256, what));
    *m = (ar_states_model){.H = (int32_t)H, .W = (int32_t)W, .C = (int32_t)C, .classes = (int32_t)classes};
    m->mw = (int32_t)mw, m->ma = (int32_t)ma;
    int32_t count = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (count < 1 || count > 2 * AR_STATES_LAYERS + 1)
        return ar__fail(AR_ERR_FORMAT, "%s: layers: found %d, expected 1 to %d", what, (int)count,
                        2 * AR_STATES_LAYERS + 1);
    m->layers = ar__alloc((size_t)count, sizeof *m->layers);
    if (!m->layers) return AR_ERR_MEMORY;
    memset(m->layers, 0, (size_t)count * sizeof *m->layers);
    m->layer_count = count;
    int32_t i = 0;
    cJSON_ArrayForEach(item, list) AR_TRY(read_layer(&m->layers[i++], item, what));
    for (i = 0; i < count; i++) AR_TRY(check_layer(m, i, what));
    return AR_OK;
}

static ar_status unpack(ar_states_layer *l, const uint8_t *packed, const char *path, const char *name) {
    int32_t states = ar__states_of_codes(l), digits = digits_of(states);
    int64_t count = (int64_t)l->O * l->I;
    for (int64_t b = 0, at = 0; at < count; b++) {
        int32_t value = packed[b];
        for (int32_t k = 0; k < digits && at < count; k++, value /= states)
            l->codes[at++] = (int8_t)(l->two ? value % 2 * 2 - 1 : value % states + l->low);
        if (value > 0)
            return ar__fail(AR_ERR_FORMAT, "%s: %s: found byte %d at %lld, expected digits to base %d", path,
                            name, packed[b], (long long)b, (int)states);
    }
    return AR_OK;
}

static ar_status find(const ar_st_tensor **x, const ar_safetensors *st, const char *path, const char *name,
                      const char *dtype, int64_t bytes) {
    *x = ar_safetensors_find(st, name);
    if (*x && strcmp((*x)->dtype, dtype) == 0 && (*x)->bytes == (uint64_t)bytes) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: %s, expected %s of %lld bytes", path, name,
                    *x ? "found another" : "missing", dtype, (long long)bytes);
}

static ar_status load_layer(ar_states_layer *l, int32_t i, const ar_safetensors *st, const char *path) {
    const ar_st_tensor *x;
    char name[64];
    size_t fold_bytes = (size_t)l->O * 2 * sizeof *l->fold;
    snprintf(name, sizeof name, "layers.%d.codes", (int)i);
    AR_TRY(find(&x, st, path, name, "U8", ar__states_codes_bytes(l)));
    l->codes = ar__alloc((size_t)l->O, (size_t)l->I);
    l->fold = ar__alloc(1, fold_bytes);
    if (!l->codes || !l->fold) return AR_ERR_MEMORY;
    AR_TRY(unpack(l, x->data, path, name));
    snprintf(name, sizeof name, "layers.%d.fold", (int)i);
    AR_TRY(find(&x, st, path, name, "F32", (int64_t)fold_bytes));
    memcpy(l->fold, x->data, fold_bytes);
    for (int32_t k = 0; k < 2 * l->O; k++)
        if (!isfinite(l->fold[k]))
            return ar__fail(AR_ERR_FORMAT, "%s: %s: element %d is %g, expected a finite number", path, name,
                            (int)k, (double)l->fold[k]);
    return ar_states_thresholds(l);
}

ar_status ar_states_open(ar_states_model *m, const char *folder) {
    ar_status status;
    char *config = NULL, *numbers = NULL;
    ar_json *root = NULL;
    ar_safetensors *st = NULL;
    *m = (ar_states_model){0};
    AR_GO(ar_path_join(&config, folder, "config.json"));
    AR_GO(ar_path_join(&numbers, folder, AR__STATES_NUMBERS));
    AR_GO(ar_json_open(&root, config, JSON_BYTES));
    AR_GO(read_config(m, root, config));
    AR_GO(ar_safetensors_open(&st, numbers));
    for (int32_t i = 0; i < m->layer_count; i++) AR_GO(load_layer(&m->layers[i], i, st, numbers));
done:
    if (status != AR_OK) ar_states_model_deinit(m);
    ar_safetensors_close(st);
    ar_json_close(root);
    free(config);
    free(numbers);
    return status;
}
