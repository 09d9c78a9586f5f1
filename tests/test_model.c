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
    assert_error(open_and_close(folder), AR_ERR_FORMAT, "a folder without config.json");
    put_text(in_folder(folder, "config.json"), "not json");
    assert_error(open_and_close(folder), AR_ERR_FORMAT, "config.json");
    put_text(in_folder(folder, "config.json"), "{\"model_type\":\"bert\"}");
    assert_error(open_and_close(folder), AR_ERR_FORMAT, "bert");
    put_text(in_folder(folder, "config.json"), "{" TINY_CONFIG "}");
    assert_error(open_and_close(folder), AR_ERR_FORMAT, "model.safetensors");
    put_text(in_folder(folder, "model.safetensors"), "short");
    assert_error(open_and_close(folder), AR_ERR_FORMAT, "model.safetensors: found 5 bytes");
    tiny_write(folder, &(tiny_change){.missing = "model.norm.weight"});
    assert_error(open_and_close(folder), AR_ERR_FORMAT, "model.norm.weight: missing");
}

/* Other programs' files in the place of ours. */
static void what_stands_in_its_place_is_named(void **state) {
    (void)state;
    static const struct {
        bool has_config;
        const char *file, *part;
    } rows[] = {
        {false, "adapter_config.json", "an adapter (LoRA) (adapter_config.json)"},
        {false, "model.Q4_K_M.gguf", "(model.Q4_K_M.gguf), expected that file itself"},
        {false, "params.json", "in its makers' own layout"},
        {false, "model.safetensors", "weights without their config.json"},
        {true, "pytorch_model.bin", "a pickled checkpoint (pytorch_model.bin), expected safetensors"},
        {true, "pytorch_model.bin.index.json", "the index of a pickled checkpoint"},
        {true, "consolidated.00.pth", "a pickled checkpoint (consolidated.00.pth)"},
        {true, "model.pt", "a pickled checkpoint"},
        {true, "tf_model.h5", "TensorFlow"},
        {true, "flax_model.msgpack", "Flax"},
        {true, "adapter_model.safetensors", "an adapter (LoRA)"},
        {true, "consolidated.safetensors", "(consolidated.safetensors), expected model.safetensors"},
        {true, "model-00001-of-00002.safetensors", "expected model.safetensors.index.json"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *other = temp_folder();
        if (rows[i].has_config) put_text(in_folder(other, "config.json"), "{" TINY_CONFIG "}");
        put_text(in_folder(other, rows[i].file), "x");
        assert_error(open_and_close(other), AR_ERR_FORMAT, rows[i].part);
        temp_remove(other);
    }
}

static void files_that_are_no_model_are_named(void **state) {
    (void)state;
    static const struct {
        const char *start;
        size_t bytes;
        const char *part;
    } rows[] = {{"", 0, "x.bin: found a file, expected a folder with config.json or a GGUF file"},
                {"PK\3\4", 4, "a pickled checkpoint"},
                {"\x80\2}", 3, "a pickled checkpoint"},
                {"tjgg", 4, "an old GGML file"},
                {"\2\0\0\0\0\0\0\0{}", 10, "a safetensors file"},
                {"GGUF\3", 5, "x.bin: version"}, /* whatever its name */
                {"<!DOCTYPE html>", 15, "a file"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        put_file(in_folder(folder, "x.bin"), rows[i].start, rows[i].bytes);
        assert_error(open_and_close(in_folder(folder, "x.bin")), AR_ERR_FORMAT, rows[i].part);
    }
}

/* Every file of a folder, and a GGUF file, where a clone did not fetch them. */
static void git_lfs_pointers_are_recognised(void **state) {
    (void)state;
    static const char pointer[] =
        "version https://git-lfs.github.com/spec/v1\noid sha256:"
        "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    static const char *const files[] = {"config.json", "model.safetensors", "tokenizer.json",
                                        "tokenizer_config.json", "model.safetensors.index.json"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char part[128], *other = temp_folder();
        tiny_write(other, &(tiny_change){0});
        put_text(in_folder(other, "tokenizer.json"),
                 "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}");
        if (strstr(files[i], "index")) remove(in_folder(other, "model.safetensors"));
        put_text(in_folder(other, files[i]), pointer);
        snprintf(part, sizeof part, "%s: found a Git LFS pointer", files[i]);
        assert_error(open_and_close(other), AR_ERR_FORMAT, part);
        temp_remove(other);
    }
    put_text(in_folder(folder, "x.gguf"), pointer);
    assert_error(open_and_close(in_folder(folder, "x.gguf")), AR_ERR_FORMAT,
                 "x.gguf: found a Git LFS pointer");
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
                                       T(what_stands_in_its_place_is_named),
                                       T(files_that_are_no_model_are_named),
                                       T(git_lfs_pointers_are_recognised),
                                       T(a_bad_tokenizer_is_refused),
                                       T(special_tokens_come_from_both_configs),
                                       T(a_token_without_a_row_is_refused),
                                       T(opening_survives_every_failed_allocation),
                                       T(shared_models_open)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
