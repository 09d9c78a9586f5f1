/* The OpenCL driver's own promises: the program cache, build errors, offsets, group limits. Skipped where
 * there is no OpenCL device. Sees backend's internal headers, never cl.h. */
/* ctest-labels: device */
#include "internal.h"
#include "cache.h"
#include "driver_cl.h"
#include "variant.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char cache_dir[256];

static int make_cache_dir(void **state) {
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(cache_dir, sizeof cache_dir, "%s/ar-opencl-XXXXXX", base ? base : P_tmpdir);
    return mkdtemp(cache_dir) ? 0 : -1;
}

/* Calls fn for every cache file; returns how many there are. */
static int each_file(void (*fn)(const char *path)) {
    int count = 0;
    DIR *d = opendir(cache_dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[600];
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", cache_dir, e->d_name);
        if (fn) fn(path);
        count++;
    }
    closedir(d);
    return count;
}

static void remove_file(const char *path) { remove(path); }

static int remove_cache_dir(void **state) {
    (void)state;
    each_file(remove_file);
    return rmdir(cache_dir);
}

static ar_device *open_cl(const char *cache) {
    ar_device *device = NULL;
    ar_status status = ar_device_open(&device, &(ar_device_desc){.select = "cl", .cache_dir = cache});
    if (status == AR_ERR_NO_DEVICE) skip();
    if (status != AR_OK) fail_msg("%s", ar_error());
    return device;
}

/* ---- kernels of the test's own ---- */

/* y[i] = x[i] * SCALE + add */
static const char scale_source[] =
    "__kernel __attribute__((reqd_work_group_size(WGX, WGY, 1)))\n"
    "void scale(__global const uint *restrict x, __global uint *restrict y, const uint n, const uint add,\n"
    "           const uint end_) {\n"
    "    uint i = (uint)get_global_id(0);\n"
    "    if (i < n) y[i] = x[i] * SCALE + add + end_ + (VW - VW);\n"
    "}\n";

static const ar__kernel scale_kernel = {.name = "scale",
                                        .cl_source = scale_source,
                                        .binding_count = 2,
                                        .param_count = 2,
                                        .spec_count = 3,
                                        .access = {AR_RO, AR_WO},
                                        .spec_names = {"WGX", "WGY", "SCALE"},
                                        .spec_defaults = {64, 1, 1},
                                        .cl_own = ""};

/* Runs y = x * scale + add over n words on slices that do not start their buffer; true if all are x *
 * expected + add. */
static bool run_pipeline(ar_device *device, const ar__pipeline *pipeline, uint32_t wgx, uint32_t add,
                         uint32_t expected) {
    enum { N = 777 };
    const ar__driver *driver = device->driver;
    ar__stream *stream;
    ar__slice first, x, y;
    int32_t submissions;
    uint32_t in[N], out[N];
    assert_int_equal(ar__memory_alloc(device, &first, 10), AR_OK);
    assert_int_equal(ar__memory_alloc(device, &x, sizeof in), AR_OK);
    assert_int_equal(ar__memory_alloc(device, &y, sizeof out), AR_OK);
    for (uint32_t i = 0; i < N; i++) in[i] = i * 7 + 1;
    assert_int_equal(driver->write(device->drv, x.buffer, x.offset, in, sizeof in), AR_OK);
    ar__command command = {.pipeline = pipeline,
                           .kernel = &scale_kernel,
                           .bind = {{x.buffer, x.offset, x.bytes}, {y.buffer, y.offset, y.bytes}},
                           .params = {N, add},
                           .groups = {(N + wgx - 1) / wgx, 1, 1}};
    assert_int_equal(driver->stream_create(device->drv, &stream, &command, 1, &submissions), AR_OK);
    assert_int_equal(driver->submit(device->drv, stream), AR_OK);
    assert_int_equal(driver->read(device->drv, y.buffer, y.offset, out, sizeof out), AR_OK);
    driver->stream_destroy(device->drv, stream);
    ar__memory_free(device, &first);
    ar__memory_free(device, &x);
    ar__memory_free(device, &y);
    bool good = true;
    for (uint32_t i = 0; i < N; i++) good = good && out[i] == in[i] * expected + add;
    return good;
}

static bool run_scale_as(ar_device *device, uint32_t wgx, uint32_t scale, uint32_t add, uint32_t expected) {
    ar__pipeline *pipeline;
    const uint32_t specs[AR_MAX_SPECS] = {wgx, 1, scale};
    assert_int_equal(device->driver->pipeline_create(device->drv, &pipeline, &scale_kernel, specs), AR_OK);
    bool good = run_pipeline(device, pipeline, wgx, add, expected);
    device->driver->pipeline_destroy(device->drv, pipeline);
    return good;
}

static bool run_scale(ar_device *device, uint32_t wgx, uint32_t scale, uint32_t add) {
    return run_scale_as(device, wgx, scale, add, scale);
}

static void specialization_values_and_parameters_reach_the_kernel(void **state) {
    (void)state;
    ar_device *device = open_cl(NULL);
    assert_true(run_scale(device, 64, 1, 0));
    assert_true(run_scale(device, 16, 3, 1000));
    assert_true(run_scale(device, 1, 5, 7));
    ar_device_close(device);
}

/* ---- cache ---- */

static void spoil_first_byte(const char *path) {
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fputc('?', f);
    fclose(f);
}

static void spoil_last_byte(const char *path) {
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, -1, SEEK_END), 0);
    int c = fgetc(f);
    assert_int_equal(fseek(f, -1, SEEK_END), 0);
    fputc(c ^ 0x55, f);
    fclose(f);
}

static void halve(const char *path) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    fclose(f);
    assert_int_equal(truncate(path, n / 2), 0);
}

static void empty(const char *path) { assert_int_equal(truncate(path, 0), 0); }

static struct stat last_file;
static void look(const char *path) { assert_int_equal(stat(path, &last_file), 0); }

/* Whether using a program leaves its file alone: what is built is stored, and that is another file. */
static bool scale_is_kept(void) {
    each_file(look);
    struct stat before = last_file;
    ar_device *device = open_cl(cache_dir);
    assert_true(run_scale(device, 32, 9, 11));
    ar_device_close(device);
    assert_int_equal(each_file(look), 1);
    return last_file.st_ino == before.st_ino && last_file.st_size == before.st_size &&
           last_file.st_mtim.tv_sec == before.st_mtim.tv_sec &&
           last_file.st_mtim.tv_nsec == before.st_mtim.tv_nsec;
}

static void programs_are_kept_and_spoiled_files_are_rebuilt(void **state) {
    (void)state;
    static void (*const spoil[])(const char *) = {spoil_first_byte, spoil_last_byte, halve, empty};
    each_file(remove_file);
    assert_false(scale_is_kept());
    assert_true(scale_is_kept());
    for (size_t i = 0; i < sizeof spoil / sizeof spoil[0]; i++) {
        assert_int_equal(each_file(spoil[i]), 1);
        assert_false(scale_is_kept());
        assert_true(scale_is_kept());
    }
}

/* ---- what a cache file is for: its identity, from the file itself (backend/core/cache.c) ---- */

typedef struct entry {
    char text[2048];
    ar__cache_id id;
} entry;

static entry entries[2];
static int entry_count;

static void read_entry(const char *path) {
    uint32_t
        head[12]; /* magic 0, version 2, bytes of the text 3, key 4, source hash 6, bytes 8, checksum 10 */
    assert_true(entry_count < 2);
    entry *e = &entries[entry_count++];
    memset(e, 0, sizeof *e);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(head, sizeof head[0], 12, f), 12);
    assert_true(head[3] < sizeof e->text && fread(e->text, 1, head[3], f) == head[3]);
    fclose(f);
    memcpy(&e->id.source_hash, head + 6, 8);
    const char **fields[] = {&e->id.device, &e->id.driver, &e->id.version, &e->id.options};
    char *at = e->text;
    for (int i = 0; i < 4; i++) {
        *fields[i] = at;
        at += strcspn(at, "\n");
        if (*at) *at++ = '\0';
    }
}

/* The file of one value is given the binary of another: what runs is the binary, so it was not built anew. */
static void what_the_cache_holds_is_what_runs(void **state) {
    (void)state;
    void *binary;
    size_t bytes;
    each_file(remove_file);
    ar_device *device = open_cl(cache_dir);
    assert_true(run_scale(device, 32, 2, 0));
    assert_true(run_scale(device, 32, 4, 0));
    entry_count = 0;
    assert_int_equal(each_file(read_entry), 2);
    bool first_is_2 = strstr(entries[0].id.options, "-DSCALE=2u") != NULL;
    ar__cache_id two = entries[!first_is_2].id, four = entries[first_is_2].id;
    assert_non_null(strstr(four.options, "-DSCALE=4u"));
    assert_true(ar__cache_load(cache_dir, "cl", ar__cache_key(&two), &two, &binary, &bytes));
    ar__cache_store(cache_dir, "cl", ar__cache_key(&four), &four, binary, bytes);
    free(binary);
    assert_int_equal(each_file(NULL), 2);
    assert_true(run_scale_as(device, 32, 4, 0, 2));
    ar_device_close(device);
    device = open_cl(NULL);
    assert_true(run_scale(device, 32, 4, 0)); /* without the folder nothing is read */
    ar_device_close(device);
    each_file(remove_file);
}

static void other_values_are_other_files(void **state) {
    (void)state;
    each_file(remove_file);
    ar_device *device = open_cl(cache_dir);
    assert_true(run_scale(device, 32, 2, 0));
    assert_true(run_scale(device, 32, 4, 0));
    assert_true(run_scale(device, 32, 2, 0));
    assert_int_equal(each_file(NULL), 2);
    ar_device_close(device);
}

/* ---- kernels wanted together ---- */

/* y[i] = x[i] * (SCALE + 1) + add, by a function and a macro that the other text does not know, and a macro
 * that it must not see. */
static const char more_source[] =
    "#define TIMES(a, b) times((a), (b))\n"
    "#define y_of x_of\n"
    "static uint times(uint a, uint b) { return a * b; }\n"
    "__kernel __attribute__((reqd_work_group_size(WGX, WGY, 1)))\n"
    "void more(__global const uint *restrict x_of, __global uint *restrict y, const uint n, const uint add,\n"
    "          const uint end_) {\n"
    "    uint i = (uint)get_global_id(0);\n"
    "    if (i < n) y[i] = TIMES(y_of[i], SCALE + 1u) + add + end_;\n"
    "}\n";

static ar__kernel more_kernel(void) {
    ar__kernel k = scale_kernel;
    k.name = "more";
    k.cl_source = more_source;
    k.cl_own = "times";
    return k;
}

enum { TOGETHER = 4 };

static ar_status make_together(ar_device *device, ar__pipeline **made, const ar__kernel *more) {
    const ar__kernel *const kernels[TOGETHER] = {&scale_kernel, more, &scale_kernel, more};
    const uint32_t specs[TOGETHER][AR_MAX_SPECS] = {{32, 1, 2}, {32, 1, 2}, {16, 1, 5}, {16, 1, 6}};
    return device->driver->pipelines_create(device->drv, made, kernels, specs, TOGETHER);
}

/* On a device opened anew; whether all were in one program. */
static bool run_together(void) {
    static const uint32_t expected[TOGETHER] = {2, 3, 5, 7}, wgx[TOGETHER] = {32, 32, 16, 16};
    ar_device *device = open_cl(cache_dir);
    ar__pipeline *made[TOGETHER];
    ar__kernel more = more_kernel();
    assert_int_equal(make_together(device, made, &more), AR_OK);
    bool is_one = true;
    for (int i = 0; i < TOGETHER; i++) {
        is_one = is_one && made[i]->set && made[i]->set == made[0]->set;
        assert_true(run_pipeline(device, made[i], wgx[i], 7, expected[i]));
    }
    for (int i = 0; i < TOGETHER; i++) device->driver->pipeline_destroy(device->drv, made[i]);
    if (!strstr(device->facts.driver, AR_POCL)) {
        ar_device_close(device);
        skip();
    }
    ar_device_close(device);
    return is_one;
}

static void kernels_wanted_together_are_one_program_and_found_again(void **state) {
    (void)state;
    each_file(remove_file);
    assert_true(run_together());
    assert_int_equal(each_file(NULL), TOGETHER + 1);
    assert_true(run_together());
    each_file(spoil_last_byte);
    assert_true(run_together());
    assert_int_equal(each_file(NULL), TOGETHER + 1);
    ar_device *device = open_cl(cache_dir);
    ar__pipeline *one;
    const uint32_t specs[AR_MAX_SPECS] = {16, 1, 5};
    assert_int_equal(device->driver->pipeline_create(device->drv, &one, &scale_kernel, specs), AR_OK);
    assert_non_null(one->set); /* it is in there, whoever else is wanted */
    assert_true(run_pipeline(device, one, 16, 1, 5));
    device->driver->pipeline_destroy(device->drv, one);
    ar_device_close(device);
    each_file(remove_file);
}

static void one_of_several_that_does_not_build_is_named(void **state) {
    (void)state;
    ar_device *device = open_cl(cache_dir);
    ar__pipeline *made[TOGETHER];
    ar__kernel broken = more_kernel();
    broken.cl_source = "__kernel void more(__global uint *x) { x[0] = no_such_name; }\n";
    assert_int_equal(make_together(device, made, &broken), AR_ERR_DEVICE);
    assert_non_null(strstr(ar_error(), "kernel more does not build"));
    assert_true(run_scale(device, 8, 2, 1));
    ar_device_close(device);
    each_file(remove_file);
}

/* Two of each that defines more than all do. */
static void texts_of_kernels_stand_beside_each_other(void **state) {
    (void)state;
    enum { MOST = 2 * AR_K_COUNT };
    static ar__pipeline *made[MOST];
    static const ar__kernel *kernels[MOST];
    static uint32_t specs[MOST][AR_MAX_SPECS];
    int32_t count = 0;
    size_t common = strlen(ar__kernels[AR_K_copy].cl_own);
    ar_device *device = open_cl(NULL);
    if (!strstr(device->facts.driver, AR_POCL)) {
        ar_device_close(device);
        skip();
    }
    for (int k = 0; k < AR_K_COUNT; k++) {
        const ar__kernel *kernel = &ar__kernels[k];
        if (ar__kernel_needs(kernel->name) || (k != AR_K_copy && strlen(kernel->cl_own) <= common)) continue;
        for (int twice = 0; twice < 2; twice++) {
            memcpy(specs[count], kernel->spec_defaults, sizeof specs[count]);
            kernels[count++] = kernel;
        }
    }
    assert_true(count > 20);
    ar_status status = device->driver->pipelines_create(device->drv, made, kernels,
                                                        (const uint32_t(*)[AR_MAX_SPECS])specs, count);
    if (status != AR_OK) fail_msg("%s", ar_error());
    for (int i = 0; i < count; i++) {
        if (!made[i]->set) fail_msg("%s stands alone", made[i]->kernel->name);
        device->driver->pipeline_destroy(device->drv, made[i]);
    }
    ar_device_close(device);
}

/* ---- errors ---- */

static void a_kernel_that_does_not_build_gives_the_compiler_s_words(void **state) {
    (void)state;
    ar_device *device = open_cl(cache_dir);
    ar__kernel broken = scale_kernel;
    ar__pipeline *pipeline;
    broken.cl_source = "__kernel void scale(__global uint *x) { x[0] = no_such_name; }\n";
    assert_int_equal(device->driver->pipeline_create(device->drv, &pipeline, &broken, broken.spec_defaults),
                     AR_ERR_DEVICE);
    assert_non_null(strstr(ar_error(), "kernel scale does not build"));
    assert_null(strchr(ar_error(), '\n'));
    assert_true(run_scale(device, 8, 2, 1)); /* the device is as usable as before */
    ar_device_close(device);
}

static void a_group_larger_than_the_device_allows_is_unsupported(void **state) {
    (void)state;
    ar_device *device = open_cl(NULL);
    ar__pipeline *pipeline;
    const uint32_t large[AR_MAX_SPECS] = {device->facts.max_group_items, 2, 1},
                   none[AR_MAX_SPECS] = {0, 1, 1};
    assert_int_equal(device->driver->pipeline_create(device->drv, &pipeline, &scale_kernel, large),
                     AR_ERR_UNSUPPORTED);
    assert_int_equal(device->driver->pipeline_create(device->drv, &pipeline, &scale_kernel, none),
                     AR_ERR_UNSUPPORTED);
    ar_device_close(device);
}

static void a_buffer_nobody_can_hold_is_device_memory(void **state) {
    (void)state;
    ar_device *device = open_cl(NULL);
    ar__buffer *buffer;
    assert_int_equal(device->driver->buffer_create(device->drv, &buffer, (uint64_t)1 << 60),
                     AR_ERR_DEVICE_MEMORY);
    ar_device_close(device);
}

static void facts_match_the_floor_of_the_kernels(void **state) {
    (void)state;
    ar_device *device = open_cl(NULL);
    const ar_device_facts *f = &device->facts;
    assert_true(f->binding_offset_align >= 1 && f->binding_offset_align <= 4096);
    assert_true(device->plan.vw == 4 || device->plan.vw == 8 || device->plan.vw == 16);
    assert_int_equal(device->plan.staging_memory_type, -1);
    assert_true(f->max_binding_bytes <= f->memory_bytes);
    ar_device_close(device);
}

/* Every code of cl.h, in the gaps none. */
static void errors_have_names(void **state) {
    (void)state;
    int named = 0;
    for (int code = -1; code > -100; code--) named += strncmp(ar__cl_error_name(code), "CL_", 3) == 0;
    assert_int_equal(named, 62);
    assert_string_equal(ar__cl_error_name(-5), "CL_OUT_OF_RESOURCES");
    assert_string_equal(ar__cl_error_name(-11), "CL_BUILD_PROGRAM_FAILURE");
    assert_string_equal(ar__cl_error_name(-59), "CL_INVALID_OPERATION");
    assert_string_equal(ar__cl_error_name(-1001), "CL_PLATFORM_NOT_FOUND_KHR");
    assert_string_equal(ar__cl_error_name(-25), "no name in OpenCL");
    assert_int_equal(ar__cl_fail(-5, "clFinish"), AR_ERR_DEVICE_MEMORY);
    assert_non_null(strstr(ar_error(), "clFinish: OpenCL error -5 (CL_OUT_OF_RESOURCES)"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(specialization_values_and_parameters_reach_the_kernel),
        cmocka_unit_test(programs_are_kept_and_spoiled_files_are_rebuilt),
        cmocka_unit_test(what_the_cache_holds_is_what_runs),
        cmocka_unit_test(other_values_are_other_files),
        cmocka_unit_test(kernels_wanted_together_are_one_program_and_found_again),
        cmocka_unit_test(one_of_several_that_does_not_build_is_named),
        cmocka_unit_test(texts_of_kernels_stand_beside_each_other),
        cmocka_unit_test(a_kernel_that_does_not_build_gives_the_compiler_s_words),
        cmocka_unit_test(a_group_larger_than_the_device_allows_is_unsupported),
        cmocka_unit_test(a_buffer_nobody_can_hold_is_device_memory),
        cmocka_unit_test(errors_have_names),
        cmocka_unit_test(facts_match_the_floor_of_the_kernels),
    };
    return cmocka_run_group_tests(tests, make_cache_dir, remove_cache_dir);
}
