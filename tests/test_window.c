/* Blocks tuned together and through frozen ones, over a small random Llama on every device.
 * ctest-labels: device vulkan */
#include "small_llama.h"
#include "op_check.h"
#include "ar_host.h"
#include "loss.h"
#include "random_model.h"
#include "trainable.h"
#include "tune_method.h"

enum { T = 16, SAMPLES = 9, LINEARS = 7, LAYERS = 4, TUNED = 2, FROZEN = 2, WINDOWS = 8 };

static const ar_config small = {SMALL_LLAMA,      .hidden = 32, .intermediate = 64,
                                .layers = LAYERS, .heads = 4,   .head_dim = 8};

static const ar__tune_desc asym2 = {
    .scheme = {2, 32, AR_ZERO_INT, 0, AR_SUPER_NONE}, .iters = 40, .batch = 4, .seed = 42};

static int32_t ids[SAMPLES * T];
static const ar_samples samples = {ids, SAMPLES, T};

static void open_model(ar_open_model **m) {
    uint64_t state = 99;
    for (int i = 0; i < SAMPLES * T; i++) ids[i] = (int32_t)(check_random(&state) % 50);
    CHECK_OK(ar_random_model_open(m, &small, 5));
}

/* ---- gradients through a frozen block ---- */

/* A trainable of this test's own: W' = fake_quant(W; V = 0) + E. It steps nowhere and keeps dV, so that E = h
 * s d moves the loss as V = h d does with every rounding frozen. */
typedef struct shifted {
    const ar_tensor *weight;
    ar_fq_desc fq;
    ar_fq_state now;
    ar_tensor *range, *E, *dv, *sz;
} shifted;

/* One per site, in the order they are created. */
static struct {
    float *E, *dv, *sz; /* E: NULL = 0 */
    int64_t O, I;
} seen[TUNED * LINEARS];
static int32_t created;

static ar_status shifted_check(const ar__tune_desc *desc) {
    (void)desc;
    return AR_OK;
}

static ar_status shifted_create(void **state, const ar__training *training, const ar__site *site) {
    shifted *s = calloc(1, sizeof *s);
    ar_device *device = training->device;
    int64_t O = ar_tensor_dim(site->weight, 0), I = ar_tensor_dim(site->weight, 1), groups = I / 32;
    *state = s;
    *s = (shifted){.weight = site->weight, .fq = {site->scheme, 1.0f, 0.0f}};
    CHECK_OK(ar_tensor_create(&s->range, device, AR_F32, 3, (const int64_t[]){O, groups, 2}));
    CHECK_OK(ar_tensor_create(&s->sz, device, AR_F32, 3, (const int64_t[]){O, groups, 4}));
    CHECK_OK(ar__zeros(&s->now.v, device, AR_F32, 2, (const int64_t[]){O, I}));
    CHECK_OK(ar__zeros(&s->E, device, AR_F32, 2, (const int64_t[]){O, I}));
    CHECK_OK(ar__zeros(&s->dv, device, AR_F32, 2, (const int64_t[]){O, I}));
    if (seen[created].E) CHECK_OK(ar_tensor_write(s->E, seen[created].E, 0, O * I));
    seen[created].O = O;
    seen[created++].I = I;
    return AR_OK;
}

static ar_status shifted_start(void *state, ar_graph *g) {
    shifted *s = state;
    return ar_op_group_range(g, s->range, s->weight, &s->fq.scheme);
}

static ar_status shifted_replace(const void *state, ar_graph *g, ar_tensor **W, ar_tensor **memo,
                                 bool delivered) {
    (void)delivered;
    const shifted *s = state;
    ar_tensor *Wq = NULL;
    CHECK_OK(ar_op_fake_quant(g, &Wq, memo, s->weight, s->range, &s->now, &s->fq));
    return ar_op_add(g, W, Wq, s->E);
}

static ar_status shifted_update(void *state, ar_graph *g, const ar_tensor *dW, const ar_tensor *memo) {
    shifted *s = state;
    ar_tensor *dv = NULL, *dmm = NULL;
    CHECK_OK(ar_op_fq_grad(g, &dv, &dmm, dW, s->weight, s->range, memo, &s->now, &s->fq));
    CHECK_OK(ar_op_copy(g, s->sz, memo));
    return ar_op_copy(g, s->dv, dv);
}

static ar_status shifted_keep(void *state, ar_graph *g, const ar_tensor *improved) {
    (void)state;
    (void)g;
    (void)improved;
    return AR_OK;
}

static ar_status shifted_leave(ar_qlinear *q, const void *state) {
    (void)q;
    (void)state;
    return AR_OK;
}

static ar_status shifted_resume(void *state, const ar_qlinear *q) {
    (void)state;
    (void)q;
    return AR_OK;
}

/* q: the array that the unit was given, one per site. */
static ar_status shifted_deliver(ar_qlinear *q, const void *state) {
    const shifted *s = state;
    int32_t at = (int32_t)q->supers; /* the test's number of this site */
    free(seen[at].dv);
    free(seen[at].sz);
    seen[at].dv = check_read(s->dv);
    seen[at].sz = check_read(s->sz);
    return AR_OK;
}

static void shifted_destroy(void *state) {
    shifted *s = state;
    ar_tensor *own[] = {s->now.v, s->range, s->E, s->dv, s->sz};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) ar_tensor_destroy(own[i]);
    free(s);
}

static const ar__trainable shifting = {
    "shifted",     false,           false,           shifted_check, shifted_create,
    shifted_start, shifted_replace, shifted_update,  shifted_keep,  shifted_deliver,
    shifted_leave, shifted_resume,  shifted_destroy, NULL,          NULL,
    NULL};

typedef struct unit_fixture {
    ar_open_model *m;
    ar_block_weights weights[TUNED + FROZEN];
    ar_chain input, target, float_input;
    ar_loss loss;
} unit_fixture;

static void unit_open(unit_fixture *f, ar_device *device) {
    memset(f, 0, sizeof *f);
    open_model(&f->m);
    CHECK_OK(ar_chain_init(&f->input, SAMPLES * T, f->m->model.hidden, NULL, 0));
    CHECK_OK(ar_chain_init(&f->target, SAMPLES * T, f->m->model.hidden, NULL, 0));
    CHECK_OK(ar_chain_init(&f->float_input, SAMPLES * T, f->m->model.hidden, NULL, 0));
    CHECK_OK(ar_chain_embed(&f->input, &f->m->model, &samples));
    for (int k = 0; k < TUNED + FROZEN; k++) {
        const ar_block *block = &f->m->model.blocks[k];
        CHECK_OK(ar_block_weights_init(&f->weights[k], block, device));
        CHECK_OK(ar_chain_forward(&f->target, k ? &f->target : &f->input, device, block, &f->weights[k].hook,
                                  T, 3));
    }
}

static void unit_close(unit_fixture *f) {
    for (int k = 0; k < TUNED + FROZEN; k++) ar_block_weights_deinit(&f->weights[k]);
    ar_chain_deinit(&f->input);
    ar_chain_deinit(&f->target);
    ar_chain_deinit(&f->float_input);
    ar_random_model_close(f->m);
}

/* The loss of the whole set with seen[].E, and the gradients into seen. */
static double unit_loss(const unit_fixture *f, ar_device *device) {
    static const bool skip[LINEARS];
    ar_scheme schemes[LINEARS];
    ar_qlinear q[TUNED][LINEARS] = {{{.supers = 0}}};
    ar__tuned_block tuned[TUNED];
    const ar_block_weights *frozen[FROZEN] = {&f->weights[TUNED], &f->weights[TUNED + 1]};
    ar__tune_desc desc = asym2;
    ar_block_report report = {0};
    float history[1];
    for (int i = 0; i < LINEARS; i++) schemes[i] = asym2.scheme;
    for (int k = 0; k < TUNED; k++) {
        for (int i = 0; i < LINEARS; i++) q[k][i].supers = k * LINEARS + i;
        tuned[k] = (ar__tuned_block){.weights = &f->weights[k], .skip = skip, .schemes = schemes, .q = q[k]};
    }
    ar__tune_unit unit = {.tuned = tuned,
                          .frozen = frozen,
                          .tuned_count = TUNED,
                          .frozen_count = FROZEN,
                          .input = &f->input,
                          .target = &f->target,
                          .samples = &samples,
                          .float_input = &f->float_input,
                          .block_count = LAYERS};
    const ar__goal goal = {&shifting, &ar__loss_block_mse};
    desc.iters = 1;
    desc.batch = SAMPLES;
    desc.select = AR_SELECT_BATCH;
    desc.loss = f->loss;
    created = 0;
    CHECK_OK(ar__tune(&report, history, &unit, &goal, device, &desc, NULL));
    assert_int_equal(created, TUNED * LINEARS);
    return report.loss_first;
}

/* Half of one linear's offsets move along their gradient, by random amounts. */
static void probe_site(const unit_fixture *f, ar_device *device, int32_t at) {
    int64_t count = seen[at].O * seen[at].I;
    uint64_t state = check_seed() + (uint64_t)at;
    float *E = calloc((size_t)count, sizeof *E);
    const double h = 0.05;
    double analytic = 0, loss[2];
    for (int64_t i = 0; i < count; i++) {
        float d = check_uniform(&state, -1, 1), dv = seen[at].dv[i];
        if (d < 0 || dv == 0) continue;
        analytic += (double)d * fabs((double)dv);
        E[i] = (float)h * (dv < 0 ? -d : d) * seen[at].sz[i / 32 * 4];
    }
    seen[at].E = E;
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; side && i < count; i++) E[i] = -E[i];
        loss[side] = unit_loss(f, device);
    }
    seen[at].E = NULL;
    free(E);
    double numeric = (loss[0] - loss[1]) / (2 * h);
    assert_true(analytic > 0);
    if (!(fabs(numeric - analytic) <= 1e-2 * analytic))
        fail_msg("%s: linear %d of block %d: gradient %.7g, difference %.7g", check_name(device),
                 at % LINEARS, at / LINEARS, analytic, numeric);
}

/* Some positions' outputs, and others' errors at the input, lie far out. */
static void plant_outliers(unit_fixture *f) {
    int64_t width = f->m->model.hidden;
    memcpy(f->float_input.data, f->input.data, (size_t)(f->input.rows * width) * sizeof *f->input.data);
    for (int64_t n = 0; n < f->input.rows; n++)
        for (int64_t i = 0; i < width; i++) {
            if (n % 11 == 3) f->target.data[n * width + i] *= 25.0f;
            f->float_input.data[n * width + i] += (n % 13 == 5 ? 0.5f : 0.01f) * (i % 2 ? 1.0f : -1.0f);
        }
}

/* Of all weights on the device: what is tuned is what stands in their place. */
static uint64_t frozen_hash(const unit_fixture *f) {
    uint64_t hash = 1;
    for (int k = 0; k < TUNED + FROZEN; k++)
        for (int i = 0; i < LINEARS; i++) {
            float *w = check_read(f->weights[k].linears[i]);
            hash = ar_hash64(hash, w, (size_t)ar_tensor_count(f->weights[k].linears[i]) * sizeof *w);
            free(w);
        }
    return hash;
}

static void differentiate_loss(ar_device *device, ar_loss loss) {
    unit_fixture f;
    unit_open(&f, device);
    f.loss = loss;
    plant_outliers(&f);
    uint64_t before = frozen_hash(&f);
    for (int32_t at = 0; at < TUNED * LINEARS; at++) {
        unit_loss(&f, device); /* the gradients where nothing is shifted */
        probe_site(&f, device, at);
    }
    for (int32_t at = 0; at < TUNED * LINEARS; at++) {
        free(seen[at].dv);
        free(seen[at].sz);
    }
    memset(seen, 0, sizeof seen);
    assert_true(frozen_hash(&f) == before);
    unit_close(&f);
}

static void differentiate(ar_device *device, void *ctx) {
    (void)ctx;
    differentiate_loss(device, AR_LOSS_PLAIN);
    differentiate_loss(device, AR_LOSS_ROOT_SHIFT);
}

static void offsets_of_two_blocks_have_the_gradients_of_central_differences_through_two_frozen(void **state) {
    (void)state;
    check_each_device(differentiate, NULL);
}

/* ---- walks ---- */

/* W' of every block that was delivered. */
typedef struct outcome {
    float *W[LAYERS][LINEARS];
    int32_t delivered[LAYERS];
    ar_block_report reports[LAYERS];
} outcome;

static ar_status collect(void *ctx, const ar_block *block, ar_qlinear *const *linears,
                         const ar_block_report *report) {
    outcome *o = ctx;
    o->delivered[block->index]++;
    o->reports[block->index] = *report;
    for (int32_t i = 0; i < block->linear_count; i++) {
        float **W = &o->W[block->index][i];
        assert_non_null(linears[i]);
        free(*W);
        *W = malloc((size_t)(linears[i]->O * linears[i]->I) * sizeof **W);
        ar_qlinear_dequant(*W, linears[i]);
    }
    return AR_OK;
}

static void outcome_free(outcome *o) {
    for (int b = 0; b < LAYERS; b++)
        for (int i = 0; i < LINEARS; i++) free(o->W[b][i]);
}

static const ar__trainable *tuned_by;

static ar_status tune_unit(ar_block_report *report, float *history, const ar__tune_unit *unit,
                           ar_device *device, const ar__tune_desc *desc, const ar_observer *observer) {
    const ar__goal goal = {tuned_by, &ar__loss_block_mse};
    return ar__tune(report, history, unit, &goal, device, desc, observer);
}

/* Mean square between the float chain and the one of W', behind the last block. */
static double model_error(const outcome *o, ar_open_model *m, ar_device *device) {
    ar_chain x = {.fd = -1}, y = {.fd = -1};
    double sum = 0;
    int64_t count = SAMPLES * T * m->model.hidden;
    CHECK_OK(ar_chain_init(&x, SAMPLES * T, m->model.hidden, NULL, 0));
    CHECK_OK(ar_chain_init(&y, SAMPLES * T, m->model.hidden, NULL, 0));
    CHECK_OK(ar_chain_embed(&x, &m->model, &samples));
    CHECK_OK(ar_chain_embed(&y, &m->model, &samples));
    for (int b = 0; b < LAYERS; b++) {
        const ar_block *block = &m->model.blocks[b];
        ar_block_weights w;
        CHECK_OK(ar_block_weights_init(&w, block, device));
        CHECK_OK(ar_chain_forward(&x, &x, device, block, &w.hook, T, 3));
        for (int i = 0; i < LINEARS; i++)
            CHECK_OK(ar_tensor_write(w.linears[i], o->W[b][i], 0, block->linears[i].O * block->linears[i].I));
        CHECK_OK(ar_chain_forward(&y, &y, device, block, &w.hook, T, 3));
        ar_block_weights_deinit(&w);
    }
    for (int64_t i = 0; i < count; i++)
        sum += ((double)x.data[i] - y.data[i]) * ((double)x.data[i] - y.data[i]);
    ar_chain_deinit(&x);
    ar_chain_deinit(&y);
    return sum / (double)count;
}

/* Past block `limit` (0 = none) blocks are rounded to nearest. */
static double walk_as(ar_device *device, ar_open_model *m, const ar_window *window, int32_t limit,
                      double nearest) {
    outcome o;
    ar_sink sink = {.block = collect, .ctx = &o};
    ar__tune_desc d = asym2;
    memset(&o, 0, sizeof o);
    d.block_limit = limit;
    d.window = *window;
    CHECK_OK(ar__walk_blocks(&m->model, device, &samples, &d, &sink, NULL, tune_unit));
    for (int b = 0; b < LAYERS; b++) {
        const ar_block_report *r = &o.reports[b];
        assert_int_equal(o.delivered[b], 1);
        assert_int_equal(r->block, b);
        if (limit > 0 && b >= limit) continue;
        bool again = window->stride < window->blocks; /* begins where an earlier window left it */
        assert_true(r->window.first <= b && b < r->window.first + r->window.done);
        if (!(r->loss_first > 0 && r->loss_best < (again ? 1.0 : 0.9) * r->loss_first &&
              r->heldout_best <= r->heldout_first))
            fail_msg("%s, window %d by %d, %d ahead: block %d from %g to %g", check_name(device),
                     window->blocks, window->stride, window->ahead, b, r->loss_first, r->loss_best);
    }
    double error = model_error(&o, m, device);
    print_message("%s, window %d by %d, %d ahead: error %.4g, nearest %.4g\n", check_name(device),
                  window->blocks, window->stride, window->ahead, error, nearest);
    assert_true(error < nearest);
    outcome_free(&o);
    return error;
}

static void walks(ar_device *device, void *ctx) {
    static const ar_window windows[WINDOWS] = {{1, 1, 0}, {2, 2, 0}, {2, 1, 0}, {1, 1, 1},
                                               {2, 1, 1}, {3, 3, 0}, {9, 9, 9}, {3, 2, 0}};
    ar_open_model *m;
    outcome nearest;
    ar_sink sink = {.block = collect, .ctx = &nearest};
    open_model(&m);
    memset(&nearest, 0, sizeof nearest);
    CHECK_OK(tune_method("rtn", &m->model, device, NULL, &asym2, &sink, NULL));
    double error = model_error(&nearest, m, device);
    tuned_by = &ar__trainable_rounding;
    double *first = ctx; /* what the first device came to */
    for (int k = 0; k < WINDOWS; k++) {
        double found = walk_as(device, m, &windows[k], 0, error);
        if (first[k] == 0) first[k] = found;
        assert_true(fabs(found - first[k]) < 0.02 * first[k]);
    }
    walk_as(device, m, &windows[1], 3, error);
    outcome_free(&nearest);
    ar_random_model_close(m);
}
static void windows_deliver_every_block_once_beat_rtn_and_agree_on_all_devices(void **state) {
    double first[WINDOWS] = {0};
    (void)state;
    check_each_device(walks, first);
}

/* What holds for any row of trainables.def. */
static void each_trainable(ar_device *device, void *ctx) {
    static const ar_window pairs[] = {{2, 2, 1}, {2, 1, 0}};
    ar_open_model *m;
    (void)ctx;
    open_model(&m);
    for (int32_t k = 0; (tuned_by = ar__trainable_at(k)); k++) {
        assert_non_null(tuned_by->name);
        print_message("%s, trainable %s:\n", check_name(device), tuned_by->name);
        for (int p = 0; p < 2; p++) walk_as(device, m, &pairs[p], 0, INFINITY);
    }
    ar_random_model_close(m);
}
static void every_trainable_lowers_the_loss_of_a_window(void **state) {
    (void)state;
    check_each_device(each_trainable, NULL);
}

static void windows_out_of_bounds_are_refused(void **state) {
    static const ar_window wrong[] = {{1, 2, 0}, {2, 0, 0}, {1, 1, -1}};
    ar_model none = {.block_count = 0};
    ar_sink sink = {.block = collect};
    (void)state;
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        ar__tune_desc d = asym2;
        d.window = wrong[k];
        assert_int_equal(ar__walk_blocks(&none, NULL, NULL, &d, &sink, NULL, NULL), AR_ERR_ARG);
    }
}

int main(int argc, char **argv) { /* test_window [NAME]: the tests of that name only */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_of_two_blocks_have_the_gradients_of_central_differences_through_two_frozen),
        cmocka_unit_test(windows_deliver_every_block_once_beat_rtn_and_agree_on_all_devices),
        cmocka_unit_test(every_trainable_lowers_the_loss_of_a_window),
        cmocka_unit_test(windows_out_of_bounds_are_refused),
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
