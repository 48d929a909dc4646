/* Records of metrics.jsonl, and the time they count. May not know: what is in a record. */
#include "trainer.h"
#include "ir/program/json.h"
#include "ir/base/clock.h"
#include "ir/base/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

lvt_status lvt_trainer_record(lvt_trainer *t, cJSON *record, lvt_diag *diag) {
    char *text = record ? lvt_json_text(record, false) : NULL;
    if (text && t->metrics && t->events.record)
        t->events.record(t->events.record_user, record);
    cJSON_Delete(record);
    if (!text)
        return lvt_no_memory(diag, NULL);
    lvt_status status = LVT_OK;
    if (t->metrics) {
        if (fprintf(t->metrics, "%s\n", text) < 0 || fflush(t->metrics) != 0)
            status = lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s/metrics.jsonl: cannot be written: %s",
                               t->folder->path, strerror(errno));
    }
    free(text);
    return status;
}

void lvt_trainer_tick(lvt_trainer *t) {
    double now = lvt_seconds();
    t->seconds += now - t->clock;
    t->clock = now;
    t->images = 0;
}
