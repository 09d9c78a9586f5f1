/* The logits file: layout, cut and steps, read back by hand. */
#include "logits_file.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static void test_layout(void **state) {
    (void)state;
    char path[] = "/tmp/anyround-logits-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    int32_t ids[4] = {1, 2, 3, 4};
    const float logits[3] = {1.0f, -0.5f, -40.0f}; /* an odd vocabulary, the last cut at 16 below the first */
    ar_logits_file f;
    assert_int_equal(ar__logits_file_open(&f, path, &(ar_samples){ids, 1, 4}, 3), AR_OK);
    assert_int_equal(ar__logits_file_row(&f, logits), AR_OK);
    assert_int_equal(ar__logits_file_commit(&f), AR_OK);
    ar_file file;
    assert_int_equal(ar_file_open(&file, path), AR_OK);
    assert_int_equal(file.bytes, 8 + 12 + 16 + 2 * (4 + 4));
    assert_memory_equal(file.data, "_logits_", 8);
    int32_t head[7];
    memcpy(head, file.data + 8, sizeof head);
    assert_int_equal(head[0], 4);
    assert_int_equal(head[1], 3);
    assert_int_equal(head[2], 1);
    assert_memory_equal(head + 3, ids, sizeof ids);
    float edge[2];
    uint16_t q[3];
    memcpy(edge, file.data + 36, sizeof edge);
    memcpy(q, file.data + 44, sizeof q);
    double lse = log(exp(1.0) + exp(-0.5) + exp(-40.0));
    assert_true(fabs((double)edge[0] * q[0] + (double)edge[1] - (1.0 - lse)) < 1e-4);
    assert_true(fabs((double)edge[0] * q[1] + (double)edge[1] - (-0.5 - lse)) < 16.0 / 65535);
    assert_int_equal(q[0], 65535);
    assert_int_equal(q[2], 0);
    ar_file_close(&file);
    unlink(path);
}

static void test_abort_leaves_nothing(void **state) {
    (void)state;
    char dir[] = "/tmp/anyround-logits-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/f", dir);
    int32_t ids[4] = {0};
    ar_logits_file f;
    assert_int_equal(ar__logits_file_open(&f, path, &(ar_samples){ids, 1, 4}, 3), AR_OK);
    ar__logits_file_abort(&f);
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(ar__logits_file_open(&f, path, &(ar_samples){ids, 1, 4}, 3), AR_ERR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_layout),
                                       cmocka_unit_test(test_abort_leaves_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
