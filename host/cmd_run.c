/* anyround run: generate text. Output streams as whole UTF-8 characters; Ctrl-C ends the answer. */
#include "program.h"
#include "tokenizer.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct run_options { const char *prompt; int64_t count; double temperature, top_p; bool greedy, ids; bool has_temperature, has_top_p; } run_options;

typedef struct generation { int32_t *ids; int64_t prompt_count, count, max; double prefill_s, decode_s; } generation;

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* BOS (where the model has one) and the prompt's tokens. */
static ar_status start(generation *gen, const ar_open_model *m, const run_options *o) {
    int32_t *ids = NULL, bos = m->config.bos;
    int64_t n = 0;
    if (!m->tokenizer) return ar__fail(AR_ERR_UNSUPPORTED, "%s: has no tokenizer, expected tokenizer.json", m->path);
    if (o->prompt && o->prompt[0]) AR_TRY(ar_tokenizer_encode(m->tokenizer, &ids, &n, o->prompt, strlen(o->prompt), true));
    gen->max = n + (bos >= 0) + o->count;
    if (gen->max > m->model.max_tokens) gen->max = m->model.max_tokens;
    gen->ids = ar__alloc((size_t)(n + 1 + o->count), sizeof *gen->ids);
    if (gen->ids) {
        if (bos >= 0) gen->ids[gen->count++] = bos;
        memcpy(gen->ids + gen->count, ids, (size_t)n * sizeof *ids);
        gen->count += n;
    }
    free(ids);
    if (!gen->ids) return AR_ERR_MEMORY;
    gen->prompt_count = gen->count;
    if (gen->count < 1) return ar__fail(AR_ERR_USAGE, "the model has no BOS token: expected a prompt (-p TEXT)");
    if (gen->count >= gen->max)
        return ar__fail(AR_ERR_USAGE, "the prompt has %lld tokens, expected fewer than the context of %d", (long long)gen->count, (int)gen->max);
    return AR_OK;
}

/* How many bytes at the end of text are the beginning of an unfinished UTF-8 character. */
static size_t unfinished(const char *text, size_t bytes) {
    for (size_t back = 1; back <= 3 && back <= bytes; back++) {
        unsigned char c = (unsigned char)text[bytes - back];
        if ((c & 0xc0u) == 0x80u) continue;
        size_t need = c >= 0xf0u ? 4 : c >= 0xe0u ? 3 : c >= 0xc0u ? 2 : 1;
        return need > back ? back : 0;
    }
    return 0;
}

/* Prints what the ids after *shown bytes add, whole characters only. */
static ar_status stream(const generation *gen, const ar_open_model *m, size_t *shown) {
    char *text = NULL;
    size_t bytes = 0;
    AR_TRY(ar_tokenizer_decode(m->tokenizer, &text, &bytes, gen->ids, gen->count, true, true));
    size_t end = bytes - unfinished(text, bytes);
    if (end > *shown) {
        fwrite(text + *shown, 1, end - *shown, stdout);
        fflush(stdout);
        *shown = end;
    }
    free(text);
    return AR_OK;
}

static ar_status generate(generation *gen, const ar_open_model *m, ar_device *device, const run_options *o, const ar_common *common) {
    ar_status status = AR_OK;
    ar_session *session = NULL;
    float *logits = ar__alloc((size_t)m->model.vocab, sizeof *logits);
    ar_sampling sampling = {.greedy = o->greedy, .temperature = (float)o->temperature, .top_p = (float)o->top_p, .seed = (uint64_t)common->seed};
    size_t shown = 0;
    if (!logits) return AR_ERR_MEMORY;
    AR_GO(ar_session_create(&session, m, device, (int32_t)gen->max));
    double t0 = now_s();
    AR_GO(ar_session_logits(session, logits, gen->ids, gen->count));
    gen->prefill_s = now_s() - t0;
    t0 = now_s();
    while (gen->count < gen->max && !ar_program_interrupted()) {
        int32_t id = ar_sample(logits, m->model.vocab, &sampling, (uint64_t)gen->count);
        if (id == m->config.eos) break;
        gen->ids[gen->count++] = id;
        if (!common->json && !o->ids) AR_GO(stream(gen, m, &shown));
        if (gen->count < gen->max) AR_GO(ar_session_logits(session, logits, gen->ids, gen->count));
    }
    gen->decode_s = now_s() - t0;
done:
    free(logits);
    ar_session_destroy(session);
    return status;
}

static double rate(int64_t tokens, double seconds) { return seconds > 0.0 ? (double)tokens / seconds : 0.0; }

static ar_status print_result(const generation *gen, const ar_open_model *m, const run_options *o, const ar_common *common) {
    int64_t made = gen->count - gen->prompt_count;
    if (o->ids && !common->json)
        for (int64_t i = 0; i < gen->count; i++) printf("%d%s", (int)gen->ids[i], i + 1 < gen->count ? " " : "");
    if (common->json) {
        char *raw = NULL, *text = NULL;
        size_t bytes = 0;
        AR_TRY(ar_tokenizer_decode(m->tokenizer, &raw, &bytes, gen->ids, gen->count, true, true));
        ar_status status = ar__utf8_repair(&text, raw, bytes); /* tokens may end or begin within a character */
        free(raw);
        AR_TRY(status);
        cJSON *r = cJSON_CreateObject(), *ids = cJSON_AddArrayToObject(r, "ids");
        for (int64_t i = 0; i < gen->count; i++) cJSON_AddItemToArray(ids, cJSON_CreateNumber(gen->ids[i]));
        cJSON_AddStringToObject(r, "text", text);
        cJSON_AddNumberToObject(r, "prefill_tps", rate(gen->prompt_count, gen->prefill_s));
        cJSON_AddNumberToObject(r, "decode_tps", rate(made, gen->decode_s));
        char *out = cJSON_PrintUnformatted(r);
        if (out) puts(out);
        free(out);
        free(text);
        cJSON_Delete(r);
        return AR_OK;
    }
    putchar('\n');
    fflush(stdout);
    if (!common->quiet)
        fprintf(stderr, "prefill %lld tokens, %.1f tokens/s; decode %lld tokens, %.1f tokens/s\n", (long long)gen->prompt_count,
                rate(gen->prompt_count, gen->prefill_s), (long long)made, rate(made, gen->decode_s));
    return AR_OK;
}

static ar_status run(const ar_command *self, int argc, char **argv) {
    ar_common common;
    run_options o = {.count = 128, .temperature = 0.8, .top_p = 0.95};
    const ar_option options[] = {
        {"--prompt|-p", AR_OPT_STRING, &o.prompt, "TEXT", "what to continue", 0, 0, NULL},
        {"--count|-n", AR_OPT_INT, &o.count, "N", "tokens to generate at most (128)", 1, 1 << 24, NULL},
        {"--temp", AR_OPT_REAL, &o.temperature, "X", "sampling temperature (0.8)", 0.0, 100.0, &o.has_temperature},
        {"--top-p", AR_OPT_REAL, &o.top_p, "X", "sample from the smallest set with this probability (0.95)", 0.0, 1.0, &o.has_top_p},
        {"--greedy", AR_OPT_FLAG, &o.greedy, NULL, "always the most likely token", 0, 0, NULL},
        {"--ids", AR_OPT_FLAG, &o.ids, NULL, "print token ids instead of text", 0, 0, NULL},
    };
    int positional;
    AR_TRY(ar_args_parse(self, &common, options, 6, argc, argv, &positional, 1, 1));
    if (common.help) return AR_OK;
    if (o.greedy && (o.has_temperature || o.has_top_p)) return ar__fail(AR_ERR_USAGE, "--temp and --top-p have no effect with --greedy");
    ar_status status = AR_OK;
    ar_open_model *m = NULL;
    ar_device *device = NULL;
    generation gen = {0};
    AR_GO(ar_model_open(&m, argv[1]));
    AR_GO(start(&gen, m, &o));
    AR_GO(ar_program_device(&device, &common));
    AR_GO(generate(&gen, m, device, &o, &common));
    AR_GO(print_result(&gen, m, &o, &common));
    if (ar_program_interrupted()) status = ar__fail(AR_ERR_INTERRUPTED, "stopped after %lld tokens", (long long)(gen.count - gen.prompt_count));
done:
    free(gen.ids);
    ar_device_close(device);
    ar_model_close(m);
    return status;
}

const ar_command ar__command_run = {"run", "generate text", "MODEL -p TEXT [options]", run};
