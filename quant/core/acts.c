/* Quantized inputs of linears: how a scheme is written, grids on a device, the hook that puts them in front
 * of products. */
#include "ar_error.h"
#include "core.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- text ---- */

static const char *const ranges[] = {"token", "tensor", "static"}, *const kinds[] = {"sym", "asym"};

/* Index of the word [text, text + bytes) in a list; -1 = it is not in it. */
static int32_t word_in(const char *const *list, int32_t count, const char *text, size_t bytes) {
    for (int32_t i = 0; i < count; i++)
        if (strlen(list[i]) == bytes && memcmp(list[i], text, bytes) == 0) return i;
    return -1;
}

ar_status ar_acts_parse(ar_acts_scheme *s, const char *text) {
    char *at = NULL;
    long bits = strtol(text, &at, 10);
    bool good = at != text && (bits == 16 || (bits >= 2 && bits <= 8));
    *s = (ar_acts_scheme){.bits = bits == 16 ? 0 : (int32_t)bits};
    if (good && bits == 16 && !*at) return AR_OK;
    bool has_range = false, has_kind = false;
    while (good && *at == ':') {
        size_t n = strcspn(++at, ":");
        int32_t range = word_in(ranges, 3, at, n), kind = word_in(kinds, 2, at, n);
        good = s->bits > 0 && ((range >= 0 && !has_range && !has_kind) || (kind >= 0 && !has_kind));
        if (range >= 0) s->range = (ar_acts_range)range, has_range = true;
        if (kind >= 0) s->asym = kind == 1, has_kind = true;
        at += n;
    }
    if (good && !*at) return AR_OK;
    return ar__fail(AR_ERR_USAGE,
                    "activations: found '%s', expected 2 to 8 bits [:token|tensor|static][:sym|asym], or 16",
                    text);
}

void ar_acts_show(char text[AR_ACTS_TEXT], const ar_acts_scheme *s) {
    if (s->bits > 0)
        snprintf(text, AR_ACTS_TEXT, "%d:%s:%s", (int)s->bits, ranges[s->range], kinds[s->asym]);
    else
        snprintf(text, AR_ACTS_TEXT, "16");
}

/* ---- host memory ---- */

ar_status ar_acts_make_grids(ar_acts *a, int32_t block_count) {
    a->block_count = block_count;
    a->grids = ar__alloc((size_t)block_count + 1, sizeof *a->grids);
    return a->grids ? AR_OK : AR_ERR_MEMORY;
}

void ar_acts_deinit(ar_acts *a) {
    free(a->grids);
    *a = (ar_acts){0};
}

/* ---- on a device ---- */

static ar_status upload_bias(ar_tensor **t, const ar_block *block, int32_t i, ar_device *device) {
    int64_t O = block->linears[i].O;
    float *bias = ar__alloc((size_t)O, sizeof *bias);
    if (!bias) return AR_ERR_MEMORY;
    ar_status status = block->read_bias(block, bias, i);
    if (status == AR_OK) status = ar_tensor_create(t, device, AR_F32, 1, &O);
    if (status == AR_OK) status = ar_tensor_write(*t, bias, 0, O);
    free(bias);
    return status;
}

static ar_status upload_codes(ar_acts_block *d, const ar_block *block, int32_t i, ar_device *device) {
    ar_stored stored = {0};
    ar_status status = block->describe_linear(block, &stored, i);
    if (status == AR_OK) status = ar_int_weight_create(&d->codes[i], device, &stored.desc);
    ar_stored_deinit(&stored);
    AR_TRY(status);
    return block->linears[i].has_bias ? upload_bias(&d->biases[i], block, i, device) : AR_OK;
}

ar_status ar_acts_block_init(ar_acts_block *d, const ar_acts *a, const ar_block *block, const bool *skip,
                             ar_device *device) {
    ar_status status = AR_OK;
    bool is_static = a->scheme.range == AR_ACTS_STATIC;
    *d = (ar_acts_block){.scheme = a->scheme};
    for (int32_t i = 0; a->scheme.bits > 0 && i < block->linear_count; i++) {
        const float *grid = is_static ? a->grids[block->index][i] : NULL;
        d->skip[i] = (skip && skip[i]) || (is_static && !(grid[0] > 0.0f));
        if (d->skip[i]) continue;
        if (is_static) AR_GO(ar_tensor_create(&d->grids[i], device, AR_F32, 2, (const int64_t[]){1, 2}));
        if (is_static) AR_GO(ar_tensor_write(d->grids[i], grid, 0, 2));
        if (a->by_codes) AR_GO(upload_codes(d, block, i, device));
    }
done:
    if (status != AR_OK) ar_acts_block_deinit(d);
    return status;
}

void ar_acts_block_deinit(ar_acts_block *d) {
    for (int32_t i = 0; i < AR_MAX_LINEARS; i++) {
        ar_tensor_destroy(d->grids[i]);
        ar_tensor_destroy(d->biases[i]);
        ar_int_weight_destroy(d->codes[i]);
    }
    *d = (ar_acts_block){0};
}

static ar_status grid_of(const ar_acts_block *d, ar_graph *g, ar_tensor **grid, const ar_tensor *x,
                         int32_t i) {
    *grid = d->grids[i];
    return *grid ? AR_OK : ar_op_acts_grid(g, grid, x, &d->scheme);
}

ar_status ar_acts_record(const ar_acts_block *d, ar_graph *g, ar_tensor **x, int32_t i) {
    ar_tensor *grid = NULL, *y = NULL;
    if (!d || d->scheme.bits == 0 || d->skip[i]) return AR_OK;
    AR_TRY(grid_of(d, g, &grid, *x, i));
    AR_TRY(ar_op_acts_quant(g, &y, *x, grid, &d->scheme));
    *x = y;
    return AR_OK;
}

static ar_status quantized_linear(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    const ar_acts_hook *h = ctx;
    const ar_acts_block *d = h->d;
    ar_tensor *grid = NULL, *codes = NULL;
    if (d->skip[i]) return ar_hook_linear(h->hook.base, g, y, i, x);
    if (h->write) AR_TRY(h->write(h->write_ctx, g, &x));
    if (!d->codes[i]) {
        AR_TRY(ar_acts_record(d, g, &x, i));
        return ar_hook_linear(h->hook.base, g, y, i, x);
    }
    AR_TRY(grid_of(d, g, &grid, x, i));
    AR_TRY(ar_op_acts_codes(g, &codes, x, grid, &d->scheme));
    return ar_op_linear_int(g, y, codes, grid, d->codes[i], d->biases[i]);
}

const ar_hook *ar_acts_hook_init(ar_acts_hook *h, const ar_acts_block *d, const ar_hook *base) {
    *h = (ar_acts_hook){.d = d};
    h->hook = (ar_hook){.linear = quantized_linear, .ctx = h, .base = base};
    return d && d->scheme.bits > 0 ? &h->hook : base;
}
