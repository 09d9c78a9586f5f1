/* For tests: a model written as another format. */
#ifndef AR_TEST_CONVERT_MODEL_H
#define AR_TEST_CONVERT_MODEL_H
#include "temp_files.h"
#include "ar_error.h"

static inline ar_status no_linear(void *ctx, ar_qlinear **q, int32_t block, int32_t i) {
    (void)ctx;
    (void)block;
    (void)i;
    *q = NULL;
    return AR_OK;
}

/* Opens the model at from, writes it as a format with a float type at to, and reads that back. */
static inline ar_status convert(const char *from, const char *to, const char *format, const char *type) {
    ar_open_model *m;
    ar_output_plan plan = {.scheme = {.bits = 16, .group = -1},
                           .embedding = AR_QT_COUNT,
                           .head = AR_QT_COUNT,
                           .formats = {format},
                           .format_count = 1};
    AR_TRY(ar_model_open(&m, from));
    snprintf(plan.type, sizeof plan.type, "%s", type);
    ar_write_source src = {.model = m, .plan = &plan, .linear = no_linear};
    ar_status status = ar_format_find(format)->write(to, &src);
    if (status == AR_OK) status = ar_format_find(format)->verify(to, &src);
    ar_model_close(m);
    return status;
}
#endif
