/* What a step of tuning sees: samples of two chains in an order, cut into micro-batches, with what
 * positions count and a part held out. Knows nothing of what is tuned. */
#ifndef AR_QUANT_DATA_H
#define AR_QUANT_DATA_H
#include "positions.h"

/* How much of a step is on the device at a time. */
typedef struct ar__arrangement {
    int32_t micro; /* samples of a micro-batch: a divisor of the batch */
    bool resident; /* both chains on the device, batches gathered by index; else the host writes each one */
} ar__arrangement;

typedef struct ar__data {
    ar_device *device;
    const ar_chain *input, *target, *float_input;
    ar_sample_split split;
    int32_t iters, T, count;
    int32_t absent; /* samples that there is only room for on the device (ar__probe) */
    int32_t *order; /* (iters, batch) */
    ar__positions positions;
    float *row; /* (width): a target on its way to the device */
    /* as placed */
    ar__arrangement at;
    int32_t micro_count; /* micro-batches of a step */
    int32_t held_part;   /* held-out samples of one pass: a divisor of held, at most micro */
    ar_tensor *x_all, *y_all, *weight_all, *sched, *step, *held_sched, *held_step;
    ar_tensor *x_in, *y_in, *weight_in;       /* streamed: one micro-batch, */
    ar_tensor *x_held, *y_held, *weight_held; /* and the held-out slice where it is smaller */
} ar__data;

/* What a graph is given: x and target (samples * T, hidden), weight (samples * T) or as ar_op_gather shapes
 * them. */
typedef struct ar__batch {
    ar_tensor *x, *target, *weight;
} ar__batch;

/* Split, order and positions; nothing on the device yet. On failure deinit is due all the same. Errors:
 * MEMORY, those of ar__sample_split_make. */
ar_status ar__data_init(ar__data *d, ar_device *device, const ar__tune_unit *unit, const ar__tune_desc *desc);
void ar__data_deinit(ar__data *d);
/* The largest arrangement that may fit the device's budget, and the next smaller one: false past the last. */
ar__arrangement ar__data_largest(const ar__data *d);
bool ar__data_smaller(const ar__data *d, ar__arrangement *a);
/* Makes what the arrangement has on the device. On failure drop is due all the same. */
ar_status ar__data_place(ar__data *d, const ar__arrangement *a);
void ar__data_drop(ar__data *d);
/* Records the next micro-batch, or the next part of the held-out slice, but for its target; that, which waits
 * until the blocks are recorded, or it would take memory beside theirs; and that it has been seen. */
ar_status ar__data_record(const ar__data *d, ar_graph *g, ar__batch *b, bool held);
ar_status ar__data_record_target(const ar__data *d, ar_graph *g, ar__batch *b, bool held);
ar_status ar__data_record_next(const ar__data *d, ar_graph *g, bool held);
/* Records the return to the first part of the held-out slice. */
ar_status ar__data_record_rewind(const ar__data *d, ar_graph *g);
ar_status ar__data_rewind(ar__data *d); /* and at once */
/* Before a recorded graph runs: micro-batch m of a step goes to the device if it is streamed. */
ar_status ar__data_feed(ar__data *d, int32_t step, int32_t m);
/* Runs g, which takes one part of the held-out slice, for all of them. */
ar_status ar__data_run_held(ar__data *d, ar_graph *g);
#endif
