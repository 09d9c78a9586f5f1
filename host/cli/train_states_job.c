/* anyround train --recipe maqd: nets of few states ("MaQD-style", docs/maqd.md). */
#include "byte_data.h"
#include "cmd_train.h"
#include "hf_folder.h"
#include "images.h"
#include "output.h"
#include "states_folder.h"
#include <stdlib.h>
#include <string.h>

#define BYTES   256
#define CONTEXT 12 /* bytes that byte-mlp reads */
#define EMBED   16

typedef struct job {
    const train_options *o;
    const ar_common *common;
    char *out, *work, *made;
    ar_workplace place;
    ar_file text;
    ar_byte_data bytes;
    ar_images images, test;
    ar_image_model model; /* says that pixels are bytes over 255 */
    ar_image_data image_data, test_data;
    ar_states_desc net_desc;
    const ar_data *data;
    ar_device *device;
    ar_net *net;
    ar_trainer *trainer;
    ar_train_values values;
    ar_train_desc desc;
    train_record record;
} job;

/* ---- options ---- */

int32_t ar__train_states_options(ar_option *list, train_options *p) {
    const ar_option rows[] = {
        {"--recipe", AR_OPT_STRING, &p->recipe, "R",
         "maqd: weights and activations of few states (cnn, mlp, byte-mlp, llama)", 0, 0, NULL},
        {"--mw", AR_OPT_INT, &p->mw, "M", "maqd: states of weights, 2 to 256 (7; 0 = floats)", 0, 256,
         &p->states},
        {"--ma", AR_OPT_INT, &p->ma, "M", "maqd: states of activations (7; 0 = floats)", 0, 256, &p->states},
        {"--norm", AR_OPT_STRING, &p->norm, "N", "maqd: layer-batch (default), batch or layer", 0, 0,
         &p->states},
        {"--lbn-stats", AR_OPT_STRING, &p->lbn_stats, "S",
         "variance of the batch (default) or of each sample", 0, 0, &p->states},
        {"--raw-weights", AR_OPT_FLAG, &p->raw_weights, NULL, "maqd without standardized weights", 0, 0,
         &p->states},
        {"--plain-gradients", AR_OPT_FLAG, &p->plain_gradients, NULL, "maqd without surrogate gradients", 0,
         0, &p->states},
    };
    memcpy(list, rows, sizeof rows);
    return (int32_t)(sizeof rows / sizeof *rows);
}

static ar_status read_stats(ar_stats *stats, const train_options *o) {
    static const char *const norms[] = {"layer-batch", NULL, "batch", "layer"};
    const char *norm = o->norm ? o->norm : norms[0], *lbn = o->lbn_stats ? o->lbn_stats : "batch";
    int i = 0;
    while (i < 4 && (!norms[i] || strcmp(norms[i], norm) != 0)) i++;
    if (i == 4)
        return ar__fail(AR_ERR_USAGE, "--norm: found '%s', expected layer-batch, batch or layer", norm);
    if (strcmp(lbn, "batch") != 0 && strcmp(lbn, "sample") != 0)
        return ar__fail(AR_ERR_USAGE, "--lbn-stats: found '%s', expected batch or sample", lbn);
    if (o->lbn_stats && i != 0)
        return ar__fail(AR_ERR_USAGE, "--lbn-stats: has no effect with --norm %s", norm);
    *stats = strcmp(lbn, "sample") == 0 ? AR_STATS_SAMPLE : (ar_stats)i;
    return AR_OK;
}

static ar_status read_states(int32_t *out, const char *option, int64_t states) {
    *out = (int32_t)states;
    return states != 1 ? AR_OK
                       : ar__fail(AR_ERR_USAGE, "%s: found 1, expected 2 to 256, or 0 for floats", option);
}

static bool reads_bytes(const train_options *o) { return strcmp(o->arch, "byte-mlp") == 0; }

/* Sizes: known when the images are. */
static ar_status make_sizes(job *j) {
    const train_options *o = j->o;
    ar_states_desc *d = &j->net_desc;
    const char *widths = o->widths;
    bool is_cnn = strcmp(o->arch, "cnn") == 0;
    if (o->channels && !is_cnn)
        return ar__fail(AR_ERR_USAGE, "--channels: has no effect with --arch %s", o->arch);
    if (reads_bytes(o)) {
        d->classes = BYTES, d->context = CONTEXT, d->embed = EMBED;
        return ar__train_widths(d->hidden, &d->hidden_count, "--widths", widths ? widths : "256,256,256");
    }
    d->H = j->images.H, d->W = j->images.W, d->C = j->images.C, d->classes = (int32_t)o->classes;
    j->model.desc = (ar_image_desc){.H = d->H, .W = d->W, .C = d->C, .classes = d->classes};
    for (int c = 0; c < AR_IMAGE_CHANNELS; c++) j->model.mean[c] = 0, j->model.std[c] = 1;
    if (is_cnn)
        AR_TRY(ar__train_widths(d->conv, &d->conv_count, "--channels", o->channels ? o->channels : "16,32"));
    AR_TRY(ar__train_pools(d->H, d->W, d->conv_count));
    return ar__train_widths(d->hidden, &d->hidden_count, "--widths",
                            widths   ? widths
                            : is_cnn ? "64"
                                     : "128,128");
}

static ar_status make_desc(job *j) {
    const train_options *o = j->o;
    ar_states_desc *d = &j->net_desc;
    *d = (ar_states_desc){
        .pixel = 255, .raw = o->raw_weights, .plain = o->plain_gradients, .seed = (uint64_t)j->common->seed};
    d->momentum = o->batch < 16 ? 0.01f : 0.1f; /* few examples say little of all */
    AR_TRY(read_states(&d->mw, "--mw", o->mw));
    AR_TRY(read_states(&d->ma, "--ma", o->ma));
    return read_stats(&d->stats, o);
}

static ar_status check_recipe(const train_options *o) {
    if (!o->recipe || strcmp(o->recipe, "maqd") == 0) return AR_OK;
    return ar__fail(AR_ERR_USAGE, "--recipe: found '%s', expected maqd", o->recipe);
}

ar_status ar__train_lm_states(ar_lm_states_desc *d, bool *is_few, const train_options *o) {
    *is_few = o->recipe != NULL;
    *d = (ar_lm_states_desc){.raw = o->raw_weights, .plain = o->plain_gradients};
    if (!o->recipe) return AR_OK;
    AR_TRY(check_recipe(o));
    if (o->type || o->recompute)
        return ar__fail(AR_ERR_USAGE,
                        "anyround train: --type and --recompute have no effect with --recipe maqd");
    AR_TRY(read_states(&d->mw, "--mw", o->mw));
    AR_TRY(read_states(&d->ma, "--ma", o->ma));
    return read_stats(&d->stats, o);
}

static ar_status check_options(const train_options *o) {
    AR_TRY(check_recipe(o));
    if (o->model || !o->arch ||
        (!reads_bytes(o) && strcmp(o->arch, "cnn") != 0 && strcmp(o->arch, "mlp") != 0))
        return ar__fail(
            AR_ERR_USAGE,
            "anyround train: --recipe maqd wants --arch cnn, mlp, byte-mlp or llama, and no MODEL");
    if (reads_bytes(o) ? !o->text || o->images || o->test_images : !o->images || o->text)
        return ar__fail(AR_ERR_USAGE, "anyround train: --arch %s wants %s", o->arch,
                        reads_bytes(o) ? "--text FILE, and no images" : "--images FILE, and no text");
    if (o->test_labels && !o->test_images)
        return ar__fail(AR_ERR_USAGE, "--test-labels: has no effect without --test-images");
    if (o->tokenizer || o->type || o->starts > 0 || o->dropout > 0 || o->T)
        return ar__fail(AR_ERR_USAGE,
                        "anyround train: --tokenizer, --type, --starts, --dropout and --seqlen have "
                        "no effect with --recipe maqd");
    return AR_OK;
}

/* ---- the run ---- */

static ar_status check_places(job *j) {
    const train_options *o = j->o;
    const ar_input inputs[] = {{o->text, "the text"},
                               {o->images, "the images"},
                               {o->labels, "the labels"},
                               {o->test_images, "the images"},
                               {o->test_labels, "the labels"}};
    AR_TRY(ar__path_resolve(&j->out, o->out));
    AR_TRY(ar__hf_folder_check(j->out, o->text ? o->text : o->images));
    AR_TRY(ar__path_check_inputs(j->out, true, inputs, 5));
    return ar__train_check_beside(o, j->out, inputs, 5);
}

static uint64_t data_hash(const job *j) {
    const ar_images *im = &j->images;
    if (reads_bytes(j->o)) return ar_hash64(0, j->text.data, (size_t)j->text.bytes);
    return ar_hash64(ar_hash64(0, im->pixels, (size_t)(im->count * im->H * im->W * im->C)), im->labels,
                     (size_t)im->count);
}

static void record(job *j) {
    train_record *r = &j->record;
    const train_options *o = j->o;
    const ar_states_desc *d = &j->net_desc;
    ar__train_record(r, "architecture", "%s, channels %s, widths %s, %d classes", o->arch,
                     o->channels ? o->channels : "-", o->widths ? o->widths : "-", (int)d->classes);
    ar__train_record(r, "states", "%d and %d, norm %d, momentum %.9g%s%s", (int)d->mw, (int)d->ma,
                     (int)d->stats, (double)d->momentum, d->raw ? ", not standardized" : "",
                     d->plain ? ", plain gradients" : "");
    ar__train_record(r, "data", "%016llx", (unsigned long long)data_hash(j));
    ar__train_record(r, "examples", "%.9g held out", o->held);
    ar__train_record_steps(r, o, &j->desc, j->common, j->device);
}

static ar_status open_images(job *j) {
    const train_options *o = j->o;
    uint64_t seed = (uint64_t)j->common->seed;
    AR_TRY(ar__images_open(&j->images, o->images, o->labels, (int32_t)o->classes));
    if (o->test_images)
        AR_TRY(ar__images_open(&j->test, o->test_images, o->test_labels, (int32_t)o->classes));
    AR_TRY(make_sizes(j));
    int64_t train_count = j->images.count - (int64_t)((double)j->images.count * o->held);
    if (train_count < 1)
        return ar__fail(AR_ERR_USAGE, "--held-out: leaves no image of %lld", (long long)j->images.count);
    AR_TRY(ar__image_data_init(&j->image_data, &j->images, &j->model, train_count, j->desc.batch, seed));
    if (o->test_images) AR_TRY(ar__image_data_init(&j->test_data, &j->test, &j->model, 0, 1, 0));
    j->data = &j->image_data.data;
    return AR_OK;
}

static ar_status open_data(job *j) {
    const train_options *o = j->o;
    if (!reads_bytes(o)) return open_images(j);
    AR_TRY(make_sizes(j));
    AR_TRY(ar_file_open(&j->text, o->text));
    AR_TRY(ar__byte_data_init(&j->bytes, o->text, j->text.data, (int64_t)j->text.bytes, CONTEXT, o->held,
                              (uint64_t)j->common->seed));
    j->data = &j->bytes.data;
    return AR_OK;
}

static ar_status prepare(job *j) {
    AR_TRY(make_desc(j));
    AR_TRY(check_places(j));
    AR_TRY(open_data(j));
    AR_TRY(ar__train_workplace(&j->place, &j->work, j->out, j->o->resume));
    AR_TRY(ar_program_device(&j->device, j->common, true));
    AR_TRY(ar_net_states_create(&j->net, &j->net_desc, j->device));
    AR_TRY(ar_trainer_create(&j->trainer, j->net, j->data, &j->desc, j->device));
    return ar__train_values_init(&j->values, j->net);
}

/* The folder: what was trained, and its whole numbers where it is whole. */
static ar_status finish(void *ctx, ar_train_result *r, const ar_observer *observer) {
    job *j = ctx;
    (void)observer;
    ar_states_model whole = {0};
    const ar_states_desc *d = &j->net_desc;
    bool is_whole = d->mw && d->ma && !d->context && d->stats != AR_STATS_LAYER;
    ar_train_score test;
    if (j->o->test_images) {
        AR_TRY(ar_net_score(&test, NULL, j->net, &j->test_data.data, j->device, 256));
        r->tested = test.labels;
        r->test_accuracy = test.accuracy;
    }
    if (d->context) AR_TRY(ar__train_gap(r, j->net, j->data, j->device, j->desc.batch / j->desc.accumulate));
    AR_TRY(ar_path_join(&j->made, j->work, "out"));
    ar_status status = is_whole ? ar_states_model_read(&whole, j->net, j->device) : AR_OK;
    if (status == AR_OK)
        status = ar__states_write(j->out, j->made, d, j->net, j->values.values, is_whole ? &whole : NULL);
    ar_states_model_deinit(&whole);
    return status == AR_OK ? ar__workplace_clear(j->work) : status;
}

static ar_status train(job *j) {
    AR_TRY(prepare(j));
    record(j);
    train_run run = {.stage = reads_bytes(j->o) ? "train" : "train images",
                     .work = j->work,
                     .record = j->record.text,
                     .trainer = j->trainer,
                     .data = j->data,
                     .values = &j->values,
                     .units = (double)j->desc.batch,
                     .finish = finish,
                     .ctx = j};
    return ar__train_go(&run, j->o, &j->desc, j->common);
}

ar_status ar__train_states_run(const train_options *o, const ar_common *common) {
    job j = {.o = o, .common = common, .place = {.lock = -1}};
    ar_status status = check_options(o);
    if (status == AR_OK) status = ar__train_desc_make(&j.desc, o);
    if (status == AR_OK) status = train(&j);
    ar_trainer_destroy(j.trainer);
    ar__train_values_deinit(&j.values);
    ar_net_destroy(j.net);
    ar_device_close(j.device);
    ar__workplace_close(&j.place);
    ar_file_close(&j.text);
    ar__images_deinit(&j.images);
    ar__images_deinit(&j.test);
    free(j.out);
    free(j.work);
    free(j.made);
    return status;
}
