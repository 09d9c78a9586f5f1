/* Calibration samples out of files: which windows of which texts, and what a line of JSON becomes. The demo
 * model's tokenizer, a chat template of this test's own; no device. */
#include "temp_files.h"

enum { LENGTH = 16 };
static const char demo[] = "examples/demo-model";

/* ---- windows ---- */

/* Words that say where they stand, so that no two windows are alike. */
static void put_words(const char *path, int count, char mark) {
    FILE *f = fopen(path, "w");
    for (int i = 0; i < count; i++) fprintf(f, "%c%d ", mark, i);
    assert_int_equal(fclose(f), 0);
}

static void encode(int32_t **ids, int64_t *n, const ar_open_model *m, const char *path) {
    ar_file f = {0};
    assert_ok(ar_file_open(&f, path));
    assert_ok(ar_tokenizer_encode(m->tokenizer, ids, n, (const char *)f.data, (size_t)f.bytes, false));
    ar_file_close(&f);
}

/* Which window of ids (n) a sample is; -1 = none. */
static int64_t window_of(const int32_t *sample, const int32_t *ids, int64_t n) {
    for (int64_t w = 0; w < n / LENGTH; w++)
        if (memcmp(sample, ids + w * LENGTH, LENGTH * sizeof *ids) == 0) return w;
    return -1;
}

static int ascending(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Each slice of the windows gives one sample: its middle one. */
static void windows_are_spread_evenly_over_the_text(void **state) {
    (void)state;
    char *dir = temp_folder();
    const char *path = in_folder(dir, "text");
    ar_open_model *m = NULL;
    int32_t *ids = NULL;
    int64_t n = 0;
    put_words(path, 400, 'a');
    assert_ok(ar_model_open(&m, demo));
    encode(&ids, &n, m, path);
    const int64_t all = n / LENGTH;
    assert_true(all > 40);
    for (int32_t count = 1; count <= all; count += count < 9 ? 1 : (int32_t)(all - 9)) {
        ar_samples s, again;
        int64_t at[512];
        assert_ok(ar_calib_make(&s, m, NULL, &path, 1, count, LENGTH, 0, NULL));
        assert_int_equal(s.count, count);
        for (int32_t i = 0; i < count; i++) at[i] = window_of(s.ids + i * LENGTH, ids, n);
        /* the last half of the samples, too, lies in both halves of the text */
        int32_t early = 0, late = 0;
        for (int32_t i = count / 2; i < count; i++) *(at[i] < all / 2 ? &early : &late) += 1;
        assert_true(count < 6 || (early > 0 && late > 0 && abs(early - late) <= 2));
        qsort(at, (size_t)count, sizeof *at, ascending);
        for (int32_t i = 0; i < count; i++) assert_int_equal(at[i], (2 * i + 1) * all / (2 * count));
        assert_ok(ar_calib_make(&again, m, NULL, &path, 1, count, LENGTH, 7, NULL));
        assert_memory_equal(s.ids, again.ids, (size_t)count * LENGTH * sizeof *s.ids);
        ar_samples_deinit(&again);
        ar_samples_deinit(&s);
    }
    free(ids);
    ar_model_close(m);
    temp_remove(dir);
}

/* Line after line. */
static void put_line(void *ctx, const char *line) {
    size_t used = strlen(ctx);
    snprintf((char *)ctx + used, 800 - used, "%s\n", line);
}

/* A share of each, as long as they are; none lies in two; too short a text is remarked on. */
static void several_files_give_samples_by_their_length(void **state) {
    (void)state;
    char *dir = temp_folder();
    const char *names[] = {"a", "b", "c"}, *paths[3];
    static const int words[] = {300, 2, 100};
    char path[3][4352], said[800] = "";
    int32_t *ids[3];
    int64_t n[3];
    ar_open_model *m = NULL;
    assert_ok(ar_model_open(&m, demo));
    for (int i = 0; i < 3; i++) {
        snprintf(path[i], sizeof path[i], "%s", in_folder(dir, names[i]));
        paths[i] = path[i];
        put_words(path[i], words[i], (char)('a' + i));
        encode(&ids[i], &n[i], m, path[i]);
    }
    ar_samples s;
    int32_t from[3] = {0};
    ar_observer observer = {.warn = put_line, .ctx = said};
    assert_true(n[1] < LENGTH);
    assert_ok(ar_calib_make(&s, m, NULL, paths, 3, 16, LENGTH, 0, &observer));
    for (int32_t k = 0; k < s.count; k++)
        for (int i = 0; i < 3; i++) from[i] += window_of(s.ids + k * LENGTH, ids[i], n[i]) >= 0;
    assert_int_equal(from[0] + from[2], 16);
    assert_in_range(from[0], 11, 13);
    assert_non_null(strstr(said, "b: not used: it holds"));
    ar_samples_deinit(&s);
    assert_ok(ar_calib_make(&s, m, NULL, paths, 3, 4096, LENGTH, 0, &observer));
    assert_int_equal(s.count, n[0] / LENGTH + n[2] / LENGTH);
    assert_non_null(strstr(said, "fewer than the 4096 asked for"));
    ar_samples_deinit(&s);
    assert_error(ar_calib_make(&s, m, NULL, &paths[1], 1, 1, LENGTH, 0, NULL), AR_ERR_USAGE,
                 "expected at least one sample of 16");
    assert_null(s.ids);
    for (int i = 0; i < 3; i++) free(ids[i]);
    ar_model_close(m);
    temp_remove(dir);
}

/* ---- lines of JSON ---- */

static const char chatml[] = "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\\n' + m['content'] + "
                             "'<|im_end|>' + '\\n'}}{% endfor %}";

/* The demo model, with or without a chat template. */
static void open_demo(ar_open_model **m, const char *dir, bool chats) {
    static const char *const files[] = {"config.json", "model.safetensors", "tokenizer.json",
                                        "tokenizer_config.json"};
    char from[4352];
    for (int i = 0; i < 4; i++) {
        ar_file f = {0};
        snprintf(from, sizeof from, "%s/%s", demo, files[i]);
        assert_ok(ar_file_open(&f, from));
        put_file(in_folder(dir, files[i]), f.data, (size_t)f.bytes);
        ar_file_close(&f);
    }
    if (chats) put_text(in_folder(dir, "chat_template.jinja"), chatml);
    assert_ok(ar_model_open(m, dir));
}

/* One sample of all that the line gives holds exactly the ids of text, behind BOS or not. */
static void line_gives(const ar_open_model *m, const char *dir, const char *line, const char *text,
                       bool with_bos) {
    const char *path = in_folder(dir, "lines.jsonl");
    int32_t *ids = NULL, *want;
    int64_t n = 0;
    ar_samples s;
    put_text(path, line);
    assert_ok(ar_tokenizer_encode(m->tokenizer, &ids, &n, text, strlen(text), true));
    want = malloc((size_t)(n + 1) * sizeof *want);
    want[0] = ar_tokenizer_bos(m->tokenizer);
    memcpy(want + with_bos, ids, (size_t)n * sizeof *want);
    n += with_bos;
    assert_ok(ar_calib_make(&s, m, NULL, &path, 1, 1, (int32_t)n, 0, NULL));
    assert_memory_equal(s.ids, want, (size_t)n * sizeof *want);
    ar_samples_deinit(&s);
    assert_error(ar_calib_make(&s, m, NULL, &path, 1, 1, (int32_t)n + 1, 0, NULL), AR_ERR_USAGE, "tokens");
    free(ids);
    free(want);
}

static void lines_of_json_are_texts_and_conversations(void **state) {
    (void)state;
    char *dir = temp_folder();
    ar_open_model *m = NULL;
    open_demo(&m, dir, true);
    line_gives(m, dir, "{\"text\": \"To be,\\nor not\"}\n", "To be,\nor not", true);
    line_gives(m, dir, "\n  \n{\"text\": \"To be\", \"id\": 3}\r\n{\"text\": \", or\"}", "To be<s>, or",
               true);
    line_gives(m, dir,
               "{\"messages\": [{\"role\": \"user\", \"content\": \"Who is there?\"}, "
               "{\"role\": \"assistant\", \"content\": \"Nay\"}]}\n",
               "<|im_start|>user\nWho is there?<|im_end|>\n<|im_start|>assistant\nNay<|im_end|>\n", false);
    ar_model_close(m);
    temp_remove(dir);
    char *plain = temp_folder(), said[800] = "";
    const char *path;
    ar_samples s;
    ar_observer observer = {.warn = put_line, .ctx = said};
    open_demo(&m, plain, false);
    path = in_folder(plain, "lines.jsonl");
    put_text(path, "{\"messages\": [{\"role\": \"user\", \"content\": \"Who is there in the dark?\"}]}");
    assert_ok(ar_calib_make(&s, m, NULL, &path, 1, 99, 2, 0, &observer));
    assert_int_equal(s.ids[0], ar_tokenizer_bos(m->tokenizer));
    assert_non_null(strstr(said, "no known chat template"));
    ar_samples_deinit(&s);
    ar_model_close(m);
    temp_remove(plain);
}

static void wrong_lines_are_named(void **state) {
    static const struct {
        const char *line, *text;
    } cases[] = {
        {"{\"text\": \"a\"}\n{\"txt\": \"b\"}\n", "line 2: found neither messages nor text"},
        {"[1]\n", "line 1: found neither messages nor text"},
        {"{\"text\": \"a\"\n", "line 1"},
        {"\n{\"text\": 3}\n", "line 2: text: found a number, expected a string"},
        {"{\"messages\": []}\n", "line 1: messages: found none"},
        {"{\"messages\": \"hello\"}\n", "line 1: messages: found none"},
        {"{\"messages\": [{\"role\": \"user\"}]}\n", "line 1: found a message without role or content"},
        {"{\"messages\": [{\"role\": 1, \"content\": \"\"}]}\n", "line 1: role: found a number"},
        {"{\"messages\": [7]}\n", "line 1: found a message without role or content"}};
    (void)state;
    char *dir = temp_folder();
    ar_open_model *m = NULL;
    ar_samples s;
    open_demo(&m, dir, true);
    const char *path = in_folder(dir, "lines.jsonl");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_text(path, cases[i].line);
        assert_error(ar_calib_make(&s, m, NULL, &path, 1, 1, 2, 0, NULL), AR_ERR_FORMAT, cases[i].text);
        assert_null(s.ids);
    }
    ar_model_close(m);
    temp_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_are_spread_evenly_over_the_text),
        cmocka_unit_test(several_files_give_samples_by_their_length),
        cmocka_unit_test(lines_of_json_are_texts_and_conversations),
        cmocka_unit_test(wrong_lines_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
