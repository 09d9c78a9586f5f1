/* anyround tune-kernels: the tiles that are fastest on a device, kept in a file that plans look into. */
#include "output.h"
#include "tune_kernels.h"
#include "tuning_file.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

typedef struct tuning_options {
    ar_common common;
    int64_t budget;
} tuning_options;

/* Of --tuning, or by default; free(). */
static ar_status file_path(char **path, const ar_common *common) {
    bool by_default = !common->tuning && !common->no_cache;
    *path = common->tuning ? strdup(common->tuning) : by_default ? ar_tuning_default_path() : NULL;
    if (!*path && common->no_cache && !common->tuning)
        return ar__fail(AR_ERR_USAGE, "tune-kernels: with --no-cache expected --tuning FILE");
    if (!*path)
        return ar__fail(AR_ERR_USAGE, "tune-kernels: there is no cache folder, expected --tuning FILE");
    return AR_OK;
}

/* What the file has; nothing where there is none. */
static ar_status read_if_there(ar_tuning_file *t, const char *path) {
    *t = (ar_tuning_file){0};
    return ar_path_exists(path) ? ar_tuning_read(t, path) : AR_OK;
}

/* ---- measuring ---- */

static void say_try(const ar_tuned_kernel *r, const uint32_t *values, const char *verdict) {
    char text[96];
    ar_tuning_tiles_text(text, sizeof text, r->kernel, values);
    fprintf(stderr, "%s, %s rows: %s: %s\n", r->kernel, r->bucket, text, verdict);
}

static void say_wrong(const ar_tuned_kernel *r, const uint32_t *values, const char *verdict) {
    if (strcmp(verdict, "WRONG") == 0) say_try(r, values, verdict);
}

static void print_tuned(const ar_tuned_kernel *r) {
    char before[96], best[96];
    ar_tuning_tiles_text(before, sizeof before, r->kernel, r->before);
    ar_tuning_tiles_text(best, sizeof best, r->kernel, r->best);
    printf("%-10s %-4s %d tried, %d wrong, %d ended early; %s: %.3f ms; %s: %.3f ms, %.2f times as fast\n",
           r->kernel, r->bucket, (int)r->tried, (int)r->wrong, (int)r->slow, before, r->before_s * 1e3, best,
           r->best_s * 1e3, r->before_s / r->best_s);
}

static void add_json(cJSON *list, const ar_tuned_kernel *r) {
    cJSON *j = cJSON_CreateObject(), *before, *best;
    ar_json_add_string(j, "kernel", r->kernel);
    ar_json_add_string(j, "bucket", r->bucket);
    ar_json_add_number(j, "tried", r->tried);
    ar_json_add_number(j, "wrong", r->wrong);
    ar_json_add_number(j, "slow", r->slow);
    ar_json_add_number(j, "before_s", r->before_s);
    ar_json_add_number(j, "best_s", r->best_s);
    before = ar_json_add_object(j, "before");
    best = ar_json_add_object(j, "best");
    for (int32_t i = 0; ar_tile_name(r->kernel, i); i++) {
        ar_json_add_number(before, ar_tile_name(r->kernel, i), r->before[i]);
        ar_json_add_number(best, ar_tile_name(r->kernel, i), r->best[i]);
    }
    ar_json_push(list, j);
}

static ar_status facts_of(ar_device_facts *facts, const ar_common *common) {
    ar_device *device = NULL;
    AR_TRY(
        ar_device_open(&device, &(ar_device_desc){.select = common->device, .variants = common->variants}));
    *facts = *ar_device_get_facts(device);
    ar_device_close(device);
    return AR_OK;
}

/* Puts what was found into the file, to which another device's run may have added meanwhile; of a bucket
 * only what is faster than the tiles for all shapes. */
static ar_status keep(const ar_tuned_kernel *r, const ar_device_facts *facts, const char *path) {
    ar_tuning_row row;
    ar_tuning_file t;
    bool is_any = strcmp(r->bucket, AR_TUNING_ANY) == 0;
    if (!is_any && memcmp(r->before, r->best, sizeof r->best) == 0) return AR_OK;
    ar_tuning_key(&row, facts, r->kernel, r->bucket);
    memcpy(row.values, r->best, sizeof row.values);
    row.gain = r->before_s / r->best_s;
    AR_TRY(read_if_there(&t, path));
    ar_status status = ar_tuning_add(&t, &row);
    if (status == AR_OK) status = ar_tuning_write(&t, path);
    ar_tuning_free(&t);
    return status;
}

/* Whether rows can be added, before minutes are spent on them. */
static ar_status check_place(const char *path) {
    ar_tuning_file t;
    AR_TRY(ar__output_check_file("--tuning", path, NULL));
    AR_TRY(read_if_there(&t, path));
    ar_tuning_free(&t);
    return AR_OK;
}

static ar_status measure(const tuning_options *o, const char *path) {
    static const char *const families[] = {"gemm", "gemv"};
    const int32_t count = (int32_t)(sizeof families / sizeof *families);
    const ar_common *common = &o->common;
    ar_device_facts facts;
    ar_status status = AR_OK;
    cJSON *root = cJSON_CreateObject(), *list = ar_json_add_list(root, "kernels");
    double began = ar__now_s();
    AR_GO(check_place(path));
    AR_GO(facts_of(&facts, common));
    for (int32_t i = 0; i < count; i++) {
        ar_tuned_kernel r[AR_TILE_BUCKETS + 1];
        int32_t found = 0;
        double from = ar__now_s(), until = began + (double)o->budget * (i + 1) / count; /* an equal share */
        AR_GO(ar_tune_kernel(r, &found, families[i], common, from, until,
                             common->verbose ? say_try
                             : common->quiet ? NULL
                                             : say_wrong));
        for (int32_t k = 0; k < found; k++) {
            AR_GO(keep(&r[k], &facts, path));
            if (common->json)
                add_json(list, &r[k]);
            else
                print_tuned(&r[k]);
        }
        fflush(stdout);
    }
    ar_json_add_string(root, "device", facts.name);
    ar_json_add_string(root, "api", facts.api);
    ar_json_add_number(root, "seconds", ar__now_s() - began);
    if (common->json) status = ar_program_json(root, true);
done:
    cJSON_Delete(root);
    return status;
}

/* ---- the file ---- */

static bool is_of_this_build(const ar_tuning_row *row) {
    return row->kernel_hash == ar_kernel_hash(row->kernel);
}

static ar_status show(const tuning_options *o, const char *path) {
    ar_tuning_file t;
    AR_TRY(ar_tuning_read(&t, path));
    for (int32_t i = 0; i < t.count; i++) {
        const ar_tuning_row *row = &t.rows[i];
        char text[96];
        ar_tuning_tiles_text(text, sizeof text, row->kernel, row->values);
        printf("%s %s (%s) %s %s: %s; %.2f times as fast%s\n", row->api, row->device, row->driver,
               row->kernel, row->bucket, text, row->gain,
               is_of_this_build(row) ? "" : "; of another kernel text, not used");
    }
    if (!t.count && !o->common.quiet) fprintf(stderr, "note: %s has no rows\n", path);
    ar_tuning_free(&t);
    return AR_OK;
}

/* Later files' rows count. */
static ar_status merge(const char *path, char **files, int count) {
    ar_tuning_file t;
    ar_status status = read_if_there(&t, path);
    for (int i = 0; status == AR_OK && i < count; i++) {
        ar_tuning_file more;
        status = ar_tuning_read(&more, files[i]);
        if (status != AR_OK) break;
        for (int32_t k = 0; status == AR_OK && k < more.count; k++) status = ar_tuning_add(&t, &more.rows[k]);
        ar_tuning_free(&more);
    }
    if (status == AR_OK) status = ar_tuning_write(&t, path);
    ar_tuning_free(&t);
    return status;
}

/* Drops the rows of kernels that this build has otherwise. */
static ar_status prune(const char *path) {
    ar_tuning_file t;
    int32_t kept = 0;
    AR_TRY(ar_tuning_read(&t, path));
    for (int32_t i = 0; i < t.count; i++)
        if (is_of_this_build(&t.rows[i])) t.rows[kept++] = t.rows[i];
    printf("%d of %d rows kept\n", (int)kept, (int)t.count);
    t.count = kept;
    ar_status status = ar_tuning_write(&t, path);
    ar_tuning_free(&t);
    return status;
}

/* The rows of this build as backend/core/tiles.def has them, on stdout, to be sent in. */
static ar_status export(const char *path) {
    ar_tuning_file t;
    AR_TRY(ar_tuning_read(&t, path));
    for (int32_t i = 0; i < t.count; i++) {
        char row[800];
        if (!is_of_this_build(&t.rows[i])) continue;
        ar_tuning_def_row(row, sizeof row, &t.rows[i]);
        puts(row);
    }
    ar_tuning_free(&t);
    return ar_program_flush();
}

static ar_status run(const ar_command *self, int argc, char **argv) {
    tuning_options o = {0};
    int positional;
    char *path = NULL;
    ar_status status;
    const ar_option options[] = {
        {"--budget", AR_OPT_INT, &o.budget, "SECONDS", "begin no candidate after so long (60)", 1, 86400,
         NULL},
    };
    AR_TRY(ar_args_parse(self, &o.common, options, 1, argc, argv, &positional, 0, 64));
    if (o.common.help) return AR_OK;
    const char *verb = positional ? argv[1] : "";
    bool is_merge = strcmp(verb, "merge") == 0;
    if (positional > 1 && !is_merge)
        return ar__fail(AR_ERR_USAGE, "tune-kernels %s: found %s, expected --tuning with the file", verb,
                        argv[2]);
    if (positional && o.budget)
        return ar__fail(AR_ERR_USAGE, "tune-kernels %s: --budget has no effect, nothing is timed", verb);
    if (positional && o.common.json)
        return ar__fail(AR_ERR_USAGE,
                        "tune-kernels %s: --json has no effect, it is lines of JSON that it reads", verb);
    if (o.budget == 0) o.budget = 60;
    if (is_merge && positional < 2) return ar__fail(AR_ERR_USAGE, "tune-kernels merge: expected files");
    AR_TRY(file_path(&path, &o.common));
    if (!positional)
        status = measure(&o, path);
    else if (is_merge)
        status = merge(path, argv + 2, positional - 1);
    else if (strcmp(verb, "show") == 0)
        status = show(&o, path);
    else if (strcmp(verb, "prune") == 0)
        status = prune(path);
    else if (strcmp(verb, "export") == 0)
        status = export(path);
    else
        status =
            ar__fail(AR_ERR_USAGE, "tune-kernels: found %s, expected show, merge, prune or export", verb);
    free(path);
    return status;
}

const ar_command ar__command_tune_kernels = {
    "tune-kernels", "find the fastest tile parameters for this device, and keep them",
    "[--budget SECONDS] [--tuning FILE]\n       anyround tune-kernels show | prune | export [--tuning FILE]\n"
    "       anyround tune-kernels merge FILE... [--tuning FILE]",
    run};
