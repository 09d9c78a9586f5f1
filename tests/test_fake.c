/* The format fake, and what all Hugging Face folders share: replacing an older folder, shards, refusals. */
#include <dirent.h>
#include "write_source.h"
#include <cjson/cJSON.h>
#include <sys/stat.h>

static const source_shape odd = {.hidden = 20, .kv = 6, .inter = 37, .dtype = "F32"};
static const source_shape halves = {.hidden = 32, .kv = 16, .inter = 48, .biased = true, .dtype = "BF16"};

/* Every weight of the folder is the source's, or W' of a linear, bit for bit. */
static void compare_folder(const test_source *t, const char *folder) {
    ar_weights w;
    assert_ok(ar_weights_open_safetensors(&w, folder));
    const ar_weights *from = &t->model.weights;
    int64_t count = w.vtable->count(w.impl);
    assert_int_equal(count, from->vtable->count(from->impl));
    for (int64_t i = 0; i < count; i++) {
        const ar_weight *got = w.vtable->at(w.impl, i);
        int64_t at = ar_weights_find(from, got->name), rows = got->dim_count > 1 ? got->dims[0] : 1;
        size_t elements = (size_t)(rows * got->dims[got->dim_count - 1]);
        float *a = malloc(elements * 4), *b = malloc(elements * 4);
        ar_qlinear *q = NULL;
        assert_true(at >= 0);
        assert_ok(w.vtable->read(w.impl, a, i, 0, rows));
        assert_ok(from->vtable->read(from->impl, b, at, 0, rows));
        for (int k = 0; k < 2; k++)
            for (int l = 0; l < 7; l++) {
                char name[AR_HF_NAME];
                ar__hf_linear_name(name, &t->blocks[k], l);
                strcat(name, ".weight");
                if (strcmp(name, got->name) == 0) assert_ok(source_linear((void *)t, &q, k, l));
            }
        if (q) ar_qlinear_dequant(b, q);
        assert_string_equal(got->type, q ? "F32" : from->vtable->at(from->impl, at)->type);
        assert_memory_equal(a, b, elements * 4);
        ar_qlinear_free(q);
        free(a);
        free(b);
    }
    ar_weights_close(&w);
}

static void any_scheme_survives(void **state) {
    (void)state;
    static const ar_output_request requests[] = {
        {"fake", NULL, 2, 3, 0, false},  {"fake", NULL, 3, 32, 1, false}, {"fake", NULL, 5, 16, 0, false},
        {"fake", NULL, 6, -1, 1, false}, {"fake", NULL, 7, 1, 0, false},  {"fake", NULL, 8, 128, 1, false}};
    for (int i = 0; i < 12; i++) {
        char *folder = temp_folder();
        test_source t;
        source_open(&t, in_folder(folder, "model"), i % 2 ? &halves : &odd, &requests[i / 2]);
        t.negative = i % 4 == 3; /* every second request is symmetric */
        const ar_format *f = ar_format_find("fake");
        assert_ok(f->write(in_folder(folder, "out"), &t.src));
        assert_ok(f->verify(in_folder(folder, "out"), &t.src));
        compare_folder(&t, in_folder(folder, "out"));
        assert_true(ar_path_exists(in_folder(folder, "out/tokenizer.json")));
        assert_false(ar_path_exists(in_folder(folder, "out/quantization_config.json")));
        source_close(&t);
        temp_remove(folder);
    }
}

static const ar_output_request four = {"fake", NULL, 4, 16, 1, false};

static void verify_finds_a_changed_value(void **state) {
    (void)state;
    char *folder = temp_folder();
    test_source t;
    source_open(&t, in_folder(folder, "model"), &odd, &four);
    const ar_format *f = ar_format_find("fake");
    assert_ok(f->write(in_folder(folder, "out"), &t.src));
    t.negative = true;
    assert_error(f->verify(in_folder(folder, "out"), &t.src), AR_ERR_CHECK, "q_proj.weight: value");
    put_text(in_folder(folder, "out/model.safetensors"), "short");
    assert_error(f->verify(in_folder(folder, "out"), &t.src), AR_ERR_FORMAT, "model.safetensors");
    source_close(&t);
    temp_remove(folder);
}

/* ---- folders ---- */

static ar_status failing_linear(void *ctx, ar_qlinear **q, int32_t block, int32_t i) {
    if (block == 1) return AR_ERR_CHECK;
    return source_linear(ctx, q, block, i);
}

static int entries(const char *folder) {
    struct dirent **list;
    int n = scandir(folder, &list, NULL, NULL);
    for (int i = 0; i < n; i++) free(list[i]);
    if (n >= 0) free(list);
    return n - 2;
}

static void a_folder_is_replaced_whole_or_not_at_all(void **state) {
    (void)state;
    char *folder = temp_folder();
    test_source t;
    source_open(&t, in_folder(folder, "model"), &odd, &four);
    const ar_format *f = ar_format_find("fake");
    assert_ok(f->write(in_folder(folder, "out"), &t.src));
    put_text(in_folder(folder, "out/merges.txt"), "of an older output");
    t.src.linear = failing_linear; /* fails in the middle: the old folder stays, and nothing else */
    assert_int_equal(f->write(in_folder(folder, "out"), &t.src), AR_ERR_CHECK);
    assert_true(ar_path_exists(in_folder(folder, "out/merges.txt")));
    assert_int_equal(entries(folder), 2);
    t.src.linear = source_linear;
    assert_ok(f->verify(in_folder(folder, "out"), &t.src));
    assert_ok(f->write(in_folder(folder, "out//"), &t.src)); /* a slash at the end changes nothing */
    assert_false(ar_path_exists(in_folder(folder, "out/merges.txt")));
    assert_int_equal(entries(folder), 2);
    assert_ok(f->verify(in_folder(folder, "out"), &t.src));
    put_text(in_folder(folder, "out/mine.txt"), "mine"); /* what somebody put there is not lost */
    assert_error(f->write(in_folder(folder, "out"), &t.src), AR_ERR_IO, "found mine.txt");
    assert_true(ar_path_exists(in_folder(folder, "out/mine.txt")));
    source_close(&t);
    temp_remove(folder);
}

static void only_model_folders_are_replaced(void **state) {
    (void)state;
    char *folder = temp_folder();
    test_source t;
    source_open(&t, in_folder(folder, "model"), &odd, &four);
    const ar_format *f = ar_format_find("fake");
    assert_ok(ar_dir_create(in_folder(folder, "full")));
    put_text(in_folder(folder, "full/letter.txt"), "dear");
    put_text(in_folder(folder, "file"), "dear");
    assert_error(f->write(in_folder(folder, "full"), &t.src), AR_ERR_IO, "found letter.txt");
    assert_error(f->write(in_folder(folder, "file"), &t.src), AR_ERR_IO, "found a file");
    assert_error(f->write(in_folder(folder, "model"), &t.src), AR_ERR_IO, "the model itself");
    assert_error(f->write(in_folder(folder, "file/out"), &t.src), AR_ERR_IO, "file");
    assert_true(ar_path_exists(in_folder(folder, "full/letter.txt")));
    assert_ok(ar_dir_create(in_folder(folder, "empty")));
    assert_ok(f->write(in_folder(folder, "empty"), &t.src));
    assert_ok(f->write(in_folder(folder, "new/deeper"), &t.src));
    free(t.model.path);
    assert_ok(ar_path_join(&t.model.path, folder, "file"));
    strcpy(t.model.config.family, "opt"); /* has no way into a file, and so none out of one */
    assert_error(f->write(in_folder(folder, "out"), &t.src), AR_ERR_UNSUPPORTED,
                 "expected llama, mistral, qwen2, qwen3, phi3 or gpt2");
    source_close(&t);
    temp_remove(folder);
}

static void an_unwritable_place_is_an_error(void **state) {
    (void)state;
    char *folder = temp_folder();
    test_source t;
    source_open(&t, in_folder(folder, "model"), &odd, &four);
    assert_ok(ar_dir_create(in_folder(folder, "locked")));
    chmod(in_folder(folder, "locked"), 0500);
    if (geteuid() != 0)
        assert_error(ar_format_find("fake")->write(in_folder(folder, "locked/out"), &t.src), AR_ERR_IO,
                     "locked");
    assert_error(ar_format_find("fake")->write("/proc/none/out", &t.src), AR_ERR_IO, "/proc/none");
    chmod(in_folder(folder, "locked"), 0700);
    source_close(&t);
    temp_remove(folder);
}

/* ---- shards, through a layout of one F32 tensor ---- */

static ar_status plain_declare(ar_hf_tensors *out, const ar_scheme *scheme, int64_t O, int64_t I,
                               const void *ctx) {
    (void)scheme;
    (void)ctx;
    *out = (ar_hf_tensors){.count = 1};
    out->list[0] = (ar_hf_tensor){"weight", "F32", 2, {O, I}, NULL, (size_t)(O * I) * 4};
    return AR_OK;
}

static ar_status plain_fill(ar_hf_tensors *out, const ar_qlinear *q, const void *ctx) {
    (void)ctx;
    out->list[0].data = calloc(1, out->list[0].bytes);
    ar_qlinear_dequant(out->list[0].data, q);
    return AR_OK;
}

static ar_status plain_config(cJSON *root, const ar_write_source *src, const void *ctx) {
    (void)root;
    (void)src;
    (void)ctx;
    return AR_OK;
}

static void large_models_are_cut_into_shards(void **state) {
    (void)state;
    static const uint64_t limits[] = {1, 4000, 20000, 1000000};
    static const int shards[] = {16, 10, 2,
                                 1}; /* 880 bytes and two layers of 13040, 2960 the largest tensor */
    for (int k = 0; k < 4; k++) {
        ar_hf_layout layout = {
            .declare = plain_declare, .fill = plain_fill, .config = plain_config, .shard_bytes = limits[k]};
        char *folder = temp_folder(), name[64];
        test_source t;
        source_open(&t, in_folder(folder, "model"), &odd, &four);
        assert_ok(ar__hf_folder_write(in_folder(folder, "out"), &t.src, &layout));
        compare_folder(&t, in_folder(folder, "out"));
        int found = 0;
        for (int n = 1; n <= 16; n++) {
            snprintf(name, sizeof name, "out/model-%05d-of-%05d.safetensors", n, shards[k]);
            if (shards[k] == 1) snprintf(name, sizeof name, "out/model.safetensors");
            if (n <= shards[k]) found += ar_path_exists(in_folder(folder, name));
        }
        assert_int_equal(found, shards[k]);
        assert_int_equal(ar_path_exists(in_folder(folder, "out/model.safetensors.index.json")),
                         shards[k] > 1);
        source_close(&t);
        temp_remove(folder);
    }
}

static void values_beyond_f16_are_refused(void **state) {
    (void)state;
    char *folder = temp_folder();
    test_source t;
    source_open(&t, in_folder(folder, "model"), &odd, &(ar_output_request){"gptq", NULL, 4, 16, 1, false});
    ar_st_writer *w;
    float huge = 70000.0f;
    ar_weights_close(&t.model.weights);
    assert_ok(ar_st_writer_create(&w));
    assert_ok(ar_st_writer_declare(w, "model.norm.weight", "F32", 1, (int64_t[]){1}));
    assert_ok(ar_st_writer_begin(w, in_folder(folder, "model/model.safetensors")));
    assert_ok(ar_st_writer_data(w, &huge, 4));
    assert_ok(ar_st_writer_finish(&w));
    assert_ok(ar_weights_open_safetensors(&t.model.weights, in_folder(folder, "model")));
    assert_error(ar_format_find("gptq")->write(in_folder(folder, "out"), &t.src), AR_ERR_UNSUPPORTED,
                 "model.norm.weight: found 70000");
    source_close(&t);
    temp_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_scheme_survives),
        cmocka_unit_test(verify_finds_a_changed_value),
        cmocka_unit_test(a_folder_is_replaced_whole_or_not_at_all),
        cmocka_unit_test(only_model_folders_are_replaced),
        cmocka_unit_test(an_unwritable_place_is_an_error),
        cmocka_unit_test(large_models_are_cut_into_shards),
        cmocka_unit_test(values_beyond_f16_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
