/* Where runs of a sweep stand: state files, records of runs, what the search chooses, the script for Slurm.
 * May not know: processes, terminals. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif
#include "runtime/report/compare.h"
#include "sweep.h"
#include "ir/base/file.h"
#include "ir/program/json.h"
#include "ir/base/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char *place(const char *out, const char *kind, const lvt_sweep_run *run, const char *end) {
    char *path = NULL;
    if (asprintf(&path, "%s/%s/%s%s", out, kind, run->name, end) < 0)
        return NULL;
    return path;
}
static const char *kind_of(const lvt_sweep_run *run) {
    return run->search ? "search" : "final";
}
char *lvt_sweep_run_folder(const char *out, const lvt_sweep_run *run) {
    return place(out, kind_of(run), run, "");
}
char *lvt_sweep_log(const char *out, const lvt_sweep_run *run) {
    return place(out, run->search ? "logs/search" : "logs/final", run, ".log");
}
static char *state_file(const char *out, const lvt_sweep_run *run) {
    return place(out, run->search ? "state/search" : "state/final", run, ".json");
}

static const char *const states[] = {"waiting", "running", "done", "failed"};

/* The object in a file, NULL when there is no such file. Takes `path`. Deleted by the caller. */
static lvt_status read_object(char *path, const char *what, cJSON **o, lvt_diag *diag) {
    *o = NULL;
    uint8_t *bytes = NULL;
    size_t size;
    lvt_status status = path ? LVT_OK : lvt_no_memory(diag, NULL);
    if (path && lvt_path_exists(path)) {
        status = lvt_file_read(path, &bytes, &size, diag);
        if (status == LVT_OK && !(*o = lvt_json_read((char *)bytes, size)))
            status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: not %s", path, what);
    }
    free(bytes);
    free(path);
    return status;
}

static const char *text_in(const cJSON *o, const char *key) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));
}
static double number_in(const cJSON *o, const char *key) {
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNumber(n) ? n->valuedouble : 0;
}

lvt_status lvt_sweep_load(const char *out, const lvt_sweep_run *run, lvt_sweep_status *status,
                          lvt_diag *diag) {
    *status = (lvt_sweep_status){0};
    char *folder = lvt_sweep_run_folder(out, run);
    cJSON *o = NULL;
    lvt_status result = folder ? read_object(state_file(out, run), "the state of a run", &o, diag)
                               : lvt_no_memory(diag, NULL);
    const char *state = text_in(o, "state");
    if (result == LVT_OK && o && (!state || !cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(o, "options"))))
        result = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                           "%s: what is in its state file is not the state of a run", folder);
    for (int i = 2; i < 4 && state; i++) {
        if (!strcmp(state, states[i]))
            status->state = (lvt_sweep_state)i;
    }
    status->code = (int)number_in(o, "code");
    status->seconds = number_in(o, "seconds");
    if (status->state == LVT_SWEEP_DONE && !lvt_path_exists(folder)) /* removed by hand: again */
        *status = (lvt_sweep_status){0};
    cJSON_Delete(o);
    free(folder);
    return result;
}

/* What a run is compiled from: model=FILE and what is set in it, NAME=VALUE each. */
static bool sources(const lvt_sweep *s, const char *out, const lvt_sweep_run *run, lvt_texts *list) {
    const lvt_sweep_row *r = &s->rows[run->row];
    int candidate = run->candidate >= 0 ? run->candidate : r->chosen < 0 ? 0 : r->chosen;
    lvt_texts program = {0};
    bool ok = lvt_sweep_program(s, out, run->row, candidate, run->search, &program);
    if (ok)
        lvt_texts_add(list, "model=%s", program.list[0]);
    for (int i = 4; i < program.n && ok; i += 2) /* after MODEL: --set NAME=VALUE ... */
        lvt_texts_add(list, "%s", program.list[i]);
    lvt_texts_free(&program);
    return ok && !list->failed;
}

lvt_status lvt_sweep_save(const lvt_sweep *s, const char *out, const lvt_sweep_run *run,
                          const lvt_sweep_status *status, lvt_diag *diag) {
    char *path = state_file(out, run), *text = NULL;
    lvt_texts options = {0}, program = {0};
    cJSON *o = cJSON_CreateObject();
    bool ok = path && o && lvt_sweep_options(s, run, &options) && sources(s, out, run, &program);
    cJSON *list = ok ? cJSON_CreateStringArray((const char *const *)options.list, options.n) : NULL,
          *from = ok ? cJSON_CreateStringArray((const char *const *)program.list, program.n) : NULL;
    ok = list && from && cJSON_AddItemToObject(o, "options", list) &&
         cJSON_AddItemToObject(o, "program", from) &&
         cJSON_AddStringToObject(o, "state", states[status->state]) &&
         cJSON_AddNumberToObject(o, "code", status->code) &&
         cJSON_AddNumberToObject(o, "seconds", status->seconds) && (text = lvt_json_text(o, true));
    lvt_status result = ok ? lvt_file_write(NULL, path, text, strlen(text), diag) : lvt_no_memory(diag, NULL);
    free(text);
    cJSON_Delete(o);
    lvt_texts_free(&options);
    lvt_texts_free(&program);
    free(path);
    return result;
}

/* ---- is it still the same run? ------------------------------------------------------------------------- */

lvt_status lvt_sweep_begun_read(const char *out, const lvt_sweep_run *run, lvt_sweep_begun *b,
                                lvt_diag *diag) {
    *b = (lvt_sweep_begun){0};
    char *folder = lvt_sweep_run_folder(out, run);
    cJSON *o = NULL;
    lvt_status status =
        folder ? read_object(lvt_path_join(folder, "settings.json"), "the settings of a run", &o, diag)
               : lvt_no_memory(diag, NULL);
    const cJSON *settings = cJSON_GetObjectItemCaseSensitive(o, "settings");
    const char *program = text_in(o, "program_hash"), *data = text_in(o, "data_fingerprint"),
               *data_at = text_in(settings, "data");
    if (status == LVT_OK && o && (!program || !data_at))
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s/settings.json: not the settings of a run",
                           folder);
    if (status == LVT_OK && o) {
        *b = (lvt_sweep_begun){true, strtoull(program, NULL, 16), data ? strtoull(data, NULL, 16) : 0,
                               strdup(data_at), (int)number_in(settings, "threads")};
        status = b->data_at ? LVT_OK : lvt_no_memory(diag, NULL);
    }
    cJSON_Delete(o);
    free(folder);
    return status;
}

void lvt_sweep_begun_free(lvt_sweep_begun *b) {
    free(b->data_at);
    *b = (lvt_sweep_begun){0};
}

/* The place in the file of what became "--KEY=VALUE", "--coef=NAME=VALUE" or "NAME=VALUE" (or of a key); the
 * row's when it is not there. */
static lvt_pos place_of(const lvt_sweep *s, const lvt_sweep_row *r, const char *text) {
    text += strncmp(text, "--", 2) ? 0 : 2;
    text += strncmp(text, "coef=", 5) ? 0 : 5;
    size_t n = strcspn(text, "=");
    for (int i = r->n - 1; i >= 0; i--) {
        const lvt_sweep_setting *o = r->settings[i];
        const char *word = o->name ? o->name : o->key;
        if (strlen(word) == n && !strncmp(word, text, n))
            return (lvt_pos){s->file, o->line, o->col};
    }
    return (lvt_pos){s->file, r->line, 0};
}

/* The first text that is only in the one list, and the first that is only in the other; NULL: there is none.
 */
static void differences(const cJSON *then, const lvt_texts *now, const char **was, const char **is) {
    *was = *is = NULL;
    const cJSON *item;
    for (int i = 0; i < now->n && !*is; i++) {
        *is = now->list[i];
        cJSON_ArrayForEach(item, then) {
            if (cJSON_IsString(item) && !strcmp(item->valuestring, now->list[i]))
                *is = NULL;
        }
    }
    cJSON_ArrayForEach(item, then) {
        bool found = !cJSON_IsString(item) || *was;
        for (int i = 0; i < now->n && !found; i++)
            found = !strcmp(item->valuestring, now->list[i]);
        *was = found ? *was : item->valuestring;
    }
}

/* Tells what a run has no more: it was begun with `then` (NULL: not known), and now it would be with `now`.
 */
static lvt_status changed(const lvt_sweep *s, const lvt_sweep_row *r, const char *folder, const char *what,
                          const cJSON *then, const lvt_texts *now, lvt_diag *diag) {
    const char *was = NULL, *is = NULL;
    if (then)
        differences(then, now, &was, &is);
    lvt_error(diag, LVT_USER, NULL,
              place_of(s, r,
                       is    ? is
                       : was ? was
                             : "model"),
              "%s was started with %s", folder, what);
    if (was && is)
        lvt_note(diag, LVT_NOWHERE, "it was begun with %s, and now there is %s", was, is);
    else if (was || is)
        lvt_note(diag, LVT_NOWHERE, was ? "it was begun with %s" : "it was begun without %s", was ? was : is);
    else
        lvt_note(diag, LVT_NOWHERE, "%sthe model file, a file that it imports or lvtc has changed since",
                 then ? "" : "a setting of the model, ");
    lvt_note(diag, LVT_NOWHERE, "choose another --out, or remove that folder to run it anew");
    return LVT_USER;
}

lvt_status lvt_sweep_check(const lvt_sweep *s, const char *out, const lvt_sweep_run *run,
                           const lvt_sweep_begun *b, uint64_t program, lvt_diag *diag) {
    const lvt_sweep_row *r = &s->rows[run->row];
    lvt_texts options = {0}, from = {0};
    cJSON *o = NULL;
    char *folder = lvt_sweep_run_folder(out, run);
    lvt_status status = folder && lvt_sweep_options(s, run, &options) && sources(s, out, run, &from)
                            ? read_object(state_file(out, run), "the state of a run", &o, diag)
                            : lvt_no_memory(diag, NULL);
    const cJSON *started = cJSON_GetObjectItemCaseSensitive(o, "options");
    const char *was = NULL, *is = NULL;
    if (status == LVT_OK && started)
        differences(started, &options, &was, &is);
    if (was || is)
        status = changed(s, r, folder, "other settings than the file has now", started, &options, diag);
    else if (status == LVT_OK && program && program != b->program)
        status = changed(s, r, folder, "another program than its model gives now",
                         cJSON_GetObjectItemCaseSensitive(o, "program"), &from, diag);
    cJSON_Delete(o);
    lvt_texts_free(&options);
    lvt_texts_free(&from);
    free(folder);
    return status;
}

lvt_status lvt_sweep_check_data(const lvt_sweep *s, const char *out, const lvt_sweep_run *run,
                                const lvt_sweep_begun *b, const char *data_at, uint64_t fingerprint,
                                lvt_diag *diag) {
    if (fingerprint == b->data)
        return LVT_OK;
    char *folder = lvt_sweep_run_folder(out, run);
    lvt_error(diag, LVT_USER, NULL, s->data ? LVT_NOWHERE : place_of(s, &s->rows[run->row], "data"),
              "%s was started with other data than %s holds now", folder ? folder : run->name, data_at);
    lvt_note(diag, LVT_NOWHERE, "it was begun with %s", b->data_at);
    lvt_note(diag, LVT_NOWHERE, "choose another --out, or remove that folder to run it anew");
    free(folder);
    return LVT_USER;
}

double lvt_sweep_score(const lvt_sweep *s, const char *out, int row, int candidate,
                       const lvt_sweep_status *status) {
    const lvt_sweep_row *r = &s->rows[row];
    double sum = 0;
    int n = 0;
    for (int i = 0; i < s->n_search; i++) {
        const lvt_sweep_run *run = &s->runs[i];
        if (run->row != row || run->candidate != candidate)
            continue;
        char *folder = status[i].state == LVT_SWEEP_DONE ? lvt_sweep_run_folder(out, run) : NULL;
        lvt_comparison c = {0};
        if (!folder || lvt_comparison_read(&c, &folder, 1, NULL) != LVT_OK)
            sum = NAN;
        else
            sum += lvt_comparison_value(&c, 0, (2 + r->scenario) * LVT_N_METRICS + r->metric, 0).mean;
        lvt_comparison_free(&c);
        free(folder);
        n++;
    }
    return n ? sum / n : NAN;
}

lvt_status lvt_sweep_choose(lvt_sweep *s, const char *out, int row, const lvt_sweep_status *status,
                            lvt_diag *diag) {
    lvt_sweep_row *r = &s->rows[row];
    if (r->chosen >= 0)
        return LVT_OK;
    for (int i = 0; i < s->n_search; i++) {
        if (s->runs[i].row == row && status[i].state != LVT_SWEEP_DONE && status[i].state != LVT_SWEEP_FAILED)
            return LVT_OK;
    }
    double sign = lvt_metric_is_forgetting(lvt_metrics[r->metric].name) ? -1 : 1, best = NAN;
    for (int c = 0; c < r->candidates; c++) {
        double score = sign * lvt_sweep_score(s, out, row, c, status);
        if (!isnan(score) && (isnan(best) || score > best)) {
            best = score;
            r->chosen = c;
        }
    }
    if (r->chosen >= 0)
        return LVT_OK;
    bool came = false; /* some candidate to its end, in all its runs */
    for (int c = 0; c < r->candidates && !came; c++) {
        came = true;
        for (int i = 0; i < s->n_search && came; i++)
            came = s->runs[i].row != row || s->runs[i].candidate != c || status[i].state == LVT_SWEEP_DONE;
    }
    if (came)
        return lvt_error(diag, LVT_USER, NULL, place_of(s, r, "select"),
                         "%s: %s of %s was not measured in the runs of the search", r->name,
                         lvt_metrics[r->metric].name,
                         lvt_matrix_names[LVT_VALIDATION_CLASS_IL + r->scenario]);
    return lvt_error(diag, LVT_USER, NULL, (lvt_pos){s->file, r->line, 0},
                     "%s: no combination that was tried has come to its end", r->name);
}

lvt_sweep_progress lvt_sweep_look(const char *out, const lvt_sweep_run *run) {
    lvt_sweep_progress p = {NAN, NAN, 0, 0};
    char *folder = lvt_sweep_run_folder(out, run),
         *path = folder ? lvt_path_join(folder, "metrics.jsonl") : NULL;
    FILE *f = path ? fopen(path, "re") : NULL;
    free(folder);
    free(path);
    if (!f)
        return p;
    char text[8192];
    /* The end of the file holds the last records of steps: those of an evaluation are short. */
    if (fseek(f, 0, SEEK_END) == 0) {
        long size = ftell(f), from = size > (long)sizeof text - 1 ? size - ((long)sizeof text - 1) : 0;
        size_t n = fseek(f, from, SEEK_SET) == 0 ? fread(text, 1, sizeof text - 1, f) : 0;
        text[n] = 0;
        char *rest = text, *line;
        while ((line = strsep(&rest, "\n"))) {
            cJSON *o = *line == '{' ? lvt_json_read(line, strlen(line)) : NULL;
            const cJSON *left = cJSON_GetObjectItemCaseSensitive(o, "seconds_left"),
                        *seconds = cJSON_GetObjectItemCaseSensitive(o, "seconds"),
                        *task = cJSON_GetObjectItemCaseSensitive(o, "task"),
                        *step = cJSON_GetObjectItemCaseSensitive(o, "step"),
                        *steps = cJSON_GetObjectItemCaseSensitive(o, "steps");
            if (cJSON_IsNumber(left) && cJSON_IsNumber(seconds) && cJSON_IsNumber(task) &&
                cJSON_IsNumber(step) && cJSON_IsNumber(steps) && steps->valuedouble > 0)
                p = (lvt_sweep_progress){seconds->valuedouble, left->valuedouble, task->valueint,
                                         step->valuedouble / steps->valuedouble};
            cJSON_Delete(o);
        }
    }
    fclose(f);
    return p;
}

/* 'it''s' for a shell. */
static void quoted(FILE *f, const char *text) {
    fputc('\'', f);
    for (; *text; text++)
        fprintf(f, *text == '\'' ? "'\\''" : "%c", *text);
    fputc('\'', f);
}

void lvt_sweep_slurm(const lvt_sweep *s, const char *out, const char *program, int threads, int jobs,
                     FILE *f) {
    fprintf(
        f,
        "#!/bin/bash\n"
        "# Runs an experiment as Slurm job arrays. Start it with `bash`, not sbatch: it submits itself, "
        "first\n"
        "# the runs of the search (%d), then the others (%d). Started again, it goes on: what is done is\n"
        "# passed over, what was cut off is resumed from its last checkpoint.\n"
        "# Fit these to your cluster:\n"
        "#SBATCH --cpus-per-task=%d\n"
        "#SBATCH --mem=8G\n"
        "#SBATCH --time=24:00:00\n"
        "#SBATCH --requeue\n"
        "#SBATCH --signal=B:TERM@120\n"
        "set -eu\n"
        "lvt_run=",
        s->n_search, s->n_runs - s->n_search, threads);
    quoted(f, program);
    fprintf(f, "\nexperiment=");
    quoted(f, s->file);
    fprintf(f, "\nout=");
    quoted(f, out);
    fprintf(f, "\ndata=");
    quoted(f, s->data ? s->data : "");
    fprintf(f, "\nat_once=%d\n", jobs);
    fprintf(f, "if [ -z \"${SLURM_ARRAY_TASK_ID:-}\" ]; then\n"
               "    name=$(basename \"$experiment\" .sweep) after=()\n"
               "    \"$lvt_run\" sweep \"$experiment\" --out \"$out\" ${data:+--data \"$data\"} --prepare\n");
    if (s->n_search)
        fprintf(f,
                "    job=$(sbatch --parsable --job-name=\"$name\" --array=1-%d%%$at_once \"$0\")\n"
                "    after=(--dependency=\"afterany:${job%%%%;*}\")\n",
                s->n_search);
    fprintf(f,
            "    sbatch --job-name=\"$name\" \"${after[@]}\" --array=%d-%d%%$at_once \"$0\"\n"
            "    echo \"when they are done: $lvt_run compare $out\"\n"
            "    exit\n"
            "fi\n"
            "exec \"$lvt_run\" sweep \"$experiment\" --out \"$out\" ${data:+--data \"$data\"} \\\n"
            "    --threads \"${SLURM_CPUS_PER_TASK:-%d}\" --run \"$SLURM_ARRAY_TASK_ID\"\n",
            s->n_search + 1, s->n_runs, threads);
}
