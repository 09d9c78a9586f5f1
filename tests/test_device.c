/* backend/core/device.c and the drivers' common contract, on every device found and on the null device:
 * choosing, round trips, replays, cutting, faults. Sees backend's internal header. */
/* ctest-labels: device vulkan */
#include "all_devices.h"

/* ---- choosing ---- */

static void names_that_are_no_device_are_wrong_usage(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",     "gpu",    "VK",     "vk:", "vk:x", "vk:1x", "vk:-1",  "vk:12345678901",
        "cl 0", "cl:0:0", "auto:0", "v",   "vkk",  ":0",    "null:y", "cl: 0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ar_device *device = (ar_device *)&device;
        ar_device_desc desc = {.select = bad[i]};
        assert_int_equal(ar_device_open(&device, &desc), AR_ERR_USAGE);
        assert_null(device);
    }
}

static void an_index_nobody_has_is_no_device_and_says_what_there_is(void **state) {
    (void)state;
    static const char *const absent[] = {"vk:999", "cl:999", "null:7"};
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
        ar_device *device;
        ar_device_desc desc = {.select = absent[i]};
        assert_int_equal(ar_device_open(&device, &desc), AR_ERR_NO_DEVICE);
        assert_non_null(strstr(ar_error(), absent[i]));
        assert_non_null(strchr(ar_error(), '('));
    }
}

static int32_t expected_rank(const ar_device_facts *f) {
    bool cpu = f->kind == AR_DEVICE_CPU, vk = strcmp(f->api, "vk") == 0;
    int32_t kind = f->kind == AR_DEVICE_DISCRETE ? 0 : f->kind == AR_DEVICE_INTEGRATED ? 1 : cpu ? 2 : 3;
    return 2 * kind + (cpu ? vk : !vk);
}

static void the_list_is_in_the_order_auto_tries(void **state) {
    (void)state;
    static ar_device_facts facts[DEVICES_MAX];
    char notes[1024] = "?";
    int32_t count = -1, again = -1;
    assert_int_equal(ar_device_list(NULL, &count, 0, notes, sizeof notes), AR_OK);
    assert_non_null(strstr(notes, "vk: "));
    assert_non_null(strstr(notes, "cl: "));
    assert_int_equal(ar_device_list(facts, &again, DEVICES_MAX, NULL, 0), AR_OK);
    assert_int_equal(count, again);
    for (int32_t i = 1; i < count && i < DEVICES_MAX; i++)
        assert_true(expected_rank(&facts[i - 1]) <= expected_rank(&facts[i]));
    for (int32_t i = 0; i < count && i < DEVICES_MAX; i++) {
        assert_string_not_equal(facts[i].api, "null");
        assert_true(facts[i].name[0] && facts[i].driver[0] && facts[i].memory_bytes > 0);
    }
    if (count == 0) skip();
    ar_device *device = open_device(&(ar_device_desc){0});
    assert_string_equal(ar_device_get_facts(device)->api, facts[0].api);
    ar_device_close(device);
}

static void a_device_opens_by_its_name_with_its_plan_and_budget(void **state) {
    (void)state;
    device_set set = all_devices();
    for (int32_t i = 0; i < set.count; i++) {
        ar_memory_stats stats;
        ar_device *device = open_device(&(ar_device_desc){.select = set.selects[i]});
        const ar_device_facts *f = ar_device_get_facts(device);
        assert_int_equal(strncmp(f->api, set.selects[i], strlen(f->api)), 0);
        ar_plan plan;
        assert_int_equal(ar_plan_make(&plan, f), AR_OK);
        assert_string_equal(plan.reasons, ar_device_get_plan(device)->reasons);
        ar_device_memory(device, &stats);
        assert_true(stats.current == 0 && stats.budget == f->memory_bytes / 10 * 9);
        ar_device_close(device);
        plan.gemm_tm = 3;
        device = open_device(&(ar_device_desc){
            .select = set.selects[i], .plan = &plan, .submit_ms = 7, .memory_budget = 4096});
        ar_device_memory(device, &stats);
        assert_int_equal(stats.budget, 4096);
        assert_int_equal(ar_device_get_plan(device)->gemm_tm, 3);
        assert_true(ar_device_get_plan(device)->submit_ms == 7);
        ar_device_close(device);
    }
    ar_device_close(NULL);
}

/* ---- the drivers' contract ---- */

enum { WORDS = 1000, SLICES = 4 };

/* Slices a, b, c, d of WORDS words on a device, not at the start of their buffer. */
typedef struct fixture {
    ar_device *device;
    const ar__driver *driver;
    ar__slice slices[SLICES], first;
    const ar__pipeline *copy;
} fixture;

static fixture open_fixture(const char *select, double submit_ms) {
    static const uint32_t specs[AR_MAX_SPECS] = {64, 1};
    fixture f = {.device = open_device(&(ar_device_desc){.select = select, .submit_ms = submit_ms})};
    f.driver = f.device->driver;
    assert_int_equal(ar__memory_alloc(f.device, &f.first, 1), AR_OK);
    for (int i = 0; i < SLICES; i++)
        assert_int_equal(ar__memory_alloc(f.device, &f.slices[i], WORDS * 4), AR_OK);
    assert_int_equal(ar__pipeline_get(f.device, &f.copy, AR_K_copy, specs), AR_OK);
    return f;
}

static void close_fixture(fixture *f) {
    for (int i = 0; i < SLICES; i++) ar__memory_free(f->device, &f->slices[i]);
    ar__memory_free(f->device, &f->first);
    ar_device_close(f->device);
}

static void put(fixture *f, int slice, uint32_t seed) {
    uint32_t x[WORDS];
    for (uint32_t i = 0; i < WORDS; i++) x[i] = seed * 1000003u + i;
    const ar__slice *s = &f->slices[slice];
    assert_int_equal(f->driver->write(f->device->drv, s->buffer, s->offset, x, sizeof x), AR_OK);
}

/* The slice's first `words` words are those of put(seed). */
static bool holds(fixture *f, int slice, uint32_t seed, uint32_t words) {
    uint32_t x[WORDS];
    const ar__slice *s = &f->slices[slice];
    assert_int_equal(f->driver->read(f->device->drv, s->buffer, s->offset, x, sizeof x), AR_OK);
    for (uint32_t i = 0; i < words; i++)
        if (x[i] != seed * 1000003u + i) return false;
    return true;
}

static ar__binding bind_of(const fixture *f, int slice) {
    return (ar__binding){f->slices[slice].buffer, f->slices[slice].offset, f->slices[slice].bytes};
}

static ar__command dispatch_copy(const fixture *f, int from, int to, uint32_t words, double ms) {
    return (ar__command){.pipeline = f->copy,
                         .kernel = &ar__kernels[AR_K_copy],
                         .bind = {bind_of(f, from), bind_of(f, to)},
                         .params = {words},
                         .groups = {(words + 63) / 64, 1, 1},
                         .barrier = true,
                         .ms = ms};
}

static void written_bytes_come_back(void **state) {
    (void)state;
    device_set set = all_devices();
    for (int32_t d = 0; d < set.count; d++) {
        fixture f = open_fixture(set.selects[d], 0);
        const ar__slice *s = &f.slices[2];
        for (int i = 0; i < SLICES; i++) put(&f, i, (uint32_t)i + 5);
        for (int i = 0; i < SLICES; i++) assert_true(holds(&f, i, (uint32_t)i + 5, WORDS));
        uint8_t odd[] = {1, 2, 3}, back[5];
        assert_int_equal(f.driver->write(f.device->drv, s->buffer, s->offset + 41, odd, 3), AR_OK);
        assert_int_equal(f.driver->write(f.device->drv, s->buffer, s->offset, odd, 0), AR_OK);
        assert_int_equal(f.driver->read(f.device->drv, s->buffer, s->offset + 40, back, 5), AR_OK);
        assert_memory_equal(back + 1, odd, 3);
        assert_true(holds(&f, 1, 6, WORDS) && holds(&f, 3, 8, WORDS));
        close_fixture(&f);
    }
}

static void large_data_survives_the_way_there_and_back(void **state) {
    (void)state;
    enum { LARGE = 20 << 20 }; /* more than a staging buffer is likely to hold */
    device_set set = all_devices();
    uint32_t *x = malloc(LARGE), *y = malloc(LARGE);
    assert_true(x && y);
    for (uint32_t i = 0; i < LARGE / 4; i++) x[i] = i * 2654435761u;
    for (int32_t d = 0; d < set.count; d++) {
        ar__slice s;
        ar_device *device = open_device(&(ar_device_desc){.select = set.selects[d]});
        assert_int_equal(ar__memory_alloc(device, &s, LARGE), AR_OK);
        memset(y, 0, LARGE);
        assert_int_equal(device->driver->write(device->drv, s.buffer, s.offset, x, LARGE), AR_OK);
        assert_int_equal(device->driver->read(device->drv, s.buffer, s.offset, y, LARGE), AR_OK);
        assert_int_equal(memcmp(x, y, LARGE), 0);
        ar__memory_free(device, &s);
        ar_device_close(device);
    }
    free(x);
    free(y);
}

/* a -> b -> c -> d, replayed with new contents each time. */
static void a_stream_replays_on_what_the_buffers_hold(void **state) {
    (void)state;
    device_set set = all_devices();
    for (int32_t d = 0; d < set.count; d++) {
        fixture f = open_fixture(set.selects[d], 0);
        ar__stream *stream;
        int32_t submissions = -1;
        ar__command commands[] = {dispatch_copy(&f, 0, 1, WORDS, 0.1), dispatch_copy(&f, 1, 2, WORDS, 0.1),
                                  dispatch_copy(&f, 2, 3, WORDS - 1, 0.1)};
        put(&f, 3, 77);
        assert_int_equal(f.driver->stream_create(f.device->drv, &stream, commands, 3, &submissions), AR_OK);
        assert_int_equal(submissions, 1);
        memset(commands, 0, sizeof commands); /* the array is not kept */
        for (uint32_t run = 1; run <= 5; run++) {
            put(&f, 0, run);
            assert_int_equal(f.driver->submit(f.device->drv, stream), AR_OK);
            assert_true(holds(&f, 3, run, WORDS - 1));
            assert_false(holds(&f, 3, run, WORDS)); /* one word was not asked for */
        }
        for (int run = 0; run < 20; run++) assert_int_equal(f.driver->submit(f.device->drv, stream), AR_OK);
        assert_int_equal(ar_device_wait(f.device), AR_OK);
        assert_true(holds(&f, 1, 5, WORDS));
        f.driver->stream_destroy(f.device->drv, stream);
        close_fixture(&f);
    }
}

static void submissions_are_cut_by_estimated_work(void **state) {
    (void)state;
    enum { COMMANDS = 12 };
    device_set set = all_devices();
    for (int32_t d = 0; d < set.count; d++) {
        fixture f = open_fixture(set.selects[d], 10);
        ar__command commands[COMMANDS];
        ar__stream *stream;
        int32_t submissions;
        for (int i = 0; i < COMMANDS; i++) /* a -> b -> c -> d -> a ..., 4 ms each: two fit in 10 ms */
            commands[i] = dispatch_copy(&f, i % SLICES, (i + 1) % SLICES, WORDS, 4);
        put(&f, 0, 31);
        assert_int_equal(f.driver->stream_create(f.device->drv, &stream, commands, COMMANDS, &submissions),
                         AR_OK);
        assert_int_equal(submissions, COMMANDS / 2);
        assert_int_equal(f.driver->submit(f.device->drv, stream), AR_OK);
        for (int i = 0; i < SLICES; i++) assert_true(holds(&f, i, 31, WORDS));
        f.driver->stream_destroy(f.device->drv, stream);
        commands[1].ms = 50; /* one command alone may be longer than the limit */
        assert_int_equal(f.driver->stream_create(f.device->drv, &stream, commands, 3, &submissions), AR_OK);
        assert_int_equal(submissions, 3);
        assert_int_equal(f.driver->submit(f.device->drv, stream), AR_OK);
        f.driver->stream_destroy(f.device->drv, stream);
        assert_int_equal(f.driver->stream_create(f.device->drv, &stream, commands, 0, &submissions), AR_OK);
        assert_int_equal(f.driver->submit(f.device->drv, stream), AR_OK);
        f.driver->stream_destroy(f.device->drv, stream);
        close_fixture(&f);
    }
}

static void a_profile_runs_once_and_times_every_command(void **state) {
    (void)state;
    device_set set = all_devices();
    for (int32_t d = 0; d < set.count; d++) {
        fixture f = open_fixture(set.selects[d], 0);
        ar__stream *stream;
        int32_t submissions;
        double us[3] = {-1, -1, -1};
        bool wall;
        ar__command commands[] = {dispatch_copy(&f, 0, 1, WORDS, 0.1), dispatch_copy(&f, 1, 2, WORDS, 0.1),
                                  dispatch_copy(&f, 2, 3, WORDS, 0.1)};
        put(&f, 0, 9);
        assert_int_equal(f.driver->stream_create(f.device->drv, &stream, commands, 3, &submissions), AR_OK);
        assert_int_equal(f.driver->profile(f.device->drv, stream, us, &wall), AR_OK);
        assert_true(wall || f.device->plan.timestamps);
        for (int i = 0; i < 3; i++) assert_true(us[i] >= 0 && us[i] < 1e8);
        assert_true(holds(&f, 3, 9, WORDS));
        put(&f, 0, 10);
        f.device->plan.timestamps = false; /* the driver has its own copy: this must change nothing */
        assert_int_equal(f.driver->submit(f.device->drv, stream), AR_OK);
        assert_true(holds(&f, 3, 10, WORDS));
        f.driver->stream_destroy(f.device->drv, stream);
        close_fixture(&f);
    }
}

static void pipelines_are_made_once_for_each_set_of_values(void **state) {
    (void)state;
    device_set set = all_devices();
    for (int32_t d = 0; d < set.count; d++) {
        ar_device *device = open_device(&(ar_device_desc){.select = set.selects[d]});
        const ar__pipeline *a, *b, *again;
        const uint32_t small[AR_MAX_SPECS] = {32, 1, 99},
                       large[AR_MAX_SPECS] = {64, 1}; /* [2] is not copy's */
        assert_int_equal(ar__pipeline_get(device, &a, AR_K_copy, small), AR_OK);
        assert_int_equal(ar__pipeline_get(device, &b, AR_K_copy, large), AR_OK);
        assert_int_equal(ar__pipeline_get(device, &again, AR_K_copy, (const uint32_t[AR_MAX_SPECS]){32, 1}),
                         AR_OK);
        assert_ptr_not_equal(a, b);
        assert_ptr_equal(a, again);
        ar_device_close(device);
    }
}

static void many_pipelines_stay_distinct(void **state) {
    (void)state;
    enum { MANY = 200 };
    const ar__pipeline *made[MANY], *again;
    ar_device *device = open_device(&(ar_device_desc){.select = "null"});
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(
            ar__pipeline_get(device, &made[i], AR_K_copy, (const uint32_t[AR_MAX_SPECS]){i + 1, 1}), AR_OK);
    for (uint32_t i = 0; i < MANY; i++) {
        assert_int_equal(
            ar__pipeline_get(device, &again, AR_K_copy, (const uint32_t[AR_MAX_SPECS]){i + 1, 1}), AR_OK);
        assert_ptr_equal(again, made[i]);
        if (i) assert_ptr_not_equal(made[i], made[i - 1]);
    }
    ar_device_close(device);
}

/* ---- the null driver's faults ---- */

static void the_nth_buffer_is_refused_on_demand(void **state) {
    (void)state;
    ar_device *device = open_device(&(ar_device_desc){.select = "null", .fault = {.fail_alloc_n = 2}});
    ar__buffer *a, *b;
    assert_int_equal(device->driver->buffer_create(device->drv, &a, 100), AR_OK);
    assert_int_equal(device->driver->buffer_create(device->drv, &b, 100), AR_ERR_DEVICE_MEMORY);
    assert_int_equal(device->driver->buffer_create(device->drv, &b, 100), AR_OK);
    device->driver->buffer_destroy(device->drv, a);
    device->driver->buffer_destroy(device->drv, b);
    ar_device_close(device);
}

static void a_lost_device_stays_lost(void **state) {
    (void)state;
    ar_device *device =
        open_device(&(ar_device_desc){.select = "null", .fault = {.lose_device_submit_n = 2}});
    ar__stream *stream;
    ar__buffer *buffer;
    int32_t submissions;
    uint32_t word = 1;
    const ar__driver *driver = device->driver;
    assert_int_equal(driver->buffer_create(device->drv, &buffer, 100), AR_OK);
    assert_int_equal(driver->stream_create(device->drv, &stream, NULL, 0, &submissions), AR_OK);
    assert_int_equal(driver->submit(device->drv, stream), AR_OK);
    assert_int_equal(ar_device_wait(device), AR_OK);
    assert_int_equal(driver->submit(device->drv, stream), AR_ERR_DEVICE_LOST);
    assert_int_equal(ar_device_wait(device), AR_ERR_DEVICE_LOST);
    assert_int_equal(driver->submit(device->drv, stream), AR_ERR_DEVICE_LOST);
    assert_int_equal(driver->write(device->drv, buffer, 0, &word, 4), AR_ERR_DEVICE_LOST);
    assert_int_equal(driver->read(device->drv, buffer, 0, &word, 4), AR_ERR_DEVICE_LOST);
    driver->stream_destroy(device->drv, stream);
    driver->buffer_destroy(device->drv, buffer);
    ar_device_close(device);
}

static void a_wrong_kernel_writes_garbage(void **state) {
    (void)state;
    ar_device *device = open_device(&(ar_device_desc){.select = "null", .fault = {.wrong_kernel = "copy"}});
    fixture f = {.device = device, .driver = device->driver};
    for (int i = 0; i < SLICES; i++)
        assert_int_equal(ar__memory_alloc(device, &f.slices[i], WORDS * 4), AR_OK);
    assert_int_equal(ar__pipeline_get(device, &f.copy, AR_K_copy, (const uint32_t[AR_MAX_SPECS]){64, 1}),
                     AR_OK);
    ar__stream *stream;
    int32_t submissions;
    ar__command command = dispatch_copy(&f, 0, 1, WORDS, 1);
    put(&f, 0, 3);
    put(&f, 1, 3);
    assert_int_equal(f.driver->stream_create(device->drv, &stream, &command, 1, &submissions), AR_OK);
    assert_int_equal(f.driver->submit(device->drv, stream), AR_OK);
    assert_false(holds(&f, 1, 3, 1));
    assert_true(holds(&f, 0, 3, WORDS));
    f.driver->stream_destroy(device->drv, stream);
    close_fixture(&f);
}

static void the_null_driver_refuses_bindings_outside_their_buffer(void **state) {
    (void)state;
    fixture f = open_fixture("null", 0);
    ar__stream *stream;
    int32_t submissions;
    ar__command command = dispatch_copy(&f, 0, 1, WORDS, 1);
    command.bind[1].offset = (uint64_t)1 << 40;
    assert_int_equal(f.driver->stream_create(f.device->drv, &stream, &command, 1, &submissions), AR_ERR_ARG);
    close_fixture(&f);
}

static void opening_survives_every_failing_allocation(void **state) {
    (void)state;
    int32_t n = 1;
    for (; n < 100; n++) {
        ar_device *device = NULL;
        ar__alloc_fail_at(n);
        ar_status status = ar_device_open(&device, &(ar_device_desc){.select = "null"});
        ar__alloc_fail_at(0);
        if (status == AR_OK) {
            ar_device_close(device);
            break;
        }
        assert_int_equal(status, AR_ERR_MEMORY);
        assert_null(device);
    }
    assert_true(n > 3 && n < 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_are_no_device_are_wrong_usage),
        cmocka_unit_test(an_index_nobody_has_is_no_device_and_says_what_there_is),
        cmocka_unit_test(the_list_is_in_the_order_auto_tries),
        cmocka_unit_test(a_device_opens_by_its_name_with_its_plan_and_budget),
        cmocka_unit_test(written_bytes_come_back),
        cmocka_unit_test(large_data_survives_the_way_there_and_back),
        cmocka_unit_test(a_stream_replays_on_what_the_buffers_hold),
        cmocka_unit_test(submissions_are_cut_by_estimated_work),
        cmocka_unit_test(a_profile_runs_once_and_times_every_command),
        cmocka_unit_test(pipelines_are_made_once_for_each_set_of_values),
        cmocka_unit_test(many_pipelines_stay_distinct),
        cmocka_unit_test(the_nth_buffer_is_refused_on_demand),
        cmocka_unit_test(a_lost_device_stays_lost),
        cmocka_unit_test(a_wrong_kernel_writes_garbage),
        cmocka_unit_test(the_null_driver_refuses_bindings_outside_their_buffer),
        cmocka_unit_test(opening_survives_every_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
