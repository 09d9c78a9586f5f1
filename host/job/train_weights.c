/* Trained parameters as the weights of the model they came from: the same tensors under the same names, in
 * f32 and in host memory, so that whatever writes a model writes the trained one. */
#include "family.h"
#include "train.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- values ---- */

ar_status ar__train_values_init(ar_train_values *v, const ar_net *net) {
    *v = (ar_train_values){.net = net};
    v->values = ar__alloc((size_t)net->param_count, sizeof *v->values);
    if (!v->values) return AR_ERR_MEMORY;
    for (int32_t i = 0; i < net->param_count; i++) {
        v->values[i] = ar__alloc((size_t)ar_tensor_count(net->params[i].t), sizeof **v->values);
        if (!v->values[i]) return AR_ERR_MEMORY;
    }
    return AR_OK;
}

void ar__train_values_deinit(ar_train_values *v) {
    for (int32_t i = 0; v->values && i < v->net->param_count; i++) free(v->values[i]);
    free(v->values);
    *v = (ar_train_values){0};
}

ar_status ar__train_values_read(ar_train_values *v) {
    for (int32_t i = 0; i < v->net->param_count; i++) {
        const ar_tensor *t = v->net->params[i].t;
        AR_TRY(ar_tensor_read(t, v->values[i], 0, ar_tensor_count(t)));
    }
    return AR_OK;
}

static const float *find(const ar_train_values *v, const char *name) {
    for (int32_t i = 0; i < v->net->param_count; i++)
        if (strcmp(v->net->params[i].name, name) == 0) return v->values[i];
    return NULL;
}

/* ---- weights ---- */

typedef struct trained {
    ar_weight weight;
    char name[AR_PARAM_NAME];
    const float *values; /* NULL: of a tensor that is no weight, kept: */
    float *kept;         /* what the model had, in part replaced */
    bool transposed;     /* stored (I, O), as Conv1D */
} trained;
typedef struct trained_weights {
    trained *items;
    int64_t count;
} trained_weights;

static void close_weights(void *impl) {
    trained_weights *w = impl;
    for (int64_t i = 0; w->items && i < w->count; i++) free(w->items[i].kept);
    free(w->items);
    free(w);
}

static int64_t count_weights(const void *impl) { return ((const trained_weights *)impl)->count; }

static const ar_weight *weight_at(const void *impl, int64_t i) {
    return &((const trained_weights *)impl)->items[i].weight;
}

static int64_t width_of(const ar_weight *w) {
    int64_t width = 1;
    for (int32_t d = w->dim_count > 1 ? 1 : 0; d < w->dim_count; d++) width *= w->dims[d];
    return width;
}

static ar_status read_weight(const void *impl, float *dst, int64_t i, int64_t row, int64_t rows) {
    const trained *t = &((const trained_weights *)impl)->items[i];
    int64_t width = width_of(&t->weight);
    const float *from = t->values ? t->values : t->kept;
    if (rows == 0) return AR_OK;
    if (!t->transposed) {
        memcpy(dst, from + row * width, (size_t)(rows * width) * sizeof *dst);
        return AR_OK;
    }
    int64_t I = t->weight.dims[0]; /* values are (width, I) */
    for (int64_t r = 0; r < rows; r++)
        for (int64_t o = 0; o < width; o++) dst[r * width + o] = from[o * I + row + r];
    return AR_OK;
}

static const ar_weights_vtable vtable = {
    .close = close_weights, .count = count_weights, .at = weight_at, .read = read_weight};

/* ---- whose values are whose ---- */

/* "PREFIX name.weight" of a tensor outside blocks, whichever prefix the model has. */
static bool is_part(const ar_open_model *m, const char *weight, const char *name, const char *ending) {
    const ar__names *n = ar__family_of(&m->config)->names;
    char full[AR_PARAM_NAME];
    for (int32_t i = 0; name && n->prefixes[i]; i++) {
        snprintf(full, sizeof full, "%s%s%s", n->prefixes[i], name, ending);
        if (strcmp(weight, full) == 0) return true;
    }
    return false;
}

static const float *values_of(const ar_open_model *m, const ar_train_values *v, const char *weight) {
    const ar__names *n = ar__family_of(&m->config)->names;
    char head[AR_PARAM_NAME];
    snprintf(head, sizeof head, "%s.weight", n->head);
    const float *values = find(v, weight);
    if (values) return values;
    if (strcmp(weight, head) == 0) return find(v, m->config.tied ? AR_PARAM_EMBEDDING : AR_PARAM_HEAD);
    if (is_part(m, weight, n->embedding, ".weight")) return find(v, AR_PARAM_EMBEDDING);
    if (is_part(m, weight, n->final_norm.name, ".weight")) return find(v, AR_PARAM_FINAL_NORM);
    if (is_part(m, weight, n->final_norm.name, ".bias")) return find(v, AR_PARAM_FINAL_BIAS);
    return NULL;
}

/* A product of a block that the file has the other way round. */
static bool is_transposed(const ar_open_model *m, const char *weight) {
    char name[AR_PARAM_NAME];
    for (int32_t b = 0; b < m->model.block_count; b++) {
        const ar_block *block = &m->model.blocks[b];
        for (int32_t i = 0; i < block->linear_count; i++) {
            snprintf(name, sizeof name, "%s.%s.weight", block->name, block->linears[i].name);
            if (strcmp(name, weight) == 0) return ar__family_is_transposed(block, i);
        }
    }
    return false;
}

/* Learned positions, whose table may begin with rows of no position; and what is no parameter (masks). */
static ar_status keep(trained *t, const ar_open_model *m, const ar_train_values *v, int64_t index) {
    const ar__names *n = ar__family_of(&m->config)->names;
    int64_t rows = t->weight.dim_count > 1 ? t->weight.dims[0] : 1, width = width_of(&t->weight);
    t->kept = ar__alloc((size_t)rows, (size_t)width * sizeof *t->kept);
    if (!t->kept) return AR_ERR_MEMORY;
    AR_TRY(m->weights.vtable->read(m->weights.impl, t->kept, index, 0, rows));
    const float *positions = find(v, AR_PARAM_POSITIONS);
    if (positions && is_part(m, t->name, n->positions, ".weight"))
        memcpy(t->kept + n->position_skip * width, positions,
               (size_t)((rows - n->position_skip) * width) * sizeof *t->kept);
    return AR_OK;
}

static ar_status make_item(trained *t, const ar_open_model *m, const ar_train_values *v, int64_t index) {
    const ar_weight *w = m->weights.vtable->at(m->weights.impl, index);
    snprintf(t->name, sizeof t->name, "%s", w->name);
    t->weight = *w;
    t->weight.name = t->name;
    t->weight.type = "F32";
    t->values = values_of(m, v, w->name);
    t->transposed = t->values && is_transposed(m, w->name);
    return t->values ? AR_OK : keep(t, m, v, index);
}

ar_status ar__train_values_bind(ar_open_model *m, const ar_train_values *v) {
    ar_status status;
    trained_weights *made = ar__alloc(1, sizeof *made);
    if (!made) return AR_ERR_MEMORY;
    made->count = m->weights.vtable->count(m->weights.impl);
    made->items = ar__alloc((size_t)made->count, sizeof *made->items);
    AR_GO(made->items ? AR_OK : AR_ERR_MEMORY);
    for (int64_t i = 0; i < made->count; i++) AR_GO(make_item(&made->items[i], m, v, i));
    ar_weights_close(&m->weights);
    m->weights = (ar_weights){.vtable = &vtable, .impl = made};
    return AR_OK;
done:
    close_weights(made);
    return status;
}
