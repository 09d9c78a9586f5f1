/* C = A B through packed panels (shaders/gemm.comp, gemm_pack.c). Here: cutting M, N and K so that every
 * binding fits, and the launches: each of as many panels as the plan allows to be in flight, so that cuts by
 * time leave packs and sums alone. */
#include "gemm_pack.h"
#include "gemm_parts.h"
#include "gemm_step.h"
#include "op.h"
#include "resident_weight.h"
#include "tiles.h"
#include <string.h>

/* Packs larger than this are cut: two of them live at once beside what they were made from. */
#define PACK_BYTES (UINT64_C(64) << 20)
/* The same for decoded weights, which are made anew in every run. */
#define UNPACKED_BYTES (UINT64_C(16) << 20)

typedef struct tiles {
    uint32_t tm, tnv, wgx, wgy; /* item tile rows, columns; items per group along N, M */
    ar__kernel_id kernel;
    uint32_t lanes;            /* items along M that share loads of B; 0 = none do */
    uint32_t gx, gy;           /* gemm_tiles: the items of a group, which makes one tile; else 0 */
    int64_t m, n, k;           /* largest chunk of each axis */
    bool scaled;               /* panels, before they are rounded */
    ar__parts parts;           /* of the depth */
    bool brain;                /* operands are rounded to bf16 as they are packed */
    const ar__gemm_step *step; /* what becomes of a tile; NULL = it is written */
    bool a_half, b_half;       /* gemm_coop: panels of f16, gemm_coop_bf16: of bf16; else f32 */
} tiles;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static bool is_coop(ar__kernel_id kernel) {
    return kernel == AR_K_gemm_coop || kernel == AR_K_gemm_coop_bf16;
}

/* What a product may do to its operands. */
typedef enum rounding { KEPT, ROUNDED, ROUNDED_SCALED } rounding;

typedef struct gemm_part {
    int64_t m0, m, n0, n, k;
    bool accumulate;
} gemm_part;

static double part_flops(const gemm_part *p) { return 2.0 * (double)p->m * (double)p->n * (double)p->k; }
static double part_bytes(const gemm_part *p) {
    return 4.0 * ((double)p->m * (double)p->k + (double)p->n * (double)p->k + (double)p->m * (double)p->n);
}

static bool is_long(const ar_plan *plan, const gemm_part *p) {
    return plan->submit_ms > 0 && ar__estimate_ms(plan, part_flops(p), part_bytes(p)) > plan->submit_ms;
}

/* How many subgroups share a tile: two rows of two or, to spread the sums of small fragments, of four. */
static uint32_t coop_subgroups(const uint32_t of[3], uint32_t columns) {
    bool is_spread = columns >= 128 || of[0] * of[1] < 256;
    return is_spread && columns / 4 >= of[1] ? 8 : 4;
}

/* Tiles of groups: the largest of which there are enough to keep the device busy, whose rows one binding
 * holds and whose work one submission. False: none. */
static bool share_tiles(tiles *t, const ar_plan *plan, const gemm_part *p, rounding how) {
    int64_t piece = ((int64_t)plan->piece_bytes - 2 * (int64_t)plan->offset_align) / 4, most = piece / p->k;
    int64_t tall = least(most, piece / p->n); /* of C, too */
    gemm_part one = {.m = plan->gemm_side, .n = plan->gemm_side, .k = p->k};
    int64_t parts = t->parts.count;
    for (;;) {
        bool is_few = (p->m + one.m - 1) / one.m * ((p->n + one.n - 1) / one.n) * parts < plan->gemm_groups;
        bool is_hard = is_long(plan, &one);
        if (one.m > 32 && (one.m > tall || ((is_few || is_hard) && one.m >= one.n)))
            one.m /= 2;
        else if (one.n > 32 && (one.n > most || is_hard || (is_few && one.n > 64)))
            one.n /= 2;
        else
            break;
    }
    if (one.m > tall || one.n > most) return false;
    uint32_t tm = (uint32_t)one.m, tc = (uint32_t)one.n, columns = tc / plan->vw;
    t->tm = tm, t->tnv = tc, t->wgx = t->wgy = 1;
    t->kernel = AR_K_gemm_tiles, t->gy = tm / 8;
    t->gx = columns < 16 ? columns : 16;
    if (plan->variants[AR_F_gemm] == AR_K_gemm_tiles || how == KEPT) return true;
    t->kernel = (ar__kernel_id)plan->variants[AR_F_gemm];
    bool is_f16 = t->kernel != AR_K_gemm_coop_bf16;
    t->scaled = is_f16 && (how == ROUNDED_SCALED || plan->allows_bf16); /* fp16 holds them then */
    if (!is_coop(t->kernel)) return true;
    t->gx = plan->coop_subgroup * coop_subgroups(is_f16 ? plan->coop_fragment : plan->coop_bf16, tc);
    t->gy = 1;
    return true;
}

/* Panels of f16, unless B is decoded, not packed, or numbers are bf16's; or of those. */
static void choose_halves(tiles *t, const ar_plan *plan, int64_t M, int64_t N, int64_t K, bool is_decoded) {
    if (t->kernel == AR_K_gemm_coop_bf16) t->a_half = true, t->b_half = !is_decoded;
    if (t->kernel != AR_K_gemm_coop || t->brain) return;
    t->a_half = ar__pack_can_halve(plan, M, K);
    t->b_half = !is_decoded && ar__pack_can_halve(plan, N, K);
}

/* The largest chunks that panels and C of one binding allow. False: none. */
static bool bound_chunks(tiles *t, const ar_plan *plan, int64_t M, int64_t N, int64_t K) {
    int64_t piece = (int64_t)plan->piece_bytes - 2 * (int64_t)plan->offset_align;
    int64_t cap = least(piece, (int64_t)PACK_BYTES), groups = 65535;
    int64_t row = t->tm * (t->a_half ? 2 : 4), column = t->tnv * (t->b_half ? 2 : 4); /* bytes, of a depth */
    t->k = least(K, cap / (row > column ? row : column));
    t->m = least(cap / (t->k * row), groups * t->wgy);
    t->m = least(least(t->m, piece / 4 / N / t->tm) * t->tm, M);
    t->n = least(least(cap / (t->k * column), groups * t->wgx) * t->tnv, N);
    return t->m > 0 && t->n > 0;
}

static ar_status choose_tiles(const ar_graph *g, tiles *t, int64_t M, int64_t N, int64_t K, rounding how,
                              bool is_decoded) {
    ar_plan at;
    const ar_plan *plan = ar__plan_at(&at, &g->device->plan, AR_F_gemm, M);
    /* GLSL loads rows of A by fours (AL of the dialect) */
    uint32_t tm = strcmp(g->device->facts.api, "cl") == 0 ? plan->gemm_tm : (plan->gemm_tm + 3) / 4 * 4;
    *t = (tiles){.tm = tm, .tnv = plan->gemm_tn * plan->vw, .wgx = plan->gemm_wgx, .wgy = plan->gemm_wgy};
    t->kernel = (ar__kernel_id)plan->variants[AR_F_gemm];
    ar__parts_choose(&t->parts, plan, M, N, K);
    if (t->kernel == AR_K_gemm_tiles || t->kernel == AR_K_gemm_half || is_coop(t->kernel)) {
        if (!share_tiles(t, plan, &(gemm_part){.m = M, .n = N, .k = K}, how)) t->kernel = AR_K_gemm;
    } else if (t->kernel == AR_K_gemm_lanes && t->tnv % (4 * plan->gemm_lanes) == 0) {
        t->lanes = t->wgy = plan->gemm_lanes;
        t->wgx = 1;
    } else if (t->kernel == AR_K_gemm_lanes) {
        t->kernel = AR_K_gemm;
    }
    t->brain = (plan->allows_bf16 || t->kernel == AR_K_gemm_coop_bf16) && how != KEPT;
    choose_halves(t, plan, M, N, K, is_decoded);
    if (!bound_chunks(t, plan, M, N, K))
        return ar__fail(AR_ERR_UNSUPPORTED,
                        "gemm: %lld x %lld x %lld has rows above the %llu bytes this device binds",
                        (long long)M, (long long)N, (long long)K, (unsigned long long)plan->piece_bytes);
    if (t->k < K) t->parts = (ar__parts){1, t->k, 0}; /* what a binding holds cuts it already */
    return AR_OK;
}

/* C's elements of p, in all parts. */
static ar__operand bind_result(const ar_graph *g, const ar_tensor *C, const tiles *t, const gemm_part *p,
                               int64_t ldc, uint32_t *shift) {
    int64_t from = p->m0 * ldc + p->n0, end = (p->m0 + p->m - 1) * ldc + p->n0 + p->n;
    return ar__bind_elements(g, C, from, end + (t->parts.count - 1) * t->parts.pitch, shift);
}

/* The same of a product whose tiles become steps. */
static ar_status emit_step(ar_graph *g, const ar__pack *A, const ar__pack *B, const tiles *t,
                           const gemm_part *p, const gemm_part *whole) {
    ar__step_params v = t->step->params;
    v.M = (uint32_t)p->m, v.N = (uint32_t)p->n, v.K = (uint32_t)p->k;
    v.r0 = (uint32_t)p->m0, v.c0 = (uint32_t)p->n0;
    ar__emit_desc d = {
        .kernel = AR_K_gemm_step,
        .specs = {t->gx, t->gy, t->tm, t->tnv, t->step->hw, t->step->v_kind, t->step->m_kind},
        .params = &v,
        .operands = {ar__bind_panels(A->packed, p->m0 - whole->m0, p->m, whole->m, t->tm),
                     ar__bind_panels(B->packed, p->n0 - whole->n0, p->n, whole->n, t->tnv)},
        .groups = {(uint32_t)((p->n + t->tnv - 1) / t->tnv), (uint32_t)((p->m + t->tm - 1) / t->tm), 1},
        .flops = part_flops(p),
        .bytes = part_bytes(p) + 12.0 * (double)(p->m * p->n)};
    for (int i = 0; i < AR__STEP_OPERANDS; i++) d.operands[2 + i] = t->step->operands[i];
    return ar__emit(g, &d);
}

/* gemm_lanes: no item's tile passes C's edges, and vectors of four may store it. */
static bool is_whole(const tiles *t, const gemm_part *p, int64_t ldc) {
    return p->m % (t->tm * t->lanes) == 0 && p->n % t->tnv == 0 && ldc % 4 == 0 && p->n0 % 4 == 0;
}

/* One launch over rows [m0, m0 + m) and columns [n0, n0 + n) of p's. */
static ar_status emit_launch(ar_graph *g, ar_tensor *C, const ar__pack *A, const ar__pack *B, int64_t ldc,
                             const tiles *t, const gemm_part *p, const gemm_part *whole) {
    int64_t down = p->m0 - whole->m0, across = p->n0 - whole->n0, slices = t->scaled ? ar__pack_slices(A) : 0;
    struct {
        uint32_t M, N, K, ldc, c0, acc, kp, cp;
        uint32_t slices, ta0, tb0; /* gemm_half and gemm_coop */
        uint32_t a[4], b[4];       /* gemm_coop alone */
    } v = {.M = (uint32_t)p->m,
           .N = (uint32_t)p->n,
           .K = (uint32_t)p->k,
           .ldc = (uint32_t)ldc,
           .acc = p->accumulate,
           .kp = (uint32_t)(t->parts.count > 1 ? t->parts.depth : p->k),
           .cp = (uint32_t)t->parts.pitch,
           .slices = (uint32_t)slices,
           .ta0 = (uint32_t)(down / t->tm * slices),
           .tb0 = (uint32_t)(across / t->tnv * slices)};
    /* The longer side of the group along x; where items are groups, M: the panel of B, the wider one, then
     * stays in a cache while those of A pass. A kernel of one tile a group takes N. */
    bool turned = t->lanes > 0 || (t->gx == 0 && t->wgy >= t->wgx);
    ar__emit_desc d = {.kernel = t->kernel,
                       .specs = {turned ? t->wgy : t->wgx, turned ? t->wgx : t->wgy, t->tm},
                       .params = &v};
    const ar_plan *plan = &g->device->plan;
    const uint32_t *fragment = t->kernel == AR_K_gemm_coop ? plan->coop_fragment : plan->coop_bf16;
    if (t->gx) d.specs[0] = t->gx, d.specs[1] = t->gy;
    d.specs[3] = t->lanes || t->gx ? t->tnv : t->tnv / plan->vw;
    d.specs[4] = is_coop(t->kernel) ? plan->coop_subgroup : t->lanes ? t->lanes : turned;
    for (int i = 0; i < 3; i++) d.specs[5 + i] = fragment[i];
    d.specs[8] = (uint32_t)A->is_half | (uint32_t)B->is_half << 1;
    d.operands[0] = ar__bind_panels(A->packed, down, p->m, whole->m, t->tm);
    d.operands[1] = ar__bind_panels(B->packed, across, p->n, whole->n, t->tnv);
    d.operands[2] = bind_result(g, C, t, p, ldc, &v.c0);
    if (t->kernel == AR_K_gemm_coop || t->kernel == AR_K_gemm_half) { /* bound, too, where nothing is read */
        d.operands[3] = t->scaled ? (ar__operand){A->tops, 0, 0} : (ar__operand){A->packed, 0, 64};
        d.operands[4] = t->scaled ? (ar__operand){B->tops, 0, 0} : (ar__operand){B->packed, 0, 64};
    }
    if (t->kernel == AR_K_gemm_coop) {
        d.operands[5] = ar__pack_source(g, A, down, p->m, v.a);
        d.operands[6] = ar__pack_source(g, B, across, p->n, v.b);
    }
    if (t->lanes) d.specs[5] = is_whole(t, p, ldc);
    int64_t rows = (p->m + t->tm - 1) / t->tm, columns = (p->n + t->tnv - 1) / t->tnv;
    d.groups[turned] = (uint32_t)((columns + t->wgx - 1) / t->wgx);
    d.groups[!turned] = (uint32_t)((rows + t->wgy - 1) / t->wgy);
    d.groups[2] = (uint32_t)t->parts.count;
    d.flops = part_flops(p);
    d.bytes =
        part_bytes(p) - 2.0 * (double)p->k * (double)((A->is_half ? p->m : 0) + (B->is_half ? p->n : 0));
    return ar__emit(g, &d);
}

/* Rows that a launch starts at multiples of: whole panels, on aligned offsets, by whole groups. */
static int64_t panel_step(const ar_plan *plan, int64_t tile, int64_t k, int64_t group, bool is_half) {
    int64_t align = plan->offset_align ? plan->offset_align : 4, step = group;
    while (step * tile * k * (is_half ? 2 : 4) % align) step *= 2; /* align is a power of two */
    return step * tile;
}

static int64_t share_of(int64_t total, int64_t parts, int64_t step) {
    return least(((total + parts - 1) / parts + step - 1) / step * step, total);
}

/* The rows and columns of p that one launch takes: the longer side is cut, which moves the fewest bytes. */
static void choose_launch(gemm_part *one, const ar_plan *plan, const tiles *t, const gemm_part *p) {
    int64_t tall = panel_step(plan, t->tm, p->k, t->wgy, t->a_half),
            wide = panel_step(plan, t->tnv, p->k, t->wgx, t->b_half);
    int64_t down = 1, across = 1; /* parts of the rows, of the columns */
    *one = *p;
    if (is_long(plan, &(gemm_part){.m = tall, .n = wide, .k = p->k})) { /* groups with idle items, then */
        tall = panel_step(plan, t->tm, p->k, 1, t->a_half);
        wide = panel_step(plan, t->tnv, p->k, 1, t->b_half);
    }
    while (is_long(plan, one) && (one->m > tall || one->n > wide)) {
        if (one->n <= wide || (one->m > tall && one->m >= one->n))
            one->m = share_of(p->m, ++down, tall);
        else
            one->n = share_of(p->n, ++across, wide);
    }
}

/* Launches over the rows and columns of *whole; no element's sum changes. */
static ar_status emit_part(ar_graph *g, ar_tensor *C, const ar__pack *A, const ar__pack *B, int64_t ldc,
                           const tiles *t, const gemm_part *whole) {
    gemm_part one;
    choose_launch(&one, &g->device->plan, t, whole);
    for (ar__cut n = ar__cut_into(whole->n, one.n); ar__cut_next(&n);)
        for (ar__cut m = ar__cut_into(whole->m, one.m); ar__cut_next(&m);) {
            gemm_part p = *whole;
            p.m0 += m.first, p.m = m.count;
            p.n0 += n.first, p.n = n.count;
            AR_TRY(t->step ? emit_step(g, A, B, t, &p, whole) : emit_launch(g, C, A, B, ldc, t, &p, whole));
        }
    return AR_OK;
}

/* What a product is made of: A (M, K), transposed or not, and B, which says what to pack: a tensor or
 * resident weights. */
typedef struct factors {
    ar__matrix A;
    const ar__pack *B;
    int64_t M, N, K;
} factors;

static ar_status emit_chunk(ar_graph *g, ar_tensor *C, const factors *f, const tiles *t, const ar__cut *m,
                            const ar__cut *n, const ar__cut *k, bool accumulate) {
    gemm_part part = {m->first, m->count, n->first, n->count, k->count, accumulate || k->first > 0};
    ar__pack b = *f->B, a = {.source = f->A.t,
                             .row0 = m->first,
                             .rows = part.m,
                             .k0 = k->first,
                             .depth = part.k,
                             .ld = f->A.transposed ? f->M : f->K,
                             .tile = t->tm,
                             .along_k = !f->A.transposed,
                             .brain = t->brain,
                             .is_half = t->a_half,
                             .is_scaled = t->scaled};
    b.brain = t->brain;
    b.row0 = n->first, b.rows = part.n, b.k0 = k->first, b.depth = part.k, b.tile = t->tnv;
    b.is_half = t->b_half, b.is_scaled = t->scaled;
    AR_TRY(ar__pack_get(g, &b));
    AR_TRY(ar__pack_get(g, &a));
    return emit_part(g, C, &a, &b, f->N, t, &part);
}

/* C = A B cut into the chunks of t. All packs of the smaller factor are remembered, of the larger one only
 * one at a time. */
static ar_status emit_chunks(ar_graph *g, ar_tensor *C, ar__matrix A, const ar__pack *B, const tiles *t,
                             int64_t M, int64_t N, int64_t K, bool accumulate) {
    const factors f = {A, B, M, N, K};
    bool by_rows = M * (t->a_half ? 1 : 2) > N * (t->b_half ? 1 : 2);
    for (ar__cut k = ar__cut_into(K, t->k); ar__cut_next(&k);)
        for (ar__cut o = ar__cut_into(by_rows ? M : N, by_rows ? t->m : t->n); ar__cut_next(&o);)
            for (ar__cut i = ar__cut_into(by_rows ? N : M, by_rows ? t->n : t->m); ar__cut_next(&i);)
                AR_TRY(emit_chunk(g, C, &f, t, by_rows ? &o : &i, by_rows ? &i : &o, &k, accumulate));
    return AR_OK;
}

static ar_status multiply(ar_graph *g, ar_tensor *C, ar__matrix A, ar__matrix B, int64_t M, int64_t N,
                          int64_t K, const ar_tensor *bias, bool accumulate, rounding how) {
    tiles t = {.parts = {1, 0, 0}};
    ar_tensor *to = C;
    if (M == 0 || N == 0) return AR_OK;
    AR_TRY(ar__variant_settle(g->device, AR_F_gemm));
    if (K > 0) {
        AR_TRY(choose_tiles(g, &t, M, N, K, how, false));
        AR_TRY(ar__parts_begin(g, &to, C, &t.parts));
        ar__pack b = {.source = B.t, .ld = B.transposed ? K : N, .along_k = B.transposed};
        AR_TRY(emit_chunks(g, to, A, &b, &t, M, N, K, accumulate && to == C));
    } else if (!accumulate) {
        AR_TRY(ar__emit_fill(g, C, 0.0f));
    }
    return ar__parts_end(g, C, to, &t.parts, bias, accumulate);
}

ar_status ar__gemm(ar_graph *g, ar_tensor *C, ar__matrix A, ar__matrix B, int64_t M, int64_t N, int64_t K,
                   bool accumulate) {
    return multiply(g, C, A, B, M, N, K, NULL, accumulate, KEPT);
}

ar_status ar__gemm_forward(ar_graph *g, ar_tensor *C, ar__matrix A, ar__matrix B, int64_t M, int64_t N,
                           int64_t K, const ar_tensor *bias) {
    return multiply(g, C, A, B, M, N, K, bias, false, ROUNDED);
}

ar_status ar__gemm_gradient(ar_graph *g, ar_tensor *C, ar__matrix A, ar__matrix B, int64_t M, int64_t N,
                            int64_t K, bool accumulate) {
    return multiply(g, C, A, B, M, N, K, NULL, accumulate, ROUNDED_SCALED);
}

/* ---- tiles that become steps ---- */

/* Tiles of whole groups, in shared memory whatever the plan's products are. False: none. */
static bool step_tiles(tiles *t, const ar_device *device, int64_t M, int64_t N, int64_t K, uint32_t G) {
    ar_plan plan = device->plan;
    uint32_t side = plan.gemm_side == 128 && device->facts.shared_bytes >= 24576 ? 128 : 64;
    plan.gemm_side = side;
    t->parts = (ar__parts){1, K, 0};
    if (!share_tiles(t, &plan, &(gemm_part){.m = M, .n = N, .k = K}, KEPT)) return false;
    return t->tnv % G == 0 && bound_chunks(t, &plan, M, N, K) && t->k == K;
}

ar_status ar__gemm_step_emit(ar_graph *g, bool *taken, const ar__gemm_step *step, const ar_tensor *dy,
                             const ar_tensor *x) {
    int64_t M = dy->dims[1], N = x->dims[1], K = x->dims[0];
    ar__matrix A = {dy, true};
    ar__pack b = {.source = x, .ld = N};
    tiles t = {0}, general;
    AR_TRY(ar__variant_settle(g->device, AR_F_gemm));
    AR_TRY(choose_tiles(g, &general, M, N, K, ROUNDED_SCALED, false));
    bool rounds = ar__kernel_needs(ar__kernels[general.kernel].name) & AR_ROUNDS;
    *taken =
        !rounds && general.parts.count == 1 && general.k == K && step_tiles(&t, g->device, M, N, K, step->G);
    t.step = step, t.brain = general.brain;
    return *taken ? emit_chunks(g, NULL, A, &b, &t, M, N, K, false) : AR_OK;
}

/* ---- weights decoded within tiles ---- */

/* False: a panel passes what one binding holds. */
static bool bits_tiles(tiles *t, const ar_plan *plan, const gemm_part *p) {
    int64_t most = ((int64_t)plan->piece_bytes - 2 * (int64_t)plan->offset_align) / 4;
    int64_t cap = least(most, (int64_t)PACK_BYTES / 4), tm = p->m <= 32 || 64 * p->k > cap ? 32 : 64;
    *t = (tiles){.tm = (uint32_t)tm, .tnv = 64, .wgx = 1, .wgy = 1, .kernel = AR_K_gemm_bits};
    t->gx = t->tnv / plan->vw, t->gy = t->tm / 8;
    t->m = least(least(cap / (p->k * tm), 65535), most / p->n / tm) * tm;
    ar__parts_choose(&t->parts, plan, p->m, p->n, p->k);
    return t->m > 0;
}

static ar_status emit_bits_launch(ar_graph *g, ar_tensor *C, ar_tensor *A, const ar_resident_weight *w,
                                  const tiles *t, const gemm_part *p, const gemm_part *whole) {
    int64_t height = (int64_t)w->lp * w->vw, first = p->n0 / height, end = p->n0 + p->n;
    ar__panels range = ar__resident_bind(w, first, (end + height - 1) / height);
    struct {
        uint32_t M, N, K, ldc, c0, nb, ub, gb, pw, r0, w0, filled, kp, cp;
    } v = {(uint32_t)p->m,
           (uint32_t)p->n,
           (uint32_t)p->k,
           (uint32_t)w->O,
           0,
           w->nb,
           w->ub,
           w->gb,
           w->pw,
           (uint32_t)((p->n0 - first * height) / w->vw),
           range.shift,
           (uint32_t)((p->n + w->vw - 1) / w->vw),
           (uint32_t)t->parts.depth,
           (uint32_t)t->parts.pitch};
    ar__emit_desc d = {.kernel = AR_K_gemm_bits,
                       .specs = {t->gx, t->gy, t->tm, t->tnv, w->code, w->scale, w->lp},
                       .params = &v};
    d.operands[0] = ar__bind_panels(A, p->m0 - whole->m0, p->m, whole->m, t->tm);
    d.operands[1] = range.operand;
    d.operands[2] = bind_result(g, C, t, p, w->O, &v.c0);
    d.groups[0] = (uint32_t)((p->n + t->tnv - 1) / t->tnv);
    d.groups[1] = (uint32_t)((p->m + t->tm - 1) / t->tm);
    d.groups[2] = (uint32_t)t->parts.count;
    d.flops = part_flops(p);
    d.bytes = 4.0 * ((double)p->m * (double)(p->k + p->n) + (double)p->n * (double)w->pw);
    return ar__emit(g, &d);
}

/* Rows [0, O) of w by what one binding holds and one launch takes. */
static ar_status emit_bits(ar_graph *g, ar_tensor *C, ar_tensor *A, const ar_resident_weight *w,
                           const tiles *t, const gemm_part *whole) {
    int64_t height = (int64_t)w->lp * w->vw;
    gemm_part one;
    choose_launch(&one, &g->device->plan, t, whole);
    for (ar__cut n = ar__cut_into(whole->n, one.n); ar__cut_next(&n);) {
        int64_t first = n.first / height, end = n.first + n.count;
        ar__panels range = ar__resident_bind(w, first, (end + height - 1) / height);
        int64_t held = (first + range.count) * height - n.first;
        if (range.count == 0)
            return ar__fail(AR_ERR_UNSUPPORTED, "gemm: a panel of %lld rows passes what this device binds",
                            (long long)height);
        if (n.count > held) n.count = held;
        for (ar__cut m = ar__cut_into(whole->m, one.m); ar__cut_next(&m);) {
            gemm_part p = {whole->m0 + m.first, m.count, n.first, n.count, whole->k, false};
            AR_TRY(emit_bits_launch(g, C, A, w, t, &p, whole));
        }
    }
    return AR_OK;
}

static ar_status multiply_bits(ar_graph *g, ar_tensor *C, const ar_tensor *x, const ar_resident_weight *w,
                               const tiles *t) {
    ar_tensor *to = NULL;
    AR_TRY(ar__parts_begin(g, &to, C, &t->parts));
    for (ar__cut m = ar__cut_into(x->dims[0], t->m); ar__cut_next(&m);) {
        gemm_part whole = {m.first, m.count, 0, w->O, w->I, false};
        ar__pack a = {.source = x,
                      .row0 = m.first,
                      .rows = m.count,
                      .depth = w->I,
                      .ld = w->I,
                      .tile = t->tm,
                      .along_k = true};
        AR_TRY(ar__pack_get(g, &a));
        AR_TRY(emit_bits(g, to, a.packed, w, t, &whole));
    }
    return ar__parts_end(g, C, to, &t->parts, NULL, false);
}

ar_status ar__gemm_resident(ar_graph *g, ar_tensor *C, const ar_tensor *x, const ar_resident_weight *w) {
    tiles t;
    int64_t M = x->dims[0];
    AR_TRY(ar__variant_settle(g->device, AR_F_gemm));
    bool is_fused = g->device->plan.resident_fused;
    if (is_fused && bits_tiles(&t, &g->device->plan, &(gemm_part){.m = M, .n = w->O, .k = w->I}))
        return multiply_bits(g, C, x, w, &t);
    AR_TRY(choose_tiles(g, &t, M, w->O, w->I, ROUNDED, true));
    if (t.k < w->I) t.k -= t.k % AR__BLOCK;
    /* decoded panels stay small: they are read once, soon after */
    int64_t rows = (int64_t)(UNPACKED_BYTES / 4) / t.k / t.tnv * t.tnv;
    if (t.n > rows) t.n = rows > 0 ? rows : t.tnv;
    if (t.n > w->O) t.n = w->O;
    if (t.k == 0)
        return ar__fail(AR_ERR_UNSUPPORTED,
                        "gemm: 32 inputs of a panel pass the %llu bytes this device binds",
                        (unsigned long long)g->device->plan.piece_bytes);
    ar_tensor *to = NULL;
    AR_TRY(ar__parts_begin(g, &to, C, &t.parts));
    AR_TRY(emit_chunks(g, to, (ar__matrix){x, false}, &(ar__pack){.weights = w}, &t, M, w->O, w->I, false));
    return ar__parts_end(g, C, to, &t.parts, NULL, false);
}
