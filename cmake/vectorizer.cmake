# Whether the compiler's loop vectorizer gets through a loop with fmax and a count: gcc 12.2 for arm64 (Debian
# 12) ends with an internal error there, in files of ours too. Sets AR_VECTORIZER_OPTIONS.
include(CheckCSourceCompiles)
block()
    set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY) # compiles without linking
    set(CMAKE_REQUIRED_FLAGS -O3)
    check_c_source_compiles("
        #include <math.h>
        double top(const double *x, int n, int *above);
        double top(const double *x, int n, int *above) {
            double most = 0.0;
            int count = 0;
            for (int i = 0; i < n; i++) {
                most = fmax(most, x[2 * i]);
                count += x[2 * i + 1] > 1.0;
            }
            *above = count;
            return most;
        }" AR_VECTORIZER_WORKS)
endblock()
set(AR_VECTORIZER_OPTIONS "")
if(NOT AR_VECTORIZER_WORKS)
    set(AR_VECTORIZER_OPTIONS -fno-tree-loop-vectorize)
endif()
