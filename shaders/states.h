/* states.h: z += the sum over taps and words of products of four unsigned and four signed codes. Uses X, Wt,
 * at (first word of the output's weights), b, h, w, H, W, C4, K. */
#define STATES_FOUR(x, v)                                                                                    \
    (TOI((x)&255u) * (TOI((v) << 24u) >> 24) + TOI((x) >> 8u & 255u) * (TOI((v) << 16u) >> 24) +             \
     TOI((x) >> 16u & 255u) * (TOI((v) << 8u) >> 24) + TOI((x) >> 24u) * (TOI(v) >> 24))
#define STATES_SUM(z)                                                                                        \
    for (uint k = 0u; k < K * K; k++) {                                                                      \
        uint y_ = h + k / K - K / 2u, x_ = w + k % K - K / 2u;                                               \
        if (y_ >= H || x_ >= W) continue;                                                                    \
        uint from = ((b * H + y_) * W + x_) * C4;                                                            \
        for (uint i = 0u; i < C4; i++) z += STATES_FOUR(X[from + i], Wt[at + k * C4 + i]);                   \
    }
