/* Inside host/: tensors found by name; weights as if some tensors were not there. */
#ifndef AR_WEIGHTS_H
#define AR_WEIGHTS_H
#include "ar_host.h"
/* Names in order, for whoever looks many of them up: a file may have a million tensors. */
typedef struct ar__weight_names {
    struct ar__weight_name *list;
    int64_t count;
} ar__weight_names;
/* Borrows w, which stays as it is. Errors: MEMORY. */
ar_status ar__weight_names_init(ar__weight_names *n, const ar_weights *w);
void ar__weight_names_deinit(ar__weight_names *n);
/* As ar_weights_find. */
int64_t ar__weight_names_find(const ar__weight_names *n, const char *name);

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
