/* compare_models A B: two quantizations of one model, weight by weight of every linear. Prints how many
 * differ: codes where both files give them back, else values. Exit 0 when both hold the same tensors. */
#include "ar_error.h"
#include "ar_host.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct tally {
    int64_t different, all;
} tally;

static ar_status compare_codes(tally *t, const ar_weights *a, const ar_weights *b, int64_t i, int64_t k) {
    ar_qlinear p = {0}, q = {0};
    ar_status status = AR_OK;
    AR_GO(a->vtable->read_codes(a->impl, &p, i));
    AR_GO(b->vtable->read_codes(b->impl, &q, k));
    if (p.O != q.O || p.I != q.I) AR_GO(ar__fail(AR_ERR_SHAPE, "shapes differ"));
    for (int64_t n = 0; n < p.O * p.I; n++) t->different += p.codes[n] != q.codes[n];
    t->all += p.O * p.I;
done:
    ar_qlinear_deinit(&p);
    ar_qlinear_deinit(&q);
    return status;
}

static ar_status compare_values(tally *t, const ar_weights *a, const ar_weights *b, int64_t i, int64_t k) {
    const ar_weight *w = a->vtable->at(a->impl, i);
    size_t count = (size_t)(w->dims[0] * w->dims[1]);
    float *x = ar__alloc(count, sizeof *x), *y = ar__alloc(count, sizeof *y);
    ar_status status = x && y ? AR_OK : AR_ERR_MEMORY;
    if (status == AR_OK) status = a->vtable->read(a->impl, x, i, 0, w->dims[0]);
    if (status == AR_OK) status = b->vtable->read(b->impl, y, k, 0, w->dims[0]);
    for (size_t n = 0; status == AR_OK && n < count; n++) t->different += x[n] != y[n];
    t->all += (int64_t)count;
    free(x);
    free(y);
    return status;
}

static ar_status compare(tally *t, const ar_open_model *a, const ar_open_model *b) {
    const ar_weights *wa = &a->weights, *wb = &b->weights;
    for (int64_t i = 0; i < wa->vtable->count(wa->impl); i++) {
        const ar_weight *w = wa->vtable->at(wa->impl, i);
        int64_t k = ar_weights_find(wb, w->name);
        if (k < 0) return ar__fail(AR_ERR_FORMAT, "%s: no %s", b->path, w->name);
        if (w->dim_count != 2 || !strstr(w->name, "_proj.weight")) continue;
        const ar_weight *other = wb->vtable->at(wb->impl, k);
        if (w->dims[0] != other->dims[0] || w->dims[1] != other->dims[1])
            return ar__fail(AR_ERR_SHAPE, "%s: shapes differ", w->name);
        bool has_codes = wa->vtable->read_codes && wb->vtable->read_codes;
        ar_status status = has_codes ? compare_codes(t, wa, wb, i, k) : AR_ERR_UNSUPPORTED;
        AR_TRY(status == AR_ERR_UNSUPPORTED ? compare_values(t, wa, wb, i, k) : status); /* or kept float */
    }
    return AR_OK;
}

int main(int argc, char **argv) {
    ar_open_model *a = NULL, *b = NULL;
    tally t = {0};
    if (argc != 3) return 2;
    ar_status status = ar_model_open(&a, argv[1]);
    if (status == AR_OK) status = ar_model_open(&b, argv[2]);
    if (status == AR_OK) status = compare(&t, a, b);
    if (status == AR_OK)
        printf("%lld of %lld differ, share %.3g\n", (long long)t.different, (long long)t.all,
               t.all ? (double)t.different / (double)t.all : 0.0);
    else
        fprintf(stderr, "%s\n", ar_error());
    ar_model_close(a);
    ar_model_close(b);
    return status == AR_OK && t.all > 0 ? 0 : 1;
}
