/* anyround eval of nets of few states for texts (docs/maqd.md): perplexity by running statistics, with
 * training's own graph outside training, over what training holds out: windows one after the other in which
 * every token is predicted, or of a net of bytes the byte behind so many, at places evenly spread. */
#include "byte_data.h"
#include "eval_texts.h"
#include "model_states.h"
#include "tokenizer.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool ar__eval_texts_is(const char *path) { return ar__states_is(path) || ar__states_lm_is(path); }

typedef struct windows {
    ar_data data;
    int32_t *ids;
    int32_t T;
    int64_t skip;
} windows;
typedef struct job {
    const char *path;
    const eval_texts_options *o;
    bool is_bytes;
    ar_states_desc bytes_desc;
    ar_open_model *m; /* NULL: bytes */
    ar_lm_states_desc lm_desc;
    ar_device *device;
    ar_net *net;
    ar_file text;
    ar_byte_data bytes;
    windows windows;
    ar_data *data;
    int64_t places; /* bytes that could be asked for */
    ar_train_score score;
} job;

/* ---- windows ---- */

static ar_status held(const ar_data *d, void *input, int32_t *labels, int64_t first, int32_t count) {
    const windows *w = d->impl;
    for (int64_t i = 0; i < count; i++) {
        const int32_t *ids = w->ids + (w->skip + first + i) * w->T;
        memcpy((int32_t *)input + i * w->T, ids, (size_t)w->T * sizeof *ids);
        memcpy(labels + i * w->T, ids + 1, (size_t)w->T * sizeof *ids);
    }
    return AR_OK;
}

static ar_status open_windows(job *j, int32_t T) {
    windows *w = &j->windows;
    const eval_texts_options *o = j->o;
    int64_t n = 0;
    if (!j->m->tokenizer)
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: has no tokenizer, expected one beside it", j->path);
    AR_TRY(ar_program_name_text(ar_tokenizer_encode(j->m->tokenizer, &w->ids, &n, (const char *)j->text.data,
                                                    (size_t)j->text.bytes, false),
                                o->text));
    int64_t count = (n - 1) / T - o->skip;
    if (n < 1 || count < 1)
        return ar__fail(AR_ERR_USAGE,
                        "%s: found %lld tokens, expected more than %lld windows of %d (--skip-windows, "
                        "--window)",
                        o->text, (long long)n, (long long)o->skip, (int)T);
    w->T = T, w->skip = o->skip;
    w->data = (ar_data){.dtype = AR_I32,
                        .rows = T,
                        .labels = T,
                        .held_count = o->most && o->most < count ? o->most : count,
                        .held = held,
                        .impl = w};
    j->data = &w->data;
    return AR_OK;
}

/* ---- the two kinds ---- */

static ar_status open_lm(job *j) {
    int32_t T;
    AR_TRY(ar__model_open_states(&j->m, &j->lm_desc, &T, j->path));
    if (j->o->window > j->m->model.max_tokens)
        return ar__fail(AR_ERR_USAGE, "--window: found %lld, expected at most the model's %d",
                        (long long)j->o->window, (int)j->m->model.max_tokens);
    if (j->o->window) T = (int32_t)j->o->window;
    AR_TRY(open_windows(j, T));
    return ar__states_lm_net(&j->net, j->m, &j->lm_desc, T, j->device);
}

static ar_status open_bytes(job *j) {
    if (j->o->window || j->o->skip)
        return ar__fail(AR_ERR_USAGE, "--window and --skip-windows have no effect on a net of bytes");
    AR_TRY(ar__states_net_open(&j->bytes_desc, &j->net, j->path, j->device));
    int32_t context = j->bytes_desc.context;
    if (!context)
        return ar__fail(AR_ERR_FORMAT, "%s: found a net of images (--images FILE), expected one of bytes",
                        j->path);
    AR_TRY(ar__byte_data_init(&j->bytes, j->o->text, j->text.data, (int64_t)j->text.bytes, context, 1, 0));
    j->places = (int64_t)j->text.bytes - context;
    j->data = &j->bytes.data;
    if (j->o->most) j->data->held_count = j->o->most < j->places ? j->o->most : j->places;
    return AR_OK;
}

/* ---- the result ---- */

static ar_status print_json(const job *j) {
    const ar_train_score *s = &j->score;
    cJSON *o = cJSON_CreateObject();
    double ppl = exp(s->loss);
    ar_json_put(o, "ppl", isfinite(ppl) ? cJSON_CreateNumber(ppl) : cJSON_CreateNull());
    ar_json_put(o, "nll", isfinite(s->loss) ? cJSON_CreateNumber(s->loss) : cJSON_CreateNull());
    ar_json_add_number(o, "accuracy", s->accuracy);
    ar_json_add_number(o, j->is_bytes ? "bytes" : "tokens", (double)s->labels);
    if (j->is_bytes)
        ar_json_add_number(o, "of_bytes", (double)j->places);
    else
        ar_json_add_number(o, "windows", (double)j->data->held_count);
    ar_status status = ar_program_json(o, false);
    cJSON_Delete(o);
    return status;
}

static ar_status print_result(const job *j, const ar_common *common) {
    const ar_train_score *s = &j->score;
    if (common->json) return print_json(j);
    printf("ppl %.5f  nll %.6f  accuracy %.4f  ", exp(s->loss), s->loss, s->accuracy);
    if (j->is_bytes)
        printf("(%lld of %lld bytes)\n", (long long)s->labels, (long long)j->places);
    else
        printf("(%lld tokens in %lld windows)\n", (long long)s->labels, (long long)j->data->held_count);
    return AR_OK;
}

static ar_status evaluate(job *j, const ar_common *common) {
    int32_t batch = (int32_t)(j->o->batch ? j->o->batch : j->is_bytes ? 256 : 8);
    AR_TRY(ar_file_open(&j->text, j->o->text));
    AR_TRY(ar_program_device(&j->device, common, true));
    AR_TRY(j->is_bytes ? open_bytes(j) : open_lm(j));
    AR_TRY(ar_net_score(&j->score, NULL, j->net, j->data, j->device, batch));
    return ar_device_pulse(j->device); /* still */
}

ar_status ar__eval_texts_run(const char *path, const eval_texts_options *o, const ar_common *common) {
    job j = {.path = path, .o = o, .is_bytes = ar__states_is(path)};
    ar_snapshot files = {0};
    ar_status status = ar_snapshot_add(&files, path);
    if (status == AR_OK) status = ar_snapshot_add(&files, o->text);
    if (status == AR_OK) status = ar_snapshot_end(evaluate(&j, common), &files);
    if (status == AR_OK) status = print_result(&j, common);
    ar_net_destroy(j.net);
    ar_model_close(j.m);
    ar_device_close(j.device);
    ar_file_close(&j.text);
    free(j.windows.ids);
    ar_snapshot_deinit(&files);
    return status;
}
