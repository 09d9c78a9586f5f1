/* OpenCL: kernels from their text, built by the driver for the given specialization values, with the binaries
 * kept in cache files. PoCL compiles a kernel for the group that it is launched with when it first is, and
 * once more for any group when it is asked for binaries: as much again, which there waits for the end. */
#include "driver_cl.h"
#include "cache.h"
#include "variant.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_BYTES sizeof(((ar__pipeline *)0)->options)
#define VERSION_BYTES 800
#define LOG_BYTES     600 /* of the compiler's log, in the error text */

/* The size that a text of subgroups wants them to have: a constant of that name or, without, a group is one.
 */
static uint32_t subgroup_of(const ar__kernel *k, const uint32_t *specs) {
    for (int32_t i = 0; i < k->spec_count; i++)
        if (strcmp(k->spec_names[i], "SUBGROUP") == 0 || strcmp(k->spec_names[i], "LANES") == 0)
            return specs[i];
    return specs[0];
}

/* Subgroups and Khronos' products of bytes are functions of OpenCL C 3.0, for the texts alone that ask for
 * them. */
static void make_options(char *options, const ar__drv *drv, const ar__kernel *kernel, const uint32_t *specs) {
    const ar_device_facts *f = &drv->facts;
    uint32_t needs = ar__kernel_needs(kernel->name);
    bool shuffles = needs & AR_NEED_SHUFFLE && f->has_subgroup_shuffle;
    bool has_matrix = needs & AR_NEED_COOPMAT && f->has_coopmat;
    bool multiplies = needs & AR_NEED_INT_DOT && f->has_int_dot;
    bool is_new = shuffles || has_matrix || (multiplies && !f->has_qcom_dot);
    const char *dot = !multiplies ? "" : f->has_qcom_dot ? " -DAR_QCOM_DOT" : " -DAR_INT_DOT";
    size_t used =
        (size_t)snprintf(options, OPTIONS_BYTES, "-cl-std=%s -DVW=%u%s%s%s%s%s", is_new ? "CL3.0" : "CL1.2",
                         drv->plan.vw, f->division_is_exact ? " -cl-fp32-correctly-rounded-divide-sqrt" : "",
                         f->has_vnni ? " -DAR_VNNI" : "", dot, shuffles ? " -DAR_SHUFFLE" : "",
                         has_matrix ? " -DAR_INTEL_MATRIX" : "");
    if ((shuffles || has_matrix) && f->has_subgroup_control)
        used += (size_t)snprintf(options + used, OPTIONS_BYTES - used,
                                 " -DAR_SUBGROUP=%uu -DAR_SUBGROUP_MOST=%uu", subgroup_of(kernel, specs),
                                 f->subgroup_max);
    for (int32_t i = 0; i < kernel->spec_count && used < OPTIONS_BYTES; i++)
        used += (size_t)snprintf(options + used, OPTIONS_BYTES - used, " -D%s=%uu", kernel->spec_names[i],
                                 specs[i]);
}

static ar__cache_id make_id(const ar__drv *drv, const ar__kernel *kernel, const char *options, char *version,
                            size_t bytes) {
    snprintf(version, bytes, "%s | %s | %s", drv->facts.version, drv->device_version, drv->platform_version);
    return (ar__cache_id){.device = drv->facts.name,
                          .driver = drv->facts.driver,
                          .version = version,
                          .options = options,
                          .source_hash =
                              ar__hash(AR__HASH_START, kernel->cl_source, strlen(kernel->cl_source))};
}

/* A built program from the cache, or NULL: a binary the driver refuses is a miss like any other. */
static cl_program from_cache(ar__drv *drv, const ar__cache_id *id, const char *options) {
    const cl_table *cl = &drv->cl;
    void *data;
    size_t bytes;
    if (!ar__cache_load(drv->cache_dir, "cl", ar__cache_key(id), id, &data, &bytes)) return NULL;
    const unsigned char *binary = data;
    cl_int code = CL_SUCCESS, binary_code = CL_SUCCESS;
    cl_program program =
        cl->CreateProgramWithBinary(drv->context, 1, &drv->device, &bytes, &binary, &binary_code, &code);
    free(data);
    if (code == CL_SUCCESS && binary_code == CL_SUCCESS &&
        cl->BuildProgram(program, 1, &drv->device, options, NULL, NULL) == CL_SUCCESS)
        return program;
    if (program) cl->ReleaseProgram(program);
    return NULL;
}

static void to_cache(ar__drv *drv, cl_program program, const ar__cache_id *id) {
    size_t bytes = 0;
    if (!drv->cache_dir) return;
    if (drv->cl.GetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof bytes, &bytes, NULL) != CL_SUCCESS ||
        bytes == 0)
        return;
    unsigned char *binary = malloc(bytes);
    if (!binary) return;
    if (drv->cl.GetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) == CL_SUCCESS)
        ar__cache_store(drv->cache_dir, "cl", ar__cache_key(id), id, binary, bytes);
    free(binary);
}

static ar_status build_failed(ar__drv *drv, cl_program program, const ar__kernel *kernel, cl_int code) {
    char *log = NULL;
    size_t bytes = 0;
    const cl_table *cl = &drv->cl;
    if (cl->GetProgramBuildInfo(program, drv->device, CL_PROGRAM_BUILD_LOG, 0, NULL, &bytes) == CL_SUCCESS &&
        bytes)
        log = calloc(bytes + 1, 1);
    if (log &&
        cl->GetProgramBuildInfo(program, drv->device, CL_PROGRAM_BUILD_LOG, bytes, log, NULL) != CL_SUCCESS)
        log[0] = '\0';
    for (char *p = log; p && *p; p++)
        if (*p == '\n' || *p == '\r') *p = ' '; /* error texts are one line */
    bool is_pocl = strstr(drv->facts.driver, AR_POCL) && !(log && strstr(log, "error:"));
    ar_status status = ar__fail(AR_ERR_DEVICE, "cl: kernel %s does not build (OpenCL error %d, %s): %.*s%s",
                                kernel->name, (int)code, ar__cl_error_name(code), LOG_BYTES,
                                log && log[0] ? log : "no build log", is_pocl ? "; " AR_POCL_CACHE : "");
    free(log);
    return status;
}

static ar_status from_source(ar__drv *drv, cl_program *program, const ar__kernel *kernel,
                             const char *options) {
    cl_int code;
    cl_program p = drv->cl.CreateProgramWithSource(drv->context, 1,
                                                   (const char **)(uintptr_t)&kernel->cl_source, NULL, &code);
    if (code != CL_SUCCESS) return ar__cl_fail(code, "clCreateProgramWithSource");
    code = drv->cl.BuildProgram(p, 1, &drv->device, options, NULL, NULL);
    if (code != CL_SUCCESS) {
        ar_status status = build_failed(drv, p, kernel, code);
        drv->cl.ReleaseProgram(p);
        return status;
    }
    *program = p;
    return AR_OK;
}

ar_status ar__cl_pipeline_create(ar__drv *drv, ar__pipeline **pipeline, const ar__kernel *kernel,
                                 const uint32_t *specs) {
    char version[VERSION_BYTES];
    ar_status status = AR_OK;
    ar__pipeline *p = ar__alloc(1, sizeof *p);
    if (!p) return AR_ERR_MEMORY;
    p->kernel = kernel;
    for (int32_t i = 0; i < 3; i++) p->group[i] = i < 2 && i < kernel->spec_count ? specs[i] : 1;
    uint64_t items = (uint64_t)p->group[0] * p->group[1];
    if (items == 0 || items > drv->facts.max_group_items) {
        status = ar__fail(AR_ERR_UNSUPPORTED,
                          "cl: kernel %s wants %llu items per group, the device allows 1 to %u", kernel->name,
                          (unsigned long long)items, drv->facts.max_group_items);
        goto done;
    }
    make_options(p->options, drv, kernel, specs);
    ar__cache_id id = make_id(drv, kernel, p->options, version, sizeof version);
    p->program = from_cache(drv, &id, p->options);
    if (!p->program) {
        AR_GO(from_source(drv, &p->program, kernel, p->options));
        p->store_at_end = strstr(drv->facts.driver, AR_POCL) != NULL;
        if (!p->store_at_end) to_cache(drv, p->program, &id);
    }
    *pipeline = p;
    return AR_OK;
done:
    free(p);
    return status;
}

void ar__cl_pipeline_destroy(ar__drv *drv, ar__pipeline *pipeline) {
    if (!pipeline) return;
    if (pipeline->store_at_end) {
        char version[VERSION_BYTES];
        ar__cache_id id = make_id(drv, pipeline->kernel, pipeline->options, version, sizeof version);
        to_cache(drv, pipeline->program, &id);
    }
    drv->cl.ReleaseProgram(pipeline->program);
    free(pipeline);
}
