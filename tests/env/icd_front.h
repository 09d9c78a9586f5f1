/* What OpenCL drivers of tests have in common that stand in front of another one: the loader asks them, they
 * ask that one, change entries of its table once, and hand out its objects. Who includes
 * it defines ICD_FRONT before, the variable that names the other one's library, and change(), behind. */
#ifndef AR_ICD_FRONT_H
#define AR_ICD_FRONT_H
#include <CL/cl_icd.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cl_icd_dispatch original; /* the driver's entries as they were */
static void change(cl_icd_dispatch *table);

typedef cl_int(CL_API_CALL *get_platforms)(cl_uint, cl_platform_id *, cl_uint *);
typedef void *(CL_API_CALL *get_function)(const char *);
cl_int CL_API_CALL clIcdGetPlatformIDsKHR(cl_uint capacity, cl_platform_id *platforms, cl_uint *count);

static void find(void *function, const char *name) {
    const char *path = getenv(ICD_FRONT);
    void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL,
         *found = library ? dlsym(library, name) : NULL;
    if (!found) fprintf(stderr, ICD_FRONT "=%s: %s not found\n", path ? path : "", name);
    memcpy(function, &found, sizeof found);
}

cl_int CL_API_CALL clIcdGetPlatformIDsKHR(cl_uint capacity, cl_platform_id *platforms, cl_uint *count) {
    get_function function = NULL;
    get_platforms get = NULL;
    cl_platform_id first = NULL;
    find(&function, "clGetExtensionFunctionAddress");
    void *found = function ? function("clIcdGetPlatformIDsKHR") : NULL;
    memcpy(&get, &found, sizeof get);
    if (!get || get(1, &first, NULL) != CL_SUCCESS) return CL_PLATFORM_NOT_FOUND_KHR;
    cl_icd_dispatch *table = NULL; /* every object of the driver's begins with it */
    memcpy(&table, first, sizeof table);
    if (!original.clGetPlatformIDs) {
        original = *table;
        change(table);
    }
    return get(capacity, platforms, count);
}

void *CL_API_CALL clGetExtensionFunctionAddress(const char *name) {
    void *function = NULL;
    if (strcmp(name, "clIcdGetPlatformIDsKHR") == 0) {
        get_platforms own = clIcdGetPlatformIDsKHR;
        memcpy(&function, &own, sizeof function);
        return function;
    }
    get_function get = NULL;
    find(&get, "clGetExtensionFunctionAddress");
    return get ? get(name) : NULL;
}
#endif
