/* Cases of the ops that training whole models needs, against ref_train.c and ref_model.c. */
#include "selftest.h"
#include "ref.h"
#include "ref_train.h"
#include <math.h>

/* p: N, V, I. Many rows share an id; two ids lie outside. */
ar_status ar__st_embed_grad(ar__st *st, const int32_t *p) {
    int32_t N = p[0], V = p[1], I = p[2], *ids = NULL;
    double *table = NULL, *y_ref = NULL, *dy = NULL, *dE = NULL;
    ar_tensor *E = NULL, *id = NULL, *y = NULL, *loss = NULL;
    AR_TRY(ar__st_leaf(st, &E, &table, V, I, 1.0f));
    AR_TRY(ar__st_integers(st, &ids, N, 0, V / 2));
    if (N > 8) ids[1] = V - 1, ids[3] = -1, ids[4] = V;
    AR_TRY(ar__st_doubles(st, &y_ref, NULL, (int64_t)N * I));
    for (int32_t n = 0; n < N; n++)
        for (int32_t i = 0; i < I; i++)
            y_ref[n * I + i] = ids[n] < 0 || ids[n] >= V ? 0 : table[ids[n] * I + i];
    AR_TRY(ar__st_tensor(st, &id, AR_I32, N, 0, ids));
    AR_TRY(ar_op_embed(st->g, &y, E, id));
    AR_TRY(ar__st_loss(st, &loss, &dy, y, y_ref));
    AR_TRY(ar__st_doubles(st, &dE, NULL, (int64_t)V * I));
    ref_embed_grad(dE, dy, ids, N, V, I);
    AR_TRY(ar_graph_backward(st->g, loss));
    ar_graph_keep(st->g, ar_tensor_grad(E));
    AR_TRY(ar__st_run(st));
    return ar__st_compare(st, "embed_grad", ar_tensor_grad(E), dE);
}

/* p: N, I, V, ids of a piece. Some labels mean "no prediction". */
ar_status ar__st_head_nll(ar__st *st, const int32_t *p) {
    int32_t N = p[0], I = p[1], V = p[2], *labels = NULL, *top = NULL;
    double *x = NULL, *W = NULL, *z = NULL, *want = NULL, *dnll = NULL, *dz = NULL, *dx = NULL, *dW = NULL,
           *db = NULL;
    ar_tensor *tx = NULL, *tW = NULL, *tl = NULL, *nll = NULL, *top1 = NULL, *loss = NULL;
    AR_TRY(ar__st_leaf(st, &tx, &x, N, I, 1.0f));
    AR_TRY(ar__st_leaf(st, &tW, &W, V, I, 0.25f)); /* logits of 30 would be off by as much as the bound */
    AR_TRY(ar__st_integers(st, &labels, N, 0, V - 1));
    if (N > 2) labels[1] = -1, labels[2] = V;
    AR_TRY(ar__st_tensor(st, &tl, AR_I32, N, 0, labels));
    AR_TRY(ar__st_array(st, (void **)&top, N, sizeof *top));
    AR_TRY(ar__st_doubles(st, &z, NULL, (int64_t)N * V));
    AR_TRY(ar__st_doubles(st, &dz, NULL, (int64_t)N * V));
    AR_TRY(ar__st_doubles(st, &want, NULL, N));
    AR_TRY(ar__st_doubles(st, &dnll, NULL, N));
    AR_TRY(ar__st_doubles(st, &dx, NULL, (int64_t)N * I));
    AR_TRY(ar__st_doubles(st, &dW, NULL, (int64_t)V * I));
    AR_TRY(ar__st_doubles(st, &db, NULL, V));
    for (int32_t n = 0; n < N; n++) dnll[n] = 1.0 / N;
    ref_linear(z, x, W, NULL, N, V, I);
    ref_nll(want, top, z, labels, N, V);
    ref_nll_grad(dz, dnll, z, labels, N, V);
    ref_linear_grad(dx, dW, db, dz, x, W, N, V, I);
    AR_TRY(ar_op_head_nll(st->g, &nll, &top1, tx, tW, tl, p[3]));
    ar_graph_keep(st->g, nll);
    ar_graph_keep(st->g, top1);
    AR_TRY(ar_op_mean(st->g, &loss, nll));
    AR_TRY(ar_graph_backward(st->g, loss));
    ar_graph_keep(st->g, ar_tensor_grad(tx));
    ar_graph_keep(st->g, ar_tensor_grad(tW));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, "nll_part", nll, want));
    AR_TRY(ar__st_exact(st, "nll_part", top1, top));
    AR_TRY(ar__st_compare(st, "nll_part_grad", ar_tensor_grad(tx), dx));
    return ar__st_compare(st, "nll_part_grad", ar_tensor_grad(tW), dW);
}

/* p: N, I, per cent dropped. */
ar_status ar__st_dropout(ar__st *st, const int32_t *p) {
    int32_t count[] = {41}, n = p[0] * p[1];
    float share = (float)p[2] / 100;
    double *x = NULL, *y_ref = NULL, *dy = NULL, *dx = NULL;
    ar_tensor *tx = NULL, *tc = NULL, *y = NULL, *loss = NULL;
    AR_TRY(ar__st_leaf(st, &tx, &x, p[0], p[1], 1.0f));
    AR_TRY(ar__st_tensor(st, &tc, AR_I32, 1, 0, count));
    AR_TRY(ar__st_doubles(st, &y_ref, NULL, n));
    AR_TRY(ar__st_doubles(st, &dx, NULL, n));
    ref_dropout(y_ref, x, (double)share, 7, 41, n);
    AR_TRY(ar_op_dropout(st->g, &y, tx, share, 7, tc));
    ar_graph_keep(st->g, y);
    AR_TRY(ar__st_loss(st, &loss, &dy, y, y_ref));
    ref_dropout(dx, dy, (double)share, 7, 41, n);
    AR_TRY(ar_graph_backward(st->g, loss));
    ar_graph_keep(st->g, ar_tensor_grad(tx));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, "dropout", y, y_ref));
    return ar__st_compare(st, "dropout", ar_tensor_grad(tx), dx);
}

/* p: numbers, whether SGD. Three steps on gradients that are clipped, counted half. */
ar_status ar__st_train_step(ar__st *st, const int32_t *p) {
    enum { T = 50 };
    int64_t n = p[0];
    float rates[4 * T], *zeros = NULL, *d = NULL;
    double *want = NULL, *mean = NULL, *square = NULL, *dd = NULL, factor[2];
    ar_tensor *X = NULL, *D = NULL, *M = NULL, *S = NULL, *step = NULL, *R = NULL, *F = NULL;
    const ar_rate_desc desc = {AR_SCHEDULE_LINEAR, 0.01, 0.1, 5, (double)0.9f, (double)0.98f};
    ar_train_rates(rates, T, &desc);
    AR_TRY(ar__st_leaf(st, &X, &want, n, 0, 1.0f));
    AR_TRY(ar__st_normal(st, &d, n, 1.0f));
    AR_TRY(ar__st_doubles(st, &dd, d, n));
    AR_TRY(ar__st_array(st, (void **)&zeros, n, sizeof *zeros));
    AR_TRY(ar__st_doubles(st, &mean, zeros, n));
    AR_TRY(ar__st_doubles(st, &square, zeros, n));
    AR_TRY(ar__st_tensor(st, &D, AR_F32, n, 0, d));
    AR_TRY(ar__st_tensor(st, &M, AR_F32, n, 0, zeros));
    AR_TRY(ar__st_tensor(st, &S, AR_F32, n, 0, zeros));
    AR_TRY(ar__st_tensor(st, &step, AR_I32, 1, 0, NULL));
    AR_TRY(ar__st_tensor(st, &R, AR_F32, T, 4, rates));
    AR_TRY(ar_op_clip(st->g, &F, (ar_tensor *[]){D, D}, 2, 1.0f, 0.5f));
    ar_graph_keep(st->g, F);
    ar_train_step s = {.step = step, .rates = R, .factor = F, .decay = 0.1f};
    if (p[1])
        AR_TRY(ar_op_sgd_step(st->g, X, D, M, &s, 0.9f));
    else
        AR_TRY(ar_op_adamw_step(st->g, X, D, M, S, &s, 0.9f, 0.98f, 1e-8f));
    AR_TRY(ar_graph_build(st->g));
    double norm = sqrt(2.0) * 0.5 * ref_norm(dd, (int)n);
    factor[0] = norm;
    factor[1] = 0.5 * fmin(1, 1 / (norm + 1e-6));
    for (int32_t t = 3; t < 6; t++) {
        double lr = (double)rates[4 * t];
        AR_TRY(ar_tensor_write(step, &t, 0, 1));
        AR_TRY(ar_graph_run(st->g));
        for (int64_t i = 0; i < n; i++)
            want[i] = p[1]
                          ? ref_sgd_step(want[i], dd[i] * factor[1], &mean[i], lr, (double)0.9f, (double)0.1f)
                          : ref_adamw_step(want[i], dd[i] * factor[1], &mean[i], &square[i], lr, t,
                                           (double)0.9f, (double)0.98f, 1e-8, (double)0.1f);
    }
    AR_TRY(ar__st_compare(st, "clip_final", F, factor));
    AR_TRY(ar__st_compare(st, p[1] ? "sgd_step" : "adamw_step", M, mean));
    return ar__st_compare(st, p[1] ? "sgd_step" : "adamw_step", X, want);
}

/* What image cases begin with: x (B H W, C) and its window. p: B, H, W, C, K, stride, then padding, or 100
 * for a pool, 101 for one of means. */
static ar_status image(ar__st *st, ar_tensor **tx, double **x, ar_window2d *w, const int32_t *p) {
    *w = (ar_window2d){.H = p[1], .W = p[2], .K = p[4], .stride = p[5], .pad = p[6] >= 100 ? 0 : p[6]};
    return ar__st_leaf(st, tx, x, (int64_t)p[0] * p[1] * p[2], p[3], 1.0f);
}

ar_status ar__st_im2col(ar__st *st, const int32_t *p) {
    ar_window2d w;
    double *x = NULL, *y_ref = NULL, *dy = NULL, *dx = NULL;
    ar_tensor *tx = NULL, *y = NULL, *loss = NULL;
    AR_TRY(image(st, &tx, &x, &w, p));
    int64_t places = (int64_t)p[0] * ar_window2d_out(&w, w.H) * ar_window2d_out(&w, w.W);
    AR_TRY(ar__st_doubles(st, &y_ref, NULL, places * p[3] * w.K * w.K));
    AR_TRY(ar__st_doubles(st, &dx, NULL, ar_tensor_count(tx)));
    ref_im2col(y_ref, x, p[0], w.H, w.W, p[3], w.K, w.stride, w.pad);
    AR_TRY(ar_op_im2col(st->g, &y, tx, &w));
    ar_graph_keep(st->g, y);
    AR_TRY(ar__st_loss(st, &loss, &dy, y, y_ref));
    ref_im2col_grad(dx, dy, p[0], w.H, w.W, p[3], w.K, w.stride, w.pad);
    AR_TRY(ar_graph_backward(st->g, loss));
    ar_graph_keep(st->g, ar_tensor_grad(tx));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, "im2col", y, y_ref));
    return ar__st_compare(st, "im2col_grad", ar_tensor_grad(tx), dx);
}

/* p: B, H, W, C, K, pad, O. Without patches wherever shapes allow, as the plan's vector width says. */
static ar_status conv2d(ar__st *st, const int32_t *p) {
    int32_t O = p[6], C = p[3], K = p[4];
    ar_window2d w;
    double *x = NULL, *W = NULL, *b = NULL, *rows = NULL, *y_ref = NULL, *dy = NULL, *drows = NULL,
           *dx = NULL, *dW = NULL, *db = NULL;
    ar_tensor *tx = NULL, *tW = NULL, *tb = NULL, *y = NULL, *loss = NULL;
    AR_TRY(image(st, &tx, &x, &w, (int32_t[]){p[0], p[1], p[2], C, K, 1, p[5]}));
    AR_TRY(ar__st_leaf(st, &tW, &W, O, (int64_t)C * K * K, 1.0f));
    AR_TRY(ar__st_leaf(st, &tb, &b, O, 0, 1.0f));
    int32_t N = p[0] * ar_window2d_out(&w, w.H) * ar_window2d_out(&w, w.W), I = C * K * K;
    AR_TRY(ar__st_doubles(st, &rows, NULL, (int64_t)N * I));
    AR_TRY(ar__st_doubles(st, &drows, NULL, (int64_t)N * I));
    AR_TRY(ar__st_doubles(st, &y_ref, NULL, (int64_t)N * O));
    AR_TRY(ar__st_doubles(st, &dx, NULL, ar_tensor_count(tx)));
    AR_TRY(ar__st_doubles(st, &dW, NULL, (int64_t)O * I));
    AR_TRY(ar__st_doubles(st, &db, NULL, O));
    ref_im2col(rows, x, p[0], w.H, w.W, C, K, 1, w.pad);
    ref_linear(y_ref, rows, W, b, N, O, I);
    AR_TRY(ar_op_conv2d(st->g, &y, tx, tW, tb, &w));
    ar_graph_keep(st->g, y);
    AR_TRY(ar__st_loss(st, &loss, &dy, y, y_ref));
    ref_linear_grad(drows, dW, db, dy, rows, W, N, O, I);
    ref_im2col_grad(dx, drows, p[0], w.H, w.W, C, K, 1, w.pad);
    AR_TRY(ar_graph_backward(st->g, loss));
    ar_tensor *const grads[] = {ar_tensor_grad(tx), ar_tensor_grad(tW), ar_tensor_grad(tb)};
    for (int i = 0; i < 3; i++) ar_graph_keep(st->g, grads[i]);
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, "conv2d", y, y_ref));
    AR_TRY(ar__st_compare(st, "conv2d of dy", grads[0], dx));
    AR_TRY(ar__st_compare(st, "conv2d_dw", grads[1], dW));
    return ar__st_compare(st, "sum_rows", grads[2], db);
}

ar_status ar__st_conv2d(ar__st *st, const int32_t *p) {
    ar_plan *plan = &st->device->plan;
    const bool direct = plan->direct_conv;
    plan->direct_conv = true;
    ar_status status = conv2d(st, p);
    plan->direct_conv = direct;
    return status;
}

ar_status ar__st_pool(ar__st *st, const int32_t *p) {
    ar_window2d w;
    bool mean = p[6] == 101;
    double *x = NULL, *y_ref = NULL, *dy = NULL, *dx = NULL;
    ar_tensor *tx = NULL, *y = NULL, *shaped = NULL, *loss = NULL;
    AR_TRY(image(st, &tx, &x, &w, p));
    int64_t places = (int64_t)ar_window2d_out(&w, w.H) * ar_window2d_out(&w, w.W);
    AR_TRY(ar__st_doubles(st, &y_ref, NULL, p[0] * places * p[3]));
    AR_TRY(ar__st_doubles(st, &dx, NULL, ar_tensor_count(tx)));
    ref_pool(y_ref, NULL, NULL, x, p[0], w.H, w.W, p[3], w.K, w.stride, mean);
    AR_TRY(ar_op_pool(st->g, &y, tx, &w, mean));
    ar_graph_keep(st->g, y);
    AR_TRY(ar_op_reshape(st->g, &shaped, y, p[0], places * p[3]));
    AR_TRY(ar__st_loss(st, &loss, &dy, shaped, y_ref));
    ref_pool(NULL, dx, dy, x, p[0], w.H, w.W, p[3], w.K, w.stride, mean);
    AR_TRY(ar_graph_backward(st->g, loss));
    ar_graph_keep(st->g, ar_tensor_grad(tx));
    AR_TRY(ar__st_run(st));
    AR_TRY(ar__st_compare(st, "pool", y, y_ref));
    return ar__st_compare(st, "pool_grad", ar_tensor_grad(tx), dx);
}
