#include "pages.h"
#include <stdint.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#define PAGE_BYTES ((uintptr_t)2 << 20)

void ar__pages_enlarge(void *memory, size_t bytes) {
    uintptr_t at = (uintptr_t)memory, from = (at + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES,
              to = (at + bytes) / PAGE_BYTES * PAGE_BYTES;
    if (!memory || from >= to) return;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    (void)madvise((char *)memory + (from - at), to - from, MADV_HUGEPAGE);
#endif
}
