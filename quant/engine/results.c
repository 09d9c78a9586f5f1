/* What a block's results are for: W' in the place of the weights, and that files hold their scales. */
#include "engine.h"
#include <stdlib.h>

ar_status ar__results_place(ar_block_weights *w, ar_qlinear *const *q) {
    for (int32_t i = 0; i < w->block->linear_count; i++) {
        if (!q[i]) continue;
        float *dense = ar__alloc((size_t)q[i]->O, (size_t)q[i]->I * sizeof *dense);
        if (!dense) return AR_ERR_MEMORY;
        ar_qlinear_dequant(dense, q[i]);
        ar_status status = ar_tensor_write(w->linears[i], dense, 0, q[i]->O * q[i]->I);
        free(dense);
        AR_TRY(status);
    }
    return AR_OK;
}

ar_status ar__results_check(ar_qlinear *const *list, const ar_block *block) {
    char name[AR__WEIGHT_NAME];
    for (int32_t i = 0; i < block->linear_count; i++) {
        ar__weight_name(name, block, i);
        if (list[i]) AR_TRY(ar_qlinear_check_scales(list[i], name, 0));
    }
    return AR_OK;
}
