/* Soft codes (docs/methods.md, soft codes): the value of a code at place u on the grid, drawn from the
 * nearest code r and its neighbours in [0, Q] by softmax of -beta (u - k)^2; slope = d code / d u. From 512
 * on, u is a code that is decided: 512 + k. T a type, B what makes one of a float. */
#define SOFT_DECIDED 512.0f
#define SOFT_CODE(T, B, u, beta, Q)                                                                          \
    const T done = clamp(u - B(SOFT_DECIDED - 1.0f), B(0.0f), B(1.0f));                                      \
    const T place = u - B(SOFT_DECIDED) * done, r = clamp(RINT(place), B(0.0f), B(Q));                       \
    const T x = clamp(place - r, B(-0.5f), B(0.5f));                                                         \
    const T up = exp(B(beta) * (x + x - B(1.0f))) * min(B(Q) - r, B(1.0f)) * (B(1.0f) - done);               \
    const T down = exp(B(beta) * (B(-1.0f) - x - x)) * min(r, B(1.0f)) * (B(1.0f) - done);                   \
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
