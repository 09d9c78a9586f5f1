/* Products y (n, m) = x (n, k) W'^T for every storage type, as percentages of a roof measured in the same
 * run: the longer of moving the operands once at copy speed and multiplying at the best speed any product
 * here reached. */
#include "bench_kernels.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COPY_BYTES  (INT64_C(128) << 20) /* beyond the caches of most processors */
#define MIN_SECONDS 0.2                  /* of one measurement */
#define MEASURES    3                    /* of which the best counts */
#define MAX_ROWS    64

typedef struct row {
    char dtype[16];
    int64_t m, n, k;
    double seconds, cpu_seconds, flops, bytes;
    ar_status status;
    char reason[160];
} row;

typedef struct results {
    double copy_bytes_s, flops_s; /* the peaks */
    row rows[MAX_ROWS];
    int32_t count;
} results;

static double clock_s(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Best seconds of one replay, and processor seconds of that measurement: several replays in a row until
 * MIN_SECONDS have passed. */
static ar_status time_graph(double *seconds, double *cpu_seconds, ar_device *device, ar_graph *g) {
    int32_t replays = 1;
    *seconds = 1e30;
    AR_TRY(ar_graph_run(g)); /* compiles, fills caches */
    AR_TRY(ar_device_wait(device));
    for (int32_t i = 0; i < MEASURES;) {
        double wall = clock_s(CLOCK_MONOTONIC), cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID);
        for (int32_t r = 0; r < replays; r++) AR_TRY(ar_graph_run(g));
        AR_TRY(ar_device_wait(device));
        wall = clock_s(CLOCK_MONOTONIC) - wall;
        cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu;
        if (wall < MIN_SECONDS && replays < 4096) {
            replays *= 2;
            continue;
        }
        if (wall / replays < *seconds) *seconds = wall / replays, *cpu_seconds = cpu / replays;
        i++;
    }
    return AR_OK;
}

/* ---- the roof ---- */

static ar_status measure_copy(double *bytes_s, ar_device *device) {
    ar_status status = AR_OK;
    ar_tensor *from = NULL, *to = NULL;
    ar_graph *g = NULL;
    double seconds = 0, cpu = 0;
    int64_t count = COPY_BYTES / 4;
    AR_GO(ar_tensor_create(&from, device, AR_F32, 1, &count));
    AR_GO(ar_tensor_create(&to, device, AR_F32, 1, &count));
    AR_GO(ar_graph_create(&g, device));
    AR_GO(ar_op_fill(g, from, 0));
    AR_GO(ar_op_copy(g, to, from));
    AR_GO(ar_graph_build(g));
    AR_GO(ar_graph_run(g));
    ar_graph_destroy(g);
    g = NULL;
    AR_GO(ar_graph_create(&g, device));
    AR_GO(ar_op_copy(g, to, from));
    AR_GO(ar_graph_build(g));
    AR_GO(time_graph(&seconds, &cpu, device, g));
    *bytes_s = 2.0 * (double)COPY_BYTES / seconds;
done:
    ar_graph_destroy(g);
    ar_tensor_destroy(from);
    ar_tensor_destroy(to);
    return status;
}

static ar_status numbers(ar_tensor **t, ar_device *device, int64_t rows, int64_t columns) {
    float *values = ar__alloc((size_t)rows, (size_t)columns * sizeof *values);
    if (!values) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < rows * columns; i++) values[i] = (float)(i * 2654435761 % 1000) / 1000.0f - 0.5f;
    ar_status status = ar_tensor_create(t, device, AR_F32, 2, (int64_t[]){rows, columns});
    if (status == AR_OK) status = ar_tensor_write(*t, values, 0, rows * columns);
    free(values);
    return status;
}

/* The f32 product that tuning uses. */
static ar_status measure_gemm(double *flops_s, ar_device *device) {
    enum { SIZE = 1024 };
    ar_status status = AR_OK;
    ar_tensor *x = NULL, *W = NULL, *y = NULL;
    ar_graph *g = NULL;
    double seconds = 0, cpu = 0;
    AR_GO(numbers(&x, device, SIZE, SIZE));
    AR_GO(numbers(&W, device, SIZE, SIZE));
    AR_GO(ar_graph_create(&g, device));
    AR_GO(ar_op_linear(g, &y, x, W, NULL));
    AR_GO(ar_graph_build(g));
    AR_GO(time_graph(&seconds, &cpu, device, g));
    *flops_s = 2.0 * SIZE * SIZE * (double)SIZE / seconds;
done:
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    ar_tensor_destroy(W);
    return status;
}

/* ---- products ---- */

/* Weights of m rows: any finite numbers, 2f at most in every byte keeps fp16 far from its end. */
static ar_status make_weights(ar_packed **w, ar_device *device, ar_qtype type, int64_t m, int64_t k) {
    int64_t bytes = ar_qtype_row_bytes(type, k);
    if (bytes < 0) return ar__fail(AR_ERR_SHAPE, "rows of %lld are no whole blocks", (long long)k);
    uint8_t *blocks = ar__alloc((size_t)m, (size_t)bytes);
    if (!blocks) return AR_ERR_MEMORY;
    uint32_t random = 1;
    for (int64_t i = 0; i < m * bytes; i++) {
        random = random * 1664525u + 1013904223u;
        blocks[i] = (uint8_t)(random >> 24 & 0x2f);
    }
    ar_packed_desc part = {.type = type, .O = m, .I = k, .blocks = blocks, .row_stride = (uint64_t)bytes};
    ar_status status = ar_packed_create(w, device, &part, 1, false);
    free(blocks);
    return status;
}

static ar_status measure_product(row *r, ar_device *device, ar_qtype type) {
    ar_status status = AR_OK;
    ar_packed *w = NULL;
    ar_tensor *x = NULL, *y = NULL;
    ar_graph *g = NULL;
    AR_GO(make_weights(&w, device, type, r->m, r->k));
    AR_GO(numbers(&x, device, r->n, r->k));
    AR_GO(ar_graph_create(&g, device));
    AR_GO(ar_op_linear_packed(g, &y, x, w, NULL));
    AR_GO(ar_graph_build(g));
    AR_GO(time_graph(&r->seconds, &r->cpu_seconds, device, g));
    r->flops = 2.0 * (double)r->m * (double)r->n * (double)r->k;
    r->bytes = (double)ar_packed_bytes(w) + 4.0 * (double)(r->n * (r->m + r->k));
done:
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    ar_packed_destroy(w);
    return status;
}

static bool is_wanted(const char *types, const char *name) {
    size_t bytes = strlen(name);
    for (const char *at = types; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, name, bytes) == 0 && (at[bytes] == ',' || at[bytes] == '\0')) return true;
    return !types;
}

static ar_status measure_all(results *all, ar_device *device, const ar_bench_kernels_options *o) {
    const int64_t sizes[] = {o->size ? o->size : 4096, 1024}, columns[] = {o->n ? o->n : 1, 512};
    AR_TRY(measure_copy(&all->copy_bytes_s, device));
    AR_TRY(measure_gemm(&all->flops_s, device));
    for (int32_t type = 0; type < AR_QT_COUNT; type++)
        for (int32_t i = 0; i < (o->size ? 1 : 2) * (o->n ? 1 : 2); i++) {
            const char *name = ar_qtype_name((ar_qtype)type);
            if (type == AR_QT_GROUP || !is_wanted(o->types, name)) continue;
            int64_t size = sizes[o->n ? i : i / 2], n = columns[o->n ? 0 : i % 2];
            row *r = &all->rows[all->count++];
            *r = (row){.m = size, .n = n, .k = size};
            snprintf(r->dtype, sizeof r->dtype, "%s", name);
            r->status = measure_product(r, device, (ar_qtype)type);
            if (r->status == AR_ERR_DEVICE_LOST || r->status == AR_ERR_MEMORY) return r->status;
            if (r->status != AR_OK) snprintf(r->reason, sizeof r->reason, "%s", ar_error());
            if (r->status == AR_OK && r->flops / r->seconds > all->flops_s)
                all->flops_s = r->flops / r->seconds;
        }
    return all->count ? AR_OK
                      : ar__fail(AR_ERR_USAGE, "--types %s: expected names such as Q4_0,F16", o->types);
}

/* ---- output ---- */

static double percent(const results *all, const row *r) {
    double moving = r->bytes / all->copy_bytes_s, computing = r->flops / all->flops_s;
    return 100.0 * (moving > computing ? moving : computing) / r->seconds;
}

static const char *kernel_of(const ar_device *device, const row *r) {
    return r->n <= ar_device_get_plan(device)->packed_columns ? "gemv" : "gemm";
}

static void print_lines(const results *all, const ar_device *device) {
    printf("copy %.2f GB/s, product %.2f GFLOP/s at best\n", all->copy_bytes_s * 1e-9, all->flops_s * 1e-9);
    for (int32_t i = 0; i < all->count; i++) {
        const row *r = &all->rows[i];
        printf("%s %-6s m %d n %3d k %d: ", kernel_of(device, r), r->dtype, (int)r->m, (int)r->n, (int)r->k);
        if (r->status != AR_OK)
            printf("%s\n", r->reason);
        else
            printf("%9.0f us %7.2f GFLOP/s %6.2f GB/s %5.1f %% of the roof\n", r->seconds * 1e6,
                   r->flops / r->seconds * 1e-9, r->bytes / r->seconds * 1e-9, percent(all, r));
    }
}

static cJSON *json_row(const results *all, const ar_device *device, const row *r) {
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "kernel", kernel_of(device, r));
    cJSON_AddStringToObject(j, "dtype", r->dtype);
    cJSON_AddNumberToObject(j, "m", (double)r->m);
    cJSON_AddNumberToObject(j, "n", (double)r->n);
    cJSON_AddNumberToObject(j, "k", (double)r->k);
    cJSON_AddStringToObject(j, "status", r->status == AR_OK ? "ok" : "failed");
    if (r->status != AR_OK) {
        cJSON_AddStringToObject(j, "reason", r->reason);
        return j;
    }
    cJSON_AddNumberToObject(j, "us", r->seconds * 1e6);
    cJSON_AddNumberToObject(j, "cpu_us", r->cpu_seconds * 1e6);
    cJSON_AddNumberToObject(j, "gflops", r->flops / r->seconds * 1e-9);
    cJSON_AddNumberToObject(j, "gbs", r->bytes / r->seconds * 1e-9);
    cJSON_AddNumberToObject(j, "percent_of_roof", percent(all, r));
    return j;
}

static void print_json(const results *all, const ar_device *device) {
    const ar_device_facts *f = ar_device_get_facts(device);
    cJSON *j = cJSON_CreateObject(), *peaks = cJSON_CreateObject(), *rows = cJSON_CreateArray();
    cJSON_AddNumberToObject(j, "format_version", 1);
    cJSON_AddStringToObject(j, "device", f->name);
    cJSON_AddStringToObject(j, "driver", f->driver);
    cJSON_AddStringToObject(j, "api", f->api);
    cJSON_AddNumberToObject(peaks, "copy_gbs", all->copy_bytes_s * 1e-9);
    cJSON_AddNumberToObject(peaks, "gflops", all->flops_s * 1e-9);
    cJSON_AddItemToObject(j, "peaks", peaks);
    for (int32_t i = 0; i < all->count; i++) cJSON_AddItemToArray(rows, json_row(all, device, &all->rows[i]));
    cJSON_AddItemToObject(j, "rows", rows);
    char *text = cJSON_Print(j);
    if (text) puts(text);
    free(text);
    cJSON_Delete(j);
}

ar_status ar_bench_kernels(const ar_bench_kernels_options *o, const ar_common *common) {
    ar_device *device = NULL;
    results *all = ar__alloc(1, sizeof *all);
    ar_status status = all ? ar_program_device(&device, common) : AR_ERR_MEMORY;
    if (status == AR_OK) status = measure_all(all, device, o);
    if (status == AR_OK && common->json) print_json(all, device);
    if (status == AR_OK && !common->json) print_lines(all, device);
    free(all);
    ar_device_close(device);
    return status;
}
