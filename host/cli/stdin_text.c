/* Texts that stdin gives; see stdin_text.h. Texts are mapped, read more than once and looked at for changes:
 * what comes through a pipe is kept in a file without a name, which goes with the process. */
#include "stdin_text.h"
#include "ar_error.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static ar_status io_error(const char *doing) {
    int code = errno;
    return ar__fail(AR_ERR_IO, "stdin: cannot %s: %s", doing, strerror(code));
}

/* All that stdin gives to f. */
static ar_status copy_stdin(FILE *f) {
    char part[65536];
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    for (;;) {
        (void)poll(&in, 1, -1); /* unlike read a signal ends it */
        ssize_t got = ar_program_interrupted() ? 0 : read(STDIN_FILENO, part, sizeof part);
        if (ar_program_interrupted()) return ar__fail(AR_ERR_INTERRUPTED, "interrupted while reading stdin");
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return io_error("read");
        if (got == 0) return fflush(f) == 0 ? AR_OK : io_error("keep what it gives");
        if (fwrite(part, 1, (size_t)got, f) != (size_t)got) return io_error("keep what it gives");
    }
}

static ar_status keep_stdin(void) {
    struct stat at;
    if (fstat(STDIN_FILENO, &at) == 0 && S_ISREG(at.st_mode)) return AR_OK;
    FILE *f = tmpfile();
    if (!f) return io_error("make a file for what it gives");
    ar_status status = copy_stdin(f);
    if (status == AR_OK && dup2(fileno(f), STDIN_FILENO) < 0) status = io_error("replace");
    fclose(f);
    return status;
}

/* Once for each value of o that is stdin; *first = who asked for it before. */
static ar_status take(const ar_option *o, const char **value, const char **first) {
    if (!*value || (strcmp(*value, "-") != 0 && strcmp(*value, "/dev/stdin") != 0)) return AR_OK;
    if (*first)
        return ar__fail(AR_ERR_USAGE, "%s and %s: found - twice, expected stdin in one place", *first,
                        o->name);
    *first = o->name;
    *value = "/dev/stdin";
    return keep_stdin();
}

ar_status ar__stdin_take(const ar_option *options, int32_t count) {
    const char *first = NULL;
    for (int32_t i = 0; i < count; i++) {
        const ar_option *o = &options[i];
        ar_option_list *list = o->kind == AR_OPT_TEXTS ? o->out : NULL;
        if (o->kind == AR_OPT_TEXT) AR_TRY(take(o, o->out, &first));
        for (int32_t k = 0; list && k < list->count; k++) AR_TRY(take(o, &list->text[k], &first));
    }
    return AR_OK;
}
