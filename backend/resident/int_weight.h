/* Integer weights, shared by int_weight.c and op_linear_int.c. */
#ifndef AR_INT_WEIGHT_H
#define AR_INT_WEIGHT_H
#include "internal.h"

#define AR__INT_PANEL 16 /* outputs side by side */

/* The layout of shaders/int_linear.comp: rows padded to whole panels, inputs to whole words. */
struct ar_int_weight {
    ar_device *device;
    ar_tensor *codes; /* (panels, words, 16) u32 */
    ar_tensor *grid;  /* (panels, groups * 16, 2) f32: scale, zero point */
    int64_t O, I, panels, words, groups, group_words;
};
#endif
