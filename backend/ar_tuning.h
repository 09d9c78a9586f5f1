/* Tile parameters that were measured on devices, and their way into plans. Included by ar_backend.h. */
#ifndef AR_TUNING_H
#define AR_TUNING_H

#define AR_TILE_VALUES 4

/* One measurement: what it was made on, and what was best there. The same for every shape of a bucket. */
typedef struct ar_tuning_row {
    char api[8], device[128], driver[128]; /* driver: its name and version */
    uint32_t vendor_id, subgroup, vector_width;
    ar_device_kind kind;
    char kernel[24], bucket[16];
    uint64_t kernel_hash; /* ar_kernel_hash: of a kernel that changed since, a row says nothing */
    uint32_t values[AR_TILE_VALUES];
    double gain; /* time with the plan's own values / with these */
} ar_tuning_row;
#define AR_TUNING_ANY "any" /* the bucket of all shapes, which plans take */

/* How near a row is: the same device and driver; the same vendor, kind, subgroups and vectors; the same
 * vendor and kind; the same kind. Always of the same API, kernel and text. */
typedef enum ar_tuning_match {
    AR_TUNING_NONE,
    AR_TUNING_GENERIC,
    AR_TUNING_VENDOR,
    AR_TUNING_ARCHITECTURE,
    AR_TUNING_EXACT
} ar_tuning_match;
const char *ar_tuning_match_name(ar_tuning_match match);

/* The name of value i of this kernel's tiles, as "tm"; NULL behind the last, and of kernels without any. */
const char *ar_tile_name(const char *kernel, int32_t i);
/* What plan has of them. False: the kernel has none. */
bool ar_plan_get_tiles(uint32_t values[AR_TILE_VALUES], const ar_plan *plan, const char *kernel);
/* Errors: ARG where the kernel or the device cannot work with them; plan is as it was then. */
ar_status ar_plan_set_tiles(ar_plan *plan, const ar_device_facts *facts, const char *kernel,
                            const uint32_t values[AR_TILE_VALUES]);
/* Of the kernel's texts in both languages; 0 = there is none of this name. */
uint64_t ar_kernel_hash(const char *kernel);
/* A row of this device and kernel, without values. */
void ar_tuning_key(ar_tuning_row *row, const ar_device_facts *facts, const char *kernel, const char *bucket);
/* The nearest row, of equally near ones the last; NULL = none. match may be NULL. */
const ar_tuning_row *ar_tuning_find(ar_tuning_match *match, const ar_tuning_row *rows, int32_t count,
                                    const ar_device_facts *facts, const char *kernel, const char *bucket);
/* Gives the plan what rows have for the kernels it takes, and says so in its reasons. Rows that the device
 * cannot work with, and devices whose tiles a quirk has made small, are left alone. */
void ar_plan_use_tuning(ar_plan *plan, const ar_device_facts *facts, const ar_tuning_row *rows,
                        int32_t count);
#endif
