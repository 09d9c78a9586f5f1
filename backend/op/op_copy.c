/* dst = src, word for word; dst = one word everywhere. No gradients. */
#include "internal.h"

ar_status ar_op_copy(ar_graph *g, ar_tensor *dst, const ar_tensor *src) {
    int64_t count = ar_tensor_count(src);
    if (ar_dtype_bytes(src->dtype) != 4 || ar_dtype_bytes(dst->dtype) != 4)
        return ar__fail(AR_ERR_DTYPE, "copy: %s to %s, expected types of 4 bytes", ar_dtype_name(src->dtype),
                        ar_dtype_name(dst->dtype));
    if (ar_tensor_count(dst) != count)
        return ar__fail(AR_ERR_SHAPE, "copy: %lld elements to %lld", (long long)count,
                        (long long)ar_tensor_count(dst));
    uint32_t n = 0;
    ar__emit_desc d = {.kernel = AR_K_copy, .specs = {ar__graph_device(g)->plan.wg, 1}, .params = &n};
    d.operands[0] = (ar__operand){src, 0, 0};
    d.operands[1] = (ar__operand){dst, 0, 0};
    d.bytes = 8.0 * (double)count;
    return ar__emit_split(g, &d, &(ar__split){.units = count, .split = 3});
}

ar_status ar_op_fill(ar_graph *g, ar_tensor *dst, uint32_t word) {
    if (ar_dtype_bytes(dst->dtype) != 4)
        return ar__fail(AR_ERR_DTYPE, "fill: %s, expected a type of 4 bytes", ar_dtype_name(dst->dtype));
    int64_t count = ar_tensor_count(dst);
    uint32_t v[2] = {0, word};
    ar__emit_desc d = {.kernel = AR_K_fill,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .operands = {{dst, 0, 0}},
                       .params = v,
                       .bytes = 4.0 * (double)count};
    return ar__emit_split(g, &d, &(ar__split){.units = count, .split = 1});
}
