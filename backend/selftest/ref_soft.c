#include "ref_soft.h"
#include <math.h>
#include <string.h>
#include "ref_fakequant.h"

/* Value of the soft code at place u, and its slope: every code by its own weight. */
static double soft_code(double u, double beta, double Q, double *slope) {
    double sum = 0, mean = 0, pull = 0, p[3], near = fmin(fmax(rint(u), 0), Q);
    double x = near + fmin(fmax(u - near, -0.5), 0.5);
    for (int k = -1; k <= 1; k++) {
        double code = near + k, away = x - code;
        p[k + 1] = code < 0 || code > Q ? 0 : exp(-beta * (away * away - (x - near) * (x - near)));
        sum += p[k + 1];
    }
    for (int k = -1; k <= 1; k++) {
        p[k + 1] /= sum;
        mean += p[k + 1] * (near + k);
        pull += p[k + 1] * 2 * beta * (x - near - k);
    }
    *slope = 0;
    for (int k = -1; k <= 1; k++) *slope += (near + k) * p[k + 1] * (pull - 2 * beta * (x - near - k));
    return mean;
}

static double code_at(double u, double beta, double Q, int hard, double *slope) {
    *slope = 0;
    if (u >= 512) return u - 512;
    if (hard) return fmin(fmax(rint(u), 0), Q);
    return soft_code(u, beta, Q, slope);
}

/* Where weight k of row o has its grid and its factors. */
static int64_t group_at(const ref_soft *s, int64_t o, int64_t k) {
    return o * ((s->I + s->G - 1) / s->G) + k / s->G;
}
static int64_t unit_at(const ref_soft *s, int64_t o, int64_t k) {
    return o * ((s->I + s->G - 1) / s->G / s->per_unit) + k / s->G / s->per_unit;
}

void ref_soft_forward(double *Wq, const ref_soft *s, int hard) {
    for (int64_t o = 0; o < s->O; o++)
        for (int64_t k = 0; k < s->I; k++) {
            const float *grid = s->grid + 2 * group_at(s, o, k);
            const double *ab = s->ab + 4 * unit_at(s, o, k);
            double slope, c = code_at(s->u[o * s->I + k], (double)s->rates[0], s->Q, hard, &slope);
            Wq[o * s->I + k] = ab[0] * (double)grid[0] * c - (s->tied ? ab[0] : ab[1]) * (double)grid[1];
        }
}

static double sign_of(double v) { return v > 0 ? 1 : v < 0 ? -1 : 0; }

static double moved(double u, double momentum, double g, double rate) {
    return u - rate * sign_of(0.9 * momentum + 0.1 * g);
}

static void step_place(ref_soft *s, int64_t i, double g) {
    double to = fmin(fmax(moved(s->u[i], s->momentum[i], g, (double)s->rates[1]), -1), s->Q + 1);
    double code = fmin(fmax(rint(to), 0), s->Q);
    double away = to < 0 || to > s->Q ? 0 : fabs(to - code);
    s->momentum[i] = 0.95 * s->momentum[i] + 0.05 * g;
    if (s->u[i] >= 512) return;
    s->u[i] = 0.5 - away > 0.5 * (double)s->rates[3] ? 512 + code : to;
}

static void step_factor(double *p, double *m, double g, double rate) {
    *p = fmin(fmax(moved(*p, *m, g, rate), 0.25), 4);
    *m = 0.95 * *m + 0.05 * g;
}

void ref_soft_step(ref_soft *s, const float *dWq) {
    int64_t width = s->G * s->per_unit;
    for (int64_t o = 0; o < s->O; o++)
        for (int64_t first = 0; first < s->I; first += width) {
            double da = 0, db = 0, *ab = s->ab + 4 * unit_at(s, o, first);
            for (int64_t k = first; k < first + width && k < s->I; k++) {
                const float *grid = s->grid + 2 * group_at(s, o, k);
                int64_t i = o * s->I + k;
                double slope, c = code_at(s->u[i], (double)s->rates[0], s->Q, 0, &slope), d = (double)dWq[i];
                da += d * ((double)grid[0] * c - (s->tied ? (double)grid[1] : 0));
                db -= d * (double)grid[1];
                step_place(s, i, d * ab[0] * (double)grid[0] * slope);
            }
            step_factor(&ab[0], &ab[2], da, (double)s->rates[2]);
            step_factor(&ab[1], &ab[3], db, (double)s->rates[2]);
        }
}

/* ---- codes between two ---- */

/* The code at place u, and d code / d r, zero where the code is held. */
static double two_code(double u, double Q, int hard, double *slope) {
    double f = floor(u), t = fmin(fmax(u - f, 0.01), 0.99), h = 1.2 * t - 0.1, code = f + h;
    *slope = 0;
    if (u >= 512) return u - 512;
    if (hard) return fmin(fmax(rint(u), 0), Q);
    if (h > 0 && h < 1 && code >= 0 && code <= Q) *slope = 1.2 * t * (1 - t);
    return fmin(fmax(f + fmin(fmax(h, 0), 1), 0), Q);
}

void ref_frozen_forward(double *Wq, const ref_soft *s, int hard) {
    for (int64_t o = 0; o < s->O; o++)
        for (int64_t k = 0; k < s->I; k++) {
            const float *grid = s->grid + 2 * group_at(s, o, k);
            const double *ab = s->ab + 8 * unit_at(s, o, k);
            double slope, c = two_code(s->u[o * s->I + k], s->Q, hard, &slope);
            Wq[o * s->I + k] = ab[0] * (double)grid[0] * c - (s->tied ? ab[0] : ab[1]) * (double)grid[1];
        }
}

/* What Adam moves by, at the step whose rates these are. */
static double adam(double *m, double *v, double g, double rate, double bias) {
    *m = 0.9 * *m + 0.1 * g;
    *v = 0.999 * *v + 0.001 * g * g;
    return rate * *m / (sqrt(bias * *v) + 1e-12);
}

static double logistic(double r) { return 1 / (1 + exp(-r)); }
static double logit(double t) { return log(t / (1 - t)); }

/* a = 2 logistic(v) */
static void step_two_factor(double *a, double *m, double *v, double g, const ref_soft *s) {
    double by = adam(m, v, g * *a * (1 - *a / 2), (double)s->rates[1], (double)s->rates[2]);
    *a = fmin(fmax(2 * logistic(logit(*a / 2) - by), 0.25), 1.75);
}

void ref_frozen_step(ref_soft *s, const float *dWq) {
    int64_t width = s->G * s->per_unit;
    for (int64_t o = 0; o < s->O; o++)
        for (int64_t first = 0; first < s->I; first += width) {
            double da = 0, db = 0, *ab = s->ab + 8 * unit_at(s, o, first);
            for (int64_t k = first; k < first + width && k < s->I; k++) {
                const float *grid = s->grid + 2 * group_at(s, o, k);
                int64_t i = o * s->I + k;
                double slope, c = two_code(s->u[i], s->Q, 0, &slope), d = (double)dWq[i];
                da += d * ((double)grid[0] * c - (s->tied ? (double)grid[1] : 0));
                db -= d * (double)grid[1];
                double f = floor(s->u[i]), t = fmin(fmax(s->u[i] - f, 0.01), 0.99),
                       by = adam(&s->momentum[i], &s->square[i], d * ab[0] * (double)grid[0] * slope,
                                 (double)s->rates[0], (double)s->rates[2]);
                if (s->u[i] < 512) s->u[i] = f + fmin(fmax(logistic(logit(t) - by), 0.01), 0.99);
            }
            step_two_factor(&ab[0], &ab[2], &ab[4], da, s);
            step_two_factor(&ab[1], &ab[3], &ab[5], db, s);
        }
}

void ref_frozen_decide(ref_soft *s, double room) {
    for (int64_t i = 0; i < s->O * s->I; i++)
        if (s->u[i] < 512 && fabs(s->u[i] - floor(s->u[i]) - 0.5) >= room)
            s->u[i] = 512 + fmin(fmax(rint(s->u[i]), 0), s->Q);
}

/* ---- search ---- */

double ref_grid_error(const float *w, const float *h, int64_t n, double S, double M, double Q) {
    double sum = 0;
    for (int64_t k = 0; k < n; k++) {
        double e = S * fmin(fmax(rint(((double)w[k] + M) / S), 0), Q) - M - (double)w[k];
        sum += (h ? (double)h[k] : 1) * e * e;
    }
    return sum;
}

static double at_least(double s) {
    const double floor = 1.001358032e-5;
    return s < 0 ? fmin(s, -floor) : fmax(s, floor);
}

double ref_search(const float *w, const float *h, int64_t n, int kind, double Q, double zero_min) {
    double lo = 0, hi = 0, best = INFINITY, k = (Q + 1) / 2;
    for (int64_t i = 0; i < n; i++) lo = fmin(lo, (double)w[i]), hi = fmax(hi, (double)w[i]);
    for (int i = 0; kind == REF_SYM && i < (Q < 4 ? 181 : 201); i++) {
        double S = -(hi < -lo ? lo : hi) / (Q < 4 ? 2.9 - 0.01 * i : k * (0.25 + 0.0075 * i));
        S = at_least((double)ref_half_round((float)S));
        best = fmin(best, ref_grid_error(w, h, n, S, S * k, Q));
    }
    for (int a = 0; kind != REF_SYM && a < 15; a++)
        for (int b = 0; b < 15; b++) {
            double top = hi * (1 - 0.05 * a), low = lo * (1 - 0.05 * b);
            double S = at_least((double)ref_half_round((float)((top - low) / Q)));
            double M = kind == REF_INT ? S * fmin(fmax(rint(-low / S), zero_min), Q)
                                       : (double)ref_half_round((float)-low);
            best = fmin(best, ref_grid_error(w, h, n, S, M, Q));
        }
    return best;
}
