/* Rows of tile parameters, measured or built in: which is nearest to a device, and what a plan takes of it.
 */
#include "cache.h"
#include "device_class.h"
#include "tiles.h"
#include <stdio.h>
#include <string.h>

static const ar_tuning_row built_in[] = {
#define AR_TILES(kernel, bucket, api, kind, vendor, subgroup, width, device, driver, v0, v1, v2, v3, why)    \
    {api, device, driver, kind, vendor, subgroup, width, kernel, bucket, 0, {v0, v1, v2, v3}, 1, why},
#include "tiles.def"
#undef AR_TILES
};
#define BUILT_IN ((int32_t)(sizeof built_in / sizeof *built_in))

uint64_t ar_kernel_hash(const char *kernel) {
    for (int32_t i = 0; i < AR_K_COUNT; i++) {
        const ar__kernel *k = &ar__kernels[i];
        if (strcmp(k->name, kernel) != 0) continue;
        uint64_t hash = ar__hash(AR__HASH_START, k->cl_source, strlen(k->cl_source));
        return k->spirv ? ar__hash(hash, k->spirv, k->spirv_words * sizeof *k->spirv) : hash;
    }
    return 0;
}

const char *ar_tuning_match_name(ar_tuning_match match) {
    static const char *const names[] = {"none", "generic", "vendor", "architecture", "exact"};
    return names[match];
}

void ar_tuning_key(ar_tuning_row *row, const ar_device_facts *f, const char *kernel, const char *bucket) {
    static const char *const kinds[] = {[AR_CLASS_DESKTOP] = "discrete",
                                        [AR_CLASS_INTEGRATED] = "integrated",
                                        [AR_CLASS_MOBILE] = "phone",
                                        [AR_CLASS_CPU] = "cpu",
                                        [AR_CLASS_OTHER] = "other"};
    *row = (ar_tuning_row){.vendor_id = f->vendor_id,
                           .subgroup = f->subgroup_max,
                           .vector_width = f->vector_width,
                           .kernel_hash = ar_kernel_hash(kernel)};
    snprintf(row->api, sizeof row->api, "%s", f->api);
    snprintf(row->kind, sizeof row->kind, "%s", kinds[ar__device_class(f)]);
    snprintf(row->device, sizeof row->device, "%.127s", f->name);
    snprintf(row->driver, sizeof row->driver, "%.63s %.63s", f->driver, f->version);
    snprintf(row->kernel, sizeof row->kernel, "%.23s", kernel);
    snprintf(row->bucket, sizeof row->bucket, "%.15s", bucket);
}

/* ---- near ---- */

static bool is_same(const char *a, const char *b) { return strcmp(a, b) == 0; }

static bool is_like(const char *pattern, const char *text) {
    size_t length = strlen(pattern);
    if (length == 0) return true;
    return pattern[length - 1] == '*' ? strncmp(pattern, text, length - 1) == 0 : is_same(pattern, text);
}

static bool is_or_any(uint32_t of_row, uint32_t v) { return of_row == 0 || of_row == v; }

/* Of a row that is built in: all that it names must be the device's. */
static ar_tuning_match pattern_match(const ar_tuning_row *row, const ar_tuning_row *key) {
    if (!is_like(row->api, key->api) || !is_like(row->kind, key->kind) ||
        !is_like(row->device, key->device) || !is_like(row->driver, key->driver) ||
        !is_or_any(row->vendor_id, key->vendor_id) || !is_or_any(row->subgroup, key->subgroup) ||
        !is_or_any(row->vector_width, key->vector_width))
        return AR_TUNING_NONE;
    if (row->device[0]) return AR_TUNING_EXACT;
    if (row->subgroup || row->vector_width) return AR_TUNING_ARCHITECTURE;
    return row->vendor_id ? AR_TUNING_VENDOR : AR_TUNING_GENERIC;
}

static ar_tuning_match match_of(const ar_tuning_row *row, const ar_tuning_row *key) {
    if (!is_same(row->kernel, key->kernel) || !is_same(row->bucket, key->bucket)) return AR_TUNING_NONE;
    if (row->why) return pattern_match(row, key);
    if (!is_same(row->api, key->api) || row->kernel_hash != key->kernel_hash ||
        !is_same(row->kind, key->kind))
        return AR_TUNING_NONE;
    if (is_same(row->device, key->device) && is_same(row->driver, key->driver)) return AR_TUNING_EXACT;
    if (row->vendor_id != key->vendor_id) return AR_TUNING_GENERIC;
    return row->subgroup == key->subgroup && row->vector_width == key->vector_width ? AR_TUNING_ARCHITECTURE
                                                                                    : AR_TUNING_VENDOR;
}

const ar_tuning_row *ar_tuning_find(ar_tuning_match *match, const ar_tuning_row *rows, int32_t count,
                                    const ar_device_facts *facts, const char *kernel, const char *bucket) {
    ar_tuning_row key;
    ar_tuning_match best = AR_TUNING_NONE;
    const ar_tuning_row *found = NULL;
    ar_tuning_key(&key, facts, kernel, bucket);
    for (int32_t i = 0; i < count; i++) {
        ar_tuning_match m = match_of(&rows[i], &key);
        if (m == AR_TUNING_NONE || m < best) continue;
        best = m;
        found = &rows[i];
    }
    if (match) *match = best;
    return found;
}

/* ---- taken ---- */

static bool can_take(const ar_plan *plan, const ar_device_facts *facts, const ar_tuning_row *row) {
    ar_plan copy = *plan;
    return row && ar_plan_set_tiles(&copy, facts, row->kernel, row->bucket, row->values) == AR_OK;
}

/* The nearest of both. */
static const ar_tuning_row *nearest(ar_tuning_match *match, const ar_plan *plan, const ar_device_facts *facts,
                                    const ar_tuning_row *rows, int32_t count, const char *kernel,
                                    const char *bucket) {
    ar_tuning_match m;
    const ar_tuning_row *own = ar_tuning_find(match, built_in, BUILT_IN, facts, kernel, bucket);
    const ar_tuning_row *measured = ar_tuning_find(&m, rows, count, facts, kernel, bucket);
    if (measured && m >= *match && can_take(plan, facts, measured)) {
        *match = m;
        return measured;
    }
    return own;
}

/* plan.c's QUIRK_SMALL_TILE: a driver that is known to fail with larger ones. */
static bool is_made_small(const ar_plan *plan) {
    return plan->gemm_tm == 4 && plan->gemm_tn == 1 && plan->gemm_wgx == 8 && plan->gemm_wgy == 1;
}

const ar_tuning_row *ar_tuning_source(ar_tuning_match *match, const ar_plan *plan,
                                      const ar_device_facts *facts, const ar_tuning_row *rows, int32_t count,
                                      const char *kernel, const char *bucket) {
    ar_tuning_match of_any, m;
    const ar_tuning_row *row = NULL;
    if (!is_made_small(plan)) row = nearest(&m, plan, facts, rows, count, kernel, bucket);
    if (row && !is_same(bucket, AR_TUNING_ANY)) {
        nearest(&of_any, plan, facts, rows, count, kernel, AR_TUNING_ANY);
        if (m < of_any || !can_take(plan, facts, row)) row = NULL;
    }
    if (match) *match = row ? m : AR_TUNING_NONE;
    return row;
}

void ar__tiles_built_in(uint32_t values[AR_TILE_VALUES], const ar_device_facts *facts, ar__kernel_id kernel) {
    const ar_tuning_row *row =
        ar_tuning_find(NULL, built_in, BUILT_IN, facts, ar__kernels[kernel].name, AR_TUNING_ANY);
    memset(values, 0, AR_TILE_VALUES * sizeof *values);
    if (row) memcpy(values, row->values, sizeof row->values);
}

void ar__tiles_by_rows(ar_plan *plan, const ar_device_facts *facts, ar__family_id family,
                       const ar_tuning_row *rows, int32_t count) {
    const char *kernel = ar__kernels[plan->variants[family]].name;
    memset(family == AR_F_gemm ? plan->gemm_by_rows : plan->gemv_by_rows, 0, sizeof plan->gemm_by_rows);
    for (int32_t i = 1; ar_tile_bucket(i); i++) {
        const ar_tuning_row *row =
            ar_tuning_source(NULL, plan, facts, rows, count, kernel, ar_tile_bucket(i));
        if (row) (void)ar_plan_set_tiles(plan, facts, kernel, row->bucket, row->values);
    }
}

void ar_plan_use_tuning(ar_plan *plan, const ar_device_facts *facts, const ar_tuning_row *rows,
                        int32_t count) {
    static const ar__family_id families[] = {AR_F_gemm, AR_F_gemv};
    if (is_made_small(plan)) return;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        const char *kernel = ar__kernels[plan->variants[families[i]]].name;
        ar_tuning_match match;
        const ar_tuning_row *row = ar_tuning_source(&match, plan, facts, rows, count, kernel, AR_TUNING_ANY);
        if (row && !row->why && ar_plan_set_tiles(plan, facts, kernel, AR_TUNING_ANY, row->values) == AR_OK) {
            size_t used = strlen(plan->reasons);
            snprintf(plan->reasons + used, sizeof plan->reasons - used, "%stiles of %s as tuned (%s)",
                     used ? "; " : "", kernel, ar_tuning_match_name(match));
        }
        ar__tiles_by_rows(plan, facts, families[i], rows, count);
    }
}
