/* A GGUF file as named float tensors: Hugging Face names, Hugging Face order of rows, f32 on the fly. */
#include "fmt_gguf.h"
#include "memory.h"
#include "tokenizer.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
    ar_weight weight;
    const ar__gguf_tensor *tensor;
    int64_t head_rows; /* 0: rows are in order; else they are permuted inside groups of so many */
    char name[AR__GGUF_HF_NAME];
} entry;

typedef struct gguf_weights {
    ar_file file; /* data NULL when the bytes are the caller's */
    ar__gguf gguf;
    entry *entries;
    int64_t count;
    char *what;
} gguf_weights;

static void close_weights(void *impl) {
    gguf_weights *s = impl;
    ar__gguf_deinit(&s->gguf);
    if (s->file.path) ar_file_close(&s->file);
    free(s->entries);
    free(s->what);
    free(s);
}

static int64_t count_weights(const void *impl) { return ((const gguf_weights *)impl)->count; }

static const ar_weight *weight_at(const void *impl, int64_t i) {
    const gguf_weights *s = impl;
    return i >= 0 && i < s->count ? &s->entries[i].weight : NULL;
}

static ar_status find_entry(const entry **e, const gguf_weights *s, int64_t i) {
    *e = NULL;
    if (i < 0 || i >= s->count)
        return ar__fail(AR_ERR_ARG, "%s: found tensor index %" PRId64 ", expected below %" PRId64, s->what, i,
                        s->count);
    *e = &s->entries[i];
    return AR_OK;
}

static int64_t row_count(const ar_weight *w) { return w->dim_count > 1 ? w->dims[0] : 1; }

static int64_t stored_index(const entry *e, int64_t row) {
    return e->head_rows && e->weight.dim_count > 1 ? ar__gguf_row_in_file(row, e->head_rows) : row;
}

static const uint8_t *stored_row(const entry *e, int64_t row) {
    return e->tensor->data +
           stored_index(e, row) * (int64_t)(e->tensor->bytes / (uint64_t)row_count(&e->weight));
}

static ar_status read_weight(const void *impl, float *dst, int64_t i, int64_t row, int64_t rows) {
    const gguf_weights *s = impl;
    const entry *e;
    AR_TRY(find_entry(&e, s, i));
    const ar__gguf_tensor *t = e->tensor;
    int64_t all = row_count(&e->weight), width = 1;
    if (row < 0 || rows < 0 || row > all || rows > all - row)
        return ar__fail(AR_ERR_ARG,
                        "%s: tensor %s: found %" PRId64 " rows from %" PRId64
                        ", expected them in [0, %" PRId64 ")",
                        s->what, e->name, rows, row, all);
    for (int32_t d = t->dim_count > 1 ? 1 : 0; d < t->dim_count; d++) width *= t->dims[d];
    if (e->head_rows && t->dim_count == 1) { /* a permuted bias: a row, element by element */
        for (int64_t k = 0; rows && k < width; k++)
            ar__gguf_decode(dst + k, t->type,
                            t->data + ar__gguf_row_in_file(k, e->head_rows) * t->type->bytes, 1);
        return AR_OK;
    }
    for (int64_t r = 0; r < rows; r++)
        ar__gguf_decode(dst + r * width, t->type, stored_row(e, row + r), width);
    if (s->file.data && rows == all) ar__mapping_leave(t->data, t->bytes);
    return AR_OK;
}

static ar_status read_codes(const void *impl, ar_qlinear *q, int64_t i) {
    const gguf_weights *s = impl;
    const entry *e;
    ar_scheme scheme;
    *q = (ar_qlinear){0};
    AR_TRY(find_entry(&e, s, i));
    if (e->weight.dim_count != 2 || !ar__gguf_scheme(&scheme, e->tensor->type->qtype))
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: tensor %s: found type %s, which has no codes", s->what,
                        e->name, e->tensor->type->name);
    AR_TRY(ar_qlinear_init(q, &scheme, e->weight.dims[0], e->weight.dims[1]));
    for (int64_t row = 0; row < q->O; row++)
        ar__gguf_decode_codes(q, row, e->tensor->type, stored_row(e, row));
    return AR_OK;
}

static ar_status raw(const void *impl, ar_qtype *type, const uint8_t **blocks, uint64_t *row_stride,
                     int64_t i) {
    const gguf_weights *s = impl;
    const entry *e;
    AR_TRY(find_entry(&e, s, i));
    *type = e->tensor->type->qtype;
    *blocks = e->tensor->data;
    *row_stride = e->tensor->bytes / (uint64_t)row_count(&e->weight);
    return AR_OK;
}

static int64_t raw_row(const void *impl, int64_t i, int64_t row) {
    return stored_index(&((const gguf_weights *)impl)->entries[i], row);
}

/* ---- opening ---- */

static bool is_named(const ar__gguf_tensor *t, const char *name) {
    return ar__gguf_text_is(t->name, (size_t)t->name_bytes, name);
}

static const ar__gguf_tensor *find_tensor(const ar__gguf *g, const char *name) {
    for (int64_t i = 0; i < g->tensor_count; i++)
        if (is_named(&g->tensors[i], name)) return &g->tensors[i];
    return NULL;
}

/* The head that is the embedding once more, which older readers want of some tied models. */
static const ar__gguf_tensor *find_repeated(const ar__gguf *g, const ar__gguf_arch *arch,
                                            const ar__gguf_tensor *embedding) {
    const ar__gguf_tensor *head = arch->repeats_head ? find_tensor(g, "output.weight") : NULL;
    bool is_same = head && head->type == embedding->type && head->bytes == embedding->bytes &&
                   memcmp(head->data, embedding->data, (size_t)head->bytes) == 0;
    return is_same ? head : NULL;
}

static ar_status add_entry(gguf_weights *s, const ar__gguf_tensor *t, const ar__gguf_arch *arch,
                           const ar_config *c) {
    char quoted[AR__QUOTE_BYTES];
    entry *e = &s->entries[s->count];
    if (!ar__gguf_to_hf(e->name, arch, t->name, (size_t)t->name_bytes))
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found, expected none of that name in a %s model",
                        s->what, ar__quote(quoted, t->name, (size_t)t->name_bytes), arch->name);
    e->tensor = t;
    e->weight = (ar_weight){
        .name = e->name, .dim_count = t->dim_count, .type = t->type->name, .file_bytes = t->bytes};
    memcpy(e->weight.dims, t->dims, sizeof t->dims);
    e->head_rows = ar__gguf_permuted_heads(c, t->name, (size_t)t->name_bytes) ? c->head_dim : 0;
    if (e->head_rows && t->dims[0] % e->head_rows != 0)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found %" PRId64 " rows, expected heads of %d", s->what,
                        ar__quote(quoted, t->name, (size_t)t->name_bytes), t->dims[0], (int)c->head_dim);
    if (e->head_rows && t->dim_count == 1 && t->type->elems > 1)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found a bias of type %s, expected a float one",
                        s->what, ar__quote(quoted, t->name, (size_t)t->name_bytes), t->type->name);
    s->count++;
    return AR_OK;
}

/* Of what was parsed. */
static ar_status take_model(gguf_weights *s, ar_config *config, ar_tokenizer **tokenizer) {
    const ar__gguf *g = &s->gguf;
    const ar__gguf_arch *arch;
    const ar__gguf_tensor *embedding = find_tensor(g, "token_embd.weight");
    AR_TRY(ar__gguf_read_arch(&arch, g));
    ar__gguf_rope rope = {0}; /* elsewhere they are tensors like any others, and unknown */
    if (arch->has_rope_freqs) rope.freqs = find_tensor(g, AR__GGUF_ROPE_FREQS);
    if (arch->has_longrope) rope.long_factors = find_tensor(g, AR__GGUF_ROPE_LONG);
    if (arch->has_longrope) rope.short_factors = find_tensor(g, AR__GGUF_ROPE_SHORT);
    if (!embedding) return ar__fail(AR_ERR_FORMAT, "%s: tensor token_embd.weight: missing", s->what);
    const ar__gguf_tensor *repeated = find_repeated(g, arch, embedding);
    AR_TRY(ar__gguf_config(config, g, embedding, &rope, repeated || !find_tensor(g, "output.weight")));
    s->entries = ar__alloc((size_t)g->tensor_count, sizeof *s->entries);
    if (!s->entries) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < g->tensor_count; i++) {
        const ar__gguf_tensor *t = &g->tensors[i];
        if (t != rope.freqs && t != rope.long_factors && t != rope.short_factors && t != repeated)
            AR_TRY(add_entry(s, &g->tensors[i], arch, config));
    }
    const ar__gguf_value *tokens = ar__gguf_find(g, "tokenizer.ggml.tokens");
    if (tokens && tokens->kind == AR__GGUF_ARRAY && tokens->count != (uint64_t)config->vocab)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: tokenizer.ggml.tokens: found %" PRIu64 ", expected one for each of the %" PRId64
                        " rows of token_embd.weight",
                        s->what, tokens->count, config->vocab);
    return ar__gguf_tokenizer(tokenizer, g);
}

/* data NULL: the file at path `what` and those that belong to it. */
static ar_status open_any(ar_weights *w, ar_config *config, ar_tokenizer **tokenizer, const uint8_t *data,
                          uint64_t bytes, const char *what) {
    static const ar_weights_vtable vtable = {close_weights, count_weights, weight_at, read_weight,
                                             read_codes,    raw,           raw_row};
    *w = (ar_weights){0};
    *config = (ar_config){0};
    *tokenizer = NULL;
    gguf_weights *s = ar__alloc(1, sizeof *s);
    if (!s) return AR_ERR_MEMORY;
    s->what = ar__alloc(strlen(what) + 1, 1);
    ar_status status = s->what ? AR_OK : AR_ERR_MEMORY;
    if (s->what) memcpy(s->what, what, strlen(what) + 1);
    if (status == AR_OK)
        status =
            data ? ar__gguf_parse(&s->gguf, data, bytes, s->what) : ar__gguf_map(&s->gguf, &s->file, s->what);
    if (status == AR_OK) status = take_model(s, config, tokenizer);
    if (status == AR_OK) {
        *w = (ar_weights){.vtable = &vtable, .impl = s};
        return AR_OK;
    }
    *config = (ar_config){0};
    close_weights(s);
    return status;
}

ar_status ar__gguf_open_bytes(ar_weights *w, ar_config *config, ar_tokenizer **tokenizer, const uint8_t *data,
                              uint64_t bytes, const char *what) {
    return open_any(w, config, tokenizer, data, bytes, what);
}

ar_status ar_weights_open_gguf(ar_weights *w, ar_config *config, ar_tokenizer **tokenizer, const char *path) {
    return open_any(w, config, tokenizer, NULL, 0, path);
}
