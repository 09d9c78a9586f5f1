/* host/folder/fmt_packed_config.c: quantization settings in config.json, in the files that quantizers wrote
 * before transformers knew of them, or left over beside a float model. */
#include "write_source.h"
#include "fmt_packed.h"
#include <cjson/cJSON.h>

static const source_shape small = {.hidden = 64, .kv = 16, .inter = 256, .dtype = "F32"};

/* Writes FOLDER/out in a format, and takes the settings out of it. */
static cJSON *write_without(const char *folder, const char *format, bool sym) {
    test_source t;
    source_open(&t, in_folder(folder, "model"), &small,
                &(ar_output_request){.formats = format, .bits = 4, .group = 32, .sym = sym});
    assert_ok(ar_format_find(format)->write(in_folder(folder, "out"), &t.src));
    source_close(&t);
    ar_json *root;
    assert_ok(ar_json_open(&root, in_folder(folder, "out/config.json"), 1 << 20));
    cJSON *settings = cJSON_DetachItemFromObject(root, "quantization_config");
    char *text = cJSON_Print(root);
    put_text(in_folder(folder, "out/config.json"), text);
    free(text);
    ar_json_close(root);
    remove(in_folder(folder, "out/quantization_config.json"));
    return settings;
}

static void put_settings(const char *folder, const char *file, const cJSON *settings) {
    char path[64], *text = cJSON_Print(settings);
    snprintf(path, sizeof path, "out/%s", file);
    put_text(in_folder(folder, path), text);
    free(text);
}

static void rename_key(cJSON *o, const char *from, const char *to) {
    cJSON_AddItemToObject(o, to, cJSON_DetachItemFromObject(o, from));
}

static uint64_t hash_of(const char *folder) {
    ar_weights w;
    uint64_t hash = 0;
    assert_ok(ar_weights_open_packed(&w, in_folder(folder, "out")));
    for (int64_t i = 0; i < w.vtable->count(w.impl); i++) {
        const ar_weight *t = w.vtable->at(w.impl, i);
        int64_t rows = t->dim_count > 1 ? t->dims[0] : 1, width = t->dims[t->dim_count - 1];
        float *values = malloc((size_t)(rows * width) * sizeof *values);
        assert_ok(w.vtable->read(w.impl, values, i, 0, rows));
        hash = ar_hash64(hash, values, (size_t)(rows * width) * sizeof *values);
        free(values);
    }
    ar_weights_close(&w);
    return hash;
}

typedef struct place {
    const char *format, *file;
    bool sym, bare, awq_keys; /* bare: without its quant_method */
} place;

static void settings_are_found_beside_config_json(void **state) {
    (void)state;
    static const place places[] = {
        {"gptq", "quantize_config.json", true, true, false},
        {"gptq", "quantize_config.json", true, false, false},
        {"gptq_v2", "quantize_config.json", false, true, false},
        {"gptq", "quantization_config.json", true, false, false},
        {"awq", "quant_config.json", false, true, true},
        {"awq", "quant_config.json", false, true, false},
        {"awq", "quantization_config.json", false, false, true},
        {"auto_round", "quantization_config.json", true, false, false},
        {"auto_round", "quantize_config.json", true, false, false},
        {"compressed_tensors", "quantization_config.json", false, false, false},
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const place *p = &places[i];
        char *folder = temp_folder();
        bool found;
        cJSON *settings = write_without(folder, p->format, p->sym), *root = cJSON_CreateObject();
        cJSON_AddItemReferenceToObject(root, "quantization_config", settings);
        char *config = cJSON_Print(root), *kept;
        assert_ok(ar_file_read_text(&kept, NULL, in_folder(folder, "out/config.json"), 1 << 20));
        assert_ok(ar__packed_config_find(&found, in_folder(folder, "out")));
        assert_false(found);
        put_text(in_folder(folder, "out/config.json"), config); /* as it was */
        uint64_t hash = hash_of(folder);
        put_text(in_folder(folder, "out/config.json"), kept);
        if (p->bare) cJSON_DeleteItemFromObject(settings, "quant_method");
        if (p->awq_keys)
            rename_key(settings, "bits", "w_bit"), rename_key(settings, "group_size", "q_group_size");
        put_settings(folder, p->file, settings);
        assert_ok(ar__packed_config_find(&found, in_folder(folder, "out")));
        assert_true(found);
        if (hash_of(folder) != hash) fail_msg("%s in %s: other values", p->format, p->file);
        free(config);
        free(kept);
        cJSON_Delete(root);
        cJSON_Delete(settings);
        temp_remove(folder);
    }
}

/* What config.json says counts, under either of its keys. */
static void config_json_comes_first(void **state) {
    (void)state;
    static const char *const keys[] = {"quantization_config", "compression_config"};
    for (int k = 0; k < 2; k++) {
        char *folder = temp_folder();
        ar_packed_config c = {0};
        cJSON *settings = write_without(folder, "compressed_tensors", false), *root = cJSON_CreateObject();
        cJSON_AddItemToObject(root, keys[k], settings);
        put_settings(folder, "config.json", root);
        put_text(in_folder(folder, "out/quantize_config.json"), "{\"bits\":8,\"group_size\":64}");
        assert_ok(ar__packed_config_open(&c, in_folder(folder, "out")));
        assert_string_equal(c.method, "pack");
        assert_int_equal(c.scheme.bits, 4);
        ar__packed_config_close(&c);
        cJSON_Delete(root);
        temp_remove(folder);
    }
}

/* A float folder with a file that another model left is a float folder, and keeps its raw blocks. */
static void settings_left_over_do_not_count(void **state) {
    (void)state;
    char *folder = temp_folder();
    test_source t;
    ar_weights w;
    source_open(&t, in_folder(folder, "out"), &small, &(ar_output_request){.formats = "gptq", .sym = 1});
    source_close(&t);
    put_text(in_folder(folder, "out/quantize_config.json"), "{\"bits\":4,\"group_size\":32,\"sym\":true}");
    assert_ok(ar_weights_open_packed(&w, in_folder(folder, "out")));
    assert_non_null(w.vtable->raw);
    ar_weights_close(&w);
    put_text(in_folder(folder, "out/quantize_config.json"), "{\"bits\":5}");
    assert_error(ar_weights_open_packed(&w, in_folder(folder, "out")), AR_ERR_FORMAT,
                 "quantize_config.json: bits");
    put_text(in_folder(folder, "out/quantize_config.json"), "[]");
    assert_error(ar_weights_open_packed(&w, in_folder(folder, "out")), AR_ERR_FORMAT, "expected an object");
    remove(in_folder(folder, "out/quantize_config.json"));
    assert_error(ar_weights_open_packed(&w, in_folder(folder, "out")), AR_ERR_FORMAT,
                 "no quantization settings");
    temp_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(settings_are_found_beside_config_json),
                                       cmocka_unit_test(config_json_comes_first),
                                       cmocka_unit_test(settings_left_over_do_not_count)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
