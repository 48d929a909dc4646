/* The reader's vocabulary: tokens, types, places, attributes. See reader.h. May not know: graphs. */
#include "reader.h"

#include <math.h>
#include <string.h>

/* ---- tokens -------------------------------------------------------------------------------------------- */

bool lvt_read_no_memory(lvt_reader *r) {
    if (r->status == LVT_OK)
        r->status = r->m ? lvt_module_no_memory(r->m, 0, "reading the module", r->diag)
                         : lvt_no_memory(r->diag, NULL);
    return false;
}

bool lvt_read_advance(lvt_reader *r) {
    if (lvt_lex_next(&r->lexer, &r->t) != LVT_OK)
        return lvt_read_no_memory(r);
    if (r->t.kind == LVT_TOK_ERROR && r->status == LVT_OK)
        r->status = LVT_USER; /* the lexer has said why */
    return r->status == LVT_OK;
}

bool lvt_read_unexpected(lvt_reader *r, const char *wanted) {
    char text[LVT_TOKEN_TEXT];
    return LVT_READ_FAIL(r, &r->t, "E151", "expected %s, found %s", wanted, lvt_token_text(&r->t, text));
}

bool lvt_read_is_punct(const lvt_reader *r, int punct) {
    return r->t.kind == LVT_TOK_PUNCT && r->t.punct == punct;
}

bool lvt_read_expect(lvt_reader *r, int punct) {
    char wanted[] = {'\'', (char)punct, '\'', '\0'};
    return lvt_read_is_punct(r, punct) ? lvt_read_advance(r) : lvt_read_unexpected(r, wanted);
}

/* Consumes the punctuation if it is there; *found says whether. */
bool lvt_read_accept(lvt_reader *r, int punct, bool *found) {
    *found = lvt_read_is_punct(r, punct);
    return !*found || lvt_read_advance(r);
}

/* The same for a word, which must not start a line: there it would be another statement. */
bool lvt_read_accept_word(lvt_reader *r, const char *word, bool *found) {
    *found = !r->t.first && lvt_token_is(&r->t, word);
    return !*found || lvt_read_advance(r);
}

/* A copy of the token's text in the module; kind says which token must be there. */
bool lvt_read_text(lvt_reader *r, lvt_token_kind kind, const char *wanted, const char **out) {
    if (r->t.kind != kind)
        return lvt_read_unexpected(r, wanted);
    *out = lvt_arena_strndup(r->m->arena, r->t.text, r->t.length);
    return *out ? lvt_read_advance(r) : lvt_read_no_memory(r);
}

static bool take_integer(lvt_reader *r, int64_t *out) {
    bool minus;
    if (!lvt_read_accept(r, '-', &minus))
        return false;
    if (r->t.kind != LVT_TOK_INT)
        return lvt_read_unexpected(r, "a whole number");
    *out = r->t.i;
    if (*out == INT64_MIN && !minus)
        return LVT_READ_FAIL(r, &r->t, "E102", "this integer does not fit in 64 bits");
    if (minus && *out != INT64_MIN)
        *out = -*out;
    return lvt_read_advance(r);
}

bool lvt_read_double(lvt_reader *r, double *out) {
    bool minus;
    if (!lvt_read_accept(r, '-', &minus))
        return false;
    if (r->t.kind == LVT_TOK_INT || r->t.kind == LVT_TOK_FLOAT)
        *out = r->t.f;
    else if (lvt_token_is(&r->t, "inf"))
        *out = (double)INFINITY;
    else if (lvt_token_is(&r->t, "nan"))
        *out = (double)NAN;
    else
        return lvt_read_unexpected(r, "a number");
    if (minus)
        *out = -*out;
    return lvt_read_advance(r);
}

/* A number from 0 to `limit`. */
static bool take_index(lvt_reader *r, uint32_t limit, const char *what, uint32_t *out) {
    if (r->t.kind != LVT_TOK_INT)
        return lvt_read_unexpected(r, what);
    if (r->t.i < 0 || r->t.i > limit)
        return LVT_READ_FAIL(r, &r->t, "E152", "%s is at most %u", what, limit);
    *out = (uint32_t)r->t.i;
    return lvt_read_advance(r);
}

bool lvt_read_type(lvt_reader *r, lvt_type *out) {
    lvt_dtype dtype;
    if (r->t.kind != LVT_TOK_NAME)
        return lvt_read_unexpected(r, "a type");
    if (!lvt_dtype_parse(r->t.text, r->t.length, &dtype))
        return LVT_READ_FAIL(r, &r->t, "E153",
                             "no element type '%.*s'; there are f32, bf16, f64, i32, u8 and bool",
                             (int)(r->t.length > 40 ? 40 : r->t.length), r->t.text);
    lvt_token start = r->t;
    *out = (lvt_type){.dtype = (uint8_t)dtype};
    bool more = false;
    if (!lvt_read_advance(r) || !lvt_read_expect(r, '['))
        return false;
    int64_t elements = 1;
    while (more || !lvt_read_is_punct(r, ']')) {
        if (r->t.kind != LVT_TOK_INT)
            return lvt_read_unexpected(r, "a dimension");
        if (out->rank == LVT_MAX_RANK)
            return LVT_READ_FAIL(r, &r->t, "E153", "a tensor has at most %d dimensions", LVT_MAX_RANK);
        if (r->t.i < 1 || r->t.i > LVT_MAX_DIM)
            return LVT_READ_FAIL(r, &r->t, "E153", "a dimension is 1 to 2147483648");
        if (elements > LVT_MAX_DIM / r->t.i)
            return LVT_READ_FAIL(r, &start, "E153", "this type has more than 2147483648 elements");
        elements *= r->t.i;
        out->dim[out->rank++] = r->t.i;
        if (!lvt_read_advance(r) || !lvt_read_accept(r, ',', &more))
            return false;
        if (!more && !lvt_read_is_punct(r, ']'))
            return lvt_read_unexpected(r, "',' or ']'");
    }
    return lvt_read_expect(r, ']');
}

/* An optional "loc(file:line:col < caller ...)"; the callers are entered first. */
bool lvt_read_loc(lvt_reader *r, lvt_loc *out) {
    bool found, more = true;
    *out = 0;
    if (!lvt_read_accept_word(r, "loc", &found) || !found)
        return r->status == LVT_OK;
    lvt_loc_info chain[LVT_READ_MAX_LOC_DEPTH];
    size_t n = 0;
    if (!lvt_read_expect(r, '('))
        return false;
    while (more) {
        lvt_loc_info *l = &chain[n];
        if (n == LVT_READ_MAX_LOC_DEPTH)
            return LVT_READ_FAIL(r, &r->t, "E152", "more than %d places in one chain",
                                 LVT_READ_MAX_LOC_DEPTH);
        if (r->t.kind == LVT_TOK_INT && r->t.i >= r->m->n_sources)
            return LVT_READ_FAIL(r, &r->t, "E152", "no source has number %lld, there are %u",
                                 (long long)r->t.i, r->m->n_sources);
        if (!take_index(r, UINT32_MAX, "the number of a source", &l->file) || !lvt_read_expect(r, ':') ||
            !take_index(r, UINT32_MAX, "a line", &l->line) || !lvt_read_expect(r, ':') ||
            !take_index(r, UINT32_MAX, "a column", &l->col) || !lvt_read_accept(r, '<', &more))
            return false;
        n++;
    }
    if (!lvt_read_expect(r, ')'))
        return false;
    while (n--) {
        *out = lvt_module_loc(r->m, chain[n].file, chain[n].line, chain[n].col, *out);
        if (!*out)
            return lvt_read_no_memory(r);
    }
    return true;
}

/* ---- attributes ---------------------------------------------------------------------------------------- */

static bool take_list(lvt_reader *r, lvt_attr *out) {
    size_t capacity = 0, n = 0;
    void *items = NULL;
    bool more = false;
    if (!lvt_read_expect(r, '['))
        return false;
    while (more || !lvt_read_is_punct(r, ']')) {
        /* both kinds of element are 8 bytes */
        void *grown = lvt_arena_grow(r->scratch, items, n, n + 1, &capacity, sizeof(int64_t));
        if (!grown)
            return lvt_read_no_memory(r);
        items = grown;
        if (!(out->kind == LVT_ATTR_INTS ? take_integer(r, (int64_t *)items + n)
                                         : lvt_read_double(r, (double *)items + n)))
            return false;
        n++;
        if (!lvt_read_accept(r, ',', &more))
            return false;
        if (!more && !lvt_read_is_punct(r, ']'))
            return lvt_read_unexpected(r, "',' or ']'");
    }
    out->n = (uint32_t)n;
    if (out->kind == LVT_ATTR_INTS)
        out->ints = items;
    else
        out->floats = items;
    return lvt_read_expect(r, ']');
}

static bool take_attr_value(lvt_reader *r, lvt_attr *out) {
    switch ((lvt_attr_kind)out->kind) {
    case LVT_ATTR_INT:
        return take_integer(r, &out->i);
    case LVT_ATTR_FLOAT:
        return lvt_read_double(r, &out->f);
    case LVT_ATTR_STRING:
        return lvt_read_text(r, LVT_TOK_STRING, "a string", &out->s);
    case LVT_ATTR_BOOL:
        if (!lvt_token_is(&r->t, "true") && !lvt_token_is(&r->t, "false"))
            return lvt_read_unexpected(r, "true or false");
        out->i = lvt_token_is(&r->t, "true");
        return lvt_read_advance(r);
    case LVT_ATTR_DTYPE: {
        lvt_dtype dtype;
        if (r->t.kind != LVT_TOK_NAME || !lvt_dtype_parse(r->t.text, r->t.length, &dtype))
            return lvt_read_unexpected(r, "an element type");
        out->i = dtype;
        return lvt_read_advance(r);
    }
    case LVT_ATTR_INTS:
    case LVT_ATTR_FLOATS:
        return take_list(r, out);
    }
    return false;
}

static bool unknown_attr(lvt_reader *r, const lvt_op_def *def) {
    const char *names[64];
    int n = def->n_attrs < 64 ? def->n_attrs : 64;
    for (int i = 0; i < n; i++)
        names[i] = def->attrs[i].name;
    const char *word = lvt_arena_strndup(r->scratch, r->t.text, r->t.length);
    if (!word)
        return lvt_read_no_memory(r);
    const char *near = lvt_nearest(word, names, (size_t)n);
    return LVT_READ_FAIL(r, &r->t, "E155", "%s has no attribute '%.40s'%s%s%s", def->name, word,
                         near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* Optional "{name = value, ...}"; what is not named gets its default. */
bool lvt_read_attrs(lvt_reader *r, const lvt_token *op, lvt_node *node) {
    const lvt_op_def *def = lvt_op_of(node);
    bool more, *seen = lvt_arena_alloc(r->scratch, (size_t)def->n_attrs * sizeof *seen + 1);
    node->attrs = lvt_arena_alloc(r->scratch, (size_t)def->n_attrs * sizeof *node->attrs + 1);
    if (!seen || !node->attrs)
        return lvt_read_no_memory(r);
    for (int i = 0; i < def->n_attrs; i++)
        node->attrs[i] = lvt_attr_default(&def->attrs[i]);
    if (!lvt_read_accept(r, '{', &more))
        return false;
    bool open = more;
    while (more) {
        int i = 0;
        if (r->t.kind != LVT_TOK_NAME)
            return lvt_read_unexpected(r, "the name of an attribute");
        while (i < def->n_attrs && !lvt_token_is(&r->t, def->attrs[i].name))
            i++;
        if (i == def->n_attrs)
            return unknown_attr(r, def);
        if (seen[i])
            return LVT_READ_FAIL(r, &r->t, "E155", "attribute '%s' is given twice", def->attrs[i].name);
        seen[i] = true;
        if (!lvt_read_advance(r) || !lvt_read_expect(r, '=') || !take_attr_value(r, &node->attrs[i]) ||
            !lvt_read_accept(r, ',', &more))
            return false;
    }
    if (open && !lvt_read_expect(r, '}'))
        return false;
    for (int i = 0; i < def->n_attrs; i++)
        if (def->attrs[i].required && !seen[i])
            return LVT_READ_FAIL(r, op, "E155", "%s needs attribute '%s'", def->name, def->attrs[i].name);
    return true;
}
