/* The selftest's driver: walks the cases and frees what they made. The cases are rows of cases.def with
 * functions in cases_*.c, which make, run and compare with selftest_case.c; the truth is in ref_*.c. */
#include "selftest.h"
#include "variant.h"
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

ar_status ar__st_case_run(ar__st *st, const ar__st_case *c) {
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

static const ar__variant *variant_of(uint32_t kernel) {
    const ar__variant *found = NULL;
    for (int32_t i = 0; i < ar__variant_count; i++)
        if ((uint32_t)ar__variants[i].kernel == kernel) found = &ar__variants[i];
    return found;
}

/* The kernel that runs everywhere. */
static ar__kernel_id last_of(int32_t family) {
    ar__kernel_id last = AR_K_COUNT;
    for (int32_t i = 0; i < ar__variant_count; i++)
        if ((int32_t)ar__variants[i].family == family) last = ar__variants[i].kernel;
    return last;
}

void ar__st_keep_f32(ar_device *device, ar__kernel_id kernel) {
    const ar__variant *v = variant_of(kernel);
    device->plan.allows_bf16 = false;
    device->plan.ways &= ~(1u << AR_W_saved);
    if (kernel == AR_K_panel_top) return; /* which only products that round use */
    for (int32_t f = 0; f < AR_F_COUNT; f++)
        if (ar__st_rounds(device, f))
            ar__plan_use(&device->plan, &device->facts, v && (int32_t)v->family == f ? kernel : last_of(f));
}

/* Whether c's numbers are for what the variant may make of them: bf16 has cases of its own. */
static bool is_for(const ar__st_case *c, ar__kernel_id variant) {
    bool is_bf16 = ar__kernel_needs(ar__kernels[variant].name) & AR_ROUNDS_TO_BF16;
    return is_bf16 ? ar__st_names(c, variant) : ar__st_covers(c, variant);
}

/* What the case is not of computes in f32. */
static void keep_f32_beside(ar_device *device, const ar__st_case *c) {
    device->plan.allows_bf16 = false; /* a case of its own turns it on */
    device->plan.ways &= ~(1u << AR_W_saved);
    for (int32_t f = 0; f < AR_F_COUNT; f++)
        if (ar__st_rounds(device, f) && !is_for(c, (ar__kernel_id)device->plan.variants[f]))
            ar__plan_use(&device->plan, &device->facts, last_of(f));
}

/* Runs the case as st says and counts a failure. Errors: DEVICE_LOST, MEMORY; others are results. */
static ar_status try_case(ar__st *st, const ar__st_case *c, int32_t *failures) {
    const ar_plan plan = st->device->plan;
    keep_f32_beside(st->device, c);
    ar_status status = ar__st_case_run(st, c);
    st->device->plan = plan;
    if (status == AR_ERR_DEVICE_LOST || status == AR_ERR_MEMORY) return status;
    if (status != AR_OK) ar__st_report(st, c->kernels, INFINITY, c->bound, ar_error());
    *failures += st->failed;
    return AR_OK;
}

bool ar__st_names(const ar__st_case *c, ar__kernel_id kernel) {
    const char *name = ar__kernels[kernel].name;
    size_t bytes = strlen(name);
    for (const char *at = c->kernels; (at = strstr(at, name)); at += bytes)
        if ((at == c->kernels || at[-1] == ' ') && (at[bytes] == ' ' || at[bytes] == '\0')) return true;
    return false;
}

bool ar__st_covers(const ar__st_case *c, ar__kernel_id kernel) {
    bool is_covered = ar__st_names(c, kernel);
    for (int32_t i = 0; i < ar__variant_count && !is_covered; i++)
        for (int32_t k = 0; k < ar__variant_count && ar__variants[i].kernel == kernel; k++)
            if (ar__variants[k].family == ar__variants[i].family && ar__st_names(c, ar__variants[k].kernel))
                is_covered = true;
    return is_covered;
}

/* Whether the filter, NULL or a part of a name, means c or a variant of what c covers. */
static bool is_meant(const ar__st_case *c, const char *test, const char *filter) {
    bool is_it = !filter || strstr(c->kernels, filter) || strstr(test, filter);
    for (int32_t i = 0; i < ar__variant_count && !is_it; i++)
        is_it = strstr(ar__kernels[ar__variants[i].kernel].name, filter) && is_for(c, ar__variants[i].kernel);
    return is_it;
}

/* Plain code in the place of matrix hardware or fp16 is slow to compile and nobody's choice: only when it is
 * named.
 */
static bool is_stand_in(const ar_device *device, const ar__variant *v, const char *filter) {
    bool is_named = filter && strstr(ar__kernels[v->kernel].name, filter);
    const ar_device_facts *f = &device->facts;
    bool lacks =
        (v->needs & AR_NEED_COOPMAT && !f->has_coopmat) || (v->needs & AR_NEED_F16 && !f->has_f16_arith);
    return lacks && !is_named;
}

/* Whether c covers the variant, the device can run it and its plan takes another. */
static bool wants_variant(const ar__st *st, const ar__st_case *c, int32_t row, const char *filter) {
    const ar_device *device = st->device;
    const ar__variant *v = &ar__variants[row];
    return is_for(c, v->kernel) && !is_stand_in(device, v, filter) &&
           device->plan.variants[v->family] != (uint32_t)v->kernel &&
           !ar__variant_lack(v, &device->facts, ar__variants_left_out() >> row & 1);
}

/* The case under the device's plan, then under each other variant of the kernels it covers. */
static ar_status try_variants(const ar__st *first, const ar__st_case *c, const char *filter,
                              int32_t *failures) {
    ar_device *device = first->device;
    const ar_plan plan = device->plan;
    ar__st st = *first;
    AR_TRY(try_case(&st, c, failures));
    for (int32_t i = 0; i < ar__variant_count; i++) {
        char test[128];
        if (!wants_variant(first, c, i, filter)) continue;
        snprintf(test, sizeof test, "%s by %s", first->test, ar__kernels[ar__variants[i].kernel].name);
        st = *first;
        st.test = test;
        ar__plan_use(&device->plan, &device->facts, ar__variants[i].kernel);
        ar_status status = try_case(&st, c, failures);
        device->plan = plan;
        if (status != AR_OK) return status;
    }
    return AR_OK;
}

ar_status ar__selftest_cases(ar_device *device, const ar__st_case *cases, int32_t count, const char *filter,
                             int32_t repeat, uint64_t seed, ar_selftest_fn report, void *ctx) {
    char test[96];
    int32_t failures = 0, meant = 0;
    for (int32_t r = 0; r < (repeat < 1 ? 1 : repeat); r++)
        for (int32_t i = 0; i < count; i++) {
            const ar__st_case *c = &cases[i];
            name_case(test, sizeof test, c);
            if (!is_meant(c, test, filter)) continue;
            meant++;
            ar__st st = {.device = device, .bound = c->bound, .test = test, .report = report, .ctx = ctx};
            st.random = seed + (uint64_t)r * UINT64_C(0x632be59bd9b4e019) + (uint64_t)i;
            AR_TRY(try_variants(&st, c, filter, &failures));
        }
    if (meant == 0 && filter)
        return ar__fail(AR_ERR_USAGE, "selftest: found no kernel or case whose name holds '%s'", filter);
    if (failures)
        return ar__fail(AR_ERR_CHECK, "selftest: %d cases failed on %s", failures, device->facts.name);
    return AR_OK;
}

ar_status ar_selftest(ar_device *device, const char *filter, int32_t repeat, uint64_t seed,
                      ar_selftest_fn report, void *ctx) {
    return ar__selftest_cases(device, ar__st_cases, ar__st_case_count, filter, repeat, seed, report, ctx);
}
