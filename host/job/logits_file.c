/* Logits of an evaluation in llama-perplexity's own format, little-endian:
 *   "_logits_"  i32 window length T  i32 vocabulary V  i32 windows  i32 ids[windows][T]
 *   per window, per position T/2 .. T-2:  f32 scale  f32 smallest log-probability  u16 q[V], one more if V
 *     is odd
 * log-probability = scale q + smallest; what lies more than 16 nats below the largest logit is cut there. */
#include "logits_file.h"
#include "ar_error.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_WORDS 4 /* u16 words of scale and smallest */
#define FLOOR_NATS 16.0f

static size_t row_words(int32_t vocab) { return HEAD_WORDS + 2 * (((size_t)vocab + 1) / 2); }

ar_status ar__logits_file_open(ar_logits_file *f, const char *path, const ar_samples *windows,
                               int32_t vocab) {
    const int32_t head[3] = {windows->T, vocab, windows->count};
    ar_status status = AR_OK;
    *f = (ar_logits_file){.vocab = vocab};
    f->row = ar__alloc(row_words(vocab), sizeof *f->row);
    if (!f->row) return AR_ERR_MEMORY;
    AR_GO(ar_writer_open(&f->w, path));
    ar_writer_read_back(f->w);
    AR_GO(ar_writer_write(f->w, "_logits_", 8));
    AR_GO(ar_writer_write(f->w, head, sizeof head));
    AR_GO(ar_writer_write(f->w, windows->ids,
                          (size_t)windows->count * (size_t)windows->T * sizeof *windows->ids));
done:
    if (status != AR_OK) ar__logits_file_abort(f);
    return status;
}

ar_status ar__logits_file_row(ar_logits_file *f, const float *logits) {
    float hi = logits[0], lo = logits[0];
    double sum = 0;
    for (int32_t v = 1; v < f->vocab; v++) {
        hi = fmaxf(hi, logits[v]);
        lo = fminf(lo, logits[v]);
    }
    lo = fmaxf(lo, hi - FLOOR_NATS);
    for (int32_t v = 0; v < f->vocab; v++) sum += exp((double)(logits[v] - hi));
    const float edge[2] = {(hi - lo) / 65535.0f, (float)((double)(lo - hi) - log(sum))};
    memcpy(f->row, edge, sizeof edge);
    for (int32_t v = 0; v < f->vocab; v++)
        f->row[HEAD_WORDS + v] = logits[v] > lo ? (uint16_t)lrintf((logits[v] - lo) / edge[0]) : 0;
    return ar_writer_write(f->w, f->row, row_words(f->vocab) * sizeof *f->row);
}

ar_status ar__logits_file_commit(ar_logits_file *f) {
    ar_status status = ar_writer_commit(&f->w);
    ar__logits_file_abort(f);
    return status;
}

void ar__logits_file_abort(ar_logits_file *f) {
    ar_writer_abort(&f->w);
    free(f->row);
    *f = (ar_logits_file){0};
}
