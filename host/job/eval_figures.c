/* The figures of an evaluation, token by token. Standard errors take tokens as independent and quantiles
 * interpolate between neighbours, both as llama-perplexity does, so that its figures can be compared. */
#include "eval_figures.h"
#include "ar_error.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

ar_status ar__figures_init(ar_eval_figures *f, int64_t tokens, bool has_ref) {
    *f = (ar_eval_figures){0};
    if (has_ref && !(f->kls = ar__alloc((size_t)tokens, sizeof *f->kls))) return AR_ERR_MEMORY;
    return AR_OK;
}

void ar__figures_deinit(ar_eval_figures *f) {
    free(f->kls);
    *f = (ar_eval_figures){0};
}

static void add(ar_moments *m, double x) {
    m->sum += x;
    m->squares += x * x;
}

void ar__figures_add(ar_eval_figures *f, float nll) {
    f->tokens++;
    add(&f->nll, (double)nll);
}

void ar__figures_add_ref(ar_eval_figures *f, int32_t position, float nll, float ref_nll, float kl,
                         bool same) {
    f->kls[f->tokens] = kl;
    ar__figures_add(f, nll);
    add(&f->ref_nll, (double)ref_nll);
    add(&f->gap, (double)nll - (double)ref_nll);
    add(&f->kl, (double)kl);
    f->same += same;
    if (position >= AR_EVAL_FIRST) return;
    f->first_kl[position] += (double)kl;
    f->first_tokens[position]++;
}

/* The standard error of the mean; 0 for a single token. */
static double error_of(const ar_moments *m, int64_t tokens) {
    double n = (double)tokens, mean = m->sum / n, variance = m->squares / n - mean * mean;
    return tokens > 1 && variance > 0 ? sqrt(variance / (n - 1)) : 0.0;
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Between the two sorted values next to share (n - 1). */
static double quantile(const float *sorted, int64_t n, double share) {
    double at = share * (double)(n - 1);
    int64_t i = (int64_t)at, next = i + 1 < n ? i + 1 : i;
    return (double)sorted[i] + (at - (double)i) * ((double)sorted[next] - (double)sorted[i]);
}

static void starts(ar_eval_result *r, const ar_eval_figures *f) {
    double first = 0;
    for (int i = 0; i < AR_EVAL_FIRST; i++) {
        r->first_tokens += f->first_tokens[i];
        first += f->first_kl[i];
        r->kl_at[i] = f->first_tokens[i] ? f->first_kl[i] / (double)f->first_tokens[i] : (double)NAN;
    }
    int64_t later = f->tokens - r->first_tokens;
    r->kl_first = r->first_tokens ? first / (double)r->first_tokens : (double)NAN;
    r->kl_later = later ? (f->kl.sum - first) / (double)later : (double)NAN;
}

void ar__figures_result(ar_eval_result *r, ar_eval_figures *f) {
    double n = (double)f->tokens;
    r->tokens = f->tokens;
    r->nll = f->nll.sum / n;
    r->nll_error = error_of(&f->nll, f->tokens);
    r->ppl = exp(r->nll);
    r->ppl_error = r->ppl * r->nll_error;
    r->has_ref = f->kls != NULL;
    if (!r->has_ref) return;
    r->ref_ppl = exp(f->ref_nll.sum / n);
    r->ref_ppl_error = r->ref_ppl * error_of(&f->ref_nll, f->tokens);
    r->ppl_ratio = exp(f->gap.sum / n);
    r->ppl_ratio_error = r->ppl_ratio * error_of(&f->gap, f->tokens);
    r->kl = f->kl.sum / n;
    r->kl_error = error_of(&f->kl, f->tokens);
    r->top1 = (double)f->same / n;
    r->top1_error = f->tokens > 1 ? sqrt(r->top1 * (1 - r->top1) / (n - 1)) : 0.0;
    qsort(f->kls, (size_t)f->tokens, sizeof *f->kls, by_value);
    r->kl_median = quantile(f->kls, f->tokens, 0.5);
    r->kl_p90 = quantile(f->kls, f->tokens, 0.9);
    r->kl_p99 = quantile(f->kls, f->tokens, 0.99);
    r->kl_p999 = quantile(f->kls, f->tokens, 0.999);
    r->kl_max = (double)f->kls[f->tokens - 1];
    starts(r, f);
}
