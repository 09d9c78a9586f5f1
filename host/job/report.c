/* The HTML report; see report.h. */
#include "report.h"
#include "ar_error.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLOT_W 360.0
#define PLOT_H 140.0

typedef struct page {
    ar_writer *w;
    ar_status status;
} page;

static void put(page *p, const char *format, ...) AR__PRINTF(2, 3);
static void put(page *p, const char *format, ...) {
    char text[1024];
    va_list args;
    if (p->status != AR_OK) return;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    p->status = ar_writer_write(p->w, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
}

static void put_escaped(page *p, const char *text) {
    for (; *text; text++) {
        const char *name = *text == '<'   ? "&lt;"
                           : *text == '>' ? "&gt;"
                           : *text == '&' ? "&amp;"
                           : *text == '"' ? "&quot;"
                                          : NULL;
        if (name)
            put(p, "%s", name);
        else
            put(p, "%c", *text);
    }
}

/* Loss against step, linear axes, the first and best values written beside the curve. */
static void put_plot(page *p, const ar_block_report *r) {
    double lo = INFINITY, hi = -INFINITY;
    for (int32_t i = 0; i < r->step_count; i++) {
        lo = fmin(lo, (double)r->history[i]);
        hi = fmax(hi, (double)r->history[i]);
    }
    if (!(hi > lo)) hi = lo + (lo != 0.0 ? fabs(lo) : 1.0);
    put(p,
        "<figure><svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"loss of block %d by step\">"
        "<rect x=\"0\" y=\"0\" width=\"%.0f\" height=\"%.0f\" class=\"frame\"/><polyline points=\"",
        PLOT_W, PLOT_H, (int)r->block, PLOT_W, PLOT_H);
    for (int32_t i = 0; i < r->step_count; i++) {
        double x = r->step_count > 1 ? PLOT_W * i / (r->step_count - 1) : 0.0,
               y = PLOT_H * (hi - (double)r->history[i]) / (hi - lo);
        put(p, "%.1f,%.1f ", x, 4.0 + y * (PLOT_H - 8.0) / PLOT_H);
    }
    put(p, "\"/></svg><figcaption>block %d: loss %.4g &rarr; %.4g over %d steps</figcaption></figure>\n",
        (int)r->block, r->loss_first, r->loss_best, (int)r->step_count);
}

static void put_row(page *p, const ar_block_report *r) {
    put(p,
        "<tr><td>%d</td><td>%.6g</td><td>%.6g</td><td>%.3f</td><td>%.6g</td><td>%.6g</td><td>%d</"
        "td><td>%.1f</td><td>%.1f</td></tr>\n",
        (int)r->block, r->loss_first, r->loss_best, r->loss_first > 0.0 ? r->loss_best / r->loss_first : 1.0,
        r->heldout_first, r->heldout_best, (int)r->best_step, r->seconds,
        (double)r->device_bytes / 1048576.0);
}

static ar_status put_blocks(page *p, const ar_part *part, int32_t block_count, bool plots) {
    for (int32_t b = 0; b < block_count; b++) {
        ar_block_report r;
        float *history = NULL;
        AR_TRY(ar__part_report(part, &r, &history, b));
        if (plots && history) put_plot(p, &r);
        if (!plots) put_row(p, &r);
        free(history);
    }
    return p->status;
}

static const char style[] =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 "
    "1rem;color:#1b1f24;background:#fff}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .7rem;border-bottom:1px solid "
    "#d5dae0;text-align:right}"
    "th:first-child,td:first-child{text-align:left}figure{display:inline-block;margin:.5rem;width:22rem}svg{"
    "width:100%}"
    ".frame{fill:#f5f7f9;stroke:#c9d0d8}polyline{fill:none;stroke:#0b62c4;stroke-width:1.5}"
    "@media(prefers-color-scheme:dark){body{color:#e6e9ed;background:#14171a}.frame{fill:#1d2226;stroke:#"
    "3a424a}polyline{stroke:#6bb1ff}"
    "td,th{border-color:#333a41}}";

ar_status ar__report_write(const char *path, const char *title, const ar_report_line *lines,
                           int32_t line_count, const ar_part *part, int32_t block_count) {
    ar_status status = AR_OK;
    page p = {0};
    AR_TRY(ar_writer_open(&p.w, path));
    put(&p, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
            "content=\"width=device-width\"><title>");
    put_escaped(&p, title);
    put(&p, "</title><style>%s</style></head><body><h1>", style);
    put_escaped(&p, title);
    put(&p, "</h1>\n<table>\n");
    for (int32_t i = 0; i < line_count; i++) {
        put(&p, "<tr><td>");
        put_escaped(&p, lines[i].name);
        put(&p, "</td><td>");
        put_escaped(&p, lines[i].value);
        put(&p, "</td></tr>\n");
    }
    put(&p, "</table>\n<h2>Blocks</h2>\n<table><tr><th>block</th><th>loss first</th><th>loss "
            "best</th><th>ratio</th><th>held-out first</th>"
            "<th>held-out best</th><th>kept step</th><th>seconds</th><th>device MiB</th></tr>\n");
    AR_GO(put_blocks(&p, part, block_count, false));
    put(&p, "</table>\n<h2>Loss by step</h2>\n");
    AR_GO(put_blocks(&p, part, block_count, true));
    put(&p, "</body></html>\n");
    AR_GO(p.status);
    AR_GO(ar_writer_commit(&p.w));
done:
    ar_writer_abort(&p.w);
    return status;
}
