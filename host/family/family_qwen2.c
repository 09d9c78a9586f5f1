/* Qwen2 and Qwen2.5, dense: Llama with biases on q, k and v (Yang 2024, arXiv 2407.10671). */
#include "ar_error.h"
#include "family.h"

static ar_status config(ar_config *c, const ar_json *root, const char *what) {
    AR_TRY(ar__config_decoder(c, root, &(ar__config_rules){AR__LLAMA_RULES, .default_eps = 1e-6}, what));
    return ar__config_layer_windows(c, root, what);
}

static void write_config(ar_json *root, const ar_open_model *m) {
    ar__config_add_decoder(root, m);
    ar__config_add_layer_windows(root, &m->config);
}

static void block(ar__layout *layout, const ar_config *c, int32_t index) {
    ar__llama_block(layout, c, index);
    for (int32_t i = 0; i < 3; i++) layout->linears[i].bias = AR__BIAS;
}

static const ar__gguf_arch gguf = {.name = "qwen2",
                                   .layers = "model.layers",
                                   .globals = ar__llama_gguf_globals,
                                   .blocks = ar__llama_gguf_blocks,
                                   .is_rotary = true};

const ar_family ar__family_qwen2 = {.name = "qwen2",
                                    .model_types = "qwen2",
                                    .architecture = "Qwen2ForCausalLM",
                                    .tokenizer_class = "Qwen2Tokenizer",
                                    .names = &ar__llama_names,
                                    .gguf = &gguf,
                                    .config = config,
                                    .write_config = write_config,
                                    .block = block};
