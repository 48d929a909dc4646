/* What the files of the code generator share: the host, the loop nest of a kernel, objects, the cache.
 *
 * nest.c turns a request into a lvt_nest (no LLVM in it), emit.c + scalar.c + math.c turn a nest into LLVM
 * IR, compile.c turns IR into an object and objects into callable code, cache.c keeps objects, jit.c drives
 * them and runs kernels, move.c holds the kernels that only move elements. May not know: sessions, plans,
 * other families. */
#ifndef LVT_RUNTIME_JIT_H
#define LVT_RUNTIME_JIT_H

#include "ir/loop.h"
#include "runtime/kernel.h"

/* ---- the machine */

typedef struct lvt_machine {       /* the host, as text that is part of every cache key */
    char *triple, *cpu, *features; /* LLVM's own strings, disposed by lvt_machine_free */
    int width;                     /* lanes of f32 in a vector register */
    bool avx512, sse41;
} lvt_machine;
lvt_status lvt_machine_host(lvt_machine *m, lvt_diag *diag);
void lvt_machine_free(lvt_machine *m);

/* ---- the loop nest */

enum {
    LVT_NEST_UNROLL = 4, /* vectors in flight: hides the latency of an add or a multiply-add */
    LVT_NEST_FLAT = 256, /* rows of up to so many elements stay in registers */
    LVT_NEST_HOIST = 8
};

/* How operands, results, iotas and accumulators move with the loops: elements a step of each loop. */
typedef struct lvt_stream {
    uint8_t dtype;
    int64_t stride[LVT_MAX_RANK];
} lvt_stream;

typedef struct lvt_acc { /* a reduction that is only returned; its sums over a part of the domain live in a
                            partial */
    lvt_node_id node;
    uint32_t output;
    uint8_t op;        /* reduce_sum, reduce_max, reduce_mean */
    uint8_t dtype;     /* of the accumulator: f32, f64 or i32 */
    bool row_constant; /* adds one value a row */
    lvt_stream at;
    int64_t numel, per_k; /* elements in all, elements that one step of the grid owns */
    double count;         /* elements that one result takes in */
    size_t offset;        /* in a partial, bytes */
} lvt_acc;

typedef struct lvt_nest {
    lvt_loop loop;
    const lvt_graph *body;
    int n_dims; /* merged loops, outermost first; at least one */
    int64_t dim[LVT_MAX_RANK];
    int row;       /* the first loop that belongs to the row; the last loop is vectorised */
    bool phased;   /* there are row reductions */
    uint8_t *vary; /* by value: set of loops along which it varies */
    lvt_stream *operands, *results, *iotas; /* by body input, by output, by node */
    lvt_acc *accs;
    uint32_t n_accs;
    size_t partial_bytes; /* of one partial: all accumulators */

    /* The chunks: steps of `grid` outer loops taken together as one index k, and the next loop (index s).
     * Accumulators never reduce grid loops, so only the s direction needs several partials. */
    int grid;
    int64_t k_total, k_step, k_chunks, s_total, s_step, s_chunks;

    int width; /* lanes */
    bool flat; /* rows are unrolled completely and held in registers */
    int rows;  /* rows taken together (column sums: fewer passes over the accumulators) */
    lvt_value hoist[LVT_NEST_HOIST]; /* values of the inner loop alone, computed once a chunk into a buffer */
    int n_hoist;
    size_t hoist_bytes; /* of one buffer */
    char *key;          /* canonical text: equal for equal code */
} lvt_nest;

/* The nest of a fused node; everything is in `arena`. LVT_USER with a message when the body is not in loop
 * form. */
lvt_status lvt_nest_make(lvt_nest *n, const lvt_kernel_request *r, const lvt_machine *m, lvt_arena *arena);

static inline bool lvt_nest_uniform(const lvt_nest *n, lvt_value v) { /* constant along the row */
    return (n->vary[v] >> n->row) == 0;
}

/* What the code of a nest is called with. buffer: hoist_bytes * n_hoist, 64-byte aligned. */
typedef void (*lvt_nest_code)(void *const *operands, void *const *results, void *partial, void *buffer,
                              int64_t k_begin, int64_t k_end, int64_t s_begin, int64_t s_end);

/* ---- what is compiled */

struct lvt_emit;
typedef struct lvt_source_code {
    const char *key; /* canonical text: equal for equal code */
    /* Adds a function of type lvt_nest_code called `symbol` to the emitter's module. False: out of memory. */
    bool (*emit)(struct lvt_emit *e, const void *of, const char *symbol);
    const void *of; /* what the function is made from; lives as long as the kernel */
} lvt_source_code;
lvt_source_code lvt_nest_source(const lvt_nest *n);

/* What kernels that run generated code begin with. */
typedef struct lvt_jit_kernel {
    lvt_kernel base;
    lvt_source_code source;
    lvt_nest_code entry; /* set by lvt_jit_make */
    int threads;
} lvt_jit_kernel;

/* attention.c: the kernels of attention and attention_grad, but for their code. *out is what there is to
 * free, on failure too, or NULL. */
lvt_status lvt_attention_make(const lvt_kernel_request *r, const lvt_machine *m, lvt_jit_kernel **out);

/* ---- objects */

typedef struct lvt_object { /* a relocatable object with one function; data is malloc'ed */
    void *data;
    size_t size;
} lvt_object;

typedef struct lvt_compiler lvt_compiler; /* LLVM's state for one thread */
lvt_status lvt_compiler_new(const lvt_machine *m, lvt_compiler **out, lvt_diag *diag);
void lvt_compiler_free(lvt_compiler *c);
/* Compiles into a function called `symbol`. *why gets a malloc'ed text on failure. */
lvt_status lvt_compiler_run(lvt_compiler *c, const lvt_source_code *s, const char *symbol, lvt_object *out,
                            char **why);
/* The LLVM IR before optimisation, malloc'ed, for people. NULL when out of memory. */
char *lvt_compiler_text(lvt_compiler *c, const lvt_source_code *s);

typedef struct lvt_linker lvt_linker; /* executable memory */
lvt_status lvt_linker_new(const lvt_machine *m, lvt_linker **out, lvt_diag *diag);
void lvt_linker_free(lvt_linker *l);
/* Makes an object's function callable; fails on undefined symbols. *why as above. */
lvt_status lvt_linker_add(lvt_linker *l, const lvt_object *object, const char *symbol, lvt_nest_code *entry,
                          char **why);

/* ---- cache */

typedef struct lvt_cache lvt_cache;
/* folder NULL: the user's; "": none (nothing is ever found). A folder that cannot be used, or that is not the
 * user's own, is none: fails only for memory. */
lvt_status lvt_cache_new(const char *folder, const lvt_machine *m, lvt_cache **out);
void lvt_cache_free(lvt_cache *c);
enum { LVT_CACHE_NAME = 33 };
/* File name of a kernel, from its key and the machine: 32 hexadecimal digits. */
void lvt_cache_name(const lvt_cache *c, const char *key, char name[LVT_CACHE_NAME]);
/* The object stored for exactly this key on exactly this kind of machine; the caller frees its data. */
bool lvt_cache_get(lvt_cache *c, const char *key, lvt_object *out);
void lvt_cache_put(lvt_cache *c, const char *key, const lvt_object *object);
const char *lvt_cache_folder(const lvt_cache *c); /* NULL: none */

/* ---- kernels that move elements (move.c) */

/* copy, gather, gather_grad, concat, pad, one_hot, argmax. */
lvt_status lvt_move_make(const lvt_kernel_request *r, lvt_kernel **out);
/* out[r * out_step + c] = in[r + c * in_step] for r < rows, c < columns, elements of `size` bytes. */
void lvt_move_turn(size_t size, const char *in, int64_t in_step, char *out, int64_t out_step, int64_t rows,
                   int64_t columns);

/* How many kernels of the last lvt_jit_make were compiled, found in the cache, and shared with an equal one.
 */
typedef struct lvt_jit_counts {
    uint32_t compiled, cached, shared;
} lvt_jit_counts;
lvt_jit_counts lvt_jit_last(const lvt_jit *j);

#endif
