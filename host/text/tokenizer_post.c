/* What stands around a text: tokenizer.json's post_processor, which alone decides there (transformers passes
 * over tokenizer_config.json's add_bos_token where there is a tokenizer.json), and GGUF's add_bos_token. */
#include "tokenizer.h"
#include <cjson/cJSON.h>
#include <string.h>

static ar_status check_id(const ar_tokenizer *t, int64_t id, const char *what) {
    if (id >= 0 && id < t->vocab && t->tokens[id].text) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s: post_processor: found the id %lld, expected one of a token", what,
                    (long long)id);
}

/* Puts count ids before those that stand there already. */
static ar_status put_before(ar_tokenizer *t, const int32_t *ids, int32_t count, const char *what) {
    if (count > AR__MAX_PREFIX - t->prefix_count)
        return ar__fail(AR_ERR_FORMAT, "%s: post_processor: found more than %d tokens before a text", what,
                        AR__MAX_PREFIX);
    memmove(t->prefix + count, t->prefix, (size_t)t->prefix_count * sizeof *t->prefix);
    if (count) memcpy(t->prefix, ids, (size_t)count * sizeof *ids);
    t->prefix_count += count;
    return AR_OK;
}

/* The ids of a SpecialToken of a template, appended. */
static ar_status add_special(int32_t *ids, int32_t *count, const ar_tokenizer *t, const ar_json *post,
                             const char *name, const char *what) {
    char quoted[AR__QUOTE_BYTES];
    const ar_json *list = ar_json_get(ar_json_get(ar_json_get(post, "special_tokens"), name), "ids"), *item;
    if (!cJSON_IsArray(list))
        return ar__fail(AR_ERR_FORMAT,
                        "%s: post_processor: special_tokens: found no ids of %s, expected them", what,
                        ar__quote(quoted, name, strlen(name)));
    cJSON_ArrayForEach(item, list) {
        int64_t id = cJSON_IsNumber(item) && item->valuedouble >= 0 && item->valuedouble < AR__MAX_TOKENS
                         ? (int64_t)item->valuedouble
                         : -1;
        AR_TRY(check_id(t, id, what));
        if (*count == AR__MAX_PREFIX)
            return ar__fail(AR_ERR_FORMAT, "%s: post_processor: found more than %d tokens before a text",
                            what, AR__MAX_PREFIX);
        ids[(*count)++] = (int32_t)id;
    }
    return AR_OK;
}

/* TemplateProcessing: what its `single` has before and behind the Sequence. */
static ar_status read_template(ar_tokenizer *t, const ar_json *post, const char *what) {
    const ar_json *single = ar_json_get(post, "single"), *piece;
    int32_t ids[AR__MAX_PREFIX], count = 0;
    bool behind = false;
    if (!cJSON_IsArray(single))
        return ar__fail(AR_ERR_FORMAT, "%s: post_processor: single: found no list, expected one", what);
    cJSON_ArrayForEach(piece, single) {
        const ar_json *special = ar_json_get(piece, "SpecialToken");
        const char *name;
        if (!special) {
            behind = true;
            continue;
        }
        t->appends = t->appends || behind;
        if (behind) continue;
        AR_TRY(ar_json_string_or(&name, special, "id", "", what));
        AR_TRY(add_special(ids, &count, t, post, name, what));
    }
    return put_before(t, ids, count, what);
}

/* Bert's and Roberta's: cls before the text, sep behind it, each ["text", id]. */
static ar_status read_pair(ar_tokenizer *t, const ar_json *post, const char *what) {
    const ar_json *id = cJSON_GetArrayItem(ar_json_get(post, "cls"), 1);
    int32_t first = cJSON_IsNumber(id) && id->valuedouble >= 0 && id->valuedouble < AR__MAX_TOKENS
                        ? (int32_t)id->valuedouble
                        : -1;
    AR_TRY(check_id(t, first, what));
    t->appends = true;
    return put_before(t, &first, 1, what);
}

ar_status ar__post_read(ar_tokenizer *t, const ar_json *post, const char *type, const char *what) {
    char quoted[AR__QUOTE_BYTES];
    if (strcmp(type, "ByteLevel") == 0) return AR_OK;
    if (strcmp(type, "TemplateProcessing") == 0) return read_template(t, post, what);
    if (strcmp(type, "RobertaProcessing") == 0 || strcmp(type, "BertProcessing") == 0)
        return read_pair(t, post, what);
    return ar__fail(
        AR_ERR_FORMAT,
        "%s: post_processor: found %s, expected ByteLevel, TemplateProcessing, RobertaProcessing, "
        "BertProcessing or a Sequence of them",
        what, ar__quote(quoted, type, strlen(type)));
}

const int32_t *ar_tokenizer_prefix(int32_t *count, const ar_tokenizer *t) {
    *count = t ? t->prefix_count : 0;
    return t ? t->prefix : NULL;
}

bool ar_tokenizer_appends(const ar_tokenizer *t) { return t->appends; }
