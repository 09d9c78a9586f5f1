/* Matrix hardware of bf16, which nobody here has: who takes it, and what its products are recorded as. */
#include "known_devices.h"
#include "variant.h"

#define CHECK_OK(call)                                                                                       \
    do {                                                                                                     \
        ar_status check_status_ = (call);                                                                    \
        if (check_status_ != AR_OK) fail_msg("%s: %s", #call, ar_error());                                   \
    } while (0)

static uint64_t row_of(ar__kernel_id kernel) {
    for (int32_t i = 0; i < ar__variant_count; i++)
        if (ar__variants[i].kernel == kernel) return UINT64_C(1) << i;
    return 0;
}

static const char *why_gemm(const ar_plan *p, const ar_device_facts *f) {
    static ar_variant_choice choices[AR_MAX_FAMILIES];
    assert_true(ar_plan_variants(choices, AR_MAX_FAMILIES, p, f) > 0);
    assert_string_equal(choices[0].family, "gemm");
    return choices[0].why;
}

/* In their own shape, and for numbers of bf16 alone; those of fp16 take their place. */
static void matrices_of_bf16_take_numbers_of_bf16(void **state) {
    (void)state;
    const ar_device_facts with = ada(), without = rdna3();
    ar_plan p;
    CHECK_OK(ar__plan_make(&p, &with, "bf16", 0));
    assert_int_equal(p.variants[AR_F_gemm], AR_K_gemm_coop_bf16);
    assert_true(p.coop_bf16[0] == 16 && p.coop_bf16[1] == 8 && p.coop_fragment[1] == 16);
    assert_true(p.gemm_side == 128 && p.coop_subgroup == 32);
    assert_string_equal(why_gemm(&p, &with), "gemm_lanes needs subgroup shuffles");
    CHECK_OK(ar__plan_make(&p, &with, "bf16", row_of(AR_K_gemm_coop_bf16))); /* glslang left it out */
    assert_int_equal(p.variants[AR_F_gemm], AR_K_gemm_coop);
    static const char *const others[] = {"f16", "auto", NULL};
    for (int i = 0; i < 3; i++) {
        CHECK_OK(ar__plan_make(&p, &with, others[i], 0));
        assert_int_equal(p.variants[AR_F_gemm], others[i] ? AR_K_gemm_coop : AR_K_gemm_tiles);
    }
    CHECK_OK(ar__plan_make(&p, &without, "bf16", 0));
    assert_int_equal(p.variants[AR_F_gemm], AR_K_gemm_coop);
    assert_int_equal(ar__plan_make(&p, &without, "gemm=gemm_coop_bf16", 0), AR_ERR_USAGE);
    assert_non_null(strstr(ar_error(), "lacks what it needs, matrix hardware of bf16"));
}

static void plain_tiles_stand_in_only_where_asked(void **state) {
    (void)state;
    const ar_device_facts cl = pocl_avx512();
    ar_plan p;
    CHECK_OK(ar__plan_make(&p, &cl, "bf16", 0));
    assert_int_equal(p.variants[AR_F_gemm], AR_K_gemm);
    assert_non_null(strstr(why_gemm(&p, &cl), "gemm_coop_bf16 is for matrix units; "));
    CHECK_OK(ar__plan_make(&p, &cl, "gemm=gemm_coop_bf16", 0));
    assert_true(p.coop_bf16[0] == 4 && p.coop_bf16[1] == 8 && p.coop_bf16[2] == 16 && p.gemm_side == 64);
}

/* y = x W' and its gradients, recorded on the null driver as if it were the device. */
static ar_graph *record(ar_device **device, const ar_device_facts *facts) {
    ar_tensor *x = NULL, *W = NULL, *y = NULL, *loss = NULL;
    ar_graph *g = NULL;
    ar_plan plan;
    CHECK_OK(ar__plan_make(&plan, facts, "bf16", 0));
    CHECK_OK(ar_device_open(device, &(ar_device_desc){.select = "null", .plan = &plan}));
    (*device)->facts = *facts;
    CHECK_OK(ar_graph_create(&g, *device));
    CHECK_OK(ar_graph_temp(g, &x, AR_F32, 2, (int64_t[]){4096, 1024}));
    CHECK_OK(ar_graph_temp(g, &W, AR_F32, 2, (int64_t[]){4096, 1024}));
    x->needs_grad = W->needs_grad = true;
    CHECK_OK(ar_op_linear(g, &y, x, W, NULL));
    CHECK_OK(ar_op_mean(g, &loss, y));
    CHECK_OK(ar_graph_backward(g, loss));
    return g;
}

/* Panels of two bytes a number, gradients' too, and no search for the largest of a panel. */
static void products_of_bf16_read_half_the_bytes_and_scale_nothing(void **state) {
    (void)state;
    const ar_device_facts facts = ada();
    ar_device *device = NULL;
    ar_graph *g = record(&device, &facts);
    int products = 0, packs = 0;
    for (int32_t i = 0; i < g->dispatch_count; i++) {
        const ar__dispatch *d = &g->dispatches[i];
        assert_true(d->kernel != AR_K_panel_top && d->kernel != AR_K_pack_k && d->kernel != AR_K_pack_t);
        products += d->kernel == AR_K_gemm_coop_bf16;
        packs += d->kernel == AR_K_pack_half;
    }
    assert_true(products >= 3 && packs >= 5);
    assert_int_equal(g->pack_count, 6); /* x, W and dy, each along either side */
    for (int32_t i = 0; i < g->pack_count; i++) {
        const ar__pack *p = &g->packs[i];
        assert_true(p->brain && p->is_half && !p->is_scaled && p->packed->dtype == AR_BF16);
        assert_null(p->tops);
    }
    ar_graph_destroy(g);
    ar_device_close(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matrices_of_bf16_take_numbers_of_bf16),
        cmocka_unit_test(plain_tiles_stand_in_only_where_asked),
        cmocka_unit_test(products_of_bf16_read_half_the_bytes_and_scale_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
