/* anyround quantize --like FILE --start like: the codes of another file, from which tuning starts. */
#include "quantize_job.h"
#include <stdlib.h>

ar_status ar__quantize_open_like(ar_open_model **like, const char *path, const ar_model *m) {
    AR_TRY(ar_model_open(like, path));
    const ar_model *other = &(*like)->model;
    if (other->block_count == m->block_count && other->hidden == m->hidden) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s: found %d blocks of width %lld, expected %d of %lld", path,
                    (int)other->block_count, (long long)other->hidden, (int)m->block_count,
                    (long long)m->hidden);
}

ar_status ar__quantize_like_codes(void *like, ar_qlinear **q, const ar_block *block, int32_t i) {
    const ar_open_model *m = like;
    *q = ar__alloc(1, sizeof **q);
    if (!*q) return AR_ERR_MEMORY;
    return ar_family_codes(*q, &m->model.blocks[block->index], i);
}

ar_status ar__quantize_record_like(ar_part_manifest *m, const char *path) {
    uint64_t hash = 0xcbf29ce484222325u;
    AR_TRY(ar__quantize_hash_file(&hash, path));
    ar__part_manifest_add(m, "start", "like %016llx", (unsigned long long)hash);
    return AR_OK;
}
