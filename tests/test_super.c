/* Double-quantized structures on every device: starts, codes and stored scales against the host bit for bit,
 * gradients against the reference and that against differences, the start against plainer ones, and tuning
 * through the whole engine. ctest-labels: device vulkan */
#include "small_llama.h"
#include "fq_device.h"
#include "ar_host.h"
#include "tune_method.h"
#include "random_model.h"
#include "selftest/ref_super.h"
#include "super_start.h"

static uint64_t random_state = 20261122;

static double random_unit(void) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(random_state >> 11) / 9007199254740992.0;
}
static float random_normal(double scale) {
    return (float)(scale * sqrt(-2.0 * log(1.0 - random_unit())) * cos(6.283185307179586 * random_unit()));
}

/* Rows of every kind: normal, zero, tiny, all positive, one outlier, huge. */
static void fill_weights(float *W, int64_t O, int64_t I) {
    for (int64_t at = 0; at < O * I; at++) {
        int64_t kind = at / I % 7;
        double scale = kind == 1 ? 0.0 : kind == 2 ? 1e-7 : kind == 6 ? 300.0 : 0.05;
        W[at] = random_normal(scale);
        if (kind == 3) W[at] = fabsf(W[at]) + 0.01f;
        if (kind == 4 && at % 97 == 0) W[at] *= 40.0f;
        if (kind == 5 && at % 64 < 32) W[at] = -0.03f;
    }
}

static float *new_weights(int64_t O, int64_t I) {
    float *W = calloc((size_t)(O * I), sizeof *W);
    fill_weights(W, O, I);
    return W;
}

/* ---- round to nearest ---- */

static void round_to_nearest_is_the_hosts_on_every_device(void **state) {
    (void)state;
    enum { O = 15, I = 512 };
    float *W = new_weights(O, I);
    for (int32_t d = 0; d < devices.count; d++)
        for (int kind = 1; kind < AR_SUPER_COUNT; kind++) {
            ar_scheme scheme = ar_scheme_super((ar_super)kind);
            ar_qlinear host, found;
            assert_ok(ar_qlinear_init(&host, &scheme, O, I));
            assert_ok(ar_qlinear_init(&found, &scheme, O, I));
            assert_ok(ar_qlinear_rtn(&host, W));
            assert_ok(ar_rtn_linear(&found, devices.device[d], W));
            size_t groups = (size_t)(O * host.groups), blocks = (size_t)(O * host.supers);
            assert_memory_equal(host.d, found.d, blocks * 2);
            assert_memory_equal(host.sub_scales, found.sub_scales, groups);
            assert_memory_equal(host.codes, found.codes, O * I);
            assert_true((host.dmin != NULL) == (found.dmin != NULL));
            if (host.dmin) assert_memory_equal(host.dmin, found.dmin, blocks * 2);
            if (host.dmin) assert_memory_equal(host.sub_mins, found.sub_mins, groups);
            ar_qlinear_deinit(&host);
            ar_qlinear_deinit(&found);
        }
    free(W);
}

/* Mean square error of a scale per group rounded to fp16 and no search: what a structure with the same groups
 * and more bits for scales would give. */
static double plain_error(const float *W, int64_t O, int64_t I, const ar_scheme *super) {
    ar_scheme plain = {super->bits, super->group, super->zero == AR_ZERO_SYM ? AR_ZERO_SYM : AR_ZERO_F16MIN,
                       0, AR_SUPER_NONE};
    ar_qlinear q;
    float *dense = calloc((size_t)(O * I), sizeof *dense);
    double sum = 0;
    assert_ok(ar_qlinear_init(&q, &plain, O, I));
    assert_ok(ar_qlinear_rtn(&q, W));
    ar_qlinear_dequant(dense, &q);
    for (int64_t i = 0; i < O * I; i++) sum += (double)(dense[i] - W[i]) * (double)(dense[i] - W[i]);
    free(dense);
    ar_qlinear_deinit(&q);
    return sum / (double)(O * I);
}

static double super_error(const float *W, int64_t O, int64_t I, const ar_scheme *scheme) {
    ar_qlinear q;
    float *dense = calloc((size_t)(O * I), sizeof *dense);
    double sum = 0;
    assert_ok(ar_qlinear_init(&q, scheme, O, I));
    assert_ok(ar_qlinear_rtn(&q, W));
    ar_qlinear_dequant(dense, &q);
    for (int64_t i = 0; i < O * I; i++) sum += (double)(dense[i] - W[i]) * (double)(dense[i] - W[i]);
    free(dense);
    ar_qlinear_deinit(&q);
    return sum / (double)(O * I);
}

/* The scan makes up for what the coarse scales lose: hardly worse than plain groups with fp16 scales, and at
 * 2 and 3 bits better. */
static void the_start_is_about_as_good_as_plain_groups(void **state) {
    (void)state;
    enum { O = 32, I = 1024 };
    static const double most[AR_SUPER_COUNT] = {0, 0.90, 0.90, 1.0, 1.03, 1.05};
    float *W = calloc(O * I, sizeof *W);
    for (int i = 0; i < O * I; i++) W[i] = random_normal(0.04);
    for (int kind = 1; kind < AR_SUPER_COUNT; kind++) {
        ar_scheme scheme = ar_scheme_super((ar_super)kind);
        double ratio = super_error(W, O, I, &scheme) / plain_error(W, O, I, &scheme);
        print_message("  kind %d: %.4f of the error of plain groups\n", kind, ratio);
        assert_true(ratio < most[kind]);
    }
    free(W);
}

static void weights_below_resolution_and_zeros_become_zero(void **state) {
    (void)state;
    float W[256] = {0}, dense[256];
    for (int kind = 1; kind < AR_SUPER_COUNT; kind++)
        for (int pass = 0; pass < 2; pass++) {
            ar_scheme scheme = ar_scheme_super((ar_super)kind);
            ar_qlinear q;
            for (int i = 0; i < 256; i++) W[i] = pass ? 1e-9f * (float)(i - 100) : 0.0f;
            assert_ok(ar_qlinear_init(&q, &scheme, 1, 256));
            assert_ok(ar_qlinear_rtn(&q, W));
            ar_qlinear_dequant(dense, &q);
            for (int i = 0; i < 256; i++) assert_true(fabsf(dense[i]) <= 1e-7f);
            ar_qlinear_deinit(&q);
        }
}

static void importance_moves_the_error_to_where_it_counts_less(void **state) {
    (void)state;
    float W[256], importance[256];
    for (int kind = 1; kind < AR_SUPER_COUNT; kind++) {
        ar_scheme scheme = ar_scheme_super((ar_super)kind);
        float zp = scheme.zero == AR_ZERO_SYM ? (float)(1 << (scheme.bits - 1)) : 0.0f,
              Q = (float)((1 << scheme.bits) - 1);
        double weighted[2] = {0};
        for (int trial = 0; trial < 50; trial++) {
            for (int i = 0; i < 256; i++) W[i] = random_normal(0.04), importance[i] = i % 4 ? 0.05f : 4.0f;
            for (int pass = 0; pass < 2; pass++) {
                ar__super_fit fit;
                ar__super_start(&fit, &scheme, W, pass ? importance : NULL);
                for (int i = 0; i < 256; i++) {
                    float s = fit.d * fit.i[i / scheme.group], m = fit.dmin * fit.j[i / scheme.group];
                    float q = s != 0.0f ? fminf(fmaxf(rintf((W[i] + m) / s) + zp, 0.0f), Q) : 0.0f;
                    double off = (double)(s * (q - zp) - m - W[i]);
                    weighted[pass] += (double)importance[i] * off * off;
                }
            }
        }
        print_message("  kind %d: %.4f of the weighted error\n", kind, weighted[1] / weighted[0]);
        assert_true(weighted[1] < weighted[0]);
    }
}

/* ---- with a state: forward, codes, gradients ---- */

typedef struct super_case {
    ref_super f;
    ar_scheme scheme;
    float *W, *dW, *start;
    int32_t *v, *mm;
} super_case;

static super_case random_case(int kind, int64_t O, int64_t I) {
    ar_scheme scheme = ar_scheme_super((ar_super)kind);
    int64_t n = O * I, groups = n / scheme.group, per = AR_SUPER_BLOCK / scheme.group;
    super_case c = {.scheme = scheme, .W = new_weights(O, I)};
    int32_t least, most;
    ar_super_limits(&least, &most, scheme.super);
    c.dW = calloc((size_t)n, sizeof *c.dW);
    c.start = calloc((size_t)groups, 4 * sizeof *c.start);
    c.v = calloc((size_t)n, sizeof *c.v);
    c.mm = calloc((size_t)groups, 2 * sizeof *c.mm);
    for (int64_t i = 0; i < n; i++) {
        c.dW[i] = random_unit() < 0.9 ? random_normal(1e-3) : 0.0f;
        c.v[i] = (int32_t)(40200.0 * (random_unit() - 0.5));
    }
    for (int64_t i = 0; i < 2 * groups; i++)
        c.mm[i] = random_unit() < 0.8 ? (int32_t)(40000.0 * (random_unit() - 0.5)) : 0;
    for (int64_t b = 0; b < n / AR_SUPER_BLOCK; b++) {
        ar__super_fit fit;
        ar__super_start(&fit, &scheme, c.W + b * AR_SUPER_BLOCK, NULL);
        for (int64_t j = 0; j < per; j++) {
            float *to = c.start + 4 * (b * per + j);
            to[0] = fit.d, to[1] = fit.dmin, to[2] = fit.i[j], to[3] = fit.j[j];
        }
    }
    c.f = (ref_super){scheme.bits,
                      scheme.zero != AR_ZERO_SYM,
                      least,
                      most,
                      O,
                      I,
                      scheme.group,
                      40000.0f,
                      40000.0f,
                      c.W,
                      c.dW,
                      c.start,
                      c.v,
                      c.mm};
    return c;
}

static void close_case(super_case *c) { free(c->W), free(c->dW), free(c->start), free(c->v), free(c->mm); }

/* One pass on one device; counts what differs from the reference. */
static void check_case(ar_device *device, const char *name, const super_case *c, ar_dtype dtype) {
    const ref_super *f = &c->f;
    int64_t n = f->O * f->I, groups = f->I / f->G;
    const int64_t start_dims[] = {f->O, groups, 4};
    ref_super_out ref;
    void *memory = calloc(1, ref_super_bytes(f));
    ref_super_run(&ref, f, memory);
    ar_fq_desc desc = {c->scheme, f->v_div, f->m_div};
    ar_tensor *W = fq_upload(device, f->O, f->I, f->W), *dW = fq_upload(device, f->O, f->I, f->dW),
              *start = NULL, *Wq, *sz, *sz2, *codes, *dv, *dmm;
    ar_fq_state st = {fq_state_tensor(device, dtype, 2, (const int64_t[]){f->O, f->I}, f->v),
                      fq_state_tensor(device, dtype, 3, (const int64_t[]){f->O, groups, 2}, f->mm)};
    ar_graph *g = NULL;
    assert_ok(ar_graph_create(&g, device));
    assert_ok(ar_tensor_create(&start, device, AR_F32, 3, start_dims));
    assert_ok(ar_op_group_range(g, start, W, &c->scheme));
    assert_ok(ar_op_fake_quant(g, &Wq, &sz, W, start, &st, &desc));
    assert_ok(ar_op_fq_codes(g, &codes, &sz2, W, start, &st, &desc));
    assert_ok(ar_op_fq_grad(g, &dv, &dmm, dW, W, start, sz, &st, &desc));
    ar_tensor *kept[] = {Wq, sz, codes, dv, dmm};
    for (size_t i = 0; i < 5; i++) ar_graph_keep(g, kept[i]);
    assert_ok(ar_graph_build(g));
    assert_ok(ar_graph_run(g));
    float *f_start = fq_read(start), *f_Wq = fq_read(Wq), *f_sz = fq_read(sz), *f_dv = fq_read(dv),
          *f_dmm = fq_read(dmm);
    uint8_t *f_codes = fq_read(codes);
    int64_t forward = 0, grad = 0;
    for (int64_t i = 0; i < n; i++) {
        forward += f_Wq[i] != ref.Wq[i] || f_codes[i] != ref.codes[i];
        grad += !(fabs((double)f_dv[i] - ref.dv[i]) <= 3e-7 * fabs(ref.dv[i]));
    }
    for (int64_t i = 0; i < 4 * f->O * groups; i++)
        forward += f_sz[i] != ref.sz[i] || f_start[i] != f->start[i];
    for (int64_t i = 0; i < 2 * f->O * groups; i++)
        grad += !(fabs((double)f_dmm[i] - ref.dmm[i]) <= 1e-5 * fabs(ref.dmm[i]) + 1e-6 * ref.parts[i / 2]);
    if (forward || grad)
        fail_msg("%s: kind %d, (%d, %d), %s: %d forward, %d gradient values differ", name,
                 (int)c->scheme.super, (int)f->O, (int)f->I, ar_dtype_name(dtype), (int)forward, (int)grad);
    ar_graph_destroy(g);
    ar_tensor *own[] = {W, dW, start, st.v, st.mm};
    for (size_t i = 0; i < 5; i++) ar_tensor_destroy(own[i]);
    free(f_start), free(f_Wq), free(f_sz), free(f_dv), free(f_dmm), free(f_codes), free(memory);
}

static void forward_and_gradient_equal_the_reference(void **state) {
    (void)state;
    static const ar_dtype types[] = {AR_F32, AR_I32, AR_I16};
    for (int32_t d = 0; d < devices.count; d++)
        for (int kind = 1; kind < AR_SUPER_COUNT; kind++) {
            super_case c = random_case(kind, 7 + kind, kind % 2 ? 256 : 768);
            check_case(devices.device[d], devices.name[d], &c, types[kind % 3]);
            close_case(&c);
        }
}

static void pieces_and_vector_widths_do_not_change_a_bit(void **state) {
    (void)state;
    for (int32_t d = 0; d < devices.count; d++)
        for (uint32_t vw = 4; vw <= (devices.name[d][0] == 'c' ? 16u : 4u); vw *= 2) {
            ar_plan plan = *ar_device_get_plan(devices.device[d]);
            plan.vw = vw;
            plan.piece_bytes = 16384;
            ar_device *device = NULL;
            assert_ok(ar_device_open(&device, &(ar_device_desc){.select = devices.name[d], .plan = &plan}));
            for (int kind = 1; kind < AR_SUPER_COUNT; kind += 2) {
                super_case c = random_case(kind, 40, 256);
                check_case(device, devices.name[d], &c, AR_I16);
                close_case(&c);
            }
            ar_device_close(device);
        }
}

/* ---- the gradient formulas themselves ---- */

/* sum dW W' of group 0 with every rounding replaced by "add what it added at the base point" and every clamp
 * by what it did there. Moves weight i's V by dV, or coefficient `which` by dc. */
static double surrogate(const ref_super *f, const ref_super_out *base, int i, double dV, int which,
                        double dc) {
    double zp = f->has_min ? 0 : 1 << (f->bits - 1), sum = 0, s_add = 0, m_add = 0;
    for (int pass = 0; pass < 2; pass++) { /* 0: the base point, for the roundings; 1: moved */
        double c0 = 1 + f->mm[0] / (double)f->m_div + (pass && which == 0 ? dc : 0);
        double c1 = 1 + f->mm[1] / (double)f->m_div + (pass && which == 1 ? dc : 0);
        double s = (double)f->start[0] * (double)f->start[2] * c0 + s_add,
               m = (double)f->start[1] * (double)f->start[3] * c1 + m_add;
        static double q_add[32];
        if (pass == 0) {
            s_add = (double)base->sz[0] - s;
            m_add = (double)base->sz[1] - m;
            s = (double)base->sz[0], m = (double)base->sz[1];
        }
        for (int k = 0; k < f->G; k++) {
            double x = ((double)f->W[k] + m) / s + f->v[k] / (double)f->v_div + (pass && k == i ? dV : 0);
            if (pass == 0)
                q_add[k] = base->codes[k] - zp - x;
            else
                sum += (double)f->dW[k] * (s * (base->in[k] ? x + q_add[k] : base->codes[k] - zp) - m);
        }
    }
    return sum;
}

static void gradient_formulas_are_central_differences(void **state) {
    (void)state;
    for (int trial = 0; trial < 60; trial++) {
        super_case c = random_case(1 + trial % (AR_SUPER_COUNT - 1), 1, 256);
        ref_super_out ref;
        void *memory = calloc(1, ref_super_bytes(&c.f));
        c.mm[0] /= 2, c.mm[1] /= 2;
        ref_super_run(&ref, &c.f, memory);
        double h = 1e-6;
        for (int i = 0; i < c.f.G && ref.sz[0] != 0.0f; i++) {
            double slope =
                (surrogate(&c.f, &ref, i, h, -1, 0) - surrogate(&c.f, &ref, i, -h, -1, 0)) / (2 * h);
            assert_true(fabs(slope - ref.dv[i]) <= 1e-9 + 1e-6 * fabs(ref.dv[i]));
        }
        for (int which = 0; which < 2 && ref.sz[0] != 0.0f; which++) {
            double slope =
                (surrogate(&c.f, &ref, -1, 0, which, h) - surrogate(&c.f, &ref, -1, 0, which, -h)) / (2 * h);
            float start = c.start[2 + which] * (1.0f + (float)c.mm[which] / 40000.0f);
            bool held = start > (float)c.f.most + 0.5f || (which == 0 && start < (float)c.f.least - 0.5f);
            if (held) continue; /* the formula says 0; the surrogate knows no bounds */
            if (fabs(slope - ref.dmm[which]) > 1e-9 + 1e-5 * ref.parts[0])
                fail_msg("trial %d: slope %g, formula %g", trial, slope, ref.dmm[which]);
        }
        free(memory);
        close_case(&c);
    }
}

/* ---- the whole engine ---- */

enum { T = 16, SAMPLES = 9, LINEARS = 7 };
static const ar_config small = {SMALL_LLAMA, .hidden = 256, .intermediate = 256,
                                .layers = 1, .heads = 4,    .head_dim = 64};

typedef struct outcome {
    float *dense[LINEARS];
    ar_block_report report;
} outcome;

static ar_status collect(void *ctx, const ar_block *block, ar_qlinear *const *linears,
                         const ar_block_report *report) {
    outcome *o = ctx;
    for (int32_t i = 0; i < block->linear_count; i++) {
        if (!linears[i]) continue;
        o->dense[i] = calloc((size_t)(linears[i]->O * linears[i]->I), sizeof(float));
        ar_qlinear_dequant(o->dense[i], linears[i]);
    }
    o->report = *report;
    return AR_OK;
}

/* A kind for every linear, a plain scheme and a float one among them. */
static bool choose(void *ctx, const ar_block *block, int32_t i, ar_scheme *scheme) {
    (void)ctx;
    (void)block;
    if (i < 5) *scheme = ar_scheme_super((ar_super)(i + 1));
    return i != 6;
}

static void quantize(outcome *o, ar_device *device, const char *method, const ar__tune_desc *desc) {
    ar_open_model *m = NULL;
    int32_t ids[SAMPLES * T];
    for (int i = 0; i < SAMPLES * T; i++) ids[i] = i * i % 47;
    memset(o, 0, sizeof *o);
    assert_ok(ar_random_model_open(&m, &small, 5));
    assert_ok(tune_method(method, &m->model, device, &(ar_samples){ids, SAMPLES, T}, desc,
                          &(ar_sink){.block = collect, .ctx = o}, NULL));
    ar_random_model_close(m);
}

static size_t differing(const outcome *a, const outcome *b) {
    size_t n = 0;
    for (int i = 0; i < LINEARS; i++) {
        int64_t O = i == 1 || i == 2 ? 128 : 256;
        assert_true((a->dense[i] != NULL) == (b->dense[i] != NULL) && (a->dense[i] == NULL) == (i == 6));
        for (int64_t k = 0; a->dense[i] && k < O * 256; k++) n += a->dense[i][k] != b->dense[i][k];
    }
    return n;
}

static void outcome_free(outcome *o) {
    for (int i = 0; i < LINEARS; i++) free(o->dense[i]);
}

static void tuning_in_the_structure_lowers_the_loss(void **state) {
    (void)state;
    ar__tune_desc desc = {.scheme = {4, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE},
                          .choose = choose,
                          .iters = 30,
                          .batch = 4,
                          .seed = 42},
                  none = desc, f32 = desc;
    none.iters = 0;
    f32.state = AR_STATE_F32;
    for (int32_t d = 0; d < devices.count; d++) {
        outcome a, b, c, plain, rtn;
        quantize(&a, devices.device[d], "signround", &desc);
        quantize(&b, devices.device[d], "signround", &desc);
        quantize(&c, devices.device[d], "signround", &f32);
        quantize(&plain, devices.device[d], "signround", &none);
        quantize(&rtn, devices.device[d], "rtn", &none);
        assert_int_equal(differing(&a, &b), 0); /* repeatable */
        assert_int_equal(differing(&a, &c), 0); /* whatever the state is kept in */
        assert_int_equal(differing(&plain, &rtn), 0);
        assert_true(differing(&a, &rtn) > 0);
        print_message("  %s: loss %g -> %g\n", devices.name[d], a.report.loss_first, a.report.loss_best);
        assert_true(a.report.loss_best < 0.9 * a.report.loss_first);
        outcome_free(&a), outcome_free(&b), outcome_free(&c), outcome_free(&plain), outcome_free(&rtn);
    }
}

/* ---- bad input ---- */

static void ops_refuse_what_does_not_fit(void **state) {
    (void)state;
    ar_device *device = NULL;
    ar_graph *g = NULL;
    ar_tensor *W = NULL, *odd = NULL, *start = NULL, *range = NULL, *counts = NULL, *Wq, *sz;
    const ar_scheme q4 = ar_scheme_super(AR_SUPER_Q4_K), plain = {4, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE};
    const ar_fq_desc desc = {.scheme = q4};
    assert_ok(ar_device_open(&device, &(ar_device_desc){.select = "null"}));
    assert_ok(ar_graph_create(&g, device));
    assert_ok(ar_graph_temp(g, &W, AR_F32, 2, (const int64_t[]){4, 256}));
    assert_ok(ar_graph_temp(g, &odd, AR_F32, 2, (const int64_t[]){4, 128}));
    assert_ok(ar_graph_temp(g, &start, AR_F32, 3, (const int64_t[]){4, 8, 4}));
    assert_ok(ar_graph_temp(g, &range, AR_F32, 3, (const int64_t[]){4, 8, 2}));
    assert_ok(ar_graph_temp(g, &counts, AR_F32, 1, (const int64_t[]){255}));
    assert_int_equal(ar_op_super_start(g, start, W, NULL, &plain), AR_ERR_ARG);
    assert_int_equal(ar_op_super_start(g, range, W, NULL, &q4), AR_ERR_SHAPE);
    assert_int_equal(ar_op_super_start(g, start, odd, NULL, &q4), AR_ERR_SHAPE);
    assert_int_equal(ar_op_super_start(g, start, W, counts, &q4), AR_ERR_SHAPE);
    assert_int_equal(ar_op_fake_quant(g, &Wq, &sz, W, range, &(ar_fq_state){0}, &desc), AR_ERR_SHAPE);
    assert_int_equal(ar_op_square_sums(g, counts, W), AR_ERR_SHAPE);
    ar_graph_destroy(g);
    ar_device_close(device);
    float bad[256] = {[77] = INFINITY};
    ar_qlinear q;
    assert_ok(ar_qlinear_init(&q, &q4, 1, 256));
    assert_int_equal(ar_qlinear_rtn(&q, bad), AR_ERR_FORMAT);
    ar_qlinear_deinit(&q);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_to_nearest_is_the_hosts_on_every_device),
        cmocka_unit_test(the_start_is_about_as_good_as_plain_groups),
        cmocka_unit_test(weights_below_resolution_and_zeros_become_zero),
        cmocka_unit_test(importance_moves_the_error_to_where_it_counts_less),
        cmocka_unit_test(forward_and_gradient_equal_the_reference),
        cmocka_unit_test(pieces_and_vector_widths_do_not_change_a_bit),
        cmocka_unit_test(gradient_formulas_are_central_differences),
        cmocka_unit_test(tuning_in_the_structure_lowers_the_loss),
        cmocka_unit_test(ops_refuse_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
