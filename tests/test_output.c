/* host/job/output.c: outputs are refused before the work, and a file that reads back wrong never gets its
 * name.
 */
#include "output.h"
#include "write_source.h"
#include <dirent.h>
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
        assert_error(ar__output_write(out, staging, &t.src, NULL), AR_ERR_CHECK, "read back");
        assert_false(ar_path_exists(out));
        assert_false(ar_path_exists(staging));
        t.src.linear = source_linear;
        assert_ok(ar__output_write(out, staging, &t.src, NULL));
        assert_false(ar_path_exists(staging));
        assert_int_equal(ar_path_exists(in_folder(folder, "out/config.json")), i == 0);
        assert_int_equal(ar_path_exists(in_folder(folder, "out/gptq/config.json")), i == 1);
        t.src.linear = moody_linear; /* and what stood there stays */
        put_text(in_folder(folder, "out/mine.txt"), "mine");
        assert_error(ar__output_write(out, staging, &t.src, NULL), AR_ERR_CHECK, "read back");
        assert_true(ar_path_exists(in_folder(folder, "out/mine.txt")));
        source_close(&t);
        temp_remove(folder);
    }
}

typedef struct told {
    int32_t last;
} told;

static void tell(void *ctx, const ar_progress_event *e) {
    told *t = ctx;
    assert_string_equal(e->stage, "write");
    assert_true(e->step > t->last && e->step_count == 100);
    t->last = e->step;
}

static uint64_t folder_bytes(const char *path) {
    uint64_t sum = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        char file[8500];
        struct stat s;
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        if (stat(file, &s) == 0 && S_ISREG(s.st_mode)) sum += (uint64_t)s.st_size;
    }
    closedir(dir);
    return sum;
}

/* Weights to the byte; the text files around them nearly. And progress reaches its end once. */
static void sizes_are_known_before_and_progress_ends(void **state) {
    (void)state;
    static const source_shape large = {.hidden = 256, .kv = 128, .inter = 512, .dtype = "F16"};
    static const char *const formats[] = {
        "fake", "gptq", "gptq_v2", "auto_round", "auto_round_awq", "awq", "compressed_tensors", "fake,gptq"};
    for (size_t k = 0; k < sizeof formats / sizeof *formats; k++) {
        char *folder = temp_folder(), model[4200], out[4200], staging[4200], inside[4300];
        const ar_output_request request = {formats[k], NULL, 4, 32, 1, false};
        test_source t;
        told events = {0};
        ar_output_size size;
        snprintf(model, sizeof model, "%s/model", folder);
        snprintf(out, sizeof out, "%s/out", folder);
        snprintf(staging, sizeof staging, "%s/staging", folder);
        source_open(&t, model, &large, &request);
        assert_ok(ar__output_write(out, staging, &t.src, &(ar_observer){.progress = tell, .ctx = &events}));
        assert_int_equal(events.last, 100);
        for (int32_t i = 0; i < t.plan.format_count; i++) {
            snprintf(inside, sizeof inside, "%s%s%s", out, t.plan.format_count > 1 ? "/" : "",
                     t.plan.format_count > 1 ? t.plan.formats[i] : "");
            double found = (double)folder_bytes(inside);
            assert_ok(ar__output_size(&size, &t.src, i));
            if ((double)size.bytes < 0.97 * found || (double)size.bytes > 1.03 * found)
                fail_msg("%s: expected %.0f bytes, found %.0f", t.plan.formats[i], (double)size.bytes, found);
            assert_true(size.values > 2 * 256 * 512 && size.rounded == 0);
        }
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
                                       cmocka_unit_test(sizes_are_known_before_and_progress_ends),
                                       cmocka_unit_test(refused_before_the_work),
                                       cmocka_unit_test(a_closed_folder_is_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
