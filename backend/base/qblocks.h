/* The blocks of GGUF's quantized types (github.com/ggml-org/ggml, docs/gguf.md), bytes in file order: they
 * may lie anywhere in a mapped file. d, m, dmin are little-endian fp16; sizes are checked against qtypes.def.
 */
#ifndef AR_QBLOCKS_H
#define AR_QBLOCKS_H
#include <stdint.h>

typedef struct ar__q4_0 {
    uint8_t d[2], qs[16];
} ar__q4_0; /* also IQ4_NL */
typedef struct ar__q4_1 {
    uint8_t d[2], m[2], qs[16];
} ar__q4_1;
typedef struct ar__q5_0 {
    uint8_t d[2], qh[4], qs[16];
} ar__q5_0;
typedef struct ar__q5_1 {
    uint8_t d[2], m[2], qh[4], qs[16];
} ar__q5_1;
typedef struct ar__q8_0 {
    uint8_t d[2], qs[32];
} ar__q8_0;
typedef struct ar__q2_k {
    uint8_t scales[16], qs[64], d[2], dmin[2];
} ar__q2_k;
typedef struct ar__q3_k {
    uint8_t hmask[32], qs[64], scales[12], d[2];
} ar__q3_k;
typedef struct ar__q4_k {
    uint8_t d[2], dmin[2], scales[12], qs[128];
} ar__q4_k;
typedef struct ar__q5_k {
    uint8_t d[2], dmin[2], scales[12], qh[32], qs[128];
} ar__q5_k;
typedef struct ar__q6_k {
    uint8_t ql[128], qh[64], scales[16], d[2];
} ar__q6_k;
#endif
