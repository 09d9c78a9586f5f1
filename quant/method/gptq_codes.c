/* GPTQ's codes of one linear (Frantar et al., arXiv 2210.17323): inputs one after the other, the error of
 * each made up for by the weights of those still to come. Rows of a weight do not depend on each other, so a
 * few at a time go through all columns, in blocks whose later columns are updated together. */
#include "gptq.h"
#include "parallel.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK   128 /* columns */
#define ROWS    16
#define LANES   16 /* at most so many processors */
#define SAMPLED 4  /* of ROWS rows, at which errors are looked at */

/* ---- inputs ---- */

typedef struct ranked {
    float size;
    int32_t input;
} ranked;

static int by_falling_size(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->size != y->size) return x->size > y->size ? -1 : 1;
    return x->input < y->input ? -1 : 1;
}

static ar_status make_order(ar__gptq_inputs *in, const float *gram, bool by_size) {
    ranked *list = ar__alloc((size_t)in->I, sizeof *list);
    if (!list) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < in->I; i++) list[i] = (ranked){gram[i * in->I + i], (int32_t)i};
    if (by_size) qsort(list, (size_t)in->I, sizeof *list, by_falling_size);
    for (int64_t i = 0; i < in->I; i++) in->order[i] = list[i].input;
    free(list);
    return AR_OK;
}

static ar_status check_gram(const float *gram, int64_t I, const char *what) {
    for (int64_t i = 0; i < I * I; i++)
        if (!isfinite(gram[i]))
            return ar__fail(AR_ERR_FORMAT,
                            "%s: found inputs %lld and %lld with a product of %g, expected finite", what,
                            (long long)(i / I), (long long)(i % I), (double)gram[i]);
    return AR_OK;
}

ar_status ar__gptq_inputs_init(ar__gptq_inputs *in, const float *gram, int64_t I, int64_t rows,
                               const ar__gptq_desc *desc, const char *what) {
    double mean = 0.0, share = 2.0 / (double)rows;
    *in = (ar__gptq_inputs){.I = I};
    AR_TRY(check_gram(gram, I, what));
    in->root = ar__alloc((size_t)I, (size_t)I * sizeof *in->root);
    in->order = ar__alloc((size_t)I, sizeof *in->order);
    in->dead = ar__alloc((size_t)I, sizeof *in->dead);
    if (!in->root || !in->order || !in->dead) return AR_ERR_MEMORY;
    AR_TRY(make_order(in, gram, desc->by_size));
    for (int64_t i = 0; i < I; i++)
        for (int64_t j = 0; j < I; j++)
            in->root[i * I + j] = share * (double)gram[in->order[i] * I + in->order[j]];
    for (int64_t i = 0; i < I; i++) {
        double *at = &in->root[i * I + i];
        in->dead[in->order[i]] = !(*at > 0.0);
        if (!(*at > 0.0)) *at = 1.0;
        mean += *at / (double)I;
    }
    for (int64_t i = 0; i < I; i++) in->root[i * I + i] += desc->damp * mean;
    return ar__dense_inverse_root(in->root, I, desc->lapack, what);
}

void ar__gptq_inputs_deinit(ar__gptq_inputs *in) {
    free(in->root);
    free(in->order);
    free(in->dead);
    *in = (ar__gptq_inputs){0};
}

/* ---- grids ---- */

/* The values that a group's codes stand for: s (q - zp), or s q - m with zp = 0; s, m and values in f32. */
typedef struct grid {
    float s, zp, m, most;
    bool minimum;
} grid;

typedef struct codes {
    ar_qlinear *q;
    const float *W;
    const ar__gptq_inputs *in;
    ar__gptq_scales scales;
    int64_t G;
    double *w, *error; /* (ROWS, I) weights as they are moved; (ROWS, BLOCK) what moves them */
    grid *grids;       /* (ROWS, groups) */
    bool is_left;      /* w is what is left by codes that are there already: its error alone is wanted */
} codes;

static grid grid_of(const ar_qlinear *q, int64_t group) {
    grid t = {.most = (float)((1 << q->scheme.bits) - 1)};
    if (q->scheme.super != AR_SUPER_NONE) {
        int64_t super = group * q->scheme.group / AR_SUPER_BLOCK;
        t.s = ar_f16_to_f32(q->d[super]) * (float)q->sub_scales[group];
        t.minimum = q->dmin != NULL;
        if (t.minimum) t.m = ar_f16_to_f32(q->dmin[super]) * (float)q->sub_mins[group];
        if (!t.minimum) t.zp = (float)(1 << (q->scheme.bits - 1));
        return t;
    }
    t.s = ar_f16_to_f32(q->scales[group]);
    t.minimum = q->mins != NULL;
    if (t.minimum) t.m = -ar_f16_to_f32(q->mins[group]);
    if (!t.minimum) t.zp = (float)q->zeros[group];
    return t;
}

/* The scales of a group from the range of its weights. */
static void set_grid(ar_qlinear *q, int64_t group, float lo, float hi) {
    float s, zp;
    ar__group_grid(&s, &zp, &q->scheme, lo, hi);
    q->scales[group] = ar_f32_to_f16(s);
    q->zeros[group] = (uint8_t)zp;
    if (q->mins) q->mins[group] = ar_f32_to_f16(-zp * s);
}

static uint8_t code_of(const grid *t, double w) {
    double x = t->s != 0.0f ? (w + (double)t->m) / (double)t->s : 0.0;
    return (uint8_t)fmin(fmax(rint(x) + (double)t->zp, 0.0), (double)t->most);
}

static double value_of(const grid *t, uint8_t code) {
    return t->minimum ? (double)(t->s * (float)code - t->m) : (double)(t->s * ((float)code - t->zp));
}

/* ---- columns ---- */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static bool moves(const codes *c) { return c->scales == AR__GPTQ_MOVED; }

/* Scales from weights in their own order, `count` of them from input `from` on. */
static void range_grid(const codes *c, int64_t row, int64_t r, int64_t from, int64_t count) {
    float lo = 0.0f, hi = 0.0f;
    for (int64_t i = from; i < from + count; i++) {
        float w = moves(c) ? (float)c->w[r * c->in->I + i] : c->in->dead[i] ? 0.0f : c->W[row * c->in->I + i];
        lo = fminf(lo, w), hi = fmaxf(hi, w);
    }
    set_grid(c->q, row * c->q->groups + from / c->G, lo, hi);
}

static void load_row(const codes *c, int64_t row, int64_t r) {
    int64_t I = c->in->I, groups = c->q->groups;
    for (int64_t k = 0; k < I; k++) {
        int32_t i = c->in->order[k];
        c->w[r * I + k] = c->in->dead[i] ? 0.0 : (double)c->W[row * I + i];
    }
    for (int64_t j = 0; j < groups && !moves(c); j++) {
        if (c->scales == AR__GPTQ_RANGE) range_grid(c, row, r, j * c->G, least(c->G, I - j * c->G));
        c->grids[r * groups + j] = grid_of(c->q, row * groups + j);
    }
}

/* Columns [k0, k1) of one row: each code, and its error into the columns of this block behind it. */
static void quantize_block(const codes *c, int64_t row, int64_t r, int64_t k0, int64_t k1) {
    int64_t I = c->in->I, groups = c->q->groups;
    double *w = c->w + r * I, *error = c->error + r * BLOCK;
    for (int64_t k = k0; k < k1; k++) {
        int64_t i = c->in->order[k], group = i / c->G;
        const double *u = c->in->root + k * I;
        if (moves(c) && k % c->G == 0) {
            range_grid(c, row, r, k, least(c->G, I - k));
            c->grids[r * groups + group] = grid_of(c->q, row * groups + group);
        }
        if (!c->is_left) {
            const grid *t = &c->grids[r * groups + group];
            uint8_t code = code_of(t, w[k]);
            c->q->codes[row * I + i] = code;
            w[k] -= value_of(t, code);
        }
        error[k - k0] = w[k] / u[k];
        for (int64_t j = k + 1; j < k1; j++) w[j] -= error[k - k0] * u[j];
    }
}

/* Where the block that begins at k ends: a group's first column must have seen all errors before it, those
 * after it too that make its scales. */
static int64_t block_end(const codes *c, int64_t k) {
    int64_t I = c->in->I, end = k + BLOCK;
    if (moves(c) && c->G > BLOCK) end = least(end, (k / c->G + 1) * c->G);
    if (moves(c) && c->G <= BLOCK) end = k + BLOCK / c->G * c->G;
    return least(end, I);
}

/* `count` rows through all columns. The squares of their errors over the roots' diagonals are e H e^T of what
 * is left of a row in the end, e: returned is their sum. */
static double pass_columns(const codes *c, int64_t row, int64_t count) {
    int64_t I = c->in->I;
    double sum = 0.0;
    for (int64_t k = 0, end; k < I; k = end) {
        end = block_end(c, k);
        for (int64_t r = 0; r < count; r++) {
            quantize_block(c, row + r, r, k, end);
            for (int64_t j = 0; j < end - k; j++) sum += c->error[r * BLOCK + j] * c->error[r * BLOCK + j];
        }
        ar__dense_subtract(c->w + end, I, c->error, BLOCK, 1, c->in->root + k * I + end, I, count, I - end,
                           end - k);
    }
    return sum;
}

/* The same of rows rounded to nearest on the scales that they have now. */
static double pass_nearest(const codes *c, int64_t row, int64_t count) {
    codes left = *c;
    left.scales = AR__GPTQ_KEPT;
    left.is_left = true;
    for (int64_t r = 0; r < count; r++) {
        load_row(&left, row + r, r);
        for (int64_t k = 0; k < c->in->I; k++) {
            const grid *t = &c->grids[r * c->q->groups + c->in->order[k] / c->G];
            double *w = &c->w[r * c->in->I + k];
            *w -= value_of(t, code_of(t, *w));
        }
    }
    return pass_columns(&left, row, count);
}

/* ---- rows ---- */

/* Tiles of ROWS rows in lanes, each with memory of its own and every LANES-th tile; what tiles find is summed
 * in their order afterwards, so that the processors there are change nothing. */
typedef struct lanes {
    codes c; /* without its lane's memory */
    double *w, *error;
    grid *grids;
    double *errors; /* (tiles, 2), or NULL */
    int64_t count, tiles, every;
} lanes;

static void code_tile(const lanes *l, const codes *c, int64_t tile) {
    int64_t row = tile * ROWS, count = least(ROWS, c->q->O - row);
    for (int64_t r = 0; r < count; r++) load_row(c, row + r, r);
    double left = pass_columns(c, row, count);
    if (!l->errors || tile % l->every != 0) return;
    l->errors[2 * tile] = pass_nearest(c, row, count);
    l->errors[2 * tile + 1] = left;
}

static void code_lane(void *ctx, int64_t lane) {
    const lanes *l = ctx;
    codes c = l->c;
    c.w = l->w + lane * ROWS * c.in->I;
    c.error = l->error + lane * ROWS * BLOCK;
    c.grids = l->grids + lane * ROWS * c.q->groups;
    for (int64_t tile = lane; tile < l->tiles; tile += l->count) code_tile(l, &c, tile);
}

/* H holds twice the mean over positions. */
static void mean_errors(double errors[2], const lanes *l) {
    int64_t sampled = 0;
    errors[0] = errors[1] = 0.0;
    for (int64_t tile = 0; tile < l->tiles; tile += l->every) {
        sampled += least(ROWS, l->c.q->O - tile * ROWS);
        for (int32_t i = 0; i < 2; i++) errors[i] += l->errors[2 * tile + i];
    }
    for (int32_t i = 0; sampled > 0 && i < 2; i++) errors[i] /= 2.0 * (double)sampled;
}

ar_status ar__gptq_codes(ar_qlinear *q, double errors[2], const float *W, const ar__gptq_inputs *in,
                         ar__gptq_scales scales) {
    ar_status status = AR_OK;
    int64_t tiles = (q->O + ROWS - 1) / ROWS;
    lanes l = {
        .c = {.q = q, .W = W, .in = in, .scales = scales, .G = q->groups == 1 ? q->I : q->scheme.group},
        .count = least(LANES, tiles),
        .tiles = tiles,
        .every = (tiles + SAMPLED - 1) / SAMPLED};
    size_t rows = (size_t)l.count * ROWS;
    l.w = ar__alloc(rows, (size_t)in->I * sizeof *l.w);
    l.error = ar__alloc(rows, BLOCK * sizeof *l.error);
    l.grids = ar__alloc(rows, (size_t)q->groups * sizeof *l.grids);
    l.errors = errors ? ar__alloc((size_t)tiles, 2 * sizeof *l.errors) : NULL;
    if (!l.w || !l.error || !l.grids || (errors && !l.errors)) AR_GO(AR_ERR_MEMORY);
    ar__parallel(l.count, code_lane, &l);
    if (errors) mean_errors(errors, &l);
done:
    free(l.w);
    free(l.error);
    free(l.grids);
    free(l.errors);
    return status;
}
