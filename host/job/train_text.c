/* Token text as training data: windows of a text that was encoded once, and openings of its paragraphs, which
 * are encoded as a prompt would be. */
#include "tokenizer.h"
#include "train.h"
#include <stdlib.h>
#include <string.h>

#define STREAM ((uint64_t)0x74657874) /* "text": the random numbers of windows */

static const ar_train_text *text_of(const ar_data *d) { return d->impl; }

static void put(void *input, int32_t *labels, int32_t i, const int32_t *ids, int32_t T) {
    memcpy((int32_t *)input + (int64_t)i * T, ids, (size_t)T * sizeof *ids);
    memcpy(labels + (int64_t)i * T, ids + 1, (size_t)T * sizeof *ids);
}

/* A paragraph's opening, at most six bytes a token; *taken = false where it holds fewer tokens. */
static ar_status put_opening(bool *taken, void *input, int32_t *labels, int32_t i, const ar_train_text *t,
                             int64_t at) {
    int32_t *ids = NULL;
    int64_t count = 0, left = (int64_t)t->bytes - at, most = 6 * ((int64_t)t->T + 1);
    *taken = false;
    if (most > left) most = left;
    while (most < left && ((uint8_t)t->text[at + most] & 0xc0) == 0x80) most++; /* whole characters */
    AR_TRY(ar_tokenizer_encode_text(t->model->tokenizer, &ids, &count, t->text + at, (size_t)most, false));
    if (count > t->T) {
        put(input, labels, i, ids, t->T);
        *taken = true;
    }
    free(ids);
    return AR_OK;
}

static ar_status draw(const ar_data *d, void *input, int32_t *labels, int64_t step, int32_t first,
                      int32_t count) {
    const ar_train_text *t = text_of(d);
    for (int32_t i = 0; i < count; i++) {
        uint64_t at = ((uint64_t)step << 20 | (uint32_t)(first + i)) * 2;
        double which = ar_random_unit(t->seed, STREAM, at), where = ar_random_unit(t->seed, STREAM, at + 1);
        bool taken = false;
        if (t->start_count > 0 && which < t->from_starts) {
            int64_t k = (int64_t)(where * (double)t->start_count);
            AR_TRY(put_opening(&taken, input, labels, i, t, t->starts[k]));
        }
        int64_t from = (int64_t)(where * (double)(t->id_count - t->T));
        if (!taken) put(input, labels, i, t->ids + from, t->T);
    }
    return AR_OK;
}

static ar_status held(const ar_data *d, void *input, int32_t *labels, int64_t first, int32_t count) {
    const ar_train_text *t = text_of(d);
    for (int32_t i = 0; i < count; i++) put(input, labels, i, t->held_ids + (first + i) * t->T, t->T);
    return AR_OK;
}

/* ---- making ---- */

/* Where the held-out part begins: behind an empty line, or a line, or where it may; it is at most doubled by
 * that, for a text may have its one empty line behind the title. */
static size_t find_cut(const char *text, size_t bytes, double share) {
    size_t cut = (size_t)((double)bytes * (1 - share));
    if (share <= 0) return bytes;
    size_t least = cut > bytes - cut ? cut - (bytes - cut) : 0;
    for (size_t i = cut; i >= 2 && i >= least; i--)
        if (text[i - 1] == '\n' && text[i - 2] == '\n') return i;
    for (size_t i = cut; i >= 1 && i >= least; i--)
        if (text[i - 1] == '\n') return i;
    while (cut > 0 && ((uint8_t)text[cut] & 0xc0) == 0x80) cut--;
    return cut;
}

static ar_status list_starts(ar_train_text *t) {
    int64_t count = 1;
    for (size_t i = 2; i < t->bytes; i++) count += t->text[i - 1] == '\n' && t->text[i - 2] == '\n';
    t->starts = ar__alloc((size_t)count, sizeof *t->starts);
    if (!t->starts) return AR_ERR_MEMORY;
    t->starts[t->start_count++] = 0;
    for (size_t i = 2; i < t->bytes; i++)
        if (t->text[i - 1] == '\n' && t->text[i - 2] == '\n') t->starts[t->start_count++] = (int64_t)i;
    return AR_OK;
}

ar_status ar__train_text_init(ar_train_text *t, const ar_open_model *m, const char *text, size_t bytes,
                              const ar_train_text_desc *d) {
    const int32_t T = d->T;
    *t = (ar_train_text){.model = m, .text = text, .T = T, .from_starts = d->from_starts, .seed = d->seed};
    if (!m->tokenizer)
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: has no tokenizer to read texts with", m->path);
    AR_TRY(ar__utf8_check(text, bytes, d->name));
    t->bytes = find_cut(text, bytes, d->held);
    AR_TRY(ar_tokenizer_encode(m->tokenizer, &t->ids, &t->id_count, text, t->bytes, false));
    AR_TRY(ar_tokenizer_encode(m->tokenizer, &t->held_ids, &t->held_id_count, text + t->bytes,
                               bytes - t->bytes, false));
    AR_TRY(list_starts(t));
    int64_t held_count = t->held_id_count > 0 ? (t->held_id_count - 1) / T : 0;
    if (t->id_count <= T || (d->held > 0 && held_count < 1))
        return ar__fail(AR_ERR_USAGE,
                        "%s: found %lld tokens and %lld held out, expected more than the %d of an example in "
                        "either",
                        d->name, (long long)t->id_count, (long long)t->held_id_count, (int)T);
    t->data = (ar_data){.dtype = AR_I32,
                        .rows = T,
                        .labels = T,
                        .held_count = held_count,
                        .draw = draw,
                        .held = held,
                        .impl = t};
    return AR_OK;
}

void ar__train_text_deinit(ar_train_text *t) {
    free(t->ids);
    free(t->held_ids);
    free(t->starts);
    *t = (ar_train_text){0};
}
