/* References of the model ops: loops as in the papers, sums in double. */
#include "ref.h"
#include <math.h>
#include <stddef.h>

void ref_rms_norm(double *y, const double *x, const double *w, int N, int I, double eps) {
    for (int n = 0; n < N; n++) {
        double sum = 0;
        for (int i = 0; i < I; i++) sum += x[n * I + i] * x[n * I + i];
        double r = 1 / sqrt(sum / I + eps);
        for (int i = 0; i < I; i++) y[n * I + i] = x[n * I + i] * r * w[i];
    }
}

void ref_rms_norm_grad(double *dx, double *dw, const double *dy, const double *x, const double *w, int N,
                       int I, double eps) {
    for (int i = 0; i < I; i++) dw[i] = 0;
    for (int n = 0; n < N; n++) {
        double square = 0, dot = 0;
        for (int i = 0; i < I; i++) {
            square += x[n * I + i] * x[n * I + i];
            dot += dy[n * I + i] * w[i] * x[n * I + i];
        }
        double r = 1 / sqrt(square / I + eps);
        for (int i = 0; i < I; i++) {
            dx[n * I + i] = r * w[i] * dy[n * I + i] - x[n * I + i] * r * r * r / I * dot;
            dw[i] += dy[n * I + i] * x[n * I + i] * r;
        }
    }
}

void ref_layer_norm(double *y, const double *x, const double *w, const double *b, int N, int I, double eps) {
    for (int n = 0; n < N; n++) {
        const double *row = &x[n * I];
        double mean = 0, var = 0;
        for (int i = 0; i < I; i++) mean += row[i] / I;
        for (int i = 0; i < I; i++) var += (row[i] - mean) * (row[i] - mean) / I;
        for (int i = 0; i < I; i++) y[n * I + i] = (row[i] - mean) / sqrt(var + eps) * w[i] + (b ? b[i] : 0);
    }
}

void ref_layer_norm_grad(double *dx, double *dw, double *db, const double *dy, const double *x,
                         const double *w, int N, int I, double eps) {
    for (int i = 0; i < I; i++) dw[i] = db[i] = 0;
    for (int n = 0; n < N; n++) {
        const double *row = &x[n * I], *d = &dy[n * I];
        double mean = 0, var = 0, sum = 0, along = 0;
        for (int i = 0; i < I; i++) mean += row[i] / I;
        for (int i = 0; i < I; i++) var += (row[i] - mean) * (row[i] - mean) / I;
        double r = 1 / sqrt(var + eps);
        for (int i = 0; i < I; i++) {
            sum += d[i] * w[i] / I;
            along += d[i] * w[i] * (row[i] - mean) * r / I;
            dw[i] += d[i] * (row[i] - mean) * r;
            db[i] += d[i];
        }
        for (int i = 0; i < I; i++) dx[n * I + i] = r * (d[i] * w[i] - sum - (row[i] - mean) * r * along);
    }
}

#define PI 3.14159265358979323846

void ref_act(double *y, const double *x, int kind, int n) {
    for (int i = 0; i < n; i++) {
        double u = sqrt(2 / PI) * (x[i] + 0.044715 * x[i] * x[i] * x[i]);
        if (kind == 0) y[i] = x[i] > 0 ? x[i] : 0;
        if (kind == 1) y[i] = x[i] * (1 + erf(x[i] / sqrt(2))) / 2;
        if (kind == 2) y[i] = x[i] * (1 + tanh(u)) / 2;
        if (kind == 3) y[i] = x[i] / (1 + exp(-x[i]));
    }
}

void ref_act_grad(double *dx, const double *dy, const double *x, int kind, int n) {
    for (int i = 0; i < n; i++) {
        double u = sqrt(2 / PI) * (x[i] + 0.044715 * x[i] * x[i] * x[i]), t = tanh(u), d = x[i] > 0;
        if (kind == 1) d = (1 + erf(x[i] / sqrt(2))) / 2 + x[i] * exp(-x[i] * x[i] / 2) / sqrt(2 * PI);
        if (kind == 2)
            d = (1 + t) / 2 + x[i] / 2 * (1 - t * t) * sqrt(2 / PI) * (1 + 3 * 0.044715 * x[i] * x[i]);
        if (kind == 3) d = (1 + x[i] * exp(-x[i]) / (1 + exp(-x[i]))) / (1 + exp(-x[i]));
        dx[i] = dy[i] * d;
    }
}

void ref_rope(double *y, const double *x, const float *freq, int N, int heads, int T, int D, int pairs,
              int pos0, int sign) {
    for (int n = 0; n < N; n++)
        for (int h = 0; h < heads; h++) {
            const double *a = &x[(n * heads + h) * D];
            double *to = &y[(n * heads + h) * D];
            for (int i = 2 * pairs; i < D; i++) to[i] = a[i];
            for (int i = 0; i < pairs; i++) {
                float angle = (float)(pos0 + n % T) * freq[i];
                double c = cos((double)angle), s = sign * sin((double)angle);
                to[i] = a[i] * c - a[i + pairs] * s;
                to[i + pairs] = a[i + pairs] * c + a[i] * s;
            }
        }
}

static double dot(const double *a, const double *b, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* The log of the softmax's sum for query row (b, t, h), whose keys are rows (b, first..t, h / (H / K)). */
static double score(const double *q, const double *k, int D, double cap) {
    double s = dot(q, k, D) / sqrt(D);
    return cap > 0 ? cap * tanh(s / cap) : s;
}

static double log_sum(const double *q, const double *k, int first, int t, int K, int D, double cap) {
    double top = -INFINITY, sum = 0;
    for (int j = first; j <= t; j++) top = fmax(top, score(q, &k[(ptrdiff_t)j * K * D], D, cap));
    for (int j = first; j <= t; j++) sum += exp(score(q, &k[(ptrdiff_t)j * K * D], D, cap) - top);
    return top + log(sum);
}

void ref_attention(double *y, const double *q, const double *k, const double *v, int B, int T, int H, int K,
                   int D, int window, double cap) {
    for (int b = 0; b < B; b++)
        for (int t = 0; t < T; t++)
            for (int h = 0; h < H; h++) {
                ptrdiff_t row = ((ptrdiff_t)(b * T + t) * H + h) * D,
                          first = ((ptrdiff_t)b * T * K + h / (H / K)) * D;
                int oldest = window > 0 && window <= t ? t - window + 1 : 0;
                double lse = log_sum(&q[row], &k[first], oldest, t, K, D, cap);
                for (int i = 0; i < D; i++) y[row + i] = 0;
                for (int j = oldest; j <= t; j++) {
                    double p = exp(score(&q[row], &k[first + (ptrdiff_t)j * K * D], D, cap) - lse);
                    for (int i = 0; i < D; i++) y[row + i] += p * v[first + (ptrdiff_t)j * K * D + i];
                }
            }
}

/* One query row's share of all three gradients. */
static void attention_row(double *dq, double *dk, double *dv, const double *dy, const double *q,
                          const double *k, const double *v, int first, int t, int K, int D, double cap) {
    double lse = log_sum(q, k, first, t, K, D, cap), delta = 0, scale = 1 / sqrt(D);
    for (int j = first; j <= t; j++) {
        ptrdiff_t key = (ptrdiff_t)j * K * D;
        delta += exp(score(q, &k[key], D, cap) - lse) * dot(dy, &v[key], D);
    }
    for (int j = first; j <= t; j++) {
        ptrdiff_t key = (ptrdiff_t)j * K * D;
        double s = score(q, &k[key], D, cap), p = exp(s - lse), ds = p * (dot(dy, &v[key], D) - delta);
        if (cap > 0) ds *= 1 - s / cap * (s / cap);
        for (int i = 0; i < D; i++) {
            dq[i] += ds * scale * k[key + i];
            dk[key + i] += ds * scale * q[i];
            dv[key + i] += p * dy[i];
        }
    }
}

void ref_attention_grad(double *dq, double *dk, double *dv, const double *dy, const double *q,
                        const double *k, const double *v, int B, int T, int H, int K, int D, int window,
                        double cap) {
    for (ptrdiff_t i = 0; i < (ptrdiff_t)B * T * H * D; i++) dq[i] = 0;
    for (ptrdiff_t i = 0; i < (ptrdiff_t)B * T * K * D; i++) dk[i] = dv[i] = 0;
    for (int b = 0; b < B; b++)
        for (int t = 0; t < T; t++)
            for (int h = 0; h < H; h++) {
                ptrdiff_t row = ((ptrdiff_t)(b * T + t) * H + h) * D,
                          first = ((ptrdiff_t)b * T * K + h / (H / K)) * D;
                attention_row(&dq[row], &dk[first], &dv[first], &dy[row], &q[row], &k[first], &v[first],
                              window > 0 && window <= t ? t - window + 1 : 0, t, K, D, cap);
            }
}

void ref_gated(double *y, const double *gate, const double *up, int kind, int n) {
    ref_act(y, gate, kind, n);
    for (int i = 0; i < n; i++) y[i] *= up[i];
}

void ref_gated_grad(double *dgate, double *dup, const double *dy, const double *gate, const double *up,
                    int kind, int n) {
    ref_act(dup, gate, kind, n);
    ref_act_grad(dgate, dy, gate, kind, n);
    for (int i = 0; i < n; i++) dup[i] *= dy[i], dgate[i] *= up[i];
}

static double row_log_sum(const double *z, int V, int32_t *top) {
    *top = 0;
    for (int v = 1; v < V; v++)
        if (z[v] > z[*top]) *top = v;
    double sum = 0;
    for (int v = 0; v < V; v++) sum += exp(z[v] - z[*top]);
    return z[*top] + log(sum);
}

void ref_nll(double *nll, int32_t *top1, const double *logits, const int32_t *labels, int N, int V) {
    for (int n = 0; n < N; n++) {
        const double *z = &logits[(ptrdiff_t)n * V];
        double lse = row_log_sum(z, V, &top1[n]);
        nll[n] = labels[n] < 0 || labels[n] >= V ? 0 : lse - z[labels[n]];
    }
}

void ref_nll_grad(double *dlogits, const double *dnll, const double *logits, const int32_t *labels, int N,
                  int V) {
    for (int n = 0; n < N; n++) {
        const double *z = &logits[(ptrdiff_t)n * V];
        int32_t top = 0;
        double lse = row_log_sum(z, V, &top), d = labels[n] < 0 || labels[n] >= V ? 0 : dnll[n];
        for (int v = 0; v < V; v++)
            dlogits[(ptrdiff_t)n * V + v] = d * (exp(z[v] - lse) - (v == labels[n] ? 1 : 0));
    }
}

void ref_kl(double *kl, const double *ref, const double *logits, int N, int V) {
    for (int n = 0; n < N; n++) {
        const double *a = &ref[(ptrdiff_t)n * V], *b = &logits[(ptrdiff_t)n * V];
        int32_t top = 0;
        double la = row_log_sum(a, V, &top), lb = row_log_sum(b, V, &top);
        kl[n] = 0;
        for (int v = 0; v < V; v++) kl[n] += exp(a[v] - la) * ((a[v] - la) - (b[v] - lb));
    }
}

/* Of the mean over n. */
void ref_kl_grad(double *dlogits, const double *ref, const double *logits, int N, int V) {
    for (int n = 0; n < N; n++) {
        const double *a = &ref[(ptrdiff_t)n * V], *b = &logits[(ptrdiff_t)n * V];
        int32_t top = 0;
        double la = row_log_sum(a, V, &top), lb = row_log_sum(b, V, &top);
        for (int v = 0; v < V; v++) dlogits[(ptrdiff_t)n * V + v] = (exp(b[v] - lb) - exp(a[v] - la)) / N;
    }
}
