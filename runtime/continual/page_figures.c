/* Drawings of report.html: losses, confusion, calibration, the memory's images. May not know: files,
 * terminals. */
#include "continual/page.h"
#include "data/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- losses -----------------------------------------------------------------------------------------------
 */

static bool is_train(const cJSON *o) {
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(o, "type");
    return cJSON_IsString(type) && !strcmp(type->valuestring, "train");
}

static double number(const cJSON *o, const char *name) {
    const cJSON *j = cJSON_GetObjectItemCaseSensitive(o, name);
    return cJSON_IsNumber(j) ? j->valuedouble : NAN;
}

static void loss_panel(FILE *f, const cJSON *records, const char *name) {
    enum { W = 225, H = 110, LEFT = 48, TOP = 22 };
    double last = 1, high = 0;
    const cJSON *o;
    cJSON_ArrayForEach(o, records) {
        if (is_train(o)) {
            last = fmax(last, number(o, "global_step"));
            double v = number(o, name);
            high = v > high ? v : high;
        }
    }
    double top = high > 0 ? high : 1;
    fprintf(f, "<svg viewBox='0 0 %d %d' width='%d' height='%d' role='img'><text x='%d' y='14' class='h'>",
            LEFT + W + 10, TOP + H + 24, LEFT + W + 10, TOP + H + 24, LEFT);
    lvt_page_escaped(f, !strncmp(name, "loss_", 5) ? name + 5 : "total");
    fprintf(f, "</text><g transform='translate(%d,%d)'>", LEFT, TOP);
    for (int i = 0; i <= 2; i++)
        fprintf(f,
                "<line x2='%d' y1='%g' y2='%g' stroke='#e4e7eb'/><text x='-5' y='%g' class='t' "
                "text-anchor='end'>%.2g</text>",
                W, H * (1 - i / 2.), H * (1 - i / 2.), H * (1 - i / 2.) + 4, top * i / 2);
    double task = 1, previous = 0;
    cJSON_ArrayForEach(o, records) { /* where tasks begin */
        if (!is_train(o))
            continue;
        if (number(o, "task") != task) {
            fprintf(f, "<line x1='%.1f' x2='%.1f' y2='%d' stroke='#cbd2d9' stroke-dasharray='3 3'/>",
                    previous / last * W, previous / last * W, H);
            task = number(o, "task");
        }
        previous = number(o, "global_step");
    }
    fprintf(f, "<polyline fill='none' stroke='#2f8e9e' stroke-width='1.6' stroke-linejoin='round' points='");
    cJSON_ArrayForEach(o, records) {
        double v = number(o, name);
        if (is_train(o) && !isnan(v))
            fprintf(f, "%.1f,%.1f ", number(o, "global_step") / last * W, H * (1 - fmin(v / top, 1)));
    }
    fprintf(f,
            "'/><text y='%d' class='t'>0</text><text x='%d' y='%d' class='t' text-anchor='end'>step "
            "%.0f</text></g></svg>\n",
            H + 16, W, H + 16, last);
}

void lvt_page_losses(FILE *f, const cJSON *records) {
    const char *names[LVT_MAX_LOSSES];
    int n = 0;
    const cJSON *o, *j;
    cJSON_ArrayForEach(o, records) {
        cJSON_ArrayForEach(j, o) {
            bool known = !is_train(o) || strncmp(j->string, "loss", 4) != 0;
            for (int i = 0; i < n && !known; i++)
                known = !strcmp(names[i], j->string);
            if (!known && n < LVT_MAX_LOSSES)
                names[n++] = j->string;
        }
    }
    if (!n)
        fprintf(f, "<p class='sub'>No step has been recorded.</p>\n");
    fprintf(f, "<div class='row' style='gap:6px'>");
    for (int i = 0; i < n; i++)
        loss_panel(f, records, names[i]);
    fprintf(f, "</div>\n");
}

/* ---- confusion and calibration ----------------------------------------------------------------------------
 */

void lvt_page_confusion(FILE *f, const lvt_tasks *tasks, int learned, const int32_t *confusion,
                        char *const *names) {
    enum { SIDE = 420, LEFT = 96, TOP = 10 };
    int seen = lvt_tasks_seen(tasks, learned - 1);
    double cell = (double)SIDE / seen;
    int label_every = seen <= 40 ? 1 : seen; /* more names would run into each other */
    fprintf(f,
            "<svg viewBox='0 0 %d %d' width='%d' height='%d' role='img'><g transform='translate(%d,%d)'>"
            "<rect width='%d' height='%d' fill='#f7fafc'/>\n",
            LEFT + SIDE + 10, TOP + SIDE + 30, LEFT + SIDE + 10, TOP + SIDE + 30, LEFT, TOP, SIDE, SIDE);
    for (int r = 0; r < seen; r++) {
        int label = tasks->order[r];
        double sum = 0;
        for (int c = 0; c < tasks->classes; c++)
            sum += confusion[label * tasks->classes + c];
        if (r % label_every == 0 && label_every == 1) {
            fprintf(f, "<text x='-6' y='%.1f' class='t' text-anchor='end'>", (r + 0.5) * cell + 4);
            char text[24];
            snprintf(text, sizeof text, "%.14s", names[label]);
            lvt_page_escaped(f, text);
            fprintf(f, "</text>");
        }
        for (int c = 0; c < seen; c++) {
            int count = confusion[label * tasks->classes + tasks->order[c]];
            if (!count)
                continue;
            double v = count / sum;
            const char *colour = r == c ? "#103460" : "#c2410c"; /* right answers, mistakes */
            fprintf(
                f, "<rect x='%.2f' y='%.2f' width='%.2f' height='%.2f' fill='%s' fill-opacity='%.3f'><title>",
                c * cell, r * cell, cell - (seen <= 40), cell - (seen <= 40), colour, 0.08 + 0.92 * sqrt(v));
            lvt_page_escaped(f, names[label]);
            fprintf(f, " as ");
            lvt_page_escaped(f, names[tasks->order[c]]);
            fprintf(f, ": %d of %.0f</title></rect>\n", count, sum);
            if (seen <= 12)
                fprintf(f, "<text x='%.1f' y='%.1f' class='t' text-anchor='middle' style='fill:%s'>%d</text>",
                        (c + 0.5) * cell, (r + 0.5) * cell + 4, v > 0.2 ? "#fff" : "#1f2933", count);
        }
    }
    for (int k = 1; k < learned; k++) {
        double at = tasks->first[k] * cell;
        fprintf(f, "<path d='M0 %.1fH%dM%.1f 0V%d' stroke='#9aa5b1' stroke-width='.6'/>", at, SIDE, at, SIDE);
    }
    fprintf(f,
            "<text x='%d' y='%d' class='t' text-anchor='middle'>answer, in the order of learning (lines: "
            "tasks)</text></g></svg>\n",
            SIDE / 2, SIDE + 20);
}

void lvt_page_calibration(FILE *f, const double *bins) {
    enum { SIDE = 220, LEFT = 40, TOP = 10, N = LVT_CALIBRATION_BINS };
    double all = 0;
    for (int b = 0; b < N; b++)
        all += bins[3 * b];
    fprintf(f, "<svg viewBox='0 0 %d %d' width='%d' height='%d' role='img'><g transform='translate(%d,%d)'>",
            LEFT + SIDE + 10, TOP + SIDE + 44, LEFT + SIDE + 10, TOP + SIDE + 44, LEFT, TOP);
    for (int p = 0; p <= 100; p += 50)
        fprintf(f,
                "<line x2='%d' y1='%g' y2='%g' stroke='#e4e7eb'/><text x='-5' y='%g' class='t' "
                "text-anchor='end'>%d%%</text>"
                "<text x='%g' y='%d' class='t' text-anchor='middle'>%d%%</text>",
                SIDE, SIDE * (1 - p / 100.), SIDE * (1 - p / 100.), SIDE * (1 - p / 100.) + 4, p,
                SIDE * p / 100., SIDE + 16, p);
    for (int b = 0; b < N; b++) {
        double n = bins[3 * b], w = (double)SIDE / N;
        if (!(n > 0))
            continue;
        double right = bins[3 * b + 2] / n;
        fprintf(f,
                "<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f' fill='#2f8e9e' "
                "fill-opacity='%.2f'><title>%.0f images: %.1f%% right, "
                "mean probability %.1f%%</title></rect>",
                b * w, SIDE * (1 - right), w - 1, SIDE * right, 0.25 + 0.75 * sqrt(n / all), n, 100 * right,
                100 * bins[3 * b + 1] / n);
    }
    fprintf(f,
            "<line x1='0' y1='%d' x2='%d' y2='0' stroke='#d9822b' stroke-width='1.5' stroke-dasharray='5 4'/>"
            "<text x='%d' y='%d' class='t' text-anchor='middle'>probability of the answer; bars: how often "
            "it is right</text>"
            "</g></svg>\n<p class='sub' style='max-width:270px;font-size:12px'>Darker bars hold more images. "
            "The dashed line is perfect calibration.</p>\n",
            SIDE, SIDE, SIDE / 2 - 8, SIDE + 34);
}

/* ---- memory -----------------------------------------------------------------------------------------------
 */

static void base64(FILE *f, const uint8_t *bytes, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)bytes[i] << 16 | (i + 1 < n ? (uint32_t)bytes[i + 1] << 8 : 0) |
                     (i + 2 < n ? bytes[i + 2] : 0);
        fprintf(f, "%c%c%c%c", digits[v >> 18], digits[v >> 12 & 63], i + 1 < n ? digits[v >> 6 & 63] : '=',
                i + 2 < n ? digits[v & 63] : '=');
    }
}

static lvt_status thumbnail(FILE *f, const lvt_trainer *t, size_t i, lvt_diag *diag) {
    const lvt_memory *m = &t->memory;
    int channels = t->data->channels == 3 ? 3 : 1;
    size_t pixels = (size_t)t->data->height * (size_t)t->data->width;
    lvt_picture p = {t->data->height, t->data->width, channels, malloc(pixels * (size_t)channels)};
    uint8_t *png = NULL;
    size_t size = 0;
    if (!p.pixels)
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
    for (size_t k = 0; k < pixels; k++)
        memcpy(p.pixels + k * (size_t)channels,
               m->images + i * m->image_bytes + k * (size_t)t->data->channels, (size_t)channels);
    lvt_status status = lvt_picture_encode(&p, &png, &size, diag);
    if (status == LVT_OK) {
        bool probability = t->policy == LVT_POLICY_confidence || t->policy == LVT_POLICY_reservoir;
        fprintf(f, "<figure><img alt='' src='data:image/png;base64,");
        base64(f, png, size);
        fprintf(f, "'>");
        if (probability)
            fprintf(f, "%.0f%%", 100 * m->scores[i]);
        fprintf(f, "</figure>");
    }
    free(png);
    free(p.pixels);
    return status;
}

lvt_status lvt_page_memory(FILE *f, const lvt_trainer *t, lvt_diag *diag) {
    enum { SHOWN = 16 };
    const lvt_memory *m = &t->memory;
    bool probability = t->policy == LVT_POLICY_confidence || t->policy == LVT_POLICY_reservoir;
    fprintf(f, "<section><h2>Memory: %zu of %zu images, policy %s</h2><p class='sub'>%s</p>\n", m->n,
            m->capacity, LVT_POLICY_NAMES[t->policy + 1],
            probability
                ? "Below an image: the probability that the classifier gave its class when it was stored."
                : "");
    lvt_status status = LVT_OK;
    int seen = lvt_tasks_seen(&t->tasks, t->at.task - 1);
    for (int k = 0; k < seen && status == LVT_OK; k++) {
        int label = t->tasks.order[k], count = 0, shown = 0;
        for (size_t i = 0; i < m->n; i++)
            count += m->labels[i] == label;
        if (!count)
            continue;
        fprintf(f, "<div class='class'><p>");
        lvt_page_escaped(f, t->data->class_names[label]);
        if (!t->tasks.domains)
            fprintf(f, ", task %d", t->tasks.task_of[label] + 1);
        fprintf(f, ": %d image%s</p><div class='thumbs'>", count, count == 1 ? "" : "s");
        for (size_t i = 0; i < m->n && shown < SHOWN && status == LVT_OK; i++) {
            if (m->labels[i] == label) {
                status = thumbnail(f, t, i, diag);
                shown++;
            }
        }
        fprintf(f, "</div></div>\n");
    }
    fprintf(f, "</section>\n");
    return status;
}
