/* Harness: any text as a model file, through all passes. What compiles is a valid plan. */
#include "fuzz.h"

#include "frontend/language/language.h"
#include "passes/pass.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    lvt_diag *d = lvt_diag_new();
    lvt_module *m = NULL;
    lvt_compiled *p = NULL;
    lvt_status status = lvt_compile_text("fuzz.lvt", (const char *)data, size, NULL, 0, "models", &m, d);
    if ((status == LVT_OK) != (m != NULL) || (status == LVT_OK) != (lvt_diag_errors(d) == 0))
        abort();
    if (m)
        status = lvt_compile(m, &(lvt_compile_options){.verify_each = true}, &p, d);
    if (status == LVT_INTERNAL)
        abort();
    if (p)
        lvt_compiled_free(p);
    else
        lvt_module_free(m);
    lvt_diag_free(d);
    return 0;
}
