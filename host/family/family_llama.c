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
    AR_TRY(hook->norm(hook->ctx, g, &n1, NORM_ATTENTION, x));
    AR_TRY(ar_hook_linears(hook, g, qkv, (const int32_t[]){Q, K, V}, 3, n1));
    if (b->norm_count > NORM_Q) {
        AR_TRY(hook->norm(hook->ctx, g, &qkv[0], NORM_Q, qkv[0]));
        AR_TRY(hook->norm(hook->ctx, g, &qkv[1], NORM_K, qkv[1]));
    }
    AR_TRY(ar__family_attend(b, g, &mixed, qkv, T, hook));
    AR_TRY(ar_hook_linear_add(hook, g, &h, O, mixed, x));
    AR_TRY(hook->norm(hook->ctx, g, &n2, NORM_MLP, h));
    AR_TRY(ar_hook_gated(hook, g, &act, GATE, UP, n2));
    return ar_hook_linear_add(hook, g, y, DOWN, act, h);
}

ar__layout ar__llama_layout(const ar_config *c) {
    static const char *const prefixes[] = {"model.", NULL};
    static const char *const ignored[] = {"rotary_emb.inv_freq", NULL}; /* old checkpoints carry it */
    int64_t q = (int64_t)c->heads * c->head_dim, kv = (int64_t)c->kv_heads * c->head_dim;
    return (ar__layout){.prefixes = prefixes,
                        .embedding = "embed_tokens",
                        .layers = "layers",
                        .ignored = ignored,
                        .linear_count = 7,
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
                        .final_norm = {.name = "norm", .I = c->hidden, .eps = c->rms_eps},
                        .forward = forward};
}

static ar_status config(ar_config *c, const ar_json *root, const char *what) {
    return ar__config_decoder(c, root, &(ar__config_rules){AR__LLAMA_RULES, .default_eps = 1e-6}, what);
}

/* attention_bias and mlp_bias: seen in the weights. */
static ar_status bind(ar_open_model *m) {
    ar__layout layout = ar__llama_layout(&m->config);
    for (int32_t i = 0; i < layout.linear_count; i++) layout.linears[i].bias = AR__BIAS_MAYBE;
    return ar__family_bind(m, &layout);
}

const ar_family ar__family_llama = {"llama", "llama", "llama", config, bind, ar__family_unbind};
