/* One process per OUT.part; see workplace.h. The lock is flock on a file in the folder, not the file: what a
 * killed process leaves behind locks nobody out. */
#include "workplace.h"
#include "ar_error.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK      "lock"
#define MAX_TRIES 1000

/* ---- names ---- */

/* "block-00012.safetensors", "scales-00012.safetensors", "window-00012-00013.safetensors", and with .tmp-…
 * what was not finished of it. */
static bool is_block(const char *name) {
    int block, window, end = 0;
    bool is_one = sscanf(name, "block-%5d.safetensors%n", &block, &end) == 1 && end > 0;
    if (!is_one) is_one = sscanf(name, "scales-%5d.safetensors%n", &block, &end) == 1 && end > 0;
    if (!is_one) is_one = sscanf(name, "window-%5d-%5d.safetensors%n", &window, &block, &end) == 2 && end > 0;
    return is_one && (name[end] == '\0' || strncmp(name + end, ".tmp-", 5) == 0);
}

static bool is_ours(const char *name) {
    static const char *const names[] = {
        LOCK, "out", "manifest.json", "start", "curve.jsonl", "checkpoint.safetensors", "best.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return strncmp(name, "manifest.json.tmp-", 18) == 0 ||
           strncmp(name, "checkpoint.safetensors.tmp-", 27) == 0 ||
           strncmp(name, "best.safetensors.tmp-", 21) == 0 || is_block(name);
}

/* A manifest without a lock beside it: of a state that was copied, or of something else of that name. */
static bool is_our_manifest(const char *path) {
    ar_json *root = NULL;
    const char *model = NULL, *method = NULL;
    if (ar_json_open(&root, path, (size_t)1 << 20) != AR_OK) return false;
    bool ours = ar_json_string_or(&model, root, "model", NULL, path) == AR_OK && model &&
                ar_json_string_or(&method, root, "method", NULL, path) == AR_OK && method;
    ar_json_close(root);
    return ours;
}

static ar_status refuse(const char *dir, const char *name) {
    return ar__fail(AR_ERR_USAGE,
                    "%s: found %s, which is no state of a run, expected to make this folder: move it away",
                    dir, name);
}

ar_status ar__workplace_check(const char *dir) {
    ar_status status = AR_OK;
    char *lock = NULL, *manifest = NULL;
    if (!ar_path_exists(dir)) return AR_OK;
    DIR *d = opendir(dir);
    if (!d) return refuse(dir, "a file");
    for (struct dirent *e = readdir(d); e && status == AR_OK; e = readdir(d))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && !is_ours(e->d_name))
            status = refuse(dir, e->d_name);
    closedir(d);
    AR_GO(status);
    AR_GO(ar_path_join(&lock, dir, LOCK));
    AR_GO(ar_path_join(&manifest, dir, "manifest.json"));
    if (!ar_path_exists(lock) && ar_path_exists(manifest) && !is_our_manifest(manifest))
        status = refuse(dir, "a manifest.json");
done:
    free(lock);
    free(manifest);
    return status;
}

/* ---- the lock ---- */

/* Who holds it, as far as it has written that already. */
static ar_status refuse_second(const char *dir, int fd) {
    char text[24] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    long id = n > 0 ? strtol(text, NULL, 10) : 0;
    char who[40] = "another process";
    if (id > 0) snprintf(who, sizeof who, "process %ld", id);
    return ar__fail(AR_ERR_IO, "%s: %s works there, expected one run at a time for one output", dir, who);
}

/* Is this still the file of that name? Whoever held the lock may have removed both. */
static bool is_current(int fd, const char *path) {
    struct stat open_at, at;
    return fstat(fd, &open_at) == 0 && stat(path, &at) == 0 && open_at.st_dev == at.st_dev &&
           open_at.st_ino == at.st_ino;
}

/* One try: *taken, or to be tried again. */
static ar_status try_lock(ar_workplace *w, bool *taken, const char *path) {
    AR_TRY(ar_dir_create(w->dir));
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 && errno == ENOENT) return AR_OK;
    if (fd < 0) return ar__fail(AR_ERR_IO, "%s: cannot create: %s", path, strerror(errno));
    bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (!locked && errno == EWOULDBLOCK) {
        ar_status status = is_current(fd, path) ? refuse_second(w->dir, fd) : AR_OK;
        close(fd);
        return status;
    }
    if (!is_current(fd, path)) {
        close(fd);
        return AR_OK;
    }
    char text[24];
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n) {
        int code = errno;
        close(fd);
        return ar__fail(AR_ERR_IO, "%s: cannot write: %s", path, strerror(code));
    }
    w->lock = fd;
    *taken = true;
    return AR_OK;
}

ar_status ar__workplace_open(ar_workplace *w, const char *dir) {
    ar_status status = AR_OK;
    bool taken = false;
    char *path = NULL;
    *w = (ar_workplace){.lock = -1};
    w->dir = ar__alloc(strlen(dir) + 1, 1);
    if (!w->dir) AR_GO(AR_ERR_MEMORY);
    memcpy(w->dir, dir, strlen(dir));
    AR_GO(ar_path_join(&path, dir, LOCK));
    for (int32_t i = 0; !taken && i < MAX_TRIES; i++) AR_GO(try_lock(w, &taken, path));
    if (!taken) status = ar__fail(AR_ERR_IO, "%s: comes and goes, expected a folder that stays", dir);
done:
    free(path);
    if (status != AR_OK) {
        free(w->dir);
        *w = (ar_workplace){.lock = -1};
    }
    return status;
}

ar_status ar__workplace_clear(const char *dir) {
    ar_status status = AR_OK;
    DIR *d = opendir(dir);
    for (struct dirent *e = d ? readdir(d) : NULL; e && status == AR_OK; e = readdir(d)) {
        char *path = NULL;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || strcmp(e->d_name, LOCK) == 0)
            continue;
        status = ar_path_join(&path, dir, e->d_name);
        if (status == AR_OK) status = ar_dir_remove(path);
        free(path);
    }
    if (d) closedir(d);
    return status;
}

/* Whether the lock is all there is. */
static bool is_empty(const char *dir) {
    DIR *d = opendir(dir);
    bool empty = d != NULL;
    for (struct dirent *e = d ? readdir(d) : NULL; e && empty; e = readdir(d))
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || strcmp(e->d_name, LOCK) == 0;
    if (d) closedir(d);
    return empty;
}

void ar__workplace_close(ar_workplace *w) {
    if (!w->dir) return;
    if (is_empty(w->dir)) {
        char path[4096];
        if (snprintf(path, sizeof path, "%s/" LOCK, w->dir) < (int)sizeof path) unlink(path);
        (void)rmdir(w->dir); /* not where the next one has come in already */
    }
    if (w->lock >= 0) close(w->lock);
    free(w->dir);
    *w = (ar_workplace){.lock = -1};
}
