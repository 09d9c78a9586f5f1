/* coop.h's fragments, of bf16: two words hold four, as panels do, and nothing is checked, as bf16 reaches as
 * far as f32. By integers of 16 bits, which the device must have. */
#undef frag_t
#undef TOFRAG
#undef frag4_t
#undef TOFRAG4
#undef FRAG4_OF
#undef CHECK_FLOATS
#undef CHECK_HALVES
#ifdef VULKAN
#extension GL_EXT_bfloat16 : require
#extension GL_EXT_shader_explicit_arithmetic_types_int16 : require
#define frag_t         bfloat16_t
#define frag4_t        bf16vec4
#define FRAG4_OF(a, b) bf16vec4(uintBitsToBFloat16EXT(unpack16(a)), uintBitsToBFloat16EXT(unpack16(b)))
#define TOFRAG4(v)     FRAG4_OF(ar_brain_pair((v).x, (v).y), ar_brain_pair((v).z, (v).w))
#else
#define frag_t         float
#define frag4_t        float4
#define FRAG4_OF(a, b) F4(ASF((a) << 16u), ASF((a)&0xffff0000u), ASF((b) << 16u), ASF((b)&0xffff0000u))
#define TOFRAG4(v)     ar_brain_round4(v)
#endif
#define CHECK_FLOATS(v)
#define CHECK_HALVES(u)
