/* backend/core/plan.c: policy from facts, for devices nobody has here. The rows hold what vulkaninfo and
 * clinfo report for such devices (rounded), memory types as their drivers are known to order them; the
 * expectations are the rules of the plan, not measurements. Includes the backend's own headers for what a
 * graph recorded.
 */
#include "known_devices.h"
#include "variant.h"

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
    {arc_cl, 4, 8, 1, 32, -1, -1, false, 4 * GIB - 128, true, 100},
    {max_cl, 4, 8, 1, 32, -1, -1, false, 4 * GIB - 128, true, 100},
    {adreno8_cl, 4, 4, 1, 32, -1, -1, true, 4 * GIB - 128, true, 40},
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
        assert_int_equal(p.direct_conv, f.kind == AR_DEVICE_CPU);
        assert_int_equal(p.resident_columns, r->facts == lavapipe ? 32 : 8);
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

/* ---- variants ---- */

static const char *choice_of(const char *family, const ar_plan *p, const ar_device_facts *f) {
    static ar_variant_choice choices[AR_MAX_FAMILIES];
    int32_t count = ar_plan_variants(choices, AR_MAX_FAMILIES, p, f);
    assert_int_equal(count, AR_F_COUNT + AR_W_COUNT);
    for (int32_t i = 0; i < count; i++)
        if (strcmp(choices[i].family, family) == 0) {
            static char text[320];
            snprintf(text, sizeof text, "%s: %s", choices[i].variant, choices[i].why);
            return text;
        }
    return "";
}

static void every_family_ends_with_a_kernel_that_runs_everywhere(void **state) {
    (void)state;
    for (int32_t i = 0; i < ar__variant_count; i++) {
        const ar__variant *v = &ar__variants[i];
        bool is_last = i + 1 == ar__variant_count || ar__variants[i + 1].family != v->family;
        assert_true(i == 0 || v->family >= ar__variants[i - 1].family);
        assert_true(v->why[0] != '\0');
        if (!is_last) continue;
        assert_int_equal(v->needs, AR_NEED_NOTHING);
        assert_true(v->subgroup_most == 0 && v->shared_bytes == 0 && v->liked_by == AR_LIKED_BY_ALL);
    }
}

static void every_known_device_gets_its_variants(void **state) {
    (void)state;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        ar_device_facts f = rows[i].facts();
        bool lanes = rows[i].facts == lavapipe, is_cpu = f.kind == AR_DEVICE_CPU;
        ar_plan p;
        assert_int_equal(ar_plan_make(&p, &f), AR_OK);
        bool is_card = f.kind >= AR_DEVICE_INTEGRATED && !strstr(f.name, "Adreno") &&
                       !strstr(f.name, "Mali") && rows[i].facts != v3d;
        assert_int_equal(p.variants[AR_F_gemm], lanes     ? AR_K_gemm_lanes
                                                : is_card ? AR_K_gemm_tiles
                                                          : AR_K_gemm);
        assert_int_equal(p.gemm_side, is_card ? 128 : 0);
        assert_int_equal(p.resident_fused, is_card);
        assert_int_equal(p.variants[AR_F_gemv], lanes ? AR_K_gemv_lanes : AR_K_gemv);
        bool across = is_cpu && strcmp(f.api, "cl") == 0;
        assert_int_equal(p.variants[AR_F_attention], lanes    ? AR_K_attention_lanes
                                                     : across ? AR_K_attention_across
                                                              : AR_K_attention);
        assert_int_equal(p.variants[AR_F_fq_grad], across ? AR_K_fq_grad_across : AR_K_fq_grad);
        assert_int_equal(p.variants[AR_F_attention_cached],
                         is_cpu ? AR_K_attention_cached : AR_K_attention_one);
        assert_int_equal(p.ways >> AR_W_gemm_depth & 1, is_card);
        assert_int_equal(p.ways >> AR_W_weight_step & 1, is_card);
        assert_int_equal(p.variants_asked | p.ways_asked, 0);
        assert_int_equal(p.resident_lanes, lanes ? 8 : 0);
    }
    ar_device_facts wide = lavapipe(); /* AVX-512: gemv's loads are of eight */
    wide.subgroup_min = wide.subgroup_max = 16;
    ar_plan p;
    assert_int_equal(ar_plan_make(&p, &wide), AR_OK);
    assert_int_equal(p.gemm_lanes, 16);
    assert_int_equal(p.variants[AR_F_gemv], AR_K_gemv);
    assert_int_equal(p.resident_lanes, 0);
    ar_device_facts narrow = ada(); /* at Vulkan's minimum of items in a group */
    narrow.max_group_items = narrow.max_group_size[0] = 128;
    assert_int_equal(ar_plan_make(&p, &narrow), AR_OK);
    assert_int_equal(p.gemm_side, 64);
}

static void a_variant_may_be_asked_for(void **state) {
    (void)state;
    const ar_device_facts f = lavapipe(), arm = lavapipe_arm64(), cl = pocl_avx512();
    ar_plan p, other;
    assert_int_equal(ar_plan_make_with(&p, &f, "gemm=gemm,attention_cached=attention_one"), AR_OK);
    assert_int_equal(p.variants[AR_F_gemm], AR_K_gemm);
    assert_int_equal(p.variants[AR_F_gemv], AR_K_gemv_lanes);
    assert_int_equal(p.variants[AR_F_attention_cached], AR_K_attention_one);
    assert_string_equal(choice_of("gemm", &p, &f), "gemm: asked for");
    assert_int_equal(ar_plan_make(&other, &arm), AR_OK); /* the shape is that of devices without shuffles */
    assert_true(p.gemm_lanes == 0 && p.gemm_tm == other.gemm_tm && p.gemm_wgy == other.gemm_wgy);
    const char *of_arm = choice_of("gemm", &other, &arm);
    assert_non_null(strstr(of_arm, "gemm: gemm_lanes needs subgroup shuffles; gemm_coop_bf16 needs "));
    assert_non_null(strstr(of_arm, "; gemm_tiles is for desktop GPUs"));
    assert_int_equal(ar_plan_make_with(&p, &arm, "gemm=gemm_lanes"), AR_ERR_USAGE);
    assert_non_null(strstr(ar_error(), "lacks what it needs, subgroup shuffles"));
    assert_int_equal(ar_plan_make_with(&p, &cl, "gemv=gemv_lanes"), AR_ERR_USAGE);
    assert_non_null(strstr(ar_error(), "lacks what it needs, subgroup shuffles"));
    assert_int_equal(ar_plan_make_with(&p, &f, "gemm=gemv"), AR_ERR_USAGE);
    assert_non_null(
        strstr(ar_error(), "of gemm_lanes, gemm_coop_bf16, gemm_coop, gemm_half, gemm_tiles, gemm"));
    assert_int_equal(ar_plan_make_with(&p, &f, "gemm=gemm,"), AR_ERR_USAGE);
    assert_int_equal(ar_variants_check("rope=rope"), AR_ERR_USAGE);
    assert_non_null(strstr(ar_error(), "expected one of gemm, gemv, gemv_bytes, attention, "));
    assert_int_equal(ar_variants_check(NULL), AR_OK);
}

static void a_way_may_be_asked_for(void **state) {
    (void)state;
    const ar_device_facts f = lavapipe(), card = ada();
    ar_plan p;
    char text[256];
    assert_int_equal(ar_plan_make_with(&p, &f, "gemm_depth=parts,gemm=gemm"), AR_OK);
    assert_true(p.ways & 1u << AR_W_gemm_depth && p.ways_asked & 1u << AR_W_gemm_depth);
    assert_string_equal(choice_of("gemm_depth", &p, &f), "parts: asked for");
    ar_plan_show_variants(text, sizeof text, &p);
    assert_non_null(strstr(text, ",parts"));
    assert_int_equal(ar_plan_make_with(&p, &card, "gemm_depth=parts,gemm_depth=whole"), AR_OK);
    assert_false(p.ways & 1u << AR_W_gemm_depth);
    assert_int_equal(ar_plan_make(&p, &card), AR_OK);
    assert_non_null(strstr(choice_of("gemm_depth", &p, &card), "parts: the depth of products of few tiles"));
    assert_int_equal(ar_plan_make_with(&p, &card, "gemm_depth=gemm"), AR_ERR_USAGE);
    assert_string_equal(ar_error(), "variant gemm_depth: found 'gemm', expected parts or whole");
    assert_int_equal(ar_variants_check("rope=rope"), AR_ERR_USAGE);
    assert_non_null(strstr(ar_error(), ", gemm_depth, weight_step, saved, append, loads (as gemm=gemm)"));
}

/* Rounding to fp16 takes leave: matrix hardware stands idle without. */
static void matrix_hardware_is_used_where_fp16_is_allowed(void **state) {
    (void)state;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        ar_device_facts f = rows[i].facts();
        ar_plan p;
        assert_int_equal(ar__plan_make(&p, &f, "f16", 0), AR_OK);
        bool is_card = f.kind >= AR_DEVICE_INTEGRATED && f.has_coopmat;
        assert_true(p.allows_f16);
        assert_int_equal(p.variants[AR_F_gemm] == AR_K_gemm_coop, is_card);
        assert_int_equal(p.variants[AR_F_attention] == AR_K_attention_coop, is_card);
        assert_int_equal(p.variants[AR_F_attention_dq] == AR_K_attention_dq_coop, is_card);
        assert_int_equal(p.variants[AR_F_attention_dkv] == AR_K_attention_dkv_coop, is_card);
        if (!is_card) continue;
        assert_true(p.ways >> AR_W_saved & 1);
        assert_int_equal(p.attn_subgroups, 8);
        assert_int_equal(p.coop_fragment[0], f.coop_m);
        assert_int_equal(p.resident_fused, false);
        assert_int_equal(p.coop_subgroup, f.subgroup_min);
        assert_int_equal(p.gemm_side, f.coop_m == 8 ? 64 : 128);
        f.shared_bytes = 16 * KIB; /* as little as Vulkan promises */
        assert_int_equal(ar__plan_make(&p, &f, "f16", 0), AR_OK);
        assert_int_equal(p.gemm_side, 64);
        assert_int_equal(p.attn_subgroups, f.coop_m == 8 ? 8 : 4);
        assert_int_equal(ar__plan_make(&p, &f, NULL, 0), AR_OK);
        assert_int_equal(p.variants[AR_F_attention], AR_K_attention);
        assert_int_equal(p.variants[AR_F_attention_dkv], AR_K_attention_dkv);
        assert_int_equal(p.variants[AR_F_gemm], AR_K_gemm_tiles);
        assert_non_null(strstr(choice_of("gemm", &p, &f), "; gemm_coop needs "));
    }
    const ar_device_facts none = rdna2(), cl = pocl_avx512();
    ar_plan p;
    assert_int_equal(ar__plan_make(&p, &cl, "f16", 0),
                     AR_OK); /* plain tiles are no hardware: only if asked */
    assert_int_equal(p.variants[AR_F_gemm], AR_K_gemm);
    assert_non_null(strstr(choice_of("gemm", &p, &cl), "; gemm_coop is for matrix units; "));
    assert_int_equal(ar__plan_make(&p, &cl, "gemm=gemm_coop", 0), AR_OK);
    assert_true(p.variants[AR_F_gemm] == AR_K_gemm_coop && p.coop_subgroup == 1 && p.gemm_side == 64);
    assert_int_equal(ar__plan_make(&p, &cl, "attention=attention_coop", 0), AR_OK);
    assert_true(p.variants[AR_F_attention] == AR_K_attention_coop && p.coop_subgroup == 1);
    assert_true(p.attn_subgroups == 8 && p.coop_fragment[0] == 4);
    assert_int_equal(ar__plan_make(&p, &none, "f16,gemm=gemm", 0), AR_OK);
    assert_true(p.allows_f16 && p.variants[AR_F_gemm] == AR_K_gemm);
    ar_device_facts halves = none; /* fp16 without matrices: tiles of it, if allowed, and not by "auto" */
    for (int32_t has = 0; has < 2; has++) {
        halves.has_f16_arith = has != 0;
        assert_int_equal(ar__plan_make(&p, &halves, "f16", 0), AR_OK);
        assert_int_equal(p.variants[AR_F_gemm], has ? AR_K_gemm_half : AR_K_gemm_tiles);
        assert_true(p.gemm_side == 128 && p.resident_fused == !has);
        assert_int_equal(p.variants[AR_F_attention], AR_K_attention);
        assert_int_equal(ar__plan_make(&p, &halves, "auto", 0), AR_OK);
        assert_int_equal(p.variants[AR_F_gemm], AR_K_gemm_tiles);
    }
    assert_int_equal(ar__plan_make(&p, &none, "gemm=gemm_coop", 0), AR_ERR_USAGE);
    assert_non_null(strstr(ar_error(), "lacks what it needs, matrix hardware"));
}

/* bf16 is for every device: panels are rounded, whatever multiplies them. Of the variants that round to fp16
 * products alone may be taken, which lose nothing by it. */
static void bf16_is_for_every_device(void **state) {
    (void)state;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        ar_device_facts f = rows[i].facts();
        ar_plan p, plain;
        char text[160];
        assert_int_equal(ar__plan_make(&p, &f, "bf16", 0), AR_OK);
        assert_int_equal(ar__plan_make(&plain, &f, NULL, 0), AR_OK);
        assert_true(p.allows_bf16 && !p.allows_f16 && !p.resident_fused && !p.direct_conv);
        assert_false(plain.allows_bf16);
        bool is_card = plain.variants[AR_F_gemm] == AR_K_gemm_tiles;
        ar__kernel_id half = f.has_f16_arith ? AR_K_gemm_half : AR_K_gemm_tiles, card = half;
        if (f.has_coopmat) card = AR_K_gemm_coop;
        if (f.coop_bf16[0]) card = AR_K_gemm_coop_bf16;
        assert_int_equal(p.variants[AR_F_gemm], is_card ? card : plain.variants[AR_F_gemm]);
        assert_int_equal(p.variants[AR_F_attention], plain.variants[AR_F_attention]);
        assert_int_equal(p.variants[AR_F_attention_dkv], plain.variants[AR_F_attention_dkv]);
        ar_plan_show_variants(text, sizeof text, &p);
        assert_ptr_equal(strstr(text, "bf16,"), text);
    }
    assert_int_equal(ar_variants_check("gemm=gemm,bf16"), AR_OK);
}

/* "auto" gives leave where it is of use: not to a processor, whose "matrix hardware" is slower than none. */
static void automatic_precision_is_f16_on_matrix_hardware(void **state) {
    (void)state;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        ar_device_facts f = rows[i].facts();
        ar_plan p;
        assert_int_equal(ar__plan_make(&p, &f, "auto", 0), AR_OK);
        assert_int_equal(p.allows_f16, f.kind != AR_DEVICE_CPU && f.has_coopmat);
        assert_int_equal(p.ways >> AR_W_saved & 1, p.allows_f16);
        assert_int_equal(p.variants[AR_F_gemm] == AR_K_gemm_coop, p.allows_f16);
        assert_int_equal(ar__plan_make(&p, &f, "auto", UINT64_MAX), AR_OK); /* glslang left it out */
        assert_false(p.allows_f16 && strcmp(f.api, "vk") == 0);
    }
    ar_device_facts f = lavapipe();
    ar_plan p;
    set_coop(&f, 8, 8, 8, 8, 8);
    assert_int_equal(ar__plan_make(&p, &f, "auto", 0), AR_OK);
    assert_false(p.allows_f16);
    assert_int_equal(ar__plan_make(&p, &f, "gemm=gemm_coop", 0), AR_OK);
    assert_int_equal(ar_variants_check("auto,gemm=gemm"), AR_OK);
}

/* GPUs that multiply bytes by an instruction take it, in either language; off where it is asked to be. */
static void bytes_are_multiplied_by_what_the_device_has(void **state) {
    (void)state;
    ar_plan p;
    for (size_t i = 0; i < ROW_COUNT; i++)
        for (int32_t has = 0; has < 2; has++) {
            ar_device_facts f = rows[i].facts();
            f.has_int_dot = has != 0;
            bool is_taken = has && f.kind != AR_DEVICE_CPU;
            assert_int_equal(ar__plan_make(&p, &f, NULL, 0), AR_OK);
            assert_int_equal(p.variants[AR_F_gemv_bytes], is_taken ? AR_K_gemv_bytes_dot : AR_K_gemv_bytes);
            assert_int_equal(ar__plan_make(&p, &f, "gemv_bytes=gemv_bytes", 0), AR_OK);
            assert_int_equal(p.variants[AR_F_gemv_bytes], AR_K_gemv_bytes);
            ar_status asked = ar__plan_make(&p, &f, "gemv_bytes=gemv_bytes_dot", 0);
            assert_int_equal(asked, has ? AR_OK : AR_ERR_USAGE);
            if (!has) assert_non_null(strstr(ar_error(), "lacks what it needs, integer dot products"));
        }
}

/* A build whose glslang compiled none of the texts that others stand in for. */
static void what_the_build_left_out_is_not_taken(void **state) {
    (void)state;
    const ar_device_facts f = lavapipe(), cl = adreno_cl();
    uint64_t left_out = 0;
    ar_plan p;
    for (int32_t i = 0; i < ar__variant_count; i++)
        if (i + 1 < ar__variant_count && ar__variants[i + 1].family == ar__variants[i].family)
            left_out |= UINT64_C(1) << i;
    assert_int_equal(ar__plan_make(&p, &f, NULL, left_out), AR_OK);
    assert_int_equal(p.variants[AR_F_gemm], AR_K_gemm);
    assert_int_equal(p.variants[AR_F_gemv], AR_K_gemv);
    assert_int_equal(p.gemm_lanes + p.resident_lanes, 0);
    assert_int_equal(ar__plan_make(&p, &f, "gemm=gemm_lanes", left_out), AR_ERR_USAGE);
    assert_non_null(strstr(ar_error(), "a build whose glslang compiles it"));
    assert_int_equal(ar__plan_make(&p, &cl, NULL, left_out), AR_OK); /* OpenCL's text is always there */
    assert_int_equal(p.variants[AR_F_attention_cached], AR_K_attention_one);
}

/* ---- limits ---- */

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_known_device_gets_its_plan),
        cmocka_unit_test(every_family_ends_with_a_kernel_that_runs_everywhere),
        cmocka_unit_test(every_known_device_gets_its_variants),
        cmocka_unit_test(a_variant_may_be_asked_for),
        cmocka_unit_test(a_way_may_be_asked_for),
        cmocka_unit_test(matrix_hardware_is_used_where_fp16_is_allowed),
        cmocka_unit_test(bf16_is_for_every_device),
        cmocka_unit_test(automatic_precision_is_f16_on_matrix_hardware),
        cmocka_unit_test(bytes_are_multiplied_by_what_the_device_has),
        cmocka_unit_test(what_the_build_left_out_is_not_taken),
        cmocka_unit_test(every_plan_stays_within_the_facts),
        cmocka_unit_test(a_plan_depends_on_the_facts_alone),
        cmocka_unit_test(below_the_floor_is_unsupported_and_named),
        cmocka_unit_test(no_kernel_binds_more_buffers_than_the_floor),
        cmocka_unit_test(memory_without_a_usable_type_is_unsupported),
        cmocka_unit_test(a_small_window_never_holds_weights),
        cmocka_unit_test(unified_is_what_the_host_reaches_in_the_largest_local_heap),
        cmocka_unit_test(special_memory_is_never_chosen),
        cmocka_unit_test(a_memory_type_is_chosen_among_those_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
