/* Perplexity, KL divergence and top-1 agreement on a text, block by block, so that a model larger than the
 * device (and a reference beside it) can be measured. Protocols: docs/architecture.md, section 11. */
#include "adapter.h"
#include "allot.h"
#include "ar_error.h"
#include "eval_figures.h"
#include "family.h"
#include "logits_file.h"
#include "tokenizer.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIT_BYTES ((int64_t)48 << 20) /* logits of one head pass */
/* Tokens that walk through the model together. Each walk uploads every weight once, which few tokens would
 * not pay for; more keep activations in memory and the first figures waiting. */
#define PART_TOKENS 16384

/* What is predicted: samples of T ids, and for each position the id that follows, or -1 = not counted. */
typedef struct task {
    ar_samples samples;
    int32_t *labels;
    int64_t tokens;
} task;

static void task_deinit(task *t) {
    free(t->samples.ids);
    free(t->labels);
    *t = (task){0};
}

static ar_status task_init(task *t, int32_t count, int32_t T) {
    t->samples = (ar_samples){ar__alloc((size_t)count, (size_t)T * sizeof(int32_t)), count, T};
    t->labels = ar__alloc((size_t)count, (size_t)T * sizeof(int32_t));
    if (!t->samples.ids || !t->labels) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < (int64_t)count * T; i++) t->labels[i] = -1;
    return AR_OK;
}

/* ---- protocols ---- */

static void count_labels(task *t, int32_t sample, int32_t first, int32_t end, const int32_t *ids) {
    for (int32_t p = first; p + 1 < end; p++) {
        t->labels[(int64_t)sample * t->samples.T + p] = ids[p + 1];
        t->tokens++;
    }
}

/* Non-overlapping windows of the whole file; llamacpp = a tokenizer with BOS puts it before the text and in
 * the place of each window's first id, and the second half is counted. */
static ar_status make_windows(task *t, const ar_open_model *m, const char *text, size_t bytes,
                              const ar_eval_desc *d, int32_t T) {
    bool llamacpp = d->protocol == AR_PROTOCOL_LLAMACPP;
    int32_t before, *ids = NULL;
    const int32_t *prefix = ar_tokenizer_prefix(&before, m->tokenizer);
    int64_t n = 0;
    ar_status status = AR_OK;
    AR_GO(llamacpp ? ar_tokenizer_encode_text(m->tokenizer, &ids, &n, text, bytes, false)
                   : ar_tokenizer_encode(m->tokenizer, &ids, &n, text, bytes, false));
    if (n / T < 1)
        AR_GO(ar__fail(AR_ERR_USAGE, "text: found %lld tokens, expected at least one window of %d",
                       (long long)n, (int)T));
    int32_t count = n / T > INT32_MAX ? INT32_MAX : (int32_t)(n / T), skip = d->skip_windows;
    if (skip >= count)
        AR_GO(ar__fail(AR_ERR_USAGE, "text: found %d windows, expected more than the %d to skip", (int)count,
                       (int)skip));
    count -= skip;
    if (d->max_windows > 0 && d->max_windows < count) count = d->max_windows;
    AR_GO(task_init(t, count, T));
    for (int32_t w = 0; w < count; w++) {
        int32_t *row = t->samples.ids + (int64_t)w * T;
        memcpy(row, ids + (int64_t)(w + skip) * T, (size_t)T * sizeof *row);
        count_labels(t, w, llamacpp ? T / 2 : 0, T, row);
        if (llamacpp && before > 0) row[0] = prefix[0];
    }
done:
    free(ids);
    return status;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

/* The next document of the lines protocol: [*begin, *end) stripped; false when none is left. */
static bool next_document(const char *text, size_t bytes, size_t *at, const char *sep, size_t *begin,
                          size_t *end) {
    size_t sep_bytes = strlen(sep);
    while (*at <= bytes) {
        const char *hit = *at < bytes ? memmem(text + *at, bytes - *at, sep, sep_bytes) : NULL;
        size_t stop = hit ? (size_t)(hit - text) : bytes, b = *at, e = stop;
        *at = hit ? stop + sep_bytes : bytes + 1;
        while (b < e && is_space(text[b])) b++;
        while (e > b && is_space(text[e - 1])) e--;
        if (e > b) {
            *begin = b;
            *end = e;
            return true;
        }
    }
    return false;
}

/* Tokens of one document; *ids is malloc'ed. */
static ar_status encode_document(const ar_open_model *m, int32_t **ids, int64_t *count, const char *text,
                                 size_t begin, size_t end) {
    return ar_tokenizer_encode_text(m->tokenizer, ids, count, text + begin, end - begin, false);
}

/* Tokens of the longest of the first `count` documents from `at` on. */
static ar_status longest_document(int64_t *longest, const ar_open_model *m, const char *text, size_t bytes,
                                  size_t at, const char *sep, int32_t count) {
    size_t begin, end;
    *longest = 0;
    for (int32_t w = 0; w < count && next_document(text, bytes, &at, sep, &begin, &end); w++) {
        int32_t *ids = NULL;
        int64_t n = 0;
        AR_TRY(encode_document(m, &ids, &n, text, begin, end));
        free(ids);
        if (n > *longest) *longest = n;
    }
    return AR_OK;
}

/* One document a sample: prefix and text, cut to the context, padded to the longest (causal, so padding
 * changes nothing). */
static ar_status make_lines(task *t, const ar_open_model *m, const char *text, size_t bytes,
                            const ar_eval_desc *d, int32_t T) {
    const char *sep = memmem(text, bytes, "<|endoftext|>", 13) ? "<|endoftext|>" : "\n";
    int32_t count = 0, w = 0;
    size_t at = 0, begin, end;
    int64_t longest = 0;
    for (int32_t i = 0; i < d->skip_windows && next_document(text, bytes, &at, sep, &begin, &end);) i++;
    size_t first = at;
    while (next_document(text, bytes, &at, sep, &begin, &end)) count++;
    if (d->max_windows > 0 && d->max_windows < count) count = d->max_windows;
    if (count < 1)
        return ar__fail(AR_ERR_USAGE, "text: found no document, expected at least one line of text");
    AR_TRY(longest_document(&longest, m, text, bytes, first, sep, count));
    if (longest < T) T = longest < 2 ? 2 : (int32_t)longest;
    AR_TRY(task_init(t, count, T));
    for (at = first; w < count && next_document(text, bytes, &at, sep, &begin, &end); w++) {
        int32_t *ids = NULL, *row = t->samples.ids + (int64_t)w * T, n = 0;
        int64_t found = 0;
        AR_TRY(encode_document(m, &ids, &found, text, begin, end));
        for (int64_t i = 0; i < found && n < T; i++) row[n++] = ids[i];
        free(ids);
        count_labels(t, w, 0, n, row);
    }
    return AR_OK;
}

static ar_status make_task(task *t, const ar_open_model *m, const char *text, size_t bytes,
                           const ar_eval_desc *d) {
    if (!m->tokenizer)
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: has no tokenizer, expected one beside it", m->path);
    if (d->window < 0 || d->skip_windows < 0 || d->max_windows < 0 || d->batch < 0)
        return ar__fail(AR_ERR_ARG,
                        "eval: found window %d, %d windows to skip, at most %d, batches of %d, expected none "
                        "below 0",
                        (int)d->window, (int)d->skip_windows, (int)d->max_windows, (int)d->batch);
    if ((uint32_t)d->protocol > AR_PROTOCOL_LLAMACPP)
        return ar__fail(AR_ERR_ARG, "eval: found protocol %d, expected window, lines or llamacpp",
                        (int)d->protocol);
    int32_t T = d->window > 0 ? d->window : d->protocol == AR_PROTOCOL_LINES ? m->model.max_tokens : 512;
    if (T > m->model.max_tokens) T = m->model.max_tokens;
    if (T < 2) return ar__fail(AR_ERR_USAGE, "window: found %d, expected at least 2", (int)T);
    return d->protocol == AR_PROTOCOL_LINES ? make_lines(t, m, text, bytes, d, T)
                                            : make_windows(t, m, text, bytes, d, T);
}

/* ---- the body: embedding and blocks ---- */

typedef ar_status (*upload_fn)(ar_block_weights *w, const ar_block *block, ar_device *device);

/* Blocks done and to do in the whole evaluation, and its loss so far. */
typedef struct progress {
    const ar_observer *o;
    int32_t done, count;
    double nll;
} progress;

static void report(const progress *p) {
    if (p->o && p->o->progress)
        p->o->progress(p->o->ctx,
                       &(ar_progress_event){
                           .stage = "eval", .block = p->done, .block_count = p->count, .loss_last = p->nll});
}

/* c through block b of the model, its inputs as m says, with its adapter where it has one. */
static ar_status run_block(ar_chain *c, const ar_open_model *m, int32_t b, ar_device *device, int32_t T,
                           int32_t batch, upload_fn upload) {
    const ar_block *block = &m->model.blocks[b];
    ar_block_weights w;
    ar__adapter_block parts = {0};
    ar__adapter_hook hook;
    ar_acts_block acts = {0};
    ar_acts_hook acts_hook;
    bool skip[AR_MAX_LINEARS] = {false};
    AR_TRY(upload(&w, block, device));
    w.bytes = m->acts.bytes;
    if (m->acts.scheme.bits > 0) ar__family_float_inputs(skip, m, b);
    ar_status status = ar_acts_block_init(&acts, &m->acts, block, skip, device);
    if (status == AR_OK) status = ar__adapter_upload(&parts, m->adapter, block, device);
    const ar_hook *top = ar_acts_hook_init(&acts_hook, &acts, &w.hook);
    ar__adapter_hook_init(&hook, &parts, top);
    if (status == AR_OK)
        status = ar_chain_forward(c, c, device, block, m->adapter ? &hook.hook : top, T, batch);
    ar__adapter_drop(&parts);
    ar_acts_block_deinit(&acts);
    ar_block_weights_deinit(&w);
    return status;
}

static ar_status run_body(ar_chain *c, const ar_open_model *open, ar_device *device, const ar_samples *s,
                          int32_t batch, upload_fn upload, progress *p) {
    const ar_model *m = &open->model;
    AR_TRY(ar_chain_init(c, (int64_t)s->count * s->T, m->hidden, NULL, 0));
    AR_TRY(ar_chain_embed(c, m, s));
    for (int32_t b = 0; b < m->block_count; b++) {
        if (p->o && p->o->cancelled && p->o->cancelled(p->o->ctx))
            return ar__fail(AR_ERR_INTERRUPTED, "interrupted in block %d", (int)b);
        AR_TRY(run_block(c, open, b, device, s->T, batch, upload));
        p->done++;
        report(p);
    }
    return AR_OK;
}

/* ---- the head: final norm, logits, losses ---- */

/* A head with its input and output. */
typedef struct head {
    ar_head w;
    ar_tensor *x, *logits;
} head;

static void head_deinit(head *h) {
    ar_head_deinit(&h->w);
    ar_tensor_destroy(h->x);
    *h = (head){0};
}

static ar_status head_init(head *h, const ar_model *m, ar_device *device, int64_t rows) {
    AR_TRY(ar_head_init_stored(&h->w, m, device));
    return ar_tensor_create(&h->x, device, AR_F32, 2, (const int64_t[]){rows, m->hidden});
}

static ar_status head_record(head *h, ar_graph *g) { return ar_head_record(&h->w, g, &h->logits, h->x); }

/* Of two models an error about a weight says which. path NULL: there is one. */
static ar_status name_model(ar_status status, const char *path) {
    char reason[512];
    if (status != AR_ERR_FORMAT || !path) return status;
    snprintf(reason, sizeof reason, "%s", ar_error());
    return ar__fail(status, "%s: %s", path, reason);
}

/* One recorded head pass over `rows` positions, with a reference or without. */
typedef struct head_pass {
    head m, ref;
    const char *path, *ref_path; /* of the models; NULL: errors do without */
    ar_graph *graph;
    ar_tensor *labels, *nll, *top1, *ref_nll, *ref_top1, *kl;
    bool bytes; /* m takes its x in bytes where it can */
    int64_t rows;
    float *host;          /* (3, rows): nll, reference nll, kl */
    int32_t *same;        /* (2, rows): argmax of both */
    ar_logits_file *save; /* NULL: logits stay on the device */
    float *logits;        /* (rows, V) when they are saved */
} head_pass;

static void pass_deinit(head_pass *p) {
    ar_graph_destroy(p->graph);
    head_deinit(&p->m);
    head_deinit(&p->ref);
    ar_tensor_destroy(p->labels);
    free(p->host);
    free(p->same);
    free(p->logits);
}

static ar_status pass_init(head_pass *p, const ar_model *m, const ar_model *ref, ar_device *device,
                           int64_t rows) {
    p->rows = rows;
    p->host = ar__alloc((size_t)rows, 3 * sizeof *p->host);
    p->same = ar__alloc((size_t)rows, 2 * sizeof *p->same);
    if (!p->host || !p->same) return AR_ERR_MEMORY;
    if (p->save && !(p->logits = ar__alloc((size_t)rows, (size_t)m->vocab * sizeof *p->logits)))
        return AR_ERR_MEMORY;
    AR_TRY(name_model(head_init(&p->m, m, device, rows), p->path));
    p->m.w.bytes = p->bytes;
    if (ref) AR_TRY(name_model(head_init(&p->ref, ref, device, rows), p->ref_path));
    AR_TRY(ar_tensor_create(&p->labels, device, AR_I32, 1, &rows));
    AR_TRY(ar_graph_create(&p->graph, device));
    AR_TRY(head_record(&p->m, p->graph));
    AR_TRY(ar_op_nll(p->graph, &p->nll, &p->top1, p->m.logits, p->labels));
    ar_graph_keep(p->graph, p->nll);
    ar_graph_keep(p->graph, p->top1);
    if (p->save) ar_graph_keep(p->graph, p->m.logits);
    if (ref) {
        AR_TRY(head_record(&p->ref, p->graph));
        AR_TRY(ar_op_nll(p->graph, &p->ref_nll, &p->ref_top1, p->ref.logits, p->labels));
        AR_TRY(ar_op_kl(p->graph, &p->kl, p->ref.logits, p->m.logits));
        ar_graph_keep(p->graph, p->ref_nll);
        ar_graph_keep(p->graph, p->ref_top1);
        ar_graph_keep(p->graph, p->kl);
    }
    return ar_graph_build(p->graph);
}

static ar_status save_rows(head_pass *p, const int32_t *labels, int64_t n) {
    int64_t V = ar_tensor_dim(p->m.logits, 1);
    AR_TRY(ar_tensor_read(p->m.logits, p->logits, 0, n * V));
    for (int64_t i = 0; i < n; i++)
        if (labels[i] >= 0) AR_TRY(ar__logits_file_row(p->save, p->logits + i * V));
    return AR_OK;
}

/* Rows [row, row + n) of the chains. */
static ar_status pass_run(head_pass *p, ar_eval_figures *f, const ar_chain *x, const ar_chain *x_ref,
                          const int32_t *labels, int32_t T, int64_t row, int64_t n) {
    float *nll = p->host, *ref_nll = nll + p->rows, *kl = ref_nll + p->rows;
    int32_t *top1 = p->same, *ref_top1 = top1 + p->rows;
    AR_TRY(ar_tensor_write(p->m.x, x->data + row * x->width, 0, n * x->width));
    if (x_ref) AR_TRY(ar_tensor_write(p->ref.x, x_ref->data + row * x_ref->width, 0, n * x_ref->width));
    AR_TRY(ar_tensor_write(p->labels, labels + row, 0, n));
    AR_TRY(ar_graph_run(p->graph));
    AR_TRY(ar_tensor_read(p->nll, nll, 0, n));
    AR_TRY(ar_tensor_read(p->top1, top1, 0, n));
    if (x_ref) {
        AR_TRY(ar_tensor_read(p->ref_nll, ref_nll, 0, n));
        AR_TRY(ar_tensor_read(p->ref_top1, ref_top1, 0, n));
        AR_TRY(ar_tensor_read(p->kl, kl, 0, n));
    }
    if (p->save) AR_TRY(save_rows(p, labels + row, n));
    for (int64_t i = 0; i < n; i++) {
        if (labels[row + i] < 0) continue;
        if (x_ref)
            ar__figures_add_ref(f, (int32_t)((row + i) % T), nll[i], ref_nll[i], kl[i],
                                top1[i] == ref_top1[i]);
        else
            ar__figures_add(f, nll[i]);
    }
    return AR_OK;
}

/* What runs: the models, the text, and how it is cut. */
typedef struct evaluation {
    const ar_open_model *m, *ref; /* ref may be NULL */
    ar_device *device;
    task task;
    int32_t batch, part; /* windows on the device at a time, and in a part */
    ar_logits_file save;
    bool saves;
    ar_eval_figures figures;
    progress progress;
} evaluation;

static ar_status run_named(ar_chain *x, evaluation *e, const ar_open_model *m, const ar_samples *s) {
    ar_status status = run_body(x, m, e->device, s, e->batch, ar_block_weights_init_stored, &e->progress);
    return name_model(status, e->ref ? m->path : NULL);
}

static ar_status run_head(evaluation *e, const ar_chain *x, const ar_chain *x_ref, const int32_t *labels) {
    ar_status status = AR_OK;
    head_pass p = {.save = e->saves ? &e->save : NULL};
    int64_t rows = LOGIT_BYTES / (e->m->model.vocab * 4);
    if (rows < 1) rows = 1;
    if (rows > x->rows) rows = x->rows;
    p.bytes = e->m->acts.bytes;
    if (e->ref) p.path = e->m->path, p.ref_path = e->ref->path;
    AR_GO(pass_init(&p, &e->m->model, e->ref ? &e->ref->model : NULL, e->device, rows));
    for (int64_t row = 0; row < x->rows; row += rows)
        AR_GO(pass_run(&p, &e->figures, x, e->ref ? x_ref : NULL, labels, e->task.samples.T, row,
                       x->rows - row < rows ? x->rows - row : rows));
done:
    pass_deinit(&p);
    return status;
}

ar_status ar__chains_kl(double *kl, const ar_model *m, ar_device *device, const ar_chain *chains,
                        int32_t count, const ar_chain *ref) {
    ar_status status = AR_OK;
    head_pass p = {0};
    int64_t rows = LOGIT_BYTES / (m->vocab * 4);
    if (rows < 1) rows = 1;
    if (rows > ref->rows) rows = ref->rows;
    int32_t *labels = ar__alloc((size_t)rows, sizeof *labels);
    if (!labels) return AR_ERR_MEMORY;
    AR_GO(pass_init(&p, m, m, device, rows));
    AR_GO(ar_tensor_write(p.labels, labels, 0, rows));
    for (int32_t i = 0; i < count; i++) {
        kl[i] = 0.0;
        for (int64_t row = 0; row < ref->rows; row += rows) {
            int64_t n = ref->rows - row < rows ? ref->rows - row : rows;
            AR_GO(ar_tensor_write(p.m.x, chains[i].data + row * ref->width, 0, n * ref->width));
            AR_GO(ar_tensor_write(p.ref.x, ref->data + row * ref->width, 0, n * ref->width));
            AR_GO(ar_graph_run(p.graph));
            AR_GO(ar_tensor_read(p.kl, p.host, 0, n));
            for (int64_t k = 0; k < n; k++) kl[i] += (double)p.host[k] / (double)ref->rows;
        }
    }
done:
    pass_deinit(&p);
    free(labels);
    return status;
}

static ar_status check_finite(const evaluation *e) {
    const ar_eval_figures *f = &e->figures;
    if (isfinite(f->nll.sum) && isfinite(f->ref_nll.sum)) return AR_OK;
    bool own = !isfinite(f->nll.sum);
    return ar__fail(AR_ERR_FORMAT, "%s: found a loss of %g, expected finite logits",
                    own ? e->m->path : e->ref->path, own ? f->nll.sum : f->ref_nll.sum);
}

/* Windows [first, first + count). */
static ar_status run_part(evaluation *e, int32_t first, int32_t count) {
    ar_status status = AR_OK;
    ar_chain x = {.fd = -1}, x_ref = {.fd = -1};
    int64_t offset = (int64_t)first * e->task.samples.T;
    const ar_samples s = {e->task.samples.ids + offset, count, e->task.samples.T};
    AR_GO(run_named(&x, e, e->m, &s));
    if (e->ref) AR_GO(run_named(&x_ref, e, e->ref, &s));
    AR_GO(run_head(e, &x, &x_ref, e->task.labels + offset));
    AR_GO(check_finite(e));
    if (e->figures.tokens > 0) e->progress.nll = e->figures.nll.sum / (double)e->figures.tokens;
    report(&e->progress);
done:
    ar_chain_deinit(&x);
    ar_chain_deinit(&x_ref);
    return status;
}

static void cut_into_parts(evaluation *e, int32_t batch) {
    int32_t T = e->task.samples.T, count = e->task.samples.count;
    int32_t fit = PART_TOKENS / T > 1 ? PART_TOKENS / T : 1;
    e->batch = batch > 0 ? batch : fit < 8 ? fit : 8;
    e->part = fit / e->batch > 1 ? fit / e->batch * e->batch : e->batch;
    int32_t blocks = e->m->model.block_count + (e->ref ? e->ref->model.block_count : 0);
    e->progress.count = (int32_t)(((int64_t)count + e->part - 1) / e->part) * blocks;
}

/* The end of an evaluation, or IO where what it read changed meanwhile. */
static ar_status end_of(ar_status status, const evaluation *e, const ar_eval_desc *desc) {
    status = ar_snapshot_end(status, &e->m->files);
    status = ar_snapshot_end(status, e->ref ? &e->ref->files : NULL);
    return ar_snapshot_end(status, desc->texts);
}

ar_status ar_eval_text(ar_eval_result *r, const ar_open_model *m, const ar_open_model *ref, ar_device *device,
                       const char *text, size_t bytes, const ar_eval_desc *desc,
                       const ar_observer *observer) {
    ar_status status = AR_OK;
    evaluation e = {.m = m, .ref = ref, .device = device, .saves = desc->save_logits, .progress.o = observer};
    memset(r, 0, sizeof *r);
    if (ref && ref->model.vocab != m->model.vocab)
        return ar__fail(AR_ERR_USAGE, "%s: vocabulary %lld differs from the reference's %lld", m->path,
                        (long long)m->model.vocab, (long long)ref->model.vocab);
    if (e.saves && desc->protocol != AR_PROTOCOL_LLAMACPP)
        return ar__fail(AR_ERR_USAGE, "saving logits: is for the protocol llamacpp");
    AR_GO(ar__utf8_check(text, bytes, "text"));
    AR_GO(make_task(&e.task, m, text, bytes, desc));
    if (e.task.tokens < 1) AR_GO(ar__fail(AR_ERR_USAGE, "text: no token to predict"));
    AR_GO(ar__figures_init(&e.figures, e.task.tokens, ref != NULL));
    cut_into_parts(&e, desc->batch);
    if (e.saves)
        AR_GO(ar__logits_file_open(&e.save, desc->save_logits, &e.task.samples, (int32_t)m->model.vocab));
    for (int32_t first = 0, count = e.task.samples.count; first < count; first += e.part)
        AR_GO(run_part(&e, first, count - first < e.part ? count - first : e.part));
    AR_GO(ar_device_pulse(device)); /* still */
    AR_GO(end_of(status, &e, desc));
    if (e.saves) AR_GO(ar__logits_file_commit(&e.save));
    ar__figures_result(r, &e.figures);
    r->windows = e.task.samples.count;
done:
    if (status != AR_OK) status = end_of(status, &e, desc);
    ar__logits_file_abort(&e.save);
    ar__figures_deinit(&e.figures);
    task_deinit(&e.task);
    return status;
}

ar_status ar_model_logits(float *logits, const ar_open_model *m, ar_device *device, const int32_t *ids,
                          int64_t count, int64_t rows) {
    ar_status status = AR_OK;
    ar_chain x = {.fd = -1};
    head h = {0};
    ar_graph *g = NULL;
    if (count < 1 || rows < 1 || rows > count || count > m->model.max_tokens)
        return ar__fail(AR_ERR_ARG, "logits: found %lld of %lld tokens, expected 1 <= rows <= tokens <= %d",
                        (long long)rows, (long long)count, (int)m->model.max_tokens);
    int32_t *copy = ar__alloc((size_t)count, sizeof *copy);
    if (!copy) return AR_ERR_MEMORY;
    memcpy(copy, ids, (size_t)count * sizeof *copy);
    ar_samples s = {copy, 1, (int32_t)count};
    AR_GO(run_body(&x, m, device, &s, 1, ar_block_weights_init, &(progress){0}));
    AR_GO(head_init(&h, &m->model, device, rows));
    AR_GO(ar_graph_create(&g, device));
    AR_GO(head_record(&h, g));
    ar_graph_keep(g, h.logits);
    AR_GO(ar_graph_build(g));
    AR_GO(ar_tensor_write(h.x, x.data + (count - rows) * x.width, 0, rows * x.width));
    AR_GO(ar_graph_run(g));
    AR_GO(ar_tensor_read(h.logits, logits, 0, rows * m->model.vocab));
done:
    free(copy);
    ar_graph_destroy(g);
    head_deinit(&h);
    ar_chain_deinit(&x);
    return status;
}
