/* Points of a study; see study.h. */
#include "study.h"
#include "ar_error.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAME_SIZE   1.001 /* files of one layout differ in what they say of themselves */
#define LINES_BYTES ((size_t)64 << 20)

void ar__study_point_deinit(ar__study_point *p) {
    free(p->errors);
    p->errors = NULL;
}

void ar__study_deinit(ar__study *s) {
    for (int32_t i = 0; i < s->count; i++) ar__study_point_deinit(&s->list[i]);
    free(s->list);
    *s = (ar__study){0};
}

ar_status ar__study_add(ar__study *s, ar__study_point *p) {
    if (s->count == s->room) {
        int32_t room = s->room ? 2 * s->room : 32;
        ar__study_point *list = realloc(s->list, (size_t)room * sizeof *list);
        if (!list) return ar__fail(AR_ERR_MEMORY, "no memory for %d points of a study", (int)room);
        s->list = list;
        s->room = room;
    }
    s->list[s->count++] = *p;
    p->errors = NULL;
    return AR_OK;
}

const ar__study_point *ar__study_find(const ar__study *s, const char *key) {
    for (int32_t i = 0; i < s->count; i++)
        if (strcmp(s->list[i].key, key) == 0) return &s->list[i];
    return NULL;
}

#define SAME_TEXT 1e-4 /* of the original's perplexity, which devices sum in other orders */

int32_t ar__study_keep(ar__study *s, double ref_ppl) {
    int32_t kept = 0, count = s->count;
    for (int32_t i = 0; i < count; i++) {
        if (fabs(s->list[i].ref_ppl - ref_ppl) <= SAME_TEXT * ref_ppl)
            s->list[kept++] = s->list[i];
        else
            ar__study_point_deinit(&s->list[i]);
    }
    s->count = kept;
    return count - kept;
}

/* ---- lines ---- */

static const struct {
    const char *name;
    size_t offset;
} numbers[] = {{"bpw", offsetof(ar__study_point, bpw)},
               {"kl", offsetof(ar__study_point, kl)},
               {"top1", offsetof(ar__study_point, top1)},
               {"ppl", offsetof(ar__study_point, ppl)},
               {"ref_ppl", offsetof(ar__study_point, ref_ppl)},
               {"seconds", offsetof(ar__study_point, seconds)},
               {"device_bytes", offsetof(ar__study_point, device_bytes)}};

static ar_status take_text(char *dst, size_t room, const ar_json *o, const char *key, const char *path) {
    const char *text;
    AR_TRY(ar_json_string_or(&text, o, key, "", path));
    snprintf(dst, room, "%s", text);
    return AR_OK;
}

static ar_status parse_line(ar__study_point *p, const char *line, const char *path) {
    ar_status status;
    ar_json *o = NULL;
    double bytes;
    *p = (ar__study_point){0};
    AR_GO(ar_json_parse(&o, line, strlen(line), path));
    AR_GO(take_text(p->key, sizeof p->key, o, "key", path));
    AR_GO(take_text(p->method, sizeof p->method, o, "method", path));
    AR_GO(take_text(p->layout, sizeof p->layout, o, "layout", path));
    AR_GO(ar_json_number_or(&bytes, o, "bytes", 0.0, 0.0, 1e18, path));
    p->bytes = (uint64_t)bytes;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        double value;
        AR_GO(ar_json_number_or(&value, o, numbers[i].name, 0.0, 0.0, 1e300, path));
        memcpy((char *)p + numbers[i].offset, &value, sizeof value);
    }
    AR_GO(ar__study_take_errors(p, o));
done:
    ar_json_close(o);
    return status;
}

/* Whatever else it may be, also cut off: what stands elsewhere is somebody's, and is not written to. */
static ar_status check_ours(const char *line, const char *path, int32_t number) {
    static const char start[] = "{\"key\":";
    size_t n = strcspn(line, "\n");
    if (strncmp(line, start, n < sizeof start - 1 ? n : sizeof start - 1) == 0) return AR_OK;
    return ar__fail(AR_ERR_FORMAT,
                    "%s: line %d: found none of a study's, expected a file of such lines, or a new one", path,
                    (int)number);
}

ar_status ar__study_read(ar__study *s, const char *path) {
    char *text = NULL, *next;
    size_t bytes;
    int32_t number = 0;
    ar_status status = AR_OK;
    if (!ar_path_exists(path)) return AR_OK;
    AR_TRY(ar_file_read_text(&text, &bytes, path, LINES_BYTES));
    if (strlen(text) < bytes)
        status = ar__fail(AR_ERR_FORMAT, "%s: found a byte 0, expected lines of a study", path);
    for (char *line = text; *line && status == AR_OK; line = next) {
        ar__study_point p;
        next = line + strcspn(line, "\n");
        bool is_whole = *next == '\n';
        status = check_ours(line, path, ++number);
        if (status != AR_OK) break;
        if (is_whole) *next++ = '\0';
        if (is_whole && parse_line(&p, line, path) == AR_OK && p.key[0]) status = ar__study_add(s, &p);
        if (is_whole) ar__study_point_deinit(&p);
    }
    free(text);
    return status;
}

ar_json *ar__study_json(const ar__study_point *p) {
    cJSON *o = cJSON_CreateObject();
    ar_json_add_string(o, "key", p->key);
    ar_json_add_string(o, "method", p->method);
    ar_json_add_string(o, "layout", p->layout);
    ar_json_add_number(o, "bytes", (double)p->bytes);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        double value;
        memcpy(&value, (const char *)p + numbers[i].offset, sizeof value);
        ar_json_add_number(o, numbers[i].name, value);
    }
    ar__study_put_errors(o, p);
    return o;
}

/* Whether the last line has no end, since its writer was killed. */
static bool is_cut_off(FILE *f) { return fseek(f, -1, SEEK_END) == 0 && fgetc(f) != '\n'; }

ar_status ar__study_append(const char *path, const ar__study_point *p) {
    char *text = NULL;
    cJSON *o = ar__study_json(p);
    ar_status status = ar_json_print(&text, o, false, path);
    cJSON_Delete(o);
    AR_TRY(status);
    FILE *f = fopen(path, "a+");
    const char *end = f && is_cut_off(f) ? "\n" : "";
    bool failed = !f || fprintf(f, "%s%s\n", end, text) < 0 || fflush(f) != 0 || fsync(fileno(f)) != 0;
    int code = errno;
    if (f && fclose(f) != 0 && !failed) failed = true, code = errno;
    free(text);
    return failed ? ar__fail(AR_ERR_IO, "%s: cannot write: %s", path, strerror(code)) : AR_OK;
}

/* ---- judgement ---- */

static int by_size(const void *a, const void *b) {
    const ar__study_point *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    return (x->kl > y->kl) - (x->kl < y->kl);
}

void ar__study_judge(ar__study *s) {
    if (s->count) qsort(s->list, (size_t)s->count, sizeof *s->list, by_size);
    for (int32_t i = 0; i < s->count; i++) {
        ar__study_point *p = &s->list[i];
        p->is_best = true;
        for (int32_t k = 0; k < s->count; k++) {
            const ar__study_point *q = &s->list[k];
            bool first = q->kl < p->kl || (q->kl <= p->kl && k < i);
            if (k != i && first && (double)q->bytes <= SAME_SIZE * (double)p->bytes) p->is_best = false;
        }
    }
}

int32_t ar__study_class(const ar__study_point *p) {
    double rise = p->ppl - p->ref_ppl;
    return rise <= 0.1 ? 1 : rise <= 0.5 ? 2 : 3;
}

const ar__study_point *ar__study_smallest(const ar__study *s, int32_t class) {
    for (int32_t i = 0; i < s->count; i++)
        if (s->list[i].is_best && ar__study_class(&s->list[i]) <= class) return &s->list[i];
    return NULL;
}
