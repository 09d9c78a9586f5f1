/* OPT (Zhang 2022, arXiv 2205.01068): learned positions that start at row 2 of their table, layer norms
 * before attention and MLP, ReLU. The variants that norm afterwards or project the embedding are refused by
 * name. */
#include "ar_error.h"
#include "family.h"

enum { Q, K, V, O };

static ar_status forward(const ar_block *b, ar_graph *g, ar_tensor **y, ar_tensor *x, int32_t T,
                         const ar_hook *hook) {
    ar_tensor *n, *qkv[3];
    AR_TRY(ar__family_check_tokens(b, T));
    AR_TRY(ar_hook_norm(hook, g, &n, 0, x));
    AR_TRY(ar_hook_linears(hook, g, qkv, (const int32_t[]){Q, K, V}, 3, n));
    return ar__family_attend_and_mlp(b, g, y, x, qkv, T, hook, O);
}

static ar_status config(ar_config *c, const ar_json *root, const char *what) {
    const ar__config_rules rules = {.hidden = "hidden_size",
                                    .intermediate = "ffn_dim",
                                    .layers = "num_hidden_layers",
                                    .heads = "num_attention_heads",
                                    .max_tokens = "max_position_embeddings",
                                    .act = "activation_function",
                                    .default_act = "relu",
                                    .default_eps = 1e-5,
                                    .is_tied = true};
    int64_t width;
    AR_TRY(ar__config_decoder(c, root, &rules, what));
    AR_TRY(ar__config_expect(root, "do_layer_norm_before", true, true, what));
    AR_TRY(ar__config_expect(root, "_remove_final_layer_norm", false, false, what));
    AR_TRY(ar__config_expect(root, "layer_norm_elementwise_affine", true, true, what));
    AR_TRY(ar_json_int_or(&width, root, "word_embed_proj_dim", c->hidden, 1, INT32_MAX, what));
    if (width == c->hidden) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s: word_embed_proj_dim: found %lld, expected hidden_size = %lld", what,
                    (long long)width, (long long)c->hidden);
}

/* enable_bias: seen in the weights. */
static void block(ar__layout *layout, const ar_config *c, int32_t index) {
    int64_t q = (int64_t)c->heads * c->head_dim, kv = (int64_t)c->kv_heads * c->head_dim;
    ar_norm norm = {.I = c->hidden, .eps = c->rms_eps, .kind = AR_NORM_LAYER, .has_bias = true};
    (void)index;
    *layout = (ar__layout){.linear_count = 6,
                           .norm_count = 2,
                           .linears = {{"self_attn.q_proj", q, c->hidden, AR__BIAS_MAYBE},
                                       {"self_attn.k_proj", kv, c->hidden, AR__BIAS_MAYBE},
                                       {"self_attn.v_proj", kv, c->hidden, AR__BIAS_MAYBE},
                                       {"self_attn.out_proj", c->hidden, q, AR__BIAS_MAYBE},
                                       {"fc1", c->intermediate, c->hidden, AR__BIAS_MAYBE},
                                       {"fc2", c->hidden, c->intermediate, AR__BIAS_MAYBE}},
                           .norms = {norm, norm},
                           .forward = forward};
    layout->norms[0].name = "self_attn_layer_norm";
    layout->norms[1].name = "final_layer_norm";
}

static const char *const prefixes[] = {"model.decoder.", "decoder.", NULL};
static const ar__names names = {
    .prefixes = prefixes,
    .embedding = "embed_tokens",
    .head = "lm_head",
    .layers = "layers",
    .positions = "embed_positions",
    .position_skip = 2,
    .final_norm = {.name = "final_layer_norm", .kind = AR_NORM_LAYER, .has_bias = true}};

/* GGUF has no architecture for it, so that it always comes as a folder, with its config.json. */
const ar_family ar__family_opt = {.name = "opt",
                                  .model_types = "opt",
                                  .architecture = "OPTForCausalLM",
                                  .tokenizer_class = "GPT2Tokenizer",
                                  .names = &names,
                                  .config = config,
                                  .block = block};
