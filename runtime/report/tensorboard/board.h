/* Event files for TensorBoard: FOLDER/tensorboard/events.out.tfevents.SECONDS.HOST.
 *
 * Invariant: after the event that says the version, event i holds the numbers of the i-th record of
 * metrics.jsonl that has any; so a resumed run cuts the events as it cuts the records, and nothing is there
 * twice. May not know: training.
 */
#ifndef LVT_REPORT_TENSORBOARD_BOARD_H
#define LVT_REPORT_TENSORBOARD_BOARD_H

#include "ir/base/diag.h"

#include "ir/base/file.h"

#include <cjson/cJSON.h>
#include <stdio.h>

typedef struct lvt_board {
    FILE *file; /* NULL: it could not be opened, or written; records are left out then */
    char *path;
} lvt_board;

/* Goes on with the event file in `folder`/tensorboard, or begins one: cuts it to the records of the folder's
 * metrics.jsonl and adds those it lacks. Errors: LVT_IO, LVT_NOMEM; the board then ignores records. Closed by
 * lvt_board_close. */
lvt_status lvt_board_open(lvt_board *b, const lvt_folder *folder, lvt_diag *diag);
/* Appends the numbers of a record of metrics.jsonl as scalars. A failure is remembered for lvt_board_close. b
 * may be NULL. */
void lvt_board_record(lvt_board *b, const cJSON *record);
/* LVT_IO: some record could not be written; the next lvt_board_open adds it. */
lvt_status lvt_board_close(lvt_board *b, lvt_diag *diag);

#endif
