/* The passport of a folder: anyround.json. */
#include "passport.h"
#include "ar_error.h"
#include "hf_folder.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define PASSPORT_BYTES ((size_t)16 << 20) /* grids of all linears are in it */

#define TEXT(field, figure)                                                                                  \
    { #field, offsetof(ar_passport, field), true, figure, false }
#define NUMBER(field, figure)                                                                                \
    { #field, offsetof(ar_passport, field), false, figure, false }

static const ar__passport_row rows[] = {
    TEXT(version, false),
    TEXT(method, false),
    TEXT(options, false),
    TEXT(calibration, false),
    {"acts", offsetof(ar_passport, acts), true, false, true},
    TEXT(text, true),
    TEXT(text_hash, true),
    NUMBER(window, true),
    NUMBER(windows, true),
    NUMBER(kl, true),
    NUMBER(top1, true),
    NUMBER(ppl, true),
    NUMBER(ref_ppl, true),
};

const ar__passport_row *ar__passport_rows(int32_t *count) {
    *count = (int32_t)(sizeof rows / sizeof *rows);
    return rows;
}

/* Room of the texts, which all have their own. */
static size_t room_of(const ar__passport_row *row) {
    const ar_passport *p = NULL;
    if (row->offset == offsetof(ar_passport, options)) return sizeof p->options;
    if (row->offset == offsetof(ar_passport, text)) return sizeof p->text;
    if (row->offset == offsetof(ar_passport, acts)) return sizeof p->acts;
    return sizeof p->version;
}

const char *ar__passport_word(const ar_passport *p, const ar__passport_row *row) {
    return (const char *)p + row->offset;
}

double ar__passport_number(const ar_passport *p, const ar__passport_row *row) {
    double number;
    memcpy(&number, (const char *)p + row->offset, sizeof number);
    return number;
}

void ar__passport_take(ar_passport *p, const ar__passport_row *row, const char *text, size_t bytes,
                       double number) {
    char *at = (char *)p + row->offset;
    size_t room = room_of(row) - 1;
    if (row->is_figure) p->is_measured = true;
    if (!row->is_text) {
        memcpy(at, &number, sizeof number);
        return;
    }
    memset(at, 0, room + 1);
    memcpy(at, text, bytes < room ? bytes : room);
}

/* ---- grids of static inputs ---- */

bool ar__acts_grid_is_valid(const ar_acts_scheme *scheme, const float grid[2]) {
    float half = (float)(1 << (scheme->bits - 1));
    return grid[0] > 0.0f && isfinite(grid[0]) && grid[1] >= -half && grid[1] < half &&
           grid[1] == rintf(grid[1]);
}

/* "NAME": [s, z], of every linear whose inputs are quantized. */
static void add_grids(cJSON *root, const ar_acts *a, const ar_model *m) {
    char name[AR_HF_NAME];
    if (!a || !a->grids) return;
    cJSON *list = ar_json_add_object(root, "input_grids");
    for (int32_t b = 0; b < m->block_count; b++)
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++) {
            const float *grid = a->grids[b][i];
            if (!(grid[0] > 0.0f)) continue;
            ar__hf_linear_name(name, &m->blocks[b], i);
            cJSON *pair = ar_json_add_list(list, name);
            for (int32_t k = 0; k < 2; k++) ar_json_push(pair, cJSON_CreateNumber((double)grid[k]));
        }
}

static ar_status take_grid(float grid[2], const ar_acts_scheme *s, const cJSON *pair, const char *name,
                           const char *path) {
    for (int32_t k = 0; k < 2 && cJSON_IsArray(pair); k++)
        grid[k] = (float)cJSON_GetNumberValue(cJSON_GetArrayItem(pair, k));
    if (cJSON_GetArraySize(pair) == 2 && ar__acts_grid_is_valid(s, grid)) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s: input_grids: %s: expected a positive scale and a zero point", path,
                    name);
}

ar_status ar__passport_grids(ar_acts *a, const ar_open_model *m, const char *folder) {
    char *path = NULL, name[AR_HF_NAME];
    ar_json *root = NULL;
    ar_status status;
    AR_GO(ar_path_join(&path, folder, AR__PASSPORT_FILE));
    AR_GO(ar_json_open(&root, path, PASSPORT_BYTES));
    const ar_json *list = ar_json_get(root, "input_grids");
    if (!cJSON_IsObject(list))
        AR_GO(ar__fail(AR_ERR_FORMAT, "%s: input_grids: found none, expected those of static inputs", path));
    for (int32_t b = 0; b < m->model.block_count; b++)
        for (int32_t i = 0; i < m->model.blocks[b].linear_count; i++) {
            ar__hf_linear_name(name, &m->model.blocks[b], i);
            const ar_json *pair = ar_json_get(list, name);
            if (pair) AR_GO(take_grid(a->grids[b][i], &a->scheme, pair, name, path));
        }
done:
    ar_json_close(root);
    free(path);
    return status;
}

/* ---- the file ---- */

ar_status ar__passport_write(const char *folder, const ar_passport *p, const ar_write_source *src) {
    cJSON *root = cJSON_CreateObject(), *figures = NULL;
    if (p->is_measured) figures = ar_json_add_object(root, "measured");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cJSON *into = rows[i].is_figure ? figures : root;
        if (rows[i].is_figure && !p->is_measured) continue;
        if (rows[i].is_spare && !ar__passport_word(p, &rows[i])[0]) continue;
        if (rows[i].is_text)
            ar_json_add_string(into, rows[i].name, ar__passport_word(p, &rows[i]));
        else
            ar_json_add_number(into, rows[i].name, ar__passport_number(p, &rows[i]));
    }
    add_grids(root, src->acts, &src->model->model);
    ar_status status = ar__hf_write_json(folder, AR__PASSPORT_FILE, root);
    cJSON_Delete(root);
    return status;
}

static ar_status take_row(ar_passport *p, const ar__passport_row *row, const ar_json *object,
                          const char *path) {
    const char *text = NULL;
    double number = 0.0;
    if (!ar_json_get(object, row->name)) return AR_OK;
    if (row->is_text)
        AR_TRY(ar_json_string_or(&text, object, row->name, "", path));
    else
        AR_TRY(ar_json_number_or(&number, object, row->name, 0.0, 0.0, 1e30, path));
    ar__passport_take(p, row, text, text ? strlen(text) : 0, number);
    return AR_OK;
}

ar_status ar__passport_read(ar_passport *p, bool *found, const char *folder) {
    ar_status status = AR_OK;
    char *path = NULL;
    ar_json *root = NULL;
    *p = (ar_passport){0};
    AR_GO(ar_path_join(&path, folder, AR__PASSPORT_FILE));
    *found = ar_path_exists(path);
    if (!*found) goto done;
    AR_GO(ar_json_open(&root, path, PASSPORT_BYTES));
    const ar_json *measured = ar_json_get(root, "measured");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!rows[i].is_figure || measured)
            AR_GO(take_row(p, &rows[i], rows[i].is_figure ? measured : root, path));
done:
    ar_json_close(root);
    free(path);
    return status;
}
