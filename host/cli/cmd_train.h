/* anyround train: its options, which cmd_train.c parses, and what training texts and images
 * share (train_shared.c). */
#ifndef AR_CMD_TRAIN_H
#define AR_CMD_TRAIN_H
#include "place.h"
#include "program.h"
#include "train.h"
#include "workplace.h"

typedef struct train_options {
    const char *model, *out, *text, *arch, *tokenizer, *type, *optimizer, *schedule, *keep, *curve, *report;
    const char *images, *labels, *test_images, *test_labels, *channels, *widths;
    int64_t classes, layers, hidden, heads, kv_heads, intermediate, context, T;
    int64_t steps, batch, accumulate, warmup, checkpoint_every, evaluate_every;
    double lr, lr_end, decay, beta1, beta2, momentum, clip, dropout, held, starts;
    bool untied, resume, recompute;
    const char *recipe, *norm, *lbn_stats; /* of nets of few states */
    int64_t mw, ma;
    bool raw_weights, plain_gradients, states; /* states: one of these is given */
} train_options;

/* What the options say of steps. Errors: USAGE. */
ar_status ar__train_desc_make(ar_train_desc *d, const train_options *o);
ar_status ar__train_text_run(const train_options *o, const ar_common *common);
ar_status ar__train_images_run(const train_options *o, const ar_common *common);
/* Nets of few states: their own options, how many; the run. */
int32_t ar__train_states_options(ar_option *list, train_options *p);
ar_status ar__train_states_run(const train_options *o, const ar_common *common);
/* Few states in a language model's products: is_few = false without a recipe. Errors: USAGE. */
ar_status ar__train_lm_states(ar_lm_states_desc *d, bool *is_few, const train_options *o);
/* What is kept, looked at with statistics of batches too. Errors: the device's. */
ar_status ar__train_gap(ar_train_result *r, const ar_net *net, const ar_data *data, ar_device *device,
                        int32_t batch);
/* "16,32": up to AR_IMAGE_LAYERS widths. Errors: USAGE with the option's name. */
ar_status ar__train_widths(int32_t *out, int32_t *count, const char *option, const char *text);
/* Whether something is left of H x W behind so many pools. Errors: USAGE. */
ar_status ar__train_pools(int32_t H, int32_t W, int32_t count);
/* Everything the result depends on, a line each, as checkpoints keep it. */
typedef struct train_record {
    char text[4096];
    size_t used;
} train_record;
void ar__train_record(train_record *r, const char *name, const char *format, ...) AR__PRINTF(3, 4);
void ar__train_record_steps(train_record *r, const train_options *o, const ar_train_desc *d,
                            const ar_common *common, const ar_device *device);
/* "OUT.part" with nothing in it, or where resuming what is there; the caller closes place. Errors: USAGE, IO.
 */
ar_status ar__train_workplace(ar_workplace *place, char **work, const char *out, bool resume);
/* The files beside OUT, --curve and --report, may be written and are none that is read. Errors: USAGE, IO. */
ar_status ar__train_check_beside(const train_options *o, const char *out, const ar_input *inputs,
                                 int32_t count);
/* What is trained, and what is made of it at the end. */
typedef struct train_run {
    const char *stage, *work, *record;
    ar_trainer *trainer;
    const ar_data *data;
    ar_train_values *values;
    double units; /* tokens or images of a step */
    ar_status (*finish)(void *ctx, ar_train_result *r, const ar_observer *observer);
    void *ctx;
} train_run;
/* Trains, finishes and says on stdout what was reached. */
ar_status ar__train_go(const train_run *t, const train_options *o, const ar_train_desc *desc,
                       const ar_common *common);
#endif
