/* The scales between norms and linears of a whole model along the gradient of its loss, straight through the
 * quantizers of weights and inputs, whose ranges stay: Quadapter's second phase (arXiv 2211.16912, as
 * docs/quadapter.md reconstructs it). Weights stay: they lie on the device in floats, all blocks'. */
#include "channels.h"
#include "finish.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HASH_BYTES ((int64_t)16 << 20)
#define HASH_START 0xcbf29ce484222325u

typedef struct scaled {
    int32_t of[AR_MAX_LINEARS];
    bool skip[AR_MAX_LINEARS];
    ar_scheme schemes[AR_MAX_LINEARS];
    ar_acts_block fixed;
    /* per norm; NULL = it is not scaled */
    ar_tensor *theta[AR_MAX_NORMS], *dtheta[AR_MAX_NORMS], *mean[AR_MAX_NORMS], *square[AR_MAX_NORMS],
        *kept[AR_MAX_NORMS];
} scaled;

typedef struct channels {
    ar_qlinear *const *linears; /* (block_count, AR_MAX_LINEARS) */
    scaled *blocks;             /* (block_count) */
    int32_t count;
    uint64_t hash; /* of the weights, before the first step */
} channels;

/* ---- recording ---- */

/* dtheta += d */
static ar_status add_grad(ar_graph *g, ar_tensor *theta, ar_tensor *d, const void *ctx) {
    (void)theta;
    return ar__record_sum(g, *(ar_tensor *const *)ctx, d);
}

static ar_status record_block(void *ctx, const ar__finish *f, ar_graph *g, ar_tensor **y, ar_tensor *x,
                              int32_t b, bool gradients) {
    const channels *c = ctx;
    const scaled *s = &c->blocks[b];
    const ar_block_weights *w = &f->weights[b];
    ar__channels_hook hook = {.weights = w,
                              .of = s->of,
                              .theta = s->theta,
                              .skip = s->skip,
                              .schemes = s->schemes,
                              .fixed = &s->fixed};
    for (int32_t j = 0; gradients && j < w->block->norm_count; j++)
        if (s->theta[j])
            AR_TRY(ar_graph_on_grad(g, s->theta[j], add_grad, &s->dtheta[j], sizeof s->dtheta[j]));
    return w->block->forward(w->block, g, y, x, f->samples->T, ar__channels_hook_init(&hook));
}

static ar_status record_update(void *ctx, const ar__finish *f, ar_graph *g) {
    const channels *c = ctx;
    for (int32_t k = 0; k < c->count * AR_MAX_NORMS; k++) {
        const scaled *s = &c->blocks[k / AR_MAX_NORMS];
        int32_t j = k % AR_MAX_NORMS;
        if (!s->theta[j]) continue;
        AR_TRY(ar_op_adam_step(g, s->theta[j], s->dtheta[j], s->mean[j], s->square[j], f->step, f->rates,
                               -INFINITY, INFINITY));
        AR_TRY(ar_op_fill(g, s->dtheta[j], 0));
    }
    return AR_OK;
}

static ar_status record_keep(void *ctx, const ar__finish *f, ar_graph *g, const ar_tensor *improved) {
    const channels *c = ctx;
    (void)f;
    for (int32_t k = 0; k < c->count * AR_MAX_NORMS; k++) {
        const scaled *s = &c->blocks[k / AR_MAX_NORMS];
        int32_t j = k % AR_MAX_NORMS;
        if (s->theta[j]) AR_TRY(ar_op_copy_if(g, s->kept[j], s->theta[j], improved));
    }
    return AR_OK;
}

/* ---- on the device ---- */

static ar_status hash_tensor(uint64_t *hash, const ar_tensor *t) {
    if (!t) return AR_OK;
    int64_t count = ar_tensor_count(t), step = HASH_BYTES / 4;
    if (step > count) step = count;
    uint32_t *words = ar__alloc((size_t)step, sizeof *words);
    if (!words) return AR_ERR_MEMORY;
    ar_status status = AR_OK;
    for (int64_t at = 0; status == AR_OK && at < count; at += step) {
        int64_t n = count - at < step ? count - at : step;
        status = ar_tensor_read(t, words, at, n);
        for (int64_t k = 0; k < n; k++) *hash = (*hash ^ words[k]) * 0x100000001b3u;
    }
    free(words);
    return status;
}

/* Of all that the blocks have: FNV-1a over words. */
static ar_status hash_weights(uint64_t *hash, const ar__finish *f) {
    *hash = HASH_START;
    for (int32_t b = 0; b < f->model->block_count; b++) {
        const ar_block_weights *w = &f->weights[b];
        for (int32_t i = 0; i < w->block->linear_count; i++) {
            AR_TRY(hash_tensor(hash, w->linears[i]));
            AR_TRY(hash_tensor(hash, w->biases[i]));
        }
        for (int32_t j = 0; j < w->block->norm_count; j++) {
            AR_TRY(hash_tensor(hash, w->norms[j]));
            AR_TRY(hash_tensor(hash, w->norm_biases[j]));
        }
    }
    return AR_OK;
}

static ar_status make_theta(scaled *s, const ar_extra *alpha, int32_t j, ar_device *device) {
    int64_t I = alpha->dims[0];
    const float *from = alpha->data;
    float *values = ar__alloc((size_t)I, sizeof *values);
    if (!values) return AR_ERR_MEMORY;
    ar_status status = AR_OK;
    for (int64_t k = 0; k < I; k++) values[k] = logf(from[k]);
    AR_GO(ar_tensor_create(&s->theta[j], device, AR_F32, 1, &I));
    AR_GO(ar_tensor_write(s->theta[j], values, 0, I));
    AR_GO(ar__zeros(&s->kept[j], device, AR_F32, 1, &I));
    AR_GO(ar__zeros(&s->dtheta[j], device, AR_F32, 1, &I));
    AR_GO(ar__zeros(&s->mean[j], device, AR_F32, 1, &I));
    AR_GO(ar__zeros(&s->square[j], device, AR_F32, 1, &I));
    ar_tensor_set_needs_grad(s->theta[j], true);
done:
    free(values);
    return status;
}

/* Where phase 1 left the block: schemes, ranges and scales are those of its results. */
static ar_status take(void *ctx, ar__finish *f, int32_t b) {
    channels *c = ctx;
    scaled *s = &c->blocks[b];
    const ar_block *block = &f->model->blocks[b];
    ar_acts acts = {.scheme = f->desc->acts};
    char name[AR__WEIGHT_NAME];
    ar_status status = AR_OK;
    AR_TRY(ar_block_feeds(s->of, block, f->device));
    AR_GO(ar_acts_make_grids(&acts, b + 1));
    for (int32_t i = 0; i < block->linear_count; i++) {
        const ar_qlinear *q = c->linears[b * AR_MAX_LINEARS + i];
        s->skip[i] = !q;
        if (!q) continue;
        const ar_extra *grid = ar_qlinear_extra(q, AR_ACTS_EXTRA),
                       *alpha = ar_qlinear_extra(q, AR_SCALE_EXTRA);
        ar__weight_name(name, block, i);
        if (!grid) AR_GO(ar__fail(AR_ERR_ARG, "%s: found no static range of its inputs, expected one", name));
        memcpy(acts.grids[b][i], grid->data, sizeof acts.grids[b][i]);
        s->schemes[i] = q->scheme;
        if (alpha && s->of[i] < 0)
            AR_GO(ar__fail(AR_ERR_ARG, "%s: found scales, but no norm in front of it", name));
        if (alpha && !s->theta[s->of[i]]) AR_GO(make_theta(s, alpha, s->of[i], f->device));
    }
    AR_GO(ar_acts_block_init(&s->fixed, &acts, block, s->skip, f->device));
    if (b + 1 == c->count) AR_GO(hash_weights(&c->hash, f));
done:
    ar_acts_deinit(&acts);
    return status;
}

/* ---- delivery ---- */

static ar_status take_alpha(ar__channels *into, scaled *s, int32_t j) {
    int64_t I = ar_tensor_count(s->kept[j]);
    float *alpha = into->alpha[j] = ar__alloc((size_t)I, sizeof *alpha);
    if (!alpha) return AR_ERR_MEMORY;
    AR_TRY(ar_tensor_read(s->kept[j], alpha, 0, I));
    for (int64_t k = 0; k < I; k++) alpha[k] = expf(alpha[k]);
    return AR_OK;
}

/* The block's codes anew, of its weights divided. */
static ar_status deliver_block(const channels *c, const ar__finish *f, int32_t b) {
    scaled *s = &c->blocks[b];
    ar_qlinear q[AR_MAX_LINEARS], *const *list = c->linears + (ptrdiff_t)b * AR_MAX_LINEARS;
    ar__channels now = {.of = {0}};
    ar_status status = AR_OK;
    memcpy(now.of, s->of, sizeof now.of);
    for (int32_t j = 0; j < AR_MAX_NORMS; j++)
        if (s->theta[j]) AR_GO(take_alpha(&now, s, j));
    AR_GO(ar__channels_fold(&now, &f->weights[b]));
    for (int32_t i = 0; i < f->model->blocks[b].linear_count; i++)
        if (list[i]) q[i] = *list[i];
    AR_GO(ar__rtn_block(q, &f->weights[b], s->skip, f->device));
    for (int32_t i = 0; i < f->model->blocks[b].linear_count; i++) {
        const ar_extra *alpha = list[i] ? ar_qlinear_extra(list[i], AR_SCALE_EXTRA) : NULL;
        if (list[i]) *list[i] = q[i];
        if (alpha) memcpy(alpha->data, now.alpha[s->of[i]], ar_extra_bytes(alpha));
    }
    AR_GO(ar__results_check(list, &f->model->blocks[b]));
done:
    ar__channels_deinit(&now);
    return status;
}

static ar_status deliver(void *ctx, const ar__finish *f, ar_finish_report *report) {
    const channels *c = ctx;
    for (int32_t k = 0; k < c->count * AR_MAX_NORMS; k++) {
        const ar_tensor *theta = c->blocks[k / AR_MAX_NORMS].theta[k % AR_MAX_NORMS];
        if (theta) report->parameters += ar_tensor_count(theta);
    }
    AR_TRY(hash_weights(&report->weights_hash, f));
    if (report->weights_hash != c->hash)
        return ar__fail(AR_ERR_CHECK, "weights: found the hash %016llx behind the steps, expected %016llx",
                        (unsigned long long)report->weights_hash, (unsigned long long)c->hash);
    if (report->best_step == 0) return AR_OK;
    for (int32_t b = 0; b < c->count; b++) AR_TRY(deliver_block(c, f, b));
    return AR_OK;
}

/* ---- all of it ---- */

static const ar__finish_goal goal = {.what = "channel scales",
                                     .steps = AR__CHANNEL_STEPS,
                                     .rate = 2e-2,
                                     .take = take,
                                     .block = record_block,
                                     .update = record_update,
                                     .keep = record_keep,
                                     .deliver = deliver};

ar_status ar_finish_channels(ar_finish_report *report, ar_qlinear *const *linears, const ar_model *model,
                             ar_device *device, const ar_samples *samples, const ar_finish_desc *desc,
                             const ar_observer *observer) {
    channels c = {.linears = linears, .count = model->block_count};
    if (!ar__needs_ranges(&desc->acts))
        return ar__fail(AR_ERR_ARG, "channel scales at the end: found inputs without static ranges, expected "
                                    "ranges that stay");
    c.blocks = ar__alloc((size_t)c.count, sizeof *c.blocks);
    if (!c.blocks) return AR_ERR_MEMORY;
    ar_status status = ar__finish_run(report, &goal, &c, model, device, samples, desc, observer);
    for (int32_t b = 0; b < c.count; b++) {
        scaled *s = &c.blocks[b];
        ar_acts_block_deinit(&s->fixed);
        for (int32_t j = 0; j < AR_MAX_NORMS; j++) {
            ar_tensor *own[] = {s->theta[j], s->dtheta[j], s->mean[j], s->square[j], s->kept[j]};
            for (size_t i = 0; i < sizeof own / sizeof *own; i++) ar_tensor_destroy(own[i]);
        }
    }
    free(c.blocks);
    return status;
}
