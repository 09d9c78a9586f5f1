/* Soft codes (docs/methods.md, soft codes): the value of a code at place u on the grid, drawn from the
 * nearest code r and its neighbours in [0, Q] by softmax of -beta (u - k)^2; slope = d code / d u. From 512
 * on, u is a code that is decided: 512 + k. T a type, B what makes one of a float, LESS(a, b, x, y) x where
 * a < b, LOW and HIGH as SOFT_LOW and SOFT_HIGH. SOFT_BETA(beta) stands before.
 * The neighbours' shares are exp(-beta (1 - 2 |x|)) = 2^-z and exp(-beta (1 + 2 |x|)) = 2^(z - 2 c), c = beta
 * log2(e), z = (1 - 2 |x|) c = n + f with n whole: one polynomial for both, as 2^f and 2^-f are the sum and
 * the difference of its even and its odd terms (economized, to 1e-7). Shares below 2^-126 do not count. */
#define SOFT_DECIDED          512.0f
#define SOFT_LESS(a, b, x, y) ((a) < (b) ? (x) : (y))
#define SOFT_LOW(n)           ASF(TOU((127.0f - (n)) * 8388608.0f)) /* 2^-n, 0 <= n <= 126 */
#define SOFT_LOWV(n)          HV_FLOATS(HV_TO_INTS((HV(127.0f) - (n)) * HV(8388608.0f)))
#define SOFT_HIGH(low)        ASF(0x7f000000u - ASU(low)) /* 2^n */
#define SOFT_HIGHV(low)       HV_FLOATS(0x7f000000u - HV_BITS(low))
#define SOFT_BETA(beta)       const float c_ = 2.88539008f * (beta), k_ = exp2(-c_); /* 2 c, 2^(-2 c) */
#define SOFT_CODE(T, B, LESS, LOW, HIGH, u, beta, Q)                                                         \
    const T free = LESS(u, B(SOFT_DECIDED - 1.0f), B(1.0f), B(0.0f));                                        \
    const T place = LESS(u, B(SOFT_DECIDED - 1.0f), u, u - B(SOFT_DECIDED));                                 \
    const T r = min(max(RINT(place), B(0.0f)), B(Q));                                                        \
    const T x = min(max(place - r, B(-0.5f)), B(0.5f));                                                      \
    const T z = min((B(0.5f) - FABS(x)) * B(c_), B(126.0f)), n = RINT(z), f = z - n, q = f * f;              \
    const T even = q * (q * B(9.67589244e-3f) + B(0.240221092f)) + B(1.00000006f);                           \
    const T odd = f * (q * (q * B(1.33907558e-3f) + B(5.55035725e-2f)) + B(0.693147188f));                   \
    const T low = LOW(n), near = (even - odd) * low, far = (even + odd) * (HIGH(low) * B(k_));               \
    const T up = LESS(x, B(0.0f), far, near) * min(B(Q) - r, free);                                          \
    const T down = LESS(x, B(0.0f), near, far) * min(r, free);                                               \
    const T whole = B(1.0f) / (B(1.0f) + up + down), shift = (up - down) * whole, code = r + shift;          \
    const T slope = B(2.0f * (beta)) * ((up + down) * whole - shift * shift);
/* Frozen codes (docs/frozen.md): u is f + t, f whole and 0 < t < 1; code = clamp(f + clip(1.2 t - .1), 0, Q),
 * and slope = d code / d r at t = 1 / (1 + exp(-r)). Decided ones as above; r is the nearest code. */
#define FROZEN_CODE(T, B, u, Q)                                                                              \
    const T done = clamp(u - B(SOFT_DECIDED - 1.0f), B(0.0f), B(1.0f));                                      \
    const T place = u - B(SOFT_DECIDED) * done, r = clamp(RINT(place), B(0.0f), B(Q));                       \
    const T whole = floor(place), t = clamp(place - whole, B(0.01f), B(0.99f));                              \
    const T h = B(1.2f) * t - B(0.1f), soft = clamp(whole + clamp(h, B(0.0f), B(1.0f)), B(0.0f), B(Q));      \
    const T code = done * place + (B(1.0f) - done) * soft;                                                   \
    const T above = clamp(h * B(1e30f), B(0.0f), B(1.0f));                                                   \
    const T below = clamp((B(1.0f) - h) * B(1e30f), B(0.0f), B(1.0f));                                       \
    const T held = clamp(whole + B(1.0f), B(0.0f), B(1.0f)) * clamp(B(Q) - whole, B(0.0f), B(1.0f));         \
    const T slope = B(1.2f) * t * (B(1.0f) - t) * above * below * held * (B(1.0f) - done);
