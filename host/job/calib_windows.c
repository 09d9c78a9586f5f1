/* Windows of texts as calibration samples. */
#include "calib.h"
#include "ar_error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct text {
    int32_t *ids;
    int64_t count;
} text;

/* Window w of all windows of the texts, none of which lies in two. */
static const int32_t *window_at(const text *texts, int64_t w, int32_t T) {
    for (; w >= texts->count / T; texts++) w -= texts->count / T;
    return texts->ids + w * T;
}

/* The slice that follows in the order of reversed bits, of which there are as many as count - 1 has; *at
 * counts them. Its last ones, which tuning holds out, are spread over the text, and so is every part of it.
 */
static int64_t next_slice(int64_t *at, int64_t count) {
    for (;;) {
        int64_t slice = 0, i = (*at)++;
        for (int64_t bit = 1; bit < count; bit *= 2, i /= 2) slice = 2 * slice + i % 2;
        if (slice < count) return slice;
    }
}

static void remark(const ar_observer *o, const char *path, int64_t tokens, int32_t T) {
    char line[400];
    snprintf(line, sizeof line, "%s: not used: it holds %lld tokens, less than one sample of %d", path,
             (long long)tokens, (int)T);
    if (o && o->warn) o->warn(o->ctx, line);
}

/* How many samples there will be. */
static ar_status count_samples(int64_t *windows, int32_t *count, const text *texts, const char *const *paths,
                               int32_t path_count, int32_t T, const ar_observer *o) {
    int64_t longest = 0;
    *windows = 0;
    for (int32_t i = 0; i < path_count; i++) {
        *windows += texts[i].count / T;
        if (texts[i].count > longest) longest = texts[i].count;
    }
    if (*windows < 1)
        return ar__fail(AR_ERR_USAGE, "%s: found %lld tokens, expected at least one sample of %d", paths[0],
                        (long long)longest, (int)T);
    for (int32_t i = 0; i < path_count; i++)
        if (texts[i].count < T) remark(o, paths[i], texts[i].count, T);
    if (*windows >= *count) return AR_OK;
    char line[160];
    snprintf(line, sizeof line,
             "the calibration text holds %lld samples of %d tokens, fewer than the %d asked for",
             (long long)*windows, (int)T, (int)*count);
    if (o && o->warn) o->warn(o->ctx, line);
    *count = (int32_t)*windows;
    return AR_OK;
}

ar_status ar__calib_from_files(ar_samples *s, const ar_open_model *m, const char *const *paths,
                               int32_t path_count, int32_t count, int32_t T, const ar_observer *o) {
    ar_status status = AR_OK;
    int64_t windows = 0;
    text *texts = ar__alloc((size_t)path_count, sizeof *texts);
    if (!texts) return AR_ERR_MEMORY;
    if (!m->tokenizer)
        AR_GO(ar__fail(AR_ERR_UNSUPPORTED, "%s: has no tokenizer, so the calibration text cannot be encoded",
                       m->path));
    for (int32_t i = 0; i < path_count; i++)
        AR_GO(ar__calib_read(&texts[i].ids, &texts[i].count, m, paths[i], o));
    AR_GO(count_samples(&windows, &count, texts, paths, path_count, T, o));
    *s = (ar_samples){ar__alloc((size_t)count, (size_t)T * sizeof(int32_t)), count, T};
    if (!s->ids) AR_GO(AR_ERR_MEMORY);
    for (int64_t i = 0, at = 0; i < count; i++) {
        int64_t slice = next_slice(&at, count); /* of as many as there are samples: its middle window */
        memcpy(s->ids + i * T, window_at(texts, (2 * slice + 1) * windows / (2 * (int64_t)count), T),
               (size_t)T * sizeof *s->ids);
    }
done:
    for (int32_t i = 0; i < path_count; i++) free(texts[i].ids);
    free(texts);
    return status;
}
