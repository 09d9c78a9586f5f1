/* libFuzzer: a tokenizer.json, a zero byte, a text. What opens must encode the text, or say why not, and
 * decode whatever ids came out. */
#include "ar_host.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    const uint8_t *zero = bytes > 0 ? memchr(data, 0, bytes) : NULL;
    size_t json_bytes = zero ? (size_t)(zero - data) : bytes;
    ar_tokenizer *t;
    if (ar_tokenizer_parse(&t, (const char *)data, json_bytes, "fuzz") != AR_OK) return 0;
    const char *text = zero ? (const char *)zero + 1 : "Hello, world! \xc3\xa9 <s>";
    size_t text_bytes = zero ? bytes - json_bytes - 1 : strlen(text);
    for (int special = 0; special < 2; special++) {
        int32_t *ids;
        int64_t count;
        char *back;
        size_t back_bytes;
        if (ar_tokenizer_encode(t, &ids, &count, text, text_bytes, special) != AR_OK) continue;
        for (int64_t i = 0; i < count; i++)
            if (ids[i] < 0 || ids[i] >= ar_tokenizer_vocab(t)) abort();
        if (ar_tokenizer_decode(t, &back, &back_bytes, ids, count, true, special) == AR_OK) free(back);
        free(ids);
    }
    ar_tokenizer_close(t);
    return 0;
}
