/* Frames of lines on a terminal. May not know: what is drawn. */
#include "view.h"
#include "ir/base/file.h"
#include "ir/base/utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

static bool set(const char *variable) {
    const char *value = getenv(variable);
    return value && *value;
}

/* The locale's encoding, as POSIX orders the variables; setlocale would change how numbers are read. */
static bool locale_is_utf8(void) {
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (set(names[i])) {
            const char *dot = strchr(getenv(names[i]), '.');
            return dot && (!strncasecmp(dot, ".utf-8", 6) || !strncasecmp(dot, ".utf8", 5));
        }
    }
    return false;
}

static void ask_size(const lvt_view *v, int *columns, int *rows) {
    struct winsize size;
    bool known = ioctl(v->fd, TIOCGWINSZ, &size) == 0;
    *columns = known && size.ws_col ? size.ws_col : 80; /* serial lines say 0 */
    *rows = known && size.ws_row ? size.ws_row : 24;
}

void lvt_view_open(lvt_view *v, int fd, bool plain) {
    *v = (lvt_view){.fd = fd};
    v->live = !plain && isatty(fd) && set("TERM") && strcmp(getenv("TERM"), "dumb") != 0;
    v->colour = !set("NO_COLOR");
    v->unicode = locale_is_utf8();
    ask_size(v, &v->columns, &v->rows);
}

bool lvt_view_resized(lvt_view *v) {
    int columns, rows;
    if (!v->live)
        return false;
    ask_size(v, &columns, &rows);
    return columns != v->columns || rows != v->rows;
}

/* ---- making a frame ------------------------------------------------------------------------------------ */

static void bytes(lvt_view *v, const char *text, size_t n) {
    if (v->size + n <= sizeof v->frame) {
        memcpy(v->frame + v->size, text, n);
        v->size += n;
    }
}

static void code(lvt_view *v, const char *text) {
    bytes(v, text, strlen(text));
}

/* To the first line of what is on the screen. Most terminals break lines anew when they become narrower, so
 * each may take several rows now. */
static void go_back(lvt_view *v) {
    int up = 0;
    for (int i = 0; i < v->drawn; i++)
        up += v->drawn_widths[i] > v->columns ? (v->drawn_widths[i] + v->columns - 1) / v->columns : 1;
    up = up < v->rows ? up : v->rows - 1; /* what has left the screen stays above it */
    char text[32];
    snprintf(text, sizeof text, "\033[%dA", up);
    code(v, "\r");
    if (up)
        code(v, text);
}

void lvt_view_begin(lvt_view *v) {
    if (!v->live)
        return;
    ask_size(v, &v->columns, &v->rows);
    v->size = 0;
    v->n = 0;
    v->full = false;
    code(v, "\033[?25l");
    go_back(v);
}

/* The line below the last one is the cursor's. The reserve is for the end of the frame. */
static bool fits(const lvt_view *v) {
    return v->n < LVT_VIEW_LINES && v->n < v->rows - 1 && v->size + 4096 < sizeof v->frame;
}

void lvt_view_line(lvt_view *v) {
    if (!v->live || v->full)
        return;
    v->full = !fits(v);
    if (v->full)
        return;
    if (v->n)
        code(v, "\033[K\r\n");
    v->widths[v->n++] = 0;
}

/* Columns left in the line. */
static int room_left(const lvt_view *v) {
    /* The last column stays free: some terminals wrap when it is written. */
    return v->live && v->n && !v->full ? v->columns - 1 - v->widths[v->n - 1] : 0;
}

static void put(lvt_view *v, const char *sequence, const char *text) {
    int room = room_left(v);
    size_t n = 0;
    int columns = 0;
    while (text[n] && columns < room) {
        n++;
        while (((unsigned char)text[n] & 0xc0) == 0x80) /* the rest of a character */
            n++;
        columns++;
    }
    if (!n)
        return;
    if (*sequence && v->colour)
        code(v, sequence);
    bytes(v, text, n);
    if (*sequence && v->colour)
        code(v, "\033[0m");
    v->widths[v->n - 1] += columns;
}

void lvt_view_put(lvt_view *v, lvt_style style, const char *format, ...) {
    static const char *const sequences[] = {
        [LVT_PLAIN] = "",        [LVT_BOLD] = "\033[1m",   [LVT_DIM] = "\033[2m",
        [LVT_GOOD] = "\033[32m", [LVT_BAD] = "\033[1;31m", [LVT_ACCENT] = "\033[36m"};
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    char *safe = lvt_terminal_text(text, false);
    put(v, sequences[style], safe ? safe : "?");
    free(safe);
}

void lvt_view_bar(lvt_view *v, int width, double share) {
    static const char *const eighths[] = {" ",      "\u258f", "\u258e", "\u258d",
                                          "\u258c", "\u258b", "\u258a", "\u2589"};
    char full[512] = "", rest[512] = "";
    width = width > 120 ? 120 : width;
    if (width < 1)
        return;
    share = share > 0 ? fmin(share, 1) : 0; /* also NaN */
    int parts = (int)(share * width * 8), whole = parts / 8;
    for (int i = 0; i < width; i++) {
        if (i < whole)
            strcat(full, v->unicode ? "\u2588" : "#");
        else if (i == whole && v->unicode && parts % 8)
            strcat(full, eighths[parts % 8]);
        else
            strcat(rest, v->unicode ? "\u2500" : "-");
    }
    put(v, "\033[36m", full);
    put(v, "\033[2m", rest);
}

void lvt_view_spark(lvt_view *v, const double *values, int n) {
    static const char *const levels[] = {"\u2581", "\u2582", "\u2583", "\u2584",
                                         "\u2585", "\u2586", "\u2587", "\u2588"};
    char text[512] = "";
    double low = INFINITY, high = -INFINITY;
    for (int i = 0; i < n; i++) {
        low = fmin(low, values[i]);
        high = fmax(high, values[i]);
    }
    for (int i = 0; i < n && i < 120 && v->unicode; i++)
        strcat(text, levels[high > low ? (int)(7.999 * (values[i] - low) / (high - low)) & 7 : 0]);
    put(v, "\033[36m", text);
}

void lvt_view_cell(lvt_view *v, double percent) {
    /* Of the 256 colours: a scale from pale to deep blue, dark text on the pale ones. */
    static const uint8_t colours[] = {255, 195, 159, 117, 75, 33, 26, 19};
    char text[16] = "   .", sequence[32];
    if (isnan(percent)) {
        put(v, "\033[2m", text);
        return;
    }
    int level = (int)fmin(fmax(percent, 0) / 12.5, 7);
    snprintf(text, sizeof text, "%3.0f ", fmin(fmax(percent, 0), 999));
    snprintf(sequence, sizeof sequence, "\033[38;5;%dm\033[48;5;%dm", level < 5 ? 16 : 231, colours[level]);
    put(v, sequence, text);
}

/* ---- the screen ---------------------------------------------------------------------------------------- */

static void draw(lvt_view *v) {
    fflush(stdout);                               /* what was printed before comes before */
    (void)lvt_fd_write(v->fd, v->frame, v->size); /* no: the terminal is gone; the run is not */
}

void lvt_view_end(lvt_view *v) {
    if (!v->live)
        return;
    if (v->n)
        code(v, "\033[K\r\n");
    code(v, "\033[J\033[?25h");
    memcpy(v->drawn_widths, v->widths, sizeof v->widths);
    v->drawn = v->n;
    draw(v);
}

void lvt_view_clear(lvt_view *v) {
    if (!v->live || !v->drawn)
        return;
    ask_size(v, &v->columns, &v->rows);
    v->size = 0;
    go_back(v);
    code(v, "\033[J");
    draw(v);
    v->drawn = 0;
}

const char *lvt_time_text(double seconds, char buffer[32]) {
    long s = isnan(seconds) ? -1 : lrint(fmin(fmax(seconds, 0), 1e9));
    if (s < 0)
        snprintf(buffer, 32, "-");
    else if (s >= 3600)
        snprintf(buffer, 32, "%ld h %02ld min", s / 3600, s / 60 % 60);
    else if (s >= 60)
        snprintf(buffer, 32, "%ld min %02ld s", s / 60, s % 60);
    else
        snprintf(buffer, 32, "%ld s", s);
    return buffer;
}
