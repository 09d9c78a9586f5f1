/* Weights whose codes are multiplied as integers: codes as bytes, scales and zero points beside them. Groups
 * longer than what 32 bits can surely add up become several of one scale. */
#include "int_weight.h"
#include <stdlib.h>
#include <string.h>

#define MOST_WORDS 4096 /* of a group: 16384 products of at most 255 * 255 */

static ar_status check(const ar_resident_weight_desc *d) {
    bool is_int = d->scheme.zero == AR_ZERO_SYM || d->scheme.zero == AR_ZERO_INT;
    if (d->type != AR_QT_GROUP || !is_int || d->scheme.super != AR_SUPER_NONE)
        return ar__fail(AR_ERR_UNSUPPORTED,
                        "integer products: found a weight of %s, expected codes with integer zero points",
                        d->type == AR_QT_GROUP ? "fp16 minima" : ar_qtype_name(d->type));
    AR_TRY(ar_scheme_check(&d->scheme));
    if (!d->codes || !d->scales || (d->scheme.zero == AR_ZERO_INT && !d->zeros))
        return ar__fail(AR_ERR_ARG, "integer products: codes, scales or zero points are missing");
    if (d->O < 1 || d->I < 1 || d->O > INT32_MAX || d->I > INT32_MAX)
        return ar__fail(AR_ERR_SHAPE, "integer products: a weight of %lld x %lld", (long long)d->O,
                        (long long)d->I);
    if (ar_scheme_groups(&d->scheme, d->I) > 1 && d->scheme.group % 4)
        return ar__fail(AR_ERR_UNSUPPORTED,
                        "integer products: found groups of %d, expected a multiple of 4 or whole rows",
                        (int)d->scheme.group);
    return AR_OK;
}

/* Words of a group as the kernel has it, and how many of them make up one of the scheme's. */
static int64_t parts_of(ar_int_weight *w, const ar_resident_weight_desc *d) {
    bool whole_row = ar_scheme_groups(&d->scheme, w->I) == 1;
    int64_t whole = whole_row ? w->words : d->scheme.group / 4, parts = 1;
    while ((whole + parts - 1) / parts > MOST_WORDS || (!whole_row && whole % parts)) parts++;
    w->group_words = (whole + parts - 1) / parts;
    w->groups = (w->words + w->group_words - 1) / w->group_words;
    return parts;
}

static void fill(uint32_t *codes, float *grid, const ar_int_weight *w, const ar_resident_weight_desc *d,
                 int64_t parts, int64_t panel) {
    int64_t groups = ar_scheme_groups(&d->scheme, d->I), first = panel * AR__INT_PANEL;
    memset(codes, 0, (size_t)(w->words * AR__INT_PANEL) * sizeof *codes);
    memset(grid, 0, (size_t)(w->groups * AR__INT_PANEL) * 2 * sizeof *grid);
    for (int64_t o = first; o < w->O && o < first + AR__INT_PANEL; o++) {
        for (int64_t i = 0; i < w->I; i++)
            codes[i / 4 * AR__INT_PANEL + o - first] |= (uint32_t)d->codes[o * w->I + i] << 8 * (i % 4);
        for (int64_t g = 0; g < w->groups; g++) {
            int64_t at = o * groups + (groups > 1 ? g / parts : 0);
            float *sz = grid + 2 * (g * AR__INT_PANEL + o - first);
            sz[0] = ar_f16_to_f32(d->scales[at]);
            sz[1] = d->scheme.zero == AR_ZERO_INT ? (float)d->zeros[at] : (float)(1 << (d->scheme.bits - 1));
        }
    }
}

static ar_status upload(ar_int_weight *w, const ar_resident_weight_desc *d, int64_t parts) {
    ar_status status = AR_OK;
    int64_t words = w->words * AR__INT_PANEL, floats = w->groups * AR__INT_PANEL * 2;
    uint32_t *codes = ar__alloc((size_t)words, sizeof *codes);
    float *grid = ar__alloc((size_t)floats, sizeof *grid);
    if (!codes || !grid) AR_GO(AR_ERR_MEMORY);
    for (int64_t p = 0; p < w->panels; p++) {
        fill(codes, grid, w, d, parts, p);
        AR_GO(ar_tensor_write(w->codes, codes, p * words, words));
        AR_GO(ar_tensor_write(w->grid, grid, p * floats, floats));
    }
done:
    free(codes);
    free(grid);
    return status;
}

ar_status ar_int_weight_create(ar_int_weight **out, ar_device *device, const ar_resident_weight_desc *d) {
    ar_status status = AR_OK;
    *out = NULL;
    AR_TRY(check(d));
    ar_int_weight *w = ar__alloc(1, sizeof *w);
    if (!w) return AR_ERR_MEMORY;
    *w = (ar_int_weight){.device = device, .O = d->O, .I = d->I, .words = (d->I + 3) / 4};
    w->panels = (w->O + AR__INT_PANEL - 1) / AR__INT_PANEL;
    int64_t parts = parts_of(w, d);
    AR_GO(ar_tensor_create(&w->codes, device, AR_U32, 3, (int64_t[]){w->panels, w->words, AR__INT_PANEL}));
    AR_GO(
        ar_tensor_create(&w->grid, device, AR_F32, 3, (int64_t[]){w->panels, w->groups * AR__INT_PANEL, 2}));
    AR_GO(upload(w, d, parts));
    *out = w;
    w = NULL;
done:
    ar_int_weight_destroy(w);
    return status;
}

void ar_int_weight_destroy(ar_int_weight *w) {
    if (!w) return;
    ar_tensor_destroy(w->codes);
    ar_tensor_destroy(w->grid);
    free(w);
}
