/* Inside host/: weights as if some tensors were not there. */
#ifndef AR_WEIGHTS_H
#define AR_WEIGHTS_H
#include "ar_host.h"
/* drop has an element for every tensor; those that are set go, the others keep their order. Errors: MEMORY;
 * the weights are then as they were. */
ar_status ar__weights_drop(ar_weights *w, const bool *drop);
#endif
