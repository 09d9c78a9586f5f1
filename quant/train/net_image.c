/* A net for images, of convolutions or of products alone; see ar_train.h. */
#include "ar_error.h"
#include "core.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct image_net {
    ar_image_desc desc;
    ar_device *device;
} image_net;

/* ---- parameters ---- */

static ar_status add_param(ar_net *net, const char *kind, int32_t index, const char *part, int64_t O,
                           int64_t I, int64_t fan_in, const float *const *values) {
    image_net *n = net->impl;
    ar_status status = AR_OK;
    int32_t at = net->param_count;
    ar_param *p = &net->params[at];
    int64_t count = O * (I ? I : 1);
    float *drawn = NULL;
    snprintf(p->name, sizeof p->name, "%s.%d.%s", kind, (int)index, part);
    p->decays = I > 0;
    AR_TRY(ar_tensor_create(&p->t, n->device, AR_F32, I ? 2 : 1, (const int64_t[]){O, I}));
    net->param_count++;
    if (values) return ar_tensor_write(p->t, values[at], 0, count);
    drawn = ar__alloc((size_t)count, sizeof *drawn);
    if (!drawn) return AR_ERR_MEMORY;
    double bound = 1 / sqrt((double)fan_in);
    for (int64_t i = 0; i < count; i++)
        drawn[i] = (float)(bound * (2 * ar_random_unit(n->desc.seed, (uint64_t)at + 1, (uint64_t)i) - 1));
    status = ar_tensor_write(p->t, drawn, 0, count);
    free(drawn);
    return status;
}

static ar_status add_layer(ar_net *net, const char *kind, int32_t index, int64_t O, int64_t I,
                           const float *const *values) {
    AR_TRY(add_param(net, kind, index, "weight", O, I, I, values));
    return add_param(net, kind, index, "bias", O, 0, I, values);
}

static ar_status make_params(ar_net *net, const float *const *values) {
    const image_net *n = net->impl;
    const ar_image_desc *d = &n->desc;
    int64_t C = d->C, H = d->H, W = d->W;
    net->params = ar__alloc((size_t)(2 * (d->conv_count + d->hidden_count + 1)), sizeof *net->params);
    if (!net->params) return AR_ERR_MEMORY;
    for (int32_t i = 0; i < d->conv_count; i++) {
        AR_TRY(add_layer(net, "conv", i, d->conv[i], C * 9, values));
        C = d->conv[i];
        H /= 2;
        W /= 2;
    }
    int64_t I = C * H * W;
    for (int32_t i = 0; i < d->hidden_count; i++) {
        AR_TRY(add_layer(net, "fc", i, d->hidden[i], I, values));
        I = d->hidden[i];
    }
    return add_layer(net, "fc", d->hidden_count, d->classes, I, values);
}

/* ---- a pass ---- */

static ar_status record_convolutions(const ar_net *net, ar_graph *g, ar_tensor **x, ar_window2d *w) {
    const image_net *n = net->impl;
    for (int32_t i = 0; i < n->desc.conv_count; i++) {
        ar_tensor *z = NULL, *a = NULL;
        *w = (ar_window2d){.H = w->H, .W = w->W, .K = 3, .pad = 1};
        AR_TRY(ar_op_conv2d(g, &z, *x, net->params[2 * i].t, net->params[2 * i + 1].t, w));
        AR_TRY(ar_op_act(g, &a, z, AR_ACT_RELU));
        *w = (ar_window2d){.H = w->H, .W = w->W, .K = 2, .stride = 2};
        AR_TRY(ar_op_pool(g, x, a, w, false));
        w->H /= 2;
        w->W /= 2;
    }
    return AR_OK;
}

static ar_status record(const ar_net *net, ar_graph *g, ar_tensor **nll, ar_tensor **top1,
                        const ar_pass *pass) {
    const image_net *n = net->impl;
    ar_window2d w = {.H = n->desc.H, .W = n->desc.W};
    ar_tensor *x = pass->input, *z = NULL;
    int64_t images = ar_tensor_dim(x, 0) / (n->desc.H * n->desc.W);
    AR_TRY(record_convolutions(net, g, &x, &w));
    AR_TRY(ar_op_reshape(g, &x, x, images, (int64_t)w.H * w.W * ar_tensor_dim(x, 1)));
    for (int32_t i = 0; i <= n->desc.hidden_count; i++) {
        const ar_param *p = &net->params[2 * (n->desc.conv_count + i)];
        AR_TRY(ar_op_linear(g, &z, x, p[0].t, p[1].t));
        if (i < n->desc.hidden_count) AR_TRY(ar_op_act(g, &x, z, AR_ACT_RELU));
    }
    return ar_op_nll(g, nll, top1, z, pass->labels);
}

/* ---- making ---- */

static void destroy(ar_net *net) {
    for (int32_t i = 0; i < net->param_count; i++) ar_tensor_destroy(net->params[i].t);
    free(net->params);
    free(net->impl);
    free(net);
}

static ar_status check_desc(const ar_image_desc *d) {
    bool good = d->H > 0 && d->W > 0 && d->C > 0 && d->classes > 1 && d->conv_count >= 0 &&
                d->conv_count <= AR_IMAGE_LAYERS && d->hidden_count >= 0 &&
                d->hidden_count <= AR_IMAGE_LAYERS;
    for (int32_t i = 0; good && i < d->conv_count; i++) good = d->conv[i] > 0;
    for (int32_t i = 0; good && i < d->hidden_count; i++) good = d->hidden[i] > 0;
    if (!good)
        return ar__fail(AR_ERR_ARG, "image net: found %d x %d x %d, %d classes, %d convolutions, %d products",
                        (int)d->H, (int)d->W, (int)d->C, (int)d->classes, (int)d->conv_count,
                        (int)d->hidden_count);
    if (d->H >> d->conv_count < 1 || d->W >> d->conv_count < 1)
        return ar__fail(AR_ERR_ARG, "image net: %d pools halve %d x %d, expected something to be left",
                        (int)d->conv_count, (int)d->H, (int)d->W);
    return AR_OK;
}

ar_status ar_net_image_create(ar_net **made, const ar_image_desc *desc, ar_device *device,
                              const float *const *values) {
    *made = NULL;
    AR_TRY(check_desc(desc));
    ar_net *net = ar__alloc(1, sizeof *net);
    image_net *n = ar__alloc(1, sizeof *n);
    if (!net || !n) {
        free(net);
        free(n);
        return AR_ERR_MEMORY;
    }
    *n = (image_net){.desc = *desc, .device = device};
    *net = (ar_net){.record = record, .destroy = destroy, .impl = n};
    ar_status status = make_params(net, values);
    if (status == AR_OK)
        *made = net;
    else
        destroy(net);
    return status;
}
