/* Harness: any bytes as a PNG or JPEG file. */
#include "fuzz.h"

#include "runtime/data/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    lvt_diag *d = lvt_diag_new();
    lvt_picture p = {0};
    lvt_status status = lvt_picture_read(fuzz_file(data, size, "picture.png"), size & 1 ? 3 : 0, &p, d);
    if ((status == LVT_OK) != (p.pixels != NULL) || (status == LVT_OK) != (lvt_diag_errors(d) == 0))
        abort();
    free(p.pixels);
    lvt_diag_free(d);
    return 0;
}
