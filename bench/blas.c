/* OpenBLAS at run time; see blas.h. */
#include "blas.h"
#include "ar_error.h"
#include <dlfcn.h>
#include <stdlib.h>

typedef void (*sgemm_fn)(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda,
                         const float *b, int ldb, float beta, float *c, int ldc);
typedef void (*threads_fn)(int);

ar_status ar_blas_sgemm_flops(double *flops, int32_t n, int32_t threads, int32_t repeats) {
    enum { ROW_MAJOR = 101, NO_TRANS = 111 };
    ar_status status = AR_OK;
    float *a = NULL;
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!library) return ar__fail(AR_ERR_IO, "--blas: libopenblas.so.0 not found (package libopenblas0)");
    sgemm_fn sgemm;
    threads_fn set_threads;
    *(void **)&sgemm = dlsym(library, "cblas_sgemm");
    *(void **)&set_threads = dlsym(library, "openblas_set_num_threads");
    if (!sgemm || !set_threads) AR_GO(ar__fail(AR_ERR_IO, "--blas: libopenblas.so.0 has no cblas_sgemm"));
    size_t count = (size_t)n * (size_t)n;
    a = ar__alloc(count, 3 * sizeof *a);
    if (!a) AR_GO(AR_ERR_MEMORY);
    for (size_t i = 0; i < 2 * count; i++) a[i] = (float)(i * 2654435761u % 1000) / 1000.0f - 0.5f;
    set_threads(threads);
    double best = 1e30;
    for (int32_t r = -1; r < repeats; r++) {
        double t = ar__now_s();
        sgemm(ROW_MAJOR, NO_TRANS, NO_TRANS, n, n, n, 1.0f, a, n, a + count, n, 0.0f, a + 2 * count, n);
        t = ar__now_s() - t;
        if (r >= 0 && t < best) best = t;
    }
    *flops = 2.0 * n * (double)n * n / best;
done:
    free(a);
    dlclose(library);
    return status;
}
