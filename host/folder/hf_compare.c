/* Values read back against those they were rounded from. */
#include "hf_folder.h"
#include <math.h>
#include <string.h>

ar_status ar__hf_compare_rounded(const float *got, const float *from, int64_t count, ar_dtype dtype,
                                 const char *path, const char *name) {
    for (int64_t i = 0; i < count; i++) {
        float expected = dtype == AR_F16    ? ar_f16_to_f32(ar_f32_to_f16(from[i]))
                         : dtype == AR_BF16 ? ar_bf16_to_f32(ar_f32_to_bf16(from[i]))
                                            : from[i];
        if (memcmp(&got[i], &expected, sizeof expected) != 0 && !(isnan(got[i]) && isnan(expected)))
            return ar__fail(AR_ERR_CHECK, "%s: tensor %s: found %g, expected %g", path, name, (double)got[i],
                            (double)expected);
    }
    return AR_OK;
}
