/* Calibration samples: windows of texts (calib_windows.c), or sequences drawn from the float model itself,
 * which needs no data. */
#include "calib.h"
#include "ar_error.h"
#include "session.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SELF_BATCH 64 /* sequences drawn at once */

void ar_samples_deinit(ar_samples *s) {
    free(s->ids);
    *s = (ar_samples){0};
}

static ar_status samples_init(ar_samples *s, int32_t count, int32_t T) {
    *s = (ar_samples){ar__alloc((size_t)count, (size_t)T * sizeof(int32_t)), count, T};
    return s->ids ? AR_OK : AR_ERR_MEMORY;
}

/* Token t of a sequence, where it is not drawn: the tokenizer's prefix (BOS), or where it has none a random
 * token. -1 = it is drawn. */
static int32_t given_token(const ar_open_model *m, uint64_t seed, int32_t sequence, int32_t t) {
    int32_t before;
    const int32_t *prefix = ar_tokenizer_prefix(&before, m->tokenizer);
    if (t < before && prefix[t] < m->model.vocab) return prefix[t];
    if (t > 0) return -1;
    return (int32_t)(ar_random_unit(seed, 0x5e1f, (uint64_t)sequence) * (double)m->model.vocab);
}

/* Sequences [first, first + B) at temperature 1. */
static ar_status draw(ar_samples *s, ar_decoder *d, float *logits, const ar_open_model *m, int32_t first,
                      int32_t B, uint64_t seed, const ar_observer *o) {
    int32_t next[SELF_BATCH];
    ar_sampling sampling = {.temperature = 1.0f, .top_p = 1.0f, .seed = seed};
    for (int32_t b = 0; b < B; b++) next[b] = given_token(m, seed, first + b, 0);
    for (int32_t t = 0; t < s->T; t++) {
        if (o && o->cancelled && o->cancelled(o->ctx))
            return ar__fail(AR_ERR_INTERRUPTED, "interrupted while drawing calibration samples");
        for (int32_t b = 0; b < B; b++) s->ids[(int64_t)(first + b) * s->T + t] = next[b];
        if (t + 1 == s->T) break;
        AR_TRY(ar__decoder_step(d, logits, next, 1, t));
        for (int32_t b = 0; b < B; b++) {
            int32_t given = given_token(m, seed, first + b, t + 1);
            next[b] = given >= 0 ? given
                                 : ar_sample(logits + (int64_t)b * m->model.vocab, m->model.vocab, &sampling,
                                             (uint64_t)(first + b) << 32 | (uint64_t)t);
        }
        if (o && o->progress && t % 16 == 0)
            o->progress(o->ctx, &(ar_progress_event){.stage = "calibrate",
                                                     .step = first + (int32_t)((int64_t)t * B / s->T),
                                                     .step_count = s->count});
    }
    return AR_OK;
}

static ar_status from_model(ar_samples *s, const ar_open_model *m, ar_device *device, int32_t count,
                            int32_t T, uint64_t seed, const ar_observer *o) {
    ar_status status = AR_OK;
    ar_decoder *d = NULL;
    float *logits = NULL;
    int32_t B = count < SELF_BATCH ? count : SELF_BATCH;
    uint64_t piece = ar_device_get_plan(device)->piece_bytes,
             row = (uint64_t)T * (uint64_t)m->model.blocks[0].kv_width * 2;
    while (B > 1 && row * (uint64_t)B > piece) B /= 2;
    AR_GO(samples_init(s, count, T));
    logits = ar__alloc((size_t)B, (size_t)m->model.vocab * sizeof *logits);
    if (!logits) AR_GO(AR_ERR_MEMORY);
    status = ar__decoder_create(&d, m, device, B, &T);
    if (status == AR_ERR_DEVICE_MEMORY) {
        char reason[400];
        snprintf(reason, sizeof reason, "%s", ar_error());
        status = ar__fail(
            AR_ERR_DEVICE_MEMORY,
            "sampling from the model itself needs all of it on the device (%s); a text file does not",
            reason);
    }
    AR_GO(status);
    ar__decoder_set_length(d, T);
    for (int32_t first = 0; first < count; first += B) {
        int32_t start =
            first + B <= count ? first : count - B; /* the last batch overlaps; the same draws again */
        AR_GO(draw(s, d, logits, m, start, B, seed, o));
    }
done:
    ar__decoder_destroy(d);
    free(logits);
    return status;
}

ar_status ar_calib_make(ar_samples *s, const ar_open_model *m, ar_device *device, const char *const *paths,
                        int32_t path_count, int32_t count, int32_t T, uint64_t seed,
                        const ar_observer *observer) {
    *s = (ar_samples){0};
    if (T > m->model.max_tokens) T = m->model.max_tokens;
    if (count < 1 || T < 2)
        return ar__fail(AR_ERR_USAGE, "calibration: found %d samples of %d tokens, expected at least 1 of 2",
                        (int)count, (int)T);
    ar_status status = path_count > 0 ? ar__calib_from_files(s, m, paths, path_count, count, T, observer)
                                      : from_model(s, m, device, count, T, seed, observer);
    if (status != AR_OK) ar_samples_deinit(s);
    return status;
}
