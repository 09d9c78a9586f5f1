/* Reading a language model with products of few states: its config.json as the Llama's that it began as, and
 * params.safetensors as that one's weights, so that its family binds them. */
#include "family.h"
#include "hf_folder.h"
#include "states_folder.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAMILY     "llama"
#define JSON_BYTES ((size_t)1 << 20)

bool ar__states_lm_is(const char *path) { return ar__hf_is_type(path, AR__STATES_LM); }

/* ---- config.json ---- */

static ar_status read_states(ar_lm_states_desc *d, int32_t *T, const ar_json *root, const char *what) {
    bool standardized, surrogates;
    int64_t mw, ma, tokens;
    *d = (ar_lm_states_desc){0};
    AR_TRY(ar_json_int(&mw, root, "weight_states", 0, 256, what));
    AR_TRY(ar_json_int(&ma, root, "activation_states", 0, 256, what));
    AR_TRY(ar_json_int(&tokens, root, "tokens_of_an_example", 1, INT32_MAX, what));
    AR_TRY(ar_json_bool_or(&standardized, root, "standardized", true, what));
    AR_TRY(ar_json_bool_or(&surrogates, root, "surrogates", true, what));
    if (mw == 1 || ma == 1)
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found 1, expected 2 to 256, or 0 for floats", what,
                        mw == 1 ? "weight_states" : "activation_states");
    d->mw = (int32_t)mw, d->ma = (int32_t)ma, *T = (int32_t)tokens;
    d->raw = !standardized, d->plain = !surrogates;
    return ar__states_stats_read(&d->stats, root, what);
}

/* The root as a Llama's. */
static ar_status read_family(ar_config *c, ar_json *root, const char *what) {
    char *text = NULL;
    cJSON_DeleteItemFromObject(root, "model_type");
    ar_json_add_string(root, "model_type", FAMILY);
    AR_TRY(ar_json_print(&text, root, false, what));
    ar_status status = ar_config_parse(c, text, strlen(text), what);
    free(text);
    return status;
}

ar_status ar__states_lm_config(ar_config *c, ar_lm_states_desc *desc, int32_t *T, const char *path) {
    ar_status status;
    char *config = NULL;
    ar_json *root = NULL;
    AR_GO(ar_path_join(&config, path, "config.json"));
    AR_GO(ar_json_open(&root, config, JSON_BYTES));
    AR_GO(read_states(desc, T, root, config));
    AR_GO(read_family(c, root, config));
    if (*T > c->max_tokens)
        AR_GO(ar__fail(AR_ERR_FORMAT, "%s: tokens_of_an_example: found %d, expected at most the %d it knows",
                       config, (int)*T, (int)c->max_tokens));
done:
    ar_json_close(root);
    free(config);
    return status;
}

/* ---- params.safetensors as weights ---- */

typedef struct item {
    ar_weight weight;
    char name[AR_HF_NAME];
    const uint8_t *data; /* f32, at any alignment; NULL: ones */
} item;
typedef struct params {
    ar_safetensors *st;
    item *items;
    int64_t count;
} params;

static void close_params(void *impl) {
    params *p = impl;
    ar_safetensors_close(p->st);
    free(p->items);
    free(p);
}

static int64_t count_params(const void *impl) { return ((const params *)impl)->count; }

static const ar_weight *param_at(const void *impl, int64_t i) {
    return &((const params *)impl)->items[i].weight;
}

static ar_status read_param(const void *impl, float *dst, int64_t i, int64_t row, int64_t rows) {
    const item *t = &((const params *)impl)->items[i];
    int64_t width = t->weight.dims[t->weight.dim_count - 1];
    if (rows > 0 && t->data)
        memcpy(dst, t->data + (size_t)(row * width) * sizeof *dst, (size_t)(rows * width) * sizeof *dst);
    for (int64_t k = 0; !t->data && k < rows * width; k++) dst[k] = 1;
    return AR_OK;
}

static const ar_weights_vtable vtable = {
    .close = close_params, .count = count_params, .at = param_at, .read = read_param};

/* What stands around a product is the net's alone. */
static bool is_of_states(const char *name) {
    static const char *const ends[] = {".in_gain", ".in_shift", ".running", ".gain", ".shift"};
    size_t bytes = strlen(name);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t end = strlen(ends[i]);
        if (bytes > end && strcmp(name + bytes - end, ends[i]) == 0) return true;
    }
    return false;
}

static void name_param(char out[AR_HF_NAME], const char *name) {
    const ar__names *n = &ar__llama_names;
    if (strcmp(name, AR_PARAM_EMBEDDING) == 0)
        snprintf(out, AR_HF_NAME, "%s%s.weight", n->prefixes[0], n->embedding);
    else if (strcmp(name, AR_PARAM_FINAL_NORM) == 0)
        snprintf(out, AR_HF_NAME, "%s%s.weight", n->prefixes[0], n->final_norm.name);
    else if (strcmp(name, AR_PARAM_HEAD) == 0)
        snprintf(out, AR_HF_NAME, "%s.weight", n->head);
    else
        snprintf(out, AR_HF_NAME, "%s", name);
}

static ar_status add_param(params *p, const ar_st_tensor *t, const char *path) {
    item *i = &p->items[p->count];
    if (is_of_states(t->name)) return AR_OK;
    if (strcmp(t->dtype, "F32") != 0 || t->dim_count < 1 || t->dim_count > 2)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found %s of %d dims, expected F32 of 1 or 2", path,
                        t->name, t->dtype, (int)t->dim_count);
    name_param(i->name, t->name);
    i->weight =
        (ar_weight){.name = i->name, .type = "F32", .dim_count = t->dim_count, .file_bytes = t->bytes};
    for (int32_t d = 0; d < t->dim_count; d++) i->weight.dims[d] = t->dims[d];
    i->data = t->data;
    p->count++;
    return AR_OK;
}

static void add_norms(params *p, const ar_config *c, int32_t index) {
    ar__layout layout = {0};
    ar__family_of(c)->block(&layout, c, index);
    for (int32_t j = 0; j < layout.norm_count; j++) {
        item *i = &p->items[p->count++];
        snprintf(i->name, sizeof i->name, "%s%s.%d.%s.weight", ar__llama_names.prefixes[0],
                 ar__llama_names.layers, (int)index, layout.norms[j].name);
        i->weight = (ar_weight){.name = i->name, .type = "F32", .dim_count = 1, .dims = {layout.norms[j].I}};
    }
}

ar_status ar__states_lm_weights(ar_weights *w, const ar_config *c, const char *path) {
    ar_status status;
    char *file = NULL;
    params *p = ar__alloc(1, sizeof *p);
    AR_GO(p ? AR_OK : AR_ERR_MEMORY);
    AR_GO(ar_path_join(&file, path, AR__STATES_PARAMS));
    AR_GO(ar_safetensors_open(&p->st, file));
    int64_t count = ar_safetensors_count(p->st);
    p->items = ar__alloc((size_t)(count + c->layers * AR_MAX_NORMS), sizeof *p->items);
    AR_GO(p->items ? AR_OK : AR_ERR_MEMORY);
    for (int64_t i = 0; i < count; i++) AR_GO(add_param(p, ar_safetensors_at(p->st, i), file));
    for (int32_t i = 0; i < c->layers; i++) add_norms(p, c, i);
    *w = (ar_weights){.vtable = &vtable, .impl = p};
    p = NULL;
done:
    if (p) close_params(p);
    free(file);
    return status;
}

/* ---- the net ---- */

ar_status ar__states_lm_net(ar_net **net, const ar_open_model *m, const ar_lm_states_desc *desc, int32_t T,
                            ar_device *device) {
    const ar_lm_desc lm = {.T = T, .states = desc};
    AR_TRY(ar_net_lm_create(net, &m->model, device, &lm));
    ar_status status = ar__states_params_read(*net, m->path);
    if (status != AR_OK) ar_net_destroy(*net);
    if (status != AR_OK) *net = NULL;
    return status;
}
