/* Any bytes as files of images: refused, or every pixel is there and every label a class. The first byte
 * tells how many of the last ones are the file of labels; 0: there is none, and the rest is CIFAR-10's form.
 */
#include "images.h"
#include <stdlib.h>

enum { CLASSES = 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    ar_images im;
    if (bytes < 1 || bytes - 1 < data[0]) return 0;
    char path[] = "fuzz";
    ar_file images = {.data = data + 1, .bytes = bytes - 1 - data[0], .path = path},
            labels = {.data = data + bytes - data[0], .bytes = data[0], .path = path};
    if (ar__images_parse(&im, &images, data[0] ? &labels : NULL, CLASSES) != AR_OK) return 0;
    volatile uint8_t sum = 0;
    for (int64_t p = 0; p < im.count * im.H * im.W * im.C; p++) sum = (uint8_t)(sum + im.pixels[p]);
    for (int64_t i = 0; i < im.count; i++)
        if (im.labels[i] >= CLASSES) abort();
    ar__images_deinit(&im);
    return 0;
}
