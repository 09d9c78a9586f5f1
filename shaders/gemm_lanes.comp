/* gemm_lanes: gemm for devices that pay for every lane of a load (llvmpipe), C (M, N) = A B [+ C].
 *   A [ceil(M / TM)][K][TM] f32   B [ceil(N / TC)][K][TC] f32, zero padded   C row-major, pitch ldc
 * One item makes TM rows x TC columns; a group is LANES items along M that share B: each loads TC / LANES
 * of B's TC values and takes the others from its neighbours. k runs 0, 1, … in every item, four to a pass:
 * llvmpipe selects by the lanes that still loop, loads and stores all sums once a pass. acc != 0 adds to C.
 * Parts of the sum as in gemm. TM and TC / LANES are multiples of AL. WHOLE: M is a multiple of TM LANES, N
 * of TC, ldc and c0 of AL. */
SPEC(0, uint, WGX, 8) SPEC(1, uint, WGY, 1) SPEC(2, uint, TM, 4) SPEC(3, uint, TC, 32) SPEC(4, uint, LANES, 8)
SPEC(5, uint, WHOLE, 0)
WGSIZE(WGX, WGY)
KERNEL(gemm_lanes)
TEX(0, avec, A) TEX(1, avec, B) RW(2, float, C)
PARAMS P(uint, M) P(uint, N) P(uint, K) P(uint, ldc) P(uint, c0) P(uint, acc) P(uint, kp)
P(uint, cp)
LOCALS RW_VIEW(2, avec, C4, C)
#define PER  (TC / LANES / AL)
#define V(u) SG_FROM(ALANE(b[u * PER + j / AL % PER], j % AL), j / AL / PER)
#define X(u) ALANE(a[u * (TM / AL) + i / AL], i % AL)
BODY
    uint r = GID0, c = WID1, last = (M + TM - 1u) / TM - 1u;
    float sum[TM * TC];
    avec a[4u * TM / AL], b[4u * PER];
    UNROLL for (uint i = 0u; i < TM * TC; i++) sum[i] = 0.0f;
    uint from = WID2 * kp, end = min(K, from + kp), to = c0 + WID2 * cp, k = from;
    uint ia = (min(r, last) * K + from) * (TM / AL); /* no lane may leave: all lend values */
    uint ib = (c * K + from) * (TC / AL) + SG_LANE * PER;
    for (; k + 3u < end; k += 4u) {
        UNROLL for (uint j = 0u; j < 4u * PER; j++) b[j] = TEXEL(B, ib + j / PER * (TC / AL) + j % PER);
        UNROLL for (uint i = 0u; i < 4u * TM / AL; i++) a[i] = TEXEL(A, ia + i);
        UNROLL for (uint j = 0u; j < TC; j++) {
            float v0 = V(0u), v1 = V(1u), v2 = V(2u), v3 = V(3u);
            UNROLL for (uint i = 0u; i < TM; i++) {
                float s = fma(X(1u), v1, fma(X(0u), v0, sum[i * TC + j]));
                sum[i * TC + j] = fma(X(3u), v3, fma(X(2u), v2, s));
            }
        }
        ia += 4u * TM / AL;
        ib += 4u * TC / AL;
    }
    for (; k < end; k++) {
        UNROLL for (uint j = 0u; j < PER; j++) b[j] = TEXEL(B, ib + j);
        UNROLL for (uint i = 0u; i < TM / AL; i++) a[i] = TEXEL(A, ia + i);
        UNROLL for (uint j = 0u; j < TC; j++) {
            float v = V(0u);
            UNROLL for (uint i = 0u; i < TM; i++) sum[i * TC + j] = fma(X(0u), v, sum[i * TC + j]);
        }
        ia += TM / AL;
        ib += TC / AL;
    }
    UNROLL for (uint i = 0u; i < TM; i++) {
        uint row = r * TM + i, at = to + row * ldc + c * TC;
        if (WHOLE != 0u) {
            UNROLL for (uint j = 0u; j < TC; j += AL) {
                avec v;
                UNROLL for (uint l = 0u; l < AL; l++) ASET(v, l, sum[i * TC + j + l]);
                if (acc != 0u) v += C4[(at + j) / AL];
                C4[(at + j) / AL] = v;
            }
        } else {
            UNROLL for (uint j = 0u; j < TC; j++) {
                if (row < M && c * TC + j < N) {
                    float old = 0.0f;
                    if (acc != 0u) old = C[at + j];
                    C[at + j] = old + sum[i * TC + j];
                }
            }
        }
    }
END
