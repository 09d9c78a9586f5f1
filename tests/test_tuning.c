/* backend/core/tuning.c: which measured tiles are nearest to a device, and that a plan takes none that its
 * device cannot work with. */
#include "known_devices.h"
#include "variant.h"

static ar_tuning_row row_of(ar_device_facts f, const char *kernel, uint32_t first) {
    ar_tuning_row row;
    ar_plan plan;
    ar_tuning_key(&row, &f, kernel, AR_TUNING_ANY);
    assert_int_equal(ar_plan_make(&plan, &f), AR_OK);
    assert_true(ar_plan_get_tiles(row.values, &plan, kernel));
    row.values[0] = first;
    return row;
}

static void the_nearest_row_is_found(void **state) {
    (void)state;
    const ar_device_facts f = ada();
    ar_device_facts same_driver = f, other_driver = f, other_subgroup = f, other_vendor = f, other_kind = f;
    snprintf(other_driver.version, sizeof other_driver.version, "another");
    snprintf(other_subgroup.name, sizeof other_subgroup.name, "another");
    other_subgroup.subgroup_max *= 2;
    snprintf(other_vendor.name, sizeof other_vendor.name, "another");
    other_vendor.vendor_id ^= 1;
    other_kind.kind = AR_DEVICE_CPU;
    const ar_device_facts *const from[] = {&other_kind, &other_vendor, &other_subgroup, &other_driver,
                                           &same_driver};
    ar_tuning_row rows[5];
    for (int32_t i = 0; i < 5; i++) {
        ar_tuning_match match;
        rows[i] = row_of(*from[i], "gemm", 4);
        const ar_tuning_row *found = ar_tuning_find(&match, rows, i + 1, &f, "gemm", AR_TUNING_ANY);
        assert_int_equal(match, i); /* none, generic, vendor, architecture, exact */
        assert_ptr_equal(found, i ? &rows[i] : NULL);
    }
    rows[4].kernel_hash ^= 1; /* the kernel has changed since */
    ar_tuning_match match;
    assert_ptr_equal(ar_tuning_find(&match, rows, 5, &f, "gemm", AR_TUNING_ANY), &rows[3]);
    assert_ptr_equal(ar_tuning_find(&match, rows, 5, &f, "gemm", "w4096"), NULL);
    assert_ptr_equal(ar_tuning_find(&match, rows, 5, &f, "gemv", AR_TUNING_ANY), NULL);
}

static void a_plan_takes_what_its_device_can(void **state) {
    (void)state;
    const ar_device_facts f = pocl_avx512();
    ar_plan plan, own;
    assert_int_equal(ar_plan_make(&own, &f), AR_OK);
    ar_tuning_row rows[] = {row_of(f, "gemm", 8), row_of(f, "gemv", 4)};
    plan = own;
    ar_plan_use_tuning(&plan, &f, rows, 2);
    assert_int_equal(plan.gemm_tm, 8);
    assert_int_equal(plan.resident_wgx, 4);
    assert_int_equal(plan.resident_lp, 4);
    assert_non_null(strstr(plan.reasons, "tiles of gemm as tuned (exact)"));
    rows[0].values[0] = 7; /* no rows of four */
    rows[1].values[0] = 64, rows[1].values[1] = 128;
    plan = own;
    ar_plan_use_tuning(&plan, &f, rows, 2);
    assert_memory_equal(&plan, &own, sizeof plan);
    assert_int_equal(ar_plan_set_tiles(&plan, &f, "gemm", rows[0].values), AR_ERR_ARG);
    assert_int_equal(ar_plan_set_tiles(&plan, &f, "no kernel", rows[0].values), AR_ERR_ARG);
    assert_memory_equal(&plan, &own, sizeof plan);
}

static void every_plan_can_take_its_own_tiles(void **state) {
    (void)state;
    ar_device_facts (*const devices[])(void) = {rdna3,    turing,      xe_igpu,   adreno7,   mali_g76,
                                                lavapipe, pocl_avx512, pocl_avx2, pocl_neon, v3d};
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
        const ar_device_facts f = devices[i]();
        ar_plan plan, own;
        assert_int_equal(ar_plan_make(&own, &f), AR_OK);
        for (int32_t k = 0; k < AR_F_COUNT; k++) {
            const char *kernel = ar__kernels[own.variants[k]].name;
            uint32_t values[AR_TILE_VALUES];
            if (!ar_plan_get_tiles(values, &own, kernel)) continue;
            print_message("%s %s: %u %u %u %u\n", f.name, kernel, values[0], values[1], values[2], values[3]);
            plan = own;
            assert_int_equal(ar_plan_set_tiles(&plan, &f, kernel, values), AR_OK);
            assert_memory_equal(&plan, &own, sizeof plan);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_nearest_row_is_found),
                                       cmocka_unit_test(a_plan_takes_what_its_device_can),
                                       cmocka_unit_test(every_plan_can_take_its_own_tiles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
