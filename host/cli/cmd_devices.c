/* anyround devices: what was found, through which driver, its limits and the policy for it. */
#include "program.h"
#include "tuning_file.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEVICES 32

static const char *const kinds[] = {"other", "CPU", "integrated GPU", "discrete GPU"};

/* Says of each bucket of a kernel with tiles where they come from; with list as JSON. */
static void tell_tiles(cJSON *list, const ar_device_facts *f, const ar_plan *p, const ar_tuning_file *t) {
    ar_variant_choice choices[AR_MAX_FAMILIES];
    int32_t count = ar_plan_variants(choices, AR_MAX_FAMILIES, p, f);
    for (int32_t i = 0; i < count; i++)
        for (int32_t b = 0; ar_tile_bucket(b); b++) {
            const char *kernel = choices[i].variant, *bucket = ar_tile_bucket(b);
            char text[96];
            ar_tuning_match match;
            const ar_tuning_row *row = ar_tuning_source(&match, p, f, t->rows, t->count, kernel, bucket);
            if (!row) continue;
            ar_tuning_tiles_text(text, sizeof text, kernel, row->values);
            if (list) {
                cJSON *j = cJSON_CreateObject();
                ar_json_add_string(j, "kernel", kernel);
                ar_json_add_string(j, "bucket", bucket);
                ar_json_add_string(j, "tiles", text);
                ar_json_add_string(j, "from", row->why ? "built in" : "measured");
                ar_json_add_string(j, "match", ar_tuning_match_name(match));
                ar_json_push(list, j);
            } else
                printf("      tiles %s, %s rows: %s: %s (%s)\n", kernel, bucket, text,
                       row->why ? row->why : "as tune-kernels found", ar_tuning_match_name(match));
        }
}

static void print_has(const ar_device_facts *f) {
    const char *const texts[] = {f->has_f16_arith ? "fp16 arithmetic" : NULL,
                                 f->has_int_dot ? "integer dot" : NULL,
                                 f->has_subgroup_shuffle ? "subgroup shuffles" : NULL};
    const char *comma = "      has ";
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!texts[i]) continue;
        printf("%s%s", comma, texts[i]);
        comma = ", ";
    }
    if (comma[0] == ',') printf("\n");
}

static void print_text(const ar_device_facts *f, const ar_plan *p, ar_status usable,
                       const ar_tuning_file *t) {
    char memory[16], binding[16];
    printf("%s:%d  %s\n", f->api, (int)f->index, f->name);
    printf("      %s, %s, driver %s, version %s\n", kinds[f->kind], f->vendor, f->driver, f->version);
    printf("      memory %s%s, one binding %s, group %u items, shared %llu bytes, subgroup %u..%u\n",
           ar_program_bytes(memory, sizeof memory, f->memory_bytes), f->unified_memory ? " (unified)" : "",
           ar_program_bytes(binding, sizeof binding, f->max_binding_bytes), f->max_group_items,
           (unsigned long long)f->shared_bytes, f->subgroup_min, f->subgroup_max);
    if (usable != AR_OK) {
        printf("      not usable: %s\n", ar_error());
        return;
    }
    printf("      plan: vector width %u, group %u, GEMM tile %ux%u, %s, %s timing, submissions of %g ms\n",
           p->vw, p->wg, p->gemm_tm, p->gemm_tn * p->vw, p->staged ? "staged copies" : "direct access",
           p->timestamps ? "device" : "wall-clock", p->submit_ms);
    if (p->reasons[0]) printf("      %s\n", p->reasons);
    print_has(f);
    if (f->has_coopmat)
        printf("      has matrix hardware: fp16 products of %ux%ux%u, summed in f32\n", f->coop_m, f->coop_n,
               f->coop_k);
    if (f->coop_bf16[0])
        printf("      has matrix hardware of bf16: products of %ux%ux%u, summed in f32\n", f->coop_bf16[0],
               f->coop_bf16[1], f->coop_bf16[2]);
    ar_variant_choice choices[AR_MAX_FAMILIES];
    int32_t count = ar_plan_variants(choices, AR_MAX_FAMILIES, p, f);
    for (int32_t i = 0; i < count; i++)
        printf("      kernel %s=%s: %s\n", choices[i].family, choices[i].variant, choices[i].why);
    tell_tiles(NULL, f, p, t);
}

static void add_variants(cJSON *d, const ar_device_facts *f, const ar_plan *p) {
    ar_variant_choice choices[AR_MAX_FAMILIES];
    int32_t count = ar_plan_variants(choices, AR_MAX_FAMILIES, p, f);
    cJSON *list = ar_json_add_list(d, "variants");
    for (int32_t i = 0; i < count; i++) {
        cJSON *c = cJSON_CreateObject();
        ar_json_add_string(c, "kernel", choices[i].family);
        ar_json_add_string(c, "variant", choices[i].variant);
        ar_json_add_string(c, "why", choices[i].why);
        ar_json_push(list, c);
    }
}

static void add_json(cJSON *list, const ar_device_facts *f, const ar_plan *p, ar_status usable,
                     const ar_tuning_file *t) {
    cJSON *d = cJSON_CreateObject();
    char id[24];
    snprintf(id, sizeof id, "%s:%d", f->api, (int)f->index);
    ar_json_add_string(d, "device", id);
    ar_json_add_string(d, "name", f->name);
    ar_json_add_string(d, "vendor", f->vendor);
    ar_json_add_string(d, "driver", f->driver);
    ar_json_add_string(d, "version", f->version);
    ar_json_add_string(d, "kind", kinds[f->kind]);
    ar_json_add_number(d, "memory_bytes", (double)f->memory_bytes);
    ar_json_add_number(d, "max_binding_bytes", (double)f->max_binding_bytes);
    ar_json_add_bool(d, "usable", usable == AR_OK);
    if (usable == AR_OK) {
        ar_json_add_number(d, "vector_width", p->vw);
        ar_json_add_number(d, "submit_ms", p->submit_ms);
        ar_json_add_string(d, "reasons", p->reasons);
        ar_json_add_bool(d, "fp16_arithmetic", f->has_f16_arith);
        ar_json_add_bool(d, "fp16_storage", f->has_f16_storage);
        ar_json_add_bool(d, "integer_dot", f->has_int_dot);
        ar_json_add_bool(d, "subgroup_shuffles", f->has_subgroup_shuffle);
        ar_json_add_bool(d, "matrix_hardware", f->has_coopmat);
        ar_json_add_bool(d, "matrix_hardware_bf16", f->coop_bf16[0] > 0);
        add_variants(d, f, p);
        tell_tiles(ar_json_add_list(d, "tiles"), f, p, t);
    } else {
        ar_json_add_string(d, "reason", ar_error());
    }
    ar_json_push(list, d);
}

/* --device: auto, an api, or one of its devices. */
static bool is_asked(const ar_device_facts *f, const char *select) {
    char id[24];
    snprintf(id, sizeof id, "%s:%d", f->api, (int)f->index);
    return strcmp(select, "auto") == 0 || strcmp(select, f->api) == 0 || strcmp(select, id) == 0;
}

/* Those that are asked for come first; how many. Errors: as opening it says what is wrong with --device. */
static ar_status pick(ar_device_facts *facts, int32_t *count, const char *select) {
    int32_t kept = 0, found = *count;
    for (int32_t i = 0; i < found; i++)
        if (is_asked(&facts[i], select)) facts[kept++] = facts[i];
    *count = kept;
    if (kept > 0 || found == 0) return AR_OK;
    ar_device *device = NULL;
    ar_status status = ar_device_open(&device, &(ar_device_desc){.select = select});
    ar_device_close(device);
    return status;
}

static ar_status run(const ar_command *self, int argc, char **argv) {
    ar_common common;
    int positional;
    AR_TRY(ar_args_parse(self, &common, NULL, 0, argc, argv, &positional, 0, 0));
    if (common.help) return AR_OK;
    ar_tuning_file tuning;
    AR_TRY(ar_program_tuning(&tuning, &common));
    ar_device_facts *facts = ar__alloc(MAX_DEVICES, sizeof *facts);
    char notes[1024] = "";
    int32_t count = 0;
    ar_status status = facts ? AR_OK : AR_ERR_MEMORY;
    if (status == AR_OK) status = ar_device_list(facts, &count, MAX_DEVICES, notes, sizeof notes);
    if (count > MAX_DEVICES) count = MAX_DEVICES;
    if (status == AR_OK) status = pick(facts, &count, common.device);
    cJSON *list = common.json ? cJSON_CreateArray() : NULL;
    if (common.json && !list) status = ar__fail(AR_ERR_MEMORY, "no memory for a list");
    for (int32_t i = 0; status == AR_OK && i < count; i++) {
        ar_plan plan;
        ar_status usable = ar_plan_make_with(&plan, &facts[i], common.variants);
        if (usable == AR_OK) ar_plan_use_tuning(&plan, &facts[i], tuning.rows, tuning.count);
        if (common.submit_ms > 0) plan.submit_ms = common.submit_ms;
        if (list)
            add_json(list, &facts[i], &plan, usable, &tuning);
        else
            print_text(&facts[i], &plan, usable, &tuning);
    }
    if (list) {
        ar_status printed = ar_program_json(list, true);
        if (status == AR_OK) status = printed;
        cJSON_Delete(list);
    }
    free(facts);
    ar_tuning_free(&tuning);
    if (status == AR_OK && count == 0)
        return ar__fail(AR_ERR_NO_DEVICE, "no Vulkan or OpenCL device found (%s)", notes);
    if (notes[0] && !common.quiet && status == AR_OK) fprintf(stderr, "%s\n", notes);
    return status;
}

const ar_command ar__command_devices = {
    "devices", "list the devices found, their limits and the policy for them", "[options]", run};
