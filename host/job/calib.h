/* Calibration samples out of texts; shared by calib*.c. */
#ifndef AR_CALIB_H
#define AR_CALIB_H
#include "ar_host.h"

/* count samples of T tokens, or as many as there are, from the files' tokens, spread evenly over them. s is
 * zero; on failure ar_samples_deinit is due all the same. Errors: those of ar_calib_make. */
ar_status ar__calib_from_files(ar_samples *s, const ar_open_model *m, const char *const *paths,
                               int32_t path_count, int32_t count, int32_t T, const ar_observer *o);
/* The tokens of one file (*ids is malloc'ed): plain text, or by its name (.jsonl) one document a line, as
 * ar_calib_make describes them. Errors: likewise. */
ar_status ar__calib_read(int32_t **ids, int64_t *count, const ar_open_model *m, const char *path,
                         const ar_observer *o);
#endif
