/* A few positions of real models, attention sinks above all, carry activations hundreds of times as large as
 * the others', and the plain mean square is little else than theirs. Here is what keeps them from ruling it:
 * weights that fall with their energy, and targets that keep an error which a unit has inherited. */
#include "positions.h"
#include <math.h>
#include <stdlib.h>

/* Where the error at the input is above this many times its median, it is kept. Measured: docs/methods.md. */
#define SHIFT_ABOVE 20.0f

/* 1 for every position that counts: not the last of a sample, nor a trailing run of one token. */
static void mark_counted(float *weight, const ar_samples *s) {
    for (int32_t i = 0; i < s->count; i++) {
        const int32_t *ids = s->ids + (size_t)i * (size_t)s->T;
        int32_t end = s->T - 1;
        while (end > 0 && ids[end - 1] == ids[s->T - 1]) end--;
        for (int32_t p = 0; p < end; p++) weight[(size_t)i * (size_t)s->T + (size_t)p] = 1.0f;
    }
}

/* energy[n] = mean (a[n] - b[n])^2; b NULL = 0. */
static void measure(float *energy, const ar_chain *a, const ar_chain *b) {
    for (int64_t n = 0; n < a->rows; n++) {
        const float *x = a->data + n * a->width, *y = b ? b->data + n * b->width : NULL;
        double sum = 0.0;
        for (int64_t i = 0; i < a->width; i++) {
            double d = y ? (double)x[i] - (double)y[i] : (double)x[i];
            sum += d * d;
        }
        energy[n] = (float)(sum / (double)a->width);
    }
}

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Of those positions that count, the upper one where there are two; sorted is what it works in. */
static float median(float *sorted, const float *energy, const float *weight, int64_t rows) {
    int64_t count = 0;
    for (int64_t n = 0; n < rows; n++)
        if (weight[n] > 0.0f) sorted[count++] = energy[n];
    qsort(sorted, (size_t)count, sizeof *sorted, ascending);
    return count > 0 ? sorted[count / 2] : 0.0f;
}

/* Where half of the positions have no energy at all, none is damped. */
static void damp(float *weight, const float *energy, float m, int64_t rows) {
    for (int64_t n = 0; n < rows; n++)
        if (m > 0.0f && energy[n] > m) weight[n] *= sqrtf(m / energy[n]);
}

static ar_status mark_shifted(ar__positions *p, const float *energy, float m, int64_t rows) {
    p->shifted = ar__alloc((size_t)rows, sizeof *p->shifted);
    if (!p->shifted) return AR_ERR_MEMORY;
    for (int64_t n = 0; n < rows; n++) p->shifted[n] = energy[n] > SHIFT_ABOVE * m;
    return AR_OK;
}

ar_status ar__positions_init(ar__positions *p, const ar__tune_unit *unit, const ar__tune_desc *desc) {
    ar_status status = AR_OK;
    int64_t rows = unit->target->rows;
    float *energy = NULL, *sorted = NULL;
    bool has_error = unit->float_input && unit->float_input != unit->input;
    *p = (ar__positions){.weight = ar__alloc((size_t)rows, sizeof *p->weight)};
    if (!p->weight) return AR_ERR_MEMORY;
    mark_counted(p->weight, unit->samples);
    if (desc->loss == AR_LOSS_PLAIN) return AR_OK;
    energy = ar__alloc((size_t)rows, sizeof *energy);
    sorted = ar__alloc((size_t)rows, sizeof *sorted);
    if (!energy || !sorted) AR_GO(AR_ERR_MEMORY);
    if (desc->loss & AR_LOSS_SHIFT && has_error) {
        measure(energy, unit->input, unit->float_input);
        AR_GO(mark_shifted(p, energy, median(sorted, energy, p->weight, rows), rows));
    }
    if (desc->loss & AR_LOSS_ROOT) {
        measure(energy, unit->target, NULL);
        damp(p->weight, energy, median(sorted, energy, p->weight, rows), rows);
    }
done:
    free(energy);
    free(sorted);
    return status;
}

void ar__positions_deinit(ar__positions *p) {
    free(p->weight);
    free(p->shifted);
    *p = (ar__positions){0};
}
