/* Measured tiles as lines of JSON; see tuning_file.h. */
#include "tuning_file.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT_VERSION 1
#define MOST_BYTES     ((size_t)16 << 20)
#define MOST_ROWS      8192 /* each new one is compared with all: devices and kernels of many years */

static const char *const kinds[] = {"other", "cpu", "phone", "integrated", "discrete"};

void ar_tuning_free(ar_tuning_file *t) {
    free(t->rows);
    *t = (ar_tuning_file){0};
}

static bool is_same_key(const ar_tuning_row *a, const ar_tuning_row *b) {
    return strcmp(a->device, b->device) == 0 && strcmp(a->driver, b->driver) == 0 &&
           strcmp(a->api, b->api) == 0 && strcmp(a->kernel, b->kernel) == 0 &&
           strcmp(a->bucket, b->bucket) == 0 && a->kernel_hash == b->kernel_hash;
}

ar_status ar_tuning_add(ar_tuning_file *t, const ar_tuning_row *row) {
    for (int32_t i = 0; i < t->count; i++)
        if (is_same_key(&t->rows[i], row)) {
            t->rows[i] = *row;
            return AR_OK;
        }
    if (t->count == t->capacity) {
        int32_t capacity = t->capacity ? 2 * t->capacity : 16;
        ar_tuning_row *rows = realloc(t->rows, (size_t)capacity * sizeof *rows);
        if (!rows) return ar__fail(AR_ERR_MEMORY, "tuning: no memory for %d rows", (int)capacity);
        t->rows = rows;
        t->capacity = capacity;
    }
    t->rows[t->count++] = *row;
    return AR_OK;
}

/* ---- writing ---- */

ar_status ar_tuning_line(char **text, const ar_tuning_row *row) {
    cJSON *j = cJSON_CreateObject(), *tiles;
    char hash[24];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)row->kernel_hash);
    ar_json_add_number(j, "format_version", FORMAT_VERSION);
    ar_json_add_string(j, "api", row->api);
    ar_json_add_string(j, "device", row->device);
    ar_json_add_string(j, "driver", row->driver);
    ar_json_add_string(j, "kind", row->kind);
    ar_json_add_number(j, "vendor", row->vendor_id);
    ar_json_add_number(j, "subgroup", row->subgroup);
    ar_json_add_number(j, "vector_width", row->vector_width);
    ar_json_add_string(j, "kernel", row->kernel);
    ar_json_add_string(j, "kernel_hash", hash);
    ar_json_add_string(j, "bucket", row->bucket);
    tiles = ar_json_add_object(j, "tiles");
    for (int32_t i = 0; ar_tile_name(row->kernel, i); i++)
        ar_json_add_number(tiles, ar_tile_name(row->kernel, i), row->values[i]);
    ar_json_add_number(j, "gain", row->gain);
    ar_status status = ar_json_print(text, j, false, "tuning");
    cJSON_Delete(j);
    return status;
}

void ar_tuning_tiles_text(char *out, size_t bytes, const char *kernel, const uint32_t *values) {
    size_t used = 0;
    out[0] = '\0';
    for (int32_t i = 0; ar_tile_name(kernel, i) && used < bytes; i++)
        used += (size_t)snprintf(out + used, bytes - used, values[i] == UINT32_MAX ? "%s%s any" : "%s%s %u",
                                 i ? ", " : "", ar_tile_name(kernel, i), values[i]);
}

static void add_quoted(char *out, size_t bytes, const char *text) {
    size_t used = strlen(out);
    for (const char *c = text; *c && used + 3 < bytes; c++) {
        if (*c == '"' || *c == '\\') out[used++] = '\\';
        out[used++] = *c;
    }
    out[used] = '\0';
}

void ar_tuning_def_row(char *out, size_t bytes, const ar_tuning_row *row) {
    char device[260] = "", driver[260] = "";
    add_quoted(device, sizeof device, row->device);
    add_quoted(driver, sizeof driver, row->driver);
    snprintf(out, bytes,
             "AR_TILES(\"%s\", \"%s\", \"%s\", \"%s\", 0x%x, %u, %u, \"%s\", \"%s\", %u, %u, %u, %u,\n"
             "         \"measured, %.2f times as fast\")",
             row->kernel, row->bucket, row->api, row->kind, row->vendor_id, row->subgroup, row->vector_width,
             device, driver, row->values[0], row->values[1], row->values[2], row->values[3], row->gain);
}

ar_status ar_tuning_write(const ar_tuning_file *t, const char *path) {
    ar_writer *w = NULL;
    ar_status status = ar_writer_open(&w, path);
    for (int32_t i = 0; status == AR_OK && i < t->count; i++) {
        char *line = NULL;
        status = ar_tuning_line(&line, &t->rows[i]);
        if (status == AR_OK) status = ar_writer_write(w, line, strlen(line));
        if (status == AR_OK) status = ar_writer_write(w, "\n", 1);
        free(line);
    }
    if (status == AR_OK) return ar_writer_commit(&w);
    ar_writer_abort(&w);
    return status;
}

/* ---- reading ---- */

static ar_status read_text(char *out, size_t bytes, const ar_json *j, const char *key, const char *what) {
    const char *text = NULL;
    AR_TRY(ar_json_string_or(&text, j, key, NULL, what));
    if (!text || strlen(text) >= bytes)
        return ar__fail(AR_ERR_FORMAT, "%s: %s, expected a text of at most %zu bytes", what, key, bytes - 1);
    snprintf(out, bytes, "%s", text);
    return AR_OK;
}

static ar_status read_number(uint32_t *out, const ar_json *j, const char *key, const char *what) {
    int64_t v = 0;
    AR_TRY(ar_json_int(&v, j, key, 0, UINT32_MAX, what));
    *out = (uint32_t)v;
    return AR_OK;
}

static ar_status check_kind(const char *kind, const char *what) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i], kind) == 0) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s: kind \"%s\", expected cpu, phone, integrated, discrete or other",
                    what, kind);
}

/* What a kernel that this build does not know has for tiles nobody can say: such a row is kept without. */
static ar_status read_row(ar_tuning_row *row, const ar_json *j, const char *what) {
    int64_t version = 0;
    char hash[24], *end = NULL;
    const ar_json *tiles = ar_json_get(j, "tiles");
    *row = (ar_tuning_row){0};
    AR_TRY(ar_json_int(&version, j, "format_version", 1, 1 << 20, what));
    if (version != FORMAT_VERSION)
        return ar__fail(AR_ERR_FORMAT, "%s: format_version %d, expected %d", what, (int)version,
                        FORMAT_VERSION);
    AR_TRY(read_text(row->api, sizeof row->api, j, "api", what));
    AR_TRY(read_text(row->device, sizeof row->device, j, "device", what));
    AR_TRY(read_text(row->driver, sizeof row->driver, j, "driver", what));
    AR_TRY(read_text(row->kind, sizeof row->kind, j, "kind", what));
    AR_TRY(check_kind(row->kind, what));
    AR_TRY(read_number(&row->vendor_id, j, "vendor", what));
    AR_TRY(read_number(&row->subgroup, j, "subgroup", what));
    AR_TRY(read_number(&row->vector_width, j, "vector_width", what));
    AR_TRY(read_text(row->kernel, sizeof row->kernel, j, "kernel", what));
    AR_TRY(read_text(row->bucket, sizeof row->bucket, j, "bucket", what));
    AR_TRY(read_text(hash, sizeof hash, j, "kernel_hash", what));
    errno = 0;
    row->kernel_hash = strtoull(hash, &end, 16);
    if (errno || end == hash || *end)
        return ar__fail(AR_ERR_FORMAT, "%s: kernel_hash \"%s\", expected 16 digits of base 16", what, hash);
    if (!cJSON_IsObject(tiles)) return ar__fail(AR_ERR_FORMAT, "%s: no tiles, expected an object", what);
    for (int32_t i = 0; ar_tile_name(row->kernel, i); i++)
        AR_TRY(read_number(&row->values[i], tiles, ar_tile_name(row->kernel, i), what));
    return ar_json_number_or(&row->gain, j, "gain", 1, 0, 1e9, what);
}

ar_status ar_tuning_read(ar_tuning_file *t, const char *path) {
    char *text = NULL, what[600];
    size_t bytes = 0;
    *t = (ar_tuning_file){0};
    AR_TRY(ar_file_read_text(&text, &bytes, path, MOST_BYTES));
    ar_status status = AR_OK;
    int32_t number = 1;
    for (char *line = text, *next; status == AR_OK && *line; line = next, number++) {
        size_t length = strcspn(line, "\n");
        next = line + length + (line[length] == '\n');
        if (strspn(line, " \t\r") >= length) continue;
        ar_json *j = NULL;
        ar_tuning_row row;
        snprintf(what, sizeof what, "%.500s: line %d", path, (int)number);
        status = ar_json_parse(&j, line, length, what);
        if (status == AR_OK) status = read_row(&row, j, what);
        if (status == AR_OK && t->count == MOST_ROWS)
            status = ar__fail(AR_ERR_FORMAT, "%s: found more than %d rows, expected at most that", what,
                              MOST_ROWS);
        if (status == AR_OK) status = ar_tuning_add(t, &row);
        ar_json_close(j);
    }
    free(text);
    if (status != AR_OK) ar_tuning_free(t);
    return status;
}
