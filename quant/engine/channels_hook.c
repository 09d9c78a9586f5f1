/* A block with scales between norms and linears, recorded: what both phases of Quadapter see and take
 * gradients of. See channels.h. */
#include "channels.h"
#include "trainable.h"

static ar_status scaled_norm(void *ctx, ar_graph *g, ar_tensor **y, int32_t j, ar_tensor *x) {
    const ar__channels_hook *h = ctx;
    const ar_block_weights *w = h->weights;
    ar_tensor *weight = NULL, *bias = NULL;
    if (!h->theta[j]) return ar_hook_norm(&w->hook, g, y, j, x);
    AR_TRY(ar_op_channel_scale(g, &weight, w->norms[j], h->theta[j], false));
    if (w->norm_biases[j]) AR_TRY(ar_op_channel_scale(g, &bias, w->norm_biases[j], h->theta[j], false));
    return ar_norm_record(&w->block->norms[j], g, y, x, weight, bias);
}

/* x as it is quantized; what several linears see by the batch's range is quantized once. */
static ar_status quantized_input(ar__channels_hook *h, ar_graph *g, ar_tensor **x, int32_t i) {
    ar_acts_scheme s = h->acts;
    if (h->fixed) return ar_acts_record(h->fixed, g, x, i);
    if (s.bits == 0) return AR_OK;
    if (s.range == AR_ACTS_STATIC) s.range = AR_ACTS_TENSOR; /* a range may move while alpha does */
    if (h->seen != *x) {
        AR_TRY(ar_op_acts_ranged(g, &h->made, *x, &s));
        h->seen = *x;
    }
    *x = h->made;
    return AR_OK;
}

static ar_status scaled_linear(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    ar__channels_hook *h = ctx;
    const ar_block_weights *w = h->weights;
    ar_tensor *scaled = NULL, *W = NULL, *theta = h->of[i] >= 0 ? h->theta[h->of[i]] : NULL;
    if (theta) AR_TRY(ar_op_channel_scale(g, &scaled, w->linears[i], theta, true));
    if (h->skip[i]) return ar_op_linear(g, y, x, scaled ? scaled : w->linears[i], w->biases[i]);
    const ar__site site = {.weight = scaled ? scaled : w->linears[i], .scheme = h->schemes[i]};
    AR_TRY(ar__record_nearest(g, &W, &site));
    if (scaled) AR_TRY(ar_op_straight(g, W, scaled));
    AR_TRY(quantized_input(h, g, &x, i));
    return ar_op_linear(g, y, x, W, w->biases[i]);
}

const ar_hook *ar__channels_hook_init(ar__channels_hook *h) {
    h->seen = h->made = NULL;
    h->hook = (ar_hook){.linear = scaled_linear, .norm = scaled_norm, .ctx = h};
    return &h->hook;
}
