/* Choosing the next token from logits: the most likely one, or one drawn from softmax(logits / temperature),
 * if wanted only among the nucleus: the fewest most likely tokens that hold top_p of the probability
 * (Holtzman et al. 2019, arXiv 1904.09751). The nucleus is found by radix selection on the logits' order, so
 * nothing is sorted or allocated: its last logit is narrowed down by 11, 11 and 10 bits of its key. */
#include "ar_host.h"
#include <math.h>
#include <string.h>

#define STREAM UINT64_C(0x73616d706c65) /* of the seed's random numbers; no other user has it */

typedef struct draw {
    const float *logits;
    int64_t vocab;
    double max, temperature;
    double wanted;     /* mass of the nucleus; infinite = everything */
    uint32_t last_key; /* logits with a higher key are in it; equal ones, in order of id, until wanted is
                          reached */
    double above;      /* mass of those with a higher key */
} draw;

/* Unsigned integers in the order of the floats. */
static uint32_t key_of(float logit) {
    float value = logit + 0.0f; /* -0 is 0 */
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

/* softmax without its divisor. NaN is never drawn; an infinite maximum takes everything. */
static double weight(const draw *d, float logit) {
    if (isnan(logit)) return 0;
    return (double)logit == d->max ? 1 : exp(((double)logit - d->max) / d->temperature);
}

static int64_t most_likely(const float *logits, int64_t vocab) {
    int64_t best = 0;
    for (int64_t i = 1; i < vocab; i++)
        if (logits[i] > logits[best] || (isnan(logits[best]) && !isnan(logits[i]))) best = i;
    return best;
}

static void find_nucleus(draw *d) {
    static const int shifts[] = {21, 10, 0}, sizes[] = {2048, 2048, 1024};
    uint32_t prefix = 0, known = 0;
    for (int level = 0; level < 3; level++) {
        double mass[2048] = {0};
        for (int64_t i = 0; i < d->vocab; i++) {
            uint32_t key = key_of(d->logits[i]);
            if ((key & known) == prefix)
                mass[key >> shifts[level] & (uint32_t)(sizes[level] - 1)] += weight(d, d->logits[i]);
        }
        int bucket = sizes[level] - 1;
        while (bucket > 0 && d->above + mass[bucket] < d->wanted) d->above += mass[bucket--];
        prefix |= (uint32_t)bucket << shifts[level];
        known |= (uint32_t)(sizes[level] - 1) << shifts[level];
    }
    d->last_key = prefix;
}

/* Adds up the kept weights in order of id until they pass `target`; the id there, or the last one kept. */
static int64_t walk(const draw *d, double target, double *total) {
    int64_t kept = -1;
    double above = d->above;
    *total = 0;
    for (int64_t i = 0; i < d->vocab && *total <= target; i++) {
        uint32_t key = key_of(d->logits[i]);
        double w = weight(d, d->logits[i]);
        if (w <= 0 || key < d->last_key || (key == d->last_key && above >= d->wanted)) continue;
        if (key == d->last_key) above += w;
        *total += w;
        kept = i;
    }
    return kept;
}

int32_t ar_sample(const float *logits, int64_t vocab, const ar_sampling *s, uint64_t counter) {
    int64_t best = most_likely(logits, vocab);
    if (s->greedy || !(s->temperature > 0) || isnan(logits[best])) return (int32_t)best;
    draw d = {.logits = logits,
              .vocab = vocab,
              .max = (double)logits[best],
              .temperature = (double)s->temperature,
              .wanted = INFINITY};
    double total;
    walk(&d, INFINITY, &total);
    if (s->top_p > 0 && s->top_p < 1) {
        d.wanted = (double)s->top_p * total;
        find_nucleus(&d);
        walk(&d, INFINITY, &total);
    }
    int64_t id = walk(&d, ar_random_unit(s->seed, STREAM, counter) * total, &total);
    return (int32_t)(id < 0 ? best : id);
}
