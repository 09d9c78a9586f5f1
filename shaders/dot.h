/* Four products of bytes to a lane by the device's own instruction (DOT_BYTES of gemv_bytes.h): codes below
 * 128 as signed bytes, which more devices multiply, others as unsigned ones. Sums of whole numbers: the bits
 * are those of DOT_7 and DOT_8, which gemv_bytes.h takes where OpenCL C has no such function.
 * cl_qcom_dot_product8 has one such instruction, of signed bytes with unsigned ones (Qualcomm's Snapdragon
 * OpenCL guide, 80-NB295-11, 9.5.1), which is what x and c always are. */
#ifdef VULKAN
#extension GL_EXT_integer_dot_product : require
#define DOT_LANE_(c, b) uint(CODE == 8u ? dotPacked4x8EXT(c, int(b)) : dotPacked4x8EXT(int(c), int(b)))
#define DOT_BYTES(sum, c, b)                                                                                 \
    ((sum) + uvec4(DOT_LANE_((c).x, b), DOT_LANE_((c).y, b), DOT_LANE_((c).z, b), DOT_LANE_((c).w, b)))
#elif defined(AR_INT_DOT)
static uvec dot_bytes_(uvec sum, uvec c, uint x) {
    uvec four;
    UNROLL for (uint l = 0u; l < VW; l++) {
        uint one = ((const uint *)&c)[l];
        ((uint *)&four)[l] = (uint)(CODE == 8u ? dot_4x8packed_us_int(one, x) : dot_4x8packed_ss_int(one, x));
    }
    return sum + four;
}
#define DOT_BYTES(sum, c, x) dot_bytes_(sum, c, x)
#elif defined(AR_QCOM_DOT)
#pragma OPENCL EXTENSION cl_qcom_dot_product8 : enable
static uvec dot_bytes_(uvec sum, uvec c, uint x) {
    uvec four;
    UNROLL for (uint l = 0u; l < VW; l++) {
        ((uint *)&four)[l] = (uint)qcom_dot8_acc(x, ((const uint *)&c)[l], (int)((const uint *)&sum)[l]);
    }
    return four;
}
#define DOT_BYTES(sum, c, x) dot_bytes_(sum, c, x)
#endif
