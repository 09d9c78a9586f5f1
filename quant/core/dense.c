/* Dense algebra in double on the host: the triangular root of an inverse (docs/methods.md, gptq), by our own
 * blocked loops or by LAPACK where it is installed. Inner loops run along rows, so that compilers vectorize
 * them without changing the order of any sum. */
#include "ar_error.h"
#include "core.h"
#include "parallel.h"
#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TILE 64
#define WIDE 256 /* columns, and */
#define DEEP 128 /* rows of B that stay in a cache */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* c (n) -= a B, B (K, n). */
static void subtract_row(double *restrict c, const double *restrict a, int64_t a_col,
                         const double *restrict B, int64_t ldb, int64_t n, int64_t K) {
    int64_t k = 0;
    for (; k + 4 <= K; k += 4) {
        const double *b = B + k * ldb, a0 = a[k * a_col], a1 = a[(k + 1) * a_col], a2 = a[(k + 2) * a_col],
                     a3 = a[(k + 3) * a_col];
        for (int64_t j = 0; j < n; j++)
            c[j] -= (a0 * b[j] + a1 * b[ldb + j]) + (a2 * b[2 * ldb + j] + a3 * b[3 * ldb + j]);
    }
    for (; k < K; k++) {
        const double *b = B + k * ldb, a0 = a[k * a_col];
        for (int64_t j = 0; j < n; j++) c[j] -= a0 * b[j];
    }
}

void ar__dense_subtract(double *C, int64_t ldc, const double *A, int64_t a_row, int64_t a_col,
                        const double *B, int64_t ldb, int64_t m, int64_t n, int64_t K) {
    for (int64_t j = 0; j < n; j += WIDE)
        for (int64_t k = 0; k < K; k += DEEP)
            for (int64_t i = 0; i < m; i++)
                subtract_row(C + i * ldc + j, A + i * a_row + k * a_col, a_col, B + k * ldb + j, ldb,
                             least(WIDE, n - j), least(DEEP, K - k));
}

/* ---- our own ---- */

/* What a block of rows [b0, b1) changes in the others, tile by tile: no two tiles touch the same element, and
 * each sums in its own order, whoever does it. */
typedef struct panel {
    double *A, *saved; /* (n, n); (TILE, n) */
    int64_t n, b0, b1;
} panel;

static void factor_rest(void *ctx, int64_t tile) {
    const panel *p = ctx;
    int64_t n = p->n, r = p->b1 + tile * TILE;
    ar__dense_subtract(p->A + r * n + r, n, p->A + p->b0 * n + r, 1, n, p->A + p->b0 * n + r, n,
                       least(TILE, n - r), n - r, p->b1 - p->b0);
}

/* A = R^T R, R in the upper triangle; the lower is left alone. -1, or the first row whose pivot is not
 * positive. */
static int64_t factor(double *A, int64_t n) {
    for (int64_t b0 = 0, b1; b0 < n; b0 = b1) {
        b1 = least(b0 + TILE, n);
        for (int64_t i = b0; i < b1; i++) {
            double *row = A + i * n, pivot;
            ar__dense_subtract(row + i, n, A + b0 * n + i, 0, n, A + b0 * n + i, n, 1, n - i, i - b0);
            pivot = row[i];
            if (!(pivot > 0.0) || !isfinite(pivot)) return i;
            pivot = sqrt(pivot);
            for (int64_t j = i; j < n; j++) row[j] /= pivot;
        }
        ar__parallel((n - b1 + TILE - 1) / TILE, factor_rest, &(panel){A, NULL, n, b0, b1});
    }
    return -1;
}

/* The columns behind a block; no row below theirs reaches them. */
static void invert_rest(void *ctx, int64_t tile) {
    const panel *p = ctx;
    int64_t n = p->n, j = p->b1 + tile * WIDE;
    ar__dense_subtract(p->A + p->b0 * n + j, n, p->saved + p->b1, n, 1, p->A + p->b1 * n + j, n,
                       p->b1 - p->b0, least(WIDE, n - j), least(j + WIDE, n) - p->b1);
}

/* R becomes its inverse: upper triangular, zeros below. saved (TILE, n). */
static void invert(double *R, double *saved, int64_t n) {
    for (int64_t b0 = (n - 1) / TILE * TILE; b0 >= 0; b0 -= TILE) {
        int64_t b1 = least(b0 + TILE, n);
        for (int64_t i = b0; i < b1; i++) {
            memcpy(saved + (i - b0) * n, R + i * n, (size_t)n * sizeof *R);
            memset(R + i * n + i, 0, (size_t)(n - i) * sizeof *R);
        }
        ar__parallel((n - b1 + WIDE - 1) / WIDE, invert_rest, &(panel){R, saved, n, b0, b1});
        for (int64_t i = b1 - 1; i >= b0; i--) {
            const double *old = saved + (i - b0) * n;
            double *row = R + i * n;
            row[i] = 1.0;
            ar__dense_subtract(row + i + 1, n, old + i + 1, 0, 1, R + (i + 1) * n + i + 1, n, 1, n - i - 1,
                               b1 - i - 1);
            for (int64_t j = i; j < n; j++) row[j] /= old[i];
        }
    }
}

/* ---- LAPACK ---- */

ar_status ar__lapack_open(ar__lapack *l) {
    static const char *const names[] = {"libopenblas.so.0", "liblapack.so.3"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        *l = (ar__lapack){.library = dlopen(names[k], RTLD_NOW | RTLD_LOCAL)};
        if (!l->library) continue;
        *(void **)&l->potrf = dlsym(l->library, "dpotrf_");
        *(void **)&l->trtri = dlsym(l->library, "dtrtri_");
        if (l->potrf && l->trtri) return AR_OK;
        ar__lapack_close(l);
    }
    return ar__fail(AR_ERR_UNSUPPORTED, "found no LAPACK, expected libopenblas.so.0 or liblapack.so.3");
}

void ar__lapack_close(ar__lapack *l) {
    if (l->library) dlclose(l->library);
    *l = (ar__lapack){0};
}

/* As factor and invert; LAPACK's lower triangles, column after column, are ours. */
static int64_t by_lapack(double *A, int64_t n, const ar__lapack *l) {
    int order = (int)n, info;
    l->potrf("L", &order, A, &order, &info, 1);
    if (info != 0) return info > 0 ? info - 1 : 0;
    l->trtri("L", "N", &order, A, &order, &info, 1, 1);
    return info == 0 ? -1 : info > 0 ? info - 1 : 0;
}

/* ---- the root ---- */

/* With J, which turns the order of rows around, J A J = R^T R makes A = (J R^T J) (J R J), an upper and a
 * lower triangle; so A's inverse is U^T U with U = J R^-T J: the inverse of R, mirrored at the other
 * diagonal. One root and one triangular inverse instead of the inverse and its root. */
ar_status ar__dense_inverse_root(double *A, int64_t n, const ar__lapack *lapack, const char *what) {
    ar_status status = AR_OK;
    int64_t bad;
    double *saved = NULL;
    if (n < 1) return AR_OK;
    if (lapack && n > INT32_MAX) return ar__fail(AR_ERR_SHAPE, "%s: %lld columns", what, (long long)n);
    if (!lapack && !(saved = ar__alloc((size_t)n, TILE * sizeof *saved))) return AR_ERR_MEMORY;
    for (int64_t i = 0, j = n * n - 1; i < j; i++, j--) {
        double swap = A[i];
        A[i] = A[j], A[j] = swap;
    }
    bad = lapack ? by_lapack(A, n, lapack) : factor(A, n);
    if (bad >= 0)
        AR_GO(ar__fail(AR_ERR_FORMAT,
                       "%s: found its inputs' Gram matrix singular at input %lld, expected more damping",
                       what, (long long)(n - 1 - bad)));
    for (int64_t i = 1; i < n; i++) memset(A + i * n, 0, (size_t)i * sizeof *A);
    if (!lapack) invert(A, saved, n);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i; j < n - 1 - i; j++) {
            double *a = A + i * n + j, *b = A + (n - 1 - j) * n + n - 1 - i, swap = *a;
            *a = *b, *b = swap;
        }
done:
    free(saved);
    return status;
}
