/* Tile parameters that were measured on devices, and their way into plans. Included by ar_backend.h. */
#ifndef AR_TUNING_H
#define AR_TUNING_H

#define AR_TILE_VALUES  4
#define AR_TILE_BUCKETS 4 /* of shapes, besides all */

/* One measurement: what it was made on, and what was best there. */
typedef struct ar_tuning_row {
    char api[8], device[128], driver[128]; /* driver: its name and version */
    char kind[12];                         /* "discrete", "integrated", "phone", "cpu", "other" */
    uint32_t vendor_id, subgroup, vector_width;
    char kernel[24], bucket[16];
    uint64_t kernel_hash; /* ar_kernel_hash: of a kernel that changed since, a row says nothing */
    uint32_t values[AR_TILE_VALUES];
    double gain;     /* time with the plan's own values / with these */
    const char *why; /* of rows that are built in; else NULL */
} ar_tuning_row;

/* Buckets of shapes: rows of the product's result (tokens, of a linear). AR_TUNING_ANY: what holds for those
 * that have no row of their own. */
#define AR_TUNING_ANY "any"
/* "any", "1", "2-8", "9-64", "65-"; NULL behind the last. */
const char *ar_tile_bucket(int32_t i);

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
/* Whether buckets can have a value i of their own: what decides how weights lie is the same for all. */
bool ar_tile_is_by_rows(const char *kernel, int32_t i);
/* What plan has of them for a bucket. False: the kernel has none, or there is no such bucket. */
bool ar_plan_get_tiles(uint32_t values[AR_TILE_VALUES], const ar_plan *plan, const char *kernel,
                       const char *bucket);
/* Errors: ARG where the kernel or the device cannot work with them; plan is as it was then. */
ar_status ar_plan_set_tiles(ar_plan *plan, const ar_device_facts *facts, const char *kernel,
                            const char *bucket, const uint32_t values[AR_TILE_VALUES]);
/* Of the kernel's texts in both languages; 0 = there is none of this name. */
uint64_t ar_kernel_hash(const char *kernel);
/* A row of this device and kernel, without values. */
void ar_tuning_key(ar_tuning_row *row, const ar_device_facts *facts, const char *kernel, const char *bucket);
/* The nearest row, of equally near ones the last; NULL = none. match may be NULL. A row that is built in
 * (why) names what it is for, other rows speak for devices ever further away. */
const ar_tuning_row *ar_tuning_find(ar_tuning_match *match, const ar_tuning_row *rows, int32_t count,
                                    const ar_device_facts *facts, const char *kernel, const char *bucket);
/* The row that a plan's tiles for a bucket come from: the nearest of `rows` and of those that are built in,
 * of equally near ones `rows`', that the device can work with; NULL = a bucket has none, or none nearer than
 * AR_TUNING_ANY's, or a quirk has made the device's tiles small. match may be NULL. */
const ar_tuning_row *ar_tuning_source(ar_tuning_match *match, const ar_plan *plan,
                                      const ar_device_facts *facts, const ar_tuning_row *rows, int32_t count,
                                      const char *kernel, const char *bucket);
/* Gives the plan what rows have for the kernels it takes, and says so in its reasons. Rows that the device
 * cannot work with, and devices whose tiles a quirk has made small, are left alone. */
void ar_plan_use_tuning(ar_plan *plan, const ar_device_facts *facts, const ar_tuning_row *rows,
                        int32_t count);
#endif
