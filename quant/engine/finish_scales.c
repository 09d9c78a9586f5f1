/* The scales of a whole quantized model along the gradient of its loss; codes stay (docs/frozen.md, scales at
 * the end). Of weights the device holds their codes, and W' of one block. */
#include "finish.h"
#include <stdlib.h>
#include <string.h>

typedef struct site {
    ar_qlinear *q; /* NULL = it is float */
    ar_coded w;
    ar_tensor *codes, *grid, *ab, *dab, *mean, *square, *kept;
} site;

typedef struct scales {
    ar_qlinear *const *linears; /* (block_count, AR_MAX_LINEARS) */
    site *sites;                /* likewise */
    int32_t count;
} scales;

/* ---- recording ---- */

typedef struct pass {
    const scales *s;
    const ar_block_weights *weights;
    bool gradients;
} pass;

static ar_status on_grad(ar_graph *g, ar_tensor *W, ar_tensor *dW, const void *ctx) {
    const site *s = *(site *const *)ctx;
    (void)W;
    return ar_op_scale_grad(g, s->dab, &s->w, dW);
}

static ar_status coded_linear(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    const pass *p = ctx;
    const ar_block_weights *w = p->weights;
    const site *s = &p->s->sites[w->block->index * AR_MAX_LINEARS + i];
    ar_tensor *W = NULL;
    if (!s->q) return ar_op_linear(g, y, x, w->linears[i], w->biases[i]);
    AR_TRY(ar_op_scale_quant(g, &W, &s->w, p->gradients));
    if (p->gradients) AR_TRY(ar_graph_on_grad(g, W, on_grad, &s, sizeof s));
    return ar_op_linear(g, y, x, W, w->biases[i]);
}

static ar_status float_norm(void *ctx, ar_graph *g, ar_tensor **y, int32_t j, ar_tensor *x) {
    const pass *p = ctx;
    const ar_hook *hook = &p->weights->hook;
    return hook->norm(hook->ctx, g, y, j, x);
}

static ar_status record_block(void *ctx, const ar__finish *f, ar_graph *g, ar_tensor **y, ar_tensor *x,
                              int32_t b, bool gradients) {
    pass p = {ctx, &f->weights[b], gradients};
    const ar_block *block = p.weights->block;
    const ar_hook hook = {.linear = coded_linear, .norm = float_norm, .ctx = &p};
    return block->forward(block, g, y, x, f->samples->T, &hook);
}

static ar_status record_update(void *ctx, const ar__finish *f, ar_graph *g) {
    const scales *c = ctx;
    for (int32_t i = 0; i < c->count; i++) {
        const site *s = &c->sites[i];
        if (!s->q) continue;
        AR_TRY(ar_op_adam_step(g, s->ab, s->dab, s->mean, s->square, f->step, f->rates, 0.5f, 2.0f));
        AR_TRY(ar_op_fill(g, s->dab, 0));
    }
    return AR_OK;
}

static ar_status record_keep(void *ctx, const ar__finish *f, ar_graph *g, const ar_tensor *improved) {
    const scales *c = ctx;
    (void)f;
    for (int32_t i = 0; i < c->count; i++)
        if (c->sites[i].q) AR_TRY(ar_op_copy_if(g, c->sites[i].kept, c->sites[i].ab, improved));
    return AR_OK;
}

/* ---- on the device ---- */

static ar_status write_codes(site *s, ar_device *device) {
    const ar_qlinear *q = s->q;
    int64_t words = (q->I + 3) / 4;
    uint8_t *bytes = ar__alloc((size_t)q->O, (size_t)words * 4);
    if (!bytes) return AR_ERR_MEMORY;
    for (int64_t o = 0; o < q->O; o++) memcpy(bytes + o * words * 4, q->codes + o * q->I, (size_t)q->I);
    ar_status status = ar_tensor_create(&s->codes, device, AR_I32, 2, (const int64_t[]){q->O, words});
    if (status == AR_OK) status = ar_tensor_write(s->codes, bytes, 0, q->O * words);
    free(bytes);
    return status;
}

static ar_status write_grid(site *s, ar_device *device) {
    int64_t count = s->q->O * s->q->groups;
    float *grid = ar__alloc((size_t)count, 2 * sizeof *grid);
    if (!grid) return AR_ERR_MEMORY;
    ar__qlinear_grid(grid, s->q);
    ar_status status =
        ar_tensor_create(&s->grid, device, AR_F32, 3, (const int64_t[]){s->q->O, s->q->groups, 2});
    if (status == AR_OK) status = ar_tensor_write(s->grid, grid, 0, count * 2);
    free(grid);
    return status;
}

static ar_status make_factors(ar_tensor **t, ar_device *device, int64_t O, int64_t units) {
    float *ones = ar__alloc((size_t)(O * units), 2 * sizeof *ones);
    if (!ones) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < O * units * 2; i++) ones[i] = 1.0f;
    ar_status status = ar_tensor_create(t, device, AR_F32, 3, (const int64_t[]){O, units, 2});
    if (status == AR_OK) status = ar_tensor_write(*t, ones, 0, O * units * 2);
    free(ones);
    return status;
}

static ar_status make_site(site *s, ar_device *device) {
    const int64_t dims[] = {s->q->O, s->q->d ? s->q->supers : s->q->groups, 2};
    if (s->q->extra_count > 0)
        return ar__fail(AR_ERR_UNSUPPORTED,
                        "scales at the end: found tensors beside the codes, expected codes alone");
    AR_TRY(write_codes(s, device));
    AR_TRY(write_grid(s, device));
    AR_TRY(make_factors(&s->ab, device, dims[0], dims[1]));
    AR_TRY(make_factors(&s->kept, device, dims[0], dims[1]));
    AR_TRY(ar__zeros(&s->dab, device, AR_F32, 3, dims));
    AR_TRY(ar__zeros(&s->mean, device, AR_F32, 3, dims));
    AR_TRY(ar__zeros(&s->square, device, AR_F32, 3, dims));
    s->w = (ar_coded){&s->q->scheme, s->codes, s->grid, s->ab, s->q->I};
    return AR_OK;
}

static ar_status take(void *ctx, ar__finish *f, int32_t b) {
    const scales *c = ctx;
    ar_block_weights *w = &f->weights[b];
    for (int32_t i = 0; i < w->block->linear_count; i++) {
        site *s = &c->sites[b * AR_MAX_LINEARS + i];
        s->q = c->linears[b * AR_MAX_LINEARS + i];
        if (!s->q) continue;
        ar_tensor_destroy(w->linears[i]);
        w->linears[i] = NULL;
        AR_TRY(make_site(s, f->device));
    }
    return AR_OK;
}

/* ---- delivery ---- */

static void scale_halves(uint16_t *h, const float *ab, int64_t count, int which) {
    for (int64_t i = 0; h && i < count; i++) {
        float v = ar_f16_to_f32(h[i]);
        if (v != 0.0f) h[i] = ar_f32_to_f16(v * ab[2 * i + which]);
    }
}

static ar_status deliver(void *ctx, const ar__finish *f, ar_finish_report *report) {
    const scales *c = ctx;
    char name[AR__WEIGHT_NAME];
    for (int32_t k = 0; k < c->count; k++) {
        const site *s = &c->sites[k];
        if (!s->q) continue;
        int64_t count = ar_tensor_count(s->kept) / 2;
        report->parameters += s->q->mins || s->q->dmin ? 2 * count : count;
        float *ab = ar__alloc((size_t)count, 2 * sizeof *ab);
        if (!ab) return AR_ERR_MEMORY;
        ar_status status = ar_tensor_read(s->kept, ab, 0, count * 2);
        if (status == AR_OK) {
            scale_halves(s->q->d ? s->q->d : s->q->scales, ab, count, 0);
            scale_halves(s->q->d ? s->q->dmin : s->q->mins, ab, count, 1);
            ar__weight_name(name, &f->model->blocks[k / AR_MAX_LINEARS], k % AR_MAX_LINEARS);
            status = ar_qlinear_check_scales(s->q, name, 0);
        }
        free(ab);
        AR_TRY(status);
    }
    return AR_OK;
}

/* ---- all of it ---- */

static const ar__finish_goal goal = {.what = "scales",
                                     .steps = AR__SCALE_STEPS,
                                     .rate = 2e-3,
                                     .take = take,
                                     .block = record_block,
                                     .update = record_update,
                                     .keep = record_keep,
                                     .deliver = deliver};

ar_status ar_finish_scales(ar_finish_report *report, ar_qlinear *const *linears, const ar_model *model,
                           ar_device *device, const ar_samples *samples, const ar_finish_desc *desc,
                           const ar_observer *observer) {
    scales c = {.linears = linears, .count = model->block_count * AR_MAX_LINEARS};
    c.sites = ar__alloc((size_t)c.count, sizeof *c.sites);
    if (!c.sites) return AR_ERR_MEMORY;
    ar_status status = ar__finish_run(report, &goal, &c, model, device, samples, desc, observer);
    for (int32_t k = 0; k < c.count; k++) {
        const site *s = &c.sites[k];
        ar_tensor *own[] = {s->codes, s->grid, s->ab, s->dab, s->mean, s->square, s->kept};
        for (size_t i = 0; i < sizeof own / sizeof *own; i++) ar_tensor_destroy(own[i]);
    }
    free(c.sites);
    return status;
}
