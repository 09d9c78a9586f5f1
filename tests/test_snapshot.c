/* host/file/snapshot.c, and who asks it: nothing that was made from files that changed meanwhile gets a name.
 */
#include "ar_error.h"
#include "output.h"
#include "write_source.h"
#include <fcntl.h>
#include <sys/stat.h>

static char *home;

static int setup(void **state) {
    (void)state;
    home = temp_folder();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    temp_remove(home);
    return 0;
}

/* ---- what is seen ---- */

static void grow(const char *path) { put_text(path, "a longer text"); }
static void take_away(const char *path) { assert_int_equal(unlink(path), 0); }
static void touch(const char *path) {
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000, .tv_nsec = 1}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* Another file of the same text and time. */
static void replace(const char *path) {
    char other[4400];
    struct stat at;
    assert_int_equal(stat(path, &at), 0);
    snprintf(other, sizeof other, "%s.tmp", path);
    put_text(other, "text");
    const struct timespec times[2] = {at.st_atim, at.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, other, times, 0), 0);
    assert_int_equal(rename(other, path), 0);
}

static void each_change_is_named(void **state) {
    (void)state;
    static const struct {
        void (*change)(const char *path);
        const char *says;
    } cases[] = {{grow, "grew or shrank from 4 to 13 bytes"},
                 {touch, "was written to"},
                 {replace, "was replaced"},
                 {take_away, "went away"}};
    const char *names[] = {"model/a.safetensors", "model/tokenizer.json", "text"};
    for (size_t n = 0; n < 3; n++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            ar_snapshot s = {0};
            char path[4352];
            snprintf(path, sizeof path, "%s", in_folder(home, names[n]));
            assert_ok(ar_dir_create(in_folder(home, "model")));
            for (size_t k = 0; k < 3; k++) put_text(in_folder(home, names[k]), "text");
            assert_ok(ar_snapshot_add(&s, in_folder(home, "model")));
            assert_ok(ar_snapshot_add(&s, in_folder(home, "text")));
            assert_ok(ar_snapshot_check(&s));
            cases[i].change(path);
            assert_error(ar_snapshot_check(&s), AR_ERR_IO, path);
            assert_non_null(strstr(ar_error(), cases[i].says));
            ar_snapshot_deinit(&s);
        }
}

static void a_folder_is_what_a_model_has_there(void **state) {
    (void)state;
    ar_snapshot s = {0};
    put_text(in_folder(home, "b.safetensors"), "b");
    put_text(in_folder(home, "config.json"), "c");
    put_text(in_folder(home, "run.log"), "l");
    assert_ok(ar_dir_create(in_folder(home, "x.json")));
    assert_ok(ar_snapshot_add(&s, home));
    assert_string_equal(ar_snapshot_file(&s, 0), in_folder(home, "b.safetensors"));
    assert_string_equal(ar_snapshot_file(&s, 1), in_folder(home, "config.json"));
    assert_null(ar_snapshot_file(&s, 2));
    put_text(in_folder(home, "run.log"), "longer");
    put_text(in_folder(home, ".b.safetensors.part"), "b");
    put_text(in_folder(home, "x.json/y.json"), "y");
    assert_ok(ar_snapshot_check(&s));
    put_text(in_folder(home, "merges.txt"), "m");
    assert_error(ar_snapshot_check(&s), AR_ERR_IO, "merges.txt: appeared");
    assert_ok(ar_dir_remove(in_folder(home, "")));
    assert_error(ar_snapshot_check(&s), AR_ERR_IO, "cannot list");
    ar_snapshot_deinit(&s);
    assert_ok(ar_dir_create(home));
}

static void what_is_not_there_is_left_to_who_opens_it(void **state) {
    (void)state;
    ar_snapshot s = {0};
    assert_ok(ar_snapshot_add(&s, in_folder(home, "absent")));
    assert_ok(ar_snapshot_add(&s, "/dev/null"));
    assert_ok(ar_snapshot_check(&s));
    assert_ok(ar_snapshot_check(NULL));
    assert_null(ar_snapshot_file(&s, 0));
    ar_snapshot_deinit(&s);
}

static void how_something_ended_is_told(void **state) {
    (void)state;
    ar_snapshot s = {0};
    put_text(in_folder(home, "text"), "text");
    assert_ok(ar_snapshot_add(&s, in_folder(home, "text")));
    assert_ok(ar_snapshot_end(AR_OK, &s));
    assert_error(ar_snapshot_end(ar__fail(AR_ERR_FORMAT, "no number"), &s), AR_ERR_FORMAT, "no number");
    grow(in_folder(home, "text"));
    assert_error(ar_snapshot_end(AR_OK, &s), AR_ERR_IO, "text: grew");
    assert_error(ar_snapshot_end(ar__fail(AR_ERR_FORMAT, "no number"), &s), AR_ERR_IO, "text: grew");
    assert_error(ar_snapshot_end(ar__fail(AR_ERR_INTERRUPTED, "Ctrl-C"), &s), AR_ERR_INTERRUPTED, "Ctrl-C");
    ar_snapshot_deinit(&s);
}

static void no_memory_is_said(void **state) {
    (void)state;
    int failed = 0;
    put_text(in_folder(home, "config.json"), "text");
    for (int32_t n = 1;; n++, failed++) {
        ar_snapshot s = {0};
        ar__alloc_fail_at(n);
        ar_status status = ar_snapshot_add(&s, home);
        if (status == AR_OK) status = ar_snapshot_check(&s);
        ar__alloc_fail_at(0);
        ar_snapshot_deinit(&s);
        if (status == AR_OK) break;
        assert_int_equal(status, AR_ERR_MEMORY);
    }
    assert_true(failed >= 4);
}

/* ---- who asks ---- */

static const source_shape shape = {.hidden = 64, .kv = 32, .inter = 96, .dtype = "F16"};
static const ar_output_request request = {"fake,gptq", NULL, 4, 32, 1, false};
static const char *to_touch;

/* The last linear that is asked for comes when everything is written but not yet compared. */
static ar_status touching_linear(void *ctx, ar_qlinear **q, int32_t block, int32_t i) {
    if (block == 1 && i == 6) touch(to_touch);
    return source_linear(ctx, q, block, i);
}

static void an_output_of_what_changed_gets_no_name(void **state) {
    (void)state;
    char model[4200], text[4200], out[4200], staging[4200];
    snprintf(model, sizeof model, "%s/model", home);
    snprintf(text, sizeof text, "%s/text", home);
    snprintf(out, sizeof out, "%s/out", home);
    snprintf(staging, sizeof staging, "%s/staging", home);
    put_text(text, "text");
    for (int i = 0; i < 2; i++) {
        test_source t;
        ar_snapshot texts = {0};
        source_open(&t, model, &shape, &request);
        assert_ok(ar_snapshot_add(&t.model.files, model));
        assert_ok(ar_snapshot_add(&texts, text));
        t.src.texts = &texts;
        t.src.linear = touching_linear;
        to_touch = i ? text : in_folder(model, "config.json");
        assert_error(ar__output_write(out, staging, &t.src, NULL), AR_ERR_IO, to_touch);
        assert_false(ar_path_exists(out));
        assert_false(ar_path_exists(staging));
        t.src.linear = source_linear;
        ar_snapshot_deinit(&t.model.files);
        ar_snapshot_deinit(&texts);
        assert_ok(ar__output_write(out, staging, &t.src, NULL));
        assert_ok(ar_dir_remove(out));
        source_close(&t);
    }
}

static void a_model_knows_its_files(void **state) {
    (void)state;
    static const char *const files[] = {"config.json", "generation_config.json", "model.safetensors",
                                        "tokenizer.json", "tokenizer_config.json"};
    ar_open_model *m = NULL;
    assert_ok(ar_model_open(&m, "examples/demo-model"));
    for (int i = 0; i < 5; i++)
        assert_string_equal(ar_snapshot_file(&m->files, i), in_folder("examples/demo-model", files[i]));
    assert_null(ar_snapshot_file(&m->files, 5));
    ar_model_close(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_change_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_is_what_a_model_has_there, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_there_is_left_to_who_opens_it, setup, teardown),
        cmocka_unit_test_setup_teardown(how_something_ended_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory_is_said, setup, teardown),
        cmocka_unit_test_setup_teardown(an_output_of_what_changed_gets_no_name, setup, teardown),
        cmocka_unit_test(a_model_knows_its_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
