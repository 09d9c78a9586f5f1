/* anyround eval of a net for images. */
#ifndef AR_EVAL_IMAGES_H
#define AR_EVAL_IMAGES_H
#include "program.h"

/* Prints accuracy and confusion matrix of the net in folder path. labels NULL: images is CIFAR-10's binary
 * form. Errors: FORMAT, IO, the device's. */
ar_status ar__eval_images_run(const char *path, const char *images, const char *labels, int32_t batch,
                              const ar_common *common);
#endif
