/* host/text/tokenizer_regex*.c: regular expressions of tokenizer.json cut texts where Oniguruma does
 * (tests/golden/make_regex.py). Includes host's internal header, to split by a pattern alone.
 * With an argument it prints for every line of stdin, {"pattern":…,"text":…}, where the pieces end: what
 * tests/interop/patterns.py compares with the tokenizers package. */
#include "temp_files.h"
#include "tokenizer.h"
#include <cjson/cJSON.h>

#define MAX_PIECES 4096

static ar_status open_pattern(ar_tokenizer *t, const char *pattern) {
    *t = (ar_tokenizer){0};
    return ar__pre_add(t, pattern, false, AR__ISOLATED, false, "test");
}

/* The number of pieces, -1 after an error. */
static int cut(int *ends, const ar_tokenizer *t, const char *text) {
    ar__matcher m = {0};
    ar_status status = ar__pre_run(t, &m, text, strlen(text));
    int count = status == AR_OK ? 0 : -1;
    for (size_t i = 0; count >= 0 && i < m.from.count && count < MAX_PIECES; i++)
        if (m.from.data[i].end > m.from.data[i].start) ends[count++] = m.from.data[i].end;
    ar__matcher_deinit(&m);
    return count;
}

static int check_pattern(const char *pattern, const ar_json *texts) {
    ar_tokenizer t;
    static int found[MAX_PIECES];
    ar_status status = open_pattern(&t, pattern);
    if (status != AR_OK) {
        print_message("%s: %s\n", pattern, ar_error());
        return 1;
    }
    int wrong = 0;
    for (const ar_json *one = texts->child; one; one = one->next) {
        const char *text = one->child->valuestring;
        const ar_json *ends = one->child->next;
        int count = cut(found, &t, text), i = 0;
        for (const ar_json *end = ends->child; end; end = end->next, i++)
            if (i >= count || found[i] != end->valueint) break;
        if (i == count && i == cJSON_GetArraySize(ends)) continue;
        print_message("%s: piece %d of \"%s\" ends at %d, expected %d\n", pattern, i, text,
                      i < count ? found[i] : -1, (int)cJSON_GetArrayItem(ends, i)->valueint);
        wrong++;
    }
    ar__pre_deinit(&t.pre);
    return wrong;
}

static void texts_are_cut_as_oniguruma_cuts_them(void **state) {
    (void)state;
    ar_json *rows;
    int wrong = 0, patterns = 0;
    assert_ok(ar_json_open(&rows, "tests/golden/regex.json", 1 << 20));
    for (const ar_json *row = rows->child; row; row = row->next) {
        const ar_json *texts = ar_json_get(row, "texts");
        if (cJSON_IsNull(texts)) continue;
        wrong += check_pattern(ar_json_get(row, "pattern")->valuestring, texts);
        patterns++;
    }
    assert_true(patterns > 120);
    ar_json_close(rows);
    assert_int_equal(wrong, 0);
}

static void what_is_not_known_is_refused(void **state) {
    (void)state;
    ar_json *rows;
    int refused = 0;
    assert_ok(ar_json_open(&rows, "tests/golden/regex.json", 1 << 20));
    for (const ar_json *row = rows->child; row; row = row->next) {
        ar_tokenizer t;
        if (!cJSON_IsNull(ar_json_get(row, "texts"))) continue;
        const char *pattern = ar_json_get(row, "pattern")->valuestring;
        if (open_pattern(&t, pattern) != AR_ERR_FORMAT) fail_msg("%s: not refused", pattern);
        if (!strstr(ar_error(), "test: pattern")) fail_msg("%s: %s", pattern, ar_error());
        refused++;
    }
    assert_true(refused > 30);
    ar_json_close(rows);
}

/* Brackets and groups in each other, as deep as a hostile file may have them. */
static void nesting_is_bounded(void **state) {
    (void)state;
    static char pattern[200001];
    static const char *const openings[] = {"(", "(?:", "(?i)", "[a", "(?=", "a|(", "a*", "*", "[[:"};
    for (size_t i = 0; i < sizeof openings / sizeof *openings; i++) {
        size_t n = strlen(openings[i]);
        ar_tokenizer t;
        for (size_t k = 0; k + n < sizeof pattern; k += n) memcpy(pattern + k, openings[i], n + 1);
        ar_status status = open_pattern(&t, pattern);
        if (status == AR_OK) ar__pre_deinit(&t.pre);
        assert_true(status == AR_ERR_FORMAT || strcmp(openings[i], "(?i)") == 0 ||
                    strcmp(openings[i], "a*") == 0);
    }
}

static int print_cuts(void) {
    static char line[1 << 20];
    static int ends[MAX_PIECES];
    while (fgets(line, sizeof line, stdin)) {
        ar_json *row;
        ar_tokenizer t;
        if (ar_json_parse(&row, line, strlen(line), "stdin") != AR_OK) return 1;
        const char *text = ar_json_get(row, "text")->valuestring;
        if (open_pattern(&t, ar_json_get(row, "pattern")->valuestring) != AR_OK) {
            printf("%s\n", ar_error());
        } else {
            int count = cut(ends, &t, text);
            if (count < 0) printf("%s", ar_error());
            for (int i = 0; i < count; i++) printf("%d ", ends[i]);
            printf("\n");
            ar__pre_deinit(&t.pre);
        }
        ar_json_close(row);
    }
    return 0;
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(texts_are_cut_as_oniguruma_cuts_them),
                                       cmocka_unit_test(what_is_not_known_is_refused),
                                       cmocka_unit_test(nesting_is_bounded)};
    (void)argv;
    if (argc > 1) return print_cuts();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
