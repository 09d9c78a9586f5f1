/* Widths for every linear within a budget; see allot.h. */
#include "allot.h"
#include "ar_error.h"
#include "fmt_gguf_types.h"
#include "formats.h"
#include "output.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEASURED_TOKENS 512 /* of the samples: enough to rank linears by */
#define MEASURED_T      128
#define TRIES           8 /* budgets, until the file is within its size */

uint64_t ar__allotment_hash(const ar__allotment *a, const ar_model *m) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (int64_t i = 0; i < (int64_t)m->block_count * AR_MAX_LINEARS; i++) {
        const ar_scheme *s = &a->schemes[i];
        const int32_t words[] = {s->bits, s->group, (int32_t)s->zero, s->zero_min, (int32_t)s->super};
        hash = ar_hash64(hash, words, sizeof words);
    }
    return hash;
}

void ar__allotment_text(char *text, size_t bytes, const ar__allotment *a) {
    *text = '\0';
    for (int32_t c = 0; c < a->width_count; c++) {
        size_t used = strlen(text);
        if (a->linears[c])
            snprintf(text + used, bytes - used, "%s%d x %s", used ? ", " : "", (int)a->linears[c],
                     a->widths[c].label);
    }
    size_t used = strlen(text);
    snprintf(text + used, bytes - used, "; %.3f bits per weight", a->bpw);
}

void ar__allotment_deinit(ar__allotment *a) {
    free(a->schemes);
    ar_tensor_types_destroy(a->types);
    *a = (ar__allotment){0};
}

/* ---- widths ---- */

static bool is_gguf(const ar_output_plan *plan) { return ar_format_find(plan->formats[0])->has_types; }

static ar_status add_width(ar__allotment *a, const char *name, size_t bytes, const ar_output_plan *plan) {
    ar_linear square = {.O = AR_SUPER_BLOCK, .I = AR_SUPER_BLOCK};
    ar__width w = {.type = AR_QT_COUNT};
    ar_scheme scheme;
    uint64_t stored = 0;
    char *end;
    if (a->width_count == AR_ALLOT_MAX)
        return ar__fail(AR_ERR_USAGE, "widths: found more than %d", AR_ALLOT_MAX);
    snprintf(w.label, sizeof w.label, "%.*s", (int)bytes, name);
    if (is_gguf(plan))
        w.type = ar__gguf_type_named(w.label);
    else
        w.bits = (int32_t)strtol(w.label, &end, 10);
    bool known = is_gguf(plan) ? w.type != AR_QT_COUNT && ar__gguf_scheme(&scheme, w.type)
                               : w.bits >= 2 && w.bits <= 8 && *end == '\0';
    if (!known || !ar__width_scheme(&scheme, &stored, &w, plan, &square))
        return ar__fail(AR_ERR_USAGE, "widths: found '%s', expected %s", w.label,
                        is_gguf(plan) ? "q4_0 to q8_0 or q2_k to q6_k" : "bits that the format stores");
    w.per_weight = 8.0 * (double)stored / (double)(square.O * square.I);
    int32_t at = a->width_count++;
    for (; at > 0 && a->widths[at - 1].per_weight > w.per_weight; at--) a->widths[at] = a->widths[at - 1];
    a->widths[at] = w;
    return AR_OK;
}

/* All bits that a folder's format stores. */
static ar_status add_all_bits(ar__allotment *a, const ar_output_plan *plan) {
    for (int32_t bits = 2; bits <= 8; bits++) {
        char label[4];
        ar_status status = AR_OK;
        snprintf(label, sizeof label, "%d", (int)bits);
        if (ar_output_plan_holds_scheme(plan,
                                        &(ar_scheme){bits, plan->scheme.group, plan->scheme.zero,
                                                     plan->scheme.zero_min, AR_SUPER_NONE},
                                        AR_SUPER_BLOCK, AR_SUPER_BLOCK))
            status = add_width(a, label, 1, plan);
        AR_TRY(status);
    }
    return AR_OK;
}

ar_status ar__allot_widths(ar__allotment *a, const char *widths, const ar_output_plan *plan) {
    const ar_format *format = ar_format_find(plan->formats[0]);
    if (plan->format_count > 1)
        return ar__fail(AR_ERR_USAGE, "widths: found %d formats, expected one", (int)plan->format_count);
    if (!format->is_mixed && !format->has_types)
        return ar__fail(AR_ERR_USAGE, "widths: format %s has one for all linears", format->name);
    if (plan->scheme.bits > 8)
        return ar__fail(AR_ERR_USAGE, "widths: found type %s for the others, expected a quantized type",
                        plan->type);
    if (!widths && !is_gguf(plan))
        AR_TRY(add_all_bits(a, plan));
    else
        for (const char *at = widths ? widths : AR_ALLOT_TYPES; *at;) {
            size_t n = strcspn(at, ",");
            AR_TRY(add_width(a, at, n, plan));
            at += n + (at[n] == ',');
        }
    if (a->width_count >= 2) return AR_OK;
    return ar__fail(AR_ERR_USAGE, "widths: found %d, expected at least two to choose from",
                    (int)a->width_count);
}

/* ---- units ---- */

int32_t ar__allot_fused(const ar_linear *lin) {
    static const struct {
        const char *end;
        int32_t group;
    } parts[] = {{"q_proj", 1}, {"k_proj", 1}, {"v_proj", 1}, {"gate_proj", 2}, {"up_proj", 2}};
    size_t n = strlen(lin->name);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t m = strlen(parts[i].end);
        if (n >= m && strcmp(lin->name + n - m, parts[i].end) == 0) return parts[i].group;
    }
    return 0;
}

static ar__allot_unit *unit_of(ar__allot_unit *units, int32_t *count, const ar_output_plan *plan,
                               const ar_block *block, int32_t i) {
    int32_t group = is_gguf(plan) ? 0 : ar__allot_fused(&block->linears[i]);
    for (int32_t u = 0; group && u < *count; u++)
        if (units[u].block == block->index && ar__allot_fused(&block->linears[units[u].linears[0]]) == group)
            return &units[u];
    ar__allot_unit *added = &units[(*count)++];
    *added = (ar__allot_unit){.block = block->index};
    return added;
}

/* Linears that every width can store; the others keep what the plan says. */
static int32_t list_units(ar__allot_unit *units, const ar__allotment *a, const ar_output_plan *plan,
                          const ar_model *m) {
    int32_t count = 0;
    for (int32_t b = 0; b < m->block_count; b++) {
        const ar_block *block = &m->blocks[b];
        for (int32_t i = 0; i < block->linear_count; i++) {
            const ar_linear *lin = &block->linears[i];
            bool fits = true;
            ar_scheme scheme;
            uint64_t bytes;
            for (int32_t c = 0; c < a->width_count; c++)
                fits = fits && ar__width_scheme(&scheme, &bytes, &a->widths[c], plan, lin);
            if (!fits) continue;
            ar__allot_unit *u = unit_of(units, &count, plan, block, i);
            u->linears[u->count++] = i;
            u->weights += lin->O * lin->I;
        }
    }
    return count;
}

/* bytes (units, widths). */
static void list_bytes(uint64_t *bytes, const ar__allotment *a, const ar__allot_unit *units, int32_t count,
                       const ar_output_plan *plan, const ar_model *m) {
    ar_scheme scheme;
    for (int32_t u = 0; u < count; u++)
        for (int32_t c = 0; c < a->width_count; c++)
            for (int32_t k = 0; k < units[u].count; k++) {
                uint64_t own = 0;
                const ar_block *block = &m->blocks[units[u].block];
                ar__width_scheme(&scheme, &own, &a->widths[c], plan, &block->linears[units[u].linears[k]]);
                bytes[(int64_t)u * a->width_count + c] += own;
            }
}

/* ---- what was picked becomes the plan ---- */

typedef struct allotting {
    ar__allotment *a;
    ar_output_plan *plan;
    const ar_open_model *m;
    ar__allot_unit *units;
    const ar_passport *passport;
    int32_t count, *picked;
    uint64_t *bytes;
    double *cost;
} allotting;

static bool choose(void *ctx, const ar_block *block, int32_t i, ar_scheme *scheme) {
    const allotting *t = ctx;
    return ar_output_plan_choose(t->plan, &t->m->config, block, i, scheme);
}

/* What the plan says of all linears, before anything is picked. */
static void take_plan(allotting *t) {
    for (int32_t b = 0; b < t->m->model.block_count; b++)
        for (int32_t i = 0; i < t->m->model.blocks[b].linear_count; i++) {
            ar_scheme *scheme = &t->a->schemes[(int64_t)b * AR_MAX_LINEARS + i];
            if (!choose(t, &t->m->model.blocks[b], i, scheme)) *scheme = (ar_scheme){0};
        }
}

static ar_status name_type(const allotting *t, const ar_block *block, int32_t i, ar_qtype type) {
    char name[AR__GGUF_NAME];
    if (!ar__gguf_linear_name(name, &t->m->config, block, i)) return AR_OK;
    return ar__tensor_types_set(t->a->types, name, type);
}

static ar_status take_picked(allotting *t) {
    ar__allotment *a = t->a;
    double bits = 0.0, weights = 0.0;
    ar_tensor_types_destroy(a->types);
    a->types = NULL;
    if (is_gguf(t->plan)) AR_TRY(ar_tensor_types_create(&a->types));
    a->kl = 0.0;
    memset(a->linears, 0, sizeof a->linears);
    for (int32_t u = 0; u < t->count; u++) {
        const ar__allot_unit *unit = &t->units[u];
        const ar_block *block = &t->m->model.blocks[unit->block];
        int32_t c = t->picked[u];
        for (int32_t k = 0; k < unit->count; k++) {
            int32_t i = unit->linears[k];
            uint64_t bytes;
            ar__width_scheme(&a->schemes[(int64_t)unit->block * AR_MAX_LINEARS + i], &bytes, &a->widths[c],
                             t->plan, &block->linears[i]);
            if (a->types) AR_TRY(name_type(t, block, i, a->widths[c].type));
        }
        a->linears[c] += unit->count;
        a->kl += t->cost[(int64_t)u * a->width_count + c];
        bits += 8.0 * (double)t->bytes[(int64_t)u * a->width_count + c];
        weights += (double)unit->weights;
    }
    a->bpw = bits / weights;
    t->plan->types = a->types;
    t->plan->schemes = a->schemes;
    return AR_OK;
}

static ar_status size_now(uint64_t *bytes, allotting *t) {
    ar_output_size size;
    ar_write_source src = {
        .model = t->m, .plan = t->plan, .scheme = choose, .ctx = t, .passport = t->passport};
    AR_TRY(ar__output_size(&size, &src, 0));
    *bytes = size.bytes;
    return AR_OK;
}

static uint64_t picked_bytes(const allotting *t) {
    uint64_t sum = 0;
    for (int32_t u = 0; u < t->count; u++) sum += t->bytes[(int64_t)u * t->a->width_count + t->picked[u]];
    return sum;
}

static ar_status pick(allotting *t, uint64_t budget) {
    AR_TRY(ar__allot_solve(t->picked, t->bytes, t->cost, t->count, t->a->width_count, budget));
    return take_picked(t);
}

/* All at the first or the last width: what the budget lies between. */
static ar_status limit(uint64_t *linears, uint64_t *file, allotting *t, int32_t width) {
    for (int32_t u = 0; u < t->count; u++) t->picked[u] = width;
    AR_TRY(take_picked(t));
    *linears = picked_bytes(t);
    return size_now(file, t);
}

static ar_status pick_within_size(allotting *t, uint64_t wanted) {
    uint64_t least, file, budget;
    AR_TRY(limit(&least, &file, t, 0));
    if (file > wanted)
        return ar__fail(AR_ERR_USAGE,
                        "size: found %llu bytes, expected at least %llu, which %s everywhere takes",
                        (unsigned long long)wanted, (unsigned long long)file, t->a->widths[0].label);
    budget = least + (wanted - file);
    for (int32_t i = 0; i < TRIES; i++) {
        AR_TRY(pick(t, budget));
        AR_TRY(size_now(&file, t));
        if (file <= wanted) return AR_OK;
        budget -= file - wanted < budget - least ? file - wanted : budget - least;
    }
    return limit(&least, &file, t, 0);
}

static ar_status pick_within_bpw(allotting *t, double bpw) {
    uint64_t least, file;
    double weights = 0.0;
    for (int32_t u = 0; u < t->count; u++) weights += (double)t->units[u].weights;
    AR_TRY(limit(&least, &file, t, 0));
    if (bpw * weights / 8.0 >= (double)least) return pick(t, (uint64_t)(bpw * weights / 8.0));
    return ar__fail(AR_ERR_USAGE,
                    "bits per weight: found %g, expected at least %.4g, which %s everywhere takes", bpw,
                    8.0 * (double)least / weights, t->a->widths[0].label);
}

/* ---- samples ---- */

/* Beginnings of samples, spread over them. */
static ar_status cut_samples(ar_samples *cut, const ar_samples *s) {
    int32_t T = s->T < MEASURED_T ? s->T : MEASURED_T, count = MEASURED_TOKENS / T;
    if (count > s->count) count = s->count;
    *cut = (ar_samples){ar__alloc((size_t)count, (size_t)T * sizeof(int32_t)), count, T};
    if (!cut->ids) return AR_ERR_MEMORY;
    for (int32_t i = 0; i < count; i++)
        memcpy(cut->ids + (int64_t)i * T, s->ids + (int64_t)(s->count / count) * i * s->T,
               (size_t)T * sizeof(int32_t));
    return AR_OK;
}

ar_status ar__allot(ar__allotment *a, ar_output_plan *plan, const ar__allot_request *request,
                    const ar_open_model *m, ar_device *device, const ar_samples *samples,
                    const ar_observer *observer) {
    ar_status status = AR_OK;
    size_t most = (size_t)m->model.block_count * AR_MAX_LINEARS, widths = (size_t)a->width_count;
    ar_samples cut = {0};
    allotting t = {.a = a, .plan = plan, .m = m, .passport = request->passport};
    a->schemes = ar__alloc(most, sizeof *a->schemes);
    t.units = ar__alloc(most, sizeof *t.units);
    t.picked = ar__alloc(most, sizeof *t.picked);
    t.bytes = ar__alloc(most * widths, sizeof *t.bytes);
    t.cost = ar__alloc(most * widths, sizeof *t.cost);
    if (!a->schemes || !t.units || !t.picked || !t.bytes || !t.cost) AR_GO(AR_ERR_MEMORY);
    t.count = list_units(t.units, a, plan, &m->model);
    if (t.count == 0) AR_GO(ar__fail(AR_ERR_USAGE, "%s: found no linear that all widths can store", m->path));
    take_plan(&t);
    list_bytes(t.bytes, a, t.units, t.count, plan, &m->model);
    AR_GO(cut_samples(&cut, samples));
    AR_GO(ar__allot_measure(t.cost, t.units, t.count, a->widths, a->width_count, m, plan, device, &cut,
                            request->by_gradient, observer));
    AR_GO(request->bpw > 0.0 ? pick_within_bpw(&t, request->bpw) : pick_within_size(&t, request->bytes));
done:
    free(t.units);
    free(t.picked);
    free(t.bytes);
    free(t.cost);
    free(cut.ids);
    return status;
}
