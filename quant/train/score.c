/* See score.h. The last batch is filled with examples that have no labels. */
#include "score.h"
#include "ar_error.h"
#include "core.h"
#include <stdlib.h>
#include <string.h>

struct ar__scorer {
    ar_graph *graph;
    ar_tensor *input, *labels, *count, *nll, *top1;
    void *input_rows;
    int32_t *label_rows, *says, batch;
    float *losses;
};

static ar_status make_batch(ar__scorer *s, const ar_data *d, ar_device *device) {
    int64_t rows = s->batch * d->rows, width = d->width ? d->width : 1, labels = s->batch * d->labels;
    const int64_t one = 1;
    AR_TRY(ar_tensor_create(&s->input, device, d->dtype, d->width ? 2 : 1, (int64_t[]){rows, width}));
    AR_TRY(ar_tensor_create(&s->labels, device, AR_I32, 1, &labels));
    AR_TRY(ar__zeros(&s->count, device, AR_I32, 1, &one));
    s->input_rows = ar__alloc((size_t)rows, (size_t)width * 4);
    s->label_rows = ar__alloc((size_t)labels, sizeof *s->label_rows);
    s->says = ar__alloc((size_t)labels, sizeof *s->says);
    s->losses = ar__alloc((size_t)labels, sizeof *s->losses);
    return s->input_rows && s->label_rows && s->says && s->losses ? AR_OK : AR_ERR_MEMORY;
}

static ar_status record(ar__scorer *s, const ar_net *net, ar_device *device, bool of_batch) {
    const ar_pass pass = {.input = s->input, .labels = s->labels, .count = s->count, .of_batch = of_batch};
    AR_TRY(ar_graph_create(&s->graph, device));
    AR_TRY(net->record(net, s->graph, &s->nll, &s->top1, &pass));
    ar_graph_keep(s->graph, s->nll);
    ar_graph_keep(s->graph, s->top1);
    return ar_graph_build(s->graph);
}

ar_status ar__scorer_create(ar__scorer **made, const ar_net *net, const ar_data *data, ar_device *device,
                            int32_t batch, bool of_batch) {
    *made = NULL;
    ar__scorer *s = ar__alloc(1, sizeof *s);
    if (!s) return AR_ERR_MEMORY;
    s->batch = batch;
    ar_status status = make_batch(s, data, device);
    if (status == AR_OK) status = record(s, net, device, of_batch);
    if (status == AR_OK)
        *made = s;
    else
        ar__scorer_destroy(s);
    return status;
}

void ar__scorer_destroy(ar__scorer *s) {
    if (!s) return;
    ar_graph_destroy(s->graph);
    ar_tensor_destroy(s->input);
    ar_tensor_destroy(s->labels);
    ar_tensor_destroy(s->count);
    free(s->input_rows);
    free(s->label_rows);
    free(s->says);
    free(s->losses);
    free(s);
}

/* Adds what the net says of the batch, of which `labels` labels count. */
static ar_status add_batch(ar__scorer *s, ar_train_score *score, int64_t labels) {
    AR_TRY(ar_tensor_write(s->input, s->input_rows, 0, ar_tensor_count(s->input)));
    AR_TRY(ar_tensor_write(s->labels, s->label_rows, 0, ar_tensor_count(s->labels)));
    AR_TRY(ar_graph_run(s->graph));
    AR_TRY(ar_tensor_read(s->nll, s->losses, 0, labels));
    AR_TRY(ar_tensor_read(s->top1, s->says, 0, labels));
    for (int64_t n = 0; n < labels; n++) {
        if (s->label_rows[n] < 0) continue;
        score->loss += (double)s->losses[n];
        score->accuracy += s->says[n] == s->label_rows[n];
        score->labels++;
    }
    return AR_OK;
}

ar_status ar__scorer_run(ar__scorer *s, ar_train_score *score, const ar_data *data, int32_t *said) {
    *score = (ar_train_score){0};
    for (int64_t first = 0; first < data->held_count; first += s->batch) {
        int64_t left = data->held_count - first, n = left < s->batch ? left : s->batch;
        for (int64_t i = 0; i < s->batch * data->labels; i++) s->label_rows[i] = -1;
        memset(s->input_rows, 0, (size_t)ar_tensor_count(s->input) * 4);
        AR_TRY(data->held(data, s->input_rows, s->label_rows, first, (int32_t)n));
        AR_TRY(add_batch(s, score, n * data->labels));
        if (said) memcpy(said + first * data->labels, s->says, (size_t)(n * data->labels) * sizeof *said);
    }
    if (score->labels) score->loss /= (double)score->labels;
    if (score->labels) score->accuracy /= (double)score->labels;
    return AR_OK;
}

static ar_status score_all(ar_train_score *score, int32_t *said, const ar_net *net, const ar_data *data,
                           ar_device *device, int32_t batch, bool of_batch) {
    ar__scorer *s = NULL;
    AR_TRY(ar__scorer_create(&s, net, data, device, batch, of_batch));
    ar_status status = ar__scorer_run(s, score, data, said);
    ar__scorer_destroy(s);
    return status;
}

ar_status ar_net_score(ar_train_score *score, int32_t *said, const ar_net *net, const ar_data *data,
                       ar_device *device, int32_t batch) {
    return score_all(score, said, net, data, device, batch, false);
}

ar_status ar_net_score_gap(ar_train_score *running, ar_train_score *batches, const ar_net *net,
                           const ar_data *data, ar_device *device, int32_t batch) {
    ar_data whole = *data; /* batches: what fills the last one up would be in its statistics */
    whole.held_count -= data->held_count % batch;
    AR_TRY(score_all(running, NULL, net, &whole, device, batch, false));
    return score_all(batches, NULL, net, &whole, device, batch, true);
}
