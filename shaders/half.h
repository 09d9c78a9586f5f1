/* fp16 in registers and shared memory: VW lanes, or four. Its meaning without fp16 arithmetic is f32, which
 * HF_ROUND rounds; on Vulkan the device must have it. */
#ifndef VULKAN
#ifdef cl_khr_fp16
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#define hfvec        CAT(half, VW)
#define HFV(a)       ((hfvec)((half)(a)))
#define HF_FLOATS(v) CAT(convert_float, VW)(v)
#define HF_ROUND(v)  CAT(CAT(convert_half, VW), _rte)(v)
#define hfloat4      half4
#else
#define hfvec        fvec
#define HFV(a)       FV(a)
#define HF_FLOATS(v) (v)
#define HF_ROUND(v)  half_round_(v)
#define hfloat4      float4
static fvec half_round_(fvec v) { /* ar_half_round, all lanes at once */
    uvec sign = FV_BITS(v) & 0x80000000u, e = clamp((FV_BITS(v) >> 23u) & 255u, UV(113u), UV(143u));
    fvec magic = FV_FLOATS(((e + 13u) << 23u) | 0x400000u), near = v + magic, r = near - magic;
    fvec infinite = FV_FLOATS(sign | 0x7f800000u);
    return select(FV_FLOATS(sign | FV_BITS(r)), infinite, FABS(v) >= FV(65520.0f));
}
#endif
#if VW == 4
#define HF4_ROUND(v) HF_ROUND(v)
#elif defined(cl_khr_fp16)
#define HF4_ROUND(v) convert_half4_rte(v)
#else
#define HF4_ROUND(v) half_round4_(v)
static float4 half_round4_(float4 v) {
    return F4(ar_half_round(v.x), ar_half_round(v.y), ar_half_round(v.z), ar_half_round(v.w));
}
#endif
#ifdef cl_khr_fp16
#define HF4_FLOATS(v) convert_float4(v)
#else
#define HF4_FLOATS(v) (v)
#endif
#else
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : enable
#define hfvec         f16vec4
#define HFV(a)        f16vec4(a)
#define HF_FLOATS(v)  vec4(v)
#define HF_ROUND(v)   f16vec4(v)
#define hfloat4       f16vec4
#define HF4_ROUND(v)  f16vec4(v)
#define HF4_FLOATS(v) vec4(v)
#endif
