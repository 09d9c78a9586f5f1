/* anyround train without its options: where a model starts, the text it learns, what is kept on the way, and
 * the run itself. */
#ifndef AR_TRAIN_JOB_H
#define AR_TRAIN_JOB_H
#include "ar_error.h"
#include "ar_host.h"

/* ---- train_start.c: a model that nobody has trained yet, as a Hugging Face folder ---- */

typedef struct ar_train_arch {
    const char *family;    /* "llama" or "gpt2" */
    const char *tokenizer; /* a folder, or a tokenizer.json */
    int32_t layers, hidden, heads, kv_heads, context;
    int64_t intermediate;
    bool tied; /* the head is the embedding; GPT-2's always is */
    uint64_t seed;
} ar_train_arch;
/* Writes the folder dir, which must not exist: config.json, the tokenizer's files, and f32 weights: normal
 * numbers of 0.02, those that write the residual stream over sqrt(2 layers) (Radford 2019); norms 1, biases
 * 0. Errors: USAGE (a family that is not known here, sizes that do not fit each other), FORMAT, IO, MEMORY.
 */
ar_status ar__train_start(const char *dir, const ar_train_arch *a);

/* ---- train_text.c: token text as data ---- */

typedef struct ar_train_text {
    ar_data data;
    const ar_open_model *model;
    const char *text; /* the part that is trained on */
    size_t bytes;
    int32_t *ids, *held_ids;
    int64_t id_count, held_id_count;
    int64_t *starts; /* offsets of paragraphs in text */
    int64_t start_count;
    int32_t T;
    double from_starts; /* share of examples that begin there, behind what stands before a text */
    uint64_t seed;
} ar_train_text;
/* How a text becomes examples. */
typedef struct ar_train_text_desc {
    const char *name; /* of the text, for errors */
    int32_t T;
    double held; /* share of the text, at its end, that is not trained on: from a paragraph or line on, where
                  * one begins not further ahead than the share is long */
    double from_starts;
    uint64_t seed;
} ar_train_text_desc;
/* Borrows text (UTF-8). Errors: UNSUPPORTED (no tokenizer), FORMAT (no UTF-8), USAGE (too short for T
 * tokens), MEMORY. */
ar_status ar__train_text_init(ar_train_text *t, const ar_open_model *m, const char *text, size_t bytes,
                              const ar_train_text_desc *d);
void ar__train_text_deinit(ar_train_text *t);

/* ---- train_checkpoint.c: all that resuming needs, in one file ---- */

/* What a checkpoint says beside its tensors. */
typedef struct ar_train_mark {
    int32_t step;
    double first, best; /* the first loss; the best on held-out examples, infinite before */
} ar_train_mark;
/* Writes the state of t, with a checksum over all of it, under its name or not at all. run: everything the
 * result depends on, as lines "name: value". Errors: CHECK for parameters that are not finite (the file stays
 * as it was), IO, MEMORY, the device's. */
ar_status ar__checkpoint_write(const char *path, const ar_trainer *t, const char *run,
                               const ar_train_mark *mark);
/* *found = false where there is none. Errors: USAGE names the first line of run that differs, found and
 * expected; CHECK for a damaged file; IO, MEMORY, the device's. */
ar_status ar__checkpoint_read(bool *found, const char *path, ar_trainer *t, const char *run,
                              ar_train_mark *mark);

/* ---- train_weights.c: trained parameters as a model's weights ---- */

/* Parameters in host memory, by their names in ar_net. */
typedef struct ar_train_values {
    const ar_net *net;
    float **values; /* (net->param_count), owned */
} ar_train_values;
ar_status ar__train_values_init(ar_train_values *v, const ar_net *net);
void ar__train_values_deinit(ar_train_values *v);
ar_status ar__train_values_read(ar_train_values *v); /* from the device */
/* From now on m reads its weights from v, which must outlive it. Errors: CHECK where a weight of m is no
 * parameter of the net, MEMORY. */
ar_status ar__train_values_bind(ar_open_model *m, const ar_train_values *v);

/* ---- train.c ---- */

typedef struct ar_train_job {
    const char *stage;  /* of progress: "train", "train images" */
    const char *work;   /* folder for what is not finished: the caller's workplace */
    const char *curve;  /* a line of JSON for every step; NULL = none is kept */
    const char *report; /* an HTML page at the end; NULL = none */
    const char *title;  /* its */
    const char *run;    /* ar__checkpoint_write */
    bool resume;
    int32_t checkpoint_every, evaluate_every; /* steps; 0 = never, at the end alone */
    bool keep_best;                           /* the parameters with the best held-out loss, else the last */
    double unit_count;                        /* tokens or images of a step, for the rate that is told */
} ar_train_job;
typedef struct ar_train_result {
    double first, last, best, held; /* losses; best and held NaN without held-out examples */
    double accuracy;                /* held-out */
    int64_t tested;                 /* images of a set of their own; 0 = none */
    double test_accuracy;
    bool has_gap;                    /* of what is kept, over held-out examples in whole batches: */
    double running_loss, batch_loss; /* by running statistics, by each batch's own */
    int32_t step;                    /* of what is kept */
    int32_t resumed;                 /* steps that were not taken again */
    double seconds;
} ar_train_result;
/* train_report.c: curve is a file as ar_train_job.curve, run as in ar__checkpoint_write. */
ar_status ar__train_report_write(const char *path, const char *title, const char *curve, const char *run,
                                 const ar_train_result *r);
/* Takes all steps and leaves the parameters to be kept in values. Errors: ARG for a loss that diverges, whose
 * text says what to try; CHECK; INTERRUPTED; USAGE, IO. The last checkpoint stays whatever ends it. */
ar_status ar__train_run(ar_train_result *r, ar_trainer *t, const ar_data *data, const ar_train_desc *desc,
                        const ar_train_job *job, ar_train_values *values, const ar_observer *observer);
#endif
