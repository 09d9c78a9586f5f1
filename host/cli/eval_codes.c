/* anyround eval of a net of few states, code for code: what training's own graph gives outside training
 * against whole numbers on the device, on the host, and folded floats on the host. */
#include "eval_images.h"
#include "parallel.h"
#include <stdlib.h>
#include <string.h>

enum { DEVICE, HOST, FOLDED, WAYS };

typedef struct comparing {
    const ar_states_model *m;
    const uint8_t *images;
    uint8_t *codes, *own[WAYS]; /* (batch, each): the net's, and each way's */
    int32_t *labels, *mine[WAYS];
    float *scores;
    ar_status *failed; /* of each image on the host */
    int64_t each, pixels, batch;
} comparing;

static ar_status make(comparing *c, const ar_states_model *m, int64_t batch) {
    *c = (comparing){
        .m = m, .each = ar_states_code_count(m), .pixels = (int64_t)m->H * m->W * m->C, .batch = batch};
    c->codes = ar__alloc((size_t)(batch * c->each + 1), WAYS + 1);
    c->labels = ar__alloc((size_t)batch, (WAYS + 1) * sizeof *c->labels);
    c->scores = ar__alloc((size_t)batch, (size_t)m->classes * sizeof *c->scores);
    c->failed = ar__alloc((size_t)batch, sizeof *c->failed);
    if (!c->codes || !c->labels || !c->scores || !c->failed) return AR_ERR_MEMORY;
    for (int way = 0; way < WAYS; way++) {
        c->own[way] = c->codes + (way + 1) * batch * c->each;
        c->mine[way] = c->labels + (way + 1) * batch;
    }
    return AR_OK;
}

static void drop(comparing *c) {
    free(c->codes);
    free(c->labels);
    free(c->scores);
    free(c->failed);
}

/* One image by both ways of the host. */
static void classify(void *ctx, int64_t i) {
    comparing *c = ctx;
    const uint8_t *image = c->images + i * c->pixels;
    c->failed[i] = AR_OK;
    for (int way = HOST; way < WAYS && c->failed[i] == AR_OK; way++)
        c->failed[i] =
            ar_states_classify(&c->mine[way][i], NULL, c->own[way] + i * c->each, c->m, image, way == HOST);
}

/* The class that the net's scores say, as everywhere: the first of the largest. */
static void take_labels(comparing *c, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        const float *s = c->scores + i * c->m->classes;
        c->labels[i] = 0;
        for (int32_t k = 1; k < c->m->classes; k++)
            if (s[k] > s[c->labels[i]]) c->labels[i] = k;
    }
}

static void count_differing(eval_codes *e, const comparing *c, int64_t count) {
    int64_t *const codes[WAYS] = {&e->device, &e->host, &e->folded};
    e->codes += count * c->each;
    for (int way = 0; way < WAYS; way++) {
        for (int64_t k = 0; k < count * c->each; k++) *codes[way] += c->own[way][k] != c->codes[k];
        for (int64_t i = 0; i < count; i++) e->classes += c->mine[way][i] != c->labels[i];
    }
}

static ar_status compare(eval_codes *e, comparing *c, ar_states_runner *r, const ar_net *net,
                         ar_device *device, int64_t count) {
    AR_TRY(ar_net_states_run(c->scores, c->codes, net, device, c->images, count));
    take_labels(c, count);
    AR_TRY(ar_states_runner_run(c->mine[DEVICE], NULL, c->own[DEVICE], r, c->images, count));
    ar__parallel(count, classify, c);
    for (int64_t i = 0; i < count; i++) AR_TRY(c->failed[i]);
    count_differing(e, c, count);
    return AR_OK;
}

ar_status ar__eval_codes_run(eval_codes *e, const char *path, const ar_net *net, const ar_images *im,
                             ar_device *device, int32_t batch) {
    ar_status status;
    ar_states_model m;
    ar_states_runner *r = NULL;
    comparing c = {0};
    *e = (eval_codes){0};
    AR_TRY(ar_states_open(&m, path));
    AR_GO(make(&c, &m, batch));
    AR_GO(ar_states_runner_create(&r, &m, device, batch, true));
    for (int64_t first = 0; first < im->count; first += batch) {
        c.images = im->pixels + first * c.pixels;
        AR_GO(compare(e, &c, r, net, device, im->count - first < batch ? im->count - first : batch));
    }
    e->is_compared = true;
done:
    ar_states_runner_destroy(r);
    drop(&c);
    ar_states_model_deinit(&m);
    return status;
}
