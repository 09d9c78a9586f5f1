/* A model in several files, as llama.cpp's gguf-split cuts them: NAME-00001-of-0000N.gguf and so on, each a
 * GGUF file with its own tensors and split.no, split.count; the first has the key-values of the model too. */
#include "fmt_gguf.h"
#include "place.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ar_status ar__gguf_add_pieces(ar_snapshot *s, const char *path) {
    int64_t piece, count;
    ar_status status = AR_OK;
    if (!ar__piece_number(&piece, &count, path)) return AR_OK;
    for (int64_t i = 1; i <= count && status == AR_OK; i++) {
        char *name = ar__piece_name(path, i);
        if (!name) return AR_ERR_MEMORY;
        if (i != piece && ar_path_exists(name)) status = ar_snapshot_add(s, name);
        free(name);
    }
    return status;
}

/* 0 where there is none of that kind. */
static int64_t read_u16(const ar__gguf *g, const char *key) {
    const ar__gguf_value *v = ar__gguf_find(g, key);
    return v && v->kind == AR__GGUF_U16 ? v->data[0] | v->data[1] << 8 : 0;
}

int64_t ar__gguf_split_count(const ar__gguf *g) { return read_u16(g, "split.count"); }

/* Tensors of the piece at path join those of g. */
static ar_status join(ar__gguf *g, ar__gguf_piece *p, int64_t piece, int64_t count) {
    ar__gguf other;
    ar_status status = AR_OK;
    AR_GO(ar__gguf_map_one(&other, &p->file, p->path));
    int64_t no = read_u16(&other, "split.no"), all = ar__gguf_split_count(&other);
    if (no != piece || all != count)
        AR_GO(ar__fail(AR_ERR_FORMAT,
                       "%s: found file %" PRId64 " of %" PRId64 " in it, expected %" PRId64 " of %" PRId64,
                       p->path, no + 1, all, piece + 1, count));
    size_t tensors = (size_t)(g->tensor_count + other.tensor_count);
    ar__gguf_tensor *joined = realloc(g->tensors, (tensors + 1) * sizeof *joined);
    if (!joined) AR_GO(AR_ERR_MEMORY);
    memcpy(joined + g->tensor_count, other.tensors, (size_t)other.tensor_count * sizeof *joined);
    g->tensors = joined;
    g->tensor_count += other.tensor_count;
done:
    ar__gguf_deinit(&other);
    return status;
}

/* Whether path is the first of count files by its name, as others are found by theirs. */
static ar_status check_name(const ar__gguf *g, int64_t no, int64_t count) {
    int64_t piece, named;
    bool is_named = ar__piece_number(&piece, &named, g->what);
    if (is_named && piece == no + 1 && named == count && no == 0) return AR_OK;
    if (!is_named || named != count || piece != no + 1)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: found file %" PRId64 " of %" PRId64
                        " in it, expected a name that ends with -%05" PRId64 "-of-%05" PRId64 ".gguf",
                        g->what, no + 1, count, no + 1, count);
    char *first = ar__piece_name(g->what, 1);
    if (!first) return AR_ERR_MEMORY;
    ar_status status =
        ar__fail(AR_ERR_FORMAT, "%s: found file %" PRId64 " of %" PRId64 ", expected the first, %s", g->what,
                 no + 1, count, first);
    free(first);
    return status;
}

static ar_status check_tensors(const ar__gguf *g) {
    const ar__gguf_value *v = ar__gguf_find(g, "split.tensors.count");
    if (!v || v->kind != AR__GGUF_I32) return AR_OK;
    int64_t expected = (int32_t)ar__gguf_load32(v->data);
    if (g->tensor_count != expected)
        return ar__fail(AR_ERR_FORMAT, "%s: found %" PRId64 " tensors in all its files, expected %" PRId64,
                        g->what, g->tensor_count, expected);
    return ar__gguf_check_names(g);
}

static ar_status join_all(ar__gguf *g) {
    int64_t no = read_u16(g, "split.no"), count = ar__gguf_split_count(g);
    if (count <= 1) return AR_OK;
    AR_TRY(check_name(g, no, count));
    g->pieces = ar__alloc((size_t)count - 1, sizeof *g->pieces);
    if (!g->pieces) return AR_ERR_MEMORY;
    for (int64_t i = 1; i < count; i++) {
        ar__gguf_piece *p = &g->pieces[g->piece_count++];
        p->path = ar__piece_name(g->what, i + 1);
        if (!p->path) return AR_ERR_MEMORY;
        AR_TRY(join(g, p, i, count));
    }
    return check_tensors(g);
}

ar_status ar__gguf_map(ar__gguf *g, ar_file *file, const char *path) {
    AR_TRY(ar__gguf_map_one(g, file, path));
    return join_all(g);
}
