/* anyround info: tensors, types, sizes and configuration of any model we read. */
#include "program.h"
#include <cjson/cJSON.h>
#include <stdlib.h>

static void print_text(const char *path, const ar_open_model *m, const ar_common *common) {
    const ar_config *c = &m->config;
    char size[16];
    uint64_t total = 0;
    int64_t count = m->weights.vtable->count(m->weights.impl), elements = 0;
    printf("%s: %s, %d layers, hidden %lld, intermediate %lld, heads %d (kv %d) of %d, vocabulary %lld, context %d\n", path, c->family,
           (int)c->layers, (long long)c->hidden, (long long)c->intermediate, (int)c->heads, (int)c->kv_heads, (int)c->head_dim,
           (long long)c->vocab, (int)c->max_tokens);
    for (int64_t i = 0; i < count; i++) {
        const ar_weight *w = m->weights.vtable->at(m->weights.impl, i);
        int64_t n = 1;
        for (int32_t d = 0; d < w->dim_count; d++) n *= w->dims[d];
        total += w->file_bytes;
        elements += n;
        if (common->quiet) continue;
        printf("  %-52s %-12s (", w->name, w->type);
        for (int32_t d = 0; d < w->dim_count; d++) printf("%s%lld", d ? ", " : "", (long long)w->dims[d]);
        printf(")  %s\n", ar_program_bytes(size, sizeof size, w->file_bytes));
    }
    printf("%lld tensors, %lld weights, %s, %.3f bits per weight\n", (long long)count, (long long)elements,
           ar_program_bytes(size, sizeof size, total), elements ? 8.0 * (double)total / (double)elements : 0.0);
}

static cJSON *make_json(const char *path, const ar_open_model *m) {
    const ar_config *c = &m->config;
    cJSON *o = cJSON_CreateObject(), *tensors = cJSON_AddArrayToObject(o, "tensors");
    cJSON_AddStringToObject(o, "path", path);
    cJSON_AddStringToObject(o, "family", c->family);
    cJSON_AddNumberToObject(o, "layers", c->layers);
    cJSON_AddNumberToObject(o, "hidden", (double)c->hidden);
    cJSON_AddNumberToObject(o, "vocab", (double)c->vocab);
    cJSON_AddNumberToObject(o, "context", c->max_tokens);
    int64_t count = m->weights.vtable->count(m->weights.impl);
    for (int64_t i = 0; i < count; i++) {
        const ar_weight *w = m->weights.vtable->at(m->weights.impl, i);
        cJSON *t = cJSON_CreateObject(), *dims = cJSON_AddArrayToObject(t, "dims");
        cJSON_AddStringToObject(t, "name", w->name);
        cJSON_AddStringToObject(t, "type", w->type);
        for (int32_t d = 0; d < w->dim_count; d++) cJSON_AddItemToArray(dims, cJSON_CreateNumber((double)w->dims[d]));
        cJSON_AddNumberToObject(t, "bytes", (double)w->file_bytes);
        cJSON_AddItemToArray(tensors, t);
    }
    return o;
}

static ar_status run(const ar_command *self, int argc, char **argv) {
    ar_common common;
    int positional;
    AR_TRY(ar_args_parse(self, &common, NULL, 0, argc, argv, &positional, 1, 4096));
    if (common.help) return AR_OK;
    cJSON *list = common.json ? cJSON_CreateArray() : NULL;
    ar_status status = AR_OK;
    for (int i = 1; status == AR_OK && i <= positional; i++) {
        ar_open_model *m = NULL;
        status = ar_model_open(&m, argv[i]);
        if (status == AR_OK && list) cJSON_AddItemToArray(list, make_json(argv[i], m));
        if (status == AR_OK && !list) print_text(argv[i], m, &common);
        ar_model_close(m);
    }
    if (status == AR_OK && list) {
        char *text = cJSON_Print(list);
        if (text) puts(text);
        free(text);
    }
    cJSON_Delete(list);
    return status;
}

const ar_command ar__command_info = {"info", "tensors, types, sizes and configuration of model files", "MODEL… [options]", run};
