/* host/family/family_llama.c and host/family/rope.c: which tensors make a model, under which names, and what
 * is said of those that do not. Includes host's own header for the rotary frequencies. */
#include "tiny_model.h"
#include "each_folder.h"
#include "ar_error.h"
#include "family.h"
#include "weights.h"
#include <math.h>

static void close_bound(ar_open_model *m) {
    ar_family_unbind(m);
    ar_weights_close(&m->weights);
}

/* Config, weights and family of a folder, without a tokenizer. */
static ar_status bind_folder(ar_open_model *m, const char *path) {
    memset(m, 0, sizeof *m);
    m->path = (char *)(uintptr_t)path;
    AR_TRY(ar_config_open(&m->config, in_folder(path, "config.json")));
    AR_TRY(ar_weights_open_safetensors(&m->weights, path));
    ar_status status = ar_family_bind(m);
    if (status != AR_OK) close_bound(m);
    return status;
}

static ar_status bind_changed(const tiny_change *change) {
    ar_open_model m;
    tiny_write(folder, change);
    ar_status status = bind_folder(&m, folder);
    if (status == AR_OK)
        close_bound(&m);
    else
        assert_null(m.model.impl);
    return status;
}

static void model_describes_itself(void **state) {
    (void)state;
    ar_open_model m;
    tiny_write(folder, &(tiny_change){0});
    assert_ok(bind_folder(&m, folder));
    assert_int_equal(m.model.block_count, 2);
    assert_int_equal(m.model.hidden, 16);
    assert_int_equal(m.model.vocab, 10);
    assert_int_equal(m.model.max_tokens, 32);
    assert_false(m.model.tied_head);
    const ar_block *b = &m.model.blocks[1];
    assert_int_equal(b->index, 1);
    assert_int_equal(b->linear_count, 7);
    assert_int_equal(b->norm_count, 2);
    assert_string_equal(b->linears[6].name, "mlp.down_proj");
    assert_int_equal(b->linears[6].O, 16);
    assert_int_equal(b->linears[6].I, 24);
    assert_string_equal(b->norms[1].name, "post_attention_layernorm");
    float x[24];
    assert_ok(b->read_linear(b, x, 6, 2, 1));
    assert_true(x[5] == tiny_value(18, 2 * 24 + 5)); /* 3 ends, 9 tensors a block, 7th of the second */
    assert_ok(m.model.read_head(&m.model, x, 9, 1));
    assert_true(x[0] == tiny_value(1, 9 * 16));
    assert_ok(m.model.read_embedding(&m.model, x, 9, 1));
    assert_true(x[0] == tiny_value(0, 9 * 16));
    assert_ok(m.model.read_final_norm(&m.model, x));
    assert_true(x[15] == tiny_value(2, 15));
    assert_ok(b->read_norm(b, x, 1));
    assert_true(x[3] == tiny_value(20, 3)); /* the last of all */
    assert_error(b->read_bias(b, x, 0), AR_ERR_ARG, "no bias");
    assert_error(b->read_linear(b, x, 6, 16, 1), AR_ERR_ARG, "mlp.down_proj");
    close_bound(&m);
}

static void biases_are_optional(void **state) {
    (void)state;
    ar_open_model m;
    tiny_write(folder, &(tiny_change){.biased = true, .missing = "model.layers.1.mlp.up_proj.bias"});
    assert_ok(bind_folder(&m, folder));
    assert_true(m.model.blocks[0].linears[5].has_bias);
    assert_false(m.model.blocks[1].linears[5].has_bias);
    float x[24];
    assert_ok(m.model.blocks[0].read_bias(&m.model.blocks[0], x, 0));
    assert_true(x[7] == tiny_value(4, 7));
    close_bound(&m);
}

/* The one matrix of a tied model is found under either name, or both. */
static void tied_matrix_has_two_names(void **state) {
    (void)state;
    const tiny_change changes[] = {{.config = "\"tie_word_embeddings\":true", .tied = true},
                                   {.config = "\"tie_word_embeddings\":true", .head_only = true},
                                   {.config = "\"tie_word_embeddings\":true"}};
    for (int i = 0; i < 3; i++) {
        ar_open_model m;
        float x[16], y[16];
        tiny_write(folder, &changes[i]);
        assert_ok(bind_folder(&m, folder));
        assert_true(m.model.tied_head);
        assert_ok(m.model.read_embedding(&m.model, x, 3, 1));
        assert_ok(m.model.read_head(&m.model, y, 3, 1));
        assert_memory_equal(x, y, sizeof x);
        assert_true(x[1] == tiny_value(0, 3 * 16 + 1));
        close_bound(&m);
    }
    assert_error(bind_changed(&(tiny_change){.tied = true}), AR_ERR_FORMAT,
                 "lm_head.weight: missing, expected (10, 16)");
    assert_error(bind_changed(&(tiny_change){.head_only = true}), AR_ERR_FORMAT,
                 "model.embed_tokens.weight: missing");
}

static void every_missing_tensor_is_named(void **state) {
    (void)state;
    tiny_tensor list[64];
    int count = tiny_list(list, &(tiny_change){0});
    for (int i = 0; i < count; i++) {
        char part[160];
        snprintf(part, sizeof part, "tensor %.90s: missing, expected (%lld", list[i].name,
                 (long long)list[i].dims[0]);
        assert_error(bind_changed(&(tiny_change){.missing = list[i].name}), AR_ERR_FORMAT, part);
    }
}

static void every_misshapen_tensor_is_named(void **state) {
    (void)state;
    tiny_tensor list[64];
    int count = tiny_list(list, &(tiny_change){.biased = true});
    for (int i = 0; i < count; i++) {
        char part[160];
        snprintf(part, sizeof part, "tensor %.90s: found (%lld", list[i].name,
                 (long long)list[i].dims[0] + 1);
        assert_error(bind_changed(&(tiny_change){.biased = true, .misshapen = list[i].name}), AR_ERR_FORMAT,
                     part);
    }
}

static void extra_tensors_are_named(void **state) {
    (void)state;
    assert_error(bind_changed(&(tiny_change){.extra = "model.layers.2.input_layernorm.weight"}),
                 AR_ERR_FORMAT, "tensor model.layers.2.input_layernorm.weight: found, expected none");
    assert_error(bind_changed(&(tiny_change){.extra = "inv_freq"}), AR_ERR_FORMAT, "inv_freq");
    assert_error(bind_changed(&(tiny_change){.config = "\"num_hidden_layers\":1"}), AR_ERR_FORMAT,
                 "model.layers.1.");
    assert_ok(bind_changed(&(tiny_change){.extra = "model.layers.0.self_attn.rotary_emb.inv_freq"}));
}

static const ar_weights_vtable *uncounted;
static int64_t looks;

static const ar_weight *count_look(const void *impl, int64_t i) {
    looks++;
    return uncounted->at(impl, i);
}

/* Each is looked at a few times, however many there are: no walk through all of them for each. */
static void many_tensors_are_each_looked_at_a_few_times(void **state) {
    (void)state;
    enum { COUNT = 40000, EACH = 120 };
    ar_open_model m;
    char *file = malloc(COUNT * EACH + 16), *end = file + 8;
    tiny_write(folder, &(tiny_change){0});
    *end++ = '{';
    for (int i = 0; i < COUNT; i++)
        end += sprintf(
            end,
            "%s\"model.layers.%d.mlp.up_proj.bias\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}",
            i ? "," : "", i + 2);
    *end++ = '}';
    uint64_t header = (uint64_t)(end - file) - 8;
    memcpy(file, &header, sizeof header);
    put_file(in_folder(folder, "model.safetensors"), file, (size_t)(end - file));
    free(file);
    memset(&m, 0, sizeof m);
    m.path = folder;
    assert_ok(ar_config_open(&m.config, in_folder(folder, "config.json")));
    assert_ok(ar_weights_open_safetensors(&m.weights, folder));
    uncounted = m.weights.vtable;
    ar_weights_vtable counted = *uncounted;
    counted.at = count_look;
    m.weights.vtable = &counted;
    looks = 0;
    assert_error(ar_family_bind(&m), AR_ERR_FORMAT, "missing");
    assert_in_range(looks, COUNT, 8 * COUNT);
    close_bound(&m);
}

static void names_are_found_as_by_a_walk(void **state) {
    (void)state;
    ar_weights w;
    ar__weight_names names;
    tiny_write(folder, &(tiny_change){0});
    assert_ok(ar_weights_open_safetensors(&w, folder));
    assert_ok(ar__weight_names_init(&names, &w));
    for (int64_t i = 0; i < w.vtable->count(w.impl); i++) {
        char longer[256];
        const char *name = w.vtable->at(w.impl, i)->name;
        assert_int_equal(ar__weight_names_find(&names, name), ar_weights_find(&w, name));
        snprintf(longer, sizeof longer, "%sx", name);
        assert_int_equal(ar__weight_names_find(&names, longer), -1);
    }
    assert_int_equal(ar__weight_names_find(&names, ""), -1);
    assert_int_equal(ar__weight_names_find(&names, "z"), -1);
    ar__weight_names_deinit(&names);
    ar_weights_close(&w);
}

static void tensor_types_are_checked_at_once(void **state) {
    (void)state;
    const char *name = "model.layers.1.self_attn.v_proj.weight";
    assert_error(bind_changed(&(tiny_change){.retyped = name, .dtype = "I32"}), AR_ERR_FORMAT,
                 "model.layers.1.self_attn.v_proj.weight: found dtype I32, expected F32, F16 or BF16");
    const char *types[] = {"F16", "BF16"};
    for (int i = 0; i < 2; i++) {
        ar_open_model m;
        float x[16];
        tiny_write(folder, &(tiny_change){.retyped = name, .dtype = types[i]});
        assert_ok(bind_folder(&m, folder));
        assert_ok(m.model.blocks[1].read_linear(&m.model.blocks[1], x, 2, 1, 1));
        for (int j = 0; j < 16; j++)
            assert_true(x[j] == tiny_value(14, 16 + j)); /* such values are exact in both */
        close_bound(&m);
    }
}

static void binding_survives_every_failed_allocation(void **state) {
    (void)state;
    tiny_write(folder, &(tiny_change){0});
    ar_status status = AR_ERR_MEMORY;
    int32_t n = 0;
    while (status == AR_ERR_MEMORY && n < 1000) {
        ar_open_model m = {.path = folder};
        assert_ok(ar_config_open(&m.config, in_folder(folder, "config.json")));
        assert_ok(ar_weights_open_safetensors(&m.weights, folder));
        ar__alloc_fail_at(++n);
        status = ar_family_bind(&m);
        ar__alloc_fail_at(0);
        close_bound(&m);
    }
    assert_int_equal(status, AR_OK);
    assert_true(n > 4);
}

static void shared_models_bind(void **state) {
    (void)state;
    if (!shared_data("stories260K-hf/config.json")) skip();
    ar_open_model m;
    assert_ok(bind_folder(&m, shared_data("stories260K-hf")));
    assert_int_equal(m.model.block_count, 5);
    close_bound(&m);
    assert_ok(bind_folder(&m, shared_data("tinystories-656K-hf"))); /* tied, stored as lm_head.weight only */
    assert_true(m.model.tied_head);
    float *x = malloc(2048 * 128 * sizeof *x);
    assert_ok(m.model.read_embedding(&m.model, x, 0, 2048));
    free(x);
    close_bound(&m);
}

/* ---- rotary frequencies ---- */

/* Llama 3.2 1B: theta 500000, D 64, factor 32, low 1, high 4, 8192 tokens. Values from the formula of Hugging
 * Face's modeling_rope_utils, computed in double by a separate program. */
static void llama3_frequencies_match_the_published_formula(void **state) {
    (void)state;
    const struct {
        int i;
        double freq;
    } want[] = {{0, 1.0},
                {1, 0.6636012376960885},
                {12, 0.0072926647372171085},
                {14, 0.0032114459947525913},
                {15, 0.001290547928209264},
                {16, 0.00042955679655936815},
                {17, 9.70828780262767e-05},
                {18, 1.9461638184831125e-05},
                {31, 9.418306725434909e-08}};
    ar_config c = {
        .head_dim = 64,
        .rope_theta = 500000,
        .rope_scaling = {
            .kind = "llama3", .factor = 32, .low_freq = 1, .high_freq = 4, .original_tokens = 8192}};
    float freq[32];
    ar__rope_frequencies(freq, &c, false);
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        assert_true(fabs((double)freq[want[i].i] / want[i].freq - 1) < 1e-7);
}

static void plain_and_linear_frequencies_are_powers(void **state) {
    (void)state;
    ar_config c = {.head_dim = 16, .rope_theta = 10000};
    float plain[8], linear[8];
    ar__rope_frequencies(plain, &c, false);
    assert_true(plain[0] == 1 && plain[4] == 0.01f);
    c.rope_scaling.factor = 4;
    memcpy(c.rope_scaling.kind, "linear", 7);
    ar__rope_frequencies(linear, &c, false);
    for (int i = 0; i < 8; i++) assert_true(linear[i] == plain[i] / 4);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {T(model_describes_itself),
                                       T(biases_are_optional),
                                       T(tied_matrix_has_two_names),
                                       T(every_missing_tensor_is_named),
                                       T(every_misshapen_tensor_is_named),
                                       T(extra_tensors_are_named),
                                       T(many_tensors_are_each_looked_at_a_few_times),
                                       T(names_are_found_as_by_a_walk),
                                       T(tensor_types_are_checked_at_once),
                                       T(binding_survives_every_failed_allocation),
                                       T(shared_models_bind),
                                       T(llama3_frequencies_match_the_published_formula),
                                       T(plain_and_linear_frequencies_are_powers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
