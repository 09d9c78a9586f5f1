/* Philox-4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): a keyed bijection of
 * counters, so that a number depends on (seed, stream, counter) alone and never on what was drawn before. */
#include "ar_quant.h"

static void philox(uint32_t x[4], uint64_t key) {
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t a = UINT64_C(0xd2511f53) * x[0], b = UINT64_C(0xcd9e8d57) * x[2];
        uint32_t y[4] = {(uint32_t)(b >> 32) ^ x[1] ^ k0, (uint32_t)b, (uint32_t)(a >> 32) ^ x[3] ^ k1,
                         (uint32_t)a};
        for (int i = 0; i < 4; i++) x[i] = y[i];
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
}

static void block(uint32_t x[4], uint64_t seed, uint64_t stream, uint64_t counter) {
    x[0] = (uint32_t)counter;
    x[1] = (uint32_t)(counter >> 32);
    x[2] = (uint32_t)stream;
    x[3] = (uint32_t)(stream >> 32);
    philox(x, seed);
}

uint32_t ar_random_u32(uint64_t seed, uint64_t stream, uint64_t counter) {
    uint32_t x[4];
    block(x, seed, stream, counter);
    return x[0];
}

double ar_random_unit(uint64_t seed, uint64_t stream, uint64_t counter) {
    uint32_t x[4];
    block(x, seed, stream, counter);
    return ((double)(x[0] >> 5) * 67108864.0 + (double)(x[1] >> 6)) / 9007199254740992.0; /* 53 bits */
}
