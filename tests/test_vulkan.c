/* The Vulkan driver through its contract (backend/driver/driver.h), on every device found, with the kernel
 * copy. ctest-labels: device vulkan threads */
#include "vulkan_device.h"

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

static void bad_commands(const ar_device_facts *device) {
    fixture *f = calloc(1, sizeof *f);
    open_fixture(f, device, plain_plan(), NULL);
    ar__command good = copy_words(f, f->b, f->a, N), c[4];
    for (int i = 0; i < 4; i++) c[i] = good;
    c[0].bind[0].bytes = 1 << 20;
    c[1].bind[1].buffer = NULL;
    c[2].pipeline = NULL;
    c[3].bind[0].offset = UINT64_MAX;
    for (int i = 0; i < 4; i++) {
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_counts_and_clips),
        cmocka_unit_test(list_survives_broken_manifests),
        cmocka_unit_test(facts_are_plausible),
        cmocka_unit_test(open_rejects_missing_index),
        cmocka_unit_test(two_devices_are_open_at_once),
        cmocka_unit_test(threads_have_their_own_devices),
        cmocka_unit_test(transfers_round_trip),
        cmocka_unit_test(staged_transfers_round_trip),
        cmocka_unit_test(absurd_buffer_is_a_status),
        cmocka_unit_test(a_stream_replays),
        cmocka_unit_test(commands_keep_their_order),
        cmocka_unit_test(submissions_are_cut_by_work),
        cmocka_unit_test(a_long_command_goes_alone),
        cmocka_unit_test(bad_commands_are_refused),
        cmocka_unit_test(failing_allocations_are_a_status),
    };
    return cmocka_run_group_tests(tests, list_devices, NULL);
}
