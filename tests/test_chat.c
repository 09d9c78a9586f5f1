/* host/text/chat.c against Hugging Face's renderer (tests/golden/make_chat.py) and on models of every kind.
 */
#include "temp_files.h"
#include "fmt_gguf.h"
#include <cjson/cJSON.h>

static void rendering_equals_hugging_face(void **state) {
    (void)state;
    ar_json *cases;
    assert_ok(ar_json_open(&cases, "tests/golden/chat.json", 1 << 22));
    int count = cJSON_GetArraySize(cases), refused = 0;
    assert_true(count > 150);
    for (int i = 0; i < count; i++) {
        const ar_json *one = cJSON_GetArrayItem(cases, i), *list = ar_json_get(one, "messages"),
                      *text = ar_json_get(one, "text");
        ar_chat_message messages[8];
        int message_count = cJSON_GetArraySize(list);
        for (int k = 0; k < message_count; k++) {
            const ar_json *m = cJSON_GetArrayItem(list, k);
            messages[k] = (ar_chat_message){ar_json_get(m, "role")->valuestring,
                                            ar_json_get(m, "content")->valuestring};
        }
        ar_chat *c;
        char *found = NULL;
        assert_ok(ar_chat_parse(&c, ar_json_get(one, "template")->valuestring, "<s>", "</s>", NULL));
        assert_string_equal(ar_chat_name(c), ar_json_get(one, "name")->valuestring);
        ar_status status =
            ar_chat_render(&found, c, messages, message_count, cJSON_IsTrue(ar_json_get(one, "generate")));
        if (cJSON_IsNull(text)) {
            assert_true(status == AR_ERR_ARG || status == AR_ERR_UNSUPPORTED);
            assert_null(found);
            refused++;
        } else {
            assert_ok(status);
            if (strcmp(found, text->valuestring) != 0)
                fail_msg("case %d (%s): found\n%s\nexpected\n%s", i, ar_chat_name(c), found,
                         text->valuestring);
        }
        free(found);
        ar_chat_close(c);
    }
    assert_true(refused > 10);
    ar_json_close(cases);
}

static void unknown_templates_are_plain_text(void **state) {
    (void)state;
    static const char *const unknown[] = {
        NULL, "", "{% for m in messages %}### {{ m.role }}: {{ m.content }}{% endfor %}"};
    const ar_chat_message messages[] = {{"user", "a"}, {"assistant", "b"}};
    for (size_t i = 0; i < 3; i++) {
        ar_chat *c;
        char *text;
        assert_ok(ar_chat_parse(&c, unknown[i], NULL, NULL, NULL));
        assert_true(ar_chat_is_plain(c));
        assert_string_equal(ar_chat_turn_end(c), "");
        assert_ok(ar_chat_render(&text, c, messages, 2, true));
        assert_string_equal(text, "a\nb\n");
        free(text);
        ar_chat_close(c);
    }
    ar_chat_close(NULL);
}

static void the_date_is_told_to_templates_that_ask(void **state) {
    (void)state;
    static const char fixed[] = "<|start_header_id|><|eot_id|>Cutting Knowledge Date";
    static const char asks[] = "<|start_header_id|><|eot_id|>Cutting Knowledge Date strftime_now";
    for (int i = 0; i < 2; i++) {
        ar_chat *c;
        char *text;
        assert_ok(ar_chat_parse(&c, i ? asks : fixed, "", "", "01 Jan 2031"));
        assert_ok(ar_chat_render(&text, c, NULL, 0, false));
        assert_non_null(strstr(text, i ? "Today Date: 01 Jan 2031\n" : "Today Date: 26 Jul 2024\n"));
        free(text);
        ar_chat_close(c);
    }
}

static void templates_are_found_in_a_folder(void **state) {
    (void)state;
    char *dir = temp_folder(), path[4352];
    ar_open_model m = {.path = dir, .config = {.bos = -1, .eos = -1}};
    ar_chat *c;
    assert_ok(ar_chat_open(&c, &m, NULL));
    assert_true(ar_chat_is_plain(c));
    ar_chat_close(c);
    snprintf(path, sizeof path, "%s/tokenizer_config.json", dir);
    put_text(path, "{\"chat_template\":\"<|im_start|>\"}");
    assert_ok(ar_chat_open(&c, &m, NULL));
    assert_string_equal(ar_chat_name(c), "ChatML");
    assert_string_equal(ar_chat_turn_end(c), "<|im_end|>");
    ar_chat_close(c);
    put_text(path, "{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"<|im_start|>\"},"
                   "{\"name\":\"default\",\"template\":\"<start_of_turn>\"}]}");
    assert_ok(ar_chat_open(&c, &m, NULL));
    assert_string_equal(ar_chat_name(c), "Gemma");
    ar_chat_close(c);
    snprintf(path, sizeof path, "%s/chat_template.jinja", dir);
    put_text(path, "[INST] <<SYS>>");
    assert_ok(ar_chat_open(&c, &m, NULL));
    assert_string_equal(ar_chat_name(c), "Llama-2");
    ar_chat_close(c);
    m.path = path; /* no GGUF file */
    m.read_template = ar__gguf_template;
    assert_int_equal(ar_chat_open(&c, &m, NULL), AR_ERR_FORMAT);
    assert_null(c);
    temp_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rendering_equals_hugging_face),
        cmocka_unit_test(unknown_templates_are_plain_text),
        cmocka_unit_test(the_date_is_told_to_templates_that_ask),
        cmocka_unit_test(templates_are_found_in_a_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
