/* The tokens of one calibration file. */
#include "calib.h"
#include "ar_error.h"
#include "place.h"
#include "tokenizer.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file of lines on its way. */
typedef struct reading {
    const ar_open_model *m;
    const ar_observer *observer;
    char where[400]; /* "chats.jsonl: line 3" */
    ar_chat *chat;   /* NULL until the first conversation */
    int32_t *ids;
    int64_t count, capacity;
} reading;

static ar_status append_ids(reading *r, const int32_t *ids, int64_t n) {
    if (r->count + n > r->capacity) {
        int64_t capacity = 2 * (r->count + n) + 1024;
        int32_t *grown = ar__alloc((size_t)capacity, sizeof *grown);
        if (!grown) return AR_ERR_MEMORY;
        if (r->count) memcpy(grown, r->ids, (size_t)r->count * sizeof *grown);
        free(r->ids);
        r->ids = grown;
        r->capacity = capacity;
    }
    if (n) memcpy(r->ids + r->count, ids, (size_t)n * sizeof *ids);
    r->count += n;
    return AR_OK;
}

/* Behind the tokenizer's prefix (BOS), unless a template has written what it wants of that. */
static ar_status append_text(reading *r, const char *text, bool prefixed, bool special) {
    int32_t *ids = NULL;
    int64_t n = 0;
    AR_TRY(prefixed ? ar_tokenizer_encode_text(r->m->tokenizer, &ids, &n, text, strlen(text), special)
                    : ar_tokenizer_encode(r->m->tokenizer, &ids, &n, text, strlen(text), special));
    ar_status status = append_ids(r, ids, n);
    free(ids);
    return status;
}

/* Templates that say the date get one that stays, so that equal inputs give equal results. */
static ar_status open_chat(reading *r) {
    static const struct tm day = {.tm_year = 124, .tm_mon = 6, .tm_mday = 26, .tm_wday = 5, .tm_yday = 207};
    return r->chat ? AR_OK : ar_chat_open(&r->chat, r->m, NULL, &day);
}

static void warn_plain(const reading *r) {
    char line[600];
    const char *why = ar_chat_note(r->chat);
    snprintf(line, sizeof line, "%s: conversations are calibrated as plain text",
             why ? why : "the model has no known chat template");
    if (r->observer && r->observer->warn) r->observer->warn(r->observer->ctx, line);
}

static ar_status read_messages(ar_chat_message *list, const ar_json *messages, const char *where) {
    const ar_json *item;
    cJSON_ArrayForEach(item, messages) {
        AR_TRY(ar_json_string_or(&list->role, item, "role", NULL, where));
        AR_TRY(ar_json_string_or(&list->content, item, "content", NULL, where));
        if (!list->role || !list->content)
            return ar__fail(AR_ERR_FORMAT, "%s: found a message without role or content, expected both",
                            where);
        list++;
    }
    return AR_OK;
}

/* What the template refuses is named by its line. */
static ar_status append_conversation(reading *r, const ar_json *messages) {
    ar_status status = AR_OK;
    char *text = NULL;
    int32_t count = cJSON_GetArraySize(messages);
    if (count < 1)
        return ar__fail(AR_ERR_FORMAT, "%s: messages: found none, expected a list of them", r->where);
    ar_chat_message *list = ar__alloc((size_t)count, sizeof *list);
    if (!list) return AR_ERR_MEMORY;
    AR_GO(read_messages(list, messages, r->where));
    bool opened = r->chat != NULL, plain;
    AR_GO(open_chat(r));
    plain = opened && ar_chat_is_plain(r->chat);
    status = ar_chat_render(&text, r->chat, list, count, false);
    if (status == AR_OK && !plain && ar_chat_is_plain(r->chat)) warn_plain(r);
    if (status == AR_ERR_ARG || status == AR_ERR_FORMAT) {
        char reason[400];
        snprintf(reason, sizeof reason, "%s", ar_error());
        status = ar__fail(AR_ERR_FORMAT, "%s: %s", r->where, reason);
    }
    AR_GO(status);
    AR_GO(append_text(r, text, ar_chat_is_plain(r->chat), true));
done:
    free(text);
    free(list);
    return status;
}

static ar_status append_line(reading *r, const char *line, size_t bytes) {
    ar_status status = AR_OK;
    const char *text = NULL;
    ar_json *root = NULL;
    AR_TRY(ar_json_parse(&root, line, bytes, r->where));
    const ar_json *messages = ar_json_get(root, "messages");
    if (messages) AR_GO(append_conversation(r, messages));
    if (messages) goto done;
    AR_GO(ar_json_string_or(&text, root, "text", NULL, r->where));
    if (!text)
        AR_GO(ar__fail(AR_ERR_FORMAT, "%s: found neither messages nor text, expected one of them", r->where));
    AR_GO(append_text(r, text, true, false));
done:
    ar_json_close(root);
    return status;
}

static bool is_blank(const char *line, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r') return false;
    return true;
}

static ar_status read_lines(reading *r, const char *path, const char *data, size_t bytes) {
    for (size_t at = 0, number = 1; at < bytes; number++) {
        const char *end = memchr(data + at, '\n', bytes - at);
        size_t length = end ? (size_t)(end - data) - at : bytes - at;
        snprintf(r->where, sizeof r->where, "%s: line %zu", path, number);
        if (!is_blank(data + at, length)) AR_TRY(append_line(r, data + at, length));
        at += length + 1;
    }
    return AR_OK;
}

static ar_status read_text(reading *r, const char *path, const char *data, size_t bytes) {
    AR_TRY(ar__utf8_check(data, bytes, path));
    return ar_tokenizer_encode(r->m->tokenizer, &r->ids, &r->count, data, bytes, false);
}

ar_status ar__calib_read(int32_t **ids, int64_t *count, const ar_open_model *m, const char *path,
                         const ar_observer *o) {
    bool is_lines = ar__path_ends(path, ".jsonl");
    reading r = {.m = m, .observer = o};
    ar_file f = {0};
    *ids = NULL;
    *count = 0;
    AR_TRY(ar_file_open(&f, path));
    ar_status status = (is_lines ? read_lines : read_text)(&r, path, (const char *)f.data, (size_t)f.bytes);
    ar_chat_close(r.chat);
    ar_file_close(&f);
    if (status == AR_OK) {
        *ids = r.ids;
        *count = r.count;
    } else {
        free(r.ids);
    }
    return status;
}
