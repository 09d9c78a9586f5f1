/* Rotary position embedding (Su et al. 2021, arXiv 2104.09864), rotate-half pairing. The angle is pos * freq
 * in f32, as Hugging Face computes it; its cosine and sine are taken in double on the host, because GLSL
 * leaves the accuracy of sin and cos to the driver. A graph makes each table once, with the scale in it.
 * Backward: the inverse rotation, scaled alike. */
#include "op.h"
#include <math.h>
#include <stdlib.h>

typedef struct rope_ctx {
    ar_tensor *x, *y, *table;
    int32_t T, D, pairs;
} rope_ctx;

/* FNV-1a over the frequencies: part of the table's key. */
static uint64_t hash(const float *values, int64_t count) {
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    const unsigned char *bytes = (const unsigned char *)values;
    for (size_t i = 0; i < (size_t)count * sizeof *values; i++) h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
    return h;
}

static ar_status fill_table(ar_tensor *table, const float *freq, int32_t T, int32_t half, int32_t pos0,
                            float scale) {
    float *cs = ar__alloc((size_t)T * (size_t)half, 2 * sizeof *cs);
    if (!cs) return AR_ERR_MEMORY;
    for (int32_t t = 0; t < T; t++)
        for (int32_t i = 0; i < half; i++) {
            float angle = (float)(pos0 + t) * freq[i];
            cs[2 * ((size_t)t * (size_t)half + (size_t)i)] = (float)cos((double)angle) * scale;
            cs[2 * ((size_t)t * (size_t)half + (size_t)i) + 1] = (float)sin((double)angle) * scale;
        }
    ar_status status = ar_tensor_write(table, cs, 0, ar_tensor_count(table));
    free(cs);
    return status;
}

static ar_status get_table(ar_graph *g, ar_tensor **table, const ar_tensor *freq, int32_t T, int32_t pos0,
                           float scale) {
    int32_t half = (int32_t)freq->dims[0];
    ar_tensor *made = NULL;
    ar_status status = AR_OK;
    float *values = ar__alloc((size_t)half, sizeof *values);
    if (!values) return AR_ERR_MEMORY;
    AR_GO(ar_tensor_read(freq, values, 0, half));
    uint64_t key[4] = {AR_K_rope, hash(values, half), (uint64_t)T << 32 | (uint32_t)half,
                       hash(&scale, 1) << 32 | (uint32_t)pos0};
    *table = ar__graph_constant(g, key);
    if (*table) goto done;
    AR_GO(ar_tensor_create(&made, ar__graph_device(g), AR_F32, 3, (int64_t[]){T, half, 2}));
    AR_GO(fill_table(made, values, T, half, pos0, scale));
    AR_GO(ar__graph_own(g, made, key));
    *table = made;
    made = NULL;
done:
    ar_tensor_destroy(made);
    free(values);
    return status;
}

static ar_status emit(ar_graph *g, const rope_ctx *c, const ar_tensor *x, const ar_tensor *y, float sign,
                      bool acc) {
    uint32_t wg = ar__graph_device(g)->plan.wg, quads = (uint32_t)(c->D - c->pairs + 3) / 4;
    uint32_t heads = (uint32_t)(c->x->dims[1] / c->D);
    double count = (double)ar_tensor_count(x);
    bool whole = ar__graph_device(g)->plan.vw == 4 && c->D % 4 == 0 && c->pairs % 4 == 0;
    struct {
        uint32_t rows, row0, T, heads, D, pairs;
        float sign;
        uint32_t acc;
    } p = {0, 0, (uint32_t)c->T, heads, (uint32_t)c->D, (uint32_t)c->pairs, sign, acc};
    ar__emit_desc d = {.kernel = AR_K_rope,
                       .specs = {wg, 1, whole},
                       .params = &p,
                       .operands = {{x, 0, 0}, {c->table, 0, 0}, {y, 0, 0}},
                       .flops = 3 * count,
                       .bytes = 8 * count};
    ar__split split = {
        .units = c->x->dims[0], .split = 1u | 1u << 2, .items_per_unit = heads * quads, .pass_start = true};
    return ar__emit_split(g, &d, &split);
}

/* freq (pairs), pairs <= D/2: the rest of a head stays as it is. */
static ar_status check_pairs(const char *what, const ar_tensor *freq, int32_t D) {
    AR_TRY(ar__expect(what, freq, AR_F32, 1, (int64_t[]){-1}));
    if (freq->dims[0] < 1 || freq->dims[0] > D / 2)
        return ar__fail(AR_ERR_SHAPE, "%s: found %lld frequencies, expected 1 to %d", what,
                        (long long)freq->dims[0], D / 2);
    return AR_OK;
}

static ar_status backward(ar_graph *g, const void *ctx) {
    const rope_ctx *c = ctx;
    if (!c->y->grad) return AR_OK;
    ar_tensor *dx = NULL;
    bool accumulate = false;
    AR_TRY(ar__grad(g, &dx, &accumulate, c->x));
    return dx ? emit(g, c, c->y->grad, dx, -1.0f, accumulate) : AR_OK;
}

ar_status ar_op_rope(ar_graph *g, ar_tensor **y, ar_tensor *x, const ar_tensor *freq, int32_t T, int32_t D,
                     int32_t pos0, float scale) {
    *y = NULL;
    AR_TRY(ar__expect("rope x", x, AR_F32, 2, (int64_t[]){-1, -1}));
    if (T < 1 || D < 2 || D % 2 || pos0 < 0)
        return ar__fail(AR_ERR_ARG, "rope: T %d, D %d, pos0 %d, expected T >= 1, an even D >= 2, pos0 >= 0",
                        T, D, pos0);
    if (!isfinite(scale)) return ar__fail(AR_ERR_ARG, "rope: scale %g, expected a number", (double)scale);
    if (x->dims[1] % D || x->dims[0] % T)
        return ar__fail(AR_ERR_SHAPE, "rope: x is (%lld, %lld) but T is %d and D is %d",
                        (long long)x->dims[0], (long long)x->dims[1], T, D);
    AR_TRY(check_pairs("rope freq", freq, D));
    rope_ctx c = {.x = x, .T = T, .D = D, .pairs = (int32_t)freq->dims[0]};
    AR_TRY(get_table(g, &c.table, freq, T, pos0, scale));
    AR_TRY(ar__output(g, &c.y, AR_F32, 2, x->dims, x, NULL, NULL));
    AR_TRY(emit(g, &c, x, c.y, 1.0f, false));
    if (c.y->needs_grad) AR_TRY(ar__node(g, backward, &c, sizeof c));
    *y = c.y;
    return AR_OK;
}
