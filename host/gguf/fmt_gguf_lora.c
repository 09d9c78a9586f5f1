/* LoRA adapters as GGUF files, llama.cpp's layout (docs/formats.md): two F16 matrices beside a weight's name.
 */
#include "adapter.h"
#include "factors.h"
#include "fmt_gguf.h"
#include "hf_folder.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a weight's name in GGUF and the linear it is ---- */

typedef struct place {
    char name[AR__GGUF_NAME]; /* "blk.3.attn_q.weight" */
    const ar_block *block;
    int32_t linear;
    int64_t head_rows; /* as in the reader of models */
} place;

/* The linear of a block with this Hugging Face name, which bare models shorten; -1 = none. */
static int32_t find_linear(const ar_block *block, const ar__gguf_arch *arch, const char *hf_name) {
    char name[AR_HF_NAME];
    size_t bare = arch->bare ? strlen(arch->bare) : 0;
    for (int32_t i = 0; i < block->linear_count; i++) {
        ar__hf_linear_name(name, block, i);
        size_t n = strlen(name);
        const char *at = strncmp(name, hf_name, n) != 0 && bare && strncmp(hf_name, arch->bare, bare) == 0
                             ? hf_name + bare
                             : hf_name;
        if (strncmp(name, at, n) == 0 && strcmp(at + n, ".weight") == 0) return i;
    }
    return -1;
}

/* Calls visit for every linear of the model that GGUF has a name for. */
static ar_status each_place(const ar_open_model *m, ar_status (*visit)(void *ctx, const place *p),
                            void *ctx) {
    const ar__gguf_arch *arch = ar__gguf_arch_of(m->config.family);
    char hf_name[AR__GGUF_HF_NAME];
    if (!arch)
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: GGUF has no architecture for the family %s", m->path,
                        m->config.family);
    for (int32_t b = 0; b < m->model.block_count; b++) {
        place p = {.block = &m->model.blocks[b]};
        for (int32_t i = 0; ar__gguf_block_name(p.name, hf_name, arch, b, i); i++) {
            p.linear = i % 2 == 0 ? find_linear(p.block, arch, hf_name) : -1;
            if (p.linear < 0) continue;
            bool permuted = ar__gguf_permuted_heads(&m->config, p.name, strlen(p.name)) != 0;
            p.head_rows = permuted ? m->config.head_dim : 0;
            AR_TRY(visit(ctx, &p));
        }
    }
    return AR_OK;
}

/* ---- writing ---- */

typedef struct writing {
    const ar_adapter *a;
    ar__gguf_out out;
    uint64_t offset;
    float alpha;
    int64_t count;
} writing;

static uint64_t padded(uint64_t bytes) {
    return (bytes + AR__GGUF_ALIGNMENT - 1) / AR__GGUF_ALIGNMENT * AR__GGUF_ALIGNMENT;
}

static const ar__adapter_part *part_of(const ar_adapter *a, const place *p) {
    return &a->parts[p->block->index][p->linear];
}

static ar_status count_part(void *ctx, const place *p) {
    writing *w = ctx;
    const ar__adapter_part *part = part_of(w->a, p);
    if (part->rank == 0) return AR_OK;
    if (w->count > 0 && w->alpha != (float)part->rank)
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: found rank %lld beside %g, expected one rank", p->name,
                        (long long)part->rank, (double)w->alpha);
    w->alpha = (float)part->rank; /* llama.cpp multiplies by alpha over the rank */
    w->count++;
    return AR_OK;
}

static void put_info(writing *w, const char *name, const char *suffix, int64_t rows, int64_t columns) {
    char full[AR__GGUF_NAME + 8];
    snprintf(full, sizeof full, "%s%s", name, suffix);
    ar__gguf_put_string(&w->out, full, strlen(full));
    ar__gguf_put_int(&w->out, 2, 4);
    ar__gguf_put_int(&w->out, (uint64_t)columns, 8);
    ar__gguf_put_int(&w->out, (uint64_t)rows, 8);
    ar__gguf_put_int(&w->out, AR__GGUF_T_F16, 4);
    ar__gguf_put_int(&w->out, w->offset, 8);
    w->offset += padded((uint64_t)(rows * columns) * 2);
}

static ar_status put_infos(void *ctx, const place *p) {
    writing *w = ctx;
    const ar__adapter_part *part = part_of(w->a, p);
    const ar_linear *lin = &p->block->linears[p->linear];
    if (part->rank == 0) return AR_OK;
    put_info(w, p->name, ".lora_a", part->rank, lin->I);
    put_info(w, p->name, ".lora_b", lin->O, part->rank);
    return w->out.status;
}

static void put_padding(ar__gguf_out *o) {
    static const uint8_t zeros[AR__GGUF_ALIGNMENT];
    if (o->status == AR_OK) ar__gguf_put(o, zeros, (size_t)(padded(o->bytes) - o->bytes));
}

static ar_status put_half(ar__gguf_out *o, const char *name, float value) {
    uint16_t half = ar_f32_to_f16(value);
    if (!isfinite(ar_f16_to_f32(half)))
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: found a factor of %g, which F16 cannot store", name,
                        (double)value);
    ar__gguf_put_int(o, half, 2);
    return o->status;
}

static ar_status put_factors(void *ctx, const place *p) {
    writing *w = ctx;
    const ar__adapter_part *part = part_of(w->a, p);
    const ar_linear *lin = &p->block->linears[p->linear];
    for (int64_t k = 0; k < part->rank * lin->I; k++) AR_TRY(put_half(&w->out, p->name, part->down[k]));
    put_padding(&w->out);
    for (int64_t row = 0; row < lin->O && part->rank > 0; row++) {
        int64_t o = p->head_rows ? ar__gguf_row_in_hf(row, p->head_rows) : row;
        for (int64_t k = 0; k < part->rank; k++)
            AR_TRY(put_half(&w->out, p->name, part->up[o * part->rank + k]));
    }
    put_padding(&w->out);
    return w->out.status;
}

static void put_text(ar__gguf_out *o, const char *key, const char *text) {
    ar__gguf_put_string(o, key, strlen(key));
    ar__gguf_put_int(o, AR__GGUF_STRING, 4);
    ar__gguf_put_string(o, text, strlen(text));
}

static ar_status put_file(writing *w, const ar_open_model *m) {
    ar__gguf_out *o = &w->out;
    uint32_t alpha;
    memcpy(&alpha, &w->alpha, sizeof alpha);
    ar__gguf_put(o, "GGUF", 4);
    ar__gguf_put_int(o, AR__GGUF_VERSION, 4);
    ar__gguf_put_int(o, 2 * (uint64_t)w->count, 8);
    ar__gguf_put_int(o, 4, 8);
    put_text(o, "general.architecture", ar__gguf_arch_of(m->config.family)->name);
    put_text(o, "general.type", "adapter");
    put_text(o, "adapter.type", "lora");
    ar__gguf_put_string(o, "adapter.lora.alpha", strlen("adapter.lora.alpha"));
    ar__gguf_put_int(o, AR__GGUF_F32, 4);
    ar__gguf_put_int(o, alpha, 4);
    AR_TRY(each_place(m, put_infos, w));
    put_padding(o);
    return each_place(m, put_factors, w);
}

ar_status ar_adapter_write(const char *path, const ar_adapter *a, const ar_open_model *m) {
    ar_status status = AR_OK;
    writing w = {.a = a};
    AR_GO(each_place(m, count_part, &w));
    if (w.count != ar__adapter_count(a))
        AR_GO(ar__fail(AR_ERR_UNSUPPORTED, "%s: found %lld linears with names in GGUF, expected %lld",
                       m->path, (long long)w.count, (long long)ar__adapter_count(a)));
    AR_GO(ar_writer_open(&w.out.w, path));
    AR_GO(put_file(&w, m));
    AR_GO(w.out.status);
    AR_GO(ar_writer_commit(&w.out.w));
done:
    ar_writer_abort(&w.out.w);
    return status;
}

/* ---- reading ---- */

typedef struct reading {
    const ar__gguf *g;
    ar_adapter *a;
    float alpha;
    int64_t taken; /* tensors */
} reading;

static const ar__gguf_tensor *find_tensor(const ar__gguf *g, const char *name, const char *suffix) {
    size_t n = strlen(name), s = strlen(suffix);
    for (int64_t i = 0; i < g->tensor_count; i++) {
        const ar__gguf_tensor *t = &g->tensors[i];
        if (t->name_bytes == n + s && memcmp(t->name, name, n) == 0 && memcmp(t->name + n, suffix, s) == 0)
            return t;
    }
    return NULL;
}

static ar_status check_tensor(const ar__gguf *g, const ar__gguf_tensor *t, int64_t rows, int64_t columns) {
    if (t->dim_count != 2 || (rows > 0 && t->dims[0] != rows) || (columns > 0 && t->dims[1] != columns))
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %.*s: found (%lld, %lld), expected (%lld, %lld), 0 = any",
                        g->what, (int)t->name_bytes, t->name, (long long)t->dims[0],
                        (long long)(t->dim_count > 1 ? t->dims[1] : 0), (long long)rows, (long long)columns);
    if (t->type->qtype == AR_QT_COUNT)
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: tensor %.*s: found type %s, expected F32, F16 or BF16",
                        g->what, (int)t->name_bytes, t->name, t->type->name);
    return AR_OK;
}

#define MOST_RANK 65536

static ar_status take_part(void *ctx, const place *p) {
    reading *r = ctx;
    const ar__gguf_tensor *a = find_tensor(r->g, p->name, ".lora_a"),
                          *b = find_tensor(r->g, p->name, ".lora_b");
    const ar_linear *lin = &p->block->linears[p->linear];
    if (!a && !b) return AR_OK;
    if (!a || !b)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %s%s: missing", r->g->what, p->name,
                        a ? ".lora_b" : ".lora_a");
    AR_TRY(check_tensor(r->g, a, 0, lin->I));
    int64_t rank = a->dims[0];
    if (rank < 1 || rank > MOST_RANK)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %s.lora_a: found rank %lld, expected 1 to %d", r->g->what,
                        p->name, (long long)rank, MOST_RANK);
    AR_TRY(check_tensor(r->g, b, lin->O, rank));
    AR_TRY(ar__adapter_add(r->a, p->block, p->linear, rank));
    ar__adapter_part *part = &r->a->parts[p->block->index][p->linear];
    float scale = r->alpha != 0.0f ? r->alpha / (float)rank : 1.0f;
    ar__gguf_decode(part->down, a->type, a->data, rank * lin->I);
    int64_t row_bytes = (int64_t)(b->bytes / (uint64_t)lin->O);
    for (int64_t o = 0; o < lin->O; o++) {
        int64_t row = p->head_rows ? ar__gguf_row_in_file(o, p->head_rows) : o;
        ar__gguf_decode(part->up + o * rank, b->type, b->data + row * row_bytes, rank);
    }
    for (int64_t k = 0; k < lin->O * rank; k++) part->up[k] *= scale;
    for (int64_t k = 0; k < rank * (lin->O + lin->I); k++) {
        float value = k < rank * lin->I ? part->down[k] : part->up[k - rank * lin->I];
        if (!isfinite(value))
            return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found a factor of %g, expected finite", r->g->what,
                            p->name, (double)value);
    }
    r->taken += 2;
    return AR_OK;
}

static ar_status expect_text(const ar__gguf *g, const char *key, const char *expected) {
    const char *text;
    size_t bytes;
    AR_TRY(ar__gguf_text(&text, &bytes, g, key));
    if (text && ar__gguf_text_is(text, bytes, expected)) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s: %s: found %.*s, expected %s", g->what, key,
                    text ? bytes > 40 ? 40 : (int)bytes : 7, text ? text : "nothing", expected);
}

static ar_status read_adapter(ar_adapter **made, const ar__gguf *g, const ar_open_model *m) {
    ar_status status = AR_OK;
    const ar__gguf_arch *arch = ar__gguf_arch_of(m->config.family);
    reading r = {.g = g};
    AR_TRY(expect_text(g, "general.type", "adapter"));
    AR_TRY(expect_text(g, "adapter.type", "lora"));
    if (arch) AR_TRY(expect_text(g, "general.architecture", arch->name));
    AR_TRY(ar__gguf_real(&r.alpha, g, "adapter.lora.alpha", 0.0f, -1e6, 1e6));
    AR_TRY(ar__adapter_create(&r.a, m->model.block_count));
    AR_GO(each_place(m, take_part, &r));
    if (r.taken != g->tensor_count)
        AR_GO(ar__fail(AR_ERR_UNSUPPORTED,
                       "%s: found %lld tensors, of which %lld belong to linears of this model's blocks",
                       g->what, (long long)g->tensor_count, (long long)r.taken));
    *made = r.a;
    r.a = NULL;
done:
    ar_adapter_close(r.a);
    return status;
}

ar_status ar_adapter_open(ar_adapter **a, const char *path, const ar_open_model *m) {
    ar_file file = {0};
    ar__gguf g = {0};
    ar_status status = AR_OK;
    bool is_tensors;
    *a = NULL;
    AR_TRY(ar__factors_is_file(&is_tensors, path));
    if (is_tensors) return ar__factors_read(a, path, &m->model);
    AR_TRY(ar_file_open(&file, path));
    status = ar__gguf_parse(&g, file.data, file.bytes, path);
    if (status == AR_OK) status = read_adapter(a, &g, m);
    ar__gguf_deinit(&g);
    ar_file_close(&file);
    return status;
}
