/* The files and folders a run writes: checked before any work, written where nobody looks, read back there,
 * and only then put at their places. */
#ifndef AR_OUTPUT_H
#define AR_OUTPUT_H
#include "ar_host.h"
#include "place.h"

/* Where format i of the plan goes: `out` itself for one format; out/<format> (out/model.gguf) for several.
 * free(). */
ar_status ar__output_path(char **path, const ar_output_plan *plan, const char *out, int32_t i);
/* Of a file, or of all files of a folder but hidden ones; 0 where there is none. */
uint64_t ar__output_bytes(const char *path);
/* All linears, the embedding, a head of its own and learned positions: what bits per weight are counted by.
 */
double ar__output_weights(const ar_model *m);
/* The folder OUTSUFFIX, for what is not finished; in the current folder where OUT is a device or a
 * descriptor, beside which nothing can be made. free(). */
ar_status ar__output_beside(char **path, const char *out, const char *suffix);
/* What would refuse the outputs after all the work refuses them now. Errors: IO when the folder around `out`
 * is missing or cannot be written into, when something stands at a place that may not be replaced, and when a
 * place is the model, lies inside it or holds it; UNSUPPORTED as ar__hf_folder_check. Leaves nothing behind.
 */
ar_status ar__output_check(const ar_output_plan *plan, const char *out, const char *model_path);
/* Whether every format of the plan can hold this model at all. Errors: those of ar_format.accepts. */
ar_status ar__output_accepts(const ar_output_plan *plan, const ar_open_model *m);
/* What the outputs would do otherwise than the model, a line each: ar_format.remarks of every format. */
ar_status ar__output_remarks(ar_notes *notes, const ar_output_plan *plan, const ar_open_model *m);
/* None of the places is, or holds, something else that the run reads. Errors: IO. */
ar_status ar__output_check_inputs(const ar_output_plan *plan, const char *out, const ar_input *inputs,
                                  int32_t count);
/* As ar__output_check for one more file, named by `option` in errors: its folder can be written into, and it
 * is not `out` (NULL = none). */
ar_status ar__output_check_file(const char *option, const char *path, const char *out);
/* The same beside the places of a plan and the folder `state`, which goes when the run is done. */
ar_status ar__output_check_beside(const char *option, const char *file, const ar_output_plan *plan,
                                  const char *out, const char *state);
/* Two such files (NULL = none) are not one. Errors: USAGE. */
ar_status ar__output_check_two(const char *option, const char *file, const char *other_option,
                               const char *other);
/* The format of the plan that holds no linear of O rows and I columns, whatever its group; *rows, *columns =
 * what they would have to be multiples of, 0 where they are. NULL = all hold it under some group. */
const char *ar__output_shape_refused(const ar_output_plan *plan, int64_t O, int64_t I, int32_t *rows,
                                     int32_t *columns);
bool ar__storage_holds_extra(const ar_storage *s, const char *name);
/* What format i of src->plan will take. Errors: those of ar_format.size. */
ar_status ar__output_size(ar_output_size *size, const ar_write_source *src, int32_t i);
/* Writes every format of src->plan below the folder `staging` (on the file system of `out`; what is there is
 * removed), reads all of them back, and moves them to their places when all are right. On failure nothing
 * stands at these places that was not there before, and `staging` is gone. Errors: CHECK; INTERRUPTED;
 * those of the formats; UNSUPPORTED names an extra tensor that a format cannot hold; IO names a file of the
 * model or of src->texts that changed since it was opened. */
ar_status ar__output_write(const char *out, const char *staging, const ar_write_source *src,
                           const ar_observer *observer);
#endif
