/* What each linear's weights are off in a file of a study; see study.h. */
#include "ar_error.h"
#include "study.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST 4096 /* blocks that are read of a line */

/* Three digits tell as much as anyone sees, and keep lines short. */
static double three_digits(double x) {
    char text[32];
    snprintf(text, sizeof text, "%.3g", x);
    return strtod(text, NULL);
}

static ar_status linear_error(float *error, const ar_block *a, const ar_block *b, int32_t i) {
    const ar_linear *x = &a->linears[i], *y = &b->linears[i];
    double sum = 0.0, off = 0.0;
    if (x->O != y->O || x->I != y->I)
        return ar__fail(AR_ERR_SHAPE, "%s.%s: found (%lld, %lld), expected (%lld, %lld)", a->name, x->name,
                        (long long)x->O, (long long)x->I, (long long)y->O, (long long)y->I);
    int64_t elems = x->O * x->I;
    float *own = ar__alloc((size_t)elems, 2 * sizeof *own);
    if (!own) return AR_ERR_MEMORY;
    ar_status status = a->read_linear(a, own, i, 0, x->O);
    if (status == AR_OK) status = b->read_linear(b, own + elems, i, 0, y->O);
    for (int64_t k = 0; status == AR_OK && k < elems; k++) {
        double w = (double)own[elems + k], e = (double)own[k] - w;
        sum += w * w;
        off += e * e;
    }
    free(own);
    *error = (float)three_digits(sum > 0.0 ? sqrt(off / sum) : 0.0);
    return status;
}

static ar_status make_room(ar__study_point *p, int32_t blocks, int32_t linears) {
    int64_t count = (int64_t)blocks * linears;
    p->errors = ar__alloc((size_t)count, sizeof *p->errors);
    if (!p->errors) return AR_ERR_MEMORY;
    p->blocks = blocks;
    p->linears = linears;
    for (int64_t i = 0; i < count; i++) p->errors[i] = NAN;
    return AR_OK;
}

ar_status ar__study_errors(ar__study_point *p, const ar_model *quantized, const ar_model *m) {
    int32_t most = 0;
    if (quantized->block_count != m->block_count)
        return ar__fail(AR_ERR_SHAPE, "found %d blocks, expected %d", (int)quantized->block_count,
                        (int)m->block_count);
    for (int32_t b = 0; b < m->block_count; b++)
        most = m->blocks[b].linear_count > most ? m->blocks[b].linear_count : most;
    AR_TRY(make_room(p, m->block_count, most));
    for (int32_t b = 0; b < m->block_count; b++)
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++)
            AR_TRY(linear_error(&p->errors[(int64_t)b * most + i], &quantized->blocks[b], &m->blocks[b], i));
    return AR_OK;
}

/* ---- lines ---- */

void ar__study_put_errors(ar_json *o, const ar__study_point *p) {
    if (!p->errors) return;
    ar_json *rows = ar_json_add_list(o, "errors");
    for (int32_t b = 0; b < p->blocks; b++) {
        ar_json *row = ar_json_push(rows, cJSON_CreateArray());
        for (int32_t i = 0; i < p->linears; i++) {
            double value = (double)p->errors[(int64_t)b * p->linears + i];
            ar_json_push(row, isnan(value) ? cJSON_CreateNull() : cJSON_CreateNumber(three_digits(value)));
        }
    }
}

ar_status ar__study_take_errors(ar__study_point *p, const ar_json *o) {
    const cJSON *rows = ar_json_get(o, "errors");
    int32_t blocks = cJSON_IsArray(rows) ? cJSON_GetArraySize(rows) : 0;
    const cJSON *row = blocks > 0 ? cJSON_GetArrayItem(rows, 0) : NULL;
    int32_t linears = cJSON_IsArray(row) ? cJSON_GetArraySize(row) : 0;
    if (blocks < 1 || blocks > MOST || linears < 1 || linears > AR_MAX_LINEARS) return AR_OK;
    AR_TRY(make_room(p, blocks, linears));
    for (int32_t b = 0; row; row = row->next, b++) {
        const cJSON *item = cJSON_IsArray(row) ? row->child : NULL;
        for (int32_t i = 0; item && i < linears; item = item->next, i++)
            if (cJSON_IsNumber(item)) p->errors[(int64_t)b * linears + i] = (float)item->valuedouble;
    }
    return AR_OK;
}
