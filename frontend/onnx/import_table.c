/* The rows of all imported operators, found by name. May not know: what a builder does. */
#include "importer.h"

#include <string.h>

const lvt_im_row *lvt_im_find(const char *op) {
    static const lvt_im_row *const tables[] = {
        lvt_im_math,     lvt_im_shapes,     lvt_im_indices, lvt_im_nets,  lvt_im_pools,
        lvt_im_matrices, lvt_im_losses,     lvt_im_sums,    lvt_im_grids, lvt_im_quantised,
        lvt_im_flows,    lvt_im_attentions, lvt_im_windows};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const lvt_im_row *r = tables[t]; r->op; r++)
            if (!strcmp(r->op, op))
                return r;
    return NULL;
}
