/* What lvt's own programs see of the runtime beyond lvt.h: the compiled module with its plans, and the tuner
 * that a compiler asks. Not installed, not exported: it changes as the graph does.
 *
 * May not know: how a session does its work. */
#ifndef LVT_COMPILED_H
#define LVT_COMPILED_H

#include "ir/program/program.h"
#include "runtime/lvt.h"

const lvt_compiled *lvt_program_compiled(const lvt_program *p); /* everything that is known about it */
/* Writes the program, with the initial values that it has, to `path`, and marks the folder that it was opened with as
 * cache as what LVT_KERNELS may name: all kernels are there that its sessions have made. Errors: those of
 * lvt_program_publish, LVT_IO. */
lvt_status lvt_program_pack(lvt_program *p, const char *path, lvt_diag *diag);

/* For a compiler: how long a step takes in each of its variants, on this machine, on made-up operands. Equal
 * questions are measured once and then get the same answer. A tuner belongs to one thread at a time. */
typedef struct lvt_tuner lvt_tuner;
lvt_status lvt_tuner_new(int threads, lvt_tuner **out, lvt_diag *diag); /* threads 0: all processors */
void lvt_tuner_free(lvt_tuner *t);
int lvt_tuner_threads(const lvt_tuner *t);
size_t lvt_tuner_measured(const lvt_tuner *t); /* different questions so far */
/* Of a step of family onednn. plan: its graph, steps and the strides of places, which need not be anywhere
 * yet. steady: one an operand, the same at every run. variants: bit v stands for variant v. seconds,
 * LVT_N_VARIANTS of them: the median of several runs; below 0 where it was not asked for or this machine has
 * no kernel of that variant. */
lvt_status lvt_tuner_measure(lvt_tuner *t, const lvt_plan *plan, uint32_t step, const bool *steady,
                             unsigned variants, double *seconds, lvt_diag *diag);
/* Whether this machine's library runs a step of family onednn in the variant that the plan says, and not in
 * the standard one. */
lvt_status lvt_tuner_has(lvt_tuner *t, const lvt_plan *plan, uint32_t step, bool *has, lvt_diag *diag);

#endif
