/* What the files of the code generator share: the host, the loop nest of a kernel, objects, the cache.
 *
 * nest.c turns a request into a lvt_nest (no LLVM in it), emit*.c + scalar.c + math.c turn a nest into LLVM
 * IR and compile.c that into an object (all of these are in the code generator's module, codegen.h), image.c
 * makes objects callable, cache.c keeps images, jit.c drives them and runs kernels, move.c holds the kernels
 * that only move elements. May not know: sessions, plans, other families. */
#ifndef LVT_RUNTIME_JIT_H
#define LVT_RUNTIME_JIT_H

#include "ir/loop.h"
#include "runtime/kernel.h"

/* ---- the machine (host.c) */

typedef struct lvt_machine {
    char identity[256];         /* all that tells processors apart; part of every key of the cache */
    const char *cpu, *features; /* LLVM's names, to compile for another processor; NULL: the host's */
    int width;                  /* lanes of f32 in a vector register */
    bool avx512, sse41;
} lvt_machine;
void lvt_machine_host(lvt_machine *m);

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
    double chunk_work; /* element operations of a chunk */

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

typedef enum lvt_source_kind { LVT_SOURCE_NEST, LVT_SOURCE_ATTENTION } lvt_source_kind;
typedef struct lvt_source_code {
    const char *key; /* canonical text: equal for equal code */
    lvt_source_kind kind;
    const void *of; /* lvt_nest or lvt_attention; lives as long as the kernel */
} lvt_source_code;

/* What kernels that run generated code begin with. */
typedef struct lvt_jit_kernel {
    lvt_kernel base;
    lvt_source_code source;
    lvt_nest_code entry; /* set by lvt_jit_make */
} lvt_jit_kernel;

/* attention.c: the kernels of attention and attention_grad, but for their code. *out is what there is to
 * free, on failure too, or NULL. */
lvt_status lvt_attention_make(const lvt_kernel_request *r, const lvt_machine *m, lvt_jit_kernel **out);

/* ---- code (image.c) */

typedef struct lvt_object { /* an object file or an image; data is malloc'ed */
    void *data;
    size_t size;
} lvt_object;

enum { LVT_IMAGE_ALIGN = 64, LVT_IMAGE_MOST = 16 << 20 };
/* An image of an object file's code, with the function `symbol` to be called. LVT_INTERNAL and *why (static
 * text) when the object needs anything from outside, LVT_NOMEM. */
lvt_status lvt_image_make(const lvt_object *object, const char *symbol, lvt_object *image, const char **why);
bool lvt_image_plausible(const lvt_object *image); /* its entry lies within it */

typedef struct lvt_code lvt_code; /* a list of pieces of executable memory */
/* Copies n images to executable memory, a new piece at the head of *list; entries[i] is the function of the
 * i-th. LVT_NOMEM, or LVT_IO when the system does not allow it. */
lvt_status lvt_code_map(lvt_code **list, size_t n, const lvt_object *images, lvt_nest_code *entries);
void lvt_code_free(lvt_code *list);

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
enum { LVT_CACHE_MOST = 64 << 20 };
/* When the folder holds more than so many bytes, removes files until three quarters of that are left, those
 * first that were not used for the longest time (to the day), and what writers that were killed have left
 * behind. */
void lvt_cache_prune(lvt_cache *c, uint64_t most);
const char *lvt_cache_folder(const lvt_cache *c); /* NULL: none */

/* ---- building (build.c) */

typedef struct lvt_build_item { /* a kernel that needs code */
    const lvt_source_code *source;
    char symbol[LVT_CACHE_NAME + 4];
    lvt_object image; /* without data: to be compiled */
    char *why;        /* malloc'ed, when it failed */
    lvt_status status;
} lvt_build_item;
/* Compiles compile[0..n-1] of the list into images, which go to the cache too. apart: in a process of its
 * own. A result that is not LVT_OK (and *why, malloc'ed or NULL) is about all of them, each has its own
 * status too. */
lvt_status lvt_build_images(const lvt_machine *m, lvt_cache *cache, int threads, bool apart,
                            lvt_build_item *list, size_t n, const uint32_t *compile, char **why);

/* ---- kernels that move elements (move.c) */

/* copy, gather, gather_grad, concat, pad, one_hot, argmax. */
lvt_status lvt_move_make(const lvt_kernel_request *r, lvt_kernel **out);
/* out[r * out_step + c] = in[r + c * in_step] for r < rows, c < columns, elements of `size` bytes. */
void lvt_move_turn(size_t size, const char *in, int64_t in_step, char *out, int64_t out_step, int64_t rows,
                   int64_t columns);

#endif
