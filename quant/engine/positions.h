/* What every position of the samples counts in the loss, and which are led to a target of their own. */
#ifndef AR_QUANT_POSITIONS_H
#define AR_QUANT_POSITIONS_H
#include "engine.h"

typedef struct ar__positions {
    float *weight; /* (count, T): what ar__loss is given; 0 = does not count */
    bool *shifted; /* (count, T): the target is that of the float chain plus the error at the unit's input;
                    * NULL = nowhere */
} ar__positions;

/* By what desc->loss says (docs/methods.md, equations 14 and 15), from the unit's chains and samples. On
 * failure deinit is due all the same. Errors: MEMORY. */
ar_status ar__positions_init(ar__positions *p, const ar__tune_unit *unit, const ar__tune_desc *desc);
void ar__positions_deinit(ar__positions *p);
#endif
