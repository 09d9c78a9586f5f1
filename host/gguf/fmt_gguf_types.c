/* Types of single tensors of a GGUF file, or bits of linears of a folder: by rules that people write, as
 * llama-quantize's --tensor-type takes them, or tensor by tensor as another GGUF file has them. */
#include "fmt_gguf_types.h"
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RULES_BYTES ((size_t)1 << 20)
#define TYPES       "f32, f16, bf16, q4_0 to q8_0 or q2_k to q6_k"

typedef struct rule {
    char *text;           /* a regular expression, or a tensor's name */
    pcre2_code *compiled; /* NULL = a name */
    ar_qtype type;        /* AR_QT_COUNT: bits */
    int32_t bits;         /* 2 to 8; 0 = the linear stays float */
    int32_t dim_count;    /* of a name */
    int64_t dims[4];
} rule;

struct ar_tensor_types {
    rule *list;
    int32_t count, room;
    char *like;    /* the file that says the type of every tensor; NULL = none does */
    ar_qtype most; /* there: the type of most quantized weights */
    int32_t file_type;
};

ar_status ar_tensor_types_create(ar_tensor_types **types) {
    *types = ar__alloc(1, sizeof **types);
    return *types ? AR_OK : AR_ERR_MEMORY;
}

void ar_tensor_types_destroy(ar_tensor_types *types) {
    if (!types) return;
    for (int32_t i = 0; i < types->count; i++) {
        free(types->list[i].text);
        if (types->list[i].compiled) pcre2_code_free(types->list[i].compiled);
    }
    free(types->list);
    free(types->like);
    free(types);
}

static ar_status add(rule **added, ar_tensor_types *t, const char *text, size_t bytes, ar_qtype type) {
    if (t->count == t->room) {
        int32_t room = t->room ? 2 * t->room : 16;
        rule *list = ar__alloc((size_t)room, sizeof *list);
        if (!list) return AR_ERR_MEMORY;
        if (t->count) memcpy(list, t->list, (size_t)t->count * sizeof *list);
        free(t->list);
        t->list = list;
        t->room = room;
    }
    *added = &t->list[t->count];
    **added = (rule){.text = ar__alloc(bytes + 1, 1), .type = type};
    if (!(*added)->text) return AR_ERR_MEMORY;
    memcpy((*added)->text, text, bytes);
    t->count++;
    return AR_OK;
}

static ar_status compile(rule *r) {
    int code;
    PCRE2_SIZE at;
    PCRE2_UCHAR reason[120] = "";
    r->compiled = pcre2_compile((PCRE2_SPTR)r->text, PCRE2_ZERO_TERMINATED, 0, &code, &at, NULL);
    if (r->compiled) return AR_OK;
    if (code == PCRE2_ERROR_HEAP_FAILED) return AR_ERR_MEMORY;
    pcre2_get_error_message(code, reason, sizeof reason);
    return ar__fail(AR_ERR_USAGE, "tensor type: expression '%s': %s at character %zu", r->text,
                    (const char *)reason, (size_t)at + 1);
}

ar_status ar__tensor_types_set(ar_tensor_types *types, const char *name, ar_qtype type) {
    rule *added;
    return add(&added, types, name, strlen(name), type);
}

ar_status ar_tensor_types_add(ar_tensor_types *types, const char *text) {
    const char *equals = strrchr(text, '=');
    rule *added;
    if (!equals || equals == text)
        return ar__fail(AR_ERR_USAGE, "tensor type: found '%s', expected REGEX=TYPE", text);
    ar_qtype type = ar__gguf_type_named(equals + 1);
    bool is_float = strcmp(equals + 1, "float") == 0,
         is_bits = strspn(equals + 1, "2345678") == 1 && !equals[2];
    if (type == AR_QT_COUNT && !is_float && !is_bits)
        return ar__fail(AR_ERR_USAGE,
                        "tensor type: found '%s', expected " TYPES "; for folders 2 to 8 or float",
                        equals + 1);
    AR_TRY(add(&added, types, text, (size_t)(equals - text), type));
    added->bits = is_bits ? equals[1] - '0' : 0;
    return compile(added);
}

static ar_status add_line(ar_tensor_types *types, const char *path, const char *line) {
    char reason[512];
    ar_status status = ar_tensor_types_add(types, line);
    if (status != AR_ERR_USAGE) return status;
    snprintf(reason, sizeof reason, "%s", ar_error());
    return ar__fail(status, "%s: %s", path, reason);
}

ar_status ar_tensor_types_read(ar_tensor_types *types, const char *path) {
    char *text = NULL;
    size_t bytes;
    ar_status status;
    AR_TRY(ar_file_read_text(&text, &bytes, path, RULES_BYTES));
    for (char *line = text, *end; line < text + bytes; line = end + 1) {
        end = line + strcspn(line, "\r\n");
        *end = '\0';
        line += strspn(line, " \t");
        for (size_t n = strlen(line); n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\t');) line[--n] = '\0';
        if (*line && *line != '#') AR_GO(add_line(types, path, line));
    }
    status = AR_OK;
done:
    free(text);
    return status;
}

/* ---- another file's ---- */

static ar_status take_tensor(ar_tensor_types *types, const ar__gguf *g, const ar__gguf_tensor *t) {
    rule *added;
    if (ar__gguf_type_named(t->type->name) == AR_QT_COUNT)
        return ar__fail(AR_ERR_UNSUPPORTED, "%s: tensor %.*s: found type %s, expected " TYPES, g->what,
                        (int)t->name_bytes, t->name, t->type->name);
    AR_TRY(add(&added, types, t->name, (size_t)t->name_bytes, t->type->qtype));
    added->dim_count = t->dim_count;
    memcpy(added->dims, t->dims, sizeof added->dims);
    return AR_OK;
}

/* The type of most quantized weights of matrices; AR_QT_COUNT = there are none. */
static ar_qtype find_most(const ar__gguf *g) {
    double weights[AR_QT_COUNT] = {0};
    ar_qtype most = AR_QT_COUNT;
    ar_scheme scheme;
    for (int64_t i = 0; i < g->tensor_count; i++) {
        const ar__gguf_tensor *t = &g->tensors[i];
        if (t->dim_count == 2 && ar__gguf_scheme(&scheme, t->type->qtype))
            weights[t->type->qtype] += (double)t->dims[0] * (double)t->dims[1];
    }
    for (int32_t k = 0; k < AR_QT_COUNT; k++)
        if (weights[k] > (most == AR_QT_COUNT ? 0.0 : weights[most])) most = (ar_qtype)k;
    return most;
}

ar_status ar_tensor_types_like(ar_tensor_types *types, const char *path) {
    ar_file file;
    ar__gguf g;
    int64_t alignment, file_type;
    ar_status status;
    AR_GO(ar__gguf_map(&g, &file, path));
    AR_GO(ar__gguf_int(&alignment, &g, "general.alignment", AR__GGUF_ALIGNMENT, 1, INT32_MAX));
    if (alignment != AR__GGUF_ALIGNMENT)
        AR_GO(ar__fail(AR_ERR_UNSUPPORTED, "%s: general.alignment: found %d, expected %d", path,
                       (int)alignment, AR__GGUF_ALIGNMENT));
    AR_GO(ar__gguf_int(&file_type, &g, "general.file_type", 0, 0, INT32_MAX));
    types->file_type = (int32_t)file_type;
    types->most = find_most(&g);
    if (types->most == AR_QT_COUNT)
        AR_GO(ar__fail(AR_ERR_UNSUPPORTED, "%s: found no quantized tensors, expected some", path));
    for (int64_t i = 0; i < g.tensor_count; i++) AR_GO(take_tensor(types, &g, &g.tensors[i]));
    types->like = ar__alloc(strlen(path) + 1, 1);
    if (!types->like) AR_GO(AR_ERR_MEMORY);
    memcpy(types->like, path, strlen(path));
done:
    ar__gguf_deinit(&g);
    ar_file_close(&file);
    return status;
}

/* ---- what they say ---- */

static bool matches(const rule *r, const char *name) {
    if (!r->compiled) return strcmp(r->text, name) == 0;
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    bool found = data && pcre2_match(r->compiled, (PCRE2_SPTR)name, strlen(name), 0, 0, data, NULL) >= 0;
    pcre2_match_data_free(data);
    return found;
}

ar_qtype ar__tensor_type(const ar_tensor_types *types, const char *gguf_name) {
    for (int32_t i = 0; types && i < types->count; i++)
        if (matches(&types->list[i], gguf_name)) return types->list[i].type;
    return AR_QT_COUNT;
}

int32_t ar__tensor_bits(const ar_tensor_types *types, const char *name) {
    for (int32_t i = 0; i < types->count; i++)
        if (matches(&types->list[i], name)) return types->list[i].bits;
    return -1;
}

const char *ar__tensor_types_other(const ar_tensor_types *types, bool bits) {
    for (int32_t i = 0; i < types->count; i++)
        if ((types->list[i].type == AR_QT_COUNT) != bits) return types->list[i].text;
    return NULL;
}

const char *ar__tensor_types_idle(const ar_tensor_types *types, const char *const *names, int64_t count) {
    for (int32_t i = 0; i < types->count; i++) {
        bool found = false;
        for (int64_t k = 0; k < count && !found; k++) found = matches(&types->list[i], names[k]);
        if (!found) return types->list[i].text;
    }
    return NULL;
}

const char *ar__tensor_types_file(const ar_tensor_types *types) { return types ? types->like : NULL; }

ar_qtype ar__tensor_types_most(int32_t *file_type, const ar_tensor_types *types) {
    *file_type = types->file_type;
    return types->most;
}

uint64_t ar_tensor_types_hash(const ar_tensor_types *types) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (int32_t i = 0; types && i < types->count; i++) {
        const rule *r = &types->list[i];
        hash = ar_hash64(hash, r->text, strlen(r->text) + 1);
        const char *type =
            r->type == AR_QT_COUNT ? (const char[]){(char)('0' + r->bits), '\0'} : ar_qtype_name(r->type);
        hash = ar_hash64(hash, type, strlen(type) + (r->compiled != NULL));
    }
    return hash;
}

static ar_status check_shape(const rule *r, const ar__gguf_entry *e, const char *path) {
    bool same = r->dim_count == e->dim_count;
    for (int32_t d = 0; d < e->dim_count; d++) same = same && r->dims[d] == e->dims[d];
    if (same) return AR_OK;
    return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: found (%lld, %lld), expected the model's (%lld, %lld)",
                    path, r->text, (long long)r->dims[0], (long long)r->dims[1], (long long)e->dims[0],
                    (long long)e->dims[1]);
}

ar_status ar__tensor_types_check(const ar_tensor_types *types, const ar__gguf_entry *entries, int64_t count,
                                 const char *model) {
    for (int32_t i = 0; types && i < types->count; i++) {
        const rule *r = &types->list[i];
        const ar__gguf_entry *found = NULL;
        for (int64_t k = 0; k < count && !found; k++)
            if (matches(r, entries[k].name)) found = &entries[k];
        if (found && types->like) AR_TRY(check_shape(r, found, types->like));
        if (!found && types->like)
            return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: not of %s", types->like, r->text, model);
        if (!found) return ar__fail(AR_ERR_USAGE, "tensor type: '%s' is in no tensor's name", r->text);
    }
    for (int64_t k = 0; types && types->like && k < count; k++)
        if (ar__tensor_type(types, entries[k].name) == AR_QT_COUNT)
            return ar__fail(AR_ERR_FORMAT, "%s: tensor %s: missing", types->like, entries[k].name);
    return AR_OK;
}
