/* Generation with the weights resident on the device: one recorded step (embedding row in, all blocks over their
 * caches, final norm, head) replayed for every token. */
#include "session.h"
#include "ar_error.h"
#include "head.h"
#include <stdlib.h>
#include <string.h>

struct ar_decoder {
    const ar_open_model *m;
    ar_device *device;
    int32_t B, C;
    ar_block_weights *blocks;
    ar_tensor **caches;            /* (2 layers): keys, values */
    ar_tensor *x, *pos, *logits;
    ar_head head;
    ar_graph *graph;
    float *row;                    /* (B, hidden) */
};

/* ---- the hook of one block: float weights, keys and values from and to its caches ---- */

typedef struct cached_block { const ar_decoder *d; int32_t b; } cached_block;

static ar_status cached_linear(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    const cached_block *c = ctx;
    const ar_hook *hook = &c->d->blocks[c->b].hook;
    return hook->linear(hook->ctx, g, y, i, x);
}

static ar_status cached_norm(void *ctx, ar_graph *g, ar_tensor **y, int32_t j, ar_tensor *x) {
    const cached_block *c = ctx;
    const ar_hook *hook = &c->d->blocks[c->b].hook;
    return hook->norm(hook->ctx, g, y, j, x);
}

/* One more token a sequence, rotated at pos; its keys and values are appended before they are attended to. */
static ar_status cached_attention(void *ctx, ar_graph *g, ar_tensor **y, ar_tensor *q, ar_tensor *k, ar_tensor *v, const ar_attention *a) {
    const cached_block *c = ctx;
    const ar_decoder *d = c->d;
    ar_tensor *k_cache = d->caches[2 * c->b], *v_cache = d->caches[2 * c->b + 1];
    if (a->scale != 0.0f || (a->window > 0 && a->window < d->C))
        return ar__fail(AR_ERR_UNSUPPORTED, "cached attention: found scale %g, window %d for %d tokens, expected 0 and a window that holds them",
                        (double)a->scale, (int)a->window, (int)d->C);
    if (a->freq) {
        ar_tensor *freq;
        AR_TRY(ar_graph_constant(g, &freq, a->freq, a->pairs));
        AR_TRY(ar_op_rope_at(g, &q, q, freq, d->pos, a->D, d->C));
        AR_TRY(ar_op_rope_at(g, &k, k, freq, d->pos, a->D, d->C));
    }
    AR_TRY(ar_op_cache_append(g, k_cache, k, d->pos));
    AR_TRY(ar_op_cache_append(g, v_cache, v, d->pos));
    return ar_op_attention_cached(g, y, q, k_cache, v_cache, d->pos, a->D);
}

static ar_status record(ar_decoder *d) {
    const ar_model *m = &d->m->model;
    AR_TRY(ar_graph_create(&d->graph, d->device));
    ar_tensor *x = d->x;
    for (int32_t b = 0; b < m->block_count; b++) {
        ar_tensor *y = NULL;
        cached_block ctx = {d, b};
        ar_hook hook = {.linear = cached_linear, .norm = cached_norm, .attention = cached_attention, .ctx = &ctx};
        AR_TRY(m->blocks[b].forward(&m->blocks[b], d->graph, &y, x, 1, &hook));
        x = y;
    }
    AR_TRY(ar__head_record(&d->head, d->graph, &d->logits, x));
    ar_graph_keep(d->graph, d->logits);
    return ar_graph_build(d->graph);
}

static ar_status prepare(ar_decoder *d) {
    const ar_model *m = &d->m->model;
    size_t layers = (size_t)m->block_count;
    d->blocks = ar__alloc(layers, sizeof *d->blocks);
    d->caches = ar__alloc(layers, 2 * sizeof *d->caches);
    d->row = ar__alloc((size_t)d->B, (size_t)m->hidden * sizeof *d->row);
    if (!d->blocks || !d->caches || !d->row) return AR_ERR_MEMORY;
    for (int32_t b = 0; b < m->block_count; b++) {
        AR_TRY(ar_block_weights_init(&d->blocks[b], &m->blocks[b], d->device));
        for (int32_t k = 0; k < 2; k++)
            AR_TRY(ar_tensor_create(&d->caches[2 * b + k], d->device, AR_F32, 3, (const int64_t[]){d->B, d->C, m->blocks[b].kv_width}));
    }
    AR_TRY(ar_tensor_create(&d->x, d->device, AR_F32, 2, (const int64_t[]){d->B, m->hidden}));
    AR_TRY(ar_tensor_create(&d->pos, d->device, AR_I32, 1, (const int64_t[]){1}));
    AR_TRY(ar__head_init(&d->head, m, d->device));
    return record(d);
}

ar_status ar__decoder_create(ar_decoder **out, const ar_open_model *m, ar_device *device, int32_t B, int32_t C) {
    *out = NULL;
    ar_decoder *d = ar__alloc(1, sizeof *d);
    if (!d) return AR_ERR_MEMORY;
    *d = (ar_decoder){.m = m, .device = device, .B = B, .C = C};
    ar_status status = prepare(d);
    if (status != AR_OK)
        ar__decoder_destroy(d);
    else
        *out = d;
    return status;
}

void ar__decoder_destroy(ar_decoder *d) {
    if (!d) return;
    int32_t layers = d->m->model.block_count;
    ar_graph_destroy(d->graph);
    for (int32_t b = 0; d->blocks && b < layers; b++) ar_block_weights_deinit(&d->blocks[b]);
    for (int32_t i = 0; d->caches && i < 2 * layers; i++) ar_tensor_destroy(d->caches[i]);
    ar_tensor_destroy(d->x);
    ar_tensor_destroy(d->pos);
    ar__head_deinit(&d->head);
    free(d->blocks);
    free(d->caches);
    free(d->row);
    free(d);
}

ar_status ar__decoder_step(ar_decoder *d, float *logits, const int32_t *ids, int32_t pos) {
    const ar_model *m = &d->m->model;
    if (pos < 0 || pos >= d->C) return ar__fail(AR_ERR_ARG, "position %d: expected 0..%d", (int)pos, (int)d->C - 1);
    for (int32_t b = 0; b < d->B; b++) AR_TRY(ar_model_embed(m, d->row + (int64_t)b * m->hidden, &ids[b], 1, pos));
    AR_TRY(ar_tensor_write(d->x, d->row, 0, (int64_t)d->B * m->hidden));
    AR_TRY(ar_tensor_write(d->pos, &pos, 0, 1));
    AR_TRY(ar_graph_run(d->graph));
    return logits ? ar_tensor_read(d->logits, logits, 0, (int64_t)d->B * m->vocab) : AR_OK;
}

/* ---- one sequence, with the prefix it has seen ---- */

struct ar_session { ar_decoder *decoder; int32_t *seen; int64_t seen_count; int32_t C; };

ar_status ar_session_create(ar_session **out, const ar_open_model *m, ar_device *device, int32_t max_tokens) {
    *out = NULL;
    ar_session *s = ar__alloc(1, sizeof *s);
    if (!s) return AR_ERR_MEMORY;
    s->C = max_tokens > 0 && max_tokens < m->model.max_tokens ? max_tokens : m->model.max_tokens;
    s->seen = ar__alloc((size_t)s->C, sizeof *s->seen);
    ar_status status = s->seen ? ar__decoder_create(&s->decoder, m, device, 1, s->C) : AR_ERR_MEMORY;
    if (status != AR_OK)
        ar_session_destroy(s);
    else
        *out = s;
    return status;
}

void ar_session_destroy(ar_session *s) {
    if (!s) return;
    ar__decoder_destroy(s->decoder);
    free(s->seen);
    free(s);
}

ar_status ar_session_logits(ar_session *s, float *logits, const int32_t *ids, int64_t count) {
    if (count < 1 || count > s->C)
        return ar__fail(AR_ERR_ARG, "session: %lld tokens, expected 1..%d", (long long)count, (int)s->C);
    int64_t same = 0;
    while (same < s->seen_count && same < count - 1 && s->seen[same] == ids[same]) same++;
    s->seen_count = same;
    for (int64_t p = same; p < count; p++) {
        AR_TRY(ar__decoder_step(s->decoder, p == count - 1 ? logits : NULL, &ids[p], (int32_t)p));
        s->seen[p] = ids[p];
        s->seen_count = p + 1;
    }
    return AR_OK;
}
