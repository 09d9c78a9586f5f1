/* Rows of a state against the weights; see recheck.h. */
#include "recheck.h"
#include "ar_error.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_SHARE 0.5 /* of the cosine that rounding to nearest has */
#define MOST_LONGER 4.0

typedef struct row {
    float *w, *got, *near; /* (I): the weights, the state's values, the host's */
} row;

static double product(const float *a, const float *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* The values of row o of q. */
static void take_row(float *dst, const ar_qlinear *q, int64_t o) {
    ar_qlinear one = {.scheme = q->scheme, .O = 1, .I = q->I, .groups = q->groups, .supers = q->supers};
    one.codes = q->codes + o * q->I;
    if (q->scales) one.scales = q->scales + o * q->groups;
    if (q->zeros) one.zeros = q->zeros + o * q->groups;
    if (q->mins) one.mins = q->mins + o * q->groups;
    if (q->d) one.d = q->d + o * q->supers;
    if (q->dmin) one.dmin = q->dmin + o * q->supers;
    if (q->sub_scales) one.sub_scales = q->sub_scales + o * q->groups;
    if (q->sub_mins) one.sub_mins = q->sub_mins + o * q->groups;
    ar_qlinear_dequant(dst, &one);
}

static ar_status round_row(float *dst, const ar_scheme *scheme, const float *w, int64_t I) {
    ar_qlinear near = {0};
    AR_TRY(ar_qlinear_init(&near, scheme, 1, I));
    ar_status status = ar_qlinear_rtn(&near, w);
    if (status == AR_OK) ar_qlinear_dequant(dst, &near);
    ar_qlinear_deinit(&near);
    return status;
}

static bool resembles(const row *r, int64_t I, double *cosine, double *expected) {
    double ww = product(r->w, r->w, I), nn = product(r->near, r->near, I), gg = product(r->got, r->got, I);
    *cosine = *expected = 1.0;
    if (!(ww > 0.0) || !(nn > 0.0)) return true; /* nothing that could be resembled */
    *expected = product(r->near, r->w, I) / sqrt(nn * ww);
    *cosine = gg > 0.0 ? product(r->got, r->w, I) / sqrt(gg * ww) : 0.0;
    double longer = sqrt(gg / nn);
    return *cosine >= LEAST_SHARE * *expected && longer <= MOST_LONGER && longer >= 1.0 / MOST_LONGER;
}

static ar_status check_row(const row *r, const ar_block *block, int32_t i, const ar_qlinear *q, int64_t o) {
    double cosine, expected;
    AR_TRY(block->read_linear(block, r->w, i, o, 1));
    take_row(r->got, q, o);
    AR_TRY(round_row(r->near, &q->scheme, r->w, q->I));
    if (resembles(r, q->I, &cosine, &expected)) return AR_OK;
    return ar__fail(
        AR_ERR_CHECK,
        "%s.%s: row %lld of the codes does not stand for its weights: found a cosine of %.3f, expected "
        "about %.3f and a like length: the device computes wrongly",
        block->name, block->linears[i].name, (long long)o, cosine, expected);
}

static ar_status check_linear(const ar_block *block, int32_t i, const ar_qlinear *q) {
    ar_status status = AR_OK;
    row r = {.w = ar__alloc((size_t)q->I, sizeof *r.w),
             .got = ar__alloc((size_t)q->I, sizeof *r.got),
             .near = ar__alloc((size_t)q->I, sizeof *r.near)};
    const int64_t rows[] = {q->O / 3, q->O - 1};
    if (!r.w || !r.got || !r.near) AR_GO(AR_ERR_MEMORY);
    for (int32_t k = 0; k < 2 && q->O > 0; k++) AR_GO(check_row(&r, block, i, q, rows[k]));
done:
    free(r.w);
    free(r.got);
    free(r.near);
    return status;
}

/* Are its values all there is of it? */
static bool is_whole(const ar_qlinear *q) {
    for (int32_t k = 0; k < q->extra_count; k++)
        if (strcmp(q->extras[k].name, AR_ACTS_EXTRA) != 0 && strcmp(q->extras[k].name, AR_SCALE_EXTRA) != 0)
            return false;
    return true;
}

ar_status ar__recheck_rows(const ar_write_source *src) {
    const ar_model *m = &src->model->model;
    for (int32_t b = 0; b < m->block_count; b++)
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++) {
            ar_qlinear *q = NULL;
            AR_TRY(src->linear(src->ctx, &q, b, i));
            ar_status status = q && is_whole(q) ? check_linear(&m->blocks[b], i, q) : AR_OK;
            ar_qlinear_free(q);
            AR_TRY(status);
        }
    return AR_OK;
}
