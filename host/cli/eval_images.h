/* anyround eval of a net for images. */
#ifndef AR_EVAL_IMAGES_H
#define AR_EVAL_IMAGES_H
#include "images.h"
#include "program.h"

typedef struct eval_images_options {
    const char *images, *labels; /* labels NULL: images is CIFAR-10's binary form */
    const char *save_classes;    /* a file to write: the class of each image, a line each; NULL = none */
    int32_t batch;
    bool codes; /* compare the codes of a net of few states */
} eval_images_options;
/* Prints accuracy and confusion matrix of the net in folder path. Errors: USAGE for what such a net has not;
 * CHECK where codes differ; FORMAT, IO, the device's. */
ar_status ar__eval_images_run(const char *path, const eval_images_options *o, const ar_common *common);

/* What the whole numbers of a net of few states say beside the net (said). */
typedef struct eval_whole {
    bool is_whole;
    int64_t same, bytes, float_bytes;
    double images_per_s, float_images_per_s;
} eval_whole;
/* Errors: FORMAT, IO, MEMORY, the device's. */
ar_status ar__eval_states_run(eval_whole *w, const char *path, const ar_images *im, const int32_t *said,
                              ar_device *device, int32_t batch);
/* Every code of every layer and image, against those of training's own graph outside training. */
typedef struct eval_codes {
    bool is_compared;
    int64_t codes;                /* that were compared in each way */
    int64_t device, host, folded; /* that differ: in whole numbers, and with folded floats on the host */
    int64_t classes;              /* that differ, an image counting once for each way */
} eval_codes;
/* net: the one in folder path. Errors: FORMAT, IO, MEMORY, the device's. */
ar_status ar__eval_codes_run(eval_codes *e, const char *path, const ar_net *net, const ar_images *im,
                             ar_device *device, int32_t batch);
#endif
