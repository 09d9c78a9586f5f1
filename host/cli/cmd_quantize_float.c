/* anyround quantize: what of a model the formats cannot hold, and what is in few bits already. A result that
 * is float for the most part is no quantization: it is refused before the work, unless the user allows it. */
#include "output.h"
#include "quantize_job.h"
#include <string.h>

/* "gptq cannot hold groups of 128 there"; where no smaller group helps, the shape that is at fault. */
static void reason(char *text, size_t bytes, const ar_kept_float *k, const ar_output_plan *plan) {
    int32_t rows, columns;
    const char *format = k->group ? NULL : ar__output_shape_refused(plan, k->O, k->I, &rows, &columns);
    if (format)
        snprintf(text, bytes, "%s holds %s in multiples of %d, found %lld", format,
                 columns ? "columns" : "rows", (int)(columns ? columns : rows),
                 (long long)(columns ? k->I : k->O));
    else
        snprintf(text, bytes, "%s cannot hold groups of %d there",
                 plan->format_count > 1 ? "the formats" : plan->formats[0], (int)plan->scheme.group);
}

static void describe(char *text, size_t bytes, const ar_kept_float *k, const ar_output_plan *plan) {
    size_t used =
        (size_t)snprintf(text, bytes, "%d of %d linears (%.0f %% of their weights)", (int)k->linears,
                         (int)k->linear_count, 100.0 * (double)k->weights / (double)k->weight_count);
    used += (size_t)snprintf(text + used, bytes - used, " %s float: ", k->linears == 1 ? "stays" : "stay");
    reason(text + used, bytes - used, k, plan);
}

/* "; the largest group that fits all is 64" */
static void advise(char *text, size_t bytes, const ar_kept_float *k) {
    *text = '\0';
    if (k->group && k->linears_then == 0)
        snprintf(text, bytes, "; the largest group that fits all is %d: --group %d", (int)k->group,
                 (int)k->group);
    else if (k->group)
        snprintf(text, bytes, "; the largest group that leaves the fewest, %d, is %d: --group %d",
                 (int)k->linears_then, (int)k->group, (int)k->group);
}

/* The type of the last weight that is no float, which is rarely the embedding; NULL = there is none. */
static const char *coded_type(const ar_open_model *m) {
    const char *found = NULL;
    static const char *const floats[] = {"F64", "F32", "F16", "BF16"};
    for (int64_t i = 0; i < m->weights.vtable->count(m->weights.impl); i++) {
        const char *type = m->weights.vtable->at(m->weights.impl, i)->type;
        bool is_float = false;
        for (size_t k = 0; k < sizeof floats / sizeof *floats; k++)
            is_float = is_float || strcmp(type, floats[k]) == 0;
        if (!is_float) found = type;
    }
    return found;
}

ar_status ar__quantize_kept_float(const ar_quantize_request *r, const ar_open_model *m) {
    char what[200], group[120];
    ar_kept_float k;
    const char *coded = r->plan.scheme.bits > 8 ? NULL : coded_type(m);
    if (coded && !r->common->quiet)
        fprintf(stderr, "note: %s: weights are in few bits already (%s): this adds to what that cost\n",
                m->path, coded);
    ar_output_plan_kept(&k, &r->plan, m);
    if (k.linears == 0) return AR_OK;
    describe(what, sizeof what, &k, &r->plan);
    advise(group, sizeof group, &k);
    if (2 * k.weights > k.weight_count && !r->allow_float)
        return ar__fail(AR_ERR_USAGE, "%s%s; --allow-float writes them as floats", what, group);
    if (!r->common->quiet) fprintf(stderr, "note: %s%s\n", what, group);
    return AR_OK;
}
