/* One sequence on a decoder, with the prefix it has seen. */
#include "session.h"
#include "ar_error.h"
#include <stdlib.h>

struct ar_session {
    ar_decoder *decoder;
    int32_t *seen;
    int64_t seen_count, computed;
    int32_t C;
};

ar_status ar_session_create(ar_session **out, const ar_open_model *m, ar_device *device, int32_t max_tokens) {
    *out = NULL;
    ar_session *s = ar__alloc(1, sizeof *s);
    if (!s) return AR_ERR_MEMORY;
    s->C = max_tokens > 0 ? max_tokens : 0;
    ar_status status = ar__decoder_create(&s->decoder, m, device, 1, &s->C);
    if (status == AR_OK) {
        s->seen = ar__alloc((size_t)s->C, sizeof *s->seen);
        if (!s->seen) status = AR_ERR_MEMORY;
    }
    if (status != AR_OK)
        ar_session_destroy(s);
    else
        *out = s;
    return status;
}

void ar_session_destroy(ar_session *s) {
    if (!s) return;
    ar__decoder_destroy(s->decoder);
    free(s->seen);
    free(s);
}

int32_t ar_session_context(const ar_session *s) { return s->C; }
int64_t ar_session_computed(const ar_session *s) { return s->computed; }
uint64_t ar_session_weight_bytes(const ar_session *s) { return ar__decoder_weight_bytes(s->decoder); }

ar_status ar_session_logits(ar_session *s, float *logits, const int32_t *ids, int64_t count) {
    if (count < 1 || count > s->C)
        return ar__fail(AR_ERR_ARG, "session: %lld tokens, expected 1..%d", (long long)count, (int)s->C);
    int64_t same = 0;
    if (ar__decoder_set_length(s->decoder, count)) s->seen_count = 0;
    while (same < s->seen_count && same < count - 1 && s->seen[same] == ids[same]) same++;
    s->seen_count = same;
    AR_TRY(ar__decoder_step(s->decoder, logits, ids + same, (int32_t)(count - same), (int32_t)same));
    s->computed = count - same;
    for (int64_t i = same; i < count; i++) s->seen[i] = ids[i];
    s->seen_count = count;
    return AR_OK;
}
