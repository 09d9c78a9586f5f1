/* Outputs of a run; see output.h. */
#include "output.h"
#include "ar_error.h"
#include "hf_folder.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- places ---- */

ar_status ar__output_path(char **path, const ar_output_plan *plan, const char *out, int32_t i) {
    const ar_format *f = ar_format_find(plan->formats[i]);
    if (plan->format_count > 1) return ar_path_join(path, out, f->is_folder ? f->name : "model.gguf");
    *path = strdup(out);
    return *path ? AR_OK : ar__fail(AR_ERR_MEMORY, "cannot copy a path");
}

/* The folder around path ("." for a bare name), and its last name; free both. */
static ar_status split(char **folder, char **name, const char *path) {
    size_t end = strlen(path), start;
    while (end > 1 && path[end - 1] == '/') end--;
    for (start = end; start > 0 && path[start - 1] != '/';) start--;
    size_t parent = start;
    while (parent > 1 && path[parent - 1] == '/') parent--;
    *folder = start > 0 ? strndup(path, parent) : strdup(".");
    *name = strndup(path + start, end - start);
    return *folder && *name ? AR_OK : ar__fail(AR_ERR_MEMORY, "cannot copy a path");
}

/* The absolute path without links, also where the last name does not exist yet; NULL where nothing can be. */
static char *canonical(const char *path) {
    char *folder = NULL, *name = NULL, *base = NULL, *joined = realpath(path, NULL);
    if (!joined && split(&folder, &name, path) == AR_OK && (base = realpath(folder, NULL))) {
        if (ar_path_join(&joined, base, name) != AR_OK) joined = NULL;
    }
    free(folder);
    free(name);
    free(base);
    return joined;
}

/* Is path `outer`, or below it? Both are canonical. */
static bool is_within(const char *path, const char *outer) {
    size_t n = strlen(outer);
    return strncmp(path, outer, n) == 0 &&
           (path[n] == '\0' || path[n] == '/' || (n > 0 && outer[n - 1] == '/'));
}

/* ---- checks ---- */

/* Can something be made beside path? Tries, and takes it away again. */
static ar_status check_around(const char *path) {
    ar_status status = AR_OK;
    char *folder = NULL, *name = NULL, *probe = NULL;
    AR_GO(split(&folder, &name, path));
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
    free(folder);
    free(name);
    free(probe);
    return status;
}

static ar_status check_apart(const char *path, bool is_folder, const char *model_path) {
    ar_status status = AR_OK;
    char *place = canonical(path), *model = canonical(model_path);
    if (place && model && is_within(place, model))
        status = strcmp(place, model) == 0
                     ? ar__fail(AR_ERR_IO, "%s: found the model itself, expected another place", path)
                     : ar__fail(AR_ERR_IO, "%s: lies inside the model, expected a place outside %s", path,
                                model_path);
    if (status == AR_OK && place && model && is_folder && is_within(model, place))
        status =
            ar__fail(AR_ERR_IO, "%s: holds the model, which would be replaced; expected another place", path);
    free(place);
    free(model);
    return status;
}

static ar_status check_place(const char *path, const ar_format *f, const char *model_path) {
    AR_TRY(check_apart(path, f->is_folder, model_path));
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

ar_status ar__output_check_file(const char *option, const char *path, const char *out) {
    ar_status status = AR_OK;
    char *a = NULL, *b = NULL;
    if (!path[0] || ar_path_is_dir(path))
        return ar__fail(AR_ERR_IO, "%s %s: found a folder, expected a file to write", option, path);
    AR_TRY(check_around(path));
    a = canonical(path);
    b = canonical(out);
    if (a && b && strcmp(a, b) == 0)
        status =
            ar__fail(AR_ERR_USAGE, "%s %s: found the output itself, expected another file", option, path);
    free(a);
    free(b);
    return status;
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

static ar_status write_staged(const char *staging, const ar_write_source *src) {
    for (int32_t i = 0; i < src->plan->format_count; i++) {
        const ar_format *f = ar_format_find(src->plan->formats[i]);
        guarded g = {.src = src, .format = f};
        ar_write_source source = *src;
        char *path = NULL;
        source.linear = guarded_linear;
        source.scheme = guarded_scheme;
        source.ctx = &g;
        AR_TRY(f->storage(&g.storage, src->plan));
        AR_TRY(ar_path_join(&path, staging, f->name));
        ar_status status = f->write(path, &source);
        if (status == AR_OK) status = f->verify(path, &source);
        free(path);
        AR_TRY(status);
    }
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

ar_status ar__output_write(const char *out, const char *staging, const ar_write_source *src) {
    AR_TRY(ar_dir_remove(staging));
    AR_TRY(ar_dir_create(staging));
    ar_status status = write_staged(staging, src);
    if (status == AR_OK) status = place_all(out, staging, src);
    if (status == AR_OK) return ar_dir_remove(staging);
    char reason[512];
    snprintf(reason, sizeof reason, "%s", ar_error());
    ar_dir_remove(staging);
    return ar__fail(status, "%s", reason);
}
