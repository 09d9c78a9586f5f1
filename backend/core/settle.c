/* A variant that a driver gets wrong gives way to another before anything is recorded with it. */
#include "variant.h"
#include <stdio.h>
#include <string.h>

static int32_t row_of(uint32_t kernel) {
    int32_t i = 0;
    while ((uint32_t)ar__variants[i].kernel != kernel) i++;
    return i;
}

static bool is_last(int32_t row) {
    return row + 1 == ar__variant_count || ar__variants[row + 1].family != ar__variants[row].family;
}

/* The row after `row` that the device takes; the family's own kernel suits everywhere. */
static int32_t next_row(const ar_device *device, int32_t row) {
    do {
        row++;
    } while (!is_last(row) && !ar__variant_suits(&ar__variants[row], &device->facts, &device->plan));
    return row;
}

static void say_why(ar_plan *plan, ar__kernel_id kernel, ar_status status) {
    size_t used = strlen(plan->reasons);
    const char *comma = used ? "; " : "", *why = status == AR_ERR_CHECK ? "computes wrongly" : "fails";
    snprintf(plan->reasons + used, sizeof plan->reasons - used, "%s%s off: it %s here", comma,
             ar__kernels[kernel].name, why);
}

ar_status ar__variant_settle(ar_device *device, ar__family_id family) {
    ar_plan *plan = &device->plan;
    bool is_asked = plan->variants_asked >> family & 1, is_tried = device->settled >> family & 1;
    if (!device->checker_close || is_tried) return AR_OK; /* unchecked, or the checker's own */
    int32_t row = row_of(plan->variants[family]);
    while (!is_last(row)) {
        const ar__variant *v = &ar__variants[row];
        ar_status status = device->first_use(device->checker, device, v->kernel);
        if (status == AR_OK) break;
        if (is_asked || status == AR_ERR_DEVICE_LOST || status == AR_ERR_MEMORY) return status;
        say_why(plan, v->kernel, status);
        row = next_row(device, row);
        ar__plan_use(plan, &device->facts, ar__variants[row].kernel);
    }
    device->settled |= 1u << family;
    return AR_OK;
}

ar_status ar__way_settle(ar_device *device, ar__way_id way, ar__kernel_id kernel) {
    ar_plan *plan = &device->plan;
    bool is_asked = plan->ways_asked >> way & 1;
    if (!device->checker_close || !(plan->ways >> way & 1)) return AR_OK;
    ar_status status = device->first_use(device->checker, device, kernel);
    if (status == AR_OK || is_asked || status == AR_ERR_DEVICE_LOST || status == AR_ERR_MEMORY) return status;
    say_why(plan, kernel, status);
    plan->ways &= ~(1u << way);
    return AR_OK;
}
