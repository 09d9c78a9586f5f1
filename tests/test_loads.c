/* The way `loads`: who reads arrays as texels, and that they read the same. On every device found.
 * ctest-labels: device vulkan */
#include "op_check.h"
#include "known_devices.h"

/* Of a driver that tells no version, the oldest is assumed. */
static void only_an_old_llvmpipe_reads_texels(void **state) {
    static const char *const versions[] = {"", "22.3.6 (LLVM 15.0.6)", "26.1.6 (LLVM 21.1.8)"};
    (void)state;
    for (size_t i = 0; i < KNOWN_COUNT; i++)
        for (int v = 0; v < 3; v++) {
            ar_device_facts f = known_devices[i]();
            ar_plan p;
            bool is_llvmpipe = strcmp(f.api, "vk") == 0 && strstr(f.name, "llvmpipe");
            snprintf(f.version, sizeof f.version, "%s", versions[v]);
            assert_int_equal(ar_plan_make(&p, &f), AR_OK);
            assert_int_equal(p.ways >> AR_W_loads & 1, is_llvmpipe && v < 2);
        }
}

#define SIZES 4
#define MOST  (256 * 80)

typedef struct outputs {
    float y[16][2][SIZES][MOST];
    int32_t device;
} outputs;

/* Views of several sizes, also such as llvmpipe would compile a kernel of its own for: see make_view. */
static void product(ar_device *device, float *out, const int64_t *s /* M, N, K */) {
    float *a = check_floats(s[0] * s[2], 1, -1, 1), *b = check_floats(s[1] * s[2], 2, -1, 1);
    ar_tensor *x = check_tensor(device, AR_F32, s[0], s[2], a),
              *w = check_tensor(device, AR_F32, s[1], s[2], b);
    ar_tensor *y = NULL;
    ar_graph *g = NULL;
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_linear(g, &y, x, w, NULL));
    ar_graph_keep(g, y);
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    CHECK_OK(ar_tensor_read(y, out, 0, s[0] * s[1]));
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    ar_tensor_destroy(w);
    free(a);
    free(b);
}

static void attention(ar_device *device, float *out, int32_t T) {
    float *a = check_floats(T * 64, 3, -1, 1), *b = check_floats(T * 32, 4, -1, 1);
    ar_tensor *q = check_tensor(device, AR_F32, T, 64, a), *k = check_tensor(device, AR_F32, T, 32, b);
    ar_tensor *v = check_tensor(device, AR_F32, T, 32, b), *y = NULL;
    ar_graph *g = NULL;
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_attention(g, &y, q, k, v, T, 32, 0, 0.0f));
    ar_graph_keep(g, y);
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    CHECK_OK(ar_tensor_read(y, out, 0, (int64_t)T * 64));
    ar_graph_destroy(g);
    ar_tensor_destroy(q);
    ar_tensor_destroy(k);
    ar_tensor_destroy(v);
    free(a);
    free(b);
}

static void run_each(ar_device *device, void *ctx) {
    static const int64_t sizes[SIZES - 1][3] = {{67, 33, 29}, {256, 64, 64}, {128, 80, 16}};
    outputs *o = ctx;
    int way = ar_device_get_plan(device)->ways >> AR_W_loads & 1;
    for (int i = 0; i < SIZES - 1; i++) product(device, o->y[o->device][way][i], sizes[i]);
    attention(device, o->y[o->device++][way][SIZES - 1], 48);
}

static void as_texels(ar_plan *plan) { plan->ways |= 1u << AR_W_loads; }
static void as_words(ar_plan *plan) { plan->ways &= ~(1u << AR_W_loads); }

static void texels_and_words_give_the_same_bits(void **state) {
    (void)state;
    outputs *o = calloc(1, sizeof *o);
    assert_non_null(o);
    check_each_plan(run_each, o, as_texels);
    o->device = 0;
    check_each_plan(run_each, o, as_words);
    for (int32_t i = 0; i < o->device; i++) assert_memory_equal(o->y[i][0], o->y[i][1], sizeof o->y[i][0]);
    free(o);
}

int main(void) {
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(only_an_old_llvmpipe_reads_texels),
        cmocka_unit_test(texels_and_words_give_the_same_bits),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
