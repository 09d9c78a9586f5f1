/* The passport of a folder: anyround.json. */
#include "passport.h"
#include "ar_error.h"
#include "hf_folder.h"
#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define PASSPORT_BYTES ((size_t)1 << 20)

#define TEXT(field, figure)                                                                                  \
    { #field, offsetof(ar_passport, field), true, figure }
#define NUMBER(field, figure)                                                                                \
    { #field, offsetof(ar_passport, field), false, figure }

static const ar__passport_row rows[] = {
    TEXT(version, false), TEXT(method, false),   TEXT(options, false), TEXT(calibration, false),
    TEXT(text, true),     TEXT(text_hash, true), NUMBER(window, true), NUMBER(windows, true),
    NUMBER(kl, true),     NUMBER(top1, true),    NUMBER(ppl, true),    NUMBER(ref_ppl, true),
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

ar_status ar__passport_write(const char *folder, const ar_passport *p) {
    cJSON *root = cJSON_CreateObject(), *figures = NULL;
    if (p->is_measured) figures = ar_json_add_object(root, "measured");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cJSON *into = rows[i].is_figure ? figures : root;
        if (rows[i].is_figure && !p->is_measured) continue;
        if (rows[i].is_text)
            ar_json_add_string(into, rows[i].name, ar__passport_word(p, &rows[i]));
        else
            ar_json_add_number(into, rows[i].name, ar__passport_number(p, &rows[i]));
    }
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
