/* What Linux tells of a process's large pages. */
#ifndef AR_TEST_LARGE_PAGES_H
#define AR_TEST_LARGE_PAGES_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Bytes of [from, to) in mappings that are marked "hg": large pages wanted. */
static inline size_t marked(uintptr_t from, uintptr_t to) {
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

static inline bool has_large_pages(void) {
    FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    if (f) fclose(f);
    return f != NULL;
}
#endif
