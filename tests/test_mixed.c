/* A scheme for every linear: 2, 3 and 4 bits and several groups in one folder, chosen linear by linear,
 * through the walk, the state, the writers and their readers, to the logits, generation and perplexity.
 * Includes host's headers for the state and the reader of quantization_config. `test_mixed FOLDER` writes
 * such folders there, for tests/interop/loaders.py.
 * ctest-labels: device */
#include "op_check.h"
#include "temp_files.h"
#include "packed_folder.h"
#include "fmt_packed.h"
#include "part.h"

#define MODEL "examples/demo-model"
#define T     48
#define V     1024 /* at most the demo model's vocabulary; checked */

typedef struct mixed {
    ar_open_model *model;
    ar_output_plan plan;
    ar_part part;
    ar_write_source src;
    int32_t bits[4]; /* of the linears of a block, in turn */
    bool regrouped;
} mixed;

/* Block 0's down_proj stays float. */
static bool choose(void *ctx, const ar_block *block, int32_t i, ar_scheme *scheme) {
    const mixed *x = ctx;
    static const int32_t groups[] = {32, 128, -1, 64};
    *scheme = x->plan.scheme;
    if (block->index == 0 && i == 6) return false;
    scheme->bits = x->bits[(block->index + i) % 4];
    if (x->regrouped) scheme->group = groups[i % 4];
    return true;
}

static ar_status keep_block(void *ctx, const ar_block *block, ar_qlinear *const *linears,
                            const ar_block_report *report) {
    return ar__part_write(&((mixed *)ctx)->part, block, linears, report);
}

static bool none_finished(void *ctx, int32_t block) {
    (void)ctx, (void)block;
    return false;
}

static ar_status kept_linear(void *ctx, ar_qlinear **q, int32_t block, int32_t i) {
    const mixed *x = ctx;
    return ar__part_linear(&x->part, &x->model->model.blocks[block], q, i);
}

/* Rounds the demo model for these formats; everything is then in the state below folder. */
static void mixed_make(mixed *x, ar_device *device, const char *folder, const char *formats, bool sym) {
    ar_part_manifest manifest = {0};
    ar__part_manifest_add(&manifest, "method", "rtn");
    assert_ok(ar_output_plan_make(
        &x->plan, &(ar_output_request){.formats = formats, .bits = 4, .group = 64, .sym = sym}));
    assert_ok(ar_model_open(&x->model, MODEL));
    assert_true(x->model->model.vocab >= V);
    assert_ok(ar__part_open(&x->part, in_folder(folder, "state"), &manifest, false, NULL));
    ar_quant_desc desc = {.scheme = x->plan.scheme, .choose = choose, .choose_ctx = x};
    ar_sink sink = {.block = keep_block, .finished = none_finished, .ctx = x};
    ar_quant_desc wrong = {.scheme = {.bits = 77, .group = 32}};
    assert_int_equal(ar_method_find("rtn")->run(&x->model->model, device, NULL, &wrong, &sink, NULL),
                     AR_ERR_ARG);
    assert_ok(ar_method_find("rtn")->run(&x->model->model, device, NULL, &desc, &sink, NULL));
    x->src = (ar_write_source){
        .model = x->model, .plan = &x->plan, .linear = kept_linear, .scheme = choose, .ctx = x};
}

static void mixed_free(mixed *x) {
    ar__part_close(&x->part);
    ar_model_close(x->model);
}

/* Writes and verifies one format, and opens what was written. */
static ar_open_model *mixed_write(const mixed *x, const char *folder, const char *format) {
    ar_open_model *back;
    char *out;
    assert_ok(ar_path_join(&out, folder, format));
    assert_ok(ar_format_find(format)->write(out, &x->src));
    assert_ok(ar_format_find(format)->verify(out, &x->src));
    assert_ok(ar_model_open(&back, out));
    free(out);
    return back;
}

/* Every linear of the model read back has the scheme that was chosen for it. */
static void check_schemes(const mixed *x, const ar_open_model *back) {
    int seen[9] = {0};
    for (int32_t b = 0; b < back->model.block_count; b++) {
        const ar_block *block = &back->model.blocks[b];
        for (int32_t i = 0; i < block->linear_count; i++) {
            ar_stored stored = {0};
            ar_scheme want;
            bool is_coded = choose((void *)(uintptr_t)x, block, i, &want);
            assert_ok(block->describe_linear(block, &stored, i));
            assert_int_equal(stored.desc.type == AR_QT_GROUP, is_coded);
            if (is_coded) {
                assert_int_equal(stored.codes->scheme.bits, want.bits);
                assert_int_equal(stored.codes->scheme.group, want.group);
                assert_int_equal(stored.codes->scheme.zero, want.zero);
                seen[want.bits]++;
            }
            ar_stored_deinit(&stored);
        }
    }
    for (int k = 0; k < 4; k++) assert_true(seen[x->bits[k]] > 0);
}

typedef struct figures {
    float logits[T * V], last[V];
    double ppl;
} figures;

/* Decoded to floats, as stored by a session, and the perplexity of some text as stored. */
static void compute(figures *f, ar_device *device, const ar_open_model *m) {
    static const char text[] =
        "To be found in any house where people have lived for long: a drawer that holds what nobody needs, "
        "and that nobody throws away. Keys to doors that are gone, a photograph of strangers, three coins.";
    int64_t vocab = m->model.vocab;
    float *logits = malloc((size_t)(T * vocab) * sizeof *logits);
    int32_t ids[T];
    ar_session *s;
    ar_eval_result r;
    for (int t = 0; t < T; t++) ids[t] = 3 + t * 7 % 100;
    assert_ok(ar_model_logits(logits, m, device, ids, T, T));
    for (int t = 0; t < T; t++) memcpy(f->logits + t * V, logits + t * vocab, V * sizeof *logits);
    assert_ok(ar_session_create(&s, m, device, T));
    assert_ok(ar_session_logits(s, logits, ids, T));
    memcpy(f->last, logits, V * sizeof *logits);
    ar_session_destroy(s);
    assert_ok(ar_eval_text(&r, m, NULL, device, text, sizeof text - 1, &(ar_eval_desc){.window = 16}, NULL));
    f->ppl = r.ppl;
    const ar_eval_desc wrong[] = {{.window = 16, .skip_windows = -1},
                                  {.window = 16, .max_windows = -1},
                                  {.window = -16},
                                  {.window = 16, .batch = -1},
                                  {.window = 16, .protocol = (ar_protocol)3}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(ar_eval_text(&r, m, NULL, device, text, sizeof text - 1, &wrong[i], NULL),
                         AR_ERR_ARG);
    free(logits);
}

static void check_near(const float *got, const float *want, double bound) {
    double off = 0, sum = 0;
    for (int i = 0; i < V; i++) {
        off += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        sum += (double)want[i] * want[i];
    }
    assert_true(off <= bound * bound * sum);
}

/* Each folder holds the very values of the plain one, and generates and evaluates with them as they are
 * stored. */
static void check_formats(ar_device *device, mixed *x, const char *const *formats, bool sym) {
    char *folder = temp_folder(), list[64];
    figures *plain = malloc(sizeof *plain), *got = malloc(sizeof *got);
    snprintf(list, sizeof list, "fake,%s%s%s", formats[0], formats[1] ? "," : "",
             formats[1] ? formats[1] : "");
    mixed_make(x, device, folder, list, sym);
    ar_open_model *back = mixed_write(x, folder, "fake");
    compute(plain, device, back);
    ar_model_close(back);
    for (int k = 0; k < 2 && formats[k]; k++) {
        back = mixed_write(x, folder, formats[k]);
        check_schemes(x, back);
        compute(got, device, back);
        /* the embedding and what stays float are fp16 in the packed folders, as they are in the model */
        assert_memory_equal(got->logits, plain->logits, sizeof got->logits);
        check_near(got->last, plain->logits + (T - 1) * V, 1e-3);
        assert_true(fabs(got->ppl - plain->ppl) <= 1e-4 * plain->ppl);
        ar_model_close(back);
    }
    mixed_free(x);
    free(plain);
    free(got);
    temp_remove(folder);
}

static void gptq_layout_case(ar_device *device, void *ctx) {
    static const char *const formats[] = {"auto_round", "gptq"};
    (void)ctx;
    for (int k = 0; k < 2; k++)
        check_formats(device, &(mixed){.bits = {2, 3, 4, 3}, .regrouped = k == 1}, formats, k == 1);
}

static void two_three_and_four_bits_share_a_folder(void **state) {
    (void)state, check_each_device(gptq_layout_case, NULL);
}

static void compressed_case(ar_device *device, void *ctx) {
    static const char *const formats[] = {"compressed_tensors", NULL};
    (void)ctx;
    check_formats(device, &(mixed){.bits = {4, 8, 8, 4}, .regrouped = true}, formats, true);
    check_formats(device, &(mixed){.bits = {4, 8, 8, 4}}, formats, false);
}

static void compressed_tensors_has_groups_of_linears(void **state) {
    (void)state, check_each_device(compressed_case, NULL);
}

static void config_names_each_linear(ar_device *device, void *ctx) {
    char *folder = temp_folder();
    mixed x = {.bits = {2, 3, 4, 3}};
    (void)ctx;
    mixed_make(&x, device, folder, "auto_round,gptq", true);
    ar_model_close(mixed_write(&x, folder, "auto_round"));
    ar_model_close(mixed_write(&x, folder, "gptq"));
    char *out;
    assert_ok(ar_path_join(&out, folder, "auto_round"));
    assert_true(file_holds(out, "config.json", "\"bits\":4,\"group_size\":64,\"sym\":true,\"quant_method\""));
    assert_true(
        file_holds(out, "config.json",
                   "\"extra_config\":{\"model.layers.0.self_attn.q_proj\":"
                   "{\"bits\":2,\"group_size\":64,\"sym\":true},\"model.layers.0.self_attn.k_proj\":"
                   "{\"bits\":3,\"group_size\":64,\"sym\":true},\"model.layers.0.self_attn.o_proj\":{"));
    assert_true(file_holds(out, "config.json",
                           "\"model.layers.0.mlp.down_proj\":{\"bits\":16,\"data_type\":\"float\"}"));
    free(out);
    assert_ok(ar_path_join(&out, folder, "gptq"));
    assert_true(file_holds(out, "config.json",
                           "\"dynamic\":{\"+:^model\\\\.layers\\\\.0\\\\.self_attn\\\\.q_proj$\":"
                           "{\"bits\":2,\"group_size\":64,\"sym\":true}"));
    assert_true(file_holds(out, "config.json", "\"-:^model\\\\.layers\\\\.0\\\\.mlp\\\\.down_proj$\":{}"));
    free(out);
    mixed_free(&x);
    temp_remove(folder);
}

static void quantization_config_names_each_linear(void **state) {
    (void)state, check_each_device(config_names_each_linear, NULL);
}

/* ---- what cannot be held ---- */

static bool holds(const char *formats, bool sym, ar_scheme scheme) {
    ar_output_plan plan;
    assert_ok(ar_output_plan_make(
        &plan, &(ar_output_request){.formats = formats, .bits = 4, .group = 64, .sym = sym}));
    return ar_output_plan_holds_scheme(&plan, &scheme, 256, 768);
}

static void plans_tell_which_schemes_they_hold(void **state) {
    (void)state;
    const ar_scheme four = {.bits = 4, .group = 64, .zero = AR_ZERO_SYM},
                    three = {.bits = 3, .group = 32, .zero = AR_ZERO_SYM},
                    five = {.bits = 5, .group = 64, .zero = AR_ZERO_SYM},
                    small = {.bits = 4, .group = 8, .zero = AR_ZERO_SYM},
                    odd = {.bits = 4, .group = 80, .zero = AR_ZERO_SYM},
                    zeros = {.bits = 3, .group = 64, .zero = AR_ZERO_INT},
                    from_one = {.bits = 3, .group = 64, .zero = AR_ZERO_INT, .zero_min = 1};
    const char *const mixing[] = {"auto_round", "gptq", "gptq_v2", "fake,gptq"},
                      *const uniform[] = {"awq", "auto_round_awq,auto_round", "gguf", "awq,gptq"};
    for (int i = 0; i < 4; i++) {
        assert_true(holds(mixing[i], true, four));
        assert_true(holds(mixing[i], true, three));
        assert_false(holds(mixing[i], true, five));
        assert_false(holds(mixing[i], true, small));
        assert_false(holds(mixing[i], true, odd));
        assert_false(holds(mixing[i], true, zeros));
        assert_true(holds(uniform[i], true, four));
        assert_false(holds(uniform[i], true, three));
    }
    assert_true(holds("fake", true, five));
    assert_true(holds("fake", true, odd));
    assert_true(holds("auto_round", false, zeros));
    assert_false(holds("gptq", false, zeros)); /* stores zp - 1 */
    assert_true(holds("gptq", false, from_one));
}

static void refusals_case(ar_device *device, void *ctx) {
    char *folder = temp_folder();
    mixed x = {.bits = {4, 4, 5, 4}};
    (void)ctx;
    mixed_make(&x, device, folder, "fake", true);
    assert_ok(ar_output_plan_make(&x.plan,
                                  &(ar_output_request){.formats = "gptq", .bits = 4, .group = 64, .sym = 1}));
    assert_error(ar_format_find("gptq")->write(in_folder(folder, "out"), &x.src), AR_ERR_UNSUPPORTED,
                 "model.layers.0.self_attn.v_proj: found 5 bits in groups of 64");
    x.src.scheme = NULL; /* the source then says that all are the plan's, which they are not */
    assert_error(ar_format_find("gptq")->write(in_folder(folder, "out"), &x.src), AR_ERR_CHECK, "expected");
    mixed_free(&x);
    temp_remove(folder);
}

static void what_a_folder_cannot_hold_is_named(void **state) {
    (void)state, check_each_device(refusals_case, NULL);
}

/* ---- for other programs ---- */

static const char *target;

static void write_case(ar_device *device, void *ctx) {
    static const char *const formats[] = {"fake", "auto_round", "gptq"};
    mixed x = {.bits = {2, 3, 4, 3}, .regrouped = true};
    (void)ctx;
    mixed_make(&x, device, target, "fake,auto_round,gptq", true);
    for (int k = 0; k < 3; k++) ar_model_close(mixed_write(&x, target, formats[k]));
    mixed_free(&x);
}

static void folders_are_written(void **state) { (void)state, check_each_device(write_case, NULL); }

int main(int argc, char **argv) {
    const struct CMUnitTest writing[] = {cmocka_unit_test(folders_are_written)};
    if (argc == 2) target = argv[1];
    if (target) return cmocka_run_group_tests(writing, NULL, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_three_and_four_bits_share_a_folder),
        cmocka_unit_test(compressed_tensors_has_groups_of_linears),
        cmocka_unit_test(quantization_config_names_each_linear),
        cmocka_unit_test(plans_tell_which_schemes_they_hold),
        cmocka_unit_test(what_a_folder_cannot_hold_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
