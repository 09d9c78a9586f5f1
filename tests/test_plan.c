/* backend/plan.c: policy from facts, for devices nobody has here. The rows hold what vulkaninfo and clinfo
 * report for such devices (rounded), memory types as their drivers are known to order them; the expectations
 * are the rules of the plan, not measurements. Includes the backend's own headers for what a graph recorded.
 */
#include "graph.h"
#include "packed.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

/* ---- the devices ---- */

/* A Vulkan device at the specification's minimums, but for the buffers a kernel binds (4 there); rows improve
 * on it. */
static ar_device_facts vk_minimum(const char *name, const char *driver, ar_device_kind kind,
                                  uint32_t vendor_id) {
    ar_device_facts f = {.api = "vk",
                         .vendor_id = vendor_id,
                         .kind = kind,
                         .max_group_items = 128,
                         .max_group_size = {128, 128, 64},
                         .max_group_count = {65535, 65535, 65535},
                         .shared_bytes = 16 * KIB,
                         .max_binding_bytes = 128 * MIB,
                         .max_buffer_bytes = GIB,
                         .memory_bytes = 4 * GIB,
                         .binding_offset_align = 256,
                         .max_param_bytes = 128,
                         .max_bindings = 8,
                         .vector_width = 4};
    snprintf(f.name, sizeof f.name, "%s", name);
    snprintf(f.driver, sizeof f.driver, "%s", driver);
    snprintf(f.version, sizeof f.version, "1.0");
    return f;
}

/* flags: local, visible, coherent, cached on the host, special (lazily allocated, protected, device-coherent)
 */
static void add_type(ar_device_facts *f, uint64_t heap, const char *flags) {
    f->memory_types[f->memory_type_count++] = (ar_memory_type){.heap_bytes = heap,
                                                               .device_local = strchr(flags, 'l') != NULL,
                                                               .host_visible = strchr(flags, 'v') != NULL,
                                                               .host_coherent = strchr(flags, 'c') != NULL,
                                                               .host_cached = strchr(flags, 'h') != NULL,
                                                               .special = strchr(flags, 's') != NULL};
}

/* Several types, "l vc lvc", of which those with w lie in a window of that size into the device's memory. */
static void set_types(ar_device_facts *f, const char *types, uint64_t window) {
    char text[128];
    snprintf(text, sizeof text, "%s", types);
    f->memory_type_count = 0;
    for (char *t = strtok(text, " "); t; t = strtok(NULL, " "))
        add_type(f, strchr(t, 'w') ? window : strchr(t, 'l') ? f->memory_bytes : 16 * GIB, t);
    f->unified_memory = ar__memory_is_unified(f);
}

/* A desktop card: own memory, a host heap, and a host-visible window into its memory, or all of it (resizable
 * BAR). RADV repeats its types as device-coherent ones; NVIDIA begins with one that has no flag. */
static ar_device_facts card(const char *name, const char *driver, uint32_t vendor_id, uint64_t memory,
                            uint64_t window) {
    ar_device_facts f = vk_minimum(name, driver, AR_DEVICE_DISCRETE, vendor_id);
    f.max_group_items = f.max_group_size[0] = 1024;
    f.shared_bytes = 32 * KIB;
    f.max_binding_bytes = 4 * GIB - 1;
    f.max_buffer_bytes = 4 * GIB - 1;
    f.memory_bytes = memory;
    f.binding_offset_align = 16;
    f.max_param_bytes = 256;
    f.max_bindings = 1u << 20;
    f.has_timestamps = f.has_f16_arith = f.has_f16_storage = true;
    f.timestamp_ns = 10;
    const char *amd = "l vc lvcw vch ls vcs lvcws vchs", *nvidia = "- l vc vch lvcw", *intel = "l vch lvcw";
    set_types(&f, vendor_id == 0x1002 ? amd : vendor_id == 0x10de ? nvidia : intel, window);
    return f;
}

/* One heap shared with the processor. */
static ar_device_facts shared_gpu(const char *name, const char *driver, uint32_t vendor_id, uint64_t memory,
                                  const char *types) {
    ar_device_facts f = vk_minimum(name, driver, AR_DEVICE_INTEGRATED, vendor_id);
    f.max_group_items = f.max_group_size[0] = 1024;
    f.shared_bytes = 32 * KIB;
    f.memory_bytes = memory;
    f.binding_offset_align = 64;
    f.max_bindings = 24;
    f.has_timestamps = true;
    f.timestamp_ns = 52.08;
    set_types(&f, types, 0);
    return f;
}

static ar_device_facts rdna2(void) {
    return card("AMD Radeon RX 6800 XT (RADV NAVI21)", "radv", 0x1002, 16 * GIB, 256 * MIB);
}
static ar_device_facts rdna3(void) {
    return card("AMD Radeon RX 7900 XTX (RADV NAVI31)", "radv", 0x1002, 24 * GIB, 24 * GIB);
}
static ar_device_facts rdna4(void) {
    ar_device_facts f = card("AMD Radeon RX 9070 XT (RADV GFX1201)", "radv", 0x1002, 16 * GIB, 16 * GIB);
    f.has_coopmat = f.has_int_dot = true;
    return f;
}
static ar_device_facts arc(void) {
    return card("Intel(R) Arc(tm) A770 Graphics (DG2)", "Intel open-source Mesa driver", 0x8086, 16 * GIB,
                16 * GIB);
}
static ar_device_facts turing(void) {
    ar_device_facts f = card("NVIDIA GeForce RTX 2060", "NVIDIA", 0x10de, 6 * GIB, 246 * MIB);
    f.has_coopmat = true;
    return f;
}
static ar_device_facts ada(void) {
    return card("NVIDIA GeForce RTX 4090", "NVIDIA", 0x10de, 24 * GIB, 24 * GIB);
}
static ar_device_facts xe_igpu(void) {
    ar_device_facts f = shared_gpu("Intel(R) Iris(R) Xe Graphics (TGL GT2)", "Intel open-source Mesa driver",
                                   0x8086, 12 * GIB, "lvc lvch ls");
    f.max_binding_bytes = 2 * GIB;
    return f;
}
/* Vulkan on a card in another machine or below a virtual one: what lies behind a visible type is not told. */
static ar_device_facts virtual_gpu(void) {
    ar_device_facts f = shared_gpu("Virtio-GPU Venus (NVIDIA)", "venus", 0x10de, 8 * GIB, "- l vc vch lvc");
    f.kind = AR_DEVICE_OTHER;
    f.unified_memory = ar__memory_is_unified(&f);
    return f;
}
/* An AMD processor: RADV calls two thirds of the memory the GPU's. */
static ar_device_facts rdna_apu(void) {
    return shared_gpu("AMD Radeon 780M (RADV PHOENIX)", "radv", 0x1002, 10 * GIB,
                      "l vc lvc vch ls vcs lvcs vchs");
}
static ar_device_facts adreno6(void) {
    return shared_gpu("Adreno (TM) 640", "Qualcomm Technologies Inc. Adreno Vulkan Driver", 0x5143, 6 * GIB,
                      "l lvc lvh ls"); /* cached, but not coherent */
}
static ar_device_facts adreno7(void) {
    return shared_gpu("Adreno (TM) 740", "Qualcomm Technologies Inc. Adreno Vulkan Driver", 0x5143, 12 * GIB,
                      "l lvc lvh lvch ls ls");
}
static ar_device_facts mali_g76(void) {
    ar_device_facts f = shared_gpu("Mali-G76", "ARM proprietary", 0x13b5, 4 * GIB, "lvc lvh ls");
    f.max_group_items = f.max_group_size[0] = 384;
    f.has_timestamps = false;
    return f;
}
static ar_device_facts mali_g710(void) {
    return shared_gpu("Mali-G710", "ARM proprietary", 0x13b5, 8 * GIB, "lvc lvch ls ls");
}
static ar_device_facts lavapipe(void) {
    ar_device_facts f = shared_gpu("llvmpipe (LLVM 15.0.6, 256 bits)", "llvmpipe", 0x10005, 2 * GIB, "lvch");
    f.kind = AR_DEVICE_CPU;
    f.max_binding_bytes = 128 * MIB;
    f.max_buffer_bytes = 2 * GIB;
    f.binding_offset_align = 16;
    f.subgroup_min = f.subgroup_max = 8;
    f.has_subgroup_shuffle = true;
    return f;
}
static ar_device_facts lavapipe_arm64(void) {
    ar_device_facts f = lavapipe();
    snprintf(f.name, sizeof f.name, "llvmpipe (LLVM 15.0.6, 128 bits)");
    f.has_subgroup_shuffle = false;
    return f;
}
static ar_device_facts v3d(void) {
    ar_device_facts f = shared_gpu("V3D 7.1.7", "V3DV Mesa", 0x14e4, 4 * GIB, "lvc");
    f.max_group_items = f.max_group_size[0] = 256;
    f.shared_bytes = 16 * KIB;
    f.max_bindings = 8;
    f.max_binding_bytes = GIB;
    f.has_timestamps = false;
    return f;
}
static ar_device_facts moltenvk(void) {
    ar_device_facts f = shared_gpu("Apple M2", "MoltenVK", 0x106b, 16 * GIB, "l lvch lvh ls");
    f.max_binding_bytes = 4 * GIB - 1;
    return f;
}

static ar_device_facts cl_device(const char *name, const char *vendor, const char *driver,
                                 ar_device_kind kind, uint32_t width) {
    ar_device_facts f = vk_minimum(name, driver, kind, 0);
    snprintf(f.api, sizeof f.api, "cl");
    snprintf(f.vendor, sizeof f.vendor, "%s", vendor);
    f.max_group_items = f.max_group_size[0] = 4096;
    f.max_group_count[0] = f.max_group_count[1] = 1u << 20;
    f.shared_bytes = 512 * KIB;
    f.max_binding_bytes = f.max_buffer_bytes = 4 * GIB;
    f.binding_offset_align = 128;
    f.vector_width = width;
    f.max_bindings = UINT32_MAX;
    f.has_timestamps = f.unified_memory = true;
    f.timestamp_ns = 1;
    return f;
}
static ar_device_facts pocl_avx512(void) {
    return cl_device("pthread-skylake-avx512", "GenuineIntel", "Portable Computing Language", AR_DEVICE_CPU,
                     16);
}
static ar_device_facts pocl_avx2(void) {
    return cl_device("pthread-haswell", "GenuineIntel", "Portable Computing Language", AR_DEVICE_CPU, 8);
}
static ar_device_facts pocl_neon(void) {
    return cl_device("pthread-cortex-a76", "ARM", "Portable Computing Language", AR_DEVICE_CPU, 4);
}
static ar_device_facts adreno_cl(void) {
    return cl_device("QUALCOMM Adreno(TM)", "QUALCOMM", "QUALCOMM Snapdragon(TM)", AR_DEVICE_INTEGRATED, 1);
}
static ar_device_facts rusticl(void) {
    return cl_device("llvmpipe (LLVM 19.1.7, 256 bits)", "Mesa", "rusticl", AR_DEVICE_CPU, 8);
}
static ar_device_facts oclgrind(void) {
    return cl_device("Oclgrind Simulator", "University of Bristol", "Oclgrind 21.10", AR_DEVICE_CPU, 4);
}

/* ---- expectations ---- */

typedef struct row {
    ar_device_facts (*facts)(void);
    uint32_t vw, tm, tn, wgx;
    int32_t device_type, staging_type; /* -1 = none */
    bool unified;
    uint64_t piece;
    bool timestamps;
    double submit_at_most;
} row;

static const row rows[] = {
    {rdna2, 4, 8, 1, 32, 0, 3, false, 4 * GIB - 16, true, 100},
    {rdna3, 4, 8, 1, 32, 0, 3, false, 4 * GIB - 16, true, 100},
    {rdna4, 4, 8, 1, 32, 0, 3, false, 4 * GIB - 16, true, 100},
    {arc, 4, 8, 1, 32, 0, 1, false, 4 * GIB - 16, true, 100},
    {turing, 4, 8, 2, 32, 1, 3, false, 4 * GIB - 16, true, 100},
    {ada, 4, 8, 2, 32, 1, 3, false, 4 * GIB - 16, true, 100},
    {xe_igpu, 4, 8, 1, 16, 1, -1, true, GIB, true, 100},
    {virtual_gpu, 4, 4, 1, 32, 1, 3, false, 128 * MIB, true, 40},
    {rdna_apu, 4, 8, 1, 32, 2, -1, true, 128 * MIB, true, 100},
    {adreno6, 4, 4, 1, 32, 1, -1, true, 128 * MIB, true, 40},
    {adreno7, 4, 4, 1, 32, 3, -1, true, 128 * MIB, true, 40},
    {mali_g76, 4, 4, 1, 32, 0, -1, true, 128 * MIB, false, 40},
    {mali_g710, 4, 4, 1, 32, 1, -1, true, 128 * MIB, true, 40},
    {lavapipe, 4, 4, 8, 1, 0, -1, true, 128 * MIB, true, 250},
    {lavapipe_arm64, 4, 8, 4, 1, 0, -1, true, 128 * MIB, true, 250},
    {v3d, 4, 4, 1, 32, 0, -1, true, GIB, false, 40},
    {moltenvk, 4, 8, 1, 32, 1, -1, true, GIB, false, 100},
    {pocl_avx512, 16, 12, 2, 1, -1, -1, true, 4 * GIB - 128, true, 250},
    {pocl_avx2, 8, 4, 2, 1, -1, -1, true, 4 * GIB - 128, true, 250},
    {pocl_neon, 4, 8, 2, 1, -1, -1, true, 4 * GIB - 128, true, 250},
    {adreno_cl, 4, 4, 1, 32, -1, -1, true, 4 * GIB - 128, true, 40},
    {rusticl, 8, 4, 1, 8, -1, -1, true, 4 * GIB - 128, true, 250},
    {oclgrind, 4, 8, 2, 1, -1, -1, true, 4 * GIB - 128, true, 250},
};
#define ROW_COUNT (sizeof rows / sizeof rows[0])

static void every_known_device_gets_its_plan(void **state) {
    (void)state;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const row *r = &rows[i];
        ar_device_facts f = r->facts();
        ar_plan p;
        print_message("%s %s\n", f.api, f.name);
        assert_int_equal(ar_plan_make(&p, &f), AR_OK);
        assert_int_equal(p.vw, r->vw);
        assert_int_equal(p.gemm_tm, r->tm);
        assert_int_equal(p.gemm_tn, r->tn);
        assert_int_equal(p.gemm_wgx, r->wgx);
        assert_int_equal(p.gemm_lanes, r->facts == lavapipe ? 8 : 0);
        assert_int_equal(p.packed_columns, r->facts == lavapipe ? UINT32_MAX : 8);
        assert_int_equal(f.unified_memory, r->unified);
        assert_int_equal(p.device_memory_type, r->device_type);
        assert_int_equal(p.staging_memory_type, r->staging_type);
        assert_int_equal(p.staged, r->staging_type >= 0);
        assert_true(p.piece_bytes == r->piece);
        assert_int_equal(p.timestamps, r->timestamps);
        assert_int_equal(p.clear_padding, r->facts == oclgrind);
        assert_true(p.submit_ms > 0 && p.submit_ms <= r->submit_at_most && p.submit_ms < 500);
    }
}

/* What every plan must respect, whatever the device. */
static void assert_within(const ar_plan *p, const ar_device_facts *f) {
    assert_true(p->vw == 4 || p->vw == 8 || p->vw == 16);
    assert_true(p->wg >= 1 && p->wg <= f->max_group_items && p->wg <= f->max_group_size[0]);
    assert_true(p->gemm_wgx >= 1 && p->gemm_wgy >= 1 && p->gemm_wgx * p->gemm_wgy <= f->max_group_items);
    assert_true(p->attn_wg >= 1 && p->attn_wg <= f->max_group_items);
    assert_true(p->gemm_tm >= 1 && p->gemm_tn >= 1);
    assert_true(p->offset_align >= f->binding_offset_align && p->offset_align % (4 * p->vw) == 0);
    assert_int_equal(p->offset_align & (p->offset_align - 1), 0);
    assert_true(p->piece_bytes > 0 && p->piece_bytes % p->offset_align == 0);
    assert_true(p->piece_bytes <= f->max_binding_bytes && p->piece_bytes <= f->max_buffer_bytes);
    assert_true(p->rate_flops > 0 && p->rate_bytes > 0);
    assert_true(memchr(p->reasons, 0, sizeof p->reasons) != NULL);
    if (f->memory_type_count == 0) return;
    const ar_memory_type *t = &f->memory_types[p->device_memory_type];
    assert_true(t->heap_bytes >= f->memory_bytes / 2);
    if (p->staged)
        assert_true(f->memory_types[p->staging_memory_type].host_visible);
    else
        assert_true(t->host_visible && t->host_coherent);
}

static void every_plan_stays_within_the_facts(void **state) {
    (void)state;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        ar_device_facts f = rows[i].facts();
        ar_plan p;
        assert_int_equal(ar_plan_make(&p, &f), AR_OK);
        assert_within(&p, &f);
        f.max_group_items = f.max_group_size[0] = 128; /* the same device at the floor */
        f.shared_bytes = 16 * KIB;
        f.max_param_bytes = 128;
        f.max_bindings = 8;
        assert_int_equal(ar_plan_make(&p, &f), AR_OK);
        assert_within(&p, &f);
    }
}

static void a_plan_depends_on_the_facts_alone(void **state) {
    (void)state;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        ar_device_facts f = rows[i].facts();
        ar_plan a, b;
        memset(&a, 0x11, sizeof a);
        memset(&b, 0xee, sizeof b);
        assert_int_equal(ar_plan_make(&a, &f), AR_OK);
        assert_int_equal(ar_plan_make(&b, &f), AR_OK);
        assert_string_equal(a.reasons, b.reasons);
        assert_true(a.piece_bytes == b.piece_bytes && a.gemm_tm == b.gemm_tm && a.submit_ms == b.submit_ms);
    }
}

static void below_the_floor_is_unsupported_and_named(void **state) {
    (void)state;
    ar_device_facts base = vk_minimum("floor", "any", AR_DEVICE_INTEGRATED, 0);
    set_types(&base, "lvc", 0);
    ar_plan p;
    assert_int_equal(ar_plan_make(&p, &base), AR_OK);
    for (int i = 0; i < 7; i++) {
        static const char *const names[] = {"max_group_items", "max_group_size",    "shared_bytes",
                                            "max_param_bytes", "max_binding_bytes", "max_group_count",
                                            "max_bindings"};
        ar_device_facts f = base;
        if (i == 0) f.max_group_items = 127;
        if (i == 1) f.max_group_size[0] = 127;
        if (i == 2) f.shared_bytes = 16 * KIB - 1;
        if (i == 3) f.max_param_bytes = 124;
        if (i == 4) f.max_binding_bytes = 4096;
        if (i == 5) f.max_group_count[1] = 65534;
        if (i == 6) f.max_bindings = 7;
        assert_int_equal(ar_plan_make(&p, &f), AR_ERR_UNSUPPORTED);
        assert_non_null(strstr(ar_error(), names[i]));
    }
}

/* Raspberry Pi's V3D binds 8 buffers to a kernel. */
static void no_kernel_binds_more_buffers_than_the_floor(void **state) {
    (void)state;
    const ar_device_facts f = v3d();
    for (int i = 0; i < AR_K_COUNT; i++) {
        if ((uint32_t)ar__kernels[i].binding_count > f.max_bindings)
            fail_msg("%s binds %d buffers", ar__kernels[i].name, (int)ar__kernels[i].binding_count);
        assert_true(ar__kernels[i].binding_count > 0);
    }
}

static void memory_without_a_usable_type_is_unsupported(void **state) {
    (void)state;
    ar_plan p;
    ar_device_facts f = vk_minimum("odd", "any", AR_DEVICE_DISCRETE, 0);
    add_type(&f, GIB, "l");
    assert_int_equal(ar_plan_make(&p, &f), AR_ERR_UNSUPPORTED); /* nothing to stage through */
    add_type(&f, GIB, "v");
    assert_int_equal(ar_plan_make(&p, &f), AR_ERR_UNSUPPORTED); /* visible but not coherent */
    add_type(&f, GIB, "vc");
    assert_int_equal(ar_plan_make(&p, &f), AR_OK);
    assert_int_equal(p.staging_memory_type, 2);
}

static void a_small_window_never_holds_weights(void **state) {
    (void)state;
    ar_plan p;
    ar_device_facts f = card("any", "any", 0x1002, 8 * GIB, 256 * MIB);
    f.memory_types[0] = f.memory_types[2]; /* the window comes first, the card's memory last */
    f.memory_types[2] = (ar_memory_type){.heap_bytes = 8 * GIB, .device_local = true};
    assert_int_equal(ar_plan_make(&p, &f), AR_OK);
    assert_int_equal(p.device_memory_type, 2);
}

static void unified_is_what_the_host_reaches_in_the_largest_local_heap(void **state) {
    (void)state;
    static const struct {
        const char *types;
        ar_device_kind kind;
        bool unified;
    } cases[] = {
        {"lvc", AR_DEVICE_INTEGRATED, true},        {"lvc", AR_DEVICE_CPU, true},
        {"lvc", AR_DEVICE_DISCRETE, false},         {"lvc", AR_DEVICE_OTHER, false},
        {"l lvc", AR_DEVICE_INTEGRATED, true},      {"lvc ls", AR_DEVICE_INTEGRATED, true},
        {"l vc", AR_DEVICE_INTEGRATED, false},      /* a carve-out that the host does not see */
        {"l lvcw vc", AR_DEVICE_INTEGRATED, false}, /* or only a part of it */
        {"lvh vc", AR_DEVICE_INTEGRATED, false},    /* not coherent */
        {"l lvcs vc", AR_DEVICE_INTEGRATED, false}, /* of no use */
        {"vc", AR_DEVICE_INTEGRATED, false},        /* nothing is the device's own */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ar_device_facts f = vk_minimum(cases[i].types, "any", cases[i].kind, 0);
        ar_plan p;
        set_types(&f, cases[i].types, 256 * MIB);
        print_message("%s\n", f.name);
        assert_int_equal(f.unified_memory, cases[i].unified);
        assert_int_equal(ar_plan_make(&p, &f), AR_OK);
        assert_int_equal(p.staged, !cases[i].unified);
    }
}

static void special_memory_is_never_chosen(void **state) {
    (void)state;
    ar_plan p;
    ar_device_facts f = vk_minimum("special first", "any", AR_DEVICE_DISCRETE, 0);
    set_types(&f, "ls vchs l vch", 0);
    f.memory_types[0].heap_bytes = 64 * GIB;
    assert_int_equal(ar_plan_make(&p, &f), AR_OK);
    assert_int_equal(p.device_memory_type, 2);
    assert_int_equal(p.staging_memory_type, 3);
    set_types(&f, "ls vchs", 0);
    assert_int_equal(ar_plan_make(&p, &f), AR_ERR_UNSUPPORTED);
}

/* A buffer may not lie in every type: the driver then asks again, with those it may. */
static void a_memory_type_is_chosen_among_those_allowed(void **state) {
    (void)state;
    const ar_device_facts card = rdna2(), phone = mali_g710();
    assert_int_equal(ar__memory_type(&card, UINT32_MAX, false), 0);
    assert_int_equal(ar__memory_type(&card, ~1u, false),
                     2); /* a part of the card's memory before the host's */
    assert_int_equal(ar__memory_type(&card, ~5u, false), 1);
    assert_int_equal(ar__memory_type(&card, 0xf0u, false), -1);
    assert_int_equal(ar__memory_type(&card, UINT32_MAX, true), 3);
    assert_int_equal(ar__memory_type(&card, ~8u, true), 1);
    assert_int_equal(ar__memory_type(&card, 0xf1u, true), -1);
    assert_int_equal(ar__memory_type(&phone, UINT32_MAX, false), 1);
    assert_int_equal(ar__memory_type(&phone, ~2u, false), 0);
    assert_int_equal(ar__memory_type(&phone, 0xcu, false), -1);
}

/* ---- no launch is longer than a submission may be ---- */

#define CHECK_OK(call)                                                                                       \
    do {                                                                                                     \
        ar_status check_status_ = (call);                                                                    \
        if (check_status_ != AR_OK) fail_msg("%s: %s", #call, ar_error());                                   \
    } while (0)

/* Graph tensors only: nothing is built, so nothing takes memory. */
static ar_tensor *temp(ar_graph *g, int64_t N, int64_t I) {
    ar_tensor *t = NULL;
    CHECK_OK(ar_graph_temp(g, &t, AR_F32, 2, (int64_t[]){N, I}));
    return t;
}

static ar_tensor *typed(ar_graph *g, ar_dtype dtype, int32_t dim_count, int64_t a, int64_t b, int64_t c,
                        int64_t d) {
    ar_tensor *t = NULL;
    CHECK_OK(ar_graph_temp(g, &t, dtype, dim_count, (int64_t[]){a, b, c, d}));
    return t;
}

static ar_tensor *wanted(ar_tensor *t) {
    t->needs_grad = true;
    return t;
}

static void backward_of_mean(ar_graph *g, ar_tensor *y) {
    ar_tensor *loss = NULL;
    CHECK_OK(ar_op_mean(g, &loss, y));
    CHECK_OK(ar_graph_backward(g, loss));
}

static void products(ar_graph *g) { /* NT, its gradients NN and TN, a bias */
    ar_tensor *y = NULL, *logits = NULL;
    CHECK_OK(ar_op_linear(g, &y, wanted(temp(g, 4096, 4096)), wanted(temp(g, 4096, 4096)),
                          wanted(typed(g, AR_F32, 1, 4096, 0, 0, 0))));
    CHECK_OK(ar_op_linear(g, &logits, y, wanted(temp(g, 128256, 4096)), NULL));
    backward_of_mean(g, logits);
}

static void attention(ar_graph *g) { /* T 2048 with eight queries' heads to a key's, and T 8000 */
    ar_tensor *y = NULL, *z = NULL;
    CHECK_OK(ar_op_attention(g, &y, wanted(temp(g, 16384, 4096)), wanted(temp(g, 16384, 512)),
                             wanted(temp(g, 16384, 512)), 2048, 128, 0));
    backward_of_mean(g, y);
    CHECK_OK(ar_op_attention(g, &z, wanted(temp(g, 8000, 4096)), wanted(temp(g, 8000, 512)),
                             wanted(temp(g, 8000, 512)), 8000, 128, 4000));
    backward_of_mean(g, z);
}

static void generation(ar_graph *g) { /* 32768 positions */
    ar_tensor *k = typed(g, AR_F16, 4, 1, 8, 32768, 128), *v = typed(g, AR_F16, 4, 1, 8, 32768, 128);
    ar_tensor *pos = typed(g, AR_I32, 1, 1, 0, 0, 0), *y = NULL;
    for (int64_t T = 1; T <= 512; T *= 8) {
        ar_tensor *q = temp(g, T, 4096), *kv = temp(g, T, 1024);
        CHECK_OK(ar_op_cache_append(g, &y, &(ar_columns){q, 0, 4096}, &(ar_columns){kv, 0, 1024},
                                    &(ar_columns){kv, 0, 1024}, k, v, NULL, pos));
        CHECK_OK(ar_op_attention_cached(g, &y, q, k, v, pos, 0, 0));
    }
}

static void head_and_losses(ar_graph *g) {
    ar_tensor *logits = wanted(temp(g, 2048, 128256)), *nll = NULL, *top = NULL, *kl = NULL, *y = NULL;
    CHECK_OK(ar_op_nll(g, &nll, &top, logits, typed(g, AR_I32, 1, 2048, 0, 0, 0)));
    CHECK_OK(ar_op_kl(g, &kl, logits, temp(g, 2048, 128256)));
    backward_of_mean(g, nll);
    CHECK_OK(ar_op_embed(g, &y, temp(g, 128256, 8192), typed(g, AR_I32, 1, 16384, 0, 0, 0)));
    CHECK_OK(ar_op_square_sums(g, typed(g, AR_F32, 1, 14336, 0, 0, 0), temp(g, 16384, 14336)));
    CHECK_OK(ar_op_gather(g, &y, typed(g, AR_F32, 3, 128, 2048, 4096, 0), typed(g, AR_I32, 2, 200, 8, 0, 0),
                          typed(g, AR_I32, 1, 1, 0, 0, 0), 8));
}

static void rows_and_elements(ar_graph *g) {
    ar_tensor *x = wanted(temp(g, 16384, 14336)), *y = NULL, *z = NULL, *loss = NULL;
    CHECK_OK(ar_op_rms_norm(g, &y, x, wanted(typed(g, AR_F32, 1, 14336, 0, 0, 0)), 1e-5f));
    CHECK_OK(ar_op_layer_norm(g, &z, y, wanted(typed(g, AR_F32, 1, 14336, 0, 0, 0)),
                              wanted(typed(g, AR_F32, 1, 14336, 0, 0, 0)), 1e-5f));
    CHECK_OK(ar_op_act(g, &y, z, AR_ACT_GELU));
    CHECK_OK(ar_op_silu_mul(g, &z, y, x));
    CHECK_OK(ar_op_add(g, &y, z, x));
    CHECK_OK(ar_op_slice(g, &z, y, 64, 14272));
    CHECK_OK(ar_op_mse(g, &loss, z, temp(g, 16384, 14272), NULL));
    CHECK_OK(ar_graph_backward(g, loss));
    CHECK_OK(ar_op_copy(g, temp(g, 16384, 14336), x));
    CHECK_OK(ar_op_fill(g, temp(g, 16384, 14336), 0));
    CHECK_OK(ar_op_copy_if(g, temp(g, 16384, 14336), x, typed(g, AR_I32, 1, 1, 0, 0, 0)));
}

static void fake_quantization(ar_graph *g) {
    const ar_scheme schemes[] = {{4, 32, AR_ZERO_INT, 0, AR_SUPER_NONE},
                                 ar_scheme_super(AR_SUPER_Q4_K),
                                 ar_scheme_super(AR_SUPER_Q6_K)};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        const int64_t O = 16384, I = 4096, groups = I / schemes[i].group;
        ar_tensor *W = temp(g, O, I), *range = typed(g, AR_F32, 3, O, groups, i ? 4 : 2, 0), *Wq = NULL,
                  *sz = NULL, *dv = NULL, *dmm = NULL;
        ar_fq_state st = {typed(g, AR_I16, 2, O, I, 0, 0), typed(g, AR_I16, 3, O, groups, 2, 0)};
        ar_fq_desc desc = {schemes[i], 200, 200};
        CHECK_OK(ar_op_group_range(g, range, W, &schemes[i]));
        CHECK_OK(ar_op_fake_quant(g, &Wq, &sz, W, range, &st, &desc));
        CHECK_OK(ar_op_fq_grad(g, &dv, &dmm, temp(g, O, I), W, range, sz, &st, &desc));
        CHECK_OK(ar_op_sign_step(g, st.v, dv, typed(g, AR_I32, 1, 1, 0, 0, 0), 200, -100, 100));
        CHECK_OK(ar_op_fq_codes(g, &Wq, &sz, W, range, &st, &desc));
    }
}

static void packed_products(ar_graph *g) {
    ar_device *device = ar__graph_device(g);
    static const ar_qtype types[] = {AR_QT_F32, AR_QT_F16, AR_QT_Q4_0};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        ar_packed w = {.device = device,
                       .type = types[i],
                       .O = 128256,
                       .I = 4096,
                       .lp = device->plan.packed_lp,
                       .vw = device->plan.vw};
        ar_packed_desc part = {.type = types[i], .O = w.O, .I = w.I};
        CHECK_OK(ar__packed_layout(&w, &part));
        w.panels = (w.O + w.lp * w.vw - 1) / (w.lp * w.vw);
        w.words = temp(g, w.panels, (int64_t)w.pw * w.lp * w.vw);
        for (int64_t N = 1; N <= 4096; N *= 8) {
            ar_tensor *y = NULL;
            CHECK_OK(ar_op_linear_packed(g, &y, temp(g, N, w.I), &w,
                                         &(ar_packed_fuse){.residual = temp(g, N, w.O)}));
        }
    }
}

/* Records on the null driver as if it were the device. */
static int32_t record(const ar_device_facts *facts, double submit_ms, void (*ops)(ar_graph *g)) {
    ar_device *device = NULL;
    ar_graph *g = NULL;
    ar_plan plan;
    CHECK_OK(ar_plan_make(&plan, facts));
    if (submit_ms > 0) plan.submit_ms = submit_ms;
    CHECK_OK(ar_device_open(&device, &(ar_device_desc){.select = "null", .plan = &plan}));
    device->facts = *facts;
    CHECK_OK(ar_graph_create(&g, device));
    ops(g);
    for (int32_t i = 0; i < g->dispatch_count; i++) {
        const ar__dispatch *d = &g->dispatches[i];
        double ms = ar__estimate_ms(&plan, d->flops, d->bytes);
        if (!(ms > 0)) fail_msg("%s: %s has no estimate", facts->name, ar__kernels[d->kernel].name);
        if (ms > plan.submit_ms * 1.000001)
            fail_msg("%s: launch %d, %s, is estimated at %g ms, a submission takes %g", facts->name, i,
                     ar__kernels[d->kernel].name, ms, plan.submit_ms);
    }
    int32_t count = g->dispatch_count;
    ar_graph_destroy(g);
    ar_device_close(device);
    return count;
}

static void no_launch_is_longer_than_a_submission(void **state) {
    (void)state;
    void (*const ops[])(ar_graph *) = {products,          attention,         generation,     head_and_losses,
                                       rows_and_elements, fake_quantization, packed_products};
    for (size_t i = 0; i < ROW_COUNT; i++)
        for (size_t j = 0; j < sizeof ops / sizeof ops[0]; j++) {
            ar_device_facts f = rows[i].facts();
            record(&f, 0, ops[j]);
            record(&f, 20, ops[j]); /* as a user may ask for */
        }
}

/* 17 GFLOP: too long for one launch on llvmpipe, not for so many that none fills the processor. */
static void one_product(ar_graph *g) {
    ar_tensor *y = NULL;
    CHECK_OK(ar_op_linear(g, &y, temp(g, 512, 4096), temp(g, 4096, 4096), NULL));
}

static void a_product_is_cut_no_finer_than_needed(void **state) {
    (void)state;
    const ar_device_facts vk = lavapipe(), cl = pocl_avx512(), card = rdna3();
    assert_int_equal(record(&vk, 0, one_product), 2 + 4);
    assert_int_equal(record(&cl, 0, one_product), 2 + 1);
    assert_int_equal(record(&card, 0, one_product), 2 + 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_known_device_gets_its_plan),
        cmocka_unit_test(every_plan_stays_within_the_facts),
        cmocka_unit_test(a_plan_depends_on_the_facts_alone),
        cmocka_unit_test(below_the_floor_is_unsupported_and_named),
        cmocka_unit_test(no_kernel_binds_more_buffers_than_the_floor),
        cmocka_unit_test(memory_without_a_usable_type_is_unsupported),
        cmocka_unit_test(a_small_window_never_holds_weights),
        cmocka_unit_test(unified_is_what_the_host_reaches_in_the_largest_local_heap),
        cmocka_unit_test(special_memory_is_never_chosen),
        cmocka_unit_test(a_memory_type_is_chosen_among_those_allowed),
        cmocka_unit_test(no_launch_is_longer_than_a_submission),
        cmocka_unit_test(a_product_is_cut_no_finer_than_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
