/* For tests of host/: a fresh folder under the system's temporary folder, files in it, the shared data. */
#ifndef AR_TEMP_FILES_H
#define AR_TEMP_FILES_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "ar_host.h"

#define assert_ok(call)                                                                                      \
    do {                                                                                                     \
        ar_status ok_status_ = (call);                                                                       \
        if (ok_status_ != AR_OK) fail_msg("%s: %s: %s", #call, ar_status_text(ok_status_), ar_error());      \
    } while (0)
/* The call fails with this code, and the error text holds part. */
#define assert_error(call, code, part)                                                                       \
    do {                                                                                                     \
        ar_status got_status_ = (call);                                                                      \
        if (got_status_ != (code))                                                                           \
            fail_msg("%s: found %d (%s), expected %d", #call, got_status_, got_status_ ? ar_error() : "ok",  \
                     code);                                                                                  \
        if (!strstr(ar_error(), part)) fail_msg("%s: \"%s\" does not hold \"%s\"", #call, ar_error(), part); \
    } while (0)

/* A new empty folder; temp_remove frees the string too. */
static inline char *temp_folder(void) {
    const char *base = getenv("TMPDIR");
    char *path = malloc(4096);
    snprintf(path, 4096, "%s/ar-test-XXXXXX", base ? base : P_tmpdir);
    if (!mkdtemp(path)) fail_msg("no temporary folder at %s", path);
    return path;
}

static inline void temp_remove(char *folder) {
    assert_ok(ar_dir_remove(folder));
    free(folder);
}

/* FOLDER/NAME in a static buffer of this translation unit, one of four in turn. */
static inline const char *in_folder(const char *folder, const char *name) {
    static char buffers[4][4352];
    static int turn;
    char *buffer = buffers[turn++ % 4];
    snprintf(buffer, sizeof buffers[0], "%s/%s", folder, name);
    return buffer;
}

static inline void put_file(const char *path, const void *data, size_t bytes) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f) != 0) fail_msg("cannot write %s", path);
}

static inline void put_text(const char *path, const char *text) { put_file(path, text, strlen(text)); }

/* SHARED/data/NAME, or NULL when the shared data is absent (then skip()). */
static inline const char *shared_data(const char *name) {
    static char path[4096];
    const char *base = getenv("AR_SHARED");
    snprintf(path, sizeof path, "%s/data/%s", base ? base : "../shared", name);
    return ar_path_exists(path) ? path : NULL;
}
#endif
