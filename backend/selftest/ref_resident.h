/* GGUF's block types and the group-wise formats decoded element by element, from their descriptions
 * (github.com/ggml-org/ggml, docs/gguf.md and the formulas of docs/formats.md); includes nothing of ours. */
#ifndef REF_PACKED_H
#define REF_PACKED_H
#include <stdint.h>

/* Weight e of a block of the type with this GGUF number. Exact: the one rounding of f32 is the caller's. */
double ref_block_weight(int gguf_type, const uint8_t *block, int e);
/* Elements and bytes of a block; bytes into it where its fp16 numbers are (-1 = none). */
typedef struct ref_block_form {
    int gguf_type, elems, bytes, d, m;
} ref_block_form;
const ref_block_form *ref_block_form_of(int gguf_type);
/* zero -1: constant zero point 2^(bits-1); least: fp16 bits of a minimum, used where zero is -2. */
double ref_group_weight(int bits, int code, uint16_t scale, int zero, uint16_t least);
#endif
