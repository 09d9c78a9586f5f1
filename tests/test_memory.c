/* backend/core/memory.c on the null device: slices never overlap, the budget holds, everything comes back. */
#include "internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define MIB ((uint64_t)1 << 20)

static ar_device *open_null(uint64_t budget, ar_fault fault) {
    ar_device *device = NULL;
    ar_device_desc desc = {.select = "null", .memory_budget = budget, .fault = fault};
    assert_int_equal(ar_device_open(&device, &desc), AR_OK);
    return device;
}

/* xorshift: the same sequence everywhere */
static uint32_t next_random(uint64_t *s) {
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return (uint32_t)(*s >> 32);
}

static void assert_disjoint(const ar__slice *slices, int count) {
    for (int i = 0; i < count; i++) {
        if (!slices[i].buffer) continue;
        assert_int_equal(slices[i].offset % 256, 0);
        for (int j = 0; j < i; j++) {
            if (slices[j].buffer != slices[i].buffer) continue;
            assert_true(slices[i].offset + slices[i].bytes <= slices[j].offset ||
                        slices[j].offset + slices[j].bytes <= slices[i].offset);
        }
    }
}

enum { SLOTS = 60 };

/* Random sizes and order under a budget; returns how many requests were refused. */
static int random_walk(uint64_t budget, uint64_t largest, uint64_t seed, int steps) {
    ar_device *device = open_null(budget, (ar_fault){0});
    ar__slice slices[SLOTS] = {0};
    ar_memory_stats stats;
    uint64_t sum = 0;
    int refused = 0;
    for (int step = 0; step < steps; step++) {
        ar__slice *s = &slices[next_random(&seed) % SLOTS];
        if (s->buffer) {
            sum -= s->bytes;
            ar__memory_free(device, s);
            assert_null(s->buffer);
        } else {
            uint64_t bytes = 1 + next_random(&seed) % (next_random(&seed) % 4 ? largest / 50 : largest);
            ar_status status = ar__memory_alloc(device, s, bytes);
            assert_true(status == AR_OK || status == AR_ERR_DEVICE_MEMORY);
            if (status != AR_OK) {
                assert_null(s->buffer);
                assert_non_null(strstr(ar_error(), "device memory"));
                refused++;
            } else {
                assert_int_equal(s->bytes, bytes);
                sum += bytes;
            }
        }
        ar_device_memory(device, &stats);
        assert_true(stats.budget == budget && stats.current >= sum);
        assert_true(stats.current <= stats.high_water && stats.high_water <= budget);
        if (step % 16 == 0) assert_disjoint(slices, SLOTS);
    }
    for (int i = 0; i < SLOTS; i++) ar__memory_free(device, &slices[i]);
    ar_device_memory(device, &stats);
    assert_int_equal(stats.current, 0);
    ar_device_close(device);
    return refused;
}

static void random_use_never_overlaps_nor_passes_the_budget(void **state) {
    (void)state;
    assert_true(random_walk(64 * MIB, 20 * MIB, 0x9e3779b97f4a7c15u, 3000) > 0);
    assert_true(random_walk(3 * MIB + 777, MIB, 12345, 3000) > 0);
    assert_int_equal(random_walk(256 * MIB, MIB / 2, 99, 2000), 0);
}

static void slices_keep_their_contents(void **state) {
    (void)state;
    ar_device *device = open_null(8 * MIB, (ar_fault){0});
    ar__slice s[20];
    uint8_t pattern[3000], back[3000];
    for (int i = 0; i < 20; i++) {
        assert_int_equal(ar__memory_alloc(device, &s[i], (uint64_t)(100 + 140 * i)), AR_OK);
        memset(pattern, i + 1, sizeof pattern);
        assert_int_equal(device->driver->write(device->drv, s[i].buffer, s[i].offset, pattern, s[i].bytes),
                         AR_OK);
    }
    for (int i = 0; i < 20; i++) {
        assert_int_equal(device->driver->read(device->drv, s[i].buffer, s[i].offset, back, s[i].bytes),
                         AR_OK);
        for (uint64_t b = 0; b < s[i].bytes; b++) assert_int_equal(back[b], i + 1);
        ar__memory_free(device, &s[i]);
    }
    ar_device_close(device);
}

/* All of a tensor's bytes, padding included, after they were all `was`. */
static void made_over(uint8_t *bytes, ar_device *device, uint8_t was, int64_t count) {
    uint8_t before[256];
    ar__slice s;
    ar_tensor *t = NULL;
    memset(before, was, sizeof before);
    assert_int_equal(ar__memory_alloc(device, &s, sizeof before), AR_OK);
    assert_int_equal(device->driver->write(device->drv, s.buffer, s.offset, before, sizeof before), AR_OK);
    ar__memory_free(device, &s);
    assert_int_equal(ar_tensor_create(&t, device, AR_I16, 1, &count), AR_OK);
    assert_int_equal(device->driver->read(device->drv, t->slice.buffer, t->slice.offset, bytes, 128), AR_OK);
    ar_tensor_destroy(t);
}

static void padding_is_cleared_where_the_plan_says_so(void **state) {
    (void)state;
    for (int is_cleared = 0; is_cleared < 2; is_cleared++) {
        ar_device *device = open_null(MIB, (ar_fault){0});
        ar__slice keep;
        uint8_t bytes[128];
        device->plan.clear_padding = is_cleared;
        assert_int_equal(ar__memory_alloc(device, &keep, 256), AR_OK); /* keeps the block alive */
        made_over(bytes, device, 7, 37);
        for (int i = 0; i < 128; i++) assert_int_equal(bytes[i], is_cleared && i >= 2 * 37 ? 0 : 7);
        made_over(bytes, device, 7, 64); /* no padding */
        for (int i = 0; i < 128; i++) assert_int_equal(bytes[i], 7);
        ar__memory_free(device, &keep);
        ar_device_close(device);
    }
}

static void neighbours_merge_when_freed_in_any_order(void **state) {
    (void)state;
    static const int orders[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}, {2, 0, 3, 1}, {1, 2, 0, 3}};
    for (size_t o = 0; o < sizeof orders / sizeof orders[0]; o++) {
        ar_device *device = open_null(MIB, (ar_fault){0});
        ar__slice keep, s[4], whole;
        assert_int_equal(ar__memory_alloc(device, &keep, 256), AR_OK); /* keeps the block alive */
        for (int i = 0; i < 4; i++) assert_int_equal(ar__memory_alloc(device, &s[i], 4096), AR_OK);
        uint64_t first = s[0].offset;
        for (int i = 0; i < 4; i++) ar__memory_free(device, &s[orders[o][i]]);
        assert_int_equal(ar__memory_alloc(device, &whole, 4 * 4096), AR_OK);
        assert_int_equal(whole.offset, first);
        ar__memory_free(device, &whole);
        ar__memory_free(device, &keep);
        ar_device_close(device);
    }
}

static void the_whole_budget_can_be_one_slice(void **state) {
    (void)state;
    ar_device *device = open_null(10 * MIB, (ar_fault){0});
    ar__slice s, none;
    assert_int_equal(ar__memory_alloc(device, &s, 10 * MIB), AR_OK);
    assert_int_equal(ar__memory_alloc(device, &none, 1), AR_ERR_DEVICE_MEMORY);
    ar__memory_free(device, &s);
    assert_int_equal(ar__memory_alloc(device, &none, 10 * MIB + 1), AR_ERR_DEVICE_MEMORY);
    assert_int_equal(ar__memory_alloc(device, &none, UINT64_MAX - 3), AR_ERR_DEVICE_MEMORY);
    ar_device_close(device);
}

static void more_than_one_buffer_may_hold_is_refused(void **state) {
    (void)state;
    ar_device *device = open_null(1024 * MIB, (ar_fault){0});
    ar__slice s;
    assert_int_equal(ar__memory_alloc(device, &s, device->facts.max_buffer_bytes + 1), AR_ERR_DEVICE_MEMORY);
    assert_non_null(strstr(ar_error(), "largest buffer"));
    ar_device_close(device);
}

static void zero_bytes_are_legal(void **state) {
    (void)state;
    ar_device *device = open_null(MIB, (ar_fault){0});
    ar__slice a, b;
    assert_int_equal(ar__memory_alloc(device, &a, 0), AR_OK);
    assert_int_equal(ar__memory_alloc(device, &b, 0), AR_OK);
    assert_int_equal(a.bytes, 0);
    assert_true(a.buffer != b.buffer || a.offset != b.offset);
    ar__memory_free(device, &a);
    ar__memory_free(device, &b);
    ar__memory_free(device, &b); /* an empty slice */
    ar_device_close(device);
}

/* A driver that refuses a shared block still gets the exact request; if that fails too, it is an error. */
static void a_refused_block_is_tried_again_smaller(void **state) {
    (void)state;
    ar_device *device = open_null(64 * MIB, (ar_fault){.fail_alloc_n = 1});
    ar__slice s;
    ar_memory_stats stats;
    assert_int_equal(ar__memory_alloc(device, &s, 1000), AR_OK);
    ar_device_memory(device, &stats);
    assert_int_equal(stats.current, 1024);
    ar_device_close(device);
    device = open_null(64 * MIB, (ar_fault){.fail_alloc_n = 1});
    assert_int_equal(ar__memory_alloc(device, &s, 40 * MIB), AR_ERR_DEVICE_MEMORY);
    ar_device_memory(device, &stats);
    assert_int_equal(stats.current, 0);
    ar_device_close(device);
}

static void failing_host_allocations_leave_nothing_behind(void **state) {
    (void)state;
    ar_device *device = open_null(64 * MIB, (ar_fault){0});
    ar_memory_stats stats;
    ar__slice s;
    int failures = 0;
    for (int n = 1; n < 20; n++) {
        ar__alloc_fail_at(n);
        ar_status status = ar__memory_alloc(device, &s, 1000);
        ar__alloc_fail_at(0);
        if (status == AR_OK) break;
        assert_int_equal(status, AR_ERR_MEMORY);
        ar_device_memory(device, &stats);
        assert_int_equal(stats.current, 0);
        failures++;
    }
    assert_true(failures >= 4); /* block, its part, the driver's buffer (two), the rest after the cut */
    ar__memory_free(device, &s);
    ar_device_close(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_use_never_overlaps_nor_passes_the_budget),
        cmocka_unit_test(slices_keep_their_contents),
        cmocka_unit_test(padding_is_cleared_where_the_plan_says_so),
        cmocka_unit_test(neighbours_merge_when_freed_in_any_order),
        cmocka_unit_test(the_whole_budget_can_be_one_slice),
        cmocka_unit_test(more_than_one_buffer_may_hold_is_refused),
        cmocka_unit_test(zero_bytes_are_legal),
        cmocka_unit_test(a_refused_block_is_tried_again_smaller),
        cmocka_unit_test(failing_host_allocations_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
