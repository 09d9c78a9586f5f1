/* Phi-3: Llama's block with q, k and v in one product, gate and up in another, and rotation of a part of each
 * head (Abdin 2024, arXiv 2404.14219). A fused product stays one linear. Long contexts have longrope scaling
 * (Ding 2024, arXiv 2402.13753). */
#include "ar_error.h"
#include "family.h"
#include <cjson/cJSON.h>

enum { QKV, O, GATE_UP, DOWN };
enum { NORM_ATTENTION, NORM_MLP };

static ar_status forward(const ar_block *b, ar_graph *g, ar_tensor **y, ar_tensor *x, int32_t T,
                         const ar_hook *hook) {
    ar_tensor *n1, *n2, *fused, *qkv[3], *mixed, *h, *gate, *up, *act;
    int64_t q = b->linears[O].I, inner = b->linears[DOWN].I;
    AR_TRY(ar__family_check_tokens(b, T));
    AR_TRY(ar_hook_norm(hook, g, &n1, NORM_ATTENTION, x));
    AR_TRY(ar_hook_linear(hook, g, &fused, QKV, n1));
    AR_TRY(ar_op_slice(g, &qkv[0], fused, 0, q));
    AR_TRY(ar_op_slice(g, &qkv[1], fused, q, b->kv_width));
    AR_TRY(ar_op_slice(g, &qkv[2], fused, q + b->kv_width, b->kv_width));
    AR_TRY(ar__family_attend(b, g, &mixed, qkv, T, hook));
    AR_TRY(ar_hook_linear_add(hook, g, &h, O, mixed, x));
    AR_TRY(ar_hook_norm(hook, g, &n2, NORM_MLP, h));
    AR_TRY(ar_hook_linear(hook, g, &fused, GATE_UP, n2));
    AR_TRY(ar_op_slice(g, &gate, fused, 0, inner));
    AR_TRY(ar_op_slice(g, &up, fused, inner, inner));
    AR_TRY(ar_op_gated(g, &act, gate, up, AR_ACT_SILU));
    return ar_hook_linear_add(hook, g, y, DOWN, act, h);
}

static ar_status config(ar_config *c, const ar_json *root, const char *what) {
    const ar__config_rules rules = {AR__LLAMA_RULES, .default_eps = 1e-5, .has_partial_rotary = true,
                                    .has_longrope = true};
    AR_TRY(ar__config_decoder(c, root, &rules, what));
    return ar__config_window(c, root, 0, what);
}

static void write_config(ar_json *root, const ar_open_model *m) {
    const ar_config *c = &m->config;
    ar__config_add_decoder(root, m);
    ar__config_add_window(root, c);
    ar_json_add_number(root, "original_max_position_embeddings",
                       c->rope_scaling.original_tokens ? c->rope_scaling.original_tokens : c->max_tokens);
}

static void block(ar__layout *layout, const ar_config *c, int32_t index) {
    int64_t q = (int64_t)c->heads * c->head_dim, kv = (int64_t)c->kv_heads * c->head_dim;
    ar__llama_block(layout, c, index); /* for its norms */
    layout->linear_count = 4;
    layout->linears[QKV].name = "self_attn.qkv_proj", layout->linears[QKV].O = q + 2 * kv;
    layout->linears[QKV].I = c->hidden;
    layout->linears[O].name = "self_attn.o_proj", layout->linears[O].O = c->hidden, layout->linears[O].I = q;
    layout->linears[GATE_UP].name = "mlp.gate_up_proj", layout->linears[GATE_UP].O = 2 * c->intermediate;
    layout->linears[GATE_UP].I = c->hidden;
    layout->linears[DOWN].name = "mlp.down_proj", layout->linears[DOWN].O = c->hidden;
    layout->linears[DOWN].I = c->intermediate;
    layout->forward = forward;
}

static const ar__gguf_pair gguf_blocks[] = {{"attn_norm", "input_layernorm"},
                                            {"attn_qkv", "self_attn.qkv_proj"},
                                            {"attn_output", "self_attn.o_proj"},
                                            {"ffn_norm", "post_attention_layernorm"},
                                            {"ffn_up", "mlp.gate_up_proj"},
                                            {"ffn_down", "mlp.down_proj"},
                                            {NULL, NULL}};
static const ar__gguf_arch gguf = {.name = "phi3",
                                   .layers = "model.layers",
                                   .globals = ar__llama_gguf_globals,
                                   .blocks = gguf_blocks,
                                   .is_rotary = true,
                                   .is_partial = true,
                                   .has_longrope = true,
                                   .needs_window = true};

const ar_family ar__family_phi3 = {.name = "phi3",
                                   .model_types = "phi3",
                                   .architecture = "Phi3ForCausalLM",
                                   .tokenizer_class = "LlamaTokenizer",
                                   .names = &ar__llama_names,
                                   .gguf = &gguf,
                                   .config = config,
                                   .write_config = write_config,
                                   .block = block};
