/* What follows the last block: the final norm, the head and its soft cap. Evaluation and generation record it
 * with the head as it is stored, training with f32 rows, which have a gradient. */
#include "ar_error.h"
#include "ar_quant.h"
#include <stdlib.h>

#define UPLOAD_BYTES ((int64_t)16 << 20) /* host scratch while rows are converted */

static ar_status upload_norm(ar_head *h, const ar_model *m, ar_device *device) {
    ar_status status;
    float *values = ar__alloc((size_t)m->hidden, sizeof *values);
    if (!values) return AR_ERR_MEMORY;
    AR_GO(ar_tensor_create(&h->norm, device, AR_F32, 1, &m->hidden));
    AR_GO(m->read_final_norm(m, values));
    AR_GO(ar_tensor_write(h->norm, values, 0, m->hidden));
    if (!m->final_norm.has_bias) goto done;
    AR_GO(ar_tensor_create(&h->norm_bias, device, AR_F32, 1, &m->hidden));
    AR_GO(m->read_final_norm_bias(m, values));
    AR_GO(ar_tensor_write(h->norm_bias, values, 0, m->hidden));
done:
    free(values);
    return status;
}

static ar_status upload_rows(ar_tensor **t, const ar_model *m, ar_device *device) {
    ar_status status;
    int64_t rows = UPLOAD_BYTES / (m->hidden * 4);
    if (rows < 1) rows = 1;
    if (rows > m->vocab) rows = m->vocab;
    float *scratch = ar__alloc((size_t)rows, (size_t)m->hidden * sizeof *scratch);
    if (!scratch) return AR_ERR_MEMORY;
    AR_GO(ar_tensor_create(t, device, AR_F32, 2, (const int64_t[]){m->vocab, m->hidden}));
    for (int64_t row = 0; row < m->vocab; row += rows) {
        int64_t n = m->vocab - row < rows ? m->vocab - row : rows;
        AR_GO(m->read_head(m, scratch, row, n));
        AR_GO(ar_tensor_write(*t, scratch, row * m->hidden, n * m->hidden));
    }
done:
    free(scratch);
    return status;
}

ar_status ar_head_init(ar_head *h, const ar_model *m, ar_device *device) {
    ar_status status;
    *h = (ar_head){.kind = m->final_norm, .cap = m->logit_cap};
    AR_GO(upload_norm(h, m, device));
    AR_GO(upload_rows(&h->rows, m, device));
done:
    if (status != AR_OK) ar_head_deinit(h);
    return status;
}

ar_status ar_head_init_stored(ar_head *h, const ar_model *m, ar_device *device) {
    ar_status status;
    ar_stored stored = {0};
    *h = (ar_head){.kind = m->final_norm, .cap = m->logit_cap};
    AR_GO(upload_norm(h, m, device));
    AR_GO(m->describe_head(m, &stored));
    AR_GO(ar_resident_weight_create(&h->resident, device, &stored.desc, 1, false));
done:
    ar_stored_deinit(&stored);
    if (status != AR_OK) ar_head_deinit(h);
    return status;
}

void ar_head_deinit(ar_head *h) {
    ar_tensor_destroy(h->norm);
    ar_tensor_destroy(h->norm_bias);
    ar_tensor_destroy(h->rows);
    ar_resident_weight_destroy(h->resident);
    *h = (ar_head){0};
}

ar_status ar_head_record(const ar_head *h, ar_graph *g, ar_tensor **logits, ar_tensor *x) {
    ar_resident_weight_fuse fuse = {.norm = h->norm, .norm_eps = h->kind.eps, .bytes = h->bytes};
    ar_tensor *z;
    if (!h->resident || h->kind.kind != AR_NORM_RMS || h->kind.has_bias) {
        AR_TRY(ar_norm_record(&h->kind, g, &x, x, h->norm, h->norm_bias));
        fuse = (ar_resident_weight_fuse){.bytes = h->bytes};
    }
    if (h->resident)
        AR_TRY(ar_op_linear_resident(g, &z, x, h->resident, &fuse));
    else
        AR_TRY(ar_op_linear(g, &z, x, h->rows, NULL));
    return ar_op_soft_cap(g, logits, z, h->cap);
}
