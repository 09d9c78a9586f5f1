/* Generation with the weights resident on the device: recorded steps (embedding rows in, all blocks over
 * their caches, final norm, head), one for every number of tokens a step may have, replayed. Embedding rows
 * and the cosines of the positions come from the host: they are small, and the matrix they are taken from
 * need not be on the device. */
#include "adapter.h"
#include "ar_error.h"
#include "family.h"
#include "resident.h"
#include "session.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROTATIONS 4 /* different rotary tables in one model */
static const int32_t step_tokens[] = {1, 8, 32, 128, 512};
enum { STEP_COUNT = sizeof step_tokens / sizeof *step_tokens };

typedef struct rotation {
    const float *freq, *long_freq;
    int32_t pairs;
    float turn;
    ar_tensor *angles; /* (T, pairs, 2) */
} rotation;

/* A recorded step of T tokens a sequence. */
typedef struct step {
    int32_t T;
    ar_graph *graph;
    ar_tensor *x;      /* (B T, hidden) */
    ar_tensor *logits; /* (B, V): a step of one token goes on to the head; NULL = it leaves d->tail */
    rotation rotations[ROTATIONS];
    int32_t rotation_count;
    bool refused; /* there was no memory for it */
} step;

struct ar_decoder {
    const ar_open_model *m;
    ar_device *device;
    int32_t B, C;
    bool is_long; /* the frequencies of long sequences turn */
    ar_resident *blocks;
    ar__adapter_block *adapters; /* (layers); NULL = the model has none */
    ar_acts_block *acts;         /* (layers); NULL = inputs stay floats */
    ar_tensor **caches;          /* (2 layers): keys, values, (B, K, C, D) f16 */
    ar_tensor *pos;              /* (1) */
    ar_tensor *last;             /* (B): which rows of a step are the newest of their sequence */
    ar_tensor *tail;             /* (B, hidden): those rows, for the head */
    ar_tensor *logits;           /* (B, V), in head_graph */
    ar_head head;
    ar_graph *head_graph;
    step steps[STEP_COUNT];
    float *rows, *angles; /* host side of a step's x and angles */
    int32_t row_tokens;   /* of a sequence, that these hold */
    uint64_t weight_bytes;
};

/* ---- attention of one block: keys and values from and to its caches ---- */

typedef struct cached_block {
    const ar_decoder *d;
    step *s;
    int32_t b;
} cached_block;

/* The step's cosines and sines for these frequencies. */
static ar_status find_angles(ar_tensor **angles, step *s, ar_device *device, const ar_attention *a) {
    *angles = NULL;
    if (!a->freq) return AR_OK;
    for (int32_t i = 0; i < s->rotation_count; i++)
        if (s->rotations[i].freq == a->freq && s->rotations[i].pairs == a->pairs) {
            *angles = s->rotations[i].angles;
            return AR_OK;
        }
    if (s->rotation_count == ROTATIONS)
        return ar__fail(AR_ERR_UNSUPPORTED, "generation: more than %d rotary tables", ROTATIONS);
    rotation *r = &s->rotations[s->rotation_count];
    AR_TRY(ar_tensor_create(&r->angles, device, AR_F32, 3, (const int64_t[]){s->T, a->pairs, 2}));
    r->freq = a->freq;
    r->long_freq = a->long_freq ? a->long_freq : a->freq;
    r->pairs = a->pairs;
    r->turn = a->turn != 0.0f ? a->turn : 1.0f;
    s->rotation_count++;
    *angles = r->angles;
    return AR_OK;
}

static ar_status attend(void *ctx, ar_graph *g, ar_tensor **y, const ar_columns *q, const ar_columns *k,
                        const ar_columns *v, const ar_attention *a) {
    const cached_block *c = ctx;
    const ar_decoder *d = c->d;
    ar_tensor *k_cache = d->caches[2 * c->b], *v_cache = d->caches[2 * c->b + 1], *angles;
    AR_TRY(find_angles(&angles, c->s, d->device, a));
    return ar_op_attention_append(g, y, q, k, v, k_cache, v_cache, angles, d->pos, a->scale, a->window,
                                  a->cap);
}

/* ---- recording ---- */

/* logits (B, V) of the newest rows x (B, hidden), kept. */
static ar_status record_logits(const ar_decoder *d, ar_graph *g, ar_tensor **logits, ar_tensor *x) {
    AR_TRY(ar_head_record(&d->head, g, logits, x));
    ar_graph_keep(g, *logits);
    return AR_OK;
}

static ar_status write_held_back(void *ctx, ar_graph *g, ar_tensor **t) {
    return ar__recorder_finish(ctx, g, t);
}

/* y of x through block b. */
static ar_status record_block(ar_decoder *d, step *s, int32_t b, ar_tensor **y, ar_tensor *x) {
    const ar_block *block = &d->m->model.blocks[b];
    cached_block ctx = {d, s, b};
    ar__recorder recorder;
    ar__adapter_hook hook;
    ar_acts_hook acts;
    ar__recorder_init(&recorder, &d->blocks[b], attend, &ctx);
    const ar_hook *top = ar_acts_hook_init(&acts, d->acts ? &d->acts[b] : NULL, &recorder.hook);
    acts.write = write_held_back;
    acts.write_ctx = &recorder;
    ar__adapter_hook_init(&hook, d->adapters ? &d->adapters[b] : NULL, top);
    hook.write = write_held_back;
    hook.write_ctx = &recorder;
    AR_TRY(block->forward(block, s->graph, y, x, s->T, d->adapters ? &hook.hook : top));
    return ar__recorder_finish(&recorder, s->graph, y);
}

static ar_status record_step(ar_decoder *d, step *s) {
    const ar_model *m = &d->m->model;
    ar_tensor *x = NULL, *tail = NULL;
    AR_TRY(ar_tensor_create(&s->x, d->device, AR_F32, 2, (const int64_t[]){(int64_t)d->B * s->T, m->hidden}));
    AR_TRY(ar_graph_create(&s->graph, d->device));
    x = s->x;
    for (int32_t b = 0; b < m->block_count; b++) {
        ar_tensor *y = NULL;
        AR_TRY(record_block(d, s, b, &y, x));
        x = y;
    }
    if (s->T == 1) {
        AR_TRY(record_logits(d, s->graph, &s->logits, x));
    } else {
        AR_TRY(ar_op_embed(s->graph, &tail, x, d->last));
        AR_TRY(ar_op_copy(s->graph, d->tail, tail));
    }
    return ar_graph_build(s->graph);
}

static void drop_step(step *s) {
    ar_graph_destroy(s->graph);
    ar_tensor_destroy(s->x);
    for (int32_t i = 0; i < ROTATIONS; i++) ar_tensor_destroy(s->rotations[i].angles);
    *s = (step){.T = s->T, .refused = s->refused};
}

/* Records the step unless that was done; a step of many tokens that does not fit is not an error but refused.
 */
static ar_status want_step(ar_decoder *d, step *s) {
    if (s->graph || s->refused) return AR_OK;
    ar_status status = record_step(d, s);
    if (status == AR_OK) return AR_OK;
    s->refused = status == AR_ERR_DEVICE_MEMORY && s->T > 1;
    drop_step(s);
    return s->refused ? AR_OK : status;
}

/* The host side of steps of T tokens. */
static ar_status want_rows(ar_decoder *d, int32_t T) {
    const ar_model *m = &d->m->model;
    if (T <= d->row_tokens) return AR_OK;
    free(d->rows);
    free(d->angles);
    d->row_tokens = 0;
    d->rows = ar__alloc((size_t)d->B * (size_t)T, (size_t)m->hidden * sizeof *d->rows);
    d->angles = ar__alloc((size_t)T, (size_t)m->blocks[0].head_dim * sizeof *d->angles);
    if (!d->rows || !d->angles) return AR_ERR_MEMORY;
    d->row_tokens = T;
    return AR_OK;
}

/* The head by itself, after a step of several tokens. */
static ar_status want_head(ar_decoder *d) {
    if (d->head_graph) return AR_OK;
    AR_TRY(ar_graph_create(&d->head_graph, d->device));
    ar_status status = record_logits(d, d->head_graph, &d->logits, d->tail);
    if (status == AR_OK) status = ar_graph_build(d->head_graph);
    if (status == AR_OK) return AR_OK;
    ar_graph_destroy(d->head_graph);
    d->head_graph = NULL;
    return status;
}

/* ---- weights ---- */

/* A range of all rows would see what fills up a step: every row has its own. */
static ar_status upload_acts(ar_decoder *d) {
    const ar_model *m = &d->m->model;
    ar_acts acts = d->m->acts;
    if (acts.scheme.bits == 0) return AR_OK;
    if (acts.scheme.range == AR_ACTS_TENSOR) acts.scheme.range = AR_ACTS_TOKEN;
    d->acts = ar__alloc((size_t)m->block_count, sizeof *d->acts);
    if (!d->acts) return AR_ERR_MEMORY;
    for (int32_t b = 0; b < m->block_count; b++) {
        bool skip[AR_MAX_LINEARS];
        ar__family_float_inputs(skip, d->m, b);
        AR_TRY(ar_acts_block_init(&d->acts[b], &acts, &m->blocks[b], skip, d->device));
    }
    return AR_OK;
}

static ar_status upload_blocks(ar_decoder *d) {
    const ar_model *m = &d->m->model;
    d->blocks = ar__alloc((size_t)m->block_count, sizeof *d->blocks);
    if (!d->blocks) return AR_ERR_MEMORY;
    if (d->m->adapter && !(d->adapters = ar__alloc((size_t)m->block_count, sizeof *d->adapters)))
        return AR_ERR_MEMORY;
    for (int32_t b = 0; b < m->block_count; b++) {
        if (d->adapters) AR_TRY(ar__adapter_upload(&d->adapters[b], d->m->adapter, &m->blocks[b], d->device));
        bool single = d->m->adapter || d->m->acts.scheme.bits > 0;
        AR_TRY(ar__resident_init(&d->blocks[b], &m->blocks[b], d->device, single));
        d->blocks[b].bytes = d->m->acts.bytes;
        d->weight_bytes += ar__resident_bytes(&d->blocks[b]);
    }
    return AR_OK;
}

/* ---- memory ---- */

#define SHARED_BLOCK ((uint64_t)32 << 20) /* small tensors share driver buffers of at most so much */

/* Bytes that the caches of C tokens take, with what is left over at the ends of buffers they share. */
static uint64_t cache_bytes(const ar_decoder *d, uint64_t budget, uint64_t widest, int64_t C) {
    uint64_t each = (2 * (uint64_t)d->B * widest * (uint64_t)C + 255) / 256 * 256,
             count = 2 * (uint64_t)d->m->model.block_count;
    uint64_t block = budget / 16 < SHARED_BLOCK ? budget / 16 : SHARED_BLOCK;
    if (each > block / 2) return count * each;
    return (count + block / each - 1) / (block / each) * block;
}

/* How many tokens' keys and values fit: each cache into one binding, all of them into what is left beside the
 * steps of 32 tokens and the logits. */
static int64_t room_for(const ar_decoder *d) {
    const ar_model *m = &d->m->model;
    uint64_t piece = ar_device_get_plan(d->device)->piece_bytes, kv = 1, widest = (uint64_t)m->hidden;
    ar_memory_stats stats;
    for (int32_t b = 0; b < m->block_count; b++) {
        if ((uint64_t)m->blocks[b].kv_width > kv) kv = (uint64_t)m->blocks[b].kv_width;
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++)
            if ((uint64_t)m->blocks[b].linears[i].O > widest) widest = (uint64_t)m->blocks[b].linears[i].O;
    }
    ar_device_memory(d->device, &stats);
    uint64_t scratch =
        4 * 32 * (uint64_t)d->B * 6 * widest + 8 * (uint64_t)d->B * (uint64_t)m->vocab + ((uint64_t)1 << 20);
    uint64_t left = stats.budget > stats.current + scratch ? stats.budget - stats.current - scratch : 0;
    int64_t fits = 0, most = (int64_t)(piece / (2 * (uint64_t)d->B * kv));
    for (int64_t more = INT64_C(1) << 30; more > 0; more /= 2)
        if (fits + more <= most && cache_bytes(d, stats.budget, kv, fits + more) <= left) fits += more;
    return fits;
}

/* *C tokens, or the model's limit or what fits. */
static ar_status choose_context(ar_decoder *d, int32_t *C) {
    int64_t limit = d->m->model.max_tokens, room = room_for(d);
    if (*C > limit)
        return ar__fail(AR_ERR_USAGE, "context: found %d tokens, expected at most the model's %lld", (int)*C,
                        (long long)limit);
    if (*C <= 0) *C = (int32_t)(limit < room ? limit : room);
    if (*C < 1 || *C > room)
        return ar__fail(AR_ERR_DEVICE_MEMORY,
                        "context: the keys and values of %d tokens do not fit beside the weights, expected "
                        "at most %lld (-c %lld)",
                        (int)*C, (long long)room, (long long)room);
    d->C = *C;
    return AR_OK;
}

static ar_status make_caches(ar_decoder *d) {
    const ar_model *m = &d->m->model;
    for (int32_t b = 0; b < m->block_count; b++) {
        const ar_block *block = &m->blocks[b];
        for (int32_t k = 0; k < 2; k++)
            AR_TRY(ar_tensor_create(
                &d->caches[2 * b + k], d->device, AR_F16, 4,
                (const int64_t[]){d->B, block->kv_width / block->head_dim, d->C, block->head_dim}));
    }
    return AR_OK;
}

static ar_status prepare(ar_decoder *d, int32_t *C) {
    const ar_model *m = &d->m->model;
    AR_TRY(upload_blocks(d));
    AR_TRY(upload_acts(d));
    AR_TRY(ar_head_init_stored(&d->head, m, d->device));
    d->head.bytes = d->m->acts.bytes;
    d->weight_bytes += ar_resident_weight_bytes(d->head.resident);
    AR_TRY(choose_context(d, C));
    d->caches = ar__alloc((size_t)m->block_count, 2 * sizeof *d->caches);
    if (!d->caches) return AR_ERR_MEMORY;
    AR_TRY(make_caches(d));
    AR_TRY(ar_tensor_create(&d->pos, d->device, AR_I32, 1, (const int64_t[]){1}));
    AR_TRY(ar_tensor_create(&d->last, d->device, AR_I32, 1, (const int64_t[]){d->B}));
    AR_TRY(ar_tensor_create(&d->tail, d->device, AR_F32, 2, (const int64_t[]){d->B, m->hidden}));
    for (int32_t i = 0; i < STEP_COUNT; i++) d->steps[i].T = step_tokens[i];
    return want_step(d, &d->steps[0]);
}

ar_status ar__decoder_create(ar_decoder **out, const ar_open_model *m, ar_device *device, int32_t B,
                             int32_t *C) {
    *out = NULL;
    ar_decoder *d = ar__alloc(1, sizeof *d);
    if (!d) return AR_ERR_MEMORY;
    *d = (ar_decoder){.m = m, .device = device, .B = B};
    ar_status status = prepare(d, C);
    if (status != AR_OK)
        ar__decoder_destroy(d);
    else
        *out = d;
    return status;
}

void ar__decoder_destroy(ar_decoder *d) {
    if (!d) return;
    int32_t layers = d->m->model.block_count;
    ar_graph_destroy(d->head_graph);
    for (int32_t i = 0; i < STEP_COUNT; i++) drop_step(&d->steps[i]);
    for (int32_t b = 0; d->blocks && b < layers; b++) ar__resident_deinit(&d->blocks[b]);
    for (int32_t b = 0; d->adapters && b < layers; b++) ar__adapter_drop(&d->adapters[b]);
    free(d->adapters);
    for (int32_t b = 0; d->acts && b < layers; b++) ar_acts_block_deinit(&d->acts[b]);
    free(d->acts);
    for (int32_t i = 0; d->caches && i < 2 * layers; i++) ar_tensor_destroy(d->caches[i]);
    ar_tensor_destroy(d->pos);
    ar_tensor_destroy(d->last);
    ar_tensor_destroy(d->tail);
    ar_head_deinit(&d->head);
    free(d->blocks);
    free(d->caches);
    free(d->rows);
    free(d->angles);
    free(d);
}

uint64_t ar__decoder_weight_bytes(const ar_decoder *d) { return d->weight_bytes; }

/* ---- stepping ---- */

static ar_status write_angles(ar_decoder *d, const rotation *r, int32_t T, int32_t pos) {
    const float *freq = d->is_long ? r->long_freq : r->freq;
    for (int32_t t = 0; t < T; t++)
        for (int32_t i = 0; i < r->pairs; i++) {
            float angle = (float)(pos + t) * freq[i]; /* in f32, as Hugging Face's */
            d->angles[2 * (t * r->pairs + i)] = (float)cos((double)angle) * r->turn;
            d->angles[2 * (t * r->pairs + i) + 1] = (float)sin((double)angle) * r->turn;
        }
    return ar_tensor_write(r->angles, d->angles, 0, 2 * (int64_t)T * r->pairs);
}

/* Runs s with `count` <= s->T tokens of every sequence, ids[b * stride]...; what lies behind them is computed
 * from zeros and later overwritten. */
static ar_status run_step(ar_decoder *d, const step *s, const int32_t *ids, int32_t stride, int32_t count,
                          int32_t pos) {
    const ar_model *m = &d->m->model;
    AR_TRY(want_rows(d, s->T));
    for (int32_t b = 0; b < d->B; b++) {
        int32_t newest = b * s->T + count - 1;
        float *rows = d->rows + (int64_t)b * s->T * m->hidden;
        AR_TRY(ar_model_embed(m, rows, ids + (int64_t)b * stride, count, pos));
        memset(rows + (int64_t)count * m->hidden, 0,
               (size_t)(s->T - count) * (size_t)m->hidden * sizeof *rows);
        if (s->T > 1) AR_TRY(ar_tensor_write(d->last, &newest, b, 1));
    }
    AR_TRY(ar_tensor_write(s->x, d->rows, 0, (int64_t)d->B * s->T * m->hidden));
    AR_TRY(ar_tensor_write(d->pos, &pos, 0, 1));
    for (int32_t i = 0; i < s->rotation_count; i++) AR_TRY(write_angles(d, &s->rotations[i], s->T, pos));
    return ar_graph_run(s->graph);
}

/* The step for the next of `left` tokens: the smallest that holds them if little of it is wasted (8 tokens
 * cost less than 3 alone) and the caches take it, else the largest below them. */
static ar_status pick_step(ar_decoder *d, const step **s, int32_t left, int32_t pos) {
    for (int32_t i = STEP_COUNT - 1; i >= 0; i--) {
        step *one = &d->steps[i];
        bool is_worth = one->T <= left + left / 2 || (i == 1 && left > 2);
        bool holds = left <= one->T && is_worth && (i == 0 || left > step_tokens[i - 1]);
        if ((left < one->T && !holds) || pos + one->T > d->C) continue;
        AR_TRY(want_step(d, one));
        *s = one;
        if (one->graph) return AR_OK;
    }
    return ar__fail(AR_ERR_CHECK, "generation: no step for %d tokens at %d", (int)left, (int)pos);
}

bool ar__decoder_set_length(ar_decoder *d, int64_t tokens) {
    const ar_config *c = &d->m->config;
    bool was_long = d->is_long;
    d->is_long = ar__rope_is_long(c) && tokens > c->rope_scaling.original_tokens;
    return d->is_long != was_long;
}

ar_status ar__decoder_step(ar_decoder *d, float *logits, const int32_t *ids, int32_t T, int32_t pos) {
    const ar_model *m = &d->m->model;
    if (pos < 0 || T < 1 || T > d->C - pos)
        return ar__fail(AR_ERR_ARG, "%d tokens at position %d: expected to end within %d", (int)T, (int)pos,
                        (int)d->C);
    const step *s = NULL;
    for (int32_t done = 0; done < T;) {
        AR_TRY(pick_step(d, &s, T - done, pos + done));
        int32_t count = T - done < s->T ? T - done : s->T;
        AR_TRY(run_step(d, s, ids + done, T, count, pos + done));
        done += count;
    }
    if (!logits) return AR_OK;
    if (s->T > 1) {
        AR_TRY(want_head(d));
        AR_TRY(ar_graph_run(d->head_graph));
    }
    return ar_tensor_read(s->T > 1 ? d->logits : s->logits, logits, 0, (int64_t)d->B * m->vocab);
}
