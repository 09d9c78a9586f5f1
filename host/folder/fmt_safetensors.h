/* Inside host/ and its tests: a safetensors file that already lies in memory; what lies under float weights.
 */
#ifndef AR_FMT_SAFETENSORS_H
#define AR_FMT_SAFETENSORS_H
#include "ar_host.h"
/* As ar_safetensors_open of a single file with these bytes, which must outlive *st. what names it in errors.
 */
ar_status ar__safetensors_parse(ar_safetensors **st, const uint8_t *data, uint64_t bytes, const char *what);
/* Names of tensors in shards that the index does not list, with commas between; NULL = none. */
const char *ar__safetensors_unlisted(const ar_safetensors *st);
/* The i-th text of __metadata__ and its key; NULL beyond the last. */
const char *ar__safetensors_metadata_at(const ar_safetensors *st, int64_t i, const char **key);
/* Of weights that ar_weights_open_safetensors made: the tensors, in the same order, and the file's path. */
const ar_safetensors *ar__weights_safetensors(const ar_weights *w);
const char *ar__weights_path(const ar_weights *w);
#endif
