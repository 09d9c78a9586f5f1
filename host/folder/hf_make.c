/* config.json and tokenizer_config.json from a model's numbers; see hf_make.h. */
#include "hf_make.h"
#include "ar_error.h"
#include "chat.h"
#include "tokenizer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *family, *architecture;
} families[] = {{"llama", "LlamaForCausalLM"}, {"mistral", "MistralForCausalLM"},
                {"qwen2", "Qwen2ForCausalLM"}, {"qwen3", "Qwen3ForCausalLM"},
                {"phi3", "Phi3ForCausalLM"},   {"gpt2", "GPT2LMHeadModel"}};

/* The shortest decimal that is this float again. */
static void shortest(char text[32], float value) {
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, 32, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) break;
    }
}

static void add_float(cJSON *o, const char *key, float value) {
    char text[32];
    shortest(text, value);
    cJSON_AddRawToObject(o, key, text);
}

static void add_id(cJSON *o, const char *key, int32_t id) {
    if (id >= 0)
        cJSON_AddNumberToObject(o, key, id);
    else
        cJSON_AddNullToObject(o, key);
}

static void add_factors(cJSON *o, const char *key, const float *factors, int32_t count) {
    cJSON *list = cJSON_AddArrayToObject(o, key);
    for (int32_t i = 0; i < count; i++) {
        char text[32];
        shortest(text, factors[i]);
        cJSON_AddItemToArray(list, cJSON_CreateRaw(text));
    }
}

static void add_rope(cJSON *o, const ar_config *c) {
    add_float(o, "rope_theta", c->rope_theta);
    if (!c->rope_scaling.kind[0]) {
        cJSON_AddNullToObject(o, "rope_scaling");
        return;
    }
    cJSON *scaling = cJSON_AddObjectToObject(o, "rope_scaling");
    cJSON_AddStringToObject(scaling, "rope_type", c->rope_scaling.kind);
    if (strcmp(c->rope_scaling.kind, "longrope") == 0) {
        add_float(scaling, "attention_factor", c->rope_scaling.attention);
        add_factors(scaling, "short_factor", c->rope_scaling.short_factors, c->rotary / 2);
        add_factors(scaling, "long_factor", c->rope_scaling.long_factors, c->rotary / 2);
        return;
    }
    add_float(scaling, "factor", c->rope_scaling.factor);
    if (strcmp(c->rope_scaling.kind, "llama3") != 0) return;
    add_float(scaling, "low_freq_factor", c->rope_scaling.low_freq);
    add_float(scaling, "high_freq_factor", c->rope_scaling.high_freq);
    cJSON_AddNumberToObject(scaling, "original_max_position_embeddings", c->rope_scaling.original_tokens);
}

static void add_window(cJSON *o, const ar_config *c) {
    if (c->window > 0)
        cJSON_AddNumberToObject(o, "sliding_window", c->window);
    else
        cJSON_AddNullToObject(o, "sliding_window"); /* where it is missing it may be 4096 */
    if (strncmp(c->family, "qwen", 4) != 0) return;
    int32_t first = 0;
    while (first < c->layers && ar_config_window(c, first) == 0) first++;
    cJSON_AddBoolToObject(o, "use_sliding_window", c->window > 0);
    cJSON_AddNumberToObject(o, "max_window_layers", first);
    cJSON *types = cJSON_AddArrayToObject(o, "layer_types");
    for (int32_t i = 0; i < c->layers; i++)
        cJSON_AddItemToArray(
            types, cJSON_CreateString(ar_config_window(c, i) > 0 ? "sliding_attention" : "full_attention"));
}

static void add_gpt2(cJSON *o, const ar_config *c) {
    cJSON_AddStringToObject(o, "activation_function",
                            "gelu_new"); /* the only one a file without names can mean */
    add_float(o, "layer_norm_epsilon", c->rms_eps);
    cJSON_AddNumberToObject(o, "n_embd", (double)c->hidden);
    cJSON_AddNumberToObject(o, "n_head", c->heads);
    cJSON_AddNumberToObject(o, "n_inner", (double)c->intermediate);
    cJSON_AddNumberToObject(o, "n_layer", c->layers);
    cJSON_AddNumberToObject(o, "n_positions", c->max_tokens);
}

/* Llama's keys, which its relatives have too. */
static void add_llama(cJSON *o, const ar_open_model *m) {
    const ar_config *c = &m->config;
    cJSON_AddBoolToObject(o, "attention_bias",
                          ar_weights_find(&m->weights, "model.layers.0.self_attn.q_proj.bias") >= 0);
    cJSON_AddBoolToObject(o, "mlp_bias",
                          ar_weights_find(&m->weights, "model.layers.0.mlp.down_proj.bias") >= 0);
    cJSON_AddStringToObject(o, "hidden_act", "silu");
    cJSON_AddNumberToObject(o, "hidden_size", (double)c->hidden);
    cJSON_AddNumberToObject(o, "intermediate_size", (double)c->intermediate);
    cJSON_AddNumberToObject(o, "max_position_embeddings", c->max_tokens);
    cJSON_AddNumberToObject(o, "num_hidden_layers", c->layers);
    cJSON_AddNumberToObject(o, "num_attention_heads", c->heads);
    cJSON_AddNumberToObject(o, "num_key_value_heads", c->kv_heads);
    cJSON_AddNumberToObject(o, "head_dim", c->head_dim);
    add_float(o, "rms_norm_eps", c->rms_eps);
    add_rope(o, c);
    if (c->rotary > 0 && c->rotary < c->head_dim)
        add_float(o, "partial_rotary_factor", (float)c->rotary / (float)c->head_dim);
    if (strcmp(c->family, "llama") != 0) add_window(o, c);
    if (strcmp(c->family, "phi3") == 0)
        cJSON_AddNumberToObject(o, "original_max_position_embeddings",
                                c->rope_scaling.original_tokens ? c->rope_scaling.original_tokens
                                                                : c->max_tokens);
}

ar_status ar__hf_make_config(cJSON **root, const ar_open_model *m) {
    const ar_config *c = &m->config;
    const char *architecture = NULL;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strcmp(families[i].family, c->family) == 0) architecture = families[i].architecture;
    *root = NULL;
    if (!architecture)
        return ar__fail(AR_ERR_UNSUPPORTED,
                        "%s: found model family \"%s\", expected llama, mistral, qwen2, qwen3, phi3 or gpt2 "
                        "to make a config.json for",
                        m->path, c->family);
    cJSON *o = *root = cJSON_CreateObject();
    cJSON_AddItemToArray(cJSON_AddArrayToObject(o, "architectures"), cJSON_CreateString(architecture));
    cJSON_AddStringToObject(o, "model_type", c->family);
    add_id(o, "bos_token_id", c->bos);
    add_id(o, "eos_token_id", c->eos);
    cJSON_AddNullToObject(o,
                          "pad_token_id"); /* where it is missing Phi-3 takes an id of its own vocabulary */
    cJSON_AddBoolToObject(o, "tie_word_embeddings", c->tied);
    cJSON_AddNumberToObject(o, "vocab_size", (double)c->vocab);
    if (c->is_conv1d)
        add_gpt2(o, c);
    else
        add_llama(o, m);
    return AR_OK;
}

static void add_token(cJSON *o, const char *key, const ar_tokenizer *t, int32_t id) {
    const char *text = ar_tokenizer_token(t, id, NULL);
    if (text)
        cJSON_AddStringToObject(o, key, text);
    else
        cJSON_AddNullToObject(o, key);
}

ar_status ar__hf_make_tokenizer_config(cJSON **root, const ar_open_model *m) {
    const ar_tokenizer *t = m->tokenizer;
    char *template = NULL;
    *root = NULL;
    AR_TRY(ar__chat_template(&template, m));
    cJSON *o = *root = cJSON_CreateObject();
    cJSON_AddBoolToObject(o, "add_bos_token", ar__tokenizer_starts_with_bos(t));
    cJSON_AddBoolToObject(o, "add_eos_token", false);
    add_token(o, "bos_token", t, ar_tokenizer_bos(t));
    add_token(o, "eos_token", t, ar_tokenizer_eos(t));
    add_token(o, "unk_token", t, ar_tokenizer_unk(t));
    cJSON_AddBoolToObject(o, "clean_up_tokenization_spaces", false);
    cJSON_AddNumberToObject(o, "model_max_length", m->config.max_tokens);
    cJSON_AddStringToObject(o, "tokenizer_class", "PreTrainedTokenizerFast");
    if (template) cJSON_AddStringToObject(o, "chat_template", template);
    free(template);
    return AR_OK;
}
