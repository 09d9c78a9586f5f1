/* Memory of the host that a device works in. */
#ifndef AR_PAGES_H
#define AR_PAGES_H
#include <stddef.h>

#define AR_PAGE_BYTES ((size_t)2 << 20) /* a large page */

/* Asks for large pages under `bytes` from `memory` on, best before anything was written there: where the
 * processor is the device, a stream of weights then loses no time to page tables. A wish: what the system
 * does not grant changes nothing but time. Only whole pages of 2 MiB inside the range count. */
void ar__pages_enlarge(void *memory, size_t bytes);

/* Zeros on pages of their own, from a multiple of 2 MiB on, large ones asked for. NULL: there is no memory,
 * or this system is none of those that are known to have such pages. Freed by ar__pages_free of as many
 * bytes. */
void *ar__pages_alloc(size_t bytes);
void ar__pages_free(void *memory, size_t bytes);
#endif
