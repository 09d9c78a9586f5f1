/* y = x W^T + bias.  dx = dy W, dW = dy^T x, dbias = sum of dy's rows in order. */
#include "op.h"

typedef struct linear {
    ar_tensor *y, *x, *W, *bias;
} linear;

static ar_status weight_gradient(ar_graph *g, ar_tensor *grad, const ar_tensor *dy, const ar_tensor *x) {
    return ar__gemm_gradient(g, grad, (ar__matrix){dy, true}, (ar__matrix){x, false}, dy->dims[1], x->dims[1],
                             x->dims[0], false);
}

static ar_status linear_backward(ar_graph *g, const void *ctx) {
    const linear *op = ctx;
    const ar_tensor *dy = ar_tensor_grad(op->y);
    int64_t N = op->x->dims[0], I = op->x->dims[1], O = op->W->dims[0];
    ar_tensor *grad = NULL;
    bool accumulate = false;
    if (!dy) return AR_OK;
    /* dW first, and what waits for it: x, which often nobody else reads, is gone before dx comes */
    bool is_later = ar__grad_later(op->W, &(ar__product){dy, op->x, weight_gradient});
    if (!is_later) AR_TRY(ar__grad(g, &grad, &accumulate, op->W));
    if (grad)
        AR_TRY(ar__gemm_gradient(g, grad, (ar__matrix){dy, true}, (ar__matrix){op->x, false}, O, I, N,
                                 accumulate));
    if (is_later) AR_TRY(ar__grad_tell(g, op->W));
    AR_TRY(ar__grad(g, &grad, &accumulate, op->x));
    if (grad)
        AR_TRY(ar__gemm_gradient(g, grad, (ar__matrix){dy, false}, (ar__matrix){op->W, false}, N, I, O,
                                 accumulate));
    AR_TRY(ar__grad(g, &grad, &accumulate, op->bias));
    return grad ? ar__emit_sum_rows(g, grad, dy, accumulate) : AR_OK;
}

ar_status ar_op_linear(ar_graph *g, ar_tensor **y, ar_tensor *x, ar_tensor *W, ar_tensor *bias) {
    AR_TRY(ar__expect("linear x", x, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(ar__expect("linear W", W, AR_F32, 2, (int64_t[]){-1, x->dims[1]}));
    int64_t N = x->dims[0], I = x->dims[1], O = W->dims[0];
    if (bias) AR_TRY(ar__expect("linear bias", bias, AR_F32, 1, &O));
    AR_TRY(ar__output(g, y, AR_F32, 2, (int64_t[]){N, O}, x, W, bias));
    AR_TRY(ar__gemm_forward(g, *y, (ar__matrix){x, false}, (ar__matrix){W, true}, N, O, I, bias));
    if (!(*y)->needs_grad) return AR_OK;
    return ar__node(g, linear_backward, &(linear){*y, x, W, bias}, sizeof(linear));
}
