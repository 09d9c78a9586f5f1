/* Whether files are still what they were; see ar_files.h. Identity, size and time of change tell, not what
 * they hold: reading the weights again would take as long as much of the work. */
#include "ar_error.h"
#include "ar_host.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A file, or a folder, whose files stand behind it. */
struct ar__seen {
    char *path;
    struct stat at;
};

/* ---- which files ---- */

/* Those that are read of a model folder. Others, such as the log of this run, may come and go. */
static int is_of_model(const struct dirent *e) {
    static const char *const ends[] = {".safetensors", ".json",  ".jinja",      ".model", "merges.txt",
                                       "LICENSE",      "NOTICE", "LICENSE.txt", ".md"};
    size_t n = strlen(e->d_name);
    for (size_t i = 0; e->d_name[0] != '.' && i < sizeof ends / sizeof *ends; i++) {
        size_t m = strlen(ends[i]);
        if (n >= m && strcmp(e->d_name + n - m, ends[i]) == 0) return 1;
    }
    return 0;
}

static ar_status grow(ar_snapshot *s) {
    if (s->count < s->capacity) return AR_OK;
    int32_t capacity = s->capacity ? 2 * s->capacity : 8;
    struct ar__seen *files = ar__alloc((size_t)capacity, sizeof *files);
    if (!files) return AR_ERR_MEMORY;
    if (s->count) memcpy(files, s->files, (size_t)s->count * sizeof *files);
    free(s->files);
    s->files = files;
    s->capacity = capacity;
    return AR_OK;
}

/* What is not there, or neither a file nor a folder, is passed over: whoever opens it says so. */
static ar_status add(ar_snapshot *s, const char *path) {
    struct stat at;
    if (stat(path, &at) != 0 || (!S_ISREG(at.st_mode) && !S_ISDIR(at.st_mode))) return AR_OK;
    AR_TRY(grow(s));
    AR_TRY(ar_path_join(&s->files[s->count].path, "", path));
    s->files[s->count++].at = at;
    return AR_OK;
}

/* Calls for each file of the folder that is of a model, in the order of their names. */
static ar_status each_file(const char *dir, ar_status (*call)(void *ctx, const char *path), void *ctx) {
    struct dirent **list = NULL;
    ar_status status = AR_OK;
    int n = scandir(dir, &list, is_of_model, alphasort);
    if (n < 0) return ar__fail(AR_ERR_IO, "%s: cannot list the folder: %s", dir, strerror(errno));
    for (int i = 0; i < n; i++) {
        char *path = NULL;
        if (status == AR_OK) status = ar_path_join(&path, dir, list[i]->d_name);
        if (status == AR_OK && !ar_path_is_dir(path)) status = call(ctx, path);
        free(path);
        free(list[i]);
    }
    free(list);
    return status;
}

static ar_status add_one(void *ctx, const char *path) { return add(ctx, path); }

ar_status ar_snapshot_add(ar_snapshot *s, const char *path) {
    AR_TRY(add(s, path));
    return ar_path_is_dir(path) ? each_file(path, add_one, s) : AR_OK;
}

/* ---- what became of them ---- */

static ar_status changed(const char *path, const char *what) {
    return ar__fail(AR_ERR_IO, "%s: %s during the run, expected a file that stays as it is", path, what);
}

static ar_status check_file(const struct ar__seen *f) {
    struct stat at;
    char what[96];
    if (stat(f->path, &at) != 0) return changed(f->path, "went away");
    if (at.st_dev != f->at.st_dev || at.st_ino != f->at.st_ino) return changed(f->path, "was replaced");
    if (at.st_size != f->at.st_size) {
        snprintf(what, sizeof what, "grew or shrank from %lld to %lld bytes", (long long)f->at.st_size,
                 (long long)at.st_size);
        return changed(f->path, what);
    }
    bool is_same_time =
        at.st_mtim.tv_sec == f->at.st_mtim.tv_sec && at.st_mtim.tv_nsec == f->at.st_mtim.tv_nsec;
    return is_same_time ? AR_OK : changed(f->path, "was written to");
}

static ar_status check_known(void *ctx, const char *path) {
    const ar_snapshot *s = ctx;
    for (int32_t i = 0; i < s->count; i++)
        if (strcmp(s->files[i].path, path) == 0) return AR_OK;
    return changed(path, "appeared");
}

ar_status ar_snapshot_check(const ar_snapshot *s) {
    for (int32_t i = 0; s && i < s->count; i++) {
        const struct ar__seen *f = &s->files[i];
        if (!S_ISDIR(f->at.st_mode))
            AR_TRY(check_file(f));
        else
            AR_TRY(each_file(f->path, check_known, (void *)(uintptr_t)s));
    }
    return AR_OK;
}

ar_status ar_snapshot_end(ar_status status, const ar_snapshot *s) {
    if (status == AR_ERR_INTERRUPTED) return status;
    ar_status now = ar_snapshot_check(s);
    return now == AR_ERR_IO || status == AR_OK ? now : status;
}

const char *ar_snapshot_file(const ar_snapshot *s, int32_t i) {
    for (int32_t k = 0; k < s->count; k++)
        if (!S_ISDIR(s->files[k].at.st_mode) && i-- == 0) return s->files[k].path;
    return NULL;
}

void ar_snapshot_deinit(ar_snapshot *s) {
    for (int32_t i = 0; i < s->count; i++) free(s->files[i].path);
    free(s->files);
    *s = (ar_snapshot){0};
}
