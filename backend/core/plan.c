/* Policy: what to do on a device, computed from its facts alone, so that devices nobody has here can be
 * tested. Rows of quirks.def correct the result for drivers known to misbehave. */
#include "device_class.h"
#include "tiles.h"
#include <stdio.h>
#include <string.h>

/* The floor every kernel has a variant for: the minimums of the Vulkan 1.1 specification, but for the buffers
 * bound to a kernel, of which it promises 4 and SignRound's gradient needs 8. */
#define FLOOR_BINDINGS      ((uint32_t)AR_MAX_BINDINGS)
#define FLOOR_GROUP_ITEMS   128u
#define FLOOR_SHARED_BYTES  16384u
#define FLOOR_PARAM_BYTES   128u
#define FLOOR_GROUP_COUNT   65535u
#define FLOOR_BINDING_BYTES ((uint64_t)1 << 20)
#define PIECE_LIMIT         ((uint64_t)1 << 32) /* kernels index with 32 bits */
#define WEIGHT_HEAP_SHARE   2 /* a heap below 1/2 of the largest (a 256 MiB BAR) holds no weights */

static bool is_api(const ar_device_facts *f, const char *api) { return strcmp(f->api, api) == 0; }

static void add_reason(ar_plan *plan, const char *text) {
    size_t used = strlen(plan->reasons), room = sizeof plan->reasons - used;
    snprintf(plan->reasons + used, room, "%s%s", used ? "; " : "", text);
}

static ar_status check_at_least(const ar_device_facts *f, const char *what, uint64_t found,
                                uint64_t expected) {
    if (found >= expected) return AR_OK;
    return ar__fail(AR_ERR_UNSUPPORTED, "%s:%d (%s): %s is %llu, at least %llu is needed", f->api, f->index,
                    f->name, what, (unsigned long long)found, (unsigned long long)expected);
}

static ar_status check_floor(const ar_device_facts *f) {
    AR_TRY(check_at_least(f, "max_group_items", f->max_group_items, FLOOR_GROUP_ITEMS));
    AR_TRY(check_at_least(f, "max_group_size[0]", f->max_group_size[0], FLOOR_GROUP_ITEMS));
    AR_TRY(check_at_least(f, "shared_bytes", f->shared_bytes, FLOOR_SHARED_BYTES));
    AR_TRY(check_at_least(f, "max_param_bytes", f->max_param_bytes, FLOOR_PARAM_BYTES));
    AR_TRY(check_at_least(f, "max_bindings", f->max_bindings, FLOOR_BINDINGS));
    AR_TRY(check_at_least(f, "max_binding_bytes", f->max_binding_bytes, FLOOR_BINDING_BYTES));
    for (int i = 0; i < 2; i++)
        AR_TRY(check_at_least(f, "max_group_count", f->max_group_count[i], FLOOR_GROUP_COUNT));
    return AR_OK;
}

/* ---- shapes ---- */

static uint32_t vector_width(const ar_device_facts *f) {
    if (!is_api(f, "cl")) return 4;
    return f->vector_width >= 16 ? 16 : f->vector_width >= 8 ? 8 : 4;
}

static uint32_t at_most(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* gemm_tiles: a group of 256 items makes 128 x 128, 8 x 8 in the registers of each; gemm_coop the same by
 * eight subgroups, of 32 items at least, or each would hold too many sums. Where that would be too few groups
 * for the device, smaller tiles. */
static void shared_shape(ar_plan *plan, const ar_device_facts *f, ar__device_class_id class) {
    uint32_t taken = plan->variants[AR_F_gemm], items = 256;
    bool is_coop = taken == AR_K_gemm_coop || taken == AR_K_gemm_coop_bf16;
    if (is_coop) items = 8 * plan->coop_subgroup;
    bool is_large = f->max_group_items >= items && (!is_coop || (f->shared_bytes >= 32768 && items >= 256));
    uint32_t v[AR_TILE_VALUES];
    ar__tiles_built_in(v, f, AR_K_gemm_tiles);
    bool is_shared = is_coop || taken == AR_K_gemm_tiles || taken == AR_K_gemm_half;
    plan->gemm_side = !is_shared ? 0 : is_large ? v[0] : 64;
    plan->resident_fused = taken == AR_K_gemm_tiles && class != AR_CLASS_CPU && !plan->allows_bf16;
    plan->gemm_groups = v[1];
}

/* llvmpipe loads lane by lane: what lanes share is loaded once and passed around (shaders/gemm_lanes.comp:
 * 11.5 GFLOP per CPU second, gemm 7.4). Tiles are rows of tiles.def. */
static void gemm_shape(ar_plan *plan, const ar_device_facts *f, ar__device_class_id class) {
    uint32_t v[AR_TILE_VALUES];
    bool has_lanes = plan->variants[AR_F_gemm] == AR_K_gemm_lanes;
    plan->gemm_lanes = has_lanes ? ar__variant_lanes(AR_K_gemm_lanes, f) : 0;
    ar__tiles_built_in(v, f, plan->gemm_lanes ? AR_K_gemm_lanes : AR_K_gemm);
    plan->gemm_tm = v[0];
    plan->gemm_tn = v[1];
    plan->gemm_wgx = plan->gemm_lanes ? 1 : at_most(v[2], f->max_group_items);
    plan->gemm_wgy = plan->gemm_lanes ? plan->gemm_lanes : v[3];
    shared_shape(plan, f, class);
    ar__tiles_by_rows(plan, f, AR_F_gemm, NULL, 0);
}

/* In OpenCL without matrix hardware a subgroup is one item, which holds whole fragments. */
static void fragment_shape(ar_plan *plan, const ar_device_facts *f) {
    bool is_plain = !f->has_coopmat && !is_api(f, "vk");
    const uint32_t half[] = {f->coop_m, f->coop_n, f->coop_k}, plain[] = {4, 8, 16};
    memcpy(plan->coop_fragment, is_plain ? plain : half, sizeof half);
    memcpy(plan->coop_bf16, is_plain ? plain : f->coop_bf16, sizeof plain);
    plan->coop_subgroup = is_plain ? 1 : f->has_subgroup_control ? f->subgroup_min : f->subgroup_max;
}

/* attention_coop: eight subgroups share a tile of queries or, where it would be too large, four. */
static void attention_shape(ar_plan *plan, const ar_device_facts *f, ar__device_class_id class) {
    uint32_t rows = plan->coop_fragment[0], items = plan->coop_subgroup;
    bool is_large = f->max_group_items >= 8 * items && (rows <= 8 || f->shared_bytes >= 32768);
    bool is_known = rows > 0 && 4 * items <= f->max_group_items;
    plan->attn_wg = class == AR_CLASS_CPU ? 8 : plan->wg;
    plan->attn_subgroups = !is_known ? 0 : is_large ? 8 : 4;
}

/* Norming x in every item costs a seventh of a product on llvmpipe, a launch of its own 60 us there and next
 * to nothing in an OpenCL that runs items as calls. */
#define NORM_WEIGHTS ((uint64_t)2 << 20)

/* Where lanes share x, few columns are decoded anew for every eight; from some thirty on decoded panels are
 * faster, though llvmpipe stores them lane by lane: bench/LOG.md. */
static void gemv_shape(ar_plan *plan, const ar_device_facts *f, ar__device_class_id class) {
    bool has_lanes = plan->variants[AR_F_gemv] == AR_K_gemv_lanes;
    uint32_t lanes = has_lanes ? ar__variant_lanes(AR_K_gemv_lanes, f) : 0;
    uint32_t v[AR_TILE_VALUES], of_lanes[AR_TILE_VALUES];
    ar__tiles_built_in(v, f, AR_K_gemv);
    ar__tiles_built_in(of_lanes, f, AR_K_gemv_lanes);
    plan->resident_wgy = lanes ? 1 : v[1];
    plan->resident_lanes = lanes;
    plan->resident_tile = lanes ? of_lanes[0] : v[2];
    plan->resident_columns = lanes ? of_lanes[1] : v[3];
    plan->resident_norm = class != AR_CLASS_CPU ? UINT64_MAX : is_api(f, "cl") ? 0 : NORM_WEIGHTS;
    ar__tiles_by_rows(plan, f, AR_F_gemv, NULL, 0);
}

static void plan_shapes(ar_plan *plan, const ar_device_facts *f, ar__device_class_id class) {
    uint32_t v[AR_TILE_VALUES];
    plan->vw = vector_width(f);
    plan->wg = at_most(64, f->max_group_items);
    fragment_shape(plan, f);
    gemm_shape(plan, f, class);
    attention_shape(plan, f, class);
    plan->direct_conv = class == AR_CLASS_CPU && !plan->allows_bf16; /* bench/LOG.md; no GPU was at hand */
    ar__tiles_built_in(v, f, AR_K_gemv);
    plan->resident_wgx = plan->resident_lp = v[0]; /* whatever variant: it is how weights lie */
    gemv_shape(plan, f, class);
}

void ar__plan_use(ar_plan *plan, const ar_device_facts *facts, ar__kernel_id variant) {
    for (int32_t i = 0; i < ar__variant_count; i++) {
        ar__family_id family = ar__variants[i].family;
        if (ar__variants[i].kernel != variant) continue;
        plan->variants[family] = variant;
        if (family == AR_F_gemm) gemm_shape(plan, facts, ar__device_class(facts));
        if (family == AR_F_gemv) gemv_shape(plan, facts, ar__device_class(facts));
    }
}

/* ---- memory ---- */

static void plan_pieces(ar_plan *plan, const ar_device_facts *f) {
    uint32_t align = 16 > 4 * plan->vw ? 16 : 4 * plan->vw; /* a whole fvec */
    while (align < f->binding_offset_align) align *= 2;
    plan->offset_align = align;
    uint64_t piece = f->max_binding_bytes;
    if (f->max_buffer_bytes && f->max_buffer_bytes < piece) piece = f->max_buffer_bytes;
    if (piece > PIECE_LIMIT - align) piece = PIECE_LIMIT - align;
    plan->piece_bytes = piece - piece % align;
}

static uint64_t largest_local_heap(const ar_device_facts *f) {
    uint64_t largest = 0;
    for (int32_t i = 0; i < f->memory_type_count; i++) {
        const ar_memory_type *t = &f->memory_types[i];
        if (t->device_local && !t->special && t->heap_bytes > largest) largest = t->heap_bytes;
    }
    return largest;
}

/* A card is not unified though all its memory be visible (resizable BAR): reads cross the bus, uncached. A
 * type that the host does not see means nothing: Adreno and Apple's GPUs list one beside those that it does.
 */
bool ar__memory_is_unified(const ar_device_facts *f) {
    uint64_t largest = largest_local_heap(f);
    if (f->kind != AR_DEVICE_INTEGRATED && f->kind != AR_DEVICE_CPU) return false;
    for (int32_t i = 0; i < f->memory_type_count; i++) {
        const ar_memory_type *t = &f->memory_types[i];
        if (!t->special && t->device_local && t->host_visible && t->host_coherent && t->heap_bytes == largest)
            return true;
    }
    return false;
}

/* How good type t is for weights; negative = not usable. Direct host access counts where memory is shared. */
static int32_t device_score(const ar_device_facts *f, const ar_memory_type *t, uint64_t largest) {
    if (t->special) return -1;
    bool direct = t->host_visible && t->host_coherent;
    int32_t place = !t->device_local ? 0 : t->heap_bytes < largest / WEIGHT_HEAP_SHARE ? 16 : 32;
    if (f->unified_memory) return place + (direct ? 4 : 0) + (direct && t->host_cached ? 2 : 0);
    return place + (t->host_visible ? 0 : 4) + (t->heap_bytes == largest ? 1 : 0);
}

static int32_t staging_score(const ar_memory_type *t) {
    if (t->special || !t->host_visible || !t->host_coherent) return -1;
    return (t->host_cached ? 4 : 0) + (t->device_local ? 0 : 2);
}

int32_t ar__memory_type(const ar_device_facts *f, uint32_t allowed, bool staging) {
    uint64_t largest = largest_local_heap(f);
    int32_t best = -1, best_score = -1;
    for (int32_t i = 0; i < f->memory_type_count; i++) {
        const ar_memory_type *t = &f->memory_types[i];
        int32_t score = staging ? staging_score(t) : device_score(f, t, largest);
        if (!(allowed >> i & 1) || score <= best_score) continue;
        best = i;
        best_score = score;
    }
    return best;
}

/* Vulkan only: which memory type holds tensors, and whether the host reaches it directly. */
static ar_status plan_memory(ar_plan *plan, const ar_device_facts *f) {
    plan->device_memory_type = plan->staging_memory_type = -1;
    if (f->memory_type_count == 0) return AR_OK; /* the driver hides it */
    plan->device_memory_type = ar__memory_type(f, UINT32_MAX, false);
    plan->staging_memory_type = ar__memory_type(f, UINT32_MAX, true);
    if (plan->device_memory_type < 0)
        return ar__fail(AR_ERR_UNSUPPORTED, "vk:%d (%s): no usable memory type among %d", f->index, f->name,
                        f->memory_type_count);
    const ar_memory_type *t = &f->memory_types[plan->device_memory_type];
    plan->staged = !f->unified_memory || !t->host_visible || !t->host_coherent;
    if (!plan->staged)
        plan->staging_memory_type = -1;
    else if (plan->staging_memory_type < 0)
        return ar__fail(AR_ERR_UNSUPPORTED, "vk:%d (%s): no host-visible coherent memory type", f->index,
                        f->name);
    add_reason(plan, plan->staged ? "staged copies: device memory is not shared with the host"
                                  : "direct copies: unified memory");
    return AR_OK;
}

/* ---- time ---- */

/* Deliberately low speeds: an estimate too long only cuts a submission earlier. */
static void plan_time(ar_plan *plan, const ar_device_facts *f, ar__device_class_id class) {
    static const struct {
        double submit_ms, flops, bytes;
    } rows[] = {[AR_CLASS_DESKTOP] = {100, 2e12, 2e11},
                [AR_CLASS_INTEGRATED] = {100, 2e11, 2e10},
                [AR_CLASS_MOBILE] = {40, 5e10, 5e9},
                [AR_CLASS_CPU] = {250, 2e10, 5e9},
                [AR_CLASS_OTHER] = {40, 2e10, 5e9}};
    plan->submit_ms = rows[class].submit_ms;
    plan->rate_flops = rows[class].flops;
    plan->rate_bytes = rows[class].bytes;
    if (class == AR_CLASS_CPU && is_api(f, "cl")) plan->rate_flops *= 4;
    plan->timestamps = f->has_timestamps && f->timestamp_ns > 0;
    if (!plan->timestamps) add_reason(plan, "timestamps off: the device has none");
}

/* ---- quirks ---- */

typedef enum quirk_action { QUIRK_SMALL_TILE, QUIRK_NO_TIMESTAMPS, QUIRK_CLEAR_PADDING } quirk_action;

typedef struct quirk {
    const char *api, *driver, *name;
    quirk_action action;
    const char *why;
} quirk;

static const quirk quirks[] = {
#define AR_QUIRK(api, driver, name, action, why) {api, driver, name, QUIRK_##action, why},
#include "quirks.def"
#undef AR_QUIRK
};

static void apply_quirks(ar_plan *plan, const ar_device_facts *f) {
    for (size_t i = 0; i < sizeof quirks / sizeof quirks[0]; i++) {
        const quirk *q = &quirks[i];
        if (!is_api(f, q->api) || !strstr(f->driver, q->driver) || !strstr(f->name, q->name)) continue;
        switch (q->action) {
        case QUIRK_SMALL_TILE:
            ar__plan_use(plan, f, AR_K_gemm);
            ar__plan_use(plan, f, AR_K_gemv);
            plan->variants_asked &= ~(1u << AR_F_gemm | 1u << AR_F_gemv);
            plan->ways = plan->ways_asked = 0;
            plan->gemm_tm = 4, plan->gemm_tn = 1;
            plan->gemm_wgx = 8, plan->gemm_wgy = 1;
            memset(plan->gemm_by_rows, 0, sizeof plan->gemm_by_rows);
            memset(plan->gemv_by_rows, 0, sizeof plan->gemv_by_rows);
            break;
        case QUIRK_NO_TIMESTAMPS: plan->timestamps = false; break;
        case QUIRK_CLEAR_PADDING: plan->clear_padding = true; break;
        }
        add_reason(plan, q->why);
    }
}

ar_status ar__plan_make(ar_plan *plan, const ar_device_facts *facts, const char *wishes, uint64_t left_out) {
    ar__device_class_id class = ar__device_class(facts);
    *plan = (ar_plan){0};
    AR_TRY(check_floor(facts));
    AR_TRY(ar__variants_choose(plan, facts, wishes, left_out));
    plan_shapes(plan, facts, class);
    plan_pieces(plan, facts);
    AR_TRY(plan_memory(plan, facts));
    plan_time(plan, facts, class);
    if (!facts->has_coopmat) add_reason(plan, "matrix hardware off: no extension");
    if (!facts->has_f16_arith) add_reason(plan, "fp16 arithmetic off: no extension");
    if (!facts->has_int_dot) add_reason(plan, "integer dot off: no extension");
    apply_quirks(plan, facts);
    return AR_OK;
}

ar_status ar_plan_make_with(ar_plan *plan, const ar_device_facts *facts, const char *variants) {
    return ar__plan_make(plan, facts, variants, ar__variants_left_out());
}

ar_status ar_plan_make(ar_plan *plan, const ar_device_facts *facts) {
    return ar_plan_make_with(plan, facts, NULL);
}
