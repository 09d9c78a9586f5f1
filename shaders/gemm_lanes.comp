/* gemm_lanes: gemm for devices that pay for every lane of a load (llvmpipe), C (M, N) = A B [+ C].
 *   A [ceil(M / TM)][K][TM] f32   B [ceil(N / TC)][K][TC] f32, zero padded   C row-major, pitch ldc
 * One item makes TM rows x TC columns; a group is LANES items along M that share B: each loads TC / LANES
 * of B's TC values and takes the others from its neighbours. k runs 0, 1, … in every item. acc != 0 adds to
 * C. Parts of the sum as in gemm. TM and TC / LANES are multiples of AL. */
SPEC(0, uint, WGX, 8) SPEC(1, uint, WGY, 1) SPEC(2, uint, TM, 4) SPEC(3, uint, TC, 32) SPEC(4, uint, LANES, 8)
WGSIZE(WGX, WGY)
KERNEL(gemm_lanes)
RO(0, avec, A) RO(1, avec, B) RW(2, float, C)
PARAMS P(uint, M) P(uint, N) P(uint, K) P(uint, ldc) P(uint, c0) P(uint, acc) P(uint, kp)
P(uint, cp)
LOCALS
BODY
    uint r = GID0, c = WID1, last = (M + TM - 1u) / TM - 1u, per = TC / LANES;
    float sum[TM * TC];
    avec a[TM / AL], b[TC / LANES / AL];
    UNROLL for (uint i = 0u; i < TM * TC; i++) sum[i] = 0.0f;
    uint from = WID2 * kp, end = min(K, from + kp), to = c0 + WID2 * cp;
    uint ia = (min(r, last) * K + from) * (TM / AL); /* no lane may leave: all lend values */
    uint ib = (c * K + from) * (TC / AL) + SG_LANE * (per / AL);
    for (uint k = from; k < end; k++) {
        UNROLL for (uint j = 0u; j < per / AL; j++) b[j] = B[ib + j];
        UNROLL for (uint i = 0u; i < TM / AL; i++) a[i] = A[ia + i];
        UNROLL for (uint j = 0u; j < TC; j++) {
            float v = SG_FROM(ALANE(b[j % per / AL], j % AL), j / per);
            UNROLL for (uint i = 0u; i < TM; i++)
                sum[i * TC + j] = fma(ALANE(a[i / AL], i % AL), v, sum[i * TC + j]);
        }
        ia += TM / AL;
        ib += TC / AL;
    }
    UNROLL for (uint i = 0u; i < TM; i++) {
        UNROLL for (uint j = 0u; j < TC; j++) {
            uint row = r * TM + i, col = c * TC + j, at = to + row * ldc + col;
            if (row < M && col < N) {
                float old = 0.0f;
                if (acc != 0u) old = C[at];
                C[at] = old + sum[i * TC + j];
            }
        }
    }
END
