/* Mutated model files: the compiler must answer each with a module or with messages, never with a crash, a
 * leak or a long silence. Seeds are the fixtures of tests/error, the smallest model, and a text that uses
 * most of the language. The generator is fixed, so a failure repeats; the number of rounds depends on the
 * machine (about five seconds). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "frontend/language/language.h"
#include "ir/text.h"

enum { MAX_SEEDS = 200, MAX_TEXT = 1 << 16 };

static const char sample[] =
    "import \"nn.lvt\"\n"
    "let k = [1, 2, 3]\n"
    "block scale(x: [..., C], by = 2.0) {\n"
    "    param w: f32[C] = normal(0.02)\n"
    "    state n: f32[] = 0\n"
    "    if training { update n = n + 1 }\n"
    "    return x * w * by, n\n"
    "}\n"
    "ambient depth = 1\n"
    "contract looks(network, size, ways = record(tau = 0.5)) {\n"
    "    setting rows = size[0] # how many\n"
    "    assert(kind(network) == \"block\" and has(ways, \"tau\"), \"no network\", at = network)\n"
    "    entry seen(x: f32[rows, 3], ...ways) {\n"
    "        let s = record(settings(), inputs(), out = none)\n"
    "        with depth = s.rows { s = record(s, out = network(s.x) as _) }\n"
    "        return y = s.out.logits * s.tau\n"
    "    }\n"
    "}\n"
    "model m(width = 4, batch = 2, name = \"a\") {\n"
    "    block net(x) {\n"
    "        x = gelu(linear_bn(x, width) as first)\n"
    "        repeat depth as i { x = x * 1.5 }\n"
    "        repeat 2 as i { x = linear(x, width) as deep[i].part }\n"
    "        repeat 2 as i { x = linear(x[..., 0:width], width) as shared tied }\n"
    "        x = dropout(x[:, ::1], 0.1) + x[0:, ...] * k[::-1][0]\n"
    "        for a in k[0:2] { x = x + a }\n"
    "        let y, n = scale(x)\n"
    "        return logits = softmax(y, axis = -1), count = n\n"
    "    }\n"
    "    training entry train(x: f32[batch, 3], y: i32[batch], lr: f32[] = 0.1) {\n"
    "        let out = net(x) as _\n"
    "        let loss = mean(cross_entropy(out.logits, y)) + 0.1 * sum([sum(x ** 2), 1])\n"
    "        minimize loss with sgd(lr = lr, momentum = 0.9), clip = 5.0, over = [\"*weight\"]\n"
    "        return loss = loss\n"
    "    }\n"
    "    entry look(x: f32[batch, 3]) {\n"
    "        let out = net(x) as _\n"
    "        for p, g in zip(params(\"*\"), grad(sum(out.logits), of = params(\"*\"))) { consolidate(p) at p "
    "}\n"
    "        assert(len(shape(x)) == 2 and width % 2 == 0, \"width\")\n"
    "        return logits = out.logits[0:1], i = iota([2, 3], 1) // 2\n"
    "    }\n"
    "    use looks(net, size = [2], rows = 3)\n"
    "}\n";

static const char *const words[] = {"(",
                                    ")",
                                    "[",
                                    "]",
                                    "{",
                                    "}",
                                    ",",
                                    ":",
                                    "=",
                                    "==",
                                    "\n",
                                    "..",
                                    "...",
                                    "**",
                                    "//",
                                    "%",
                                    "@",
                                    "-",
                                    "\"",
                                    "#",
                                    "as",
                                    "at",
                                    "let ",
                                    "param ",
                                    "state ",
                                    "update ",
                                    "if ",
                                    "else",
                                    "for ",
                                    "in ",
                                    "with",
                                    "repeat",
                                    "return",
                                    "block ",
                                    "model",
                                    "entry ",
                                    "training",
                                    "import ",
                                    "minimize ",
                                    "none",
                                    "shared ",
                                    "::",
                                    "[:, 0]",
                                    "[..., 1:]",
                                    "random_key()",
                                    "dropout(",
                                    "true",
                                    "not ",
                                    "and ",
                                    "or ",
                                    "0",
                                    "-1",
                                    "1000000",
                                    "1e30",
                                    "99999999",
                                    "2.5",
                                    "f32[",
                                    "like(",
                                    "x",
                                    "params",
                                    "grad(",
                                    "zip(",
                                    "use ",
                                    "contract ",
                                    "setting ",
                                    "ambient ",
                                    "record(",
                                    "settings(",
                                    "inputs()",
                                    "with depth = ",
                                    "_",
                                    "range(",
                                    "op.",
                                    "gather(",
                                    "input",
                                    "concat(",
                                    "\xff",
                                    "9223372036854775807"};

static uint64_t next(uint64_t *s) { /* xorshift64* */
    *s ^= *s >> 12;
    *s ^= *s << 25;
    *s ^= *s >> 27;
    return *s * 2685821657736338717u;
}

/* One change; n is the length of text, which has room for MAX_TEXT. */
static size_t change(char *text, size_t n, uint64_t *s) {
    size_t at = n ? next(s) % n : 0, length = 1 + next(s) % (next(s) % 4 ? 8 : 60);
    if (length > n - at)
        length = n - at;
    switch (next(s) % 6) {
    case 0: /* another byte */
        if (n)
            text[at] = (char)(next(s) % 4 ? 32 + next(s) % 95 : next(s));
        return n;
    case 1: /* a piece less */
        memmove(text + at, text + at + length, n - at - length);
        return n - length;
    case 2:   /* a piece twice */
    case 3: { /* a piece from elsewhere */
        size_t from = n ? next(s) % n : 0;
        char piece[64];
        if (length > n - from)
            length = n - from;
        if (n + length >= MAX_TEXT)
            return n;
        memcpy(piece, text + from, length);
        memmove(text + at + length, text + at, n - at);
        memcpy(text + at, piece, length);
        return n + length;
    }
    case 4: { /* a word of the language */
        const char *word = words[next(s) % (sizeof words / sizeof *words)];
        length = strlen(word);
        if (n + length >= MAX_TEXT)
            return n;
        memmove(text + at + length, text + at, n - at);
        memcpy(text + at, word, length);
        return n + length;
    }
    default: /* the end is missing */
        return next(s) % 8 ? n : at;
    }
}

static size_t read_seed(const char *path, char *out) {
    FILE *f = fopen(path, "rb");
    if (!f)
        return 0;
    size_t n = fread(out, 1, MAX_TEXT - 1, f);
    fclose(f);
    return n;
}

static void test_mutations(void **unused) {
    (void)unused;
    char **seeds = calloc(MAX_SEEDS, sizeof *seeds), *buffer = malloc(MAX_TEXT);
    size_t *lengths = calloc(MAX_SEEDS, sizeof *lengths), n = 0;
    assert_true(seeds && buffer && lengths);
    DIR *folder = opendir("tests/error");
    assert_non_null(folder);
    seeds[n] = strdup(sample);
    lengths[n++] = sizeof sample - 1;
    for (struct dirent *e; (e = readdir(folder)) && n + 1 < MAX_SEEDS;) {
        char path[512];
        snprintf(path, sizeof path, "tests/error/%s", e->d_name);
        size_t length = strlen(path);
        if (length < 4 || strcmp(path + length - 4, ".lvt") || !(length = read_seed(path, buffer)))
            continue;
        seeds[n] = malloc(length + 1);
        memcpy(seeds[n], buffer, length);
        lengths[n++] = length;
    }
    closedir(folder);
    lengths[n] = read_seed("models/lvt-tiny.lvt", buffer);
    seeds[n] = malloc(lengths[n] + 1);
    memcpy(seeds[n], buffer, lengths[n]);
    n++;
    assert_true(n > 40);
    const char *more = getenv("LVT_FUZZ_SECONDS"), *other = getenv("LVT_FUZZ_SEED");
    double seconds = more ? atof(more) : 5;
    uint64_t s = other ? strtoull(other, NULL, 10) | 1 : 20260101;
    clock_t begun = clock();
    unsigned rounds = 0, compiled = 0;
    while ((double)(clock() - begun) / CLOCKS_PER_SEC < seconds) {
        size_t k = !rounds ? 0 : next(&s) % 3 ? next(&s) % n : next(&s) % 8 ? 0 : n - 1, length = lengths[k];
        memcpy(buffer, seeds[k], length);
        for (unsigned i = rounds ? 1 + next(&s) % 4 : 0; i; i--)
            length = change(buffer, length, &s);
        lvt_diag *d = lvt_diag_new();
        lvt_module *m = NULL;
        lvt_status status = lvt_compile_text("models/fuzz.lvt", buffer, length, NULL, 0, "models", &m, d);
        assert_int_equal(status == LVT_OK, m != NULL);
        assert_int_equal(status == LVT_OK, lvt_diag_errors(d) == 0);
        assert_true(status == LVT_OK || status == LVT_USER || status == LVT_NOMEM);
        char *text = lvt_diag_text(d);
        assert_non_null(text);
        if (m && lvt_verify_module(m, d) != LVT_OK) { /* what compiles is a valid module */
            free(text);
            text = lvt_diag_text(d);
            print_error("%.*s\n%s\n", (int)length, buffer, text);
            fail();
        }
        if (!rounds && !m)
            fail_msg("the sample does not compile: %s", text);
        free(text);
        compiled += m != NULL;
        rounds++;
        lvt_module_free(m);
        lvt_diag_free(d);
    }
    print_message("%u texts, %u of them compiled\n", rounds, compiled);
    assert_true(rounds > 100 && compiled > 0);
    for (size_t i = 0; i < n; i++)
        free(seeds[i]);
    free(seeds);
    free(lengths);
    free(buffer);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mutations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
