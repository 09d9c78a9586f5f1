/* What every method uses: blocks on the device, quantized linears, checks. */
#ifndef AR_QUANT_CORE_H
#define AR_QUANT_CORE_H
#include "ar_error.h"
#include "ar_quant.h"

/* Whether inputs are looked at for a scheme of theirs. */
static inline bool ar__needs_ranges(const ar_acts_scheme *s) {
    return s->bits > 0 && s->range == AR_ACTS_STATIC;
}

/* ---- rtn_linear.c ---- */

/* Codes of V = 0, coefficients 1, from weights already on the device. */
ar_status ar__rtn_block(ar_qlinear *q, const ar_block_weights *weights, const bool *skip, ar_device *device);
/* Whether fp16 holds the scales and minima that the linears with !skip[i] have rounded to nearest under
 * schemes[i], found from their ranges (double-quantized: their start) alone: no codes are made or read.
 * Errors: as ar_qlinear_check_scales, MEMORY, the device's. */
ar_status ar__check_scales(const ar_block_weights *weights, const bool *skip, const ar_scheme *schemes,
                           ar_device *device);
/* Reads codes, scales and zeros of one weight under state st into q. range as ar_op_fake_quant takes it; NULL
 * = made here. */
ar_status ar__read_codes(ar_qlinear *q, ar_device *device, const ar_tensor *W, const ar_tensor *range,
                         const ar_fq_state *st, const ar_fq_desc *fq);

/* ---- scheme.c ---- */

/* grid (O, groups, 2) = S, M of q's W' = S c - M. */
void ar__qlinear_grid(float *grid, const ar_qlinear *q);

/* ---- recompute.c ---- */

/* Computes the first, the last and a row between of q again on the host and compares: within f32's roundings.
 * Arguments as ar__read_codes has them, range never NULL for double-quantized structures. The null device is
 * not asked. Errors: CHECK names the row and column; the device's, MEMORY. */
ar_status ar__recompute(const ar_qlinear *q, ar_device *device, const ar_tensor *W, const ar_tensor *range,
                        const ar_fq_state *st, const ar_fq_desc *fq);

/* ---- block.c ---- */

/* A device tensor full of zeros. */
ar_status ar__zeros(ar_tensor **t, ar_device *device, ar_dtype dtype, int32_t dims, const int64_t *dim);
/* Records sum += part, both f32 and of one shape. */
ar_status ar__record_sum(ar_graph *g, ar_tensor *sum, ar_tensor *part);
/* As ar_block_weights_init, for a block whose linears with !skip[i] are about to be quantized under
 * schemes[i]. Errors: also those of ar_quant_check_weights. */
ar_status ar__block_weights_init_checked(ar_block_weights *w, const ar_block *block, ar_device *device,
                                         const bool *skip, const ar_scheme *schemes);
/* "model.layers.3.self_attn.q_proj.weight", for errors. */
#define AR__WEIGHT_NAME 256
void ar__weight_name(char out[AR__WEIGHT_NAME], const ar_block *block, int32_t i);

/* ---- check.c ---- */

/* Errors: FORMAT if an activation of c, which `what` gave, is NaN or infinite; it names the first. */
ar_status ar__chain_check(const ar_chain *c, const char *what);

/* ---- dense.c: matrices of doubles in host memory, row after row ---- */

/* C (m, n) -= A B, where a_row and a_col are the distances of A's (m, K) rows and columns: C's rows are ldc
 * apart, those of B (K, n) ldb. C overlaps neither. Sums in the order of K, by fours. */
void ar__dense_subtract(double *C, int64_t ldc, const double *A, int64_t a_row, int64_t a_col,
                        const double *B, int64_t ldb, int64_t m, int64_t n, int64_t K);
/* LAPACK as it is installed, OpenBLAS's first; all NULL = none. */
typedef struct ar__lapack {
    void *library;
    void (*potrf)(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t uplo_bytes);
    void (*trtri)(const char *uplo, const char *diag, const int *n, double *a, const int *lda, int *info,
                  size_t uplo_bytes, size_t diag_bytes);
} ar__lapack;
/* Errors: UNSUPPORTED if there is none. */
ar_status ar__lapack_open(ar__lapack *l);
void ar__lapack_close(ar__lapack *l); /* also of zeros */
/* A (n, n), symmetric and positive definite, becomes U, upper triangular with a positive diagonal and zeros
 * below, of which U^T U is A's inverse; by lapack, or our own algebra if that is NULL. Errors: FORMAT, in
 * which `what` is said to be singular; MEMORY. */
ar_status ar__dense_inverse_root(double *A, int64_t n, const ar__lapack *lapack, const char *what);

/* ---- scheme.c, scheme_super.c ---- */

/* Scale, rounded to fp16, and zero point of a plain group whose weights span [lo, hi], lo <= 0 <= hi. */
void ar__group_grid(float *s, float *zp, const ar_scheme *scheme, float lo, float hi);
/* fp16 bits of the scale, and where min is not NULL of the minimum, of a plain group whose weights span
 * range[0] <= 0 <= range[1], nothing tuned. */
void ar__group_scale(uint16_t *scale, uint16_t *min, const ar_scheme *scheme, const float range[2]);

/* Round to nearest in a double-quantized structure, of weights that are checked. Errors: as
 * ar_qlinear_check_scales. */
ar_status ar__qlinear_rtn_super(ar_qlinear *q, const float *W);
#endif
