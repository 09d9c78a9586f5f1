/* Kernel variants: the table, what a row needs of a device, and the choice (plan.c asks for it). */
#include "variant.h"
#include "device_class.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const ar__variant ar__variants[] = {
#define AR_FAMILY(family)                                                                                    \
    {AR_F_##family, AR_K_##family, AR_NEED_NOTHING, 0, 0, 0, AR_LIKED_BY_ALL, "runs everywhere"},
#define AR_VARIANT(family, kernel, needs, least, most, shared, liked_by, why)                                \
    {AR_F_##family, AR_K_##kernel, needs, least, most, shared, liked_by, why},
#include "variants.def"
#undef AR_VARIANT
#undef AR_FAMILY
};
#define VARIANT_COUNT ((int32_t)(sizeof ar__variants / sizeof ar__variants[0]))
const int32_t ar__variant_count = VARIANT_COUNT;

static const char *const families[] = {
#define AR_FAMILY(family) #family,
#define AR_VARIANT(family, kernel, needs, least, most, shared, liked_by, why)
#include "variants.def"
#undef AR_VARIANT
#undef AR_FAMILY
};

static const struct {
    const char *name, *choices[2], *why[2];
    ar__liking liked_by;
} ways[AR_W_COUNT] = {
#define AR_WAY(way, first, second, liked_by, why_first, why_second)                                          \
    {#way, {#first, #second}, {why_first, why_second}, liked_by},
#include "ways.def"
#undef AR_WAY
};

static const char *name_of(const ar__variant *v) { return ar__kernels[v->kernel].name; }

/* ---- what a device can run ---- */

uint32_t ar__kernel_needs(const char *kernel) {
    for (int32_t i = 0; i < VARIANT_COUNT; i++)
        if (strcmp(name_of(&ar__variants[i]), kernel) == 0) return ar__variants[i].needs;
    return AR_NEED_NOTHING;
}

uint64_t ar__variants_left_out(void) {
    uint64_t mask = 0;
    for (int32_t i = 0; i < VARIANT_COUNT; i++)
        if (!ar__kernels[ar__variants[i].kernel].spirv) mask |= UINT64_C(1) << i;
    return mask;
}

/* The size that subgroups have or, of several, the largest that suits: compilers of OpenCL C can be told. */
static uint32_t lanes_of(const ar__variant *v, const ar_device_facts *f) {
    bool is_told = f->has_subgroup_control && strcmp(f->api, "cl") == 0;
    uint32_t size = f->subgroup_max;
    if (f->subgroup_min < size && !is_told) return 0;
    if (is_told && size > v->subgroup_most) size = v->subgroup_most;
    return size >= f->subgroup_min && size >= v->subgroup_least && size <= v->subgroup_most ? size : 0;
}

uint32_t ar__variant_lanes(ar__kernel_id kernel, const ar_device_facts *facts) {
    for (int32_t i = 0; i < VARIANT_COUNT; i++)
        if (ar__variants[i].kernel == kernel) return lanes_of(&ar__variants[i], facts);
    return 0;
}

/* One of several sizes is asked for by name alone: no such device was at hand. */
static bool is_untried(const ar__variant *v, const ar_device_facts *f) {
    return v->subgroup_most > 0 && f->subgroup_min < f->subgroup_max;
}

const char *ar__variant_lack(const ar__variant *v, const ar_device_facts *f, bool is_left_out) {
    bool is_vulkan = strcmp(f->api, "vk") == 0;
    if (is_vulkan && is_left_out) return "a build whose glslang compiles it";
    if (v->needs & AR_NEED_SHUFFLE && !f->has_subgroup_shuffle) return "subgroup shuffles";
    if (v->needs & AR_NEED_F16 && is_vulkan && !f->has_f16_arith) return "fp16 arithmetic";
    if (v->needs & AR_NEED_INT_DOT && !f->has_int_dot) return "integer dot products";
    if (v->needs & AR_NEED_COOPMAT && is_vulkan && !f->has_coopmat) return "matrix hardware";
    if (v->needs & AR_NEED_COOP_BF16 && is_vulkan && f->coop_bf16[0] == 0) return "matrix hardware of bf16";
    if (v->subgroup_most > 0 && !lanes_of(v, f)) return "subgroups of one size that it knows";
    if (f->shared_bytes < v->shared_bytes) return "more shared memory";
    return NULL;
}

/* Products of operands that are bf16 by then lose nothing in fp16 once their panels are scaled. */
static bool has_leave(const ar__variant *v, const ar_plan *plan) {
    if (v->needs & AR_ROUNDS_TO_BF16) return plan->allows_bf16;
    return !(v->needs & AR_ROUNDS_TO_F16) || plan->allows_f16 ||
           (plan->allows_bf16 && v->family == AR_F_gemm);
}

static bool is_of(const ar_device_facts *f, ar__liking liking) {
    bool is_cpu = f->kind == AR_DEVICE_CPU;
    ar__device_class_id class = ar__device_class(f);
    switch (liking) {
    case AR_LIKED_BY_CPUS: return is_cpu;
    case AR_LIKED_BY_GPUS: return !is_cpu;
    case AR_LIKED_BY_CARDS: return class == AR_CLASS_DESKTOP || class == AR_CLASS_INTEGRATED;
    case AR_LIKED_BY_OLD_LLVMPIPE:
        return strcmp(f->api, "vk") == 0 && strncmp(f->driver, "llvmpipe", 8) == 0 &&
               strtol(f->version, NULL, 10) < 23;
    case AR_LIKED_BY_CL_CPUS: return is_cpu && strcmp(f->api, "cl") == 0;
    default: return true;
    }
}

static bool likes_way(const ar_device_facts *f, ar__liking liking, const ar_plan *plan) {
    return liking == AR_LIKED_WITH_F16 ? plan->allows_f16 : is_of(f, liking);
}

static bool likes(const ar_device_facts *f, const ar__variant *v, const ar_plan *plan) {
    if (!has_leave(v, plan)) return false;
    if (v->needs & AR_NEED_COOPMAT && !f->has_coopmat) return false;
    if (v->needs & AR_NEED_COOP_BF16 && f->coop_bf16[0] == 0) return false;
    if (v->needs & AR_NEED_F16 && !f->has_f16_arith) return false;
    if (is_untried(v, f)) return false;
    return is_of(f, v->liked_by);
}

bool ar__variant_suits(const ar__variant *v, const ar_device_facts *f, const ar_plan *plan) {
    uint64_t left_out = ar__variants_left_out();
    return likes(f, v, plan) && !ar__variant_lack(v, f, left_out >> (v - ar__variants) & 1);
}

/* ---- wishes ---- */

static bool is_name(const char *name, const char *text, size_t bytes) {
    return strlen(name) == bytes && strncmp(name, text, bytes) == 0;
}

static ar_status unknown_family(const char *text, size_t bytes) {
    char known[256] = "";
    for (int32_t i = 0; i < AR_F_COUNT + AR_W_COUNT; i++) {
        size_t used = strlen(known);
        const char *name = i < AR_F_COUNT ? families[i] : ways[i - AR_F_COUNT].name;
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", name);
    }
    return ar__fail(AR_ERR_USAGE, "variant: found kernel '%.*s', expected one of %s (as gemm=gemm)",
                    (int)bytes, text, known);
}

static ar_status unknown_variant(int32_t family, const char *text, size_t bytes) {
    char known[256] = "";
    for (int32_t i = 0; i < VARIANT_COUNT; i++) {
        size_t used = strlen(known);
        if ((int32_t)ar__variants[i].family == family)
            snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", name_of(&ar__variants[i]));
    }
    return ar__fail(AR_ERR_USAGE, "variant %s: found '%.*s', expected one of %s", families[family],
                    (int)bytes, text, known);
}

typedef enum leave { NO_LEAVE, F16_IF_USED, F16, BF16 } leave; /* to round */

typedef struct asked {
    int32_t rows[AR_F_COUNT]; /* the index of the row asked for, or -1 */
    uint32_t ways, first;     /* bits: asked for, and as the first */
    leave given;
} asked;

/* "first" or "second" of a way. */
static ar_status parse_way(asked *a, int32_t way, const char *text, size_t bytes) {
    bool is_first = is_name(ways[way].choices[0], text, bytes);
    if (!is_first && !is_name(ways[way].choices[1], text, bytes))
        return ar__fail(AR_ERR_USAGE, "variant %s: found '%.*s', expected %s or %s", ways[way].name,
                        (int)bytes, text, ways[way].choices[0], ways[way].choices[1]);
    a->ways |= 1u << way;
    a->first = is_first ? a->first | 1u << way : a->first & ~(1u << way);
    return AR_OK;
}

/* One "family=kernel" or "way=choice" at text. */
static ar_status parse_wish(asked *a, const char *text, size_t bytes) {
    size_t length = 0;
    while (length < bytes && text[length] != '=') length++;
    int32_t family = 0;
    size_t at = length < bytes ? length + 1 : bytes;
    for (int32_t way = 0; way < AR_W_COUNT; way++)
        if (is_name(ways[way].name, text, length)) return parse_way(a, way, text + at, bytes - at);
    while (family < AR_F_COUNT && !is_name(families[family], text, length)) family++;
    if (family == AR_F_COUNT) return unknown_family(text, length);
    for (int32_t i = 0; i < VARIANT_COUNT; i++)
        if ((int32_t)ar__variants[i].family == family &&
            is_name(name_of(&ar__variants[i]), text + at, bytes - at)) {
            a->rows[family] = i;
            return AR_OK;
        }
    return unknown_variant(family, text + at, bytes - at);
}

static ar_status parse_wishes(asked *a, const char *wishes) {
    *a = (asked){.given = NO_LEAVE};
    for (int32_t i = 0; i < AR_F_COUNT; i++) a->rows[i] = -1;
    for (const char *at = wishes; at;) {
        size_t bytes = strcspn(at, ",");
        if (is_name("f16", at, bytes))
            a->given = F16;
        else if (is_name("bf16", at, bytes))
            a->given = BF16;
        else if (is_name("auto", at, bytes))
            a->given = F16_IF_USED;
        else
            AR_TRY(parse_wish(a, at, bytes));
        at = at[bytes] ? at + bytes + 1 : NULL;
    }
    return AR_OK;
}

ar_status ar_variants_check(const char *wishes) {
    asked a;
    return parse_wishes(&a, wishes);
}

/* ---- the choice ---- */

static bool is_left_out(uint64_t mask, int32_t row) { return mask >> row & 1; }

/* Whether leave to round would give matrix hardware work. */
static bool would_round(const ar_device_facts *f, uint64_t left_out) {
    const ar_plan freed = {.allows_f16 = true};
    for (int32_t i = 0; i < VARIANT_COUNT; i++)
        if (ar__variants[i].needs & AR_NEED_COOPMAT && likes(f, &ar__variants[i], &freed) &&
            !ar__variant_lack(&ar__variants[i], f, is_left_out(left_out, i)))
            return true;
    return false;
}

ar_status ar__variants_choose(ar_plan *plan, const ar_device_facts *f, const char *wishes,
                              uint64_t left_out) {
    asked a;
    AR_TRY(parse_wishes(&a, wishes));
    plan->allows_f16 = a.given == F16 || (a.given == F16_IF_USED && would_round(f, left_out));
    plan->allows_bf16 = a.given == BF16;
    plan->variants_asked = 0;
    plan->ways_asked = a.ways;
    plan->ways = a.first;
    for (int32_t i = 0; i < AR_W_COUNT; i++)
        if (!(a.ways >> i & 1) && likes_way(f, ways[i].liked_by, plan)) plan->ways |= 1u << i;
    for (int32_t i = VARIANT_COUNT - 1; i >= 0; i--) { /* backwards: the first that will do stays */
        const ar__variant *v = &ar__variants[i];
        const char *lack = ar__variant_lack(v, f, is_left_out(left_out, i));
        if (a.rows[v->family] == i && lack)
            return ar__fail(AR_ERR_USAGE, "variant %s=%s: %s:%d (%s) lacks what it needs, %s",
                            families[v->family], name_of(v), f->api, (int)f->index, f->name, lack);
        bool is_asked = a.rows[v->family] == i, is_free = a.rows[v->family] < 0;
        if (!is_asked && !(is_free && !lack && likes(f, v, plan))) continue;
        plan->variants[v->family] = v->kernel;
        if (is_asked) plan->variants_asked |= 1u << v->family;
    }
    return AR_OK;
}

/* ---- telling ---- */

static const char *const liked_by_text[] = {
    "all", "CPUs", "GPUs", "desktop GPUs", "CPUs through OpenCL", "llvmpipe before Mesa 23"}; /* ar__liking */

/* Why the rows before the one taken were not. */
static void say_passed(char *why, size_t bytes, int32_t family, const ar_plan *plan,
                       const ar_device_facts *f) {
    uint64_t left_out = ar__variants_left_out();
    for (int32_t i = 0; i < VARIANT_COUNT; i++) {
        const ar__variant *v = &ar__variants[i];
        if ((int32_t)v->family != family) continue;
        if ((uint32_t)v->kernel == plan->variants[family]) return;
        const char *lack = ar__variant_lack(v, f, is_left_out(left_out, i));
        size_t used = strlen(why);
        const char *comma = used ? "; " : "", *kind = liked_by_text[v->liked_by];
        if (lack)
            snprintf(why + used, bytes - used, "%s%s needs %s", comma, name_of(v), lack);
        else if (v->needs & AR_NEED_COOPMAT && !f->has_coopmat)
            snprintf(why + used, bytes - used, "%s%s is for matrix units", comma, name_of(v));
        else if (v->needs & AR_NEED_F16 && !f->has_f16_arith)
            snprintf(why + used, bytes - used, "%s%s is for fp16 arithmetic", comma, name_of(v));
        else if (!has_leave(v, plan))
            snprintf(why + used, bytes - used, "%s%s needs leave to round to %s", comma, name_of(v),
                     v->needs & AR_ROUNDS_TO_BF16 ? "bf16" : "fp16");
        else if (is_untried(v, f))
            snprintf(why + used, bytes - used, "%s%s is untried with subgroups of several sizes", comma,
                     name_of(v));
        else if (!likes(f, v, plan))
            snprintf(why + used, bytes - used, "%s%s is for %s", comma, name_of(v), kind);
        else
            snprintf(why + used, bytes - used, "%s%s is off by a quirk", comma, name_of(v));
    }
}

int32_t ar_device_lacks(ar_variant_choice *out, int32_t capacity, const ar_device *device) {
    uint64_t left_out = ar__variants_left_out();
    int32_t count = 0;
    for (int32_t i = 0; i < VARIANT_COUNT; i++) {
        const ar__variant *v = &ar__variants[i];
        const char *lack = ar__variant_lack(v, &device->facts, is_left_out(left_out, i));
        if (!lack) continue;
        if (count < capacity) {
            out[count] = (ar_variant_choice){.family = families[v->family], .variant = name_of(v)};
            snprintf(out[count].why, sizeof out[count].why, "needs %s", lack);
        }
        count++;
    }
    return count;
}

int32_t ar_plan_variants(ar_variant_choice *out, int32_t capacity, const ar_plan *plan,
                         const ar_device_facts *facts) {
    for (int32_t i = 0; i < AR_F_COUNT && i < capacity; i++) {
        ar_variant_choice *c = &out[i];
        *c = (ar_variant_choice){.family = families[i], .variant = ar__kernels[plan->variants[i]].name};
        if (plan->variants_asked >> i & 1)
            snprintf(c->why, sizeof c->why, "asked for");
        else
            say_passed(c->why, sizeof c->why, i, plan, facts);
        for (int32_t k = 0; k < VARIANT_COUNT && !c->why[0]; k++)
            if ((uint32_t)ar__variants[k].kernel == plan->variants[i])
                snprintf(c->why, sizeof c->why, "%s", ar__variants[k].why);
    }
    for (int32_t i = 0; i < AR_W_COUNT && AR_F_COUNT + i < capacity; i++) {
        bool is_second = !(plan->ways >> i & 1), is_asked = plan->ways_asked >> i & 1;
        ar_variant_choice *c = &out[AR_F_COUNT + i];
        *c = (ar_variant_choice){.family = ways[i].name, .variant = ways[i].choices[is_second]};
        snprintf(c->why, sizeof c->why, "%s", is_asked ? "asked for" : ways[i].why[is_second]);
    }
    return AR_F_COUNT + AR_W_COUNT;
}

void ar_plan_show_variants(char *text, size_t bytes, const ar_plan *plan) {
    size_t used = (size_t)snprintf(text, bytes, "%s",
                                   plan->allows_f16    ? "f16,"
                                   : plan->allows_bf16 ? "bf16,"
                                                       : "");
    for (int32_t i = 0; i < AR_F_COUNT && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", i ? "," : "",
                                 ar__kernels[plan->variants[i]].name);
    for (int32_t i = 0; i < AR_W_COUNT && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, ",%s", ways[i].choices[!(plan->ways >> i & 1)]);
}
