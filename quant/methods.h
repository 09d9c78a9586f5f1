/* Shared inside quant/. */
#ifndef AR_QUANT_METHODS_H
#define AR_QUANT_METHODS_H
#include "ar_quant.h"
#include "ar_error.h"

#define AR_METHOD(name) extern const ar_method ar__method_##name;
#include "methods.def"
#undef AR_METHOD

/* ---- tune.c: the tuning engine; methods configure it ---- */

/* One unit of tuning: a block, its two inputs and its float target. */
typedef struct ar__tune_unit {
    const ar_block *block;
    ar_block_weights *weights;     /* float weights on the device */
    const ar_chain *input;         /* what the tuned block sees: the quantized chain, or the float one */
    const ar_chain *target;        /* block(float chain) */
    const ar_samples *samples;     /* for the mask */
    const bool *skip;              /* per linear: stays float */
    const ar_scheme *schemes;      /* per linear */
    ar_tensor *const *importance;  /* per linear: of its inputs, for double-quantized schemes; NULL = 1 */
} ar__tune_unit;

/* SignRound on one unit: tunes V and the min/max coefficients, returns the kept state's codes in q[i] (an
 * initialised ar_qlinear where !skip[i]). report->history is filled into history (iters). Errors: any. */
ar_status ar__tune_block(ar_qlinear *q, ar_block_report *report, float *history, const ar__tune_unit *unit,
                         ar_device *device, const ar_quant_desc *desc, const ar_observer *observer);
/* The units of one linear's offsets and coefficients under desc->lr and minmax_lr, or what stands for them. */
ar_fq_desc ar__linear_units(const ar_quant_desc *desc, const ar_scheme *scheme);
/* Codes of V = 0, coefficients 1, from weights already on the device. */
ar_status ar__rtn_block(ar_qlinear *q, const ar_block_weights *weights, const bool *skip, ar_device *device);
/* Reads codes, scales and zeros of one weight under state st into q. range as ar_op_fake_quant takes it; NULL =
 * made here. */
ar_status ar__read_codes(ar_qlinear *q, ar_device *device, const ar_tensor *W, const ar_tensor *range, const ar_fq_state *st,
                         const ar_fq_desc *fq);

/* ---- block.c ---- */

/* A device tensor full of zeros. */
ar_status ar__zeros(ar_tensor **t, ar_device *device, ar_dtype dtype, int32_t dims, const int64_t *dim);
/* As ar_block_weights_init, for a block whose linears with !skip[i] are about to be quantized under schemes[i].
 * Errors: also those of ar_quant_check_weights. */
ar_status ar__block_weights_init_checked(ar_block_weights *w, const ar_block *block, ar_device *device, const bool *skip,
                                         const ar_scheme *schemes);
/* "model.layers.3.self_attn.q_proj.weight", for errors. */
#define AR__WEIGHT_NAME 256
void ar__weight_name(char out[AR__WEIGHT_NAME], const ar_block *block, int32_t i);

/* ---- check.c ---- */

/* Errors: FORMAT if an activation of c, which `what` gave, is NaN or infinite; it names the first. */
ar_status ar__chain_check(const ar_chain *c, const char *what);

/* ---- scheme_super.c ---- */

/* Round to nearest in a double-quantized structure, of weights that are checked. Errors: as ar_qlinear_check_scales. */
ar_status ar__qlinear_rtn_super(ar_qlinear *q, const float *W);

/* ---- importance.c: how much each input of a linear counts ---- */

/* list[i] (I_i): the mean square of linear i's inputs, divided by its mean over i and at least 2^-20; NULL where not
 * wanted. Run the block forward through `hook` over the data (a last, incomplete batch counts its old rows again),
 * then finish. */
typedef struct ar__importance {
    ar_tensor *list[AR_MAX_LINEARS];
    const ar_block_weights *weights;
    ar_hook hook;
} ar__importance;
/* On failure deinit is due all the same. */
ar_status ar__importance_init(ar__importance *m, ar_device *device, const ar_block_weights *weights, const bool *wanted);
ar_status ar__importance_finish(ar__importance *m);
void ar__importance_deinit(ar__importance *m);

/* ---- sampler.c: which samples each step sees ---- */

/* order (iters, batch): indices below count, shuffled anew for every pass over the samples (the last incomplete
 * slice of a pass is not used), keyed by (seed, block). */
ar_status ar__sample_order(int32_t *order, int32_t iters, int32_t batch, int32_t count, uint64_t seed, int32_t block);

/* ---- driver.c of all block-by-block methods ---- */

typedef ar_status (*ar__block_method)(ar_qlinear *q, ar_block_report *report, float *history, const ar__tune_unit *unit,
                                      ar_device *device, const ar_quant_desc *desc, const ar_observer *observer);
/* Walks the blocks: float chain, quantized chain, tune (method NULL = rtn), deliver to sink. */
ar_status ar__walk_blocks(const ar_model *model, ar_device *device, const ar_samples *samples, const ar_quant_desc *desc,
                          const ar_sink *sink, const ar_observer *observer, ar__block_method method);
#endif
