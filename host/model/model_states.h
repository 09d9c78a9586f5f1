/* Inside host/: opening a language model of few states (docs/maqd.md), which commands for models of floats
 * refuse. */
#ifndef AR_MODEL_STATES_H
#define AR_MODEL_STATES_H
#include "states_folder.h"

/* The folder at path: a model of the family that it began as, whose products are floats, and what makes
 * states of them (ar__states_lm_net). T: tokens of its examples. Errors: as ar_model_open's. */
ar_status ar__model_open_states(ar_open_model **m, ar_lm_states_desc *desc, int32_t *T, const char *path);
#endif
