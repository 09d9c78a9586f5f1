/* From formats, type, bits, group and symmetry to one plan: what agrees, and what is refused by name.
 */
#include "temp_files.h"

typedef struct plan_case {
    ar_output_request request;
    ar_scheme scheme;
    const char *type;
    int32_t formats;
} plan_case;

static const plan_case plans[] = {
    {{"auto_round", NULL, 0, 0, -1, false}, {4, 128, AR_ZERO_SYM, 0, AR_SUPER_NONE}, "", 1},
    {{"gptq", NULL, 3, -1, 1, false}, {3, -1, AR_ZERO_SYM, 0, AR_SUPER_NONE}, "", 1},
    {{"gptq", NULL, 2, 64, 0, false}, {2, 64, AR_ZERO_INT, 1, AR_SUPER_NONE}, "", 1},
    {{"gptq", NULL, 8, 16, 0, false}, {8, 16, AR_ZERO_INT, 1, AR_SUPER_NONE}, "", 1},
    {{"auto_round", NULL, 4, 48, 0, false}, {4, 48, AR_ZERO_INT, 0, AR_SUPER_NONE}, "", 1},
    {{"auto_round,gptq", NULL, 4, 32, 0, false}, {4, 32, AR_ZERO_INT, 1, AR_SUPER_NONE}, "", 2},
    {{"gptq,auto_round,fake", NULL, 4, 32, 0, false}, {4, 32, AR_ZERO_INT, 1, AR_SUPER_NONE}, "", 3},
    {{"gptq_v2", NULL, 3, 32, 0, false}, {3, 32, AR_ZERO_INT, 0, AR_SUPER_NONE}, "", 1},
    {{"gptq_v2,gptq", NULL, 3, 32, 0, false}, {3, 32, AR_ZERO_INT, 1, AR_SUPER_NONE}, "", 2},
    {{"awq", NULL, 0, 0, 0, false}, {4, 128, AR_ZERO_INT, 0, AR_SUPER_NONE}, "", 1},
    {{"auto_round_awq", NULL, 0, -1, -1, false}, {4, -1, AR_ZERO_SYM, 0, AR_SUPER_NONE}, "", 1},
    {{"compressed_tensors", NULL, 8, 64, 0, false}, {8, 64, AR_ZERO_INT, 0, AR_SUPER_NONE}, "", 1},
    {{"awq,compressed_tensors", NULL, 0, 64, 0, false}, {4, 64, AR_ZERO_INT, 0, AR_SUPER_NONE}, "", 2},
    {{"compressed_tensors,gptq", NULL, 8, 32, 0, false}, {8, 32, AR_ZERO_INT, 1, AR_SUPER_NONE}, "", 2},
    {{"auto_round,auto_round_awq,gptq,gptq_v2,awq,compressed_tensors,fake,gguf", NULL, 0, 0, -1, false},
     {4, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE},
     "q4_0",
     8},
    {{"fake", NULL, 5, 10, 0, false}, {5, 10, AR_ZERO_INT, 0, AR_SUPER_NONE}, "", 1},
    {{"fake", NULL, 7, 1, 1, false}, {7, 1, AR_ZERO_SYM, 0, AR_SUPER_NONE}, "", 1},
    {{"gguf", NULL, 0, 0, -1, false}, {4, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE}, "q4_0", 1},
    {{"gguf", NULL, 0, 0, 0, false}, {4, 32, AR_ZERO_F16MIN, 0, AR_SUPER_NONE}, "q4_1", 1},
    {{"gguf", NULL, 8, 32, -1, false}, {8, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE}, "q8_0", 1},
    {{"gguf", "q8_0", 0, 0, -1, false}, {8, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE}, "q8_0", 1},
    {{"gguf", NULL, 5, 0, -1, false}, {5, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE}, "q5_0", 1},
    {{"gguf", NULL, 5, 0, 0, false}, {5, 32, AR_ZERO_F16MIN, 0, AR_SUPER_NONE}, "q5_1", 1},
    {{"gguf", "q5_1", 3, 64, -1, true}, {3, 64, AR_ZERO_F16MIN, 0, AR_SUPER_NONE}, "q5_1", 1},
    {{"gguf", "q4_k_m", 0, 0, -1, false}, {4, 32, AR_ZERO_F16MIN, 0, AR_SUPER_Q4_K}, "q4_k_m", 1},
    {{"fake,gguf", "q3_k_l", 0, 0, -1, false}, {3, 16, AR_ZERO_SYM, 0, AR_SUPER_Q3_K}, "q3_k_l", 2},
    {{"gguf", "Q4_K_M", 0, 0, -1, false}, {4, 32, AR_ZERO_F16MIN, 0, AR_SUPER_Q4_K}, "q4_k_m", 1},
    {{"gguf", "BF16", 0, 0, -1, false}, {16, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE}, "bf16", 1},
    {{"gguf", "Q8_0", 0, 0, -1, false}, {8, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE}, "q8_0", 1},
    {{"gguf", "bf16", 0, 0, -1, false}, {16, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE}, "bf16", 1},
    {{"gguf", "q4_0", 3, 0, -1, true}, {3, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE}, "q4_0", 1},
    {{"gguf", "q4_0", 0, -1, -1, false}, {4, -1, AR_ZERO_SYM, 0, AR_SUPER_NONE}, "q4_0", 1},
    {{"gguf,gptq", NULL, 4, 128, -1, false}, {4, 128, AR_ZERO_SYM, 0, AR_SUPER_NONE}, "q4_0", 2},
    {{"gguf", "f16", 0, 0, -1, false}, {16, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE}, "f16", 1},
    {{"gguf,auto_round,gptq,fake", NULL, 0, 0, -1, false}, {4, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE}, "q4_0", 4},
    {{"gptq,gguf", "q8_0", 8, 32, 1, false}, {8, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE}, "q8_0", 2},
    {{"gptq,gguf", "q4_0", 2, 32, 1, true}, {2, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE}, "q4_0", 2},
    {{"fake,gguf", "q4_1", 0, 0, -1, false}, {4, 32, AR_ZERO_F16MIN, 0, AR_SUPER_NONE}, "q4_1", 2},
    {{"gguf,fake", "q4_1", 0, 0, -1, false}, {4, 32, AR_ZERO_F16MIN, 0, AR_SUPER_NONE}, "q4_1", 2},
};

static void plans_intersect_what_formats_store(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        const plan_case *c = &plans[i];
        ar_output_plan p;
        ar_status status = ar_output_plan_make(&p, &c->request);
        if (status != AR_OK) fail_msg("case %zu (%s): %s", i, c->request.formats, ar_error());
        assert_int_equal(p.scheme.bits, c->scheme.bits);
        assert_int_equal(p.scheme.group, c->scheme.group);
        assert_int_equal(p.scheme.zero, c->scheme.zero);
        assert_int_equal(p.scheme.zero_min, c->scheme.zero_min);
        assert_string_equal(p.type, c->type);
        assert_int_equal(p.format_count, c->formats);
        if (p.scheme.bits <= 8) assert_ok(ar_scheme_check(&p.scheme));
    }
}

typedef struct refusal {
    ar_output_request request;
    const char *first, *second; /* both are in the text */
} refusal;

static const refusal refusals[] = {
    {{"gptq", NULL, 5, 0, -1, false}, "gptq", "5 bits"},
    {{"auto_round", NULL, 7, 0, -1, false}, "auto_round", "7 bits"},
    {{"fake,gptq", NULL, 6, 0, -1, false}, "gptq", "6 bits"},
    {{"gptq", NULL, 9, 0, -1, false}, "bits", "found 9"},
    {{"gptq", NULL, -4, 0, -1, false}, "bits", "found -4"},
    {{"gptq", NULL, 1, 0, -1, false}, "bits", "found 1"},
    {{"gptq", NULL, 4, 8, -1, false}, "gptq", "groups of 8"},
    {{"auto_round", NULL, 4, 15, -1, false}, "auto_round", "groups of 15"},
    {{"gptq", NULL, 4, -2, -1, false}, "group", "found -2"},
    {{"awq1", NULL, 0, 0, -1, false}, "awq1", "compressed_tensors"},
    {{"awq", NULL, 8, 0, -1, false}, "awq", "8 bits"},
    {{"auto_round_awq", NULL, 3, 0, -1, false}, "auto_round_awq", "3 bits"},
    {{"awq,compressed_tensors", NULL, 8, 0, -1, false}, "format awq", "8 bits"},
    {{"compressed_tensors", NULL, 3, 0, -1, false}, "compressed_tensors", "3 bits"},
    {{"gptq_v2", NULL, 5, 0, -1, false}, "gptq_v2", "5 bits"},
    {{"awq", NULL, 4, 8, -1, false}, "awq", "groups of 8"},
    {{"gguf,awq", "q4_1", 0, 0, 0, false}, "gguf", "awq"},
    {{"GPTQ", NULL, 0, 0, -1, false}, "'GPTQ'", "gptq"},
    {{"gpt", NULL, 0, 0, -1, false}, "'gpt'", "gptq"},
    {{"", NULL, 0, 0, -1, false}, "format", "found nothing"},
    {{",gptq", NULL, 0, 0, -1, false}, "format", "found ''"},
    {{"gptq,,fake", NULL, 0, 0, -1, false}, "format", "found ''"},
    {{"gptq,gptq", NULL, 0, 0, -1, false}, "gptq", "twice"},
    {{"gptq,fake,gptq", NULL, 0, 0, -1, false}, "gptq", "twice"},
    {{"auto_round", "q4_0", 0, 0, -1, false}, "type q4_0", "auto_round"},
    {{"gptq", NULL, 3, 0, -1, true}, "widening", "gguf"},
    {{"gguf", "q7_k", 0, 0, -1, false}, "type", "q7_k"},
    {{"gguf", "q4_k_m", 4, 0, -1, false}, "q4_k_m", "no effect"},
    {{"gguf", "q6_k", 0, 32, -1, false}, "q6_k", "no effect"},
    {{"gguf", "q2_k", 0, 0, 0, false}, "q2_k", "no effect"},
    {{"gguf,gptq", "q4_k_m", 0, 0, -1, false}, "gptq", "q4_k_m"},
    {{"gguf", "q5_0", 4, 0, -1, false}, "q5_0", "widened"},
    {{"gguf", "bf16", 5, 0, -1, false}, "bf16", "no effect"},
    {{"gguf", NULL, 4, 48, -1, false}, "gguf", "groups of 48"},
    {{"gguf,fake", "q4_1", 0, 16, -1, false}, "gguf", "groups of 16"},
    {{"gguf", "q4_0", 3, 0, -1, false}, "q4_0", "found 3"},
    {{"gguf", NULL, 3, 0, -1, false}, "q4_0", "found 3"},
    {{"gguf", "q4_0", 8, 0, -1, true}, "q4_0", "found 8"},
    {{"gguf", "q4_0", 4, 0, -1, true}, "widening", "q4_0"},
    {{"gguf", NULL, 6, 0, 0, false}, "gguf", "6 bits, asymmetric"},
    {{"gguf", "q8_0", 0, 0, 0, false}, "q8_0", "found asymmetric"},
    {{"gguf", "q4_0", 0, 0, 0, false}, "q4_0", "found asymmetric"},
    {{"gguf", "q4_1", 0, 0, 1, false}, "q4_1", "found symmetric"},
    {{"gguf,gptq", "q4_1", 0, 0, 0, false}, "gguf", "gptq"},
    {{"auto_round,gguf", "q4_1", 0, 0, -1, false}, "auto_round", "gguf"},
    {{"gguf", "f16", 4, 0, -1, false}, "f16", "no effect"},
    {{"gguf", "f32", 0, 32, -1, false}, "f32", "no effect"},
    {{"gguf", "f16", 0, 0, 1, false}, "f16", "no effect"},
    {{"gguf,gptq", "f16", 0, 0, -1, false}, "gptq", "type f16"},
    {{"fake,gguf", "f32", 0, 0, -1, false}, "fake", "type f32"},
};

static void what_cannot_agree_is_named(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        ar_output_plan p;
        ar_status status = ar_output_plan_make(&p, &refusals[i].request);
        bool named = status != AR_OK && strstr(ar_error(), refusals[i].first) &&
                     strstr(ar_error(), refusals[i].second);
        assert_true(p.faults != 0 && p.faults < 1u << AR_REQUEST_FIELDS);
        if (status != AR_ERR_USAGE || !named)
            fail_msg("case %zu (%s): found %d \"%s\", expected %s and %s", i, refusals[i].request.formats,
                     (int)status, status ? ar_error() : "ok", refusals[i].first, refusals[i].second);
    }
}

static void what_is_at_fault_is_marked(void **state) {
    (void)state;
    enum {
        FORMATS = 1 << AR_REQUEST_FORMATS,
        TYPE = 1 << AR_REQUEST_TYPE,
        BITS = 1 << AR_REQUEST_BITS,
        GROUP = 1 << AR_REQUEST_GROUP,
        SYM = 1 << AR_REQUEST_SYM,
        WIDEN = 1 << AR_REQUEST_WIDEN
    };
    static const struct {
        ar_output_request request;
        uint32_t faults;
    } cases[] = {{{"gptq", NULL, 4, 32, 1, false}, 0},
                 {{"awq1", NULL, 0, 0, -1, false}, FORMATS},
                 {{"gptq", NULL, 9, 0, -1, false}, BITS},
                 {{"gptq", NULL, 5, 0, -1, false}, FORMATS | BITS},
                 {{"gptq", NULL, 4, -2, -1, false}, GROUP},
                 {{"gptq", NULL, 4, 8, -1, false}, FORMATS | GROUP},
                 {{"gguf", NULL, 4, 48, -1, false}, FORMATS | GROUP},
                 {{"gptq", "q4_0", 0, 0, -1, false}, FORMATS | TYPE},
                 {{"gguf", "q7_k", 0, 0, -1, false}, TYPE},
                 {{"gguf,gptq", "f16", 0, 0, -1, false}, FORMATS | TYPE},
                 {{"gguf", "q6_k", 0, 32, -1, false}, TYPE | GROUP},
                 {{"gguf", "q4_0", 3, 0, -1, false}, TYPE | BITS | WIDEN},
                 {{"gguf", "q4_0", 5, 0, -1, true}, TYPE | BITS},
                 {{"gguf", "q4_0", 0, 0, 0, false}, TYPE | SYM},
                 {{"gguf", NULL, 6, 0, 0, false}, BITS | SYM},
                 {{"gguf,gptq", "q4_1", 0, 0, 0, false}, FORMATS | SYM},
                 {{"gptq", NULL, 3, 0, -1, true}, WIDEN | FORMATS}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ar_output_plan p;
        ar_status status = ar_output_plan_make(&p, &cases[i].request);
        if (p.faults != cases[i].faults || (status == AR_OK) != (p.faults == 0))
            fail_msg("case %zu: found faults %#x, expected %#x", i, p.faults, cases[i].faults);
    }
}

static void the_table_of_formats_is_complete(void **state) {
    (void)state;
    int32_t count = 0;
    for (; ar_format_at(count); count++)
        assert_ptr_equal(ar_format_find(ar_format_at(count)->name), ar_format_at(count));
    assert_true(count >= 8);
    assert_null(ar_format_at(-1));
    assert_null(ar_format_find("none"));
}

static void plans_tell_which_linears_they_hold(void **state) {
    (void)state;
    static const struct {
        ar_output_request request;
        int64_t O, I;
        bool holds;
    } cases[] = {{{"gptq", NULL, 4, 32, 1, false}, 64, 96, true},
                 {{"gptq", NULL, 4, 32, 1, false}, 48, 96, false},
                 {{"gptq", NULL, 4, 32, 1, false}, 64, 100, false},
                 {{"gptq", NULL, 4, 128, 1, false}, 64, 96, true},
                 {{"gptq", NULL, 4, 128, 1, false}, 64, 192, false},
                 {{"gptq", NULL, 4, -1, 1, false}, 64, 96, true},
                 {{"gptq", NULL, 4, -1, 1, false}, 64, 172, false},
                 {{"auto_round", NULL, 4, 48, 1, false}, 64, 96, true},
                 {{"awq", NULL, 4, 32, 1, false}, 8, 96, true},
                 {{"awq", NULL, 4, 32, 1, false}, 12, 96, false},
                 {{"awq", NULL, 4, 64, 1, false}, 8, 96, false},
                 {{"awq", NULL, 4, 128, 1, false}, 64, 96, false},
                 {{"awq", NULL, 4, 48, 1, false}, 64, 96, true},
                 {{"awq", NULL, 4, 48, 1, false}, 64, 48, false},
                 {{"awq", NULL, 4, 1 << 30, 1, false}, 64, 96, false},
                 {{"auto_round_awq", NULL, 4, 32, 1, false}, 8, 96, false},
                 {{"compressed_tensors", NULL, 8, -1, 1, false}, 8, 96, true},
                 {{"compressed_tensors", NULL, 8, -1, 1, false}, 8, 100, false},
                 {{"compressed_tensors", NULL, 4, 128, 1, false}, 64, 96, false},
                 {{"awq,gptq", NULL, 4, 32, 1, false}, 8, 96, false},
                 {{"awq,compressed_tensors", NULL, 4, 96, 1, false}, 8, 192, true},
                 {{"fake", NULL, 4, 32, 1, false}, 1, 7, true},
                 {{"fake", NULL, 4, 32, 1, false}, 3, 100, true},
                 {{"fake,gptq", NULL, 4, 32, 1, false}, 3, 96, false},
                 {{"gguf", NULL, 4, 0, 1, false}, 3, 96, true},
                 {{"gguf", NULL, 4, 0, 1, false}, 3, 100, false},
                 {{"gguf,gptq", NULL, 4, 0, 1, false}, 3, 96, false},
                 {{"gguf", "f16", 0, 0, -1, false}, 64, 96, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ar_output_plan p;
        assert_ok(ar_output_plan_make(&p, &cases[i].request));
        if (ar_output_plan_holds(&p, cases[i].O, cases[i].I) != cases[i].holds) fail_msg("case %zu", i);
    }
}

/* Two blocks of a product `wide` inputs (SmolLM2's 576) and one of 1536. */
static ar_kept_float kept_of(const ar_output_request *request, int64_t wide, int64_t outputs) {
    ar_block blocks[2] = {{.index = 0, .linear_count = 2}, {.index = 1, .linear_count = 2}};
    ar_open_model m = {.model = {.block_count = 2, .blocks = blocks}};
    ar_output_plan p;
    ar_kept_float kept;
    for (int b = 0; b < 2; b++) {
        blocks[b].linears[0] = (ar_linear){"wide", outputs, wide, false};
        blocks[b].linears[1] = (ar_linear){"down", 64, 1536, false};
    }
    assert_ok(ar_output_plan_make(&p, request));
    ar_output_plan_kept(&kept, &p, &m);
    return kept;
}

static void what_stays_float_is_counted_and_the_group_that_fits_found(void **state) {
    (void)state;
    static const struct {
        ar_output_request request;
        int64_t wide, outputs;
        int32_t linears, group, then;
    } cases[] = {
        {{"auto_round", NULL, 0, 0, -1, false}, 576, 96, 2, 64, 0},
        {{"auto_round", NULL, 0, 2048, -1, false}, 576, 96, 0, 0, 0}, /* larger than a row: one group */
        {{"gptq", NULL, 2, 96, -1, false}, 256, 96, 2, 64, 0},
        {{"auto_round", NULL, 0, 64, -1, false}, 576, 96, 0, 0, 0},
        {{"auto_round,gguf", NULL, 0, 128, -1, false}, 576, 96, 2, 64, 0},
        {{"awq", NULL, 0, 0, -1, false}, 96, 96, 2, 32, 0},
        {{"awq", NULL, 0, 1024, -1, false}, 576, 12, 4, 512, 2},
        {{"auto_round", NULL, 0, 0, -1, false}, 100, 96, 2, 0, 0},
        {{"auto_round", NULL, 0, -1, -1, false}, 100, 96, 2, 0, 0},
        {{"gguf", "f16", 0, 0, -1, false}, 576, 96, 0, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ar_kept_float k = kept_of(&cases[i].request, cases[i].wide, cases[i].outputs);
        if (k.linears != cases[i].linears || k.group != cases[i].group || k.linears_then != cases[i].then)
            fail_msg("case %zu: found %d kept, group %d leaves %d", i, (int)k.linears, (int)k.group,
                     (int)k.linears_then);
    }
    ar_kept_float k = kept_of(&cases[0].request, 576, 96);
    assert_int_equal(k.linear_count, 4);
    assert_int_equal(k.weights, 2 * 96 * 576);
    assert_int_equal(k.weight_count, 2 * (96 * 576 + 64 * 1536));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_intersect_what_formats_store),
        cmocka_unit_test(what_cannot_agree_is_named),
        cmocka_unit_test(what_is_at_fault_is_marked),
        cmocka_unit_test(the_table_of_formats_is_complete),
        cmocka_unit_test(plans_tell_which_linears_they_hold),
        cmocka_unit_test(what_stays_float_is_counted_and_the_group_that_fits_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
