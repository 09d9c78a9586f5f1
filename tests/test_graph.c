/* Tensors and graphs on the null driver: memory planning, barriers, recording mistakes, failures injected
 * into every allocation and submission. Includes the backend's own headers to see the plan. */
#include "op_check.h"
#include "graph.h"

static ar_device *open_null(ar_fault fault) {
    ar_device *device = NULL;
    CHECK_OK(ar_device_open(&device, &(ar_device_desc){.select = "null", .fault = fault}));
    return device;
}

/* ---- memory ---- */

static bool alive_together(const ar_tensor *a, const ar_tensor *b) {
    return a->first >= 0 && b->first >= 0 && a->first <= b->last && b->first <= a->last;
}

static bool share_bytes(const ar_tensor *a, const ar_tensor *b) {
    return a->slice.buffer == b->slice.buffer && a->slice.offset < b->slice.offset + b->slice.bytes &&
           b->slice.offset < a->slice.offset + a->slice.bytes;
}

#define NODES 60

/* A random graph of copies: node i copies a random earlier one of its size (or a source). Returns what each
 * holds. */
static void record_copies(ar_graph *g, uint64_t *state, ar_tensor **sources, ar_tensor **nodes,
                          int32_t *from) {
    for (int32_t i = 0; i < NODES; i++) {
        int32_t source = (int32_t)(check_random(state) % 3);
        ar_tensor *parent = sources[source];
        from[i] = source;
        for (int32_t j = (int32_t)(check_random(state) % NODES); j < i; j++)
            if (from[j] == source) parent = nodes[j];
        int64_t count = ar_tensor_count(parent);
        CHECK_OK(ar_graph_temp(g, &nodes[i], AR_F32, 1, &count));
        CHECK_OK(ar_op_copy(g, nodes[i], parent));
        if (check_random(state) % 6 == 0) ar_graph_keep(g, nodes[i]);
    }
}

static void live_tensors_never_overlap(void **unused) {
    static const int64_t counts[3] = {5, 300, 1021};
    uint64_t state = check_seed();
    (void)unused;
    for (int round = 0; round < 40; round++) {
        ar_device *device = open_null((ar_fault){0});
        ar_tensor *sources[3], *nodes[NODES];
        float *data[3];
        int32_t from[NODES];
        ar_graph *g = NULL;
        for (int i = 0; i < 3; i++)
            sources[i] = check_tensor(device, AR_F32, counts[i], -1,
                                      data[i] = check_floats(counts[i], (uint64_t)i, -1, 1));
        CHECK_OK(ar_graph_create(&g, device));
        record_copies(g, &state, sources, nodes, from);
        CHECK_OK(ar_graph_build(g));
        uint64_t sum = 0;
        for (int i = 0; i < NODES; i++) {
            sum += nodes[i]->slice.bytes;
            for (int j = 0; j < i; j++)
                if (alive_together(nodes[i], nodes[j])) assert_false(share_bytes(nodes[i], nodes[j]));
        }
        ar_graph_stats stats;
        ar_graph_get_stats(g, &stats);
        assert_true(stats.temp_bytes < sum);
        for (int replay = 0; replay < 2; replay++) {
            CHECK_OK(ar_graph_run(g));
            for (int i = 0; i < NODES; i++) {
                if (!nodes[i]->keep) continue;
                float *got = check_read(nodes[i]);
                assert_memory_equal(got, data[from[i]], (size_t)counts[from[i]] * 4);
                free(got);
            }
        }
        ar_graph_destroy(g);
        for (int i = 0; i < 3; i++) {
            ar_tensor_destroy(sources[i]);
            free(data[i]);
        }
        ar_device_close(device);
    }
}

static void arenas_stay_below_the_buffer_limit(void **unused) {
    ar__placement items[50];
    uint64_t bytes[50], state = check_seed();
    int32_t arenas = 0;
    (void)unused;
    for (int i = 0; i < 50; i++) {
        int32_t first = (int32_t)(check_random(&state) % 40);
        items[i] =
            (ar__placement){.bytes = 1 + check_random(&state) % 4000, .first = first, .last = first + 20};
    }
    CHECK_OK(ar__place(items, 50, 256, 8192, bytes, &arenas));
    assert_true(arenas > 1);
    for (int i = 0; i < 50; i++) {
        assert_true(items[i].offset % 256 == 0 && items[i].offset + items[i].bytes <= bytes[items[i].arena]);
        assert_true(bytes[items[i].arena] <= 8192);
        for (int j = 0; j < i; j++) {
            bool apart = items[i].arena != items[j].arena || items[i].last < items[j].first ||
                         items[j].last < items[i].first;
            assert_true(apart || items[i].offset + items[i].bytes <= items[j].offset ||
                        items[j].offset + items[j].bytes <= items[i].offset);
        }
    }
    items[0].bytes = 9000;
    assert_int_equal(ar__place(items, 50, 256, 8192, bytes, &arenas), AR_ERR_DEVICE_MEMORY);
}

/* ---- barriers ---- */

static bool conflict(const ar__command *a, const ar__command *b) {
    for (int32_t i = 0; i < a->kernel->binding_count; i++)
        for (int32_t j = 0; j < b->kernel->binding_count; j++) {
            const ar__binding *x = &a->bind[i], *y = &b->bind[j];
            bool written = a->kernel->access[i] != AR_RO || b->kernel->access[j] != AR_RO;
            if (written && x->buffer == y->buffer && x->offset < y->offset + y->bytes &&
                y->offset < x->offset + x->bytes)
                return true;
        }
    return false;
}

static void barriers_stand_where_ranges_conflict_and_nowhere_else(void **unused) {
    enum { COUNT = 80 };
    static char buffers[3]; /* only their addresses count */
    ar__command commands[COUNT];
    uint64_t state = check_seed();
    (void)unused;
    for (int round = 0; round < 50; round++) {
        int32_t barriers = 0;
        memset(commands, 0, sizeof commands);
        for (int i = 0; i < COUNT; i++) {
            commands[i].kernel = &ar__kernels[check_random(&state) % 2 ? AR_K_copy : AR_K_add];
            for (int j = 0; j < commands[i].kernel->binding_count; j++)
                commands[i].bind[j] =
                    (ar__binding){(ar__buffer *)(void *)&buffers[check_random(&state) % 3],
                                  check_random(&state) % 20 * 256, 256 + check_random(&state) % 2 * 256};
        }
        CHECK_OK(ar__graph_barriers(commands, COUNT, &barriers));
        assert_true(commands[0].barrier);
        int32_t since = 0, counted = 0;
        for (int i = 0; i < COUNT; i++) {
            bool needed = i == 0;
            for (int j = since; j < i; j++) needed = needed || conflict(&commands[j], &commands[i]);
            assert_int_equal(commands[i].barrier, needed);
            if (needed) since = i, counted++;
        }
        assert_int_equal(barriers, counted);
    }
}

/* ---- mistakes ---- */

static void recording_mistakes_are_refused(void **unused) {
    ar_device *device = open_null((ar_fault){0});
    ar_graph *g = NULL;
    ar_tensor *temp = NULL, *y = NULL, *x = check_tensor(device, AR_F32, 4, -1, NULL);
    float value[4];
    int64_t four = 4, negative = -1;
    (void)unused;
    CHECK_OK(ar_graph_create(&g, device));
    assert_int_equal(ar_graph_run(g), AR_ERR_ARG);
    assert_int_equal(ar_graph_temp(g, &temp, AR_F32, 1, &negative), AR_ERR_ARG);
    assert_int_equal(ar_graph_temp(g, &temp, AR_F32, 0, &four), AR_ERR_ARG);
    CHECK_OK(ar_graph_temp(g, &temp, AR_F32, 1, &four));
    assert_int_equal(ar_op_copy(g, x, x), AR_ERR_ARG); /* a kernel's operands must not overlap */
    assert_int_equal(ar_graph_backward(g, x), AR_ERR_ARG);
    CHECK_OK(ar_op_mean(g, &y, x));
    assert_int_equal(ar_graph_backward(g, y), AR_ERR_ARG); /* x needs no gradient */
    CHECK_OK(ar_op_copy(g, x, temp));
    assert_int_equal(ar_graph_build(g), AR_ERR_ARG); /* nothing wrote temp */
    ar_graph_destroy(g);
    g = NULL;
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_mean(g, &y, x));
    CHECK_OK(ar_graph_build(g));
    assert_int_equal(ar_graph_build(g), AR_ERR_ARG);
    assert_int_equal(ar_op_mean(g, &temp, x), AR_ERR_ARG);
    assert_int_equal(ar_tensor_read(y, value, 0, 1), AR_ERR_ARG); /* not kept */
    assert_int_equal(ar_tensor_read(x, value, 1, 4), AR_ERR_ARG);
    assert_int_equal(ar_tensor_write(x, value, -1, 1), AR_ERR_ARG);
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    ar_device_close(device);
}

static void empty_graphs_and_tensors_run(void **unused) {
    ar_device *device = open_null((ar_fault){0});
    ar_graph *g = NULL;
    ar_tensor *y = NULL, *x = check_tensor(device, AR_F32, 0, 5, NULL);
    ar_graph_stats stats;
    float nothing = 0;
    (void)unused;
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_add(g, &y, x, x));
    ar_graph_keep(g, y);
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    ar_graph_get_stats(g, &stats);
    assert_int_equal(stats.dispatches, 0);
    CHECK_OK(ar_tensor_read(y, &nothing, 0, 0));
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    ar_device_close(device);
}

static void gradients_and_leaves_may_die_in_any_order(void **unused) {
    ar_device *device = open_null((ar_fault){0});
    (void)unused;
    for (int order = 0; order < 2; order++) {
        ar_graph *g[2] = {NULL, NULL};
        ar_tensor *y = NULL, *x = check_tensor(device, AR_F32, 4, -1, NULL);
        ar_tensor_set_needs_grad(x, true);
        for (int i = 0; i < 2; i++) {
            CHECK_OK(ar_graph_create(&g[i], device));
            CHECK_OK(ar_op_mean(g[i], &y, x));
            CHECK_OK(ar_graph_backward(g[i], y));
            assert_ptr_equal(ar_tensor_grad(x)->graph, g[i]);
        }
        if (order) ar_tensor_destroy(x);
        ar_graph_destroy(g[0]);
        if (!order) assert_ptr_equal(ar_tensor_grad(x)->graph, g[1]);
        ar_graph_destroy(g[1]);
        if (!order) assert_null(ar_tensor_grad(x));
        if (!order) ar_tensor_destroy(x);
    }
    ar_device_close(device);
}

/* ---- failures ---- */

/* A small training graph: forward, loss, backward, build, two runs. */
static ar_status train_a_little(ar_device *device) {
    ar_tensor *x = NULL, *W = NULL, *bias = NULL, *target = NULL, *y = NULL, *loss = NULL;
    ar_graph *g = NULL;
    ar_status status = AR_OK;
    AR_GO(ar_tensor_create(&x, device, AR_F32, 2, (int64_t[]){9, 20}));
    AR_GO(ar_tensor_create(&W, device, AR_F32, 2, (int64_t[]){5, 20}));
    AR_GO(ar_tensor_create(&bias, device, AR_F32, 1, (int64_t[]){5}));
    AR_GO(ar_tensor_create(&target, device, AR_F32, 2, (int64_t[]){9, 5}));
    ar_tensor_set_needs_grad(W, true);
    ar_tensor_set_needs_grad(bias, true);
    AR_GO(ar_graph_create(&g, device));
    AR_GO(ar_op_linear(g, &y, x, W, bias));
    AR_GO(ar_op_mse(g, &loss, y, target, NULL));
    AR_GO(ar_graph_backward(g, loss));
    ar_graph_keep(g, ar_tensor_grad(W));
    AR_GO(ar_graph_build(g));
    AR_GO(ar_graph_run(g));
    AR_GO(ar_graph_run(g));
    AR_GO(ar_device_wait(device));
done:
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    ar_tensor_destroy(W);
    ar_tensor_destroy(bias);
    ar_tensor_destroy(target);
    return status;
}

static void every_failing_allocation_is_a_clean_status(void **unused) {
    int32_t n = 1;
    (void)unused;
    for (;; n++) {
        ar_device *device = open_null((ar_fault){0});
        ar__alloc_fail_at(n);
        ar_status status = train_a_little(device);
        ar__alloc_fail_at(0);
        ar_device_close(device);
        if (status == AR_OK) break;
        assert_int_equal(status, AR_ERR_MEMORY);
    }
    assert_true(n > 30);
}

static void too_small_a_budget_is_a_clean_status(void **unused) {
    int32_t refused = 0;
    (void)unused;
    for (uint64_t budget = 256;; budget += 256) {
        ar_device *device = NULL;
        CHECK_OK(ar_device_open(&device, &(ar_device_desc){.select = "null", .memory_budget = budget}));
        ar_status status = train_a_little(device);
        ar_memory_stats stats;
        ar_device_memory(device, &stats);
        assert_true(stats.high_water <= budget && stats.current == 0);
        ar_device_close(device);
        if (status == AR_OK) break;
        assert_int_equal(status, AR_ERR_DEVICE_MEMORY);
        refused++;
    }
    assert_true(refused > 5);
}

static void a_refused_buffer_is_a_clean_status(void **unused) {
    ar_device *device = open_null((ar_fault){.fail_alloc_n = 2});
    ar_tensor *a = check_tensor(device, AR_F32, 5000, 5000, NULL), *b = NULL; /* too large to share a block */
    (void)unused;
    assert_int_equal(ar_tensor_create(&b, device, AR_F32, 1, (int64_t[]){25000000}), AR_ERR_DEVICE_MEMORY);
    assert_null(b);
    ar_tensor_destroy(a);
    ar_device_close(device);
}

static void a_lost_device_is_a_clean_status(void **unused) {
    (void)unused;
    for (int32_t n = 1; n <= 2; n++) {
        ar_device *device = open_null((ar_fault){.lose_device_submit_n = n});
        assert_int_equal(train_a_little(device), AR_ERR_DEVICE_LOST);
        ar_device_close(device);
    }
}

static void profile_names_every_dispatch(void **unused) {
    ar_device *device = open_null((ar_fault){0});
    ar_tensor *x = check_tensor(device, AR_F32, 4, 4, NULL), *y = NULL, *m = NULL;
    ar_graph *g = NULL;
    ar_launch launches[3];
    bool wall = false;
    (void)unused;
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_add(g, &y, x, x));
    CHECK_OK(ar_op_mean(g, &m, y));
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_profile(g, launches, &wall));
    assert_string_equal(launches[0].kernel, "add");
    assert_string_equal(launches[1].kernel, "sum_part");
    assert_string_equal(launches[2].kernel, "sum_final");
    assert_true(launches[0].flops == 16 && launches[0].bytes == 16 * 12);
    assert_true(wall);
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    ar_device_close(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live_tensors_never_overlap),
        cmocka_unit_test(arenas_stay_below_the_buffer_limit),
        cmocka_unit_test(barriers_stand_where_ranges_conflict_and_nowhere_else),
        cmocka_unit_test(recording_mistakes_are_refused),
        cmocka_unit_test(empty_graphs_and_tensors_run),
        cmocka_unit_test(gradients_and_leaves_may_die_in_any_order),
        cmocka_unit_test(every_failing_allocation_is_a_clean_status),
        cmocka_unit_test(too_small_a_budget_is_a_clean_status),
        cmocka_unit_test(a_refused_buffer_is_a_clean_status),
        cmocka_unit_test(a_lost_device_is_a_clean_status),
        cmocka_unit_test(profile_names_every_dispatch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
