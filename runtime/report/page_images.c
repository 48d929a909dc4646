/* Pictures of report.html: what the memory holds, where the network looks. May not know: files, terminals. */
#include "page.h"
#include "ir/base/xml.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void base64(FILE *f, const uint8_t *bytes, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)bytes[i] << 16 | (i + 1 < n ? (uint32_t)bytes[i + 1] << 8 : 0) |
                     (i + 2 < n ? bytes[i + 2] : 0);
        fputc(digits[v >> 18], f);
        fputc(digits[v >> 12 & 63], f);
        fputc(i + 1 < n ? digits[v >> 6 & 63] : '=', f);
        fputc(i + 2 < n ? digits[v & 63] : '=', f);
    }
}

/* "data:image/png;base64,..." */
static void data_uri(FILE *f, const char *type, const uint8_t *bytes, size_t n) {
    fprintf(f, "data:image/%s;base64,", type);
    base64(f, bytes, n);
}

/* Photographs as JPEG, a third of the bytes; small or grey pictures exactly. */
static lvt_status put_picture(FILE *f, const lvt_picture *p, lvt_diag *diag) {
    bool photograph = p->channels == 3 && p->height >= 16;
    uint8_t *bytes = NULL;
    size_t size = 0;
    lvt_status status = photograph ? lvt_picture_encode_jpeg(p, 88, &bytes, &size, diag)
                                   : lvt_picture_encode(p, &bytes, &size, diag);
    if (status == LVT_OK)
        data_uri(f, photograph ? "jpeg" : "png", bytes, size);
    free(bytes);
    return status;
}

/* An image of the data into a place of a picture, which has 1 or 3 channels. */
static void place(const lvt_dataset *d, const uint8_t *from, lvt_picture *p, int left) {
    for (int y = 0; y < d->height; y++) {
        for (int x = 0; x < d->width; x++)
            memcpy(p->pixels + ((size_t)y * (size_t)p->width + (size_t)(left + x)) * (size_t)p->channels,
                   from + ((size_t)y * (size_t)d->width + (size_t)x) * (size_t)d->channels,
                   (size_t)p->channels);
    }
}

static lvt_status picture(const lvt_dataset *d, int width, lvt_picture *p, lvt_diag *diag) {
    *p = (lvt_picture){d->height, width, d->channels == 3 ? 3 : 1, NULL};
    p->pixels = calloc((size_t)width * (size_t)d->height, (size_t)p->channels);
    return p->pixels ? LVT_OK : lvt_no_memory(diag, NULL);
}

/* ---- memory -------------------------------------------------------------------------------------------- */

enum { CELL = 40, GAP = 4 };

/* The images of a class side by side in one picture, which has one header for all. */
static lvt_status strip(FILE *f, const lvt_trainer *t, const size_t *which, int n, bool probability,
                        lvt_diag *diag) {
    enum { TEXT = 14 };
    const lvt_memory *m = &t->memory;
    lvt_picture p;
    lvt_status status = picture(t->data, n * t->data->width, &p, diag);
    if (status != LVT_OK)
        return status;
    for (int i = 0; i < n; i++)
        place(t->data, m->images + which[i] * m->image_bytes, &p, i * t->data->width);
    int width = n * (CELL + GAP) - GAP, high = CELL * t->data->height / t->data->width;
    fprintf(f, "<svg viewBox='0 0 %d %d' width='%d' height='%d' role='img'>", width,
            high + (probability ? TEXT : 0), width, high + (probability ? TEXT : 0));
    /* One picture, shown in windows: each moves it to its own image. */
    fprintf(f, "<defs><image id='m%d' width='%d' height='%d' preserveAspectRatio='none' href='",
            m->labels[which[0]], n * CELL, high);
    status = put_picture(f, &p, diag);
    fprintf(f, "'/></defs>");
    for (int i = 0; i < n; i++) {
        fprintf(f, "<svg x='%d' width='%d' height='%d'><use href='#m%d' x='%d'/></svg>", i * (CELL + GAP),
                CELL, high, m->labels[which[0]], -i * CELL);
        if (probability)
            fprintf(f, "<text x='%d' y='%d' class='t' text-anchor='middle'>%.0f%%</text>",
                    i * (CELL + GAP) + CELL / 2, high + 11, 100 * m->scores[which[i]]);
    }
    fprintf(f, "</svg>");
    free(p.pixels);
    return status;
}

lvt_status lvt_page_memory(FILE *f, const lvt_trainer *t, lvt_diag *diag) {
    enum { MOST = 16, FEWEST = 4, PAGE = 640 };
    const lvt_memory *m = &t->memory;
    bool probability = t->policy == LVT_POLICY_confidence || t->policy == LVT_POLICY_reservoir;
    int seen = lvt_tasks_seen(&t->tasks, t->at.task - 1), most = PAGE / (seen ? seen : 1);
    most = most < FEWEST ? FEWEST : most > MOST ? MOST : most;
    fprintf(f,
            "<section><h2>Memory</h2><p class='sub'>%zu of %zu images, policy %s; at most %d of a class are "
            "shown.%s</p>\n",
            m->n, m->capacity, lvt_policy_names[t->policy + 1], most,
            probability
                ? " Below an image: the probability that the classifier gave its class when it was stored."
                : "");
    int widest = 1; /* images of a class that are shown: as many columns as have room for that */
    for (int k = 0; k < seen; k++) {
        int count = 0;
        for (size_t i = 0; i < m->n; i++)
            count += m->labels[i] == t->tasks.order[k];
        widest = count > widest ? count : widest;
    }
    widest = (widest < most ? widest : most) * (CELL + GAP);
    fprintf(f, "<div class='classes' style='--strip:%dpx'>\n",
            widest < 180   ? 180
            : widest > 420 ? 420
                           : widest);
    lvt_status status = LVT_OK;
    for (int k = 0; k < seen && status == LVT_OK; k++) {
        int label = t->tasks.order[k], count = 0, shown = 0;
        size_t which[MOST];
        for (size_t i = 0; i < m->n; i++) {
            if (m->labels[i] == label && count++ < most)
                which[shown++] = i;
        }
        if (!count)
            continue;
        fprintf(f, "<div class='class'><p>");
        lvt_xml_write(f, t->data->class_names[label], SIZE_MAX);
        if (!t->tasks.domains)
            fprintf(f, ", task %d", t->tasks.task_of[label] + 1);
        fprintf(f, ": %d</p>", count);
        status = strip(f, t, which, shown, probability, diag);
        fprintf(f, "</div>\n");
    }
    fprintf(f, "</div></section>\n");
    return status;
}

/* ---- attention ----------------------------------------------------------------------------------------- */

/* A grid of n cells in the proportions of the image; false: there is none. */
static bool grid_of(const lvt_dataset *d, int64_t n, int *height, int *width) {
    *height = (int)lrint(sqrt((double)n * d->height / d->width));
    *width = *height ? (int)(n / *height) : 0;
    return *height > 0 && (int64_t)*height * *width == n;
}

/* One map over the image, which is darkened: it glows where the weight is large, on dark pictures too. */
static lvt_status overlay(FILE *f, const lvt_trainer *t, int image, const double *weights, int rows,
                          int columns, int size, double query_x, double query_y, lvt_diag *diag) {
    static const uint8_t glow[3] = {255, 140, 30};
    lvt_picture p = {rows, columns, 3, malloc(3 * (size_t)rows * (size_t)columns)};
    uint8_t *bytes = NULL;
    size_t n = 0;
    double high = 0, sum = 0;
    if (!p.pixels)
        return lvt_no_memory(diag, NULL);
    for (int i = 0; i < rows * columns; i++) {
        high = fmax(high, weights[i]);
        sum += weights[i];
    }
    for (int i = 0; i < 3 * rows * columns; i++)
        p.pixels[i] = (uint8_t)(glow[i % 3] * (high > 0 ? weights[i / 3] / high : 0));
    lvt_status status = lvt_picture_encode(&p, &bytes, &n, diag);
    int w = t->data->width, h = t->data->height;
    if (status == LVT_OK) {
        fprintf(f,
                "<svg viewBox='0 0 %d %d' width='%d' height='%d' role='img'><title>largest weight %.3f, %.1f "
                "times the "
                "mean</title><rect width='%d' height='%d'/><use href='#a%d' class='dim'/><image width='%d' "
                "height='%d' preserveAspectRatio='none' "
                "class='map' href='",
                w, h, size, size * h / w, high, sum > 0 ? high * rows * columns / sum : 0, w, h, image, w, h);
        data_uri(f, "png", bytes, n);
        fprintf(f, "'/><circle cx='%.2f' cy='%.2f' r='%.2f' stroke-width='%.2f' class='query'/></svg>",
                query_x, query_y, w / 16., w / 50.);
    }
    free(bytes);
    free(p.pixels);
    return status;
}

/* Block b of image i: the mean of the heads, large, above the heads. */
static lvt_status draw_block(FILE *f, const lvt_trainer *t, int b, int i, lvt_diag *diag) {
    enum { LARGE = 104, SMALL = 48, MOST_HEADS = 8 };
    lvt_type type;
    const float *map = lvt_model_map(t->model, b, &type);
    int heads = (int)type.dim[0], images = (int)type.dim[1], rows, columns, from_rows, from_columns;
    int64_t queries = type.dim[2], keys = type.dim[3];
    if (!map || !grid_of(t->data, keys, &rows, &columns) ||
        !grid_of(t->data, queries, &from_rows, &from_columns)) {
        fprintf(f, "<td></td>");
        return LVT_OK;
    }
    /* The query in the middle; its cell among the keys, of which it may be every second. */
    int64_t query = (int64_t)(from_rows / 2) * from_columns + from_columns / 2;
    int step = rows / from_rows > 0 ? rows / from_rows : 1;
    double x = (from_columns / 2 * step + 0.5) * t->data->width / columns,
           y = (from_rows / 2 * step + 0.5) * t->data->height / rows;
    double *weights = calloc((size_t)keys * 2, sizeof *weights), *mean = weights + keys;
    lvt_status status = weights ? LVT_OK : lvt_no_memory(diag, NULL);
    for (int h = 0; h < heads && status == LVT_OK; h++) {
        for (int64_t k = 0; k < keys; k++)
            mean[k] += map[((h * images + i) * queries + query) * keys + k] / (double)heads;
    }
    fprintf(f, "<td>");
    if (status == LVT_OK)
        status = overlay(f, t, i, mean, rows, columns, LARGE, x, y, diag);
    fprintf(f, "<div class='heads'>");
    for (int h = 0; h < heads && h < MOST_HEADS && status == LVT_OK; h++) {
        for (int64_t k = 0; k < keys; k++)
            weights[k] = map[((h * images + i) * queries + query) * keys + k];
        status = overlay(f, t, i, weights, rows, columns, SMALL, x, y, diag);
    }
    fprintf(f, "</div></td>");
    free(weights);
    return status;
}

/* The name of the block whose key is the b-th, when there are as many keys as maps. */
static void name_block(FILE *f, const lvt_trainer *t, int b, int maps) {
    const lvt_module *m = lvt_model_module(t->model);
    const char *name = NULL;
    int keys = 0;
    for (uint32_t s = 0; s < m->n_states; s++) {
        const char *dot = strrchr(m->states[s].name, '.');
        if (dot && !strcmp(dot, ".key") && keys++ == b)
            name = m->states[s].name;
    }
    char text[64];
    snprintf(text, sizeof text, "block %d", b + 1);
    if (keys == maps && name)
        lvt_page_block_name(name, text, sizeof text);
    lvt_xml_write(f, text, SIZE_MAX);
}

/* The first test images of tasks that are evenly spaced over those learned. */
static int choose(const lvt_trainer *t, size_t *images, int most) {
    int learned = t->at.task, n = learned < most ? learned : most, found = 0;
    for (int i = 0; i < n; i++) {
        int task = n > 1 ? i * (learned - 1) / (n - 1) : 0;
        for (size_t k = 0; k < t->data->test.n; k++) {
            if (lvt_task_of_image(&t->tasks, &t->data->test, k) == task) {
                images[found++] = k;
                break;
            }
        }
    }
    return found;
}

lvt_status lvt_page_attention(FILE *f, const lvt_trainer *t, lvt_diag *diag) {
    enum { MOST = 16 };
    const lvt_model *m = t->model;
    const lvt_dataset *d = t->data;
    const lvt_bound_entry *b = &m->entries[LVT_ENTRY_INSPECT];
    if (!lvt_model_has(m, LVT_ENTRY_INSPECT) || !b->n_maps)
        return LVT_OK;
    size_t images[MOST], bytes = lvt_image_bytes(d);
    int n = choose(t, images, m->inspect_batch < MOST ? m->inspect_batch : MOST);
    float *x = malloc((size_t)m->inspect_batch * bytes * sizeof *x);
    lvt_status status = x ? LVT_OK : lvt_no_memory(diag, NULL);
    for (int i = 0; i < m->inspect_batch && n && status == LVT_OK; i++)
        lvt_augment_image(&t->plain, lvt_image_at(&d->test, bytes, images[i < n ? i : 0], t->scratch), NULL,
                          x + (size_t)i * bytes);
    const void *tensors[LVT_N_INPUTS] = {[LVT_IN_X] = x};
    if (n && status == LVT_OK)
        status = lvt_model_run(t->model, LVT_ENTRY_INSPECT, tensors, diag);
    free(x);
    if (!n || status != LVT_OK) {
        lvt_session_release(m->session, b->index);
        return status;
    }
    fprintf(f, "<section><h2>Attention</h2><p class='sub'>Where the position in the ring looks: the mean "
               "over heads, and below it the "
               "heads, each scaled to its largest weight: what glows has the most. Test images of the first "
               "classes of tasks.</p><div "
               "class='scroll'><table "
               "class='maps'><tr><th>image</th>");
    for (int k = 0; k < b->n_maps; k++) {
        fprintf(f, "<th>");
        name_block(f, t, k, b->n_maps);
        fprintf(f, "</th>");
    }
    fprintf(f, "</tr>\n");
    for (int i = 0; i < n && status == LVT_OK; i++) {
        lvt_picture p;
        int label = d->test.labels[images[i]];
        status = picture(d, d->width, &p, diag);
        if (status != LVT_OK)
            break;
        place(d, lvt_image_at(&d->test, bytes, images[i], t->scratch), &p, 0);
        fprintf(f,
                "<tr><td><svg viewBox='0 0 %d %d' width='104' height='%d' role='img'><image id='a%d' "
                "width='%d' height='%d' "
                "class='pixels' preserveAspectRatio='none' href='",
                d->width, d->height, 104 * d->height / d->width, i, d->width, d->height);
        status = put_picture(f, &p, diag);
        free(p.pixels);
        fprintf(f, "'/></svg><p>");
        lvt_xml_write(f, d->class_names[label], SIZE_MAX);
        fprintf(f, ", task %d</p></td>", lvt_task_of_image(&t->tasks, &d->test, images[i]) + 1);
        for (int k = 0; k < b->n_maps && status == LVT_OK; k++)
            status = draw_block(f, t, k, i, diag);
        fprintf(f, "</tr>\n");
    }
    fprintf(f, "</table></div></section>\n");
    lvt_session_release(m->session, b->index); /* until the next task's page */
    return status;
}
