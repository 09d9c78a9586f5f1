/* anyround host: files, JSON and named tensors, part of ar_host.h, whose rules on hostile files hold. */
#ifndef AR_FILES_H
#define AR_FILES_H
#include "ar_quant.h"
#ifdef __cplusplus
extern "C" {
#endif

/* ---- file.c ---- */

typedef struct ar_file {
    const uint8_t *data;
    uint64_t bytes;
    char *path;
} ar_file; /* read-only mapping */
/* Errors: IO (missing, unreadable, not a regular file), FORMAT (a Git LFS pointer stands there instead). A
 * zero-byte file is legal: data is then not NULL. Where another process makes the file shorter while it is
 * mapped, whoever reads what is gone gets SIGBUS, as with any mapping; so it is where its disk fails. The
 * library catches no signals: a program that wants more than to be ended must (host/cli/ends.c does). */
ar_status ar_file_open(ar_file *f, const char *path);
void ar_file_close(ar_file *f);
/* Reads a small text file whole, NUL-terminated, at most max_bytes (FORMAT beyond, and for a Git LFS
 * pointer). free() the result. */
ar_status ar_file_read_text(char **text, size_t *bytes, const char *path, size_t max_bytes);
/* A file that appears under its name only when complete: write to PATH.tmp-…, fsync, rename, fsync the
 * folder. A link stays, what it leads to is written. What is no regular file (a FIFO, /dev/null, /dev/stdout)
 * is written through, at once and in order: seek is then IO. */
typedef struct ar_writer ar_writer;
ar_status ar_writer_open(ar_writer **w, const char *path);
ar_status ar_writer_write(ar_writer *w, const void *src, size_t bytes);
ar_status ar_writer_seek(ar_writer *w, uint64_t offset); /* for formats whose header is known late */
uint64_t ar_writer_offset(const ar_writer *w);
/* Called before the first write: commit reads the file back and compares it with a hash of what was written,
 * before it gets its name (IO where they differ; 64-bit FNV-1a, which tells any two files apart that differ
 * in one byte). For files that nobody checks later. Not with seek (ARG); what is written through is not
 * read. */
void ar_writer_read_back(ar_writer *w);
ar_status ar_writer_commit(ar_writer **w); /* also frees */
void ar_writer_abort(ar_writer **w);       /* removes the temporary; NULL is fine */
/* Renames a file or folder, replacing a file (or an empty folder) of that name, durably. A file moves to
 * another file system too, to where a link leads, and into what is written through. */
ar_status ar_path_move(const char *from, const char *to);
bool ar_path_exists(const char *path);
bool ar_path_is_dir(const char *path);
ar_status ar_path_join(char **joined, const char *a, const char *b); /* free() */
ar_status ar_dir_create(const char *path);                           /* parents too; existing is fine */
ar_status ar_dir_remove(const char *path);                           /* recursively */
/* 64-bit FNV-1a, for manifests; CRC-32 (zlib's) for checks against published figures. */
uint64_t ar_hash64(uint64_t seed, const void *data, size_t bytes);
uint32_t ar_crc32(uint32_t crc, const void *data, size_t bytes);

/* ---- snapshot.c ---- */

/* The files that something is made from, as they were before they were read: device, inode, size and time of
 * the last change. What was made of files that changed meanwhile is made of nothing that ever was. All zero =
 * no files. */
typedef struct ar_snapshot {
    struct ar__seen *files;
    int32_t count, capacity;
} ar_snapshot;
/* Before path is opened: a file, or of a folder the files that a model has there (weights, *.json, templates,
 * tokenizers, the model card). What does not exist is left to who opens it. Errors: IO (a folder that cannot
 * be listed), MEMORY. */
ar_status ar_snapshot_add(ar_snapshot *s, const char *path);
/* Whether they all are what they were, and a folder has no further ones; s may be NULL. Errors: IO names the
 * first that is not and what became of it; MEMORY. */
ar_status ar_snapshot_check(const ar_snapshot *s);
/* How something ended that read them: IO of ar_snapshot_check where a file changed, for then status,
 * whichever it is but INTERRUPTED, follows from that; else status, with its error's text. */
ar_status ar_snapshot_end(ar_status status, const ar_snapshot *s);
/* Path of file i, folders not counted, in the order of adding and below a folder of names; NULL = no more. */
const char *ar_snapshot_file(const ar_snapshot *s, int32_t i);
void ar_snapshot_deinit(ar_snapshot *s);

/* ---- notes.c ---- */

/* Remarks on what was read, a line each, in order: what was passed over and why. All zero = none. */
typedef struct ar_notes {
    char **lines;
    int32_t count;
} ar_notes;
void ar_notes_deinit(ar_notes *n);

/* ---- json.c: cJSON behind checks: depth and size caps, exact-case keys, UTF-8 ---- */

typedef struct cJSON ar_json;
/* A key that an object has twice has its last value, as in Python. Errors: FORMAT (also what lies beyond the
 * caps), MEMORY. what: names the text in messages. */
ar_status ar_json_parse(ar_json **root, const char *text, size_t bytes, const char *what);
ar_status ar_json_open(ar_json **root, const char *path, size_t max_bytes);
void ar_json_close(ar_json *root);
/* Typed lookups; `what` names the file in errors. *_or give the default for a missing or null key, and still
 * fail on a wrong type or a value outside [lo, hi]. */
ar_status ar_json_int(int64_t *out, const ar_json *obj, const char *key, int64_t lo, int64_t hi,
                      const char *what);
ar_status ar_json_int_or(int64_t *out, const ar_json *obj, const char *key, int64_t fallback, int64_t lo,
                         int64_t hi, const char *what);
ar_status ar_json_number_or(double *out, const ar_json *obj, const char *key, double fallback, double lo,
                            double hi, const char *what);
ar_status ar_json_bool_or(bool *out, const ar_json *obj, const char *key, bool fallback, const char *what);
ar_status ar_json_string_or(const char **out, const ar_json *obj, const char *key, const char *fallback,
                            const char *what);
const ar_json *ar_json_get(const ar_json *obj, const char *key); /* exact case; NULL if missing */
/* ---- json_make.c: trees that are written; none that lacks something is printed ---- */

/* These add to an object or a list and return what was added, which belongs to it, NULL where memory ran out.
 * Any argument but the key may be NULL from an earlier failure: nobody has to look before ar_json_print,
 * which then fails. `item` is owned from the call on, and freed where it cannot be added. */
ar_json *ar_json_put(ar_json *object, const char *key, ar_json *item);
ar_json *ar_json_push(ar_json *list, ar_json *item);
ar_json *ar_json_add_object(ar_json *object, const char *key);
ar_json *ar_json_add_list(ar_json *object, const char *key);
void ar_json_add_string(ar_json *object, const char *key, const char *text);
void ar_json_add_number(ar_json *object, const char *key, double number);
void ar_json_add_bool(ar_json *object, const char *key, bool truth);
void ar_json_add_null(ar_json *object, const char *key);
/* Was everything added that was to be? Of NULL: no. */
bool ar_json_is_whole(const ar_json *root);
/* root as text, free(); `indented` over lines, or on one. MEMORY, also where root is not whole. */
ar_status ar_json_print(char **text, const ar_json *root, bool indented, const char *what);

/* ---- fmt_safetensors.c ---- */

typedef struct ar_st_tensor {
    char *name;
    char dtype[8]; /* as in the file: "F32", "F16", "BF16", "I32", "U8", "I64", … */
    int32_t dim_count;
    int64_t dims[8];
    const uint8_t *data; /* in the mapping */
    uint64_t bytes;
} ar_st_tensor;
typedef struct ar_safetensors ar_safetensors;
/* One file, or with an index.json all its shards. Checks: header length and cap (100 MiB), dtype known, dims
 * times size = range, ranges inside the data, no overlap, no gaps. An index decides: every tensor is that of
 * the shard it names; tensors it does not list, and copies in other shards, do not count. */
ar_status ar_safetensors_open(ar_safetensors **st, const char *path);
void ar_safetensors_close(ar_safetensors *st);
int64_t ar_safetensors_count(const ar_safetensors *st);
const ar_st_tensor *ar_safetensors_at(const ar_safetensors *st, int64_t i);
const ar_st_tensor *ar_safetensors_find(const ar_safetensors *st, const char *name); /* NULL if missing */
const char *ar_safetensors_metadata(const ar_safetensors *st, const char *key);      /* NULL if missing */
/* The key and value of pair i, in the file's order; NULL past the last. */
const char *ar_safetensors_metadata_at(const ar_safetensors *st, const char **value, int64_t i);
/* Writing: declare all tensors, then stream their data in the declared order. */
typedef struct ar_st_writer ar_st_writer;
ar_status ar_st_writer_create(ar_st_writer **w);
ar_status ar_st_writer_metadata(ar_st_writer *w, const char *key, const char *value);
ar_status ar_st_writer_declare(ar_st_writer *w, const char *name, const char *dtype, int32_t dim_count,
                               const int64_t *dims);
ar_status ar_st_writer_begin(ar_st_writer *w, const char *path);
ar_status ar_st_writer_data(ar_st_writer *w, const void *src,
                            size_t bytes);       /* of the current tensor, in pieces */
ar_status ar_st_writer_finish(ar_st_writer **w); /* checks that everything declared was written, commits */
void ar_st_writer_abort(ar_st_writer **w);

/* ---- weights.c: named float tensors, whatever the file (safetensors folder, GGUF, packed formats) ---- */

typedef struct ar_weight {
    const char *name; /* Hugging Face name, "model.layers.0.self_attn.q_proj.weight" */
    int32_t dim_count;
    int64_t dims[4];
    const char *type; /* the storage type for `info`: "F16", "Q4_0", "gptq4g128", … */
    uint64_t file_bytes;
} ar_weight;
typedef struct ar_weights ar_weights;
typedef struct ar_weights_vtable {
    void (*close)(void *impl);
    int64_t (*count)(const void *impl);
    const ar_weight *(*at)(const void *impl, int64_t i);
    /* f32 rows [row, row + rows) of tensor i (dim 0 is the row; a 1-D tensor is one row). */
    ar_status (*read)(const void *impl, float *dst, int64_t i, int64_t row, int64_t rows);
    /* The codes exactly as stored, for read-back; UNSUPPORTED for float tensors. NULL = never. */
    ar_status (*read_codes)(const void *impl, ar_qlinear *q, int64_t i);
    /* The stored blocks of tensor i in the mapping, rows row_stride bytes apart and at any alignment;
     * UNSUPPORTED where there are none (then read_codes or read). NULL = never. */
    ar_status (*raw)(const void *impl, ar_qtype *type, const uint8_t **blocks, uint64_t *row_stride,
                     int64_t i);
    /* The stored row that is row `row` of tensor i, where raw gives blocks (GGUF orders the rows of q and k
     * of some models otherwise). NULL = the same. */
    int64_t (*raw_row)(const void *impl, int64_t i, int64_t row);
} ar_weights_vtable;
struct ar_weights {
    const ar_weights_vtable *vtable;
    void *impl;
    ar_notes notes; /* ar_weights_close frees them */
};
void ar_weights_close(ar_weights *w);
int64_t ar_weights_find(const ar_weights *w, const char *name); /* -1 if missing */
/* F32/F16/BF16 safetensors of a Hugging Face folder (path = the folder). */
ar_status ar_weights_open_safetensors(ar_weights *w, const char *folder);

#ifdef __cplusplus
}
#endif
#endif
