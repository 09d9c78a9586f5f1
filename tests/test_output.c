/* host/job/output.c: outputs are refused before the work, and a file that reads back wrong never gets its
 * name.
 */
#include "output.h"
#include "write_source.h"
#include <sys/stat.h>

static const source_shape shape = {.hidden = 64, .kv = 32, .inter = 96, .dtype = "F16"};
static const ar_output_request one = {"fake", NULL, 4, 32, 1, false},
                               two = {"fake,gptq", NULL, 4, 32, 1, false};

/* Other codes at every second call, so that what is compared is not what was written. */
static ar_status moody_linear(void *ctx, ar_qlinear **q, int32_t block, int32_t i) {
    static int calls;
    AR_TRY(source_linear(ctx, q, block, i));
    if (block == 1 && i == 6 && calls++ % 2) (*q)->codes[0] ^= 1;
    return AR_OK;
}

static void nothing_wrong_gets_its_name(void **state) {
    (void)state;
    const ar_output_request *requests[] = {&one, &two};
    for (int i = 0; i < 2; i++) {
        char *folder = temp_folder(), model[4200], out[4200], staging[4200];
        test_source t;
        snprintf(model, sizeof model, "%s/model", folder);
        snprintf(out, sizeof out, "%s/out", folder);
        snprintf(staging, sizeof staging, "%s/staging", folder);
        source_open(&t, model, &shape, requests[i]);
        t.src.linear = moody_linear;
        assert_error(ar__output_write(out, staging, &t.src), AR_ERR_CHECK, "read back");
        assert_false(ar_path_exists(out));
        assert_false(ar_path_exists(staging));
        t.src.linear = source_linear;
        assert_ok(ar__output_write(out, staging, &t.src));
        assert_false(ar_path_exists(staging));
        assert_int_equal(ar_path_exists(in_folder(folder, "out/config.json")), i == 0);
        assert_int_equal(ar_path_exists(in_folder(folder, "out/gptq/config.json")), i == 1);
        t.src.linear = moody_linear; /* and what stood there stays */
        put_text(in_folder(folder, "out/mine.txt"), "mine");
        assert_error(ar__output_write(out, staging, &t.src), AR_ERR_CHECK, "read back");
        assert_true(ar_path_exists(in_folder(folder, "out/mine.txt")));
        source_close(&t);
        temp_remove(folder);
    }
}

static ar_status check(const char *formats, const char *out, const char *model) {
    ar_output_plan plan;
    assert_ok(ar_output_plan_make(&plan, &(ar_output_request){.formats = formats, .sym = -1}));
    return ar__output_check(&plan, out, model);
}

static void refused_before_the_work(void **state) {
    (void)state;
    char *folder = temp_folder(), model[4200], inner[4200];
    snprintf(model, sizeof model, "%s/outer/model", folder);
    snprintf(inner, sizeof inner, "%s/outer/model/more", folder);
    assert_ok(ar_dir_create(inner));
    put_text(in_folder(folder, "outer/config.json"), "{}");
    put_text(in_folder(folder, "outer/model/config.json"), "{}");
    put_text(in_folder(folder, "file"), "x");
    assert_ok(check("gguf", in_folder(folder, "o.gguf"), model));
    assert_ok(check("fake", in_folder(folder, "new/"), model));
    assert_ok(check("gguf", in_folder(folder, "file"), model)); /* a file may be replaced */
    assert_ok(check("gguf,fake", in_folder(folder, "several"), model));
    assert_error(check("gguf", in_folder(folder, "outer"), model), AR_ERR_IO, "found a folder");
    assert_error(check("gguf", in_folder(folder, "o.gguf/"), model), AR_ERR_IO, "name of a folder");
    assert_error(check("gguf", in_folder(folder, "absent/o.gguf"), model), AR_ERR_IO, "does not exist");
    assert_error(check("gguf", in_folder(folder, "file/o.gguf"), model), AR_ERR_IO, "no folder");
    assert_error(check("gguf", "", model), AR_ERR_IO, "empty");
    assert_error(check("gguf,fake", in_folder(folder, "file"), model), AR_ERR_IO, "found a file");
    assert_error(check("fake", in_folder(folder, "file"), model), AR_ERR_IO, "found a file");
    assert_error(check("fake", model, model), AR_ERR_IO, "model itself");
    assert_error(check("fake", in_folder(folder, "outer/model/"), model), AR_ERR_IO, "model itself");
    assert_error(check("fake", in_folder(folder, "outer/model/out"), model), AR_ERR_IO, "inside the model");
    assert_error(check("gguf", in_folder(folder, "outer/model/more/../o.gguf"), model), AR_ERR_IO,
                 "inside the model");
    assert_error(check("gguf,fake", model, model), AR_ERR_IO, "inside the model");
    assert_error(check("fake", in_folder(folder, "outer"), model), AR_ERR_IO, "holds the model");
    assert_error(check("gguf", in_folder(folder, "file"), in_folder(folder, "file")), AR_ERR_IO,
                 "model itself");
    assert_int_equal(symlink(model, in_folder(folder, "link")), 0);
    assert_error(check("gguf", in_folder(folder, "link/o.gguf"), model), AR_ERR_IO, "inside the model");
    char out[4200];
    snprintf(out, sizeof out, "%s/o.gguf", folder);
    assert_ok(ar__output_check_file("--report", in_folder(folder, "r.html"), out));
    assert_error(ar__output_check_file("--report", in_folder(folder, "absent/r.html"), out), AR_ERR_IO,
                 "does not exist");
    assert_error(ar__output_check_file("--report", in_folder(folder, "outer"), out), AR_ERR_IO,
                 "found a folder");
    assert_error(ar__output_check_file("--report", in_folder(folder, "./o.gguf"), out), AR_ERR_USAGE,
                 "output itself");
    temp_remove(folder);
}

static void a_closed_folder_is_named(void **state) {
    (void)state;
    if (geteuid() == 0) skip(); /* root may write everywhere */
    char *folder = temp_folder();
    assert_ok(ar_dir_create(in_folder(folder, "model")));
    assert_ok(ar_dir_create(in_folder(folder, "closed")));
    assert_int_equal(chmod(in_folder(folder, "closed"), 0500), 0);
    assert_error(check("gguf", in_folder(folder, "closed/o.gguf"), in_folder(folder, "model")), AR_ERR_IO,
                 "denied");
    assert_int_equal(chmod(in_folder(folder, "closed"), 0700), 0);
    temp_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_wrong_gets_its_name),
                                       cmocka_unit_test(refused_before_the_work),
                                       cmocka_unit_test(a_closed_folder_is_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
