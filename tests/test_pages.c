/* backend/base/pages.c: which pages are asked for, as Linux tells them. */
#include "pages.h"
#include "temp_files.h"
#include <sys/mman.h>

#define MIB ((size_t)1 << 20)

/* Bytes of [from, to) in mappings that are marked "hg": large pages wanted. */
static size_t marked(uintptr_t from, uintptr_t to) {
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[1024];
    unsigned long long first = 0, end = 0;
    size_t bytes = 0;
    while (f && fgets(line, sizeof line, f)) {
        unsigned long long a, z;
        char dash;
        if (sscanf(line, "%llx%c%llx", &a, &dash, &z) == 3 && dash == '-') first = a, end = z;
        if (strncmp(line, "VmFlags:", 8) != 0 || !strstr(line, " hg")) continue;
        uint64_t low = first > from ? first : from, high = end < to ? end : to;
        if (low < high) bytes += high - low;
    }
    if (f) fclose(f);
    return bytes;
}

static void only_whole_large_pages_are_asked_for(void **state) {
    (void)state;
    static const struct {
        size_t skip, bytes, expected; /* from a multiple of 2 MiB on */
    } cases[] = {{0, 0, 0},         {0, 2 * MIB - 1, 0},    {0, 2 * MIB, 2 * MIB}, {1, 4 * MIB, 2 * MIB},
                 {MIB, 2 * MIB, 0}, {MIB, 5 * MIB, 4 * MIB}};
    FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r"); /* else the kernel has none */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *all = mmap(NULL, 10 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(all != MAP_FAILED);
        char *at = all + (2 * MIB - (uintptr_t)all % (2 * MIB)) % (2 * MIB) + cases[i].skip;
        ar__pages_enlarge(at, cases[i].bytes);
        assert_int_equal(marked((uintptr_t)at, (uintptr_t)at + cases[i].bytes), f ? cases[i].expected : 0);
        assert_int_equal(marked((uintptr_t)all, (uintptr_t)all + 10 * MIB), f ? cases[i].expected : 0);
        munmap(all, 10 * MIB);
    }
    if (f) fclose(f);
    ar__pages_enlarge(NULL, 4 * MIB);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_whole_large_pages_are_asked_for)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
