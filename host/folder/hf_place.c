/* Where a folder that we write comes to stand: what may be replaced, and replacing it. Nothing is removed
 * that we did not write. */
#include "factors.h"
#include "formats.h"
#include "hf_folder.h"
#include "place.h"
#include "states_folder.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const ar__hf_copied[] = {"generation_config.json",
                                     "tokenizer.json",
                                     "tokenizer_config.json",
                                     "special_tokens_map.json",
                                     "added_tokens.json",
                                     "vocab.json",
                                     "merges.txt",
                                     "tokenizer.model",
                                     "chat_template.jinja",
                                     "LICENSE",
                                     "LICENSE.txt",
                                     "LICENSE.md",
                                     "NOTICE",
                                     "USE_POLICY.md",
                                     NULL};

/* Is this the name of a file that we write into a folder? */
static bool is_written_name(const char *name) {
    static const char *const others[] = {
        "config.json",     "quantization_config.json",     "anyround.json",    AR__FACTORS_FILE,
        AR__STATES_PARAMS, "model.safetensors.index.json", "model.safetensors"};
    int shard, count, end = 0;
    for (size_t i = 0; ar__hf_copied[i]; i++)
        if (strcmp(name, ar__hf_copied[i]) == 0) return true;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(name, others[i]) == 0) return true;
    return sscanf(name, "model-%5d-of-%5d.safetensors%n", &shard, &count, &end) == 2 && end > 0 &&
           name[end] == '\0';
}

/* Did a run of this program write this file? Of those that hold no tensors only the name can tell. */
static ar_status is_written(bool *ours, bool *tensors, const char *dir, const char *name) {
    struct stat info;
    ar_safetensors *st = NULL;
    char *path;
    size_t n = strlen(name);
    AR_TRY(ar_path_join(&path, dir, name));
    *ours = is_written_name(name) && lstat(path, &info) == 0 && S_ISREG(info.st_mode);
    if (*ours && n > 12 && strcmp(name + n - 12, ".safetensors") == 0) {
        *ours = ar_safetensors_open(&st, path) == AR_OK;
        const char *writer = *ours ? ar_safetensors_metadata(st, AR_HF_WRITER_KEY) : NULL;
        *ours = writer && strcmp(writer, AR_HF_WRITER) == 0;
        if (*ours) *tensors = true;
        ar_safetensors_close(st);
    }
    free(path);
    return AR_OK;
}

/* A folder that may be replaced holds nothing but what we wrote: what else is there would be lost. */
static ar_status check_replaceable(const char *path) {
    ar_status status = AR_OK;
    bool ours = true, tensors = false;
    char found[256] = ""; /* what is not ours, else the last that may be */
    if (!ar_path_is_dir(path))
        return ar__fail(AR_ERR_IO, "%s: found a file, expected a folder or nothing", path);
    DIR *dir = opendir(path);
    if (!dir && errno == ENOENT) return AR_OK; /* just moved away */
    if (!dir) return ar__fail(AR_ERR_IO, "%s: cannot list the folder: %s", path, strerror(errno));
    for (struct dirent *e = readdir(dir); e && ours && status == AR_OK; e = readdir(dir)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        snprintf(found, sizeof found, "%s", e->d_name);
        status = is_written(&ours, &tensors, path, e->d_name);
    }
    closedir(dir);
    AR_TRY(status);
    if (!found[0] || (ours && tensors)) return AR_OK;
    const ar_format *of = ar_format_find(found);
    if (strcmp(found, "model.gguf") == 0 || (of && of->is_folder))
        return ar__fail(
            AR_ERR_IO,
            "%s: found %s in it, as several formats are written; one format would replace the whole "
            "folder: expected it removed, or another place",
            path, found);
    return ar__fail(AR_ERR_IO,
                    "%s: found %s, which this program did not write; expected an older output of its own, an "
                    "empty folder or nothing",
                    path, found);
}

/* Without slashes at the end, behind which a file is not found. */
static char *trim(const char *path) {
    size_t n = ar__path_length(path);
    char *trimmed = ar__alloc(n + 1, 1);
    if (trimmed) memcpy(trimmed, path, n);
    return trimmed;
}

ar_status ar__hf_folder_check(const char *path, const char *model_path) {
    AR_TRY(ar__path_check_inputs(path, true, &(ar_input){model_path, "the model"}, 1));
    if (ar__path_ends(path, ".gguf") && !ar_path_is_dir(path))
        return ar__fail(AR_ERR_IO, "%s: found a GGUF file's name, expected another: a folder is written",
                        path);
    char *final = trim(path);
    if (!final) return AR_ERR_MEMORY;
    ar_status status = ar_path_exists(final) ? check_replaceable(final) : AR_OK;
    free(final);
    return status;
}

/* Removes what we wrote into a folder, and the folder if nothing else has come into it. */
static ar_status remove_written(const char *path) {
    ar_status status = AR_OK;
    DIR *dir = opendir(path);
    for (struct dirent *e = dir ? readdir(dir) : NULL; e && status == AR_OK; e = readdir(dir)) {
        if (!is_written_name(e->d_name)) continue;
        char *file = NULL;
        status = ar_path_join(&file, path, e->d_name);
        if (status == AR_OK && unlink(file) != 0)
            status = ar__fail(AR_ERR_IO, "%s: cannot remove: %s", file, strerror(errno));
        free(file);
    }
    if (dir) closedir(dir);
    if (status == AR_OK && rmdir(path) != 0)
        status =
            ar__fail(AR_ERR_IO, "%s: cannot remove what the new output replaces: %s", path, strerror(errno));
    return status;
}

ar_status ar__hf_folder_place(const char *path, const char *made) {
    char *final = trim(path), *old = NULL;
    ar_status status = AR_OK;
    if (!final) return AR_ERR_MEMORY;
    if (!ar_path_exists(final)) AR_GO(ar_path_move(made, final));
    if (!ar_path_exists(made)) goto done;
    AR_GO(ar__dir_create_new(&old, final, ".replaced"));
    status = ar_path_move(final, old); /* onto the empty folder */
    if (status != AR_OK) (void)rmdir(old);
    AR_GO(status);
    status = ar_path_move(made, final);
    if (status != AR_OK) (void)rename(old, final);
    AR_GO(status);
    AR_GO(remove_written(old));
done:
    free(final);
    free(old);
    return status;
}
