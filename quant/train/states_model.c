/* What a trained net of few states is outside training, in host memory, and inference with it in plain C. */
#include "ar_error.h"
#include "core.h"
#include "net_states.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

void ar_states_model_deinit(ar_states_model *m) {
    for (int32_t i = 0; m->layers && i < m->layer_count; i++) {
        free(m->layers[i].codes);
        free(m->layers[i].fold);
        free(m->layers[i].thresholds);
        free(m->layers[i].turned);
    }
    free(m->layers);
    *m = (ar_states_model){0};
}

/* ---- from the device ---- */

typedef struct reading {
    ar_tensor *codes, *fold;
} reading;

static ar_status record_reading(reading *r, ar_graph *g, const ar_net *net, const ar__states_net *n) {
    for (int32_t i = 0; i < n->layer_count; i++) {
        const ar_param *p = &net->params[n->layers[i].weight];
        ar_state_weight weight = ar__states_weight(n, &n->layers[i]);
        ar_spread_norm norm = ar__states_norm(n, net, i, AR__STATISTICS_RUNNING);
        AR_TRY(ar_op_state_weight(g, &r[i].codes, p[0].t, &weight));
        AR_TRY(ar_op_fold(g, &r[i].fold, p[1].t, p[2].t, &norm));
        ar_graph_keep(g, r[i].codes);
        ar_graph_keep(g, r[i].fold);
    }
    return ar_graph_build(g);
}

static ar_status read_layer(ar_states_layer *l, const states_layer *from, const reading *r) {
    int64_t count = from->O * from->I;
    float *codes = ar__alloc((size_t)count, sizeof *codes);
    *l = (ar_states_layer){.H = from->H,
                           .W = from->W,
                           .C = from->C,
                           .K = from->is_conv ? 3 : 0,
                           .O = (int32_t)from->O,
                           .I = (int32_t)from->I,
                           .gain = from->gain,
                           .M = from->ma};
    l->codes = ar__alloc((size_t)count, 1);
    l->fold = ar__alloc((size_t)from->O, 2 * sizeof *l->fold);
    ar_status status = codes && l->codes && l->fold ? AR_OK : AR_ERR_MEMORY;
    l->two = from->mw == 2;
    if (status == AR_OK) status = ar_state_range(&l->low, &l->high, from->mw);
    if (status == AR_OK) status = ar_tensor_read(r->codes, codes, 0, count);
    if (status == AR_OK) status = ar_tensor_read(r->fold, l->fold, 0, 2 * from->O);
    for (int64_t i = 0; status == AR_OK && i < count; i++) l->codes[i] = (int8_t)codes[i];
    free(codes);
    return status == AR_OK ? ar_states_thresholds(l) : status;
}

static ar_status check_whole(const ar__states_net *n) {
    if (n && n->desc.mw && n->desc.ma && !n->desc.context && n->desc.stats != AR_STATS_LAYER) return AR_OK;
    return ar__fail(
        AR_ERR_UNSUPPORTED,
        "states: found floats, bytes or statistics of each image, expected states of weights and of "
        "activations, and constants to fold");
}

ar_status ar_states_model_read(ar_states_model *m, const ar_net *net, ar_device *device) {
    const ar__states_net *n = ar__states_of(net);
    reading r[2 * AR_STATES_LAYERS + 1];
    ar_graph *g = NULL;
    ar_status status;
    *m = (ar_states_model){0};
    AR_TRY(check_whole(n));
    const ar_states_desc *d = &n->desc;
    *m = (ar_states_model){.H = d->H, .W = d->W, .C = d->C, .classes = d->classes, .mw = d->mw, .ma = d->ma};
    m->layers = ar__alloc((size_t)n->layer_count, sizeof *m->layers);
    if (!m->layers) return AR_ERR_MEMORY;
    AR_GO(ar_graph_create(&g, device));
    AR_GO(record_reading(r, g, net, n));
    AR_GO(ar_graph_run(g));
    for (; m->layer_count < n->layer_count; m->layer_count++) {
        int32_t i = m->layer_count;
        memset(&m->layers[i], 0, sizeof m->layers[i]);
        AR_GO(read_layer(&m->layers[i], &n->layers[i], &r[i]));
    }
done:
    ar_graph_destroy(g);
    if (status != AR_OK) ar_states_model_deinit(m);
    return status;
}

/* ---- by the net itself ---- */

static ar_status read_run(float *scores, uint8_t *codes, const ar__states_net *n, ar_tensor *const *given,
                          const ar_tensor *said, int64_t count) {
    int64_t all = 0, at = 0;
    float *values = NULL;
    for (int32_t i = 0; i < n->layer_count - 1; i++) all += ar_tensor_count(given[i]) / count;
    ar_status status = ar_tensor_read(said, scores, 0, ar_tensor_count(said));
    for (int32_t i = 0; status == AR_OK && i < n->layer_count - 1; i++) {
        int64_t each = ar_tensor_count(given[i]) / count;
        values = ar__alloc((size_t)(each * count), sizeof *values);
        status = values ? ar_tensor_read(given[i], values, 0, each * count) : AR_ERR_MEMORY;
        for (int64_t k = 0; status == AR_OK && k < each * count; k++)
            codes[k / each * all + at + k % each] = (uint8_t)values[k];
        free(values);
        at += each;
    }
    return status;
}

ar_status ar_net_states_run(float *scores, uint8_t *codes, const ar_net *net, ar_device *device,
                            const uint8_t *images, int64_t count) {
    const ar__states_net *n = ar__states_of(net);
    ar_tensor *given[2 * AR_STATES_LAYERS + 1] = {0}, *x = NULL, *said = NULL;
    ar_graph *g = NULL;
    ar_status status;
    AR_TRY(check_whole(n));
    int64_t size = (int64_t)n->desc.H * n->desc.W * n->desc.C;
    float *values = ar__alloc((size_t)(size * count), sizeof *values);
    if (!values) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < size * count; i++) values[i] = images[i];
    AR_GO(ar_tensor_create(&x, device, AR_F32, 2, (const int64_t[]){size * count / n->desc.C, n->desc.C}));
    AR_GO(ar_tensor_write(x, values, 0, size * count));
    AR_GO(ar_graph_create(&g, device));
    AR_GO(ar__states_record(net, g, &said, given, x, AR__STATISTICS_RUNNING));
    for (int32_t i = 0; i < n->layer_count - 1; i++) ar_graph_keep(g, given[i]);
    ar_graph_keep(g, said);
    AR_GO(ar_graph_build(g));
    AR_GO(ar_graph_run(g));
    AR_GO(read_run(scores, codes, n, given, said, count));
done:
    free(values);
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    return status;
}

/* ---- codes ---- */

static int32_t fold_code(const ar_states_layer *l, int32_t o, int32_t z) {
    float at = l->fold[2 * o] * (float)z;
    at = at + l->fold[2 * o + 1];
    at = rintf(l->gain * at);
    return at < 1 ? 0 : at > (float)(l->M - 1) ? l->M - 1 : (int32_t)at;
}

static int32_t threshold_code(const ar_states_layer *l, int32_t o, int32_t z) {
    const int32_t *t = l->thresholds + (int64_t)o * (l->M - 1);
    int32_t below = 0; /* thresholds that are less than z, or not above it */
    for (int32_t j = 0; j < l->M - 1; j++) below += l->turned[o] ? t[j] < z : t[j] <= z;
    return l->turned[o] ? l->M - 1 - below : below;
}

/* The first z in [-S, S + 1] from which on `code >= j` (or with turned < j) holds. */
static int32_t first_of(const ar_states_layer *l, int32_t o, int32_t j, int32_t S, bool turned) {
    int32_t low = -S, high = S + 1;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if ((fold_code(l, o, middle) >= j) != turned)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

ar_status ar_states_thresholds(ar_states_layer *l) {
    const int32_t S = 1 << 24;
    if (l->gain == 0) return AR_OK;
    l->thresholds = ar__alloc((size_t)l->O, (size_t)(l->M - 1) * sizeof *l->thresholds);
    l->turned = ar__alloc((size_t)l->O, 1);
    if (!l->thresholds || !l->turned) return AR_ERR_MEMORY;
    for (int32_t o = 0; o < l->O; o++) {
        int32_t *t = l->thresholds + (int64_t)o * (l->M - 1);
        bool turned = l->fold[2 * o] < 0;
        l->turned[o] = turned;
        for (int32_t j = 1; j < l->M; j++) {
            int32_t at = first_of(l, o, j, S, turned);
            if (turned)
                t[l->M - 1 - j] = at - 1; /* the last z that still has it */
            else
                t[j - 1] = at;
        }
    }
    return AR_OK;
}

/* ---- inference ---- */

/* What output place (h, w) of a convolution sees, columns (c, kh, kw); a product sees all there is. */
static void gather(int32_t *seen, const ar_states_layer *l, const uint8_t *x, int32_t h, int32_t w) {
    if (!l->K) {
        for (int32_t i = 0; i < l->I; i++) seen[i] = x[i];
        return;
    }
    for (int32_t c = 0; c < l->C; c++)
        for (int32_t k = 0; k < 9; k++) {
            int32_t y = h + k / 3 - 1, z = w + k % 3 - 1;
            bool inside = y >= 0 && z >= 0 && y < l->H && z < l->W;
            *seen++ = inside ? x[(y * l->W + z) * l->C + c] : 0;
        }
}

static int32_t dot(const int8_t *codes, const int32_t *seen, int32_t I) {
    int32_t sum = 0;
    for (int32_t i = 0; i < I; i++) sum += codes[i] * seen[i];
    return sum;
}

static int64_t places_of(const ar_states_layer *l) { return l->K ? (int64_t)l->H * l->W : 1; }

/* One layer: codes (places, O), or the last one's scores. */
static void run_layer(uint8_t *y, float *scores, int32_t *seen, const ar_states_layer *l, const uint8_t *x,
                      bool by_thresholds) {
    for (int64_t p = 0; p < places_of(l); p++) {
        gather(seen, l, x, (int32_t)(p / l->W), (int32_t)(p % l->W));
        for (int32_t o = 0; o < l->O; o++) {
            int32_t z = dot(l->codes + (int64_t)o * l->I, seen, l->I);
            if (l->gain == 0) {
                float at = l->fold[2 * o] * (float)z;
                scores[o] = at + l->fold[2 * o + 1];
            } else {
                y[p * l->O + o] = (uint8_t)(by_thresholds ? threshold_code(l, o, z) : fold_code(l, o, z));
            }
        }
    }
}

/* The largest code of every 2 x 2 places. */
static void pool(uint8_t *y, const ar_states_layer *l, const uint8_t *x) {
    for (int32_t h = 0; h < l->H / 2; h++)
        for (int32_t w = 0; w < l->W / 2; w++)
            for (int32_t c = 0; c < l->O; c++) {
                uint8_t most = 0;
                for (int32_t k = 0; k < 4; k++) {
                    uint8_t v = x[((2 * h + k / 2) * l->W + 2 * w + k % 2) * l->O + c];
                    if (v > most) most = v;
                }
                *y++ = most;
            }
}

int64_t ar_states_code_count(const ar_states_model *m) {
    int64_t count = 0;
    for (int32_t i = 0; i < m->layer_count - 1; i++) count += places_of(&m->layers[i]) * m->layers[i].O;
    return count;
}

ar_status ar_states_classify(int32_t *label, float *scores, uint8_t *codes, const ar_states_model *m,
                             const uint8_t *image, bool by_thresholds) {
    int64_t widest = 0;
    for (int32_t i = 0; i < m->layer_count; i++)
        if (m->layers[i].I > widest) widest = m->layers[i].I;
    int64_t count = ar_states_code_count(m);
    uint8_t *own = ar__alloc(2, (size_t)(count ? count : 1)), *pooled = own ? own + count : NULL;
    int32_t *seen = ar__alloc((size_t)widest, sizeof *seen);
    float *found = ar__alloc((size_t)m->classes, sizeof *found);
    ar_status status = own && seen && found ? AR_OK : AR_ERR_MEMORY;
    const uint8_t *x = image;
    uint8_t *y = own;
    for (int32_t i = 0; status == AR_OK && i < m->layer_count; i++) {
        const ar_states_layer *l = &m->layers[i];
        run_layer(y, found, seen, l, x, by_thresholds);
        if (l->K) pool(pooled, l, y);
        x = l->K ? pooled : y;
        y += places_of(l) * l->O;
        if (l->K) pooled += (int64_t)(l->H / 2) * (l->W / 2) * l->O;
    }
    if (status == AR_OK) {
        *label = 0;
        for (int32_t c = 1; c < m->classes; c++)
            if (found[c] > found[*label]) *label = c;
        if (scores) memcpy(scores, found, (size_t)m->classes * sizeof *found);
        if (codes) memcpy(codes, own, (size_t)count);
    }
    free(own);
    free(seen);
    free(found);
    return status;
}
