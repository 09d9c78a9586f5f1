/* Calibration samples: windows of texts (calib_windows.c), or sequences drawn from the float model itself,
 * which needs no data. */
#include "calib.h"
#include "calib_cost.h"
#include "ar_error.h"
#include "parallel.h"
#include "session.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SELF_BATCH 128 /* sequences drawn at once, at most */
#define TELL_EVERY 0.2 /* seconds */

void ar_samples_deinit(ar_samples *s) {
    free(s->ids);
    *s = (ar_samples){0};
}

static ar_status samples_init(ar_samples *s, int32_t count, int32_t T) {
    *s = (ar_samples){ar__alloc((size_t)count, (size_t)T * sizeof(int32_t)), count, T};
    return s->ids ? AR_OK : AR_ERR_MEMORY;
}

/* Token t of a sequence, where it is not drawn: the tokenizer's prefix (BOS), or where it has none a random
 * token. -1 = it is drawn. */
static int32_t given_token(const ar_open_model *m, uint64_t seed, int32_t sequence, int32_t t) {
    int32_t before;
    const int32_t *prefix = ar_tokenizer_prefix(&before, m->tokenizer);
    if (t < before && prefix[t] < m->model.vocab) return prefix[t];
    if (t > 0) return -1;
    return (int32_t)(ar_random_unit(seed, 0x5e1f, (uint64_t)sequence) * (double)m->model.vocab);
}

/* Sequences drawn together: [first, first + B), of which token t is the newest. */
typedef struct drawing {
    ar_samples *s;
    const ar_open_model *m;
    ar_decoder *decoder;
    ar_sampling sampling;
    float *logits; /* (B, V) */
    int32_t first, B, t;
    int32_t next[SELF_BATCH];
    double start, told; /* times */
} drawing;

static void choose_next(void *ctx, int64_t b) {
    drawing *d = ctx;
    int64_t V = d->m->model.vocab;
    int32_t given = given_token(d->m, d->sampling.seed, d->first + (int32_t)b, d->t + 1);
    d->next[b] = given >= 0 ? given
                            : ar_sample(d->logits + b * V, V, &d->sampling,
                                        (uint64_t)(d->first + b) << 32 | (uint64_t)d->t);
}

/* In tokens, since one sequence may take minutes. */
static void tell(drawing *d, const ar_observer *o) {
    double now = ar__now_s(), seconds = now - d->start;
    if (!o || !o->progress || (d->t > 0 && now - d->told < TELL_EVERY)) return;
    int64_t done = (int64_t)d->first * d->s->T + (int64_t)(d->t + 1) * d->B,
            all = (int64_t)d->s->count * d->s->T, unit = all / INT32_MAX + 1;
    d->told = now;
    o->progress(o->ctx, &(ar_progress_event){.stage = "calibrate",
                                             .step = (int32_t)(done / unit),
                                             .step_count = (int32_t)(all / unit),
                                             .tokens_per_s = seconds > 0.0 ? (double)done / seconds : 0.0,
                                             .seconds = seconds});
}

/* The sequences of d at temperature 1. */
static ar_status draw(drawing *d, const ar_observer *o) {
    ar_samples *s = d->s;
    for (int32_t b = 0; b < d->B; b++) d->next[b] = given_token(d->m, d->sampling.seed, d->first + b, 0);
    for (d->t = 0; d->t < s->T; d->t++) {
        if (o && o->cancelled && o->cancelled(o->ctx))
            return ar__fail(AR_ERR_INTERRUPTED, "interrupted while drawing calibration samples");
        for (int32_t b = 0; b < d->B; b++) s->ids[(int64_t)(d->first + b) * s->T + d->t] = d->next[b];
        if (d->t + 1 < s->T) {
            AR_TRY(ar__decoder_step(d->decoder, d->logits, d->next, 1, d->t));
            ar__parallel(d->B, choose_next, d);
        }
        tell(d, o);
    }
    return AR_OK;
}

/* As many sequences at once as one cache and a quarter of the memory hold. */
static int32_t batch_of(const ar_open_model *m, ar_device *device, int32_t count, int32_t T) {
    const ar_model *model = &m->model;
    uint64_t piece = ar_device_get_plan(device)->piece_bytes, widest = 0, all = 0;
    int32_t B = count < SELF_BATCH ? count : SELF_BATCH;
    ar_memory_stats memory;
    ar_device_memory(device, &memory);
    for (int32_t b = 0; b < model->block_count; b++) {
        uint64_t row = (uint64_t)T * (uint64_t)model->blocks[b].kv_width * 2;
        if (row > widest) widest = row;
        all += 2 * row;
    }
    while (B > 1 && (widest * (uint64_t)B > piece || all * (uint64_t)B > memory.budget / 4)) B /= 2;
    return B;
}

static ar_status create_decoder(drawing *d, ar_device *device, int32_t T) {
    ar_status status = ar__decoder_create(&d->decoder, d->m, device, d->B, &T);
    if (status == AR_ERR_DEVICE_MEMORY) {
        char reason[400];
        snprintf(reason, sizeof reason, "%s", ar_error());
        status = ar__fail(
            AR_ERR_DEVICE_MEMORY,
            "sampling from the model itself needs all of it on the device (%s); a text file does not",
            reason);
    }
    if (status == AR_OK) ar__decoder_set_length(d->decoder, T);
    return status;
}

static ar_status from_model(ar_samples *s, const ar_open_model *m, ar_device *device, int32_t count,
                            int32_t T, uint64_t seed, const ar_observer *o) {
    ar_status status = AR_OK;
    int32_t B = batch_of(m, device, count, T);
    drawing d = {.s = s, .m = m, .B = B, .sampling = {.temperature = 1.0f, .top_p = 1.0f, .seed = seed}};
    AR_GO(samples_init(s, count, T));
    d.logits = ar__alloc((size_t)B, (size_t)m->model.vocab * sizeof *d.logits);
    if (!d.logits) AR_GO(AR_ERR_MEMORY);
    AR_GO(create_decoder(&d, device, T));
    d.start = ar__now_s();
    for (int32_t first = 0; first < count; first += B) {
        d.first = first + B <= count ? first : count - B; /* the last batch overlaps; the same draws again */
        AR_GO(draw(&d, o));
    }
done:
    ar__decoder_destroy(d.decoder);
    free(d.logits);
    return status;
}

/* Steps at the beginning, in the middle and at the end: what attention sees grows. */
static ar_status time_steps(double *mean, drawing *d, int32_t T) {
    static const double weights[] = {1.0 / 6, 4.0 / 6, 1.0 / 6};
    const int32_t at[] = {0, (T - 1) / 2, T - 1};
    *mean = 0.0;
    for (int32_t b = 0; b < d->B; b++) d->next[b] = given_token(d->m, d->sampling.seed, b, 0);
    for (int32_t k = -1; k < 3; k++) { /* once more to warm up */
        double start = ar__now_s();
        d->t = at[k < 0 ? 0 : k];
        AR_TRY(ar__decoder_step(d->decoder, d->logits, d->next, 1, d->t));
        ar__parallel(d->B, choose_next, d);
        if (k >= 0) *mean += weights[k] * (ar__now_s() - start);
    }
    return AR_OK;
}

ar_status ar__calib_measure(ar__calib_cost *cost, const ar_open_model *m, ar_device *device, int32_t count,
                            int32_t T, const ar_observer *o) {
    ar_status status = AR_OK;
    int32_t B = batch_of(m, device, count, T);
    drawing d = {.m = m, .B = B, .sampling = {.temperature = 1.0f, .top_p = 1.0f}};
    double start = ar__now_s(), step = 0.0;
    *cost = (ar__calib_cost){0};
    d.logits = ar__alloc((size_t)B, (size_t)m->model.vocab * sizeof *d.logits);
    if (!d.logits) AR_GO(AR_ERR_MEMORY);
    AR_GO(create_decoder(&d, device, T));
    cost->seconds = ar__now_s() - start;
    AR_GO(time_steps(&step, &d, T));
    cost->seconds += step * (T - 1) * ((count + B - 1) / B);
    for (int32_t b = 0; b < m->model.block_count; b++) {
        const ar_block *block = &m->model.blocks[b];
        cost->cache_bytes += 4 * (uint64_t)B * (uint64_t)T * (uint64_t)block->kv_width;
        for (int32_t i = 0; i < block->linear_count; i++)
            cost->flops += 2.0 * (double)block->linears[i].O * (double)block->linears[i].I;
    }
    cost->flops += 2.0 * (double)m->model.vocab * (double)m->model.hidden;
    cost->flops *= (double)count * (T - 1);
    if (o && o->progress) o->progress(o->ctx, &(ar_progress_event){.stage = "measure"});
done:
    ar__decoder_destroy(d.decoder);
    free(d.logits);
    return status;
}

ar_status ar_calib_make(ar_samples *s, const ar_open_model *m, ar_device *device, const char *const *paths,
                        int32_t path_count, int32_t count, int32_t T, uint64_t seed,
                        const ar_observer *observer) {
    *s = (ar_samples){0};
    if (T > m->model.max_tokens) T = m->model.max_tokens;
    if (count < 1 || T < 2)
        return ar__fail(AR_ERR_USAGE, "calibration: found %d samples of %d tokens, expected at least 1 of 2",
                        (int)count, (int)T);
    ar_status status = path_count > 0 ? ar__calib_from_files(s, m, paths, path_count, count, T, observer)
                                      : from_model(s, m, device, count, T, seed, observer);
    if (status != AR_OK) ar_samples_deinit(s);
    return status;
}
