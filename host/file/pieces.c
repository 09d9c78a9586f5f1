/* Names of files that together are one, as llama.cpp's gguf-split writes them: NAME-00002-of-00005.gguf. */
#include "ar_error.h"
#include "place.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ENDING       "-00001-of-00001.gguf"
#define ENDING_BYTES (sizeof ENDING - 1)
#define DIGITS       5

/* The number of DIGITS digits at text; -1 for anything else. */
static int64_t number_at(const char *text) {
    int64_t value = 0;
    for (int32_t i = 0; i < DIGITS; i++) {
        if (text[i] < '0' || text[i] > '9') return -1;
        value = 10 * value + (text[i] - '0');
    }
    return value;
}

bool ar__piece_number(int64_t *piece, int64_t *count, const char *path) {
    size_t bytes = strlen(path);
    if (bytes < ENDING_BYTES) return false;
    const char *end = path + bytes - ENDING_BYTES;
    *piece = number_at(end + 1);
    *count = number_at(end + 1 + DIGITS + 4);
    return *piece > 0 && *count >= *piece && end[0] == '-' && strncmp(end + 1 + DIGITS, "-of-", 4) == 0 &&
           strcmp(end + 1 + DIGITS + 4 + DIGITS, ".gguf") == 0;
}

char *ar__piece_name(const char *path, int64_t piece) {
    size_t bytes = strlen(path);
    char digits[2 * DIGITS + 12];
    char *name = ar__alloc(bytes + 1, 1);
    if (!name) return NULL;
    snprintf(digits, sizeof digits, "%0*" PRId64, DIGITS, piece);
    memcpy(name, path, bytes + 1);
    memcpy(name + bytes - ENDING_BYTES + 1, digits, DIGITS);
    return name;
}
