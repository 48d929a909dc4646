/* Warnings about parameters that training and prediction do not share: where they are given, with both paths
 * and the lines, and where not. */
#include "helpers.h"

/* What is said of a model whose entries are `text`; the caller frees it. */
static char *said(const char *text) {
    char all[4000];
    snprintf(all, sizeof all,
             "import \"nn.lvt\"\n"
             "block net(x) { return linear(relu(linear(x, 4) as stem), 3) as head }\n"
             "model m {\n%s\n}\n",
             text);
    lvt_diag *d = lvt_diag_new();
    lvt_module *m = NULL;
    lvt_status status = lvt_compile_text("text.lvt", all, strlen(all), NULL, 0, "models", &m, d);
    char *words = lvt_diag_text(d);
    if (status)
        fail_msg("%s\n%s", all, words);
    lvt_module_free(m);
    lvt_diag_free(d);
    return words;
}

#define TRAIN(body) "training entry train(x: f32[2, 4], y: i32[2]) {\n" body "\n return loss = loss }\n"
#define LOSS "let loss = mean(cross_entropy(z, y))\n minimize loss with sgd(lr = 0.1)"

static void test_told(void **unused) {
    (void)unused;
    static const struct {
        const char *text, *words[5];
    } rows[] = {
        /* the name of a variable is the path */
        {TRAIN("let f = net(x)\n let z = f\n " LOSS) "entry predict(x: f32[2, 4]) { return logits = net(x) }",
         {"text.lvt:10:47: warning W701: predict reads the parameter 'net.stem.weight' and 3 more, which no "
          "entry "
          "trains; train trains 'f.stem.weight' in its place",
          "text.lvt:5:9: note: train calls it here; with one path, as in `as net` after both calls", "", "",
          ""}},
        /* one of the two stays in the entry's scope */
        {TRAIN(
             "let z = net(x) as _\n " LOSS) "entry predict(x: f32[2, 4]) { return logits = net(x) as other }",
         {"W701: predict reads the parameter 'other.stem.weight' and 3 more",
          "train trains 'stem.weight' in its", "as in `as _` after both calls", "", ""}},
        /* inside a block of the model: the call there is what differs */
        {"block whole(x, name) { if name { return net(x) as a }\n return net(x) as b }\n" TRAIN(
             "let z = whole(x, true) as _\n " LOSS) "entry predict(x: f32[2, 4]) { return logits = whole(x, "
                                                    "false) as _ }",
         {"text.lvt:5:9: warning W701: predict reads the parameter 'b.stem.weight' and 3 more",
          "text.lvt:4:41: note: train calls it here", "`as b`", "", ""}},
        /* nothing is in its place */
        {TRAIN("let z = net(x) as _\n " LOSS) "entry predict(x: f32[2, 4]) { return logits = linear(net(x) "
                                              "as _, 3) as probe }",
         {"text.lvt:9:47: warning W701: predict reads the parameter 'probe.weight' and 1 more, which no "
          "entry trains\n",
          "note: it keeps its initial value", "", "", ""}},
        /* an entry that updates states, but no parameter, is asked too */
        {TRAIN("let z = net(x) as _\n " LOSS) "entry predict(x: f32[2, 4]) { return logits = net(x) as _ }\n"
                                              "entry importance(x: f32[2, 4]) { state s: f32[] = 0\n update "
                                              "s = sum(net(x)) }",
         {"warning W701: importance reads the parameter 'net.stem.weight' and 3 more", "", "", "", ""}},
        /* trained, and left out where the layers behind it are read */
        {TRAIN("let z = linear(linear(x, 4) as between, 3) as head\n " LOSS) "entry predict(x: f32[2, 4]) { "
                                                                             "return logits = linear(x, 3) "
                                                                             "as head }",
         {"text.lvt:5:16: warning W702: train trains the parameter 'between.weight' and 1 more, which no "
          "entry for "
          "prediction reads",
          "text.lvt:9:47: note: predict reads 'head.weight' here, which works on what comes from it in train",
          "", "", ""}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *words = said(rows[i].text);
        for (int k = 0; k < 5; k++)
            if (rows[i].words[k] && !strstr(words, rows[i].words[k]))
                fail_msg("%s\ndoes not say: %s\nbut:\n%s", rows[i].text, rows[i].words[k], words);
        const char *first = strstr(words, "warning W70"),
                   *second = first ? strstr(first + 1, "warning W70") : NULL;
        if (second)
            fail_msg("more than one warning:\n%s", words);
        free(words);
    }
}

static void test_quiet(void **unused) {
    (void)unused;
    static const char *const rows[] = {
        /* the same paths */
        TRAIN("let z = net(x) as _\n " LOSS) "entry predict(x: f32[2, 4]) { return logits = net(x) as _ }",
        TRAIN("let z = net(x)\n " LOSS) "entry predict(x: f32[2, 4]) { return logits = net(x) as z }",
        /* frozen on purpose: outside `over`, behind stop_gradient */
        TRAIN("let z = net(x) as _\n let loss = mean(cross_entropy(z, y))\n minimize loss with sgd(lr = "
              "0.1), over = "
              "[\"head.*\"]") "entry predict(x: f32[2, 4]) { return logits = net(x) as _ }",
        TRAIN(
            "let z = linear(stop_gradient(linear(x, 4) as stem), 3) as head\n " LOSS) "entry predict(x: "
                                                                                      "f32[2, 4]) { return "
                                                                                      "logits = "
                                                                                      "linear(linear(x, 4) "
                                                                                      "as stem, 3) as head }",
        /* a state is no parameter */
        TRAIN("let z = net(x) as _\n " LOSS) "entry predict(x: f32[2, 4]) { state noise: f32[3] = "
                                             "normal(1)\n return logits = (net(x) as _) + noise }",
        /* heads and losses that only training has */
        TRAIN("let h = linear(x, 4) as stem\n let z = linear(h, 3) as head\n let aside = linear(h, 3) as "
              "aside\n"
              " param heat: f32[] = 1\n let loss = mean(cross_entropy(z * heat, y)) + "
              "mean(cross_entropy(aside, y))\n"
              " minimize loss with sgd(lr = 0.1)") "entry predict(x: f32[2, 4]) { return logits = "
                                                   "linear(linear(x, 4) as stem, 3) as head }",
        /* a second head that prediction computes and does not return */
        TRAIN("let z = linear(net(x) as _, 3) as more\n " LOSS) "entry predict(x: f32[2, 4]) { let h = "
                                                                "net(x) as _\n let more = linear(h, 3) as "
                                                                "more\n return logits = h }",
        /* nothing is trained, or nothing predicts */
        "entry predict(x: f32[2, 4]) { return logits = net(x) }",
        "entry a(x: f32[2, 4]) { return y = net(x) as a }\nentry b(x: f32[2, 4]) { return y = net(x) as b }",
        TRAIN("let z = net(x)\n " LOSS),
        TRAIN("let z = net(x)\n " LOSS) "entry look(x: f32[2, 4]) { return x = x }",
        /* what no output needs */
        TRAIN("let z = net(x) as _\n " LOSS) "entry predict(x: f32[2, 4]) { let unused = net(x) as unused\n "
                                             "return logits = net(x) as _ }",
        /* several training entries, each with a part */
        TRAIN("let z = linear(linear(x, 4) as stem, 3) as head\n let loss = mean(cross_entropy(z, y))\n "
              "minimize loss "
              "with sgd(lr = 0.1), over = [\"head.*\"]") "training entry two(x: f32[2, 4]) { minimize "
                                                         "sum(linear(x, 4) as stem) with sgd(lr = 0.1) }\n"
                                                         "entry predict(x: f32[2, 4]) { return logits = "
                                                         "net(x) as _ }",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *words = said(rows[i]);
        if (strstr(words, "W70"))
            fail_msg("%s\nis sensible, but:\n%s", rows[i], words);
        free(words);
    }
}

/* No model that comes with lvt is warned about, with any method. */
static void test_models(void **unused) {
    (void)unused;
    static const char *const methods[] = {"lvt",    "finetune", "joint", "er",  "der++",
                                          "er-ace", "a-gem",    "lwf",   "ewc", "icarl"};
    static const char *const others[] = {"classifiers=1", "soft=true", "optimizer=adamw", "norm=batch_norm"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
            char method[40];
            snprintf(method, sizeof method, "method=%s", methods[i]);
            const char *settings[] = {method, others[k]};
            lvt_diag *d = lvt_diag_new();
            lvt_module *m = NULL;
            lvt_status status = lvt_compile_file("models/lvt-tiny.lvt", settings, 2, "models", &m, d);
            char *words = lvt_diag_text(d);
            if (status || lvt_diag_warnings(d))
                fail_msg("%s %s: %s", method, others[k], words);
            free(words);
            lvt_diag_free(d);
            lvt_module_free(m);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_told), cmocka_unit_test(test_quiet),
                                       cmocka_unit_test(test_models)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
