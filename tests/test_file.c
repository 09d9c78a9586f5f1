/* host/file/file.c: mappings, files that appear whole or not at all, folders, hashes against published
 * values. */
#include "each_folder.h"
#include <errno.h>
#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>

static int entry_count(const char *path) {
    DIR *d = opendir(path);
    int count = 0;
    while (readdir(d)) count++;
    closedir(d);
    return count - 2;
}

static void file_open_maps_the_bytes(void **state) {
    (void)state;
    ar_file f;
    put_text(in_folder(folder, "a"), "hello");
    assert_ok(ar_file_open(&f, in_folder(folder, "a")));
    assert_int_equal(f.bytes, 5);
    assert_memory_equal(f.data, "hello", 5);
    assert_string_equal(f.path, in_folder(folder, "a"));
    ar_file_close(&f);
    assert_null(f.data);
    ar_file_close(&f);
}

static void file_open_takes_an_empty_file(void **state) {
    (void)state;
    ar_file f;
    put_text(in_folder(folder, "empty"), "");
    assert_ok(ar_file_open(&f, in_folder(folder, "empty")));
    assert_int_equal(f.bytes, 0);
    assert_non_null(f.data);
    ar_file_close(&f);
}

static void file_open_refuses_what_is_no_file(void **state) {
    (void)state;
    ar_file f;
    assert_error(ar_file_open(&f, in_folder(folder, "missing")), AR_ERR_IO, strerror(ENOENT));
    assert_error(ar_file_open(&f, folder), AR_ERR_IO, "folder");
    assert_error(ar_file_open(&f, "/dev/null"), AR_ERR_IO, "special");
    assert_int_equal(mkfifo(in_folder(folder, "pipe"), 0600), 0);
    assert_error(ar_file_open(&f, in_folder(folder, "pipe")), AR_ERR_IO, "special");
}

static void read_text_is_whole_and_capped(void **state) {
    (void)state;
    enum { BYTES = 200000 };
    char *data = malloc(BYTES), *text;
    size_t bytes;
    for (int i = 0; i < BYTES; i++) data[i] = (char)('a' + i % 23);
    put_file(in_folder(folder, "t"), data, BYTES);
    assert_ok(ar_file_read_text(&text, &bytes, in_folder(folder, "t"), BYTES));
    assert_int_equal(bytes, BYTES);
    assert_memory_equal(text, data, BYTES);
    assert_int_equal(text[bytes], 0);
    free(text);
    assert_ok(ar_file_read_text(&text, NULL, in_folder(folder, "t"), SIZE_MAX));
    free(text);
    assert_error(ar_file_read_text(&text, &bytes, in_folder(folder, "t"), BYTES - 1), AR_ERR_FORMAT,
                 "199999");
    assert_null(text);
    assert_error(ar_file_read_text(&text, &bytes, "/dev/zero", 1000), AR_ERR_FORMAT, "1000");
    assert_error(ar_file_read_text(&text, &bytes, folder, 1000), AR_ERR_IO, folder);
    assert_error(ar_file_read_text(&text, &bytes, in_folder(folder, "none"), 1000), AR_ERR_IO, "none");
    put_text(in_folder(folder, "z"), "");
    assert_ok(ar_file_read_text(&text, &bytes, in_folder(folder, "z"), 0));
    assert_int_equal(bytes, 0);
    free(text);
    free(data);
}

static void writer_appears_only_at_commit(void **state) {
    (void)state;
    ar_writer *w;
    const char *path = in_folder(folder, "out");
    assert_ok(ar_writer_open(&w, path));
    assert_ok(ar_writer_write(w, "abc", 3));
    assert_int_equal(ar_writer_offset(w), 3);
    assert_false(ar_path_exists(path));
    assert_ok(ar_writer_commit(&w));
    assert_null(w);
    assert_true(ar_path_exists(path));
    assert_int_equal(entry_count(folder), 1);
    assert_ok(ar_writer_open(&w, path));
    assert_ok(ar_writer_write(w, "newer", 5));
    ar_writer_abort(&w);
    assert_null(w);
    ar_writer_abort(&w);
    char *text;
    assert_ok(ar_file_read_text(&text, NULL, path, 100));
    assert_string_equal(text, "abc");
    free(text);
    assert_int_equal(entry_count(folder), 1);
}

/* The temporary file is not what was written: it does not get its name. */
static void writer_reads_back_what_it_wrote(void **state) {
    (void)state;
    static uint8_t data[300000];
    static const struct {
        long at, bytes; /* the byte that is changed, or -1; how long the file is then */
        const char *told;
    } rows[] = {{-1, 300000, NULL},           {7, 300000, "other bytes"}, {299999, 300000, "other bytes"},
                {-1, 299999, "299999 bytes"}, {-1, 0, "0 bytes"},         {-1, 300001, "300001 bytes"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[4300], temp[4400];
        ar_writer *w;
        snprintf(path, sizeof path, "%s", in_folder(folder, "back"));
        snprintf(temp, sizeof temp, "%s.tmp-%ld-0", path, (long)getpid());
        assert_ok(ar_writer_open(&w, path));
        ar_writer_read_back(w);
        assert_error(ar_writer_seek(w, 0), AR_ERR_ARG, "seek");
        assert_ok(ar_writer_write(w, data, sizeof data)); /* more than the buffer: it is in the file now */
        FILE *f = fopen(temp, "r+");
        assert_non_null(f);
        if (rows[i].at >= 0) assert_int_equal(fseek(f, rows[i].at, SEEK_SET) | (fputc(1, f) != 1), 0);
        fclose(f);
        assert_int_equal(truncate(temp, rows[i].bytes), 0);
        if (rows[i].told)
            assert_error(ar_writer_commit(&w), AR_ERR_IO, rows[i].told);
        else
            assert_ok(ar_writer_commit(&w));
        assert_null(w);
        assert_int_equal(ar_path_exists(path), !rows[i].told);
        assert_int_equal(entry_count(folder), !rows[i].told);
        remove(path);
    }
}

/* Any split into writes and any seek order gives the bytes at their offsets. */
static void writer_seek_places_bytes(void **state) {
    (void)state;
    enum { BYTES = 700001 };
    uint8_t *data = malloc(BYTES);
    uint32_t x = 1;
    for (int i = 0; i < BYTES; i++) data[i] = (uint8_t)((x = x * 1664525u + 1013904223u) >> 24);
    ar_writer *w;
    assert_ok(ar_writer_open(&w, in_folder(folder, "s")));
    const int half = 300007;
    assert_ok(ar_writer_seek(w, (uint64_t)half));
    for (int at = half, step = 1; at < BYTES; at += step, step = step * 3 + 1) {
        if (step > BYTES - at) step = BYTES - at;
        assert_ok(ar_writer_write(w, data + at, (size_t)step));
    }
    assert_int_equal(ar_writer_offset(w), BYTES);
    assert_ok(ar_writer_seek(w, 0));
    for (int at = 0; at < half; at += 1009)
        assert_ok(ar_writer_write(w, data + at, (size_t)(half - at < 1009 ? half - at : 1009)));
    assert_error(ar_writer_seek(w, UINT64_MAX), AR_ERR_ARG, "2^63");
    assert_ok(ar_writer_commit(&w));
    ar_file f;
    assert_ok(ar_file_open(&f, in_folder(folder, "s")));
    assert_int_equal(f.bytes, BYTES);
    assert_memory_equal(f.data, data, BYTES);
    ar_file_close(&f);
    free(data);
}

static void writer_reports_where_it_cannot_write(void **state) {
    (void)state;
    ar_writer *w;
    assert_error(ar_writer_open(&w, in_folder(folder, "no/such/x")), AR_ERR_IO, strerror(ENOENT));
    assert_null(w);
    assert_error(ar_writer_open(&w, ""), AR_ERR_IO, "empty name");
    assert_null(w);
    assert_error(ar_writer_open(&w, folder), AR_ERR_IO, "folder");
    if (geteuid() == 0) return; /* root may write anywhere */
    assert_int_equal(chmod(folder, 0500), 0);
    ar_status status = ar_writer_open(&w, in_folder(folder, "x"));
    chmod(folder, 0700);
    assert_int_equal(status, AR_ERR_IO);
    assert_non_null(strstr(ar_error(), strerror(EACCES)));
}

/* A full disk, played by a file size limit (EFBIG): the name never appears and nothing stays behind. */
static void writer_leaves_nothing_when_writing_fails(void **state) {
    (void)state;
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 100000;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    ar_writer *w;
    ar_status opened = ar_writer_open(&w, in_folder(folder, "big"));
    static uint8_t megabyte[1 << 20];
    ar_status written = ar_writer_write(w, megabyte, sizeof megabyte);
    char text[1024];
    snprintf(text, sizeof text, "%s", ar_error());
    ar_status again = ar_writer_write(w, megabyte, 1);
    ar_status committed = ar_writer_commit(&w);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    assert_int_equal(opened, AR_OK);
    assert_int_equal(written, AR_ERR_IO);
    assert_non_null(strstr(text, strerror(EFBIG)));
    assert_non_null(strstr(text, "big"));
    assert_int_equal(again, AR_ERR_IO);
    assert_int_equal(committed, AR_ERR_IO);
    assert_null(w);
    assert_int_equal(entry_count(folder), 0);
}

static void dir_create_and_remove_are_recursive(void **state) {
    (void)state;
    assert_ok(ar_dir_create(in_folder(folder, "a/b//c/")));
    assert_ok(ar_dir_create(in_folder(folder, "a/b/c")));
    assert_true(ar_path_is_dir(in_folder(folder, "a/b/c")));
    put_text(in_folder(folder, "a/b/file"), "x");
    put_text(in_folder(folder, "kept"), "x");
    assert_int_equal(symlink(in_folder(folder, "kept"), in_folder(folder, "a/link")), 0);
    assert_error(ar_dir_create(in_folder(folder, "kept")), AR_ERR_IO, strerror(ENOTDIR));
    assert_error(ar_dir_create(in_folder(folder, "kept/below")), AR_ERR_IO, strerror(ENOTDIR));
    assert_ok(ar_dir_remove(in_folder(folder, "a")));
    assert_false(ar_path_exists(in_folder(folder, "a")));
    assert_true(ar_path_exists(in_folder(folder, "kept"))); /* links are not followed */
    assert_ok(ar_dir_remove(in_folder(folder, "a")));
}

static void path_move_replaces_a_file(void **state) {
    (void)state;
    char *text;
    put_text(in_folder(folder, "new"), "new");
    put_text(in_folder(folder, "old"), "old");
    assert_ok(ar_path_move(in_folder(folder, "new"), in_folder(folder, "old")));
    assert_false(ar_path_exists(in_folder(folder, "new")));
    assert_ok(ar_file_read_text(&text, NULL, in_folder(folder, "old"), 99));
    assert_string_equal(text, "new");
    free(text);
    assert_error(ar_path_move(in_folder(folder, "new"), in_folder(folder, "other")), AR_ERR_IO, "other");
}

static void path_join_puts_one_slash(void **state) {
    (void)state;
    const char *rows[][3] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"/", "b", "/b"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *joined;
        assert_ok(ar_path_join(&joined, rows[i][0], rows[i][1]));
        assert_string_equal(joined, rows[i][2]);
        free(joined);
    }
}

/* The published check values: FNV-1a of "a" and "foobar" (Noll), CRC-32 of "123456789". */
static void hashes_give_published_values(void **state) {
    (void)state;
    assert_true(ar_hash64(0, "", 0) == 0xcbf29ce484222325u);
    assert_true(ar_hash64(0, "a", 1) == 0xaf63dc4c8601ec8cu);
    assert_true(ar_hash64(0, "foobar", 6) == 0x85944171f73967e8u);
    assert_true(ar_hash64(ar_hash64(0, "foo", 3), "bar", 3) == 0x85944171f73967e8u);
    assert_true(ar_crc32(0, "123456789", 9) == 0xcbf43926u);
    assert_true(ar_crc32(ar_crc32(0, "1234", 4), "56789", 5) == 0xcbf43926u);
    assert_true(ar_crc32(0, "", 0) == 0);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {T(file_open_maps_the_bytes),
                                       T(file_open_takes_an_empty_file),
                                       T(file_open_refuses_what_is_no_file),
                                       T(read_text_is_whole_and_capped),
                                       T(writer_appears_only_at_commit),
                                       T(writer_reads_back_what_it_wrote),
                                       T(writer_seek_places_bytes),
                                       T(writer_reports_where_it_cannot_write),
                                       T(writer_leaves_nothing_when_writing_fails),
                                       T(dir_create_and_remove_are_recursive),
                                       T(path_move_replaces_a_file),
                                       T(path_join_puts_one_slash),
                                       T(hashes_give_published_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
