/* A training run as one HTML page: what was reached, losses by step, and what the result depends on. */
#include "ar_error.h"
#include "page.h"
#include "train.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH  800.0
#define HEIGHT 260.0
#define POINTS 400 /* of a curve: more would not be seen */

typedef struct points {
    double *loss;   /* (count), of step i + 1 */
    double *held;   /* (held_count) */
    int32_t *steps; /* (held_count) */
    int32_t count, held_count;
    double lo, hi;
} points;

static void reach(points *p, double loss) {
    if (!isfinite(loss)) return;
    if (loss < p->lo) p->lo = loss;
    if (loss > p->hi) p->hi = loss;
}

/* What ar__train_run wrote: a line of JSON a step or a look. */
static ar_status read_points(points *p, const char *text) {
    int32_t lines = 1;
    for (const char *c = text; *c; c++) lines += *c == '\n';
    *p = (points){.lo = INFINITY, .hi = -INFINITY};
    p->loss = ar__alloc((size_t)lines, sizeof *p->loss);
    p->held = ar__alloc((size_t)lines, sizeof *p->held);
    p->steps = ar__alloc((size_t)lines, sizeof *p->steps);
    if (!p->loss || !p->held || !p->steps) return AR_ERR_MEMORY;
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        int step;
        double loss;
        if (sscanf(line, "{\"step\":%d,\"loss\":%lf", &step, &loss) == 2) {
            p->loss[p->count++] = loss;
        } else if (sscanf(line, "{\"step\":%d,\"held_loss\":%lf", &step, &loss) == 2) {
            p->steps[p->held_count] = step;
            p->held[p->held_count++] = loss;
        } else {
            continue;
        }
        reach(p, loss);
    }
    return AR_OK;
}

static double height_of(const points *p, double loss) {
    double span = p->hi > p->lo ? p->hi - p->lo : 1;
    return HEIGHT - 8 - (HEIGHT - 16) * (loss - p->lo) / span;
}

/* The mean of every POINTS-th part as a line, held-out losses as points. */
static void put_curve(ar__page *page, const points *p) {
    ar__page_put(page,
                 "<figure><svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"loss by step\">"
                 "<rect class=\"frame\" width=\"%.0f\" height=\"%.0f\"/><polyline points=\"",
                 WIDTH, HEIGHT, WIDTH, HEIGHT);
    int32_t shown = p->count < POINTS ? p->count : POINTS;
    for (int32_t k = 0; k < shown; k++) {
        int32_t first = (int32_t)((int64_t)p->count * k / shown),
                end = (int32_t)((int64_t)p->count * (k + 1) / shown);
        double sum = 0;
        for (int32_t i = first; i < end; i++) sum += p->loss[i];
        ar__page_put(page, "%.1f,%.1f ", WIDTH * (first + end) / 2.0 / p->count,
                     height_of(p, sum / (end - first)));
    }
    ar__page_put(page, "\"/>");
    for (int32_t i = 0; i < p->held_count; i++)
        ar__page_put(page, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>", WIDTH * p->steps[i] / p->count,
                     height_of(p, p->held[i]));
    ar__page_put(page,
                 "</svg><figcaption>loss of %d steps (line) and of what is held out (points), %.4g to "
                 "%.4g</figcaption></figure>\n",
                 (int)p->count, p->lo, p->hi);
}

static void put_run(ar__page *page, const char *run) {
    ar__page_put(page, "<table class=\"lines\">");
    for (const char *line = run; *line;) {
        size_t n = strcspn(line, "\n"), name = strcspn(line, ":");
        char text[512];
        ar__page_put(page, "<tr><td>%.*s</td><td>", (int)(name < n ? name : n), line);
        snprintf(text, sizeof text, "%.*s", (int)(name + 2 < n ? n - name - 2 : 0), line + name + 2);
        ar__page_text(page, text);
        ar__page_put(page, "</td></tr>\n");
        line += line[n] ? n + 1 : n;
    }
    ar__page_put(page, "</table></body></html>\n");
}

static void put_result(ar__page *page, const ar_train_result *r) {
    ar__page_put(page, "<p class=\"verdict\">Loss %.4f &rarr; %.4f", r->first, r->last);
    if (isfinite(r->best)) ar__page_put(page, ", held out %.4f at best", r->best);
    ar__page_put(page, "; the weights are those of step %d.</p>\n", (int)r->step);
}

ar_status ar__train_report_write(const char *path, const char *title, const char *curve, const char *run,
                                 const ar_train_result *r) {
    ar_status status;
    char *text = NULL;
    size_t bytes = 0;
    points p = {0};
    ar__page page = {0};
    AR_GO(ar_file_read_text(&text, &bytes, curve, (size_t)1 << 30));
    AR_GO(read_points(&p, text));
    AR_GO(ar_writer_open(&page.w, path));
    ar__page_begin(&page, title, "trained by anyround");
    put_result(&page, r);
    if (p.count > 0) put_curve(&page, &p);
    put_run(&page, run);
    AR_GO(page.status);
    AR_GO(ar_writer_commit(&page.w));
done:
    ar_writer_abort(&page.w);
    free(text);
    free(p.loss);
    free(p.held);
    free(p.steps);
    return status;
}
