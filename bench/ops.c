/* Ops at the shapes of models; see ops.h. Gradients start from the mean of what an op gives, whose own cost
 * is that of one more pass over it. */
#include "ops.h"
#include "ar_error.h"
#include <stdlib.h>

#define STEPS 200 /* of tuning, whose first one is timed */
#define CACHE 512 /* positions that generation has behind it */

const ar_bench_shape *ar_bench_shape_at(int32_t i) {
    /* Qwen2.5-0.5B, Llama 3.2 and 3.1; tiny is for a look. */
    static const ar_bench_shape shapes[] = {
        {"tiny", 256, 512, 4, 2, 64, 1024, 2},       {"0.5b", 896, 4864, 14, 2, 64, 151936, 24},
        {"1b", 2048, 8192, 32, 8, 64, 128256, 16},   {"3b", 3072, 8192, 24, 8, 128, 128256, 28},
        {"8b", 4096, 14336, 32, 8, 128, 128256, 32},
    };
    return i < (int32_t)(sizeof shapes / sizeof *shapes) ? &shapes[i] : NULL;
}

/* A new tensor that c holds. */
static ar_status hold(ar_bench_case *c, ar_tensor **t, ar_dtype dtype, int32_t dim_count,
                      const int64_t *dims) {
    if (c->held_count == AR_BENCH_TENSORS) return ar__fail(AR_ERR_ARG, "bench: too many tensors");
    AR_TRY(ar_tensor_create(t, c->device, dtype, dim_count, dims));
    c->held[c->held_count++] = *t;
    return AR_OK;
}

ar_status ar_bench_zeros(ar_bench_case *c, ar_tensor **t, ar_dtype dtype, int32_t dim_count,
                         const int64_t *dims) {
    AR_TRY(hold(c, t, dtype, dim_count, dims));
    int64_t count = ar_tensor_count(*t);
    void *zeros = calloc((size_t)count, ar_dtype_bytes(dtype));
    if (!zeros) return AR_ERR_MEMORY;
    ar_status status = ar_tensor_write(*t, zeros, 0, count);
    free(zeros);
    return status;
}

ar_status ar_bench_numbers(ar_bench_case *c, ar_tensor **t, int64_t rows, int64_t columns) {
    AR_TRY(hold(c, t, AR_F32, 2, (const int64_t[]){rows, columns}));
    float *values = calloc((size_t)(rows * columns), sizeof *values);
    if (!values) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < rows * columns; i++) values[i] = (float)(i * 2654435761 % 1000) / 1000.0f - 0.5f;
    ar_status status = ar_tensor_write(*t, values, 0, rows * columns);
    free(values);
    return status;
}

void ar_bench_case_end(ar_bench_case *c) {
    for (int32_t i = 0; i < c->held_count; i++) ar_tensor_destroy(c->held[i]);
    c->held_count = 0;
}

static ar_status leaf(ar_bench_case *c, ar_tensor **t, int64_t rows, int64_t columns) {
    AR_TRY(ar_bench_numbers(c, t, rows, columns));
    ar_tensor_set_needs_grad(*t, true);
    return AR_OK;
}

static ar_status vector(ar_bench_case *c, ar_tensor **t, int64_t count) {
    return ar_bench_zeros(c, t, AR_F32, 1, &count);
}

static ar_status backward_of(ar_graph *g, ar_tensor *y) {
    ar_tensor *m = NULL;
    AR_TRY(ar_op_mean(g, &m, y));
    return ar_graph_backward(g, m);
}

static void says(ar_bench_case *c, const char *dtype, int64_t m, int64_t k) {
    snprintf(c->row->dtype, sizeof c->row->dtype, "%s", dtype);
    c->row->m = m;
    c->row->k = k;
}

/* ---- model ops ---- */

static ar_status linear(ar_bench_case *c, ar_graph *g) {
    ar_tensor *x = NULL, *W = NULL, *y = NULL;
    says(c, "F32", c->shape->intermediate, c->shape->hidden);
    AR_TRY(leaf(c, &x, c->n, c->shape->hidden));
    AR_TRY(leaf(c, &W, c->shape->intermediate, c->shape->hidden));
    AR_TRY(ar_op_linear(g, &y, x, W, NULL));
    return backward_of(g, y);
}

static ar_status rms_norm(ar_bench_case *c, ar_graph *g) {
    ar_tensor *x = NULL, *w = NULL, *y = NULL;
    says(c, "F32", c->shape->hidden, 0);
    AR_TRY(leaf(c, &x, c->n, c->shape->hidden));
    AR_TRY(vector(c, &w, c->shape->hidden));
    ar_tensor_set_needs_grad(w, true);
    AR_TRY(ar_op_rms_norm(g, &y, x, w, 1e-5f));
    return backward_of(g, y);
}

static ar_status layer_norm(ar_bench_case *c, ar_graph *g) {
    ar_tensor *x = NULL, *w = NULL, *y = NULL;
    says(c, "F32", c->shape->hidden, 0);
    AR_TRY(leaf(c, &x, c->n, c->shape->hidden));
    AR_TRY(vector(c, &w, c->shape->hidden));
    ar_tensor_set_needs_grad(w, true);
    AR_TRY(ar_op_layer_norm(g, &y, x, w, NULL, 1e-5f));
    return backward_of(g, y);
}

static ar_status rope(ar_bench_case *c, ar_graph *g) {
    const ar_bench_shape *s = c->shape;
    ar_tensor *x = NULL, *freq = NULL, *y = NULL;
    says(c, "F32", s->heads * s->head_dim, 0);
    AR_TRY(leaf(c, &x, c->n, s->heads * s->head_dim));
    AR_TRY(vector(c, &freq, s->head_dim / 2));
    AR_TRY(ar_op_rope(g, &y, x, freq, (int32_t)c->n, (int32_t)s->head_dim, 0, 1.0f));
    return backward_of(g, y);
}

static ar_status attention(ar_bench_case *c, ar_graph *g) {
    const ar_bench_shape *s = c->shape;
    ar_tensor *q = NULL, *k = NULL, *v = NULL, *y = NULL;
    says(c, "F32", s->heads * s->head_dim, s->kv_heads * s->head_dim);
    AR_TRY(leaf(c, &q, c->n, s->heads * s->head_dim));
    AR_TRY(leaf(c, &k, c->n, s->kv_heads * s->head_dim));
    AR_TRY(leaf(c, &v, c->n, s->kv_heads * s->head_dim));
    AR_TRY(ar_op_attention(g, &y, q, k, v, (int32_t)c->n, (int32_t)s->head_dim, 0, 0));
    return backward_of(g, y);
}

static ar_status attention_cached(ar_bench_case *c, ar_graph *g) {
    const ar_bench_shape *s = c->shape;
    const int64_t cache[] = {1, s->kv_heads, CACHE + c->n, s->head_dim}, one = 1;
    const int32_t behind = CACHE;
    ar_tensor *q = NULL, *keys = NULL, *values = NULL, *pos = NULL, *y = NULL;
    says(c, "F16", s->heads * s->head_dim, CACHE);
    AR_TRY(ar_bench_numbers(c, &q, c->n, s->heads * s->head_dim));
    AR_TRY(ar_bench_zeros(c, &keys, AR_F16, 4, cache));
    AR_TRY(ar_bench_zeros(c, &values, AR_F16, 4, cache));
    AR_TRY(ar_bench_zeros(c, &pos, AR_I32, 1, &one));
    AR_TRY(ar_tensor_write(pos, &behind, 0, 1));
    return ar_op_attention_cached(g, &y, q, keys, values, pos, 0, 0, 0);
}

static ar_status gated(ar_bench_case *c, ar_graph *g) {
    ar_tensor *gate = NULL, *up = NULL, *y = NULL;
    says(c, "F32", c->shape->intermediate, 0);
    AR_TRY(leaf(c, &gate, c->n, c->shape->intermediate));
    AR_TRY(leaf(c, &up, c->n, c->shape->intermediate));
    AR_TRY(ar_op_gated(g, &y, gate, up, AR_ACT_SILU));
    return backward_of(g, y);
}

static ar_status mse(ar_bench_case *c, ar_graph *g) {
    ar_tensor *y = NULL, *target = NULL, *loss = NULL;
    says(c, "F32", c->shape->hidden, 0);
    AR_TRY(leaf(c, &y, c->n, c->shape->hidden));
    AR_TRY(ar_bench_numbers(c, &target, c->n, c->shape->hidden));
    AR_TRY(ar_op_mse(g, &loss, y, target, NULL));
    return ar_graph_backward(g, loss);
}

static ar_status nll(ar_bench_case *c, ar_graph *g) {
    ar_tensor *logits = NULL, *labels = NULL, *loss = NULL, *top1 = NULL;
    says(c, "F32", c->shape->vocab, 0);
    AR_TRY(leaf(c, &logits, c->n, c->shape->vocab));
    AR_TRY(ar_bench_zeros(c, &labels, AR_I32, 1, &c->n));
    AR_TRY(ar_op_nll(g, &loss, &top1, logits, labels));
    return backward_of(g, loss);
}

static ar_status kl(ar_bench_case *c, ar_graph *g) {
    ar_tensor *ref = NULL, *logits = NULL, *y = NULL;
    says(c, "F32", c->shape->vocab, 0);
    AR_TRY(ar_bench_numbers(c, &ref, c->n, c->shape->vocab));
    AR_TRY(ar_bench_numbers(c, &logits, c->n, c->shape->vocab));
    return ar_op_kl(g, &y, ref, logits);
}

static ar_status gram(ar_bench_case *c, ar_graph *g) {
    ar_tensor *x = NULL, *H = NULL;
    says(c, "F32", c->shape->hidden, 0);
    AR_TRY(ar_bench_numbers(c, &x, c->n, c->shape->hidden));
    AR_TRY(ar_bench_zeros(c, &H, AR_F32, 2, (const int64_t[]){c->shape->hidden, c->shape->hidden}));
    return ar_op_gram(g, H, x);
}

/* ---- the device ---- */

static ar_status peak(ar_bench_case *c, ar_graph *g, ar_dtype dtype, const char *name) {
    const int64_t count = AR_BENCH_PEAK_COUNT;
    ar_tensor *y = NULL;
    says(c, name, 0, 0);
    AR_TRY(ar_bench_zeros(c, &y, dtype, 1, &count));
    return ar_op_peak(g, y, AR_BENCH_PEAK_ROUNDS, 0.75f, 0.5f);
}

static ar_status peak_f16(ar_bench_case *c, ar_graph *g) { return peak(c, g, AR_F16, "F16"); }
static ar_status peak_dot(ar_bench_case *c, ar_graph *g) { return peak(c, g, AR_I32, "I8"); }

static ar_status peak_matrix(ar_bench_case *c, ar_graph *g) {
    ar_tensor *y = NULL;
    const int64_t dims[] = {AR_BENCH_PEAK_ROWS, ar_peak_matrix_row(c->device)};
    says(c, "F16", 0, 0);
    AR_TRY(ar_bench_zeros(c, &y, AR_F32, 2, dims));
    return ar_bench_record_matrices(g, c->device, y);
}

/* ---- quantizing ---- */

/* Forward, straight-through gradient and sign step of one weight, 4 bits in groups of 32. */
static ar_status fake_quant(ar_bench_case *c, ar_graph *g) {
    const int64_t O = c->shape->intermediate, I = c->shape->hidden, pairs[] = {O, (I + 31) / 32, 2}, one = 1;
    ar_fq_desc desc = {{4, 32, AR_ZERO_INT, 0, AR_SUPER_NONE}, STEPS * STEPS, STEPS * STEPS};
    ar_fq_state state = {0};
    ar_tensor *W = NULL, *dW = NULL, *range = NULL, *step = NULL, *Wq = NULL, *sz = NULL, *dv = NULL,
              *dmm = NULL;
    says(c, "int4 g32", O, I);
    AR_TRY(ar_bench_numbers(c, &W, O, I));
    AR_TRY(ar_bench_numbers(c, &dW, O, I));
    AR_TRY(ar_bench_zeros(c, &state.v, AR_F32, 2, (const int64_t[]){O, I}));
    AR_TRY(ar_bench_zeros(c, &state.mm, AR_F32, 3, pairs));
    AR_TRY(ar_bench_zeros(c, &range, AR_F32, 3, pairs));
    AR_TRY(ar_bench_zeros(c, &step, AR_I32, 1, &one));
    AR_TRY(ar_op_group_range(g, range, W, &desc.scheme));
    AR_TRY(ar_op_fake_quant(g, &Wq, &sz, W, range, &state, &desc));
    AR_TRY(ar_op_fq_grad(g, &dv, &dmm, dW, W, range, sz, &state, &desc));
    AR_TRY(ar_op_sign_step(g, state.v, dv, step, STEPS, -STEPS * STEPS, STEPS * STEPS));
    return ar_op_sign_step(g, state.mm, dmm, step, STEPS, -STEPS * STEPS, 0);
}

/* Soft codes and their step (anneal), from a searched grid. */
static ar_status soft(ar_bench_case *c, ar_graph *g) {
    const int64_t O = c->shape->intermediate, I = c->shape->hidden, groups = (I + 31) / 32, one = 1;
    ar_soft s = {.scheme = {2, 32, AR_ZERO_INT, 0, AR_SUPER_NONE}};
    ar_tensor *W = NULL, *dW = NULL, *grid = NULL, *rates = NULL, *step = NULL, *momentum = NULL, *Wq = NULL;
    says(c, "int2 g32", O, I);
    AR_TRY(ar_bench_numbers(c, &W, O, I));
    AR_TRY(ar_bench_numbers(c, &dW, O, I));
    AR_TRY(ar_bench_zeros(c, &s.u, AR_F32, 2, (const int64_t[]){O, I}));
    AR_TRY(ar_bench_zeros(c, &momentum, AR_F32, 2, (const int64_t[]){O, I}));
    AR_TRY(ar_bench_zeros(c, &grid, AR_F32, 3, (const int64_t[]){O, groups, 2}));
    AR_TRY(ar_bench_zeros(c, &s.ab, AR_F32, 3, (const int64_t[]){O, groups, 4}));
    AR_TRY(ar_bench_zeros(c, &rates, AR_F32, 2, (const int64_t[]){STEPS + 1, 4}));
    AR_TRY(ar_bench_zeros(c, &step, AR_I32, 1, &one));
    float values[(STEPS + 1) * 4];
    ar_soft_rates(values, STEPS, 0.5f, 0.04f);
    AR_TRY(ar_tensor_write(rates, values, 0, (STEPS + 1) * 4));
    s.grid = grid;
    s.rates = rates;
    s.step = step;
    AR_TRY(ar_op_group_search(g, grid, W, NULL, &s.scheme));
    AR_TRY(ar_op_soft_start(g, s.u, W, grid, &s.scheme, AR_SOFT_NEAR));
    AR_TRY(ar_op_soft_quant(g, &Wq, &s, false));
    return ar_op_soft_step(g, &s, momentum, dW);
}

static ar_status adam(ar_bench_case *c, ar_graph *g) {
    const int64_t O = c->shape->intermediate, I = c->shape->hidden, dims[] = {O, I}, one = 1;
    ar_tensor *p = NULL, *d = NULL, *mean = NULL, *square = NULL, *step = NULL, *rates = NULL;
    says(c, "F32", O, I);
    AR_TRY(ar_bench_numbers(c, &d, O, I));
    AR_TRY(ar_bench_zeros(c, &p, AR_F32, 2, dims));
    AR_TRY(ar_bench_zeros(c, &mean, AR_F32, 2, dims));
    AR_TRY(ar_bench_zeros(c, &square, AR_F32, 2, dims));
    AR_TRY(ar_bench_zeros(c, &step, AR_I32, 1, &one));
    AR_TRY(ar_bench_zeros(c, &rates, AR_F32, 2, (const int64_t[]){STEPS, 2}));
    float values[STEPS * 2];
    ar_adam_rates(values, STEPS);
    AR_TRY(ar_tensor_write(rates, values, 0, (int64_t)STEPS * 2));
    return ar_op_adam_step(g, p, d, mean, square, step, rates, -1, 1);
}

const ar_bench_op ar_bench_ops[] = {
    {"linear", true, linear},
    {"rms_norm", true, rms_norm},
    {"layer_norm", true, layer_norm},
    {"rope", true, rope},
    {"attention", true, attention},
    {"attention_cached", true, attention_cached},
    {"gated", true, gated},
    {"mse", true, mse},
    {"nll", true, nll},
    {"kl", true, kl},
    {"gram", true, gram},
    {"fake_quant", false, fake_quant},
    {"soft_codes", false, soft},
    {"adam_step", false, adam},
    {"peak_f16", false, peak_f16},
    {"peak_dot", false, peak_dot},
    {"peak_matrix", false, peak_matrix},
};
const int32_t ar_bench_op_count = (int32_t)(sizeof ar_bench_ops / sizeof *ar_bench_ops);
