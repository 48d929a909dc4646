/* The embedded digits as a data set (Alpaydin and Kaynak 1998; source and licence in digits_data.c).
 * Invariant: every fifth image of a class, counted within the class, is a test image, so the split is the
 * same everywhere and balanced. May not know: files. */
#include "dataset.h"
#include "digits_data.h"

#include <stdlib.h>
#include <string.h>

lvt_status lvt_read_digits(lvt_dataset *d, const char *dir, const lvt_dataset_options *o, lvt_diag *diag) {
    (void)dir;
    (void)o;
    d->height = d->width = 8;
    d->channels = 1;
    d->classes = 10;
    d->crop = 1;
    d->class_names = calloc(10, sizeof *d->class_names);
    bool memory = d->class_names && lvt_images_grow(d, &d->train, LVT_N_DIGITS) &&
                  lvt_images_grow(d, &d->test, LVT_N_DIGITS);
    for (int c = 0; c < 10 && memory; c++)
        memory = (d->class_names[c] = strdup((char[2]){(char)('0' + c), 0})) != NULL;
    if (!memory)
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "digits: out of memory");
    int seen[10] = {0};
    for (int i = 0; i < LVT_N_DIGITS; i++) {
        int label = lvt_digits[i][64] - '0';
        lvt_images *part = seen[label]++ % 5 == 4 ? &d->test : &d->train;
        for (int p = 0; p < 64; p++)
            part->pixels[part->n * 64 + (size_t)p] = (uint8_t)(((lvt_digits[i][p] - 'a') * 255 + 8) / 16);
        part->labels[part->n++] = label;
    }
    return LVT_OK;
}
