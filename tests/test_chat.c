/* host/text/chat.c against Hugging Face's renderer (tests/golden/make_chat.py), and where templates are
 * found. */
#include "temp_files.h"
#include "fmt_gguf.h"
#include <cjson/cJSON.h>

/* The time that make_chat.py tells templates. */
static const struct tm then = {
    .tm_year = 131, .tm_mon = 0, .tm_mday = 2, .tm_hour = 3, .tm_min = 4, .tm_sec = 5};

static ar_chat *create(const char *template_text) {
    ar_chat *c;
    const ar_chat_desc d = {.template_text = template_text, .bos = "<s>", .eos = "</s>", .now = &then};
    assert_ok(ar_chat_create(&c, &d));
    return c;
}

static int32_t read_talk(ar_chat_message messages[8], const ar_json *talk) {
    int32_t count = cJSON_GetArraySize(talk);
    for (int32_t k = 0; k < count; k++) {
        const ar_json *m = cJSON_GetArrayItem(talk, k);
        messages[k] =
            (ar_chat_message){ar_json_get(m, "role")->valuestring, ar_json_get(m, "content")->valuestring};
    }
    return count;
}

/* Every talk, up to the answer and without that. */
static int check_template(const char *name, const ar_json *texts, const ar_json *talks) {
    char path[256], *template_text;
    size_t bytes;
    int refused = 0;
    snprintf(path, sizeof path, "tests/golden/chat/%s.jinja", name);
    assert_ok(ar_file_read_text(&template_text, &bytes, path, 1 << 20));
    ar_chat *c = create(template_text);
    for (int i = 0; i < cJSON_GetArraySize(texts); i++) {
        ar_chat_message messages[8];
        const ar_json *text = cJSON_GetArrayItem(texts, i);
        int32_t count = read_talk(messages, cJSON_GetArrayItem(talks, i / 2));
        char *found;
        ar_status status = ar_chat_render(&found, c, messages, count, i % 2 == 0);
        if (ar_chat_is_plain(c)) fail_msg("%s: %s", name, ar_chat_note(c));
        if (cJSON_IsNull(text)) {
            assert_int_equal(status, AR_ERR_ARG);
            refused++;
        } else {
            assert_ok(status);
            if (strcmp(found, text->valuestring) != 0)
                fail_msg("%s, case %d: found\n%s\nexpected\n%s", name, i, found, text->valuestring);
        }
        free(found);
    }
    ar_chat_close(c);
    free(template_text);
    return refused;
}

static void rendering_equals_hugging_face(void **state) {
    (void)state;
    ar_json *root;
    assert_ok(ar_json_open(&root, "tests/golden/chat.json", 1 << 22));
    const ar_json *talks = ar_json_get(root, "talks"), *texts = ar_json_get(root, "texts"), *one;
    int refused = 0, count = 0;
    cJSON_ArrayForEach(one, texts) {
        assert_int_equal(cJSON_GetArraySize(one), 2 * cJSON_GetArraySize(talks));
        refused += check_template(one->string, one, talks);
        count++;
    }
    assert_true(count >= 36 && refused > 10);
    ar_json_close(root);
}

static void no_template_is_plain_text(void **state) {
    (void)state;
    const ar_chat_message messages[] = {{"user", "a"}, {"assistant", "b"}};
    ar_chat *c = create(NULL);
    char *text;
    assert_true(ar_chat_is_plain(c));
    assert_null(ar_chat_note(c));
    assert_ok(ar_chat_render(&text, c, messages, 2, true));
    assert_string_equal(text, "a\nb\n");
    free(text);
    ar_chat_close(c);
    ar_chat_close(NULL);
}

/* What the interpreter does not know is named once, and the messages are plain text from there on. */
static void unknown_constructs_are_named_and_plain_text(void **state) {
    (void)state;
    static const char *const unknown[][2] = {
        {"{% include 'x' %}", "the statement \"include\""},
        {"{% for m in messages recursive %}{% endfor %}", "a recursive loop"},
        {"{{ messages|groupby('role') }}", "the filter \"groupby\""},
        {"{{ 1 is nosuch }}", "the test \"nosuch\""},
        {"{{ 'a'.zfill(3) }}", "the method \"zfill\" of a string"},
        {"{{ messages.append(1) }}", "the method \"append\" of a list"},
        {"{{ lipsum() }}", "the function lipsum"},
        {"\n{{ 1 2 }}", "line 2: found \"2\", expected }}"},
        {"{% if 1 %}", "found the end, expected elif else endif"},
    };
    const ar_chat_message messages[] = {{"user", "a"}, {"assistant", "b"}};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        ar_chat *c = create(unknown[i][0]);
        char *text;
        assert_true(ar_chat_is_plain(c));
        if (!strstr(ar_chat_note(c), unknown[i][1])) fail_msg("%s: %s", unknown[i][0], ar_chat_note(c));
        assert_ok(ar_chat_render(&text, c, messages, 2, true));
        assert_string_equal(text, "a\nb\n");
        free(text);
        ar_chat_close(c);
    }
    /* Only where it is reached: not by the conversation that creation tries. */
    ar_chat *c = create("{% if messages[0].content == 'a' %}{{ 'a'|groupby }}{% else %}x{% endif %}");
    char *text;
    assert_false(ar_chat_is_plain(c));
    assert_ok(ar_chat_render(&text, c, messages + 1, 1, true));
    assert_string_equal(text, "x");
    free(text);
    assert_ok(ar_chat_render(&text, c, messages, 1, true));
    assert_string_equal(text, "a\n");
    assert_true(ar_chat_is_plain(c));
    assert_non_null(strstr(ar_chat_note(c), "groupby"));
    free(text);
    ar_chat_close(c);
}

static void templates_refuse_in_their_own_words(void **state) {
    (void)state;
    ar_chat *c = create("a\n{{ raise_exception('no ' ~ messages[0].role) }}");
    const ar_chat_message message = {"user", "a"}, broken = {"user", "\xff"};
    char *text;
    assert_error(ar_chat_render(&text, c, &message, 1, true), AR_ERR_ARG,
                 "line 2: the template refuses this: no user");
    assert_null(text);
    assert_error(ar_chat_render(&text, c, &broken, 1, true), AR_ERR_FORMAT, "0xff");
    assert_false(ar_chat_is_plain(c));
    ar_chat_close(c);
}

static void the_date_is_told_where_it_is_known(void **state) {
    (void)state;
    static const char asks[] = "{{ strftime_now('%d %b %Y') if strftime_now is defined else 'no date' }}";
    for (int i = 0; i < 2; i++) {
        ar_chat *c;
        const ar_chat_desc d = {.template_text = asks, .now = i ? &then : NULL};
        char *text;
        assert_ok(ar_chat_create(&c, &d));
        assert_ok(ar_chat_render(&text, c, NULL, 0, false));
        assert_string_equal(text, i ? "02 Jan 2031" : "no date");
        free(text);
        ar_chat_close(c);
    }
}

static void special_tokens_that_a_model_lacks_are_undefined(void **state) {
    (void)state;
    static const char asks[] = "{{ bos_token is defined }}{{ eos_token }}{{ unk_token is defined }}";
    ar_chat *c;
    char *text;
    const ar_chat_desc d = {.template_text = asks, .eos = "</s>"};
    assert_ok(ar_chat_create(&c, &d));
    assert_ok(ar_chat_render(&text, c, NULL, 0, false));
    assert_string_equal(text, "False</s>False");
    free(text);
    ar_chat_close(c);
}

static void what_stands_behind_an_answer_ends_it(void **state) {
    (void)state;
    static const struct {
        const char *template_text;
        int32_t id;
    } rows[] = {
        {"{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}\n{% endfor %}", 2},
        {"{% for m in messages %}{{ m.content ~ ' \n </s><s>' }}{% endfor %}", 2},
        {"{% for m in messages %}{{ m.content ~ 'a</s>' }}{% endfor %}", -1}, /* something else first */
        {"{% for m in messages %}{{ m.content }}{% endfor %}", -1},
        {"{% if messages|length > 1 %}{{ raise_exception('one') }}{% endif %}{{ eos_token }}", -1},
        {NULL, -1},
    };
    ar_tokenizer *t;
    assert_ok(ar_tokenizer_open(&t, "examples/demo-model/tokenizer.json"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ar_chat *c = create(rows[i].template_text);
        int32_t id;
        assert_ok(ar_chat_turn_end(&id, c, t));
        assert_int_equal(id, rows[i].id);
        ar_chat_close(c);
    }
    ar_tokenizer_close(t);
}

static void render_equals(ar_chat *c, const char *expected) {
    char *text;
    const ar_chat_message message = {"user", "a"};
    assert_ok(ar_chat_render(&text, c, &message, 1, false));
    assert_string_equal(text, expected);
    free(text);
    ar_chat_close(c);
}

static void templates_are_found_in_a_folder_or_a_file(void **state) {
    (void)state;
    char *dir = temp_folder(), path[4352];
    ar_open_model m = {.path = dir, .config = {.bos = -1, .eos = -1}};
    ar_chat *c;
    assert_ok(ar_chat_open(&c, &m, NULL, NULL));
    render_equals(c, "a\n");
    snprintf(path, sizeof path, "%s/tokenizer_config.json", dir);
    put_text(path, "{\"chat_template\":\"one {{ messages[0].content }}\"}");
    assert_ok(ar_chat_open(&c, &m, NULL, NULL));
    render_equals(c, "one a");
    put_text(path, "{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"tools\"},"
                   "{\"name\":\"default\",\"template\":\"two\"}]}");
    assert_ok(ar_chat_open(&c, &m, NULL, NULL));
    render_equals(c, "two");
    snprintf(path, sizeof path, "%s/chat_template.jinja", dir);
    put_text(path, "three");
    assert_ok(ar_chat_open(&c, &m, NULL, NULL));
    render_equals(c, "three");
    snprintf(path, sizeof path, "%s/other", dir);
    put_text(path, "{{ four");
    assert_ok(ar_chat_open(&c, &m, path, NULL));
    assert_non_null(strstr(ar_chat_note(c), "/other: line 1: found the end"));
    render_equals(c, "a\n");
    assert_error(ar_chat_open(&c, &m, "nowhere/at all", NULL), AR_ERR_IO, "nowhere/at all");
    m.path = path; /* no GGUF file */
    m.read_template = ar__gguf_template;
    assert_int_equal(ar_chat_open(&c, &m, NULL, NULL), AR_ERR_FORMAT);
    assert_null(c);
    temp_remove(dir);
}

static void every_failing_allocation_is_an_error(void **state) {
    (void)state;
    const ar_chat_message messages[] = {{"user", "a"}, {"assistant", "b"}};
    const ar_chat_desc d = {.template_text = "{% for m in messages %}{{ m.content|upper }}{% endfor %}"};
    for (int32_t n = 1;; n++) {
        ar_chat *c;
        char *text = NULL;
        ar__alloc_fail_at(n);
        ar_status status = ar_chat_create(&c, &d);
        if (status == AR_OK) status = ar_chat_render(&text, c, messages, 2, true);
        ar__alloc_fail_at(0);
        if (status == AR_OK) {
            assert_string_equal(text, "AB");
            assert_true(n > 5);
        } else {
            assert_int_equal(status, AR_ERR_MEMORY);
        }
        free(text);
        ar_chat_close(c);
        if (status == AR_OK) break;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rendering_equals_hugging_face),
        cmocka_unit_test(no_template_is_plain_text),
        cmocka_unit_test(unknown_constructs_are_named_and_plain_text),
        cmocka_unit_test(templates_refuse_in_their_own_words),
        cmocka_unit_test(the_date_is_told_where_it_is_known),
        cmocka_unit_test(special_tokens_that_a_model_lacks_are_undefined),
        cmocka_unit_test(what_stands_behind_an_answer_ends_it),
        cmocka_unit_test(templates_are_found_in_a_folder_or_a_file),
        cmocka_unit_test(every_failing_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
