/* host/generate/session.c: generation with packed weights gives the logits that the float path computes from
 * the same weights decoded, for every storage type and for group-wise codes, in chunks and token by token;
 * what fits and what does not. host/job/eval.c: perplexity with packed weights is that of the float path.
 * ctest-labels: device vulkan full */
#include "op_check.h"
#include "temp_files.h"
#include "fmt_gguf.h"
#include "random_model.h"
#include <math.h>

#define TOKENS 45 /* steps of 32 and 8, then one by one */
#define FIRST  40
#define STEPS  (TOKENS - FIRST + 1)
#define VOCAB  288

/* A random model whose matrices are random blocks of `type`, or codes of `scheme`. */
typedef struct packed_weights {
    ar_weights of;
    ar_qtype type;
    ar_scheme scheme;
    bool hidden; /* says nothing of how it is stored: only floats are read */
    uint8_t *blocks[64];
    ar_qlinear codes[64];
} packed_weights;

static uint64_t state;
static uint32_t next(void) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33);
}
static double unit(void) { return (double)next() / 2147483648.0; }

static void put_half(uint8_t *p, double value) {
    uint16_t h = ar_f32_to_f16((float)value);
    memcpy(p, &h, 2);
}

/* Random bits with scales that make weights of about +-0.1. */
static void fill_block(uint8_t *block, ar_qtype type) {
    static const struct {
        ar_qtype type;
        int32_t d, m;
        double scale;
    } places[] = {{AR_QT_Q4_0, 0, -1, 0.01},     {AR_QT_Q4_1, 0, 2, 0.01},    {AR_QT_Q5_0, 0, -1, 0.006},
                  {AR_QT_Q5_1, 0, 2, 0.006},     {AR_QT_Q8_0, 0, -1, 0.001},  {AR_QT_Q2_K, 80, 82, 0.004},
                  {AR_QT_Q3_K, 108, -1, 0.002},  {AR_QT_Q4_K, 0, 2, 0.0003},  {AR_QT_Q5_K, 0, 2, 0.00015},
                  {AR_QT_Q6_K, 208, -1, 0.0001}, {AR_QT_IQ4_NL, 0, -1, 0.001}};
    for (int32_t i = 0; i < ar_qtype_bytes(type); i++) block[i] = (uint8_t)next();
    if (type == AR_QT_F16) put_half(block, 0.2 * unit() - 0.1);
    if (type == AR_QT_F32) memcpy(block, &(float){(float)(0.2 * unit() - 0.1)}, 4);
    if (type == AR_QT_BF16) {
        uint16_t h = ar_f32_to_bf16((float)(0.2 * unit() - 0.1));
        memcpy(block, &h, 2);
    }
    for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
        if (places[k].type != type) continue;
        double scale = places[k].scale * (0.5 + unit());
        put_half(block + places[k].d, next() & 1 ? -scale : scale);
        if (places[k].m >= 0)
            put_half(block + places[k].m,
                     type == AR_QT_Q4_1 || type == AR_QT_Q5_1 ? -7.5 * scale : 0.5 * scale);
    }
}

static int64_t count_of(const void *impl) {
    return ((const packed_weights *)impl)->of.vtable->count(((const packed_weights *)impl)->of.impl);
}
static const ar_weight *weight_at(const void *impl, int64_t i) {
    return ((const packed_weights *)impl)->of.vtable->at(((const packed_weights *)impl)->of.impl, i);
}

static ar_status read_rows(const void *impl, float *dst, int64_t i, int64_t row, int64_t rows) {
    const packed_weights *w = impl;
    const ar_weight *t = weight_at(impl, i);
    if (t->dim_count != 2) return w->of.vtable->read(w->of.impl, dst, i, row, rows);
    if (w->type == AR_QT_GROUP) {
        float *all = malloc(sizeof(float) * (size_t)(t->dims[0] * t->dims[1]));
        ar_qlinear_dequant(all, &w->codes[i]);
        memcpy(dst, all + row * t->dims[1], sizeof(float) * (size_t)(rows * t->dims[1]));
        free(all);
        return AR_OK;
    }
    int64_t bytes = ar_qtype_row_bytes(w->type, t->dims[1]);
    ar__gguf_decode(dst, ar__gguf_type_of(ar_qtype_gguf_id(w->type)), w->blocks[i] + row * bytes,
                    rows * t->dims[1]);
    return AR_OK;
}

static ar_status read_codes(const void *impl, ar_qlinear *q, int64_t i) {
    const packed_weights *w = impl;
    const ar_qlinear *mine = &w->codes[i];
    if (w->hidden || w->type != AR_QT_GROUP || weight_at(impl, i)->dim_count != 2) return AR_ERR_UNSUPPORTED;
    assert_ok(ar_qlinear_init(q, &w->scheme, mine->O, mine->I));
    memcpy(q->codes, mine->codes, (size_t)(q->O * q->I));
    memcpy(q->scales, mine->scales, (size_t)(q->O * q->groups) * 2);
    memcpy(q->zeros, mine->zeros, (size_t)(q->O * q->groups));
    if (q->mins) memcpy(q->mins, mine->mins, (size_t)(q->O * q->groups) * 2);
    return AR_OK;
}

static ar_status raw(const void *impl, ar_qtype *type, const uint8_t **blocks, uint64_t *row_stride,
                     int64_t i) {
    const packed_weights *w = impl;
    if (w->hidden || w->type == AR_QT_GROUP || weight_at(impl, i)->dim_count != 2) return AR_ERR_UNSUPPORTED;
    *type = w->type;
    *blocks = w->blocks[i];
    *row_stride = (uint64_t)ar_qtype_row_bytes(w->type, weight_at(impl, i)->dims[1]);
    return AR_OK;
}

static void fill_codes(ar_qlinear *q, const ar_scheme *scheme, const ar_weight *t) {
    assert_ok(ar_qlinear_init(q, scheme, t->dims[0], t->dims[1]));
    for (int64_t k = 0; k < q->O * q->I; k++) q->codes[k] = (uint8_t)(next() & ((1u << scheme->bits) - 1));
    for (int64_t k = 0; k < q->O * q->groups; k++) {
        double scale = 0.2 / (double)(1 << scheme->bits) * (0.5 + unit());
        q->scales[k] = ar_f32_to_f16((float)(next() & 1 && scheme->zero == AR_ZERO_SYM ? -scale : scale));
        q->zeros[k] = (uint8_t)(1u << (scheme->bits - 1));
        if (q->mins) q->mins[k] = ar_f32_to_f16((float)(-scale * (double)(1 << (scheme->bits - 1))));
    }
}

static void weights_init(packed_weights *w, ar_open_model *m, ar_qtype type, const ar_scheme *scheme) {
    static const ar_weights_vtable vtable = {NULL, count_of, weight_at, read_rows, read_codes, raw, NULL};
    *w = (packed_weights){.of = m->weights, .type = type};
    if (scheme) w->scheme = *scheme;
    assert_true(count_of(w) <= 64);
    for (int64_t i = 0; i < count_of(w); i++) {
        const ar_weight *t = weight_at(w, i);
        if (t->dim_count != 2) continue;
        if (type == AR_QT_GROUP) {
            fill_codes(&w->codes[i], scheme, t);
            continue;
        }
        int64_t elems = ar_qtype_elems(type), bytes = ar_qtype_bytes(type),
                blocks = t->dims[0] * t->dims[1] / elems;
        w->blocks[i] = malloc((size_t)(blocks * bytes));
        for (int64_t k = 0; k < blocks; k++) fill_block(w->blocks[i] + k * bytes, type);
    }
    m->weights = (ar_weights){.vtable = &vtable, .impl = w};
}

static void weights_deinit(packed_weights *w, ar_open_model *m) {
    m->weights = w->of;
    for (int i = 0; i < 64; i++) {
        free(w->blocks[i]);
        ar_qlinear_deinit(&w->codes[i]);
    }
}

static const ar_config config = {.family = "llama",
                                 .hidden = 256,
                                 .intermediate = 512,
                                 .vocab = VOCAB,
                                 .layers = 2,
                                 .heads = 8,
                                 .kv_heads = 2,
                                 .head_dim = 32,
                                 .max_tokens = 64,
                                 .rms_eps = 1e-5f,
                                 .rope_theta = 10000.0f,
                                 .bos = -1,
                                 .eos = -1};

/* The largest difference over the standard deviation of what is expected. */
static double apart(const float *got, const float *want) {
    double mean = 0, square = 0, most = 0;
    for (int i = 0; i < VOCAB; i++) mean += (double)want[i] / VOCAB;
    for (int i = 0; i < VOCAB; i++) square += ((double)want[i] - mean) * ((double)want[i] - mean) / VOCAB;
    for (int i = 0; i < VOCAB; i++) most = fmax(most, fabs((double)got[i] - (double)want[i]));
    return most / sqrt(square);
}

/* Logits (V) after 40 tokens taken in at once and after every later one. */
static void run_session(float *got, const ar_open_model *m, ar_device *device, const int32_t *ids) {
    ar_session *s;
    assert_ok(ar_session_create(&s, m, device, 0));
    assert_int_equal(ar_session_context(s), 64);
    for (int t = FIRST; t <= TOKENS; t++) assert_ok(ar_session_logits(s, got + (t - FIRST) * VOCAB, ids, t));
    ar_session_destroy(s);
}

/* Packed weights against the same weights as floats, in the same session: what differs is the order of sums
 * alone. And that session against the float path, whose keys and values are not fp16. */
static void check_type(ar_device *device, ar_qtype type, const ar_scheme *scheme) {
    static packed_weights w;
    static float want[TOKENS * VOCAB], floats[STEPS * VOCAB], got[STEPS * VOCAB];
    int32_t ids[TOKENS];
    ar_open_model *m;
    char what[64];
    double most = 0, halves = 0;
    state = 7 + (uint64_t)type;
    snprintf(what, sizeof what, "%s %d:%d:%d", ar_qtype_name(type), scheme ? scheme->bits : 0,
             scheme ? scheme->group : 0, scheme ? (int)scheme->zero : 0);
    assert_ok(ar_random_model_open(&m, &config, 3));
    weights_init(&w, m, type, scheme);
    for (int t = 0; t < TOKENS; t++) ids[t] = (int32_t)(next() % VOCAB);
    assert_ok(ar_model_logits(want, m, device, ids, TOKENS, TOKENS));
    run_session(got, m, device, ids);
    w.hidden = true;
    run_session(floats, m, device, ids);
    for (int t = 0; t < STEPS; t++) {
        most = fmax(most, apart(got + t * VOCAB, floats + t * VOCAB));
        halves = fmax(halves, apart(floats + t * VOCAB, want + (t + FIRST - 1) * VOCAB));
    }
    print_message("%s %s: off by %.2g, fp16 caches by %.2g\n", check_name(device), what, most, halves);
    if (!(most <= 1e-3))
        fail_msg("%s on %s: logits are off by %.3g of their deviation", what, check_name(device), most);
    if (!(halves <= 2e-2))
        fail_msg("%s on %s: fp16 caches put logits off by %.3g", what, check_name(device), halves);
    weights_deinit(&w, m);
    ar_random_model_close(m);
}

static void types_case(ar_device *device, void *ctx) {
    (void)ctx;
    for (int type = 0; type < AR_QT_GROUP; type++) check_type(device, (ar_qtype)type, NULL);
}

static void groups_case(ar_device *device, void *ctx) {
    (void)ctx;
    static const ar_scheme schemes[] = {{.bits = 4, .group = 128, .zero = AR_ZERO_SYM},
                                        {.bits = 2, .group = 32, .zero = AR_ZERO_INT},
                                        {.bits = 3, .group = 64, .zero = AR_ZERO_INT},
                                        {.bits = 8, .group = -1, .zero = AR_ZERO_SYM},
                                        {.bits = 4, .group = 32, .zero = AR_ZERO_F16MIN}};
    for (size_t k = 0; k < sizeof schemes / sizeof *schemes; k++)
        check_type(device, AR_QT_GROUP, &schemes[k]);
}

static void every_type_gives_the_float_paths_logits(void **unused) {
    (void)unused;
    check_each_device(types_case, NULL);
}

static void group_codes_give_the_float_paths_logits(void **unused) {
    (void)unused;
    check_each_device(groups_case, NULL);
}

/* ---- evaluation ---- */

enum { EVAL_VOCAB = 1024, EVAL_T = 24, EVAL_WINDOWS = 3 };

static double row_nll(const float *logits, int32_t label) {
    double most = -INFINITY, sum = 0;
    for (int i = 0; i < EVAL_VOCAB; i++) most = fmax(most, (double)logits[i]);
    for (int i = 0; i < EVAL_VOCAB; i++) sum += exp((double)logits[i] - most);
    return most + log(sum) - (double)logits[label];
}

/* Perplexity of packed weights, three windows at once, against the float path's logits of each of them. */
static void check_eval(ar_device *device, ar_qtype type, const ar_scheme *scheme) {
    static packed_weights w;
    static float logits[EVAL_T * EVAL_VOCAB];
    static const char text[] =
        "To be found in any house where people have lived for long: a drawer that holds what nobody needs, "
        "and "
        "that nobody throws away. Keys to doors that are gone, a photograph of strangers, three coins.";
    ar_config larger = config;
    ar_open_model *m;
    ar_eval_result r;
    int32_t *ids;
    int64_t count;
    double nll = 0;
    larger.vocab = EVAL_VOCAB;
    state = 11 + (uint64_t)type;
    assert_ok(ar_random_model_open(&m, &larger, 3));
    weights_init(&w, m, type, scheme);
    assert_ok(ar_tokenizer_open(&m->tokenizer, "examples/demo-model/tokenizer.json"));
    assert_ok(ar_tokenizer_encode(m->tokenizer, &ids, &count, text, sizeof text - 1, false));
    assert_true(count >= EVAL_T * EVAL_WINDOWS);
    assert_ok(ar_eval_text(&r, m, NULL, device, text, sizeof text - 1,
                           &(ar_eval_desc){.window = EVAL_T, .max_windows = EVAL_WINDOWS}, NULL));
    assert_int_equal(r.tokens, (EVAL_T - 1) * EVAL_WINDOWS);
    w.hidden = true;
    for (int k = 0; k < EVAL_WINDOWS; k++) {
        const int32_t *window = ids + k * EVAL_T;
        assert_ok(ar_model_logits(logits, m, device, window, EVAL_T, EVAL_T));
        for (int t = 0; t + 1 < EVAL_T; t++) nll += row_nll(logits + t * EVAL_VOCAB, window[t + 1]);
    }
    nll /= (double)r.tokens;
    print_message("%s %s: nll %.8f, float path %.8f\n", check_name(device), ar_qtype_name(type), r.nll, nll);
    assert_true(fabs(r.nll - nll) <= 1e-5 * nll);
    free(ids);
    ar_tokenizer_close(m->tokenizer);
    m->tokenizer = NULL;
    weights_deinit(&w, m);
    ar_random_model_close(m);
}

static void eval_case(ar_device *device, void *ctx) {
    (void)ctx;
    check_eval(device, AR_QT_Q4_0, NULL);
    check_eval(device, AR_QT_Q6_K, NULL);
    check_eval(device, AR_QT_BF16, NULL);
    check_eval(device, AR_QT_GROUP, &(ar_scheme){.bits = 3, .group = 64, .zero = AR_ZERO_INT});
}

static void eval_gives_the_float_paths_perplexity(void **unused) {
    (void)unused;
    check_each_device(eval_case, NULL);
}

/* ---- memory ---- */

static void room_case(ar_device *device, void *ctx) {
    ar_open_model *m;
    ar_session *s = NULL;
    ar_config large = config;
    (void)ctx;
    large.max_tokens = 1 << 28;
    assert_ok(ar_random_model_open(&m, &large, 3));
    assert_int_equal(ar_session_create(&s, m, device, (1 << 28) + 1), AR_ERR_USAGE);
    ar_status status = ar_session_create(&s, m, device, 1 << 28); /* 32 GiB in one buffer */
    assert_int_equal(status, AR_ERR_DEVICE_MEMORY);
    assert_non_null(strstr(ar_error(), "-c "));
    assert_null(s);
    ar_random_model_close(m);
}

static void a_context_that_does_not_fit_is_told(void **unused) {
    (void)unused;
    check_each_device(room_case, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_context_that_does_not_fit_is_told),
        cmocka_unit_test(eval_gives_the_float_paths_perplexity),
        cmocka_unit_test(group_codes_give_the_float_paths_logits),
        cmocka_unit_test(every_type_gives_the_float_paths_logits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
