/* The selftest on every device found, with the device's own plan and with plans that force pieces and other
 * group sizes. Every kernel must have a case. Uses backend/core/internal.h.
 * ctest-labels: device vulkan */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "internal.h"
#include "selftest/selftest.h"

#define SEED 20261122

/* ---- sizes for simulators ---- */

/* With AR_TEST_SMALL set (a simulator takes seconds for what a device does in a millisecond) parameter `at`
 * of a row is at most `limit`. Most limits are primes above a group's size, so that no kind of size is lost.
 */
static const struct {
    const char *name;
    int32_t at, limit;
} small[] = {{"div", 0, 1031},
             {"half", 0, 1031},
             {"quot", 0, 1031},
             {"mean", 0, 4099},
             {"mse", 1, 67},
             {"fake_quant", 2, 9},
             {"super", 1, 3},
             {"square_sums", 0, 67},
             {"linear", 0, 17},
             {"linear", 1, 19},
             {"linear", 2, 64},
             {"gather", 0, 67},
             {"embed", 0, 67},
             {"embed", 1, 127},
             {"rope", 1, 17},
             {"rope", 2, 3},
             {"rms_norm", 0, 67},
             {"rms_norm", 1, 65},
             {"layer_norm", 0, 67},
             {"layer_norm", 1, 65},
             {"gated", 1, 67},
             {"act", 1, 67},
             {"slice", 0, 9},
             {"nll", 0, 9},
             {"nll", 1, 129},
             {"kl", 0, 9},
             {"kl", 1, 129},
             {"attention", 0, 1},
             {"attention", 1, 33},
             {"attention", 2, 4},
             {"generate", 1, 9},
             {"generate", 5, 65},
             {"resident", 1, 18},
             {"resident", 2, 256},
             {"resident", 3, 9},
             {"resident_bits", 1, 5},
             {"resident_group", 3, 18},
             {"resident_group", 4, 192}};

/* Rows whose numbers are small as they are: what matters is how many groups there are. */
static bool is_tiny(const ar__st_case *c) { return strcmp(c->name, "fake_quant") == 0 && c->p[3] <= 4; }

/* With AR_TEST_SMALL: whether a row runs what another one runs with other numbers. Weights that are resident
 * in one way differ from others in a few kernel constants; all that is done with them is done for type 2
 * (Q4_0), with every other type one product of each kernel. Their bits are for devices to check. */
static bool is_redundant(const ar__st_case *c) {
    if (strcmp(c->name, "resident_bits") == 0) return c->p[0] != 2 || c->p[3] != 0;
    if (strcmp(c->name, "resident_group") == 0) return c->p[5] == 0;
    if (strcmp(c->name, "resident") != 0 || c->p[0] == 2) return false;
    return c->p[3] == 2 || c->p[3] == 8 || c->p[3] > 9 || c->p[4] == 1 || c->p[4] >= 4;
}

/* The table's rows as they are to be run, *count of them; free() releases. */
static ar__st_case *rows_to_run(int32_t *count, bool with_resident) {
    ar__st_case *rows = malloc((size_t)ar__st_case_count * sizeof *rows);
    assert_non_null(rows);
    *count = 0;
    for (int32_t i = 0; i < ar__st_case_count; i++)
        if (with_resident || strncmp(ar__st_cases[i].name, "resident", 6) != 0)
            rows[(*count)++] = ar__st_cases[i];
    if (!getenv("AR_TEST_SMALL")) return rows;
    int32_t kept = 0;
    for (int32_t i = 0; i < *count; i++)
        if (!is_redundant(&rows[i])) rows[kept++] = rows[i];
    *count = kept;
    for (int32_t i = 0; i < *count; i++)
        for (size_t k = 0; k < sizeof small / sizeof *small; k++)
            if (!is_tiny(&rows[i]) && strcmp(rows[i].name, small[k].name) == 0 &&
                rows[i].p[small[k].at] > small[k].limit)
                rows[i].p[small[k].at] = small[k].limit;
    return rows;
}

/* ---- running ---- */

typedef struct tally {
    const char *device;
    int32_t results, failures;
} tally;

static void count_result(void *ctx, const ar_selftest_result *r) {
    tally *t = ctx;
    t->results++;
    if (getenv("AR_TEST_VERBOSE") || !r->passed)
        print_message("%s %-14s %-40s error %.3g bound %.3g %s\n", t->device, r->kernel, r->test, r->error,
                      r->bound, r->passed ? "" : r->detail);
    t->failures += !r->passed;
}

static int32_t find_devices(ar_device_facts *facts, int32_t capacity) {
    int32_t count = 0;
    assert_int_equal(ar_device_list(facts, &count, capacity, NULL, 0), AR_OK);
    int32_t real = 0;
    for (int32_t i = 0; i < count && i < capacity; i++)
        if (strcmp(facts[i].api, "null") != 0) facts[real++] = facts[i];
    return real;
}

static ar_status run_rows(const char *select, const ar_plan *plan, const ar__st_case *rows, int32_t count,
                          const char *filter, int32_t repeat, tally *t) {
    ar_device *device = NULL;
    if (ar_device_open(&device, &(ar_device_desc){.select = select, .plan = plan}) != AR_OK)
        fail_msg("%s: %s", select, ar_error());
    ar_status status = ar__selftest_cases(device, rows, count, filter, repeat, SEED, count_result, t);
    ar_device_close(device);
    return status;
}

static void run_selftest(const ar_device_facts *facts, const ar_plan *plan, bool with_resident,
                         const char *filter, int32_t repeat) {
    char select[24];
    snprintf(select, sizeof select, "%.7s:%d", facts->api, facts->index);
    tally t = {.device = select};
    int32_t count = 0;
    ar__st_case *rows = rows_to_run(&count, with_resident);
    ar_status status = run_rows(select, plan, rows, count, filter, repeat, &t);
    free(rows);
    print_message("%s: %d results, seed %d\n", select, t.results, SEED);
    if (status != AR_OK) fail_msg("%s: %s", select, ar_error());
    assert_true(t.results > 0);
    assert_int_equal(t.failures, 0);
}

static void every_device_passes(void **state) {
    (void)state;
    ar_device_facts facts[8];
    int32_t count = find_devices(facts, 8);
    if (count == 0) skip();
    for (int32_t i = 0; i < count; i++) run_selftest(&facts[i], NULL, true, NULL, 1);
}

/* Without the cases of resident weights, whose many kernels take minutes to compile: test_linear_resident.c
 * runs some of them under other plans. */
static void small_pieces_and_other_groups_pass(void **state) {
    (void)state;
    ar_device_facts facts[8];
    int32_t count = find_devices(facts, 8);
    if (count == 0) skip();
    for (int32_t i = 0; i < count; i++) {
        ar_plan plan;
        assert_int_equal(ar_plan_make(&plan, &facts[i]), AR_OK);
        plan.piece_bytes = 1 << 18;
        plan.submit_ms = 0.02;
        plan.wg = 128;
        plan.attn_wg = 32; /* as on a GPU */
        if (plan.vw > 4) plan.vw = 8;
        run_selftest(&facts[i], &plan, false, NULL, 1);
    }
}

/* The kernels that share loads within a subgroup, where OpenCL C has none: each item lends to itself. */
static void lanes_that_share_with_nobody_pass(void **state) {
    (void)state;
    ar_device_facts facts[8];
    int32_t count = find_devices(facts, 8), used = 0;
    for (int32_t i = 0; i < count; i++) {
        ar_plan plan;
        if (strcmp(facts[i].api, "cl") != 0) continue;
        assert_int_equal(ar_plan_make(&plan, &facts[i]), AR_OK);
        plan.variants[AR_F_gemm] = AR_K_gemm_lanes, plan.variants[AR_F_gemv] = AR_K_gemv_lanes;
        plan.gemm_lanes = plan.resident_lanes = plan.resident_wgy = 1;
        memset(plan.gemm_by_rows, 0, sizeof plan.gemm_by_rows);
        run_selftest(&facts[i], &plan, true, "linear(", 1);
        run_selftest(&facts[i], &plan, true, "resident(2, ", 1);
        used++;
    }
    if (used == 0) skip();
}

static void filter_picks_kernels(void **state) {
    (void)state;
    ar_device_facts facts[8];
    if (find_devices(facts, 8) == 0) skip();
    run_selftest(&facts[0], NULL, true, "rope", getenv("AR_TEST_SMALL") ? 1 : 2);
}

static void every_kernel_has_a_case(void **state) {
    (void)state;
    for (int32_t k = 0; k < AR_K_COUNT; k++) {
        bool is_covered = false;
        for (int32_t i = 0; i < ar__st_case_count && !is_covered; i++)
            is_covered = ar__st_covers(&ar__st_cases[i], (ar__kernel_id)k);
        if (!is_covered) fail_msg("kernel %s is in no row of selftest/cases.def", ar__kernels[k].name);
    }
}

int main(int argc, char **argv) { /* test_selftest [NAME]: the tests of that name only */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kernel_has_a_case),
        cmocka_unit_test(filter_picks_kernels),
        cmocka_unit_test(every_device_passes),
        cmocka_unit_test(small_pieces_and_other_groups_pass),
        cmocka_unit_test(lanes_that_share_with_nobody_pass),
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
