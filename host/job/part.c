/* The state folder of a quantization; see part.h. */
#include "part.h"
#include "ar_error.h"
#include "workplace.h"
#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANIFEST_BYTES ((size_t)1 << 20)

/* ---- manifest ---- */

void ar__part_manifest_add(ar_part_manifest *m, const char *name, const char *format, ...) {
    if (m->count >= AR_PART_FIELDS) return;
    ar_part_field *f = &m->fields[m->count++];
    va_list args;
    va_start(args, format);
    f->name = name;
    vsnprintf(f->value, sizeof f->value, format, args);
    va_end(args);
}

static ar_status write_manifest(const ar_part *p, const ar_part_manifest *m) {
    ar_status status = AR_OK;
    char *path = NULL, *text = NULL;
    ar_writer *w = NULL;
    cJSON *o = cJSON_CreateObject();
    for (int32_t i = 0; i < m->count; i++) cJSON_AddStringToObject(o, m->fields[i].name, m->fields[i].value);
    text = cJSON_Print(o);
    if (!text) AR_GO(ar__fail(AR_ERR_MEMORY, "cannot print the manifest"));
    AR_GO(ar_path_join(&path, p->dir, "manifest.json"));
    AR_GO(ar_writer_open(&w, path));
    AR_GO(ar_writer_write(w, text, strlen(text)));
    AR_GO(ar_writer_commit(&w));
done:
    ar_writer_abort(&w);
    cJSON_Delete(o);
    free(text);
    free(path);
    return status;
}

static ar_status compare_manifest(const ar_part *p, const ar_part_manifest *m) {
    ar_status status = AR_OK;
    char *path = NULL;
    ar_json *root = NULL;
    AR_GO(ar_path_join(&path, p->dir, "manifest.json"));
    AR_GO(ar_json_open(&root, path, MANIFEST_BYTES));
    for (int32_t i = 0; i < m->count; i++) {
        const char *found = NULL;
        AR_GO(ar_json_string_or(&found, root, m->fields[i].name, "(nothing)", path));
        if (strcmp(found, m->fields[i].value) != 0)
            AR_GO(ar__fail(AR_ERR_USAGE, "%s: cannot resume, %s is '%s' there, expected '%s'", p->dir,
                           m->fields[i].name, found, m->fields[i].value));
    }
done:
    ar_json_close(root);
    free(path);
    return status;
}

ar_status ar__part_recorded(char **value, const char *dir, const char *name) {
    ar_status status = AR_OK;
    char *path = NULL;
    const char *found = "";
    ar_json *root = NULL;
    *value = NULL;
    AR_GO(ar_path_join(&path, dir, "manifest.json"));
    if (ar_path_exists(path)) {
        AR_GO(ar_json_open(&root, path, MANIFEST_BYTES));
        AR_GO(ar_json_string_or(&found, root, name, "", path));
    }
    *value = strdup(found);
    if (!*value) status = ar__fail(AR_ERR_MEMORY, "cannot copy a field of the state");
done:
    ar_json_close(root);
    free(path);
    return status;
}

ar_status ar__part_open(ar_part *p, const char *dir, const ar_part_manifest *manifest, bool resume) {
    char *path = NULL;
    p->dir = strdup(dir);
    if (!p->dir) return ar__fail(AR_ERR_MEMORY, "cannot copy a path");
    AR_TRY(ar_path_join(&path, dir, "manifest.json"));
    bool exists = ar_path_exists(path);
    free(path);
    if (resume && exists) return compare_manifest(p, manifest);
    AR_TRY(ar__workplace_check(dir));
    AR_TRY(ar__workplace_clear(dir));
    AR_TRY(ar_dir_create(dir));
    return write_manifest(p, manifest);
}

void ar__part_close(ar_part *p) {
    free(p->dir);
    p->dir = NULL;
}

ar_status ar__part_remove(ar_part *p) { return ar__workplace_clear(p->dir); }

/* ---- blocks ---- */

static ar_status block_path(const ar_part *p, char **path, int32_t block) {
    char name[40];
    snprintf(name, sizeof name, "block-%05d.safetensors", (int)block);
    return ar_path_join(path, p->dir, name);
}

bool ar__part_finished(const ar_part *p, int32_t block) {
    char *path = NULL;
    if (block_path(p, &path, block) != AR_OK) return false;
    bool exists = ar_path_exists(path);
    free(path);
    return exists;
}

#define PART_TENSORS 5
typedef struct part_tensor {
    const char *suffix, *dtype;
    void *data;
    size_t bytes;
    int64_t cols;
} part_tensor;

/* The tensors one quantized linear is stored as. */
static int32_t list_tensors(part_tensor out[PART_TENSORS], const ar_qlinear *q) {
    size_t elems = (size_t)(q->O * q->I), groups = (size_t)(q->O * q->groups),
           supers = (size_t)(q->O * q->supers);
    out[0] = (part_tensor){"codes", "U8", q->codes, elems, q->I};
    if (q->scheme.super != AR_SUPER_NONE) {
        out[1] = (part_tensor){"d", "F16", q->d, supers * 2, q->supers};
        out[2] = (part_tensor){"sub_scales", "I8", q->sub_scales, groups, q->groups};
        out[3] = (part_tensor){"dmin", "F16", q->dmin, supers * 2, q->supers};
        out[4] = (part_tensor){"sub_mins", "U8", q->sub_mins, groups, q->groups};
        return q->dmin ? 5 : 3;
    }
    out[1] = (part_tensor){"scales", "F16", q->scales, groups * 2, q->groups};
    out[2] = (part_tensor){"zeros", "U8", q->zeros, groups, q->groups};
    out[3] = (part_tensor){"mins", "F16", q->mins, groups * 2, q->groups};
    return q->mins ? 4 : 3;
}

/* The names of safetensors' types, by ar_dtype. */
static const char *const dtype_names[AR_DTYPE_COUNT] = {
    [AR_F32] = "F32", [AR_F16] = "F16", [AR_BF16] = "BF16", [AR_I32] = "I32",
    [AR_U32] = "U32", [AR_I16] = "I16", [AR_U8] = "U8"};

/* "self_attn.q_proj.extra.NAME" */
static void extra_name(char out[160], const char *linear, const char *name) {
    snprintf(out, 160, "%s.extra.%s", linear, name);
}

static ar_status declare_extras(ar_st_writer *w, const ar_linear *lin, const ar_qlinear *q) {
    char name[160];
    for (int32_t k = 0; k < q->extra_count; k++) {
        const ar_extra *e = &q->extras[k];
        extra_name(name, lin->name, e->name);
        AR_TRY(ar_st_writer_declare(w, name, dtype_names[e->dtype], e->dim_count, e->dims));
    }
    return AR_OK;
}

static ar_status load_extras(ar_qlinear *q, const ar_safetensors *st, const ar_linear *lin) {
    char prefix[160];
    extra_name(prefix, lin->name, "");
    for (int64_t i = 0; i < ar_safetensors_count(st); i++) {
        const ar_st_tensor *t = ar_safetensors_at(st, i);
        int dtype = 0;
        if (strncmp(t->name, prefix, strlen(prefix)) != 0) continue;
        while (dtype < AR_DTYPE_COUNT && strcmp(dtype_names[dtype], t->dtype) != 0) dtype++;
        if (dtype == AR_DTYPE_COUNT)
            return ar__fail(AR_ERR_FORMAT, "state: tensor %s: found type %s, expected f32 to u8", t->name,
                            t->dtype);
        AR_TRY(ar_qlinear_add_extra(q, t->name + strlen(prefix), (ar_dtype)dtype, t->dim_count, t->dims,
                                    t->data));
    }
    return AR_OK;
}

static ar_status declare_block(ar_st_writer *w, const ar_block *block, ar_qlinear *const *linears,
                               const ar_block_report *report) {
    char text[400], name[160];
    snprintf(text, sizeof text, "%.17g %.17g %.17g %.17g %.17g %d %llu", report->loss_first,
             report->loss_best, report->heldout_first, report->heldout_best, report->seconds,
             (int)report->best_step, (unsigned long long)report->device_bytes);
    AR_TRY(ar_st_writer_metadata(w, "report", text));
    for (int32_t i = 0; i < block->linear_count; i++) {
        if (!linears[i]) continue;
        const ar_scheme *s = &linears[i]->scheme;
        snprintf(name, sizeof name, "%s.scheme", block->linears[i].name);
        snprintf(text, sizeof text, "%d %d %d %d %d", (int)s->bits, (int)s->group, (int)s->zero,
                 (int)s->zero_min, (int)s->super);
        AR_TRY(ar_st_writer_metadata(w, name, text));
        part_tensor list[PART_TENSORS];
        int32_t count = list_tensors(list, linears[i]);
        for (int32_t k = 0; k < count; k++) {
            snprintf(name, sizeof name, "%s.%s", block->linears[i].name, list[k].suffix);
            AR_TRY(ar_st_writer_declare(w, name, list[k].dtype, 2,
                                        (const int64_t[]){linears[i]->O, list[k].cols}));
        }
        AR_TRY(declare_extras(w, &block->linears[i], linears[i]));
    }
    if (report->history)
        AR_TRY(ar_st_writer_declare(w, "history", "F32", 1, (const int64_t[]){report->step_count}));
    return AR_OK;
}

ar_status ar__part_write(const ar_part *p, const ar_block *block, ar_qlinear *const *linears,
                         const ar_block_report *report) {
    ar_status status = AR_OK;
    char *path = NULL;
    ar_st_writer *w = NULL;
    AR_GO(block_path(p, &path, block->index));
    AR_GO(ar_st_writer_create(&w));
    AR_GO(declare_block(w, block, linears, report));
    AR_GO(ar_st_writer_begin(w, path));
    for (int32_t i = 0; i < block->linear_count; i++) {
        if (!linears[i]) continue;
        part_tensor list[PART_TENSORS];
        int32_t count = list_tensors(list, linears[i]);
        for (int32_t k = 0; k < count; k++) AR_GO(ar_st_writer_data(w, list[k].data, list[k].bytes));
        for (int32_t k = 0; k < linears[i]->extra_count; k++)
            AR_GO(ar_st_writer_data(w, linears[i]->extras[k].data, ar_extra_bytes(&linears[i]->extras[k])));
    }
    if (report->history)
        AR_GO(ar_st_writer_data(w, report->history, (size_t)report->step_count * sizeof(float)));
    AR_GO(ar_st_writer_finish(&w));
done:
    ar_st_writer_abort(&w);
    free(path);
    return status;
}

static ar_status copy_tensor(const ar_safetensors *st, const char *linear, const part_tensor *t) {
    char name[160];
    snprintf(name, sizeof name, "%s.%s", linear, t->suffix);
    const ar_st_tensor *found = ar_safetensors_find(st, name);
    if (!found || strcmp(found->dtype, t->dtype) != 0 || found->bytes != t->bytes)
        return ar__fail(AR_ERR_FORMAT, "state: tensor %s: found %llu bytes, expected %zu of %s", name,
                        found ? (unsigned long long)found->bytes : 0, t->bytes, t->dtype);
    memcpy(t->data, found->data, t->bytes);
    return AR_OK;
}

/* One linear out of an opened block file; *q stays NULL if it was kept float. */
static ar_status load_linear(const ar_safetensors *st, const ar_linear *lin, ar_qlinear **q) {
    char name[160];
    int bits, group, zero, zero_min, super;
    snprintf(name, sizeof name, "%s.scheme", lin->name);
    const char *text = ar_safetensors_metadata(st, name);
    *q = NULL;
    if (!text) return AR_OK;
    if (sscanf(text, "%d %d %d %d %d", &bits, &group, &zero, &zero_min, &super) != 5)
        return ar__fail(AR_ERR_FORMAT, "state: %s: found '%s', expected five numbers", name, text);
    ar_qlinear *made = ar__alloc(1, sizeof *made);
    if (!made) return AR_ERR_MEMORY;
    ar_scheme scheme = {bits, group, (ar_zero_kind)zero, zero_min, (ar_super)super};
    ar_status status = ar_qlinear_init(made, &scheme, lin->O, lin->I);
    part_tensor list[PART_TENSORS];
    int32_t count = status == AR_OK ? list_tensors(list, made) : 0;
    for (int32_t k = 0; status == AR_OK && k < count; k++) status = copy_tensor(st, lin->name, &list[k]);
    if (status == AR_OK) status = load_extras(made, st, lin);
    if (status != AR_OK) {
        ar_qlinear_free(made);
        return status;
    }
    *q = made;
    return AR_OK;
}

static ar_status open_block(const ar_part *p, ar_safetensors **st, int32_t block) {
    char *path = NULL;
    AR_TRY(block_path(p, &path, block));
    ar_status status = ar_safetensors_open(st, path);
    free(path);
    return status;
}

ar_status ar__part_load(const ar_part *p, const ar_block *block, ar_qlinear **list) {
    ar_safetensors *st = NULL;
    AR_TRY(open_block(p, &st, block->index));
    ar_status status = AR_OK;
    for (int32_t i = 0; status == AR_OK && i < block->linear_count; i++)
        status = load_linear(st, &block->linears[i], &list[i]);
    ar_safetensors_close(st);
    return status;
}

ar_status ar__part_linear(const ar_part *p, const ar_block *block, ar_qlinear **q, int32_t i) {
    ar_safetensors *st = NULL;
    AR_TRY(open_block(p, &st, block->index));
    ar_status status = load_linear(st, &block->linears[i], q);
    ar_safetensors_close(st);
    return status;
}

ar_status ar__part_report(const ar_part *p, ar_block_report *r, float **history, int32_t block) {
    ar_safetensors *st = NULL;
    *r = (ar_block_report){.block = block};
    *history = NULL;
    AR_TRY(open_block(p, &st, block));
    ar_status status = AR_OK;
    const char *text = ar_safetensors_metadata(st, "report");
    unsigned long long bytes = 0;
    int best = 0;
    if (!text || sscanf(text, "%lf %lf %lf %lf %lf %d %llu", &r->loss_first, &r->loss_best, &r->heldout_first,
                        &r->heldout_best, &r->seconds, &best, &bytes) != 7)
        AR_GO(ar__fail(AR_ERR_FORMAT, "state: block %d: report missing or damaged", (int)block));
    r->best_step = best;
    r->device_bytes = bytes;
    const ar_st_tensor *h = ar_safetensors_find(st, "history");
    if (h && strcmp(h->dtype, "F32") == 0 && h->dim_count == 1 && h->bytes > 0) {
        *history = ar__alloc(1, (size_t)h->bytes);
        if (!*history) AR_GO(AR_ERR_MEMORY);
        memcpy(*history, h->data, (size_t)h->bytes);
        r->history = *history;
        r->step_count = (int32_t)h->dims[0];
    }
done:
    ar_safetensors_close(st);
    return status;
}
