/* Cases of the transformer's ops: forward and backward against ref_model.c. */
#include "selftest.h"
#include "ref.h"
#include "ref_fakequant.h"
#include <math.h>

/* p: N, V, I. Ids include the first, the last and two that lie outside. */
ar_status ar__st_embed(ar__st *st, const int32_t *p) {
    int32_t N = p[0], V = p[1], I = p[2], *ids = NULL;
    float *table = NULL;
    double *want = NULL;
    ar_tensor *E = NULL, *id = NULL, *y = NULL;
    AR_TRY(ar__st_normal(st, &table, (int64_t)V * I, 1.0f));
    AR_TRY(ar__st_integers(st, &ids, N, 0, V - 1));
    if (N > 8) ids[1] = 0, ids[2] = V - 1, ids[3] = -1, ids[4] = V;
    AR_TRY(ar__st_doubles(st, &want, NULL, (int64_t)N * I));
    for (int32_t n = 0; n < N; n++)
        for (int32_t i = 0; i < I; i++)
            want[n * I + i] = ids[n] < 0 || ids[n] >= V ? 0 : (double)table[ids[n] * I + i];
    AR_TRY(ar__st_tensor(st, &E, AR_F32, V, I, table));
    AR_TRY(ar__st_tensor(st, &id, AR_I32, N, 0, ids));
    AR_TRY(ar_op_embed(st->g, &y, E, id));
    ar_graph_keep(st->g, y);
    AR_TRY(ar__st_run(st));
    return ar__st_compare(st, "embed", y, want);
}

/* p: rows, I, heads (0 = 1): a row holds that many vectors of I. */
ar_status ar__st_rms_norm(ar__st *st, const int32_t *p) {
    int32_t heads = p[2] ? p[2] : 1, N = p[0] * heads, I = p[1];
    double *x = NULL, *w = NULL, *y_ref = NULL, *dy = NULL, *dx = NULL, *dw = NULL;
    ar_tensor *tx = NULL, *tw = NULL, *y = NULL, *loss = NULL;
    AR_TRY(ar__st_leaf(st, &tx, &x, p[0], (int64_t)heads * I, 2.0f));
    AR_TRY(ar__st_leaf(st, &tw, &w, I, 0, 1.0f));
    AR_TRY(ar__st_doubles(st, &y_ref, NULL, (int64_t)N * I));
    AR_TRY(ar__st_doubles(st, &dx, NULL, (int64_t)N * I));
    AR_TRY(ar__st_doubles(st, &dw, NULL, I));
    ref_rms_norm(y_ref, x, w, N, I, (double)1e-5f);
    AR_TRY(ar_op_rms_norm(st->g, &y, tx, tw, 1e-5f));
    ar_graph_keep(st->g, y);
    AR_TRY(ar__st_loss(st, &loss, &dy, y, y_ref));
    ref_rms_norm_grad(dx, dw, dy, x, w, N, I, (double)1e-5f);
    AR_TRY(ar_graph_backward(st->g, loss));
    ar_graph_keep(st->g, ar_tensor_grad(tx));
    ar_graph_keep(st->g, ar_tensor_grad(tw));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, "rms_norm", y, y_ref));
    AR_TRY(ar__st_compare(st, "rms_norm_dx", ar_tensor_grad(tx), dx));
    return ar__st_compare(st, "rms_norm_dw", ar_tensor_grad(tw), dw);
}

/* Rows whose few values lie apart: where they nearly agree, their deviation is mostly rounding. */
static ar_status spread_leaf(ar__st *st, ar_tensor **t, double **values, int32_t N, int32_t I) {
    float *made = NULL;
    AR_TRY(ar__st_normal(st, &made, (int64_t)N * I, 2.0f));
    for (int64_t i = 0; I < 8 && i < (int64_t)N * I; i++) made[i] = 0.25f * made[i] + 2.0f * (float)(i % I);
    AR_TRY(ar__st_doubles(st, values, made, (int64_t)N * I));
    AR_TRY(ar__st_tensor(st, t, AR_F32, N, I, made));
    ar_tensor_set_needs_grad(*t, true);
    return AR_OK;
}

/* p: N, I, with bias. */
ar_status ar__st_layer_norm(ar__st *st, const int32_t *p) {
    int32_t N = p[0], I = p[1];
    double *x = NULL, *w = NULL, *b = NULL, *y_ref = NULL, *dy = NULL, *dx = NULL, *dw = NULL, *db = NULL;
    ar_tensor *tx = NULL, *tw = NULL, *tb = NULL, *y = NULL, *loss = NULL;
    AR_TRY(spread_leaf(st, &tx, &x, N, I));
    AR_TRY(ar__st_leaf(st, &tw, &w, I, 0, 1.0f));
    if (p[2]) AR_TRY(ar__st_leaf(st, &tb, &b, I, 0, 1.0f));
    AR_TRY(ar__st_doubles(st, &y_ref, NULL, (int64_t)N * I));
    AR_TRY(ar__st_doubles(st, &dx, NULL, (int64_t)N * I));
    AR_TRY(ar__st_doubles(st, &dw, NULL, I));
    AR_TRY(ar__st_doubles(st, &db, NULL, I));
    ref_layer_norm(y_ref, x, w, b, N, I, (double)1e-5f);
    AR_TRY(ar_op_layer_norm(st->g, &y, tx, tw, tb, 1e-5f));
    ar_graph_keep(st->g, y);
    AR_TRY(ar__st_loss(st, &loss, &dy, y, y_ref));
    ref_layer_norm_grad(dx, dw, db, dy, x, w, N, I, (double)1e-5f);
    AR_TRY(ar_graph_backward(st->g, loss));
    ar_graph_keep(st->g, ar_tensor_grad(tx));
    ar_graph_keep(st->g, ar_tensor_grad(tw));
    if (tb) ar_graph_keep(st->g, ar_tensor_grad(tb));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, "layer_norm", y, y_ref));
    AR_TRY(ar__st_compare(st, "layer_norm_dx", ar_tensor_grad(tx), dx));
    AR_TRY(ar__st_compare(st, "layer_norm_dw", ar_tensor_grad(tw), dw));
    return tb ? ar__st_compare(st, "layer_norm", ar_tensor_grad(tb), db) : AR_OK;
}

/* p: N, I, kind. x is used twice, so that dx adds up; some x lie far out. */
ar_status ar__st_act(ar__st *st, const int32_t *p) {
    int32_t N = p[0], I = p[1];
    int64_t count = (int64_t)N * I;
    double *x = NULL, *y_ref = NULL, *dy = NULL, *dx = NULL;
    ar_tensor *tx = NULL, *a = NULL, *b = NULL, *y = NULL, *loss = NULL;
    AR_TRY(ar__st_leaf(st, &tx, &x, N, I, 2.0f));
    if (count > 3) {
        float ends[3] = {-100.0f, 100.0f, 0.0f};
        x[0] = -100, x[1] = 100, x[2] = 0;
        AR_TRY(ar_tensor_write(tx, ends, 0, 3));
    }
    AR_TRY(ar__st_doubles(st, &y_ref, NULL, count));
    AR_TRY(ar__st_doubles(st, &dx, NULL, count));
    ref_act(y_ref, x, p[2], (int)count);
    AR_TRY(ar_op_act(st->g, &a, tx, (ar_act)p[2]));
    AR_TRY(ar_op_act(st->g, &b, tx, (ar_act)p[2]));
    AR_TRY(ar_op_add(st->g, &y, a, b));
    ar_graph_keep(st->g, y);
    for (int64_t i = 0; i < count; i++) y_ref[i] *= 2;
    AR_TRY(ar__st_loss(st, &loss, &dy, y, y_ref));
    ref_act_grad(dx, dy, x, p[2], (int)count);
    for (int64_t i = 0; i < count; i++) dx[i] *= 2;
    AR_TRY(ar_graph_backward(st->g, loss));
    ar_graph_keep(st->g, ar_tensor_grad(tx));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, "act", y, y_ref));
    return ar__st_compare(st, "act_grad", ar_tensor_grad(tx), dx);
}

/* p: N, O, I. Columns [0, O) and [I - O, I), which may overlap, are added; the others have no gradient. */
ar_status ar__st_slice(ar__st *st, const int32_t *p) {
    int32_t N = p[0], O = p[1], I = p[2];
    double *x = NULL, *y_ref = NULL, *dy = NULL, *dx = NULL;
    ar_tensor *tx = NULL, *a = NULL, *b = NULL, *y = NULL, *loss = NULL;
    AR_TRY(ar__st_leaf(st, &tx, &x, N, I, 1.0f));
    AR_TRY(ar__st_doubles(st, &y_ref, NULL, (int64_t)N * O));
    AR_TRY(ar__st_doubles(st, &dx, NULL, (int64_t)N * I));
    for (int32_t n = 0; n < N; n++)
        for (int32_t o = 0; o < O; o++) y_ref[n * O + o] = x[n * I + o] + x[n * I + I - O + o];
    AR_TRY(ar_op_slice(st->g, &a, tx, 0, O));
    AR_TRY(ar_op_slice(st->g, &b, tx, I - O, O));
    AR_TRY(ar_op_add(st->g, &y, a, b));
    ar_graph_keep(st->g, y);
    AR_TRY(ar__st_loss(st, &loss, &dy, y, y_ref));
    for (int32_t n = 0; n < N; n++)
        for (int32_t o = 0; o < O; o++) {
            dx[n * I + o] += dy[n * O + o];
            dx[n * I + I - O + o] += dy[n * O + o];
        }
    AR_TRY(ar_graph_backward(st->g, loss));
    ar_graph_keep(st->g, ar_tensor_grad(tx));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, "slice", y, y_ref));
    return ar__st_compare(st, "slice_grad", ar_tensor_grad(tx), dx);
}

/* p: B, T, heads, D, pos0, pairs (0 = D/2), 64 times the scale (0 = 1). Two calls with the same frequencies
 * share a table; the second adds to dx. */
ar_status ar__st_rope(ar__st *st, const int32_t *p) {
    int32_t N = p[0] * p[1], T = p[1], heads = p[2], D = p[3], pos0 = p[4], pairs = p[5] ? p[5] : D / 2;
    float scale = p[6] ? (float)p[6] / 64 : 1;
    int64_t count = (int64_t)N * heads * D;
    float *freq = NULL;
    double *x = NULL, *y_ref = NULL, *dy = NULL, *dx = NULL;
    ar_tensor *tx = NULL, *tf = NULL, *y = NULL, *again = NULL, *both = NULL, *loss = NULL;
    AR_TRY(ar__st_leaf(st, &tx, &x, N, heads * D, 1.0f));
    AR_TRY(ar__st_array(st, (void **)&freq, pairs, sizeof *freq));
    freq[0] = 1.0f;
    for (int32_t i = 1; i < pairs; i++) freq[i] = freq[i - 1] * 0.75f;
    AR_TRY(ar__st_tensor(st, &tf, AR_F32, pairs, 0, freq));
    AR_TRY(ar__st_doubles(st, &y_ref, NULL, count));
    AR_TRY(ar__st_doubles(st, &dx, NULL, count));
    ref_rope(y_ref, x, freq, N, heads, T, D, pairs, pos0, 1);
    AR_TRY(ar_op_rope(st->g, &y, tx, tf, T, D, pos0, scale));
    AR_TRY(ar_op_rope(st->g, &again, tx, tf, T, D, pos0, scale));
    AR_TRY(ar_op_add(st->g, &both, y, again));
    ar_graph_keep(st->g, both);
    for (int64_t i = 0; i < count; i++) y_ref[i] *= 2 * (i % D < 2 * pairs ? (double)scale : 1);
    AR_TRY(ar__st_loss(st, &loss, &dy, both, y_ref));
    ref_rope(dx, dy, freq, N, heads, T, D, pairs, pos0, -1);
    for (int64_t i = 0; i < count; i++) dx[i] *= 2 * (i % D < 2 * pairs ? (double)scale : 1);
    AR_TRY(ar_graph_backward(st->g, loss));
    ar_graph_keep(st->g, ar_tensor_grad(tx));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, "rope", both, y_ref));
    return ar__st_compare(st, "rope", ar_tensor_grad(tx), dx);
}

static bool attention_rounds(const ar_device *device) {
    return ar__st_rounds(device, AR_F_attention) || ar__st_rounds(device, AR_F_attention_dq) ||
           ar__st_rounds(device, AR_F_attention_dkv);
}

/* Numbers, some above fp16's largest where asked for. Under a variant that rounds to fp16 the others are
 * fp16's own: what is left to compare are the products, and where a gradient is 0 it comes out as 0. */
static ar_status attention_leaf(ar__st *st, ar_tensor **t, double **values, int64_t rows, int64_t cols,
                                float scale, bool is_large) {
    float *made = NULL;
    AR_TRY(ar__st_normal(st, &made, rows * cols, scale));
    for (int64_t i = 0; i < rows * cols; i++)
        if (is_large && i % 997 == 5)
            made[i] *= 262144.0f;
        else if (attention_rounds(st->device))
            made[i] = ref_half_round(made[i]);
    AR_TRY(ar__st_doubles(st, values, made, rows * cols));
    AR_TRY(ar__st_tensor(st, t, AR_F32, rows, cols, made));
    ar_tensor_set_needs_grad(*t, true);
    return AR_OK;
}

/* p: B, T, H, K, D, window, cap, some of v large (1). */
ar_status ar__st_attention(ar__st *st, const int32_t *p) {
    int32_t B = p[0], T = p[1], H = p[2], K = p[3], D = p[4], window = p[5], N = B * T;
    double *q = NULL, *k = NULL, *v = NULL, *y_ref = NULL, *dy = NULL, *dq = NULL, *dk = NULL, *dv = NULL;
    ar_tensor *tq = NULL, *tk = NULL, *tv = NULL, *y = NULL, *loss = NULL;
    AR_TRY(attention_leaf(st, &tq, &q, N, H * D, 2.0f, false));
    AR_TRY(attention_leaf(st, &tk, &k, N, K * D, 1.0f, false));
    AR_TRY(attention_leaf(st, &tv, &v, N, K * D, 1.0f, p[7] != 0));
    AR_TRY(ar__st_doubles(st, &y_ref, NULL, (int64_t)N * H * D));
    AR_TRY(ar__st_doubles(st, &dq, NULL, (int64_t)N * H * D));
    AR_TRY(ar__st_doubles(st, &dk, NULL, (int64_t)N * K * D));
    AR_TRY(ar__st_doubles(st, &dv, NULL, (int64_t)N * K * D));
    ref_attention(y_ref, q, k, v, B, T, H, K, D, window, p[6]);
    AR_TRY(ar_op_attention(st->g, &y, tq, tk, tv, T, D, window, (float)p[6]));
    ar_graph_keep(st->g, y);
    AR_TRY(ar__st_loss(st, &loss, &dy, y, y_ref));
    ref_attention_grad(dq, dk, dv, dy, q, k, v, B, T, H, K, D, window, p[6]);
    AR_TRY(ar_graph_backward(st->g, loss));
    ar_graph_keep(st->g, ar_tensor_grad(tq));
    ar_graph_keep(st->g, ar_tensor_grad(tk));
    ar_graph_keep(st->g, ar_tensor_grad(tv));
    AR_TRY(ar__st_run(st));
    if (attention_rounds(st->device)) st->bound = AR__ST_F16; /* all of it: the gradients are of its y */
    for (int64_t i = 0; i < (int64_t)N * H * D && attention_rounds(st->device); i++)
        st->least = fmax(st->least, fabs(dy[i])); /* sums differ in order where a weight is 1 */
    AR_TRY(ar__st_compare(st, "attention", y, y_ref));
    AR_TRY(ar__st_compare(st, "attention_dq", ar_tensor_grad(tq), dq));
    AR_TRY(ar__st_compare(st, "attention_dkv", ar_tensor_grad(tk), dk));
    return ar__st_compare(st, "attention_dkv", ar_tensor_grad(tv), dv);
}

/* p: N, I, kind. Gates reach +-100, where exp would overflow. */
ar_status ar__st_gated(ar__st *st, const int32_t *p) {
    int32_t N = p[0], I = p[1];
    int64_t count = (int64_t)N * I;
    double *gate = NULL, *up = NULL, *y_ref = NULL, *dy = NULL, *dgate = NULL, *dup = NULL;
    ar_tensor *tg = NULL, *tu = NULL, *y = NULL, *loss = NULL;
    AR_TRY(ar__st_leaf(st, &tg, &gate, N, I, 2.0f));
    AR_TRY(ar__st_leaf(st, &tu, &up, N, I, 1.0f));
    if (count > 2) {
        float ends[2] = {-100.0f, 100.0f};
        gate[0] = -100, gate[1] = 100;
        AR_TRY(ar_tensor_write(tg, ends, 0, 2));
    }
    AR_TRY(ar__st_doubles(st, &y_ref, NULL, count));
    AR_TRY(ar__st_doubles(st, &dgate, NULL, count));
    AR_TRY(ar__st_doubles(st, &dup, NULL, count));
    ref_gated(y_ref, gate, up, p[2], (int)count);
    AR_TRY(ar_op_gated(st->g, &y, tg, tu, (ar_act)p[2]));
    ar_graph_keep(st->g, y);
    AR_TRY(ar__st_loss(st, &loss, &dy, y, y_ref));
    ref_gated_grad(dgate, dup, dy, gate, up, p[2], (int)count);
    AR_TRY(ar_graph_backward(st->g, loss));
    ar_graph_keep(st->g, ar_tensor_grad(tg));
    ar_graph_keep(st->g, ar_tensor_grad(tu));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, "gated", y, y_ref));
    AR_TRY(ar__st_compare(st, "gated_grad", ar_tensor_grad(tg), dgate));
    return ar__st_compare(st, "gated_grad", ar_tensor_grad(tu), dup);
}

/* p: N, I, cap. A lone element's slope is compared with itself: a cap of 16 keeps it from cancelling. */
ar_status ar__st_soft_cap(ar__st *st, const int32_t *p) {
    int64_t count = (int64_t)p[0] * p[1];
    double *x = NULL, *y_ref = NULL, *dy = NULL, *dx = NULL, cap = p[2];
    ar_tensor *tx = NULL, *a = NULL, *b = NULL, *y = NULL, *loss = NULL;
    AR_TRY(ar__st_leaf(st, &tx, &x, p[0], p[1], 4.0f));
    if (count > 3) {
        float ends[3] = {-1e6f, 1e6f, 0.0f};
        x[0] = -1e6, x[1] = 1e6, x[2] = 0;
        AR_TRY(ar_tensor_write(tx, ends, 0, 3));
    }
    AR_TRY(ar__st_doubles(st, &y_ref, NULL, count));
    AR_TRY(ar__st_doubles(st, &dx, NULL, count));
    for (int64_t i = 0; i < count; i++) y_ref[i] = 2 * cap * tanh(x[i] / cap);
    AR_TRY(ar_op_soft_cap(st->g, &a, tx, (float)p[2]));
    AR_TRY(ar_op_soft_cap(st->g, &b, tx, (float)p[2]));
    AR_TRY(ar_op_add(st->g, &y, a, b));
    ar_graph_keep(st->g, y);
    AR_TRY(ar__st_loss(st, &loss, &dy, y, y_ref));
    for (int64_t i = 0; i < count; i++) dx[i] = 2 * dy[i] * (1 - pow(tanh(x[i] / cap), 2));
    AR_TRY(ar_graph_backward(st->g, loss));
    ar_graph_keep(st->g, ar_tensor_grad(tx));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, "soft_cap", y, y_ref));
    return ar__st_compare(st, "soft_cap_grad", ar_tensor_grad(tx), dx);
}

/* p: N, V. Some labels mean "no prediction"; one row holds a tie. */
ar_status ar__st_nll(ar__st *st, const int32_t *p) {
    int32_t N = p[0], V = p[1], *labels = NULL, *top = NULL;
    double *z = NULL, *want = NULL, *dnll = NULL, *dz = NULL;
    ar_tensor *tz = NULL, *tl = NULL, *nll = NULL, *top1 = NULL, *loss = NULL;
    AR_TRY(ar__st_leaf(st, &tz, &z, N, V, 4.0f));
    AR_TRY(ar__st_integers(st, &labels, N, 0, V - 1));
    if (N > 2) labels[1] = -1, labels[2] = V;
    if (N > 0 && V > 6) {
        float high = 40.0f;
        z[3] = z[V - 2] = (double)high;
        AR_TRY(ar_tensor_write(tz, &high, 3, 1));
        AR_TRY(ar_tensor_write(tz, &high, V - 2, 1));
    }
    AR_TRY(ar__st_tensor(st, &tl, AR_I32, N, 0, labels));
    AR_TRY(ar__st_array(st, (void **)&top, N, sizeof *top));
    AR_TRY(ar__st_doubles(st, &want, NULL, N));
    AR_TRY(ar__st_doubles(st, &dnll, NULL, N));
    AR_TRY(ar__st_doubles(st, &dz, NULL, (int64_t)N * V));
    for (int32_t n = 0; n < N; n++) dnll[n] = 1.0 / N;
    ref_nll(want, top, z, labels, N, V);
    ref_nll_grad(dz, dnll, z, labels, N, V);
    AR_TRY(ar_op_nll(st->g, &nll, &top1, tz, tl));
    ar_graph_keep(st->g, nll);
    ar_graph_keep(st->g, top1);
    if (!st->is_forward) AR_TRY(ar_op_mean(st->g, &loss, nll));
    if (!st->is_forward) AR_TRY(ar_graph_backward(st->g, loss));
    ar_graph_keep(st->g, ar_tensor_grad(tz));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, "nll", nll, want));
    AR_TRY(ar__st_exact(st, "nll", top1, top));
    return N && !st->is_forward ? ar__st_compare(st, "nll_grad", ar_tensor_grad(tz), dz) : AR_OK;
}

/* p: N, V. q is near p, as after a quantization. */
ar_status ar__st_kl(ar__st *st, const int32_t *p) {
    int32_t N = p[0], V = p[1];
    int64_t count = (int64_t)N * V;
    float *a = NULL, *b = NULL;
    double *da = NULL, *db = NULL, *want = NULL, *grad = NULL;
    ar_tensor *ta = NULL, *tb = NULL, *kl = NULL, *loss = NULL;
    AR_TRY(ar__st_normal(st, &a, count, 3.0f));
    AR_TRY(ar__st_normal(st, &b, count, 0.5f));
    for (int64_t i = 0; i < count; i++) b[i] += a[i];
    AR_TRY(ar__st_doubles(st, &da, a, count));
    AR_TRY(ar__st_doubles(st, &db, b, count));
    AR_TRY(ar__st_doubles(st, &want, NULL, N));
    AR_TRY(ar__st_doubles(st, &grad, NULL, count));
    AR_TRY(ar__st_tensor(st, &ta, AR_F32, N, V, a));
    AR_TRY(ar__st_tensor(st, &tb, AR_F32, N, V, b));
    ref_kl(want, da, db, N, V);
    ref_kl_grad(grad, da, db, N, V);
    ar_tensor_set_needs_grad(tb, !st->is_forward);
    AR_TRY(ar_op_kl(st->g, &kl, ta, tb));
    ar_graph_keep(st->g, kl);
    if (st->is_forward || count == 0) {
        AR_TRY(ar__st_run(st));
        return ar__st_compare(st, "kl", kl, want);
    }
    AR_TRY(ar_op_mean(st->g, &loss, kl));
    AR_TRY(ar_graph_backward(st->g, loss));
    ar_graph_keep(st->g, ar_tensor_grad(tb));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, "kl", kl, want));
    return ar__st_compare(st, "kl_grad", ar_tensor_grad(tb), grad);
}

/* A graph's own copy of t, which may be written over. */
static ar_status own_copy(ar__st *st, ar_tensor **copy, const ar_tensor *t) {
    AR_TRY(ar_graph_temp(st->g, copy, AR_F32, 2, (int64_t[]){ar_tensor_dim(t, 0), ar_tensor_dim(t, 1)}));
    return ar_op_copy(st->g, *copy, t);
}

/* p: N, I, kind, 1: gradients. What is read for the last time is written over: the gate by y, or gate and up
 * by their gradients. */
ar_status ar__st_gated_over(ar__st *st, const int32_t *p) {
    int32_t N = p[0], I = p[1];
    int64_t count = (int64_t)N * I;
    double *x[2], *y_ref = NULL, *dy = NULL, *want[2];
    ar_tensor *tx[2], *own[2], *out[2], *y = NULL, *loss = NULL;
    for (int k = 0; k < 2; k++) {
        AR_TRY(ar__st_leaf(st, &tx[k], &x[k], N, I, 2.0f));
        AR_TRY(ar__st_tensor(st, &out[k], AR_F32, N, I, NULL));
        AR_TRY(ar__st_doubles(st, &want[k], NULL, count));
        AR_TRY(own_copy(st, &own[k], tx[k]));
        ar_tensor_set_needs_grad(own[k], p[3] != 0);
    }
    AR_TRY(ar__st_doubles(st, &y_ref, NULL, count));
    ref_gated(y_ref, x[0], x[1], p[2], (int)count);
    AR_TRY(ar_op_gated(st->g, &y, own[0], own[1], (ar_act)p[2]));
    if (!p[3]) {
        AR_TRY(ar_op_copy(st->g, out[0], y));
        AR_TRY(ar__st_run(st));
        return ar__st_compare(st, "gated_over", out[0], y_ref);
    }
    AR_TRY(ar__st_loss(st, &loss, &dy, y, y_ref));
    ref_gated_grad(want[0], want[1], dy, x[0], x[1], p[2], (int)count);
    AR_TRY(ar_graph_backward(st->g, loss));
    for (int k = 0; k < 2; k++) AR_TRY(ar_op_copy(st->g, out[k], ar_tensor_grad(own[k])));
    AR_TRY(ar__st_run(st));
    for (int k = 0; k < 2; k++) AR_TRY(ar__st_compare(st, "gated_grad_over", out[k], want[k]));
    return AR_OK;
}
