/* gemm_step: gemm_tiles whose result is a weight's gradient D = A B and is never written: each tile goes on
 * as fq_grad and sign_step do, by the same expressions in the same order, so that the bits are theirs
 * (docs/methods.md, equations 4 and 5).
 *   A, B as in gemm_tiles   W (rows, I)   V = Vs multiples of it in VSTATE form   SZ, R, MM (rows, gpr)
 *   At (1) step   G weights to a group, which divides TC; the launch's first element is (r0, c0) of W
 * A tile passes through shared memory by slices of SR rows; one item takes a group of a row then. */
SPEC(0, uint, WGX, 16) SPEC(1, uint, WGY, 8) SPEC(2, uint, TM, 64) SPEC(3, uint, TC, 64)
SPEC(4, uint, HW, 4) SPEC(5, uint, VSTATE, 1) SPEC(6, uint, MSTATE, 1)
WGSIZE(WGX, WGY)
#define KT    16u
#define RM    (TM / WGY / 4u)
#define RN    (TC / WGX / VW)
#define SR    (2048u / TC)
#define ITEMS (WGX * WGY)
KERNEL(gemm_step)
RO(0, float4, A) RO(1, fvec, B) RO(2, hvec, W) RW(3, huvec, V) RO(4, float4, SZ) RO(5, float2, R)
RW(6, uint, MM) RO(7, int, At)
PARAMS P(uint, M) P(uint, N) P(uint, K) P(uint, r0) P(uint, c0) P(uint, I) P(uint, G) P(uint, gpr)
P(uint, kind) P(float, Q) P(float, mdiv) P(float, minv) P(float, vdiv) P(float, vinv) P(int, T)
P(float, vlo) P(float, vhi) P(float, mlo) P(float, mhi)
LOCALS RW_VIEW(3, hsvec, Vs, V)
SHARED(float4, sa, KT * TM / 4u) SHARED(fvec, sb, KT * TC / VW) SHARED(float, stage, 2048u)
BODY
    uint x = LID0, y = LID1, me = y * WGX + x, row0 = WID1 * TM, col0 = WID0 * TC;
    uint ia = WID1 * K * (TM / 4u), ib = WID0 * K * (TC / VW);
    fvec sum[4u * RM * RN], b[RN];
    UNROLL for (uint i = 0u; i < 4u * RM * RN; i++) sum[i] = FV(0.0f);
    for (uint k0 = 0u; k0 < K; k0 += KT) {
        uint last = min(KT, K - k0);
        UNROLL for (uint i = 0u; i < (KT * TM / 4u + ITEMS - 1u) / ITEMS; i++) {
            uint at = i * ITEMS + me;
            if (at < last * (TM / 4u)) sa[at] = A[ia + k0 * (TM / 4u) + at];
        }
        UNROLL for (uint i = 0u; i < (KT * TC / VW + ITEMS - 1u) / ITEMS; i++) {
            uint at = i * ITEMS + me;
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
    for (uint slice = 0u; slice < TM; slice += SR) {
        UNROLL for (uint i = 0u; i < 4u * RM; i++) {
            uint r = (i / 4u * WGY + y) * 4u + i % 4u - slice;
            UNROLL for (uint j = 0u; j < RN; j++) {
                fvec v = sum[i * RN + j];
                if (r < SR) {
                    UNROLL for (uint l = 0u; l < VW; l++) stage[r * TC + (j * WGX + x) * VW + l] = LANE(v, l);
                }
            }
        }
        BARRIER();
        uint across = TC / G, count = min(SR, TM) * across;
        for (uint of = 0u; of < count; of += ITEMS) {
            uint unit = of + me, down = unit / across, left = (unit - down * across) * G;
            uint row = row0 + slice + down, col = col0 + left;
            if (unit < count && row < M && col < N) {
                const uint g = (r0 + row) * gpr + (c0 + col) / G, first = ((r0 + row) * I + c0 + col) / HW;
                const float4 sz = SZ[g];
                const float s = sz.x, zp = sz.y, inverse = 1.0f / s, step = TOF(T - At[0]);
                const float2 coef = AR_COEFFICIENTS(MSTATE, MM, g, mdiv, minv);
                const float2 zero = ar_fq_zero(kind, R[g].x * coef.x, s, zp);
                hvec sum1 = HV(0.0f), sum2 = HV(0.0f);
                for (uint v = 0u; v < min(G, N - col) / HW; v++) {
                    const uint i = first + v;
                    const hvec ws = ar_quot12v(W[i], s, inverse), d = LDH(stage, down * TC + left + v * HW);
                    hvec p = HV_FLOATS(V[i]);
                    if (VSTATE == 2u) p = HV_INTS(V[i]);
                    if (VSTATE == 3u) p = HV_SHORTS(Vs[i]);
                    EXACT hvec w = ws;
                    w += ar_quot20v(p, vdiv, vinv);
                    const hvec r = RINT(w) + HV(zp), q = clamp(r, HV(0.0f), HV(Q));
                    const hvec out1 = min(FABS(r - q), HV(1.0f)), in1 = HV(1.0f) - out1;
                    const hvec dv = d * HV(s) * in1;
                    sum1 += d * ((q - HV(zp)) - (in1 * ws + out1 * HV(zero.x)));
                    sum2 += d * out1;
                    p = clamp(p, HV(vlo), HV(vhi)) - HV(step) * sign(dv);
                    p = clamp(p, HV(vlo), HV(vhi));
                    if (VSTATE == 1u) V[i] = HV_BITS(p);
                    if (VSTATE == 2u) V[i] = HV_TO_INTS(p);
                    if (VSTATE == 3u) Vs[i] = HV_TO_SHORTS(p);
                }
                const float2 dm = ar_fq_dmm(kind, Q, R[g], coef, sz.w, zero.y, HVSUM(sum1), HVSUM(sum2));
                float m1 = clamp(AR_STATE(MSTATE, MM, 2u * g), mlo, mhi) - step * sign(dm.x);
                float m2 = clamp(AR_STATE(MSTATE, MM, 2u * g + 1u), mlo, mhi) - step * sign(dm.y);
                m1 = clamp(m1, mlo, mhi), m2 = clamp(m2, mlo, mhi);
                if (MSTATE == 3u) {
                    MM[g] = (TOU(TOI(m1)) & 0xffffu) | TOU(TOI(m2)) << 16u;
                } else {
                    MM[2u * g] = MSTATE == 2u ? TOU(TOI(m1)) : ASU(m1);
                    MM[2u * g + 1u] = MSTATE == 2u ? TOU(TOI(m2)) : ASU(m2);
                }
            }
        }
        BARRIER();
    }
END
