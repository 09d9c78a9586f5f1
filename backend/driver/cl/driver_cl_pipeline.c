/* OpenCL: pipelines, which are kernels built for the given specialization values, alone (driver_cl_program.c)
 * or together (driver_cl_set.c), with the binaries kept in cache files. PoCL compiles a kernel for the group
 * that it is launched with when it first is, and once more for any group when it is asked for binaries: as
 * much again, which there waits for the end. */
#include "driver_cl.h"
#include "variant.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_BYTES sizeof(((ar__pipeline *)0)->options)

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
static void make_options(ar__pipeline *p, const ar__drv *drv) {
    const ar_device_facts *f = &drv->facts;
    const ar__kernel *kernel = p->kernel;
    uint32_t needs = ar__kernel_needs(kernel->name);
    bool shuffles = needs & AR_NEED_SHUFFLE && f->has_subgroup_shuffle;
    bool has_matrix = needs & AR_NEED_COOPMAT && f->has_coopmat;
    bool multiplies = needs & AR_NEED_INT_DOT && f->has_int_dot;
    bool is_new = shuffles || has_matrix || (multiplies && !f->has_qcom_dot);
    const char *dot = !multiplies ? "" : f->has_qcom_dot ? " -DAR_QCOM_DOT" : " -DAR_INT_DOT";
    size_t base =
        (size_t)snprintf(p->base, sizeof p->base, "-cl-std=%s -DVW=%u%s%s%s%s%s", is_new ? "CL3.0" : "CL1.2",
                         drv->plan.vw, f->division_is_exact ? " -cl-fp32-correctly-rounded-divide-sqrt" : "",
                         f->has_vnni ? " -DAR_VNNI" : "", dot, shuffles ? " -DAR_SHUFFLE" : "",
                         has_matrix ? " -DAR_INTEL_MATRIX" : "");
    if ((shuffles || has_matrix) && f->has_subgroup_control)
        snprintf(p->base + base, sizeof p->base - base, " -DAR_SUBGROUP=%uu -DAR_SUBGROUP_MOST=%uu",
                 subgroup_of(kernel, p->specs), f->subgroup_max);
    size_t used = (size_t)snprintf(p->options, OPTIONS_BYTES, "%s", p->base);
    for (int32_t i = 0; i < kernel->spec_count && used < OPTIONS_BYTES; i++)
        used += (size_t)snprintf(p->options + used, OPTIONS_BYTES - used, " -D%s=%uu", kernel->spec_names[i],
                                 p->specs[i]);
}

static bool is_pocl(const ar__drv *drv) { return strstr(drv->facts.driver, AR_POCL) != NULL; }

/* A pipeline without a program. */
static ar_status start(ar__drv *drv, ar__pipeline **pipeline, const ar__kernel *kernel,
                       const uint32_t *specs) {
    ar__pipeline *p = ar__alloc(1, sizeof *p);
    if (!p) return AR_ERR_MEMORY;
    p->kernel = kernel;
    memcpy(p->specs, specs, (size_t)kernel->spec_count * sizeof *specs);
    for (int32_t i = 0; i < 3; i++) p->group[i] = i < 2 && i < kernel->spec_count ? specs[i] : 1;
    uint64_t items = (uint64_t)p->group[0] * p->group[1];
    if (items == 0 || items > drv->facts.max_group_items) {
        free(p);
        return ar__fail(AR_ERR_UNSUPPORTED,
                        "cl: kernel %s wants %llu items per group, the device allows 1 to %u", kernel->name,
                        (unsigned long long)items, drv->facts.max_group_items);
    }
    snprintf(p->entry, sizeof p->entry, "%s", kernel->name);
    make_options(p, drv);
    *pipeline = p;
    return AR_OK;
}

static void recall(ar__drv *drv, ar__pipeline *p) {
    char version[AR_CL_VERSION_BYTES];
    ar__cache_id id = ar__cl_cache_id(drv, p->kernel, p->options, version);
    p->program = ar__cl_program_cached(drv, "cl", &id, p->options);
    if (!p->program) ar__cl_set_find(drv, p, &id);
}

static void keep(ar__drv *drv, const ar__pipeline *p) {
    char version[AR_CL_VERSION_BYTES];
    ar__cache_id id = ar__cl_cache_id(drv, p->kernel, p->options, version);
    ar__cl_program_keep(drv, "cl", p->program, &id);
}

static ar_status build_alone(ar__drv *drv, ar__pipeline *p) {
    AR_TRY(ar__cl_program_build(drv, &p->program, p->kernel, p->options));
    p->store_at_end = is_pocl(drv);
    if (!p->store_at_end) keep(drv, p);
    return AR_OK;
}

/* Those of `all`, from the first on that has no program, which one program can hold. */
static int32_t gather(ar__pipeline **out, ar__pipeline *const *all, int32_t count) {
    int32_t found = 0;
    for (int32_t i = 0; i < count; i++)
        if (!all[i]->program && all[i]->kernel->cl_own && strcmp(all[i]->base, all[0]->base) == 0)
            out[found++] = all[i];
    return found;
}

/* Whatever does not build together is built one by one: the error then names the kernel. */
static ar_status build_missing(ar__drv *drv, ar__pipeline **all, int32_t count) {
    ar__pipeline **some = ar__alloc((size_t)count, sizeof *some);
    ar_status status = some ? AR_OK : AR_ERR_MEMORY;
    for (int32_t i = 0; status == AR_OK && i < count; i++) {
        if (all[i]->program) continue;
        int32_t found = is_pocl(drv) && all[i]->kernel->cl_own ? gather(some, all + i, count - i) : 0;
        if (found < 2 || !ar__cl_set_build(drv, some, found)) status = build_alone(drv, all[i]);
    }
    free(some);
    return status;
}

ar_status ar__cl_pipelines_create(ar__drv *drv, ar__pipeline **pipelines, const ar__kernel *const *kernels,
                                  const uint32_t (*specs)[AR_MAX_SPECS], int32_t count) {
    ar_status status = AR_OK;
    int32_t made = 0;
    for (; made < count; made++) {
        AR_GO(start(drv, &pipelines[made], kernels[made], specs[made]));
        recall(drv, pipelines[made]);
    }
    AR_GO(build_missing(drv, pipelines, count));
    return AR_OK;
done:
    while (made > 0) ar__cl_pipeline_destroy(drv, pipelines[--made]);
    return status;
}

ar_status ar__cl_pipeline_create(ar__drv *drv, ar__pipeline **pipeline, const ar__kernel *kernel,
                                 const uint32_t *specs) {
    uint32_t all[1][AR_MAX_SPECS] = {{0}};
    memcpy(all[0], specs, (size_t)kernel->spec_count * sizeof *specs);
    return ar__cl_pipelines_create(drv, pipeline, &kernel, (const uint32_t(*)[AR_MAX_SPECS])all, 1);
}

void ar__cl_pipeline_destroy(ar__drv *drv, ar__pipeline *pipeline) {
    if (!pipeline) return;
    if (pipeline->set) {
        ar__cl_set_leave(drv, pipeline);
    } else if (pipeline->program) {
        if (pipeline->store_at_end) keep(drv, pipeline);
        drv->cl.ReleaseProgram(pipeline->program);
    }
    free(pipeline);
}
