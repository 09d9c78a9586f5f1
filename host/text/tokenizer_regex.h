/* Shared by tokenizer_regex.c (groups, repetitions, anchors) and tokenizer_regex_sets.c (characters, kinds of
 * them, brackets): a pattern on its way from Oniguruma's spelling to PCRE2's. */
#ifndef AR_TOKENIZER_REGEX_H
#define AR_TOKENIZER_REGEX_H
#include "tokenizer.h"

#define AR__REGEX_DEPTH    100
#define AR__REGEX_CONTENTS 200

/* Contents of a bracket: letters, marks, digits, connectors and alphabetic symbols; outside brackets also the
 * six fractions and powers of Latin-1, which Oniguruma's table for the first 256 characters calls word. */
#define AR__WORD_CHARS                                                                                       \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}"                                                   \
    "\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"

#define AR__WORD_OUTSIDE AR__WORD_CHARS "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"

typedef struct ar__regex {
    const char *start, *p; /* p: what comes next */
    ar__text *out;
    const char *what;
    int32_t depth;
} ar__regex;

/* FORMAT, naming the pattern, the place and what was found there. */
ar_status ar__regex_refuse(const ar__regex *r, const char *at, size_t bytes, const char *expected);
ar_status ar__regex_put(ar__regex *r, const char *text);
/* Puts text before what was written from `at` on. */
ar_status ar__regex_put_at(ar__regex *r, size_t at, const char *text);
/* A character, escaped or not, into *c; *is = false (and r->p unmoved) for an escape that is another thing.
 */
ar_status ar__regex_char(ar__regex *r, uint32_t *c, bool *is, bool in_class);
/* A character of itself, inside brackets or outside. */
ar_status ar__regex_put_char(ar__regex *r, uint32_t c);
/* An escape that stands for many characters, as contents of a bracket; *is = false for others. */
ar_status ar__regex_kind(ar__regex *r, char contents[AR__REGEX_CONTENTS], bool *negated, bool *is,
                         bool in_class);
/* [...], with everything in it. */
ar_status ar__regex_bracket(ar__regex *r);
#endif
