/* The table of storage types: names, numbers, row bytes. No device. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "ar_backend.h"

static void rows_have_whole_blocks(void **state) {
    (void)state;
    assert_int_equal(ar_qtype_row_bytes(AR_QT_F32, 3), 12);
    assert_int_equal(ar_qtype_row_bytes(AR_QT_BF16, 3), 6);
    assert_int_equal(ar_qtype_row_bytes(AR_QT_Q4_0, 64), 36);
    assert_int_equal(ar_qtype_row_bytes(AR_QT_Q6_K, 512), 420);
    assert_int_equal(ar_qtype_row_bytes(AR_QT_Q6_K, 288), -1);
    assert_int_equal(ar_qtype_row_bytes(AR_QT_Q8_0, 33), -1);
    assert_int_equal(ar_qtype_row_bytes(AR_QT_GROUP, 64), -1);
    assert_int_equal(ar_qtype_row_bytes(AR_QT_COUNT, 64), -1);
}

static void numbers_are_gguf_s(void **state) {
    (void)state;
    for (int32_t i = 0; i < AR_QT_COUNT; i++) {
        int32_t id = ar_qtype_gguf_id((ar_qtype)i);
        if (i != AR_QT_GROUP) assert_int_equal(ar_qtype_from_gguf(id), i);
    }
    assert_int_equal(ar_qtype_gguf_id(AR_QT_GROUP), -1);
    assert_int_equal(ar_qtype_from_gguf(-1), AR_QT_COUNT);
    assert_int_equal(ar_qtype_from_gguf(9), AR_QT_COUNT); /* Q8_1 */
    assert_int_equal(ar_qtype_from_gguf(14), AR_QT_Q6_K);
    assert_string_equal(ar_qtype_name(AR_QT_IQ4_NL), "IQ4_NL");
    assert_string_equal(ar_qtype_name(AR_QT_COUNT), "?");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_have_whole_blocks),
        cmocka_unit_test(numbers_are_gguf_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
