/* Harness: any bytes as an ONNX model. What is imported verifies. */
#include "fuzz.h"

#include "frontend/onnx/import.h"
#include "ir/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    lvt_diag *d = lvt_diag_new();
    lvt_module *m = NULL;
    lvt_onnx_import options = {0};
    lvt_status status = lvt_onnx_import_bytes("fuzz.onnx", data, size, NULL, &options, &m, d);
    if ((status == LVT_OK) != (m != NULL) || status == LVT_INTERNAL)
        abort();
    if (m && lvt_verify_module(m, d) != LVT_OK)
        abort();
    lvt_module_free(m);
    lvt_diag_free(d);
    return 0;
}
