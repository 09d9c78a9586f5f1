/* One open Vulkan device with two buffers and the copy pipeline, through the driver's contract. */
#ifndef AR_TEST_VULKAN_DEVICE_H
#define AR_TEST_VULKAN_DEVICE_H
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

static inline int list_devices(void **state) {
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

static inline ar_plan plain_plan(void) {
    return (ar_plan){
        .device_memory_type = -1, .staging_memory_type = -1, .timestamps = true, .submit_ms = 100.0};
}

static inline void open_fixture(fixture *f, const ar_device_facts *device, ar_plan plan,
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

static inline void close_fixture(fixture *f) {
    D->pipeline_destroy(f->drv, f->copy);
    D->buffer_destroy(f->drv, f->a);
    D->buffer_destroy(f->drv, f->b);
    D->close(f->drv);
}

static inline ar__command copy_words(const fixture *f, ar__buffer *to, ar__buffer *from, uint32_t words) {
    ar__command c = {.pipeline = f->copy,
                     .kernel = &ar__kernels[AR_K_copy],
                     .bind = {{from, 0, 4 * (uint64_t)words}, {to, 0, 4 * (uint64_t)words}},
                     .params = {words},
                     .groups = {(words + 63) / 64, 1, 1},
                     .barrier = true,
                     .ms = 1.0};
    return c;
}

static inline void expect_words(fixture *f, ar__buffer *buffer, const uint32_t *expected) {
    uint32_t got[N];
    assert_int_equal(D->read(f->drv, buffer, 0, got, sizeof got), AR_OK);
    assert_memory_equal(got, expected, sizeof got);
}

/* Runs body on every device; skips without any. */
static inline void on_every_device(void (*body)(const ar_device_facts *device)) {
    if (!device_count) skip();
    for (int32_t i = 0; i < device_count; i++) body(&facts[i]);
}
#endif
