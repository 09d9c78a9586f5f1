/* The fake quantizer on every device against the scalar reference: codes, scales and W' bit for bit,
 * gradients within rounding, the three state types alike, and the exact quotients all of that rests on. Uses
 * backend/core/internal.h to launch the kernels that check num.h. ctest-labels: device vulkan */
#include "fq_device.h"
#include "internal.h"

static uint64_t random_state = 20231121;

/* In a simulator: fewer repetitions of the same work will do. */
static bool is_small(void) { return getenv("AR_TEST_SMALL") != NULL; }

/* ---- random cases ---- */

static uint32_t random_u32(void) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 32);
}
static double random_unit(void) { return random_u32() / 4294967296.0; }
static int32_t random_int(int32_t lo, int32_t hi) { return lo + (int32_t)(random_unit() * (hi - lo + 1.0)); }
static float random_normal(double scale) {
    return (float)(scale * sqrt(-2.0 * log(1.0 - random_unit())) * cos(6.283185307179586 * random_unit()));
}

/* A case with everything random but the shape; close_case frees it. Row 1 is zero, row 2 tiny. */
static ref_fq random_case(int bits, int zero, int zero_min, int64_t O, int64_t I, int64_t G, bool tuned) {
    ref_fq f = {
        .bits = bits, .zero = zero, .zero_min = zero_min, .O = O, .I = I, .G = G < 0 || G > I ? I : G};
    int64_t n = O * I, groups = O * ((I + f.G - 1) / f.G);
    float *W = calloc((size_t)n + 1, sizeof *W), *dW = calloc((size_t)n + 1, sizeof *dW);
    for (int64_t i = 0; i < n; i++) {
        double scale = i / I == 1 ? 0.0 : i / I == 2 ? 1e-5 : 0.05;
        W[i] = random_normal(scale);
        dW[i] = random_u32() % 16 ? random_normal(1e-3) : 0.0f;
    }
    f.W = W, f.dW = dW;
    if (!tuned) return f;
    int32_t *v = calloc((size_t)n + 1, sizeof *v), *mm = calloc(2 * (size_t)groups + 1, sizeof *mm);
    for (int64_t i = 0; i < n; i++) v[i] = random_int(-20100, 20100);
    for (int64_t i = 0; i < 2 * groups; i++) mm[i] = random_u32() % 4 ? -random_int(0, 20100) : 0;
    f.v = v, f.mm = mm, f.v_div = 40000.0f, f.m_div = 40000.0f;
    return f;
}

static void close_case(ref_fq *f) {
    free((void *)f->W), free((void *)f->dW), free((void *)f->v), free((void *)f->mm);
}

/* Runs the case on one device and compares everything. */
static void check_case(ar_device *device, const char *name, const ref_fq *f, int32_t group, ar_dtype dtype) {
    ref_out ref;
    ref_run(&ref, f);
    fq_run r;
    fq_run_open(&r, device, f, group, dtype, 0, 0, 0.0f);
    assert_ok(ar_graph_run(r.graph));
    int64_t forward = fq_compare_forward(&r, &ref), grad = fq_compare_grad(&r, &ref, 3e-7, 1e-5);
    if (forward || grad)
        fail_msg("%s: %d bits, zero %d, (%d, %d), group %d, %s: %d forward, %d gradient values differ", name,
                 f->bits, f->zero, (int)f->O, (int)f->I, (int)group, ar_dtype_name(dtype), (int)forward,
                 (int)grad);
    fq_run_close(&r);
    ref_free(&ref);
}

static void forward_and_gradient_equal_the_reference(void **state) {
    (void)state;
    static const int32_t shapes[][3] = {/* O, I, group */
                                        {1, 1, 1},    {3, 5, 2},     {4, 64, 16}, {5, 96, 32},
                                        {3, 100, 32}, {7, 37, 37},   {2, 101, 7}, {6, 172, 32},
                                        {4, 172, -1}, {3, 128, 128}, {65, 16, 8}, {2, 96, 100}};
    static const ar_dtype types[] = {AR_F32, AR_I32, AR_I16};
    for (int32_t d = 0; d < devices.count; d++)
        for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
            for (int32_t bits = 2; bits <= 8; bits += k % 2 ? 2 : 3) {
                int zero = (int)(k + (size_t)bits) % 3;
                ref_fq f = random_case(bits, zero, zero == REF_INT && bits == 4, shapes[k][0], shapes[k][1],
                                       shapes[k][2], bits != 2);
                check_case(devices.device[d], devices.name[d], &f, shapes[k][2], types[k % 3]);
                close_case(&f);
            }
}

static void every_bit_width_zero_kind_and_state_agree(void **state) {
    (void)state;
    static const ar_dtype types[] = {AR_F32, AR_I32, AR_I16};
    for (int32_t d = 0; d < devices.count; d++)
        for (int32_t bits = 2; bits <= 8; bits++)
            for (int zero = 0; zero < 3; zero++) {
                ref_fq f = random_case(bits, zero, 0, 6, 64, 32, true);
                for (int t = 0; t < 3; t++)
                    if (!is_small() || t == (bits + zero) % 3)
                        check_case(devices.device[d], devices.name[d], &f, 32, types[t]);
                close_case(&f);
            }
}

/* All weights positive: all scales negative, and each group's largest weight gets the code -2^(bits-1). */
static void check_negative(int32_t d, int32_t bits, int32_t I, int32_t G) {
    enum { O = 4 };
    ref_fq f = random_case(bits, REF_SYM, 0, O, I, G, false);
    for (int i = 0; i < O * I; i++) ((float *)f.W)[i] = fabsf(f.W[i]) + 0.01f;
    fq_run r;
    fq_run_open(&r, devices.device[d], &f, G, AR_F32, 0, 0, 0.0f);
    assert_ok(ar_graph_run(r.graph));
    float *sz = fq_read(r.sz);
    uint8_t *codes = fq_read(r.codes), lowest[O * 16];
    assert_true(r.groups <= 16);
    memset(lowest, 255, sizeof lowest);
    for (int i = 0; i < O * I; i++) {
        uint8_t *at = &lowest[i / I * r.groups + i % I / G];
        if (codes[i] < *at) *at = codes[i];
    }
    for (int g = 0; g < O * r.groups; g++) {
        assert_true(sz[4 * g] < 0.0f);
        assert_int_equal(lowest[g], 0); /* -2^(bits-1) */
    }
    free(sz), free(codes);
    fq_run_close(&r);
    check_case(devices.device[d], devices.name[d], &f, G, AR_F32);
    close_case(&f);
}

static void negative_scales_reach_the_lowest_code(void **state) {
    (void)state;
    for (int32_t d = 0; d < devices.count; d++)
        for (int32_t bits = 2; bits <= 8; bits += is_small() ? 3 : 1) {
            check_negative(d, bits, 64, 32);
            check_negative(d, bits, 37, 5); /* the general kernels, the last group of a row short */
        }
}

static void zero_rows_do_nothing(void **state) {
    (void)state;
    for (int32_t d = 0; d < devices.count; d++) {
        ref_fq f = random_case(4, REF_INT, 0, 0, 64, 32, true);
        check_case(devices.device[d], devices.name[d], &f, 32, AR_F32);
        close_case(&f);
    }
}

static void untouched_state_equals_rtn(void **state) {
    (void)state;
    for (int32_t d = 0; d < devices.count; d++)
        for (int zero = 0; zero < 3; zero++) {
            ref_fq f = random_case(3, zero, 0, 5, 96, 32, true), plain = f;
            memset((void *)f.v, 0, 5 * 96 * sizeof *f.v);
            memset((void *)f.mm, 0, 5 * 3 * 2 * sizeof *f.mm);
            plain.v = plain.mm = NULL;
            ref_out rtn;
            ref_run(&rtn, &plain);
            for (int t = 0; t < 2; t++) { /* 0: nothing moved yet; 1: no state at all */
                fq_run r;
                fq_run_open(&r, devices.device[d], t ? &plain : &f, 32, AR_I16, 0, 0, 0.0f);
                assert_ok(ar_graph_run(r.graph));
                assert_int_equal(fq_compare_forward(&r, &rtn), 0);
                fq_run_close(&r);
            }
            ref_free(&rtn);
            close_case(&f);
        }
}

/* ---- the gradient formulas themselves ---- */

/* The loss sum dW W' with every rounding replaced by "add what it added at the base point" and every clamp by
 * what it did there: the function whose derivative the straight-through estimator is. Moves weight i's V, or
 * a coefficient (which 0 min, 1 max) of the only group. */
static double surrogate(const ref_fq *f, const ref_out *base, int i, double dV, int which, double dc) {
    double Q = (1 << f->bits) - 1, M = 1 << (f->bits - 1), wmin = 0, wmax = 0, sum = 0, s, zp;
    for (int k = 0; k < f->I; k++) wmin = fmin(wmin, f->W[k]), wmax = fmax(wmax, f->W[k]);
    double c0 = 1 + f->mm[0] / (double)f->m_div, c1 = 1 + f->mm[1] / (double)f->m_div;
    for (int pass = 0; pass < 2; pass++) { /* 0: the base point, for the roundings; 1: moved */
        static double s_add, zp_add, q_add[512];
        double lo = wmin * (c0 + (pass && which == 0 ? dc : 0)),
               hi = wmax * (c1 + (pass && which == 1 ? dc : 0));
        double s_free = f->zero == REF_SYM ? (hi < -lo ? -lo : -hi) / M : (hi - lo) / Q;
        if (pass == 0) s_add = base->s[0] - s_free;
        s = base->live[0] ? s_free + s_add : base->s[0];
        double zp_free = f->zero == REF_SYM ? M : -lo / s;
        if (pass == 0) zp_add = base->zp[0] - zp_free;
        zp = zp_free + zp_add;
        for (int k = 0; k < f->I; k++) {
            double x = f->W[k] / s + f->v[k] / (double)f->v_div + (pass && k == i ? dV : 0);
            double clamped = base->codes[k];
            if (pass == 0)
                q_add[k] = base->codes[k] - zp - x;
            else
                sum += f->dW[k] * s * ((base->in[k] ? x + q_add[k] + zp : clamped) - zp);
        }
    }
    return sum;
}

static void gradient_formulas_are_central_differences(void **state) {
    (void)state;
    for (int k = 0; k < 40; k++) {
        ref_fq f = random_case(2 + k % 4, k % 2 ? REF_SYM : REF_INT, 0, 1, 48, 48, true);
        ref_out ref;
        ref_run(&ref, &f);
        double h = 1e-6;
        for (int i = 0; i < 48; i++) {
            double slope = (surrogate(&f, &ref, i, h, -1, 0) - surrogate(&f, &ref, i, -h, -1, 0)) / (2 * h);
            assert_true(fabs(slope - ref.dv[i]) <= 1e-9 + 1e-6 * fabs(ref.dv[i]));
        }
        for (int which = 0; which < 2; which++) {
            double slope =
                (surrogate(&f, &ref, -1, 0, which, h) - surrogate(&f, &ref, -1, 0, which, -h)) / (2 * h);
            double ours = which ? ref.dmax[0] : ref.dmin[0],
                   scale = which ? ref.dmax_abs[0] : ref.dmin_abs[0];
            if (fabs(slope - ours) > 1e-9 + 1e-5 * scale)
                fail_msg("case %d: slope %g, formula %g", k, slope, ours);
        }
        ref_free(&ref);
        close_case(&f);
    }
}

/* ---- states and steps ---- */

static void state_types_take_the_same_fifty_steps(void **state) {
    (void)state;
    static const ar_dtype types[] = {AR_F32, AR_I32, AR_I16};
    enum {
        O = 3,
        I = 45,
        G = 8,
        T = 100,
        STEPS = 50,
        N = O * I,
        M = O * 6 * 2
    }; /* odd counts: padding is touched */
    for (int32_t d = 0; d < devices.count; d++) {
        ref_fq f = random_case(2, REF_INT, 0, O, I, G, true);
        memset((void *)f.v, 0, N * sizeof *f.v), memset((void *)f.mm, 0, M * sizeof *f.mm);
        f.v_div = f.m_div = T * T;
        fq_run r[3];
        for (int t = 0; t < 3; t++)
            fq_run_open(&r[t], devices.device[d], &f, G, types[t], T, 0, T * (T + 1) / 2);
        int32_t expected[N] = {0}, v[3][N], mm[3][M];
        for (int32_t at = 0; at < (is_small() ? 5 : STEPS); at++) {
            for (int i = 0; i < N; i++) ((float *)f.dW)[i] = random_u32() % 8 ? random_normal(1.0) : 0.0f;
            for (int t = 0; t < 3; t++) {
                assert_ok(ar_tensor_write(r[t].dW, f.dW, 0, N));
                assert_ok(ar_tensor_write(r[t].step, &at, 0, 1));
                assert_ok(ar_graph_run(r[t].graph));
            }
            float *dv = fq_read(r[0].dv);
            for (int i = 0; i < N; i++) expected[i] = ref_sign_step(expected[i], dv[i], T - at, -5050, 5050);
            free(dv);
        }
        int64_t moved = 0;
        for (int t = 0; t < 3; t++) {
            fq_state_read(v[t], r[t].st.v);
            fq_state_read(mm[t], r[t].st.mm);
            assert_memory_equal(v[t], expected, sizeof expected);
            assert_memory_equal(mm[t], mm[0], sizeof mm[0]);
            float *a = fq_read(r[t].Wq), *b = fq_read(r[0].Wq);
            assert_memory_equal(a, b, N * sizeof *a);
            free(a), free(b);
        }
        for (int i = 0; i < M; i++) {
            assert_in_range(-mm[0][i], 0, T * T);
            moved += mm[0][i] != 0;
        }
        assert_true(moved > M / 8); /* rows 1 and 2 have no live scale */
        for (int t = 0; t < 3; t++) fq_run_close(&r[t]);
        close_case(&f);
    }
}

/* ---- plans ---- */

/* oclgrind 21.10 takes lane 11 of every shuffle for undefined (it compares the lane with LLVM's
 * UndefValueVal, which is 11), and with 16 lanes sums shuffle it. */
static uint32_t widest(const char *device) { return device[0] != 'c' ? 4 : is_small() ? 8 : 16; }

static void pieces_and_vector_widths_do_not_change_a_bit(void **state) {
    (void)state;
    for (int32_t d = 0; d < devices.count; d++) {
        for (uint32_t vw = 4; vw <= widest(devices.name[d]); vw *= 2) {
            ar_plan plan = *ar_device_get_plan(devices.device[d]);
            plan.vw = vw;
            plan.piece_bytes = 16384;
            ar_device *device = NULL;
            assert_ok(ar_device_open(&device, &(ar_device_desc){.select = devices.name[d], .plan = &plan}));
            for (int zero = 0; zero < 3; zero++) {
                ref_fq f = random_case(4, zero, 0, 80, 96, 48, true); /* 30720 bytes: three pieces */
                check_case(device, devices.name[d], &f, 48, zero == 1 ? AR_I16 : AR_F32);
                close_case(&f);
            }
            ar_device_close(device);
        }
    }
}

/* ---- exact quotients ---- */

enum { PAIRS = 1 << 20, SMALL_PAIRS = 1 << 10 };

/* How many quotients to check. */
static int32_t pair_count(void) { return is_small() ? SMALL_PAIRS : PAIRS; }

static float from_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

/* A random float with the given number of significant bits and an exponent in [lo, hi]. */
static float random_float(int bits, int lo, int hi) {
    uint32_t mantissa = random_u32() & 0x7fffffu & ~((1u << (24 - bits)) - 1u);
    return from_bits((random_u32() & 0x80000000u) | (uint32_t)(127 + random_int(lo, hi)) << 23 | mantissa);
}

/* Dividends for divisor b: any; next to a halfway quotient; exact quotients; a few steps off those. */
static float random_dividend(float b, int lo, int hi) {
    uint32_t kind = random_u32() % 4;
    if (kind == 0) return random_float(24, lo, hi);
    double q = kind == 3 ? random_float(12, -3, 12) : random_float(24, -3, 12);
    if (kind == 1) q += ldexp(1.0, ilogb(q) - 24) * (q > 0 ? 1 : -1);
    float a = (float)(q * b);
    uint32_t u;
    memcpy(&u, &a, 4);
    return kind == 2 ? from_bits(u + random_u32() % 5 - 2) : a;
}

static ar_tensor *upload(ar_device *device, const float *data, int64_t count) {
    ar_tensor *t = NULL;
    assert_ok(ar_tensor_create(&t, device, AR_F32, 1, &count));
    assert_ok(ar_tensor_write(t, data, 0, count));
    return t;
}

/* Launches a check kernel over `items` items and returns how many of y's quotients are not the C division's.
 */
static int64_t wrong_quotients(ar_device *device, ar__kernel_id kernel, const void *params, int64_t items,
                               const float *a, const float *b, const float *inv, uint32_t per_b) {
    const int64_t count = pair_count();
    ar_tensor *A = upload(device, a, count), *B = upload(device, b, count / per_b),
              *Inv = upload(device, inv, count / per_b), *Y = NULL;
    assert_ok(ar_tensor_create(&Y, device, AR_F32, 1, &count));
    ar_graph *g = NULL;
    assert_ok(ar_graph_create(&g, device));
    ar__emit_desc e = {.kernel = kernel,
                       .specs = {64, 1, per_b},
                       .params = params,
                       .operands = {{A, 0, 0}, {B, 0, 0}, {Y, 0, 0}}};
    if (kernel == AR_K_quot_check)
        e.operands[2] = (ar__operand){Inv, 0, 0}, e.operands[3] = (ar__operand){Y, 0, 0};
    ar__groups_1d(device, e.groups, (uint64_t)items, 64);
    assert_ok(ar__emit(g, &e));
    assert_ok(ar_graph_build(g));
    assert_ok(ar_graph_run(g));
    float *y = fq_read(Y);
    int64_t wrong = 0;
    for (int64_t i = 0; i < count; i++) {
        float q = a[i] / b[i / per_b];
        if (q != 0.0f && fabsf(q) < 0x1p-126f) q = 0.0f; /* subnormal quotients count as 0 */
        wrong += y[i] != q;
    }
    free(y);
    ar_graph_destroy(g);
    ar_tensor *all[] = {A, B, Inv, Y};
    for (int i = 0; i < 4; i++) ar_tensor_destroy(all[i]);
    return wrong;
}

static void quotients_are_correctly_rounded(void **state) {
    (void)state;
    const int32_t pairs = pair_count();
    float *a = calloc((size_t)pairs, sizeof *a), *b = calloc((size_t)pairs, sizeof *b),
          *inv = calloc((size_t)pairs, sizeof *inv);
    for (int32_t d = 0; d < devices.count; d++) {
        ar_device *device = devices.device[d];
        for (int wide = 0; wide < 2;
             wide++) { /* all exponents, then those of weights and fp16 scales (subnormal too) */
            for (int i = 0; i < pairs; i++) {
                b[i] = wide ? random_float(11, -24, 0) : random_float(24, -100, 100);
                a[i] = wide ? random_dividend(b[i], -30, 3) : random_dividend(b[i], -126, 126);
                if (!isnormal(a[i])) a[i] = 1.0f;
            }
            uint32_t n = (uint32_t)pairs;
            int64_t wrong = wrong_quotients(device, AR_K_div_check, &n, pairs, a, b, inv, 1);
            if (wrong) fail_msg("%s: ar_div is wrong for %d of %d pairs", devices.name[d], (int)wrong, pairs);
        }
        for (uint32_t bits = 12; bits <= 20; bits += 8) {
            uint32_t vw = ar_device_get_plan(device)->vw;
            for (uint32_t i = 0; i < (uint32_t)pairs; i++) {
                uint32_t j = i / vw;
                if (i % vw == 0)
                    b[j] = random_float((int)bits, bits == 12 ? -24 : 0, bits == 12 ? 0 : 22),
                    inv[j] = 1.0f / b[j];
                a[i] = bits == 12 ? random_dividend(b[j], -30, 3) : random_dividend(b[j], 0, 23);
            }
            struct {
                uint32_t n, bits;
            } p = {(uint32_t)pairs / vw, bits};
            int64_t wrong = wrong_quotients(device, AR_K_quot_check, &p, (uint32_t)pairs / vw, a, b, inv, vw);
            if (wrong)
                fail_msg("%s: ar_quot%u is wrong for %d of %d pairs", devices.name[d], bits, (int)wrong,
                         pairs);
        }
    }
    free(a), free(b), free(inv);
}

/* ---- bad input ---- */

static void ops_refuse_wrong_shapes_and_types(void **state) {
    (void)state;
    ar_device *device = NULL;
    assert_ok(ar_device_open(&device, &(ar_device_desc){.select = "null"}));
    ar_graph *g = NULL;
    assert_ok(ar_graph_create(&g, device));
    ar_tensor *W = NULL, *range = NULL, *wide = NULL, *v = NULL, *step = NULL, *Wq, *sz, *dv, *dmm;
    assert_ok(ar_graph_temp(g, &W, AR_F32, 2, (const int64_t[]){4, 64}));
    assert_ok(ar_graph_temp(g, &range, AR_F32, 3, (const int64_t[]){4, 2, 2}));
    assert_ok(ar_graph_temp(g, &wide, AR_F32, 3, (const int64_t[]){4, 4, 2}));
    assert_ok(ar_graph_temp(g, &v, AR_BF16, 2, (const int64_t[]){4, 64}));
    assert_ok(ar_graph_temp(g, &step, AR_I32, 1, (const int64_t[]){1}));
    const ar_fq_state none = {0}, bad_v = {.v = v}, bad_mm = {.mm = wide};
    const ar_fq_desc desc = {.scheme = {4, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE}, .v_div = 100, .m_div = 100},
                     odd = {.scheme = {9, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE}},
                     nan_div = {.scheme = {4, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE}, .v_div = NAN};
    assert_int_equal(ar_op_group_range(g, wide, W, &desc.scheme), AR_ERR_SHAPE);
    assert_int_equal(ar_op_group_range(g, NULL, W, &desc.scheme), AR_ERR_ARG);
    assert_int_equal(ar_op_fake_quant(g, &Wq, &sz, W, wide, &none, &desc), AR_ERR_SHAPE);
    assert_int_equal(ar_op_fake_quant(g, &Wq, &sz, step, range, &none, &desc), AR_ERR_DTYPE);
    assert_int_equal(ar_op_fake_quant(g, &Wq, &sz, W, range, &bad_v, &desc), AR_ERR_DTYPE);
    assert_int_equal(ar_op_fake_quant(g, &Wq, &sz, W, range, &bad_mm, &desc), AR_ERR_SHAPE);
    assert_int_equal(ar_op_fake_quant(g, &Wq, &sz, W, range, &none, &odd), AR_ERR_ARG);
    assert_int_equal(ar_op_fq_codes(g, &Wq, &sz, W, range, &none, &nan_div), AR_ERR_ARG);
    assert_int_equal(ar_op_fq_grad(g, &dv, &dmm, W, W, range, range, &none, &desc), AR_ERR_SHAPE);
    assert_int_equal(ar_op_sign_step(g, v, W, step, 10, -1, 1), AR_ERR_DTYPE);
    assert_int_equal(ar_op_sign_step(g, W, range, step, 10, -1, 1), AR_ERR_SHAPE);
    assert_int_equal(ar_op_sign_step(g, W, W, step, 10, 1, -1), AR_ERR_ARG);
    ar_graph_destroy(g);
    ar_device_close(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotients_are_correctly_rounded),
        cmocka_unit_test(forward_and_gradient_equal_the_reference),
        cmocka_unit_test(every_bit_width_zero_kind_and_state_agree),
        cmocka_unit_test(negative_scales_reach_the_lowest_code),
        cmocka_unit_test(zero_rows_do_nothing),
        cmocka_unit_test(untouched_state_equals_rtn),
        cmocka_unit_test(gradient_formulas_are_central_differences),
        cmocka_unit_test(state_types_take_the_same_fifty_steps),
        cmocka_unit_test(pieces_and_vector_widths_do_not_change_a_bit),
        cmocka_unit_test(ops_refuse_wrong_shapes_and_types),
    };
    print_message("  seed %llu\n", (unsigned long long)random_state);
    return cmocka_run_group_tests(tests, open_all, close_all);
}
