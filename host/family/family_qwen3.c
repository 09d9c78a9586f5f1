/* Qwen3, dense: Llama with an RMS norm over every head of q and k, and a head width of its own (Yang 2025,
 * arXiv 2505.09388). */
#include "ar_error.h"
#include "family.h"

static ar_status config(ar_config *c, const ar_json *root, const char *what) {
    const ar__config_rules rules = {AR__LLAMA_RULES, .default_eps = 1e-6, .default_head_dim = 128};
    AR_TRY(ar__config_decoder(c, root, &rules, what));
    return ar__config_layer_windows(c, root, what);
}

static void write_config(ar_json *root, const ar_open_model *m) {
    ar__config_add_decoder(root, m);
    ar__config_add_layer_windows(root, &m->config);
}

/* attention_bias: seen in the weights. */
static void block(ar__layout *layout, const ar_config *c, int32_t index) {
    ar__llama_block(layout, c, index);
    for (int32_t i = 0; i < 4; i++) layout->linears[i].bias = AR__BIAS_MAYBE;
    layout->norms[layout->norm_count++] =
        (ar_norm){.name = "self_attn.q_norm", .I = c->head_dim, .eps = c->rms_eps};
    layout->norms[layout->norm_count++] =
        (ar_norm){.name = "self_attn.k_norm", .I = c->head_dim, .eps = c->rms_eps};
}

static const ar__gguf_pair gguf_blocks[] = {
    {"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
    {"attn_q_norm", "self_attn.q_norm"}, {"attn_k", "self_attn.k_proj"},
    {"attn_k_norm", "self_attn.k_norm"}, {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"}, {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},       {NULL, NULL}};
static const ar__gguf_arch gguf = {.name = "qwen3",
                                   .layers = "model.layers",
                                   .globals = ar__llama_gguf_globals,
                                   .blocks = gguf_blocks,
                                   .is_rotary = true};

const ar_family ar__family_qwen3 = {.name = "qwen3",
                                    .model_types = "qwen3",
                                    .architecture = "Qwen3ForCausalLM",
                                    .tokenizer_class = "Qwen2Tokenizer",
                                    .names = &ar__llama_names,
                                    .gguf = &gguf,
                                    .config = config,
                                    .write_config = write_config,
                                    .block = block};
