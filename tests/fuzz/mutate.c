/* mutate SEED FILE...: changes one of the files as SEED says and prints what it did: bytes, spans, the
 * length, or a value of JSON text put in another's place, at its length where that matters (a safetensors
 * header). Most changes fall into the first 4 KiB, where formats say what follows. */
#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD 4096

static uint64_t state;

static size_t below(size_t n) { /* splitmix64 */
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return n ? (size_t)((z ^ z >> 31) % n) : 0;
}

typedef struct bytes {
    uint8_t *data;
    size_t count, room;
} bytes;

static void fail(const char *what) {
    fprintf(stderr, "mutate: %s\n", what);
    exit(2);
}

static bytes read_file(const char *path) {
    FILE *f = fopen(path, "rb");
    bytes b = {0};
    if (!f || fseek(f, 0, SEEK_END) != 0) fail("cannot read a file");
    b.count = (size_t)ftell(f);
    b.room = 2 * b.count + 4096;
    b.data = calloc(b.room, 1);
    rewind(f);
    if (!b.data || fread(b.data, 1, b.count, f) != b.count) fail("cannot read a file");
    fclose(f);
    return b;
}

static void write_file(const char *path, const bytes *b) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(b->data, 1, b->count, f) != b->count || fclose(f) != 0) fail("cannot write a file");
}

static size_t place(const bytes *b) {
    size_t head = b->count < HEAD ? b->count : HEAD;
    return below(5) ? below(head) : below(b->count);
}

/* from..to becomes n other bytes. */
static void replace(bytes *b, size_t from, size_t to, const void *with, size_t n) {
    if (b->count - (to - from) + n > b->room) return;
    memmove(b->data + from + n, b->data + to, b->count - to);
    memcpy(b->data + from, with, n);
    b->count += n;
    b->count -= to - from;
}

/* A number, word or string of JSON text at or behind `from`; false: there is none near. */
static bool find_value(const bytes *b, size_t from, size_t *begin, size_t *end) {
    for (size_t i = from; i < b->count && i < from + 400; i++) {
        uint8_t c = b->data[i];
        if (c != ':' && c != '[' && c != ',') continue;
        while (++i < b->count && b->data[i] == ' ') {
        }
        *begin = i;
        if (i < b->count && b->data[i] == '"') {
            while (++i < b->count && b->data[i] != '"') {
            }
            *end = i + 1;
            return i < b->count;
        }
        while (i < b->count && (isalnum(b->data[i]) || strchr("+-.", b->data[i] ? b->data[i] : 'x'))) i++;
        *end = i;
        if (i > *begin) return true;
        i--;
    }
    return false;
}

static bool change_value(bytes *b) {
    static const char *const values[] = {"0",           "-1",         "1",
                                         "2147483647",  "2147483648", "1e30",
                                         "-1e-30",      "0.5",        "9007199254740993",
                                         "null",        "true",       "\"\"",
                                         "\"F16\"",     "[]",         "{}",
                                         "[[]]",        "\"BF16\"",   "[1,2]",
                                         "33",          "7",          "\"\\u0000\"",
                                         "\"\\ud800\"", "\"a\"",      "18446744073709551615",
                                         "\"false\"",   "nan"};
    const char *value = values[below(sizeof values / sizeof *values)];
    char padded[512], other[512];
    size_t begin, end, n = strlen(value);
    if (below(2) && find_value(b, place(b), &begin, &end) && end - begin < sizeof other) { /* of the file */
        n = end - begin;
        memcpy(other, b->data + begin, n);
        other[n] = '\0';
        value = other;
    }
    if (!find_value(b, place(b), &begin, &end)) return false;
    if (end - begin < sizeof padded && n < end - begin && below(2)) {
        memset(padded, ' ', end - begin);
        memcpy(padded, value, n);
        replace(b, begin, end, padded, end - begin);
    } else {
        replace(b, begin, end, value, n);
    }
    printf("a value at byte %zu became %s", begin, value);
    return true;
}

static void change_bytes(bytes *b) {
    size_t n = 1 + below(4), at = place(b);
    for (size_t i = 0; i < n; i++) {
        at = place(b);
        if (below(2))
            b->data[at] ^= (uint8_t)(1 << below(8));
        else
            b->data[at] = (uint8_t)below(256);
    }
    printf("%zu bytes changed, the last at %zu", n, at);
}

static void change_span(bytes *b) {
    size_t from = place(b), n = 1 + below(below(4) ? 16 : 600),
           to = from + n < b->count ? from + n : b->count;
    uint8_t copy[640];
    switch (below(3)) {
    case 0:
        replace(b, from, to, "", 0);
        printf("bytes %zu to %zu removed", from, to);
        break;
    case 1:
        memcpy(copy, b->data + from, to - from);
        replace(b, to, to, copy, to - from);
        printf("bytes %zu to %zu doubled", from, to);
        break;
    default:
        memset(b->data + from, (int)(below(2) ? 0 : 255), to - from);
        printf("bytes %zu to %zu blanked", from, to);
        break;
    }
}

int main(int argc, char **argv) {
    if (argc < 3) fail("expected SEED FILE...");
    state = strtoull(argv[1], NULL, 10);
    const char *path = argv[2 + below((size_t)argc - 2)];
    bytes b = read_file(path);
    printf("%s: ", path);
    if (b.count == 0) fail("found an empty file");
    bool text = strlen(path) > 5 && strcmp(path + strlen(path) - 5, ".json") == 0;
    switch (text ? below(16) : below(8)) { /* most changes of bytes leave no JSON */
    case 0:
        b.count = below(b.count);
        printf("cut to %zu bytes", b.count);
        break;
    case 1:
    case 2: change_span(&b); break;
    case 3:
    case 4: change_bytes(&b); break;
    default:
        if (!change_value(&b)) change_bytes(&b);
        break;
    }
    printf("\n");
    write_file(path, &b);
    free(b.data);
    return 0;
}
