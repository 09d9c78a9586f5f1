/* The arrays of a graph, which grow while it is recorded and planned, and which of its launches are one op's.
 */
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

ar_status ar__graph_append(ar_graph *g, const ar__dispatch *d) {
    AR_TRY(ar__graph_grow((void **)&g->dispatches, &g->dispatch_capacity, g->dispatch_count,
                          sizeof *g->dispatches));
    g->dispatches[g->dispatch_count++] = *d;
    return AR_OK;
}

bool ar__goes_on(const ar__dispatch *a, const ar__dispatch *b) {
    bool moves = false;
    if (a->kernel != b->kernel || a->phase != b->phase) return false;
    for (int32_t j = 0; j < ar__kernels[a->kernel].binding_count; j++) {
        const ar__operand *from = &a->operands[j], *to = &b->operands[j];
        if (from->t != to->t || from->offset > to->offset) return false;
        moves = moves || from->offset < to->offset;
    }
    return moves;
}
