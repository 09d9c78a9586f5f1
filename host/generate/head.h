/* What follows the last block: the final norm and the head, on the device. */
#ifndef AR_HEAD_H
#define AR_HEAD_H
#include "ar_host.h"

typedef struct ar_head {
    ar_tensor *norm, *norm_bias; /* (hidden), (hidden) or NULL */
    ar_packed *W;                /* (V, hidden), as it is stored */
    ar_norm kind;
} ar_head;
/* Reads and uploads both. On failure *h holds nothing. */
ar_status ar__head_init(ar_head *h, const ar_model *m, ar_device *device);
void ar__head_deinit(ar_head *h);
/* logits (N, V) of x (N, hidden). */
ar_status ar__head_record(const ar_head *h, ar_graph *g, ar_tensor **logits, ar_tensor *x);
#endif
