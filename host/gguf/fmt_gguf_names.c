/* The architectures of GGUF files: their tensor names and Hugging Face's, and the order of rows in q and k.
 * llama rotates neighbouring elements, Hugging Face the two halves of a head, so inside each head of D rows
 *   row r D/2 + i of Hugging Face  =  row 2 i + r of the file,   r in {0, 1}, i < D/2. */
#include "family.h"
#include "fmt_gguf.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Blocks are in the order they are written. */
static const ar__gguf_pair llama_globals[] = {
    {"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"}, {NULL, NULL}};
static const ar__gguf_pair llama_blocks[] = {
    {"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},      {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"}, {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},       {NULL, NULL}};
static const ar__gguf_pair qwen3_blocks[] = {
    {"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
    {"attn_q_norm", "self_attn.q_norm"}, {"attn_k", "self_attn.k_proj"},
    {"attn_k_norm", "self_attn.k_norm"}, {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"}, {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},       {NULL, NULL}};
static const ar__gguf_pair phi3_blocks[] = {{"attn_norm", "input_layernorm"},
                                            {"attn_qkv", "self_attn.qkv_proj"},
                                            {"attn_output", "self_attn.o_proj"},
                                            {"ffn_norm", "post_attention_layernorm"},
                                            {"ffn_up", "mlp.gate_up_proj"},
                                            {"ffn_down", "mlp.down_proj"},
                                            {NULL, NULL}};
static const ar__gguf_pair gpt2_globals[] = {{"token_embd", "transformer.wte"},
                                             {"position_embd", "transformer.wpe"},
                                             {"output_norm", "transformer.ln_f"},
                                             {"output", "lm_head"},
                                             {NULL, NULL}};
static const ar__gguf_pair gpt2_blocks[] = {
    {"attn_norm", "ln_1"}, {"attn_qkv", "attn.c_attn"}, {"attn_output", "attn.c_proj"},
    {"ffn_norm", "ln_2"},  {"ffn_up", "mlp.c_fc"},      {"ffn_down", "mlp.c_proj"},
    {NULL, NULL}};
static const ar__gguf_arch archs[] = {{.name = "llama",
                                       .layers = "model.layers",
                                       .globals = llama_globals,
                                       .blocks = llama_blocks,
                                       .is_rotary = true,
                                       .is_permuted = true,
                                       .has_rope_freqs = true,
                                       .sliding_family = "mistral"},
                                      {.name = "qwen2",
                                       .layers = "model.layers",
                                       .globals = llama_globals,
                                       .blocks = llama_blocks,
                                       .is_rotary = true},
                                      {.name = "qwen3",
                                       .layers = "model.layers",
                                       .globals = llama_globals,
                                       .blocks = qwen3_blocks,
                                       .is_rotary = true},
                                      {.name = "phi3",
                                       .layers = "model.layers",
                                       .globals = llama_globals,
                                       .blocks = phi3_blocks,
                                       .is_rotary = true,
                                       .is_partial = true,
                                       .has_longrope = true,
                                       .needs_window = true},
                                      {.name = "gpt2",
                                       .layers = "transformer.h",
                                       .bare = "transformer.",
                                       .globals = gpt2_globals,
                                       .blocks = gpt2_blocks,
                                       .is_conv1d = true,
                                       .has_layer_norm = true,
                                       .repeats_head = true}};
#define ARCH_COUNT ((int32_t)(sizeof archs / sizeof *archs))

static const char *const parts[] = {"weight", "bias"};

const ar__gguf_arch *ar__gguf_arch_named(const char *name, size_t bytes) {
    for (int32_t i = 0; i < ARCH_COUNT; i++)
        if (ar__gguf_text_is(name, bytes, archs[i].name)) return &archs[i];
    return NULL;
}

const ar__gguf_arch *ar__gguf_arch_of(const char *family) {
    const ar_family *f = ar_family_find(family);
    return f && f->gguf_arch ? ar__gguf_arch_named(f->gguf_arch, strlen(f->gguf_arch)) : NULL;
}

const ar_family *ar__gguf_family(const ar__gguf_arch *arch) {
    for (int32_t i = 0; ar__families[i]; i++)
        if (ar__families[i]->gguf_arch && strcmp(ar__families[i]->gguf_arch, arch->name) == 0)
            return ar__families[i];
    return NULL;
}

void ar__gguf_arch_list(char *out, size_t bytes) {
    size_t used = 0;
    for (int32_t i = 0; i < ARCH_COUNT && used < bytes; i++)
        used += (size_t)snprintf(out + used, bytes - used, "%s%s", i ? ", " : "", archs[i].name);
}

/* The rest of text after prefix, or NULL. */
static const char *after(const char *text, const char *prefix) {
    size_t bytes = strlen(prefix);
    return strncmp(text, prefix, bytes) == 0 ? text + bytes : NULL;
}

/* "attn_q.weight" by a table's row; *part is "weight" or "bias". */
static const ar__gguf_pair *find_pair(const char **part, const ar__gguf_pair *list, const char *text) {
    for (; list->gguf; list++) {
        const char *rest = after(text, list->gguf);
        for (size_t p = 0; rest && *rest == '.' && p < 2; p++) {
            *part = parts[p];
            if (strcmp(rest + 1, parts[p]) == 0) return list;
        }
    }
    return NULL;
}

bool ar__gguf_to_hf(char out[AR__GGUF_HF_NAME], const ar__gguf_arch *arch, const char *name, size_t bytes) {
    char text[AR__GGUF_NAME], canonical[16];
    const char *part;
    if (bytes >= sizeof text || memchr(name, 0, bytes)) return false;
    memcpy(text, name, bytes);
    text[bytes] = 0;
    const ar__gguf_pair *found = find_pair(&part, arch->globals, text);
    if (found) {
        snprintf(out, AR__GGUF_HF_NAME, "%s.%s", found->hf, part);
        return part == parts[0] || (arch->has_layer_norm && strcmp(found->gguf, "output_norm") == 0);
    }
    const char *number = after(text, "blk."), *dot = number ? strchr(number, '.') : NULL;
    if (!dot || dot - number > 4) return false;
    int layer = atoi(number);
    snprintf(canonical, sizeof canonical, "%d", layer);
    if (layer < 0 || layer >= AR__GGUF_MAX_LAYERS || strlen(canonical) != (size_t)(dot - number) ||
        !after(number, canonical))
        return false;
    found = find_pair(&part, arch->blocks, dot + 1);
    if (found) snprintf(out, AR__GGUF_HF_NAME, "%s.%d.%s.%s", arch->layers, layer, found->hf, part);
    return found != NULL;
}

bool ar__gguf_block_name(char gguf[AR__GGUF_NAME], char hf[AR__GGUF_HF_NAME], const ar__gguf_arch *arch,
                         int32_t layer, int32_t i) {
    int32_t count = 0;
    while (arch->blocks[count].gguf) count++;
    if (i < 0 || i >= 2 * count) return false;
    snprintf(gguf, AR__GGUF_NAME, "blk.%d.%s.%s", (int)layer, arch->blocks[i / 2].gguf, parts[i % 2]);
    snprintf(hf, AR__GGUF_HF_NAME, "%s.%d.%s.%s", arch->layers, (int)layer, arch->blocks[i / 2].hf,
             parts[i % 2]);
    return true;
}

bool ar__gguf_global_name(char gguf[AR__GGUF_NAME], char hf[AR__GGUF_HF_NAME], const ar__gguf_arch *arch,
                          const char *name, bool bias) {
    for (const ar__gguf_pair *p = arch->globals; p->gguf; p++) {
        if (strcmp(p->gguf, name) != 0) continue;
        snprintf(gguf, AR__GGUF_NAME, "%s.%s", p->gguf, parts[bias]);
        snprintf(hf, AR__GGUF_HF_NAME, "%s.%s", p->hf, parts[bias]);
        return true;
    }
    return false;
}

int32_t ar__gguf_permuted_heads(const ar_config *c, const char *hf_name) {
    const ar__gguf_arch *arch = ar__gguf_arch_of(c->family);
    if (!arch || !arch->is_permuted) return 0;
    if (strstr(hf_name, ".self_attn.q_proj.")) return c->heads;
    return strstr(hf_name, ".self_attn.k_proj.") ? c->kv_heads : 0;
}

int64_t ar__gguf_row_in_file(int64_t row, int64_t head_rows) {
    int64_t in_head = row % head_rows, half = head_rows / 2;
    return row - in_head + 2 * (in_head % half) + in_head / half;
}

int64_t ar__gguf_row_in_hf(int64_t row, int64_t head_rows) {
    int64_t in_head = row % head_rows;
    return row - in_head + in_head % 2 * (head_rows / 2) + in_head / 2;
}
