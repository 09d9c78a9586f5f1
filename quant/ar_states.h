/* Nets whose weights and activations have few states ("MaQD-style": Sawada 2024, arXiv 2403.14999, as far as
 * it is known, docs/maqd.md), trained from the start, and what is left of them when training is over: whole
 * numbers. Part of ar_quant.h, whose rules hold. */
#ifndef AR_STATES_H
#define AR_STATES_H
#include "ar_train.h"
#ifdef __cplusplus
extern "C" {
#endif

/* ---- the net that is trained ---- */

#define AR_STATES_LAYERS 8
/* Images (H, W, C): convolutions of 3 x 3 with a pool of 2 x 2 behind each, then products. Or, with context,
 * bytes: the embeddings of so many, then products. Each layer: weights, norm, rounding; the last one gives
 * the classes' scores. */
typedef struct ar_states_desc {
    int32_t H, W, C, classes;
    int32_t conv[AR_STATES_LAYERS], conv_count;     /* channels that each gives */
    int32_t hidden[AR_STATES_LAYERS], hidden_count; /* widths */
    int32_t context, embed; /* bytes that are read, numbers for each; then H, W, C and conv say nothing */
    float pixel;            /* what of an input times this is a whole number, 0 to 255 */
    int32_t mw, ma;         /* states of weights and of activations; 0 = floats */
    ar_stats stats;         /* of the norms */
    float momentum;         /* of their running statistics; 0 = 0.1 */
    bool raw;               /* weights are not standardized */
    bool plain;             /* gradients end where codes are clipped, in place of the surrogates */
    uint64_t seed;
} ar_states_desc;
/* Parameters: NAME.weight (O, I), NAME.gain, NAME.shift (O), NAME.running (1, 2) or (O, 2), NAME = conv.0,
 * ..., fc.0, ...; "embedding" (256, embed). Columns of convolutions are (c, kh, kw), the first product reads
 * places row by row, (h, w, c). The first and the last layer's weights have the most states, at most 255,
 * whose sums stay below 2^24. Errors: ARG names what does not fit (M = 1, sums that are not exact); the
 * device's. */
ar_status ar_net_states_create(ar_net **net, const ar_states_desc *desc, ar_device *device);

/* ---- whole numbers ---- */

/* One layer in host memory. z = sum of code times input code; a z + b; times gain, rounded, clipped to
 * 0..M-1. */
typedef struct ar_states_layer {
    int32_t H, W, C; /* what it reads; a product reads H W C numbers at once */
    int32_t K;       /* 3: a convolution with zeros around; 0: a product */
    int32_t O, I;    /* outputs, inputs of each */
    int32_t low, high;
    bool two;            /* codes are -1 and 1 alone */
    int8_t *codes;       /* (O, I) */
    float *fold;         /* (O, 2): a, b */
    float gain;          /* 0: the last layer, whose a z + b are the scores */
    int32_t M;           /* of what it gives */
    int32_t *thresholds; /* (O, M - 1), ascending; turned says which side */
    uint8_t *turned;     /* (O): the code is how many thresholds z is at most, else at least */
} ar_states_layer;
typedef struct ar_states_model {
    int32_t H, W, C, classes, mw, ma;
    ar_states_layer *layers;
    int32_t layer_count;
} ar_states_model;
void ar_states_model_deinit(ar_states_model *m);
/* What the net is outside training. Errors: UNSUPPORTED where it is not whole numbers throughout: floats,
 * bytes, statistics of each image; the device's. */
ar_status ar_states_model_read(ar_states_model *m, const ar_net *net, ar_device *device);
/* Fills in thresholds and turned from fold, gain and M: z -> code is monotone in float arithmetic, so that
 * thresholds give every code of it. Errors: MEMORY. */
ar_status ar_states_thresholds(ar_states_layer *l);
/* The class of an image of bytes (H, W, C), and unless NULL the scores (classes) and every layer's codes, one
 * after the other as (places, O), before pools (ar_states_code_count). Sums in int32; codes by thresholds,
 * else by the folded norm in floats: both are the same. Plain C. Errors: MEMORY. */
ar_status ar_states_classify(int32_t *label, float *scores, uint8_t *codes, const ar_states_model *m,
                             const uint8_t *image, bool by_thresholds);
/* The same of `count` images by the net itself, outside training, on its device: scores (count, classes),
 * codes (count, ar_states_code_count). Errors: UNSUPPORTED as above; the device's. */
ar_status ar_net_states_run(float *scores, uint8_t *codes, const ar_net *net, ar_device *device,
                            const uint8_t *images, int64_t count);
int64_t ar_states_code_count(const ar_states_model *m);
/* The same on a device, in whole numbers, `batch` images at a time; keeps_codes: each layer's can be read.
 * Borrows m. Errors: ARG; the device's. */
typedef struct ar_states_runner ar_states_runner;
ar_status ar_states_runner_create(ar_states_runner **r, const ar_states_model *m, ar_device *device,
                                  int64_t batch, bool keeps_codes);
void ar_states_runner_destroy(ar_states_runner *r); /* NULL is fine */
/* labels (count), scores (count, classes) or NULL, codes (count, ar_states_code_count) or NULL, of 1 to
 * `batch` images. Errors: ARG, also for codes that are not kept; the device's. */
ar_status ar_states_runner_run(int32_t *labels, float *scores, uint8_t *codes, ar_states_runner *r,
                               const uint8_t *images, int64_t count);

#ifdef __cplusplus
}
#endif
#endif
