/* Packed Hugging Face folders out: what their formats share. Codes, scales and zero points are stored as the
 * tuner made them; nothing is divided again. */
#include "fmt_packed.h"
#include "family.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define K_MULTIPLE  32
#define LEAST_GROUP 16

/* ---- tensors ---- */

static void add_tensor(ar_hf_tensors *out, const char *suffix, const char *dtype, int64_t rows,
                       int64_t width) {
    ar_hf_tensor *t = &out->list[out->count++];
    int32_t each = strcmp(dtype, "F16") == 0   ? 2
                   : strcmp(dtype, "I64") == 0 ? 8
                   : strcmp(dtype, "I8") == 0  ? 1
                                               : 4;
    *t = (ar_hf_tensor){.dim_count = rows ? 2 : 1, .dims = {rows ? rows : width, width}};
    strcpy(t->suffix, suffix);
    strcpy(t->dtype, dtype);
    t->bytes = (size_t)(rows ? rows : 1) * (size_t)width * (size_t)each;
}

static bool stores_zeros(const ar_packed_format *f, const ar_scheme *scheme) {
    return f->sym_zeros || scheme->zero != AR_ZERO_SYM;
}

static bool stores_inputs(const ar_packed_format *f) {
    return f->acts && f->acts->bits > 0 && f->acts->range == AR_ACTS_STATIC;
}

/* The order of the tensors here is that of fill. */
static ar_status declare(ar_hf_tensors *out, const ar_scheme *scheme, int64_t O, int64_t I, const void *ctx) {
    const ar_packed_format *f = ctx;
    const ar_packing *p = f->packing;
    int64_t groups = ar_scheme_groups(scheme, I);
    ar_streams codes = ar__packing_codes(p, O, I, scheme->bits),
               zeros = ar__packing_zeros(p, O, groups, scheme->bits);
    if (p->is_bytes) memcpy(codes.dims, (const int64_t[]){O, I}, sizeof codes.dims);
    if (p->is_bytes) memcpy(zeros.dims, (const int64_t[]){O, groups}, sizeof zeros.dims);
    *out = (ar_hf_tensors){0};
    add_tensor(out, p->codes, p->is_bytes ? "I8" : "I32", codes.dims[0], codes.dims[1]);
    if (stores_zeros(f, scheme))
        add_tensor(out, p->zeros, p->is_bytes ? "I8" : "I32", zeros.dims[0], zeros.dims[1]);
    add_tensor(out, p->scales, "F16", p->scales_output_first ? O : groups,
               p->scales_output_first ? groups : O);
    if (f->g_idx) add_tensor(out, p->g_idx, "I32", 0, I);
    if (p->shape) add_tensor(out, p->shape, "I64", 0, 2);
    if (stores_inputs(f)) add_tensor(out, p->input_scale, "F32", 0, 1);
    if (stores_inputs(f) && f->acts->asym) add_tensor(out, p->input_zero, "I8", 0, 1);
    return AR_OK;
}

static void fill_codes(uint32_t *dst, const ar_packing *p, const ar_qlinear *q) {
    ar_streams s = ar__packing_codes(p, q->O, q->I, q->scheme.bits);
    for (int64_t at = 0; at < s.count; at++)
        ar__stream_put(dst, &s, at, q->codes + at * (p->codes_along_O ? 1 : q->I),
                       p->codes_along_O ? q->I : 1);
}

/* Ours are from 0 on, signed bytes around it. */
static void fill_bytes(uint8_t *dst, const uint8_t *src, int64_t count) {
    for (int64_t i = 0; i < count; i++) dst[i] = src[i] ^ 0x80;
}

static ar_status fill_inputs(ar_hf_tensor *t, const ar_packed_format *f, const ar_qlinear *q) {
    const ar_extra *e = ar_qlinear_extra(q, AR_ACTS_EXTRA);
    if (!e) return ar__fail(AR_ERR_CHECK, "%s: found no range of inputs, expected one", f->name);
    const float *grid = e->data;
    int8_t zero = (int8_t)grid[1];
    memcpy(t[0].data, grid, sizeof *grid);
    if (f->acts->asym) memcpy(t[1].data, &zero, 1);
    return AR_OK;
}

static void fill_scales(uint16_t *dst, const ar_packing *p, const ar_qlinear *q) {
    for (int64_t o = 0; o < q->O; o++)
        for (int64_t g = 0; g < q->groups; g++)
            dst[p->scales_output_first ? o * q->groups + g : g * q->O + o] = q->scales[o * q->groups + g];
}

/* A zero point of 0 has no stored form as zp - 1: plans that need it tune with zero_min = 1. */
static ar_status fill_zeros(uint32_t *dst, const ar_packed_format *f, const ar_qlinear *q) {
    bool minus_one = q->scheme.zero == AR_ZERO_SYM ? f->sym_minus_one : f->asym_minus_one;
    ar_streams s = ar__packing_zeros(f->packing, q->O, q->groups, q->scheme.bits);
    uint8_t *values = ar__alloc((size_t)q->O, 1);
    if (!values) return AR_ERR_MEMORY;
    ar_status status = AR_OK;
    for (int64_t g = 0; status == AR_OK && g < q->groups; g++) {
        for (int64_t o = 0; o < q->O; o++) {
            uint8_t zero = q->zeros[o * q->groups + g];
            if (minus_one && zero == 0)
                status = ar__fail(AR_ERR_CHECK, "zero point of row %lld: found 0, expected at least 1",
                                  (long long)o);
            values[o] = (uint8_t)(zero - minus_one) & (uint8_t)((1 << q->scheme.bits) - 1);
        }
        ar__stream_put(dst, &s, g, values, 1);
    }
    free(values);
    return status;
}

static ar_status fill(ar_hf_tensors *out, const ar_qlinear *q, const void *ctx) {
    const ar_packed_format *f = ctx;
    for (int32_t i = 0; i < out->count; i++) {
        out->list[i].data = ar__alloc(1, out->list[i].bytes);
        if (!out->list[i].data) return AR_ERR_MEMORY;
    }
    const ar_hf_tensor *t = out->list;
    if (f->packing->is_bytes) {
        fill_bytes(t++->data, q->codes, q->O * q->I);
        if (stores_zeros(f, &q->scheme)) fill_bytes(t++->data, q->zeros, q->O * q->groups);
    } else {
        fill_codes(t++->data, f->packing, q);
        if (stores_zeros(f, &q->scheme)) AR_TRY(fill_zeros(t++->data, f, q));
    }
    fill_scales(t++->data, f->packing, q);
    if (f->g_idx) {
        int32_t *group_of = t++->data;
        int64_t group = q->groups == 1 ? q->I : q->scheme.group;
        for (int64_t i = 0; i < q->I; i++) group_of[i] = (int32_t)(i / group);
    }
    if (f->packing->shape) memcpy(t++->data, (const int64_t[]){q->O, q->I}, 2 * sizeof(int64_t));
    return stores_inputs(f) ? fill_inputs(out->list + (t - out->list), f, q) : AR_OK;
}

/* ---- config.json ---- */

void ar__packed_each_other(cJSON *list, const ar_write_source *src,
                           void (*add)(cJSON *list, const char *name, const ar_scheme *scheme)) {
    const ar_model *m = &src->model->model;
    char name[AR_HF_NAME];
    for (int32_t b = 0; b < m->block_count; b++) {
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++) {
            ar_scheme scheme;
            bool is_coded = ar__source_scheme(&scheme, src, &m->blocks[b], i);
            if (is_coded && ar__scheme_is(&scheme, &src->plan->scheme)) continue;
            ar__hf_linear_name(name, &m->blocks[b], i);
            add(list, name, is_coded ? &scheme : NULL);
        }
    }
}

void ar__packed_add_others(cJSON *c, const char *key, const ar_write_source *src,
                           void (*add)(cJSON *list, const char *name, const ar_scheme *scheme)) {
    cJSON *list = cJSON_CreateObject();
    ar__packed_each_other(list, src, add);
    if (ar_json_is_whole(list) && !list->child)
        cJSON_Delete(list);
    else
        ar_json_put(c, key, list);
}

void ar__packed_add_float(cJSON *list, const char *name, const ar_scheme *scheme) {
    if (!scheme) ar_json_push(list, cJSON_CreateString(name));
}

void ar__packed_add_head(cJSON *list, const ar_write_source *src) {
    const ar_family *family = ar__family_of(&src->model->config);
    if (family) ar__packed_add_float(list, family->names->head, NULL);
}

void ar__packed_add_scheme(cJSON *c, const ar_scheme *s) {
    ar_json_add_number(c, "bits", s->bits);
    ar_json_add_number(c, "group_size", s->group);
    ar_json_add_bool(c, "sym", s->zero == AR_ZERO_SYM);
}

static ar_status config(cJSON *root, const ar_write_source *src, const void *ctx) {
    const char *key = cJSON_GetObjectItemCaseSensitive(root, "dtype") ? "dtype" : "torch_dtype";
    cJSON_DeleteItemFromObjectCaseSensitive(root, key);
    ar_json_add_string(root, key, "float16");
    cJSON_DeleteItemFromObjectCaseSensitive(root, "quantization_config");
    ((const ar_packed_format *)ctx)->describe(ar_json_add_object(root, "quantization_config"), src);
    return AR_OK;
}

/* ---- formats ---- */

static int32_t common_multiple(int32_t a, int32_t b) {
    int32_t x = a, y = b;
    while (y) {
        int32_t rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

ar_status ar__packed_storage(ar_storage *s, const ar_output_plan *plan, const ar_packed_format *f) {
    int32_t group = plan->scheme.group;
    *s = (ar_storage){.bits_mask = f->bits_mask,
                      .sym = true,
                      .asym = true,
                      .asym_zero = AR_ZERO_INT,
                      .zero_min = f->asym_minus_one,
                      .k_multiple = K_MULTIPLE,
                      .n_multiple = f->n_multiple};
    if (group > 0 && group < LEAST_GROUP)
        return ar__fail(AR_ERR_USAGE, "format %s cannot store groups of %d, expected at least %d, or -1",
                        f->name, (int)group, LEAST_GROUP);
    if (f->whole_groups && group > 0 && group <= INT32_MAX / K_MULTIPLE)
        s->k_multiple = common_multiple(K_MULTIPLE, group);
    else if (f->whole_groups && group > 0)
        s->k_multiple = INT32_MAX; /* no linear is that wide */
    return AR_OK;
}

/* Schemes that linears have of their own are the caller's choice: is it one that the plan's formats hold? */
static ar_status check_schemes(const ar_write_source *src) {
    const ar_model *m = &src->model->model;
    for (int32_t b = 0; b < m->block_count; b++)
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++) {
            const ar_linear *lin = &m->blocks[b].linears[i];
            ar_scheme s;
            if (!ar__source_scheme(&s, src, &m->blocks[b], i)) continue;
            if (ar_output_plan_holds_scheme(src->plan, &s, lin->O, lin->I)) continue;
            return ar__fail(
                AR_ERR_UNSUPPORTED,
                "%s.%s: found %d bits in groups of %d, which the formats cannot hold beside %d in %d",
                m->blocks[b].name, lin->name, (int)s.bits, (int)s.group, (int)src->plan->scheme.bits,
                (int)src->plan->scheme.group);
        }
    return AR_OK;
}

static ar_hf_layout layout_of(const ar_packed_format *f) {
    return (ar_hf_layout){.float_dtype = "F16", .declare = declare, .fill = fill, .config = config, .ctx = f};
}

ar_status ar__packed_write(const char *path, const ar_write_source *src, const ar_packed_format *f) {
    ar_hf_layout layout = layout_of(f);
    AR_TRY(check_schemes(src));
    return ar__hf_folder_write(path, src, &layout);
}

ar_status ar__packed_size(ar_output_size *size, const ar_write_source *src, const ar_packed_format *f) {
    ar_hf_layout layout = layout_of(f);
    return ar__hf_folder_size(size, src, &layout);
}

ar_status ar__packed_accepts_linears(const ar_open_model *m, const ar_output_plan *plan) {
    char able[256] = "";
    (void)plan;
    if (!m->config.is_conv1d) return AR_OK;
    for (int32_t i = 0; ar_format_at(i); i++) {
        size_t used = strlen(able);
        if (ar_format_at(i)->accepts == ar__packed_accepts_linears || !ar_format_has_codes(ar_format_at(i)))
            continue;
        snprintf(able + used, sizeof able - used, "%s%s", used ? ", " : "", ar_format_at(i)->name);
    }
    return ar__fail(AR_ERR_UNSUPPORTED, "%s: found Conv1D products (family %s), which only %s hold", m->path,
                    m->config.family, able);
}

ar_status ar__packed_verify(const char *path, const ar_write_source *src) {
    ar_weights w = {0};
    AR_TRY(ar_weights_open_packed(&w, path));
    ar_status status = ar__hf_verify_linears(&w, path, src, true);
    if (status == AR_OK) status = ar__hf_verify_floats(&w, path, src, "F16");
    if (status == AR_OK) status = ar__hf_verify_copies(path, src);
    ar_weights_close(&w);
    return status;
}
