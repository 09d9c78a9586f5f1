/* Language models with products of few states: they learn, no token sees a later one but through statistics
 * of the batch, and looking with those changes nothing. ctest-labels: device vulkan full */
#include <math.h>
#include "ar_error.h"
#include "ar_host.h"
#include "op_check.h"

enum { T = 12, BATCH = 4, STEPS = 30, HELD = 8, IDS = 20, ROWS = BATCH * T };

/* Each token follows from the two before it. */
static void write_example(int32_t *input, int32_t *labels, uint64_t number) {
    int32_t a = (int32_t)(number * 7 % IDS), b = (int32_t)(number * 3 % IDS);
    for (int t = 0; t < T; t++) {
        int32_t next = (2 * a + b + 1) % IDS;
        input[t] = b;
        labels[t] = next;
        a = b;
        b = next;
    }
}

static ar_status give(void *input, int32_t *labels, uint64_t first, int32_t count) {
    for (int32_t i = 0; i < count; i++)
        write_example((int32_t *)input + i * T, labels + i * T, first + (uint64_t)i);
    return AR_OK;
}

static ar_status draw(const ar_data *d, void *input, int32_t *labels, int64_t step, int32_t first,
                      int32_t count) {
    (void)d;
    return give(input, labels, (uint64_t)(100 + step * BATCH + first), count);
}

static ar_status held(const ar_data *d, void *input, int32_t *labels, int64_t first, int32_t count) {
    (void)d;
    return give(input, labels, (uint64_t)first, count);
}

static const ar_data texts = {
    .dtype = AR_I32, .rows = T, .labels = T, .held_count = HELD, .draw = draw, .held = held};

static ar_net *learn(ar_device *device, const ar_open_model *m, const ar_lm_states_desc *d, double *loss) {
    ar_net *net = NULL;
    ar_trainer *t = NULL;
    ar_train_score score;
    double first;
    ar_train_desc desc = {.rate = {AR_SCHEDULE_COSINE, 0.02, 0.02, 0, 0.9, 0.98},
                          .eps = 1e-8f,
                          .clip = 1,
                          .steps = STEPS,
                          .batch = BATCH,
                          .accumulate = 1};
    CHECK_OK(ar_net_lm_create(&net, &m->model, device, &(ar_lm_desc){.T = T, .states = d}));
    CHECK_OK(ar_trainer_create(&t, net, &texts, &desc, device));
    CHECK_OK(ar_trainer_step(t, &first, NULL));
    for (int i = 1; i < STEPS; i++) CHECK_OK(ar_trainer_step(t, loss, NULL));
    if (!(*loss < first - 0.5)) fail_msg("%s: loss %g -> %g", check_name(device), first, *loss);
    CHECK_OK(ar_trainer_evaluate(t, &score));
    assert_true(isfinite(score.loss));
    ar_trainer_destroy(t);
    return net;
}

/* The losses of every token; `last` is the last token of each example. */
static void look(float nll[ROWS], ar_device *device, const ar_net *net, int32_t last, bool of_batch) {
    ar_graph *g = NULL;
    ar_tensor *input = NULL, *labels = NULL, *count = NULL, *losses = NULL, *top1 = NULL;
    int32_t ids[ROWS], next[ROWS], zero = 0;
    const int64_t rows = ROWS, one = 1;
    give(ids, next, 0, BATCH);
    for (int i = 0; i < BATCH; i++) ids[i * T + T - 1] = last;
    CHECK_OK(ar_tensor_create(&input, device, AR_I32, 1, &rows));
    CHECK_OK(ar_tensor_create(&labels, device, AR_I32, 1, &rows));
    CHECK_OK(ar_tensor_create(&count, device, AR_I32, 1, &one));
    CHECK_OK(ar_tensor_write(input, ids, 0, ROWS));
    CHECK_OK(ar_tensor_write(labels, next, 0, ROWS));
    CHECK_OK(ar_tensor_write(count, &zero, 0, 1));
    CHECK_OK(ar_graph_create(&g, device));
    ar_pass pass = {.input = input, .labels = labels, .count = count, .of_batch = of_batch};
    CHECK_OK(net->record(net, g, &losses, &top1, &pass));
    ar_graph_keep(g, losses);
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    CHECK_OK(ar_tensor_read(losses, nll, 0, ROWS));
    ar_graph_destroy(g);
    ar_tensor_destroy(input);
    ar_tensor_destroy(labels);
    ar_tensor_destroy(count);
}

/* Tokens before the last whose loss the last one changes. */
static int leaks(ar_device *device, const ar_net *net, bool of_batch) {
    float a[ROWS], b[ROWS];
    int count = 0;
    look(a, device, net, 1, of_batch);
    look(b, device, net, 9, of_batch);
    for (int i = 0; i < ROWS; i++) count += i % T < T - 1 && memcmp(&a[i], &b[i], sizeof *a) != 0;
    return count;
}

/* Looking with statistics of batches leaves every parameter as it was. */
static void check_gap(ar_device *device, const ar_net *net) {
    ar_train_score running, batches;
    float *before[256], *after;
    assert_true(net->param_count <= 256);
    for (int32_t i = 0; i < net->param_count; i++) before[i] = check_read(net->params[i].t);
    CHECK_OK(ar_net_score_gap(&running, &batches, net, &texts, device, 3));
    assert_int_equal(running.labels, 6 * T); /* of 8 examples those that fill batches of 3 */
    assert_int_equal(batches.labels, 6 * T);
    assert_true(isfinite(batches.loss) && fabs(running.loss - batches.loss) < 1);
    for (int32_t i = 0; i < net->param_count; i++) {
        after = check_read(net->params[i].t);
        assert_memory_equal(before[i], after, (size_t)ar_tensor_count(net->params[i].t) * sizeof *after);
        free(before[i]);
        free(after);
    }
}

/* What a session says of each token, of a text that grows: the loss that the net's own pass has. */
static void check_session(ar_device *device, const ar_net *net, const ar_open_model *m) {
    ar_session *s = NULL;
    float nll[ROWS], *logits = malloc((size_t)m->model.vocab * sizeof *logits);
    int32_t ids[ROWS], next[ROWS];
    assert_non_null(logits);
    give(ids, next, 0, BATCH);
    ids[T - 1] = 9;
    look(nll, device, net, 9, false);
    CHECK_OK(ar_session_create_net(&s, net, device, T));
    assert_int_equal(ar_session_context(s), T);
    for (int64_t n = 1; n <= T; n++) {
        double sum = 0;
        CHECK_OK(ar_session_logits(s, logits, ids, n));
        assert_int_equal(ar_session_computed(s), n);
        for (int64_t v = 0; v < m->model.vocab; v++) sum += exp((double)logits[v]);
        assert_true(fabs(log(sum) - (double)logits[next[n - 1]] - (double)nll[n - 1]) < 1e-4);
    }
    assert_int_equal(ar_session_logits(s, logits, ids, T + 1), AR_ERR_ARG);
    ar_session_destroy(s);
    free(logits);
}

static void learning_case(ar_device *device, void *ctx) {
    static const ar_lm_states_desc nets[] = {{.mw = 3, .ma = 7},
                                             {.mw = 2, .ma = 2, .stats = AR_STATS_BATCH},
                                             {.mw = 15, .ma = 4, .stats = AR_STATS_SAMPLE, .plain = true},
                                             {.stats = AR_STATS_LAYER, .raw = true}};
    ar_open_model *m = NULL;
    (void)ctx;
    CHECK_OK(ar_model_open(&m, "tests/golden/families/mistral"));
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        double loss = 0;
        ar_net *net = learn(device, m, &nets[i], &loss);
        bool by_token = nets[i].stats == AR_STATS_LAYER;
        print_message("%s %d: loss %.3f\n", check_name(device), (int)i, loss);
        assert_int_equal(leaks(device, net, false), 0);
        if (by_token)
            assert_int_equal(leaks(device, net, true), 0);
        else
            assert_true(leaks(device, net, true) > 0);
        check_gap(device, net);
        check_session(device, net, m);
        ar_net_destroy(net);
    }
    ar_model_close(m);
}

static void language_models_of_few_states_learn_and_see_no_later_token(void **state) {
    (void)state, check_each_device(learning_case, NULL);
}

/* Whether a step that fits `bytes` takes passes there; nothing is computed twice. */
static bool takes_passes(const char *select, uint64_t bytes) {
    static const ar_lm_states_desc few = {.mw = 3, .ma = 7};
    ar_device *device = NULL;
    ar_open_model *m = NULL;
    ar_net *net = NULL;
    ar_trainer *t = NULL;
    double loss = NAN;
    ar_train_desc desc = {.steps = 1, .batch = BATCH, .accumulate = 1};
    CHECK_OK(ar_device_open(&device, &(ar_device_desc){.select = select, .memory_budget = bytes}));
    CHECK_OK(ar_model_open(&m, "tests/golden/families/mistral"));
    ar_status status = ar_net_lm_create(&net, &m->model, device, &(ar_lm_desc){.T = T, .states = &few});
    if (status == AR_OK) status = ar_trainer_create(&t, net, &texts, &desc, device);
    if (status != AR_OK) assert_int_equal(status, AR_ERR_DEVICE_MEMORY);
    assert_false(desc.recompute);
    bool cut = status == AR_OK && desc.accumulate > 1;
    if (cut) CHECK_OK(ar_trainer_step(t, &loss, NULL));
    if (cut) assert_true(isfinite(loss));
    ar_trainer_destroy(t);
    ar_net_destroy(net);
    ar_model_close(m);
    ar_device_close(device);
    return cut;
}

static void little_memory_case(ar_device *device, void *ctx) {
    char select[24];
    bool found = false;
    (void)ctx;
    snprintf(select, sizeof select, "%s", check_name(device));
    for (uint64_t bytes = 64 << 20; !found && bytes > 1 << 16; bytes = bytes * 3 / 4)
        found = takes_passes(select, bytes);
    assert_true(found);
}

static void a_step_that_does_not_fit_takes_passes(void **state) {
    (void)state, check_each_device(little_memory_case, NULL);
}

static void refusals_case(ar_device *device, void *ctx) {
    ar_open_model *m = NULL, *gpt2 = NULL;
    ar_net *net = NULL;
    ar_trainer *t = NULL;
    ar_train_desc desc = {.steps = 1, .batch = 1, .accumulate = 1, .recompute = true};
    (void)ctx;
    CHECK_OK(ar_model_open(&m, "tests/golden/families/mistral"));
    CHECK_OK(ar_model_open(&gpt2, "tests/golden/families/gpt2"));
    ar_lm_states_desc d = {.mw = 1, .ma = 3};
    ar_lm_desc lm = {.T = T, .states = &d};
    assert_int_equal(ar_net_lm_create(&net, &m->model, device, &lm), AR_ERR_ARG);
    assert_non_null(strstr(ar_error(), "found 1 of weights"));
    d = (ar_lm_states_desc){.mw = 3, .ma = 3, .stats = AR_STATS_FIXED};
    assert_int_equal(ar_net_lm_create(&net, &m->model, device, &lm), AR_ERR_ARG);
    d = (ar_lm_states_desc){.mw = 3, .ma = 3};
    assert_int_equal(ar_net_lm_create(&net, &gpt2->model, device, &lm), AR_ERR_UNSUPPORTED);
    CHECK_OK(ar_net_lm_create(&net, &m->model, device, &lm));
    assert_int_equal(ar_trainer_create(&t, net, &texts, &desc, device), AR_ERR_UNSUPPORTED);
    ar_net_destroy(net);
    ar_model_close(m);
    ar_model_close(gpt2);
}

static void what_makes_no_sense_is_refused(void **state) {
    (void)state, check_each_device(refusals_case, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(language_models_of_few_states_learn_and_see_no_later_token),
        cmocka_unit_test(a_step_that_does_not_fit_takes_passes),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
