/* anyround run -i: a conversation in the model's template. Lines come from stdin; the whole conversation is
 * rendered and encoded again for every answer, as Hugging Face does it, and the session keeps the keys and
 * values of what is the same as before. Ctrl-C ends an answer, and the program where it waits for a line. */
#include "cmd_run.h"
#include "tokenizer.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct talk {
    ar_chat_message *messages; /* contents owned */
    int32_t count, capacity;
    const char *system; /* borrowed; NULL = none */
    bool quiet;
} talk;

static ar_status add_message(talk *t, const char *role, const char *content) {
    if (t->count == t->capacity) {
        int32_t capacity = t->capacity ? 2 * t->capacity : 16;
        ar_chat_message *grown = ar__alloc((size_t)capacity, sizeof *grown);
        if (!grown) return AR_ERR_MEMORY;
        if (t->count) memcpy(grown, t->messages, (size_t)t->count * sizeof *grown);
        free(t->messages);
        t->messages = grown;
        t->capacity = capacity;
    }
    char *copy = strdup(content);
    if (!copy) return ar__fail(AR_ERR_MEMORY, "chat: no memory for a message of %zu bytes", strlen(content));
    t->messages[t->count++] = (ar_chat_message){role, copy};
    return AR_OK;
}

/* The oldest question and its answer, or whatever is oldest. */
static void forget_oldest(talk *t) {
    int32_t first = t->system ? 1 : 0, n = t->count - first > 2 ? 2 : 1;
    for (int32_t i = 0; i < n; i++) free((void *)t->messages[first + i].content);
    memmove(t->messages + first, t->messages + first + n,
            (size_t)(t->count - first - n) * sizeof *t->messages);
    t->count -= n;
}

static void talk_deinit(talk *t) {
    for (int32_t i = 0; i < t->count; i++) free((void *)t->messages[i].content);
    free(t->messages);
}

static void note_plain(const ar_chat *chat, const talk *t) {
    const char *why = ar_chat_note(chat);
    if (t->quiet) return;
    fprintf(stderr, "note: %s%smessages go to the model as plain lines\n",
            why ? why : "the model has no chat template", why ? ", which is not known here: " : ": ");
}

/* Ids of the conversation up to where the answer begins. */
static ar_status encode_talk(int32_t **ids, int64_t *count, const ar_open_model *m, ar_chat *chat,
                             const talk *t) {
    char *text = NULL;
    bool plain = ar_chat_is_plain(chat);
    AR_TRY(ar_chat_render(&text, chat, t->messages, t->count, true));
    if (!plain && ar_chat_is_plain(chat)) note_plain(chat, t);
    /* a template writes BOS itself, where it wants one */
    ar_status status = ar_chat_is_plain(chat)
                           ? ar_tokenizer_encode_text(m->tokenizer, ids, count, text, strlen(text), true)
                           : ar_tokenizer_encode(m->tokenizer, ids, count, text, strlen(text), true);
    free(text);
    return status;
}

/* A message that would not fit alone makes nothing be forgotten. */
static ar_status check_alone(const ar_generation *gen, ar_chat *chat, const talk *t, int64_t context,
                             int64_t room) {
    ar_chat_message both[2];
    talk alone = {.messages = both, .system = t->system, .quiet = t->quiet};
    if (t->system) both[alone.count++] = t->messages[0];
    both[alone.count++] = t->messages[t->count - 1];
    int32_t *ids = NULL;
    int64_t count = 0;
    AR_TRY(encode_talk(&ids, &count, gen->m, chat, &alone));
    free(ids);
    if (count + room <= context) return AR_OK;
    return ar__fail(
        AR_ERR_USAGE,
        "chat: found a message of %lld tokens, expected it to leave %lld of the context of %lld (-c N)",
        (long long)count, (long long)room, (long long)context);
}

/* Puts the conversation into gen->ids, without its beginning where the context does not hold it and an
 * answer. */
static ar_status fit_talk(ar_generation *gen, ar_chat *chat, talk *t, const ar_common *common) {
    int64_t context = ar_session_context(gen->session), room = context / 4 < 64 ? context / 4 : 64;
    bool forgot = false;
    for (;;) {
        int32_t *ids = NULL;
        int64_t count = 0;
        AR_TRY(encode_talk(&ids, &count, gen->m, chat, t));
        bool fits = count > 0 && count + room <= context;
        if (fits) memcpy(gen->ids, ids, (size_t)count * sizeof *ids);
        gen->count = count;
        free(ids);
        if (forgot && fits && !common->quiet)
            fprintf(stderr,
                    "note: the conversation is longer than the context: its beginning is forgotten\n");
        if (fits) return AR_OK;
        if (!forgot) AR_TRY(check_alone(gen, chat, t, context, room));
        forget_oldest(t);
        forgot = true;
    }
}

/* The answer's text into the conversation, so that the next turn sees what was said. */
static ar_status keep_answer(const ar_generation *gen, talk *t) {
    char *raw = NULL, *text = NULL;
    size_t bytes = 0;
    AR_TRY(ar_tokenizer_decode(gen->m->tokenizer, &raw, &bytes, gen->ids + gen->prompt_count,
                               gen->count - gen->prompt_count, false, true));
    ar_status status = ar__utf8_repair(&text, raw, bytes);
    free(raw);
    if (status == AR_OK) status = add_message(t, "assistant", text);
    free(text);
    return status;
}

/* The line as the conversation's next message, and all of it in gen->ids. One that cannot be said (no UTF-8,
 * too long, refused by the template) is passed over, *asked = false: it does not end the conversation. */
static ar_status ask(bool *asked, ar_generation *gen, ar_chat *chat, talk *t, const ar_common *common,
                     const char *line) {
    AR_TRY(add_message(t, "user", line));
    ar_status status = ar__utf8_check(line, strlen(line), "this line");
    if (status == AR_OK) status = fit_talk(gen, chat, t, common);
    *asked = status == AR_OK;
    bool is_bad = status == AR_ERR_FORMAT || status == AR_ERR_USAGE || status == AR_ERR_ARG ||
                  status == AR_ERR_UNSUPPORTED;
    if (!is_bad) return status;
    fprintf(stderr, "anyround: %s\n", ar_error());
    free((void *)t->messages[--t->count].content);
    return AR_OK;
}

static ar_status answer(ar_generation *gen, talk *t, const ar_run_options *o, const ar_common *common) {
    ar_program_catch_signals();
    AR_TRY(ar_generation_run(gen, o->count, gen->count));
    putchar('\n');
    fflush(stdout);
    if (!common->quiet) ar_generation_report(gen);
    ar_program_release_signals();
    return keep_answer(gen, t);
}

static ar_status converse(ar_generation *gen, ar_chat *chat, talk *t, const ar_run_options *o,
                          const ar_common *common) {
    ar_status status = AR_OK;
    char *line = NULL;
    size_t capacity = 0;
    if (o->system) AR_TRY(add_message(t, "system", o->system));
    ar_program_release_signals();
    if (o->prompt) {
        AR_GO(add_message(t, "user", o->prompt));
        AR_GO(ar_program_name_text(fit_talk(gen, chat, t, common), "--prompt"));
        AR_GO(answer(gen, t, o, common));
    }
    for (;;) {
        if (isatty(0)) printf("> ");
        fflush(stdout);
        ssize_t n = getline(&line, &capacity, stdin);
        if (n < 0) break;
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) line[--n] = '\0';
        bool asked = false;
        if (n > 0) AR_GO(ask(&asked, gen, chat, t, common, line));
        if (asked) AR_GO(answer(gen, t, o, common));
    }
done:
    free(line);
    return status;
}

ar_status ar_run_chat(const ar_open_model *m, ar_device *device, const ar_run_options *o,
                      const ar_common *common) {
    ar_generation gen = {0};
    ar_chat *chat = NULL;
    talk t = {.system = o->system, .quiet = common->quiet};
    time_t now = time(NULL);
    ar_status status;
    AR_GO(ar_chat_open(&chat, m, o->template_file, localtime(&now)));
    if (ar_chat_is_plain(chat))
        note_plain(chat, &t);
    else if (!common->quiet)
        fprintf(stderr, "chat template: %s\n", o->template_file ? o->template_file : "the model's own");
    AR_GO(ar_generation_init(&gen, m, device, o, common, o->context));
    AR_GO(ar_chat_turn_end(&gen.turn_end, chat, m->tokenizer));
    AR_GO(converse(&gen, chat, &t, o, common));
done:
    talk_deinit(&t);
    ar_chat_close(chat);
    ar_generation_deinit(&gen);
    return status;
}
