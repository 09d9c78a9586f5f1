/* What linears cost at each width; see allot.h. The method search walks the float model once per width;
 * beside the first walk every unit that is rounded alone has a chain of its own, and all chains pass a block
 * while it is on the device. */
#include "allot.h"
#include "ar_error.h"
#include "fmt_gguf.h"
#include "formats.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

bool ar__width_scheme(ar_scheme *scheme, uint64_t *bytes, const ar__width *w, const ar_output_plan *plan,
                      const ar_linear *lin) {
    if (w->type != AR_QT_COUNT) {
        ar_qtype type = ar__gguf_fitting_type(w->type, lin->I);
        if (!ar__gguf_scheme(scheme, type)) return false;
        *bytes = (uint64_t)(lin->O * ar__gguf_row_bytes(ar__gguf_type_for(type), lin->I));
        return true;
    }
    *scheme = plan->scheme;
    scheme->bits = w->bits;
    int64_t groups = ar_scheme_groups(scheme, lin->I);
    *bytes = (uint64_t)(lin->O *
                        ((lin->I + (scheme->zero == AR_ZERO_SYM ? 0 : groups)) * w->bits + 16 * groups) / 8);
    return ar_output_plan_holds_scheme(plan, scheme, lin->O, lin->I);
}

/* One walk. */
typedef struct walk {
    const ar__allot_unit *units;
    int32_t unit_count;
    const ar_open_model *m;
    const ar_output_plan *plan;
    const ar__width *width;
    ar_device *device;
    const ar_samples *samples;
    double *error;      /* (units): squared, of the weights */
    ar_chain *chains;   /* (units), or NULL: errors alone */
    ar_chain base;      /* of the float model */
    ar_qlinear **codes; /* (blocks, AR_MAX_LINEARS): of units' linears, kept; NULL = not */
} walk;

static bool choose(void *ctx, const ar_block *block, int32_t i, ar_scheme *scheme) {
    const walk *w = ctx;
    uint64_t bytes;
    return ar__width_scheme(scheme, &bytes, w->width, w->plan, &block->linears[i]);
}

static ar_status read_weights(float **values, const ar_block *block, int32_t i) {
    const ar_linear *lin = &block->linears[i];
    *values = ar__alloc((size_t)lin->O, (size_t)lin->I * sizeof **values);
    if (!*values) return AR_ERR_MEMORY;
    return block->read_linear(block, *values, i, 0, lin->O);
}

static ar_status rounded_weights(float **values, const ar_qlinear *q) {
    *values = ar__alloc((size_t)q->O, (size_t)q->I * sizeof **values);
    if (!*values) return AR_ERR_MEMORY;
    ar_qlinear_dequant(*values, q);
    return AR_OK;
}

static ar_status add_error(double *error, const ar_block *block, int32_t i, const ar_qlinear *q) {
    float *own = NULL, *rounded = NULL;
    ar_status status = read_weights(&own, block, i);
    if (status == AR_OK) status = rounded_weights(&rounded, q);
    for (int64_t k = 0; status == AR_OK && k < q->O * q->I; k++)
        *error += ((double)rounded[k] - (double)own[k]) * ((double)rounded[k] - (double)own[k]);
    free(own);
    free(rounded);
    return status;
}

/* The unit's linears on the device become rounded, or float again. */
static ar_status put_weights(const ar_block_weights *weights, const ar__allot_unit *u, ar_qlinear *const *q,
                             bool rounded) {
    for (int32_t k = 0; k < u->count; k++) {
        int32_t i = u->linears[k];
        float *values = NULL;
        ar_status status =
            rounded ? rounded_weights(&values, q[i]) : read_weights(&values, weights->block, i);
        if (status == AR_OK) status = ar_tensor_write(weights->linears[i], values, 0, q[i]->O * q[i]->I);
        free(values);
        AR_TRY(status);
    }
    return AR_OK;
}

static ar_status move(const walk *w, ar_chain *to, const ar_chain *from, const ar_block_weights *weights) {
    return ar_chain_forward(to, from, w->device, weights->block, &weights->hook, w->samples->T,
                            w->samples->count);
}

/* All chains past this block, in which units begin theirs. */
static ar_status move_chains(walk *w, const ar_block *block, ar_qlinear *const *q) {
    ar_block_weights weights;
    ar_status status = AR_OK;
    AR_TRY(ar_block_weights_init(&weights, block, w->device));
    for (int32_t u = 0; u < w->unit_count; u++) {
        const ar__allot_unit *unit = &w->units[u];
        ar_chain *c = &w->chains[u];
        if (unit->block > block->index) break;
        if (unit->block < block->index) {
            AR_GO(move(w, c, c, &weights));
            continue;
        }
        AR_GO(ar_chain_init(c, w->base.rows, w->base.width, NULL, 0));
        AR_GO(put_weights(&weights, unit, q, true));
        AR_GO(move(w, c, &w->base, &weights));
        AR_GO(put_weights(&weights, unit, q, false));
    }
    AR_GO(move(w, &w->base, &w->base, &weights));
done:
    ar_block_weights_deinit(&weights);
    return status;
}

static ar_status copy_codes(ar_qlinear **copy, const ar_qlinear *q) {
    const struct {
        size_t offset;
        int64_t bytes;
    } parts[] = {{offsetof(ar_qlinear, codes), q->O * q->I},
                 {offsetof(ar_qlinear, scales), q->O * q->groups * 2},
                 {offsetof(ar_qlinear, zeros), q->O * q->groups},
                 {offsetof(ar_qlinear, mins), q->O * q->groups * 2},
                 {offsetof(ar_qlinear, d), q->O * q->supers * 2},
                 {offsetof(ar_qlinear, dmin), q->O * q->supers * 2},
                 {offsetof(ar_qlinear, sub_scales), q->O * q->groups},
                 {offsetof(ar_qlinear, sub_mins), q->O * q->groups}};
    *copy = ar__alloc(1, sizeof **copy);
    if (!*copy) return AR_ERR_MEMORY;
    AR_TRY(ar_qlinear_init(*copy, &q->scheme, q->O, q->I));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        void *to, *from;
        memcpy(&to, (char *)*copy + parts[i].offset, sizeof to);
        memcpy(&from, (const char *)q + parts[i].offset, sizeof from);
        if (to && from) memcpy(to, from, (size_t)parts[i].bytes);
    }
    return AR_OK;
}

static ar_status take_block(void *ctx, const ar_block *block, ar_qlinear *const *q,
                            const ar_block_report *r) {
    walk *w = ctx;
    (void)r;
    for (int32_t u = 0; u < w->unit_count; u++) {
        const ar__allot_unit *unit = &w->units[u];
        for (int32_t k = 0; unit->block == block->index && k < unit->count; k++) {
            int32_t i = unit->linears[k];
            ar_qlinear **copy = w->codes ? &w->codes[(int64_t)block->index * AR_MAX_LINEARS + i] : NULL;
            AR_TRY(copy ? copy_codes(copy, q[i]) : add_error(&w->error[u], block, i, q[i]));
        }
    }
    return w->chains ? move_chains(w, block, q) : AR_OK;
}

static ar_status run_walk(walk *w, const ar_observer *observer) {
    ar_method_options o;
    ar_sink sink = {.block = take_block, .ctx = w};
    const ar_method *search = ar_method_find("search");
    ar_quant_desc desc = {.scheme = w->plan->scheme, .choose = choose, .choose_ctx = w, .options = &o};
    ar_method_options_init(&o, search);
    ar_method_options_put(&o, "quantized_input", 0);
    ar_method_options_put(&o, "samples", w->samples->count);
    ar_method_options_put(&o, "seqlen", w->samples->T);
    if (w->chains) {
        AR_TRY(
            ar_chain_init(&w->base, (int64_t)w->samples->count * w->samples->T, w->m->model.hidden, NULL, 0));
        AR_TRY(ar_chain_embed(&w->base, &w->m->model, w->samples));
    }
    AR_TRY(search->run(&w->m->model, w->device, w->samples, &desc, &sink, observer));
    return AR_OK;
}

static ar_status measure_gradients(double *cost, walk *w, const ar__width *widths, int32_t width_count,
                                   const ar_observer *observer) {
    ar_status status = AR_OK;
    int64_t count = (int64_t)w->m->model.block_count * AR_MAX_LINEARS;
    w->codes = ar__alloc((size_t)count, sizeof *w->codes);
    if (!w->codes) return AR_ERR_MEMORY;
    for (int32_t c = 0; c < width_count; c++) {
        w->width = &widths[c];
        AR_GO(run_walk(w, observer));
        AR_GO(ar__allot_gradient(cost + c, width_count, w->units, w->unit_count, w->codes, &w->m->model,
                                 w->device, w->samples, observer));
        for (int64_t i = 0; i < count; i++) ar_qlinear_free(w->codes[i]), w->codes[i] = NULL;
    }
done:
    for (int64_t i = 0; i < count; i++) ar_qlinear_free(w->codes[i]);
    free(w->codes);
    w->codes = NULL;
    return status;
}

ar_status ar__allot_measure(double *cost, const ar__allot_unit *units, int32_t unit_count,
                            const ar__width *widths, int32_t width_count, const ar_open_model *m,
                            const ar_output_plan *plan, ar_device *device, const ar_samples *samples,
                            bool by_gradient, const ar_observer *observer) {
    ar_status status = AR_OK;
    walk w = {units, unit_count, m, plan, widths, device, samples, NULL, NULL, {.fd = -1}, NULL};
    if (by_gradient) return measure_gradients(cost, &w, widths, width_count, observer);
    double *errors = ar__alloc((size_t)unit_count * (size_t)width_count, sizeof *errors),
           *kl = ar__alloc((size_t)unit_count, sizeof *kl);
    ar_chain *chains = ar__alloc((size_t)unit_count, sizeof *chains);
    if (!errors || !kl || !chains) AR_GO(AR_ERR_MEMORY);
    for (int32_t u = 0; u < unit_count; u++) chains[u].fd = -1;
    for (int32_t c = 0; c < width_count; c++) {
        w.width = &widths[c];
        w.chains = c == 0 ? chains : NULL;
        w.error = errors + (int64_t)c * unit_count;
        AR_GO(run_walk(&w, observer));
    }
    AR_GO(ar__chains_kl(kl, &m->model, device, chains, unit_count, &w.base));
    for (int32_t u = 0; u < unit_count; u++)
        for (int32_t c = 0; c < width_count; c++)
            cost[(int64_t)u * width_count + c] =
                errors[u] > 0.0 ? kl[u] * errors[(int64_t)c * unit_count + u] / errors[u] : 0.0;
done:
    for (int32_t u = 0; chains && u < unit_count; u++) ar_chain_deinit(&chains[u]);
    ar_chain_deinit(&w.base);
    free(errors);
    free(kl);
    free(chains);
    return status;
}
