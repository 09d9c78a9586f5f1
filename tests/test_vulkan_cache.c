/* The Vulkan driver's times and its cache of pipelines, on every device found. */
/* ctest-labels: device vulkan threads */
#include "vulkan_device.h"

/* ---- profile ---- */

static void profile_times(const ar_device_facts *device, bool timestamps) {
    fixture *f = calloc(1, sizeof *f);
    ar_plan plan = plain_plan();
    plan.timestamps = timestamps;
    plan.submit_ms = 2.0;
    open_fixture(f, device, plan, NULL);
    ar__command c[5];
    for (int i = 0; i < 5; i++) c[i] = copy_words(f, i % 2 ? f->a : f->b, i % 2 ? f->b : f->a, N);
    ar__stream *stream = NULL;
    int32_t submissions = 0;
    double us[5] = {-1, -1, -1, -1, -1};
    bool wall = !timestamps;
    assert_int_equal(D->stream_create(f->drv, &stream, c, 5, &submissions), AR_OK);
    assert_int_equal(submissions, 3);
    assert_int_equal(D->profile(f->drv, stream, us, &wall), AR_OK);
    assert_true(wall == !(timestamps && device->has_timestamps));
    double sum = 0;
    for (int i = 0; i < 5; i++) {
        assert_true(us[i] >= 0 && us[i] < 60e6);
        sum += us[i];
    }
    assert_true(sum > 0);
    expect_words(f, f->b, f->in); /* it really ran */
    D->stream_destroy(f->drv, stream);
    close_fixture(f);
    free(f);
}
static void profile_device(const ar_device_facts *device) { profile_times(device, true); }
static void profile_host(const ar_device_facts *device) { profile_times(device, false); }
static void profile_gives_times(void **state) {
    (void)state;
    on_every_device(profile_device);
}
static void profile_gives_host_times(void **state) {
    (void)state;
    on_every_device(profile_host);
}

/* ---- pipeline cache ---- */

/* The cache file in dir, the only one there. */
static bool find_cache(char *path, size_t bytes, const char *dir) {
    char pattern[256];
    snprintf(pattern, sizeof pattern, "%s/vk-*.bin", dir);
    glob_t matches;
    bool found = !glob(pattern, 0, NULL, &matches) && matches.gl_pathc == 1;
    if (found) snprintf(path, bytes, "%s", matches.gl_pathv[0]);
    globfree(&matches);
    return found;
}

static void open_with_cache(const ar_device_facts *device, const char *dir) {
    fixture *f = calloc(1, sizeof *f);
    ar_device_desc desc = {.cache_dir = dir};
    open_fixture(f, device, plain_plan(), &desc);
    ar__command c = copy_words(f, f->b, f->a, N);
    ar__stream *stream = NULL;
    int32_t submissions = 0;
    assert_int_equal(D->stream_create(f->drv, &stream, &c, 1, &submissions), AR_OK);
    assert_int_equal(D->submit(f->drv, stream), AR_OK);
    expect_words(f, f->b, f->in);
    D->stream_destroy(f->drv, stream);
    close_fixture(f);
    free(f);
}

static size_t read_file(const char *path, uint8_t *data, size_t bytes) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t got = fread(data, 1, bytes, file);
    fclose(file);
    return got;
}

/* Puts bad bytes in the place of the good ones: the device works, and saves a good file over them. */
static void expect_repair(const ar_device_facts *device, const char *dir, const char *path,
                          const uint8_t *good, const uint8_t *bad, size_t bad_bytes) {
    enum { FIXED = 32 }; /* the head before sizes and checksum: cache.c */
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bad, 1, bad_bytes, file), bad_bytes);
    fclose(file);
    open_with_cache(device, dir);
    uint8_t now[1 << 16];
    assert_true(read_file(path, now, sizeof now) > FIXED);
    assert_memory_equal(now, good, FIXED);
}

/* Whether the file is the very one it was: what was not loaded is saved anew, and that is another file. */
static bool same_file(const char *path, const struct stat *before) {
    struct stat now;
    return !stat(path, &now) && now.st_ino == before->st_ino && now.st_size == before->st_size &&
           now.st_mtim.tv_sec == before->st_mtim.tv_sec && now.st_mtim.tv_nsec == before->st_mtim.tv_nsec;
}

static void cache_is_loaded(const ar_device_facts *device) {
    char dir[] = "build-cache-XXXXXX", path[256];
    assert_non_null(mkdtemp(dir));
    open_with_cache(device, dir);
    assert_true(find_cache(path, sizeof path, dir));
    struct stat before;
    assert_int_equal(stat(path, &before), 0);
    open_with_cache(device, dir);
    assert_true(same_file(path, &before));
    /* without a pipeline of its own the driver has no more than what it was given */
    ar_plan plan = plain_plan();
    ar_device_desc desc = {.cache_dir = dir};
    ar__drv *drv = NULL;
    assert_int_equal(D->open(&drv, device, &plan, &desc), AR_OK);
    D->close(drv);
    assert_true(same_file(path, &before));
    unlink(path);
    open_with_cache(device, dir);
    assert_false(same_file(path, &before));
    unlink(path);
    assert_int_equal(rmdir(dir), 0);
}
static void a_cache_that_fits_is_kept(void **state) {
    (void)state;
    on_every_device(cache_is_loaded);
}

static void cache_survives(const ar_device_facts *device) {
    char dir[] = "build-cache-XXXXXX", path[256];
    assert_non_null(mkdtemp(dir));
    open_with_cache(device, dir);
    assert_true(find_cache(path, sizeof path, dir));
    uint8_t good[1 << 16], bad[1 << 16];
    size_t bytes = read_file(path, good, sizeof good);
    assert_true(bytes > 60);
    for (size_t at = 0; at < bytes; at += at < 60 ? 7 : bytes / 5) {
        memcpy(bad, good, bytes);
        bad[at] ^= 0x40;
        expect_repair(device, dir, path, good, bad, bytes);
    }
    const size_t cuts[] = {0, 1, 31, 48, bytes - 1};
    for (int i = 0; i < 5; i++) expect_repair(device, dir, path, good, good, cuts[i]);
    unlink(path);
    assert_int_equal(rmdir(dir), 0); /* no temporary file is left */
    open_with_cache(device, "no/such/folder");
}
static void a_damaged_cache_is_a_miss(void **state) {
    (void)state;
    on_every_device(cache_survives);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(profile_gives_times),
        cmocka_unit_test(profile_gives_host_times),
        cmocka_unit_test(a_cache_that_fits_is_kept),
        cmocka_unit_test(a_damaged_cache_is_a_miss),
    };
    return cmocka_run_group_tests(tests, list_devices, NULL);
}
