/* host/file/json.c and json_make.c: what cJSON does not check, the typed lookups, trees that are written. */
#include "temp_files.h"
#include <cjson/cJSON.h>
#include <errno.h>

static ar_status parse(ar_json **root, const char *text, size_t bytes) {
    char *exact = malloc(bytes ? bytes : 1); /* so that one byte too many is seen */
    memcpy(exact, text, bytes);
    ar_status status = ar_json_parse(root, exact, bytes, "t.json");
    free(exact);
    return status;
}

static void json_takes_valid_text(void **state) {
    (void)state;
    const char *texts[] = {"{}", " [1, 2.5e3, null, true]\n\n",
                           "\"\\u00e9\\\\u0000 \xc3\xa9\xf0\x9f\x98\x80\"", "0"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ar_json *root;
        assert_ok(parse(&root, texts[i], strlen(texts[i])));
        assert_non_null(root);
        ar_json_close(root);
    }
}

static void json_rejects_every_proper_prefix(void **state) {
    (void)state;
    const char *text = "{\"1\":1,\"a\":[true,{\"b\":\"x\\\"\\u00e9\xc3\xa9\"}],\"c\":-1.5e3}";
    for (size_t n = 0; n < strlen(text); n++) {
        ar_json *root;
        assert_error(parse(&root, text, n), AR_ERR_FORMAT, "t.json");
        assert_null(root);
    }
}

static void json_rejects_hostile_text(void **state) {
    (void)state;
    const char *texts[] = {"{} x",
                           "{}{}",
                           "\"\\u0000\"",
                           "\"a\nb\"",
                           "\"\xc0\xaf\"",
                           "\"\xed\xa0\x80\"",
                           "\"\xf5\x80\x80\x80\"",
                           "\"\xe2\x82\"",
                           "\"\xf0\x80\x80\x80\"",
                           "\"\xe0\x80\x80\"",
                           "\"\xf4\x90\x80\x80\"",
                           "\xff",
                           "{\"a\":}",
                           "[1,]",
                           "\"\\\x01\""};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ar_json *root;
        assert_error(parse(&root, texts[i], strlen(texts[i])), AR_ERR_FORMAT, "t.json");
    }
    ar_json *root;
    assert_error(parse(&root, "[1,\0 2]", 7), AR_ERR_FORMAT, "control");
}

static void json_caps_depth_and_values(void **state) {
    (void)state;
    enum { DEPTH = 100000, VALUES = 8000001 };
    char *text = malloc(VALUES * 2);
    ar_json *root;
    memset(text, '[', DEPTH);
    assert_error(parse(&root, text, DEPTH), AR_ERR_FORMAT, "nesting");
    for (int i = 0; i < VALUES; i++) memcpy(text + 2 * i, "1,", 2);
    text[0] = '[';
    assert_error(parse(&root, text, VALUES * 2), AR_ERR_FORMAT, "values");
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    assert_ok(parse(&root, text, 128));
    ar_json_close(root);
    free(text);
}

static void json_open_names_the_file(void **state) {
    (void)state;
    char *folder = temp_folder();
    ar_json *root;
    put_text(in_folder(folder, "c.json"), "{\"a\": 1}");
    assert_ok(ar_json_open(&root, in_folder(folder, "c.json"), 100));
    ar_json_close(root);
    assert_error(ar_json_open(&root, in_folder(folder, "c.json"), 7), AR_ERR_FORMAT, "c.json");
    assert_error(ar_json_open(&root, in_folder(folder, "d.json"), 7), AR_ERR_IO, "d.json");
    temp_remove(folder);
}

static void lookups_check_type_and_range(void **state) {
    (void)state;
    const char *text =
        "{\"i\":7,\"f\":1.5,\"s\":\"x\",\"b\":true,\"n\":null,\"big\":1e300,\"inf\":1e999,\"I\":8}";
    ar_json *r;
    assert_ok(ar_json_parse(&r, text, strlen(text), "t.json"));
    int64_t i;
    double d;
    bool b;
    const char *s;
    assert_ok(ar_json_int(&i, r, "i", 0, 7, "t.json"));
    assert_int_equal(i, 7);
    assert_ok(ar_json_int(&i, r, "I", 0, 8, "t.json"));
    assert_int_equal(i, 8);
    assert_error(ar_json_int(&i, r, "i", 0, 6, "t.json"), AR_ERR_FORMAT,
                 "t.json: i: found 7, expected an integer in [0, 6]");
    assert_error(ar_json_int(&i, r, "i", 8, 9, "t.json"), AR_ERR_FORMAT, "[8, 9]");
    assert_error(ar_json_int(&i, r, "f", 0, 9, "t.json"), AR_ERR_FORMAT, "1.5");
    assert_error(ar_json_int(&i, r, "big", INT64_MIN, INT64_MAX, "t.json"), AR_ERR_FORMAT, "big");
    assert_error(ar_json_int(&i, r, "missing", 0, 9, "t.json"), AR_ERR_FORMAT, "nothing");
    assert_error(ar_json_int(&i, r, "n", 0, 9, "t.json"), AR_ERR_FORMAT, "null");
    assert_error(ar_json_int(&i, r, "s", 0, 9, "t.json"), AR_ERR_FORMAT, "a string");
    assert_ok(ar_json_int_or(&i, r, "n", -5, 0, 9, "t.json"));
    assert_int_equal(i, -5);
    assert_error(ar_json_int_or(&i, r, "s", 1, 0, 9, "t.json"), AR_ERR_FORMAT, "a string");
    assert_ok(ar_json_number_or(&d, r, "f", 0, 1, 2, "t.json"));
    assert_true(d == 1.5);
    assert_error(ar_json_number_or(&d, r, "f", 0, 2, 3, "t.json"), AR_ERR_FORMAT, "[2, 3]");
    assert_error(ar_json_number_or(&d, r, "inf", 0, 0, 1e308, "t.json"), AR_ERR_FORMAT, "inf");
    assert_ok(ar_json_number_or(&d, r, "none", 3, 0, 1, "t.json"));
    assert_true(d == 3);
    assert_ok(ar_json_bool_or(&b, r, "b", false, "t.json"));
    assert_true(b);
    assert_ok(ar_json_bool_or(&b, r, "none", true, "t.json"));
    assert_true(b);
    assert_error(ar_json_bool_or(&b, r, "i", false, "t.json"), AR_ERR_FORMAT, "true or false");
    assert_ok(ar_json_string_or(&s, r, "s", "d", "t.json"));
    assert_string_equal(s, "x");
    assert_ok(ar_json_string_or(&s, r, "n", "d", "t.json"));
    assert_string_equal(s, "d");
    assert_error(ar_json_string_or(&s, r, "b", "d", "t.json"), AR_ERR_FORMAT, "expected a string");
    assert_null(ar_json_get(r, "B"));
    assert_null(ar_json_get(ar_json_get(r, "i"), "x"));
    ar_json_close(r);
}

/* As json.loads gives it: the last value, in the first one's place. */
static void the_last_of_equal_keys_counts(void **state) {
    (void)state;
    const char *text = "{\"a\":1,\"b\":{\"x\":1,\"x\":2,\"\\u0078\":3},\"a\":[4],\"c\":null,\"a\":5,\"c\":6,"
                       "\"l\":[{\"k\":\"u\",\"k\":\"v\"}]}";
    ar_json *r;
    assert_ok(ar_json_parse(&r, text, strlen(text), "t.json"));
    char *printed = cJSON_PrintUnformatted(r);
    assert_string_equal(printed, "{\"a\":5,\"b\":{\"x\":3},\"c\":6,\"l\":[{\"k\":\"v\"}]}");
    free(printed);
    ar_json_close(r);
}

static void equal_keys_are_found_among_many(void **state) {
    (void)state;
    enum { KEYS = 20000, TIMES = 3 };
    char *text = malloc(KEYS * TIMES * 20), *p = text;
    for (int i = 0; i < KEYS * TIMES; i++) p += sprintf(p, "%c\"k%d\":%d", i ? ',' : '{', i * 7 % KEYS, i);
    p += sprintf(p, "}");
    ar_json *r;
    assert_ok(ar_json_parse(&r, text, (size_t)(p - text), "t.json"));
    assert_int_equal(cJSON_GetArraySize(r), KEYS);
    const ar_json *item = r->child;
    for (int i = 0; i < KEYS; i++, item = item->next) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i * 7 % KEYS);
        assert_string_equal(item->string, key);
        assert_int_equal(item->valueint, i + KEYS * (TIMES - 1));
    }
    assert_null(item);
    ar_json_close(r);
    free(text);
}

/* ---- trees that are written ---- */

static int left; /* requests until one fails; < 0: none does */

static bool goes_on; /* once one has failed, all do */

static void *failing_malloc(size_t bytes) {
    bool fails = goes_on ? left <= 0 : left == 0;
    left--;
    if (!fails) return malloc(bytes);
    errno = ENOMEM; /* as POSIX has it */
    return NULL;
}

/* Leaves errno as a malloc does that found its memory at the second place. */
static void *straying_malloc(size_t bytes) {
    void *p = malloc(bytes);
    if (left-- > 0) errno = ENOMEM;
    return p;
}

/* Of any request, once or from then on: never "not JSON". And what is no JSON is never "out of memory". */
static void want_of_memory_is_not_bad_text(void **state) {
    (void)state;
    const char text[] = "{\"a\":[1,{\"b\":\"c\"}],\"a\":2,\"d\":null}";
    cJSON_Hooks hooks = {.malloc_fn = failing_malloc, .free_fn = free},
                stray = {.malloc_fn = straying_malloc, .free_fn = free};
    ar_json *root;
    int failed = 0;
    for (int on = 0; on < 2; on++) {
        goes_on = on;
        cJSON_InitHooks(&hooks);
        for (int n = 0;; n++, failed++) {
            left = n;
            ar_status status = parse(&root, text, strlen(text));
            if (status == AR_OK) break;
            assert_error(status, AR_ERR_MEMORY, "t.json: out of memory");
            assert_null(root);
        }
        ar_json_close(root);
    }
    assert_true(failed > 20);
    cJSON_InitHooks(&stray);
    for (int n = 0; n < 4; n++) { /* fewer than are asked for */
        left = n;
        assert_error(parse(&root, "{\"a\":[1,}", 9), AR_ERR_FORMAT, "not JSON");
        left = n;
        assert_ok(parse(&root, text, strlen(text)));
        ar_json_close(root);
    }
    cJSON_InitHooks(NULL);
    goes_on = false;
}

static ar_json *make_tree(void) {
    cJSON *root = cJSON_CreateObject(), *list = ar_json_add_list(root, "list"), *alone = cJSON_CreateArray();
    ar_json_add_string(root, "text", "one");
    ar_json_add_number(ar_json_add_object(ar_json_push(list, cJSON_CreateObject()), "inner"), "deep", 2);
    ar_json_add_bool(root, "truth", true);
    ar_json_add_null(ar_json_push(list, cJSON_CreateObject()), "nothing");
    ar_json_push(alone, cJSON_CreateString("three"));
    ar_json_put(root, "alone", alone);
    return root;
}

static void a_tree_that_lacks_something_is_not_printed(void **state) {
    (void)state;
    const char whole[] = "{\"list\":[{\"inner\":{\"deep\":2}},{\"nothing\":null}],\"text\":\"one\","
                         "\"truth\":true,\"alone\":[\"three\"]}";
    cJSON_Hooks hooks = {.malloc_fn = failing_malloc, .free_fn = free};
    int failed = 0;
    cJSON_InitHooks(&hooks);
    for (int n = 0;; n++) {
        char *text;
        left = n;
        ar_json *root = make_tree();
        assert_int_equal(ar_json_is_whole(root), left >= 0);
        ar_status status = ar_json_print(&text, root, false, "t.json");
        ar_json_close(root);
        if (status == AR_OK) assert_string_equal(text, whole);
        free(text);
        if (left >= 0) break; /* there were fewer */
        assert_error(status, AR_ERR_MEMORY, "t.json");
        failed++;
    }
    cJSON_InitHooks(NULL);
    assert_true(failed > 20);
}

static void nothing_is_no_tree(void **state) {
    (void)state;
    char *text;
    assert_error(ar_json_print(&text, NULL, true, "t.json"), AR_ERR_MEMORY, "t.json");
    assert_null(text);
    assert_null(ar_json_put(NULL, "key", cJSON_CreateNull()));
    assert_null(ar_json_push(NULL, cJSON_CreateNull()));
    assert_null(ar_json_add_object(NULL, "key"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_last_of_equal_keys_counts),
                                       cmocka_unit_test(equal_keys_are_found_among_many),
                                       cmocka_unit_test(json_takes_valid_text),
                                       cmocka_unit_test(json_rejects_every_proper_prefix),
                                       cmocka_unit_test(json_rejects_hostile_text),
                                       cmocka_unit_test(json_caps_depth_and_values),
                                       cmocka_unit_test(json_open_names_the_file),
                                       cmocka_unit_test(lookups_check_type_and_range),
                                       cmocka_unit_test(want_of_memory_is_not_bad_text),
                                       cmocka_unit_test(a_tree_that_lacks_something_is_not_printed),
                                       cmocka_unit_test(nothing_is_no_tree)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
