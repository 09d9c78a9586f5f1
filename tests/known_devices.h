/* The facts of devices that nobody here has, as their drivers report them. */
#ifndef AR_TEST_KNOWN_DEVICES_H
#define AR_TEST_KNOWN_DEVICES_H
#include "graph.h"
#include "resident_weight.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

/* ---- the devices ---- */

/* A Vulkan device at the specification's minimums, but for the buffers a kernel binds (4 there); rows improve
 * on it. */
static inline ar_device_facts vk_minimum(const char *name, const char *driver, ar_device_kind kind,
                                         uint32_t vendor_id) {
    ar_device_facts f = {.api = "vk",
                         .vendor_id = vendor_id,
                         .kind = kind,
                         .max_group_items = 128,
                         .max_group_size = {128, 128, 64},
                         .max_group_count = {65535, 65535, 65535},
                         .shared_bytes = 16 * KIB,
                         .max_binding_bytes = 128 * MIB,
                         .max_buffer_bytes = GIB,
                         .memory_bytes = 4 * GIB,
                         .binding_offset_align = 256,
                         .max_param_bytes = 128,
                         .max_bindings = 8,
                         .vector_width = 4};
    snprintf(f.name, sizeof f.name, "%s", name);
    snprintf(f.driver, sizeof f.driver, "%s", driver);
    snprintf(f.version, sizeof f.version, "1.0");
    return f;
}

/* flags: local, visible, coherent, cached on the host, special (lazily allocated, protected, device-coherent)
 */
static inline void add_type(ar_device_facts *f, uint64_t heap, const char *flags) {
    f->memory_types[f->memory_type_count++] = (ar_memory_type){.heap_bytes = heap,
                                                               .device_local = strchr(flags, 'l') != NULL,
                                                               .host_visible = strchr(flags, 'v') != NULL,
                                                               .host_coherent = strchr(flags, 'c') != NULL,
                                                               .host_cached = strchr(flags, 'h') != NULL,
                                                               .special = strchr(flags, 's') != NULL};
}

/* Several types, "l vc lvc", of which those with w lie in a window of that size into the device's memory. */
static inline void set_types(ar_device_facts *f, const char *types, uint64_t window) {
    char text[128];
    snprintf(text, sizeof text, "%s", types);
    f->memory_type_count = 0;
    for (char *t = strtok(text, " "); t; t = strtok(NULL, " "))
        add_type(f, strchr(t, 'w') ? window : strchr(t, 'l') ? f->memory_bytes : 16 * GIB, t);
    f->unified_memory = ar__memory_is_unified(f);
}

/* A desktop card: own memory, a host heap, and a host-visible window into its memory, or all of it (resizable
 * BAR). RADV repeats its types as device-coherent ones; NVIDIA begins with one that has no flag. */
static inline ar_device_facts card(const char *name, const char *driver, uint32_t vendor_id, uint64_t memory,
                                   uint64_t window) {
    ar_device_facts f = vk_minimum(name, driver, AR_DEVICE_DISCRETE, vendor_id);
    f.max_group_items = f.max_group_size[0] = 1024;
    f.shared_bytes = 32 * KIB;
    f.max_binding_bytes = 4 * GIB - 1;
    f.max_buffer_bytes = 4 * GIB - 1;
    f.memory_bytes = memory;
    f.binding_offset_align = 16;
    f.max_param_bytes = 256;
    f.max_bindings = 1u << 20;
    f.has_timestamps = f.has_f16_arith = f.has_f16_storage = true;
    f.timestamp_ns = 10;
    const char *amd = "l vc lvcw vch ls vcs lvcws vchs", *nvidia = "- l vc vch lvcw", *intel = "l vch lvcw";
    set_types(&f, vendor_id == 0x1002 ? amd : vendor_id == 0x10de ? nvidia : intel, window);
    return f;
}

/* One heap shared with the processor. */
static inline ar_device_facts shared_gpu(const char *name, const char *driver, uint32_t vendor_id,
                                         uint64_t memory, const char *types) {
    ar_device_facts f = vk_minimum(name, driver, AR_DEVICE_INTEGRATED, vendor_id);
    f.max_group_items = f.max_group_size[0] = 1024;
    f.shared_bytes = 32 * KIB;
    f.memory_bytes = memory;
    f.binding_offset_align = 64;
    f.max_bindings = 24;
    f.has_timestamps = true;
    f.timestamp_ns = 52.08;
    set_types(&f, types, 0);
    return f;
}

/* Matrix hardware as Vulkan tells of it; least == most: subgroups have one size. */
static inline void set_coop(ar_device_facts *f, uint32_t m, uint32_t n, uint32_t k, uint32_t least,
                            uint32_t most) {
    f->has_coopmat = true;
    f->coop_m = m, f->coop_n = n, f->coop_k = k;
    f->subgroup_min = least, f->subgroup_max = most;
    f->has_subgroup_control = least < most;
}

static inline void set_coop_bf16(ar_device_facts *f, uint32_t m, uint32_t n, uint32_t k) {
    f->coop_bf16[0] = m, f->coop_bf16[1] = n, f->coop_bf16[2] = k;
}

static inline ar_device_facts rdna2(void) {
    return card("AMD Radeon RX 6800 XT (RADV NAVI21)", "radv", 0x1002, 16 * GIB, 256 * MIB);
}
static inline ar_device_facts rdna3(void) {
    ar_device_facts f = card("AMD Radeon RX 7900 XTX (RADV NAVI31)", "radv", 0x1002, 24 * GIB, 24 * GIB);
    set_coop(&f, 16, 16, 16, 32, 64);
    return f;
}
static inline ar_device_facts rdna4(void) {
    ar_device_facts f = card("AMD Radeon RX 9070 XT (RADV GFX1201)", "radv", 0x1002, 16 * GIB, 16 * GIB);
    f.has_int_dot = true;
    set_coop(&f, 16, 16, 16, 32, 64);
    set_coop_bf16(&f, 16, 16, 16);
    return f;
}
static inline ar_device_facts arc(void) {
    ar_device_facts f = card("Intel(R) Arc(tm) A770 Graphics (DG2)", "Intel open-source Mesa driver", 0x8086,
                             16 * GIB, 16 * GIB);
    set_coop(&f, 8, 8, 16, 8, 32);
    return f;
}
static inline ar_device_facts turing(void) {
    ar_device_facts f = card("NVIDIA GeForce RTX 2060", "NVIDIA", 0x10de, 6 * GIB, 246 * MIB);
    set_coop(&f, 16, 16, 16, 32, 32);
    return f;
}
static inline ar_device_facts ada(void) {
    ar_device_facts f = card("NVIDIA GeForce RTX 4090", "NVIDIA", 0x10de, 24 * GIB, 24 * GIB);
    f.shared_bytes = 48 * KIB;
    set_coop(&f, 16, 16, 16, 32, 32);
    set_coop_bf16(&f, 16, 8, 16);
    return f;
}
static inline ar_device_facts xe_igpu(void) {
    ar_device_facts f = shared_gpu("Intel(R) Iris(R) Xe Graphics (TGL GT2)", "Intel open-source Mesa driver",
                                   0x8086, 12 * GIB, "lvc lvch ls");
    f.max_binding_bytes = 2 * GIB;
    return f;
}
/* Vulkan on a card in another machine or below a virtual one: what lies behind a visible type is not told. */
static inline ar_device_facts virtual_gpu(void) {
    ar_device_facts f = shared_gpu("Virtio-GPU Venus (NVIDIA)", "venus", 0x10de, 8 * GIB, "- l vc vch lvc");
    f.kind = AR_DEVICE_OTHER;
    f.unified_memory = ar__memory_is_unified(&f);
    return f;
}
/* An AMD processor: RADV calls two thirds of the memory the GPU's. */
static inline ar_device_facts rdna_apu(void) {
    return shared_gpu("AMD Radeon 780M (RADV PHOENIX)", "radv", 0x1002, 10 * GIB,
                      "l vc lvc vch ls vcs lvcs vchs");
}
static inline ar_device_facts adreno6(void) {
    return shared_gpu("Adreno (TM) 640", "Qualcomm Technologies Inc. Adreno Vulkan Driver", 0x5143, 6 * GIB,
                      "l lvc lvh ls"); /* cached, but not coherent */
}
static inline ar_device_facts adreno7(void) {
    return shared_gpu("Adreno (TM) 740", "Qualcomm Technologies Inc. Adreno Vulkan Driver", 0x5143, 12 * GIB,
                      "l lvc lvh lvch ls ls");
}
static inline ar_device_facts mali_g76(void) {
    ar_device_facts f = shared_gpu("Mali-G76", "ARM proprietary", 0x13b5, 4 * GIB, "lvc lvh ls");
    f.max_group_items = f.max_group_size[0] = 384;
    f.has_timestamps = false;
    return f;
}
static inline ar_device_facts mali_g710(void) {
    return shared_gpu("Mali-G710", "ARM proprietary", 0x13b5, 8 * GIB, "lvc lvch ls ls");
}
static inline ar_device_facts lavapipe(void) {
    ar_device_facts f = shared_gpu("llvmpipe (LLVM 15.0.6, 256 bits)", "llvmpipe", 0x10005, 2 * GIB, "lvch");
    f.kind = AR_DEVICE_CPU;
    f.max_binding_bytes = 128 * MIB;
    f.max_buffer_bytes = 2 * GIB;
    f.binding_offset_align = 16;
    f.subgroup_min = f.subgroup_max = 8;
    f.has_subgroup_shuffle = true;
    return f;
}
static inline ar_device_facts lavapipe_arm64(void) {
    ar_device_facts f = lavapipe();
    snprintf(f.name, sizeof f.name, "llvmpipe (LLVM 15.0.6, 128 bits)");
    f.has_subgroup_shuffle = false;
    return f;
}
static inline ar_device_facts v3d(void) {
    ar_device_facts f = shared_gpu("V3D 7.1.7", "V3DV Mesa", 0x14e4, 4 * GIB, "lvc");
    f.max_group_items = f.max_group_size[0] = 256;
    f.shared_bytes = 16 * KIB;
    f.max_bindings = 8;
    f.max_binding_bytes = GIB;
    f.has_timestamps = false;
    return f;
}
static inline ar_device_facts moltenvk(void) {
    ar_device_facts f = shared_gpu("Apple M2", "MoltenVK", 0x106b, 16 * GIB, "l lvch lvh ls");
    f.max_binding_bytes = 4 * GIB - 1;
    return f;
}

static inline ar_device_facts cl_device(const char *name, const char *vendor, const char *driver,
                                        ar_device_kind kind, uint32_t width) {
    ar_device_facts f = vk_minimum(name, driver, kind, 0);
    snprintf(f.api, sizeof f.api, "cl");
    snprintf(f.vendor, sizeof f.vendor, "%s", vendor);
    f.max_group_items = f.max_group_size[0] = 4096;
    f.max_group_count[0] = f.max_group_count[1] = 1u << 20;
    f.shared_bytes = 512 * KIB;
    f.max_binding_bytes = f.max_buffer_bytes = 4 * GIB;
    f.binding_offset_align = 128;
    f.vector_width = width;
    f.max_bindings = UINT32_MAX;
    f.has_timestamps = f.unified_memory = true;
    f.timestamp_ns = 1;
    return f;
}
static inline ar_device_facts pocl_avx512(void) {
    return cl_device("pthread-skylake-avx512", "GenuineIntel", "Portable Computing Language", AR_DEVICE_CPU,
                     16);
}
static inline ar_device_facts pocl_avx2(void) {
    return cl_device("pthread-haswell", "GenuineIntel", "Portable Computing Language", AR_DEVICE_CPU, 8);
}
static inline ar_device_facts pocl_neon(void) {
    return cl_device("pthread-cortex-a76", "ARM", "Portable Computing Language", AR_DEVICE_CPU, 4);
}
static inline ar_device_facts adreno_cl(void) {
    return cl_device("QUALCOMM Adreno(TM)", "QUALCOMM", "QUALCOMM Snapdragon(TM)", AR_DEVICE_INTEGRATED, 1);
}
/* Intel's compute runtime: what matrix hardware there is follows from the extension and subgroups' sizes. */
static inline ar_device_facts xmx_cl(const char *name, uint64_t memory, uint32_t least) {
    ar_device_facts f =
        cl_device(name, "Intel(R) Corporation", "Intel(R) OpenCL Graphics", AR_DEVICE_DISCRETE, 1);
    f.vendor_id = 0x8086;
    f.max_group_items = f.max_group_size[0] = 1024;
    f.shared_bytes = 64 * KIB;
    f.memory_bytes = memory;
    f.has_f16_arith = f.has_f16_storage = f.has_int_dot = f.has_subgroup_shuffle = true;
    f.unified_memory = false;
    set_coop(&f, 8, least, 16, least, 32);
    return f;
}
static inline ar_device_facts arc_cl(void) { return xmx_cl("Intel(R) Arc(TM) A770 Graphics", 16 * GIB, 8); }
static inline ar_device_facts max_cl(void) {
    return xmx_cl("Intel(R) Data Center GPU Max 1550", 64 * GIB, 16);
}
/* A newer Adreno, of Qualcomm's own extensions. */
static inline ar_device_facts adreno8_cl(void) {
    ar_device_facts f = adreno_cl();
    f.max_group_items = f.max_group_size[0] = 1024;
    f.shared_bytes = 32 * KIB;
    f.has_f16_arith = f.has_int_dot = f.has_qcom_dot = f.has_subgroup_shuffle = true;
    f.subgroup_min = 64, f.subgroup_max = 128, f.has_subgroup_control = true;
    return f;
}
static inline ar_device_facts rusticl(void) {
    return cl_device("llvmpipe (LLVM 19.1.7, 256 bits)", "Mesa", "rusticl", AR_DEVICE_CPU, 8);
}
static inline ar_device_facts oclgrind(void) {
    return cl_device("Oclgrind Simulator", "University of Bristol", "Oclgrind 21.10", AR_DEVICE_CPU, 4);
}

static ar_device_facts (*const known_devices[])(void) = {
    rdna2,          rdna3,    rdna4,      arc,         turing,    ada,       xe_igpu,
    virtual_gpu,    rdna_apu, adreno6,    adreno7,     mali_g76,  mali_g710, lavapipe,
    lavapipe_arm64, v3d,      moltenvk,   pocl_avx512, pocl_avx2, pocl_neon, adreno_cl,
    arc_cl,         max_cl,   adreno8_cl, rusticl,     oclgrind};
#define KNOWN_COUNT (sizeof known_devices / sizeof known_devices[0])
#endif
