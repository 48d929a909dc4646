/* lvt-run predict: names what is in pictures, as they come.
 *
 * Invariants: answers come in the order of the pictures; a picture that cannot be read costs a line of its own.
 * May not know: training, how pictures are found. */
#include "command.h"
#include "checkpoint.h"
#include "pictures.h"
#include "rows.h"
#include "runtime/data/decode.h"
#include "ir/program/json.h"
#include "ir/base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 64, TOP = 5 }; /* pictures that are read before the network is asked, at least */

typedef enum form { TEXT, JSON, CSV } form;

typedef struct answers {
    lvt_trained *trained;
    lvt_pictures pictures;
    lvt_picture_form wanted;
    form form;
    int top, threads;
    bool unknown;
    bool *seen, *left; /* one a class */
    lvt_rows probabilities, logits, features;
    size_t n, failed;
    /* Of the pictures that are asked about at once: */
    size_t room, here;
    char **paths;
    bool *ok;
    lvt_diag **words;
    uint8_t *pixels;
    uint32_t *index;             /* of those that could be read */
    float *answered, *described; /* logits, features */
    float *scratch;              /* one a class */
} answers;

/* ---- writing ------------------------------------------------------------------------------------------- */

/* Probabilities among the classes learned; 0 of the others. */
static void soften(const answers *a, const float *logits, int best) {
    int classes = a->trained->model.classes;
    double sum = 0;
    for (int c = 0; c < classes; c++)
        sum += a->seen[c] ? exp((double)logits[c] - logits[best]) : 0;
    for (int c = 0; c < classes; c++)
        a->scratch[c] = a->seen[c] ? (float)(exp((double)logits[c] - logits[best]) / sum) : 0;
}

/* Bytes that are no UTF-8 as CSV and messages have them, \xe9: the file can be found by them, and two stay two. */
static void add_path(cJSON *o, const char *path) {
    char *shown = lvt_utf8_valid(path) ? NULL : lvt_terminal_text(path, false);
    cJSON_AddStringToObject(o, "picture", shown ? shown : path);
    free(shown);
}

static void write_json(answers *a, const char *path, const float *logits, const int *best, int n,
                       bool known) {
    cJSON *o = cJSON_CreateObject();
    add_path(o, path);
    if (a->unknown) {
        cJSON_AddBoolToObject(o, "known", known);
        cJSON_AddNumberToObject(o, "score", lvt_known_score(logits, a->seen, a->trained->model.classes));
    }
    cJSON *list = cJSON_AddArrayToObject(o, "classes");
    for (int k = 0; k < n; k++) {
        cJSON *r = cJSON_CreateObject();
        cJSON_AddNumberToObject(r, "class", best[k]);
        cJSON_AddStringToObject(r, "name", a->trained->info.class_names[best[k]]);
        cJSON_AddNumberToObject(r, "probability", a->scratch[best[k]]);
        cJSON_AddNumberToObject(r, "logit", logits[best[k]]);
        cJSON_AddItemToArray(list, r);
    }
    char *text = lvt_json_text(o, false);
    lvt_print("%s\n", text ? text : "{}");
    free(text);
    cJSON_Delete(o);
}

static void write_csv(answers *a, const char *path, const float *logits, const int *best, int n, bool known) {
    for (int k = 0; k < n; k++) {
        lvt_csv_text(stdout, path);
        lvt_print(",%d,%d,", k + 1, best[k]);
        lvt_csv_text(stdout, a->trained->info.class_names[best[k]]);
        lvt_print(",%.9g,%.9g,%s,\n", a->scratch[best[k]], logits[best[k]],
                  !a->unknown ? ""
                  : known     ? "true"
                              : "false");
    }
}

static void write_text(answers *a, const char *path, const float *logits, const int *best, int n,
                       bool known) {
    lvt_print("%s%s\n", a->n ? "\n" : "", path);
    if (!known)
        lvt_print("none of these: at most %.2f%% sure, and known pictures are from %.2f%% on\n",
                  100 * lvt_known_score(logits, a->seen, a->trained->model.classes),
                  100 * a->trained->known.threshold);
    for (int k = 0; k < n; k++)
        lvt_print("%7.2f%%  %s\n", 100 * a->scratch[best[k]], a->trained->info.class_names[best[k]]);
}

static void write_answer(answers *a, const char *path, const float *logits, const float *features) {
    static void (*const write[])(answers *, const char *, const float *, const int *, int,
                                 bool) = {[TEXT] = write_text, [JSON] = write_json, [CSV] = write_csv};
    int classes = a->trained->model.classes, best[a->top + 1], n = 0;
    memcpy(a->left, a->seen, (size_t)classes * sizeof *a->left);
    while (n < a->top && (best[n] = lvt_argmax(logits, a->left, classes)) >= 0)
        a->left[best[n++]] = false;
    if (n)
        soften(a, logits, best[0]);
    bool known = !a->unknown || lvt_known_score(logits, a->seen, classes) >= a->trained->known.threshold;
    write[a->form](a, path, logits, best, n, known);
    lvt_rows_add(&a->probabilities, n ? a->scratch : NULL);
    lvt_rows_add(&a->logits, logits);
    lvt_rows_add(&a->features, features);
}

/* The line for people goes to standard error, the one for programs to where answers go. */
static void write_failure(answers *a, const char *path, lvt_diag *words) {
    const char *first = words ? lvt_diag_first(words) : NULL;
    char *text = words ? lvt_diag_text(words) : NULL;
    first = first ? first : "out of memory";
    fflush(stdout);
    if (text)
        fputs(text, stderr);
    else
        lvt_terminal_print(stderr, "%s: out of memory\n", path);
    free(text);
    if (a->form == JSON) {
        cJSON *o = cJSON_CreateObject();
        add_path(o, path);
        cJSON_AddStringToObject(o, "error", first);
        text = lvt_json_text(o, false);
        lvt_print("%s\n", text ? text : "{}");
        free(text);
        cJSON_Delete(o);
    } else if (a->form == CSV) {
        lvt_csv_text(stdout, path);
        lvt_print(",,,,,,,");
        lvt_csv_text(stdout, first);
        lvt_print("\n");
    }
    lvt_rows_add(&a->probabilities, NULL);
    lvt_rows_add(&a->logits, NULL);
    lvt_rows_add(&a->features, NULL);
    a->failed++;
}

/* ---- asking -------------------------------------------------------------------------------------------- */

static void keep(void *user, uint32_t i, const float *logits, const float *injection) {
    answers *a = user;
    const lvt_model *m = &a->trained->model;
    size_t classes = (size_t)m->classes, n = (size_t)m->n_features;
    (void)injection;
    memcpy(a->answered + i * classes, logits, classes * sizeof *logits);
    if (n)
        memcpy(a->described + i * n, lvt_model_features(m) + i % (uint32_t)m->predict_batch * n,
               n * sizeof *a->described);
}

/* Reads the pictures that are here, asks about those that could be read, writes all of them in order. */
static lvt_status answer(answers *a, lvt_diag *diag) {
    lvt_model *m = &a->trained->model;
    uint32_t n = 0;
    lvt_pictures_decode(a->paths, a->here, &a->wanted, a->threads, a->pixels, a->ok, a->words);
    for (size_t i = 0; i < a->here; i++) {
        if (a->ok[i])
            a->index[n++] = (uint32_t)i;
    }
    const lvt_images images = {.pixels = a->pixels, .n = a->here};
    lvt_status status =
        n ? lvt_predict_images(m, &a->trained->augment, &images, a->index, n, NULL, keep, a, diag) : LVT_OK;
    n = 0;
    for (size_t i = 0; i < a->here && status == LVT_OK; i++) {
        if (a->ok[i]) {
            const float *features = m->n_features ? a->described + n * (size_t)m->n_features : NULL;
            write_answer(a, a->paths[i], a->answered + n++ * (size_t)m->classes, features);
        } else {
            write_failure(a, a->paths[i], a->words[i]);
        }
        a->n++;
    }
    for (size_t i = 0; i < a->here; i++) {
        lvt_diag_free(a->words[i]);
        free(a->paths[i]);
    }
    a->here = 0;
    if (fflush(stdout) != 0 && status == LVT_OK)
        status = lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "standard output cannot be written");
    return status;
}

/* Answers are given as soon as nothing more is there to ask about with them. */
static lvt_status run(answers *a, lvt_diag *diag) {
    lvt_next what = LVT_NEXT_PICTURE;
    lvt_status status = LVT_OK;
    if (a->form == CSV)
        lvt_print("picture,rank,class,name,probability,logit,known,error\n");
    while (what != LVT_NEXT_END && status == LVT_OK) {
        char *path = NULL;
        size_t wrong = a->pictures.wrong;
        lvt_diag *words = lvt_diag_new();
        status = words ? lvt_pictures_next(&a->pictures, a->here == 0, &what, &path, words)
                       : lvt_no_memory(diag, NULL);
        char *text = status == LVT_OK && (a->pictures.wrong > wrong || lvt_diag_warnings(words))
                         ? lvt_diag_text(words)
                         : NULL;
        if (text)
            fputs(text, stderr);
        free(text);
        if (status == LVT_OK && path)
            a->paths[a->here++] = path;
        else if (words && status != LVT_OK)
            lvt_diag_move(diag, words);
        lvt_diag_free(words);
        if (status == LVT_OK && a->here && (what != LVT_NEXT_PICTURE || a->here == a->room))
            status = answer(a, diag);
    }
    for (size_t i = 0; i < a->here; i++)
        free(a->paths[i]);
    if (status == LVT_OK && (a->failed || a->pictures.wrong))
        status = a->failed ? lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                                       "%zu of %zu pictures could not be answered", a->failed, a->n)
                           : lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                                       "%zu of the things asked about could not be read", a->pictures.wrong);
    return status;
}

static lvt_status make_room(answers *a, lvt_diag *diag) {
    const lvt_model *m = &a->trained->model;
    size_t bytes = (size_t)m->height * (size_t)m->width * (size_t)m->channels, classes = (size_t)m->classes;
    a->room = m->predict_batch > AT_ONCE ? (size_t)m->predict_batch : AT_ONCE;
    a->paths = calloc(a->room, sizeof *a->paths);
    a->ok = calloc(a->room, sizeof *a->ok);
    a->words = calloc(a->room, sizeof *a->words);
    a->pixels = malloc(a->room * bytes);
    a->index = malloc(a->room * sizeof *a->index);
    a->answered = malloc(a->room * classes * sizeof *a->answered);
    a->described = malloc((a->room * (size_t)m->n_features + 1) * sizeof *a->described);
    a->scratch = malloc(classes * sizeof *a->scratch);
    a->seen = malloc(classes * sizeof *a->seen);
    a->left = malloc(classes * sizeof *a->left);
    if (!a->paths || !a->ok || !a->words || !a->pixels || !a->index || !a->answered || !a->described ||
        !a->scratch || !a->seen || !a->left)
        return lvt_no_memory(diag, NULL);
    lvt_checkpoint_seen(&a->trained->info, a->seen);
    return LVT_OK;
}

static void free_room(answers *a) {
    void *const all[] = {a->paths,    a->ok,        a->words,   a->pixels, a->index,
                         a->answered, a->described, a->scratch, a->seen,   a->left};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

/* ---- the command --------------------------------------------------------------------------------------- */

typedef struct outputs {
    const char *probabilities, *logits, *features;
} outputs;

static lvt_status predict(answers *a, const outputs *o, lvt_diag *diag) {
    const lvt_model *m = &a->trained->model;
    if (m->channels != 1 && m->channels != 3)
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                         "the model takes images of %d channels, pictures have 1 or 3", m->channels);
    if (o->features && !m->n_features)
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                         "--features: the model's entry predict has no output features");
    a->wanted.height = m->height;
    a->wanted.width = m->width;
    a->wanted.channels = m->channels;
    a->threads = lvt_session_threads(m->session);
    a->top = a->top < m->classes ? a->top : m->classes;
    lvt_status status = make_room(a, diag);
    if (status == LVT_OK && o->probabilities)
        status =
            lvt_rows_begin(&a->probabilities, o->probabilities, "probabilities", (size_t)m->classes, diag);
    if (status == LVT_OK && o->logits)
        status = lvt_rows_begin(&a->logits, o->logits, "logits", (size_t)m->classes, diag);
    if (status == LVT_OK && o->features)
        status = lvt_rows_begin(&a->features, o->features, "features", (size_t)m->n_features, diag);
    lvt_cmd_say(diag); /* warnings of the checkpoint come before the answers */
    if (status == LVT_OK)
        status = run(a, diag);
    /* Answers that there are are kept, whatever could not be read. */
    lvt_status good = a->failed || a->pictures.wrong ? LVT_OK : status, written;
    lvt_rows *rows[] = {&a->probabilities, &a->logits, &a->features};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        written = lvt_rows_end(rows[i], good, diag);
        status = status == LVT_OK ? written : status;
    }
    free_room(a);
    return status;
}

lvt_status lvt_cmd_predict(int argc, char **argv, lvt_diag *diag) {
    lvt_trained_options o = {0};
    answers a = {.top = TOP};
    outputs files = {0};
    const char *list = NULL;
    bool json = false, csv = false;
    const lvt_option rows[] = {
        {"checkpoint", 'c', LVT_OPTION_TEXT, "FILE", "checkpoint of lvt-run train (needed)", &o.checkpoint, 0,
         0, NULL},
        {"list", 'l', LVT_OPTION_TEXT, "FILE", "also the pictures in this file, one path a line", &list, 0, 0,
         NULL},
        {"resize", 0, LVT_OPTION_FLAG, NULL, "scale pictures to the model's size", &a.wanted.resize, 0, 0,
         NULL},
        {"top", 'k', LVT_OPTION_INT, "K", "classes a picture, most probable first (5)", &a.top, 1, 65536,
         NULL},
        {"unknown", 'u', LVT_OPTION_FLAG, NULL,
         "say which pictures are of none of the classes: those whose first\nprobability is below what 95% of "
         "known pictures reach",
         &a.unknown, 0, 0, NULL},
        {"json", 'j', LVT_OPTION_FLAG, NULL, "print JSON: an object a line, a line a picture", &json, 0, 0,
         NULL},
        {"csv", 0, LVT_OPTION_FLAG, NULL, "print CSV: a line an answer", &csv, 0, 0, NULL},
        {"probabilities", 0, LVT_OPTION_TEXT, "FILE",
         "write the probabilities of all classes, a row a picture, to\nFILE.npy or FILE.safetensors",
         &files.probabilities, 0, 0, NULL},
        {"logits", 0, LVT_OPTION_TEXT, "FILE", "the same of the logits", &files.logits, 0, 0, NULL},
        {"features", 0, LVT_OPTION_TEXT, "FILE", "the same of the features before the classifier",
         &files.features, 0, 0, NULL},
        {"threads", 't', LVT_OPTION_INT, "N", "0: all processors (0)", &o.threads, 0, 1024, NULL},
        {"interpret", 0, LVT_OPTION_FLAG, NULL, "run on the reference interpreter: slow", &o.interpret, 0, 0,
         NULL},
    };
    const lvt_usage usage = {
        "lvt-run predict PROGRAM.lvtx --checkpoint FILE PICTURE|FOLDER|- ...",
        "Says what is in PNG, JPEG or WebP pictures: the most probable of the classes learned so far, with "
        "their\n"
        "probabilities (of the accumulation classifier). Of a folder all pictures are taken, of folders "
        "below "
        "it too;\n"
        "with - the paths come from standard input, one a line, and are answered as they come.\n"
        "A picture that cannot be read costs a line on standard error; the exit code is 1 then.\n"
        "  lvt-run predict lvt-s.lvtx --checkpoint run/task-10.safetensors picture.png\n"
        "  find photos -name '*.jpg' | lvt-run predict lvt-s.lvtx -c run/task-10.safetensors --resize --json "
        "-",
        rows,
        sizeof rows / sizeof *rows,
        1,
        -1};
    lvt_arguments arguments;
    lvt_status status = lvt_arguments_parse(&usage, argc, argv, &arguments, diag);
    if (status != LVT_OK || arguments.done)
        return status;
    if (arguments.n < 2 && !list) {
        status = lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "something is missing: pictures");
        lvt_note(diag, LVT_NOWHERE, "usage: %s", usage.synopsis);
        return status;
    }
    if (!o.checkpoint)
        return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "--checkpoint is missing");
    if (json && csv)
        return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "--json and --csv: take one of them");
    const char *paths[] = {files.probabilities, files.logits, files.features},
               *names[] = {"probabilities", "logits", "features"};
    for (int i = 0; i < 3; i++) {
        if (paths[i])
            LVT_TRY(lvt_rows_check(paths[i], names[i], diag));
        for (int k = 0; k < i; k++) {
            if (paths[i] && paths[k] && !strcmp(paths[i], paths[k]))
                return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE,
                                 "--%s and --%s: each needs a file of its own", names[k], names[i]);
        }
    }
    lvt_trained trained;
    o.known = a.unknown;
    status = lvt_trained_open(&trained, arguments.values[0], &o, diag);
    if (status != LVT_OK)
        return status;
    a.trained = &trained;
    a.form = json ? JSON : csv ? CSV : TEXT;
    lvt_pictures_open(&a.pictures, arguments.values + 1, arguments.n - 1, list);
    status = predict(&a, &files, diag);
    lvt_pictures_close(&a.pictures);
    lvt_trained_close(&trained);
    return status;
}
