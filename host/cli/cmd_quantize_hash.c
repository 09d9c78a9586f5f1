/* anyround quantize: the files a result depends on, as its state knows them again. */
#include "place.h"
#include "quantize_job.h"
#include <stdio.h>
#include <string.h>

#define HASH_BYTES ((uint64_t)16 << 20) /* between looks at Ctrl-C */

ar_status ar__quantize_hash_file(uint64_t *hash, const char *path) {
    ar_file f = {0};
    ar_status status = ar_file_open(&f, path);
    for (uint64_t at = 0; status == AR_OK && at < f.bytes; at += HASH_BYTES) {
        *hash =
            ar_hash64(*hash, f.data + at, (size_t)(f.bytes - at < HASH_BYTES ? f.bytes - at : HASH_BYTES));
        if (ar_program_interrupted())
            status = ar__fail(AR_ERR_INTERRUPTED, "interrupted while hashing %s", path);
    }
    ar_file_close(&f);
    return status;
}

ar_status ar__quantize_hash_model(uint64_t *hash, const ar_open_model *m) {
    const char *path;
    *hash = 0xcbf29ce484222325u;
    for (int32_t i = 0; (path = ar_snapshot_file(&m->files, i)); i++) {
        const char *name = ar__path_name(path);
        if (ar_path_is_dir(m->path)) *hash = ar_hash64(*hash, name, strlen(name));
        AR_TRY(ar__quantize_hash_file(hash, path));
    }
    return ar_snapshot_check(&m->files);
}

uint64_t ar__quantize_hash_samples(const ar_samples *s) {
    return ar_hash64(0xcbf29ce484222325u, s->ids, (size_t)s->count * (size_t)s->T * sizeof *s->ids);
}

void ar__quantize_tell_hashes(char *text, size_t bytes, const ar_samples *s, const uint64_t *imatrix) {
    size_t used = 0;
    text[0] = '\0';
    if (s->ids)
        used = (size_t)snprintf(text, bytes, "%016llx", (unsigned long long)ar__quantize_hash_samples(s));
    if (imatrix)
        snprintf(text + used, bytes - used, "%simatrix %016llx", used ? ", " : "",
                 (unsigned long long)*imatrix);
}
