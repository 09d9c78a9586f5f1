/* Layers of nets of few states in whole numbers: no gradients, four codes to a word. */
#include "op.h"

/* Words that hold n codes. */
static int64_t words(int64_t n) { return (n + 3) / 4; }

static ar_status check(const char *op, const ar_tensor *x, const ar_tensor *W, const ar_states_shape *s) {
    if (s->images < 1 || s->H < 1 || s->W < 1 || s->C < 1 || s->O < 1 || (s->K != 1 && s->K != 3))
        return ar__fail(AR_ERR_ARG, "%s: found %lld images of %d x %d x %d, windows of %d, %d outputs", op,
                        (long long)s->images, (int)s->H, (int)s->W, (int)s->C, (int)s->K, (int)s->O);
    AR_TRY(ar__op_check(op, "x", x, AR_I32, -1, -1));
    if (ar_tensor_count(x) != s->images * s->H * s->W * words(s->C)) /* a product reads places as one row */
        return ar__fail(AR_ERR_SHAPE, "%s: x has %lld words, expected %lld images of %d x %d x %lld", op,
                        (long long)ar_tensor_count(x), (long long)s->images, (int)s->H, (int)s->W,
                        (long long)words(s->C));
    return W ? ar__op_check(op, "W", W, AR_I32, s->O, (int64_t)s->K * s->K * words(s->C)) : AR_OK;
}

ar_status ar_op_states_codes(ar_graph *g, ar_tensor **y, const ar_tensor *x, const ar_tensor *W,
                             const ar_tensor *thresholds, const ar_tensor *turned, const ar_states_shape *s) {
    *y = NULL;
    AR_TRY(check("states_codes", x, W, s));
    if (s->M < 2)
        return ar__fail(AR_ERR_ARG, "states_codes: found %d states, expected at least 2", (int)s->M);
    AR_TRY(ar__op_check("states_codes", "thresholds", thresholds, AR_I32, s->O, s->M - 1));
    AR_TRY(ar__op_check("states_codes", "turned", turned, AR_I32, s->O, 0));
    int64_t places = (int64_t)s->H * s->W, O4 = words(s->O);
    AR_TRY(ar_graph_temp(g, y, AR_I32, 2, (int64_t[]){s->images * places, O4}));
    uint32_t p[] = {0,
                    (uint32_t)s->H,
                    (uint32_t)s->W,
                    (uint32_t)words(s->C),
                    (uint32_t)s->K,
                    (uint32_t)s->O,
                    (uint32_t)s->M};
    double work = (double)(s->images * places * s->O) * s->K * s->K * s->C;
    ar__emit_desc d = {.kernel = AR_K_states_codes,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = p,
                       .operands = {{x, 0, 0}, {W, 0, 0}, {thresholds, 0, 0}, {turned, 0, 0}, {*y, 0, 0}},
                       .flops = 2 * work,
                       .bytes = work};
    ar__split split = {.units = s->images, .split = 17, .items_per_unit = (uint32_t)(places * O4)};
    return ar__emit_split(g, &d, &split);
}

ar_status ar_op_states_scores(ar_graph *g, ar_tensor **y, const ar_tensor *x, const ar_tensor *W,
                              const ar_tensor *fold, const ar_states_shape *s) {
    *y = NULL;
    AR_TRY(check("states_scores", x, W, s));
    AR_TRY(ar__op_check("states_scores", "fold", fold, AR_F32, s->O, 2));
    int64_t places = (int64_t)s->H * s->W;
    AR_TRY(ar_graph_temp(g, y, AR_F32, 2, (int64_t[]){s->images * places, s->O}));
    uint32_t p[] = {0, (uint32_t)s->H, (uint32_t)s->W, (uint32_t)words(s->C), (uint32_t)s->K, (uint32_t)s->O};
    double work = (double)(s->images * places * s->O) * s->K * s->K * s->C;
    ar__emit_desc d = {.kernel = AR_K_states_scores,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = p,
                       .operands = {{x, 0, 0}, {W, 0, 0}, {fold, 0, 0}, {*y, 0, 0}},
                       .flops = 2 * work,
                       .bytes = work};
    ar__split split = {.units = s->images, .split = 9, .items_per_unit = (uint32_t)(places * s->O)};
    return ar__emit_split(g, &d, &split);
}

ar_status ar_op_states_pool(ar_graph *g, ar_tensor **y, const ar_tensor *x, const ar_states_shape *s) {
    *y = NULL;
    AR_TRY(check("states_pool", x, NULL, s));
    if (s->H < 2 || s->W < 2)
        return ar__fail(AR_ERR_ARG, "states_pool: found %d x %d, expected at least 2 x 2", (int)s->H,
                        (int)s->W);
    int64_t places = (int64_t)(s->H / 2) * (s->W / 2), C4 = words(s->C);
    AR_TRY(ar_graph_temp(g, y, AR_I32, 2, (int64_t[]){s->images * places, C4}));
    uint32_t p[] = {0, (uint32_t)s->H, (uint32_t)s->W, (uint32_t)C4};
    ar__emit_desc d = {.kernel = AR_K_states_pool,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = p,
                       .operands = {{x, 0, 0}, {*y, 0, 0}},
                       .bytes = 20.0 * (double)(s->images * places * C4)};
    return ar__emit_split(
        g, &d, &(ar__split){.units = s->images, .split = 3, .items_per_unit = (uint32_t)(places * C4)});
}
