/* Memory of this process: what is resident (Linux's /proc/self/status), and leaving what was read. */
#include "memory.h"
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define LEAVE_BYTES ((uint64_t)256 << 10) /* shorter ranges stay */

uint64_t ar__host_memory(void) {
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    uint64_t sum = 0;
    unsigned long long kib;
    if (!f) return 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "RssAnon: %llu kB", &kib) == 1 || sscanf(line, "RssShmem: %llu kB", &kib) == 1)
            sum += (uint64_t)kib * 1024;
    fclose(f);
    return sum;
}

void ar__mapping_leave(const void *data, uint64_t bytes) {
#ifdef MADV_DONTNEED
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)data;
    uintptr_t from = (at + page - 1) / page * page, to = (at + bytes) / page * page;
    if (bytes >= LEAVE_BYTES && from < to) (void)madvise((void *)from, to - from, MADV_DONTNEED);
#endif
}
