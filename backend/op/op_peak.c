/* Multiply-adds in registers: what `bench` takes as the roof of computing in f32. No gradients. */
#include "internal.h"

#define CHAINS 8 /* of shaders/peak.comp */

ar_status ar_op_peak(ar_graph *g, ar_tensor *y, uint32_t rounds, float a, float b) {
    const ar_plan *plan = &ar__graph_device(g)->plan;
    int64_t count = ar_tensor_count(y);
    if (y->dtype != AR_F32) return ar__fail(AR_ERR_DTYPE, "peak: %s, expected f32", ar_dtype_name(y->dtype));
    struct {
        uint32_t n, rounds;
        float a, b;
    } v = {0, rounds, a, b};
    ar__emit_desc d = {.kernel = AR_K_peak,
                       .specs = {plan->wg, 1},
                       .operands = {{y, 0, 0}},
                       .params = &v,
                       .flops = 2.0 * CHAINS * (double)rounds * (double)count,
                       .bytes = 4.0 * (double)count};
    return ar__emit_split(g, &d, &(ar__split){.units = count, .units_per_item = plan->vw, .split = 1});
}
