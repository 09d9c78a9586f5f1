/* libFuzzer: a SentencePiece model. What is read must have tokens, or say why not. */
#include "tokenizer_files.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    char name[] = "fuzz";
    ar_file f = {data, bytes, name};
    ar__token_list l = {0};
    ar_tokenizer_data d = {0};
    ar_tokenizer *t;
    bool byte_fallback;
    if (ar__spm_read(&l, &d, &byte_fallback, &f) == AR_OK) {
        if (l.count == 0) abort();
        d.count = l.count;
        d.tokens = l.tokens;
        d.token_bytes = l.token_bytes;
        d.types = l.types;
        d.scores = l.scores;
        d.bos = d.eos = d.unk = -1;
        if (ar_tokenizer_build(&t, &d) == AR_OK) ar_tokenizer_close(t);
    }
    ar__token_list_deinit(&l);
    return 0;
}
