/* Hooks that stack, and a model as Gemma's are: norms before and behind every branch, a block that ends in a
 * norm, a gate by GELU, scores and logits that are capped. Block evaluation, generation from caches and a
 * scalar reference in double agree on every device. The head's gradient. ctest-labels: device vulkan */
#include "op_check.h"
#include "ar_error.h"
#include "ar_host.h"
#include "tap.h"

enum { HIDDEN = 32, HEADS = 4, KV = 2, D = 8, INNER = 48, VOCAB = 40, LAYERS = 2, T = 12, PAIRS = D / 2 };
enum { Q, K, V, O, GATE, UP, DOWN, LINEARS };
enum { PRE_ATTENTION, POST_ATTENTION, PRE_MLP, POST_MLP, LAST, NORMS };

#define EPS       1e-5f
#define SCORE_CAP 1.5f
#define LOGIT_CAP 3.0f

/* ---- the model ---- */

static const int64_t shapes[LINEARS][2] = {{HEADS * D, HIDDEN}, {KV * D, HIDDEN}, {KV * D, HIDDEN},
                                           {HIDDEN, HEADS *D},  {INNER, HIDDEN},  {INNER, HIDDEN},
                                           {HIDDEN, INNER}};
static const float freq[PAIRS] = {1.0f, 0.5f, 0.25f, 0.125f};
static const int32_t windows[LAYERS] = {0, 5};

typedef struct gemma {
    float *linears[LAYERS][LINEARS], *norms[LAYERS][NORMS], *embedding, *head, *final_norm;
    ar_block blocks[LAYERS];
    ar_open_model open;
    int32_t ids[T];
} gemma;

static const gemma *of(const ar_block *b) { return b->impl; }

/* Block 0 ends in a norm of the sum. */
static ar_status forward(const ar_block *b, ar_graph *g, ar_tensor **y, ar_tensor *x, int32_t tokens,
                         const ar_hook *hook) {
    const ar_attention a = {
        .D = D, .freq = freq, .pairs = PAIRS, .window = windows[b->index], .cap = SCORE_CAP};
    ar_tensor *n1, *qkv[3], *mixed, *o, *post, *h, *n2, *act, *down, *sum;
    AR_TRY(ar_hook_norm(hook, g, &n1, PRE_ATTENTION, x));
    AR_TRY(ar_hook_linears(hook, g, qkv, (const int32_t[]){Q, K, V}, 3, n1));
    AR_TRY(ar_hook_attention(hook, g, &mixed, qkv[0], qkv[1], qkv[2], &a, tokens));
    AR_TRY(ar_hook_linear(hook, g, &o, O, mixed));
    AR_TRY(ar_hook_norm(hook, g, &post, POST_ATTENTION, o));
    AR_TRY(ar_hook_add(hook, g, &h, x, post));
    AR_TRY(ar_hook_norm(hook, g, &n2, PRE_MLP, h));
    AR_TRY(ar_hook_gated(hook, g, &act, GATE, UP, AR_ACT_GELU_TANH, n2));
    AR_TRY(ar_hook_linear(hook, g, &down, DOWN, act));
    AR_TRY(ar_hook_norm(hook, g, &post, POST_MLP, down));
    AR_TRY(ar_hook_add(hook, g, &sum, h, post));
    *y = sum;
    return b->index == 0 ? ar_hook_norm(hook, g, y, LAST, sum) : AR_OK;
}

static ar_status copy_rows(float *dst, const float *src, int64_t row, int64_t rows, int64_t width) {
    memcpy(dst, src + row * width, (size_t)(rows * width) * sizeof *dst);
    return AR_OK;
}

static ar_status read_linear(const ar_block *b, float *dst, int32_t i, int64_t row, int64_t rows) {
    return copy_rows(dst, of(b)->linears[b->index][i], row, rows, b->linears[i].I);
}
static ar_status read_norm(const ar_block *b, float *dst, int32_t j) {
    return copy_rows(dst, of(b)->norms[b->index][j], 0, 1, HIDDEN);
}
static void describe(ar_stored *s, const float *rows, int64_t out, int64_t in) {
    s->desc = (ar_resident_weight_desc){.type = AR_QT_F32,
                                        .O = out,
                                        .I = in,
                                        .blocks = (const uint8_t *)rows,
                                        .row_stride = (uint64_t)in * sizeof *rows};
}
static ar_status describe_linear(const ar_block *b, ar_stored *s, int32_t i) {
    describe(s, of(b)->linears[b->index][i], b->linears[i].O, b->linears[i].I);
    return AR_OK;
}
static ar_status read_embedding(const ar_model *m, float *dst, int64_t row, int64_t rows) {
    return copy_rows(dst, ((const gemma *)m->impl)->embedding, row, rows, HIDDEN);
}
static ar_status read_head(const ar_model *m, float *dst, int64_t row, int64_t rows) {
    return copy_rows(dst, ((const gemma *)m->impl)->head, row, rows, HIDDEN);
}
static ar_status read_final_norm(const ar_model *m, float *dst) {
    return copy_rows(dst, ((const gemma *)m->impl)->final_norm, 0, 1, HIDDEN);
}
static ar_status describe_head(const ar_model *m, ar_stored *s) {
    describe(s, ((const gemma *)m->impl)->head, VOCAB, HIDDEN);
    return AR_OK;
}

static void make_block(gemma *m, int32_t l) {
    ar_block *b = &m->blocks[l];
    *b = (ar_block){.index = l,
                    .name = "block",
                    .linear_count = LINEARS,
                    .norm_count = NORMS,
                    .hidden = HIDDEN,
                    .impl = m,
                    .heads = HEADS,
                    .head_dim = D,
                    .kv_width = KV * D,
                    .forward = forward,
                    .read_linear = read_linear,
                    .read_norm = read_norm,
                    .describe_linear = describe_linear};
    for (int32_t i = 0; i < LINEARS; i++) {
        b->linears[i] = (ar_linear){.name = "linear", .O = shapes[i][0], .I = shapes[i][1]};
        m->linears[l][i] =
            check_floats(shapes[i][0] * shapes[i][1], (uint64_t)(100 * l + i + 1), -0.5f, 0.5f);
    }
    for (int32_t j = 0; j < NORMS; j++) {
        b->norms[j] = (ar_norm){.name = "norm", .I = HIDDEN, .eps = EPS};
        m->norms[l][j] = check_floats(HIDDEN, (uint64_t)(100 * l + 50 + j), 0.5f, 1.5f);
    }
}

static void gemma_init(gemma *m) {
    uint64_t state = check_seed();
    memset(m, 0, sizeof *m);
    for (int32_t l = 0; l < LAYERS; l++) make_block(m, l);
    m->embedding = check_floats(VOCAB * HIDDEN, 901, -1, 1);
    m->head = check_floats(VOCAB * HIDDEN, 902, -0.5f, 0.5f);
    m->final_norm = check_floats(HIDDEN, 903, 0.5f, 1.5f);
    for (int32_t t = 0; t < T; t++) m->ids[t] = (int32_t)(check_random(&state) % VOCAB);
    m->open.path = "made up";
    m->open.model = (ar_model){.block_count = LAYERS,
                               .hidden = HIDDEN,
                               .vocab = VOCAB,
                               .max_tokens = 32,
                               .impl = m,
                               .blocks = m->blocks,
                               .final_norm = {.name = "norm", .I = HIDDEN, .eps = EPS},
                               .logit_cap = LOGIT_CAP,
                               .read_embedding = read_embedding,
                               .read_head = read_head,
                               .read_final_norm = read_final_norm,
                               .describe_head = describe_head};
}

static void gemma_deinit(gemma *m) {
    for (int32_t l = 0; l < LAYERS; l++) {
        for (int32_t i = 0; i < LINEARS; i++) free(m->linears[l][i]);
        for (int32_t j = 0; j < NORMS; j++) free(m->norms[l][j]);
    }
    free(m->embedding);
    free(m->head);
    free(m->final_norm);
}

/* ---- the reference ---- */

static void ref_norm(double *y, const double *x, const float *w) {
    double squares = 0;
    for (int i = 0; i < HIDDEN; i++) squares += x[i] * x[i];
    double r = 1 / sqrt(squares / HIDDEN + (double)EPS);
    for (int i = 0; i < HIDDEN; i++) y[i] = x[i] * r * (double)w[i];
}

static void ref_product(double *y, const double *x, const float *W, int64_t out, int64_t in) {
    for (int64_t o = 0; o < out; o++) {
        y[o] = 0;
        for (int64_t i = 0; i < in; i++) y[o] += (double)W[o * in + i] * x[i];
    }
}

static double cap_at(double x, double cap) { return cap * tanh(x / cap); }

static void ref_turn(double *x, int heads, int pos) {
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < PAIRS; i++) {
            double angle = (double)((float)pos * freq[i]), a = x[h * D + i], b = x[h * D + i + PAIRS];
            x[h * D + i] = a * cos(angle) - b * sin(angle);
            x[h * D + i + PAIRS] = b * cos(angle) + a * sin(angle);
        }
}

/* Row t of attention over keys and values (T, KV D). */
static void ref_attend(double *y, const double *q, double (*k)[KV * D], double (*v)[KV * D], int t,
                       int window) {
    for (int h = 0; h < HEADS; h++) {
        double p[T], sum = 0;
        int first = window > 0 && t + 1 > window ? t + 1 - window : 0, at = h / (HEADS / KV) * D;
        for (int j = first; j <= t; j++) {
            double s = 0;
            for (int i = 0; i < D; i++) s += q[h * D + i] * k[j][at + i];
            sum += p[j] = exp(cap_at(s / sqrt(D), (double)SCORE_CAP));
        }
        for (int i = 0; i < D; i++) {
            y[h * D + i] = 0;
            for (int j = first; j <= t; j++) y[h * D + i] += p[j] / sum * v[j][at + i];
        }
    }
}

static void ref_mlp(double *y, const double *x, float *const *W) {
    double gate[INNER], up[INNER];
    ref_product(gate, x, W[GATE], INNER, HIDDEN);
    ref_product(up, x, W[UP], INNER, HIDDEN);
    for (int i = 0; i < INNER; i++) {
        double u = sqrt(2 / acos(-1)) * (gate[i] + 0.044715 * gate[i] * gate[i] * gate[i]);
        gate[i] = gate[i] * (1 + tanh(u)) / 2 * up[i];
    }
    ref_product(y, gate, W[DOWN], HIDDEN, INNER);
}

static void ref_block(double (*x)[HIDDEN], const gemma *m, int l) {
    double k[T][KV * D], v[T][KV * D], q[T][HEADS * D], n[HIDDEN], mixed[HEADS * D], branch[HIDDEN];
    for (int t = 0; t < T; t++) {
        ref_norm(n, x[t], m->norms[l][PRE_ATTENTION]);
        ref_product(q[t], n, m->linears[l][Q], HEADS * D, HIDDEN);
        ref_product(k[t], n, m->linears[l][K], KV * D, HIDDEN);
        ref_product(v[t], n, m->linears[l][V], KV * D, HIDDEN);
        ref_turn(q[t], HEADS, t);
        ref_turn(k[t], KV, t);
    }
    for (int t = 0; t < T; t++) {
        ref_attend(mixed, q[t], k, v, t, windows[l]);
        ref_product(branch, mixed, m->linears[l][O], HIDDEN, HEADS * D);
        ref_norm(n, branch, m->norms[l][POST_ATTENTION]);
        for (int i = 0; i < HIDDEN; i++) x[t][i] += n[i];
        ref_norm(n, x[t], m->norms[l][PRE_MLP]);
        ref_mlp(branch, n, m->linears[l]);
        ref_norm(n, branch, m->norms[l][POST_MLP]);
        for (int i = 0; i < HIDDEN; i++) x[t][i] += n[i];
        if (l > 0) continue;
        ref_norm(n, x[t], m->norms[l][LAST]);
        memcpy(x[t], n, sizeof n);
    }
}

static void ref_logits(double *logits, const gemma *m) {
    double x[T][HIDDEN], n[HIDDEN];
    for (int t = 0; t < T; t++)
        for (int i = 0; i < HIDDEN; i++) x[t][i] = (double)m->embedding[m->ids[t] * HIDDEN + i];
    for (int l = 0; l < LAYERS; l++) ref_block(x, m, l);
    for (int t = 0; t < T; t++) {
        ref_norm(n, x[t], m->final_norm);
        ref_product(&logits[t * VOCAB], n, m->head, VOCAB, HIDDEN);
        for (int i = 0; i < VOCAB; i++)
            logits[t * VOCAB + i] = cap_at(logits[t * VOCAB + i], (double)LOGIT_CAP);
    }
}

/* ---- evaluation and generation against it ---- */

static void evaluation_case(ar_device *device, void *ctx) {
    const gemma *m = ctx;
    double want[T * VOCAB];
    float got[T * VOCAB];
    ref_logits(want, m);
    CHECK_OK(ar_model_logits(got, &m->open, device, m->ids, T, T));
    check_close(device, "evaluation", got, want, T * VOCAB, 2e-5);
}

static void generation_case(ar_device *device, void *ctx) {
    const gemma *m = ctx;
    double want[T * VOCAB];
    float got[VOCAB];
    ref_logits(want, m);
    for (int32_t first = 1; first <= 9; first += 8) { /* one by one from the start; behind a step of 8 */
        ar_session *s = NULL;
        CHECK_OK(ar_session_create(&s, &m->open, device, T));
        for (int32_t count = first; count <= T; count++) {
            CHECK_OK(ar_session_logits(s, got, m->ids, count));
            check_close(device, "generation", got, &want[(count - 1) * VOCAB], VOCAB, 5e-3);
        }
        ar_session_destroy(s);
    }
}

static void on_every_device(check_case run) {
    gemma m;
    gemma_init(&m);
    check_each_device(run, &m);
    gemma_deinit(&m);
}

static void norms_behind_branches_evaluate(void **state) { (void)state, on_every_device(evaluation_case); }
static void norms_behind_branches_generate(void **state) { (void)state, on_every_device(generation_case); }

/* ---- taps ---- */

typedef struct look {
    ar_tensor *sums[LINEARS];
    int32_t count;
    ar_hook hook;
} look;

static ar_status look_linear(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    look *l = ctx;
    l->count++;
    AR_TRY(ar_op_square_sums(g, l->sums[i], x));
    return ar_hook_linear(l->hook.base, g, y, i, x);
}

static void look_init(look *l, ar_device *device, const ar_hook *base) {
    *l = (look){.hook = {.linear = look_linear, .ctx = l, .base = base}};
    for (int32_t i = 0; i < LINEARS; i++) {
        float *zeros = calloc((size_t)shapes[i][1], sizeof *zeros);
        l->sums[i] = check_tensor(device, AR_F32, shapes[i][1], -1, zeros);
        free(zeros);
    }
}

/* y (T, HIDDEN) and what the looks saw, which are then gone. */
static float *look_run(ar_device *device, const gemma *m, const ar_hook *hook, look *looks, int32_t count,
                       float *seen[2][LINEARS]) {
    ar_chain x;
    CHECK_OK(ar_chain_init(&x, T, HIDDEN, NULL, 0));
    CHECK_OK(ar_chain_embed(&x, &m->open.model, &(ar_samples){(int32_t *)(uintptr_t)m->ids, 1, T}));
    CHECK_OK(ar_chain_forward(&x, &x, device, &m->blocks[0], hook, T, 1));
    float *y = malloc(sizeof *y * T * HIDDEN);
    assert_non_null(y);
    memcpy(y, x.data, sizeof *y * T * HIDDEN);
    ar_chain_deinit(&x);
    for (int32_t n = 0; n < count; n++)
        for (int32_t i = 0; i < LINEARS; i++) {
            seen[n][i] = check_read(looks[n].sums[i]);
            ar_tensor_destroy(looks[n].sums[i]);
        }
    return y;
}

static void taps_case(ar_device *device, void *ctx) {
    const gemma *m = ctx;
    ar_block_weights w;
    look one[1], two[2];
    float *alone[2][LINEARS], *both[2][LINEARS];
    CHECK_OK(ar_block_weights_init(&w, &m->blocks[0], device));
    look_init(&one[0], device, &w.hook);
    look_init(&two[0], device, &w.hook);
    look_init(&two[1], device, &two[0].hook);
    float *plain = look_run(device, m, &w.hook, NULL, 0, alone);
    float *tapped = look_run(device, m, &one[0].hook, one, 1, alone);
    float *twice = look_run(device, m, &two[1].hook, two, 2, both);
    assert_memory_equal(plain, tapped, sizeof *plain * T * HIDDEN);
    assert_memory_equal(plain, twice, sizeof *plain * T * HIDDEN);
    assert_int_equal(one[0].count, LINEARS);
    for (int32_t i = 0; i < LINEARS; i++) {
        size_t bytes = (size_t)shapes[i][1] * sizeof(float);
        assert_true(alone[0][i][0] > 0);
        for (int32_t n = 0; n < 2; n++) {
            assert_memory_equal(both[n][i], alone[0][i], bytes);
            free(both[n][i]);
        }
        free(alone[0][i]);
    }
    free(plain);
    free(tapped);
    free(twice);
    ar_block_weights_deinit(&w);
}

static void two_taps_see_what_one_sees(void **state) { (void)state, on_every_device(taps_case); }

static bool any_above_zero(const ar_tensor *t) {
    float *x = check_read(t);
    bool any = false;
    for (int64_t i = 0; i < ar_tensor_count(t); i++) {
        assert_true(isfinite(x[i]));
        any = any || x[i] > 0;
    }
    free(x);
    return any;
}

/* What holds for any row of taps.def: the tap sees every linear's input, and what passes stays what it is. */
static void each_tap(ar_device *device, void *ctx) {
    const gemma *m = ctx;
    ar_block_weights w;
    float *none[2][LINEARS];
    CHECK_OK(ar_block_weights_init(&w, &m->blocks[0], device));
    float *plain = look_run(device, m, &w.hook, NULL, 0, none);
    for (int32_t k = 0; k < AR__TAP_COUNT; k++) {
        uint32_t wanted[LINEARS];
        ar__taps taps;
        for (int32_t i = 0; i < LINEARS; i++) wanted[i] = 1u << k;
        CHECK_OK(ar__taps_init(&taps, device, &m->blocks[0], &w.hook, wanted));
        float *tapped = look_run(device, m, ar__taps_hook(&taps), NULL, 0, none);
        CHECK_OK(ar__taps_finish(&taps));
        assert_memory_equal(plain, tapped, sizeof *plain * T * HIDDEN);
        for (int32_t i = 0; i < LINEARS; i++)
            assert_true(any_above_zero(ar__taps_at(&taps, (ar__tap_id)k, i)));
        print_message("%s, tap %s: seen\n", check_name(device), taps.layers[k].tap->name);
        ar__taps_deinit(&taps);
        free(tapped);
    }
    free(plain);
    ar_block_weights_deinit(&w);
}

static void every_tap_sees_every_input(void **state) { (void)state, on_every_device(each_tap); }

/* ---- what falls through ---- */

typedef struct calls {
    int32_t linear, norm, add, linears, linear_add;
} calls;

static ar_status count_linear(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    (void)g, (void)i;
    ((calls *)ctx)->linear++;
    *y = x;
    return AR_OK;
}
static ar_status count_norm(void *ctx, ar_graph *g, ar_tensor **y, int32_t j, ar_tensor *x) {
    (void)g, (void)j;
    ((calls *)ctx)->norm++;
    *y = x;
    return AR_OK;
}
static ar_status count_add(void *ctx, ar_graph *g, ar_tensor **y, ar_tensor *a, ar_tensor *b) {
    (void)g, (void)b;
    ((calls *)ctx)->add++;
    *y = a;
    return AR_OK;
}
static ar_status count_linears(void *ctx, ar_graph *g, ar_tensor **y, const int32_t *i, int32_t count,
                               ar_tensor *x) {
    (void)g, (void)i;
    ((calls *)ctx)->linears++;
    for (int32_t n = 0; n < count; n++) y[n] = x;
    return AR_OK;
}
static ar_status count_linear_add(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x,
                                  ar_tensor *residual) {
    (void)g, (void)i, (void)residual;
    ((calls *)ctx)->linear_add++;
    *y = x;
    return AR_OK;
}

static void groups_fall_through_where_no_part_is_overridden(void **state) {
    (void)state;
    calls below = {0}, above = {0};
    const ar_hook base = {.linear = count_linear,
                          .norm = count_norm,
                          .linears = count_linears,
                          .linear_add = count_linear_add,
                          .ctx = &below};
    const ar_hook normed = {.norm = count_norm, .ctx = &above, .base = &base};
    const ar_hook tapped = {.linear = count_linear, .ctx = &above, .base = &normed};
    const ar_hook summed = {.add = count_add, .ctx = &above, .base = &normed};
    ar_tensor *y[2] = {NULL, NULL};
    CHECK_OK(ar_hook_linears(&normed, NULL, y, (const int32_t[]){0, 1}, 2, NULL));
    CHECK_OK(ar_hook_linear_add(&normed, NULL, y, 0, NULL, NULL));
    assert_true(below.linears == 1 && below.linear_add == 1 && below.linear == 0 && above.linear == 0);
    CHECK_OK(ar_hook_linears(&tapped, NULL, y, (const int32_t[]){0, 1}, 2, NULL));
    assert_true(below.linears == 1 && above.linear == 2);
    CHECK_OK(ar_hook_linear_add(&summed, NULL, y, 0, NULL, NULL));
    assert_true(below.linear_add == 1 && below.linear == 1 && above.add == 1);
    CHECK_OK(ar_hook_norm(&tapped, NULL, y, 0, NULL));
    assert_true(above.norm == 1 && below.norm == 0);
    assert_int_equal(ar_hook_linear(&(ar_hook){.norm = count_norm}, NULL, y, 0, NULL), AR_ERR_ARG);
    assert_int_equal(ar_hook_norm(&(ar_hook){.linear = count_linear}, NULL, y, 0, NULL), AR_ERR_ARG);
}

/* ---- the head ---- */

static ar_status head_forward(ar_graph *g, ar_tensor **y, ar_tensor **leaves, void *ctx) {
    (void)ctx;
    const ar_head head = {.norm = leaves[1],
                          .rows = leaves[2],
                          .kind = {.name = "norm", .I = HIDDEN, .eps = EPS},
                          .cap = LOGIT_CAP};
    return ar_head_record(&head, g, y, leaves[0]);
}

static void head_case(ar_device *device, void *ctx) {
    const gemma *m = ctx;
    float *x = check_floats(T * HIDDEN, 904, -1, 1);
    check_gradient c = {.what = "head", .forward = head_forward, .leaf_count = 3};
    c.leaves[0] = check_tensor(device, AR_F32, T, HIDDEN, x);
    c.leaves[1] = check_tensor(device, AR_F32, HIDDEN, -1, m->final_norm);
    c.leaves[2] = check_tensor(device, AR_F32, VOCAB, HIDDEN, m->head);
    check_gradients(device, &c);
    for (int32_t i = 0; i < 3; i++) ar_tensor_destroy(c.leaves[i]);
    free(x);
}

static void head_gradient_is_its_difference(void **state) { (void)state, on_every_device(head_case); }

/* In f32 and as it is stored. */
static void both_heads_case(ar_device *device, void *ctx) {
    const gemma *m = ctx;
    float *x = check_floats(T * HIDDEN, 905, -1, 1);
    double want[T * VOCAB];
    for (int t = 0; t < T; t++) {
        double row[HIDDEN], n[HIDDEN];
        for (int i = 0; i < HIDDEN; i++) row[i] = (double)x[t * HIDDEN + i];
        ref_norm(n, row, m->final_norm);
        ref_product(&want[t * VOCAB], n, m->head, VOCAB, HIDDEN);
        for (int i = 0; i < VOCAB; i++) want[t * VOCAB + i] = cap_at(want[t * VOCAB + i], (double)LOGIT_CAP);
    }
    for (int stored = 0; stored < 2; stored++) {
        ar_head head;
        ar_graph *g = NULL;
        ar_tensor *logits = NULL, *t = check_tensor(device, AR_F32, T, HIDDEN, x);
        CHECK_OK(stored ? ar_head_init_stored(&head, &m->open.model, device)
                        : ar_head_init(&head, &m->open.model, device));
        CHECK_OK(ar_graph_create(&g, device));
        CHECK_OK(ar_head_record(&head, g, &logits, t));
        ar_graph_keep(g, logits);
        CHECK_OK(ar_graph_build(g));
        CHECK_OK(ar_graph_run(g));
        check_tensor_close(device, stored ? "stored head" : "head", logits, want, 1e-5);
        ar_graph_destroy(g);
        ar_head_deinit(&head);
        ar_tensor_destroy(t);
    }
    free(x);
}

static void heads_agree_however_they_are_stored(void **state) {
    (void)state, on_every_device(both_heads_case);
}

int main(int argc, char **argv) { /* test_hooks [NAME]: the tests of that name only */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_behind_branches_evaluate),
        cmocka_unit_test(norms_behind_branches_generate),
        cmocka_unit_test(two_taps_see_what_one_sees),
        cmocka_unit_test(every_tap_sees_every_input),
        cmocka_unit_test(groups_fall_through_where_no_part_is_overridden),
        cmocka_unit_test(head_gradient_is_its_difference),
        cmocka_unit_test(heads_agree_however_they_are_stored),
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
