/* cap tanh(x / cap), and tanh by its series near 0 (Cephes' tanhf), by exp elsewhere: off by 2 ulp or so. */
FN float tanh_of(float x) {
    float a = FABS(x), z = x * x, e = 1.0f - 2.0f / (exp(2.0f * min(a, 20.0f)) + 1.0f);
    float p = (-5.70498872745e-3f * z + 2.06390887954e-2f) * z - 5.37397155531e-2f;
    p = (p * z + 1.33314422036e-1f) * z - 3.33332819422e-1f;
    return a < 0.625f ? x + x * z * p : x < 0.0f ? -e : e;
}
FN float capped(float x, float cap) { return cap * tanh_of(x / cap); }
FN float4 capped4(float4 x, float cap) {
    return F4(capped(x.x, cap), capped(x.y, cap), capped(x.z, cap), capped(x.w, cap));
}
