/* Kernel variants: which kernel of a family a plan takes, from shaders/variants.def. */
#ifndef AR_VARIANT_H
#define AR_VARIANT_H
#include "internal.h"

typedef enum ar__need { /* bits: facts that a variant's text relies on */
                        AR_NEED_NOTHING = 0,
                        AR_NEED_SHUFFLE = 2,
                        AR_NEED_F16 = 4, /* as COOPMAT */
                        AR_NEED_INT_DOT = 8,
                        AR_NEED_COOPMAT = 16,    /* OpenCL's text does without, slowly: only if asked for */
                        AR_ROUNDS_TO_F16 = 32,   /* no fact: only with the caller's leave */
                        AR_NEED_COOP_BF16 = 64,  /* as COOPMAT */
                        AR_ROUNDS_TO_BF16 = 128, /* as ROUNDS_TO_F16 */
                        AR_ROUNDS = AR_ROUNDS_TO_F16 | AR_ROUNDS_TO_BF16
} ar__need;

typedef enum ar__liking {
    AR_LIKED_BY_ALL,
    AR_LIKED_BY_CPUS,
    AR_LIKED_BY_GPUS,
    AR_LIKED_BY_CARDS,        /* GPUs of desktops, with memory of their own or not: not those of phones */
    AR_LIKED_BY_CL_CPUS,      /* whose vectors are the text's own, as OpenCL's */
    AR_LIKED_BY_OLD_LLVMPIPE, /* of Mesa before 23: each load is a loop over the lanes */
    AR_LIKED_WITH_F16         /* ways: by plans that have leave to round to fp16 */
} ar__liking;

typedef struct ar__variant {
    ar__family_id family;
    ar__kernel_id kernel;
    uint32_t needs; /* ar__need */
    uint32_t subgroup_least, subgroup_most;
    uint64_t shared_bytes;
    ar__liking liked_by;
    const char *why; /* said of it where it is taken */
} ar__variant;
extern const ar__variant ar__variants[];
extern const int32_t ar__variant_count;

/* Of the variant that this kernel is, ar__need; 0 of other kernels. */
uint32_t ar__kernel_needs(const char *kernel);
/* A bit for each row whose text this build has no SPIR-V of. */
uint64_t ar__variants_left_out(void);
/* Lanes of the subgroups that this variant of shuffles runs in on the device; 0: it has none that suit. */
uint32_t ar__variant_lanes(ar__kernel_id kernel, const ar_device_facts *facts);
/* The first fact that v needs and the device (or, with is_left_out, the build) lacks, as text; NULL = none.
 */
const char *ar__variant_lack(const ar__variant *v, const ar_device_facts *facts, bool is_left_out);
/* Whether the device can run v in this build, its kind likes it and the plan has leave for it. */
bool ar__variant_suits(const ar__variant *v, const ar_device_facts *facts, const ar_plan *plan);
/* Fills plan->variants, variants_asked, ways, ways_asked, allows_f16 and allows_bf16. wishes is
 * "family=kernel", "way=choice", "f16", "bf16" or "auto" (f16 where a variant that rounds would then be
 * taken), several separated by commas; NULL = none. left_out as above. Errors: USAGE (a name is unknown, or
 * the device lacks what the kernel needs). */
ar_status ar__variants_choose(ar_plan *plan, const ar_device_facts *facts, const char *wishes,
                              uint64_t left_out);

/* plan.c: gives a finished plan this variant and the shapes that go with it, whatever it needs. */
void ar__plan_use(ar_plan *plan, const ar_device_facts *facts, ar__kernel_id variant);
/* plan.c: ar_plan_make_with for a build without the SPIR-V of some rows. */
ar_status ar__plan_make(ar_plan *plan, const ar_device_facts *facts, const char *wishes, uint64_t left_out);
#endif
