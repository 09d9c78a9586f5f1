/* host/fmt_gguf_writer.c and fmt_gguf_fields.c: what is written reads back bit for bit, and lies where
 * llama.cpp looks for it. Includes host's internal header to look at the container. */
#include "gguf_source.h"
#include "fmt_gguf.h"
#include <math.h>

static char *folder;
static int setup(void **state) {
    (void)state;
    folder = temp_folder();
    return 0;
}
static int teardown(void **state) {
    (void)state;
    temp_remove(folder);
    return 0;
}

typedef struct opened {
    ar_weights weights;
    ar_config config;
    ar_tokenizer *tokenizer;
} opened;

static void open_file(opened *o, const char *path) {
    assert_ok(ar_weights_open_gguf(&o->weights, &o->config, &o->tokenizer, path));
}

static void close_file(opened *o) {
    ar_weights_close(&o->weights);
    ar_tokenizer_close(o->tokenizer);
}

static void assert_same_config(const ar_config *a, const ar_config *b) {
    assert_string_equal(a->family, b->family);
    assert_int_equal(a->hidden, b->hidden);
    assert_int_equal(a->intermediate, b->intermediate);
    assert_int_equal(a->vocab, b->vocab);
    assert_int_equal(a->layers, b->layers);
    assert_int_equal(a->heads, b->heads);
    assert_int_equal(a->kv_heads, b->kv_heads);
    assert_int_equal(a->head_dim, b->head_dim);
    assert_int_equal(a->max_tokens, b->max_tokens);
    assert_int_equal(a->tied, b->tied);
    assert_true(a->rms_eps == b->rms_eps && a->rope_theta == b->rope_theta);
    assert_string_equal(a->rope_scaling.kind, b->rope_scaling.kind);
    assert_true(a->rope_scaling.factor == b->rope_scaling.factor &&
                a->rope_scaling.low_freq == b->rope_scaling.low_freq);
    assert_true(a->rope_scaling.high_freq == b->rope_scaling.high_freq);
    assert_int_equal(a->rope_scaling.original_tokens, b->rope_scaling.original_tokens);
}

static int64_t elements(const ar_weight *w) {
    int64_t n = 1;
    for (int d = 0; d < w->dim_count; d++) n *= w->dims[d];
    return n;
}

/* Every float tensor of the source, in Hugging Face's name and order, rounded to its stored type. */
static void assert_same_floats(const opened *o, const gguf_source *s) {
    const ar_weights *a = &s->model.weights, *b = &o->weights;
    assert_int_equal(a->vtable->count(a->impl), b->vtable->count(b->impl));
    for (int64_t i = 0; i < a->vtable->count(a->impl); i++) {
        const ar_weight *wa = a->vtable->at(a->impl, i);
        int64_t k = ar_weights_find(b, wa->name), n = elements(wa),
                rows = wa->dim_count > 1 ? wa->dims[0] : 1;
        assert_true(k >= 0);
        const ar_weight *wb = b->vtable->at(b->impl, k);
        assert_int_equal(wa->dim_count, wb->dim_count);
        assert_int_equal(wa->dims[0], wb->dims[0]);
        assert_ok(b->vtable->read(b->impl, NULL, k, 0, 0));
        if (wb->type[0] == 'Q') continue;
        float *va = malloc((size_t)n * 4), *vb = malloc((size_t)n * 4);
        assert_ok(a->vtable->read(a->impl, va, i, 0, rows));
        assert_ok(b->vtable->read(b->impl, vb, k, 0, rows));
        for (int64_t j = 0; j < n; j++) {
            float expected = strcmp(wb->type, "F16") == 0 ? ar_f16_to_f32(ar_f32_to_f16(va[j])) : va[j];
            if (vb[j] != expected)
                fail_msg("%s (%s) element %d: found %g, expected %g", wa->name, wb->type, (int)j,
                         (double)vb[j], (double)expected);
        }
        free(va);
        free(vb);
    }
}

static void check_round_trip(const gguf_shape *shape, ar_output_request request, bool extreme) {
    gguf_source s;
    opened o;
    const char *path = in_folder(folder, "m.gguf");
    gguf_write_folder(folder, shape);
    gguf_open_source(&s, folder, shape->tokenizer, request);
    s.extreme = extreme;
    assert_ok(ar__format_gguf.write(path, &s.write));
    assert_ok(ar__format_gguf.verify(path, &s.write));
    open_file(&o, path);
    assert_same_config(&o.config, &s.model.config);
    assert_same_floats(&o, &s);
    close_file(&o);
    gguf_close_source(&s);
}

static void every_type_round_trips(void **state) {
    (void)state;
    const char *types[] = {"q4_0", "q4_1", "q8_0", "f16", "f32"};
    for (int i = 0; i < 5; i++)
        check_round_trip(&gguf_small, (ar_output_request){.type = types[i], .sym = -1}, false);
}

static void groups_repeat_their_scale(void **state) {
    (void)state;
    const int groups[] = {64, 128, -1};
    const char *types[] = {"q4_0", "q4_1", "q8_0"};
    for (int g = 0; g < 3; g++)
        for (int i = 0; i < 3; i++)
            check_round_trip(&gguf_small,
                             (ar_output_request){.type = types[i], .sym = -1, .group = groups[g]}, false);
}

static void fewer_bits_widen(void **state) {
    (void)state;
    const struct {
        const char *type;
        int bits;
    } cases[] = {{"q4_0", 2}, {"q4_0", 3}, {"q4_1", 2}, {"q4_1", 3}, {"q8_0", 2}, {"q8_0", 5}, {"q8_0", 7}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_round_trip(
            &gguf_small,
            (ar_output_request){.type = cases[i].type, .bits = cases[i].bits, .widen = true, .sym = -1},
            i % 2);
}

static void negative_scales_and_lowest_codes_survive(void **state) {
    (void)state;
    check_round_trip(&gguf_small, (ar_output_request){.type = "q4_0", .sym = -1}, true);
    check_round_trip(&gguf_small, (ar_output_request){.type = "q8_0", .sym = -1}, true);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {T(every_type_round_trips), T(groups_repeat_their_scale),
                                       T(fewer_bits_widen), T(negative_scales_and_lowest_codes_survive)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
