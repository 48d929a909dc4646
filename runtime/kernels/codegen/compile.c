/* LLVM from outside: source to object files. The code generator's module is this file and what it calls.
 *
 * Invariant: one lvt_compiler belongs to one thread at a time (it has its own LLVM context). May not know:
 * the cache, requests. */
#include "runtime/kernels/jit/attention.h"
#include "runtime/kernels/jit/codegen.h"
#include "emit.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <stdlib.h>
#include <string.h>

/* Codegen does the rest: what is emitted is already explicit vector code. */
static const char passes[] = "function(mem2reg,early-cse)";

static LLVMTargetMachineRef target_machine(const lvt_machine *m, const char *triple) {
    LLVMTargetRef target;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(triple, &target, &message)) {
        LLVMDisposeMessage(message);
        return NULL;
    }
    char *cpu = m->cpu ? NULL : LLVMGetHostCPUName(), *features = m->cpu ? NULL : LLVMGetHostCPUFeatures();
    LLVMTargetMachineRef made =
        LLVMCreateTargetMachine(target, triple, m->cpu ? m->cpu : cpu, m->cpu ? m->features : features,
                                LLVMCodeGenLevelDefault, LLVMRelocPIC, LLVMCodeModelDefault);
    LLVMDisposeMessage(cpu);
    LLVMDisposeMessage(features);
    return made;
}

struct lvt_compiler {
    const lvt_machine *machine;
    char *triple;
    LLVMContextRef context;
    LLVMTargetMachineRef target;
    LLVMPassBuilderOptionsRef options;
};

static void compiler_free(lvt_compiler *c) {
    if (!c)
        return;
    if (c->options)
        LLVMDisposePassBuilderOptions(c->options);
    if (c->target)
        LLVMDisposeTargetMachine(c->target);
    if (c->context)
        LLVMContextDispose(c->context);
    if (c->triple)
        LLVMDisposeMessage(c->triple);
    free(c);
}

static lvt_status compiler_new(const lvt_machine *m, lvt_compiler **out, lvt_diag *diag) {
    lvt_compiler *c = *out = calloc(1, sizeof *c);
    if (!c)
        return lvt_no_memory(diag, NULL);
    c->machine = m;
    bool ready = !LLVMInitializeNativeTarget() && !LLVMInitializeNativeAsmPrinter();
    c->triple = LLVMGetDefaultTargetTriple();
    c->context = LLVMContextCreate();
    c->target = ready && c->triple ? target_machine(m, c->triple) : NULL;
    c->options = LLVMCreatePassBuilderOptions();
    if (c->context && c->target && c->options)
        return LVT_OK;
    compiler_free(c);
    *out = NULL;
    return lvt_error(diag, LVT_INTERNAL, "E902", LVT_NOWHERE,
                     "LLVM has no code generator for this processor");
}

static void set_text(lvt_emit *e, const char *key, const char *value) {
    LLVMAttributeRef a =
        LLVMCreateStringAttribute(e->context, key, (unsigned)strlen(key), value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(e->function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, a);
}

/* A module with the function, or NULL when out of memory. */
static LLVMModuleRef make_module(lvt_compiler *c, const lvt_source_code *s, const char *symbol) {
    lvt_emit e = {
        .context = c->context, .machine = c->machine, .arena = lvt_arena_new(), .width = c->machine->width};
    if (!e.arena)
        return NULL;
    e.module = LLVMModuleCreateWithNameInContext("lvt", c->context);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(c->target);
    LLVMSetModuleDataLayout(e.module, layout);
    LLVMDisposeTargetData(layout);
    LLVMSetTarget(e.module, c->triple);
    e.b = LLVMCreateBuilderInContext(c->context);
    e.i1 = LLVMInt1TypeInContext(c->context);
    e.i8 = LLVMInt8TypeInContext(c->context);
    e.i16 = LLVMInt16TypeInContext(c->context);
    e.i32 = LLVMInt32TypeInContext(c->context);
    e.i64 = LLVMInt64TypeInContext(c->context);
    e.f32 = LLVMFloatTypeInContext(c->context);
    e.f64 = LLVMDoubleTypeInContext(c->context);
    e.ptr = LLVMPointerTypeInContext(c->context, 0);
    bool ok =
        s->kind == LVT_SOURCE_NEST ? lvt_emit_nest(&e, s->of, symbol) : lvt_emit_attention(&e, s->of, symbol);
    if (ok && c->machine->avx512) { /* without these LLVM keeps to 256 bits on this kind of processor */
        set_text(&e, "prefer-vector-width", "512");
        set_text(&e, "min-legal-vector-width", "512");
    }
    LLVMDisposeBuilder(e.b);
    lvt_arena_free(e.arena);
    if (ok)
        return e.module;
    LLVMDisposeModule(e.module);
    return NULL;
}

static char *copy_text(const char *s) {
    char *t = malloc(strlen(s) + 1);
    return t ? strcpy(t, s) : NULL;
}

static lvt_status failed_with(LLVMErrorRef error, char **why) {
    char *message = LLVMGetErrorMessage(error);
    *why = copy_text(message);
    LLVMDisposeErrorMessage(message);
    return LVT_INTERNAL;
}

static lvt_status finish(lvt_compiler *c, LLVMModuleRef module, lvt_object *out, char **why) {
    char *message = NULL;
    if (LLVMVerifyModule(module, LLVMReturnStatusAction, &message)) {
        *why = copy_text(message);
        LLVMDisposeMessage(message);
        return LVT_INTERNAL;
    }
    LLVMDisposeMessage(message);
    LLVMErrorRef error = LLVMRunPasses(module, passes, c->target, c->options);
    if (error)
        return failed_with(error, why);
    LLVMMemoryBufferRef buffer = NULL;
    message = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(c->target, module, LLVMObjectFile, &message, &buffer)) {
        *why = copy_text(message);
        LLVMDisposeMessage(message);
        return LVT_INTERNAL;
    }
    out->size = LLVMGetBufferSize(buffer);
    out->data = malloc(out->size ? out->size : 1);
    if (out->data)
        memcpy(out->data, LLVMGetBufferStart(buffer), out->size);
    LLVMDisposeMemoryBuffer(buffer);
    return out->data ? LVT_OK : LVT_NOMEM;
}

static lvt_status compile(lvt_compiler *c, const lvt_source_code *s, const char *symbol, lvt_object *out,
                          char **why) {
    *out = (lvt_object){0};
    *why = NULL;
    LLVMModuleRef module = make_module(c, s, symbol);
    if (!module)
        return LVT_NOMEM;
    lvt_status status = finish(c, module, out, why);
    LLVMDisposeModule(module);
    return status;
}

static char *text(lvt_compiler *c, const lvt_source_code *s) {
    LLVMModuleRef module = make_module(c, s, "kernel");
    if (!module)
        return NULL;
    char *message = LLVMPrintModuleToString(module), *copy = copy_text(message);
    LLVMDisposeMessage(message);
    LLVMDisposeModule(module);
    return copy;
}

extern const lvt_codegen lvt_codegen_table __attribute__((visibility("default")));
const lvt_codegen lvt_codegen_table = {.size = sizeof lvt_codegen_table,
                                       .version = LVT_VERSION,
                                       .compiler_new = compiler_new,
                                       .compiler_free = compiler_free,
                                       .compile = compile,
                                       .text = text};
