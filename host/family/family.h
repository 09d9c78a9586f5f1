/* Inside host/: the table of model families that families.def makes, and what families share. */
#ifndef AR_FAMILY_H
#define AR_FAMILY_H
#include "ar_host.h"
#define AR_FAMILY(name) extern const ar_family ar__family_##name;
#include "families.def"
#undef AR_FAMILY
/* Ends with NULL. */
extern const ar_family *const ar__families[];
/* freq (rotary/2): radians per position of every rotary pair; is_long: beyond longrope's original context. */
void ar__rope_frequencies(float *freq, const ar_config *c, bool is_long);
/* longrope's multiplier where a file does not say it: sqrt(1 + ln(factor) / ln(original context)). */
float ar__rope_attention(double factor, int32_t original_tokens);
bool ar__rope_is_long(const ar_config *c); /* it has other frequencies there */

/* ---- config.c: what a family's `config` is made of ---- */

/* Where config.json keeps the numbers, and what a missing key means. */
typedef struct ar__config_rules {
    const char *hidden, *intermediate, *layers, *heads, *max_tokens, *act;
    const char *eps; /* NULL: always default_eps */
    double default_eps;
    const char *default_act;       /* "silu": a gated MLP, which knows no other */
    int32_t default_head_dim;      /* 0 = hidden / heads */
    bool intermediate_is_optional; /* 4 hidden */
    bool is_tied, is_rotary, has_partial_rotary, has_longrope;
} ar__config_rules;
/* What Llama and its relatives say; designated initialisers may follow. */
#define AR__LLAMA_RULES                                                                                      \
    .hidden = "hidden_size", .intermediate = "intermediate_size", .layers = "num_hidden_layers",             \
    .heads = "num_attention_heads", .max_tokens = "max_position_embeddings", .act = "hidden_act",            \
    .eps = "rms_norm_eps", .default_act = "silu", .is_rotary = true
ar_status ar__config_decoder(ar_config *c, const ar_json *root, const ar__config_rules *r, const char *what);
/* sliding_window, of all layers; fallback (0 = none) where it is missing, none where it is null. */
ar_status ar__config_window(ar_config *c, const ar_json *root, int32_t fallback, const char *what);
/* The same of some layers, where use_sliding_window is true: those that layer_types calls so, or without it
 * those from max_window_layers on. */
ar_status ar__config_layer_windows(ar_config *c, const ar_json *root, const char *what);
/* eos_token_id, a number or a list of them, into ends. Also of a generation_config.json. */
ar_status ar__config_read_ends(ar_config *c, const ar_json *root, const char *what);
/* Layer i does not slide. After the last layer: no window where none slides. */
void ar__config_set_full(ar_config *c, int32_t i);
void ar__config_trim_window(ar_config *c);
/* Refuses a flag that is not as expected; missing = fallback. */
ar_status ar__config_expect(const ar_json *root, const char *key, bool fallback, bool expected,
                            const char *what);

/* ---- family_bind.c: named tensors behind ar_model and ar_block ---- */

typedef enum ar__bias { AR__BIAS_NONE, AR__BIAS_MAYBE, AR__BIAS } ar__bias;

/* A decoder's tensors outside its blocks. Full names are PREFIX name ".weight", for block N's tensors PREFIX
 * layers ".N." name; the prefix is the first one under which the final norm is found. The head stands alone:
 * head ".weight". Names are string literals: they are kept. */
typedef struct ar__names {
    const char *const *prefixes;           /* NULL-terminated: {"model.", NULL} */
    const char *embedding, *head, *layers; /* "embed_tokens", "lm_head", "layers" */
    const char *positions;                 /* learned; NULL = rotary */
    int32_t position_skip;                 /* rows of that table before position 0 */
    const char *const *ignored; /* NULL-terminated endings of tensors that are computed here; NULL = none */
    ar_norm final_norm;         /* its width and epsilon are the config's */
} ar__names;

/* ---- family_bias.c ---- */

/* Takes biases of zeros that the family does not ask for out of m->weights, with a remark, and what it
 * ignores where that cannot be read as floats. */
ar_status ar__family_drop_zero_biases(ar_open_model *m, const ar_family *family, const char *prefix);

/* One block of a decoder. */
typedef struct ar__layout {
    int32_t linear_count, norm_count;
    struct {
        const char *name;
        int64_t O, I;
        ar__bias bias;
    } linears[AR_MAX_LINEARS];
    ar_norm norms[AR_MAX_NORMS];
    ar_status (*forward)(const ar_block *b, ar_graph *g, ar_tensor **y, ar_tensor *x, int32_t T,
                         const ar_hook *hook);
} ar__layout;
/* The config's family; NULL for none. */
const ar_family *ar__family_of(const ar_config *c);
/* The float tensor of linear i is stored (I, O). */
bool ar__family_is_transposed(const ar_block *b, int32_t i);
/* From here on m is what it would be with alpha[b * AR_MAX_NORMS + j] (I) between norm j of block b and the
 * linears that it feeds (ar_block_feeds, of[b]): the norm times it, their columns over it. NULL = none there;
 * nothing of them is kept. m is a float model. Errors: MEMORY. (family_fold.c) */
ar_status ar__family_fold(ar_open_model *m, const int32_t (*of)[AR_MAX_LINEARS], float *const *alpha);
/* Where a block's tensors are among m's weights; -1 = it has none. */
typedef struct ar__places {
    const int64_t *linears, *norms, *norm_biases;
} ar__places;
ar__places ar__family_places(const ar_block *b);
/* Of block b, the linears whose inputs stay floats where others' are quantized: of a model with coded linears
 * those that are not. */
void ar__family_float_inputs(bool skip[AR_MAX_LINEARS], const ar_open_model *m, int32_t b);

/* What forwards ask of their block. */
const ar_config *ar__family_config(const ar_block *b);
/* SHAPE unless 1 <= T <= the context. */
ar_status ar__family_check_tokens(const ar_block *b, int32_t T);
/* y = attention of q, k, v as the family's config says, T tokens a sequence. */
ar_status ar__family_attend(const ar_block *b, ar_graph *g, ar_tensor **y, ar_tensor *const qkv[3], int32_t T,
                            const ar_hook *hook);
/* The rest of a block of the GPT-2 kind after q, k and v of x: attention, output product, MLP of one
 * activation behind norm 1. first: index of the output product, which the MLP's two follow. */
ar_status ar__family_attend_and_mlp(const ar_block *b, ar_graph *g, ar_tensor **y, ar_tensor *x,
                                    ar_tensor *const qkv[3], int32_t T, const ar_hook *hook, int32_t first);

/* ---- config_write.c: what a family's `write_config` is made of ---- */

/* The shortest decimal that is this float again. */
void ar__config_add_float(ar_json *root, const char *key, float value);
/* hidden_act, the sizes, head_dim and the rotation of Llama's relatives; attention_bias and mlp_bias as they
 * are seen in the weights. */
void ar__config_add_decoder(ar_json *root, const ar_open_model *m);
/* sliding_window, or null: where it is missing it may be 4096. */
void ar__config_add_window(ar_json *root, const ar_config *c);
/* That, and which layers slide: what ar__config_layer_windows reads. */
void ar__config_add_layer_windows(ar_json *root, const ar_config *c);

/* ---- GGUF, as data: what gguf/ reads and writes by ---- */

typedef struct ar__gguf_pair {
    const char *gguf, *hf;
} ar__gguf_pair; /* "attn_q", "self_attn.q_proj" */
/* A general.architecture that is read and written; families may share one. Parts have llama.cpp's names. */
typedef struct ar__gguf_arch {
    const char *name;   /* also the prefix of its keys */
    const char *layers; /* "model.layers" */
    const char *bare;   /* the part of Hugging Face names that bare models leave out; NULL = none */
    const ar__gguf_pair *globals, *blocks; /* end with NULLs; blocks are in the order they are written */
    bool is_rotary, is_partial;            /* is_partial: rope.dimension_count may be less than a head */
    bool is_permuted;                      /* q and k have rotary pairs side by side */
    bool has_rope_freqs, has_longrope;     /* knows rope_freqs.weight; rope_factors_long.weight and _short */
    bool is_conv1d;                        /* Hugging Face stores products the other way round */
    bool needs_window, has_layer_norm; /* needs_window: llama.cpp's loader wants sliding_window, 0 for none */
    bool repeats_head;                 /* older readers want output.weight of tied models too */
} ar__gguf_arch;
extern const ar__gguf_pair ar__llama_gguf_globals[], ar__llama_gguf_blocks[];

/* ---- family_llama.c: what its relatives start from ---- */

extern const ar__names ar__llama_names;
extern const ar__gguf_arch ar__llama_gguf;
/* Its block without biases, and its forward. */
void ar__llama_block(ar__layout *layout, const ar_config *c, int32_t index);
#endif
