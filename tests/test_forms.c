/* What OpenCL devices with subgroups of their own, matrix hardware or byte products of their vendor take: the
 * plan's choices, for devices nobody has here. tests/cli/cases_posed.sh runs what they take. */
#include "known_devices.h"
#include "variant.h"

static const char *choice_of(const char *family, const ar_plan *p, const ar_device_facts *f) {
    static ar_variant_choice choices[AR_MAX_FAMILIES];
    int32_t count = ar_plan_variants(choices, AR_MAX_FAMILIES, p, f);
    for (int32_t i = 0; i < count; i++)
        if (strcmp(choices[i].family, family) == 0) return choices[i].why;
    return "";
}

/* A processor's OpenCL whose lanes lend each other values, as Mesa's, but for the quirk. */
static void shuffles_are_used_in_either_language(void **state) {
    (void)state;
    ar_device_facts f = rusticl();
    ar_plan p;
    f.has_subgroup_shuffle = true, f.subgroup_min = f.subgroup_max = 8;
    assert_int_equal(ar__plan_make(&p, &f, NULL, 0), AR_OK);
    assert_int_equal(p.variants[AR_F_gemm], AR_K_gemm); /* small tiles */
    snprintf(f.name, sizeof f.name, "another processor");
    assert_int_equal(ar__plan_make(&p, &f, NULL, 0), AR_OK);
    assert_int_equal(p.variants[AR_F_gemm], AR_K_gemm_lanes);
    assert_int_equal(p.variants[AR_F_gemv], AR_K_gemv_lanes);
    assert_true(p.gemm_lanes == 8 && p.gemm_wgy == 8 && p.resident_lanes == 8 && p.resident_wgy == 1);
    f.subgroup_min = 4; /* the compiler's choice */
    assert_int_equal(ar__plan_make(&p, &f, NULL, 0), AR_OK);
    assert_int_equal(p.variants[AR_F_gemm], AR_K_gemm);
}

/* By the rules of Vulkan's: with leave alone, in fragments of 8 rows and as many columns as lanes. */
static void intel_matrix_hardware_is_used_in_opencl(void **state) {
    (void)state;
    for (uint32_t lanes = 8; lanes <= 16; lanes += 8) {
        const ar_device_facts f = lanes == 8 ? arc_cl() : max_cl();
        ar_plan p;
        for (int32_t is_auto = 0; is_auto < 2; is_auto++) {
            assert_int_equal(ar__plan_make(&p, &f, is_auto ? "auto" : "f16", 0), AR_OK);
            assert_int_equal(p.variants[AR_F_gemm], AR_K_gemm_coop);
            assert_int_equal(p.variants[AR_F_attention], AR_K_attention_coop);
            assert_int_equal(p.variants[AR_F_attention_dq], AR_K_attention_dq_coop);
            assert_int_equal(p.variants[AR_F_attention_dkv], AR_K_attention_dkv_coop);
            assert_int_equal(p.coop_subgroup, lanes);
            assert_true(p.coop_fragment[0] == 8 && p.coop_fragment[1] == lanes && p.coop_fragment[2] == 16);
            assert_true(p.gemm_side == 64 && p.attn_subgroups == 8);
        }
        assert_int_equal(ar__plan_make(&p, &f, NULL, 0), AR_OK);
        assert_int_equal(p.variants[AR_F_gemm], AR_K_gemm_tiles);
        assert_non_null(strstr(choice_of("gemm", &p, &f), "gemm_coop needs leave to round to fp16"));
        assert_int_equal(ar__plan_make(&p, &f, "bf16", 0), AR_OK);
        assert_int_equal(p.variants[AR_F_gemm], AR_K_gemm_coop);
        assert_int_equal(p.variants[AR_F_attention], AR_K_attention);
    }
}

/* The largest that suits, where a kernel may ask for a size; only by name, as none was tried. */
static void lanes_may_ask_for_their_subgroups(void **state) {
    (void)state;
    const ar_device_facts arc8 = arc_cl(), max16 = max_cl(), adreno = adreno8_cl();
    ar_plan p;
    assert_int_equal(ar__plan_make(&p, &arc8, "gemm=gemm_lanes,gemv=gemv_lanes", 0), AR_OK);
    assert_true(p.gemm_lanes == 16 && p.resident_lanes == 8);
    assert_int_equal(ar__plan_make(&p, &max16, "gemm=gemm_lanes", 0), AR_OK);
    assert_int_equal(p.gemm_lanes, 16);
    assert_int_equal(ar__plan_make(&p, &max16, "gemv=gemv_lanes", 0), AR_ERR_USAGE); /* 16 do not divide 8 */
    assert_non_null(strstr(ar_error(), "subgroups of one size that it knows"));
    assert_int_equal(ar__plan_make(&p, &adreno, "gemm=gemm_lanes", 0), AR_ERR_USAGE);
    ar_device_facts f = pocl_avx512(); /* a processor of several sizes */
    f.has_subgroup_shuffle = f.has_subgroup_control = true, f.subgroup_min = 1, f.subgroup_max = 128;
    assert_int_equal(ar__plan_make(&p, &f, NULL, 0), AR_OK);
    assert_true(p.variants[AR_F_gemm] == AR_K_gemm && p.variants[AR_F_gemv] == AR_K_gemv);
    assert_non_null(
        strstr(choice_of("gemv", &p, &f), "gemv_lanes is untried with subgroups of several sizes"));
    assert_int_equal(ar__plan_make(&p, &f, "gemm=gemm_lanes", 0), AR_OK);
    assert_true(p.gemm_lanes == 16 && p.gemm_wgy == 16);
}

/* Whichever extension it is by. No fp16 matrices: "auto" leaves precision alone. */
static void a_phone_multiplies_bytes_by_its_own_instruction(void **state) {
    (void)state;
    const ar_device_facts f = adreno8_cl();
    ar_plan p;
    assert_int_equal(ar__plan_make(&p, &f, "auto", 0), AR_OK);
    assert_int_equal(p.variants[AR_F_gemv_bytes], AR_K_gemv_bytes_dot);
    assert_int_equal(p.variants[AR_F_gemm], AR_K_gemm);
    assert_false(p.allows_f16);
    assert_null(strstr(p.reasons, "integer dot off"));
}

int main(void) {
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(shuffles_are_used_in_either_language),
        cmocka_unit_test(intel_matrix_hardware_is_used_in_opencl),
        cmocka_unit_test(lanes_may_ask_for_their_subgroups),
        cmocka_unit_test(a_phone_multiplies_bytes_by_its_own_instruction),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
