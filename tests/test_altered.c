/* Folders that are read back: what was altered since it was written is noticed and named. */
#include "write_source.h"
#include "packed_folder.h"

static const source_shape small = {.hidden = 64, .kv = 16, .inter = 256, .dtype = "F32"};

static void an_altered_file_is_noticed(void **state) {
    (void)state;
    static const char *const formats[] = {"awq", "compressed_tensors", "gptq_v2"}, *const names[] = {
                                                                                       "qweight",
                                                                                       "weight_packed",
                                                                                       "qweight"};
    for (int f = 0; f < 3; f++) {
        char *folder = temp_folder(), out[4200], name[100];
        uint8_t zeros[64 * 64 / 2] = {0};
        test_source t;
        source_open(&t, in_folder(folder, "model"), &small,
                    &(ar_output_request){.formats = formats[f], .bits = 4, .group = 32, .sym = 1});
        snprintf(out, sizeof out, "%s/out", folder);
        assert_ok(ar_format_find(formats[f])->write(out, &t.src));
        snprintf(name, sizeof name, "model.layers.1.self_attn.q_proj.%s", names[f]);
        patch_tensor(out, name, zeros, sizeof zeros);
        assert_error(ar_format_find(formats[f])->verify(out, &t.src), AR_ERR_CHECK, "q_proj");
        source_close(&t);
        temp_remove(folder);
    }
}

static void an_altered_float_is_noticed(void **state) {
    (void)state;
    static const struct {
        const char *format;
        size_t each;
    } kinds[] = {{"awq", 2}, {"fake", 4}};
    for (int f = 0; f < 2; f++) {
        char *folder = temp_folder(), model[4200], out[4200];
        uint8_t zeros[64 * 4] = {0};
        test_source t;
        snprintf(model, sizeof model, "%s/model", folder);
        snprintf(out, sizeof out, "%s/out", folder);
        source_open(&t, model, &small,
                    &(ar_output_request){.formats = kinds[f].format, .bits = 4, .group = 32, .sym = 1});
        assert_ok(ar_format_find(kinds[f].format)->write(out, &t.src));
        assert_ok(ar_format_find(kinds[f].format)->verify(out, &t.src));
        patch_tensor(out, "model.norm.weight", zeros, kinds[f].each * (size_t)small.hidden);
        assert_error(ar_format_find(kinds[f].format)->verify(out, &t.src), AR_ERR_CHECK,
                     "model.norm.weight: found 0");
        source_close(&t);
        temp_remove(folder);
    }
}

/* Files taken over from the source are compared as the tensors are. */
static void an_altered_copy_is_noticed(void **state) {
    (void)state;
    static const char *const formats[] = {"awq", "fake"};
    for (int f = 0; f < 2; f++) {
        char *folder = temp_folder(), model[4200], out[4200], from[4300], to[4300];
        test_source t;
        snprintf(model, sizeof model, "%s/model", folder);
        snprintf(out, sizeof out, "%s/out", folder);
        snprintf(from, sizeof from, "%s/model/merges.txt", folder);
        snprintf(to, sizeof to, "%s/out/merges.txt", folder);
        source_open(&t, model, &small,
                    &(ar_output_request){.formats = formats[f], .bits = 4, .group = 32, .sym = 1});
        put_text(from, "a b\nc d\n");
        assert_ok(ar_format_find(formats[f])->write(out, &t.src));
        assert_ok(ar_format_find(formats[f])->verify(out, &t.src));
        put_text(to, "a b\nc e\n");
        assert_error(ar_format_find(formats[f])->verify(out, &t.src), AR_ERR_CHECK,
                     "merges.txt: byte 6 read back is 0x65, expected 0x64");
        put_text(to, "a b\n");
        assert_error(ar_format_find(formats[f])->verify(out, &t.src), AR_ERR_CHECK,
                     "merges.txt: 4 bytes were read back, expected 8");
        source_close(&t);
        temp_remove(folder);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_altered_file_is_noticed),
                                       cmocka_unit_test(an_altered_float_is_noticed),
                                       cmocka_unit_test(an_altered_copy_is_noticed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
