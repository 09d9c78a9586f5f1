#include "pages.h"
#include <stdint.h>
#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

void ar__pages_enlarge(void *memory, size_t bytes) {
    uintptr_t at = (uintptr_t)memory, from = (at + AR_PAGE_BYTES - 1) / AR_PAGE_BYTES * AR_PAGE_BYTES,
              to = (at + bytes) / AR_PAGE_BYTES * AR_PAGE_BYTES;
    if (!memory || from >= to) return;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    (void)madvise((char *)memory + (from - at), to - from, MADV_HUGEPAGE);
#endif
}

#if defined(__linux__) && defined(MADV_HUGEPAGE)
void *ar__pages_alloc(size_t bytes) {
    if (bytes == 0 || bytes > SIZE_MAX - AR_PAGE_BYTES) return NULL;
    uint8_t *all =
        mmap(NULL, bytes + AR_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) return NULL;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), kept = (bytes + page - 1) / page * page;
    size_t before = (size_t)((AR_PAGE_BYTES - (uintptr_t)all % AR_PAGE_BYTES) % AR_PAGE_BYTES);
    if (before) (void)munmap(all, before);
    if (bytes + AR_PAGE_BYTES > before + kept)
        (void)munmap(all + before + kept, bytes + AR_PAGE_BYTES - before - kept);
    ar__pages_enlarge(all + before, kept);
    return all + before;
}

void ar__pages_free(void *memory, size_t bytes) {
    if (memory) (void)munmap(memory, bytes);
}
#else
void *ar__pages_alloc(size_t bytes) {
    (void)bytes;
    return NULL;
}

void ar__pages_free(void *memory, size_t bytes) {
    (void)memory;
    (void)bytes;
}
#endif
