/* Conversations as the text a chat model was trained on: the model's own template, rendered as Hugging Face's
 * apply_chat_template renders it. A template that the interpreter does not know all of gives plain text. */
#include "chat.h"
#include "jinja.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TEMPLATE ((size_t)1 << 20)
#define MAX_CONFIG   ((size_t)16 << 20)
#define ANSWER       "7f1c an answer" /* what no template says itself */

struct ar_chat {
    ar__jinja *template; /* NULL: plain text */
    char *note;          /* why it is that, of a model that has a template; else NULL */
    char *bos, *eos, *unk;
    char *turn_end; /* what stands behind an answer */
    bool knows_time;
    struct tm now;
};

/* NULL stays NULL. */
static ar_status copy_text(char **copy, const char *text) {
    *copy = NULL;
    if (!text) return AR_OK;
    *copy = ar__alloc(strlen(text) + 1, 1);
    if (!*copy) return AR_ERR_MEMORY;
    memcpy(*copy, text, strlen(text));
    return AR_OK;
}

/* ---- rendering ---- */

static ar_status put(ar__jvalue *dict, ar__jarena *a, const char *key, ar__jvalue value) {
    return ar__jdict_put(dict, a, ar__jname(key), value);
}

/* The variables that apply_chat_template gives a template. */
static ar_status make_context(ar__jvalue *context, ar__jarena *a, const ar_chat *c,
                              const ar_chat_message *list, int32_t count, bool generate) {
    ar__jvalue messages, one;
    AR_TRY(ar__jdict_make(context, a, AR__J_DICT, 8));
    AR_TRY(ar__jlist_make(&messages, a, AR__J_LIST, (size_t)count));
    for (int32_t i = 0; i < count; i++) {
        AR_TRY(ar__jdict_make(&one, a, AR__J_DICT, 2));
        AR_TRY(put(&one, a, "role", ar__jname(list[i].role)));
        AR_TRY(put(&one, a, "content", ar__jname(list[i].content)));
        AR_TRY(ar__jlist_push(&messages, a, one));
    }
    AR_TRY(put(context, a, "messages", messages));
    AR_TRY(put(context, a, "tools", ar__jnone()));
    AR_TRY(put(context, a, "documents", ar__jnone()));
    AR_TRY(put(context, a, "add_generation_prompt", ar__jbool(generate)));
    if (c->bos) AR_TRY(put(context, a, "bos_token", ar__jname(c->bos)));
    if (c->eos) AR_TRY(put(context, a, "eos_token", ar__jname(c->eos)));
    if (c->unk) AR_TRY(put(context, a, "unk_token", ar__jname(c->unk)));
    return AR_OK;
}

static ar_status render_template(char **text, const ar_chat *c, const ar_chat_message *list, int32_t count,
                                 bool generate) {
    ar__jarena arena = {0};
    ar__jvalue context;
    *text = NULL;
    for (int32_t i = 0; i < count; i++)
        AR_TRY(ar__utf8_check(list[i].content, strlen(list[i].content), "chat"));
    ar_status status = make_context(&context, &arena, c, list, count, generate);
    if (status == AR_OK)
        status = ar__jinja_render(text, c->template, &context, c->knows_time ? &c->now : NULL);
    ar__jarena_deinit(&arena);
    return status;
}

static ar_status render_plain(char **text, const ar_chat_message *list, int32_t count) {
    ar__text out = {0};
    ar_status status = AR_OK;
    for (int32_t i = 0; i < count && status == AR_OK; i++) {
        status = ar__text_append(&out, list[i].content, strlen(list[i].content));
        if (status == AR_OK) status = ar__text_append(&out, "\n", 1);
    }
    if (status == AR_OK) status = ar__text_append(&out, "", 1);
    if (status != AR_OK) free(out.data);
    *text = status == AR_OK ? out.data : NULL;
    return status;
}

/* From now on plain text, for the reason that this thread's error names. */
static ar_status give_up(ar_chat *c) {
    AR_TRY(copy_text(&c->note, ar_error()));
    ar__jinja_close(c->template);
    c->template = NULL;
    return AR_OK;
}

ar_status ar_chat_render(char **text, ar_chat *c, const ar_chat_message *messages, int32_t count,
                         bool generate) {
    *text = NULL;
    if (c->template) {
        ar_status status = render_template(text, c, messages, count, generate);
        if (status != AR_ERR_UNSUPPORTED) return status;
        AR_TRY(give_up(c));
    }
    return render_plain(text, messages, count);
}

/* ---- the object ---- */

/* What the template puts behind an answer, found by letting it render one. A template that refuses the
 * conversation says nothing. */
static ar_status find_turn_end(ar_chat *c) {
    static const ar_chat_message talk[] = {{"user", "a question"}, {"assistant", ANSWER}};
    char *text = NULL;
    ar_status status = render_template(&text, c, talk, 2, false);
    if (status == AR_ERR_MEMORY) return status;
    if (status == AR_ERR_UNSUPPORTED) return give_up(c);
    const char *found = NULL;
    for (const char *p = text; p && (p = strstr(p, ANSWER)) != NULL;) found = p += sizeof ANSWER - 1;
    status = copy_text(&c->turn_end, found);
    free(text);
    return status;
}

static ar_status prepare(ar_chat *c, const ar_chat_desc *d) {
    AR_TRY(copy_text(&c->bos, d->bos));
    AR_TRY(copy_text(&c->eos, d->eos));
    AR_TRY(copy_text(&c->unk, d->unk));
    c->knows_time = d->now != NULL;
    if (d->now) c->now = *d->now;
    if (!d->template_text) return AR_OK;
    ar_status status = ar__jinja_parse(&c->template, d->template_text, strlen(d->template_text),
                                       d->what ? d->what : "chat template");
    if (status == AR_ERR_FORMAT || status == AR_ERR_UNSUPPORTED) return give_up(c);
    AR_TRY(status);
    return find_turn_end(c);
}

ar_status ar_chat_create(ar_chat **chat, const ar_chat_desc *desc) {
    *chat = NULL;
    ar_chat *c = ar__alloc(1, sizeof *c);
    if (!c) return AR_ERR_MEMORY;
    ar_status status = prepare(c, desc);
    if (status != AR_OK)
        ar_chat_close(c);
    else
        *chat = c;
    return status;
}

void ar_chat_close(ar_chat *c) {
    if (!c) return;
    ar__jinja_close(c->template);
    free(c->note);
    free(c->bos);
    free(c->eos);
    free(c->unk);
    free(c->turn_end);
    free(c);
}

bool ar_chat_is_plain(const ar_chat *c) { return !c->template; }
const char *ar_chat_note(const ar_chat *c) { return c->note; }

ar_status ar_chat_turn_end(int32_t *id, const ar_chat *c, const ar_tokenizer *t) {
    int32_t *ids = NULL;
    int64_t count = 0;
    *id = -1;
    if (!c->template || !c->turn_end) return AR_OK;
    const char *end = c->turn_end + strspn(c->turn_end, " \n");
    if (!*end) return AR_OK;
    AR_TRY(ar_tokenizer_encode(t, &ids, &count, end, strlen(end), true));
    ar_token_type type = count > 0 ? ar_tokenizer_token_type(t, ids[0]) : AR_TOKEN_NORMAL;
    if (type == AR_TOKEN_CONTROL || type == AR_TOKEN_USER) *id = ids[0];
    free(ids);
    return AR_OK;
}

/* ---- where templates are stored ---- */

/* tokenizer_config.json's chat_template: a string, or a list of named ones, of which "default" counts. */
static ar_status template_of_config(char **template, const char *path) {
    ar_json *root = NULL;
    AR_TRY(ar_json_open(&root, path, MAX_CONFIG));
    const cJSON *item = ar_json_get(root, "chat_template"), *one;
    ar_status status = AR_OK;
    if (cJSON_IsArray(item)) {
        const cJSON *list = item;
        item = NULL;
        cJSON_ArrayForEach(one, list) {
            const cJSON *name = ar_json_get(one, "name");
            if (cJSON_IsString(name) && strcmp(name->valuestring, "default") == 0)
                item = ar_json_get(one, "template");
        }
    }
    if (cJSON_IsString(item)) {
        status = copy_text(template, item->valuestring);
    }
    ar_json_close(root);
    return status;
}

static ar_status template_of_folder(char **template, const char *folder) {
    char *path = NULL;
    size_t bytes;
    ar_status status = ar_path_join(&path, folder, "chat_template.jinja");
    if (status == AR_OK && ar_path_exists(path)) {
        status = ar_file_read_text(template, &bytes, path, MAX_TEMPLATE);
        free(path);
        return status;
    }
    free(path);
    AR_TRY(status);
    AR_TRY(ar_path_join(&path, folder, "tokenizer_config.json"));
    if (ar_path_exists(path)) status = template_of_config(template, path);
    free(path);
    return status;
}

ar_status ar__chat_template(char **text, const ar_open_model *m) {
    *text = NULL;
    return m->read_template ? m->read_template(text, m->path) : template_of_folder(text, m->path);
}

static ar_status read_template(char **text, const char *file, const ar_open_model *m) {
    size_t bytes;
    return file ? ar_file_read_text(text, &bytes, file, MAX_TEMPLATE) : ar__chat_template(text, m);
}

ar_status ar_chat_open(ar_chat **c, const ar_open_model *m, const char *template_file, const struct tm *now) {
    char *text = NULL;
    const ar_tokenizer *t = m->tokenizer;
    *c = NULL;
    AR_TRY(read_template(&text, template_file, m));
    const ar_chat_desc d = {.template_text = text,
                            .what = template_file,
                            .bos = t ? ar_tokenizer_token(t, ar_tokenizer_bos(t), NULL) : NULL,
                            .eos = t ? ar_tokenizer_token(t, ar_tokenizer_eos(t), NULL) : NULL,
                            .unk = t ? ar_tokenizer_token(t, ar_tokenizer_unk(t), NULL) : NULL,
                            .now = now};
    ar_status status = ar_chat_create(c, &d);
    free(text);
    return status;
}
