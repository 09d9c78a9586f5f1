/* Generates text with the library, nothing else:  generate MODEL "Once upon a time" [TOKENS [DEVICE]]
 * Build:  cc generate.c -o generate $(pkg-config --cflags --libs anyround) */
#include <anyround/ar_host.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRY(call)                                                                                            \
    do {                                                                                                     \
        if ((call) != AR_OK) {                                                                               \
            fprintf(stderr, "%s\n", ar_error());                                                             \
            return 1;                                                                                        \
        }                                                                                                    \
    } while (0)

static int print_token(ar_text_stream *stream, const ar_tokenizer *tokenizer, int32_t id) {
    char *text;
    size_t bytes;
    TRY(ar_text_stream_push(stream, &text, &bytes, tokenizer, id));
    fwrite(text, 1, bytes, stdout);
    fflush(stdout);
    free(text);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: generate MODEL PROMPT [TOKENS [DEVICE]]\n");
        return 2;
    }
    int32_t limit = argc > 3 ? atoi(argv[3]) : 64, *prompt;
    int64_t count;
    ar_open_model *model;
    ar_device *device;
    ar_session *session;
    ar_text_stream stream = {0};

    TRY(ar_model_open(&model, argv[1]));
    TRY(ar_device_open(&device, &(ar_device_desc){.select = argc > 4 ? argv[4] : "auto"}));
    TRY(ar_tokenizer_encode_text(model->tokenizer, &prompt, &count, argv[2], strlen(argv[2]), false));
    TRY(ar_session_create(&session, model, device, (int32_t)count + limit));
    int32_t *ids = calloc((size_t)count + (size_t)limit, sizeof *ids);
    float *logits = calloc((size_t)model->model.vocab, sizeof *logits);
    if (!ids || !logits) return 1;
    memcpy(ids, prompt, (size_t)count * sizeof *ids);
    for (int64_t i = 0; i < count; i++)
        if (print_token(&stream, model->tokenizer, ids[i])) return 1;

    ar_sampling sampling = {.temperature = 0.7f, .top_k = 40, .top_p = 0.95f, .seed = 1};
    for (int32_t made = 0; made < limit; made++) { /* the session only computes what is new */
        TRY(ar_session_logits(session, logits, ids, count));
        int32_t id = ar_sample(logits, model->model.vocab, &sampling, (uint64_t)made);
        if (ar_config_ends(&model->config, id)) break;
        ids[count++] = id;
        if (print_token(&stream, model->tokenizer, id)) return 1;
    }
    putchar('\n');
    free(ids);
    free(logits);
    free(prompt);
    ar_session_destroy(session);
    ar_device_close(device);
    ar_model_close(model);
    return 0;
}
