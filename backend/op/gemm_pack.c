/* Packed operands of products (shaders/pack_k.comp, pack_t.comp, pack_half.comp), each made once while its
 * source is unchanged, and the largest numbers of their panels (panel_top.comp). */
#include "gemm_pack.h"
#include "op.h"
#include "resident_weight.h"

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

ar__operand ar__bind_elements(const ar_graph *g, const ar_tensor *t, int64_t from, int64_t to,
                              uint32_t *shift) {
    uint64_t align = g->device->plan.offset_align ? g->device->plan.offset_align : 4;
    uint64_t start = (uint64_t)from * 4 / align * align;
    *shift = (uint32_t)((uint64_t)from - start / 4);
    return (ar__operand){t, start, (uint64_t)to * 4 - start};
}

bool ar__pack_can_halve(const ar_plan *plan, int64_t rows, int64_t cols) {
    return rows * cols <= ((int64_t)plan->piece_bytes - 2 * (int64_t)plan->offset_align) / 4;
}

int64_t ar__pack_slices(const ar__pack *p) { return least((p->depth + 255) / 256, 8); }

static int64_t panels_of(const ar__pack *p) { return (p->rows + p->tile - 1) / p->tile; }

/* All that p packs of its source. */
static ar__operand bind_source(const ar_graph *g, const ar__pack *p, uint32_t *shift) {
    int64_t lines = p->along_k ? p->rows : p->depth, used = p->along_k ? p->depth : p->rows;
    int64_t from = p->along_k ? p->row0 * p->ld + p->k0 : p->k0 * p->ld + p->row0;
    return ar__bind_elements(g, p->source, from, from + (lines - 1) * p->ld + used, shift);
}

/* Emits the search for the largest numbers of p's panels: in its source or, of f32, in the panels, each of
 * which is a row then. */
static ar_status emit_tops(ar_graph *g, ar__pack *p) {
    int64_t panels = panels_of(p), slices = ar__pack_slices(p), each = p->depth * p->tile;
    uint32_t wg = g->device->plan.wg;
    AR_TRY(ar_graph_temp(g, &p->tops, AR_F32, 2, (int64_t[]){panels, slices}));
    struct {
        uint32_t parts, rows, depth, ld, s0, slices;
    } v = {(uint32_t)(panels * slices),
           (uint32_t)(p->is_half ? p->rows : panels),
           (uint32_t)(p->is_half ? p->depth : each),
           (uint32_t)(p->is_half ? p->ld : each),
           0,
           (uint32_t)slices};
    ar__emit_desc d = {.kernel = AR_K_panel_top,
                       .specs = {wg, 1, p->is_half ? p->tile : 1, !p->is_half || p->along_k},
                       .params = &v,
                       .bytes = 4.0 * (double)(panels * each)};
    d.operands[0] = p->is_half ? bind_source(g, p, &v.s0) : (ar__operand){p->packed, 0, 0};
    d.operands[1] = (ar__operand){p->tops, 0, 0};
    ar__groups_1d(g->device, d.groups, (uint64_t)v.parts * wg, wg);
    return ar__emit(g, &d);
}

/* How many values of k an item packs where vectors of four move whole panels, source and panel aligned to
 * them; 0: some do not. Wider vectors do so unaligned. */
static uint32_t whole_lines(const ar_plan *plan, const ar__pack *p, int64_t rows, int64_t depth,
                            int64_t slice, int64_t from) {
    bool is_whole = plan->vw == 4 && !p->is_half && rows % p->tile == 0 && slice % 4 == 0;
    if (!is_whole || p->ld % 4 || from % 4 || (p->along_k && (depth % 4 || p->depth % 4))) return 0;
    return p->along_k || (plan->gemm_side == 0 && depth % 4 == 0) ? 4 : 1;
}

/* Emits the packing of p, its source bound in pieces of whole storage rows. */
static ar_status emit_pack(ar_graph *g, const ar__pack *p) {
    const ar_plan *plan = &g->device->plan;
    int64_t piece = ((int64_t)plan->piece_bytes - 2 * (int64_t)plan->offset_align) / 4;
    int64_t fit = piece / p->ld, total = p->along_k ? p->rows : p->depth;
    if (fit >= total)
        fit = total;
    else if (p->along_k)
        fit = fit / p->tile * p->tile;
    int64_t timed = ar__launch_units(plan, total, p->along_k ? p->tile : 1, 0,
                                     8.0 * (double)(p->rows + p->tile) * (double)p->depth);
    fit = least(fit, timed);
    if (fit == 0)
        return ar__fail(AR_ERR_UNSUPPORTED,
                        "gemm: an operand row of %lld floats passes the %llu bytes this device binds",
                        (long long)p->ld, (unsigned long long)plan->piece_bytes);
    for (ar__cut c = ar__cut_into(total, fit); ar__cut_next(&c);) {
        int64_t at = c.first, count = c.count, rows = p->along_k ? count : p->rows;
        int64_t depth = p->along_k ? p->depth : count, panels = (rows + p->tile - 1) / p->tile;
        int64_t first = (p->along_k ? p->row0 : p->k0) + at; /* storage row */
        int64_t inner = p->along_k ? p->k0 : p->row0;        /* first column used of it */
        int64_t used = p->along_k ? p->depth : p->rows;      /* columns used */
        int64_t slice = p->is_half                            ? 8
                        : plan->gemm_side && p->tile % 4 == 0 ? 4
                                                              : p->tile,
                parts = panels * (p->tile / slice), unit = p->is_half ? 8 : 1; /* numbers of a vector of D */
        uint32_t whole = whole_lines(plan, p, rows, depth, slice, first * p->ld + inner);
        int64_t lines = p->along_k ? 4 : whole ? whole : 1; /* as the kernels' head comments say */
        int64_t tops = p->is_half && p->is_scaled ? ar__pack_slices(p) : 0;
        struct {
            uint32_t items, rows, depth, ld, s0, d0, pitch;
            uint32_t slices, t0; /* pack_half alone */
        } v = {(uint32_t)(parts * ((depth + lines - 1) / lines)),
               (uint32_t)rows,
               (uint32_t)depth,
               (uint32_t)p->ld,
               0,
               (uint32_t)((p->along_k ? at * p->depth : at * p->tile) / unit),
               (uint32_t)(p->depth * p->tile / unit),
               (uint32_t)tops,
               (uint32_t)(p->along_k ? at / p->tile * tops : 0)};
        ar__emit_desc d = {
            .kernel = p->is_half   ? AR_K_pack_half
                      : p->along_k ? AR_K_pack_k
                                   : AR_K_pack_t,
            .specs = {plan->wg, 1, p->tile, p->is_half ? p->along_k : (uint32_t)slice, p->brain, whole},
            .params = &v};
        d.operands[0] = ar__bind_elements(g, p->source, first * p->ld + inner,
                                          (first + count - 1) * p->ld + inner + used, &v.s0);
        d.operands[1] = (ar__operand){p->packed, 0, 0};
        d.operands[2] = tops ? (ar__operand){p->tops, 0, 0} : (ar__operand){p->source, 0, 64}; /* unread */
        d.bytes =
            4.0 * (double)(rows * depth) + (p->is_half ? 2.0 : 4.0) * (double)(panels * p->tile * depth);
        ar__groups_1d(g->device, d.groups, v.items, plan->wg);
        AR_TRY(ar__emit(g, &d));
    }
    return AR_OK;
}

static ar__pack *find_pack(const ar_graph *g, const ar__pack *want) {
    for (int32_t i = 0; i < g->pack_count; i++) {
        ar__pack *p = &g->packs[i];
        if (p->source == want->source && p->weights == want->weights && p->row0 == want->row0 &&
            p->rows == want->rows && p->k0 == want->k0 && p->depth == want->depth && p->ld == want->ld &&
            p->tile == want->tile && p->along_k == want->along_k && p->brain == want->brain &&
            p->is_half == want->is_half && (!p->is_half || p->is_scaled == want->is_scaled))
            return p;
    }
    return NULL;
}

static ar_status make_pack(ar_graph *g, const ar__pack *want) {
    ar__pack p = *want;
    if (p.is_half && p.is_scaled) AR_TRY(emit_tops(g, &p));
    int64_t dims[3] = {panels_of(&p), p.depth, p.tile};
    AR_TRY(ar_graph_temp(g, &p.packed, !p.is_half ? AR_F32 : p.brain ? AR_BF16 : AR_F16, 3, dims));
    if (p.weights)
        AR_TRY(ar__resident_unpack(g, &p));
    else
        AR_TRY(emit_pack(g, &p));
    AR_TRY(ar__graph_grow((void **)&g->packs, &g->pack_capacity, g->pack_count, sizeof *g->packs));
    g->packs[g->pack_count++] = p;
    return AR_OK;
}

ar_status ar__pack_get(ar_graph *g, ar__pack *want) {
    if (!find_pack(g, want)) AR_TRY(make_pack(g, want));
    ar__pack *p = find_pack(g, want);
    if (want->is_scaled && !p->tops) AR_TRY(emit_tops(g, p));
    *want = *p;
    return AR_OK;
}

ar__operand ar__bind_panels(const ar_tensor *pack, int64_t first, int64_t count, int64_t total,
                            int64_t tile) {
    uint64_t each = (uint64_t)pack->dims[1] * (uint64_t)tile * (pack->dtype == AR_F32 ? 4 : 2);
    bool is_last = first + count == total;
    return (ar__operand){pack, (uint64_t)(first / tile) * each,
                         is_last ? 0 : (uint64_t)(count / tile) * each};
}

ar__operand ar__pack_source(const ar_graph *g, const ar__pack *p, int64_t first, int64_t count,
                            uint32_t at[4]) {
    ar__pack part = *p;
    if (!p->is_half) {
        at[0] = 0, at[1] = (uint32_t)(p->depth * p->tile), at[2] = 1, at[3] = p->tile;
        return ar__bind_panels(p->packed, first, count, p->rows, p->tile);
    }
    part.row0 += first, part.rows = count;
    at[2] = (uint32_t)(p->along_k ? p->ld : 1), at[3] = (uint32_t)(p->along_k ? 1 : p->ld);
    at[1] = p->tile * at[2];
    return bind_source(g, &part, &at[0]);
}

ar_status ar__pack_rows(ar_graph *g, ar_tensor **packed, const ar_tensor *t, uint32_t tile) {
    ar__pack want = {.source = t,
                     .rows = t->dims[0],
                     .depth = t->dims[1],
                     .ld = t->dims[1],
                     .tile = tile,
                     .along_k = true};
    AR_TRY(ar__pack_get(g, &want));
    *packed = want.packed;
    return AR_OK;
}
