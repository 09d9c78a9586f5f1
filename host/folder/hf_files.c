/* The small files of a folder: written, or taken over from a source that is one, and read back. */
#include "hf_folder.h"
#include <stdlib.h>
#include <string.h>

/* CHECK unless the file holds these bytes; names the first that differs. */
static ar_status verify_bytes(const char *path, const void *data, uint64_t bytes) {
    ar_file f;
    ar_status status = AR_OK;
    AR_TRY(ar_file_open(&f, path));
    const uint8_t *want = data;
    uint64_t at = 0, end = f.bytes < bytes ? f.bytes : bytes;
    while (at < end && f.data[at] == want[at]) at++;
    if (at < end)
        status = ar__fail(AR_ERR_CHECK, "%s: byte %llu read back is 0x%02x, expected 0x%02x", path,
                          (unsigned long long)at, f.data[at], want[at]);
    else if (f.bytes != bytes)
        status = ar__fail(AR_ERR_CHECK, "%s: %llu bytes were read back, expected %llu", path,
                          (unsigned long long)f.bytes, (unsigned long long)bytes);
    ar_file_close(&f);
    return status;
}

ar_status ar__hf_write_text(const char *dir, const char *name, const char *text) {
    ar_status status = AR_OK;
    ar_writer *w = NULL;
    char *path = NULL;
    AR_GO(ar_path_join(&path, dir, name));
    AR_GO(ar_writer_open(&w, path));
    AR_GO(ar_writer_write(w, text, strlen(text)));
    AR_GO(ar_writer_commit(&w));
    AR_GO(verify_bytes(path, text, strlen(text)));
done:
    ar_writer_abort(&w);
    free(path);
    return status;
}

ar_status ar__hf_write_json(const char *dir, const char *name, const cJSON *root) {
    char *text;
    AR_TRY(ar_json_print(&text, root, true, name));
    ar_status status = ar__hf_write_text(dir, name, text);
    free(text);
    return status;
}

bool ar__hf_is_type(const char *path, const char *type) {
    char *config = NULL;
    ar_json *root = NULL;
    const char *found = NULL;
    if (!ar_path_is_dir(path) || ar_path_join(&config, path, "config.json") != AR_OK) return false;
    bool is_one = ar_path_exists(config) && ar_json_open(&root, config, (size_t)1 << 20) == AR_OK &&
                  ar_json_string_or(&found, root, "model_type", "", config) == AR_OK &&
                  strcmp(found, type) == 0;
    ar_json_close(root);
    free(config);
    return is_one;
}

static ar_status copy_file(const char *from_dir, const char *to_dir, const char *name) {
    ar_status status = AR_OK;
    char *from = NULL, *to = NULL;
    ar_file in = {0};
    ar_writer *w = NULL;
    AR_GO(ar_path_join(&from, from_dir, name));
    if (!ar_path_exists(from)) goto done;
    AR_GO(ar_path_join(&to, to_dir, name));
    AR_GO(ar_file_open(&in, from));
    AR_GO(ar_writer_open(&w, to));
    AR_GO(ar_writer_write(w, in.data, (size_t)in.bytes));
    AR_GO(ar_writer_commit(&w));
done:
    ar_writer_abort(&w);
    ar_file_close(&in);
    free(from);
    free(to);
    return status;
}

ar_status ar__hf_copy_files(const char *path, const ar_write_source *src) {
    for (size_t i = 0; ar__hf_copied[i]; i++) AR_TRY(copy_file(src->model->path, path, ar__hf_copied[i]));
    return AR_OK;
}

static ar_status verify_copy(const char *dir, const char *from_dir, const char *name) {
    ar_status status = AR_OK;
    char *path = NULL, *from = NULL;
    ar_file source = {0};
    AR_GO(ar_path_join(&from, from_dir, name));
    if (!ar_path_exists(from)) goto done;
    AR_GO(ar_path_join(&path, dir, name));
    AR_GO(ar_file_open(&source, from));
    AR_GO(verify_bytes(path, source.data, source.bytes));
done:
    ar_file_close(&source);
    free(from);
    free(path);
    return status;
}

ar_status ar__hf_verify_copies(const char *path, const ar_write_source *src) {
    const char *from = src->model->path;
    for (size_t i = 0; ar_path_is_dir(from) && ar__hf_copied[i]; i++)
        AR_TRY(verify_copy(path, from, ar__hf_copied[i]));
    return AR_OK;
}
