/* backend/base/pages.c: which pages are asked for, as Linux tells them. */
#include "pages.h"
#include "large_pages.h"
#include "temp_files.h"
#include <sys/mman.h>

#define MIB ((size_t)1 << 20)

static void only_whole_large_pages_are_asked_for(void **state) {
    (void)state;
    static const struct {
        size_t skip, bytes, expected; /* from a multiple of 2 MiB on */
    } cases[] = {{0, 0, 0},         {0, 2 * MIB - 1, 0},    {0, 2 * MIB, 2 * MIB}, {1, 4 * MIB, 2 * MIB},
                 {MIB, 2 * MIB, 0}, {MIB, 5 * MIB, 4 * MIB}};
    bool has = has_large_pages();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *all = mmap(NULL, 10 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(all != MAP_FAILED);
        char *at = all + (2 * MIB - (uintptr_t)all % (2 * MIB)) % (2 * MIB) + cases[i].skip;
        ar__pages_enlarge(at, cases[i].bytes);
        assert_int_equal(marked((uintptr_t)at, (uintptr_t)at + cases[i].bytes), has ? cases[i].expected : 0);
        assert_int_equal(marked((uintptr_t)all, (uintptr_t)all + 10 * MIB), has ? cases[i].expected : 0);
        munmap(all, 10 * MIB);
    }
    ar__pages_enlarge(NULL, 4 * MIB);
}

/* Pages of memory that are mapped, of the whole process. */
static size_t mapped(void) {
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%zu", &pages), 1);
    fclose(f);
    return pages;
}

static void pages_of_our_own_are_zeros_and_go_back_whole(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 4096, 2 * MIB - 1, 2 * MIB, 5 * MIB + 4096};
    size_t before = mapped(), page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t bytes = sizes[i], whole = (bytes + page - 1) / page;
        uint8_t *at = ar__pages_alloc(bytes);
        assert_non_null(at);
        assert_int_equal((uintptr_t)at % (2 * MIB), 0);
        assert_int_equal(mapped(), before + whole);
        assert_int_equal(marked((uintptr_t)at, (uintptr_t)at + whole * page),
                         has_large_pages() ? whole * page / (2 * MIB) * (2 * MIB) : 0);
        for (size_t j = 0; j < bytes; j++)
            if (at[j]) fail_msg("byte %zu of %zu is %d", j, bytes, at[j]);
        memset(at, 1, bytes);
        ar__pages_free(at, bytes);
        assert_int_equal(mapped(), before);
    }
    assert_null(ar__pages_alloc(0));
    assert_null(ar__pages_alloc(SIZE_MAX));
    assert_null(ar__pages_alloc(SIZE_MAX / 2));
    ar__pages_free(NULL, 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_whole_large_pages_are_asked_for),
        cmocka_unit_test(pages_of_our_own_are_zeros_and_go_back_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
