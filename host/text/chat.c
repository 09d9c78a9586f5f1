/* Conversations as the text a chat model was trained on. Models carry a Jinja template for that; the common
 * ones are recognised by the marks they contain, with the variants that matter (who opens, what is trimmed,
 * where a system message goes), and rendered here as Hugging Face's apply_chat_template renders them. There
 * is no Jinja here. */
#include "chat.h"
#include "tokenizer.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TEMPLATE ((size_t)1 << 20)
#define MAX_CONFIG   ((size_t)16 << 20)
#define FIXED_DATE   "26 Jul 2024" /* Llama 3.1's templates say this where nobody tells them the date */

typedef enum chat_kind { PLAIN, CHATML, LLAMA2, LLAMA3, MISTRAL, GEMMA, PHI3 } chat_kind;
static const char *const kind_names[] = {"plain text", "ChatML", "Llama-2", "Llama-3",
                                         "Mistral",    "Gemma",  "Phi-3"};
static const char *const turn_ends[] = {"", "<|im_end|>", "", "<|eot_id|>", "", "<end_of_turn>", "<|end|>"};
typedef enum system_place { SYSTEM_NONE, SYSTEM_TURN, SYSTEM_FIRST, SYSTEM_LAST } system_place;

struct ar_chat {
    chat_kind kind;
    char *bos, *eos, *date, *system; /* system: the default one; NULL = none */
    system_place place;              /* where a system message goes */
    bool opens_with_bos, ends_with_eos, dated, drops_thoughts;
    const char *open, *close, *lead,
        *after; /* Mistral: around the user's text, before the answer, after its EOS */
    bool trims; /* Mistral: the answer */
};

/* ---- recognising ---- */

static bool has(const char *template, const char *mark) { return strstr(template, mark) != NULL; }

static char *copy_text(const char *text, size_t bytes) {
    char *copy = ar__alloc(bytes + 1, 1);
    if (copy) memcpy(copy, text, bytes);
    return copy;
}

/* The default system message of a ChatML template: what follows '<|im_start|>system\n' inside a string
 * literal. */
static ar_status find_default_system(ar_chat *c, const char *template) {
    static const char mark[] = "<|im_start|>system\\n",
                      named[] = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.";
    for (const char *p = strstr(template, mark); p; p = strstr(p, mark)) {
        p += sizeof mark - 1;
        size_t bytes = strcspn(p, "'\"<");
        if (bytes == 0 || strncmp(p + bytes, "<|im_end|>", 10) != 0) continue;
        c->system = copy_text(p, bytes);
        return c->system ? AR_OK : AR_ERR_MEMORY;
    }
    if (!has(template, named)) return AR_OK;
    c->system = copy_text(named, sizeof named - 1);
    return c->system ? AR_OK : AR_ERR_MEMORY;
}

static void find_mistral(ar_chat *c, const char *t) {
    bool spaced = has(t, "[INST] ");
    c->open = has(t, "' [INST] ") || has(t, "\" [INST] ") ? " [INST] " : spaced ? "[INST] " : "[INST]";
    c->close = has(t, " [/INST]") ? " [/INST]" : "[/INST]";
    c->lead = has(t, "' ' + message[") || has(t, "\" \" + message[") ? " " : "";
    c->after = has(t, "eos_token + ' '") || has(t, "eos_token + \" \"") ? " " : "";
    c->trims = has(t, "|trim + eos_token") || has(t, "| trim + eos_token") || has(t, "|trim) + eos_token");
    c->place = !has(t, "system_message")                ? SYSTEM_NONE
               : has(t, "loop.last and system_message") ? SYSTEM_LAST
                                                        : SYSTEM_FIRST;
}

static chat_kind find_kind(const char *t) {
    if (has(t, "<|im_start|>")) return CHATML;
    if (has(t, "<|start_header_id|>") && has(t, "<|eot_id|>")) return LLAMA3;
    if (has(t, "<start_of_turn>")) return GEMMA;
    if (has(t, "<|user|>") && has(t, "<|end|>")) return PHI3;
    if (has(t, "[INST]")) return has(t, "<<SYS>>") ? LLAMA2 : MISTRAL;
    return PLAIN;
}

static ar_status recognise(ar_chat *c, const char *t) {
    c->kind = find_kind(t);
    c->place = SYSTEM_TURN;
    c->opens_with_bos = has(t, "bos_token");
    switch (c->kind) {
    case CHATML: c->drops_thoughts = has(t, "</think>"); return find_default_system(c, t);
    case LLAMA2: c->place = SYSTEM_FIRST; break;
    case LLAMA3: c->dated = has(t, "Cutting Knowledge Date"); break;
    case MISTRAL: find_mistral(c, t); break;
    case GEMMA: c->place = has(t, "first_user_prefix") ? SYSTEM_FIRST : SYSTEM_NONE; break;
    case PHI3:
        c->place = has(t, "system") ? SYSTEM_TURN : SYSTEM_NONE;
        c->ends_with_eos = has(t, "eos_token");
        break;
    case PLAIN: break;
    }
    return AR_OK;
}

ar_status ar_chat_parse(ar_chat **chat, const char *template_text, const char *bos, const char *eos,
                        const char *date) {
    *chat = NULL;
    ar_chat *c = ar__alloc(1, sizeof *c);
    if (!c) return AR_ERR_MEMORY;
    const char *t = template_text ? template_text : "",
               *today = date && has(t, "strftime_now") ? date : FIXED_DATE;
    ar_status status = recognise(c, t);
    c->bos = copy_text(bos ? bos : "", bos ? strlen(bos) : 0);
    c->eos = copy_text(eos ? eos : "", eos ? strlen(eos) : 0);
    c->date = copy_text(today, strlen(today));
    if (status == AR_OK && !(c->bos && c->eos && c->date)) status = AR_ERR_MEMORY;
    if (status != AR_OK)
        ar_chat_close(c);
    else
        *chat = c;
    return status;
}

void ar_chat_close(ar_chat *c) {
    if (!c) return;
    free(c->bos);
    free(c->eos);
    free(c->date);
    free(c->system);
    free(c);
}

const char *ar_chat_name(const ar_chat *c) { return kind_names[c->kind]; }
bool ar_chat_is_plain(const ar_chat *c) { return c->kind == PLAIN; }
const char *ar_chat_turn_end(const ar_chat *c) { return turn_ends[c->kind]; }

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
        *template = copy_text(item->valuestring, strlen(item->valuestring));
        if (!*template) status = AR_ERR_MEMORY;
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

ar_status ar_chat_open(ar_chat **c, const ar_open_model *m, const char *date) {
    char *template = NULL;
    *c = NULL;
    ar_status status = ar__chat_template(&template, m);
    const char *bos = m->tokenizer ? ar_tokenizer_token(m->tokenizer, m->config.bos, NULL) : NULL;
    const char *eos = m->tokenizer ? ar_tokenizer_token(m->tokenizer, m->config.eos, NULL) : NULL;
    if (status == AR_OK) status = ar_chat_parse(c, template, bos, eos, date);
    free(template);
    return status;
}

/* ---- rendering ---- */

typedef struct render {
    const ar_chat *c;
    ar__text out;
    ar_status status;
} render;

static void put(render *r, const char *text) {
    if (r->status == AR_OK) r->status = ar__text_append(&r->out, text, strlen(text));
}

static bool is_space(uint32_t c) { return ar__utf8_is_space(c) || (c >= 0x1c && c <= 0x1f); }

/* Without the white space at both ends, as Python's strip. */
static void put_trimmed(render *r, const char *text) {
    size_t from = 0, to = strlen(text), step;
    while (from < to && is_space(ar__utf8_char(text + from, &step))) from += step;
    while (to > from) {
        size_t last = to - 1;
        while (last > from && ((uint8_t)text[last] & 0xc0) == 0x80) last--;
        if (!is_space(ar__utf8_char(text + last, &step))) break;
        to = last;
    }
    if (r->status == AR_OK) r->status = ar__text_append(&r->out, text + from, to - from);
}

static bool is_role(const ar_chat_message *m, const char *role) { return strcmp(m->role, role) == 0; }

/* What an answer says after its thoughts. */
static const char *after_thoughts(const char *text) {
    for (const char *end = strstr(text, "</think>"); end; end = strstr(text, "</think>")) {
        text = end + 8;
        while (*text == '\n') text++;
    }
    return text;
}

static void render_chatml(render *r, const ar_chat_message *list, int32_t count, bool generate) {
    const char *given = count > 0 && is_role(&list[0], "system") ? NULL : r->c->system;
    if (given) {
        put(r, "<|im_start|>system\n");
        put(r, given);
        put(r, "<|im_end|>\n");
    }
    for (int32_t i = 0; i < count; i++) {
        bool thinks = r->c->drops_thoughts && is_role(&list[i], "assistant");
        put(r, "<|im_start|>");
        put(r, list[i].role);
        put(r, "\n");
        put(r, thinks ? after_thoughts(list[i].content) : list[i].content);
        put(r, "<|im_end|>\n");
    }
    if (generate) put(r, "<|im_start|>assistant\n");
}

static void render_llama3(render *r, const ar_chat_message *list, int32_t count, bool generate) {
    int32_t first = 0;
    if (r->c->dated) {
        put(r, "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday "
               "Date: ");
        put(r, r->c->date);
        put(r, "\n\n");
        if (count > 0 && is_role(&list[0], "system")) put_trimmed(r, list[first++].content);
        put(r, "<|eot_id|>");
    }
    for (int32_t i = first; i < count; i++) {
        put(r, "<|start_header_id|>");
        put(r, list[i].role);
        put(r, "<|end_header_id|>\n\n");
        put_trimmed(r, list[i].content);
        put(r, "<|eot_id|>");
    }
    if (generate) put(r, "<|start_header_id|>assistant<|end_header_id|>\n\n");
}

static void render_llama2(render *r, const char *system, const ar_chat_message *list, int32_t count) {
    for (int32_t i = 0; i < count && r->status == AR_OK; i++) {
        ar__text turn = {0};
        const char *pieces[] = {i == 0 && system ? "<<SYS>>\n" : "", i == 0 && system ? system : "",
                                i == 0 && system ? "\n<</SYS>>\n\n" : "", list[i].content};
        for (int32_t k = 0; k < 4 && r->status == AR_OK; k++)
            r->status = ar__text_append(&turn, pieces[k], strlen(pieces[k]));
        if (r->status == AR_OK) r->status = ar__text_append(&turn, "", 1);
        if (r->status == AR_OK && i % 2 == 0) {
            put(r, r->c->bos);
            put(r, "[INST] ");
            put_trimmed(r, turn.data);
            put(r, " [/INST]");
        } else if (r->status == AR_OK) {
            put(r, " ");
            put_trimmed(r, turn.data);
            put(r, " ");
            put(r, r->c->eos);
        }
        free(turn.data);
    }
}

static void render_mistral(render *r, const char *system, const ar_chat_message *list, int32_t count) {
    const ar_chat *c = r->c;
    for (int32_t i = 0; i < count; i++) {
        if (i % 2 == 0) {
            bool here = system && (c->place == SYSTEM_LAST ? i == count - 1 : i == 0);
            put(r, c->open);
            put(r, here ? system : "");
            put(r, here ? "\n\n" : "");
            put(r, list[i].content);
            put(r, c->close);
        } else {
            put(r, c->lead);
            if (c->trims)
                put_trimmed(r, list[i].content);
            else
                put(r, list[i].content);
            put(r, c->eos);
            put(r, c->after);
        }
    }
}

static void render_gemma(render *r, const char *system, const ar_chat_message *list, int32_t count,
                         bool generate) {
    for (int32_t i = 0; i < count; i++) {
        put(r, i % 2 ? "<start_of_turn>model\n" : "<start_of_turn>user\n");
        if (i == 0 && system) {
            put(r, system);
            put(r, "\n\n");
        }
        put_trimmed(r, list[i].content);
        put(r, "<end_of_turn>\n");
    }
    if (generate) put(r, "<start_of_turn>model\n");
}

static void render_phi3(render *r, const ar_chat_message *list, int32_t count, bool generate) {
    for (int32_t i = 0; i < count; i++) {
        if (r->c->place == SYSTEM_NONE && is_role(&list[i], "system")) continue;
        put(r, "<|");
        put(r, list[i].role);
        put(r, "|>\n");
        put(r, list[i].content);
        put(r, "<|end|>\n");
    }
    if (generate)
        put(r, "<|assistant|>\n");
    else if (r->c->ends_with_eos)
        put(r, r->c->eos);
}

/* Templates with turns inside each other's brackets: system (if they take one), then user and assistant in
 * turn. */
static ar_status check_turns(const ar_chat *c, const char **system, const ar_chat_message **list,
                             int32_t *count) {
    *system = NULL;
    if (*count > 0 && is_role(*list, "system")) {
        if (c->place == SYSTEM_NONE)
            return ar__fail(
                AR_ERR_UNSUPPORTED,
                "chat: found a system message, expected none: this model's template has no place for it");
        *system = (*list)++->content;
        --*count;
    }
    for (int32_t i = 0; i < *count; i++)
        if (!is_role(*list + i, i % 2 ? "assistant" : "user"))
            return ar__fail(AR_ERR_ARG,
                            "chat: message %d: found role %s, expected user and assistant in turn", (int)i,
                            (*list)[i].role);
    return AR_OK;
}

ar_status ar_chat_render(char **text, const ar_chat *c, const ar_chat_message *list, int32_t count,
                         bool generate) {
    *text = NULL;
    render r = {.c = c, .status = AR_OK};
    const char *system = NULL;
    if (c->kind == LLAMA2 || c->kind == MISTRAL || c->kind == GEMMA)
        AR_TRY(check_turns(c, &system, &list, &count));
    if (c->opens_with_bos && c->kind != LLAMA2) put(&r, c->bos);
    switch (c->kind) {
    case CHATML: render_chatml(&r, list, count, generate); break;
    case LLAMA2: render_llama2(&r, system, list, count); break;
    case LLAMA3: render_llama3(&r, list, count, generate); break;
    case MISTRAL: render_mistral(&r, system, list, count); break;
    case GEMMA: render_gemma(&r, system, list, count, generate); break;
    case PHI3: render_phi3(&r, list, count, generate); break;
    case PLAIN:
        for (int32_t i = 0; i < count; i++) {
            put(&r, list[i].content);
            put(&r, "\n");
        }
        break;
    }
    if (r.status == AR_OK) r.status = ar__text_append(&r.out, "", 1);
    if (r.status == AR_OK)
        *text = r.out.data;
    else
        free(r.out.data);
    return r.status;
}
