/* Inside host/: weights as if some tensors were not there. */
#ifndef AR_WEIGHTS_H
#define AR_WEIGHTS_H
#include "ar_host.h"
/* drop has an element for every tensor; those that are set go, the others keep their order. Errors: MEMORY;
 * the weights are then as they were. */
ar_status ar__weights_drop(ar_weights *w, const bool *drop);

/* How one tensor is seen: its columns, or rows, times by (divided by it), in f32. */
typedef struct ar__weight_scale {
    float *by; /* NULL = as it is */
    bool divides, along_rows;
} ar__weight_scale;
/* From here on w's tensors are seen so: list (one for every tensor) and what it points to are w's, if it does
 * not fail. Scaled vectors are F32; codes and blocks are not shown any more. Errors: MEMORY. */
ar_status ar__weights_scale(ar_weights *w, ar__weight_scale *list);
#endif
