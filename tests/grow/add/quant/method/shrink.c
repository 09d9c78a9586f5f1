/* shrink: round to nearest within a share of every group's range; what lies outside is clipped. */
#include "measure.h"
#include "methods.h"
#include <stdlib.h>

#define UNITS 1024.0f /* of a coefficient: 1 */

static const ar_option_row rows[] = {{.name = "shrink",
                                      .kind = AR_VALUE_REAL,
                                      .preset = 0.875,
                                      .lo = 0.5,
                                      .hi = 1,
                                      .value = "X",
                                      .help = "share of every group's range that is kept (0.875)",
                                      .record = "shrink"}};

static ar_status shrink_linear(ar_qlinear *q, ar_device *device, const ar_tensor *W, float kept) {
    ar_status status = AR_OK;
    int64_t count = q->O * q->groups * 2;
    ar_tensor *mm = NULL;
    float *values = ar__alloc((size_t)count, sizeof *values);
    if (!values) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < count; i++) values[i] = (kept - 1.0f) * UNITS;
    AR_GO(ar_tensor_create(&mm, device, AR_F32, 3, (const int64_t[]){q->O, q->groups, 2}));
    AR_GO(ar_tensor_write(mm, values, 0, count));
    AR_GO(ar__read_codes(q, device, W, NULL, &(ar_fq_state){.mm = mm}, &(ar_fq_desc){q->scheme, 0, UNITS}));
done:
    free(values);
    ar_tensor_destroy(mm);
    return status;
}

static ar_status shrink_unit(ar_block_report *report, float *history, const ar__tune_unit *unit,
                             ar_device *device, const ar__tune_desc *desc, const ar_observer *observer) {
    float kept = (float)ar_method_options_get(desc->options, "shrink");
    (void)report, (void)history, (void)observer;
    for (int32_t k = 0; k < unit->tuned_count; k++) {
        const ar__tuned_block *b = &unit->tuned[k];
        for (int32_t i = 0; i < b->weights->block->linear_count; i++)
            if (!b->skip[i]) AR_TRY(shrink_linear(&b->q[i], device, b->weights->linears[i], kept));
    }
    return AR_OK;
}

static ar__tune_desc describe(const ar_quant_desc *desc, ar_method_options *options) {
    ar_method_options_init(options, &ar__method_shrink);
    if (desc->options) *options = *desc->options;
    return (ar__tune_desc){
        .scheme = desc->scheme, .choose = desc->choose, .choose_ctx = desc->choose_ctx, .options = options};
}

static ar_status run(const ar_model *model, ar_device *device, const ar_samples *samples,
                     const ar_quant_desc *desc, const ar_sink *sink, const ar_observer *observer) {
    ar_method_options options;
    ar__tune_desc walk = describe(desc, &options);
    (void)samples;
    return ar__walk_blocks(model, device, NULL, &walk, sink, observer, shrink_unit);
}

static ar_status measure(ar_quant_cost *cost, const ar_model *model, ar_device *device,
                         const ar_samples *samples, const ar_quant_desc *desc, const ar_observer *observer) {
    ar_method_options options;
    ar__tune_desc walk = describe(desc, &options);
    (void)samples;
    return ar__measure(cost, model, device, NULL, &walk, shrink_unit, observer);
}

static const ar_stored_option stored[] = {{"shrink", "shrink_factor"}, {NULL, NULL}};

const ar_method ar__method_shrink = {.name = "shrink",
                                     .help = "round to nearest in a share of the range",
                                     .run = run,
                                     .measure = measure,
                                     .needs = AR_NEEDS_NOTHING,
                                     .options = rows,
                                     .option_count = 1,
                                     .stored = stored};
