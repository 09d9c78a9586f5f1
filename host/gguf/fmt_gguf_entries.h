/* Inside host/gguf: the tensors of a GGUF file to be, which its writer and its check go through alike.
 *   fmt_gguf_entries.c  what they are, how large, what they are made of
 *   fmt_gguf_writer.c   the format "gguf": the file
 *   fmt_gguf_verify.c   the file read back, and what can be told before it is written */
#ifndef AR_FMT_GGUF_ENTRIES_H
#define AR_FMT_GGUF_ENTRIES_H
#include "fmt_gguf.h"
#include "formats.h"

#define AR__GGUF_CHUNK_BYTES ((int64_t)4 << 20) /* of values in memory at a time */

typedef struct ar__gguf_entry {
    char name[AR__GGUF_NAME];
    int64_t weight;        /* of src->model->weights; -1 = the rotary factors */
    int32_t block, linear; /* block >= 0: this linear of it */
    bool is_coded;         /* with tuned codes */
    const ar__gguf_type *type;
    int32_t dim_count;
    int64_t dims[2];
    int64_t head_rows; /* as in the reader */
} ar__gguf_entry;

typedef struct ar__gguf_job {
    const ar_write_source *src;
    ar__gguf_entry *entries;
    int64_t count;
    ar__gguf_out out;
} ar__gguf_job;

ar_status ar__gguf_find_mix(const ar__gguf_mix **mix, const ar_output_plan *plan);
/* The entries of src's file, in its order; free j->entries. Errors: UNSUPPORTED names what GGUF has no form
 * for; FORMAT a missing tensor; USAGE. */
ar_status ar__gguf_list(ar__gguf_job *j);
bool ar__gguf_is_rounded(const ar__gguf_entry *e); /* to codes that nobody tuned */
int64_t ar__gguf_row_count(const ar__gguf_entry *e);
int64_t ar__gguf_row_width(const ar__gguf_entry *e);
int64_t ar__gguf_value_count(const ar__gguf_entry *e);
uint64_t ar__gguf_entry_bytes(const ar__gguf_entry *e);
/* Rows of all rounded entries. */
int64_t ar__gguf_rounded_rows(const ar__gguf_job *j);
/* Rows of what an entry is made of, as the file orders inputs: those of a linear are its own. */
ar_status ar__gguf_read_rows(const ar__gguf_job *j, float *dst, const ar__gguf_entry *e, int64_t row,
                             int64_t n);
int64_t ar__gguf_rows_at_a_time(const ar__gguf_entry *e);
/* Rows [row, row + n) of a rounded tensor as codes. Ends with ar_qlinear_deinit. */
ar_status ar__gguf_round_rows(ar_qlinear *q, const ar__gguf_job *j, const ar__gguf_entry *e, int64_t row,
                              int64_t n);
/* dst (n) = a digest of each row of values (n, width): rows that differ in one byte never share one. */
void ar__gguf_digest_rows(uint64_t *dst, const float *values, int64_t n, int64_t width);
/* Can blocks of the type hold codes under s? */
bool ar__gguf_fits(const ar_scheme *s, ar_qtype type);

/* ---- fmt_gguf_verify.c: ar_format's verify and accepts ---- */

ar_status ar__gguf_verify(const char *path, const ar_write_source *src);
ar_status ar__gguf_accepts_weights(const ar_open_model *m, const ar_output_plan *plan);
#endif
