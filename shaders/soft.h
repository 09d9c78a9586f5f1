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
