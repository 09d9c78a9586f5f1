/* The body of attention_cached and attention_append, an item per QN of a key head's queries. The including
 * kernel names what it reads and writes Q, K, V and Y; APPEND(b, kh, bk, p0) is what it does before. */
#define KB (4u * KQ)
#define KN (KB * ROUNDS)
uint blocks = (T * R + QN - 1u) / QN, item = item0 + GLIN, r0 = item % blocks * QN, bk = item / blocks;
uint b = bk / KH, kh = bk % KH, p0 = TOU(pos[0]);
APPEND(b, kh, bk, p0);
uint first = p0 + r0 / R + 1u, end = min(p0 + (r0 + QN - 1u) / R, p0 + T - 1u) + 1u;
first = window > 0u && first > window ? first - window : 0u;
hvec s[QN * KB];
hvec a[KB];
hvec y[QN];
float p[QN * KN];
float4 best[QN];
float m[QN];
float l[QN];
float fade[QN];
uint qrow[QN];
uint at[QN];
uint krow[KN];
UNROLL for (uint r = 0u; r < QN; r++) {
    uint qr = min(r0 + r, T * R - 1u);
    qrow[r] = ((b * T + qr / R) * KH * R + kh * R + qr % R) * HN;
    at[r] = p0 + qr / R;
    m[r] = -3.0e38f;
    l[r] = 0.0f;
}
for (uint j = first; j < end; j += KN) {
    for (uint c = 0u; c < KN; c++) krow[c] = (bk * C + min(j + c, end - 1u)) * HN;
    UNROLL for (uint r = 0u; r < QN; r++) best[r] = F4S(m[r]);
    PASSES for (uint k = 0u; k < KN; k += KB) {
        UNROLL for (uint c = 0u; c < QN * KB; c++) s[c] = HV(0.0f);
        for (uint i = 0u; i < HN; i++) {
            UNROLL for (uint c = 0u; c < KB; c++) a[c] = ar_halves(K[krow[k + c] + i]);
            UNROLL for (uint r = 0u; r < QN; r++) {
                hvec q = Q[qrow[r] + i];
                UNROLL for (uint c = 0u; c < KB; c++) s[r * KB + c] = fma(q, a[c], s[r * KB + c]);
            }
        }
        UNROLL for (uint r = 0u; r < QN; r++) {
            uint t = at[r], low = window > 0u && t + 1u > window ? t + 1u - window : 0u;
            UNROLL for (uint c = 0u; c < KB; c += 4u) {
                uint i = r * KB + c, key = j + k + c;
                float4 z = HVSUM4(s[i], s[i + 1u], s[i + 2u], s[i + 3u]);
                z = z * F4S(scale);
                if (CAPPED != 0u) z = capped4(z, cap);
                z = F4(key <= t && key >= low ? z.x : -3.0e38f,
                       key + 1u <= t && key + 1u >= low ? z.y : -3.0e38f,
                       key + 2u <= t && key + 2u >= low ? z.z : -3.0e38f,
                       key + 3u <= t && key + 3u >= low ? z.w : -3.0e38f);
                best[r] = max(best[r], z);
                ST4(p, r * KN + k + c, z);
            }
        }
    }
    UNROLL for (uint r = 0u; r < QN; r++) {
        float top = max(max(best[r].x, best[r].y), max(best[r].z, best[r].w)), sum = 0.0f;
        float counts = top > -2.9e38f ? 1.0f : 0.0f; /* before the first that counts, no key does */
        fade[r] = exp(m[r] - top);
        UNROLL for (uint c = 0u; c < KN; c += HW) {
            hvec e = exp(LDH(p, r * KN + c) - HV(top)) * HV(counts);
            STH(p, r * KN + c, e);
            sum += HVSUM(e);
        }
        m[r] = top;
        l[r] = l[r] * fade[r] + sum;
    }
    for (uint i = 0u; i < HN; i++) {
        UNROLL for (uint r = 0u; r < QN; r++) { y[r] = j != first ? Y[qrow[r] + i] * HV(fade[r]) : HV(0.0f); }
        UNROLL for (uint c = 0u; c < KN; c++) {
            hvec v = ar_halves(V[krow[c] + i]);
            UNROLL for (uint r = 0u; r < QN; r++) y[r] = fma(HV(p[r * KN + c]), v, y[r]);
        }
        UNROLL for (uint r = 0u; r < QN; r++) {
            if (r0 + r < T * R) Y[qrow[r] + i] = y[r];
        }
    }
}
UNROLL for (uint r = 0u; r < QN; r++) {
    if (r0 + r < T * R) {
        float part = 1.0f / l[r];
        for (uint i = 0u; i < HN; i++) Y[qrow[r] + i] = Y[qrow[r] + i] * HV(part);
    }
}
