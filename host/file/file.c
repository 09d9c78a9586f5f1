/* Files: read-only mappings, files that appear only when complete, hashes.
 * A mapped file that another process truncates while it is read raises SIGBUS, as with any mmap: that is the
 * program's to catch (host/cli/ends.c). */
#include "ar_host.h"
#include "ar_error.h"
#include "place.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITER_BUFFER_BYTES ((size_t)1 << 18)
#define TEMP_NAMES          1000

struct ar_writer {
    int fd;
    char *path, *temp_path;
    uint8_t *buffer;
    size_t buffered_bytes;
    uint64_t flushed_offset; /* where the buffer's first byte goes */
    bool failed;             /* an earlier write failed: the file must not appear */
    bool through;            /* no regular file: written at once and in order, without a temporary one */
    bool reads_back;
    uint64_t hash; /* of what was written so far, where it is read back */
};

static ar_status io_error(const char *doing, const char *path) {
    int code = errno;
    return ar__fail(AR_ERR_IO, "%s: cannot %s: %s", path, doing, strerror(code));
}

static ar_status copy_string(char **copy, const char *text) {
    size_t bytes = strlen(text) + 1;
    *copy = ar__alloc(bytes, 1);
    if (!*copy) return AR_ERR_MEMORY;
    memcpy(*copy, text, bytes);
    return AR_OK;
}

/* ---- reading ---- */

/* What stands for a large file in a clone that did not fetch it. */
static ar_status refuse_pointer(const void *data, uint64_t bytes, const char *path) {
    static const char start[] = "version https://git-lfs.github.com/spec/";
    if (bytes < sizeof start - 1 || bytes > 1024 || memcmp(data, start, sizeof start - 1) != 0) return AR_OK;
    return ar__fail(AR_ERR_FORMAT,
                    "%s: found a Git LFS pointer, expected the file it stands for (git lfs pull)", path);
}

static ar_status map_descriptor(ar_file *f, int fd, const char *path) {
    static const uint8_t nothing[1] = {0};
    struct stat info;
    if (fstat(fd, &info) != 0) return io_error("stat", path);
    if (!S_ISREG(info.st_mode))
        return ar__fail(AR_ERR_IO, "%s: found %s, expected a regular file", path,
                        S_ISDIR(info.st_mode) ? "a folder" : "a special file");
    if ((uint64_t)info.st_size > SIZE_MAX)
        return ar__fail(AR_ERR_IO, "%s: found %lld bytes, expected at most %zu", path,
                        (long long)info.st_size, SIZE_MAX);
    f->data = nothing;
    if (info.st_size == 0) return AR_OK;
    void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) return io_error("map", path);
    f->data = data;
    f->bytes = (uint64_t)info.st_size;
    return AR_OK;
}

ar_status ar_file_open(ar_file *f, const char *path) {
    *f = (ar_file){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return io_error("open", path);
    ar_status status = copy_string(&f->path, path);
    if (status == AR_OK) status = map_descriptor(f, fd, path);
    close(fd);
    if (status == AR_OK) status = refuse_pointer(f->data, f->bytes, path);
    if (status != AR_OK) ar_file_close(f);
    return status;
}

void ar_file_close(ar_file *f) {
    if (f->bytes > 0) munmap((void *)(uintptr_t)f->data, (size_t)f->bytes);
    free(f->path);
    *f = (ar_file){0};
}

/* Reads fd to its end into *text; also pipes, whose size is not known before. */
static ar_status read_all(char **text, size_t *bytes, int fd, const char *path, size_t max_bytes) {
    size_t capacity = max_bytes < 65536 ? max_bytes : 65536, used = 0;
    char *buffer = ar__alloc(capacity + 1, 1);
    if (!buffer) return AR_ERR_MEMORY;
    for (;;) {
        ssize_t got =
            read(fd, buffer + used, capacity + 1 - used); /* one more than allowed tells "too large" */
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            ar_status status = io_error("read", path);
            free(buffer);
            return status;
        }
        used += (size_t)got;
        if (used > max_bytes) {
            free(buffer);
            return ar__fail(AR_ERR_FORMAT, "%s: found more than %zu bytes, expected at most that", path,
                            max_bytes);
        }
        if (got == 0) break;
        if (used <= capacity) continue;
        size_t grown_capacity = capacity > max_bytes / 2 ? max_bytes : capacity * 2;
        char *grown = ar__alloc(grown_capacity + 1, 1);
        if (grown) memcpy(grown, buffer, used);
        free(buffer);
        if (!grown) return AR_ERR_MEMORY;
        buffer = grown;
        capacity = grown_capacity;
    }
    buffer[used] = '\0';
    *text = buffer;
    *bytes = used;
    return AR_OK;
}

ar_status ar_file_read_text(char **text, size_t *bytes, const char *path, size_t max_bytes) {
    *text = NULL;
    if (max_bytes >= SIZE_MAX / 2) max_bytes = SIZE_MAX / 2;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return io_error("open", path);
    size_t found = 0;
    ar_status status = read_all(text, &found, fd, path, max_bytes);
    close(fd);
    if (bytes) *bytes = found;
    if (status == AR_OK) status = refuse_pointer(*text, found, path);
    if (status != AR_OK) {
        free(*text);
        *text = NULL;
    }
    return status;
}

/* ---- writing ---- */

static void writer_free(ar_writer *w) {
    if (w->fd >= 0) close(w->fd);
    free(w->path);
    free(w->temp_path);
    free(w->buffer);
    free(w);
}

/* Creates PATH.tmp-<process>-<n>: beside the target, so that the final rename stays within one file system.
 */
static ar_status create_temp(ar_writer *w) {
    size_t bytes = strlen(w->path) + 48;
    w->temp_path = ar__alloc(bytes, 1);
    if (!w->temp_path) return AR_ERR_MEMORY;
    for (int32_t n = 0; n < TEMP_NAMES; n++) {
        snprintf(w->temp_path, bytes, "%s.tmp-%ld-%d", w->path, (long)getpid(), (int)n);
        w->fd = open(w->temp_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (w->fd >= 0) return AR_OK;
        if (errno != EEXIST) break;
    }
    return io_error("create", w->temp_path);
}

ar_status ar_writer_open(ar_writer **w, const char *path) {
    *w = NULL;
    if (!*path) return ar__fail(AR_ERR_IO, "found an empty name, expected that of a file to write");
    if (ar_path_is_dir(path))
        return ar__fail(AR_ERR_IO, "%s: found a folder, expected a file name to write", path);
    ar_status status;
    ar_writer *made = ar__alloc(1, sizeof *made);
    if (!made) return AR_ERR_MEMORY;
    made->fd = -1;
    made->through = ar__path_is_through(path);
    AR_GO(made->through ? copy_string(&made->path, path) : ar__path_resolve(&made->path, path));
    made->buffer = ar__alloc(WRITER_BUFFER_BYTES, 1);
    AR_GO(made->buffer ? AR_OK : AR_ERR_MEMORY);
    AR_GO(made->through ? ar__path_open_through(&made->fd, path) : create_temp(made));
    *w = made;
    made = NULL;
done:
    if (made) writer_free(made);
    return status;
}

static ar_status write_at(ar_writer *w, const uint8_t *src, size_t bytes) {
    while (bytes > 0) {
        ssize_t put =
            w->through ? write(w->fd, src, bytes) : pwrite(w->fd, src, bytes, (off_t)w->flushed_offset);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) {
            w->failed = true;
            return io_error("write", w->path);
        }
        src += put;
        bytes -= (size_t)put;
        w->flushed_offset += (uint64_t)put;
    }
    return AR_OK;
}

static ar_status writer_flush(ar_writer *w) {
    size_t bytes = w->buffered_bytes;
    w->buffered_bytes = 0;
    return write_at(w, w->buffer, bytes);
}

void ar_writer_read_back(ar_writer *w) { w->reads_back = !w->through; }

ar_status ar_writer_write(ar_writer *w, const void *src, size_t bytes) {
    if (w->failed) return ar__fail(AR_ERR_IO, "%s: an earlier write failed", w->path);
    if (w->reads_back) w->hash = ar_hash64(w->hash, src, bytes);
    if (bytes > WRITER_BUFFER_BYTES - w->buffered_bytes) AR_TRY(writer_flush(w));
    if (bytes >= WRITER_BUFFER_BYTES) return write_at(w, src, bytes);
    if (bytes > 0) memcpy(w->buffer + w->buffered_bytes, src, bytes);
    w->buffered_bytes += bytes;
    return AR_OK;
}

ar_status ar_writer_seek(ar_writer *w, uint64_t offset) {
    if (w->failed) return ar__fail(AR_ERR_IO, "%s: an earlier write failed", w->path);
    if (offset > INT64_MAX)
        return ar__fail(AR_ERR_ARG, "%s: found offset %llu, expected below 2^63", w->path,
                        (unsigned long long)offset);
    if (w->through)
        return ar__fail(AR_ERR_IO, "%s: found no regular file, expected one to write out of order", w->path);
    if (w->reads_back)
        return ar__fail(AR_ERR_ARG, "%s: found a seek, expected a file that is read back in order", w->path);
    AR_TRY(writer_flush(w));
    w->flushed_offset = offset;
    return AR_OK;
}

uint64_t ar_writer_offset(const ar_writer *w) { return w->flushed_offset + w->buffered_bytes; }

/* Makes a rename in path's folder durable. File systems that cannot sync a folder say EINVAL: nothing to do.
 */
static ar_status sync_folder(const char *path) {
    char *folder;
    AR_TRY(copy_string(&folder, path));
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder ? 1 : 0] = '\0';
    const char *name = slash ? folder : ".";
    ar_status status = AR_OK;
    int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        status = io_error("open", name);
    else if (fsync(fd) != 0 && errno != EINVAL)
        status = io_error("sync", name);
    if (fd >= 0) close(fd);
    free(folder);
    return status;
}

static ar_status rename_to(const char *from, const char *to) {
    if (rename(from, to) != 0) return io_error("rename to", to);
    return sync_folder(to);
}

/* The temporary file holds what was written. FNV-1a tells any two texts apart that differ in one byte. */
static ar_status compare_written(const ar_writer *w) {
    ar_file f;
    AR_TRY(ar_file_open(&f, w->temp_path));
    ar_status status = AR_OK;
    if (f.bytes != w->flushed_offset)
        status = ar__fail(AR_ERR_IO, "%s: %llu bytes were read back, expected the %llu written", w->path,
                          (unsigned long long)f.bytes, (unsigned long long)w->flushed_offset);
    else if (f.bytes > 0 && ar_hash64(0, f.data, (size_t)f.bytes) != w->hash)
        status = ar__fail(AR_ERR_IO, "%s: other bytes were read back than written", w->path);
    ar_file_close(&f);
    return status;
}

static ar_status writer_publish(ar_writer *w) {
    if (w->failed) return ar__fail(AR_ERR_IO, "%s: an earlier write failed", w->path);
    AR_TRY(writer_flush(w));
    if (!w->through && fsync(w->fd) != 0) return io_error("sync", w->path);
    int fd = w->fd;
    w->fd = -1;
    if (close(fd) != 0) return io_error("close", w->path);
    if (w->through) return AR_OK;
    if (w->reads_back) AR_TRY(compare_written(w));
    AR_TRY(rename_to(w->temp_path, w->path));
    w->temp_path[0] = '\0';
    return AR_OK;
}

ar_status ar_writer_commit(ar_writer **w) {
    ar_status status = writer_publish(*w);
    ar_writer_abort(w);
    return status;
}

void ar_writer_abort(ar_writer **w) {
    if (!*w) return;
    if ((*w)->temp_path && (*w)->temp_path[0] != '\0') unlink((*w)->temp_path);
    writer_free(*w);
    *w = NULL;
}

/* Into what is written through, or to another file system. */
static ar_status copy_to(const char *from, const char *to) {
    ar_status status = AR_OK;
    ar_file in = {0};
    ar_writer *w = NULL;
    AR_GO(ar_file_open(&in, from));
    AR_GO(ar_writer_open(&w, to));
    ar_writer_read_back(w);
    AR_GO(ar_writer_write(w, in.data, (size_t)in.bytes));
    AR_GO(ar_writer_commit(&w));
    if (unlink(from) != 0) status = io_error("remove", from);
done:
    ar_writer_abort(&w);
    ar_file_close(&in);
    return status;
}

ar_status ar_path_move(const char *from, const char *to) {
    struct stat info;
    char *end = NULL;
    bool is_file = lstat(from, &info) == 0 && S_ISREG(info.st_mode);
    if (!is_file) return rename_to(from, to);
    if (ar__path_is_through(to)) return copy_to(from, to);
    AR_TRY(ar__path_resolve(&end, to));
    ar_status status = rename(from, end) == 0 ? sync_folder(end)
                       : errno == EXDEV       ? copy_to(from, end)
                                              : io_error("rename to", to);
    free(end);
    return status;
}

/* ---- hashes ---- */

uint64_t ar_hash64(uint64_t seed, const void *data, size_t bytes) {
    const uint8_t *p = data;
    uint64_t hash = seed != 0 ? seed : 0xcbf29ce484222325u; /* a seed may be the hash so far */
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ p[i]) * 0x100000001b3u;
    return hash;
}

uint32_t ar_crc32(uint32_t crc, const void *data, size_t bytes) {
    static const uint32_t nibble[16] = {0x00000000u, 0x1db71064u, 0x3b6e20c8u, 0x26d930acu,
                                        0x76dc4190u, 0x6b6b51f4u, 0x4db26158u, 0x5005713cu,
                                        0xedb88320u, 0xf00f9344u, 0xd6d6a3e8u, 0xcb61b38cu,
                                        0x9b64c2b0u, 0x86d3d2d4u, 0xa00ae278u, 0xbdbdf21cu};
    const uint8_t *p = data;
    crc = ~crc;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= p[i];
        crc = (crc >> 4) ^ nibble[crc & 15u];
        crc = (crc >> 4) ^ nibble[crc & 15u];
    }
    return ~crc;
}
