/* The HTML report; see report.h. */
#include "report.h"
#include "ar_error.h"
#include "page.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLOT_W 360.0
#define PLOT_H 140.0

/* Loss against step, linear axes, the first and best values written beside the curve. */
static void put_plot(ar__page *p, const ar_block_report *r) {
    double lo = INFINITY, hi = -INFINITY;
    for (int32_t i = 0; i < r->step_count; i++) {
        lo = fmin(lo, (double)r->history[i]);
        hi = fmax(hi, (double)r->history[i]);
    }
    if (!(hi > lo)) hi = lo + (lo != 0.0 ? fabs(lo) : 1.0);
    ar__page_put(
        p,
        "<figure><svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"loss of block %d by step\">"
        "<rect x=\"0\" y=\"0\" width=\"%.0f\" height=\"%.0f\" class=\"frame\"/><polyline points=\"",
        PLOT_W, PLOT_H, (int)r->block, PLOT_W, PLOT_H);
    for (int32_t i = 0; i < r->step_count; i++) {
        double x = r->step_count > 1 ? PLOT_W * i / (r->step_count - 1) : 0.0,
               y = PLOT_H * (hi - (double)r->history[i]) / (hi - lo);
        ar__page_put(p, "%.1f,%.1f ", x, 4.0 + y * (PLOT_H - 8.0) / PLOT_H);
    }
    ar__page_put(
        p, "\"/></svg><figcaption>block %d: loss %.4g &rarr; %.4g over %d steps</figcaption></figure>\n",
        (int)r->block, r->loss_first, r->loss_best, (int)r->step_count);
}

/* Neither tuned step by step nor told apart from round to nearest by an error. */
static bool is_rounded(const ar_block_report *r) { return r->step_count == 0 && !(r->loss_first > 0.0); }

/* ---- losses: on samples set aside where there are any, else on the batches ---- */

static bool is_held(const ar_block_report *r) { return r->heldout_first > 0.0; }
static double start_of(const ar_block_report *r) { return is_held(r) ? r->heldout_first : r->loss_first; }
static double best_of(const ar_block_report *r) { return is_held(r) ? r->heldout_best : r->loss_best; }
/* 0 = not known: nothing was held out, and tuning began elsewhere. */
static double nearest_of(const ar_block_report *r, const char *start) {
    bool again = r->window.done < r->window.count;
    return is_held(r) ? r->heldout_nearest : start || again ? 0.0 : r->loss_first;
}

/* All blocks that were tuned. */
typedef struct summary {
    int32_t tuned, better, last;     /* last: the block that keeps most */
    double left, most, start;        /* what is left of the loss, geometric mean and most, and at the start */
    bool held, is_nearest, is_apart; /* of nearest's loss; the start is something else */
} summary;

static summary sum_up(const ar_block_report *blocks, int32_t count, const char *start) {
    summary s = {.is_nearest = true};
    double left = 0.0, first = 0.0;
    for (int32_t b = 0; b < count; b++) {
        const ar_block_report *r = &blocks[b];
        if (is_rounded(r)) continue;
        s.tuned++;
        s.held = s.held || is_held(r);
        s.is_nearest = s.is_nearest && nearest_of(r, start) > 0.0;
        s.is_apart = s.is_apart || nearest_of(r, start) != start_of(r);
    }
    for (int32_t b = 0; b < count; b++) {
        const ar_block_report *r = &blocks[b];
        double whole = s.is_nearest ? nearest_of(r, start) : start_of(r);
        double share = whole > 0.0 ? best_of(r) / whole : 1.0;
        if (is_rounded(r)) continue;
        s.better += share < 1.0;
        left += log(fmax(share, 1e-12));
        first += log(fmax(whole > 0.0 ? start_of(r) / whole : 1.0, 1e-12));
        if (share >= s.most) s.last = r->block;
        s.most = fmax(s.most, share);
    }
    s.left = exp(left / fmax(s.tuned, 1.0));
    s.start = exp(first / fmax(s.tuned, 1.0));
    return s;
}

/* What the losses are, where blocks were tuned together or seen through others. */
static void put_windows(ar__page *p, const ar_block_report *blocks, int32_t count) {
    int32_t most = 0, ahead = 0;
    bool again = false;
    for (int32_t b = 0; b < count; b++) {
        const ar_window_span *s = &blocks[b].window;
        most = s->count > most ? s->count : most;
        ahead = s->ahead > ahead ? s->ahead : ahead;
        again = again || s->done < s->count;
    }
    if (most < 2 && ahead == 0) return;
    ar__page_put(p, "<p class=\"note\">Up to %d blocks were tuned together", (int)most);
    if (ahead > 0) ar__page_put(p, ", their error seen behind up to %d blocks more", (int)ahead);
    ar__page_put(p, ": losses are those of the window that delivered the block%s.</p>\n",
                 again ? ", which goes on from where the windows before left it" : "");
}

/* The whole run in one sentence or two. */
static void put_verdict(ar__page *p, const summary *s, const char *start) {
    const char *what = s->is_nearest ? "" : " on the grids that it began from";
    ar__page_put(p, "<p class=\"verdict\">");
    if (s->tuned == 0)
        ar__page_put(p, "Rounded to nearest: nothing was tuned.");
    else if (s->better == 0)
        ar__page_put(p, "Tuning found nothing better than %s.",
                     s->is_nearest ? "rounding to nearest" : "what it began from");
    else
        ar__page_put(
            p,
            "Tuning leaves <b>%.1f&nbsp;%%</b> of the loss of rounding to nearest%s, on %s (geometric mean "
            "over blocks). It is lower in <b>%d of %d</b> blocks; block %d gains least and keeps "
            "%.1f&nbsp;%%.",
            100.0 * s->left, what, s->held ? "samples that were set aside" : "the batches it was tuned on",
            (int)s->better, (int)s->tuned, (int)s->last, 100.0 * s->most);
    if (s->tuned && s->is_nearest && s->is_apart)
        ar__page_put(p, " %s, from which it began, %s %.1f&nbsp;%%.",
                     start ? "The searched grids" : "What the windows before left",
                     start ? "leave" : "leaves", 100.0 * s->start);
    ar__page_put(p, " Every file was read back and compared with the result, bit for bit.</p>\n");
}

static void put_loss(ar__page *p, double loss) {
    if (loss > 0.0)
        ar__page_put(p, "<td>%.4g</td>", loss);
    else
        ar__page_put(p, "<td>&ndash;</td>");
}

/* Of step and seconds: a phone has no room for them beside one more loss. */
static const char *last_columns(const summary *s) { return s->is_apart ? " class=\"wide\"" : ""; }

static void put_row(ar__page *p, const ar_block_report *r, const summary *s, const char *start) {
    double whole = s->is_nearest ? nearest_of(r, start) : start_of(r);
    const char *last = last_columns(s);
    if (is_rounded(r)) {
        ar__page_put(p,
                     "<tr><td>%d</td><td colspan=\"%d\">rounded to nearest</td><td class=\"wide\"></td>"
                     "<td class=\"wide\"></td><td%s></td><td%s>%.1f</td></tr>\n",
                     (int)r->block, s->is_apart ? 4 : 3, last, last, r->seconds);
        return;
    }
    ar__page_put(p, "<tr><td>%d</td>", (int)r->block);
    put_loss(p, nearest_of(r, start));
    if (s->is_apart) put_loss(p, start_of(r));
    put_loss(p, best_of(r));
    ar__page_put(p,
                 "<td>%.1f %%</td><td class=\"wide\">%.4g</td><td class=\"wide\">%.4g</td><td%s>%d</td>"
                 "<td%s>%.1f</td></tr>\n",
                 whole > 0.0 ? 100.0 * best_of(r) / whole : 100.0, r->loss_first, r->loss_best, last,
                 (int)r->best_step, last, r->seconds);
}

static void put_blocks(ar__page *p, const ar_block_report *blocks, int32_t count, const summary *s,
                       const char *start) {
    if (s->tuned == 0) return;
    ar__page_put(p, "<h2>Blocks</h2>\n<div class=\"scroll\"><table class=\"blocks\"><tr><th>block</th>"
                    "<th>rounded to nearest</th>");
    if (s->is_apart) ar__page_put(p, "<th>start%s%s</th>", start ? ": " : "", start ? start : "");
    ar__page_put(p,
                 "<th>tuned</th><th>left</th><th class=\"wide\">first batch</th>"
                 "<th class=\"wide\">best batch</th><th%s>step</th><th%s>seconds</th></tr>\n",
                 last_columns(s), last_columns(s));
    for (int32_t b = 0; b < count; b++) put_row(p, &blocks[b], s, start);
    ar__page_put(
        p,
        "</table></div>\n<p class=\"note\">Loss: the error of the block's outputs, on samples set aside "
        "where there are any, else on batches. Rounded to nearest: what method rtn makes of this block, "
        "behind the blocks tuned before it%s. Left: of %s. "
        "Step: the one whose state was kept; where there were none, losses are the mean "
        "square errors of the outputs of the block's linears.</p>\n",
        s->is_nearest ? "" : "; not known without samples set aside", s->is_nearest ? "that" : "the start");
    put_windows(p, blocks, count);
}

static ar_status put_plots(ar__page *p, const ar_part *part, int32_t count) {
    bool any = false;
    for (int32_t b = 0; b < count; b++) {
        ar_block_report r;
        float *history = NULL;
        AR_TRY(ar__part_report(part, &r, &history, b));
        if (history && !any) ar__page_put(p, "<h2>Loss by step</h2>\n<div class=\"plots\">\n");
        if (history) put_plot(p, &r);
        any = any || history;
        free(history);
    }
    if (any) ar__page_put(p, "</div>\n");
    return p->status;
}

static void put_lines(ar__page *p, const ar_report_line *lines, int32_t count) {
    ar__page_put(p, "<table class=\"lines\">\n");
    for (int32_t i = 0; i < count; i++) {
        ar__page_put(p, "<tr><td>");
        ar__page_text(p, lines[i].name);
        ar__page_put(p, "</td><td>");
        ar__page_text(p, lines[i].value);
        ar__page_put(p, "</td></tr>\n");
    }
    ar__page_put(p, "</table>\n");
}

ar_status ar__report_write(const char *path, const ar_report *r) {
    ar_status status = AR_OK;
    ar__page p = {0};
    ar_block_report *blocks = ar__alloc((size_t)r->block_count + 1, sizeof *blocks);
    if (!blocks) return AR_ERR_MEMORY;
    for (int32_t b = 0; b < r->block_count; b++) {
        float *history = NULL;
        AR_GO(ar__part_report(r->part, &blocks[b], &history, b));
        blocks[b].history = NULL;
        free(history);
    }
    AR_GO(ar_writer_open(&p.w, path));
    ar_writer_read_back(p.w);
    ar__page_begin(&p, r->title, r->subtitle);
    summary s = sum_up(blocks, r->block_count, r->start);
    put_verdict(&p, &s, r->start);
    put_lines(&p, r->results, r->result_count);
    put_blocks(&p, blocks, r->block_count, &s, r->start);
    AR_GO(put_plots(&p, r->part, r->block_count));
    ar__page_put(&p, "<h2>Settings</h2>\n");
    put_lines(&p, r->settings, r->setting_count);
    ar__page_put(&p, "</body></html>\n");
    AR_GO(p.status);
    AR_GO(ar_writer_commit(&p.w));
done:
    ar_writer_abort(&p.w);
    free(blocks);
    return status;
}
