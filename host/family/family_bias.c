/* Biases of zeros that a family does not have: old GPTQ quantizers wrote one beside every packed linear. They
 * change nothing, so the model is opened as if they were not there; others are refused where tensors are
 * bound. Nor are masks and such there, which are computed here, where they hold no floats: older GPT-2
 * checkpoints have bytes, which no output could take over. */
#include "ar_error.h"
#include "family.h"
#include "notes.h"
#include "weights.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 160

typedef enum expected { NOT_EXPECTED, MAYBE, EXPECTED } expected;

static void mark(uint8_t *marks, const ar__weight_names *names, expected e, const char *name) {
    int64_t i = ar__weight_names_find(names, name);
    if (i >= 0) marks[i] = (uint8_t)e;
}

/* What the family says of the biases of one block. */
static void mark_block(uint8_t *marks, const ar__weight_names *names, const ar_open_model *m,
                       const ar_family *family, const char *prefix, int32_t index) {
    ar__layout layout = {0};
    char name[NAME_BYTES];
    family->block(&layout, &m->config, index);
    for (int32_t i = 0; i < layout.linear_count; i++) {
        if (layout.linears[i].bias == AR__BIAS_NONE) continue;
        snprintf(name, sizeof name, "%s%s.%d.%s.bias", prefix, family->names->layers, (int)index,
                 layout.linears[i].name);
        mark(marks, names, layout.linears[i].bias == AR__BIAS ? EXPECTED : MAYBE, name);
    }
    for (int32_t j = 0; j < layout.norm_count; j++) {
        if (!layout.norms[j].has_bias) continue;
        snprintf(name, sizeof name, "%s%s.%d.%s.bias", prefix, family->names->layers, (int)index,
                 layout.norms[j].name);
        mark(marks, names, EXPECTED, name);
    }
}

/* NAME.bias beside a NAME.weight that has as many rows (columns, in a Conv1D). */
static bool is_bias(const ar_weights *w, const ar__weight_names *names, const ar_weight *t) {
    char name[NAME_BYTES];
    size_t bytes = strlen(t->name);
    if (bytes < 6 || bytes + 3 > sizeof name || strcmp(t->name + bytes - 5, ".bias") != 0) return false;
    snprintf(name, sizeof name, "%.*s.weight", (int)bytes - 5, t->name);
    int64_t i = ar__weight_names_find(names, name);
    const ar_weight *of = i < 0 ? NULL : w->vtable->at(w->impl, i);
    if (!of || t->dim_count != 1) return false;
    return t->dims[0] == of->dims[0] || (of->dim_count == 2 && t->dims[0] == of->dims[1]);
}

/* What cannot be read is refused where it is bound. */
static ar_status is_zero(bool *zero, const ar_weights *w, int64_t i) {
    int64_t count = w->vtable->at(w->impl, i)->dims[0];
    float *values = ar__alloc((size_t)count, sizeof *values);
    if (!values) return AR_ERR_MEMORY;
    *zero = w->vtable->read(w->impl, values, i, 0, 1) == AR_OK;
    for (int64_t k = 0; k < count && *zero; k++) *zero = values[k] == 0.0f;
    free(values);
    return AR_OK;
}

/* drop[i] = tensor i is a bias of zeros that need not be there. Those that may be there go together, so that
 * a model keeps all of them or none. */
static ar_status find_zeros(bool *drop, int64_t *dropped, const uint8_t *marks, const ar__weight_names *names,
                            const ar_open_model *m) {
    const ar_weights *w = &m->weights;
    int64_t count = w->vtable->count(w->impl), maybe = 0;
    bool all_maybe_zero = !m->config.has_biases;
    for (int64_t i = 0; i < count; i++) {
        if (marks[i] == EXPECTED || !is_bias(w, names, w->vtable->at(w->impl, i))) continue;
        AR_TRY(is_zero(&drop[i], w, i));
        if (marks[i] == MAYBE) all_maybe_zero = all_maybe_zero && drop[i];
        maybe += drop[i] && marks[i] == MAYBE;
        *dropped += drop[i];
    }
    if (all_maybe_zero || maybe == 0) return AR_OK;
    *dropped -= maybe;
    for (int64_t i = 0; i < count; i++) drop[i] = drop[i] && marks[i] != MAYBE;
    return AR_OK;
}

/* drop[i] = tensor i is computed here and cannot be read. */
static void find_unread(bool *drop, int64_t *unread, const ar_weights *w, const char *const *ignored) {
    int64_t count = w->vtable->count(w->impl);
    for (int64_t i = 0; ignored && i < count; i++) {
        const char *name = w->vtable->at(w->impl, i)->name;
        size_t bytes = strlen(name);
        bool is_computed = false;
        for (const char *const *e = ignored; *e; e++)
            is_computed = is_computed || (bytes >= strlen(*e) && strcmp(name + bytes - strlen(*e), *e) == 0);
        if (!is_computed || w->vtable->read(w->impl, NULL, i, 0, 0) == AR_OK) continue;
        drop[i] = true;
        ++*unread;
    }
}

static void mark_all(uint8_t *marks, const ar__weight_names *names, const ar_open_model *m,
                     const ar_family *family, const char *prefix) {
    char name[NAME_BYTES];
    for (int32_t b = 0; b < m->config.layers; b++) mark_block(marks, names, m, family, prefix, b);
    if (!family->names->final_norm.has_bias) return;
    snprintf(name, sizeof name, "%s%s.bias", prefix, family->names->final_norm.name);
    mark(marks, names, EXPECTED, name);
}

ar_status ar__family_drop_zero_biases(ar_open_model *m, const ar_family *family, const char *prefix) {
    int64_t count = m->weights.vtable->count(m->weights.impl), dropped = 0, unread = 0;
    ar__weight_names names = {0};
    uint8_t *marks = ar__alloc((size_t)count, sizeof *marks);
    bool *drop = ar__alloc((size_t)count, sizeof *drop);
    ar_status status;
    AR_GO(marks && drop ? AR_OK : AR_ERR_MEMORY);
    AR_GO(ar__weight_names_init(&names, &m->weights));
    mark_all(marks, &names, m, family, prefix);
    AR_GO(find_zeros(drop, &dropped, marks, &names, m));
    find_unread(drop, &unread, &m->weights, family->names->ignored);
    if (!dropped && !unread) goto done;
    if (dropped)
        AR_GO(ar__note(&m->notes, "%s: %lld biases of zeros, which this family need not have, are left out",
                       m->path, (long long)dropped));
    AR_GO(ar__weights_drop(&m->weights, drop));
done:
    ar__weight_names_deinit(&names);
    free(marks);
    free(drop);
    return status;
}
