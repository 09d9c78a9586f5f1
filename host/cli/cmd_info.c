/* anyround info: tensors, types, sizes, configuration and metadata of any model we read, and what lies in a
 * .safetensors file by itself, or in a GGUF file that is no model. */
#include "fmt_packed.h"
#include "info_metadata.h"
#include "info_nets.h"
#include "info_tensors.h"
#include "place.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

/* ---- a .safetensors file ---- */

static bool is_bare(const char *path) { return ar__path_ends(path, ".safetensors") && !ar_path_is_dir(path); }

/* Elements may be words of packed weights: bits of one say nothing. */
static void print_elements(const info_sum *sum) {
    char size[16];
    printf("%lld tensors, %lld elements, %s\n", (long long)sum->count, (long long)sum->elements,
           ar_program_bytes(size, sizeof size, sum->bytes));
}

static ar_status show_bare(const char *path, const ar_common *common, cJSON *list) {
    ar_safetensors *st = NULL;
    cJSON *o = NULL, *tensors = NULL;
    info_sum sum = {0};
    ar_status status = ar_safetensors_open(&st, path);
    if (status == AR_OK && list) status = ar_info_add_object(list, &o, &tensors, path);
    if (status == AR_OK && !list) printf("%s: a safetensors file\n", path);
    if (status == AR_OK) {
        cJSON *metadata = cJSON_CreateObject();
        status = ar_info_add_safetensors(metadata, st);
        if (status == AR_OK && !list && !common->quiet) status = ar_info_print_metadata(metadata);
        if (list)
            ar_json_put(o, "metadata", metadata);
        else
            cJSON_Delete(metadata);
    }
    for (int64_t i = 0; status == AR_OK && i < ar_safetensors_count(st); i++) {
        const ar_st_tensor *t = ar_safetensors_at(st, i);
        if (list)
            ar_info_add_tensor(tensors, t->name, t->dtype, t->dim_count, t->dims, t->bytes);
        else
            ar_info_print_tensor(&sum, t->name, t->dtype, t->dim_count, t->dims, t->bytes, common);
    }
    if (status == AR_OK && !list) print_elements(&sum);
    ar_safetensors_close(st);
    return status;
}

/* ---- a GGUF file that is no model ---- */

/* Its general.type, which an adapter and an importance matrix say of themselves; empty for a model, and for
 * what is not read. */
static void find_kind(char *kind, size_t bytes, const char *path) {
    ar_file file = {0};
    ar__gguf g = {0};
    const char *text;
    size_t length;
    *kind = '\0';
    if (!ar_path_is_dir(path) && ar_path_exists(path) && ar__gguf_map(&g, &file, path) == AR_OK &&
        ar__gguf_text(&text, &length, &g, "general.type") == AR_OK && text &&
        !ar__gguf_text_is(text, length, "model"))
        snprintf(kind, bytes, "%.*s", (int)(length < bytes ? length : bytes - 1), text);
    ar_program_one_line(kind);
    ar__gguf_deinit(&g);
    ar_file_close(&file);
}

static void list_gguf(cJSON *tensors, info_sum *sum, const ar__gguf *g, const ar_common *common) {
    for (int64_t i = 0; i < g->tensor_count; i++) {
        const ar__gguf_tensor *t = &g->tensors[i];
        char name[AR__GGUF_NAME];
        snprintf(name, sizeof name, "%.*s", (int)t->name_bytes, t->name);
        if (tensors)
            ar_info_add_tensor(tensors, name, t->type->name, t->dim_count, t->dims, t->bytes);
        else
            ar_info_print_tensor(sum, name, t->type->name, t->dim_count, t->dims, t->bytes, common);
    }
}

static ar_status show_part(const char *path, const char *kind, const ar_common *common, cJSON *list) {
    ar_file file = {0};
    ar__gguf g = {0};
    info_sum sum = {0};
    cJSON *o = NULL, *tensors = NULL, *metadata = cJSON_CreateObject();
    ar_status status = ar__gguf_map(&g, &file, path);
    if (status == AR_OK) status = ar_info_add_gguf(metadata, &g);
    if (status == AR_OK && list) status = ar_info_add_object(list, &o, &tensors, path);
    if (status == AR_OK && list) {
        ar_json_put(o, "metadata", metadata);
        metadata = NULL;
    }
    if (status == AR_OK && !list) printf("%s: a GGUF file, %s\n", path, kind);
    if (status == AR_OK && !list && !common->quiet) status = ar_info_print_metadata(metadata);
    if (status == AR_OK) list_gguf(tensors, &sum, &g, common);
    if (status == AR_OK && !list) print_elements(&sum);
    cJSON_Delete(metadata);
    ar__gguf_deinit(&g);
    ar_file_close(&file);
    return status;
}

/* ---- a model ---- */

/* A packed folder's quantization settings; c->json stays NULL where there are none. */
static ar_status read_packed(ar_packed_config *c, const ar_open_model *m) {
    bool packed = false;
    if (!ar_path_is_dir(m->path)) return AR_OK;
    AR_TRY(ar__packed_config_find(&packed, m->path));
    return packed ? ar__packed_config_open(c, m->path) : AR_OK;
}

static void print_packed(const ar_packed_config *c) {
    const ar_packed_scheme *s = &c->scheme;
    printf("quantization: %s, %d bits, ", c->method, (int)s->bits);
    if (s->group > 0)
        printf("groups of %d", (int)s->group);
    else
        printf("whole rows");
    printf(", %s%s", s->sym ? "symmetric" : "asymmetric", c->desc_act ? ", inputs in activation order" : "");
    if (c->override_count > 0) printf(", %d layers or patterns of their own", (int)c->override_count);
    putchar('\n');
}

static void add_packed(cJSON *o, const ar_packed_config *c) {
    cJSON *q = ar_json_add_object(o, "quantization");
    ar_json_add_string(q, "method", c->method);
    ar_json_add_number(q, "bits", c->scheme.bits);
    ar_json_add_number(q, "group", c->scheme.group);
    ar_json_add_bool(q, "sym", c->scheme.sym);
    ar_json_add_bool(q, "desc_act", c->desc_act);
    ar_json_add_number(q, "overrides", c->override_count);
}

static int32_t sliding_count(const ar_config *c) {
    int32_t count = 0;
    for (int32_t i = 0; i < c->layers; i++) count += ar_config_window(c, i) > 0;
    return count;
}

static ar_status print_text(const char *path, const ar_open_model *m, const ar_packed_config *packed,
                            const cJSON *metadata, const ar_common *common) {
    const ar_config *c = &m->config;
    info_sum sum = {0};
    int64_t count = m->weights.vtable->count(m->weights.impl);
    printf("%s: %s, %d layers, hidden %lld, intermediate %lld, heads %d (kv %d) of %d, vocabulary %lld, "
           "context %d",
           path, c->family, (int)c->layers, (long long)c->hidden, (long long)c->intermediate, (int)c->heads,
           (int)c->kv_heads, (int)c->head_dim, (long long)c->vocab, (int)c->max_tokens);
    if (c->window > 0) printf(", window %d in %d layers", (int)c->window, (int)sliding_count(c));
    printf("\n");
    if (packed->json) print_packed(packed);
    if (!common->quiet) AR_TRY(ar_info_print_metadata(metadata));
    for (int64_t i = 0; i < count; i++) {
        const ar_weight *w = m->weights.vtable->at(m->weights.impl, i);
        ar_info_print_tensor(&sum, w->name, w->type, w->dim_count, w->dims, w->file_bytes, common);
    }
    ar_info_print_sum(&sum);
    return AR_OK;
}

/* Takes the metadata over. */
static ar_status list_json(cJSON *list, const char *path, const ar_open_model *m,
                           const ar_packed_config *packed, cJSON **metadata) {
    const ar_config *c = &m->config;
    cJSON *o = NULL, *tensors = NULL;
    AR_TRY(ar_info_add_object(list, &o, &tensors, path));
    ar_json_add_string(o, "family", c->family);
    ar_json_add_number(o, "layers", c->layers);
    ar_json_add_number(o, "hidden", (double)c->hidden);
    ar_json_add_number(o, "vocab", (double)c->vocab);
    ar_json_add_number(o, "context", c->max_tokens);
    ar_json_add_number(o, "window", c->window);
    ar_json_add_number(o, "sliding_layers", sliding_count(c));
    if (packed->json) add_packed(o, packed);
    ar_json_put(o, "metadata", *metadata);
    *metadata = NULL;
    for (int64_t i = 0; i < m->weights.vtable->count(m->weights.impl); i++) {
        const ar_weight *w = m->weights.vtable->at(m->weights.impl, i);
        ar_info_add_tensor(tensors, w->name, w->type, w->dim_count, w->dims, w->file_bytes);
    }
    return AR_OK;
}

static ar_status show_model(const char *path, const ar_common *common, cJSON *list) {
    ar_open_model *m = NULL;
    ar_packed_config packed = {0};
    cJSON *metadata = NULL;
    ar_status status = ar_program_model(&m, path, common);
    if (status == AR_OK) status = read_packed(&packed, m);
    if (status == AR_OK) status = ar_info_metadata(&metadata, m);
    if (status == AR_OK && list) status = list_json(list, path, m, &packed, &metadata);
    if (status == AR_OK && !list) status = print_text(path, m, &packed, metadata, common);
    cJSON_Delete(metadata);
    ar__packed_config_close(&packed);
    ar_model_close(m);
    return status;
}

static ar_status run(const ar_command *self, int argc, char **argv) {
    ar_common common;
    int positional;
    AR_TRY(ar_args_parse(self, &common, NULL, 0, argc, argv, &positional, 1, 4096));
    if (common.help) return AR_OK;
    cJSON *list = common.json ? cJSON_CreateArray() : NULL;
    if (common.json && !list) return ar__fail(AR_ERR_MEMORY, "no memory for a list");
    ar_status status = AR_OK;
    for (int i = 1; status == AR_OK && i <= positional; i++) {
        char kind[64];
        find_kind(kind, sizeof kind, argv[i]);
        status = kind[0] ? show_part(argv[i], kind, &common, list)
                         : (is_bare(argv[i])          ? show_bare
                            : ar_info_is_net(argv[i]) ? ar_info_net
                                                      : show_model)(argv[i], &common, list);
    }
    if (status == AR_OK && list) status = ar_program_json(list, true);
    cJSON_Delete(list);
    return status;
}

const ar_command ar__command_info = {"info",
                                     "tensors, types, sizes, configuration and metadata of model files",
                                     "MODEL|FILE.safetensors|FILE.gguf… [options]", run};
