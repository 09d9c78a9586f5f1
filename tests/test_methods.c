/* Options of a method from its rows alone: a made-up method stands for any. No device, no model. */
#include "temp_files.h"
#include "methods.h"
#include <string.h>

static const ar_scheme four = {4, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE},
                       two = {2, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE};

static double damp_rule(const ar_method_options *o, const ar_scheme *scheme) {
    return ar_method_options_get(o, "rounds") / scheme->bits;
}

/* Counts what it is told and holds at most as many back as there are samples. */
static ar_status settle(ar_method_options *o, const ar_observer *observer) {
    double held = ar_method_options_get(o, "kept"), count = ar_method_options_get(o, "samples");
    if (held > count) return ar__fail(AR_ERR_USAGE, "kept: found %g, expected at most %g", held, count);
    if (observer) observer->warn(observer->ctx, "settled");
    ar_method_options_put(o, "kept", count - held);
    return AR_OK;
}

static const char *const words[] = {"first", "second", NULL};
static const ar_option_row rows[] = {
    {.name = "rounds",
     .kind = AR_VALUE_INT,
     .preset = 3,
     .hi = 99,
     .value = "N",
     .help = "h",
     .record = "rounds",
     .zero_is = "rtn"},
    {.name = "damp_by",
     .kind = AR_VALUE_REAL,
     .lo = 0.5,
     .hi = 2,
     .value = "X",
     .help = "h",
     .record = "damp",
     .rule = damp_rule},
    {.name = "order",
     .kind = AR_VALUE_CHOICE,
     .preset = 1,
     .choice = words,
     .value = "W",
     .help = "h",
     .record = "order"},
    {.name = "kept", .kind = AR_VALUE_INT, .lo = 1, .hi = 9, .value = "N", .help = "h", .record = " keeps "},
    {.name = "fast", .kind = AR_VALUE_FLAG, .help = "h"},
    {.name = "safe", .kind = AR_VALUE_FLAG, .preset = 1, .help = "h", .record = "safe"},
    AR__ROWS_OF_SAMPLES(16, 64)};
static const ar_recipe recipes[] = {
    {"quick", "one round", {{"rounds", 1, NULL}, {"samples", 4, NULL}, {"damp_by", 1.5, "rounds"}}},
    {"slow", "nine", {{"rounds", 9, NULL}, {"samples", 32, NULL}}}};
static const ar_method made_up = {.name = "made_up",
                                  .help = "h",
                                  .needs = AR_NEEDS_SAMPLES,
                                  .options = rows,
                                  .option_count = (int32_t)(sizeof rows / sizeof *rows),
                                  .recipes = recipes,
                                  .recipe_count = 2,
                                  .recipe = "slow",
                                  .settle = settle};

static ar_method_options fresh(void) {
    ar_method_options o;
    ar_method_options_init(&o, &made_up);
    return o;
}

static void set(ar_method_options *o, const char *name, const char *text) {
    if (ar_method_options_set(o, name, text) != AR_OK) fail_msg("%s %s: %s", name, text, ar_error());
}

static void refuses(ar_status status, const char *text) {
    assert_int_equal(status, AR_ERR_USAGE);
    if (strcmp(ar_error(), text) != 0) fail_msg("found '%s', expected '%s'", ar_error(), text);
}

/* ---- claims ---- */

static void options_begin_as_their_rows_have_them(void **state) {
    (void)state;
    ar_method_options o = fresh();
    static const struct {
        const char *name;
        double value;
    } want[] = {{"rounds", 3}, {"damp_by", 0}, {"order", 1},  {"kept", 0},     {"fast", 0},
                {"safe", 1},   {"seed", 42},   {"blocks", 0}, {"samples", 16}, {"seqlen", 64}};
    for (size_t k = 0; k < sizeof want / sizeof *want; k++) {
        assert_true(ar_method_options_get(&o, want[k].name) == want[k].value);
        assert_false(ar_method_options_given(&o, want[k].name));
    }
    assert_true(ar_method_options_get(&o, "none") == 0);
}

static void values_are_parsed_within_their_range(void **state) {
    (void)state;
    ar_method_options o = fresh();
    set(&o, "rounds", "7");
    set(&o, "damp_by", "0.7");
    set(&o, "order", "first");
    set(&o, "fast", "1");
    set(&o, "safe", "0");
    assert_true(ar_method_options_get(&o, "rounds") == 7 && ar_method_options_get(&o, "order") == 0);
    assert_true(ar_method_options_get(&o, "damp_by") == (double)0.7f); /* methods count in f32 */
    assert_true(ar_method_options_get(&o, "fast") == 1 && ar_method_options_get(&o, "safe") == 0);
    assert_true(ar_method_options_given(&o, "rounds") && !ar_method_options_given(&o, "kept"));
    static const struct {
        const char *name, *text, *error;
    } bad[] = {{"rounds", "100", "--rounds: found '100', expected a whole number from 0 to 99"},
               {"rounds", "-1", "--rounds: found '-1', expected a whole number from 0 to 99"},
               {"rounds", "5x", "--rounds: found '5x', expected a whole number from 0 to 99"},
               {"rounds", "", "--rounds: found '', expected a whole number from 0 to 99"},
               {"rounds", "99999999999999999999",
                "--rounds: found '99999999999999999999', expected a whole number from 0 to 99"},
               {"damp_by", "3", "--damp-by: found '3', expected a number from 0.5 to 2"},
               {"damp_by", "nan", "--damp-by: found 'nan', expected a number from 0.5 to 2"},
               {"order", "third", "--order: found 'third', expected one of first, second"},
               {"safe", "2", "--no-safe: found '2', expected 0 or 1"},
               {"recipe", "heavy", "--recipe: found 'heavy', expected quick or slow"},
               {"speed", "1", "method made_up: found no option 'speed'"}};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        refuses(ar_method_options_set(&o, bad[k].name, bad[k].text), bad[k].error);
    assert_true(ar_method_options_get(&o, "rounds") == 7); /* what is refused changes nothing */
}

static void rules_stand_for_what_is_not_given(void **state) {
    (void)state;
    ar_method_options o = fresh();
    assert_true(ar_method_options_rule(&o, "damp_by", &four) == 0.75);
    assert_true(ar_method_options_rule(&o, "damp_by", &two) == 1.5);
    assert_true(ar_method_options_rule(&o, "rounds", &two) == 3);
    set(&o, "damp_by", "1");
    assert_true(ar_method_options_rule(&o, "damp_by", &two) == 1);
}

static void recipes_fill_in_what_is_not_given(void **state) {
    (void)state;
    ar_method_options o = fresh();
    assert_int_equal(ar_method_options_finish(&o), AR_OK); /* the method's own */
    assert_true(ar_method_options_get(&o, "rounds") == 9 && ar_method_options_get(&o, "samples") == 32);
    o = fresh();
    set(&o, "recipe", "quick");
    set(&o, "samples", "8");
    assert_int_equal(ar_method_options_finish(&o), AR_OK);
    assert_true(ar_method_options_get(&o, "rounds") == 1 && ar_method_options_get(&o, "samples") == 8);
    assert_true(ar_method_options_get(&o, "damp_by") == 1.5);
    o = fresh();
    set(&o, "recipe", "quick");
    set(&o, "rounds", "5"); /* the recipe's damping belongs to its rounds */
    assert_int_equal(ar_method_options_finish(&o), AR_OK);
    assert_true(ar_method_options_get(&o, "damp_by") == 0 && ar_method_options_get(&o, "samples") == 4);
    set(&o, "samples", "5");
    refuses(ar_method_options_finish(&o), "--recipe has no effect with --rounds and --samples all given");
}

static void zero_may_amount_to_another_method(void **state) {
    (void)state;
    const ar_option_row *row = rows;
    ar_method_options o = fresh();
    assert_ptr_equal(ar_method_options_method(&o, &row), &made_up);
    assert_null(row);
    set(&o, "rounds", "0");
    assert_int_equal(ar_method_options_finish(&o), AR_OK);
    assert_ptr_equal(ar_method_options_method(&o, &row), ar_method_find("rtn"));
    assert_ptr_equal(row, &rows[0]);
    set(&o, "safe", "0");
    refuses(ar_method_options_finish(&o), "--no-safe has no effect with --rounds 0");
    o = fresh();
    set(&o, "rounds", "0");
    set(&o, "recipe", "slow");
    refuses(ar_method_options_finish(&o), "--recipe has no effect with --rounds 0");
}

static void a_method_checks_what_values_mean_together(void **state) {
    (void)state;
    ar_method_options o = fresh();
    set(&o, "kept", "3");
    set(&o, "samples", "5");
    assert_int_equal(ar_method_options_finish(&o), AR_OK);
    assert_true(ar_method_options_get(&o, "kept") == 3); /* only looked at: the samples are not there yet */
    assert_int_equal(made_up.settle(&o, NULL), AR_OK);
    assert_true(ar_method_options_get(&o, "kept") == 2);
    set(&o, "kept", "9");
    refuses(ar_method_options_finish(&o), "kept: found 9, expected at most 5");
}

static void the_state_records_what_decides_the_result(void **state) {
    (void)state;
    static const char *const want[][2] = {
        {"rounds", "3"},        {"damp", "0.699999988"}, {"order", "second keeps 2"},
        {"safe", "0"},          {"finish", "none"},      {"finish_iters", "60"},
        {"finish_lr", "0.002"}, {"finish_samples", "0"}, {"seed", "9000000000000000"},
        {"blocks", "0"},        {"samples", "16 x 64"}};
    ar_method_options o = fresh();
    const char *name = NULL;
    char text[160];
    int32_t at = 0;
    set(&o, "damp_by", "0.7");
    set(&o, "kept", "2");
    set(&o, "fast", "1"); /* decides nothing: has no name there */
    set(&o, "safe", "0");
    ar_method_options_put(&o, "seed", 9e15);
    for (size_t k = 0; k < sizeof want / sizeof *want; k++) {
        assert_true(ar_method_options_record(&name, text, sizeof text, &o, &at));
        assert_string_equal(name, want[k][0]);
        assert_string_equal(text, want[k][1]);
    }
    assert_false(ar_method_options_record(&name, text, sizeof text, &o, &at));
    ar_method_options_init(&o, ar_method_find("rtn"));
    at = 0;
    assert_false(ar_method_options_record(&name, text, sizeof text, &o, &at));
}

static void people_read_words_and_what_a_rule_gives(void **state) {
    (void)state;
    ar_method_options o;
    char text[64];
    const ar_scheme scheme = {.bits = 4, .group = 32, .zero = AR_ZERO_SYM};
    static const char *const want[][2] = {{"iters", "40"},           {"lr", "0.025"},       {"minmax", "no"},
                                          {"select", "batch"},       {"optimizer", "sign"}, {"blocks", ""},
                                          {"quantized_input", "yes"}};
    ar_method_options_init(&o, ar_method_find("signround"));
    set(&o, "iters", "40");
    set(&o, "minmax", "0");
    set(&o, "select", "batch");
    for (size_t k = 0; k < sizeof want / sizeof *want; k++) {
        int32_t i = 0;
        while (strcmp(o.method->options[i].name, want[k][0]) != 0) i++;
        ar_method_options_show(text, sizeof text, &o, i, &scheme);
        assert_string_equal(text, want[k][1]);
    }
}

/* Every method there is: names that a command line can tell apart, presets within their ranges, and what
 * recipes and writers name exists. */
static void every_methods_rows_are_sound(void **state) {
    (void)state;
    for (int32_t k = 0; ar_method_at(k); k++) {
        const ar_method *m = ar_method_at(k);
        assert_true(m->run && m->measure);
        ar_method_options o;
        assert_true(m->option_count <= AR_MAX_OPTIONS);
        ar_method_options_init(&o, m);
        assert_int_equal(ar_method_options_finish(&o), AR_OK);
        for (int32_t i = 0; i < m->option_count; i++) {
            const ar_option_row *row = &m->options[i];
            for (int32_t n = 0; n < i; n++) assert_string_not_equal(m->options[n].name, row->name);
            if (row->preset != 0.0 && (row->kind == AR_VALUE_INT || row->kind == AR_VALUE_REAL))
                assert_true(row->preset >= row->lo && row->preset <= row->hi);
            assert_true((row->kind == AR_VALUE_CHOICE) == (row->choice != NULL));
            assert_true(!row->zero_is || ar_method_find(row->zero_is));
        }
        for (int32_t r = 0; r < m->recipe_count; r++) {
            ar_method_options_init(&o, m);
            set(&o, "recipe", m->recipes[r].name);
            assert_int_equal(ar_method_options_finish(&o), AR_OK);
        }
        for (const ar_stored_option *s = m->stored; s && s->option; s++) {
            bool found = false;
            for (int32_t i = 0; i < m->option_count; i++)
                found = found || strcmp(m->options[i].name, s->option) == 0;
            assert_true(found);
        }
    }
}

/* Where a step's own loss is that of soft codes, it selects nothing. */
static void soft_codes_are_never_selected_by_their_own_loss(void **state) {
    static const char *const names[] = {"anneal", "frozen"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ar_method_options o;
        const ar_method *method = ar_method_find(names[i]);
        ar_method_options_init(&o, method);
        ar_method_options_put(&o, "samples", 1);
        assert_int_equal(method->settle(&o, NULL), AR_OK);
        assert_true(ar_method_options_get(&o, "select") == AR_SELECT_LAST);
        ar_method_options_put(&o, "select", AR_SELECT_BATCH);
        assert_int_equal(method->settle(&o, NULL), AR_OK);
        assert_true(ar_method_options_get(&o, "select") == AR_SELECT_LAST);
        assert_int_equal(ar_method_options_set(&o, "select", "batch"), AR_ERR_USAGE);
        assert_non_null(strstr(ar_error(), "expected one of heldout, last"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(options_begin_as_their_rows_have_them),
                                       cmocka_unit_test(values_are_parsed_within_their_range),
                                       cmocka_unit_test(rules_stand_for_what_is_not_given),
                                       cmocka_unit_test(recipes_fill_in_what_is_not_given),
                                       cmocka_unit_test(zero_may_amount_to_another_method),
                                       cmocka_unit_test(a_method_checks_what_values_mean_together),
                                       cmocka_unit_test(the_state_records_what_decides_the_result),
                                       cmocka_unit_test(people_read_words_and_what_a_rule_gives),
                                       cmocka_unit_test(every_methods_rows_are_sound),
                                       cmocka_unit_test(soft_codes_are_never_selected_by_their_own_loss)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
