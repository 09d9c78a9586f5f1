/* The data of a unit's tuning. Activations are resident on the device when both chains fit a third of the
 * free budget, else the host writes each batch before it runs (same batches, same bits); where the budget
 * holds no whole batch, a step is cut into micro-batches. */
#include "data.h"
#include <stdlib.h>
#include <string.h>

#define ABSENT_BYTES ((int64_t)4 << 20)

/* ---- which samples, which positions ---- */

ar_status ar__data_init(ar__data *d, ar_device *device, const ar__tune_unit *unit,
                        const ar__tune_desc *desc) {
    *d = (ar__data){.device = device,
                    .input = unit->input,
                    .target = unit->target,
                    .float_input = unit->float_input,
                    .iters = desc->iters,
                    .T = unit->samples->T,
                    .count = unit->samples->count,
                    .absent = desc->probe ? desc->probe->count - unit->samples->count : 0};
    AR_TRY(ar__sample_split_make(&d->split, desc, d->count));
    int32_t batch = d->split.batch, block = unit->tuned[0].weights->block->index;
    d->order = ar__alloc((size_t)d->iters * (size_t)batch, sizeof *d->order);
    if (!d->order) return AR_ERR_MEMORY;
    d->row = ar__alloc((size_t)unit->target->width, sizeof *d->row);
    if (!d->row) return AR_ERR_MEMORY;
    if (desc->order)
        memcpy(d->order, desc->order, (size_t)d->iters * (size_t)batch * sizeof *d->order);
    else
        AR_TRY(ar__sample_order(d->order, d->iters, batch, d->split.train, desc->seed, block));
    return ar__positions_init(&d->positions, unit, desc);
}

void ar__data_deinit(ar__data *d) {
    ar__data_drop(d);
    free(d->order);
    free(d->row);
    ar__positions_deinit(&d->positions);
}

/* ---- arrangements ---- */

/* The largest divisor of n, n >= 0, that is less than `below`, or 1. */
static int32_t largest_divisor_below(int32_t n, int32_t below) {
    for (int32_t m = n < below - 1 ? n : below - 1; m > 1; m--)
        if (n % m == 0) return m;
    return 1;
}

ar__arrangement ar__data_largest(const ar__data *d) {
    ar_memory_stats memory;
    ar_device_memory(d->device, &memory);
    uint64_t rows = (uint64_t)(d->count + d->absent) * (uint64_t)d->T,
             chains = 2 * rows * (uint64_t)d->input->width * 4;
    return (ar__arrangement){d->split.batch, chains <= (memory.budget - memory.current) / 3};
}

bool ar__data_smaller(const ar__data *d, ar__arrangement *a) {
    if (!a->resident && a->micro == 1) return false;
    if (a->resident)
        a->resident = false;
    else
        a->micro = largest_divisor_below(d->split.batch, a->micro);
    return true;
}

static ar_status make(ar__data *d, ar_tensor **out, ar_dtype dtype, int32_t dims, const int64_t *dim,
                      const void *init) {
    AR_TRY(ar_tensor_create(out, d->device, dtype, dims, dim));
    return init ? ar_tensor_write(*out, init, 0, ar_tensor_count(*out)) : AR_OK;
}

static ar_status make_streamed(ar__data *d, ar_tensor **x, ar_tensor **y, ar_tensor **weight, int32_t count) {
    int64_t rows = (int64_t)count * d->T, width = d->input->width;
    AR_TRY(make(d, x, AR_F32, 2, (const int64_t[]){rows, width}, NULL));
    AR_TRY(make(d, y, AR_F32, 2, (const int64_t[]){rows, width}, NULL));
    return make(d, weight, AR_F32, 1, &rows, NULL);
}

/* Where a position of sample i keeps the error at the input, its target in y, whose rows from `row` on are
 * the sample's, moves by that. */
static ar_status shift_targets(ar__data *d, ar_tensor *y, int64_t row, int32_t i) {
    int64_t width = d->target->width;
    for (int32_t p = 0; d->positions.shifted && p < d->T; p++) {
        int64_t at = (int64_t)i * d->T + p;
        if (!d->positions.shifted[at]) continue;
        const float *in = d->input->data + at * width, *in_float = d->float_input->data + at * width;
        for (int64_t k = 0; k < width; k++)
            d->row[k] = d->target->data[at * width + k] + (in[k] - in_float[k]);
        AR_TRY(ar_tensor_write(y, d->row, (row + p) * width, width));
    }
    return AR_OK;
}

/* Rows of samples that are only to come: the device has them in memory, and was given them, all the same. */
static ar_status fill_absent(ar__data *d, ar_tensor *t) {
    int64_t width = d->input->width, at = (int64_t)d->count * d->T * width, end = ar_tensor_count(t),
            step = ABSENT_BYTES / (int64_t)sizeof(float);
    if (at == end) return AR_OK;
    float *zeros = ar__alloc((size_t)step, sizeof *zeros);
    ar_status status = zeros ? AR_OK : AR_ERR_MEMORY;
    for (; status == AR_OK && at < end; at += step)
        status = ar_tensor_write(t, zeros, at, end - at < step ? end - at : step);
    free(zeros);
    return status;
}

static ar_status make_activations(ar__data *d) {
    int64_t width = d->input->width, room = d->count + d->absent;
    if (!d->at.resident) {
        AR_TRY(make_streamed(d, &d->x_in, &d->y_in, &d->weight_in, d->at.micro));
        bool smaller = d->split.select == AR_SELECT_HELDOUT && d->held_part < d->at.micro;
        return smaller ? make_streamed(d, &d->x_held, &d->y_held, &d->weight_held, d->held_part) : AR_OK;
    }
    AR_TRY(make(d, &d->x_all, AR_F32, 3, (const int64_t[]){room, d->T, width}, NULL));
    AR_TRY(make(d, &d->y_all, AR_F32, 3, (const int64_t[]){room, d->T, width}, NULL));
    AR_TRY(ar_tensor_write(d->x_all, d->input->data, 0, d->count * d->T * width));
    AR_TRY(ar_tensor_write(d->y_all, d->target->data, 0, d->count * d->T * width));
    AR_TRY(fill_absent(d, d->x_all));
    AR_TRY(fill_absent(d, d->y_all));
    for (int32_t i = 0; i < d->count; i++) AR_TRY(shift_targets(d, d->y_all, (int64_t)i * d->T, i));
    AR_TRY(make(d, &d->weight_all, AR_F32, 2, (const int64_t[]){room, d->T}, NULL));
    return ar_tensor_write(d->weight_all, d->positions.weight, 0, (int64_t)d->count * d->T);
}

ar_status ar__data_place(ar__data *d, const ar__arrangement *a) {
    const int64_t one[] = {1};
    d->at = *a;
    d->micro_count = d->split.batch / a->micro;
    d->held_part = largest_divisor_below(d->split.held, a->micro + 1);
    AR_TRY(make_activations(d));
    AR_TRY(make(d, &d->sched, AR_I32, 2, (const int64_t[]){(int64_t)d->iters * d->micro_count, a->micro},
                d->order));
    AR_TRY(ar__zeros(&d->step, d->device, AR_I32, 1, one));
    if (d->split.select != AR_SELECT_HELDOUT) return AR_OK;
    int32_t *held = ar__alloc((size_t)d->split.held, sizeof *held);
    if (!held) return AR_ERR_MEMORY;
    for (int32_t i = 0; i < d->split.held; i++) held[i] = d->split.train + i;
    const int64_t dims[] = {d->split.held / d->held_part, d->held_part};
    ar_status status = make(d, &d->held_sched, AR_I32, 2, dims, held);
    free(held);
    AR_TRY(status);
    return ar__zeros(&d->held_step, d->device, AR_I32, 1, one);
}

void ar__data_drop(ar__data *d) {
    ar_tensor **tensors[] = {&d->x_all,      &d->y_all,     &d->weight_all, &d->sched, &d->step,
                             &d->held_sched, &d->held_step, &d->x_in,       &d->y_in,  &d->weight_in,
                             &d->x_held,     &d->y_held,    &d->weight_held};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        ar_tensor_destroy(*tensors[i]);
        *tensors[i] = NULL;
    }
}

/* ---- recording ---- */

ar_status ar__data_record(const ar__data *d, ar_graph *g, ar__batch *b, bool held) {
    int32_t count = held ? d->held_part : d->at.micro;
    if (d->at.resident) {
        const ar_tensor *sched = held ? d->held_sched : d->sched, *step = held ? d->held_step : d->step;
        AR_TRY(ar_op_gather(g, &b->x, d->x_all, sched, step, count));
        return ar_op_gather(g, &b->weight, d->weight_all, sched, step, count);
    }
    bool part = count < d->at.micro;
    *b = part ? (ar__batch){d->x_held, d->y_held, d->weight_held}
              : (ar__batch){d->x_in, d->y_in, d->weight_in};
    return AR_OK;
}

ar_status ar__data_record_target(const ar__data *d, ar_graph *g, ar__batch *b, bool held) {
    if (!d->at.resident) return AR_OK;
    int32_t count = held ? d->held_part : d->at.micro;
    return ar_op_gather(g, &b->target, d->y_all, held ? d->held_sched : d->sched,
                        held ? d->held_step : d->step, count);
}

ar_status ar__data_record_next(const ar__data *d, ar_graph *g, bool held) {
    return ar_op_advance(g, held ? d->held_step : d->step);
}

ar_status ar__data_record_rewind(const ar__data *d, ar_graph *g) { return ar_op_fill(g, d->held_step, 0); }

/* ---- running ---- */

ar_status ar__data_rewind(ar__data *d) { return ar_tensor_write(d->held_step, &(int32_t){0}, 0, 1); }

static ar_status stream_in(ar__data *d, const int32_t *index, int32_t count) {
    bool part = count < d->at.micro;
    ar_tensor *x = part ? d->x_held : d->x_in, *y = part ? d->y_held : d->y_in,
              *weight = part ? d->weight_held : d->weight_in;
    int64_t rows = d->T, row = (int64_t)d->T * d->input->width;
    for (int32_t b = 0; b < count; b++) {
        AR_TRY(ar_tensor_write(x, d->input->data + index[b] * row, b * row, row));
        AR_TRY(ar_tensor_write(y, d->target->data + index[b] * row, b * row, row));
        AR_TRY(shift_targets(d, y, b * rows, index[b]));
        AR_TRY(ar_tensor_write(weight, d->positions.weight + index[b] * rows, b * rows, rows));
    }
    return AR_OK;
}

ar_status ar__data_feed(ar__data *d, int32_t step, int32_t m) {
    if (d->at.resident) return AR_OK;
    size_t from = (size_t)step * (size_t)d->split.batch + (size_t)m * (size_t)d->at.micro;
    return stream_in(d, d->order + from, d->at.micro);
}

static ar_status feed_held(ar__data *d, int32_t first) {
    int32_t index[AR_MAX_HELDOUT];
    if (d->at.resident) return AR_OK;
    for (int32_t b = 0; b < d->held_part; b++) index[b] = d->split.train + first + b;
    return stream_in(d, index, d->held_part);
}

ar_status ar__data_run_held(ar__data *d, ar_graph *g) {
    for (int32_t first = 0; first < d->split.held; first += d->held_part) {
        AR_TRY(feed_held(d, first));
        AR_TRY(ar_graph_run(g));
    }
    return AR_OK;
}
