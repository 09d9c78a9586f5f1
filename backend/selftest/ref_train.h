/* Scalar references of the ops that training whole models needs; see ref.h. */
#ifndef AR_REF_TRAIN_H
#define AR_REF_TRAIN_H
#include <stdint.h>

/* dE[v] = sum of dy[n] with ids[n] = v. */
void ref_embed_grad(double *dE, const double *dy, const int32_t *ids, int N, int V, int I);
#endif
