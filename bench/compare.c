/* Two measurements of one device, before and after a change. */
#include "results.h"
#include <string.h>

#define LEAST 0.03 /* a difference below this is none, however steady both were */

static const ar_bench_row *find(const ar_bench_results *r, const ar_bench_row *like) {
    for (int32_t i = 0; i < r->count; i++) {
        const ar_bench_row *row = &r->rows[i];
        if (strcmp(row->op, like->op) == 0 && strcmp(row->dtype, like->dtype) == 0 &&
            strcmp(row->shape, like->shape) == 0 && row->n == like->n && row->m == like->m &&
            row->k == like->k)
            return row;
    }
    return NULL;
}

/* Times differ when their ratio leaves what both varied by, and LEAST. */
static const char *verdict(double ratio, double noise) {
    if (ratio > 1 + noise) return "slower";
    if (ratio < 1 / (1 + noise)) return "faster";
    return "the same";
}

void ar_bench_compare(const ar_bench_results *now, const ar_bench_results *before) {
    int32_t faster = 0, slower = 0, same = 0, alone = 0;
    if (strcmp(now->device, before->device) != 0 || strcmp(now->api, before->api) != 0)
        printf("another device: %s (%s), before %s (%s)\n", now->device, now->api, before->device,
               before->api);
    printf("%-16s %-8s %-12s %4s %11s %11s %7s %7s\n", "op", "type", "shape", "n", "us before", "us now",
           "ratio", "noise");
    for (int32_t i = 0; i < now->count; i++) {
        const ar_bench_row *a = &now->rows[i], *b = find(before, a);
        if (a->outcome != AR_BENCH_OK || !b || b->outcome != AR_BENCH_OK) {
            alone++;
            continue;
        }
        double ratio = a->time.seconds / b->time.seconds;
        double noise = LEAST + (a->time.spread > b->time.spread ? a->time.spread : b->time.spread);
        const char *word = verdict(ratio, noise);
        faster += word[0] == 'f';
        slower += word[0] == 's';
        same += word[0] == 't';
        printf("%-16s %-8s %-12s %4d %11.1f %11.1f %7.3f %7.3f  %s\n", a->op, a->dtype, a->shape, (int)a->n,
               b->time.seconds * 1e6, a->time.seconds * 1e6, ratio, noise, word);
    }
    printf("%d faster, %d slower, %d the same; %d not measured on both\n", (int)faster, (int)slower,
           (int)same, (int)alone);
}
