/* A group's tile of C by fragments of its subgroups, for gemm_coop, from slices of the operands in shared
 * memory: sa [KT][PA] and sb [KT][PB], of halves. */
#define KT      32u
#define PAD     8u
#define PA      (TM + PAD)
#define PB      (TC + PAD)
#define GROUPS  (WGX / SUBGROUP) /* subgroups, in two rows */
#define ACROSS  (GROUPS / 2u)
#define NM      (TM / 2u / CM) /* fragments of a subgroup, down and across */
#define NN      (TC / ACROSS / CN)
#define LARGEST 65504.0f
/* A power of two that brings a panel's largest number into [2^14, 2^15), as fp16 has fewer places below 6e-5
 * and none below 3e-8; 1 if that is 0, subnormal or no number. */
FN float coop_scale(float top) {
    uint e = (ASU(top) >> 23u) & 255u, scaled = min(268u - e, 253u) << 23u;
    return e == 0u || e == 255u ? 1.0f : ASF(scaled);
}
FN float coop_inverse(float scale) { return ASF((254u << 23u) - ASU(scale)); }
/* s = the scale of the panel whose slices' largest numbers stand in S from `first` on; 1 without slices. */
#define COOP_SCALE(s, S, first)                                                                              \
    float s = 0.0f;                                                                                          \
    for (uint i = 0u; i < slices; i++) s = max(s, S[(first) + i]);                                           \
    s = coop_scale(s)
#define COOP_SHARED                                                                                          \
    SHARED(frag_t, sa, KT *PA)                                                                               \
    SHARED(frag_t, sb, KT *PB) SHARED(float, stage, GROUPS *CM *CN) SHARED(uint, wide, 1)
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
/* KT rows of `quads` vectors from `first` on, scaled, zero from row `rows` on. */
#define COOP_COPY(s, pitch, S, scale, first, quads, rows)                                                    \
    for (uint i = 0u; i < (KT * (quads) + WGX - 1u) / WGX; i++) {                                            \
        uint at = i * WGX + me, k = at / (quads);                                                            \
        if (k < KT) {                                                                                        \
            float4 v = F4S(0.0f);                                                                            \
            if (k < (rows)) v = S[(first) + at] * (scale);                                                   \
            if (!IS_HALF(v)) bad = 1u;                                                                       \
            PUT_HALVES(s, k *(pitch) + at % (quads)*4u, v);                                                  \
        }                                                                                                    \
    }
#define COOP_MULTIPLY                                                                                        \
    BARRIER();                                                                                               \
    FRAGS for (uint k = 0u; k < KT; k += CK) {                                                               \
        FRAGS for (uint i = 0u; i < NM; i++) { FRAG_LOAD_A(fa[i], sa, k *PA + (down * NM + i) * CM, PA); }   \
        FRAGS for (uint j = 0u; j < NN; j++) {                                                               \
            FRAG_LOAD_B(fb[0], sb, k *PB + (across * NN + j) * CN, PB);                                      \
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
/* Writes the tile, its scales taken out (the smaller factor first, which overflows only where the result
 * does), unless an operand was no fp16: wide[0], the same for all items, then says so. */
#define COOP_FINISH                                                                                          \
    if (bad != 0u) wide[0] = 1u;                                                                             \
    float inverse_a = coop_inverse(scale_a), inverse_b = coop_inverse(scale_b);                              \
    float small = min(inverse_a, inverse_b), large = max(inverse_a, inverse_b);                              \
    BARRIER();                                                                                               \
    FRAGS for (uint f = 0u; f < NM * NN; f++) {                                                              \
        FRAG_STORE(sum[f], stage, sg *CM *CN, CN);                                                           \
        BARRIER();                                                                                           \
        EACH(e, GROUPS *CM *CN) {                                                                            \
            uint of = e / (CM * CN), r = e % (CM * CN) / CN, c = e % CN;                                     \
            uint row = row0 + (of / ACROSS * NM + f / NN) * CM + r;                                          \
            uint col = col0 + (of % ACROSS * NN + f % NN) * CN + c;                                          \
            EXACT float fallen = stage[e] * small;                                                           \
            EXACT float value = fallen * large;                                                              \
            if (wide[0] == 0u) {                                                                             \
                COOP_WRITE(row, col, value)                                                                  \
            }                                                                                                \
        }                                                                                                    \
        BARRIER();                                                                                           \
    }
