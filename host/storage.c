/* From the command line's wishes to one scheme that every requested format can store: the intersection of
 * their storage models. What cannot be expressed is wrong usage, naming the pair. */
#include "formats.h"
#include <stdlib.h>
#include <string.h>

static const ar_format *const formats[] = {
#define AR_FORMAT(name) &ar__format_##name,
#include "formats.def"
#undef AR_FORMAT
};

const ar_format *ar_format_at(int32_t i) {
    return i >= 0 && i < (int32_t)(sizeof formats / sizeof *formats) ? formats[i] : NULL;
}

const ar_format *ar_format_find(const char *name) {
    for (int32_t i = 0; ar_format_at(i); i++)
        if (strcmp(ar_format_at(i)->name, name) == 0) return ar_format_at(i);
    return NULL;
}

/* ---- the list of formats ---- */

static ar_status add_format(ar_output_plan *plan, const char *name, size_t bytes) {
    char known[128] = "";
    for (int32_t i = 0; ar_format_at(i); i++) {
        const ar_format *f = ar_format_at(i);
        strncat(known, i ? ", " : "", sizeof known - strlen(known) - 1);
        strncat(known, f->name, sizeof known - strlen(known) - 1);
        if (strlen(f->name) != bytes || memcmp(f->name, name, bytes) != 0) continue;
        for (int32_t k = 0; k < plan->format_count; k++)
            if (plan->formats[k] == f->name)
                return ar__fail(AR_ERR_USAGE, "--format: %s is named twice", f->name);
        plan->formats[plan->format_count++] = f->name;
        return AR_OK;
    }
    return ar__fail(AR_ERR_USAGE, "--format: found '%.*s', expected one of %s", (int)bytes, name, known);
}

static ar_status parse_formats(ar_output_plan *plan, const char *list) {
    while (*list) {
        size_t n = strcspn(list, ",");
        if (plan->format_count >= (int32_t)(sizeof plan->formats / sizeof *plan->formats))
            return ar__fail(AR_ERR_USAGE, "--format: more than %d formats", (int)plan->format_count);
        AR_TRY(add_format(plan, list, n));
        list += n + (list[n] == ',');
    }
    return plan->format_count ? AR_OK
                              : ar__fail(AR_ERR_USAGE, "--format: found nothing, expected a format's name");
}

static bool has_format(const ar_output_plan *plan, const char *name) {
    for (int32_t i = 0; i < plan->format_count; i++)
        if (strcmp(plan->formats[i], name) == 0) return true;
    return false;
}

/* ---- GGUF types imply bits and scheme ---- */

typedef struct gguf_type {
    const char *name;
    int32_t bits;
    int sym;
} gguf_type;
static const gguf_type gguf_types[] = {
    {"q4_0", 4, 1}, {"q4_1", 4, 0}, {"q8_0", 8, 1}, {"f16", 16, 1}, {"f32", 32, 1}};

static const gguf_type *find_type(const char *name) {
    for (size_t i = 0; i < sizeof gguf_types / sizeof *gguf_types; i++)
        if (strcmp(gguf_types[i].name, name) == 0) return &gguf_types[i];
    return NULL;
}

/* The narrowest type that holds these bits; NULL if none does. */
static const gguf_type *default_type(int32_t bits, int sym) {
    if (bits <= 4) return find_type(sym ? "q4_0" : "q4_1");
    return sym ? find_type("q8_0") : NULL;
}

static ar_status resolve_type(ar_output_plan *plan, const ar_output_request *r, int32_t *bits, int *sym) {
    if (!has_format(plan, "gguf")) {
        if (r->type)
            return ar__fail(AR_ERR_USAGE, "--type %s: is for --format gguf, found %s", r->type,
                            plan->formats[0]);
        if (r->widen) return ar__fail(AR_ERR_USAGE, "--widen: has no effect without --format gguf");
        return AR_OK;
    }
    const gguf_type *t = r->type ? find_type(r->type) : default_type(*bits ? *bits : 4, *sym != 0);
    if (!t && r->type)
        return ar__fail(AR_ERR_USAGE, "--type: found '%s', expected q4_0, q4_1, q8_0, f16 or f32", r->type);
    if (!t)
        return ar__fail(AR_ERR_USAGE, "--format gguf with --bits %d --asym: no GGUF type stores that",
                        (int)*bits);
    if (t->bits <= 8 && *sym >= 0 && (*sym != 0) != (t->sym != 0))
        return ar__fail(AR_ERR_USAGE, "--type %s is %s, found --%s", t->name,
                        t->sym ? "symmetric" : "asymmetric", *sym ? "sym" : "asym");
    if (t->bits > 8 && (*bits || *sym >= 0 || r->group))
        return ar__fail(AR_ERR_USAGE, "--type %s: bits, group and symmetry have no effect", t->name);
    if (*bits && *bits != t->bits && (*bits > t->bits || !r->widen))
        return ar__fail(AR_ERR_USAGE, "--type %s stores %d bits, found --bits %d%s", t->name, (int)t->bits,
                        (int)*bits, *bits < t->bits ? " (--widen stores them in the wider type)" : "");
    if (r->widen && (!*bits || *bits == t->bits))
        return ar__fail(AR_ERR_USAGE, "--widen: has no effect with --type %s of %d bits", t->name,
                        (int)t->bits);
    memcpy(plan->type, t->name, strlen(t->name) + 1);
    if (!*bits) *bits = t->bits;
    *sym = t->sym;
    return AR_OK;
}

/* ---- intersection ---- */

static ar_status check_group(const char *format, const ar_storage *s, int32_t group) {
    if (s->fixed_group && group != s->fixed_group)
        return ar__fail(AR_ERR_USAGE, "--format %s cannot store --group %d, expected %d", format, (int)group,
                        (int)s->fixed_group);
    if (group > 0 && s->group_multiple > 1 && group % s->group_multiple != 0)
        return ar__fail(AR_ERR_USAGE, "--format %s cannot store --group %d, expected a multiple of %d",
                        format, (int)group, (int)s->group_multiple);
    return AR_OK;
}

/* Narrows the plan's scheme to what format f stores. zero_from names the format that fixed the zero's form.
 */
static ar_status intersect(ar_output_plan *plan, const ar_format *f, bool sym, const char **zero_from) {
    ar_storage s = {0};
    AR_TRY(f->storage(&s, plan));
    int32_t bits = plan->scheme.bits;
    if (bits > 8) { /* a float type of GGUF */
        if (strcmp(f->name, "gguf") == 0) return AR_OK;
        return ar__fail(AR_ERR_USAGE, "--format %s cannot store --type %s", f->name, plan->type);
    }
    if (!(s.bits_mask >> bits & 1))
        return ar__fail(AR_ERR_USAGE, "--format %s cannot store --bits %d", f->name, (int)bits);
    if (sym ? !s.sym : !s.asym)
        return ar__fail(AR_ERR_USAGE, "--format %s cannot store the %ssymmetric scheme", f->name,
                        sym ? "" : "a");
    AR_TRY(check_group(f->name, &s, plan->scheme.group));
    if (sym || strcmp(f->name, "fake") == 0) return AR_OK; /* fake stores W' itself, whatever its form */
    if (*zero_from && s.asym_zero != plan->scheme.zero)
        return ar__fail(AR_ERR_USAGE, "--format %s and %s store zero points in ways that share no value",
                        *zero_from, f->name);
    plan->scheme.zero = s.asym_zero;
    if (s.zero_min > plan->scheme.zero_min) plan->scheme.zero_min = s.zero_min;
    *zero_from = f->name;
    return AR_OK;
}

ar_status ar_output_plan_make(ar_output_plan *plan, const ar_output_request *r) {
    *plan = (ar_output_plan){0};
    int32_t bits = r->bits;
    int sym = r->sym;
    const char *zero_from = NULL;
    if (bits != 0 && (bits < 2 || bits > 8))
        return ar__fail(AR_ERR_USAGE, "--bits: found %d, expected 2 to 8", (int)bits);
    AR_TRY(parse_formats(plan, r->formats));
    AR_TRY(resolve_type(plan, r, &bits, &sym));
    if (!bits) bits = 4;
    if (r->group < -1)
        return ar__fail(AR_ERR_USAGE, "--group: found %d, expected -1 or a positive number", (int)r->group);
    int32_t group = r->group ? r->group : has_format(plan, "gguf") ? 32 : 128;
    plan->scheme = (ar_scheme){bits, group, sym != 0 ? AR_ZERO_SYM : AR_ZERO_INT, 0, AR_SUPER_NONE};
    for (int32_t i = 0; i < plan->format_count; i++)
        AR_TRY(intersect(plan, ar_format_find(plan->formats[i]), sym != 0, &zero_from));
    return AR_OK;
}

bool ar_output_plan_holds(const ar_output_plan *plan, int64_t O, int64_t I) {
    if (plan->scheme.bits > 8) return false; /* a float type */
    for (int32_t i = 0; i < plan->format_count; i++) {
        ar_storage s = {0};
        if (ar_format_find(plan->formats[i])->storage(&s, plan) != AR_OK) return false;
        if (s.k_multiple > 1 && I % s.k_multiple != 0) return false;
        if (s.n_multiple > 1 && O % s.n_multiple != 0) return false;
        int64_t group = plan->scheme.group;
        if (!s.short_group && group > 0 && I > group && I % group != 0) return false;
    }
    return true;
}
