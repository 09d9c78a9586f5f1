/* Inputs, and what may be written beside them; see place.h. */
#include "place.h"
#include "ar_error.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- inputs ---- */

/* The name in folder that leads to the file path, or (is_folder) into it; NULL = none. free(). */
static ar_status find_entry(char **name, const char *folder, const char *path, bool is_folder) {
    ar_status status = AR_OK;
    DIR *dir = opendir(folder);
    *name = NULL;
    for (struct dirent *e = dir ? readdir(dir) : NULL; e && status == AR_OK && !*name; e = readdir(dir)) {
        char *entry = NULL;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        status = ar_path_join(&entry, folder, e->d_name);
        if (status != AR_OK) break;
        if (ar__path_is_same(path, entry) || (is_folder && ar__path_is_within(entry, path)))
            *name = entry;
        else
            free(entry);
    }
    if (dir) closedir(dir);
    return status;
}

/* Whether path is another file of those that `of` is one of by its name. */
static bool is_piece(const char *path, const char *of) {
    int64_t piece, count, own, all;
    if (!ar__piece_number(&own, &all, of) || !ar__piece_number(&piece, &count, path) || count != all)
        return false;
    char *name = ar__piece_name(of, piece);
    bool is = name && ar__path_is_same(path, name);
    free(name);
    return is;
}

static ar_status check_input(const char *path, bool is_folder, const ar_input *in) {
    struct stat at;
    char *entry = NULL;
    bool exists = ar_path_exists(path);
    if (stat(in->path, &at) != 0 || (!S_ISREG(at.st_mode) && !S_ISDIR(at.st_mode))) return AR_OK;
    if (ar__path_is_same(path, in->path))
        return ar__fail(AR_ERR_IO, "%s: found %s itself, expected another place", path, in->what);
    if (S_ISDIR(at.st_mode) && ar__path_is_within(path, in->path))
        return ar__fail(AR_ERR_IO, "%s: lies inside %s, expected a place outside %s", path, in->what,
                        in->path);
    if (is_folder && exists && ar__path_is_within(in->path, path))
        return ar__fail(AR_ERR_IO, "%s: holds %s, which would be replaced; expected another place", path,
                        in->what);
    if (!S_ISDIR(at.st_mode) && exists && is_piece(path, in->path))
        return ar__fail(AR_ERR_IO, "%s: is a file of %s; expected another place", path, in->what);
    if (!S_ISDIR(at.st_mode) || !exists) return AR_OK;
    AR_TRY(find_entry(&entry, in->path, path, is_folder));
    ar_status status = !entry ? AR_OK
                              : ar__fail(AR_ERR_IO, "%s: %s %s, a file of %s; expected another place", path,
                                         is_folder ? "holds" : "is", entry, in->what);
    free(entry);
    return status;
}

ar_status ar__path_check_inputs(const char *path, bool is_folder, const ar_input *inputs, int32_t count) {
    for (int32_t i = 0; i < count; i++)
        if (inputs[i].path) AR_TRY(check_input(path, is_folder, &inputs[i]));
    return AR_OK;
}
