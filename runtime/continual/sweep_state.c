/* Where runs of a sweep stand: state files, records of runs, what the search chooses, the script for Slurm.
 * May not know: processes, terminals. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif
#include "continual/compare.h"
#include "continual/sweep.h"
#include "ir/file.h"

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

lvt_status lvt_sweep_load(const lvt_sweep *s, const char *out, const lvt_sweep_run *run,
                          lvt_sweep_status *status, lvt_diag *diag) {
    *status = (lvt_sweep_status){0};
    char *path = state_file(out, run), *folder = lvt_sweep_run_folder(out, run);
    uint8_t *bytes = NULL;
    size_t size;
    lvt_texts options = {0};
    cJSON *o = NULL;
    lvt_status result = LVT_OK;
    if (!path || !folder) {
        result = lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
    } else if (lvt_path_exists(path)) {
        result = lvt_file_read(path, &bytes, &size, diag);
        o = result == LVT_OK ? cJSON_ParseWithLength((char *)bytes, size) : NULL;
        const cJSON *state = cJSON_GetObjectItemCaseSensitive(o, "state"),
                    *started = cJSON_GetObjectItemCaseSensitive(o, "options"),
                    *code = cJSON_GetObjectItemCaseSensitive(o, "code"),
                    *seconds = cJSON_GetObjectItemCaseSensitive(o, "seconds");
        if (result == LVT_OK && (!cJSON_IsString(state) || !cJSON_IsArray(started)))
            result = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: not the state of a run", path);
        for (int i = 2; i < 4 && result == LVT_OK; i++) {
            if (!strcmp(state->valuestring, states[i]))
                status->state = (lvt_sweep_state)i;
        }
        if (result == LVT_OK) {
            status->code = cJSON_IsNumber(code) ? code->valueint : 0;
            status->seconds = cJSON_IsNumber(seconds) ? seconds->valuedouble : 0;
            if (status->state == LVT_SWEEP_DONE && !lvt_path_exists(folder)) /* removed by hand: again */
                *status = (lvt_sweep_status){0};
        }
        /* The options of a final run are known once its row has chosen. */
        bool known = run->candidate >= 0 || s->rows[run->row].chosen >= 0;
        if (result == LVT_OK && known && lvt_path_exists(folder)) {
            bool same = lvt_sweep_options(s, run, &options) && cJSON_GetArraySize(started) == options.n;
            for (int i = 0; i < options.n && same; i++) {
                const cJSON *item = cJSON_GetArrayItem(started, i);
                same = cJSON_IsString(item) && !strcmp(item->valuestring, options.list[i]);
            }
            if (!same) {
                result = lvt_error(diag, LVT_USER, NULL, (lvt_pos){s->file, s->rows[run->row].line, 0},
                                   "%s was started with other settings than the file has now", folder);
                lvt_note(diag, LVT_NOWHERE, "choose another --out, or remove that folder to run it anew");
            }
        }
    }
    cJSON_Delete(o);
    lvt_texts_free(&options);
    free(bytes);
    free(path);
    free(folder);
    return result;
}

lvt_status lvt_sweep_save(const lvt_sweep *s, const char *out, const lvt_sweep_run *run,
                          const lvt_sweep_status *status, lvt_diag *diag) {
    char *path = state_file(out, run), *text = NULL;
    lvt_texts options = {0};
    cJSON *o = cJSON_CreateObject();
    bool ok = path && o && lvt_sweep_options(s, run, &options);
    cJSON *list = ok ? cJSON_CreateStringArray((const char *const *)options.list, options.n) : NULL;
    ok = list && cJSON_AddItemToObject(o, "options", list) &&
         cJSON_AddStringToObject(o, "state", states[status->state]) &&
         cJSON_AddNumberToObject(o, "code", status->code) &&
         cJSON_AddNumberToObject(o, "seconds", status->seconds) && (text = cJSON_Print(o));
    lvt_status result = ok ? lvt_file_write(path, text, strlen(text), diag)
                           : lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
    cJSON_free(text);
    cJSON_Delete(o);
    lvt_texts_free(&options);
    free(path);
    return result;
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
    if (r->chosen < 0)
        return lvt_error(diag, LVT_USER, NULL, (lvt_pos){s->file, r->line, 0},
                         "%s: no combination that was tried has come to its end", r->name);
    return LVT_OK;
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
            cJSON *o = *line == '{' ? cJSON_Parse(line) : NULL;
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
