/* anyround quantize --report: what came out, how long it took, and with which settings, in words. */
#include "output.h"
#include "quantize_job.h"
#include "report.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MOST_LINES (AR_MAX_OPTIONS + 24)
#define LINE_BYTES 256

/* Lines whose values the list owns, but for those longer than LINE_BYTES. */
typedef struct lines {
    ar_report_line list[MOST_LINES];
    char name[MOST_LINES][AR_EXTRA_NAME], text[MOST_LINES][LINE_BYTES];
    int32_t count;
} lines;

static void line(lines *l, const char *name, const char *format, ...) AR__PRINTF(3, 4);
static void line(lines *l, const char *name, const char *format, ...) {
    int32_t i = l->count++;
    va_list args;
    snprintf(l->name[i], sizeof l->name[i], "%s", name);
    for (char *c = l->name[i]; *c; c++)
        if (*c == '_') *c = ' ';
    va_start(args, format);
    vsnprintf(l->text[i], sizeof l->text[i], format, args);
    va_end(args);
    l->list[i] = (ar_report_line){l->name[i], l->text[i]};
}

/* ---- what came out ---- */

/* "1 h 2 min", "3 min 4 s", "5.6 s" */
static const char *duration(char *out, size_t bytes, double seconds) {
    long long s = (long long)(seconds + 0.5);
    if (seconds < 60)
        snprintf(out, bytes, "%.1f s", seconds);
    else if (s < 3600)
        snprintf(out, bytes, "%lld min %lld s", s / 60, s % 60);
    else
        snprintf(out, bytes, "%lld h %lld min", s / 3600, s / 60 % 60);
    return out;
}

/* Bits per weight count all that is in a file: scales, what stays float, the tokenizer. */
static ar_status list_outputs(lines *l, const ar_run_record *run) {
    const ar_output_plan *plan = &run->request->plan;
    const double weights = ar__output_weights(&run->model->model);
    for (int32_t i = 0; i < plan->format_count; i++) {
        char *path = NULL, size[16];
        AR_TRY(ar__output_path(&path, plan, run->out, i));
        uint64_t bytes = ar__output_bytes(path);
        line(l, "output", "%s (%s%s%s), %s, %.2f bits per weight", ar__path_name(path), plan->formats[i],
             plan->type[0] ? " " : "", plan->type, ar_program_bytes(size, sizeof size, bytes),
             8.0 * (double)bytes / weights);
        free(path);
    }
    return AR_OK;
}

static ar_status list_results(lines *l, const ar_run_record *run) {
    char text[40];
    ar_memory_stats memory;
    double blocks = 0;
    for (int32_t b = 0; b < run->model->model.block_count; b++) {
        ar_block_report r;
        float *history = NULL;
        AR_TRY(ar__part_report(run->part, &r, &history, b));
        blocks += r.seconds;
        free(history);
    }
    AR_TRY(list_outputs(l, run));
    line(l, "source size", "%s, %.1f million weights",
         ar_program_bytes(text, sizeof text, ar__output_bytes(run->model->path)),
         ar__output_weights(&run->model->model) / 1e6);
    line(l, run->request->resume ? "time since resuming" : "total time", "%s",
         duration(text, sizeof text, ar__now_s() - run->start));
    line(l, "time in blocks", "%s", duration(text, sizeof text, blocks));
    if (run->finish->is_on) {
        char gain[LINE_BYTES];
        ar__quantize_finish_text(gain, sizeof gain, run->finish, run->options);
        line(l, "scales at the end", "%s", gain);
    }
    ar_device_memory(run->device, &memory);
    line(l, "device memory", "at most %s", ar_program_bytes(text, sizeof text, memory.high_water));
    return AR_OK;
}

/* "2 of 21, 0 self_attn.q_proj, 2 mlp.down_proj": all that a format cannot hold; free(). */
static ar_status name_float_layers(char **text, const ar_run_record *run) {
    const ar_model *m = &run->model->model;
    const ar_output_plan *plan = &run->request->plan;
    ar_scheme scheme;
    int32_t kept = 0, total = 0;
    size_t bytes = 32, used;
    for (int32_t b = 0; b < m->block_count; b++)
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++, total++)
            if (!ar_output_plan_choose(plan, &run->model->config, &m->blocks[b], i, &scheme)) {
                kept++;
                bytes += strlen(m->blocks[b].linears[i].name) + 16; /* the number and what divides */
            }
    *text = ar__alloc(bytes, 1);
    if (!*text) return AR_ERR_MEMORY;
    used = (size_t)snprintf(*text, bytes, "%d of %d", (int)kept, (int)total);
    for (int32_t b = 0; b < m->block_count; b++)
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++)
            if (!ar_output_plan_choose(plan, &run->model->config, &m->blocks[b], i, &scheme))
                used += (size_t)snprintf(*text + used, bytes - used, ", %d %s", (int)b,
                                         m->blocks[b].linears[i].name);
    return AR_OK;
}

/* ---- what it was made with ---- */

static void list_scheme(lines *l, const ar_scheme *s) {
    const char *zero = s->zero == AR_ZERO_SYM ? "symmetric" : "asymmetric";
    if (s->bits > 8) return; /* a float type */
    if (s->group > 0)
        line(l, "weights", "%d bits, groups of %d, %s", (int)s->bits, (int)s->group, zero);
    else
        line(l, "weights", "%d bits, a group per row, %s", (int)s->bits, zero);
}

static void list_samples(lines *l, const ar_run_record *run) {
    const ar_option_list *files = &run->request->calib;
    char more[32] = "";
    if (files->count > 1) snprintf(more, sizeof more, " and %d more", (int)files->count - 1);
    line(l, "calibration", "%s%s: %d samples of %d tokens",
         files->count > 0 ? ar__path_name(files->text[0]) : "sampled from the model itself", more,
         (int)run->samples->count, (int)run->samples->T);
}

static void list_settings(lines *l, const ar_run_record *run) {
    const ar_device_facts *f = ar_device_get_facts(run->device);
    const ar_method *method = run->options->method;
    char text[LINE_BYTES];
    ar_memory_stats memory;
    line(l, "model", "%s", ar__path_name(run->model->path));
    line(l, "method", "%s", method->name);
    if (run->allotment) {
        char widths[200];
        ar__allotment_text(widths, sizeof widths, run->allotment);
        line(l, "weights", "%s", widths);
    } else {
        list_scheme(l, &run->request->plan.scheme);
    }
    if (run->request->acts.bits > 0) {
        ar_acts_show(text, &run->request->acts);
        line(l, "activations", "%s", text);
        if (run->request->acts_percentile > 0.0)
            line(l, "their range", "of %g %% of the tokens", run->request->acts_percentile);
    }
    if (run->samples->ids) list_samples(l, run);
    for (int32_t i = 0; i < method->option_count && l->count + 4 < MOST_LINES; i++) {
        if (!method->options[i].record) continue;
        ar_method_options_show(text, sizeof text, run->options, i, &run->request->plan.scheme);
        if (text[0]) line(l, method->options[i].name, "%s", text);
    }
    ar_device_memory(run->device, &memory);
    line(l, "device", "%s %s", f->api, f->name);
    line(l, "driver", "%s %s", f->driver, f->version);
    line(l, "memory budget", "%s", ar_program_bytes(text, sizeof text, memory.budget));
    line(l, "program", "anyround %s", ar_version());
}

/* Where tuning begins, if not at round to nearest. */
static const char *start_of(const ar_run_record *run) {
    const ar_method *m = run->options->method;
    char text[LINE_BYTES];
    for (int32_t i = 0; i < m->option_count; i++) {
        ar_method_options_show(text, sizeof text, run->options, i, &run->request->plan.scheme);
        if (strcmp(m->options[i].name, "grid") == 0 && strcmp(text, "range") == 0) return NULL;
    }
    return m->searches || run->request->plan.scheme.super != AR_SUPER_NONE ? "searched grids" : NULL;
}

ar_status ar__quantize_report(const ar_run_record *run) {
    ar_status status = AR_OK;
    char *kept = NULL, subtitle[80];
    lines *results = ar__alloc(1, sizeof *results), *settings = ar__alloc(1, sizeof *settings);
    if (!results || !settings) AR_GO(AR_ERR_MEMORY);
    AR_GO(list_results(results, run));
    AR_GO(name_float_layers(&kept, run));
    results->list[results->count++] = (ar_report_line){"layers kept float", kept};
    list_settings(settings, run);
    snprintf(subtitle, sizeof subtitle, "quantized by anyround %s, method %s", ar_version(),
             run->options->method->name);
    AR_GO(ar__report_write(run->request->report, &(ar_report){.title = ar__path_name(run->out),
                                                              .subtitle = subtitle,
                                                              .results = results->list,
                                                              .result_count = results->count,
                                                              .settings = settings->list,
                                                              .setting_count = settings->count,
                                                              .start = start_of(run),
                                                              .part = run->part,
                                                              .block_count = run->model->model.block_count}));
done:
    free(kept);
    free(results);
    free(settings);
    return status;
}
