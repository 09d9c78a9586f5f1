/* Memory of this process. */
#ifndef AR_HOST_MEMORY_H
#define AR_HOST_MEMORY_H
#include <stdint.h>

/* Bytes of its own that are resident now: anonymous and shared ones (a software device's are among them),
 * without pages of mapped files, which the system takes back when it likes. 0 = the system does not say. */
uint64_t ar__host_memory(void);

/* A large range of a mapped file was read and will hardly be read soon: its whole pages no longer count as
 * this process's. Reading them again is right, and finds them in the system's cache. Short ranges, such as
 * rows of an embedding, stay. */
void ar__mapping_leave(const void *data, uint64_t bytes);
#endif
