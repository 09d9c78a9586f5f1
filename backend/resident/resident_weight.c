/* Resident weights: their layout in the panels of shaders/unpack.h, checks, life. resident_upload.c fills
 * them.
 */
#include "resident_weight.h"
#include <stdlib.h>

/* ---- layout ---- */

typedef struct layout {
    uint8_t code, scale, ub, gb; /* kinds of unpack.h; blocks in a unit of scales, in a group; 0 = all */
} layout;

static const layout layouts[AR_QT_COUNT] = {
    [AR_QT_F32] = {32, 0, 0, 0}, [AR_QT_F16] = {16, 0, 0, 0},    [AR_QT_BF16] = {17, 0, 0, 0},
    [AR_QT_Q4_0] = {4, 1, 2, 1}, [AR_QT_Q4_1] = {4, 2, 1, 1},    [AR_QT_Q5_0] = {5, 1, 2, 1},
    [AR_QT_Q5_1] = {5, 2, 1, 1}, [AR_QT_Q8_0] = {8, 1, 2, 1},    [AR_QT_Q2_K] = {2, 4, 8, 8},
    [AR_QT_Q3_K] = {3, 6, 8, 8}, [AR_QT_Q4_K] = {4, 5, 8, 8},    [AR_QT_Q5_K] = {5, 5, 8, 8},
    [AR_QT_Q6_K] = {6, 6, 8, 8}, [AR_QT_IQ4_NL] = {20, 1, 2, 1},
};

static void group_layout(ar_resident_weight *w, const ar_scheme *scheme) {
    int64_t groups = ar_scheme_groups(scheme, w->I);
    if (groups > 1 && scheme->group % AR__BLOCK != 0) {
        w->code = 32, w->scale = 0, w->ub = w->gb = w->nb;
        return;
    }
    w->code = (uint32_t)scheme->bits;
    w->scale = scheme->zero == AR_ZERO_SYM ? 1 : scheme->zero == AR_ZERO_F16MIN ? 2 : 3;
    w->gb = groups > 1 ? (uint32_t)(scheme->group / AR__BLOCK) : w->nb;
    w->ub = w->scale == 1 ? 2 * w->gb : w->gb;
}

ar_status ar__resident_layout(ar_resident_weight *w, const ar_resident_weight_desc *part) {
    w->type = part->type;
    w->I = part->I;
    if (part->I < 1 || part->I > INT32_MAX)
        return ar__fail(AR_ERR_SHAPE, "resident: rows of %lld inputs", (long long)part->I);
    w->nb = (uint32_t)((part->I + AR__BLOCK - 1) / AR__BLOCK);
    if (part->type == AR_QT_GROUP) {
        AR_TRY(ar_scheme_check(&part->scheme));
        if (part->scheme.super != AR_SUPER_NONE)
            return ar__fail(AR_ERR_UNSUPPORTED,
                            "resident: codes of a double-quantized scheme, expected them as blocks");
        group_layout(w, &part->scheme);
    } else {
        if (ar_qtype_row_bytes(part->type, part->I) < 0)
            return ar__fail(AR_ERR_SHAPE, "resident: %s rows of %lld inputs, expected a multiple of %d",
                            ar_qtype_name(part->type), (long long)part->I, ar_qtype_elems(part->type));
        const layout *l = &layouts[part->type];
        w->code = l->code, w->scale = l->scale;
        w->ub = l->ub ? l->ub : w->nb;
        w->gb = l->gb ? l->gb : w->nb;
    }
    uint32_t units = (w->nb + w->ub - 1) / w->ub;
    w->code_words = w->code == 20 ? 4 : w->code == 17 ? 16 : w->code;
    w->pw = w->nb * w->code_words + units * (w->scale == 0 ? 0 : w->scale < 4 ? 1 : 5);
    return AR_OK;
}

static uint64_t panel_bytes(const ar_resident_weight *w) { return (uint64_t)w->pw * w->lp * w->vw * 4; }

/* Panels of the plan's height, lower where that would be mostly padding or pass a binding. */
static ar_status choose_panels(ar_resident_weight *w) {
    const ar_plan *plan = &w->device->plan;
    w->vw = plan->vw;
    w->lp = plan->resident_lp ? plan->resident_lp : 1;
    while (w->lp > 1 && ((int64_t)w->lp / 2 * w->vw >= w->O || panel_bytes(w) > plan->piece_bytes / 4))
        w->lp /= 2;
    if (panel_bytes(w) + plan->offset_align + 64 > plan->piece_bytes)
        return ar__fail(AR_ERR_UNSUPPORTED,
                        "resident: %u rows of %lld inputs pass the %llu bytes this device binds", w->vw,
                        (long long)w->I, (unsigned long long)plan->piece_bytes);
    w->panels = (w->O + w->lp * w->vw - 1) / (w->lp * w->vw);
    return AR_OK;
}

/* ---- checks ---- */

static ar_status check_part(const ar_resident_weight_desc *part, const ar_resident_weight_desc *first) {
    if ((unsigned)part->type >= AR_QT_COUNT)
        return ar__fail(AR_ERR_ARG, "resident: unknown type %d", (int)part->type);
    if (part->type != first->type || part->I != first->I)
        return ar__fail(AR_ERR_SHAPE, "resident: parts are %s of %lld and %s of %lld inputs, expected alike",
                        ar_qtype_name(first->type), (long long)first->I, ar_qtype_name(part->type),
                        (long long)part->I);
    if (part->O < 0 || part->O > INT32_MAX)
        return ar__fail(AR_ERR_SHAPE, "resident: %lld rows", (long long)part->O);
    if (part->type == AR_QT_GROUP) {
        const ar_scheme *a = &part->scheme, *b = &first->scheme;
        if (a->bits != b->bits || a->group != b->group || a->zero != b->zero)
            return ar__fail(AR_ERR_SHAPE, "resident: parts of different schemes");
        if (!part->codes || !part->scales || (a->zero == AR_ZERO_INT && !part->zeros) ||
            (a->zero == AR_ZERO_F16MIN && !part->mins))
            return ar__fail(AR_ERR_ARG, "resident: codes, scales, zero points or minima are missing");
        return AR_OK;
    }
    int64_t bytes = ar_qtype_row_bytes(part->type, part->I);
    if (!part->blocks || (bytes > 0 && part->row_stride < (uint64_t)bytes))
        return ar__fail(AR_ERR_ARG, "resident: rows %llu bytes apart, expected at least %lld",
                        (unsigned long long)part->row_stride, (long long)bytes);
    return AR_OK;
}

static ar_status check_parts(const ar_resident_weight_desc *parts, int32_t count, bool interleave2) {
    if (count < 1) return ar__fail(AR_ERR_ARG, "resident: no parts");
    for (int32_t i = 0; i < count; i++) AR_TRY(check_part(&parts[i], &parts[0]));
    if (interleave2 && (count != 2 || parts[0].O != parts[1].O))
        return ar__fail(AR_ERR_SHAPE, "resident: %d parts, expected two of one height to interleave", count);
    return AR_OK;
}

/* ---- life ---- */

ar_status ar_resident_weight_create(ar_resident_weight **out, ar_device *device,
                                    const ar_resident_weight_desc *parts, int32_t count, bool interleave2) {
    ar_status status = AR_OK;
    ar_resident_weight *w = NULL;
    *out = NULL;
    AR_TRY(check_parts(parts, count, interleave2));
    w = ar__alloc(1, sizeof *w);
    if (!w) return AR_ERR_MEMORY;
    w->device = device;
    w->is_interleaved = interleave2;
    for (int32_t i = 0; i < count; i++) w->O += parts[i].O;
    AR_GO(ar__resident_layout(w, &parts[0]));
    AR_GO(choose_panels(w));
    if (w->O > 0) {
        AR_GO(ar_tensor_create(&w->words, device, AR_U32, 2,
                               (int64_t[]){w->panels, (int64_t)(panel_bytes(w) / 4)}));
        AR_GO(ar__resident_upload(w, parts));
    }
    *out = w;
    w = NULL;
done:
    ar_resident_weight_destroy(w);
    return status;
}

void ar_resident_weight_destroy(ar_resident_weight *w) {
    if (!w) return;
    ar_tensor_destroy(w->words);
    free(w);
}

uint64_t ar_resident_weight_bytes(const ar_resident_weight *w) {
    return (uint64_t)w->panels * panel_bytes(w);
}
int64_t ar_resident_weight_O(const ar_resident_weight *w) { return w->O; }
int64_t ar_resident_weight_I(const ar_resident_weight *w) { return w->I; }
