/* Shared inside backend/: memory, tensors, kernel registry, command emission. */
#ifndef AR_INTERNAL_H
#define AR_INTERNAL_H
#include "ar_backend.h"
#include "ar_error.h"
#include "driver.h"

/* ---- kernel.c ---- */

typedef enum ar__kernel_id {
#define AR_KERNEL(name) AR_K_##name,
#include "kernels.def"
#undef AR_KERNEL
#define AR_FAMILY(name)
#define AR_VARIANT(family, kernel, needs, least, most, shared, liked_by, why) AR_K_##kernel,
#include "variants.def"
#undef AR_VARIANT
#undef AR_FAMILY
    AR_K_COUNT
} ar__kernel_id;
extern const ar__kernel ar__kernels[AR_K_COUNT]; /* generated */

/* Families of kernels that do the same work; plan.variants[family] is the kernel to emit (variant.c). */
typedef enum ar__family_id {
#define AR_FAMILY(name) AR_F_##name,
#define AR_VARIANT(family, kernel, needs, least, most, shared, liked_by, why)
#include "variants.def"
#undef AR_VARIANT
#undef AR_FAMILY
    AR_F_COUNT
} ar__family_id;
/* What is recorded in one of two ways; a bit of plan.ways says that it is the first. */
typedef enum ar__way_id {
#define AR_WAY(way, first, second, liked_by, why_first, why_second) AR_W_##way,
#include "ways.def"
#undef AR_WAY
    AR_W_COUNT
} ar__way_id;
_Static_assert((int)AR_F_COUNT + (int)AR_W_COUNT <= AR_MAX_FAMILIES, "room for every family and way");

/* settle.c: has the kernel of a way's first choice tried before the way is taken; where it fails, or computes
 * otherwise than the second does, the plan takes that. Errors: DEVICE_LOST, MEMORY; any, if it was asked for.
 */
ar_status ar__way_settle(ar_device *device, ar__way_id way, ar__kernel_id kernel);
/* The pipeline for these specialization values (spec_count words, in SPEC order), made on first use. */
ar_status ar__pipeline_get(ar_device *device, const ar__pipeline **pipeline, ar__kernel_id id,
                           const uint32_t *specs);

/* ---- settle.c ---- */

/* Asked by an op before it looks at plan.variants[family] and what goes with it: a variant of which the
 * device's checker finds that it fails or computes wrongly gives way to the next one that the device can run
 * and likes, and a reason is added to the plan. Nothing happens to one that was asked for by name, or on a
 * device without a checker. Errors: those of trying what was asked for; DEVICE_LOST, MEMORY. */
ar_status ar__variant_settle(ar_device *device, ar__family_id family);

/* ---- plan.c ---- */

/* Whether the host reaches tensors where they are, by the device's kind and Vulkan's memory types: no card
 * with memory of its own, and a type that is device-local, visible and coherent in the largest device-local
 * heap. */
bool ar__memory_is_unified(const ar_device_facts *facts);
/* The best type, of those in the bit mask, for tensors or for the staging buffer; -1: none will do. */
int32_t ar__memory_type(const ar_device_facts *facts, uint32_t allowed, bool staging);

/* ---- memory.c: sub-allocation under the budget ---- */

typedef struct ar__slice {
    ar__buffer *buffer;
    uint64_t offset, bytes;
    void *block;
} ar__slice;
/* Offsets are multiples of the plan's offset_align (at least 256). Errors: DEVICE_MEMORY. */
ar_status ar__memory_alloc(ar_device *device, ar__slice *slice, uint64_t bytes);
void ar__memory_free(ar_device *device, ar__slice *slice);

/* ---- device.c ---- */

typedef struct ar__memory ar__memory;
typedef struct ar__pipelines ar__pipelines;
typedef struct ar__checker ar__checker; /* selftest/check.c */
struct ar_device {
    const ar__driver *driver;
    ar__drv *drv;
    ar_device_facts facts;
    ar_plan plan;
    ar_memory_stats memory_stats;
    ar__memory *memory;
    ar__pipelines *pipelines;
    bool is_twin; /* driver's device and pipelines are another's */
    /* Asked before a pipeline of the kernel is used; NULL = nobody asks. */
    ar_status (*first_use)(ar__checker *checker, ar_device *device, ar__kernel_id kernel);
    void (*checker_close)(ar__checker *checker); /* NULL = it is another's */
    ar__checker *checker;
    void (*watch)(void *ctx, const ar_graph *graph); /* NULL = nobody */
    void *watch_ctx;
    uint32_t settled; /* bits: families whose variant was tried (settle.c) */
    ar_tensor *turn;  /* ar__device_turn; NULL = none yet */
};

/* A number (i32, 1) that is 0 between launches: groups that share out a launch's work count in it, and the
 * last one puts it back. Made at the first call. Errors: MEMORY, DEVICE_MEMORY. */
ar_status ar__device_turn(ar_device *device, const ar_tensor **turn);

/* The same open device with memory and a budget of its own, to be closed before `device` is. Errors: MEMORY.
 */
ar_status ar__device_twin(ar_device **twin, const ar_device *device, uint64_t budget);

/* ---- tensor.c, graph.c ---- */

/* A contribution dy^T x to the gradient of t that is not recorded yet; make records it in `grad`. */
typedef struct ar__product {
    const ar_tensor *dy, *x;
    ar_status (*make)(ar_graph *g, ar_tensor *grad, const ar_tensor *dy, const ar_tensor *x);
} ar__product;

struct ar_tensor {
    ar_device *device;
    ar_graph *graph; /* NULL for a device tensor */
    ar_dtype dtype;
    int32_t dim_count;
    int64_t dims[AR_MAX_DIMS];
    ar__slice slice; /* set at creation, or for graph tensors by ar_graph_build */
    bool needs_grad, keep;
    ar_tensor *grad;     /* made by ar_graph_backward */
    bool grad_written;   /* a first contribution exists: the next one accumulates */
    bool takes_product;  /* whoever waits for its gradient may do with the product that makes it */
    ar__product later;   /* which is to be made should another contribution follow; make is NULL: none */
    int32_t id;          /* position in the graph's list; -1 for device tensors */
    int32_t first, last; /* lifetime in command indices (graph.c) */
};

/* Refuses a tensor that is not of this dtype (DTYPE) and shape (SHAPE); a dim of -1 is any. `name` is the
 * op's and operand's, as "linear W". */
ar_status ar__expect(const char *name, const ar_tensor *t, ar_dtype dtype, int32_t dim_count,
                     const int64_t *dims);

/* Bytes a tensor occupies and a whole-tensor operand binds: padded to 64, so that a kernel may touch the last
 * vector or word whole. What lies in the padding is undefined. */
uint64_t ar__tensor_bytes(const ar_tensor *t);
/* Writes zeros behind the data of t, which has its memory, if the plan says so. Kernels may touch the last
 * vector of a tensor whole, so what stands there is read, but means nothing. */
ar_status ar__clear_padding(const ar_tensor *t);

/* One operand of a kernel: a tensor, or a byte range of it (bytes 0 = all). */
typedef struct ar__operand {
    const ar_tensor *t;
    uint64_t offset, bytes;
} ar__operand;

typedef struct ar__emit_desc {
    ar__kernel_id kernel;
    uint32_t specs[AR_MAX_SPECS]; /* all of them, in SPEC order; [0] WGX, [1] WGY */
    ar__operand operands[AR_MAX_BINDINGS];
    const void *params;  /* param_count 4-byte scalars, in P order */
    uint32_t groups[3];  /* 0 counts as 1; any 0-sized work must not be emitted */
    double flops, bytes; /* for estimates and benches */
} ar__emit_desc;
/* Appends one dispatch. Operand count and access come from the kernel's own declaration. */
ar_status ar__emit(ar_graph *g, const ar__emit_desc *desc);
/* Milliseconds that the plan's rates give work of that size: the longer of computing and moving. */
double ar__estimate_ms(const ar_plan *plan, double flops, double bytes);
/* How many of `units` equal units one launch takes so that its estimate stays within plan.submit_ms: all, or
 * equal shares in whole steps, at least one step. flops and bytes are those of all units. Bounds a launch,
 * which no driver can cut; drivers cut between launches. */
int64_t ar__launch_units(const ar_plan *plan, int64_t units, int64_t step, double flops, double bytes);
/* A walk over `units` things in parts of at most `most` (above 0), in order:
 *   for (ar__cut c = ar__cut_into(units, most); ar__cut_next(&c);)   uses [c.first, c.first + c.count)
 * A body that handles fewer says so with c.count = what it handled; the next part starts there. Everything
 * that is emitted in several launches is cut by it, so that parts never overlap and none is left out. */
typedef struct ar__cut {
    int64_t units, most, first, count;
} ar__cut;
static inline ar__cut ar__cut_into(int64_t units, int64_t most) {
    return (ar__cut){.units = units, .most = most};
}
static inline bool ar__cut_next(ar__cut *c) {
    c->first += c->count;
    int64_t left = c->units - c->first;
    c->count = left < c->most ? left : c->most;
    return left > 0;
}
static inline bool ar__cut_is_last(const ar__cut *c) { return c->first + c->count == c->units; }
/* The parts that ar__launch_units gives. */
static inline ar__cut ar__cut_by_time(const ar_plan *plan, int64_t units, int64_t step, double flops,
                                      double bytes) {
    return ar__cut_into(units, ar__launch_units(plan, units, step, flops, bytes));
}

/* Appends desc over `units` equal units (elements, rows, groups, …), cut so that no binding passes
 * plan.piece_bytes, no launch 2^31 items, and no estimate plan.submit_ms. Operands in the bit mask `split`
 * hold `units` equal slices and are bound by slice; the others whole. Word 0 of params must be a uint: it
 * receives the chunk's unit count; with pass_start word 1 receives the first unit. desc->groups are ignored:
 * a chunk runs ceil(units / units_per_item) * items_per_unit items in 1-D groups of specs[0] (items_per_unit
 * = specs[0] makes one group per unit), or fixed_items whatever its units (a reduction over units; chunks run
 * in order). No units: nothing is emitted. flops and bytes are those of all units. */
typedef struct ar__split {
    int64_t units;
    uint32_t split;
    uint32_t items_per_unit, units_per_item; /* 0 counts as 1 */
    uint32_t fixed_items;                    /* 0 = none */
    bool pass_start;
} ar__split;
ar_status ar__emit_split(ar_graph *g, const ar__emit_desc *desc, const ar__split *split);
/* Groups for a 1-D kernel of `items` work items with `wg` per group, folded so that no axis passes the limit;
 * such kernels use GLIN/WLIN and check the bound themselves. */
void ar__groups_1d(const ar_device *device, uint32_t groups[3], uint64_t items, uint32_t wg);

/* t = value everywhere (f32). Nothing for an empty tensor. */
ar_status ar__emit_fill(ar_graph *g, ar_tensor *t, float value);

/* Reverse mode. An op that has a gradient registers a node right after emitting its forward. backward() emits
 * the work for its inputs' gradients. ctx is copied (bytes <= AR__NODE_BYTES). */
#define AR__NODE_BYTES 192
typedef ar_status (*ar__backward_fn)(ar_graph *g, const void *ctx);
ar_status ar__node(ar_graph *g, ar__backward_fn backward, const void *ctx, size_t ctx_bytes);
/* The gradient of t to write: *grad (made on demand), *accumulate = it already holds a contribution that must
 * be added to. *grad = NULL when t needs no gradient: emit nothing. */
ar_status ar__grad(ar_graph *g, ar_tensor **grad, bool *accumulate, ar_tensor *t);
/* Whether the first contribution to t's gradient, *p, may wait: nothing is to be emitted for it then, unless
 * another one follows or whoever waits for the gradient wants it after all. */
bool ar__grad_later(ar_tensor *t, const ar__product *p);
/* Tells whoever waits for t's gradient of it, or of the product that makes it, if that is next anyway:
 * nothing can reach t any more. */
ar_status ar__grad_tell(ar_graph *g, const ar_tensor *t);

/* The record turns from backward to forward, or back: around what a backward records of the forward once
 * more, of the same numbers. */
void ar__graph_turn(ar_graph *g);

/* A new graph output of the given shape; needs_grad if any of a, b, c (NULL allowed) does. */
ar_status ar__output(ar_graph *g, ar_tensor **t, ar_dtype dtype, int32_t dim_count, const int64_t *dims,
                     const ar_tensor *a, const ar_tensor *b, const ar_tensor *c);
ar_device *ar__graph_device(const ar_graph *g);
/* A device tensor that the graph destroys with itself (a table an op made); key[0] is the kernel that reads
 * it, the rest what it was made from. On success the graph owns t. Errors: MEMORY. */
ar_status ar__graph_own(ar_graph *g, ar_tensor *t, const uint64_t key[4]);
/* The tensor owned under that key; NULL if none. */
ar_tensor *ar__graph_constant(const ar_graph *g, const uint64_t key[4]);

/* ---- graph_saved.c ---- */

#define AR__SAVED_BLOCK 64 /* numbers that share a scale */
/* *half, *inverse = x, a multiple of AR__SAVED_BLOCK floats, rounded to fp16 under a power of two for each
 * block, and the inverse of that; x = what those hold. */
ar_status ar__save_half(ar_graph *g, ar_tensor **half, ar_tensor **inverse, const ar_tensor *x);
ar_status ar__load_half(ar_graph *g, ar_tensor *x, const ar_tensor *half, const ar_tensor *inverse);
/* What gated_grad makes of two factors (gate, up) that save_half kept: dgate, and dup in the place of dy;
 * kind is the activation's. */
typedef struct ar__saved_pair {
    const ar_tensor *half[2], *inverse[2];
} ar__saved_pair;
ar_status ar__gated_grad_saved(ar_graph *g, const ar_tensor *dgate, const ar_tensor *dy,
                               const ar__saved_pair *factors, uint32_t kind);

/* ---- op_mean.c: sums in two stages of fixed order, whatever the device and its pieces ---- */

#define AR__SUM_WG      64   /* items of a summing group, a power of two */
#define AR__SUM_SEGMENT 4096 /* elements per partial sum */
/* y[0] = scale * sum of parts. */
ar_status ar__emit_sum_final(ar_graph *g, ar_tensor *y, const ar_tensor *parts, double scale);

/* ---- gemm.c: C (M, N) = op(A) op(B) [+ C] through packed panels; shared by op_linear and others ---- */

typedef struct ar__matrix {
    const ar_tensor *t;
    bool transposed;
} ar__matrix; /* transposed: stored (K, M) or (N, K) */
/* A is (M, K), B is (K, N) after transposition. accumulate adds to C. Splits M, N, K so that no binding
 * passes plan.piece_bytes. Packed operands are remembered per graph and reused while their tensor is
 * unchanged. */
ar_status ar__gemm(ar_graph *g, ar_tensor *C, ar__matrix A, ar__matrix B, int64_t M, int64_t N, int64_t K,
                   bool accumulate);
/* C = A B of a forward pass, whose operands may be rounded to fp16 where the plan says so; ar__gemm's are
 * f32. bias (N), or NULL, is added to every row. */
ar_status ar__gemm_forward(ar_graph *g, ar_tensor *C, ar__matrix A, ar__matrix B, int64_t M, int64_t N,
                           int64_t K, const ar_tensor *bias);
/* ar__gemm of gradients: rounded in the same way, but each panel of an operand is scaled first by a power of
 * two that its largest number gives, so that nothing is too small for fp16 or too large. */
ar_status ar__gemm_gradient(ar_graph *g, ar_tensor *C, ar__matrix A, ar__matrix B, int64_t M, int64_t N,
                            int64_t K, bool accumulate);
#endif
