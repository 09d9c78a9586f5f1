/* One text that grows, for anyround run. Output streams as whole UTF-8 characters; Ctrl-C ends the answer. */
#include "cmd_run.h"
#include "tokenizer.h"
#include <math.h>
#include <stdlib.h>

#define PENALIZED 64 /* tokens back that the repetition penalty looks */

double ar_tokens_per_s(int64_t tokens, double seconds) {
    return seconds > 0.0 ? (double)tokens / seconds : 0.0;
}

ar_status ar_generation_init(ar_generation *gen, const ar_open_model *m, ar_device *device,
                             const ar_run_options *o, const ar_common *common, int64_t context) {
    *gen = (ar_generation){
        .m = m, .penalty = (float)o->penalty, .turn_end = -1, .prints = !common->json && !o->ids};
    gen->sampling = (ar_sampling){.greedy = o->greedy,
                                  .temperature = (float)o->temperature,
                                  .top_p = (float)o->top_p,
                                  .seed = (uint64_t)common->seed,
                                  .top_k = (int32_t)o->top_k,
                                  .min_p = (float)o->min_p};
    int32_t tokens = context ? (int32_t)context : m->model.max_tokens;
    if (o->net && context > m->model.max_tokens)
        return ar__fail(AR_ERR_USAGE, "--context: found %lld, expected at most the model's %d",
                        (long long)context, (int)m->model.max_tokens);
    AR_TRY(o->net ? ar_session_create_net(&gen->session, o->net, device, tokens)
                  : ar_session_create(&gen->session, m, device, (int32_t)context));
    gen->logits = ar__alloc((size_t)m->model.vocab, sizeof *gen->logits);
    gen->ids = ar__alloc((size_t)ar_session_context(gen->session), sizeof *gen->ids);
    return gen->logits && gen->ids ? AR_OK : AR_ERR_MEMORY;
}

void ar_generation_deinit(ar_generation *gen) {
    ar_session_destroy(gen->session);
    free(gen->logits);
    free(gen->ids);
    *gen = (ar_generation){0};
}

/* Prints what one more id completes; id -1 = the end of the text. */
static ar_status stream_id(const ar_generation *gen, ar_text_stream *stream, int32_t id) {
    char *text = NULL;
    size_t bytes = 0;
    if (!gen->prints) return AR_OK;
    AR_TRY(id < 0 ? ar_text_stream_end(stream, &text, &bytes)
                  : ar_text_stream_push(stream, &text, &bytes, gen->m->tokenizer, id));
    fwrite(text, 1, bytes, stdout);
    free(text);
    return ar_program_flush();
}

/* The next id. Errors: FORMAT where no logit is a number. */
static ar_status choose(ar_generation *gen, int32_t *id) {
    int64_t from = gen->count > PENALIZED ? gen->count - PENALIZED : 0;
    ar_sample_penalize(gen->logits, gen->m->model.vocab, gen->ids + from, gen->count - from, gen->penalty);
    *id = ar_sample(gen->logits, gen->m->model.vocab, &gen->sampling, (uint64_t)gen->count);
    if (isnan(gen->logits[*id]))
        return ar__fail(AR_ERR_FORMAT, "%s: found only NaN among the logits of token %lld", gen->m->path,
                        (long long)gen->count);
    return AR_OK;
}

ar_status ar_generation_run(ar_generation *gen, int64_t max_new, int64_t shown_from) {
    int64_t context = ar_session_context(gen->session),
            end = gen->count + max_new < context ? gen->count + max_new : context;
    ar_text_stream stream = {.started = shown_from > 0};
    gen->prompt_count = gen->count;
    gen->decoded = 0;
    gen->stop = end < gen->count + max_new ? AR_STOP_CONTEXT : AR_STOP_COUNT;
    double t0 = ar__now_s();
    AR_TRY(ar_session_logits(gen->session, gen->logits, gen->ids, gen->count));
    gen->prefill_s = ar__now_s() - t0;
    gen->prefilled = ar_session_computed(gen->session);
    for (int64_t i = shown_from; i < gen->count; i++) AR_TRY(stream_id(gen, &stream, gen->ids[i]));
    t0 = ar__now_s();
    while (gen->count < end && !ar_program_interrupted()) {
        int32_t id;
        AR_TRY(choose(gen, &id));
        bool ends = ar_config_ends(&gen->m->config, id) || id == gen->turn_end;
        if (ends) gen->stop = AR_STOP_END;
        if (ends) break;
        gen->ids[gen->count++] = id;
        AR_TRY(stream_id(gen, &stream, id));
        if (gen->count == end) break;
        AR_TRY(ar_program_flush());
        AR_TRY(ar_session_logits(gen->session, gen->logits, gen->ids, gen->count));
        gen->decoded++;
    }
    if (gen->count < end && ar_program_interrupted()) gen->stop = AR_STOP_INTERRUPT;
    gen->decode_s = ar__now_s() - t0;
    return stream_id(gen, &stream, -1);
}

void ar_generation_report(const ar_generation *gen) {
    double tps = ar_tokens_per_s(gen->decoded, gen->decode_s),
           bytes = (double)ar_session_weight_bytes(gen->session);
    fprintf(stderr, "prefill %lld tokens, %.1f tokens/s; decode %lld tokens, %.1f tokens/s, %.2f GB/s\n",
            (long long)gen->prefilled, ar_tokens_per_s(gen->prefilled, gen->prefill_s),
            (long long)(gen->count - gen->prompt_count), tps, 1e-9 * tps * bytes);
    if (gen->stop == AR_STOP_COUNT)
        fprintf(stderr, "stopped after %lld tokens (-n N allows more)\n",
                (long long)(gen->count - gen->prompt_count));
    if (gen->stop == AR_STOP_CONTEXT)
        fprintf(stderr, "stopped because the context of %d tokens is full (-c N, at most the model's %d)\n",
                (int)ar_session_context(gen->session), (int)gen->m->model.max_tokens);
}
