/* Images with classes, as data sets hold them, and nets that were trained on such. */
#ifndef AR_IMAGES_H
#define AR_IMAGES_H
#include "ar_error.h"
#include "ar_host.h"

/* ---- images.c: files of images, untrusted ---- */

typedef struct ar_images {
    int64_t count;
    int32_t H, W, C;
    uint8_t *pixels; /* (count, H, W, C) */
    uint8_t *labels; /* (count), below the classes that were asked for */
} ar_images;
/* IDX files of bytes (MNIST's: magic 0x00000803 and 0x00000801, sizes in big-endian words), or with labels
 * NULL CIFAR-10's binary form, records of a label and 3 planes of 32 x 32. Errors: FORMAT (magic, sizes, a
 * file that is shorter or longer than it says, other counts of images and labels, a label that is no class),
 * IO, MEMORY.
 */
ar_status ar__images_open(ar_images *i, const char *images, const char *labels, int32_t classes);
/* The same of bytes in memory; path names them in errors. labels NULL: CIFAR-10's binary form. */
ar_status ar__images_parse(ar_images *i, const ar_file *images, const ar_file *labels, int32_t classes);
void ar__images_deinit(ar_images *i);

/* ---- image_model.c: a net and what its inputs are, as a folder ---- */

#define AR_IMAGE_CHANNELS 4
#define AR_IMAGE_TENSORS  "model.safetensors"
typedef struct ar_image_model {
    ar_image_desc desc;
    float mean[AR_IMAGE_CHANNELS], std[AR_IMAGE_CHANNELS]; /* of a channel's values / 255 */
} ar_image_model;
/* Is there a folder at path with such a net? */
bool ar__image_model_is(const char *path);
/* config.json and model.safetensors in `made`, which is then put at path. values: as ar_net_image_create. */
ar_status ar__image_model_write(const char *path, const char *made, const ar_image_model *m,
                                const ar_net *net, float *const *values);
/* What config.json says. Errors: FORMAT names the key; IO, MEMORY. */
ar_status ar__image_model_config(ar_image_model *m, const char *path);
/* *net on the device. Errors: FORMAT names key or tensor, found and expected; IO, MEMORY, the device's. */
ar_status ar__image_model_open(ar_image_model *m, ar_net **net, const char *path, ar_device *device);

/* ---- image_data.c: images as data ---- */

typedef struct ar_image_data {
    ar_data data;
    const ar_images *images;
    const ar_image_model *model;
    int64_t train_count; /* the first images; the others are held out */
    int32_t batch;
    uint64_t seed;
} ar_image_data;
/* Every image once, shuffled, before any comes again; what is behind the first train_count is held out.
 * Errors: FORMAT for images of another size than the model's. */
ar_status ar__image_data_init(ar_image_data *d, const ar_images *images, const ar_image_model *m,
                              int64_t train_count, int32_t batch, uint64_t seed);
/* Mean and deviation of each channel over the first `count` images. */
void ar__image_statistics(ar_image_model *m, const ar_images *images, int64_t count);
#endif
