/* The table of methods. May not know: what the loop does with it. */
#include "method.h"

#include <math.h>
#include <string.h>

#define KEEP NAN
#define LVT_METHOD(name, title, rehearsal, reach, measured, logits, policy, alpha, beta, gamma)              \
    {name,                                                                                                   \
     title,                                                                                                  \
     LVT_REHEARSE_##rehearsal,                                                                               \
     LVT_REACH_##reach,                                                                                      \
     LVT_MEASURE_##measured,                                                                                 \
     LVT_LOGITS_##logits,                                                                                    \
     LVT_POLICY_##policy,                                                                                    \
     alpha,                                                                                                  \
     beta,                                                                                                   \
     gamma},
static const lvt_method methods[] = {
#include "method.def"
};
enum { N_METHODS = sizeof methods / sizeof *methods };

#define LVT_METHOD(name, ...) name ", "
static const char list[] =
#include "method.def"
    ;

const lvt_method *lvt_method_find(const char *name) {
    for (int i = 0; i < N_METHODS; i++) {
        if (!strcmp(methods[i].name, name))
            return &methods[i];
    }
    return NULL;
}

const char *lvt_method_nearest(const char *name) {
    const char *names[N_METHODS];
    for (int i = 0; i < N_METHODS; i++)
        names[i] = methods[i].name;
    return lvt_nearest(name, names, N_METHODS);
}

const char *lvt_method_list(void) {
    return list;
}
