/* Compiling and keeping: equal kernels share code, the cache is used, damaged or foreign files are not, a
 * folder that cannot be used costs nothing but time; objects need no symbol from outside. */
#include "jit_util.h"
#include "runtime/kernels/jit/codegen.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[] = "/tmp/lvt-test-XXXXXX";
static char cache[64];

static int setup(void **state) {
    (void)state;
    if (!mkdtemp(folder))
        return 1;
    snprintf(cache, sizeof cache, "%s/a/b", folder);
    return 0;
}

/* Calls f for every file of the cache; returns their number. */
static int each_file(void (*f)(const char *path)) {
    DIR *d = opendir(cache);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        char path[400];
        snprintf(path, sizeof path, "%s/%s", cache, e->d_name);
        n++;
        if (f)
            f(path);
    }
    if (d)
        closedir(d);
    return n;
}

static void delete (const char *path) {
    unlink(path);
}

static int teardown(void **state) {
    (void)state;
    char path[100];
    each_file(delete);
    rmdir(cache);
    snprintf(path, sizeof path, "%s/a", folder);
    rmdir(path);
    return rmdir(folder);
}

/* Makes one kernel (x + factor) exp(y) twice at different nodes, and another; checks values; returns what was
 * counted. */
static lvt_jit_counts make_three_by(const char *where, bool apart) {
    lvt_jit *jit;
    assert_int_equal(lvt_jit_new(where, apart, &jit, NULL), LVT_OK);
    body_case c[3];
    lvt_kernel_request r[3];
    lvt_view views[3];
    lvt_kernel *k[3];
    for (int i = 0; i < 3; i++) {
        body_new(&c[i]);
        lvt_value x = body_input(&c[i], LVT_F32, 1, DIMS(50), 0, 1),
                  y = body_input(&c[i], LVT_F32, 1, DIMS(50), 0, 1);
        lvt_value f = lvt_build_scalar(&c[i].b, LVT_F32, i == 2 ? 3 : 2);
        body_output(&c[i], lvt_build_binary(&c[i].b, LVT_OP_mul, lvt_build_binary(&c[i].b, LVT_OP_add, x, f),
                                            lvt_build_unary(&c[i].b, LVT_OP_exp, y)));
        lvt_graph *g;
        lvt_node_id node = fuse(&c[i], &g);
        views[i] = (lvt_view){*lvt_value_type(g, g->nodes[node].result), {1}};
        r[i] =
            (lvt_kernel_request){.graph = g, .node = node, .operands = views, .results = views, .threads = 2};
    }
    views[1] = views[0]; /* two operands of one type */
    assert_int_equal(lvt_jit_make(jit, 3, r, k), LVT_OK);
    lvt_jit_counts counts = lvt_jit_last(jit);
    for (int i = 0; i < 3; i++) {
        float x[50], y[50], z[50];
        for (int j = 0; j < 50; j++)
            x[j] = (float)j, y[j] = (float)j / 50;
        k[i]->run(k[i], (void *[]){x, y}, (void *[]){z}, NULL);
        for (int j = 0; j < 50; j++)
            assert_true(fabs(z[j] - (x[j] + (i == 2 ? 3 : 2)) * exp(y[j])) <
                        1e-4); /* 150 times 4 units of 2^-24 */
        k[i]->free(k[i]);
        body_free(&c[i]);
    }
    lvt_jit_free(jit);
    return counts;
}

static lvt_jit_counts make_three(const char *where) {
    return make_three_by(where, false);
}

static void expect(lvt_jit_counts got, uint32_t compiled, uint32_t cached, uint32_t shared) {
    assert_int_equal(got.compiled, compiled);
    assert_int_equal(got.cached, cached);
    assert_int_equal(got.shared, shared);
}

static void flip_last(const char *path) {
    FILE *f = fopen(path, "r+b");
    fseek(f, -40, SEEK_END);
    int c = fgetc(f);
    fseek(f, -40, SEEK_END);
    fputc(c ^ 1, f);
    fclose(f);
}
static void cut(const char *path) {
    assert_int_equal(truncate(path, 100), 0);
}
static void empty(const char *path) {
    assert_int_equal(truncate(path, 0), 0);
}
static void open_to_all(const char *path) {
    assert_int_equal(chmod(path, 0666), 0);
}
/* Another kernel's file under this name: whole and with a good checksum, but for another key. */
static char other[400];
static void remember(const char *path) {
    strcpy(other, path);
}
static void swap_with_other(const char *path) {
    if (strcmp(path, other) == 0)
        return;
    FILE *f = fopen(other, "rb"), *to = fopen(path, "wb");
    for (int c; (c = fgetc(f)) != EOF;)
        fputc(c, to);
    fclose(f);
    fclose(to);
}

static void test_hits_and_damage(void **state) {
    (void)state;
    expect(make_three(cache), 2, 0, 1);
    struct stat s;
    assert_int_equal(stat(cache, &s), 0);
    assert_int_equal(s.st_mode & 0777, 0700);
    assert_int_equal(each_file(NULL), 2);
    expect(make_three(cache), 0, 2, 1);
    void (*damage[])(const char *) = {flip_last, cut, empty, open_to_all};
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        each_file(damage[i]);
        expect(make_three(cache), 2, 0, 1);
        expect(make_three(cache), 0, 2, 1); /* written anew */
    }
    each_file(remember);
    each_file(swap_with_other);
    expect(make_three(cache), 1, 1, 1);
    expect(make_three(cache), 0, 2, 1);
}

static void test_folders_that_cannot_be_used(void **state) {
    (void)state;
    expect(make_three(""), 2, 0, 1);
    expect(make_three("/proc/none"), 2, 0, 1);
    assert_int_equal(chmod(cache, 0777), 0); /* others could put code there */
    expect(make_three(cache), 2, 0, 1);
    assert_int_equal(chmod(cache, 0700), 0);
    expect(make_three(cache), 0, 2, 1);
}

/* In a process of its own: the same kernels, and what it puts into the cache is as good. */
static void test_apart(void **state) {
    (void)state;
    expect(make_three_by("", true), 2, 0, 1);
    each_file(delete);
    expect(make_three_by(cache, true), 2, 0, 1);
    assert_int_equal(each_file(NULL), 2);
    expect(make_three(cache), 0, 2, 1);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left behind */
    assert_int_equal(errno, ECHILD);
}

static void age(const char *path) {
    struct timespec t[2] = {{.tv_sec = time(NULL) - 40L * 24 * 3600},
                            {.tv_sec = time(NULL) - 40L * 24 * 3600}};
    assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}
static void put_file(const char *name, long days) {
    char path[400];
    snprintf(path, sizeof path, "%s/%s", cache, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (int i = 0; i < 1000; i++)
        fputc('x', f);
    fclose(f);
    if (days)
        age(path);
}
static bool is_there(const char *name) {
    char path[400];
    snprintf(path, sizeof path, "%s/%s", cache, name);
    return access(path, F_OK) == 0;
}

/* The oldest files go when there is too much, and those that were used lately stay; what is not of the cache
 * is left alone. */
static void test_prune(void **state) {
    (void)state;
    each_file(delete);
    expect(make_three(cache), 2, 0, 1);
    each_file(age);
    expect(make_three(cache), 0, 2, 1); /* used: young again */
    char name[40];
    uint64_t size = 0;
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "%032x", i);
        put_file(name, 40);
    }
    put_file("README", 40);
    put_file(".0123456789abcdef0123456789abcdef.AbCdEf", 40); /* left behind */
    put_file(".0123456789abcdef0123456789abcdef.aBcDeF", 0);  /* being written */
    lvt_machine m;
    lvt_cache *c;
    lvt_machine_host(&m);
    assert_int_equal(lvt_cache_new(cache, &m, &c), LVT_OK);
    lvt_cache_prune(c, 1 << 20);
    assert_int_equal(each_file(NULL), 23); /* all fit */
    assert_false(is_there(".0123456789abcdef0123456789abcdef.AbCdEf"));
    assert_true(is_there(".0123456789abcdef0123456789abcdef.aBcDeF"));
    for (int i = 0; i < 20; i++)
        size += 1000;
    lvt_cache_prune(c, size); /* they and two kernels are more */
    assert_true(is_there("README"));
    assert_int_equal(each_file(NULL) < 20, true);
    assert_true(is_there("00000000000000000000000000000013")); /* of equal age: by name */
    assert_false(is_there("00000000000000000000000000000000"));
    expect(make_three(cache), 0, 2, 1);
    lvt_cache_prune(c, 0);
    assert_int_equal(each_file(NULL), 1);
    expect(make_three(cache), 2, 0, 1);
    lvt_cache_free(c);
    char path[400];
    snprintf(path, sizeof path, "%s/.0123456789abcdef0123456789abcdef.aBcDeF", cache);
    assert_int_equal(unlink(path), 0);
}

static void test_user_folder(void **state) {
    (void)state;
    char base[100], path[200];
    snprintf(base, sizeof base, "%s/x", folder);
    setenv("XDG_CACHE_HOME", base, 1);
    lvt_machine m;
    lvt_cache *c;
    lvt_machine_host(&m);
    assert_int_equal(lvt_cache_new(NULL, &m, &c), LVT_OK);
    snprintf(path, sizeof path, "%s/lvt", base);
    assert_string_equal(lvt_cache_folder(c), path);
    lvt_cache_free(c);
    unsetenv("XDG_CACHE_HOME");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(base), 0);
}

/* Every pointwise op in one body for each float type, with reductions, so that all functions are in the
 * object. */
static void no_undefined_symbols(lvt_dtype t, const lvt_machine *m) {
    body_case c;
    body_new(&c);
    lvt_value x = body_input(&c, t, 2, DIMS(33, 40), 0, 1), y = body_input(&c, t, 2, DIMS(33, 40), 0, 1),
              all = x;
    for (int op = 0; op < LVT_N_OPS; op++) {
        const lvt_op_def *def = lvt_op_table[op];
        bool of_floats = def->kind == LVT_KIND_POINTWISE && def->signature[0] != 'b' &&
                         def->signature[def->min_operands + 1] != 'b';
        if (!of_floats || def->min_operands > 2 || (t == LVT_F64 && !lvt_loop_has_f64(op)))
            continue;
        lvt_value z = lvt_build(&c.b, (lvt_op)op, (uint32_t)def->min_operands, (lvt_value[]){x, y}, 0, NULL);
        all = lvt_build_binary(&c.b, LVT_OP_add, all, z);
    }
    body_output(&c, lvt_build_cast(&c.b, all, LVT_I32));
    body_output(&c, lvt_build_cast(&c.b, all, LVT_U8));
    body_output(&c, lvt_build_reduce(&c.b, LVT_OP_reduce_mean, all, 1, DIMS(0), false));
    lvt_graph *g;
    lvt_node_id node = fuse(&c, &g);
    lvt_view in[2], out[3];
    for (int i = 0; i < 2; i++)
        in[i] = (lvt_view){*lvt_value_type(g, g->nodes[node].operands[i]), {40, 1}};
    for (int i = 0; i < 3; i++)
        out[i] = (lvt_view){*lvt_value_type(g, g->nodes[node].result + (uint32_t)i), {i == 2 ? 1 : 40, 1}};
    lvt_kernel_request r = {
        .graph = g, .node = node, .operands = in, .results = out, .threads = 1, .diag = c.diag};
    void *module;
    const lvt_codegen *codegen;
    lvt_compiler *compiler;
    lvt_nest nest;
    lvt_object object;
    char *why = NULL;
    lvt_arena *arena = lvt_arena_new();
    assert_int_equal(lvt_codegen_open(&module, &codegen, &why), LVT_OK);
    assert_int_equal(codegen->compiler_new(m, &compiler, NULL), LVT_OK);
    assert_int_equal(lvt_nest_make(&nest, &r, m, arena), LVT_OK);
    lvt_source_code source = {nest.key, LVT_SOURCE_NEST, &nest};
    assert_int_equal(codegen->compile(compiler, &source, "kernel", &object, &why), LVT_OK);
    const unsigned char *data = object.data;
    assert_memory_equal(data, ELFMAG, SELFMAG);
    const Elf64_Ehdr *h = (const void *)data;
    const Elf64_Shdr *sections = (const void *)(data + h->e_shoff);
    int symbols = 0;
    for (int i = 0; i < h->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB)
            continue;
        const Elf64_Sym *table = (const void *)(data + sections[i].sh_offset);
        const char *names = (const char *)data + sections[sections[i].sh_link].sh_offset;
        for (size_t k = 1; k < sections[i].sh_size / sizeof *table; k++, symbols++)
            if (table[k].st_shndx == SHN_UNDEF)
                fail_msg("undefined symbol %s", names + table[k].st_name);
    }
    assert_true(symbols > 0);
    lvt_object image;
    const char *refused;
    assert_int_equal(lvt_image_make(&object, "kernel", &image, &refused), LVT_OK);
    assert_true(lvt_image_plausible(&image));
    free(image.data);
    assert_int_equal(lvt_image_make(&object, "colonel", &image, &refused), LVT_INTERNAL);
    assert_non_null(strstr(refused, "does not have the function"));
    /* Cut off anywhere, it is refused or, where only names of sections are missing, of use. */
    for (size_t size = 0; size < object.size; size += 97) {
        lvt_object part = {malloc(size + 1), size};
        memcpy(part.data, object.data, size);
        if (lvt_image_make(&part, "kernel", &image, &refused) == LVT_OK)
            free(image.data);
        free(part.data);
    }
    free(object.data);
    codegen->compiler_free(compiler);
    lvt_codegen_close(module);
    lvt_arena_free(arena);
    body_free(&c);
}

/* On this processor and, where that is an x86, on the oldest one and one without AVX-512: there more of what
 * is an instruction here could become a call. */
static void test_no_undefined_symbols(void **state) {
    (void)state;
    lvt_machine host;
    lvt_machine_host(&host);
    lvt_machine machines[] = {host,
                              {.cpu = "x86-64", .features = "", .width = 4},
                              {.cpu = "x86-64-v3", .features = "", .width = 8, .sse41 = true}};
#ifdef __x86_64__
    size_t n = 3;
#else
    size_t n = 1;
#endif
    for (size_t i = 0; i < n; i++) {
        no_undefined_symbols(LVT_F32, &machines[i]);
        no_undefined_symbols(LVT_F64, &machines[i]);
        no_undefined_symbols(LVT_BF16, &machines[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hits_and_damage), cmocka_unit_test(test_folders_that_cannot_be_used),
        cmocka_unit_test(test_apart),           cmocka_unit_test(test_prune),
        cmocka_unit_test(test_user_folder),     cmocka_unit_test(test_no_undefined_symbols)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
