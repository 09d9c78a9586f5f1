/* host/family/config.c: real configurations, defaults, and every absurd value named with its key. */
#include "family.h"
#include "temp_files.h"
#include <math.h>

#define BASE                                                                                                 \
    "\"model_type\":\"llama\",\"hidden_size\":64,\"intermediate_size\":172,\"num_hidden_layers\":5,"         \
    "\"num_attention_heads\":8,\"vocab_size\":512,\"max_position_embeddings\":256"

/* Parses BASE with more keys behind it (the last of a repeated key counts). */
static ar_status parse(ar_config *c, const char *more) {
    char text[2048];
    snprintf(text, sizeof text, "{" BASE "%s%s}", more[0] ? "," : "", more);
    return ar_config_parse(c, text, strlen(text), "config.json");
}

static void defaults_are_those_of_the_family(void **state) {
    (void)state;
    ar_config c;
    assert_ok(parse(&c, ""));
    assert_string_equal(c.family, "llama");
    assert_int_equal(c.kv_heads, 8);
    assert_int_equal(c.head_dim, 8);
    assert_true(c.rms_eps == 1e-6f && c.rope_theta == 10000.0f);
    assert_string_equal(c.rope_scaling.kind, "");
    assert_false(c.tied);
    assert_int_equal(c.bos, -1);
    assert_int_equal(c.eos, -1);
}

static void values_are_taken(void **state) {
    (void)state;
    ar_config c;
    assert_ok(parse(
        &c, "\"model_type\":\"mistral\",\"num_key_value_heads\":2,\"head_dim\":12,\"rms_norm_eps\":1e-5,"
            "\"rope_theta\":1000000.0,\"tie_word_embeddings\":true,\"bos_token_id\":1,\"eos_token_id\":[2,3],"
            "\"sliding_window\":100,\"rope_scaling\":null,\"attention_bias\":true"));
    assert_string_equal(c.family, "mistral");
    assert_int_equal(c.kv_heads, 2);
    assert_int_equal(c.head_dim, 12);
    assert_true(c.rms_eps == 1e-5f && c.rope_theta == 1e6f && c.tied);
    assert_int_equal(c.bos, 1);
    assert_int_equal(c.eos, 2);
    assert_int_equal(c.max_tokens, 256);
    assert_int_equal(c.window, 100);
    assert_ok(parse(&c, "\"bos_token_id\":null"));
    assert_int_equal(c.bos, -1);
}

/* The layers that slide as text, "-s" for a window in the second of two. */
static const char *sliding_layers(const ar_config *c) {
    static char text[64];
    for (int32_t i = 0; i < c->layers; i++) text[i] = ar_config_window(c, i) ? 's' : '-';
    text[c->layers] = 0;
    return text;
}

/* As transformers reads them. */
static void windows_are_those_of_some_layers(void **state) {
    (void)state;
    static const struct {
        const char *more, *layers;
        int32_t window;
    } rows[] = {
        {"\"model_type\":\"llama\",\"sliding_window\":8", "------------", 0},
        {"\"model_type\":\"mistral\"", "ssssssssssss", 4096},
        {"\"model_type\":\"mistral\",\"sliding_window\":9", "ssssssssssss", 9},
        {"\"model_type\":\"mistral\",\"sliding_window\":null", "------------", 0},
        {"\"model_type\":\"phi3\"", "------------", 0},
        {"\"model_type\":\"phi3\",\"sliding_window\":9", "ssssssssssss", 9},
        {"\"model_type\":\"qwen2\",\"sliding_window\":9,\"max_window_layers\":3", "------------", 0},
        {"\"model_type\":\"qwen2\",\"use_sliding_window\":true", "------------", 0},
        {"\"model_type\":\"qwen2\",\"use_sliding_window\":true,\"max_window_layers\":9", "---------sss",
         4096},
        {"\"model_type\":\"qwen3\",\"use_sliding_window\":true,\"max_window_layers\":0,\"sliding_window\":6",
         "ssssssssssss", 6},
        {"\"model_type\":\"qwen3\",\"use_sliding_window\":true,\"max_window_layers\":0,\"sliding_window\":"
         "null",
         "------------", 0},
        {"\"model_type\":\"qwen3\",\"use_sliding_window\":true,\"sliding_window\":6,\"max_window_layers\":2,"
         "\"layer_types\":[\"sliding_attention\",\"full_attention\",\"full_attention\",\"full_attention\","
         "\"full_attention\",\"full_attention\",\"full_attention\",\"full_attention\",\"full_attention\","
         "\"sliding_attention\",\"full_attention\",\"sliding_attention\"]",
         "s--------s-s", 6}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ar_config c;
        char more[1024];
        snprintf(more, sizeof more, "\"num_hidden_layers\":12,%s", rows[i].more);
        assert_ok(parse(&c, more));
        assert_string_equal(sliding_layers(&c), rows[i].layers);
        assert_int_equal(c.window, rows[i].window);
        assert_int_equal(c.max_tokens, 256);
    }
}

/* What the configuration classes of transformers 5.24 make of both. */
static void rope_scaling_counts_before_rope_parameters(void **state) {
    (void)state;
#define DEFAULT "\"rope_parameters\":{\"rope_theta\":1e6,\"rope_type\":\"default\"}"
#define LINEAR4 "\"rope_parameters\":{\"rope_theta\":1e6,\"rope_type\":\"linear\",\"factor\":4}"
#define LINEAR2 "\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}"
    static const struct {
        const char *more, *kind;
        float theta, factor;
    } rows[] = {
        {DEFAULT, "", 1e6f, 0},
        {DEFAULT "," LINEAR2, "linear", 1e4f, 2},
        {DEFAULT "," LINEAR2 ",\"rope_theta\":5e5", "linear", 5e5f, 2},
        {DEFAULT ",\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":2,\"rope_theta\":7}", "linear", 7,
         2},
        {LINEAR4 ",\"rope_scaling\":{}", "linear", 1e6f, 4},
        {LINEAR4 ",\"rope_scaling\":null", "linear", 1e6f, 4},
        {LINEAR4 ",\"rope_scaling\":{\"rope_type\":\"default\"}", "", 1e4f, 0},
        {"\"rope_parameters\":{},\"rope_theta\":5e5", "", 5e5f, 0},
        {"\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":4},\"rope_theta\":5e5", "linear", 5e5f, 4},
        {"\"rope_parameters\":{\"type\":\"default\",\"rope_type\":\"linear\",\"factor\":4}", "linear", 1e4f,
         4},
        {"\"rope_parameters\":null," LINEAR2, "linear", 1e4f, 2},
    };
    static const char *const types[] = {"llama", "mistral", "qwen2", "qwen3"};
    for (size_t i = 0; i < 4 * sizeof rows / sizeof *rows; i++) {
        ar_config c;
        char more[512];
        snprintf(more, sizeof more, "\"model_type\":\"%s\",%s", types[i % 4], rows[i / 4].more);
        assert_ok(parse(&c, more));
        assert_string_equal(c.rope_scaling.kind, rows[i / 4].kind);
        assert_true(c.rope_theta == rows[i / 4].theta && c.rope_scaling.factor == rows[i / 4].factor);
    }
}

static void rope_scaling_has_two_spellings(void **state) {
    (void)state;
    ar_config c;
    assert_ok(parse(&c, "\"rope_scaling\":{\"type\":\"linear\",\"factor\":4}"));
    assert_string_equal(c.rope_scaling.kind, "linear");
    assert_true(c.rope_scaling.factor == 4);
    const char *llama3 =
        "\"rope_type\":\"llama3\",\"factor\":32.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
        "\"original_max_position_embeddings\":8192";
    char more[512];
    snprintf(more, sizeof more, "\"rope_scaling\":{%s},\"rope_theta\":500000", llama3);
    assert_ok(parse(&c, more));
    assert_string_equal(c.rope_scaling.kind, "llama3");
    assert_true(c.rope_scaling.factor == 32 && c.rope_scaling.low_freq == 1 && c.rope_scaling.high_freq == 4);
    assert_int_equal(c.rope_scaling.original_tokens, 8192);
    assert_true(c.rope_theta == 500000);
    snprintf(more, sizeof more, "\"rope_parameters\":{\"rope_theta\":500000,%s}", llama3);
    assert_ok(parse(&c, more));
    assert_string_equal(c.rope_scaling.kind, "llama3");
    assert_true(c.rope_theta == 500000);
    assert_ok(
        parse(&c, "\"rope_scaling\":{\"type\":\"llama3\",\"factor\":8}")); /* as transformers 5 fills it */
    assert_int_equal(c.rope_scaling.original_tokens, 256);
    assert_ok(parse(&c, "\"rope_parameters\":{\"rope_theta\":20000,\"rope_type\":\"default\"}"));
    assert_string_equal(c.rope_scaling.kind, "");
    assert_true(c.rope_theta == 20000);
}

typedef struct bad {
    const char *more, *part;
} bad;

static const bad absurd[] = {
    {"\"model_type\":\"bloom\"",
     "model_type: found \"bloom\", expected one of: llama mistral qwen2 qwen3 phi3 gpt2 opt"},
    {"\"model_type\":\"llama opt\"", "model_type"},
    {"\"model_type\":\"\"", "model_type"},
    {"\"model_type\":\"lla\"", "model_type"},
    {"\"model_type\":7", "model_type"},
    {"\"hidden_size\":0", "hidden_size: found 0"},
    {"\"hidden_size\":-64", "hidden_size: found -64"},
    {"\"hidden_size\":1e12", "hidden_size"},
    {"\"hidden_size\":64.5", "hidden_size: found 64.5"},
    {"\"hidden_size\":\"64\"", "hidden_size: found a string"},
    {"\"hidden_size\":null", "hidden_size: found null"},
    {"\"hidden_size\":60", "hidden_size: found 60, expected a multiple of num_attention_heads = 8"},
    {"\"intermediate_size\":0", "intermediate_size"},
    {"\"intermediate_size\":99999999", "intermediate_size"},
    {"\"num_hidden_layers\":0", "num_hidden_layers"},
    {"\"num_hidden_layers\":100000", "num_hidden_layers"},
    {"\"vocab_size\":0", "vocab_size"},
    {"\"vocab_size\":4294967297", "vocab_size"},
    {"\"max_position_embeddings\":0", "max_position_embeddings"},
    {"\"model_type\":\"mistral\",\"sliding_window\":0", "sliding_window"},
    {"\"model_type\":\"qwen2\",\"use_sliding_window\":1", "use_sliding_window"},
    {"\"model_type\":\"qwen2\",\"max_window_layers\":-1", "max_window_layers: found -1"},
    {"\"model_type\":\"qwen2\",\"layer_types\":\"full_attention\"", "layer_types: found 0"},
    {"\"model_type\":\"qwen2\",\"layer_types\":[\"full_attention\"]",
     "layer_types: found 1 of them, expected 5"},
    {"\"model_type\":\"qwen3\",\"num_hidden_layers\":1,\"layer_types\":[\"sliding_attention\"]",
     "layer_types: found sliding_attention and no window"},
    {"\"model_type\":\"qwen3\",\"num_hidden_layers\":1,\"layer_types\":[\"linear_attention\"]",
     "layer_types: found \"linear_attention\""},
    {"\"model_type\":\"qwen3\",\"num_hidden_layers\":1,\"layer_types\":[1]",
     "layer_types: found \"no text\""},
    {"\"num_attention_heads\":0", "num_attention_heads"},
    {"\"num_key_value_heads\":3", "num_key_value_heads: found 3, expected a divisor"},
    {"\"num_key_value_heads\":16", "num_key_value_heads: found 16"},
    {"\"num_key_value_heads\":0", "num_key_value_heads"},
    {"\"head_dim\":7", "head_dim: found 7, expected a multiple of 4"},
    {"\"head_dim\":0", "head_dim"},
    {"\"head_dim\":99999", "head_dim"},
    {"\"rms_norm_eps\":0", "rms_norm_eps"},
    {"\"rms_norm_eps\":-1e-5", "rms_norm_eps"},
    {"\"rms_norm_eps\":1e999", "rms_norm_eps"},
    {"\"rope_theta\":0", "rope_theta"},
    {"\"rope_theta\":1e300", "rope_theta"},
    {"\"partial_rotary_factor\":0.5", "partial_rotary_factor"},
    {"\"hidden_act\":\"gelu\"", "hidden_act: found \"gelu\", expected \"silu\""},
    {"\"tie_word_embeddings\":1", "tie_word_embeddings"},
    {"\"attention_bias\":\"no\"", "attention_bias"},
    {"\"mlp_bias\":3", "mlp_bias"},
    {"\"bos_token_id\":512", "bos_token_id: found 512"},
    {"\"bos_token_id\":-7", "bos_token_id"},
    {"\"eos_token_id\":1.5", "eos_token_id"},
    {"\"eos_token_id\":[\"x\"]", "eos_token_id"},
    {"\"eos_token_id\":1e30", "eos_token_id"},
    {"\"rope_scaling\":3", "rope_scaling: found no object"},
    {"\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2}", "rope_type: found \"yarn\""},
    {"\"rope_scaling\":{\"type\":\"linear\"}", "factor: found nothing"},
    {"\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}", "factor"},
    {"\"rope_scaling\":{\"type\":\"llama3\",\"factor\":8,\"original_max_position_embeddings\":0}",
     "original_max_position_embeddings"},
    {"\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"linear\",\"factor\":2},\"sliding_attention\":{"
     "}}",
     "rope_parameters: found a set of parameters for full_attention"},
    {"\"rope_parameters\":{\"rope_theta\":1e6,\"sliding_attention\":{\"rope_theta\":1e4}}",
     "for sliding_attention"},
    {"\"rope_scaling\":{\"full_attention\":{\"rope_type\":\"default\"}}", "rope_scaling: found a set"},
    {"\"rope_scaling\":[]", "rope_scaling: found no object"},
    {"\"rope_parameters\":7,\"rope_scaling\":null", "rope_parameters: found no object"},
    {"\"rope_parameters\":{\"rope_type\":\"default\"},\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}",
     "rope_type: found \"dynamic\""},
    {"\"rope_scaling\":{\"type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,\"high_freq_factor\":4,"
     "\"original_max_position_embeddings\":8192}",
     "high_freq_factor: found 4, expected more than low_freq_factor"},
    {"\"rope_parameters\":{\"rope_theta\":-1}", "rope_theta"}};

static void absurd_values_are_named(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof absurd / sizeof absurd[0]; i++) {
        ar_config c;
        assert_error(parse(&c, absurd[i].more), AR_ERR_FORMAT, absurd[i].part);
        assert_non_null(strstr(ar_error(), "config.json: "));
    }
}

static void every_needed_key_is_asked_for(void **state) {
    (void)state;
    const char *keys[] = {"hidden_size",         "intermediate_size", "num_hidden_layers",
                          "num_attention_heads", "vocab_size",        "max_position_embeddings"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char text[] = "{" BASE "}";
        char *key = strstr(text, keys[i]);
        key[0] = 'X';
        ar_config c;
        assert_error(ar_config_parse(&c, text, strlen(text), "config.json"), AR_ERR_FORMAT, keys[i]);
    }
}

static void other_text_is_refused(void **state) {
    (void)state;
    ar_config c;
    assert_error(ar_config_parse(&c, "[]", 2, "config.json"), AR_ERR_FORMAT, "no object");
    assert_error(ar_config_parse(&c, "hidden_size = 64", 16, "config.json"), AR_ERR_FORMAT, "not JSON");
    assert_error(ar_config_parse(&c, "", 0, "config.json"), AR_ERR_FORMAT, "config.json");
    assert_error(ar_config_open(&c, "no/such/config.json"), AR_ERR_IO, "no/such/config.json");
    const char *text = "{" BASE "}";
    for (size_t n = 0; n < strlen(text); n++) {
        char *prefix = malloc(n ? n : 1);
        memcpy(prefix, text, n);
        assert_int_equal(ar_config_parse(&c, prefix, n, "config.json"), AR_ERR_FORMAT);
        free(prefix);
    }
}

static void shared_configs_open(void **state) {
    (void)state;
    ar_config c;
    if (!shared_data("stories260K-hf/config.json")) skip();
    assert_ok(ar_config_open(&c, shared_data("stories260K-hf/config.json")));
    assert_int_equal(c.hidden, 64);
    assert_int_equal(c.intermediate, 172);
    assert_int_equal(c.kv_heads, 4);
    assert_int_equal(c.layers, 5);
    assert_true(c.tied && c.rms_eps == 1e-5f);
    assert_ok(ar_config_open(&c, shared_data("tinystories-656K-hf/config.json")));
    assert_int_equal(c.vocab, 2048);
    assert_int_equal(c.head_dim, 16);
    assert_int_equal(c.eos, 2);
}

static void families_are_found_by_model_type(void **state) {
    (void)state;
    assert_non_null(ar_family_find("llama"));
    assert_ptr_equal(ar_family_find("opt"), &ar__family_opt);
    assert_null(ar_family_find("mist"));
    assert_null(ar_family_find(""));
    assert_null(ar_family_find(" "));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(defaults_are_those_of_the_family),
                                       cmocka_unit_test(values_are_taken),
                                       cmocka_unit_test(windows_are_those_of_some_layers),
                                       cmocka_unit_test(rope_scaling_has_two_spellings),
                                       cmocka_unit_test(rope_scaling_counts_before_rope_parameters),
                                       cmocka_unit_test(absurd_values_are_named),
                                       cmocka_unit_test(every_needed_key_is_asked_for),
                                       cmocka_unit_test(other_text_is_refused),
                                       cmocka_unit_test(shared_configs_open),
                                       cmocka_unit_test(families_are_found_by_model_type)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
