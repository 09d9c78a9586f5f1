/* The small files of a Hugging Face folder for a model that did not come from one (GGUF). */
#ifndef AR_HF_MAKE_H
#define AR_HF_MAKE_H
#include "ar_host.h"
#include <cjson/cJSON.h>

/* config.json without a dtype; cJSON_Delete. UNSUPPORTED: a family whose config.json is not known here. */
ar_status ar__hf_make_config(cJSON **root, const ar_open_model *m);
/* tokenizer_config.json, with the model's chat template; m has a tokenizer. */
ar_status ar__hf_make_tokenizer_config(cJSON **root, const ar_open_model *m);
#endif
