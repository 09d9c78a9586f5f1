/* The Gram matrix of a matrix's columns, one product with itself. */
#include "op.h"

ar_status ar_op_gram(ar_graph *g, ar_tensor *H, const ar_tensor *x) {
    AR_TRY(ar__op_check("gram", "x", x, AR_F32, -1, -1));
    int64_t N = x->dims[0], I = x->dims[1];
    AR_TRY(ar__op_check("gram", "H", H, AR_F32, I, I));
    return ar__gemm(g, H, (ar__matrix){x, true}, (ar__matrix){x, false}, I, I, N, true);
}
