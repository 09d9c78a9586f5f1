/* Which blocks windows tune and deliver, and walks of overlapping windows that were interrupted: what is
 * resumed is what would have been. ctest-labels: device */
#include "small_llama.h"
#include "op_check.h"
#include "ar_host.h"
#include "loss.h"
#include "random_model.h"
#include "trainable.h"

enum { T = 16, SAMPLES = 9, LINEARS = 7, LAYERS = 4, WINDOWS = 8 };

static const ar_config small = {SMALL_LLAMA,      .hidden = 32, .intermediate = 64,
                                .layers = LAYERS, .heads = 4,   .head_dim = 8};

/* ---- windows ---- */

/* first, count, ahead, done of each window of `blocks` blocks. */
static void expect(ar_window w, int32_t blocks, int32_t limit, const int32_t (*spans)[4], int32_t count) {
    ar_window_span s;
    for (int32_t i = 0; i < count; i++) {
        assert_true(ar_window_at(&s, &w, blocks, limit, i));
        const int32_t found[] = {s.first, s.count, s.ahead, s.done};
        assert_memory_equal(found, spans[i], sizeof found);
        assert_int_equal(s.is_tuned, limit == 0 || s.first < limit);
    }
    assert_false(ar_window_at(&s, &w, blocks, limit, count));
}
#define EXPECT(blocks, limit, K, S, A, ...)                                                                  \
    do {                                                                                                     \
        static const int32_t spans[][4] = {__VA_ARGS__};                                                     \
        expect((ar_window){K, S, A}, blocks, limit, spans, (int32_t)(sizeof spans / sizeof *spans));         \
    } while (0)

static void windows_grow_move_and_end_as_the_paper_has_them(void **state) {
    (void)state;
    EXPECT(3, 0, 1, 1, 0, {0, 1, 0, 1}, {1, 1, 0, 1}, {2, 1, 0, 1});
    EXPECT(3, 0, 0, 0, 0, {0, 1, 0, 1}, {1, 1, 0, 1}, {2, 1, 0, 1}); /* nothing said: the same */
    EXPECT(3, 0, 1, 1, 1, {0, 1, 1, 1}, {1, 1, 1, 1}, {2, 1, 0, 1});
    EXPECT(5, 0, 2, 2, 0, {0, 2, 0, 2}, {2, 2, 0, 2}, {4, 1, 0, 1});
    EXPECT(3, 0, 7, 7, 9, {0, 3, 0, 3});
    EXPECT(3, 0, 2, 1, 1, {0, 1, 1, 0}, {0, 2, 1, 1}, {1, 2, 0, 1}, {2, 1, 0, 1});
    EXPECT(5, 0, 3, 2, 0, {0, 2, 0, 0}, {0, 3, 0, 2}, {2, 3, 0, 2}, {4, 1, 0, 1});
    EXPECT(4, 2, 2, 2, 1, {0, 2, 1, 2}, {2, 1, 0, 1}, {3, 1, 0, 1}); /* the rest is rounded to nearest */
    EXPECT(3, 1, 3, 1, 2, {0, 1, 2, 1}, {1, 1, 0, 1}, {2, 1, 0, 1});
}

static void every_block_is_in_as_many_windows(void **state) {
    (void)state;
    for (int32_t K = 1; K < 5; K++)
        for (int32_t S = 1; S <= K; S++) {
            const ar_window w = {K, S, 0};
            int32_t visits[9] = {0};
            ar_window_span s;
            for (int32_t i = 0; ar_window_at(&s, &w, 9, 0, i); i++)
                for (int32_t b = s.first; b < s.first + s.count; b++) visits[b]++;
            for (int32_t b = 0; b < 9; b++)
                if (K % S == 0)
                    assert_int_equal(visits[b], ar_window_visits(&w));
                else
                    assert_in_range(visits[b], K / S, ar_window_visits(&w));
        }
}

/* ---- walks ---- */

typedef struct result {
    ar_qlinear *list[LINEARS];
} result;

/* A state as a sink keeps it. */
typedef struct store {
    result blocks[LAYERS], visits[WINDOWS][LAYERS];
    int32_t finished; /* blocks before this one are, as the walk is told */
    int32_t lost;     /* visits of this window are gone; -1 = none */
    int32_t tuned;    /* blocks delivered since */
    int32_t warned;
} store;

static ar_qlinear *copy_of(const ar_qlinear *q) {
    ar_qlinear *c = calloc(1, sizeof *c);
    CHECK_OK(ar_qlinear_init(c, &q->scheme, q->O, q->I));
    memcpy(c->codes, q->codes, (size_t)(q->O * q->I));
    if (q->scales) memcpy(c->scales, q->scales, (size_t)(q->O * q->groups) * 2);
    if (q->zeros) memcpy(c->zeros, q->zeros, (size_t)(q->O * q->groups));
    for (int32_t k = 0; k < q->extra_count; k++) {
        const ar_extra *e = &q->extras[k];
        CHECK_OK(ar_qlinear_add_extra(c, e->name, e->dtype, e->dim_count, e->dims, e->data));
    }
    return c;
}

static void drop(result *r) {
    for (int i = 0; i < LINEARS; i++) ar_qlinear_free(r->list[i]);
    memset(r, 0, sizeof *r);
}

static void drop_all(store *s) {
    for (int b = 0; b < LAYERS; b++) {
        drop(&s->blocks[b]);
        for (int w = 0; w < WINDOWS; w++) drop(&s->visits[w][b]);
    }
}

static void keep(result *r, ar_qlinear *const *linears) {
    drop(r);
    for (int i = 0; i < LINEARS; i++) r->list[i] = copy_of(linears[i]);
}

static ar_status keep_block(void *ctx, const ar_block *block, ar_qlinear *const *linears,
                            const ar_block_report *report) {
    store *s = ctx;
    assert_int_equal(report->block, block->index);
    for (int i = 0; i < LINEARS; i++) assert_int_equal(linears[i]->extra_count, 0);
    keep(&s->blocks[block->index], linears);
    s->tuned++;
    return AR_OK;
}

static bool is_finished(void *ctx, int32_t block) { return block < ((store *)ctx)->finished; }

static ar_status load_block(void *ctx, const ar_block *block, ar_qlinear **list) {
    for (int i = 0; i < LINEARS; i++) list[i] = copy_of(((store *)ctx)->blocks[block->index].list[i]);
    return AR_OK;
}

static ar_status keep_visit(void *ctx, int32_t window, const ar_block *block, ar_qlinear *const *linears) {
    keep(&((store *)ctx)->visits[window][block->index], linears);
    return AR_OK;
}

static ar_status load_visit(void *ctx, bool *found, int32_t window, const ar_block *block,
                            ar_qlinear **list) {
    store *s = ctx;
    const result *r = &s->visits[window][block->index];
    *found = window != s->lost && r->list[0];
    for (int i = 0; *found && i < LINEARS; i++) list[i] = copy_of(r->list[i]);
    return AR_OK;
}

static const ar__trainable *tuned_by;

static ar_status tune_unit(ar_block_report *report, float *history, const ar__tune_unit *unit,
                           ar_device *device, const ar__tune_desc *desc, const ar_observer *observer) {
    const ar__goal goal = {tuned_by, &ar__loss_block_mse};
    return ar__tune(report, history, unit, &goal, device, desc, observer);
}

static void count_warning(void *ctx, const char *line) {
    (void)line;
    ((store *)ctx)->warned++;
}

static void walk(store *s, ar_open_model *m, ar_device *device, const ar_window *window) {
    static int32_t ids[SAMPLES * T];
    uint64_t state = 99;
    for (int i = 0; i < SAMPLES * T; i++) ids[i] = (int32_t)(check_random(&state) % 50);
    const ar_samples samples = {ids, SAMPLES, T};
    const ar__tune_desc d = {.scheme = {2, 32, AR_ZERO_INT, 0, AR_SUPER_NONE},
                             .iters = 6,
                             .batch = 4,
                             .select = AR_SELECT_LAST,
                             .loss = AR_LOSS_SHIFT,
                             .taps = AR__TAP(importance),
                             .searches = true,
                             .seed = 42,
                             .window = *window};
    const ar_sink sink = {.block = keep_block,
                          .finished = is_finished,
                          .load = load_block,
                          .ctx = s,
                          .visited = keep_visit,
                          .revisit = load_visit};
    const ar_observer observer = {.warn = count_warning, .ctx = s};
    s->tuned = s->warned = 0;
    CHECK_OK(ar__walk_blocks(&m->model, device, &samples, &d, &sink, &observer, tune_unit));
}

static void copy_all(store *to, const store *from) {
    drop_all(to);
    *to = (store){.lost = -1};
    for (int b = 0; b < LAYERS; b++) {
        keep(&to->blocks[b], from->blocks[b].list);
        for (int w = 0; w < WINDOWS; w++)
            if (from->visits[w][b].list[0]) keep(&to->visits[w][b], from->visits[w][b].list);
    }
}

static bool same(const store *a, const store *b) {
    for (int k = 0; k < LAYERS; k++)
        for (int i = 0; i < LINEARS; i++) {
            const ar_qlinear *p = a->blocks[k].list[i], *q = b->blocks[k].list[i];
            if (memcmp(p->codes, q->codes, (size_t)(p->O * p->I)) ||
                memcmp(p->scales, q->scales, (size_t)(p->O * p->groups) * 2) ||
                memcmp(p->zeros, q->zeros, (size_t)(p->O * p->groups)))
                return false;
        }
    return true;
}

/* From every place where a kill may leave it, with and without what the windows left. */
static void interrupt(ar_device *device, ar_open_model *m, const ar_window *window) {
    store whole = {.lost = -1}, again = {.lost = -1};
    bool overlap = window->stride < window->blocks;
    walk(&whole, m, device, window);
    assert_int_equal(whole.tuned, LAYERS);
    for (int32_t finished = 0; finished <= LAYERS; finished++) {
        copy_all(&again, &whole);
        again.finished = finished;
        walk(&again, m, device, window);
        assert_true(same(&whole, &again));
        int32_t kept = finished == LAYERS ? LAYERS : finished / window->stride * window->stride;
        assert_int_equal(again.tuned, LAYERS - kept);
        assert_int_equal(again.warned, 0);
        if (!overlap || kept == 0 || kept == LAYERS) continue;
        int32_t index = 0;
        for (ar_window_span s; ar_window_at(&s, window, LAYERS, 0, index) && s.first + s.done <= kept;)
            index++;
        copy_all(&again, &whole);
        again.finished = finished;
        again.lost = index - 1;
        walk(&again, m, device, window);
        assert_true(same(&whole, &again));
        assert_int_equal(again.tuned, LAYERS - kept + window->stride);
        assert_int_equal(again.warned, 1);
    }
    drop_all(&whole);
    drop_all(&again);
}

static void resumed(ar_device *device, void *ctx) {
    static const ar_window windows[] = {{2, 1, 1}, {3, 2, 0}, {2, 2, 0}};
    ar_open_model *m;
    (void)ctx;
    CHECK_OK(ar_random_model_open(&m, &small, 5));
    for (int32_t k = 0; (tuned_by = ar__trainable_at(k)); k++)
        for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) interrupt(device, m, &windows[i]);
    ar_random_model_close(m);
}
static void an_interrupted_walk_of_windows_ends_as_a_whole_one(void **state) {
    (void)state;
    check_each_device(resumed, NULL);
}

/* A later window goes on: without what was left it would end elsewhere. */
static void goes_on(ar_device *device, void *ctx) {
    ar_open_model *m;
    (void)ctx;
    CHECK_OK(ar_random_model_open(&m, &small, 5));
    for (int32_t k = 0; (tuned_by = ar__trainable_at(k)); k++) {
        store grown = {.lost = -1}, alone = {.lost = -1};
        walk(&grown, m, device, &(ar_window){LAYERS, LAYERS - 1, 0});
        walk(&alone, m, device, &(ar_window){LAYERS, LAYERS, 0});
        assert_false(same(&grown, &alone));
        const ar_qlinear *left = grown.visits[0][0].list[0];
        assert_true(left->extra_count > 0);
        drop_all(&grown);
        drop_all(&alone);
    }
    ar_random_model_close(m);
}
static void a_later_window_goes_on_from_what_the_one_before_left(void **state) {
    (void)state;
    check_each_device(goes_on, NULL);
}

int main(int argc, char **argv) { /* test_overlap [NAME]: the tests of that name only */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_grow_move_and_end_as_the_paper_has_them),
        cmocka_unit_test(every_block_is_in_as_many_windows),
        cmocka_unit_test(an_interrupted_walk_of_windows_ends_as_a_whole_one),
        cmocka_unit_test(a_later_window_goes_on_from_what_the_one_before_left),
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
