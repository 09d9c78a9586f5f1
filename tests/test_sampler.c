/* host/generate/sampler.c: greedy, temperature, top-k, nucleus, min-p and the repetition penalty against
 * their definitions. */
#include "temp_files.h"
#include <math.h>

#define DRAWS 20000

static void count_draws(int *counts, const float *logits, int64_t vocab, ar_sampling s) {
    memset(counts, 0, (size_t)vocab * sizeof *counts);
    for (uint64_t i = 0; i < DRAWS; i++) {
        int32_t id = ar_sample(logits, vocab, &s, i);
        assert_in_range(id, 0, vocab - 1);
        counts[id]++;
    }
}

/* Expected shares, five standard deviations wide; none where the share is 0. */
static void check_shares(const int *counts, const double *shares, int64_t vocab) {
    for (int64_t i = 0; i < vocab; i++) {
        double expected = shares[i] * DRAWS, spread = 5 * sqrt(expected * (1 - shares[i]));
        if (fabs(counts[i] - expected) > spread)
            fail_msg("id %d: found %d draws, expected %.1f +- %.1f", (int)i, counts[i], expected, spread);
    }
}

static void greedy_takes_the_lowest_of_the_best(void **state) {
    (void)state;
    const float logits[] = {-1.0f, 3.0f, 2.0f, 3.0f, NAN}, nan_first[] = {NAN, -5.0f, -4.0f},
                only_nan[] = {NAN, NAN};
    assert_int_equal(ar_sample(logits, 5, &(ar_sampling){.greedy = true, .temperature = 1}, 0), 1);
    assert_int_equal(ar_sample(logits, 5, &(ar_sampling){0}, 0), 1);
    assert_int_equal(ar_sample(logits, 5, &(ar_sampling){.temperature = NAN}, 0), 1);
    assert_int_equal(ar_sample(nan_first, 3, &(ar_sampling){.greedy = true}, 0), 2);
    assert_int_equal(ar_sample(only_nan, 2, &(ar_sampling){.temperature = 1}, 0), 0);
    assert_int_equal(ar_sample(logits, 1, &(ar_sampling){.temperature = 1}, 7), 0);
}

static void draws_follow_softmax(void **state) {
    (void)state;
    const float logits[] = {0.0f, 1.0f, -INFINITY, 2.5f, NAN, -1.0f};
    for (int k = 0; k < 3; k++) {
        const double temperature = (double[]){0.5, 1, 3}[k];
        double shares[6], total = 0;
        int counts[6];
        for (int i = 0; i < 6; i++)
            total += shares[i] = isnan(logits[i]) ? 0 : exp((double)logits[i] / temperature);
        for (int i = 0; i < 6; i++) shares[i] /= total;
        count_draws(counts, logits, 6, (ar_sampling){.temperature = (float)temperature, .seed = 3});
        check_shares(counts, shares, 6);
    }
}

/* Probabilities 0.4 0.3 0.2 0.1: the nucleus of p, and the shares inside it. */
static void nucleus_is_the_fewest_that_hold_top_p(void **state) {
    (void)state;
    float logits[4];
    const double p[] = {0.1, 0.4, 0.2, 0.3};
    for (int i = 0; i < 4; i++) logits[i] = (float)log(p[i]) - 7.0f;
    static const struct {
        float top_p;
        bool in[4];
    } rows[] = {
        {0.05f, {false, true, false, false}}, {0.39f, {false, true, false, false}},
        {0.41f, {false, true, false, true}},  {0.69f, {false, true, false, true}},
        {0.71f, {false, true, true, true}},   {0.91f, {true, true, true, true}},
        {1.0f, {true, true, true, true}},     {0.0f, {true, true, true, true}},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        double shares[4], total = 0;
        int counts[4];
        for (int i = 0; i < 4; i++) total += shares[i] = rows[r].in[i] ? p[i] : 0;
        for (int i = 0; i < 4; i++) shares[i] /= total;
        count_draws(counts, logits, 4, (ar_sampling){.temperature = 1, .top_p = rows[r].top_p, .seed = r});
        check_shares(counts, shares, 4);
    }
}

/* Equal logits at the edge: as many as are needed, lowest ids first. */
static void nucleus_cuts_through_ties(void **state) {
    (void)state;
    float logits[10];
    double shares[10];
    int counts[10];
    for (int i = 0; i < 10; i++) logits[i] = i % 2 ? -0.0f : 0.0f;
    for (int i = 0; i < 10; i++) shares[i] = i < 4 ? 0.25 : 0;
    count_draws(counts, logits, 10, (ar_sampling){.temperature = 1, .top_p = 0.35f, .seed = 1});
    check_shares(counts, shares, 10);
}

/* Against sorting, on many random logits: the drawn ids are exactly those of the nucleus. */
static int highest_first(const void *a, const void *b) {
    const float *x = a, *y = b;
    return *x < *y ? 1 : *x > *y ? -1 : 0;
}

static void nucleus_equals_sorting(void **state) {
    (void)state;
    enum { V = 3000 };
    static float logits[V], sorted[V];
    for (uint64_t round = 0; round < 20; round++) {
        for (uint64_t i = 0; i < V; i++) logits[i] = (float)(ar_random_unit(round, 99, i) * 12 - 6);
        memcpy(sorted, logits, sizeof logits);
        qsort(sorted, V, sizeof *sorted, highest_first);
        double total = 0, mass = 0;
        int kept = 0;
        for (int i = 0; i < V; i++) total += exp((double)sorted[i]);
        const double top_p = 0.03 * (double)(round + 1);
        while (mass < top_p * total) mass += exp((double)sorted[kept++]);
        float lowest = INFINITY;
        for (uint64_t i = 0; i < 4000; i++) {
            ar_sampling s = {.temperature = 1, .top_p = (float)top_p, .seed = round};
            int32_t id = ar_sample(logits, V, &s, i);
            if (logits[id] < lowest) lowest = logits[id];
        }
        assert_true(lowest >= sorted[kept]); /* one off is float's top_p against double's */
        assert_true(round > 5 || lowest <= sorted[kept / 2]);
    }
}

static void draws_depend_on_seed_and_counter_alone(void **state) {
    (void)state;
    float logits[64];
    for (int i = 0; i < 64; i++) logits[i] = (float)(i % 7) * 0.1f;
    ar_sampling s = {.temperature = 1, .top_p = 0.9f, .seed = 42},
                other = {.temperature = 1, .top_p = 0.9f, .seed = 43};
    int same_counter = 0, same_seed = 0;
    for (uint64_t i = 0; i < 500; i++) {
        int32_t id = ar_sample(logits, 64, &s, i);
        assert_int_equal(id, ar_sample(logits, 64, &s, i));
        same_counter += id == ar_sample(logits, 64, &other, i);
        same_seed += id == ar_sample(logits, 64, &s, i + 1000);
    }
    assert_true(same_counter < 50 && same_seed < 50);
}

static void infinite_logits_take_everything(void **state) {
    (void)state;
    const float logits[] = {100.0f, INFINITY, 3.0f, INFINITY}, nothing[] = {-INFINITY, -INFINITY};
    int counts[4];
    count_draws(counts, logits, 4, (ar_sampling){.temperature = 1, .top_p = 0.9f});
    check_shares(counts, (const double[]){0, 0.5, 0, 0.5}, 4);
    count_draws(counts, nothing, 2, (ar_sampling){.temperature = 1});
    check_shares(counts, (const double[]){0.5, 0.5}, 2);
}

/* ---- all filters at once, against sorting ---- */

typedef struct ranked {
    float logit;
    int32_t id;
    double p;
    bool kept;
} ranked;

static int by_rank(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    return x->logit != y->logit ? (x->logit < y->logit ? 1 : -1) : x->id - y->id;
}

static int by_id(const void *a, const void *b) { return ((const ranked *)a)->id - ((const ranked *)b)->id; }

/* The definition, step by step: softmax, sort, cut at k, renormalize, cut at p, cut below min_p of the best,
 * then the inverse of the cumulative sum at u, in order of id. */
static int32_t draw_by_sorting(const float *logits, int64_t vocab, const ar_sampling *s, double u) {
    static ranked list[4096];
    double total = 0, sum = 0;
    int64_t kept = vocab, n = 0;
    for (int64_t i = 0; i < vocab; i++) list[i] = (ranked){logits[i], (int32_t)i, 0, true};
    qsort(list, (size_t)vocab, sizeof *list, by_rank);
    for (int64_t i = 0; i < vocab; i++)
        list[i].p = exp(((double)list[i].logit - (double)list[0].logit) / (double)s->temperature);
    if (s->top_k > 0 && s->top_k < kept) kept = s->top_k;
    for (int64_t i = 0; i < kept; i++) total += list[i].p;
    if (s->top_p > 0 && s->top_p < 1) {
        for (n = 0; n < kept && sum < (double)s->top_p * total; n++) sum += list[n].p;
        kept = n;
    }
    for (int64_t i = 0; i < vocab; i++) list[i].kept = i < kept && list[i].p >= (double)s->min_p;
    qsort(list, (size_t)vocab, sizeof *list, by_id);
    total = sum = 0;
    for (int64_t i = 0; i < vocab; i++) total += list[i].kept ? list[i].p : 0;
    int32_t last = -1;
    for (int64_t i = 0; i < vocab && sum <= u * total; i++) {
        if (!list[i].kept) continue;
        sum += list[i].p;
        last = list[i].id;
    }
    return last;
}

static void filters_equal_their_definitions(void **state) {
    (void)state;
    static float logits[4096];
    int cut = 0, differ = 0, draws = 0;
    for (uint64_t round = 0; round < 600; round++) {
        int64_t vocab = 1 + (int64_t)(ar_random_unit(round, 90, 0) * (round % 4 ? 90 : 4000));
        double coarse = round % 3 ? 8 : 1000; /* many ties in two rounds of three */
        for (int64_t i = 0; i < vocab; i++)
            logits[i] = (float)(rint(ar_random_unit(round, 91, (uint64_t)i) * 6 * coarse) / coarse - 3);
        ar_sampling s = {.temperature = (float)(0.2 + 2 * ar_random_unit(round, 92, 0)), .seed = round};
        if (round & 1) s.top_k = 1 + (int32_t)(ar_random_unit(round, 92, 1) * 40);
        if (round & 2) s.top_p = (float)ar_random_unit(round, 92, 2);
        if (round & 4) s.min_p = (float)ar_random_unit(round, 92, 3);
        for (uint64_t k = 0; k < 5; k++, draws++) {
            double u = ar_random_unit(s.seed, UINT64_C(0x73616d706c65), k);
            differ += ar_sample(logits, vocab, &s, k) != draw_by_sorting(logits, vocab, &s, u);
        }
        cut += s.top_k > 0 && s.top_k < vocab;
    }
    assert_true(cut > 100);
    assert_int_equal(differ, 0);
    assert_int_equal(draws, 3000);
}

static void top_k_cuts_through_ties_and_passes_nan(void **state) {
    (void)state;
    const float logits[] = {1.0f, NAN, 2.0f, 1.0f, 1.0f, -4.0f};
    int counts[6];
    count_draws(counts, logits, 6, (ar_sampling){.temperature = 1, .top_k = 3});
    double shares[6] = {exp(-1.0), 0, 1, exp(-1.0), 0, 0}, total = 1 + 2 * exp(-1.0);
    for (int i = 0; i < 6; i++) shares[i] /= total;
    check_shares(counts, shares, 6);
    count_draws(counts, logits, 6, (ar_sampling){.temperature = 1, .top_k = 1});
    check_shares(counts, (const double[]){0, 0, 1, 0, 0, 0}, 6);
    count_draws(counts, logits, 6, (ar_sampling){.temperature = 1, .min_p = 1});
    check_shares(counts, (const double[]){0, 0, 1, 0, 0, 0}, 6);
}

static void repetition_is_penalized_once_a_token(void **state) {
    (void)state;
    float logits[] = {2.0f, -2.0f, 0.0f, 5.0f, 1.0f};
    const int32_t recent[] = {0, 1, 0, 2, 99, -1, 1};
    ar_sample_penalize(logits, 5, recent, 7, 1.0f);
    assert_true(logits[0] == 2.0f);
    ar_sample_penalize(logits, 5, recent, 7, 4.0f);
    const float expected[] = {0.5f, -8.0f, 0.0f, 5.0f, 1.0f};
    for (int i = 0; i < 5; i++) assert_true(logits[i] == expected[i]);
    ar_sample_penalize(logits, 5, NULL, 0, 4.0f);
    assert_true(logits[0] == 0.5f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_lowest_of_the_best),
        cmocka_unit_test(draws_follow_softmax),
        cmocka_unit_test(nucleus_is_the_fewest_that_hold_top_p),
        cmocka_unit_test(nucleus_cuts_through_ties),
        cmocka_unit_test(nucleus_equals_sorting),
        cmocka_unit_test(draws_depend_on_seed_and_counter_alone),
        cmocka_unit_test(infinite_logits_take_everything),
        cmocka_unit_test(filters_equal_their_definitions),
        cmocka_unit_test(top_k_cuts_through_ties_and_passes_nan),
        cmocka_unit_test(repetition_is_penalized_once_a_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
