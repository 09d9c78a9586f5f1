/* What linears cost by the gradient of the model's loss; see allot.h. The quantized model's chains go forward
 * block by block and are kept; the gradient comes back the same way, one block on the device at a time. */
#include "allot.h"
#include "ar_error.h"
#include <math.h>
#include <stdlib.h>

#define LOGIT_BYTES ((int64_t)64 << 20) /* of a piece of rows at the head */

typedef struct descent {
    const ar_model *m;
    ar_device *device;
    const ar_samples *samples;
    const ar__allot_unit *units;
    int32_t unit_count, choices;
    ar_qlinear *const *codes;
    double *cost;
    ar_chain *inputs;   /* (blocks + 1): of each block, and of the head */
    ar_chain gradients; /* of the input of what was passed last */
} descent;

/* ---- forward ---- */

static ar_qlinear *code_of(const descent *d, int32_t block, int32_t i) {
    return d->codes[(int64_t)block * AR_MAX_LINEARS + i];
}

/* A block on the device, with W' for W where there are codes. */
static ar_status load(ar_block_weights *w, const descent *d, int32_t b) {
    const ar_block *block = &d->m->blocks[b];
    AR_TRY(ar_block_weights_init(w, block, d->device));
    for (int32_t i = 0; i < block->linear_count; i++) {
        const ar_qlinear *q = code_of(d, b, i);
        if (!q) continue;
        float *values = ar__alloc((size_t)q->O, (size_t)q->I * sizeof *values);
        ar_status status = values ? AR_OK : AR_ERR_MEMORY;
        if (values) ar_qlinear_dequant(values, q);
        if (values) status = ar_tensor_write(w->linears[i], values, 0, q->O * q->I);
        free(values);
        if (status == AR_OK) continue;
        ar_block_weights_deinit(w);
        return status;
    }
    return AR_OK;
}

static ar_status ascend(descent *d) {
    int64_t rows = (int64_t)d->samples->count * d->samples->T;
    for (int32_t b = 0; b <= d->m->block_count; b++)
        AR_TRY(ar_chain_init(&d->inputs[b], rows, d->m->hidden, NULL, 0));
    AR_TRY(ar_chain_init(&d->gradients, rows, d->m->hidden, NULL, 0));
    AR_TRY(ar_chain_embed(&d->inputs[0], d->m, d->samples));
    for (int32_t b = 0; b < d->m->block_count; b++) {
        ar_block_weights w;
        AR_TRY(load(&w, d, b));
        ar_status status = ar_chain_forward(&d->inputs[b + 1], &d->inputs[b], d->device, &d->m->blocks[b],
                                            &w.hook, d->samples->T, d->samples->count);
        ar_block_weights_deinit(&w);
        AR_TRY(status);
    }
    return AR_OK;
}

/* ---- the head ---- */

/* rows of x, their labels, and the gradient that mean loss has in x. */
typedef struct head_pass {
    ar_head head;
    ar_graph *graph;
    ar_tensor *x, *labels, *loss;
    int64_t rows;
} head_pass;

static ar_status record_head(head_pass *p, const ar_model *m, ar_device *device, int64_t rows) {
    ar_tensor *logits, *nll, *top1;
    p->rows = rows;
    AR_TRY(ar_head_init(&p->head, m, device));
    AR_TRY(ar_tensor_create(&p->x, device, AR_F32, 2, (const int64_t[]){rows, m->hidden}));
    AR_TRY(ar_tensor_create(&p->labels, device, AR_I32, 1, &rows));
    ar_tensor_set_needs_grad(p->x, true);
    AR_TRY(ar_graph_create(&p->graph, device));
    AR_TRY(ar_head_record(&p->head, p->graph, &logits, p->x));
    AR_TRY(ar_op_nll(p->graph, &nll, &top1, logits, p->labels));
    AR_TRY(ar_op_mean(p->graph, &p->loss, nll));
    AR_TRY(ar_graph_backward(p->graph, p->loss));
    ar_graph_keep(p->graph, ar_tensor_grad(p->x));
    return ar_graph_build(p->graph);
}

static void drop_head(head_pass *p) {
    ar_graph_destroy(p->graph);
    ar_tensor_destroy(p->x);
    ar_tensor_destroy(p->labels);
    ar_head_deinit(&p->head);
}

/* The next token of each position; none behind a sample's last. */
static void take_labels(int32_t *labels, const ar_samples *s, int64_t row, int64_t count) {
    for (int64_t i = 0; i < count; i++) labels[i] = (row + i) % s->T == s->T - 1 ? -1 : s->ids[row + i + 1];
}

/* Pieces of rows that are all alike, so that the mean over one is that over all but for a factor. */
static ar_status turn(descent *d) {
    ar_status status = AR_OK;
    const ar_chain *x = &d->inputs[d->m->block_count];
    int64_t rows = d->samples->T, H = d->m->hidden;
    head_pass p = {0};
    while (rows % 2 == 0 && rows * d->m->vocab * 4 > LOGIT_BYTES) rows /= 2;
    int32_t *labels = ar__alloc((size_t)rows, sizeof *labels);
    if (!labels) return AR_ERR_MEMORY;
    AR_GO(record_head(&p, d->m, d->device, rows));
    for (int64_t row = 0; row < x->rows; row += rows) {
        take_labels(labels, d->samples, row, rows);
        AR_GO(ar_tensor_write(p.x, x->data + row * H, 0, rows * H));
        AR_GO(ar_tensor_write(p.labels, labels, 0, rows));
        AR_GO(ar_graph_run(p.graph));
        AR_GO(ar_tensor_read(ar_tensor_grad(p.x), d->gradients.data + row * H, 0, rows * H));
    }
    for (int64_t i = 0; i < x->rows * H; i++) d->gradients.data[i] *= (float)rows / (float)x->rows;
done:
    drop_head(&p);
    free(labels);
    return status;
}

/* ---- backward ---- */

typedef struct block_pass {
    ar_block_weights w;
    ar_graph *graph;
    ar_tensor *x, *dy, *y, *loss;
} block_pass;

static ar_status record_block(block_pass *p, const descent *d, int32_t b) {
    const ar_block *block = &d->m->blocks[b];
    const int64_t dims[] = {(int64_t)d->samples->count * d->samples->T, d->m->hidden};
    AR_TRY(load(&p->w, d, b));
    AR_TRY(ar_tensor_create(&p->x, d->device, AR_F32, 2, dims));
    AR_TRY(ar_tensor_create(&p->dy, d->device, AR_F32, 2, dims));
    ar_tensor_set_needs_grad(p->x, true);
    for (int32_t i = 0; i < block->linear_count; i++)
        if (code_of(d, b, i)) ar_tensor_set_needs_grad(p->w.linears[i], true);
    AR_TRY(ar_graph_create(&p->graph, d->device));
    AR_TRY(block->forward(block, p->graph, &p->y, p->x, d->samples->T, &p->w.hook));
    AR_TRY(ar_op_pull(p->graph, &p->loss, p->y, p->dy));
    AR_TRY(ar_graph_backward(p->graph, p->loss));
    ar_graph_keep(p->graph, ar_tensor_grad(p->x));
    for (int32_t i = 0; i < block->linear_count; i++)
        if (code_of(d, b, i)) ar_graph_keep(p->graph, ar_tensor_grad(p->w.linears[i]));
    return ar_graph_build(p->graph);
}

/* *cost grows by the sum of |dW (W - W')|. */
static ar_status add_cost(double *cost, const descent *d, const block_pass *p, int32_t b, int32_t i) {
    const ar_block *block = &d->m->blocks[b];
    const ar_qlinear *q = code_of(d, b, i);
    int64_t elems = q->O * q->I;
    ar_status status = AR_OK;
    float *W = ar__alloc((size_t)elems, 3 * sizeof *W);
    if (!W) return AR_ERR_MEMORY;
    float *rounded = W + elems, *dW = rounded + elems;
    AR_GO(block->read_linear(block, W, i, 0, q->O));
    AR_GO(ar_tensor_read(ar_tensor_grad(p->w.linears[i]), dW, 0, elems));
    ar_qlinear_dequant(rounded, q);
    for (int64_t k = 0; k < elems; k++) *cost += fabs((double)dW[k] * ((double)W[k] - (double)rounded[k]));
    if (!isfinite(*cost))
        AR_GO(ar__fail(AR_ERR_FORMAT, "%s.%s: found a gradient that is not finite", block->name,
                       block->linears[i].name));
done:
    free(W);
    return status;
}

static ar_status descend_block(descent *d, int32_t b) {
    ar_status status = AR_OK;
    block_pass p = {0};
    ar_chain *dx = &d->gradients;
    AR_GO(record_block(&p, d, b));
    AR_GO(ar_tensor_write(p.x, d->inputs[b].data, 0, dx->rows * dx->width));
    AR_GO(ar_tensor_write(p.dy, dx->data, 0, dx->rows * dx->width));
    AR_GO(ar_graph_run(p.graph));
    AR_GO(ar_tensor_read(ar_tensor_grad(p.x), dx->data, 0, dx->rows * dx->width));
    for (int32_t u = 0; u < d->unit_count; u++)
        for (int32_t k = 0; d->units[u].block == b && k < d->units[u].count; k++)
            AR_GO(add_cost(&d->cost[(int64_t)u * d->choices], d, &p, b, d->units[u].linears[k]));
done:
    ar_graph_destroy(p.graph);
    ar_tensor_destroy(p.x);
    ar_tensor_destroy(p.dy);
    ar_block_weights_deinit(&p.w);
    return status;
}

ar_status ar__allot_gradient(double *cost, int32_t choices, const ar__allot_unit *units, int32_t unit_count,
                             ar_qlinear *const *codes, const ar_model *m, ar_device *device,
                             const ar_samples *samples, const ar_observer *observer) {
    ar_status status = AR_OK;
    descent d = {.m = m,
                 .device = device,
                 .samples = samples,
                 .units = units,
                 .unit_count = unit_count,
                 .choices = choices,
                 .codes = codes,
                 .cost = cost,
                 .gradients = {.fd = -1}};
    d.inputs = ar__alloc((size_t)m->block_count + 1, sizeof *d.inputs);
    if (!d.inputs) return AR_ERR_MEMORY;
    for (int32_t b = 0; b <= m->block_count; b++) d.inputs[b].fd = -1;
    for (int32_t u = 0; u < unit_count; u++) cost[(int64_t)u * choices] = 0.0;
    AR_GO(ascend(&d));
    AR_GO(turn(&d));
    for (int32_t b = m->block_count - 1; b >= 0; b--) {
        if (observer && observer->cancelled && observer->cancelled(observer->ctx))
            AR_GO(ar__fail(AR_ERR_INTERRUPTED, "interrupted in block %d", (int)b));
        AR_GO(descend_block(&d, b));
    }
done:
    for (int32_t b = 0; b <= m->block_count; b++) ar_chain_deinit(&d.inputs[b]);
    ar_chain_deinit(&d.gradients);
    free(d.inputs);
    return status;
}
