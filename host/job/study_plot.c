/* Scales and colours of a study's drawings; see study_plot.h. */
#include "ar_error.h"
#include "study_plot.h"
#include <math.h>
#include <string.h>

static const char *const colours[] = {"#8a94a0", "#0b62c4", "#c2571a", "#2d8a4e", "#8a4bc4", "#c43b6b"};
#define COLOURS ((int32_t)(sizeof colours / sizeof *colours))

int32_t ar__study_method(ar__study_legend *l, const char *method) {
    for (int32_t i = 0; i < l->count; i++)
        if (strcmp(l->names[i], method) == 0) return i;
    if (l->count == AR__STUDY_METHODS) return l->count - 1;
    l->names[l->count] = method;
    return l->count++;
}

const char *ar__study_colour(int32_t method) { return colours[method % COLOURS]; }

void ar__study_widen(ar__study_range *r, double value) {
    r->lo = fmin(r->lo, value);
    r->hi = fmax(r->hi, value);
}

double ar__study_place(const ar__study_range *r, double value) {
    return r->hi > r->lo ? (value - r->lo) / (r->hi - r->lo) : 0.5;
}

double ar__study_log_kl(const ar__study_point *p) { return log10(fmax(p->kl, 1e-7)); }
