/* The yardstick: OpenBLAS opened at run time. */
#ifndef AR_BLAS_H
#define AR_BLAS_H
#include "ar_backend.h"

/* Best FLOP/s of sgemm n x n x n over `repeats` runs on `threads` threads. IO when no OpenBLAS is found. */
ar_status ar_blas_sgemm_flops(double *flops, int32_t n, int32_t threads, int32_t repeats);
#endif
