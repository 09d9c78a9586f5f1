/* Fragments of Intel's matrix hardware in OpenCL, for coop.h: cl_intel_subgroup_matrix_multiply_accumulate,
 * as Khronos' registry of OpenCL extensions specifies it.
 * A subgroup of SUBGROUP = CN lanes, 8 or 16, multiplies 8 x 16 by 16 x CN fp16, summed in f32. Lane l holds
 *   of A   in component i of row i the element l where there are 16 lanes, else 2l and, above it, 2l + 1
 *   of B   in component j of column l the elements 2j and, above it, 2j + 1
 *   of C   in component i of column l the element i
 * Halves are kept as their bits. cl_khr_fp16 is there wherever the extension is but in emulations. */
#ifdef AR_INTEL_MATRIX
#define SG_ID   get_sub_group_id()
#define frag_t  ushort
#define frag4_t ushort4
#ifdef cl_khr_fp16
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#define TOFRAG(x)  as_ushort(convert_half_rte(x))
#define TOFRAG4(v) as_ushort4(convert_half4_rte(v))
#else
#define TOFRAG(x)  ((ushort)ar_half_bits(x))
#define TOFRAG4(v) ((ushort4)(TOFRAG((v).x), TOFRAG((v).y), TOFRAG((v).z), TOFRAG((v).w)))
#endif
#define FRAG4_OF(a, b) as_ushort4((uint2)(a, b))
#define FRAGS          UNROLL
typedef __local const ushort *halves_;
#if SUBGROUP == 16
#define frag_a_ short8
#else
#define frag_a_ int8
#endif
#define FRAG_A(n, c)                      frag_a_ n[c]
#define FRAG_B(n, c)                      int8 n[c]
#define FRAG_C(n, c)                      float8 n[c]
#define FRAG_ZERO(f)                      f = (float8)(0.0f)
#define FRAG_MUL(c, a, b)                 c = intel_sub_group_f16_f16_matrix_mad_k16(a, b, c)
#define FRAG_LOAD_A(f, s, at, pitch)      f = frag_a_of_(s, at, pitch, get_sub_group_local_id())
#define FRAG_LOAD_A4(f, s, at, pitch)     FRAG_LOAD_A(f, ((halves_)(s)), at, pitch)
#define FRAG_LOAD_A_ROWS(f, s, at, pitch) f = frag_a_of_rows_(s, at, pitch, get_sub_group_local_id())
#define FRAG_LOAD_B(f, s, at, pitch)      f = frag_b_of_(s, at, pitch, get_sub_group_local_id())
#define FRAG_LOAD_B4(f, s, at, pitch)     FRAG_LOAD_B(f, ((halves_)(s)), at, pitch)
#define FRAG_LOAD_B_COLS(f, s, at, pitch)                                                                    \
    f = as_int8(vload16(0, (s) + (at) + get_sub_group_local_id() * (pitch)))
#define FRAG_LOAD_C(f, s, at, pitch) f = frag_c_of_(s, at, pitch, get_sub_group_local_id())
#define FRAG_STORE(f, s, at, pitch)  frag_c_to_(f, s, at, pitch, get_sub_group_local_id())
#define FRAG_TIMES(f, g)             f *= (g)
#define FRAG_ADD(f, g)               f += (g)
/* Eight elements, p apart. */
#define EIGHT_(T, e, p)                                                                                      \
    ((T)((e)[0], (e)[p], (e)[2u * (p)], (e)[3u * (p)], (e)[4u * (p)], (e)[5u * (p)], (e)[6u * (p)],          \
         (e)[7u * (p)]))
static uint8 pairs_(ushort8 lower, ushort8 upper) {
    return convert_uint8(lower) | convert_uint8(upper) << 16u;
}
static frag_a_ frag_a_of_(halves_ s, uint at, uint pitch, uint lane) {
#if SUBGROUP == 16
    return as_short8(vload8(0, s + at + lane * pitch));
#else
    halves_ two = s + at + 2u * lane * pitch;
    return as_int8(pairs_(vload8(0, two), vload8(0, two + pitch)));
#endif
}
static frag_a_ frag_a_of_rows_(halves_ s, uint at, uint pitch, uint lane) {
#if SUBGROUP == 16
    halves_ e = s + at + lane;
    return as_short8(EIGHT_(ushort8, e, pitch));
#else
    halves_ e = s + at + 2u * lane;
    return as_int8(pairs_(EIGHT_(ushort8, e, pitch), EIGHT_(ushort8, e + 1, pitch)));
#endif
}
static int8 frag_b_of_(halves_ s, uint at, uint pitch, uint lane) {
    halves_ e = s + at + lane;
    return as_int8(pairs_(EIGHT_(ushort8, e, 2u * pitch), EIGHT_(ushort8, e + pitch, 2u * pitch)));
}
static float8 frag_c_of_(__local const float *s, uint at, uint pitch, uint lane) {
    __local const float *e = s + at + lane;
    return EIGHT_(float8, e, pitch);
}
static void frag_c_to_(float8 f, __local float *s, uint at, uint pitch, uint lane) {
    __local float *e = s + at + lane;
    e[0] = f.s0, e[pitch] = f.s1, e[2u * pitch] = f.s2, e[3u * pitch] = f.s3;
    e[4u * pitch] = f.s4, e[5u * pitch] = f.s5, e[6u * pitch] = f.s6, e[7u * pitch] = f.s7;
}
#endif
