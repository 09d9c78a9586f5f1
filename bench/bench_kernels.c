/* Products with resident weights of every storage type, and the ops of training and generation, at the shapes
 * of models: each launch beside the roof that is measured in the same run. */
#include "bench_kernels.h"
#include <stdlib.h>
#include <string.h>

#define MIN_SECONDS 0.1 /* of one measurement, each way */
#define MAX_N       16
/* Products of few rows read their weights and little else: from memory, as in generation, only where those
 * before and behind them leave the caches. */
#define FEW_ROWS     4
#define MOST_WEIGHTS 64
#define CPU_CACHES   ((double)(64 << 20))  /* bytes of weights in all */
#define CARD_CACHES  ((double)(256 << 20)) /* 4 times an L2 of 64 MiB */

/* Whether name is one of a list's; a list that is NULL has them all. */
static bool is_wanted(const char *list, const char *name) {
    size_t bytes = strlen(name);
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, name, bytes) == 0 && (at[bytes] == ',' || at[bytes] == '\0')) return true;
    return !list;
}

typedef struct bench {
    const ar_bench_kernels_options *o;
    const ar_common *common;
    ar_device *device;
    ar_bench_results results;
    int64_t n[MAX_N];
    int32_t n_count;
    const ar_bench_shape *first; /* of those that are measured */
    bool is_silent;              /* rows are printed by somebody else, or by nobody */
} bench;

static ar_status add(bench *b, const ar_bench_row *row, ar_status status) {
    AR_TRY(ar_bench_add(&b->results, row, status));
    if (!b->is_silent) ar_bench_print_row(&b->results, &b->results.rows[b->results.count - 1]);
    fflush(stdout);
    return ar_program_interrupted() ? ar__fail(AR_ERR_INTERRUPTED, "bench: interrupted") : AR_OK;
}

/* ---- products ---- */

/* Weights of m rows: any finite numbers, 2f at most in every byte keeps fp16 far from its end. */
static ar_status make_weights(ar_resident_weight **w, ar_device *device, ar_qtype type, int64_t m,
                              int64_t k) {
    int64_t bytes = ar_qtype_row_bytes(type, k);
    if (bytes < 0)
        return ar__fail(AR_ERR_SHAPE, "rows of %lld are no whole blocks of %s", (long long)k,
                        ar_qtype_name(type));
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

/* Weights that are read one after the other, as generating a token reads a model's: more than caches hold. */
typedef struct distinct {
    ar_resident_weight *w[MOST_WEIGHTS];
    int32_t count;
} distinct;

static void drop_weights(distinct *d) {
    for (int32_t i = 0; i < d->count; i++) ar_resident_weight_destroy(d->w[i]);
    d->count = 0;
}

/* At least one; as many more as the memory holds. */
static ar_status make_distinct(distinct *d, const bench *b, ar_qtype type, int64_t m, int64_t k) {
    bool is_cpu = ar_device_get_facts(b->device)->kind == AR_DEVICE_CPU;
    double each = (double)m * (double)ar_qtype_row_bytes(type, k), all = b->o->distinct > 0 ? b->o->distinct
                                                                         : is_cpu           ? CPU_CACHES
                                                                                            : CARD_CACHES;
    d->count = 0;
    do {
        ar_status status = make_weights(&d->w[d->count], b->device, type, m, k);
        if (status == AR_ERR_DEVICE_MEMORY && d->count) break;
        AR_TRY(status);
        d->count++;
    } while (d->count < MOST_WEIGHTS && each * d->count < all);
    return AR_OK;
}

/* Of one product of several. */
static void divide(ar_bench_timing *t, int32_t count) {
    t->seconds /= count;
    t->wall_seconds /= count;
    t->cpu_seconds /= count;
    t->flops /= count;
    t->bytes /= count;
    for (int32_t i = 0; i < t->part_count; i++) {
        ar_bench_part *p = &t->parts[i];
        p->launches /= count;
        p->seconds /= count;
        p->flops /= count;
        p->bytes /= count;
    }
}

static ar_status time_product(bench *b, ar_bench_row *row, const distinct *d) {
    ar_status status = AR_OK;
    ar_bench_case c = {.device = b->device, .n = row->n, .row = row};
    ar_tensor *x = NULL, *y = NULL;
    ar_graph *g = NULL;
    int32_t count = row->n <= FEW_ROWS ? d->count : 1;
    AR_GO(ar_bench_numbers(&c, &x, row->n, row->k));
    AR_GO(ar_graph_create(&g, b->device));
    for (int32_t i = 0; i < count; i++) AR_GO(ar_op_linear_resident(g, &y, x, d->w[i], NULL));
    AR_GO(ar_graph_build(g));
    AR_GO(ar_bench_time(&row->time, b->device, g, MIN_SECONDS));
    divide(&row->time, count);
done:
    ar_graph_destroy(g);
    ar_bench_case_end(&c);
    return status;
}

static ar_status products_of(bench *b, const char *shape, int64_t m, int64_t k) {
    for (int32_t type = 0; type < AR_QT_COUNT; type++) {
        const char *name = ar_qtype_name((ar_qtype)type);
        if (type == AR_QT_GROUP || !is_wanted(b->o->types, name)) continue;
        distinct d = {.count = 0};
        ar_status status = make_distinct(&d, b, (ar_qtype)type, m, k), ended = AR_OK;
        for (int32_t i = 0; i < b->n_count && ended == AR_OK; i++) {
            ar_bench_row row = {.op = "product", .m = m, .n = b->n[i], .k = k};
            snprintf(row.dtype, sizeof row.dtype, "%s", name);
            snprintf(row.shape, sizeof row.shape, "%s", shape);
            ended = add(b, &row, status == AR_OK ? time_product(b, &row, &d) : status);
            if (status != AR_OK) break; /* of no n */
        }
        drop_weights(&d);
        AR_TRY(ended);
    }
    return AR_OK;
}

/* ---- ops ---- */

static ar_status time_op(bench *b, const ar_bench_op *op, ar_bench_case *c) {
    ar_graph *g = NULL;
    ar_status status = ar_graph_create(&g, b->device);
    if (status == AR_OK) status = op->record(c, g);
    if (status == AR_OK) status = ar_graph_build(g);
    if (status == AR_OK) status = ar_bench_time(&c->row->time, b->device, g, MIN_SECONDS);
    ar_graph_destroy(g);
    ar_bench_case_end(c);
    return status;
}

static ar_status ops_of(bench *b, const ar_bench_shape *shape) {
    for (int32_t i = 0; i < ar_bench_op_count; i++) {
        const ar_bench_op *op = &ar_bench_ops[i];
        if (ar_bench_is_peak(op->name) && shape != b->first) continue; /* of the device, not of a shape */
        for (int32_t j = 0; is_wanted(b->o->ops, op->name) && j < (op->per_n ? b->n_count : 1); j++) {
            ar_bench_row row = {.n = op->per_n ? b->n[j] : 0};
            ar_bench_case c = {.device = b->device, .shape = shape, .n = row.n, .row = &row};
            snprintf(row.op, sizeof row.op, "%s", op->name);
            snprintf(row.shape, sizeof row.shape, "%s", shape->name);
            ar_status status = time_op(b, op, &c);
            AR_TRY(add(b, &row, status));
        }
    }
    return AR_OK;
}

static ar_status measure(bench *b) {
    bool is_cpu = ar_device_get_facts(b->device)->kind == AR_DEVICE_CPU;
    const char *wanted = b->o->shapes ? b->o->shapes : is_cpu ? "0.5b" : "1b";
    AR_TRY(ar_bench_measure_peaks(&b->results.peaks, b->device, 2 * MIN_SECONDS));
    if (!b->is_silent) ar_bench_print_peaks(&b->results);
    if (b->o->size) {
        char name[24];
        snprintf(name, sizeof name, "%dx%d", (int)b->o->size, (int)b->o->size);
        return products_of(b, name, b->o->size, b->o->size);
    }
    for (int32_t i = 0; ar_bench_shape_at(i); i++) {
        const ar_bench_shape *shape = ar_bench_shape_at(i);
        if (!is_wanted(wanted, shape->name)) continue;
        if (!b->first) b->first = shape;
        if (is_wanted(b->o->ops, "product"))
            AR_TRY(products_of(b, shape->name, shape->intermediate, shape->hidden));
        AR_TRY(ops_of(b, shape));
    }
    return AR_OK;
}

/* ---- options ---- */

static const char *nth_type(int32_t i) {
    return i < AR_QT_COUNT && i != AR_QT_GROUP ? ar_qtype_name((ar_qtype)i) : i < AR_QT_COUNT ? "" : NULL;
}
static const char *nth_shape(int32_t i) {
    const ar_bench_shape *shape = ar_bench_shape_at(i);
    return shape ? shape->name : NULL;
}
static const char *nth_op(int32_t i) {
    return i == 0 ? "product" : i <= ar_bench_op_count ? ar_bench_ops[i - 1].name : NULL;
}

/* Every name of list must be one of nth's. */
static ar_status check_names(const char *option, const char *list, const char *(*nth)(int32_t)) {
    char known[512] = "";
    for (int32_t i = 0; nth(i); i++)
        if (*nth(i))
            snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", *known ? "," : "", nth(i));
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        int length = (int)strcspn(at, ",");
        bool is_known = false;
        for (int32_t i = 0; nth(i); i++)
            is_known |= (int)strlen(nth(i)) == length && length && strncmp(nth(i), at, (size_t)length) == 0;
        if (!is_known)
            return ar__fail(AR_ERR_USAGE, "%s: found \"%.*s\", expected some of %s", option, length, at,
                            known);
    }
    return AR_OK;
}

static ar_status read_n(bench *b, const char *list) {
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        char *end;
        long n = strtol(at, &end, 10);
        if (n < 1 || n > 65536 || (*end != ',' && *end) || b->n_count == MAX_N)
            return ar__fail(AR_ERR_USAGE, "--n %s: expected at most %d numbers from 1 to 65536, as 1,512",
                            list, MAX_N);
        b->n[b->n_count++] = n;
    }
    return AR_OK;
}

static ar_status output(const bench *b) {
    const ar_bench_results *r = &b->results;
    if (b->o->compare) {
        ar_bench_results before;
        AR_TRY(ar_bench_read(&before, b->o->compare));
        ar_bench_compare(r, &before);
        ar_bench_results_free(&before);
    } else if (b->common->json)
        AR_TRY(ar_bench_print_json(r));
    else if (b->o->csv)
        ar_bench_print_csv(r);
    else if (b->o->md)
        ar_bench_print_md(r);
    return b->o->report ? ar_bench_page(r, 1, b->o->report) : AR_OK;
}

ar_status ar_bench_kernels(const ar_bench_kernels_options *o, const ar_common *common) {
    bench b = {.o = o, .common = common};
    b.is_silent = common->json || o->csv || o->md || o->compare;
    ar_status status = AR_OK;
    AR_GO(check_names("--types", o->types, nth_type));
    AR_GO(check_names("--shapes", o->shapes, nth_shape));
    AR_GO(check_names("--ops", o->ops, nth_op));
    AR_GO(read_n(&b, o->n ? o->n : "1,4,32,512"));
    if (o->compare) { /* before anything is measured in vain */
        ar_bench_results before;
        AR_GO(ar_bench_read(&before, o->compare));
        ar_bench_results_free(&before);
    }
    AR_GO(ar_program_device(&b.device, common, false));
    ar_bench_results_init(&b.results, b.device);
    AR_GO(measure(&b));
    AR_GO(output(&b));
done:
    ar_bench_results_free(&b.results);
    ar_device_close(b.device);
    return status;
}

ar_status ar_bench_measure(ar_bench_results *r, ar_device *device, const ar_bench_kernels_options *o,
                           const ar_bench_shape *shape, const ar_bench_product *products, int32_t count) {
    bench b = {.o = o, .device = device, .results = *r, .is_silent = true};
    ar_status status = read_n(&b, o->n);
    for (int32_t i = 0; status == AR_OK && i < count; i++)
        status = products_of(&b, shape->name, products[i].m, products[i].k);
    if (status == AR_OK) status = ops_of(&b, shape);
    *r = b.results;
    return status;
}

ar_status ar_bench_pages(const char *report, char **paths, int32_t count) {
    ar_bench_results *all = calloc((size_t)count, sizeof *all);
    ar_status status = all ? AR_OK : AR_ERR_MEMORY;
    for (int32_t i = 0; status == AR_OK && i < count; i++) status = ar_bench_read(&all[i], paths[i]);
    if (status == AR_OK) status = ar_bench_page(all, count, report);
    for (int32_t i = 0; all && i < count; i++) ar_bench_results_free(&all[i]);
    free(all);
    return status;
}
