/* Inputs of linears by a packed folder's own settings: a scheme, and tensors with the grids of static ones.
 */
#include "ar_error.h"
#include "fmt_packed.h"
#include "fmt_safetensors.h"
#include "passport.h"
#include <stdio.h>
#include <string.h>

/* The number that the tensor NAME.suffix holds; *found = false where there is none. */
static ar_status read_number(float *value, bool *found, const ar_safetensors *st, const char *name,
                             const char *suffix, const char *path) {
    char tensor[AR_HF_NAME + 32];
    snprintf(tensor, sizeof tensor, "%s.%s", name, suffix);
    const ar_st_tensor *t = ar_safetensors_find(st, tensor);
    *found = t != NULL;
    if (!t) return AR_OK;
    bool is_f32 = strcmp(t->dtype, "F32") == 0, is_f16 = strcmp(t->dtype, "F16") == 0,
         is_bf16 = strcmp(t->dtype, "BF16") == 0, is_i8 = strcmp(t->dtype, "I8") == 0;
    int64_t count = 1;
    for (int32_t d = 0; d < t->dim_count; d++) count *= t->dims[d];
    if (count != 1 || !(is_f32 || is_f16 || is_bf16 || is_i8))
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found %s of %lld numbers, expected one", path, tensor,
                        t->dtype, (long long)count);
    if (is_f32) memcpy(value, t->data, sizeof *value);
    if (is_f16) *value = ar_f16_to_f32((uint16_t)(t->data[0] | t->data[1] << 8));
    if (is_bf16) *value = ar_bf16_to_f32((uint16_t)(t->data[0] | t->data[1] << 8));
    if (is_i8) *value = (float)(int8_t)t->data[0];
    return AR_OK;
}

/* Linears that stay float have none. */
static ar_status read_grid(float grid[2], const ar_packed_config *c, const ar_safetensors *st,
                           const char *name) {
    bool has_scale, has_zero;
    AR_TRY(read_number(&grid[0], &has_scale, st, name, c->packing->input_scale, c->path));
    AR_TRY(read_number(&grid[1], &has_zero, st, name, c->packing->input_zero, c->path));
    if (!has_scale) grid[0] = 0.0f;
    if (!has_zero) grid[1] = 0.0f;
    if (!has_scale && !has_zero) return AR_OK;
    if (has_scale && ar__acts_grid_is_valid(&c->acts, grid)) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s: %s: found input scale %g, zero point %g, expected a positive scale",
                    c->path, name, (double)grid[0], (double)grid[1]);
}

static ar_status read_grids(ar_acts *a, const ar_packed_config *c, const ar_open_model *m) {
    ar_status status = AR_OK;
    ar_weights w = {0};
    char name[AR_HF_NAME];
    AR_TRY(ar_acts_make_grids(a, m->model.block_count));
    AR_TRY(ar_weights_open_safetensors(&w, m->path));
    const ar_safetensors *st = ar__weights_safetensors(&w);
    for (int32_t b = 0; b < m->model.block_count; b++)
        for (int32_t i = 0; i < m->model.blocks[b].linear_count; i++) {
            ar__hf_linear_name(name, &m->model.blocks[b], i);
            AR_GO(read_grid(a->grids[b][i], c, st, name));
        }
done:
    ar_weights_close(&w);
    return status;
}

ar_status ar__folder_acts(ar_acts *a, bool *found, const ar_open_model *m) {
    ar_packed_config c = {0};
    ar_status status = AR_OK;
    *found = false;
    AR_TRY(ar__packed_config_find(found, m->path));
    if (!*found) return AR_OK;
    AR_GO(ar__packed_config_open(&c, m->path));
    *found = c.acts.bits > 0;
    a->scheme = c.acts;
    if (*found && c.acts.range == AR_ACTS_STATIC) AR_GO(read_grids(a, &c, m));
done:
    ar__packed_config_close(&c);
    return status;
}
