/* Shared by the format writers. */
#ifndef AR_FORMATS_H
#define AR_FORMATS_H
#include "ar_error.h"
#include "ar_host.h"

#define AR_FORMAT(name) extern const ar_format ar__format_##name;
#include "formats.def"
#undef AR_FORMAT
#endif
