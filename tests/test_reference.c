/* The demo model against figures of an implementation in PyTorch (tests/golden/make_reference.py), and the
 * two story models of the larger material against published ones: perplexity of the lines protocol, logits,
 * greedy ids, the first loss of a tuning run. Every device. ctest-labels: device */
#include "oracle.h"

typedef struct figures {
    const char *folder, *text;
    int32_t documents; /* of the text; 0 = all */
    bool committed;    /* paths in this repository; else in the larger material */
    double ppl_lines;
    int64_t tokens;
    struct {
        int32_t id;
        double logit;
    } top[5];
    double logit_sum;
    int32_t greedy[41];
} figures;

#define STORIES "text/tinystories/tinystories_v2_sample.txt"
static const figures demo = {
    "examples/demo-model",
    "examples/demo-heldout.txt",
    100,
    true,
    60.24345,
    1353,
    {{1023, 10.30797}, {421, 8.98868}, {532, 8.68524}, {496, 8.66210}, {585, 8.56489}},
    -2625.97855,
    {1,  1023, 465, 693, 949, 968, 13, 979, 466, 261, 271, 343, 720, 964, 299, 294, 385, 323, 307, 366, 966,
     13, 13,   465, 693, 949, 968, 13, 979, 466, 261, 271, 343, 720, 964, 294, 385, 323, 307, 366, 966}};
static const figures stories[] = {
    {"stories260K-hf",
     STORIES,
     0,
     false,
     3.54820,
     1804,
     {{403, 17.02352}, {385, 15.40621}, {410, 13.10826}, {317, 12.76917}, {407, 12.41809}},
     -1070.17249,
     {1,   403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338, 401, 396, 267, 337,
      410, 408, 419, 292, 411, 322, 265, 282, 295, 433, 426, 385, 328, 432, 358, 394, 261, 370, 432, 352}},
    {"tinystories-656K-hf",
     STORIES,
     0,
     false,
     20.40896,
     853,
     {{147, 14.78167}, {429, 12.95511}, {1166, 10.13018}, {299, 9.90539}, {875, 9.80351}},
     -1289.53687,
     {1,   147, 201,  282,  215, 286,  598, 1662, 356,  499, 826, 1363, 1145, 1652,
      615, 242, 1482, 951,  628, 499,  826, 872,  921,  318, 385, 628,  499,  826,
      617, 242, 198,  1047, 425, 1939, 122, 1924, 1171, 94,  303, 328,  229}},
};

static ar_open_model *open_model(const figures *f) {
    ar_open_model *m = NULL;
    CHECK_OK(ar_model_open(&m, f->committed ? f->folder : shared_data(f->folder)));
    return m;
}

static void lines(ar_device *device, void *ctx) {
    const figures *f = ctx;
    ar_open_model *m = open_model(f);
    ar_file text = {0};
    ar_eval_result r;
    CHECK_OK(ar_file_open(&text, f->committed ? f->text : shared_data(f->text)));
    CHECK_OK(ar_eval_text(&r, m, NULL, device, (const char *)text.data, (size_t)text.bytes,
                          &(ar_eval_desc){.protocol = AR_PROTOCOL_LINES, .max_windows = f->documents}, NULL));
    print_message("%s %s: lines ppl %.5f, expected %.5f\n", check_name(device), f->folder, r.ppl,
                  f->ppl_lines);
    assert_int_equal(r.tokens, f->tokens);
    assert_true(fabs(r.ppl / f->ppl_lines - 1) < 1e-4);
    ar_file_close(&text);
    ar_model_close(m);
}

static void logits(ar_device *device, void *ctx) {
    const figures *f = ctx;
    ar_open_model *m = open_model(f);
    const int32_t bos = 1;
    float *x = malloc((size_t)m->model.vocab * sizeof *x);
    double sum = 0;
    assert_non_null(x);
    CHECK_OK(ar_model_logits(x, m, device, &bos, 1, 1));
    for (int i = 0; i < 5; i++) assert_true(fabs((double)x[f->top[i].id] - f->top[i].logit) < 1e-3);
    for (int64_t v = 0; v < m->model.vocab; v++) sum += (double)x[v];
    assert_true(fabs(sum - f->logit_sum) < 1e-3 * (double)m->model.vocab);
    free(x);
    ar_model_close(m);
}

static void greedy(ar_device *device, void *ctx) {
    const figures *f = ctx;
    ar_open_model *m = open_model(f);
    ar_session *s = NULL;
    int32_t ids[41] = {1};
    float *x = malloc((size_t)m->model.vocab * sizeof *x);
    ar_sampling sampling = {.greedy = true};
    assert_non_null(x);
    CHECK_OK(ar_session_create(&s, m, device, 64));
    for (int n = 1; n < 41; n++) {
        CHECK_OK(ar_session_logits(s, x, ids, n));
        ids[n] = ar_sample(x, m->model.vocab, &sampling, (uint64_t)n);
    }
    assert_memory_equal(ids, f->greedy, sizeof ids);
    ar_session_destroy(s);
    free(x);
    ar_model_close(m);
}

/* ---- the first step of a tuning run, given the same batch ---- */

static const oracle_model demo_windows = {
    "examples/demo-model", "examples/demo-heldout.txt", NULL, 16, 32, 4, ORACLE_ITERS, true};
static const oracle_run demo_runs[ORACLE_QUICK] = {
    {"examples/demo-model", "W4g32s", 42, {0.00969405162, 0}},
    {"examples/demo-model", "W3g32", 42, {0.0397580829, 0}},
    {"examples/demo-model", "W2g32", 42, {0.217726114, 0}},
    {"examples/demo-model", "W2g128", 42, {0.332376896, 0}},
};

static void first_steps(ar_device *device, const oracle_model *of, const oracle_run *runs) {
    oracle_story s;
    oracle_open(&s, of);
    for (int i = 0; i < ORACLE_QUICK; i++) oracle_first_loss(device, &s, &runs[i]);
    oracle_close(&s);
}
static void first_step(ar_device *device, void *ctx) {
    (void)ctx;
    first_steps(device, &demo_windows, demo_runs);
}
static void first_step_of_a_story(ar_device *device, void *ctx) {
    (void)ctx;
    first_steps(device, &oracle_stories[0], oracle_runs);
}

/* ---- cases ---- */

static void on_demo(check_case run) { check_each_device(run, (void *)(uintptr_t)&demo); }
static void on_both_stories(check_case run) {
    if (!shared_data(stories[0].folder)) skip();
    for (int i = 0; i < 2; i++) check_each_device(run, (void *)(uintptr_t)&stories[i]);
}
static void lines_perplexity_equals_the_reference(void **state) {
    (void)state;
    on_demo(lines);
}
static void logits_equal_the_reference(void **state) {
    (void)state;
    on_demo(logits);
}
static void greedy_ids_equal_the_reference(void **state) {
    (void)state;
    on_demo(greedy);
}
static void the_first_loss_equals_the_reference(void **state) {
    (void)state;
    check_each_device(first_step, NULL);
}
static void lines_perplexity_equals_the_published(void **state) {
    (void)state;
    on_both_stories(lines);
}
static void logits_equal_the_published(void **state) {
    (void)state;
    on_both_stories(logits);
}
static void greedy_ids_equal_the_published(void **state) {
    (void)state;
    on_both_stories(greedy);
}
static void the_first_loss_equals_the_oracles(void **state) {
    (void)state;
    if (!shared_data(oracle_stories[0].name)) skip();
    check_each_device(first_step_of_a_story, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_perplexity_equals_the_reference),
        cmocka_unit_test(logits_equal_the_reference),
        cmocka_unit_test(greedy_ids_equal_the_reference),
        cmocka_unit_test(the_first_loss_equals_the_reference),
        cmocka_unit_test(lines_perplexity_equals_the_published),
        cmocka_unit_test(logits_equal_the_published),
        cmocka_unit_test(greedy_ids_equal_the_published),
        cmocka_unit_test(the_first_loss_equals_the_oracles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
