/* The table of ops, and what is found in it.
 *
 * Invariant: nothing here names a single op. May not know: graphs, inference. */
#include "op.h"

#include <string.h>

#define LVT_PW(name_, ...) extern const lvt_op_def lvt_op_def_##name_;
#define LVT_OP(name_) extern const lvt_op_def lvt_op_def_##name_;
#include "ops.def"

const lvt_op_def *const lvt_op_table[LVT_N_OPS] = {
#define LVT_PW(name_, ...) [LVT_OP_##name_] = &lvt_op_def_##name_,
#define LVT_OP(name_) [LVT_OP_##name_] = &lvt_op_def_##name_,
#include "ops.def"
};

lvt_op lvt_op_find(const char *name, size_t length) {
    for (int i = 0; i < LVT_N_OPS; i++)
        if (strlen(lvt_op_table[i]->name) == length && !memcmp(lvt_op_table[i]->name, name, length))
            return (lvt_op)i;
    return (lvt_op)LVT_NO_OP;
}

const lvt_attr *lvt_attr_get(const lvt_node *n, const char *name) {
    const lvt_op_def *def = lvt_op_of(n);
    for (int i = 0; i < def->n_attrs; i++)
        if (!strcmp(def->attrs[i].name, name))
            return &n->attrs[i];
    return NULL;
}

/* ---- geometry ---- */
