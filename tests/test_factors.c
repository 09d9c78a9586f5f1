/* Corrections of small rank as tensors beside a folder's weights: what 8 bits are, what is read of what was
 * written, and what is refused. Sees host's internal headers. */
#include "factors.h"
#include "op_check.h"
#include "random_model.h"
#include "small_llama.h"
#include "temp_files.h"

enum { T = 24 };

static const ar_config config = {SMALL_LLAMA, .hidden = 64, .intermediate = 96,
                                 .layers = 2, .heads = 4,   .head_dim = 16};

/* Rank 5 on all linears but one, rounded. */
static ar_adapter *make_adapter(const ar_model *m, int32_t bits) {
    ar_adapter *a = NULL;
    CHECK_OK(ar__adapter_create(&a, m->block_count));
    for (int32_t b = 0; b < m->block_count; b++)
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++) {
            const ar_linear *lin = &m->blocks[b].linears[i];
            if (b == 1 && i == 2) continue;
            CHECK_OK(ar__adapter_add(a, &m->blocks[b], i, 5));
            ar__adapter_part *p = &a->parts[b][i];
            float *x = check_floats(5 * (lin->I + lin->O), (uint64_t)(100 * b + i), -1, 1);
            memcpy(p->down, x, (size_t)(5 * lin->I) * sizeof *x);
            memcpy(p->up, x + 5 * lin->I, (size_t)(5 * lin->O) * sizeof *x);
            free(x);
            CHECK_OK(ar__adapter_round(p, lin->O, lin->I, bits, "factors"));
        }
    return a;
}

/* By the equations, in double: a scale for each row of down and each column of up. */
static void eight_bits_are_a_scale_and_codes_a_vector(void **state) {
    (void)state;
    enum { O = 6, I = 9, M = 2 };
    float down[M * I], up[O * M], *x = check_floats(M * (I + O), 3, -1, 1);
    for (int64_t i = 0; i < M * I; i++) down[i] = x[i] * (i < I ? 1e-3f : 40);
    for (int64_t i = 0; i < O * M; i++) up[i] = x[M * I + i] * (i % M ? 1e-3f : 40);
    ar__adapter_part p = {M, memcpy(malloc(sizeof down), down, sizeof down),
                          memcpy(malloc(sizeof up), up, sizeof up)};
    CHECK_OK(ar__adapter_round(&p, O, I, 8, "factors"));
    for (int64_t k = 0; k < M; k++) {
        double most[2] = {0, 0};
        for (int64_t i = 0; i < I; i++) most[0] = fmax(most[0], fabs((double)down[k * I + i]));
        for (int64_t o = 0; o < O; o++) most[1] = fmax(most[1], fabs((double)up[o * M + k]));
        double s[2];
        for (int32_t n = 0; n < 2; n++)
            s[n] = fmax((double)ar_f16_to_f32(ar_f32_to_f16((float)(most[n] / 127))), ldexp(1, -14));
        for (int64_t i = 0; i < I; i++)
            assert_true((double)p.down[k * I + i] == rint((double)down[k * I + i] / s[0]) * s[0]);
        for (int64_t o = 0; o < O; o++)
            assert_true((double)p.up[o * M + k] == rint((double)up[o * M + k] / s[1]) * s[1]);
    }
    memcpy(down, p.down, sizeof down);
    CHECK_OK(ar__adapter_round(&p, O, I, 8, "factors"));
    assert_memory_equal(down, p.down, sizeof down);
    p.down[3] = 1e30f;
    assert_int_equal(ar__adapter_round(&p, O, I, 8, "factors"), AR_ERR_UNSUPPORTED);
    p.down[3] = 1e5f;
    assert_int_equal(ar__adapter_round(&p, O, I, 16, "factors"), AR_ERR_UNSUPPORTED);
    free(p.down);
    free(p.up);
    free(x);
}

/* What a rank leaves of a matrix, of its norm, grows by less than .005 by 8 bits. */
static void eight_bits_cost_little(void **state) {
    (void)state;
    enum { O = 64, I = 96, M = 8 };
    float *E = check_floats(O * I, 4, -1, 1);
    double left[2], all = 0;
    ar__adapter_part p = {M, malloc(M * I * sizeof(float)), malloc(O * M * sizeof(float))};
    for (int64_t i = 0; i < O * I; i++) all += (double)E[i] * (double)E[i];
    for (int32_t n = 0; n < 2; n++) {
        CHECK_OK(ar_low_rank(p.up, p.down, E, O, I, M));
        if (n) CHECK_OK(ar__adapter_round(&p, O, I, 8, "factors"));
        left[n] = 0;
        for (int64_t i = 0; i < O * I; i++) {
            double rest = (double)E[i];
            for (int64_t k = 0; k < M; k++)
                rest -= (double)p.up[i / I * M + k] * (double)p.down[k * I + i % I];
            left[n] += rest * rest;
        }
    }
    print_message("  leaves %.5f of the norm, %.5f in 8 bits\n", sqrt(left[0] / all), sqrt(left[1] / all));
    assert_true(sqrt(left[1] / all) - sqrt(left[0] / all) < 0.005);
    free(E);
    free(p.down);
    free(p.up);
}

static void factors_are_read_as_they_were_written(void **state) {
    (void)state;
    ar_open_model *m = NULL;
    char *folder = temp_folder();
    const char *path = in_folder(folder, "lorc.safetensors");
    CHECK_OK(ar_random_model_open(&m, &config, 5));
    for (int32_t bits = 8; bits <= 16; bits += 8) {
        ar_adapter *a = make_adapter(&m->model, bits), *back = NULL;
        CHECK_OK(ar__factors_write(path, a, &m->model, bits));
        CHECK_OK(ar_adapter_open(&back, path, m)); /* knows both kinds of files */
        assert_true(ar__adapter_equal(a, back, &m->model));
        assert_int_equal(ar__adapter_count(back), 13);
        ar_adapter_close(back);
        ar_adapter_close(a);
    }
    ar_random_model_close(m);
    temp_remove(folder);
}

/* A file of one linear's tensors, of the types and ranks given; NULL = it is not there. */
static void put_factors(const char *path, const char *a, const char *b, const char *scale, int64_t rank,
                        uint16_t fill) {
    static const char name[] = "model.layers.0.self_attn.q_proj";
    uint16_t data[64 * 8];
    ar_st_writer *w = NULL;
    const struct {
        const char *end, *type;
        int32_t count;
        int64_t dims[2];
    } rows[] = {{"lorc_a", a, 2, {rank, 64}},
                {"lorc_b", b, 2, {64, rank}},
                {"lorc_a_scale", scale, 1, {rank, 0}},
                {"lorc_b_scale", scale, 1, {rank, 0}}};
    for (size_t i = 0; i < sizeof data / sizeof *data; i++) data[i] = fill;
    CHECK_OK(ar_st_writer_create(&w));
    for (int32_t pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            char full[80];
            int64_t count = rows[i].dims[0] * (rows[i].count > 1 ? rows[i].dims[1] : 1);
            if (!rows[i].type) continue;
            size_t each = rows[i].type[1] == '8' ? 1 : 2;
            snprintf(full, sizeof full, "%s.%s", name, rows[i].end);
            if (pass == 0) CHECK_OK(ar_st_writer_declare(w, full, rows[i].type, rows[i].count, rows[i].dims));
            if (pass == 1) CHECK_OK(ar_st_writer_data(w, data, (size_t)count * each));
        }
        if (pass == 0) CHECK_OK(ar_st_writer_begin(w, path));
    }
    CHECK_OK(ar_st_writer_finish(&w));
}

static void damaged_and_foreign_factors_are_refused(void **state) {
    (void)state;
    enum { ONE = 0x3C00, INF = 0x7C00 };
    static const struct {
        const char *a, *b, *scale;
        int64_t rank;
        uint16_t fill;
        const char *says;
    } cases[] = {{"F16", NULL, NULL, 2, ONE, "q_proj.lorc_b: missing"},
                 {NULL, "F16", NULL, 2, ONE, "q_proj.lorc_a: missing"},
                 {"I8", "I8", NULL, 2, ONE, "q_proj.lorc_a_scale: missing"},
                 {"I8", "I8", "I16", 2, ONE, "lorc_a_scale: found I16 of 2, expected F16 of 2"},
                 {"U8", "I8", "F16", 2, ONE, "lorc_a: found dtype U8, expected F16 or I8"},
                 {"F16", "F16", NULL, 2, INF, "lorc_a: found a factor of inf, expected finite"},
                 {"I8", "I8", "F16", 2, INF, "lorc_a: found a factor of"},
                 {"F16", "F16", "F16", 2, ONE, "found 4 tensors, of which 2 are factors"}};
    ar_open_model *m = NULL;
    ar_adapter *back = NULL;
    char *folder = temp_folder();
    const char *path = in_folder(folder, "lorc.safetensors"), *cut = in_folder(folder, "cut");
    CHECK_OK(ar_random_model_open(&m, &config, 5));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_factors(path, cases[i].a, cases[i].b, cases[i].scale, cases[i].rank, cases[i].fill);
        assert_int_equal(ar_adapter_open(&back, path, m), AR_ERR_FORMAT);
        if (!strstr(ar_error(), cases[i].says)) fail_msg("%s", ar_error());
        assert_null(back);
    }
    put_factors(path, "F16", "F16", NULL, 2, ONE);
    CHECK_OK(ar_adapter_open(&back, path, m));
    ar_adapter_close(back);
    ar_file file;
    CHECK_OK(ar_file_open(&file, path));
    for (uint64_t n = 0; n < file.bytes; n += n < 400 ? 1 : 97) {
        put_file(cut, file.data, (size_t)n);
        assert_int_equal(ar_adapter_open(&back, cut, m), AR_ERR_FORMAT);
        assert_null(back);
    }
    ar_file_close(&file);
    ar_random_model_close(m);
    temp_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(eight_bits_are_a_scale_and_codes_a_vector),
                                       cmocka_unit_test(eight_bits_cost_little),
                                       cmocka_unit_test(factors_are_read_as_they_were_written),
                                       cmocka_unit_test(damaged_and_foreign_factors_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
