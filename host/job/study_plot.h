/* What the drawings of a study share: scales, and a colour for each method. */
#ifndef AR_STUDY_PLOT_H
#define AR_STUDY_PLOT_H
#include "page.h"
#include "study.h"

#define AR__STUDY_METHODS 16
typedef struct ar__study_range {
    double lo, hi;
} ar__study_range;
void ar__study_widen(ar__study_range *r, double value);
double ar__study_place(const ar__study_range *r, double value); /* 0 at lo, 1 at hi */
double ar__study_log_kl(const ar__study_point *p);

/* The methods of a study, in the order they come. */
typedef struct ar__study_legend {
    const char *names[AR__STUDY_METHODS];
    int32_t count;
} ar__study_legend;
int32_t ar__study_method(ar__study_legend *l, const char *method); /* its index; the last one's where full */
const char *ar__study_colour(int32_t method);

/* ---- study_maps.c ---- */

/* KL against bits a weight, one small plot a method, all of them in grey behind. */
void ar__study_put_methods(ar__page *p, const ar__study *s);
/* Errors of linears, blocks by linears, of the best that have them, at most six. m names linears. */
void ar__study_put_maps(ar__page *p, const ar__study *s, const ar_model *m);
#endif
