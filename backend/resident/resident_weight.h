/* Resident weights, shared by resident_weight.c and resident_*.c (repacking, decoding), op_linear_resident.c
 * and gemm.c (products). */
#ifndef AR_PACKED_H
#define AR_PACKED_H
#include "internal.h"

#define AR__BLOCK 32 /* inputs of a block of codes */
#define AR__SPAN  8  /* blocks of a row repacked together: those of a K-quant's block */

/* The layout of shaders/unpack.h: rows padded to whole panels, inputs to whole blocks. */
struct ar_resident_weight {
    ar_device *device;
    ar_tensor *words; /* (panels, pw * lp * vw) u32; NULL when O is 0 */
    ar_qtype type;
    int64_t O, I, panels;
    bool is_interleaved;
    uint32_t code, scale;    /* kinds of unpack.h */
    uint32_t nb, ub, gb;     /* blocks in a row, in a unit of scales, in a group */
    uint32_t code_words, pw; /* words of a block's codes; of a whole row */
    uint32_t lp, vw;         /* a panel has lp * vw rows */
};

/* ---- resident_weight.c ---- */

/* Code and scale kinds, words and units of a part; F32 for groups that cut blocks. */
ar_status ar__resident_layout(ar_resident_weight *w, const ar_resident_weight_desc *part);

/* ---- resident_rows.c, resident_upload.c ---- */

/* Of row o of a part: the words of blocks [first, first + AR__SPAN) and their scales, word i of the row at
 * words[i * step]. first is a multiple of AR__SPAN; inputs behind the last one get no words. */
void ar__resident_span(uint32_t *words, size_t step, const ar_resident_weight *w,
                       const ar_resident_weight_desc *part, int64_t o, uint32_t first);
/* Of the same inputs of that row, the first that is no number, *found = what it is instead; -1 = none. Of
 * blocks and groups that is the first input of the first whose scale or minimum is none. resident_finite.c */
int64_t ar__resident_find_bad(const char **found, const ar_resident_weight_desc *part, int64_t o,
                              uint32_t first);
/* Repacks all rows of the parts into w->words. Errors: FORMAT (of named parts), MEMORY, DEVICE. */
ar_status ar__resident_upload(ar_resident_weight *w, const ar_resident_weight_desc *parts);

/* ---- resident_decode.c ---- */

/* A range of panels as an operand, and the first row of it. */
typedef struct ar__panels {
    int64_t first, count;
    uint32_t shift; /* vectors of vw words before the first panel */
    ar__operand operand;
} ar__panels;
/* The panels from `first` on that one binding holds, up to `end`. */
ar__panels ar__resident_bind(const ar_resident_weight *w, int64_t first, int64_t end);

/* Decodes what p asks for (graph.h) of p->weights into p->packed. row0 is a multiple of the device's vw, k0
 * of 32. */
struct ar__pack;
ar_status ar__resident_unpack(ar_graph *g, const struct ar__pack *p);
#endif
