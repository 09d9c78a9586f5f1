/* bench --model: tokens per second of taking a prompt in (pp) and of generating from an empty context (tg),
 * as llama-bench counts them: mean and deviation of repetitions after one that is not counted. Also how long
 * it takes from nothing to the first token of a short prompt: model, device, weights, recording, prompt. Once
 * as found, the first thing that the program does, so that a second call shows a warm start; and once more in
 * the same process, where drivers are loaded and every kernel was compiled and kept. */
#include "bench_model.h"
#include "open.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_PROMPT 8 /* tokens before the first one */

typedef struct rate {
    double mean, deviation;
    ar_bench_clock best; /* seconds of a run, the best by each clock */
} rate;
typedef struct result {
    rate pp, tg;
    double cold_s, warm_s;
    uint64_t weight_bytes, file_bytes, device_high_water;
    double parameters;
    int32_t layers; /* of the model */
} result;

typedef struct opened {
    ar_open_model *m;
    ar_device *device;
    ar_session *session;
} opened;

static void close_all(opened *o) {
    ar_session_destroy(o->session);
    ar_device_close(o->device);
    ar_bench_close(o->m);
    *o = (opened){0};
}

/* Ids that are the same for the same run, and differ from run to run in the first place, so that nothing is
 * reused. */
static void make_ids(int32_t *ids, int64_t count, int64_t vocab, uint64_t run) {
    for (int64_t i = 0; i < count; i++)
        ids[i] = (int32_t)(ar_random_unit(7, run + 1, (uint64_t)i) * (double)vocab);
    ids[0] = (int32_t)(run % (uint64_t)vocab);
}

/* Model, device and session from nothing, and the logits of the first token. */
static ar_status start(opened *o, double *seconds, const ar_bench_model_options *b, const ar_common *common,
                       float **logits) {
    int32_t ids[FIRST_PROMPT];
    double t0 = ar__now_s();
    AR_TRY(ar_bench_open(&o->m, b->model));
    AR_TRY(ar_program_acts(o->m, b->acts, false));
    int64_t wanted = (b->pp > b->tg + 1 ? b->pp : b->tg + 1) + FIRST_PROMPT;
    if (wanted > o->m->model.max_tokens + FIRST_PROMPT)
        return ar__fail(AR_ERR_USAGE, "--pp, --tg: found %lld tokens, expected at most the model's %d",
                        (long long)(wanted - FIRST_PROMPT), (int)o->m->model.max_tokens);
    if (wanted > o->m->model.max_tokens) wanted = o->m->model.max_tokens;
    if (b->layers > o->m->config.layers)
        return ar__fail(AR_ERR_USAGE, "--layers: found %lld, expected at most the model's %lld",
                        (long long)b->layers, (long long)o->m->config.layers);
    if (b->layers) o->m->model.block_count = (int32_t)b->layers;
    AR_TRY(ar_program_device(&o->device, common, false));
    AR_TRY(ar_session_create(&o->session, o->m, o->device, (int32_t)wanted));
    if (!*logits && !(*logits = ar__alloc((size_t)o->m->model.vocab, sizeof **logits))) return AR_ERR_MEMORY;
    make_ids(ids, FIRST_PROMPT, o->m->model.vocab, 12345);
    AR_TRY(ar_session_logits(o->session, *logits, ids,
                             FIRST_PROMPT < o->m->model.max_tokens ? FIRST_PROMPT : 1));
    *seconds = ar__now_s() - t0;
    return AR_OK;
}

/* Seconds of one run: `given` taken in at once, the rest one by one. */
static ar_status time_run(ar_bench_clock *took, const opened *o, float *logits, int32_t *ids, int64_t given,
                          int64_t made, uint64_t run) {
    make_ids(ids, given + made, o->m->model.vocab, run);
    ar_bench_clock start = ar_bench_now();
    if (given) AR_TRY(ar_session_logits(o->session, logits, ids, given));
    for (int64_t i = given + 1; i <= given + made; i++) AR_TRY(ar_session_logits(o->session, logits, ids, i));
    *took = ar_bench_since(start);
    return AR_OK;
}

static ar_status time_runs(rate *r, const opened *o, float *logits, int32_t *ids, int64_t given, int64_t made,
                           int64_t reps, uint64_t first) {
    double sum = 0.0, squares = 0.0;
    ar_bench_clock took, best = {1e30, 1e30};
    for (int64_t k = -1; k < reps; k++) {
        if (ar_program_interrupted()) return ar__fail(AR_ERR_INTERRUPTED, "bench: interrupted");
        AR_TRY(time_run(&took, o, logits, ids, given, made, first + (uint64_t)(k + 1)));
        if (k < 0) continue;
        if (took.wall < best.wall) best.wall = took.wall;
        if (took.cpu < best.cpu) best.cpu = took.cpu;
        double tps = (double)(given + made) / took.wall;
        sum += tps;
        squares += tps * tps;
    }
    double n = (double)reps, variance = reps > 1 ? (squares - sum * sum / n) / (n - 1.0) : 0.0;
    *r = (rate){sum / n, variance > 0.0 ? sqrt(variance) : 0.0, best};
    return AR_OK;
}

static void count_weights(result *r, const opened *o) {
    const ar_weights *w = &o->m->weights;
    int64_t count = w->vtable->count(w->impl);
    for (int64_t i = 0; i < count; i++) {
        const ar_weight *t = w->vtable->at(w->impl, i);
        double elements = 1.0;
        for (int32_t d = 0; d < t->dim_count; d++) elements *= (double)t->dims[d];
        r->parameters += elements;
        r->file_bytes += t->file_bytes;
    }
    r->weight_bytes = ar_session_weight_bytes(o->session);
}

static ar_status measure(result *r, const ar_bench_model_options *b, const ar_common *common,
                         ar_device_facts *facts) {
    ar_status status;
    opened o = {0};
    float *logits = NULL;
    int32_t *ids = ar__alloc((size_t)(b->pp + b->tg + 1), sizeof *ids);
    ar_common silent = *common;
    ar_memory_stats memory;
    silent.quiet = true;
    if (!ids) return AR_ERR_MEMORY;
    AR_GO(start(&o, &r->cold_s, b, common, &logits));
    close_all(&o);
    AR_GO(start(&o, &r->warm_s, b, &silent, &logits));
    *facts = *ar_device_get_facts(o.device);
    r->layers = (int32_t)o.m->config.layers;
    count_weights(r, &o);
    if (b->pp) AR_GO(time_runs(&r->pp, &o, logits, ids, b->pp, 0, b->reps, 0));
    if (b->tg) AR_GO(time_runs(&r->tg, &o, logits, ids, 0, b->tg, b->reps, 1000));
    ar_device_memory(o.device, &memory);
    r->device_high_water = memory.high_water;
done:
    close_all(&o);
    free(logits);
    free(ids);
    return status;
}

static ar_status print_json(const result *r, const ar_bench_model_options *b, const ar_device_facts *f) {
    cJSON *root = cJSON_CreateObject(), *one;
    ar_json_add_string(root, "device", f->name);
    ar_json_add_string(root, "api", f->api);
    ar_json_add_string(root, "model", b->model);
    ar_json_add_string(root, "timing", "wall");
    ar_json_add_number(root, "layers", b->layers ? (double)b->layers : r->layers);
    if (b->pp) {
        one = ar_json_add_object(root, "pp");
        ar_json_add_number(one, "n", (double)b->pp);
        ar_json_add_number(one, "tps", r->pp.mean);
        ar_json_add_number(one, "stddev", r->pp.deviation);
    }
    if (b->tg) {
        one = ar_json_add_object(root, "tg");
        ar_json_add_number(one, "n", (double)b->tg);
        ar_json_add_number(one, "tps", r->tg.mean);
        ar_json_add_number(one, "stddev", r->tg.deviation);
        ar_json_add_number(one, "gbs", 1e-9 * r->tg.mean * (double)r->weight_bytes);
    }
    one = ar_json_add_object(root, "first_token");
    ar_json_add_number(one, "found_s", r->cold_s);
    ar_json_add_number(one, "warm_s", r->warm_s);
    ar_json_add_number(root, "weight_bytes", (double)r->weight_bytes);
    ar_json_add_number(root, "device_high_water", (double)r->device_high_water);
    ar_status status = ar_program_json(root, true);
    cJSON_Delete(root);
    return status;
}

static void print_row(const char *name, const char *size, double parameters, const char *api,
                      const char *test, const rate *r) {
    char count[32], speed[48];
    snprintf(count, sizeof count, parameters >= 1e9 ? "%.2f B" : "%.2f M",
             parameters * (parameters >= 1e9 ? 1e-9 : 1e-6));
    snprintf(speed, sizeof speed, "%.2f \xc2\xb1 %.2f", r->mean, r->deviation);
    printf("| %-30s | %10s | %10s | %-10s | %15s | %21s |\n", name, size, count, api, test, speed);
}

static void print_text(const result *r, const ar_bench_model_options *b, const ar_device_facts *f) {
    const char *slash = strrchr(b->model, '/'), *name = slash && slash[1] ? slash + 1 : b->model;
    char size[16], pp[24], tg[24];
    ar_program_bytes(size, sizeof size, r->file_bytes);
    snprintf(pp, sizeof pp, "pp%lld", (long long)b->pp);
    snprintf(tg, sizeof tg, "tg%lld", (long long)b->tg);
    if (b->md) {
        printf("| %-30s | %10s | %10s | %-10s | %15s | %20s |\n", "model", "size", "params", "backend",
               "test", "t/s");
        printf("| ------------------------------ | ---------: | ---------: | ---------- | --------------: | "
               "-------------------: |\n");
        if (b->pp) print_row(name, size, r->parameters, f->api, pp, &r->pp);
        if (b->tg) print_row(name, size, r->parameters, f->api, tg, &r->tg);
        return;
    }
    printf("%s (%s)", b->model, size);
    if (b->layers) printf(", %d of %d layers,", (int)b->layers, (int)r->layers);
    printf(" on %s:%d %s, wall clock\n", f->api, (int)f->index, f->name);
    if (b->pp) printf("%-8s %10.2f tokens/s, deviation %.2f\n", pp, r->pp.mean, r->pp.deviation);
    if (b->tg)
        printf("%-8s %10.2f tokens/s, deviation %.2f, %.2f GB/s\n", tg, r->tg.mean, r->tg.deviation,
               1e-9 * r->tg.mean * (double)r->weight_bytes);
    printf("first token %.3f s as found, %.3f s warm; device memory at most %s\n", r->cold_s, r->warm_s,
           ar_program_bytes(size, sizeof size, r->device_high_water));
}

ar_status ar_bench_model_seconds(ar_bench_clock *prompt, ar_bench_clock *token,
                                 const ar_bench_model_options *o, const ar_common *common) {
    result r = {0};
    ar_device_facts facts;
    AR_TRY(measure(&r, o, common, &facts));
    *prompt = r.pp.best;
    *token = r.tg.best;
    if (o->tg) *token = (ar_bench_clock){token->wall / (double)o->tg, token->cpu / (double)o->tg};
    return AR_OK;
}

ar_status ar_bench_model(const ar_bench_model_options *b, const ar_common *common) {
    result r = {0};
    ar_device_facts facts;
    if (!b->pp && !b->tg) return ar__fail(AR_ERR_USAGE, "--pp 0 --tg 0: expected something to measure");
    if (b->layers && b->md) return ar__fail(AR_ERR_USAGE, "--layers with --md: the table is of whole models");
    AR_TRY(measure(&r, b, common, &facts));
    if (common->json) return print_json(&r, b, &facts);
    print_text(&r, b, &facts);
    return AR_OK;
}
