/* Reading packed folders, as float tensors (docs/formats.md): config.json's quantization_config of
 * quant_method "gptq" (files with and without the zero point's -1, inputs in any order), "auto-round", "awq"
 * or "compressed-tensors". Rows are s (q - zp) in plain f32, as ar_qlinear_dequant gives them. Nothing is
 * cached, so threads may read side by side.
 */
#include "fmt_packed.h"
#include "fmt_safetensors.h"
#include "notes.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TILE 32 /* rows read together: their words are neighbours in all layouts but one */

typedef struct linear {
    const ar_st_tensor *codes, *zeros, *scales, *g_idx, *shape; /* NULL where there is none */
    ar_packed_scheme scheme;
    ar_streams code_streams, zero_streams;
    int64_t O, I, groups, group; /* group: as used, I if there is only one */
    bool reordered;              /* g_idx is not i / group */
    char name[256], type[40];
} linear;

typedef struct packed {
    ar_weights floats; /* every tensor of the file */
    const ar_safetensors *st;
    const char *path;
    ar_packed_config config;
    linear *linears;
    ar_weight *list;
    int64_t *sources; /* of list[i]: a float tensor's index, or -1 - index into linears */
    int64_t count, linear_count;
} packed;

/* ---- packed linears ---- */

static int64_t load_int(const uint8_t *p, int32_t bytes) {
    uint64_t value = 0;
    for (int32_t i = 0; i < bytes; i++) value |= (uint64_t)p[i] << 8 * i;
    return bytes == 4 ? (int64_t)(int32_t)(uint32_t)value : (int64_t)value;
}

static void shape_text(char out[64], const char *dtype, int32_t dim_count, const int64_t *dims) {
    int n = snprintf(out, 64, "%s (", dtype);
    for (int32_t d = 0; d < dim_count && n < 60; d++)
        n += snprintf(out + n, (size_t)(64 - n), "%s%" PRId64, d ? ", " : "", dims[d]);
    if (n < 62) snprintf(out + n, (size_t)(64 - n), ")");
}

/* t is what PREFIX.suffix of the linear should be; NULL if it is missing. */
static ar_status expect_tensor(const packed *p, const linear *l, const char *suffix, const ar_st_tensor *t,
                               const char *dtype, int32_t dim_count, const int64_t *dims) {
    bool same = t && strcmp(t->dtype, dtype) == 0 && t->dim_count == dim_count;
    for (int32_t d = 0; same && d < dim_count; d++) same = t->dims[d] == dims[d];
    if (same) return AR_OK;
    char found[64] = "nothing", expected[64];
    if (t) shape_text(found, t->dtype, t->dim_count, t->dims);
    shape_text(expected, dtype, dim_count, dims);
    return ar__fail(AR_ERR_FORMAT, "%s: tensor %.*s.%s: found %s, expected %s", p->path,
                    (int)strlen(l->name) - 7, l->name, suffix, found, expected);
}

static ar_status bad_codes(const packed *p, const linear *l, const char *expected) {
    char found[64];
    shape_text(found, l->codes->dtype, l->codes->dim_count, l->codes->dims);
    return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found %s, expected %s %s", p->path, l->codes->name, found,
                    p->config.packing->is_bytes ? "I8" : "I32", expected);
}

/* O and I from the shape of the codes, or from a tensor of its own. */
static ar_status read_shape(const packed *p, linear *l, int32_t bits) {
    const ar_packing *packing = p->config.packing;
    bool flat = l->codes->dim_count == 2;
    int64_t rows = flat ? l->codes->dims[0] : 0, width = flat ? l->codes->dims[1] : 0;
    if (packing->is_bytes) {
        l->O = rows;
        l->I = width;
        bool fits = rows > 0 && width > 0 && rows <= INT32_MAX && width <= INT32_MAX;
        return fits ? AR_OK : bad_codes(p, l, "(out, in)");
    }
    if (packing->shape) {
        AR_TRY(expect_tensor(p, l, packing->shape, l->shape, "I64", 1, &(int64_t){2}));
        l->O = load_int(l->shape->data, 8);
        l->I = load_int(l->shape->data + 8, 8);
        if (l->O < 1 || l->I < 1 || l->O > INT32_MAX || l->I > INT32_MAX)
            return ar__fail(AR_ERR_FORMAT,
                            "%s: tensor %s: found (%" PRId64 ", %" PRId64 "), expected two positive sizes",
                            p->path, l->shape->name, l->O, l->I);
        return AR_OK;
    }
    if (packing->codes_along_O) {
        l->O = width < INT32_MAX / 8 ? width * 32 / bits : 0;
        l->I = rows;
        bool fits = l->O > 0 && l->I > 0 && l->I <= INT32_MAX && 32 % bits == 0;
        return fits ? AR_OK : bad_codes(p, l, "(in, out / 8)");
    }
    l->O = width;
    l->I = rows <= INT32_MAX ? rows / bits * 32 : 0;
    bool fits =
        l->O > 0 && l->O % 32 == 0 && l->O <= INT32_MAX && rows % bits == 0 && l->I > 0 && l->I <= INT32_MAX;
    char expected[64];
    snprintf(expected, sizeof expected, "(in / 32 * %d, out), both multiples of 32", (int)bits);
    return fits ? AR_OK : bad_codes(p, l, expected);
}

/* Dimensions under a scheme, and whether every tensor then has its shape. */
static ar_status check_linear(const packed *p, linear *l, const ar_packed_scheme *s) {
    const ar_packing *packing = p->config.packing;
    if (s->bits > 8)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found packed, expected float (%d bits)", p->path,
                        l->codes->name, (int)s->bits);
    AR_TRY(read_shape(p, l, s->bits));
    l->groups = s->group < 0 ? 1 : (l->I + s->group - 1) / s->group;
    l->group = l->groups == 1 ? l->I : s->group;
    l->scheme = *s;
    l->code_streams = ar__packing_codes(packing, l->O, l->I, s->bits);
    l->zero_streams = ar__packing_zeros(packing, l->O, l->groups, s->bits);
    const char *const type = packing->is_bytes ? "I8" : "I32";
    if (packing->is_bytes) memcpy(l->code_streams.dims, (const int64_t[]){l->O, l->I}, 2 * sizeof(int64_t));
    if (packing->is_bytes)
        memcpy(l->zero_streams.dims, (const int64_t[]){l->O, l->groups}, 2 * sizeof(int64_t));
    AR_TRY(expect_tensor(p, l, packing->codes, l->codes, type, 2, l->code_streams.dims));
    bool without_zeros = (packing->shape || packing->is_bytes) && s->sym;
    if (without_zeros && l->zeros)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found zero points, expected none (symmetric)", p->path,
                        l->zeros->name);
    if (!without_zeros) AR_TRY(expect_tensor(p, l, packing->zeros, l->zeros, type, 2, l->zero_streams.dims));
    const int64_t by_output[] = {l->O, l->groups}, by_group[] = {l->groups, l->O};
    const char *dtype = l->scales ? l->scales->dtype : "";
    bool is_float = strcmp(dtype, "BF16") == 0 || strcmp(dtype, "F32") == 0;
    return expect_tensor(p, l, packing->scales, l->scales, is_float ? dtype : "F16", 2,
                         packing->scales_output_first ? by_output : by_group);
}

/* Whether the override is for this name (bytes): it is the name, or the pattern "+:^name$" with its dots
 * escaped, as we write it. */
static bool names_linear(const char *override, const char *name, size_t bytes) {
    bool is_pattern = strncmp(override, "+:^", 3) == 0;
    size_t at = 0;
    for (override += is_pattern ? 3 : 0; *override && at < bytes; override++) {
        if (is_pattern && override[0] == '\\' && override[1] == '.') override++;
        if (*override != name[at++]) return false;
    }
    return at == bytes && strcmp(override, is_pattern ? "$" : "") == 0;
}

/* The scheme of a linear: an override under its own name, else the default, else another one that fits. Other
 * patterns are not matched: the shapes of a packed linear tell which scheme it has. */
static ar_status find_scheme(const packed *p, linear *l) {
    const ar_packed_config *c = &p->config;
    size_t prefix = strlen(l->name) - 7; /* less ".weight" */
    for (int32_t i = 0; i < c->override_count; i++) {
        const ar_packed_override *o = &c->overrides[i];
        if (names_linear(o->name, l->name, prefix)) return check_linear(p, l, &o->scheme);
    }
    ar_status status = check_linear(p, l, &c->scheme);
    for (int32_t i = 0; status == AR_ERR_FORMAT && i < c->override_count; i++)
        if (check_linear(p, l, &c->overrides[i].scheme) == AR_OK) return AR_OK;
    return status == AR_OK ? AR_OK : check_linear(p, l, &c->scheme); /* for its error */
}

static ar_status check_g_idx(const packed *p, linear *l) {
    if (!l->g_idx && p->config.desc_act)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found no g_idx beside it, expected one (desc_act)",
                        p->path, l->codes->name);
    if (!l->g_idx) return AR_OK;
    AR_TRY(expect_tensor(p, l, p->config.packing->g_idx, l->g_idx, "I32", 1, &l->I));
    for (int64_t i = 0; i < l->I; i++) {
        int64_t found = load_int(l->g_idx->data + 4 * i, 4);
        if (found < 0 || found >= l->groups)
            return ar__fail(AR_ERR_FORMAT,
                            "%s: tensor %s: found group %" PRId64 " at %" PRId64 ", expected 0 to %" PRId64,
                            p->path, l->g_idx->name, found, i, l->groups - 1);
        if (found != i / l->group) l->reordered = true;
    }
    return AR_OK;
}

/* The tensor PREFIX.suffix, PREFIX being the first bytes of name; NULL if there is none. */
static const ar_st_tensor *beside(const packed *p, const char *name, size_t prefix, const char *suffix) {
    char other[300];
    if (!suffix) return NULL;
    snprintf(other, sizeof other, "%.*s.%s", (int)prefix, name, suffix);
    return ar_safetensors_find(p->st, other);
}

static ar_status bind_linear(packed *p, linear *l, const ar_st_tensor *codes, size_t prefix) {
    const ar_packing *packing = p->config.packing;
    if (prefix + 8 > sizeof l->name)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %.60s…: found a name of %zu bytes, expected at most %zu",
                        p->path, codes->name, strlen(codes->name), sizeof l->name - 8);
    snprintf(l->name, sizeof l->name, "%.*s.weight", (int)prefix, codes->name);
    l->codes = codes;
    l->zeros = beside(p, codes->name, prefix, packing->zeros);
    l->scales = beside(p, codes->name, prefix, packing->scales);
    l->g_idx = beside(p, codes->name, prefix, packing->g_idx);
    l->shape = beside(p, codes->name, prefix, packing->shape);
    if (!packing->is_bytes && ar_safetensors_find(p->st, l->name))
        return ar__fail(AR_ERR_FORMAT,
                        "%s: tensor %s: found a float tensor beside the packed one, expected one of them",
                        p->path, l->name);
    AR_TRY(find_scheme(p, l));
    AR_TRY(check_g_idx(p, l));
    snprintf(l->type, sizeof l->type, l->scheme.group < 0 ? "%s%d" : "%s%dg%d", p->config.method,
             (int)l->scheme.bits, (int)l->scheme.group);
    return AR_OK;
}

/* ---- the list of tensors ---- */

/* Bytes of name before ".suffix"; 0 if it does not end so. */
static size_t prefix_of(const char *name, const char *suffix) {
    size_t n = strlen(name), s = strlen(suffix);
    return n > s + 1 && name[n - s - 1] == '.' && strcmp(name + n - s, suffix) == 0 ? n - s - 1 : 0;
}

/* The same of codes; those that are bytes are told from floats of that name by their type. */
static size_t codes_prefix(const packed *p, const ar_st_tensor *t) {
    const ar_packing *packing = p->config.packing;
    return packing->is_bytes && strcmp(t->dtype, "I8") != 0 ? 0 : prefix_of(t->name, packing->codes);
}

/* A part of a packed linear other than its codes. */
static ar_status is_part(bool *part, const packed *p, const char *name) {
    const ar_packing *packing = p->config.packing;
    const char *const suffixes[] = {packing->zeros, packing->scales,      packing->g_idx,
                                    packing->shape, packing->input_scale, packing->input_zero};
    *part = false;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t prefix = suffixes[i] ? prefix_of(name, suffixes[i]) : 0;
        if (!prefix) continue;
        *part = true;
        const ar_st_tensor *codes = beside(p, name, prefix, packing->codes);
        if (!codes || !codes_prefix(p, codes))
            return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found no %.*s.%s, expected it", p->path, name,
                            (int)prefix, name, packing->codes);
    }
    return AR_OK;
}

static uint64_t bytes_of(const ar_st_tensor *t) { return t ? t->bytes : 0; }

static ar_status add_linear(packed *p, const ar_st_tensor *codes, size_t prefix) {
    linear *l = &p->linears[p->linear_count++];
    AR_TRY(bind_linear(p, l, codes, prefix));
    ar_weight *w = &p->list[p->count];
    *w = (ar_weight){.name = l->name, .dim_count = 2, .dims = {l->O, l->I}, .type = l->type};
    w->file_bytes = bytes_of(l->codes) + bytes_of(l->zeros) + bytes_of(l->scales) + bytes_of(l->g_idx) +
                    bytes_of(l->shape);
    p->sources[p->count++] = -p->linear_count;
    return AR_OK;
}

static ar_status list_tensors(packed *p) {
    int64_t count = ar_safetensors_count(p->st), linears = 0;
    for (int64_t i = 0; i < count; i++) linears += codes_prefix(p, ar_safetensors_at(p->st, i)) > 0;
    p->list = ar__alloc((size_t)count, sizeof *p->list);
    p->sources = p->list ? ar__alloc((size_t)count, sizeof *p->sources) : NULL;
    p->linears = p->sources ? ar__alloc((size_t)linears, sizeof *p->linears) : NULL;
    if (!p->linears) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < count; i++) {
        const ar_st_tensor *t = ar_safetensors_at(p->st, i);
        size_t prefix = codes_prefix(p, t);
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

/* Codes (rows, I) of the output rows [row, row + rows), where a stream holds the inputs of one output. */
static void unpack_by_output(uint8_t *codes, const linear *l, int64_t row, int64_t rows) {
    uint8_t values[32];
    for (int64_t i = 0; i < l->I; i += 32)
        for (int64_t r = 0; r < rows; r++) {
            ar__stream_block(values, &l->code_streams, l->codes->data, row + r, i / 32);
            memcpy(codes + r * l->I + i, values, (size_t)(l->I - i < 32 ? l->I - i : 32));
        }
}

/* The same where a stream holds the outputs of one input. */
static void unpack_by_input(uint8_t *codes, const linear *l, int64_t row, int64_t rows) {
    uint8_t values[32];
    for (int64_t i = 0; i < l->I; i++)
        for (int64_t block = row / 32; block <= (row + rows - 1) / 32; block++) {
            int64_t first = block * 32 > row ? block * 32 : row,
                    end = block * 32 + 32 < row + rows ? block * 32 + 32 : row + rows;
            ar__stream_block(values, &l->code_streams, l->codes->data, i, block);
            for (int64_t o = first; o < end; o++) codes[(o - row) * l->I + i] = values[o % 32];
        }
}

static void unpack_codes(uint8_t *codes, const packed *p, const linear *l, int64_t row, int64_t rows) {
    const uint8_t *bytes = l->codes->data + row * l->I;
    if (p->config.packing->is_bytes) {
        for (int64_t i = 0; i < rows * l->I; i++) codes[i] = bytes[i] ^ 0x80;
        return;
    }
    (p->config.packing->codes_along_O ? unpack_by_input : unpack_by_output)(codes, l, row, rows);
}

/* The zero point, 0 .. 2^bits: classic loaders add the 1 without masking, and so do we. */
static int32_t zero_of(const linear *l, int64_t row, int64_t group) {
    if (!l->zeros) return 1 << (l->scheme.bits - 1);
    if (strcmp(l->zeros->dtype, "I8") == 0) return l->zeros->data[row * l->groups + group] ^ 0x80;
    return (int32_t)ar__stream_value(&l->zero_streams, l->zeros->data, group, row) + l->scheme.minus_one;
}

static float scale_of(const packed *p, const linear *l, int64_t row, int64_t group) {
    int64_t at = p->config.packing->scales_output_first ? row * l->groups + group : group * l->O + row;
    const uint8_t *data = l->scales->data;
    if (strcmp(l->scales->dtype, "F32") == 0) {
        float value;
        memcpy(&value, data + 4 * at, 4);
        return value;
    }
    uint16_t half = (uint16_t)(data[2 * at] | data[2 * at + 1] << 8);
    return strcmp(l->scales->dtype, "F16") == 0 ? ar_f16_to_f32(half) : ar_bf16_to_f32(half);
}

/* One row of values; s and zero are room for its groups. */
static void dequantize_row(float *dst, const packed *p, const linear *l, int64_t row, const uint8_t *codes,
                           float *s, int32_t *zero) {
    for (int64_t g = 0; g < l->groups; g++) {
        s[g] = scale_of(p, l, row, g);
        zero[g] = zero_of(l, row, g);
    }
    if (l->reordered) {
        for (int64_t i = 0; i < l->I; i++) {
            int64_t g = load_int(l->g_idx->data + 4 * i, 4);
            dst[i] = s[g] * (float)(codes[i] - zero[g]);
        }
        return;
    }
    for (int64_t g = 0; g < l->groups; g++) {
        int64_t end = (g + 1) * l->group < l->I ? (g + 1) * l->group : l->I;
        for (int64_t i = g * l->group; i < end; i++) dst[i] = s[g] * (float)(codes[i] - zero[g]);
    }
}

static ar_status read_linear(const packed *p, const linear *l, float *dst, int64_t row, int64_t rows) {
    if (rows == 0) return AR_OK;
    uint8_t *codes = ar__alloc((size_t)(rows < TILE ? rows : TILE), (size_t)l->I);
    float *s = ar__alloc((size_t)l->groups, sizeof *s);
    int32_t *zero = ar__alloc((size_t)l->groups, sizeof *zero);
    ar_status status = codes && s && zero ? AR_OK : AR_ERR_MEMORY;
    for (int64_t from = 0; status == AR_OK && from < rows;) {
        int64_t whole = TILE - (row + from) % TILE, n = rows - from < whole ? rows - from : whole;
        unpack_codes(codes, p, l, row + from, n);
        for (int64_t r = 0; r < n; r++)
            dequantize_row(dst + (from + r) * l->I, p, l, row + from + r, codes + r * l->I, s, zero);
        from += n;
    }
    free(codes);
    free(s);
    free(zero);
    return status;
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
    return read_linear(p, l, dst, row, rows);
}

/* Zero points and scales as ar_qlinear holds them; what it cannot hold is UNSUPPORTED. */
static ar_status read_groups(ar_qlinear *q, const packed *p, const linear *l, bool *constant) {
    int32_t middle = 1 << (l->scheme.bits - 1), most = (1 << l->scheme.bits) - 1;
    *constant = true;
    for (int64_t o = 0; o < l->O; o++)
        for (int64_t g = 0; g < l->groups; g++) {
            int32_t zero = zero_of(l, o, g);
            float s = scale_of(p, l, o, g);
            uint16_t half = ar_f32_to_f16(s);
            if (zero > most)
                return ar__fail(AR_ERR_UNSUPPORTED, "%s: tensor %s: found zero point %d, expected at most %d",
                                p->path, l->zeros->name, (int)zero, (int)most);
            if (ar_f16_to_f32(half) != s)
                return ar__fail(AR_ERR_UNSUPPORTED, "%s: tensor %s: found %.9g, expected what F16 holds",
                                p->path, l->scales->name, (double)s);
            if (zero != middle) *constant = false;
            q->zeros[o * l->groups + g] = (uint8_t)zero;
            q->scales[o * l->groups + g] = half;
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
    if (l->reordered)
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: tensor %s: found reordered inputs, expected them in order",
                        p->path, l->g_idx->name);
    bool constant;
    AR_TRY(ar_qlinear_init(q, &(ar_scheme){l->scheme.bits, l->scheme.group, AR_ZERO_INT, 0, AR_SUPER_NONE},
                           l->O, l->I));
    ar_status status = read_groups(q, p, l, &constant);
    if (status != AR_OK) {
        ar_qlinear_deinit(q);
        return status;
    }
    if (l->scheme.sym && constant) q->scheme.zero = AR_ZERO_SYM;
    for (int64_t row = 0; row < l->O; row += TILE)
        unpack_codes(q->codes + row * l->I, p, l, row, l->O - row < TILE ? l->O - row : TILE);
    return AR_OK;
}

/* ---- opening ---- */

static void packed_close(void *impl) {
    packed *p = impl;
    ar_weights_close(&p->floats);
    ar__packed_config_close(&p->config);
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
    static const ar_weights_vtable vtable = {packed_close,      packed_count, packed_at, packed_read,
                                             packed_read_codes, NULL,         NULL};
    *w = (ar_weights){0};
    packed *p = ar__alloc(1, sizeof *p);
    if (!p) return AR_ERR_MEMORY;
    ar_status status = ar__packed_config_open(&p->config, folder);
    if (status == AR_OK) status = ar_weights_open_safetensors(&p->floats, folder);
    if (status == AR_OK) {
        p->st = ar__weights_safetensors(&p->floats);
        p->path = ar__weights_path(&p->floats);
        status = list_tensors(p);
    }
    if (status == AR_OK) status = ar__notes_move(&w->notes, &p->floats.notes);
    bool is_float = status == AR_OK && p->config.is_beside && p->linear_count == 0; /* of another model */
    if (is_float) {
        w->vtable = p->floats.vtable, w->impl = p->floats.impl;
        p->floats = (ar_weights){0};
        packed_close(p);
    } else if (status == AR_OK)
        w->vtable = &vtable, w->impl = p;
    else {
        packed_close(p);
        ar_notes_deinit(&w->notes);
    }
    return status;
}
