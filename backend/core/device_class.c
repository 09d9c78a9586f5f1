/* What kind of device its facts describe. */
#include "device_class.h"
#include <string.h>

/* Vendors whose GPUs live in phones and small boards: PCI or Khronos ids, or names (OpenCL has ids of its
 * own). */
static bool is_mobile(const ar_device_facts *f) {
    static const struct {
        uint32_t id;
        const char *name;
    } rows[] = {{0x5143, "QUALCOMM"}, {0x13b5, "ARM"},     {0x1010, "Imagination"},
                {0x14e4, "Broadcom"}, {0x144d, "Samsung"}, {0x7a05, "Vivante"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (f->vendor_id == rows[i].id || strncmp(f->vendor, rows[i].name, strlen(rows[i].name)) == 0)
            return true;
    return false;
}

ar__device_class_id ar__device_class(const ar_device_facts *f) {
    if (f->kind == AR_DEVICE_CPU) return AR_CLASS_CPU;
    if (f->kind == AR_DEVICE_OTHER) return AR_CLASS_OTHER;
    if (is_mobile(f)) return AR_CLASS_MOBILE;
    return f->kind == AR_DEVICE_DISCRETE ? AR_CLASS_DESKTOP : AR_CLASS_INTEGRATED;
}
