/* How a model's inputs of linears are quantized: as its file says, or as a program wishes. */
#include "acts.h"
#include "ar_error.h"
#include "fmt_gguf.h"
#include "fmt_packed.h"
#include "passport.h"
#include <string.h>

static ar_status read_grids(ar_acts *a, const ar_open_model *m) {
    if (a->scheme.range != AR_ACTS_STATIC) return AR_OK;
    AR_TRY(ar_acts_make_grids(a, m->model.block_count));
    return ar_path_is_dir(m->path) ? ar__passport_grids(a, m, m->path) : ar__gguf_grids(a, m, m->path);
}

ar_status ar__model_read_acts(ar_open_model *m) {
    ar_passport p;
    bool found = false;
    if (ar_path_is_dir(m->path)) AR_TRY(ar__folder_acts(&m->acts, &found, m));
    if (found) return AR_OK;
    AR_TRY(ar_passport_read(&p, &found, m->path));
    if (!found || !p.acts[0]) return AR_OK;
    if (ar_acts_parse(&m->acts.scheme, p.acts) != AR_OK)
        return ar__fail(AR_ERR_FORMAT, "%s: %s", m->path, ar_error());
    return read_grids(&m->acts, m);
}

ar_status ar_model_acts(ar_open_model *m, const char *text, bool by_codes) {
    ar_acts_scheme wished;
    char recorded[AR_ACTS_TEXT];
    ar_acts_show(recorded, &m->acts.scheme);
    bool bytes = text && strcmp(text, AR_ACTS_BYTES) == 0;
    if (bytes) text = "16";
    if (text) {
        AR_TRY(ar_acts_parse(&wished, text));
        bool is_static = wished.bits > 0 && wished.range == AR_ACTS_STATIC;
        const ar_acts_scheme *had = &m->acts.scheme;
        bool is_known = wished.bits == had->bits && wished.range == had->range && wished.asym == had->asym;
        if (is_static && !is_known)
            return ar__fail(
                AR_ERR_USAGE,
                "activations: found %s, but static ranges are those that a model records: %s has %s", text,
                m->path, m->acts.scheme.bits > 0 ? recorded : "none");
        if (!is_static) ar_acts_deinit(&m->acts);
        m->acts.scheme = wished;
    }
    if (by_codes && m->acts.scheme.bits == 0)
        return ar__fail(AR_ERR_USAGE, "integer products: %s has no quantized activations", m->path);
    m->acts.by_codes = by_codes;
    m->acts.bytes = bytes;
    return AR_OK;
}
