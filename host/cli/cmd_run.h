/* Shared by cmd_run.c (one text), cmd_run_chat.c (a conversation) and generation.c (what both grow). */
#ifndef AR_CMD_RUN_H
#define AR_CMD_RUN_H
#include "program.h"

typedef struct ar_run_options {
    const char *prompt, *file, *system, *template_file, *lora, *acts;
    int64_t count, context, top_k;
    double temperature, top_p, min_p, penalty;
    bool greedy, ids, chat, int_products;
    const ar_net *net; /* of few states, which is run as it was trained; NULL: the model */
} ar_run_options;

/* ---- generation.c ---- */

/* Why a text grows no longer: a token that ends it, as many as were asked for, a full context, Ctrl-C. */
typedef enum ar_stop { AR_STOP_END, AR_STOP_COUNT, AR_STOP_CONTEXT, AR_STOP_INTERRUPT } ar_stop;

/* One text that grows. */
typedef struct ar_generation {
    const ar_open_model *m;
    ar_session *session;
    ar_sampling sampling;
    float penalty;
    int32_t turn_end;            /* ends an answer, as what ends a text does; -1 = none */
    bool prints;                 /* streams to stdout */
    float *logits;               /* (V) */
    int32_t *ids;                /* (context) */
    int64_t count, prompt_count; /* ids in all; given ones */
    int64_t prefilled, decoded;  /* tokens computed in these times; the last one made is not */
    double prefill_s, decode_s;
    ar_stop stop;
} ar_generation;

/* Opens the session for a context of `context` tokens (0 = what fits). */
ar_status ar_generation_init(ar_generation *gen, const ar_open_model *m, ar_device *device,
                             const ar_run_options *o, const ar_common *common, int64_t context);
void ar_generation_deinit(ar_generation *gen);
/* Continues ids by at most max_new tokens: until what ends a text or turn, the context's end or Ctrl-C. text
 * goes to stdout as it comes, from id `shown_from` on. */
ar_status ar_generation_run(ar_generation *gen, int64_t max_new, int64_t shown_from);
/* "prefill 12 tokens, 80.1 tokens/s; …" on stderr, and why it stopped where that is not the text's own end.
 */
void ar_generation_report(const ar_generation *gen);
double ar_tokens_per_s(int64_t tokens, double seconds);
/* ---- cmd_run_chat.c ---- */

/* anyround run -i. */
ar_status ar_run_chat(const ar_open_model *m, ar_device *device, const ar_run_options *o,
                      const ar_common *common);
#endif
