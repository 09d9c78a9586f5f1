/* anyround train: parameters that follow a loss's gradient, step by step. Four parts that know nothing of
 * each other: a net (parameters, and how its loss is recorded), data (examples), a desc (optimizer, schedule)
 * and the trainer, which steps. Part of ar_quant.h, whose rules hold. */
#ifndef AR_TRAIN_H
#define AR_TRAIN_H
#include "ar_backend.h"
#ifdef __cplusplus
extern "C" {
#endif

/* ---- a net ---- */

#define AR_PARAM_NAME 200
typedef struct ar_param {
    char name[AR_PARAM_NAME];
    ar_tensor *t;  /* f32 on the device, the net's */
    bool decays;   /* weight decay is for it: matrices */
    bool is_state; /* follows no gradient: what passes record by themselves, as running means */
} ar_param;

/* One pass over a batch. Rows of input belong to its examples in order, and so do labels. */
typedef struct ar_pass {
    ar_tensor *input;
    const ar_tensor *labels; /* (N) i32; negative = none */
    const ar_tensor *count;  /* (1) i32: how many training passes there were; random numbers depend on it */
    bool is_training;        /* dropout, statistics of the batch; else as the finished net is used */
    bool of_batch;           /* not training, yet with statistics of the batch, which nothing learns from */
    bool recompute;          /* keep little for backward: ar_graph_recompute */
} ar_pass;
typedef struct ar_net ar_net;
struct ar_net {
    ar_param *params;
    int32_t param_count;
    /* nll (N): the loss of every label; top1 (N) i32: what the net says instead. */
    ar_status (*record)(const ar_net *net, ar_graph *g, ar_tensor **nll, ar_tensor **top1,
                        const ar_pass *pass);
    void (*destroy)(ar_net *net);
    void *impl;
    bool no_recompute; /* what a pass leaves behind would be left twice (running statistics) */
};
void ar_net_destroy(ar_net *net); /* NULL is fine */

/* A language model as a net: example = tokens (T), label = the token behind each. Reads the weights of m,
 * which must outlive it. Parameters of blocks have their names in files; the others are called
 * AR_PARAM_EMBEDDING (also the head, where that is tied), and so on. Errors: those of reading and of the
 * device; ARG (T). */
#define AR_PARAM_EMBEDDING  "embedding"
#define AR_PARAM_POSITIONS  "positions"
#define AR_PARAM_HEAD       "head"
#define AR_PARAM_FINAL_NORM "final_norm"
#define AR_PARAM_FINAL_BIAS "final_norm.bias"
typedef struct ar_model ar_model;
/* Few states in the products of its blocks (docs/maqd.md). */
typedef struct ar_lm_states_desc {
    int32_t mw, ma;  /* states of weights and of inputs; 0 = floats */
    ar_stats stats;  /* of the norms in front of products: over tokens and channels; SAMPLE: of a sequence,
                        LAYER: of a token */
    float momentum;  /* of their running statistics; 0 = 0.1 */
    bool raw, plain; /* as ar_states_desc */
} ar_lm_states_desc;
typedef struct ar_lm_desc {
    int32_t T;
    float dropout; /* of the embedding, and of what each branch adds (Srivastava 2014) */
    uint32_t seed; /* of dropout */
    int64_t piece; /* ids of the vocabulary whose logits are computed at a time; 0 = as many as 64 MiB hold */
    const ar_lm_states_desc *states; /* NULL = floats */
} ar_lm_desc;
/* With states each product of a block is NAME.weight as always, and in front of it a norm, NAME.in_gain and
 * NAME.in_shift (I), NAME.running, and rounding; behind it a gain and a shift (O) of each output. The blocks'
 * own norms are left out. Then recomputing is UNSUPPORTED, and so are biases. */
ar_status ar_net_lm_create(ar_net **net, const ar_model *m, ar_device *device, const ar_lm_desc *desc);
/* Outside training, the logits (N, V) behind the tokens at places `which` (N) i32 of one sequence ids (T)
 * i32, of any T that the model knows; places behind them change nothing. Errors: ARG for a net that is none
 * of these and for learned positions; those of the ops. */
ar_status ar_net_lm_logits(const ar_net *net, ar_graph *g, ar_tensor **logits, const ar_tensor *ids,
                           const ar_tensor *which);

/* A net for images: convolutions of 3 x 3, each with a bias, ReLU and a pool of 2 x 2, then products with
 * ReLU, then one for the classes. Example = its places (H W, C), label = its class. Parameters, in this
 * order: conv.N.weight (O, C 9), columns (c, kh, kw), conv.N.bias, fc.N.weight (O, I), fc.N.bias; the first
 * product reads places row by row, (h, w, c). */
#define AR_IMAGE_LAYERS 8
typedef struct ar_image_desc {
    int32_t H, W, C, classes;
    int32_t conv[AR_IMAGE_LAYERS], conv_count;     /* channels that each gives */
    int32_t hidden[AR_IMAGE_LAYERS], hidden_count; /* widths */
    uint64_t seed; /* of what it begins with: uniform within 1 / sqrt(inputs of a unit), as PyTorch does */
} ar_image_desc;
/* values: of every parameter, in that order; NULL = drawn. Errors: ARG names what does not fit; the device's.
 */
ar_status ar_net_image_create(ar_net **net, const ar_image_desc *desc, ar_device *device,
                              const float *const *values);

/* ---- data ---- */

typedef struct ar_data ar_data;
struct ar_data {
    ar_dtype dtype;      /* of inputs: I32 or F32 */
    int64_t rows, width; /* of an example's input; width 0: one-dimensional */
    int64_t labels;      /* of an example */
    int64_t held_count;  /* examples held out; 0 = none */
    /* Examples [first, first + count) of the batch of step `step`: the same whenever it is asked. */
    ar_status (*draw)(const ar_data *d, void *input, int32_t *labels, int64_t step, int32_t first,
                      int32_t count);
    /* Held-out examples [first, first + count). */
    ar_status (*held)(const ar_data *d, void *input, int32_t *labels, int64_t first, int32_t count);
    void *impl;
};

/* ---- stepping ---- */

typedef enum ar_train_optimizer { AR_TRAIN_ADAMW, AR_TRAIN_SGD } ar_train_optimizer;
typedef struct ar_train_desc {
    ar_train_optimizer optimizer;
    ar_rate_desc rate; /* beta1, beta2 of AdamW too */
    float eps, momentum, decay;
    float clip;         /* of the gradients' norm; 0 = none */
    int32_t steps;      /* of the schedule */
    int32_t batch;      /* examples of a step */
    int32_t accumulate; /* passes of a step, each over batch / accumulate examples; divides batch */
    bool recompute;
} ar_train_desc;

typedef struct ar_trainer ar_trainer;
/* Records the passes. Where they do not fit the device's memory it recomputes, then cuts a step into more
 * passes; desc says afterwards what it does. Borrows all of its arguments but desc. Errors: ARG, those of the
 * net, DEVICE_MEMORY where not even one example fits. */
ar_status ar_trainer_create(ar_trainer **t, ar_net *net, const ar_data *data, ar_train_desc *desc,
                            ar_device *device);
void ar_trainer_destroy(ar_trainer *t); /* NULL is fine */
/* One step. loss: the mean over its batch, before it; norm: of the gradients, before clipping. Both may be
 * NULL. A loss that is not finite is told, not an error. Errors: ARG past the last step; data's, device's. */
ar_status ar_trainer_step(ar_trainer *t, double *loss, double *norm);
/* The mean loss over the labels of the held-out examples, and the share of them that the net says. */
typedef struct ar_train_score {
    double loss, accuracy;
    int64_t labels;
} ar_train_score;
ar_status ar_trainer_evaluate(ar_trainer *t, ar_train_score *score);
/* The same without a trainer, `batch` examples at a time; said (held_count * labels), unless NULL, receives
 * what the net says of every label. */
ar_status ar_net_score(ar_train_score *score, int32_t *said, const ar_net *net, const ar_data *data,
                       ar_device *device, int32_t batch);
/* Two scores of the held-out examples that fill whole batches: with running statistics, as the net is used,
 * and with those of each batch, through which examples see each other, and tokens later ones. */
ar_status ar_net_score_gap(ar_train_score *running, ar_train_score *batches, const ar_net *net,
                           const ar_data *data, ar_device *device, int32_t batch);
int32_t ar_trainer_at(const ar_trainer *t);  /* steps taken */
double ar_trainer_rate(const ar_trainer *t); /* of the next step */
/* What must be kept to go on with the same bits: tensor i, under its name ("NAME", "mean.NAME",
 * "square.NAME"); NULL past the last. ar_trainer_resume says how many steps were taken when they were. */
ar_tensor *ar_trainer_state(char name[AR_PARAM_NAME + 8], const ar_trainer *t, int32_t i);
ar_status ar_trainer_resume(ar_trainer *t, int32_t steps);

#ifdef __cplusplus
}
#endif
#endif
