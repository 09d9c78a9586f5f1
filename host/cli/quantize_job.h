/* One run of `anyround quantize`, its options already understood. Shared by cmd_quantize*.c. */
#ifndef AR_QUANTIZE_JOB_H
#define AR_QUANTIZE_JOB_H
#include "allot.h"
#include "cost.h"
#include "lorc.h"
#include "part.h"
#include "program.h"
#include <cjson/cJSON.h>

typedef struct ar_quantize_request {
    const ar_common *common;
    const char *model, *out;
    ar_option_list calib; /* files; none = sampled from the model */
    const char *report;   /* NULL = none */
    const char *imatrix;  /* moments of inputs from a file; NULL = they are seen */
    const char *eval;     /* the text that the files are measured on; NULL = they are not */
    const char *lorc;     /* the adapter to write; NULL = none */
    bool lorc_inside;     /* factors go into the folders that are written */
    ar__lorc_desc factors;
    bool resume, allow_float, strict, dry_run;
    uint64_t *device_bytes; /* the most that was on the device at a time; NULL = nobody asks */
    bool is_quiet;          /* part of something larger: nothing is said but errors, nor printed */
    ar_output_plan plan;
    ar_tensor_types *types;       /* of the plan; NULL = none */
    ar__allot_request allot;      /* bpw and bytes 0 = none */
    const char *like, *type_file; /* where they come from; NULL = no such file */
    bool starts_like;             /* from the codes of `like`, not from a search */
    ar_method_options options;    /* of the method that is run */
    ar_acts_scheme acts;          /* of inputs; 0 bits = floats */
    double acts_percentile;       /* of tokens that static ranges hold; 0 = all */
} ar_quantize_request;
ar_status ar_quantize_run(const ar_quantize_request *request);

/* ---- cmd_quantize_hash.c ---- */

/* *hash goes on with a file's bytes. Errors: IO, INTERRUPTED. */
ar_status ar__quantize_hash_file(uint64_t *hash, const char *path);
/* Of the ids of all samples; of none where there are none. */
uint64_t ar__quantize_hash_samples(const ar_samples *s);
/* As a passport says what calibrated: samples that there are, and imatrix, a file's hash, unless NULL. */
void ar__quantize_tell_hashes(char *text, size_t bytes, const ar_samples *s, const uint64_t *imatrix);
/* Of the files that the model was opened from, with their names where it is a folder. Errors: the same, and
 * those of ar_snapshot_check. */
ar_status ar__quantize_hash_model(uint64_t *hash, const ar_open_model *m);

/* ---- cmd_quantize_plan.c ---- */

/* On stderr: what samples are from. */
void ar__quantize_tell_calibration(const ar_option_list *files, int32_t count, int32_t T);
/* A string of unknown bytes, such as a path. */
ar_status ar__quantize_add_text(cJSON *o, const char *name, const char *text);
ar_status ar__quantize_print_plan(FILE *f, const ar_quantize_request *r, const ar_job *job,
                                  const ar__job_cost *cost);
/* The options become what is done with the samples there are: it is what the files and the report say. */
ar_status ar__quantize_settle(ar_method_options *o, const ar_samples *s, const ar_observer *observer);
/* What the result depends on, as the state has it. */
void ar__quantize_list_options(cJSON *o, const ar_method_options *options);
/* On stdout. */
ar_status ar__quantize_print_plan_json(const ar_quantize_request *r, const ar_job *job,
                                       const ar__job_cost *cost);

/* ---- cmd_quantize_allot.c ---- */

/* Fills a where the request says widths of linears, to which its plan then points: by a budget, measured on
 * samples, or by hand. Errors: those of ar__allot and ar__allot_by_hand, naming the option. */
ar_status ar__quantize_allot(ar__allotment *a, ar_quantize_request *r, const ar_open_model *m,
                             ar_device *device, const ar_samples *samples, const ar_passport *passport,
                             const ar_observer *observer);

/* ---- cmd_quantize_lorc.c ---- */

/* Whether there is a place for what the request wants of factors, and the model has none already. Errors:
 * USAGE. */
ar_status ar__quantize_lorc_check(const ar_quantize_request *r);
ar_status ar__quantize_lorc_fits(const ar_quantize_request *r, const ar_open_model *m);
/* Writes request->lorc, or the factors of a folder, where one is named. */
ar_status ar__quantize_lorc(const ar_quantize_request *r, const char *folder, const ar_write_source *src,
                            const ar_observer *observer, const ar_common *common);
/* Every block, also those that an earlier run finished. */
ar_status ar__quantize_list_blocks(cJSON *rows, const ar_part *part, int32_t count);
/* What the linears of src have of static inputs. Errors: those of src. */
ar_status ar__quantize_take_grids(ar_acts *a, const ar_write_source *src);

/* ---- cmd_quantize_fold.c ---- */

/* m, which is src's, becomes what the scales that linears of src have, *count in all, make of it. Errors:
 * those of src and of ar_block_feeds; CHECK for scales with nowhere to go; MEMORY. */
ar_status ar__quantize_fold(int64_t *count, ar_open_model *m, const ar_write_source *src, ar_device *device);

/* ---- cmd_quantize_float.c ---- */

/* Remarks in one line on the linears that the formats cannot hold. Errors: USAGE where they are most of the
 * model's weights and that was not allowed. */
ar_status ar__quantize_kept_float(const ar_quantize_request *r, const ar_open_model *m);

/* ---- cmd_quantize_like.c: --start like ---- */

/* Opens the file as a model of m's shape. Errors: FORMAT; those of ar_model_open. */
ar_status ar__quantize_open_like(ar_open_model **like, const char *path, const ar_model *m);
/* ar_quant_desc.start, of that model. Errors: UNSUPPORTED for a tensor without codes. */
ar_status ar__quantize_like_codes(void *like, ar_qlinear **q, const ar_block *block, int32_t i);
/* The file's hash, in the state. */
ar_status ar__quantize_record_like(ar_part_manifest *m, const char *path);

/* ---- cmd_quantize_finish.c ---- */

/* The scales of a finished run, tuned once more (--finish). */
typedef struct ar_finish_run {
    bool is_on; /* the rest is 0 until the blocks are finished */
    ar_part scales;
    ar_finish_report report; /* parameters and hash 0 where an earlier run did it */
} ar_finish_run;
bool ar__quantize_finishes(const ar_method_options *o);
/* Errors: USAGE for inputs that the request quantizes as the end cannot have them. */
ar_status ar__quantize_finish_check(const ar_quantize_request *r);
/* Fills run->scales from the blocks of `part`, or finds it there, and says what was gained. options: settled.
 * Errors: those of ar_finish_scales or ar_finish_channels, the state's. */
ar_status ar__quantize_finish(ar_finish_run *run, const ar_quantize_request *r,
                              const ar_method_options *options, const ar_part *part, const ar_open_model *m,
                              ar_device *device, const ar_samples *samples, const ar_observer *observer);
void ar__quantize_finish_json(const ar_finish_run *run, const ar_method_options *options, cJSON *o);
/* "KL divergence held out 0.2 -> 0.1 (step 30)", for people. */
void ar__quantize_finish_text(char *text, size_t bytes, const ar_finish_run *run,
                              const ar_method_options *options);

/* ---- cmd_quantize_report.c ---- */

/* A run whose files are written. */
typedef struct ar_run_record {
    const ar_quantize_request *request;
    const char *out;
    const ar_open_model *model;
    ar_device *device;
    const ar_method_options *options; /* settled for the samples there are */
    const ar_samples *samples;        /* none: ids NULL */
    const ar_part *part;
    const ar_finish_run *finish;
    const ar__allotment *allotment; /* NULL = the plan says it all */
    double start;                   /* ar__now_s() */
} ar_run_record;
/* Writes request->report. */
ar_status ar__quantize_report(const ar_run_record *run);

/* ---- cmd_quantize_method.c: methods' rows as options of the command line ---- */

/* One method's row, or its --recipe, on the command line. Methods that share a name share its value. */
typedef struct ar_offer {
    const ar_method *method;
    const ar_option_row *row; /* NULL = --recipe */
    char spelled[40], help[160];
    const char *text; /* as given; a flag sets on */
    bool on, given;
    int32_t first; /* index of the offer whose value this one shares: its own, or one before */
} ar_offer;
typedef struct ar_offers {
    ar_offer *list;
    int32_t count;
    ar_option *options; /* (option_count): the command's own, then those of methods under their headings */
    int32_t option_count;
} ar_offers;
/* On failure free is due all the same. The manual shows the options of the method that argv names, or of all.
 */
ar_status ar__offers_make(ar_offers *o, const ar_option *own, int32_t own_count, int argc, char **argv);
void ar__offers_free(ar_offers *o);
/* The first option of any method that was given; NULL = none was. */
const char *ar__offers_given(const ar_offers *o);
/* What was given becomes the method's options. Errors: USAGE, also for an option of other methods alone. */
ar_status ar__offers_take(ar_method_options *options, const ar_offers *o, const ar_method *method);
#endif
