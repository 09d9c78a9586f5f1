/* See ref_train.h. */
#include "ref_train.h"
#include <string.h>

void ref_embed_grad(double *dE, const double *dy, const int32_t *ids, int N, int V, int I) {
    memset(dE, 0, (size_t)V * (size_t)I * sizeof *dE);
    for (int n = 0; n < N; n++)
        for (int i = 0; i < I; i++)
            if (ids[n] >= 0 && ids[n] < V) dE[ids[n] * I + i] += dy[n * I + i];
}
