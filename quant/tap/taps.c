/* The stack of taps on a block's hook; see tap.h. */
#include "tap.h"
#include <string.h>

static const ar__tap *const kinds[] = {
#define AR_TAP(name) &ar__tap_##name,
#include "taps.def"
#undef AR_TAP
};

uint32_t ar__taps_of(uint32_t declared, const ar_scheme *scheme) {
    uint32_t wanted = 0;
    for (int32_t k = 0; k < AR__TAP_COUNT; k++)
        if ((declared >> k & 1) && (!scheme || !kinds[k]->applies || kinds[k]->applies(scheme)))
            wanted |= 1u << k;
    return wanted;
}

static ar_status look_linear(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    const ar__tap_layer *layer = ctx;
    if (layer->list[i]) AR_TRY(layer->tap->record(g, layer->list[i], x));
    return ar_hook_linear(layer->hook.base, g, y, i, x);
}

ar_status ar__taps_init(ar__taps *t, ar_device *device, const ar_block *block, const ar_hook *base,
                        const uint32_t *wanted) {
    *t = (ar__taps){.top = base};
    for (int32_t k = 0; k < AR__TAP_COUNT; k++) {
        ar__tap_layer *layer = &t->layers[k];
        bool any = false;
        layer->tap = kinds[k];
        for (int32_t i = 0; i < block->linear_count; i++) {
            if (!(wanted[i] >> k & 1)) continue;
            AR_TRY(layer->tap->create(&layer->list[i], device, &block->linears[i]));
            any = true;
        }
        if (!any) continue;
        layer->hook = (ar_hook){.linear = look_linear, .ctx = layer, .base = t->top};
        t->top = &layer->hook;
    }
    return AR_OK;
}

const ar_hook *ar__taps_hook(const ar__taps *t) { return t->top; }

ar_status ar__taps_finish(ar__taps *t) {
    for (int32_t k = 0; k < AR__TAP_COUNT; k++)
        for (int32_t i = 0; i < AR_MAX_LINEARS; i++)
            if (t->layers[k].list[i]) AR_TRY(t->layers[k].tap->finish(t->layers[k].list[i]));
    return AR_OK;
}

const ar_tensor *ar__taps_at(const ar__taps *t, ar__tap_id k, int32_t i) {
    return t ? t->layers[k].list[i] : NULL;
}

void ar__taps_deinit(ar__taps *t) {
    for (int32_t k = 0; k < AR__TAP_COUNT; k++)
        for (int32_t i = 0; i < AR_MAX_LINEARS; i++) ar_tensor_destroy(t->layers[k].list[i]);
    memset(t, 0, sizeof *t);
}
