/* anyround bench: how fast the work of a tuning step runs here, beside OpenBLAS in the same run. FLOPs are
 * counted from the shapes: every product of the step once, recomputation not at all. */
#include "bench_kernels.h"
#include "bench_model.h"
#include "blas.h"
#include "program.h"
#include "random_model.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STEPS 1000

typedef struct bench_options {
    bool tune, blas;
    int64_t dim, hidden, heads, kv_heads, seq, batch, steps, bits, group, threads;
} bench_options;

typedef struct step_times {
    double at[MAX_STEPS];
    int32_t count;
} step_times;

static void on_progress(void *ctx, const ar_progress_event *e) {
    step_times *t = ctx;
    if (strcmp(e->stage, "tune") == 0 && t->count < MAX_STEPS) t->at[t->count++] = ar__now_s();
}

static ar_status drop_block(void *ctx, const ar_block *block, ar_qlinear *const *linears,
                            const ar_block_report *report) {
    (void)ctx;
    (void)block;
    (void)linears;
    (void)report;
    return AR_OK;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Products of one step: forward, dW, and dX where something below needs it (not q, k, v: the block's input
 * has no gradient); attention 2 products forward and 4 backward over the causal pairs. */
static double step_flops(const ar_open_model *m, const bench_options *o) {
    const ar_block *b = &m->model.blocks[0];
    double tokens = (double)(o->batch * o->seq), sum = 0.0;
    for (int32_t i = 0; i < b->linear_count; i++) {
        bool first = strncmp(b->linears[i].name, "self_attn.", 10) == 0 &&
                     strcmp(b->linears[i].name, "self_attn.o_proj") != 0;
        sum += (first ? 2.0 : 3.0) * 2.0 * tokens * (double)b->linears[i].O * (double)b->linears[i].I;
    }
    double pairs = (double)o->batch * (double)o->seq * ((double)o->seq + 1.0) / 2.0;
    return sum + 6.0 * 2.0 * pairs * (double)(m->config.heads * m->config.head_dim);
}

static ar_status make_samples(ar_samples *s, const ar_open_model *m, const bench_options *o) {
    s->count = (int32_t)(2 * o->batch);
    s->T = (int32_t)o->seq;
    s->ids = ar__alloc((size_t)s->count, (size_t)s->T * sizeof *s->ids);
    if (!s->ids) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < (int64_t)s->count * s->T; i++)
        s->ids[i] = (int32_t)(ar_random_unit(7, 0, (uint64_t)i) * (double)m->model.vocab);
    return AR_OK;
}

/* Of signround, whose steps are timed: an option's name here is what a user would write. */
static ar_status set_options(ar_method_options *options, const bench_options *o) {
    ar_method_options_init(options, ar_method_find("signround"));
    ar_method_options_put(options, "iters", (double)o->steps + 2);
    ar_method_options_put(options, "batch", (double)o->batch);
    ar_method_options_put(options, "seed", 1);
    return ar_method_options_set(options, "select", "batch");
}

/* Median seconds of one step, from the gaps between finished steps after the first two. */
static ar_status time_steps(double *median, const ar_open_model *m, ar_device *device,
                            const bench_options *o) {
    ar_samples samples = {0};
    step_times *times = ar__alloc(1, sizeof *times);
    double gaps[MAX_STEPS];
    int32_t gap_count = 0;
    ar_status status = times ? make_samples(&samples, m, o) : AR_ERR_MEMORY;
    ar_method_options options;
    ar_quant_desc desc = {.scheme = {(int32_t)o->bits, (int32_t)o->group, AR_ZERO_INT, 0, AR_SUPER_NONE},
                          .options = &options};
    if (status == AR_OK) status = set_options(&options, o);
    ar_sink sink = {.block = drop_block};
    ar_observer observer = {.progress = on_progress, .ctx = times};
    if (status == AR_OK)
        status = ar_method_find("signround")->run(&m->model, device, &samples, &desc, &sink, &observer);
    for (int32_t i = 2; status == AR_OK && i < times->count; i++)
        gaps[gap_count++] = times->at[i] - times->at[i - 1];
    if (status == AR_OK && gap_count < 1) status = ar__fail(AR_ERR_CHECK, "bench: no step was timed");
    if (status == AR_OK) {
        qsort(gaps, (size_t)gap_count, sizeof *gaps, by_value);
        *median = gaps[gap_count / 2];
    }
    free(samples.ids);
    free(times);
    return status;
}

static ar_status print_result(const ar_device *device, const bench_options *o, const ar_common *common,
                              double seconds, double flops, double blas) {
    const ar_device_facts *f = ar_device_get_facts(device);
    if (!common->json) {
        printf("tuning step, dim %d, hidden %d, seq %d, batch %d: %.1f ms (wall clock), %.2f GFLOP, %.2f "
               "GFLOP/s\n",
               (int)o->dim, (int)o->hidden, (int)o->seq, (int)o->batch, seconds * 1e3, flops * 1e-9,
               flops / seconds * 1e-9);
        if (o->blas)
            printf("OpenBLAS sgemm 1024^3 on %d threads: %.2f GFLOP/s; ratio %.4f\n", (int)o->threads,
                   blas * 1e-9, flops / seconds / blas);
        return AR_OK;
    }
    cJSON *r = cJSON_CreateObject(), *row = cJSON_CreateObject();
    ar_json_add_number(r, "format_version", 1);
    ar_json_add_string(r, "device", f->name);
    ar_json_add_string(r, "driver", f->driver);
    ar_json_add_string(r, "api", f->api);
    ar_json_add_number(row, "dim", (double)o->dim);
    ar_json_add_number(row, "hidden", (double)o->hidden);
    ar_json_add_number(row, "seq", (double)o->seq);
    ar_json_add_number(row, "batch", (double)o->batch);
    ar_json_add_string(row, "timing", "wall");
    ar_json_add_number(row, "us", seconds * 1e6);
    ar_json_add_number(row, "gflops", flops / seconds * 1e-9);
    if (o->blas) {
        ar_json_add_number(row, "blas_gflops", blas * 1e-9);
        ar_json_add_number(row, "ratio_to_blas", flops / seconds / blas);
    }
    ar_json_put(r, "tune", row);
    ar_status status = ar_program_json(r, true);
    cJSON_Delete(r);
    return status;
}

static ar_status bench_tune(const bench_options *o, const ar_common *common) {
    ar_status status = AR_OK;
    ar_open_model *m = NULL;
    ar_device *device = NULL;
    double seconds = 0.0, before = 0.0, after = 0.0;
    ar_config config = {.family = "llama",
                        .hidden = o->dim,
                        .intermediate = o->hidden,
                        .vocab = 512,
                        .layers = 1,
                        .heads = (int32_t)o->heads,
                        .kv_heads = (int32_t)o->kv_heads,
                        .head_dim = (int32_t)(o->dim / o->heads),
                        .max_tokens = (int32_t)o->seq,
                        .rms_eps = 1e-5f,
                        .rope_theta = 10000.0f,
                        .tied = true,
                        .bos = -1,
                        .eos = -1};
    if (o->dim % o->heads || o->heads % o->kv_heads || config.head_dim % 4)
        return ar__fail(
            AR_ERR_USAGE,
            "--dim %d, --heads %d, --kv-heads %d: expected heads that divide dim into multiples of 4",
            (int)o->dim, (int)o->heads, (int)o->kv_heads);
    AR_GO(ar_random_model_open(&m, &config, (uint64_t)common->seed));
    AR_GO(ar_program_device(&device, common, false));
    if (o->blas) AR_GO(ar_blas_sgemm_flops(&before, 1024, (int32_t)o->threads, 5));
    AR_GO(time_steps(&seconds, m, device, o));
    if (o->blas) AR_GO(ar_blas_sgemm_flops(&after, 1024, (int32_t)o->threads, 5));
    status = print_result(device, o, common, seconds, step_flops(m, o), before > after ? before : after);
done:
    ar_device_close(device);
    ar_random_model_close(m);
    return status;
}

typedef struct bench_arguments {
    ar_common common;
    ar_bench_kernels_options kernels;
    ar_bench_model_options model;
    bench_options o;
} bench_arguments;

static ar_status parse(bench_arguments *b, int *positional, const ar_command *self, int argc, char **argv) {
    const ar_option options[] = {
        {"--model", AR_OPT_STRING, &b->model.model, "MODEL",
         "time prompts and generation of this model (wall clock)", 0, 0, NULL},
        {"--pp", AR_OPT_INT, &b->model.pp, "N", "tokens of the prompt (512; 0 = not)", 0, 1 << 24, NULL},
        {"--tg", AR_OPT_INT, &b->model.tg, "N", "tokens to generate (128; 0 = not)", 0, 1 << 24, NULL},
        {"--reps", AR_OPT_INT, &b->model.reps, "N", "repetitions of each (5)", 1, 1000, NULL},
        {"--layers", AR_OPT_INT, &b->model.layers, "N",
         "only its first N layers: for models larger than the memory", 1, 1 << 20, NULL},
        {"--md", AR_OPT_FLAG, &b->model.md, NULL, "as a table of Markdown; a model's as llama-bench has it",
         0, 0, NULL},
        {"Every kernel, without", AR_OPT_HEADING, NULL, "--model and --tune", NULL, 0, 0, NULL},
        {"--ops", AR_OPT_STRING, &b->kernels.ops, "LIST", "only these, as product,fake_quant (all)", 0, 0,
         NULL},
        {"--types", AR_OPT_STRING, &b->kernels.types, "LIST",
         "products with weights of these storage types, as Q4_0,F16 (all)", 0, 0, NULL},
        {"--shapes", AR_OPT_STRING, &b->kernels.shapes, "LIST",
         "of models of these sizes: tiny,0.5b,1b,3b,8b (0.5b; on cards 1b)", 0, 0, NULL},
        {"--n", AR_OPT_STRING, &b->kernels.n, "LIST", "rows of activations (1,4,32,512)", 0, 0, NULL},
        {"--size", AR_OPT_INT, &b->kernels.size, "N", "only products, of N x N weights", 1, 65536, NULL},
        {"--csv", AR_OPT_FLAG, &b->kernels.csv, NULL, "as CSV", 0, 0, NULL},
        {"--compare", AR_OPT_STRING, &b->kernels.compare, "FILE",
         "beside what --json printed earlier: faster, slower or the same", 0, 0, NULL},
        {"--report", AR_OPT_STRING, &b->kernels.report, "OUT.html",
         "write a page with rooflines; of FILE.json ... where any are named, else of this run", 0, 0, NULL},
        {"--tune", AR_OPT_FLAG, &b->o.tune, NULL, "time one tuning step of a random Llama block (wall clock)",
         0, 0, NULL},
        {"--blas", AR_OPT_FLAG, &b->o.blas, NULL, "beside OpenBLAS sgemm in the same run", 0, 0, NULL},
        {"--threads", AR_OPT_INT, &b->o.threads, "N", "threads of OpenBLAS (2)", 1, 1024, NULL},
        {"--dim", AR_OPT_INT, &b->o.dim, "N", "hidden size (288)", 4, 65536, NULL},
        {"--hidden", AR_OPT_INT, &b->o.hidden, "N", "intermediate size (768)", 4, 262144, NULL},
        {"--heads", AR_OPT_INT, &b->o.heads, "N", "query heads (6)", 1, 1024, NULL},
        {"--kv-heads", AR_OPT_INT, &b->o.kv_heads, "N", "key and value heads (6)", 1, 1024, NULL},
        {"--seq", AR_OPT_INT, &b->o.seq, "N", "tokens per sample (256)", 2, 131072, NULL},
        {"--batch", AR_OPT_INT, &b->o.batch, "N", "samples per step (8)", 1, 4096, NULL},
        {"--steps", AR_OPT_INT, &b->o.steps, "N", "steps to time (10)", 1, 48, NULL},
        {"--bits", AR_OPT_INT, &b->o.bits, "N", "bits per weight (4)", 2, 8, NULL},
        {"--group", AR_OPT_INT, &b->o.group, "N", "weights per scale (32)", 1, 65536, NULL},
    };
    return ar_args_parse(self, &b->common, options, (int32_t)(sizeof options / sizeof *options), argc, argv,
                         positional, 0, 64);
}

static ar_status run(const ar_command *self, int argc, char **argv) {
    int positional;
    bench_arguments b = {.model = {.pp = 512, .tg = 128, .reps = 5},
                         .o = {.dim = 288,
                               .hidden = 768,
                               .heads = 6,
                               .kv_heads = 6,
                               .seq = 256,
                               .batch = 8,
                               .steps = 10,
                               .bits = 4,
                               .group = 32,
                               .threads = 2}};
    AR_TRY(parse(&b, &positional, self, argc, argv));
    if (b.common.help) return AR_OK;
    if (b.o.tune && b.model.model) return ar__fail(AR_ERR_USAGE, "--tune and --model: expected one of them");
    if (b.model.layers && !b.model.model)
        return ar__fail(AR_ERR_USAGE, "--layers without --model: nothing has layers");
    if (positional && (!b.kernels.report || b.o.tune || b.model.model))
        return ar__fail(AR_ERR_USAGE, "%s: expected no file without --report", argv[1]);
    if (positional) return ar_bench_pages(b.kernels.report, argv + 1, positional);
    if (b.model.model) return ar_bench_model(&b.model, &b.common);
    if (b.o.tune) return bench_tune(&b.o, &b.common);
    b.kernels.md = b.model.md;
    return ar_bench_kernels(&b.kernels, &b.common);
}

const ar_command ar__command_bench = {
    "bench", "time every kernel beside this device's measured roof, a model, or a tuning step",
    "[--model MODEL | --tune [--blas]] [options]\n       anyround bench --report OUT.html FILE.json ...",
    run};
