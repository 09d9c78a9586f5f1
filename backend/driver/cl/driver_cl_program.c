/* OpenCL: programs of one kernel, built by the driver from its text, and binaries in cache files. */
#include "driver_cl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_BYTES 600 /* of the compiler's log, in the error text */

ar__cache_id ar__cl_cache_id(const ar__drv *drv, const ar__kernel *kernel, const char *options,
                             char *version) {
    snprintf(version, AR_CL_VERSION_BYTES, "%s | %s | %s", drv->facts.version, drv->device_version,
             drv->platform_version);
    return (ar__cache_id){
        .device = drv->facts.name,
        .driver = drv->facts.driver,
        .version = version,
        .options = options,
        .source_hash = kernel ? ar__hash(AR__HASH_START, kernel->cl_source, strlen(kernel->cl_source)) : 0};
}

cl_program ar__cl_program_cached(ar__drv *drv, const char *kind, const ar__cache_id *id,
                                 const char *options) {
    const cl_table *cl = &drv->cl;
    void *data;
    size_t bytes;
    if (!ar__cache_load(drv->cache_dir, kind, ar__cache_key(id), id, &data, &bytes)) return NULL;
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

bool ar__cl_program_keep(ar__drv *drv, const char *kind, cl_program program, const ar__cache_id *id) {
    size_t bytes = 0;
    if (!drv->cache_dir) return false;
    if (drv->cl.GetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof bytes, &bytes, NULL) != CL_SUCCESS ||
        bytes == 0)
        return false;
    unsigned char *binary = malloc(bytes);
    if (!binary) return false;
    bool is =
        drv->cl.GetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) == CL_SUCCESS;
    if (is) ar__cache_store(drv->cache_dir, kind, ar__cache_key(id), id, binary, bytes);
    free(binary);
    return is;
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

ar_status ar__cl_program_build(ar__drv *drv, cl_program *program, const ar__kernel *kernel,
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
