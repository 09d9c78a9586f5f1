/* JSON through cJSON, behind checks it does not make: size, nesting depth and value count are capped before
 * it recurses or allocates, text is UTF-8 without NUL (written out or as \u0000, which would cut a string
 * short), and nothing follows the value. cJSON 1.7.15 reads one byte past some unterminated texts when given
 * a length, so it always gets a NUL-terminated copy. A key that an object has twice counts once, with the
 * last value, as everywhere else in our field (Python, serde); cJSON would find the first. */
#include "ar_host.h"
#include "ar_error.h"
#include "utf8.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH      64
#define MAX_VALUES     8000000 /* a vocabulary of 256k tokens with its merges has about one million */
#define MAX_TEXT_BYTES ((size_t)1 << 30)
#define MAX_EXACT      9007199254740992.0 /* 2^53: integers beyond have no exact double */

/* What must hold before cJSON may see the text. The grammar itself is cJSON's business. */
static ar_status scan(const char *text, size_t bytes, const char *what) {
    const uint8_t *p = (const uint8_t *)text;
    int32_t depth = 0;
    int64_t values = 1;
    bool in_string = false;
    for (size_t i = 0; i < bytes;) {
        size_t step = ar__utf8_sequence(p + i, bytes - i);
        if (step == 0)
            return ar__fail(AR_ERR_FORMAT, "%s: byte %zu: found 0x%02x, expected UTF-8", what, i, p[i]);
        uint8_t c = p[i];
        if (c == 0 || (in_string && c < 0x20))
            return ar__fail(AR_ERR_FORMAT, "%s: byte %zu: found control character 0x%02x in JSON text", what,
                            i, c);
        if (in_string && c == '\\') {
            if (bytes - i >= 6 && memcmp(p + i, "\\u0000", 6) == 0)
                return ar__fail(AR_ERR_FORMAT, "%s: byte %zu: found \\u0000, expected strings without NUL",
                                what, i);
            i += bytes - i > 1 && p[i + 1] >= 0x20 && p[i + 1] < 0x80 ? 2 : 1; /* `\"` ends no string */
            continue;
        }
        if (c == '"') in_string = !in_string;
        if (!in_string && (c == '{' || c == '[') && ++depth > MAX_DEPTH)
            return ar__fail(AR_ERR_FORMAT,
                            "%s: byte %zu: found nesting deeper than %d, expected at most that", what, i,
                            MAX_DEPTH);
        if (!in_string && (c == '}' || c == ']')) depth--;
        if (!in_string && (c == ',' || c == '{' || c == '[') && ++values > MAX_VALUES)
            return ar__fail(AR_ERR_FORMAT, "%s: byte %zu: found more than %d values, expected at most that",
                            what, i, MAX_VALUES);
        i += step;
    }
    return AR_OK;
}

/* ---- keys that stand twice ---- */

typedef struct keyed {
    cJSON *item;
    size_t place;
} keyed;

static int by_key_then_place(const void *a, const void *b) {
    const keyed *x = a, *y = b;
    int order = strcmp(x->item->string, y->item->string);
    return order != 0 ? order : x->place < y->place ? -1 : 1;
}

/* The last value of every key, where its first stood. sorted (count): scratch. */
static void drop_earlier(cJSON *object, keyed *sorted, size_t count) {
    size_t i = 0;
    for (cJSON *item = object->child; item; item = item->next, i++) sorted[i] = (keyed){item, i};
    qsort(sorted, count, sizeof *sorted, by_key_then_place);
    for (size_t first = 0, end; first < count; first = end) {
        for (end = first + 1;
             end < count && strcmp(sorted[end].item->string, sorted[first].item->string) == 0;)
            end++;
        if (end == first + 1) continue;
        for (size_t k = first + 1; k + 1 < end; k++)
            cJSON_Delete(cJSON_DetachItemViaPointer(object, sorted[k].item));
        cJSON *last = cJSON_DetachItemViaPointer(object, sorted[end - 1].item);
        cJSON_ReplaceItemViaPointer(object, sorted[first].item, last);
    }
}

/* In every object of the tree, whose depth is capped. */
static ar_status keep_last(cJSON *tree) {
    size_t count = 0;
    for (cJSON *item = tree->child; item; item = item->next, count++) AR_TRY(keep_last(item));
    if (!cJSON_IsObject(tree) || count < 2) return AR_OK;
    keyed few[16], *sorted = count <= sizeof few / sizeof *few ? few : ar__alloc(count, sizeof *sorted);
    if (!sorted) return AR_ERR_MEMORY;
    drop_earlier(tree, sorted, count);
    if (sorted != few) free(sorted);
    return AR_OK;
}

/* *end: where it stopped. *memory: whether for want of it. */
static cJSON *read_value(const char **end, bool *memory, const char *text, size_t bytes) {
    errno = 0;
    cJSON *parsed = cJSON_ParseWithLengthOpts(text, bytes, end, 0);
    *memory = !parsed && errno == ENOMEM;
    return parsed;
}

/* cJSON says NULL both of what is no JSON and for want of memory. A malloc that fails says so in errno; one
 * that had to look for memory elsewhere may too, so what fails like this is read again: what is no JSON then
 * fails without a word of memory. (Hooks would be the process's, not ours.) text (bytes) ends with NUL. */
static ar_status parse_value(cJSON **parsed, const char *text, size_t bytes, const char *what) {
    const char *end = text;
    bool memory;
    *parsed = read_value(&end, &memory, text, bytes);
    if (memory) {
        cJSON *again = read_value(&end, &memory, text, bytes);
        memory = memory || again;
        cJSON_Delete(again);
    }
    if (memory) return ar__fail(AR_ERR_MEMORY, "%s: out of memory for its JSON", what);
    size_t at = end ? (size_t)(end - text) : 0;
    if (!*parsed)
        return ar__fail(AR_ERR_FORMAT, "%s: byte %zu of %zu: found text that is not JSON", what, at,
                        bytes - 1);
    at += strspn(end, " \t\r\n");
    if (at < bytes - 1)
        return ar__fail(AR_ERR_FORMAT, "%s: byte %zu: found text after the JSON value", what, at);
    return AR_OK;
}

ar_status ar_json_parse(ar_json **root, const char *text, size_t bytes, const char *what) {
    *root = NULL;
    if (bytes > MAX_TEXT_BYTES)
        return ar__fail(AR_ERR_FORMAT, "%s: found %zu bytes of JSON, expected at most %zu", what, bytes,
                        MAX_TEXT_BYTES);
    AR_TRY(scan(text, bytes, what));
    char *copy = ar__alloc(bytes + 1, 1);
    if (!copy) return AR_ERR_MEMORY;
    if (bytes > 0) memcpy(copy, text, bytes);
    cJSON *parsed;
    ar_status status = parse_value(&parsed, copy, bytes + 1, what);
    free(copy);
    if (status == AR_OK) status = keep_last(parsed);
    if (status == AR_OK)
        *root = parsed;
    else
        cJSON_Delete(parsed);
    return status;
}

ar_status ar_json_open(ar_json **root, const char *path, size_t max_bytes) {
    *root = NULL;
    char *text;
    size_t bytes;
    AR_TRY(ar_file_read_text(&text, &bytes, path, max_bytes));
    ar_status status = ar_json_parse(root, text, bytes, path);
    free(text);
    return status;
}

void ar_json_close(ar_json *root) { cJSON_Delete(root); }

const ar_json *ar_json_get(const ar_json *obj, const char *key) {
    return cJSON_IsObject(obj) ? cJSON_GetObjectItemCaseSensitive(obj, key) : NULL;
}

static const char *kind_name(const cJSON *item) {
    if (!item) return "nothing";
    if (cJSON_IsObject(item)) return "an object";
    if (cJSON_IsArray(item)) return "a list";
    if (cJSON_IsString(item)) return "a string";
    if (cJSON_IsBool(item)) return "true or false";
    if (cJSON_IsNumber(item)) return "a number";
    return "null";
}

/* The item of key, NULL when it is missing or null. */
static const cJSON *present(const ar_json *obj, const char *key) {
    const cJSON *item = ar_json_get(obj, key);
    return cJSON_IsNull(item) ? NULL : item;
}

static ar_status int_value(int64_t *out, const cJSON *item, const char *key, int64_t lo, int64_t hi,
                           const char *what) {
    if (!cJSON_IsNumber(item))
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found %s, expected an integer in [%lld, %lld]", what, key,
                        kind_name(item), (long long)lo, (long long)hi);
    double value = item->valuedouble;
    bool exact = value >= -MAX_EXACT && value <= MAX_EXACT && value == floor(value);
    if (!exact || (int64_t)value < lo || (int64_t)value > hi)
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found %.17g, expected an integer in [%lld, %lld]", what, key,
                        value, (long long)lo, (long long)hi);
    *out = (int64_t)value;
    return AR_OK;
}

ar_status ar_json_int(int64_t *out, const ar_json *obj, const char *key, int64_t lo, int64_t hi,
                      const char *what) {
    return int_value(out, ar_json_get(obj, key), key, lo, hi, what);
}

ar_status ar_json_int_or(int64_t *out, const ar_json *obj, const char *key, int64_t fallback, int64_t lo,
                         int64_t hi, const char *what) {
    const cJSON *item = present(obj, key);
    if (item) return int_value(out, item, key, lo, hi, what);
    *out = fallback;
    return AR_OK;
}

ar_status ar_json_number_or(double *out, const ar_json *obj, const char *key, double fallback, double lo,
                            double hi, const char *what) {
    const cJSON *item = present(obj, key);
    *out = item ? item->valuedouble : fallback;
    if (!item) return AR_OK;
    if (!cJSON_IsNumber(item))
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found %s, expected a number in [%g, %g]", what, key,
                        kind_name(item), lo, hi);
    if (!(*out >= lo && *out <= hi))
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found %.9g, expected a number in [%g, %g]", what, key, *out,
                        lo, hi);
    return AR_OK;
}

ar_status ar_json_bool_or(bool *out, const ar_json *obj, const char *key, bool fallback, const char *what) {
    const cJSON *item = present(obj, key);
    *out = item ? cJSON_IsTrue(item) : fallback;
    if (item && !cJSON_IsBool(item))
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found %s, expected true or false", what, key,
                        kind_name(item));
    return AR_OK;
}

ar_status ar_json_string_or(const char **out, const ar_json *obj, const char *key, const char *fallback,
                            const char *what) {
    const cJSON *item = present(obj, key);
    *out = item ? item->valuestring : fallback;
    if (item && !cJSON_IsString(item))
        return ar__fail(AR_ERR_FORMAT, "%s: %s: found %s, expected a string", what, key, kind_name(item));
    return AR_OK;
}
