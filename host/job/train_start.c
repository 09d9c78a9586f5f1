/* A folder with a model that nobody has trained yet; see train.h. What tensors it has its family says. */
#include "family.h"
#include "hf_folder.h"
#include "tokenizer.h"
#include "train.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STD       0.02
#define ROW_BYTES ((int64_t)4 << 20)

/* ---- config.json ---- */

static cJSON *llama_config(const ar_train_arch *a) {
    cJSON *o = cJSON_CreateObject();
    ar_json_push(ar_json_add_list(o, "architectures"), cJSON_CreateString("LlamaForCausalLM"));
    ar_json_add_string(o, "model_type", "llama");
    ar_json_add_bool(o, "attention_bias", false);
    ar_json_add_number(o, "head_dim", a->hidden / a->heads);
    ar_json_add_string(o, "hidden_act", "silu");
    ar_json_add_number(o, "hidden_size", a->hidden);
    ar_json_add_number(o, "intermediate_size", (double)a->intermediate);
    ar_json_add_number(o, "max_position_embeddings", a->context);
    ar_json_add_bool(o, "mlp_bias", false);
    ar_json_add_number(o, "num_attention_heads", a->heads);
    ar_json_add_number(o, "num_hidden_layers", a->layers);
    ar_json_add_number(o, "num_key_value_heads", a->kv_heads);
    ar_json_put(o, "rms_norm_eps", cJSON_CreateRaw("1e-05"));
    ar_json_put(o, "rope_theta", cJSON_CreateRaw("10000.0"));
    ar_json_add_bool(o, "tie_word_embeddings", a->tied);
    return o;
}

static cJSON *gpt2_config(const ar_train_arch *a) {
    cJSON *o = cJSON_CreateObject();
    ar_json_push(ar_json_add_list(o, "architectures"), cJSON_CreateString("GPT2LMHeadModel"));
    ar_json_add_string(o, "model_type", "gpt2");
    ar_json_add_string(o, "activation_function", "gelu_new");
    ar_json_put(o, "layer_norm_epsilon", cJSON_CreateRaw("1e-05"));
    ar_json_add_number(o, "n_embd", a->hidden);
    ar_json_add_number(o, "n_head", a->heads);
    ar_json_add_number(o, "n_inner", (double)a->intermediate);
    ar_json_add_number(o, "n_layer", a->layers);
    ar_json_add_number(o, "n_positions", a->context);
    ar_json_add_bool(o, "tie_word_embeddings", true);
    return o;
}

/* The ids that the tokenizer's folder gives its model, where it has one. */
static ar_status add_ids(cJSON *o, const ar_train_arch *a) {
    static const char *const keys[] = {"bos_token_id", "eos_token_id", "pad_token_id"};
    char *path = NULL;
    ar_json *root = NULL;
    ar_status status = AR_OK;
    if (ar_path_is_dir(a->tokenizer)) {
        AR_TRY(ar_path_join(&path, a->tokenizer, "config.json"));
        if (ar_path_exists(path)) AR_GO(ar_json_open(&root, path, (size_t)16 << 20));
    }
    for (int i = 0; i < 3; i++) {
        const ar_json *item = root ? ar_json_get(root, keys[i]) : NULL;
        ar_json_put(o, keys[i], item ? cJSON_Duplicate(item, true) : cJSON_CreateNull());
    }
done:
    ar_json_close(root);
    free(path);
    return status;
}

static ar_status make_config(cJSON **root, ar_config *c, const ar_train_arch *a, int64_t vocab) {
    char *text = NULL;
    bool is_llama = strcmp(a->family, "llama") == 0;
    *root = NULL;
    if (!is_llama && strcmp(a->family, "gpt2") != 0)
        return ar__fail(AR_ERR_USAGE, "architecture: found '%s', expected llama or gpt2", a->family);
    if (a->heads < 1 || a->kv_heads < 1 || a->hidden % a->heads || a->heads % a->kv_heads ||
        a->hidden / a->heads % 4)
        return ar__fail(AR_ERR_USAGE,
                        "%d heads, %d of keys, width %d: expected heads that divide the width into "
                        "multiples of 4, and heads of keys that divide those",
                        (int)a->heads, (int)a->kv_heads, (int)a->hidden);
    *root = is_llama ? llama_config(a) : gpt2_config(a);
    AR_TRY(add_ids(*root, a));
    ar_json_add_string(*root, "torch_dtype", "float32");
    ar_json_add_number(*root, "vocab_size", (double)vocab);
    AR_TRY(ar_json_print(&text, *root, true, "config.json"));
    ar_status status = ar_config_parse(c, text, strlen(text), "config.json");
    free(text);
    return status;
}

/* ---- the tokenizer ---- */

/* Its files go into the folder; *vocab: the rows that its ids need. */
static ar_status take_tokenizer(int64_t *vocab, const char *dir, const ar_train_arch *a) {
    ar_status status;
    ar_tokenizer *t = NULL;
    ar_notes notes = {0};
    char *path = NULL, *text = NULL;
    size_t bytes;
    if (ar_path_is_dir(a->tokenizer)) {
        ar_open_model from = {.path = (char *)(uintptr_t)a->tokenizer};
        AR_GO(ar__hf_copy_files(dir, &(ar_write_source){.model = &from}));
        AR_GO(ar__tokenizer_open_folder(&t, &path, &notes, dir, "PreTrainedTokenizerFast"));
    } else {
        AR_GO(ar_tokenizer_open(&t, a->tokenizer));
        AR_GO(ar_file_read_text(&text, &bytes, a->tokenizer, (size_t)512 << 20));
        AR_GO(ar__hf_write_text(dir, "tokenizer.json", text));
    }
    if (!t) AR_GO(ar__fail(AR_ERR_FORMAT, "%s: found no tokenizer that is read here", a->tokenizer));
    *vocab = ar_tokenizer_vocab(t);
done:
    ar_tokenizer_close(t);
    ar_notes_deinit(&notes);
    free(path);
    free(text);
    return status;
}

/* ---- weights ---- */

typedef enum fill { ZEROS, ONES, NORMAL, NORMAL_SMALL } fill;
typedef struct made {
    char name[AR_HF_NAME];
    int64_t rows, width; /* rows 0: one-dimensional */
    fill fill;
} made;
typedef struct list {
    made *items;
    int32_t count, capacity;
} list;

static void add(list *l, fill how, int64_t rows, int64_t width, const char *a, const char *b, const char *c) {
    if (l->count == l->capacity) return; /* counted beforehand */
    made *m = &l->items[l->count++];
    const char *const parts[] = {a, b, c};
    m->name[0] = '\0';
    for (int i = 0; i < 3; i++) strncat(m->name, parts[i], sizeof m->name - 1 - strlen(m->name));
    m->rows = rows;
    m->width = width;
    m->fill = how;
}

/* Does what this product gives go straight into the residual stream? By the names that families have. */
static bool writes_residual(const char *name) {
    static const char *const ends[] = {"o_proj", "down_proj", "c_proj", "out_proj", "fc2"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t n = strlen(name), e = strlen(ends[i]);
        if (n >= e && strcmp(name + n - e, ends[i]) == 0) return true;
    }
    return false;
}

static void add_norm(list *l, const char *prefix, const ar_norm *norm, int64_t width) {
    add(l, ONES, 0, width, prefix, norm->name, ".weight");
    if (norm->has_bias) add(l, ZEROS, 0, width, prefix, norm->name, ".bias");
}

static void add_block(list *l, const ar_config *c, const ar_family *family, int32_t index) {
    ar__layout layout = {0};
    char prefix[AR_HF_NAME];
    family->block(&layout, c, index);
    snprintf(prefix, sizeof prefix, "%s%s.%d.", family->names->prefixes[0], family->names->layers,
             (int)index);
    for (int32_t i = 0; i < layout.linear_count; i++) {
        int64_t O = layout.linears[i].O, I = layout.linears[i].I;
        const char *name = layout.linears[i].name;
        add(l, writes_residual(name) ? NORMAL_SMALL : NORMAL, c->is_conv1d ? I : O, c->is_conv1d ? O : I,
            prefix, name, ".weight");
        if (layout.linears[i].bias == AR__BIAS) add(l, ZEROS, 0, O, prefix, name, ".bias");
    }
    for (int32_t j = 0; j < layout.norm_count; j++) add_norm(l, prefix, &layout.norms[j], layout.norms[j].I);
}

static void add_all(list *l, const ar_config *c) {
    const ar_family *family = ar__family_of(c);
    const ar__names *n = family->names;
    add(l, NORMAL, c->vocab, c->hidden, n->prefixes[0], n->embedding, ".weight");
    if (n->positions)
        add(l, NORMAL, c->max_tokens + n->position_skip, c->hidden, n->prefixes[0], n->positions, ".weight");
    for (int32_t i = 0; i < c->layers; i++) add_block(l, c, family, i);
    add_norm(l, n->prefixes[0], &n->final_norm, c->hidden);
    if (!c->tied) add(l, NORMAL, c->vocab, c->hidden, n->head, "", ".weight");
}

static void fill_values(float *dst, const made *m, int64_t first, int64_t count, uint64_t seed,
                        uint64_t stream, int32_t layers) {
    double std = m->fill == NORMAL_SMALL ? STD / sqrt(2.0 * layers) : STD;
    for (int64_t i = 0; i < count; i++) {
        uint64_t at = 2 * (uint64_t)(first + i);
        double u = 1 - ar_random_unit(seed, stream, at), v = ar_random_unit(seed, stream, at + 1);
        dst[i] = m->fill == ZEROS  ? 0.0f
                 : m->fill == ONES ? 1.0f
                                   : (float)(std * sqrt(-2 * log(u)) * cos(2 * acos(-1.0) * v));
    }
}

static ar_status write_values(ar_st_writer *w, const list *l, uint64_t seed, int32_t layers) {
    float *values = ar__alloc((size_t)ROW_BYTES, 1);
    if (!values) return AR_ERR_MEMORY;
    ar_status status = AR_OK;
    for (int32_t k = 0; k < l->count; k++) {
        const made *m = &l->items[k];
        int64_t all = (m->rows ? m->rows : 1) * m->width, step = ROW_BYTES / 4;
        for (int64_t i = 0; i < all; i += step) {
            int64_t n = all - i < step ? all - i : step;
            fill_values(values, m, i, n, seed, (uint64_t)k + 1, layers);
            AR_GO(ar_st_writer_data(w, values, (size_t)n * sizeof *values));
        }
    }
done:
    free(values);
    return status;
}

static ar_status write_weights(const char *dir, const ar_config *c, uint64_t seed) {
    ar_status status;
    char *path = NULL;
    ar_st_writer *w = NULL;
    list l = {.capacity = 8 + c->layers * 2 * (AR_MAX_LINEARS + AR_MAX_NORMS)};
    l.items = ar__alloc((size_t)l.capacity, sizeof *l.items);
    AR_GO(l.items ? AR_OK : AR_ERR_MEMORY);
    add_all(&l, c);
    AR_GO(ar_path_join(&path, dir, "model.safetensors"));
    AR_GO(ar_st_writer_create(&w));
    AR_GO(ar_st_writer_metadata(w, "format", "pt"));
    AR_GO(ar_st_writer_metadata(w, AR_HF_WRITER_KEY, AR_HF_WRITER));
    for (int32_t k = 0; k < l.count; k++) {
        const made *m = &l.items[k];
        const int64_t dims[] = {m->rows ? m->rows : m->width, m->width};
        AR_GO(ar_st_writer_declare(w, m->name, "F32", m->rows ? 2 : 1, dims));
    }
    AR_GO(ar_st_writer_begin(w, path));
    AR_GO(write_values(w, &l, seed, c->layers));
    AR_GO(ar_st_writer_finish(&w));
done:
    ar_st_writer_abort(&w);
    free(l.items);
    free(path);
    return status;
}

ar_status ar__train_start(const char *dir, const ar_train_arch *a) {
    ar_status status;
    cJSON *root = NULL;
    int64_t vocab = 0;
    ar_config *c = ar__alloc(1, sizeof *c);
    AR_GO(c ? AR_OK : AR_ERR_MEMORY);
    AR_GO(ar_dir_create(dir));
    AR_GO(take_tokenizer(&vocab, dir, a));
    AR_GO(make_config(&root, c, a, vocab));
    AR_GO(write_weights(dir, c, a->seed));
    AR_GO(ar__hf_write_json(dir, "config.json", root));
done:
    cJSON_Delete(root);
    free(c);
    return status;
}
