/* A language model with products of few states as a folder (docs/maqd.md): the config.json and the tokenizer
 * of the model that it began as, under a model_type of its own, and params.safetensors. */
#include "hf_folder.h"
#include "states_folder.h"
#include <cjson/cJSON.h>
#include <stdlib.h>

#define JSON_BYTES ((size_t)1 << 20)

static ar_status write_config(const char *dir, const char *start, const ar_lm_states_desc *d, int32_t T) {
    char *path = NULL;
    ar_json *root = NULL;
    ar_status status;
    AR_GO(ar_path_join(&path, start, "config.json"));
    AR_GO(ar_json_open(&root, path, JSON_BYTES));
    cJSON_DeleteItemFromObject(root, "model_type");
    cJSON_DeleteItemFromObject(root, "architectures"); /* no loader of theirs knows these products */
    ar_json_add_string(root, "model_type", AR__STATES_LM);
    ar_json_add_number(root, "weight_states", d->mw);
    ar_json_add_number(root, "activation_states", d->ma);
    ar_json_add_string(root, "statistics", ar__states_stats_name(d->stats));
    ar_json_add_bool(root, "standardized", !d->raw);
    ar_json_add_bool(root, "surrogates", !d->plain);
    ar_json_add_number(root, "tokens_of_an_example", T);
    AR_GO(ar__hf_write_json(dir, "config.json", root));
done:
    ar_json_close(root);
    free(path);
    return status;
}

ar_status ar__states_lm_write(const char *path, const char *made, const char *start,
                              const ar_lm_states_desc *desc, int32_t T, const ar_net *net,
                              float *const *values) {
    ar_open_model from = {.path = (char *)(uintptr_t)start};
    if (ar_path_exists(made)) AR_TRY(ar_dir_remove(made));
    AR_TRY(ar_dir_create(made));
    AR_TRY(ar__states_params_write(made, net, values));
    AR_TRY(ar__hf_copy_files(made, &(ar_write_source){.model = &from}));
    AR_TRY(write_config(made, start, desc, T));
    return ar__hf_folder_place(path, made);
}
