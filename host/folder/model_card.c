/* What a folder's README.md says of the model in its first lines, between two lines of three hyphens: YAML,
 * of which keys at the margin with a value, a list in brackets, or a list in the lines below are read. */
#include "model_card.h"
#include "ar_error.h"
#include <stdlib.h>
#include <string.h>

#define CARD_BYTES ((size_t)16 << 20)

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* The value at p without the white space, quotes and comment around it; empty for one of several lines. */
static ar_status add_value(ar_notes *values, const char *p, const char *end) {
    while (p < end && is_blank(*p)) p++;
    while (end > p && is_blank(end[-1])) end--;
    bool quoted = end - p >= 2 && (*p == '"' || *p == '\'') && end[-1] == *p;
    for (const char *c = p; !quoted && c + 1 < end; c++)
        if (is_blank(c[0]) && c[1] == '#') end = c;
    while (end > p && is_blank(end[-1])) end--;
    if (quoted) p++, end--;
    bool several = end - p == 1 && (*p == '|' || *p == '>');
    return p == end || several ? AR_OK : ar__note(values, "%.*s", (int)(end - p), p);
}

/* [a, b] */
static ar_status add_list(ar_notes *values, const char *p, const char *end) {
    const char *close = memchr(p, ']', (size_t)(end - p));
    for (const char *item = p + 1; close && item < close;) {
        const char *comma = memchr(item, ',', (size_t)(close - item));
        AR_TRY(add_value(values, item, comma ? comma : close));
        item = (comma ? comma : close) + 1;
    }
    return AR_OK;
}

static const char *line_end(const char *line) {
    const char *end = strchr(line, '\n');
    return end ? end : line + strlen(line);
}

static bool is_fence(const char *line, const char *end) {
    while (end > line && is_blank(end[-1])) end--;
    return end - line == 3 && memcmp(line, "---", 3) == 0;
}

/* The lines "- value" below a key. */
static ar_status add_items(ar_notes *values, const char *line) {
    for (const char *end; *line; line = *end ? end + 1 : end) {
        end = line_end(line);
        while (line < end && is_blank(*line)) line++;
        if (line == end) continue;
        if (*line != '-' || is_fence(line, end)) return AR_OK;
        AR_TRY(add_value(values, line + 1, end));
    }
    return AR_OK;
}

static ar_status read_key(ar_notes *values, const char *text, const char *key) {
    size_t bytes = strlen(key);
    const char *end = line_end(text);
    if (!is_fence(text, end)) return AR_OK;
    for (const char *line = end; *line; line = end) {
        end = line_end(++line);
        if (is_fence(line, end)) return AR_OK;
        if ((size_t)(end - line) <= bytes || memcmp(line, key, bytes) != 0 || line[bytes] != ':') continue;
        const char *value = line + bytes + 1;
        while (value < end && is_blank(*value)) value++;
        if (value == end) return *end ? add_items(values, end + 1) : AR_OK;
        return *value == '[' ? add_list(values, value, end) : add_value(values, value, end);
    }
    return AR_OK;
}

ar_status ar__card_read(ar_notes *values, const char *folder, const char *key) {
    char *path = NULL, *text = NULL;
    ar_status status;
    AR_GO(ar_path_join(&path, folder, "README.md"));
    if (!ar_path_exists(path)) goto done;
    AR_GO(ar_file_read_text(&text, NULL, path, CARD_BYTES));
    AR_GO(read_key(values, text, key));
done:
    free(text);
    free(path);
    return status;
}
