/* Random damage for readers: used by the tests here, which run for some seconds, and, built with
 * -DLVT_FUZZ=ON and clang, by libFuzzer, which brings its own. A harness defines LLVMFuzzerTestOneInput and a
 * list of good inputs. */
#ifndef LVT_TESTS_FUZZ_H
#define LVT_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016). */
static inline uint64_t fuzz_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static inline size_t fuzz_below(uint64_t *state, size_t n) {
    return n ? (size_t)(fuzz_random(state) % n) : 0;
}

/* One change somewhere: a bit, a byte, a number, a piece cut out, doubled, or moved in from elsewhere, or a
 * word of the format. Returns the new size, at most `room`. */
static inline size_t fuzz_change(uint8_t *data, size_t n, size_t room, uint64_t *random,
                                 const char *const *words, size_t n_words) {
    static const uint64_t numbers[] = {0,      1,          0x7f,       0x80,       0xff,
                                       0xffff, 0x7fffffff, 0xffffffff, UINT64_MAX, INT64_MAX};
    size_t at = fuzz_below(random, n), from = fuzz_below(random, n), length = 1 + fuzz_below(random, 40);
    if (n == 0)
        return 0;
    switch (fuzz_below(random, 7)) {
    case 0:
        data[at] ^= (uint8_t)(1u << fuzz_below(random, 8));
        return n;
    case 1:
        data[at] = (uint8_t)fuzz_random(random);
        return n;
    case 2: {
        uint64_t number = numbers[fuzz_below(random, sizeof numbers / sizeof *numbers)];
        size_t width = (size_t)1 << fuzz_below(random, 4);
        for (size_t i = 0; i < width && at + i < n; i++)
            data[at + i] = (uint8_t)(number >> 8 * i);
        return n;
    }
    case 3:
        length = length > n - at ? n - at : length;
        memmove(data + at, data + at + length, n - at - length);
        return n - length;
    case 4:
        length = length > n - from ? n - from : length;
        length = length > n - at ? n - at : length;
        memmove(data + at, data + from, length);
        return n;
    case 5:
        length = length > n - at ? n - at : length;
        if (n + length > room)
            return n;
        memmove(data + at + length, data + at, n - at);
        return n + length;
    default: {
        const char *word = n_words ? words[fuzz_below(random, n_words)] : "";
        length = strlen(word);
        if (n + length > room)
            return n;
        memmove(data + at + length, data + at, n - at);
        memcpy(data + at, word, length);
        return n + length;
    }
    }
}

static inline double fuzz_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Calls the harness with damaged copies of `good` for some seconds. Each input is in memory of exactly its
 * size. */
static inline void fuzz_run(const uint8_t *good, size_t size, double seconds, uint64_t seed,
                            const char *const *words, size_t n_words) {
    size_t room = size * 2 + 256;
    uint8_t *data = malloc(room);
    uint64_t random = seed;
    double end = fuzz_seconds() + seconds;
    while (data && fuzz_seconds() < end) {
        size_t n = size;
        memcpy(data, good, size);
        for (size_t changes = 1 + fuzz_below(&random, 8); changes; changes--)
            n = fuzz_change(data, n, room, &random, words, n_words);
        uint8_t *exact = malloc(n ? n : 1);
        if (!exact)
            break;
        memcpy(exact, data, n);
        LLVMFuzzerTestOneInput(exact, n);
        free(exact);
    }
    free(data);
}

/* The bytes as a file, for readers that take a path: valid until the next call. */
static inline const char *fuzz_file(const uint8_t *data, size_t size, const char *name) {
    static char path[300];
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/lvt-fuzz-%ld-%s", folder ? folder : "/tmp", (long)getpid(), name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f))
        abort();
    return path;
}

#ifdef LVT_FUZZ_MAIN
/* Without libFuzzer: NAME SECONDS SEED FILE...: damaged copies of the files, for so long in all. */
int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 0;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) | 1 : 1;
    for (int i = 3; i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        uint8_t *data = malloc(1 << 20);
        size_t n = f && data ? fread(data, 1, 1 << 20, f) : 0;
        if (!f || !data)
            return 1;
        fclose(f);
        LLVMFuzzerTestOneInput(data, n);
        fuzz_run(data, n, seconds / (argc - 3), seed + (uint64_t)i * 2, NULL, 0);
        free(data);
    }
    return 0;
}
#endif

#endif
