/* Block b of a row of X that begins at `from`, times r and, NORM, G, as bytes into Q from `to` on
 * (acts_bytes.comp). */
#define VECS (32u / VW)
fvec x[VECS], top = FV(0.0f);
UNROLL for (uint i = 0u; i < VECS; i++) {
    x[i] = LDV(X, from + b * 32u + i * VW) * FV(r);
    if (NORM != 0u) x[i] *= LDV(G, b * 32u + i * VW);
    top = max(top, FABS(x[i]));
}
float most = FVMAX(top);
float d = most / 127.0f, per = most > 0.0f ? 127.0f / most : 0.0f;
fvec sums[2];
sums[0] = FV(0.0f);
sums[1] = FV(0.0f);
UNROLL for (uint i = 0u; i < VECS; i++) {
    x[i] = RINT(x[i] * FV(per));
    sums[2u * i / VECS] += x[i];
}
uint at = to + b * 12u * NC;
float low = FVSUM(sums[0]), high = FVSUM(sums[1]); /* of whole numbers: exact */
PACK_BYTES(words, x, FOURS)
UNROLL for (uint w = 0u; w < 8u; w++) Q[at + w * NC] = words[w];
Q[at + 8u * NC] = ASU(d);
Q[at + 9u * NC] = ASU(d * (low + high));
Q[at + 10u * NC] = ASU(d * low);
Q[at + 11u * NC] = ASU(d * high);
