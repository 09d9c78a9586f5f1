/* How the program ends: its last lines, its exit code, and the signals that end it. */
#include "program.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 4096

/* ---- last lines ---- */

static char afterword[4300]; /* as long as any path and what is said of it */

void ar_program_afterword(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(afterword, sizeof afterword, format, args);
    va_end(args);
}

void ar_program_one_line(char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f) *text = *text == '\n' || *text == '\t' ? ' ' : '?';
}

static bool memory_bounded; /* by the user */

void ar_program_bounds_memory(bool bounded) { memory_bounded = bounded; }

void ar_program_print_failure(ar_status status) {
    bool blames = status == AR_ERR_DEVICE_MEMORY && memory_bounded;
    char line[1200];
    snprintf(line, sizeof line, "%s", ar_error());
    ar_program_one_line(line);
    fprintf(stderr, "anyround: %s: %s%s\n", ar_status_text(status), line, blames ? " (--vram)" : "");
    if (afterword[0]) fprintf(stderr, "%s\n", afterword);
}

int ar_program_exit_code(ar_status status) {
    switch (status) {
    case AR_OK: return 0;
    case AR_ERR_USAGE: return 2;
    case AR_ERR_FORMAT:
    case AR_ERR_UNSUPPORTED: return 3;
    case AR_ERR_NO_DEVICE: return 4;
    case AR_ERR_CHECK: return 5;
    case AR_ERR_INTERRUPTED: return 130;
    default: return 1;
    }
}

/* ---- a file that is read shrinks ---- */

/* Nothing below but what a signal's handler may call: the thread may hold any lock. */

static void say(const char *text) {
    size_t left = strlen(text);
    while (left > 0) {
        ssize_t put = write(STDERR_FILENO, text, left);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return;
        text += put;
        left -= (size_t)put;
    }
}

/* "7f12a000-7f12b000 r--p 00000000 08:01 1234   /folder/name" */
static const char *hex(uintptr_t *value, const char *at) {
    *value = 0;
    for (;; at++) {
        uintptr_t digit = *at >= '0' && *at <= '9'   ? (uintptr_t)(*at - '0')
                          : *at >= 'a' && *at <= 'f' ? (uintptr_t)(*at - 'a' + 10)
                                                     : 16;
        if (digit == 16) return at;
        *value = *value << 4 | digit;
    }
}

/* The file that a line of /proc/self/maps maps for reading alone, as this program does, where `at` lies in
 * it.
 */
static const char *file_of(const char *line, uintptr_t at) {
    uintptr_t from, to;
    const char *p = hex(&from, line);
    if (*p != '-') return NULL;
    p = hex(&to, p + 1);
    return at >= from && at < to && strncmp(p, " r--p ", 6) == 0 ? strchr(p, '/') : NULL;
}

static const char *find_file(char *line, size_t bytes, uintptr_t at) {
    char buffer[1024];
    const char *found = NULL;
    size_t used = 0;
    ssize_t got;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NULL;
    while (!found && (got = read(fd, buffer, sizeof buffer)) > 0)
        for (ssize_t i = 0; i < got && !found; i++) {
            line[used] = buffer[i] == '\n' ? '\0' : buffer[i];
            if (line[used] == '\0') found = file_of(line, at);
            used = line[used] == '\0' ? 0 : used + 1 < bytes - 1 ? used + 1 : used;
        }
    close(fd);
    return found;
}

/* Reading on is not possible, and the library's callers above know nothing of it: the process ends here, as
 * if it was killed, but for the words. What it was writing has no name yet. */
static void on_lost_page(int number, siginfo_t *info, void *context) {
    static atomic_flag ending = ATOMIC_FLAG_INIT;
    char line[PATH_BYTES + 128];
    const char *file = NULL;
    int kept = errno;
    (void)context;
    if (info->si_code == BUS_ADRERR) file = find_file(line, sizeof line, (uintptr_t)info->si_addr);
    if (!file) { /* of another kind: as it would have been */
        signal(number, SIG_DFL);
        if (info->si_code <= 0) raise(number);
        errno = kept;
        return;
    }
    while (atomic_flag_test_and_set(&ending)) pause(); /* another thread is at it */
    say(ar_program_bar_stands() ? "\r\033[Kanyround: " : "anyround: ");
    say(ar_status_text(AR_ERR_IO));
    say(": ");
    say(file);
    say(": cannot be read where it was mapped: the file shrank during the run, or its disk fails\n");
    if (afterword[0]) say(afterword);
    if (afterword[0]) say("\n");
    _exit(ar_program_exit_code(AR_ERR_IO));
}

/* ---- which signals ---- */

/* Atomic: a signal may reach any thread, and OpenCL's and Vulkan's drivers have threads. */
static atomic_bool interrupted;

static void on_signal(int number) {
    interrupted = true;
    signal(number, SIG_DFL); /* a second one ends the program at once */
}

void ar_program_catch_signals(void) {
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of the write */
    struct sigaction lost = {.sa_sigaction = on_lost_page, .sa_flags = SA_SIGINFO};
    sigemptyset(&lost.sa_mask);
    (void)sigaction(SIGBUS, &lost, NULL);
}

void ar_program_release_signals(void) {
    interrupted = false;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
}

bool ar_program_interrupted(void) { return interrupted; }
