/* Numbers of 16 bits: half precision (IEEE 754 binary16) and bfloat16, to and from f32. May not know: tensors. */
#ifndef LVT_IR_BASE_HALF_H
#define LVT_IR_BASE_HALF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* The value of half-precision bits; exact. */
static inline float lvt_f16_value(uint16_t bits) {
    int e = bits >> 10 & 31, m = bits & 1023;
    double x = e == 31 ? (m ? NAN : INFINITY) : e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
    return (float)(bits & 0x8000 ? -x : x);
}

/* The value of bfloat16 bits; exact. */
static inline float lvt_bf16_value(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float x;
    memcpy(&x, &wide, sizeof x);
    return x;
}

/* The nearest bfloat16, ties to even; NaN stays NaN. */
static inline uint16_t lvt_bf16_bits(float x) {
    uint32_t wide;
    memcpy(&wide, &x, sizeof wide);
    if (isnan(x))
        return (uint16_t)(wide >> 16 | 0x40);
    return (uint16_t)((wide + 0x7fff + (wide >> 16 & 1)) >> 16);
}

#endif
