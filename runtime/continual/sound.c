/* Is everything that is trained a number? A run in which something is not ends before it is written anywhere. May
 * not know: steps, checkpoints, files. */
#include "trainer.h"
#include "ir/finite.h"

#include <stdio.h>

static const char *name_of(const lvt_model *m, uint32_t state, int64_t element) {
    return lvt_unsound_name((lvt_dtype)lvt_model_module(m)->states[state].type.dtype,
                            lvt_session_state(m->session, state), element);
}

static lvt_status advise(lvt_diag *diag) {
    lvt_note(diag, LVT_NOWHERE, "a lower --lr or --coef clip=VALUE may help");
    lvt_note(diag, LVT_NOWHERE, "checkpoints that are there have none of it: they were looked at");
    return LVT_USER;
}

lvt_status lvt_trainer_sound(lvt_trainer *t, lvt_diag *diag) {
    const lvt_model *m = t->model;
    int64_t element, state = lvt_session_unsound(m->session, &element);
    if (state < 0) {
        t->sound_step = t->at.global_step;
        t->sound = true;
        return LVT_OK;
    }
    const char *name = lvt_model_module(m)->states[state].name, *what = name_of(m, (uint32_t)state, element);
    if (!t->sound) {
        lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "the run would begin with %s in %s (element %lld)", what,
                  name, (long long)element);
        return LVT_USER;
    }
    lvt_error(
        diag, LVT_USER, NULL, LVT_NOWHERE,
        "training diverged: %s has %s (element %lld) after step %llu of the run; it had none after step %llu",
        name, what, (long long)element, (unsigned long long)t->at.global_step,
        (unsigned long long)t->sound_step);
    return advise(diag);
}

lvt_status lvt_trainer_loss_sound(const lvt_trainer *t, const char *name, double loss, lvt_diag *diag) {
    const lvt_model *m = t->model;
    if (lvt_first_unsound(LVT_F64, &loss, 1, false) < 0)
        return LVT_OK;
    int64_t element, state = lvt_session_unsound(m->session, &element);
    lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "training diverged: %s is %s in step %llu of task %d", name,
              lvt_unsound_name(LVT_F64, &loss, 0), (unsigned long long)t->at.step + 1, t->at.task + 1);
    if (state >= 0)
        lvt_note(diag, LVT_NOWHERE, "%s has %s (element %lld) since then",
                 lvt_model_module(m)->states[state].name, name_of(m, (uint32_t)state, element),
                 (long long)element);
    return advise(diag);
}

lvt_status lvt_trainer_step_sound(const lvt_trainer *t, lvt_diag *diag) {
    const lvt_model *m = t->model;
    int64_t element, state = lvt_session_glance(m->session, t->at.global_step, &element);
    if (state < 0)
        return LVT_OK;
    char since[64] = "which had none before";
    if (element >= LVT_GLANCE_ALWAYS)
        snprintf(since, sizeof since, "in that step or up to %d before", LVT_GLANCES - 1);
    lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
              "training diverged: step %llu of task %d has put %s into %s (element %lld), %s",
              (unsigned long long)t->at.step + 1, t->at.task + 1, name_of(m, (uint32_t)state, element),
              lvt_model_module(m)->states[state].name, (long long)element, since);
    return advise(diag);
}
