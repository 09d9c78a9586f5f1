/* gemm: C (M, N) = A B [+ C], both operands packed (pack_k, pack_t), so that every load is sequential.
 *   A [ceil(M / TM)][K][TM] f32   B [ceil(N / (TN VW))][K][TN] fvec, zero padded   C row-major, pitch ldc
 * One item makes TM rows x TN*VW columns in registers. Groups run along N in x and M in y, or TURNed:
 * llvmpipe fills its lanes from x only, and M (tokens) is more often a multiple of a group than N. k runs
 * 0, 1, … in every item: equal inputs give equal bits. acc != 0 adds to C. C starts c0 elements into its
 * binding. The groups of z make parts of the sum, kp values of k each, which lie cp elements apart in C.
 * Ladder: no shared memory, float4 -> 3x the dot products along K; packed panels -> 2x more; VW lanes ->
 * 2x. */
SPEC(0, uint, WGX, 8) SPEC(1, uint, WGY, 1) SPEC(2, uint, TM, 8) SPEC(3, uint, TN, 2) SPEC(4, uint, TURN, 0)
WGSIZE(WGX, WGY)
KERNEL(gemm)
RO(0, avec, A) RO(1, fvec, B) RW(2, float, C)
PARAMS P(uint, M) P(uint, N) P(uint, K) P(uint, ldc) P(uint, c0) P(uint, acc) P(uint, kp)
P(uint, cp)
LOCALS
BODY
    uint x = GID0, y = GID1, r = TURN != 0u ? x : y, c = TURN != 0u ? y : x;
    if (r * TM >= M || c * TN * VW >= N) return;
    fvec sum[TM * TN], b[TN];
    UNROLL for (uint i = 0u; i < TM * TN; i++) sum[i] = FV(0.0f);
    uint from = WID2 * kp, end = min(K, from + kp), to = c0 + WID2 * cp;
    uint ia = (r * K + from) * (TM / AL), ib = (c * K + from) * TN;
    for (uint k = from; k < end; k++) {
        UNROLL for (uint j = 0u; j < TN; j++) b[j] = B[ib + j];
        UNROLL for (uint h = 0u; h < TM / AL; h++) {
            avec a = A[ia + h];
            UNROLL for (uint l = 0u; l < AL; l++) {
                UNROLL for (uint j = 0u; j < TN; j++)
                    sum[(h * AL + l) * TN + j] = fma(FV(ALANE(a, l)), b[j], sum[(h * AL + l) * TN + j]);
            }
        }
        ia += TM / AL;
        ib += TN;
    }
    fvec made[TM * TN]; /* sum stays in registers, and one text for all vectors compiles fast */
    UNROLL for (uint i = 0u; i < TM * TN; i++) made[i] = sum[i];
    PASSES for (uint i = 0u; i < TM * TN; i++) {
        uint row = r * TM + i / TN, col = (c * TN + i % TN) * VW, at = to + row * ldc + col;
        fvec v = made[i];
        if (row < M && col + VW <= N) {
            if (acc != 0u) v += LDV(C, at);
            STV(C, at, v);
        } else if (row < M && col < N) {
            PASSES for (uint l = 0u; l < VW; l++) {
                if (col + l < N) {
                    float old = acc != 0u ? C[at + l] : 0.0f;
                    C[at + l] = old + LANE(v, l);
                }
            }
        }
    }
END
