/* Arithmetic on strides for the verifier of plans, see check.h. May not know: plans, steps. */
#include "check.h"
#include "ir/op.h"

#include <string.h>

void lvt_check_packed(const lvt_type *t, int64_t *strides) {
    int64_t stride = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        strides[i] = stride;
        stride *= t->dim[i];
    }
}

bool lvt_check_same_strides(const lvt_type *t, const int64_t *a, const int64_t *b) {
    for (int i = 0; i < t->rank; i++)
        if (t->dim[i] > 1 && a[i] != b[i])
            return false;
    return true;
}

bool lvt_check_is_packed(const lvt_type *t, const int64_t *strides) {
    int64_t wanted[LVT_MAX_RANK];
    lvt_check_packed(t, wanted);
    return lvt_check_same_strides(t, strides, wanted);
}

/* Bytes from the first element to past the last; false when a stride is negative or the sum is beyond 2^60.
 */
bool lvt_check_span(const lvt_type *t, const int64_t *strides, uint64_t *out) {
    int64_t elements = 1, bytes;
    for (int i = 0; i < t->rank; i++) {
        int64_t reach;
        if (t->dim[i] == 1)
            continue;
        if (strides[i] < 0 || __builtin_mul_overflow(t->dim[i] - 1, strides[i], &reach) ||
            __builtin_add_overflow(elements, reach, &elements))
            return false;
    }
    if (__builtin_mul_overflow(elements, (int64_t)lvt_dtype_size((lvt_dtype)t->dtype), &bytes) ||
        bytes > (int64_t)1 << 60)
        return false;
    *out = (uint64_t)bytes;
    return true;
}

/* No two elements at one place: taken by rising stride, each dim steps over all that the smaller ones reach.
 * This is what permuted row-major layouts look like, with or without gaps. */
bool lvt_check_injective(const lvt_type *t, const int64_t *strides) {
    bool done[LVT_MAX_RANK] = {false};
    int64_t reach = 1;
    for (int turn = 0; turn < t->rank; turn++) {
        int next = -1;
        for (int i = 0; i < t->rank; i++)
            if (!done[i] && t->dim[i] > 1 && (next < 0 || strides[i] < strides[next]))
                next = i;
        if (next < 0)
            return true;
        if (strides[next] < reach)
            return false;
        reach += (t->dim[next] - 1) * strides[next]; /* lvt_check_span() has shown that this fits */
        done[next] = true;
    }
    return true;
}

/* Strides of the same elements in the same order under shape `to`; false when there are none. Neighbouring
 * dims that step as one are joined to runs, which the new dims then divide from the innermost on. */
static bool reshaped(const lvt_type *from, const int64_t *strides, const lvt_type *to, int64_t *result) {
    int64_t size[LVT_MAX_RANK], step[LVT_MAX_RANK];
    int n = 0;
    for (int i = from->rank - 1; i >= 0; i--) {
        if (from->dim[i] == 1)
            continue;
        if (n && strides[i] == step[n - 1] * size[n - 1]) {
            size[n - 1] *= from->dim[i];
        } else {
            size[n] = from->dim[i];
            step[n++] = strides[i];
        }
    }
    int run = 0;
    for (int i = to->rank - 1; i >= 0; i--) {
        result[i] = 0;
        if (to->dim[i] == 1)
            continue;
        while (run < n && size[run] == 1)
            run++;
        if (run == n || size[run] % to->dim[i])
            return false;
        result[i] = step[run];
        size[run] /= to->dim[i];
        step[run] *= to->dim[i];
    }
    return true;
}

bool lvt_check_view(const lvt_graph *g, const lvt_node *n, const lvt_place *source, lvt_place *out) {
    const lvt_type *from = lvt_value_type(g, n->operands[0]), *to = lvt_value_type(g, n->result);
    *out = *source;
    memset(out->strides, 0, sizeof out->strides);
    switch (n->op) {
    case LVT_OP_reshape:
        return reshaped(from, source->strides, to, out->strides);
    case LVT_OP_transpose: {
        const lvt_attr *order = lvt_attr_get(n, "order");
        for (int i = 0; i < to->rank; i++)
            out->strides[i] = source->strides[order->ints[i]];
        return true;
    }
    case LVT_OP_broadcast:
        for (int i = 0; i < from->rank; i++)
            if (from->dim[i] > 1)
                out->strides[to->rank - from->rank + i] = source->strides[i];
        return true;
    case LVT_OP_slice: {
        int64_t axis = lvt_attr_get(n, "axis")->i, begin = lvt_attr_get(n, "begin")->i,
                step = lvt_attr_get(n, "step")->i;
        memcpy(out->strides, source->strides, sizeof out->strides);
        axis += axis < 0 ? from->rank : 0;
        begin += begin < 0 ? from->dim[axis] : 0;
        if (from->dim[axis] > 1) {
            out->offset +=
                (uint64_t)begin * (uint64_t)source->strides[axis] * lvt_dtype_size((lvt_dtype)to->dtype);
            out->strides[axis] = (int64_t)((uint64_t)source->strides[axis] * (uint64_t)step);
        }
        return true;
    }
    default:
        return false;
    }
}
