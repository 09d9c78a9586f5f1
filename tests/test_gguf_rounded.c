/* What the GGUF writer rounds itself, the embedding and the head: compared with the digests of what was
 * written or, without them, rounded again; its size and progress. */
#include "gguf_source.h"
#include "each_folder.h"
#include "fmt_gguf.h"
#include "formats.h"

static char path[4352]; /* the file written */
static int setup_path(void **state) {
    int failed = setup(state);
    snprintf(path, sizeof path, "%s/m.gguf", folder);
    return failed;
}

static const gguf_shape square = {256, 256, 1, 4, 4, 64, 40, false, false, NULL, NULL};

static uint8_t *file_copy(size_t *bytes) {
    ar_file f = {0};
    assert_ok(ar_file_open(&f, path));
    uint8_t *copy = malloc((size_t)f.bytes);
    memcpy(copy, f.data, (size_t)f.bytes);
    *bytes = (size_t)f.bytes;
    ar_file_close(&f);
    return copy;
}

/* Where a tensor's data begin in the file. */
static size_t offset_of(const uint8_t *data, size_t bytes, const char *name) {
    ar__gguf g = {0};
    size_t at = 0;
    assert_ok(ar__gguf_parse(&g, data, bytes, "copy"));
    for (int64_t i = 0; i < g.tensor_count; i++)
        if (g.tensors[i].name_bytes == strlen(name) && memcmp(g.tensors[i].name, name, strlen(name)) == 0)
            at = (size_t)(g.tensors[i].data - data);
    ar__gguf_deinit(&g);
    assert_true(at > 0);
    return at;
}

/* With digests as without, every byte of a block is looked at: none of them goes unread for the digests. */
static void every_changed_byte_of_rounded_blocks_is_found(void **state) {
    (void)state;
    static const char *const names[] = {"token_embd.weight", "output.weight"};
    static const struct {
        const char *type;
        size_t bytes; /* of a block */
    } types[] = {{"q4_0", 18}, {"q8_0", 34}, {"q6_k", 210}};
    gguf_write_folder(folder, &square);
    for (size_t k = 0; k < 2 * sizeof types / sizeof *types; k++) {
        gguf_source s;
        ar_write_memo memo = {0};
        gguf_open_source(&s, folder, NULL, (ar_output_request){.type = "q4_0", .sym = -1});
        assert_ok(ar_output_plan_parts(&s.plan, types[k / 2].type, types[k / 2].type));
        s.write.memo = &memo;
        assert_ok(ar__format_gguf.write(path, &s.write));
        assert_int_equal(memo.count, 80);
        if (k % 2) s.write.memo = NULL;
        assert_ok(ar__format_gguf.verify(path, &s.write));
        size_t bytes;
        uint8_t *copy = file_copy(&bytes);
        for (size_t n = 0; n < 2; n++) {
            size_t from = offset_of(copy, bytes, names[n]) + 39 * types[k / 2].bytes; /* some row's */
            for (size_t i = 0; i < types[k / 2].bytes; i += k % 2 ? 17 : 1) {
                copy[from + i] ^= 0x20;
                put_file(path, copy, bytes);
                assert_error(ar__format_gguf.verify(path, &s.write), AR_ERR_CHECK, names[n]);
                copy[from + i] ^= 0x20;
            }
        }
        free(copy);
        ar_write_memo_deinit(&memo);
        gguf_close_source(&s);
    }
}

/* A digest that is wrong is a difference, and digests of another file are not asked. */
static void digests_are_those_of_the_file(void **state) {
    (void)state;
    gguf_source s;
    ar_write_memo memo = {0};
    gguf_write_folder(folder, &square);
    gguf_open_source(&s, folder, NULL, (ar_output_request){.type = "q4_0", .sym = -1});
    s.write.memo = &memo;
    for (int again = 0; again < 2; again++) { /* a second file's replace the first's */
        assert_ok(ar__format_gguf.write(path, &s.write));
        assert_ok(ar__format_gguf.verify(path, &s.write));
    }
    memo.rows[79] ^= 1;
    assert_error(ar__format_gguf.verify(path, &s.write), AR_ERR_CHECK, "output.weight");
    memo.count--;
    assert_ok(ar__format_gguf.verify(path, &s.write));
    ar_write_memo_deinit(&memo);
    gguf_close_source(&s);
}

static void the_size_is_known_before(void **state) {
    (void)state;
    static const char *const types[] = {"q4_0",   "q4_1", "q5_0", "q8_0", "q2_k",
                                        "q4_k_m", "q6_k", "f16",  "f32"};
    static const gguf_shape shapes[] = {{256, 256, 2, 4, 4, 64, 40, true, true, NULL, NULL},
                                        {64, 96, 2, 4, 2, 16, 77, false, false, NULL, NULL},
                                        {256, 256, 1, 4, 4, 64, 40, false, false, NULL, NULL}};
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        gguf_write_folder(folder, &shapes[k]);
        for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
            gguf_source s;
            ar_output_size size;
            size_t bytes;
            gguf_open_source(&s, folder, NULL, (ar_output_request){.type = types[i], .sym = -1});
            assert_ok(ar__format_gguf.size(&size, &s.write));
            assert_ok(ar__format_gguf.write(path, &s.write));
            free(file_copy(&bytes));
            assert_int_equal(size.bytes, bytes);
            assert_true(size.values > 2 * shapes[k].vocab);
            int64_t matrices = (shapes[k].tied ? 1 : 2) * (int64_t)shapes[k].vocab * shapes[k].hidden;
            assert_int_equal(size.rounded, types[i][0] == 'f' ? 0 : matrices);
            gguf_close_source(&s);
        }
    }
}

typedef struct told {
    int32_t steps, last, stop_at;
} told;

static void tell(void *ctx, const ar_progress_event *e) {
    told *t = ctx;
    assert_string_equal(e->stage, "write");
    assert_int_equal(e->step_count, 100);
    assert_true(e->step > t->last && e->step <= 100);
    t->last = e->step;
    t->steps++;
}

static bool stop(void *ctx) {
    const told *t = ctx;
    return t->last >= t->stop_at;
}

static void writing_tells_how_far_it_is_and_stops_when_asked(void **state) {
    (void)state;
    gguf_source s;
    ar_output_size size;
    gguf_shape large = square;
    large.vocab = 9000; /* three chunks */
    gguf_write_folder(folder, &large);
    gguf_open_source(&s, folder, NULL, (ar_output_request){.type = "q4_0", .sym = -1});
    assert_ok(ar__format_gguf.size(&size, &s.write));
    for (int32_t stop_at = 1000; stop_at > 0; stop_at -= 990) {
        told t = {.stop_at = stop_at};
        ar_observer observer = {.progress = tell, .cancelled = stop, .ctx = &t};
        ar_write_memo memo = {0};
        ar_write_progress progress = {.observer = &observer,
                                      .total = 2.0 * (double)size.values +
                                               AR_ROUNDING_WORK * (double)size.rounded};
        s.write.progress = &progress;
        s.write.memo = &memo;
        if (stop_at <= 100) {
            assert_error(ar__format_gguf.write(path, &s.write), AR_ERR_INTERRUPTED, "while writing");
            assert_true(t.last < 60); /* within the first matrix */
        } else {
            assert_ok(ar__format_gguf.write(path, &s.write));
            assert_true(t.last > 80 && t.last < 100);
            assert_ok(ar__format_gguf.verify(path, &s.write));
            assert_int_equal(t.last, 100);
            assert_true(t.steps >= 8);
            assert_true(progress.done == progress.total);
        }
        ar_write_memo_deinit(&memo);
    }
    gguf_close_source(&s);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup_path, teardown)
    const struct CMUnitTest tests[] = {T(every_changed_byte_of_rounded_blocks_is_found),
                                       T(digests_are_those_of_the_file), T(the_size_is_known_before),
                                       T(writing_tells_how_far_it_is_and_stops_when_asked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
