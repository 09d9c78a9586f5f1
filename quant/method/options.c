/* The options of methods: values in the order of a method's rows, and all that follows from the rows. */
#include "ar_error.h"
#include "ar_quant.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- rows ---- */

/* -1 if the method has no such option. */
static int32_t find(const ar_method *m, const char *name) {
    for (int32_t i = 0; i < m->option_count; i++)
        if (strcmp(m->options[i].name, name) == 0) return i;
    return -1;
}

void ar_option_row_spell(char *text, size_t bytes, const ar_option_row *row) {
    bool off = row->kind == AR_VALUE_FLAG && row->preset != 0.0;
    snprintf(text, bytes, "--%s%s", off ? "no-" : "", row->name);
    for (char *c = text; *c; c++)
        if (*c == '_') *c = '-';
}

void ar_method_options_init(ar_method_options *o, const ar_method *method) {
    *o = (ar_method_options){.method = method};
    for (int32_t i = 0; i < method->option_count; i++) o->value[i] = method->options[i].preset;
}

/* ---- lists of words ---- */

/* Appends; what does not fit is cut. */
static void append(char *text, size_t bytes, const char *format, ...) AR__PRINTF(3, 4);
static void append(char *text, size_t bytes, const char *format, ...) {
    size_t used = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, bytes - used, format, args);
    va_end(args);
}

/* What stands before word i of count: "a, b or c". */
static const char *between(int32_t i, int32_t count, const char *last) {
    return i == 0 ? "" : i + 1 == count ? last : ", ";
}

/* ---- parsing ---- */

static ar_status parse_int(double *value, const ar_option_row *row, const char *option, const char *text) {
    char *end = NULL;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || isspace((unsigned char)*text) || end == text || *end || (double)v < row->lo ||
        (double)v > row->hi)
        return ar__fail(AR_ERR_USAGE, "%s: found '%s', expected a whole number from %.0f to %.0f", option,
                        text, row->lo, row->hi);
    *value = (double)v;
    return AR_OK;
}

/* Methods count in f32. */
static ar_status parse_real(double *value, const ar_option_row *row, const char *option, const char *text) {
    const char *end;
    double v = ar__decimal(text, &end);
    if (end == text || *end || !isfinite(v) || v < row->lo || v > row->hi)
        return ar__fail(AR_ERR_USAGE, "%s: found '%s', expected a number from %g to %g", option, text,
                        row->lo, row->hi);
    *value = (double)(float)v;
    return AR_OK;
}

static ar_status parse_choice(double *value, const ar_option_row *row, const char *option, const char *text) {
    char list[160] = "";
    for (int32_t i = 0; row->choice[i]; i++) {
        if (strcmp(text, row->choice[i]) == 0) {
            *value = i;
            return AR_OK;
        }
        append(list, sizeof list, "%s%s", i ? ", " : "", row->choice[i]);
    }
    return ar__fail(AR_ERR_USAGE, "%s: found '%s', expected one of %s", option, text, list);
}

static ar_status parse_flag(double *value, const char *option, const char *text) {
    if (strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
        return ar__fail(AR_ERR_USAGE, "%s: found '%s', expected 0 or 1", option, text);
    *value = *text == '1';
    return AR_OK;
}

static const ar_recipe *find_recipe(const ar_method *m, const char *name) {
    for (int32_t i = 0; i < m->recipe_count; i++)
        if (name && strcmp(m->recipes[i].name, name) == 0) return &m->recipes[i];
    return NULL;
}

static ar_status set_recipe(ar_method_options *o, const char *text) {
    const ar_recipe *r = find_recipe(o->method, text);
    char list[160] = "";
    for (int32_t i = 0; i < o->method->recipe_count; i++)
        append(list, sizeof list, "%s%s", between(i, o->method->recipe_count, " or "),
               o->method->recipes[i].name);
    if (!r) return ar__fail(AR_ERR_USAGE, "--recipe: found '%s', expected %s", text, list);
    o->recipe = r->name;
    return AR_OK;
}

ar_status ar_method_options_set(ar_method_options *o, const char *name, const char *text) {
    char option[64];
    int32_t i = find(o->method, name);
    if (i < 0 && o->method->recipe_count > 0 && strcmp(name, "recipe") == 0) return set_recipe(o, text);
    if (i < 0) return ar__fail(AR_ERR_USAGE, "method %s: found no option '%s'", o->method->name, name);
    const ar_option_row *row = &o->method->options[i];
    ar_option_row_spell(option, sizeof option, row);
    switch (row->kind) {
    case AR_VALUE_FLAG: AR_TRY(parse_flag(&o->value[i], option, text)); break;
    case AR_VALUE_INT: AR_TRY(parse_int(&o->value[i], row, option, text)); break;
    case AR_VALUE_REAL: AR_TRY(parse_real(&o->value[i], row, option, text)); break;
    case AR_VALUE_CHOICE: AR_TRY(parse_choice(&o->value[i], row, option, text)); break;
    }
    o->given[i] = true;
    return AR_OK;
}

/* ---- values ---- */

void ar_method_options_put(ar_method_options *o, const char *name, double value) {
    int32_t i = find(o->method, name);
    if (i >= 0) o->value[i] = value;
}

double ar_method_options_get(const ar_method_options *o, const char *name) {
    int32_t i = find(o->method, name);
    return i >= 0 ? o->value[i] : 0.0;
}

bool ar_method_options_given(const ar_method_options *o, const char *name) {
    int32_t i = find(o->method, name);
    return i >= 0 && o->given[i];
}

double ar_method_options_rule(const ar_method_options *o, const char *name, const ar_scheme *scheme) {
    int32_t i = find(o->method, name);
    if (i < 0) return 0.0;
    const ar_option_row *row = &o->method->options[i];
    return o->value[i] == 0.0 && row->rule ? row->rule(o, scheme) : o->value[i];
}

const ar_method *ar_method_options_method(const ar_method_options *o, const ar_option_row **row) {
    if (row) *row = NULL;
    for (int32_t i = 0; i < o->method->option_count; i++) {
        const ar_option_row *r = &o->method->options[i];
        if (!r->zero_is || o->value[i] != 0.0) continue;
        if (row) *row = r;
        return ar_method_find(r->zero_is);
    }
    return o->method;
}

/* ---- all together ---- */

/* Errors: USAGE if every value of the recipe that was named is given besides. */
static ar_status take_recipe(ar_method_options *o) {
    const ar_recipe *r = find_recipe(o->method, o->recipe ? o->recipe : o->method->recipe);
    char list[200] = "", option[64];
    int32_t count = 0, given = 0;
    if (!r) return AR_OK;
    for (const ar_recipe_value *v = r->values; v->option; v++) {
        if (find(o->method, v->option) < 0)
            return ar__fail(AR_ERR_ARG, "recipe %s: found '%s', which is no option", r->name, v->option);
        count += !v->unless;
    }
    for (const ar_recipe_value *v = r->values; v->option; v++) {
        const ar_option_row *row = &o->method->options[find(o->method, v->option)];
        if (!ar_method_options_given(o, v->option)) {
            bool left = v->unless && ar_method_options_given(o, v->unless);
            if (!left)
                ar_method_options_put(o, v->option,
                                      row->kind == AR_VALUE_REAL ? (double)(float)v->value : v->value);
        } else if (!v->unless) {
            ar_option_row_spell(option, sizeof option, row);
            append(list, sizeof list, "%s%s", between(given++, count, " and "), option);
        }
    }
    if (o->recipe && given == count)
        return ar__fail(AR_ERR_USAGE, "--recipe has no effect with %s all given", list);
    return AR_OK;
}

/* Errors: USAGE for what is given beside an option whose 0 makes another method of this one. */
static ar_status check_unused(const ar_method_options *o) {
    const ar_option_row *zero = NULL;
    char unused[64] = "--recipe", option[64];
    bool any = o->recipe != NULL;
    if (ar_method_options_method(o, &zero) == o->method) return AR_OK;
    for (int32_t i = o->method->option_count - 1; i >= 0; i--)
        if (o->given[i] && &o->method->options[i] != zero) {
            ar_option_row_spell(unused, sizeof unused, &o->method->options[i]);
            any = true;
        }
    ar_option_row_spell(option, sizeof option, zero);
    return any ? ar__fail(AR_ERR_USAGE, "%s has no effect with %s 0", unused, option) : AR_OK;
}

ar_status ar_method_options_finish(ar_method_options *o) {
    AR_TRY(take_recipe(o));
    AR_TRY(check_unused(o));
    if (!o->method->settle || ar_method_options_method(o, NULL) != o->method) return AR_OK;
    ar_method_options wished = *o; /* there may be fewer samples in the end */
    return o->method->settle(&wished, NULL);
}

/* ---- what a run is known by ---- */

static void print_value(char *text, size_t bytes, const ar_option_row *row, double value) {
    if (row->kind == AR_VALUE_CHOICE)
        append(text, bytes, "%s", row->choice[(int32_t)value]);
    else
        append(text, bytes, row->kind == AR_VALUE_REAL ? "%.9g" : "%.0f", value);
}

bool ar_method_options_record(const char **name, char *text, size_t bytes, const ar_method_options *o,
                              int32_t *at) {
    const ar_option_row *rows = o->method->options;
    int32_t count = o->method->option_count;
    while (*at < count && !rows[*at].record) ++*at;
    if (*at >= count) return false;
    *name = rows[*at].record;
    *text = '\0';
    print_value(text, bytes, &rows[*at], o->value[*at]);
    for (++*at; *at < count && rows[*at].record && rows[*at].record[0] == ' '; ++*at) {
        append(text, bytes, "%s", rows[*at].record);
        print_value(text, bytes, &rows[*at], o->value[*at]);
    }
    return true;
}

void ar_method_options_show(char *text, size_t bytes, const ar_method_options *o, int32_t i,
                            const ar_scheme *scheme) {
    const ar_option_row *row = &o->method->options[i];
    double value = o->value[i];
    if (value == 0.0 && row->rule) value = row->rule(o, scheme);
    *text = '\0';
    if (value == 0.0 && row->lo > 0.0) return;
    if (row->kind == AR_VALUE_CHOICE)
        append(text, bytes, "%s", row->choice[(int32_t)value]);
    else if (row->kind == AR_VALUE_FLAG)
        append(text, bytes, value != 0.0 ? "yes" : "no");
    else
        append(text, bytes, row->kind == AR_VALUE_REAL ? "%.6g" : "%.0f", value);
}
