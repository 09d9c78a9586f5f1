/* See ref_train.h. */
#include "ref_train.h"
#include <math.h>
#include <string.h>

void ref_embed_grad(double *dE, const double *dy, const int32_t *ids, int N, int V, int I) {
    memset(dE, 0, (size_t)V * (size_t)I * sizeof *dE);
    for (int n = 0; n < N; n++)
        for (int i = 0; i < I; i++)
            if (ids[n] >= 0 && ids[n] < V) dE[ids[n] * I + i] += dy[n * I + i];
}

static uint32_t mix(uint32_t x) {
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}

void ref_dropout(double *y, const double *x, double share, uint32_t seed, uint32_t count, int n) {
    uint32_t key = mix(mix(count) + seed);
    for (int i = 0; i < n; i++)
        y[i] = mix(mix((uint32_t)i) ^ key) >= ceil(share * 4294967296.0) ? x[i] / (1 - share) : 0;
}

double ref_norm(const double *d, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += d[i] * d[i];
    return sqrt(sum);
}

double ref_adamw_step(double p, double d, double *mean, double *square, double lr, int t, double b1,
                      double b2, double eps, double decay) {
    *mean = b1 * *mean + (1 - b1) * d;
    *square = b2 * *square + (1 - b2) * d * d;
    p *= 1 - lr * decay;
    return p - lr * (*mean / (1 - pow(b1, t + 1))) / (sqrt(*square / (1 - pow(b2, t + 1))) + eps);
}

double ref_sgd_step(double p, double d, double *mean, double lr, double momentum, double decay) {
    *mean = momentum * *mean + d + decay * p;
    return p - lr * *mean;
}

void ref_im2col(double *y, const double *x, int B, int H, int W, int C, int K, int stride, int pad) {
    int OH = (H + 2 * pad - K) / stride + 1, OW = (W + 2 * pad - K) / stride + 1;
    for (int b = 0; b < B; b++)
        for (int o = 0; o < OH * OW; o++)
            for (int c = 0; c < C; c++)
                for (int k = 0; k < K * K; k++) {
                    int h = o / OW * stride + k / K - pad, w = o % OW * stride + k % K - pad;
                    *y++ = h < 0 || w < 0 || h >= H || w >= W ? 0 : x[((b * H + h) * W + w) * C + c];
                }
}

void ref_im2col_grad(double *dx, const double *dy, int B, int H, int W, int C, int K, int stride, int pad) {
    int OH = (H + 2 * pad - K) / stride + 1, OW = (W + 2 * pad - K) / stride + 1;
    memset(dx, 0, (size_t)(B * H * W * C) * sizeof *dx);
    for (int b = 0; b < B; b++)
        for (int o = 0; o < OH * OW; o++)
            for (int c = 0; c < C; c++)
                for (int k = 0; k < K * K; k++, dy++) {
                    int h = o / OW * stride + k / K - pad, w = o % OW * stride + k % K - pad;
                    if (h >= 0 && w >= 0 && h < H && w < W) dx[((b * H + h) * W + w) * C + c] += *dy;
                }
}

/* The place in x of pixel k of window o of channel c. */
static int place(int b, int o, int k, int c, int H, int W, int C, int K, int stride) {
    int OW = (W - K) / stride + 1;
    return ((b * H + o / OW * stride + k / K) * W + o % OW * stride + k % K) * C + c;
}

void ref_pool(double *y, double *dx, const double *dy, const double *x, int B, int H, int W, int C, int K,
              int stride, int mean) {
    int places = ((H - K) / stride + 1) * ((W - K) / stride + 1);
    if (dx) memset(dx, 0, (size_t)(B * H * W * C) * sizeof *dx);
    for (int at = 0; at < B * places * C; at++) {
        int c = at % C, o = at / C % places, b = at / C / places, best = 0;
        double sum = 0;
        for (int k = 0; k < K * K; k++) {
            sum += x[place(b, o, k, c, H, W, C, K, stride)];
            if (x[place(b, o, k, c, H, W, C, K, stride)] > x[place(b, o, best, c, H, W, C, K, stride)])
                best = k;
        }
        if (y) y[at] = mean ? sum / (K * K) : x[place(b, o, best, c, H, W, C, K, stride)];
        for (int k = 0; dx && k < K * K; k++)
            if (mean || k == best) dx[place(b, o, k, c, H, W, C, K, stride)] += dy[at] / (mean ? K * K : 1);
    }
}
