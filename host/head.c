/* The final norm and the head of a model on the device; see head.h. */
#include "head.h"
#include "ar_error.h"
#include <stdlib.h>

#define UPLOAD_BYTES ((int64_t)16 << 20) /* host scratch while the head is converted */

ar_status ar__head_init(ar_head *h, const ar_model *m, ar_device *device) {
    ar_status status = AR_OK;
    int64_t piece = UPLOAD_BYTES / (m->hidden * 4);
    if (piece < 1) piece = 1;
    if (piece > m->vocab) piece = m->vocab;
    *h = (ar_head){.kind = m->final_norm};
    float *scratch = ar__alloc((size_t)piece, (size_t)m->hidden * sizeof *scratch);
    if (!scratch) return AR_ERR_MEMORY;
    AR_GO(ar_tensor_create(&h->norm, device, AR_F32, 1, &m->hidden));
    AR_GO(m->read_final_norm(m, scratch));
    AR_GO(ar_tensor_write(h->norm, scratch, 0, m->hidden));
    if (m->final_norm.has_bias) {
        AR_GO(ar_tensor_create(&h->norm_bias, device, AR_F32, 1, &m->hidden));
        AR_GO(m->read_final_norm_bias(m, scratch));
        AR_GO(ar_tensor_write(h->norm_bias, scratch, 0, m->hidden));
    }
    AR_GO(ar_tensor_create(&h->W, device, AR_F32, 2, (const int64_t[]){m->vocab, m->hidden}));
    for (int64_t row = 0; row < m->vocab; row += piece) {
        int64_t n = m->vocab - row < piece ? m->vocab - row : piece;
        AR_GO(m->read_head(m, scratch, row, n));
        AR_GO(ar_tensor_write(h->W, scratch, row * m->hidden, n * m->hidden));
    }
done:
    free(scratch);
    if (status != AR_OK) ar__head_deinit(h);
    return status;
}

void ar__head_deinit(ar_head *h) {
    ar_tensor_destroy(h->norm);
    ar_tensor_destroy(h->norm_bias);
    ar_tensor_destroy(h->W);
    *h = (ar_head){0};
}

ar_status ar__head_record(const ar_head *h, ar_graph *g, ar_tensor **logits, ar_tensor *x) {
    ar_tensor *n = NULL;
    AR_TRY(ar_norm_record(&h->kind, g, &n, x, h->norm, h->norm_bias));
    return ar_op_linear(g, logits, n, h->W, NULL);
}
