/* Numbers in text, as users write them. */
#include "ar_error.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_BYTES 64

static size_t digits(const char *text) {
    size_t n = 0;
    while (isdigit((unsigned char)text[n])) n++;
    return n;
}

double ar__decimal(const char *text, const char **end) {
    char copy[NUMBER_BYTES];
    size_t n = text[0] == '-' || text[0] == '+', whole = digits(text + n), part = 0;
    *end = text;
    n += whole;
    if (text[n] == '.') part = digits(text + n + 1);
    if (whole + part == 0) return 0.0;
    if (text[n] == '.') n += 1 + part;
    if (text[n] == 'e' || text[n] == 'E') {
        size_t sign = text[n + 1] == '-' || text[n + 1] == '+', power = digits(text + n + 1 + sign);
        if (power) n += 1 + sign + power;
    }
    if (n >= sizeof copy) return 0.0;
    memcpy(copy, text, n);
    copy[n] = '\0';
    *end = text + n;
    return strtod(copy, NULL);
}
