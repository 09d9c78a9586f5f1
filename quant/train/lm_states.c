/* See lm_states.h. In front of each product: norm, rounding; then codes times codes, and each output times a
 * gain, plus a shift. A block's own norms are left out, since those in front of the products do their work.
 */
#include "lm_states.h"
#include "ar_error.h"
#include "core.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXACT      16777216 /* 2^24 */
#define EPS        1e-5f
#define MOMENTUM   0.1f
#define DEVIATIONS 2   /* that the rounding of an input spans on either side to begin with */
#define WRITES     0.1 /* what branches add to begin with, over the square root of twice the layers */

/* One product. */
typedef struct site {
    ar_tensor *in_gain, *in_shift, *running, *gain, *shift;
    ar_tensor *fixed; /* 0 and the variance that turns sums of codes into about 1 */
} site;
struct ar__lm_states {
    const ar_model *model;
    ar_device *device;
    ar_lm_states_desc desc;
    site *sites; /* (block_count, AR_MAX_LINEARS) */
};

static site *site_of(const ar__lm_states *s, const ar_block *b, int32_t i) {
    return &s->sites[b->index * AR_MAX_LINEARS + i];
}

/* ---- parameters ---- */

static ar_status make(ar_tensor **t, ar_device *device, int64_t count, float value) {
    float *values = ar__alloc((size_t)count, sizeof *values);
    if (!values) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < count; i++) values[i] = value;
    ar_status status = ar_tensor_create(t, device, AR_F32, 1, &count);
    if (status == AR_OK) status = ar_tensor_write(*t, values, 0, count);
    free(values);
    return status;
}

static ar_status make_statistics(ar_tensor **t, ar_device *device, int64_t groups, float variance) {
    float *values = ar__alloc((size_t)groups, 2 * sizeof *values);
    if (!values) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < groups; i++) values[2 * i] = 0, values[2 * i + 1] = variance;
    ar_status status = ar_tensor_create(t, device, AR_F32, 2, (const int64_t[]){groups, 2});
    if (status == AR_OK) status = ar_tensor_write(*t, values, 0, 2 * groups);
    free(values);
    return status;
}

/* feeds: the norm in front of the product; without one it is a branch's last, which writes the residual
 * stream. Inputs have both signs: codes are around their middle to begin with, and a shift that is learnt may
 * make a ReLU of the clip. */
static ar_status make_site(ar__lm_states *s, const ar_block *b, int32_t i, int32_t feeds) {
    const ar_lm_states_desc *d = &s->desc;
    const ar_linear *l = &b->linears[i];
    site *p = site_of(s, b, i);
    double codes = ar__states_act_codes(d->ma), middle = d->ma ? (d->ma - 1) / (2 * codes) : 0;
    double weight = ar__states_weight_range(d->mw) / ar__states_weight_codes(d->mw);
    double unit = weight / codes / sqrt((double)l->I) * (d->ma ? DEVIATIONS : 1);
    double writes = feeds < 0 ? WRITES / sqrt(2.0 * s->model->block_count) : 1;
    if (l->has_bias)
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: found a bias, expected products alone", l->name);
    if (d->mw && d->ma && (int64_t)(d->mw / 2) * (d->ma - 1) * l->I >= EXACT)
        return ar__fail(AR_ERR_ARG, "%s: %lld inputs of %d and %d states: sums pass 2^24, expected fewer",
                        l->name, (long long)l->I, (int)d->mw, (int)d->ma);
    AR_TRY(make(&p->in_gain, s->device, l->I, d->ma ? (float)(middle / DEVIATIONS) : 1));
    AR_TRY(make(&p->in_shift, s->device, l->I, (float)middle));
    AR_TRY(make(&p->gain, s->device, l->O, (float)writes));
    AR_TRY(make(&p->shift, s->device, l->O, 0));
    AR_TRY(make_statistics(&p->fixed, s->device, 1, (float)(1 / (unit * unit))));
    if (d->stats == AR_STATS_LAYER) return AR_OK;
    return make_statistics(&p->running, s->device, d->stats == AR_STATS_BATCH ? l->I : 1, 1);
}

ar_status ar__lm_states_create(ar__lm_states **made, const ar_model *m, const ar_block_weights *blocks,
                               ar_device *device, const ar_lm_states_desc *desc) {
    ar_status status;
    *made = NULL;
    AR_TRY(ar__states_check(desc->mw, desc->ma, desc->stats));
    ar__lm_states *s = ar__alloc(1, sizeof *s);
    if (!s) return AR_ERR_MEMORY;
    *s = (ar__lm_states){.model = m, .device = device, .desc = *desc};
    s->sites = ar__alloc((size_t)m->block_count * AR_MAX_LINEARS, sizeof *s->sites);
    AR_GO(s->sites ? AR_OK : AR_ERR_MEMORY);
    for (int32_t b = 0; b < m->block_count; b++) {
        int32_t feeds[AR_MAX_LINEARS];
        AR_GO(ar_block_feeds(feeds, blocks[b].block, device));
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++)
            AR_GO(make_site(s, blocks[b].block, i, feeds[i]));
    }
done:
    if (status == AR_OK)
        *made = s;
    else
        ar__lm_states_destroy(s);
    return status;
}

void ar__lm_states_destroy(ar__lm_states *s) {
    if (!s) return;
    for (int32_t i = 0; s->sites && i < s->model->block_count * AR_MAX_LINEARS; i++) {
        ar_tensor_destroy(s->sites[i].in_gain);
        ar_tensor_destroy(s->sites[i].in_shift);
        ar_tensor_destroy(s->sites[i].running);
        ar_tensor_destroy(s->sites[i].gain);
        ar_tensor_destroy(s->sites[i].shift);
        ar_tensor_destroy(s->sites[i].fixed);
    }
    free(s->sites);
    free(s);
}

static void add_param(ar_net *net, ar_tensor *t, const ar_block *b, int32_t i, const char *what) {
    if (!t) return;
    ar_param *p = &net->params[net->param_count++];
    *p = (ar_param){.t = t, .is_state = strcmp(what, "running") == 0};
    snprintf(p->name, sizeof p->name, "%s.%s.%s", b->name, b->linears[i].name, what);
}

void ar__lm_states_list(ar_net *net, const ar__lm_states *s) {
    for (int32_t k = 0; k < s->model->block_count; k++) {
        const ar_block *b = &s->model->blocks[k];
        for (int32_t i = 0; i < b->linear_count; i++) {
            const site *p = site_of(s, b, i);
            add_param(net, p->in_gain, b, i, "in_gain");
            add_param(net, p->in_shift, b, i, "in_shift");
            add_param(net, p->running, b, i, "running");
            add_param(net, p->gain, b, i, "gain");
            add_param(net, p->shift, b, i, "shift");
        }
    }
}

int32_t ar__lm_states_count(const ar__lm_states *s) { return 5 * AR_MAX_LINEARS * s->model->block_count; }

/* ---- a block ---- */

static ar_status round_input(const ar__lm_states_hook *h, ar_graph *g, ar_tensor **codes, const site *p,
                             ar_tensor *x) {
    const ar_lm_states_desc *d = &h->states->desc;
    ar_spread_norm norm = {.stats = d->stats,
                           .places = d->stats == AR_STATS_SAMPLE ? h->T : 1,
                           .eps = EPS,
                           .momentum = h->from != AR__STATISTICS_LEARN ? 0
                                       : d->momentum > 0               ? d->momentum
                                                                       : MOMENTUM,
                           .running = p->running,
                           .is_training = h->from != AR__STATISTICS_RUNNING};
    ar_state_round round = {
        .M = d->ma, .gain = (float)ar__states_act_codes(d->ma), .margin = d->plain ? 0 : 0.5f};
    AR_TRY(ar_op_spread_norm(g, codes, x, p->in_gain, p->in_shift, &norm));
    return d->ma ? ar_op_state_round(g, codes, *codes, &round) : AR_OK;
}

static ar_status linear(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    const ar__lm_states_hook *h = ctx;
    const ar_lm_states_desc *d = &h->states->desc;
    const ar_block *b = h->weights->block;
    const site *p = site_of(h->states, b, i);
    ar_state_weight weight = {.M = d->mw,
                              .gain =
                                  (float)(ar__states_weight_codes(d->mw) / ar__states_weight_range(d->mw)),
                              .standardize = !d->raw,
                              .plain = (float)sqrt((double)b->linears[i].I),
                              .inside = d->plain};
    ar_spread_norm scale = {.stats = AR_STATS_FIXED, .places = 1, .running = p->fixed};
    ar_tensor *codes = NULL, *W = NULL, *z = NULL;
    AR_TRY(round_input(h, g, &codes, p, x));
    AR_TRY(ar_op_state_weight(g, &W, h->weights->linears[i], &weight));
    AR_TRY(ar_op_linear(g, &z, codes, W, NULL));
    return ar_op_spread_norm(g, y, z, p->gain, p->shift, &scale);
}

static ar_status no_norm(void *ctx, ar_graph *g, ar_tensor **y, int32_t j, ar_tensor *x) {
    (void)ctx, (void)g, (void)j;
    *y = x;
    return AR_OK;
}

void ar__lm_states_hook_init(ar__lm_states_hook *h, const ar__lm_states *s, const ar_block_weights *w,
                             ar__statistics from, int32_t T) {
    *h = (ar__lm_states_hook){.hook = {.linear = linear, .norm = no_norm, .base = &w->hook},
                              .states = s,
                              .weights = w,
                              .from = from,
                              .T = T};
    h->hook.ctx = h;
}
