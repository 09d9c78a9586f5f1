/* Schemes, quantized linears in host memory, round to nearest on host and devices, Philox. The CRCs are those
 * of an independent PyTorch implementation over two published small models. ctest-labels: device vulkan */
#include "fq_device.h"
#include "temp_files.h"
#include "ar_error.h"

/* ---- schemes ---- */

static void super_schemes_are_fixed_and_need_whole_super_blocks(void **state) {
    (void)state;
    for (int32_t k = 1; k < AR_SUPER_COUNT; k++) {
        ar_scheme s = ar_scheme_super((ar_super)k), other = s;
        assert_ok(ar_scheme_check(&s));
        assert_int_equal(s.super, k);
        other.bits = 7;
        assert_int_equal(ar_scheme_check(&other), AR_ERR_ARG);
        other = s;
        other.group = 64;
        assert_int_equal(ar_scheme_check(&other), AR_ERR_ARG);
        other = s;
        other.zero = s.zero == AR_ZERO_SYM ? AR_ZERO_F16MIN : AR_ZERO_SYM;
        assert_int_equal(ar_scheme_check(&other), AR_ERR_ARG);
        ar_qlinear q;
        assert_int_equal(ar_qlinear_init(&q, &s, 3, 128), AR_ERR_SHAPE);
        assert_int_equal(ar_qlinear_init(&q, &s, 3, 384), AR_ERR_SHAPE);
        for (int32_t n = 1; n <= (s.zero == AR_ZERO_SYM ? 3 : 5); n++) {
            ar__alloc_fail_at(n);
            assert_int_equal(ar_qlinear_init(&q, &s, 3, 512), AR_ERR_MEMORY);
            ar__alloc_fail_at(0);
            assert_null(q.codes);
        }
        assert_ok(ar_qlinear_init(&q, &s, 3, 512));
        assert_int_equal(q.supers, 2);
        assert_int_equal(q.groups, 512 / s.group);
        assert_true(!q.scales && !q.zeros && !q.mins && (q.dmin != NULL) == (s.zero == AR_ZERO_F16MIN));
        ar_qlinear_deinit(&q);
    }
    assert_int_equal(ar_scheme_check(&(ar_scheme){4, 32, AR_ZERO_F16MIN, 0, AR_SUPER_COUNT}), AR_ERR_ARG);
}

/* The products d sc and dmin mn are rounded to f32 before the codes see them. */
static void super_dequant_rounds_the_products_of_scales(void **state) {
    (void)state;
    const ar_scheme s = ar_scheme_super(AR_SUPER_Q4_K), sym = ar_scheme_super(AR_SUPER_Q6_K);
    float dst[512];
    ar_qlinear q;
    assert_ok(ar_qlinear_init(&q, &s, 1, 512));
    q.d[1] = ar_f32_to_f16(0.3331f);
    q.dmin[1] = ar_f32_to_f16(0.7777f);
    q.sub_scales[9] = 47; /* the second group of the second super-block */
    q.sub_mins[9] = 61;
    q.codes[300] = 13;
    ar_qlinear_dequant(dst, &q);
    float scale = ar_f16_to_f32(q.d[1]) * 47.0f, min = ar_f16_to_f32(q.dmin[1]) * 61.0f,
          product = scale * 13.0f;
    assert_true(dst[300] == product - min && dst[299] == 0.0f - min && dst[0] == 0.0f);
    ar_qlinear_deinit(&q);
    assert_ok(ar_qlinear_init(&q, &sym, 1, 256));
    q.d[0] = ar_f32_to_f16(-0.01f);
    q.sub_scales[3] = -128;
    q.codes[50] = 63;
    ar_qlinear_dequant(dst, &q);
    scale = ar_f16_to_f32(q.d[0]) * -128.0f;
    assert_true(dst[50] == scale * 31.0f && dst[51] == scale * -32.0f);
    ar_qlinear_deinit(&q);
}

static void scheme_check_refuses_what_no_format_holds(void **state) {
    (void)state;
    static const ar_scheme good[] = {{2, 1, AR_ZERO_SYM, 0, AR_SUPER_NONE},
                                     {8, -1, AR_ZERO_INT, 255, AR_SUPER_NONE},
                                     {4, 128, AR_ZERO_F16MIN, 0, AR_SUPER_NONE}};
    static const ar_scheme bad[] = {
        {1, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE},    {9, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE},
        {4, 0, AR_ZERO_SYM, 0, AR_SUPER_NONE},     {4, -2, AR_ZERO_SYM, 0, AR_SUPER_NONE},
        {4, 32, AR_ZERO_SYM, 1, AR_SUPER_NONE},    {4, 32, AR_ZERO_INT, 16, AR_SUPER_NONE},
        {4, 32, AR_ZERO_INT, -1, AR_SUPER_NONE},   {4, 32, AR_ZERO_F16MIN, 1, AR_SUPER_NONE},
        {4, 32, (ar_zero_kind)3, 0, AR_SUPER_NONE}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) assert_ok(ar_scheme_check(&good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(ar_scheme_check(&bad[i]), AR_ERR_ARG);
}

static void scheme_groups_counts_the_short_last_group(void **state) {
    (void)state;
    assert_int_equal(ar_scheme_groups(&(ar_scheme){.group = 32}, 64), 2);
    assert_int_equal(ar_scheme_groups(&(ar_scheme){.group = 32}, 65), 3);
    assert_int_equal(ar_scheme_groups(&(ar_scheme){.group = 32}, 7), 1);
    assert_int_equal(ar_scheme_groups(&(ar_scheme){.group = -1}, 1000), 1);
    assert_int_equal(ar_scheme_groups(&(ar_scheme){.group = 1}, 5), 5);
}

static void qlinear_init_survives_every_failing_allocation(void **state) {
    (void)state;
    const ar_scheme s = {4, 32, AR_ZERO_F16MIN, 0, AR_SUPER_NONE};
    for (int32_t n = 1; n <= 4; n++) {
        ar_qlinear q;
        ar__alloc_fail_at(n);
        assert_int_equal(ar_qlinear_init(&q, &s, 3, 64), AR_ERR_MEMORY);
        ar__alloc_fail_at(0);
        assert_null(q.codes);
        ar_qlinear_deinit(&q);
    }
    ar_qlinear q;
    assert_int_equal(ar_qlinear_init(&q, &s, 3, 0), AR_ERR_SHAPE);
    assert_int_equal(ar_qlinear_init(&q, &(ar_scheme){4, 0, AR_ZERO_SYM, 0, AR_SUPER_NONE}, 3, 64),
                     AR_ERR_ARG);
    ar_qlinear_deinit(NULL);
}

/* ---- round to nearest ---- */

static float *random_weights(int64_t n, uint64_t seed) {
    float *W = calloc((size_t)n + 1, sizeof *W);
    for (int64_t i = 0; i < n; i++) {
        double u = ar_random_unit(seed, 0, (uint64_t)i), v = ar_random_unit(seed, 1, (uint64_t)i);
        W[i] = (float)(0.05 * sqrt(-2.0 * log(1.0 - u)) * cos(6.283185307179586 * v));
    }
    return W;
}

/* Counts differences between q and the reference. */
static int64_t differences(const ar_qlinear *q, const ref_out *ref) {
    int64_t bad = 0;
    float *W = calloc((size_t)(q->O * q->I) + 1, sizeof *W);
    ar_qlinear_dequant(W, q);
    for (int64_t i = 0; i < q->O * q->I; i++) bad += q->codes[i] != ref->codes[i] || W[i] != ref->Wq[i];
    for (int64_t g = 0; g < q->O * q->groups; g++)
        bad += ar_f16_to_f32(q->scales[g]) != ref->s[g] || q->zeros[g] != (uint8_t)ref->zp[g] ||
               (q->mins && ar_f16_to_f32(q->mins[g]) != ref->b[g]);
    free(W);
    return bad;
}

static void rtn_equals_the_reference_on_host_and_devices(void **state) {
    (void)state;
    static const int32_t groups[] = {-1, 1, 7, 16, 32, 96};
    enum { O = 5, I = 96 };
    float *W = random_weights(O * I, 11);
    memset(W + I, 0, I * sizeof *W); /* a row of zeros */
    for (int i = 0; i < I; i++) W[2 * I + i] = fabsf(W[2 * I + i]), W[3 * I + i] *= 1e-4f;
    for (int32_t bits = 2; bits <= 8; bits++)
        for (int zero = 0; zero < 4; zero++) /* 3: integer zero point of at least 1 */
            for (size_t k = 0; k < sizeof groups / sizeof *groups; k++) {
                ar_scheme s = {bits, groups[k], (ar_zero_kind)(zero == 3 ? AR_ZERO_INT : zero), zero == 3,
                               AR_SUPER_NONE};
                ref_fq in = {.bits = bits,
                             .zero = (int)s.zero,
                             .zero_min = s.zero_min,
                             .O = O,
                             .I = I,
                             .G = groups[k] < 0 ? I : groups[k],
                             .W = W};
                ref_out ref;
                ref_run(&ref, &in);
                ar_qlinear q;
                assert_ok(ar_qlinear_init(&q, &s, O, I));
                assert_ok(ar_qlinear_rtn(&q, W));
                assert_int_equal(differences(&q, &ref), 0);
                if (bits % 2 == 0)
                    for (int32_t d = 0; d < devices.count; d++) {
                        memset(q.codes, 0xff, O * I);
                        assert_ok(ar_rtn_linear(&q, devices.device[d], W));
                        assert_int_equal(differences(&q, &ref), 0);
                    }
                ar_qlinear_deinit(&q);
                ref_free(&ref);
            }
    free(W);
}

static void rtn_errs_by_at_most_half_a_step(void **state) {
    (void)state;
    enum { O = 4, I = 256 };
    float *W = random_weights(O * I, 3), *D = calloc(O * I, sizeof *D);
    for (int32_t bits = 2; bits <= 8; bits++) {
        ar_qlinear q;
        assert_ok(ar_qlinear_init(&q, &(ar_scheme){bits, 64, AR_ZERO_INT, 0, AR_SUPER_NONE}, O, I));
        assert_ok(ar_qlinear_rtn(&q, W));
        ar_qlinear_dequant(D, &q);
        for (int i = 0; i < O * I;
             i++) { /* the ends of the range move by the rounding of zp and of s to fp16 */
            double s = ar_f16_to_f32(q.scales[i / 64]),
                   ends = q.codes[i] == 0 || q.codes[i] == (1 << bits) - 1 ? 0.51 + (1 << bits) * 0x1p-11 : 0;
            assert_true(fabs((double)D[i] - W[i]) <= s * (0.5 + ends) + 1e-6);
        }
        ar_qlinear_deinit(&q);
    }
    free(W), free(D);
}

/* On the host for device -1. */
static ar_status rtn_on(ar_qlinear *q, int32_t device, const float *W) {
    return device < 0 ? ar_qlinear_rtn(q, W) : ar_rtn_linear(q, devices.device[device], W);
}

static void rtn_refuses_weights_that_are_not_finite(void **state) {
    (void)state;
    float W[8] = {0, 1};
    ar_qlinear q;
    assert_ok(ar_qlinear_init(&q, &(ar_scheme){4, 4, AR_ZERO_SYM, 0, AR_SUPER_NONE}, 2, 4));
    for (int32_t d = -1; d < devices.count; d++) {
        W[2] = NAN, W[7] = 0;
        assert_error(rtn_on(&q, d, W), AR_ERR_FORMAT, "found NaN at row 0, column 2");
        W[2] = 0, W[7] = INFINITY;
        assert_error(rtn_on(&q, d, W), AR_ERR_FORMAT, "found Inf at row 1, column 3");
        W[7] = -INFINITY;
        assert_error(rtn_on(&q, d, W), AR_ERR_FORMAT, "found -Inf at row 1, column 3");
    }
    ar_qlinear_deinit(&q);
}

/* The largest scale of fp16 times the codes (and multiples) of each scheme lies between `most` and `beyond`.
 */
static void rtn_refuses_scales_that_fp16_does_not_hold(void **state) {
    (void)state;
    enum { O = 2, I = 256 };
    static const struct {
        ar_scheme scheme;
        float most, beyond;
        const char *what;
    } cases[] = {
        {{4, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE}, 5e5f, 5.5e5f, "row 1, column 32 on whose scale"},
        {{8, 64, AR_ZERO_SYM, 0, AR_SUPER_NONE}, -8e6f, -9e6f, "row 1, column 0 on whose scale"},
        {{4, 32, AR_ZERO_INT, 0, AR_SUPER_NONE}, 9e5f, 1e6f, "row 1, column 32 on whose scale"},
        {{2, 256, AR_ZERO_INT, 0, AR_SUPER_NONE}, -1.9e5f, -2e5f, "row 1, column 0 on whose scale"},
        {{4, 32, AR_ZERO_F16MIN, 0, AR_SUPER_NONE}, 9e5f, 1e6f, "row 1, column 32 on whose scale"},
        {{4, 32, AR_ZERO_F16MIN, 0, AR_SUPER_NONE}, -6e4f, -7e4f, "row 1, column 32 on whose minimum"},
        {{2, 16, AR_ZERO_F16MIN, 0, AR_SUPER_Q2_K}, 2.5e6f, 4e6f, "row 1, column 0 on whose scale"},
        {{2, 16, AR_ZERO_F16MIN, 0, AR_SUPER_Q2_K}, -8e5f, -2e6f, "row 1, column 0 on whose"},
        {{3, 16, AR_ZERO_SYM, 0, AR_SUPER_Q3_K}, 6e6f, 1.5e7f, "row 1, column 0 on whose scale"},
        {{4, 32, AR_ZERO_F16MIN, 0, AR_SUPER_Q4_K}, 5e7f, 8e7f, "row 1, column 0 on whose scale"},
        {{5, 32, AR_ZERO_F16MIN, 0, AR_SUPER_Q5_K}, 1e8f, 1.6e8f, "row 1, column 0 on whose scale"},
        {{6, 16, AR_ZERO_SYM, 0, AR_SUPER_Q6_K}, 2.4e8f, 3.5e8f, "row 1, column 0 on whose scale"}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int32_t d = -1; d < devices.count; d++) {
            float W[O * I] = {0.5f, -0.25f}, got[O * I];
            ar_qlinear q;
            assert_ok(ar_qlinear_init(&q, &cases[k].scheme, O, I));
            W[I + 40] = cases[k].most;
            assert_ok(rtn_on(&q, d, W));
            ar_qlinear_dequant(got, &q);
            for (int i = 0; i < O * I; i++) assert_true(isfinite(got[i]));
            assert_true(fabsf(got[I + 40] / cases[k].most - 1) < 0.2f);
            W[I + 40] = cases[k].beyond;
            assert_error(rtn_on(&q, d, W), AR_ERR_FORMAT, cases[k].what);
            W[I + 40] = 1e30f;
            assert_error(rtn_on(&q, d, W), AR_ERR_FORMAT, "found 1e+30 at row 1, column 40");
            ar_qlinear_deinit(&q);
        }
}

/* ---- published figures ---- */

typedef struct crc_row {
    const char *model;
    ar_scheme scheme;
    uint32_t codes, scales, zeros;
} crc_row;
#define SYM(b, g)                                                                                            \
    { b, g, AR_ZERO_SYM, 0, AR_SUPER_NONE }
#define INT(b, g)                                                                                            \
    { b, g, AR_ZERO_INT, 0, AR_SUPER_NONE }
static const crc_row own_rows[] = {
    /* tests/golden/make_reference.py */
    {"tests/golden/signround/model", SYM(4, 32), 0x6c80bea6, 0x93d28f32, 0},
    {"tests/golden/signround/model", INT(2, 32), 0x89726832, 0x85f97792, 0x04d2bad8},
    {"tests/golden/signround/model", INT(3, 32), 0x10c1d114, 0xf809f85f, 0x1ca75ae8},
    {"tests/golden/signround/model", INT(4, 128), 0x8a4f94f8, 0x9a5a9b14, 0x3650605e},
    {"tests/golden/signround/model", INT(2, 128), 0x9b7fdecf, 0xfcd965c2, 0xa3d36af1},
    {"tests/golden/signround/model", INT(4, 32), 0xed60c8e3, 0xc4db40b9, 0x478f40a9},
    {"tests/golden/signround/model", INT(3, 128), 0x8cb1c56b, 0x60d37e19, 0xe810645c},
    {"tests/golden/signround/model", SYM(2, 32), 0x78bc52a7, 0x9c22b256, 0},
    {"examples/demo-model", SYM(4, 32), 0x4331edf7, 0x417ca5ae, 0},
    {"examples/demo-model", INT(2, 32), 0xf20bd9e1, 0x780e94e9, 0xa9aa70c9},
    {"examples/demo-model", INT(3, 32), 0x982aa2b8, 0x5307b266, 0xdb0a19a1},
    {"examples/demo-model", INT(4, 128), 0x6c9f67cc, 0x94ba6373, 0xe08d7af4},
    {"examples/demo-model", INT(2, 128), 0xd7714504, 0x8931a214, 0x1029ee93},
    {"examples/demo-model", INT(4, 32), 0x0b4025e8, 0xbb545d8d, 0xc52608b6},
    {"examples/demo-model", INT(3, 128), 0x04851f20, 0x56044bdc, 0x303f988f},
    {"examples/demo-model", SYM(2, 32), 0xb4e17df7, 0xabe77339, 0},
};
static const crc_row published_rows[] = {
    {"tinystories-656K-hf", SYM(4, 32), 0x8e51a4ca, 0xc89f5d96, 0},
    {"tinystories-656K-hf", INT(2, 32), 0xab1ef32e, 0xa4c6a0b3, 0x13b92ba8},
    {"tinystories-656K-hf", INT(3, 32), 0x2317fc57, 0xf933e653, 0x2b9e3fa4},
    {"tinystories-656K-hf", INT(4, 128), 0x6381f897, 0xcedd8ec8, 0x0ba27749},
    {"tinystories-656K-hf", INT(2, 128), 0x4a60f36e, 0xc0d3bc6e, 0x597ac9c7},
    {"tinystories-656K-hf", INT(4, 32), 0x23ad1f62, 0x5d5d6b67, 0x7d10e1a7},
    {"tinystories-656K-hf", INT(3, 128), 0x22324f56, 0x81d4c271, 0x05e6d21b},
    {"tinystories-656K-hf", SYM(2, 32), 0x9a852e66, 0x16a233dc, 0},
    {"stories260K-hf", SYM(4, 32), 0x89f9cd77, 0xcb145209, 0},
    {"stories260K-hf", INT(2, 32), 0x8e9ae269, 0xd7b938f3, 0x31f6c8f4},
    {"stories260K-hf", INT(3, 32), 0xe2986004, 0xe1d8a628, 0x8f47a868},
    {"stories260K-hf", INT(4, 128), 0x3def008d, 0xfeb6b38c, 0x01ce8eb5},
    {"stories260K-hf", INT(2, 128), 0x72c95341, 0x815919ab, 0x63365df6},
    {"stories260K-hf", INT(4, 32), 0x6f51478a, 0xc0da2463, 0x5349a875},
    {"stories260K-hf", INT(3, 128), 0xbb3971f5, 0xf7318b4e, 0x0c283335},
    {"stories260K-hf", SYM(2, 32), 0xcc5eca5c, 0x4933594c, 0},
};

static const char *const linears[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                      "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                      "mlp.down_proj"};

/* CRCs of every linear of the model in order; device NULL = host. */
static void crc_of_model(uint32_t crc[3], const ar_weights *w, const ar_scheme *s, ar_device *device) {
    crc[0] = crc[1] = crc[2] = 0;
    for (int layer = 0;; layer++)
        for (int i = 0; i < 7; i++) {
            char name[96];
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer, linears[i]);
            int64_t at = ar_weights_find(w, name);
            if (at < 0) {
                assert_true(layer > 0 && i == 0);
                return;
            }
            const ar_weight *info = w->vtable->at(w->impl, at);
            int64_t O = info->dims[0], I = info->dims[1];
            float *W = calloc((size_t)(O * I) + 1, sizeof *W);
            assert_ok(w->vtable->read(w->impl, W, at, 0, O));
            ar_qlinear q;
            assert_ok(ar_qlinear_init(&q, s, O, I));
            assert_ok(device ? ar_rtn_linear(&q, device, W) : ar_qlinear_rtn(&q, W));
            crc[0] = ar_crc32(crc[0], q.codes, (size_t)(O * I));
            crc[1] = ar_crc32(crc[1], q.scales, (size_t)(O * q.groups * 2));
            crc[2] = ar_crc32(crc[2], q.zeros, (size_t)(O * q.groups));
            ar_qlinear_deinit(&q);
            free(W);
        }
}

static void check_crcs(const crc_row *row, const char *path) {
    ar_weights w = {0};
    assert_ok(ar_weights_open_safetensors(&w, path));
    for (int32_t d = -1; d < devices.count; d++) {
        uint32_t crc[3];
        crc_of_model(crc, &w, &row->scheme, d < 0 ? NULL : devices.device[d]);
        if (crc[0] != row->codes || crc[1] != row->scales || (row->zeros && crc[2] != row->zeros))
            fail_msg("%s %s W%dg%d: codes %08x, scales %08x, zeros %08x", d < 0 ? "host" : devices.name[d],
                     row->model, row->scheme.bits, row->scheme.group, crc[0], crc[1], crc[2]);
    }
    ar_weights_close(&w);
}

static void rtn_codes_have_the_references_crcs(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof own_rows / sizeof *own_rows; k++)
        check_crcs(&own_rows[k], own_rows[k].model);
}

static void rtn_codes_have_the_published_crcs(void **state) {
    (void)state;
    if (!shared_data("tinystories-656K-hf")) skip();
    for (size_t k = 0; k < sizeof published_rows / sizeof *published_rows; k++)
        check_crcs(&published_rows[k], shared_data(published_rows[k].model));
}

/* ---- random numbers ---- */

static void philox_gives_the_published_numbers(void **state) {
    (void)state;
    /* Random123's known answers for philox4x32-10: word 0 of three blocks */
    assert_int_equal(ar_random_u32(0, 0, 0), 0x6627e8d5);
    assert_int_equal(ar_random_u32(UINT64_MAX, UINT64_MAX, UINT64_MAX), 0x408f276d);
    assert_int_equal(ar_random_u32(UINT64_C(0x299f31d0a4093822), UINT64_C(0x0370734413198a2e),
                                   UINT64_C(0x85a308d3243f6a88)),
                     0xd16cfe09);
}

static void random_units_are_uniform_and_keyed(void **state) {
    (void)state;
    enum { N = 100000 };
    double sum = 0, cross = 0;
    for (uint64_t i = 0; i < N; i++) {
        double u = ar_random_unit(7, 1, i), v = ar_random_unit(7, 2, i);
        assert_true(u >= 0.0 && u < 1.0);
        sum += u;
        cross += (u - 0.5) * (v - 0.5);
    }
    assert_true(fabs(sum / N - 0.5) < 5 * sqrt(1.0 / 12 / N));
    assert_true(fabs(cross / N) < 5.0 / 12 / sqrt(N));
    assert_true(ar_random_unit(7, 1, 5) == ar_random_unit(7, 1, 5) &&
                ar_random_unit(8, 1, 5) != ar_random_unit(7, 1, 5));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(super_schemes_are_fixed_and_need_whole_super_blocks),
        cmocka_unit_test(super_dequant_rounds_the_products_of_scales),
        cmocka_unit_test(scheme_check_refuses_what_no_format_holds),
        cmocka_unit_test(scheme_groups_counts_the_short_last_group),
        cmocka_unit_test(qlinear_init_survives_every_failing_allocation),
        cmocka_unit_test(rtn_equals_the_reference_on_host_and_devices),
        cmocka_unit_test(rtn_errs_by_at_most_half_a_step),
        cmocka_unit_test(rtn_refuses_weights_that_are_not_finite),
        cmocka_unit_test(rtn_refuses_scales_that_fp16_does_not_hold),
        cmocka_unit_test(rtn_codes_have_the_references_crcs),
        cmocka_unit_test(rtn_codes_have_the_published_crcs),
        cmocka_unit_test(philox_gives_the_published_numbers),
        cmocka_unit_test(random_units_are_uniform_and_keyed),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
