/* Loaded before the program (LD_PRELOAD): one of its requests fails, the N-th of its kind, once.
 *   FAULT_KIND   memory: malloc, calloc, realloc, strdup, strndup give NULL
 *                write: write, pwrite, ftruncate, posix_fallocate, mkdir fail as on a full disk, rename and
 *                fsync as on a broken one
 *                flip: write and pwrite put down another bit in the middle, and say nothing
 *                short: they leave out the last byte, and say nothing
 *   FAULT_LOAD   libraries that are loaded once, for all runs
 *   FAULT_OPEN   set: OpenCL's devices are opened once for all runs, by a driver without threads
 * For each N on file descriptor 8 the program begins once more, in a process of its own with `out` and `err`
 * as its standard streams; "N STATUS COUNT" goes to file descriptor 9: its exit status (128 + a signal's
 * number; 137 also where it hangs) and how many requests there were. N = 0 fails nothing, and a fault beyond
 * COUNT was none. So a run costs no more than its own work.
 * Only what the program asks for counts, and the libraries that work for it in its own thread (cJSON, PCRE2):
 * what a driver asks for is not ours. Standard streams do not count. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECONDS 60 /* after which a run hangs; the first one of all may compile kernels */

enum { MEMORY = 'm', WRITE = 'w', FLIP = 'f', SHORT = 's' };
static struct { uintptr_t from, to; } ours[32];
static int our_count, kind;
static long at;
static atomic_long *count;

/* glibc's own names: no dlsym, which allocates, on the way to memory. */
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t n, size_t each);
extern void *__libc_realloc(void *p, size_t bytes);

static int add_ranges(struct dl_phdr_info *info, size_t size, void *first) {
    const char *name = info->dlpi_name;
    bool *is_first = first, program = *is_first;
    (void)size;
    *is_first = false;
    if (!program && !strstr(name, "libcjson") && !strstr(name, "libpcre2") && !strstr(name, "libanyround"))
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X) || our_count == 32) continue;
        ours[our_count].from = info->dlpi_addr + p->p_vaddr;
        ours[our_count++].to = info->dlpi_addr + p->p_vaddr + p->p_memsz;
    }
    return 0;
}

static void load(char *names) {
    for (char *rest = names, *name; names && (name = strtok_r(rest, " ", &rest));)
        dlopen(name, strstr(name, "OpenCL") ? RTLD_NOW | RTLD_GLOBAL : RTLD_NOW); /* saves time, no more */
}

/* What the libraries do at their first call. */
static void open_devices(void) {
    int (*platforms)(unsigned, void **, unsigned *);
    int (*devices)(void *, uint64_t, unsigned, void **, unsigned *);
    void *platform[4], *device[4];
    unsigned found;
    *(void **)&platforms = dlsym(RTLD_DEFAULT, "clGetPlatformIDs");
    *(void **)&devices = dlsym(RTLD_DEFAULT, "clGetDeviceIDs");
    if (!platforms || !devices || platforms(4, platform, &found) != 0) return;
    for (unsigned i = 0; i < found && i < 4; i++)
        if (devices(platform[i], 0xffffffff, 4, device, NULL) != 0) fprintf(stderr, "faults: no device\n");
}

/* As the program's standard stream. */
static void redirect(const char *path, int fd) {
    int made = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (made < 0 || dup2(made, fd) < 0) abort();
    close(made);
}

static int wait_for(pid_t child) {
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) abort();
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Returns in every process that is to be the program. */
__attribute__((constructor)) static void begin(void) {
    const char *what = getenv("FAULT_KIND");
    FILE *asked = fdopen(8, "r"), *told = fdopen(9, "w");
    bool first = true;
    unsetenv("LD_PRELOAD"); /* of what the program starts */
    count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!what || !asked || !told || count == MAP_FAILED) abort();
    load(getenv("FAULT_LOAD"));
    if (getenv("FAULT_OPEN")) open_devices();
    dl_iterate_phdr(add_ranges, &first);
    for (long n; fscanf(asked, "%ld", &n) == 1;) {
        atomic_store(count, 0);
        pid_t child = fork();
        if (child < 0) abort();
        if (child == 0) {
            alarm(n ? SECONDS : 5 * SECONDS);
            redirect("out", 1);
            redirect("err", 2);
            close(8);
            close(9);
            at = n;
            kind = what[0];
            return;
        }
        int status = wait_for(child);
        fprintf(told, "%ld %d %ld\n", n, status == 128 + SIGALRM ? 137 : status, (long)*count);
        fflush(told);
    }
    _exit(0);
}

/* Is this the request that fails? */
static bool fails(int of, const void *caller) {
    uintptr_t p = (uintptr_t)caller;
    if (kind != of) return false;
    for (int i = 0; i < our_count; i++)
        if (p >= ours[i].from && p < ours[i].to) {
            return atomic_fetch_add(count, 1) + 1 == at;
        }
    return false;
}
#define FAILS(of) fails(of, __builtin_return_address(0))

/* ---- memory ---- */

void *malloc(size_t bytes) {
    if (!FAILS(MEMORY)) return __libc_malloc(bytes);
    errno = ENOMEM;
    return NULL;
}

void *calloc(size_t n, size_t each) {
    if (!FAILS(MEMORY)) return __libc_calloc(n, each);
    errno = ENOMEM;
    return NULL;
}

void *realloc(void *p, size_t bytes) {
    if (!FAILS(MEMORY)) return __libc_realloc(p, bytes);
    errno = ENOMEM;
    return NULL;
}

static char *copy(const char *text, size_t bytes, bool fail) {
    char *made = fail ? NULL : __libc_malloc(bytes + 1);
    if (!made) {
        errno = ENOMEM;
        return NULL;
    }
    memcpy(made, text, bytes);
    made[bytes] = '\0';
    return made;
}

char *strdup(const char *text) { return copy(text, strlen(text), FAILS(MEMORY)); }
char *strndup(const char *text, size_t most) { return copy(text, strnlen(text, most), FAILS(MEMORY)); }

/* ---- files ---- */

/* The next one of this name. */
#define NEXT(result, name, ...)                                                                              \
    static result (*next)(__VA_ARGS__);                                                                      \
    if (!next) *(void **)&next = dlsym(RTLD_NEXT, #name)
#define FAIL(code) return errno = code, -1

/* Where the fault is, for whoever reads of a test that failed. */
static void tell_file(int fd, size_t bytes) {
    char link[64], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    fprintf(stderr, "faults: one of %zu bytes of %s\n", bytes, n > 0 ? path : "a file");
}

/* The data with another bit. */
static void *flipped(int fd, const void *data, size_t bytes) {
    tell_file(fd, bytes);
    uint8_t *made = __libc_malloc(bytes);
    if (!made) abort();
    memcpy(made, data, bytes);
    made[bytes / 2] ^= 1;
    return made;
}

ssize_t write(int fd, const void *data, size_t bytes) {
    NEXT(ssize_t, write, int, const void *, size_t);
    bool counts = fd > 2 && bytes > 0;
    if (counts && FAILS(WRITE)) FAIL(ENOSPC);
    if (counts && FAILS(SHORT)) {
        tell_file(fd, bytes);
        return bytes == 1 || next(fd, data, bytes - 1) == (ssize_t)bytes - 1 ? (ssize_t)bytes : -1;
    }
    if (!counts || !FAILS(FLIP)) return next(fd, data, bytes);
    void *other = flipped(fd, data, bytes);
    ssize_t put = next(fd, other, bytes);
    free(other);
    return put;
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) {
    NEXT(ssize_t, pwrite, int, const void *, size_t, off_t);
    if (bytes > 0 && FAILS(WRITE)) FAIL(ENOSPC);
    if (bytes > 0 && FAILS(SHORT)) {
        tell_file(fd, bytes);
        return bytes == 1 || next(fd, data, bytes - 1, offset) == (ssize_t)bytes - 1 ? (ssize_t)bytes : -1;
    }
    if (bytes == 0 || !FAILS(FLIP)) return next(fd, data, bytes, offset);
    void *other = flipped(fd, data, bytes);
    ssize_t put = next(fd, other, bytes, offset);
    free(other);
    return put;
}

int ftruncate(int fd, off_t bytes) {
    NEXT(int, ftruncate, int, off_t);
    if (FAILS(WRITE)) FAIL(ENOSPC);
    return next(fd, bytes);
}

int posix_fallocate(int fd, off_t from, off_t bytes) {
    NEXT(int, posix_fallocate, int, off_t, off_t);
    return FAILS(WRITE) ? ENOSPC : next(fd, from, bytes);
}

int mkdir(const char *path, mode_t mode) {
    NEXT(int, mkdir, const char *, mode_t);
    if (FAILS(WRITE)) FAIL(ENOSPC);
    return next(path, mode);
}

int rename(const char *from, const char *to) {
    NEXT(int, rename, const char *, const char *);
    if (FAILS(WRITE)) FAIL(EIO);
    return next(from, to);
}

int fsync(int fd) {
    NEXT(int, fsync, int);
    if (FAILS(WRITE)) FAIL(EIO);
    return next(fd);
}
