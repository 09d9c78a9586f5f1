/* anyround quant: quantization methods. A method knows no file format and no model family; what it needs of a
 * model it asks through ar_model and ar_block, which host's families fill in. Shape letters as in
 * ar_backend.h. */
#ifndef AR_QUANT_H
#define AR_QUANT_H
#include "ar_backend.h"
#include "ar_states.h"
#include "ar_train.h"
#include "ar_window.h"
#ifdef __cplusplus
extern "C" {
#endif

/* ---- what a family provides ---- */

/* What one attention needs beside q, k and v. All zero: no rotation, scores over sqrt(D), no window. */
typedef struct ar_attention {
    int32_t D;         /* head width; D % 4 == 0 */
    const float *freq; /* (pairs) rotary radians per position, host memory; NULL = no rotation */
    int32_t pairs;     /* <= D/2: dims i and i + pairs of a head turn together, i < pairs; the rest stay */
    const float *long_freq; /* takes freq's place in sequences of more than long_above tokens; NULL = never */
    int32_t long_above;
    float turn;     /* what turns is multiplied by this, in q and in k; 0 = 1 */
    float scale;    /* of the scores; 0 = 1/sqrt(D) */
    int32_t window; /* a token sees this many, itself included; 0 = all before it */
    float cap;      /* scores become cap tanh(score / cap); 0 = as they are */
} ar_attention;

/* Called by a block's forward for every product, norm, residual and attention, so that float, fake-quantized,
 * tapped, resident or cached evaluation are all choices of the caller. i indexes ar_block.linears, j
 * ar_block.norms. What a hook leaves NULL its base does, and that one's base. Whoever overrides linear sees
 * every product: what takes several things at once (linears, gated, linear_add) falls through only where
 * neither it nor a part of it is overridden, and is composed of its parts there. Families use the ar_hook_
 * functions below alone. */
typedef struct ar_hook ar_hook;
struct ar_hook {
    ar_status (*linear)(void *ctx, ar_graph *g, ar_tensor **y, int32_t i,
                        ar_tensor *x); /* y (N, O) = x W_i^T */
    ar_status (*norm)(void *ctx, ar_graph *g, ar_tensor **y, int32_t j, ar_tensor *x);
    /* y = a + b: a residual and a branch that does not end in a product. */
    ar_status (*add)(void *ctx, ar_graph *g, ar_tensor **y, ar_tensor *a, ar_tensor *b);
    /* y[n] (N, O) of several products of one x, n < count. */
    ar_status (*linears)(void *ctx, ar_graph *g, ar_tensor **y, const int32_t *i, int32_t count,
                         ar_tensor *x);
    /* y = f(x W_gate^T) * (x W_up^T), f by act */
    ar_status (*gated)(void *ctx, ar_graph *g, ar_tensor **y, int32_t gate, int32_t up, ar_act act,
                       ar_tensor *x);
    /* y = residual + x W_i^T */
    ar_status (*linear_add)(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x,
                            ar_tensor *residual);
    /* y (N, H*D) from q (N, H*D) and k, v (N, K*D), not yet rotated: whoever knows the positions rotates. */
    ar_status (*attention)(void *ctx, ar_graph *g, ar_tensor **y, ar_tensor *q, ar_tensor *k, ar_tensor *v,
                           const ar_attention *a);
    void *ctx;
    const ar_hook *base; /* NULL = none; outlives this one */
};
/* quant/core/hook.c. Without a linear or norm in the chain those fail with ARG; without an add it is a sum,
 * without an attention causal attention in sequences of T tokens at positions 0..T-1.
 * Errors: those of the ops; UNSUPPORTED for a scale, which plain attention does not know. */
ar_status ar_hook_linear(const ar_hook *hook, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x);
ar_status ar_hook_norm(const ar_hook *hook, ar_graph *g, ar_tensor **y, int32_t j, ar_tensor *x);
ar_status ar_hook_add(const ar_hook *hook, ar_graph *g, ar_tensor **y, ar_tensor *a, ar_tensor *b);
ar_status ar_hook_linears(const ar_hook *hook, ar_graph *g, ar_tensor **y, const int32_t *i, int32_t count,
                          ar_tensor *x);
ar_status ar_hook_gated(const ar_hook *hook, ar_graph *g, ar_tensor **y, int32_t gate, int32_t up, ar_act act,
                        ar_tensor *x);
ar_status ar_hook_linear_add(const ar_hook *hook, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x,
                             ar_tensor *residual);
ar_status ar_hook_attention(const ar_hook *hook, ar_graph *g, ar_tensor **y, ar_tensor *q, ar_tensor *k,
                            ar_tensor *v, const ar_attention *a, int32_t T);

typedef struct ar_linear {
    const char *name; /* "self_attn.q_proj" */
    int64_t O, I;
    bool has_bias;
} ar_linear;
typedef enum ar_norm_kind { AR_NORM_RMS, AR_NORM_LAYER } ar_norm_kind;
/* I may divide the width of what is normed: then every head is normed by itself (RMS only). */
typedef struct ar_norm {
    const char *name;
    int64_t I;
    float eps;
    ar_norm_kind kind;
    bool has_bias;
} ar_norm;
/* y = x normed by w (I) and, if it has one, bias (I). quant/core/block.c */
ar_status ar_norm_record(const ar_norm *norm, ar_graph *g, ar_tensor **y, ar_tensor *x, ar_tensor *w,
                         ar_tensor *bias);

/* How a weight is stored, for ar_resident_weight_create: desc points into the file or into what the rest
 * owns. */
typedef struct ar_stored ar_stored;

#define AR_MAX_LINEARS 16
#define AR_MAX_NORMS   8
typedef struct ar_block ar_block;
struct ar_block {
    int32_t index;
    const char *name; /* "model.layers.3": what stands before a linear's name in files */
    int32_t linear_count, norm_count;
    ar_linear linears[AR_MAX_LINEARS];
    ar_norm norms[AR_MAX_NORMS];
    int64_t hidden;          /* width of x and y */
    const void *impl;        /* the family's */
    int32_t heads, head_dim; /* of the queries */
    int64_t kv_width;        /* of keys and values: kv heads * head_dim */
    /* y (B*T, hidden) from x (B*T, hidden): rows are B sequences of T tokens, positions 0..T-1 unless
     * hook->attention places them elsewhere. */
    ar_status (*forward)(const ar_block *b, ar_graph *g, ar_tensor **y, ar_tensor *x, int32_t T,
                         const ar_hook *hook);
    /* rows [row, row + rows) of linear i as f32 (rows, I); bias (O); norm weight (I). Host memory. */
    ar_status (*read_linear)(const ar_block *b, float *dst, int32_t i, int64_t row, int64_t rows);
    ar_status (*read_bias)(const ar_block *b, float *dst, int32_t i);
    ar_status (*read_norm)(const ar_block *b, float *dst, int32_t j);
    ar_status (*read_norm_bias)(const ar_block *b, float *dst, int32_t j);
    /* Linear i as it is stored: blocks in the file, codes, or else f32 rows. Zero *s first; ar_stored_deinit.
     */
    ar_status (*describe_linear)(const ar_block *b, ar_stored *s, int32_t i);
};

typedef struct ar_model ar_model;
struct ar_model {
    int32_t block_count;
    int64_t hidden, vocab;
    int32_t max_tokens; /* the model's context length */
    void *impl;         /* the family's */
    ar_block
        *blocks; /* (block_count), owned by the model; reading weights maps files, nothing is on a device */
    ar_norm final_norm;
    float logit_cap; /* logits become cap tanh(logit / cap); 0 = as they are */
    bool tied_head;  /* head rows are the embedding rows */
    /* rows of the embedding (V, hidden) and of the head (V, hidden), and the final norm's weight and bias, as
     * f32. */
    ar_status (*read_embedding)(const ar_model *m, float *dst, int64_t row, int64_t rows);
    ar_status (*read_head)(const ar_model *m, float *dst, int64_t row, int64_t rows);
    ar_status (*read_final_norm)(const ar_model *m, float *dst);
    ar_status (*read_final_norm_bias)(const ar_model *m, float *dst); /* if final_norm.has_bias */
    /* rows of the learned positions (max_tokens, hidden), added to the embedding; NULL = the model has none.
     */
    ar_status (*read_positions)(const ar_model *m, float *dst, int64_t row, int64_t rows);
    /* The head as it is stored, as describe_linear. */
    ar_status (*describe_head)(const ar_model *m, ar_stored *s);
};

/* Token ids, sample after sample, each of exactly T tokens. */
typedef struct ar_samples {
    int32_t *ids;
    int32_t count, T;
} ar_samples;

/* ---- evaluating a model block by block (quant/core/block.c) ---- */

/* Weights of one block on the device, used through `hook`. */
typedef struct ar_block_weights {
    ar_tensor *linears[AR_MAX_LINEARS], *biases[AR_MAX_LINEARS], *norms[AR_MAX_NORMS],
        *norm_biases[AR_MAX_NORMS];
    ar_resident_weight *resident[AR_MAX_LINEARS]; /* instead of linears[i]: weights as they are stored */
    const ar_block *block;
    bool bytes;   /* resident ones take x in bytes where they can */
    ar_hook hook; /* plain evaluation with these weights */
} ar_block_weights;
/* Reads and uploads a block: its linears in f32, or as they are stored, which evaluates to the same but for
 * the order of sums, in less memory, and has no gradients. On failure *w holds nothing. */
ar_status ar_block_weights_init(ar_block_weights *w, const ar_block *block, ar_device *device);
ar_status ar_block_weights_init_stored(ar_block_weights *w, const ar_block *block, ar_device *device);
void ar_block_weights_deinit(ar_block_weights *w);

/* of (linear_count): the norm whose output is what linear i sees, and which nothing but linears sees; -1 =
 * none (quant/core/feeds.c). Errors: those of the block's forward; MEMORY. */
ar_status ar_block_feeds(int32_t of[AR_MAX_LINEARS], const ar_block *block, ar_device *device);
/* What a method delivers of a linear that such a norm feeds: (I) f32 alpha. Its codes are of W / alpha,
 * column by column, and the norm's weight and bias are to be multiplied by alpha. */
#define AR_SCALE_EXTRA "norm_scale"

/* A block's norms (norm_count) and, where they have some, their biases; else those stay as they are. */
ar_status ar_block_upload_norms(ar_tensor **norms, ar_tensor **biases, const ar_block *block,
                                ar_device *device);

/* ---- quantized inputs of a model's linears (quant/core/acts.c, docs/activations.md) ---- */

typedef struct ar_acts {
    ar_acts_scheme scheme; /* 0 bits = all inputs stay floats */
    int32_t block_count;
    float (*grids)[AR_MAX_LINEARS][2]; /* (block_count), owned; s 0 = that stays float */
    bool by_codes;                     /* products of codes as integers */
    bool bytes; /* products of resident weights take their x in bytes where they can (ar_op_acts_bytes) */
} ar_acts;
#define AR_ACTS_EXTRA "input_grid" /* what a method delivers of a static range: (2) f32 s, z */
#define AR_ACTS_TEXT  24
/* "8:token:sym": bits, token (or nothing), tensor or static, sym (or nothing) or asym; 16 = floats. */
ar_status ar_acts_parse(ar_acts_scheme *s, const char *text);
void ar_acts_show(char text[AR_ACTS_TEXT], const ar_acts_scheme *s);
ar_status ar_acts_make_grids(ar_acts *a, int32_t block_count);
void ar_acts_deinit(ar_acts *a);
/* The same of one block, on a device. */
typedef struct ar_acts_block {
    ar_acts_scheme scheme;
    bool skip[AR_MAX_LINEARS];            /* that one stays float */
    ar_tensor *grids[AR_MAX_LINEARS];     /* (1, 2) of a static range */
    ar_int_weight *codes[AR_MAX_LINEARS]; /* of products as integers; NULL = the hook makes the product */
    ar_tensor *biases[AR_MAX_LINEARS];    /* of those */
} ar_acts_block;
/* skip NULL = none. Errors: also UNSUPPORTED for a weight without codes that are integers. */
ar_status ar_acts_block_init(ar_acts_block *d, const ar_acts *a, const ar_block *block, const bool *skip,
                             ar_device *device);
void ar_acts_block_deinit(ar_acts_block *d);
/* *x becomes what linear i sees of it; d NULL = itself. */
ar_status ar_acts_record(const ar_acts_block *d, ar_graph *g, ar_tensor **x, int32_t i);
/* A hook that does so above base. write, unless NULL, makes a tensor that base holds back one that is. */
typedef struct ar_acts_hook {
    const ar_acts_block *d;
    ar_status (*write)(void *ctx, ar_graph *g, ar_tensor **t);
    void *write_ctx;
    ar_hook hook;
} ar_acts_hook;
/* The hook to use: base itself where d is NULL or of 0 bits. */
const ar_hook *ar_acts_hook_init(ar_acts_hook *h, const ar_acts_block *d, const ar_hook *base);

/* ---- the head: final norm, product and soft cap (quant/core/head.c) ---- */

typedef struct ar_head {
    ar_tensor *norm, *norm_bias;  /* (hidden), (hidden) or NULL */
    ar_tensor *rows;              /* (V, hidden) f32, or NULL: */
    ar_resident_weight *resident; /* the same as it is stored */
    ar_norm kind;
    float cap;
    bool bytes; /* resident takes x in bytes where it can */
} ar_head;
/* Reads and uploads: the head in f32, which has gradients, or as it is stored, which has none. On failure *h
 * holds nothing. */
ar_status ar_head_init(ar_head *h, const ar_model *m, ar_device *device);
ar_status ar_head_init_stored(ar_head *h, const ar_model *m, ar_device *device);
void ar_head_deinit(ar_head *h);
/* logits (N, V) of x (N, hidden). Gradients without `resident`: x, and norm, norm_bias and rows where asked
 * for. Errors: those of the ops. */
ar_status ar_head_record(const ar_head *h, ar_graph *g, ar_tensor **logits, ar_tensor *x);

/* A chain of activations for all samples: (count * T, hidden) f32 in host memory, or in a file when large. */
typedef struct ar_chain {
    float *data;
    int64_t rows, width;
    int fd;
} ar_chain;
ar_status ar_chain_init(ar_chain *c, int64_t rows, int64_t width, const char *spill_dir,
                        uint64_t spill_above_bytes);
void ar_chain_deinit(ar_chain *c);
/* dst (count, hidden): what the first block is given for ids at positions pos, pos + 1, …: their embedding
 * rows, with learned positions added. Errors: ARG for ids or positions the model does not have. */
ar_status ar_model_embed(const ar_model *m, float *dst, const int32_t *ids, int64_t count, int64_t pos);
/* Embeds all samples on the host side of the model. Errors: also FORMAT for activations that are NaN or
 * infinite. */
ar_status ar_chain_embed(ar_chain *c, const ar_model *m, const ar_samples *s);
/* out = block(in), batch samples at a time; out may be in. Errors: also FORMAT, as ar_chain_embed, named by
 * the block. */
ar_status ar_chain_forward(ar_chain *out, const ar_chain *in, ar_device *device, const ar_block *block,
                           const ar_hook *hook, int32_t T, int32_t batch);

/* Progress and cancelling; every field optional. */
typedef struct ar_progress_event {
    const char *stage; /* "measure", "calibrate", "tune", "block", "scales", "factors", "write", "eval" */
    int32_t block, block_count, step, step_count;
    double loss_first, loss_best, loss_last, tokens_per_s, seconds;
    uint64_t device_bytes;
    double job_share, job_seconds_left; /* of the whole job, as far as it is known; 0 and 0 = it is not */
    int32_t window, window_count;       /* "tune": the walk's; blocks from `block` on that it tunes: */
    int32_t tuned_count;
} ar_progress_event;
typedef struct ar_observer {
    void (*progress)(void *ctx, const ar_progress_event *event);
    bool (*cancelled)(void *ctx); /* polled between steps; true ends with ERR_INTERRUPTED */
    void (*warn)(void *ctx, const char *line);
    void *ctx;
} ar_observer;

/* ---- results ---- */

/* A tensor that a method delivers beside a linear's codes, such as low-rank factors or scales of the inputs.
 */
#define AR_EXTRA_NAME 32
#define AR_EXTRA_DIMS 4
typedef struct ar_extra {
    char name[AR_EXTRA_NAME]; /* no dots */
    ar_dtype dtype;
    int32_t dim_count;
    int64_t dims[AR_EXTRA_DIMS];
    void *data; /* owned, host memory */
} ar_extra;
size_t ar_extra_bytes(const ar_extra *e);

/* One quantized linear, in host memory, exactly as it will be stored. W'[o,i] = s (q - zp), or s q + b when
 * zero is AR_ZERO_F16MIN (b = fp16(-zp s)). Scales may be negative in the symmetric scheme. With scheme.super
 * the last four hold the scales (see ar_super), and scales, zeros and mins are NULL; every product is rounded
 * to f32. */
typedef struct ar_qlinear {
    ar_scheme scheme;
    int64_t O, I, groups;
    uint8_t *codes;     /* (O, I), 0 .. 2^bits - 1 */
    uint16_t *scales;   /* (O, groups) fp16 bits */
    uint8_t *zeros;     /* (O, groups); 2^(bits-1) for SYM */
    uint16_t *mins;     /* (O, groups) fp16 bits, AR_ZERO_F16MIN only, else NULL */
    int64_t supers;     /* super-blocks of a row, I / 256; 0 without scheme.super */
    uint16_t *d, *dmin; /* (O, supers) fp16 bits; dmin: AR_ZERO_F16MIN only, else NULL */
    int8_t *sub_scales; /* (O, groups): sc */
    uint8_t *sub_mins;  /* (O, groups): mn; AR_ZERO_F16MIN only, else NULL */
    ar_extra *extras;   /* (extra_count), owned; W' above is without them */
    int32_t extra_count;
} ar_qlinear;
ar_status ar_qlinear_init(ar_qlinear *q, const ar_scheme *scheme, int64_t O, int64_t I);
void ar_qlinear_deinit(ar_qlinear *q);
void ar_qlinear_free(ar_qlinear *q); /* deinit + free; NULL is fine */
/* quant/core/extra.c. Adds a tensor with a copy of data (NULL = zeros). Errors: ARG for a name that is empty,
 * too long, dotted or there already, or an unknown type; SHAPE for a dimension below 1 or more than 2^31 - 1
 * elements; MEMORY. */
ar_status ar_qlinear_add_extra(ar_qlinear *q, const char *name, ar_dtype dtype, int32_t dim_count,
                               const int64_t *dims, const void *data);
const ar_extra *ar_qlinear_extra(const ar_qlinear *q, const char *name); /* NULL if there is none */
void ar_qlinear_drop_extras(ar_qlinear *q);
/* dst (O, I) = W'. Plain f32 arithmetic, the reference every reader is compared with bit for bit. */
void ar_qlinear_dequant(float *dst, const ar_qlinear *q);
/* Round to nearest on the host in f32; the scalar truth of the scheme. Errors: those of the two checks below.
 */
ar_status ar_qlinear_rtn(ar_qlinear *q, const float *W);
/* quant/core/lowrank.c. A (O, rank) and B (rank, I) with the least ||E - A B|| of E (O, I): E's leading
 * singular vectors, the root of the singular value in either. What the smaller side of E does not give is 0.
 * The same on every device. Errors: SHAPE, MEMORY. (LoRC, arXiv 2303.08302) */
ar_status ar_low_rank(float *A, float *B, const float *E, int64_t O, int64_t I, int64_t rank);
/* quant/core/check.c. Whether rows [row, row + rows) of the weight called `what`, W (rows, I), are finite and
 * scheme (may be NULL) holds them; row -1: a vector (1, I). Errors: FORMAT names the first element that is
 * NaN, infinite, or so large that no scheme of these bits holds it. */
ar_status ar_quant_check_weights(const char *what, const float *W, const ar_scheme *scheme, int64_t row,
                                 int64_t rows, int64_t I);
/* Whether fp16 holds the scales and minima of q, which are those of `what` from row `row` on. Errors: FORMAT
 * names the first group whose scale is beyond its range. */
ar_status ar_qlinear_check_scales(const ar_qlinear *q, const char *what, int64_t row);

/* codes, row_order (O) and rows (O, I) are owned; NULL where desc does not point to them. */
struct ar_stored {
    ar_resident_weight_desc desc;
    ar_qlinear *codes;
    int32_t *row_order;
    float *rows;
};
void ar_stored_deinit(ar_stored *s);

/* ---- what a method delivers ---- */

typedef struct ar_block_report {
    int32_t block;
    double loss_first, loss_best, heldout_first, heldout_best, seconds;
    double heldout_nearest; /* of round to nearest (method rtn) on the same input; heldout_first where tuning
                             * starts from that, 0 where nothing is held out */
    int32_t best_step;
    const float *history; /* loss of every step, step_count long; NULL for rtn */
    int32_t step_count;
    uint64_t device_bytes; /* high-water mark so far */
    ar_window_span window; /* that delivered it, whose the losses are; count 0 = rtn */
} ar_block_report;

/* Where a method delivers a finished block. linears[i] is NULL where choose said so (stays float). */
typedef struct ar_sink {
    ar_status (*block)(void *ctx, const ar_block *block, ar_qlinear *const *linears,
                       const ar_block_report *report);
    /* true if block b was finished in an earlier run: its W' then comes from load, and no tuning is done. */
    bool (*finished)(void *ctx, int32_t block);
    ar_status (*load)(void *ctx, const ar_block *block, ar_qlinear **linears);
    void *ctx;
    /* Where windows overlap: what window `window` (ar_window_at) left of a block that the next one goes on
     * with, told before any block that it delivers; and, of an earlier run, what is left so: *found = false
     * if it is gone. Of the windows before the one before it nothing is asked any more. NULL = nothing is
     * kept: a resumed walk tunes from the first window on. */
    ar_status (*visited)(void *ctx, int32_t window, const ar_block *block, ar_qlinear *const *linears);
    ar_status (*revisit)(void *ctx, bool *found, int32_t window, const ar_block *block, ar_qlinear **linears);
} ar_sink;

/* ---- methods ---- */

/* How an option of a method is written. */
typedef enum ar_value_kind { AR_VALUE_FLAG, AR_VALUE_INT, AR_VALUE_REAL, AR_VALUE_CHOICE } ar_value_kind;

typedef struct ar_method ar_method;
typedef struct ar_method_options ar_method_options;

/* One option of a method. From these rows come parsing and its errors, help, what the state of a run
 * compares, what reports print and what writers store. */
typedef struct ar_option_row {
    const char *name; /* "minmax_lr"; as an option --minmax-lr, a flag that is on by itself --no-NAME */
    ar_value_kind kind;
    double preset;             /* where nothing is given; of a choice the index */
    double lo, hi;             /* INT, REAL: what may be given */
    const char *const *choice; /* CHOICE: its words, NULL at the end */
    const char *value,
        *help;           /* "N", what it does; help NULL = a program sets it, it is no option of its own */
    const char *record;  /* its name in a run's state and report; NULL = it does not decide the result;
                          * " x " = its value is put behind that of the row before, these words between */
    const char *zero_is; /* the method that 0 of this one amounts to; NULL = none */
    /* What stands for 0, in linears of `scheme`; NULL = 0 is 0. */
    double (*rule)(const ar_method_options *o, const ar_scheme *scheme);
} ar_option_row;

/* Values for several options at once, under one name; values given one by one win. */
typedef struct ar_recipe_value {
    const char *option; /* NULL = no more */
    double value;
    const char *unless; /* not taken where this option is given either; NULL = no such one */
} ar_recipe_value;
#define AR_RECIPE_VALUES 8
typedef struct ar_recipe {
    const char *name, *help;
    ar_recipe_value values[AR_RECIPE_VALUES];
} ar_recipe;

/* One value for every option of a method. The fields are quant/method's: use the functions. */
#define AR_MAX_OPTIONS 32
struct ar_method_options {
    const ar_method *method;
    const char *recipe; /* NULL = none was named */
    double value[AR_MAX_OPTIONS];
    bool given[AR_MAX_OPTIONS];
};
/* Every option as its row has it. */
void ar_method_options_init(ar_method_options *o, const ar_method *method);
/* The value of option `name` as `text` writes it: a number, a choice's word, 0 or 1 for a flag; "recipe" too.
 * Errors: USAGE names the option, what was found and expected. */
ar_status ar_method_options_set(ar_method_options *o, const char *name, const char *text);
/* As a program sets it: unchecked, and not as given by a user. Nothing happens if there is no such option. */
void ar_method_options_put(ar_method_options *o, const char *name, double value);
/* 0 if there is no such option. A choice's index. */
double ar_method_options_get(const ar_method_options *o, const char *name);
/* As get, but in linears of `scheme` and after the row's rule. */
double ar_method_options_rule(const ar_method_options *o, const char *name, const ar_scheme *scheme);
bool ar_method_options_given(const ar_method_options *o, const char *name);
/* Takes the recipe's values (the method's own if none was named) where none are given and checks what all
 * mean together. Errors: USAGE, also for what would have no effect. */
ar_status ar_method_options_finish(ar_method_options *o);
/* The method that is run in the end; *row, unless NULL, is the option that says so, or NULL. */
const ar_method *ar_method_options_method(const ar_method_options *o, const ar_option_row **row);
/* Field *at of what the result depends on, and *at moves on: name and value, as a state records it. false
 * past the last one. */
bool ar_method_options_record(const char **name, char *text, size_t bytes, const ar_method_options *o,
                              int32_t *at);
/* Option i of the method as people read it: a choice's word, yes or no for a flag, and for a 0 that a rule
 * replaces what stands there in linears of `scheme`; "" where 0 is no value but says that none was given. */
void ar_method_options_show(char *text, size_t bytes, const ar_method_options *o, int32_t i,
                            const ar_scheme *scheme);
/* "--minmax-lr", "--no-minmax": how the row is written as an option. */
void ar_option_row_spell(char *text, size_t bytes, const ar_option_row *row);

typedef struct ar_quant_desc {
    ar_scheme scheme;
    /* The scheme of linear i of a block, which is `scheme` unless changed; false = it keeps its float weights
     * (a format cannot hold it). NULL = `scheme` for all. */
    bool (*choose)(void *ctx, const ar_block *block, int32_t i, ar_scheme *scheme);
    void *choose_ctx;
    /* dst (I) = the mean squares of linear i's inputs, up to a factor, from elsewhere: in the place of those
     * that are seen on samples, which a method of AR_NEEDS_MOMENTS then does without. NULL = seen. */
    ar_status (*moments)(void *ctx, float *dst, const ar_block *block, int32_t i);
    void *moments_ctx;
    /* *q = malloc'ed codes in linear i's scheme that its tuning starts from, in the place of a search; for a
     * method that `starts` from codes. NULL = a search. */
    ar_status (*start)(void *ctx, ar_qlinear **q, const ar_block *block, int32_t i);
    void *start_ctx;
    ar_acts_scheme acts;   /* of inputs, which tuning sees; static: of the samples' ranges, with extras */
    double acts_share;     /* of the tokens that a static range holds on either side; 0 = all of them */
    const char *spill_dir; /* activation chains larger than spill_above_bytes go here */
    uint64_t spill_above_bytes;       /* 0 = 4 GiB */
    const ar_method_options *options; /* of the method that is run; NULL = as its rows have them */
} ar_quant_desc;

/* What a method wants besides weights. Bits. */
typedef enum ar_method_needs {
    AR_NEEDS_NOTHING = 0,
    AR_NEEDS_SAMPLES = 1,       /* calibration samples */
    AR_NEEDS_LOSS_GRADIENT = 2, /* the gradient of the model's own loss on them */
    AR_NEEDS_MOMENTS = 4 /* of samples only the moments of inputs: none are needed where those are given */
} ar_method_needs;
/* What a run takes, as measured with the model's first blocks; seconds of a block, unless it says more. */
typedef struct ar_quant_cost {
    int32_t tuned_blocks, steps, batch; /* tuned, the first of the model; steps of a window; samples of one */
    ar_window window;                   /* of the tuned ones; 0 blocks = 1, 1, 0 */
    int32_t micro_batches;              /* of a step */
    int32_t measured;                   /* samples it was measured with */
    bool is_streamed;         /* each batch is written to the device: both chains do not fit there */
    double flops;             /* of the tuning of all blocks */
    double start, tuned_lead; /* before the first block, and before the first step of a whole window */
    double step;              /* of a whole window, with its share of held-out passes */
    double behind;            /* of each block that it delivers: the chain behind that */
    double work;              /* ar_window_work of that window */
    double pace;              /* FLOPs a second of a step; 0 = what the fields above come to */
    double other_block;       /* rounded to nearest, or float */
    double walked_block;      /* tuned by an earlier run: what follows sees it */
    uint64_t device_bytes;    /* the device's high-water mark */
    uint64_t visit_bytes;     /* of a block that a later window goes on with, on the host */
} ar_quant_cost;
/* Seconds of a tuned window: before its first step, of a step, and in all. */
void ar_quant_cost_window(double *lead, double *step, double *all, const ar_quant_cost *c,
                          const ar_window_span *s);

/* What writers store of an option: under this key, after its rule. */
typedef struct ar_stored_option {
    const char *option, *key; /* NULL = no more */
} ar_stored_option;

struct ar_method {
    const char *name, *help;
    ar_status (*run)(const ar_model *model, ar_device *device, const ar_samples *samples,
                     const ar_quant_desc *desc, const ar_sink *sink, const ar_observer *observer);
    ar_method_needs needs;
    bool starts;   /* can start from given codes (ar_quant_desc.start) */
    bool searches; /* starts from a grid searched under moments of inputs, in every scheme; else in K types */
    bool scales;   /* delivers AR_SCALE_EXTRA, for quantized inputs, also where weights stay float */
    uint32_t taps; /* what looks at inputs of linears on the way: bits, AR__TAP of rows of taps.def */
    const ar_option_row *options; /* (option_count), at most AR_MAX_OPTIONS */
    int32_t option_count;
    const ar_recipe *recipes;
    int32_t recipe_count;
    const char *recipe; /* taken where none is named; NULL = none is */
    /* Names of the extras that it delivers, ended by NULL; NULL = none. A format that cannot hold one is
     * refused before the work. */
    const char *const *extras;
    const ar_stored_option *stored; /* in the order they are written; NULL = nothing */
    /* What the values mean together, with as many samples as option "samples" says: refuses (USAGE) what
     * cannot be and what would have no effect, and puts what will be done in the place of what was wished,
     * remarking on it to observer (NULL = to nobody). NULL = any values will do. */
    ar_status (*settle)(ar_method_options *o, const ar_observer *observer);
    /* What run would take with these arguments, and the device's memory with it; nothing is delivered. A few
     * of the samples are looked at, whose ids may be any. Stage "measure" is told once the most memory is in
     * use. Errors: as run's. */
    ar_status (*measure)(ar_quant_cost *cost, const ar_model *model, ar_device *device,
                         const ar_samples *samples, const ar_quant_desc *desc, const ar_observer *observer);
};
/* NULL if there is no such method. Index form: NULL past the end. */
const ar_method *ar_method_find(const char *name);
const ar_method *ar_method_at(int32_t index);
/* Does it weigh errors under this scheme by the moments of inputs? */
bool ar_method_weighs_inputs(const ar_method *method, const ar_scheme *scheme);

/* Quantizes one weight on the device without tuning: q from W (host f32). Errors: as ar_qlinear_rtn; the
 * device's. */
ar_status ar_rtn_linear(ar_qlinear *q, ar_device *device, const float *W);

#include "ar_finish.h"

/* Counter-based random numbers (Philox-4x32-10), keyed by (seed, stream, counter). */
uint32_t ar_random_u32(uint64_t seed, uint64_t stream, uint64_t counter);
double ar_random_unit(uint64_t seed, uint64_t stream, uint64_t counter); /* [0, 1) */

#ifdef __cplusplus
}
#endif
#endif
