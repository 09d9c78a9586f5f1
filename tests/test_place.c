/* host/file/place.c and what writes by it: links, mounts and hard links are seen through, what is no regular
 * file is written through, and nothing that a run reads is taken for an output. */
#include "ar_error.h"
#include "place.h"
#include "temp_files.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

static void links_are_followed_to_their_end(void **state) {
    (void)state;
    char *folder = temp_folder(), *end = NULL;
    put_text(in_folder(folder, "file"), "x");
    assert_int_equal(symlink("file", in_folder(folder, "one")), 0);
    assert_int_equal(symlink(in_folder(folder, "one"), in_folder(folder, "two")), 0);
    assert_int_equal(symlink("absent", in_folder(folder, "dangling")), 0);
    assert_int_equal(symlink("round", in_folder(folder, "round")), 0);
    assert_ok(ar__path_resolve(&end, in_folder(folder, "two")));
    assert_true(ar__path_is_same(end, in_folder(folder, "file")));
    free(end);
    assert_ok(ar__path_resolve(&end, in_folder(folder, "dangling")));
    assert_string_equal(end, in_folder(folder, "absent"));
    free(end);
    assert_ok(ar__path_resolve(&end, "plain/name"));
    assert_string_equal(end, "plain/name");
    free(end);
    assert_error(ar__path_resolve(&end, in_folder(folder, "round")), AR_ERR_IO, "links");
    assert_false(ar__path_is_through(in_folder(folder, "two")));
    assert_false(ar__path_is_through(in_folder(folder, "dangling")));
    assert_false(ar__path_is_through(folder));
    assert_true(ar__path_is_through("/dev/null"));
    assert_true(ar__path_is_through("/dev/stdout"));
    temp_remove(folder);
}

static ar_status write_word(const char *path, const char *word) {
    ar_writer *w = NULL;
    AR_TRY(ar_writer_open(&w, path));
    ar_status status = ar_writer_write(w, word, strlen(word));
    if (status == AR_OK) return ar_writer_commit(&w);
    ar_writer_abort(&w);
    return status;
}

static void assert_text(const char *path, const char *expected) {
    char *text;
    assert_ok(ar_file_read_text(&text, NULL, path, 1 << 20));
    assert_string_equal(text, expected);
    free(text);
}

static void a_link_stays_and_its_target_is_written(void **state) {
    (void)state;
    char *folder = temp_folder();
    struct stat info;
    put_text(in_folder(folder, "file"), "old");
    assert_int_equal(symlink("file", in_folder(folder, "link")), 0);
    assert_int_equal(symlink("later", in_folder(folder, "dangling")), 0);
    assert_ok(write_word(in_folder(folder, "link"), "new"));
    assert_ok(write_word(in_folder(folder, "dangling"), "made"));
    assert_int_equal(lstat(in_folder(folder, "link"), &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_text(in_folder(folder, "file"), "new");
    assert_text(in_folder(folder, "later"), "made");
    put_text(in_folder(folder, "made"), "moved");
    char from[4200];
    snprintf(from, sizeof from, "%s/made", folder);
    assert_ok(ar_path_move(from, in_folder(folder, "link")));
    assert_text(in_folder(folder, "file"), "moved");
    assert_false(ar_path_exists(from));
    temp_remove(folder);
}

static void *read_fifo(void *path) {
    char *text = NULL;
    return ar_file_read_text(&text, NULL, path, 1 << 20) == AR_OK ? text : NULL;
}

static void what_is_no_file_is_written_through(void **state) {
    (void)state;
    char *folder = temp_folder(), fifo[4200], made[4200];
    pthread_t reader;
    void *text = NULL;
    struct stat info;
    ar_writer *w = NULL;
    snprintf(fifo, sizeof fifo, "%s/fifo", folder);
    snprintf(made, sizeof made, "%s/made", folder);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&reader, NULL, read_fifo, fifo), 0);
        if (i == 0) assert_ok(write_word(fifo, "through"));
        if (i == 1) put_text(made, "through");
        if (i == 1) assert_ok(ar_path_move(made, fifo));
        assert_int_equal(pthread_join(reader, &text), 0);
        assert_string_equal(text, "through");
        free(text);
        assert_int_equal(lstat(fifo, &info), 0);
        assert_true(S_ISFIFO(info.st_mode));
    }
    assert_ok(write_word("/dev/null", "gone"));
    assert_int_equal(lstat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
    assert_ok(ar_writer_open(&w, "/dev/full"));
    assert_ok(ar_writer_write(w, "much", 4));
    assert_error(ar_writer_commit(&w), AR_ERR_IO, "No space left");
    assert_ok(ar_writer_open(&w, "/dev/null"));
    assert_error(ar_writer_seek(w, 16), AR_ERR_IO, "no regular file");
    ar_writer_abort(&w);
    /* a descriptor of this process goes on where it is, also when it is a file */
    int fd = open(in_folder(folder, "log"), O_WRONLY | O_CREAT, 0600);
    char name[40];
    assert_int_equal(write(fd, "before ", 7), 7);
    snprintf(name, sizeof name, "/dev/fd/%d", fd);
    assert_ok(write_word(name, "within"));
    assert_int_equal(write(fd, " after", 6), 6);
    close(fd);
    assert_text(in_folder(folder, "log"), "before within after");
    temp_remove(folder);
}

static void what_is_read_is_no_output(void **state) {
    (void)state;
    char *folder = temp_folder(), model[4200], text[4200];
    snprintf(model, sizeof model, "%s/model", folder);
    snprintf(text, sizeof text, "%s/text.txt", folder);
    const ar_input inputs[] = {{model, "the model"}, {NULL, "nothing"}, {text, "the text"}};
    assert_ok(ar_dir_create(in_folder(folder, "model/inner")));
    assert_ok(ar_dir_create(in_folder(folder, "blobs")));
    assert_ok(ar_dir_create(in_folder(folder, "other")));
    put_text(text, "text");
    put_text(in_folder(folder, "model/config.json"), "{}");
    put_text(in_folder(folder, "blobs/b1"), "b");
    assert_int_equal(symlink("../blobs/b1", in_folder(folder, "model/model.safetensors")), 0);
    assert_int_equal(link(text, in_folder(folder, "hard")), 0);
    assert_int_equal(symlink("text.txt", in_folder(folder, "soft")), 0);
    assert_int_equal(symlink("model", in_folder(folder, "door")), 0);
    struct {
        const char *name;
        bool is_folder;
        const char *says; /* NULL = may be written */
    } cases[] = {{"text.txt", false, "the text itself"},
                 {"hard", false, "the text itself"},
                 {"soft", false, "the text itself"},
                 {"./blobs/../text.txt", false, "the text itself"},
                 {"model", true, "the model itself"},
                 {"door", true, "the model itself"},
                 {"model/config.json", false, "inside the model"},
                 {"model/new.html", false, "inside the model"},
                 {"door/inner/new.html", false, "inside the model"},
                 {"blobs/b1", false, "a file of the model"},
                 {"blobs", true, "a file of the model"},
                 {".", true, "holds the model"},
                 {"blobs/b2", false, NULL},
                 {"other", true, NULL},
                 {"other/text.txt", false, NULL},
                 {"absent", true, NULL},
                 {"model2", false, NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = in_folder(folder, cases[i].name);
        if (cases[i].says)
            assert_error(ar__path_check_inputs(path, cases[i].is_folder, inputs, 3), AR_ERR_IO,
                         cases[i].says);
        else
            assert_ok(ar__path_check_inputs(path, cases[i].is_folder, inputs, 3));
    }
    temp_remove(folder);
}

static void a_new_folder_replaces_nothing(void **state) {
    (void)state;
    char *folder = temp_folder(), *first = NULL, *second = NULL;
    assert_ok(ar__dir_create_new(&first, in_folder(folder, "out/"), ".old"));
    assert_ok(ar__dir_create_new(&second, in_folder(folder, "out"), ".old"));
    assert_true(ar_path_is_dir(first) && ar_path_is_dir(second));
    assert_string_not_equal(first, second);
    free(first);
    assert_error(ar__dir_create_new(&first, in_folder(folder, "absent/out"), ".old"), AR_ERR_IO, "absent");
    free(second);
    temp_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(links_are_followed_to_their_end),
                                       cmocka_unit_test(a_link_stays_and_its_target_is_written),
                                       cmocka_unit_test(what_is_no_file_is_written_through),
                                       cmocka_unit_test(what_is_read_is_no_output),
                                       cmocka_unit_test(a_new_folder_replaces_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
