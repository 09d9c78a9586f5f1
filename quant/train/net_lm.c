/* A language model that is trained whole: embedding (and learned positions), blocks with all of their weights
 * on the device, final norm, head, and the loss of the next token. What a block is its family says; dropout
 * is a hook on what its branches add. */
#include "ar_error.h"
#include "core.h"
#include "lm_states.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define UPLOAD_BYTES ((int64_t)16 << 20) /* host scratch while rows are converted */
#define LOGIT_BYTES  ((int64_t)64 << 20) /* of a piece of the vocabulary */

typedef struct lm {
    const ar_model *model;
    ar_device *device;
    ar_lm_desc desc;
    ar_tensor *embedding, *positions, *at; /* at: the position of every token of a batch */
    ar_block_weights *blocks;              /* (block_count) */
    ar_head head;                          /* its rows are the embedding where the head is tied */
    ar__lm_states *states;                 /* NULL: floats */
} lm;

/* ---- parameters ---- */

/* Rows that `read` gives, a few at a time. */
static ar_status upload_rows(ar_tensor **t, const lm *n, int64_t rows,
                             ar_status (*read)(const ar_model *m, float *dst, int64_t row, int64_t rows)) {
    ar_status status;
    int64_t width = n->model->hidden, step = UPLOAD_BYTES / (width * 4);
    if (step < 1) step = 1;
    if (step > rows) step = rows;
    float *scratch = ar__alloc((size_t)step, (size_t)width * sizeof *scratch);
    if (!scratch) return AR_ERR_MEMORY;
    AR_GO(ar_tensor_create(t, n->device, AR_F32, 2, (const int64_t[]){rows, width}));
    for (int64_t row = 0; row < rows; row += step) {
        int64_t count = rows - row < step ? rows - row : step;
        AR_GO(read(n->model, scratch, row, count));
        AR_GO(ar_tensor_write(*t, scratch, row * width, count * width));
    }
done:
    free(scratch);
    return status;
}

static void add_param(ar_net *net, ar_tensor *t, const char *format, ...) AR__PRINTF(3, 4);
static void add_param(ar_net *net, ar_tensor *t, const char *format, ...) {
    va_list args;
    if (!t) return;
    ar_param *p = &net->params[net->param_count++];
    *p = (ar_param){.t = t, .decays = ar_tensor_dim_count(t) > 1};
    va_start(args, format);
    vsnprintf(p->name, sizeof p->name, format, args);
    va_end(args);
}

static void add_block(ar_net *net, const ar_block_weights *w, bool has_norms) {
    const ar_block *b = w->block;
    for (int32_t i = 0; i < b->linear_count; i++) {
        add_param(net, w->linears[i], "%s.%s.weight", b->name, b->linears[i].name);
        add_param(net, w->biases[i], "%s.%s.bias", b->name, b->linears[i].name);
    }
    for (int32_t j = 0; has_norms && j < b->norm_count; j++) {
        add_param(net, w->norms[j], "%s.%s.weight", b->name, b->norms[j].name);
        add_param(net, w->norm_biases[j], "%s.%s.bias", b->name, b->norms[j].name);
    }
}

static ar_status list_params(ar_net *net, const lm *n) {
    int32_t most = 5 + n->model->block_count * 2 * (AR_MAX_LINEARS + AR_MAX_NORMS);
    if (n->states) most += ar__lm_states_count(n->states);
    net->params = ar__alloc((size_t)most, sizeof *net->params);
    if (!net->params) return AR_ERR_MEMORY;
    add_param(net, n->embedding, AR_PARAM_EMBEDDING);
    add_param(net, n->positions, AR_PARAM_POSITIONS);
    for (int32_t i = 0; i < n->model->block_count; i++) add_block(net, &n->blocks[i], !n->states);
    if (n->states) ar__lm_states_list(net, n->states);
    add_param(net, n->head.norm, AR_PARAM_FINAL_NORM);
    add_param(net, n->head.norm_bias, AR_PARAM_FINAL_BIAS);
    if (n->head.rows != n->embedding) add_param(net, n->head.rows, AR_PARAM_HEAD);
    return AR_OK;
}

/* ---- dropout ---- */

/* What a branch adds loses some of its places. */
typedef struct drop {
    const ar_net *net;
    const ar_tensor *count;
    const ar_block_weights *weights;
    const ar_hook *base;
} drop;

static ar_status drop_add(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x,
                          ar_tensor *residual) {
    const drop *d = ctx;
    const lm *n = d->net->impl;
    uint32_t site = (uint32_t)(d->weights->block->index * AR_MAX_LINEARS + i + 1);
    ar_tensor *product = NULL, *kept = NULL;
    AR_TRY(ar_hook_linear(d->base, g, &product, i, x));
    AR_TRY(ar_op_dropout(g, &kept, product, n->desc.dropout, n->desc.seed + site, d->count));
    return ar_op_add(g, y, residual, kept);
}

/* ---- a pass ---- */

typedef struct block_ctx {
    const ar_net *net;
    const ar_tensor *count; /* NULL: no dropout */
    int32_t index, T;
    ar__statistics from;
} block_ctx;

static ar_status record_block(ar_graph *g, ar_tensor **y, ar_tensor *x, const void *ctx) {
    const block_ctx *c = ctx;
    const lm *n = c->net->impl;
    const ar_block_weights *w = &n->blocks[c->index];
    ar__lm_states_hook few;
    const ar_hook *base = &w->hook;
    if (n->states) {
        ar__lm_states_hook_init(&few, n->states, w, c->from, c->T);
        base = &few.hook;
    }
    drop d = {c->net, c->count, w, base};
    ar_hook hook = {.linear_add = drop_add, .ctx = &d, .base = base};
    return w->block->forward(w->block, g, y, x, c->T, c->count ? &hook : base);
}

/* The positions 0..T-1, once for every sequence of a batch. */
static ar_status make_positions(lm *n, int64_t rows) {
    if (n->at && ar_tensor_dim(n->at, 0) == rows) return AR_OK;
    if (n->at) return ar__fail(AR_ERR_ARG, "lm: found %lld tokens, expected always as many", (long long)rows);
    int32_t *at = ar__alloc((size_t)rows, sizeof *at);
    if (!at) return AR_ERR_MEMORY;
    for (int64_t r = 0; r < rows; r++) at[r] = (int32_t)(r % n->desc.T);
    ar_status status = ar_tensor_create(&n->at, n->device, AR_I32, 1, &rows);
    if (status == AR_OK) status = ar_tensor_write(n->at, at, 0, rows);
    free(at);
    return status;
}

static ar_status record_embedding(lm *n, ar_graph *g, ar_tensor **x, const ar_pass *pass) {
    ar_tensor *places = NULL;
    AR_TRY(ar_op_embed(g, x, n->embedding, pass->input));
    if (n->positions) {
        AR_TRY(make_positions(n, ar_tensor_dim(pass->input, 0)));
        AR_TRY(ar_op_embed(g, &places, n->positions, n->at));
        AR_TRY(ar_op_add(g, x, *x, places));
    }
    return ar_op_dropout(g, x, *x, pass->is_training ? n->desc.dropout : 0, n->desc.seed, pass->count);
}

static ar_status record_head(const lm *n, ar_graph *g, ar_tensor **nll, ar_tensor **top1, ar_tensor *x,
                             const ar_pass *pass) {
    int64_t piece = n->desc.piece ? n->desc.piece : LOGIT_BYTES / (4 * ar_tensor_dim(x, 0));
    ar_tensor *normed = NULL, *z = NULL;
    AR_TRY(ar_norm_record(&n->head.kind, g, &normed, x, n->head.norm, n->head.norm_bias));
    if (n->head.cap <= 0) return ar_op_head_nll(g, nll, top1, normed, n->head.rows, pass->labels, piece);
    AR_TRY(ar_op_linear(g, &z, normed, n->head.rows, NULL));
    AR_TRY(ar_op_soft_cap(g, &z, z, n->head.cap));
    return ar_op_nll(g, nll, top1, z, pass->labels);
}

static ar_status record(const ar_net *net, ar_graph *g, ar_tensor **nll, ar_tensor **top1,
                        const ar_pass *pass) {
    lm *n = net->impl;
    ar_tensor *x = NULL;
    if (n->states && pass->recompute)
        return ar__fail(AR_ERR_UNSUPPORTED,
                        "lm: blocks of few states cannot be computed twice: their running "
                        "statistics would learn twice");
    AR_TRY(record_embedding(n, g, &x, pass));
    for (int32_t i = 0; i < n->model->block_count; i++) {
        bool drops = pass->is_training && n->desc.dropout > 0;
        block_ctx c = {.net = net,
                       .count = drops ? pass->count : NULL,
                       .index = i,
                       .T = n->desc.T,
                       .from = ar__statistics_of(pass)};
        AR_TRY(pass->recompute ? ar_graph_recompute(g, &x, x, record_block, &c, sizeof c)
                               : record_block(g, &x, x, &c));
    }
    return record_head(n, g, nll, top1, x, pass);
}

ar_status ar_net_lm_logits(const ar_net *net, ar_graph *g, ar_tensor **logits, const ar_tensor *ids,
                           const ar_tensor *which) {
    const lm *n = net->record == record ? net->impl : NULL;
    int64_t T = ar_tensor_dim(ids, 0);
    ar_tensor *x = NULL;
    *logits = NULL;
    if (!n || n->positions || T < 1 || T > n->model->max_tokens)
        return ar__fail(AR_ERR_ARG, "lm: found %lld tokens%s, expected 1 to %d of a model that rotates",
                        (long long)T, n ? "" : " of another net", n ? (int)n->model->max_tokens : 0);
    AR_TRY(ar_op_embed(g, &x, n->embedding, ids));
    for (int32_t i = 0; i < n->model->block_count; i++) {
        block_ctx c = {.net = net, .index = i, .T = (int32_t)T, .from = AR__STATISTICS_RUNNING};
        AR_TRY(record_block(g, &x, x, &c));
    }
    AR_TRY(ar_op_embed(g, &x, x, which));
    return ar_head_record(&n->head, g, logits, x);
}

/* ---- making ---- */

static void destroy(ar_net *net) {
    lm *n = net->impl;
    if (n) {
        for (int32_t i = 0; n->blocks && i < n->model->block_count; i++)
            ar_block_weights_deinit(&n->blocks[i]);
        if (n->head.rows == n->embedding) n->embedding = NULL;
        ar_head_deinit(&n->head);
        ar_tensor_destroy(n->embedding);
        ar_tensor_destroy(n->positions);
        ar_tensor_destroy(n->at);
        ar__lm_states_destroy(n->states);
        free(n->blocks);
    }
    free(n);
    free(net->params);
    free(net);
}

static ar_status upload(lm *n) {
    const ar_model *m = n->model;
    n->blocks = ar__alloc((size_t)m->block_count, sizeof *n->blocks);
    if (!n->blocks) return AR_ERR_MEMORY;
    AR_TRY(ar_head_init(&n->head, m, n->device));
    if (m->tied_head)
        n->embedding = n->head.rows;
    else
        AR_TRY(upload_rows(&n->embedding, n, m->vocab, m->read_embedding));
    if (m->read_positions) AR_TRY(upload_rows(&n->positions, n, m->max_tokens, m->read_positions));
    for (int32_t i = 0; i < m->block_count; i++)
        AR_TRY(ar_block_weights_init(&n->blocks[i], &m->blocks[i], n->device));
    if (n->desc.states) AR_TRY(ar__lm_states_create(&n->states, m, n->blocks, n->device, n->desc.states));
    return AR_OK;
}

ar_status ar_net_lm_create(ar_net **made, const ar_model *m, ar_device *device, const ar_lm_desc *desc) {
    *made = NULL;
    if (desc->T < 1 || desc->T > m->max_tokens)
        return ar__fail(AR_ERR_ARG, "lm: found %d tokens, expected 1 to %d", (int)desc->T,
                        (int)m->max_tokens);
    ar_net *net = ar__alloc(1, sizeof *net);
    lm *n = ar__alloc(1, sizeof *n);
    ar_status status = net && n ? AR_OK : AR_ERR_MEMORY;
    if (status == AR_OK) {
        *n = (lm){.model = m, .device = device, .desc = *desc};
        *net = (ar_net){.record = record, .destroy = destroy, .impl = n, .no_recompute = desc->states};
        status = upload(n);
        if (status == AR_OK) status = list_params(net, n);
        if (status == AR_OK) {
            *made = net;
            return AR_OK;
        }
        destroy(net);
        return status;
    }
    free(n);
    free(net);
    return status;
}
