/* Products whose depth is cut in parts: how many, and adding them up (shaders/sum_parts.comp). */
#include "gemm_parts.h"
#include "op.h"

/* Below, writing and adding a part costs a tenth of making it. */
#define PART_DEPTH 512
#define MOST_PARTS 16
/* All parts of a product together. */
#define PARTS_BYTES ((int64_t)64 << 20)

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Whole blocks of resident weights and steps of every kernel. */
static int64_t whole_steps(int64_t k) { return (k + 63) / 64 * 64; }

static int64_t pitch_of(int64_t M, int64_t N) { return (M * N + 15) / 16 * 16; }

static int64_t most_parts(int64_t M, int64_t N, int64_t K, const ar_plan *plan) {
    int64_t bytes = least((int64_t)plan->piece_bytes, PARTS_BYTES);
    if (!(plan->ways >> AR_W_gemm_depth & 1) || M * N > bytes / 4) return 1;
    int64_t most = least(least(K / PART_DEPTH, MOST_PARTS), bytes / 4 / pitch_of(M, N));
    return most > 1 ? most : 1;
}

void ar__parts_choose(ar__parts *parts, const ar_plan *plan, int64_t M, int64_t N, int64_t K) {
    bool is_asked = plan->ways_asked >> AR_W_gemm_depth & 1, is_shared = plan->gemm_side > 0;
    int64_t tiles = (M + 63) / 64 * ((N + 63) / 64), most = most_parts(M, N, K, plan);
    int64_t wanted = is_shared ? (plan->gemm_groups + tiles - 1) / tiles : 1;
    int64_t count = is_asked ? most : least(most, wanted);
    parts->depth = count > 1 ? whole_steps((K + count - 1) / count) : K;
    parts->count = (K + parts->depth - 1) / parts->depth;
    parts->pitch = parts->count > 1 ? pitch_of(M, N) : 0;
}

ar_status ar__parts_begin(ar_graph *g, ar_tensor **to, ar_tensor *C, const ar__parts *parts) {
    *to = C;
    if (parts->count == 1) return AR_OK;
    return ar_graph_temp(g, to, AR_F32, 2, (int64_t[]){parts->count, parts->pitch});
}

static ar_status emit_sum(ar_graph *g, ar_tensor *C, const ar_tensor *from, const ar_tensor *bias,
                          bool accumulate) {
    const ar_device *device = ar__graph_device(g);
    int64_t vw = device->plan.vw, count = ar_tensor_count(C), parts = from->dims[0];
    struct {
        uint32_t n, parts, pitch, row, acc, biased;
    } v = {(uint32_t)((count + vw - 1) / vw),         (uint32_t)parts, (uint32_t)(from->dims[1] / vw),
           bias ? (uint32_t)(bias->dims[0] / vw) : 1, accumulate,      bias != NULL};
    ar__emit_desc d = {.kernel = AR_K_sum_parts,
                       .specs = {device->plan.wg, 1},
                       .params = &v,
                       .operands = {{from, 0, 0}, {bias ? bias : from, 0, 0}, {C, 0, 0}},
                       .flops = (double)(parts * count),
                       .bytes = 4.0 * (double)((parts + 1) * count)};
    ar__groups_1d(device, d.groups, v.n, device->plan.wg);
    return ar__emit(g, &d);
}

ar_status ar__parts_end(ar_graph *g, ar_tensor *C, const ar_tensor *from, const ar__parts *parts,
                        const ar_tensor *bias, bool accumulate) {
    bool is_joined = bias && parts->count > 1 && bias->dims[0] % ar__graph_device(g)->plan.vw == 0;
    if (parts->count > 1) AR_TRY(emit_sum(g, C, from, is_joined ? bias : NULL, accumulate));
    return bias && !is_joined ? ar__emit_add_row(g, C, bias) : AR_OK;
}
