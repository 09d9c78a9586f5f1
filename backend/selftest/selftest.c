/* The selftest's driver: walks the cases and frees what they made. The cases are rows of cases.def with
 * functions in cases_*.c, which make, run and compare with selftest_case.c; the truth is in ref_*.c. */
#include "selftest.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const ar__st_case ar__st_cases[] = {
#define AR_CASE(name, kernels, bound, ...) {#name, kernels, ar__st_##name, bound, {__VA_ARGS__}},
#include "cases.def"
#undef AR_CASE
};
const int32_t ar__st_case_count = (int32_t)(sizeof ar__st_cases / sizeof ar__st_cases[0]);

static ar_status run_case(ar__st *st, const ar__st_case *c) {
    ar_status status = ar_graph_create(&st->g, st->device);
    if (status == AR_OK) status = c->run(st, c->p);
    (void)ar_device_wait(st->device); /* a failed case may leave work behind; its error is reported already */
    ar_graph_destroy(st->g);
    st->g = NULL;
    while (st->tensor_count) ar_tensor_destroy(st->tensors[--st->tensor_count]);
    while (st->array_count) free(st->arrays[--st->array_count]);
    return status;
}

static void name_case(char *text, size_t bytes, const ar__st_case *c) {
    int32_t last = AR__ST_PARAMS;
    while (last > 1 && c->p[last - 1] == 0) last--;
    int used = snprintf(text, bytes, "%s(", c->name);
    for (int32_t i = 0; i < last && used > 0 && (size_t)used < bytes; i++)
        used += snprintf(text + used, bytes - (size_t)used, i + 1 < last ? "%d, " : "%d)", c->p[i]);
}

ar_status ar__selftest_cases(ar_device *device, const ar__st_case *cases, int32_t count, const char *filter,
                             int32_t repeat, uint64_t seed, ar_selftest_fn report, void *ctx) {
    char test[96];
    int32_t failures = 0;
    for (int32_t r = 0; r < (repeat < 1 ? 1 : repeat); r++)
        for (int32_t i = 0; i < count; i++) {
            const ar__st_case *c = &cases[i];
            name_case(test, sizeof test, c);
            if (filter && !strstr(c->kernels, filter) && !strstr(test, filter)) continue;
            ar__st st = {.device = device, .bound = c->bound, .test = test, .report = report, .ctx = ctx};
            st.random = seed + (uint64_t)r * UINT64_C(0x632be59bd9b4e019) + (uint64_t)i;
            ar_status status = run_case(&st, c);
            if (status == AR_ERR_DEVICE_LOST || status == AR_ERR_MEMORY) return status;
            if (status != AR_OK) ar__st_report(&st, c->kernels, INFINITY, c->bound, ar_error());
            failures += st.failed;
        }
    if (failures)
        return ar__fail(AR_ERR_CHECK, "selftest: %d cases failed on %s", failures, device->facts.name);
    return AR_OK;
}

ar_status ar_selftest(ar_device *device, const char *filter, int32_t repeat, uint64_t seed,
                      ar_selftest_fn report, void *ctx) {
    return ar__selftest_cases(device, ar__st_cases, ar__st_case_count, filter, repeat, seed, report, ctx);
}
