/* Shuffles; crop, mirror and normalise pictures. May not know: tasks, sessions. */
#include "data/augment.h"

#include <string.h>

void lvt_shuffle(uint64_t seed, uint32_t use, uint32_t a, uint32_t b, uint32_t *list, uint32_t n,
                 uint32_t k) {
    uint32_t words[4];
    for (uint32_t i = 0; i < k && i + 1 < n; i++) {
        if (i % 4 == 0)
            lvt_philox(seed, use, a, b, i / 4, words);
        uint32_t j = i + lvt_random_below(words[i % 4], n - i), t = list[i];
        list[i] = list[j];
        list[j] = t;
    }
}

void lvt_augment_init(lvt_augment *a, const lvt_dataset *d) {
    *a = (lvt_augment){d->height, d->width, d->channels, d->crop, d->flip, {{0}}};
    for (int c = 0; c < d->channels; c++) {
        for (int v = 0; v < 256; v++)
            a->table[c][v] = ((float)v / 255 - d->mean[c]) / d->deviation[c];
    }
}

void lvt_augment_image(const lvt_augment *a, const uint8_t *pixels, const uint32_t random[4], float *out) {
    int h = a->height, w = a->width, ch = a->channels, dy = 0, dx = 0;
    bool mirror = false;
    if (random) {
        uint32_t places = 2 * (uint32_t)a->crop + 1;
        dy = (int)lvt_random_below(random[0], places) - a->crop;
        dx = (int)lvt_random_below(random[1], places) - a->crop;
        mirror = a->flip && random[2] >> 31;
    }
    /* Output column x shows source column x + dx (counted from the right when mirrored): inside for x in
     * [from, to). */
    int from = dx < 0 ? -dx : 0, to = dx > 0 ? w - dx : w;
    from = from > w ? w : from;
    to = to < from ? from : to;
    float black[LVT_MAX_CHANNELS];
    for (int c = 0; c < ch; c++)
        black[c] = a->table[c][0];
    for (int y = 0; y < h; y++) {
        int sy = y + dy;
        bool inside = sy >= 0 && sy < h;
        int begin = inside ? from : w, end = inside ? to : w;
        float *o = out + (size_t)y * (size_t)w * (size_t)ch;
        for (int x = 0; x < begin; x++)
            for (int c = 0; c < ch; c++)
                *o++ = black[c];
        if (begin < end) {
            const uint8_t *row = pixels + (size_t)sy * (size_t)w * (size_t)ch;
            const uint8_t *s = row + (mirror ? w - 1 - (begin + dx) : begin + dx) * ch;
            int step = mirror ? -ch : ch;
            for (int x = begin; x < end; x++, s += step)
                for (int c = 0; c < ch; c++)
                    *o++ = a->table[c][s[c]];
        }
        for (int x = end > begin ? end : begin; x < w; x++)
            for (int c = 0; c < ch; c++)
                *o++ = black[c];
    }
}
