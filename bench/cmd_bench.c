/* anyround bench: how fast the work of a tuning step runs here, beside OpenBLAS in the same run. FLOPs are
 * counted from the shapes: every product of the step once, recomputation not at all. */
#include "bench_kernels.h"
#include "bench_model.h"
#include "blas.h"
#include "estimate.h"
#include "first.h"
#include "ops.h"
#include "output.h"
#include "program.h"
#include "random_model.h"
#include "steps.h"
#include <cjson/cJSON.h>
#include <string.h>

#define BLAS_SIDE 1024 /* of the square product beside OpenBLAS */

typedef struct bench_options {
    bool tune, blas;
    int64_t dim, hidden, heads, kv_heads, threads;
    ar_bench_step_desc step;
} bench_options;

/* Products of one step: forward, dW, and dX where something below needs it (not q, k, v: the block's input
 * has no gradient); attention 2 products forward and 4 backward over the causal pairs. */
static double step_flops(const ar_open_model *m, const bench_options *o) {
    const ar_block *b = &m->model.blocks[0];
    double tokens = (double)(o->step.batch * o->step.seq), sum = 0.0;
    for (int32_t i = 0; i < b->linear_count; i++) {
        bool first = strncmp(b->linears[i].name, "self_attn.", 10) == 0 &&
                     strcmp(b->linears[i].name, "self_attn.o_proj") != 0;
        sum += (first ? 2.0 : 3.0) * 2.0 * tokens * (double)b->linears[i].O * (double)b->linears[i].I;
    }
    double pairs = (double)o->step.batch * (double)o->step.seq * ((double)o->step.seq + 1.0) / 2.0;
    return sum + 6.0 * 2.0 * pairs * (double)(m->config.heads * m->config.head_dim);
}

/* Operations a second by the wall clock; the most memory that steps took on the device. */
typedef struct speeds {
    double step, product, blas;
    uint64_t bytes;
} speeds;

/* Of a product of square f32 matrices, packing both included, as in OpenBLAS's. */
static ar_status time_product(double *flops_s, ar_device *device) {
    ar_status status = AR_OK;
    ar_bench_case c = {.device = device};
    ar_tensor *x = NULL, *w = NULL, *y = NULL;
    ar_graph *g = NULL;
    ar_bench_timing t;
    AR_GO(ar_bench_numbers(&c, &x, BLAS_SIDE, BLAS_SIDE));
    AR_GO(ar_bench_numbers(&c, &w, BLAS_SIDE, BLAS_SIDE));
    AR_GO(ar_graph_create(&g, device));
    AR_GO(ar_op_linear(g, &y, x, w, NULL));
    AR_GO(ar_graph_build(g));
    AR_GO(ar_bench_time(&t, device, g, 0.1));
    *flops_s = 2.0 * BLAS_SIDE * BLAS_SIDE * BLAS_SIDE / t.wall_seconds;
done:
    ar_graph_destroy(g);
    ar_bench_case_end(&c);
    return status;
}

static ar_status print_result(const ar_device *device, const bench_options *o, const ar_common *common,
                              double seconds, const speeds *s) {
    const ar_device_facts *f = ar_device_get_facts(device);
    if (!common->json) {
        printf("tuning step, dim %d, hidden %d, seq %d, batch %d: %.1f ms (wall clock), %.2f GFLOP, %.2f "
               "GFLOP/s, device memory at most %.0f MB\n",
               (int)o->dim, (int)o->hidden, (int)o->step.seq, (int)o->step.batch, seconds * 1e3,
               s->step * seconds * 1e-9, s->step * 1e-9, (double)s->bytes * 1e-6);
        if (o->blas)
            printf("OpenBLAS sgemm %d^3 on %d threads: %.2f GFLOP/s; ratio %.4f; the same product here: %.2f "
                   "GFLOP/s, ratio %.4f\n",
                   BLAS_SIDE, (int)o->threads, s->blas * 1e-9, s->step / s->blas, s->product * 1e-9,
                   s->product / s->blas);
        return AR_OK;
    }
    cJSON *r = cJSON_CreateObject(), *row = cJSON_CreateObject();
    ar_json_add_number(r, "format_version", 1);
    ar_json_add_string(r, "device", f->name);
    ar_json_add_string(r, "driver", f->driver);
    ar_json_add_string(r, "api", f->api);
    ar_json_add_number(row, "dim", (double)o->dim);
    ar_json_add_number(row, "hidden", (double)o->hidden);
    ar_json_add_number(row, "seq", (double)o->step.seq);
    ar_json_add_number(row, "batch", (double)o->step.batch);
    ar_json_add_string(row, "timing", "wall");
    ar_json_add_number(row, "us", seconds * 1e6);
    ar_json_add_number(row, "gflops", s->step * 1e-9);
    ar_json_add_number(row, "device_bytes", (double)s->bytes);
    if (o->blas) {
        ar_json_add_number(row, "blas_gflops", s->blas * 1e-9);
        ar_json_add_number(row, "ratio_to_blas", s->step / s->blas);
        ar_json_add_number(row, "product_gflops", s->product * 1e-9);
        ar_json_add_number(row, "product_to_blas", s->product / s->blas);
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
    ar_bench_clock step = {0};
    double after = 0.0;
    speeds s = {0};
    ar_memory_stats memory;
    ar_config config = {.family = "llama",
                        .hidden = o->dim,
                        .intermediate = o->hidden,
                        .vocab = 512,
                        .layers = 1,
                        .heads = (int32_t)o->heads,
                        .kv_heads = (int32_t)o->kv_heads,
                        .head_dim = (int32_t)(o->dim / o->heads),
                        .max_tokens = (int32_t)o->step.seq,
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
    if (o->blas) AR_GO(ar_blas_sgemm_flops(&s.blas, BLAS_SIDE, (int32_t)o->threads, 5));
    AR_GO(ar_bench_steps(&step, m, device, &o->step, NULL, NULL));
    ar_device_memory(device, &memory);
    s.bytes = memory.high_water;
    if (o->blas) AR_GO(time_product(&s.product, device));
    if (o->blas) AR_GO(ar_blas_sgemm_flops(&after, BLAS_SIDE, (int32_t)o->threads, 5));
    if (after > s.blas) s.blas = after;
    s.step = step_flops(m, o) / step.wall;
    status = print_result(device, o, common, step.wall, &s);
done:
    ar_device_close(device);
    ar_random_model_close(m);
    return status;
}

typedef struct bench_arguments {
    ar_common common;
    ar_bench_kernels_options kernels;
    ar_bench_model_options model;
    ar_bench_estimate_options estimate;
    const char *first;
    bench_options o;
    const char *ineffective; /* an option that says nothing of what is measured; NULL = none */
} bench_arguments;

/* What is measured. */
enum { KERNELS = 1, MODEL = 2, ESTIMATE = 4, FIRST = 8, STEP = 16, PAGES = 32 };

static int way_of(const bench_arguments *b, int positional) {
    return b->o.tune           ? STEP
           : b->model.model    ? MODEL
           : b->estimate.model ? ESTIMATE
           : b->first          ? FIRST
           : positional        ? PAGES
                               : KERNELS;
}

static const struct {
    const char *option;
    int ways; /* that it says something of */
} uses[] = {{"--pp", MODEL | ESTIMATE},
            {"--tg", MODEL | ESTIMATE},
            {"--reps", MODEL},
            {"--md", KERNELS | MODEL},
            {"--ops", KERNELS},
            {"--types", KERNELS},
            {"--shapes", KERNELS},
            {"--n", KERNELS},
            {"--size", KERNELS},
            {"--csv", KERNELS},
            {"--compare", KERNELS},
            {"--report", KERNELS | PAGES},
            {"--blas", STEP},
            {"--threads", STEP},
            {"--dim", STEP},
            {"--hidden", STEP},
            {"--heads", STEP},
            {"--kv-heads", STEP},
            {"--seq", STEP | ESTIMATE | FIRST},
            {"--batch", STEP | ESTIMATE | FIRST},
            {"--steps", STEP | ESTIMATE | FIRST},
            {"--bits", STEP | ESTIMATE | FIRST},
            {"--group", STEP | ESTIMATE | FIRST}};

static const char *find_ineffective(int way, const ar_option *options, const bool *given, int32_t count) {
    for (int32_t i = 0; i < count; i++)
        for (size_t k = 0; given[i] && k < sizeof uses / sizeof *uses; k++)
            if (strcmp(uses[k].option, options[i].name) == 0 && !(uses[k].ways & way)) return options[i].name;
    return NULL;
}

static ar_status parse(bench_arguments *b, int *positional, const ar_command *self, int argc, char **argv) {
    ar_option options[] = {
        {"--model", AR_OPT_STRING, &b->model.model, "MODEL",
         "time prompts and generation of this model (wall clock); random:1b:q4_0 is made up", 0, 0, NULL},
        {"--pp", AR_OPT_INT, &b->model.pp, "N", "tokens of the prompt (512; 0 = not)", 0, 1 << 24, NULL},
        {"--tg", AR_OPT_INT, &b->model.tg, "N", "tokens to generate (128; 0 = not)", 0, 1 << 24, NULL},
        {"--reps", AR_OPT_INT, &b->model.reps, "N", "repetitions of each (5)", 1, 1000, NULL},
        {"--layers", AR_OPT_INT, &b->model.layers, "N",
         "only its first N layers: for models larger than the memory", 1, 1 << 20, NULL},
        {"--acts", AR_OPT_STRING, &b->model.acts, "A", "its inputs of linears as `run --acts` has them", 0, 0,
         NULL},
        {"--md", AR_OPT_FLAG, &b->model.md, NULL, "as a table of Markdown; a model's as llama-bench has it",
         0, 0, NULL},
        {"--estimate", AR_OPT_STRING, &b->estimate.model, "MODEL",
         "predict them, a step of tuning a block and the device memory from measurements", 0, 0, NULL},
        {"--peaks", AR_OPT_STRING, &b->estimate.peaks, "FILE",
         "what --json printed on the device to estimate for (measured here, at the model's shapes)", 0, 0,
         NULL},
        {"--check", AR_OPT_FLAG, &b->estimate.check, NULL, "measure too; off by more than 30 % is exit 5", 0,
         0, NULL},
        {"--first", AR_OPT_STRING, &b->first, "MODEL",
         "time the first token and the first step of tuning, without kept kernels and with them", 0, 0, NULL},
        {"Every kernel, without", AR_OPT_HEADING, NULL, "--model and --tune", NULL, 0, 0, NULL},
        {"--ops", AR_OPT_STRING, &b->kernels.ops, "LIST", "only these, as product,fake_quant (all)", 0, 0,
         NULL},
        {"--types", AR_OPT_STRING, &b->kernels.types, "LIST",
         "products with weights of these storage types, as Q4_0,F16 (all)", 0, 0, NULL},
        {"--shapes", AR_OPT_STRING, &b->kernels.shapes, "LIST",
         "of models of these sizes: tiny,0.5b,1b,3b,8b (1b; on processors 0.5b)", 0, 0, NULL},
        {"--n", AR_OPT_STRING, &b->kernels.n, "LIST", "rows of activations (1,4,32,512)", 0, 0, NULL},
        {"--size", AR_OPT_INT, &b->kernels.size, "N", "only products, of N x N weights", 1, 65536, NULL},
        {"--csv", AR_OPT_FLAG, &b->kernels.csv, NULL, "as CSV", 0, 0, NULL},
        {"--compare", AR_OPT_STRING, &b->kernels.compare, "FILE",
         "beside what --json printed earlier: faster, slower or the same", 0, 0, NULL},
        {"--report", AR_OPT_STRING, &b->kernels.report, "OUT.html",
         "write a page with rooflines; of FILE.json ... where any are named, else of this run", 0, 0, NULL},
        {"--tune", AR_OPT_FLAG, &b->o.tune, NULL, "time one tuning step of a random Llama block (wall clock)",
         0, 0, NULL},
        {"--blas", AR_OPT_FLAG, &b->o.blas, NULL,
         "beside OpenBLAS sgemm in the same run, and the f32 product of its size", 0, 0, NULL},
        {"--threads", AR_OPT_INT, &b->o.threads, "N", "threads of OpenBLAS (2)", 1, 1024, NULL},
        {"--dim", AR_OPT_INT, &b->o.dim, "N", "hidden size (288)", 4, 65536, NULL},
        {"--hidden", AR_OPT_INT, &b->o.hidden, "N", "intermediate size (768)", 4, 262144, NULL},
        {"--heads", AR_OPT_INT, &b->o.heads, "N", "query heads (6)", 1, 1024, NULL},
        {"--kv-heads", AR_OPT_INT, &b->o.kv_heads, "N", "key and value heads (6)", 1, 1024, NULL},
        {"--seq", AR_OPT_INT, &b->o.step.seq, "N",
         "tokens per sample (256; 0 = no step, with --estimate and --first)", 0, 131072, NULL},
        {"--batch", AR_OPT_INT, &b->o.step.batch, "N", "samples per step (8)", 1, 4096, NULL},
        {"--steps", AR_OPT_INT, &b->o.step.steps, "N", "steps to time (10)", 1, 48, NULL},
        {"--bits", AR_OPT_INT, &b->o.step.bits, "N", "bits per weight (4)", 2, 8, NULL},
        {"--group", AR_OPT_INT, &b->o.step.group, "N", "weights per scale (32)", 1, 65536, NULL},
    };
    const int32_t count = (int32_t)(sizeof options / sizeof *options);
    bool given[sizeof options / sizeof *options] = {0};
    ar_args_notice(options, given, count);
    AR_TRY(ar_args_parse(self, &b->common, options, count, argc, argv, positional, 0, 64));
    b->ineffective = find_ineffective(way_of(b, *positional), options, given, count);
    return AR_OK;
}

static ar_status check(const bench_arguments *b, int positional, char **argv) {
    bool estimates = b->estimate.model;
    int ways = b->o.tune + !!b->model.model + estimates + !!b->first;
    if (ways > 1)
        return ar__fail(AR_ERR_USAGE, "--tune, --model, --estimate and --first: expected one of them");
    if (b->model.layers && !b->model.model)
        return ar__fail(AR_ERR_USAGE, "--layers without --model: nothing has layers");
    if (b->model.acts && !b->model.model)
        return ar__fail(AR_ERR_USAGE, "--acts without --model: nothing else has inputs of its products");
    if ((b->estimate.peaks || b->estimate.check) && !estimates)
        return ar__fail(AR_ERR_USAGE, "--peaks, --check: expected --estimate with them");
    if (b->o.step.seq < 2 && (b->o.step.seq || !(estimates || b->first)))
        return ar__fail(AR_ERR_USAGE, "--seq: found %d, expected at least 2", (int)b->o.step.seq);
    if (positional && (!b->kernels.report || ways))
        return ar__fail(AR_ERR_USAGE, "%s: expected no file without --report", argv[1]);
    if (b->ineffective)
        return ar__fail(AR_ERR_USAGE, "%s: has no effect on what is measured here (see --help)",
                        b->ineffective);
    if (!!b->kernels.compare + b->common.json + b->kernels.csv + b->model.md > 1)
        return ar__fail(AR_ERR_USAGE, "--compare, --json, --csv and --md: expected one of them");
    return AR_OK;
}

/* What is going to be written can be, and is nothing that is read. */
static ar_status check_report(const bench_arguments *b, int positional, char **argv) {
    ar_input inputs[65] = {{b->kernels.compare, "measurements"}};
    int32_t count = 1;
    if (!b->kernels.report) return AR_OK;
    for (int i = 1; i <= positional; i++) inputs[count++] = (ar_input){argv[i], "measurements"};
    AR_TRY(ar__output_check_file("--report", b->kernels.report, NULL));
    return ar__path_check_inputs(b->kernels.report, false, inputs, count);
}

static ar_status run(const ar_command *self, int argc, char **argv) {
    int positional;
    bench_arguments b = {.model = {.pp = 512, .tg = 128, .reps = 5},
                         .o = {.dim = 288,
                               .hidden = 768,
                               .heads = 6,
                               .kv_heads = 6,
                               .threads = 2,
                               .step = {.seq = 256, .batch = 8, .steps = 10, .bits = 4, .group = 32}}};
    AR_TRY(parse(&b, &positional, self, argc, argv));
    if (b.common.help) return AR_OK;
    AR_TRY(check(&b, positional, argv));
    AR_TRY(check_report(&b, positional, argv));
    if (positional) return ar_bench_pages(b.kernels.report, argv + 1, positional);
    if (b.first)
        return ar_bench_first(&(ar_bench_first_options){.model = b.first, .step = b.o.step}, &b.common);
    if (b.estimate.model) {
        b.estimate.pp = b.model.pp;
        b.estimate.tg = b.model.tg;
        b.estimate.step = b.o.step;
        return ar_bench_estimate(&b.estimate, &b.common);
    }
    if (b.model.model) return ar_bench_model(&b.model, &b.common);
    if (b.o.tune) return bench_tune(&b.o, &b.common);
    b.kernels.md = b.model.md;
    return ar_bench_kernels(&b.kernels, &b.common);
}

const ar_command ar__command_bench = {
    "bench", "time every kernel beside this device's measured roof, a model, or a tuning step",
    "[--model MODEL | --estimate MODEL | --first MODEL | --tune [--blas]] [options]\n       anyround bench "
    "--report OUT.html "
    "FILE.json ...",
    run};
