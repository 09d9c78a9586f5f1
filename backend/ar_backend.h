/* anyround backend: devices, tensors, ops and recorded graphs over Vulkan, OpenCL and a null driver.
 *
 * Shape letters: B batch, T tokens, N rows (B*T), I in, O out, G group size, H heads, K kv heads, D head
 * dim, V vocabulary. Shapes are row-major; a weight is always (O, I) and y = x W^T.
 * Options come in zero-initialised descriptors: all zero is the documented default.
 * Threads: a device and everything made from it belong to one thread at a time. The error text is per thread.
 * The library never prints, exits, aborts or reads the environment. */
#ifndef AR_BACKEND_H
#define AR_BACKEND_H
#include "ar_status.h"
#include <stdbool.h>
#ifdef __cplusplus
extern "C" {
#endif

/* ---- devices ---- */

typedef enum ar_device_kind {
    AR_DEVICE_OTHER,
    AR_DEVICE_CPU,
    AR_DEVICE_INTEGRATED,
    AR_DEVICE_DISCRETE
} ar_device_kind;

#define AR_MAX_MEMORY_TYPES 32
typedef struct ar_memory_type {
    uint64_t heap_bytes;
    bool device_local, host_visible, host_coherent, host_cached;
    bool special; /* lazily allocated, protected or of an extension: nothing is put there */
} ar_memory_type;

/* Everything policy is computed from. Filled by a driver, or by a test for a device nobody has here. */
typedef struct ar_device_facts {
    char api[8];   /* "vk", "cl", "null" */
    int32_t index; /* within its api, as in --device vk:N */
    char name[256], vendor[64], driver[128], version[64];
    uint32_t vendor_id, device_id;
    uint8_t uuid[16]; /* driver + device identity, for cache files */
    ar_device_kind kind;
    uint32_t max_group_items; /* work items per group */
    uint32_t max_group_size[3], max_group_count[3];
    uint64_t shared_bytes; /* per group */
    uint64_t max_binding_bytes, max_buffer_bytes, memory_bytes;
    uint32_t binding_offset_align; /* bytes */
    uint32_t max_param_bytes;
    uint32_t max_bindings;               /* buffers bound to one kernel */
    uint32_t subgroup_min, subgroup_max; /* 0 = none */
    bool has_subgroup_shuffle;           /* in compute kernels */
    bool has_subgroup_control;           /* a kernel may ask for full subgroups of one size of those */
    uint32_t coop_m, coop_n, coop_k, coop_bf16[3]; /* matrix of a subgroup, f16, bf16, sums f32; 0 = none */
    uint32_t vector_width;                         /* OpenCL preferred/native float width; 4 on Vulkan */
    bool has_f16_arith, has_f16_storage, has_int_dot, has_coopmat, has_timestamps, division_is_exact;
    bool has_vnni, has_qcom_dot; /* OpenCL: AVX-512 VNNI by assembler; cl_qcom_dot_product8 as has_int_dot */
    double timestamp_ns;         /* ns per tick */
    bool unified_memory;
    int32_t memory_type_count;
    ar_memory_type memory_types[AR_MAX_MEMORY_TYPES];
} ar_device_facts;

#define AR_MAX_FAMILIES 16 /* of kernels with variants, and of ways */

/* Policy for one device; a pure function of facts (backend/core/plan.c) and the quirk table. */
typedef struct ar_plan {
    uint32_t variants[AR_MAX_FAMILIES]; /* the kernel taken of each family (ar_plan_variants) */
    uint32_t variants_asked;            /* bits: families whose variant was asked for */
    uint32_t ways, ways_asked;          /* bits: what is recorded in the first of two ways; asked for */
    bool allows_f16;                    /* products may round their operands to fp16 */
    bool allows_bf16;                   /* or shall, to bf16 */
    uint32_t vw;                        /* lanes of fvec: 4 on Vulkan, 4/8/16 on OpenCL */
    uint32_t wg;                        /* items per group of 1-D kernels */
    uint32_t gemm_tm, gemm_tn;          /* item tile: tm rows x tn*vw columns */
    uint32_t gemm_wgx, gemm_wgy; /* items per group along N and M; the larger takes the group's x axis */
    uint32_t gemm_lanes;         /* gemm_lanes: lanes along M that lend each other B's values; else 0 */
    uint32_t gemm_side;          /* gemm_tiles, _half, _coop, …: side of a group's largest tile; else 0 */
    uint32_t gemm_groups;        /* … of which there shall be that many, or tiles are smaller */
    bool direct_conv;        /* convolutions without patches in memory, where shapes allow (ar_op_conv2d) */
    uint32_t attn_wg;        /* items per group of the attention kernels */
    uint32_t attn_subgroups; /* attention_coop: subgroups that share a tile; 0 = none can */
    uint32_t coop_subgroup;  /* gemm_coop, attention_coop: items of a subgroup */
    uint32_t coop_fragment[3], coop_bf16[3]; /* … rows, columns, depth of matrices, f16, bf16; 0 = none */
    uint32_t resident_wgx, resident_wgy; /* gemv: items per group along rows of W', slices of its inputs */
    uint32_t resident_lp;                /* a panel of resident weights has resident_lp * vw rows */
    uint32_t resident_lanes;             /* gemv_lanes: subgroup lanes that load x together; else 0 */
    uint32_t resident_columns;           /* most rows of x that take the gemv path */
    bool resident_fused;                 /* more of them: gemm_bits decodes in its tiles; else unpack, gemm */
    uint32_t resident_tile;              /* rows of x to a group of gemv when there are more than four */
    uint64_t resident_norm;              /* largest O * I for which gemv norms up to four rows of x itself */
    uint32_t gemm_by_rows[4][4], gemv_by_rows[4][4]; /* tiles for few rows (ar_tuning.h); zeros: as above */
    uint64_t piece_bytes; /* largest binding used; larger tensors are bound in pieces */
    uint32_t offset_align;
    int32_t device_memory_type, staging_memory_type; /* Vulkan memory types; staging -1 = not needed */
    bool staged, timestamps;       /* copies go through a staging buffer; the device's clock is usable */
    bool clear_padding;            /* zeros behind every tensor's data, for devices that watch what is read */
    double submit_ms;              /* estimated work per submission */
    double rate_flops, rate_bytes; /* assumed speed for that estimate */
    char reasons[512];             /* "coopmat off: no extension; …" for `devices` */
} ar_plan;

typedef struct ar_device ar_device;

/* A driver's injected fault; only the null driver obeys. n counts from 1, 0 = never. */
typedef struct ar_fault {
    int32_t fail_alloc_n, lose_device_submit_n;
    const char *wrong_kernel;
} ar_fault;
#include "ar_tuning.h"
typedef struct ar_device_desc {
    const char *select;     /* NULL or "auto", "vk", "vk:1", "cl", "cl:0", "null" */
    uint64_t memory_budget; /* bytes of device memory; 0 = nine tenths of what the device reports */
    const char *cache_dir;  /* pipeline and program cache folder; NULL = no cache */
    double submit_ms;       /* 0 = the plan's default */
    ar_fault fault;         /* null driver only */
    const ar_plan *plan;    /* NULL = ar_plan_make(facts); tests and the tuner force one */
    const char *variants; /* "gemm=gemm,f16": kernels to take, leave to round to fp16 (auto: where it pays) */
    const ar_device_facts *facts; /* null driver only: it stands in for that device, and its memory keeps
                                   * nothing; NULL = its own */
    const ar_tuning_row *tuning;  /* tiles for the plan (ar_plan_use_tuning), not where one is given */
    int32_t tuning_count;
} ar_device_desc;

/* All devices of all drivers, in the order auto would try them. out may be NULL to count. A missing loader,
 * a loader without devices and a broken manifest are not errors: *notes (if not NULL, 1024 bytes) says what
 * each driver found. Errors: MEMORY. */
ar_status ar_device_list(ar_device_facts *out, int32_t *count, int32_t capacity, char *notes,
                         size_t notes_bytes);
/* Errors: NO_DEVICE (nothing matches desc->select, or what does is below the plan's floor), DEVICE, USAGE
 * (select is no device name; variants names no variant, or one that the device lacks the means for: no other
 * device is tried then). */
ar_status ar_device_open(ar_device **device, const ar_device_desc *desc);
void ar_device_close(ar_device *device);
const ar_device_facts *ar_device_get_facts(const ar_device *device);
const ar_plan *ar_device_get_plan(const ar_device *device);
/* Fills *plan from *facts; pure. Errors: UNSUPPORTED names the fact below the floor. */
ar_status ar_plan_make(ar_plan *plan, const ar_device_facts *facts);
/* The same with kernel variants asked for, as in ar_device_desc; NULL = none. Errors: UNSUPPORTED, USAGE. */
ar_status ar_plan_make_with(ar_plan *plan, const ar_device_facts *facts, const char *variants);

/* Whether every name of "family=kernel,..." exists (NULL does). Errors: USAGE, with those that do. */
ar_status ar_variants_check(const char *variants);

/* Which kernel of a family a plan takes, and why: shaders/variants.def. */
typedef struct ar_variant_choice {
    const char *family, *variant;
    char why[240];
} ar_variant_choice;
/* Fills up to capacity choices (AR_MAX_FAMILIES are enough); returns how many families there are. */
int32_t ar_plan_variants(ar_variant_choice *out, int32_t capacity, const ar_plan *plan,
                         const ar_device_facts *facts);
/* The kernels taken, with commas, behind "f16," where operands may be rounded to that: what decides bits. */
void ar_plan_show_variants(char *text, size_t bytes, const ar_plan *plan);

/* The variants that the device cannot run, in the form of choices, `why` being "needs …": up to capacity of
 * them; returns how many there are. */
int32_t ar_device_lacks(ar_variant_choice *out, int32_t capacity, const ar_device *device);

typedef struct ar_memory_stats {
    uint64_t current, high_water, budget;
} ar_memory_stats;
void ar_device_memory(const ar_device *device, ar_memory_stats *stats);
/* Waits for all submitted work. Errors: DEVICE, DEVICE_LOST. */
ar_status ar_device_wait(ar_device *device);

/* ---- tensors ---- */

#define AR_MAX_DIMS 4
typedef struct ar_tensor ar_tensor;

/* A tensor in device memory, contents undefined. dims are positive or zero (a zero-row tensor is legal).
 * Errors: ARG, DEVICE_MEMORY (over the budget or the driver refused; text says how much). */
ar_status ar_tensor_create(ar_tensor **t, ar_device *device, ar_dtype dtype, int32_t dim_count,
                           const int64_t *dims);
void ar_tensor_destroy(ar_tensor *t);
/* Synchronous; ordered after everything submitted. offset and count in elements. Errors: ARG, DEVICE…. */
ar_status ar_tensor_write(ar_tensor *t, const void *src, int64_t offset, int64_t count);
ar_status ar_tensor_read(const ar_tensor *t, void *dst, int64_t offset, int64_t count);
ar_dtype ar_tensor_dtype(const ar_tensor *t);
int32_t ar_tensor_dim_count(const ar_tensor *t);
int64_t ar_tensor_dim(const ar_tensor *t, int32_t i);
int64_t ar_tensor_count(const ar_tensor *t);
/* Marks a leaf whose gradient backward shall make (parameters; W' of a fake-quantized weight gets it by
 * itself). Only f32. */
void ar_tensor_set_needs_grad(ar_tensor *t, bool needs);
/* The gradient tensor after ar_graph_backward; NULL when none was needed. Owned by the graph. */
ar_tensor *ar_tensor_grad(const ar_tensor *t);

/* ---- graph: record once, replay many times ----
 * Ops append work to a graph. Their outputs are graph tensors: they live in memory planned by lifetime, die
 * with the graph, and are undefined outside a run unless ar_graph_keep was called on them. Call order:
 * record ops -> ar_graph_backward (optional) -> more ops -> ar_graph_build -> ar_graph_run, as often as
 * wanted. */
typedef struct ar_graph ar_graph;
ar_status ar_graph_create(ar_graph **graph, ar_device *device);
void ar_graph_destroy(ar_graph *graph);
/* A graph tensor that ops may write later (scratch, or an output to keep). Errors: ARG, MEMORY. */
ar_status ar_graph_temp(ar_graph *graph, ar_tensor **t, ar_dtype dtype, int32_t dim_count,
                        const int64_t *dims);
/* A device tensor (count) f32 holding values that dies with the graph: tables an op needs. Not written by
 * ops. Errors: MEMORY, DEVICE_MEMORY, DEVICE. */
ar_status ar_graph_constant(ar_graph *graph, ar_tensor **t, const float *values, int64_t count);
/* Keeps a graph tensor's memory to itself so that it can be read after a run. */
void ar_graph_keep(ar_graph *graph, ar_tensor *t);
/* Reverse mode from the scalar loss (shape (1), d loss = 1) over everything recorded so far. Gradients of
 * tensors used several times add up. Errors: ARG, MEMORY. */
ar_status ar_graph_backward(ar_graph *graph, ar_tensor *loss);
/* Calls fn(g, t, dt, ctx) during ar_graph_backward, where the gradient dt of t is complete (never when
 * nothing reached t), so that a consumer can be recorded there and dt's memory reused after it. t must have
 * been made by an op that was just recorded. ctx is copied (at most 64 bytes). */
typedef ar_status (*ar_grad_fn)(ar_graph *g, ar_tensor *t, ar_tensor *dt, const void *ctx);
ar_status ar_graph_on_grad(ar_graph *graph, ar_tensor *t, ar_grad_fn fn, const void *ctx, size_t ctx_bytes);
/* Plans memory, makes pipelines, derives barriers from the kernels' RO/WO/RW and records.
 * Errors: DEVICE_MEMORY, DEVICE, UNSUPPORTED. */
ar_status ar_graph_build(ar_graph *graph);
/* Submits one replay; returns before it has finished. */
ar_status ar_graph_run(ar_graph *graph);

typedef struct ar_graph_stats {
    int32_t dispatches, barriers, submissions;
    uint64_t temp_bytes, saved_bytes; /* of its own arenas; of what is kept for the backward as fp16 */
    double flops, bytes;
} ar_graph_stats;
void ar_graph_get_stats(const ar_graph *graph, ar_graph_stats *stats);
/* One dispatch: its kernel's name, how long it took, and the operations and bytes counted from its shapes
 * (every operand once; what policy and `bench` reckon with). */
typedef struct ar_launch {
    const char *kernel;
    double us, flops, bytes;
} ar_launch;
/* Runs once with every dispatch timed on its own: launches[i] for i < dispatches. *wall = true when no valid
 * timestamps exist and host time was taken. */
ar_status ar_graph_profile(ar_graph *graph, ar_launch *launches, bool *wall);
/* The same without running: us = 0. */
void ar_graph_launches(const ar_graph *graph, ar_launch *launches);
/* watch is told of every graph that ar_graph_run runs from here on, before it does; NULL = nobody. */
void ar_device_watch(ar_device *device, void (*watch)(void *ctx, const ar_graph *graph), void *ctx);

/* ---- ops. Each appends to the graph; *y is a new graph tensor. f32 unless said. Forward and backward of an
 * op stand in one file, backend/op/op_<name>.c. Common errors: SHAPE, DTYPE, MEMORY. ---- */

/* y[n] = E[ids[n]]   y (N, I)  E (V, I)  ids (N) i32 in [0, V). Gradient: E, its rows summed in the order of
 * n. */
ar_status ar_op_embed(ar_graph *g, ar_tensor **y, ar_tensor *E, const ar_tensor *ids);
/* y = x W^T + bias   y (N, O)  x (N, I)  W (O, I)  bias (O) or NULL. Gradients: x, W, bias. */
ar_status ar_op_linear(ar_graph *g, ar_tensor **y, ar_tensor *x, ar_tensor *W, ar_tensor *bias);
/* y = x r w, r = 1/sqrt(mean_i x^2 + eps)   x, y (N, I)  w (I). Gradients: x, w. (Zhang & Sennrich 2019)
 * x may be (N, heads*I): then every head is normed by itself. */
ar_status ar_op_rms_norm(ar_graph *g, ar_tensor **y, ar_tensor *x, ar_tensor *w, float eps);
/* y = (x - m) r w + b, m = mean_i x, r = 1/sqrt(mean_i (x - m)^2 + eps)   x, y (N, I)  w (I)  b (I) or NULL.
 * Gradients: x, w, b. (Ba 2016) */
ar_status ar_op_layer_norm(ar_graph *g, ar_tensor **y, ar_tensor *x, ar_tensor *w, ar_tensor *b, float eps);
/* Rotary embedding, Hugging Face rotate-half pairing: the pair (i, i + P) of every head turns by pos *
 * freq[i], pos = pos0 + row % T, and is multiplied by scale; dims past 2 P stay.
 *   x, y (B*T, heads*D)  freq (P), P <= D/2. Gradient: x. (Su 2021) */
ar_status ar_op_rope(ar_graph *g, ar_tensor **y, ar_tensor *x, const ar_tensor *freq, int32_t T, int32_t D,
                     int32_t pos0, float scale);
/* Causal softmax(q k^T / sqrt(D)) v with grouped queries, streamed over keys: no T x T matrix is stored. With
 * window > 0 a token sees only the last `window` tokens, itself included, and no others are read. (Beltagy
 * 2020, arXiv 2004.05150) q, y (B*T, H*D)  k, v (B*T, K*D)  H % K == 0, D % 4 == 0. cap > 0: scores
 * become cap tanh(score / cap) before the softmax; 0 = as they are. Gradients: q, k, v. */
ar_status ar_op_attention(ar_graph *g, ar_tensor **y, ar_tensor *q, ar_tensor *k, ar_tensor *v, int32_t T,
                          int32_t D, int32_t window, float cap);
/* Generation: rows are B sequences of T tokens each, row b T + t at position pos[0] + t (i32, shape (1));
 * keys and values of every position so far lie in caches (B, K, C, D) f16. pos[0] + T <= C is the caller's
 * duty; D % 4 == 0, D <= 512; no gradients.
 * cache_append: the caches get k and v at their positions, k rotated, and rq = q rotated; q, k and v are
 *   columns of f32 tensors, maybe of the same one. angles (T, pairs, 2): cos and sin of those positions'
 *   rotations, dims i and i + pairs of a head turning together; NULL = no rotation.   rq (B T, H D)
 * attention_cached: y = softmax(q k^T scale) v over the positions up to the row's own, of which with
 *   window > 0 only the last `window` count; scale 0 = 1 / sqrt(D).   q, y (B T, H D), H % K == 0; cap as in
 *   ar_op_attention */
typedef struct ar_columns {
    ar_tensor *t;
    int64_t first, count;
} ar_columns;
ar_status ar_op_cache_append(ar_graph *g, ar_tensor **rq, const ar_columns *q, const ar_columns *k,
                             const ar_columns *v, ar_tensor *k_cache, ar_tensor *v_cache,
                             const ar_tensor *angles, const ar_tensor *pos);
/* Both, in one launch where rows are one token each and the plan's way `append` is joined. Errors: theirs. */
ar_status ar_op_attention_append(ar_graph *g, ar_tensor **y, const ar_columns *q, const ar_columns *k,
                                 const ar_columns *v, ar_tensor *k_cache, ar_tensor *v_cache,
                                 const ar_tensor *angles, const ar_tensor *pos, float scale, int32_t window,
                                 float cap);
ar_status ar_op_attention_cached(ar_graph *g, ar_tensor **y, const ar_tensor *q, const ar_tensor *k_cache,
                                 const ar_tensor *v_cache, const ar_tensor *pos, float scale, int32_t window,
                                 float cap);
/* y = f(x): max(x, 0); x (1 + erf(x / sqrt 2)) / 2; x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2;
 * x / (1 + exp(-x)).
 * x, y (N, I). Gradient: x. (Hendrycks & Gimpel 2016) */
typedef enum ar_act { AR_ACT_RELU, AR_ACT_GELU, AR_ACT_GELU_TANH, AR_ACT_SILU } ar_act;
ar_status ar_op_act(ar_graph *g, ar_tensor **y, ar_tensor *x, ar_act kind);
/* y = f(gate) * up, f as in ar_op_act. gate, up, y (N, I). Gradients: both. (Shazeer 2020, arXiv 2002.05202)
 */
ar_status ar_op_gated(ar_graph *g, ar_tensor **y, ar_tensor *gate, ar_tensor *up, ar_act kind);
/* y = cap tanh(x / cap), x, y (N, I); cap 0 = none: y is x itself. Gradient: x. (Gemma 2, arXiv 2408.00118)
 * Errors: ARG for a cap that is negative or not finite. */
ar_status ar_op_soft_cap(ar_graph *g, ar_tensor **y, ar_tensor *x, float cap);
/* y[n, o] = x[n, first + o]   x (N, I)  y (N, count)  first + count <= I. Gradient: x. */
ar_status ar_op_slice(ar_graph *g, ar_tensor **y, ar_tensor *x, int64_t first, int64_t count);
/* y = a + b. Gradients: both. */
ar_status ar_op_add(ar_graph *g, ar_tensor **y, ar_tensor *a, ar_tensor *b);
/* loss = sum_n weight[n] sum_i (y - target)^2 / (N I)   loss (1)  weight (N) f32, NULL = 1. Gradient: y.
 * The mean is over all rows, whatever they weigh. Fixed-order sum. */
ar_status ar_op_mse(ar_graph *g, ar_tensor **loss, ar_tensor *y, const ar_tensor *target,
                    const ar_tensor *weight);
/* nll[n] = logsumexp(logits[n]) - logits[n, labels[n]];  top1[n] = argmax (lowest index on ties), i32.
 * logits (N, V)  labels (N) i32; a negative label gives nll 0. Gradient: logits (of mean nll via ar_op_mean).
 */
ar_status ar_op_nll(ar_graph *g, ar_tensor **nll, ar_tensor **top1, ar_tensor *logits,
                    const ar_tensor *labels);
/* kl[n] = sum_v p (ln p - ln q), p = softmax(ref[n]), q = softmax(logits[n]); nats. Gradient: logits. */
ar_status ar_op_kl(ar_graph *g, ar_tensor **kl, const ar_tensor *ref, ar_tensor *logits);
/* loss = 0, whose gradient in y is dy: a graph's part of the backward of something larger. loss (1)  y, dy of
 * one shape. Gradient: y. */
ar_status ar_op_pull(ar_graph *g, ar_tensor **loss, ar_tensor *y, const ar_tensor *dy);
/* m = mean of x, fixed order, m (1). Gradient: x. */
ar_status ar_op_mean(ar_graph *g, ar_tensor **m, ar_tensor *x);
/* y[b] = src[sched[step[0] * B + b]]: the batch of this step, gathered on the device.
 * src (S, T, I) -> y (B*T, I), or src (S, T) -> y (B*T); any 4-byte type  sched (steps, B) i32  step (1) i32.
 * No gradient. */
ar_status ar_op_gather(ar_graph *g, ar_tensor **y, const ar_tensor *src, const ar_tensor *sched,
                       const ar_tensor *step, int32_t B);
/* sums[i] += sum_n x[n, i]^2, rows in order.   sums (I)  x (N, I). No gradient. */
ar_status ar_op_square_sums(ar_graph *g, ar_tensor *sums, const ar_tensor *x);
/* H += x^T x, rows in order: the Gram matrix of x's columns.   H (I, I)  x (N, I). No gradient. */
ar_status ar_op_gram(ar_graph *g, ar_tensor *H, const ar_tensor *x);
/* Every 4-byte word of dst = word. */
ar_status ar_op_fill(ar_graph *g, ar_tensor *dst, uint32_t word);
/* dst = src, element for element (both 4-byte types, same count). dst may be a device tensor. */
ar_status ar_op_copy(ar_graph *g, ar_tensor *dst, const ar_tensor *src);

/* ---- fake quantization (SignRound, arXiv 2309.05516; scheme equations: docs/methods.md) ---- */

typedef enum ar_zero_kind {
    AR_ZERO_SYM,   /* full-range symmetric, signed scale, zero point 2^(bits-1): W' = s (q - 2^(bits-1)) */
    AR_ZERO_INT,   /* asymmetric, integer zero point in [zero_min, 2^bits - 1]: W' = s (q - zp) */
    AR_ZERO_F16MIN /* asymmetric, minimum stored as fp16 (GGUF Q4_1): W' = s q + fp16(-zp s) */
} ar_zero_kind;

/* Double-quantized structures of GGUF's K types: super-blocks of 256 inputs share fp16 scales d (and dmin),
 * of which every group has a small integer multiple sc (and mn). With one of them bits, group and zero are
 * the type's own (ar_scheme_super) and I % 256 == 0.
 *   Q2_K, Q4_K, Q5_K (AR_ZERO_F16MIN)  W' = (d sc) q - dmin mn
 *   Q3_K, Q6_K       (AR_ZERO_SYM)     W' = (d sc) (q - 2^(bits-1)) */
typedef enum ar_super {
    AR_SUPER_NONE,
    AR_SUPER_Q2_K, /* 2 bits, group 16, sc and mn 0..15 */
    AR_SUPER_Q3_K, /* 3 bits, group 16, sc -32..31 */
    AR_SUPER_Q4_K, /* 4 bits, group 32, sc and mn 0..63 */
    AR_SUPER_Q5_K, /* 5 bits, group 32, sc and mn 0..63 */
    AR_SUPER_Q6_K, /* 6 bits, group 16, sc -128..127 */
    AR_SUPER_COUNT
} ar_super;
#define AR_SUPER_BLOCK 256

/* How numbers of one weight are stored. G = group, -1 = one group per row; the last group may be short. */
typedef struct ar_scheme {
    int32_t bits;  /* 2..8 */
    int32_t group; /* >= 1, or -1 */
    ar_zero_kind zero;
    int32_t zero_min; /* AR_ZERO_INT: smallest zero point (1 for GPTQ v1 files), else 0 */
    ar_super super;   /* AR_SUPER_NONE: every group has a scale of its own */
} ar_scheme;

/* Errors: ARG (bits, group, zero kind or zero_min out of range, or not those of super). */
ar_status ar_scheme_check(const ar_scheme *scheme);
/* The one scheme of a double-quantized structure. */
ar_scheme ar_scheme_super(ar_super super);
/* The multiples sc that a structure stores; mn is 0 .. *most. */
void ar_super_limits(int32_t *least, int32_t *most, ar_super super);
/* Groups in a row of I inputs. */
int64_t ar_scheme_groups(const ar_scheme *scheme, int64_t I);

/* What is tuned, all as multiples of a unit: V = v / v_div, min coefficient = (m_div + mn) / m_div and the
 * same for max, so that a sign step is an integer and the state is exact. dtype f32 (general path), or
 * i16/i32 (integer state); all three give the same bits. */
typedef struct ar_fq_state {
    ar_tensor *v;  /* (O, I) */
    ar_tensor *mm; /* (O, groups, 2): min, max multiples, clamped to [-floor(m_div), 0] */
} ar_fq_state;
typedef struct ar_fq_desc {
    ar_scheme scheme;
    float v_div, m_div; /* T / lr, T / minmax_lr; 0 = that part is not tuned */
} ar_fq_desc;
/* v_div and m_div are used rounded to 20 significant bits, so that quotients are exact and cheap (T^2 is
 * exact for T <= 1024). */

/* range (O, groups, 2) = (min(0, min w), max(0, max w)) of every group of W (O, I). */
ar_status ar_op_group_range(ar_graph *g, ar_tensor *range, const ar_tensor *W, const ar_scheme *scheme);
/* The same ops quantize in double-quantized structures. There
 *   range (O, groups, 4) is the start: d, dmin, sc, mn of every group;
 *   sz (O, groups, 4): d sc, dmin mn, 1/(d sc), 0;
 *   mm scales sc and mn, by (m_div + multiple) / m_div, before they are rounded: clamp it to +-floor(m_div
 *     / 2);
 *   ar_op_group_range is ar_op_super_start without importance.
 * start = the least squares found by scanning, weighted by importance (I) of the inputs (mean square of x,
 * order of magnitude 1, positive; NULL = 1). */
ar_status ar_op_super_start(ar_graph *g, ar_tensor *start, const ar_tensor *W, const ar_tensor *importance,
                            const ar_scheme *scheme);
/* Wq = fake_quant(W; v, mm). Wq is marked as needing a gradient; after ar_graph_backward, ar_op_fq_grad turns
 * it into gradients of v and mm. st->v and st->mm may be NULL (RTN).
 *   sz (O, groups, 4) f32, a graph tensor kept for the backward: s, zp, b, live   (W' = s q + b for F16MIN)
 */
ar_status ar_op_fake_quant(ar_graph *g, ar_tensor **Wq, ar_tensor **sz, const ar_tensor *W,
                           const ar_tensor *range, const ar_fq_state *st, const ar_fq_desc *desc);
/* Straight-through gradients (docs/methods.md, equation 4): dv (O, I) = dW s in, dmm (O, groups, 2), up
 * to positive constant factors that do not change a sign. */
ar_status ar_op_fq_grad(ar_graph *g, ar_tensor **dv, ar_tensor **dmm, const ar_tensor *dWq,
                        const ar_tensor *W, const ar_tensor *range, const ar_tensor *sz,
                        const ar_fq_state *st, const ar_fq_desc *desc);
/* SignSGD on the state: p -= (T - step[0]) * sign(d), sign(0) = 0, clamped to [lo, hi] (units) before and
 * after. p any state dtype (saturates at what it counts exactly: 32767, 2^24); d f32 of the same count; step
 * (1) i32. */
ar_status ar_op_sign_step(ar_graph *g, ar_tensor *p, const ar_tensor *d, const ar_tensor *step, int32_t T,
                          float lo, float hi);
/* Adam on the state (arXiv 1412.6980; b1 = 0.9, b2 = 0.999, no weight decay): mean = b1 mean + (1 - b1) d,
 * square = b2 square + (1 - b2) d^2, p -= r0 mean / (sqrt(r1 square) + 1e-12), clamped to [lo, hi] (units),
 * with row step[0] of rates (T, 2) = (r0, r1). p, d, mean, square: f32 of one count, mean and square start at
 * 0; step (1) i32 below T. */
ar_status ar_op_adam_step(ar_graph *g, ar_tensor *p, const ar_tensor *d, ar_tensor *mean, ar_tensor *square,
                          const ar_tensor *step, const ar_tensor *rates, float lo, float hi);
/* rates (T, 2): r0 = (T - t) / (1 - b1^(t+1)), the linear decay of ar_op_sign_step and the mean's bias in
 * one; r1 = 1 / (1 - b2^(t+1)), the square's. */
void ar_adam_rates(float *rates, int32_t T);

#include "ar_soft.h"

/* codes (ceil(O I / 4)) u32: the stored codes q in [0, 2^bits - 1] as bytes, four to a word in row-major
 * element order; sz as in ar_op_fake_quant. */
ar_status ar_op_fq_codes(ar_graph *g, ar_tensor **codes, ar_tensor **sz, const ar_tensor *W,
                         const ar_tensor *range, const ar_fq_state *st, const ar_fq_desc *desc);
/* best-step bookkeeping on the device: history[step] = loss; *improved (1) i32 = loss < best[0], and then
 * best = (loss, step). best (2) f32 starts as (+inf, -1). */
ar_status ar_op_best(ar_graph *g, ar_tensor **improved, ar_tensor *best, ar_tensor *history,
                     const ar_tensor *loss, const ar_tensor *step);
/* if (improved[0]) dst = src. Any dtype whose byte count is a multiple of 2. */
ar_status ar_op_copy_if(ar_graph *g, ar_tensor *dst, const ar_tensor *src, const ar_tensor *improved);
/* step[0] += 1. */
ar_status ar_op_advance(ar_graph *g, ar_tensor *step);

/* ---- resident weights: products with weights kept in few bits ---- */

/* How a weight is stored: GGUF's block types (backend/qtypes.def), or GROUP, the codes of an ar_scheme. */
typedef enum ar_qtype {
#define AR_QTYPE(id, name, gguf_id, elems, bytes) AR_QT_##id,
#include "qtypes.def"
#undef AR_QTYPE
    AR_QT_COUNT
} ar_qtype;

/* GGUF's name ("Q4_K"); "?" for no type. */
const char *ar_qtype_name(ar_qtype type);
/* Elements and bytes of a block; 0 for GROUP. */
int32_t ar_qtype_elems(ar_qtype type);
int32_t ar_qtype_bytes(ar_qtype type);
/* GGUF's number of the type, -1 for GROUP; and back, AR_QT_COUNT for a number that is no row. */
int32_t ar_qtype_gguf_id(ar_qtype type);
ar_qtype ar_qtype_from_gguf(int32_t gguf_id);
/* Bytes of a row of I elements; -1 where I is no multiple of the block, and for GROUP. */
int64_t ar_qtype_row_bytes(ar_qtype type, int64_t I);

typedef struct ar_resident_weight ar_resident_weight;

/* Rows of one stored weight. row_stride, blocks, row_order: of GGUF types; what follows them: of GROUP. */
typedef struct ar_resident_weight_desc {
    ar_qtype type;
    int64_t O, I;
    const uint8_t *blocks; /* row o's blocks start at blocks + o * row_stride; may lie in a file mapping */
    uint64_t row_stride;
    const int32_t *row_order; /* NULL, or (O): row o of W is stored row row_order[o] */
    ar_scheme scheme;
    const uint8_t *codes;
    const uint16_t *scales;
    const uint8_t *zeros;
    const uint16_t *mins; /* as ar_qlinear holds them */
    const char *name;     /* what errors call it; NULL: nobody looks whether all of it is finite */
} ar_resident_weight_desc;

/* Uploads weights repacked for the kernels; nothing of parts is kept, threads that read them meanwhile end
 * before the return. Parts with one I and one type (and scheme) become one weight, their rows one after the
 * other (q, k, v), or with interleave2 those of two parts in turn (gate, up) for the fused SiLU. W' decodes
 * to the bits of the format's f32 formula, of ar_qlinear_dequant for GROUP. Errors: ARG, SHAPE, MEMORY,
 * DEVICE_MEMORY, UNSUPPORTED (a few rows pass one binding), FORMAT (a named part holds NaN or Inf). */
ar_status ar_resident_weight_create(ar_resident_weight **w, ar_device *device,
                                    const ar_resident_weight_desc *parts, int32_t count, bool interleave2);
void ar_resident_weight_destroy(ar_resident_weight *w);
/* Device bytes, padding included. */
uint64_t ar_resident_weight_bytes(const ar_resident_weight *w);
int64_t ar_resident_weight_O(const ar_resident_weight *w);
int64_t ar_resident_weight_I(const ar_resident_weight *w);

/* What is done in the same pass; all zero = nothing. */
typedef struct ar_resident_weight_fuse {
    const ar_tensor *bias;     /* (O): added to the product */
    const ar_tensor *residual; /* shape of y: added to y */
    const ar_tensor *norm;     /* (I): x is RMS-normed with this weight and norm_eps first */
    float norm_eps;
    bool silu_gated; /* y (N, O/2) = silu(row 2i) * row 2i+1 of the product: an interleaved pair */
    bool bytes;      /* where W takes them, x in bytes: ar_op_acts_bytes and ar_op_linear_bytes */
} ar_resident_weight_fuse;
/* y (N, O) = x (N, I) W'^T. fuse may be NULL. Up to plan.resident_columns rows of x are products that read W'
 * as it is stored, more go through decoded panels of bounded size. No gradients. W must outlive the graph. */
ar_status ar_op_linear_resident(ar_graph *g, ar_tensor **y, ar_tensor *x, const ar_resident_weight *W,
                                const ar_resident_weight_fuse *fuse);
/* Whether there are products of W with x in bytes: codes of 2 to 8 bits, rows of whole blocks of 32. */
bool ar_resident_weight_takes_bytes(const ar_resident_weight *W);
/* bytes: x (N, I) in signed bytes, 32 to a scale, in the order that W wants, first RMS-normed with norm (I)
 * and eps unless that is NULL. d = max |x| / 127, q = rint(x / d). 12 words of u32 to a block, as
 * shaders/acts_bytes.comp lays them out. No gradient. Errors: UNSUPPORTED where W takes none. */
ar_status ar_op_acts_bytes(ar_graph *g, ar_tensor **bytes, const ar_tensor *x, const ar_tensor *norm,
                           float eps, const ar_resident_weight *W);
/* y (N, O) = x' W'^T of N rows in bytes, fuse (may be NULL, has no norm) as of ar_op_linear_resident. Sums of
 * a block are exact. No gradients. */
ar_status ar_op_linear_bytes(ar_graph *g, ar_tensor **y, const ar_tensor *bytes, int64_t N,
                             const ar_resident_weight *W, const ar_resident_weight_fuse *fuse);

#include "ar_peak_ops.h"
#include "ar_state_ops.h"
#include "ar_step_ops.h"
#include "ar_train_ops.h"

/* ---- selftest ---- */

typedef struct ar_selftest_result {
    const char *kernel, *test;
    double error, bound;
    bool passed;
    char detail[160];
} ar_selftest_result;
typedef void (*ar_selftest_fn)(void *ctx, const ar_selftest_result *result);
/* Runs every kernel case on the device against a scalar double reference, repeat times; calls report for
 * each. Returns CHECK if any failed. filter NULL = all, else substring of the kernel's name or of the case's,
 * as "resident(2"; USAGE when it means none. */
ar_status ar_selftest(ar_device *device, const char *filter, int32_t repeat, uint64_t seed,
                      ar_selftest_fn report, void *ctx);
/* Whether the device computes at all: two dispatches and what they wrote. Dispatches that succeed without
 * effect are found, as some drivers' do after a fault. The null device, which computes nothing, is not asked.
 * Errors: CHECK names device, found and expected; those of the device. */
ar_status ar_device_pulse(ar_device *device);
/* From here on nothing that the device computes is believed unseen: its pulse is taken at once, and each
 * kernel is tried before it is first used, on small inputs against the scalar reference, when a graph with it
 * is built, whose errors are then these too. What was tried is remembered in cache_dir (NULL = nowhere) for
 * this device, driver, plan and set of kernels. Trying takes memory of its own on the same open device,
 * nothing of the budget. Errors: CHECK names device, kernel, found and expected; those of the device (MEMORY,
 * not DEVICE_MEMORY, where trying finds no memory: no smaller work would help). */
ar_status ar_device_check(ar_device *device, const char *cache_dir);

#ifdef __cplusplus
}
#endif
#include "ar_acts.h"
#endif
