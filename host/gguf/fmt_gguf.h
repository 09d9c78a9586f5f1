/* What the GGUF files share (github.com/ggml-org/ggml, docs/gguf.md).
 *   fmt_gguf_bytes.c    little-endian numbers
 *   fmt_gguf.c          the container: key-values and tensor infos, every length checked
 *   fmt_gguf_split.c    a model in several files
 *   fmt_gguf_blocks.c   tensor types and their blocks of 32
 *   fmt_gguf_kquants.c  their super-blocks of 256
 *   fmt_gguf_mix.c      which type each tensor gets, under the names of --type
 *   fmt_gguf_types.c    types of single tensors, by rules or like another file (fmt_gguf_types.h)
 *   fmt_gguf_round.c    float rows to a type's codes by rounding: the embedding and the head
 *   fmt_gguf_names.c    tensor names and row order, both ways
 *   fmt_gguf_meta.c     key-values to a config and a tokenizer
 *   fmt_gguf_weights.c  the file as named float tensors: ar_weights_open_gguf
 *   fmt_gguf_entries.c  the tensors of a file to be (fmt_gguf_entries.h)
 *   fmt_gguf_writer.c   the format "gguf" of formats.def
 *   fmt_gguf_verify.c   what it wrote, read back
 *   fmt_gguf_fields.c   the key-values it writes
 *   fmt_gguf_imatrix.c  importance matrices, both ways
 *   fmt_gguf_passport.c those that say how the file was made
 *   fmt_gguf_lora.c     adapters, read and written
 * Everything is little-endian. */
#ifndef AR_FMT_GGUF_H
#define AR_FMT_GGUF_H
#include "ar_error.h"
#include "ar_host.h"
#include "family.h"

#define AR__GGUF_VERSION       3
#define AR__GGUF_ALIGNMENT     32
#define AR__GGUF_NAME          64 /* bytes of a tensor's name with its NUL */
#define AR__GGUF_BLOCK         32 /* elements of a block of the types that have no super-blocks */
#define AR__GGUF_MAX_LAYERS    AR_MAX_LAYERS
#define AR__GGUF_QUANT_VERSION 2

/* ---- fmt_gguf.c ---- */

typedef enum ar__gguf_kind {
    AR__GGUF_U8,
    AR__GGUF_I8,
    AR__GGUF_U16,
    AR__GGUF_I16,
    AR__GGUF_U32,
    AR__GGUF_I32,
    AR__GGUF_F32,
    AR__GGUF_BOOL,
    AR__GGUF_STRING,
    AR__GGUF_ARRAY,
    AR__GGUF_U64,
    AR__GGUF_I64,
    AR__GGUF_F64,
    AR__GGUF_KINDS
} ar__gguf_kind;

typedef enum ar__gguf_type_id {
#define AR_QTYPE(name, text, id, elems, bytes) AR__GGUF_T_##name = id,
#include "qtypes.def"
#undef AR_QTYPE
} ar__gguf_type_id;

typedef struct ar__gguf_type {
    int32_t id;
    const char *name;
    int32_t elems, bytes; /* of a block */
    ar_qtype qtype;       /* AR_QT_COUNT: not read */
} ar__gguf_type;

/* A key-value, or a string in an array: all pointers lie in the file. */
typedef struct ar__gguf_value {
    const char *key;
    uint64_t key_bytes;
    ar__gguf_kind kind, element; /* element: of an array */
    uint64_t count;              /* elements of an array, bytes of a string */
    const uint8_t *data;
} ar__gguf_value;

typedef struct ar__gguf_tensor {
    const char *name; /* in the file, not NUL-terminated */
    uint64_t name_bytes;
    const ar__gguf_type *type;
    int32_t dim_count;
    int64_t dims[4]; /* as everywhere here: outermost first */
    const uint8_t *data;
    uint64_t bytes;
} ar__gguf_tensor;

/* Another file of a model in several. */
typedef struct ar__gguf_piece {
    char *path;
    ar_file file;
} ar__gguf_piece;

typedef struct ar__gguf {
    const char *what; /* names the file in errors; borrowed */
    ar__gguf_value *values;
    int64_t value_count;
    ar__gguf_tensor *tensors;
    int64_t tensor_count;
    ar__gguf_piece *pieces; /* whose tensors are among them */
    int64_t piece_count;
} ar__gguf;

/* Checks and indexes a whole file; data is borrowed. Untrusted input: every range it hands out lies inside,
 * keys and names are unique, tensors lie one after the other. On failure *g holds nothing. */
ar_status ar__gguf_parse(ar__gguf *g, const uint8_t *data, uint64_t bytes, const char *what);
/* The same of the file at path, which stays mapped, alone; both ends are due even after a failure. Errors: IO
 * too.
 */
ar_status ar__gguf_map_one(ar__gguf *g, ar_file *file, const char *path);
ar_status ar__gguf_check_names(const ar__gguf *g); /* tensors' are unique */
void ar__gguf_deinit(ar__gguf *g);

const ar__gguf_value *ar__gguf_find(const ar__gguf *g, const char *key); /* NULL if missing */
/* Typed lookups; a missing key gives the fallback, or is FORMAT when that is AR__GGUF_REQUIRED (NAN for a
 * real). The stored kind must be u32, f32, bool, string. */
#define AR__GGUF_REQUIRED INT64_MIN
ar_status ar__gguf_int(int64_t *out, const ar__gguf *g, const char *key, int64_t fallback, int64_t lo,
                       int64_t hi);
ar_status ar__gguf_real(float *out, const ar__gguf *g, const char *key, float fallback, double lo, double hi);
ar_status ar__gguf_bool(bool *out, const ar__gguf *g, const char *key, bool fallback);
/* *text = NULL when missing; not NUL-terminated. */
ar_status ar__gguf_text(const char **text, size_t *bytes, const ar__gguf *g, const char *key);
bool ar__gguf_text_is(const char *text, size_t bytes, const char *expected);
/* *v = NULL when missing. */
ar_status ar__gguf_array(const ar__gguf_value **v, const ar__gguf *g, const char *key, ar__gguf_kind element);
/* Bytes of a number of that kind; the least of a text or an array. */
uint32_t ar__gguf_kind_bytes(ar__gguf_kind kind);
/* The string at p of an array of strings; returns where the next one is. */
const uint8_t *ar__gguf_string(const char **text, size_t *bytes, const uint8_t *p);

/* Unaligned little-endian loads and stores. */
uint32_t ar__gguf_load32(const uint8_t *p);
uint64_t ar__gguf_load64(const uint8_t *p);
float ar__gguf_load_f32(const uint8_t *p);
void ar__gguf_store(uint8_t *p, uint64_t value, int32_t bytes);

/* ---- fmt_gguf_split.c ---- */

/* ar__gguf_map_one and, where the file says that it is the first of several, the tensors of the others, which
 * are found beside it by name and stay mapped with g. Errors: those, and FORMAT where a name, or what is in
 * one of them, does not fit. */
ar_status ar__gguf_map(ar__gguf *g, ar_file *file, const char *path);
/* How many files the model is in; 0 where the file says nothing of it. */
int64_t ar__gguf_split_count(const ar__gguf *g);
/* Those beside path that its name tells of. Errors: those of ar_snapshot_add. */
ar_status ar__gguf_add_pieces(ar_snapshot *s, const char *path);

/* ---- fmt_gguf_blocks.c ---- */

/* The type of this id: NULL for an id that never was one. Types that are known but not read have elems 0. */
const ar__gguf_type *ar__gguf_type_of(int32_t id);
const ar__gguf_type *ar__gguf_type_for(ar_qtype type);
/* The storage type of this name in any case ("q4_k"); AR_QT_COUNT where we write no such type. */
ar_qtype ar__gguf_type_named(const char *name);
/* Bytes of a row of `width` elements, a multiple of the type's block. */
int64_t ar__gguf_row_bytes(const ar__gguf_type *type, int64_t width);
void ar__gguf_decode(float *dst, const ar__gguf_type *type, const uint8_t *src, int64_t count);
/* The scheme of a type's blocks; false where they hold no codes of a scheme (float types, IQ4_NL). */
bool ar__gguf_scheme(ar_scheme *scheme, ar_qtype type);
/* Row `row` of q (whose scheme is the type's own) from a stored row. */
void ar__gguf_decode_codes(ar_qlinear *q, int64_t row, const ar__gguf_type *type, const uint8_t *src);
/* Row `row` of q as blocks. In blocks of 32 q may have fewer bits and larger groups than the type. */
void ar__gguf_encode_codes(uint8_t *dst, const ar__gguf_type *type, const ar_qlinear *q, int64_t row);
/* What is added to a code of `bits` bits when the type stores it. */
int32_t ar__gguf_code_offset(ar_qtype type, int32_t bits);

/* ---- fmt_gguf_kquants.c ---- */

/* A block taken apart: q as in ar_qlinear; sc and mn of super-blocks, whose m is dmin. */
typedef struct ar__gguf_block {
    uint16_t d, m;
    int8_t sc[16];
    uint8_t mn[16], q[AR_SUPER_BLOCK];
} ar__gguf_block;
void ar__gguf_unpack_super(ar__gguf_block *b, ar_super super, const uint8_t *src);
/* dst is all zero before. */
void ar__gguf_pack_super(uint8_t *dst, ar_super super, const ar__gguf_block *b);
void ar__gguf_decode_super(float *x, const ar_scheme *s, const uint8_t *src);

/* ---- fmt_gguf_names.c, of linears ---- */

/* "blk.3.attn_q.weight" of linear i of a block; false where GGUF has no name for it. */
bool ar__gguf_linear_name(char name[AR__GGUF_NAME], const ar_config *config, const ar_block *block,
                          int32_t i);

/* ---- fmt_gguf_mix.c ---- */

typedef enum ar__gguf_size { AR__MIX_PLAIN, AR__MIX_SMALL, AR__MIX_MEDIUM, AR__MIX_LARGE } ar__gguf_size;
/* A value of --type. */
typedef struct ar__gguf_mix {
    const char *name;
    ar_qtype type; /* of linears, where no rule gives another */
    ar__gguf_size size;
    int32_t file_type; /* general.file_type */
} ar__gguf_mix;
const ar__gguf_mix *ar__gguf_mix_find(const char *name); /* NULL for no such name */
/* Of types like a file: its name of --type, or the first whose linears have the type of most of its weights.
 */
const ar__gguf_mix *ar__gguf_mix_like(const ar_tensor_types *types);

/* A tensor as the rules see it. */
typedef struct ar__gguf_place {
    const char *name; /* "blk.3.attn_v.weight" */
    int64_t width;
    int32_t layers, queries_per_kv;
    bool tied;
} ar__gguf_place;
/* The type of a matrix; pure. Widths its blocks do not divide get another: Q2_K and Q3_K become Q4_0, Q4_K
 * Q5_0, Q5_K Q5_1, Q6_K Q8_0, and what those do not divide F16. */
ar_qtype ar__gguf_mix_type(const ar__gguf_mix *mix, const ar__gguf_place *place);
ar_qtype ar__gguf_fitting_type(ar_qtype type, int64_t width);
/* The type of the tensor called gguf_name in files of this plan; its embedding and head types come first. */
ar_qtype ar__gguf_plan_type(const ar_output_plan *plan, const ar_config *c, const char *gguf_name,
                            int64_t width);

/* ---- fmt_gguf_round.c ---- */

/* Codes and scales of W (q->O, q->I), rows of the weight `what` from `row` on, under q's scheme, a block
 * scheme of ar__gguf_scheme: the least squared error found over a scan of scales. Errors: FORMAT for what is
 * not finite, and for a scale that fp16 does not hold. */
ar_status ar__gguf_round(ar_qlinear *q, const char *what, const float *W, int64_t row);

/* ---- fmt_gguf_names.c ---- */

#define AR__GGUF_HF_NAME 96
const ar__gguf_arch *ar__gguf_arch_named(const char *name, size_t bytes); /* NULL for others */
const ar__gguf_arch *ar__gguf_arch_of(const char *family); /* what a family is written as; NULL = none */
/* The family whose architecture it is; of several, the one for files with a window, or without. */
const ar_family *ar__gguf_family(const ar__gguf_arch *arch, bool slides);
void ar__gguf_arch_list(char *out, size_t bytes); /* "llama, qwen2, …" */
/* The Hugging Face name of a tensor; false if it has none. */
bool ar__gguf_to_hf(char out[AR__GGUF_HF_NAME], const ar__gguf_arch *arch, const char *name, size_t bytes);
/* Names of a block's tensors, i = 0, 1, … in the order they are written; weight and bias take turns. False
 * past the end. */
bool ar__gguf_block_name(char gguf[AR__GGUF_NAME], char hf[AR__GGUF_HF_NAME], const ar__gguf_arch *arch,
                         int32_t layer, int32_t i);
/* Names of "token_embd", "output_norm", …; false if the architecture has none such. */
bool ar__gguf_global_name(char gguf[AR__GGUF_NAME], char hf[AR__GGUF_HF_NAME], const ar__gguf_arch *arch,
                          const char *name, bool bias);
/* Heads of a tensor whose rows some files keep in another order (q and k: rotary pairs side by side); 0 =
 * none. The name need not end with a NUL. */
int32_t ar__gguf_permuted_heads(const ar_config *c, const char *gguf_name, size_t bytes);
/* The row of the file that holds row `row` of the Hugging Face matrix, and back. */
int64_t ar__gguf_row_in_file(int64_t row, int64_t head_rows);
int64_t ar__gguf_row_in_hf(int64_t row, int64_t head_rows);

/* ---- fmt_gguf_meta.c ---- */

#define AR__GGUF_ROPE_FREQS "rope_freqs.weight"
#define AR__GGUF_ROPE_LONG  "rope_factors_long.weight"
#define AR__GGUF_ROPE_SHORT "rope_factors_short.weight"
/* Llama 3's scaling as we write it beside that tensor, which does not tell them all. */
#define AR__GGUF_ROPE_FACTOR  "anyround.rope.factor"
#define AR__GGUF_ROPE_LOW     "anyround.rope.low_freq_factor"
#define AR__GGUF_ROPE_HIGH    "anyround.rope.high_freq_factor"
#define AR__GGUF_ROPE_CONTEXT "anyround.rope.original_context_length"
/* The tensors that scale the rotation, NULL where a file has none: rope_freqs.weight, longrope's factors. */
typedef struct ar__gguf_rope {
    const ar__gguf_tensor *freqs, *long_factors, *short_factors;
} ar__gguf_rope;
/* embedding: the token embedding; tied: there is no output.weight. */
ar_status ar__gguf_config(ar_config *c, const ar__gguf *g, const ar__gguf_tensor *embedding,
                          const ar__gguf_rope *rope, bool tied);
/* general.architecture, or FORMAT. */
ar_status ar__gguf_read_arch(const ar__gguf_arch **arch, const ar__gguf *g);
/* *t = NULL for a file without one. Padding tokens at the end are left out. */
ar_status ar__gguf_tokenizer(ar_tokenizer **t, const ar__gguf *g);
/* llama.cpp's divisors of the rotary frequencies: under c's llama3 scaling (head_dim / 2) for
 * rope_freqs.weight, else (rotary / 2) longrope's of that name. */
void ar__gguf_rope_factors(float *factors, const ar_config *c, const char *name);

/* ---- fmt_gguf_weights.c ---- */

/* ar_weights_open_gguf from memory, which is borrowed. */
ar_status ar__gguf_open_bytes(ar_weights *w, ar_config *config, ar_tokenizer **tokenizer, const uint8_t *data,
                              uint64_t bytes, const char *what);

/* ---- fmt_gguf_fields.c ---- */

/* A file being written; the first failure stays in status, and later calls do nothing. */
typedef struct ar__gguf_out {
    ar_writer *w;            /* NULL = bytes are counted only */
    struct ar__text *memory; /* they go there, if there is one */
    ar_status status;
    uint64_t field_count, bytes; /* put so far */
} ar__gguf_out;
void ar__gguf_put(ar__gguf_out *o, const void *src, size_t bytes);
void ar__gguf_put_int(ar__gguf_out *o, uint64_t value, int32_t bytes);
void ar__gguf_put_string(ar__gguf_out *o, const char *text, size_t bytes);
/* UNSUPPORTED names what of this model GGUF has no form for. */
ar_status ar__gguf_accepts(const ar_open_model *m);
/* All key-values of the file of a model that is accepted. */
ar_status ar__gguf_put_fields(ar__gguf_out *o, const ar_write_source *src, int32_t file_type);

/* ---- fmt_gguf_ids.c ---- */

/* The tokenizer of the file that this model would become; NULL where it has none. Errors: those of
 * ar__gguf_put_fields. */
ar_status ar__gguf_tokenizer_as_written(ar_tokenizer **t, const ar_open_model *m, const ar_output_plan *plan);
/* A line if that gives other ids than the model's own, with the first text and why. */
ar_status ar__gguf_remarks(ar_notes *notes, const ar_open_model *m, const ar_output_plan *plan);
/* CHECK unless the tokenizer read back gives the ids that the one written gives. */
ar_status ar__gguf_verify_tokenizer(const char *path, const ar_tokenizer *read, const ar_write_source *src);

/* ---- fmt_gguf_general.c ---- */

/* general.* of the model, but for what says how the file is made: another GGUF file's as they are; licence,
 * languages and tags of a folder's card, name and licence of its config.json. */
ar_status ar__gguf_put_general(ar__gguf_out *o, const ar_open_model *m);
/* ---- fmt_gguf_imatrix.c ---- */

/* Sums of squares of a tensor's inputs. */
typedef struct ar__gguf_sums {
    char name[AR__GGUF_NAME];
    float *values; /* (count) */
    int64_t count;
} ar__gguf_sums;
/* Writes them as an imatrix file. Errors: IO. */
ar_status ar__gguf_put_imatrix(const char *path, const ar__gguf_sums *sums, int64_t count,
                               const ar_samples *s, const char *const *texts, int32_t text_count);

/* ---- fmt_gguf_passport.c ---- */

/* src->passport, and the grids of static inputs: all blocks', a pair for each linear. */
void ar__gguf_put_passport(ar__gguf_out *o, const ar_write_source *src);
/* Reads those into a. Errors: FORMAT, IO. */
ar_status ar__gguf_grids(ar_acts *a, const ar_open_model *m, const char *path);
/* Puts a passport's numbers into a written file that has their keys. Errors: IO, FORMAT. */
ar_status ar__gguf_stamp(const char *path, const ar_passport *p);
/* *found = false where the file has no such keys. Errors: IO, FORMAT. */
ar_status ar__gguf_passport(ar_passport *p, bool *found, const char *path);

/* All key-values of the file at path, but what it says of its own making (quantize.imatrix.*,
 * anyround.*) and of files beside it (split.*). */
ar_status ar__gguf_copy_fields(ar__gguf_out *o, const char *path);
/* The file's text general.NAME, malloc'ed; NULL where there is none. Errors: IO, FORMAT, MEMORY. */
ar_status ar__gguf_general(char **text, const char *path, const char *name);

/* ---- fmt_gguf_template.c ---- */

/* The file's tokenizer.chat_template, malloc'ed; NULL where there is none. Errors: IO, FORMAT, MEMORY. */
ar_status ar__gguf_template(char **text, const char *path);
#endif
