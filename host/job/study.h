/* What a study found: one point per way of quantizing a model, and what follows from all of them. */
#ifndef AR_STUDY_H
#define AR_STUDY_H
#include "ar_host.h"

typedef struct ar__study_point {
    char key[256];               /* settings and inputs: what a resumed study knows it by */
    char method[32], layout[48]; /* "anneal", "q2_k" or "2 bits g32 asym" */
    uint64_t bytes;              /* of the file or folder */
    double bpw;                  /* of those, per weight of the model */
    double kl, top1, ppl, ref_ppl, seconds;
    double device_bytes; /* most at a time, while quantizing; 0 = unknown */
    bool is_best;        /* no other is better in KL and no larger, but for .1 %: ar__study_judge */
    /* (blocks, linears): what a linear's weights are off, the root of ||W' - W||^2 / ||W||^2; NaN = there is
     * no such linear. NULL = unknown. Owned: by the study once the point is in it. */
    float *errors;
    int32_t blocks, linears;
} ar__study_point;
void ar__study_point_deinit(ar__study_point *p);

typedef struct ar__study {
    ar__study_point *list;
    int32_t count, room;
} ar__study;
void ar__study_deinit(ar__study *s);
/* Takes p's errors over, which are NULL then. Errors: MEMORY. */
ar_status ar__study_add(ar__study *s, ar__study_point *p);
const ar__study_point *ar__study_find(const ar__study *s, const char *key); /* NULL */
/* Reads the lines of earlier runs; those that were cut off do not count. Where there is no such file nothing
 * is read. Errors: FORMAT where the file is somebody else's, which is not to be written to; IO, MEMORY. */
ar_status ar__study_read(ar__study *s, const char *path);
/* Drops points measured on something else than gives the original that perplexity (another text, other
 * windows, another model), which cannot stand beside the others; how many. */
int32_t ar__study_keep(ar__study *s, double ref_ppl);
/* A point as an object, as its line has it; the caller's. What it lacks for want of memory ar_json_print
 * finds. */
ar_json *ar__study_json(const ar__study_point *p);
/* Appends one line to the file, on the disk when it returns. Errors: IO, MEMORY. */
ar_status ar__study_append(const char *path, const ar__study_point *p);
/* Sorts by size, then KL, and marks the best. */
void ar__study_judge(ar__study *s);
/* ZeroQuant-V2's class of sensitivity (arXiv 2303.08302): 1 where perplexity rises by at most .1, 2 up to .5,
 * else 3. */
int32_t ar__study_class(const ar__study_point *p);
/* The smallest of a class or a better one; NULL = none. */
const ar__study_point *ar__study_smallest(const ar__study *s, int32_t class);
/* One HTML page: size against KL, the same method by method, errors linear by linear of the best, the table,
 * in words what to take; no scripts, nothing loaded. m names blocks' linears. Errors: IO, MEMORY. */
ar_status ar__study_html(const char *path, const ar__study *s, const ar_model *m, const char *model,
                         const char *text);

/* ---- study_errors.c ---- */

/* Fills p->errors: quantized's linears against m's, which have the same names and shapes. Errors: SHAPE where
 * they do not, MEMORY, IO. */
ar_status ar__study_errors(ar__study_point *p, const ar_model *quantized, const ar_model *m);
/* Lists of lists, null for NaN; nothing where they are unknown, or are no such lists. */
void ar__study_put_errors(ar_json *o, const ar__study_point *p);
ar_status ar__study_take_errors(ar__study_point *p, const ar_json *o);
#endif
