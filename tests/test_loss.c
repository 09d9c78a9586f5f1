/* What outlier positions count in the loss of tuning: weights and shifted targets against values by hand, and
 * on every device against a chain that keeps the error. ctest-labels: device vulkan */
#include "positions.h"
#include "tuned_model.h"

/* ---- weights and marks ---- */

enum { WIDTH = 2, COUNT = 2, LENGTH = 6, ROWS = COUNT * LENGTH };

/* Every position of a sample but the last counts; in the second one a trailing run of one token does not. */
static int32_t hand_ids[ROWS] = {1, 2, 3, 4, 5, 6, 1, 2, 3, 7, 7, 7};
static const ar_samples hand = {hand_ids, COUNT, LENGTH};

typedef struct hand_unit {
    float in[ROWS * WIDTH], in_float[ROWS * WIDTH], target[ROWS * WIDTH];
    ar_chain input, float_input, output;
    ar__tune_unit unit;
} hand_unit;

/* energy[n] of the targets, error[n] between the inputs. */
static void make_hand(hand_unit *h, const float *energy, const float *error) {
    *h = (hand_unit){.input = {h->in, ROWS, WIDTH, -1},
                     .float_input = {h->in_float, ROWS, WIDTH, -1},
                     .output = {h->target, ROWS, WIDTH, -1}};
    for (int n = 0; n < ROWS; n++)
        for (int i = 0; i < WIDTH; i++) {
            h->target[n * WIDTH + i] = (i ? -1.0f : 1.0f) * sqrtf(energy[n]);
            h->in[n * WIDTH + i] = (float)n;
            h->in_float[n * WIDTH + i] = (float)n + sqrtf(error[n]);
        }
    h->unit = (ar__tune_unit){
        .input = &h->input, .target = &h->output, .samples = &hand, .float_input = &h->float_input};
}

static void check_positions(const hand_unit *h, ar_loss loss, const float *weights, const bool *shifted) {
    ar__positions p;
    ar__tune_desc desc = {.loss = loss};
    CHECK_OK(ar__positions_init(&p, &h->unit, &desc));
    for (int n = 0; n < ROWS; n++)
        if (fabsf(p.weight[n] - weights[n]) > 1e-6f)
            fail_msg("position %d: weight %g, expected %g", n, (double)p.weight[n], (double)weights[n]);
    if (!shifted) assert_null(p.shifted);
    for (int n = 0; shifted && n < ROWS; n++)
        if (p.shifted[n] != shifted[n]) fail_msg("position %d: shifted %d", n, p.shifted[n]);
    ar__positions_deinit(&p);
}

/* Medians are of the eight positions that count: 4 of the energies, 1 of the errors. */
static const float energies[ROWS] = {400, 1, 4, 4, 3, 9e4f, 64, 4, 16, 9e4f, 9e4f, 9e4f},
                   errors[ROWS] = {25, 1, 0, 1, 16, 900, 1, 36, 0, 0, 900, 0};
static const float counted[ROWS] = {1, 1, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0},
                   roots[ROWS] = {0.1f, 1, 1, 1, 1, 0, 0.25f, 1, 0.5f, 0, 0, 0};
static const bool marks[ROWS] = {true,  false, false, false, false, true,
                                 false, true,  false, false, true,  false};

static void outliers_weigh_the_root_of_the_median_over_their_energy(void **state) {
    hand_unit h;
    (void)state;
    make_hand(&h, energies, errors);
    check_positions(&h, AR_LOSS_PLAIN, counted, NULL);
    check_positions(&h, AR_LOSS_ROOT, roots, NULL);
    static const float still[ROWS] = {9, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0}; /* a median of 0 damps nothing */
    make_hand(&h, still, errors);
    check_positions(&h, AR_LOSS_ROOT, counted, NULL);
}

static void errors_above_twenty_times_the_median_are_kept(void **state) {
    hand_unit h;
    (void)state;
    make_hand(&h, energies, errors);
    check_positions(&h, AR_LOSS_SHIFT, counted, marks);
    check_positions(&h, AR_LOSS_ROOT_SHIFT, roots, marks);
    h.unit.float_input = NULL; /* the input is the float chain: there is no error */
    check_positions(&h, AR_LOSS_ROOT_SHIFT, roots, NULL);
    h.unit.float_input = h.unit.input;
    check_positions(&h, AR_LOSS_ROOT_SHIFT, roots, NULL);
    static const bool none[ROWS];
    static const float exact[ROWS];
    make_hand(&h, energies, exact);
    check_positions(&h, AR_LOSS_SHIFT, counted, none);
}

/* ---- on devices ---- */

enum { MANY = 64, BATCH = 4 };

typedef struct chains {
    ar_open_model *m;
    ar_block_weights weights;
    ar_samples samples;
    ar_chain input, float_input, target, kept; /* kept: target plus the error where that is an outlier */
} chains;

static void chains_open(chains *c, ar_device *device) {
    static int32_t ids[MANY * T];
    uint64_t state = 99;
    int64_t rows = MANY * T;
    memset(c, 0, sizeof *c);
    for (int64_t i = 0; i < rows; i++) ids[i] = (int32_t)(check_random(&state) % 50);
    c->samples = (ar_samples){ids, MANY, T};
    CHECK_OK(ar_random_model_open(&c->m, &narrow, 5));
    int64_t width = c->m->model.hidden;
    ar_chain *all[] = {&c->input, &c->float_input, &c->target, &c->kept};
    for (int i = 0; i < 4; i++) CHECK_OK(ar_chain_init(all[i], rows, width, NULL, 0));
    CHECK_OK(ar_chain_embed(&c->float_input, &c->m->model, &c->samples));
    const ar_block *block = &c->m->model.blocks[0];
    CHECK_OK(ar_block_weights_init(&c->weights, block, device));
    CHECK_OK(ar_chain_forward(&c->target, &c->float_input, device, block, &c->weights.hook, T, 8));
    for (int64_t n = 0; n < rows; n++)
        for (int64_t i = n * width; i < (n + 1) * width; i++) {
            float error = n % 19 == 3 ? 0.5f : 0.015625f;
            c->input.data[i] = c->float_input.data[i] + (i % 2 ? error : -error);
            c->kept.data[i] = c->target.data[i];
            if (n % 19 == 3) c->kept.data[i] += c->input.data[i] - c->float_input.data[i];
        }
}

static void chains_close(chains *c) {
    ar_block_weights_deinit(&c->weights);
    ar_chain *all[] = {&c->input, &c->float_input, &c->target, &c->kept};
    for (int i = 0; i < 4; i++) ar_chain_deinit(all[i]);
    ar_random_model_close(c->m);
}

/* The first block tuned towards target or kept; its codes and losses. */
static void tune_first(outcome *o, const chains *c, ar_device *device, const ar_chain *target, ar_loss loss) {
    static const bool skip[LINEARS];
    const ar_block *block = c->weights.block;
    ar_qlinear q[LINEARS], *list[LINEARS];
    ar_scheme schemes[LINEARS];
    ar_block_report report = {0};
    ar__tune_desc desc = asym2;
    float history[8];
    desc.batch = BATCH;
    desc.loss = loss;
    for (int i = 0; i < LINEARS; i++) {
        schemes[i] = desc.scheme;
        CHECK_OK(ar_qlinear_init(&q[i], &schemes[i], block->linears[i].O, block->linears[i].I));
        list[i] = &q[i];
    }
    ar__tuned_block tuned = {.weights = &c->weights, .skip = skip, .schemes = schemes, .q = q};
    ar__tune_unit unit = {.tuned = &tuned,
                          .tuned_count = 1,
                          .input = &c->input,
                          .target = target,
                          .samples = &c->samples,
                          .float_input = &c->float_input};
    memset(o, 0, sizeof *o);
    CHECK_OK(tune_rounding(&report, history, &unit, device, &desc, NULL));
    CHECK_OK(collect(o, block, list, &report));
    for (int i = 0; i < LINEARS; i++) ar_qlinear_deinit(&q[i]);
}

/* Only the first block was collected. */
static size_t first_differs(const outcome *a, const outcome *b) {
    size_t n = 0;
    for (int k = 0; k < LINEARS; k++) {
        n += memcmp(a->codes[k], b->codes[k], a->elems[k]) != 0;
        n += memcmp(a->scales[k], b->scales[k], a->groups[k] * 2) != 0;
    }
    return n + (a->reports[0].loss_first != b->reports[0].loss_first) +
           (a->reports[0].heldout_best != b->reports[0].heldout_best);
}

static void compare_targets(ar_device *device, uint64_t budget) {
    chains c;
    outcome shifted, kept, plain;
    chains_open(&c, device);
    tune_first(&shifted, &c, device, &c.target, AR_LOSS_SHIFT);
    tune_first(&kept, &c, device, &c.kept, AR_LOSS_PLAIN);
    tune_first(&plain, &c, device, &c.target, AR_LOSS_PLAIN);
    assert_int_equal(first_differs(&shifted, &kept), 0);
    assert_true(first_differs(&shifted, &plain) > 0);
    uint64_t both = 2 * (uint64_t)c.input.rows * (uint64_t)c.input.width * 4;
    assert_true(budget == 0 || both > budget / 3); /* so the host wrote each batch */
    outcome_free(&shifted);
    outcome_free(&kept);
    outcome_free(&plain);
    chains_close(&c);
}

static void shift(ar_device *device, void *ctx) {
    static const uint64_t tight = 512 << 10;
    const ar_device_facts *f = ar_device_get_facts(device);
    ar_device *small_device = NULL;
    char select[24];
    (void)ctx;
    compare_targets(device, 0);
    snprintf(select, sizeof select, "%.7s:%d", f->api, (int)f->index);
    CHECK_OK(ar_device_open(&small_device, &(ar_device_desc){.select = select, .memory_budget = tight}));
    compare_targets(small_device, tight);
    ar_device_close(small_device);
}
static void shifting_is_tuning_towards_targets_that_keep_the_error(void **state) {
    (void)state;
    check_each_device(shift, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outliers_weigh_the_root_of_the_median_over_their_energy),
        cmocka_unit_test(errors_above_twenty_times_the_median_are_kept),
        cmocka_unit_test(shifting_is_tuning_towards_targets_that_keep_the_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
