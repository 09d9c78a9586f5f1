/* bench --estimate: the work of a prompt, of generated tokens and of a step of tuning, recorded on a stand-in
 * for the device (the null driver with its facts), launch by launch, and timed by what similar launches took
 * where the peaks were measured. */
#include "estimate.h"
#include "open.h"
#include "bench_kernels.h"
#include "bench_model.h"
#include "work.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#define OFF     0.3 /* that an estimate may be off by */
#define RUNS    3   /* of each that is checked */
#define WATCHED 3   /* the step of tuning whose work counts: the first ones compile and fill caches */

typedef enum part_id { PROMPT, TOKEN, STEP, PARTS } part_id;

static const char *const part_names[] = {"prompt", "token", "step"};

typedef struct estimate {
    const ar_bench_estimate_options *o;
    const ar_common *common;
    ar_open_model *m;
    ar_device *device, *stand_in;
    ar_bench_results results; /* measurements of the device that is estimated */
    ar_bench_work work;
    ar_bench_prediction predicted[PARTS];
    ar_bench_clock measured[PARTS]; /* seconds; 0 = not */
    uint64_t run_bytes, step_bytes, weight_bytes;
    int32_t steps;
} estimate;

/* ---- work ---- */

static ar_status open_stand_in(estimate *e) {
    ar_device_desc desc = {.select = "null",
                           .memory_budget = e->common->vram,
                           .submit_ms = e->common->submit_ms,
                           .plan = ar_device_get_plan(e->device),
                           .facts = ar_device_get_facts(e->device)};
    AR_TRY(ar_device_open(&e->stand_in, &desc));
    ar_device_watch(e->stand_in, ar_bench_work_add, &e->work);
    return AR_OK;
}

static void close_stand_in(estimate *e, uint64_t *bytes) {
    ar_memory_stats memory;
    ar_device_memory(e->stand_in, &memory);
    *bytes = memory.high_water;
    ar_device_close(e->stand_in);
    e->stand_in = NULL;
}

/* Ends a part's work: of `times` of them. */
static ar_status settle(estimate *e, part_id part, int64_t times) {
    ar_bench_prediction *p = &e->predicted[part];
    AR_TRY(e->work.status);
    ar_bench_predict(p, &e->work, &e->results);
    p->seconds /= (double)times;
    p->cpu /= (double)times;
    p->launching /= (double)times;
    p->unknown /= (double)times;
    p->flops /= (double)times;
    p->bytes /= (double)times;
    p->launches /= times;
    return AR_OK;
}

static ar_status record_session(estimate *e, ar_session *s, float *logits, int32_t *ids) {
    const ar_bench_estimate_options *o = e->o;
    ar_bench_work_clear(&e->work);
    if (o->pp) {
        AR_TRY(ar_session_logits(s, logits, ids, o->pp));
        AR_TRY(settle(e, PROMPT, 1));
    }
    ar_bench_work_clear(&e->work);
    for (int64_t i = 1; i <= o->tg; i++) AR_TRY(ar_session_logits(s, logits, ids, i));
    return o->tg ? settle(e, TOKEN, o->tg) : AR_OK;
}

static ar_status record_run(estimate *e) {
    const ar_bench_estimate_options *o = e->o;
    int64_t most = o->pp > o->tg + 1 ? o->pp : o->tg + 1;
    ar_session *s = NULL;
    float *logits = ar__alloc((size_t)e->m->model.vocab, sizeof *logits);
    int32_t *ids = ar__alloc((size_t)most, sizeof *ids);
    ar_status status = logits && ids ? open_stand_in(e) : AR_ERR_MEMORY;
    if (status == AR_OK) status = ar_session_create(&s, e->m, e->stand_in, (int32_t)most);
    if (status == AR_OK) {
        e->weight_bytes = ar_session_weight_bytes(s);
        status = record_session(e, s, logits, ids);
    }
    ar_session_destroy(s);
    if (e->stand_in) close_stand_in(e, &e->run_bytes);
    free(logits);
    free(ids);
    return status;
}

static bool on_step(void *ctx) {
    estimate *e = ctx;
    if (++e->steps == WATCHED - 1) ar_bench_work_clear(&e->work);
    if (e->steps == WATCHED && e->work.status == AR_OK) e->work.status = settle(e, STEP, 1);
    return e->steps < WATCHED; /* what follows is checked, and the stand-in computes nothing */
}

static ar_status record_steps(estimate *e) {
    ar_bench_step_desc desc = e->o->step;
    ar_bench_clock seconds;
    desc.steps = WATCHED;
    ar_status status = open_stand_in(e);
    if (status == AR_OK) status = ar_bench_steps(&seconds, e->m, e->stand_in, &desc, on_step, e);
    if (status == AR_OK) status = e->work.status;
    if (e->stand_in) close_stand_in(e, &e->step_bytes);
    return status;
}

/* ---- measurements ---- */

/* The storage types of the model's matrices, "F16,Q4_0". */
static void list_types(char *out, size_t bytes, const ar_open_model *m) {
    const ar_weights *w = &m->weights;
    size_t used = 0;
    out[0] = '\0';
    for (int32_t type = 0; type < AR_QT_COUNT; type++) {
        const char *name = ar_qtype_name((ar_qtype)type);
        bool found = false;
        for (int64_t i = 0; i < w->vtable->count(w->impl) && !found; i++) {
            const ar_weight *t = w->vtable->at(w->impl, i);
            found = t->dim_count == 2 && strcmp(t->type, name) == 0;
        }
        if (found && used < bytes)
            used += (size_t)snprintf(out + used, bytes - used, "%s%s", used ? "," : "", name);
    }
    if (!used) snprintf(out, bytes, "Q4_0"); /* of another program's folder: packed, 4 bits as a rule */
}

static double weight_bytes(const ar_open_model *m) {
    const ar_weights *w = &m->weights;
    double sum = 0;
    for (int64_t i = 0; i < w->vtable->count(w->impl); i++)
        sum += (double)w->vtable->at(w->impl, i)->file_bytes;
    return sum;
}

/* Every op that the parts are made of, at the model's own shapes. */
static ar_status measure(estimate *e) {
    const ar_config *c = &e->m->config;
    const ar_bench_step_desc *step = &e->o->step;
    ar_bench_shape shape = {"model",     c->hidden,   c->intermediate, c->heads,
                            c->kv_heads, c->head_dim, c->vocab,        c->layers};
    const ar_bench_product products[] = {{c->intermediate, c->hidden},
                                         {c->hidden, c->intermediate},
                                         {(int64_t)c->heads * c->head_dim, c->hidden},
                                         {(int64_t)c->kv_heads * c->head_dim, c->hidden},
                                         {c->vocab, c->hidden}};
    char types[128], n[48];
    list_types(types, sizeof types, e->m);
    AR_TRY(ar_bench_measure_peaks(&e->results.peaks, e->device, 0.1));
    snprintf(n, sizeof n, "1,%lld", (long long)(e->o->pp ? e->o->pp : 32));
    ar_bench_kernels_options o = {
        .ops = "rms_norm,attention_cached,gated", .types = types, .n = n, .distinct = weight_bytes(e->m)};
    if (e->o->pp || e->o->tg) AR_TRY(ar_bench_measure(&e->results, e->device, &o, &shape, products, 5));
    if (!step->seq) return AR_OK;
    o.ops = "rope,attention";
    snprintf(n, sizeof n, "%lld", (long long)step->seq);
    AR_TRY(ar_bench_measure(&e->results, e->device, &o, &shape, NULL, 0));
    o.ops = "linear,rms_norm,gated,mse,fake_quant";
    snprintf(n, sizeof n, "%lld", (long long)(step->seq * step->batch));
    AR_TRY(ar_bench_measure(&e->results, e->device, &o, &shape, NULL, 0));
    shape.intermediate = c->hidden; /* as attention's products are */
    o.ops = "linear,fake_quant";
    return ar_bench_measure(&e->results, e->device, &o, &shape, NULL, 0);
}

static ar_status check(estimate *e) {
    const ar_bench_estimate_options *o = e->o;
    ar_bench_model_options model = {.model = o->model, .pp = o->pp, .tg = o->tg, .reps = RUNS};
    if (o->pp || o->tg)
        AR_TRY(ar_bench_model_seconds(&e->measured[PROMPT], &e->measured[TOKEN], &model, e->common));
    return o->step.seq ? ar_bench_steps(&e->measured[STEP], e->m, e->device, &o->step, NULL, NULL) : AR_OK;
}

/* ---- output ---- */

static double tokens_of(const estimate *e, part_id part) {
    if (part == TOKEN) return 1;
    return (double)(part == PROMPT ? e->o->pp : e->o->step.seq * e->o->step.batch);
}

/* A device that is this machine's processors is judged by their time: what else runs here has its share of
 * the wall clock's. */
static double ratio_of(const estimate *e, part_id part) {
    const ar_bench_prediction *p = &e->predicted[part];
    const ar_bench_clock *took = &e->measured[part];
    bool by_cpu = ar_device_get_facts(e->device)->kind == AR_DEVICE_CPU && p->cpu > 0 && took->cpu > 0;
    return by_cpu ? p->cpu / took->cpu : p->seconds / took->wall;
}

static bool is_off(const estimate *e, part_id part) {
    double ratio = e->measured[part].wall > 0 ? ratio_of(e, part) : 1;
    return ratio > 1 + OFF || ratio < 1 - OFF;
}

static void print_text(const estimate *e) {
    char run[24], step[24];
    printf("%s on %s (%s), %s\n", e->o->model, e->results.device, e->results.api,
           e->o->peaks ? e->o->peaks : "measured now");
    for (part_id i = 0; i < PARTS; i++) {
        const ar_bench_prediction *p = &e->predicted[i];
        if (!p->launches) continue;
        printf("%-6s %6.0f tokens  %10.3f ms, %9.2f tokens/s; %.2f GFLOP, %.3f GB, %lld launches, %.0f %% "
               "launching",
               part_names[i], tokens_of(e, i), p->seconds * 1e3, tokens_of(e, i) / p->seconds,
               p->flops * 1e-9, p->bytes * 1e-9, (long long)p->launches, 100 * p->launching / p->seconds);
        if (p->unknown > 0) printf(", %.0f %% of kernels without a row", 100 * p->unknown / p->seconds);
        const ar_bench_clock *took = &e->measured[i];
        if (took->wall > 0)
            printf("\n       measured %.3f ms; processors %.3f ms, predicted %.3f; ratio %.2f%s",
                   took->wall * 1e3, took->cpu * 1e3, p->cpu * 1e3, ratio_of(e, i),
                   is_off(e, i) ? ", OFF" : "");
        putchar('\n');
    }
    printf("device memory: running %s, tuning %s\n", ar_program_bytes(run, sizeof run, e->run_bytes),
           ar_program_bytes(step, sizeof step, e->step_bytes));
}

static ar_status print_json(const estimate *e) {
    cJSON *j = cJSON_CreateObject(), *list = cJSON_CreateArray(), *memory;
    ar_json_add_number(j, "format_version", 1);
    ar_json_add_string(j, "model", e->o->model);
    ar_json_add_string(j, "device", e->results.device);
    ar_json_add_string(j, "driver", e->results.driver);
    ar_json_add_string(j, "api", e->results.api);
    for (part_id i = 0; i < PARTS; i++) {
        const ar_bench_prediction *p = &e->predicted[i];
        cJSON *row = p->launches ? cJSON_CreateObject() : NULL;
        if (!row) continue;
        ar_json_add_string(row, "what", part_names[i]);
        ar_json_add_number(row, "tokens", tokens_of(e, i));
        ar_json_add_number(row, "seconds", p->seconds);
        ar_json_add_number(row, "launching_s", p->launching);
        ar_json_add_number(row, "unknown_s", p->unknown);
        ar_json_add_number(row, "flops", p->flops);
        ar_json_add_number(row, "bytes", p->bytes);
        ar_json_add_number(row, "launches", (double)p->launches);
        ar_json_add_number(row, "cpu_s", p->cpu);
        if (e->measured[i].wall > 0) {
            ar_json_add_number(row, "measured_s", e->measured[i].wall);
            ar_json_add_number(row, "measured_cpu_s", e->measured[i].cpu);
            ar_json_add_number(row, "ratio", ratio_of(e, i));
        }
        ar_json_push(list, row);
    }
    ar_json_put(j, "estimates", list);
    memory = ar_json_add_object(j, "device_bytes");
    ar_json_add_number(memory, "weights", (double)e->weight_bytes);
    ar_json_add_number(memory, "running", (double)e->run_bytes);
    ar_json_add_number(memory, "tuning", (double)e->step_bytes);
    ar_status status = ar_program_json(j, true);
    cJSON_Delete(j);
    return status;
}

/* ---- all of it ---- */

static ar_status check_options(const estimate *e) {
    const ar_bench_estimate_options *o = e->o;
    int64_t most = o->pp > o->tg + 1 ? o->pp : o->tg + 1, known = e->m->model.max_tokens;
    if (most > known || o->step.seq > known)
        return ar__fail(AR_ERR_USAGE,
                        "--pp, --tg, --seq: found %lld tokens, expected at most the model's %lld",
                        (long long)(most > known ? most : o->step.seq), (long long)known);
    if (!o->pp && !o->tg && !o->step.seq)
        return ar__fail(AR_ERR_USAGE, "--pp 0 --tg 0 --seq 0: expected something to estimate");
    return AR_OK;
}

static ar_status end(const estimate *e) {
    if (e->common->json)
        AR_TRY(print_json(e));
    else
        print_text(e);
    for (part_id i = 0; i < PARTS; i++)
        if (is_off(e, i))
            return ar__fail(AR_ERR_CHECK, "estimate: %s at %.2f times what was measured, expected 0.7 to 1.3",
                            part_names[i], ratio_of(e, i));
    return AR_OK;
}

ar_status ar_bench_estimate(const ar_bench_estimate_options *o, const ar_common *common) {
    estimate e = {.o = o, .common = common};
    ar_status status;
    AR_GO(ar_bench_open(&e.m, o->model));
    AR_GO(check_options(&e));
    AR_GO(ar_program_device(&e.device, common, false));
    if (o->peaks)
        AR_GO(ar_bench_read(&e.results, o->peaks));
    else {
        ar_bench_results_init(&e.results, e.device);
        AR_GO(measure(&e));
    }
    if (o->pp || o->tg) AR_GO(record_run(&e));
    if (e.m->model.block_count > 1) e.m->model.block_count = 1; /* of tuning: a block is like the other */
    if (o->step.seq) AR_GO(record_steps(&e));
    if (o->check) AR_GO(check(&e));
    AR_GO(end(&e));
done:
    ar_bench_work_free(&e.work);
    ar_bench_results_free(&e.results);
    ar_device_close(e.device);
    ar_bench_close(e.m);
    return status;
}
