/* Reading packed folders, as float tensors: config.json's quantization_config of quant_method "gptq" (files
 * with and without the zero point's -1) or "auto-round" in the GPTQ layout (docs/formats.md). Rows are s (q -
 * zp) in plain f32, as ar_qlinear_dequant gives them. Nothing is cached, so threads may read side by side. */
#include "fmt_gptq.h"
#include "fmt_safetensors.h"
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_BYTES ((size_t)16 << 20)
#define TILE         16 /* rows read together: words of one column row lie side by side */

typedef struct override {
    const char *name;
    ar_gptq_scheme scheme;
} override;

typedef struct linear {
    const ar_st_tensor *qweight, *qzeros, *scales, *g_idx;
    ar_gptq_scheme scheme;
    int64_t O, I, groups, group; /* group: as used, I if there is only one */
    char name[256], type[40];
} linear;

typedef struct packed {
    ar_weights floats; /* every tensor of the file */
    const ar_safetensors *st;
    const char *path;
    ar_json *config;
    char *config_path;
    const char *method; /* for types: "gptq" or "auto_round" */
    ar_gptq_scheme scheme;
    bool desc_act;
    override *overrides;
    int32_t override_count;
    linear *linears;
    ar_weight *list;
    int64_t *sources; /* of list[i]: a float tensor's index, or -1 - index into linears */
    int64_t count, linear_count;
} packed;

/* ---- config.json ---- */

static ar_status read_scheme(ar_gptq_scheme *s, const ar_json *obj, const ar_gptq_scheme *fallback,
                             const char *what) {
    int64_t bits, group;
    AR_TRY(ar_json_int_or(&bits, obj, "bits", fallback->bits, 0, 32, what));
    AR_TRY(ar_json_int_or(&group, obj, "group_size", fallback->group, -1, INT32_MAX, what));
    AR_TRY(ar_json_bool_or(&s->sym, obj, "sym", fallback->sym, what));
    bool packs = bits == 2 || bits == 3 || bits == 4 || bits == 8;
    if (!packs && bits < 16)
        return ar__fail(AR_ERR_FORMAT, "%s: bits: found %d, expected 2, 3, 4 or 8", what, (int)bits);
    if (group == 0)
        return ar__fail(AR_ERR_FORMAT, "%s: group_size: found 0, expected -1 or a positive number", what);
    s->bits = (int32_t)bits;
    s->group = (int32_t)group;
    s->minus_one = fallback->minus_one;
    return AR_OK;
}

/* Which of the known names `key` has. */
static ar_status read_choice(int32_t *choice, const ar_json *obj, const char *key, const char *fallback,
                             const char *const *names, const char *expected, const char *what) {
    const char *found;
    AR_TRY(ar_json_string_or(&found, obj, key, fallback, what));
    for (*choice = 0; names[*choice]; ++*choice)
        if (strcmp(names[*choice], found) == 0) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s: %s: found \"%s\", expected %s", what, key, found, expected);
}

static ar_status read_gptq(packed *p, const ar_json *q) {
    static const char *const formats[] = {"gptq", "gptq_v2", NULL};
    int32_t format;
    AR_TRY(read_choice(&format, q, "checkpoint_format", "gptq", formats, "gptq or gptq_v2", p->config_path));
    AR_TRY(ar_json_bool_or(&p->desc_act, q, "desc_act", false, p->config_path));
    p->scheme.minus_one = format == 0;
    p->method = "gptq";
    return AR_OK;
}

static ar_status read_auto_round(packed *p, const ar_json *q) {
    static const char *const packings[] = {"auto_round:auto_gptq", "auto_round:gptq", "auto_round",
                                           "auto_round:gptqmodel", NULL};
    static const char *const types[] = {"int", NULL};
    int32_t packing, type;
    int64_t act_bits;
    AR_TRY(read_choice(&packing, q, "packing_format", packings[0], packings,
                       "auto_round, auto_round:auto_gptq or auto_round:gptqmodel", p->config_path));
    AR_TRY(read_choice(&type, q, "data_type", "int", types, "int", p->config_path));
    AR_TRY(ar_json_int_or(&act_bits, q, "act_bits", 16, 0, 32, p->config_path));
    if (act_bits < 16)
        return ar__fail(AR_ERR_FORMAT, "%s: act_bits: found %d, expected at least 16", p->config_path,
                        (int)act_bits);
    p->scheme.minus_one = packing < 2;
    p->method = "auto_round";
    return AR_OK;
}

/* extra_config's names and dynamic's patterns with schemes of their own. Patterns are not matched against
 * names: the shapes of a packed linear tell which scheme it has. */
static ar_status read_overrides(packed *p, const ar_json *q, const char *key) {
    const cJSON *list = ar_json_get(q, key);
    if (!list || cJSON_IsNull(list)) return AR_OK;
    if (!cJSON_IsObject(list))
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found no object, expected one", p->config_path, key);
    p->overrides = ar__alloc((size_t)cJSON_GetArraySize(list), sizeof *p->overrides);
    if (!p->overrides) return AR_ERR_MEMORY;
    for (const cJSON *row = list->child; row; row = row->next) {
        if (strncmp(row->string, "-:", 2) == 0) continue;
        if (!cJSON_IsObject(row))
            return ar__fail(AR_ERR_FORMAT, "%s: %s: %s: found no object, expected one", p->config_path, key,
                            row->string);
        override *o = &p->overrides[p->override_count++];
        o->name = row->string;
        AR_TRY(read_scheme(&o->scheme, row, &p->scheme, p->config_path));
    }
    return AR_OK;
}

static ar_status read_config(packed *p, const char *folder) {
    static const char *const methods[] = {"gptq", "auto-round", NULL};
    int32_t method;
    AR_TRY(ar_path_join(&p->config_path, folder, "config.json"));
    AR_TRY(ar_json_open(&p->config, p->config_path, CONFIG_BYTES));
    const ar_json *q = ar_json_get(p->config, "quantization_config");
    if (!cJSON_IsObject(q))
        return ar__fail(AR_ERR_FORMAT, "%s: quantization_config: found none, expected an object",
                        p->config_path);
    AR_TRY(read_choice(&method, q, "quant_method", "", methods, "gptq or auto-round", p->config_path));
    AR_TRY(method == 0 ? read_gptq(p, q) : read_auto_round(p, q));
    int64_t bits;
    AR_TRY(ar_json_int(&bits, q, "bits", 2, 8, p->config_path));
    AR_TRY(read_scheme(&p->scheme, q, &(ar_gptq_scheme){(int32_t)bits, 128, true, p->scheme.minus_one},
                       p->config_path));
    return read_overrides(p, q, method == 0 ? "dynamic" : "extra_config");
}

/* ---- packed linears ---- */

static uint32_t load_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void shape_text(char out[64], const char *dtype, int32_t dim_count, const int64_t *dims) {
    int n = snprintf(out, 64, "%s (", dtype);
    for (int32_t d = 0; d < dim_count && n < 60; d++)
        n += snprintf(out + n, (size_t)(64 - n), "%s%" PRId64, d ? ", " : "", dims[d]);
    if (n < 62) snprintf(out + n, (size_t)(64 - n), ")");
}

static ar_status expect_tensor(const packed *p, const char *name, const ar_st_tensor *t, const char *dtype,
                               int32_t dim_count, const int64_t *dims) {
    bool same = t && strcmp(t->dtype, dtype) == 0 && t->dim_count == dim_count;
    for (int32_t d = 0; same && d < dim_count; d++) same = t->dims[d] == dims[d];
    if (same) return AR_OK;
    char found[64] = "nothing", expected[64];
    if (t) shape_text(found, t->dtype, t->dim_count, t->dims);
    shape_text(expected, dtype, dim_count, dims);
    return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found %s, expected %s", p->path, name, found, expected);
}

/* Dimensions under a scheme, and whether every tensor then has its shape. */
static ar_status check_linear(const packed *p, linear *l, const ar_gptq_scheme *s) {
    char name[sizeof l->name + 16];
    int32_t bits = s->bits, prefix = (int32_t)strlen(l->name) - 7; /* less ".weight" */
    if (bits > 8)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found packed, expected float (%d bits)", p->path,
                        l->qweight->name, (int)bits);
    bool flat = l->qweight->dim_count == 2;
    int64_t words = flat ? l->qweight->dims[0] : 0;
    l->O = flat ? l->qweight->dims[1] : 0;
    l->I = words / bits * 32;
    if (l->O < 1 || l->O % 32 != 0 || l->I < 1 || words % bits != 0 || l->O > INT32_MAX || l->I > INT32_MAX) {
        char found[64];
        shape_text(found, l->qweight->dtype, l->qweight->dim_count, l->qweight->dims);
        return ar__fail(AR_ERR_FORMAT,
                        "%s: tensor %s: found %s, expected I32 (in / 32 * %d, out), both multiples of 32",
                        p->path, l->qweight->name, found, (int)bits);
    }
    l->groups = s->group < 0 ? 1 : (l->I + s->group - 1) / s->group;
    l->group = l->groups == 1 ? l->I : s->group;
    l->scheme = *s;
    const int64_t weight[] = {words, l->O}, zeros[] = {l->groups, l->O / 32 * bits},
                  scales[] = {l->groups, l->O};
    AR_TRY(expect_tensor(p, l->qweight->name, l->qweight, "I32", 2, weight));
    snprintf(name, sizeof name, "%.*s.qzeros", prefix, l->name);
    AR_TRY(expect_tensor(p, name, l->qzeros, "I32", 2, zeros));
    snprintf(name, sizeof name, "%.*s.scales", prefix, l->name);
    return expect_tensor(p, name, l->scales, "F16", 2, scales);
}

/* The scheme of a linear: an override under its own name, else the default, else a pattern's that fits. */
static ar_status find_scheme(const packed *p, linear *l) {
    size_t prefix = strlen(l->name) - 7;
    for (int32_t i = 0; i < p->override_count; i++) {
        const override *o = &p->overrides[i];
        if (strlen(o->name) == prefix && memcmp(o->name, l->name, prefix) == 0)
            return check_linear(p, l, &o->scheme);
    }
    ar_status status = check_linear(p, l, &p->scheme);
    for (int32_t i = 0; status == AR_ERR_FORMAT && i < p->override_count; i++)
        if (check_linear(p, l, &p->overrides[i].scheme) == AR_OK) return AR_OK;
    return status == AR_OK ? AR_OK : check_linear(p, l, &p->scheme); /* for its error */
}

static ar_status check_g_idx(const packed *p, const linear *l) {
    if (!l->g_idx && p->desc_act)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found no g_idx beside it, expected one (desc_act)",
                        p->path, l->qweight->name);
    if (!l->g_idx) return AR_OK;
    AR_TRY(expect_tensor(p, l->g_idx->name, l->g_idx, "I32", 1, &l->I));
    for (int64_t i = 0; i < l->I; i++) {
        uint32_t found = load_u32(l->g_idx->data + 4 * i);
        if (found != (uint32_t)(i / l->group))
            return ar__fail(AR_ERR_FORMAT,
                            "%s: tensor %s: found group %" PRIu32 " at %" PRId64 ", expected %" PRId64
                            " (reordered inputs are not supported)",
                            p->path, l->g_idx->name, found, i, i / l->group);
    }
    return AR_OK;
}

/* The tensor PREFIX.suffix, PREFIX being the first bytes of name; NULL if there is none. */
static const ar_st_tensor *beside(const packed *p, const char *name, size_t prefix, const char *suffix) {
    char other[300];
    snprintf(other, sizeof other, "%.*s.%s", (int)prefix, name, suffix);
    return ar_safetensors_find(p->st, other);
}

static ar_status bind_linear(packed *p, linear *l, const ar_st_tensor *qweight, size_t prefix) {
    if (prefix + 8 > sizeof l->name)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %.60s…: found a name of %zu bytes, expected at most %zu",
                        p->path, qweight->name, strlen(qweight->name), sizeof l->name - 8);
    snprintf(l->name, sizeof l->name, "%.*s.weight", (int)prefix, qweight->name);
    l->qweight = qweight;
    l->qzeros = beside(p, qweight->name, prefix, "qzeros");
    l->scales = beside(p, qweight->name, prefix, "scales");
    l->g_idx = beside(p, qweight->name, prefix, "g_idx");
    if (ar_safetensors_find(p->st, l->name))
        return ar__fail(AR_ERR_FORMAT,
                        "%s: tensor %s: found a float tensor beside the packed one, expected one of them",
                        p->path, l->name);
    AR_TRY(find_scheme(p, l));
    AR_TRY(check_g_idx(p, l));
    snprintf(l->type, sizeof l->type, l->scheme.group < 0 ? "%s%d" : "%s%dg%d", p->method,
             (int)l->scheme.bits, (int)l->scheme.group);
    return AR_OK;
}

/* ---- the list of tensors ---- */

/* Bytes of name before ".suffix"; 0 if it does not end so. */
static size_t prefix_of(const char *name, const char *suffix) {
    size_t n = strlen(name), s = strlen(suffix);
    return n > s + 1 && name[n - s - 1] == '.' && strcmp(name + n - s, suffix) == 0 ? n - s - 1 : 0;
}

/* A part of a packed linear other than its qweight. */
static ar_status is_part(bool *part, const packed *p, const char *name) {
    static const char *const suffixes[] = {"qzeros", "scales", "g_idx"};
    *part = false;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t prefix = prefix_of(name, suffixes[i]);
        if (!prefix) continue;
        *part = true;
        if (!beside(p, name, prefix, "qweight"))
            return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found no %.*s.qweight, expected it", p->path, name,
                            (int)prefix, name);
    }
    return AR_OK;
}

static ar_status add_linear(packed *p, const ar_st_tensor *qweight, size_t prefix) {
    linear *l = &p->linears[p->linear_count++];
    AR_TRY(bind_linear(p, l, qweight, prefix));
    ar_weight *w = &p->list[p->count];
    *w = (ar_weight){.name = l->name, .dim_count = 2, .dims = {l->O, l->I}, .type = l->type};
    w->file_bytes =
        l->qweight->bytes + l->qzeros->bytes + l->scales->bytes + (l->g_idx ? l->g_idx->bytes : 0);
    p->sources[p->count++] = -p->linear_count;
    return AR_OK;
}

static ar_status list_tensors(packed *p) {
    int64_t count = ar_safetensors_count(p->st), linears = 0;
    for (int64_t i = 0; i < count; i++)
        linears += prefix_of(ar_safetensors_at(p->st, i)->name, "qweight") > 0;
    p->list = ar__alloc((size_t)count, sizeof *p->list);
    p->sources = p->list ? ar__alloc((size_t)count, sizeof *p->sources) : NULL;
    p->linears = p->sources ? ar__alloc((size_t)linears, sizeof *p->linears) : NULL;
    if (!p->linears) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < count; i++) {
        const ar_st_tensor *t = ar_safetensors_at(p->st, i);
        size_t prefix = prefix_of(t->name, "qweight");
        bool part;
        AR_TRY(is_part(&part, p, t->name));
        if (part) continue;
        if (prefix) {
            AR_TRY(add_linear(p, t, prefix));
            continue;
        }
        p->list[p->count] = *p->floats.vtable->at(p->floats.impl, i);
        p->sources[p->count++] = i;
    }
    return AR_OK;
}

/* ---- reading ---- */

/* Codes (rows, I) of the output rows [row, row + rows), in tiles: words of neighbouring rows are neighbours.
 */
static void unpack_codes(uint8_t *codes, const linear *l, int64_t row, int64_t rows) {
    int32_t bits = l->scheme.bits;
    uint32_t mask = (1u << bits) - 1, words[9] = {0};
    for (int64_t i = 0; i < l->I; i += 32)
        for (int64_t r = 0; r < rows; r++) {
            const uint8_t *src = l->qweight->data + 4 * (i / 32 * bits * l->O + row + r);
            for (int32_t w = 0; w < bits; w++) words[w] = load_u32(src + 4 * w * l->O);
            for (int32_t j = 0; j < 32; j++) {
                int32_t at = j * bits, shift = at % 32;
                uint32_t value = words[at / 32] >> shift;
                if (shift + bits > 32) value |= words[at / 32 + 1] << (32 - shift);
                codes[r * l->I + i + j] = (uint8_t)(value & mask);
            }
        }
}

/* The zero point, 0 .. 2^bits: classic loaders add the 1 without masking, and so do we. */
static int32_t zero_of(const linear *l, int64_t row, int64_t group) {
    int32_t bits = l->scheme.bits;
    const uint8_t *words = l->qzeros->data + 4 * group * (l->O / 32 * bits);
    int64_t at = row * bits, shift = at % 32;
    uint32_t value = load_u32(words + 4 * (at / 32)) >> shift;
    if (shift + bits > 32) value |= load_u32(words + 4 * (at / 32 + 1)) << (32 - shift);
    return (int32_t)(value & ((1u << bits) - 1)) + l->scheme.minus_one;
}

static uint16_t scale_of(const linear *l, int64_t row, int64_t group) {
    const uint8_t *p = l->scales->data + 2 * (group * l->O + row);
    return (uint16_t)(p[0] | p[1] << 8);
}

static ar_status read_linear(const linear *l, float *dst, int64_t row, int64_t rows) {
    if (rows == 0) return AR_OK;
    uint8_t *codes = ar__alloc((size_t)(rows < TILE ? rows : TILE), (size_t)l->I);
    if (!codes) return AR_ERR_MEMORY;
    for (int64_t from = 0; from < rows; from += TILE) {
        int64_t n = rows - from < TILE ? rows - from : TILE;
        unpack_codes(codes, l, row + from, n);
        for (int64_t r = 0; r < n; r++)
            for (int64_t g = 0; g < l->groups; g++) {
                float s = ar_f16_to_f32(scale_of(l, row + from + r, g));
                int32_t zero = zero_of(l, row + from + r, g);
                int64_t end = (g + 1) * l->group < l->I ? (g + 1) * l->group : l->I;
                for (int64_t i = g * l->group; i < end; i++)
                    dst[(from + r) * l->I + i] = s * (float)(codes[r * l->I + i] - zero);
            }
    }
    free(codes);
    return AR_OK;
}

static const linear *linear_at(const packed *p, int64_t i) {
    return p->sources[i] < 0 ? &p->linears[-1 - p->sources[i]] : NULL;
}

static ar_status check_index(const packed *p, int64_t i) {
    if (i >= 0 && i < p->count) return AR_OK;
    return ar__fail(AR_ERR_ARG, "%s: found tensor index %" PRId64 ", expected below %" PRId64, p->path, i,
                    p->count);
}

static ar_status packed_read(const void *impl, float *dst, int64_t i, int64_t row, int64_t rows) {
    const packed *p = impl;
    AR_TRY(check_index(p, i));
    const linear *l = linear_at(p, i);
    if (!l) return p->floats.vtable->read(p->floats.impl, dst, p->sources[i], row, rows);
    if (row < 0 || rows < 0 || row > l->O || rows > l->O - row)
        return ar__fail(AR_ERR_ARG,
                        "%s: tensor %s: found %" PRId64 " rows from %" PRId64
                        ", expected them in [0, %" PRId64 ")",
                        p->path, l->name, rows, row, l->O);
    return read_linear(l, dst, row, rows);
}

static ar_status read_zeros(ar_qlinear *q, const packed *p, const linear *l, bool *constant) {
    int32_t middle = 1 << (l->scheme.bits - 1), most = (1 << l->scheme.bits) - 1;
    *constant = true;
    for (int64_t o = 0; o < l->O; o++)
        for (int64_t g = 0; g < l->groups; g++) {
            int32_t zero = zero_of(l, o, g);
            if (zero > most)
                return ar__fail(AR_ERR_UNSUPPORTED, "%s: tensor %s: found zero point %d, expected at most %d",
                                p->path, l->qzeros->name, (int)zero, (int)most);
            if (zero != middle) *constant = false;
            q->zeros[o * l->groups + g] = (uint8_t)zero;
        }
    return AR_OK;
}

static ar_status packed_read_codes(const void *impl, ar_qlinear *q, int64_t i) {
    const packed *p = impl;
    *q = (ar_qlinear){0};
    AR_TRY(check_index(p, i));
    const linear *l = linear_at(p, i);
    if (!l)
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: tensor %s: found a float tensor, expected codes", p->path,
                        p->list[i].name);
    bool constant;
    AR_TRY(ar_qlinear_init(q, &(ar_scheme){l->scheme.bits, l->scheme.group, AR_ZERO_INT, 0, AR_SUPER_NONE}, l->O, l->I));
    ar_status status = read_zeros(q, p, l, &constant);
    if (status != AR_OK) {
        ar_qlinear_deinit(q);
        return status;
    }
    if (l->scheme.sym && constant) q->scheme.zero = AR_ZERO_SYM;
    for (int64_t row = 0; row < l->O; row += TILE)
        unpack_codes(q->codes + row * l->I, l, row, l->O - row < TILE ? l->O - row : TILE);
    for (int64_t o = 0; o < l->O; o++)
        for (int64_t g = 0; g < l->groups; g++) q->scales[o * l->groups + g] = scale_of(l, o, g);
    return AR_OK;
}

/* ---- opening ---- */

static void packed_close(void *impl) {
    packed *p = impl;
    ar_weights_close(&p->floats);
    ar_json_close(p->config);
    free(p->config_path);
    free(p->overrides);
    free(p->linears);
    free(p->list);
    free(p->sources);
    free(p);
}

static int64_t packed_count(const void *impl) { return ((const packed *)impl)->count; }

static const ar_weight *packed_at(const void *impl, int64_t i) {
    const packed *p = impl;
    return i >= 0 && i < p->count ? &p->list[i] : NULL;
}

ar_status ar_weights_open_packed(ar_weights *w, const char *folder) {
    static const ar_weights_vtable vtable = {packed_close, packed_count, packed_at, packed_read,
                                             packed_read_codes, NULL, NULL};
    *w = (ar_weights){0};
    packed *p = ar__alloc(1, sizeof *p);
    if (!p) return AR_ERR_MEMORY;
    ar_status status = read_config(p, folder);
    if (status == AR_OK) status = ar_weights_open_safetensors(&p->floats, folder);
    if (status == AR_OK) {
        p->st = ar__weights_safetensors(&p->floats);
        p->path = ar__weights_path(&p->floats);
        status = list_tensors(p);
    }
    if (status == AR_OK)
        *w = (ar_weights){&vtable, p};
    else
        packed_close(p);
    return status;
}
