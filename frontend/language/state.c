/* Parameters, state, updates, gradients, minimize.
 *
 * Invariants: a path names one state of the module, whichever entries use it; inside an entry a parameter is
 * declared by one call, or by calls that say with `as` or `at` that they share it; a state is updated at most
 * once an entry. May not know: how gradients are computed (pass autodiff). */
#include "elab.h"

#include <fnmatch.h>
#include <string.h>

static bool same_init(const lvt_init *a, const lvt_init *b) {
    return a->kind == b->kind && a->a == b->a && a->b == b->b;
}

static void note_state(frame *f, uint32_t state, const char *text) {
    if (f->e->silenced)
        return;
    lvt_note(f->e->diag, lvt_module_pos(f->e->m, f->e->m->states[state].loc), "%s", text);
}

/* Is it meant that `now` declares what `before` has declared? The calls in which the two differ must say so.
 */
static bool sharing_meant(const scope *before, const scope *now) {
    for (const scope *s = now; s; s = s->parent) {
        for (const scope *b = before; b; b = b->parent)
            if (b == s)
                return false; /* what differs has not said so */
        if (s->named != NAMED_BY_PLACE)
            return true;
    }
    return false;
}

static int depth_of(const scope *s) {
    int n = 0;
    for (; s->parent; s = s->parent)
        n++;
    return n;
}

/* The outermost call in which the two differ, if a loop has made it twice with one path and nothing in it
 * says that sharing is meant; else NULL. Only a loop runs one call twice for one caller. */
static const scope *repeated(const scope *before, const scope *now) {
    int a = depth_of(before), b = depth_of(now);
    bool meant = false;
    for (; a > b; a--)
        before = before->parent;
    for (; b > a; b--, now = now->parent)
        meant |= now->named == NAMED_SHARED;
    if (before == now)
        return NULL;
    for (; before->parent != now->parent; before = before->parent, now = now->parent)
        meant |= now->named == NAMED_SHARED;
    meant |= now->named == NAMED_SHARED;
    bool same = before->at.line == now->at.line && before->at.col == now->at.col;
    return same && !meant && !strcmp(before->path, now->path) ? now : NULL;
}

/* E422 where a loop would make its iterations share a state by accident. */
static bool tied_by_loop(frame *f, uint32_t state) {
    const elab *e = f->e;
    const scope *before = state < e->n_declared ? e->declared[state] : NULL;
    const scope *call = before && before != f->scope ? repeated(before, f->scope) : NULL;
    if (!call)
        return false;
    const char *path = call->path, *outer = call->parent->path;
    frame caller = *call->caller;
    if (*outer && !strncmp(path, outer, strlen(outer)))
        path += strlen(outer) + (path[strlen(outer)] == '.');
    if (!*path) {
        lvt_lang_fail(
            &caller, call->at, "E422",
            "all iterations of this loop would share their parameters; without `as _` each has its own, `as "
            "shared _` says that one is meant");
        return true;
    }
    const char *last = path; /* the last part that is a name, not an index */
    for (const char *p = path; *p; p++)
        if ((p == path || p[-1] == '.') && (*p < '0' || *p > '9'))
            last = p;
    int n = (int)strcspn(last, ".");
    lvt_lang_fail(&caller, call->at, "E422",
                  "all iterations of this loop would share the parameters of '%s'; `as %.*s[%s]` gives each "
                  "its own, `as "
                  "shared %.*s` says that one is meant",
                  path, n, last, caller.loop, n, last);
    return true;
}

/* Remembers who declared a state in this entry; false when another call did, by accident. */
static bool declared_once(frame *f, uint32_t state, spot at) {
    elab *e = f->e;
    while (e->n_declared <= state) {
        scope *nobody = NULL;
        if (!lvt_lang_grow(e, &e->declared, &e->n_declared, &nobody, sizeof nobody))
            return false;
    }
    if (e->declared[state]) {
        if (e->declared[state] != f->scope && sharing_meant(e->declared[state], f->scope))
            return true;
        lvt_lang_fail(
            f, at, "E413",
            "'%s' is declared twice in this entry; give the second call its own path with 'as NAME', "
            "or the same path to share it",
            e->m->states[state].name);
        return false;
    }
    e->declared[state] = f->scope;
    return true;
}

uint32_t lvt_lang_declare_state(frame *f, const char *path, const lvt_type *type, lvt_init init,
                                bool trainable, spot at) {
    elab *e = f->e;
    lvt_module *m = e->m;
    uint32_t state = lvt_module_find_state(m, path);
    if (state != LVT_NONE && tied_by_loop(f, state))
        return LVT_NONE;
    if (state == LVT_NONE) {
        state = lvt_module_add_state(m, path, type, init, trainable, lvt_lang_loc_of(f, at));
        if (state == LVT_NONE)
            return lvt_lang_out_of_memory(e), LVT_NONE;
    } else {
        const lvt_state *old = &m->states[state];
        char a[LVT_TYPE_TEXT], b[LVT_TYPE_TEXT];
        const char *problem = NULL;
        if (!lvt_type_equal(&old->type, type))
            problem = lvt_arena_printf(e->arena, "'%s' is %s here and %s elsewhere", path,
                                       lvt_type_text(type, a), lvt_type_text(&old->type, b));
        else if (old->trainable != trainable)
            problem =
                lvt_arena_printf(e->arena, "'%s' is a parameter in one place and a state in another", path);
        else if (!same_init(&old->init, &init))
            problem = lvt_arena_printf(e->arena, "'%s' has another initial value elsewhere", path);
        if (problem) {
            lvt_lang_fail(f, at, "E412", "%s", problem);
            note_state(f, state, "the first declaration");
            return LVT_NONE;
        }
    }
    return declared_once(f, state, at) ? state : LVT_NONE;
}

bool lvt_lang_declare(frame *f, const ast_stmt *s) {
    elab *e = f->e;
    spot at = SPOT(&s->names[0]);
    const char *name = s->names[0].text;
    bool trainable = s->kind == STMT_PARAM;
    value poisoned = {.kind = VALUE_POISON};
    lvt_type type;
    lvt_init init = {.kind = LVT_INIT_CONSTANT};
    bool ok = lvt_lang_eval_type(f, s->type, &type);
    value v = lvt_lang_eval(f, s->value);
    if (is_number(v)) {
        init.a = number_of(v);
    } else if (v.kind == VALUE_INIT) {
        init = v.init;
    } else {
        if (!is_poison(v))
            lvt_lang_fail(f, SPOT(s->value), "E411",
                          "an initial value is a number or an initialiser such as normal(0.02), not %s",
                          lvt_lang_value_describe(e, v));
        ok = false;
    }
    if (ok && trainable && !lvt_dtype_is_float((lvt_dtype)type.dtype)) {
        lvt_lang_fail(f, SPOT(s->type), "E411",
                      "a parameter is of a floating-point type; use state for others");
        ok = false;
    }
    if (!ok)
        return lvt_lang_env_add(f, f->env, name, poisoned, BIND_LOCAL, at);
    const char *path = lvt_lang_join_path(e, f->scope->path, name, f->suffix);
    uint32_t state = lvt_lang_declare_state(f, path, &type, init, trainable, at);
    if (state == LVT_NONE)
        return lvt_lang_env_add(f, f->env, name, poisoned, BIND_LOCAL, at);
    lvt_lang_build_begin(f, at);
    v = lvt_lang_build_end(f, lvt_build_state(&e->b, state), at);
    if (v.kind == VALUE_TENSOR)
        v.tensor.state = state;
    return lvt_lang_env_add(f, f->env, name, v, BIND_LOCAL, at);
}

bool lvt_lang_updated_once(frame *f, uint32_t state, spot at) {
    elab *e = f->e;
    const lvt_graph *g = e->b.graph;
    bool again = state < e->n_updated && e->updated[state];
    for (uint32_t i = 0; again && i < g->n_updates; i++)
        if (g->updates[i].state == state) {
            lvt_lang_fail(f, at, "E416", "'%s' is updated twice in this entry", e->m->states[state].name);
            if (!e->silenced)
                lvt_note(e->diag, lvt_module_pos(e->m, g->updates[i].loc), "the first update");
            return false;
        }
    return true;
}

bool lvt_lang_add_update(frame *f, uint32_t state, lvt_value v, spot at) {
    elab *e = f->e;
    for (bool no = false; e->n_updated <= state;)
        if (!lvt_lang_grow(e, &e->updated, &e->n_updated, &no, sizeof no))
            return false;
    e->updated[state] = true;
    return lvt_graph_add_update(e->b.graph, state, v, lvt_lang_loc_of(f, at)) ||
           (lvt_lang_out_of_memory(e), false);
}

bool lvt_lang_update(frame *f, const ast_stmt *s) {
    elab *e = f->e;
    value target = lvt_lang_eval(f, s->target), v = lvt_lang_eval(f, s->value);
    spot at = SPOT(s->target), from = SPOT(s->value);
    if (is_poison(target) || is_poison(v))
        return false;
    if (target.kind != VALUE_TENSOR || target.tensor.state == LVT_NONE) {
        lvt_lang_fail(f, at, "E415", "update takes a parameter or state, not %s",
                      lvt_lang_value_describe(e, target));
        return false;
    }
    const lvt_state *state = &e->m->states[target.tensor.state];
    if (!lvt_lang_updated_once(f, target.tensor.state, at))
        return false;
    if (is_number(v) || (v.kind == VALUE_BOOL && state->type.dtype == LVT_BOOL)) {
        lvt_lang_build_begin(f, from);
        v = lvt_lang_build_end(f, lvt_build_full(&e->b, &state->type, number_of(v)), from);
        if (is_poison(v))
            return false;
    }
    char a[LVT_TYPE_TEXT];
    if (v.kind != VALUE_TENSOR || !lvt_type_equal(lvt_lang_type_of(f, v), &state->type)) {
        lvt_lang_fail(f, from, "E417", "'%s' is %s, but its new value is %s", state->name,
                      lvt_type_text(&state->type, a), lvt_lang_value_describe(e, v));
        note_state(f, target.tensor.state, "it is declared here");
        return false;
    }
    return lvt_lang_add_update(f, target.tensor.state, v.tensor.v, SPOT(s));
}

static value state_value(frame *f, uint32_t state, spot at) {
    lvt_lang_build_begin(f, at);
    value v = lvt_lang_build_end(f, lvt_build_state(&f->e->b, state), at);
    if (v.kind == VALUE_TENSOR)
        v.tensor.state = state;
    return v;
}

static bool matches(const value *patterns, uint32_t n, const char *path) {
    for (uint32_t i = 0; i < n; i++)
        if (!fnmatch(patterns[i].s, path, 0))
            return true;
    return n == 0;
}

/* Every pattern must match something. */
static bool all_match(frame *f, const value *patterns, uint32_t n, bool trainable, spot at) {
    const lvt_module *m = f->e->m;
    for (uint32_t k = 0; k < n; k++) {
        bool any = false;
        for (uint32_t i = 0; i < m->n_states && !any; i++)
            any = m->states[i].trainable == trainable && matches(&patterns[k], 1, m->states[i].name);
        if (any)
            continue;
        if (f->e->errors || f->e->misread) /* what would match may be behind the mistake */
            return false;
        lvt_lang_fail(f, at, "E414", "no %s declared so far matches \"%s\"",
                      trainable ? "parameter" : "state", patterns[k].s);
        return false;
    }
    return true;
}

value lvt_lang_states_matching(frame *f, const value *patterns, uint32_t n, bool trainable, bool optional,
                               spot at) {
    elab *e = f->e;
    value *items = NULL;
    uint32_t count = 0;
    if (!e->b.graph)
        return lvt_lang_fail(f, at, "E303", "'%s' is known inside entries only",
                             trainable ? "params" : "states");
    if (!lvt_lang_spend(e, (uint64_t)(n + 1) * e->m->n_states))
        return (value){.kind = VALUE_POISON};
    if (!optional && !all_match(f, patterns, n, trainable, at))
        return (value){.kind = VALUE_POISON};
    for (uint32_t i = 0; i < e->m->n_states; i++)
        if (e->m->states[i].trainable == trainable && matches(patterns, n, e->m->states[i].name)) {
            value v = state_value(f, i, at);
            if (is_poison(v) || !lvt_lang_grow(e, &items, &count, &v, sizeof v))
                return (value){.kind = VALUE_POISON};
        }
    return (value){.kind = VALUE_LIST, .n = count, .items = items};
}

static bool is_loss(frame *f, value loss, spot at) {
    if (is_poison(loss))
        return false;
    if (loss.kind == VALUE_TENSOR && lvt_lang_type_of(f, loss)->rank == 0 &&
        lvt_dtype_is_float((lvt_dtype)lvt_lang_type_of(f, loss)->dtype))
        return true;
    lvt_lang_fail(f, at, "E418", "a loss is a scalar such as f32[], not %s",
                  lvt_lang_value_describe(f->e, loss));
    return false;
}

value lvt_lang_gradients(frame *f, value loss, value of, spot at) {
    elab *e = f->e;
    if (is_poison(of) || !is_loss(f, loss, at))
        return (value){.kind = VALUE_POISON};
    if (of.kind == VALUE_TENSOR)
        of = lvt_lang_value_list(e, VALUE_LIST, &of, 1);
    if (!is_list(of) || !of.n)
        return lvt_lang_fail(f, at, "E418", "'of' is a list of tensors, not %s",
                             lvt_lang_value_describe(e, of));
    lvt_value *operands = lvt_lang_room(e, (of.n + 1) * sizeof *operands);
    value *items = lvt_lang_room(e, of.n * sizeof *items);
    if (!operands || !items)
        return lvt_lang_out_of_memory(e);
    operands[0] = loss.tensor.v;
    for (uint32_t i = 0; i < of.n; i++) {
        if (of.items[i].kind != VALUE_TENSOR)
            return lvt_lang_fail(f, at, "E418", "'of' is a list of tensors, but item %u is %s", i,
                                 lvt_lang_value_describe(e, of.items[i]));
        operands[i + 1] = of.items[i].tensor.v;
    }
    lvt_lang_build_begin(f, at);
    lvt_value v = lvt_build(&e->b, LVT_OP_gradient, of.n + 1, operands, 0, NULL);
    if (is_poison(lvt_lang_build_end(f, v, at)))
        return (value){.kind = VALUE_POISON};
    for (uint32_t i = 0; i < of.n; i++)
        items[i] = lvt_lang_value_tensor(v + i, LVT_NONE);
    return (value){.kind = VALUE_LIST, .n = of.n, .items = items};
}

/* The trainable parameters that a value depends on and that match, in order of declaration, as a list. */
static value dependencies(frame *f, lvt_value loss, const value *patterns, uint32_t n, spot at) {
    elab *e = f->e;
    const lvt_graph *g = e->b.graph;
    bool *needed = lvt_lang_room(e, g->n_nodes), *used = lvt_lang_room(e, e->m->n_states);
    if (!needed || !used || !lvt_lang_spend(e, g->n_nodes + (uint64_t)(n + 1) * e->m->n_states))
        return lvt_lang_out_of_memory(e);
    needed[g->values[loss].node] = true;
    for (lvt_node_id i = g->values[loss].node + 1; i-- > 0;) { /* operands come earlier */
        const lvt_node *node = &g->nodes[i];
        if (!needed[i] || node->op == LVT_OP_stop_gradient)
            continue;
        if (node->op == LVT_OP_state)
            used[lvt_attr_get(node, "index")->i] = true;
        for (uint32_t k = 0; k < node->n_operands; k++)
            needed[g->values[node->operands[k]].node] = true;
    }
    value *items = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < e->m->n_states; i++)
        if (used[i] && e->m->states[i].trainable && matches(patterns, n, e->m->states[i].name)) {
            value v = state_value(f, i, at);
            if (is_poison(v) || !lvt_lang_grow(e, &items, &count, &v, sizeof v))
                return (value){.kind = VALUE_POISON};
        }
    return (value){.kind = VALUE_LIST, .n = count, .items = items};
}

/* min(1, clip / norm) over all gradients; clip 0 or less means no clipping. */
static value clip_factor(frame *f, value grads, value clip, spot at) {
    value sum = lvt_lang_value_float(0);
    for (uint32_t i = 0; i < grads.n; i++) {
        value square = lvt_lang_build_op(f, LVT_OP_square, &grads.items[i], 1, NULL, 0, at);
        value one = lvt_lang_build_op(f, LVT_OP_reduce_sum, &square, 1, NULL, 0, at);
        sum = i ? lvt_lang_value_binary(f, AST_ADD, sum, one, at) : one;
    }
    value norm = lvt_lang_build_op(f, LVT_OP_sqrt, &sum, 1, NULL, 0, at);
    value tiny = lvt_lang_tensor_binary(f, LVT_OP_max, norm, lvt_lang_value_float(1e-12), at);
    value ratio = lvt_lang_value_binary(f, AST_DIV, clip, tiny, at);
    value factor = lvt_lang_tensor_binary(f, LVT_OP_min, ratio, lvt_lang_value_float(1), at);
    if (is_poison(factor) || clip.kind != VALUE_TENSOR)
        return factor;
    value three[3] = {lvt_lang_tensor_binary(f, LVT_OP_gt, clip, lvt_lang_value_float(0), at), factor,
                      lvt_lang_value_float(1)};
    return is_poison(three[0]) ? three[0] : lvt_lang_build_op(f, LVT_OP_select, three, 3, NULL, 0, at);
}

bool lvt_lang_minimize(frame *f, const ast_stmt *s) {
    elab *e = f->e;
    spot at = SPOT(s), call_at = SPOT(s->target);
    value loss = lvt_lang_eval(f, s->value), clip = {.kind = VALUE_NONE}, over = {.kind = VALUE_LIST};
    for (uint32_t i = 0; i < s->n_args; i++)
        *(s->args[i].name[0] == 'c' ? &clip : &over) = lvt_lang_eval(f, s->args[i].value);
    const ast_expr *callee = s->target->a;
    value optimiser = lvt_lang_eval(f, callee);
    argument *args;
    bool ok = lvt_lang_eval_args(f, s->target->args, s->target->n_args, &args);
    if (!is_loss(f, loss, SPOT(s->value)) || is_poison(clip) || is_poison(over) || is_poison(optimiser) ||
        !ok)
        return false;
    if (optimiser.kind != VALUE_BLOCK)
        return lvt_lang_fail(f, SPOT(callee), "E304", "an optimiser is a block, not %s",
                             lvt_lang_value_describe(e, optimiser)),
               false;
    if (over.kind == VALUE_STRING)
        over = lvt_lang_value_list(e, VALUE_LIST, &over, 1);
    for (uint32_t i = 0; is_list(over) && i < over.n; i++)
        if (over.items[i].kind != VALUE_STRING)
            over.kind = VALUE_NONE;
    if (!is_list(over))
        return lvt_lang_fail(f, at, "E418", "'over' is a list of patterns in quotes"), false;
    if (!all_match(f, over.items, over.n, true, at))
        return false;
    lvt_role role = e->b.role;
    value ps = dependencies(f, loss.tensor.v, over.items, over.n, at);
    if (is_poison(ps))
        return false;
    if (!ps.n)
        return lvt_lang_fail(f, SPOT(s->value), "E419", "the loss depends on no parameter"), false;
    value gs = lvt_lang_gradients(f, loss, ps, at);
    if (is_poison(gs))
        return false;
    e->b.role = LVT_UPDATE;
    if (clip.kind == VALUE_TENSOR || (is_number(clip) && number_of(clip) > 0)) {
        value factor = clip_factor(f, gs, clip, at);
        for (uint32_t i = 0; i < gs.n; i++)
            gs.items[i] = lvt_lang_value_binary(f, AST_MUL, gs.items[i], factor, at);
    } else if (!is_number(clip) && clip.kind != VALUE_NONE) {
        lvt_lang_fail(f, at, "E418", "'clip' is a number or a scalar, not %s",
                      lvt_lang_value_describe(e, clip));
    }
    uint32_t n = s->target->n_args + 2;
    argument *all = lvt_lang_room(e, n * sizeof *all);
    for (uint32_t i = 0; all && i < ps.n; i++) {
        all[0] = (argument){.v = ps.items[i], .at = call_at};
        all[1] = (argument){.v = gs.items[i], .at = call_at};
        for (uint32_t k = 2; k < n; k++)
            all[k] = args[k - 2];
        lvt_lang_call_block(f, optimiser.block, all, n, e->m->states[ps.items[i].tensor.state].name,
                            NAMED_SHARED, call_at);
    }
    e->b.role = role;
    return true;
}
