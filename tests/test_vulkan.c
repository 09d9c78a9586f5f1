/* The Vulkan driver through its contract (backend/driver.h), on every device found, with the kernel copy.
 * ctest-labels: device vulkan threads */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <glob.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "internal.h"

enum { MAX_DEVICES = 8, N = 1000 };

static const ar__driver *const D = &ar__driver_vk;
static ar_device_facts facts[MAX_DEVICES];
static int32_t device_count;

static int list_devices(void **state) {
    (void)state;
    char note[256];
    assert_int_equal(D->list(facts, &device_count, MAX_DEVICES, note, sizeof note), AR_OK);
    print_message("vulkan: %s\n", note);
    for (int32_t i = 0; i < device_count; i++)
        print_message("  vk:%d %s, %s, %s, %s\n", facts[i].index, facts[i].name, facts[i].vendor,
                      facts[i].driver, facts[i].version);
    return 0;
}

/* ---- one open device with two buffers and the copy pipeline ---- */

typedef struct fixture {
    ar_plan plan;
    ar__drv *drv;
    ar__buffer *a, *b;
    ar__pipeline *copy;
    uint32_t in[N], out[N];
} fixture;

static ar_plan plain_plan(void) {
    return (ar_plan){
        .device_memory_type = -1, .staging_memory_type = -1, .timestamps = true, .submit_ms = 100.0};
}

static void open_fixture(fixture *f, const ar_device_facts *device, ar_plan plan,
                         const ar_device_desc *desc) {
    static const uint32_t specs[AR_MAX_SPECS] = {64, 1};
    f->plan = plan;
    assert_int_equal(D->open(&f->drv, device, &f->plan, desc), AR_OK);
    assert_int_equal(D->buffer_create(f->drv, &f->a, sizeof f->in), AR_OK);
    assert_int_equal(D->buffer_create(f->drv, &f->b, sizeof f->out), AR_OK);
    assert_int_equal(D->pipeline_create(f->drv, &f->copy, &ar__kernels[AR_K_copy], specs), AR_OK);
    for (uint32_t i = 0; i < N; i++) f->in[i] = 2654435761u * i + 1;
    memset(f->out, 0, sizeof f->out);
    assert_int_equal(D->write(f->drv, f->a, 0, f->in, sizeof f->in), AR_OK);
    assert_int_equal(D->write(f->drv, f->b, 0, f->out, sizeof f->out), AR_OK);
}

static void close_fixture(fixture *f) {
    D->pipeline_destroy(f->drv, f->copy);
    D->buffer_destroy(f->drv, f->a);
    D->buffer_destroy(f->drv, f->b);
    D->close(f->drv);
}

static ar__command copy_words(const fixture *f, ar__buffer *to, ar__buffer *from, uint32_t words) {
    ar__command c = {.kind = AR_CMD_DISPATCH,
                     .pipeline = f->copy,
                     .kernel = &ar__kernels[AR_K_copy],
                     .bind = {{from, 0, 4 * (uint64_t)words}, {to, 0, 4 * (uint64_t)words}},
                     .params = {words},
                     .groups = {(words + 63) / 64, 1, 1},
                     .barrier = true,
                     .ms = 1.0};
    return c;
}

static void expect_words(fixture *f, ar__buffer *buffer, const uint32_t *expected) {
    uint32_t got[N];
    assert_int_equal(D->read(f->drv, buffer, 0, got, sizeof got), AR_OK);
    assert_memory_equal(got, expected, sizeof got);
}

/* Runs body on every device; skips without any. */
static void on_every_device(void (*body)(const ar_device_facts *device)) {
    if (!device_count) skip();
    for (int32_t i = 0; i < device_count; i++) body(&facts[i]);
}

/* ---- list and open ---- */

static void list_counts_and_clips(void **state) {
    (void)state;
    int32_t count = -1;
    char note[4];
    assert_int_equal(D->list(NULL, &count, 0, note, sizeof note), AR_OK);
    assert_int_equal(count, device_count);
    assert_int_equal(D->list(NULL, &count, 0, NULL, 0), AR_OK);
    ar_device_facts one;
    assert_int_equal(D->list(&one, &count, 1, note, sizeof note), AR_OK);
    assert_int_equal(count, device_count ? 1 : 0);
    if (count) assert_memory_equal(&one, &facts[0], sizeof one);
}

/* A driver manifest that is not there, and one that is no JSON: no device, a note, no error. */
static void list_survives_broken_manifests(void **state) {
    (void)state;
    static const char *const names[] = {"VK_ICD_FILENAMES", "VK_DRIVER_FILES"}; /* older and newer loaders */
    static const char *const manifests[] = {"no/such/manifest.json", "tests/test_vulkan.c"};
    char saved[2][1024] = {"", ""};
    for (int n = 0; n < 2; n++)
        if (getenv(names[n])) snprintf(saved[n], sizeof saved[n], "%s", getenv(names[n]));
    for (int m = 0; m < 2; m++) {
        for (int n = 0; n < 2; n++) setenv(names[n], manifests[m], 1);
        int32_t count = -1;
        char note[256] = "";
        ar_status status = D->list(NULL, &count, 0, note, sizeof note);
        for (int n = 0; n < 2; n++) saved[n][0] ? setenv(names[n], saved[n], 1) : unsetenv(names[n]);
        assert_int_equal(status, AR_OK);
        assert_int_equal(count, 0);
        assert_true(note[0]);
        print_message("  note: %s\n", note);
    }
}

static void facts_pass_the_floor(const ar_device_facts *f) {
    assert_string_equal(f->api, "vk");
    assert_true(f->name[0] && f->vendor[0] && f->driver[0] && f->version[0]);
    assert_true(f->max_group_items >= 128 && f->shared_bytes >= 16384 && f->max_param_bytes >= 128 &&
                f->max_bindings >= 4);
    assert_true(f->max_binding_bytes >= (uint64_t)1 << 27 && f->max_buffer_bytes >= f->max_binding_bytes);
    assert_true(f->binding_offset_align >= 1 && f->binding_offset_align <= 256);
    assert_true(f->memory_bytes > 0 && f->memory_type_count > 0 &&
                f->memory_type_count <= AR_MAX_MEMORY_TYPES);
    assert_true(f->subgroup_min <= f->subgroup_max);
    assert_int_equal(f->vector_width, 4);
}
static void facts_are_plausible(void **state) {
    (void)state;
    on_every_device(facts_pass_the_floor);
}

static void open_rejects_missing_index(void **state) {
    (void)state;
    ar_device_facts nowhere = {.api = "vk", .index = 1000};
    ar_plan plan = plain_plan();
    ar__drv *drv = (ar__drv *)state;
    assert_int_equal(D->open(&drv, &nowhere, &plan, NULL), AR_ERR_NO_DEVICE);
    assert_null(drv);
    nowhere.index = -1;
    assert_int_equal(D->open(&drv, &nowhere, &plan, NULL), AR_ERR_NO_DEVICE);
}

static void two_opens(const ar_device_facts *device) {
    fixture *f = calloc(2, sizeof *f);
    open_fixture(&f[0], device, plain_plan(), NULL);
    open_fixture(&f[1], device, plain_plan(), NULL);
    expect_words(&f[0], f[0].a, f[0].in);
    close_fixture(&f[0]);
    expect_words(&f[1], f[1].a, f[1].in);
    close_fixture(&f[1]);
    free(f);
}
static void two_devices_are_open_at_once(void **state) {
    (void)state;
    on_every_device(two_opens);
}

/* Opens, writes, reads and closes a few times; on a thread of its own, so it reports instead of asserting. */
static void *open_again_and_again(void *device) {
    static const uint32_t word = 0x5eed;
    ar_plan plan = plain_plan();
    for (int i = 0; i < 4; i++) {
        ar__drv *drv = NULL;
        ar__buffer *buffer = NULL;
        uint32_t got = 0;
        int32_t count;
        bool ok = D->list(NULL, &count, 0, NULL, 0) == AR_OK && D->open(&drv, device, &plan, NULL) == AR_OK &&
                  D->buffer_create(drv, &buffer, sizeof word) == AR_OK &&
                  D->write(drv, buffer, 0, &word, sizeof word) == AR_OK &&
                  D->read(drv, buffer, 0, &got, sizeof got) == AR_OK && got == word;
        if (drv) {
            D->buffer_destroy(drv, buffer);
            D->close(drv);
        }
        if (!ok) return device;
    }
    return NULL;
}

static void threads_open(const ar_device_facts *device) {
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_again_and_again, (void *)device), 0);
    void *failed[3];
    for (int i = 0; i < 3; i++) pthread_join(threads[i], &failed[i]);
    for (int i = 0; i < 3; i++) assert_null(failed[i]);
}
static void threads_have_their_own_devices(void **state) {
    (void)state;
    on_every_device(threads_open);
}

/* ---- transfers ---- */

static void round_trip(const ar_device_facts *device, bool staged) {
    enum { BIG = 40 << 20 }; /* more than two staging pieces */
    fixture *f = calloc(1, sizeof *f);
    ar_plan plan = plain_plan();
    plan.staged = staged;
    open_fixture(f, device, plan, NULL);
    expect_words(f, f->a, f->in);
    uint8_t *big = malloc(BIG), *back = calloc(BIG, 1);
    for (size_t i = 0; i < BIG; i++) big[i] = (uint8_t)(i * 31 + (i >> 12));
    ar__buffer *buffer = NULL;
    assert_int_equal(D->buffer_create(f->drv, &buffer, BIG), AR_OK);
    assert_int_equal(D->write(f->drv, buffer, 3, big, BIG - 3), AR_OK); /* odd offsets */
    assert_int_equal(D->read(f->drv, buffer, 3, back, BIG - 3), AR_OK);
    assert_memory_equal(big, back, BIG - 3);
    assert_int_equal(D->read(f->drv, buffer, 17 << 20, back, 5), AR_OK);
    assert_memory_equal(big + (17 << 20) - 3, back, 5);
    assert_int_equal(D->write(f->drv, buffer, 0, big, 0), AR_OK);
    assert_int_equal(D->write(f->drv, buffer, BIG - 1, big, 2), AR_ERR_ARG);
    assert_int_equal(D->read(f->drv, buffer, UINT64_MAX, back, 2), AR_ERR_ARG);
    D->buffer_destroy(f->drv, buffer);
    D->buffer_destroy(f->drv, NULL);
    close_fixture(f);
    free(big);
    free(back);
    free(f);
}
static void round_trip_mapped(const ar_device_facts *device) { round_trip(device, false); }
static void round_trip_staged(const ar_device_facts *device) { round_trip(device, true); }
static void transfers_round_trip(void **state) {
    (void)state;
    on_every_device(round_trip_mapped);
}
static void staged_transfers_round_trip(void **state) {
    (void)state;
    on_every_device(round_trip_staged);
}

static void absurd_buffer(const ar_device_facts *device) {
    fixture *f = calloc(1, sizeof *f);
    open_fixture(f, device, plain_plan(), NULL);
    const uint64_t sizes[] = {UINT64_MAX, (uint64_t)1 << 60, device->max_buffer_bytes + 1};
    for (int i = 0; i < 3; i++) {
        ar__buffer *buffer = f->a;
        assert_int_equal(D->buffer_create(f->drv, &buffer, sizes[i]), AR_ERR_DEVICE_MEMORY);
        assert_null(buffer);
        assert_true(ar_error()[0]);
    }
    expect_words(f, f->a, f->in); /* the device goes on */
    close_fixture(f);
    free(f);
}
static void absurd_buffer_is_a_status(void **state) {
    (void)state;
    on_every_device(absurd_buffer);
}

/* ---- streams ---- */

static void copy_replays(const ar_device_facts *device) {
    fixture *f = calloc(1, sizeof *f);
    open_fixture(f, device, plain_plan(), NULL);
    ar__command c = copy_words(f, f->b, f->a, N - 1); /* the last word stays */
    ar__stream *stream = NULL;
    int32_t submissions = 0;
    assert_int_equal(D->stream_create(f->drv, &stream, &c, 1, &submissions), AR_OK);
    assert_int_equal(submissions, 1);
    uint32_t expected[N];
    memcpy(expected, f->in, sizeof expected);
    expected[N - 1] = 0;
    assert_int_equal(D->submit(f->drv, stream), AR_OK);
    expect_words(f, f->b, expected);
    for (uint32_t i = 0; i < N; i++) expected[i] = i;
    assert_int_equal(D->write(f->drv, f->a, 0, expected, sizeof expected), AR_OK);
    expected[N - 1] = 0;
    for (int i = 0; i < 50; i++) assert_int_equal(D->submit(f->drv, stream), AR_OK); /* without waiting */
    assert_int_equal(D->wait(f->drv), AR_OK);
    assert_int_equal(D->wait(f->drv), AR_OK);
    expect_words(f, f->b, expected);
    assert_int_equal(D->submit(f->drv, stream), AR_OK);
    D->stream_destroy(f->drv, stream); /* pending */
    D->stream_destroy(f->drv, NULL);
    close_fixture(f);
    free(f);
}
static void a_stream_replays(void **state) {
    (void)state;
    on_every_device(copy_replays);
}

/* A word travels along a chain of 64 slices, hop by hop; without barriers or order it would arrive late. */
static void chain(const ar_device_facts *device, double submit_ms, int32_t expected_submissions) {
    enum { HOPS = 64, SLICE = 256 };
    fixture *f = calloc(1, sizeof *f);
    ar_device_desc desc = {.submit_ms = submit_ms};
    open_fixture(f, device, plain_plan(), &desc);
    ar__buffer *line = NULL;
    assert_int_equal(D->buffer_create(f->drv, &line, (HOPS + 1) * SLICE), AR_OK);
    ar__command c[HOPS];
    for (int i = 0; i < HOPS; i++) {
        c[i] = copy_words(f, line, line, SLICE / 4);
        c[i].bind[0].offset = (uint64_t)i * SLICE;
        c[i].bind[1].offset = (uint64_t)(i + 1) * SLICE;
        if (i % 3 == 2) c[i].kind = AR_CMD_COPY;
    }
    ar__stream *stream = NULL;
    int32_t submissions = 0;
    assert_int_equal(D->stream_create(f->drv, &stream, c, HOPS, &submissions), AR_OK);
    assert_int_equal(submissions, expected_submissions);
    memset(c, 0, sizeof c); /* not kept */
    for (int replay = 0; replay < 20; replay++) {
        uint32_t head[SLICE / 4], tail[SLICE / 4];
        for (uint32_t i = 0; i < SLICE / 4; i++) head[i] = (uint32_t)replay * 1000 + i;
        assert_int_equal(D->write(f->drv, line, 0, head, sizeof head), AR_OK);
        assert_int_equal(D->submit(f->drv, stream), AR_OK);
        assert_int_equal(D->read(f->drv, line, HOPS * SLICE, tail, sizeof tail), AR_OK);
        assert_memory_equal(head, tail, sizeof head);
    }
    D->stream_destroy(f->drv, stream);
    D->buffer_destroy(f->drv, line);
    close_fixture(f);
    free(f);
}
static void chain_in_one(const ar_device_facts *device) { chain(device, 1000.0, 1); }
static void chain_cut(const ar_device_facts *device) { chain(device, 5.0, 13); } /* 64 commands of 1 ms */
static void chain_singly(const ar_device_facts *device) { chain(device, 0.5, 64); }
static void commands_keep_their_order(void **state) {
    (void)state;
    on_every_device(chain_in_one);
}
static void submissions_are_cut_by_work(void **state) {
    (void)state;
    on_every_device(chain_cut);
}
static void a_long_command_goes_alone(void **state) {
    (void)state;
    on_every_device(chain_singly);
}

static void copy_command(const ar_device_facts *device) {
    fixture *f = calloc(1, sizeof *f);
    open_fixture(f, device, plain_plan(), NULL);
    ar__command c = {.kind = AR_CMD_COPY, .bind = {{f->a, 40, 400}, {f->b, 80, 400}}};
    ar__stream *stream = NULL;
    int32_t submissions = 0;
    assert_int_equal(D->stream_create(f->drv, &stream, &c, 1, &submissions), AR_OK);
    assert_int_equal(D->submit(f->drv, stream), AR_OK);
    uint32_t expected[N] = {0};
    memcpy(expected + 20, f->in + 10, 400);
    expect_words(f, f->b, expected);
    D->stream_destroy(f->drv, stream);
    close_fixture(f);
    free(f);
}
static void a_copy_command_copies(void **state) {
    (void)state;
    on_every_device(copy_command);
}

static void bad_commands(const ar_device_facts *device) {
    fixture *f = calloc(1, sizeof *f);
    open_fixture(f, device, plain_plan(), NULL);
    ar__command good = copy_words(f, f->b, f->a, N), c[5];
    for (int i = 0; i < 5; i++) c[i] = good;
    c[0].bind[0].bytes = 1 << 20;
    c[1].bind[1].buffer = NULL;
    c[2].pipeline = NULL;
    c[3].kind = AR_CMD_COPY;
    c[3].bind[0].bytes = 8;
    c[4].bind[0].offset = UINT64_MAX;
    for (int i = 0; i < 5; i++) {
        ar__stream *stream = NULL;
        assert_int_equal(D->stream_create(f->drv, &stream, &c[i], 1, NULL), AR_ERR_ARG);
        assert_null(stream);
    }
    ar__stream *nothing = NULL;
    int32_t submissions = -1;
    assert_int_equal(D->stream_create(f->drv, &nothing, NULL, 0, &submissions), AR_OK);
    assert_int_equal(submissions, 0);
    assert_int_equal(D->submit(f->drv, nothing), AR_OK);
    D->stream_destroy(f->drv, nothing);
    ar__pipeline *pipeline = NULL;
    const uint32_t too_wide[AR_MAX_SPECS] = {1u << 30, 1};
    assert_int_equal(D->pipeline_create(f->drv, &pipeline, &ar__kernels[AR_K_copy], too_wide), AR_ERR_ARG);
    ar__kernel no_spirv = ar__kernels[AR_K_copy];
    no_spirv.spirv = NULL;
    const uint32_t specs[AR_MAX_SPECS] = {64, 1};
    assert_int_equal(D->pipeline_create(f->drv, &pipeline, &no_spirv, specs), AR_ERR_UNSUPPORTED);
    assert_null(pipeline);
    close_fixture(f);
    free(f);
}
static void bad_commands_are_refused(void **state) {
    (void)state;
    on_every_device(bad_commands);
}

/* Every allocation of open, pipeline and stream fails once; each comes back as MEMORY and nothing leaks. */
static void failing_allocations(const ar_device_facts *device) {
    fixture *f = calloc(1, sizeof *f);
    open_fixture(f, device, plain_plan(), NULL);
    ar__command c = copy_words(f, f->b, f->a, N);
    ar__stream *stream = NULL;
    int32_t submissions = 0;
    ar_status status = AR_ERR_MEMORY;
    for (int32_t n = 1; status != AR_OK && n < 20; n++) {
        ar__alloc_fail_at(n);
        status = D->stream_create(f->drv, &stream, &c, 1, &submissions);
        assert_true(status == AR_OK || status == AR_ERR_MEMORY);
    }
    assert_int_equal(status, AR_OK);
    ar__drv *drv = NULL;
    status = AR_ERR_MEMORY;
    for (int32_t n = 1; status != AR_OK && n < 20; n++) {
        ar__alloc_fail_at(n);
        status = D->open(&drv, device, &f->plan, NULL);
        assert_true(status == AR_OK || status == AR_ERR_MEMORY);
    }
    ar__alloc_fail_at(0);
    assert_int_equal(status, AR_OK);
    D->close(drv);
    D->stream_destroy(f->drv, stream);
    close_fixture(f);
    free(f);
}
static void failing_allocations_are_a_status(void **state) {
    (void)state;
    on_every_device(failing_allocations);
}

/* ---- profile ---- */

static void profile_times(const ar_device_facts *device, bool timestamps) {
    fixture *f = calloc(1, sizeof *f);
    ar_plan plan = plain_plan();
    plan.timestamps = timestamps;
    plan.submit_ms = 2.0;
    open_fixture(f, device, plan, NULL);
    ar__command c[5];
    for (int i = 0; i < 5; i++) c[i] = copy_words(f, i % 2 ? f->a : f->b, i % 2 ? f->b : f->a, N);
    c[4].kind = AR_CMD_COPY;
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
        cmocka_unit_test(list_counts_and_clips),        cmocka_unit_test(list_survives_broken_manifests),
        cmocka_unit_test(facts_are_plausible),          cmocka_unit_test(open_rejects_missing_index),
        cmocka_unit_test(two_devices_are_open_at_once), cmocka_unit_test(threads_have_their_own_devices),
        cmocka_unit_test(transfers_round_trip),         cmocka_unit_test(staged_transfers_round_trip),
        cmocka_unit_test(absurd_buffer_is_a_status),    cmocka_unit_test(a_stream_replays),
        cmocka_unit_test(commands_keep_their_order),    cmocka_unit_test(submissions_are_cut_by_work),
        cmocka_unit_test(a_long_command_goes_alone),    cmocka_unit_test(a_copy_command_copies),
        cmocka_unit_test(bad_commands_are_refused),     cmocka_unit_test(failing_allocations_are_a_status),
        cmocka_unit_test(profile_gives_times),          cmocka_unit_test(profile_gives_host_times),
        cmocka_unit_test(a_cache_that_fits_is_kept),    cmocka_unit_test(a_damaged_cache_is_a_miss),
    };
    return cmocka_run_group_tests(tests, list_devices, NULL);
}
