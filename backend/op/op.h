/* Shared by the op files. */
#ifndef AR_OP_H
#define AR_OP_H
#include "internal.h"

/* Refuses t unless it is a dtype tensor of shape (rows, cols), or (rows) when cols is 0; -1 = any. */
ar_status ar__op_check(const char *op, const char *name, const ar_tensor *t, ar_dtype dtype, int64_t rows,
                       int64_t cols);

/* Whether the plan wants few items per group that each do much: a CPU. Asked of the plan, not of the facts,
 * so that tests can force either way. */
bool ar__wants_few_items(const ar_device *device);

/* Items per group of kernels that give a group to every row and combine in a tree: a power of two. Few on
 * CPUs, where a barrier costs more than it gains. */
uint32_t ar__row_group(const ar_device *device);

/* gemm_pack.c: panels of `tile` rows of t (rows, depth), as pack_k has them; the same tensor for the same t.
 */
ar_status ar__pack_rows(ar_graph *g, ar_tensor **packed, const ar_tensor *t, uint32_t tile);
/* gemm.c: C (N, O) = x (N, I) W'^T through decoded panels of bounded size. */
ar_status ar__gemm_resident(ar_graph *g, ar_tensor *C, const ar_tensor *x, const ar_resident_weight *w);

/* sum_rows.c: s (I) is the sum of X's rows (N, I), or grows by it; N may be 0. */
ar_status ar__emit_sum_rows(ar_graph *g, ar_tensor *s, const ar_tensor *X, bool accumulate);

/* add_row.c: y (N, O) += bias (O) in every row. */
ar_status ar__emit_add_row(ar_graph *g, const ar_tensor *y, const ar_tensor *bias);

/* op_image.c: ARG, SHAPE where windows do not lie in images of x (images H W, C), op naming who asks. */
ar_status ar__window2d_check(const char *op, int64_t *images, const ar_tensor *x, const ar_window2d *w);

/* op_cached.c: the kernel that ar_op_attention_cached takes for that many new tokens of a sequence. */
ar__kernel_id ar__cached_kernel(const ar_device *device, int64_t queries);

/* op_acts.c: ranges (N, 2) of the rows of x (N, I). */
ar_status ar__acts_row_ranges(ar_graph *g, ar_tensor **ranges, const ar_tensor *x);

/* op.c: whether cap can cap: 0 = none, else positive and finite. Errors: ARG, with op's name. */
ar_status ar__expect_cap(const char *op, float cap);

/* op.c: log2 n for a power of two, else 32: how ar_divu in shaders/num.h is told. */
uint32_t ar__shift_of(uint32_t n);

/* norm.c: what the backward of a norm of N rows of I needs: b may be NULL; stat is what its forward keeps. */
typedef struct ar__norm_ctx {
    ar_tensor *x, *w, *b, *y, *stat;
    int64_t N, I;
} ar__norm_ctx;
typedef struct ar__norm_kernels {
    ar__kernel_id dx, dw;
    double dx_flops, dw_flops; /* per element */
} ar__norm_kernels;
/* dx, dw and db, where they are wanted. */
ar_status ar__norm_backward(ar_graph *g, const ar__norm_ctx *c, const ar__norm_kernels *k);

/* ---- op_linear_bytes.c ---- */

/* ar_op_acts_bytes and ar_op_linear_bytes of one row x (1, I) of floats in one launch, for processors: every
 * group makes the bytes itself. The bits of both where ar__row_group is 8. fuse may have a norm. W takes it
 * if it takes bytes and its rows are short enough for a group to hold them. Errors: SHAPE, DTYPE. No
 * gradients.
 */
bool ar__takes_bytes_of_one(const ar_resident_weight *W);
ar_status ar__op_linear_bytes_one(ar_graph *g, ar_tensor **y, const ar_tensor *x, const ar_resident_weight *W,
                                  const ar_resident_weight_fuse *fuse);
#endif
