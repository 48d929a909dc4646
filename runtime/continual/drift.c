/* How far the external keys and bias tables have moved, one record of metrics.jsonl after each task but the
 * first.
 *
 * Invariant: they are compared with the checkpoints at the ends of earlier tasks, so nothing more than those
 * has to be kept, and a resumed run writes the same record. May not know: methods; names of states say what
 * they are. */
#include "trainer.h"
#include "ir/base/file.h"
#include "ir/program/safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Is it a state called *.key or *.bias_table? */
static bool drifts(const lvt_state *s) {
    static const char *const ends[] = {"key", "bias_table"};
    const char *dot = strrchr(s->name, '.'), *last = dot ? dot + 1 : s->name;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (s->type.dtype == LVT_F32 && !strcmp(last, ends[i]))
            return true;
    }
    return false;
}

/* |now - then| / |then| (Frobenius); NaN: there is no such tensor, or it was all zeros. */
static double change(const lvt_state *s, const float *now, const lvt_safetensors *then) {
    const lvt_stored_tensor *old = lvt_safetensors_find(then, s->name);
    if (!old || !lvt_type_equal(&old->type, &s->type))
        return NAN;
    double moved = 0, size = 0;
    const char *from = old->data;
    for (size_t i = 0; i < lvt_type_bytes(&s->type) / sizeof *now; i++) {
        float before;
        memcpy(&before, from + i * sizeof before, sizeof before);
        moved += ((double)now[i] - before) * ((double)now[i] - before);
        size += (double)before * before;
    }
    return size > 0 ? sqrt(moved / size) : NAN;
}

static bool read_task(const lvt_trainer *t, int task, lvt_safetensors *out) {
    char name[64];
    snprintf(name, sizeof name, "task-%02d.safetensors", task);
    return lvt_folder_has(t->folder, name) && lvt_safetensors_read_in(t->folder, name, out, NULL) == LVT_OK;
}

lvt_status lvt_drift_record(lvt_trainer *t, int learned, lvt_diag *diag) {
    const lvt_module *m = lvt_model_module(t->model);
    bool any = false;
    for (uint32_t s = 0; s < m->n_states; s++)
        any = any || drifts(&m->states[s]);
    if (!any || learned < 2 || !t->metrics)
        return LVT_OK;
    lvt_safetensors first = {0}, before = {0};
    bool have_first = read_task(t, 1, &first), have = learned == 2 || read_task(t, learned - 1, &before);
    const lvt_safetensors *previous = learned == 2 ? &first : &before;
    lvt_status status = LVT_OK;
    if (have_first && have) { /* else someone has removed them, and the page has a gap */
        cJSON *r = cJSON_CreateObject();
        cJSON_AddStringToObject(r, "type", "drift");
        cJSON_AddNumberToObject(r, "after_task", learned);
        cJSON *list = cJSON_AddArrayToObject(r, "states");
        for (uint32_t s = 0; s < m->n_states; s++) {
            if (!drifts(&m->states[s]))
                continue;
            const float *now = lvt_session_state(t->model->session, s);
            cJSON *o = cJSON_CreateObject();
            cJSON_AddStringToObject(o, "state", m->states[s].name);
            cJSON_AddNumberToObject(o, "since_previous_task", change(&m->states[s], now, previous));
            cJSON_AddNumberToObject(o, "since_first_task", change(&m->states[s], now, &first));
            cJSON_AddItemToArray(list, o);
        }
        status = lvt_trainer_record(t, r, diag);
    }
    lvt_safetensors_free(&first);
    lvt_safetensors_free(&before);
    return status;
}
