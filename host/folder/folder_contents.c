/* What lies in a folder, or in a file, that is no model as we read them: said by its name, so that whoever
 * meant another file sees which. */
#include "folder_contents.h"
#include "ar_error.h"
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

/* How a file is recognised that is not what is wanted. Rows in order: the first that matches counts. */
typedef struct kind {
    const char *start, *end; /* of its name */
    const char *what, *expected;
} kind;

static const kind without_config[] = {
    {"adapter_config.json", "", "an adapter (LoRA)", "the whole model that it was merged into"},
    {"", ".gguf", "a GGUF file", "that file itself instead of its folder"},
    {"model_index.json", "", "a pipeline of several models", "the folder of one of them"},
    {"params.json", "", "a checkpoint in its makers' own layout", "a Hugging Face folder"},
    {"", ".safetensors", "weights without their config.json", "config.json beside them"},
    {NULL, NULL, NULL, NULL}};

static const kind without_weights[] = {
    {"adapter_model", "", "an adapter (LoRA)", "the whole model that it was merged into"},
    {"model-", ".safetensors", "shards", "model.safetensors.index.json beside them"},
    {"", ".safetensors", "weights of another name", "model.safetensors"},
    {"", ".bin", "a pickled checkpoint", "safetensors"},
    {"", ".bin.index.json", "the index of a pickled checkpoint", "safetensors"},
    {"", ".pt", "a pickled checkpoint", "safetensors"},
    {"", ".pth", "a pickled checkpoint", "safetensors"},
    {"", ".ckpt", "a pickled checkpoint", "safetensors"},
    {"", ".h5", "TensorFlow's weights", "safetensors"},
    {"", ".msgpack", "Flax's weights", "safetensors"},
    {"", ".onnx", "an ONNX graph", "safetensors"},
    {"", ".gguf", "a GGUF file", "that file itself instead of its folder"},
    {NULL, NULL, NULL, NULL}};

static bool matches(const kind *k, const char *name) {
    size_t bytes = strlen(name), end = strlen(k->end);
    return strncmp(name, k->start, strlen(k->start)) == 0 && bytes >= end &&
           strcmp(name + bytes - end, k->end) == 0;
}

/* The first row that a file of the folder matches, and the first such name; NULL for none. */
static const kind *find_kind(char name[256], const char *folder, const kind *kinds) {
    const kind *found = NULL;
    for (const kind *k = kinds; k->what && !found; k++) {
        DIR *dir = opendir(folder);
        for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
            size_t bytes = strlen(e->d_name);
            if (bytes > 255 || !matches(k, e->d_name) || (found && strcmp(e->d_name, name) > 0)) continue;
            memcpy(name, e->d_name, bytes + 1);
            found = k;
        }
        if (dir) closedir(dir);
    }
    return found;
}

ar_status ar__folder_lacks_config(const char *folder) {
    char name[256];
    const kind *k = find_kind(name, folder, without_config);
    if (k)
        return ar__fail(AR_ERR_FORMAT, "%s: found %s (%s), expected %s", folder, k->what, name, k->expected);
    return ar__fail(AR_ERR_FORMAT, "%s: found a folder without config.json, expected a model's", folder);
}

ar_status ar__folder_lacks_weights(const char *folder) {
    char name[256];
    if (!ar_path_is_dir(folder))
        return ar__fail(AR_ERR_IO, "%s: found no folder there, expected one", folder);
    const kind *k = find_kind(name, folder, without_weights);
    if (k)
        return ar__fail(AR_ERR_FORMAT, "%s: found %s (%s), expected %s", folder, k->what, name, k->expected);
    return ar__fail(AR_ERR_FORMAT, "%s: found neither model.safetensors nor model.safetensors.index.json",
                    folder);
}

static bool begins(const ar_file *f, const char *bytes, size_t count) {
    return f->bytes >= count && memcmp(f->data, bytes, count) == 0;
}

ar_status ar__file_is_gguf(bool *gguf, const char *path) {
    ar_file f;
    size_t bytes = strlen(path);
    *gguf = bytes > 5 && strcmp(path + bytes - 5, ".gguf") == 0;
    struct stat info;
    if (*gguf || (stat(path, &info) == 0 && !S_ISREG(info.st_mode))) return AR_OK;
    AR_TRY(ar_file_open(&f, path));
    *gguf = begins(&f, "GGUF", 4);
    ar_file_close(&f);
    return AR_OK;
}

ar_status ar__file_is_no_model(const char *path) {
    ar_file f;
    const char *what = "a file", *expected = "a folder with config.json or a GGUF file";
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return ar__fail(AR_ERR_FORMAT, "%s: found a special file, expected %s", path, expected);
    AR_TRY(ar_file_open(&f, path));
    if (begins(&f, "PK\3\4", 4) || begins(&f, "\x80\2", 2)) what = "a pickled checkpoint";
    if (begins(&f, "tjgg", 4) || begins(&f, "fmgg", 4) || begins(&f, "algg", 4) || begins(&f, "lmgg", 4))
        what = "an old GGML file";
    if (f.bytes > 9 && f.data[8] == '{' && f.data[7] == 0) what = "a safetensors file";
    ar_file_close(&f);
    return ar__fail(AR_ERR_FORMAT, "%s: found %s, expected %s", path, what, expected);
}
