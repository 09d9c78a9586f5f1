/* Paths and folders; see place.h. Names say little about what a path leads to: links, hard links and mounts
 * give one file several, so everything here that compares asks for device and inode. */
#include "place.h"
#include "ar_error.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES   4096
#define MAX_LINKS    40 /* as Linux follows */
#define MAX_TRIES    1000
#define OPEN_FOLDERS 16 /* descriptors nftw may hold */

static bool is_same(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static ar_status io_error(const char *doing, const char *path) {
    int code = errno;
    return ar__fail(AR_ERR_IO, "%s: cannot %s: %s", path, doing, strerror(code));
}

/* ---- names ---- */

bool ar_path_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

bool ar_path_is_dir(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

ar_status ar_path_join(char **joined, const char *a, const char *b) {
    size_t a_bytes = strlen(a), b_bytes = strlen(b);
    *joined = ar__alloc(a_bytes + b_bytes + 2, 1);
    if (!*joined) return AR_ERR_MEMORY;
    memcpy(*joined, a, a_bytes);
    if (a_bytes > 0 && a[a_bytes - 1] != '/') (*joined)[a_bytes++] = '/';
    memcpy(*joined + a_bytes, b, b_bytes + 1);
    return AR_OK;
}

bool ar__path_ends(const char *path, const char *ending) {
    size_t n = strlen(path), m = strlen(ending);
    return n > m && strcasecmp(path + n - m, ending) == 0;
}

size_t ar__path_length(const char *path) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    return end;
}

ar_status ar__path_split(char **folder, char **name, const char *path) {
    size_t end = ar__path_length(path), start;
    for (start = end; start > 0 && path[start - 1] != '/';) start--;
    size_t parent = start;
    while (parent > 1 && path[parent - 1] == '/') parent--;
    *folder = ar__alloc(parent + 2, 1);
    *name = ar__alloc(end - start + 1, 1);
    if (!*folder || !*name) return AR_ERR_MEMORY;
    if (start > 0) memcpy(*folder, path, parent);
    if (start == 0) (*folder)[0] = '.';
    memcpy(*name, path + start, end - start);
    return AR_OK;
}

char *ar__path_canonical(const char *path) {
    char *folder = NULL, *name = NULL, *base = NULL, *joined = realpath(path, NULL);
    if (!joined && ar__path_split(&folder, &name, path) == AR_OK && (base = realpath(folder, NULL))) {
        if (ar_path_join(&joined, base, name) != AR_OK) joined = NULL;
    }
    free(folder);
    free(name);
    free(base);
    return joined;
}

bool ar__path_is_same(const char *a, const char *b) {
    struct stat at, bt;
    return stat(a, &at) == 0 && stat(b, &bt) == 0 && is_same(&at, &bt);
}

bool ar__path_is_within(const char *path, const char *folder) {
    struct stat outer, at;
    char *p = ar__path_canonical(path);
    bool found = false;
    if (p && stat(folder, &outer) == 0) {
        for (;;) {
            found = stat(p, &at) == 0 && is_same(&at, &outer);
            char *slash = strrchr(p, '/');
            if (found || !slash || p[1] == '\0') break;
            slash[slash == p ? 1 : 0] = '\0';
        }
    }
    free(p);
    return found;
}

/* ---- links, and what is no file ---- */

/* A link of the kernel's, to what a process has open. */
static bool is_descriptor(const struct stat *link) {
    struct stat proc;
    return S_ISLNK(link->st_mode) && stat("/proc/self/", &proc) == 0 && proc.st_dev == link->st_dev;
}

const char *ar__path_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* Puts where a link leads in its place. */
static ar_status follow(char path[PATH_BYTES]) {
    char target[PATH_BYTES];
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0) return io_error("follow the link", path);
    target[n] = '\0';
    const char *slash = strrchr(path, '/');
    size_t kept = target[0] == '/' || !slash ? 0 : (size_t)(slash - path) + 1;
    if (kept + (size_t)n >= PATH_BYTES)
        return ar__fail(AR_ERR_IO, "%s: leads to a path that is too long", path);
    memcpy(path + kept, target, (size_t)n + 1);
    return AR_OK;
}

/* Without memory of its own, so that asking can fail for what the path is alone. */
static ar_status resolve(char end[PATH_BYTES], const char *path) {
    size_t length = ar__path_length(path); /* behind a slash lies what a link leads to, not the link */
    const char *slash = path[length] ? "/" : "";
    if (strlen(path) >= PATH_BYTES) return ar__fail(AR_ERR_IO, "%.200s…: is too long a path", path);
    memcpy(end, path, length);
    end[length] = '\0';
    for (int32_t i = 0; i <= MAX_LINKS; i++) {
        struct stat link;
        if (lstat(end, &link) != 0 || !S_ISLNK(link.st_mode) || is_descriptor(&link)) {
            if (strlen(end) + 1 < PATH_BYTES) strcat(end, slash);
            return AR_OK;
        }
        AR_TRY(follow(end));
    }
    return ar__fail(AR_ERR_IO, "%s: found more than %d links, expected an end of them", path, MAX_LINKS);
}

ar_status ar__path_resolve(char **resolved, const char *path) {
    char end[PATH_BYTES];
    *resolved = NULL;
    AR_TRY(resolve(end, path));
    return ar_path_join(resolved, "", end);
}

bool ar__path_is_through(const char *path) {
    struct stat link, at;
    char end[PATH_BYTES];
    if (resolve(end, path) != AR_OK) return false;
    return lstat(end, &link) == 0 &&
           (is_descriptor(&link) || (stat(end, &at) == 0 && !S_ISREG(at.st_mode) && !S_ISDIR(at.st_mode)));
}

/* The number of a descriptor of this very process that path names; -1 = none. */
static int own_descriptor(const char *path) {
    struct stat at, open_at;
    const char *slash = strrchr(path, '/'), *digits = slash ? slash + 1 : path;
    char *end = NULL;
    if (!isdigit((unsigned char)*digits)) return -1;
    long n = strtol(digits, &end, 10);
    if (*end || n > 65535 || stat(path, &at) != 0 || fstat((int)n, &open_at) != 0) return -1;
    return is_same(&at, &open_at) ? (int)n : -1;
}

ar_status ar__path_open_through(int *fd, const char *path) {
    struct stat link;
    char end[PATH_BYTES];
    AR_TRY(resolve(end, path));
    int own = lstat(end, &link) == 0 && is_descriptor(&link) ? own_descriptor(end) : -1;
    *fd = own >= 0 ? fcntl(own, F_DUPFD_CLOEXEC, 0) : open(end, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    return *fd >= 0 ? AR_OK : io_error("open for writing", path);
}

/* ---- folders ---- */

static ar_status create_one(const char *path) {
    if (mkdir(path, 0777) == 0) return AR_OK;
    int code = errno;
    if (code == EEXIST && ar_path_is_dir(path)) return AR_OK;
    errno = code == EEXIST ? ENOTDIR : code;
    return io_error("create the folder", path);
}

ar_status ar_dir_create(const char *path) {
    char *prefix;
    AR_TRY(ar_path_join(&prefix, path, ""));
    ar_status status = AR_OK;
    for (char *p = prefix; status == AR_OK && *p != '\0'; p++) {
        if (*p != '/' || p == prefix) continue;
        *p = '\0';
        status = create_one(prefix);
        *p = '/';
    }
    if (status == AR_OK) status = create_one(path);
    free(prefix);
    return status;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info, (void)kind, (void)where;
    if (remove(path) == 0) return 0;
    io_error("remove", path);
    return 1;
}

ar_status ar_dir_remove(const char *path) {
    struct stat info;
    if (lstat(path, &info) != 0) return errno == ENOENT ? AR_OK : io_error("remove", path);
    int found = nftw(path, remove_entry, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
    if (found < 0) return io_error("remove", path);
    return found == 0 ? AR_OK : AR_ERR_IO;
}

ar_status ar__dir_create_new(char **made, const char *path, const char *suffix) {
    size_t n = strlen(path), bytes = n + strlen(suffix) + 48;
    while (n > 1 && path[n - 1] == '/') n--;
    char *name = ar__alloc(bytes, 1);
    *made = NULL;
    if (!name) return AR_ERR_MEMORY;
    for (int32_t i = 0; i < MAX_TRIES; i++) {
        snprintf(name, bytes, "%.*s%s-%ld-%d", (int)n, path, suffix, (long)getpid(), (int)i);
        if (mkdir(name, 0777) == 0) {
            *made = name;
            return AR_OK;
        }
        if (errno != EEXIST) break;
    }
    ar_status status = ar__fail(AR_ERR_IO, "%s: cannot create the folder: %s", name, strerror(errno));
    free(name);
    return status;
}
