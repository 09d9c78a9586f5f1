/* Cases of the ops that training whole models needs, against ref_train.c and ref_model.c. */
#include "selftest.h"
#include "ref.h"
#include "ref_train.h"

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
    AR_TRY(ar__st_leaf(st, &tW, &W, V, I, 1.0f));
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
