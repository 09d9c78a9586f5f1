/* Any bytes as a chat template: refused, or text within the bounds; the same text when rendered again. */
#include "ar_host.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const ar_chat_message talk[] = {{"system", " Be brief. "},
                                           {"user", "Hi\nthere"},
                                           {"assistant", "<think>\nx\n</think>\n\nYo"},
                                           {"user", "\xc3\xa9?"}};
    static const struct tm now = {.tm_year = 131, .tm_mday = 2};
    char *template_text = malloc(bytes + 1), *texts[2] = {NULL};
    if (!template_text) return 0;
    memcpy(template_text, data, bytes);
    template_text[bytes] = '\0';
    const ar_chat_desc d = {.template_text = template_text, .bos = "<s>", .eos = "</s>", .now = &now};
    ar_chat *c;
    ar_status status[2];
    if (ar_chat_create(&c, &d) == AR_OK) {
        for (int i = 0; i < 2; i++) status[i] = ar_chat_render(&texts[i], c, talk, 4, true);
        if (status[0] != status[1] || (status[0] == AR_OK && strcmp(texts[0], texts[1]) != 0)) abort();
        if (status[0] == AR_OK && ar_chat_is_plain(c) && strstr(texts[0], "Be brief") == NULL) abort();
    }
    ar_chat_close(c);
    free(texts[0]);
    free(texts[1]);
    free(template_text);
    return 0;
}
