/* Memory of the host that a device works in. */
#ifndef AR_PAGES_H
#define AR_PAGES_H
#include <stddef.h>

/* Asks for large pages under `bytes` from `memory` on, best before anything was written there: where the
 * processor is the device, a stream of weights then loses no time to page tables. A wish: what the system
 * does not grant changes nothing but time. Only whole pages of 2 MiB inside the range count. */
void ar__pages_enlarge(void *memory, size_t bytes);
#endif
