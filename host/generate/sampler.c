/* Choosing the next token from logits: the most likely one, or one drawn from softmax(logits / temperature)
 * among the most likely: at most top_k of them; the nucleus, the fewest that hold top_p of what top_k left
 * (Holtzman et al. 2019, arXiv 1904.09751); those at least min_p times as likely as the best (Nguyen et al.
 * 2024, arXiv 2407.01082). Each keeps a prefix of the order "higher logit first, of equals the lower id", so
 * the shortest prefix decides. It is found by radix selection on the logits' order: nothing is sorted or
 * allocated. The repetition penalty is that of Keskar et al. 2019, arXiv 1909.05858. */
#include "ar_host.h"
#include <math.h>
#include <string.h>

#define STREAM UINT64_C(0x73616d706c65) /* of the seed's random numbers; no other user has it */

/* Logits whose key is higher, and the first `equals` ids of those with this key. */
typedef struct prefix {
    uint32_t key;
    int64_t equals;
} prefix;

typedef struct draw {
    const float *logits;
    int64_t vocab;
    double max, temperature, min_weight;
    prefix kept;
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

/* The shortest prefix that holds `wanted` in all, a logit counting 1 (by_count) or its weight. The last key
 * is narrowed down by 11, 11 and 10 bits. */
static prefix find_prefix(const draw *d, double wanted, bool by_count) {
    static const int shifts[] = {21, 10, 0}, sizes[] = {2048, 2048, 1024};
    uint32_t found = 0, known = 0;
    double above = 0, one = 1;
    int64_t equals = 0;
    for (int level = 0; level < 3; level++) {
        double mass[2048] = {0};
        for (int64_t i = 0; i < d->vocab; i++) {
            uint32_t key = key_of(d->logits[i]);
            if (isnan(d->logits[i]) || (key & known) != found) continue;
            mass[key >> shifts[level] & (uint32_t)(sizes[level] - 1)] +=
                by_count ? 1 : weight(d, d->logits[i]);
        }
        int bucket = sizes[level] - 1;
        while (bucket > 0 && above + mass[bucket] < wanted) above += mass[bucket--];
        found |= (uint32_t)bucket << shifts[level];
        known |= (uint32_t)(sizes[level] - 1) << shifts[level];
    }
    for (int64_t i = 0; i < d->vocab && above < wanted; i++) {
        if (key_of(d->logits[i]) != found || isnan(d->logits[i])) continue;
        if (!by_count) one = weight(d, d->logits[i]);
        above += one;
        equals++;
    }
    return (prefix){found, equals};
}

static prefix shorter(prefix a, prefix b) {
    if (a.key != b.key) return a.key > b.key ? a : b;
    return a.equals < b.equals ? a : b;
}

/* Adds up the kept weights in order of id until they pass `target`; the id there, or the last one kept. */
static int64_t walk(const draw *d, double target, double *total) {
    int64_t last = -1, equals = 0;
    *total = 0;
    for (int64_t i = 0; i < d->vocab && *total <= target; i++) {
        uint32_t key = key_of(d->logits[i]);
        if (key < d->kept.key || isnan(d->logits[i]) || (key == d->kept.key && equals++ >= d->kept.equals))
            continue;
        double w = weight(d, d->logits[i]);
        if (w <= 0 || w < d->min_weight) continue;
        *total += w;
        last = i;
    }
    return last;
}

void ar_sample_penalize(float *logits, int64_t vocab, const int32_t *recent, int64_t count, float penalty) {
    if (!(penalty > 0) || penalty == 1.0f) return;
    for (int64_t i = 0; i < count; i++) {
        bool again = recent[i] < 0 || recent[i] >= vocab;
        for (int64_t k = 0; k < i && !again; k++) again = recent[k] == recent[i];
        if (again) continue;
        float *logit = &logits[recent[i]];
        *logit = *logit > 0 ? *logit / penalty : *logit * penalty;
    }
}

int32_t ar_sample(const float *logits, int64_t vocab, const ar_sampling *s, uint64_t counter) {
    int64_t best = most_likely(logits, vocab);
    if (s->greedy || !(s->temperature > 0) || isnan(logits[best])) return (int32_t)best;
    draw d = {.logits = logits,
              .vocab = vocab,
              .max = (double)logits[best],
              .temperature = (double)s->temperature,
              .kept = {0, INT64_MAX}};
    double total;
    if (s->top_k > 0 && s->top_k < vocab) d.kept = find_prefix(&d, (double)s->top_k, true);
    if (s->top_p > 0 && s->top_p < 1) {
        walk(&d, INFINITY, &total);
        d.kept = shorter(d.kept, find_prefix(&d, (double)s->top_p * total, false));
    }
    if (s->min_p > 0) d.min_weight = s->min_p < 1 ? (double)s->min_p : 1;
    walk(&d, INFINITY, &total);
    int64_t id = walk(&d, ar_random_unit(s->seed, STREAM, counter) * total, &total);
    return (int32_t)(id < 0 ? best : id);
}
