/* Which type every tensor of a GGUF file gets: the names of --type, and the rules by which llama-quantize
 * mixes types (llama.cpp, tools/quantize), so that files of one name have one size. Linears and the head are
 * what names and places of tensors say; widths that a type's blocks do not divide fall back to another. */
#include "fmt_gguf.h"
#include "fmt_gguf_types.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const ar__gguf_mix mixes[] = {
    {"q4_0", AR_QT_Q4_0, AR__MIX_PLAIN, 2},     {"q4_1", AR_QT_Q4_1, AR__MIX_PLAIN, 3},
    {"q5_0", AR_QT_Q5_0, AR__MIX_PLAIN, 8},     {"q5_1", AR_QT_Q5_1, AR__MIX_PLAIN, 9},
    {"q8_0", AR_QT_Q8_0, AR__MIX_PLAIN, 7},     {"q2_k", AR_QT_Q2_K, AR__MIX_MEDIUM, 10},
    {"q2_k_s", AR_QT_Q2_K, AR__MIX_SMALL, 21},  {"q3_k_s", AR_QT_Q3_K, AR__MIX_SMALL, 11},
    {"q3_k_m", AR_QT_Q3_K, AR__MIX_MEDIUM, 12}, {"q3_k_l", AR_QT_Q3_K, AR__MIX_LARGE, 13},
    {"q4_k_s", AR_QT_Q4_K, AR__MIX_SMALL, 14},  {"q4_k_m", AR_QT_Q4_K, AR__MIX_MEDIUM, 15},
    {"q5_k_s", AR_QT_Q5_K, AR__MIX_SMALL, 16},  {"q5_k_m", AR_QT_Q5_K, AR__MIX_MEDIUM, 17},
    {"q6_k", AR_QT_Q6_K, AR__MIX_PLAIN, 18},    {"f16", AR_QT_F16, AR__MIX_PLAIN, 1},
    {"bf16", AR_QT_BF16, AR__MIX_PLAIN, 32},    {"f32", AR_QT_F32, AR__MIX_PLAIN, 0},
    {"q3_k", AR_QT_Q3_K, AR__MIX_MEDIUM, 12},   {"q4_k", AR_QT_Q4_K, AR__MIX_MEDIUM, 15},
    {"q5_k", AR_QT_Q5_K, AR__MIX_MEDIUM, 17}};

const ar__gguf_mix *ar__gguf_mix_find(const char *name) {
    for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++)
        if (strcasecmp(mixes[i].name, name) == 0) return &mixes[i];
    return NULL;
}

const ar__gguf_mix *ar__gguf_mix_like(const ar_tensor_types *types) {
    int32_t file_type;
    ar_qtype most = ar__tensor_types_most(&file_type, types);
    for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++)
        if (mixes[i].file_type == file_type && mixes[i].type == most) return &mixes[i];
    for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++)
        if (mixes[i].type == most) return &mixes[i];
    return NULL;
}

/* ---- places ---- */

typedef enum role { ROLE_OTHER, ROLE_EMBEDDING, ROLE_HEAD, ROLE_V, ROLE_OUTPUT, ROLE_DOWN, ROLE_FLOAT } role;

static role role_of(const char *name) {
    static const struct {
        const char *part;
        role role;
    } parts[] = {{"_norm.weight", ROLE_FLOAT},        {"position_embd.", ROLE_FLOAT},
                 {"attn_qkv.weight", ROLE_V},         {"attn_v.weight", ROLE_V},
                 {"attn_output.weight", ROLE_OUTPUT}, {"ffn_down.weight", ROLE_DOWN}};
    if (strcmp(name, "token_embd.weight") == 0) return ROLE_EMBEDDING;
    if (strcmp(name, "output.weight") == 0) return ROLE_HEAD;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(name, parts[i].part)) return parts[i].role;
    return ROLE_OTHER;
}

/* The first and the last eighth of the layers, and every third between. */
static bool has_more_bits(int32_t layer, int32_t layers) {
    return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

static ar_qtype value_type(const ar__gguf_mix *mix, const ar__gguf_place *p, int32_t layer) {
    bool small = mix->size == AR__MIX_SMALL, medium = mix->size == AR__MIX_MEDIUM,
         shared = p->queries_per_kv >= 4;
    ar_qtype type = mix->type;
    if (mix->type == AR_QT_Q2_K && shared)
        type = AR_QT_Q4_K;
    else if (mix->type == AR_QT_Q2_K && medium)
        type = AR_QT_Q3_K;
    else if (mix->type == AR_QT_Q3_K && medium)
        type = layer < 2 ? AR_QT_Q5_K : AR_QT_Q4_K;
    else if (mix->type == AR_QT_Q3_K && mix->size == AR__MIX_LARGE)
        type = AR_QT_Q5_K;
    else if ((mix->type == AR_QT_Q4_K || mix->type == AR_QT_Q5_K) && medium &&
             has_more_bits(layer, p->layers))
        type = AR_QT_Q6_K;
    else if (mix->type == AR_QT_Q4_K && small && layer < 4)
        type = AR_QT_Q5_K;
    bool is_70b = p->layers == 80 && p->queries_per_kv > 1;
    return is_70b && (type == AR_QT_Q3_K || type == AR_QT_Q4_K) ? AR_QT_Q5_K : type;
}

static ar_qtype down_type(const ar__gguf_mix *mix, const ar__gguf_place *p, int32_t layer) {
    bool small = mix->size == AR__MIX_SMALL, medium = mix->size == AR__MIX_MEDIUM,
         early = layer < p->layers / 8;
    if (mix->type == AR_QT_Q2_K) return medium ? AR_QT_Q3_K : early ? AR_QT_Q4_K : AR_QT_Q2_K;
    if (mix->type == AR_QT_Q3_K && medium) return layer < p->layers / 16 ? AR_QT_Q5_K : AR_QT_Q4_K;
    if (mix->type == AR_QT_Q3_K && mix->size == AR__MIX_LARGE) return AR_QT_Q5_K;
    if (mix->type == AR_QT_Q4_K && small) return early ? AR_QT_Q5_K : AR_QT_Q4_K;
    if ((mix->type == AR_QT_Q4_K || mix->type == AR_QT_Q5_K) && medium)
        return has_more_bits(layer, p->layers) ? AR_QT_Q6_K : mix->type;
    return mix->type;
}

static ar_qtype attention_output_type(const ar__gguf_mix *mix) {
    if (mix->type == AR_QT_Q2_K && mix->size == AR__MIX_MEDIUM) return AR_QT_Q3_K;
    if (mix->type == AR_QT_Q3_K && mix->size == AR__MIX_MEDIUM) return AR_QT_Q4_K;
    if (mix->type == AR_QT_Q3_K && mix->size == AR__MIX_LARGE) return AR_QT_Q5_K;
    return mix->type;
}

static ar_qtype head_type(const ar__gguf_mix *mix, int64_t width) {
    if (width % ar_qtype_elems(mix->type) != 0 || mix->type == AR_QT_Q8_0) return AR_QT_Q8_0;
    return AR_QT_Q6_K;
}

ar_qtype ar__gguf_fitting_type(ar_qtype type, int64_t width) {
    if (width % ar_qtype_elems(type) == 0) return type;
    ar_qtype other = type == AR_QT_Q2_K || type == AR_QT_Q3_K ? AR_QT_Q4_0
                     : type == AR_QT_Q4_K                     ? AR_QT_Q5_0
                     : type == AR_QT_Q5_K                     ? AR_QT_Q5_1
                     : type == AR_QT_Q6_K                     ? AR_QT_Q8_0
                                                              : AR_QT_F16;
    return width % ar_qtype_elems(other) == 0 ? other : AR_QT_F16;
}

ar_qtype ar__gguf_mix_type(const ar__gguf_mix *mix, const ar__gguf_place *p) {
    int layer = 0;
    role where = role_of(p->name);
    if (sscanf(p->name, "blk.%d.", &layer) != 1) layer = 0;
    if (where == ROLE_FLOAT) return AR_QT_F32;
    if (ar_qtype_elems(mix->type) == 1) return mix->type;
    ar_qtype type = mix->type;
    if (where == ROLE_HEAD || (where == ROLE_EMBEDDING && p->tied)) type = head_type(mix, p->width);
    if (where == ROLE_V) type = value_type(mix, p, layer);
    if (where == ROLE_DOWN) type = down_type(mix, p, layer);
    if (where == ROLE_OUTPUT) type = attention_output_type(mix);
    return ar__gguf_fitting_type(type, p->width);
}

ar_qtype ar__gguf_plan_type(const ar_output_plan *plan, const ar_config *c, const char *gguf_name,
                            int64_t width) {
    const ar__gguf_mix *mix = ar__gguf_mix_find(plan->type);
    role where = role_of(gguf_name);
    bool is_head = where == ROLE_HEAD || (where == ROLE_EMBEDDING && c->tied);
    ar_qtype own = ar__tensor_type(plan->types, gguf_name);
    if (own != AR_QT_COUNT) return ar__gguf_fitting_type(own, width);
    if (where == ROLE_EMBEDDING && plan->embedding != AR_QT_COUNT)
        return ar__gguf_fitting_type(plan->embedding, width);
    if (is_head && plan->head != AR_QT_COUNT) return ar__gguf_fitting_type(plan->head, width);
    return ar__gguf_mix_type(mix,
                             &(ar__gguf_place){gguf_name, width, c->layers, c->heads / c->kv_heads, c->tied});
}
