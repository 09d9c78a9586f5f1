/* host/text/jinja_*.c against jinja2 itself (tests/golden/make_jinja.py), and its bounds. */
#include "temp_files.h"
#include "jinja.h"
#include <cjson/cJSON.h>

static ar__jarena arena;

static void put(ar__jvalue *dict, const char *key, ar__jvalue value) {
    assert_ok(ar__jdict_put(dict, &arena, ar__jname(key), value));
}

/* The variables that make_jinja.py gives. */
static ar__jvalue make_context(const ar_json *talk) {
    ar__jvalue context, messages, one;
    const ar_json *m;
    assert_ok(ar__jdict_make(&context, &arena, AR__J_DICT, 0));
    assert_ok(ar__jlist_make(&messages, &arena, AR__J_LIST, 0));
    cJSON_ArrayForEach(m, talk) {
        assert_ok(ar__jdict_make(&one, &arena, AR__J_DICT, 0));
        put(&one, "role", ar__jname(ar_json_get(m, "role")->valuestring));
        put(&one, "content", ar__jname(ar_json_get(m, "content")->valuestring));
        assert_ok(ar__jlist_push(&messages, &arena, one));
    }
    put(&context, "messages", messages);
    put(&context, "tools", ar__jnone());
    put(&context, "documents", ar__jnone());
    put(&context, "add_generation_prompt", ar__jbool(true));
    put(&context, "bos_token", ar__jname("<s>"));
    put(&context, "eos_token", ar__jname("</s>"));
    return context;
}

static ar_status render(char **text, const char *template_text, size_t bytes, const ar__jvalue *context) {
    static const struct tm now = {.tm_year = 131, .tm_mday = 1};
    ar__jinja *t;
    *text = NULL;
    ar_status status = ar__jinja_parse(&t, template_text, bytes, "t");
    if (status == AR_OK) status = ar__jinja_render(text, t, context, &now);
    ar__jinja_close(t);
    return status;
}

static void results_equal_jinja2s(void **state) {
    (void)state;
    ar_json *root;
    assert_ok(ar_json_open(&root, "tests/golden/jinja.json", 1 << 22));
    const ar_json *cases = ar_json_get(root, "cases"), *one;
    ar__jvalue context = make_context(ar_json_get(root, "talk"));
    int count = 0, refused = 0;
    cJSON_ArrayForEach(one, cases) {
        const char *t = ar_json_get(one, "template")->valuestring;
        const ar_json *text = ar_json_get(one, "text");
        char *found;
        ar_status status = render(&found, t, strlen(t), &context);
        if (cJSON_IsNull(text)) {
            if (status == AR_OK) fail_msg("%s: found %s, expected an error", t, found);
            refused++;
        } else {
            if (status != AR_OK) fail_msg("%s: found %s, expected %s", t, ar_error(), text->valuestring);
            if (strcmp(found, text->valuestring) != 0)
                fail_msg("%s: found %s, expected %s", t, found, text->valuestring);
        }
        free(found);
        count++;
    }
    assert_true(count > 500 && refused > 30);
    ar__jarena_deinit(&arena);
    ar_json_close(root);
}

/* Templates that would never end, or end in too much. */
#define LONG                                                                                                 \
    "{% set n = namespace(s='0123456789') %}{% for i in range(17) %}{% set n.s = n.s ~ n.s %}{% endfor %}"
static const char *const hungry[][2] = {
    {"{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "no end after"},
    {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "in each other"},
    {"{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() ~ f() }}{% endmacro %}{{ f() }}",
     "in each other"},
    {"{{ 'abcdefghabcdefghabcdefghabcdefghabcdefghabcdefgh' * 99999999999 }}", "found more than 256 MiB"},
    {"{{ '' * 999999999999999999 }}", "no end after"},
    {"{{ [0] * 99999999999 }}", "found more than 256 MiB"},
    {"{% set n = namespace(s='0123456789') %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor "
     "%}",
     "found "},
    {"{% set n = namespace(s='0123456789') %}{% for i in range(20) %}{% set n.s = n.s ~ n.s %}{% endfor "
     "%}"
     "{% for i in range(99999) %}{{ 'x' in n.s }}{% endfor %}",
     "no end after"},
    {"{% set n = namespace(s='a') %}{% for i in range(20) %}{% set n.s = n.s ~ n.s %}{% endfor %}"
     "{{ (n.s[:500000] ~ 'b') in n.s }}",
     "no end after"},
    {"{% set n = namespace(l=[]) %}{% for i in range(9999) %}{% set n.l = [n.l] %}{% endfor %}{{ n.l }}",
     "levels deep"},
    {"{% set n = namespace(l=[]) %}{% for i in range(9999) %}{% set n.l = [n.l] %}{% endfor %}{{ "
     "n.l|tojson }}",
     "levels deep"},
    {"{% set n = namespace(l=[], m=[]) %}{% for i in range(9999) %}{% set n.l = [n.l] %}{% set n.m = "
     "[n.m] %}"
     "{% endfor %}{{ n.l == n.m }}",
     "levels deep"},
    {"{{ range(100001) }}", "at most 100000"},
    {"{{ 9223372036854775807 + 1 }}", "63 bits"},
    {"{{ 3 ** 99 }}", "63 bits"},
    {"{{ -9223372036854775807 * 3 }}", "63 bits"},
    {"{{ 99999999999999999999 }}", "a smaller number"},
    {"{{ strftime_now('%999999c') }}", "a date of more"},
    {"{{ '1'|indent(999999999999) }}", "found more than 256 MiB"},
    {LONG "{% for i in range(99999) %}{% if n.s.count('0') %}{% endif %}{% endfor %}", "no end after"},
    {LONG "{% for i in range(99999) %}{% if n.s is sameas n.s %}{% endif %}{% endfor %}", "no end after"},
    {LONG "{% for i in range(99999) %}{% if n.s.isdigit() %}{% endif %}{% endfor %}", "no end after"},
    {LONG "{% for i in range(99999) %}{% if n.s.startswith(n.s) %}{% endif %}{% endfor %}", "no end after"},
    {LONG "{% for i in range(99999) %}{% if n.s.removeprefix(n.s) %}{% endif %}{% endfor %}", "no end after"},
    {"{% set s = ' ' * 1000000 %}{% for i in range(99999) %}{% if s|int %}{% endif %}{% endfor %}",
     "no end after"},
    {"{% set s = ' ' * 1000000 %}{% for i in range(99999) %}{% if s|float %}{% endif %}{% endfor %}",
     "no end after"},
    {"{{ ('x' * 1000000).strip('y' * 1000000 ~ 'x') }}", "no end after"},
    {"{{ ('x' * 1000000)|trim('y' * 1000000 ~ 'x') }}", "no end after"},
    {LONG "{% set d = {n.s ~ 1: 1, n.s ~ 2: 2, n.s ~ 3: 3, n.s ~ 4: 4} %}{% set k = n.s ~ 5 %}"
          "{% for i in range(99999) %}{% if k in d %}{% endif %}{% endfor %}",
     "no end after"},
    {LONG "{{ range(99999)|map(attribute=n.s)|list }}", "no end after"},
    {"{{ ('a' * 1000)|map(attribute='0.' * 50000 ~ '0')|list }}", "no end after"},
};
#undef LONG

static void work_and_memory_are_bounded(void **state) {
    (void)state;
    ar__jvalue context = make_context(NULL);
    for (size_t i = 0; i < sizeof hungry / sizeof *hungry; i++) {
        char *text;
        ar_status status = render(&text, hungry[i][0], strlen(hungry[i][0]), &context);
        if ((status != AR_ERR_FORMAT && status != AR_ERR_MEMORY) || !strstr(ar_error(), hungry[i][1]))
            fail_msg("%s: found %d (%s), expected %s", hungry[i][0], status, status ? ar_error() : text,
                     hungry[i][1]);
        assert_null(text);
    }
    ar__jarena_deinit(&arena);
}

static void nesting_is_bounded(void **state) {
    (void)state;
    static const char *const units[][2] = {{"(", "{{ "},     {"[", "{{ "},  {"{% if 1 %}", ""},
                                           {"{'a':", "{{ "}, {"- ", "{{ "}, {"1 if 1 else ", "{{ "}};
    ar__jvalue context = make_context(NULL);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        char deep[32768], *text;
        size_t at = (size_t)snprintf(deep, sizeof deep, "%s", units[i][1]);
        for (int k = 0; k < 2000; k++) at += (size_t)snprintf(deep + at, sizeof deep - at, "%s", units[i][0]);
        assert_int_equal(render(&text, deep, at, &context), AR_ERR_FORMAT);
    }
    /* As long as they like, where nothing stands in each other. */
    char *wide = malloc(400000), *text;
    size_t at = 0;
    for (int k = 0; k < 20000; k++) at += (size_t)sprintf(wide + at, "{{ not not %d }}", k % 2);
    assert_ok(render(&text, wide, at, &context));
    free(text);
    free(wide);
    ar__jarena_deinit(&arena);
}

/* No beginning of a template reads beyond its end; none is a crash. */
static void every_prefix_is_a_result_or_an_error(void **state) {
    (void)state;
    char path[256], *whole;
    size_t bytes;
    snprintf(path, sizeof path, "tests/golden/chat/%s.jinja", "loop_controls");
    assert_ok(ar_file_read_text(&whole, &bytes, path, 1 << 20));
    ar__jvalue context = make_context(NULL);
    for (size_t n = 0; n <= bytes; n++) {
        char *cut = malloc(n ? n : 1), *text; /* exactly as long, for the sanitizers */
        memcpy(cut, whole, n);
        render(&text, cut, n, &context);
        free(text);
        free(cut);
    }
    char *text;
    assert_error(render(&text, "a\xff", 2, &context), AR_ERR_FORMAT, "byte 1");
    assert_error(render(&text, "a\0b", 3, &context), AR_ERR_FORMAT, "NUL");
    free(whole);
    ar__jarena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_equal_jinja2s),
        cmocka_unit_test(work_and_memory_are_bounded),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(every_prefix_is_a_result_or_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
