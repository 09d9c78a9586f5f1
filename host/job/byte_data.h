/* Bytes of a text as data: so many in a row, and the one behind them as the label. */
#ifndef AR_BYTE_DATA_H
#define AR_BYTE_DATA_H
#include "ar_error.h"
#include "ar_host.h"

typedef struct ar_byte_data {
    ar_data data;
    const uint8_t *text;
    int64_t trained, bytes; /* what is behind the first `trained` bytes is held out */
    int32_t context;
    uint64_t seed;
} ar_byte_data;
/* Borrows text, which errors call name. held: the share at its end that is not trained on (1: all is looked
 * at), of which at most 16384 places, evenly spread, are looked at. Errors: USAGE for a text that is too
 * short. */
ar_status ar__byte_data_init(ar_byte_data *d, const char *name, const uint8_t *text, int64_t bytes,
                             int32_t context, double held, uint64_t seed);
#endif
