/* What net_states.c, states_model.c and lm_states.c share. */
#ifndef AR_NET_STATES_H
#define AR_NET_STATES_H
#include "ar_states.h"

/* How many codes make up 1, and how many deviations that is, of M states of weights; of activations. */
double ar__states_weight_codes(int32_t M);
double ar__states_weight_range(int32_t M);
double ar__states_act_codes(int32_t M);

/* What nets of states can be made of. Errors: ARG. */
ar_status ar__states_check(int32_t mw, int32_t ma, ar_stats stats);

/* Whose mean and variance norms take. */
typedef enum ar__statistics {
    AR__STATISTICS_RUNNING,
    AR__STATISTICS_BATCH,
    AR__STATISTICS_LEARN /* the batch's, which running ones learn from */
} ar__statistics;
ar__statistics ar__statistics_of(const ar_pass *pass);

typedef struct states_layer {
    bool is_conv;
    int32_t H, W, C; /* what it reads */
    int64_t O, I;
    int32_t mw;     /* of its weights; 0 = floats */
    int32_t ma;     /* of what it gives; 0 = floats */
    float w_gain;   /* ar_state_weight.gain */
    float gain;     /* ar_state_round.gain; 0: the last layer */
    float eps;      /* of its norm, in units of its sums */
    int32_t weight; /* index of its first parameter: weight, gain, shift, running */
} states_layer;
typedef struct ar__states_net {
    ar_states_desc desc;
    ar_device *device;
    states_layer layers[2 * AR_STATES_LAYERS + 1];
    int32_t layer_count;
    ar_tensor *fixed; /* the last layer's statistics */
} ar__states_net;

/* The net's layers on codes x (images, ..); codes (layer_count), unless NULL, receives what each but the last
 * gives, before its pool. */
ar_status ar__states_record(const ar_net *net, ar_graph *g, ar_tensor **scores, ar_tensor **codes,
                            ar_tensor *x, ar__statistics from);
/* NULL if net is another. */
const ar__states_net *ar__states_of(const ar_net *net);
ar_state_weight ar__states_weight(const ar__states_net *n, const states_layer *l);
ar_spread_norm ar__states_norm(const ar__states_net *n, const ar_net *net, int32_t layer,
                               ar__statistics from);
#endif
