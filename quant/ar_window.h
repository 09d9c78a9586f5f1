/* Part of ar_quant.h: windows of blocks (quant/engine/windows.c). */
#ifndef AR_WINDOW_H
#define AR_WINDOW_H
#include <stdbool.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/* How many blocks are tuned together, by how many the window moves on, and how many float blocks behind it
 * its loss looks through (arXiv 2411.03934); 1, 1, 0 = block by block. */
typedef struct ar_window {
    int32_t blocks, stride, ahead; /* 1 <= stride <= blocks, 0 <= ahead */
} ar_window;
/* One window. What it tunes and does not deliver a later one goes on with. */
typedef struct ar_window_span {
    int32_t first, count; /* tuned: these blocks */
    int32_t ahead;        /* frozen, behind them */
    int32_t done;         /* delivered, of count; 0 = the next one begins here too */
    bool is_tuned;        /* else the one block is rounded to nearest */
} ar_window_span;
/* Window `index` (w with 0 blocks = 1, 1, 0) of a model of `blocks` blocks, of which the first `limit` are
 * tuned (0 = all); no window reaches past those, nor looks past the last block. Where they overlap, windows
 * of stride, 2 stride, ... blocks come before the first whole one, so that every block is in as many. false
 * past the last one. */
bool ar_window_at(ar_window_span *s, const ar_window *w, int32_t blocks, int32_t limit, int32_t index);
/* In how many windows a block is, at most. */
int32_t ar_window_visits(const ar_window *w);
/* What a step of it takes, in blocks tuned alone. */
double ar_window_work(const ar_window_span *s);

#ifdef __cplusplus
}
#endif
#endif
