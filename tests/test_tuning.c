/* backend/core/tuning.c, tiles.c: which tiles, measured or built in, are nearest to a device, and that a plan
 * takes none that its device cannot work with. */
#include "known_devices.h"
#include "tiles.h"

static ar_tuning_row row_of(ar_device_facts f, const char *kernel, uint32_t first) {
    ar_tuning_row row;
    ar_plan plan;
    ar_tuning_key(&row, &f, kernel, AR_TUNING_ANY);
    assert_int_equal(ar_plan_make(&plan, &f), AR_OK);
    assert_true(ar_plan_get_tiles(row.values, &plan, kernel, AR_TUNING_ANY));
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
    assert_int_equal(ar_plan_set_tiles(&plan, &f, "gemm", AR_TUNING_ANY, rows[0].values), AR_ERR_ARG);
    assert_int_equal(ar_plan_set_tiles(&plan, &f, "no kernel", AR_TUNING_ANY, rows[0].values), AR_ERR_ARG);
    assert_memory_equal(&plan, &own, sizeof plan);
}

/* backend/core/tiles.def: a row for what it names alone, and how near. */
static void rows_of_the_table_name_what_they_are_for(void **state) {
    (void)state;
    const struct {
        const char *device, *driver;
        uint32_t vendor, subgroup;
        ar_tuning_match match;
    } cases[] = {{"", "", 0, 0, AR_TUNING_GENERIC},
                 {"", "", 0x10de, 0, AR_TUNING_VENDOR},
                 {"", "", 0x10de, 32, AR_TUNING_ARCHITECTURE},
                 {"NVIDIA GeForce RTX 4*", "", 0x10de, 0, AR_TUNING_EXACT},
                 {"NVIDIA GeForce RTX 4090", "NVIDIA*", 0, 0, AR_TUNING_EXACT},
                 {"NVIDIA GeForce RTX 40", "", 0, 0, AR_TUNING_NONE},
                 {"NVIDIA GeForce RTX 4090", "radv*", 0, 0, AR_TUNING_NONE},
                 {"", "", 0x1002, 0, AR_TUNING_NONE},
                 {"", "", 0x10de, 64, AR_TUNING_NONE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ar_device_facts f = ada();
        f.subgroup_max = 32;
        ar_tuning_row row = {
            .api = "vk", .kind = "discrete", .kernel = "gemm", .bucket = "any", .why = "because"};
        ar_tuning_match match;
        snprintf(row.device, sizeof row.device, "%s", cases[i].device);
        snprintf(row.driver, sizeof row.driver, "%s", cases[i].driver);
        row.vendor_id = cases[i].vendor, row.subgroup = cases[i].subgroup;
        const ar_tuning_row *found = ar_tuning_find(&match, &row, 1, &f, "gemm", "any");
        assert_int_equal(match, cases[i].match);
        assert_ptr_equal(found, match ? &row : NULL);
        snprintf(row.kind, sizeof row.kind, "integrated");
        assert_null(ar_tuning_find(NULL, &row, 1, &f, "gemm", "any"));
        snprintf(row.kind, sizeof row.kind, "discrete");
        snprintf(row.api, sizeof row.api, "cl");
        assert_null(ar_tuning_find(NULL, &row, 1, &f, "gemm", "any"));
    }
}

/* From the table to a measurement of the device itself, each step nearer than those before it. */
static void every_step_of_the_lookup_is_taken(void **state) {
    (void)state;
    const ar_device_facts f = ada();
    ar_device_facts from[4] = {f, f, f, f};
    ar_tuning_row rows[4];
    ar_tuning_match match;
    ar_plan plan;
    assert_int_equal(ar_plan_make_with(&plan, &f, "gemm=gemm"), AR_OK);
    const ar_tuning_row *row = ar_tuning_source(&match, &plan, &f, NULL, 0, "gemm", "any");
    assert_non_null(row->why); /* the table's, of NVIDIA's cards */
    assert_int_equal(match, AR_TUNING_VENDOR);
    assert_int_equal(row->values[1], 2);
    const ar_device_facts other = rdna3();
    assert_non_null(ar_tuning_source(&match, &plan, &other, NULL, 0, "gemm", "any")->why);
    assert_int_equal(match, AR_TUNING_GENERIC);
    const ar_device_facts cpu = pocl_avx512();
    assert_non_null(ar_tuning_source(&match, &plan, &cpu, NULL, 0, "gemm", "any")->why);
    assert_true(match >= AR_TUNING_ARCHITECTURE);
    for (int32_t i = 0; i < 3; i++) snprintf(from[i].name, sizeof from[i].name, "another");
    from[0].vendor_id ^= 1;
    from[1].subgroup_max *= 2;
    for (int32_t i = 0; i < 4; i++) {
        rows[i] = row_of(from[i], "gemm", 4);
        row = ar_tuning_source(&match, &plan, &f, rows, i + 1, "gemm", "any");
        if (i == 0) /* of another vendor's card: further away than the table's */
            assert_non_null(row->why);
        else
            assert_ptr_equal(row, &rows[i]);
        assert_int_equal(match, i == 0 ? AR_TUNING_VENDOR : AR_TUNING_GENERIC + i);
    }
    rows[3].values[0] = 7; /* nothing that the kernel can work with */
    assert_non_null(ar_tuning_source(&match, &plan, &f, rows, 4, "gemm", "any")->why);
}

/* Rows of C have a bucket; what a bucket has no tiles for is taken from those for all shapes. */
static void a_bucket_has_tiles_of_its_own(void **state) {
    (void)state;
    const ar_device_facts f = pocl_avx512();
    ar_plan own, plan, at;
    uint32_t values[AR_TILE_VALUES];
    assert_int_equal(ar_plan_make(&own, &f), AR_OK);
    memset(own.gemm_by_rows, 0, sizeof own.gemm_by_rows);
    memset(own.gemv_by_rows, 0, sizeof own.gemv_by_rows);
    ar_tuning_row rows[] = {row_of(f, "gemm", 4), row_of(f, "gemm", 8), row_of(f, "gemv", 4)};
    for (int32_t i = 0; i < 3; i++) snprintf(rows[i].bucket, sizeof rows[i].bucket, "9-64");
    snprintf(rows[0].bucket, sizeof rows[0].bucket, "2-8");
    rows[2].values[1] = 2, rows[2].values[3] = 64;
    plan = own;
    ar_plan_use_tuning(&plan, &f, rows, 3);
    const int64_t edges[] = {1, 2, 8, 9, 64, 65, 1 << 20};
    const uint32_t tm[] = {12, 4, 4, 8, 8, 12, 12};
    for (int32_t i = 0; i < 7; i++)
        assert_int_equal(ar__plan_at(&at, &plan, AR_F_gemm, edges[i])->gemm_tm, tm[i]);
    assert_int_equal(plan.gemm_tm, 12);
    const ar_plan *few = ar__plan_at(&at, &plan, AR_F_gemv, 9);
    assert_int_equal(few->resident_wgy, 2);
    assert_int_equal(few->resident_wgx, own.resident_wgx); /* how weights lie, and when gemv ends */
    assert_int_equal(few->resident_columns, own.resident_columns);
    assert_true(ar_plan_get_tiles(values, &plan, "gemv", "9-64") && values[1] == 2);
    assert_true(ar_plan_get_tiles(values, &plan, "gemv", "1") && values[1] == own.resident_wgy);
    assert_false(ar_plan_get_tiles(values, &plan, "gemv", "9"));
    assert_int_equal(ar_plan_set_tiles(&plan, &f, "gemm", "9", rows[0].values), AR_ERR_ARG);
    /* tiles for all shapes that were measured on this device beat a bucket's of another one */
    ar_tuning_row near[] = {rows[1], row_of(f, "gemm", 16)};
    near[1].values[1] = 1;
    snprintf(near[0].device, sizeof near[0].device, "another");
    plan = own;
    ar_plan_use_tuning(&plan, &f, near, 2);
    assert_int_equal(ar__plan_at(&at, &plan, AR_F_gemm, 33)->gemm_tm, 16);
    assert_null(ar_tuning_source(NULL, &plan, &f, near, 2, "gemm", "9-64"));
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
            if (!ar_plan_get_tiles(values, &own, kernel, AR_TUNING_ANY)) continue;
            print_message("%s %s: %u %u %u %u\n", f.name, kernel, values[0], values[1], values[2], values[3]);
            plan = own;
            assert_int_equal(ar_plan_set_tiles(&plan, &f, kernel, AR_TUNING_ANY, values), AR_OK);
            assert_memory_equal(&plan, &own, sizeof plan);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_nearest_row_is_found),
                                       cmocka_unit_test(a_plan_takes_what_its_device_can),
                                       cmocka_unit_test(rows_of_the_table_name_what_they_are_for),
                                       cmocka_unit_test(every_step_of_the_lookup_is_taken),
                                       cmocka_unit_test(a_bucket_has_tiles_of_its_own),
                                       cmocka_unit_test(every_plan_can_take_its_own_tiles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
