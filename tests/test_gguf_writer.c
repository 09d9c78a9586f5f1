/* host/gguf/fmt_gguf_writer.c and fmt_gguf_fields.c: what is written reads back bit for bit, and lies where
 * llama.cpp looks for it. Includes host's internal header to look at the container. */
#include "gguf_source.h"
#include "each_folder.h"
#include "fmt_gguf.h"
#include <math.h>

static char path[4352]; /* the file written */
static int setup_path(void **state) {
    int failed = setup(state);
    snprintf(path, sizeof path, "%s/m.gguf", folder);
    return failed;
}

typedef struct opened {
    ar_weights weights;
    ar_config config;
    ar_tokenizer *tokenizer;
} opened;

static void open_file(opened *o) {
    assert_ok(ar_weights_open_gguf(&o->weights, &o->config, &o->tokenizer, path));
}

static void close_file(opened *o) {
    ar_weights_close(&o->weights);
    ar_tokenizer_close(o->tokenizer);
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
            float expected = strcmp(wb->type, "F16") == 0    ? ar_f16_to_f32(ar_f32_to_f16(va[j]))
                             : strcmp(wb->type, "BF16") == 0 ? ar_bf16_to_f32(ar_f32_to_bf16(va[j]))
                                                             : va[j];
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
    gguf_write_folder(folder, shape);
    gguf_open_source(&s, folder, shape->tokenizer, request);
    s.extreme = extreme;
    assert_ok(ar__format_gguf.write(path, &s.write));
    assert_ok(ar__format_gguf.verify(path, &s.write));
    open_file(&o);
    assert_same_config(&o.config, &s.model.config);
    assert_same_floats(&o, &s);
    close_file(&o);
    gguf_close_source(&s);
}

static void every_type_round_trips(void **state) {
    (void)state;
    const char *types[] = {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q4_k_m", "f16", "bf16", "f32"};
    for (int i = 0; i < 9; i++)
        check_round_trip(&gguf_small, (ar_output_request){.type = types[i], .sym = -1}, false);
}

/* Super-blocks, and widths of 384 that fall back; codes and scales of every size. */
static void every_mix_round_trips(void **state) {
    (void)state;
    const char *types[] = {"q2_k",   "q2_k_s", "q3_k_s", "q3_k_m", "q3_k_l",
                           "q4_k_s", "q4_k_m", "q5_k_s", "q5_k_m", "q6_k"};
    gguf_shape shape = {256, 384, 2, 4, 1, 64, 40, false, false, NULL, NULL};
    for (int i = 0; i < 20; i++) {
        shape.tied = i % 3 == 0;
        check_round_trip(&shape, (ar_output_request){.type = types[i / 2], .sym = -1}, i % 2);
    }
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
    const char *types[] = {"q4_0", "q5_0", "q8_0"};
    for (int i = 0; i < 3; i++)
        check_round_trip(&gguf_small, (ar_output_request){.type = types[i], .sym = -1}, true);
}

/* ---- other models ---- */

static void other_shapes_round_trip(void **state) {
    (void)state;
    gguf_shape wide_heads = gguf_small, tied = gguf_small, biased = gguf_small, odd = gguf_small;
    wide_heads.head_dim = 32; /* heads * head_dim is not hidden */
    tied.tied = true;
    biased.biased = true;
    odd.intermediate = 80; /* no multiple of 32: down stays float */
    check_round_trip(&wide_heads, (ar_output_request){.type = "q4_0", .sym = -1}, false);
    check_round_trip(&tied, (ar_output_request){.type = "q8_0", .sym = -1}, false);
    check_round_trip(&biased, (ar_output_request){.type = "q4_1", .sym = -1}, false);
    check_round_trip(&odd, (ar_output_request){.type = "q4_0", .sym = -1}, false);
}

static void rotary_scaling_round_trips(void **state) {
    (void)state;
    gguf_shape linear = gguf_small, llama3 = gguf_small;
    linear.config = "\"rope_theta\":20000,\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":2.5}";
    llama3.config =
        "\"rope_theta\":500000,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,"
        "\"high_freq_factor\":4,\"original_max_position_embeddings\":8192}";
    llama3.head_dim = 64;
    check_round_trip(&linear, (ar_output_request){.type = "q4_0", .sym = -1}, false);
    check_round_trip(&llama3, (ar_output_request){.type = "f16", .sym = -1}, false);
    llama3.head_dim = 8; /* too few frequencies to tell the parameters */
    check_round_trip(&llama3, (ar_output_request){.type = "f16", .sym = -1}, false);
}

/* ---- tokenizers ---- */

static void assert_same_ids(const ar_tokenizer *a, const ar_tokenizer *b, const char *text) {
    int32_t *x, *y;
    int64_t m, n;
    assert_ok(ar_tokenizer_encode(a, &x, &m, text, strlen(text), true));
    assert_ok(ar_tokenizer_encode(b, &y, &n, text, strlen(text), true));
    assert_int_equal(m, n);
    assert_memory_equal(x, y, (size_t)m * sizeof *x);
    free(x);
    free(y);
}

static void check_tokenizer(const char *name) {
    char json[256];
    gguf_source s;
    opened o;
    ar_tokenizer *t;
    snprintf(json, sizeof json, "tests/golden/tokenizers/%s.json", name);
    assert_ok(ar_tokenizer_open(&t, json));
    gguf_shape shape = gguf_small;
    shape.vocab = ar_tokenizer_vocab(t) + 3; /* the embedding may have more rows */
    ar_tokenizer_close(t);
    gguf_write_folder(folder, &shape);
    gguf_open_source(&s, folder, json, (ar_output_request){.type = "q4_0", .sym = -1});
    t = s.model.tokenizer;
    assert_ok(ar__format_gguf.write(path, &s.write));
    open_file(&o);
    assert_int_equal(ar_tokenizer_get_kind(o.tokenizer), ar_tokenizer_get_kind(t));
    assert_string_equal(ar_tokenizer_pre(o.tokenizer), ar_tokenizer_pre(t));
    assert_int_equal(ar_tokenizer_merge_count(o.tokenizer), ar_tokenizer_merge_count(t));
    assert_int_equal(ar_tokenizer_bos(o.tokenizer), ar_tokenizer_bos(t));
    assert_int_equal(ar_tokenizer_eos(o.tokenizer), ar_tokenizer_eos(t));
    for (int32_t id = 0; id < ar_tokenizer_vocab(t); id++) {
        size_t m, n;
        const char *x = ar_tokenizer_token(t, id, &m), *y = ar_tokenizer_token(o.tokenizer, id, &n);
        if (!x) continue;
        assert_int_equal(m, n);
        assert_memory_equal(x, y, m);
        assert_int_equal(ar_tokenizer_token_type(t, id), ar_tokenizer_token_type(o.tokenizer, id));
        if (ar_tokenizer_get_kind(t) == AR_TOK_SPM)
            assert_true(ar_tokenizer_score(t, id) == ar_tokenizer_score(o.tokenizer, id));
    }
    const char *texts[] = {"Once upon a time, there were 1234 of them.",
                           "  two spaces\n\n\tand 'quotes' it's",
                           "caf\xc3\xa9 \xe4\xbd\xa0 \xf0\x9f\x98\x80!", "a", " "};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) assert_same_ids(t, o.tokenizer, texts[i]);
    close_file(&o);
    gguf_close_source(&s);
}

static void tokenizers_round_trip(void **state) {
    (void)state;
    const char *names[] = {"llama3", "qwen2", "gpt2", "smollm", "legacy"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check_tokenizer(names[i]);
}

#define NAMELESS_PRE                                                                                         \
    "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[]},\"added_tokens\":[],"           \
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{"          \
    "\"Regex\":\"[xyz]+\"},"                                                                                 \
    "\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_"  \
    "regex\":false}]},"                                                                                      \
    "\"decoder\":{\"type\":\"ByteLevel\"}}"

static void what_llama_cpp_cannot_tokenize_is_refused(void **state) {
    (void)state;
    gguf_source s;
    put_text(in_folder(folder, "tokenizer.json"), NAMELESS_PRE);
    gguf_write_folder(folder, &gguf_small);
    gguf_open_source(&s, folder, in_folder(folder, "tokenizer.json"),
                     (ar_output_request){.type = "q4_0", .sym = -1});
    assert_error(ar__format_gguf.write(path, &s.write), AR_ERR_UNSUPPORTED, "llama.cpp has no name for");
    assert_false(ar_path_exists(path));
    gguf_close_source(&s);
    gguf_shape few = gguf_small;
    few.vocab = 3;
    gguf_write_folder(folder, &few);
    gguf_open_source(&s, folder, "tests/golden/tokenizers/gpt2.json",
                     (ar_output_request){.type = "q4_0", .sym = -1});
    assert_error(ar__format_gguf.write(path, &s.write), AR_ERR_UNSUPPORTED, "at most one for each");
    gguf_close_source(&s);
}

/* ---- where things lie ---- */

typedef struct parsed {
    ar_file file;
    ar__gguf g;
} parsed;

static void parse_file(parsed *p) {
    assert_ok(ar_file_open(&p->file, path));
    assert_ok(ar__gguf_parse(&p->g, p->file.data, p->file.bytes, "written"));
}

static void close_parsed(parsed *p) {
    ar__gguf_deinit(&p->g);
    ar_file_close(&p->file);
}

static const ar__gguf_tensor *tensor_of(const parsed *p, const char *name) {
    for (int64_t i = 0; i < p->g.tensor_count; i++)
        if (ar__gguf_text_is(p->g.tensors[i].name, (size_t)p->g.tensors[i].name_bytes, name))
            return &p->g.tensors[i];
    return NULL;
}

static void tensors_have_the_types_llama_cpp_expects(void **state) {
    (void)state;
    gguf_source s;
    parsed p;
    gguf_shape tied = gguf_small;
    tied.tied = tied.biased = true;
    gguf_write_folder(folder, &tied);
    gguf_open_source(&s, folder, NULL, (ar_output_request){.type = "q4_0", .sym = -1});
    assert_ok(ar__format_gguf.write(path, &s.write));
    parse_file(&p);
    assert_int_equal(p.g.tensor_count, 2 + 2 * 16);
    assert_null(tensor_of(&p, "output.weight"));
    assert_string_equal(tensor_of(&p, "token_embd.weight")->type->name, "Q8_0");
    assert_string_equal(tensor_of(&p, "output_norm.weight")->type->name, "F32");
    assert_string_equal(tensor_of(&p, "blk.1.ffn_norm.weight")->type->name, "F32");
    assert_string_equal(tensor_of(&p, "blk.1.attn_q.bias")->type->name, "F32");
    assert_string_equal(tensor_of(&p, "blk.1.ffn_down.weight")->type->name, "Q4_0");
    const char *u32s[] = {"llama.context_length",       "llama.embedding_length",
                          "llama.block_count",          "llama.feed_forward_length",
                          "llama.attention.head_count", "llama.attention.head_count_kv",
                          "llama.rope.dimension_count", "llama.vocab_size",
                          "general.file_type",          "general.quantization_version"};
    for (size_t i = 0; i < sizeof u32s / sizeof *u32s; i++)
        assert_int_equal(ar__gguf_find(&p.g, u32s[i])->kind, AR__GGUF_U32);
    int64_t file_type = 0;
    assert_ok(ar__gguf_int(&file_type, &p.g, "general.file_type", 0, 0, 99));
    assert_int_equal(file_type, 2);
    assert_int_equal(ar__gguf_find(&p.g, "llama.attention.layer_norm_rms_epsilon")->kind, AR__GGUF_F32);
    close_parsed(&p);
    gguf_close_source(&s);
}

/* The published formulas once more, element by element from the bytes, rows in llama's order. */
static float stored_element(const ar__gguf_tensor *t, int64_t row, int64_t i) {
    int64_t each = t->type->bytes;
    const uint8_t *b = t->data + (row * t->dims[1] + i) / 32 * each;
    int64_t j = i % 32;
    float d = ar_f16_to_f32((uint16_t)(b[0] | b[1] << 8));
    if (t->type->id == 8) return d * (float)(int8_t)b[2 + j];
    const uint8_t *qs = b + (t->type->id == 3 ? 4 : 2);
    float q = (float)(j < 16 ? qs[j] & 15 : qs[j - 16] >> 4);
    return t->type->id == 3 ? d * q + ar_f16_to_f32((uint16_t)(b[2] | b[3] << 8)) : d * (q - 8.0f);
}

static void blocks_lie_where_llama_cpp_reads_them(void **state) {
    (void)state;
    const char *types[] = {"q4_0", "q4_1", "q8_0"};
    gguf_write_folder(folder, &gguf_small);
    for (int k = 0; k < 3; k++) {
        gguf_source s;
        parsed p;
        ar_qlinear *q;
        static float expected[64 * 64];
        gguf_open_source(&s, folder, NULL, (ar_output_request){.type = types[k], .sym = -1, .group = 64});
        assert_ok(ar__format_gguf.write(path, &s.write));
        parse_file(&p);
        assert_ok(gguf_linear(&s, &q, 1, 0));
        ar_qlinear_dequant(expected, q);
        const ar__gguf_tensor *t = tensor_of(&p, "blk.1.attn_q.weight");
        for (int64_t head = 0; head < 4; head++)
            for (int64_t pair = 0; pair < 8; pair++)
                for (int64_t half = 0; half < 2; half++)
                    for (int64_t i = 0; i < 64; i++)
                        assert_true(stored_element(t, head * 16 + 2 * pair + half, i) ==
                                    expected[(head * 16 + half * 8 + pair) * 64 + i]);
        ar_qlinear_free(q);
        close_parsed(&p);
        gguf_close_source(&s);
    }
}

static const char *stored_type(const gguf_shape *shape, const char *type, const char *embedding,
                               const char *head, const char *name) {
    gguf_source s;
    parsed p;
    static char found[16];
    gguf_write_folder(folder, shape);
    gguf_open_source(&s, folder, NULL, (ar_output_request){.type = type, .sym = -1});
    assert_ok(ar_output_plan_parts(&s.plan, embedding, head));
    assert_ok(ar__format_gguf.write(path, &s.write));
    assert_ok(ar__format_gguf.verify(path, &s.write));
    parse_file(&p);
    const ar__gguf_tensor *t = tensor_of(&p, name);
    snprintf(found, sizeof found, "%s", t ? t->type->name : "none");
    close_parsed(&p);
    gguf_close_source(&s);
    return found;
}

static void the_embedding_and_the_head_have_types_of_their_own(void **state) {
    (void)state;
    const gguf_shape wide = {256, 256, 1, 4, 4, 64, 40, false, false, NULL, NULL};
    gguf_shape tied = wide;
    tied.tied = true;
    assert_string_equal(stored_type(&wide, "q4_0", NULL, NULL, "token_embd.weight"), "Q4_0");
    assert_string_equal(stored_type(&wide, "q4_0", NULL, NULL, "output.weight"), "Q6_K");
    assert_string_equal(stored_type(&wide, "q4_0", "q8_0", "f16", "token_embd.weight"), "Q8_0");
    assert_string_equal(stored_type(&wide, "q4_0", "q8_0", "f16", "output.weight"), "F16");
    assert_string_equal(stored_type(&wide, "f16", "q2_k", "Q3_K", "token_embd.weight"), "Q2_K");
    assert_string_equal(stored_type(&wide, "f32", "q2_k", "Q3_K", "output.weight"), "Q3_K");
    assert_string_equal(stored_type(&tied, "q4_1", NULL, NULL, "token_embd.weight"), "Q6_K");
    assert_string_equal(stored_type(&tied, "q4_1", NULL, "bf16", "token_embd.weight"), "BF16");
    assert_string_equal(stored_type(&tied, "q4_1", "q5_k", "bf16", "token_embd.weight"), "Q5_K");
    assert_string_equal(stored_type(&gguf_small, "q4_k_m", "q6_k", "q4_k", "token_embd.weight"), "Q8_0");
    assert_string_equal(stored_type(&gguf_small, "q4_k_m", "q6_k", "q4_k", "output.weight"), "Q5_0");
    ar_output_plan plan;
    assert_ok(ar_output_plan_make(&plan, &(ar_output_request){.formats = "gptq", .sym = -1}));
    assert_error(ar_output_plan_parts(&plan, "q8_0", NULL), AR_ERR_USAGE, "type of the embedding");
    assert_ok(ar_output_plan_make(&plan, &(ar_output_request){.formats = "gguf", .sym = -1}));
    assert_error(ar_output_plan_parts(&plan, NULL, "q4_k_m"), AR_ERR_USAGE, "type of the head");
}

/* ---- whole files ---- */

static void equal_inputs_give_equal_files(void **state) {
    (void)state;
    gguf_source s;
    ar_file a, b;
    gguf_shape shape = gguf_small;
    shape.vocab = 2000;
    gguf_write_folder(folder, &shape);
    gguf_open_source(&s, folder, "tests/golden/tokenizers/legacy.json",
                     (ar_output_request){.type = "q4_1", .sym = -1});
    assert_ok(ar__format_gguf.write(path, &s.write));
    assert_ok(ar__format_gguf.write(in_folder(folder, "two.gguf"), &s.write));
    assert_ok(ar_file_open(&a, path));
    assert_ok(ar_file_open(&b, in_folder(folder, "two.gguf")));
    assert_int_equal(a.bytes, b.bytes);
    assert_memory_equal(a.data, b.data, (size_t)a.bytes);
    ar_file_close(&a);
    ar_file_close(&b);
    gguf_close_source(&s);
}

/* Any changed byte of a quantized tensor is a difference. */
static void verify_finds_every_changed_byte(void **state) {
    (void)state;
    gguf_source s;
    parsed p;
    gguf_write_folder(folder, &gguf_small);
    gguf_open_source(&s, folder, NULL, (ar_output_request){.type = "q4_1", .sym = -1});
    assert_ok(ar__format_gguf.write(path, &s.write));
    parse_file(&p);
    const ar__gguf_tensor *t = tensor_of(&p, "blk.0.attn_v.weight");
    size_t bytes = (size_t)p.file.bytes, from = (size_t)(t->data - p.file.data);
    uint8_t *copy = malloc(bytes);
    memcpy(copy, p.file.data, bytes);
    t = &p.g.tensors[p.g.tensor_count - 1];
    size_t end = (size_t)(t->data - p.file.data) + (size_t)t->bytes; /* only padding follows */
    close_parsed(&p);
    for (size_t i = 0; i < 20; i++) { /* scale, minimum, codes of a block */
        copy[from + i] ^= 1;
        put_file(path, copy, bytes);
        assert_error(ar__format_gguf.verify(path, &s.write), AR_ERR_CHECK, "blk.0.attn_v.weight");
        copy[from + i] ^= 1;
    }
    put_file(path, copy, bytes);
    assert_ok(ar__format_gguf.verify(path, &s.write));
    put_file(path, copy, end - 1);
    assert_int_equal(ar__format_gguf.verify(path, &s.write), AR_ERR_FORMAT);
    free(copy);
    gguf_close_source(&s);
}

static void writing_survives_every_failed_allocation(void **state) {
    (void)state;
    gguf_source s;
    gguf_shape small = {32, 32, 1, 2, 1, 16, 8, true, false, NULL, NULL};
    gguf_write_folder(folder, &small);
    gguf_open_source(&s, folder, NULL, (ar_output_request){.type = "q4_0", .sym = -1});
    ar_status status = AR_ERR_MEMORY;
    int32_t n = 0;
    while (status == AR_ERR_MEMORY && n < 1000) {
        ar__alloc_fail_at(++n);
        status = ar__format_gguf.write(path, &s.write);
        ar__alloc_fail_at(0);
        if (status == AR_OK || !ar_path_exists(path)) continue;
        assert_ok(ar__format_gguf.verify(path, &s.write)); /* failed after the rename: a whole file */
        unlink(path);
    }
    assert_int_equal(status, AR_OK);
    assert_true(n > 10);
    gguf_close_source(&s);
}

static ar_status huge_value(const void *impl, float *dst, int64_t i, int64_t row, int64_t rows) {
    (void)impl;
    (void)i;
    (void)row;
    for (int64_t k = 0; k < rows * 64; k++) dst[k] = 1e6f;
    return AR_OK;
}

static void values_beyond_f16_are_refused(void **state) {
    (void)state;
    gguf_source s;
    gguf_shape square = {64, 64, 1, 4, 4, 16, 64, true, false, NULL, NULL};
    gguf_write_folder(folder, &square);
    gguf_open_source(&s, folder, NULL, (ar_output_request){.type = "f16", .sym = -1});
    ar_weights_vtable vtable = *s.model.weights.vtable;
    const ar_weights_vtable *real = s.model.weights.vtable;
    vtable.read = huge_value;
    s.model.weights.vtable = &vtable;
    assert_error(ar__format_gguf.write(path, &s.write), AR_ERR_UNSUPPORTED, "F16 cannot store");
    assert_false(ar_path_exists(path));
    s.model.weights.vtable = real;
    gguf_close_source(&s);
}

/* One element of every matrix, where the source has it. */
static const ar_weights_vtable *real_vtable;
static float spoilt_value;

static ar_status spoilt_read(const void *impl, float *dst, int64_t i, int64_t row, int64_t rows) {
    assert_ok(real_vtable->read(impl, dst, i, row, rows));
    const ar_weight *w = real_vtable->at(impl, i);
    if (w->dim_count == 2 && row <= 3 && row + rows > 3) dst[(3 - row) * w->dims[1] + 20] = spoilt_value;
    return AR_OK;
}

static void embeddings_that_no_code_holds_are_refused(void **state) {
    (void)state;
    static const struct {
        float value;
        ar_status before; /* what is found before the work; the rest while writing */
        const char *text;
    } cases[] = {{NAN, AR_ERR_FORMAT, "token_embd.weight: found NaN at row 3, column 20"},
                 {INFINITY, AR_ERR_FORMAT, "token_embd.weight: found Inf at row 3, column 20"},
                 {1e30f, AR_ERR_FORMAT, "token_embd.weight: found 1e+30 at row 3, column 20"},
                 {4e8f, AR_OK, "token_embd.weight: found weights from row 3, column 0 on whose scale"}};
    gguf_source s;
    gguf_shape square = {256, 256, 1, 4, 4, 64, 64, true, false, NULL, NULL};
    const char *types[] = {"q8_0", "q6_k"};
    gguf_write_folder(folder, &square);
    for (size_t k = 0; k < 2 * sizeof cases / sizeof *cases; k++) {
        gguf_open_source(&s, folder, NULL, (ar_output_request){.type = "q4_0", .sym = -1});
        assert_ok(ar_output_plan_parts(&s.plan, types[k % 2], types[k % 2]));
        real_vtable = s.model.weights.vtable;
        ar_weights_vtable vtable = *real_vtable;
        vtable.read = spoilt_read;
        s.model.weights.vtable = &vtable;
        spoilt_value = k % 2 || cases[k / 2].before ? cases[k / 2].value : 1e7f;
        assert_int_equal(ar__format_gguf.accepts(&s.model, &s.plan), cases[k / 2].before);
        if (cases[k / 2].before) assert_non_null(strstr(ar_error(), cases[k / 2].text));
        assert_error(ar__format_gguf.write(path, &s.write), AR_ERR_FORMAT, cases[k / 2].text);
        assert_false(ar_path_exists(path));
        s.model.weights.vtable = real_vtable;
        gguf_close_source(&s);
    }
    gguf_open_source(&s, folder, NULL,
                     (ar_output_request){.type = "f16", .sym = -1}); /* NaN is a float like others */
    ar_weights_vtable vtable = *real_vtable;
    vtable.read = spoilt_read;
    spoilt_value = NAN;
    s.model.weights.vtable = &vtable;
    assert_ok(ar__format_gguf.accepts(&s.model, &s.plan));
    s.model.weights.vtable = real_vtable;
    gguf_close_source(&s);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup_path, teardown)
    const struct CMUnitTest tests[] = {T(every_type_round_trips),
                                       T(every_mix_round_trips),
                                       T(the_embedding_and_the_head_have_types_of_their_own),
                                       T(groups_repeat_their_scale),
                                       T(fewer_bits_widen),
                                       T(negative_scales_and_lowest_codes_survive),
                                       T(other_shapes_round_trip),
                                       T(rotary_scaling_round_trips),
                                       T(tokenizers_round_trip),
                                       T(what_llama_cpp_cannot_tokenize_is_refused),
                                       T(tensors_have_the_types_llama_cpp_expects),
                                       T(blocks_lie_where_llama_cpp_reads_them),
                                       T(equal_inputs_give_equal_files),
                                       T(verify_finds_every_changed_byte),
                                       T(writing_survives_every_failed_allocation),
                                       T(values_beyond_f16_are_refused),
                                       T(embeddings_that_no_code_holds_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
