/* See ref_acts.h. */
#include "ref_acts.h"
#include <math.h>

void ref_acts_grid(float grid[2], const float *x, int64_t n, int bits, int asym) {
    float lo = 0, hi = 0, h = (float)(1 << (bits - 1));
    for (int64_t i = 0; i < n; i++) lo = fminf(lo, x[i]), hi = fmaxf(hi, x[i]);
    float span = asym ? hi - lo : fmaxf(-lo, hi);
    grid[0] = span < 0x1p-100f ? 1 : span / (asym ? 2 * h - 1 : h - 0.5f);
    grid[1] = asym ? fminf(fmaxf(rintf(-h - lo / grid[0]), -h), h - 1) : 0;
}

int32_t ref_acts_code(float x, const float grid[2], int bits) {
    float h = (float)(1 << (bits - 1));
    return (int32_t)fminf(fmaxf(rintf(x / grid[0] + grid[1]), -h), h - 1);
}

int ref_acts_inside(float x, const float grid[2], int bits) {
    float h = (float)(1 << (bits - 1)), at = x / grid[0] + grid[1];
    return at >= -h - 0.5f && at <= h - 0.5f;
}

int ref_acts_bin(const float *x, int64_t n, int sign) {
    double most = 0;
    int exponent;
    for (int64_t i = 0; i < n; i++) most = fmax(most, sign * (double)x[i]);
    if (most < 0x1p-126) return (int)(most * 0x1p129);
    double fraction = frexp(most, &exponent); /* in [1/2, 1) */
    return 8 * (exponent - 1 + 127) + (int)(16 * fraction - 8);
}

double ref_int_dot(const int32_t *a, double sa, int32_t za, const uint8_t *w, const double *S,
                   const int32_t *zw, int64_t I, int64_t G) {
    double y = 0;
    for (int64_t from = 0; from < I; from += G) {
        int64_t sum = 0, g = from / G;
        for (int64_t i = from; i < I && i < from + G; i++) sum += (int64_t)(a[i] - za) * (w[i] - zw[g]);
        y += S[g] * (double)sum;
    }
    return sa * y;
}
