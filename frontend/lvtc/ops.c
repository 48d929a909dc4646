/* What `lvtc --ops` says. Invariant: every word comes from the tables of ops and of built-in functions, so
 * neither can have a row that is not told. May not know: how anything is compiled. */
#include "frontend/lvtc/ops.h"
#include "frontend/language/language.h"
#include "ir/op_text.h"
#include "ir/program/program.h"

#include <stdlib.h>
#include <string.h>

static const char about_ops[] = "Ops: NAME(operands) -> results, {attributes with their defaults; one "
                                "without has to be given}, meaning.\n"
                                "Operands are given by position, attributes by name or, after the operands, "
                                "in this order. A number among\n"
                                "operands takes the element type of the others, and shapes of operands "
                                "broadcast where an op works element\n"
                                "by element. float: f32, f64, bf16; number: these and i32; operands that are "
                                "float, number or any have the same\n"
                                "type. Where a block has the same name, op.NAME is the op.\n";
static const char about_builtins[] = "Built-in functions:\n";

/* One line, broken at blanks; what follows is indented by four more. */
static void put_line(FILE *to, const char *line, size_t n) {
    enum { WIDTH = 98 };
    size_t indent = strspn(line, " "), printed = 0; /* blanks printed in front */
    while (printed + n > WIDTH) {
        size_t at = WIDTH - printed;
        while (at > indent && line[at] != ' ')
            at--;
        if (at <= indent) /* one long word */
            break;
        fprintf(to, "%.*s\n%*s", (int)at, line, (int)strspn(line, " ") + (printed ? (int)printed : 4), "");
        printed = printed ? printed : indent + 4;
        indent = 0;
        line += at + 1;
        n -= at + 1;
    }
    fprintf(to, "%.*s\n", (int)n, line);
}

static lvt_status put(FILE *to, char *text, lvt_diag *diag) {
    if (!text)
        return lvt_no_memory(diag, "the table of ops");
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        put_line(to, line, strcspn(line, "\n"));
    free(text);
    return LVT_OK;
}

static lvt_status unknown(const char *name, lvt_diag *diag) {
    size_t n = LVT_N_OPS, k = 0;
    while (lvt_builtin_name(k))
        k++;
    const char **names = calloc(n + k, sizeof *names);
    for (size_t i = 0; names && i < n + k; i++)
        names[i] = i < n ? lvt_op_table[i]->name : lvt_builtin_name(i - n);
    const char *near = names ? lvt_nearest(name, names, n + k) : NULL;
    lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "there is no op or built-in function '%.60s'%s%s%s", name,
              near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    free(names);
    return LVT_USAGE;
}

lvt_status lvt_lvtc_ops(FILE *to, const char *name, lvt_diag *diag) {
    char families[LVT_FAMILIES_TEXT];
    bool found = false;
    lvt_status status = LVT_OK;
    if (!name)
        fputs(about_ops, to);
    for (int i = 0; i < LVT_N_OPS && status == LVT_OK; i++) {
        if (name && strcmp(name, lvt_op_table[i]->name) != 0)
            continue;
        found = true;
        if (!name)
            fputs("\n", to);
        status = put(to, lvt_op_text((lvt_op)i, lvt_op_families((lvt_op)i, families)), diag);
    }
    if (!name && status == LVT_OK)
        fprintf(to, "\n%s\n", about_builtins);
    for (size_t i = 0; lvt_builtin_name(i) && status == LVT_OK; i++)
        if (!name || !strcmp(name, lvt_builtin_name(i))) {
            found = true;
            status = put(to, lvt_builtin_text(i), diag);
        }
    return status == LVT_OK && !found ? unknown(name, diag) : status;
}
