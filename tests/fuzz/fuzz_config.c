/* Any bytes as a config.json: refused, or every number is in its range. */
#include "ar_host.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    ar_config c;
    if (ar_config_parse(&c, (const char *)data, bytes, "fuzz") != AR_OK) return 0;
    if (c.hidden < 1 || c.layers < 1 || c.max_tokens < 1 || c.kv_heads < 1 || c.heads % c.kv_heads != 0)
        abort();
    if (c.head_dim % 4 != 0 || !(c.rms_eps > 0) || !(c.rope_theta >= 1) || c.bos >= c.vocab || c.eos < -1)
        abort();
    if (!ar_family_find(c.family)) abort();
    return 0;
}
