/* Inside host/: errors for what is no model as we read them. */
#ifndef AR_FOLDER_CONTENTS_H
#define AR_FOLDER_CONTENTS_H
#include "ar_host.h"
/* FORMAT, saying what the folder has instead of config.json, or of weights; IO where there is no folder. */
ar_status ar__folder_lacks_config(const char *folder);
ar_status ar__folder_lacks_weights(const char *folder);
/* By its name, or by its first bytes. Errors: IO, FORMAT (a Git LFS pointer). */
ar_status ar__file_is_gguf(bool *gguf, const char *path);
/* What a file is that is no GGUF: FORMAT, or IO. */
ar_status ar__file_is_no_model(const char *path);
#endif
