/* Outputs of a run; see output.h. */
#include "output.h"
#include "ar_error.h"
#include "fmt_gguf.h"
#include "formats.h"
#include "hf_folder.h"
#include "passport.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- places ---- */

ar_status ar__output_path(char **path, const ar_output_plan *plan, const char *out, int32_t i) {
    const ar_format *f = ar_format_find(plan->formats[i]);
    if (plan->format_count > 1) return ar_path_join(path, out, f->is_folder ? f->name : "model.gguf");
    *path = strdup(out);
    return *path ? AR_OK : ar__fail(AR_ERR_MEMORY, "cannot copy a path");
}

static int not_hidden(const struct dirent *e) { return e->d_name[0] != '.'; }

uint64_t ar__output_bytes(const char *path) {
    if (!ar_path_is_dir(path)) {
        ar_file f = {0};
        if (ar_file_open(&f, path) != AR_OK) return 0;
        uint64_t bytes = f.bytes;
        ar_file_close(&f);
        return bytes;
    }
    uint64_t sum = 0;
    struct dirent **list = NULL;
    int n = scandir(path, &list, not_hidden, alphasort);
    for (int i = 0; i < n; i++) {
        char *file = NULL;
        if (ar_path_join(&file, path, list[i]->d_name) == AR_OK) sum += ar__output_bytes(file);
        free(file);
        free(list[i]);
    }
    free(list);
    return sum;
}

ar_status ar__output_beside(char **path, const char *out, const char *suffix) {
    struct stat at;
    char *folder = NULL, *name = NULL;
    bool through = ar__path_is_through(out), is_fifo = lstat(out, &at) == 0 && S_ISFIFO(at.st_mode);
    ar_status status;
    *path = NULL;
    AR_GO(ar__path_split(&folder, &name, out));
    const char *base = through && !is_fifo ? name : out;
    size_t n = strlen(base);
    while (n > 1 && base[n - 1] == '/') n--;
    *path = ar__alloc(n + strlen(suffix) + 1, 1);
    if (!*path) AR_GO(AR_ERR_MEMORY);
    memcpy(*path, base, n);
    memcpy(*path + n, suffix, strlen(suffix) + 1);
done:
    free(folder);
    free(name);
    return status;
}

/* ---- checks ---- */

/* Can something be made beside path? Tries, and takes it away again. */
static ar_status check_around(const char *path) {
    ar_status status = AR_OK;
    char *end = NULL, *folder = NULL, *name = NULL, *probe = NULL;
    if (ar__path_is_through(path)) return AR_OK;
    AR_TRY(ar__path_resolve(&end, path));
    AR_GO(ar__path_split(&folder, &name, end));
    if (!ar_path_exists(folder))
        AR_GO(ar__fail(AR_ERR_IO, "%s: cannot be written: its folder %s does not exist", path, folder));
    if (!ar_path_is_dir(folder))
        AR_GO(ar__fail(AR_ERR_IO, "%s: cannot be written: %s is no folder", path, folder));
    AR_GO(ar_path_join(&probe, folder, ".anyround-XXXXXX"));
    if (!mkdtemp(probe))
        AR_GO(ar__fail(AR_ERR_IO, "%s: cannot be written: nothing can be created in %s: %s", path, folder,
                       strerror(errno)));
    AR_GO(ar_dir_remove(probe));
done:
    free(end);
    free(folder);
    free(name);
    free(probe);
    return status;
}

static ar_status check_place(const char *path, const ar_format *f, const char *model_path) {
    AR_TRY(ar__path_check_inputs(path, f->is_folder, &(ar_input){model_path, "the model"}, 1));
    if (f->is_folder) return ar__hf_folder_check(path, model_path);
    if (ar_path_is_dir(path))
        return ar__fail(AR_ERR_IO, "%s: found a folder, expected a file to write or nothing", path);
    if (path[0] && path[strlen(path) - 1] == '/')
        return ar__fail(AR_ERR_IO, "%s: found the name of a folder, expected a file's", path);
    return AR_OK;
}

ar_status ar__output_accepts(const ar_output_plan *plan, const ar_open_model *m) {
    for (int32_t i = 0; i < plan->format_count; i++) {
        const ar_format *f = ar_format_find(plan->formats[i]);
        if (f->accepts) AR_TRY(f->accepts(m, plan));
    }
    return AR_OK;
}

ar_status ar__output_remarks(ar_notes *notes, const ar_output_plan *plan, const ar_open_model *m) {
    for (int32_t i = 0; i < plan->format_count; i++) {
        const ar_format *f = ar_format_find(plan->formats[i]);
        if (f->remarks) AR_TRY(f->remarks(notes, m, plan));
    }
    return AR_OK;
}

ar_status ar__output_check(const ar_output_plan *plan, const char *out, const char *model_path) {
    if (!out[0]) return ar__fail(AR_ERR_IO, "the output's name is empty, expected a file or folder");
    AR_TRY(check_around(out));
    if (plan->format_count > 1 && ar_path_exists(out)) {
        char *inside = NULL;
        if (!ar_path_is_dir(out))
            return ar__fail(AR_ERR_IO, "%s: found a file, expected a folder or nothing for several formats",
                            out);
        AR_TRY(ar_path_join(&inside, out, "formats"));
        ar_status status = check_around(inside);
        free(inside);
        AR_TRY(status);
    }
    for (int32_t i = 0; i < plan->format_count; i++) {
        char *path = NULL;
        AR_TRY(ar__output_path(&path, plan, out, i));
        ar_status status = check_place(path, ar_format_find(plan->formats[i]), model_path);
        free(path);
        AR_TRY(status);
    }
    return AR_OK;
}

ar_status ar__output_check_inputs(const ar_output_plan *plan, const char *out, const ar_input *inputs,
                                  int32_t count) {
    for (int32_t i = 0; i < plan->format_count; i++) {
        char *path = NULL;
        AR_TRY(ar__output_path(&path, plan, out, i));
        ar_status status =
            ar__path_check_inputs(path, ar_format_find(plan->formats[i])->is_folder, inputs, count);
        free(path);
        AR_TRY(status);
    }
    return AR_OK;
}

/* The same, also where neither exists yet. */
static bool is_one_place(const char *a, const char *b) {
    char *end_a = NULL, *end_b = NULL, *whole_a = NULL, *whole_b = NULL;
    bool same = false;
    if (ar__path_resolve(&end_a, a) == AR_OK && ar__path_resolve(&end_b, b) == AR_OK) {
        whole_a = ar__path_canonical(end_a);
        whole_b = ar__path_canonical(end_b);
        same = ar__path_is_same(a, b) || (whole_a && whole_b && strcmp(whole_a, whole_b) == 0);
    }
    free(end_a);
    free(end_b);
    free(whole_a);
    free(whole_b);
    return same;
}

ar_status ar__output_check_file(const char *option, const char *path, const char *out) {
    if (!path[0] || ar_path_is_dir(path))
        return ar__fail(AR_ERR_IO, "%s %s: found a folder, expected a file to write", option, path);
    AR_TRY(check_around(path));
    if (out && !ar__path_is_through(path) && is_one_place(path, out))
        return ar__fail(AR_ERR_USAGE, "%s %s: found the output itself, expected another file", option, path);
    return AR_OK;
}

/* A file beside the place `path` of a format: not the place itself, nor in a folder that is replaced. */
static ar_status check_apart(const char *option, const char *file, const char *path, bool is_folder) {
    if (ar__path_is_through(file)) return AR_OK;
    if (is_one_place(file, path))
        return ar__fail(AR_ERR_USAGE, "%s %s: found the output itself, expected another file", option, file);
    if (is_folder && ar__path_is_within(file, path))
        return ar__fail(AR_ERR_IO, "%s %s: lies in %s, which is replaced; expected another place", option,
                        file, path);
    return AR_OK;
}

ar_status ar__output_check_beside(const char *option, const char *file, const ar_output_plan *plan,
                                  const char *out, const char *state) {
    AR_TRY(ar__output_check_file(option, file, out));
    if (ar__path_is_within(file, state) || is_one_place(file, state))
        return ar__fail(AR_ERR_IO, "%s %s: lies in %s, which is removed; expected another place", option,
                        file, state);
    for (int32_t i = 0; i < plan->format_count; i++) {
        char *path = NULL;
        AR_TRY(ar__output_path(&path, plan, out, i));
        ar_status status = check_apart(option, file, path, ar_format_find(plan->formats[i])->is_folder);
        free(path);
        AR_TRY(status);
    }
    return AR_OK;
}

ar_status ar__output_check_two(const char *option, const char *file, const char *other_option,
                               const char *other) {
    if (!file || !other || ar__path_is_through(file) || !is_one_place(file, other)) return AR_OK;
    return ar__fail(AR_ERR_USAGE, "%s, %s: found one file for both, %s", option, other_option, file);
}

double ar__output_weights(const ar_model *m) {
    double sum = (double)m->vocab * (double)m->hidden * (m->tied_head ? 1 : 2);
    if (m->read_positions) sum += (double)m->max_tokens * (double)m->hidden;
    for (int32_t b = 0; b < m->block_count; b++)
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++)
            sum += (double)m->blocks[b].linears[i].O * (double)m->blocks[b].linears[i].I;
    return sum;
}

/* ---- writing ---- */

/* A format's source: what it cannot hold never reaches it. */
typedef struct guarded {
    const ar_write_source *src;
    const ar_format *format;
    ar_storage storage;
} guarded;

static ar_status guarded_linear(void *ctx, ar_qlinear **q, int32_t block, int32_t i) {
    const guarded *g = ctx;
    AR_TRY(g->src->linear(g->src->ctx, q, block, i));
    for (int32_t k = 0; *q && k < (*q)->extra_count; k++)
        if (!ar__storage_holds_extra(&g->storage, (*q)->extras[k].name)) {
            ar_status status = ar__fail(AR_ERR_UNSUPPORTED, "%s cannot hold %s, which block %d has",
                                        g->format->name, (*q)->extras[k].name, (int)block);
            ar_qlinear_free(*q);
            *q = NULL;
            return status;
        }
    return AR_OK;
}

static bool guarded_scheme(void *ctx, const ar_block *block, int32_t i, ar_scheme *scheme) {
    return ar__source_scheme(scheme, ((const guarded *)ctx)->src, block, i);
}

ar_status ar__output_size(ar_output_size *size, const ar_write_source *src, int32_t i) {
    return ar_format_find(src->plan->formats[i])->size(size, src);
}

/* Work of one format: it writes its values, rounding some, and compares them all. */
static double work_of(const ar_output_size *s) {
    return 2.0 * (double)s->values + AR_ROUNDING_WORK * (double)s->rounded;
}

/* What the file at path says of itself, once it can be measured. It is measured as it says, quantized inputs
 * among that, so that a folder says it before. */
static ar_status stamp(const char *path, const ar_write_source *src, const ar_format *f) {
    if (!src->passport) return AR_OK;
    ar_passport passport = *src->passport;
    if (f->is_folder) AR_TRY(ar__passport_write(path, &passport, src));
    if (!src->measure) return AR_OK;
    AR_TRY(src->measure(src->ctx, &passport, path));
    return f->is_folder ? ar__passport_write(path, &passport, src) : ar__gguf_stamp(path, &passport);
}

/* Writes format i and compares it; its part of the work is done then, however much of it was told. */
static ar_status write_format(const char *staging, const ar_write_source *src, int32_t i,
                              ar_write_progress *progress) {
    const ar_format *f = ar_format_find(src->plan->formats[i]);
    guarded g = {.src = src, .format = f};
    ar_write_source source = *src;
    ar_write_memo memo = {0};
    ar_output_size size;
    char *path = NULL;
    ar_status status;
    source.linear = guarded_linear;
    source.scheme = guarded_scheme;
    source.ctx = &g;
    source.memo = &memo;
    source.progress = progress;
    AR_GO(f->storage(&g.storage, src->plan));
    AR_GO(ar__output_size(&size, src, i));
    double end = progress->done + work_of(&size);
    AR_GO(ar_path_join(&path, staging, f->name));
    AR_GO(f->write(path, &source));
    AR_GO(f->verify(path, &source));
    if (src->correct && f->is_folder) AR_GO(src->correct(src->ctx, path));
    AR_GO(stamp(path, src, f));
    progress->done = end;
    AR_GO(ar__source_advance(&source, 0));
done:
    ar_write_memo_deinit(&memo);
    free(path);
    return status;
}

static ar_status write_staged(const char *staging, const ar_write_source *src, const ar_observer *observer) {
    ar_write_progress progress = {.observer = observer};
    for (int32_t i = 0; i < src->plan->format_count; i++) {
        ar_output_size size;
        AR_TRY(ar__output_size(&size, src, i));
        progress.total += work_of(&size);
    }
    for (int32_t i = 0; i < src->plan->format_count; i++) AR_TRY(write_format(staging, src, i, &progress));
    return AR_OK;
}

static ar_status place_all(const char *out, const char *staging, const ar_write_source *src) {
    if (src->plan->format_count > 1) AR_TRY(ar_dir_create(out));
    for (int32_t i = 0; i < src->plan->format_count; i++) {
        const ar_format *f = ar_format_find(src->plan->formats[i]);
        char *made = NULL, *path = NULL;
        ar_status status = ar_path_join(&made, staging, f->name);
        if (status == AR_OK) status = ar__output_path(&path, src->plan, out, i);
        if (status == AR_OK) status = check_place(path, f, src->model->path); /* hours may have passed */
        if (status == AR_OK)
            status = f->is_folder ? ar__hf_folder_place(path, made) : ar_path_move(made, path);
        free(made);
        free(path);
        AR_TRY(status);
    }
    return AR_OK;
}

ar_status ar__output_write(const char *out, const char *staging, const ar_write_source *src,
                           const ar_observer *observer) {
    AR_TRY(ar_dir_remove(staging));
    AR_TRY(ar_dir_create(staging));
    ar_status status = write_staged(staging, src, observer);
    status = ar_snapshot_end(ar_snapshot_end(status, &src->model->files), src->texts);
    if (status == AR_OK) status = place_all(out, staging, src);
    if (status == AR_OK) return ar_dir_remove(staging);
    char reason[512];
    snprintf(reason, sizeof reason, "%s", ar_error());
    ar_dir_remove(staging);
    return ar__fail(status, "%s", reason);
}
