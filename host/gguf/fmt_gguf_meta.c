/* GGUF's key-values to a decoder's numbers and to a tokenizer. The keys are llama.cpp's; ranges are those of
 * config.c. */
#include "family.h"
#include "fmt_gguf.h"
#include "tokenizer.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HIDDEN       (1 << 20)
#define MAX_INTERMEDIATE (1 << 22)
#define MAX_VOCAB        (1 << 24)
#define MAX_HEADS        4096
#define MAX_HEAD_DIM     4096
#define MAX_TOKENS       (1 << 24)
#define PI               3.14159265358979323846

/* ---- sizes ---- */

ar_status ar__gguf_read_arch(const ar__gguf_arch **arch, const ar__gguf *g) {
    const char *text;
    size_t bytes;
    char quoted[AR__QUOTE_BYTES], known[128];
    ar__gguf_arch_list(known, sizeof known);
    AR_TRY(ar__gguf_text(&text, &bytes, g, "general.architecture"));
    if (!text)
        return ar__fail(AR_ERR_FORMAT, "%s: general.architecture: found nothing, expected one of %s", g->what,
                        known);
    *arch = ar__gguf_arch_named(text, bytes);
    if (*arch) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s: general.architecture: found %s, expected one of %s", g->what,
                    ar__quote(quoted, text, bytes), known);
}

/* Of a file in memory: there is nothing beside it. */
static ar_status check_whole(const ar__gguf *g) {
    int64_t count = ar__gguf_split_count(g);
    if (count <= 1 || g->piece_count == count - 1) return AR_OK;
    return ar__fail(AR_ERR_FORMAT,
                    "%s: split.count: found one of %" PRId64 " files, expected a file in one piece", g->what,
                    count);
}

/* The architecture's keys: "llama" + ".block_count". */
typedef struct keys {
    const ar__gguf_arch *arch;
    char text[96];
} keys;

static const char *key(keys *k, const char *rest) {
    snprintf(k->text, sizeof k->text, "%s%s", k->arch->name, rest);
    return k->text;
}

static ar_status read_i32(int32_t *out, const ar__gguf *g, const char *key, int64_t fallback, int64_t lo,
                          int64_t hi) {
    int64_t value = 0;
    AR_TRY(ar__gguf_int(&value, g, key, fallback, lo, hi));
    *out = (int32_t)value;
    return AR_OK;
}

/* A number, or an array with that number for every layer. */
static ar_status read_per_layer(int64_t *out, const ar__gguf *g, const char *key, int64_t fallback,
                                int64_t hi, int32_t layers) {
    const ar__gguf_value *v = ar__gguf_find(g, key);
    if (!v || v->kind != AR__GGUF_ARRAY) return ar__gguf_int(out, g, key, fallback, 1, hi);
    if (v->element != AR__GGUF_U32) AR_TRY(ar__gguf_array(&v, g, key, AR__GGUF_I32));
    if (v->count != (uint64_t)layers)
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found %" PRIu64 " values, expected %d, one for every block",
                        g->what, key, v->count, (int)layers);
    for (uint64_t i = 0; i < v->count; i++) {
        int64_t value = (int32_t)ar__gguf_load32(v->data + 4 * i);
        if (value < 1 || value > hi || (i > 0 && value != *out))
            return ar__fail(AR_ERR_FORMAT,
                            "%s: %s: found %" PRId64 " for block %" PRIu64 ", expected 1 to %" PRId64
                            ", the same for all",
                            g->what, key, value, i, hi);
        *out = value;
    }
    return AR_OK;
}

static ar_status read_sizes(ar_config *c, keys *k, const ar__gguf *g, const ar__gguf_tensor *embedding) {
    AR_TRY(ar__gguf_int(&c->hidden, g, key(k, ".embedding_length"), AR__GGUF_REQUIRED, 1, MAX_HIDDEN));
    AR_TRY(read_i32(&c->layers, g, key(k, ".block_count"), AR__GGUF_REQUIRED, 1, AR__GGUF_MAX_LAYERS));
    AR_TRY(read_i32(&c->max_tokens, g, key(k, ".context_length"), AR__GGUF_REQUIRED, 1, MAX_TOKENS));
    AR_TRY(read_per_layer(&c->intermediate, g, key(k, ".feed_forward_length"), AR__GGUF_REQUIRED,
                          MAX_INTERMEDIATE, c->layers));
    if (embedding->dim_count != 2 || embedding->dims[1] != c->hidden || embedding->dims[0] > MAX_VOCAB)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: token_embd.weight: found rows of %" PRId64
                        ", expected a matrix of rows of embedding_length = %" PRId64,
                        g->what, embedding->dims[embedding->dim_count - 1], c->hidden);
    c->vocab = embedding->dims[0];
    int64_t stated = 0;
    AR_TRY(ar__gguf_int(&stated, g, key(k, ".vocab_size"), c->vocab, 1, MAX_VOCAB));
    if (stated != c->vocab)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: %s: found %" PRId64 ", expected the %" PRId64 " rows of token_embd.weight",
                        g->what, key(k, ".vocab_size"), stated, c->vocab);
    return AR_OK;
}

static ar_status read_heads(ar_config *c, keys *k, const ar__gguf *g) {
    int64_t heads = 0, kv_heads = 0, head_dim = 0, other = 0;
    AR_TRY(
        read_per_layer(&heads, g, key(k, ".attention.head_count"), AR__GGUF_REQUIRED, MAX_HEADS, c->layers));
    AR_TRY(read_per_layer(&kv_heads, g, key(k, ".attention.head_count_kv"), heads, heads, c->layers));
    if (heads % kv_heads != 0)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: %s: found %" PRId64 ", expected a divisor of head_count = %" PRId64, g->what,
                        key(k, ".attention.head_count_kv"), kv_heads, heads);
    AR_TRY(ar__gguf_int(&head_dim, g, key(k, ".attention.key_length"), c->hidden / heads, 1, MAX_HEAD_DIM));
    if (head_dim < 4 || head_dim % 4 != 0 || head_dim > MAX_HEAD_DIM)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: size of a head: found %" PRId64 ", expected a multiple of 4 up to %d", g->what,
                        head_dim, MAX_HEAD_DIM);
    AR_TRY(ar__gguf_int(&other, g, key(k, ".attention.value_length"), head_dim, head_dim, head_dim));
    if (k->arch->is_rotary) {
        int64_t least = k->arch->is_partial ? 2 : head_dim;
        AR_TRY(ar__gguf_int(&other, g, key(k, ".rope.dimension_count"), head_dim, least, head_dim));
        if (other % 2 != 0)
            return ar__fail(AR_ERR_FORMAT, "%s: %s: found %" PRId64 ", expected an even number", g->what,
                            k->text, other);
        c->rotary = (int32_t)other;
    }
    c->heads = (int32_t)heads;
    c->kv_heads = (int32_t)kv_heads;
    c->head_dim = (int32_t)head_dim;
    return AR_OK;
}

/* ---- rotary scaling ---- */

static ar_status read_linear_scaling(ar_config *c, keys *k, const ar__gguf *g) {
    const char *type;
    size_t bytes;
    char quoted[AR__QUOTE_BYTES];
    float factor = 0;
    AR_TRY(ar__gguf_real(&c->rope_theta, g, key(k, ".rope.freq_base"), 10000, 1, 1e12));
    AR_TRY(ar__gguf_text(&type, &bytes, g, key(k, ".rope.scaling.type")));
    AR_TRY(ar__gguf_real(&factor, g, key(k, ".rope.scale_linear"), 0, 0, 1e6)); /* the older key */
    AR_TRY(ar__gguf_real(&factor, g, key(k, ".rope.scaling.factor"), factor, 0, 1e6));
    if (ar__gguf_text_is(type, bytes, "none")) return AR_OK;
    if (k->arch->has_longrope && ar__gguf_text_is(type, bytes, "longrope"))
        return AR_OK; /* the factors say it */
    if (type && !ar__gguf_text_is(type, bytes, "linear"))
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found %s, expected none or linear", g->what,
                        key(k, ".rope.scaling.type"), ar__quote(quoted, type, bytes));
    if (factor == 0.0f || factor == 1.0f) return AR_OK;
    if (factor < 1e-3f)
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found %g, expected 0.001 to 1e6", g->what,
                        key(k, ".rope.scaling.factor"), (double)factor);
    c->rope_scaling.factor = factor;
    memcpy(c->rope_scaling.kind, "linear", sizeof "linear");
    return AR_OK;
}

static double frequency(const ar_config *c, int32_t i) {
    return pow((double)c->rope_theta, -2.0 * i / c->head_dim);
}

void ar__gguf_rope_factors(float *factors, const ar_config *c, const char *name) {
    if (strcmp(name, AR__GGUF_ROPE_FREQS) != 0) {
        bool is_long = strcmp(name, AR__GGUF_ROPE_LONG) == 0;
        const float *own = is_long ? c->rope_scaling.long_factors : c->rope_scaling.short_factors;
        memcpy(factors, own, (size_t)(c->rotary / 2) * sizeof *factors);
        return;
    }
    double low = (double)c->rope_scaling.low_freq, high = (double)c->rope_scaling.high_freq,
           factor = (double)c->rope_scaling.factor;
    for (int32_t i = 0; i < c->head_dim / 2; i++) {
        double turns = c->rope_scaling.original_tokens * frequency(c, i) / (2 * PI);
        double smooth = (turns - low) / (high - low);
        factors[i] = (float)(turns > high  ? 1.0
                             : turns < low ? factor
                                           : 1 / ((1 - smooth) / factor + smooth));
    }
}

/* Rounds to the nearest 1/64 where that is no change but f32's noise: these are round numbers in practice. */
static double snap(double x) {
    double near = rint(x * 64) / 64;
    return fabs(near - x) < 1e-3 ? near : x;
}

/* Elements first to last are blended. Two of them give the line; one gives a point of it, none only bounds:
 * then the high factor is taken to be 4, as in Llama 3. */
static void fit_line(double *high, double *old, const ar_config *c, const float *factors, int32_t first,
                     int32_t last) {
    double largest = (double)c->rope_scaling.factor, f[2], s[2];
    const int32_t at[2] = {first, last};
    for (int32_t k = 0; k < 2; k++) {
        f[k] = frequency(c, at[k]);
        s[k] = (1 / (double)factors[at[k]] - 1 / largest) / (1 - 1 / largest);
    }
    *high = 4;
    if (first < last) {
        double a = (s[0] - s[1]) / (f[0] - f[1]);
        *high = snap(1 + 1 / (a * f[0] - s[0])); /* 1 + (high - low)/low */
        *old = rint(a * 2 * PI * (*high - 1));
    } else if (first == last) {
        *old = rint((1 + 3 * s[0]) * 2 * PI / f[0]);
    } else { /* first and last are swapped: the last plain and the first scaled element */
        double lo = first > 0 ? 8 * PI / frequency(c, last) : 1, hi = 2 * PI / f[0];
        *old = lo < 8192 && 8192 < hi ? 8192 : rint(sqrt(lo * hi));
    }
}

/* llama3 scaling is blended linearly in the frequency f between two wavelengths:
 *   1/factor_i = 1/factor + (1 - 1/factor) (a f_i - low/(high - low)),   a = old context / (2 pi (high -
 * low)). Only ratios of (old context, low, high) matter, so low is taken to be 1. */
static bool fit_llama3(ar_config *c, const float *factors) {
    int32_t half = c->head_dim / 2, first = 0, last = half - 1;
    double high = 0, old = 0;
    c->rope_scaling.factor = factors[half - 1];
    while (first < half && factors[first] == 1.0f) first++;
    while (last >= 0 && factors[last] == factors[half - 1]) last--;
    if (first == half || last < 0) return false; /* all plain, or all divided alike */
    fit_line(&high, &old, c, factors, first, last);
    if (!(high > 1 && high < 1e6 && old >= 1 && old <= MAX_TOKENS)) return false;
    c->rope_scaling.low_freq = 1;
    c->rope_scaling.high_freq = (float)high;
    c->rope_scaling.original_tokens = (int32_t)old;
    return true;
}

/* The parameters as our own files state them, or solved for. */
static ar_status find_llama3(bool *found, ar_config *c, const ar__gguf *g, const float *factors) {
    *found = ar__gguf_find(g, AR__GGUF_ROPE_LOW) != NULL;
    memcpy(c->rope_scaling.kind, "llama3", sizeof "llama3");
    if (!*found) {
        *found = fit_llama3(c, factors);
        return AR_OK;
    }
    AR_TRY(ar__gguf_real(&c->rope_scaling.factor, g, AR__GGUF_ROPE_FACTOR, NAN, 1e-3, 1e6));
    AR_TRY(ar__gguf_real(&c->rope_scaling.low_freq, g, AR__GGUF_ROPE_LOW, NAN, 1e-3, 1e6));
    AR_TRY(ar__gguf_real(&c->rope_scaling.high_freq, g, AR__GGUF_ROPE_HIGH, NAN, 1e-3, 1e6));
    *found = c->rope_scaling.low_freq < c->rope_scaling.high_freq;
    return read_i32(&c->rope_scaling.original_tokens, g, AR__GGUF_ROPE_CONTEXT, AR__GGUF_REQUIRED, 1,
                    MAX_TOKENS);
}

static ar_status read_llama3_scaling(ar_config *c, const ar__gguf *g, const ar__gguf_tensor *t) {
    int32_t half = c->head_dim / 2;
    if (t->type->id != AR__GGUF_T_F32 || t->dim_count != 1 || t->dims[0] != half)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: " AR__GGUF_ROPE_FREQS ": found %" PRId64 " of %s, expected %d of F32", g->what,
                        t->dims[0], t->type->name, (int)half);
    float factors[MAX_HEAD_DIM / 2], made[MAX_HEAD_DIM / 2];
    bool plain = true, fits = true, found = false;
    for (int32_t i = 0; i < half; i++) {
        factors[i] = ar__gguf_load_f32(t->data + 4 * (int64_t)i);
        fits = fits && factors[i] >= 1e-3f && factors[i] <= 1e6f;
        plain = plain && factors[i] == 1.0f;
    }
    if (plain && !ar__gguf_find(g, AR__GGUF_ROPE_LOW)) return AR_OK;
    if (c->rope_scaling.kind[0])
        return ar__fail(AR_ERR_FORMAT, "%s: found " AR__GGUF_ROPE_FREQS " and linear scaling, expected one",
                        g->what);
    if (fits) AR_TRY(find_llama3(&found, c, g, factors));
    fits = fits && found;
    if (fits) ar__gguf_rope_factors(made, c, AR__GGUF_ROPE_FREQS);
    for (int32_t i = 0; fits && i < half; i++) fits = fabsf(made[i] - factors[i]) <= 2e-5f * factors[i];
    return fits ? AR_OK
                : ar__fail(AR_ERR_FORMAT,
                           "%s: " AR__GGUF_ROPE_FREQS ": found factors that are not Llama 3's scaling",
                           g->what);
}

/* ---- longrope ---- */

static ar_status read_factors(float *out, const ar__gguf *g, const ar__gguf_tensor *t, const char *name,
                              int32_t pairs) {
    if (!t)
        return ar__fail(AR_ERR_FORMAT, "%s: %s: missing, expected it beside the other factors", g->what,
                        name);
    if (t->type->id != AR__GGUF_T_F32 || t->dim_count != 1 || t->dims[0] != pairs || pairs > AR_MAX_FACTORS)
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found %" PRId64 " of %s, expected %d of F32, at most %d",
                        g->what, name, t->dims[0], t->type->name, (int)pairs, AR_MAX_FACTORS);
    for (int32_t i = 0; i < pairs; i++) {
        out[i] = ar__gguf_load_f32(t->data + 4 * (int64_t)i);
        if (!(out[i] >= 1e-3f && out[i] <= 1e6f))
            return ar__fail(AR_ERR_FORMAT, "%s: %s: found %g, expected numbers from 0.001 to 1e6", g->what,
                            name, (double)out[i]);
    }
    return AR_OK;
}

/* Where attn_factor is missing it is 1, as in llama.cpp, which takes the long factors by the size of its
 * context; here they are those of sequences longer than the original context, as in transformers. */
static ar_status read_longrope(ar_config *c, keys *k, const ar__gguf *g, const ar__gguf_rope *rope) {
    if (!rope->long_factors && !rope->short_factors) return AR_OK;
    AR_TRY(
        read_factors(c->rope_scaling.long_factors, g, rope->long_factors, AR__GGUF_ROPE_LONG, c->rotary / 2));
    AR_TRY(read_factors(c->rope_scaling.short_factors, g, rope->short_factors, AR__GGUF_ROPE_SHORT,
                        c->rotary / 2));
    AR_TRY(ar__gguf_real(&c->rope_scaling.attention, g, key(k, ".rope.scaling.attn_factor"), 1, 1e-3, 1e6));
    memcpy(c->rope_scaling.kind, "longrope", sizeof "longrope");
    return read_i32(&c->rope_scaling.original_tokens, g, key(k, ".rope.scaling.original_context_length"),
                    AR__GGUF_REQUIRED, 1, MAX_TOKENS);
}

/* ---- sliding attention ---- */

/* The window of all layers, or of those that the pattern says. llama.cpp reads it for phi3 and then ignores
 * it, and does not look for it in the other architectures here; the models were trained with it, and
 * transformers heeds it. */
static ar_status read_window(ar_config *c, keys *k, const ar__gguf *g) {
    const ar__gguf_value *pattern;
    AR_TRY(read_i32(&c->window, g, key(k, ".attention.sliding_window"), 0, 0, INT32_MAX));
    if (c->window == 0) return AR_OK;
    AR_TRY(ar__gguf_array(&pattern, g, key(k, ".attention.sliding_window_pattern"), AR__GGUF_BOOL));
    if (pattern && pattern->count != (uint64_t)c->layers)
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found %" PRIu64 " values, expected %d, one for every block",
                        g->what, k->text, pattern->count, (int)c->layers);
    for (int32_t i = 0; pattern && i < c->layers; i++)
        if (!pattern->data[i]) ar__config_set_full(c, i);
    ar__config_trim_window(c);
    snprintf(c->family, sizeof c->family, "%s", ar__gguf_family(k->arch, c->window > 0)->name);
    return AR_OK;
}

/* ---- the config ---- */

/* *id = -1 when missing. Ids outside the vocabulary are files' way to say none. */
static ar_status read_token(int32_t *id, const ar__gguf *g, const char *key, int64_t fallback,
                            int64_t vocab) {
    int64_t value = 0;
    AR_TRY(ar__gguf_int(&value, g, key, fallback, 0, UINT32_MAX));
    *id = value < vocab ? (int32_t)value : -1;
    return AR_OK;
}

/* SentencePiece files may leave the usual ids out. */
static ar_status read_special(int32_t *bos, int32_t *eos, int32_t *unk, const ar__gguf *g, int64_t vocab) {
    const char *model;
    size_t bytes;
    AR_TRY(ar__gguf_text(&model, &bytes, g, "tokenizer.ggml.model"));
    bool spm = ar__gguf_text_is(model, bytes, "llama");
    AR_TRY(read_token(bos, g, "tokenizer.ggml.bos_token_id", spm ? 1 : -1, vocab));
    AR_TRY(read_token(eos, g, "tokenizer.ggml.eos_token_id", spm ? 2 : -1, vocab));
    return read_token(unk, g, "tokenizer.ggml.unknown_token_id", spm ? 0 : -1, vocab);
}

/* What ends a text: the end of sequences, of turns, of messages. */
static ar_status read_ends(ar_config *c, int32_t eos, const ar__gguf *g) {
    static const char *const more[] = {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
    c->eos = -1;
    AR_TRY(ar_config_add_end(c, eos, g->what));
    for (int i = 0; i < 2; i++) {
        int32_t id;
        AR_TRY(read_token(&id, g, more[i], -1, c->vocab));
        AR_TRY(ar_config_add_end(c, id, g->what));
    }
    return AR_OK;
}

ar_status ar__gguf_config(ar_config *c, const ar__gguf *g, const ar__gguf_tensor *embedding,
                          const ar__gguf_rope *rope, bool tied) {
    *c = (ar_config){.tied = tied, .rope_theta = 10000, .act = AR_ACT_GELU_TANH};
    int32_t eos, unk;
    keys names = {0}, *k = &names;
    AR_TRY(ar__gguf_read_arch(&names.arch, g));
    AR_TRY(check_whole(g));
    c->is_conv1d = c->conv1d_in_rows = names.arch->is_conv1d;
    snprintf(c->family, sizeof c->family, "%s", ar__gguf_family(names.arch, false)->name);
    AR_TRY(read_sizes(c, k, g, embedding));
    AR_TRY(read_heads(c, k, g));
    const char *eps =
        names.arch->has_layer_norm ? ".attention.layer_norm_epsilon" : ".attention.layer_norm_rms_epsilon";
    AR_TRY(ar__gguf_real(&c->rms_eps, g, key(k, eps), NAN, 1e-20, 1));
    if (names.arch->is_rotary) AR_TRY(read_linear_scaling(c, k, g));
    AR_TRY(read_window(c, k, g));
    if (rope->freqs) AR_TRY(read_llama3_scaling(c, g, rope->freqs));
    AR_TRY(read_longrope(c, k, g, rope));
    AR_TRY(read_special(&c->bos, &eos, &unk, g, c->vocab));
    AR_TRY(read_token(&c->pad, g, "tokenizer.ggml.padding_token_id", -1, c->vocab));
    return read_ends(c, eos, g);
}

/* ---- the tokenizer ---- */

typedef struct arrays { /* what ar_tokenizer_data points to, owned */
    const char **tokens, **merges;
    size_t *token_bytes;
    float *scores;
    int32_t *types;
    char *merge_text;
    char pre[64];
} arrays;

static ar_status array_of(const ar__gguf_value **v, const ar__gguf *g, const char *key, ar__gguf_kind element,
                          uint64_t count) {
    AR_TRY(ar__gguf_array(v, g, key, element));
    if (*v && (*v)->count != count)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: %s: found %" PRIu64 " elements, expected one for each of %" PRIu64 " tokens",
                        g->what, key, (*v)->count, count);
    return AR_OK;
}

/* Tokens, and what belongs to each of them. */
static ar_status read_tokens(arrays *a, ar_tokenizer_data *d, const ar__gguf *g) {
    const ar__gguf_value *tokens, *scores, *types;
    AR_TRY(ar__gguf_array(&tokens, g, "tokenizer.ggml.tokens", AR__GGUF_STRING));
    if (!tokens || tokens->count < 1 || tokens->count > AR__MAX_TOKENS)
        return ar__fail(AR_ERR_FORMAT, "%s: tokenizer.ggml.tokens: found %" PRIu64 ", expected 1 to %d",
                        g->what, tokens ? tokens->count : 0, AR__MAX_TOKENS);
    AR_TRY(array_of(&scores, g, "tokenizer.ggml.scores", AR__GGUF_F32, tokens->count));
    AR_TRY(array_of(&types, g, "tokenizer.ggml.token_type", AR__GGUF_I32, tokens->count));
    size_t count = (size_t)tokens->count;
    a->tokens = ar__alloc(count, sizeof *a->tokens);
    a->token_bytes = ar__alloc(count, sizeof *a->token_bytes);
    a->scores = ar__alloc(count, sizeof *a->scores);
    a->types = ar__alloc(count, sizeof *a->types);
    if (!a->tokens || !a->token_bytes || !a->scores || !a->types) return AR_ERR_MEMORY;
    const uint8_t *p = tokens->data;
    for (size_t i = 0; i < count; i++) {
        p = ar__gguf_string(&a->tokens[i], &a->token_bytes[i], p);
        if (scores) a->scores[i] = ar__gguf_load_f32(scores->data + 4 * i);
        if (types) a->types[i] = (int32_t)ar__gguf_load32(types->data + 4 * i);
    }
    d->count = (int32_t)count;
    d->tokens = a->tokens;
    d->token_bytes = a->token_bytes;
    d->scores = scores && d->kind == AR_TOK_SPM ? a->scores : NULL;
    d->types = types ? a->types : NULL;
    return AR_OK;
}

static ar_status read_merges(arrays *a, ar_tokenizer_data *d, const ar__gguf *g) {
    const ar__gguf_value *merges;
    AR_TRY(ar__gguf_array(&merges, g, "tokenizer.ggml.merges", AR__GGUF_STRING));
    if (!merges && d->kind == AR_TOK_BYTE_BPE)
        return ar__fail(AR_ERR_FORMAT, "%s: tokenizer.ggml.merges: missing, expected an array", g->what);
    if (!merges) return AR_OK;
    size_t count = (size_t)merges->count, bytes = 0, used = 0;
    const uint8_t *p = merges->data;
    const char *text;
    for (size_t i = 0, each; i < count; i++, bytes += each + 1) p = ar__gguf_string(&text, &each, p);
    a->merges = ar__alloc(count, sizeof *a->merges);
    a->merge_text = ar__alloc(bytes, 1); /* NUL-terminated copies */
    if (!a->merges || !a->merge_text) return AR_ERR_MEMORY;
    p = merges->data;
    for (size_t i = 0, each; i < count; i++, used += each + 1) {
        p = ar__gguf_string(&text, &each, p);
        if (memchr(text, 0, each))
            return ar__fail(AR_ERR_FORMAT, "%s: merge %zu: found a zero byte in it", g->what, i);
        a->merges[i] = a->merge_text + used;
        memcpy(a->merge_text + used, text, each);
    }
    d->merges = a->merges;
    d->merge_count = (int64_t)count;
    return AR_OK;
}

/* Padding at the end, "[PADn]" of the type unused, is no part of the tokenizer. */
static void drop_padding(ar_tokenizer_data *d) {
    for (; d->types && d->count > 1; d->count--) {
        char padding[32];
        int32_t id = d->count - 1, bytes = snprintf(padding, sizeof padding, "[PAD%d]", (int)id);
        if (d->types[id] != AR_TOKEN_UNUSED || d->token_bytes[id] != (size_t)bytes ||
            memcmp(d->tokens[id], padding, (size_t)bytes) != 0)
            return;
    }
}

static ar_status read_kind(ar_tokenizer_data *d, arrays *a, const ar__gguf *g, const char *model,
                           size_t bytes) {
    char quoted[AR__QUOTE_BYTES];
    const char *pre;
    size_t pre_bytes;
    bool spm = ar__gguf_text_is(model, bytes, "llama");
    if (!spm && !ar__gguf_text_is(model, bytes, "gpt2"))
        return ar__fail(AR_ERR_FORMAT, "%s: tokenizer.ggml.model: found %s, expected llama or gpt2", g->what,
                        ar__quote(quoted, model, bytes));
    d->kind = spm ? AR_TOK_SPM : AR_TOK_BYTE_BPE;
    AR_TRY(ar__gguf_text(&pre, &pre_bytes, g, "tokenizer.ggml.pre"));
    if (pre && pre_bytes < sizeof a->pre) memcpy(a->pre, pre, pre_bytes);
    d->pre = pre ? a->pre : NULL;
    bool starts = spm || strcmp(a->pre, "llama-bpe") == 0; /* llama.cpp's rule for files that do not say */
    AR_TRY(ar__gguf_bool(&d->add_bos, g, "tokenizer.ggml.add_bos_token", starts));
    AR_TRY(ar__gguf_bool(&d->add_eos, g, "tokenizer.ggml.add_eos_token", false));
    return ar__gguf_bool(&d->add_prefix_space, g, "tokenizer.ggml.add_space_prefix", spm);
}

ar_status ar__gguf_tokenizer(ar_tokenizer **t, const ar__gguf *g) {
    arrays a = {0};
    ar_tokenizer_data d = {.what = g->what};
    const char *model;
    size_t bytes;
    ar_status status;
    *t = NULL;
    AR_TRY(ar__gguf_text(&model, &bytes, g, "tokenizer.ggml.model"));
    if (!model || ar__gguf_text_is(model, bytes, "none") || ar__gguf_text_is(model, bytes, "no_vocab"))
        return AR_OK;
    AR_GO(read_kind(&d, &a, g, model, bytes));
    AR_GO(read_tokens(&a, &d, g));
    AR_GO(read_merges(&a, &d, g));
    AR_GO(read_special(&d.bos, &d.eos, &d.unk, g, d.count));
    drop_padding(&d);
    AR_GO(ar_tokenizer_build(t, &d));
done:
    free(a.tokens);
    free(a.merges);
    free(a.token_bytes);
    free(a.scores);
    free(a.types);
    free(a.merge_text);
    return status;
}
