/* Reverse mode over the record. Every op with a gradient left a node behind its forward; walking the nodes
 * backwards emits the gradients. A tensor's first contribution overwrites its gradient, later ones add. */
#include "graph.h"
#include <assert.h>
#include <string.h>

ar_status ar__node(ar_graph *g, ar__backward_fn backward, const void *ctx, size_t ctx_bytes) {
    assert(ctx_bytes <= AR__NODE_BYTES);
    AR_TRY(ar__graph_grow((void **)&g->nodes, &g->node_capacity, g->node_count, sizeof *g->nodes));
    ar__graph_node *node = &g->nodes[g->node_count++];
    node->backward = backward;
    memcpy(node->ctx, ctx, ctx_bytes);
    return AR_OK;
}

static ar_status make_grad(ar_graph *g, ar_tensor *t) {
    if (t->grad && t->grad->graph != g) ar__leaf_forget(t); /* the latest graph owns a leaf's gradient */
    if (t->grad) return AR_OK;
    AR_TRY(ar__graph_grow((void **)&g->leaves, &g->leaf_capacity, g->leaf_count, sizeof *g->leaves));
    AR_TRY(ar_graph_temp(g, &t->grad, AR_F32, t->dim_count, t->dims));
    if (!t->graph) g->leaves[g->leaf_count++] = t;
    return AR_OK;
}

/* Records what was put off, so that t's gradient is what has reached it. */
static ar_status make_later(ar_graph *g, ar_tensor *t) {
    const ar__product p = t->later;
    if (!p.make) return AR_OK;
    t->later = (ar__product){0};
    AR_TRY(make_grad(g, t));
    t->grad_written = true;
    return p.make(g, t->grad, p.dy, p.x);
}

ar_status ar__grad(ar_graph *g, ar_tensor **grad, bool *accumulate, ar_tensor *t) {
    *grad = NULL;
    *accumulate = false;
    if (!t || !t->needs_grad) return AR_OK;
    AR_TRY(make_later(g, t));
    AR_TRY(make_grad(g, t));
    *accumulate = t->grad_written;
    t->grad_written = true;
    *grad = t->grad;
    return AR_OK;
}

bool ar__grad_later(ar_tensor *t, const ar__product *p) {
    if (!t || !t->needs_grad || !t->takes_product || t->grad_written || t->later.make) return false;
    t->later = *p;
    return true;
}

static ar_status seed(ar_graph *g, ar_tensor *loss) {
    ar_tensor *grad = NULL;
    bool accumulate = false;
    AR_TRY(ar__grad(g, &grad, &accumulate, loss));
    return ar__emit_fill(g, grad, 1.0f);
}

/* ---- telling when a gradient is complete ---- */

#define GRAD_CTX_BYTES 64
typedef struct grad_watch {
    ar_tensor *t;
    ar_grad_fn fn;
    ar_product_fn product; /* NULL: only complete gradients will do */
    unsigned char ctx[GRAD_CTX_BYTES];
} grad_watch;

static ar_status tell_grad(ar_graph *g, const void *ctx) {
    const grad_watch *watch = ctx;
    ar_tensor *t = watch->t;
    bool is_taken = false;
    if (t->later.make) AR_TRY(watch->product(g, &is_taken, t->later.dy, t->later.x, watch->ctx));
    if (is_taken) {
        t->later = (ar__product){0};
        return AR_OK;
    }
    AR_TRY(make_later(g, t));
    return t->grad ? watch->fn(g, t, t->grad, watch->ctx) : AR_OK;
}

ar_status ar__grad_tell(ar_graph *g, const ar_tensor *t) {
    if (g->node_count == 0 || g->nodes[g->node_count - 1].backward != tell_grad) return AR_OK;
    ar__graph_node node = g->nodes[g->node_count - 1];
    if (((const grad_watch *)(const void *)node.ctx)->t != t) return AR_OK;
    g->node_count--;
    return tell_grad(g, node.ctx);
}

ar_status ar_graph_on_grad(ar_graph *g, ar_tensor *t, ar_grad_fn fn, const void *ctx, size_t ctx_bytes) {
    return ar_graph_on_product(g, t, NULL, fn, ctx, ctx_bytes);
}

ar_status ar_graph_on_product(ar_graph *g, ar_tensor *t, ar_product_fn product, ar_grad_fn fn,
                              const void *ctx, size_t ctx_bytes) {
    grad_watch watch = {.t = t, .fn = fn, .product = product};
    if (ctx_bytes > sizeof watch.ctx)
        return ar__fail(AR_ERR_ARG, "on_grad: %zu bytes of context, expected at most %zu", ctx_bytes,
                        sizeof watch.ctx);
    memcpy(watch.ctx, ctx, ctx_bytes);
    t->takes_product = product != NULL;
    return ar__node(g, tell_grad, &watch, sizeof watch);
}

/* ---- recording once more instead of keeping ---- */

typedef struct again {
    ar_tensor *y, *x;
    ar_record_fn fn;
    unsigned char ctx[GRAD_CTX_BYTES];
} again;

/* The second recording leaves its nodes where this one stood: the walk goes on through them. */
static ar_status record_again(ar_graph *g, const void *ctx) {
    const again *a = ctx;
    ar_tensor *y = NULL;
    if (!a->y->grad) return AR_OK;
    ar__graph_turn(g);
    AR_TRY(a->fn(g, &y, a->x, a->ctx));
    ar__graph_turn(g);
    y->grad = a->y->grad;
    y->grad_written = true;
    return AR_OK;
}

void ar__graph_turn(ar_graph *g) { g->phase++; }

ar_status ar_graph_recompute(ar_graph *g, ar_tensor **y, ar_tensor *x, ar_record_fn fn, const void *ctx,
                             size_t ctx_bytes) {
    again a = {.x = x, .fn = fn};
    if (ctx_bytes > sizeof a.ctx)
        return ar__fail(AR_ERR_ARG, "recompute: %zu bytes of context, expected at most %zu", ctx_bytes,
                        sizeof a.ctx);
    memcpy(a.ctx, ctx, ctx_bytes);
    int32_t before = g->node_count;
    AR_TRY(fn(g, y, x, a.ctx));
    a.y = *y;
    if (g->node_count == before) return AR_OK;
    g->node_count = before;
    return ar__node(g, record_again, &a, sizeof a);
}

ar_status ar_graph_backward(ar_graph *g, ar_tensor *loss) {
    if (ar_tensor_count(loss) != 1 || loss->dtype != AR_F32)
        return ar__fail(AR_ERR_ARG, "backward: the loss holds %lld elements of %s, expected one f32",
                        (long long)ar_tensor_count(loss), ar_dtype_name(loss->dtype));
    if (loss->graph != g || !loss->needs_grad)
        return ar__fail(AR_ERR_ARG, "backward: the loss depends on nothing that needs a gradient");
    if (g->phase % 2 == 0) g->phase++;
    if (ar__graph_saves(g)) g->pack_count = 0; /* what is loaded is packed anew, or both would be kept */
    AR_TRY(seed(g, loss));
    while (g->node_count > 0) {
        ar__graph_node node = g->nodes[--g->node_count];
        AR_TRY(node.backward(g, node.ctx));
    }
    return AR_OK;
}
