/* One sequence on a decoder, with the prefix it has seen; or by a net that was trained, which keeps nothing
 * and takes all of it in again for every token. */
#include "session.h"
#include "ar_error.h"
#include <stdlib.h>
#include <string.h>

struct ar_session {
    ar_decoder *decoder; /* NULL: a net */
    const ar_net *net;
    ar_device *device;
    ar_graph *graph; /* of T tokens, and the logits of one place; more are recorded when first wanted */
    ar_tensor *ids, *place, *logits;
    int32_t T;
    int32_t *seen;
    int64_t seen_count, computed;
    int32_t C;
};

#define FIRST_TOKENS 32

static void drop_graph(ar_session *s) {
    ar_graph_destroy(s->graph);
    ar_tensor_destroy(s->ids);
    s->graph = NULL, s->ids = NULL, s->logits = NULL, s->T = 0;
}

/* With room for the tokens that are seen; what began with another status is gone. */
static ar_status finish(ar_session **out, ar_session *s, ar_status status) {
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

ar_status ar_session_create(ar_session **out, const ar_open_model *m, ar_device *device, int32_t max_tokens) {
    *out = NULL;
    ar_session *s = ar__alloc(1, sizeof *s);
    if (!s) return AR_ERR_MEMORY;
    s->C = max_tokens > 0 ? max_tokens : 0;
    return finish(out, s, ar__decoder_create(&s->decoder, m, device, 1, &s->C));
}

ar_status ar_session_create_net(ar_session **out, const ar_net *net, ar_device *device, int32_t max_tokens) {
    const int64_t one = 1;
    *out = NULL;
    ar_session *s = ar__alloc(1, sizeof *s);
    if (!s) return AR_ERR_MEMORY;
    *s = (ar_session){.net = net, .device = device, .C = max_tokens};
    return finish(out, s, ar_tensor_create(&s->place, device, AR_I32, 1, &one));
}

void ar_session_destroy(ar_session *s) {
    if (!s) return;
    ar__decoder_destroy(s->decoder);
    drop_graph(s);
    ar_tensor_destroy(s->place);
    free(s->seen);
    free(s);
}

int32_t ar_session_context(const ar_session *s) { return s->C; }
int64_t ar_session_computed(const ar_session *s) { return s->computed; }
uint64_t ar_session_weight_bytes(const ar_session *s) {
    uint64_t bytes = 0;
    for (int32_t i = 0; s->net && i < s->net->param_count; i++)
        bytes += 4 * (uint64_t)ar_tensor_count(s->net->params[i].t);
    return s->net ? bytes : ar__decoder_weight_bytes(s->decoder);
}

/* ---- a net ---- */

/* Twice as many as were asked for, so that few graphs are recorded while a text grows. */
static ar_status record(ar_session *s, int64_t count) {
    int64_t T = 2 * count < FIRST_TOKENS ? FIRST_TOKENS : 2 * count;
    if (T > s->C) T = s->C;
    drop_graph(s);
    AR_TRY(ar_tensor_create(&s->ids, s->device, AR_I32, 1, &T));
    AR_TRY(ar_graph_create(&s->graph, s->device));
    AR_TRY(ar_net_lm_logits(s->net, s->graph, &s->logits, s->ids, s->place));
    ar_graph_keep(s->graph, s->logits);
    AR_TRY(ar_graph_build(s->graph));
    s->T = (int32_t)T;
    return AR_OK;
}

/* s->seen is zeros behind what it has, which nothing before them sees. */
static ar_status compute(ar_session *s, float *logits, int64_t count) {
    const int32_t place = (int32_t)count - 1;
    if (count > s->T) AR_TRY(record(s, count));
    AR_TRY(ar_tensor_write(s->ids, s->seen, 0, s->T));
    AR_TRY(ar_tensor_write(s->place, &place, 0, 1));
    AR_TRY(ar_graph_run(s->graph));
    return ar_tensor_read(s->logits, logits, 0, ar_tensor_count(s->logits));
}

static ar_status net_logits(ar_session *s, float *logits, const int32_t *ids, int64_t count) {
    memset(s->seen, 0, (size_t)s->C * sizeof *s->seen);
    memcpy(s->seen, ids, (size_t)count * sizeof *ids);
    s->computed = count;
    return logits ? compute(s, logits, count) : AR_OK;
}

ar_status ar_session_logits(ar_session *s, float *logits, const int32_t *ids, int64_t count) {
    if (count < 1 || count > s->C)
        return ar__fail(AR_ERR_ARG, "session: %lld tokens, expected 1..%d", (long long)count, (int)s->C);
    if (s->net) return net_logits(s, logits, ids, count);
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
