/* Tensor names of llama files and Hugging Face's, and the order of rows in q and k: GGUF's llama rotates
 * neighbouring elements, Hugging Face's the two halves of a head, so inside each head of D rows
 *   row r D/2 + i of Hugging Face  =  row 2 i + r of the file,   r in {0, 1}, i < D/2. */
#include "fmt_gguf.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct pair {
    const char *gguf, *hf;
} pair;

static const pair globals[] = {
    {"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"}};
static const pair blocks[] = {/* in the order they are written */
                              {"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
                              {"attn_k", "self_attn.k_proj"},      {"attn_v", "self_attn.v_proj"},
                              {"attn_output", "self_attn.o_proj"}, {"ffn_norm", "post_attention_layernorm"},
                              {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
                              {"ffn_down", "mlp.down_proj"}};
static const char *const parts[] = {"weight", "bias"};
#define BLOCK_COUNT ((int32_t)(sizeof blocks / sizeof *blocks))

/* The rest of text after prefix, or NULL. */
static const char *after(const char *text, const char *prefix) {
    size_t bytes = strlen(prefix);
    return strncmp(text, prefix, bytes) == 0 ? text + bytes : NULL;
}

/* "attn_q.weight" by a table's row; *part is "weight" or "bias". */
static const pair *find_pair(const char **part, const pair *list, size_t count, const char *text) {
    for (size_t i = 0; i < count; i++) {
        const char *rest = after(text, list[i].gguf);
        for (size_t p = 0; rest && *rest == '.' && p < 2; p++) {
            *part = parts[p];
            if (strcmp(rest + 1, parts[p]) == 0) return &list[i];
        }
    }
    return NULL;
}

bool ar__gguf_to_hf(char out[AR__GGUF_HF_NAME], const char *name, size_t bytes) {
    char text[AR__GGUF_NAME], canonical[16];
    const char *part;
    if (bytes >= sizeof text || memchr(name, 0, bytes)) return false;
    memcpy(text, name, bytes);
    text[bytes] = 0;
    const pair *found = find_pair(&part, globals, sizeof globals / sizeof *globals, text);
    if (found) {
        snprintf(out, AR__GGUF_HF_NAME, "%s.%s", found->hf, part);
        return part == parts[0];
    }
    const char *number = after(text, "blk."), *dot = number ? strchr(number, '.') : NULL;
    if (!dot || dot - number > 4) return false;
    int layer = atoi(number);
    snprintf(canonical, sizeof canonical, "%d", layer);
    if (layer < 0 || layer >= AR__GGUF_MAX_LAYERS || strlen(canonical) != (size_t)(dot - number) ||
        !after(number, canonical))
        return false;
    found = find_pair(&part, blocks, BLOCK_COUNT, dot + 1);
    if (found) snprintf(out, AR__GGUF_HF_NAME, "model.layers.%d.%s.%s", layer, found->hf, part);
    return found != NULL;
}

bool ar__gguf_block_name(char gguf[AR__GGUF_NAME], char hf[AR__GGUF_HF_NAME], int32_t layer, int32_t i) {
    if (i < 0 || i >= 2 * BLOCK_COUNT) return false;
    snprintf(gguf, AR__GGUF_NAME, "blk.%d.%s.%s", (int)layer, blocks[i / 2].gguf, parts[i % 2]);
    snprintf(hf, AR__GGUF_HF_NAME, "model.layers.%d.%s.%s", (int)layer, blocks[i / 2].hf, parts[i % 2]);
    return true;
}

int32_t ar__gguf_permuted_heads(const ar_config *c, const char *hf_name) {
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
