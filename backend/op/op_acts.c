/* Quantized activations: ranges, grids, x' with its straight-through gradient, codes. Equations:
 * docs/activations.md. Kernels: acts_range, acts_join, acts_grid, acts_quant, acts_grad, acts_codes,
 * acts_pull, acts_ends. */
#include "op.h"
#include <math.h>

#define LEAST_RANGE 0x1p-100f /* of a scale: acts_grid */

ar_status ar_acts_scheme_check(const ar_acts_scheme *s) {
    if (s->bits < 2 || s->bits > 8)
        return ar__fail(AR_ERR_ARG, "activations: found %d bits, expected 2 to 8", (int)s->bits);
    if ((unsigned)s->range > AR_ACTS_STATIC)
        return ar__fail(AR_ERR_ARG, "activations: found range %d, expected token, tensor or static",
                        (int)s->range);
    return AR_OK;
}

static float half_of(const ar_acts_scheme *s) { return (float)(1 << (s->bits - 1)); }

void ar_acts_grid(float *grid, const float *range, const ar_acts_scheme *s) {
    float h = half_of(s), lo = range[0], hi = range[1];
    float span = s->asym ? hi - lo : fmaxf(-lo, hi), steps = s->asym ? h + (h - 1.0f) : h - 0.5f;
    grid[0] = span >= LEAST_RANGE ? span / steps : 1.0f;
    grid[1] = s->asym ? fminf(fmaxf(rintf(-h - lo / grid[0]), -h), h - 1.0f) : 0.0f;
}

/* ---- ranges and grids ---- */

ar_status ar__acts_row_ranges(ar_graph *g, ar_tensor **ranges, const ar_tensor *x) {
    int64_t N = x->dims[0], I = x->dims[1];
    AR_TRY(ar_graph_temp(g, ranges, AR_F32, 2, (int64_t[]){N, 2}));
    uint32_t group = ar__row_group(ar__graph_device(g));
    uint32_t p[2] = {0, (uint32_t)I};
    ar__emit_desc d = {.kernel = AR_K_acts_range,
                       .specs = {group, 1},
                       .params = p,
                       .operands = {{x, 0, 0}, {*ranges, 0, 0}},
                       .flops = 2.0 * (double)(N * I),
                       .bytes = 4.0 * (double)(N * I)};
    return ar__emit_split(g, &d, &(ar__split){.units = N, .split = 3u, .items_per_unit = group});
}

static ar_status join(ar_graph *g, ar_tensor *range, const ar_tensor *ranges, bool keep) {
    uint32_t p[2] = {(uint32_t)ranges->dims[0], keep};
    ar__emit_desc d = {.kernel = AR_K_acts_join,
                       .specs = {ar__row_group(ar__graph_device(g)), 1},
                       .params = p,
                       .operands = {{ranges, 0, 0}, {range, 0, 0}},
                       .bytes = 8.0 * (double)ranges->dims[0]};
    return ar__emit(g, &d);
}

ar_status ar_op_acts_range(ar_graph *g, ar_tensor *range, const ar_tensor *x) {
    ar_tensor *ranges = NULL;
    AR_TRY(ar__op_check("acts_range", "x", x, AR_F32, -1, -1));
    AR_TRY(ar__op_check("acts_range", "range", range, AR_F32, 1, 2));
    if (x->dims[0] == 0) return AR_OK;
    AR_TRY(ar__acts_row_ranges(g, &ranges, x));
    return join(g, range, ranges, true);
}

/* *ranges that the grids are of, as many; undefined without rows. */
static ar_status make_grid(ar_graph *g, ar_tensor **grid, ar_tensor **ranges, const ar_tensor *x,
                           const ar_acts_scheme *s) {
    ar_tensor *one = NULL;
    AR_TRY(ar_acts_scheme_check(s));
    AR_TRY(ar__op_check("acts_grid", "x", x, AR_F32, -1, -1));
    if (s->range == AR_ACTS_STATIC)
        return ar__fail(AR_ERR_ARG, "acts_grid: found a static range, expected one of token or tensor");
    int64_t count = s->range == AR_ACTS_TOKEN ? x->dims[0] : 1;
    AR_TRY(ar__output(g, grid, AR_F32, 2, (int64_t[]){count, 2}, NULL, NULL, NULL));
    if (x->dims[0] == 0) return AR_OK;
    AR_TRY(ar__acts_row_ranges(g, ranges, x));
    if (s->range == AR_ACTS_TENSOR) {
        AR_TRY(ar_graph_temp(g, &one, AR_F32, 2, (int64_t[]){1, 2}));
        AR_TRY(join(g, one, *ranges, false));
        *ranges = one;
    }
    struct {
        uint32_t rows, asym;
        float half;
    } p = {0, s->asym, half_of(s)};
    ar__emit_desc d = {.kernel = AR_K_acts_grid,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{*ranges, 0, 0}, {*grid, 0, 0}},
                       .bytes = 16.0 * (double)count};
    return ar__emit_split(g, &d, &(ar__split){.units = count, .split = 3u});
}

ar_status ar_op_acts_grid(ar_graph *g, ar_tensor **grid, const ar_tensor *x, const ar_acts_scheme *s) {
    ar_tensor *ranges = NULL;
    return make_grid(g, grid, &ranges, x, s);
}

/* ---- values and codes ---- */

typedef struct quant {
    ar_tensor *x, *grid, *y;
    ar_tensor *ranges; /* of x itself, which have a gradient; NULL = they are given */
    float half, edge;
    bool asym;
} quant;

static ar_status check(const char *op, const ar_tensor *x, const ar_tensor *grid, const ar_acts_scheme *s) {
    AR_TRY(ar_acts_scheme_check(s));
    AR_TRY(ar__op_check(op, "x", x, AR_F32, -1, -1));
    return ar__op_check(op, "grid", grid, AR_F32, s->range == AR_ACTS_TOKEN ? x->dims[0] : 1, 2);
}

/* One grid is bound whole, those of rows with the rows. */
static uint32_t split_of(const ar_tensor *grid, uint32_t rows) {
    return grid->dims[0] == 1 ? rows : rows | 1u << 1;
}

/* (N): what each row has of the scale's gradient, up to 1/s; of one grid for all rows (1) their sum. */
static ar_status pull(ar_graph *g, ar_tensor **D, const quant *c) {
    int64_t N = c->x->dims[0], I = c->x->dims[1];
    uint32_t group = ar__row_group(ar__graph_device(g)), p[2] = {0, (uint32_t)I};
    ar_tensor *rows = NULL;
    AR_TRY(ar_graph_temp(g, &rows, AR_F32, 2, (int64_t[]){N, 1}));
    ar__emit_desc d = {.kernel = AR_K_acts_pull,
                       .specs = {group, 1},
                       .params = p,
                       .operands = {{c->x, 0, 0}, {c->y, 0, 0}, {c->y->grad, 0, 0}, {rows, 0, 0}},
                       .flops = 3.0 * (double)(N * I),
                       .bytes = 12.0 * (double)(N * I)};
    AR_TRY(ar__emit_split(g, &d, &(ar__split){.units = N, .split = 15u, .items_per_unit = group}));
    *D = rows;
    if (c->grid->dims[0] == N) return AR_OK;
    AR_TRY(ar_graph_temp(g, D, AR_F32, 1, (int64_t[]){1}));
    return ar__emit_sum_rows(g, *D, rows, false);
}

static ar_status add_ends(ar_graph *g, ar_tensor *dx, const quant *c) {
    int64_t N = c->x->dims[0], I = c->x->dims[1];
    ar_tensor *D = NULL;
    AR_TRY(pull(g, &D, c));
    struct {
        uint32_t rows, I, each, asym;
        float steps;
    } p = {0, (uint32_t)I, c->grid->dims[0] > 1, c->asym, c->asym ? 2.0f * c->half - 1.0f : c->half - 0.5f};
    ar__emit_desc d = {.kernel = AR_K_acts_ends,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{c->x, 0, 0}, {c->ranges, 0, 0}, {c->grid, 0, 0}, {D, 0, 0}, {dx, 0, 0}},
                       .flops = 8.0 * (double)(N * I),
                       .bytes = 12.0 * (double)(N * I)};
    uint32_t each = p.each ? 1u << 1 | 1u << 2 | 1u << 3 : 0u;
    return ar__emit_split(
        g, &d, &(ar__split){.units = N, .split = 1u | each | 1u << 4, .items_per_unit = (uint32_t)I});
}

static ar_status backward(ar_graph *g, const void *ctx) {
    const quant *c = ctx;
    ar_tensor *dx = NULL;
    bool accumulate = false;
    if (!c->y->grad) return AR_OK;
    AR_TRY(ar__grad(g, &dx, &accumulate, c->x));
    if (!dx || c->x->dims[0] == 0) return AR_OK;
    int64_t N = c->x->dims[0], I = c->x->dims[1];
    struct {
        uint32_t rows, I, each, acc;
        float half, edge;
    } p = {0, (uint32_t)I, c->grid->dims[0] > 1, accumulate, c->half, c->edge};
    ar__emit_desc d = {.kernel = AR_K_acts_grad,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{c->x, 0, 0}, {c->grid, 0, 0}, {c->y->grad, 0, 0}, {dx, 0, 0}},
                       .flops = 20.0 * (double)(N * I),
                       .bytes = 16.0 * (double)(N * I)};
    AR_TRY(ar__emit_split(g, &d,
                          &(ar__split){.units = N,
                                       .split = split_of(c->grid, 1u | 1u << 2 | 1u << 3),
                                       .items_per_unit = (uint32_t)I}));
    return c->ranges ? add_ends(g, dx, c) : AR_OK;
}

static ar_status quantize(ar_graph *g, ar_tensor **y, ar_tensor *x, ar_tensor *grid, ar_tensor *ranges,
                          const ar_acts_scheme *s) {
    /* what made a range lies in it, but for a rounding */
    quant c = {.x = x,
               .grid = grid,
               .ranges = ranges,
               .half = half_of(s),
               .edge = s->range == AR_ACTS_STATIC ? 0.5f : 1.0f,
               .asym = s->asym};
    AR_TRY(check("acts_quant", x, grid, s));
    AR_TRY(ar__output(g, &c.y, AR_F32, 2, x->dims, x, NULL, NULL));
    int64_t N = x->dims[0], I = x->dims[1];
    struct {
        uint32_t rows, I, each;
        float half;
    } p = {0, (uint32_t)I, grid->dims[0] > 1, c.half};
    ar__emit_desc d = {.kernel = AR_K_acts_quant,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{x, 0, 0}, {grid, 0, 0}, {c.y, 0, 0}},
                       .flops = 20.0 * (double)(N * I),
                       .bytes = 8.0 * (double)(N * I)};
    AR_TRY(ar__emit_split(
        g, &d,
        &(ar__split){.units = N, .split = split_of(grid, 1u | 1u << 2), .items_per_unit = (uint32_t)I}));
    if (c.y->needs_grad) AR_TRY(ar__node(g, backward, &c, sizeof c));
    *y = c.y;
    return AR_OK;
}

ar_status ar_op_acts_quant(ar_graph *g, ar_tensor **y, ar_tensor *x, ar_tensor *grid,
                           const ar_acts_scheme *s) {
    return quantize(g, y, x, grid, NULL, s);
}

ar_status ar_op_acts_ranged(ar_graph *g, ar_tensor **y, ar_tensor *x, const ar_acts_scheme *s) {
    ar_tensor *grid = NULL, *ranges = NULL;
    AR_TRY(make_grid(g, &grid, &ranges, x, s));
    return quantize(g, y, x, grid, ranges, s);
}

ar_status ar_op_acts_codes(ar_graph *g, ar_tensor **codes, const ar_tensor *x, const ar_tensor *grid,
                           const ar_acts_scheme *s) {
    AR_TRY(check("acts_codes", x, grid, s));
    int64_t N = x->dims[0], I = x->dims[1], words = (I + 3) / 4;
    AR_TRY(ar__output(g, codes, AR_U32, 2, (int64_t[]){N, words}, NULL, NULL, NULL));
    struct {
        uint32_t rows, I, each;
        float half;
    } p = {0, (uint32_t)I, grid->dims[0] > 1, half_of(s)};
    ar__emit_desc d = {.kernel = AR_K_acts_codes,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{x, 0, 0}, {grid, 0, 0}, {*codes, 0, 0}},
                       .flops = 20.0 * (double)(N * I),
                       .bytes = 5.0 * (double)(N * I)};
    ar__split split = {.units = N, .split = split_of(grid, 1u | 1u << 2), .items_per_unit = (uint32_t)words};
    return ar__emit_split(g, &d, &split);
}
