/* The files and folders a run writes: checked before any work, written where nobody looks, read back there,
 * and only then put at their places. */
#ifndef AR_OUTPUT_H
#define AR_OUTPUT_H
#include "ar_host.h"

/* Where format i of the plan goes: `out` itself for one format; out/<format> (out/model.gguf) for several.
 * free(). */
ar_status ar__output_path(char **path, const ar_output_plan *plan, const char *out, int32_t i);
/* What would refuse the outputs after all the work refuses them now. Errors: IO when the folder around `out`
 * is missing or cannot be written into, when something stands at a place that may not be replaced, and when a
 * place is the model, lies inside it or holds it; UNSUPPORTED as ar__hf_folder_check. Leaves nothing behind.
 */
ar_status ar__output_check(const ar_output_plan *plan, const char *out, const char *model_path);
/* Whether every format of the plan can hold this model at all. Errors: those of ar_format.accepts. */
ar_status ar__output_accepts(const ar_output_plan *plan, const ar_open_model *m);
/* As ar__output_check for one more file, named by `option` in errors: its folder can be written into, and it
 * is not `out`. */
ar_status ar__output_check_file(const char *option, const char *path, const char *out);
bool ar__storage_holds_extra(const ar_storage *s, const char *name);
/* Writes every format of src->plan below the folder `staging` (on the file system of `out`; what is there is
 * removed), reads all of them back, and moves them to their places when all are right. On failure nothing
 * stands at these places that was not there before, and `staging` is gone. Errors: CHECK; those of the
 * formats; UNSUPPORTED names an extra tensor that a format cannot hold. */
ar_status ar__output_write(const char *out, const char *staging, const ar_write_source *src);
#endif
