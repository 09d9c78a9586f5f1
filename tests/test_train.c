/* Training: losses follow PyTorch's from the same start (golden/train.json), in one pass a step, in several,
 * and recomputed; evaluating, resuming; what is refused. ctest-labels: device vulkan */
#include "ar_error.h"
#include "ar_host.h"
#include "op_check.h"
#include <cjson/cJSON.h>

enum { MOST = 64 };

/* One case of golden/train.json as data: the batch of step s. */
typedef struct golden {
    int32_t steps, batch, T, *ids;
    double losses[MOST], norms[MOST];
} golden;

static const golden *of(const ar_data *d) { return d->impl; }

static ar_status draw(const ar_data *d, void *input, int32_t *labels, int64_t step, int32_t first,
                      int32_t count) {
    const golden *c = of(d);
    for (int32_t i = 0; i < count; i++) {
        const int32_t *row = c->ids + (step * c->batch + first + i) * (c->T + 1);
        memcpy((int32_t *)input + i * c->T, row, (size_t)c->T * 4);
        memcpy(labels + i * c->T, row + 1, (size_t)c->T * 4);
    }
    return AR_OK;
}

/* The first step's batch. */
static ar_status held(const ar_data *d, void *input, int32_t *labels, int64_t first, int32_t count) {
    return draw(d, input, labels, 0, (int32_t)first, count);
}

static double number(const cJSON *o, const char *key) {
    const cJSON *item = cJSON_GetObjectItem(o, key);
    assert_non_null(item);
    return item->valuedouble;
}

static bool is_text(const cJSON *o, const char *key, const char *text) {
    return strcmp(cJSON_GetObjectItem(o, key)->valuestring, text) == 0;
}

static cJSON *open_golden(void) {
    char *text = NULL;
    size_t bytes = 0;
    CHECK_OK(ar_file_read_text(&text, &bytes, "tests/golden/train.json", 1 << 22));
    cJSON *root = cJSON_Parse(text);
    assert_non_null(root);
    free(text);
    return root;
}

static void read_case(golden *c, ar_train_desc *desc, const cJSON *root, const cJSON *item) {
    const cJSON *ids = cJSON_GetObjectItem(item, "ids"), *one, *losses = cJSON_GetObjectItem(item, "losses"),
                *norms = cJSON_GetObjectItem(item, "norms");
    int32_t n = 0;
    *c = (golden){.steps = (int32_t)number(root, "steps"),
                  .batch = (int32_t)number(root, "batch"),
                  .T = (int32_t)number(root, "T")};
    c->ids = calloc((size_t)cJSON_GetArraySize(ids), sizeof *c->ids);
    assert_non_null(c->ids);
    cJSON_ArrayForEach(one, ids) c->ids[n++] = one->valueint;
    for (int32_t i = 0; i < c->steps; i++) {
        c->losses[i] = cJSON_GetArrayItem(losses, i)->valuedouble;
        c->norms[i] = cJSON_GetArrayItem(norms, i)->valuedouble;
    }
    *desc = (ar_train_desc){
        .optimizer = is_text(item, "optimizer", "sgd") ? AR_TRAIN_SGD : AR_TRAIN_ADAMW,
        .rate = {.schedule = is_text(item, "schedule", "linear") ? AR_SCHEDULE_LINEAR : AR_SCHEDULE_COSINE,
                 .lr = number(item, "lr"),
                 .end = number(root, "end"),
                 .warmup = (int32_t)number(root, "warmup"),
                 .beta1 = number(root, "beta1"),
                 .beta2 = number(root, "beta2")},
        .eps = 1e-8f,
        .momentum = (float)number(root, "momentum"),
        .decay = (float)number(root, "decay"),
        .clip = (float)number(root, "clip"),
        .steps = c->steps,
        .batch = c->batch,
        .accumulate = 1};
}

static ar_data data_of(golden *c) {
    return (ar_data){.dtype = AR_I32,
                     .rows = c->T,
                     .labels = c->T,
                     .held_count = c->batch,
                     .draw = draw,
                     .held = held,
                     .impl = c};
}

/* ---- golden losses ---- */

typedef struct way {
    int32_t accumulate;
    bool recompute;
    int64_t piece;
} way;

static void follow(ar_device *device, const cJSON *root, const cJSON *item, const way *w) {
    golden c;
    ar_train_desc desc;
    ar_open_model *m = NULL;
    ar_net *net = NULL;
    ar_trainer *t = NULL;
    char path[200];
    const char *family = cJSON_GetObjectItem(item, "family")->valuestring;
    snprintf(path, sizeof path, "tests/golden/families/%s", family);
    read_case(&c, &desc, root, item);
    ar_data data = data_of(&c);
    desc.accumulate = w->accumulate;
    desc.recompute = w->recompute;
    CHECK_OK(ar_model_open(&m, path));
    CHECK_OK(ar_net_lm_create(&net, &m->model, device, &(ar_lm_desc){.T = c.T, .piece = w->piece}));
    CHECK_OK(ar_trainer_create(&t, net, &data, &desc, device));
    for (int32_t step = 0; step < c.steps; step++) {
        double loss, norm;
        CHECK_OK(ar_trainer_step(t, &loss, &norm));
        if (fabs(loss - c.losses[step]) > 1e-3 || fabs(norm - c.norms[step]) > 1e-2 * (1 + c.norms[step]))
            fail_msg("%s on %s, step %d: loss %.6f, norm %.5f, PyTorch's %.6f, %.5f", family,
                     check_name(device), step, loss, norm, c.losses[step], c.norms[step]);
    }
    assert_true(c.losses[c.steps - 1] < c.losses[0] - 0.3);
    assert_int_equal(ar_trainer_at(t), c.steps);
    assert_int_equal(ar_trainer_step(t, NULL, NULL), AR_ERR_ARG);
    ar_trainer_destroy(t);
    ar_net_destroy(net);
    ar_model_close(m);
    free(c.ids);
}

static void golden_case(ar_device *device, void *ctx) {
    static const way ways[] = {{1, false, 0}, {2, true, 24}};
    cJSON *root = open_golden(), *item;
    (void)ctx;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(root, "cases")) follow(device, root, item, &ways[0]);
    follow(device, root, cJSON_GetArrayItem(cJSON_GetObjectItem(root, "cases"), 0), &ways[1]);
    follow(device, root, cJSON_GetArrayItem(cJSON_GetObjectItem(root, "cases"), 2), &ways[1]);
    cJSON_Delete(root);
}

static void losses_follow_pytorch(void **state) { (void)state, check_each_device(golden_case, NULL); }

/* ---- resuming, evaluating ---- */

typedef struct run {
    ar_open_model *m;
    ar_net *net;
    ar_trainer *t;
    golden c;
    ar_data data;
    ar_train_desc desc;
} run;

static void run_open(run *r, ar_device *device) {
    cJSON *root = open_golden();
    read_case(&r->c, &r->desc, root, cJSON_GetArrayItem(cJSON_GetObjectItem(root, "cases"), 0));
    cJSON_Delete(root);
    r->data = data_of(&r->c);
    CHECK_OK(ar_model_open(&r->m, "tests/golden/families/llama"));
    CHECK_OK(ar_net_lm_create(&r->net, &r->m->model, device,
                              &(ar_lm_desc){.T = r->c.T, .dropout = 0.2f, .seed = 3}));
    CHECK_OK(ar_trainer_create(&r->t, r->net, &r->data, &r->desc, device));
}

static void run_close(run *r) {
    ar_trainer_destroy(r->t);
    ar_net_destroy(r->net);
    ar_model_close(r->m);
    free(r->c.ids);
}

/* Everything of `from` that resuming needs, in `to`. */
static void copy_state(run *to, const run *from) {
    char name[AR_PARAM_NAME + 8], other[AR_PARAM_NAME + 8];
    ar_tensor *a;
    for (int32_t i = 0; (a = ar_trainer_state(name, from->t, i)) != NULL; i++) {
        ar_tensor *b = ar_trainer_state(other, to->t, i);
        float *values = check_read(a);
        assert_string_equal(name, other);
        CHECK_OK(ar_tensor_write(b, values, 0, ar_tensor_count(b)));
        free(values);
    }
    CHECK_OK(ar_trainer_resume(to->t, ar_trainer_at(from->t)));
}

static void assert_same_state(const run *one, const run *other) {
    char name[AR_PARAM_NAME + 8];
    ar_tensor *a;
    for (int32_t i = 0; (a = ar_trainer_state(name, one->t, i)) != NULL; i++) {
        float *x = check_read(a), *y = check_read(ar_trainer_state(name, other->t, i));
        assert_memory_equal(x, y, (size_t)ar_tensor_count(a) * sizeof *x);
        free(x);
        free(y);
    }
}

static void resume_case(ar_device *device, void *ctx) {
    run whole = {0}, part = {0};
    ar_train_score before, again, after;
    (void)ctx;
    run_open(&whole, device);
    run_open(&part, device);
    CHECK_OK(ar_trainer_evaluate(whole.t, &before));
    assert_int_equal(before.labels, whole.c.batch * whole.c.T);
    assert_true(fabs(before.loss - whole.c.losses[0]) < 1e-3); /* without dropout */
    for (int32_t i = 0; i < 7; i++) CHECK_OK(ar_trainer_step(whole.t, NULL, NULL));
    copy_state(&part, &whole);
    for (int32_t i = 7; i < whole.c.steps; i++) {
        double a, b;
        CHECK_OK(ar_trainer_step(whole.t, &a, NULL));
        if (i == 9) CHECK_OK(ar_trainer_evaluate(whole.t, &again)); /* looking changes nothing */
        CHECK_OK(ar_trainer_step(part.t, &b, NULL));
        assert_true(a == b);
    }
    assert_same_state(&whole, &part);
    CHECK_OK(ar_trainer_evaluate(whole.t, &after));
    assert_true(after.loss < before.loss - 0.2 && after.accuracy > before.accuracy);
    assert_int_equal(ar_trainer_resume(part.t, whole.c.steps + 1), AR_ERR_ARG);
    run_close(&whole);
    run_close(&part);
}

static void resuming_gives_the_same_bits(void **state) { (void)state, check_each_device(resume_case, NULL); }

/* ---- memory, refusals ---- */

/* Whether a step fits `bytes` of memory, and takes less than usual there. */
static bool takes_less(const char *select, uint64_t bytes, double *loss) {
    ar_device *device = NULL;
    ar_open_model *m = NULL;
    ar_net *net = NULL;
    ar_trainer *t = NULL;
    run r = {0};
    cJSON *root = open_golden();
    read_case(&r.c, &r.desc, root, cJSON_GetArrayItem(cJSON_GetObjectItem(root, "cases"), 0));
    cJSON_Delete(root);
    r.data = data_of(&r.c);
    CHECK_OK(ar_device_open(&device, &(ar_device_desc){.select = select, .memory_budget = bytes}));
    CHECK_OK(ar_model_open(&m, "tests/golden/families/llama"));
    ar_status status = ar_net_lm_create(&net, &m->model, device, &(ar_lm_desc){.T = r.c.T});
    if (status == AR_OK) status = ar_trainer_create(&t, net, &r.data, &r.desc, device);
    if (status != AR_OK) assert_int_equal(status, AR_ERR_DEVICE_MEMORY);
    bool less = status == AR_OK && (r.desc.recompute || r.desc.accumulate > 1);
    if (less) CHECK_OK(ar_trainer_step(t, loss, NULL));
    ar_trainer_destroy(t);
    ar_net_destroy(net);
    ar_model_close(m);
    ar_device_close(device);
    free(r.c.ids);
    return less;
}

static void little_memory_case(ar_device *device, void *ctx) {
    ar_memory_stats stats;
    run r = {0};
    double loss = 0, usual = 0;
    bool found = false;
    (void)ctx;
    run_open(&r, device);
    ar_device_memory(device, &stats);
    usual = r.c.losses[0];
    run_close(&r);
    char select[24];
    snprintf(select, sizeof select, "%s", check_name(device));
    for (uint64_t bytes = stats.high_water; !found && bytes > 1 << 16; bytes = bytes * 3 / 4)
        found = takes_less(select, bytes, &loss);
    assert_true(found);
    assert_true(fabs(loss - usual) < 1e-3);
}

static void a_step_that_does_not_fit_is_recomputed_or_cut(void **state) {
    (void)state, check_each_device(little_memory_case, NULL);
}

static void refusals_case(ar_device *device, void *ctx) {
    run r = {0};
    ar_net *net = NULL;
    ar_trainer *t = NULL;
    (void)ctx;
    run_open(&r, device);
    assert_int_equal(ar_net_lm_create(&net, &r.m->model, device, &(ar_lm_desc){.T = 41}), AR_ERR_ARG);
    ar_train_desc odd = r.desc, none = r.desc;
    odd.accumulate = 3;
    none.steps = 0;
    assert_int_equal(ar_trainer_create(&t, r.net, &r.data, &odd, device), AR_ERR_ARG);
    assert_int_equal(ar_trainer_create(&t, r.net, &r.data, &none, device), AR_ERR_ARG);
    run_close(&r);
}

static void what_makes_no_sense_is_refused(void **state) {
    (void)state, check_each_device(refusals_case, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_follow_pytorch),
        cmocka_unit_test(resuming_gives_the_same_bits),
        cmocka_unit_test(a_step_that_does_not_fit_is_recomputed_or_cut),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
