/* anyround quantize: what is going to be done and what it takes, as text and as JSON. */
#include "output.h"
#include "quantize_job.h"
#include "tokenizer.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

/* Windows of blocks that are tuned: as many as there are such blocks, if each is by itself. */
static int32_t tuned_windows(const ar__job_cost *c) {
    ar_window_span s;
    int32_t i = 0;
    if (c->quant.tuned_blocks == 0) return 0;
    while (ar_window_at(&s, &c->quant.window, c->block_count, c->quant.tuned_blocks, i) && s.is_tuned) i++;
    return i;
}

static double step_tokens(const ar_job *job, const ar__job_cost *c) {
    return job->samples ? (double)c->quant.batch * job->samples->T : 0.0;
}

/* ---- text ---- */

static void print_blocks(FILE *f, const ar_job *job, const ar__job_cost *c) {
    const ar_quant_cost *q = &c->quant;
    int32_t others = c->block_count - q->tuned_blocks,
            most = q->window.blocks < q->tuned_blocks ? q->window.blocks : q->tuned_blocks;
    fprintf(f, "plan: %d blocks", (int)c->block_count);
    if (q->tuned_blocks > 0) {
        fprintf(f, ", %d by %s", (int)q->tuned_blocks, job->src->options->method->name);
        if (most > 1) fprintf(f, ", in %d windows of %d", (int)tuned_windows(c), (int)most);
        if (q->window.ahead > 0) fprintf(f, ", seen through %d more", (int)q->window.ahead);
        if (q->steps > 0)
            fprintf(f, " in %d steps of %d x %d tokens each", (int)q->steps, (int)q->batch,
                    (int)job->samples->T);
        if (q->micro_batches > 1) fprintf(f, " (in %d parts, for the memory)", (int)q->micro_batches);
    }
    const char *rounded = job->desc->scheme.bits > 8 ? "stored as floats" : "rounded to nearest";
    if (others > 0) fprintf(f, ", %d %s", (int)others, rounded);
    if (c->finished > 0) fprintf(f, "; %d are finished", (int)c->finished);
    fputc('\n', f);
}

/* What operands of products are rounded to; to f16 by some kernels alone. */
static const char *precision_of(const ar_job *job) {
    const ar_plan *p = ar_device_get_plan(job->device);
    return p->allows_bf16 ? "bf16" : p->allows_f16 ? "f16" : "f32";
}

static void print_work(FILE *f, const ar_job *job, const ar__job_cost *c) {
    const ar_quant_cost *q = &c->quant;
    char time[24], draw[24];
    if (q->steps > 0)
        fprintf(f, "work: %.0f tokens in steps, %.3g FLOPs; one step takes %.3g s\n",
                step_tokens(job, c) * q->steps * tuned_windows(c), c->flops, q->step);
    fprintf(f, "time: about %s", ar_program_time(time, sizeof time, c->before + c->seconds));
    if (c->calibrate > 0.0)
        fprintf(f, ", %s of that to draw samples from the model",
                ar_program_time(draw, sizeof draw, c->calibrate));
    if (c->finish > 0.0)
        fprintf(f, ", %s for the scales at the end", ar_program_time(draw, sizeof draw, c->finish));
    fputc('\n', f);
}

ar_status ar__quantize_print_plan(FILE *f, const ar_quantize_request *r, const ar_job *job,
                                  const ar__job_cost *c) {
    ar_memory_stats memory;
    char device[16], budget[16], host[16], disk[16], size[16];
    ar_device_memory(job->device, &memory);
    print_blocks(f, job, c);
    print_work(f, job, c);
    if (strcmp(precision_of(job), "f32") != 0)
        fprintf(f, "precision: operands of products %srounded to %s\n",
                strcmp(precision_of(job), "f16") == 0 ? "may be " : "", precision_of(job));
    fprintf(f, "memory: device %s of %s", ar_program_bytes(device, sizeof device, c->device_bytes),
            ar_program_bytes(budget, sizeof budget, memory.budget));
    if (c->host_bytes)
        fprintf(f, "; host %s%s", ar_program_bytes(host, sizeof host, c->host_bytes),
                c->host_holds_device ? ", the device's in it" : "");
    fprintf(f, "\ndisk: ");
    for (int32_t i = 0; i < r->plan.format_count; i++) {
        char *path = NULL;
        AR_TRY(ar__output_path(&path, &r->plan, r->out, i));
        fprintf(f, "%s %s, ", path, ar_program_bytes(size, sizeof size, c->file_bytes[i]));
        free(path);
    }
    fprintf(f, "while it runs at most %s\n", ar_program_bytes(disk, sizeof disk, c->disk_bytes));
    return AR_OK;
}

/* ---- JSON ---- */

ar_status ar__quantize_add_text(cJSON *o, const char *name, const char *text) {
    char *copy = NULL;
    AR_TRY(ar__utf8_repair(&copy, text, strlen(text)));
    ar_json_add_string(o, name, copy);
    free(copy);
    return AR_OK;
}

static ar_status add_files(cJSON *files, const ar_quantize_request *r, const ar__job_cost *c) {
    for (int32_t i = 0; i < r->plan.format_count; i++) {
        char *path = NULL;
        AR_TRY(ar__output_path(&path, &r->plan, r->out, i));
        cJSON *row = ar_json_push(files, cJSON_CreateObject());
        ar_json_add_string(row, "format", r->plan.formats[i]);
        ar_status status = ar__quantize_add_text(row, "path", path);
        ar_json_add_number(row, "bytes", (double)c->file_bytes[i]);
        free(path);
        AR_TRY(status);
    }
    return AR_OK;
}

ar_status ar__quantize_print_plan_json(const ar_quantize_request *r, const ar_job *job,
                                       const ar__job_cost *c) {
    const ar_quant_cost *q = &c->quant;
    ar_memory_stats memory;
    cJSON *o = cJSON_CreateObject();
    ar_status status = AR_OK;
    ar_device_memory(job->device, &memory);
    const struct {
        const char *name;
        double value;
    } numbers[] = {{"blocks", c->block_count},
                   {"tuned_blocks", q->tuned_blocks},
                   {"finished_blocks", c->finished},
                   {"steps", q->steps},
                   {"batch", q->batch},
                   {"micro_batches", q->micro_batches},
                   {"samples", job->samples ? job->samples->count : 0},
                   {"seqlen", job->samples ? job->samples->T : 0},
                   {"windows", tuned_windows(c)},
                   {"tokens", step_tokens(job, c) * q->steps * tuned_windows(c)},
                   {"flops", c->flops},
                   {"step_seconds", q->step},
                   {"calibrate_seconds", c->calibrate},
                   {"finish_seconds", c->finish},
                   {"write_seconds", c->write},
                   {"seconds", c->before + c->seconds},
                   {"device_high_water", (double)c->device_bytes},
                   {"device_budget", (double)memory.budget},
                   {"host_high_water", (double)c->host_bytes},
                   {"disk_high_water", (double)c->disk_bytes}};
    ar_json_add_bool(o, "dry_run", true);
    ar_json_add_string(o, "precision", precision_of(job));
    ar_json_add_string(o, "method", job->src->options->method->name);
    AR_GO(add_files(ar_json_add_list(o, "files"), r, c));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        ar_json_add_number(o, numbers[i].name, numbers[i].value);
    AR_GO(ar_program_json(o, true));
done:
    cJSON_Delete(o);
    return status;
}

/* ---- results ---- */

ar_status ar__quantize_list_blocks(cJSON *rows, const ar_part *part, int32_t count) {
    for (int32_t b = 0; b < count; b++) {
        ar_block_report r;
        float *history = NULL;
        AR_TRY(ar__part_report(part, &r, &history, b));
        free(history);
        cJSON *row = ar_json_push(rows, cJSON_CreateObject());
        ar_json_add_number(row, "block", r.block);
        ar_json_add_number(row, "loss_first", r.loss_first);
        ar_json_add_number(row, "loss_best", r.loss_best);
        ar_json_add_number(row, "heldout_nearest", r.heldout_nearest);
        ar_json_add_number(row, "heldout_first", r.heldout_first);
        ar_json_add_number(row, "heldout_best", r.heldout_best);
        ar_json_add_number(row, "step", r.best_step);
        ar_json_add_number(row, "seconds", r.seconds);
        if (r.window.count == 0) continue; /* rounded to nearest */
        ar_json_add_number(row, "window_first", r.window.first);
        ar_json_add_number(row, "window_blocks", r.window.count);
        ar_json_add_number(row, "lookahead", r.window.ahead);
    }
    return AR_OK;
}

ar_status ar__quantize_take_grids(ar_acts *a, const ar_write_source *src) {
    const ar_model *m = &src->model->model;
    for (int32_t b = 0; a->grids && b < m->block_count; b++)
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++) {
            ar_qlinear *q = NULL;
            AR_TRY(src->linear(src->ctx, &q, b, i));
            const ar_extra *e = q ? ar_qlinear_extra(q, AR_ACTS_EXTRA) : NULL;
            if (e) memcpy(a->grids[b][i], e->data, sizeof a->grids[b][i]);
            ar_qlinear_free(q);
        }
    return AR_OK;
}

void ar__quantize_tell_calibration(const ar_option_list *files, int32_t count, int32_t T) {
    fprintf(stderr, "calibration: %s", files->count ? files->text[0] : "self (sampled from the float model)");
    for (int32_t i = 1; i < files->count; i++) fprintf(stderr, ", %s", files->text[i]);
    fprintf(stderr, ", up to %d samples of %d tokens\n", (int)count, (int)T);
}

ar_status ar__quantize_settle(ar_method_options *o, const ar_samples *s, const ar_observer *observer) {
    ar_method_options_put(o, "samples", s->count);
    ar_method_options_put(o, "seqlen", s->T);
    return o->method->settle ? o->method->settle(o, observer) : AR_OK;
}

void ar__quantize_list_options(cJSON *o, const ar_method_options *options) {
    const char *name = NULL;
    char value[160];
    for (int32_t at = 0; ar_method_options_record(&name, value, sizeof value, options, &at);)
        ar_json_add_string(o, name, value);
}
