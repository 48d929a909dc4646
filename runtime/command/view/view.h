/* A few lines at the bottom of a terminal that are drawn again and again in place.
 *
 * Invariants: a frame is one write that hides the cursor, draws and shows it again, so between frames, and
 * whenever the process is killed, the cursor is visible on an empty line below; no line is longer than the
 * terminal, and there are no more of them than fit. Plain ANSI sequences, no database of terminals. May not
 * know: what is drawn. */
#ifndef LVT_COMMAND_VIEW_VIEW_H
#define LVT_COMMAND_VIEW_VIEW_H

#include <stdbool.h>
#include <stddef.h>

enum { LVT_VIEW_LINES = 48, LVT_VIEW_BYTES = 32768 };

typedef enum lvt_style { LVT_PLAIN, LVT_BOLD, LVT_DIM, LVT_GOOD, LVT_BAD, LVT_ACCENT } lvt_style;

typedef struct lvt_view {
    int fd;       /* the terminal */
    bool live;    /* there is a terminal that can do this; else every function does nothing */
    bool colour;  /* and styles; false: NO_COLOR */
    bool unicode; /* blocks and lines by the locale; false: ASCII */
    int columns, rows;
    /* The frame being made: its bytes, and of each line the visible width. */
    char frame[LVT_VIEW_BYTES];
    size_t size;
    int n, widths[LVT_VIEW_LINES];
    bool full;                               /* what comes now does not fit any more */
    int drawn, drawn_widths[LVT_VIEW_LINES]; /* what is on the screen */
} lvt_view;

/* Looks at the file and the environment: not live when `fd` is no terminal, when TERM is unset, empty or
 * "dumb", or when `plain`. Nothing is written. */
void lvt_view_open(lvt_view *v, int fd, bool plain);
/* Asks the terminal for its size; true when it is another than at the last frame. */
bool lvt_view_resized(lvt_view *v);
/* A frame: begin, then lines of text, then end, which draws it in place of the one before. Lines that do not
 * fit are dropped from the end. */
void lvt_view_begin(lvt_view *v);
void lvt_view_line(lvt_view *v); /* the next line; also before the first */
/* Adds text to the line, cut at the terminal's width. Text is UTF-8 with characters one column wide. */
void lvt_view_put(lvt_view *v, lvt_style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A bar of `width` columns, `share` (0..1) of it full. */
void lvt_view_bar(lvt_view *v, int width, double share);
/* One column a value, scaled to the range of the n values; oldest first. Nothing without Unicode. */
void lvt_view_spark(lvt_view *v, const double *values, int n);
/* A number of at most 3 digits, 0..100, on a background from light to dark; two columns of space with it. */
void lvt_view_cell(lvt_view *v, double percent);
void lvt_view_end(lvt_view *v);
/* Takes the frame off the screen, for other output; the next one is drawn below that. */
void lvt_view_clear(lvt_view *v);
/* "2 h 05 min", "3 min 20 s", "12 s"; NaN: "-". Returns buffer. */
const char *lvt_time_text(double seconds, char buffer[32]);

#endif
