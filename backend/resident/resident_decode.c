/* Panels of resident weights as kernels bind them, and decoded ones for gemm. Kernel: unpack. */
#include "graph.h"
#include "resident_weight.h"

ar__panels ar__resident_bind(const ar_resident_weight *w, int64_t first, int64_t end) {
    const ar_plan *plan = &w->device->plan;
    uint64_t each = (uint64_t)w->pw * w->lp * w->vw * 4, align = plan->offset_align ? plan->offset_align : 1;
    uint64_t start = (uint64_t)first * each, from = start / align * align;
    int64_t fit = (int64_t)((plan->piece_bytes - 64 - (start - from)) / each), count = end - first;
    if (count > fit) count = fit;
    uint64_t bytes = (uint64_t)count * each + (start - from);
    if (first + count == w->panels) bytes = 0; /* to the tensor's end */
    return (ar__panels){first, count, (uint32_t)((start - from) / 4 / w->vw), {w->words, from, bytes}};
}

ar_status ar__resident_unpack(ar_graph *g, const ar__pack *p) {
    const ar_resident_weight *w = p->weights;
    int64_t row0 = p->row0, rows = p->rows, k0 = p->k0, depth = p->depth;
    uint32_t tile = p->tile;
    int64_t height = (int64_t)w->lp * w->vw, end = row0 + rows;
    double row_bytes = ((double)w->pw / w->nb / AR__BLOCK + 1.0) * 4.0 * (double)depth;
    ar__cut c = ar__cut_by_time(&w->device->plan, rows, tile, 0, row_bytes * (double)rows);
    while (ar__cut_next(&c)) {
        int64_t at = row0 + c.first;
        ar__panels range = ar__resident_bind(w, at / height, (end + height - 1) / height);
        int64_t bound = range.first * height, next = bound + range.count * height;
        if (next < end) next -= (next - row0) % tile; /* each launch starts a panel of its own */
        if (next > at + c.count) next = at + c.count;
        if (next <= at)
            return ar__fail(AR_ERR_UNSUPPORTED, "resident: a panel of %u rows passes what this device binds",
                            tile);
        c.count = next - at;
        int64_t row_items = (next - at + tile - 1) / tile * (tile / w->vw);
        int64_t blocks = (depth + AR__BLOCK - 1) / AR__BLOCK;
        struct {
            uint32_t items, row_items, nb, ub, gb, pw, r0, k0, depth, tv, d0, w0, filled;
        } v = {(uint32_t)(row_items * blocks),
               (uint32_t)row_items,
               w->nb,
               w->ub,
               w->gb,
               w->pw,
               (uint32_t)((at - bound) / w->vw),
               (uint32_t)k0,
               (uint32_t)depth,
               tile / w->vw,
               (uint32_t)((at - row0) / tile * (tile / w->vw) * depth),
               range.shift,
               (uint32_t)((next - at + w->vw - 1) / w->vw)};
        uint32_t wg = w->device->plan.wg;
        ar__emit_desc d = {
            .kernel = AR_K_unpack, .specs = {wg, 1, w->code, w->scale, w->lp, p->brain}, .params = &v};
        d.operands[0] = range.operand;
        d.operands[1] = (ar__operand){p->packed, 0, 0};
        d.bytes = row_bytes * (double)(next - at);
        ar__groups_1d(w->device, d.groups, v.items, wg);
        AR_TRY(ar__emit(g, &d));
    }
    return AR_OK;
}
