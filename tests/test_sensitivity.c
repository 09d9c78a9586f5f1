/* The gradient of the model's loss block by block (allot_gradient.c) against that of one graph with all of
 * the model in it, and ar_op_pull on which it stands. Sees host/job's internal header. ctest-labels: device
 * vulkan
 */
#include "allot.h"
#include "op_check.h"
#include "random_model.h"
#include "small_llama.h"

enum { T = 12, COUNT = 3, ROWS = T * COUNT };

static const ar_config config = {SMALL_LLAMA, .hidden = 64, .intermediate = 96,
                                 .layers = 2, .heads = 4,   .head_dim = 16};

/* ---- a gradient from elsewhere ---- */

/* y = x W, z = y U, mean square of z: dW in one graph, and by dy of a second one. */
static void pulled(ar_device *device, void *ctx) {
    (void)ctx;
    enum { N = 7, I = 20, O = 9 };
    const int64_t x_dims[] = {N, I}, w_dims[] = {O, I}, y_dims[] = {N, O}, u_dims[] = {O, O};
    ar_tensor *x = NULL, *W = NULL, *U = NULL, *zero = NULL, *y = NULL, *z = NULL, *loss = NULL, *in = NULL;
    float whole[O * I], parts[O * I], dy[N * O], values[N * O];
    ar_graph *g = NULL;
    struct {
        ar_tensor **t;
        const int64_t *dims;
        int64_t count;
        float scale;
    } rows[] = {
        {&x, x_dims, N * I, 1}, {&W, w_dims, O * I, 1}, {&U, u_dims, O * O, 1}, {&zero, y_dims, N * O, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        float *f = check_floats(rows[i].count, i, -rows[i].scale, rows[i].scale);
        CHECK_OK(ar_tensor_create(rows[i].t, device, AR_F32, 2, rows[i].dims));
        CHECK_OK(ar_tensor_write(*rows[i].t, f, 0, rows[i].count));
        free(f);
    }
    CHECK_OK(ar_tensor_create(&in, device, AR_F32, 2, y_dims));
    ar_tensor_set_needs_grad(W, true);
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_linear(g, &y, x, W, NULL));
    CHECK_OK(ar_op_linear(g, &z, y, U, NULL));
    CHECK_OK(ar_op_mse(g, &loss, z, zero, NULL));
    CHECK_OK(ar_graph_backward(g, loss));
    ar_graph_keep(g, ar_tensor_grad(W));
    ar_graph_keep(g, y);
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    CHECK_OK(ar_tensor_read(ar_tensor_grad(W), whole, 0, O * I));
    CHECK_OK(ar_tensor_read(y, values, 0, N * O));
    ar_graph_destroy(g);
    CHECK_OK(ar_tensor_write(in, values, 0, N * O));
    ar_tensor_set_needs_grad(in, true);
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_linear(g, &z, in, U, NULL));
    CHECK_OK(ar_op_mse(g, &loss, z, zero, NULL));
    CHECK_OK(ar_graph_backward(g, loss));
    ar_graph_keep(g, ar_tensor_grad(in));
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    CHECK_OK(ar_tensor_read(ar_tensor_grad(in), dy, 0, N * O));
    ar_graph_destroy(g);
    CHECK_OK(ar_tensor_write(in, dy, 0, N * O));
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_linear(g, &y, x, W, NULL));
    assert_int_equal(ar_op_pull(g, &loss, y, x), AR_ERR_SHAPE);
    CHECK_OK(ar_op_pull(g, &loss, y, in));
    CHECK_OK(ar_graph_backward(g, loss));
    ar_graph_keep(g, ar_tensor_grad(W));
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    CHECK_OK(ar_tensor_read(ar_tensor_grad(W), parts, 0, O * I));
    assert_memory_equal(whole, parts, sizeof whole);
    ar_graph_destroy(g);
    ar_tensor_destroy(x), ar_tensor_destroy(W), ar_tensor_destroy(U), ar_tensor_destroy(zero);
    ar_tensor_destroy(in);
}
static void a_backward_in_two_graphs_is_that_in_one(void **state) {
    (void)state;
    check_each_device(pulled, NULL);
}

/* ---- the whole model ---- */

typedef struct setting {
    ar_open_model *m;
    ar_qlinear *codes[2 * AR_MAX_LINEARS];
    ar__allot_unit units[2 * AR_MAX_LINEARS];
    int32_t unit_count, ids[ROWS];
} setting;

/* All linears but one in 3 bits, the first two of a block as one unit. */
static void set_up(setting *s) {
    const ar_scheme scheme = {.bits = 3, .group = 32, .zero = AR_ZERO_INT};
    uint64_t random = 9;
    *s = (setting){0};
    CHECK_OK(ar_random_model_open(&s->m, &config, 5));
    for (int32_t b = 0; b < 2; b++)
        for (int32_t i = 0; i < s->m->model.blocks[b].linear_count; i++) {
            const ar_linear *lin = &s->m->model.blocks[b].linears[i];
            ar_qlinear **q = &s->codes[b * AR_MAX_LINEARS + i];
            if (b == 0 && i == 3) continue;
            float *W = malloc((size_t)(lin->O * lin->I) * sizeof *W);
            *q = calloc(1, sizeof **q);
            CHECK_OK(ar_qlinear_init(*q, &scheme, lin->O, lin->I));
            CHECK_OK(s->m->model.blocks[b].read_linear(&s->m->model.blocks[b], W, i, 0, lin->O));
            CHECK_OK(ar_qlinear_rtn(*q, W));
            free(W);
            if (i != 1) s->units[s->unit_count++] = (ar__allot_unit){.block = b};
            ar__allot_unit *u = &s->units[s->unit_count - 1];
            u->linears[u->count++] = i;
        }
    for (int32_t i = 0; i < ROWS; i++)
        s->ids[i] = (int32_t)(check_random(&random) % (uint64_t)s->m->model.vocab);
}

static void drop(setting *s) {
    for (int32_t i = 0; i < 2 * AR_MAX_LINEARS; i++) ar_qlinear_free(s->codes[i]);
    ar_random_model_close(s->m);
}

static void put_codes(const ar_block_weights *w, ar_qlinear *const *codes) {
    for (int32_t i = 0; i < w->block->linear_count; i++) {
        if (!codes[i]) continue;
        float *values = malloc((size_t)(codes[i]->O * codes[i]->I) * sizeof *values);
        ar_qlinear_dequant(values, codes[i]);
        CHECK_OK(ar_tensor_write(w->linears[i], values, 0, codes[i]->O * codes[i]->I));
        ar_tensor_set_needs_grad(w->linears[i], true);
        free(values);
    }
}

static double sum_of(const setting *s, const ar_block_weights *w, int32_t b, int32_t i) {
    const ar_qlinear *q = s->codes[b * AR_MAX_LINEARS + i];
    int64_t n = q->O * q->I;
    float *x = malloc((size_t)(3 * n) * sizeof *x);
    double sum = 0;
    CHECK_OK(w->block->read_linear(w->block, x, i, 0, q->O));
    ar_qlinear_dequant(x + n, q);
    CHECK_OK(ar_tensor_read(ar_tensor_grad(w->linears[i]), x + 2 * n, 0, n));
    for (int64_t k = 0; k < n; k++) sum += fabs((double)x[2 * n + k]) * fabs((double)x[k] - (double)x[n + k]);
    free(x);
    return sum;
}

static void one_graph(ar_device *device, void *ctx) {
    setting *s = ctx;
    const ar_model *m = &s->m->model;
    const ar_samples samples = {s->ids, COUNT, T};
    double cost[2 * 2 * AR_MAX_LINEARS];
    ar_block_weights w[2];
    ar_head head;
    ar_graph *g = NULL;
    ar_tensor *x = NULL, *labels = NULL, *y, *logits, *nll, *top1, *loss;
    int32_t next[ROWS];
    float *embedded = malloc(ROWS * (size_t)m->hidden * sizeof *embedded);
    for (int32_t i = 0; i < ROWS; i++) next[i] = i % T == T - 1 ? -1 : s->ids[i + 1];
    for (int32_t c = 0; c < COUNT; c++)
        CHECK_OK(ar_model_embed(m, embedded + c * T * m->hidden, s->ids + c * T, T, 0));
    CHECK_OK(ar_tensor_create(&x, device, AR_F32, 2, (const int64_t[]){ROWS, m->hidden}));
    CHECK_OK(ar_tensor_create(&labels, device, AR_I32, 1, (const int64_t[]){ROWS}));
    CHECK_OK(ar_tensor_write(x, embedded, 0, ROWS * m->hidden));
    CHECK_OK(ar_tensor_write(labels, next, 0, ROWS));
    CHECK_OK(ar_graph_create(&g, device));
    y = x;
    for (int32_t b = 0; b < 2; b++) {
        CHECK_OK(ar_block_weights_init(&w[b], &m->blocks[b], device));
        put_codes(&w[b], &s->codes[b * AR_MAX_LINEARS]);
        CHECK_OK(m->blocks[b].forward(&m->blocks[b], g, &y, y, T, &w[b].hook));
    }
    CHECK_OK(ar_head_init(&head, m, device));
    CHECK_OK(ar_head_record(&head, g, &logits, y));
    CHECK_OK(ar_op_nll(g, &nll, &top1, logits, labels));
    CHECK_OK(ar_op_mean(g, &loss, nll));
    CHECK_OK(ar_graph_backward(g, loss));
    for (int32_t b = 0; b < 2; b++)
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++)
            if (s->codes[b * AR_MAX_LINEARS + i]) ar_graph_keep(g, ar_tensor_grad(w[b].linears[i]));
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    CHECK_OK(ar__allot_gradient(cost + 1, 2, s->units, s->unit_count, s->codes, m, device, &samples, NULL));
    for (int32_t u = 0; u < s->unit_count; u++) {
        double want = 0;
        for (int32_t k = 0; k < s->units[u].count; k++)
            want += sum_of(s, &w[s->units[u].block], s->units[u].block, s->units[u].linears[k]);
        assert_true(want > 0);
        assert_true(fabs(cost[2 * u + 1] - want) < 1e-4 * want);
    }
    ar_graph_destroy(g);
    ar_tensor_destroy(x), ar_tensor_destroy(labels);
    for (int32_t b = 0; b < 2; b++) ar_block_weights_deinit(&w[b]);
    ar_head_deinit(&head);
    free(embedded);
}
static void block_by_block_is_as_in_one_graph(void **state) {
    (void)state;
    setting s;
    set_up(&s);
    check_each_device(one_graph, &s);
    drop(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_backward_in_two_graphs_is_that_in_one),
                                       cmocka_unit_test(block_by_block_is_as_in_one_graph)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
