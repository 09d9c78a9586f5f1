/* Small drawings of a study: KL against bits a method, errors of linears as heat maps; see study_plot.h. */
#include "ar_error.h"
#include "study_plot.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- KL against bits, one plot a method ---- */

#define SMALL_W 260.0
#define SMALL_H 160.0
#define MARGIN  36.0

typedef struct axes {
    ar__study_range x, y; /* bits a weight, log10 of KL */
} axes;

static double small_x(const axes *a, double bits) {
    return MARGIN + 8.0 + (SMALL_W - MARGIN - 16.0) * ar__study_place(&a->x, bits);
}
static double small_y(const axes *a, double log_kl) {
    return 8.0 + (SMALL_H - 36.0) * (1.0 - ar__study_place(&a->y, log_kl));
}

static void put_small_axes(ar__page *p, const axes *a) {
    ar__page_put(p, "<rect x=\"%.0f\" y=\"0\" width=\"%.0f\" height=\"%.0f\" class=\"frame\"/>", MARGIN,
                 SMALL_W - MARGIN, SMALL_H - 20.0);
    for (int32_t i = 0; i < 2; i++) {
        double kl = pow(10.0, i ? a->y.hi : a->y.lo), bits = i ? a->x.hi : a->x.lo;
        ar__page_put(p, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"end\">%.1g</text>", MARGIN - 4.0,
                     i ? 12.0 : SMALL_H - 24.0, kl);
        ar__page_put(p, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"%s\">%.3g%s</text>",
                     i ? SMALL_W - 2.0 : MARGIN, SMALL_H - 5.0, i ? "end" : "start", bits, i ? " bits" : "");
    }
}

/* Grey ones first: circles that are drawn later lie above. */
static void put_small_points(ar__page *p, const ar__study *s, const axes *a, const char *method,
                             const char *colour, bool own) {
    for (int32_t i = 0; i < s->count; i++) {
        const ar__study_point *q = &s->list[i];
        if ((strcmp(q->method, method) == 0) != own) continue;
        ar__page_put(p, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\" style=\"fill:%s;fill-opacity:%s\"><title>",
                     small_x(a, q->bpw), small_y(a, ar__study_log_kl(q)), own ? "4" : "2.5", colour,
                     own ? "1" : ".25");
        ar__page_text(p, q->layout);
        ar__page_put(p, ", %.2f bits a weight, KL %.4g</title></circle>", q->bpw, q->kl);
    }
}

void ar__study_put_methods(ar__page *p, const ar__study *s) {
    axes a = {{INFINITY, -INFINITY}, {INFINITY, -INFINITY}};
    ar__study_legend l = {0};
    for (int32_t i = 0; i < s->count; i++) {
        ar__study_widen(&a.x, s->list[i].bpw);
        ar__study_widen(&a.y, ar__study_log_kl(&s->list[i]));
        ar__study_method(&l, s->list[i].method);
    }
    if (l.count < 2) return;
    ar__page_put(
        p, "<h2>Method by method</h2><p class=\"note\">KL divergence, logarithmic, against bits a weight "
           "of the whole model; the other methods in grey.</p><div class=\"plots\">\n");
    for (int32_t i = 0; i < l.count; i++) {
        ar__page_put(p, "<figure><svg class=\"small\" viewBox=\"0 0 %.0f %.0f\" role=\"img\">", SMALL_W,
                     SMALL_H);
        put_small_axes(p, &a);
        put_small_points(p, s, &a, l.names[i], "#8a94a0", false);
        put_small_points(p, s, &a, l.names[i], ar__study_colour(i), true);
        ar__page_put(p, "</svg><figcaption>");
        ar__page_text(p, l.names[i]);
        ar__page_put(p, "</figcaption></figure>\n");
    }
    ar__page_put(p, "</div>\n");
}

/* ---- errors of linears ---- */

#define MAPS 6
#define CELL 22.0
#define ROW  14.0
#define LEFT 26.0
#define TOP  52.0

/* From near white to dark blue, by the logarithm: light and dark pages show both ends. */
static void put_colour(char colour[8], double share) {
    static const int32_t from[] = {0xe8, 0xf1, 0xfb}, to[] = {0x0a, 0x3d, 0x7c};
    int32_t c[3];
    for (int32_t i = 0; i < 3; i++) c[i] = from[i] + (int32_t)lrint(share * (double)(to[i] - from[i]));
    snprintf(colour, 8, "#%02x%02x%02x", (unsigned)c[0], (unsigned)c[1], (unsigned)c[2]);
}

/* "q_proj" of "self_attn.q_proj". */
static const char *short_name(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

static void put_names(ar__page *p, const ar_model *m) {
    const ar_block *block = &m->blocks[0];
    for (int32_t b = 1; b < m->block_count; b++)
        if (m->blocks[b].linear_count > block->linear_count) block = &m->blocks[b];
    for (int32_t i = 0; i < block->linear_count; i++) {
        double x = LEFT + CELL * ((double)i + 0.7);
        ar__page_put(p, "<text x=\"%.1f\" y=\"%.1f\" transform=\"rotate(-55 %.1f %.1f)\">", x, TOP - 5.0, x,
                     TOP - 5.0);
        ar__page_text(p, short_name(block->linears[i].name));
        ar__page_put(p, "</text>");
    }
}

static void put_cells(ar__page *p, const ar__study_point *q, const ar_model *m, const ar__study_range *r) {
    for (int32_t b = 0; b < q->blocks; b++) {
        if (b % 5 == 0 || q->blocks <= 8)
            ar__page_put(p, "<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%d</text>", LEFT - 4.0,
                         TOP + ROW * b + 11.0, (int)b);
        for (int32_t i = 0; i < q->linears; i++) {
            char colour[8];
            double error = (double)q->errors[(int64_t)b * q->linears + i];
            if (!isfinite(error)) continue;
            put_colour(colour, fmin(fmax(ar__study_place(r, log10(fmax(error, 1e-6))), 0.0), 1.0));
            ar__page_put(p, "<rect x=\"%.0f\" y=\"%.0f\" width=\"%.0f\" height=\"%.0f\" fill=\"%s\"><title>",
                         LEFT + CELL * i, TOP + ROW * b, CELL - 1.0, ROW - 1.0, colour);
            if (b < m->block_count && i < m->blocks[b].linear_count)
                ar__page_text(p, m->blocks[b].linears[i].name);
            ar__page_put(p, ", block %d: %.3g</title></rect>", (int)b, error);
        }
    }
}

static void put_map(ar__page *p, const ar__study_point *q, const ar_model *m, const ar__study_range *r) {
    double width = LEFT + CELL * q->linears + 30.0;
    ar__page_put(
        p,
        "<figure><svg class=\"small\" viewBox=\"0 0 %.0f %.0f\" style=\"max-width:%.0fpx\" role=\"img\" "
        "aria-label=\"errors of linears\">",
        width, TOP + ROW * q->blocks + 2.0, 1.6 * width);
    put_names(p, m);
    put_cells(p, q, m, r);
    ar__page_put(p, "</svg><figcaption>");
    ar__page_text(p, q->method);
    ar__page_put(p, " ");
    ar__page_text(p, q->layout);
    ar__page_put(p, "</figcaption></figure>\n");
}

/* The scale of all maps, as a strip between its ends. */
static void put_scale(ar__page *p, const ar__study_range *r) {
    ar__page_put(
        p,
        "<p class=\"note\">The root of ||W' &minus; W||&sup2; / ||W||&sup2; of every linear (across) "
        "in every block (down), of what nothing beats: %.2g <svg viewBox=\"0 0 120 10\" "
        "style=\"width:120px;display:inline-block\">",
        pow(10.0, r->lo));
    for (int32_t i = 0; i < 24; i++) {
        char colour[8];
        put_colour(colour, i / 23.0);
        ar__page_put(p, "<rect x=\"%d\" y=\"0\" width=\"5.2\" height=\"10\" fill=\"%s\"/>", (int)(5 * i),
                     colour);
    }
    ar__page_put(p, "</svg> %.2g, logarithmic.</p>", pow(10.0, r->hi));
}

void ar__study_put_maps(ar__page *p, const ar__study *s, const ar_model *m) {
    const ar__study_point *shown[MAPS];
    int32_t count = 0;
    ar__study_range r = {INFINITY, -INFINITY};
    for (int32_t i = 0; i < s->count && count < MAPS; i++)
        if (s->list[i].is_best && s->list[i].errors) shown[count++] = &s->list[i];
    for (int32_t n = 0; n < count; n++)
        for (int64_t k = 0; k < (int64_t)shown[n]->blocks * shown[n]->linears; k++) {
            double error = (double)shown[n]->errors[k];
            if (isfinite(error)) ar__study_widen(&r, log10(fmax(error, 1e-6)));
        }
    if (count == 0 || !(r.hi >= r.lo)) return;
    ar__page_put(p, "<h2>Layer by layer</h2>\n");
    put_scale(p, &r);
    ar__page_put(p, "<div class=\"plots\">\n");
    for (int32_t n = 0; n < count; n++) put_map(p, shown[n], m, &r);
    ar__page_put(p, "</div>\n");
}
