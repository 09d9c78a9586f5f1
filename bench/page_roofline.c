/* The page of `bench --report`: a roofline and a table for every device. */
#include "ar_error.h"
#include "page.h"
#include "results.h"
#include <math.h>

#define WIDTH  640
#define HEIGHT 360
#define LEFT   56 /* of the frame, for the labels */
#define BOTTOM 40

/* Logarithmic axes: decades of FLOP per byte and of GFLOP/s. */
typedef struct axes {
    double x0, x1, y0, y1;
} axes;

static double at_x(const axes *a, double intensity) {
    return LEFT + (WIDTH - LEFT - 8) * (log10(intensity) - a->x0) / (a->x1 - a->x0);
}

static double at_y(const axes *a, double gflops) {
    return (HEIGHT - BOTTOM) - (HEIGHT - BOTTOM - 8) * (log10(gflops) - a->y0) / (a->y1 - a->y0);
}

static bool is_point(const ar_bench_row *row, const ar_bench_part *p) {
    return row->outcome == AR_BENCH_OK && p->flops > 0 && p->bytes > 0 && p->seconds > 0;
}

/* Whole decades around what is drawn. */
static axes axes_of(const ar_bench_results *r) {
    double top = r->peaks.f32_flops_s, least = log10(top * 1e-9) - 1;
    if (r->peaks.matrix_flops_s > top) top = r->peaks.matrix_flops_s;
    axes a = {.x0 = -1, .x1 = 2, .y1 = ceil(log10(top * 1e-9) + 0.1)};
    for (int32_t i = 0; i < r->count; i++)
        for (int32_t j = 0; j < r->rows[i].time.part_count; j++) {
            const ar_bench_part *p = &r->rows[i].time.parts[j];
            if (!is_point(&r->rows[i], p)) continue;
            double x = log10(p->flops / p->bytes), y = log10(p->flops / p->seconds * 1e-9);
            if (floor(x) < a.x0) a.x0 = floor(x);
            if (ceil(x) > a.x1) a.x1 = ceil(x);
            if (y < least) least = y;
        }
    a.y0 = floor(least);
    return a;
}

static void draw_axes(ar__page *p, const axes *a) {
    ar__page_put(p, "<rect class=\"frame\" x=\"%d\" y=\"8\" width=\"%d\" height=\"%d\"/>", LEFT,
                 WIDTH - LEFT - 8, HEIGHT - BOTTOM - 8);
    for (double d = a->x0; d <= a->x1; d++)
        ar__page_put(p, "<text x=\"%.0f\" y=\"%d\" text-anchor=\"middle\">%g</text>", at_x(a, pow(10, d)),
                     HEIGHT - BOTTOM + 16, pow(10, d));
    for (double d = a->y0; d <= a->y1; d++)
        ar__page_put(p, "<text x=\"%d\" y=\"%.0f\" text-anchor=\"end\">%g</text>", LEFT - 6,
                     at_y(a, pow(10, d)) + 4, pow(10, d));
    ar__page_put(p, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">FLOP per byte</text>", WIDTH / 2,
                 HEIGHT - 6);
    ar__page_put(p, "<text x=\"%d\" y=\"22\">GFLOP/s</text>", LEFT + 6);
}

static void draw_roof(ar__page *p, const axes *a, double peak, double copy) {
    double ridge = peak / copy, left = pow(10, a->x0), right = pow(10, a->x1), y = left * copy;
    if (y < pow(10, a->y0)) { /* the slope leaves the frame at its bottom */
        y = pow(10, a->y0);
        left = y / copy;
    }
    ar__page_put(p, "<polyline points=\"%.1f,%.1f %.1f,%.1f %.1f,%.1f\"/>", at_x(a, left), at_y(a, y),
                 at_x(a, ridge), at_y(a, peak), at_x(a, right), at_y(a, peak));
}

static void draw_points(ar__page *p, const axes *a, const ar_bench_results *r) {
    for (int32_t i = 0; i < r->count; i++)
        for (int32_t j = 0; j < r->rows[i].time.part_count; j++) {
            const ar_bench_row *row = &r->rows[i];
            const ar_bench_part *part = &row->time.parts[j];
            if (!is_point(row, part)) continue;
            ar__page_put(p,
                         "<circle r=\"3.5\" cx=\"%.1f\" cy=\"%.1f\"><title>%s %s %s n=%d: %s, %.1f %% of "
                         "the roof</title></circle>",
                         at_x(a, part->flops / part->bytes), at_y(a, part->flops / part->seconds * 1e-9),
                         row->op, row->dtype, row->shape, (int)row->n, part->kernel,
                         ar_bench_percent(&r->peaks, part));
        }
}

static void put_row(ar__page *p, const ar_bench_results *r, const ar_bench_row *row) {
    for (int32_t j = 0; row->outcome == AR_BENCH_OK && j < row->time.part_count; j++) {
        const ar_bench_part *part = &row->time.parts[j];
        ar__page_put(p,
                     "<tr><td>%s</td><td>%s</td><td>%s</td><td>%d</td><td>%s</td><td>%.1f</td><td>%.2f</td>"
                     "<td>%.2f</td><td>%s</td><td>%.1f</td></tr>\n",
                     row->op, row->dtype, row->shape, (int)row->n, part->kernel, part->seconds * 1e6,
                     part->flops / part->seconds * 1e-9, part->bytes / part->seconds * 1e-9,
                     ar_bench_bound(&r->peaks, part), ar_bench_percent(&r->peaks, part));
    }
    if (row->outcome == AR_BENCH_OK) return;
    ar__page_put(p, "<tr><td>%s</td><td>%s</td><td>%s</td><td>%d</td><td colspan=\"6\">%s: ", row->op,
                 row->dtype, row->shape, (int)row->n, ar_bench_outcome_name(row->outcome));
    ar__page_text(p, row->reason);
    ar__page_put(p, "</td></tr>\n");
}

static void put_results(ar__page *p, const ar_bench_results *r) {
    axes a = axes_of(r);
    ar__page_put(p, "<h2>");
    ar__page_text(p, r->device);
    ar__page_put(p, " (%s)</h2>\n<p class=\"by\">", r->api);
    ar__page_text(p, r->driver);
    ar__page_put(p, "; copy %.2f GB/s, f32 %.1f GFLOP/s", r->peaks.copy_bytes_s * 1e-9,
                 r->peaks.f32_flops_s * 1e-9);
    if (r->peaks.matrix_flops_s > 0)
        ar__page_put(p, ", matrix hardware %.1f GFLOP/s", r->peaks.matrix_flops_s * 1e-9);
    ar__page_put(p, "</p>\n");
    ar__page_put(p, "<figure><svg viewBox=\"0 0 %d %d\" font-size=\"12\" fill=\"currentColor\">", WIDTH,
                 HEIGHT);
    draw_axes(p, &a);
    draw_roof(p, &a, r->peaks.f32_flops_s * 1e-9, r->peaks.copy_bytes_s * 1e-9);
    if (r->peaks.matrix_flops_s > 0)
        draw_roof(p, &a, r->peaks.matrix_flops_s * 1e-9, r->peaks.copy_bytes_s * 1e-9);
    draw_points(p, &a, r);
    ar__page_put(p, "</svg></figure>\n<div class=\"scroll\"><table class=\"blocks\"><tr><th>op</th><th>type"
                    "</th><th>shape</th><th>n</th><th>kernel</th><th>us</th><th>GFLOP/s</th><th>GB/s</th>"
                    "<th>bound</th><th>%% of the roof</th></tr>\n");
    for (int32_t i = 0; i < r->count; i++) put_row(p, r, &r->rows[i]);
    ar__page_put(p, "</table></div>\n");
}

ar_status ar_bench_page(const ar_bench_results *results, int32_t count, const char *path) {
    ar__page p = {0};
    AR_TRY(ar_writer_open(&p.w, path));
    ar__page_begin(&p, "anyround bench",
                   "Every launch beside what was measured of the device in the same run: "
                   "copying, and multiply-adds in registers.");
    for (int32_t i = 0; i < count; i++) put_results(&p, &results[i]);
    ar__page_put(&p, "</body></html>\n");
    if (p.status == AR_OK) return ar_writer_commit(&p.w);
    ar_writer_abort(&p.w);
    return p.status;
}
