/* Harness: any bytes as IR text. What is accepted prints, and the print reads back to itself. */
#include "fuzz.h"

#include "ir/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    lvt_module *m, *again;
    lvt_diag *d = lvt_diag_new();
    lvt_status status = lvt_read_module("fuzz", (const char *)data, size, &m, d);
    char *words = lvt_diag_text(d);
    if ((status == LVT_OK) != (m != NULL) || (status == LVT_OK) != (lvt_diag_errors(d) == 0) || !words)
        abort();
    free(words);
    lvt_diag_free(d);
    if (status == LVT_OK) {
        size_t n, n_again;
        char *text = lvt_print_module(m, &n);
        if (!text || lvt_read_module("fuzz", text, n, &again, NULL) != LVT_OK)
            abort();
        char *text_again = lvt_print_module(again, &n_again);
        if (!text_again || n != n_again || memcmp(text, text_again, n) != 0)
            abort();
        free(text);
        free(text_again);
        lvt_module_free(m);
        lvt_module_free(again);
    }
    return 0;
}
