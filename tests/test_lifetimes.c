/* What passes over a finished record may not change: a record of random ops computes the same of the same
 * after results were put in place (graph_over.c) and cheap tensors made once more (graph_remake.c), no tensor
 * lies where another one is still read, and a step has the same bits. Includes the backend's own headers to
 * see the record. ctest-labels: device vulkan */
#include "graph.h"
#include "op_check.h"

enum { N = 512, I = 128, MAX_VALUES = 4096 };

/* ---- what a record computes, symbolically ---- */

/* Contents of tensors as hashes of how they came about; 0: undefined. */
typedef struct values {
    const ar_tensor *t[MAX_VALUES];
    uint64_t hash[MAX_VALUES];
    int count;
} values;

static uint64_t *value_of(values *v, const ar_tensor *t) {
    for (int i = 0; i < v->count; i++)
        if (v->t[i] == t) return &v->hash[i];
    assert_true(v->count < MAX_VALUES);
    v->t[v->count] = t;
    v->hash[v->count] = t->graph ? 0 : (uint64_t)(uintptr_t)t;
    return &v->hash[v->count++];
}

static uint64_t mix(uint64_t h, uint64_t x) {
    uint64_t state = h ^ (x + 0x9e3779b97f4a7c15u + (h << 6));
    return check_random(&state) | 1;
}

/* Kernels in place under the name of what they do, and what they read and write there. */
typedef struct meaning {
    uint64_t kernel;
    uint32_t reads, writes; /* bits: operands, in the kernel's order */
} meaning;

static meaning meaning_of(const ar__dispatch *d) {
    switch (d->kernel) {
    case AR_K_gated: return (meaning){AR_K_gated, 3, 4};
    case AR_K_gated_over: return (meaning){AR_K_gated, 3, 1};
    case AR_K_gated_grad: return (meaning){AR_K_gated_grad, d->params[1] ? 31 : 7, 24};
    case AR_K_gated_grad_over: return (meaning){AR_K_gated_grad, 7, 3};
    default: break;
    }
    meaning m = {d->kernel, 0, 0};
    for (int j = 0; j < ar__kernels[d->kernel].binding_count; j++) {
        if (ar__kernels[d->kernel].access[j] & AR_WO) m.writes |= 1u << j;
        if (ar__kernels[d->kernel].access[j] != AR_WO) m.reads |= 1u << j;
    }
    return m;
}

static void compute(values *v, const ar__dispatch *d) {
    meaning m = meaning_of(d);
    bool is_gated = m.kernel == AR_K_gated || m.kernel == AR_K_gated_grad;
    uint64_t h = mix(m.kernel, is_gated ? 0 : d->params[0]), made = 0;
    for (int j = 0; j < ar__kernels[d->kernel].binding_count; j++)
        if (m.reads >> j & 1) {
            uint64_t read = *value_of(v, d->operands[j].t);
            if (ar__kernels[d->kernel].access[j] == AR_RO) assert_true(read != 0);
            h = mix(mix(h, read), d->operands[j].offset);
        }
    if (d->kernel == AR_K_add_to && !d->params[1]) { /* a copy is what it copies */
        *value_of(v, d->operands[1].t) = *value_of(v, d->operands[0].t);
        return;
    }
    for (int j = 0; j < ar__kernels[d->kernel].binding_count; j++)
        if (m.writes >> j & 1) {
            uint64_t *to = value_of(v, d->operands[j].t);
            bool is_whole = d->operands[j].bytes == ar__tensor_bytes(d->operands[j].t);
            *to = mix(mix(h, ++made), is_whole || d->operands[j].offset == 0 ? 0 : *to);
        }
}

/* All that the record leaves in device tensors. */
static void compute_all(values *v, const ar_graph *g) {
    v->count = 0;
    for (int32_t i = 0; i < g->dispatch_count; i++) {
        const ar__dispatch *d = &g->dispatches[i];
        bool is_gated = meaning_of(d).kernel == AR_K_gated || meaning_of(d).kernel == AR_K_gated_grad;
        if (!is_gated || i == 0 || !ar__goes_on(d - 1, d))
            compute(v, d); /* their first piece stands for all */
    }
}

/* ---- random steps ---- */

/* Device tensors of one step: x, target, norm, weights; what fake quantization takes; where results go. */
enum { WEIGHTS = 4, OUTS = 6 };
typedef struct step {
    ar_device *device;
    ar_tensor *x, *target, *norm, *W[WEIGHTS], *range[WEIGHTS], *v[WEIGHTS], *mm[WEIGHTS], *counter,
        *out[OUTS];
    ar_tensor *sz[WEIGHTS];
    ar_fq_desc fq;
} step;

static ar_tensor *random_tensor(ar_device *device, int64_t rows, int64_t columns, uint64_t salt,
                                float scale) {
    float *x = check_floats(rows * (columns < 0 ? 1 : columns), salt, -scale, scale);
    ar_tensor *t = check_tensor(device, AR_F32, rows, columns, x);
    free(x);
    return t;
}

static void make_step(step *s, ar_device *device) {
    int32_t zero[N * I] = {0};
    *s = (step){.device = device, .fq = {{4, 32, AR_ZERO_INT, 0, AR_SUPER_NONE}, 50, 50}};
    s->x = random_tensor(device, N, I, 1, 1);
    s->target = random_tensor(device, N, I, 2, 1);
    s->norm = random_tensor(device, I, -1, 3, 1);
    s->counter = check_tensor(device, AR_I32, 1, -1, zero);
    for (int i = 0; i < OUTS; i++) s->out[i] = check_tensor(device, AR_F32, N, I, NULL);
    for (uint64_t k = 0; k < WEIGHTS; k++) {
        ar_graph *g = NULL;
        const int64_t dims[] = {I, I / 32, 2};
        s->W[k] = random_tensor(device, I, I, 10 + k, 0.2f);
        s->v[k] = check_tensor(device, AR_I32, I, I, zero);
        CHECK_OK(ar_tensor_create(&s->range[k], device, AR_F32, 3, dims));
        CHECK_OK(ar_tensor_create(&s->mm[k], device, AR_I32, 3, dims));
        CHECK_OK(ar_tensor_write(s->mm[k], zero, 0, ar_tensor_count(s->mm[k])));
        CHECK_OK(ar_graph_create(&g, device));
        CHECK_OK(ar_op_group_range(g, s->range[k], s->W[k], &s->fq.scheme));
        CHECK_OK(ar_graph_build(g));
        CHECK_OK(ar_graph_run(g));
        ar_graph_destroy(g);
    }
}

static void drop_step(step *s) {
    ar_tensor *const all[] = {s->x, s->target, s->norm, s->counter};
    for (int i = 0; i < 4; i++) ar_tensor_destroy(all[i]);
    for (int i = 0; i < OUTS; i++) ar_tensor_destroy(s->out[i]);
    for (int k = 0; k < WEIGHTS; k++)
        ar_tensor_destroy(s->W[k]), ar_tensor_destroy(s->v[k]), ar_tensor_destroy(s->range[k]),
            ar_tensor_destroy(s->mm[k]);
}

typedef struct moved {
    const step *s;
    int k;
} moved;

static ar_status move(ar_graph *g, ar_tensor *W, ar_tensor *dW, const void *ctx) {
    const moved *m = ctx;
    const step *s = m->s;
    ar_fq_state st = {s->v[m->k], s->mm[m->k]};
    ar_tensor *dv = NULL, *dmm = NULL;
    (void)W;
    AR_TRY(ar_op_fq_grad(g, &dv, &dmm, dW, s->W[m->k], s->range[m->k], s->sz[m->k], &st, &s->fq));
    AR_TRY(ar_op_sign_step(g, st.v, dv, s->counter, 50, -1e6f, 1e6f));
    return ar_op_sign_step(g, st.mm, dmm, s->counter, 50, -50, 0);
}

static ar_status never(ar_graph *g, bool *taken, const ar_tensor *dy, const ar_tensor *x, const void *ctx) {
    (void)g, (void)dy, (void)x, (void)ctx;
    *taken = false;
    return AR_OK;
}

static ar_tensor *weight(step *s, ar_graph *g, int k) {
    ar_tensor *W = NULL;
    moved m = {s, k};
    ar_fq_state st = {s->v[k], s->mm[k]};
    CHECK_OK(ar_op_fake_quant(g, &W, &s->sz[k], s->W[k], s->range[k], &st, &s->fq));
    CHECK_OK(ar_graph_on_product(g, W, never, move, &m, sizeof m));
    return W;
}

/* One op over two of the tensors so far. */
static ar_tensor *any_op(step *s, ar_graph *g, uint64_t *random, ar_tensor *a, ar_tensor *b, int *k) {
    ar_tensor *y = NULL;
    switch (check_random(random) % 6) {
    case 0:
        if (*k < WEIGHTS) {
            CHECK_OK(ar_op_linear(g, &y, a, weight(s, g, (*k)++), NULL));
            break;
        } /* fall through */
    case 1: CHECK_OK(ar_op_rms_norm(g, &y, a, s->norm, 1e-5f)); break;
    case 2: CHECK_OK(ar_op_add(g, &y, a, b)); break;
    case 3: CHECK_OK(ar_op_act(g, &y, a, AR_ACT_SILU)); break;
    default:
        if (a == b)
            CHECK_OK(ar_op_rms_norm(g, &y, a, s->norm, 1e-5f));
        else
            CHECK_OK(ar_op_gated(g, &y, a, b, AR_ACT_SILU));
    }
    return y;
}

/* Some are kept, some read once more in the end. */
static void record_random(step *s, ar_graph *g, uint64_t seed) {
    enum { OPS = 14 };
    ar_tensor *t[OPS + 2] = {NULL}, *loss = NULL;
    uint64_t random = seed;
    int k = 1, out = 0;
    CHECK_OK(ar_op_linear(g, &t[0], s->x, weight(s, g, 0), NULL));
    CHECK_OK(ar_op_rms_norm(g, &t[1], t[0], s->norm, 1e-5f));
    for (int i = 2; i < OPS + 2; i++) {
        uint64_t a = check_random(&random) % (uint64_t)i, b = (uint64_t)i - 1;
        t[i] = any_op(s, g, &random, t[check_random(&random) % 2 ? a : b],
                      t[check_random(&random) % 2 ? a : b], &k);
    }
    CHECK_OK(ar_op_mse(g, &loss, t[OPS + 1], s->target, NULL));
    CHECK_OK(ar_graph_backward(g, loss));
    for (int i = 0; i < OPS + 2; i++) {
        uint64_t what = check_random(&random) % 8;
        if (what == 0 && out < OUTS) CHECK_OK(ar_op_copy(g, s->out[out++], t[i]));
        if (what == 1) ar_graph_keep(g, t[i]);
        if (what == 2 && ar_tensor_grad(t[i]) && out < OUTS)
            CHECK_OK(ar_op_copy(g, s->out[out++], ar_tensor_grad(t[i])));
        if (what == 3 && ar_tensor_grad(t[i])) ar_graph_keep(g, ar_tensor_grad(t[i]));
    }
}

static int count_of(const ar_graph *g, ar__kernel_id kernel) {
    int count = 0;
    for (int32_t i = 0; i < g->dispatch_count; i++) count += g->dispatches[i].kernel == kernel;
    return count;
}

static ar_device *open_null(int64_t piece) {
    ar_device *device = NULL;
    CHECK_OK(ar_device_open(&device, &(ar_device_desc){.select = "null"}));
    if (piece) device->plan.piece_bytes = (uint64_t)piece;
    return device;
}

static void what_is_computed_stays_the_same(void **unused) {
    static values before, after;
    int in_place = 0, again = 0, dropped = 0;
    (void)unused;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        ar_device *device = open_null(seed % 3 ? 0 : 160 << 10);
        ar_graph *g = NULL;
        step s;
        make_step(&s, device);
        CHECK_OK(ar_graph_create(&g, device));
        record_random(&s, g, check_seed() + seed * 977);
        compute_all(&before, g);
        int copies = count_of(g, AR_K_add_to), norms = count_of(g, AR_K_rms_norm);
        CHECK_OK(ar__graph_remake(g));
        CHECK_OK(ar__graph_over(g));
        compute_all(&after, g);
        for (int i = 0; i < before.count; i++)
            if (!before.t[i]->graph || before.t[i]->keep)
                if (before.hash[i] != *value_of(&after, before.t[i])) fail_msg("seed %d", (int)seed);
        in_place += count_of(g, AR_K_gated_grad_over) + count_of(g, AR_K_gated_over);
        again += count_of(g, AR_K_rms_norm) - norms;
        dropped += copies - count_of(g, AR_K_add_to);
        ar_graph_destroy(g);
        drop_step(&s);
        ar_device_close(device);
    }
    assert_true(in_place > 20 && again > 20 && dropped > 20);
}

/* ---- memory ---- */

typedef struct owner {
    const ar__buffer *buffer;
    uint64_t from, to;
    const ar_tensor *t;
} owner;

/* Each read finds what was last written there by the same tensor's name. */
static void check_owners(const ar_graph *g) {
    static owner owners[MAX_VALUES];
    int count = 0;
    for (int32_t i = 0; i < g->dispatch_count; i++) {
        const ar__dispatch *d = &g->dispatches[i];
        for (int j = 0; j < ar__kernels[d->kernel].binding_count; j++) {
            const ar_tensor *t = d->operands[j].t;
            uint64_t from = t->slice.offset, to = from + ar__tensor_bytes(t);
            bool writes = ar__kernels[d->kernel].access[j] & AR_WO, mine = false;
            if (!t->graph) continue;
            for (int k = 0; k < count; k++) {
                owner *o = &owners[k];
                if (o->buffer != t->slice.buffer || o->from >= to || from >= o->to) continue;
                mine = mine || o->t == t;
                if (o->t == t) continue;
                assert_true(writes); /* a tensor that is read is still there, whole */
                owners[k--] = owners[--count];
            }
            assert_true(writes || mine || t->keep);
            assert_true(count < MAX_VALUES);
            if (!mine) owners[count++] = (owner){t->slice.buffer, from, to, t};
        }
    }
}

static void no_tensor_lies_where_another_is_still_read(void **unused) {
    (void)unused;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        ar_device *device = open_null(seed % 3 ? 0 : 160 << 10);
        ar_graph *g = NULL;
        step s;
        device->plan.ways = seed % 2 ? 1u << AR_W_saved : 0;
        make_step(&s, device);
        CHECK_OK(ar_graph_create(&g, device));
        record_random(&s, g, check_seed() + seed * 131);
        CHECK_OK(ar_graph_build(g));
        check_owners(g);
        ar_graph_destroy(g);
        drop_step(&s);
        ar_device_close(device);
    }
}

/* ---- bits ---- */

typedef enum keeping { NONE, ALL, DY } keeping; /* of what a step makes; DY: the gradient that gated's gets */

/* A step of norm, gate, up and down over x: gradients of three weights; how much memory, and how many
 * launches of that kernel it took. */
static uint64_t run_step(float *grad[3], int *launches, ar_device *device, keeping keeps,
                         ar__kernel_id kernel) {
    ar_tensor *h = NULL, *n = NULL, *gate = NULL, *up = NULL, *a = NULL, *z = NULL, *y = NULL, *loss = NULL;
    ar_graph *g = NULL;
    ar_graph_stats stats;
    step s;
    make_step(&s, device);
    for (int k = 0; k < 4; k++) ar_tensor_set_needs_grad(s.W[k], true);
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_linear(g, &h, s.x, s.W[0], NULL));
    CHECK_OK(ar_op_rms_norm(g, &n, h, s.norm, 1e-5f));
    CHECK_OK(ar_op_linear(g, &gate, n, s.W[1], NULL));
    CHECK_OK(ar_op_linear(g, &up, n, s.W[2], NULL));
    CHECK_OK(ar_op_gated(g, &a, gate, up, AR_ACT_GELU_TANH));
    CHECK_OK(ar_op_linear(g, &z, a, s.W[3], NULL));
    CHECK_OK(ar_op_add(g, &y, h, z));
    CHECK_OK(ar_op_mse(g, &loss, y, s.target, NULL));
    CHECK_OK(ar_graph_backward(g, loss));
    ar_tensor *const made[] = {ar_tensor_grad(a), n, gate, up, a, ar_tensor_grad(h), ar_tensor_grad(z)};
    for (int i = 0; i < (keeps == ALL ? 7 : keeps == DY); i++) ar_graph_keep(g, made[i]);
    for (int k = 0; k < 3; k++) ar_graph_keep(g, ar_tensor_grad(s.W[k]));
    CHECK_OK(ar_graph_build(g));
    *launches = count_of(g, kernel);
    ar_graph_get_stats(g, &stats);
    CHECK_OK(ar_graph_run(g));
    CHECK_OK(ar_device_wait(device));
    for (int k = 0; k < 3; k++) grad[k] = check_read(ar_tensor_grad(s.W[k]));
    ar_graph_destroy(g);
    drop_step(&s);
    return stats.temp_bytes;
}

static void compare_steps(ar_device *device, keeping keeps, ar__kernel_id kernel) {
    float *most[3], *least[3];
    int none = 0, some = 0;
    uint64_t more = run_step(most, &none, device, keeps, kernel),
             less = run_step(least, &some, device, NONE, kernel);
    assert_true(none == 0 && some > 0);
    if (!(less < more))
        fail_msg("on %s: %d bytes, not less than %d", check_name(device), (int)less, (int)more);
    for (int k = 0; k < 3; k++) {
        assert_memory_equal(most[k], least[k], I * I * 4);
        free(most[k]), free(least[k]);
    }
}

/* In f32, and of what is saved as fp16. */
static void same_bits(ar_device *device, void *ctx) {
    (void)ctx;
    device->plan.ways &= ~(1u << AR_W_saved);
    compare_steps(device, ALL, AR_K_gated_grad_over);
    device->plan.ways |= 1u << AR_W_saved;
    compare_steps(device, DY, AR_K_gated_grad_saved);
}

static void a_step_has_the_bits_of_one_that_keeps_all(void **unused) {
    (void)unused;
    check_each_device(same_bits, NULL);
}

static void small_pieces(ar_plan *plan) {
    plan->piece_bytes = 160 << 10;
    plan->submit_ms = 0.01;
}

static void pieces_change_nothing(void **unused) {
    (void)unused;
    check_each_plan(same_bits, NULL, small_pieces);
}

/* ---- lending ---- */

/* y = W2 silu(W1 x) into `out`, in memory lent by `lender`. */
static ar_graph *record_forward(step *s, const ar_graph *lender, ar_tensor *out, bool keeps) {
    ar_tensor *h = NULL, *a = NULL, *y = NULL;
    ar_graph *g = NULL;
    CHECK_OK(ar_graph_create_in(&g, s->device, lender));
    CHECK_OK(ar_op_linear(g, &h, s->x, s->W[1], NULL));
    CHECK_OK(ar_op_act(g, &a, h, AR_ACT_SILU));
    CHECK_OK(ar_op_linear(g, &y, a, s->W[2], NULL));
    CHECK_OK(ar_op_copy(g, out, y));
    if (keeps) ar_graph_keep(g, y);
    CHECK_OK(ar_graph_build(g));
    return g;
}

static uint64_t bytes_of(const ar_graph *g) {
    ar_graph_stats stats;
    ar_graph_get_stats(g, &stats);
    return stats.temp_bytes;
}

static void lends(ar_device *device, void *ctx) {
    step s;
    (void)ctx;
    make_step(&s, device);
    ar_graph *large = record_forward(&s, NULL, s.out[0], false),
             *kept = record_forward(&s, NULL, s.out[1], true);
    ar_graph *same = record_forward(&s, large, s.out[2], false);
    ar_graph *keeps = record_forward(&s, large, s.out[3], true),
             *from = record_forward(&s, kept, s.out[4], false);
    assert_true(bytes_of(large) > 0);
    assert_int_equal(bytes_of(same), 0);
    assert_true(bytes_of(keeps) > 0 && bytes_of(from) > 0);
    ar_graph *const all[] = {large, kept, same, keeps, from};
    for (int turn = 0; turn < 2; turn++)
        for (int i = 0; i < 5; i++) CHECK_OK(ar_graph_run(all[i]));
    float *want = check_read(s.out[0]);
    for (int i = 1; i < 5; i++) {
        float *found = check_read(s.out[i]);
        assert_memory_equal(found, want, N * I * 4);
        free(found);
    }
    free(want);
    for (int i = 4; i >= 0; i--) ar_graph_destroy(all[i]);
    drop_step(&s);
}

static void a_graph_lends_its_memory_unless_something_is_kept(void **unused) {
    (void)unused;
    check_each_device(lends, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_computed_stays_the_same),
        cmocka_unit_test(no_tensor_lies_where_another_is_still_read),
        cmocka_unit_test(a_step_has_the_bits_of_one_that_keeps_all),
        cmocka_unit_test(pieces_change_nothing),
        cmocka_unit_test(a_graph_lends_its_memory_unless_something_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
