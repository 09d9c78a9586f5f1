/* Attention by fragments, for attention_coop and its gradients, of coop.h's halves. A group takes QT rows of
 * one head, its subgroups stand in DOWN rows of CM of them and two columns. What it streams over comes KT
 * rows and 32 of the D columns at a time, D filled up with zeros; `kv` holds two such chunks, so that one
 * barrier lies between filling a chunk and its use and none after. */
#define ACROSS2 2u
#define DOWN    (WGX / SUBGROUP / ACROSS2)
#define QT      (DOWN * CM)
#define DC      32u
#define CHUNKS  ((DIM + DC - 1u) / DC)
#define PITCH   (KT + PAD)          /* of halves */
#define PS      (KT + 4u)           /* of scores */
#define NS      (KT / ACROSS2 / CN) /* fragments of a subgroup across, of scores */
#define NX      (DC / ACROSS2 / CN) /* and of a chunk's sums */
#define SEG     4u                  /* parts of a row of scores */
#define NOTHING (-1.0e30f)          /* below any score; what is not seen lies lower still */
/* fp16 of `times` (of row r_) `count` rows of `pitch4` vectors from row0, vector v0 on; zeros from row `rows`
 * on and behind the head. */
#define COPY_CHUNK(s, at, count, S, row0, rows, pitch4, v0, d0, times)                                       \
    for (uint i_ = 0u; i_ < ((count)*DC / 4u + WGX - 1u) / WGX; i_++) {                                      \
        uint e_ = i_ * WGX + LID0, r_ = e_ / (DC / 4u), c_ = e_ % (DC / 4u);                                 \
        if (r_ < (count)) {                                                                                  \
            float4 v_ = F4S(0.0f);                                                                           \
            if (r_ < (rows) && (d0) / 4u + c_ < HN)                                                          \
                v_ = S[((row0) + r_) * (pitch4) + (v0) + (d0) / 4u + c_] * F4S(times);                       \
            if (!IS_HALF(v_)) bad = 1u;                                                                      \
            PUT_HALVES(s, (at) + r_ * PITCH + c_ * 4u, v_);                                                  \
        }                                                                                                    \
    }
/* The rows of S as left operands, all columns, by way of `by`. */
#define KEEP_ROWS(fragments, by, S, row0, rows, pitch4, v0, times)                                           \
    FRAGS for (uint c = 0u; c < CHUNKS; c++) {                                                               \
        COPY_CHUNK(by, 0u, QT, S, row0, rows, pitch4, v0, c *DC, times);                                     \
        BARRIER();                                                                                           \
        FRAGS for (uint k = 0u; k < DC / CK; k++) {                                                          \
            FRAG_LOAD_A_ROWS(fragments[c * (DC / CK) + k], by, down *CM *PITCH + k * CK, PITCH);             \
        }                                                                                                    \
        BARRIER();                                                                                           \
    }
/* sum[NS] += columns of chunk c of the rows kept, times those of the rows that lie in kv at `at`. */
#define SCORE_CHUNK(sum, fragments, c, at)                                                                   \
    FRAGS for (uint s = 0u; s < NS; s++) {                                                                   \
        FRAGS for (uint k = 0u; k < DC / CK; k++) {                                                          \
            FRAG_LOAD_B_COLS(fb[0], kv, (at) + (across * NS + s) * CN * PITCH + k * CK, PITCH);              \
            FRAG_MUL(sum[s], fragments[(c) * (DC / CK) + k], fb[0]);                                         \
        }                                                                                                    \
    }
/* sum[NS] += the rows kept times KT rows of S; what follows must not fill kv before a barrier. */
#define SCORE(sum, fragments, S, row0, rows, pitch4, v0, times)                                              \
    FRAGS for (uint c = 0u; c < CHUNKS; c++) {                                                               \
        uint half_ = c % 2u * KT * PITCH;                                                                    \
        COPY_CHUNK(kv, half_, KT, S, row0, rows, pitch4, v0, c *DC, times);                                  \
        BARRIER();                                                                                           \
        SCORE_CHUNK(sum, fragments, c, half_);                                                               \
    }
/* pp = fp16 of st [QT][KT], each row scaled by the power of two that suits the largest number it has had yet,
 * top[r]; st = a fragment's columns of what sums of row r are to be multiplied by, whose rows these are. The
 * next barrier lies behind COPY_CHUNK. */
#define SCALE_ROWS                                                                                           \
    EACH(e, QT *SEG) {                                                                                       \
        uint r = e / SEG;                                                                                    \
        float most = 0.0f;                                                                                   \
        for (uint c = e % SEG; c < KT; c += SEG) most = max(most, FABS(st[r * PS + c]));                     \
        part[e] = most;                                                                                      \
    }                                                                                                        \
    BARRIER();                                                                                               \
    EACH(e, QT *SEG) {                                                                                       \
        uint r = e / SEG;                                                                                    \
        float now = top[r];                                                                                  \
        UNROLL for (uint s = 0u; s < SEG; s++) now = max(now, part[r * SEG + s]);                            \
        float by = coop_scale(now);                                                                          \
        for (uint c = e % SEG; c < KT; c += SEG) {                                                           \
            float z = st[r * PS + c] * by;                                                                   \
            if (!(FABS(z) <= LARGEST)) bad = 1u;                                                             \
            pp[r * PITCH + c] = TOFRAG(z);                                                                   \
        }                                                                                                    \
        if (e % SEG == 0u) fade[r] = by * coop_inverse(coop_scale(top[r]));                                  \
    }                                                                                                        \
    BARRIER();                                                                                               \
    EACH(r, QT) { UNROLL for (uint s = 0u; s < SEG; s++) top[r] = max(top[r], part[r * SEG + s]); }          \
    EACH(e, QT *CN) st[e] = fade[e / CN]
/* sum of chunk c = itself faded, as st says, plus the rows of pp times what lies in kv at `at`. */
#define ADD_CHUNK(sum, c, at)                                                                                \
    if ((c) == 0u) {                                                                                         \
        FRAG_LOAD_C(fades[0], st, down *CM *CN, CN);                                                         \
        KEEP_WEIGHTS;                                                                                        \
    }                                                                                                        \
    FRAGS for (uint n = 0u; n < NX; n++) {                                                                   \
        FRAG_TIMES(sum[(c)*NX + n], fades[0]);                                                               \
        ADD_WEIGHTED(sum[(c)*NX + n], n, at);                                                                \
    }
#define KEEP_WEIGHTS                                                                                         \
    FRAGS for (uint k = 0u; k < KT / CK; k++) {                                                              \
        FRAG_LOAD_A_ROWS(fp[k], pp, down *CM *PITCH + k * CK, PITCH);                                        \
    }
#define ADD_WEIGHTED(sum, n, at)                                                                             \
    FRAGS for (uint k = 0u; k < KT / CK; k++) {                                                              \
        FRAG_LOAD_B(fb[0], kv, (at) + k * CK * PITCH + (across * NX + (n)) * CN, PITCH);                     \
        FRAG_MUL(sum, fp[k], fb[0]);                                                                         \
    }
/* x by two powers of two, the smaller one first, which overflows only where the result does. */
FN float twice_scaled(float x, float a, float b) {
    EXACT float fallen = x * min(a, b);
    EXACT float value = fallen * max(a, b);
    return value;
}
/* X[first + r * pitch + d] (+)= the sums, scaled by `a` and `b` of row r, unless an operand was no fp16. */
#define GIVE_SUMS(sum, X, first, pitch, rows, a, b, acc)                                                     \
    FRAGS for (uint f = 0u; f < CHUNKS * NX; f++) {                                                          \
        FRAG_STORE(sum[f], st, sg *CM *CN, CN);                                                              \
        BARRIER();                                                                                           \
        EACH(e, WGX / SUBGROUP * CM * CN) {                                                                  \
            uint of = e / (CM * CN), r = of / ACROSS2 * CM + e % (CM * CN) / CN;                             \
            uint d = f / NX * DC + (of % ACROSS2 * NX + f % NX) * CN + e % CN;                               \
            uint at = (first) + r * (pitch) + d;                                                             \
            if (wide[0] == 0u && r < (rows) && d < DIM) {                                                    \
                float old = 0.0f;                                                                            \
                if ((acc) != 0u) old = X[at];                                                                \
                X[at] = old + twice_scaled(st[e], a, b);                                                     \
            }                                                                                                \
        }                                                                                                    \
        BARRIER();                                                                                           \
    }
