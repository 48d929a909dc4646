/* The reader of the text form, see "Text" in README.md.
 *
 * Invariant: any bytes are legal input; the first mistake ends the reading with one error; memory and time
 * grow with the length of the text only, recursion is bounded by MAX_DEPTH. Numbers of values may have gaps
 * but must rise, so that a dump can be edited by deleting lines. What the text means is checked by the
 * verifier, afterwards. May not know: plans. */
#include "reader.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 8, MAX_SOURCES = 4096 };

typedef struct named { /* a state, for finding it by bisection */
    const char *name;
    uint32_t index;
} named;

/* A reference to a value by its number in the text. */
typedef struct reference {
    int64_t number;
    lvt_token at;
} reference;

typedef struct mark { /* the origin of a node: may be defined further down */
    lvt_node_id node;
    reference origin;
} mark;

/* What is known of a graph while its lines are read. */
typedef struct scope {
    lvt_graph *g;
    const named *states;
    int64_t *numbers; /* of every value, rising */
    mark *marks;
    size_t n_numbers, cap_numbers, n_marks, cap_marks;
    uint32_t n_input_nodes;
} scope;

/* ---- values -------------------------------------------------------------------------------------------- */

static bool take_reference(lvt_reader *r, reference *out) {
    if (r->t.kind != LVT_TOK_VALUE)
        return lvt_read_unexpected(r, "a value");
    *out = (reference){r->t.i, r->t};
    return lvt_read_advance(r);
}

/* The value with that number, by bisection since numbers rise. */
static bool resolve(lvt_reader *r, const scope *s, const reference *ref, lvt_value *out) {
    size_t low = 0, high = s->n_numbers;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->numbers[middle] < ref->number)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == s->n_numbers || s->numbers[low] != ref->number)
        return LVT_READ_FAIL(r, &ref->at, "E156", "%%%lld is not defined before it is used",
                             (long long)ref->number);
    *out = (lvt_value)low;
    return true;
}

static bool take_value(lvt_reader *r, const scope *s, lvt_value *out) {
    reference ref;
    return take_reference(r, &ref) && resolve(r, s, &ref, out);
}

/* "%4, %5 =": enters the numbers, which become the values' once the node is appended. */
static bool take_results(lvt_reader *r, scope *s, lvt_node *node) {
    bool more = true;
    while (more) {
        if (r->t.kind != LVT_TOK_VALUE)
            return lvt_read_unexpected(r, "a value");
        if (s->n_numbers && r->t.i <= s->numbers[s->n_numbers - 1])
            return LVT_READ_FAIL(r, &r->t, "E156", "numbers of values must rise: %%%lld comes after %%%lld",
                                 (long long)r->t.i, (long long)s->numbers[s->n_numbers - 1]);
        if (node->n_results == UINT16_MAX || s->n_numbers >= LVT_NONE - 1)
            return LVT_READ_FAIL(r, &r->t, "E156", "too many results");
        int64_t *grown = lvt_arena_grow(r->scratch, s->numbers, s->n_numbers, s->n_numbers + 1,
                                        &s->cap_numbers, sizeof *grown);
        if (!grown)
            return lvt_read_no_memory(r);
        s->numbers = grown;
        s->numbers[s->n_numbers++] = r->t.i;
        node->n_results++;
        if (!lvt_read_advance(r) || !lvt_read_accept(r, ',', &more))
            return false;
    }
    return lvt_read_expect(r, '=');
}

static bool take_op(lvt_reader *r, lvt_node *node) {
    if (r->t.kind != LVT_TOK_NAME)
        return lvt_read_unexpected(r, "an operation");
    lvt_op op = lvt_op_find(r->t.text, r->t.length);
    if (op < LVT_N_OPS) {
        node->op = (uint16_t)op;
        return lvt_read_advance(r);
    }
    const char *names[LVT_N_OPS], *word = lvt_arena_strndup(r->scratch, r->t.text, r->t.length);
    if (!word)
        return lvt_read_no_memory(r);
    for (int i = 0; i < LVT_N_OPS; i++)
        names[i] = lvt_op_table[i]->name;
    const char *near = lvt_nearest(word, names, LVT_N_OPS);
    return LVT_READ_FAIL(r, &r->t, "E154", "no operation '%.40s'%s%s%s", word, near ? "; did you mean '" : "",
                         near ? near : "", near ? "'?" : "");
}

/* Optional "(%1, %2)". */
static bool take_operands(lvt_reader *r, const scope *s, uint32_t first_result, lvt_node *node) {
    bool more;
    size_t capacity = 0;
    scope before = *s;
    before.n_numbers = first_result; /* a node does not see its own results */
    if (!lvt_read_accept(r, '(', &more))
        return false;
    bool open = more;
    while (more) {
        if (node->n_operands == UINT16_MAX)
            return LVT_READ_FAIL(r, &r->t, "E156", "too many operands");
        lvt_value *grown = lvt_arena_grow(r->scratch, node->operands, node->n_operands,
                                          (size_t)node->n_operands + 1, &capacity, sizeof *grown);
        if (!grown)
            return lvt_read_no_memory(r);
        node->operands = grown;
        if (!take_value(r, &before, &node->operands[node->n_operands]))
            return false;
        node->n_operands++;
        if (!lvt_read_accept(r, ',', &more))
            return false;
    }
    return !open || lvt_read_expect(r, ')');
}

static bool take_role(lvt_reader *r, scope *s, lvt_node *node, mark *m) {
    *m = (mark){.node = LVT_NONE};
    for (int role = LVT_GRADIENT; role < LVT_N_ROLES; role++) {
        bool found, origin;
        if (!lvt_read_accept_word(r, lvt_role_name((lvt_role)role), &found))
            return false;
        if (!found)
            continue;
        node->role = (uint8_t)role;
        if (!lvt_read_accept(r, '(', &origin))
            return false;
        if (origin) {
            m->node = s->g->n_nodes;
            return take_reference(r, &m->origin) && lvt_read_expect(r, ')');
        }
        return true;
    }
    return true;
}

/* Optional `"y", _, "deviation"` after a node. */
static bool take_names(lvt_reader *r, const lvt_node *node, const char **names) {
    bool more = !r->t.first && (r->t.kind == LVT_TOK_STRING || lvt_token_is(&r->t, "_"));
    for (uint32_t k = 0; more; k++) {
        if (k == node->n_results)
            return LVT_READ_FAIL(r, &r->t, "E156", "more names than results");
        if (lvt_token_is(&r->t, "_")) {
            if (!lvt_read_advance(r))
                return false;
        } else if (!lvt_read_text(r, LVT_TOK_STRING, "a name in quotes or _", &names[k])) {
            return false;
        }
        if (!lvt_read_accept(r, ',', &more))
            return false;
    }
    return true;
}

/* ---- graphs -------------------------------------------------------------------------------------------- */

static bool read_graph(lvt_reader *r, lvt_graph *g, const named *states, int depth);

static bool read_body(lvt_reader *r, const scope *s, lvt_node *node, int depth) {
    bool found;
    lvt_token brace = r->t;
    if (!lvt_read_accept(r, '{', &found) || !found)
        return r->status == LVT_OK;
    if (node->op != LVT_OP_fused)
        return LVT_READ_FAIL(r, &brace, "E157", "only fused has a body");
    if (depth == MAX_DEPTH)
        return LVT_READ_FAIL(r, &brace, "E157", "bodies are nested more than %d deep", MAX_DEPTH);
    node->body = lvt_graph_new(r->m, NULL, node->loc, s->g->training);
    return node->body ? read_graph(r, node->body, s->states, depth + 1) : lvt_read_no_memory(r);
}

static bool read_node(lvt_reader *r, scope *s, int depth) {
    lvt_node node = {.origin = LVT_NONE};
    uint32_t first = (uint32_t)s->n_numbers;
    if (!take_results(r, s, &node))
        return false;
    lvt_token op = r->t;
    lvt_type *types = lvt_arena_alloc(r->scratch, node.n_results * sizeof *types);
    const char **names = lvt_arena_alloc(r->scratch, node.n_results * sizeof *names);
    if (!types || !names)
        return lvt_read_no_memory(r);
    if (!take_op(r, &node) || !take_operands(r, s, first, &node) || !lvt_read_attrs(r, &op, &node) ||
        !lvt_read_expect(r, ':'))
        return false;
    for (uint32_t k = 0; k < node.n_results; k++)
        if ((k && !lvt_read_expect(r, ',')) || !lvt_read_type(r, &types[k]))
            return false;
    mark origin;
    if (!lvt_read_loc(r, &node.loc) || !take_role(r, s, &node, &origin) || !take_names(r, &node, names) ||
        !read_body(r, s, &node, depth))
        return false;
    if (origin.node != LVT_NONE) {
        mark *grown =
            lvt_arena_grow(r->scratch, s->marks, s->n_marks, s->n_marks + 1, &s->cap_marks, sizeof *grown);
        if (!grown)
            return lvt_read_no_memory(r);
        s->marks = grown;
        s->marks[s->n_marks++] = origin;
    }
    s->n_input_nodes += node.op == LVT_OP_input;
    lvt_node_id id = lvt_graph_append(s->g, &node, types);
    if (id == LVT_NONE)
        return lvt_read_no_memory(r);
    for (uint32_t k = 0; k < node.n_results; k++)
        s->g->values[s->g->nodes[id].result + k].name = names[k];
    return true;
}

/* Makes the list of inputs from the `input` nodes: as many as there are nodes, each index once. Lines that
 * follow the nodes add names and defaults. */
static bool enter_inputs(lvt_reader *r, scope *s, const lvt_token *at) {
    lvt_graph *g = s->g;
    lvt_input *inputs = lvt_arena_alloc(r->m->arena, s->n_input_nodes * sizeof *inputs);
    if (!inputs)
        return lvt_read_no_memory(r);
    for (uint32_t i = 0; i < s->n_input_nodes; i++)
        inputs[i].value = LVT_NONE;
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        if (g->nodes[i].op != LVT_OP_input)
            continue;
        int64_t index = lvt_attr_get(&g->nodes[i], "index")->i;
        if (index < 0 || index >= s->n_input_nodes || inputs[index].value != LVT_NONE)
            return LVT_READ_FAIL(r, at, "E158",
                                 "the %u input nodes of this graph must have each index from 0 to %u once",
                                 s->n_input_nodes, s->n_input_nodes - 1);
        inputs[index].value = g->nodes[i].result;
    }
    g->inputs = inputs;
    g->n_inputs = s->n_input_nodes;
    g->cap_inputs = s->n_input_nodes;
    return true;
}

/* Optional `"name" =` before a value. */
static bool take_name(lvt_reader *r, const char **name) {
    *name = NULL;
    return r->t.kind != LVT_TOK_STRING ||
           (lvt_read_text(r, LVT_TOK_STRING, "a name", name) && lvt_read_expect(r, '='));
}

static bool read_input(lvt_reader *r, scope *s) {
    lvt_input in = {0};
    lvt_token at;
    bool has_default;
    if (!lvt_read_advance(r) || !take_name(r, &in.name))
        return false;
    at = r->t;
    if (!take_value(r, s, &in.value) || !lvt_read_accept_word(r, "default", &has_default) ||
        (has_default && !lvt_read_double(r, &in.default_value)) || !lvt_read_loc(r, &in.loc))
        return false;
    in.has_default = has_default;
    const lvt_node *node = lvt_value_node(s->g, in.value);
    if (node->op != LVT_OP_input)
        return LVT_READ_FAIL(r, &at, "E158", "this value is not the result of an input node");
    s->g->inputs[lvt_attr_get(node, "index")->i] = in;
    return true;
}

static int compare_paths(const char *a, size_t n, const char *b) {
    int order = strncmp(a, b, n);
    return order ? order : -(b[n] != '\0');
}

static bool read_update(lvt_reader *r, scope *s) {
    lvt_value value;
    lvt_loc loc;
    if (!lvt_read_advance(r))
        return false;
    if (r->t.kind != LVT_TOK_PATH)
        return lvt_read_unexpected(r, "the @path of a state");
    uint32_t low = 0, high = r->m->n_states;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_paths(r->t.text, r->t.length, s->states[middle].name) > 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == r->m->n_states || compare_paths(r->t.text, r->t.length, s->states[low].name) != 0)
        return LVT_READ_FAIL(r, &r->t, "E158", "no state @%.*s", (int)(r->t.length > 80 ? 80 : r->t.length),
                             r->t.text);
    if (!lvt_read_advance(r) || !lvt_read_expect(r, '=') || !take_value(r, s, &value) ||
        !lvt_read_loc(r, &loc))
        return false;
    return lvt_graph_add_update(s->g, s->states[low].index, value, loc) || lvt_read_no_memory(r);
}

static bool read_return(lvt_reader *r, scope *s) {
    const char *name;
    lvt_value value;
    lvt_loc loc;
    if (!lvt_read_advance(r) || !take_name(r, &name) || !take_value(r, s, &value) || !lvt_read_loc(r, &loc))
        return false;
    return lvt_graph_add_output(s->g, name, value, loc) || lvt_read_no_memory(r);
}

static bool resolve_origins(lvt_reader *r, scope *s) {
    for (size_t i = 0; i < s->n_marks; i++) {
        lvt_value value;
        if (!resolve(r, s, &s->marks[i].origin, &value))
            return false;
        s->g->nodes[s->marks[i].node].origin = s->g->values[value].node;
    }
    return true;
}

/* A line behind the nodes. */
static bool read_end(lvt_reader *r, scope *s) {
    if (lvt_token_is(&r->t, "input"))
        return read_input(r, s);
    if (lvt_token_is(&r->t, "update"))
        return read_update(r, s);
    if (lvt_token_is(&r->t, "return"))
        return read_return(r, s);
    return lvt_read_unexpected(r, "a node, input, update, return or '}'");
}

/* The lines of a graph and the closing brace: nodes, then inputs, updates and returns. */
static bool read_graph(lvt_reader *r, lvt_graph *g, const named *states, int depth) {
    scope s = {.g = g, .states = states};
    while (r->t.kind == LVT_TOK_VALUE)
        if (!read_node(r, &s, depth))
            return false;
    if (!enter_inputs(r, &s, &r->t))
        return false;
    while (!lvt_read_is_punct(r, '}')) {
        if (!read_end(r, &s))
            return false;
    }
    return resolve_origins(r, &s) && lvt_read_advance(r);
}

/* ---- modules ------------------------------------------------------------------------------------------- */

static bool read_setting(lvt_reader *r) {
    const char *name, *value;
    if (!lvt_read_text(r, LVT_TOK_STRING, "the name of a setting in quotes", &name) ||
        !lvt_read_expect(r, '=') || !lvt_read_text(r, LVT_TOK_STRING, "its value in quotes", &value))
        return false;
    return lvt_module_add_setting(r->m, name, value) || lvt_read_no_memory(r);
}

static bool read_source(lvt_reader *r) {
    lvt_token at = r->t;
    const char *name;
    uint32_t before = r->m->n_sources;
    if (!lvt_read_text(r, LVT_TOK_STRING, "the name of a source in quotes", &name))
        return false;
    if (before == MAX_SOURCES)
        return LVT_READ_FAIL(r, &at, "E158", "more than %d sources", MAX_SOURCES);
    uint32_t index = lvt_module_source(r->m, name, NULL, 0);
    if (index == UINT32_MAX)
        return lvt_read_no_memory(r);
    return index == before || LVT_READ_FAIL(r, &at, "E158", "this source is listed twice");
}

/* A number, or normal(mean, deviation) and its like. */
static bool take_init(lvt_reader *r, lvt_init *out) {
    static const char *const words[] = {[LVT_INIT_NORMAL] = "normal",
                                        [LVT_INIT_TRUNCATED_NORMAL] = "truncated_normal",
                                        [LVT_INIT_UNIFORM] = "uniform",
                                        [LVT_INIT_FILE] = "file"};
    *out = (lvt_init){.kind = LVT_INIT_CONSTANT};
    for (int kind = LVT_INIT_NORMAL; kind <= LVT_INIT_FILE; kind++) {
        if (!lvt_token_is(&r->t, words[kind]))
            continue;
        out->kind = (uint8_t)kind;
        return lvt_read_advance(r) && lvt_read_expect(r, '(') && lvt_read_double(r, &out->a) &&
               lvt_read_expect(r, ',') && lvt_read_double(r, &out->b) && lvt_read_expect(r, ')');
    }
    return lvt_read_double(r, &out->a);
}

static bool read_state(lvt_reader *r) {
    const char *name;
    lvt_type type;
    lvt_init init;
    lvt_loc loc;
    bool trainable;
    if (!lvt_read_text(r, LVT_TOK_PATH, "the @path of a state", &name) || !lvt_read_expect(r, ':') ||
        !lvt_read_type(r, &type) || !lvt_read_expect(r, '=') || !take_init(r, &init) ||
        !lvt_read_accept_word(r, "param", &trainable) || !lvt_read_loc(r, &loc))
        return false;
    return lvt_module_add_state(r->m, name, &type, init, trainable, loc) != LVT_NONE || lvt_read_no_memory(r);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const named *)a)->name, ((const named *)b)->name);
}

static bool sort_states(lvt_reader *r, named **out) {
    uint32_t n = r->m->n_states;
    *out = lvt_arena_alloc(r->scratch, n * sizeof **out + 1);
    if (!*out)
        return lvt_read_no_memory(r);
    for (uint32_t i = 0; i < n; i++)
        (*out)[i] = (named){r->m->states[i].name, i};
    qsort(*out, n, sizeof **out, by_name);
    return true;
}

static bool read_entry(lvt_reader *r, const named *states) {
    const char *name;
    bool training;
    lvt_loc loc;
    if (!lvt_read_text(r, LVT_TOK_PATH, "the @name of an entry", &name) ||
        !lvt_read_accept_word(r, "training", &training) || !lvt_read_loc(r, &loc) || !lvt_read_expect(r, '{'))
        return false;
    lvt_graph *g = lvt_module_add_entry(r->m, name, loc, training);
    return g ? read_graph(r, g, states, 0) : lvt_read_no_memory(r);
}

static bool read_module(lvt_reader *r) {
    named *states = NULL;
    if (!lvt_read_advance(r))
        return false;
    if (!lvt_token_is(&r->t, "module"))
        return lvt_read_unexpected(r, "'module'");
    if (!lvt_read_advance(r) || !lvt_read_text(r, LVT_TOK_STRING, "the module's name in quotes", &r->m->name))
        return false;
    while (r->t.kind != LVT_TOK_END) {
        lvt_token word = r->t;
        if (!lvt_read_advance(r))
            return false;
        bool ok;
        if (lvt_token_is(&word, "entry"))
            ok = (states || sort_states(r, &states)) && read_entry(r, states);
        else if (states)
            ok = LVT_READ_FAIL(r, &word, "E151", "after the first entry there can only be entries");
        else if (lvt_token_is(&word, "setting"))
            ok = read_setting(r);
        else if (lvt_token_is(&word, "source"))
            ok = read_source(r);
        else if (lvt_token_is(&word, "state"))
            ok = read_state(r);
        else
            ok = LVT_READ_FAIL(r, &word, "E151", "expected setting, source, state or entry");
        if (!ok)
            return false;
    }
    return true;
}

lvt_status lvt_read_module(const char *file, const char *text, size_t length, lvt_module **out,
                           lvt_diag *diag) {
    *out = NULL;
    if (length > INT32_MAX)
        return lvt_error(diag, LVT_USER, "E150", (lvt_pos){file, 0, 0}, "more than 2 GB of text");
    lvt_diag_source(diag, file, text, length);
    lvt_reader r = {.m = lvt_module_new(""), .scratch = lvt_arena_new(), .diag = diag};
    if (!r.m || !r.scratch) {
        lvt_read_no_memory(&r);
    } else {
        lvt_lex_init(&r.lexer, LVT_LEX_IR, file, text, length, r.scratch, diag);
        if (read_module(&r))
            r.status = lvt_verify_module(r.m, diag);
    }
    lvt_arena_free(r.scratch);
    if (r.status == LVT_OK)
        *out = r.m;
    else
        lvt_module_free(r.m);
    return r.status;
}
