/* Where a path leads: links, files that are written through, inputs that no output may name. */
#ifndef AR_PLACE_H
#define AR_PLACE_H
#include "ar_host.h"

/* ---- path.c ---- */

/* What stands behind the last /, for people to read; all of it where that is nothing. */
const char *ar__path_name(const char *path);
/* Its bytes without slashes at the end; those of "/" stay. */
size_t ar__path_length(const char *path);
/* Does it end so (".gguf"), and begin before that? Capitals count as small letters. */
bool ar__path_ends(const char *path, const char *ending);
/* The absolute path without links, also where the last name does not exist yet; NULL where nothing can be,
 * and where memory fails. free(). */
char *ar__path_canonical(const char *path);
/* The folder around path ("." for a bare name), and its last name; free() both. Errors: MEMORY. */
ar_status ar__path_split(char **folder, char **name, const char *path);
/* Do both exist, and are they one file or folder? By device and inode: also for links, hard ones too. */
bool ar__path_is_same(const char *a, const char *b);
/* Is path this folder, or anywhere below it? path need not exist yet. By device and inode of every folder on
 * the way. */
bool ar__path_is_within(const char *path, const char *folder);
/* *resolved = what a writer of path writes to: the target of a link (of links), which need not exist; path
 * itself where it is none. free(). Errors: IO for links in a circle, MEMORY. */
ar_status ar__path_resolve(char **resolved, const char *path);
/* Whether path is something that is written through and never replaced: a FIFO, a device, a socket, or a
 * descriptor of a process (/dev/stdout) even where that is a regular file. */
bool ar__path_is_through(const char *path);
/* An open descriptor that writes to such a path; one of this process's own descriptors is duplicated, so that
 * what it wrote before stays. Errors: IO. */
ar_status ar__path_open_through(int *fd, const char *path);
/* Creates the folder PATHSUFFIX-<process>-<n>, which did not exist: what others have there stays. free(). */
ar_status ar__dir_create_new(char **made, const char *path, const char *suffix);

/* ---- pieces.c ---- */

/* Which of how many files path is by its name, from 1 on; false where it does not end as such names do. */
bool ar__piece_number(int64_t *piece, int64_t *count, const char *path);
/* The path of another one beside it, from 1 on; NULL where memory fails. free(). */
char *ar__piece_name(const char *path, int64_t piece);

/* ---- place.c ---- */

/* Something a run reads: a file, or a folder with all that is in it. */
typedef struct ar_input {
    const char *path; /* NULL = none */
    const char *what; /* "the model" */
} ar_input;
/* Whether path may be written, or (is_folder) replaced as a whole, without touching what is read. Errors: IO
 * when it is an input, a file that one of an input folder's names leads to, lies inside an input folder, or
 * is a folder that holds an input. */
ar_status ar__path_check_inputs(const char *path, bool is_folder, const ar_input *inputs, int32_t count);
#endif
