/* Shuffles; pictures as a network's input, changed at random, alone and in pairs. May not know: tasks,
 * sessions. */
#include "augment.h"

#include <math.h>
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
    *a = (lvt_augment){
        .height = d->height, .width = d->width, .channels = d->channels, .crop = d->crop, .flip = d->flip};
    for (int c = 0; c < d->channels; c++) {
        for (int v = 0; v < 256; v++)
            a->table[c][v] = ((float)v / 255 - d->mean[c]) / d->deviation[c];
    }
}

void lvt_augment_words(uint64_t seed, lvt_random_use use, uint64_t step, uint32_t place,
                       uint32_t out[LVT_AUGMENT_WORDS]) {
    for (uint32_t k = 0; k < LVT_AUGMENT_WORDS / 4; k++)
        lvt_philox(seed, LVT_RANDOM_BLOCK(use, k), (uint32_t)step, (uint32_t)(step >> 32), place,
                   out + 4 * k);
}

static float between(uint32_t word, float low, float high) {
    return low + (high - low) * (float)(word >> 8) * 0x1p-24f;
}

static float clamp(float v) {
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

/* Weights of ITU-R BT.601, as most tools turn colour to grey. */
static float luma(const float *rgb, int channels) {
    return channels == 3 ? 0.299f * rgb[0] + 0.587f * rgb[1] + 0.114f * rgb[2] : rgb[0];
}

/* Brightness, then contrast about the mean grey, then saturation about each pixel's grey; values are kept in
 * 0..1 after each, as a picture's are. `out` holds normalised values: the table is a straight line. */
static void change_colours(const lvt_augment *a, const uint32_t random[3], float *out) {
    size_t n = (size_t)a->height * (size_t)a->width;
    int ch = a->channels;
    float factor[3], black[LVT_MAX_CHANNELS], range[LVT_MAX_CHANNELS];
    for (int i = 0; i < 3; i++)
        factor[i] = between(random[i], 1 - a->colour, 1 + a->colour);
    for (int c = 0; c < ch; c++) {
        black[c] = a->table[c][0];
        range[c] = a->table[c][255] - black[c];
    }
    double grey = 0;
    for (size_t i = 0; i < n; i++) {
        float *p = out + i * (size_t)ch;
        for (int c = 0; c < ch; c++)
            p[c] = clamp((p[c] - black[c]) / range[c] * factor[0]);
        grey += (double)luma(p, ch);
    }
    float mean = (float)(grey / (double)n);
    for (size_t i = 0; i < n; i++) {
        float *p = out + i * (size_t)ch;
        for (int c = 0; c < ch; c++)
            p[c] = clamp(mean + (p[c] - mean) * factor[1]);
        float own = luma(p, ch);
        for (int c = 0; c < ch; c++)
            p[c] = black[c] + range[c] * (ch == 3 ? clamp(own + (p[c] - own) * factor[2]) : p[c]);
    }
}

/* Cutout (DeVries, Taylor, 2017): the square may reach over the edge. */
static void cut_out(const lvt_augment *a, const uint32_t random[2], float *out) {
    int top = (int)lvt_random_below(random[0], (uint32_t)a->height) - a->cutout / 2,
        left = (int)lvt_random_below(random[1], (uint32_t)a->width) - a->cutout / 2;
    for (int y = top < 0 ? 0 : top; y < top + a->cutout && y < a->height; y++) {
        for (int x = left < 0 ? 0 : left; x < left + a->cutout && x < a->width; x++)
            memset(out + ((size_t)y * (size_t)a->width + (size_t)x) * (size_t)a->channels, 0,
                   (size_t)a->channels * sizeof *out);
    }
}

static void place_image(const lvt_augment *a, const uint8_t *pixels, const uint32_t *random, float *out) {
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

void lvt_augment_image(const lvt_augment *a, const uint8_t *pixels, const uint32_t random[LVT_AUGMENT_WORDS],
                       float *out) {
    place_image(a, pixels, random, out);
    if (random && a->colour > 0)
        change_colours(a, random + 4, out);
    if (random && a->cutout) {
        uint32_t words[2] = {random[3], random[7]};
        cut_out(a, words, out);
    }
}

/* ---- two pictures in one ------------------------------------------------------------------------------- */

/* Algorithm BA of Cheng, "Generating beta variates with nonintegral shape parameters", CACM 21 (1978): good
 * for any a > 0, about 1.5 tries on average and at most 4. */
double lvt_random_beta(double a, uint64_t seed, uint32_t use, uint64_t step, uint32_t place) {
    enum { TRIES = 64 };
    double sum = 2 * a, b = a <= 1 ? 1 / a : sqrt((sum - 2) / (2 * a * a - sum)), c = a + 1 / b;
    uint32_t words[4];
    for (uint32_t i = 0; i < TRIES; i++) {
        if (i % 2 == 0)
            lvt_philox(seed, LVT_RANDOM_BLOCK(use, 1 + i / 2), (uint32_t)step, (uint32_t)(step >> 32), place,
                       words);
        double u = (words[2 * (i % 2)] + 0.5) * 0x1p-32, w = (words[2 * (i % 2) + 1] + 0.5) * 0x1p-32;
        double v = b * log(u / (1 - u)), e = a * exp(fmin(fmax(v, -600), 600));
        if (sum * log(sum / (a + e)) + c * v - log(4) >= log(u * u * w))
            return e / (a + e);
    }
    return 0.5;
}

lvt_mix lvt_mix_draw(const lvt_mixing *how, uint64_t seed, uint64_t step, uint32_t place, uint32_t batch,
                     int height, int width) {
    lvt_mix mix = {.with = place, .share = 1};
    uint32_t words[8];
    for (uint32_t k = 0; k < 2; k++) /* the blocks between are lvt_random_beta's */
        lvt_philox(seed, LVT_RANDOM_BLOCK(LVT_RANDOM_MIX, k * 64), (uint32_t)step, (uint32_t)(step >> 32),
                   place, words + 4 * k);
    if (batch < 2 || (how->mixup <= 0 && how->cutmix <= 0) || words[0] * 0x1p-32 >= how->part)
        return mix;
    bool boxes = how->cutmix > 0 && (how->mixup <= 0 || words[1] >> 31);
    mix.with = (place + 1 + lvt_random_below(words[2], batch - 1)) % batch;
    double share = lvt_random_beta(boxes ? how->cutmix : how->mixup, seed, LVT_RANDOM_MIX, step, place);
    if (boxes) { /* its share follows from what of the box is inside */
        double side = sqrt(1 - share);
        int h = (int)lround(side * height), w = (int)lround(side * width),
            top = (int)lvt_random_below(words[4], (uint32_t)height) - h / 2,
            left = (int)lvt_random_below(words[5], (uint32_t)width) - w / 2;
        mix.top = top < 0 ? 0 : top;
        mix.left = left < 0 ? 0 : left;
        mix.bottom = top + h > height ? height : top + h;
        mix.right = left + w > width ? width : left + w;
        double area = (double)(mix.bottom - mix.top) * (mix.right - mix.left);
        share = 1 - area / ((double)height * width);
        if (area == 0)
            mix = (lvt_mix){.with = place};
    }
    mix.share = (float)share;
    return mix;
}

void lvt_mix_images(const lvt_mix *mix, const float *a, const float *b, int height, int width, int channels,
                    float *out) {
    size_t row = (size_t)width * (size_t)channels, n = (size_t)height * row;
    if (mix->bottom == mix->top) {
        float share = mix->share, rest = 1 - share;
        for (size_t i = 0; i < n; i++)
            out[i] = share * a[i] + rest * b[i];
        return;
    }
    if (out != a)
        memcpy(out, a, n * sizeof *out);
    for (int y = mix->top; y < mix->bottom; y++) {
        size_t at = (size_t)y * row + (size_t)mix->left * (size_t)channels;
        memcpy(out + at, b + at, (size_t)(mix->right - mix->left) * (size_t)channels * sizeof *out);
    }
}
