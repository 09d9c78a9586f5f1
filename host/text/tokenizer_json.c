/* tokenizer.json: the BPE model with its vocabulary and merges, and the added tokens. The stages around the
 * model are read by tokenizer_stages.c. Objects of 100k keys are walked once, never searched. */
#include "tokenizer.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE_BYTES ((size_t)512 << 20)

static ar_status check_kind(const ar_json *item, bool ok, const char *key, const char *expected,
                            const char *what) {
    if (ok) return AR_OK;
    const char *found = !item                  ? "nothing"
                        : cJSON_IsObject(item) ? "an object"
                        : cJSON_IsArray(item)  ? "a list"
                        : cJSON_IsString(item) ? "a string"
                        : cJSON_IsNumber(item) ? "a number"
                                               : "null, true or false";
    return ar__fail(AR_ERR_FORMAT, "%s: %s: found %s, expected %s", what, key, found, expected);
}

/* ---- vocabulary ---- */

static ar_status vocab_id(int32_t *id, const ar_json *item, const char *text, const char *what) {
    char quoted[AR__QUOTE_BYTES];
    double value = cJSON_IsNumber(item) ? item->valuedouble : -1;
    if (!(value >= 0 && value < AR__MAX_TOKENS && value == floor(value)))
        return ar__fail(AR_ERR_FORMAT, "%s: id of token %s: found %s%.17g, expected an integer in [0, %d)",
                        what, ar__quote(quoted, text, strlen(text)),
                        cJSON_IsNumber(item) ? "" : "no number, ", value, AR__MAX_TOKENS);
    *id = (int32_t)value;
    return AR_OK;
}

/* What has to be allocated: the highest id, the number of tokens and the bytes of their texts. */
typedef struct extent {
    int32_t vocab, count;
    size_t bytes;
} extent;

static void extent_add(extent *x, int32_t id, const char *text) {
    if (id >= x->vocab) x->vocab = id + 1;
    x->count++;
    x->bytes += strlen(text);
}

/* content and id of an added token; *text = NULL for one to be passed over, as Hugging Face's does with empty
 * ones. */
static ar_status added_content(const char **text, int32_t *id, const ar_json *item, const char *what) {
    int64_t value = 0;
    AR_TRY(check_kind(item, cJSON_IsObject(item), "added_tokens: element", "an object", what));
    AR_TRY(ar_json_string_or(text, item, "content", NULL, what));
    AR_TRY(check_kind(NULL, *text != NULL, "added_tokens: content", "a string", what));
    AR_TRY(ar_json_int(&value, item, "id", 0, AR__MAX_TOKENS - 1, what));
    if ((*text)[0] == 0) *text = NULL;
    *id = (int32_t)value;
    return AR_OK;
}

static ar_status read_vocab(ar_tokenizer *t, const ar_json *vocab, const ar_json *added, const char *what) {
    extent x = {0};
    AR_TRY(check_kind(vocab, cJSON_IsObject(vocab), "model.vocab", "an object", what));
    for (const ar_json *item = vocab->child; item; item = item->next) {
        int32_t id;
        AR_TRY(vocab_id(&id, item, item->string, what));
        extent_add(&x, id, item->string);
    }
    for (const ar_json *item = added ? added->child : NULL; item; item = item->next) {
        const char *text;
        int32_t id;
        AR_TRY(added_content(&text, &id, item, what));
        if (text) extent_add(&x, id, text);
    }
    if (x.count == 0)
        return ar__fail(AR_ERR_FORMAT, "%s: model.vocab: found no token, expected at least one", what);
    AR_TRY(ar__vocab_init(t, x.vocab, x.count, x.bytes));
    for (const ar_json *item = vocab->child; item; item = item->next) {
        int32_t id;
        AR_TRY(vocab_id(&id, item, item->string, what));
        AR_TRY(ar__vocab_add(t, id, item->string, strlen(item->string), what));
    }
    return AR_OK;
}

/* ---- merges ---- */

static ar_status merge_id(int32_t *id, const ar_tokenizer *t, const char *text, size_t bytes, int64_t i,
                          const char *what) {
    char quoted[AR__QUOTE_BYTES];
    *id = ar__vocab_find(t, text, bytes);
    if (*id >= 0) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s: merge %lld names %s, which is no token", what, (long long)i,
                    ar__quote(quoted, text, bytes));
}

/* "a b", or ["a", "b"]. */
static ar_status merge_parts(const char **left, size_t *left_bytes, const char **right, const ar_json *item,
                             int64_t i, const char *what) {
    char quoted[AR__QUOTE_BYTES];
    if (cJSON_IsString(item)) {
        const char *space = strchr(item->valuestring, ' ');
        if (!space || strchr(space + 1, ' '))
            return ar__fail(AR_ERR_FORMAT,
                            "%s: merge %lld: found %s, expected two tokens with one space between", what,
                            (long long)i, ar__quote(quoted, item->valuestring, strlen(item->valuestring)));
        *left = item->valuestring;
        *left_bytes = (size_t)(space - item->valuestring);
        *right = space + 1;
        return AR_OK;
    }
    const ar_json *a = cJSON_IsArray(item) ? item->child : NULL, *b = a ? a->next : NULL;
    if (!b || b->next || !cJSON_IsString(a) || !cJSON_IsString(b))
        return ar__fail(AR_ERR_FORMAT, "%s: merge %lld: expected \"a b\" or [\"a\", \"b\"]", what,
                        (long long)i);
    *left = a->valuestring;
    *left_bytes = strlen(a->valuestring);
    *right = b->valuestring;
    return AR_OK;
}

static ar_status read_merges(ar_tokenizer *t, const ar_json *merges, const char *what) {
    int64_t count = 0;
    AR_TRY(check_kind(merges, cJSON_IsArray(merges), "model.merges", "a list", what));
    for (const ar_json *item = merges->child; item; item = item->next) count++;
    AR_TRY(ar__merges_init(t, count));
    int32_t rank = 0;
    for (const ar_json *item = merges->child; item; item = item->next) {
        const char *left = NULL, *right = NULL;
        size_t left_bytes = 0;
        int32_t l, r;
        if (cJSON_IsString(item) && strncmp(item->valuestring, "#version", 8) == 0)
            continue; /* merges.txt's first line */
        AR_TRY(merge_parts(&left, &left_bytes, &right, item, rank, what));
        AR_TRY(merge_id(&l, t, left, left_bytes, rank, what));
        AR_TRY(merge_id(&r, t, right, strlen(right), rank, what));
        AR_TRY(ar__merges_add(t, l, r, rank++, what));
    }
    return AR_OK;
}

/* ---- added tokens ---- */

static ar_status read_flags(ar__added *a, const ar_json *item, const char *what) {
    AR_TRY(ar_json_bool_or(&a->special, item, "special", false, what));
    AR_TRY(ar_json_bool_or(&a->normalized, item, "normalized", !a->special, what));
    AR_TRY(ar_json_bool_or(&a->lstrip, item, "lstrip", false, what));
    AR_TRY(ar_json_bool_or(&a->rstrip, item, "rstrip", false, what));
    return ar_json_bool_or(&a->single_word, item, "single_word", false, what);
}

/* The token's id: that of the vocabulary, or a new one of its own. */
static ar_status place_added(ar_tokenizer *t, const char *text, int32_t id, const char *what) {
    char quoted[AR__QUOTE_BYTES];
    int32_t found = ar__vocab_find(t, text, strlen(text));
    if (found < 0) return ar__vocab_add(t, id, text, strlen(text), what);
    if (found == id) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s: added token %s: found id %d, expected %d as in the vocabulary", what,
                    ar__quote(quoted, text, strlen(text)), id, found);
}

/* The text that is searched for: a normalized token is looked for in its normalized form. */
static ar_status added_pattern(const ar_tokenizer *t, ar__added *a, const char *text) {
    ar__text out = {0}, scratch = {0};
    ar_status status;
    if (a->normalized)
        status = ar__norm_run(t, &out, &scratch, text, strlen(text));
    else
        status = ar__text_append(&out, text, strlen(text));
    free(scratch.data);
    a->pattern = out.data;
    a->bytes = out.bytes;
    return status;
}

static ar_status read_one_added(ar_tokenizer *t, ar__added *a, const ar_json *item, const char *what) {
    const char *text;
    AR_TRY(added_content(&text, &a->id, item, what));
    if (!text) return AR_OK;
    AR_TRY(read_flags(a, item, what));
    AR_TRY(place_added(t, text, a->id, what));
    AR_TRY(added_pattern(t, a, text));
    ar__token *token = &t->tokens[a->id];
    token->added = true;
    token->special = a->special;
    token->type = a->special ? AR_TOKEN_CONTROL : AR_TOKEN_USER;
    return AR_OK;
}

static ar_status read_added(ar_tokenizer *t, const ar_json *added, const char *what) {
    size_t count = 0;
    for (const ar_json *item = added ? added->child : NULL; item; item = item->next) count++;
    if (count == 0) return AR_OK;
    ar__added *raw = ar__alloc(count, sizeof *raw), *normalized = ar__alloc(count, sizeof *normalized);
    int32_t raw_count = 0, normalized_count = 0;
    ar_status status = raw && normalized ? AR_OK : AR_ERR_MEMORY;
    for (const ar_json *item = added->child; item && status == AR_OK; item = item->next) {
        ar__added one = {0};
        status = read_one_added(t, &one, item, what);
        if (status != AR_OK || one.bytes == 0)
            free(one.pattern);
        else if (one.normalized)
            normalized[normalized_count++] = one;
        else
            raw[raw_count++] = one;
    }
    ar_status of_raw = ar__added_init(&t->raw_added, raw, raw ? raw_count : 0, what);
    ar_status of_normalized =
        ar__added_init(&t->normalized_added, normalized, normalized ? normalized_count : 0, what);
    return status != AR_OK ? status : of_raw != AR_OK ? of_raw : of_normalized;
}

/* ---- the model ---- */

static ar_status expect_empty(const ar_json *model, const char *key, const char *what) {
    const char *text;
    char quoted[AR__QUOTE_BYTES];
    AR_TRY(ar_json_string_or(&text, model, key, "", what));
    if (text[0] == 0) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s: model.%s: found %s, expected none", what, key,
                    ar__quote(quoted, text, strlen(text)));
}

static ar_status read_model(ar_tokenizer *t, const ar_json *model, const ar_json *added, const char *what) {
    const char *type, *unk;
    char quoted[AR__QUOTE_BYTES];
    double dropout;
    AR_TRY(check_kind(model, cJSON_IsObject(model), "model", "an object", what));
    AR_TRY(ar_json_string_or(&type, model, "type", ar_json_get(model, "merges") ? "BPE" : "missing", what));
    if (strcmp(type, "BPE") != 0)
        return ar__fail(AR_ERR_FORMAT, "%s: model.type: found %s, expected \"BPE\"", what,
                        ar__quote(quoted, type, strlen(type)));
    AR_TRY(expect_empty(model, "continuing_subword_prefix", what));
    AR_TRY(expect_empty(model, "end_of_word_suffix", what));
    AR_TRY(ar_json_number_or(&dropout, model, "dropout", 0, 0, 0, what));
    AR_TRY(ar_json_bool_or(&t->fuse_unk, model, "fuse_unk", false, what));
    AR_TRY(ar_json_bool_or(&t->byte_fallback, model, "byte_fallback", false, what));
    AR_TRY(ar_json_bool_or(&t->ignore_merges, model, "ignore_merges", false, what));
    AR_TRY(read_vocab(t, ar_json_get(model, "vocab"), added, what));
    AR_TRY(ar_json_string_or(&unk, model, "unk_token", NULL, what));
    if (unk && (t->unk = ar__vocab_find(t, unk, strlen(unk))) < 0)
        return ar__fail(AR_ERR_FORMAT, "%s: model.unk_token: found %s, which is no token", what,
                        ar__quote(quoted, unk, strlen(unk)));
    return read_merges(t, ar_json_get(model, "merges"), what);
}

static ar_status read_root(ar_tokenizer *t, const ar_json *root, const char *what) {
    const ar_json *added = ar_json_get(root, "added_tokens");
    if (cJSON_IsNull(added)) added = NULL;
    AR_TRY(check_kind(root, cJSON_IsObject(root), "top level", "an object", what));
    AR_TRY(check_kind(added, !added || cJSON_IsArray(added), "added_tokens", "a list", what));
    AR_TRY(read_model(t, ar_json_get(root, "model"), added, what));
    AR_TRY(ar__stages_parse(t, root, what));
    AR_TRY(read_added(t, added, what));
    ar__vocab_finish(t);
    return ar__stages_parse_post(t, root, what);
}

ar_status ar_tokenizer_parse(ar_tokenizer **t, const char *json, size_t bytes, const char *what) {
    *t = NULL;
    ar_json *root = NULL;
    AR_TRY(ar_json_parse(&root, json, bytes, what));
    ar_tokenizer *made = ar__alloc(1, sizeof *made);
    ar_status status = AR_ERR_MEMORY;
    if (made) {
        made->unk = made->bos = made->eos = -1;
        made->pre.name = "default";
        status = read_root(made, root, what);
    }
    ar_json_close(root);
    if (status == AR_OK)
        *t = made;
    else
        ar_tokenizer_close(made);
    return status;
}

ar_status ar_tokenizer_open(ar_tokenizer **t, const char *path) {
    *t = NULL;
    char *text = NULL;
    size_t bytes = 0;
    AR_TRY(ar_file_read_text(&text, &bytes, path, MAX_FILE_BYTES));
    ar_status status = ar_tokenizer_parse(t, text, bytes, path);
    free(text);
    return status;
}
