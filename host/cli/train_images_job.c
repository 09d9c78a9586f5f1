/* anyround train on images: a net of convolutions or of products. */
#include "cmd_train.h"
#include "hf_folder.h"
#include "images.h"
#include "output.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct job {
    const train_options *o;
    const ar_common *common;
    char *out, *work, *made;
    ar_workplace place;
    ar_images images, test;
    ar_image_model model;
    ar_image_data data, test_data;
    ar_device *device;
    ar_net *net;
    ar_trainer *trainer;
    ar_train_values values;
    ar_train_desc desc;
    train_record record;
} job;

/* ---- the net ---- */

static ar_status make_model(job *j) {
    const train_options *o = j->o;
    ar_image_desc *d = &j->model.desc;
    bool is_cnn = strcmp(o->arch, "cnn") == 0;
    *d = (ar_image_desc){.H = j->images.H,
                         .W = j->images.W,
                         .C = j->images.C,
                         .classes = (int32_t)o->classes,
                         .seed = (uint64_t)j->common->seed};
    if (is_cnn)
        AR_TRY(ar__train_widths(d->conv, &d->conv_count, "--channels", o->channels ? o->channels : "16,32"));
    else if (o->channels)
        return ar__fail(AR_ERR_USAGE, "--channels: has no effect with --arch mlp");
    AR_TRY(ar__train_pools(d->H, d->W, d->conv_count));
    return ar__train_widths(d->hidden, &d->hidden_count, "--widths",
                            o->widths ? o->widths
                            : is_cnn  ? "64"
                                      : "128,128");
}

/* ---- the run ---- */

static ar_status check_options(const train_options *o) {
    if (o->model || !o->arch || (strcmp(o->arch, "cnn") != 0 && strcmp(o->arch, "mlp") != 0))
        return ar__fail(AR_ERR_USAGE, "anyround train: --images wants --arch cnn or mlp, and no MODEL");
    if (o->text || o->tokenizer || o->type || o->starts > 0 || o->dropout > 0 || o->T)
        return ar__fail(
            AR_ERR_USAGE,
            "anyround train: --text, --tokenizer, --type, --starts, --dropout and --seqlen have no "
            "effect with --images");
    if (o->test_labels && !o->test_images)
        return ar__fail(AR_ERR_USAGE, "--test-labels: has no effect without --test-images");
    return AR_OK;
}

static ar_status check_places(job *j) {
    const train_options *o = j->o;
    const ar_input inputs[] = {{o->images, "the images"},
                               {o->labels, "the labels"},
                               {o->test_images, "the images"},
                               {o->test_labels, "the labels"}};
    AR_TRY(ar__path_resolve(&j->out, o->out));
    AR_TRY(ar__hf_folder_check(j->out, o->images));
    AR_TRY(ar__path_check_inputs(j->out, true, inputs, 4));
    return ar__train_check_beside(o, j->out, inputs, 4);
}

static void record(job *j) {
    train_record *r = &j->record;
    const train_options *o = j->o;
    const ar_images *im = &j->images;
    uint64_t hash = ar_hash64(0, im->pixels, (size_t)(im->count * im->H * im->W * im->C));
    ar__train_record(r, "architecture", "%s, channels %s, widths %s, %d classes", o->arch,
                     o->channels ? o->channels : "-", o->widths ? o->widths : "-", (int)o->classes);
    ar__train_record(r, "images", "%016llx",
                     (unsigned long long)ar_hash64(hash, im->labels, (size_t)im->count));
    ar__train_record(r, "examples", "%.9g held out", o->held);
    ar__train_record_steps(r, o, &j->desc, j->common, j->device);
}

static ar_status prepare(job *j) {
    const train_options *o = j->o;
    AR_TRY(check_places(j));
    AR_TRY(ar__images_open(&j->images, o->images, o->labels, (int32_t)o->classes));
    if (o->test_images)
        AR_TRY(ar__images_open(&j->test, o->test_images, o->test_labels, (int32_t)o->classes));
    AR_TRY(make_model(j));
    int64_t train_count = j->images.count - (int64_t)((double)j->images.count * o->held);
    if (train_count < 1)
        return ar__fail(AR_ERR_USAGE, "--held-out: leaves no image of %lld", (long long)j->images.count);
    ar__image_statistics(&j->model, &j->images, train_count);
    AR_TRY(ar__image_data_init(&j->data, &j->images, &j->model, train_count, j->desc.batch,
                               (uint64_t)j->common->seed));
    if (o->test_images) AR_TRY(ar__image_data_init(&j->test_data, &j->test, &j->model, 0, 1, 0));
    AR_TRY(ar__train_workplace(&j->place, &j->work, j->out, o->resume));
    AR_TRY(ar_program_device(&j->device, j->common, true));
    AR_TRY(ar_net_image_create(&j->net, &j->model.desc, j->device, NULL));
    AR_TRY(ar_trainer_create(&j->trainer, j->net, &j->data.data, &j->desc, j->device));
    return ar__train_values_init(&j->values, j->net);
}

static ar_status finish(void *ctx, ar_train_result *r, const ar_observer *observer) {
    job *j = ctx;
    (void)observer;
    ar_train_score test;
    if (j->o->test_images) {
        AR_TRY(ar_net_score(&test, NULL, j->net, &j->test_data.data, j->device, 256));
        r->tested = test.labels;
        r->test_accuracy = test.accuracy;
    }
    AR_TRY(ar_path_join(&j->made, j->work, "out"));
    AR_TRY(ar__image_model_write(j->out, j->made, &j->model, j->net, j->values.values));
    return ar__workplace_clear(j->work);
}

static ar_status train(job *j) {
    AR_TRY(prepare(j));
    record(j);
    train_run run = {.stage = "train images",
                     .work = j->work,
                     .record = j->record.text,
                     .trainer = j->trainer,
                     .data = &j->data.data,
                     .values = &j->values,
                     .units = (double)j->desc.batch,
                     .finish = finish,
                     .ctx = j};
    return ar__train_go(&run, j->o, &j->desc, j->common);
}

ar_status ar__train_images_run(const train_options *o, const ar_common *common) {
    job j = {.o = o, .common = common, .place = {.lock = -1}};
    ar_status status = check_options(o);
    if (status == AR_OK) status = ar__train_desc_make(&j.desc, o);
    if (status == AR_OK) status = train(&j);
    ar_trainer_destroy(j.trainer);
    ar__train_values_deinit(&j.values);
    ar_net_destroy(j.net);
    ar_device_close(j.device);
    ar__workplace_close(&j.place);
    ar__images_deinit(&j.images);
    ar__images_deinit(&j.test);
    free(j.out);
    free(j.work);
    free(j.made);
    return status;
}
