/* The figures of eval: standard errors, quantiles and window starts against NumPy's numbers. */
#include "eval_figures.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void near(double found, double expected) {
    if (!(fabs(found - expected) <= 1e-6 * fabs(expected) + 1e-12))
        fail_msg("found %.12g, expected %.12g", found, expected);
}

/* Token i of 1000: nll 2 + sin i, reference 2 + sin(i) cos(i / 7), KL (i 37 mod 1000)^2 / 10^6, at position
 * i mod 50, equal argmax unless i is a multiple of 8. */
static void figures_are_numpys(void **state) {
    (void)state;
    ar_eval_figures f;
    ar_eval_result r = {0};
    assert_int_equal(ar__figures_init(&f, 1000, true), AR_OK);
    for (int32_t i = 0; i < 1000; i++) {
        double k = i * 37 % 1000;
        ar__figures_add_ref(&f, i % 50, (float)(2 + sin(i)), (float)(2 + sin(i) * cos(i / 7.0)),
                            (float)(k * k / 1e6), i % 8 != 0);
    }
    ar__figures_result(&r, &f);
    assert_int_equal(r.tokens, 1000);
    assert_true(r.has_ref);
    near(r.nll, 1.999987089);
    near(r.nll_error, 0.02236087764);
    near(r.ppl, 7.388960701);
    near(r.ppl_error, 0.1652236461);
    near(r.ref_ppl, 7.397532841);
    near(r.ref_ppl_error, 0.1170573173);
    near(r.ppl_ratio, 0.9988412163);
    near(r.ppl_ratio_error, 0.02748664359);
    near(r.kl, 0.3328334997);
    near(r.kl_error, 0.009423959113);
    near(r.kl_median, 0.2495004982);
    near(r.kl_p90, 0.8083809137);
    near(r.kl_p99, 0.9781407726);
    near(r.kl_p999, 0.9960059824);
    near(r.kl_max, 0.9980009794);
    near(r.top1, 0.875);
    near(r.top1_error, 0.01046348338);
    near(r.kl_first, 0.3316074987);
    near(r.kl_later, 0.3330670237);
    near(r.kl_at[0], 0.3087500019);
    near(r.kl_at[7], 0.3173810003);
    assert_int_equal(r.first_tokens, 160);
    ar__figures_deinit(&f);
}

static void an_even_number_of_tokens_has_its_median_in_between(void **state) {
    (void)state;
    ar_eval_figures f;
    ar_eval_result r = {0};
    assert_int_equal(ar__figures_init(&f, 4, true), AR_OK);
    const float kl[4] = {4, 1, 2, 8};
    for (int i = 0; i < 4; i++) ar__figures_add_ref(&f, 100, 1, 1, kl[i], true);
    ar__figures_result(&r, &f);
    near(r.kl_median, 3);
    near(r.kl_p90, 6.8);
    near(r.kl_max, 8);
    near(r.kl_later, 3.75);
    assert_true(isnan(r.kl_first) && isnan(r.kl_at[0]) && r.first_tokens == 0);
    near(r.top1_error, 0);
    ar__figures_deinit(&f);
}

static void one_token_has_no_error(void **state) {
    (void)state;
    ar_eval_figures f;
    ar_eval_result r = {0};
    assert_int_equal(ar__figures_init(&f, 1, true), AR_OK);
    ar__figures_add_ref(&f, 0, 1, 1, 0.25f, false);
    ar__figures_result(&r, &f);
    assert_true(r.nll_error == 0 && r.kl_error == 0 && r.top1 == 0 && r.top1_error == 0);
    near(r.kl_p999, 0.25);
    near(r.kl_first, 0.25);
    assert_true(isnan(r.kl_later));
    ar__figures_deinit(&f);
}

static void without_a_reference_there_is_none(void **state) {
    (void)state;
    ar_eval_figures f;
    ar_eval_result r = {0};
    assert_int_equal(ar__figures_init(&f, 2, false), AR_OK);
    ar__figures_add(&f, 1);
    ar__figures_add(&f, 3);
    ar__figures_result(&r, &f);
    near(r.nll, 2);
    near(r.nll_error, 1);
    near(r.ppl_error, exp(2.0));
    assert_true(!r.has_ref && r.kl == 0 && r.ref_ppl == 0);
    ar__figures_deinit(&f);
}

static void no_memory_is_an_error(void **state) {
    (void)state;
    ar_eval_figures f;
    assert_int_equal(ar__figures_init(&f, INT64_MAX, true), AR_ERR_MEMORY);
    ar__figures_deinit(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_numpys),
        cmocka_unit_test(an_even_number_of_tokens_has_its_median_in_between),
        cmocka_unit_test(one_token_has_no_error),
        cmocka_unit_test(without_a_reference_there_is_none),
        cmocka_unit_test(no_memory_is_an_error),
    };
    return cmocka_run_group_tests_name("eval_figures", tests, NULL, NULL);
}
