/* Harness: any bytes as the files of a data set: the first byte says of which reader. */
#include "fuzz.h"

#include "runtime/data/dataset.h"

#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct {
        const char *reader, *files[7];
    } rows[] = {{"cifar100", {"train.bin", "test.bin"}},
                {"cifar10",
                 {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                  "data_batch_5.bin", "test_batch.bin"}},
                {"idx",
                 {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                  "t10k-labels-idx1-ubyte"}}};
    char folder[300], path[400], spec[400];
    if (size < 1)
        return 0;
    size_t row = data[0] % 3, n = 0;
    snprintf(folder, sizeof folder, "%s", fuzz_file(data, 0, "folder"));
    unlink(folder);
    mkdir(folder, 0700);
    while (n < 7 && rows[row].files[n])
        n++;
    for (size_t i = 0; i < n; i++) { /* each file gets its part */
        size_t begin = 1 + (size - 1) * i / n, end = 1 + (size - 1) * (i + 1) / n;
        snprintf(path, sizeof path, "%s/%s", folder, rows[row].files[i]);
        FILE *f = fopen(path, "wb");
        if (!f || fwrite(data + begin, 1, end - begin, f) != end - begin || fclose(f))
            abort();
    }
    lvt_diag *d = lvt_diag_new();
    lvt_dataset *set = NULL;
    snprintf(spec, sizeof spec, "%s:%s", rows[row].reader, folder);
    lvt_status status = lvt_dataset_open(spec, &(lvt_dataset_options){0}, &set, d);
    if ((status == LVT_OK) != (set != NULL) || status == LVT_USAGE)
        abort();
    lvt_dataset_free(set);
    lvt_diag_free(d);
    for (size_t i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, rows[row].files[i]);
        unlink(path);
    }
    rmdir(folder);
    return 0;
}
