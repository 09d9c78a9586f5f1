/* config.json's keys of a decoder, from its numbers: what a family's `write_config` is made of, for models
 * that came without one. What is written here is what config.c reads. */
#include "family.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The shortest decimal that is this float again. */
static void shortest(char text[32], float value) {
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, 32, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) break;
    }
}

void ar__config_add_float(cJSON *o, const char *key, float value) {
    char text[32];
    shortest(text, value);
    ar_json_put(o, key, cJSON_CreateRaw(text));
}

static void add_factors(cJSON *o, const char *key, const float *factors, int32_t count) {
    cJSON *list = ar_json_add_list(o, key);
    for (int32_t i = 0; i < count; i++) {
        char text[32];
        shortest(text, factors[i]);
        ar_json_push(list, cJSON_CreateRaw(text));
    }
}

static void add_rope(cJSON *o, const ar_config *c) {
    ar__config_add_float(o, "rope_theta", c->rope_theta);
    if (!c->rope_scaling.kind[0]) {
        ar_json_add_null(o, "rope_scaling");
        return;
    }
    cJSON *scaling = ar_json_add_object(o, "rope_scaling");
    ar_json_add_string(scaling, "rope_type", c->rope_scaling.kind);
    if (strcmp(c->rope_scaling.kind, "longrope") == 0) {
        ar__config_add_float(scaling, "attention_factor", c->rope_scaling.attention);
        add_factors(scaling, "short_factor", c->rope_scaling.short_factors, c->rotary / 2);
        add_factors(scaling, "long_factor", c->rope_scaling.long_factors, c->rotary / 2);
        return;
    }
    ar__config_add_float(scaling, "factor", c->rope_scaling.factor);
    if (strcmp(c->rope_scaling.kind, "llama3") != 0) return;
    ar__config_add_float(scaling, "low_freq_factor", c->rope_scaling.low_freq);
    ar__config_add_float(scaling, "high_freq_factor", c->rope_scaling.high_freq);
    ar_json_add_number(scaling, "original_max_position_embeddings", c->rope_scaling.original_tokens);
}

void ar__config_add_window(ar_json *o, const ar_config *c) {
    if (c->window > 0)
        ar_json_add_number(o, "sliding_window", c->window);
    else
        ar_json_add_null(o, "sliding_window");
}

void ar__config_add_layer_windows(ar_json *o, const ar_config *c) {
    int32_t first = 0;
    ar__config_add_window(o, c);
    while (first < c->layers && ar_config_window(c, first) == 0) first++;
    ar_json_add_bool(o, "use_sliding_window", c->window > 0);
    ar_json_add_number(o, "max_window_layers", first);
    cJSON *types = ar_json_add_list(o, "layer_types");
    for (int32_t i = 0; i < c->layers; i++)
        ar_json_push(types,
                     cJSON_CreateString(ar_config_window(c, i) > 0 ? "sliding_attention" : "full_attention"));
}

static bool has_bias(const ar_open_model *m, const char *linear) {
    char name[160];
    const ar__names *names = ar__family_of(&m->config)->names;
    snprintf(name, sizeof name, "%s%s.0.%s.bias", names->prefixes[0], names->layers, linear);
    return ar_weights_find(&m->weights, name) >= 0;
}

void ar__config_add_decoder(ar_json *o, const ar_open_model *m) {
    const ar_config *c = &m->config;
    ar_json_add_bool(o, "attention_bias", has_bias(m, "self_attn.q_proj"));
    ar_json_add_bool(o, "mlp_bias", has_bias(m, "mlp.down_proj"));
    ar_json_add_string(o, "hidden_act", "silu");
    ar_json_add_number(o, "hidden_size", (double)c->hidden);
    ar_json_add_number(o, "intermediate_size", (double)c->intermediate);
    ar_json_add_number(o, "max_position_embeddings", c->max_tokens);
    ar_json_add_number(o, "num_hidden_layers", c->layers);
    ar_json_add_number(o, "num_attention_heads", c->heads);
    ar_json_add_number(o, "num_key_value_heads", c->kv_heads);
    ar_json_add_number(o, "head_dim", c->head_dim);
    ar__config_add_float(o, "rms_norm_eps", c->rms_eps);
    add_rope(o, c);
    if (c->rotary > 0 && c->rotary < c->head_dim)
        ar__config_add_float(o, "partial_rotary_factor", (float)c->rotary / (float)c->head_dim);
}
