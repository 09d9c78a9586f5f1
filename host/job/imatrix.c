/* An importance matrix of a model: sums of squares of every linear's inputs on samples, block by block. */
#include "ar_error.h"
#include "fmt_gguf.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 8 /* samples on the device at a time */

/* A hook that looks at what linears are given. */
typedef struct look {
    ar_tensor *sums[AR_MAX_LINEARS];
    ar_hook hook;
} look;

static ar_status look_linear(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    const look *l = ctx;
    AR_TRY(ar_op_square_sums(g, l->sums[i], x));
    return ar_hook_linear(l->hook.base, g, y, i, x);
}

static ar_status look_init(look *l, ar_device *device, const ar_block_weights *w) {
    *l = (look){0};
    for (int32_t i = 0; i < w->block->linear_count; i++) {
        int64_t I = w->block->linears[i].I;
        float *zeros = ar__alloc((size_t)I, sizeof *zeros);
        ar_status status = zeros ? ar_tensor_create(&l->sums[i], device, AR_F32, 1, &I) : AR_ERR_MEMORY;
        if (status == AR_OK) status = ar_tensor_write(l->sums[i], zeros, 0, I);
        free(zeros);
        AR_TRY(status);
    }
    l->hook = (ar_hook){.linear = look_linear, .ctx = l, .base = &w->hook};
    return AR_OK;
}

static void look_deinit(look *l) {
    for (int32_t i = 0; i < AR_MAX_LINEARS; i++) ar_tensor_destroy(l->sums[i]);
}

typedef struct making {
    const ar_open_model *m;
    ar__gguf_sums *list;
    int64_t count;
} making;

static ar_status take_sums(making *k, const ar_block *block, const look *l) {
    for (int32_t i = 0; i < block->linear_count; i++) {
        ar__gguf_sums *s = &k->list[k->count];
        if (!ar__gguf_linear_name(s->name, &k->m->config, block, i)) continue;
        s->count = block->linears[i].I;
        s->values = ar__alloc((size_t)s->count, sizeof *s->values);
        if (!s->values) return AR_ERR_MEMORY;
        k->count++;
        AR_TRY(ar_tensor_read(l->sums[i], s->values, 0, s->count));
    }
    return AR_OK;
}

/* A batch that the samples do not fill would count old rows again: the largest that divides them. */
static int32_t batch_of(const ar_samples *s) {
    int32_t batch = BATCH < s->count ? BATCH : s->count;
    while (s->count % batch != 0) batch--;
    return batch;
}

static ar_status look_at_block(making *k, ar_chain *c, ar_device *device, const ar_block *block,
                               const ar_samples *s) {
    ar_status status;
    ar_block_weights w;
    look l = {0};
    AR_TRY(ar_block_weights_init(&w, block, device));
    AR_GO(look_init(&l, device, &w));
    AR_GO(ar_chain_forward(c, c, device, block, &l.hook, s->T, batch_of(s)));
    AR_GO(take_sums(k, block, &l));
done:
    look_deinit(&l);
    ar_block_weights_deinit(&w);
    return status;
}

static ar_status look_at_all(making *k, ar_chain *c, ar_device *device, const ar_samples *s,
                             const ar_observer *o) {
    const ar_model *model = &k->m->model;
    AR_TRY(ar_chain_init(c, (int64_t)s->count * s->T, model->hidden, NULL, 0));
    AR_TRY(ar_chain_embed(c, model, s));
    for (int32_t b = 0; b < model->block_count; b++) {
        if (o && o->cancelled && o->cancelled(o->ctx))
            return ar__fail(AR_ERR_INTERRUPTED, "interrupted in block %d", (int)b);
        AR_TRY(look_at_block(k, c, device, &model->blocks[b], s));
        if (o && o->progress)
            o->progress(o->ctx, &(ar_progress_event){
                                    .stage = "block", .block = b + 1, .block_count = model->block_count});
    }
    return AR_OK;
}

ar_status ar_imatrix_write(const char *path, const ar_open_model *m, ar_device *device,
                           const ar_samples *samples, const char *const *texts, int32_t text_count,
                           const ar_observer *observer) {
    ar_status status;
    ar_chain c = {.fd = -1};
    making k = {.m = m, .list = ar__alloc((size_t)m->model.block_count * AR_MAX_LINEARS, sizeof *k.list)};
    if (!k.list) return AR_ERR_MEMORY;
    AR_GO(ar_snapshot_end(look_at_all(&k, &c, device, samples, observer), &m->files));
    AR_GO(ar_device_pulse(device)); /* still */
    if (k.count == 0)
        AR_GO(ar__fail(AR_ERR_UNSUPPORTED, "%s: found model family \"%s\", which GGUF has no names for",
                       m->path, m->config.family));
    AR_GO(ar__gguf_put_imatrix(path, k.list, k.count, samples, texts, text_count));
done:
    for (int64_t i = 0; i < k.count; i++) free(k.list[i].values);
    free(k.list);
    ar_chain_deinit(&c);
    return status;
}
