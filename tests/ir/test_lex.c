/* The lexer: every kind of token in both modes, places, mistakes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ir/lex.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All tokens of a text, one a word: "name", 12, 1.5, "text", %3, @path, operators, \n for a line end, ! for a
 * mistake. */
static char *lex(lvt_lex_mode mode, const char *text, size_t length, lvt_diag *d) {
    lvt_arena *arena = lvt_arena_new();
    lvt_lexer l;
    lvt_token t;
    size_t room = length * 32 + 64, n = 0;
    char *out = calloc(1, room);
    lvt_lex_init(&l, mode, "f", text, length, arena, d);
    for (;;) {
        assert_int_equal(lvt_lex_next(&l, &t), LVT_OK);
        assert_true(t.line >= 1 && t.col >= 1);
        if (t.kind == LVT_TOK_END)
            break;
        n += (size_t)snprintf(out + n, room - n, n ? " " : "");
        switch (t.kind) {
        case LVT_TOK_ERROR:
            n += (size_t)snprintf(out + n, room - n, "!");
            break;
        case LVT_TOK_NEWLINE:
            n += (size_t)snprintf(out + n, room - n, "\\n");
            break;
        case LVT_TOK_INT:
            n += (size_t)snprintf(out + n, room - n, "%lld", (long long)t.i);
            break;
        case LVT_TOK_FLOAT:
            n += (size_t)snprintf(out + n, room - n, "%#g", t.f);
            break;
        case LVT_TOK_VALUE:
            n += (size_t)snprintf(out + n, room - n, "%%%lld", (long long)t.i);
            break;
        case LVT_TOK_STRING:
            assert_int_equal(strlen(t.text), t.length);
            n += (size_t)snprintf(out + n, room - n, "<%s>", t.text);
            break;
        default:
            n += (size_t)snprintf(out + n, room - n, "%s%.*s", t.kind == LVT_TOK_PATH ? "@" : "",
                                  (int)t.length, t.text);
        }
    }
    assert_int_equal(lvt_lex_next(&l, &t), LVT_OK);
    assert_int_equal(t.kind, LVT_TOK_END); /* for ever */
    lvt_arena_free(arena);
    return out;
}

static void test_tokens(void **state) {
    (void)state;
    static const struct {
        lvt_lex_mode mode;
        const char *text, *tokens;
        size_t errors;
    } rows[] = {
        {LVT_LEX_LANGUAGE, "", "", 0},
        {LVT_LEX_LANGUAGE, "\n\n # only a comment", "", 0},
        {LVT_LEX_LANGUAGE, "a = b_2 # c\n\n\nd", "a = b_2 \\n d \\n", 0},
        {LVT_LEX_LANGUAGE, "f(a,\n b)[\n1]\n", "f ( a , b ) [ 1 ] \\n", 0},
        {LVT_LEX_LANGUAGE, "f(a,\n }\nb\n", "f ( a , } \\n b \\n", 0},
        {LVT_LEX_LANGUAGE, "x @ w % 3 ** 2 // 4 - -5 -> y", "x @ w % 3 ** 2 // 4 - - 5 -> y \\n", 0},
        {LVT_LEX_LANGUAGE, "a==b!=c<=d>=e<f>g", "a == b != c <= d >= e < f > g \\n", 0},
        {LVT_LEX_LANGUAGE, "[..., C] s[1:3] 0.5..2", "[ ... , C ] s [ 1 : 3 ] 0.500000 .. 2 \\n", 0},
        {LVT_LEX_LANGUAGE, "1e3 1.5e-2 2E+1 007 1.x", "1000.00 0.0150000 20.0000 7 1 . x \\n", 0},
        {LVT_LEX_LANGUAGE, "\"a\\n\\t\\\"\\\\\\x41\"", "<a\n\t\"\\A> \\n", 0},
        {LVT_LEX_LANGUAGE, "9223372036854775807", "9223372036854775807 \\n", 0},
        {LVT_LEX_LANGUAGE, "9223372036854775808", "! \\n", 1},
        {LVT_LEX_LANGUAGE, "1e999 3x 1e 4", "! ! ! 4 \\n", 3},
        {LVT_LEX_LANGUAGE, "\"open\nx \"a\\", "! \\n x ! \\n", 2},
        {LVT_LEX_LANGUAGE, "\"\\q\" \"\\x0\" \"\\x00\" y", "! ! ! y \\n", 3},
        {LVT_LEX_LANGUAGE, "a $ \xc3\xa9 ! \x01 b", "a ! ! ! ! b \\n", 4},
        {LVT_LEX_LANGUAGE, "a\r\nb\r\n", "a \\n b \\n", 0},
        {LVT_LEX_IR, "%12 = @a.b.0_c @\"any text\" {\n}", "%12 = @a.b.0_c @any text { }", 0},
        {LVT_LEX_IR, "% 1 %1.5 %1x @ a", "% 1 ! ! @ a", 2},
        {LVT_LEX_IR, "-9223372036854775808", "- -9223372036854775808", 0},
        {LVT_LEX_IR, "loc(0:12:5 < 1:2:3)", "loc ( 0 : 12 : 5 < 1 : 2 : 3 )", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lvt_diag *d = lvt_diag_new();
        char *tokens = lex(rows[i].mode, rows[i].text, strlen(rows[i].text), d);
        assert_string_equal(tokens, rows[i].tokens);
        assert_int_equal(lvt_diag_errors(d), rows[i].errors);
        free(tokens);
        lvt_diag_free(d);
    }
}

static void test_places(void **state) {
    (void)state;
    static const char text[] = "ab  cd\n\tef(\n  \"g\")\nlast";
    static const struct {
        uint32_t line, col;
        bool first;
    } wanted[] = {{1, 1, true}, {1, 5, false}, {1, 7, false}, {2, 2, true}, {2, 4, false},
                  {3, 3, true}, {3, 6, false}, {3, 7, false}, {4, 1, true}, {4, 5, false}};
    lvt_arena *arena = lvt_arena_new();
    lvt_lexer l;
    lvt_token t;
    lvt_lex_init(&l, LVT_LEX_LANGUAGE, "f", text, sizeof text - 1, arena, NULL);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        assert_int_equal(lvt_lex_next(&l, &t), LVT_OK);
        assert_int_equal(t.line, wanted[i].line);
        assert_int_equal(t.col, wanted[i].col);
        assert_int_equal(t.first, wanted[i].first);
    }
    assert_int_equal(lvt_lex_next(&l, &t), LVT_OK);
    assert_int_equal(t.kind, LVT_TOK_END);
    lvt_arena_free(arena);
}

/* A text does not mean something else in a country that writes 1,5. */
static void test_locale(void **state) {
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "C"};
    for (size_t i = 0; i < sizeof names / sizeof *names && !setlocale(LC_ALL, names[i]); i++)
        ;
    lvt_arena *arena = lvt_arena_new();
    lvt_lexer l;
    lvt_token t;
    lvt_lex_init(&l, LVT_LEX_LANGUAGE, "f", "1.5", 3, arena, NULL);
    assert_int_equal(lvt_lex_next(&l, &t), LVT_OK);
    assert_true(t.f == 1.5);
    lvt_arena_free(arena);
    setlocale(LC_ALL, "C");
}

static void test_names(void **state) {
    (void)state;
    char text[LVT_TOKEN_TEXT];
    static const struct {
        const char *source, *name;
    } rows[] = {{"abc", "'abc'"}, {"->", "'->'"},   {"1.5", "the number 1.5"}, {"\"s\"", "a string"},
                {"%7", "%7"},     {"@p.q", "@p.q"}, {"", "end of file"},       {"$", "a mistake"}};
    lvt_arena *arena = lvt_arena_new();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lvt_lexer l;
        lvt_token t;
        lvt_lex_init(&l, LVT_LEX_IR, "f", rows[i].source, strlen(rows[i].source), arena, NULL);
        lvt_lex_next(&l, &t);
        assert_string_equal(lvt_token_text(&t, text), rows[i].name);
        assert_int_equal(lvt_token_is(&t, "abc"), i == 0);
        assert_false(lvt_token_is(&t, "abcd"));
        assert_false(lvt_token_is(&t, "ab"));
    }
    lvt_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tokens), cmocka_unit_test(test_places),
                                       cmocka_unit_test(test_locale), cmocka_unit_test(test_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
