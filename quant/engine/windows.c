/* Which blocks each window of a walk tunes, looks through and delivers (arXiv 2411.03934; docs/windows.md).
 */
#include "ar_error.h"
#include "engine.h"

/* What a step takes in a frozen block, of what it takes in a tuned one: of the three products of a linear all
 * but the weight's gradient. */
#define FROZEN (2.0 / 3.0)

static int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }

bool ar_window_at(ar_window_span *s, const ar_window *w, int32_t blocks, int32_t limit, int32_t index) {
    static const ar_window single = {1, 1, 0};
    if (w->blocks < 1) w = &single;
    int32_t end = limit > 0 ? smaller(limit, blocks) : blocks, most = smaller(w->blocks, end);
    int32_t grown = most > 0 ? (most - 1) / w->stride : 0, moved = (end + w->stride - 1) / w->stride;
    *s = (ar_window_span){.count = 1, .done = 1};
    if (index < grown) {
        *s = (ar_window_span){.count = (index + 1) * w->stride, .is_tuned = true};
    } else if (index - grown < moved) {
        s->first = (index - grown) * w->stride;
        s->count = smaller(w->blocks, end - s->first);
        s->done = smaller(w->stride, end - s->first);
        s->is_tuned = true;
    } else {
        s->first = end + index - grown - moved;
    }
    if (s->is_tuned) s->ahead = smaller(w->ahead, blocks - s->first - s->count);
    return s->first < blocks;
}

int32_t ar_window_visits(const ar_window *w) {
    return w->blocks > 0 ? (w->blocks + w->stride - 1) / w->stride : 1;
}

double ar_window_work(const ar_window_span *s) { return s->count + FROZEN * s->ahead; }

void ar_quant_cost_window(double *lead, double *step, double *all, const ar_quant_cost *c,
                          const ar_window_span *s) {
    double share = c->work > 0.0 ? ar_window_work(s) / c->work : 1.0;
    *lead = c->tuned_lead * share;
    *step = c->step * share;
    *all = *lead + *step * c->steps + c->behind * s->done;
}

ar_status ar__window_check(const ar_window *v) {
    if (v->blocks >= 1 && v->stride >= 1 && v->stride <= v->blocks && v->ahead >= 0) return AR_OK;
    return ar__fail(AR_ERR_ARG,
                    "window: found %d blocks, stride %d, %d ahead, expected 1 <= stride <= blocks",
                    (int)v->blocks, (int)v->stride, (int)v->ahead);
}
