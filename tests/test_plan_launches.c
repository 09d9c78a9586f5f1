/* No launch that an op records is estimated longer than a submission may be, on any device. */
#include "known_devices.h"

/* ---- no launch is longer than a submission may be ---- */

#define CHECK_OK(call)                                                                                       \
    do {                                                                                                     \
        ar_status check_status_ = (call);                                                                    \
        if (check_status_ != AR_OK) fail_msg("%s: %s", #call, ar_error());                                   \
    } while (0)

/* Graph tensors only: nothing is built, so nothing takes memory. */
static ar_tensor *temp(ar_graph *g, int64_t N, int64_t I) {
    ar_tensor *t = NULL;
    CHECK_OK(ar_graph_temp(g, &t, AR_F32, 2, (int64_t[]){N, I}));
    return t;
}

static ar_tensor *typed(ar_graph *g, ar_dtype dtype, int32_t dim_count, int64_t a, int64_t b, int64_t c,
                        int64_t d) {
    ar_tensor *t = NULL;
    CHECK_OK(ar_graph_temp(g, &t, dtype, dim_count, (int64_t[]){a, b, c, d}));
    return t;
}

static ar_tensor *wanted(ar_tensor *t) {
    t->needs_grad = true;
    return t;
}

static void backward_of_mean(ar_graph *g, ar_tensor *y) {
    ar_tensor *loss = NULL;
    CHECK_OK(ar_op_mean(g, &loss, y));
    CHECK_OK(ar_graph_backward(g, loss));
}

static void products(ar_graph *g) { /* NT, its gradients NN and TN, a bias */
    ar_tensor *y = NULL, *logits = NULL;
    CHECK_OK(ar_op_linear(g, &y, wanted(temp(g, 4096, 4096)), wanted(temp(g, 4096, 4096)),
                          wanted(typed(g, AR_F32, 1, 4096, 0, 0, 0))));
    CHECK_OK(ar_op_linear(g, &logits, y, wanted(temp(g, 128256, 4096)), NULL));
    backward_of_mean(g, logits);
}

static void attention(ar_graph *g) { /* T 2048 with eight queries' heads to a key's, and T 8000 */
    ar_tensor *y = NULL, *z = NULL;
    CHECK_OK(ar_op_attention(g, &y, wanted(temp(g, 16384, 4096)), wanted(temp(g, 16384, 512)),
                             wanted(temp(g, 16384, 512)), 2048, 128, 0, 0));
    backward_of_mean(g, y);
    CHECK_OK(ar_op_attention(g, &z, wanted(temp(g, 8000, 4096)), wanted(temp(g, 8000, 512)),
                             wanted(temp(g, 8000, 512)), 8000, 128, 4000, 0));
    backward_of_mean(g, z);
}

static void generation(ar_graph *g) { /* 32768 positions */
    ar_tensor *k = typed(g, AR_F16, 4, 1, 8, 32768, 128), *v = typed(g, AR_F16, 4, 1, 8, 32768, 128);
    ar_tensor *pos = typed(g, AR_I32, 1, 1, 0, 0, 0), *y = NULL;
    for (int64_t T = 1; T <= 512; T *= 8) {
        ar_tensor *q = temp(g, T, 4096), *kv = temp(g, T, 1024);
        CHECK_OK(ar_op_cache_append(g, &y, &(ar_columns){q, 0, 4096}, &(ar_columns){kv, 0, 1024},
                                    &(ar_columns){kv, 0, 1024}, k, v, NULL, pos));
        CHECK_OK(ar_op_attention_cached(g, &y, q, k, v, pos, 0, 0, 0));
    }
}

static void head_and_losses(ar_graph *g) {
    ar_tensor *logits = wanted(temp(g, 2048, 128256)), *nll = NULL, *top = NULL, *kl = NULL, *y = NULL;
    CHECK_OK(ar_op_nll(g, &nll, &top, logits, typed(g, AR_I32, 1, 2048, 0, 0, 0)));
    CHECK_OK(ar_op_kl(g, &kl, logits, temp(g, 2048, 128256)));
    backward_of_mean(g, nll);
    CHECK_OK(ar_op_embed(g, &y, temp(g, 128256, 8192), typed(g, AR_I32, 1, 16384, 0, 0, 0)));
    CHECK_OK(ar_op_square_sums(g, typed(g, AR_F32, 1, 14336, 0, 0, 0), temp(g, 16384, 14336)));
    CHECK_OK(ar_op_gather(g, &y, typed(g, AR_F32, 3, 128, 2048, 4096, 0), typed(g, AR_I32, 2, 200, 8, 0, 0),
                          typed(g, AR_I32, 1, 1, 0, 0, 0), 8));
}

static void rows_and_elements(ar_graph *g) {
    ar_tensor *x = wanted(temp(g, 16384, 14336)), *y = NULL, *z = NULL, *loss = NULL;
    CHECK_OK(ar_op_rms_norm(g, &y, x, wanted(typed(g, AR_F32, 1, 14336, 0, 0, 0)), 1e-5f));
    CHECK_OK(ar_op_layer_norm(g, &z, y, wanted(typed(g, AR_F32, 1, 14336, 0, 0, 0)),
                              wanted(typed(g, AR_F32, 1, 14336, 0, 0, 0)), 1e-5f));
    CHECK_OK(ar_op_act(g, &y, z, AR_ACT_GELU));
    CHECK_OK(ar_op_gated(g, &z, y, x, AR_ACT_SILU));
    CHECK_OK(ar_op_add(g, &y, z, x));
    CHECK_OK(ar_op_slice(g, &z, y, 64, 14272));
    CHECK_OK(ar_op_mse(g, &loss, z, temp(g, 16384, 14272), NULL));
    CHECK_OK(ar_graph_backward(g, loss));
    CHECK_OK(ar_op_copy(g, temp(g, 16384, 14336), x));
    CHECK_OK(ar_op_fill(g, temp(g, 16384, 14336), 0));
    CHECK_OK(ar_op_copy_if(g, temp(g, 16384, 14336), x, typed(g, AR_I32, 1, 1, 0, 0, 0)));
}

static void fake_quantization(ar_graph *g) {
    const ar_scheme schemes[] = {{4, 32, AR_ZERO_INT, 0, AR_SUPER_NONE},
                                 ar_scheme_super(AR_SUPER_Q4_K),
                                 ar_scheme_super(AR_SUPER_Q6_K)};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        const int64_t O = 16384, I = 4096, groups = I / schemes[i].group;
        ar_tensor *W = temp(g, O, I), *range = typed(g, AR_F32, 3, O, groups, i ? 4 : 2, 0), *Wq = NULL,
                  *sz = NULL, *dv = NULL, *dmm = NULL;
        ar_fq_state st = {typed(g, AR_I16, 2, O, I, 0, 0), typed(g, AR_I16, 3, O, groups, 2, 0)};
        ar_fq_desc desc = {schemes[i], 200, 200};
        CHECK_OK(ar_op_group_range(g, range, W, &schemes[i]));
        CHECK_OK(ar_op_fake_quant(g, &Wq, &sz, W, range, &st, &desc));
        CHECK_OK(ar_op_fq_grad(g, &dv, &dmm, temp(g, O, I), W, range, sz, &st, &desc));
        CHECK_OK(ar_op_sign_step(g, st.v, dv, typed(g, AR_I32, 1, 1, 0, 0, 0), 200, -100, 100));
        CHECK_OK(ar_op_fq_codes(g, &Wq, &sz, W, range, &st, &desc));
        bool is_taken = false;
        const ar_fq_bounds bounds = {typed(g, AR_I32, 1, 1, 0, 0, 0), 200, -100, 100, -100, 0};
        CHECK_OK(ar_op_fq_step(g, &is_taken, temp(g, 16384, O), temp(g, 16384, I), W, range, sz, &st, &desc,
                               &bounds));
        bool is_f32 = ar__graph_device(g)->plan.variants[AR_F_gemm] != AR_K_gemm_coop;
        bool joins = ar__graph_device(g)->plan.ways >> AR_W_weight_step & 1;
        bool fits = ar__tensor_bytes(W) <= ar__graph_device(g)->plan.piece_bytes;
        assert_int_equal(is_taken, joins && is_f32 && fits && i == 0);
    }
}

static void resident_products(ar_graph *g) {
    ar_device *device = ar__graph_device(g);
    static const ar_qtype types[] = {AR_QT_F32, AR_QT_F16, AR_QT_Q4_0};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        ar_resident_weight w = {.device = device,
                                .type = types[i],
                                .O = 128256,
                                .I = 4096,
                                .lp = device->plan.resident_lp,
                                .vw = device->plan.vw};
        ar_resident_weight_desc part = {.type = types[i], .O = w.O, .I = w.I};
        CHECK_OK(ar__resident_layout(&w, &part));
        w.panels = (w.O + w.lp * w.vw - 1) / (w.lp * w.vw);
        w.words = temp(g, w.panels, (int64_t)w.pw * w.lp * w.vw);
        for (int64_t N = 1; N <= 4096; N *= 8) {
            ar_tensor *y = NULL;
            CHECK_OK(ar_op_linear_resident(g, &y, temp(g, N, w.I), &w,
                                           &(ar_resident_weight_fuse){.residual = temp(g, N, w.O)}));
        }
    }
}

/* Records on the null driver as if it were the device. */
static int32_t record(const ar_device_facts *facts, double submit_ms, void (*ops)(ar_graph *g)) {
    ar_device *device = NULL;
    ar_graph *g = NULL;
    ar_plan plan;
    CHECK_OK(ar_plan_make(&plan, facts));
    if (submit_ms > 0) plan.submit_ms = submit_ms;
    CHECK_OK(ar_device_open(&device, &(ar_device_desc){.select = "null", .plan = &plan}));
    device->facts = *facts;
    CHECK_OK(ar_graph_create(&g, device));
    ops(g);
    for (int32_t i = 0; i < g->dispatch_count; i++) {
        const ar__dispatch *d = &g->dispatches[i];
        double ms = ar__estimate_ms(&plan, d->flops, d->bytes);
        if (!(ms > 0)) fail_msg("%s: %s has no estimate", facts->name, ar__kernels[d->kernel].name);
        if (ms > plan.submit_ms * 1.000001)
            fail_msg("%s: launch %d, %s, is estimated at %g ms, a submission takes %g", facts->name, i,
                     ar__kernels[d->kernel].name, ms, plan.submit_ms);
    }
    int32_t count = g->dispatch_count;
    ar_graph_destroy(g);
    ar_device_close(device);
    return count;
}

static void no_launch_is_longer_than_a_submission(void **state) {
    (void)state;
    void (*const ops[])(ar_graph *) = {products,         attention,         generation,
                                       head_and_losses,  rows_and_elements, fake_quantization,
                                       resident_products};
    for (size_t i = 0; i < KNOWN_COUNT; i++)
        for (size_t j = 0; j < sizeof ops / sizeof ops[0]; j++) {
            ar_device_facts f = known_devices[i]();
            record(&f, 0, ops[j]);
            record(&f, 20, ops[j]); /* as a user may ask for */
        }
}

/* 17 GFLOP: too long for one launch on llvmpipe, not for so many that none fills the processor. */
static void one_product(ar_graph *g) {
    ar_tensor *y = NULL;
    CHECK_OK(ar_op_linear(g, &y, temp(g, 512, 4096), temp(g, 4096, 4096), NULL));
}

static void a_product_is_cut_no_finer_than_needed(void **state) {
    (void)state;
    const ar_device_facts vk = lavapipe(), cl = pocl_avx512(), card = rdna3();
    assert_int_equal(record(&vk, 0, one_product), 2 + 4);
    assert_int_equal(record(&cl, 0, one_product), 2 + 1);
    assert_int_equal(record(&card, 0, one_product), 2 + 1);
}

/* dW of a small layer, 2048 tokens: 60 tiles, of which cards want more, so its depth becomes parts. */
static void deep_product(ar_graph *g) {
    ar__matrix dy = {temp(g, 2048, 288), true}, x = {temp(g, 2048, 768), false};
    CHECK_OK(ar__gemm(g, temp(g, 288, 768), dy, x, 288, 768, 2048, false));
}

static void cards_cut_the_depth_of_few_tiles(void **state) {
    (void)state;
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        ar_device_facts f = known_devices[i]();
        ar_device *device = NULL;
        ar_graph *g = NULL;
        int32_t parts = 0, sums = 0;
        CHECK_OK(ar_device_open(&device, &(ar_device_desc){.select = "null", .facts = &f}));
        CHECK_OK(ar_graph_create(&g, device));
        deep_product(g);
        for (int32_t k = 0; k < g->dispatch_count; k++) {
            const ar__dispatch *d = &g->dispatches[k];
            sums += d->kernel == AR_K_sum_parts;
            if ((int32_t)d->groups[2] > parts) parts = (int32_t)d->groups[2];
        }
        int32_t wanted = device->plan.gemm_side == 0 ? 1 : ((int32_t)device->plan.gemm_groups + 59) / 60;
        assert_int_equal(parts, wanted);
        assert_int_equal(sums, wanted > 1);
        assert_int_equal(wanted, f.kind == AR_DEVICE_DISCRETE && device->plan.gemm_side ? 3 : 1);
        ar_graph_destroy(g);
        ar_device_close(device);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_launch_is_longer_than_a_submission),
        cmocka_unit_test(a_product_is_cut_no_finer_than_needed),
        cmocka_unit_test(cards_cut_the_depth_of_few_tiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
