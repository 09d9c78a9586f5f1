/* Reading IDX and CIFAR-10 binary files; see images.h. Every length is checked before a byte is taken. */
#include "images.h"
#include <stdlib.h>
#include <string.h>

#define CIFAR_SIDE   32
#define CIFAR_RECORD (1 + 3 * CIFAR_SIDE * CIFAR_SIDE)

static uint32_t word(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The header of an IDX file of bytes with that many dimensions. */
static ar_status read_header(uint32_t dims[3], const ar_file *f, int32_t dim_count) {
    uint64_t bytes = 1, head = 4 + 4 * (uint64_t)dim_count;
    uint32_t magic = f->bytes >= 4 ? word(f->data) : 0, wanted = 0x800u + (uint32_t)dim_count;
    if (f->bytes >= 2 && f->data[0] == 0x1f && f->data[1] == 0x8b)
        return ar__fail(AR_ERR_FORMAT, "%s: is compressed by gzip, expected an IDX file: unpack it first",
                        f->path);
    if (magic != wanted)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: found magic 0x%08x, expected 0x%08x: IDX with %d dimensions of bytes", f->path,
                        magic, wanted, (int)dim_count);
    if (f->bytes < head)
        return ar__fail(AR_ERR_FORMAT, "%s: found %llu bytes, expected a header of %llu", f->path,
                        (unsigned long long)f->bytes, (unsigned long long)head);
    for (int32_t i = 0; i < dim_count; i++) {
        dims[i] = word(f->data + 4 + 4 * i);
        if (dims[i] < 1 || dims[i] > 1u << (i ? 12 : 28))
            return ar__fail(AR_ERR_FORMAT, "%s: dimension %d: found %u, expected 1 to %u", f->path, (int)i,
                            dims[i], 1u << (i ? 12 : 28));
        bytes *= dims[i];
    }
    if (f->bytes - head != bytes)
        return ar__fail(AR_ERR_FORMAT, "%s: found %llu bytes behind the header, expected %llu", f->path,
                        (unsigned long long)(f->bytes - head), (unsigned long long)bytes);
    return AR_OK;
}

static ar_status check_label(const char *path, int64_t i, int32_t label, int32_t classes) {
    if (label < classes) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s: label of image %lld: found %d, expected 0 to %d", path, (long long)i,
                    (int)label, (int)classes - 1);
}

static ar_status make_room(ar_images *i) {
    i->pixels = ar__alloc((size_t)i->count, (size_t)(i->H * i->W * i->C));
    i->labels = ar__alloc((size_t)i->count, 1);
    return i->pixels && i->labels ? AR_OK : AR_ERR_MEMORY;
}

static ar_status open_idx(ar_images *i, const ar_file *images, const ar_file *labels, int32_t classes) {
    uint32_t dims[3] = {0}, count[3] = {0};
    AR_TRY(read_header(dims, images, 3));
    AR_TRY(read_header(count, labels, 1));
    if (dims[0] != count[0])
        return ar__fail(AR_ERR_FORMAT, "%s: found %u labels, expected one for each of %u images",
                        labels->path, count[0], dims[0]);
    *i = (ar_images){.count = dims[0], .H = (int32_t)dims[1], .W = (int32_t)dims[2], .C = 1};
    AR_TRY(make_room(i));
    memcpy(i->pixels, images->data + 16, (size_t)(images->bytes - 16));
    memcpy(i->labels, labels->data + 8, (size_t)i->count);
    for (int64_t n = 0; n < i->count; n++) AR_TRY(check_label(labels->path, n, i->labels[n], classes));
    return AR_OK;
}

static ar_status open_cifar(ar_images *i, const ar_file *f, int32_t classes) {
    if (f->bytes == 0 || f->bytes % CIFAR_RECORD)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: found %llu bytes, expected whole records of %d (CIFAR-10's binary "
                        "form; IDX images come with a file of labels)",
                        f->path, (unsigned long long)f->bytes, CIFAR_RECORD);
    *i = (ar_images){.count = (int64_t)(f->bytes / CIFAR_RECORD), .H = CIFAR_SIDE, .W = CIFAR_SIDE, .C = 3};
    AR_TRY(make_room(i));
    for (int64_t n = 0; n < i->count; n++) {
        const uint8_t *from = f->data + n * CIFAR_RECORD;
        uint8_t *to = i->pixels + n * (CIFAR_RECORD - 1);
        AR_TRY(check_label(f->path, n, from[0], classes));
        i->labels[n] = from[0];
        for (int32_t p = 0; p < CIFAR_SIDE * CIFAR_SIDE; p++)
            for (int32_t c = 0; c < 3; c++) to[3 * p + c] = from[1 + c * CIFAR_SIDE * CIFAR_SIDE + p];
    }
    return AR_OK;
}

ar_status ar__images_parse(ar_images *i, const ar_file *images, const ar_file *labels, int32_t classes) {
    *i = (ar_images){0};
    ar_status status = labels ? open_idx(i, images, labels, classes) : open_cifar(i, images, classes);
    if (status != AR_OK) ar__images_deinit(i);
    return status;
}

ar_status ar__images_open(ar_images *i, const char *images, const char *labels, int32_t classes) {
    ar_file f = {0}, l = {0};
    *i = (ar_images){0};
    ar_status status = ar_file_open(&f, images);
    if (status == AR_OK && labels) status = ar_file_open(&l, labels);
    if (status == AR_OK) status = ar__images_parse(i, &f, labels ? &l : NULL, classes);
    ar_file_close(&f);
    ar_file_close(&l);
    return status;
}

void ar__images_deinit(ar_images *i) {
    free(i->pixels);
    free(i->labels);
    *i = (ar_images){0};
}
