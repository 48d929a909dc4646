/* Some seconds of damaged IR text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fuzz_text.c"
#include "tests/small_program.h"

/* One node of most operations, so that damaged attributes and types reach the inference of each. */
static const char many_ops[] =
    "module \"ops\"\n"
    "entry @e {\n"
    "  %0 = input {index = 0} : f32[2,8,8,4]\n"
    "  %1 = input {index = 1} : i32[2]\n"
    "  %2 = input {index = 2} : f32[6,2,3,3]\n"
    "  %3 = conv2d(%0, %2) {stride = [2, 2], padding = [1, 1, 1, 1], groups = 2} : f32[2,4,4,6]\n"
    "  %4 = conv2d_grad_input(%3, %2) {stride = [2, 2], padding = [1, 1, 1, 1], groups = 2, height = 8, "
    "width = 8} : "
    "f32[2,8,8,4]\n"
    "  %5 = conv2d_grad_weight(%3, %0) {stride = [2, 2], padding = [1, 1, 1, 1], groups = 2, kernel = [3, "
    "3]} : "
    "f32[6,2,3,3]\n"
    "  %6 = max_pool2d(%0) {kernel = [2, 2]} : f32[2,4,4,4]\n"
    "  %7 = avg_pool2d(%0) {kernel = [2, 2]} : f32[2,4,4,4]\n"
    "  %8 = max_pool2d_grad(%6, %0) {kernel = [2, 2]} : f32[2,8,8,4]\n"
    "  %9 = avg_pool2d_grad(%7) {kernel = [2, 2], height = 8, width = 8} : f32[2,8,8,4]\n"
    "  %10 = reshape(%3) {shape = [32, 6]} : f32[32,6]\n"
    "  %11 = transpose(%10) {order = [1, 0]} : f32[6,32]\n"
    "  %12 = matmul(%10, %11) : f32[32,32]\n"
    "  %13 = slice(%12) {axis = 0, begin = 2, end = 4} : f32[2,32]\n"
    "  %14 = pad(%13) {axis = 1, before = 1, after = 2} : f32[2,35]\n"
    "  %15 = concat(%13, %14) {axis = 1} : f32[2,67]\n"
    "  %16 = cross_entropy(%15, %1) : f32[2]\n"
    "  %17 = gather(%12, %1) {axis = 0} : f32[2,32]\n"
    "  %18 = gather_grad(%17, %1) {axis = 0, size = 32} : f32[32,32]\n"
    "  %19 = one_hot(%1) {size = 5, dtype = f32} : f32[2,5]\n"
    "  %20 = argmax(%19) {axis = 1} : i32[2]\n"
    "  %21 = reduce_sum(%18) {axes = [0], keep = true} : f32[1,32]\n"
    "  %22 = broadcast(%21) {shape = [3, 32]} : f32[3,32]\n"
    "  %23 = softmax(%22) {axis = 1} : f32[3,32]\n"
    "  %24 = reduce_mean(%23) : f32[]\n"
    "  %25 = random_uniform(%1) {shape = [4], stream = 3} : f32[4]\n"
    "  %26 = iota {dtype = i32, shape = [3, 4], axis = 1} : i32[3,4]\n"
    "  %27 = cast(%26) {dtype = u8} : u8[3,4]\n"
    "  %28 = constant {shape = [2, 2], values = [1, 2, 3, 4]} : f32[2,2]\n"
    "  %29 = lt(%28, %28) : bool[2,2]\n"
    "  %30 = select(%29, %28, %28) : f32[2,2]\n"
    "  %31 = log_softmax(%30) {axis = 0} : f32[2,2]\n"
    "  %32 = reduce_max(%31) {axes = [0, 1]} : f32[]\n"
    "  %33 = input {index = 3} : f32[6]\n"
    "  %34, %35, %36 = batch_norm(%10, %33, %33) : f32[32,6], f32[6], f32[6]\n"
    "  %37 = layer_norm(%34, %33, %33) : f32[32,6]\n"
    "  %38 = copy(%11) : f32[6,32]\n"
    "  %39, %40 = gradient(%32, %0, %28) : f32[2,8,8,4], f32[2,2]\n"
    "  input \"x\" = %0\n"
    "  input \"y\" = %1\n"
    "  input \"w\" = %2\n"
    "  input \"g\" = %33\n"
    "  return \"loss\" = %16\n"
    "}\n";

static void test_fuzz(void **state) {
    (void)state;
    static const char *const words[] = {"%1",
                                        " fused(%3) : f32[4,2] {",
                                        "}",
                                        "f64",
                                        "-9223372036854775808",
                                        "1e308",
                                        "loc(0:1:1 < 0:2:2)",
                                        "\"",
                                        "nan",
                                        " = [1, 2, 3]",
                                        "gather",
                                        "conv2d",
                                        "slice",
                                        "concat",
                                        "reduce_sum",
                                        "batch_norm",
                                        "max_pool2d",
                                        "axis",
                                        "shape",
                                        "0",
                                        "2147483648",
                                        "iota",
                                        "one_hot",
                                        "pad"};
    lvt_module *m;
    lvt_diag *d = lvt_diag_new();
    lvt_status status = lvt_read_module("seed", many_ops, sizeof many_ops - 1, &m, d);
    char *text = lvt_diag_text(d);
    assert_string_equal(text, ""); /* a seed that is refused at once would test little */
    assert_int_equal(status, LVT_OK);
    free(text);
    lvt_diag_free(d);
    lvt_module_free(m);
    const char *const seeds[] = {small_text, many_ops};
    for (size_t i = 0; i < 2; i++)
        fuzz_run((const uint8_t *)seeds[i], strlen(seeds[i]), 1.5, 1, words, sizeof words / sizeof *words);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fuzz)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
