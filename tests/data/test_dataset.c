/* Readers of data sets, over small files made here. */
#include "runtime/data/dataset.h"
#include "ir/base/file.h"
#include "runtime/data/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jpeglib.h>

typedef struct fixture {
    char dir[64];
    lvt_diag *diag;
} fixture;

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    strcpy(f->dir, "/tmp/lvt-data-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->diag = lvt_diag_new();
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    assert_int_equal(system(command), 0);
    lvt_diag_free(f->diag);
    free(f);
    return 0;
}

static const char *path_in(fixture *f, const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    return path;
}

static void write_bytes(fixture *f, const char *name, const void *bytes, size_t n) {
    FILE *file = fopen(path_in(f, name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static lvt_dataset *open_ok(fixture *f, const char *kind) {
    char spec[128];
    snprintf(spec, sizeof spec, "%s:%s", kind, f->dir);
    lvt_dataset *d;
    lvt_status status = lvt_dataset_open(spec, NULL, &d, f->diag);
    if (status != LVT_OK) {
        char *text = lvt_diag_text(f->diag);
        print_error("%s", text);
        free(text);
    }
    assert_int_equal(status, LVT_OK);
    return d;
}

static void open_fails(fixture *f, const char *kind, const lvt_dataset_options *options, lvt_status expected,
                       const char *words) {
    char spec[128];
    snprintf(spec, sizeof spec, "%s:%s", kind, f->dir);
    lvt_dataset *d;
    lvt_diag_clear(f->diag);
    assert_int_equal(lvt_dataset_open(spec, options, &d, f->diag), expected);
    assert_null(d);
    char *text = lvt_diag_text(f->diag);
    if (!strstr(text, words))
        fail_msg("\"%s\" is not in:\n%s", words, text);
    free(text);
    lvt_diag_clear(f->diag);
}

/* n records; label i % classes; pixel p of record i is (i + p / 1024 * 50 + p) mod 256. */
static uint8_t *records(int n, int labels, int classes, size_t *size) {
    size_t record = (size_t)labels + 3072;
    uint8_t *bytes = malloc((size_t)n * record);
    for (int i = 0; i < n; i++) {
        uint8_t *r = bytes + (size_t)i * record;
        if (labels == 2)
            r[0] = (uint8_t)(i % classes % 20);
        r[labels - 1] = (uint8_t)(i % classes);
        for (int p = 0; p < 3072; p++)
            r[labels + p] = (uint8_t)(i + p / 1024 * 50 + p);
    }
    *size = (size_t)n * record;
    return bytes;
}

static void cifar100(void **state) {
    fixture *f = *state;
    size_t size;
    uint8_t *bytes = records(200, 2, 100, &size);
    open_fails(f, "cifar100", NULL, LVT_IO, "there is no train.bin");
    write_bytes(f, "train.bin.xz", "x", 1);
    open_fails(f, "cifar100", NULL, LVT_IO, "xz -dk");
    write_bytes(f, "train.bin", bytes, size);
    open_fails(f, "cifar100", NULL, LVT_IO, "there is no test.bin");
    write_bytes(f, "test.bin", bytes, size / 2);
    lvt_dataset *d = open_ok(f, "cifar100");
    assert_int_equal(d->classes, 100);
    assert_int_equal(d->train.n, 200);
    assert_int_equal(d->test.n, 100);
    assert_int_equal(d->train.labels[105], 5);
    assert_int_equal(d->groups[45], 5);
    assert_string_equal(d->class_names[7], "7");
    /* Planes become interleaved channels. */
    for (int p = 0; p < 1024; p += 33)
        for (int c = 0; c < 3; c++)
            assert_int_equal(d->train.pixels[3 * 3072 + p * 3 + c], (uint8_t)(3 + c * 50 + c * 1024 + p));
    double sum = 0;
    for (size_t i = 0; i < d->train.n * 1024; i++)
        sum += d->train.pixels[i * 3 + 1] / 255.;
    assert_float_equal(d->mean[1], sum / (double)(d->train.n * 1024), 1e-6); /* f32 rounding of the mean */
    uint64_t before = d->fingerprint;
    lvt_dataset_free(d);

    bytes[5000] ^= 1;
    write_bytes(f, "train.bin", bytes, size);
    d = open_ok(f, "cifar100");
    assert_true(d->fingerprint != before);
    lvt_dataset_free(d);

    write_bytes(f, "train.bin", bytes, size - 1);
    open_fails(f, "cifar100", NULL, LVT_USER, "truncated");
    write_bytes(f, "train.bin", bytes, 0);
    open_fails(f, "cifar100", NULL, LVT_USER, "whole number of records");
    bytes[1] = 100;
    write_bytes(f, "train.bin", bytes, size);
    open_fails(f, "cifar100", NULL, LVT_USER, "record 0 has label 100");
    bytes[1] = 0;
    write_bytes(f, "train.bin", bytes, size / 4);
    open_fails(f, "cifar100", NULL, LVT_USER, "class 50 (50) has no training images");
    write_bytes(f, "train.bin", bytes, size);
    write_bytes(f, "fine_label_names.txt", "apple\nbear\n", 11);
    open_fails(f, "cifar100", NULL, LVT_USER, "2 names, but there are 100 classes");
    free(bytes);
}

static void cifar10(void **state) {
    fixture *f = *state;
    size_t size;
    uint8_t *bytes = records(20, 1, 10, &size);
    /* The published archive has a folder of its own. */
    assert_int_equal(mkdir(path_in(f, "cifar-10-batches-bin"), 0777), 0);
    for (int i = 1; i <= 5; i++) {
        char name[64];
        snprintf(name, sizeof name, "cifar-10-batches-bin/data_batch_%d.bin", i);
        write_bytes(f, name, bytes, size);
    }
    write_bytes(f, "cifar-10-batches-bin/test_batch.bin", bytes, size);
    const char *names = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
    write_bytes(f, "cifar-10-batches-bin/batches.meta.txt", names, strlen(names));
    lvt_dataset *d = open_ok(f, "cifar10");
    assert_int_equal(d->train.n, 100);
    assert_int_equal(d->train.labels[21], 1);
    assert_string_equal(d->class_names[9], "truck");
    assert_true(d->flip);
    assert_int_equal(d->crop, 4);
    lvt_dataset_free(d);
    free(bytes);
}

static void digits(void **state) {
    fixture *f = *state;
    lvt_dataset *d;
    assert_int_equal(lvt_dataset_open("digits", NULL, &d, f->diag), LVT_OK);
    assert_int_equal(d->train.n + d->test.n, 1797);
    int counts[10] = {0}, tests[10] = {0};
    for (size_t i = 0; i < d->train.n; i++)
        counts[d->train.labels[i]]++;
    for (size_t i = 0; i < d->test.n; i++)
        tests[d->test.labels[i]]++;
    for (int c = 0; c < 10; c++)
        assert_int_equal(tests[c], (counts[c] + tests[c]) / 5);
    /* First line of the published file: 0,0,5,13,9,1,... of 16. */
    assert_int_equal(d->train.labels[0], 0);
    assert_int_equal(d->train.pixels[2], (5 * 255 + 8) / 16);
    assert_int_equal(d->train.pixels[3], (13 * 255 + 8) / 16);
    lvt_dataset_free(d);
}

static void specs(void **state) {
    fixture *f = *state;
    static const struct {
        const char *spec, *words;
    } rows[] = {{"cifar1000:/x", "did you mean cifar100?"},
                {"", "no such kind of data"},
                {"cifar10", "needs a folder"},
                {"cifar10:", "needs a folder"},
                {"digits:/x", "takes no folder"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lvt_dataset *d;
        lvt_diag_clear(f->diag);
        assert_int_equal(lvt_dataset_open(rows[i].spec, NULL, &d, f->diag), LVT_USAGE);
        char *text = lvt_diag_text(f->diag);
        assert_non_null(strstr(text, rows[i].words));
        free(text);
    }
}

static void write_png(fixture *f, const char *name, int side, int channels, uint8_t value) {
    uint8_t pixels[3 * 64 * 64];
    for (int i = 0; i < side * side * channels; i++)
        pixels[i] = (uint8_t)(value + i % channels);
    lvt_picture p = {side, side, channels, pixels};
    assert_int_equal(lvt_picture_write(&p, NULL, path_in(f, name), f->diag), LVT_OK);
}

static void folder(void **state) {
    fixture *f = *state;
    open_fails(f, "folder", NULL, LVT_USER, "no class folders");
    mkdir(path_in(f, "cat"), 0777);
    open_fails(f, "folder", NULL, LVT_USER, "only one class folder");
    mkdir(path_in(f, "ant"), 0777);
    open_fails(f, "folder", NULL, LVT_USER, "ant: the class is empty");
    for (int i = 0; i < 11; i++) {
        char name[32];
        snprintf(name, sizeof name, "cat/%c.png", 'a' + i);
        write_png(f, name, 8, 3, (uint8_t)(10 * i));
        snprintf(name, sizeof name, "ant/%c.PNG", 'a' + i);
        write_png(f, name, 8, 3, (uint8_t)(10 * i + 5));
    }
    write_bytes(f, "cat/readme.txt", "x", 1);
    lvt_dataset *d = open_ok(f, "folder");
    assert_int_equal(d->classes, 2);
    assert_string_equal(d->class_names[0], "ant");
    assert_int_equal(d->train.n, 18);
    assert_int_equal(d->test.n, 4);
    assert_int_equal(d->channels, 3);
    assert_int_equal(d->crop, 1);
    assert_int_equal(d->test.pixels[0], 45); /* the fifth ant */
    assert_int_equal(d->test.pixels[1], 46);
    lvt_dataset_free(d);

    write_png(f, "cat/b.png", 9, 3, 1);
    open_fails(f, "folder", NULL, LVT_USER, "cat/b.png: the picture has 9x9 pixels");
    lvt_dataset *resized;
    char spec[128];
    snprintf(spec, sizeof spec, "folder:%s", f->dir);
    assert_int_equal(lvt_dataset_open(spec, &(lvt_dataset_options){4, 6}, &resized, f->diag), LVT_OK);
    assert_int_equal(resized->height, 4);
    assert_int_equal(resized->width, 6);
    assert_int_equal(resized->test.pixels[0], 45); /* a flat picture stays flat */
    lvt_dataset_free(resized);

    write_bytes(f, "cat/b.png", "not a picture", 13);
    open_fails(f, "folder", NULL, LVT_USER, "cat/b.png: cannot be decoded");
    uint8_t *bytes;
    size_t size;
    assert_int_equal(lvt_file_read(path_in(f, "cat/c.png"), &bytes, &size, f->diag), LVT_OK);
    write_bytes(f, "cat/b.png", bytes, size / 2);
    free(bytes);
    open_fails(f, "folder", NULL, LVT_USER, "cat/b.png: cannot be decoded");
}

static void folder_with_split(void **state) {
    fixture *f = *state;
    static const char *const dirs[] = {"train", "test", "train/a", "train/b", "test/a", "test/b"};
    for (int i = 0; i < 6; i++)
        mkdir(path_in(f, dirs[i]), 0777);
    write_png(f, "train/a/1.png", 5, 1, 1);
    write_png(f, "train/b/1.png", 5, 1, 2);
    write_png(f, "test/a/1.png", 5, 1, 3);
    open_fails(f, "folder", NULL, LVT_USER, "test/b: the class is empty");
    write_png(f, "test/b/1.png", 5, 1, 4);
    lvt_dataset *d = open_ok(f, "folder");
    assert_int_equal(d->channels, 1);
    assert_int_equal(d->train.n, 2);
    assert_int_equal(d->test.pixels[25], 4);
    lvt_dataset_free(d);
    mkdir(path_in(f, "test/c"), 0777);
    open_fails(f, "folder", NULL, LVT_USER, "class \"c\" is only in");
}

static void jpeg(void **state) {
    fixture *f = *state;
    enum { SIDE = 16 };
    uint8_t rows[SIDE * SIDE * 3];
    for (int i = 0; i < SIDE * SIDE * 3; i++)
        rows[i] = (uint8_t[]){200, 100, 50}[i % 3];
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    unsigned char *bytes = NULL;
    unsigned long size = 0;
    jpeg_mem_dest(&info, &bytes, &size);
    info.image_width = info.image_height = SIDE;
    info.input_components = 3;
    info.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < SIDE) {
        JSAMPROW row = rows + info.next_scanline * SIDE * 3;
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);

    write_bytes(f, "a.jpg", bytes, size);
    lvt_picture p;
    assert_int_equal(lvt_picture_read(path_in(f, "a.jpg"), 0, &p, f->diag), LVT_OK);
    assert_int_equal(p.channels, 3);
    assert_int_equal(p.height, SIDE);
    for (int i = 0; i < SIDE * SIDE * 3;
         i++) /* a flat picture survives to about the quantisation of its mean */
        assert_in_range(p.pixels[i] + 4, rows[i], rows[i] + 8);
    free(p.pixels);
    assert_int_equal(lvt_picture_read(path_in(f, "a.jpg"), 1, &p, f->diag), LVT_OK);
    assert_int_equal(p.channels, 1);
    assert_in_range(p.pixels[0], 124 - 4, 124 + 4); /* 0.299 * 200 + 0.587 * 100 + 0.114 * 50 */
    free(p.pixels);

    /* Cut off anywhere it is an error; a changed byte is an error or a picture, never more. */
    for (size_t n = 0; n < size; n += 3) {
        write_bytes(f, "b.jpg", bytes, n);
        assert_int_equal(lvt_picture_read(path_in(f, "b.jpg"), 0, &p, f->diag), LVT_USER);
        assert_null(p.pixels);
    }
    for (size_t n = 0; n < size; n += 2) {
        bytes[n] ^= 0x5a;
        write_bytes(f, "b.jpg", bytes, size);
        lvt_status status = lvt_picture_read(path_in(f, "b.jpg"), 0, &p, f->diag);
        assert_true(status == LVT_OK || status == LVT_USER || status == LVT_NOMEM);
        free(p.pixels);
        bytes[n] ^= 0x5a;
    }
    free(bytes);
}

/* What is left out is told, by kind; a class in one part alone is named; names are UTF-8. */
static void left_out(void **state) {
    fixture *f = *state;
    const char *dirs[] = {"train", "train/a", "train/b", "train/b/more", "train/b/more/.git",
                          "test",  "test/a",  "test/b"};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        mkdir(path_in(f, dirs[i]), 0777);
    write_png(f, "train/a/1.png", 5, 1, 1);
    write_png(f, "train/b/1.png", 5, 1, 2);
    write_png(f, "test/a/1.PNG", 5, 1, 3);
    write_png(f, "test/b/1.png", 5, 1, 4);
    lvt_dataset_free(open_ok(f, "folder"));
    assert_int_equal(lvt_diag_warnings(f->diag), 0);
    for (int i = 0; i < 40; i++) {
        char name[32];
        snprintf(name, sizeof name, "train/%c/%d.%s", "ab"[i % 2], i, i % 3 ? "heic" : "HEIC");
        write_bytes(f, name, "x", 1);
    }
    write_bytes(f, "train/b/more/2.png", "x", 1);
    write_bytes(f, "train/b/more/.git/3", "x", 1);
    write_bytes(f, "test/a/.hidden", "x", 1);
    lvt_dataset_free(open_ok(f, "folder"));
    char *text = lvt_diag_text(f->diag);
    assert_non_null(strstr(text, ": 41 files ignored: 40 .heic, 1 in a folder below\n"));
    free(text);
    lvt_diag_clear(f->diag);

    mkdir(path_in(f, "train/only here"), 0777);
    mkdir(path_in(f, "test/only\x1bthere"), 0777);
    open_fails(f, "folder", NULL, LVT_USER, "class \"only here\" is only in");
    open_fails(f, "folder", NULL, LVT_USER, "class \"only\\x1bthere\" is only in");
    rmdir(path_in(f, "train/only here"));
    rmdir(path_in(f, "test/only\x1bthere"));
    mkdir(path_in(f, "train/caf\xe9"), 0777);
    mkdir(path_in(f, "test/caf\xe9"), 0777);
    open_fails(f, "folder", NULL, LVT_USER,
               "train/caf\\xe9: the folder's name would be a class's, but it is not UTF-8");
}

static size_t hex(const char *text, uint8_t *out) {
    size_t n = strlen(text) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned v;
        assert_int_equal(sscanf(text + 2 * i, "%2x", &v), 1);
        out[i] = (uint8_t)v;
    }
    return n;
}

/* Pictures that a library reads in its own way when nobody says how: against what Pillow reads from the same
 * files, recorded by pictures/make.py. */
static void as_pillow(void **state) {
    fixture *f = *state;
    static const char folder[] = LVT_SOURCE_DIR "/tests/data/pictures";
    char path[512], name[64], rgb[1024], grey[512];
    uint8_t want[2][512];
    int height, width, read = 0;
    snprintf(path, sizeof path, "%s/expected.txt", folder);
    FILE *list = fopen(path, "r");
    assert_non_null(list);
    for (int got; (got = fscanf(list, "%63s %d %d %1023s %511s", name, &height, &width, rgb, grey)) > 0;) {
        lvt_picture p;
        snprintf(path, sizeof path, "%s/%s", folder, name);
        if (got == 1)
            assert_int_equal(fscanf(list, " -"), 0);
        if (!lvt_picture_name(
                name)) { /* WebP, in a build that does not read it: refused, and counted as ignored */
            assert_int_equal(lvt_picture_read(path, 0, &p, f->diag), LVT_USER);
            lvt_diag_clear(f->diag);
            read++;
            continue;
        }
        if (got == 1) { /* refused by both */
            assert_int_equal(lvt_picture_read(path, 0, &p, f->diag), LVT_USER);
            lvt_diag_clear(f->diag);
            continue;
        }
        assert_int_equal(got, 5);
        read++;
        assert_int_equal(hex(rgb, want[1]), 3 * height * width);
        assert_int_equal(hex(grey, want[0]), height * width);
        for (int channels = 1; channels <= 3; channels += 2) {
            assert_int_equal(lvt_picture_read(path, channels, &p, f->diag), LVT_OK);
            assert_int_equal(p.height, height);
            assert_int_equal(p.width, width);
            assert_int_equal(p.channels, channels);
            for (int i = 0; i < height * width * channels; i++)
                if (p.pixels[i] != want[channels == 3][i])
                    fail_msg("%s, %d channels, byte %d: %d is read, Pillow reads %d", name, channels, i,
                             p.pixels[i], want[channels == 3][i]);
            free(p.pixels);
        }
    }
    fclose(list);
    assert_true(read >= 43);
}

static void resizing(void **state) {
    fixture *f = *state;
    uint8_t *pixels = malloc(4);
    memcpy(pixels, (uint8_t[]){0, 100, 200, 40}, 4);
    lvt_picture p = {2, 2, 1, pixels};
    assert_int_equal(lvt_picture_resize(&p, 1, 1, f->diag), LVT_OK);
    assert_int_equal(p.pixels[0], 85);
    assert_int_equal(lvt_picture_resize(&p, 3, 2, f->diag), LVT_OK);
    for (int i = 0; i < 6; i++)
        assert_int_equal(p.pixels[i], 85);
    memcpy(p.pixels, (uint8_t[]){0, 100, 0, 100, 0, 100}, 6);
    assert_int_equal(lvt_picture_resize(&p, 3, 4, f->diag), LVT_OK);
    assert_memory_equal(p.pixels, ((uint8_t[]){0, 25, 75, 100}),
                        4); /* centres at 1/4 and 3/4 between the two */
    free(p.pixels);
}

static void atomic_write(void **state) {
    fixture *f = *state;
    write_bytes(f, "a", "old", 3);
    lvt_atomic_file file;
    assert_int_equal(lvt_atomic_begin(&file, NULL, path_in(f, "a"), f->diag), LVT_OK);
    fputs("half", file.stream);
    assert_int_equal(lvt_atomic_end(&file, LVT_USER, f->diag), LVT_USER);
    uint8_t *bytes;
    size_t size;
    assert_int_equal(lvt_file_read(path_in(f, "a"), &bytes, &size, f->diag), LVT_OK);
    assert_string_equal((char *)bytes, "old");
    free(bytes);
    assert_false(lvt_path_exists(path_in(f, "a.tmp")));
    assert_int_equal(lvt_file_write(NULL, path_in(f, "none/a"), "x", 1, f->diag), LVT_IO);
    assert_int_equal(lvt_file_read(f->dir, &bytes, &size, f->diag), LVT_IO);
}

/* Two training images of 2x3 with labels 1 and 0, one test image of each; then what can be wrong with the
 * files. */
static void idx(void **state) {
    fixture *f = *state;
    static const uint8_t images[] = {0, 0, 8, 3, 0, 0, 0, 2, 0,  0,  0,  2,  0,  0,
                                     0, 3, 1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16};
    static const uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 1, 0};
    char spec[128];
    snprintf(spec, sizeof spec, "idx:%s", f->dir);
    write_bytes(f, "train-images-idx3-ubyte", images, sizeof images);
    write_bytes(f, "train-labels-idx1-ubyte", labels, sizeof labels);
    write_bytes(f, "t10k-images.idx3-ubyte", images, sizeof images); /* the other spelling */
    write_bytes(f, "t10k-labels.idx1-ubyte", labels, sizeof labels);
    lvt_dataset *d;
    assert_int_equal(lvt_dataset_open(spec, NULL, &d, f->diag), LVT_OK);
    assert_int_equal(d->height, 2);
    assert_int_equal(d->width, 3);
    assert_int_equal(d->channels, 1);
    assert_int_equal(d->classes, 2);
    assert_int_equal(d->train.n, 2);
    assert_int_equal(d->test.n, 2);
    assert_memory_equal(d->train.pixels, images + 16, 12);
    assert_memory_equal(d->test.labels, ((int32_t[]){1, 0}), 8);
    assert_string_equal(d->class_names[1], "1");
    lvt_dataset_free(d);

    static const struct {
        size_t at, size;
        uint8_t value;
        const char *words;
    } wrong[] = {{2, sizeof images, 9, "not an IDX file of bytes with 3 dimensions"},
                 {3, sizeof images, 1, "not an IDX file"},
                 {7, sizeof images, 3, "truncated or too long: 12 bytes follow the head, which asks for 18"},
                 {7, sizeof images, 0, "dimension 1 is 0"},
                 {8, sizeof images, 255, "dimension 2 is"},
                 {0, 10, 0, "not an IDX file"},
                 {0, 20, 0, "truncated or too long"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint8_t copy[sizeof images];
        memcpy(copy, images, sizeof images);
        copy[wrong[i].at] = wrong[i].value;
        write_bytes(f, "train-images-idx3-ubyte", copy, wrong[i].size);
        lvt_diag *diag = lvt_diag_new();
        assert_int_equal(lvt_dataset_open(spec, NULL, &d, diag), LVT_USER);
        assert_null(d);
        char *text = lvt_diag_text(diag);
        if (!strstr(text, wrong[i].words) || !strstr(text, "train-images-idx3-ubyte"))
            fail_msg("%s", text);
        free(text);
        lvt_diag_free(diag);
    }
    /* One image fewer than labels. */
    uint8_t fewer[sizeof images];
    memcpy(fewer, images, sizeof images);
    fewer[7] = 1;
    write_bytes(f, "train-images-idx3-ubyte", fewer, 22);
    assert_int_equal(lvt_dataset_open(spec, NULL, &d, f->diag), LVT_USER);
    assert_int_equal(lvt_dataset_open("idx:/nowhere", NULL, &d, f->diag), LVT_IO);
}

/* Views of a data set: domains in order, labels as they were, each image made when it is asked for; the
 * stored ones are there once. */
static void views(void **state) {
    (void)state;
    static const char *const specs[] = {"permuted:3:digits", "rotated:4:digits"};
    /* Of images that were all made when the data were opened, as in earlier versions: runs of these can go
     * on. */
    static const uint64_t fingerprints[] = {0x3e37aae258616b0d, 0x91e89dac29d28d4e};
    lvt_dataset *plain;
    assert_int_equal(lvt_dataset_open("digits", NULL, &plain, NULL), LVT_OK);
    for (int k = 0; k < 2; k++) {
        lvt_dataset *d;
        assert_int_equal(lvt_dataset_open(specs[k], NULL, &d, NULL), LVT_OK);
        assert_true(d->fingerprint == fingerprints[k]);
        assert_int_equal(d->domains, 3 + k);
        assert_int_equal(d->train.stored, plain->train.n);
        assert_int_equal(d->train.n, plain->train.n * (size_t)d->domains);
        uint8_t a[64], b[64];
        for (size_t i = 0; i < d->train.n; i += 97) {
            size_t j = i % plain->train.n;
            assert_int_equal(d->train.labels[i], plain->train.labels[j]);
            assert_int_equal(d->train.domains[i], i / plain->train.n);
            const uint8_t *image = lvt_image_at(&d->train, 64, i, a);
            const uint8_t *original = lvt_image_at(&plain->train, 64, j, b);
            assert_true(original == plain->train.pixels + j * 64); /* no copy */
            if (!d->train.domains[i]) {
                assert_memory_equal(image, original, 64);
            } else if (k ==
                       0) { /* the same pixels in another order, the same one for all images of the domain */
                int sum[2] = {0, 0};
                for (int p = 0; p < 64; p++) {
                    sum[0] += image[p];
                    sum[1] += original[p];
                }
                assert_int_equal(sum[0], sum[1]);
                assert_memory_not_equal(image, original, 64);
            } else if (d->train.domains[i] == 2) { /* by 90 degrees: exact */
                for (int y = 0; y < 8; y++)
                    for (int x = 0; x < 8; x++)
                        assert_int_equal(image[y * 8 + x], original[x * 8 + 7 - y]);
            }
        }
        lvt_dataset_free(d);
    }
    lvt_dataset_free(plain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(cifar100, setup, teardown),
        cmocka_unit_test_setup_teardown(cifar10, setup, teardown),
        cmocka_unit_test_setup_teardown(digits, setup, teardown),
        cmocka_unit_test_setup_teardown(specs, setup, teardown),
        cmocka_unit_test_setup_teardown(idx, setup, teardown),
        cmocka_unit_test_setup_teardown(folder, setup, teardown),
        cmocka_unit_test_setup_teardown(folder_with_split, setup, teardown),
        cmocka_unit_test_setup_teardown(jpeg, setup, teardown),
        cmocka_unit_test_setup_teardown(left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(as_pillow, setup, teardown),
        cmocka_unit_test_setup_teardown(resizing, setup, teardown),
        cmocka_unit_test_setup_teardown(atomic_write, setup, teardown),
        cmocka_unit_test(views),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
