/* Tensors above one binding's limit (128 MiB on software Vulkan): written, read, added and multiplied in
 * pieces. ctest-labels: device vulkan full */
#include "op_check.h"

#define ROWS    (1 << 20)
#define COLUMNS 75 /* x ROWS floats = 300 MiB */

/* Element i of the large tensor: exact in f32, different all over. */
static float element(int64_t i) { return (float)((i * 2654435761u >> 7) % 1021) - 510; }

static void large_tensor(ar_device *device, void *ctx) {
    int64_t count = (int64_t)ROWS * COLUMNS;
    float *data = malloc((size_t)count * 4), x[2 * COLUMNS];
    ar_tensor *W = NULL, *twice = NULL, *y = NULL, *X = NULL;
    ar_graph *g = NULL;
    (void)ctx;
    assert_non_null(data);
    for (int64_t i = 0; i < count; i++) data[i] = element(i);
    for (int i = 0; i < 2 * COLUMNS; i++) x[i] = (float)(i % 7) - 3;
    W = check_tensor(device, AR_F32, ROWS, COLUMNS, data);
    X = check_tensor(device, AR_F32, 2, COLUMNS, x);
    memset(data, 0, (size_t)count * 4);
    CHECK_OK(ar_tensor_read(W, data, 0, count));
    for (int64_t i = 0; i < count; i++) assert_true(data[i] == element(i));
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_add(g, &twice, W, W));
    CHECK_OK(ar_op_linear(g, &y, X, twice, NULL));
    ar_graph_keep(g, twice);
    ar_graph_keep(g, y);
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    CHECK_OK(ar_tensor_read(twice, data, 0, count));
    for (int64_t i = 0; i < count; i++) assert_true(data[i] == 2 * element(i));
    CHECK_OK(ar_tensor_read(y, data, 0, 2 * ROWS));
    for (int64_t i = 0; i < 2 * ROWS; i++) {
        const float *row = x + i / ROWS * COLUMNS;
        float want = 0; /* integers below 2^24: exact in any order */
        for (int k = 0; k < COLUMNS; k++) want += row[k] * 2 * element(i % ROWS * COLUMNS + k);
        assert_true(data[i] == want);
    }
    ar_graph_destroy(g);
    ar_tensor_destroy(W);
    ar_tensor_destroy(X);
    free(data);
}

static void tensors_above_a_binding_work_in_pieces(void **state) {
    (void)state;
    check_each_device(large_tensor, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(tensors_above_a_binding_work_in_pieces)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
