/* Adapters in memory and on the device; see adapter.h. */
#include "adapter.h"
#include "ar_error.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

ar_status ar__adapter_create(ar_adapter **a, int32_t block_count) {
    *a = ar__alloc(1, sizeof **a);
    if (!*a) return AR_ERR_MEMORY;
    (*a)->block_count = block_count;
    (*a)->parts = ar__alloc((size_t)block_count, sizeof *(*a)->parts);
    if ((*a)->parts) return AR_OK;
    ar_adapter_close(*a);
    *a = NULL;
    return AR_ERR_MEMORY;
}

void ar_adapter_close(ar_adapter *a) {
    if (!a) return;
    for (int32_t b = 0; a->parts && b < a->block_count; b++)
        for (int32_t i = 0; i < AR_MAX_LINEARS; i++) {
            free(a->parts[b][i].down);
            free(a->parts[b][i].up);
        }
    free(a->parts);
    free(a);
}

ar_status ar__adapter_add(ar_adapter *a, const ar_block *block, int32_t i, int64_t rank) {
    ar__adapter_part *p = &a->parts[block->index][i];
    if (p->rank > 0)
        return ar__fail(AR_ERR_ARG, "adapter: %s.%s: found a second part", block->name,
                        block->linears[i].name);
    p->down = ar__alloc((size_t)rank, (size_t)block->linears[i].I * sizeof *p->down);
    p->up = ar__alloc((size_t)rank, (size_t)block->linears[i].O * sizeof *p->up);
    if (!p->down || !p->up) return AR_ERR_MEMORY;
    p->rank = rank;
    return AR_OK;
}

int64_t ar__adapter_count(const ar_adapter *a) {
    int64_t count = 0;
    for (int32_t b = 0; b < a->block_count; b++)
        for (int32_t i = 0; i < AR_MAX_LINEARS; i++) count += a->parts[b][i].rank > 0;
    return count;
}

bool ar__adapter_equal(const ar_adapter *a, const ar_adapter *b, const ar_model *m) {
    if (a->block_count != b->block_count) return false;
    for (int32_t k = 0; k < a->block_count; k++)
        for (int32_t i = 0; i < m->blocks[k].linear_count; i++) {
            const ar__adapter_part *x = &a->parts[k][i], *y = &b->parts[k][i];
            const ar_linear *lin = &m->blocks[k].linears[i];
            size_t each = (size_t)x->rank * sizeof *x->up;
            if (x->rank != y->rank) return false;
            if (x->rank > 0 && (memcmp(x->down, y->down, each * (size_t)lin->I) != 0 ||
                                memcmp(x->up, y->up, each * (size_t)lin->O) != 0))
                return false;
        }
    return true;
}

/* ---- as they are stored ---- */

float ar__factor_scale(const float *x, int64_t count, int64_t step) {
    float most = 0.0f;
    for (int64_t i = 0; i < count; i++) most = fmaxf(most, fabsf(x[i * step]));
    return fmaxf(ar_f16_to_f32(ar_f32_to_f16(most / 127.0f)), 0x1p-14f);
}

int8_t ar__factor_code(float x, float scale) {
    return (int8_t)fmin(fmax(rint((double)x / (double)scale), -127.0), 127.0);
}

static bool round_vector(float *x, int64_t count, int64_t step, int32_t bits) {
    bool holds = true;
    float scale = bits == 8 ? ar__factor_scale(x, count, step) : 0.0f;
    for (int64_t i = 0; i < count; i++) {
        float *at = &x[i * step];
        *at = bits == 8 ? (float)ar__factor_code(*at, scale) * scale : ar_f16_to_f32(ar_f32_to_f16(*at));
        holds = holds && isfinite(*at);
    }
    return holds;
}

ar_status ar__adapter_round(ar__adapter_part *p, int64_t O, int64_t I, int32_t bits, const char *what) {
    bool holds = true;
    for (int64_t k = 0; k < p->rank; k++) {
        holds = round_vector(p->down + k * I, I, 1, bits) && holds;
        holds = round_vector(p->up + k, O, p->rank, bits) && holds;
    }
    if (holds) return AR_OK;
    return ar__fail(AR_ERR_UNSUPPORTED, "%s: found a factor beyond what %d bits with fp16 hold", what,
                    (int)bits);
}

/* ---- on the device ---- */

static ar_status upload(ar_tensor **t, ar_device *device, const float *values, int64_t rows,
                        int64_t columns) {
    AR_TRY(ar_tensor_create(t, device, AR_F32, 2, (const int64_t[]){rows, columns}));
    return ar_tensor_write(*t, values, 0, rows * columns);
}

ar_status ar__adapter_upload(ar__adapter_block *d, const ar_adapter *a, const ar_block *block,
                             ar_device *device) {
    ar_status status = AR_OK;
    *d = (ar__adapter_block){0};
    for (int32_t i = 0; a && i < block->linear_count; i++) {
        const ar__adapter_part *p = &a->parts[block->index][i];
        if (p->rank == 0) continue;
        AR_GO(upload(&d->down[i], device, p->down, p->rank, block->linears[i].I));
        AR_GO(upload(&d->up[i], device, p->up, block->linears[i].O, p->rank));
    }
done:
    if (status != AR_OK) ar__adapter_drop(d);
    return status;
}

void ar__adapter_drop(ar__adapter_block *d) {
    for (int32_t i = 0; i < AR_MAX_LINEARS; i++) {
        ar_tensor_destroy(d->down[i]);
        ar_tensor_destroy(d->up[i]);
    }
    *d = (ar__adapter_block){0};
}

static ar_status add_part(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    const ar__adapter_hook *h = ctx;
    ar_tensor *plain = NULL, *small = NULL, *part = NULL;
    if (!h->d->down[i]) return ar_hook_linear(h->hook.base, g, y, i, x);
    AR_TRY(ar_hook_linear(h->hook.base, g, &plain, i, x));
    if (h->write) AR_TRY(h->write(h->write_ctx, g, &x));
    if (h->write) AR_TRY(h->write(h->write_ctx, g, &plain));
    AR_TRY(ar_op_linear(g, &small, x, h->d->down[i], NULL));
    AR_TRY(ar_op_linear(g, &part, small, h->d->up[i], NULL));
    return ar_op_add(g, y, plain, part);
}

void ar__adapter_hook_init(ar__adapter_hook *h, const ar__adapter_block *d, const ar_hook *base) {
    *h = (ar__adapter_hook){.d = d};
    h->hook = (ar_hook){.linear = add_part, .ctx = h, .base = base};
}
