/* Products y (n, m) = x (n, k) W'^T for every storage type, as percentages of a roof measured in the same
 * run: the longer of moving the operands once at copy speed and multiplying at the best speed any product
 * here reached. Times are the device's own, launch by launch, where its timestamps are valid, else the wall
 * clock's over whole replays; each figure says which. */
#include "bench_kernels.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COPY_BYTES  (INT64_C(128) << 20) /* beyond the caches of most processors */
#define MIN_SECONDS 0.2                  /* of one measurement */
#define MEASURES    3                    /* of which the best counts */
#define MAX_ROWS    64
#define MAX_PARTS   8 /* kernels that one product takes */

/* All launches of one kernel in a replay. */
typedef struct kernel_time {
    char name[24];
    int32_t launches;
    double seconds;
} kernel_time;

/* One replay, the best of several. */
typedef struct timing {
    double seconds;                   /* the device's, or wall_seconds */
    double wall_seconds, cpu_seconds; /* of replays in a row, with the cost of submitting them */
    bool is_wall;
    kernel_time parts[MAX_PARTS]; /* launches timed one by one */
    int32_t part_count;
} timing;

typedef struct row {
    char dtype[16];
    int64_t m, n, k;
    double flops, bytes;
    timing time;
    ar_status status;
    char reason[160];
} row;

typedef struct results {
    double copy_bytes_s, flops_s; /* the peaks */
    bool copy_is_wall, flops_is_wall;
    row rows[MAX_ROWS];
    int32_t count;
} results;

static double clock_s(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Best wall-clock seconds of one replay, and processor seconds of that measurement: several replays in a row
 * until MIN_SECONDS have passed. */
static ar_status time_replays(timing *t, ar_device *device, ar_graph *g) {
    int32_t replays = 1;
    t->wall_seconds = 1e30;
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
        if (wall / replays < t->wall_seconds)
            t->wall_seconds = wall / replays, t->cpu_seconds = cpu / replays;
        i++;
    }
    return AR_OK;
}

static void add_launch(timing *t, const char *name, double seconds) {
    int32_t i = 0;
    while (i < t->part_count && strcmp(t->parts[i].name, name) != 0) i++;
    if (i == MAX_PARTS) return;
    kernel_time *p = &t->parts[i];
    if (i == t->part_count) {
        *p = (kernel_time){0};
        snprintf(p->name, sizeof p->name, "%s", name);
        t->part_count++;
    }
    p->launches++;
    p->seconds += seconds;
}

/* The launches of the best profile until MIN_SECONDS have passed, two at least. */
static ar_status profile(timing *t, ar_graph *g, double *us, const char **names, int32_t count) {
    double began = clock_s(CLOCK_MONOTONIC), best = 1e30;
    for (int32_t i = 0; i < 2 || clock_s(CLOCK_MONOTONIC) - began < MIN_SECONDS; i++) {
        bool is_wall = false;
        double sum = 0;
        AR_TRY(ar_graph_profile(g, us, names, &is_wall));
        for (int32_t j = 0; j < count; j++) sum += us[j] * 1e-6;
        t->is_wall |= is_wall || !(sum > 0); /* a clock that stands still is none */
        if (sum >= best) continue;
        best = sum;
        t->part_count = 0;
        for (int32_t j = 0; j < count; j++) add_launch(t, names[j], us[j] * 1e-6);
    }
    t->seconds = t->is_wall ? t->wall_seconds : best;
    return AR_OK;
}

static ar_status time_graph(timing *t, ar_device *device, ar_graph *g) {
    ar_graph_stats stats;
    *t = (timing){0};
    AR_TRY(time_replays(t, device, g));
    ar_graph_get_stats(g, &stats);
    double *us = ar__alloc((size_t)stats.dispatches, sizeof *us);
    const char **names = us ? ar__alloc((size_t)stats.dispatches, sizeof *names) : NULL;
    ar_status status = names ? profile(t, g, us, names, stats.dispatches) : AR_ERR_MEMORY;
    free(names);
    free(us);
    return status;
}

/* ---- the roof ---- */

static ar_status measure_copy(results *all, ar_device *device) {
    ar_status status = AR_OK;
    ar_tensor *from = NULL, *to = NULL;
    ar_graph *g = NULL;
    timing t;
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
    AR_GO(time_graph(&t, device, g));
    all->copy_bytes_s = 2.0 * (double)COPY_BYTES / t.seconds;
    all->copy_is_wall = t.is_wall;
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
static ar_status measure_gemm(results *all, ar_device *device) {
    enum { SIZE = 1024 };
    ar_status status = AR_OK;
    ar_tensor *x = NULL, *W = NULL, *y = NULL;
    ar_graph *g = NULL;
    timing t;
    AR_GO(numbers(&x, device, SIZE, SIZE));
    AR_GO(numbers(&W, device, SIZE, SIZE));
    AR_GO(ar_graph_create(&g, device));
    AR_GO(ar_op_linear(g, &y, x, W, NULL));
    AR_GO(ar_graph_build(g));
    AR_GO(time_graph(&t, device, g));
    all->flops_s = 2.0 * SIZE * SIZE * (double)SIZE / t.seconds;
    all->flops_is_wall = t.is_wall;
done:
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    ar_tensor_destroy(W);
    return status;
}

/* ---- products ---- */

/* Weights of m rows: any finite numbers, 2f at most in every byte keeps fp16 far from its end. */
static ar_status make_weights(ar_resident_weight **w, ar_device *device, ar_qtype type, int64_t m,
                              int64_t k) {
    int64_t bytes = ar_qtype_row_bytes(type, k);
    if (bytes < 0) return ar__fail(AR_ERR_SHAPE, "rows of %lld are no whole blocks", (long long)k);
    uint8_t *blocks = ar__alloc((size_t)m, (size_t)bytes);
    if (!blocks) return AR_ERR_MEMORY;
    uint32_t random = 1;
    for (int64_t i = 0; i < m * bytes; i++) {
        random = random * 1664525u + 1013904223u;
        blocks[i] = (uint8_t)(random >> 24 & 0x2f);
    }
    ar_resident_weight_desc part = {
        .type = type, .O = m, .I = k, .blocks = blocks, .row_stride = (uint64_t)bytes};
    ar_status status = ar_resident_weight_create(w, device, &part, 1, false);
    free(blocks);
    return status;
}

static ar_status measure_product(row *r, ar_device *device, ar_qtype type) {
    ar_status status = AR_OK;
    ar_resident_weight *w = NULL;
    ar_tensor *x = NULL, *y = NULL;
    ar_graph *g = NULL;
    AR_GO(make_weights(&w, device, type, r->m, r->k));
    AR_GO(numbers(&x, device, r->n, r->k));
    AR_GO(ar_graph_create(&g, device));
    AR_GO(ar_op_linear_resident(g, &y, x, w, NULL));
    AR_GO(ar_graph_build(g));
    AR_GO(time_graph(&r->time, device, g));
    r->flops = 2.0 * (double)r->m * (double)r->n * (double)r->k;
    r->bytes = (double)ar_resident_weight_bytes(w) + 4.0 * (double)(r->n * (r->m + r->k));
done:
    ar_graph_destroy(g);
    ar_tensor_destroy(x);
    ar_resident_weight_destroy(w);
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
    AR_TRY(measure_copy(all, device));
    AR_TRY(measure_gemm(all, device));
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
            if (r->status == AR_OK && r->flops / r->time.seconds > all->flops_s) {
                all->flops_s = r->flops / r->time.seconds;
                all->flops_is_wall = r->time.is_wall;
            }
        }
    return all->count ? AR_OK
                      : ar__fail(AR_ERR_USAGE, "--types %s: expected names such as Q4_0,F16", o->types);
}

/* ---- output ---- */

static double percent(const results *all, const row *r) {
    double moving = r->bytes / all->copy_bytes_s, computing = r->flops / all->flops_s;
    return 100.0 * (moving > computing ? moving : computing) / r->time.seconds;
}

static const char *clock_of(bool is_wall) { return is_wall ? "wall" : "device"; }

static const char *kernel_of(const ar_device *device, const row *r) {
    return r->n <= ar_device_get_plan(device)->resident_columns ? "gemv" : "gemm";
}

static void print_times(const results *all, const row *r) {
    double s = r->time.seconds, sum = 0;
    printf("%9.0f us %-6s %7.2f GFLOP/s %6.2f GB/s %5.1f %% of the roof", s * 1e6, clock_of(r->time.is_wall),
           r->flops / s * 1e-9, r->bytes / s * 1e-9, percent(all, r));
    for (int32_t i = 0; i < r->time.part_count; i++) sum += r->time.parts[i].seconds;
    for (int32_t i = 0; i < r->time.part_count && r->time.part_count > 1; i++)
        printf("%s%s %.0f %%", i ? ", " : "; ", r->time.parts[i].name,
               100.0 * r->time.parts[i].seconds / sum);
    putchar('\n');
}

static void print_lines(const results *all, const ar_device *device) {
    printf("copy %.2f GB/s (%s time), product %.2f GFLOP/s at best (%s time)\n", all->copy_bytes_s * 1e-9,
           clock_of(all->copy_is_wall), all->flops_s * 1e-9, clock_of(all->flops_is_wall));
    for (int32_t i = 0; i < all->count; i++) {
        const row *r = &all->rows[i];
        printf("%s %-6s m %d n %3d k %d: ", kernel_of(device, r), r->dtype, (int)r->m, (int)r->n, (int)r->k);
        if (r->status != AR_OK)
            printf("%s\n", r->reason);
        else
            print_times(all, r);
    }
}

static cJSON *json_parts(const timing *t) {
    cJSON *list = cJSON_CreateArray();
    for (int32_t i = 0; i < t->part_count; i++) {
        cJSON *j = cJSON_CreateObject();
        ar_json_add_string(j, "name", t->parts[i].name);
        ar_json_add_number(j, "launches", t->parts[i].launches);
        ar_json_add_number(j, "us", t->parts[i].seconds * 1e6);
        ar_json_push(list, j);
    }
    return list;
}

static cJSON *json_row(const results *all, const ar_device *device, const row *r) {
    cJSON *j = cJSON_CreateObject();
    ar_json_add_string(j, "kernel", kernel_of(device, r));
    ar_json_add_string(j, "dtype", r->dtype);
    ar_json_add_number(j, "m", (double)r->m);
    ar_json_add_number(j, "n", (double)r->n);
    ar_json_add_number(j, "k", (double)r->k);
    ar_json_add_string(j, "status", r->status == AR_OK ? "ok" : "failed");
    if (r->status != AR_OK) {
        ar_json_add_string(j, "reason", r->reason);
        return j;
    }
    ar_json_add_string(j, "timing", clock_of(r->time.is_wall));
    ar_json_add_number(j, "us", r->time.seconds * 1e6);
    ar_json_add_number(j, "wall_us", r->time.wall_seconds * 1e6);
    ar_json_add_number(j, "cpu_us", r->time.cpu_seconds * 1e6);
    ar_json_add_number(j, "gflops", r->flops / r->time.seconds * 1e-9);
    ar_json_add_number(j, "gbs", r->bytes / r->time.seconds * 1e-9);
    ar_json_add_number(j, "percent_of_roof", percent(all, r));
    ar_json_put(j, "kernels", json_parts(&r->time));
    return j;
}

static ar_status print_json(const results *all, const ar_device *device) {
    const ar_device_facts *f = ar_device_get_facts(device);
    cJSON *j = cJSON_CreateObject(), *peaks = cJSON_CreateObject(), *rows = cJSON_CreateArray();
    ar_json_add_number(j, "format_version", 1);
    ar_json_add_string(j, "device", f->name);
    ar_json_add_string(j, "driver", f->driver);
    ar_json_add_string(j, "api", f->api);
    ar_json_add_number(peaks, "copy_gbs", all->copy_bytes_s * 1e-9);
    ar_json_add_string(peaks, "copy_timing", clock_of(all->copy_is_wall));
    ar_json_add_number(peaks, "gflops", all->flops_s * 1e-9);
    ar_json_add_string(peaks, "gflops_timing", clock_of(all->flops_is_wall));
    ar_json_put(j, "peaks", peaks);
    for (int32_t i = 0; i < all->count; i++) ar_json_push(rows, json_row(all, device, &all->rows[i]));
    ar_json_put(j, "rows", rows);
    ar_status status = ar_program_json(j, true);
    cJSON_Delete(j);
    return status;
}

ar_status ar_bench_kernels(const ar_bench_kernels_options *o, const ar_common *common) {
    ar_device *device = NULL;
    results *all = ar__alloc(1, sizeof *all);
    ar_status status = all ? ar_program_device(&device, common, false) : AR_ERR_MEMORY;
    if (status == AR_OK) status = measure_all(all, device, o);
    if (status == AR_OK && common->json) status = print_json(all, device);
    if (status == AR_OK && !common->json) print_lines(all, device);
    free(all);
    ar_device_close(device);
    return status;
}
