/* Soft codes and searched grids as readable scalar C in double (docs/methods.md). Includes nothing of ours. A
 * weight is (O, I), groups of G run along I, per_unit of them share factors a and b. */
#ifndef REF_SOFT_H
#define REF_SOFT_H
#include <stdint.h>

typedef struct ref_soft {
    int64_t O, I, G;
    int32_t per_unit;
    double Q;
    int tied;
    const float *grid, *rates; /* (O, groups, 2); one row of rates */
    double *u, *momentum, *ab; /* (O, I), (O, I), (O, units, 4): moved by the step */
    double *square;            /* frozen: (O, I), and ab is (O, units, 8) */
} ref_soft;

/* Wq (O, I); hard: nearest codes. */
void ref_soft_forward(double *Wq, const ref_soft *s, int hard);
void ref_soft_step(ref_soft *s, const float *dWq);
/* The same of codes between two (docs/frozen.md), and places of at least room from the middle decided. */
void ref_frozen_forward(double *Wq, const ref_soft *s, int hard);
void ref_frozen_step(ref_soft *s, const float *dWq);
void ref_frozen_decide(ref_soft *s, double room);
/* sum h (S c - M - w)^2 of w (n), c by rounding to nearest. */
double ref_grid_error(const float *w, const float *h, int64_t n, double S, double M, double Q);
/* The smallest of it over the candidates: kind 0 symmetric, 1 integer zero point, 2 fp16 minimum. */
double ref_search(const float *w, const float *h, int64_t n, int kind, double Q, double zero_min);
#endif
