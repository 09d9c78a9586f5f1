/* host/folder/fmt_safetensors*.c and weights_safetensors.c: round trips, every truncated prefix, hostile
 * headers, shards.
 */
#include "each_folder.h"
#include "fmt_safetensors.h"
#include "ar_error.h"

/* A file of this header and data_bytes zeros, in an allocation of exactly its size. */
static uint8_t *build(size_t *bytes, const char *header, size_t data_bytes) {
    size_t n = strlen(header);
    uint8_t *file = calloc(1, 8 + n + data_bytes);
    for (int i = 0; i < 8; i++) file[i] = (uint8_t)((uint64_t)n >> (8 * i));
    memcpy(file + 8, header, n);
    *bytes = 8 + n + data_bytes;
    return file;
}

static ar_status open_built(const char *header, size_t data_bytes) {
    size_t bytes;
    uint8_t *file = build(&bytes, header, data_bytes);
    ar_safetensors *st;
    ar_status status = ar__safetensors_parse(&st, file, bytes, "t.safetensors");
    if (status == AR_OK)
        ar_safetensors_close(st);
    else
        assert_null(st);
    free(file);
    return status;
}

static void reader_takes_valid_files(void **state) {
    (void)state;
    assert_ok(open_built("{}", 0));
    assert_ok(open_built("{}      ", 0));
    assert_ok(open_built("{\"__metadata__\":{\"a\":\"b\"}}", 0));
    assert_ok(open_built("{\"__metadata__\":null}", 0));
    assert_ok(open_built(
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"__metadata__\":null}", 1));
    assert_ok(open_built("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4));
    assert_ok(open_built("{\"b\":{\"dtype\":\"F16\",\"shape\":[0,7],\"data_offsets\":[4,4]},"
                         "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
                         4));
    assert_ok(open_built("{\"a\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[0,2]}}", 2));
    assert_ok(open_built("{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,3],\"data_offsets\":[0,3]}}", 3));
}

typedef struct bad {
    const char *header;
    size_t data_bytes;
    const char *part;
} bad;

static void reader_rejects_hostile_headers(void **state) {
    (void)state;
#define A(dtype, shape, offsets)                                                                             \
    "{\"a\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
    const bad rows[] = {{" {}", 0, "expected '{'"},
                        {"[]", 0, "expected '{'"},
                        {"{}", 1, "found 1 bytes of data"},
                        {"{x}", 0, "not JSON"},
                        {"{} {}", 0, "after the JSON"},
                        {"{\"a\":1}", 0, "no object"},
                        {"{\"__metadata__\":[]}", 0, "__metadata__"},
                        {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__: a"},
                        {"{\"\xff\":1}", 0, "UTF-8"},
                        {"{\"a\\u0000b\":1}", 0, "\\u0000"},
                        {A("\"F33\"", "[1]", "[0,4]"), 4, "F33"},
                        {A("1", "[1]", "[0,4]"), 4, "dtype"},
                        {A("\"F32\"", "1", "[0,4]"), 4, "shape"},
                        {A("\"F32\"", "[-1]", "[0,4]"), 4, "shape"},
                        {A("\"F32\"", "[1.5]", "[0,4]"), 4, "shape"},
                        {A("\"F32\"", "[\"1\"]", "[0,4]"), 4, "shape"},
                        {A("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "dims"},
                        {A("\"F32\"", "[4294967296,4294967296]", "[0,4]"), 4, "overflows"},
                        {A("\"F64\"", "[4503599627370496,512]", "[0,0]"), 0, "overflows"},
                        {A("\"F32\"", "[9007199254740993]", "[0,4]"), 4, "found 4 bytes"},
                        {A("\"F32\"", "[1e300]", "[0,4]"), 4, "shape"},
                        {A("\"F32\"", "[1]", "[0]"), 4, "data_offsets"},
                        {A("\"F32\"", "[1]", "[0,4,8]"), 4, "data_offsets"},
                        {A("\"F32\"", "[1]", "[4,0]"), 4, "data_offsets"},
                        {A("\"F32\"", "[1]", "[0,5]"), 4, "data_offsets"},
                        {A("\"F32\"", "[1]", "[-4,0]"), 4, "data_offsets"},
                        {A("\"F32\"", "[1]", "[0,1e19]"), 4, "data_offsets"},
                        {A("\"F32\"", "[2]", "[0,4]"), 4, "found 4 bytes of data, expected 8"},
                        {A("\"F32\"", "[1]", "[4,8]"), 8, "hole"},
                        {A("\"F4\"", "[3]", "[0,1]"), 1, "data"},
                        {A("\"F32\"", "[1]", "[0,4]"), 5, "found 5 bytes of data"},
                        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"b\":{\"dtype\":"
                         "\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
                         3, "overlap"},
                        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"b\":{\"dtype\":"
                         "\"U8\",\"shape\":[2],\"data_offsets\":[3,5]}}",
                         5, "hole"},
                        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"a\":{\"dtype\":"
                         "\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
                         2, "hole"}, /* the last one counts */
                        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "data_offsets"},
                        {"{\"a\":{}}", 1, "dtype"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_error(open_built(rows[i].header, rows[i].data_bytes), AR_ERR_FORMAT, rows[i].part);
    char deep[4096] = "{\"a\":";
    memset(deep + 5, '[', 4000);
    assert_error(open_built(deep, 0), AR_ERR_FORMAT, "nesting");
}

static void reader_rejects_absurd_header_lengths(void **state) {
    (void)state;
    const uint64_t lengths[] = {0,          1,         3,          100,           (100u << 20) + 1,
                                UINT32_MAX, INT64_MAX, UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        uint8_t *file = malloc(10);
        for (int b = 0; b < 8; b++) file[b] = (uint8_t)(lengths[i] >> (8 * b));
        memcpy(file + 8, "{}", 2);
        ar_safetensors *st;
        assert_error(ar__safetensors_parse(&st, file, 10, "t"), AR_ERR_FORMAT, "header of");
        free(file);
    }
}

static void write_sample(const char *path) {
    const float a[6] = {1, -2.5f, 3, 4, 5, 6};
    const uint16_t b[3] = {0x3c00, 0xc000, 0x0001}, c[2] = {0x3f80, 0xc0a0};
    const uint8_t d[5] = {1, 2, 3, 4, 5};
    ar_st_writer *w;
    assert_ok(ar_st_writer_create(&w));
    assert_ok(ar_st_writer_metadata(w, "format", "pt"));
    assert_ok(ar_st_writer_metadata(w, "quo\"te\\\n", "\xc3\xa9"));
    assert_ok(ar_st_writer_declare(w, "d", "U8", 1, (const int64_t[]){5}));
    assert_ok(ar_st_writer_declare(w, "b\"x", "F16", 1, (const int64_t[]){3}));
    assert_ok(ar_st_writer_declare(w, "none", "F32", 2, (const int64_t[]){0, 4}));
    assert_ok(ar_st_writer_declare(w, "a", "F32", 2, (const int64_t[]){3, 2}));
    assert_ok(ar_st_writer_declare(w, "c", "BF16", 2, (const int64_t[]){2, 1}));
    assert_ok(ar_st_writer_begin(w, path));
    assert_ok(ar_st_writer_data(w, d, 2));
    assert_ok(ar_st_writer_data(w, d + 2, 3));
    assert_ok(ar_st_writer_data(w, b, sizeof b));
    assert_ok(ar_st_writer_data(w, a, sizeof a));
    assert_ok(ar_st_writer_data(w, c, sizeof c));
    assert_ok(ar_st_writer_finish(&w));
    assert_null(w);
}

static void written_file_reads_back(void **state) {
    (void)state;
    const char *path = in_folder(folder, "model.safetensors");
    write_sample(path);
    ar_safetensors *st;
    assert_ok(ar_safetensors_open(&st, path));
    assert_int_equal(ar_safetensors_count(st), 5);
    assert_string_equal(ar_safetensors_metadata(st, "format"), "pt");
    assert_string_equal(ar_safetensors_metadata(st, "quo\"te\\\n"), "\xc3\xa9");
    assert_null(ar_safetensors_metadata(st, "none"));
    const ar_st_tensor *a = ar_safetensors_find(st, "a");
    assert_string_equal(a->dtype, "F32");
    assert_int_equal(a->dim_count, 2);
    assert_int_equal(a->dims[0], 3);
    assert_int_equal(a->bytes, 24);
    assert_int_equal((uintptr_t)a->data % 4, 0);
    assert_memory_equal(ar_safetensors_find(st, "d")->data, ((uint8_t[]){1, 2, 3, 4, 5}), 5);
    assert_int_equal(ar_safetensors_find(st, "none")->bytes, 0);
    assert_int_equal(ar_safetensors_find(st, "b\"x")->bytes, 6);
    assert_null(ar_safetensors_find(st, "b"));
    assert_null(ar_safetensors_at(st, 5));
    assert_null(ar_safetensors_at(st, -1));
    ar_safetensors_close(st);
}

/* Every proper prefix of a valid file is refused, each in an allocation of its own so that a sanitizer sees a
 * read one byte too far. */
static void reader_rejects_every_prefix(void **state) {
    (void)state;
    const char *path = in_folder(folder, "model.safetensors");
    write_sample(path);
    ar_file f;
    assert_ok(ar_file_open(&f, path));
    for (uint64_t n = 0; n <= f.bytes; n++) {
        uint8_t *prefix = malloc(n ? n : 1);
        memcpy(prefix, f.data, n);
        ar_safetensors *st;
        ar_status status = ar__safetensors_parse(&st, prefix, n, "prefix");
        assert_int_equal(status, n < f.bytes ? AR_ERR_FORMAT : AR_OK);
        if (status == AR_OK) ar_safetensors_close(st);
        free(prefix);
    }
    ar_file_close(&f);
}

static void reader_survives_every_failed_allocation(void **state) {
    (void)state;
    const char *path = in_folder(folder, "model.safetensors");
    write_sample(path);
    ar_status status = AR_ERR_MEMORY;
    int32_t n = 0;
    while (status == AR_ERR_MEMORY && n < 1000) {
        ar_safetensors *st;
        ar__alloc_fail_at(++n);
        status = ar_safetensors_open(&st, path);
        ar__alloc_fail_at(0);
        if (status == AR_OK) ar_safetensors_close(st);
    }
    assert_int_equal(status, AR_OK);
    assert_true(n > 10);
}

static void writer_refuses_misuse(void **state) {
    (void)state;
    ar_st_writer *w;
    const int64_t dims[] = {2, 2}, huge[] = {INT64_MAX, 2}, negative[] = {-1};
    assert_ok(ar_st_writer_create(&w));
    assert_ok(ar_st_writer_declare(w, "a", "U8", 2, dims));
    assert_error(ar_st_writer_declare(w, "a", "U8", 2, dims), AR_ERR_ARG, "twice");
    assert_error(ar_st_writer_declare(w, "b", "Q4", 2, dims), AR_ERR_ARG, "Q4");
    assert_error(ar_st_writer_declare(w, "b", "U8", 9, dims), AR_ERR_ARG, "dims");
    assert_error(ar_st_writer_declare(w, "b", "U8", 2, huge), AR_ERR_ARG, "overflows");
    assert_error(ar_st_writer_declare(w, "b", "U8", 1, negative), AR_ERR_ARG, "-1");
    assert_error(ar_st_writer_declare(w, "__metadata__", "U8", 1, dims), AR_ERR_ARG, "reserved");
    assert_error(ar_st_writer_data(w, "x", 1), AR_ERR_ARG, "before begin");
    assert_error(ar_st_writer_begin(w, in_folder(folder, "no/x")), AR_ERR_IO, "no/x");
    assert_ok(ar_st_writer_begin(w, in_folder(folder, "x")));
    assert_error(ar_st_writer_begin(w, in_folder(folder, "x")), AR_ERR_ARG, "twice");
    assert_error(ar_st_writer_declare(w, "c", "U8", 2, dims), AR_ERR_ARG, "after the data");
    assert_error(ar_st_writer_data(w, "12345", 5), AR_ERR_ARG, "at most 4");
    assert_ok(ar_st_writer_data(w, "123", 3));
    assert_error(ar_st_writer_finish(&w), AR_ERR_ARG, "found 3 bytes, expected 4");
    assert_null(w);
    assert_false(ar_path_exists(in_folder(folder, "x")));
    ar_st_writer_abort(&w);
}

/* ---- shards ---- */

static void write_shard(const char *name, const char *tensor, float value) {
    ar_st_writer *w;
    assert_ok(ar_st_writer_create(&w));
    assert_ok(ar_st_writer_declare(w, tensor, "F32", 1, (const int64_t[]){1}));
    assert_ok(ar_st_writer_begin(w, in_folder(folder, name)));
    assert_ok(ar_st_writer_data(w, &value, 4));
    assert_ok(ar_st_writer_finish(&w));
}

static ar_status open_index_text(const char *text) {
    const char *path = in_folder(folder, "model.safetensors.index.json");
    put_text(path, text);
    ar_safetensors *st;
    ar_status status = ar_safetensors_open(&st, path);
    if (status == AR_OK) ar_safetensors_close(st);
    return status;
}

static void shards_open_through_the_index(void **state) {
    (void)state;
    write_shard("m-1.safetensors", "a", 1);
    write_shard("m-2.safetensors", "b", 2);
    put_text(in_folder(folder, "model.safetensors.index.json"),
             "{\"metadata\":{\"total_size\":8},\"weight_map\":{\"b\":\"m-2.safetensors\",\"a\":\"m-1."
             "safetensors\"}}");
    ar_weights w;
    assert_ok(ar_weights_open_safetensors(&w, folder));
    float value;
    assert_ok(w.vtable->read(w.impl, &value, ar_weights_find(&w, "b"), 0, 1));
    assert_true(value == 2);
    assert_int_equal(w.vtable->count(w.impl), 2);
    ar_weights_close(&w);
}

static void index_must_agree_with_the_shards(void **state) {
    (void)state;
    write_shard("m-1.safetensors", "a", 1);
    write_shard("m-2.safetensors", "b", 2);
    write_shard("m-3.safetensors", "a", 3);
    assert_error(open_index_text("{}"), AR_ERR_FORMAT, "weight_map");
    assert_error(open_index_text("{\"weight_map\":{\"a\":1}}"), AR_ERR_FORMAT, "no string");
    assert_error(open_index_text("{\"weight_map\":{\"a\":\"m-1.safetensors\",\"b\":\"m-1.safetensors\"}}"),
                 AR_ERR_FORMAT, "b: not found, expected in m-1.safetensors");
    assert_error(open_index_text("{\"weight_map\":{\"b\":\"m-1.safetensors\",\"a\":\"m-2.safetensors\"}}"),
                 AR_ERR_FORMAT, "expected in m-2.safetensors");
    assert_error(open_index_text("{\"weight_map\":{\"a\":\"m-1.safetensors\",\"b\":\"m-3.safetensors\"}}"),
                 AR_ERR_FORMAT, "b: not found, expected in m-3.safetensors");
    assert_error(open_index_text("{\"weight_map\":{\"x\":\"m-9.safetensors\"}}"), AR_ERR_FORMAT,
                 "m-9.safetensors");
    const char *names[] = {"../m-1.safetensors", "/etc/passwd", "", ".", "..", "a/b", "a\\\\b", ".hidden"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"weight_map\":{\"a\":\"%s\"}}", names[i]);
        assert_error(open_index_text(text), AR_ERR_FORMAT, "plain file name");
    }
}

/* Stale copies in other shards, before and behind the right one, and tensors that the index leaves out. */
static void index_decides_which_tensors_count(void **state) {
    (void)state;
    ar_weights w;
    float value;
    write_sample(in_folder(folder, "m-1.safetensors"));
    write_shard("m-2.safetensors", "a", 5);
    write_shard("m-3.safetensors", "x", 7);
    write_shard("m-4.safetensors", "b", 8);
    put_text(in_folder(folder, "model.safetensors.index.json"),
             "{\"metadata\":null,\"weight_map\":{\"none\":\"m-1.safetensors\",\"a\":\"m-2.safetensors\","
             "\"b\":\"m-4.safetensors\",\"c\":\"m-1.safetensors\",\"x\":\"m-3.safetensors\"}}");
    assert_ok(ar_weights_open_safetensors(&w, folder));
    assert_int_equal(w.vtable->count(w.impl), 5);
    assert_ok(w.vtable->read(w.impl, &value, ar_weights_find(&w, "a"), 0, 1));
    assert_true(value == 5);
    assert_true(ar_weights_find(&w, "d") < 0);
    assert_int_equal(w.notes.count, 1);
    assert_non_null(strstr(w.notes.lines[0], "model.safetensors.index.json"));
    assert_non_null(strstr(w.notes.lines[0], "passed over: b\"x, d"));
    ar_weights_close(&w);
}

/* ---- weights ---- */

static void weights_read_rows_as_f32(void **state) {
    (void)state;
    write_sample(in_folder(folder, "model.safetensors"));
    ar_weights w;
    assert_ok(ar_weights_open_safetensors(&w, folder));
    assert_int_equal(w.vtable->count(w.impl), 5);
    float x[6];
    int64_t a = ar_weights_find(&w, "a");
    assert_int_equal(w.vtable->at(w.impl, a)->dims[1], 2);
    assert_string_equal(w.vtable->at(w.impl, a)->type, "F32");
    assert_ok(w.vtable->read(w.impl, x, a, 1, 2));
    assert_true(x[0] == 3 && x[1] == 4 && x[3] == 6);
    assert_ok(w.vtable->read(w.impl, x, a, 3, 0));
    assert_error(w.vtable->read(w.impl, x, a, 2, 2), AR_ERR_ARG, "2 rows from 2");
    assert_error(w.vtable->read(w.impl, x, a, -1, 1), AR_ERR_ARG, "from -1");
    assert_error(w.vtable->read(w.impl, x, a, 1, INT64_MAX), AR_ERR_ARG, "rows");
    assert_error(w.vtable->read(w.impl, x, 99, 0, 1), AR_ERR_ARG, "99");
    assert_ok(w.vtable->read(w.impl, x, ar_weights_find(&w, "b\"x"), 0, 1));
    assert_true(x[0] == 1 && x[1] == -2 && x[2] == 0x1p-24f);
    assert_ok(w.vtable->read(w.impl, x, ar_weights_find(&w, "c"), 0, 2));
    assert_true(x[0] == 1 && x[1] == -5);
    assert_error(w.vtable->read(w.impl, x, ar_weights_find(&w, "d"), 0, 1), AR_ERR_FORMAT, "found dtype U8");
    assert_int_equal(ar_weights_find(&w, "zzz"), -1);
    ar_weights_close(&w);
    ar_weights_close(&w);
}

static void weights_read_unaligned_data(void **state) {
    (void)state;
    size_t bytes;
    uint8_t *file = build(&bytes, "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}   ", 4);
    for (int pad = 0; pad < 4; pad++) {
        free(file);
        char header[128] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
        for (int i = 0; i < pad; i++) strcat(header, " ");
        file = build(&bytes, header, 4);
        memcpy(file + bytes - 4, "\0\0\x80\x3f", 4);
        put_file(in_folder(folder, "model.safetensors"), file, bytes);
        ar_weights w;
        float value;
        assert_ok(ar_weights_open_safetensors(&w, folder));
        assert_ok(w.vtable->read(w.impl, &value, 0, 0, 1));
        assert_true(value == 1);
        ar_weights_close(&w);
    }
    free(file);
}

static void weights_refuse_a_folder_without_them(void **state) {
    (void)state;
    ar_weights w;
    assert_error(ar_weights_open_safetensors(&w, folder), AR_ERR_FORMAT, "model.safetensors.index.json");
    assert_error(ar_weights_open_safetensors(&w, in_folder(folder, "none")), AR_ERR_IO, "none");
    size_t bytes;
    uint8_t *file =
        build(&bytes, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1],\"data_offsets\":[0,1]}}", 1);
    put_file(in_folder(folder, "model.safetensors"), file, bytes);
    free(file);
    assert_error(ar_weights_open_safetensors(&w, folder), AR_ERR_FORMAT, "5 dims");
    ar_weights_close(&w);
}

static void shared_model_lists_its_tensors(void **state) {
    (void)state;
    const char *path = shared_data("stories260K-hf/model.safetensors");
    if (!path) skip();
    ar_safetensors *st;
    assert_ok(ar_safetensors_open(&st, path));
    assert_int_equal(ar_safetensors_count(st), 5 * 9 + 2);
    const ar_st_tensor *t = ar_safetensors_find(st, "model.layers.4.mlp.down_proj.weight");
    assert_int_equal(t->dims[0], 64);
    assert_int_equal(t->dims[1], 172);
    ar_safetensors_close(st);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {T(reader_takes_valid_files),
                                       T(reader_rejects_hostile_headers),
                                       T(reader_rejects_absurd_header_lengths),
                                       T(written_file_reads_back),
                                       T(reader_rejects_every_prefix),
                                       T(reader_survives_every_failed_allocation),
                                       T(writer_refuses_misuse),
                                       T(shards_open_through_the_index),
                                       T(index_must_agree_with_the_shards),
                                       T(index_decides_which_tensors_count),
                                       T(weights_read_rows_as_f32),
                                       T(weights_read_unaligned_data),
                                       T(weights_refuse_a_folder_without_them),
                                       T(shared_model_lists_its_tensors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
