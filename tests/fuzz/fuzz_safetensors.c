/* Harness: any bytes as a checkpoint or a file of weights. */
#include "fuzz.h"

#include "ir/program/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = fuzz_file(data, size, "safetensors");
    for (int any = 0; any < 2; any++) {
        lvt_diag *d = lvt_diag_new();
        lvt_safetensors s;
        lvt_status status = any ? lvt_safetensors_read_any(path, &s, d) : lvt_safetensors_read(path, &s, d);
        volatile uint8_t sum = 0;
        for (size_t i = 0; status == LVT_OK && i < s.n; i++) /* all of every tensor is there */
            for (size_t k = 0; k < lvt_type_bytes(&s.tensors[i].type); k++)
                sum = (uint8_t)(sum + ((const uint8_t *)s.tensors[i].data)[k]);
        if ((status == LVT_OK) != (lvt_diag_errors(d) == 0))
            abort();
        lvt_safetensors_free(&s);
        lvt_diag_free(d);
    }
    return 0;
}
