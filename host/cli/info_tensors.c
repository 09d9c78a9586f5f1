/* Tensors as anyround info lists them; see info_tensors.h. */
#include "info_tensors.h"
#include "tokenizer.h"
#include <stdlib.h>
#include <string.h>

void ar_info_print_tensor(info_sum *c, const char *name, const char *type, int32_t dim_count,
                          const int64_t *dims, uint64_t bytes, const ar_common *common) {
    char size[16], shown[256];
    int64_t n = 1;
    for (int32_t d = 0; d < dim_count; d++) n *= dims[d];
    snprintf(shown, sizeof shown, "%s", name);
    ar_program_one_line(shown);
    c->count++;
    c->elements += n;
    c->bytes += bytes;
    if (common->quiet) return;
    printf("  %-52s %-12s (", shown, type);
    for (int32_t d = 0; d < dim_count; d++) printf("%s%lld", d ? ", " : "", (long long)dims[d]);
    printf(")  %s\n", ar_program_bytes(size, sizeof size, bytes));
}

void ar_info_print_sum(const info_sum *c) {
    char size[16];
    printf("%lld tensors, %lld weights, %s, %.3f bits per weight\n", (long long)c->count,
           (long long)c->elements, ar_program_bytes(size, sizeof size, c->bytes),
           c->elements ? 8.0 * (double)c->bytes / (double)c->elements : 0.0);
}

void ar_info_add_tensor(cJSON *tensors, const char *name, const char *type, int32_t dim_count,
                        const int64_t *dims, uint64_t bytes) {
    cJSON *t = cJSON_CreateObject(), *list = ar_json_add_list(t, "dims");
    ar_json_add_string(t, "name", name);
    ar_json_add_string(t, "type", type);
    for (int32_t d = 0; d < dim_count; d++) ar_json_push(list, cJSON_CreateNumber((double)dims[d]));
    ar_json_add_number(t, "bytes", (double)bytes);
    ar_json_push(tensors, t);
}

ar_status ar_info_add_object(cJSON *list, cJSON **o, cJSON **tensors, const char *path) {
    char *text = NULL;
    AR_TRY(ar__utf8_repair(&text, path, strlen(path)));
    *o = ar_json_push(list, cJSON_CreateObject());
    *tensors = ar_json_add_list(*o, "tensors");
    ar_json_add_string(*o, "path", text);
    free(text);
    return AR_OK;
}
