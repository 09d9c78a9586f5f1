/* backend/selftest/check.c: every kernel is tried before it is used, a try is remembered and changes nothing
 * else, and a device that computes nothing is found out (tests/cli tries that through a whole driver).
 * ctest-labels: device */
#include "each_folder.h"
#include "all_devices.h"
#include "selftest.h"
#include "variant.h"
#include <dirent.h>
#include <sys/stat.h>

/* ---- what the rows run ---- */

static bool used[AR_K_COUNT];

static ar_status note(ar__checker *checker, ar_device *device, ar__kernel_id kernel) {
    (void)checker, (void)device;
    used[kernel] = true;
    return AR_OK;
}

static void ignore(void *ctx, const ar_selftest_result *r) { (void)ctx, (void)r; }

/* What the row uses on the device; on the null device its results are wrong. */
static void run_row(const ar__st_check *check, ar_device *device) {
    device->first_use = note;
    memset(used, 0, sizeof used);
    ar__st st = {.device = device,
                 .bound = check->c.bound,
                 .test = check->c.name,
                 .report = ignore,
                 .random = 1,
                 .is_forward = check->is_forward};
    (void)ar__st_case_run(&st, &check->c);
}

static int32_t variant_of(ar__kernel_id kernel) {
    for (int32_t i = 0; i < ar__variant_count; i++)
        if (ar__variants[i].kernel == kernel) return i;
    return -1;
}

static bool can_run(const ar_device *device, int32_t row) {
    return !ar__variant_lack(&ar__variants[row], &device->facts, ar__variants_left_out() >> row & 1);
}

/* Under the variants that the row names, kernel's own last: some kernels run only beside another's variant.
 */
static void row_runs(const ar__st_check *check, ar__kernel_id kernel, const char *select) {
    ar_device *device = open_device(&(ar_device_desc){.select = select});
    int32_t v = variant_of(kernel);
    bool can = v < 0 ? kernel != AR_K_peak_f16 || device->facts.has_f16_arith : can_run(device, v);
    for (int32_t i = 0; i < ar__variant_count; i++)
        if (ar__st_names(&check->c, ar__variants[i].kernel) && can_run(device, i))
            ar__plan_use(&device->plan, &device->facts, ar__variants[i].kernel);
    if (v >= 0 && can) ar__plan_use(&device->plan, &device->facts, kernel);
    if (can) run_row(check, device);
    if (can && !used[kernel])
        fail_msg("%s: %s is said to use %s", select, check->c.name, ar__kernels[kernel].name);
    ar_device_close(device);
}

static void each_row_runs_what_it_names(void **state) {
    (void)state;
    const device_set set = all_devices();
    int named = 0;
    for (int32_t i = 0; i < ar__st_check_count; i++)
        for (int32_t k = 0; k < AR_K_COUNT; k++) {
            if (!ar__st_names(&ar__st_checks[i].c, (ar__kernel_id)k)) continue;
            named++;
            bool by_device = variant_of((ar__kernel_id)k) >= 0 || k == AR_K_peak_f16;
            for (int32_t d = 0; d < (by_device ? set.count : 1); d++)
                row_runs(&ar__st_checks[i], (ar__kernel_id)k, set.selects[d]);
        }
    assert_true(named > 60);
}

/* What only evaluates compiles nothing that only tuning needs. */
static void forward_rows_use_no_gradients(void **state) {
    (void)state;
    static const char *const ends[] = {"_grad", "_dx", "_dw", "_dq", "_dkv", "_bwd", "_step", "mse_part"};
    for (int32_t i = 0; i < ar__st_check_count; i++) {
        if (!ar__st_checks[i].is_forward) continue;
        ar_device *device = open_device(&(ar_device_desc){.select = "null"});
        run_row(&ar__st_checks[i], device);
        ar_device_close(device);
        for (int32_t k = 0; k < AR_K_COUNT; k++)
            for (size_t e = 0; used[k] && e < sizeof ends / sizeof *ends; e++) {
                const char *name = ar__kernels[k].name;
                size_t n = strlen(name), m = strlen(ends[e]);
                if (n >= m && strcmp(name + n - m, ends[e]) == 0)
                    fail_msg("%s uses %s", ar__st_checks[i].c.kernels, name);
            }
    }
}

/* Every kernel but those of the selftest itself. */
static void no_kernel_is_left_out(void **state) {
    (void)state;
    for (int32_t k = 0; k < AR_K_COUNT; k++) {
        const char *name = ar__kernels[k].name;
        size_t n = strlen(name);
        bool found = n > 6 && strcmp(name + n - 6, "_check") == 0;
        for (int32_t i = 0; i < ar__st_check_count && !found; i++)
            found = ar__st_names(&ar__st_checks[i].c, (ar__kernel_id)k);
        if (!found) fail_msg("nothing tries %s before it is used", name);
    }
}

/* ---- real devices ---- */

/* The one file of checks in dir: its time and inode, or zeros. */
static struct stat checked_in(const char *dir, int *count) {
    struct stat at = {0};
    DIR *d = opendir(dir);
    *count = 0;
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
        if (strncmp(e->d_name, "checked-", 8) == 0) {
            ++*count;
            assert_int_equal(stat(in_folder(dir, e->d_name), &at), 0);
        }
    if (d) closedir(d);
    return at;
}

/* Sums of something on the device, checked with its cache in dir (NULL = unchecked); the memory that took. */
static ar_status add_up(const char *select, const char *dir, ar_memory_stats *memory) {
    ar_status status = AR_OK;
    ar_device *device = NULL;
    ar_tensor *x = NULL, *y = NULL;
    ar_graph *g = NULL;
    float ones[4] = {1, 1, 1, 1}, found[4] = {0};
    assert_ok(ar_device_open(&device, &(ar_device_desc){.select = select, .cache_dir = dir}));
    if (dir) AR_GO(ar_device_check(device, dir));
    AR_GO(ar_tensor_create(&x, device, AR_F32, 1, (const int64_t[]){4}));
    AR_GO(ar_tensor_write(x, ones, 0, 4));
    AR_GO(ar_graph_create(&g, device));
    AR_GO(ar_op_add(g, &y, x, x));
    ar_graph_keep(g, y);
    AR_GO(ar_graph_build(g));
    AR_GO(ar_graph_run(g));
    AR_GO(ar_tensor_read(y, found, 0, 4));
    assert_true(found[0] == 2.0f && found[3] == 2.0f);
    ar_device_memory(device, memory);
done:
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    ar_device_close(device);
    return status;
}

static void a_try_is_remembered_and_takes_nothing(void **state) {
    (void)state;
    const device_set set = all_devices();
    for (int32_t d = 1; d < set.count; d++) {
        ar_memory_stats without, first, second;
        int count;
        const char *dir = in_folder(folder, set.selects[d]);
        assert_ok(ar_dir_create(dir));
        assert_ok(add_up(set.selects[d], NULL, &without));
        assert_ok(add_up(set.selects[d], dir, &first));
        struct stat before = checked_in(dir, &count);
        assert_int_equal(count, 1);
        assert_ok(add_up(set.selects[d], dir, &second));
        struct stat after = checked_in(dir, &count);
        assert_int_equal(count, 1);
        assert_true(before.st_ino == after.st_ino && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
        assert_int_equal(first.high_water, without.high_water);
        assert_int_equal(second.high_water, without.high_water);
        assert_int_equal(first.budget, without.budget);
    }
}

/* ---- a variant that a driver gets wrong ---- */

static ar_status right(ar__checker *checker, ar_device *device, ar__kernel_id kernel) {
    (void)checker, (void)device;
    bool is_wrong = kernel == AR_K_gemm_lanes || kernel == AR_K_gemm_tiles || kernel == AR_K_gemm_coop_bf16;
    used[kernel] = true;
    return is_wrong ? ar__fail(AR_ERR_CHECK, "kernel %s is wrong", ar__kernels[kernel].name) : AR_OK;
}

static ar_status product(ar_device *device, float *found) {
    ar_status status = AR_OK;
    ar_tensor *x = NULL, *y = NULL;
    ar_graph *g = NULL;
    AR_GO(ar_tensor_create(&x, device, AR_F32, 2, (const int64_t[]){2, 2}));
    AR_GO(ar_tensor_write(x, (const float[]){1, 2, 3, 4}, 0, 4));
    AR_GO(ar_graph_create(&g, device));
    AR_GO(ar_op_linear(g, &y, x, x, NULL));
    ar_graph_keep(g, y);
    AR_GO(ar_graph_build(g));
    AR_GO(ar_graph_run(g));
    AR_GO(ar_tensor_read(y, found, 0, 4));
done:
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    return status;
}

/* A product by a kernel that computes wrongly has the right result, and another kernel's. */
static void check_gives_way(ar_device *device, ar__kernel_id kernel) {
    float found[4] = {0};
    char reason[80];
    assert_ok(ar_device_check(device, NULL));
    device->first_use = right;
    ar__plan_use(&device->plan, &device->facts, kernel);
    memset(used, 0, sizeof used);
    assert_ok(product(device, found));
    assert_true(found[0] == 5 && found[1] == 11 && found[2] == 11 && found[3] == 25);
    assert_true(used[kernel]);
    assert_int_not_equal(device->plan.variants[AR_F_gemm], kernel);
    snprintf(reason, sizeof reason, "%s off: it computes wrongly here", ar__kernels[kernel].name);
    assert_non_null(strstr(device->plan.reasons, reason));
}

static void a_wrong_variant_gives_way(void **state) {
    (void)state;
    const device_set set = all_devices();
    for (int32_t d = 1; d < set.count; d++) {
        ar_device *device = open_device(&(ar_device_desc){.select = set.selects[d]});
        float found[4] = {0};
        check_gives_way(device, AR_K_gemm_tiles);
        assert_true(used[AR_K_gemm]);
        assert_int_equal(device->plan.variants[AR_F_gemm], AR_K_gemm);
        assert_int_equal(device->plan.gemm_side, 0);
        ar__plan_use(&device->plan, &device->facts, AR_K_gemm_tiles); /* asked for: no other is taken */
        device->settled = 0, device->plan.variants_asked = 1u << AR_F_gemm;
        assert_error(product(device, found), AR_ERR_CHECK, "kernel gemm_tiles is wrong");
        ar_device_close(device);
    }
}

static void wrong_matrices_of_bf16_give_way(void **state) {
    (void)state;
    const device_set set = all_devices();
    for (int32_t d = 1; d < set.count; d++) {
        ar_device *device = open_device(&(ar_device_desc){.select = set.selects[d]});
        device->plan.allows_bf16 = true;
        check_gives_way(device, AR_K_gemm_coop_bf16);
        ar_device_close(device);
    }
}

/* ---- a device that computes nothing ---- */

/* The null device computes copies alone, and this one as little under another name. */
static void a_device_that_computes_nothing_is_refused(void **state) {
    (void)state;
    int count;
    ar_device *device = NULL;
    assert_ok(ar_device_open(&device, &(ar_device_desc){.select = "null"}));
    assert_ok(ar_device_check(device, folder));
    assert_null(device->checker);
    strcpy(device->facts.api, "vk");
    assert_error(ar_device_check(device, folder), AR_ERR_CHECK, "kernel fill: found 0");
    (void)checked_in(folder, &count);
    assert_int_equal(count, 0);
    ar_device_close(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_kernel_is_left_out),
        cmocka_unit_test(each_row_runs_what_it_names),
        cmocka_unit_test(forward_rows_use_no_gradients),
        cmocka_unit_test_setup_teardown(a_try_is_remembered_and_takes_nothing, setup, teardown),
        cmocka_unit_test(a_wrong_variant_gives_way),
        cmocka_unit_test(wrong_matrices_of_bf16_give_way),
        cmocka_unit_test_setup_teardown(a_device_that_computes_nothing_is_refused, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
