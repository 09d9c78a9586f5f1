/* config.json and tokenizer_config.json from a model's numbers; see hf_make.h. */
#include "hf_make.h"
#include "ar_error.h"
#include "chat.h"
#include "family.h"
#include "tokenizer.h"
#include <stdio.h>
#include <stdlib.h>

static void add_id(cJSON *o, const char *key, int32_t id) {
    if (id >= 0)
        ar_json_add_number(o, key, id);
    else
        ar_json_add_null(o, key);
}

/* One number, or a list where there are more: eos first. */
static void add_ends(cJSON *o, const ar_config *c) {
    if (c->end_count < 2) {
        add_id(o, "eos_token_id", c->eos);
        return;
    }
    cJSON *list = ar_json_add_list(o, "eos_token_id");
    ar_json_push(list, cJSON_CreateNumber(c->eos));
    for (int32_t i = 0; i < c->end_count; i++)
        if (c->ends[i] != c->eos) ar_json_push(list, cJSON_CreateNumber(c->ends[i]));
}

/* "llama, mistral or gpt2": the families that can. */
static void list_families(char *out, size_t bytes) {
    int32_t count = 0, seen = 0;
    size_t used = 0;
    out[0] = 0;
    for (int32_t i = 0; ar__families[i]; i++) count += ar__families[i]->write_config != NULL;
    for (int32_t i = 0; ar__families[i] && used < bytes; i++) {
        if (!ar__families[i]->write_config) continue;
        const char *before = seen == 0 ? "" : seen == count - 1 ? " or " : ", ";
        used += (size_t)snprintf(out + used, bytes - used, "%s%s", before, ar__families[i]->name);
        seen++;
    }
}

/* What the source says of itself, for whoever makes a GGUF file of the folder again. */
static ar_status add_general(cJSON *o, const ar_open_model *m, const char *key, const char *name) {
    char *text = NULL;
    if (!m->read_general) return AR_OK;
    AR_TRY(m->read_general(&text, m->path, name));
    if (text) ar_json_add_string(o, key, text);
    free(text);
    return AR_OK;
}

ar_status ar__hf_make_config(cJSON **root, const ar_open_model *m) {
    const ar_config *c = &m->config;
    const ar_family *family = ar__family_of(c);
    *root = NULL;
    if (!family || !family->write_config) {
        char known[256];
        list_families(known, sizeof known);
        return ar__fail(AR_ERR_UNSUPPORTED,
                        "%s: found model family \"%s\", expected %s to make a config.json for", m->path,
                        c->family, known);
    }
    cJSON *o = *root = cJSON_CreateObject();
    ar_json_push(ar_json_add_list(o, "architectures"), cJSON_CreateString(family->architecture));
    ar_json_add_string(o, "model_type", c->family);
    add_id(o, "bos_token_id", c->bos);
    add_ends(o, c);
    /* where it is missing some take an id of their own vocabulary */
    add_id(o, "pad_token_id", c->pad);
    ar_json_add_bool(o, "tie_word_embeddings", c->tied);
    ar_json_add_number(o, "vocab_size", (double)c->vocab);
    family->write_config(o, m);
    AR_TRY(add_general(o, m, "model_name", "name"));
    return add_general(o, m, "license", "license");
}

static void add_token(cJSON *o, const char *key, const ar_tokenizer *t, int32_t id) {
    const char *text = ar_tokenizer_token(t, id, NULL);
    if (text)
        ar_json_add_string(o, key, text);
    else
        ar_json_add_null(o, key);
}

ar_status ar__hf_make_tokenizer_config(cJSON **root, const ar_open_model *m) {
    const ar_tokenizer *t = m->tokenizer;
    char *template = NULL;
    *root = NULL;
    AR_TRY(ar__chat_template(&template, m));
    cJSON *o = *root = cJSON_CreateObject();
    int32_t before;
    ar_tokenizer_prefix(&before, t);
    ar_json_add_bool(o, "add_bos_token", before > 0);
    ar_json_add_bool(o, "add_eos_token", ar_tokenizer_appends(t));
    add_token(o, "bos_token", t, ar_tokenizer_bos(t));
    add_token(o, "eos_token", t, ar_tokenizer_eos(t));
    add_token(o, "unk_token", t, ar_tokenizer_unk(t));
    if (m->config.pad >= 0) add_token(o, "pad_token", t, m->config.pad);
    ar_json_add_bool(o, "clean_up_tokenization_spaces", false);
    ar_json_add_number(o, "model_max_length", m->config.max_tokens);
    ar_json_add_string(o, "tokenizer_class", "PreTrainedTokenizerFast");
    if (template) ar_json_add_string(o, "chat_template", template);
    free(template);
    return AR_OK;
}
