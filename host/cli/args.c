/* Command-line options from a table: long names, --name=value or --name value, unknown ones are errors. */
#include "program.h"
#include "stdin_text.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- values ---- */

static ar_status parse_int(const ar_option *o, const char *text) {
    char *end = NULL;
    const char *number_end;
    ar__decimal(text, &number_end);
    errno = 0;
    long long v = strtoll(text, &end, 10);
    bool bounded = o->lo < o->hi;
    if (errno || number_end == text || *end || (bounded && ((double)v < o->lo || (double)v > o->hi)))
        return bounded ? ar__fail(AR_ERR_USAGE, "%s: found '%s', expected a whole number from %.0f to %.0f",
                                  o->name, text, o->lo, o->hi)
                       : ar__fail(AR_ERR_USAGE, "%s: found '%s', expected a whole number", o->name, text);
    *(int64_t *)o->out = v;
    return AR_OK;
}

static ar_status parse_real(const ar_option *o, const char *text) {
    const char *end;
    double v = ar__decimal(text, &end);
    bool bounded = o->lo < o->hi;
    if (end == text || *end || !isfinite(v) || (bounded && (v < o->lo || v > o->hi)))
        return bounded ? ar__fail(AR_ERR_USAGE, "%s: found '%s', expected a number from %g to %g", o->name,
                                  text, o->lo, o->hi)
                       : ar__fail(AR_ERR_USAGE, "%s: found '%s', expected a number", o->name, text);
    *(double *)o->out = v;
    return AR_OK;
}

/* What follows the number of a size: "", "g", "GB", "GiB" and such; NAN for anything else. */
static double unit_of(const char *text) {
    static const char units[] = "kmgt";
    double unit = 1.0;
    const char *u = *text ? strchr(units, tolower((unsigned char)*text)) : NULL;
    if (u) {
        unit = pow(1024.0, (double)(u - units) + 1.0);
        text++;
        if (*text == 'i') text++;
    }
    if (tolower((unsigned char)*text) == 'b') text++;
    return *text ? (double)NAN : unit;
}

static ar_status parse_size(const ar_option *o, const char *text) {
    const char *end;
    double v = ar__decimal(text, &end);
    v *= unit_of(end);
    if (end == text || !(v >= 1.0 && v < 1.8e19))
        return ar__fail(AR_ERR_USAGE, "%s: found '%s', expected a size such as 256M, 1.5g or 2GB", o->name,
                        text);
    *(uint64_t *)o->out = (uint64_t)v;
    return AR_OK;
}

static ar_status add_value(const ar_option *o, const char *text) {
    ar_option_list *list = o->out;
    if (list->count == AR_OPTION_REPEATS)
        return ar__fail(AR_ERR_USAGE, "%s: found it more than %d times, expected fewer", o->name,
                        AR_OPTION_REPEATS);
    list->text[list->count++] = text;
    return AR_OK;
}

static ar_status set_value(const ar_option *o, const char *text) {
    switch (o->kind) {
    case AR_OPT_FLAG: *(bool *)o->out = true; return AR_OK;
    case AR_OPT_TEXT:
    case AR_OPT_STRING: *(const char **)o->out = text; return AR_OK;
    case AR_OPT_INT: return parse_int(o, text);
    case AR_OPT_REAL: return parse_real(o, text);
    case AR_OPT_SIZE: return parse_size(o, text);
    case AR_OPT_TEXTS:
    case AR_OPT_LIST: return add_value(o, text);
    case AR_OPT_HEADING: break;
    }
    return AR_OK;
}

/* ---- names ---- */

/* Does arg (without "=value") name option o? "--group|-g" has two names. */
static bool names(const ar_option *o, const char *arg, size_t bytes) {
    for (const char *n = o->name; n;) {
        const char *bar = strchr(n, '|');
        size_t len = bar ? (size_t)(bar - n) : strlen(n);
        if (len == bytes && memcmp(n, arg, len) == 0) return true;
        n = bar ? bar + 1 : NULL;
    }
    return false;
}

static const ar_option *find(const ar_option *list, int32_t count, const char *arg, size_t bytes) {
    for (int32_t i = 0; i < count; i++)
        if (names(&list[i], arg, bytes)) return &list[i];
    return NULL;
}

/* Of UTF-8, in places of a line. */
static int width_of(const char *text) {
    int width = 0;
    for (; *text; text++) width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_option(const ar_option *o) {
    char left[64];
    if (o->kind == AR_OPT_HEADING) printf("\n%s %s:\n", o->name, o->value);
    if (!o->help) return;
    snprintf(left, sizeof left, "%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
    int width = width_of(left);
    printf("  %s%*s %s\n", left, width < 26 ? 26 - width : 0, "", o->help);
}

static void print_manual(const ar_command *c, const ar_option *own, int32_t own_count,
                         const ar_option *common, int32_t common_count) {
    printf("anyround %s %s\n%s\n", c->name, c->usage, c->help);
    if (own_count) printf("\nOptions:\n");
    for (int32_t i = 0; i < own_count; i++) print_option(&own[i]);
    printf("\nFor every command:\n");
    for (int32_t i = 0; i < common_count; i++) print_option(&common[i]);
}

/* ---- the command line ---- */

void ar_args_notice(ar_option *options, bool *given, int32_t count) {
    for (int32_t i = 0; i < count; i++)
        if (!options[i].given) options[i].given = &given[i];
}

/* One option at argv[*i]; moves *i past a separate value. */
static ar_status parse_one(const ar_command *command, const ar_option *o, int argc, char **argv, int *i) {
    char *arg = argv[*i], *eq = strchr(arg, '=');
    if (o->given) *o->given = true;
    if (o->kind == AR_OPT_FLAG) {
        if (eq) return ar__fail(AR_ERR_USAGE, "%s: takes no value, found '%s'", o->name, eq + 1);
        return set_value(o, NULL);
    }
    if (eq) return set_value(o, eq + 1);
    if (*i + 1 >= argc)
        return ar__fail(AR_ERR_USAGE, "anyround %s: %s needs a value (%s)", command->name, arg, o->value);
    return set_value(o, argv[++*i]);
}

/* --precision becomes one more wish. */
static ar_status check_common(ar_common *common) {
    const char *asked = common->variants, *p = common->progress;
    if (p && strcmp(p, "bar") != 0 && strcmp(p, "json") != 0 && strcmp(p, "none") != 0)
        return ar__fail(AR_ERR_USAGE, "--progress: found '%s', expected bar, json or none", p);
    AR_TRY(ar_variants_check(asked));
    p = common->precision;
    if (!p || strcmp(p, "f32") == 0) return AR_OK;
    if (strcmp(p, "f16") != 0 && strcmp(p, "bf16") != 0 && strcmp(p, "auto") != 0)
        return ar__fail(AR_ERR_USAGE, "--precision: found '%s', expected f32, f16, bf16 or auto", p);
    int used =
        snprintf(common->wishes, sizeof common->wishes, "%s%s%s", asked ? asked : "", asked ? "," : "", p);
    if (used < 0 || (size_t)used >= sizeof common->wishes)
        return ar__fail(AR_ERR_USAGE, "--variant: found over %zu letters", sizeof common->wishes - 8);
    common->variants = common->wishes;
    return AR_OK;
}

ar_status ar_args_parse(const ar_command *command, ar_common *common, const ar_option *options,
                        int32_t option_count, int argc, char **argv, int *positional, int min_positional,
                        int max_positional) {
    *common = (ar_common){.device = "auto", .seed = 42};
    const ar_option shared[] = {
        {"--device", AR_OPT_STRING, &common->device, "auto|vk[:N]|cl[:N]",
         "which device (see `anyround devices`)", 0, 0, NULL},
        {"--vram", AR_OPT_SIZE, &common->vram, "SIZE", "device memory to use at most, such as 512M", 0, 0,
         NULL},
        {"--submit-ms", AR_OPT_REAL, &common->submit_ms, "N",
         "estimated milliseconds of device work per submission at most", 1, 10000, NULL},
        {"--variant", AR_OPT_STRING, &common->variants, "KERNEL=NAME",
         "take this variant of a kernel (see `anyround devices`); several by commas", 0, 0, NULL},
        {"--precision", AR_OPT_STRING, &common->precision, "f32|f16|bf16|auto",
         "f16: products may round, steps save fp16; auto: matrix hardware; bf16: all do (f32)", 0, 0, NULL},
        {"--tuning", AR_OPT_STRING, &common->tuning, "FILE",
         "tile parameters of anyround tune-kernels (tuning.jsonl in the cache folder)", 0, 0, NULL},
        {"--seed", AR_OPT_INT, &common->seed, "N", "seed of every random choice (42)", 0, 9e15, NULL},
        {"--json", AR_OPT_FLAG, &common->json, NULL, "machine-readable result on stdout", 0, 0, NULL},
        {"--progress", AR_OPT_STRING, &common->progress, "bar|json|none",
         "progress on stderr (bar on a terminal)", 0, 0, NULL},
        {"--no-cache", AR_OPT_FLAG, &common->no_cache, NULL, "neither read nor write the pipeline cache", 0,
         0, NULL},
        {"--quiet|-q", AR_OPT_FLAG, &common->quiet, NULL, "no remarks, progress if asked for", 0, 0, NULL},
        {"--verbose|-v", AR_OPT_FLAG, &common->verbose, NULL, "say more", 0, 0, NULL},
        {"--help|-h", AR_OPT_FLAG, &common->help, NULL, "this text", 0, 0, NULL},
    };
    int32_t shared_count = (int32_t)(sizeof shared / sizeof *shared);
    int kept = 0;
    bool only_positional = false;
    for (int i = 1; i < argc; i++) {
        char *arg = argv[i];
        if (only_positional || arg[0] != '-' || arg[1] == '\0') {
            argv[++kept] = arg;
            continue;
        }
        if (strcmp(arg, "--") == 0) {
            only_positional = true;
            continue;
        }
        size_t bytes = strcspn(arg, "=");
        const ar_option *o = find(options, option_count, arg, bytes);
        if (!o) o = find(shared, shared_count, arg, bytes);
        if (!o)
            return ar__fail(AR_ERR_USAGE, "anyround %s: unknown option '%s' (try --help)", command->name,
                            arg);
        AR_TRY(parse_one(command, o, argc, argv, &i));
    }
    *positional = kept;
    if (common->help) {
        print_manual(command, options, option_count, shared, shared_count);
        return AR_OK;
    }
    AR_TRY(check_common(common));

    if (kept < min_positional || kept > max_positional)
        return ar__fail(AR_ERR_USAGE, "anyround %s: found %d arguments, expected %s", command->name, kept,
                        command->usage);
    return ar__stdin_take(options, option_count);
}
