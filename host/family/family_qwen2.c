/* Qwen2 and Qwen2.5, dense: Llama with biases on q, k and v (Yang 2024, arXiv 2407.10671). */
#include "ar_error.h"
#include "family.h"

static ar_status config(ar_config *c, const ar_json *root, const char *what) {
    AR_TRY(ar__config_decoder(c, root, &(ar__config_rules){AR__LLAMA_RULES, .default_eps = 1e-6}, what));
    return ar__config_layer_windows(c, root, what);
}

static ar_status bind(ar_open_model *m) {
    ar__layout layout = ar__llama_layout(&m->config);
    for (int32_t i = 0; i < 3; i++) layout.linears[i].bias = AR__BIAS;
    return ar__family_bind(m, &layout);
}

const ar_family ar__family_qwen2 = {"qwen2", "qwen2", "qwen2", config, bind, ar__family_unbind};
