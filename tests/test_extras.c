/* Tensors that a method delivers beside the codes: through the state folder, and refused by what cannot hold
 * them. */
#include "output.h"
#include "part.h"
#include "write_source.h"

static const source_shape shape = {.hidden = 64, .kv = 32, .inter = 96, .dtype = "F16"};
static const ar_output_request one = {"gptq", NULL, 4, 32, 1, false};

static const float factors[2][3] = {{1.5f, -2.0f, 0.25f}, {8.0f, 1e-30f, -0.0f}};
static const uint8_t ranks[1] = {2};

static void add_made_up(ar_qlinear *q) {
    assert_ok(ar_qlinear_add_extra(q, "made_up", AR_F32, 2, (const int64_t[]){2, 3}, factors));
    assert_ok(ar_qlinear_add_extra(q, "ranks", AR_U8, 1, (const int64_t[]){1}, ranks));
}

static void check_made_up(const ar_qlinear *q) {
    const ar_extra *e = ar_qlinear_extra(q, "made_up"), *r = ar_qlinear_extra(q, "ranks");
    assert_int_equal(q->extra_count, 2);
    assert_non_null(e);
    assert_non_null(r);
    assert_true(e->dtype == AR_F32 && e->dim_count == 2 && e->dims[0] == 2 && e->dims[1] == 3);
    assert_memory_equal(e->data, factors, sizeof factors);
    assert_true(r->dtype == AR_U8 && r->dim_count == 1 && r->dims[0] == 1);
    assert_memory_equal(r->data, ranks, sizeof ranks);
}

static void extras_have_new_names_and_whole_dimensions(void **state) {
    (void)state;
    ar_qlinear q;
    const int64_t two[] = {2, 2}, none[] = {0}, many[] = {65536, 65536};
    assert_ok(ar_qlinear_init(&q, &(ar_scheme){4, 32, AR_ZERO_SYM, 0, AR_SUPER_NONE}, 4, 64));
    assert_null(ar_qlinear_extra(&q, "made_up"));
    add_made_up(&q);
    check_made_up(&q);
    assert_error(ar_qlinear_add_extra(&q, "made_up", AR_F32, 1, two, NULL), AR_ERR_ARG, "made_up");
    assert_error(ar_qlinear_add_extra(&q, "", AR_F32, 1, two, NULL), AR_ERR_ARG, "name");
    assert_error(ar_qlinear_add_extra(&q, "a.b", AR_F32, 1, two, NULL), AR_ERR_ARG, "a.b");
    assert_error(ar_qlinear_add_extra(&q, "x", AR_F32, 5, two, NULL), AR_ERR_ARG, "5 dimensions");
    assert_error(ar_qlinear_add_extra(&q, "x", AR_DTYPE_COUNT, 1, two, NULL), AR_ERR_ARG, "known type");
    assert_error(ar_qlinear_add_extra(&q, "x", AR_F32, 1, none, NULL), AR_ERR_SHAPE, "dimension 0");
    assert_error(ar_qlinear_add_extra(&q, "x", AR_F32, 2, many, NULL), AR_ERR_SHAPE, "dimension 1");
    assert_ok(ar_qlinear_add_extra(&q, "zeros", AR_I16, 2, two, NULL));
    assert_memory_equal(ar_qlinear_extra(&q, "zeros")->data, ((const int16_t[4]){0}), 8);
    ar_qlinear_deinit(&q);
    assert_int_equal(q.extra_count, 0);
}

static ar_status extra_linear(void *ctx, ar_qlinear **q, int32_t block, int32_t i) {
    AR_TRY(source_linear(ctx, q, block, i));
    if (block == 1 && i == 6) add_made_up(*q);
    return AR_OK;
}

/* Block 1's last linear has extras, the others none. */
static void extras_come_back_from_the_state(void **state) {
    (void)state;
    char *folder = temp_folder(), model[4200], dir[4200];
    test_source t;
    ar_part part;
    ar_part_manifest manifest = {0};
    ar_qlinear *list[AR_MAX_LINEARS] = {0}, *back[AR_MAX_LINEARS] = {0}, *q = NULL;
    snprintf(model, sizeof model, "%s/model", folder);
    snprintf(dir, sizeof dir, "%s/out.part", folder);
    source_open(&t, model, &shape, &one);
    const ar_block *block = &t.blocks[1];
    for (int32_t i = 0; i < block->linear_count; i++) assert_ok(extra_linear(&t, &list[i], 1, i));
    assert_ok(ar__part_open(&part, dir, &manifest, false, NULL));
    assert_ok(ar__part_write(&part, block, list, &(ar_block_report){.block = 1}));
    assert_ok(ar__part_load(&part, block, back));
    assert_ok(ar__part_linear(&part, block, &q, 6));
    check_made_up(back[6]);
    check_made_up(q);
    for (int32_t i = 0; i < block->linear_count; i++) {
        assert_memory_equal(back[i]->codes, list[i]->codes, (size_t)(list[i]->O * list[i]->I));
        if (i != 6) assert_int_equal(back[i]->extra_count, 0);
        ar_qlinear_free(list[i]);
        ar_qlinear_free(back[i]);
    }
    ar_qlinear_free(q);
    ar__part_close(&part);
    source_close(&t);
    temp_remove(folder);
}

/* Today's formats hold none: before the work, and again where a file is written. */
static void what_a_format_cannot_hold_is_refused_by_name(void **state) {
    (void)state;
    static const char *const names[] = {"made_up", NULL}, *const nothing[] = {NULL};
    char *folder = temp_folder(), model[4200], out[4200], staging[4200];
    test_source t;
    snprintf(model, sizeof model, "%s/model", folder);
    snprintf(out, sizeof out, "%s/out", folder);
    snprintf(staging, sizeof staging, "%s/staging", folder);
    source_open(&t, model, &shape, &one);
    assert_ok(ar_output_plan_extras(&t.plan, "some", NULL));
    assert_ok(ar_output_plan_extras(&t.plan, "some", nothing));
    for (int32_t i = 0; ar_format_at(i); i++) {
        ar_output_plan plan = t.plan;
        plan.formats[0] = ar_format_at(i)->name;
        memcpy(plan.type, "q4_0", 5); /* asked for by gguf alone */
        assert_error(ar_output_plan_extras(&plan, "some", names), AR_ERR_USAGE, "made_up");
        assert_error(ar_output_plan_extras(&plan, "some", names), AR_ERR_USAGE, plan.formats[0]);
    }
    t.src.linear = extra_linear;
    assert_error(ar__output_write(out, staging, &t.src, NULL), AR_ERR_UNSUPPORTED, "made_up");
    assert_false(ar_path_exists(out));
    source_close(&t);
    temp_remove(folder);
}

static void a_format_holds_the_extras_it_names(void **state) {
    (void)state;
    static const char *const names[] = {"made_up", NULL};
    const ar_storage s = {.extras = names}, none = {0};
    assert_true(ar__storage_holds_extra(&s, "made_up"));
    assert_false(ar__storage_holds_extra(&s, "made"));
    assert_false(ar__storage_holds_extra(&none, "made_up"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extras_have_new_names_and_whole_dimensions),
        cmocka_unit_test(extras_come_back_from_the_state),
        cmocka_unit_test(what_a_format_cannot_hold_is_refused_by_name),
        cmocka_unit_test(a_format_holds_the_extras_it_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
