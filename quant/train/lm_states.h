/* A language model's blocks with products of few states (docs/maqd.md): what net_lm.c hooks into them. */
#ifndef AR_LM_STATES_H
#define AR_LM_STATES_H
#include "ar_quant.h"
#include "net_states.h"

typedef struct ar__lm_states ar__lm_states;
/* Parameters of every product of the blocks, whose weights are borrowed. Errors: ARG names what does not fit;
 * MEMORY, the device's. */
ar_status ar__lm_states_create(ar__lm_states **s, const ar_model *m, const ar_block_weights *blocks,
                               ar_device *device, const ar_lm_states_desc *desc);
void ar__lm_states_destroy(ar__lm_states *s); /* NULL is fine */
/* Appends them to the net's: NAME.in_gain, NAME.in_shift (I), NAME.running, NAME.gain, NAME.shift (O). */
void ar__lm_states_list(ar_net *net, const ar__lm_states *s);
int32_t ar__lm_states_count(const ar__lm_states *s); /* how many */

/* Evaluates one block; base knows its residuals and attention. */
typedef struct ar__lm_states_hook {
    ar_hook hook;
    const ar__lm_states *states;
    const ar_block_weights *weights;
    ar__statistics from;
    int32_t T; /* tokens of a sequence */
} ar__lm_states_hook;
void ar__lm_states_hook_init(ar__lm_states_hook *h, const ar__lm_states *s, const ar_block_weights *w,
                             ar__statistics from, int32_t T);
#endif
