/* The chat template of a GGUF file. */
#include "fmt_gguf.h"
#include <string.h>

ar_status ar__gguf_template(char **template, const char *path) {
    ar_file file = {0};
    ar__gguf gguf = {0};
    const char *text = NULL;
    size_t bytes = 0;
    ar_status status = AR_OK;
    AR_TRY(ar_file_open(&file, path));
    AR_GO(ar__gguf_parse(&gguf, file.data, file.bytes, path));
    AR_GO(ar__gguf_text(&text, &bytes, &gguf, "tokenizer.chat_template"));
    if (text) *template = ar__alloc(bytes + 1, 1);
    if (text && !*template) status = AR_ERR_MEMORY;
    if (text && *template) memcpy(*template, text, bytes);
done:
    ar__gguf_deinit(&gguf);
    ar_file_close(&file);
    return status;
}
