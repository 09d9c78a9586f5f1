/* The kernel dialect, OpenCL C 1.2 side. See docs/kernels.md. The host passes -DVW=4|8|16 and every SPEC. */
#pragma OPENCL FP_CONTRACT OFF
#define KERNEL(name) __kernel __attribute__((reqd_work_group_size(WGX, WGY, 1))) SUBGROUPS void name(
/* AR_SUBGROUP: the size that the host wants subgroups to have, AR_SUBGROUP_MOST the largest they may have. */
#if defined(AR_SUBGROUP) && defined(cl_intel_required_subgroup_size)
#pragma OPENCL EXTENSION cl_intel_required_subgroup_size : enable
#define SUBGROUPS __attribute__((intel_reqd_sub_group_size(AR_SUBGROUP)))
#elif defined(AR_SUBGROUP) && defined(cl_qcom_reqd_sub_group_size)
#pragma OPENCL EXTENSION cl_qcom_reqd_sub_group_size : enable
#if AR_SUBGROUP == AR_SUBGROUP_MOST
#define SUBGROUPS __attribute__((qcom_reqd_sub_group_size("full")))
#else
#define SUBGROUPS __attribute__((qcom_reqd_sub_group_size("half")))
#endif
#else
#define SUBGROUPS
#endif
#define RO(i, T, n)  __global const T *restrict n,
#define WO(i, T, n)  __global T *restrict n,
#define RW(i, T, n)  __global T *restrict n,
#define TEX(i, T, n) RO(i, T, n)
#define TEXEL(n, i)  n[i]
#define PARAMS
#define P(T, n) const T n,
#define LOCALS const uint end_) {
#define SHARED(T, n, count)  __local T n[count];
#define VIEW(i, T, n, of)    __global const T *n = (__global const T *)of;
#define RW_VIEW(i, T, n, of) __global T *n = (__global T *)of;
#define BODY
#define END }
#define SPEC(i, T, n, d)
#define WGSIZE(x, y)
#define FN     static
#define UNROLL _Pragma("unroll")
#define ROLLED _Pragma("nounroll")
#define PASSES ROLLED
#define EXACT
#define BARRIER()  barrier(CLK_LOCAL_MEM_FENCE)
#define LID0       ((uint)get_local_id(0))
#define LID1       ((uint)get_local_id(1))
#define WID0       ((uint)get_group_id(0))
#define WID1       ((uint)get_group_id(1))
#define WID2       ((uint)get_group_id(2))
#define GID0       ((uint)get_global_id(0))
#define GID1       ((uint)get_global_id(1))
#define GID2       ((uint)get_global_id(2))
#define WLIN       ((uint)(get_group_id(1) * get_num_groups(0) + get_group_id(0)))
#define GLIN       (WLIN * WGX + LID0)
#define WN0        ((uint)get_num_groups(0))
#define TAKE(b, i) atomic_inc((volatile __global uint *)((b) + (i))) /* b[i]++ */
#define CAT_(a, b) a##b
#define CAT(a, b)  CAT_(a, b)
#if VW == 4
#define fvec     float4
#define FVSUM(v) (((v).x + (v).y) + ((v).z + (v).w))
#define FVMAX(v) fvmax4_(v)
#define FLANES_  ((fvec)(0.0f, 1.0f, 2.0f, 3.0f))
#elif VW == 8
#define fvec     float8
#define FVMAX(v) fvmax4_(max((v).lo, (v).hi))
#define FLANES_  ((fvec)(0.0f, 1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f, 7.0f))
#define FVSUM(v) fvsum4_((v).lo + (v).hi)
#else
#define fvec     float16
#define FVMAX(v) fvmax4_(max(max((v).lo, (v).hi).lo, max((v).lo, (v).hi).hi))
#define FLANES_                                                                                              \
    ((fvec)(0.0f, 1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f, 7.0f, 8.0f, 9.0f, 10.0f, 11.0f, 12.0f, 13.0f, 14.0f,   \
            15.0f))
#define FVSUM(v) fvsum4_(((v).lo + (v).hi).lo + ((v).lo + (v).hi).hi)
#endif
/* hvec: lanes chosen per pipeline by a SPEC named HW, for rows that VW lanes do not divide. */
#ifdef HW
#if HW == 4
#define hvec      float4
#define HL_       4
#define HS_       2
#define HFOLD_(v) (v)
#elif HW == 8
#define hvec      float8
#define HL_       8
#define HS_       4
#define HFOLD_(v) ((v).lo + (v).hi)
#else
#define hvec      float16
#define HL_       16
#define HS_       8
#define HFOLD_(v) (((v).lo + (v).hi).lo + ((v).lo + (v).hi).hi)
#endif
#define HVSUM(v) fvsum4_(HFOLD_(v))
/* HVSUM of four, the same bits: transposed first, so that whole vectors are added. */
#if HW == 16
#define HVSUM4(a, b, c, d) hvsums_(a, b, c, d)
#else
#define HVSUM4(a, b, c, d) fvsums_(HFOLD_(a), HFOLD_(b), HFOLD_(c), HFOLD_(d))
#endif
#define HV(a) ((hvec)(a))
/* huvec: HW words; hsvec: HW 16-bit numbers, two to a word. Conversions of values that fit are exact. */
#define huvec           CAT(uint, HL_)
#define hsvec           CAT(uint, HS_)
#define LDH(b, i)       CAT(vload, HL_)(0, (b) + (i))
#define STH(b, i, v)    CAT(vstore, HL_)((v), 0, (b) + (i))
#define LDHS(b, i)      CAT(vload, HS_)(0, (b) + (i))
#define HV_BITS(v)      CAT(as_uint, HL_)(v)
#define HV_FLOATS(u)    CAT(as_float, HL_)(u)
#define HV_INTS(u)      CAT(convert_float, HL_)(CAT(as_int, HL_)(u))
#define HV_SHORTS(u)    CAT(convert_float, HL_)(CAT(as_short, HL_)(u))
#define HV_WIDE(u)      CAT(as_uint, HL_)(CAT(convert_int, HL_)(CAT(as_short, HL_)(u)))
#define HV_TO_INTS(v)   CAT(as_uint, HL_)(CAT(convert_int, HL_)(v))
#define HV_TO_SHORTS(v) CAT(as_uint, HS_)(CAT(convert_short, HL_)(v))
/* Lanes 0, 2, 4 and 1, 3, 5 of a and then b; a0 b0 a1 b1 of their lower and upper halves; x where a < b. */
#define HV_EVEN(a, b)       ((hvec)((a).even, (b).even))
#define HV_ODD(a, b)        ((hvec)((a).odd, (b).odd))
#define HV_ZIP_LO(a, b)     hzip_((a).lo, (b).lo)
#define HV_ZIP_HI(a, b)     hzip_((a).hi, (b).hi)
#define HV_LESS(a, b, x, y) (((a) < (b)) ? (x) : (y))
static hvec hzip_(CAT(float, HS_) a, CAT(float, HS_) b) {
    hvec v;
    v.even = a;
    v.odd = b;
    return v;
}
#endif
static float fvsum4_(float4 v) { return (v.x + v.y) + (v.z + v.w); }
static float fvmax4_(float4 v) { return fmax(fmax(v.x, v.y), fmax(v.z, v.w)); }
static float4 fvsums_(float4 a, float4 b, float4 c, float4 d) {
    return ((float4)(a.x, b.x, c.x, d.x) + (float4)(a.y, b.y, c.y, d.y)) +
           ((float4)(a.z, b.z, c.z, d.z) + (float4)(a.w, b.w, c.w, d.w));
}
#if defined(HW) && HW == 16
static float4 hvsums_(float16 a, float16 b, float16 c, float16 d) {
    float16 ab = (float16)(a.lo, b.lo) + (float16)(a.hi, b.hi);
    float16 cd = (float16)(c.lo, d.lo) + (float16)(c.hi, d.hi);
    float16 all =
        (float16)(ab.s0123, ab.s89ab, cd.s0123, cd.s89ab) + (float16)(ab.s4567, ab.scdef, cd.s4567, cd.scdef);
    all += all.s1032547698badcfe;
    all += all.s23016745ab89efcd;
    return all.s048c;
}
#endif
/* Lanes after a up to z kept, the others far below any score. */
#define FVKEEP(v, a, z)   select(FV(-3.0e38f), (v), (FLANES_ > FV(a)) & (FLANES_ <= FV(z)))
#define FVSUM4(v)         fvsum4_(v)
#define F2(a, b)          ((float2)((a), (b)))
#define F4(a, b, c, d)    ((float4)((a), (b), (c), (d)))
#define F4S(a)            ((float4)(a))
#define FV(a)             ((fvec)(a))
#define TOF(x)            ((float)(x))
#define TOI(x)            ((int)(x))
#define TOU(x)            ((uint)(x))
#define ASU(x)            as_uint(x)
#define ASF(x)            as_float(x)
#define FABS(x)           fabs(x)
#define RSQRT(x)          rsqrt(x)
#define LD4(b, i)         vload4(0, (b) + (i))
#define ST4(b, i, v)      vstore4((v), 0, (b) + (i))
#define LDV(b, i)         CAT(vload, VW)(0, (b) + (i))
#define STV(b, i, v)      CAT(vstore, VW)((v), 0, (b) + (i))
#define LANE(v, l)        (((const float *)&(v))[l])
#define LANE_SET(v, l, f) ((float *)&(v))[l] = (f)
#define uvec              CAT(uint, VW)
#define UV(a)             ((uvec)(a))
#define FV_SIGNED(u, n)   CAT(convert_float, VW)(CAT(as_int, VW)(u) >> (int)(n))
#define FV_FLOATS(u)      CAT(as_float, VW)(u)
#define FV_BITS(v)        CAT(as_uint, VW)(v)
#define avec              float
#define AL                1u
#define ALANE(v, l)       (v)
#define ASET(v, l, f)     (v) = (f)
/* PoCL 3.1's rint is a dozen instructions. */
#define RINT(x) rint(x)
#if (defined(__SSE4_1__) || defined(__aarch64__)) && defined(__has_builtin)
#if __has_builtin(__builtin_elementwise_roundeven)
#undef RINT
#define RINT(x) __builtin_elementwise_roundeven(x)
#endif
#endif
/* Subgroups where the host knows of shuffles; else of one lane: such kernels run with LANES = 1. */
#ifdef AR_SHUFFLE
#pragma OPENCL EXTENSION cl_khr_subgroup_shuffle : enable
#define SG_LANE       get_sub_group_local_id()
#define SG_FROM(v, l) sub_group_shuffle(v, l)
#else
#define SG_LANE       0u
#define SG_FROM(v, l) (v)
#endif
#define SG_FROM4(v, l) (float4)(SG_FROM((v).x, l), SG_FROM((v).y, l), SG_FROM((v).z, l), SG_FROM((v).w, l))
/* DOT_8(sum, c, x): sum plus the products of the four unsigned bytes of each lane of c with the signed ones
 * of x, in 32 bits; DOT_7: of bytes below 128. x86 adds pairs of products in 16 bits, which only those keep
 * to; the assembler is for processors whose instructions PoCL's compiler is not told of (docs/kernels.md). */
#if defined(AR_VNNI) && VW == 16
static uvec dot_bytes_8_(uvec sum, uvec c, uint x) {
    uvec b = UV(x);
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(c), "v"(b));
    return sum;
}
#define DOT_8(sum, c, x) dot_bytes_8_(sum, c, x)
#define DOT_7(sum, c, x) dot_bytes_8_(sum, c, x)
#else
#if (VW == 16 && defined(__AVX512BW__)) || (VW == 8 && defined(__AVX2__))
typedef char x86_bytes_ __attribute__((vector_size(4 * VW)));
typedef short x86_pairs_ __attribute__((vector_size(4 * VW)));
typedef int x86_words_ __attribute__((vector_size(4 * VW)));
typedef union x86_reg_ {
    uvec u;
    x86_bytes_ bytes;
    x86_pairs_ pairs;
    x86_words_ words;
} x86_reg_;
static uvec dot_bytes_7_(uvec sum, uvec c, uint x) {
    x86_reg_ a = {c}, b = {UV(x)}, ones = {UV(0x00010001u)};
#if VW == 16
    a.pairs = (x86_pairs_)__builtin_ia32_pmaddubsw512(a.bytes, b.bytes);
    a.words = (x86_words_)__builtin_ia32_pmaddwd512(a.pairs, ones.pairs);
#else
    a.pairs = (x86_pairs_)__builtin_ia32_pmaddubsw256(a.bytes, b.bytes);
    a.words = (x86_words_)__builtin_ia32_pmaddwd256(a.pairs, ones.pairs);
#endif
    return sum + a.u;
}
#define DOT_8(sum, c, x) DOT_7(sum, (c)&0x0f0f0f0fu, x) + (DOT_7(UV(0u), ((c) >> 4u) & 0x0f0f0f0fu, x) << 4u)
#else
static uvec dot_bytes_7_(uvec sum, uvec c, uint x) {
    int4 b = convert_int4(as_char4(x));
    sum += (c & 255u) * (uint)b.x + ((c >> 8u) & 255u) * (uint)b.y;
    return sum + ((c >> 16u) & 255u) * (uint)b.z + (c >> 24u) * (uint)b.w;
}
#define DOT_8(sum, c, x) dot_bytes_7_(sum, c, x)
#endif
#define DOT_7(sum, c, x) dot_bytes_7_(sum, c, x)
#endif
/* uint words[8] of the bytes that x's 32 floats are, whole numbers below 128, in acts_bytes.comp's order:
 * by whole vectors where two hold them; elsewhere num.h's. */
#if VW == 16
#define PACK_BYTES(words, x, fours)                                                                          \
    uint words[8];                                                                                           \
    char16 words##_a = convert_char16((x)[0]), words##_b = convert_char16((x)[1]);                           \
    vstore4(as_uint4((fours) != 0u ? words##_a : words##_a.s024613578ace9bdf), 0, words);                    \
    vstore4(as_uint4((fours) != 0u ? words##_b : words##_b.s024613578ace9bdf), 1, words);
#endif
/* Asks for element i of a buffer, which may lie behind its end. */
#if defined(__x86_64__) || defined(__aarch64__)
#define PREFETCH(b, i) __builtin_prefetch(&(b)[i])
#else
#define PREFETCH(b, i)
#endif
/* Fragments of such a subgroup: plain tiles of floats, of what fp16 holds where that goes in. Rolled: LLVM
 * takes ten seconds and more over them otherwise. coop_intel.h has those of matrix hardware. */
#ifndef AR_INTEL_MATRIX
#define SG_ID        (LID0 / SUBGROUP)
#define frag_t       float
#define TOFRAG(x)    ar_half_round(x)
#define FRAGS        ROLLED
#define FRAG_A(n, c) float n[c][CM * CK]
#define FRAG_B(n, c) float n[c][CK * CN]
#define FRAG_C(n, c) float n[c][CM * CN]
#define FRAG_ZERO(f) ROLLED for (uint z_ = 0u; z_ < CM * CN; z_++)(f)[z_] = 0.0f
#define FRAG_MUL(c, a, b)                                                                                    \
    ROLLED for (uint z_ = 0u; z_ < CM * CK; z_++)                                                            \
        ROLLED for (uint n_ = 0u; n_ < CN; n_++)(c)[z_ / CK * CN + n_] =                                     \
            fma((a)[z_], (b)[z_ % CK * CN + n_], (c)[z_ / CK * CN + n_])
#define FRAG_LOAD_A(f, s, at, pitch)                                                                         \
    ROLLED for (uint z_ = 0u; z_ < CM * CK; z_++)(f)[z_] = s[(at) + z_ % CK * (pitch) + z_ / CK]
#define FRAG_LOAD_B(f, s, at, pitch)                                                                         \
    ROLLED for (uint z_ = 0u; z_ < CK * CN; z_++)(f)[z_] = s[(at) + z_ / CN * (pitch) + z_ % CN]
/* Of shared vectors of four, frag4_t; `at` and `pitch` count elements. */
#define frag4_t    float4
#define TOFRAG4(v) F4(TOFRAG((v).x), TOFRAG((v).y), TOFRAG((v).z), TOFRAG((v).w))
#define FRAG4_OF(a, b)                                                                                       \
    F4(ar_half_value((a)&0xffffu), ar_half_value((a) >> 16u), ar_half_value((b)&0xffffu),                    \
       ar_half_value((b) >> 16u))
#define FRAG_LOAD_A4(f, s, at, pitch) FRAG_LOAD_A(f, ((__local const float *)(s)), at, pitch)
#define FRAG_LOAD_B4(f, s, at, pitch) FRAG_LOAD_B(f, ((__local const float *)(s)), at, pitch)
#define FRAG_LOAD_A_ROWS(f, s, at, pitch)                                                                    \
    ROLLED for (uint z_ = 0u; z_ < CM * CK; z_++)(f)[z_] = s[(at) + z_ / CK * (pitch) + z_ % CK]
#define FRAG_LOAD_B_COLS(f, s, at, pitch)                                                                    \
    ROLLED for (uint z_ = 0u; z_ < CK * CN; z_++)(f)[z_] = s[(at) + z_ % CN * (pitch) + z_ / CN]
#define FRAG_LOAD_C(f, s, at, pitch)                                                                         \
    ROLLED for (uint z_ = 0u; z_ < CM * CN; z_++)(f)[z_] = s[(at) + z_ / CN * (pitch) + z_ % CN]
#define FRAG_TIMES(f, g) ROLLED for (uint z_ = 0u; z_ < CM * CN; z_++)(f)[z_] *= (g)[z_]
#define FRAG_ADD(f, g)   ROLLED for (uint z_ = 0u; z_ < CM * CN; z_++)(f)[z_] += (g)[z_]
#define FRAG_STORE(f, s, at, pitch)                                                                          \
    ROLLED for (uint z_ = 0u; z_ < CM * CN; z_++) s[(at) + z_ / CN * (pitch) + z_ % CN] = (f)[z_]
#endif
/* Nibble c of each lane, as a signed number and as one from 0 on: AVX-512 looks them up by their low bits. */
#if VW == 16 && defined(__AVX512F__)
typedef float x86_floats_ __attribute__((vector_size(64)));
typedef int x86_ints_ __attribute__((vector_size(64)));
static fvec x86_nibbles_(uvec u, float first) {
    union {
        uvec u;
        x86_ints_ v;
    } i = {u};
    union {
        fvec f;
        x86_floats_ v;
    } t = {first + (fvec)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)};
    if (first < 0.0f) t.f = t.f.s89abcdef01234567;
    t.v = __builtin_ia32_permvarsf512(t.v, i.v);
    return t.f;
}
#define SIGNED_NIBBLE(u, c) x86_nibbles_((u) >> (4u * (c)), -8.0f)
#define NIBBLE(u, c)        x86_nibbles_((u) >> (4u * (c)), 0.0f)
#else
#define SIGNED_NIBBLE(u, c) FV_SIGNED((u) << (28u - 4u * (c)), 28u)
#define NIBBLE(u, c)        FV_SIGNED(((u) >> (4u * (c))) & 15u, 0u)
#endif
