/* Mistral 7B and its relatives: Llama with sliding attention (Jiang 2023, arXiv 2310.06825), in every layer.
 */
#include "ar_error.h"
#include "family.h"

static ar_status config(ar_config *c, const ar_json *root, const char *what) {
    AR_TRY(ar__config_decoder(c, root, &(ar__config_rules){AR__LLAMA_RULES, .default_eps = 1e-6}, what));
    return ar__config_window(c, root, 4096, what);
}

static ar_status bind(ar_open_model *m) {
    ar__layout layout = ar__llama_layout(&m->config);
    return ar__family_bind(m, &layout);
}

const ar_family ar__family_mistral = {"mistral", "mistral", "llama", config, bind, ar__family_unbind};
