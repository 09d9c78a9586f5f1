/* Of cmd_info.c: what files say besides their tensors. */
#ifndef AR_INFO_METADATA_H
#define AR_INFO_METADATA_H
#include "fmt_gguf.h"
#include "program.h"
#include <cjson/cJSON.h>
/* An object, to be deleted even after a failure: GGUF's key-values by their keys; of a folder "config.json",
 * and "__metadata__" of its safetensors. */
ar_status ar_info_metadata(cJSON **made, const ar_open_model *m);
/* Adds its key-values by their keys. */
ar_status ar_info_add_gguf(cJSON *o, const ar__gguf *g);
/* Adds the texts of __metadata__. Errors: MEMORY. */
ar_status ar_info_add_safetensors(cJSON *o, const ar_safetensors *st);
/* A line each. */
ar_status ar_info_print_metadata(const cJSON *o);
#endif
