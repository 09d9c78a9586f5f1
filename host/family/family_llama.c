/* The Llama family: Llama 1 to 3, TinyLlama, SmolLM. Pre-norm decoder blocks,
 *   h = x + o(attention(rope(q(n1)), rope(k(n1)), v(n1))),  n1 = rms_norm(x)
 *   y = h + down(silu(gate(n2)) * up(n2)),                  n2 = rms_norm(h)
 * with grouped queries (Touvron 2023, arXiv 2302.13971 and 2307.09288). Its relatives (family_mistral.c,
 * family_qwen2.c, family_qwen3.c) start from the same layout. */
#include "ar_error.h"
#include "family.h"

enum { Q, K, V, O, GATE, UP, DOWN };
enum { NORM_ATTENTION, NORM_MLP, NORM_Q, NORM_K };

/* Where the layout has them (Qwen3), every head of q and k is normed before it turns. */
static ar_status forward(const ar_block *b, ar_graph *g, ar_tensor **y, ar_tensor *x, int32_t T,
                         const ar_hook *hook) {
    ar_tensor *n1, *n2, *qkv[3], *mixed, *h, *act;
    AR_TRY(ar__family_check_tokens(b, T));
    AR_TRY(ar_hook_norm(hook, g, &n1, NORM_ATTENTION, x));
    AR_TRY(ar_hook_linears(hook, g, qkv, (const int32_t[]){Q, K, V}, 3, n1));
    if (b->norm_count > NORM_Q) {
        AR_TRY(ar_hook_norm(hook, g, &qkv[0], NORM_Q, qkv[0]));
        AR_TRY(ar_hook_norm(hook, g, &qkv[1], NORM_K, qkv[1]));
    }
    AR_TRY(ar__family_attend(b, g, &mixed, qkv, T, hook));
    AR_TRY(ar_hook_linear_add(hook, g, &h, O, mixed, x));
    AR_TRY(ar_hook_norm(hook, g, &n2, NORM_MLP, h));
    AR_TRY(ar_hook_gated(hook, g, &act, GATE, UP, AR_ACT_SILU, n2));
    return ar_hook_linear_add(hook, g, y, DOWN, act, h);
}

void ar__llama_block(ar__layout *layout, const ar_config *c, int32_t index) {
    int64_t q = (int64_t)c->heads * c->head_dim, kv = (int64_t)c->kv_heads * c->head_dim;
    (void)index;
    *layout = (ar__layout){.linear_count = 7,
                           .norm_count = 2,
                           .linears = {{"self_attn.q_proj", q, c->hidden, AR__BIAS_NONE},
                                       {"self_attn.k_proj", kv, c->hidden, AR__BIAS_NONE},
                                       {"self_attn.v_proj", kv, c->hidden, AR__BIAS_NONE},
                                       {"self_attn.o_proj", c->hidden, q, AR__BIAS_NONE},
                                       {"mlp.gate_proj", c->intermediate, c->hidden, AR__BIAS_NONE},
                                       {"mlp.up_proj", c->intermediate, c->hidden, AR__BIAS_NONE},
                                       {"mlp.down_proj", c->hidden, c->intermediate, AR__BIAS_NONE}},
                           .norms = {{.name = "input_layernorm", .I = c->hidden, .eps = c->rms_eps},
                                     {.name = "post_attention_layernorm", .I = c->hidden, .eps = c->rms_eps}},
                           .forward = forward};
}

/* attention_bias and mlp_bias: seen in the weights. */
static void block(ar__layout *layout, const ar_config *c, int32_t index) {
    ar__llama_block(layout, c, index);
    for (int32_t i = 0; i < layout->linear_count; i++) layout->linears[i].bias = AR__BIAS_MAYBE;
}

static ar_status config(ar_config *c, const ar_json *root, const char *what) {
    return ar__config_decoder(c, root, &(ar__config_rules){AR__LLAMA_RULES, .default_eps = 1e-6}, what);
}

static const char *const prefixes[] = {"model.", NULL};
static const char *const ignored[] = {"rotary_emb.inv_freq", NULL}; /* old checkpoints carry it */
const ar__names ar__llama_names = {.prefixes = prefixes,
                                   .embedding = "embed_tokens",
                                   .head = "lm_head",
                                   .layers = "layers",
                                   .ignored = ignored,
                                   .final_norm = {.name = "norm"}};

const ar__gguf_pair ar__llama_gguf_globals[] = {
    {"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"}, {NULL, NULL}};
const ar__gguf_pair ar__llama_gguf_blocks[] = {
    {"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},      {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"}, {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},       {NULL, NULL}};
const ar__gguf_arch ar__llama_gguf = {.name = "llama",
                                      .layers = "model.layers",
                                      .globals = ar__llama_gguf_globals,
                                      .blocks = ar__llama_gguf_blocks,
                                      .is_rotary = true,
                                      .is_permuted = true,
                                      .has_rope_freqs = true};

const ar_family ar__family_llama = {.name = "llama",
                                    .model_types = "llama",
                                    .architecture = "LlamaForCausalLM",
                                    .tokenizer_class = "LlamaTokenizer",
                                    .names = &ar__llama_names,
                                    .gguf = &ar__llama_gguf,
                                    .config = config,
                                    .write_config = ar__config_add_decoder,
                                    .block = block};
