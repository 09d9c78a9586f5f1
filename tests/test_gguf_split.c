/* A model in several GGUF files (host/gguf/fmt_gguf_split.c): the first holds all of the small model but its
 * head, which lies in the second. */
#include "gguf_file.h"
#include "place.h"

#define FIRST  "m-00001-of-00002.gguf"
#define SECOND "m-00002-of-00002.gguf"

static int tensors; /* what split.tensors.count says */

static void key_u16(bytes *b, const char *name, int value) {
    key(b, name, AR__GGUF_U16);
    number(b, (uint64_t)value, 2);
}

static void first_keys(bytes *b) {
    key_u16(b, "split.no", 0);
    key_u16(b, "split.count", 2);
    key(b, "split.tensors.count", AR__GGUF_I32);
    number(b, (uint64_t)tensors, 4);
}

static void put_first(const char *folder, int count) {
    static bytes b;
    tensors = count;
    model(&b, &(change){.drop = "output.weight", .more_keys = first_keys, .more_key_count = 3});
    put_file(in_folder(folder, FIRST), b.data, b.used);
}

static void put_second(const char *folder, const char *tensor, int no, int count) {
    static bytes b;
    header(&b, 3, 1, 2);
    key_u16(&b, "split.no", no);
    key_u16(&b, "split.count", count);
    info(&b, tensor, 2, (const int64_t[]){8, 4}, 0, 0);
    pad(&b, 32);
    for (int64_t i = 0; i < 32; i++) real(&b, (float)i);
    put_file(in_folder(folder, SECOND), b.data, b.used);
}

static ar_status open_named(const char *folder, const char *name) {
    ar_open_model *m;
    ar_status status = ar_model_open(&m, in_folder(folder, name));
    if (status == AR_OK) ar_model_close(m);
    return status;
}

static void tensors_of_all_files_are_read(void **state) {
    (void)state;
    char *folder = temp_folder();
    ar_open_model *m;
    float row[8];
    put_first(folder, 12);
    put_second(folder, "output.weight", 1, 2);
    assert_ok(ar_model_open(&m, in_folder(folder, FIRST)));
    int64_t head = ar_weights_find(&m->weights, "lm_head.weight");
    assert_true(head >= 0);
    assert_ok(m->weights.vtable->read(m->weights.impl, row, head, 3, 1));
    for (int i = 0; i < 8; i++) assert_true(row[i] == (float)(24 + i));
    assert_non_null(ar_snapshot_file(&m->files, 1));
    assert_ok(ar_snapshot_check(&m->files));
    put_second(folder, "output.weight", 1, 3);
    assert_error(ar_snapshot_check(&m->files), AR_ERR_IO, SECOND);
    ar_model_close(m);
    temp_remove(folder);
}

static void what_does_not_fit_is_named(void **state) {
    (void)state;
    char *folder = temp_folder();
    put_first(folder, 12);
    assert_error(open_named(folder, FIRST), AR_ERR_IO, SECOND);
    put_second(folder, "output.weight", 1, 2);
    assert_error(open_named(folder, SECOND), AR_ERR_FORMAT, "found file 2 of 2, expected the first");
    put_second(folder, "output.weight", 1, 3);
    assert_error(open_named(folder, FIRST), AR_ERR_FORMAT, "found file 2 of 3 in it, expected 2 of 2");
    put_second(folder, "blk.0.attn_k.weight", 1, 2);
    assert_error(open_named(folder, FIRST), AR_ERR_FORMAT, "found twice");
    put_second(folder, "output.weight", 1, 2);
    put_first(folder, 13);
    assert_error(open_named(folder, FIRST), AR_ERR_FORMAT, "found 12 tensors in all its files, expected 13");
    assert_int_equal(rename(in_folder(folder, FIRST), in_folder(folder, "m.gguf")), 0);
    assert_error(open_named(folder, "m.gguf"), AR_ERR_FORMAT, "ends with -00001-of-00002.gguf");
    temp_remove(folder);
}

static bool holds(const ar__text *file, const char *what) {
    for (size_t i = 0, n = strlen(what); i + n <= file->bytes; i++)
        if (memcmp(file->data + i, what, n) == 0) return true;
    return false;
}

/* quantize --like: the file that is written so is one. */
static void what_is_like_it_is_one_file(void **state) {
    (void)state;
    char *folder = temp_folder();
    ar__text file = {0};
    ar__gguf_out out = {.memory = &file};
    put_first(folder, 12);
    put_second(folder, "output.weight", 1, 2);
    assert_ok(ar__gguf_copy_fields(&out, in_folder(folder, FIRST)));
    assert_true(holds(&file, "llama.block_count"));
    assert_false(holds(&file, "split."));
    free(file.data);
    temp_remove(folder);
}

static void no_output_takes_the_place_of_one(void **state) {
    (void)state;
    char *folder = temp_folder();
    put_first(folder, 12);
    put_second(folder, "output.weight", 1, 2);
    const ar_input in = {in_folder(folder, FIRST), "the model"};
    assert_error(ar__path_check_inputs(in_folder(folder, SECOND), false, &in, 1), AR_ERR_IO,
                 "is a file of the model");
    assert_ok(ar__path_check_inputs(in_folder(folder, "m-00003-of-00002.gguf"), false, &in, 1));
    temp_remove(folder);
}

static void opening_survives_every_failed_allocation(void **state) {
    (void)state;
    char *folder = temp_folder();
    ar_status status = AR_ERR_MEMORY;
    int32_t n = 0;
    put_first(folder, 12);
    put_second(folder, "output.weight", 1, 2);
    while (status == AR_ERR_MEMORY && n < 1000) {
        ar__alloc_fail_at(++n);
        status = open_named(folder, FIRST);
        ar__alloc_fail_at(0);
    }
    assert_int_equal(status, AR_OK);
    assert_true(n > 10);
    temp_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_of_all_files_are_read), cmocka_unit_test(what_does_not_fit_is_named),
        cmocka_unit_test(what_is_like_it_is_one_file), cmocka_unit_test(no_output_takes_the_place_of_one),
        cmocka_unit_test(opening_survives_every_failed_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
