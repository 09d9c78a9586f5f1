/* The final norm and the head of a model on the device; see head.h. */
#include "head.h"
#include "ar_error.h"
#include <stdlib.h>

ar_status ar__head_init(ar_head *h, const ar_model *m, ar_device *device) {
    ar_status status = AR_OK;
    ar_stored stored = {0};
    *h = (ar_head){.kind = m->final_norm};
    float *values = ar__alloc((size_t)m->hidden, sizeof *values);
    if (!values) return AR_ERR_MEMORY;
    AR_GO(ar_tensor_create(&h->norm, device, AR_F32, 1, &m->hidden));
    AR_GO(m->read_final_norm(m, values));
    AR_GO(ar_tensor_write(h->norm, values, 0, m->hidden));
    if (m->final_norm.has_bias) {
        AR_GO(ar_tensor_create(&h->norm_bias, device, AR_F32, 1, &m->hidden));
        AR_GO(m->read_final_norm_bias(m, values));
        AR_GO(ar_tensor_write(h->norm_bias, values, 0, m->hidden));
    }
    AR_GO(m->describe_head(m, &stored));
    AR_GO(ar_packed_create(&h->W, device, &stored.desc, 1, false));
done:
    free(values);
    ar_stored_deinit(&stored);
    if (status != AR_OK) ar__head_deinit(h);
    return status;
}

void ar__head_deinit(ar_head *h) {
    ar_tensor_destroy(h->norm);
    ar_tensor_destroy(h->norm_bias);
    ar_packed_destroy(h->W);
    *h = (ar_head){0};
}

ar_status ar__head_record(const ar_head *h, ar_graph *g, ar_tensor **logits, ar_tensor *x) {
    ar_tensor *n = NULL;
    AR_TRY(ar_norm_record(&h->kind, g, &n, x, h->norm, h->norm_bias));
    return ar_op_linear_packed(g, logits, n, h->W, NULL);
}
