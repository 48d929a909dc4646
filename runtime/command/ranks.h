/* lvt-run as one of several processes under mpirun. May not know: tasks, terminals. */
#ifndef LVT_COMMAND_RANKS_H
#define LVT_COMMAND_RANKS_H

#include "runtime/lvt.h"

typedef struct lvt_ranks {
    lvt_collective all; /* ranks 0: this process is alone */
    void *module;       /* liblvt-mpi.so */
} lvt_ranks;

/* Joins the other processes when mpirun (or srun) started this one, else leaves r zero. LVT_USER: this
 * lvt-run was built without MPI, or MPI does not start. */
lvt_status lvt_ranks_open(lvt_ranks *r, lvt_diag *diag);
/* Leaves the others, together with them. Not after an error: who ends without it ends all. */
void lvt_ranks_close(lvt_ranks *r);

#endif
