/* anyround run: the command, and one text. A conversation is cmd_run_chat.c; both grow what
 * generation.c makes. */
#include "cmd_run.h"
#include "model_states.h"
#include "tokenizer.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_PROMPT ((size_t)64 << 20)

/* ---- one text ---- */

/* A pipe or a file; a terminal or /dev/null gives no prompt. */
static bool stdin_gives(void) {
    struct stat info;
    return fstat(0, &info) == 0 &&
           (S_ISFIFO(info.st_mode) || S_ISREG(info.st_mode) || S_ISSOCK(info.st_mode));
}

/* All of stdin but the newline at its end, which echo adds. */
static ar_status read_stdin(char **text, size_t *bytes) {
    size_t capacity = 1 << 16, used = 0;
    char *buffer = ar__alloc(capacity, 1);
    while (buffer) {
        used += fread(buffer + used, 1, capacity - 1 - used, stdin);
        if (used < capacity - 1) break;
        char *grown = capacity < MAX_PROMPT ? ar__alloc(capacity * 2, 1) : NULL;
        if (grown) memcpy(grown, buffer, used);
        free(buffer);
        if (capacity >= MAX_PROMPT)
            return ar__fail(AR_ERR_FORMAT, "stdin: found more than %zu bytes, expected at most that",
                            MAX_PROMPT);
        buffer = grown;
        capacity *= 2;
    }
    if (!buffer) return AR_ERR_MEMORY;
    if (used > 0 && buffer[used - 1] == '\n') used--;
    buffer[used] = '\0';
    *text = buffer;
    *bytes = used;
    return AR_OK;
}

static bool from_stdin(const ar_run_options *o) {
    return o->file ? strcmp(o->file, "-") == 0 : !o->prompt && stdin_gives();
}

/* TEXT, -p, what -f names, or what stdin gives. */
static ar_status read_prompt(char **text, size_t *bytes, const ar_run_options *o) {
    if (from_stdin(o)) return read_stdin(text, bytes);
    if (o->file) return ar_file_read_text(text, bytes, o->file, MAX_PROMPT);
    *bytes = o->prompt ? strlen(o->prompt) : 0;
    *text = ar__alloc(*bytes + 1, 1);
    if (!*text) return AR_ERR_MEMORY;
    if (*bytes) memcpy(*text, o->prompt, *bytes);
    return AR_OK;
}

/* The tokenizer's prefix (BOS) and the prompt's tokens. */
static ar_status encode_prompt(int32_t **ids, int64_t *count, const ar_open_model *m,
                               const ar_run_options *o) {
    char *text = NULL;
    size_t bytes = 0;
    *ids = NULL;
    AR_TRY(read_prompt(&text, &bytes, o));
    ar_status status = ar_program_name_text(
        ar_tokenizer_encode_text(m->tokenizer, ids, count, text, bytes, true), from_stdin(o) ? "stdin"
                                                                               : o->file     ? o->file
                                                                                             : "--prompt");
    free(text);
    if (status == AR_OK && *count < 1)
        status =
            ar__fail(AR_ERR_USAGE,
                     "the model's texts do not begin with BOS: expected a prompt (TEXT, -p TEXT or -f FILE)");
    return status;
}

static ar_status print_json(const ar_generation *gen) {
    char *raw = NULL, *text = NULL;
    size_t bytes = 0;
    static const char *const stops[] = {"end", "count", "context", "interrupt"};
    double tps = ar_tokens_per_s(gen->decoded, gen->decode_s);
    AR_TRY(ar_tokenizer_decode(gen->m->tokenizer, &raw, &bytes, gen->ids, gen->count, true, true));
    ar_status status = ar__utf8_repair(&text, raw, bytes); /* tokens may end or begin within a character */
    free(raw);
    AR_TRY(status);
    cJSON *r = cJSON_CreateObject(), *ids = ar_json_add_list(r, "ids");
    for (int64_t i = 0; i < gen->count; i++) ar_json_push(ids, cJSON_CreateNumber(gen->ids[i]));
    ar_json_add_string(r, "text", text);
    ar_json_add_number(r, "prompt_tokens", (double)gen->prompt_count);
    ar_json_add_number(r, "context", ar_session_context(gen->session));
    ar_json_add_string(r, "stop", stops[gen->stop]);
    ar_json_add_number(r, "prefill_tps", ar_tokens_per_s(gen->prefilled, gen->prefill_s));
    ar_json_add_number(r, "decode_tps", tps);
    ar_json_add_number(r, "decode_gbs", 1e-9 * tps * (double)ar_session_weight_bytes(gen->session));
    free(text);
    status = ar_program_json(r, false);
    cJSON_Delete(r);
    return status;
}

static ar_status print_result(const ar_generation *gen, const ar_run_options *o, const ar_common *common) {
    if (common->json) return print_json(gen);
    for (int64_t i = 0; o->ids && i < gen->count; i++)
        printf("%d%s", (int)gen->ids[i], i + 1 < gen->count ? " " : "");
    putchar('\n');
    fflush(stdout);
    if (!common->quiet) ar_generation_report(gen);
    return AR_OK;
}

static ar_status run_text(const ar_open_model *m, ar_device *device, const ar_run_options *o,
                          const ar_common *common) {
    ar_generation gen = {0};
    int32_t *ids = NULL;
    int64_t count = 0, context;
    ar_status status;
    AR_GO(encode_prompt(&ids, &count, m, o));
    context = o->context                               ? o->context
              : count + o->count < m->model.max_tokens ? count + o->count
                                                       : m->model.max_tokens;
    if (count >= context)
        AR_GO(ar__fail(AR_ERR_USAGE, "the prompt has %lld tokens, expected fewer than the context of %lld",
                       (long long)count, (long long)context));
    AR_GO(ar_generation_init(&gen, m, device, o, common, context));
    memcpy(gen.ids, ids, (size_t)count * sizeof *ids);
    gen.count = count;
    AR_GO(ar_snapshot_end(ar_generation_run(&gen, o->count, 0), &m->files));
    AR_GO(ar_device_pulse(device)); /* still */
    AR_GO(print_result(&gen, o, common));
    if (ar_program_interrupted())
        status = ar__fail(AR_ERR_INTERRUPTED, "stopped after %lld tokens",
                          (long long)(gen.count - gen.prompt_count));
done:
    free(ids);
    ar_generation_deinit(&gen);
    return status;
}

/* ---- the command ---- */

static ar_status check_options(const ar_run_options *o, const ar_common *common, bool sampled) {
    if (o->greedy && sampled)
        return ar__fail(AR_ERR_USAGE, "--temp, --top-k, --top-p and --min-p have no effect with --greedy");
    if (o->prompt && o->file) return ar__fail(AR_ERR_USAGE, "--prompt and --file: expected one of them");
    if (o->chat && (o->ids || common->json || o->file))
        return ar__fail(AR_ERR_USAGE, "--ids, --file and --json have no effect with --interactive");
    if (!o->chat && (o->system || o->template_file))
        return ar__fail(AR_ERR_USAGE, "%s has no effect without --interactive",
                        o->system ? "--system" : "--chat-template");
    return AR_OK;
}

/* The model; few: it is one of few states, which a net is to be made of. */
static ar_status open_model(ar_open_model **m, bool *few, ar_lm_states_desc *states, const char *path,
                            const ar_run_options *o, const ar_common *common) {
    int32_t T;
    *few = ar__states_lm_is(path);
    if (*few && (o->lora || o->acts || o->int_products))
        return ar__fail(AR_ERR_USAGE,
                        "--lora, --acts and --int-products have no effect on a net of few states");
    if (*few) return ar__model_open_states(m, states, &T, path);
    if (ar__states_is(path))
        return ar__fail(AR_ERR_UNSUPPORTED,
                        "%s: found a net of few states that generates no text, expected a language model "
                        "(anyround eval tells what the net is worth)",
                        path);
    AR_TRY(ar_program_model(m, path, common));
    AR_TRY(ar_program_lora(*m, o->lora));
    return ar_program_acts(*m, o->acts, o->int_products);
}

static ar_status run_model(const ar_open_model *m, const ar_lm_states_desc *few, ar_run_options *o,
                           const ar_common *common) {
    ar_device *device = NULL;
    ar_net *net = NULL;
    ar_status status;
    if (!m->tokenizer)
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: has no tokenizer, expected one beside it", m->path);
    AR_GO(ar_program_device(&device, common, true));
    if (few) AR_GO(ar__states_lm_net(&net, m, few, m->model.max_tokens, device));
    o->net = net;
    AR_GO(o->chat ? ar_run_chat(m, device, o, common) : run_text(m, device, o, common));
done:
    ar_net_destroy(net);
    ar_device_close(device);
    return ar_snapshot_end(status, &m->files);
}

static ar_status run(const ar_command *self, int argc, char **argv) {
    ar_common common;
    bool sampled = false;
    ar_run_options o = {
        .count = 128, .temperature = 0.8, .top_k = 40, .top_p = 0.95, .min_p = 0.05, .penalty = 1.0};
    const ar_option options[] = {
        {"--prompt|-p", AR_OPT_STRING, &o.prompt, "TEXT", "what to continue; with -i the first message", 0, 0,
         NULL},
        {"--file|-f", AR_OPT_STRING, &o.file, "FILE",
         "the same from a file, - = stdin (so it is where stdin is a pipe)", 0, 0, NULL},
        {"--count|-n", AR_OPT_INT, &o.count, "N", "tokens to generate at most (128)", 1, 1 << 24, NULL},
        {"--context|-c", AR_OPT_INT, &o.context, "N",
         "tokens the caches hold (what is needed; -i: what fits)", 2, 1 << 24, NULL},
        {"--greedy", AR_OPT_FLAG, &o.greedy, NULL, "always the most likely token", 0, 0, NULL},
        {"--temp", AR_OPT_REAL, &o.temperature, "X", "sampling temperature (0.8)", 0.0, 100.0, &sampled},
        {"--top-k", AR_OPT_INT, &o.top_k, "N", "sample from the N most likely (40; 0 = all)", 0, 1 << 24,
         &sampled},
        {"--top-p", AR_OPT_REAL, &o.top_p, "X", "from the fewest of those with this probability (0.95)", 0.0,
         1.0, &sampled},
        {"--min-p", AR_OPT_REAL, &o.min_p, "X", "from those at least X times as likely as the best (0.05)",
         0.0, 1.0, &sampled},
        {"--repeat-penalty", AR_OPT_REAL, &o.penalty, "X", "makes the last 64 tokens less likely (1 = no)",
         0.01, 100.0, NULL},
        {"--interactive|-i", AR_OPT_FLAG, &o.chat, NULL, "chat, in the model's template", 0, 0, NULL},
        {"--system", AR_OPT_STRING, &o.system, "TEXT", "the conversation's system message", 0, 0, NULL},
        {"--lora", AR_OPT_STRING, &o.lora, "FILE", "with this adapter: GGUF LoRA, or --lorc's tensors", 0, 0,
         NULL},
        {"--acts", AR_OPT_STRING, &o.acts, "A",
         "inputs of linears in few bits: BITS[:token|static][:sym|asym], 16, or q8: bytes for stored weights "
         "(as the model says)",
         0, 0, NULL},
        {"--int-products", AR_OPT_FLAG, &o.int_products, NULL, "multiply the codes of both as integers", 0, 0,
         NULL},
        {"--chat-template", AR_OPT_STRING, &o.template_file, "FILE",
         "a Jinja template for the conversation (the model's own)", 0, 0, NULL},
        {"--ids", AR_OPT_FLAG, &o.ids, NULL, "print token ids instead of text", 0, 0, NULL},
    };
    int positional;
    AR_TRY(ar_args_parse(self, &common, options, (int32_t)(sizeof options / sizeof *options), argc, argv,
                         &positional, 1, 2));
    if (common.help) return AR_OK;
    if (positional == 2 && o.prompt) return ar__fail(AR_ERR_USAGE, "TEXT and --prompt: expected one of them");
    if (positional == 2) o.prompt = argv[2];
    AR_TRY(check_options(&o, &common, sampled));
    ar_open_model *m = NULL;
    ar_lm_states_desc states;
    bool few;
    ar_status status = open_model(&m, &few, &states, argv[1], &o, &common);
    if (status == AR_OK) status = run_model(m, few ? &states : NULL, &o, &common);
    ar_model_close(m);
    return status;
}

const ar_command ar__command_run = {"run", "generate text", "MODEL [TEXT | -p TEXT | -f FILE | -i] [options]",
                                    run};
