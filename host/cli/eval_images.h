/* anyround eval of a net for images. */
#ifndef AR_EVAL_IMAGES_H
#define AR_EVAL_IMAGES_H
#include "images.h"
#include "program.h"

/* Prints accuracy and confusion matrix of the net in folder path. labels NULL: images is CIFAR-10's binary
 * form. Errors: FORMAT, IO, the device's. */
ar_status ar__eval_images_run(const char *path, const char *images, const char *labels, int32_t batch,
                              const ar_common *common);

/* What the whole numbers of a net of few states say beside the net (said). */
typedef struct eval_whole {
    bool is_whole;
    int64_t same, bytes, float_bytes;
    double images_per_s, float_images_per_s;
} eval_whole;
/* Errors: FORMAT, IO, MEMORY, the device's. */
ar_status ar__eval_states_run(eval_whole *w, const char *path, const ar_images *im, const int32_t *said,
                              ar_device *device, int32_t batch);
#endif
