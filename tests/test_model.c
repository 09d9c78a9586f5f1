/* host/model/model.c: opening folders and files, the tokenizer beside the weights, its special tokens. */
#include "tiny_model.h"
#include "each_folder.h"
#include "ar_error.h"

static ar_status open_and_close(const char *path) {
    ar_open_model *m;
    ar_status status = ar_model_open(&m, path);
    if (status == AR_OK)
        ar_model_close(m);
    else
        assert_null(m);
    return status;
}

static void a_model_may_lack_a_tokenizer(void **state) {
    (void)state;
    ar_open_model *m;
    tiny_write(folder, &(tiny_change){0});
    assert_ok(ar_model_open(&m, folder));
    assert_null(m->tokenizer);
    assert_string_equal(m->path, folder);
    assert_int_equal(m->config.bos, 1);
    assert_int_equal(m->model.block_count, 2);
    ar_model_close(m);
    ar_model_close(NULL);
}

static void what_is_no_model_is_named(void **state) {
    (void)state;
    assert_error(open_and_close(in_folder(folder, "none")), AR_ERR_IO, "none: found nothing");
    assert_error(open_and_close(folder), AR_ERR_IO, "config.json");
    put_text(in_folder(folder, "model.bin"), "x");
    assert_error(open_and_close(in_folder(folder, "model.bin")), AR_ERR_FORMAT,
                 "expected a folder with config.json or a .gguf file");
    put_text(in_folder(folder, "config.json"), "not json");
    assert_error(open_and_close(folder), AR_ERR_FORMAT, "config.json");
    put_text(in_folder(folder, "config.json"), "{\"model_type\":\"bert\"}");
    assert_error(open_and_close(folder), AR_ERR_FORMAT, "bert");
    put_text(in_folder(folder, "config.json"), "{" TINY_CONFIG "}");
    assert_error(open_and_close(folder), AR_ERR_IO, "model.safetensors");
    put_text(in_folder(folder, "model.safetensors"), "short");
    assert_error(open_and_close(folder), AR_ERR_FORMAT, "model.safetensors: found 5 bytes");
    tiny_write(folder, &(tiny_change){.missing = "model.norm.weight"});
    assert_error(open_and_close(folder), AR_ERR_FORMAT, "model.norm.weight: missing");
}

static void a_bad_tokenizer_is_refused(void **state) {
    (void)state;
    tiny_write(folder, &(tiny_change){0});
    put_text(in_folder(folder, "tokenizer.json"), "{\"model\":{\"type\":\"WordPiece\"}}");
    assert_error(open_and_close(folder), AR_ERR_FORMAT, "tokenizer.json");
    put_text(in_folder(folder, "tokenizer.json"), "{");
    assert_error(open_and_close(folder), AR_ERR_FORMAT, "tokenizer.json");
}

/* ---- special tokens ---- */

#define TOKENIZER                                                                                            \
    "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"<unk>\":0,\"<s>\":1,\"</"                                     \
    "s>\":2,\"a\":3,\"b\":4},\"merges\":[],"                                                                 \
    "\"byte_fallback\":true,\"unk_token\":\"<unk>\",\"fuse_unk\":true},\"added_tokens\":[]}"

static void check_special(const char *tokenizer_config, int32_t bos, int32_t eos) {
    ar_open_model *m;
    if (tokenizer_config) put_text(in_folder(folder, "tokenizer_config.json"), tokenizer_config);
    assert_ok(ar_model_open(&m, folder));
    assert_int_equal(ar_tokenizer_bos(m->tokenizer), bos);
    assert_int_equal(ar_tokenizer_eos(m->tokenizer), eos);
    ar_model_close(m);
}

static void special_tokens_come_from_both_configs(void **state) {
    (void)state;
    tiny_write(folder, &(tiny_change){0});
    put_text(in_folder(folder, "tokenizer.json"), TOKENIZER);
    check_special(NULL, 1, 2); /* config.json's ids */
    check_special("{\"bos_token\":\"a\",\"eos_token\":{\"content\":\"b\"}}", 3, 4);
    check_special("{\"bos_token\":null}", -1, 2);         /* null: none */
    check_special("{\"bos_token\":\"<nowhere>\"}", 1, 2); /* no such token: config.json's */
    put_text(in_folder(folder, "tokenizer_config.json"), "{\"bos_token\":7}");
    assert_error(open_and_close(folder), AR_ERR_FORMAT, "bos_token");
    put_text(in_folder(folder, "tokenizer_config.json"), "[");
    assert_error(open_and_close(folder), AR_ERR_FORMAT, "tokenizer_config.json");
}

/* Through the vocabulary or as an added token; rows without a token are fine. */
static void a_token_without_a_row_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"last\":N},\"merges\":[]}}",
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},\"added_tokens\":[{\"content\":"
        "\"last\","
        "\"special\":true,\"id\":N}]}"};
    tiny_write(folder, &(tiny_change){0});
    for (int i = 0; i < 2; i++) {
        char json[512];
        const char *id = strchr(texts[i], 'N');
        snprintf(json, sizeof json, "%.*s9%s", (int)(id - texts[i]), texts[i], id + 1);
        put_text(in_folder(folder, "tokenizer.json"), json);
        assert_ok(open_and_close(folder));
        snprintf(json, sizeof json, "%.*s10%s", (int)(id - texts[i]), texts[i], id + 1);
        put_text(in_folder(folder, "tokenizer.json"), json);
        assert_error(open_and_close(folder), AR_ERR_FORMAT,
                     "tokenizer.json: token \"last\": found id 10, expected one below the 10 rows");
    }
}

static void opening_survives_every_failed_allocation(void **state) {
    (void)state;
    tiny_write(folder, &(tiny_change){0});
    put_text(in_folder(folder, "tokenizer.json"), TOKENIZER);
    put_text(in_folder(folder, "tokenizer_config.json"), "{\"bos_token\":\"a\"}");
    ar_status status = AR_ERR_MEMORY;
    int32_t n = 0;
    while (status == AR_ERR_MEMORY && n < 5000) {
        ar__alloc_fail_at(++n);
        status = open_and_close(folder);
        ar__alloc_fail_at(0);
    }
    assert_int_equal(status, AR_OK);
    assert_true(n > 20);
}

static void shared_models_open(void **state) {
    (void)state;
    if (!shared_data("stories260K-hf/config.json")) skip();
    const char *names[] = {"stories260K-hf", "tinystories-656K-hf"};
    const int32_t vocab[] = {512, 2048}, blocks[] = {5, 2};
    for (int i = 0; i < 2; i++) {
        ar_open_model *m;
        assert_ok(ar_model_open(&m, shared_data(names[i])));
        assert_int_equal(m->model.block_count, blocks[i]);
        assert_int_equal(m->model.vocab, vocab[i]);
        assert_true(m->model.tied_head);
        assert_int_equal(ar_tokenizer_vocab(m->tokenizer), vocab[i]);
        assert_int_equal(ar_tokenizer_bos(m->tokenizer), 1);
        assert_int_equal(ar_tokenizer_eos(m->tokenizer), 2);
        ar_model_close(m);
    }
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {T(a_model_may_lack_a_tokenizer),
                                       T(what_is_no_model_is_named),
                                       T(a_bad_tokenizer_is_refused),
                                       T(special_tokens_come_from_both_configs),
                                       T(a_token_without_a_row_is_refused),
                                       T(opening_survives_every_failed_allocation),
                                       T(shared_models_open)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
