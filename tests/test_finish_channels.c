/* Scales between norms and linears tuned behind the last block: their gradients against central differences,
 * with what the quantizers add held as it is (straight through); that the loss falls, weights stay and
 * nothing else moves; what is refused. Both families. ctest-labels: device full */
#include "channels.h"
#include "op_check.h"
#include "temp_files.h"
#include "trainable.h"

enum { T = 24, MOST_BLOCKS = 2, SITES = MOST_BLOCKS * AR_MAX_LINEARS, SAMPLES = 4 };
static const ar_scheme scheme = {4, -1, AR_ZERO_SYM, 0, AR_SUPER_NONE};
static const ar_acts_scheme acts = {4, AR_ACTS_STATIC, true};

/* How the model is recorded: in floats; quantized; or in floats with what quantizing added there. */
typedef enum how { FLOATS, QUANTIZED, HELD } how;

typedef struct fixture {
    ar_open_model *m;
    ar_device *device;
    ar_block_weights weights[MOST_BLOCKS];
    ar_head head;
    int32_t of[MOST_BLOCKS][AR_MAX_LINEARS];
    ar_tensor *theta[MOST_BLOCKS][AR_MAX_NORMS], *dtheta[MOST_BLOCKS][AR_MAX_NORMS];
    ar_acts acts;
    ar_acts_block fixed[MOST_BLOCKS];
    ar_tensor *in, *to, *labels;
    bool by_text;
    /* of the graph that was recorded last: inputs and weights, as they were and as they came out */
    ar_tensor *x[SITES], *W[SITES], *x2[SITES], *W2[SITES];
    ar_tensor *added_x[SITES], *added_W[SITES];
} fixture;

static const bool none_skipped[AR_MAX_LINEARS];
static const ar_scheme schemes[AR_MAX_LINEARS] = {scheme, scheme, scheme, scheme, scheme, scheme, scheme};

/* ---- recording, without the hook under test ---- */

typedef struct pass {
    fixture *f;
    int32_t block;
    how how;
} pass;

static ar_status plain_norm(void *ctx, ar_graph *g, ar_tensor **y, int32_t j, ar_tensor *x) {
    const pass *p = ctx;
    const ar_block_weights *w = &p->f->weights[p->block];
    ar_tensor *theta = p->f->theta[p->block][j], *weight = NULL, *bias = NULL;
    CHECK_OK(ar_op_channel_scale(g, &weight, w->norms[j], theta, false));
    if (w->norm_biases[j]) CHECK_OK(ar_op_channel_scale(g, &bias, w->norm_biases[j], theta, false));
    return ar_norm_record(&w->block->norms[j], g, y, x, weight, bias);
}

static ar_status plain_linear(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    const pass *p = ctx;
    fixture *f = p->f;
    const ar_block_weights *w = &f->weights[p->block];
    int32_t at = p->block * AR_MAX_LINEARS + i, j = f->of[p->block][i];
    ar_tensor *W = w->linears[i];
    if (j >= 0) CHECK_OK(ar_op_channel_scale(g, &W, w->linears[i], f->theta[p->block][j], true));
    f->x[at] = f->x2[at] = x;
    f->W[at] = f->W2[at] = W;
    if (p->how == QUANTIZED) {
        CHECK_OK(ar_op_acts_quant(g, &f->x2[at], x, f->fixed[p->block].grids[i], &acts));
        CHECK_OK(ar__record_nearest(g, &f->W2[at], &(ar__site){.weight = W, .scheme = scheme}));
    } else if (p->how == HELD) {
        CHECK_OK(ar_op_add(g, &f->x2[at], x, f->added_x[at]));
        CHECK_OK(ar_op_add(g, &f->W2[at], W, f->added_W[at]));
    }
    ar_tensor *kept[] = {f->x[at], f->W[at], f->x2[at], f->W2[at]};
    for (int k = 0; k < 4; k++)
        if (kept[k] != w->linears[i]) ar_graph_keep(g, kept[k]);
    return ar_op_linear(g, y, f->x2[at], f->W2[at], w->biases[i]);
}

static ar_tensor *record_end(const fixture *f, ar_graph *g, ar_tensor *x) {
    ar_tensor *ref = NULL, *logits = NULL, *each = NULL, *top = NULL, *loss = NULL;
    CHECK_OK(ar_head_record(&f->head, g, &ref, f->to));
    CHECK_OK(ar_head_record(&f->head, g, &logits, x));
    CHECK_OK(f->by_text ? ar_op_nll(g, &each, &top, logits, f->labels) : ar_op_kl(g, &each, ref, logits));
    CHECK_OK(ar_op_mean(g, &loss, each));
    ar_graph_keep(g, loss);
    return loss;
}

static ar_graph *record_plain(fixture *f, ar_tensor **loss, how kind) {
    ar_graph *g = NULL;
    ar_tensor *x = f->in;
    CHECK_OK(ar_graph_create(&g, f->device));
    for (int32_t b = 0; b < f->m->model.block_count; b++) {
        pass p = {f, b, kind};
        const ar_block *block = &f->m->model.blocks[b];
        const ar_hook hook = {.linear = plain_linear, .norm = plain_norm, .ctx = &p};
        CHECK_OK(block->forward(block, g, &x, x, T, &hook));
    }
    *loss = record_end(f, g, x);
    CHECK_OK(ar_graph_build(g));
    return g;
}

static double run(ar_graph *g, const ar_tensor *loss) {
    float value;
    CHECK_OK(ar_graph_run(g));
    CHECK_OK(ar_tensor_read(loss, &value, 0, 1));
    return (double)value;
}

/* ---- recording, with it ---- */

static ar_status add_grad(ar_graph *g, ar_tensor *theta, ar_tensor *d, const void *ctx) {
    ar_tensor *sum = NULL, *dtheta = *(ar_tensor *const *)ctx;
    assert_non_null(theta);
    CHECK_OK(ar_op_add(g, &sum, dtheta, d));
    return ar_op_copy(g, dtheta, sum);
}

static ar_status hooked_block(ar_graph *g, ar_tensor **y, ar_tensor *x, const void *ctx) {
    const pass *p = ctx;
    const ar_block_weights *w = &p->f->weights[p->block];
    ar__channels_hook hook = {.weights = w,
                              .of = p->f->of[p->block],
                              .theta = p->f->theta[p->block],
                              .skip = none_skipped,
                              .schemes = schemes,
                              .fixed = &p->f->fixed[p->block]};
    for (int32_t j = 0; j < w->block->norm_count; j++)
        CHECK_OK(ar_graph_on_grad(g, p->f->theta[p->block][j], add_grad, &p->f->dtheta[p->block][j],
                                  sizeof(ar_tensor *)));
    return w->block->forward(w->block, g, y, x, T, ar__channels_hook_init(&hook));
}

/* The loss, whose gradients are added to dtheta. */
static double run_hooked(fixture *f) {
    ar_graph *g = NULL;
    ar_tensor *x = f->in;
    CHECK_OK(ar_graph_create(&g, f->device));
    for (int32_t b = 0; b < f->m->model.block_count; b++) {
        const pass p = {f, b, QUANTIZED};
        CHECK_OK(ar_graph_recompute(g, &x, x, hooked_block, &p, sizeof p));
    }
    ar_tensor *loss = record_end(f, g, x);
    CHECK_OK(ar_graph_backward(g, loss));
    CHECK_OK(ar_graph_build(g));
    double value = run(g, loss);
    ar_graph_destroy(g);
    return value;
}

/* ---- the model ---- */

static void open_model(fixture *f, ar_device *device, const char *family) {
    char path[64];
    snprintf(path, sizeof path, "tests/golden/families/%s", family);
    *f = (fixture){.device = device};
    CHECK_OK(ar_model_open(&f->m, path));
    const ar_model *m = &f->m->model;
    assert_true(m->block_count == MOST_BLOCKS);
    for (int32_t b = 0; b < MOST_BLOCKS; b++) {
        CHECK_OK(ar_block_weights_init(&f->weights[b], &m->blocks[b], device));
        CHECK_OK(ar_block_feeds(f->of[b], &m->blocks[b], device));
        for (int32_t j = 0; j < m->blocks[b].norm_count; j++) {
            float *values = check_floats(m->blocks[b].norms[j].I, (uint64_t)(7 * b + j), -0.5f, 0.5f);
            f->theta[b][j] = check_tensor(device, AR_F32, m->blocks[b].norms[j].I, -1, values);
            f->dtheta[b][j] = NULL;
            CHECK_OK(ar__zeros(&f->dtheta[b][j], device, AR_F32, 1, &m->blocks[b].norms[j].I));
            ar_tensor_set_needs_grad(f->theta[b][j], true);
            free(values);
        }
    }
    CHECK_OK(ar_head_init(&f->head, m, device));
    float *x = check_floats(T * m->hidden, 3, -1.0f, 1.0f), *y = check_floats(T * m->hidden, 4, -2.0f, 2.0f);
    int32_t labels[T];
    for (int t = 0; t < T; t++) labels[t] = t + 1 < T ? 3 * t % 50 : -1;
    f->in = check_tensor(device, AR_F32, T, m->hidden, x);
    f->to = check_tensor(device, AR_F32, T, m->hidden, y);
    f->labels = check_tensor(device, AR_I32, T, -1, labels);
    free(x);
    free(y);
}

static void close_model(fixture *f) {
    for (int32_t k = 0; k < SITES; k++) {
        ar_tensor_destroy(f->added_x[k]);
        ar_tensor_destroy(f->added_W[k]);
    }
    for (int32_t b = 0; b < MOST_BLOCKS; b++) {
        for (int32_t j = 0; j < AR_MAX_NORMS; j++) {
            ar_tensor_destroy(f->theta[b][j]);
            ar_tensor_destroy(f->dtheta[b][j]);
        }
        ar_acts_block_deinit(&f->fixed[b]);
        ar_block_weights_deinit(&f->weights[b]);
    }
    ar_tensor_destroy(f->in);
    ar_tensor_destroy(f->to);
    ar_tensor_destroy(f->labels);
    ar_head_deinit(&f->head);
    ar_acts_deinit(&f->acts);
    ar_model_close(f->m);
}

/* Ranges of the inputs in floats, somewhat wider: nothing is cut off. */
static void make_ranges(fixture *f) {
    ar_tensor *loss = NULL;
    ar_graph *g = record_plain(f, &loss, FLOATS);
    f->acts.scheme = acts;
    CHECK_OK(ar_acts_make_grids(&f->acts, MOST_BLOCKS));
    run(g, loss);
    for (int32_t k = 0; k < SITES; k++) {
        float range[2] = {0, 0};
        if (!f->x[k]) continue;
        float *x = check_read(f->x[k]);
        for (int64_t n = 0; n < ar_tensor_count(f->x[k]); n++) {
            range[0] = fminf(range[0], 1.6f * x[n]);
            range[1] = fmaxf(range[1], 1.6f * x[n]);
        }
        ar_acts_grid(f->acts.grids[k / AR_MAX_LINEARS][k % AR_MAX_LINEARS], range, &acts);
        free(x);
    }
    ar_graph_destroy(g);
    for (int32_t b = 0; b < MOST_BLOCKS; b++)
        CHECK_OK(ar_acts_block_init(&f->fixed[b], &f->acts, &f->m->model.blocks[b], NULL, f->device));
}

static ar_tensor *difference(ar_device *device, const ar_tensor *a, const ar_tensor *b) {
    float *x = check_read(a), *y = check_read(b);
    for (int64_t k = 0; k < ar_tensor_count(a); k++) x[k] -= y[k];
    ar_tensor *t = check_tensor(device, AR_F32, ar_tensor_dim(a, 0), ar_tensor_dim(a, 1), x);
    free(x);
    free(y);
    return t;
}

/* What quantizing adds, where theta is now; returns the quantized loss. */
static double hold(fixture *f) {
    ar_tensor *loss = NULL;
    ar_graph *g = record_plain(f, &loss, QUANTIZED);
    double value = run(g, loss);
    for (int32_t k = 0; k < SITES; k++) {
        if (!f->x[k]) continue;
        f->added_x[k] = difference(f->device, f->x2[k], f->x[k]);
        f->added_W[k] = difference(f->device, f->W2[k], f->W[k]);
    }
    ar_graph_destroy(g);
    return value;
}

/* ---- the gradient ---- */

/* Along a random direction of one theta. */
static void check_direction(fixture *f, ar_graph *g, const ar_tensor *loss, int32_t b, int32_t j,
                            uint64_t salt) {
    const float step = 4e-3f;
    ar_tensor *theta = f->theta[b][j];
    int64_t I = ar_tensor_count(theta);
    float *at = check_read(theta), *d = check_read(f->dtheta[b][j]), *u = check_floats(I, salt, -1.0f, 1.0f),
          *moved = malloc((size_t)I * sizeof *moved);
    double want = 0.0, ends[2];
    for (int64_t k = 0; k < I; k++) want += (double)d[k] * (double)u[k];
    for (int side = 0; side < 2; side++) {
        for (int64_t k = 0; k < I; k++) moved[k] = at[k] + (side ? step : -step) * u[k];
        CHECK_OK(ar_tensor_write(theta, moved, 0, I));
        ends[side] = run(g, loss);
    }
    CHECK_OK(ar_tensor_write(theta, at, 0, I));
    double found = (ends[1] - ends[0]) / (2.0 * (double)step);
    print_message("  block %d norm %d: %.6f, differences %.6f\n", (int)b, (int)j, want, found);
    assert_true(fabs(found - want) <= 0.01 * fabs(want) + 3e-4);
    free(at);
    free(d);
    free(u);
    free(moved);
}

static void gradient_case(ar_device *device, void *ctx) {
    fixture f;
    const char *family = ctx;
    for (int by_text = 0; by_text < 2; by_text++) {
        open_model(&f, device, family);
        f.by_text = by_text;
        make_ranges(&f);
        double quantized = hold(&f), hooked = run_hooked(&f);
        ar_tensor *loss = NULL;
        ar_graph *g = record_plain(&f, &loss, HELD);
        double held = run(g, loss);
        print_message("%s on %s: loss %.7f, hooked %.7f, held %.7f\n", family, check_name(device), quantized,
                      hooked, held);
        assert_true(fabs(hooked - quantized) <= 1e-5 * quantized &&
                    fabs(held - quantized) <= 1e-5 * quantized);
        for (int32_t b = 0; b < MOST_BLOCKS; b++)
            for (int32_t j = 0; j < f.m->model.blocks[b].norm_count; j++)
                for (uint64_t n = 0; n < 2; n++) check_direction(&f, g, loss, b, j, 31 + n);
        ar_graph_destroy(g);
        close_model(&f);
    }
}

static void gradients_are_those_of_differences(void **state) {
    (void)state;
    check_each_device(gradient_case, (void *)"llama");
    check_each_device(gradient_case, (void *)"gpt2");
}

/* ---- steps ---- */

/* Rounded to nearest behind scales of 1, with the ranges. */
static void round_all(ar_qlinear **list, const fixture *f, const float *ones) {
    for (int32_t k = 0; k < SITES; k++) {
        int32_t b = k / AR_MAX_LINEARS, i = k % AR_MAX_LINEARS;
        const ar_block *block = &f->m->model.blocks[b];
        if (i >= block->linear_count) continue;
        int64_t O = block->linears[i].O, I = block->linears[i].I, two = 2;
        float *W = malloc((size_t)(O * I) * sizeof *W);
        ar_qlinear *q = list[k] = calloc(1, sizeof *q);
        CHECK_OK(block->read_linear(block, W, i, 0, O));
        CHECK_OK(ar_qlinear_init(q, &scheme, O, I));
        CHECK_OK(ar_qlinear_rtn(q, W));
        CHECK_OK(ar_qlinear_add_extra(q, AR_ACTS_EXTRA, AR_F32, 1, &two, f->acts.grids[b][i]));
        if (f->of[b][i] >= 0) CHECK_OK(ar_qlinear_add_extra(q, AR_SCALE_EXTRA, AR_F32, 1, &I, ones));
        free(W);
    }
}

/* Codes are those of the file's weights divided by the scales. */
static void check_linear(const fixture *f, const ar_qlinear *q, int32_t k) {
    const ar_block *block = &f->m->model.blocks[k / AR_MAX_LINEARS];
    const ar_extra *e = ar_qlinear_extra(q, AR_SCALE_EXTRA);
    float *W = malloc((size_t)(q->O * q->I) * sizeof *W);
    ar_qlinear again = {0};
    CHECK_OK(block->read_linear(block, W, k % AR_MAX_LINEARS, 0, q->O));
    for (int64_t n = 0; e && n < q->O * q->I; n++) W[n] /= ((const float *)e->data)[n % q->I];
    CHECK_OK(ar_qlinear_init(&again, &scheme, q->O, q->I));
    CHECK_OK(ar_qlinear_rtn(&again, W));
    assert_memory_equal(q->codes, again.codes, (size_t)(q->O * q->I));
    assert_memory_equal(ar_qlinear_extra(q, AR_ACTS_EXTRA)->data,
                        f->acts.grids[k / AR_MAX_LINEARS][k % AR_MAX_LINEARS], 2 * sizeof(float));
    ar_qlinear_deinit(&again);
    free(W);
}

static void check_refused(ar_qlinear **list, const fixture *f, const ar_samples *samples) {
    const ar_model *m = &f->m->model;
    const ar_samples short_ones = {samples->ids, SAMPLES, 1};
    ar_finish_report r;
    ar_finish_desc desc = {.steps = 1, .acts = acts};
    ar_qlinear_drop_extras(list[0]);
    assert_error(ar_finish_channels(&r, list, m, f->device, samples, &desc, NULL), AR_ERR_ARG,
                 "found no static range");
    desc.loss = AR_FINISH_CE;
    assert_error(ar_finish_channels(&r, list, m, f->device, &short_ones, &desc, NULL), AR_ERR_ARG, "1 token");
    desc.acts.range = AR_ACTS_TENSOR;
    assert_error(ar_finish_channels(&r, list, m, f->device, samples, &desc, NULL), AR_ERR_ARG,
                 "without static ranges");
}

static void steps_case(ar_device *device, void *ctx) {
    fixture f;
    static int32_t ids[SAMPLES * T];
    float ones[256];
    uint64_t state = 5;
    for (int i = 0; i < 256; i++) ones[i] = 1.0f;
    for (int i = 0; i < SAMPLES * T; i++) ids[i] = i < T ? (int32_t)(check_random(&state) % 50) : ids[i - T];
    const ar_samples samples = {ids, SAMPLES, T};
    open_model(&f, device, ctx);
    make_ranges(&f);
    for (int loss = AR_FINISH_KL; loss <= AR_FINISH_CE; loss++) {
        ar_qlinear *list[SITES] = {NULL}, *again[SITES] = {NULL};
        const ar_finish_desc desc = {
            .steps = 12, .rate = 0.05, .loss = (ar_finish_loss)loss, .acts = acts, .seed = 42};
        ar_finish_report r, same;
        int64_t d = f.m->model.hidden;
        round_all(list, &f, ones);
        round_all(again, &f, ones);
        CHECK_OK(ar_finish_channels(&r, list, &f.m->model, device, &samples, &desc, NULL));
        CHECK_OK(ar_finish_channels(&same, again, &f.m->model, device, &samples, &desc, NULL));
        print_message("%s, loss %d: %g -> %g at step %d\n", (const char *)ctx, loss, r.loss_first,
                      r.loss_best, (int)r.best_step);
        assert_true(r.loss_best < r.loss_first && r.best_step > 0 && r.loss_best == same.loss_best);
        assert_true(r.parameters == 2 * d * MOST_BLOCKS && r.weights_hash &&
                    r.weights_hash == same.weights_hash);
        for (int32_t k = 0; k < SITES; k++)
            if (list[k]) check_linear(&f, list[k], k);
        if (loss == AR_FINISH_CE) check_refused(list, &f, &samples);
        for (int32_t k = 0; k < SITES; k++) {
            if (list[k] && k > 0) assert_memory_equal(list[k]->codes, again[k]->codes, 256);
            ar_qlinear_free(list[k]);
            ar_qlinear_free(again[k]);
        }
    }
    close_model(&f);
}

static void the_loss_falls_and_weights_stay(void **state) {
    (void)state;
    check_each_device(steps_case, (void *)"llama");
    check_each_device(steps_case, (void *)"gpt2");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(gradients_are_those_of_differences),
                                       cmocka_unit_test(the_loss_falls_and_weights_stay)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
