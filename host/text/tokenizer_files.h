/* Inside host/text: tokenizers as they were kept before tokenizer.json. tokenizer_spm.c reads SentencePiece's
 * model, tokenizer_gpt2.c vocab.json with merges.txt, both into tokenizer_list.c's arrays; tokenizer_files.c
 * reads what stands beside them. */
#ifndef AR_TOKENIZER_FILES_H
#define AR_TOKENIZER_FILES_H
#include "tokenizer.h"

/* The arrays of an ar_tokenizer_data on their way; texts are borrowed. */
typedef struct ar__token_list {
    const char **tokens;
    size_t *token_bytes;
    float *scores;
    int32_t *types;
    int32_t count, capacity;
} ar__token_list;
/* Sets token id, making room; ids between get no text yet (NULL). Errors: FORMAT (another text there),
 * MEMORY.
 */
ar_status ar__token_list_put(ar__token_list *l, int64_t id, const char *text, size_t bytes, float score,
                             int32_t type, const char *what);
void ar__token_list_deinit(ar__token_list *l);

/* SentencePiece's protocol buffer: tokens of a BPE model, and in *d what it says of spaces and unknown
 * characters. *byte_fallback: it has bytes for these. UNSUPPORTED names what other models have (Unigram, a
 * normalization of its own); FORMAT. */
ar_status ar__spm_read(ar__token_list *l, ar_tokenizer_data *d, bool *byte_fallback, const ar_file *f);
/* Byte-level BPE: tokens of vocab.json's object, merges of merges.txt's text, whose lines are cut in place;
 * *merges is to be freed. */
ar_status ar__gpt2_read(ar__token_list *l, ar_tokenizer_data *d, const char ***merges, const ar_json *vocab,
                        char *text, const char *what);
#endif
