/* Every device found, and the null device. Sees backend's internal header. */
#ifndef AR_TEST_ALL_DEVICES_H
#define AR_TEST_ALL_DEVICES_H
#include "internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define DEVICES_MAX 16

typedef struct device_set {
    char selects[DEVICES_MAX + 1][24];
    int32_t count;
} device_set;

/* "null" and every device found. */
static inline device_set all_devices(void) {
    static ar_device_facts facts[DEVICES_MAX];
    device_set set = {.selects = {"null"}, .count = 1};
    int32_t count = 0;
    assert_int_equal(ar_device_list(facts, &count, DEVICES_MAX, NULL, 0), AR_OK);
    for (int32_t i = 0; i < count && i < DEVICES_MAX; i++)
        snprintf(set.selects[set.count++], sizeof set.selects[0], "%.7s:%d", facts[i].api, facts[i].index);
    return set;
}

static inline ar_device *open_device(const ar_device_desc *desc) {
    ar_device *device = NULL;
    ar_status status = ar_device_open(&device, desc);
    if (status != AR_OK) fail_msg("%s: %s", desc->select, ar_error());
    return device;
}
#endif
