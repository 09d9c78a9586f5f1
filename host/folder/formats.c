/* The table of output formats that formats.def makes, and what the formats of a run can hold together. */
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

bool ar_format_has_codes(const ar_format *f) { return f->has_types || !f->holds_floats; }

static bool fits(const ar_storage *s, const ar_scheme *scheme, int64_t O, int64_t I) {
    if (s->k_multiple > 1 && I % s->k_multiple != 0) return false;
    if (s->n_multiple > 1 && O % s->n_multiple != 0) return false;
    return s->short_group || scheme->group <= 0 || I <= scheme->group || I % scheme->group == 0;
}

bool ar_output_plan_holds(const ar_output_plan *plan, int64_t O, int64_t I) {
    if (plan->scheme.bits > 8) return false; /* a float type */
    for (int32_t i = 0; i < plan->format_count; i++) {
        ar_storage s = {0};
        if (ar_format_find(plan->formats[i])->storage(&s, plan) != AR_OK) return false;
        if (!fits(&s, &plan->scheme, O, I)) return false;
    }
    return true;
}

bool ar__scheme_is(const ar_scheme *a, const ar_scheme *b) {
    return a->bits == b->bits && a->group == b->group && a->zero == b->zero && a->zero_min == b->zero_min &&
           a->super == b->super;
}

bool ar_output_plan_holds_scheme(const ar_output_plan *plan, const ar_scheme *scheme, int64_t O, int64_t I) {
    ar_output_plan own = *plan;
    if (ar__scheme_is(scheme, &plan->scheme)) return ar_output_plan_holds(plan, O, I);
    if (ar_scheme_check(scheme) != AR_OK || scheme->zero != plan->scheme.zero) return false;
    own.scheme = *scheme;
    for (int32_t i = 0; i < plan->format_count; i++) {
        const ar_format *f = ar_format_find(plan->formats[i]);
        ar_storage s = {0};
        if (!f->is_mixed || f->storage(&s, &own) != AR_OK) return false;
        bool zero = scheme->zero == AR_ZERO_SYM || scheme->zero_min >= s.zero_min;
        if (scheme->super != AR_SUPER_NONE ? !f->holds_supers : !(s.bits_mask >> scheme->bits & 1))
            return false;
        if (!zero || !fits(&s, scheme, O, I)) return false;
    }
    return true;
}

bool ar__source_scheme(ar_scheme *scheme, const ar_write_source *src, const ar_block *block, int32_t i) {
    *scheme = src->plan->scheme;
    if (src->scheme) return src->scheme(src->ctx, block, i, scheme);
    return ar_output_plan_holds(src->plan, block->linears[i].O, block->linears[i].I);
}

void ar_write_memo_deinit(ar_write_memo *memo) {
    free(memo->rows);
    *memo = (ar_write_memo){0};
}

ar_status ar__source_advance(const ar_write_source *src, int64_t values) {
    ar_write_progress *p = src->progress;
    if (!p) return AR_OK;
    const ar_observer *o = p->observer;
    p->done += (double)values;
    int32_t step = p->total > 0.0 && p->done < p->total ? (int32_t)(100.0 * p->done / p->total) : 100;
    if (o && o->cancelled && o->cancelled(o->ctx))
        return ar__fail(AR_ERR_INTERRUPTED, "interrupted while writing");
    if (o && o->progress && step > p->told)
        o->progress(o->ctx, &(ar_progress_event){.stage = "write", .step = step, .step_count = 100});
    if (step > p->told) p->told = step;
    return AR_OK;
}

ar_status ar__source_check(const ar_write_source *src, const ar_block *block, int32_t i,
                           const ar_qlinear *q) {
    ar_scheme s;
    ar__source_scheme(&s, src, block, i);
    if (q->scheme.bits == s.bits && q->scheme.group == s.group && q->scheme.zero == s.zero) return AR_OK;
    return ar__fail(AR_ERR_CHECK, "%s.%s: found codes of %d bits in groups of %d, expected %d and %d",
                    block->name, block->linears[i].name, (int)q->scheme.bits, (int)q->scheme.group,
                    (int)s.bits, (int)s.group);
}
