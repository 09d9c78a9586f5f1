/* Bits where they count (docs/methods.md, allotting bits): what each linear costs in KL divergence at each of
 * some widths, and the choice of least cost within a budget. */
#ifndef AR_ALLOT_H
#define AR_ALLOT_H
#include "ar_host.h"

#define AR_ALLOT_MAX   8 /* widths to choose from */
#define AR_ALLOT_TYPES "q2_k,q3_k,q4_k,q5_k,q6_k"

/* ---- allot_solve.c ---- */

/* count items, each of `choices` choices, by rows: bytes and cost (count, choices), bytes of a row ascending.
 * picked (count) = the choices of least total cost whose bytes sum to at most `budget`; where what is above
 * each item's least bytes has no common divisor of a share of (budget - least sum) / 16384, costs are found
 * to such a grain. Errors: USAGE where not even the least sum fits; MEMORY. */
ar_status ar__allot_solve(int32_t *picked, const uint64_t *bytes, const double *cost, int32_t count,
                          int32_t choices, uint64_t budget);

/* ---- allot_measure.c ---- */

/* A width as the plan's formats store it: a GGUF type, or bits. */
typedef struct ar__width {
    char label[16];
    ar_qtype type; /* AR_QT_COUNT: bits of the plan's scheme */
    int32_t bits;
    double per_weight; /* bits, with scales, where the width's blocks fit */
} ar__width;
/* What linear lin is stored as. false: not at this width. */
bool ar__width_scheme(ar_scheme *scheme, uint64_t *bytes, const ar__width *w, const ar_output_plan *plan,
                      const ar_linear *lin);

/* Linears that have one width together: one in a GGUF file; those of one input in a folder, whose loaders
 * fuse them. */
typedef struct ar__allot_unit {
    int32_t block, count, linears[AR_MAX_LINEARS];
    int64_t weights;
} ar__allot_unit;

/* cost (units, widths), of linears rounded on a searched grid. By KL: KL divergence to the float model, in
 * nats a token, with this unit alone rounded, measured at the first width; at the others by the weights'
 * squared error, to which KL is proportional where it is small. By gradient: ar__allot_gradient at every
 * width. Blocks are on the device one at a time. Errors: those of the method search; INTERRUPTED. */
ar_status ar__allot_measure(double *cost, const ar__allot_unit *units, int32_t unit_count,
                            const ar__width *widths, int32_t width_count, const ar_open_model *m,
                            const ar_output_plan *plan, ar_device *device, const ar_samples *samples,
                            bool by_gradient, const ar_observer *observer);

/* ---- allot_gradient.c ---- */

/* cost[u choices] of every unit: sum over its weights of |dL/dW (W - W')|, the first-order change of the loss
 * taken weight by weight, where L is the mean -ln p of the next token and the gradient is that of the model
 * with all codes in place (SignRoundV2's DeltaLoss, arXiv 2512.04746). codes (blocks, AR_MAX_LINEARS); NULL =
 * that linear is float. Errors: the device's; FORMAT where it is not finite; INTERRUPTED, MEMORY. */
ar_status ar__allot_gradient(double *cost, int32_t choices, const ar__allot_unit *units, int32_t unit_count,
                             ar_qlinear *const *codes, const ar_model *m, ar_device *device,
                             const ar_samples *samples, const ar_observer *observer);

/* ---- allot.c ---- */

typedef struct ar__allot_request {
    const char *widths;          /* "q2_k,q3_k" or "2,3,4"; NULL = all that the formats have */
    double bpw;                  /* bits per weight of the linears, with scales; 0 = bytes says it */
    uint64_t bytes;              /* of the file or folder */
    const ar_passport *passport; /* that is in it; NULL = none */
    bool by_gradient;            /* costs by ar__allot_gradient, else by KL divergence */
} ar__allot_request;

typedef struct ar__allotment {
    ar_scheme *schemes;     /* as ar_output_plan's */
    ar_tensor_types *types; /* of GGUF; NULL = none */
    ar__width widths[AR_ALLOT_MAX];
    int32_t width_count, linears[AR_ALLOT_MAX]; /* how many linears have each */
    double bpw, kl;                             /* reached, of linears that are quantized; sum of the costs */
} ar__allotment;
/* Reads request->widths for a plan of one format, and the base plan's type for GGUF. Errors: USAGE. */
ar_status ar__allot_widths(ar__allotment *a, const char *widths, const ar_output_plan *plan);
/* Fills the rest of a, to which plan then points. samples: calibration, of which some hundred tokens are
 * used. ar__allotment_deinit is due even after a failure. Errors: USAGE names the least budget; those of
 * measuring. */
ar_status ar__allot(ar__allotment *a, ar_output_plan *plan, const ar__allot_request *request,
                    const ar_open_model *m, ar_device *device, const ar_samples *samples,
                    const ar_observer *observer);
/* Of every linear's scheme, for the state. */
uint64_t ar__allotment_hash(const ar__allotment *a, const ar_model *m);
/* "12 x q2_k, 9 x q3_k; 2.871 bits per weight". */
void ar__allotment_text(char *text, size_t bytes, const ar__allotment *a);
void ar__allotment_deinit(ar__allotment *a);

/* Linears with the same number, but 0, are fused by folders' loaders, as they have one input. */
int32_t ar__allot_fused(const ar_linear *lin);

/* ---- allot_by_hand.c ---- */

/* Fills a, to which plan then points, by rules of bits (ar_tensor_types_add); linears that no rule names keep
 * what the plan says. ar__allotment_deinit is due even after a failure. Errors: USAGE for a rule that names
 * no linear, bits that a format does not store, and fused linears of several widths where loaders see them.
 */
ar_status ar__allot_by_hand(ar__allotment *a, ar_output_plan *plan, const ar_tensor_types *types,
                            const ar_open_model *m);

/* ---- eval.c ---- */

/* kl (count) = mean KL divergence of the model's outputs from the hidden states chains[i] to that from ref,
 * all (rows, hidden) behind the last block. Errors: the device's, MEMORY. */
ar_status ar__chains_kl(double *kl, const ar_model *m, ar_device *device, const ar_chain *chains,
                        int32_t count, const ar_chain *ref);
#endif
