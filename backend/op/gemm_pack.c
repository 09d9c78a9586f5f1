/* Packed operands of products (shaders/pack_k.comp, pack_t.comp), each made once while its source is
 * unchanged, and the largest numbers of their panels (panel_top.comp). */
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
        int64_t slice = g->device->plan.gemm_side && p->tile % 4 == 0 ? 4 : p->tile,
                parts = panels * (p->tile / slice);
        int64_t items =
            parts * (p->along_k ? (depth + 3) / 4 : depth); /* as the kernels' head comments say */
        struct {
            uint32_t items, rows, depth, ld, s0, d0, pitch;
        } v = {(uint32_t)items,
               (uint32_t)rows,
               (uint32_t)depth,
               (uint32_t)p->ld,
               0,
               (uint32_t)(p->along_k ? at * p->depth : at * p->tile),
               (uint32_t)(p->depth * p->tile)};
        ar__emit_desc d = {.kernel = p->along_k ? AR_K_pack_k : AR_K_pack_t,
                           .specs = {plan->wg, 1, p->tile, (uint32_t)slice, p->brain},
                           .params = &v};
        d.operands[0] = ar__bind_elements(g, p->source, first * p->ld + inner,
                                          (first + count - 1) * p->ld + inner + used, &v.s0);
        d.operands[1] = (ar__operand){p->packed, 0, 0};
        d.bytes = 4.0 * (double)(rows * depth + panels * p->tile * depth);
        ar__groups_1d(g->device, d.groups, v.items, plan->wg);
        AR_TRY(ar__emit(g, &d));
    }
    return AR_OK;
}

ar_status ar__pack_get(ar_graph *g, ar__pack *want) {
    for (int32_t i = 0; i < g->pack_count; i++) {
        const ar__pack *p = &g->packs[i];
        if (p->source == want->source && p->weights == want->weights && p->row0 == want->row0 &&
            p->rows == want->rows && p->k0 == want->k0 && p->depth == want->depth && p->ld == want->ld &&
            p->tile == want->tile && p->along_k == want->along_k && p->brain == want->brain) {
            *want = *p;
            return AR_OK;
        }
    }
    ar__pack p = *want;
    int64_t dims[3] = {(p.rows + p.tile - 1) / p.tile, p.depth, p.tile};
    AR_TRY(ar_graph_temp(g, &p.packed, AR_F32, 3, dims));
    if (p.weights)
        AR_TRY(ar__resident_unpack(g, &p));
    else
        AR_TRY(emit_pack(g, &p));
    AR_TRY(ar__graph_grow((void **)&g->packs, &g->pack_capacity, g->pack_count, sizeof *g->packs));
    g->packs[g->pack_count++] = p;
    *want = p;
    return AR_OK;
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

int64_t ar__pack_slices(const ar__pack *p) { return least((p->depth + 255) / 256, 8); }

ar_status ar__pack_get_scaled(ar_graph *g, ar__pack *want) {
    AR_TRY(ar__pack_get(g, want));
    if (want->tops) return AR_OK;
    int64_t panels = want->packed->dims[0], slices = ar__pack_slices(want);
    AR_TRY(ar_graph_temp(g, &want->tops, AR_F32, 2, (int64_t[]){panels, slices}));
    for (int32_t i = 0; i < g->pack_count; i++)
        if (g->packs[i].packed == want->packed) g->packs[i].tops = want->tops;
    struct {
        uint32_t parts, pitch, slices;
    } v = {(uint32_t)(panels * slices), (uint32_t)(want->depth * want->tile / 4), (uint32_t)slices};
    uint32_t wg = g->device->plan.wg;
    ar__emit_desc d = {.kernel = AR_K_panel_top,
                       .specs = {wg, 1},
                       .operands = {{want->packed, 0, 0}, {want->tops, 0, 0}},
                       .params = &v,
                       .bytes = 4.0 * (double)(panels * want->depth * want->tile)};
    ar__groups_1d(g->device, d.groups, (uint64_t)v.parts * wg, wg);
    return ar__emit(g, &d);
}
