/* References of the fp16 conversions: exact arithmetic in double instead of bit fields. */
#include "ref.h"
#include <math.h>

double ref_half_value(uint16_t h) {
    int exponent = h >> 10 & 31, mantissa = h & 1023;
    double sign = h & 0x8000 ? -1 : 1;
    if (exponent == 31) return mantissa ? NAN : sign * INFINITY;
    if (exponent == 0) return sign * ldexp(mantissa, -24);
    return sign * ldexp(1024 + mantissa, exponent - 25);
}

uint16_t ref_half_bits(float f) {
    uint16_t sign = signbit(f) ? 0x8000 : 0;
    double a = fabs((double)f);
    if (a >= 65520) return (uint16_t)(sign | 0x7c00); /* half a step past the largest, 65504 */
    /* the step between neighbours: 2^-24 below 2^-14, else 2^-10 of the power of two below a */
    int exponent = -14;
    while (ldexp(1, exponent + 1) <= a) exponent++;
    double steps = a / ldexp(1, exponent - 10); /* exact; below 2048 */
    int whole = (int)steps;
    double rest = steps - whole;
    if (rest > 0.5 || (rest == 0.5 && whole % 2 == 1)) whole++;
    /* the code of `whole` steps of that size: carries into the exponent fall out by themselves */
    return (uint16_t)(sign | ((exponent + 14) * 1024 + whole));
}
