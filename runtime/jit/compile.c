/* LLVM from outside: the host, source to objects, objects to callable code.
 *
 * Invariants: one lvt_compiler belongs to one thread at a time (it has its own LLVM context); an object holds
 * one function and needs no symbol from anywhere, because nothing is offered to it: a call out would fail
 * here, not at run time. May not know: the cache, requests. */
#include "emit.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Codegen does the rest: what is emitted is already explicit vector code. */
static const char passes[] = "function(mem2reg,early-cse)";

static bool has_feature(const char *features, const char *name) {
    size_t n = strlen(name);
    for (const char *p = features; (p = strstr(p, name)) != NULL; p += n)
        if (p > features && p[-1] == '+' && (p[n] == ',' || p[n] == 0))
            return true;
    return false;
}

lvt_status lvt_machine_host(lvt_machine *m, lvt_diag *diag) {
    memset(m, 0, sizeof *m);
    if (LLVMInitializeNativeTarget() || LLVMInitializeNativeAsmPrinter())
        return lvt_error(diag, LVT_INTERNAL, "E902", LVT_NOWHERE,
                         "LLVM has no code generator for this processor");
    m->triple = LLVMGetDefaultTargetTriple();
    m->cpu = LLVMGetHostCPUName();
    m->features = LLVMGetHostCPUFeatures();
    if (!m->triple || !m->cpu || !m->features) {
        lvt_machine_free(m);
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
    }
    m->avx512 = has_feature(m->features, "avx512f") && has_feature(m->features, "avx512bw") &&
                has_feature(m->features, "avx512vl") && has_feature(m->features, "avx512dq");
    m->width = m->avx512 ? 16 : has_feature(m->features, "avx2") ? 8 : 4;
    m->sse41 = has_feature(m->features, "sse4.1") || strncmp(m->triple, "aarch64", 7) == 0;
    return LVT_OK;
}

void lvt_machine_free(lvt_machine *m) {
    if (m->triple)
        LLVMDisposeMessage(m->triple);
    if (m->cpu)
        LLVMDisposeMessage(m->cpu);
    if (m->features)
        LLVMDisposeMessage(m->features);
    memset(m, 0, sizeof *m);
}

static LLVMTargetMachineRef target_machine(const lvt_machine *m) {
    LLVMTargetRef target;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(m->triple, &target, &message)) {
        LLVMDisposeMessage(message);
        return NULL;
    }
    return LLVMCreateTargetMachine(target, m->triple, m->cpu, m->features, LLVMCodeGenLevelDefault,
                                   LLVMRelocPIC, LLVMCodeModelDefault);
}

struct lvt_compiler {
    const lvt_machine *machine;
    LLVMContextRef context;
    LLVMTargetMachineRef target;
    LLVMPassBuilderOptionsRef options;
};

void lvt_compiler_free(lvt_compiler *c) {
    if (!c)
        return;
    if (c->options)
        LLVMDisposePassBuilderOptions(c->options);
    if (c->target)
        LLVMDisposeTargetMachine(c->target);
    if (c->context)
        LLVMContextDispose(c->context);
    free(c);
}

lvt_status lvt_compiler_new(const lvt_machine *m, lvt_compiler **out, lvt_diag *diag) {
    lvt_compiler *c = *out = calloc(1, sizeof *c);
    if (!c)
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
    c->machine = m;
    c->context = LLVMContextCreate();
    c->target = target_machine(m);
    c->options = LLVMCreatePassBuilderOptions();
    if (c->context && c->target && c->options)
        return LVT_OK;
    lvt_compiler_free(c);
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
    LLVMSetTarget(e.module, c->machine->triple);
    e.b = LLVMCreateBuilderInContext(c->context);
    e.i1 = LLVMInt1TypeInContext(c->context);
    e.i8 = LLVMInt8TypeInContext(c->context);
    e.i16 = LLVMInt16TypeInContext(c->context);
    e.i32 = LLVMInt32TypeInContext(c->context);
    e.i64 = LLVMInt64TypeInContext(c->context);
    e.f32 = LLVMFloatTypeInContext(c->context);
    e.f64 = LLVMDoubleTypeInContext(c->context);
    e.ptr = LLVMPointerTypeInContext(c->context, 0);
    bool ok = s->emit(&e, s->of, symbol);
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

lvt_status lvt_compiler_run(lvt_compiler *c, const lvt_source_code *s, const char *symbol, lvt_object *out,
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

char *lvt_compiler_text(lvt_compiler *c, const lvt_source_code *s) {
    LLVMModuleRef module = make_module(c, s, "kernel");
    if (!module)
        return NULL;
    char *text = LLVMPrintModuleToString(module), *copy = copy_text(text);
    LLVMDisposeMessage(text);
    LLVMDisposeModule(module);
    return copy;
}

/* ---- objects to code ---- */

struct lvt_linker {
    LLVMOrcLLJITRef jit;
};

void lvt_linker_free(lvt_linker *l) {
    if (!l)
        return;
    if (l->jit)
        LLVMConsumeError(LLVMOrcDisposeLLJIT(l->jit));
    free(l);
}

lvt_status lvt_linker_new(const lvt_machine *m, lvt_linker **out, lvt_diag *diag) {
    lvt_linker *l = *out = calloc(1, sizeof *l);
    LLVMTargetMachineRef target = l ? target_machine(m) : NULL;
    LLVMErrorRef error = LLVMErrorSuccess;
    if (target) {
        LLVMOrcLLJITBuilderRef builder = LLVMOrcCreateLLJITBuilder();
        LLVMOrcLLJITBuilderSetJITTargetMachineBuilder(
            builder, LLVMOrcJITTargetMachineBuilderCreateFromTargetMachine(target));
        error = LLVMOrcCreateLLJIT(&l->jit, builder); /* takes builder and target */
    }
    if (target && !error)
        return LVT_OK;
    if (error) {
        char *why = NULL;
        failed_with(error, &why);
        lvt_error(diag, LVT_INTERNAL, "E902", LVT_NOWHERE, "LLVM cannot make code here: %s", why ? why : "?");
        free(why);
        l->jit = NULL;
    }
    lvt_linker_free(l);
    *out = NULL;
    return error ? LVT_INTERNAL : lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
}

lvt_status lvt_linker_add(lvt_linker *l, const lvt_object *object, const char *symbol, lvt_nest_code *entry,
                          char **why) {
    *why = NULL;
    LLVMMemoryBufferRef buffer =
        LLVMCreateMemoryBufferWithMemoryRangeCopy(object->data, object->size, symbol);
    LLVMErrorRef error = LLVMOrcLLJITAddObjectFile(l->jit, LLVMOrcLLJITGetMainJITDylib(l->jit), buffer);
    LLVMOrcExecutorAddress address = 0;
    if (!error)
        error = LLVMOrcLLJITLookup(l->jit, &address, symbol);
    if (error)
        return failed_with(error, why);
    *entry = (lvt_nest_code)(uintptr_t)address;
    return LVT_OK;
}
