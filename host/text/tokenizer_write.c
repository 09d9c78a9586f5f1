/* A tokenizer as tokenizer.json: what tokenizer_json.c and Hugging Face's tokenizers read back as the same
 * one. */
#include "tokenizer.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

static cJSON *stage(cJSON *list, const char *type) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "type", type);
    if (list) cJSON_AddItemToArray(list, o);
    return o;
}

static cJSON *sequence(cJSON **list, const char *name) {
    cJSON *o = stage(NULL, "Sequence");
    *list = cJSON_AddArrayToObject(o, name);
    return o;
}

static void add_pattern(cJSON *o, const char *kind, const char *pattern) {
    cJSON_AddStringToObject(cJSON_AddObjectToObject(o, "pattern"), kind, pattern);
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
            cJSON_AddStringToObject(stage(list, "Prepend"), "prepend", step->to);
        } else {
            cJSON *replace = stage(list, "Replace");
            add_pattern(replace, "String", step->from);
            cJSON_AddStringToObject(replace, "content", step->to);
        }
    }
    return o;
}

static void add_byte_level(cJSON *list, bool prefix, bool regex) {
    cJSON *o = stage(list, "ByteLevel");
    cJSON_AddBoolToObject(o, "add_prefix_space", prefix);
    cJSON_AddBoolToObject(o, "trim_offsets", true);
    cJSON_AddBoolToObject(o, "use_regex", regex);
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
    if (digits) cJSON_AddBoolToObject(stage(list, "Digits"), "individual_digits", true);
    for (int32_t i = 0; !words && !digits && i < AR__PRE_PATTERNS && patterns[i]; i++) {
        cJSON *split = stage(list, "Split");
        add_pattern(split, "Regex", patterns[i]);
        cJSON_AddStringToObject(split, "behavior", "Isolated");
        cJSON_AddBoolToObject(split, "invert", false);
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
        cJSON_AddStringToObject(replace, "content", " ");
    }
    if (t->decoder.byte_fallback) stage(list, "ByteFallback");
    stage(list, "Fuse");
    if (t->decoder.strip > 0 || t->decoder.drop_first_space) {
        cJSON *strip = stage(list, "Strip");
        cJSON_AddStringToObject(strip, "content", " ");
        cJSON_AddNumberToObject(strip, "start", t->decoder.strip > 0 ? t->decoder.strip : 1);
        cJSON_AddNumberToObject(strip, "stop", 0);
    }
    return o;
}

static cJSON *template_item(const char *kind, const char *id, int type_id) {
    cJSON *item = cJSON_CreateObject(), *o = cJSON_AddObjectToObject(item, kind);
    cJSON_AddStringToObject(o, "id", id);
    cJSON_AddNumberToObject(o, "type_id", type_id);
    return item;
}

/* A sequence of a template with what stands around it. */
static void add_sequence(cJSON *list, const ar_tokenizer *t, const char *name, int type_id) {
    for (int32_t i = 0; i < t->prefix_count; i++)
        cJSON_AddItemToArray(list, template_item("SpecialToken", t->tokens[t->prefix[i]].text, type_id));
    cJSON_AddItemToArray(list, template_item("Sequence", name, type_id));
    if (t->appends && t->eos >= 0)
        cJSON_AddItemToArray(list, template_item("SpecialToken", t->tokens[t->eos].text, type_id));
}

static void add_special(cJSON *specials, const ar_tokenizer *t, int32_t id) {
    const char *text = t->tokens[id].text;
    if (cJSON_HasObjectItem(specials, text)) return;
    cJSON *token = cJSON_AddObjectToObject(specials, text);
    cJSON_AddStringToObject(token, "id", text);
    cJSON_AddItemToArray(cJSON_AddArrayToObject(token, "ids"), cJSON_CreateNumber(id));
    cJSON_AddItemToArray(cJSON_AddArrayToObject(token, "tokens"), cJSON_CreateString(text));
}

/* What stands around a text. */
static cJSON *make_post_processor(const ar_tokenizer *t) {
    bool appends = t->appends && t->eos >= 0;
    if (t->prefix_count == 0 && !appends) return cJSON_CreateNull();
    cJSON *o = stage(NULL, "TemplateProcessing");
    cJSON *single = cJSON_AddArrayToObject(o, "single"), *pair = cJSON_AddArrayToObject(o, "pair");
    add_sequence(single, t, "A", 0);
    add_sequence(pair, t, "A", 0);
    add_sequence(pair, t, "B", 1);
    cJSON *specials = cJSON_AddObjectToObject(o, "special_tokens");
    for (int32_t i = 0; i < t->prefix_count; i++) add_special(specials, t, t->prefix[i]);
    if (appends) add_special(specials, t, t->eos);
    return o;
}

/* ---- tokens and merges ---- */

static const ar__added *find_added(const ar_tokenizer *t, int32_t id) {
    for (int32_t i = 0; i < t->raw_added.count; i++)
        if (t->raw_added.items[i].id == id) return &t->raw_added.items[i];
    for (int32_t i = 0; i < t->normalized_added.count; i++)
        if (t->normalized_added.items[i].id == id) return &t->normalized_added.items[i];
    return NULL;
}

static cJSON *make_added(const ar_tokenizer *t) {
    cJSON *list = cJSON_CreateArray();
    for (int32_t id = 0; id < t->vocab; id++) {
        const ar__token *token = &t->tokens[id];
        const ar__added *a = token->added ? find_added(t, id) : NULL;
        if (!a) continue;
        cJSON *o = cJSON_CreateObject();
        cJSON_AddNumberToObject(o, "id", id);
        cJSON_AddStringToObject(o, "content", token->text);
        cJSON_AddBoolToObject(o, "single_word", a->single_word);
        cJSON_AddBoolToObject(o, "lstrip", a->lstrip);
        cJSON_AddBoolToObject(o, "rstrip", a->rstrip);
        cJSON_AddBoolToObject(o, "normalized", a->normalized);
        cJSON_AddBoolToObject(o, "special", a->special);
        cJSON_AddItemToArray(list, o);
    }
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
        if (!item) {
            cJSON_Delete(list);
            return NULL;
        }
        cJSON_AddItemToArray(list, item);
    }
    return list;
}

static cJSON *make_model(const ar_tokenizer *t) {
    cJSON *o = stage(NULL, "BPE"), *merges = make_merges(t);
    cJSON_AddNullToObject(o, "dropout");
    if (t->unk >= 0)
        cJSON_AddStringToObject(o, "unk_token", t->tokens[t->unk].text);
    else
        cJSON_AddNullToObject(o, "unk_token");
    cJSON_AddNullToObject(o, "continuing_subword_prefix");
    cJSON_AddNullToObject(o, "end_of_word_suffix");
    cJSON_AddBoolToObject(o, "fuse_unk", t->fuse_unk);
    cJSON_AddBoolToObject(o, "byte_fallback", t->byte_fallback);
    cJSON_AddBoolToObject(o, "ignore_merges", t->ignore_merges);
    cJSON *vocab = cJSON_AddObjectToObject(o, "vocab");
    for (int32_t id = 0; id < t->vocab; id++)
        if (t->tokens[id].text) cJSON_AddItemToObject(vocab, t->tokens[id].text, cJSON_CreateNumber(id));
    if (merges)
        cJSON_AddItemToObject(o, "merges", merges);
    else {
        cJSON_Delete(o);
        o = NULL;
    }
    return o;
}

ar_status ar__tokenizer_write(char **json, const ar_tokenizer *t) {
    cJSON *pre = NULL, *root, *model;
    *json = NULL;
    for (int32_t id = 0; id < t->vocab; id++)
        if (t->tokens[id].text && strlen(t->tokens[id].text) != t->tokens[id].bytes)
            return ar__fail(AR_ERR_UNSUPPORTED, "tokenizer: token %d: found a zero byte in it, expected none",
                            (int)id);
    AR_TRY(make_pre_tokenizer(&pre, t));
    root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "version", "1.0");
    cJSON_AddNullToObject(root, "truncation");
    cJSON_AddNullToObject(root, "padding");
    cJSON_AddItemToObject(root, "added_tokens", make_added(t));
    cJSON_AddItemToObject(root, "normalizer", make_normalizer(t));
    cJSON_AddItemToObject(root, "pre_tokenizer", pre);
    cJSON_AddItemToObject(root, "post_processor", make_post_processor(t));
    cJSON_AddItemToObject(root, "decoder", make_decoder(t));
    model = make_model(t);
    if (model) cJSON_AddItemToObject(root, "model", model);
    if (model) *json = cJSON_Print(root);
    cJSON_Delete(root);
    return *json ? AR_OK : ar__fail(AR_ERR_MEMORY, "cannot print a tokenizer");
}
