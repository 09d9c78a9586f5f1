/* A group's tile of C by fragments of its subgroups, for gemm_coop, from slices of the operands in shared
 * memory: sa [KT][PA] and sb [KT][PB], of halves, four to a vector. coop_bf16.h makes them bf16's. */
#include "scale.h"
#include "coop_intel.h"
#define KT     32u
#define PAD    8u
#define PA     (TM + PAD)
#define PB     (TC + PAD)
#define GROUPS (WGX / SUBGROUP) /* subgroups, in two rows */
#define ACROSS (GROUPS / 2u)
#define NM     (TM / 2u / CM) /* fragments of a subgroup, down and across */
#define NN     (TC / ACROSS / CN)
#define COOP_SHARED                                                                                          \
    SHARED(frag4_t, sa, KT *PA / 4u)                                                                         \
    SHARED(frag4_t, sb, KT *PB / 4u) SHARED(float, stage, GROUPS *CM *CN) SHARED(uint, wide, 1)
#define COOP_START                                                                                           \
    uint sg = SG_ID, down = sg / ACROSS, across = sg % ACROSS;                                               \
    FRAG_A(fa, NM);                                                                                          \
    FRAG_B(fb, 1);                                                                                           \
    FRAG_C(sum, NM *NN);                                                                                     \
    FRAGS for (uint i = 0u; i < NM * NN; i++) { FRAG_ZERO(sum[i]); }                                         \
    if (me == 0u) wide[0] = 0u
#define IS_HALF(v)                                                                                           \
    (FABS((v).x) <= LARGEST && FABS((v).y) <= LARGEST && FABS((v).z) <= LARGEST && FABS((v).w) <= LARGEST)
#define PUT_HALVES(s, at, v)                                                                                 \
    s[at] = TOFRAG((v).x), s[(at) + 1u] = TOFRAG((v).y), s[(at) + 2u] = TOFRAG((v).z),                       \
    s[(at) + 3u] = TOFRAG((v).w)
/* Notes what fp16 does not hold: among four floats, and where eight halves are infinite or none. */
#define CHECK_FLOATS(v)                                                                                      \
    if (!IS_HALF(v)) bad = 1u
#define CHECK_HALVES(u)                                                                                      \
    uint4 e = ((u)&0x7fff7fffu) + 0x04000400u;                                                               \
    if (((e.x | e.y | e.z | e.w) & 0x80008000u) != 0u) bad = 1u
/* KT rows of T values from element `first` on, zero from row `rows` on: of floats, scaled, or of halves (seen
 * in S as H), which were. */
#define COOP_COPY(s, pitch, S, H, is_half, scale, first, T, rows)                                            \
    if (is_half) {                                                                                           \
        for (uint i = 0u; i < (KT * (T) / 8u + WGX - 1u) / WGX; i++) {                                       \
            uint at = i * WGX + me, k = at / ((T) / 8u);                                                     \
            if (k < KT) {                                                                                    \
                uint4 u = H[(first) / 8u + (k < (rows) ? at : 0u)];                                          \
                if (k >= (rows)) u = u & 0u;                                                                 \
                CHECK_HALVES(u);                                                                             \
                uint to_ = (k * (pitch) + at % ((T) / 8u) * 8u) / 4u;                                        \
                s[to_] = FRAG4_OF(u.x, u.y), s[to_ + 1u] = FRAG4_OF(u.z, u.w);                               \
            }                                                                                                \
        }                                                                                                    \
    } else {                                                                                                 \
        for (uint i = 0u; i < (KT * (T) / 4u + WGX - 1u) / WGX; i++) {                                       \
            uint at = i * WGX + me, k = at / ((T) / 4u);                                                     \
            if (k < KT) {                                                                                    \
                float4 v = F4S(0.0f);                                                                        \
                if (k < (rows)) v = S[(first) / 4u + at] * (scale);                                          \
                CHECK_FLOATS(v);                                                                             \
                s[(k * (pitch)) / 4u + at % ((T) / 4u)] = TOFRAG4(v);                                        \
            }                                                                                                \
        }                                                                                                    \
    }
#define COOP_MULTIPLY                                                                                        \
    BARRIER();                                                                                               \
    FRAGS for (uint k = 0u; k < KT; k += CK) {                                                               \
        FRAGS for (uint i = 0u; i < NM; i++) { FRAG_LOAD_A4(fa[i], sa, k *PA + (down * NM + i) * CM, PA); }  \
        FRAGS for (uint j = 0u; j < NN; j++) {                                                               \
            FRAG_LOAD_B4(fb[0], sb, k *PB + (across * NN + j) * CN, PB);                                     \
            FRAGS for (uint i = 0u; i < NM; i++) { FRAG_MUL(sum[i * NN + j], fa[i], fb[0]); }                \
        }                                                                                                    \
    }                                                                                                        \
    BARRIER()
#define COOP_WRITE(row, col, value)                                                                          \
    if ((row) < M && (col) < N) {                                                                            \
        float old = 0.0f;                                                                                    \
        if (acc != 0u) old = C[to + (row)*ldc + (col)];                                                      \
        C[to + (row)*ldc + (col)] = old + (value);                                                           \
    }
/* PUT(row, col, sum) of the tile's elements. */
#define COOP_SUMS(PUT)                                                                                       \
    FRAGS for (uint f = 0u; f < NM * NN; f++) {                                                              \
        FRAG_STORE(sum[f], stage, sg *CM *CN, CN);                                                           \
        BARRIER();                                                                                           \
        EACH(e, GROUPS *CM *CN) {                                                                            \
            uint of = e / (CM * CN), r = e % (CM * CN) / CN, c = e % CN;                                     \
            uint row = row0 + (of / ACROSS * NM + f / NN) * CM + r;                                          \
            uint col = col0 + (of % ACROSS * NN + f % NN) * CN + c;                                          \
            PUT(row, col, stage[e])                                                                          \
        }                                                                                                    \
        BARRIER();                                                                                           \
    }
#define WRITE_BACK(row, col, scaled)                                                                         \
    EXACT float fallen = (scaled)*small;                                                                     \
    EXACT float value = fallen * large;                                                                      \
    if (wide[0] == 0u) {                                                                                     \
        COOP_WRITE(row, col, value)                                                                          \
    }
/* Writes the tile, its scales taken out (the smaller factor first, which overflows only where the result
 * does), unless an operand was no fp16: wide[0], the same for all items, then says so. */
#define COOP_FINISH                                                                                          \
    if (bad != 0u) wide[0] = 1u;                                                                             \
    float inverse_a = coop_inverse(scale_a), inverse_b = coop_inverse(scale_b);                              \
    float small = min(inverse_a, inverse_b), large = max(inverse_a, inverse_b);                              \
    BARRIER();                                                                                               \
    COOP_SUMS(WRITE_BACK)
