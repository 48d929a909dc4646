/* See finite.h.
 *
 * An IEEE 754 number is infinite or NaN when all bits of its exponent are set: then adding 1 to the exponent's
 * lowest bit carries into the sign's place, which was cleared before. The loops look at blocks of one length
 * without a branch, so that compilers make vectors of them. */
#include "finite.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 256 };

#define LVT_FIND(name, word, sign, lowest)                                                                   \
    static bool name(const void *block) {                                                                    \
        word x[BLOCK], found = 0;                                                                            \
        memcpy(x, block, sizeof x);                                                                          \
        for (int i = 0; i < BLOCK; i++)                                                                      \
            found |= (word)((x[i] & (word) ~(sign)) + (lowest));                                             \
        return found & (sign);                                                                               \
    }
LVT_FIND(any_f32, uint32_t, UINT32_C(0x80000000), UINT32_C(0x00800000))
LVT_FIND(any_bf16, uint16_t, UINT16_C(0x8000), UINT16_C(0x0080))
LVT_FIND(any_f64, uint64_t, UINT64_C(0x8000000000000000), UINT64_C(0x0010000000000000))

static double element_of(lvt_dtype dtype, const void *packed, int64_t i) {
    const char *at = (const char *)packed + (size_t)i * lvt_dtype_size(dtype);
    uint16_t half;
    uint32_t bits;
    float single;
    double x;
    switch (dtype) {
    case LVT_F64:
        memcpy(&x, at, sizeof x);
        return x;
    case LVT_BF16:
        memcpy(&half, at, sizeof half);
        bits = (uint32_t)half << 16;
        memcpy(&single, &bits, sizeof single);
        return single;
    case LVT_F32:
        memcpy(&single, at, sizeof single);
        return single;
    default:
        return 0;
    }
}

int64_t lvt_first_unsound(lvt_dtype dtype, const void *packed, int64_t n, bool infinite) {
    if (!lvt_dtype_is_float(dtype))
        return -1;
    size_t size = lvt_dtype_size(dtype);
    for (int64_t i = 0; i < n; i += BLOCK) {
        int64_t here = n - i < BLOCK ? n - i : BLOCK;
        const void *at = (const char *)packed + (size_t)i * size;
        bool any = here < BLOCK || (size == 4 ? any_f32(at) : size == 2 ? any_bf16(at) : any_f64(at));
        for (int64_t k = i; any && k < i + here; k++) {
            double x = element_of(dtype, packed, k);
            if (isnan(x) || (isinf(x) && !infinite))
                return k;
        }
    }
    return -1;
}

const char *lvt_unsound_name(lvt_dtype dtype, const void *packed, int64_t element) {
    double x = element_of(dtype, packed, element);
    return isnan(x) ? "nan" : x < 0 ? "-inf" : "inf";
}

bool lvt_state_begins_infinite(const lvt_state *s) {
    lvt_dtype dtype = (lvt_dtype)s->type.dtype;
    int64_t n = lvt_numel(&s->type);
    if (s->values) { /* NaN too is found, so it is looked for what is no NaN */
        for (int64_t i = 0, found; i < n; i += found + 1) {
            size_t skip = (size_t)i * lvt_dtype_size(dtype);
            found = lvt_first_unsound(dtype, (const char *)s->values + skip, n - i, false);
            if (found < 0)
                return false;
            if (!isnan(element_of(dtype, s->values, i + found)))
                return true;
        }
        return false;
    }
    return s->init.kind == LVT_INIT_FILE || (s->init.kind == LVT_INIT_CONSTANT && isinf(s->init.a));
}
