/* See byte_data.h. */
#include "byte_data.h"

#define MOST_HELD 16384

static void put(int32_t *input, int32_t *label, const ar_byte_data *d, int64_t at) {
    for (int32_t i = 0; i < d->context; i++) input[i] = d->text[at - d->context + i];
    *label = d->text[at];
}

static ar_status draw(const ar_data *data, void *input, int32_t *labels, int64_t step, int32_t first,
                      int32_t count) {
    const ar_byte_data *d = data->impl;
    for (int32_t i = 0; i < count; i++) {
        double u = ar_random_unit(d->seed, (uint64_t)step + 1, (uint64_t)(first + i));
        int64_t at = d->context + (int64_t)(u * (double)(d->trained - d->context));
        put((int32_t *)input + (int64_t)i * d->context, &labels[i], d, at);
    }
    return AR_OK;
}

static ar_status held(const ar_data *data, void *input, int32_t *labels, int64_t first, int32_t count) {
    const ar_byte_data *d = data->impl;
    int64_t places = d->bytes - d->trained - d->context;
    for (int32_t i = 0; i < count; i++) {
        int64_t at = d->trained + d->context + (first + i) * places / data->held_count;
        put((int32_t *)input + (int64_t)i * d->context, &labels[i], d, at);
    }
    return AR_OK;
}

ar_status ar__byte_data_init(ar_byte_data *d, const char *name, const uint8_t *text, int64_t bytes,
                             int32_t context, double share, uint64_t seed) {
    int64_t trained = bytes - (int64_t)((double)bytes * share), places = bytes - trained - context;
    if (share >= 1 && places < 1)
        return ar__fail(AR_ERR_USAGE, "%s: found %lld bytes, expected more than %d", name, (long long)bytes,
                        (int)context);
    if (share < 1 && (trained <= context || (share > 0 && places < 1)))
        return ar__fail(AR_ERR_USAGE, "%s: found %lld bytes, expected more than %d to train on%s", name,
                        (long long)bytes, (int)context, share > 0 ? ", and as many held out" : "");
    *d = (ar_byte_data){.text = text, .trained = trained, .bytes = bytes, .context = context, .seed = seed};
    d->data = (ar_data){.dtype = AR_I32,
                        .rows = context,
                        .labels = 1,
                        .held_count = share > 0 ? places < MOST_HELD ? places : MOST_HELD : 0,
                        .draw = draw,
                        .held = held,
                        .impl = d};
    return AR_OK;
}
