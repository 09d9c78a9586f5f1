/* A tokenizer as tokenizer.json: what tokenizer_json.c and Hugging Face's tokenizers read back as the same
 * one. */
#include "tokenizer.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

static cJSON *typed(const char *type) {
    cJSON *o = cJSON_CreateObject();
    ar_json_add_string(o, "type", type);
    return o;
}

static cJSON *stage(cJSON *list, const char *type) { return ar_json_push(list, typed(type)); }

static cJSON *sequence(cJSON **list, const char *name) {
    cJSON *o = typed("Sequence");
    *list = ar_json_add_list(o, name);
    return o;
}

static void add_pattern(cJSON *o, const char *kind, const char *pattern) {
    ar_json_add_string(ar_json_add_object(o, "pattern"), kind, pattern);
}

/* ---- stages ---- */

static cJSON *make_normalizer(const ar_tokenizer *t) {
    if (t->norm_count == 0) return cJSON_CreateNull();
    cJSON *list, *o = sequence(&list, "normalizers");
    for (int32_t i = 0; i < t->norm_count; i++) {
        const ar__norm_step *step = &t->norm[i];
        if (step->kind == AR__NORM_NFC) {
            stage(list, "NFC");
        } else if (step->kind == AR__NORM_PREPEND) {
            ar_json_add_string(stage(list, "Prepend"), "prepend", step->to);
        } else {
            cJSON *replace = stage(list, "Replace");
            add_pattern(replace, "String", step->from);
            ar_json_add_string(replace, "content", step->to);
        }
    }
    return o;
}

static void add_byte_level(cJSON *list, bool prefix, bool regex) {
    cJSON *o = stage(list, "ByteLevel");
    ar_json_add_bool(o, "add_prefix_space", prefix);
    ar_json_add_bool(o, "trim_offsets", true);
    ar_json_add_bool(o, "use_regex", regex);
}

/* By the pre-split's name: GPT-2's words belong to ByteLevel, others are a Split before it. */
static ar_status make_pre_tokenizer(cJSON **made, const ar_tokenizer *t) {
    cJSON *list;
    const char *const *patterns = ar__pre_patterns(t->pre.name);
    *made = NULL;
    if (t->kind == AR_TOK_SPM && !t->pre.metaspace && t->pre.step_count == 0) {
        *made = cJSON_CreateNull();
        return AR_OK;
    }
    if (t->kind == AR_TOK_SPM || !patterns)
        return ar__fail(
            AR_ERR_UNSUPPORTED,
            "tokenizer: found a pre-split without a name, expected one that llama.cpp has a name for");
    bool words = strcmp(t->pre.name, "gpt-2") == 0, digits = strcmp(t->pre.name, "smollm") == 0;
    *made = sequence(&list, "pretokenizers");
    if (digits) ar_json_add_bool(stage(list, "Digits"), "individual_digits", true);
    for (int32_t i = 0; !words && !digits && i < AR__PRE_PATTERNS && patterns[i]; i++) {
        cJSON *split = stage(list, "Split");
        add_pattern(split, "Regex", patterns[i]);
        ar_json_add_string(split, "behavior", "Isolated");
        ar_json_add_bool(split, "invert", false);
    }
    add_byte_level(list, t->pre.byte_prefix, words || digits);
    return AR_OK;
}

static cJSON *make_decoder(const ar_tokenizer *t) {
    cJSON *list, *o = sequence(&list, "decoders");
    if (t->decoder.byte_level) {
        add_byte_level(list, true, true);
        return o;
    }
    if (t->decoder.space) {
        cJSON *replace = stage(list, "Replace");
        add_pattern(replace, "String", AR__SPACE);
        ar_json_add_string(replace, "content", " ");
    }
    if (t->decoder.byte_fallback) stage(list, "ByteFallback");
    stage(list, "Fuse");
    if (t->decoder.strip > 0 || t->decoder.drop_first_space) {
        cJSON *strip = stage(list, "Strip");
        ar_json_add_string(strip, "content", " ");
        ar_json_add_number(strip, "start", t->decoder.strip > 0 ? t->decoder.strip : 1);
        ar_json_add_number(strip, "stop", 0);
    }
    return o;
}

static cJSON *template_item(const char *kind, const char *id, int type_id) {
    cJSON *item = cJSON_CreateObject(), *o = ar_json_add_object(item, kind);
    ar_json_add_string(o, "id", id);
    ar_json_add_number(o, "type_id", type_id);
    return item;
}

/* A sequence of a template with what stands around it. */
static void add_sequence(cJSON *list, const ar_tokenizer *t, const char *name, int type_id) {
    for (int32_t i = 0; i < t->prefix_count; i++)
        ar_json_push(list, template_item("SpecialToken", t->tokens[t->prefix[i]].text, type_id));
    ar_json_push(list, template_item("Sequence", name, type_id));
    if (t->appends && t->eos >= 0)
        ar_json_push(list, template_item("SpecialToken", t->tokens[t->eos].text, type_id));
}

static void add_special(cJSON *specials, const ar_tokenizer *t, int32_t id) {
    const char *text = t->tokens[id].text;
    if (ar_json_get(specials, text)) return;
    cJSON *token = ar_json_add_object(specials, text);
    ar_json_add_string(token, "id", text);
    ar_json_push(ar_json_add_list(token, "ids"), cJSON_CreateNumber(id));
    ar_json_push(ar_json_add_list(token, "tokens"), cJSON_CreateString(text));
}

/* What stands around a text. */
static cJSON *make_post_processor(const ar_tokenizer *t) {
    bool appends = t->appends && t->eos >= 0;
    if (t->prefix_count == 0 && !appends) return cJSON_CreateNull();
    cJSON *o = typed("TemplateProcessing");
    cJSON *single = ar_json_add_list(o, "single"), *pair = ar_json_add_list(o, "pair");
    add_sequence(single, t, "A", 0);
    add_sequence(pair, t, "A", 0);
    add_sequence(pair, t, "B", 1);
    cJSON *specials = ar_json_add_object(o, "special_tokens");
    for (int32_t i = 0; i < t->prefix_count; i++) add_special(specials, t, t->prefix[i]);
    if (appends) add_special(specials, t, t->eos);
    return o;
}

/* ---- tokens and merges ---- */

/* of (vocab): the added token of every id, NULL = there is none. */
static void list_added(const ar__added **of, const ar_tokenizer *t) {
    for (int32_t i = t->normalized_added.count - 1; i >= 0; i--)
        of[t->normalized_added.items[i].id] = &t->normalized_added.items[i];
    for (int32_t i = t->raw_added.count - 1; i >= 0; i--)
        of[t->raw_added.items[i].id] = &t->raw_added.items[i];
}

static cJSON *make_added(const ar_tokenizer *t) {
    const ar__added **of = ar__alloc((size_t)t->vocab, sizeof *of);
    if (!of) return NULL;
    cJSON *list = cJSON_CreateArray();
    list_added(of, t);
    for (int32_t id = 0; id < t->vocab; id++) {
        const ar__token *token = &t->tokens[id];
        const ar__added *a = token->added ? of[id] : NULL;
        if (!a) continue;
        cJSON *o = cJSON_CreateObject();
        ar_json_add_number(o, "id", id);
        ar_json_add_string(o, "content", token->text);
        ar_json_add_bool(o, "single_word", a->single_word);
        ar_json_add_bool(o, "lstrip", a->lstrip);
        ar_json_add_bool(o, "rstrip", a->rstrip);
        ar_json_add_bool(o, "normalized", a->normalized);
        ar_json_add_bool(o, "special", a->special);
        ar_json_push(list, o);
    }
    free(of);
    return list;
}

/* Pairs as lists where a token holds a space, else the older "left right". */
static cJSON *make_merges(const ar_tokenizer *t) {
    cJSON *list = cJSON_CreateArray();
    bool spaced = false;
    for (int32_t id = 0; id < t->vocab && !spaced; id++)
        spaced = t->tokens[id].text && strchr(t->tokens[id].text, ' ');
    for (int64_t i = 0; i < t->merge_count; i++) {
        const ar__token *left = &t->tokens[t->merges[i].left], *right = &t->tokens[t->merges[i].right];
        ar__text joined = {0};
        cJSON *item = NULL;
        if (spaced) {
            const char *both[2] = {left->text, right->text};
            item = cJSON_CreateStringArray(both, 2);
        } else if (ar__text_append(&joined, left->text, left->bytes) == AR_OK &&
                   ar__text_append(&joined, " ", 1) == AR_OK &&
                   ar__text_append(&joined, right->text, right->bytes + 1) == AR_OK) {
            item = cJSON_CreateString(joined.data);
        }
        free(joined.data);
        ar_json_push(list, item);
    }
    return list;
}

static cJSON *make_model(const ar_tokenizer *t) {
    cJSON *o = typed("BPE");
    ar_json_add_null(o, "dropout");
    if (t->unk >= 0)
        ar_json_add_string(o, "unk_token", t->tokens[t->unk].text);
    else
        ar_json_add_null(o, "unk_token");
    ar_json_add_null(o, "continuing_subword_prefix");
    ar_json_add_null(o, "end_of_word_suffix");
    ar_json_add_bool(o, "fuse_unk", t->fuse_unk);
    ar_json_add_bool(o, "byte_fallback", t->byte_fallback);
    ar_json_add_bool(o, "ignore_merges", t->ignore_merges);
    cJSON *vocab = ar_json_add_object(o, "vocab");
    for (int32_t id = 0; id < t->vocab; id++)
        if (t->tokens[id].text) ar_json_put(vocab, t->tokens[id].text, cJSON_CreateNumber(id));
    ar_json_put(o, "merges", make_merges(t));
    return o;
}

ar_status ar__tokenizer_write(char **json, const ar_tokenizer *t) {
    cJSON *pre = NULL, *root;
    *json = NULL;
    for (int32_t id = 0; id < t->vocab; id++)
        if (t->tokens[id].text && strlen(t->tokens[id].text) != t->tokens[id].bytes)
            return ar__fail(AR_ERR_UNSUPPORTED, "tokenizer: token %d: found a zero byte in it, expected none",
                            (int)id);
    AR_TRY(make_pre_tokenizer(&pre, t));
    root = cJSON_CreateObject();
    ar_json_add_string(root, "version", "1.0");
    ar_json_add_null(root, "truncation");
    ar_json_add_null(root, "padding");
    ar_json_put(root, "added_tokens", make_added(t));
    ar_json_put(root, "normalizer", make_normalizer(t));
    ar_json_put(root, "pre_tokenizer", pre);
    ar_json_put(root, "post_processor", make_post_processor(t));
    ar_json_put(root, "decoder", make_decoder(t));
    ar_json_put(root, "model", make_model(t));
    ar_status status = ar_json_print(json, root, true, "tokenizer.json");
    cJSON_Delete(root);
    return status;
}
