/* Inside host/: how packed folders lie (docs/formats.md). One core for all of them: values of `bits` bits are
 * streams of 32-bit words, filled from the lowest bit of the first word on. A packing says which streams a
 * tensor consists of, and in which order they take their values. */
#ifndef AR_PACKING_H
#define AR_PACKING_H
#include "ar_error.h"
#include "ar_host.h"

/* The tensors P.<suffix> of a linear P. */
typedef struct ar_packing {
    const char *codes, *zeros, *scales, *g_idx, *shape; /* suffixes; shape NULL = there is none */
    bool codes_along_O; /* a stream of codes holds the outputs of one input; else the inputs of one output */
    bool code_columns;  /* words of a stream of codes lie below each other; else side by side */
    bool zero_columns;  /* the same of zero points: a stream holds the outputs of one group */
    bool scales_output_first;             /* scales are (O, groups); else (groups, O) */
    const uint8_t *order;                 /* place in the stream of each of 8 values; NULL = as they come */
    const char *input_scale, *input_zero; /* suffixes of the grid of static inputs; NULL = there is none */
    bool is_bytes; /* no words: codes (O, I) and zero points are signed bytes, ours less 128 */
} ar_packing;
extern const ar_packing ar__packing_gptq, ar__packing_awq, ar__packing_compressed, ar__packing_bytes;

/* One packed tensor: `count` streams of `length` values, each of `words` words. */
typedef struct ar_streams {
    int64_t count, length, words;
    int64_t next_stream, next_word; /* how many words further */
    int64_t dims[2];                /* of the tensor */
    int32_t bits;
    const uint8_t *order;
} ar_streams;
ar_streams ar__packing_codes(const ar_packing *p, int64_t O, int64_t I, int32_t bits);
ar_streams ar__packing_zeros(const ar_packing *p, int64_t O, int64_t groups, int32_t bits);

/* Writes stream `at` of the tensor dst: values src[0], src[step], … */
void ar__stream_put(uint32_t *dst, const ar_streams *s, int64_t at, const uint8_t *src, int64_t step);
/* Values [32 block, 32 block + 32) of stream `at` of the tensor src (little-endian, any alignment); beyond
 * the stream's end what a missing word gives is 0. */
void ar__stream_block(uint8_t values[32], const ar_streams *s, const uint8_t *src, int64_t at, int64_t block);
/* Value i of stream `at`. */
uint32_t ar__stream_value(const ar_streams *s, const uint8_t *src, int64_t at, int64_t i);
#endif
