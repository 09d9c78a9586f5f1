/* Cutting a text into words: Metaspace marks, and splits by regular expression (PCRE2 standing in for
 * Oniguruma, tokenizer_regex.c). */
#include "tokenizer.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define MATCH_LIMIT    50000000
#define HEAP_LIMIT_KIB (256 * 1024)
#define MOST_PATTERN   65536 /* bytes: PCRE2 compiles no more either, and spelling it out takes the square */

#define GPT2_WORDS "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LLAMA3_WORDS(digits)                                                                                 \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                                     \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

#define CODER_SCRIPTS                                                                                        \
    "[\xe4\xb8\x80-\xe9\xbe\xa5\xe0\xa0\x80-\xe4\xb8\x80\xea\xb0\x80-\xed\x9f\xbf]+" /* Han, Hangul and      \
                                                                                        between */

/* llama.cpp's names, and the patterns as tokenizer.json files write them, one split after the other. */
typedef struct known {
    const char *name, *patterns[AR__PRE_PATTERNS];
} known;
static const known knowns[] = {
    {"gpt-2", {GPT2_WORDS}},
    {"llama-bpe", {LLAMA3_WORDS("\\p{N}{1,3}")}},
    {"qwen2", {LLAMA3_WORDS("\\p{N}")}},
    {"smollm", {"\\p{N}", GPT2_WORDS}},
    {"deepseek-coder", {"[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", CODER_SCRIPTS, "\\p{N}"}},
};
#define KNOWN_COUNT (sizeof knowns / sizeof *knowns)

const char *ar__pre_name(const char *pattern) {
    for (size_t i = 0; i < KNOWN_COUNT; i++)
        if (!knowns[i].patterns[1] && strcmp(knowns[i].patterns[0], pattern) == 0) return knowns[i].name;
    return NULL;
}

const char *const *ar__pre_patterns(const char *name) {
    for (size_t i = 0; i < KNOWN_COUNT; i++)
        if (strcmp(knowns[i].name, name) == 0) return knowns[i].patterns;
    return NULL;
}

static void *pcre2_alloc(size_t bytes, void *ctx) {
    (void)ctx;
    return ar__alloc(bytes, 1);
}

static void pcre2_release(void *p, void *ctx) {
    (void)ctx;
    free(p);
}

static ar_status compile(pcre2_code **code, const ar__text *pattern, bool literal, const char *what) {
    pcre2_general_context *general = pcre2_general_context_create(pcre2_alloc, pcre2_release, NULL);
    pcre2_compile_context *context = general ? pcre2_compile_context_create(general) : NULL;
    ar_status status = context ? AR_OK : AR_ERR_MEMORY;
    if (context) {
        int error = 0;
        size_t offset = 0;
        uint32_t options = PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C);
        pcre2_set_newline(context, PCRE2_NEWLINE_LF);
        *code = pcre2_compile((PCRE2_SPTR)pattern->data, pattern->bytes, options, &error, &offset, context);
        if (!*code && error == PCRE2_ERROR_HEAP_FAILED) status = AR_ERR_MEMORY;
        if (!*code && error != PCRE2_ERROR_HEAP_FAILED) {
            char text[128] = "", quoted[AR__QUOTE_BYTES];
            pcre2_get_error_message(error, (PCRE2_UCHAR *)text, sizeof text);
            status = ar__fail(AR_ERR_FORMAT, "%s: pattern %s: at %zu: %s", what,
                              ar__quote(quoted, pattern->data, pattern->bytes), offset, text);
        }
    }
    pcre2_compile_context_free(context);
    pcre2_general_context_free(general);
    return status;
}

ar_status ar__pre_add(ar_tokenizer *t, const char *pattern, bool literal, ar__split_rule rule, bool invert,
                      const char *what) {
    ar__pre *pre = &t->pre;
    if (pre->step_count == AR__MAX_STEPS)
        return ar__fail(AR_ERR_FORMAT, "%s: pre_tokenizer: found more than %d steps, expected at most that",
                        what, AR__MAX_STEPS);
    if (strlen(pattern) > MOST_PATTERN)
        return ar__fail(AR_ERR_FORMAT, "%s: pre_tokenizer: found a pattern of %zu bytes, expected at most %d",
                        what, strlen(pattern), MOST_PATTERN);
    pcre2_code *code = NULL;
    ar__text spelled = {0};
    ar_status status = literal ? ar__text_append(&spelled, pattern, strlen(pattern))
                               : ar__regex_spell(&spelled, pattern, what);
    if (status == AR_OK) status = ar__text_append(&spelled, "", 1); /* the end, which is no part of it */
    if (status == AR_OK) spelled.bytes--;
    if (status == AR_OK) status = compile(&code, &spelled, literal, what);
    /* where there is no JIT, matching interprets; 10.42's is wrong about alternatives in atomic groups */
    if (status == AR_OK && !strstr(spelled.data, "(?>")) pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    free(spelled.data);
    if (status != AR_OK) return status;
    pre->steps[pre->step_count++] = (ar__pre_step){code, rule, invert};
    return AR_OK;
}

ar_status ar__pre_add_named(ar_tokenizer *t, const char *name, const char *what) {
    char quoted[AR__QUOTE_BYTES];
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (strcmp(knowns[i].name, name) != 0) continue;
        for (int32_t k = 0; k < AR__PRE_PATTERNS && knowns[i].patterns[k]; k++)
            AR_TRY(ar__pre_add(t, knowns[i].patterns[k], false, AR__ISOLATED, false, what));
        t->pre.name = knowns[i].name;
        return AR_OK;
    }
    return ar__fail(AR_ERR_FORMAT,
                    "%s: pre-split: found %s, expected gpt-2, llama-bpe, qwen2, smollm or deepseek-coder",
                    what, ar__quote(quoted, name, strlen(name)));
}

void ar__pre_deinit(ar__pre *pre) {
    for (int32_t i = 0; i < pre->step_count; i++) pcre2_code_free(pre->steps[i].code);
    pre->step_count = 0;
}

/* ---- matching ---- */

static ar_status push_span(ar__spans *spans, int32_t start, int32_t end, bool match) {
    void *data = spans->data;
    AR_TRY(ar__buffer_grow(&data, &spans->capacity, spans->count, spans->count + 1, sizeof *spans->data));
    spans->data = data;
    spans->data[spans->count++] = (ar__span){start, end, match};
    return AR_OK;
}

static ar_status matcher_init(ar__matcher *m) {
    if (m->data) return AR_OK;
    pcre2_general_context *general = pcre2_general_context_create(pcre2_alloc, pcre2_release, NULL);
    if (general) m->context = pcre2_match_context_create(general);
    if (m->context) m->data = pcre2_match_data_create(1, general);
    pcre2_general_context_free(general);
    if (!m->data) return AR_ERR_MEMORY;
    pcre2_set_match_limit(m->context, MATCH_LIMIT);
    pcre2_set_heap_limit(m->context, HEAP_LIMIT_KIB);
    return AR_OK;
}

void ar__matcher_deinit(ar__matcher *m) {
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->context);
    free(m->matches.data);
    free(m->from.data);
    free(m->to.data);
}

/* The first match at or after `at`; *found = false if there is none. */
static ar_status match_next(ar__matcher *m, const pcre2_code *code, const char *text, size_t bytes, size_t at,
                            bool *found) {
    const uint32_t options = PCRE2_NO_UTF_CHECK; /* checked once for the whole text */
    int rc = pcre2_match(code, (PCRE2_SPTR)text, bytes, at, options, m->data, m->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter keeps its stack on the heap */
        rc = pcre2_match(code, (PCRE2_SPTR)text, bytes, at, options | PCRE2_NO_JIT, m->data, m->context);
    *found = rc >= 0;
    if (rc >= 0 || rc == PCRE2_ERROR_NOMATCH) return AR_OK;
    if (rc == PCRE2_ERROR_NOMEMORY) return AR_ERR_MEMORY;
    char reason[128] = "";
    pcre2_get_error_message(rc, (PCRE2_UCHAR *)reason, sizeof reason);
    return ar__fail(AR_ERR_UNSUPPORTED, "text: byte %zu of a piece of %zu: the pre-split pattern gave up: %s",
                    at, bytes, reason);
}

/* Matches and the gaps between them, in order, covering text. An empty match right after a match does not
 * count. */
static ar_status find_matches(ar__matcher *m, const pcre2_code *code, const char *text, int32_t bytes) {
    m->matches.count = 0;
    const size_t *at = pcre2_get_ovector_pointer(m->data);
    size_t from = 0, covered = 0, size = (size_t)bytes;
    bool found = true, any = false;
    while (from <= size) {
        AR_TRY(match_next(m, code, text, size, from, &found));
        if (!found) break;
        size_t start = at[0], end = at[1];
        if (end < start) /* \K inside a lookahead */
            return ar__fail(AR_ERR_UNSUPPORTED, "text: the pre-split pattern matched backwards");
        if (start < covered) start = covered; /* \K again */
        if (start == end && any && end == covered) {
            from += from < size ? ar__utf8_bytes((uint8_t)text[from]) : 1;
            continue;
        }
        if (covered < start) AR_TRY(push_span(&m->matches, (int32_t)covered, (int32_t)start, false));
        AR_TRY(push_span(&m->matches, (int32_t)start, (int32_t)end, true));
        from = covered = end;
        any = true;
    }
    return covered < size ? push_span(&m->matches, (int32_t)covered, bytes, false) : AR_OK;
}

/* m->matches, joined as the rule says, appended to m->to with `base` added. */
static ar_status join_matches(ar__matcher *m, const ar__pre_step *step, int32_t base) {
    const ar__span *in = m->matches.data;
    const size_t count = m->matches.count;
    size_t first_out = m->to.count;
    for (size_t i = 0; i < count; i++) {
        bool is_match = in[i].match != step->invert;
        bool before = i > 0 && in[i - 1].match != step->invert;
        bool join = false; /* to the piece before */
        if (step->rule == AR__REMOVED && is_match) continue;
        if (step->rule == AR__CONTIGUOUS) join = is_match == before;
        if (step->rule == AR__WITH_PREVIOUS) join = is_match && !before;
        if (step->rule == AR__WITH_NEXT) join = before && !is_match;
        if (join && m->to.count > first_out)
            m->to.data[m->to.count - 1].end = base + in[i].end;
        else
            AR_TRY(push_span(&m->to, base + in[i].start, base + in[i].end, false));
    }
    return AR_OK;
}

static ar_status run_split(ar__matcher *m, const ar__pre_step *step, const char *text) {
    AR_TRY(matcher_init(m));
    m->to.count = 0;
    for (size_t i = 0; i < m->from.count; i++) {
        int32_t start = m->from.data[i].start, bytes = m->from.data[i].end - start;
        AR_TRY(find_matches(m, step->code, text + start, bytes));
        AR_TRY(join_matches(m, step, start));
    }
    ar__spans swap = m->from;
    m->from = m->to;
    m->to = swap;
    return AR_OK;
}

/* Every U+2581 starts a word. */
static ar_status run_metaspace(ar__matcher *m, const char *text, size_t bytes) {
    size_t start = 0;
    for (size_t i = 1; i + AR__SPACE_BYTES <= bytes; i++) {
        if (memcmp(text + i, AR__SPACE, AR__SPACE_BYTES) != 0) continue;
        AR_TRY(push_span(&m->from, (int32_t)start, (int32_t)i, false));
        start = i;
    }
    return push_span(&m->from, (int32_t)start, (int32_t)bytes, false);
}

ar_status ar__pre_run(const ar_tokenizer *t, ar__matcher *m, const char *text, size_t bytes) {
    m->from.count = 0;
    if (t->pre.metaspace && t->pre.metaspace_split) return run_metaspace(m, text, bytes);
    AR_TRY(push_span(&m->from, 0, (int32_t)bytes, false));
    for (int32_t i = 0; i < t->pre.step_count; i++) AR_TRY(run_split(m, &t->pre.steps[i], text));
    return AR_OK;
}
