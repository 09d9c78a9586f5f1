/* gptq: codes chosen one input after the other, each error made up for by the weights still to come (Frantar
 * et al., arXiv 2210.17323; docs/methods.md). The Gram matrices of the inputs are summed on the device, the
 * algebra is the host's, in double (gptq_codes.c, core/dense.c). */
#include "gptq.h"
#include "loss.h"
#include "measure.h"
#include "methods.h"
#include "trainable.h"
#include <stdlib.h>
#include <string.h>

enum { GRID_SEARCH, GRID_RANGE };
static const char *const grids[] = {"search", "range", NULL}, *const algebras[] = {"own", "lapack", NULL};

static const ar_option_row rows[] = {
    {.name = "damp",
     .kind = AR_VALUE_REAL,
     .preset = 0.01f,
     .hi = 10,
     .value = "X",
     .help = "share of the inputs' mean square that is added to each (0.01)",
     .record = "damp"},
    {.name = "act_order", .help = "largest inputs first; scales are static then", .record = "act_order"},
    {.name = "static_groups",
     .help = "with --grid range: scales from the weights before any has moved",
     .record = "static_groups"},
    {.name = "grid",
     .kind = AR_VALUE_CHOICE,
     .choice = grids,
     .value = "G",
     .help = "scales: search (default), or range, the paper's, from the weights",
     .record = "grid"},
    {.name = "algebra",
     .kind = AR_VALUE_CHOICE,
     .choice = algebras,
     .value = "A",
     .help = "own (default), or lapack: OpenBLAS's or another that is installed",
     .record = "algebra"},
    AR__ROW_QUANTIZED_INPUT,
    AR__ROWS_OF_SAMPLES(128, 2048),
};

static ar_status settle(ar_method_options *o, const ar_observer *observer) {
    ar__lapack lapack = {0};
    (void)observer;
    if (ar_method_options_given(o, "static_groups") && ar_method_options_get(o, "grid") == GRID_SEARCH)
        return ar__fail(AR_ERR_USAGE, "--static-groups has no effect without --grid range");
    if (ar_method_options_get(o, "act_order") != 0.0 || ar_method_options_get(o, "grid") == GRID_SEARCH)
        ar_method_options_put(o, "static_groups", 1);
    if (ar_method_options_get(o, "algebra") == 0.0) return AR_OK;
    if (ar__lapack_open(&lapack) != AR_OK)
        return ar__fail(AR_ERR_USAGE, "--algebra lapack: found no libopenblas.so.0 and no liblapack.so.3");
    ar__lapack_close(&lapack);
    return AR_OK;
}

/* ---- what the inputs are ---- */

/* Which linears of a block are given one and the same input: of[i], the first of them. */
typedef struct sharing {
    const ar_block *block;
    const ar_tensor *x[AR_MAX_LINEARS];
    int32_t of[AR_MAX_LINEARS];
    ar_hook hook;
} sharing;

static ar_status note_linear(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    sharing *s = ctx;
    s->x[i] = x;
    return ar_hook_linear(s->hook.base, g, y, i, x);
}

/* By a forward that is recorded and never run. */
static ar_status find_sharing(sharing *s, ar_device *device, const ar_block_weights *w, int32_t T) {
    ar_status status = AR_OK;
    ar_graph *g = NULL;
    ar_tensor *x = NULL, *y = NULL;
    *s = (sharing){.block = w->block, .hook = {.linear = note_linear, .ctx = s, .base = &w->hook}};
    AR_GO(ar_tensor_create(&x, device, AR_F32, 2, (const int64_t[]){T, w->block->hidden}));
    AR_GO(ar_graph_create(&g, device));
    AR_GO(w->block->forward(w->block, g, &y, x, T, &s->hook));
    for (int32_t i = 0; i < w->block->linear_count; i++)
        for (s->of[i] = 0; s->x[s->of[i]] != s->x[i]; s->of[i]++) continue;
done:
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    return status;
}

static bool cancelled(const ar_observer *o) { return o && o->cancelled && o->cancelled(o->ctx); }

/* The unit's input through its block, each sample once: a batch at a time, and what makes no batch one by
 * one, for a chain's last batch would count old samples again. */
static ar_status pass_inputs(const ar__tune_unit *u, const ar_hook *hook, ar_device *device, int32_t batch,
                             const ar_observer *observer) {
    const ar_block *block = u->tuned[0].weights->block;
    int32_t T = u->samples->T, count = u->samples->count;
    ar_status status = AR_OK;
    ar_chain in = *u->input, out = {.fd = -1};
    if (batch > count) batch = count;
    AR_TRY(ar_chain_init(&out, (int64_t)batch * T, in.width, NULL, 0));
    for (int32_t s = 0, n; s < count; s += n) {
        n = count - s < batch ? count - s : batch;
        if (cancelled(observer))
            AR_GO(ar__fail(AR_ERR_INTERRUPTED, "interrupted in block %d", (int)block->index));
        in.data = u->input->data + (int64_t)s * T * in.width;
        in.rows = out.rows = (int64_t)n * T;
        AR_GO(ar_chain_forward(&out, &in, device, block, hook, T, n < batch ? 1 : batch));
    }
done:
    ar_chain_deinit(&out);
    return status;
}

/* ---- a block ---- */

typedef struct worker {
    const ar__tune_unit *unit;
    const ar__tuned_block *block;
    ar_device *device;
    ar__gptq_desc algebra;
    ar__lapack lapack;
    bool is_searched, is_static, is_probe;
    int32_t done;                     /* linears */
    double start, errors[2], outputs; /* sums over all outputs, and how many there are */
} worker;

static ar_status code_linear(worker *w, int32_t i, const ar__gptq_inputs *in) {
    ar_status status = AR_OK;
    ar_qlinear *q = &w->block->q[i];
    bool is_kept = w->is_searched || q->scheme.super != AR_SUPER_NONE;
    double errors[2];
    float *W = ar__alloc((size_t)q->O, (size_t)q->I * sizeof *W);
    if (!W) return AR_ERR_MEMORY;
    AR_GO(ar_tensor_read(w->block->weights->linears[i], W, 0, q->O * q->I));
    AR_GO(ar__gptq_codes(q, errors, W, in,
                         is_kept        ? AR__GPTQ_KEPT
                         : w->is_static ? AR__GPTQ_RANGE
                                        : AR__GPTQ_MOVED));
    w->outputs += (double)q->O;
    for (int32_t k = 0; k < 2; k++) w->errors[k] += errors[k] * (double)q->O;
done:
    free(W);
    return status;
}

/* One linear after the other, in the place of steps. */
static void tell(const worker *w, const ar_observer *o) {
    const ar_block *block = w->block->weights->block;
    ar_memory_stats memory;
    ar_progress_event e = {.stage = w->is_probe ? "measure" : "tune",
                           .block = block->index,
                           .block_count = w->unit->block_count,
                           .window = w->unit->window,
                           .window_count = w->unit->window_count,
                           .tuned_count = 1,
                           .step = w->done,
                           .loss_first = w->errors[0] / w->outputs,
                           .loss_best = w->errors[1] / w->outputs,
                           .seconds = ar__now_s() - w->start};
    if (!o || !o->progress) return;
    e.loss_last = e.loss_best;
    for (int32_t i = 0; i < block->linear_count; i++) e.step_count += !w->block->skip[i];
    ar_device_memory(w->device, &memory);
    e.device_bytes = memory.current;
    o->progress(o->ctx, &e);
}

/* All linears whose input is linear i's. */
static ar_status code_sharing(worker *w, const sharing *s, const ar_tensor *gram, int32_t i,
                              const ar_observer *observer) {
    ar_status status = AR_OK;
    int64_t I = s->block->linears[i].I;
    ar__gptq_inputs in = {0};
    char name[AR__WEIGHT_NAME];
    float *host = ar__alloc((size_t)I, (size_t)I * sizeof *host);
    if (!host) return AR_ERR_MEMORY;
    ar__weight_name(name, s->block, i);
    AR_GO(ar_tensor_read(gram, host, 0, I * I));
    status = ar__gptq_inputs_init(&in, host, I, (int64_t)w->unit->samples->count * w->unit->samples->T,
                                  &w->algebra, name);
    free(host);
    host = NULL;
    if (status != AR_OK) goto done;
    for (int32_t k = i; k < s->block->linear_count; k++) {
        if (s->of[k] != s->of[i] || w->block->skip[k]) continue;
        if (cancelled(observer))
            AR_GO(ar__fail(AR_ERR_INTERRUPTED, "interrupted in block %d", (int)s->block->index));
        AR_GO(code_linear(w, k, &in));
        w->done++;
        tell(w, observer);
    }
done:
    free(host);
    ar__gptq_inputs_deinit(&in);
    return status;
}

/* Scales by search, and codes that are chosen anew, of the block's linears: searched ones, K types. */
static ar_status search_scales(const worker *w, ar_block_report *report, const ar__tune_desc *desc) {
    static const ar__goal goal = {&ar__trainable_soft, &ar__loss_block_mse};
    ar__tune_desc start = *desc;
    bool any = w->is_searched;
    for (int32_t i = 0; i < w->block->weights->block->linear_count; i++)
        any = any || (!w->block->skip[i] && w->block->schemes[i].super != AR_SUPER_NONE);
    start.probe = NULL;
    start.goal = &goal;
    return any ? ar__tune(report, NULL, w->unit, &goal, w->device, &start, NULL) : AR_OK;
}

/* The Grams of the inputs of those linears that are wanted, then the linears by their inputs. */
static ar_status code_inputs(worker *w, const sharing *s, const uint32_t *wanted, const ar__tune_desc *desc,
                             const ar_observer *observer) {
    ar_status status = AR_OK;
    ar__taps taps = {0};
    ar_acts_hook acts; /* above the taps: codes are chosen for the inputs that they will meet */
    double start = ar__now_s();
    AR_GO(ar__taps_init(&taps, w->device, s->block, &w->block->weights->hook, wanted));
    const ar_hook *hook = ar_acts_hook_init(&acts, w->block->acts, ar__taps_hook(&taps));
    AR_GO(pass_inputs(w->unit, hook, w->device, desc->batch, observer));
    AR_GO(ar__taps_finish(&taps));
    if (desc->probe) desc->probe->data += ar__now_s() - start;
    for (int32_t i = 0; i < s->block->linear_count; i++)
        if (wanted[i]) AR_GO(code_sharing(w, s, ar__taps_at(&taps, AR__TAP_gram, i), i, observer));
done:
    ar__taps_deinit(&taps);
    return status;
}

/* All at once, or where the budget does not hold all Grams, one after the other: the same Grams. */
static ar_status code_block(worker *w, const ar__tune_desc *desc, const ar_observer *observer) {
    uint32_t wanted[AR_MAX_LINEARS] = {0};
    int32_t first[AR_MAX_LINEARS];
    sharing s;
    AR_TRY(find_sharing(&s, w->device, w->block->weights, w->unit->samples->T));
    for (int32_t i = 0; i < AR_MAX_LINEARS; i++) first[i] = -1;
    for (int32_t i = 0; i < s.block->linear_count; i++)
        if (!w->block->skip[i] && first[s.of[i]] < 0) wanted[first[s.of[i]] = i] = AR__TAP(gram);
    ar_status status = code_inputs(w, &s, wanted, desc, observer);
    if (status != AR_ERR_DEVICE_MEMORY) return status;
    for (int32_t i = 0; i < s.block->linear_count; i++) {
        uint32_t one[AR_MAX_LINEARS] = {0};
        one[i] = wanted[i];
        if (one[i]) AR_TRY(code_inputs(w, &s, one, desc, observer));
    }
    return AR_OK;
}

static ar_status code_unit(ar_block_report *report, float *history, const ar__tune_unit *unit,
                           ar_device *device, const ar__tune_desc *desc, const ar_observer *observer) {
    ar_status status = AR_OK;
    const ar_method_options *o = desc->options;
    worker w = {.unit = unit, .block = &unit->tuned[0], .device = device, .start = ar__now_s()};
    (void)history;
    w.algebra = (ar__gptq_desc){.damp = ar_method_options_get(o, "damp"),
                                .by_size = ar_method_options_get(o, "act_order") != 0.0};
    w.is_searched = desc->searches;
    w.is_probe = desc->probe != NULL;
    w.is_static = ar_method_options_get(o, "static_groups") != 0.0 || w.algebra.by_size;
    if (ar_method_options_get(o, "algebra") != 0.0) {
        AR_TRY(ar__lapack_open(&w.lapack));
        w.algebra.lapack = &w.lapack;
    }
    if (desc->probe) desc->probe->is_resident = true, desc->probe->micro_count = 1;
    AR_GO(search_scales(&w, report, desc));
    AR_GO(code_block(&w, desc, observer));
    if (w.outputs > 0.0) {
        report->loss_first = w.errors[0] / w.outputs;
        report->loss_best = w.errors[1] / w.outputs;
    }
done:
    ar__lapack_close(&w.lapack);
    return status;
}

/* ---- the method ---- */

/* options outlive *full. */
static ar_status describe(ar__tune_desc *full, ar_method_options *options, const ar_samples *samples,
                          const ar_quant_desc *desc) {
    ar_method_options_init(options, &ar__method_gptq);
    if (desc->options) *options = *desc->options;
    if (!samples || samples->count < 1)
        return ar__fail(AR_ERR_ARG, "gptq needs calibration samples: found none");
    *full = ar__tuning_describe(options);
    full->batch = 8;
    ar__tuning_take(full, desc);
    full->searches = ar_method_options_get(options, "grid") == GRID_SEARCH;
    full->taps = AR__TAP(importance); /* for the search; the Grams are of the quantized chain's inputs */
    full->options = options;
    if (full->scheme.super != AR_SUPER_NONE && !full->searches && ar_method_options_given(options, "grid"))
        return ar__fail(AR_ERR_USAGE, "grid range: double-quantized types have searched scales only");
    return AR_OK;
}

static ar_status run(const ar_model *model, ar_device *device, const ar_samples *samples,
                     const ar_quant_desc *desc, const ar_sink *sink, const ar_observer *observer) {
    ar_method_options options;
    ar__tune_desc full;
    AR_TRY(describe(&full, &options, samples, desc));
    return ar__walk_blocks(model, device, samples, &full, sink, observer, code_unit);
}

static ar_status measure(ar_quant_cost *cost, const ar_model *model, ar_device *device,
                         const ar_samples *samples, const ar_quant_desc *desc, const ar_observer *observer) {
    ar_method_options options;
    ar__tune_desc full;
    AR_TRY(describe(&full, &options, samples, desc));
    return ar__measure(cost, model, device, samples, &full, code_unit, observer);
}

#define COUNT(list) ((int32_t)(sizeof(list) / sizeof *(list)))
static const ar_recipe recipes[] = {
    {"default", "128 samples", {{"seqlen", 2048, NULL}, {"samples", 128, NULL}}}};
static const ar_stored_option stored[] = {{"samples", "nsamples"}, {"seqlen", "seqlen"}, {NULL, NULL}};
const ar_method ar__method_gptq = {.name = "gptq",
                                   .help = "input after input, errors made up for by those to come (GPTQ)",
                                   .run = run,
                                   .measure = measure,
                                   .needs = AR_NEEDS_SAMPLES,
                                   .searches = true, /* --grid search */
                                   .taps = AR__TAP(importance) | AR__TAP(gram),
                                   .options = rows,
                                   .option_count = COUNT(rows),
                                   .recipes = recipes,
                                   .recipe_count = COUNT(recipes),
                                   .recipe = "default",
                                   .stored = stored,
                                   .settle = settle};
