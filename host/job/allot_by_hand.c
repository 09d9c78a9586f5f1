/* Bits of linears of a folder by rules that people write; see allot.h. */
#include "allot.h"
#include "ar_error.h"
#include "fmt_gguf_types.h"
#include "hf_folder.h"
#include "output.h"
#include <stdio.h>
#include <stdlib.h>

typedef struct by_hand {
    ar__allotment *a;
    const ar_output_plan *plan;
    const ar_tensor_types *types;
    const ar_model *m;
    double bits, weights; /* of what is quantized */
} by_hand;

static ar_status check_names(const by_hand *h) {
    size_t most = (size_t)h->m->block_count * AR_MAX_LINEARS;
    char(*names)[AR_HF_NAME] = ar__alloc(most, sizeof *names);
    const char **list = ar__alloc(most, sizeof *list), *idle = NULL;
    int64_t count = 0;
    ar_status status = names && list ? AR_OK : AR_ERR_MEMORY;
    for (int32_t b = 0; status == AR_OK && b < h->m->block_count; b++)
        for (int32_t i = 0; i < h->m->blocks[b].linear_count; i++, count++) {
            ar__hf_linear_name(names[count], &h->m->blocks[b], i);
            list[count] = names[count];
        }
    if (status == AR_OK) idle = ar__tensor_types_idle(h->types, list, count);
    if (idle)
        status = ar__fail(AR_ERR_USAGE, "tensor type: '%s' is in no linear's name, as %s", idle, list[0]);
    free(names);
    free(list);
    return status;
}

_Static_assert(AR_ALLOT_MAX >= 8, "there are float and 2 to 8 bits");
/* The place of a width among those that there are by now. */
static int32_t width_of(ar__allotment *a, int32_t bits) {
    int32_t c = 0;
    while (c < a->width_count && a->widths[c].bits != bits) c++;
    if (c < a->width_count) return c;
    ar__width *w = &a->widths[a->width_count++];
    *w = (ar__width){.type = AR_QT_COUNT, .bits = bits};
    if (bits == 0)
        snprintf(w->label, sizeof w->label, "float");
    else
        snprintf(w->label, sizeof w->label, "%d", (int)bits);
    return c;
}

static ar_status take(by_hand *h, const ar_block *block, int32_t i) {
    const ar_linear *lin = &block->linears[i];
    char name[AR_HF_NAME];
    ar_scheme *scheme = &h->a->schemes[(int64_t)block->index * AR_MAX_LINEARS + i];
    uint64_t bytes = 0;
    ar__hf_linear_name(name, block, i);
    int32_t bits = ar__tensor_bits(h->types, name);
    if (bits < 0) bits = h->plan->scheme.bits;
    if (!ar_output_plan_holds(h->plan, lin->O, lin->I)) bits = 0; /* as without rules */
    ar__width width = {.type = AR_QT_COUNT, .bits = bits};
    *scheme = (ar_scheme){0};
    if (bits > 0 && !ar__width_scheme(scheme, &bytes, &width, h->plan, lin))
        return ar__fail(AR_ERR_USAGE, "tensor type: %s (%lld, %lld): found %d bits, which %s cannot hold",
                        name, (long long)lin->O, (long long)lin->I, (int)bits,
                        h->plan->format_count > 1 ? "the formats" : h->plan->formats[0]);
    h->a->linears[width_of(h->a, bits)]++;
    if (bits == 0) return AR_OK;
    h->bits += 8.0 * (double)bytes;
    h->weights += (double)(lin->O * lin->I);
    return AR_OK;
}

static ar_status check_fused(const by_hand *h, const ar_block *block) {
    const ar_scheme *schemes = &h->a->schemes[(int64_t)block->index * AR_MAX_LINEARS];
    for (int32_t i = 0; i < block->linear_count; i++)
        for (int32_t k = 0; k < i; k++) {
            int32_t fused = ar__allot_fused(&block->linears[i]);
            if (!fused || fused != ar__allot_fused(&block->linears[k]) || schemes[i].bits == schemes[k].bits)
                continue;
            return ar__fail(AR_ERR_USAGE,
                            "tensor type: %s: found %d bits for %s and %d for %s, expected one width, as "
                            "loaders fuse them",
                            block->name, (int)schemes[k].bits, block->linears[k].name, (int)schemes[i].bits,
                            block->linears[i].name);
        }
    return AR_OK;
}

ar_status ar__allot_by_hand(ar__allotment *a, ar_output_plan *plan, const ar_tensor_types *types,
                            const ar_open_model *m) {
    by_hand h = {a, plan, types, &m->model, 0.0, 0.0};
    bool are_seen = false;
    for (int32_t i = 0; i < plan->format_count; i++)
        are_seen = are_seen || !ar_format_find(plan->formats[i])->holds_values;
    a->schemes = ar__alloc((size_t)m->model.block_count * AR_MAX_LINEARS, sizeof *a->schemes);
    if (!a->schemes) return AR_ERR_MEMORY;
    AR_TRY(check_names(&h));
    for (int32_t b = 0; b < m->model.block_count; b++) {
        for (int32_t i = 0; i < m->model.blocks[b].linear_count; i++)
            AR_TRY(take(&h, &m->model.blocks[b], i));
        if (are_seen) AR_TRY(check_fused(&h, &m->model.blocks[b]));
    }
    if (!(h.weights > 0.0))
        return ar__fail(AR_ERR_USAGE, "tensor type: found no linear that is quantized, expected some");
    a->bpw = h.bits / h.weights;
    plan->schemes = a->schemes;
    return AR_OK;
}
