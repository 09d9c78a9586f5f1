/* How far rows reach, counted by size, for ranges that leave a few of them out. Kernel: acts_count. */
#include "op.h"
#include <string.h>

#define BINS AR_ACTS_BINS

ar_status ar_op_acts_count(ar_graph *g, ar_tensor *counts, const ar_tensor *x) {
    ar_tensor *ranges = NULL;
    AR_TRY(ar__op_check("acts_count", "x", x, AR_F32, -1, -1));
    AR_TRY(ar__op_check("acts_count", "counts", counts, AR_F32, 2, BINS));
    if (x->dims[0] == 0) return AR_OK;
    AR_TRY(ar__acts_row_ranges(g, &ranges, x));
    uint32_t rows = (uint32_t)x->dims[0];
    ar__emit_desc d = {.kernel = AR_K_acts_count,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &rows,
                       .operands = {{ranges, 0, 0}, {counts, 0, 0}},
                       .flops = 2.0 * BINS * (double)rows,
                       .bytes = 8.0 * (double)rows + 16.0 * BINS};
    ar__groups_1d(ar__graph_device(g), d.groups, 2 * BINS, d.specs[0]);
    return ar__emit(g, &d);
}

/* The value that bin b begins at. */
static float bin_start(int32_t b) {
    uint32_t bits = (uint32_t)b << 20;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Where `share` of the rows end, straight lines within bins; no further than `most`. */
static float reach(const float *counts, double share, float most) {
    double all = 0.0, before = 0.0;
    for (int32_t b = 0; b < BINS; b++) all += (double)counts[b];
    for (int32_t b = 0; b < BINS; b++) {
        double n = (double)counts[b];
        if (n > 0.0 && before + n >= share * all) {
            double from = (double)bin_start(b), to = (double)bin_start(b + 1);
            float value = (float)(from + (to - from) * (share * all - before) / n);
            return value < most ? value : most;
        }
        before += n;
    }
    return most;
}

void ar_acts_cut(float *range, const float *counts, double share) {
    range[0] = -reach(counts, share, -range[0]);
    range[1] = reach(counts + BINS, share, range[1]);
}
