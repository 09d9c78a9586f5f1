/* Multiply-adds in registers: what `bench` takes as the roof of computing, in f32, fp16 and bytes, and by
 * matrix hardware. No gradients. */
#include "internal.h"
#include "variant.h"
#include <string.h>

#define CHAINS 8           /* of shaders/peak*.comp */
#define BYTES  0x3f817f01u /* that peak_dot multiplies by: 1, 127, -127, 63 */

/* Operations of an element and round, and the kernel, by what is written. */
static ar_status choose(ar__emit_desc *d, double *operations, const ar_device *device, ar_dtype dtype) {
    *operations = 2.0 * CHAINS;
    if (dtype == AR_F32) d->kernel = AR_K_peak;
    if (dtype == AR_F16) d->kernel = AR_K_peak_f16;
    if (dtype == AR_I32) d->kernel = AR_K_peak_dot, *operations = 8.0 * CHAINS; /* four bytes a word */
    if (dtype != AR_F32 && dtype != AR_F16 && dtype != AR_I32)
        return ar__fail(AR_ERR_DTYPE, "peak: %s, expected f32, f16 or i32", ar_dtype_name(dtype));
    if (dtype == AR_F16 && !device->facts.has_f16_arith)
        return ar__fail(AR_ERR_UNSUPPORTED, "peak: %s has no fp16 arithmetic", device->facts.name);
    return AR_OK;
}

ar_status ar_op_peak(ar_graph *g, ar_tensor *y, uint32_t rounds, float a, float b) {
    ar_device *device = ar__graph_device(g);
    const ar_plan *plan = &device->plan;
    int64_t count = ar_tensor_count(y);
    double operations = 0;
    struct {
        uint32_t n, rounds;
        float a, b;
    } v = {0, rounds, a, b};
    struct {
        uint32_t n, rounds, x;
    } words = {0, rounds, BYTES};
    ar__emit_desc d = {.specs = {plan->wg, 1},
                       .operands = {{y, 0, 0}},
                       .params = &v,
                       .bytes = (double)ar_dtype_bytes(y->dtype) * (double)count};
    AR_TRY(choose(&d, &operations, device, y->dtype));
    if (d.kernel == AR_K_peak_dot) d.params = &words;
    d.flops = operations * (double)rounds * (double)count;
    return ar__emit_split(g, &d, &(ar__split){.units = count, .units_per_item = plan->vw, .split = 1});
}

/* ---- matrices ---- */

#define SUBGROUPS 4 /* of a group */
#define SIDE      8 /* of fragments where there are none */

bool ar_device_has_matrices(const ar_device *device) {
    return device->plan.variants[AR_F_peak_matrix] == AR_K_peak_coop;
}

/* Rows, columns and depth of a fragment; some where there are none. */
static void fragment(uint32_t of[3], const ar_device *device) {
    for (int32_t i = 0; i < 3; i++)
        of[i] = device->plan.coop_fragment[i] ? device->plan.coop_fragment[i] : SIDE;
}

int64_t ar_peak_matrix_row(const ar_device *device) {
    uint32_t of[3];
    fragment(of, device);
    return (int64_t)SUBGROUPS * of[0] * of[1];
}

ar_status ar_op_peak_matrix(ar_graph *g, ar_tensor *y, uint32_t rounds) {
    ar_device *device = ar__graph_device(g);
    const ar_plan *plan = &device->plan;
    const int64_t row = ar_peak_matrix_row(device), count = ar_tensor_count(y);
    const uint32_t items = SUBGROUPS * plan->coop_subgroup;
    uint32_t of[3], params[] = {0, rounds};
    if (y->dtype != AR_F32 || count % row != 0)
        return ar__fail(AR_ERR_SHAPE,
                        "peak_matrix: %s and %lld elements, expected f32 and a multiple of %lld",
                        ar_dtype_name(y->dtype), (long long)count, (long long)row);
    AR_TRY(ar__variant_settle(device, AR_F_peak_matrix));
    fragment(of, device);
    ar__emit_desc d = {.kernel = AR_K_peak_matrix,
                       .specs = {plan->wg, 1, of[0], of[1], of[2], SUBGROUPS},
                       .operands = {{y, 0, 0}},
                       .params = params,
                       .bytes = 4.0 * (double)count,
                       .flops = 2.0 * CHAINS * of[2] * (double)rounds * (double)count};
    bool is_coop = ar_device_has_matrices(device);
    if (is_coop) {
        d.kernel = AR_K_peak_coop;
        memcpy(d.specs, (uint32_t[]){items, 1, plan->coop_subgroup, of[0], of[1], of[2]},
               6 * sizeof *d.specs);
    }
    return ar__emit_split(
        g, &d,
        &(ar__split){.units = count / row, .items_per_unit = is_coop ? items : (uint32_t)row, .split = 1});
}
