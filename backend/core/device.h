/* What device.c needs of kernel.c and memory.c besides internal.h: creation and destruction of their parts.
 */
#ifndef AR_DEVICE_H
#define AR_DEVICE_H
#include "internal.h"

ar_status ar__pipelines_create(ar__pipelines **pipelines);
void ar__pipelines_destroy(ar_device *device);
ar_status ar__memory_create(ar__memory **memory);
/* Releases every driver buffer, also those still in use. */
void ar__memory_destroy(ar_device *device);
#endif
