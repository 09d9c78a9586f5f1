/* tokenizer.json: normalizer, pre_tokenizer, decoder and post_processor, each one thing or a Sequence of
 * things. What is not known is refused by name: a stage passed over would change ids without a word. */
#include "tokenizer.h"
#include <cjson/cJSON.h>
#include <string.h>

typedef ar_status (*stage_fn)(ar_tokenizer *t, const ar_json *stage, const char *type, const char *what);

static ar_status refuse(const char *stage, const char *type, const char *expected, const char *what) {
    char quoted[AR__QUOTE_BYTES];
    return ar__fail(AR_ERR_FORMAT, "%s: %s: found %s, expected %s", what, stage,
                    ar__quote(quoted, type, strlen(type)), expected);
}

/* Calls fn for a stage, or for each of a Sequence's, which lists them under `list`. Null is no stage. */
static ar_status each_stage(ar_tokenizer *t, const ar_json *stage, const char *list, stage_fn fn,
                            const char *what) {
    const char *type;
    if (!stage || cJSON_IsNull(stage)) return AR_OK;
    AR_TRY(ar_json_string_or(&type, stage, "type", "", what));
    if (strcmp(type, "Sequence") != 0) return fn(t, stage, type, what);
    const ar_json *items = ar_json_get(stage, list);
    if (!cJSON_IsArray(items))
        return ar__fail(AR_ERR_FORMAT, "%s: Sequence: found no list %s, expected one", what, list);
    for (const ar_json *item = items->child; item; item = item->next)
        AR_TRY(each_stage(t, item, list, fn, what));
    return AR_OK;
}

/* The pattern of Replace and Split: {"String": …} or {"Regex": …}. */
static ar_status read_pattern(const char **pattern, bool *literal, const ar_json *stage, const char *what) {
    const ar_json *object = ar_json_get(stage, "pattern");
    const char *string, *regex;
    AR_TRY(ar_json_string_or(&string, object, "String", NULL, what));
    AR_TRY(ar_json_string_or(&regex, object, "Regex", NULL, what));
    *literal = string != NULL;
    *pattern = string ? string : regex;
    if (!*pattern || !**pattern)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: pattern: found none, expected a String or a Regex that is not empty", what);
    return AR_OK;
}

/* ---- normalizer ---- */

static ar_status read_normalizer(ar_tokenizer *t, const ar_json *stage, const char *type, const char *what) {
    const char *text, *pattern;
    bool literal;
    if (strcmp(type, "NFC") == 0) return ar__norm_add(t, AR__NORM_NFC, NULL, NULL, what);
    if (strcmp(type, "Prepend") == 0) {
        AR_TRY(ar_json_string_or(&text, stage, "prepend", "", what));
        if (strcmp(text, AR__SPACE) == 0) t->prefix_space = true;
        return ar__norm_add(t, AR__NORM_PREPEND, NULL, text, what);
    }
    if (strcmp(type, "Replace") != 0)
        return refuse("normalizer", type, "Prepend, Replace, NFC or a Sequence of them", what);
    AR_TRY(read_pattern(&pattern, &literal, stage, what));
    AR_TRY(ar_json_string_or(&text, stage, "content", "", what));
    if (!literal) return refuse("normalizer: Replace: pattern: Regex", pattern, "a String", what);
    return ar__norm_add(t, AR__NORM_REPLACE, pattern, text, what);
}

/* ---- pre_tokenizer ---- */

static ar_status read_metaspace(ar_tokenizer *t, const ar_json *stage, const char *what) {
    const char *replacement, *scheme;
    bool prefix;
    ar__pre *pre = &t->pre;
    AR_TRY(ar_json_string_or(&replacement, stage, "replacement", AR__SPACE, what));
    AR_TRY(ar_json_bool_or(&prefix, stage, "add_prefix_space", true, what));
    AR_TRY(ar_json_string_or(&scheme, stage, "prepend_scheme", prefix ? "always" : "never", what));
    AR_TRY(ar_json_bool_or(&pre->metaspace_split, stage, "split", true, what));
    if (strcmp(replacement, AR__SPACE) != 0)
        return refuse("pre_tokenizer: Metaspace: replacement", replacement, "\"" AR__SPACE "\"", what);
    if (strcmp(scheme, "always") == 0)
        pre->metaspace_prepend = AR__PREPEND_ALWAYS;
    else if (strcmp(scheme, "first") == 0)
        pre->metaspace_prepend = AR__PREPEND_FIRST;
    else if (strcmp(scheme, "never") == 0)
        pre->metaspace_prepend = AR__PREPEND_NEVER;
    else
        return refuse("pre_tokenizer: Metaspace: prepend_scheme", scheme, "always, first or never", what);
    if (!prefix && pre->metaspace_prepend != AR__PREPEND_NEVER)
        return refuse("pre_tokenizer: Metaspace: prepend_scheme", scheme,
                      "never, as add_prefix_space is false", what);
    if (pre->metaspace || pre->step_count > 0)
        return ar__fail(AR_ERR_FORMAT, "%s: pre_tokenizer: found Metaspace after another, expected it alone",
                        what);
    pre->metaspace = true;
    if (pre->metaspace_prepend != AR__PREPEND_NEVER) t->prefix_space = true;
    return AR_OK;
}

static ar_status read_split(ar_tokenizer *t, const ar_json *stage, const char *what) {
    static const char *const rules[] = {"Isolated", "Removed", "Contiguous", "MergedWithPrevious",
                                        "MergedWithNext"};
    const char *pattern, *behavior;
    bool literal, invert;
    int32_t rule = 0;
    AR_TRY(read_pattern(&pattern, &literal, stage, what));
    AR_TRY(ar_json_string_or(&behavior, stage, "behavior", "", what));
    AR_TRY(ar_json_bool_or(&invert, stage, "invert", false, what));
    while (rule < 5 && strcmp(rules[rule], behavior) != 0) rule++;
    if (rule == 5)
        return refuse("pre_tokenizer: Split: behavior", behavior,
                      "Isolated, Removed, Contiguous or MergedWith…", what);
    const char *name = literal ? NULL : ar__pre_name(pattern);
    bool keeps_matches = (rule == AR__ISOLATED && !invert) || (rule == AR__REMOVED && invert);
    t->pre.name = name && keeps_matches && t->pre.step_count == 0 ? name : "default";
    return ar__pre_add(t, pattern, literal, (ar__split_rule)rule, invert, what);
}

static ar_status read_digits(ar_tokenizer *t, const ar_json *stage, const char *what) {
    bool single;
    AR_TRY(ar_json_bool_or(&single, stage, "individual_digits", false, what));
    t->pre.name =
        single && t->pre.step_count == 0 ? "digits" : "default"; /* followed by GPT-2's words: "smollm" */
    return ar__pre_add(t, single ? "\\p{N}" : "\\p{N}+", false, AR__ISOLATED, false, what);
}

static ar_status read_byte_level(ar_tokenizer *t, const ar_json *stage, const char *what) {
    bool regex;
    ar__pre *pre = &t->pre;
    AR_TRY(ar_json_bool_or(&regex, stage, "use_regex", true, what));
    AR_TRY(ar_json_bool_or(&pre->byte_prefix, stage, "add_prefix_space", true, what));
    if (pre->byte_prefix && pre->step_count > 0)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: pre_tokenizer: ByteLevel: found add_prefix_space after a split, expected false",
                        what);
    if (pre->byte_prefix) t->prefix_space = true;
    pre->byte_level = true;
    t->kind = AR_TOK_BYTE_BPE;
    if (!regex) return AR_OK;
    const char *name = pre->step_count == 0               ? "gpt-2"
                       : strcmp(pre->name, "digits") == 0 ? "smollm"
                                                          : "default";
    AR_TRY(ar__pre_add_named(t, "gpt-2", what));
    pre->name = name;
    return AR_OK;
}

static ar_status read_pre_tokenizer(ar_tokenizer *t, const ar_json *stage, const char *type,
                                    const char *what) {
    if (t->pre.byte_level || t->pre.metaspace)
        return refuse("pre_tokenizer", type,
                      t->pre.metaspace ? "nothing after Metaspace" : "nothing after ByteLevel", what);
    if (strcmp(type, "Metaspace") == 0) return read_metaspace(t, stage, what);
    if (strcmp(type, "Split") == 0) return read_split(t, stage, what);
    if (strcmp(type, "Digits") == 0) return read_digits(t, stage, what);
    if (strcmp(type, "ByteLevel") == 0) return read_byte_level(t, stage, what);
    return refuse("pre_tokenizer", type, "Metaspace, ByteLevel, Split, Digits or a Sequence of them", what);
}

/* ---- decoder ---- */

static ar_status read_strip(ar_tokenizer *t, const ar_json *stage, const char *what) {
    const char *content;
    int64_t start, stop;
    AR_TRY(ar_json_string_or(&content, stage, "content", " ", what));
    AR_TRY(ar_json_int_or(&start, stage, "start", 0, 0, 1000, what));
    AR_TRY(ar_json_int_or(&stop, stage, "stop", 0, 0, 0, what));
    if (strcmp(content, " ") != 0) return refuse("decoder: Strip: content", content, "a space", what);
    if (!t->decoder.fused)
        return refuse("decoder", "Strip", "Fuse before it", what); /* else each token would lose one */
    t->decoder.strip = (int32_t)start;
    return AR_OK;
}

/* Fuse itself has nothing to do here: decoding always gives one text. */
static ar_status read_decoder(ar_tokenizer *t, const ar_json *stage, const char *type, const char *what) {
    const char *pattern, *content;
    bool literal;
    ar__decoder *d = &t->decoder;
    if (strcmp(type, "ByteLevel") == 0)
        d->byte_level = true;
    else if (strcmp(type, "ByteFallback") == 0)
        d->byte_fallback = true;
    else if (strcmp(type, "Metaspace") == 0) {
        const char *scheme;
        bool prefix;
        AR_TRY(ar_json_bool_or(&prefix, stage, "add_prefix_space", true, what));
        AR_TRY(ar_json_string_or(&scheme, stage, "prepend_scheme", prefix ? "always" : "never", what));
        d->space = true;
        d->drop_first_space = strcmp(scheme, "never") != 0;
    } else if (strcmp(type, "Strip") == 0)
        return read_strip(t, stage, what);
    else if (strcmp(type, "Replace") == 0) {
        AR_TRY(read_pattern(&pattern, &literal, stage, what));
        AR_TRY(ar_json_string_or(&content, stage, "content", "", what));
        if (!literal || strcmp(pattern, AR__SPACE) != 0 || strcmp(content, " ") != 0)
            return refuse("decoder: Replace", pattern, "\"" AR__SPACE "\" replaced by a space", what);
        d->space = true;
    } else if (strcmp(type, "Fuse") == 0)
        d->fused = true;
    else
        return refuse("decoder", type,
                      "ByteLevel, Metaspace, Replace, ByteFallback, Fuse, Strip or a Sequence of them", what);
    return AR_OK;
}

/* A file without a decoder is read back as its kind is by those that have one. */
static void default_decoder(ar_tokenizer *t) {
    t->decoder.byte_level = t->kind == AR_TOK_BYTE_BPE;
    t->decoder.space = t->decoder.byte_fallback = t->kind == AR_TOK_SPM;
    t->decoder.strip = t->kind == AR_TOK_SPM && t->prefix_space;
}

ar_status ar__stages_parse(ar_tokenizer *t, const ar_json *root, const char *what) {
    const ar_json *decoder = ar_json_get(root, "decoder");
    AR_TRY(each_stage(t, ar_json_get(root, "normalizer"), "normalizers", read_normalizer, what));
    AR_TRY(each_stage(t, ar_json_get(root, "pre_tokenizer"), "pretokenizers", read_pre_tokenizer, what));
    if (strcmp(t->pre.name, "digits") == 0) t->pre.name = "default";
    if (!decoder || cJSON_IsNull(decoder)) default_decoder(t);
    return each_stage(t, decoder, "decoders", read_decoder, what);
}

ar_status ar__stages_parse_post(ar_tokenizer *t, const ar_json *root, const char *what) {
    return each_stage(t, ar_json_get(root, "post_processor"), "processors", ar__post_read, what);
}
