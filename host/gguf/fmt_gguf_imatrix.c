/* Importance matrices as llama-imatrix writes them: for each tensor NAME the sums of squares of its inputs,
 * NAME.in_sum2, over NAME.counts tokens; and the older binary form, whose values are sums too. */
#include "fmt_gguf.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUMS       ".in_sum2"
#define COUNTS     ".counts"
#define MAX_NAME   256
#define MAX_INPUTS (1 << 24)

typedef struct entry {
    const char *name;
    size_t name_bytes;
    const uint8_t *sums; /* f32 */
    int64_t count;
    double calls; /* tokens */
} entry;

struct ar_imatrix {
    ar_file file;
    ar__gguf g;
    entry *list;
    int64_t count;
};

void ar_imatrix_close(ar_imatrix *m) {
    if (!m) return;
    ar__gguf_deinit(&m->g);
    ar_file_close(&m->file);
    free(m->list);
    free(m);
}

/* ---- GGUF ---- */

static bool ends(const ar__gguf_tensor *t, const char *end) {
    size_t n = strlen(end);
    return t->name_bytes > n && memcmp(t->name + t->name_bytes - n, end, n) == 0;
}

/* Counts by the name before their ending. */
typedef struct counted {
    const char *name;
    size_t bytes;
    const ar__gguf_tensor *counts;
} counted;

static int compare_counted(const void *a, const void *b) {
    const counted *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    return memcmp(x->name, y->name, x->bytes);
}

/* All of them, in order: (*count) of the list, which has room. */
static void list_counts(counted *list, size_t *count, const ar__gguf *g) {
    *count = 0;
    for (int64_t i = 0; i < g->tensor_count; i++) {
        const ar__gguf_tensor *t = &g->tensors[i];
        if (ends(t, COUNTS)) list[(*count)++] = (counted){t->name, (size_t)t->name_bytes - strlen(COUNTS), t};
    }
    qsort(list, *count, sizeof *list, compare_counted);
}

static ar_status take_tensor(ar_imatrix *m, const ar__gguf_tensor *t, const counted *list, size_t count) {
    size_t bytes = (size_t)t->name_bytes - strlen(SUMS);
    const counted *found =
        bsearch(&(counted){t->name, bytes, NULL}, list, count, sizeof *list, compare_counted);
    const ar__gguf_tensor *counts = found ? found->counts : NULL;
    int64_t matrices = t->dim_count > 1 ? t->dims[t->dim_count - 2] : 1;
    if (!counts || counts->type->qtype != AR_QT_F32 || t->type->qtype != AR_QT_F32)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %.*s: found no f32 sums with their counts", m->g.what,
                        (int)bytes, t->name);
    if (matrices != 1) return AR_OK; /* of experts, which no family here has */
    m->list[m->count++] =
        (entry){t->name, bytes, t->data, t->dims[t->dim_count - 1], (double)ar__gguf_load_f32(counts->data)};
    return AR_OK;
}

static ar_status read_gguf(ar_imatrix *m, const char *path) {
    const char *type;
    size_t bytes;
    AR_TRY(ar__gguf_parse(&m->g, m->file.data, m->file.bytes, path));
    AR_TRY(ar__gguf_text(&type, &bytes, &m->g, "general.type"));
    if (!ar__gguf_text_is(type, bytes, "imatrix"))
        return ar__fail(AR_ERR_FORMAT, "%s: general.type: found no imatrix, expected one", path);
    size_t room = (size_t)m->g.tensor_count + 1, count;
    counted *counts = ar__alloc(room, sizeof *counts);
    m->list = ar__alloc(room, sizeof *m->list);
    ar_status status = counts && m->list ? AR_OK : AR_ERR_MEMORY;
    if (status == AR_OK) list_counts(counts, &count, &m->g);
    for (int64_t i = 0; i < m->g.tensor_count && status == AR_OK; i++)
        if (ends(&m->g.tensors[i], SUMS)) status = take_tensor(m, &m->g.tensors[i], counts, count);
    free(counts);
    return status;
}

/* ---- the older form: entries of name, calls, values; all sizes i32 ---- */

static ar_status take32(const ar_imatrix *m, uint64_t *at, int64_t *value, int64_t most, const char *path) {
    if (m->file.bytes - *at < 4)
        return ar__fail(AR_ERR_FORMAT, "%s: found its end at byte %" PRIu64 ", expected more", path, *at);
    *value = (int32_t)ar__gguf_load32(m->file.data + *at);
    *at += 4;
    if (*value >= 0 && *value <= most && (uint64_t)*value <= m->file.bytes) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s: found %" PRId64 " at byte %" PRIu64 ", expected 0 to %" PRId64, path,
                    *value, *at - 4, most);
}

static ar_status read_older(ar_imatrix *m, const char *path) {
    uint64_t at = 0;
    int64_t count = 0, name = 0, calls = 0, values = 0;
    AR_TRY(take32(m, &at, &count, AR_MAX_LAYERS * 64, path));
    m->list = ar__alloc((size_t)count + 1, sizeof *m->list);
    if (!m->list) return AR_ERR_MEMORY;
    for (; m->count < count; m->count++) {
        entry *e = &m->list[m->count];
        AR_TRY(take32(m, &at, &name, MAX_NAME, path));
        if (m->file.bytes - at < (uint64_t)name)
            return ar__fail(AR_ERR_FORMAT, "%s: found its end within a name", path);
        *e = (entry){.name = (const char *)m->file.data + at, .name_bytes = (size_t)name};
        at += (uint64_t)name;
        AR_TRY(take32(m, &at, &calls, INT32_MAX, path));
        AR_TRY(take32(m, &at, &values, MAX_INPUTS, path));
        if ((m->file.bytes - at) / 4 < (uint64_t)values)
            return ar__fail(AR_ERR_FORMAT, "%s: found its end within the values of %.*s", path, (int)name,
                            e->name);
        e->calls = (double)calls;
        e->sums = m->file.data + at;
        e->count = values;
        at += 4 * (uint64_t)values;
    }
    return AR_OK;
}

ar_status ar_imatrix_open(ar_imatrix **made, const char *path) {
    ar_status status;
    ar_imatrix *m = ar__alloc(1, sizeof *m);
    *made = NULL;
    if (!m) return AR_ERR_MEMORY;
    AR_GO(ar_file_open(&m->file, path));
    bool is_gguf = m->file.bytes >= 4 && memcmp(m->file.data, "GGUF", 4) == 0;
    AR_GO(is_gguf ? read_gguf(m, m->file.path) : read_older(m, path));
    if (m->count == 0) AR_GO(ar__fail(AR_ERR_FORMAT, "%s: found no sums of inputs", path));
    *made = m;
    return AR_OK;
done:
    ar_imatrix_close(m);
    return status;
}

ar_status ar_imatrix_linear(const ar_imatrix *m, float *dst, const ar_config *config, const ar_block *block,
                            int32_t i) {
    char name[AR__GGUF_NAME] = "";
    const entry *e = NULL;
    int64_t I = block->linears[i].I;
    if (ar__gguf_linear_name(name, config, block, i))
        for (int64_t k = 0; k < m->count && !e; k++)
            if (ar__gguf_text_is(m->list[k].name, m->list[k].name_bytes, name)) e = &m->list[k];
    if (!e)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: missing", m->file.path,
                        name[0] ? name : block->linears[i].name);
    if (e->count != I)
        return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found %lld inputs, expected the model's %lld",
                        m->file.path, name, (long long)e->count, (long long)I);
    for (int64_t k = 0; k < I; k++) {
        dst[k] = (float)((double)ar__gguf_load_f32(e->sums + 4 * k) / (e->calls > 0.0 ? e->calls : 1.0));
        if (!(dst[k] >= 0.0f) || !isfinite(dst[k]))
            return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found %g for input %lld, expected a mean square",
                            m->file.path, name, (double)dst[k], (long long)k);
    }
    return AR_OK;
}

/* ---- writing ---- */

static void put_key(ar__gguf_out *o, const char *key, ar__gguf_kind kind) {
    ar__gguf_put_string(o, key, strlen(key));
    ar__gguf_put_int(o, (uint64_t)kind, 4);
    o->field_count++;
}

static void put_info(ar__gguf_out *o, uint64_t *offset, const char *name, const char *end, int64_t values) {
    char full[AR__GGUF_NAME + 16];
    snprintf(full, sizeof full, "%s%s", name, end);
    ar__gguf_put_string(o, full, strlen(full));
    ar__gguf_put_int(o, 1, 4);
    ar__gguf_put_int(o, (uint64_t)values, 8);
    ar__gguf_put_int(o, AR__GGUF_T_F32, 4);
    ar__gguf_put_int(o, *offset, 8);
    *offset += (4 * (uint64_t)values + AR__GGUF_ALIGNMENT - 1) / AR__GGUF_ALIGNMENT * AR__GGUF_ALIGNMENT;
}

static void put_floats(ar__gguf_out *o, const float *values, int64_t count) {
    static const uint8_t zeros[AR__GGUF_ALIGNMENT];
    uint8_t stored[4];
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        ar__gguf_store(stored, bits, 4);
        ar__gguf_put(o, stored, 4);
    }
    ar__gguf_put(o, zeros, (size_t)(-o->bytes & (AR__GGUF_ALIGNMENT - 1)));
}

ar_status ar__gguf_put_imatrix(const char *path, const ar__gguf_sums *sums, int64_t count,
                               const ar_samples *s, const char *const *texts, int32_t text_count) {
    static const uint8_t zeros[AR__GGUF_ALIGNMENT];
    ar__gguf_out o = {0};
    uint64_t offset = 0;
    float tokens = (float)s->count * (float)s->T;
    ar_status status;
    AR_GO(ar_writer_open(&o.w, path));
    ar_writer_read_back(o.w);
    ar__gguf_put(&o, "GGUF", 4);
    ar__gguf_put_int(&o, AR__GGUF_VERSION, 4);
    ar__gguf_put_int(&o, 2 * (uint64_t)count, 8);
    ar__gguf_put_int(&o, 4, 8);
    put_key(&o, "general.type", AR__GGUF_STRING);
    ar__gguf_put_string(&o, "imatrix", 7);
    put_key(&o, "imatrix.datasets", AR__GGUF_ARRAY);
    ar__gguf_put_int(&o, AR__GGUF_STRING, 4);
    ar__gguf_put_int(&o, (uint64_t)text_count, 8);
    for (int32_t i = 0; i < text_count; i++) ar__gguf_put_string(&o, texts[i], strlen(texts[i]));
    put_key(&o, "imatrix.chunk_count", AR__GGUF_U32);
    ar__gguf_put_int(&o, (uint64_t)s->count, 4);
    put_key(&o, "imatrix.chunk_size", AR__GGUF_U32);
    ar__gguf_put_int(&o, (uint64_t)s->T, 4);
    for (int64_t i = 0; i < count; i++) {
        put_info(&o, &offset, sums[i].name, SUMS, sums[i].count);
        put_info(&o, &offset, sums[i].name, COUNTS, 1);
    }
    ar__gguf_put(&o, zeros, (size_t)(-o.bytes & (AR__GGUF_ALIGNMENT - 1)));
    for (int64_t i = 0; i < count; i++) {
        put_floats(&o, sums[i].values, sums[i].count);
        put_floats(&o, &tokens, 1);
    }
    AR_GO(o.status);
    AR_GO(ar_writer_commit(&o.w));
done:
    ar_writer_abort(&o.w);
    return status;
}
