/* The golden vectors of the SignRound arithmetic, with the tolerances their README states: one step of four
 * quantizers (linear.safetensors) and the quantizer part of a model block's step (block.safetensors), on the
 * scalar reference and on every device with every state type. The vectors are tests/golden/signround's and,
 * where they are there, those of the larger material. ctest-labels: device vulkan */
#include "fq_device.h"
#include "temp_files.h"

static const ar_dtype state_types[] = {AR_F32, AR_I32, AR_I16};

/* In a simulator (AR_TEST_SMALL) case n runs with one state type only, and of the block two weights. */
static bool is_left_out(int n, int type) { return getenv("AR_TEST_SMALL") && type != n % 3; }

/* ---- reading ---- */

static const void *raw(const ar_safetensors *st, const char *prefix, const char *name, const char *dtype,
                       int64_t count) {
    char full[128];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const ar_st_tensor *t = ar_safetensors_find(st, full);
    if (!t) fail_msg("no tensor %s", full);
    int64_t found = 1;
    for (int32_t i = 0; i < t->dim_count; i++) found *= t->dims[i];
    if (found != count || strcmp(t->dtype, dtype) != 0) fail_msg("%s: %s of %d", full, t->dtype, (int)found);
    return t->data;
}

/* A copy as T, converted from the stored type. */
#define COPY(T, S, st, prefix, name, dtype, count) copy_##T##_##S(raw(st, prefix, name, dtype, count), count)
#define COPY_FN(T, S)                                                                                        \
    static T *copy_##T##_##S(const void *data, int64_t count) {                                              \
        T *out = calloc((size_t)count + 1, sizeof(T));                                                       \
        for (int64_t i = 0; i < count; i++) {                                                                \
            S one;                                                                                           \
            memcpy(&one, (const char *)data + (size_t)i * sizeof(S), sizeof one);                            \
            out[i] = (T)one;                                                                                 \
        }                                                                                                    \
        return out;                                                                                          \
    }
COPY_FN(float, float)
COPY_FN(double, double)
COPY_FN(double, float)
COPY_FN(int32_t, int16_t)
COPY_FN(int32_t, int32_t)
COPY_FN(float, int32_t)
COPY_FN(float, uint8_t)
COPY_FN(uint8_t, uint8_t)

static float *copy_half(const void *data, int64_t count) {
    float *out = calloc((size_t)count + 1, sizeof *out);
    for (int64_t i = 0; i < count; i++) {
        uint16_t h;
        memcpy(&h, (const char *)data + 2 * i, 2);
        out[i] = ar_f16_to_f32(h);
    }
    return out;
}

static int32_t *multiples(const int32_t *min_n, const int32_t *max_n, int64_t groups) {
    int32_t *mm = calloc(2 * (size_t)groups + 1, sizeof *mm);
    for (int64_t g = 0; g < groups; g++) mm[2 * g] = min_n[g] - 40000, mm[2 * g + 1] = max_n[g] - 40000;
    return mm;
}

/* ---- linear.safetensors ---- */

enum { O = 8, I = 64, G = 32, N = O * I, GROUPS = N / G };

typedef struct linear_case {
    ref_fq in;
    ref_out out; /* the file's */
    int32_t *v_next, *min_next, *max_next;
} linear_case;

/* Copies what COPY made over an array of the reference, and frees it. */
static void put(void *to, void *made, size_t bytes) {
    memcpy(to, made, bytes);
    free(made);
}

static void load_linear(linear_case *c, const ar_safetensors *st, const char *name) {
    memset(c, 0, sizeof *c);
    int32_t *min_n = COPY(int32_t, int32_t, st, "", "min_n", "I32", GROUPS),
            *max_n = COPY(int32_t, int32_t, st, "", "max_n", "I32", GROUPS);
    c->in = (ref_fq){.bits = name[strlen(name) - 2] - '0',
                     .zero = name[0] == 's' ? REF_SYM : REF_INT,
                     .O = O,
                     .I = I,
                     .G = G,
                     .v_div = 40000.0f,
                     .m_div = 40000.0f,
                     .W = COPY(float, float, st, "", "W", "F32", N),
                     .dW = COPY(float, float, st, "", "G", "F32", N),
                     .v = COPY(int32_t, int16_t, st, "", "V_n", "I16", N),
                     .mm = multiples(min_n, max_n, GROUPS)};
    free(min_n), free(max_n);
    ref_out *o = &c->out;
    ref_run(o, &c->in); /* its arrays; the file has all but b and live */
    put(o->codes, COPY(uint8_t, uint8_t, st, name, "q", "U8", N), N * sizeof *o->codes);
    put(o->in, COPY(uint8_t, uint8_t, st, name, "in_range", "U8", N), N * sizeof *o->in);
    put(o->s, copy_half(raw(st, name, "scale", "F16", GROUPS), GROUPS), GROUPS * sizeof *o->s);
    put(o->zp, COPY(float, int32_t, st, name, "zp", "I32", GROUPS), GROUPS * sizeof *o->zp);
    put(o->Wq, COPY(float, float, st, name, "W_q", "F32", N), N * sizeof *o->Wq);
    put(o->dv, COPY(double, double, st, name, "dV", "F64", N), N * sizeof *o->dv);
    put(o->dmin, COPY(double, double, st, name, "dmin", "F64", GROUPS), GROUPS * sizeof *o->dmin);
    put(o->dmax, COPY(double, double, st, name, "dmax", "F64", GROUPS), GROUPS * sizeof *o->dmax);
    put(o->dmin_abs, COPY(double, double, st, name, "dmin_abs", "F64", GROUPS), GROUPS * sizeof *o->dmin_abs);
    put(o->dmax_abs, COPY(double, double, st, name, "dmax_abs", "F64", GROUPS), GROUPS * sizeof *o->dmax_abs);
    o->dmin_slack = o->dmax_slack = NULL; /* the file's tolerance has none */
    for (int g = 0; g < GROUPS; g++)
        o->b[g] = -o->zp[g] * o->s[g], o->live[g] = fabsf(o->s[g]) > ref_half_round(1e-5f);
    c->v_next = COPY(int32_t, int16_t, st, name, "V_n_next", "I16", N);
    c->min_next = COPY(int32_t, int32_t, st, name, "min_n_next", "I32", GROUPS);
    c->max_next = COPY(int32_t, int32_t, st, name, "max_n_next", "I32", GROUPS);
}

static void free_linear(linear_case *c) {
    free((void *)c->in.W), free((void *)c->in.dW), free((void *)c->in.v), free((void *)c->in.mm);
    ref_free(&c->out);
    free(c->v_next), free(c->min_next), free(c->max_next);
}

static void check_reference(const linear_case *c, const char *name) {
    ref_out o;
    ref_run(&o, &c->in);
    for (int i = 0; i < N; i++) {
        if (o.codes[i] != c->out.codes[i] || o.in[i] != c->out.in[i] || o.Wq[i] != c->out.Wq[i])
            fail_msg("%s weight %d: code %d, in %d, W' %g, expected %d, %d, %g", name, i, o.codes[i], o.in[i],
                     (double)o.Wq[i], c->out.codes[i], c->out.in[i], (double)c->out.Wq[i]);
        assert_true(fabs(o.dv[i] - c->out.dv[i]) <= 3e-7 * fabs(c->out.dv[i]));
        assert_int_equal(ref_sign_step(c->in.v[i], o.dv[i], 197, -32767, 32767), c->v_next[i]);
    }
    for (int g = 0; g < GROUPS; g++) {
        assert_true(o.s[g] == c->out.s[g] && o.zp[g] == c->out.zp[g]);
        assert_true(fabs(o.dmin[g] - c->out.dmin[g]) <= 1e-5 * c->out.dmin_abs[g]);
        assert_true(fabs(o.dmax[g] - c->out.dmax[g]) <= 1e-5 * c->out.dmax_abs[g]);
        assert_int_equal(ref_sign_step(c->in.mm[2 * g], o.dmin[g], 197, -40000, 0) + 40000, c->min_next[g]);
        assert_int_equal(ref_sign_step(c->in.mm[2 * g + 1], o.dmax[g], 197, -40000, 0) + 40000,
                         c->max_next[g]);
    }
    ref_free(&o);
}

static void check_next(const fq_run *r, const linear_case *c, const char *what) {
    int32_t v[N], mm[2 * GROUPS];
    fq_state_read(v, r->st.v);
    fq_state_read(mm, r->st.mm);
    for (int i = 0; i < N; i++)
        if (v[i] != c->v_next[i]) fail_msg("%s: V_n_next %d is %d, expected %d", what, i, v[i], c->v_next[i]);
    for (int g = 0; g < GROUPS; g++)
        if (mm[2 * g] + 40000 != c->min_next[g] || mm[2 * g + 1] + 40000 != c->max_next[g])
            fail_msg("%s: group %d steps to %d, %d, expected %d, %d", what, g, mm[2 * g] + 40000,
                     mm[2 * g + 1] + 40000, c->min_next[g], c->max_next[g]);
}

static void check_in_range(const fq_run *r, const linear_case *c) {
    float *dv = fq_read(r->dv);
    for (int i = 0; i < N; i++)
        if (c->in.dW[i] != 0.0f) assert_int_equal(dv[i] != 0.0f, c->out.in[i]);
    free(dv);
}

static void check_linear_file(const char *path) {
    static const char *const names[] = {"asym2.", "asym4.", "sym2.", "sym4."};
    ar_safetensors *st = NULL;
    assert_ok(ar_safetensors_open(&st, path));
    for (int n = 0; n < 4; n++) {
        linear_case c;
        load_linear(&c, st, names[n]);
        check_reference(&c, names[n]);
        for (int32_t d = 0; d < devices.count; d++)
            for (int t = 0; t < 3; t++) {
                if (is_left_out(n, t)) continue;
                char what[64];
                snprintf(what, sizeof what, "%s %s%s", devices.name[d], names[n],
                         ar_dtype_name(state_types[t]));
                fq_run r;
                fq_run_open(&r, devices.device[d], &c.in, G, state_types[t], 200, 3, 32767.0f);
                assert_ok(ar_graph_run(r.graph));
                int64_t forward = fq_compare_forward(&r, &c.out),
                        grad = fq_compare_grad(&r, &c.out, 3e-7, 1e-5);
                if (forward || grad)
                    fail_msg("%s: %d forward, %d gradient values differ", what, (int)forward, (int)grad);
                check_in_range(&r, &c);
                check_next(&r, &c, what);
                fq_run_close(&r);
            }
        free_linear(&c);
    }
    ar_safetensors_close(st);
}

static void linear_step_equals_golden(void **state) {
    (void)state;
    check_linear_file("tests/golden/signround/linear.safetensors");
}

static void linear_step_equals_the_larger_golden(void **state) {
    (void)state;
    const char *path = shared_data("golden-signround/linear.safetensors");
    if (!path) skip();
    check_linear_file(path);
}

/* ---- block.safetensors, the quantizer's part: dW is the file's ---- */

static void check_block_linear(const ar_safetensors *st, const ar_weights *w, int32_t index,
                               const char *prefix, bool is_sym) {
    const ar_weight *info = w->vtable->at(w->impl, index);
    int64_t rows = info->dims[0], cols = info->dims[1], n = rows * cols, groups = rows * ((cols + 31) / 32);
    float *W = calloc((size_t)n, sizeof *W);
    assert_ok(w->vtable->read(w->impl, W, index, 0, rows));
    int32_t *min_n = COPY(int32_t, int32_t, st, prefix, "min_n", "I32", groups),
            *max_n = COPY(int32_t, int32_t, st, prefix, "max_n", "I32", groups);
    ref_fq in = {.bits = is_sym ? 4 : 2,
                 .zero = is_sym ? REF_SYM : REF_INT,
                 .O = rows,
                 .I = cols,
                 .G = 32,
                 .v_div = 40000.0f,
                 .m_div = 40000.0f,
                 .W = W,
                 .dW = COPY(float, float, st, prefix, "dW", "F32", n),
                 .v = COPY(int32_t, int16_t, st, prefix, "V_n", "I16", n),
                 .mm = multiples(min_n, max_n, groups)};
    ref_out ref;
    ref_run(&ref, &in); /* W', dv and live are not in the file */
    uint8_t *q = COPY(uint8_t, uint8_t, st, prefix, "q", "U8", n);
    float *s = copy_half(raw(st, prefix, "scale", "F16", groups), groups),
          *zp = COPY(float, uint8_t, st, prefix, "zp", "U8", groups);
    assert_memory_equal(ref.codes, q, (size_t)n);
    for (int64_t g = 0; g < groups; g++) assert_true(ref.s[g] == s[g] && ref.zp[g] == zp[g]);
    double *ours[] = {ref.dmin, ref.dmax, ref.dmin_abs, ref.dmax_abs};
    static const char *const names[] = {"dmin", "dmax", "dmin_abs", "dmax_abs"};
    double *abs_of[] = {ref.dmin_abs, ref.dmax_abs};
    for (int k = 0; k < 4; k++) {
        double *golden = COPY(double, float, st, prefix, names[k], "F32", groups);
        for (int64_t g = 0; g < groups; g++) {
            double scale = abs_of[k % 2][g];
            assert_true(fabs(ours[k][g] - golden[g]) <= 1e-4 * scale);
            if (fabs(golden[g]) > 1e-3 * scale) assert_true((ours[k][g] > 0) == (golden[g] > 0));
            ours[k][g] = golden[g];
        }
        free(golden);
    }
    ref.dmin_slack = ref.dmax_slack = NULL; /* the file's tolerance has none */
    for (int32_t d = 0; d < devices.count; d++)
        for (int t = 0; t < 3; t++) {
            fq_run r;
            if (is_left_out(index, t)) continue;
            fq_run_open(&r, devices.device[d], &in, 32, state_types[t], 0, 0, 0.0f);
            assert_ok(ar_graph_run(r.graph));
            int64_t forward = fq_compare_forward(&r, &ref), grad = fq_compare_grad(&r, &ref, 3e-7, 1e-4);
            if (forward || grad)
                fail_msg("%s %s: %d forward, %d gradient values differ", devices.name[d], prefix,
                         (int)forward, (int)grad);
            fq_run_close(&r);
        }
    free(W), free(min_n), free(max_n), free((void *)in.dW), free((void *)in.v), free((void *)in.mm), free(q),
        free(s), free(zp);
    ref_free(&ref);
}

static void check_block_file(const char *path, const char *model) {
    static const char *const linears[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                          "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                          "mlp.down_proj"};
    ar_safetensors *st = NULL;
    assert_ok(ar_safetensors_open(&st, path));
    ar_weights w = {0};
    assert_ok(ar_weights_open_safetensors(&w, model));
    for (int sym = 0; sym < 2; sym++)
        for (int i = 0; i < 7; i++) {
            char name[96], prefix[64];
            if (getenv("AR_TEST_SMALL") && i != 1 && i != 6) continue;
            snprintf(name, sizeof name, "model.layers.0.%s.weight", linears[i]);
            snprintf(prefix, sizeof prefix, "B.%s.%s.", sym ? "w4g32sym" : "w2g32asym",
                     strchr(linears[i], '.') + 1);
            int64_t at = ar_weights_find(&w, name);
            assert_true(at >= 0);
            check_block_linear(st, &w, (int32_t)at, prefix, sym == 1);
        }
    ar_weights_close(&w);
    ar_safetensors_close(st);
}

static void block_quantizers_equal_golden(void **state) {
    (void)state;
    check_block_file("tests/golden/signround/block.safetensors", "tests/golden/signround/model");
}

static void block_quantizers_equal_the_larger_golden(void **state) {
    (void)state;
    if (!shared_data("golden-signround/block.safetensors")) skip();
    char path[4096];
    snprintf(path, sizeof path, "%s", shared_data("golden-signround/block.safetensors"));
    check_block_file(path, shared_data("tinystories-656K-hf"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_step_equals_golden),
        cmocka_unit_test(linear_step_equals_the_larger_golden),
        cmocka_unit_test(block_quantizers_equal_golden),
        cmocka_unit_test(block_quantizers_equal_the_larger_golden),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
