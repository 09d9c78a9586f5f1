/* A study as a page: size against KL divergence, both logarithmic, a colour a method; see study.h. */
#include "ar_error.h"
#include "study_plot.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define PLOT_W 640.0
#define PLOT_H 360.0
#define LEFT   84.0
#define BOTTOM 28.0

static double x_of(const ar__study_range *r, const ar__study_point *p) {
    return LEFT + 12.0 + (PLOT_W - LEFT - 24.0) * ar__study_place(r, log10((double)p->bytes + 1.0));
}
static double y_of(const ar__study_range *r, const ar__study_point *p) {
    return 12.0 + (PLOT_H - BOTTOM - 24.0) * (1.0 - ar__study_place(r, ar__study_log_kl(p)));
}

static void put_axes(ar__page *p, const ar__study_range *x, const ar__study_range *y) {
    ar__page_put(p, "<rect x=\"%.0f\" y=\"0\" width=\"%.0f\" height=\"%.0f\" class=\"frame\"/>", LEFT,
                 PLOT_W - LEFT, PLOT_H - BOTTOM);
    static const char *const anchors[] = {"start", "middle", "end"};
    for (int32_t i = 0; i < 3; i++) {
        double share = 0.5 * i, kl = pow(10.0, y->lo + share * (y->hi - y->lo)),
               mib = pow(10.0, x->lo + share * (x->hi - x->lo)) / 1048576.0;
        ar__page_put(p, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"end\">%.2g</text>", LEFT - 6.0,
                     16.0 + (PLOT_H - BOTTOM - 24.0) * (1.0 - share), kl);
        ar__page_put(p, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"%s\">%.4g MiB</text>",
                     LEFT + (PLOT_W - LEFT - 2.0) * share, PLOT_H - 8.0, anchors[i], mib);
    }
}

static void put_points(ar__page *p, const ar__study *s, ar__study_legend *l, const ar__study_range *x,
                       const ar__study_range *y) {
    ar__page_put(p, "<polyline points=\"");
    for (int32_t i = 0; i < s->count; i++)
        if (s->list[i].is_best) ar__page_put(p, "%.1f,%.1f ", x_of(x, &s->list[i]), y_of(y, &s->list[i]));
    ar__page_put(p, "\"/>");
    for (int32_t i = 0; i < s->count; i++) {
        const ar__study_point *q = &s->list[i];
        ar__page_put(p, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" style=\"fill:%s\"><title>", x_of(x, q),
                     y_of(y, q), ar__study_colour(ar__study_method(l, q->method)));
        ar__page_text(p, q->method);
        ar__page_put(p, " ");
        ar__page_text(p, q->layout);
        ar__page_put(p, ", KL %.4g</title></circle>", q->kl);
    }
}

static void put_plot(ar__page *p, const ar__study *s) {
    ar__study_range x = {INFINITY, -INFINITY}, y = {INFINITY, -INFINITY};
    ar__study_legend l = {0};
    for (int32_t i = 0; i < s->count; i++) {
        ar__study_widen(&x, log10((double)s->list[i].bytes + 1.0));
        ar__study_widen(&y, ar__study_log_kl(&s->list[i]));
    }
    ar__page_put(
        p,
        "<style>svg text{font-size:12px;fill:currentColor}svg.small "
        "text{font-size:9px}@media(max-width:600px){svg.plot text{font-size:18px}}.key "
        "span{margin-right:1rem;"
        "white-space:nowrap}</style><figure><svg class=\"plot\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" "
        "aria-label=\"KL divergence against size\">",
        PLOT_W, PLOT_H);
    put_axes(p, &x, &y);
    put_points(p, s, &l, &x, &y);
    ar__page_put(p, "</svg><figcaption class=\"key\">");
    for (int32_t i = 0; i < l.count; i++) {
        ar__page_put(p,
                     "<span><svg viewBox=\"0 0 10 10\" style=\"width:10px;display:inline-block\"><circle "
                     "cx=\"5\" cy=\"5\" r=\"4\" style=\"fill:%s\"/></svg> ",
                     ar__study_colour(i));
        ar__page_text(p, l.names[i]);
        ar__page_put(p, "</span>");
    }
    ar__page_put(p, "KL divergence against size, both logarithmic; the line joins what nothing beats."
                    "</figcaption></figure>\n");
}

static void put_advice(ar__page *p, const ar__study *s) {
    static const char *const what[] = {"", "no loss that matters (perplexity at most .1 above)",
                                       "a small loss (at most .5 above)"};
    ar__page_put(p, "<p class=\"verdict\">");
    for (int32_t class = 1; class <= 2; class ++) {
        const ar__study_point *q = ar__study_smallest(s, class);
        ar__page_put(p, "The smallest with %s: <b>", what[class]);
        if (q) {
            ar__page_text(p, q->method);
            ar__page_put(p, " ");
            ar__page_text(p, q->layout);
            ar__page_put(p, "</b>, %.4g MiB. ", (double)q->bytes / 1048576.0);
        } else {
            ar__page_put(p, "none</b> of these. ");
        }
    }
    ar__page_put(p, "</p>\n");
}

static void put_table(ar__page *p, const ar__study *s) {
    ar__page_put(
        p, "<div class=\"scroll\"><table class=\"blocks\"><tr><th>method</th><th>layout</th><th>MiB</th>"
           "<th>bits a weight</th><th>KL</th><th>same top-1</th><th>perplexity</th><th>class</th>"
           "<th class=\"wide\">seconds</th><th class=\"wide\">device MiB</th></tr>\n");
    for (int32_t i = 0; i < s->count; i++) {
        const ar__study_point *q = &s->list[i];
        ar__page_put(p, "<tr><td>%s", q->is_best ? "<b>" : "");
        ar__page_text(p, q->method);
        ar__page_put(p, "%s</td><td>", q->is_best ? "</b>" : "");
        ar__page_text(p, q->layout);
        ar__page_put(
            p,
            "</td><td>%.2f</td><td>%.2f</td><td>%.5f</td><td>%.1f&nbsp;%%</td><td>%.3f</td><td>%d</td>"
            "<td class=\"wide\">%.1f</td><td class=\"wide\">%.0f</td></tr>\n",
            (double)q->bytes / 1048576.0, q->bpw, q->kl, 100.0 * q->top1, q->ppl, (int)ar__study_class(q),
            q->seconds, q->device_bytes / 1048576.0);
    }
    ar__page_put(p, "</table></div>\n");
}

ar_status ar__study_html(const char *path, const ar__study *s, const ar_model *m, const char *model,
                         const char *text) {
    ar_status status;
    ar__page p = {0};
    char subtitle[512];
    snprintf(subtitle, sizeof subtitle, "on %s; perplexity of the original %.4f", text,
             s->count ? s->list[0].ref_ppl : 0.0);
    AR_GO(ar_writer_open(&p.w, path));
    ar_writer_read_back(p.w);
    ar__page_begin(&p, model, subtitle);
    if (s->count) {
        put_advice(&p, s);
        put_plot(&p, s);
        put_table(&p, s);
        ar__study_put_methods(&p, s);
        ar__study_put_maps(&p, s, m);
    }
    ar__page_put(&p, "</body></html>\n");
    AR_GO(p.status);
    AR_GO(ar_writer_commit(&p.w));
done:
    ar_writer_abort(&p.w);
    return status;
}
