/* The one file that knows MPI: a module of its own, liblvt-mpi.so, which lvt-run loads when a program is made
 * for several processes, so that nobody else needs MPI or waits for it to load.
 *
 * Invariant: every process gets the same bits: sums are made at one and sent to all. An error of MPI ends all
 * processes, as MPI does by default: the others could only wait. May not know: sessions, tasks. */
#include "runtime/lvt.h"

#include <limits.h>
#include <mpi.h>

#pragma GCC visibility push(default)
/* Starts MPI and fills in ranks, rank and all_reduce. Not 0: MPI would not start. The values of one call are
 * those of a tensor, at most 2^31 elements. */
int lvt_mpi_open(lvt_collective *c);
/* Everybody's processes end here together. */
void lvt_mpi_close(void);
#pragma GCC visibility pop

/* MPI_MAX says nothing about NaN: here it is larger than all numbers. */
static void larger(void *in, void *inout, int *n, MPI_Datatype *type) {
    const float *x = in;
    float *y = inout;
    (void)type;
    for (int i = 0; i < *n; i++)
        y[i] = x[i] > y[i] || x[i] != x[i] ? x[i] : y[i];
}

static void all_reduce(void *user, lvt_reduce reduce, float *data, int64_t n) {
    const lvt_collective *c = user;
    MPI_Op op = MPI_SUM;
    if (reduce == LVT_REDUCE_MAX)
        MPI_Op_create(larger, 1, &op);
    while (n) {
        int part = n > 1 << 24 ? 1 << 24 : (int)n;
        MPI_Reduce(c->rank ? data : MPI_IN_PLACE, data, part, MPI_FLOAT, op, 0, MPI_COMM_WORLD);
        if (!c->rank && reduce == LVT_REDUCE_MEAN) {
            for (int i = 0; i < part; i++)
                data[i] /= (float)c->ranks;
        }
        MPI_Bcast(data, part, MPI_FLOAT, 0, MPI_COMM_WORLD);
        data += part;
        n -= part;
    }
    if (reduce == LVT_REDUCE_MAX)
        MPI_Op_free(&op);
}

int lvt_mpi_open(lvt_collective *c) {
    if (MPI_Init(NULL, NULL) != MPI_SUCCESS)
        return 1;
    MPI_Comm_size(MPI_COMM_WORLD, &c->ranks);
    MPI_Comm_rank(MPI_COMM_WORLD, &c->rank);
    c->all_reduce = all_reduce;
    c->user = c;
    return 0;
}

void lvt_mpi_close(void) {
    MPI_Finalize();
}
