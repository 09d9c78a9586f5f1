/* The file in which llama.cpp's llama-perplexity keeps the logits of a run (its --kl-divergence-base). */
#ifndef AR_LOGITS_FILE_H
#define AR_LOGITS_FILE_H
#include "ar_host.h"

typedef struct ar_logits_file {
    ar_writer *w;
    int32_t vocab;
    uint16_t *row;
} ar_logits_file;
/* Starts PATH for `windows` windows of T ids each (ids (windows, T)) over a vocabulary of vocab tokens.
 * Errors: MEMORY, IO. */
ar_status ar__logits_file_open(ar_logits_file *f, const char *path, const ar_samples *windows, int32_t vocab);
/* One position's logits (vocab), as 16-bit steps between the largest and the smallest, at most 16 nats below
 * it. */
ar_status ar__logits_file_row(ar_logits_file *f, const float *logits);
ar_status ar__logits_file_commit(ar_logits_file *f);
void ar__logits_file_abort(ar_logits_file *f); /* a file that was never opened is fine */
#endif
