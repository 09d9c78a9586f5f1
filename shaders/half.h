/* fp16 in registers, for kernels that measure it: VW lanes. Its meaning without fp16 arithmetic is f32; on
 * Vulkan the device must have it. */
#ifndef VULKAN
#ifdef cl_khr_fp16
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#define hfvec        CAT(half, VW)
#define HFV(a)       ((hfvec)((half)(a)))
#define HF_FLOATS(v) CAT(convert_float, VW)(v)
#else
#define hfvec        fvec
#define HFV(a)       FV(a)
#define HF_FLOATS(v) (v)
#endif
#else
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : enable
#define hfvec        f16vec4
#define HFV(a)       f16vec4(a)
#define HF_FLOATS(v) vec4(v)
#endif
