/* GPT-2 (Radford 2019): learned positions, layer norms, q, k and v in one product, an MLP without a gate,
 *   h = x + c_proj(attention(c_attn(n1))),  n1 = ln_1(x)
 *   y = h + c_proj(gelu(c_fc(n2))),         n2 = ln_2(h)
 * The head is the embedding unless the model says otherwise. Hugging Face stores its products as Conv1D,
 * (I, O). */
#include "ar_error.h"
#include "family.h"
#include <cjson/cJSON.h>

enum { QKV, O };

static ar_status forward(const ar_block *b, ar_graph *g, ar_tensor **y, ar_tensor *x, int32_t T,
                         const ar_hook *hook) {
    ar_tensor *n, *fused, *qkv[3];
    AR_TRY(ar__family_check_tokens(b, T));
    AR_TRY(ar_hook_norm(hook, g, &n, 0, x));
    AR_TRY(ar_hook_linear(hook, g, &fused, QKV, n));
    for (int32_t i = 0; i < 3; i++) AR_TRY(ar_op_slice(g, &qkv[i], fused, i * b->hidden, b->hidden));
    return ar__family_attend_and_mlp(b, g, y, x, qkv, T, hook, O);
}

static ar_status config(ar_config *c, const ar_json *root, const char *what) {
    const ar__config_rules rules = {.hidden = "n_embd",
                                    .intermediate = "n_inner",
                                    .intermediate_is_optional = true,
                                    .layers = "n_layer",
                                    .heads = "n_head",
                                    .max_tokens = "n_positions",
                                    .act = "activation_function",
                                    .default_act = "gelu_new",
                                    .eps = "layer_norm_epsilon",
                                    .default_eps = 1e-5,
                                    .is_tied = true};
    AR_TRY(ar__config_decoder(c, root, &rules, what));
    AR_TRY(ar__config_expect(root, "scale_attn_weights", true, true, what));
    AR_TRY(ar__config_expect(root, "scale_attn_by_inverse_layer_idx", false, false, what));
    AR_TRY(ar__config_expect(root, "add_cross_attention", false, false, what));
    if (c->kv_heads != c->heads || (int64_t)c->heads * c->head_dim != c->hidden)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: found %d heads of %d with %d of keys, expected them to make up n_embd = %lld",
                        what, (int)c->heads, (int)c->head_dim, (int)c->kv_heads, (long long)c->hidden);
    c->is_conv1d = true;
    return AR_OK;
}

static void write_config(ar_json *root, const ar_open_model *m) {
    const ar_config *c = &m->config;
    /* the only activation a file without names can mean */
    ar_json_add_string(root, "activation_function", "gelu_new");
    ar__config_add_float(root, "layer_norm_epsilon", c->rms_eps);
    ar_json_add_number(root, "n_embd", (double)c->hidden);
    ar_json_add_number(root, "n_head", c->heads);
    ar_json_add_number(root, "n_inner", (double)c->intermediate);
    ar_json_add_number(root, "n_layer", c->layers);
    ar_json_add_number(root, "n_positions", c->max_tokens);
}

static void block(ar__layout *layout, const ar_config *c, int32_t index) {
    ar_norm norm = {.I = c->hidden, .eps = c->rms_eps, .kind = AR_NORM_LAYER, .has_bias = true};
    (void)index;
    *layout = (ar__layout){.linear_count = 4,
                           .norm_count = 2,
                           .linears = {{"attn.c_attn", 3 * c->hidden, c->hidden, AR__BIAS},
                                       {"attn.c_proj", c->hidden, c->hidden, AR__BIAS},
                                       {"mlp.c_fc", c->intermediate, c->hidden, AR__BIAS},
                                       {"mlp.c_proj", c->hidden, c->intermediate, AR__BIAS}},
                           .norms = {norm, norm},
                           .forward = forward};
    layout->norms[0].name = "ln_1";
    layout->norms[1].name = "ln_2";
}

static const char *const prefixes[] = {"transformer.", "", NULL};
static const char *const ignored[] = {".attn.bias", ".attn.masked_bias", NULL}; /* the causal mask */
static const ar__names names = {.prefixes = prefixes,
                                .embedding = "wte",
                                .head = "lm_head",
                                .layers = "h",
                                .positions = "wpe",
                                .ignored = ignored,
                                .final_norm = {.name = "ln_f", .kind = AR_NORM_LAYER, .has_bias = true}};

static const ar__gguf_pair gguf_globals[] = {{"token_embd", "transformer.wte"},
                                             {"position_embd", "transformer.wpe"},
                                             {"output_norm", "transformer.ln_f"},
                                             {"output", "lm_head"},
                                             {NULL, NULL}};
static const ar__gguf_pair gguf_blocks[] = {
    {"attn_norm", "ln_1"}, {"attn_qkv", "attn.c_attn"}, {"attn_output", "attn.c_proj"},
    {"ffn_norm", "ln_2"},  {"ffn_up", "mlp.c_fc"},      {"ffn_down", "mlp.c_proj"},
    {NULL, NULL}};
static const ar__gguf_arch gguf = {.name = "gpt2",
                                   .layers = "transformer.h",
                                   .bare = "transformer.",
                                   .globals = gguf_globals,
                                   .blocks = gguf_blocks,
                                   .is_conv1d = true,
                                   .has_layer_norm = true,
                                   .repeats_head = true};

const ar_family ar__family_gpt2 = {.name = "gpt2",
                                   .model_types = "gpt2",
                                   .architecture = "GPT2LMHeadModel",
                                   .tokenizer_class = "GPT2Tokenizer",
                                   .names = &names,
                                   .gguf = &gguf,
                                   .config = config,
                                   .write_config = write_config,
                                   .block = block};
