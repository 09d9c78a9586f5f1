/* gemm_tiles: gemm for GPUs whose groups share memory, C (M, N) = A B [+ C].
 *   A [ceil(M / TM)][K][TM] f32   B [ceil(N / TC)][K][TC] f32, zero padded   C row-major, pitch ldc
 * A group makes TM rows x TC columns, KT values of k at a time: its items copy a slice of both panels, which
 * lies in a row, into shared memory, where each finds its TM / WGY rows and TC / WGX columns: 4 rows and VW
 * columns side by side, the next of its own WGY (WGX) of those further, so that neighbours read neighbouring
 * banks. k runs 0, 1, … in every item: the bits of gemm, and the same parts. acc != 0 adds to C. 4 WGY
 * divides TM, VW WGX TC. */
SPEC(0, uint, WGX, 16) SPEC(1, uint, WGY, 8) SPEC(2, uint, TM, 64) SPEC(3, uint, TC, 64)
WGSIZE(WGX, WGY)
#define KT 16u
#define RM (TM / WGY / 4u)
#define RN (TC / WGX / VW)
KERNEL(gemm_tiles)
RO(0, float4, A) RO(1, fvec, B) RW(2, float, C)
PARAMS P(uint, M) P(uint, N) P(uint, K) P(uint, ldc) P(uint, c0) P(uint, acc) P(uint, kp)
P(uint, cp)
LOCALS SHARED(float4, sa, KT * TM / 4u) SHARED(fvec, sb, KT * TC / VW)
BODY
    uint x = LID0, y = LID1, me = y * WGX + x, row0 = WID1 * TM, col0 = WID0 * TC;
    uint ia = WID1 * K * (TM / 4u), ib = WID0 * K * (TC / VW);
    uint from = WID2 * kp, end = min(K, from + kp), to = c0 + WID2 * cp;
    fvec sum[4u * RM * RN], b[RN];
    UNROLL for (uint i = 0u; i < 4u * RM * RN; i++) sum[i] = FV(0.0f);
    for (uint k0 = from; k0 < end; k0 += KT) {
        uint last = min(KT, end - k0);
        UNROLL for (uint i = 0u; i < (KT * TM / 4u + WGX * WGY - 1u) / (WGX * WGY); i++) {
            uint at = i * WGX * WGY + me;
            if (at < last * (TM / 4u)) sa[at] = A[ia + k0 * (TM / 4u) + at];
        }
        UNROLL for (uint i = 0u; i < (KT * TC / VW + WGX * WGY - 1u) / (WGX * WGY); i++) {
            uint at = i * WGX * WGY + me;
            if (at < last * (TC / VW)) sb[at] = B[ib + k0 * (TC / VW) + at];
        }
        BARRIER();
        for (uint k = 0u; k < last; k++) {
            UNROLL for (uint j = 0u; j < RN; j++) b[j] = sb[k * (TC / VW) + j * WGX + x];
            UNROLL for (uint h = 0u; h < RM; h++) {
                float4 a = sa[k * (TM / 4u) + h * WGY + y];
                UNROLL for (uint l = 0u; l < 4u; l++) {
                    UNROLL for (uint j = 0u; j < RN; j++)
                        sum[(h * 4u + l) * RN + j] = fma(FV(LANE(a, l)), b[j], sum[(h * 4u + l) * RN + j]);
                }
            }
        }
        BARRIER();
    }
    UNROLL for (uint i = 0u; i < 4u * RM; i++) {
        UNROLL for (uint j = 0u; j < RN; j++) {
            uint row = row0 + (i / 4u * WGY + y) * 4u + i % 4u, col = col0 + (j * WGX + x) * VW;
            uint at = to + row * ldc + col;
            fvec v = sum[i * RN + j];
            if (row < M && col + VW <= N) {
                if (acc != 0u) v += LDV(C, at);
                STV(C, at, v);
            } else if (row < M && col < N) {
                fvec some = v; /* v stays in registers */
                PASSES for (uint l = 0u; l < VW; l++) {
                    if (col + l < N) {
                        float old = 0.0f;
                        if (acc != 0u) old = C[at + l];
                        C[at + l] = old + LANE(some, l);
                    }
                }
            }
        }
    }
END
