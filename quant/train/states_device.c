/* Inference with the whole numbers of a net of few states on a device; see ar_states.h. */
#include "ar_error.h"
#include "core.h"
#include "ar_states.h"
#include <stdlib.h>
#include <string.h>

typedef struct uploaded {
    ar_tensor *W, *edges, *turned, *fold;
} uploaded;

struct ar_states_runner {
    const ar_states_model *m;
    ar_graph *g;
    ar_tensor *x, *scores;
    ar_tensor *given[2 * AR_STATES_LAYERS + 1]; /* codes of each layer before its pool, if they are kept */
    uploaded layers[2 * AR_STATES_LAYERS + 1];
    uint32_t *words; /* of a batch of images */
    float *found;
    int64_t batch;
    bool keeps_codes;
};

static int64_t words(int64_t n) { return (n + 3) / 4; }

/* Numbers that a layer's weights have behind the other: one window's, or of a product that of the whole
 * image. */
static bool reads_all(const ar_states_layer *l) { return !l->K; }

static ar_status make(ar_tensor **t, ar_device *device, ar_dtype dtype, int64_t rows, int64_t cols,
                      const void *values) {
    AR_TRY(ar_tensor_create(t, device, dtype, cols ? 2 : 1, (const int64_t[]){rows, cols}));
    return ar_tensor_write(*t, values, 0, rows * (cols ? cols : 1));
}

/* Weights (O, (c, kh, kw)), of products (O, (place, c)), as words by (kh, kw, c) or (place, c). */
static ar_status upload_weights(ar_tensor **t, ar_device *device, const ar_states_layer *l) {
    int32_t taps = reads_all(l) ? l->H * l->W : 9, C = l->C;
    int64_t each = taps * words(C);
    uint32_t *packed = ar__alloc((size_t)l->O, (size_t)each * sizeof *packed);
    if (!packed) return AR_ERR_MEMORY;
    memset(packed, 0, (size_t)(l->O * each) * sizeof *packed);
    for (int32_t o = 0; o < l->O; o++)
        for (int32_t k = 0; k < taps; k++)
            for (int32_t c = 0; c < C; c++) {
                int64_t from = (int64_t)o * l->I + (reads_all(l) ? k * C + c : c * 9 + k);
                packed[o * each + k * words(C) + c / 4] |= (uint32_t)(uint8_t)l->codes[from] << (c % 4 * 8);
            }
    ar_status status = make(t, device, AR_I32, l->O, each, packed);
    free(packed);
    return status;
}

static ar_status upload(uploaded *u, ar_device *device, const ar_states_layer *l) {
    AR_TRY(upload_weights(&u->W, device, l));
    if (l->gain == 0) return make(&u->fold, device, AR_F32, l->O, 2, l->fold);
    int32_t *turned = ar__alloc((size_t)l->O, sizeof *turned);
    if (!turned) return AR_ERR_MEMORY;
    for (int32_t o = 0; o < l->O; o++) turned[o] = l->turned[o];
    ar_status status = make(&u->turned, device, AR_I32, l->O, 0, turned);
    free(turned);
    return status == AR_OK ? make(&u->edges, device, AR_I32, l->O, l->M - 1, l->thresholds) : status;
}

static ar_status record_layer(ar_states_runner *r, ar_tensor **x, int32_t i) {
    const ar_states_layer *l = &r->m->layers[i];
    const uploaded *u = &r->layers[i];
    ar_states_shape s = {.images = r->batch, .H = l->H, .W = l->W, .C = l->C, .K = 3, .O = l->O, .M = l->M};
    if (reads_all(l)) {
        s.C = (int32_t)(l->H * l->W * words(l->C) * 4);
        s.H = s.W = s.K = 1;
    }
    if (l->gain == 0) return ar_op_states_scores(r->g, &r->scores, *x, u->W, u->fold, &s);
    AR_TRY(ar_op_states_codes(r->g, x, *x, u->W, u->edges, u->turned, &s));
    if (r->keeps_codes) {
        r->given[i] = *x;
        ar_graph_keep(r->g, *x);
    }
    s.C = l->O;
    return l->K ? ar_op_states_pool(r->g, x, *x, &s) : AR_OK;
}

ar_status ar_states_runner_create(ar_states_runner **made, const ar_states_model *m, ar_device *device,
                                  int64_t batch, bool keeps_codes) {
    ar_status status;
    *made = NULL;
    if (batch < 1) return ar__fail(AR_ERR_ARG, "states: found a batch of %lld", (long long)batch);
    ar_states_runner *r = ar__alloc(1, sizeof *r);
    if (!r) return AR_ERR_MEMORY;
    *r = (ar_states_runner){.m = m, .batch = batch, .keeps_codes = keeps_codes};
    int64_t rows = batch * m->H * m->W;
    r->words = ar__alloc((size_t)rows, (size_t)words(m->C) * sizeof *r->words);
    r->found = ar__alloc((size_t)batch, (size_t)m->classes * sizeof *r->found);
    AR_GO(r->words && r->found ? AR_OK : AR_ERR_MEMORY);
    AR_GO(ar_tensor_create(&r->x, device, AR_I32, 2, (const int64_t[]){rows, words(m->C)}));
    AR_GO(ar_graph_create(&r->g, device));
    ar_tensor *x = r->x;
    for (int32_t i = 0; i < m->layer_count; i++) {
        AR_GO(upload(&r->layers[i], device, &m->layers[i]));
        AR_GO(record_layer(r, &x, i));
    }
    ar_graph_keep(r->g, r->scores);
    AR_GO(ar_graph_build(r->g));
done:
    if (status == AR_OK)
        *made = r;
    else
        ar_states_runner_destroy(r);
    return status;
}

void ar_states_runner_destroy(ar_states_runner *r) {
    if (!r) return;
    ar_graph_destroy(r->g);
    ar_tensor_destroy(r->x);
    for (int i = 0; i < 2 * AR_STATES_LAYERS + 1; i++) {
        ar_tensor_destroy(r->layers[i].W);
        ar_tensor_destroy(r->layers[i].edges);
        ar_tensor_destroy(r->layers[i].turned);
        ar_tensor_destroy(r->layers[i].fold);
    }
    free(r->words);
    free(r->found);
    free(r);
}

/* Words of 4 codes each, (rows, O/4 up), as codes (count, all), from at on in each. */
static ar_status read_codes(uint8_t *codes, const ar_tensor *given, const ar_states_layer *l, int64_t count,
                            int64_t all, int64_t at) {
    int64_t places = l->K ? (int64_t)l->H * l->W : 1, each = words(l->O);
    uint32_t *packed = ar__alloc((size_t)(count * places), (size_t)each * sizeof *packed);
    if (!packed) return AR_ERR_MEMORY;
    ar_status status = ar_tensor_read(given, packed, 0, count * places * each);
    for (int64_t p = 0; status == AR_OK && p < count * places; p++)
        for (int32_t o = 0; o < l->O; o++)
            codes[p / places * all + at + p % places * l->O + o] =
                (uint8_t)(packed[p * each + o / 4] >> (o % 4 * 8));
    free(packed);
    return status;
}

static ar_status read_all_codes(uint8_t *codes, const ar_states_runner *r, int64_t count) {
    int64_t all = ar_states_code_count(r->m), at = 0;
    for (int32_t i = 0; i < r->m->layer_count - 1; i++) {
        const ar_states_layer *l = &r->m->layers[i];
        AR_TRY(read_codes(codes, r->given[i], l, count, all, at));
        at += (l->K ? (int64_t)l->H * l->W : 1) * l->O;
    }
    return AR_OK;
}

static void pack_images(ar_states_runner *r, const uint8_t *images, int64_t count) {
    const ar_states_model *m = r->m;
    int64_t rows = (int64_t)m->H * m->W, each = words(m->C);
    memset(r->words, 0, (size_t)(r->batch * rows * each) * sizeof *r->words);
    for (int64_t p = 0; p < count * rows; p++)
        for (int32_t c = 0; c < m->C; c++)
            r->words[p * each + c / 4] |= (uint32_t)images[p * m->C + c] << (c % 4 * 8);
}

ar_status ar_states_runner_run(int32_t *labels, float *scores, uint8_t *codes, ar_states_runner *r,
                               const uint8_t *images, int64_t count) {
    const ar_states_model *m = r->m;
    if (count < 1 || count > r->batch)
        return ar__fail(AR_ERR_ARG, "states: found %lld images, expected 1 to %lld", (long long)count,
                        (long long)r->batch);
    if (codes && !r->keeps_codes)
        return ar__fail(AR_ERR_ARG, "states: found a runner without codes, expected one that keeps them");
    pack_images(r, images, count);
    AR_TRY(ar_tensor_write(r->x, r->words, 0, ar_tensor_count(r->x)));
    AR_TRY(ar_graph_run(r->g));
    AR_TRY(ar_tensor_read(r->scores, r->found, 0, count * m->classes));
    for (int64_t i = 0; i < count; i++) {
        const float *s = r->found + i * m->classes;
        labels[i] = 0;
        for (int32_t c = 1; c < m->classes; c++)
            if (s[c] > s[labels[i]]) labels[i] = c;
    }
    if (scores) memcpy(scores, r->found, (size_t)(count * m->classes) * sizeof *scores);
    return codes ? read_all_codes(codes, r, count) : AR_OK;
}
