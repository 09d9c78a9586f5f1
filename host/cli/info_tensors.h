/* Of anyround info: tensors of a model, a net or a bare file, as lines or in a list of JSON. */
#ifndef AR_INFO_TENSORS_H
#define AR_INFO_TENSORS_H
#include "program.h"
#include <cjson/cJSON.h>

/* What was listed so far. */
typedef struct info_sum {
    int64_t count, elements;
    uint64_t bytes;
} info_sum;
/* A line, unless it is to be quiet; adds to the sum. */
void ar_info_print_tensor(info_sum *sum, const char *name, const char *type, int32_t dim_count,
                          const int64_t *dims, uint64_t bytes, const ar_common *common);
/* Tensors, weights, bytes, bits per weight. */
void ar_info_print_sum(const info_sum *sum);
void ar_info_add_tensor(cJSON *tensors, const char *name, const char *type, int32_t dim_count,
                        const int64_t *dims, uint64_t bytes);
/* A new object of the list with the path, which may be any bytes, and room for tensors. Errors: MEMORY. */
ar_status ar_info_add_object(cJSON *list, cJSON **o, cJSON **tensors, const char *path);
#endif
