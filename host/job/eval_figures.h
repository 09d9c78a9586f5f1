/* What an evaluation reports of its tokens: means with their standard errors, quantiles, the start of the
 * windows apart. Definitions: docs/methods.md, "What eval reports". */
#ifndef AR_EVAL_FIGURES_H
#define AR_EVAL_FIGURES_H
#include "ar_host.h"

/* A sum and the sum of squares. */
typedef struct ar_moments {
    double sum, squares;
} ar_moments;

typedef struct ar_eval_figures {
    int64_t tokens, same;
    ar_moments nll, ref_nll, gap, kl; /* gap = nll - ref_nll, token by token */
    double first_kl[AR_EVAL_FIRST];
    int64_t first_tokens[AR_EVAL_FIRST];
    float *kls; /* of every token; NULL without a reference */
} ar_eval_figures;
/* Room for `tokens` tokens, which are added with a reference each or without one each. Errors: MEMORY. */
ar_status ar__figures_init(ar_eval_figures *f, int64_t tokens, bool has_ref);
void ar__figures_deinit(ar_eval_figures *f);
/* One token. */
void ar__figures_add(ar_eval_figures *f, float nll);
/* One token with a reference, predicted at `position` of its window. */
void ar__figures_add_ref(ar_eval_figures *f, int32_t position, float nll, float ref_nll, float kl, bool same);
/* Fills in all of r but `windows`. At least one token was added. */
void ar__figures_result(ar_eval_result *r, ar_eval_figures *f);
#endif
