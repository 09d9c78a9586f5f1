/* anyround quantize: widths of linears, by a budget (--bpw, --size) or by hand (--tensor-type of folders). */
#include "quantize_job.h"

static ar_status by_budget(ar__allotment *a, ar_quantize_request *r, const ar_open_model *m,
                           ar_device *device, const ar_samples *samples, const ar_passport *passport,
                           const ar_observer *observer) {
    ar__allot_request request = r->allot;
    request.passport = passport;
    AR_TRY(ar__allot_widths(a, request.widths, &r->plan));
    ar_status status = ar__allot(a, &r->plan, &request, m, device, samples, observer);
    ar_program_progress_end(r->common);
    return status == AR_ERR_USAGE ? ar_program_blame(status, request.bpw > 0.0 ? "--bpw" : "--size") : status;
}

ar_status ar__quantize_allot(ar__allotment *a, ar_quantize_request *r, const ar_open_model *m,
                             ar_device *device, const ar_samples *samples, const ar_passport *passport,
                             const ar_observer *observer) {
    if (r->allot.bpw > 0.0 || r->allot.bytes) return by_budget(a, r, m, device, samples, passport, observer);
    if (!r->types || r->plan.types) return AR_OK; /* nothing is said, or GGUF's writer asks them itself */
    ar_status status = ar__allot_by_hand(a, &r->plan, r->types, m);
    if (status != AR_ERR_USAGE) return status;
    return ar_program_blame(status, r->type_file ? "--tensor-type-file" : "--tensor-type");
}
