/* Shared by the format writers. */
#ifndef AR_FORMATS_H
#define AR_FORMATS_H
#include "ar_error.h"
#include "ar_host.h"

#define AR_FORMAT(name) extern const ar_format ar__format_##name;
#include "formats.def"
#undef AR_FORMAT
/* The same scheme in every respect. */
bool ar__scheme_is(const ar_scheme *a, const ar_scheme *b);
/* The scheme of linear i of a block of what is written; false = it stays float. */
bool ar__source_scheme(ar_scheme *scheme, const ar_write_source *src, const ar_block *block, int32_t i);
/* CHECK unless q, of linear i, has the scheme that the source named: what its tensors were declared for. */
ar_status ar__source_check(const ar_write_source *src, const ar_block *block, int32_t i, const ar_qlinear *q);
/* Tells src's progress that `values` more are stored or compared. Errors: INTERRUPTED. */
ar_status ar__source_advance(const ar_write_source *src, int64_t values);
#endif
