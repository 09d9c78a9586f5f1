/* GGUF's block types against golden blocks, whose values an independent reader made (tests/golden), and codes
 * through blocks and back. No device. */
#include "temp_files.h"
#include "fmt_gguf.h"

typedef struct golden {
    const ar__gguf_type *type;
    const uint8_t *blocks, *values;
    int64_t count; /* elements */
} golden;

static ar_file file;

static int open_golden(void **state) {
    (void)state;
    return ar_file_open(&file, "tests/golden/gguf_blocks.bin") != AR_OK;
}

static int close_golden(void **state) {
    (void)state;
    ar_file_close(&file);
    return 0;
}

static const uint8_t *next_golden(golden *g, const uint8_t *p) {
    if (p == file.data + file.bytes) return NULL;
    uint32_t elems = ar__gguf_load32(p + 4), bytes = ar__gguf_load32(p + 8), count = ar__gguf_load32(p + 12);
    g->type = ar__gguf_type_of((int32_t)ar__gguf_load32(p));
    assert_non_null(g->type);
    assert_int_equal(g->type->elems, elems);
    assert_int_equal(g->type->bytes, bytes);
    g->blocks = p + 16;
    g->values = g->blocks + (size_t)count * bytes;
    g->count = (int64_t)count * elems;
    return g->values + 4 * g->count;
}

static void values_are_those_of_an_independent_reader(void **state) {
    (void)state;
    golden g;
    int types = 0;
    for (const uint8_t *p = file.data; (p = next_golden(&g, p)); types++) {
        float *got = calloc((size_t)g.count, sizeof *got);
        ar__gguf_decode(got, g.type, g.blocks, g.count);
        for (int64_t i = 0; i < g.count; i++) {
            float expected = ar__gguf_load_f32(g.values + 4 * i);
            if (memcmp(&got[i], &expected, 4) != 0 && (got[i] != 0.0f || expected != 0.0f))
                fail_msg("%s: element %d: found %.9g, expected %.9g", g.type->name, (int)i, (double)got[i],
                         (double)expected);
        }
        free(got);
    }
    assert_int_equal(types, 12);
}

static void codes_come_back_as_the_same_blocks_and_values(void **state) {
    (void)state;
    golden g;
    int types = 0;
    for (const uint8_t *p = file.data; (p = next_golden(&g, p));) {
        ar_scheme s;
        if (!ar__gguf_scheme(&s, g.type->qtype)) continue;
        ar_qlinear q;
        assert_ok(ar_qlinear_init(&q, &s, 2, g.count / 2));
        int64_t row_bytes = ar__gguf_row_bytes(g.type, q.I);
        uint8_t *made = malloc((size_t)row_bytes);
        float *values = calloc((size_t)g.count, sizeof *values);
        for (int64_t row = 0; row < 2; row++) {
            ar__gguf_decode_codes(&q, row, g.type, g.blocks + row * row_bytes);
            memset(made, 0xa5, (size_t)row_bytes);
            ar__gguf_encode_codes(made, g.type, &q, row);
            assert_memory_equal(made, g.blocks + row * row_bytes, (size_t)row_bytes);
        }
        ar_qlinear_dequant(values, &q);
        for (int64_t i = 0; i < g.count; i++) assert_true(values[i] == ar__gguf_load_f32(g.values + 4 * i));
        free(values);
        free(made);
        ar_qlinear_deinit(&q);
        types++;
    }
    assert_int_equal(types, 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_an_independent_reader),
        cmocka_unit_test(codes_come_back_as_the_same_blocks_and_values),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
