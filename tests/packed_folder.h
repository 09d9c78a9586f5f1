/* For tests of packed folders: what a written folder's files hold, and small made-up folders with faults. */
#ifndef AR_PACKED_FOLDER_H
#define AR_PACKED_FOLDER_H
#include "temp_files.h"

#define QC(members) "{\"quantization_config\":{" members "}}"

/* The file, less its white space, holds this. */
static inline bool file_holds(const char *folder, const char *name, const char *part) {
    char *text;
    size_t bytes;
    assert_ok(ar_file_read_text(&text, &bytes, in_folder(folder, name), 1 << 20));
    char *to = text;
    for (const char *from = text; *from; from++)
        if (!strchr(" \t\n", *from)) *to++ = *from;
    *to = 0;
    bool holds = strstr(text, part) != NULL;
    free(text);
    return holds;
}

typedef struct bad_tensor {
    const char *name, *dtype; /* dtype NULL: it is left out */
    int32_t dim_count;
    int64_t dims[2];
} bad_tensor;

/* A folder with this config.json and these tensors, every byte of them `fill`; change replaces the tensor of
 * its name, or is added. */
static inline char *packed_folder(const char *config, const bad_tensor *base, int count,
                                  const bad_tensor *change, uint8_t fill) {
    bad_tensor list[16];
    bool replaced = !change;
    for (int i = 0; i < count; i++) {
        list[i] = base[i];
        if (replaced || strcmp(list[i].name, change->name) != 0) continue;
        list[i] = *change;
        replaced = true;
    }
    if (!replaced) list[count++] = *change;
    char *folder = temp_folder();
    put_text(in_folder(folder, "config.json"), config);
    ar_st_writer *w;
    assert_ok(ar_st_writer_create(&w));
    for (int i = 0; i < count; i++)
        if (list[i].dtype)
            assert_ok(ar_st_writer_declare(w, list[i].name, list[i].dtype, list[i].dim_count, list[i].dims));
    assert_ok(ar_st_writer_begin(w, in_folder(folder, "model.safetensors")));
    for (int i = 0; i < count; i++) {
        const char *c = list[i].dtype;
        if (!c) continue;
        int64_t elements = list[i].dims[0] * (list[i].dim_count > 1 ? list[i].dims[1] : 1),
                each = strchr(c, '8')    ? 1
                       : strstr(c, "16") ? 2
                       : strstr(c, "64") ? 8
                                         : 4;
        for (int64_t k = 0; k < elements * each; k++) assert_ok(ar_st_writer_data(w, &fill, 1));
    }
    assert_ok(ar_st_writer_finish(&w));
    return folder;
}

/* Overwrites the data of one tensor of FOLDER/model.safetensors. */
static inline void patch_tensor(const char *folder, const char *name, const void *data, size_t bytes) {
    ar_safetensors *st;
    ar_file f;
    assert_ok(ar_safetensors_open(&st, in_folder(folder, "model.safetensors")));
    assert_ok(ar_file_open(&f, in_folder(folder, "model.safetensors")));
    const ar_st_tensor *t = ar_safetensors_find(st, name);
    assert_non_null(t);
    assert_int_equal(t->bytes, bytes);
    size_t all = (size_t)f.bytes;
    uint8_t *copy = malloc(all);
    memcpy(copy, f.data, all);
    uint64_t header; /* the data begins after it; tensors are listed by position */
    memcpy(&header, copy, 8);
    size_t from = 8 + (size_t)header + (size_t)(t->data - ar_safetensors_at(st, 0)->data);
    memcpy(copy + from, data, bytes);
    ar_file_close(&f);
    ar_safetensors_close(st);
    put_file(in_folder(folder, "model.safetensors"), copy, all);
    free(copy);
}
#endif
