/* One Llama block on every device against vectors of an independent float64 implementation
 * (tests/golden/signround/block.safetensors and, where it is there, the larger material's; tolerances are
 * those of its README). ctest-labels: device vulkan */
#include "op_check.h"
#include "temp_files.h"

#define B       2
#define LINEARS 7
static const char *const short_names[LINEARS] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                 "gate_proj", "up_proj", "down_proj"};
enum { Q_PROJ, K_PROJ, V_PROJ, O_PROJ, GATE_PROJ, UP_PROJ, DOWN_PROJ };

/* ---- the model's block 0 and the vectors ---- */

typedef struct fixture {
    ar_open_model model;
    ar_safetensors *golden;
    int32_t T; /* tokens of each of the B samples */
} fixture;

static const char *const own[] = {"tests/golden/signround/block.safetensors", "tests/golden/signround/model"};

/* The larger material's files, or NULL. */
static const char *const *larger(void) {
    static char vectors[4096], model[4096];
    static const char *const both[] = {vectors, model};
    if (!shared_data("golden-signround/block.safetensors") || !shared_data("tinystories-656K-hf/config.json"))
        return NULL;
    snprintf(vectors, sizeof vectors, "%s", shared_data("golden-signround/block.safetensors"));
    snprintf(model, sizeof model, "%s", shared_data("tinystories-656K-hf"));
    return both;
}

/* files: vectors, model. */
static void fixture_init(fixture *f, const char *const files[2]) {
    memset(f, 0, sizeof *f);
    CHECK_OK(ar_safetensors_open(&f->golden, files[0]));
    CHECK_OK(ar_config_open(&f->model.config, in_folder(files[1], "config.json")));
    CHECK_OK(ar_weights_open_safetensors(&f->model.weights, files[1]));
    f->model.path = (char *)(uintptr_t)files[1];
    CHECK_OK(ar_family_bind(&f->model));
    const ar_st_tensor *x = ar_safetensors_find(f->golden, "x");
    assert_non_null(x);
    assert_int_equal(x->dim_count, 3);
    assert_int_equal(x->dims[0], B);
    f->T = (int32_t)x->dims[1];
}

static void fixture_deinit(fixture *f) {
    ar_family_unbind(&f->model);
    ar_weights_close(&f->model.weights);
    ar_safetensors_close(f->golden);
}

/* A tensor of the vectors; count must agree. */
static const void *golden(const fixture *f, const char *name, const char *dtype, int64_t count) {
    const ar_st_tensor *t = ar_safetensors_find(f->golden, name);
    if (!t) fail_msg("the vectors hold no %s", name);
    int64_t found = 1;
    for (int32_t i = 0; i < t->dim_count; i++) found *= t->dims[i];
    if (strcmp(t->dtype, dtype) != 0 || found != count)
        fail_msg("%s: found %s x %lld, expected %s x %lld", name, t->dtype, (long long)found, dtype,
                 (long long)count);
    return t->data;
}

static double golden_loss(const fixture *f, const char *name) {
    double loss;
    memcpy(&loss, golden(f, name, "F64", 1), sizeof loss);
    return loss;
}

/* Max difference <= bound * max of the wanted values, and the same for the norms. */
static void compare(const ar_device *device, const fixture *f, const char *name, const ar_tensor *t,
                    double bound) {
    int64_t count = ar_tensor_count(t);
    const float *want = golden(f, name, "F32", count);
    float *got = check_read(t);
    double largest = 0, off = 0, want_sum = 0, off_sum = 0;
    for (int64_t i = 0; i < count; i++) {
        double d = (double)got[i] - want[i];
        if (!(fabs(d) <= off)) off = fabs(d);
        if (fabs((double)want[i]) > largest) largest = fabs((double)want[i]);
        want_sum += (double)want[i] * want[i];
        off_sum += d * d;
    }
    free(got);
    if (!(off <= bound * largest))
        fail_msg("%s on %s: off by %.3g of %.3g, expected %.1g of it", name, check_name(device), off, largest,
                 bound);
    if (!(off_sum <= bound * bound * want_sum))
        fail_msg("%s on %s: off by %.3g in norm", name, check_name(device), sqrt(off_sum / want_sum));
}

static void compare_loss(const ar_device *device, const fixture *f, const char *name, const ar_tensor *t,
                         double bound) {
    float got;
    double want = golden_loss(f, name);
    CHECK_OK(ar_tensor_read(t, &got, 0, 1));
    if (!(fabs((double)got - want) <= bound * want))
        fail_msg("%s on %s: found %.9g, expected %.9g", name, check_name(device), (double)got, want);
}

/* ---- a hook that remembers what passed ---- */

typedef struct tap {
    ar_block_weights *weights;
    ar_tensor *const *replaced; /* weights to use for the linears; NULL = the block's */
    ar_tensor *in[LINEARS], *out[LINEARS], *norm_in[2], *norm_out[2];
} tap;

static ar_status tap_linear(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    tap *t = ctx;
    ar_status status = t->replaced ? ar_op_linear(g, y, x, t->replaced[i], t->weights->biases[i])
                                   : t->weights->hook.linear(t->weights->hook.ctx, g, y, i, x);
    t->in[i] = x;
    t->out[i] = *y;
    ar_graph_keep(g, x);
    ar_graph_keep(g, *y);
    return status;
}

static ar_status tap_norm(void *ctx, ar_graph *g, ar_tensor **y, int32_t j, ar_tensor *x) {
    tap *t = ctx;
    ar_status status = t->weights->hook.norm(t->weights->hook.ctx, g, y, j, x);
    t->norm_in[j] = x;
    t->norm_out[j] = *y;
    ar_graph_keep(g, x);
    ar_graph_keep(g, *y);
    return status;
}

static void compare_middle(const ar_device *device, const fixture *f, const tap *t) {
    compare(device, f, "mid.n1", t->norm_out[0], 1e-5);
    compare(device, f, "mid.n2", t->norm_out[1], 1e-5);
    compare(device, f, "mid.v", t->out[V_PROJ], 1e-5);
    compare(device, f, "mid.attn", t->in[O_PROJ], 1e-5);
    compare(device, f, "mid.h", t->norm_in[1], 1e-5);
    compare(device, f, "mid.gate", t->out[GATE_PROJ], 1e-5);
    compare(device, f, "mid.up", t->out[UP_PROJ], 1e-5);
    compare(device, f, "mid.act", t->in[DOWN_PROJ], 1e-5);
}

/* ---- A: the float block ---- */

static void float_step(ar_device *device, void *ctx) {
    const fixture *f = ctx;
    const ar_block *block = &f->model.model.blocks[0];
    int64_t hidden = block->hidden, rows = B * f->T;
    ar_block_weights weights;
    ar_graph *g = NULL;
    ar_tensor *y = NULL, *loss = NULL;
    CHECK_OK(ar_block_weights_init(&weights, block, device));
    ar_tensor *x = check_tensor(device, AR_F32, rows, hidden, golden(f, "x", "F32", rows * hidden));
    ar_tensor *target =
        check_tensor(device, AR_F32, rows, hidden, golden(f, "A.target", "F32", rows * hidden));
    ar_tensor_set_needs_grad(x, true);
    for (int32_t i = 0; i < LINEARS; i++) ar_tensor_set_needs_grad(weights.linears[i], true);
    tap t = {.weights = &weights};
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(
        block->forward(block, g, &y, x, f->T, &(ar_hook){.linear = tap_linear, .norm = tap_norm, .ctx = &t}));
    CHECK_OK(ar_op_mse(g, &loss, y, target, NULL));
    CHECK_OK(ar_graph_backward(g, loss));
    ar_graph_keep(g, y);
    ar_graph_keep(g, loss);
    ar_graph_keep(g, ar_tensor_grad(x));
    for (int32_t i = 0; i < LINEARS; i++) ar_graph_keep(g, ar_tensor_grad(weights.linears[i]));
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    compare_middle(device, f, &t);
    compare(device, f, "y", y, 1e-5);
    compare_loss(device, f, "A.loss", loss, 1e-4);
    compare(device, f, "A.dx", ar_tensor_grad(x), 2e-4);
    for (int32_t i = 0; i < LINEARS; i++) {
        char name[32];
        snprintf(name, sizeof name, "A.dW.%s", short_names[i]);
        compare(device, f, name, ar_tensor_grad(weights.linears[i]), 2e-4);
    }
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    ar_tensor_destroy(target);
    ar_block_weights_deinit(&weights);
}

/* ---- B: one SignRound step of the fake-quantized block, short of the update ---- */

#define STEPS 40000 /* state units: T^2 with T = 200 iterations and lr = 1/T */

typedef struct quantized { /* one linear */
    ar_tensor *v, *mm, *range, *Wq, *sz, *codes, *codes_sz, *dv, *dmm;
} quantized;

typedef struct step_case {
    const fixture *f;
    const char *name;
    ar_scheme scheme;
} step_case;

static const char *step_name(const step_case *c, int32_t i, const char *what) {
    static char name[64];
    snprintf(name, sizeof name, "B.%s.%s.%s", c->name, short_names[i], what);
    return name;
}

/* State as integers: V in i16, min and max as distances from their start in i32. */
static void quantized_init(quantized *q, ar_graph *g, ar_device *device, const step_case *c,
                           const ar_block *block, const ar_tensor *W, int32_t i, const ar_fq_desc *desc) {
    int64_t rows = block->linears[i].O, width = block->linears[i].I,
            groups = ar_scheme_groups(&c->scheme, width);
    int64_t dims[3] = {rows, groups, 2};
    int32_t *mm = malloc((size_t)(rows * groups) * 8);
    const int32_t *lo = golden(c->f, step_name(c, i, "min_n"), "I32", rows * groups);
    const int32_t *hi = golden(c->f, step_name(c, i, "max_n"), "I32", rows * groups);
    for (int64_t j = 0; j < rows * groups; j++) {
        mm[2 * j] = lo[j] - STEPS;
        mm[2 * j + 1] = hi[j] - STEPS;
    }
    memset(q, 0, sizeof *q);
    q->v =
        check_tensor(device, AR_I16, rows, width, golden(c->f, step_name(c, i, "V_n"), "I16", rows * width));
    CHECK_OK(ar_tensor_create(&q->mm, device, AR_I32, 3, dims));
    CHECK_OK(ar_tensor_write(q->mm, mm, 0, rows * groups * 2));
    CHECK_OK(ar_tensor_create(&q->range, device, AR_F32, 3, dims));
    free(mm);
    ar_fq_state state = {q->v, q->mm};
    CHECK_OK(ar_op_group_range(g, q->range, W, &c->scheme));
    CHECK_OK(ar_op_fake_quant(g, &q->Wq, &q->sz, W, q->range, &state, desc));
    CHECK_OK(ar_op_fq_codes(g, &q->codes, &q->codes_sz, W, q->range, &state, desc));
    ar_graph_keep(g, q->codes);
    ar_graph_keep(g, q->codes_sz);
}

static void quantized_grad(quantized *q, ar_graph *g, const ar_tensor *W, const ar_fq_desc *desc) {
    ar_fq_state state = {q->v, q->mm};
    CHECK_OK(ar_op_fq_grad(g, &q->dv, &q->dmm, ar_tensor_grad(q->Wq), W, q->range, q->sz, &state, desc));
    ar_graph_keep(g, ar_tensor_grad(q->Wq));
    ar_graph_keep(g, q->dv);
    ar_graph_keep(g, q->dmm);
}

static void quantized_deinit(quantized *q) {
    ar_tensor_destroy(q->v);
    ar_tensor_destroy(q->mm);
    ar_tensor_destroy(q->range);
}

/* Codes, scales and zero points are equal, bit for bit. */
static void compare_codes(const ar_device *device, const step_case *c, const quantized *q, int32_t i,
                          int64_t rows, int64_t width) {
    int64_t groups = ar_scheme_groups(&c->scheme, width);
    const uint8_t *want = golden(c->f, step_name(c, i, "q"), "U8", rows * width);
    const uint8_t *zp = golden(c->f, step_name(c, i, "zp"), "U8", rows * groups);
    const uint16_t *scale = golden(c->f, step_name(c, i, "scale"), "F16", rows * groups);
    uint8_t *codes = check_read(q->codes);
    float *sz = check_read(q->codes_sz);
    for (int64_t j = 0; j < rows * width; j++)
        if (codes[j] != want[j])
            fail_msg("%s on %s: code %lld is %d, expected %d", step_name(c, i, "q"), check_name(device),
                     (long long)j, codes[j], want[j]);
    for (int64_t j = 0; j < rows * groups; j++)
        if (sz[4 * j] != ar_f16_to_f32(scale[j]) || sz[4 * j + 1] != (float)zp[j])
            fail_msg("%s on %s: group %lld is (%g, %g), expected (%g, %d)", step_name(c, i, "scale"),
                     check_name(device), (long long)j, (double)sz[4 * j], (double)sz[4 * j + 1],
                     (double)ar_f16_to_f32(scale[j]), zp[j]);
    free(codes);
    free(sz);
}

static int sign_of(double x) { return (x > 0) - (x < 0); }

/* Whether rounding stayed inside the codes: the straight-through mask. */
static bool in_range(const step_case *c, double w, double s, double V, double zp) {
    float r = nearbyintf((float)w / (float)s + (float)V) + (float)zp;
    return r >= 0 && r <= (float)((1 << c->scheme.bits) - 1);
}

/* dV = dW s in: the signs agree wherever |dW| is not tiny. */
static void compare_v_signs(const ar_device *device, const step_case *c, const quantized *q, int32_t i,
                            const float *W, int64_t rows, int64_t width) {
    int64_t groups = ar_scheme_groups(&c->scheme, width), G = c->scheme.group, checked = 0;
    const float *dW = golden(c->f, step_name(c, i, "dW"), "F32", rows * width);
    const int16_t *V = golden(c->f, step_name(c, i, "V_n"), "I16", rows * width);
    const uint8_t *zp = golden(c->f, step_name(c, i, "zp"), "U8", rows * groups);
    const uint16_t *scale = golden(c->f, step_name(c, i, "scale"), "F16", rows * groups);
    float *dv = check_read(q->dv);
    double largest = 0;
    for (int64_t j = 0; j < rows * width; j++) largest = fmax(largest, fabs((double)dW[j]));
    for (int64_t j = 0; j < rows * width; j++) {
        int64_t group = j / width * groups + j % width / G;
        double s = (double)ar_f16_to_f32(scale[group]);
        double want = in_range(c, W[j], s, V[j] / (double)STEPS, zp[group]) ? dW[j] * s : 0;
        if (fabs((double)dW[j]) <= 1e-4 * largest) continue;
        checked++;
        if (sign_of(dv[j]) != sign_of(want))
            fail_msg("%s on %s: dV %lld is %g, expected %g", step_name(c, i, "dW"), check_name(device),
                     (long long)j, (double)dv[j], want);
    }
    assert_true(checked > rows * width / 2);
    free(dv);
}

/* Our min and max gradients are the true ones up to a positive factor: signs, where the sum is not mere
 * rounding. */
static void compare_range_signs(const ar_device *device, const step_case *c, const quantized *q, int32_t i,
                                int64_t count) {
    static const char *const parts[] = {"dmin", "dmax"}, *const sums[] = {"dmin_abs", "dmax_abs"};
    float *dmm = check_read(q->dmm);
    for (int p = 0; p < 2; p++) {
        const float *want = golden(c->f, step_name(c, i, parts[p]), "F32", count);
        const float *all = golden(c->f, step_name(c, i, sums[p]), "F32", count);
        for (int64_t j = 0; j < count; j++)
            if (fabs((double)want[j]) > 1e-3 * (double)all[j] && sign_of(dmm[2 * j + p]) != sign_of(want[j]))
                fail_msg("%s on %s: group %lld is %g, expected %g", step_name(c, i, parts[p]),
                         check_name(device), (long long)j, (double)dmm[2 * j + p], (double)want[j]);
    }
    free(dmm);
}

static void compare_linear(const ar_device *device, const step_case *c, const quantized *q,
                           const ar_block *block, int32_t i) {
    int64_t rows = block->linears[i].O, width = block->linears[i].I;
    float *W = malloc((size_t)(rows * width) * sizeof *W);
    CHECK_OK(block->read_linear(block, W, i, 0, rows));
    compare_codes(device, c, q, i, rows, width);
    compare(device, c->f, step_name(c, i, "dW"), ar_tensor_grad(q->Wq), 3e-5);
    compare_v_signs(device, c, q, i, W, rows, width);
    compare_range_signs(device, c, q, i, rows * ar_scheme_groups(&c->scheme, width));
    free(W);
}

/* Records forward, loss, backward and the quantizer's gradients; *y and *loss are kept. */
static ar_graph *record_step(ar_device *device, const step_case *c, ar_block_weights *weights, quantized *q,
                             ar_tensor *x, const ar_tensor *target, const ar_tensor *mask, ar_tensor **y,
                             ar_tensor **loss) {
    const ar_block *block = weights->block;
    ar_fq_desc desc = {c->scheme, STEPS, STEPS};
    ar_tensor *replaced[LINEARS];
    ar_graph *g = NULL;
    CHECK_OK(ar_graph_create(&g, device));
    for (int32_t i = 0; i < LINEARS; i++) {
        quantized_init(&q[i], g, device, c, block, weights->linears[i], i, &desc);
        replaced[i] = q[i].Wq;
    }
    tap t = {.weights = weights, .replaced = replaced};
    CHECK_OK(block->forward(block, g, y, x, c->f->T,
                            &(ar_hook){.linear = tap_linear, .norm = tap_norm, .ctx = &t}));
    CHECK_OK(ar_op_mse(g, loss, *y, target, mask));
    CHECK_OK(ar_graph_backward(g, *loss));
    for (int32_t i = 0; i < LINEARS; i++) quantized_grad(&q[i], g, weights->linears[i], &desc);
    ar_graph_keep(g, *y);
    ar_graph_keep(g, *loss);
    CHECK_OK(ar_graph_build(g));
    return g;
}

static void quantized_step(ar_device *device, void *ctx) {
    const step_case *c = ctx;
    const ar_block *block = &c->f->model.model.blocks[0];
    const int32_t T = c->f->T;
    int64_t hidden = block->hidden, rows = B * T;
    float *keep = malloc((size_t)rows * sizeof *keep);
    char name[64];
    ar_block_weights weights;
    quantized q[LINEARS];
    ar_tensor *y = NULL, *loss = NULL;
    for (int64_t n = 0; n < rows; n++) keep[n] = n % T != T - 1;
    CHECK_OK(ar_block_weights_init(&weights, block, device));
    ar_tensor *x = check_tensor(device, AR_F32, rows, hidden, golden(c->f, "B.x_q", "F32", rows * hidden));
    ar_tensor *target = check_tensor(device, AR_F32, rows, hidden, golden(c->f, "y", "F32", rows * hidden));
    ar_tensor *mask = check_tensor(device, AR_F32, rows, -1, keep);
    free(keep);
    ar_graph *g = record_step(device, c, &weights, q, x, target, mask, &y, &loss);
    CHECK_OK(ar_graph_run(g));
    snprintf(name, sizeof name, "B.%s.y_q", c->name);
    compare(device, c->f, name, y, 1e-5);
    snprintf(name, sizeof name, "B.%s.loss", c->name);
    compare_loss(device, c->f, name, loss, 1e-5);
    for (int32_t i = 0; i < LINEARS; i++) compare_linear(device, c, &q[i], block, i);
    ar_graph_destroy(g);
    for (int32_t i = 0; i < LINEARS; i++) quantized_deinit(&q[i]);
    ar_tensor_destroy(x);
    ar_tensor_destroy(target);
    ar_tensor_destroy(mask);
    ar_block_weights_deinit(&weights);
}

static void float_block_matches(const char *const *files) {
    fixture f;
    if (!files) skip();
    fixture_init(&f, files);
    check_each_device(float_step, &f);
    fixture_deinit(&f);
}

static void quantized_block_matches(const char *const *files, const char *name, ar_scheme scheme) {
    fixture f;
    if (!files) skip();
    fixture_init(&f, files);
    check_each_device(quantized_step, &(step_case){&f, name, scheme});
    fixture_deinit(&f);
}

static const ar_scheme two_bits = {2, 32, AR_ZERO_INT, 0, AR_SUPER_NONE},
                       four_bits = {4, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE};

static void float_block_matches_the_vectors(void **state) {
    (void)state;
    float_block_matches(own);
}

static void two_bit_asymmetric_step_matches_the_vectors(void **state) {
    (void)state;
    quantized_block_matches(own, "w2g32asym", two_bits);
}

static void four_bit_symmetric_step_matches_the_vectors(void **state) {
    (void)state;
    quantized_block_matches(own, "w4g32sym", four_bits);
}

static void float_block_matches_the_larger_vectors(void **state) {
    (void)state;
    float_block_matches(larger());
}

static void two_bit_asymmetric_step_matches_the_larger_vectors(void **state) {
    (void)state;
    quantized_block_matches(larger(), "w2g32asym", two_bits);
}

static void four_bit_symmetric_step_matches_the_larger_vectors(void **state) {
    (void)state;
    quantized_block_matches(larger(), "w4g32sym", four_bits);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(float_block_matches_the_vectors),
                                       cmocka_unit_test(two_bit_asymmetric_step_matches_the_vectors),
                                       cmocka_unit_test(four_bit_symmetric_step_matches_the_vectors),
                                       cmocka_unit_test(float_block_matches_the_larger_vectors),
                                       cmocka_unit_test(two_bit_asymmetric_step_matches_the_larger_vectors),
                                       cmocka_unit_test(four_bit_symmetric_step_matches_the_larger_vectors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
