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
/* sum[NS] += the rows kept times KT rows of S; what follows must not fill kv before a barrier. */
#define SCORE(sum, fragments, S, row0, rows, pitch4, v0, times)                                              \
    FRAGS for (uint c = 0u; c < CHUNKS; c++) {                                                               \
        uint half_ = c % 2u * KT * PITCH;                                                                    \
        COPY_CHUNK(kv, half_, KT, S, row0, rows, pitch4, v0, c *DC, times);                                  \
        BARRIER();                                                                                           \
        FRAGS for (uint s = 0u; s < NS; s++) {                                                               \
            FRAGS for (uint k = 0u; k < DC / CK; k++) {                                                      \
                FRAG_LOAD_B_COLS(fb[0], kv, half_ + (across * NS + s) * CN * PITCH + k * CK, PITCH);         \
                FRAG_MUL(sum[s], fragments[c * (DC / CK) + k], fb[0]);                                       \
            }                                                                                                \
        }                                                                                                    \
    }
