/* anyround host: files, tokenizers, model families, formats, evaluation. Everything that reads a file treats
 * it as hostile: one error line (what, where, found, expected), FORMAT for bad content, IO for the system's
 * refusals. */
#ifndef AR_HOST_H
#define AR_HOST_H
#include "ar_files.h"
#include "ar_quant.h"
#include <time.h>
#ifdef __cplusplus
extern "C" {
#endif

/* ---- tokenizer.c ---- */

typedef struct ar_tokenizer ar_tokenizer;
/* From a tokenizer.json (BPE models: SentencePiece-style with byte fallback, or byte-level, cut by whatever
 * patterns it spells out). Other kinds are FORMAT, naming what was found. */
ar_status ar_tokenizer_open(ar_tokenizer **t, const char *path);
ar_status ar_tokenizer_parse(ar_tokenizer **t, const char *json, size_t bytes, const char *what);
void ar_tokenizer_close(ar_tokenizer *t);
int32_t ar_tokenizer_vocab(const ar_tokenizer *t); /* ids are < this */
/* ids of text (UTF-8; invalid bytes are FORMAT with their offset), without the prefix; special tokens
 * written in the text become their ids only with parse_special. *ids is malloc'ed. */
ar_status ar_tokenizer_encode(const ar_tokenizer *t, int32_t **ids, int64_t *count, const char *text,
                              size_t bytes, bool parse_special);
/* What stands before every text, BOS as a rule, because the files say so: tokenizer.json's post_processor, or
 * GGUF's add_bos_token (where that is missing llama.cpp's rule: SentencePiece's and Llama 3's have BOS).
 * Borrowed; *count may be 0, and is for t = NULL. */
const int32_t *ar_tokenizer_prefix(int32_t *count, const ar_tokenizer *t);
/* Whether they say that EOS stands behind every text, which is only kept for writers: a text that is to be
 * continued has none. */
bool ar_tokenizer_appends(const ar_tokenizer *t);
/* What a model reads of a text: the prefix and the text's ids. */
ar_status ar_tokenizer_encode_text(const ar_tokenizer *t, int32_t **ids, int64_t *count, const char *text,
                                   size_t bytes, bool parse_special);
/* Bytes of ids; malloc'ed, NUL-terminated. first = the ids start a text (a leading space of SentencePiece
 * goes). Ids without a token give nothing (a model may have more rows than tokens); negative ones are ARG. */
ar_status ar_tokenizer_decode(const ar_tokenizer *t, char **text, size_t *bytes, const int32_t *ids,
                              int64_t count, bool first, bool skip_special);
/* The token that is called BOS, -1 if there is none; from tokenizer_config.json or config.json via
 * set_special. It says nothing about texts: see ar_tokenizer_prefix. */
int32_t ar_tokenizer_bos(const ar_tokenizer *t);
int32_t ar_tokenizer_eos(const ar_tokenizer *t);
int32_t ar_tokenizer_unk(const ar_tokenizer *t); /* what unknown characters become; -1 = they are dropped */
void ar_tokenizer_set_special(ar_tokenizer *t, int32_t bos, int32_t eos, int32_t unk);
/* For writers (GGUF): kind, token text as stored, score/type, merges, flags. Borrowed strings. */
typedef enum ar_tokenizer_kind { AR_TOK_SPM, AR_TOK_BYTE_BPE } ar_tokenizer_kind;
ar_tokenizer_kind ar_tokenizer_get_kind(const ar_tokenizer *t);
const char *ar_tokenizer_token(const ar_tokenizer *t, int32_t id, size_t *bytes); /* NULL for a hole */
typedef enum ar_token_type {
    AR_TOKEN_NORMAL = 1,
    AR_TOKEN_UNKNOWN,
    AR_TOKEN_CONTROL,
    AR_TOKEN_USER,
    AR_TOKEN_UNUSED,
    AR_TOKEN_BYTE
} ar_token_type;
ar_token_type ar_tokenizer_token_type(const ar_tokenizer *t, int32_t id);
/* As built; from a tokenizer.json, minus the rank of the merge that makes the token (higher merges earlier).
 */
float ar_tokenizer_score(const ar_tokenizer *t, int32_t id);
int64_t ar_tokenizer_merge_count(const ar_tokenizer *t);
ar_status ar_tokenizer_merge(const ar_tokenizer *t, const char **left, const char **right, int64_t i);
/* llama.cpp's name of the pre-split: "gpt-2", "llama-bpe", "qwen2", "smollm", ...; "default" without one. */
const char *ar_tokenizer_pre(const ar_tokenizer *t);
bool ar_tokenizer_adds_prefix_space(const ar_tokenizer *t);
/* Builders for a tokenizer that is stored elsewhere (GGUF metadata): implemented beside parse. */
typedef struct ar_tokenizer_data {
    ar_tokenizer_kind kind;
    const char *pre;
    int32_t count;
    const char *const *tokens;
    const size_t *token_bytes;
    const float *scores;
    const int32_t *types;
    const char *const *merges;
    int64_t merge_count;
    bool add_prefix_space, add_bos, add_eos;
    int32_t bos, eos, unk;
    const char *what; /* names the file in errors; NULL = "tokenizer" */
} ar_tokenizer_data;
ar_status ar_tokenizer_build(ar_tokenizer **t, const ar_tokenizer_data *data);

/* ---- stream.c, chat.c ---- */

/* Text that appears token by token; all zero before the first. started = not the beginning of a text (a
 * prompt came before). */
typedef struct ar_text_stream {
    bool started;
    int32_t held_bytes;
    uint8_t held[4];
} ar_text_stream;
/* The whole UTF-8 characters that one more token completes (maybe none), special tokens left out, U+FFFD for
 * bytes of no character; malloc'ed, NUL-terminated. All pieces up to _end are together the repaired text of
 * all the ids. */
ar_status ar_text_stream_push(ar_text_stream *s, char **text, size_t *bytes, const ar_tokenizer *t,
                              int32_t id);
/* What was held back, as U+FFFD. The stream then begins anew. */
ar_status ar_text_stream_end(ar_text_stream *s, char **text, size_t *bytes);

/* ---- model.c, family_<name>.c ---- */

#define AR_MAX_LAYERS  4096
#define AR_MAX_ENDS    16
#define AR_MAX_FACTORS 256 /* rotary pairs of longrope: attention takes heads of up to 512 */
/* The numbers of a decoder, from config.json or GGUF metadata. */
typedef struct ar_config {
    char family[32]; /* "llama" */
    int64_t hidden, intermediate, vocab;
    int32_t layers, heads, kv_heads, head_dim, max_tokens;
    float rms_eps, rope_theta; /* rms_eps: of the norms, whichever kind */
    int32_t rotary;            /* dims of a head that turn; 0 = all */
    int32_t window; /* in layers that slide a token sees this many, itself included; 0 = none slides */
    uint8_t
        full[AR_MAX_LAYERS / 8]; /* with a window: bit i % 8 of byte i / 8 says that layer i does not slide */
    ar_act act;                  /* between the two products of an MLP without a gate */
    bool is_conv1d;      /* Hugging Face folders hold the family's float products as (I, O): GPT-2's Conv1D */
    bool conv1d_in_rows; /* but the file this was read from holds them as (O, I), like any others: GGUF */
    bool tied;
    bool has_biases; /* config.json says attention_bias or mlp_bias */
    /* kind "", "linear", "llama3" or "longrope": then every rotary pair has a divisor of its frequency,
     * short_factors in sequences of up to original_tokens, long_factors in longer ones, and what turns is
     * multiplied by `attention`. */
    struct {
        char kind[16];
        float factor, low_freq, high_freq;
        int32_t original_tokens;
        float attention, short_factors[AR_MAX_FACTORS], long_factors[AR_MAX_FACTORS];
    } rope_scaling;
    int32_t bos, eos, pad; /* -1 = none */
    /* Whichever of these comes ends a text: the ids of config.json, of a folder's generation_config.json and
     * tokenizer_config.json, GGUF's eos, eot and eom; without repetition, eos among them. */
    int32_t ends[AR_MAX_ENDS], end_count;
} ar_config;
bool ar_config_ends(const ar_config *c, int32_t id);
/* One more; -1, or one that is there, changes nothing. The first becomes eos where there is none. FORMAT,
 * naming `what`, beyond AR_MAX_ENDS. */
ar_status ar_config_add_end(ar_config *c, int32_t id, const char *what);
/* The window of a layer; 0 = it does not slide. */
int32_t ar_config_window(const ar_config *c, int32_t layer);
/* Errors: FORMAT for unknown model types and absurd values, naming key, found and expected. */
ar_status ar_config_open(ar_config *c, const char *path);
ar_status ar_config_parse(ar_config *c, const char *json, size_t bytes, const char *what);

/* A model opened from MODEL: a Hugging Face folder (float, or our packed formats), or a .gguf file. */
typedef struct ar_open_model {
    ar_model model; /* what quant sees */
    ar_config config;
    ar_tokenizer *tokenizer;
    ar_weights weights;
    ar_notes notes;       /* for the user */
    bool lacks_tokenizer; /* it has one in a form that is not read here */
    char *path;
    ar_snapshot files; /* what it was opened from, as it was before */
    /* The chat template, malloc'ed, or NULL where there is none; NULL = as a folder keeps it. */
    ar_status (*read_template)(char **text, const char *path);
    /* Its name or licence as its file keeps them, likewise; NULL = it is a folder. */
    ar_status (*read_general)(char **text, const char *path, const char *name);
    ar_acts acts; /* how inputs of linears are quantized: as its file says, or set by ar_model_acts */
    struct ar_adapter *adapter; /* owned; added to every linear in evaluation and generation; NULL = none */
} ar_open_model;
ar_status ar_model_open(ar_open_model **m, const char *path);
#define AR_ACTS_BYTES "q8"
/* From here on inputs are quantized as text says (ar_acts_parse; NULL = as before), those of coded linears
 * or, of a float model, all; or, AR_ACTS_BYTES, stay floats of which products of stored weights take bytes
 * (ar_op_linear_bytes). Errors: USAGE, also for static ranges that the model does not record. */
ar_status ar_model_acts(ar_open_model *m, const char *text, bool by_codes);
void ar_model_close(ar_open_model *m);
/* Low-rank corrections y += B (A x) of a model's linears (LoRA, arXiv 2106.09685), as llama.cpp keeps them in
 * GGUF files, or as our tensors (docs/lorc.md), which open reads too
 * and a folder may hold; untrusted input. Errors: FORMAT for a damaged file and one of another model,
 * UNSUPPORTED for tensors outside linears of blocks and for families that GGUF does not know; IO. Close it,
 * or let m own it. */
typedef struct ar_adapter ar_adapter;
ar_status ar_adapter_open(ar_adapter **a, const char *path, const ar_open_model *m);
ar_status ar_adapter_write(const char *path, const ar_adapter *a, const ar_open_model *m);
void ar_adapter_close(ar_adapter *a);
struct ar__names;
struct ar__gguf_arch;
struct ar__layout;
struct ar__packed_config;
/* A row of families.def: everything that is known of a family, all of it in its own file (family.h inside
 * host/ says what the parts are). */
typedef struct ar_family {
    const char *name;                 /* the row in families.def */
    const char *model_types;          /* space-separated config.json model_type values: "llama mistral" */
    const char *architecture;         /* of config.json's "architectures": "LlamaForCausalLM" */
    const char *tokenizer_class;      /* of folders that do not say it: "LlamaTokenizer" */
    const struct ar__names *names;    /* of the tensors outside its blocks, and where those begin */
    const struct ar__gguf_arch *gguf; /* what it is as a GGUF file; NULL = GGUF has no architecture for it */
    bool gguf_slides; /* of the families of one architecture: files with a window are this one's */
    ar_status (*config)(ar_config *c, const ar_json *root,
                        const char *what); /* reads its keys of config.json */
    /* Adds them to root, of a model that came without a config.json; NULL = it always comes with one. */
    void (*write_config)(ar_json *root, const ar_open_model *m);
    /* Fills the zeroed layout of block `index`: blocks need not be alike. */
    void (*block)(struct ar__layout *layout, const ar_config *c, int32_t index);
} ar_family;
const ar_family *ar_family_find(const char *model_type);
/* Fills m->model from m->config and m->weights, as the config's family says. Errors: FORMAT names an unknown
 * family, or a missing, misshapen or superfluous tensor with found and expected; MEMORY. */
ar_status ar_family_bind(ar_open_model *m);
void ar_family_unbind(ar_open_model *m); /* a model that is not bound stays as it is */
/* What holds the embedding of a bound model, under whichever name. */
const ar_weight *ar_family_embedding(const ar_open_model *m);
/* The codes of linear i of a bound model's block, as they are stored. ar_qlinear_deinit. Errors: UNSUPPORTED
 * where it has none. */
ar_status ar_family_codes(ar_qlinear *q, const ar_block *b, int32_t i);

/* ---- chat.c: conversations as the text the model was trained on ---- */

typedef struct ar_chat ar_chat;
typedef struct ar_chat_message {
    const char *role, *content;
} ar_chat_message; /* "system", "user", "assistant"; UTF-8 */
/* What a template is told besides the messages. */
typedef struct ar_chat_desc {
    const char *template_text;   /* Jinja; NULL = none: messages are plain text, lines */
    const char *what;            /* names it in errors; NULL = "chat template" */
    const char *bos, *eos, *unk; /* bos_token and its kin; NULL = the model has none */
    const struct tm *now;        /* what strftime_now says; NULL = the template does not have it */
} ar_chat_desc;
/* Templates are rendered by an interpreter of the Jinja that published ones use, to the text that
 * transformers' apply_chat_template gives; they reach nothing, and steps, memory and depth are bounded. One
 * with something in it that the interpreter does not know, or that is no Jinja, leaves plain text and a note
 * that names what was found. Errors: MEMORY. */
ar_status ar_chat_create(ar_chat **c, const ar_chat_desc *desc);
/* With the model's template (chat_template.jinja, tokenizer_config.json, GGUF's tokenizer.chat_template), or
 * the one in template_file where that is not NULL, and its tokens. Errors: IO, FORMAT (of the files), MEMORY.
 */
ar_status ar_chat_open(ar_chat **c, const ar_open_model *m, const char *template_file, const struct tm *now);
void ar_chat_close(ar_chat *c);
bool ar_chat_is_plain(const ar_chat *c);
/* One line that says why the messages are plain text although there is a template; NULL = there is no such
 * reason. Rendering may bring it about. */
const char *ar_chat_note(const ar_chat *c);
/* The special (or other added) token that the template puts behind an answer; -1 = none. Errors: MEMORY. */
ar_status ar_chat_turn_end(int32_t *id, const ar_chat *c, const ar_tokenizer *t);
/* The conversation's text, with special tokens (BOS too, where the template writes one) spelled out;
 * generate = up to where the answer begins. free(). Errors: ARG (the template refuses the conversation, with
 * its reason), FORMAT (what Jinja refuses too, content that is no UTF-8, no end within the bounds), MEMORY.
 */
ar_status ar_chat_render(char **text, ar_chat *c, const ar_chat_message *messages, int32_t count,
                         bool generate);

/* ---- formats: rows of formats.def ---- */

/* What a format can store; requested formats are intersected before tuning (storage.c). */
typedef struct ar_storage {
    int32_t bits_mask; /* bit b set: b bits can be stored */
    bool sym, asym;
    ar_zero_kind asym_zero; /* how the format stores an asymmetric zero */
    int32_t zero_min;
    int32_t group_multiple;         /* group must be a multiple of this (32), or -1 */
    int32_t k_multiple, n_multiple; /* I % k_multiple == 0, O % n_multiple == 0, else the layer stays float */
    bool short_group;               /* I % group != 0 allowed */
    const char *const *extras;      /* names of the extra tensors it can hold, ended by NULL; NULL = none */
} ar_storage;

/* Types of single tensors of a GGUF file, or bits of linears of a folder, before what the plan says: rules,
 * of which the first that matches counts, or another file's. Begun empty; destroy takes NULL. */
typedef struct ar_tensor_types ar_tensor_types;
ar_status ar_tensor_types_create(ar_tensor_types **types); /* Errors: MEMORY. */
void ar_tensor_types_destroy(ar_tensor_types *types);
/* "REGEX=TYPE": tensors in whose name ("blk.3.attn_v.weight") the expression (PCRE2) is found; "REGEX=BITS",
 * 2 to 8 or float: linears ("model.layers.3.self_attn.v_proj"). Errors: USAGE, MEMORY. */
ar_status ar_tensor_types_add(ar_tensor_types *types, const char *rule);
/* Rules of a text file, one a line; empty lines and those that begin with # do not count. Errors: IO, FORMAT,
 * USAGE. */
ar_status ar_tensor_types_read(ar_tensor_types *types, const char *path);
/* The type of every tensor of another GGUF file of the same model, whose metadata are kept too. Errors: IO,
 * FORMAT, UNSUPPORTED names what is not written here. */
ar_status ar_tensor_types_like(ar_tensor_types *types, const char *path);
uint64_t ar_tensor_types_hash(const ar_tensor_types *types); /* NULL = none: of nothing */

typedef struct ar_output_plan {
    ar_scheme scheme;         /* tune under this; GGUF's K types choose per linear (ar_output_plan_choose) */
    char type[16];            /* --type for GGUF: "q4_0", "q4_k_m", … or "" */
    ar_qtype embedding, head; /* GGUF: types of the embedding and the head; AR_QT_COUNT = as the type says */
    const ar_tensor_types *types; /* GGUF: of single tensors, before all; borrowed, NULL = none */
    /* (blocks, AR_MAX_LINEARS): of every linear, agreeing with types; bits 0 = it stays float; borrowed,
     * NULL = as the rest of the plan says */
    const ar_scheme *schemes;
    const char *formats[8];
    int32_t format_count;
    uint32_t faults; /* after USAGE: what of the request cannot agree, bits 1 << ar_request_field */
} ar_output_plan;

/* What a file of a format will be: its bytes, how many values the writer stores, and how many of those it
 * rounds to codes itself, which takes a search. */
typedef struct ar_output_size {
    uint64_t bytes;
    int64_t values, rounded;
} ar_output_size;
#define AR_ROUNDING_WORK 16 /* what rounding a value takes, where storing it is 1 */

/* How far the writing and reading back of all formats is, told as stage "write" of 100 steps. */
typedef struct ar_write_progress {
    const ar_observer *observer;
    double done, total; /* in values stored */
    int32_t told;       /* steps */
} ar_write_progress;

/* What a format's write leaves for its verify: digests of the rows that it rounded itself, in the order of
 * the file, so that they need not be rounded again. */
typedef struct ar_write_memo {
    uint64_t *rows;
    int64_t count;
} ar_write_memo;
void ar_write_memo_deinit(ar_write_memo *memo);

/* What a quantized file says of its own making: GGUF keys anyround.*, anyround.json in folders. Texts that
 * are not known are empty. */
typedef struct ar_passport {
    char version[64], method[64];  /* of the program; of quantize */
    char options[512];             /* "iters 200, batch 8": what decided the result */
    char calibration[64];          /* hashes: of the ids, "imatrix HASH" of the file, both by a comma */
    char acts[AR_ACTS_TEXT];       /* how inputs are quantized */
    bool is_measured;              /* what follows is known: evaluated against the float model */
    char text[128], text_hash[64]; /* the text's name, and a hash of it */
    double window, windows;        /* tokens of a window; how many there were, from the text's start */
    double kl, top1, ppl, ref_ppl; /* as in ar_eval_result */
} ar_passport;
/* Of a model's file or folder; *found = false where it has none. Errors: IO, FORMAT, MEMORY. */
ar_status ar_passport_read(ar_passport *p, bool *found, const char *path);

/* Everything a writer may use. linear() gives the quantized weights of a block from OUT.part. */
typedef struct ar_write_source {
    const ar_open_model *model;
    const ar_output_plan *plan;
    ar_status (*linear)(void *ctx, ar_qlinear **q, int32_t block,
                        int32_t i); /* NULL in *q = stays float; free with ar_qlinear_free */
    /* The scheme of what `linear` gives; false = it stays float. NULL = the plan's, where the plan holds it.
     */
    bool (*scheme)(void *ctx, const ar_block *block, int32_t i, ar_scheme *scheme);
    void *ctx;
    const ar_method_options *options; /* of the method that was run; NULL = nothing is said of it */
    const ar_passport *passport;      /* what the files say of themselves; NULL = nothing */
    const ar_acts *acts;              /* and of the inputs of linears; NULL = floats */
    /* Measures what was written at path for its passport; NULL = nothing is measured. */
    ar_status (*measure)(void *ctx, ar_passport *p, const char *path);
    /* Adds to a folder that was written and compared what corrects it (ar_adapter); NULL = nothing does. */
    ar_status (*correct)(void *ctx, const char *folder);
    ar_write_progress *progress; /* NULL = nobody asks */
    ar_write_memo *memo;         /* NULL = nothing is kept: verify computes all anew */
    const ar_snapshot *texts;    /* what else the linears were made from; NULL = nothing */
} ar_write_source;

typedef struct ar_format {
    const char *name, *help; /* as --format names it: "gguf", "auto_round", … */
    bool is_folder;
    ar_status (*storage)(ar_storage *s, const ar_output_plan *plan); /* for this type/bits */
    ar_status (*write)(const char *path, const ar_write_source *src);
    /* Reads it back and compares codes and dequantized values bit for bit. CHECK on any difference. What
     * write rounded itself is compared with the digests in src->memo or, without them, rounded again. */
    ar_status (*verify)(const char *path, const ar_write_source *src);
    /* What write would write, without doing so. */
    ar_status (*size)(ar_output_size *size, const ar_write_source *src);
    /* Seconds that rounding takes in write, measured with a few rows of all that it rounds itself; NULL = it
     * rounds nothing. */
    ar_status (*rounding)(double *seconds, const ar_write_source *src);
    /* What write would refuse after all the work: UNSUPPORTED names what of this model the format cannot
     * hold, FORMAT what it would quantize itself and cannot; NULL = any model will do. */
    ar_status (*accepts)(const ar_open_model *m, const ar_output_plan *plan);
    /* What the written model would do otherwise than this one, because the format has no word for it: a line
     * each, with the cause. NULL = nothing. */
    ar_status (*remarks)(ar_notes *notes, const ar_open_model *m, const ar_output_plan *plan);
    /* Packed folders: which quant_method of a quantization_config it reads, and how (fmt_packed.h inside
     * host/). Of formats that share one, one has it; NULL = none. */
    const char *quant_method;
    ar_status (*read_config)(struct ar__packed_config *c, const ar_json *q);
    /* Capabilities that no type or scheme changes. */
    bool is_mixed;     /* every linear may have bits and a group of its own, within what storage says */
    bool has_types;    /* its files have a type by name, which may imply bits, group and symmetry */
    bool holds_floats; /* a model without codes */
    bool holds_supers; /* codes of double-quantized schemes */
    bool holds_values; /* it stores W' itself, so that the form of zero points is all one to it */
    int32_t group;     /* where none is asked for; 0 = 128. The least of a plan's formats counts */
} ar_format;
const ar_format *ar_format_find(const char *name);
const ar_format *ar_format_at(int32_t i);
bool ar_format_has_codes(const ar_format *f); /* quantized weights; else floats alone */
/* What a caller wishes; zero and NULL = not said. */
typedef struct ar_output_request {
    const char *formats; /* names with commas between */
    const char *type;
    int32_t bits, group; /* group -1 = a whole row */
    int sym;             /* -1 unset */
    bool widen;          /* store fewer bits than the type has */
} ar_output_request;
/* Its fields, and those of ar_output_plan_parts. */
typedef enum ar_request_field {
    AR_REQUEST_FORMATS,
    AR_REQUEST_TYPE,
    AR_REQUEST_BITS,
    AR_REQUEST_GROUP,
    AR_REQUEST_SYM,
    AR_REQUEST_WIDEN,
    AR_REQUEST_EMBEDDING_TYPE,
    AR_REQUEST_HEAD_TYPE,
    AR_REQUEST_TENSOR_TYPE,
    AR_REQUEST_FIELDS
} ar_request_field;
/* Resolves a request into one plan. Errors: USAGE says what cannot agree, and sets the plan's faults. */
ar_status ar_output_plan_make(ar_output_plan *plan, const ar_output_request *request);
/* GGUF's types of the embedding and of the head (with what is tied to it); NULL = as the plan's type says.
 * Errors: USAGE, with faults. */
ar_status ar_output_plan_parts(ar_output_plan *plan, const char *embedding_type, const char *head_type);
/* Types of single tensors, which plan borrows; bits are checked alone. Errors: USAGE, with faults, where the
 * plan is not of GGUF files of a quantized type alone or, for bits, of folders whose linears may differ. */
ar_status ar_output_plan_types(ar_output_plan *plan, const ar_tensor_types *types);
/* The plan of a file like another, whose types it borrows. Errors: USAGE. */
ar_status ar_output_plan_like(ar_output_plan *plan, const ar_tensor_types *types);
/* Whether every format of the plan can hold the extra tensors that `method` delivers (names ended by NULL;
 * NULL = none). Errors: USAGE names the format and the tensor. */
ar_status ar_output_plan_extras(const ar_output_plan *plan, const char *method, const char *const *names);
/* true if linear (O, I) can be stored by every format of the plan. */
bool ar_output_plan_holds(const ar_output_plan *plan, int64_t O, int64_t I);
/* true if every format of the plan can store linear (O, I) under a scheme of its own, beside others under
 * theirs: what an ar_quant_desc's `choose` may give. Zero points have the plan's form. */
bool ar_output_plan_holds_scheme(const ar_output_plan *plan, const ar_scheme *scheme, int64_t O, int64_t I);
/* The scheme of linear i of a block of a model with this config, by the rules of the plan's type; false where
 * ar_output_plan_holds is: the linear stays float. */
bool ar_output_plan_choose(const ar_output_plan *plan, const ar_config *config, const ar_block *block,
                           int32_t i, ar_scheme *scheme);
/* What of a model's linears a plan leaves float; nothing of a float type, under which that is no exception.
 */
typedef struct ar_kept_float {
    int32_t linears, linear_count; /* kept, of so many */
    int64_t weights, weight_count;
    int32_t group; /* the largest smaller power of two that keeps the fewest, if those are fewer; 0 = none */
    int32_t linears_then; /* kept with it */
    int64_t O, I;         /* of the first that is kept */
} ar_kept_float;
void ar_output_plan_kept(ar_kept_float *kept, const ar_output_plan *plan, const ar_open_model *m);

/* GGUF: F32, F16, BF16, Q4_0 to Q8_0, Q2_K to Q6_K, IQ4_NL; other types are FORMAT by name. */
ar_status ar_weights_open_gguf(ar_weights *w, ar_config *config, ar_tokenizer **tokenizer, const char *path);
/* Packed folders: quantization_config in config.json, or in a file beside it as quantizers name it, of a
 * quant_method that a format reads. Float tensors alone are opened as such where a file beside says
 * otherwise. */
ar_status ar_weights_open_packed(ar_weights *w, const char *folder);

/* ---- importance matrices: llama.cpp's imatrix files ---- */

typedef struct ar_imatrix ar_imatrix;
/* A GGUF file of type imatrix, or the older binary form. Errors: IO, FORMAT, MEMORY. */
ar_status ar_imatrix_open(ar_imatrix **m, const char *path);
void ar_imatrix_close(ar_imatrix *m); /* NULL is fine */
/* dst (I) = the mean squares of linear i's inputs. Errors: FORMAT names what is missing, has another length
 * or is no square. */
ar_status ar_imatrix_linear(const ar_imatrix *m, float *dst, const ar_config *config, const ar_block *block,
                            int32_t i);
/* Writes the GGUF form of all linears of m, on samples made of `texts` (their names are kept). Errors: those
 * of ar_chain_forward; UNSUPPORTED a family that GGUF has no names for; IO, also where a file of the model
 * changed meanwhile; CHECK for a device that computes nothing; INTERRUPTED. */
ar_status ar_imatrix_write(const char *path, const ar_open_model *m, ar_device *device,
                           const ar_samples *samples, const char *const *texts, int32_t text_count,
                           const ar_observer *observer);

/* ---- eval.c ---- */

typedef enum ar_protocol { AR_PROTOCOL_WINDOW, AR_PROTOCOL_LINES, AR_PROTOCOL_LLAMACPP } ar_protocol;
typedef struct ar_eval_desc {
    ar_protocol protocol;
    int32_t window; /* tokens; 0 = 512, capped by the context */
    int32_t skip_windows,
        max_windows;          /* windows or documents left out at the start; counted after that (0 = all) */
    int32_t batch;            /* 0 = 8, fewer where those were more than 16384 tokens */
    const char *save_logits;  /* AR_PROTOCOL_LLAMACPP: also writes the logits of every counted position here,
                                 in llama-perplexity's format (docs/formats.md); NULL = nowhere */
    const ar_snapshot *texts; /* of the file that the text is from; NULL = of none */
} ar_eval_desc;
#define AR_EVAL_FIRST 8 /* positions at a window's start that are also reported apart */
typedef struct ar_eval_result {
    double ppl, nll;
    int64_t tokens;
    int32_t windows;
    double nll_error, ppl_error; /* standard errors, here and below */
    bool has_ref;                /* all that follows is 0 without */
    double kl, kl_error, top1, top1_error, ref_ppl, ref_ppl_error;
    double ppl_ratio, ppl_ratio_error; /* ppl / ref_ppl, its error from the differences token by token */
    double kl_median, kl_p90, kl_p99, kl_p999, kl_max; /* quantiles */
    int64_t first_tokens;        /* counted tokens that were predicted at positions below AR_EVAL_FIRST */
    double kl_first, kl_later;   /* the mean over those and over the others; NaN over none */
    double kl_at[AR_EVAL_FIRST]; /* the mean at each of those positions; NaN over none */
} ar_eval_result;
/* Perplexity of m on text; with ref also KL(ref || m) and the share of equal argmax. Weights are on the
 * device as stored, a block at a time; activations of 16384 tokens (or of one batch, where that is more) lie
 * in host memory, and after each such part the observer is given the loss. ARG for numbers below 0. */
ar_status ar_eval_text(ar_eval_result *r, const ar_open_model *m, const ar_open_model *ref, ar_device *device,
                       const char *text, size_t bytes, const ar_eval_desc *desc, const ar_observer *observer);
/* logits (rows, V) f32 in host memory of the last position(s): all positions when rows == count. The blocks'
 * weights are decoded to f32: what packed evaluation is compared with. */
ar_status ar_model_logits(float *logits, const ar_open_model *m, ar_device *device, const int32_t *ids,
                          int64_t count, int64_t rows);

/* ---- session.c: generation (weights resident on the device) ---- */

typedef struct ar_session ar_session;
/* All weights and the keys and values of max_tokens tokens on the device; 0 = as many as the model knows and
 * the memory holds. Errors: USAGE (more than the model knows), DEVICE_MEMORY, saying how many tokens there
 * would be room for. */
ar_status ar_session_create(ar_session **s, const ar_open_model *m, ar_device *device, int32_t max_tokens);
/* The same of ar_net_lm_create's net, borrowed: each call takes all ids in again. max_tokens: 1 to what the
 * model knows. Errors: MEMORY, the device's; later those of ar_net_lm_logits. */
ar_status ar_session_create_net(ar_session **s, const ar_net *net, ar_device *device, int32_t max_tokens);
void ar_session_destroy(ar_session *s);
int32_t ar_session_context(const ar_session *s);       /* tokens */
uint64_t ar_session_weight_bytes(const ar_session *s); /* that generating a token reads */
/* Logits (V) after these ids (a prefix already seen is not wasted); ids include everything from the start.
 * NULL = only take the ids in. */
ar_status ar_session_logits(ar_session *s, float *logits, const int32_t *ids, int64_t count);
int64_t ar_session_computed(const ar_session *s); /* tokens the latest call did not know yet */
typedef struct ar_sampling {
    bool greedy;
    float temperature, top_p;
    uint64_t seed;
    int32_t top_k; /* 0 = all */
    float min_p;   /* 0 = all */
} ar_sampling;
/* The next token's id from logits (V), V > 0: the most likely one (the lowest id of equals) if greedy or
 * temperature <= 0; else drawn from softmax(logits / temperature) among the top_k most likely, of which, with
 * 0 < top_p < 1, only the fewest that hold top_p, and only those at least min_p times as likely as the best.
 * Depends on (logits, s, counter) alone. NaN is never chosen. */
int32_t ar_sample(const float *logits, int64_t vocab, const ar_sampling *s, uint64_t counter);
/* The repetition penalty: logits of the tokens among recent (count) are divided by it where positive, else
 * multiplied, once each. 1 changes nothing. */
void ar_sample_penalize(float *logits, int64_t vocab, const int32_t *recent, int64_t count, float penalty);

/* ---- calibration data (calib.c, calib_windows.c, calib_read.c) ---- */

/* Samples of T tokens (at most the context): windows spread evenly over the texts in paths (path_count), or
 * without any drawn from the float model itself. The same files give the same samples. A text is encoded
 * whole; where the name ends in .jsonl every line that is not blank is an object with "messages" (a list of
 * objects with role and content, through the model's chat template) or "text" (behind the prefix). Fewer
 * samples than count, with a remark, where the texts hold no more; any run of them is spread over the texts.
 * Errors: USAGE (no whole sample; count < 1 or T < 2), UNSUPPORTED (no tokenizer), FORMAT names file and
 * line, IO, MEMORY; without texts the device's. */
ar_status ar_calib_make(ar_samples *s, const ar_open_model *m, ar_device *device, const char *const *paths,
                        int32_t path_count, int32_t count, int32_t T, uint64_t seed,
                        const ar_observer *observer);
void ar_samples_deinit(ar_samples *s);

#include "ar_states_files.h"

#ifdef __cplusplus
}
#endif
#endif
