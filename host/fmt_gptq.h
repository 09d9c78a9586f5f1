/* Inside host/: the GPTQ layout (docs/formats.md), shared by its writer and its reader. */
#ifndef AR_FMT_GPTQ_H
#define AR_FMT_GPTQ_H
#include "formats.h"

/* What a config file says about a packed linear. */
typedef struct ar_gptq_scheme {
    int32_t bits, group; /* 2, 3, 4 or 8; >= 1, or -1 */
    bool sym;
    bool minus_one; /* stored zero points are zp - 1 */
} ar_gptq_scheme;

/* The one rule behind every bit width: each 32 values make `bits` words, a dense stream from the lowest bit
 * on. Packs count values (a multiple of 32), the first at src[0], the next src_step further; words go to
 * dst[0], dst[dst_step], … */
void ar__gptq_pack(uint32_t *dst, int64_t dst_step, const uint8_t *src, int64_t src_step, int64_t count,
                   int32_t bits);
#endif
