/* One run of `anyround quantize`, its options already understood. Shared by cmd_quantize*.c. */
#ifndef AR_QUANTIZE_JOB_H
#define AR_QUANTIZE_JOB_H
#include "program.h"

typedef struct ar_quantize_request {
    const ar_common *common;
    const char *model, *out;
    const char *calib;      /* NULL = sampled from the model */
    const char *report;     /* NULL = none */
    bool resume, has_batch; /* has_batch: desc.batch is the user's */
    int32_t samples, seqlen;
    const ar_method *method;
    ar_output_plan plan;
    ar_quant_desc desc; /* all but choose and spill_dir, which the run fills in */
} ar_quantize_request;
ar_status ar_quantize_run(const ar_quantize_request *request);
#endif
