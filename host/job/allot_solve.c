/* The choice of least cost within a budget: a knapsack with one choice of each item, by dynamic programming
 * over the bytes above the least, counted in grains: of their greatest common divisor, which real sizes have
 * large enough to be exact, else of a share of the budget, every choice rounded up. */
#include "allot.h"
#include "ar_error.h"
#include <math.h>
#include <stdlib.h>

#define GRAINS 16384

typedef struct table {
    double *best, *next; /* (GRAINS + 1): least cost of the items so far within so many grains */
    uint8_t *choice;     /* (count, GRAINS + 1) */
    uint64_t grain;
} table;

/* Grains of a choice, never too few. */
static int64_t grains(const table *t, const uint64_t *bytes, int32_t c) {
    return (int64_t)((bytes[c] - bytes[0] + t->grain - 1) / t->grain);
}

/* The largest number of bytes that all choices are multiples of above the least. */
static uint64_t common_grain(const uint64_t *bytes, int32_t count, int32_t choices) {
    uint64_t grain = 0;
    for (int32_t i = 0; i < count; i++)
        for (int32_t c = 1; c < choices; c++)
            for (uint64_t a = bytes[(int64_t)i * choices + c] - bytes[(int64_t)i * choices], left; a > 0;
                 a = left) { /* Euclid's */
                left = grain % a;
                grain = a;
            }
    return grain;
}

static uint64_t grain_of(const uint64_t *bytes, int32_t count, int32_t choices, uint64_t above) {
    uint64_t grain = common_grain(bytes, count, choices), share = above / GRAINS + (above % GRAINS != 0);
    return grain > share ? grain : share > 0 ? share : 1;
}

/* The cheapest of every item, which rounding must not keep out where the budget holds it. */
static bool pick_cheapest(int32_t *picked, const uint64_t *bytes, const double *cost, int32_t count,
                          int32_t choices, uint64_t budget) {
    for (int32_t i = 0; i < count; i++) {
        const double *own = cost + (int64_t)i * choices;
        picked[i] = 0;
        for (int32_t c = 1; c < choices; c++)
            if (own[c] < own[picked[i]]) picked[i] = c;
        uint64_t taken = bytes[(int64_t)i * choices + picked[i]];
        if (taken > budget) return false;
        budget -= taken;
    }
    return true;
}

static void add_item(table *t, uint8_t *choice, const uint64_t *bytes, const double *cost, int32_t choices) {
    for (int64_t room = 0; room <= GRAINS; room++) {
        t->next[room] = INFINITY;
        for (int32_t c = 0; c < choices; c++) {
            int64_t left = room - grains(t, bytes, c);
            if (left < 0 || !(t->best[left] + cost[c] < t->next[room])) continue;
            t->next[room] = t->best[left] + cost[c];
            choice[room] = (uint8_t)c;
        }
    }
    double *swap = t->best;
    t->best = t->next;
    t->next = swap;
}

ar_status ar__allot_solve(int32_t *picked, const uint64_t *bytes, const double *cost, int32_t count,
                          int32_t choices, uint64_t budget) {
    uint64_t least = 0;
    ar_status status = AR_OK;
    for (int32_t i = 0; i < count; i++) least += bytes[(int64_t)i * choices];
    if (budget < least)
        return ar__fail(AR_ERR_USAGE, "budget: found %llu bytes for the linears, expected at least %llu",
                        (unsigned long long)budget, (unsigned long long)least);
    if (pick_cheapest(picked, bytes, cost, count, choices, budget)) return AR_OK;
    table t = {.best = ar__alloc(GRAINS + 1, sizeof *t.best),
               .next = ar__alloc(GRAINS + 1, sizeof *t.next),
               .choice = ar__alloc((size_t)count, GRAINS + 1),
               .grain = grain_of(bytes, count, choices, budget - least)};
    if (!t.best || !t.next || !t.choice) AR_GO(AR_ERR_MEMORY);
    for (int32_t i = 0; i < count; i++)
        add_item(&t, t.choice + (int64_t)i * (GRAINS + 1), bytes + (int64_t)i * choices,
                 cost + (int64_t)i * choices, choices);
    int64_t room = (int64_t)((budget - least) / t.grain);
    for (int32_t i = count - 1; i >= 0; i--) {
        picked[i] = t.choice[(int64_t)i * (GRAINS + 1) + room];
        room -= grains(&t, bytes + (int64_t)i * choices, picked[i]);
    }
done:
    free(t.best);
    free(t.next);
    free(t.choice);
    return status;
}
