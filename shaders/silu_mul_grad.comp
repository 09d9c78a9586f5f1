/* silu_mul_grad: with g = 1 / (1 + exp(-a)), y = a g b:
 *   da (+)= dy b g (1 + a (1 - g)),   db (+)= dy a g
 *   a, b, dy, da, db: n elements, read by vectors of VW lanes; the last may reach into the padding
 *    acc_a, acc_b = 1 add to da, db
 * One item per vector. */
SPEC(0, uint, WGX, 64) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(silu_mul_grad)
RO(0, fvec, A) RO(1, fvec, B) RO(2, fvec, dY) RW(3, fvec, dA) RW(4, fvec, dB)
PARAMS P(uint, n) P(uint, acc_a) P(uint, acc_b)
LOCALS
BODY
    if (GLIN * VW < n) {
        fvec a = A[GLIN], dy = dY[GLIN], one = FV(1.0f);
        fvec g = one / (one + exp(min(-a, FV(80.0f))));
        fvec da = dy * B[GLIN] * g * (one + a * (one - g)), db = dy * a * g;
        if (acc_a != 0u) da += dA[GLIN];
        if (acc_b != 0u) db += dB[GLIN];
        dA[GLIN] = da;
        dB[GLIN] = db;
    }
END
