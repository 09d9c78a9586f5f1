/* From a caller's wishes to one scheme that every requested format can store: the intersection of
 * their storage models. What cannot be expressed is wrong usage, naming the pair. */
#include "fmt_gguf.h"
#include "fmt_gguf_types.h"
#include "formats.h"
#include "output.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool ar__storage_holds_extra(const ar_storage *s, const char *name) {
    if (strcmp(name, AR_ACTS_EXTRA) == 0) return true;  /* passports hold it, whatever the format */
    if (strcmp(name, AR_SCALE_EXTRA) == 0) return true; /* it is in the weights by then */
    for (int32_t i = 0; s->extras && s->extras[i]; i++)
        if (strcmp(s->extras[i], name) == 0) return true;
    return false;
}

/* Marks what of the request is at fault, and passes the error on. */
static ar_status blame(ar_output_plan *plan, ar_request_field a, ar_request_field b, ar_status status) {
    plan->faults |= 1u << a | 1u << b;
    return status;
}

#define FORMATS AR_REQUEST_FORMATS
#define TYPE    AR_REQUEST_TYPE
#define BITS    AR_REQUEST_BITS
#define GROUP   AR_REQUEST_GROUP
#define SYM     AR_REQUEST_SYM
#define WIDEN   AR_REQUEST_WIDEN

/* ---- the list of formats ---- */

static ar_status add_format(ar_output_plan *plan, const char *name, size_t bytes) {
    char known[256] = "";
    for (int32_t i = 0; ar_format_at(i); i++) {
        const ar_format *f = ar_format_at(i);
        strncat(known, i ? ", " : "", sizeof known - strlen(known) - 1);
        strncat(known, f->name, sizeof known - strlen(known) - 1);
        if (strlen(f->name) != bytes || memcmp(f->name, name, bytes) != 0) continue;
        for (int32_t k = 0; k < plan->format_count; k++)
            if (plan->formats[k] == f->name)
                return blame(plan, FORMATS, FORMATS,
                             ar__fail(AR_ERR_USAGE, "format %s is named twice", f->name));
        plan->formats[plan->format_count++] = f->name;
        return AR_OK;
    }
    return blame(plan, FORMATS, FORMATS,
                 ar__fail(AR_ERR_USAGE, "format: found '%.*s', expected one of %s", (int)bytes, name, known));
}

static ar_status parse_formats(ar_output_plan *plan, const char *list) {
    while (*list) {
        size_t n = strcspn(list, ",");
        if (plan->format_count >= (int32_t)(sizeof plan->formats / sizeof *plan->formats))
            return blame(plan, FORMATS, FORMATS,
                         ar__fail(AR_ERR_USAGE, "found more than %d formats", (int)plan->format_count));
        AR_TRY(add_format(plan, list, n));
        list += n + (list[n] == ',');
    }
    if (plan->format_count) return AR_OK;
    return blame(plan, FORMATS, FORMATS,
                 ar__fail(AR_ERR_USAGE, "format: found nothing, expected a format's name"));
}

static bool has_types(const ar_output_plan *plan) {
    for (int32_t i = 0; i < plan->format_count; i++)
        if (ar_format_find(plan->formats[i])->has_types) return true;
    return false;
}

/* The least group that a format has by itself. */
static int32_t default_group(const ar_output_plan *plan) {
    int32_t group = 128;
    for (int32_t i = 0; i < plan->format_count; i++) {
        int32_t own = ar_format_find(plan->formats[i])->group;
        if (own && own < group) group = own;
    }
    return group;
}

/* ---- GGUF types imply bits and scheme ---- */

static const char type_names[] =
    "q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q2_k_s, q3_k_s, q3_k_m, q3_k_l, q4_k_s, q4_k_m, "
    "q5_k_s, q5_k_m, q6_k, f16, bf16 or f32";

/* The narrowest type that holds these bits; NULL if none does. */
static const ar__gguf_mix *default_type(int32_t bits, int sym) {
    if (bits <= 5) return ar__gguf_mix_find(bits <= 4 ? sym ? "q4_0" : "q4_1" : sym ? "q5_0" : "q5_1");
    return sym ? ar__gguf_mix_find("q8_0") : NULL;
}

/* The type says it all for float types and K types: bits, group and symmetry belong to them. */
static ar_status check_fixed(ar_output_plan *plan, const ar__gguf_mix *t, const ar_output_request *r) {
    if (!r->bits && r->sym < 0 && !r->group && !r->widen) return AR_OK;
    ar_request_field field = r->bits ? BITS : r->sym >= 0 ? SYM : r->group ? GROUP : WIDEN;
    return blame(plan, TYPE, field,
                 ar__fail(AR_ERR_USAGE, "type %s: bits, group and symmetry have no effect", t->name));
}

static ar_status check_bits(ar_output_plan *plan, const ar__gguf_mix *t, const ar_scheme *own,
                            const ar_output_request *r) {
    bool sym = own->zero == AR_ZERO_SYM, narrower = r->bits < own->bits;
    if (r->sym >= 0 && (r->sym != 0) != sym)
        return blame(plan, TYPE, SYM,
                     ar__fail(AR_ERR_USAGE, "type %s is %s, found %s asked for", t->name,
                              sym ? "symmetric" : "asymmetric", r->sym ? "symmetric" : "asymmetric"));
    if (r->bits && r->bits != own->bits && (!narrower || !r->widen)) {
        if (narrower) blame(plan, WIDEN, WIDEN, AR_OK);
        return blame(plan, TYPE, BITS,
                     ar__fail(AR_ERR_USAGE, "type %s stores %d bits, found %d asked for%s", t->name,
                              (int)own->bits, (int)r->bits, narrower ? ", which it can store widened" : ""));
    }
    if (r->widen && (!r->bits || r->bits == own->bits))
        return blame(plan, WIDEN, TYPE,
                     ar__fail(AR_ERR_USAGE, "widening has no effect with type %s of %d bits", t->name,
                              (int)own->bits));
    return AR_OK;
}

/* The first format that has types by name. */
static const char *typed_format(void) {
    int32_t i = 0;
    while (ar_format_at(i) && !ar_format_at(i)->has_types) i++;
    return ar_format_at(i) ? ar_format_at(i)->name : "none";
}

/* No format of the plan has types. */
static ar_status check_untyped(ar_output_plan *plan, const ar_output_request *r) {
    if (r->type)
        return blame(plan, TYPE, FORMATS,
                     ar__fail(AR_ERR_USAGE, "type %s is for format %s, found %s", r->type, typed_format(),
                              plan->formats[0]));
    if (!r->widen) return AR_OK;
    return blame(plan, WIDEN, FORMATS,
                 ar__fail(AR_ERR_USAGE, "widening has no effect without format %s", typed_format()));
}

/* A float type, which formats without types by name hold as well. */
static bool all_hold_floats(const ar_output_plan *plan, const char *type) {
    const ar__gguf_mix *t = type ? ar__gguf_mix_find(type) : NULL;
    ar_scheme own;
    if (!t || ar__gguf_scheme(&own, t->type)) return false;
    for (int32_t i = 0; i < plan->format_count; i++)
        if (!ar_format_find(plan->formats[i])->holds_floats) return false;
    return true;
}

/* bits 0 = not said so far; sets plan->scheme where the type has one of its own. */
static ar_status resolve_type(ar_output_plan *plan, const ar_output_request *r, int32_t *bits, int *sym) {
    if (!has_types(plan) && !all_hold_floats(plan, r->type)) return check_untyped(plan, r);
    const ar__gguf_mix *t = r->type ? ar__gguf_mix_find(r->type) : default_type(*bits ? *bits : 4, *sym != 0);
    if (!t && r->type)
        return blame(plan, TYPE, TYPE,
                     ar__fail(AR_ERR_USAGE, "type: found '%s', expected %s", r->type, type_names));
    if (!t)
        return blame(plan, BITS, SYM,
                     ar__fail(AR_ERR_USAGE, "format %s with %d bits, asymmetric: no type of it stores that",
                              typed_format(), (int)*bits));
    ar_scheme own;
    bool coded = ar__gguf_scheme(&own, t->type);
    AR_TRY(coded && own.super == AR_SUPER_NONE ? check_bits(plan, t, &own, r) : check_fixed(plan, t, r));
    memcpy(plan->type, t->name, strlen(t->name) + 1);
    if (!*bits) *bits = coded ? own.bits : 8 * ar_qtype_bytes(t->type);
    *sym = !coded || own.zero == AR_ZERO_SYM;
    if (own.super != AR_SUPER_NONE) plan->scheme = own;
    return AR_OK;
}

/* ---- intersection ---- */

static ar_status check_group(ar_output_plan *plan, const char *format, const ar_storage *s) {
    int32_t group = plan->scheme.group;
    if (group <= 0 || s->group_multiple <= 1 || group % s->group_multiple == 0) return AR_OK;
    return blame(plan, FORMATS, GROUP,
                 ar__fail(AR_ERR_USAGE, "format %s cannot store groups of %d, expected a multiple of %d",
                          format, (int)group, (int)s->group_multiple));
}

/* Bits and symmetry, or the type. */
static ar_status check_kind(ar_output_plan *plan, const ar_format *f, const ar_storage *s, bool sym) {
    int32_t bits = plan->scheme.bits;
    bool is_typed = bits > 8 || plan->scheme.super != AR_SUPER_NONE; /* floats, or double-quantized */
    if (is_typed && !(bits > 8 ? f->holds_floats : f->holds_supers))
        return blame(plan, FORMATS, TYPE,
                     ar__fail(AR_ERR_USAGE, "format %s cannot store type %s", f->name, plan->type));
    if (is_typed) return AR_OK;
    if (!(s->bits_mask >> bits & 1))
        return blame(plan, FORMATS, BITS,
                     ar__fail(AR_ERR_USAGE, "format %s cannot store %d bits", f->name, (int)bits));
    if (sym ? s->sym : s->asym) return AR_OK;
    return blame(
        plan, FORMATS, SYM,
        ar__fail(AR_ERR_USAGE, "format %s cannot store the %ssymmetric scheme", f->name, sym ? "" : "a"));
}

/* Narrows the plan's scheme to what format f stores. zero_from names the format that fixed the zero's form.
 */
static ar_status intersect(ar_output_plan *plan, const ar_format *f, bool sym, const char **zero_from) {
    ar_storage s = {0};
    ar_status status = f->storage(&s, plan); /* it may know groups that it cannot store */
    if (status != AR_OK) return blame(plan, FORMATS, GROUP, status);
    AR_TRY(check_kind(plan, f, &s, sym));
    if (plan->scheme.bits > 8 || plan->scheme.super != AR_SUPER_NONE) return AR_OK;
    AR_TRY(check_group(plan, f->name, &s));
    if (sym || f->holds_values) return AR_OK;
    if (*zero_from && s.asym_zero != plan->scheme.zero)
        return blame(plan, FORMATS, SYM,
                     ar__fail(AR_ERR_USAGE, "formats %s and %s store zero points in ways that share no value",
                              *zero_from, f->name));
    plan->scheme.zero = s.asym_zero;
    if (s.zero_min > plan->scheme.zero_min) plan->scheme.zero_min = s.zero_min;
    *zero_from = f->name;
    return AR_OK;
}

ar_status ar_output_plan_make(ar_output_plan *plan, const ar_output_request *r) {
    *plan = (ar_output_plan){.embedding = AR_QT_COUNT, .head = AR_QT_COUNT};
    int32_t bits = r->bits;
    int sym = r->sym;
    const char *zero_from = NULL;
    if (bits != 0 && (bits < 2 || bits > 8))
        return blame(plan, BITS, BITS, ar__fail(AR_ERR_USAGE, "found %d bits, expected 2 to 8", (int)bits));
    AR_TRY(parse_formats(plan, r->formats));
    AR_TRY(resolve_type(plan, r, &bits, &sym));
    if (!bits) bits = 4;
    if (r->group < -1)
        return blame(
            plan, GROUP, GROUP,
            ar__fail(AR_ERR_USAGE, "group: found %d, expected -1 or a positive number", (int)r->group));
    int32_t group = r->group ? r->group : default_group(plan);
    if (plan->scheme.super == AR_SUPER_NONE)
        plan->scheme = (ar_scheme){bits, group, sym != 0 ? AR_ZERO_SYM : AR_ZERO_INT, 0, AR_SUPER_NONE};
    for (int32_t i = 0; i < plan->format_count; i++)
        AR_TRY(intersect(plan, ar_format_find(plan->formats[i]), sym != 0, &zero_from));
    return AR_OK;
}

static ar_status resolve_part(ar_output_plan *plan, ar_qtype *type, ar_request_field field, const char *what,
                              const char *name) {
    *type = AR_QT_COUNT;
    if (!name) return AR_OK;
    if (!has_types(plan))
        return blame(
            plan, field, FORMATS,
            ar__fail(AR_ERR_USAGE, "a type of %s has no effect without format %s", what, typed_format()));
    *type = ar__gguf_type_named(name);
    if (*type != AR_QT_COUNT) return AR_OK;
    return blame(plan, field, field,
                 ar__fail(AR_ERR_USAGE,
                          "type of %s: found '%s', expected f32, f16, bf16, q4_0 to q8_0 or q2_k to q6_k",
                          what, name));
}

ar_status ar_output_plan_parts(ar_output_plan *plan, const char *embedding_type, const char *head_type) {
    AR_TRY(resolve_part(plan, &plan->embedding, AR_REQUEST_EMBEDDING_TYPE, "the embedding", embedding_type));
    return resolve_part(plan, &plan->head, AR_REQUEST_HEAD_TYPE, "the head", head_type);
}

/* Bits of linears, for folders. */
static ar_status check_rules_of_bits(ar_output_plan *plan, const ar_tensor_types *types) {
    const char *other = ar__tensor_types_other(types, true);
    for (int32_t i = 0; i < plan->format_count; i++)
        if (!ar_format_find(plan->formats[i])->is_mixed)
            return blame(plan, AR_REQUEST_TENSOR_TYPE, FORMATS,
                         ar__fail(AR_ERR_USAGE, "format %s has one width for all linears", plan->formats[i]));
    if (other)
        return blame(plan, AR_REQUEST_TENSOR_TYPE, FORMATS,
                     ar__fail(AR_ERR_USAGE,
                              "types of tensors are for format %s alone, found '%s' for %s, expected 2 to 8 "
                              "or float",
                              typed_format(), other, plan->formats[0]));
    return AR_OK;
}

ar_status ar_output_plan_types(ar_output_plan *plan, const ar_tensor_types *types) {
    const char *bits = ar__tensor_types_other(types, false);
    if (!has_types(plan) && !ar__tensor_types_file(types)) return check_rules_of_bits(plan, types);
    if (bits)
        return blame(plan, AR_REQUEST_TENSOR_TYPE, FORMATS,
                     ar__fail(AR_ERR_USAGE,
                              "bits of linears are for folders, found '%s' for %s, expected a type", bits,
                              plan->formats[0]));
    if (plan->format_count != 1 || !has_types(plan))
        return blame(plan, AR_REQUEST_TENSOR_TYPE, FORMATS,
                     ar__fail(AR_ERR_USAGE, "types of tensors are for format %s alone, found %s",
                              typed_format(), plan->formats[0]));
    if (plan->scheme.bits > 8)
        return blame(plan, AR_REQUEST_TENSOR_TYPE, TYPE,
                     ar__fail(AR_ERR_USAGE,
                              "types of tensors: found type %s for the others, expected a quantized type",
                              plan->type));
    plan->types = types;
    return AR_OK;
}

ar_status ar_output_plan_like(ar_output_plan *plan, const ar_tensor_types *types) {
    AR_TRY(ar_output_plan_make(
        plan,
        &(ar_output_request){.formats = typed_format(), .type = ar__gguf_mix_like(types)->name, .sym = -1}));
    return ar_output_plan_types(plan, types);
}

/* The scheme of a tensor's own type; blocks of 32 of the plan's type hold the plan's, which may have fewer
 * bits and larger groups. */
static bool choose_named(ar_scheme *scheme, const ar_output_plan *plan, const ar_config *config,
                         const char *name, const ar_linear *lin) {
    ar_qtype type = ar__gguf_plan_type(plan, config, name, lin->I);
    if (plan->scheme.super == AR_SUPER_NONE && ar__gguf_mix_find(plan->type)->type == type)
        return ar_output_plan_holds(plan, lin->O, lin->I);
    return ar__gguf_scheme(scheme, type);
}

bool ar_output_plan_choose(const ar_output_plan *plan, const ar_config *config, const ar_block *block,
                           int32_t i, ar_scheme *scheme) {
    const ar_linear *lin = &block->linears[i];
    char name[AR__GGUF_NAME];
    *scheme = plan->schemes ? plan->schemes[(int64_t)block->index * AR_MAX_LINEARS + i] : plan->scheme;
    if (plan->schemes) return scheme->bits > 0;
    bool holds = ar_output_plan_holds(plan, lin->O, lin->I);
    if (!plan->types && (!holds || plan->scheme.super == AR_SUPER_NONE)) return holds;
    return ar__gguf_linear_name(name, config, block, i) && choose_named(scheme, plan, config, name, lin);
}

static ar_kept_float count_kept(const ar_output_plan *plan, const ar_open_model *m) {
    ar_kept_float k = {0};
    ar_scheme scheme;
    for (int32_t b = 0; b < m->model.block_count; b++) {
        const ar_block *block = &m->model.blocks[b];
        for (int32_t i = 0; i < block->linear_count; i++) {
            int64_t weights = block->linears[i].O * block->linears[i].I;
            k.linear_count++;
            k.weight_count += weights;
            if (ar_output_plan_choose(plan, &m->config, block, i, &scheme)) continue;
            if (k.linears == 0) k.O = block->linears[i].O, k.I = block->linears[i].I;
            k.linears++;
            k.weights += weights;
        }
    }
    return k;
}

const char *ar__output_shape_refused(const ar_output_plan *plan, int64_t O, int64_t I, int32_t *rows,
                                     int32_t *columns) {
    ar_output_plan whole = *plan;
    if (plan->scheme.super == AR_SUPER_NONE) whole.scheme.group = -1;
    for (int32_t k = 0; k < plan->format_count; k++) {
        ar_storage s = {0};
        if (ar_format_find(plan->formats[k])->storage(&s, &whole) != AR_OK) continue;
        *rows = s.n_multiple > 1 && O % s.n_multiple != 0 ? s.n_multiple : 0;
        *columns = s.k_multiple > 1 && I % s.k_multiple != 0 ? s.k_multiple : 0;
        if (*rows || *columns) return plan->formats[k];
    }
    return NULL;
}

/* Powers of two, since those are the groups that the loaders' kernels know. */
void ar_output_plan_kept(ar_kept_float *kept, const ar_output_plan *plan, const ar_open_model *m) {
    ar_output_plan other = *plan;
    *kept = (ar_kept_float){0};
    if (plan->scheme.bits > 8) return;
    *kept = count_kept(plan, m);
    int32_t fewest = kept->linears, first = 1;
    while (first < plan->scheme.group) first *= 2;
    for (int32_t group = first / 2; group > 0 && fewest > 0 && plan->scheme.super == AR_SUPER_NONE;
         group /= 2) {
        other.scheme.group = group;
        int32_t linears = count_kept(&other, m).linears;
        if (linears >= fewest) continue;
        fewest = kept->linears_then = linears;
        kept->group = group;
    }
}

ar_status ar_output_plan_extras(const ar_output_plan *plan, const char *method, const char *const *names) {
    for (int32_t i = 0; names && i < plan->format_count; i++) {
        ar_storage s = {0};
        AR_TRY(ar_format_find(plan->formats[i])->storage(&s, plan));
        for (int32_t k = 0; names[k]; k++)
            if (!ar__storage_holds_extra(&s, names[k]))
                return ar__fail(AR_ERR_USAGE, "format %s cannot hold %s, which method %s delivers",
                                plan->formats[i], names[k], method);
    }
    return AR_OK;
}
