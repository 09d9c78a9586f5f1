/* backend/base/parallel.c: every index once, by whichever thread.
 * ctest-labels: threads */
#include "parallel.h"
#include "temp_files.h"

typedef struct counts {
    uint8_t seen[5000];
    int64_t square[5000];
} counts;

static void see(void *ctx, int64_t i) {
    counts *c = ctx;
    c->seen[i]++;
    c->square[i] = i * i;
}

static void every_index_is_worked_on_once(void **state) {
    (void)state;
    static const int64_t sizes[] = {0, 1, 2, 3, 17, 5000};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        counts *c = calloc(1, sizeof *c);
        ar__parallel(sizes[k], see, c);
        for (int64_t i = 0; i < 5000; i++) {
            assert_int_equal(c->seen[i], i < sizes[k]);
            assert_int_equal(c->square[i], i < sizes[k] ? i * i : 0);
        }
        free(c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_index_is_worked_on_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
