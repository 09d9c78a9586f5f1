/* The key-values of a GGUF file that llama.cpp's loader asks for. Nothing here depends on time or place:
 * equal inputs give equal files. */
#include "chat.h"
#include "family.h"
#include "fmt_gguf.h"
#include "fmt_gguf_types.h"
#include "tokenizer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_f32(ar__gguf_out *o, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    ar__gguf_put_int(o, bits, 4);
}

/* ---- one field ---- */

static void field(ar__gguf_out *o, const char *key, ar__gguf_kind kind) {
    ar__gguf_put_string(o, key, strlen(key));
    ar__gguf_put_int(o, (uint64_t)kind, 4);
    o->field_count++;
}

static void field_u32(ar__gguf_out *o, const char *key, int64_t value) {
    field(o, key, AR__GGUF_U32);
    ar__gguf_put_int(o, (uint64_t)value, 4);
}

static void field_f32(ar__gguf_out *o, const char *key, float value) {
    field(o, key, AR__GGUF_F32);
    put_f32(o, value);
}

static void field_bool(ar__gguf_out *o, const char *key, bool value) {
    field(o, key, AR__GGUF_BOOL);
    ar__gguf_put_int(o, value, 1);
}

static void field_text(ar__gguf_out *o, const char *key, const char *text) {
    field(o, key, AR__GGUF_STRING);
    ar__gguf_put_string(o, text, strlen(text));
}

static void field_array(ar__gguf_out *o, const char *key, ar__gguf_kind element, int64_t count) {
    field(o, key, AR__GGUF_ARRAY);
    ar__gguf_put_int(o, (uint64_t)element, 4);
    ar__gguf_put_int(o, (uint64_t)count, 8);
}

/* ---- the model's numbers ---- */

static void arch_u32(ar__gguf_out *o, const ar__gguf_arch *arch, const char *rest, int64_t value) {
    char key[96];
    snprintf(key, sizeof key, "%s%s", arch->name, rest);
    field_u32(o, key, value);
}

static void arch_f32(ar__gguf_out *o, const ar__gguf_arch *arch, const char *rest, float value) {
    char key[96];
    snprintf(key, sizeof key, "%s%s", arch->name, rest);
    field_f32(o, key, value);
}

static void put_rope(ar__gguf_out *o, const ar__gguf_arch *arch, const ar_config *c) {
    arch_u32(o, arch, ".rope.dimension_count", c->rotary ? c->rotary : c->head_dim);
    arch_f32(o, arch, ".rope.freq_base", c->rope_theta);
    if (strcmp(c->rope_scaling.kind, "linear") == 0) {
        char key[96];
        snprintf(key, sizeof key, "%s.rope.scaling.type", arch->name);
        field_text(o, key, "linear");
        arch_f32(o, arch, ".rope.scaling.factor", c->rope_scaling.factor);
    }
    if (strcmp(c->rope_scaling.kind, "llama3") == 0) {
        field_f32(o, AR__GGUF_ROPE_FACTOR, c->rope_scaling.factor);
        field_f32(o, AR__GGUF_ROPE_LOW, c->rope_scaling.low_freq);
        field_f32(o, AR__GGUF_ROPE_HIGH, c->rope_scaling.high_freq);
        field_u32(o, AR__GGUF_ROPE_CONTEXT, c->rope_scaling.original_tokens);
    }
}

/* The window, and if some layers do not slide, which do. llama.cpp has these keys, but heeds them in other
 * architectures only. */
static void put_window(ar__gguf_out *o, const ar__gguf_arch *arch, const ar_config *c) {
    char key[96];
    bool is_mixed = false;
    arch_u32(o, arch, ".attention.sliding_window", c->window);
    for (int32_t i = 0; i < c->layers; i++) is_mixed = is_mixed || ar_config_window(c, i) != c->window;
    if (!is_mixed) return;
    snprintf(key, sizeof key, "%s.attention.sliding_window_pattern", arch->name);
    field_array(o, key, AR__GGUF_BOOL, c->layers);
    for (int32_t i = 0; i < c->layers; i++) ar__gguf_put_int(o, ar_config_window(c, i) > 0, 1);
}

static void put_config(ar__gguf_out *o, const ar__gguf_arch *arch, const ar_config *c) {
    arch_u32(o, arch, ".context_length", c->max_tokens);
    arch_u32(o, arch, ".embedding_length", c->hidden);
    arch_u32(o, arch, ".block_count", c->layers);
    arch_u32(o, arch, ".feed_forward_length", c->intermediate);
    arch_u32(o, arch, ".attention.head_count", c->heads);
    arch_u32(o, arch, ".attention.head_count_kv", c->kv_heads);
    arch_u32(o, arch, ".attention.key_length", c->head_dim);
    arch_u32(o, arch, ".attention.value_length", c->head_dim);
    arch_f32(o, arch,
             arch->has_layer_norm ? ".attention.layer_norm_epsilon" : ".attention.layer_norm_rms_epsilon",
             c->rms_eps);
    if (arch->is_rotary) put_rope(o, arch, c);
    if (arch->needs_window || c->window > 0) put_window(o, arch, c);
    if (arch->has_longrope)
        arch_u32(o, arch, ".rope.scaling.original_context_length",
                 c->rope_scaling.original_tokens ? c->rope_scaling.original_tokens : c->max_tokens);
    if (ar__rope_is_long(c)) arch_f32(o, arch, ".rope.scaling.attn_factor", c->rope_scaling.attention);
    arch_u32(o, arch, ".vocab_size", c->vocab);
}

/* ---- the tokenizer ---- */

/* Rows without a token are padding, as llama.cpp's converter writes it. */
static const char *token_text(const ar_tokenizer *t, int32_t id, size_t *bytes, char padding[32]) {
    const char *text = ar_tokenizer_token(t, id, bytes);
    if (text) return text;
    *bytes = (size_t)snprintf(padding, 32, "[PAD%d]", (int)id);
    return padding;
}

static void put_tokens(ar__gguf_out *o, const ar_tokenizer *t, int32_t count) {
    char padding[32];
    size_t bytes;
    field_array(o, "tokenizer.ggml.tokens", AR__GGUF_STRING, count);
    for (int32_t id = 0; id < count; id++) {
        const char *text = token_text(t, id, &bytes, padding);
        ar__gguf_put_string(o, text, bytes);
    }
    if (ar_tokenizer_get_kind(t) == AR_TOK_SPM) {
        field_array(o, "tokenizer.ggml.scores", AR__GGUF_F32, count);
        for (int32_t id = 0; id < count; id++)
            put_f32(o, ar_tokenizer_token(t, id, NULL) ? ar_tokenizer_score(t, id) : -10000.0f);
    }
    field_array(o, "tokenizer.ggml.token_type", AR__GGUF_I32, count);
    for (int32_t id = 0; id < count; id++) ar__gguf_put_int(o, (uint64_t)ar_tokenizer_token_type(t, id), 4);
}

static ar_status put_merges(ar__gguf_out *o, const ar_tokenizer *t) {
    int64_t count = ar_tokenizer_merge_count(t);
    const char *left, *right;
    if (count == 0 && ar_tokenizer_get_kind(t) == AR_TOK_SPM) return AR_OK; /* the scores say it all */
    field_array(o, "tokenizer.ggml.merges", AR__GGUF_STRING, count);
    for (int64_t i = 0; i < count && o->status == AR_OK; i++) {
        AR_TRY(ar_tokenizer_merge(t, &left, &right, i));
        if (strchr(left, ' ') || strchr(right, ' '))
            return ar__fail(AR_ERR_UNSUPPORTED,
                            "tokenizer: merge %lld: found a space in it, which GGUF cannot store",
                            (long long)i);
        size_t a = strlen(left), b = strlen(right);
        ar__gguf_put_int(o, a + 1 + b, 8);
        ar__gguf_put(o, left, a);
        ar__gguf_put(o, " ", 1);
        ar__gguf_put(o, right, b);
    }
    return o->status;
}

static void put_ids(ar__gguf_out *o, int32_t bos, int32_t eos, int32_t unk) {
    if (bos >= 0) field_u32(o, "tokenizer.ggml.bos_token_id", bos);
    if (eos >= 0) field_u32(o, "tokenizer.ggml.eos_token_id", eos);
    if (unk >= 0) field_u32(o, "tokenizer.ggml.unknown_token_id", unk);
}

/* The first two other tokens that end a text; a token of that name is the end of a message. */
static void put_ends(ar__gguf_out *o, const ar_open_model *m, int32_t eos) {
    const ar_config *c = &m->config;
    int32_t eot = -1, eom = -1;
    for (int32_t i = 0; i < c->end_count; i++) {
        const char *text = m->tokenizer ? ar_tokenizer_token(m->tokenizer, c->ends[i], NULL) : NULL;
        bool is_eom = text && strcmp(text, "<|eom_id|>") == 0;
        if (c->ends[i] == eos) continue;
        if (eot < 0 && !is_eom)
            eot = c->ends[i];
        else if (eom < 0)
            eom = c->ends[i];
    }
    if (eot >= 0) field_u32(o, "tokenizer.ggml.eot_token_id", eot);
    if (eom >= 0) field_u32(o, "tokenizer.ggml.eom_token_id", eom);
}

static ar_status put_special(ar__gguf_out *o, const ar_open_model *m) {
    const ar_tokenizer *t = m->tokenizer;
    int32_t count, eos = ar_tokenizer_eos(t) >= 0 ? ar_tokenizer_eos(t) : m->config.eos;
    const int32_t *prefix = ar_tokenizer_prefix(&count, t);
    if (count > 1)
        return ar__fail(
            AR_ERR_UNSUPPORTED,
            "tokenizer: found %d tokens before every text, expected at most one: GGUF cannot say more",
            (int)count);
    put_ids(o, count ? prefix[0] : ar_tokenizer_bos(t), eos, ar_tokenizer_unk(t));
    put_ends(o, m, eos);
    field_bool(o, "tokenizer.ggml.add_bos_token", count > 0);
    field_bool(o, "tokenizer.ggml.add_eos_token", ar_tokenizer_appends(t));
    field_bool(o, "tokenizer.ggml.add_space_prefix", ar_tokenizer_adds_prefix_space(t));
    return o->status;
}

static ar_status put_template(ar__gguf_out *o, const ar_open_model *m) {
    char *text = NULL;
    AR_TRY(ar__chat_template(&text, m));
    if (text) field_text(o, "tokenizer.chat_template", text);
    free(text);
    return o->status;
}

static ar_status put_tokenizer(ar__gguf_out *o, const ar_open_model *m) {
    const ar_tokenizer *t = m->tokenizer;
    if (!t) {
        field_text(o, "tokenizer.ggml.model", "none");
        put_ids(o, m->config.bos, m->config.eos, -1);
        put_ends(o, m, m->config.eos);
        return o->status;
    }
    bool spm = ar_tokenizer_get_kind(t) == AR_TOK_SPM;
    const char *pre = spm ? "default" : ar_tokenizer_pre(t);
    if (!spm && strcmp(pre, "default") == 0)
        return ar__fail(AR_ERR_UNSUPPORTED,
                        "%s: its tokenizer cuts words by a pattern that llama.cpp has no name for, expected "
                        "that of gpt-2, llama-bpe, "
                        "qwen2 or smollm",
                        m->path);
    if (ar_tokenizer_vocab(t) > m->config.vocab)
        return ar__fail(AR_ERR_UNSUPPORTED,
                        "%s: found %d tokens, expected at most one for each of the embedding's %lld rows",
                        m->path, (int)ar_tokenizer_vocab(t), (long long)m->config.vocab);
    field_text(o, "tokenizer.ggml.model", spm ? "llama" : "gpt2");
    field_text(o, "tokenizer.ggml.pre", pre);
    put_tokens(o, t, (int32_t)m->config.vocab);
    AR_TRY(put_merges(o, t));
    AR_TRY(put_special(o, m));
    return put_template(o, m);
}

ar_status ar__gguf_accepts(const ar_open_model *m) {
    const ar_config *c = &m->config;
    const ar__gguf_arch *arch = ar__gguf_arch_of(c->family);
    if (!arch)
        return ar__fail(AR_ERR_UNSUPPORTED,
                        "%s: found model family \"%s\", which GGUF has no architecture for", m->path,
                        c->family);
    if (m->lacks_tokenizer)
        return ar__fail(AR_ERR_UNSUPPORTED,
                        "%s: its tokenizer is in a form that is not read here, and the GGUF file would have "
                        "none",
                        m->path);
    if (!arch->has_rope_freqs && strcmp(c->rope_scaling.kind, "llama3") == 0)
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: found llama3 rotary scaling, which GGUF's %s does not have",
                        m->path, arch->name);
    if (!arch->is_rotary && c->act != AR_ACT_GELU_TANH)
        return ar__fail(AR_ERR_UNSUPPORTED,
                        "%s: found another activation than gelu_new, which is GGUF's %s's", m->path,
                        arch->name);
    return AR_OK;
}

ar_status ar__gguf_put_fields(ar__gguf_out *o, const ar_write_source *src, int32_t file_type) {
    const ar__gguf_arch *arch = ar__gguf_arch_of(src->model->config.family);
    const char *like = ar__tensor_types_file(src->plan->types);
    if (like) {
        AR_TRY(ar__gguf_copy_fields(o, like));
        if (src->passport) ar__gguf_put_passport(o, src);
        return o->status;
    }
    field_text(o, "general.architecture", arch->name);
    field_text(o, "general.type", "model");
    field_u32(o, "general.alignment", AR__GGUF_ALIGNMENT);
    field_u32(o, "general.file_type", file_type);
    if (src->plan->scheme.bits <= 8) field_u32(o, "general.quantization_version", AR__GGUF_QUANT_VERSION);
    AR_TRY(ar__gguf_put_general(o, src->model));
    put_config(o, arch, &src->model->config);
    if (src->model->config.pad >= 0) field_u32(o, "tokenizer.ggml.padding_token_id", src->model->config.pad);
    AR_TRY(put_tokenizer(o, src->model));
    if (src->passport) ar__gguf_put_passport(o, src);
    return o->status;
}
