/* anyround train on a text: a language model, opened or begun. */
#include "cmd_train.h"
#include "output.h"
#include "quantize_job.h"
#include "states_folder.h"
#include <stdlib.h>
#include <string.h>

typedef struct job {
    const train_options *o;
    const ar_common *common;
    char *out, *work, *start, *staging;
    ar_workplace place;
    ar_open_model *m;
    ar_device *device;
    ar_file text;
    ar_snapshot texts;
    ar_train_text data;
    ar_net *net;
    ar_trainer *trainer;
    ar_train_values values;
    ar_train_desc desc;
    ar_output_plan plan;
    train_record record;
    ar_lm_states_desc states;
    bool is_few; /* states say something */
} job;

/* ---- the model ---- */

/* Options that describe a new model say nothing of one that is there. */
static ar_status check_begin(const train_options *o) {
    if (o->model && (o->arch || o->tokenizer || o->layers || o->hidden || o->heads || o->kv_heads ||
                     o->intermediate || o->context || o->untied))
        return ar__fail(AR_ERR_USAGE,
                        "anyround train: %s has a shape and a tokenizer: --arch, --tokenizer and "
                        "sizes are for models that begin without MODEL",
                        o->model);
    if (!o->model && (!o->arch || !o->tokenizer))
        return ar__fail(AR_ERR_USAGE, "anyround train: MODEL, or --arch A --tokenizer PATH, is needed");
    return AR_OK;
}

static ar_train_arch arch_of(const train_options *o, uint64_t seed) {
    bool is_llama = strcmp(o->arch, "llama") == 0;
    int64_t hidden = o->hidden ? o->hidden : 256, heads = o->heads ? o->heads : 8;
    return (ar_train_arch){.family = o->arch,
                           .tokenizer = o->tokenizer,
                           .layers = (int32_t)(o->layers ? o->layers : 4),
                           .hidden = (int32_t)hidden,
                           .heads = (int32_t)heads,
                           .kv_heads = (int32_t)(o->kv_heads && is_llama ? o->kv_heads : heads),
                           .context = (int32_t)(o->context ? o->context : 512),
                           .intermediate = o->intermediate ? o->intermediate : hidden * (is_llama ? 3 : 4),
                           .tied = !o->untied,
                           .seed = seed};
}

static ar_status open_model(job *j) {
    const train_options *o = j->o;
    if (o->model) return ar_program_model(&j->m, o->model, j->common);
    ar_train_arch arch = arch_of(o, (uint64_t)j->common->seed);
    AR_TRY(ar_path_join(&j->start, j->work, "start"));
    if (ar_path_exists(j->start)) AR_TRY(ar_dir_remove(j->start));
    AR_TRY(ar__train_start(j->start, &arch));
    return ar_program_model(&j->m, j->start, j->common);
}

/* Training wants floats to begin with. */
static ar_status check_float(const ar_open_model *m) {
    const ar_weights *w = &m->weights;
    for (int64_t i = 0; i < w->vtable->count(w->impl); i++) {
        const ar_weight *t = w->vtable->at(w->impl, i);
        if (strcmp(t->type, "F32") != 0 && strcmp(t->type, "F16") != 0 && strcmp(t->type, "BF16") != 0)
            return ar__fail(AR_ERR_UNSUPPORTED, "%s: tensor %s: found %s, expected floats to train", m->path,
                            t->name, t->type);
    }
    return AR_OK;
}

/* ---- the output ---- */

static ar_status make_plan(ar_output_plan *plan, const train_options *o) {
    const char *type = o->type ? o->type : "f32";
    if (strcmp(type, "f32") != 0 && strcmp(type, "f16") != 0 && strcmp(type, "bf16") != 0)
        return ar__fail(AR_ERR_USAGE, "--type: found '%s', expected f32, f16 or bf16", type);
    *plan = (ar_output_plan){.scheme = {.bits = 16, .group = -1},
                             .embedding = AR_QT_COUNT,
                             .head = AR_QT_COUNT,
                             .formats = {"hf"},
                             .format_count = 1};
    memcpy(plan->type, type, strlen(type) + 1);
    return AR_OK;
}

static ar_status no_linear(void *ctx, ar_qlinear **q, int32_t block, int32_t i) {
    (void)ctx;
    (void)block;
    (void)i;
    *q = NULL;
    return AR_OK;
}

/* A model of few states is no Hugging Face folder that others read. */
static ar_status write_states(job *j, ar_train_result *r) {
    AR_TRY(ar__train_gap(r, j->net, &j->data.data, j->device, j->desc.batch / j->desc.accumulate));
    AR_TRY(ar_path_join(&j->staging, j->work, "out"));
    AR_TRY(
        ar__states_lm_write(j->out, j->staging, j->start, &j->states, j->data.T, j->net, j->values.values));
    return ar__workplace_clear(j->work);
}

static ar_status write_model(void *ctx, ar_train_result *r, const ar_observer *observer) {
    job *j = ctx;
    if (j->is_few) return write_states(j, r);
    ar_write_source src = {.model = j->m, .plan = &j->plan, .linear = no_linear, .texts = &j->texts};
    AR_TRY(ar__train_values_bind(j->m, &j->values));
    AR_TRY(ar_path_join(&j->staging, j->work, "out"));
    AR_TRY(ar__output_write(j->out, j->staging, &src, observer));
    return ar__workplace_clear(j->work);
}

/* ---- the run ---- */

static ar_status check_places(job *j) {
    const train_options *o = j->o;
    const ar_input inputs[] = {
        {o->model, "the model"}, {o->text, "the text"}, {o->tokenizer, "the tokenizer"}};
    AR_TRY(ar__path_resolve(&j->out, o->out));
    AR_TRY(ar__output_check(&j->plan, j->out, o->model ? o->model : o->text));
    AR_TRY(ar__output_check_inputs(&j->plan, j->out, inputs, 3));
    return ar__train_check_beside(o, j->out, inputs, 3);
}

static ar_status record(job *j) {
    train_record *r = &j->record;
    const train_options *o = j->o;
    const ar_config *c = &j->m->config;
    if (o->model) {
        uint64_t hash;
        AR_TRY(ar__quantize_hash_model(&hash, j->m));
        ar__train_record(r, "model", "%s, %016llx", ar__path_name(o->model), (unsigned long long)hash);
    } else {
        ar__train_record(r, "model", "new");
    }
    ar__train_record(r, "architecture", "%s, %d layers of %lld, heads %d and %d, mlp %lld, %lld ids%s",
                     c->family, (int)c->layers, (long long)c->hidden, (int)c->heads, (int)c->kv_heads,
                     (long long)c->intermediate, (long long)c->vocab, c->tied ? ", tied" : "");
    ar__train_record(r, "text", "%016llx",
                     (unsigned long long)ar_hash64(0, j->text.data, (size_t)j->text.bytes));
    ar__train_record(r, "tokens", "%016llx",
                     (unsigned long long)ar_hash64((uint64_t)j->data.held_id_count, j->data.ids,
                                                   (size_t)j->data.id_count * sizeof *j->data.ids));
    ar__train_record(r, "examples", "%d tokens, %.9g held out, %.9g openings", (int)j->data.T, o->held,
                     o->starts);
    if (j->is_few)
        ar__train_record(r, "states", "%d and %d, norm %d%s%s", (int)j->states.mw, (int)j->states.ma,
                         (int)j->states.stats, j->states.raw ? ", not standardized" : "",
                         j->states.plain ? ", plain gradients" : "");
    ar__train_record(r, "dropout", "%.9g", o->dropout);
    ar__train_record_steps(r, o, &j->desc, j->common, j->device);
    return AR_OK;
}

static ar_status prepare(job *j) {
    const train_options *o = j->o;
    uint64_t seed = (uint64_t)j->common->seed;
    int32_t T = (int32_t)(o->T ? o->T : 256);
    AR_TRY(ar_snapshot_add(&j->texts, o->text));
    AR_TRY(ar_file_open(&j->text, o->text));
    AR_TRY(check_places(j));
    AR_TRY(ar__train_workplace(&j->place, &j->work, j->out, o->resume));
    AR_TRY(open_model(j));
    AR_TRY(check_float(j->m));
    if (!o->T && T > j->m->model.max_tokens) T = j->m->model.max_tokens;
    if (T > j->m->model.max_tokens)
        return ar__fail(AR_ERR_USAGE, "--seqlen: found %d, expected at most the model's %d", (int)T,
                        (int)j->m->model.max_tokens);
    ar_train_text_desc d = {.name = o->text, .T = T, .held = o->held, .from_starts = o->starts, .seed = seed};
    AR_TRY(ar__train_text_init(&j->data, j->m, (const char *)j->text.data, (size_t)j->text.bytes, &d));
    AR_TRY(ar_program_device(&j->device, j->common, true));
    ar_lm_desc lm = {.T = T, .dropout = (float)o->dropout, .seed = (uint32_t)seed};
    if (j->is_few) lm.states = &j->states;
    AR_TRY(ar_net_lm_create(&j->net, &j->m->model, j->device, &lm));
    AR_TRY(ar_trainer_create(&j->trainer, j->net, &j->data.data, &j->desc, j->device));
    return ar__train_values_init(&j->values, j->net);
}

static ar_status train(job *j) {
    AR_TRY(prepare(j));
    AR_TRY(record(j));
    train_run run = {.stage = "train",
                     .work = j->work,
                     .record = j->record.text,
                     .trainer = j->trainer,
                     .data = &j->data.data,
                     .values = &j->values,
                     .units = (double)j->desc.batch * j->data.T,
                     .finish = write_model,
                     .ctx = j};
    return ar__train_go(&run, j->o, &j->desc, j->common);
}

ar_status ar__train_text_run(const train_options *o, const ar_common *common) {
    job j = {.o = o, .common = common, .place = {.lock = -1}};
    ar_status status = check_begin(o);
    if (status == AR_OK) status = ar__train_desc_make(&j.desc, o);
    if (status == AR_OK) status = make_plan(&j.plan, o);
    if (status == AR_OK) status = ar__train_lm_states(&j.states, &j.is_few, o);
    if (status == AR_OK) status = train(&j);
    ar_trainer_destroy(j.trainer);
    ar__train_values_deinit(&j.values);
    ar_net_destroy(j.net);
    ar__train_text_deinit(&j.data);
    ar_model_close(j.m);
    ar_device_close(j.device);
    ar__workplace_close(&j.place);
    ar_file_close(&j.text);
    ar_snapshot_deinit(&j.texts);
    free(j.out);
    free(j.work);
    free(j.start);
    free(j.staging);
    return status;
}
