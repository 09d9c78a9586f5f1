#version 450
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_shuffle : enable
#ifdef GL_KHR_cooperative_matrix
#extension GL_KHR_cooperative_matrix : enable
#extension GL_KHR_memory_scope_semantics : enable
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : enable
#endif
/* The kernel dialect, GLSL side. See docs/kernels.md. VW is always 4 here. */
#define VW 4u
#define KERNEL(name)
#define RO(i, T, n)                                                                                          \
    layout(set = 0, binding = i, std430) readonly buffer n##_b { T n[]; };
#define WO(i, T, n)                                                                                          \
    layout(set = 0, binding = i, std430) writeonly buffer n##_b { T n[]; };
#define RW(i, T, n)                                                                                          \
    layout(set = 0, binding = i, std430) buffer n##_b { T n[]; };
/* a read-only array of vectors of four floats, for devices that fetch texels faster than they load */
#ifdef AR_TEXELS
#define TEX(i, T, n) layout(set = 0, binding = i) uniform samplerBuffer n;
#define TEXEL(n, i)  texelFetch(n, int(i))
#else
#define TEX(i, T, n) RO(i, T, n)
#define TEXEL(n, i)  n[i]
#endif
#define PARAMS  layout(push_constant, std430) uniform Params_ {
#define P(T, n) T n;
#define LOCALS                                                                                               \
    }                                                                                                        \
    ;
#define SHARED(T, n, count) shared T n[count];
#define VIEW(i, T, n, of)                                                                                    \
    layout(set = 0, binding = i, std430) readonly buffer n##_b { T n[]; };
#define RW_VIEW(i, T, n, of)                                                                                 \
    layout(set = 0, binding = i, std430) buffer n##_b { T n[]; };
#define BODY             void main() {
#define END              }
#define SPEC(i, T, n, d) layout(constant_id = i) const T n = d;
#define WGSIZE(x, y)     layout(local_size_x_id = 0, local_size_y_id = 1, local_size_z = 1) in;
#define FN
#define UNROLL    [[unroll]]
#define ROLLED    [[dont_unroll]]
#define PASSES    UNROLL  /* before a loop of known count that OpenCL C's compiler leaves one */
#define EXACT     precise /* no contraction: before a declaration whose value must be the same everywhere */
#define BARRIER() barrier()
/* ---- ids: LID in the group, WID of the group, GID of the item; *LIN folded over the x and y axes ---- */
#define LID0       gl_LocalInvocationID.x
#define LID1       gl_LocalInvocationID.y
#define WID0       gl_WorkGroupID.x
#define WID1       gl_WorkGroupID.y
#define WID2       gl_WorkGroupID.z
#define GID0       gl_GlobalInvocationID.x
#define GID1       gl_GlobalInvocationID.y
#define GID2       gl_GlobalInvocationID.z
#define WLIN       (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x)
#define GLIN       (WLIN * WGX + gl_LocalInvocationID.x)
#define WN0        gl_NumWorkGroups.x
#define TAKE(b, i) atomicAdd((b)[(i)], 1u) /* b[i]++ */
/* ---- types and casts ---- */
#define float2          vec2
#define float4          vec4
#define int2            ivec2
#define uint2           uvec2
#define uint4           uvec4
#define fvec            vec4
#define hvec            vec4 /* in OpenCL: HW lanes, see docs/kernels.md; here SPEC HW is always 4 */
#define F2(a, b)        vec2(a, b)
#define F4(a, b, c, d)  vec4(a, b, c, d)
#define F4S(a)          vec4(a)
#define FV(a)           vec4(a)
#define HV(a)           vec4(a)
#define huvec           uvec4
#define hsvec           uvec2
#define HV_BITS(v)      floatBitsToUint(v)
#define HV_FLOATS(u)    uintBitsToFloat(u)
#define HV_INTS(u)      vec4(ivec4(u))
#define HV_SHORTS(u)    vec4(ivec4(ivec2(u).xxyy << ivec4(16, 0, 16, 0)) >> 16)
#define HV_WIDE(u)      uvec4(ivec4(ivec2(u).xxyy << ivec4(16, 0, 16, 0)) >> 16)
#define HV_TO_INTS(v)   uvec4(ivec4(v))
#define HV_TO_SHORTS(v) ((uvec4(ivec4(v)).xz & 0xffffu) | (uvec4(ivec4(v)).yw << 16u))
#define TOF(x)          float(x)
#define TOI(x)          int(x)
#define TOU(x)          uint(x)
#define ASU(x)          floatBitsToUint(x)
#define ASF(x)          uintBitsToFloat(x)
#define RINT(x)         roundEven(x)
#define FABS(x)         abs(x)
#define RSQRT(x)        inversesqrt(x)
#define FVSUM(v)        (((v).x + (v).y) + ((v).z + (v).w))
#define HVSUM(v)        FVSUM(v)
#define FVSUM4(v)       FVSUM(v)
/* HVSUM of four; the largest lane; lanes after a up to z kept, the others far below any score */
#define HVSUM4(a, b, c, d) vec4(HVSUM(a), HVSUM(b), HVSUM(c), HVSUM(d))
#define FVMAX(v)           max(max((v).x, (v).y), max((v).z, (v).w))
#define FVKEEP(v, a, z)                                                                                      \
    mix(vec4(-3.0e38), v,                                                                                    \
        bvec4(0.0 > (a) && 0.0 <= (z), 1.0 > (a) && 1.0 <= (z), 2.0 > (a) && 2.0 <= (z),                     \
              3.0 > (a) && 3.0 <= (z)))
/* ---- vectors in float buffers: 4 or VW lanes at element i, any alignment; lane l of a variable ---- */
#define LD4(b, i)         vec4(b[(i)], b[(i) + 1u], b[(i) + 2u], b[(i) + 3u])
#define ST4(b, i, v)      b[(i)] = (v).x, b[(i) + 1u] = (v).y, b[(i) + 2u] = (v).z, b[(i) + 3u] = (v).w
#define LDV(b, i)         LD4(b, i)
#define STV(b, i, v)      ST4(b, i, v)
#define LDH(b, i)         LD4(b, i)
#define STH(b, i, v)      ST4(b, i, v)
#define LDHS(b, i)        uvec2(b[(i)], b[(i) + 1u])
#define LANE(v, l)        (v)[l]
#define LANE_SET(v, l, f) (v)[l] = (f)
/* ---- lanes 0, 2, .. and 1, 3, .. of a and then b; pairs of their halves' lanes; x where a < b ---- */
#define HV_EVEN(a, b)       vec4((a).xz, (b).xz)
#define HV_ODD(a, b)        vec4((a).yw, (b).yw)
#define HV_ZIP_LO(a, b)     vec4((a).x, (b).x, (a).y, (b).y)
#define HV_ZIP_HI(a, b)     vec4((a).z, (b).z, (a).w, (b).w)
#define HV_LESS(a, b, x, y) mix(y, x, lessThan(a, b))
/* uvec: VW words. Its lanes as signed numbers, shifted right by n; as the floats of that bits; and back */
#define uvec            uvec4
#define UV(a)           uvec4(a)
#define FV_SIGNED(u, n) vec4(ivec4(u) >> (n))
#define FV_FLOATS(u)    uintBitsToFloat(u)
#define FV_BITS(v)      floatBitsToUint(v)
#define avec            vec4
/* gemm reads AL rows of A in one load */
#define AL            4u
#define ALANE(v, l)   (v)[l]
#define ASET(v, l, f) (v)[l] = (f)
/* ---- lanes of a subgroup, for kernels that ask for them: v as lane l of mine holds it ---- */
#define SG_LANE        gl_SubgroupInvocationID
#define SG_FROM(v, l)  subgroupShuffle(v, l)
#define SG_FROM4(v, l) subgroupShuffle(v, l) /* of four floats */
/* ---- sum plus the products of the four unsigned bytes of each lane of c with the signed ones of x ---- */
#define BYTE_AT_(x, k) uint(int((x) << (24u - 8u * (k))) >> 24)
#define DOT_8(sum, c, x)                                                                                     \
    ((sum) + ((c)&255u) * BYTE_AT_(x, 0u) + (((c) >> 8u) & 255u) * BYTE_AT_(x, 1u) +                         \
     (((c) >> 16u) & 255u) * BYTE_AT_(x, 2u) + ((c) >> 24u) * BYTE_AT_(x, 3u))
#define DOT_7(sum, c, x) DOT_8(sum, c, x)
#define PREFETCH(b, i)
/* ---- fragments of a subgroup, CM x CK, CK x CN and CM x CN, for kernels that ask for matrix hardware and
 * name these constants. A glslang that does not know them leaves such kernels out. FRAG_LOAD_A reads [k][m],
 * FRAG_LOAD_B_COLS [n][k], the others rows, …4 from shared vectors of four, frag4_t; FRAG_TIMES and FRAG_ADD
 * go element by element; `at` and `pitch` count elements of shared memory; FRAG4_OF makes four of fp16's bits
 * in two words; FRAGS stands before a loop over fragments. coop_bf16.h makes all of that bf16 ---- */
#define FRAGS                             UNROLL
#define SG_ID                             gl_SubgroupID
#define frag_t                            float16_t
#define TOFRAG(x)                         float16_t(x)
#define frag4_t                           f16vec4
#define TOFRAG4(v)                        f16vec4(v)
#define FRAG4_OF(a, b)                    f16vec4(unpackFloat2x16(a), unpackFloat2x16(b))
#define FRAG_LOAD_A4(f, s, at, pitch)     FRAG_LOAD_A(f, s, (at) / 4u, (pitch) / 4u)
#define FRAG_LOAD_B4(f, s, at, pitch)     FRAG_LOAD_B(f, s, (at) / 4u, (pitch) / 4u)
#define FRAG_A(n, c)                      coopmat<frag_t, gl_ScopeSubgroup, CM, CK, gl_MatrixUseA> n[c]
#define FRAG_B(n, c)                      coopmat<frag_t, gl_ScopeSubgroup, CK, CN, gl_MatrixUseB> n[c]
#define FRAG_C(n, c)                      FRAG_C_ n[c]
#define FRAG_C_                           coopmat<float, gl_ScopeSubgroup, CM, CN, gl_MatrixUseAccumulator>
#define FRAG_ZERO(f)                      f = FRAG_C_(0.0f)
#define FRAG_MUL(c, a, b)                 c = coopMatMulAdd(a, b, c)
#define FRAG_LOAD_A(f, s, at, pitch)      coopMatLoad(f, s, at, pitch, gl_CooperativeMatrixLayoutColumnMajor)
#define FRAG_LOAD_B(f, s, at, pitch)      coopMatLoad(f, s, at, pitch, gl_CooperativeMatrixLayoutRowMajor)
#define FRAG_LOAD_A_ROWS(f, s, at, pitch) coopMatLoad(f, s, at, pitch, gl_CooperativeMatrixLayoutRowMajor)
#define FRAG_LOAD_B_COLS(f, s, at, pitch) coopMatLoad(f, s, at, pitch, gl_CooperativeMatrixLayoutColumnMajor)
#define FRAG_LOAD_C(f, s, at, pitch)      coopMatLoad(f, s, at, pitch, gl_CooperativeMatrixLayoutRowMajor)
#define FRAG_TIMES(f, g)                  f = f * g
#define FRAG_ADD(f, g)                    f = f + g
#define FRAG_STORE(f, s, at, pitch)       coopMatStore(f, s, at, pitch, gl_CooperativeMatrixLayoutRowMajor)
/* Nibble c of each lane, as a signed number and as one from 0 on. */
#define SIGNED_NIBBLE(u, c) FV_SIGNED((u) << (28u - 4u * (c)), 28u)
#define NIBBLE(u, c)        FV_SIGNED(((u) >> (4u * (c))) & 15u, 0u)
