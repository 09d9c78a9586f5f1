/* Which norm feeds which linear, by recording a block's forward without any weights: what is between the two
 * can be scaled (docs/quadapter.md). Nothing runs. */
#include "ar_error.h"
#include "core.h"

#define TOKENS 1

typedef struct listener {
    const ar_block *block;
    ar_tensor *out[AR_MAX_NORMS];
    bool shared[AR_MAX_NORMS]; /* something else than linears sees it too */
    int32_t *of;
} listener;

static void see(listener *l, const ar_tensor *x) {
    for (int32_t j = 0; j < l->block->norm_count; j++)
        if (l->out[j] && l->out[j] == x) l->shared[j] = true;
}

static ar_status hear_norm(void *ctx, ar_graph *g, ar_tensor **y, int32_t j, ar_tensor *x) {
    listener *l = ctx;
    const int64_t dims[] = {ar_tensor_dim(x, 0), ar_tensor_dim(x, 1)};
    see(l, x);
    AR_TRY(ar_graph_temp(g, y, AR_F32, 2, dims));
    l->out[j] = *y;
    return AR_OK;
}

static ar_status hear_linear(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    listener *l = ctx;
    for (int32_t j = 0; j < l->block->norm_count; j++)
        if (l->out[j] == x && l->block->norms[j].I == l->block->linears[i].I) l->of[i] = j;
    return ar_graph_temp(g, y, AR_F32, 2, (const int64_t[]){ar_tensor_dim(x, 0), l->block->linears[i].O});
}

static ar_status hear_add(void *ctx, ar_graph *g, ar_tensor **y, ar_tensor *a, ar_tensor *b) {
    see(ctx, a);
    see(ctx, b);
    return ar_op_add(g, y, a, b);
}

static ar_status hear_attention(void *ctx, ar_graph *g, ar_tensor **y, ar_tensor *q, ar_tensor *k,
                                ar_tensor *v, const ar_attention *a) {
    const int64_t dims[] = {ar_tensor_dim(q, 0), ar_tensor_dim(q, 1)};
    (void)a;
    see(ctx, q);
    see(ctx, k);
    see(ctx, v);
    return ar_graph_temp(g, y, AR_F32, 2, dims);
}

ar_status ar_block_feeds(int32_t of[AR_MAX_LINEARS], const ar_block *block, ar_device *device) {
    ar_status status = AR_OK;
    ar_graph *g = NULL;
    ar_tensor *x = NULL, *y = NULL;
    listener l = {.block = block, .of = of};
    const ar_hook hook = {
        .linear = hear_linear, .norm = hear_norm, .add = hear_add, .attention = hear_attention, .ctx = &l};
    for (int32_t i = 0; i < AR_MAX_LINEARS; i++) of[i] = -1;
    AR_GO(ar_graph_create(&g, device));
    AR_GO(ar_graph_temp(g, &x, AR_F32, 2, (const int64_t[]){TOKENS, block->hidden}));
    AR_GO(block->forward(block, g, &y, x, TOKENS, &hook));
    see(&l, y);
    for (int32_t i = 0; i < block->linear_count; i++)
        if (of[i] >= 0 && l.shared[of[i]]) of[i] = -1;
done:
    ar_graph_destroy(g);
    return status;
}
