/* What the tokenizer's files share. A tokenizer is: added tokens cut out of the text -> normalizer ->
 * pre-split into words -> BPE of each word; every stage gives what Hugging Face's tokenizers library gives.
 *   tokenizer.c         the public functions: encoding, decoding, accessors
 *   tokenizer_vocab.c   tokens, merges and their hash tables
 *   tokenizer_bpe.c     merging one word
 *   tokenizer_pre.c     cutting text into words (regular expressions, Metaspace)
 *   tokenizer_regex.c   regular expressions of tokenizer.json for PCRE2
 *   tokenizer_regex_sets.c  brackets and what is in them
 *   tokenizer_norm.c    normalizer steps
 *   tokenizer_added.c   finding added tokens in text
 *   tokenizer_json.c    tokenizer.json: model, vocabulary, merges, added tokens
 *   tokenizer_stages.c  tokenizer.json: normalizer, pre_tokenizer, decoder
 *   tokenizer_post.c    tokenizer.json: post_processor, what stands around a text
 *   tokenizer_build.c   the same object from GGUF's arrays
 *   tokenizer_files.c   the tokenizer of a folder, whichever files it is in
 *   tokenizer_spm.c     SentencePiece's model
 *   tokenizer_gpt2.c    GPT-2's vocab.json and merges.txt
 *   tokenizer_list.c    tokens on their way from those
 *   tokenizer_write.c   the object as a tokenizer.json
 *   tokenizer_utf8.c    UTF-8, the byte-level alphabet, growing text */
#ifndef AR_TOKENIZER_H
#define AR_TOKENIZER_H
#include "ar_error.h"
#include "utf8.h"
#include "ar_host.h"

#define AR__SPACE       "\xe2\x96\x81" /* U+2581, SentencePiece's space */
#define AR__SPACE_BYTES 3
#define AR__MAX_TOKENS  (1 << 22)
#define AR__MAX_STEPS   16
#define AR__MAX_PREFIX  8

/* ---- tokenizer_utf8.c ---- */

/* A NUL-terminated copy in which U+FFFD stands for every NUL and every byte of no sequence. free(). */
ar_status ar__utf8_repair(char **out, const char *text, size_t bytes);
/* FORMAT, naming the offset of the first byte that does not belong to valid UTF-8. */
ar_status ar__utf8_check(const char *text, size_t bytes, const char *what);
/* Length of the character that starts with this byte; the text must be valid. */
size_t ar__utf8_bytes(uint8_t first);
/* The character at p, and its length. The text must be valid. */
uint32_t ar__utf8_char(const char *p, size_t *bytes);
/* Unicode White_Space, as \s means it in the patterns of tokenizer.json. */
bool ar__utf8_is_space(uint32_t c);
/* GPT-2's printable stand-in for a byte (1 or 2 bytes of UTF-8; the length is returned), and back (-1 =
 * none). */
size_t ar__byte_to_char(char out[2], uint8_t byte);
int32_t ar__char_to_byte(uint32_t c);

typedef struct ar__text {
    char *data;
    size_t bytes, capacity;
} ar__text;
/* Errors: MEMORY; UNSUPPORTED beyond INT32_MAX bytes, since positions are 32-bit. */
ar_status ar__text_append(ar__text *text, const char *src, size_t bytes);
/* Makes room for count items of `each` bytes, keeping `used` of them. *data may be NULL. */
ar_status ar__buffer_grow(void **data, size_t *capacity, size_t used, size_t count, size_t each);

#define AR__QUOTE_BYTES 56
/* A piece of untrusted text for an error line: cut, control characters replaced. Returns out. */
const char *ar__quote(char out[AR__QUOTE_BYTES], const char *text, size_t bytes);

/* ---- tokenizer_vocab.c ---- */

typedef struct ar__token {
    const char *text; /* in ar_tokenizer.arena, NUL-terminated; NULL for a hole */
    uint32_t bytes;
    uint8_t type; /* ar_token_type */
    bool special, added;
    float score;
} ar__token;
typedef struct ar__merge {
    int32_t left, right, made, rank;
} ar__merge;
typedef struct ar__pair {
    uint64_t key;
    int32_t rank, made;
} ar__pair; /* key 0 = empty slot */

/* Room for ids below `vocab` whose texts have text_bytes in all. */
ar_status ar__vocab_init(ar_tokenizer *t, int32_t vocab, int32_t token_count, size_t text_bytes);
/* FORMAT when the id or the text is already there. */
ar_status ar__vocab_add(ar_tokenizer *t, int32_t id, const char *text, size_t bytes, const char *what);
int32_t ar__vocab_find(const ar_tokenizer *t, const char *text, size_t bytes); /* -1 if missing */
/* Merges in order of their rank; a later one for the same pair replaces the earlier, as in Hugging Face's. */
ar_status ar__merges_init(ar_tokenizer *t, int64_t count);
/* FORMAT when the concatenation is no token. */
ar_status ar__merges_add(ar_tokenizer *t, int32_t left, int32_t right, int32_t rank, const char *what);
const ar__pair *ar__merges_find(const ar_tokenizer *t, int32_t left, int32_t right); /* NULL if none */
/* After tokens, merges and added tokens: byte tokens, token types, scores. */
void ar__vocab_finish(ar_tokenizer *t);

/* ---- tokenizer_norm.c ---- */

typedef enum ar__norm_kind { AR__NORM_PREPEND, AR__NORM_REPLACE, AR__NORM_NFC } ar__norm_kind;
typedef struct ar__norm_step {
    ar__norm_kind kind;
    char *from, *to;
} ar__norm_step;
/* Copies from and to (NULL where the kind needs none). FORMAT beyond AR__MAX_STEPS. */
ar_status ar__norm_add(ar_tokenizer *t, ar__norm_kind kind, const char *from, const char *to,
                       const char *what);
/* out = the normalized text; scratch is clobbered. */
ar_status ar__norm_run(const ar_tokenizer *t, ar__text *out, ar__text *scratch, const char *text,
                       size_t bytes);

/* ---- tokenizer_pre.c ---- */

typedef enum ar__split_rule {
    AR__ISOLATED,
    AR__REMOVED,
    AR__CONTIGUOUS,
    AR__WITH_PREVIOUS,
    AR__WITH_NEXT
} ar__split_rule;
typedef enum ar__prepend { AR__PREPEND_NEVER, AR__PREPEND_FIRST, AR__PREPEND_ALWAYS } ar__prepend;
typedef struct ar__pre_step {
    void *code; /* pcre2_code */
    ar__split_rule rule;
    bool invert;
} ar__pre_step;
typedef struct ar__pre {
    bool metaspace, metaspace_split;
    ar__prepend metaspace_prepend;
    bool byte_level, byte_prefix; /* byte_prefix: a space goes before a text that starts with none */
    ar__pre_step steps[AR__MAX_STEPS];
    int32_t step_count;
    const char *name; /* llama.cpp's */
} ar__pre;
typedef struct ar__span {
    int32_t start, end;
    bool match;
} ar__span;
typedef struct ar__spans {
    ar__span *data;
    size_t count, capacity;
} ar__spans;
/* What matching needs besides the text; one per encode call, since a tokenizer is shared by threads. */
typedef struct ar__matcher {
    void *data, *context;
    ar__spans matches, from, to;
} ar__matcher;

/* Adds a split by a regular expression (literal: by this exact text). FORMAT if it does not compile. */
ar_status ar__pre_add(ar_tokenizer *t, const char *pattern, bool literal, ar__split_rule rule, bool invert,
                      const char *what);
/* Adds the steps llama.cpp knows under this name. FORMAT for other names. */
ar_status ar__pre_add_named(ar_tokenizer *t, const char *name, const char *what);
/* llama.cpp's name of one pattern as tokenizer.json files write it; NULL if it is none of the known ones. */
const char *ar__pre_name(const char *pattern);
#define AR__PRE_PATTERNS 6
/* The patterns of a name, AR__PRE_PATTERNS of them with NULLs at the end; NULL for no such name. */
const char *const *ar__pre_patterns(const char *name);
void ar__pre_deinit(ar__pre *pre);
/* Cuts text into words: matcher->from. */
ar_status ar__pre_run(const ar_tokenizer *t, ar__matcher *m, const char *text, size_t bytes);
void ar__matcher_deinit(ar__matcher *m);

/* ---- tokenizer_regex.c ---- */

/* Appends for PCRE2 (UTF, UCP, newline LF) what the pattern means in Oniguruma. FORMAT names what is not
 * known. */
ar_status ar__regex_spell(ar__text *out, const char *pattern, const char *what);

/* ---- tokenizer_added.c ---- */

typedef struct ar__added {
    char *pattern; /* the token's text, or its normalized form; owned */
    size_t bytes;
    int32_t id;
    bool special, normalized, lstrip, rstrip, single_word;
} ar__added;
/* Ordered by first byte, then longest first; of_byte[b] .. of_byte[b + 1] start with b. */
typedef struct ar__added_set {
    ar__added *items;
    int32_t count;
    int32_t of_byte[257];
} ar__added_set;
/* Takes the items over (sorting them) whatever the outcome. FORMAT when two have the same pattern. */
ar_status ar__added_init(ar__added_set *set, ar__added *items, int32_t count, const char *what);
void ar__added_deinit(ar__added_set *set);
/* A walk over text: gap [gap, start) without added tokens, then token `id` in [start, end). */
typedef struct ar__added_walk {
    size_t at, gap, start, end;
    int32_t id;
} ar__added_walk;
/* false at the end of the text, where [gap, start) is the last gap. Special tokens are passed over without
 * parse_special. */
bool ar__added_next(const ar__added_set *set, ar__added_walk *w, const char *text, size_t bytes,
                    bool parse_special);

/* ---- tokenizer_bpe.c ---- */

typedef struct ar__symbol {
    int32_t id, prev, next;
} ar__symbol; /* id -1: merged into the one before it */
typedef struct ar__candidate {
    uint64_t order;
    int32_t made;
} ar__candidate; /* order: rank, then position */
typedef struct ar__bpe {
    int32_t *ids; /* the result, word after word */
    size_t count, capacity;
    ar__symbol *symbols;
    size_t symbol_count, symbol_capacity;
    ar__candidate *heap;
    size_t heap_count, heap_capacity;
    ar__text mapped;
} ar__bpe;
/* Appends the ids of one word. */
ar_status ar__bpe_word(const ar_tokenizer *t, ar__bpe *w, const char *text, size_t bytes);
ar_status ar__bpe_push_id(ar__bpe *w, int32_t id);
void ar__bpe_deinit(ar__bpe *w); /* all but ids */

/* ---- tokenizer_stages.c ---- */

ar_status ar__stages_parse(ar_tokenizer *t, const ar_json *root, const char *what);
/* The post_processor, when all tokens are known. */
ar_status ar__stages_parse_post(ar_tokenizer *t, const ar_json *root, const char *what);

/* ---- tokenizer_files.c ---- */

/* A folder's tokenizer, from tokenizer.json, tokenizer.model (SentencePiece BPE), or vocab.json with
 * merges.txt (GPT-2's; class: whose pre-split, where tokenizer_config.json does not say). *path: the file
 * that was taken, to be freed even after a failure, or NULL; *t = NULL where there is none, or, with a
 * remark, none that is read here. */
ar_status ar__tokenizer_open_folder(ar_tokenizer **t, char **path, ar_notes *notes, const char *folder,
                                    const char *class);

/* ---- tokenizer_write.c ---- */

/* tokenizer.json as text; free(). UNSUPPORTED for a pre-split that has no name, and for tokens with zero
 * bytes. */
ar_status ar__tokenizer_write(char **json, const ar_tokenizer *t);

/* ---- tokenizer_post.c ---- */

/* One post_processor that is no Sequence. */
ar_status ar__post_read(ar_tokenizer *t, const ar_json *post, const char *type, const char *what);

/* ---- the object ---- */

typedef struct ar__decoder {
    bool byte_level;       /* characters of the byte-level alphabet are bytes */
    bool space;            /* U+2581 is a space */
    bool drop_first_space; /* Metaspace: every U+2581 of the first token goes */
    bool byte_fallback;    /* "<0x0A>" is a byte */
    bool fused;            /* Fuse was seen */
    int32_t strip;         /* at most this many spaces at the start of a text go */
} ar__decoder;

struct ar_tokenizer {
    ar_tokenizer_kind kind;
    int32_t vocab;
    ar__token *tokens; /* (vocab) */
    char *arena;
    size_t arena_bytes, arena_capacity;
    int32_t *index; /* open addressing over token texts: id + 1, 0 = empty */
    uint32_t index_mask;
    ar__merge *merges;
    int64_t merge_count;
    ar__pair *pairs;
    uint32_t pair_mask;
    bool scores_given;   /* not to be made from the merges */
    bool merges_derived; /* from the scores: not shown to writers */
    bool byte_fallback, fuse_unk, ignore_merges, prefix_space;
    int32_t unk, bos, eos;
    int32_t prefix[AR__MAX_PREFIX], prefix_count; /* ids before every text */
    bool appends;                                 /* EOS is said to stand behind every text */
    int32_t byte_ids[256];                        /* "<0x..>" or the byte-level letter; -1 if missing */
    ar__norm_step norm[AR__MAX_STEPS];
    int32_t norm_count;
    ar__pre pre;
    ar__decoder decoder;
    ar__added_set raw_added, normalized_added;
};
#endif
