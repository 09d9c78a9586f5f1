/* Mistral 7B and its relatives: Llama with sliding attention (Jiang 2023, arXiv 2310.06825), in every layer.
 */
#include "ar_error.h"
#include "family.h"

static ar_status config(ar_config *c, const ar_json *root, const char *what) {
    AR_TRY(ar__config_decoder(c, root, &(ar__config_rules){AR__LLAMA_RULES, .default_eps = 1e-6}, what));
    return ar__config_window(c, root, 4096, what);
}

static void write_config(ar_json *root, const ar_open_model *m) {
    ar__config_add_decoder(root, m);
    ar__config_add_window(root, &m->config);
}

/* In GGUF it is a Llama that slides. */
const ar_family ar__family_mistral = {.name = "mistral",
                                      .model_types = "mistral",
                                      .architecture = "MistralForCausalLM",
                                      .tokenizer_class = "LlamaTokenizer",
                                      .names = &ar__llama_names,
                                      .gguf = &ar__llama_gguf,
                                      .gguf_slides = true,
                                      .config = config,
                                      .write_config = write_config,
                                      .block = ar__llama_block};
