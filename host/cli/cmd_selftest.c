/* anyround selftest: every kernel variant on this device against scalar references. */
#include "program.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

typedef struct tally {
    const ar_common *common;
    int64_t passed, failed;
    cJSON *rows;
} tally;

static void report(void *ctx, const ar_selftest_result *r) {
    tally *t = ctx;
    if (r->passed)
        t->passed++;
    else
        t->failed++;
    if (t->rows) {
        cJSON *row = cJSON_CreateObject();
        ar_json_add_string(row, "kernel", r->kernel);
        ar_json_add_string(row, "test", r->test);
        ar_json_add_number(row, "error", r->error);
        ar_json_add_number(row, "bound", r->bound);
        ar_json_add_bool(row, "passed", r->passed);
        ar_json_push(t->rows, row);
    } else if (!r->passed || t->common->verbose) {
        printf("%-4s %-18s %-40s error %.3g, bound %.3g %s\n", r->passed ? "ok" : "FAIL", r->kernel, r->test,
               r->error, r->bound, r->detail);
    }
}

/* What there is to run and this device cannot. */
static void report_skipped(const tally *t, const ar_device *device, const char *filter) {
    ar_variant_choice lacking[64];
    int32_t count = ar_device_lacks(lacking, 64, device);
    for (int32_t i = 0; i < count && i < 64; i++) {
        const ar_variant_choice *v = &lacking[i];
        if (filter && !strstr(v->variant, filter)) continue;
        if (t->rows) {
            cJSON *row = cJSON_CreateObject();
            ar_json_add_string(row, "kernel", v->variant);
            ar_json_add_string(row, "variant_of", v->family);
            ar_json_add_string(row, "skipped", v->why);
            ar_json_push(t->rows, row);
        } else {
            printf("skip %-18s a variant of %s: %s\n", v->variant, v->family, v->why);
        }
    }
}

static ar_status run(const ar_command *self, int argc, char **argv) {
    ar_common common;
    int64_t repeat = 1;
    const char *kernel = NULL;
    const ar_option options[] = {
        {"--repeat", AR_OPT_INT, &repeat, "N", "run every case N times (1)", 1, 1000000, NULL},
        {"--kernel", AR_OPT_STRING, &kernel, "NAME", "only kernels whose name contains NAME", 0, 0, NULL},
    };
    int positional;
    AR_TRY(ar_args_parse(self, &common, options, 2, argc, argv, &positional, 0, 0));
    if (common.help) return AR_OK;
    ar_program_release_signals(); /* nothing is kept that an end at once could harm */
    ar_device *device = NULL;
    AR_TRY(ar_program_device(&device, &common, false));
    tally t = {.common = &common, .rows = common.json ? cJSON_CreateArray() : NULL};
    ar_status status = common.json && !t.rows ? ar__fail(AR_ERR_MEMORY, "no memory for a list") : AR_OK;
    if (status == AR_OK)
        status = ar_selftest(device, kernel, (int32_t)repeat, (uint64_t)common.seed, report, &t);
    if (status != AR_ERR_USAGE) report_skipped(&t, device, kernel);
    if (t.rows) {
        ar_status printed = ar_program_json(t.rows, true);
        if (status == AR_OK) status = printed;
        cJSON_Delete(t.rows);
    } else if (status != AR_ERR_USAGE) {
        printf("%lld passed, %lld failed\n", (long long)t.passed, (long long)t.failed);
    }
    ar_device_close(device);
    return status == AR_ERR_USAGE ? ar_program_blame(status, "--kernel") : status;
}

const ar_command ar__command_selftest = {
    "selftest", "run every kernel against a scalar reference on this device", "[options]", run};
