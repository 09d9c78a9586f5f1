/* Inside host/: what a model's file says of the inputs of its linears. */
#ifndef AR_MODEL_ACTS_H
#define AR_MODEL_ACTS_H
#include "ar_host.h"

/* Fills m->acts, of a model whose family is bound. Errors: FORMAT, IO, MEMORY. */
ar_status ar__model_read_acts(ar_open_model *m);
#endif
