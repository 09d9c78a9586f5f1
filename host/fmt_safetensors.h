/* Inside host/ and its tests: a safetensors file that already lies in memory. */
#ifndef AR_FMT_SAFETENSORS_H
#define AR_FMT_SAFETENSORS_H
#include "ar_host.h"
/* As ar_safetensors_open of a single file with these bytes, which must outlive *st. what names it in errors.
 */
ar_status ar__safetensors_parse(ar_safetensors **st, const uint8_t *data, uint64_t bytes, const char *what);
#endif
