/* Cases of resident weights: random blocks of every type, decoded by ref_resident.c; products, fusions, and
 * W' itself bit for bit through x = identity. */
#include "selftest.h"
#include "op.h"
#include "ref.h"
#include "ref_fakequant.h"
#include "ref_resident.h"
#include <math.h>
#include <string.h>

enum { MOST_ROWS = 2112 }; /* of a product's weights */
/* p[4] of the case */
enum { BIAS = 1, RESIDUAL = 2, SILU = 4, NORM = 8, PARTS = 16, TILES = 32, DEPTH = 64, BRAIN = 128 };
enum { NEGATIVE = 1, LOWEST = 2 }; /* what is special about the weights */

/* A finite fp16 number, now and then subnormal or zero; always negative if asked. */
static uint16_t random_half(ar__st *st, int special) {
    uint64_t r = ar__st_random(st);
    uint32_t exponent = r % 16 == 0 ? 0 : 4 + (uint32_t)(r >> 8) % 10, mantissa = (uint32_t)(r >> 16) & 1023;
    uint32_t sign = special & NEGATIVE ? 1 : (uint32_t)(r >> 40) & 1;
    return (uint16_t)(sign << 15 | exponent << 10 | mantissa);
}

static void put_half(ar__st *st, uint8_t *at, int special) {
    uint16_t h = random_half(st, special);
    at[0] = (uint8_t)h;
    at[1] = (uint8_t)(h >> 8);
}

/* Random blocks of finite weights; row 0 is all zero bytes, LOWEST makes row 1's codes the smallest there
 * are. */
static ar_status make_blocks(ar__st *st, uint8_t **blocks, const ref_block_form *f, int64_t O, int64_t I,
                             int special) {
    int64_t count = O * (I / f->elems);
    AR_TRY(ar__st_array(st, (void **)blocks, count * f->bytes, 1));
    for (int64_t b = I / f->elems; b < count; b++) {
        uint8_t *at = *blocks + b * f->bytes;
        bool lowest = special & LOWEST && b / (I / f->elems) == 1;
        for (int i = 0; i < f->bytes; i++)
            at[i] = lowest ? (f->gguf_type == 8 ? 0x80 : 0) : (uint8_t)ar__st_random(st);
        if (f->d >= 0) put_half(st, at + f->d, special);
        if (f->m >= 0) put_half(st, at + f->m, special);
        if (f->bytes == 4) at[3] = (uint8_t)((at[3] & 0x80) | 0x3e); /* f32, bf16: an exponent near 0 */
        if (f->gguf_type == 30) at[1] = (uint8_t)((at[1] & 0x80) | 0x3e);
    }
    return AR_OK;
}

static ar_status decode_blocks(ar__st *st, double **W, const uint8_t *blocks, const ref_block_form *f,
                               int64_t O, int64_t I) {
    AR_TRY(ar__st_doubles(st, W, NULL, O * I));
    for (int64_t i = 0; i < O * I; i++)
        (*W)[i] = (double)(float)ref_block_weight(f->gguf_type, blocks + i / f->elems * f->bytes,
                                                  (int)(i % f->elems));
    return AR_OK;
}

/* The parts of one stored weight: all of it, two halves in turn (SILU), or three unequal ones, the rows of
 * the first in another order (PARTS). row_of tells which stored row stands where. */
static ar_status split_parts(ar__st *st, ar_resident_weight_desc *parts, int32_t *count, int64_t *row_of,
                             const ar_resident_weight_desc *all, int flags) {
    int64_t O = all->O, ends[3] = {O, O, O};
    int32_t *order = NULL;
    *count = flags & SILU ? 2 : flags & PARTS ? 3 : 1;
    if (flags & SILU) ends[0] = O / 2;
    if (flags & PARTS) ends[0] = O / 2, ends[1] = O / 2 + O / 3;
    AR_TRY(ar__st_array(st, (void **)&order, O, sizeof *order));
    int64_t row = 0;
    for (int32_t i = 0; i < *count; row = ends[i++]) {
        parts[i] = *all;
        parts[i].O = ends[i] - row;
        parts[i].blocks = all->blocks + (uint64_t)row * all->row_stride;
        for (int64_t o = row; o < ends[i]; o++) row_of[flags & SILU ? 2 * (o - row) + i : o] = o;
    }
    if (flags & PARTS) {
        for (int64_t o = 0; o < ends[0]; o++) row_of[o] = order[o] = (int32_t)(ends[0] - 1 - o);
        parts[0].row_order = order;
    }
    return AR_OK;
}

static ar_status resident(ar__st *st, ar_resident_weight **w, double **W, const int32_t *p, int special) {
    ar_qtype type = ar_qtype_from_gguf(p[0]);
    const ref_block_form *f = ref_block_form_of(p[0]);
    int64_t O = p[1], I = p[2], row_of[MOST_ROWS];
    uint8_t *blocks = NULL;
    double *stored = NULL;
    if (!f || O > MOST_ROWS) return ar__fail(AR_ERR_ARG, "selftest: no such resident case");
    AR_TRY(make_blocks(st, &blocks, f, O, I, special));
    AR_TRY(decode_blocks(st, &stored, blocks, f, O, I));
    ar_resident_weight_desc all = {
        .type = type, .O = O, .I = I, .blocks = blocks, .row_stride = (uint64_t)(I / f->elems * f->bytes)};
    ar_resident_weight_desc parts[3];
    int32_t count = 0;
    AR_TRY(split_parts(st, parts, &count, row_of, &all, p[4]));
    AR_TRY(ar__st_doubles(st, W, NULL, O * I));
    for (int64_t o = 0; o < O; o++) memcpy(*W + o * I, stored + row_of[o] * I, (size_t)I * sizeof **W);
    return ar_resident_weight_create(w, st->device, parts, count, (p[4] & SILU) != 0);
}

/* ---- products ---- */

typedef struct operands {
    ar_tensor *x, *bias, *residual, *norm;
    double *x_ref, *bias_ref, *residual_ref, *norm_ref;
} operands;

static ar_status make_operands(ar__st *st, operands *v, int64_t O, int64_t I, int64_t N, int flags) {
    float *x = NULL, *bias = NULL, *residual = NULL, *norm = NULL;
    int64_t out = flags & SILU ? O / 2 : O;
    AR_TRY(ar__st_normal(st, &x, N * I, 1.0f));
    AR_TRY(ar__st_normal(st, &bias, O, 1.0f));
    AR_TRY(ar__st_normal(st, &residual, N * out, 1.0f));
    AR_TRY(ar__st_normal(st, &norm, I, 1.0f));
    AR_TRY(ar__st_doubles(st, &v->x_ref, x, N * I));
    for (int64_t i = 0; i < N * I && flags & BRAIN; i++) v->x_ref[i] = (double)ref_brain_round(x[i]);
    AR_TRY(ar__st_doubles(st, &v->bias_ref, bias, O));
    AR_TRY(ar__st_doubles(st, &v->residual_ref, residual, N * out));
    AR_TRY(ar__st_doubles(st, &v->norm_ref, norm, I));
    AR_TRY(ar__st_tensor(st, &v->x, AR_F32, N, I, x));
    if (flags & BIAS) AR_TRY(ar__st_tensor(st, &v->bias, AR_F32, O, 0, bias));
    if (flags & RESIDUAL) AR_TRY(ar__st_tensor(st, &v->residual, AR_F32, N, out, residual));
    if (flags & NORM) AR_TRY(ar__st_tensor(st, &v->norm, AR_F32, I, 0, norm));
    return AR_OK;
}

static ar_status reference(ar__st *st, double **y, const operands *v, const double *W, int O, int I, int N,
                           int flags) {
    double *x = NULL, *t = NULL;
    int out = flags & SILU ? O / 2 : O;
    AR_TRY(ar__st_doubles(st, &x, NULL, (int64_t)N * I));
    AR_TRY(ar__st_doubles(st, &t, NULL, (int64_t)N * O));
    AR_TRY(ar__st_doubles(st, y, NULL, (int64_t)N * out));
    if (flags & NORM)
        ref_rms_norm(x, v->x_ref, v->norm_ref, N, I, 1e-5);
    else
        memcpy(x, v->x_ref, (size_t)N * (size_t)I * sizeof *x);
    ref_linear(t, x, W, flags & BIAS ? v->bias_ref : NULL, N, O, I);
    for (int n = 0; n < N; n++)
        for (int o = 0; o < out; o++) {
            double *to = &(*y)[n * out + o];
            *to = t[n * O + o];
            if (flags & SILU) ref_gated(to, &t[n * O + 2 * o], &t[n * O + 2 * o + 1], AR_ACT_SILU, 1);
            if (flags & RESIDUAL) *to += v->residual_ref[n * out + o];
        }
    return AR_OK;
}

/* v's x becomes what the device's bytes say it is, by whole codes of scales that the reference agrees with;
 * the difference to what it was, normed, is reported in scales. */
static ar_status take_bytes(ar__st *st, operands *v, const ar_tensor *bytes, int I, int N, int flags,
                            bool fours) {
    int64_t nb = I / 32, words = ar_tensor_count(bytes), nc = N > 0 ? ar_tensor_dim(bytes, 1) / (nb * 12) : 1;
    uint32_t *found = NULL;
    double *x = NULL, worst = 0;
    AR_TRY(ar__st_array(st, (void **)&found, words, sizeof *found));
    AR_TRY(ar__st_doubles(st, &x, NULL, (int64_t)N * I));
    if (flags & NORM)
        ref_rms_norm(x, v->x_ref, v->norm_ref, N, I, 1e-5);
    else
        memcpy(x, v->x_ref, (size_t)N * (size_t)I * sizeof *x);
    AR_TRY(ar_tensor_read(bytes, found, 0, words));
    for (int64_t n = 0; n < N; n++)
        for (int64_t i = 0; i < I; i++) {
            const uint32_t *block = found + (n / nc * nb + i / 32) * 12 * nc + n % nc;
            int64_t e = i % 8, at = fours ? i % 32 / 4 : i % 32 / 8 * 2 + e % 2, byte = fours ? e % 4 : e / 2;
            float d;
            memcpy(&d, &block[8 * nc], sizeof d);
            double is = (double)d * (double)(int8_t)(block[at * nc] >> 8 * byte);
            double off = d > 0 ? fabs(is - x[n * I + i]) / (double)d : fabs(x[n * I + i]);
            if (!(off <= worst)) worst = off;
            v->x_ref[n * I + i] = is;
        }
    ar__st_report(st, "acts_bytes", worst, 0.5001, "");
    return AR_OK;
}

static ar_status product_of_bytes(ar__st *st, const ar_resident_weight *w, const double *W, int O, int I,
                                  int N, int flags, bool fours) {
    operands v = {0};
    double *want = NULL;
    ar_tensor *y = NULL, *bytes = NULL, *one = NULL;
    AR_TRY(make_operands(st, &v, O, I, N, flags));
    ar_resident_weight_fuse fuse = {
        .bias = v.bias, .residual = v.residual, .silu_gated = (flags & SILU) != 0};
    if (N == 1 && ar__takes_bytes_of_one(w)) {
        ar_resident_weight_fuse with_norm = fuse;
        with_norm.norm = v.norm;
        with_norm.norm_eps = 1e-5f;
        AR_TRY(ar__op_linear_bytes_one(st->g, &one, v.x, w, &with_norm));
        ar_graph_keep(st->g, one);
    }
    AR_TRY(ar_op_acts_bytes(st->g, &bytes, v.x, v.norm, 1e-5f, w));
    AR_TRY(ar_op_linear_bytes(st->g, &y, bytes, N, w, &fuse));
    ar_graph_keep(st->g, bytes);
    ar_graph_keep(st->g, y);
    AR_TRY(ar__st_run(st));
    AR_TRY(take_bytes(st, &v, bytes, I, N, flags, fours));
    AR_TRY(reference(st, &want, &v, W, O, I, N, flags & ~NORM));
    if (one) AR_TRY(ar__st_compare(st, "gemv_bytes_one", one, want));
    return ar__st_compare(st, "gemv_bytes", y, want);
}

static ar_status product(ar__st *st, const ar_resident_weight *w, const double *W, int O, int I, int N,
                         int flags) {
    operands v = {0};
    double *want = NULL;
    ar_tensor *y = NULL;
    AR_TRY(make_operands(st, &v, O, I, N, flags));
    AR_TRY(reference(st, &want, &v, W, O, I, N, flags));
    ar_resident_weight_fuse fuse = {.bias = v.bias,
                                    .residual = v.residual,
                                    .norm = v.norm,
                                    .norm_eps = 1e-5f,
                                    .silu_gated = (flags & SILU) != 0};
    AR_TRY(ar_op_linear_resident(st->g, &y, v.x, w, flags ? &fuse : NULL));
    ar_graph_keep(st->g, y);
    AR_TRY(ar__st_run(st));
    return ar__st_compare(st, "linear_resident", y, want);
}

/* p: GGUF type, O, I, N, flags. */
ar_status ar__st_resident(ar__st *st, const int32_t *p) {
    ar_resident_weight *w = NULL;
    double *W = NULL;
    ar_status status = resident(st, &w, &W, p, 0);
    ar_plan *plan = &st->device->plan;
    const ar_plan own = *plan;
    if (p[4] & TILES) plan->resident_fused = true, plan->resident_columns = 0;
    if (p[4] & DEPTH) plan->ways |= 1u << AR_W_gemm_depth, plan->ways_asked |= 1u << AR_W_gemm_depth;
    if (p[4] & BRAIN) { /* through decoded panels, of rounded weights and inputs */
        plan->allows_bf16 = true, plan->resident_fused = false, plan->resident_columns = 0;
        for (int64_t i = 0; i < (int64_t)p[1] * p[2] && status == AR_OK; i++)
            W[i] = (double)ref_brain_round((float)W[i]);
    }
    if (status == AR_OK) status = product(st, w, W, p[1], p[2], p[3], p[4]);
    *plan = own;
    (void)ar_device_wait(st->device);
    ar_resident_weight_destroy(w);
    return status;
}

/* p: GGUF type, O, I, N, flags. */
ar_status ar__st_resident_bytes(ar__st *st, const int32_t *p) {
    ar_resident_weight *w = NULL;
    double *W = NULL;
    ar_status status = resident(st, &w, &W, p, 0);
    if (status == AR_OK) status = product_of_bytes(st, w, W, p[1], p[2], p[3], p[4], p[0] == 8);
    (void)ar_device_wait(st->device);
    ar_resident_weight_destroy(w);
    return status;
}

/* ---- W' bit for bit ---- */

/* y (I, O) = identity W'^T must be W' transposed: through eight rows of x at a time, and all at once, which
 * most devices take through decoded panels. -0 is 0: Mesa's OpenCL makes a product of a sum with 0. */
static ar_status identity(ar__st *st, const ar_resident_weight *w, const double *W, int64_t O, int64_t I) {
    float *eye = NULL;
    double *want = NULL;
    ar_tensor *x = NULL, *y[65] = {NULL};
    int64_t count = 0;
    if (I > 512)
        return ar__fail(AR_ERR_ARG, "selftest: the identity of %lld rows is too large", (long long)I);
    AR_TRY(ar__st_array(st, (void **)&eye, I * I, sizeof *eye));
    AR_TRY(ar__st_array(st, (void **)&want, I * O, sizeof *want));
    for (int64_t i = 0; i < I; i++) {
        eye[i * I + i] = 1.0f;
        for (int64_t o = 0; o < O; o++) want[i * O + o] = (double)(float)W[o * I + i];
    }
    for (int64_t i = 0; i < I; i += 8, count++) {
        AR_TRY(ar__st_tensor(st, &x, AR_F32, I - i < 8 ? I - i : 8, I, eye + i * I));
        AR_TRY(ar_op_linear_resident(st->g, &y[count], x, w, NULL));
        ar_graph_keep(st->g, y[count]);
    }
    AR_TRY(ar__st_tensor(st, &x, AR_F32, I, I, eye));
    AR_TRY(ar_op_linear_resident(st->g, &y[count], x, w, NULL));
    ar_graph_keep(st->g, y[count]);
    AR_TRY(ar__st_run(st));
    for (int64_t i = 0; i < count; i++) AR_TRY(ar__st_same(st, "eight rows", y[i], want + i * 8 * O));
    return ar__st_same(st, "all rows", y[count], want);
}

/* p: GGUF type, O, I, special. */
ar_status ar__st_resident_bits(ar__st *st, const int32_t *p) {
    ar_resident_weight *w = NULL;
    double *W = NULL;
    ar_status status = resident(st, &w, &W, (int32_t[]){p[0], p[1], p[2], 0, 0}, p[3]);
    if (status == AR_OK) status = identity(st, w, W, p[1], p[2]);
    (void)ar_device_wait(st->device);
    ar_resident_weight_destroy(w);
    return status;
}

/* ---- group-wise codes ---- */

/* Random codes, scales of either sign or NEGATIVE; row 0 has scales of zero, row 1 the lowest codes. */
static ar_status group_weights(ar__st *st, ar_resident_weight_desc *d, double **W, int special) {
    bool has_mins = d->scheme.zero == AR_ZERO_F16MIN;
    int64_t groups = ar_scheme_groups(&d->scheme, d->I), G = groups == 1 ? d->I : d->scheme.group;
    int bits = d->scheme.bits, zero = (int)d->scheme.zero;
    uint8_t *codes = NULL, *zeros = NULL;
    uint16_t *scales = NULL, *mins = NULL, none = (uint16_t)(special & NEGATIVE ? 0x8000 : 0); /* -0, 0 */
    AR_TRY(ar__st_array(st, (void **)&codes, d->O * d->I, 1));
    AR_TRY(ar__st_array(st, (void **)&zeros, d->O * groups, 1));
    AR_TRY(ar__st_array(st, (void **)&scales, d->O * groups, sizeof *scales));
    AR_TRY(ar__st_array(st, (void **)&mins, d->O * groups, sizeof *mins));
    AR_TRY(ar__st_doubles(st, W, NULL, d->O * d->I));
    for (int64_t i = 0; i < d->O * groups; i++) {
        scales[i] = i < groups ? none : random_half(st, special);
        zeros[i] = (uint8_t)(zero == AR_ZERO_INT ? ar__st_random(st) % (1u << bits) : 1u << (bits - 1));
        mins[i] = random_half(st, 0);
    }
    for (int64_t i = 0; i < d->O * d->I; i++) {
        int64_t group = i / d->I * groups + i % d->I / G;
        bool lowest = i / d->I == 1; /* every code the smallest there is */
        codes[i] = (uint8_t)(lowest ? 0 : ar__st_random(st) % (1u << bits));
        int z = zero == AR_ZERO_SYM ? -1 : has_mins ? -2 : zeros[group];
        (*W)[i] = (double)(float)ref_group_weight(bits, codes[i], scales[group], z, mins[group]);
    }
    d->codes = codes, d->scales = scales, d->zeros = zeros, d->mins = has_mins ? mins : NULL;
    return AR_OK;
}

static ar_status group_weight(ar__st *st, ar_resident_weight **w, double **W, const int32_t *p, int special) {
    ar_resident_weight_desc d = {.type = AR_QT_GROUP,
                                 .O = p[3],
                                 .I = p[4],
                                 .scheme = {.bits = p[0], .group = p[1], .zero = (ar_zero_kind)p[2]}};
    AR_TRY(group_weights(st, &d, W, special));
    return ar_resident_weight_create(w, st->device, &d, 1, false);
}

/* p: bits, group, zero kind, O, I, N, special; N 0 = bit for bit. */
ar_status ar__st_resident_group(ar__st *st, const int32_t *p) {
    ar_resident_weight *w = NULL;
    double *W = NULL;
    ar_status status = group_weight(st, &w, &W, p, p[6]);
    if (status == AR_OK)
        status = p[5] ? product(st, w, W, p[3], p[4], p[5], 0) : identity(st, w, W, p[3], p[4]);
    (void)ar_device_wait(st->device);
    ar_resident_weight_destroy(w);
    return status;
}

/* p: bits, group, zero kind, O, I, N. */
ar_status ar__st_resident_group_bytes(ar__st *st, const int32_t *p) {
    ar_resident_weight *w = NULL;
    double *W = NULL;
    ar_status status = group_weight(st, &w, &W, p, 0);
    if (status == AR_OK) status = product_of_bytes(st, w, W, p[3], p[4], p[5], 0, p[0] == 8);
    (void)ar_device_wait(st->device);
    ar_resident_weight_destroy(w);
    return status;
}
