/* Qwen3, dense: Llama with an RMS norm over every head of q and k, and a head width of its own (Yang 2025,
 * arXiv 2505.09388). */
#include "ar_error.h"
#include "family.h"

static ar_status config(ar_config *c, const ar_json *root, const char *what) {
    const ar__config_rules rules = {AR__LLAMA_RULES, .default_eps = 1e-6, .default_head_dim = 128};
    AR_TRY(ar__config_decoder(c, root, &rules, what));
    return ar__config_layer_windows(c, root, what);
}

/* attention_bias: seen in the weights. */
static ar_status bind(ar_open_model *m) {
    const ar_config *c = &m->config;
    ar__layout layout = ar__llama_layout(c);
    for (int32_t i = 0; i < 4; i++) layout.linears[i].bias = AR__BIAS_MAYBE;
    layout.norms[layout.norm_count++] =
        (ar_norm){.name = "self_attn.q_norm", .I = c->head_dim, .eps = c->rms_eps};
    layout.norms[layout.norm_count++] =
        (ar_norm){.name = "self_attn.k_norm", .I = c->head_dim, .eps = c->rms_eps};
    return ar__family_bind(m, &layout);
}

const ar_family ar__family_qwen3 = {"qwen3", "qwen3", "qwen3", config, bind, ar__family_unbind};
