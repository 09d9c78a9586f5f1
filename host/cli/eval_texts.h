/* anyround eval of nets of few states for texts. */
#ifndef AR_EVAL_TEXTS_H
#define AR_EVAL_TEXTS_H
#include "program.h"

typedef struct eval_texts_options {
    const char *text;
    int64_t window, skip,
        most; /* tokens; windows left out, at most (of bytes: places); 0 = as the net says */
    int64_t batch;
} eval_texts_options;
/* Is there a net of few states at path, of whatever kind? */
bool ar__eval_texts_is(const char *path);
/* Prints perplexity by running statistics. Errors: USAGE for what such a net has not; FORMAT, IO, the
 * device's. */
ar_status ar__eval_texts_run(const char *path, const eval_texts_options *o, const ar_common *common);
#endif
