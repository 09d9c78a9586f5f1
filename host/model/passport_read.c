/* The passport of a model, whatever its form. */
#include "ar_error.h"
#include "fmt_gguf.h"
#include "passport.h"

ar_status ar_passport_read(ar_passport *p, bool *found, const char *path) {
    return ar_path_is_dir(path) ? ar__passport_read(p, found, path) : ar__gguf_passport(p, found, path);
}
