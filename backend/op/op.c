/* Argument checks and group sizes shared by the op files. */
#include "op.h"
#include <math.h>
#include <stdio.h>

ar_status ar__op_check(const char *op, const char *name, const ar_tensor *t, ar_dtype dtype, int64_t rows,
                       int64_t cols) {
    char text[96];
    snprintf(text, sizeof text, "%s %s", op, name);
    return ar__expect(text, t, dtype, cols == 0 ? 1 : 2, (int64_t[]){rows, cols});
}

bool ar__wants_few_items(const ar_device *device) { return device->plan.attn_wg <= 8; }

uint32_t ar__row_group(const ar_device *device) {
    uint32_t wanted = ar__wants_few_items(device) ? 8 : device->plan.wg, group = 1;
    while (group * 2 <= wanted && group < 128) group *= 2;
    return group;
}

ar_status ar__expect_cap(const char *op, float cap) {
    if (cap >= 0.0f && isfinite(cap)) return AR_OK;
    return ar__fail(AR_ERR_ARG, "%s: found cap %g, expected 0 or a positive number", op, (double)cap);
}

uint32_t ar__shift_of(uint32_t n) {
    uint32_t shift = 0;
    while (shift < 32 && (n >> shift) > 1) shift++;
    return n == (1u << shift) ? shift : 32;
}
