/* Inside host/: what the packed Hugging Face folders share, writing and reading (docs/formats.md). */
#ifndef AR_FMT_PACKED_H
#define AR_FMT_PACKED_H
#include "hf_folder.h"
#include "packing.h"

/* ---- writing: fmt_packed.c ---- */

typedef struct ar_packed_format {
    const char *name;
    const ar_packing *packing;
    int32_t bits_mask, n_multiple;
    bool sym_minus_one, asym_minus_one; /* zero points are stored as zp - 1 in that scheme */
    bool sym_zeros;                     /* the symmetric scheme's constant zero points are stored too */
    bool g_idx;                         /* i / group is stored for every input */
    const ar_acts_scheme *acts;         /* of inputs, whose static grids are stored; NULL = floats */
    bool whole_groups; /* I must be a multiple of the group, even if there would only be one */
    void (*describe)(cJSON *quantization, const ar_write_source *src); /* fills quantization_config */
} ar_packed_format;
ar_status ar__packed_storage(ar_storage *s, const ar_output_plan *plan, const ar_packed_format *f);
ar_status ar__packed_write(const char *path, const ar_write_source *src, const ar_packed_format *f);
ar_status ar__packed_size(ar_output_size *size, const ar_write_source *src, const ar_packed_format *f);
ar_status ar__packed_verify(const char *path, const ar_write_source *src);
/* For formats whose loaders know no Conv1D: UNSUPPORTED for a model of them. */
ar_status ar__packed_accepts_linears(const ar_open_model *m, const ar_output_plan *plan);

/* For describe. bits, group_size, sym. */
void ar__packed_add_scheme(cJSON *c, const ar_scheme *scheme);
/* Calls add for every linear that is not under the plan's scheme; scheme NULL = it stays float. */
void ar__packed_each_other(cJSON *list, const ar_write_source *src,
                           void (*add)(cJSON *list, const char *name, const ar_scheme *scheme));
/* The same for an object that c gets as `key` if it is not empty. */
void ar__packed_add_others(cJSON *c, const char *key, const ar_write_source *src,
                           void (*add)(cJSON *list, const char *name, const ar_scheme *scheme));
/* For lists of what stays float: the head, which always does. */
void ar__packed_add_head(cJSON *list, const ar_write_source *src);
/* For each_other: the name of a float one as a string. */
void ar__packed_add_float(cJSON *list, const char *name, const ar_scheme *scheme);

/* ---- reading: fmt_packed_config.c ---- */

/* What a config file says about a packed linear. */
typedef struct ar_packed_scheme {
    int32_t bits, group; /* 2, 3, 4 or 8 (at least 16: float); >= 1, or -1 */
    bool sym;
    bool minus_one; /* stored zero points are zp - 1 */
} ar_packed_scheme;
typedef struct ar_packed_override {
    const char *name; /* of a linear, or a pattern */
    ar_packed_scheme scheme;
} ar_packed_override;
typedef struct ar__packed_config {
    const ar_packing *packing;
    const char *method; /* for types: "gptq", "auto_round", … */
    ar_packed_scheme scheme;
    ar_acts_scheme acts; /* of inputs of linears */
    bool desc_act;
    ar_packed_override *overrides;
    int32_t override_count;
    bool is_beside; /* read from a file beside config.json, which says nothing of it */
    ar_json *json;
    char *path; /* of the file with the settings */
} ar_packed_config;
/* Parts of a format's read_config, which fills packing, method, scheme and what the rest asks for. Errors:
 * FORMAT. */
/* The index of which of the names, ended by NULL, `key` has; what: the file. */
ar_status ar__packed_choice(int32_t *choice, const ar_json *obj, const char *key, const char *fallback,
                            const char *const *names, const char *expected, const char *what);
/* bits, group_size and sym of all linears. minus_one stays as it is. */
ar_status ar__packed_default(ar_packed_config *c, const ar_json *q);
/* The linears of the object `key` (extra_config, dynamic) with schemes of their own, or their patterns. */
ar_status ar__packed_overrides(ar_packed_config *c, const ar_json *q, const char *key);
ar_status ar__packed_check_scheme(int64_t bits, int64_t group, const char *what);
/* The AWQ layout interleaves eight values of a word: it is read for 4 bits. */
ar_status ar__packed_check_awq(const ar_packed_config *c);
/* Whether a folder has quantization settings: in config.json, else in quantization_config.json,
 * quantize_config.json (GPTQ's) or quant_config.json (AWQ's). Whether tensors are packed is another matter.
 */
ar_status ar__packed_config_find(bool *found, const char *folder);
/* Reads them. *c is to be closed even after a failure. */
ar_status ar__packed_config_open(ar_packed_config *c, const char *folder);
void ar__packed_config_close(ar_packed_config *c);

/* ---- fmt_compressed_tensors.c ---- */

/* Fills quantization_config of a float folder whose inputs src->acts quantizes, with dynamic ranges. */
void ar__compressed_describe_floats(cJSON *quantization, const ar_write_source *src);

/* ---- acts_folder.c ---- */

/* What the settings of m's folder say of the inputs of its linears; *found = false where they say nothing.
 * Errors: FORMAT, IO, MEMORY. */
ar_status ar__folder_acts(ar_acts *a, bool *found, const ar_open_model *m);
#endif
