/* A net of few states: see ar_states.h. Between layers there are codes, whole numbers in f32, so that sums
 * are exact; what a code is worth is the norms' business, whose eps is in units of the sums. */
#include "ar_error.h"
#include "core.h"
#include "net_states.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define EXACT    16777216 /* 2^24 */
#define EPS      1e-5
#define PIXEL    255
#define MOMENTUM 0.1f
#define MOST     255 /* states of the first and the last layer */

/* ---- constants ---- */

/* The range is 2 deviations, 1 for few states, 3 where there are 8 bits. */
double ar__states_weight_codes(int32_t M) { return M == 0 || M == 2 ? 1 : M % 2 ? (M - 1) / 2 : M / 2; }
double ar__states_weight_range(int32_t M) { return M == 0 || M <= 3 ? 1 : M > 64 ? 3 : 2; }
double ar__states_act_codes(int32_t M) { return M == 0 ? 1 : M == 2 ? 1 : (M - 1) / 2.0; }

static int64_t largest_code(int32_t M) {
    int32_t low = 0, high = 0;
    return M && ar_state_range(&low, &high, M) == AR_OK ? -(int64_t)low : 0;
}

/* The most odd states of weights that keep sums of I products exact. */
static int32_t most_states(int64_t I, int64_t input) {
    int64_t M = 2 * ((EXACT - 1) / (I * input)) + 1;
    return (int32_t)(M < MOST ? M : MOST);
}

/* input: the largest code that it reads, worth: what a code of 1 is worth. */
static ar_status set_layer(ar__states_net *n, states_layer *l, int64_t input, double worth, bool is_edge,
                           bool is_last) {
    const ar_states_desc *d = &n->desc;
    bool counts = d->mw && input; /* whole numbers on both sides */
    l->mw = d->mw;
    if (d->mw && is_edge) l->mw = counts ? most_states(l->I, input) : MOST;
    if (counts && l->mw < 2)
        return ar__fail(AR_ERR_ARG, "states: found %lld inputs of a unit, expected few enough for exact sums",
                        (long long)l->I);
    if (counts && largest_code(l->mw) * input * l->I >= EXACT)
        return ar__fail(
            AR_ERR_ARG,
            "states: %lld inputs of a unit with %d and %lld states: sums pass 2^24, expected fewer",
            (long long)l->I, (int)l->mw, (long long)input + 1);
    l->w_gain = (float)(ar__states_weight_codes(l->mw) / ar__states_weight_range(l->mw));
    double unit =
        ar__states_weight_range(l->mw) / ar__states_weight_codes(l->mw) * worth / sqrt((double)l->I);
    l->eps = (float)(EPS / (unit * unit));
    l->ma = is_last ? 0 : d->ma;
    l->gain = is_last ? 0 : (float)ar__states_act_codes(d->ma);
    if (!is_last) return AR_OK;
    l->eps = 0;
    AR_TRY(ar_tensor_create(&n->fixed, n->device, AR_F32, 2, (const int64_t[]){1, 2}));
    return ar_tensor_write(n->fixed, (float[]){0, (float)(1 / (unit * unit))}, 0, 2);
}

static ar_status plan_layers(ar__states_net *n) {
    const ar_states_desc *d = &n->desc;
    int64_t input = d->context ? 0 : PIXEL;
    double worth = d->context ? 1 : 1.0 / PIXEL;
    int32_t H = d->context ? 1 : d->H, W = d->context ? 1 : d->W,
            C = d->context ? d->context * d->embed : d->C;
    int32_t count = d->conv_count + d->hidden_count + 1;
    for (int32_t i = 0; i < count; i++) {
        states_layer *l = &n->layers[n->layer_count++];
        bool is_last = i == count - 1;
        *l = (states_layer){.is_conv = i < d->conv_count, .H = H, .W = W, .C = C};
        l->I = l->is_conv ? C * 9 : (int64_t)H * W * C;
        l->O = l->is_conv ? d->conv[i] : is_last ? d->classes : d->hidden[i - d->conv_count];
        AR_TRY(set_layer(n, l, input, worth, i == 0 || is_last, is_last));
        H = l->is_conv ? H / 2 : 1;
        W = l->is_conv ? W / 2 : 1;
        C = (int32_t)l->O;
        input = d->ma ? d->ma - 1 : 0;
        worth = 1 / ar__states_act_codes(d->ma);
    }
    return AR_OK;
}

ar__statistics ar__statistics_of(const ar_pass *pass) {
    return pass->is_training ? AR__STATISTICS_LEARN
           : pass->of_batch  ? AR__STATISTICS_BATCH
                             : AR__STATISTICS_RUNNING;
}

/* ---- parameters ---- */

static ar_status add_param(ar_net *net, const char *name, const float *values, int64_t rows, int64_t cols,
                           bool is_state) {
    const ar__states_net *n = net->impl;
    ar_param *p = &net->params[net->param_count];
    snprintf(p->name, sizeof p->name, "%s", name);
    p->decays = cols > 0 && !is_state;
    p->is_state = is_state;
    AR_TRY(ar_tensor_create(&p->t, n->device, AR_F32, cols ? 2 : 1, (const int64_t[]){rows, cols}));
    net->param_count++;
    return ar_tensor_write(p->t, values, 0, rows * (cols ? cols : 1));
}

/* Normal numbers times scale (Box & Muller 1958). */
static ar_status add_drawn(ar_net *net, const char *name, int64_t rows, int64_t cols, double scale) {
    const ar__states_net *n = net->impl;
    float *values = ar__alloc((size_t)rows, (size_t)cols * sizeof *values);
    if (!values) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < rows * cols; i++) {
        uint64_t stream = (uint64_t)net->param_count + 1;
        double u = ar_random_unit(n->desc.seed, stream, 2 * (uint64_t)i);
        double v = ar_random_unit(n->desc.seed, stream, 2 * (uint64_t)i + 1);
        values[i] = (float)(scale * sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v));
    }
    ar_status status = add_param(net, name, values, rows, cols, false);
    free(values);
    return status;
}

static ar_status add_norm(ar_net *net, const states_layer *l, const char *layer) {
    const ar__states_net *n = net->impl;
    char name[64];
    int64_t groups = n->desc.stats == AR_STATS_BATCH ? l->O : 1;
    ar_status status;
    float *values = ar__alloc((size_t)l->O, 4 * sizeof *values), *stats = values ? values + 2 * l->O : NULL;
    if (!values) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < l->O; i++)
        values[i] = 1, values[l->O + i] = 0, stats[2 * i] = 0, stats[2 * i + 1] = 1;
    snprintf(name, sizeof name, "%s.gain", layer);
    AR_GO(add_param(net, name, values, l->O, 0, false));
    snprintf(name, sizeof name, "%s.shift", layer);
    AR_GO(add_param(net, name, values + l->O, l->O, 0, false));
    if (l->gain > 0 && n->desc.stats != AR_STATS_LAYER) {
        snprintf(name, sizeof name, "%s.running", layer);
        AR_GO(add_param(net, name, stats, groups, 2, true));
    }
done:
    free(values);
    return status;
}

static ar_status make_params(ar_net *net) {
    ar__states_net *n = net->impl;
    net->params = ar__alloc((size_t)(4 * n->layer_count + 1), sizeof *net->params);
    if (!net->params) return AR_ERR_MEMORY;
    if (n->desc.context) AR_TRY(add_drawn(net, AR_PARAM_EMBEDDING, 256, n->desc.embed, 1));
    for (int32_t i = 0; i < n->layer_count; i++) {
        states_layer *l = &n->layers[i];
        char layer[32], name[64];
        snprintf(layer, sizeof layer, "%s.%d", l->is_conv ? "conv" : "fc",
                 (int)(l->is_conv ? i : i - n->desc.conv_count));
        snprintf(name, sizeof name, "%s.weight", layer);
        l->weight = net->param_count;
        AR_TRY(add_drawn(net, name, l->O, l->I, 1 / sqrt((double)l->I)));
        AR_TRY(add_norm(net, l, layer));
    }
    return AR_OK;
}

/* ---- a pass ---- */

ar_state_weight ar__states_weight(const ar__states_net *n, const states_layer *l) {
    return (ar_state_weight){.M = l->mw,
                             .gain = l->w_gain,
                             .standardize = !n->desc.raw,
                             .plain = (float)sqrt((double)l->I),
                             .inside = n->desc.plain};
}

ar_spread_norm ar__states_norm(const ar__states_net *n, const ar_net *net, int32_t layer,
                               ar__statistics from) {
    const states_layer *l = &n->layers[layer];
    ar_spread_norm norm = {.stats = n->desc.stats,
                           .places = l->is_conv ? (int64_t)l->H * l->W : 1,
                           .eps = l->eps,
                           .momentum = from != AR__STATISTICS_LEARN ? 0
                                       : n->desc.momentum > 0       ? n->desc.momentum
                                                                    : MOMENTUM,
                           .is_training = from != AR__STATISTICS_RUNNING};
    if (l->gain == 0) {
        norm.stats = AR_STATS_FIXED;
        norm.running = n->fixed;
    } else if (norm.stats != AR_STATS_LAYER) {
        norm.running = net->params[l->weight + 3].t;
    }
    return norm;
}

static ar_status record_layer(const ar_net *net, ar_graph *g, ar_tensor **x, ar_tensor **given, int32_t layer,
                              ar__statistics from) {
    const ar__states_net *n = net->impl;
    const states_layer *l = &n->layers[layer];
    const ar_param *p = &net->params[l->weight];
    ar_state_weight weight = ar__states_weight(n, l);
    ar_spread_norm norm = ar__states_norm(n, net, layer, from);
    ar_tensor *codes = NULL, *z = NULL;
    ar_window2d w = {.H = l->H, .W = l->W, .K = 3, .pad = 1};
    int64_t images = ar_tensor_count(*x) / ((int64_t)l->H * l->W * l->C);
    AR_TRY(ar_op_state_weight(g, &codes, p[0].t, &weight));
    if (!l->is_conv && ar_tensor_dim(*x, 0) != images) AR_TRY(ar_op_reshape(g, x, *x, images, l->I));
    AR_TRY(l->is_conv ? ar_op_conv2d(g, &z, *x, codes, NULL, &w) : ar_op_linear(g, &z, *x, codes, NULL));
    AR_TRY(ar_op_spread_norm(g, x, z, p[1].t, p[2].t, &norm));
    if (l->gain == 0) return AR_OK;
    ar_state_round round = {.M = l->ma, .gain = l->gain, .margin = n->desc.plain ? 0 : 0.5f};
    AR_TRY(ar_op_state_round(g, x, *x, &round));
    if (given) *given = *x;
    w = (ar_window2d){.H = l->H, .W = l->W, .K = 2, .stride = 2};
    return l->is_conv ? ar_op_pool(g, x, *x, &w, false) : AR_OK;
}

ar_status ar__states_record(const ar_net *net, ar_graph *g, ar_tensor **scores, ar_tensor **codes,
                            ar_tensor *x, ar__statistics from) {
    const ar__states_net *n = net->impl;
    *scores = x;
    for (int32_t i = 0; i < n->layer_count; i++)
        AR_TRY(record_layer(net, g, scores, codes ? &codes[i] : NULL, i, from));
    return AR_OK;
}

static ar_status record(const ar_net *net, ar_graph *g, ar_tensor **nll, ar_tensor **top1,
                        const ar_pass *pass) {
    const ar__states_net *n = net->impl;
    ar_tensor *x = NULL;
    if (n->desc.context) {
        AR_TRY(ar_op_embed(g, &x, net->params[0].t, pass->input));
        AR_TRY(ar_op_reshape(g, &x, x, ar_tensor_count(x) / n->layers[0].I, n->layers[0].I));
    } else {
        ar_state_round pixels = {.M = PIXEL + 1, .gain = n->desc.pixel > 0 ? n->desc.pixel : 1};
        AR_TRY(ar_op_state_round(g, &x, pass->input, &pixels));
    }
    AR_TRY(ar__states_record(net, g, &x, NULL, x, ar__statistics_of(pass)));
    return ar_op_nll(g, nll, top1, x, pass->labels);
}

/* ---- making ---- */

static void destroy(ar_net *net) {
    ar__states_net *n = net->impl;
    for (int32_t i = 0; i < net->param_count; i++) ar_tensor_destroy(net->params[i].t);
    ar_tensor_destroy(n->fixed);
    free(net->params);
    free(n);
    free(net);
}

const ar__states_net *ar__states_of(const ar_net *net) { return net->record == record ? net->impl : NULL; }

static bool fits(const ar_states_desc *d) {
    bool good = d->classes > 1 && d->conv_count >= 0 && d->conv_count <= AR_STATES_LAYERS &&
                d->hidden_count >= 0 && d->hidden_count <= AR_STATES_LAYERS;
    for (int32_t i = 0; good && i < d->conv_count; i++) good = d->conv[i] > 0;
    for (int32_t i = 0; good && i < d->hidden_count; i++) good = d->hidden[i] > 0;
    if (d->context) return good && d->context > 0 && d->embed > 0 && d->conv_count == 0;
    return good && d->H >> d->conv_count > 0 && d->W >> d->conv_count > 0 && d->C > 0;
}

ar_status ar__states_check(int32_t mw, int32_t ma, ar_stats stats) {
    if (mw < 0 || mw == 1 || mw > 256 || ma < 0 || ma == 1 || ma > 256)
        return ar__fail(AR_ERR_ARG,
                        "states: found %d of weights, %d of activations, expected 2 to 256, or none", (int)mw,
                        (int)ma);
    if (stats == AR_STATS_FIXED)
        return ar__fail(AR_ERR_ARG, "states: found fixed statistics, expected some of batches");
    return AR_OK;
}

static ar_status check_desc(const ar_states_desc *d) {
    if (!fits(d))
        return ar__fail(AR_ERR_ARG, "states: found %d x %d x %d, %d classes, %d convolutions, %d products",
                        (int)d->H, (int)d->W, (int)d->C, (int)d->classes, (int)d->conv_count,
                        (int)d->hidden_count);
    return ar__states_check(d->mw, d->ma, d->stats);
}

ar_status ar_net_states_create(ar_net **made, const ar_states_desc *desc, ar_device *device) {
    *made = NULL;
    AR_TRY(check_desc(desc));
    ar_net *net = ar__alloc(1, sizeof *net);
    ar__states_net *n = ar__alloc(1, sizeof *n);
    if (!net || !n) {
        free(net);
        free(n);
        return AR_ERR_MEMORY;
    }
    *n = (ar__states_net){.desc = *desc, .device = device};
    *net = (ar_net){.record = record, .destroy = destroy, .impl = n};
    ar_status status = plan_layers(n);
    if (status == AR_OK) status = make_params(net);
    if (status == AR_OK)
        *made = net;
    else
        destroy(net);
    return status;
}
