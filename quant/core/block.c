/* Blocks on the device and chains of activations between them. Owns upload, the float hook and the walk of a
 * chain through one block; knows no method. */
#include "ar_error.h"
#include "core.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define UPLOAD_BYTES ((int64_t)16 << 20) /* host scratch while a weight is converted */

/* ---- weights ---- */

ar_status ar_norm_record(const ar_norm *norm, ar_graph *g, ar_tensor **y, ar_tensor *x, ar_tensor *w,
                         ar_tensor *bias) {
    return norm->kind == AR_NORM_LAYER ? ar_op_layer_norm(g, y, x, w, bias, norm->eps)
                                       : ar_op_rms_norm(g, y, x, w, norm->eps);
}

static ar_status hook_linear(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    const ar_block_weights *w = ctx;
    if (w->resident[i])
        return ar_op_linear_resident(g, y, x, w->resident[i],
                                     &(ar_resident_weight_fuse){.bias = w->biases[i], .bytes = w->bytes});
    return ar_op_linear(g, y, x, w->linears[i], w->biases[i]);
}

static ar_status hook_norm(void *ctx, ar_graph *g, ar_tensor **y, int32_t j, ar_tensor *x) {
    const ar_block_weights *w = ctx;
    return ar_norm_record(&w->block->norms[j], g, y, x, w->norms[j], w->norm_biases[j]);
}

void ar__weight_name(char out[AR__WEIGHT_NAME], const ar_block *block, int32_t i) {
    snprintf(out, AR__WEIGHT_NAME, "%s.%s.weight", block->name, block->linears[i].name);
}

/* One weight, converted and written a few rows at a time; checked for what is not finite, and for what
 * scheme (may be NULL) does not hold. */
static ar_status upload_linear(ar_tensor **t, const ar_block *block, int32_t i, ar_device *device,
                               const ar_scheme *scheme) {
    const ar_linear *lin = &block->linears[i];
    int64_t rows = UPLOAD_BYTES / (lin->I * 4);
    if (rows < 1) rows = 1;
    if (rows > lin->O) rows = lin->O;
    ar_status status = AR_OK;
    char name[AR__WEIGHT_NAME];
    float *scratch = ar__alloc((size_t)rows, (size_t)lin->I * 4);
    if (!scratch) return AR_ERR_MEMORY;
    ar__weight_name(name, block, i);
    AR_GO(ar_tensor_create(t, device, AR_F32, 2, (const int64_t[]){lin->O, lin->I}));
    for (int64_t row = 0; row < lin->O; row += rows) {
        int64_t n = lin->O - row < rows ? lin->O - row : rows;
        AR_GO(block->read_linear(block, scratch, i, row, n));
        AR_GO(ar_quant_check_weights(name, scratch, scheme, row, n, lin->I));
        AR_GO(ar_tensor_write(*t, scratch, row * lin->I, n * lin->I));
    }
done:
    free(scratch);
    return status;
}

static ar_status upload_stored(ar_resident_weight **t, const ar_block *block, int32_t i, ar_device *device) {
    ar_stored stored = {0};
    ar_status status = block->describe_linear(block, &stored, i);
    if (status == AR_OK) status = ar_resident_weight_create(t, device, &stored.desc, 1, false);
    ar_stored_deinit(&stored);
    return status;
}

/* A bias, or a norm's weight or bias: what `read` gives for i. */
static ar_status upload_vector(ar_tensor **t, const ar_block *block,
                               ar_status (*read)(const ar_block *b, float *dst, int32_t i), int32_t i,
                               int64_t count, ar_device *device) {
    ar_status status = AR_OK;
    float *scratch = ar__alloc((size_t)count, 4);
    if (!scratch) return AR_ERR_MEMORY;
    AR_GO(read(block, scratch, i));
    AR_GO(ar_tensor_create(t, device, AR_F32, 1, &count));
    AR_GO(ar_tensor_write(*t, scratch, 0, count));
done:
    free(scratch);
    return status;
}

ar_status ar_block_upload_norms(ar_tensor **norms, ar_tensor **biases, const ar_block *block,
                                ar_device *device) {
    for (int32_t j = 0; j < block->norm_count; j++) {
        const ar_norm *norm = &block->norms[j];
        AR_TRY(upload_vector(&norms[j], block, block->read_norm, j, norm->I, device));
        if (norm->has_bias)
            AR_TRY(upload_vector(&biases[j], block, block->read_norm_bias, j, norm->I, device));
    }
    return AR_OK;
}

/* The linears with !skip[i] are checked under schemes[i]; NULL = none is. */
static ar_status init_weights(ar_block_weights *w, const ar_block *block, ar_device *device, bool as_stored,
                              const bool *skip, const ar_scheme *schemes) {
    ar_status status = AR_OK;
    memset(w, 0, sizeof *w);
    w->block = block;
    for (int32_t i = 0; i < block->linear_count; i++) {
        AR_GO(as_stored
                  ? upload_stored(&w->resident[i], block, i, device)
                  : upload_linear(&w->linears[i], block, i, device, skip && !skip[i] ? &schemes[i] : NULL));
        if (block->linears[i].has_bias)
            AR_GO(upload_vector(&w->biases[i], block, block->read_bias, i, block->linears[i].O, device));
    }
    AR_GO(ar_block_upload_norms(w->norms, w->norm_biases, block, device));
    w->hook = (ar_hook){.linear = hook_linear, .norm = hook_norm, .ctx = w};
done:
    if (status != AR_OK) ar_block_weights_deinit(w);
    return status;
}

ar_status ar_block_weights_init(ar_block_weights *w, const ar_block *block, ar_device *device) {
    return init_weights(w, block, device, false, NULL, NULL);
}

ar_status ar__block_weights_init_checked(ar_block_weights *w, const ar_block *block, ar_device *device,
                                         const bool *skip, const ar_scheme *schemes) {
    return init_weights(w, block, device, false, skip, schemes);
}

ar_status ar_block_weights_init_stored(ar_block_weights *w, const ar_block *block, ar_device *device) {
    return init_weights(w, block, device, true, NULL, NULL);
}

void ar_block_weights_deinit(ar_block_weights *w) {
    for (int32_t i = 0; i < AR_MAX_LINEARS; i++) {
        ar_resident_weight_destroy(w->resident[i]);
        ar_tensor_destroy(w->linears[i]);
        ar_tensor_destroy(w->biases[i]);
    }
    for (int32_t j = 0; j < AR_MAX_NORMS; j++) {
        ar_tensor_destroy(w->norms[j]);
        ar_tensor_destroy(w->norm_biases[j]);
    }
    memset(w, 0, sizeof *w);
}

/* ---- chains ---- */

ar_status ar_chain_init(ar_chain *c, int64_t rows, int64_t width, const char *spill_dir,
                        uint64_t spill_above_bytes) {
    *c = (ar_chain){.rows = rows, .width = width, .fd = -1};
    uint64_t limit = spill_above_bytes ? spill_above_bytes : (uint64_t)4 << 30;
    size_t bytes = (size_t)rows * (size_t)width * 4;
    if (!spill_dir || bytes <= limit) {
        c->data = ar__alloc((size_t)rows, (size_t)width * 4);
        return c->data ? AR_OK : AR_ERR_MEMORY;
    }
    char path[4096];
    if (snprintf(path, sizeof path, "%s/chain-XXXXXX", spill_dir) >= (int)sizeof path)
        return ar__fail(AR_ERR_IO, "%s: path too long for an activation file", spill_dir);
    c->fd = mkstemp(path);
    if (c->fd < 0) return ar__fail(AR_ERR_IO, "%s: cannot create an activation file", path);
    unlink(path);
    if (posix_fallocate(c->fd, 0, (off_t)bytes) == 0) {
        void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
        if (p != MAP_FAILED) c->data = p;
    }
    if (c->data) return AR_OK;
    close(c->fd);
    c->fd = -1;
    return ar__fail(AR_ERR_IO, "%s: no room for %zu bytes of activations", spill_dir, bytes);
}

void ar_chain_deinit(ar_chain *c) {
    if (c->fd >= 0 && c->data) {
        munmap(c->data, (size_t)c->rows * (size_t)c->width * 4);
        close(c->fd);
    } else {
        free(c->data);
    }
    *c = (ar_chain){.fd = -1};
}

ar_status ar_model_embed(const ar_model *m, float *dst, const int32_t *ids, int64_t count, int64_t pos) {
    ar_status status = AR_OK;
    float *row = NULL;
    if (pos < 0 || (m->read_positions && count > m->max_tokens - pos))
        return ar__fail(AR_ERR_ARG, "positions %lld to %lld: expected 0..%d", (long long)pos,
                        (long long)(pos + count - 1), (int)m->max_tokens - 1);
    if (m->read_positions && !(row = ar__alloc((size_t)m->hidden, sizeof *row))) return AR_ERR_MEMORY;
    for (int64_t r = 0; r < count; r++) {
        if (ids[r] < 0 || ids[r] >= m->vocab)
            AR_GO(
                ar__fail(AR_ERR_ARG, "token id %d: expected 0..%lld", (int)ids[r], (long long)m->vocab - 1));
        AR_GO(m->read_embedding(m, dst + r * m->hidden, ids[r], 1));
        if (!row) continue;
        AR_GO(m->read_positions(m, row, pos + r, 1));
        for (int64_t i = 0; i < m->hidden; i++) dst[r * m->hidden + i] += row[i];
    }
done:
    free(row);
    return status;
}

ar_status ar_chain_embed(ar_chain *c, const ar_model *m, const ar_samples *s) {
    for (int64_t r = 0; r < c->rows; r += s->T)
        AR_TRY(ar_model_embed(m, c->data + r * c->width, s->ids + r, s->T, 0));
    return ar__chain_check(c, "embedding");
}

ar_status ar__zeros(ar_tensor **t, ar_device *device, ar_dtype dtype, int32_t dims, const int64_t *dim) {
    AR_TRY(ar_tensor_create(t, device, dtype, dims, dim));
    void *zeros = ar__alloc((size_t)ar_tensor_count(*t), ar_dtype_bytes(dtype));
    if (!zeros) return AR_ERR_MEMORY;
    ar_status status = ar_tensor_write(*t, zeros, 0, ar_tensor_count(*t));
    free(zeros);
    return status;
}

ar_status ar__record_sum(ar_graph *g, ar_tensor *sum, ar_tensor *part) {
    ar_tensor *total = NULL;
    AR_TRY(ar_op_add(g, &total, sum, part));
    return ar_op_copy(g, sum, total);
}

/* A recorded forward of one block over `batch` samples, with its input and output on the device. */
typedef struct forward_pass {
    ar_graph *graph;
    ar_tensor *x, *y;
} forward_pass;

static void forward_pass_deinit(forward_pass *p) {
    ar_graph_destroy(p->graph);
    ar_tensor_destroy(p->x);
    *p = (forward_pass){0};
}

static ar_status forward_pass_init(forward_pass *p, ar_device *device, const ar_block *block,
                                   const ar_hook *hook, int32_t T, int32_t batch) {
    ar_status status = AR_OK;
    *p = (forward_pass){0};
    AR_GO(ar_tensor_create(&p->x, device, AR_F32, 2, (const int64_t[]){(int64_t)batch * T, block->hidden}));
    AR_GO(ar_graph_create(&p->graph, device));
    AR_GO(block->forward(block, p->graph, &p->y, p->x, T, hook));
    ar_graph_keep(p->graph, p->y);
    AR_GO(ar_graph_build(p->graph));
done:
    if (status != AR_OK) forward_pass_deinit(p);
    return status;
}

/* A smaller batch. One that the samples fill stays one: what looks on would count a last one's old rows
 * again. */
static int64_t smaller_batch(int64_t batch, int64_t samples) {
    int64_t smaller = batch / 2;
    while (samples % batch == 0 && samples % smaller != 0) smaller--;
    return smaller;
}

ar_status ar_chain_forward(ar_chain *out, const ar_chain *in, ar_device *device, const ar_block *block,
                           const ar_hook *hook, int32_t T, int32_t batch) {
    ar_status status = AR_OK;
    forward_pass pass = {0};
    int64_t samples = in->rows / T, step = batch < samples ? batch : samples;
    if (samples < 1) return AR_OK;
    for (;; step = smaller_batch(step, samples)) { /* where the budget is small: rows do not depend on it */
        status = forward_pass_init(&pass, device, block, hook, T, (int32_t)step);
        if (status != AR_ERR_DEVICE_MEMORY || step == 1) break;
    }
    if (status != AR_OK) return status;
    for (int64_t s = 0; s < samples; s += step) {
        int64_t n = (samples - s < step ? samples - s : step) * T * block->hidden;
        AR_GO(ar_tensor_write(pass.x, in->data + s * T * block->hidden, 0, n));
        AR_GO(ar_graph_run(pass.graph));
        AR_GO(ar_tensor_read(pass.y, out->data + s * T * block->hidden, 0, n));
    }
    status = ar__chain_check(out, block->name);
done:
    forward_pass_deinit(&pass);
    return status;
}
