/* host/job/part.c: a state that is damaged anywhere is found out, and what is whole is kept. */
#include "part.h"
#include "workplace.h"
#include "write_source.h"
#include <fcntl.h>
#include <sys/stat.h>

static const source_shape shape = {.hidden = 64, .kv = 32, .inter = 96, .dtype = "F16"};
static const ar_output_request fake = {"fake", NULL, 4, 32, 1, false};

typedef struct fixture {
    char *folder, dir[4200];
    test_source t;
    ar_workplace place;
    ar_part part;
    ar_part_manifest manifest;
    ar_qlinear *list[AR_MAX_LINEARS];
    char remarks[4096];
} fixture;

static void keep_remark(void *ctx, const char *line) {
    fixture *x = ctx;
    snprintf(x->remarks + strlen(x->remarks), sizeof x->remarks - strlen(x->remarks), "%s\n", line);
}

static ar_status open_state(fixture *x, bool resume) {
    static ar_observer observer;
    observer = (ar_observer){.warn = keep_remark, .ctx = x};
    ar__part_close(&x->part);
    x->remarks[0] = '\0';
    return ar__part_open(&x->part, x->dir, &x->manifest, resume, &observer);
}

static void setup(fixture *x) {
    char model[4200];
    memset(x, 0, sizeof *x);
    x->folder = temp_folder();
    snprintf(model, sizeof model, "%s/model", x->folder);
    snprintf(x->dir, sizeof x->dir, "%s/o.part", x->folder);
    source_open(&x->t, model, &shape, &fake);
    ar__part_manifest_add(&x->manifest, "model", "%016llx", 17ull);
    ar__part_manifest_add(&x->manifest, "method", "%s", "rtn");
    ar__part_manifest_add(&x->manifest, "vram", "%d", 4096);
    assert_ok(ar__workplace_open(&x->place, x->dir));
    assert_ok(open_state(x, false));
    float history[3] = {3, 2, 1};
    for (int32_t b = 0; b < 2; b++) {
        const ar_block *block = &x->t.blocks[b];
        ar_block_report report = {.block = b, .history = history, .step_count = 3, .best_step = 2};
        for (int32_t i = 0; i < block->linear_count; i++) assert_ok(source_linear(&x->t, &x->list[i], b, i));
        assert_ok(ar__part_write(&x->part, block, x->list, &report));
        for (int32_t i = 0; i < block->linear_count; i++) ar_qlinear_free(x->list[i]);
    }
}

static void teardown(fixture *x) {
    ar__part_close(&x->part);
    ar__workplace_close(&x->place);
    source_close(&x->t);
    temp_remove(x->folder);
}

static const char *block_file(const fixture *x, int32_t b) {
    static char path[4300];
    snprintf(path, sizeof path, "%s/block-%05d.safetensors", x->dir, (int)b);
    return path;
}

/* Byte `at` of the file with one bit turned; its former value. */
static void flip(const char *path, long at, int bit) {
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, at, SEEK_SET);
    int c = fgetc(f);
    fseek(f, at, SEEK_SET);
    fputc(c ^ (1 << bit), f);
    fclose(f);
}

static long size_of(const char *path) {
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return (long)info.st_size;
}

static void a_whole_state_goes_on(void **state) {
    (void)state;
    fixture x;
    setup(&x);
    assert_ok(open_state(&x, true));
    assert_string_equal(x.remarks, "");
    assert_int_equal(ar__part_count(x.dir), 2);
    for (int32_t b = 0; b < 2; b++) assert_true(ar__part_finished(&x.part, b));
    assert_false(ar__part_finished(&x.part, 2));
    assert_string_equal(x.remarks, "");
    teardown(&x);
}

/* Every byte of the header, and one in 97 of the data. */
static void one_turned_bit_is_found_wherever_it_is(void **state) {
    (void)state;
    fixture x;
    setup(&x);
    assert_ok(open_state(&x, true));
    long bytes = size_of(block_file(&x, 1));
    for (long at = 0; at < bytes; at += at < 4000 ? 1 : 97) {
        flip(block_file(&x, 1), at, (int)(at % 8));
        assert_ok(open_state(&x, true));
        bool finished = ar__part_finished(&x.part, 1);
        if (finished) { /* a blank of the header that is another one now */
            ar_qlinear *back[AR_MAX_LINEARS] = {0};
            if (at >= 4000) fail_msg("a bit of byte %ld is not missed", at);
            assert_ok(ar__part_load(&x.part, &x.t.blocks[1], back));
            for (int32_t i = 0; i < AR_MAX_LINEARS; i++) ar_qlinear_free(back[i]);
        } else {
            assert_non_null(strstr(x.remarks, "is done again"));
        }
        assert_true(ar__part_finished(&x.part, 0));
        flip(block_file(&x, 1), at, (int)(at % 8));
    }
    assert_ok(open_state(&x, true));
    assert_true(ar__part_finished(&x.part, 1));
    teardown(&x);
}

static void blocks_of_other_runs_and_places_are_not_taken(void **state) {
    (void)state;
    fixture x;
    setup(&x);
    char first[4300];
    snprintf(first, sizeof first, "%s", block_file(&x, 0));
    put_text(block_file(&x, 5), "");
    assert_int_equal(remove(block_file(&x, 5)), 0);
    assert_int_equal(link(first, block_file(&x, 5)), 0); /* block 0 as block 5 */
    assert_int_equal(truncate(block_file(&x, 1), 100), 0);
    assert_ok(open_state(&x, true));
    assert_true(ar__part_finished(&x.part, 0));
    assert_false(ar__part_finished(&x.part, 1));
    assert_false(ar__part_finished(&x.part, 5));
    /* a manifest that is gone or damaged: the blocks still say of which run they are */
    assert_int_equal(remove(in_folder(x.dir, "manifest.json")), 0);
    assert_ok(open_state(&x, true));
    assert_non_null(strstr(x.remarks, "missing"));
    assert_true(ar__part_finished(&x.part, 0));
    assert_int_equal(remove(in_folder(x.dir, "manifest.json")), 0);
    snprintf(x.manifest.fields[1].value, sizeof x.manifest.fields[1].value, "other");
    assert_ok(open_state(&x, true));
    assert_false(ar__part_finished(&x.part, 0));
    teardown(&x);
}

static void a_damaged_manifest_is_no_manifest(void **state) {
    (void)state;
    fixture x;
    char *value = NULL;
    setup(&x);
    long bytes = size_of(in_folder(x.dir, "manifest.json"));
    for (long at = 0; at < bytes; at++) {
        flip(in_folder(x.dir, "manifest.json"), at, (int)(at % 7));
        assert_ok(ar__part_recorded(&value, x.dir, "vram"));
        if (strcmp(value, "4096") != 0) assert_string_equal(value, "");
        free(value);
        assert_ok(open_state(&x, true)); /* writes it anew where it is damaged */
        assert_true(ar__part_finished(&x.part, 0));
        assert_true(ar__part_finished(&x.part, 1));
        if (x.remarks[0] == '\0') flip(in_folder(x.dir, "manifest.json"), at, (int)(at % 7));
    }
    assert_ok(ar__part_recorded(&value, x.dir, "vram"));
    assert_string_equal(value, "4096");
    free(value);
    snprintf(x.manifest.fields[2].value, sizeof x.manifest.fields[2].value, "1");
    assert_error(open_state(&x, true), AR_ERR_USAGE, "vram is '4096' there, expected '1'");
    teardown(&x);
}

static void nothing_to_resume_is_said(void **state) {
    (void)state;
    fixture x;
    setup(&x);
    assert_ok(ar__part_remove(&x.part));
    assert_ok(open_state(&x, true));
    assert_non_null(strstr(x.remarks, "no state to resume"));
    assert_ok(open_state(&x, false));
    assert_string_equal(x.remarks, "");
    teardown(&x);
}

/* After it was found whole: what writes the outputs must not take it either. */
static void damage_during_the_run_is_found(void **state) {
    (void)state;
    fixture x;
    ar_qlinear *q = NULL;
    setup(&x);
    assert_ok(open_state(&x, true));
    assert_true(ar__part_finished(&x.part, 1));
    flip(block_file(&x, 1), size_of(block_file(&x, 1)) - 1, 0);
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = 1, .tv_nsec = 0}};
    assert_int_equal(utimensat(AT_FDCWD, block_file(&x, 1), times, 0), 0);
    assert_error(ar__part_linear(&x.part, &x.t.blocks[1], &q, 0), AR_ERR_CHECK, "damaged");
    teardown(&x);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_whole_state_goes_on),
                                       cmocka_unit_test(one_turned_bit_is_found_wherever_it_is),
                                       cmocka_unit_test(blocks_of_other_runs_and_places_are_not_taken),
                                       cmocka_unit_test(a_damaged_manifest_is_no_manifest),
                                       cmocka_unit_test(nothing_to_resume_is_said),
                                       cmocka_unit_test(damage_during_the_run_is_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
