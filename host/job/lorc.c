/* The adapter of what a quantization leaves over; see lorc.h. */
#include "lorc.h"
#include "ar_error.h"
#include "factors.h"
#include "place.h"
#include <stdlib.h>
#include <string.h>

/* Sums of squares over all linears: of what was left over, and of what is still. */
typedef struct left {
    double before, after;
} left;

/* sums grow by those of E and of E - up down. */
static void add_left(left *sums, const float *E, const ar__adapter_part *p, int64_t O, int64_t I) {
    for (int64_t o = 0; o < O; o++)
        for (int64_t i = 0; i < I; i++) {
            double e = (double)E[o * I + i], rest = e;
            for (int64_t k = 0; k < p->rank; k++)
                rest -= (double)p->up[o * p->rank + k] * (double)p->down[k * I + i];
            sums->before += e * e;
            sums->after += rest * rest;
        }
}

static ar_status make_part(ar_adapter *a, left *sums, const ar_block *block, int32_t i, const ar_qlinear *q,
                           const ar__lorc_desc *desc) {
    ar_status status = AR_OK;
    int64_t elems = q->O * q->I;
    float *W = ar__alloc((size_t)elems, 2 * sizeof *W), *dense = W ? W + elems : NULL;
    if (!W) return AR_ERR_MEMORY;
    AR_GO(block->read_linear(block, W, i, 0, q->O));
    ar_qlinear_dequant(dense, q);
    for (int64_t k = 0; k < elems; k++) W[k] -= dense[k];
    AR_GO(ar__adapter_add(a, block, i, desc->rank));
    ar__adapter_part *p = &a->parts[block->index][i];
    AR_GO(ar_low_rank(p->up, p->down, W, q->O, q->I, desc->rank));
    AR_GO(ar__adapter_round(p, q->O, q->I, desc->bits, block->linears[i].name));
    add_left(sums, W, p, q->O, q->I);
done:
    free(W);
    return status;
}

static ar_status make(ar_adapter *a, left *sums, const ar_write_source *src, const ar__lorc_desc *desc,
                      const ar_observer *o) {
    const ar_model *m = &src->model->model;
    for (int32_t b = 0; b < m->block_count; b++) {
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++) {
            ar_qlinear *q = NULL;
            if (o && o->cancelled && o->cancelled(o->ctx))
                return ar__fail(AR_ERR_INTERRUPTED, "interrupted in block %d's factors", (int)b);
            AR_TRY(src->linear(src->ctx, &q, b, i));
            ar_status status = q ? make_part(a, sums, &m->blocks[b], i, q, desc) : AR_OK;
            ar_qlinear_free(q);
            AR_TRY(status);
        }
        if (o && o->progress)
            o->progress(o->ctx, &(ar_progress_event){
                                    .stage = "factors", .block = b + 1, .block_count = m->block_count});
    }
    return AR_OK;
}

static bool is_tensors(const char *path) { return ar__path_ends(path, ".safetensors"); }

ar_status ar__lorc_accepts(const char *path, int32_t bits) {
    if (bits == 16 || is_tensors(path)) return AR_OK;
    return ar__fail(
        AR_ERR_USAGE,
        "%s: found 8-bit factors, expected 16 bits in a GGUF adapter, whose blocks of 32 codes do "
        "not divide rows of a rank, or the name of a .safetensors file",
        path);
}

ar_status ar__lorc_fits(const ar_model *m, int32_t rank) {
    int64_t most = 0;
    for (int32_t b = 0; b < m->block_count; b++)
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++) {
            const ar_linear *l = &m->blocks[b].linears[i];
            int64_t side = l->O < l->I ? l->O : l->I;
            if (side > most) most = side;
        }
    if (rank <= most) return AR_OK;
    return ar__fail(AR_ERR_USAGE, "rank: found %d, expected at most %lld, beyond which there is nothing left",
                    (int)rank, (long long)most);
}

static ar_status write_file(const char *path, const ar_adapter *a, const ar_write_source *src,
                            const ar__lorc_desc *desc) {
    if (is_tensors(path)) return ar__factors_write(path, a, &src->model->model, desc->bits);
    AR_TRY(ar__lorc_accepts(path, desc->bits));
    return ar_adapter_write(path, a, src->model);
}

ar_status ar__lorc_write(const char *path, double *share, const ar_write_source *src,
                         const ar__lorc_desc *desc, const ar_observer *observer) {
    ar_status status = AR_OK;
    ar_adapter *a = NULL, *back = NULL;
    left sums = {0};
    AR_GO(ar__adapter_create(&a, src->model->model.block_count));
    AR_GO(make(a, &sums, src, desc, observer));
    if (ar__adapter_count(a) == 0)
        AR_GO(ar__fail(AR_ERR_USAGE, "%s: found no quantized linear, expected some to correct", path));
    AR_GO(write_file(path, a, src, desc));
    AR_GO(ar_adapter_open(&back, path, src->model));
    if (!ar__adapter_equal(a, back, &src->model->model))
        AR_GO(ar__fail(AR_ERR_CHECK, "%s: found other factors than were written", path));
    *share = sums.before > 0.0 ? sums.after / sums.before : 0.0;
done:
    ar_adapter_close(a);
    ar_adapter_close(back);
    return status;
}
