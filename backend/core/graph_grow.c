/* The arrays of a graph, which grow while it is recorded and planned. */
#include "graph.h"
#include <stdlib.h>
#include <string.h>

ar_status ar__graph_grow(void **items, int32_t *capacity, int32_t count, size_t item_bytes) {
    if (count < *capacity) return AR_OK;
    int32_t wanted = *capacity ? *capacity * 2 : 16;
    void *grown = ar__alloc((size_t)wanted, item_bytes);
    if (!grown) return AR_ERR_MEMORY;
    if (count) memcpy(grown, *items, (size_t)count * item_bytes);
    free(*items);
    *items = grown;
    *capacity = wanted;
    return AR_OK;
}
