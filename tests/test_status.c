/* backend/base/status.c: codes, texts, the error text of a thread, allocation. Sees backend's internal
 * header. ctest-labels: threads */
#include "internal.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void every_status_has_its_own_code_and_text(void **state) {
    (void)state;
    static const ar_status all[] = {
#define ROW(name, code, text) AR_##name,
        AR_STATUS_LIST(ROW)
#undef ROW
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        assert_non_null(ar_status_text(all[i]));
        assert_true(i == 0 ? all[i] == 0 : all[i] < 0);
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(all[i], all[j]);
            assert_string_not_equal(ar_status_text(all[i]), ar_status_text(all[j]));
        }
    }
    assert_string_equal(ar_status_text((ar_status)-999), "unknown status");
}

static void fail_sets_the_text_and_returns_the_code(void **state) {
    (void)state;
    assert_int_equal(ar__fail(AR_ERR_SHAPE, "w is (%d, %d) but G is %d", 512, 100, 64), AR_ERR_SHAPE);
    assert_string_equal(ar_error(), "w is (512, 100) but G is 64");
}

static void a_text_too_long_is_cut(void **state) {
    (void)state;
    char big[5000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    ar__fail(AR_ERR_IO, "%s", big);
    size_t length = strlen(ar_error());
    assert_true(length > 200 && length < sizeof big - 1);
}

static void *other_thread(void *token) {
    bool clean = ar_error()[0] == '\0';
    ar__fail(AR_ERR_IO, "other");
    return clean && strcmp(ar_error(), "other") == 0 ? token : NULL;
}

static void the_text_belongs_to_its_thread(void **state) {
    (void)state;
    int token;
    void *result = NULL;
    pthread_t thread; /* not thrd_t: ThreadSanitizer (gcc 12) does not see those */
    ar__fail(AR_ERR_IO, "mine");
    assert_int_equal(pthread_create(&thread, NULL, other_thread, &token), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, &token);
    assert_string_equal(ar_error(), "mine");
}

static void alloc_gives_zeroed_memory_also_for_nothing(void **state) {
    (void)state;
    uint8_t *p = ar__alloc(1000, 3), *none = ar__alloc(0, 8);
    assert_non_null(p);
    assert_non_null(none);
    for (int i = 0; i < 3000; i++) assert_int_equal(p[i], 0);
    free(p);
    free(none);
}

static void alloc_refuses_what_overflows(void **state) {
    (void)state;
    volatile size_t huge = SIZE_MAX / 2;
    assert_null(ar__alloc(huge, 3));
    assert_non_null(strstr(ar_error(), "cannot allocate"));
}

static void the_nth_allocation_fails_once(void **state) {
    (void)state;
    ar__alloc_fail_at(2);
    void *a = ar__alloc(1, 1), *b = ar__alloc(1, 1), *c = ar__alloc(1, 1);
    assert_non_null(a);
    assert_null(b);
    assert_non_null(c);
    ar__alloc_fail_at(1);
    ar__alloc_fail_at(0);
    b = ar__alloc(1, 1);
    assert_non_null(b);
    free(a);
    free(b);
    free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_own_code_and_text),
        cmocka_unit_test(fail_sets_the_text_and_returns_the_code),
        cmocka_unit_test(a_text_too_long_is_cut),
        cmocka_unit_test(the_text_belongs_to_its_thread),
        cmocka_unit_test(alloc_gives_zeroed_memory_also_for_nothing),
        cmocka_unit_test(alloc_refuses_what_overflows),
        cmocka_unit_test(the_nth_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
