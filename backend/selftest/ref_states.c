/* See ref_states.h. */
#include "ref_states.h"
#include <math.h>
#include <string.h>

/* Whether element (b, c) is normed together with (image, channel). */
static int together(const ref_norm *n, int b, int c, int image, int channel) {
    if (n->stats == AR_STATS_BATCH) return c == channel;
    if (n->stats == AR_STATS_LAYER) return b == image;
    return 1;
}

static double image_mean(const double *x, int b, const ref_norm *n) {
    double sum = 0;
    for (int i = 0; i < n->P * n->C; i++) sum += x[b * n->P * n->C + i];
    return sum / (n->P * n->C);
}

/* What variances of the norm are counted from. */
static double centre(const double *x, int b, double mean, const ref_norm *n) {
    return n->stats == AR_STATS_SAMPLE ? image_mean(x, b, n) : mean;
}

void ref_spread_stats(double *mean, double *variance, const double *x, int b, int c, const ref_norm *n) {
    double sum = 0, square = 0, count = 0;
    if (n->fixed) {
        const double *s = n->fixed + (n->stats == AR_STATS_BATCH ? 2 * c : 0);
        *mean = s[0];
        *variance = s[1];
        return;
    }
    for (int i = 0; i < n->B * n->P * n->C; i++)
        if (together(n, b, c, i / n->C / n->P, i % n->C)) sum += x[i], count++;
    *mean = sum / count;
    for (int image = 0; image < n->B; image++) {
        double from = centre(x, image, *mean, n);
        for (int k = 0; k < n->P * n->C; k++) {
            double d = x[image * n->P * n->C + k] - from;
            if (together(n, b, c, image, k % n->C)) square += d * d;
        }
    }
    *variance = square / count;
}

void ref_spread_norm(double *y, const double *x, const double *gamma, const double *beta, const ref_norm *n) {
    for (int b = 0; b < n->B; b++)
        for (int c = 0; c < n->C; c++) {
            double mean, variance;
            ref_spread_stats(&mean, &variance, x, b, c, n);
            for (int p = 0; p < n->P; p++) {
                int at = (b * n->P + p) * n->C + c;
                y[at] = gamma[c] * (x[at] - mean) / sqrt(variance + n->eps) + beta[c];
            }
        }
}

/* dx of one element: by the definition, over all outputs that it changes. */
static double element_grad(const double *dy, const double *x, const double *gamma, int b, int p, int c,
                           const ref_norm *n) {
    double mean, variance, sum = 0, along = 0, count = 0;
    int at = (b * n->P + p) * n->C + c;
    ref_spread_stats(&mean, &variance, x, b, c, n);
    double r = 1 / sqrt(variance + n->eps);
    if (n->fixed) return gamma[c] * dy[at] * r;
    for (int i = 0; i < n->B * n->P * n->C; i++)
        if (together(n, b, c, i / n->C / n->P, i % n->C)) {
            double h = gamma[i % n->C] * dy[i];
            sum += h;
            along += h * (x[i] - mean) * r;
            count++;
        }
    return r * (gamma[c] * dy[at] - sum / count - (x[at] - centre(x, b, mean, n)) * r * along / count);
}

void ref_spread_norm_grad(double *dx, double *dgamma, double *dbeta, const double *dy, const double *x,
                          const double *gamma, const ref_norm *n) {
    memset(dgamma, 0, (size_t)n->C * sizeof *dgamma);
    memset(dbeta, 0, (size_t)n->C * sizeof *dbeta);
    for (int b = 0; b < n->B; b++)
        for (int c = 0; c < n->C; c++) {
            double mean, variance;
            ref_spread_stats(&mean, &variance, x, b, c, n);
            for (int p = 0; p < n->P; p++) {
                int at = (b * n->P + p) * n->C + c;
                dgamma[c] += dy[at] * (x[at] - mean) / sqrt(variance + n->eps);
                dbeta[c] += dy[at];
                dx[at] = element_grad(dy, x, gamma, b, p, c, n);
            }
        }
}

static void deviations(double *m, double *d, const double *row, int I) {
    *m = *d = 0;
    for (int i = 0; i < I; i++) *m += row[i] / I;
    for (int i = 0; i < I; i++) *d += (row[i] - *m) * (row[i] - *m) / I;
    *d = sqrt(*d);
}

void ref_state_weight(double *y, double *u, const double *W, int O, int I, const ar_state_weight *s) {
    int32_t low = 0, high = 0;
    if (s->M && ar_state_range(&low, &high, s->M) != AR_OK) return;
    for (int o = 0; o < O; o++) {
        double m = 0, d = 0;
        deviations(&m, &d, W + o * I, I);
        for (int i = o * I; i < (o + 1) * I; i++) {
            u[i] = s->standardize ? (W[i] - m) / (d + 1e-5) : W[i] * (double)s->plain;
            y[i] = (double)s->gain * u[i];
            if (s->M == 2)
                y[i] = y[i] < 0 ? -1 : 1;
            else if (s->M)
                y[i] = fmin(high, fmax(low, rint(y[i])));
        }
    }
}

void ref_state_weight_grad(double *dW, const double *dy, const double *W, int O, int I,
                           const ar_state_weight *s) {
    int32_t low = 0, high = 0;
    double gain = (double)s->gain;
    if (s->M && ar_state_range(&low, &high, s->M) != AR_OK) return;
    for (int o = 0; o < O; o++) {
        double m = 0, d = 0, sum = 0, along = 0;
        deviations(&m, &d, W + o * I, I);
        for (int pass = 0; pass < 2; pass++)
            for (int i = o * I; i < (o + 1) * I; i++) {
                double u = s->standardize ? (W[i] - m) / (d + 1e-5) : W[i] * (double)s->plain;
                double g = gain * dy[i];
                if (s->M && s->inside && (gain * u < low || gain * u > high)) g = 0;
                if (pass == 0) {
                    sum += g;
                    along += g * (W[i] - m);
                } else if (!s->standardize) {
                    dW[i] = g * (double)s->plain;
                } else {
                    dW[i] = (g - sum / I) / (d + 1e-5);
                    if (d > 0) dW[i] -= (W[i] - m) * along / (I * d * (d + 1e-5) * (d + 1e-5));
                }
            }
    }
}
