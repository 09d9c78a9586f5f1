/* Y (N, O) = X W'^T of X in bytes with the codes of W' as integers; see gemv_bytes.comp. */
PARAMS P(uint, items) P(uint, nb) P(uint, ub) P(uint, gb) P(uint, pw) P(uint, row0) P(uint, O) P(uint, ldy)
    P(uint, t0) P(uint, t1) P(uint, tiles) P(uint, N) P(uint, flags) P(uint, w0) LOCALS BODY uint item = GID0;
uint first_t = t0 + WID1 * tiles;
for (uint j = first_t; item < items && j < min(first_t + tiles, t1); j++) {
#include "gemv_bytes_item.h"
}
END
