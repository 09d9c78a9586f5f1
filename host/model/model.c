/* Opening a model: a Hugging Face folder (float or packed) or a GGUF file. What a model is made of is its
 * family's business (family_<name>.c). */
#include "acts.h"
#include "ar_error.h"
#include "factors.h"
#include "family.h"
#include "fmt_gguf.h"
#include "fmt_packed.h"
#include "folder_contents.h"
#include "model_states.h"
#include "tokenizer.h"
#include "notes.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#define MAX_JSON_BYTES ((size_t)16 << 20)

/* ---- special tokens ---- */

static int32_t find_token(const ar_tokenizer *t, const char *text) {
    size_t wanted = strlen(text);
    for (int32_t id = 0; id < ar_tokenizer_vocab(t); id++) {
        size_t bytes = 0;
        const char *token = ar_tokenizer_token(t, id, &bytes);
        if (token && bytes == wanted && memcmp(token, text, bytes) == 0) return id;
    }
    return -1;
}

/* The id of tokenizer_config.json's key (a string, or an object with its content): null means none, a missing
 * key or a text that is no token means fallback. */
static ar_status special_id(int32_t *id, const ar_tokenizer *t, const ar_json *root, const char *key,
                            int32_t fallback, const char *what) {
    const cJSON *item = ar_json_get(root, key);
    *id = fallback;
    if (!item) return AR_OK;
    if (cJSON_IsNull(item)) {
        *id = -1;
        return AR_OK;
    }
    const char *text = item->valuestring;
    if (cJSON_IsObject(item))
        AR_TRY(ar_json_string_or(&text, item, "content", "", what));
    else if (!cJSON_IsString(item))
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found neither text nor object, expected a token", what, key);
    int32_t found = find_token(t, text);
    if (found >= 0) *id = found;
    return AR_OK;
}

static ar_status read_special(ar_open_model *m, const char *path) {
    int32_t bos = m->config.bos, eos = m->config.eos, unk = -1, pad = m->config.pad;
    ar_json *root = NULL;
    ar_status status = AR_OK;
    if (ar_path_exists(path)) {
        AR_GO(ar_json_open(&root, path, MAX_JSON_BYTES));
        AR_GO(special_id(&bos, m->tokenizer, root, "bos_token", bos, path));
        AR_GO(special_id(&eos, m->tokenizer, root, "eos_token", eos, path));
        AR_GO(special_id(&unk, m->tokenizer, root, "unk_token", unk, path));
        AR_GO(special_id(&pad, m->tokenizer, root, "pad_token", pad, path));
    }
    m->config.pad = pad;
    ar_tokenizer_set_special(m->tokenizer, bos, eos, unk);
    AR_GO(ar_config_add_end(&m->config, ar_tokenizer_eos(m->tokenizer), path));
done:
    ar_json_close(root);
    return status;
}

/* A token without a row of the embedding would be read from beyond it. Rows without a token are common. */
static ar_status check_rows(const ar_open_model *m, const char *path) {
    char quoted[AR__QUOTE_BYTES];
    for (int64_t id = m->config.vocab; id < ar_tokenizer_vocab(m->tokenizer); id++) {
        size_t bytes = 0;
        const char *token = ar_tokenizer_token(m->tokenizer, (int32_t)id, &bytes);
        if (token)
            return ar__fail(AR_ERR_FORMAT,
                            "%s: token %s: found id %lld, expected one below the %lld rows of the "
                            "embedding (vocab_size)",
                            path, ar__quote(quoted, token, bytes), (long long)id, (long long)m->config.vocab);
    }
    return AR_OK;
}

/* generation_config.json, where there is one, may name more tokens that end a text. */
static ar_status read_generation(ar_open_model *m) {
    char *path = NULL;
    ar_json *root = NULL;
    ar_status status;
    AR_TRY(ar_path_join(&path, m->path, "generation_config.json"));
    if (!ar_path_exists(path)) {
        free(path);
        return AR_OK;
    }
    AR_GO(ar_json_open(&root, path, MAX_JSON_BYTES));
    AR_GO(ar__config_read_ends(&m->config, root, path));
done:
    ar_json_close(root);
    free(path);
    return status;
}

/* A model without a tokenizer is legal. */
static ar_status open_tokenizer(ar_open_model *m) {
    char *path = NULL, *config_path = NULL;
    ar_status status;
    AR_GO(ar__tokenizer_open_folder(&m->tokenizer, &path, &m->notes, m->path,
                                    ar__family_of(&m->config)->tokenizer_class));
    m->lacks_tokenizer = path && !m->tokenizer;
    if (!m->tokenizer) goto done;
    AR_GO(check_rows(m, path));
    AR_GO(ar_path_join(&config_path, m->path, "tokenizer_config.json"));
    AR_GO(read_special(m, config_path));
done:
    free(path);
    free(config_path);
    return status;
}

/* ---- folders and files ---- */

static ar_status open_folder(ar_open_model *m) {
    char *path;
    bool packed = false;
    ar_status status;
    AR_TRY(ar_path_join(&path, m->path, "config.json"));
    if (!ar_path_exists(path)) AR_GO(ar__folder_lacks_config(m->path));
    AR_GO(ar_config_open(&m->config, path));
    AR_GO(ar__packed_config_find(&packed, m->path));
    AR_GO(packed ? ar_weights_open_packed(&m->weights, m->path)
                 : ar_weights_open_safetensors(&m->weights, m->path));
    AR_GO(read_generation(m));
    AR_GO(open_tokenizer(m));
done:
    free(path);
    return status;
}

static ar_status open_path(ar_open_model *m) {
    if (ar_path_is_dir(m->path)) return open_folder(m);
    bool is_gguf;
    if (!ar_path_exists(m->path))
        return ar__fail(AR_ERR_IO, "%s: found nothing there, expected a model", m->path);
    AR_TRY(ar__file_is_gguf(&is_gguf, m->path));
    if (is_gguf) AR_TRY(ar__gguf_add_pieces(&m->files, m->path));
    if (is_gguf) m->read_template = ar__gguf_template;
    if (is_gguf) m->read_general = ar__gguf_general;
    if (is_gguf) return ar_weights_open_gguf(&m->weights, &m->config, &m->tokenizer, m->path);
    return ar__file_is_no_model(m->path);
}

/* What stands beside a folder's weights to correct them. */
static ar_status open_factors(ar_open_model *m) {
    char *path = NULL;
    ar_status status = AR_OK;
    if (!ar_path_is_dir(m->path)) return AR_OK;
    AR_TRY(ar_path_join(&path, m->path, AR__FACTORS_FILE));
    if (ar_path_exists(path)) status = ar__factors_read(&m->adapter, path, &m->model);
    free(path);
    return status;
}

ar_status ar_model_open(ar_open_model **m, const char *path) {
    *m = NULL;
    ar_open_model *made = ar__alloc(1, sizeof *made);
    if (!made) return AR_ERR_MEMORY;
    ar_status status = ar_path_join(&made->path, "", path);
    if (status == AR_OK) status = ar_snapshot_add(&made->files, path);
    if (status == AR_OK) status = open_path(made);
    if (status == AR_OK) status = ar__notes_move(&made->notes, &made->weights.notes);
    if (status == AR_OK) status = ar_family_bind(made);
    if (status == AR_OK) status = open_factors(made);
    if (status == AR_OK) status = ar__model_read_acts(made);
    if (status == AR_OK)
        *m = made;
    else
        ar_model_close(made);
    return status;
}

ar_status ar__model_open_states(ar_open_model **m, ar_lm_states_desc *desc, int32_t *T, const char *path) {
    *m = NULL;
    ar_open_model *made = ar__alloc(1, sizeof *made);
    if (!made) return AR_ERR_MEMORY;
    ar_status status = ar_path_join(&made->path, "", path);
    if (status == AR_OK) status = ar_snapshot_add(&made->files, path);
    if (status == AR_OK) status = ar__states_lm_config(&made->config, desc, T, path);
    if (status == AR_OK) status = ar__states_lm_weights(&made->weights, &made->config, path);
    if (status == AR_OK) status = open_tokenizer(made);
    if (status == AR_OK) status = ar_family_bind(made);
    if (status == AR_OK)
        *m = made;
    else
        ar_model_close(made);
    return status;
}

void ar_model_close(ar_open_model *m) {
    if (!m) return;
    ar_family_unbind(m);
    ar_adapter_close(m->adapter);
    ar_acts_deinit(&m->acts);
    ar_tokenizer_close(m->tokenizer);
    ar_weights_close(&m->weights);
    ar_notes_deinit(&m->notes);
    ar_snapshot_deinit(&m->files);
    free(m->path);
    free(m);
}
