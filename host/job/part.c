/* The state folder of a quantization; see part.h. */
#include "part.h"
#include "ar_error.h"
#include "workplace.h"
#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MANIFEST_BYTES ((size_t)1 << 20)

/* ---- checksums ---- */

#define CHECKSUM   "checksum"
#define HASH_START 0xcbf29ce484222325u

/* With its end, so that "ab", "c" is not "a", "bc". */
static uint64_t hash_text(uint64_t hash, const char *text) { return ar_hash64(hash, text, strlen(text) + 1); }

/* Of one tensor; those of a file are added up, for a file has an order of its own. */
static uint64_t hash_tensor(const char *name, const char *dtype, const int64_t *dims, int32_t dim_count,
                            const void *data, size_t bytes) {
    uint64_t hash = hash_text(hash_text(HASH_START, name), dtype);
    hash = ar_hash64(hash, dims, (size_t)dim_count * sizeof *dims);
    return ar_hash64(hash, data, bytes);
}

static uint64_t hash_manifest(const ar_part_manifest *m) {
    uint64_t hash = HASH_START;
    for (int32_t i = 0; i < m->count; i++)
        hash = hash_text(hash_text(hash, m->fields[i].name), m->fields[i].value);
    return hash;
}

void ar__part_remark(const ar_part *p, const char *format, ...) {
    char line[600];
    va_list args;
    if (!p->observer || !p->observer->warn) return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    p->observer->warn(p->observer->ctx, line);
}

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
    char *path = NULL, *text = NULL, sum[20];
    ar_writer *w = NULL;
    cJSON *o = cJSON_CreateObject();
    snprintf(sum, sizeof sum, "%016llx", (unsigned long long)hash_manifest(m));
    for (int32_t i = 0; i < m->count; i++) ar_json_add_string(o, m->fields[i].name, m->fields[i].value);
    ar_json_add_string(o, CHECKSUM, sum);
    AR_GO(ar_json_print(&text, o, true, "manifest.json"));
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

/* Does the manifest say what was written? Its checksum is over all strings before it, in order. */
static bool is_whole(const ar_json *root) {
    uint64_t hash = HASH_START;
    const cJSON *last = NULL;
    char sum[20];
    if (!cJSON_IsObject(root)) return false;
    for (const cJSON *item = root->child; item; item = item->next) {
        last = item;
        if (!cJSON_IsString(item)) return false;
        if (item->next) hash = hash_text(hash_text(hash, item->string), item->valuestring);
    }
    snprintf(sum, sizeof sum, "%016llx", (unsigned long long)hash);
    return last && strcmp(last->string, CHECKSUM) == 0 && strcmp(last->valuestring, sum) == 0;
}

/* *root stays NULL where there is no manifest, or a damaged one. Errors: IO, MEMORY. */
static ar_status open_manifest(ar_json **root, const char *dir) {
    char *path = NULL;
    *root = NULL;
    AR_TRY(ar_path_join(&path, dir, "manifest.json"));
    ar_status status = ar_path_exists(path) ? ar_json_open(root, path, MANIFEST_BYTES) : AR_OK;
    free(path);
    if (status == AR_ERR_FORMAT) return AR_OK;
    AR_TRY(status);
    if (!*root || is_whole(*root)) return AR_OK;
    ar_json_close(*root);
    *root = NULL;
    return AR_OK;
}

static ar_status compare_manifest(const ar_part *p, const ar_json *root, const ar_part_manifest *m) {
    for (int32_t i = 0; i < m->count; i++) {
        const char *found = NULL;
        AR_TRY(ar_json_string_or(&found, root, m->fields[i].name, "(nothing)", p->dir));
        if (strcmp(found, m->fields[i].value) != 0)
            return ar__fail(AR_ERR_USAGE, "%s: cannot resume, %s is '%s' there, expected '%s'", p->dir,
                            m->fields[i].name, found, m->fields[i].value);
    }
    return AR_OK;
}

ar_status ar__part_recorded(char **value, const char *dir, const char *name) {
    ar_status status = AR_OK;
    const char *found = "";
    ar_json *root = NULL;
    *value = NULL;
    AR_GO(open_manifest(&root, dir));
    if (root) AR_GO(ar_json_string_or(&found, root, name, "", dir));
    AR_GO(ar_path_join(value, "", found));
done:
    ar_json_close(root);
    return status;
}

/* The state there is: *goes_on where it was begun by a run like this one. Where the manifest is damaged the
 * blocks still say, by their checksums, whether they are of one. */
static ar_status look_at_state(const ar_part *p, bool *goes_on, const ar_part_manifest *manifest) {
    char *path = NULL;
    ar_json *root = NULL;
    AR_TRY(ar_path_join(&path, p->dir, "manifest.json"));
    bool exists = ar_path_exists(path);
    free(path);
    AR_TRY(open_manifest(&root, p->dir));
    *goes_on = root != NULL;
    ar_status status = root ? compare_manifest(p, root, manifest) : AR_OK;
    ar_json_close(root);
    int32_t kept = ar__part_count(p->dir);
    if (!root && !exists && kept == 0) ar__part_remark(p, "%s: no state to resume, starts anew", p->dir);
    if (!root && (exists || kept > 0))
        ar__part_remark(p, "%s/manifest.json is %s: written anew, each of %d blocks is checked", p->dir,
                        exists ? "damaged" : "missing", (int)kept);
    return status;
}

static ar_status init(ar_part *p, const char *dir, const char *kind, uint64_t salt, const ar_observer *o) {
    *p = (ar_part){.observer = o, .salt = salt, .kind = kind};
    p->seen = ar__alloc(1, sizeof *p->seen);
    p->dir = ar__alloc(strlen(dir) + 1, 1);
    if (!p->dir || !p->seen) return AR_ERR_MEMORY;
    memcpy(p->dir, dir, strlen(dir));
    return AR_OK;
}

ar_status ar__part_scales(ar_part *scales, const ar_part *p) {
    return init(scales, p->dir, "scales", p->salt, p->observer);
}

ar_status ar__part_open(ar_part *p, const char *dir, const ar_part_manifest *manifest, bool resume,
                        const ar_observer *observer) {
    bool goes_on = false;
    AR_TRY(init(p, dir, "block", hash_manifest(manifest), observer));
    if (resume) AR_TRY(look_at_state(p, &goes_on, manifest));
    if (goes_on) return AR_OK;
    AR_TRY(ar__workplace_check(dir));
    if (!resume) AR_TRY(ar__workplace_clear(dir));
    AR_TRY(ar_dir_create(dir));
    return write_manifest(p, manifest);
}

void ar__part_close(ar_part *p) {
    if (p->seen) free(p->seen->files);
    free(p->seen);
    free(p->dir);
    *p = (ar_part){0};
}

ar_status ar__part_remove(ar_part *p) { return ar__workplace_clear(p->dir); }

/* ---- blocks ---- */

static ar_status block_path(const ar_part *p, char **path, int32_t block) {
    char name[40];
    snprintf(name, sizeof name, "%s-%05d.safetensors", p->kind, (int)block);
    return ar_path_join(path, p->dir, name);
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

static ar_status declare(ar_st_writer *w, uint64_t *hash, const char *name, const char *dtype,
                         const int64_t *dims, int32_t dim_count, const void *data, size_t bytes) {
    *hash += hash_tensor(name, dtype, dims, dim_count, data, bytes);
    return ar_st_writer_declare(w, name, dtype, dim_count, dims);
}

static ar_status say(ar_st_writer *w, uint64_t *hash, const char *key, const char *value) {
    *hash = hash_text(hash_text(*hash, key), value);
    return ar_st_writer_metadata(w, key, value);
}

static ar_status declare_extras(ar_st_writer *w, uint64_t *hash, const ar_linear *lin, const ar_qlinear *q) {
    char name[160];
    for (int32_t k = 0; k < q->extra_count; k++) {
        const ar_extra *e = &q->extras[k];
        extra_name(name, lin->name, e->name);
        AR_TRY(
            declare(w, hash, name, dtype_names[e->dtype], e->dims, e->dim_count, e->data, ar_extra_bytes(e)));
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

/* What the block's file says beside its tensors. */
static ar_status say_all(ar_st_writer *w, uint64_t *hash, const ar_block *block, ar_qlinear *const *linears,
                         const ar_block_report *report) {
    char text[400], name[160];
    snprintf(text, sizeof text, "%d", (int)block->index);
    AR_TRY(say(w, hash, "block", text));
    const ar_window_span *at = &report->window;
    snprintf(text, sizeof text, "%.17g %.17g %.17g %.17g %.17g %.17g %d %llu %d %d %d %d", report->loss_first,
             report->loss_best, report->heldout_nearest, report->heldout_first, report->heldout_best,
             report->seconds, (int)report->best_step, (unsigned long long)report->device_bytes,
             (int)at->first, (int)at->count, (int)at->ahead, (int)at->done);
    AR_TRY(say(w, hash, "report", text));
    for (int32_t i = 0; i < block->linear_count; i++) {
        if (!linears[i]) continue;
        const ar_scheme *s = &linears[i]->scheme;
        snprintf(name, sizeof name, "%s.scheme", block->linears[i].name);
        snprintf(text, sizeof text, "%d %d %d %d %d", (int)s->bits, (int)s->group, (int)s->zero,
                 (int)s->zero_min, (int)s->super);
        AR_TRY(say(w, hash, name, text));
    }
    return AR_OK;
}

static ar_status declare_block(ar_st_writer *w, uint64_t *hash, const ar_block *block,
                               ar_qlinear *const *linears, const ar_block_report *report) {
    char name[160];
    for (int32_t i = 0; i < block->linear_count; i++) {
        if (!linears[i]) continue;
        part_tensor list[PART_TENSORS];
        int32_t count = list_tensors(list, linears[i]);
        for (int32_t k = 0; k < count; k++) {
            snprintf(name, sizeof name, "%s.%s", block->linears[i].name, list[k].suffix);
            AR_TRY(declare(w, hash, name, list[k].dtype, (const int64_t[]){linears[i]->O, list[k].cols}, 2,
                           list[k].data, list[k].bytes));
        }
        AR_TRY(declare_extras(w, hash, &block->linears[i], linears[i]));
    }
    if (!report->history) return AR_OK;
    return declare(w, hash, "history", "F32", (const int64_t[]){report->step_count}, 1, report->history,
                   (size_t)report->step_count * sizeof(float));
}

ar_status ar__part_file_write(const ar_part *p, const char *path, const ar_block *block,
                              ar_qlinear *const *linears, const ar_block_report *report) {
    ar_status status = AR_OK;
    char sum[20];
    uint64_t hash = p->salt;
    ar_st_writer *w = NULL;
    AR_GO(ar_st_writer_create(&w));
    AR_GO(say_all(w, &hash, block, linears, report));
    AR_GO(declare_block(w, &hash, block, linears, report));
    snprintf(sum, sizeof sum, "%016llx", (unsigned long long)hash);
    AR_GO(ar_st_writer_metadata(w, CHECKSUM, sum));
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
    return status;
}

ar_status ar__part_write(const ar_part *p, const ar_block *block, ar_qlinear *const *linears,
                         const ar_block_report *report) {
    char *path = NULL;
    AR_TRY(block_path(p, &path, block->index));
    ar_status status = ar__part_file_write(p, path, block, linears, report);
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

/* Does the file hold what was written, of this block, by a run with this manifest? */
static bool is_undamaged(const ar_part *p, const ar_safetensors *st, int32_t block) {
    const char *key, *value, *found = ar_safetensors_metadata(st, CHECKSUM),
                             *own = ar_safetensors_metadata(st, "block");
    uint64_t hash = p->salt;
    char sum[20], name[12];
    snprintf(name, sizeof name, "%d", (int)block);
    if (!found || !own || strcmp(own, name) != 0) return false;
    for (int64_t i = 0; (key = ar_safetensors_metadata_at(st, &value, i)); i++)
        if (strcmp(key, CHECKSUM) != 0) hash = hash_text(hash_text(hash, key), value);
    for (int64_t i = 0; i < ar_safetensors_count(st); i++) {
        const ar_st_tensor *t = ar_safetensors_at(st, i);
        hash += hash_tensor(t->name, t->dtype, t->dims, t->dim_count, t->data, (size_t)t->bytes);
    }
    snprintf(sum, sizeof sum, "%016llx", (unsigned long long)hash);
    return strcmp(found, sum) == 0;
}

static bool is_same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Where the file of a block that was found undamaged is remembered. */
static ar_status seen_file(struct stat **file, ar_part_seen *seen, int32_t block) {
    if (block >= seen->count) {
        int32_t count = block < 31 ? 32 : 2 * (block + 1);
        struct stat *files = ar__alloc((size_t)count, sizeof *files);
        if (!files) return AR_ERR_MEMORY;
        if (seen->count) memcpy(files, seen->files, (size_t)seen->count * sizeof *files);
        free(seen->files);
        seen->files = files;
        seen->count = count;
    }
    *file = &seen->files[block];
    return AR_OK;
}

ar_status ar__part_file_open(const ar_part *p, ar_safetensors **st, const char *path, struct stat *seen,
                             int32_t block) {
    struct stat at;
    ar_status status = AR_OK;
    *st = NULL;
    if (stat(path, &at) != 0) AR_GO(ar__fail(AR_ERR_IO, "%s: cannot stat: %s", path, strerror(errno)));
    status = ar_safetensors_open(st, path);
    bool damaged = status == AR_ERR_FORMAT ||
                   (status == AR_OK && !is_same_file(seen, &at) && !is_undamaged(p, *st, block));
    if (status == AR_OK && !damaged) *seen = at;
    if (damaged) status = ar__fail(AR_ERR_CHECK, "%s: found a damaged file of the state", path);
done:
    if (status != AR_OK) {
        ar_safetensors_close(*st);
        *st = NULL;
    }
    return status;
}

static ar_status open_block(const ar_part *p, ar_safetensors **st, int32_t block) {
    char *path = NULL;
    struct stat *seen = NULL;
    *st = NULL;
    AR_TRY(block_path(p, &path, block));
    ar_status status = seen_file(&seen, p->seen, block);
    if (status == AR_OK) status = ar__part_file_open(p, st, path, seen, block);
    free(path);
    return status;
}

int32_t ar__part_count(const char *dir) {
    int32_t count = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        int block, end = 0;
        count +=
            sscanf(e->d_name, "block-%5d.safetensors%n", &block, &end) == 1 && end > 0 && !e->d_name[end];
    }
    if (d) closedir(d);
    return count;
}

bool ar__part_finished(const ar_part *p, int32_t block) {
    char *path = NULL;
    ar_safetensors *st = NULL;
    if (block_path(p, &path, block) != AR_OK) return false;
    ar_status status = ar_path_exists(path) ? open_block(p, &st, block) : AR_ERR_IO;
    if (status == AR_OK)
        ar_safetensors_close(st);
    else if (ar_path_exists(path))
        ar__part_remark(p, "%s: the block is done again", ar_error());
    free(path);
    return status == AR_OK;
}

ar_status ar__part_file_load(ar_qlinear **list, const ar_safetensors *st, const ar_block *block) {
    ar_status status = AR_OK;
    for (int32_t i = 0; status == AR_OK && i < block->linear_count; i++)
        status = load_linear(st, &block->linears[i], &list[i]);
    return status;
}

ar_status ar__part_load(const ar_part *p, const ar_block *block, ar_qlinear **list) {
    ar_safetensors *st = NULL;
    AR_TRY(open_block(p, &st, block->index));
    ar_status status = ar__part_file_load(list, st, block);
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
    int best = 0, at[4];
    if (!text || sscanf(text, "%lf %lf %lf %lf %lf %lf %d %llu %d %d %d %d", &r->loss_first, &r->loss_best,
                        &r->heldout_nearest, &r->heldout_first, &r->heldout_best, &r->seconds, &best, &bytes,
                        &at[0], &at[1], &at[2], &at[3]) != 12)
        AR_GO(ar__fail(AR_ERR_FORMAT, "state: block %d: report missing or damaged", (int)block));
    r->best_step = best;
    r->window = (ar_window_span){at[0], at[1], at[2], at[3], at[1] > 0};
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
