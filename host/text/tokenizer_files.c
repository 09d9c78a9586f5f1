/* The tokenizer of a folder: tokenizer.json, or what there was before it, tokenizer.model (SentencePiece) or
 * vocab.json with merges.txt (GPT-2), with the added tokens and the settings that stand beside those. */
#include "tokenizer_files.h"
#include "notes.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_VOCAB_BYTES ((size_t)512 << 20)
#define MAX_JSON_BYTES  ((size_t)16 << 20)

typedef struct files {
    const char *folder, *what; /* what: the file with the tokens */
    ar_notes *notes;
    ar_json *config, *map, *added, *vocab;
    char *config_path, *merges_text;
    ar_file model;
    ar__token_list list;
    const char **merges;
    char *holes; /* texts of ids that have no token */
} files;

static int64_t find(const ar__token_list *l, const char *text) {
    size_t bytes = strlen(text);
    for (int32_t id = 0; id < l->count; id++)
        if (l->tokens[id] && l->token_bytes[id] == bytes && memcmp(l->tokens[id], text, bytes) == 0)
            return id;
    return -1;
}

/* ---- what stands beside ---- */

static ar_status open_beside(ar_json **root, char **path, const files *f, const char *name) {
    AR_TRY(ar_path_join(path, f->folder, name));
    return ar_path_exists(*path) ? ar_json_open(root, *path, MAX_JSON_BYTES) : AR_OK;
}

/* The text of a token as settings have it, a string or an object; NULL for others. */
static const char *content(const ar_json *item) {
    const ar_json *text = cJSON_IsObject(item) ? ar_json_get(item, "content") : item;
    return cJSON_IsString(text) ? text->valuestring : NULL;
}

typedef struct part {
    const char *text;
    size_t bytes;
} part;

static int compare_parts(const void *a, const void *b) {
    const part *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    return memcmp(x->text, y->text, x->bytes);
}

/* The texts that settings name as parts (bos_token, pad_token, …), appended; list NULL: only counted. */
static void list_parts(part *list, size_t *count, const ar_json *settings) {
    static const char *const keys[] = {"bos_token", "eos_token", "unk_token",  "sep_token",
                                       "pad_token", "cls_token", "mask_token", "additional_special_tokens"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const ar_json *item = ar_json_get(settings, keys[i]);
        bool is_list = cJSON_IsArray(item);
        if (is_list) item = item->child;
        for (; item; item = is_list ? item->next : NULL) {
            const char *text = content(item);
            if (text && list) list[*count] = (part){text, strlen(text)};
            *count += text != NULL;
        }
    }
}

/* The tokens that have a part of their own are special, where there are such. */
static ar_status mark_special(files *f) {
    size_t count = 0, listed = 0;
    list_parts(NULL, &count, f->map);
    list_parts(NULL, &count, f->config);
    part *parts = ar__alloc(count, sizeof *parts);
    if (!parts) return AR_ERR_MEMORY;
    list_parts(parts, &listed, f->map);
    list_parts(parts, &listed, f->config);
    qsort(parts, count, sizeof *parts, compare_parts);
    for (int32_t id = 0; id < f->list.count && count > 0; id++) {
        const part own = {f->list.tokens[id], f->list.token_bytes[id]};
        if (!own.text || f->list.types[id] == AR_TOKEN_UNKNOWN) continue;
        if (bsearch(&own, parts, count, sizeof *parts, compare_parts)) f->list.types[id] = AR_TOKEN_CONTROL;
    }
    free(parts);
    return AR_OK;
}

/* A row of added_tokens_decoder. */
static ar_status add_decoded(files *f, const ar_json *item) {
    char *end = NULL;
    const char *text = content(item);
    bool special = false;
    int64_t id = item->string ? strtoll(item->string, &end, 10) : -1;
    if (!text || !end || *end || end == item->string)
        return ar__fail(AR_ERR_FORMAT, "%s: added_tokens_decoder: found no id with a content, expected that",
                        f->config_path);
    AR_TRY(ar_json_bool_or(&special, item, "special", false, f->config_path));
    bool unknown = id >= 0 && id < f->list.count && f->list.types[id] == AR_TOKEN_UNKNOWN;
    int32_t type = unknown ? AR_TOKEN_UNKNOWN : special ? AR_TOKEN_CONTROL : AR_TOKEN_USER;
    return ar__token_list_put(&f->list, id, text, strlen(text), 0, type, f->config_path);
}

/* tokenizer_config.json's added_tokens_decoder, by id, or added_tokens.json, by text. */
static ar_status add_tokens(files *f) {
    const ar_json *decoder = ar_json_get(f->config, "added_tokens_decoder");
    for (const ar_json *item = decoder ? decoder->child : NULL; item; item = item->next)
        AR_TRY(add_decoded(f, item));
    for (const ar_json *item = !decoder && f->added ? f->added->child : NULL; item; item = item->next) {
        double id = cJSON_IsNumber(item) ? item->valuedouble : -1;
        const char *text = item->string ? item->string : "";
        AR_TRY(ar__token_list_put(&f->list, (int64_t)(id >= 0 && id < AR__MAX_TOKENS ? id : -1), text,
                                  strlen(text), 0, AR_TOKEN_USER, "added_tokens.json"));
    }
    return mark_special(f);
}

/* Ids without a token get one that no text has. */
static ar_status fill_holes(files *f) {
    enum { EACH = 24 };
    size_t count = 0;
    for (int32_t id = 0; id < f->list.count; id++) count += !f->list.tokens[id];
    f->holes = ar__alloc(count, EACH);
    if (!f->holes) return AR_ERR_MEMORY;
    for (int32_t id = 0, n = 0; id < f->list.count; id++) {
        if (f->list.tokens[id]) continue;
        char *text = f->holes + (size_t)n++ * EACH;
        snprintf(text, EACH, "[PAD%d]", (int)id);
        AR_TRY(ar__token_list_put(&f->list, id, text, strlen(text), 0, AR_TOKEN_UNUSED, f->what));
    }
    return AR_OK;
}

/* ---- the two kinds ---- */

static ar_status read_model(files *f, ar_tokenizer_data *d, bool *byte_fallback) {
    bool prefix = true;
    AR_TRY(ar_file_open(&f->model, f->what));
    AR_TRY(ar__spm_read(&f->list, d, byte_fallback, &f->model));
    AR_TRY(ar_json_bool_or(&prefix, f->config, "add_prefix_space", d->add_prefix_space, f->config_path));
    d->add_prefix_space = prefix;
    return ar_json_bool_or(&d->add_bos, f->config, "add_bos_token", true, f->config_path);
}

static bool is_class(const char *class, const char *name) {
    size_t bytes = strlen(name);
    return strncmp(class, name, bytes) == 0 && (!class[bytes] || strcmp(class + bytes, "Fast") == 0);
}

/* The pre-split is that of the class; others are taken for GPT-2's, with a remark. */
static ar_status read_class(ar_tokenizer_data *d, const files *f, const char *class) {
    static const char *const gpt2[] = {"GPT2Tokenizer", "CodeGenTokenizer", "RobertaTokenizer",
                                       "BartTokenizer"};
    bool known = is_class(class, "Qwen2Tokenizer");
    d->pre = known ? "qwen2" : "gpt-2";
    for (size_t i = 0; i < sizeof gpt2 / sizeof *gpt2; i++) known = known || is_class(class, gpt2[i]);
    if (known) return AR_OK;
    return ar__note(f->notes,
                    "%s: words are cut as GPT-2 does, for the tokenizer_class \"%.64s\" is not known here",
                    f->what, class);
}

static ar_status read_vocab(files *f, ar_tokenizer_data *d, const char *class) {
    char *path = NULL;
    AR_TRY(read_class(d, f, class));
    AR_TRY(ar_path_join(&path, f->folder, "merges.txt"));
    ar_status status = ar_json_open(&f->vocab, f->what, MAX_VOCAB_BYTES);
    if (status == AR_OK) status = ar_file_read_text(&f->merges_text, NULL, path, MAX_VOCAB_BYTES);
    free(path);
    AR_TRY(status);
    AR_TRY(ar__gpt2_read(&f->list, d, &f->merges, f->vocab, f->merges_text, f->what));
    int64_t end = find(&f->list, "<|endoftext|>"); /* of GPT-2, whose settings do not name it */
    if (end >= 0) f->list.types[end] = AR_TOKEN_CONTROL;
    AR_TRY(ar_json_bool_or(&d->add_prefix_space, f->config, "add_prefix_space", false, f->config_path));
    return ar_json_bool_or(&d->add_bos, f->config, "add_bos_token", false, f->config_path);
}

/* ---- the tokenizer ---- */

/* White space that added tokens take, and what else their settings say of where they stand. */
static ar_status set_flags(ar_tokenizer *t, const files *f) {
    ar_status status = AR_OK;
    const ar_json *decoder = ar_json_get(f->config, "added_tokens_decoder");
    ar__added **of = ar__alloc((size_t)t->vocab, sizeof *of); /* by their ids */
    if (!of) return AR_ERR_MEMORY;
    for (int32_t i = 0; i < t->raw_added.count; i++) of[t->raw_added.items[i].id] = &t->raw_added.items[i];
    for (const ar_json *item = decoder ? decoder->child : NULL; item; item = item->next) {
        int64_t id = strtoll(item->string, NULL, 10);
        ar__added *a = id >= 0 && id < t->vocab ? of[id] : NULL;
        if (!a) continue;
        AR_GO(ar_json_bool_or(&a->lstrip, item, "lstrip", false, f->config_path));
        AR_GO(ar_json_bool_or(&a->rstrip, item, "rstrip", false, f->config_path));
        AR_GO(ar_json_bool_or(&a->single_word, item, "single_word", false, f->config_path));
    }
done:
    free(of);
    return status;
}

/* With "legacy": false a mark stands before the first word alone. */
static ar_status set_spm(ar_tokenizer *t, const files *f, bool byte_fallback) {
    bool legacy = true;
    AR_TRY(ar_json_bool_or(&legacy, f->config, "legacy", true, f->config_path));
    t->byte_fallback = byte_fallback;
    if (legacy) return AR_OK;
    for (int32_t i = 0; i < t->norm_count; i++) {
        free(t->norm[i].from);
        free(t->norm[i].to);
    }
    t->norm_count = 0;
    t->pre.metaspace = true;
    t->pre.metaspace_prepend = t->prefix_space ? AR__PREPEND_FIRST : AR__PREPEND_NEVER;
    return AR_OK;
}

/* The id of what settings call BOS or EOS, else of the token that usually is it. */
static int32_t part_id(const files *f, const char *key, const char *usual) {
    const ar_json *settings[] = {f->config, f->map};
    for (int i = 0; i < 2; i++) {
        const char *text = content(ar_json_get(settings[i], key));
        if (text) return (int32_t)find(&f->list, text);
    }
    return (int32_t)find(&f->list, usual);
}

static ar_status build(ar_tokenizer **t, files *f, ar_tokenizer_data *d, bool byte_fallback) {
    bool spm = d->kind == AR_TOK_SPM;
    AR_TRY(add_tokens(f));
    AR_TRY(fill_holes(f));
    d->what = f->what;
    d->count = f->list.count;
    d->tokens = f->list.tokens;
    d->token_bytes = f->list.token_bytes;
    d->types = f->list.types;
    d->scores = spm ? f->list.scores : NULL;
    d->bos = part_id(f, "bos_token", spm ? "<s>" : "<|endoftext|>");
    d->eos = part_id(f, "eos_token", spm ? "</s>" : "<|endoftext|>");
    d->unk = -1;
    AR_TRY(ar_json_bool_or(&d->add_eos, f->config, "add_eos_token", false, f->config_path));
    AR_TRY(ar_tokenizer_build(t, d));
    ar_status status = set_flags(*t, f);
    if (status == AR_OK && spm) status = set_spm(*t, f, byte_fallback);
    if (status != AR_OK) {
        ar_tokenizer_close(*t);
        *t = NULL;
    }
    return status;
}

static void files_deinit(files *f) {
    ar_json_close(f->config);
    ar_json_close(f->map);
    ar_json_close(f->added);
    ar_json_close(f->vocab);
    free(f->config_path);
    free(f->merges_text);
    free(f->merges);
    free(f->holes);
    ar__token_list_deinit(&f->list);
    if (f->model.path) ar_file_close(&f->model);
}

static ar_status open_older(ar_tokenizer **t, files *f, bool spm, const char *class) {
    ar_tokenizer_data d = {0};
    const char *said;
    bool byte_fallback = false;
    char *map_path = NULL, *added_path = NULL;
    ar_status status;
    AR_GO(open_beside(&f->config, &f->config_path, f, "tokenizer_config.json"));
    AR_GO(open_beside(&f->map, &map_path, f, "special_tokens_map.json"));
    AR_GO(open_beside(&f->added, &added_path, f, "added_tokens.json"));
    AR_GO(ar_json_string_or(&said, f->config, "tokenizer_class", class, f->config_path));
    AR_GO(spm ? read_model(f, &d, &byte_fallback) : read_vocab(f, &d, said));
    AR_GO(build(t, f, &d, byte_fallback));
done:
    free(map_path);
    free(added_path);
    return status;
}

/* ---- which file ---- */

/* How a folder keeps its tokenizer, the newest first. */
typedef enum form { FORM_JSON, FORM_SPM, FORM_GPT2, FORM_OTHER } form;
static const struct {
    const char *file, *beside; /* beside: there as well; NULL = nothing */
    form form;
} forms[] = {{"tokenizer.json", NULL, FORM_JSON},
             {"tokenizer.model", NULL, FORM_SPM},
             {"vocab.json", "merges.txt", FORM_GPT2},
             {"spiece.model", NULL, FORM_OTHER},
             {"sentencepiece.bpe.model", NULL, FORM_OTHER},
             {"vocab.txt", NULL, FORM_OTHER},
             {"vocab.json", NULL, FORM_OTHER},
             {"tokenizer.tiktoken", NULL, FORM_OTHER},
             {"qwen.tiktoken", NULL, FORM_OTHER},
             {"tekken.json", NULL, FORM_OTHER},
             {"tokenizer.bin", NULL, FORM_OTHER}};
#define FORMS (sizeof forms / sizeof *forms)

static ar_status has(bool *there, const char *folder, const char *name) {
    char *path;
    AR_TRY(ar_path_join(&path, folder, name));
    *there = ar_path_exists(path);
    free(path);
    return AR_OK;
}

static ar_status find_form(size_t *found, const char *folder) {
    for (*found = 0; *found < FORMS; ++*found) {
        bool there = false;
        AR_TRY(has(&there, folder, forms[*found].file));
        if (there && forms[*found].beside) AR_TRY(has(&there, folder, forms[*found].beside));
        if (there) return AR_OK;
    }
    return AR_OK;
}

ar_status ar__tokenizer_open_folder(ar_tokenizer **t, char **path, ar_notes *notes, const char *folder,
                                    const char *class) {
    size_t at;
    *t = NULL;
    *path = NULL;
    AR_TRY(find_form(&at, folder));
    if (at == FORMS) return AR_OK;
    AR_TRY(ar_path_join(path, folder, forms[at].file));
    if (forms[at].form == FORM_JSON) return ar_tokenizer_open(t, *path);
    files f = {.folder = folder, .what = *path, .notes = notes};
    ar_status status =
        forms[at].form == FORM_OTHER
            ? ar__fail(AR_ERR_UNSUPPORTED, "%s: found a tokenizer in a form that is not read here", *path)
            : open_older(t, &f, forms[at].form == FORM_SPM, class);
    files_deinit(&f);
    return status == AR_ERR_UNSUPPORTED ? ar__note(notes, "there is no tokenizer: %s", ar_error()) : status;
}
