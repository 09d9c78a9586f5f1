/* The quantizer of double-quantized structures as readable scalar C, from the block descriptions of GGUF:
 * codes and W' in IEEE f32 with the C division, gradients in double. Includes nothing of ours. A weight is
 * (O, I), its groups of G run along I; start (O, I / G, 4): d, dmin, i0, j0 of every group; v (O, I) and mm
 * (O, I / G, 2) whole multiples of 1/v_div and 1/m_div, NULL = not tuned. */
#ifndef REF_SUPER_H
#define REF_SUPER_H
#include <stddef.h>
#include <stdint.h>

typedef struct ref_super {
    int bits, has_min; /* without minima codes stand for q - 2^(bits - 1) */
    int least, most;   /* what a multiple can be; of minima 0 .. most */
    int64_t O, I, G;
    float v_div, m_div;
    const float *W, *dW, *start;
    const int32_t *v, *mm;
} ref_super;

/* Per weight, or per group; the arrays lie in the caller's memory. */
typedef struct ref_super_out {
    float *Wq, *sz;      /* sz (O, I / G, 4): s, m, 1/s, 0 */
    uint8_t *codes, *in; /* in: the clamp did nothing */
    double *dv, *dmm;    /* dmm (O, I / G, 2) */
    double *parts;       /* sums of what cancels in dmm, the scale of tolerances */
} ref_super_out;

size_t ref_super_bytes(const ref_super *f);
/* memory: ref_super_bytes(f) zeroed bytes, aligned for double; it stays the caller's. */
void ref_super_run(ref_super_out *o, const ref_super *f, void *memory);
#endif
