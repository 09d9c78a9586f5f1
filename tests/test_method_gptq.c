/* The method gptq: its codes against an independent reading of the paper's equations in double, the dense
 * algebra under it against LAPACK's, and whole runs over a small random Llama on every device. Sees quant's
 * internal headers. ctest-labels: device vulkan */
#include "gptq.h"
#include "tuned_model.h"

/* ---- the reference: Frantar et al., arXiv 2210.17323, equations 2 and 3, one column at a time ---- */

typedef struct reference {
    int64_t O, I, rows;
    float *W, *gram;
    double *inverse, *w; /* (I, I) of the damped H, less the inputs that are done; (O, I) as moved */
    double *closest;     /* (O, I): how far from the middle between two codes a weight was */
    uint8_t *codes;
    int64_t *order;
} reference;

/* By Gauss and Jordan, without pivots: H is positive definite. */
static void invert(double *inverse, const double *H, int64_t n) {
    double *a = malloc((size_t)(n * n) * sizeof *a);
    memcpy(a, H, (size_t)(n * n) * sizeof *a);
    for (int64_t i = 0; i < n * n; i++) inverse[i] = i / n == i % n;
    for (int64_t p = 0; p < n; p++)
        for (int64_t i = 0; i < n; i++) {
            if (i == p) continue;
            double by = a[i * n + p] / a[p * n + p];
            for (int64_t j = 0; j < n; j++) {
                a[i * n + j] -= by * a[p * n + j];
                inverse[i * n + j] -= by * inverse[p * n + j];
            }
        }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) inverse[i * n + j] /= a[i * n + i];
    free(a);
}

static bool is_dead(const reference *r, int64_t i) { return r->gram[i * r->I + i] == 0.0f; }

static void ref_start(reference *r, double damp, bool by_size) {
    int64_t I = r->I;
    double mean = 0, *H = malloc((size_t)(I * I) * sizeof *H);
    for (int64_t i = 0; i < I * I; i++) H[i] = 2.0 / (double)r->rows * (double)r->gram[i];
    for (int64_t i = 0; i < I; i++) {
        if (is_dead(r, i)) H[i * I + i] = 1;
        mean += H[i * I + i] / (double)I;
        r->order[i] = i;
        for (int64_t o = 0; o < r->O; o++) r->w[o * I + i] = is_dead(r, i) ? 0 : (double)r->W[o * I + i];
    }
    for (int64_t i = 0; i < I; i++) H[i * I + i] += damp * mean;
    invert(r->inverse, H, I);
    free(H);
    for (int64_t n = I; by_size && n > 1; n--) /* bubbles keep equal ones in order */
        for (int64_t k = 0; k + 1 < n; k++) {
            int64_t a = r->order[k], b = r->order[k + 1];
            if (r->gram[b * I + b] > r->gram[a * I + a]) r->order[k] = b, r->order[k + 1] = a;
        }
}

static float half(double x) { return ar_f16_to_f32(ar_f32_to_f16((float)x)); }

/* Scale, zero point and minimum of a plain group (docs/methods.md, schemes). */
static void ref_scale(double *s, double *zp, double *min, const ar_scheme *scheme, const double *w,
                      int64_t count) {
    double lo = 0, hi = 0, Q = (1 << scheme->bits) - 1, M = 1 << (scheme->bits - 1);
    const float least = half(1e-5);
    for (int64_t i = 0; i < count; i++)
        lo = fmin(lo, (double)(float)w[i]), hi = fmax(hi, (double)(float)w[i]);
    *min = 0;
    if (scheme->zero == AR_ZERO_SYM) {
        float top = (float)fmax(-lo, hi) / (float)M;
        *s = (double)half((double)(hi < -lo ? top : -top));
        if (fabs(*s) < (double)least) *s = *s < 0 ? -(double)least : (double)least;
        *zp = M;
        return;
    }
    *s = fmax((double)half((double)(((float)hi - (float)lo) / (float)Q)), (double)least);
    *zp = fmin(fmax(rint((double)(-(float)lo / (float)*s)), scheme->zero_min), Q);
    if (scheme->zero == AR_ZERO_F16MIN) *min = (double)half(-*zp * *s);
}

typedef struct ref_grid {
    double s, zp, m; /* value = s (q - zp), or s q - m where m is stored */
} ref_grid;

static ref_grid kept_grid(const ar_qlinear *q, int64_t o, int64_t group) {
    int64_t at = o * q->groups + group, super = o * q->supers + group * q->scheme.group / 256;
    if (!q->d) return (ref_grid){0};
    double d = (double)ar_f16_to_f32(q->d[super]);
    if (!q->dmin) return (ref_grid){d * q->sub_scales[at], 1 << (q->scheme.bits - 1), 0};
    return (ref_grid){d * q->sub_scales[at], 0, (double)ar_f16_to_f32(q->dmin[super]) * q->sub_mins[at]};
}

/* Input i of every row is quantized, and the rest moved. */
static void ref_column(reference *r, const ar_qlinear *q, ref_grid *grids, bool moved, int64_t i) {
    int64_t I = r->I, G = q->groups == 1 ? I : q->scheme.group, group = i / G;
    double *inverse = r->inverse, pivot = inverse[i * I + i];
    for (int64_t o = 0; o < r->O; o++) {
        ref_grid *t = &grids[o * q->groups + group];
        double *w = r->w + o * I;
        if (moved && i % G == 0) {
            double min;
            ref_scale(&t->s, &t->zp, &min, &q->scheme, w + i, i + G < I ? G : I - i);
            t->m = -min;
            if (q->mins) t->zp = 0;
        }
        double x = t->s != 0 ? (w[i] + t->m) / t->s : 0, low = floor(x);
        r->closest[o * I + i] = fabs(x - low - 0.5);
        double code = fmin(fmax(rint(x) + t->zp, 0), (1 << q->scheme.bits) - 1);
        r->codes[o * I + i] = (uint8_t)code;
        double error = (w[i] - (t->s * (code - t->zp) - t->m)) / pivot;
        for (int64_t j = 0; j < I; j++) w[j] -= error * inverse[j * I + i];
    }
    double *column = malloc((size_t)I * sizeof *column);
    for (int64_t j = 0; j < I; j++) column[j] = inverse[j * I + i];
    for (int64_t j = 0; j < I; j++)
        for (int64_t k = 0; k < I; k++) inverse[j * I + k] -= column[j] * column[k] / pivot;
    free(column);
}

static void ref_codes(reference *r, const ar_qlinear *q, double damp, bool by_size, ar__gptq_scales scales) {
    int64_t I = r->I, G = q->groups == 1 ? I : q->scheme.group;
    ref_grid *grids = calloc((size_t)(r->O * q->groups), sizeof *grids);
    ref_start(r, damp, by_size);
    for (int64_t k = 0; k < r->O * q->groups && scales != AR__GPTQ_MOVED; k++) {
        int64_t o = k / q->groups, from = k % q->groups * G;
        double min = 0;
        grids[k] = kept_grid(q, o, k % q->groups);
        if (scales == AR__GPTQ_KEPT) continue;
        ref_scale(&grids[k].s, &grids[k].zp, &min, &q->scheme, r->w + o * I + from,
                  from + G < I ? G : I - from);
        grids[k].m = -min;
        if (q->mins) grids[k].zp = 0;
    }
    for (int64_t k = 0; k < I; k++) ref_column(r, q, grids, scales == AR__GPTQ_MOVED, r->order[k]);
    free(grids);
}

static void ref_alloc(reference *r) {
    size_t elems = (size_t)(r->O * r->I), square = (size_t)(r->I * r->I);
    r->inverse = malloc(square * sizeof *r->inverse);
    r->w = malloc(elems * sizeof *r->w);
    r->closest = malloc(elems * sizeof *r->closest);
    r->codes = malloc(elems);
    r->order = malloc((size_t)r->I * sizeof *r->order);
}

static void ref_free(reference *r) {
    free(r->W);
    free(r->gram);
    free(r->inverse);
    free(r->w);
    free(r->closest);
    free(r->codes);
    free(r->order);
}

/* ---- codes ---- */

/* Rows follow the reference up to the first weight that lies in the middle between two codes, if any does:
 * what comes behind it may differ. */
static void compare_codes(const reference *r, const ar_qlinear *q, const char *what) {
    int64_t ties = 0;
    for (int64_t o = 0; o < r->O; o++)
        for (int64_t k = 0; k < r->I; k++) {
            int64_t at = o * r->I + r->order[k];
            if (q->codes[at] == r->codes[at]) continue;
            if (r->closest[at] > 1e-6)
                fail_msg("%s: row %lld, input %lld: code %d, expected %d; no tie (%g)", what, (long long)o,
                         (long long)r->order[k], q->codes[at], r->codes[at], r->closest[at]);
            ties++;
            break;
        }
    assert_true(ties <= 1);
}

static void check_codes(reference *r, const ar_scheme *scheme, bool by_size, ar__gptq_scales scales) {
    char what[96];
    ar_qlinear q;
    ar__gptq_inputs in;
    double errors[2];
    snprintf(what, sizeof what, "%d bits, group %d, zero %d %d, by size %d, scales %d", scheme->bits,
             scheme->group, scheme->zero, scheme->zero_min, by_size, scales);
    CHECK_OK(ar_qlinear_init(&q, scheme, r->O, r->I));
    if (scales == AR__GPTQ_KEPT) CHECK_OK(ar_qlinear_rtn(&q, r->W));
    CHECK_OK(ar__gptq_inputs_init(&in, r->gram, r->I, r->rows, &(ar__gptq_desc){0.01, by_size, NULL}, what));
    CHECK_OK(ar__gptq_codes(&q, errors, r->W, &in, scales));
    ref_codes(r, &q, 0.01, by_size, scales);
    compare_codes(r, &q, what);
    if (errors[1] > errors[0]) fail_msg("%s: error %g, rounded to nearest %g", what, errors[1], errors[0]);
    ar__gptq_inputs_deinit(&in);
    ar_qlinear_deinit(&q);
}

static reference read_golden(void) {
    uint32_t head[3];
    reference r = {0};
    FILE *f = fopen("tests/golden/gptq.bin", "rb");
    assert_non_null(f);
    assert_int_equal(fread(head, sizeof *head, 3, f), 3);
    r.O = head[0], r.I = head[1], r.rows = head[2];
    size_t elems = (size_t)(r.O * r.I), square = (size_t)(r.I * r.I);
    r.W = malloc(elems * sizeof *r.W);
    r.gram = malloc(square * sizeof *r.gram);
    assert_int_equal(fread(r.W, sizeof *r.W, elems, f), elems);
    assert_int_equal(fread(r.gram, sizeof *r.gram, square, f), square);
    fclose(f);
    ref_alloc(&r);
    return r;
}

static void codes_are_the_papers_but_for_ties(void **state) {
    (void)state;
    reference r = read_golden();
    static const int32_t groups[] = {16, 32, -1};
    static const struct {
        ar_zero_kind zero;
        int32_t min;
    } zeros[] = {{AR_ZERO_SYM, 0}, {AR_ZERO_INT, 0}, {AR_ZERO_INT, 1}, {AR_ZERO_F16MIN, 0}};
    for (int32_t bits = 2; bits <= 8; bits++)
        for (size_t g = 0; g < 3; g++)
            for (size_t z = 0; z < 4; z++) {
                ar_scheme scheme = {bits, groups[g], zeros[z].zero, zeros[z].min, AR_SUPER_NONE};
                check_codes(&r, &scheme, false, AR__GPTQ_MOVED);
                check_codes(&r, &scheme, false, AR__GPTQ_RANGE);
                check_codes(&r, &scheme, true, AR__GPTQ_RANGE);
            }
    ref_free(&r);
}

/* Wider than a block of columns, with groups that are, too. */
static reference make_wide(int64_t I) {
    reference r = {.O = 18, .I = I, .rows = 3 * I};
    float *x = check_floats(r.rows * I, 1, -1, 1);
    r.W = check_floats(r.O * I, 2, -0.1f, 0.1f);
    r.gram = calloc((size_t)(I * I), sizeof *r.gram);
    for (int64_t n = 0; n < r.rows; n++)
        for (int64_t i = I - 1; i > 0; i--) x[n * I + i] += 0.7f * x[n * I + i - 1];
    for (int64_t i = 0; i < I; i++)
        for (int64_t j = 0; j <= i; j++) {
            double sum = 0;
            for (int64_t n = 0; n < r.rows; n++) sum += (double)x[n * I + i] * (double)x[n * I + j];
            r.gram[i * I + j] = r.gram[j * I + i] = (float)sum;
        }
    free(x);
    ref_alloc(&r);
    return r;
}

static void blocks_of_columns_change_nothing(void **state) {
    (void)state;
    reference r = make_wide(300);
    static const int32_t groups[] = {96, 150, -1};
    for (size_t g = 0; g < 3; g++) {
        ar_scheme scheme = {3, groups[g], AR_ZERO_INT, 0, AR_SUPER_NONE};
        check_codes(&r, &scheme, false, AR__GPTQ_MOVED);
        check_codes(&r, &scheme, true, AR__GPTQ_RANGE);
    }
    ref_free(&r);
}

static void codes_of_double_quantized_types_are_chosen_on_their_scales(void **state) {
    (void)state;
    reference r = make_wide(256);
    static const ar_scheme schemes[] = {{2, 16, AR_ZERO_F16MIN, 0, AR_SUPER_Q2_K},
                                        {3, 16, AR_ZERO_SYM, 0, AR_SUPER_Q3_K},
                                        {4, 32, AR_ZERO_F16MIN, 0, AR_SUPER_Q4_K},
                                        {6, 16, AR_ZERO_SYM, 0, AR_SUPER_Q6_K}};
    for (size_t k = 0; k < 4; k++) {
        check_codes(&r, &schemes[k], false, AR__GPTQ_KEPT);
        check_codes(&r, &schemes[k], true, AR__GPTQ_KEPT);
    }
    ref_free(&r);
}

/* What errors holds is e H e^T / 2 of the delivered and of the nearest codes. */
static void errors_are_those_of_the_outputs(void **state) {
    (void)state;
    reference r = read_golden();
    ar_scheme scheme = {3, 32, AR_ZERO_INT, 0, AR_SUPER_NONE};
    ar_qlinear q;
    ar__gptq_inputs in;
    double errors[2], want = 0;
    float *dense = malloc((size_t)(r.O * r.I) * sizeof *dense);
    CHECK_OK(ar_qlinear_init(&q, &scheme, r.O, r.I));
    CHECK_OK(ar__gptq_inputs_init(&in, r.gram, r.I, r.rows, &(ar__gptq_desc){1e-9, false, NULL}, "x"));
    CHECK_OK(ar__gptq_codes(&q, errors, r.W, &in, AR__GPTQ_MOVED));
    ar_qlinear_dequant(dense, &q);
    for (int64_t o = 0; o < r.O; o++)
        for (int64_t i = 0; i < r.I; i++)
            for (int64_t j = 0; j < r.I; j++)
                want += ((double)r.W[o * r.I + i] - (double)dense[o * r.I + i]) *
                        ((double)r.W[o * r.I + j] - (double)dense[o * r.I + j]) *
                        (double)r.gram[i * r.I + j] / (double)(r.rows * r.O);
    assert_true(fabs(errors[1] - want) < 1e-4 * want);
    assert_true(errors[0] > 1.2 * errors[1]);
    free(dense);
    ar__gptq_inputs_deinit(&in);
    ar_qlinear_deinit(&q);
    ref_free(&r);
}

static void grams_that_cannot_be_are_refused(void **state) {
    (void)state;
    ar__gptq_inputs in;
    float gram[] = {4, 2, 2, 1}; /* the second input is half the first */
    assert_int_equal(ar__gptq_inputs_init(&in, gram, 2, 8, &(ar__gptq_desc){0}, "a.weight"), AR_ERR_FORMAT);
    assert_string_equal(ar_error(), "a.weight: found its inputs' Gram matrix singular at input 0, expected "
                                    "more damping");
    ar__gptq_inputs_deinit(&in);
    CHECK_OK(ar__gptq_inputs_init(&in, gram, 2, 8, &(ar__gptq_desc){.damp = 0.01}, "a.weight"));
    ar__gptq_inputs_deinit(&in);
    gram[1] = INFINITY;
    assert_int_equal(ar__gptq_inputs_init(&in, gram, 2, 8, &(ar__gptq_desc){.damp = 0.01}, "a.weight"),
                     AR_ERR_FORMAT);
    ar__gptq_inputs_deinit(&in);
}

/* ---- dense algebra ---- */

static double *make_definite(int64_t n) {
    float *x = check_floats(2 * n * n, (uint64_t)n, -1, 1);
    double *A = calloc((size_t)(n * n), sizeof *A);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            for (int64_t k = 0; k < 2 * n; k++) A[i * n + j] += (double)x[k * n + i] * (double)x[k * n + j];
            A[j * n + i] = A[i * n + j];
        }
    free(x);
    return A;
}

/* The largest element of U^T U A - 1. */
static double root_error(const double *U, const double *A, int64_t n) {
    double most = 0, *UA = calloc((size_t)(n * n), sizeof *UA);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = i; k < n; k++)
            for (int64_t j = 0; j < n; j++) UA[i * n + j] += U[i * n + k] * A[k * n + j];
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t k = 0; k <= i; k++) sum += U[k * n + i] * UA[k * n + j];
            most = fmax(most, fabs(sum - (i == j)));
        }
    free(UA);
    return most;
}

static void the_root_is_that_of_the_inverse_and_lapacks(void **state) {
    (void)state;
    static const int64_t sizes[] = {1, 2, 5, 63, 64, 65, 200, 330};
    ar__lapack lapack = {0};
    bool any = ar__lapack_open(&lapack) == AR_OK;
    if (!any) print_message("  no LAPACK: %s\n", ar_error());
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int64_t n = sizes[s];
        size_t bytes = (size_t)(n * n) * sizeof(double);
        double *A = make_definite(n), *own = malloc(bytes), *theirs = malloc(bytes);
        memcpy(own, A, bytes);
        memcpy(theirs, A, bytes);
        CHECK_OK(ar__dense_inverse_root(own, n, NULL, "A"));
        assert_true(root_error(own, A, n) < 1e-10);
        for (int64_t i = 0; i < n; i++) {
            assert_true(own[i * n + i] > 0);
            for (int64_t j = 0; j < i; j++) assert_true(own[i * n + j] == 0);
        }
        if (any) {
            CHECK_OK(ar__dense_inverse_root(theirs, n, &lapack, "A"));
            for (int64_t i = 0; i < n * n; i++)
                assert_true(fabs(own[i] - theirs[i]) < 1e-11 * (1 + fabs(own[0])));
        }
        A[n * n / 2 / n * n + n / 2] = -1; /* a negative pivot at half the way */
        memcpy(own, A, bytes);
        assert_int_equal(ar__dense_inverse_root(own, n, NULL, "A"), AR_ERR_FORMAT);
        if (any) assert_int_equal(ar__dense_inverse_root(A, n, &lapack, "A"), AR_ERR_FORMAT);
        free(A);
        free(own);
        free(theirs);
    }
    ar__lapack_close(&lapack);
}

/* ---- the Gram matrix on devices ---- */

static void sum_gram(ar_device *device, int64_t N, int64_t I) {
    ar_graph *g = NULL;
    ar_tensor *x = NULL, *H = NULL;
    float *host = check_floats(N * I, (uint64_t)(N + I), -1, 1),
          *found = calloc((size_t)(I * I), sizeof *found);
    CHECK_OK(ar_tensor_create(&x, device, AR_F32, 2, (const int64_t[]){N, I}));
    CHECK_OK(ar_tensor_create(&H, device, AR_F32, 2, (const int64_t[]){I, I}));
    CHECK_OK(ar_tensor_write(x, host, 0, N * I));
    CHECK_OK(ar_tensor_write(H, found, 0, I * I));
    CHECK_OK(ar_graph_create(&g, device));
    CHECK_OK(ar_op_gram(g, H, x));
    CHECK_OK(ar_graph_build(g));
    for (int32_t run = 0; run < 2; run++) CHECK_OK(ar_graph_run(g));
    CHECK_OK(ar_tensor_read(H, found, 0, I * I));
    for (int64_t i = 0; i < I; i++)
        for (int64_t j = 0; j < I; j++) {
            double want = 0;
            for (int64_t n = 0; n < N; n++) want += 2.0 * (double)host[n * I + i] * (double)host[n * I + j];
            if (!(fabs((double)found[i * I + j] - want) < 1e-5 * (double)N))
                fail_msg("(%lld, %lld): row %lld, column %lld is %g, expected %g", (long long)N, (long long)I,
                         (long long)i, (long long)j, (double)found[i * I + j], want);
        }
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    ar_tensor_destroy(H);
    free(host);
    free(found);
}

static void grams(ar_device *device, void *ctx) {
    static const int64_t shapes[][2] = {{1, 1}, {3, 5}, {1, 64}, {70, 63}, {129, 65}, {257, 128}};
    ar_tensor *x = NULL, *H = NULL;
    ar_graph *g = NULL;
    (void)ctx;
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) sum_gram(device, shapes[k][0], shapes[k][1]);
    CHECK_OK(ar_tensor_create(&x, device, AR_F32, 2, (const int64_t[]){4, 8}));
    CHECK_OK(ar_tensor_create(&H, device, AR_F32, 2, (const int64_t[]){8, 4}));
    CHECK_OK(ar_graph_create(&g, device));
    assert_int_equal(ar_op_gram(g, H, x), AR_ERR_SHAPE);
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    ar_tensor_destroy(H);
}
static void gram_matrices_add_up_on_every_device(void **state) {
    (void)state;
    check_each_device(grams, NULL);
}

/* ---- whole runs ---- */

static const ar_scheme two = {2, 32, AR_ZERO_INT, 0, AR_SUPER_NONE};

/* Options by name and text, NULL behind. */
static ar_status run_gptq(outcome *o, ar_device *device, const char *const *options, int32_t count) {
    ar_open_model *m = NULL;
    ar_method_options values;
    int32_t ids[SAMPLES * T];
    uint64_t random = 99;
    for (int i = 0; i < SAMPLES * T; i++) ids[i] = (int32_t)(check_random(&random) % (uint64_t)small.vocab);
    memset(o, 0, sizeof *o);
    ar_method_options_init(&values, ar_method_find("gptq"));
    for (; *options; options += 2) CHECK_OK(ar_method_options_set(&values, options[0], options[1]));
    CHECK_OK(ar_method_options_finish(&values));
    CHECK_OK(ar_random_model_open(&m, &small, 5));
    ar_status status = ar_method_find("gptq")->run(&m->model, device, &(ar_samples){ids, count, T},
                                                   &(ar_quant_desc){.scheme = two, .options = &values},
                                                   &(ar_sink){.block = collect, .ctx = o}, NULL);
    ar_random_model_close(m);
    return status;
}

static const char *const plain[] = {NULL}, *const ordered[] = {"act_order", "1", NULL},
                         *const ranged[] = {"grid", "range", NULL},
                         *const unfed[] = {"quantized_input", "0", NULL};

static double loss(const outcome *o) { return o->reports[0].loss_best + o->reports[1].loss_best; }

static void whole_runs(ar_device *device, void *ctx) {
    outcome a, b, c;
    (void)ctx;
    CHECK_OK(run_gptq(&a, device, plain, SAMPLES));
    CHECK_OK(run_gptq(&b, device, plain, SAMPLES));
    assert_int_equal(a.blocks, LAYERS);
    assert_int_equal(differing_codes(&a, &b), 0);
    for (int32_t k = 0; k < LAYERS; k++) assert_true(a.reports[k].loss_best < a.reports[k].loss_first);
    outcome_free(&b);
    const char *const *other[] = {ordered, ranged, unfed};
    for (int32_t k = 0; k < 3; k++) {
        CHECK_OK(run_gptq(&c, device, other[k], SAMPLES));
        assert_true(differing_codes(&a, &c) > 0);
        print_message("  loss %g, with %s %s %g\n", loss(&a), other[k][0], other[k][1], loss(&c));
        outcome_free(&c);
    }
    outcome_free(&a);
}
static void one_setting_gives_one_result_on_every_device(void **state) {
    (void)state;
    check_each_device(whole_runs, NULL);
}

typedef struct seen {
    outcome first;
    bool any;
} seen;

/* A weight at a tie that falls to the other side moves all that come behind it in its row. */
static void compare_device(ar_device *device, void *ctx) {
    seen *s = ctx;
    outcome o;
    size_t all = 0;
    CHECK_OK(run_gptq(&o, device, plain, SAMPLES));
    for (int32_t k = 0; k < LAYERS * LINEARS; k++) all += o.elems[k] + o.groups[k];
    if (s->any) {
        size_t differ = differing_codes(&s->first, &o);
        print_message("  %zu of %zu codes and scales differ\n", differ, all);
        assert_true(differ * 50 < all);
        outcome_free(&o);
    } else {
        s->first = o;
    }
    s->any = true;
}
static void devices_agree(void **state) {
    (void)state;
    seen s = {0};
    check_each_device(compare_device, &s);
    if (s.any) outcome_free(&s.first);
}

static void one_sample(ar_device *device, void *ctx) {
    outcome a;
    static const char *const damped[] = {"damp", "0", NULL};
    (void)ctx;
    assert_int_equal(run_gptq(&a, device, damped, 1), AR_ERR_FORMAT); /* 24 positions for 64 inputs */
    assert_non_null(strstr(ar_error(), "model.layers.0.self_attn.q_proj.weight: found its inputs' Gram"));
    outcome_free(&a);
}
static void too_few_positions_without_damping_are_refused(void **state) {
    (void)state;
    check_each_device(one_sample, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_the_papers_but_for_ties),
        cmocka_unit_test(blocks_of_columns_change_nothing),
        cmocka_unit_test(codes_of_double_quantized_types_are_chosen_on_their_scales),
        cmocka_unit_test(errors_are_those_of_the_outputs),
        cmocka_unit_test(grams_that_cannot_be_are_refused),
        cmocka_unit_test(the_root_is_that_of_the_inverse_and_lapacks),
        cmocka_unit_test(gram_matrices_add_up_on_every_device),
        cmocka_unit_test(one_setting_gives_one_result_on_every_device),
        cmocka_unit_test(devices_agree),
        cmocka_unit_test(too_few_positions_without_damping_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
