/* Whether the file of a net's weights can be what its config.json says, before memory is asked for. */
#include "states_folder.h"

/* Ranges of config.json keep the sum far below 2^63. */
static int64_t weight_bytes(const ar__net_shape *n) {
    int64_t H = n->H, W = n->W, I = n->I, count = n->others;
    for (int32_t i = 0; i < n->conv_count; i++) {
        count += n->conv[i] * 9 * I;
        I = n->conv[i], H /= 2, W /= 2;
    }
    I *= H * W;
    for (int32_t i = 0; i < n->hidden_count; i++) {
        count += n->hidden[i] * I;
        I = n->hidden[i];
    }
    return (count + n->classes * I) * (int64_t)sizeof(float);
}

ar_status ar__net_file_check(const char *path, const ar__net_shape *n) {
    ar_file f;
    AR_TRY(ar_file_open(&f, path));
    uint64_t bytes = f.bytes, expected = (uint64_t)weight_bytes(n);
    ar_file_close(&f);
    if (bytes >= expected) return AR_OK;
    return ar__fail(AR_ERR_FORMAT,
                    "%s: found %llu bytes, expected at least the %llu of what config.json says", path,
                    (unsigned long long)bytes, (unsigned long long)expected);
}
