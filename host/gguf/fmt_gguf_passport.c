/* The passport of a GGUF file: keys anyround.*, numbers as F32. Those of an evaluation are known once the
 * file can be read, so they are put in afterwards, at their places. */
#include "ar_error.h"
#include "fmt_gguf.h"
#include "passport.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KEY 64

static void name_key(char key[KEY], const ar__passport_row *row) {
    snprintf(key, KEY, "anyround.%s%s", row->is_figure ? "measured." : "", row->name);
}

static uint32_t bits_of(double number) {
    float value = (float)number;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

#define GRIDS "anyround.input_grids"

static uint64_t linears_of(const ar_model *m) {
    uint64_t count = 0;
    for (int32_t b = 0; b < m->block_count; b++) count += (uint64_t)m->blocks[b].linear_count;
    return count;
}

static void put_grids(ar__gguf_out *o, const ar_acts *a, const ar_model *m) {
    if (!a || !a->grids) return;
    ar__gguf_put_string(o, GRIDS, strlen(GRIDS));
    ar__gguf_put_int(o, AR__GGUF_ARRAY, 4);
    ar__gguf_put_int(o, AR__GGUF_F32, 4);
    ar__gguf_put_int(o, 2 * linears_of(m), 8);
    for (int32_t b = 0; b < m->block_count; b++)
        for (int32_t i = 0; i < 2 * m->blocks[b].linear_count; i++)
            ar__gguf_put_int(o, bits_of((double)a->grids[b][i / 2][i % 2]), 4);
    o->field_count++;
}

ar_status ar__gguf_grids(ar_acts *a, const ar_open_model *m, const char *path) {
    const ar__gguf_value *v = NULL;
    ar_file file;
    ar__gguf g;
    ar_status status;
    AR_GO(ar__gguf_map(&g, &file, path));
    AR_GO(ar__gguf_array(&v, &g, GRIDS, AR__GGUF_F32));
    if (!v || v->count != 2 * linears_of(&m->model))
        AR_GO(ar__fail(AR_ERR_FORMAT, "%s: %s: found %llu numbers, expected %llu", path, GRIDS,
                       v ? (unsigned long long)v->count : 0ull,
                       2ull * (unsigned long long)linears_of(&m->model)));
    const uint8_t *at = v->data;
    for (int32_t b = 0; b < m->model.block_count; b++)
        for (int32_t i = 0; i < m->model.blocks[b].linear_count; i++, at += 8) {
            float *grid = a->grids[b][i];
            grid[0] = ar__gguf_load_f32(at);
            grid[1] = ar__gguf_load_f32(at + 4);
            if (grid[0] != 0.0f && !ar__acts_grid_is_valid(&a->scheme, grid))
                AR_GO(ar__fail(AR_ERR_FORMAT,
                               "%s: %s: found %g, %g, expected a positive scale and a zero point", path,
                               GRIDS, (double)grid[0], (double)grid[1]));
        }
done:
    ar__gguf_deinit(&g);
    ar_file_close(&file);
    return status;
}

void ar__gguf_put_passport(ar__gguf_out *o, const ar_write_source *src) {
    const ar_passport *p = src->passport;
    int32_t count;
    const ar__passport_row *rows = ar__passport_rows(&count);
    char key[KEY];
    for (int32_t i = 0; i < count; i++) {
        if (rows[i].is_figure && !p->is_measured) continue;
        if (rows[i].is_spare && !ar__passport_word(p, &rows[i])[0]) continue;
        name_key(key, &rows[i]);
        ar__gguf_put_string(o, key, strlen(key));
        ar__gguf_put_int(o, rows[i].is_text ? AR__GGUF_STRING : AR__GGUF_F32, 4);
        if (rows[i].is_text) {
            const char *text = ar__passport_word(p, &rows[i]);
            ar__gguf_put_string(o, text, strlen(text));
        } else {
            ar__gguf_put_int(o, bits_of(ar__passport_number(p, &rows[i])), 4);
        }
        o->field_count++;
    }
    put_grids(o, src->acts, &src->model->model);
}

ar_status ar__gguf_passport(ar_passport *p, bool *found, const char *path) {
    int32_t count;
    const ar__passport_row *rows = ar__passport_rows(&count);
    ar_file file;
    ar__gguf g;
    char key[KEY];
    ar_status status;
    *p = (ar_passport){0};
    *found = false;
    AR_GO(ar__gguf_map(&g, &file, path));
    for (int32_t i = 0; i < count; i++) {
        const char *text = NULL;
        size_t bytes = 0;
        float number = 0.0f;
        name_key(key, &rows[i]);
        if (!ar__gguf_find(&g, key)) continue;
        if (rows[i].is_text)
            AR_GO(ar__gguf_text(&text, &bytes, &g, key));
        else
            AR_GO(ar__gguf_real(&number, &g, key, 0.0f, 0.0, 1e30));
        ar__passport_take(p, &rows[i], text, bytes, (double)number);
        *found = true;
    }
done:
    ar__gguf_deinit(&g);
    ar_file_close(&file);
    return status;
}

/* Where the numbers stand in the file: offsets (rows), 0 = not there. */
static ar_status find_numbers(uint64_t *offsets, const ar__passport_row *rows, int32_t count,
                              const char *path) {
    ar_file file;
    ar__gguf g;
    char key[KEY];
    ar_status status;
    AR_GO(ar__gguf_map(&g, &file, path));
    for (int32_t i = 0; i < count; i++) {
        name_key(key, &rows[i]);
        const ar__gguf_value *v = ar__gguf_find(&g, key);
        offsets[i] = v && v->kind == AR__GGUF_F32 ? (uint64_t)(v->data - file.data) : 0;
    }
done:
    ar__gguf_deinit(&g);
    ar_file_close(&file);
    return status;
}

ar_status ar__gguf_stamp(const char *path, const ar_passport *p) {
    int32_t count;
    const ar__passport_row *rows = ar__passport_rows(&count);
    uint64_t offsets[32] = {0};
    AR_TRY(find_numbers(offsets, rows, count, path));
    int fd = open(path, O_WRONLY | O_CLOEXEC), code = 0;
    if (fd < 0) return ar__fail(AR_ERR_IO, "%s: cannot open: %s", path, strerror(errno));
    for (int32_t i = 0; i < count && code == 0; i++) {
        uint8_t bytes[4];
        if (!offsets[i]) continue;
        ar__gguf_store(bytes, bits_of(ar__passport_number(p, &rows[i])), 4);
        if (pwrite(fd, bytes, sizeof bytes, (off_t)offsets[i]) != (ssize_t)sizeof bytes)
            code = errno ? errno : EIO;
    }
    if (code == 0 && fsync(fd) != 0) code = errno;
    if (close(fd) != 0 && code == 0) code = errno;
    return code == 0 ? AR_OK : ar__fail(AR_ERR_IO, "%s: cannot write: %s", path, strerror(code));
}
