/* The recorded graph, shared by graph.c (recording), graph_build.c (running), graph_remake.c (what is made
 * once more), graph_saved.c (what is kept as fp16), graph_over.c (results in place), graph_plan.c
 * (memory, barriers), graph_grad.c (reverse mode) and gemm_pack.c (remembered packs); nobody else looks
 * inside. */
#ifndef AR_GRAPH_H
#define AR_GRAPH_H
#include "internal.h"

typedef struct ar__dispatch {
    ar__kernel_id kernel;
    uint32_t specs[AR_MAX_SPECS];
    ar__operand operands[AR_MAX_BINDINGS]; /* bytes are final: never 0 */
    uint32_t params[AR_MAX_PARAMS];
    uint32_t groups[3];
    int32_t phase; /* of the record: even ones go forward, odd ones backward */
    double flops, bytes;
} ar__dispatch;

typedef struct ar__graph_node {
    ar__backward_fn backward;
    _Alignas(16) unsigned char ctx[AR__NODE_BYTES];
} ar__graph_node;

/* A packed operand of ar__gemm: rows [row0, row0 + rows) and depths [k0, k0 + depth) of a matrix with pitch
 * ld whose rows run along k or across it, in panels of `tile` rows, f32 or (is_half) f16 or, brain,
 * bf16. */
typedef struct ar__pack {
    const ar_tensor *source;
    const ar_resident_weight *weights; /* or decoded from these; source is NULL then */
    ar_tensor *packed;
    ar_tensor *tops; /* (panels, slices): largest |x| of each slice of a panel, if is_scaled */
    int64_t row0, rows, k0, depth, ld;
    uint32_t tile;
    bool along_k;
    bool brain;              /* rounded to bf16 */
    bool is_half, is_scaled; /* panels of f16 are, those of f32 are going to be */
} ar__pack;

/* A device tensor that ops made for themselves, found again by its key. */
typedef struct ar__constant {
    ar_tensor *t;
    uint64_t key[4];
} ar__constant;

struct ar_graph {
    ar_device *device;
    ar_tensor **tensors; /* owned; tensors[i]->id == i */
    int32_t tensor_count, tensor_capacity;
    ar__dispatch *dispatches;
    int32_t dispatch_count, dispatch_capacity;
    int32_t phase;         /* of what is recorded next */
    ar__graph_node *nodes; /* recorded since the last backward */
    int32_t node_count, node_capacity;
    ar__pack *packs;
    int32_t pack_count, pack_capacity;
    ar_tensor **leaves; /* device tensors whose gradient lives here; borrowed */
    int32_t leaf_count, leaf_capacity;
    ar__constant *constants; /* owned */
    int32_t constant_count, constant_capacity;
    ar__slice *arenas; /* block NULL: another graph's */
    int32_t arena_count;
    const ar_graph *lender; /* NULL = nobody */
    ar__stream *stream;
    bool built;
    ar_graph_stats stats;
};

/* Room for one more item in a growing array (graph_grow.c). Errors: MEMORY. */
ar_status ar__graph_grow(void **items, int32_t *capacity, int32_t count, size_t item_bytes);

/* The record's next dispatch. Errors: MEMORY. */
ar_status ar__graph_append(ar_graph *g, const ar__dispatch *d);
/* Whether b, recorded behind a, is of the same op: the same kernel over the same tensors, further on. */
bool ar__goes_on(const ar__dispatch *a, const ar__dispatch *b);

/* A device tensor's gradient leaves its graph's list: the tensor is destroyed or another graph takes over
 * (tensor.c). */
void ar__leaf_forget(ar_tensor *t);

/* A tensor without memory (tensor.c); graph NULL = device tensor. */
ar_status ar__tensor_make(ar_tensor **t, ar_device *device, ar_graph *graph, ar_dtype dtype,
                          int32_t dim_count, const int64_t *dims);

/* What is recorded in that phase goes forward, or is what a backward records of a forward once more. */
static inline bool ar__is_forward(int32_t phase) { return phase % 2 == 0; }

/* ---- graph_remake.c ---- */

/* Puts what is cheaply made once more for the backward into the finished record. Errors: MEMORY. */
ar_status ar__graph_remake(ar_graph *g);

/* ---- graph_over.c ---- */

/* Puts results into the place of what they are made of, before memory is planned. Errors: MEMORY. */
ar_status ar__graph_over(ar_graph *g);

/* Whether a result of the kernel may lie over that operand. */
bool ar__graph_lies_over(ar__kernel_id kernel, int32_t operand);

/* ---- graph_saved.c ---- */

/* Whether what a forward leaves for its backward is kept as fp16. */
bool ar__graph_saves(const ar_graph *g);
/* Puts that into the finished record, before memory is planned. Errors: MEMORY; those of emission. */
ar_status ar__graph_save(ar_graph *g);

/* ---- kernel.c ---- */

/* Makes the pipelines that these dispatches want and the device has not, all at once where the driver takes
 * less for that. */
ar_status ar__pipelines_make(ar_device *device, const ar__dispatch *dispatches, int32_t count);

/* ---- graph_plan.c ---- */

/* One tensor to place: needs `bytes` while [first, last] runs. place() sets arena and offset so that no two
 * tensors alive at once overlap and no arena passes max_bytes. */
typedef struct ar__placement {
    uint64_t bytes, offset;
    int32_t first, last, arena;
} ar__placement;
/* arena_bytes (capacity count) receives each arena's size. Pure. Errors: MEMORY, DEVICE_MEMORY. */
ar_status ar__place(ar__placement *items, int32_t count, uint64_t align, uint64_t max_bytes,
                    uint64_t *arena_bytes, int32_t *arena_count);
/* Lifetimes, arenas and the slices of all graph tensors. */
ar_status ar__graph_plan_memory(ar_graph *g);
/* Sets commands[i].barrier from the kernels' declared accesses to byte ranges; returns how many. */
ar_status ar__graph_barriers(ar__command *commands, int32_t count, int32_t *barriers);
#endif
