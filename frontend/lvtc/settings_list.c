/* What `lvtc MODEL.lvt --settings` prints. May not know: how settings come about. */
#include "frontend/lvtc/settings_list.h"

#include <string.h>

enum { WIDTH = 100, MEANING_AT = 36 };

/* Words from column `at` on, wrapped to begin at MEANING_AT. */
static void put_meaning(FILE *to, const char *text, int at) {
    if (!*text) {
        fputs("\n", to);
        return;
    }
    bool first = true;
    if (at + 2 > MEANING_AT) {
        fputs("\n", to);
        at = 0;
    }
    fprintf(to, "%*s", MEANING_AT - at, "");
    at = MEANING_AT;
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (!first && at + 1 + n > WIDTH) {
            fprintf(to, "\n%*s", MEANING_AT, "");
            at = MEANING_AT;
            first = true;
        }
        at += fprintf(to, "%s%.*s", first ? "" : " ", n, text);
        first = false;
        text += n;
        text += strspn(text, " ");
    }
    fputs("\n", to);
}

void lvt_settings_print(FILE *to, const lvt_setting_list *list) {
    for (size_t i = 0; i < list->n; i++) {
        const lvt_setting_info *s = &list->items[i], *before = i ? s - 1 : NULL;
        if (!before || strcmp(before->owner, s->owner) || strcmp(before->file, s->file))
            fprintf(to, "%s%s, %s\n", i ? "\n" : "", s->owner, s->file);
        int at = fprintf(to, "  %-16s  %s", s->name, *s->value ? s->value : "\"\"");
        if (strcmp(s->value, s->usual))
            at += fprintf(to, " (%s)", s->usual);
        put_meaning(to, s->meaning, at);
    }
    if (!list->n)
        fputs("the model has no settings\n", to);
}
