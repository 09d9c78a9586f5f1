/* The best approximation of a matrix by one of small rank (LoRC, arXiv 2303.08302; docs/methods.md): the
 * leading singular vectors by subspace iteration in double, from fixed random numbers. */
#include "ar_error.h"
#include "core.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SPARE  8   /* directions beyond the wanted ones: they make these settle sooner */
#define PASSES 300 /* at most */

typedef struct space {
    int64_t O, I, m, k; /* E (O, I); wanted, and iterated on */
    const double *E;
    double *right, *left, *gram, *turn, *energy; /* (I, k), (O, k), (k, k), (k, k), (k) */
} space;

/* Columns become orthonormal, each by those before it, twice; one that is nothing but those becomes 0. */
static void orthonormalize(double *x, int64_t n, int64_t k) {
    for (int64_t c = 0; c < k; c++) {
        double before = 0.0, norm = 0.0;
        for (int64_t i = 0; i < n; i++) before += x[i * k + c] * x[i * k + c];
        for (int32_t twice = 0; twice < 2; twice++)
            for (int64_t p = 0; p < c; p++) {
                double dot = 0.0;
                for (int64_t i = 0; i < n; i++) dot += x[i * k + c] * x[i * k + p];
                for (int64_t i = 0; i < n; i++) x[i * k + c] -= dot * x[i * k + p];
            }
        for (int64_t i = 0; i < n; i++) norm += x[i * k + c] * x[i * k + c];
        double scale = norm > before * 1e-24 && norm > DBL_MIN ? 1.0 / sqrt(norm) : 0.0;
        for (int64_t i = 0; i < n; i++) x[i * k + c] *= scale;
    }
}

/* One rotation of Jacobi's that makes gram[p, q] zero; turn gathers them. false = it is zero already. */
static bool rotate(double *gram, double *turn, int64_t k, int64_t p, int64_t q) {
    double off = gram[p * k + q];
    if (fabs(off) <= 1e-17 * sqrt(fabs(gram[p * k + p] * gram[q * k + q]))) return false;
    double theta = (gram[q * k + q] - gram[p * k + p]) / (2.0 * off),
           t = (theta < 0.0 ? -1.0 : 1.0) / (fabs(theta) + sqrt(theta * theta + 1.0)),
           c = 1.0 / sqrt(t * t + 1.0), s = t * c;
    for (int64_t i = 0; i < k; i++) {
        double a = gram[i * k + p], b = gram[i * k + q];
        gram[i * k + p] = c * a - s * b, gram[i * k + q] = s * a + c * b;
    }
    for (int64_t i = 0; i < k; i++) {
        double a = gram[p * k + i], b = gram[q * k + i];
        gram[p * k + i] = c * a - s * b, gram[q * k + i] = s * a + c * b;
        a = turn[i * k + p], b = turn[i * k + q];
        turn[i * k + p] = c * a - s * b, turn[i * k + q] = s * a + c * b;
    }
    return true;
}

/* Columns of x (n, k) by turn, in place. */
static void turn_columns(double *x, const double *turn, double *row, int64_t n, int64_t k) {
    for (int64_t i = 0; i < n; i++) {
        memset(row, 0, (size_t)k * sizeof *row);
        for (int64_t p = 0; p < k; p++)
            for (int64_t q = 0; q < k; q++) row[q] += x[i * k + p] * turn[p * k + q];
        memcpy(x + i * k, row, (size_t)k * sizeof *row);
    }
}

/* left = E right; both turned so that left's columns are orthogonal, the longest first; energy their squares.
 */
static void project(space *s) {
    int64_t k = s->k;
    memset(s->left, 0, (size_t)(s->O * k) * sizeof *s->left);
    ar__dense_subtract(s->left, k, s->E, s->I, 1, s->right, k, s->O, k, s->I);
    memset(s->gram, 0, (size_t)(k * k) * sizeof *s->gram);
    for (int64_t i = 0; i < s->O * k; i++) s->left[i] = -s->left[i];
    for (int64_t i = 0; i < s->O; i++)
        for (int64_t p = 0; p < k; p++)
            for (int64_t q = 0; q < k; q++) s->gram[p * k + q] += s->left[i * k + p] * s->left[i * k + q];
    for (int64_t i = 0; i < k * k; i++) s->turn[i] = i / k == i % k;
    for (int32_t sweep = 0, turned = 1; sweep < 30 && turned; sweep++) {
        turned = 0;
        for (int64_t p = 0; p < k; p++)
            for (int64_t q = p + 1; q < k; q++) turned |= rotate(s->gram, s->turn, k, p, q);
    }
    for (int64_t p = 0; p < k; p++) { /* the largest to the front */
        int64_t best = p;
        for (int64_t q = p + 1; q < k; q++)
            if (s->gram[q * k + q] > s->gram[best * k + best]) best = q;
        double swap = s->gram[p * k + p];
        s->energy[p] = s->gram[best * k + best];
        s->gram[best * k + best] = swap;
        for (int64_t i = 0; i < k; i++) {
            swap = s->turn[i * k + p];
            s->turn[i * k + p] = s->turn[i * k + best], s->turn[i * k + best] = swap;
        }
    }
    turn_columns(s->left, s->turn, s->gram, s->O, k);
    turn_columns(s->right, s->turn, s->gram, s->I, k);
}

/* right = E^T left, orthonormal. */
static void pull_back(space *s) {
    memset(s->right, 0, (size_t)(s->I * s->k) * sizeof *s->right);
    ar__dense_subtract(s->right, s->k, s->E, 1, s->I, s->left, s->k, s->I, s->k, s->O);
    orthonormalize(s->right, s->I, s->k);
}

/* Until the wanted directions hold no more of E than before. */
static void iterate(space *s) {
    double held = -1.0;
    for (int64_t i = 0; i < s->I * s->k; i++) s->right[i] = ar_random_unit(0, 0x10c, (uint64_t)i) - 0.5;
    orthonormalize(s->right, s->I, s->k);
    for (int32_t pass = 0; pass < PASSES; pass++) {
        double sum = 0.0;
        project(s);
        for (int64_t c = 0; c < s->m; c++) sum += s->energy[c];
        if (sum <= held * (1.0 + 1e-6)) return;
        held = sum;
        if (pass + 1 < PASSES) pull_back(s);
    }
}

ar_status ar_low_rank(float *A, float *B, const float *E, int64_t O, int64_t I, int64_t rank) {
    ar_status status = AR_OK;
    int64_t p = O < I ? O : I;
    if (O < 1 || I < 1 || rank < 1)
        return ar__fail(AR_ERR_SHAPE, "low rank: (%lld, %lld) by rank %lld", (long long)O, (long long)I,
                        (long long)rank);
    space s = {.O = O, .I = I, .m = rank < p ? rank : p};
    s.k = s.m + SPARE < p ? s.m + SPARE : p;
    double *wide = ar__alloc((size_t)O, (size_t)I * sizeof *wide);
    s.right = ar__alloc((size_t)I, (size_t)s.k * sizeof *s.right);
    s.left = ar__alloc((size_t)O, (size_t)s.k * sizeof *s.left);
    s.gram = ar__alloc((size_t)s.k, (size_t)s.k * sizeof *s.gram);
    s.turn = ar__alloc((size_t)s.k, (size_t)s.k * sizeof *s.turn);
    s.energy = ar__alloc((size_t)s.k, sizeof *s.energy);
    if (!wide || !s.right || !s.left || !s.gram || !s.turn || !s.energy) AR_GO(AR_ERR_MEMORY);
    for (int64_t i = 0; i < O * I; i++) wide[i] = (double)E[i];
    s.E = wide;
    iterate(&s);
    /* left's columns are U S: the root of S on either side */
    for (int64_t c = 0; c < rank; c++) {
        double root = c < s.m && s.energy[c] > 0.0 ? sqrt(sqrt(s.energy[c])) : 0.0;
        for (int64_t o = 0; o < O; o++)
            A[o * rank + c] = root > 0.0 ? (float)(s.left[o * s.k + c] / root) : 0;
        for (int64_t i = 0; i < I; i++) B[c * I + i] = root > 0.0 ? (float)(s.right[i * s.k + c] * root) : 0;
    }
done:
    free(wide);
    free(s.right);
    free(s.left);
    free(s.gram);
    free(s.turn);
    free(s.energy);
    return status;
}
