/* OpenCL: the loader, opened at run time, and the devices behind it. A missing loader, a loader without
 * platforms and a platform without usable devices are notes, never errors. */
#include "driver_cl.h"
#include "cache.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <windows.h>
#else
#include <dlfcn.h>
#endif

#define PLATFORMS_MAX 16
#define DEVICES_MAX   16

/* ---- loader ---- */

/* The library stays loaded for the life of the process: vendors' drivers do not survive being unloaded. */
#ifdef _WIN32
static void *open_library(void) { return (void *)LoadLibraryA("OpenCL.dll"); }
static void *find_symbol(void *library, const char *name) {
    return (void *)(uintptr_t)GetProcAddress((HMODULE)library, name);
}
#else
static void *open_library(void) {
#ifdef __APPLE__
    static const char *const names[] = {"/System/Library/Frameworks/OpenCL.framework/OpenCL",
                                        "libOpenCL.dylib"};
#else
    static const char *const names[] = {"libOpenCL.so.1", "libOpenCL.so"};
#endif
    void *library = dlopen(names[0], RTLD_NOW | RTLD_LOCAL);
    return library ? library : dlopen(names[1], RTLD_NOW | RTLD_LOCAL);
}
static void *find_symbol(void *library, const char *name) { return dlsym(library, name); }
#endif

/* False with a note if the loader or one of its entry points is missing. */
static bool load_table(cl_table *cl, char *note, size_t note_bytes) {
    void *library = open_library(), *symbol;
    if (!library) {
        snprintf(note, note_bytes, "no OpenCL loader");
        return false;
    }
#define CL_LOAD(name)                                                                                        \
    symbol = find_symbol(library, "cl" #name);                                                               \
    if (!symbol) {                                                                                           \
        snprintf(note, note_bytes, "the OpenCL loader lacks cl" #name);                                      \
        return false;                                                                                        \
    }                                                                                                        \
    memcpy(&cl->name, &symbol, sizeof symbol);
    CL_ENTRY_POINTS(CL_LOAD)
#undef CL_LOAD
    return true;
}

/* ---- facts ---- */

static void device_text(const cl_table *cl, char *out, size_t bytes, cl_device_id id, cl_device_info what) {
    char text[1024] = "";
    if (cl->GetDeviceInfo(id, what, sizeof text - 1, text, NULL) != CL_SUCCESS) text[0] = '\0';
    const char *start = text + strspn(text, " ");
    snprintf(out, bytes, "%s", start);
}

static void platform_text(const cl_table *cl, char *out, size_t bytes, cl_platform_id id,
                          cl_platform_info what) {
    char text[1024] = "";
    if (cl->GetPlatformInfo(id, what, sizeof text - 1, text, NULL) != CL_SUCCESS) text[0] = '\0';
    snprintf(out, bytes, "%s", text);
}

/* One integer of any width the query has; 0 if the driver does not know it. */
static uint64_t device_number(const cl_table *cl, cl_device_id id, cl_device_info what) {
    union {
        cl_uint u;
        cl_ulong l;
    } value = {.l = 0};
    size_t bytes = 0;
    if (cl->GetDeviceInfo(id, what, sizeof value, &value, &bytes) != CL_SUCCESS) return 0;
    return bytes == sizeof value.u ? value.u : value.l;
}

static ar_device_kind kind_of(const cl_table *cl, cl_device_id id, const char *name) {
    uint64_t type = device_number(cl, id, CL_DEVICE_TYPE);
    if ((type & CL_DEVICE_TYPE_CPU) || strstr(name, "llvmpipe")) return AR_DEVICE_CPU;
    if (!(type & CL_DEVICE_TYPE_GPU)) return AR_DEVICE_OTHER;
    return device_number(cl, id, CL_DEVICE_HOST_UNIFIED_MEMORY) ? AR_DEVICE_INTEGRATED : AR_DEVICE_DISCRETE;
}

static bool has_word(const char *words, const char *word) {
    size_t n = strlen(word);
    for (const char *at = words; (at = strstr(at, word)) != NULL; at += n)
        if ((at == words || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0')) return true;
    return false;
}

static void make_uuid(ar_device_facts *f, const char *platform_version) {
    const char *texts[] = {f->name, f->vendor, f->driver, f->version, platform_version};
    uint64_t h[2] = {AR__HASH_START, AR__HASH_START ^ 0x5bd1e995u};
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 2; j++) h[j] = ar__hash(h[j], texts[i], strlen(texts[i]) + 1);
    memcpy(f->uuid, h, sizeof f->uuid);
}

static uint32_t clamp32(uint64_t value, uint32_t limit) { return value > limit ? limit : (uint32_t)value; }

static void fill_limits(const cl_table *cl, ar_device_facts *f, cl_device_id id) {
    size_t sizes[8] = {0};
    f->max_group_items = clamp32(device_number(cl, id, CL_DEVICE_MAX_WORK_GROUP_SIZE), 1u << 16);
    if (cl->GetDeviceInfo(id, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof sizes, sizes, NULL) != CL_SUCCESS)
        sizes[0] = 1;
    for (int i = 0; i < 3; i++) f->max_group_size[i] = clamp32(sizes[i], 1u << 16);
    /* OpenCL limits only items, and kernels count them in 32 bits: 2^20 groups of up to 4096 per axis */
    f->max_group_count[0] = f->max_group_count[1] = 1u << 20;
    f->max_group_count[2] = 65535;
    f->shared_bytes = device_number(cl, id, CL_DEVICE_LOCAL_MEM_SIZE);
    f->max_binding_bytes = f->max_buffer_bytes = device_number(cl, id, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    f->memory_bytes = device_number(cl, id, CL_DEVICE_GLOBAL_MEM_SIZE);
    f->binding_offset_align = clamp32(device_number(cl, id, CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8, 1u << 16);
    /* all arguments share that limit: what buffers and end_ leave is for parameters */
    uint64_t params = device_number(cl, id, CL_DEVICE_MAX_PARAMETER_SIZE), rest = 8 * AR_MAX_BINDINGS + 4;
    f->max_param_bytes = params > rest ? clamp32(params - rest, 4 * AR_MAX_PARAMS) : 0;
    f->max_bindings = UINT32_MAX; /* arguments like the others: only their bytes are bounded */
    uint64_t preferred = device_number(cl, id, CL_DEVICE_PREFERRED_VECTOR_WIDTH_FLOAT);
    uint64_t native = device_number(cl, id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT);
    f->vector_width = clamp32(native > preferred ? native : preferred, 16);
}

/* PoCL's devices of this machine's x86, whose compiler takes assembler but is not told of all that the
 * processor can. */
static bool has_vnni(const ar_device_facts *f) {
#if defined(__x86_64__) && defined(__GNUC__)
    return f->kind == AR_DEVICE_CPU && strstr(f->driver, AR_POCL) && __builtin_cpu_supports("avx512vnni");
#else
    (void)f;
    return false;
#endif
}

/* The sizes that subgroups may have where a kernel may ask for one: Intel's list or, of Qualcomm, "full" and
 * half of that. */
static void fill_sizes(const cl_table *cl, ar_device_facts *f, cl_device_id id, const char *extensions,
                       uint32_t preferred) {
    enum { SIZES_INTEL = 0x4108, SIZES_MAX = 16 };
    size_t sizes[SIZES_MAX] = {0}, bytes = 0;
    if (has_word(extensions, "cl_qcom_reqd_sub_group_size") && preferred >= 2) {
        f->subgroup_min = preferred / 2, f->subgroup_max = preferred;
        f->has_subgroup_control = true;
    }
    if (!has_word(extensions, "cl_intel_required_subgroup_size") ||
        cl->GetDeviceInfo(id, SIZES_INTEL, sizeof sizes, sizes, &bytes) != CL_SUCCESS || !bytes)
        return;
    f->subgroup_min = UINT32_MAX, f->subgroup_max = 0;
    for (size_t i = 0; i < bytes / sizeof *sizes; i++) {
        uint32_t size = clamp32(sizes[i], 128);
        if (size < f->subgroup_min) f->subgroup_min = size;
        if (size > f->subgroup_max) f->subgroup_max = size;
    }
    f->has_subgroup_control = true;
}

/* Subgroups that kernels may rely on: lanes that shuffle, their number what OpenCL 3.0 wants groups to be
 * multiples of. A compiler that chooses among several sizes may take any of them where it is not told. */
static void fill_subgroups(const cl_table *cl, ar_device_facts *f, cl_device_id id, const char *extensions) {
    enum { PREFERRED_MULTIPLE = 0x1067 };
    uint32_t preferred = clamp32(device_number(cl, id, PREFERRED_MULTIPLE), 128);
    bool shuffles = has_word(extensions, "cl_khr_subgroup_shuffle");
    if (shuffles) f->subgroup_min = f->subgroup_max = preferred;
    fill_sizes(cl, f, id, extensions, preferred);
    f->has_subgroup_shuffle = shuffles && f->subgroup_min > 0;
}

/* Intel's multiplies 8 rows of 16 with as many columns as its smallest subgroups have lanes, 8 or 16, and
 * only in those (shaders/coop_intel.h). */
static void fill_matrix(ar_device_facts *f, const char *extensions) {
    bool is_known = f->subgroup_min == 8 || f->subgroup_min == 16;
    f->has_coopmat = has_word(extensions, "cl_intel_subgroup_matrix_multiply_accumulate") &&
                     f->has_f16_arith && f->has_subgroup_control && is_known;
    if (f->has_coopmat) f->coop_m = 8, f->coop_n = f->subgroup_min, f->coop_k = 16;
}

static void fill_facts(const cl_table *cl, ar_device_facts *f, cl_platform_id platform, cl_device_id id,
                       int32_t index) {
    char version[256], extensions[8192] = "";
    *f = (ar_device_facts){.api = "cl", .index = index};
    device_text(cl, f->name, sizeof f->name, id, CL_DEVICE_NAME);
    device_text(cl, f->vendor, sizeof f->vendor, id, CL_DEVICE_VENDOR);
    device_text(cl, f->version, sizeof f->version, id, CL_DRIVER_VERSION);
    platform_text(cl, f->driver, sizeof f->driver, platform, CL_PLATFORM_NAME);
    platform_text(cl, version, sizeof version, platform, CL_PLATFORM_VERSION);
    f->vendor_id = (uint32_t)device_number(cl, id, CL_DEVICE_VENDOR_ID);
    f->kind = kind_of(cl, id, f->name);
    fill_limits(cl, f, id);
    if (cl->GetDeviceInfo(id, CL_DEVICE_EXTENSIONS, sizeof extensions - 1, extensions, NULL) != CL_SUCCESS)
        extensions[0] = '\0';
    f->has_f16_arith = has_word(extensions, "cl_khr_fp16");
    f->has_f16_storage = true; /* vload_half and vstore_half are core */
    bool has_khr_dot = has_word(extensions, "cl_khr_integer_dot_product");
    f->has_qcom_dot = !has_khr_dot && has_word(extensions, "cl_qcom_dot_product8");
    f->has_int_dot = has_khr_dot || f->has_qcom_dot;
    f->has_vnni = has_vnni(f);
    fill_subgroups(cl, f, id, extensions);
    fill_matrix(f, extensions);
    f->has_timestamps = true; /* event profiling is core, in nanoseconds */
    f->timestamp_ns = 1.0;
    f->division_is_exact =
        (device_number(cl, id, CL_DEVICE_SINGLE_FP_CONFIG) & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT) != 0;
    f->unified_memory = device_number(cl, id, CL_DEVICE_HOST_UNIFIED_MEMORY) != 0;
    make_uuid(f, version);
}

/* ---- enumeration ---- */

/* Called for each usable device in index order; false ends the walk. */
typedef bool (*visit_fn)(void *ctx, const cl_table *cl, cl_platform_id platform, cl_device_id device,
                         int32_t index);

static bool is_usable(const cl_table *cl, cl_device_id id) {
    return device_number(cl, id, CL_DEVICE_AVAILABLE) &&
           device_number(cl, id, CL_DEVICE_COMPILER_AVAILABLE) &&
           device_number(cl, id, CL_DEVICE_ENDIAN_LITTLE);
}

static void walk(const cl_table *cl, visit_fn visit, void *ctx, char *note, size_t note_bytes) {
    cl_platform_id platforms[PLATFORMS_MAX];
    cl_uint platform_count = 0;
    int32_t index = 0, unusable = 0;
    bool is_pocl = false;
    cl_int code = cl->GetPlatformIDs(PLATFORMS_MAX, platforms, &platform_count);
    if (code != CL_SUCCESS || platform_count == 0) {
        snprintf(note, note_bytes, "an OpenCL loader without platforms");
        return;
    }
    if (platform_count > PLATFORMS_MAX) platform_count = PLATFORMS_MAX;
    for (cl_uint p = 0; p < platform_count; p++) {
        cl_device_id devices[DEVICES_MAX];
        cl_uint device_count = 0;
        code = cl->GetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, DEVICES_MAX, devices, &device_count);
        if (code != CL_SUCCESS) { /* CL_DEVICE_NOT_FOUND, or a broken vendor */
            char name[256];
            platform_text(cl, name, sizeof name, platforms[p], CL_PLATFORM_NAME);
            is_pocl = is_pocl || strstr(name, AR_POCL);
            continue;
        }
        if (device_count > DEVICES_MAX) device_count = DEVICES_MAX;
        for (cl_uint d = 0; d < device_count; d++) {
            if (!is_usable(cl, devices[d]))
                unusable++;
            else if (!visit(ctx, cl, platforms[p], devices[d], index++))
                return;
        }
    }
    if (unusable)
        snprintf(note, note_bytes, "%d without a compiler, unavailable or big-endian", unusable);
    else if (index == 0)
        snprintf(note, note_bytes, "%u OpenCL platforms without devices%s", platform_count,
                 is_pocl ? "; " AR_POCL_CACHE : "");
}

typedef struct list_ctx {
    ar_device_facts *out;
    int32_t count, capacity;
} list_ctx;

static bool list_visit(void *ctx, const cl_table *cl, cl_platform_id platform, cl_device_id device,
                       int32_t index) {
    list_ctx *l = ctx;
    if (index < l->capacity) fill_facts(cl, &l->out[index], platform, device, index);
    l->count = index + 1;
    return true;
}

ar_status ar__cl_list(ar_device_facts *out, int32_t *count, int32_t capacity, char *note, size_t note_bytes) {
    cl_table cl;
    list_ctx list = {out, 0, out ? capacity : 0};
    char unused[64];
    if (!note || !note_bytes) note = unused, note_bytes = sizeof unused;
    note[0] = '\0';
    if (load_table(&cl, note, note_bytes)) walk(&cl, list_visit, &list, note, note_bytes);
    *count = list.count;
    return AR_OK;
}

typedef struct find_ctx {
    ar__drv *drv;
    const ar_device_facts *facts;
} find_ctx;

static bool find_visit(void *ctx, const cl_table *cl, cl_platform_id platform, cl_device_id device,
                       int32_t index) {
    find_ctx *find = ctx;
    char name[256];
    if (index != find->facts->index) return true;
    device_text(cl, name, sizeof name, device, CL_DEVICE_NAME);
    if (strcmp(name, find->facts->name) != 0) return false; /* the machine's devices changed since list */
    find->drv->device = device;
    platform_text(cl, find->drv->platform_version, sizeof find->drv->platform_version, platform,
                  CL_PLATFORM_VERSION);
    device_text(cl, find->drv->device_version, sizeof find->drv->device_version, device, CL_DEVICE_VERSION);
    return false;
}

ar_status ar__cl_find(ar__drv *drv, const ar_device_facts *facts) {
    char note[256] = "";
    find_ctx find = {drv, facts};
    if (load_table(&drv->cl, note, sizeof note)) walk(&drv->cl, find_visit, &find, note, sizeof note);
    if (drv->device) return AR_OK;
    return ar__fail(AR_ERR_NO_DEVICE, "cl:%d: found %s, expected %s", facts->index,
                    note[0] ? note : "another device", facts->name);
}
