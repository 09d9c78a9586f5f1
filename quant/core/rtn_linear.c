/* Round to nearest of one weight on a device: what ar_qlinear_rtn does on the host, with the same bits. */
#include "ar_error.h"
#include "core.h"

ar_status ar_rtn_linear(ar_qlinear *q, ar_device *device, const float *W) {
    ar_status status = AR_OK;
    ar_tensor *weight = NULL;
    if (q->O == 0) return AR_OK;
    AR_TRY(ar_quant_check_weights("weight", W, &q->scheme, 0, q->O, q->I));
    AR_GO(ar_tensor_create(&weight, device, AR_F32, 2, (const int64_t[]){q->O, q->I}));
    AR_GO(ar_tensor_write(weight, W, 0, q->O * q->I));
    AR_GO(ar__read_codes(q, device, weight, NULL, &(ar_fq_state){0}, &(ar_fq_desc){.scheme = q->scheme}));
    AR_GO(ar_qlinear_check_scales(q, "weight", 0));
done:
    ar_tensor_destroy(weight);
    return status;
}
