/* Inside host/gguf: ar_tensor_types, asked by name. */
#ifndef AR_FMT_GGUF_TYPES_H
#define AR_FMT_GGUF_TYPES_H
#include "fmt_gguf_entries.h"

/* The tensor of this name has this type. Errors: MEMORY. */
ar_status ar__tensor_types_set(ar_tensor_types *types, const char *name, ar_qtype type);
/* The type of the tensor of this name; AR_QT_COUNT = nothing is said of it. types may be NULL. */
ar_qtype ar__tensor_type(const ar_tensor_types *types, const char *gguf_name);
/* Of rules of bits: those of the linear of this name, 0 = float; -1 = nothing is said of it. */
int32_t ar__tensor_bits(const ar_tensor_types *types, const char *name);
/* The first rule that is not of bits, or, without `bits`, not of a type; NULL = none. */
const char *ar__tensor_types_other(const ar_tensor_types *types, bool bits);
/* The first rule that says nothing of any of these names; NULL = none. */
const char *ar__tensor_types_idle(const ar_tensor_types *types, const char *const *names, int64_t count);
/* The file that types are like, or NULL. */
const char *ar__tensor_types_file(const ar_tensor_types *types);
/* Of types like a file: the type of most of its quantized weights, and its general.file_type. */
ar_qtype ar__tensor_types_most(int32_t *file_type, const ar_tensor_types *types);
/* Errors: USAGE a rule that says nothing of any entry; FORMAT a file that has another tensor or lacks one. */
ar_status ar__tensor_types_check(const ar_tensor_types *types, const ar__gguf_entry *entries, int64_t count,
                                 const char *model);
#endif
