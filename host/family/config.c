/* config.json of a decoder: the numbers a family needs, every one with a range. Also reads the
 * rope_parameters object that newer transformers write in place of rope_theta and rope_scaling. */
#include "ar_error.h"
#include "family.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CONFIG_BYTES ((size_t)4 << 20)
#define MAX_HIDDEN       (1 << 20)
#define MAX_INTERMEDIATE (1 << 22)
#define MAX_VOCAB        (1 << 24)
#define MAX_HEADS        4096
#define MAX_HEAD_DIM     4096
#define MAX_TOKENS       (1 << 24)

static ar_status read_family(const ar_family **family, ar_config *c, const ar_json *root, const char *what) {
    const char *type;
    AR_TRY(ar_json_string_or(&type, root, "model_type", "", what));
    *family = ar_family_find(type);
    if (*family) {
        snprintf(c->family, sizeof c->family, "%s", (*family)->name);
        return AR_OK;
    }
    char known[256] = "";
    size_t used = 0;
    for (int32_t i = 0; ar__families[i] && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? " " : "",
                                 ar__families[i]->model_types);
    return ar__fail(AR_ERR_FORMAT, "%s: model_type: found \"%.64s\", expected one of: %s", what, type, known);
}

/* A range of int32_t: the caller's hi fits one. */
static ar_status read_i32(int32_t *out, const ar_json *root, const char *key, int64_t lo, int64_t hi,
                          const char *what) {
    int64_t value = 0;
    AR_TRY(ar_json_int(&value, root, key, lo, hi, what));
    *out = (int32_t)value;
    return AR_OK;
}

static ar_status read_sizes(ar_config *c, const ar_json *root, const ar__config_rules *r, const char *what) {
    AR_TRY(ar_json_int(&c->hidden, root, r->hidden, 1, MAX_HIDDEN, what));
    if (r->intermediate_is_optional)
        AR_TRY(ar_json_int_or(&c->intermediate, root, r->intermediate, 4 * c->hidden, 1, MAX_INTERMEDIATE,
                              what));
    else
        AR_TRY(ar_json_int(&c->intermediate, root, r->intermediate, 1, MAX_INTERMEDIATE, what));
    AR_TRY(ar_json_int(&c->vocab, root, "vocab_size", 1, MAX_VOCAB, what));
    AR_TRY(read_i32(&c->layers, root, r->layers, 1, AR_MAX_LAYERS, what));
    return read_i32(&c->max_tokens, root, r->max_tokens, 1, MAX_TOKENS, what);
}

ar_status ar__config_window(ar_config *c, const ar_json *root, int32_t fallback, const char *what) {
    int64_t window = 0;
    const cJSON *item = ar_json_get(root, "sliding_window");
    if (item && cJSON_IsNull(item)) return AR_OK;
    AR_TRY(ar_json_int_or(&window, root, "sliding_window", fallback, 1, INT32_MAX, what));
    c->window = (int32_t)window;
    return AR_OK;
}

int32_t ar_config_window(const ar_config *c, int32_t layer) {
    return c->full[layer / 8] >> layer % 8 & 1 ? 0 : c->window;
}

void ar__config_set_full(ar_config *c, int32_t i) { c->full[i / 8] |= (uint8_t)(1u << i % 8); }

void ar__config_trim_window(ar_config *c) {
    for (int32_t i = 0; i < c->layers; i++)
        if (ar_config_window(c, i)) return;
    c->window = 0;
    memset(c->full, 0, sizeof c->full);
}

static ar_status read_layer_types(ar_config *c, const cJSON *types, const char *what) {
    if (!cJSON_IsArray(types) || cJSON_GetArraySize(types) != c->layers)
        return ar__fail(AR_ERR_FORMAT, "%s: layer_types: found %d of them, expected %d, one for every layer",
                        what, cJSON_GetArraySize(types), (int)c->layers);
    const cJSON *item = types->child;
    for (int32_t i = 0; i < c->layers; i++, item = item->next) {
        const char *type = cJSON_IsString(item) ? item->valuestring : "no text";
        bool is_full = strcmp(type, "full_attention") == 0;
        if (!is_full && strcmp(type, "sliding_attention") != 0)
            return ar__fail(AR_ERR_FORMAT,
                            "%s: layer_types: found \"%.32s\", expected full_attention or sliding_attention",
                            what, type);
        if (!is_full && c->window == 0)
            return ar__fail(AR_ERR_FORMAT,
                            "%s: layer_types: found sliding_attention and no window, expected full_attention",
                            what);
        if (is_full) ar__config_set_full(c, i);
    }
    return AR_OK;
}

ar_status ar__config_layer_windows(ar_config *c, const ar_json *root, const char *what) {
    bool slides;
    int64_t first = 0;
    const cJSON *types = ar_json_get(root, "layer_types");
    AR_TRY(ar_json_bool_or(&slides, root, "use_sliding_window", false, what));
    if (slides) AR_TRY(ar__config_window(c, root, 4096, what));
    AR_TRY(ar_json_int_or(&first, root, "max_window_layers", 28, 0, INT32_MAX, what));
    if (types && !cJSON_IsNull(types))
        AR_TRY(read_layer_types(c, types, what));
    else
        for (int32_t i = 0; i < c->layers && i < first; i++) ar__config_set_full(c, i);
    ar__config_trim_window(c);
    return AR_OK;
}

ar_status ar__config_expect(const ar_json *root, const char *key, bool fallback, bool expected,
                            const char *what) {
    bool found = false;
    AR_TRY(ar_json_bool_or(&found, root, key, fallback, what));
    if (found == expected) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s: %s: found %s, expected %s", what, key, found ? "true" : "false",
                    expected ? "true" : "false");
}

static ar_status read_heads(ar_config *c, const ar_json *root, const ar__config_rules *r, const char *what) {
    int64_t kv_heads = 0, head_dim = 0;
    AR_TRY(read_i32(&c->heads, root, r->heads, 1, MAX_HEADS, what));
    AR_TRY(ar_json_int_or(&kv_heads, root, "num_key_value_heads", c->heads, 1, c->heads, what));
    if (c->heads % kv_heads != 0)
        return ar__fail(AR_ERR_FORMAT, "%s: num_key_value_heads: found %d, expected a divisor of %s = %d",
                        what, (int)kv_heads, r->heads, (int)c->heads);
    AR_TRY(ar_json_int_or(&head_dim, root, "head_dim", r->default_head_dim, 1, MAX_HEAD_DIM, what));
    if (head_dim == 0 && c->hidden % c->heads != 0)
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found %lld, expected a multiple of %s = %d", what, r->hidden,
                        (long long)c->hidden, r->heads, (int)c->heads);
    if (head_dim == 0) head_dim = c->hidden / c->heads;
    if (head_dim % 4 != 0 || head_dim > MAX_HEAD_DIM)
        return ar__fail(AR_ERR_FORMAT, "%s: head_dim: found %lld, expected a multiple of 4 up to %d", what,
                        (long long)head_dim, MAX_HEAD_DIM);
    c->kv_heads = (int32_t)kv_heads;
    c->head_dim = (int32_t)head_dim;
    return AR_OK;
}

static ar_status read_f32(float *out, const ar_json *obj, const char *key, double fallback, double lo,
                          double hi, const char *what) {
    double value = 0;
    AR_TRY(ar_json_number_or(&value, obj, key, fallback, lo, hi, what));
    *out = (float)value;
    return AR_OK;
}

static ar_status read_llama3(ar_config *c, const ar_json *scaling, const char *what) {
    AR_TRY(read_f32(&c->rope_scaling.low_freq, scaling, "low_freq_factor", 1, 1e-3, 1e6, what));
    AR_TRY(read_f32(&c->rope_scaling.high_freq, scaling, "high_freq_factor", 4, 1e-3, 1e6, what));
    if (!(c->rope_scaling.low_freq < c->rope_scaling.high_freq))
        return ar__fail(AR_ERR_FORMAT,
                        "%s: high_freq_factor: found %g, expected more than low_freq_factor = %g", what,
                        (double)c->rope_scaling.high_freq, (double)c->rope_scaling.low_freq);
    int64_t original = 0;
    AR_TRY(ar_json_int_or(&original, scaling, "original_max_position_embeddings", c->max_tokens, 1,
                          MAX_TOKENS, what));
    c->rope_scaling.original_tokens = (int32_t)original;
    return AR_OK;
}

static ar_status read_factors(float *out, const ar_json *scaling, const char *key, int32_t pairs,
                              const char *what) {
    const cJSON *list = ar_json_get(scaling, key);
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != pairs)
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found %d numbers, expected %d", what, key,
                        cJSON_GetArraySize(list), (int)pairs);
    const cJSON *item = list->child;
    for (int32_t i = 0; i < pairs; i++, item = item->next) {
        double value = cJSON_IsNumber(item) ? item->valuedouble : 0;
        if (!(value >= 1e-3 && value <= 1e6))
            return ar__fail(AR_ERR_FORMAT, "%s: %s: found %g, expected numbers from 0.001 to 1e6", what, key,
                            value);
        out[i] = (float)value;
    }
    return AR_OK;
}

float ar__rope_attention(double factor, int32_t original_tokens) {
    return factor <= 1 || original_tokens < 2 ? 1.0f
                                              : (float)sqrt(1 + log(factor) / log((double)original_tokens));
}

/* The original context stands beside rope_scaling, or in it. */
static ar_status read_longrope(ar_config *c, const ar_json *root, const ar_json *scaling, const char *what) {
    int64_t original = 0;
    double factor = 0;
    int32_t pairs = c->rotary / 2;
    if (pairs > AR_MAX_FACTORS)
        return ar__fail(AR_ERR_FORMAT, "%s: rope_scaling: found %d rotary pairs, expected at most %d", what,
                        (int)pairs, AR_MAX_FACTORS);
    AR_TRY(ar_json_int_or(&original, scaling, "original_max_position_embeddings", 4096, 1, MAX_TOKENS, what));
    AR_TRY(
        ar_json_int_or(&original, root, "original_max_position_embeddings", original, 1, MAX_TOKENS, what));
    AR_TRY(ar_json_number_or(&factor, scaling, "factor", (double)c->max_tokens / (double)original, 1e-3, 1e6,
                             what));
    c->rope_scaling.original_tokens = (int32_t)original;
    AR_TRY(read_f32(&c->rope_scaling.attention, scaling, "attention_factor",
                    (double)ar__rope_attention(factor, (int32_t)original), 1e-3, 1e6, what));
    AR_TRY(read_factors(c->rope_scaling.short_factors, scaling, "short_factor", pairs, what));
    AR_TRY(read_factors(c->rope_scaling.long_factors, scaling, "long_factor", pairs, what));
    memcpy(c->rope_scaling.kind, "longrope", sizeof "longrope");
    return AR_OK;
}

/* *found = the scaling is longrope, under either of its names. */
static ar_status find_longrope(bool *found, const ar_json *scaling, const char *what) {
    const char *type, *kind;
    AR_TRY(ar_json_string_or(&type, scaling, "type", "default", what));
    AR_TRY(ar_json_string_or(&kind, scaling, "rope_type", type, what));
    *found = strcmp(kind, "longrope") == 0 || strcmp(kind, "su") == 0;
    return AR_OK;
}

static ar_status read_scaling(ar_config *c, const ar_json *scaling, const char *what) {
    const char *type, *kind;
    AR_TRY(ar_json_string_or(&type, scaling, "type", "default", what));
    AR_TRY(ar_json_string_or(&kind, scaling, "rope_type", type, what));
    if (strcmp(kind, "default") == 0) return AR_OK;
    bool is_llama3 = strcmp(kind, "llama3") == 0;
    if (!is_llama3 && strcmp(kind, "linear") != 0)
        return ar__fail(AR_ERR_FORMAT, "%s: rope_type: found \"%.32s\", expected default, linear or llama3",
                        what, kind);
    if (!ar_json_get(scaling, "factor"))
        return ar__fail(AR_ERR_FORMAT, "%s: rope_scaling: factor: found nothing, expected a number", what);
    snprintf(c->rope_scaling.kind, sizeof c->rope_scaling.kind, "%s", kind);
    AR_TRY(read_f32(&c->rope_scaling.factor, scaling, "factor", 1, 1e-3, 1e6, what));
    return is_llama3 ? read_llama3(c, scaling, what) : AR_OK;
}

/* The first int(factor * head_dim) dims of a head turn. */
static ar_status set_rotary(ar_config *c, float factor, bool partial_rotary, const char *what) {
    c->rotary = (int32_t)((double)factor * c->head_dim);
    if (!partial_rotary && factor != 1.0f)
        return ar__fail(AR_ERR_FORMAT, "%s: partial_rotary_factor: found %g, expected 1", what,
                        (double)factor);
    if (c->rotary < 2 || c->rotary % 2 != 0)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: partial_rotary_factor: found %g of %d dims, expected an even number of them",
                        what, (double)factor, (int)c->head_dim);
    return AR_OK;
}

/* One set for all layers: newer files may have one for every type of them. */
static ar_status check_one_set(const ar_json *rope, const char *key, const char *what) {
    if (!cJSON_IsObject(rope))
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found no object, expected one or null", what, key);
    for (const cJSON *item = rope->child; item; item = item->next)
        if (cJSON_IsObject(item))
            return ar__fail(AR_ERR_FORMAT,
                            "%s: %s: found a set of parameters for %.64s, expected one set for all layers",
                            what, key, item->string);
    return AR_OK;
}

/* As transformers 5 takes them: a rope_scaling that says anything counts instead of rope_parameters, with all
 * that is in it; theta and the partial rotation may stand beside either. */
static ar_status read_rope(ar_config *c, const ar_json *root, const ar__config_rules *r, const char *what) {
    static const char *const keys[] = {"rope_scaling", "rope_parameters"};
    const ar_json *rope = NULL;
    float partial = 1;
    AR_TRY(read_f32(&c->rope_theta, root, "rope_theta", 10000, 1, 1e12, what));
    AR_TRY(read_f32(&partial, root, "partial_rotary_factor", 1, 0, 1, what));
    for (int32_t i = 0; i < 2 && !rope; i++) {
        const ar_json *found = ar_json_get(root, keys[i]);
        if (!found || cJSON_IsNull(found)) continue;
        AR_TRY(check_one_set(found, keys[i], what));
        if (found->child) rope = found;
    }
    if (rope) {
        AR_TRY(read_f32(&c->rope_theta, rope, "rope_theta", (double)c->rope_theta, 1, 1e12, what));
        AR_TRY(read_f32(&partial, rope, "partial_rotary_factor", (double)partial, 0, 1, what));
    }
    AR_TRY(set_rotary(c, partial, r->has_partial_rotary, what));
    if (!rope) return AR_OK;
    bool is_long = false;
    if (r->has_longrope) AR_TRY(find_longrope(&is_long, rope, what));
    return is_long ? read_longrope(c, root, rope, what) : read_scaling(c, rope, what);
}

bool ar_config_ends(const ar_config *c, int32_t id) {
    for (int32_t i = 0; i < c->end_count; i++)
        if (c->ends[i] == id) return true;
    return false;
}

ar_status ar_config_add_end(ar_config *c, int32_t id, const char *what) {
    if (id < 0 || ar_config_ends(c, id)) return AR_OK;
    if (c->end_count == AR_MAX_ENDS)
        return ar__fail(AR_ERR_FORMAT, "%s: found more than %d tokens that end a text", what, AR_MAX_ENDS);
    c->ends[c->end_count++] = id;
    if (c->eos < 0) c->eos = id;
    return AR_OK;
}

/* A number, or nothing (-1). */
static ar_status read_token(int32_t *out, const cJSON *item, const char *key, int64_t vocab,
                            const char *what) {
    *out = -1;
    if (!item || cJSON_IsNull(item)) return AR_OK;
    double value = cJSON_IsNumber(item) ? item->valuedouble : -2;
    if (!(value >= -1 && value < (double)vocab) || value != (double)(int32_t)value)
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found %s%g, expected a token id below vocab_size = %lld",
                        what, key, cJSON_IsNumber(item) ? "" : "no number, ", value, (long long)vocab);
    *out = (int32_t)value;
    return AR_OK;
}

/* The first of a list is meant where one token is wanted; an empty list is none. */
static ar_status read_bos(ar_config *c, const ar_json *root, const char *what) {
    const cJSON *item = ar_json_get(root, "bos_token_id");
    if (cJSON_IsArray(item)) item = item->child;
    return read_token(&c->bos, item, "bos_token_id", c->vocab, what);
}

/* Nothing is computed with it, and ids beyond the vocabulary are common: none then. */
static void read_pad(ar_config *c, const ar_json *root) {
    const cJSON *item = ar_json_get(root, "pad_token_id");
    double value = cJSON_IsNumber(item) ? item->valuedouble : -1;
    c->pad = value >= 0 && value < (double)c->vocab ? (int32_t)value : -1;
}

ar_status ar__config_read_ends(ar_config *c, const ar_json *root, const char *what) {
    const cJSON *item = ar_json_get(root, "eos_token_id"), *one;
    int32_t id;
    if (!cJSON_IsArray(item)) {
        AR_TRY(read_token(&id, item, "eos_token_id", c->vocab, what));
        return ar_config_add_end(c, id, what);
    }
    cJSON_ArrayForEach(one, item) {
        AR_TRY(read_token(&id, one, "eos_token_id", c->vocab, what));
        AR_TRY(ar_config_add_end(c, id, what));
    }
    return AR_OK;
}

/* SiLU gates a product of its own; the others stand between two products. */
static ar_status read_act(ar_config *c, const ar_json *root, const ar__config_rules *r, const char *what) {
    static const struct {
        const char *name;
        ar_act act;
    } plain[] = {{"relu", AR_ACT_RELU},
                 {"gelu", AR_ACT_GELU},
                 {"gelu_new", AR_ACT_GELU_TANH},
                 {"gelu_fast", AR_ACT_GELU_TANH},
                 {"gelu_pytorch_tanh", AR_ACT_GELU_TANH}};
    const char *act;
    AR_TRY(ar_json_string_or(&act, root, r->act, r->default_act, what));
    bool is_gated = strcmp(r->default_act, "silu") == 0;
    if (is_gated && strcmp(act, "silu") == 0) return AR_OK;
    for (size_t i = 0; !is_gated && i < sizeof plain / sizeof *plain; i++)
        if (strcmp(act, plain[i].name) == 0) {
            c->act = plain[i].act;
            return AR_OK;
        }
    return ar__fail(AR_ERR_FORMAT, "%s: %s: found \"%.32s\", expected %s", what, r->act, act,
                    is_gated ? "\"silu\"" : "relu, gelu or gelu_new");
}

ar_status ar__config_decoder(ar_config *c, const ar_json *root, const ar__config_rules *r, const char *what) {
    AR_TRY(read_act(c, root, r, what));
    AR_TRY(read_sizes(c, root, r, what));
    AR_TRY(read_heads(c, root, r, what));
    c->rms_eps = (float)r->default_eps;
    c->rope_theta = 10000;
    if (r->eps) AR_TRY(read_f32(&c->rms_eps, root, r->eps, r->default_eps, 1e-20, 1, what));
    if (r->is_rotary) AR_TRY(read_rope(c, root, r, what));
    AR_TRY(ar_json_bool_or(&c->tied, root, "tie_word_embeddings", r->is_tied, what));
    bool attention, mlp; /* which biases there are is seen in the weights */
    AR_TRY(ar_json_bool_or(&attention, root, "attention_bias", false, what));
    AR_TRY(ar_json_bool_or(&mlp, root, "mlp_bias", false, what));
    c->has_biases = attention || mlp;
    return AR_OK;
}

static ar_status read_config(ar_config *c, const ar_json *root, const char *what) {
    if (!cJSON_IsObject(root)) return ar__fail(AR_ERR_FORMAT, "%s: found no object, expected one", what);
    const ar_family *family;
    AR_TRY(read_family(&family, c, root, what));
    AR_TRY(family->config(c, root, what));
    AR_TRY(read_bos(c, root, what));
    c->eos = -1;
    read_pad(c, root);
    return ar__config_read_ends(c, root, what);
}

ar_status ar_config_parse(ar_config *c, const char *json, size_t bytes, const char *what) {
    ar_json *root;
    *c = (ar_config){0};
    AR_TRY(ar_json_parse(&root, json, bytes, what));
    ar_status status = read_config(c, root, what);
    ar_json_close(root);
    return status;
}

ar_status ar_config_open(ar_config *c, const char *path) {
    char *text;
    size_t bytes;
    *c = (ar_config){0};
    AR_TRY(ar_file_read_text(&text, &bytes, path, MAX_CONFIG_BYTES));
    ar_status status = ar_config_parse(c, text, bytes, path);
    free(text);
    return status;
}
