/* GPT-2's files: vocab.json, an object of tokens with their ids, and merges.txt, a pair of tokens a line. */
#include "tokenizer_files.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>

static ar_status read_vocab(ar__token_list *l, const ar_json *vocab, const char *what) {
    if (!cJSON_IsObject(vocab) || !vocab->child)
        return ar__fail(AR_ERR_FORMAT, "%s: found no object, expected tokens with their ids", what);
    for (const ar_json *item = vocab->child; item; item = item->next) {
        char quoted[AR__QUOTE_BYTES];
        size_t bytes = strlen(item->string);
        double id = cJSON_IsNumber(item) ? item->valuedouble : -1;
        if (!(id >= 0 && id < AR__MAX_TOKENS && id == floor(id)))
            return ar__fail(AR_ERR_FORMAT, "%s: id of token %s: found %.17g, expected an integer in [0, %d)",
                            what, ar__quote(quoted, item->string, bytes), id, AR__MAX_TOKENS);
        AR_TRY(ar__token_list_put(l, (int64_t)id, item->string, bytes, 0, AR_TOKEN_NORMAL, what));
    }
    return AR_OK;
}

/* Lines of two tokens; "#version" at the start and empty lines are none. */
static void read_merges(const char **merges, int64_t *count, char *text) {
    *count = 0;
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next) *next++ = 0;
        size_t bytes = strlen(line);
        if (bytes > 0 && line[bytes - 1] == '\r') line[--bytes] = 0;
        bool is_head = line == text && strncmp(line, "#version", 8) == 0;
        if (bytes > 0 && !is_head) merges[(*count)++] = line;
    }
}

ar_status ar__gpt2_read(ar__token_list *l, ar_tokenizer_data *d, const char ***merges, const ar_json *vocab,
                        char *text, const char *what) {
    size_t lines = 1;
    for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++) lines++;
    d->kind = AR_TOK_BYTE_BPE;
    AR_TRY(read_vocab(l, vocab, what));
    *merges = ar__alloc(lines, sizeof **merges);
    if (!*merges) return AR_ERR_MEMORY;
    read_merges(*merges, &d->merge_count, text);
    d->merges = *merges;
    return AR_OK;
}
