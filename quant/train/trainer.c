/* Steps of training: passes over a batch, the clipped sum of their gradients, the optimizer. Recorded once,
 * replayed per step. Where a step is one pass, pass and step are one graph. */
#include "ar_error.h"
#include "core.h"
#include "score.h"
#include <stdlib.h>
#include <string.h>

typedef struct slot {
    const ar_param *param;
    ar_tensor *mean, *square, *sum; /* sum: of the gradients of several passes */
} slot;

struct ar_trainer {
    ar_net *net;
    const ar_data *data;
    ar_device *device;
    ar_train_desc desc;
    slot *slots; /* of what follows gradients */
    int32_t slot_count, at, micro;
    ar_tensor *input, *labels, *step, *count, *rates;
    ar_graph *pass, *finish; /* finish NULL: pass does that too */
    ar__scorer *score;
    ar_tensor *loss, *factor;
    float *rate_rows;
    void *input_rows;
    int32_t *label_rows;
};

void ar_net_destroy(ar_net *net) {
    if (net) net->destroy(net);
}

/* ---- recording ---- */

static ar_status record_step(ar_trainer *t, ar_graph *g, ar_tensor *const *d) {
    float scale = 1.0f / (float)t->desc.accumulate;
    AR_TRY(ar_op_clip(g, &t->factor, d, t->slot_count, t->desc.clip, scale));
    ar_graph_keep(g, t->factor);
    for (int32_t i = 0; i < t->slot_count; i++) {
        slot *s = &t->slots[i];
        ar_train_step step = {.step = t->step,
                              .rates = t->rates,
                              .factor = t->factor,
                              .decay = s->param->decays ? t->desc.decay : 0};
        AR_TRY(t->desc.optimizer == AR_TRAIN_SGD
                   ? ar_op_sgd_step(g, s->param->t, d[i], s->mean, &step, t->desc.momentum)
                   : ar_op_adamw_step(g, s->param->t, d[i], s->mean, s->square, &step,
                                      (float)t->desc.rate.beta1, (float)t->desc.rate.beta2, t->desc.eps));
    }
    return ar_op_advance(g, t->step);
}

/* The gradients of one pass; with several passes they are added to the sums. */
static ar_status record_gradients(ar_trainer *t, ar_graph *g, ar_tensor **d) {
    for (int32_t i = 0; i < t->slot_count; i++) {
        slot *s = &t->slots[i];
        ar_tensor *added = NULL;
        d[i] = ar_tensor_grad(s->param->t);
        if (!d[i])
            return ar__fail(AR_ERR_ARG, "%s: the loss does not depend on it, expected a gradient",
                            s->param->name);
        if (!s->sum) continue;
        AR_TRY(ar_op_add(g, &added, s->sum, d[i]));
        AR_TRY(ar_op_copy(g, s->sum, added));
    }
    return AR_OK;
}

static ar_status record_pass(ar_trainer *t, ar_tensor **d) {
    ar_pass pass = {.input = t->input,
                    .labels = t->labels,
                    .count = t->count,
                    .is_training = true,
                    .recompute = t->desc.recompute};
    ar_tensor *nll = NULL, *top1 = NULL;
    AR_TRY(ar_graph_create(&t->pass, t->device));
    AR_TRY(t->net->record(t->net, t->pass, &nll, &top1, &pass));
    AR_TRY(ar_op_mean(t->pass, &t->loss, nll));
    ar_graph_keep(t->pass, t->loss);
    AR_TRY(ar_graph_backward(t->pass, t->loss));
    AR_TRY(record_gradients(t, t->pass, d));
    if (t->desc.accumulate == 1) AR_TRY(record_step(t, t->pass, d));
    AR_TRY(ar_op_advance(t->pass, t->count));
    return ar_graph_build(t->pass);
}

static ar_status record_finish(ar_trainer *t, ar_tensor **d) {
    if (t->desc.accumulate == 1) return AR_OK;
    AR_TRY(ar_graph_create(&t->finish, t->device));
    for (int32_t i = 0; i < t->slot_count; i++) d[i] = t->slots[i].sum;
    AR_TRY(record_step(t, t->finish, d));
    for (int32_t i = 0; i < t->slot_count; i++) AR_TRY(ar_op_fill(t->finish, t->slots[i].sum, 0));
    return ar_graph_build(t->finish);
}

/* ---- one arrangement ---- */

static void drop_arrangement(ar_trainer *t) {
    ar_graph **graphs[] = {&t->pass, &t->finish};
    ar__scorer_destroy(t->score);
    t->score = NULL;
    for (int i = 0; i < 2; i++) {
        ar_graph_destroy(*graphs[i]);
        *graphs[i] = NULL;
    }
    for (int32_t i = 0; i < t->slot_count; i++) {
        ar_tensor_destroy(t->slots[i].sum);
        t->slots[i].sum = NULL;
    }
    ar_tensor_destroy(t->input);
    ar_tensor_destroy(t->labels);
    t->input = t->labels = NULL;
    free(t->input_rows);
    free(t->label_rows);
    t->input_rows = NULL;
    t->label_rows = NULL;
}

static ar_status make_batch(ar_trainer *t) {
    const ar_data *d = t->data;
    int64_t rows = t->micro * d->rows, width = d->width ? d->width : 1, labels = t->micro * d->labels;
    AR_TRY(ar_tensor_create(&t->input, t->device, d->dtype, d->width ? 2 : 1, (int64_t[]){rows, width}));
    AR_TRY(ar_tensor_create(&t->labels, t->device, AR_I32, 1, &labels));
    t->input_rows = ar__alloc((size_t)rows, (size_t)width * 4);
    t->label_rows = ar__alloc((size_t)labels, sizeof *t->label_rows);
    return t->input_rows && t->label_rows ? AR_OK : AR_ERR_MEMORY;
}

static ar_status arrange(ar_trainer *t) {
    ar_status status;
    ar_tensor **d = ar__alloc((size_t)t->slot_count, sizeof *d);
    if (!d) return AR_ERR_MEMORY;
    t->micro = t->desc.batch / t->desc.accumulate;
    AR_GO(make_batch(t));
    for (int32_t i = 0; t->desc.accumulate > 1 && i < t->slot_count; i++) {
        int64_t count = ar_tensor_count(t->slots[i].param->t), dims[AR_MAX_DIMS] = {count};
        int32_t dim_count = ar_tensor_dim_count(t->slots[i].param->t);
        for (int32_t k = 0; k < dim_count; k++) dims[k] = ar_tensor_dim(t->slots[i].param->t, k);
        AR_GO(ar__zeros(&t->slots[i].sum, t->device, AR_F32, dim_count, dims));
    }
    AR_GO(record_pass(t, d));
    AR_GO(record_finish(t, d));
    AR_GO(ar__scorer_create(&t->score, t->net, t->data, t->device, t->micro, false));
done:
    free(d);
    return status;
}

/* Less memory than now: values made again, then fewer examples at a time. false = there is nothing less. */
static bool arrange_less(ar_train_desc *desc, bool no_recompute) {
    if (!desc->recompute && !no_recompute) {
        desc->recompute = true;
        return true;
    }
    for (int32_t n = desc->accumulate + 1; n <= desc->batch; n++)
        if (desc->batch % n == 0) {
            desc->accumulate = n;
            return true;
        }
    return false;
}

/* ---- making ---- */

static ar_status make_slots(ar_trainer *t) {
    t->slots = ar__alloc((size_t)t->net->param_count, sizeof *t->slots);
    if (!t->slots) return AR_ERR_MEMORY;
    for (int32_t i = 0; i < t->net->param_count; i++) {
        const ar_param *p = &t->net->params[i];
        int64_t count = ar_tensor_count(p->t);
        if (p->is_state) continue;
        slot *s = &t->slots[t->slot_count++];
        s->param = p;
        ar_tensor_set_needs_grad(p->t, true);
        AR_TRY(ar__zeros(&s->mean, t->device, AR_F32, 1, &count));
        if (t->desc.optimizer == AR_TRAIN_ADAMW) AR_TRY(ar__zeros(&s->square, t->device, AR_F32, 1, &count));
    }
    return t->slot_count ? AR_OK : ar__fail(AR_ERR_ARG, "train: the net has nothing that follows a gradient");
}

static ar_status make_counters(ar_trainer *t) {
    const int64_t one = 1;
    AR_TRY(ar__zeros(&t->step, t->device, AR_I32, 1, &one));
    AR_TRY(ar__zeros(&t->count, t->device, AR_I32, 1, &one));
    t->rate_rows = ar__alloc((size_t)t->desc.steps, 4 * sizeof *t->rate_rows);
    if (!t->rate_rows) return AR_ERR_MEMORY;
    ar_train_rates(t->rate_rows, t->desc.steps, &t->desc.rate);
    AR_TRY(ar_tensor_create(&t->rates, t->device, AR_F32, 2, (int64_t[]){t->desc.steps, 4}));
    return ar_tensor_write(t->rates, t->rate_rows, 0, (int64_t)t->desc.steps * 4);
}

static ar_status check_desc(const ar_train_desc *d) {
    if (d->steps < 1 || d->batch < 1 || d->accumulate < 1)
        return ar__fail(AR_ERR_ARG, "train: found %d steps of %d in %d passes, expected at least one of each",
                        (int)d->steps, (int)d->batch, (int)d->accumulate);
    if (d->batch % d->accumulate)
        return ar__fail(AR_ERR_ARG, "train: found a batch of %d in %d passes, expected a divisor",
                        (int)d->batch, (int)d->accumulate);
    return AR_OK;
}

ar_status ar_trainer_create(ar_trainer **made, ar_net *net, const ar_data *data, ar_train_desc *desc,
                            ar_device *device) {
    *made = NULL;
    AR_TRY(check_desc(desc));
    ar_trainer *t = ar__alloc(1, sizeof *t);
    if (!t) return AR_ERR_MEMORY;
    *t = (ar_trainer){.net = net, .data = data, .device = device, .desc = *desc};
    ar_status status = make_slots(t);
    if (status == AR_OK) status = make_counters(t);
    if (status == AR_OK) {
        for (;;) {
            status = arrange(t);
            if (status != AR_ERR_DEVICE_MEMORY || !arrange_less(&t->desc, t->net->no_recompute)) break;
            drop_arrangement(t);
        }
    }
    if (status != AR_OK) {
        ar_trainer_destroy(t);
        return status;
    }
    *desc = t->desc;
    *made = t;
    return AR_OK;
}

void ar_trainer_destroy(ar_trainer *t) {
    if (!t) return;
    drop_arrangement(t);
    for (int32_t i = 0; i < t->slot_count; i++) {
        ar_tensor_destroy(t->slots[i].mean);
        ar_tensor_destroy(t->slots[i].square);
    }
    ar_tensor_destroy(t->step);
    ar_tensor_destroy(t->count);
    ar_tensor_destroy(t->rates);
    free(t->rate_rows);
    free(t->slots);
    free(t);
}

/* ---- stepping ---- */

static ar_status write_batch(ar_trainer *t) {
    AR_TRY(ar_tensor_write(t->input, t->input_rows, 0, ar_tensor_count(t->input)));
    return ar_tensor_write(t->labels, t->label_rows, 0, ar_tensor_count(t->labels));
}

ar_status ar_trainer_step(ar_trainer *t, double *loss, double *norm) {
    double sum = 0;
    float value = 0;
    if (t->at >= t->desc.steps)
        return ar__fail(AR_ERR_ARG, "train: %d steps are taken, expected no more", (int)t->at);
    for (int32_t i = 0; i < t->desc.accumulate; i++) {
        AR_TRY(t->data->draw(t->data, t->input_rows, t->label_rows, t->at, i * t->micro, t->micro));
        AR_TRY(write_batch(t));
        AR_TRY(ar_graph_run(t->pass));
        AR_TRY(ar_tensor_read(t->loss, &value, 0, 1));
        sum += (double)value;
    }
    if (t->finish) AR_TRY(ar_graph_run(t->finish));
    t->at++;
    AR_TRY(ar_tensor_read(t->factor, &value, 0, 1));
    if (loss) *loss = sum / t->desc.accumulate;
    if (norm) *norm = (double)value;
    return AR_OK;
}

ar_status ar_trainer_evaluate(ar_trainer *t, ar_train_score *score) {
    return ar__scorer_run(t->score, score, t->data, NULL);
}

int32_t ar_trainer_at(const ar_trainer *t) { return t->at; }

double ar_trainer_rate(const ar_trainer *t) {
    return t->at < t->desc.steps ? (double)t->rate_rows[4 * t->at] : 0;
}

/* ---- what is kept ---- */

ar_tensor *ar_trainer_state(char name[AR_PARAM_NAME + 8], const ar_trainer *t, int32_t i) {
    static const char *const before[] = {"mean.", "square."};
    int32_t params = t->net->param_count, moments = t->desc.optimizer == AR_TRAIN_ADAMW ? 2 : 1;
    if (i >= params + moments * t->slot_count) return NULL;
    if (i < params) {
        strcpy(name, t->net->params[i].name);
        return t->net->params[i].t;
    }
    const slot *s = &t->slots[(i - params) / moments];
    int32_t k = (i - params) % moments;
    strcpy(name, before[k]);
    strcat(name, s->param->name);
    return k == 0 ? s->mean : s->square;
}

ar_status ar_trainer_resume(ar_trainer *t, int32_t steps) {
    if (steps < 0 || steps > t->desc.steps)
        return ar__fail(AR_ERR_ARG, "train: found %d steps, expected at most %d", (int)steps,
                        (int)t->desc.steps);
    int32_t passes = steps * t->desc.accumulate;
    t->at = steps;
    AR_TRY(ar_tensor_write(t->step, &steps, 0, 1));
    return ar_tensor_write(t->count, &passes, 0, 1);
}
