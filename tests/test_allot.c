/* The choice of widths within a budget, against all choices there are. No device. */
#include "allot.h"
#include "temp_files.h"
#include <math.h>

#define COUNT   6
#define CHOICES 3

static double unit(uint32_t i, uint32_t stream) { return ar_random_unit(7, stream, i); }

/* The least cost of all choices within the budget; INFINITY where none is. */
static double by_trying_all(const uint64_t *bytes, const double *cost, uint64_t budget) {
    double best = INFINITY;
    for (int32_t code = 0; code < 729; code++) { /* CHOICES to the COUNT */
        uint64_t sum = 0;
        double total = 0.0;
        for (int32_t i = 0, left = code; i < COUNT; i++, left /= CHOICES) {
            sum += bytes[i * CHOICES + left % CHOICES];
            total += cost[i * CHOICES + left % CHOICES];
        }
        if (sum <= budget && total < best) best = total;
    }
    return best;
}

/* Bytes below the grain's number, so that nothing is rounded. */
static void the_least_cost_is_found(void **state) {
    (void)state;
    for (uint32_t round = 0; round < 60; round++) {
        uint64_t bytes[COUNT * CHOICES], least = 0, sum = 0;
        double cost[COUNT * CHOICES], found = 0.0;
        int32_t picked[COUNT];
        for (uint32_t i = 0; i < COUNT; i++) {
            bytes[i * CHOICES] = 100 + (uint64_t)(900 * unit(i, round));
            least += bytes[i * CHOICES];
            for (uint32_t c = 0; c < CHOICES; c++) {
                if (c) bytes[i * CHOICES + c] = bytes[i * CHOICES + c - 1] + (uint64_t)(500 * unit(c, i));
                cost[i * CHOICES + c] = unit(CHOICES * i + c, 100 + round); /* not even falling */
            }
        }
        uint64_t budget = least + (uint64_t)(2000 * unit(0, 200 + round));
        assert_int_equal(ar__allot_solve(picked, bytes, cost, COUNT, CHOICES, budget), AR_OK);
        for (int32_t i = 0; i < COUNT; i++) {
            sum += bytes[i * CHOICES + picked[i]];
            found += cost[i * CHOICES + picked[i]];
        }
        assert_true(sum <= budget);
        assert_float_equal(found, by_trying_all(bytes, cost, budget), 1e-12);
    }
}

/* Grains of many bytes: never above the budget, and near it. */
static void large_budgets_are_met_from_below(void **state) {
    enum { MANY = 200 };
    static uint64_t bytes[MANY * 2];
    static double cost[MANY * 2];
    int32_t picked[MANY];
    uint64_t least = 0, most = 0, sum = 0;
    (void)state;
    for (uint32_t i = 0; i < MANY; i++) {
        bytes[2 * i] = 1000000 + (uint64_t)(1e6 * unit(i, 1));
        bytes[2 * i + 1] = bytes[2 * i] + 500000 + (uint64_t)(1e6 * unit(i, 2));
        cost[2 * i] = unit(i, 3);
        cost[2 * i + 1] = cost[2 * i] / 8;
        least += bytes[2 * i];
        most += bytes[2 * i + 1];
    }
    uint64_t budget = (least + most) / 2;
    assert_int_equal(ar__allot_solve(picked, bytes, cost, MANY, 2, budget), AR_OK);
    for (int32_t i = 0; i < MANY; i++) sum += bytes[2 * i + picked[i]];
    assert_true(sum <= budget && (double)sum > 0.995 * (double)budget);
    assert_int_equal(ar__allot_solve(picked, bytes, cost, MANY, 2, least), AR_OK);
    for (int32_t i = 0; i < MANY; i++) assert_int_equal(picked[i], 0);
    assert_int_equal(ar__allot_solve(picked, bytes, cost, MANY, 2, least - 1), AR_ERR_USAGE);
    assert_int_equal(ar__allot_solve(picked, bytes, cost, MANY, 2, 2 * most), AR_OK);
    for (int32_t i = 0; i < MANY; i++) assert_int_equal(picked[i], 1);
}

/* Sizes of linears in two types: their common grain is far above a byte, and a budget at the most of all, or
 * at one linear less, is used to the last byte. */
static void budgets_at_their_ends_are_used_whole(void **state) {
    static const uint64_t weights[] = {16384, 8192, 8192, 16384, 49152, 49152, 49152};
    enum { ITEMS = 28 };
    uint64_t bytes[ITEMS * 2], most = 0, sum = 0;
    double cost[ITEMS * 2];
    int32_t picked[ITEMS];
    (void)state;
    for (uint32_t i = 0; i < ITEMS; i++) {
        bytes[2 * i] = weights[i % 7] / 32 * 18;
        bytes[2 * i + 1] = weights[i % 7] / 32 * 34;
        most += bytes[2 * i + 1];
        cost[2 * i] = i == 8 ? 1e-6 : 1 + unit(i, 3);
        cost[2 * i + 1] = 1e-9;
    }
    assert_int_equal(ar__allot_solve(picked, bytes, cost, ITEMS, 2, most), AR_OK);
    for (int32_t i = 0; i < ITEMS; i++) assert_int_equal(picked[i], 1);
    uint64_t budget = most - (bytes[2 * 8 + 1] - bytes[2 * 8]);
    assert_int_equal(ar__allot_solve(picked, bytes, cost, ITEMS, 2, budget), AR_OK);
    for (int32_t i = 0; i < ITEMS; i++) sum += bytes[2 * i + picked[i]];
    assert_int_equal(sum, budget);
    assert_int_equal(picked[8], 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_least_cost_is_found),
                                       cmocka_unit_test(large_budgets_are_met_from_below),
                                       cmocka_unit_test(budgets_at_their_ends_are_used_whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
