/* For test programs whose tests each want a fresh folder: `folder`, made by setup and removed by teardown. */
#ifndef AR_EACH_FOLDER_H
#define AR_EACH_FOLDER_H
#include "temp_files.h"

static char *folder;

static inline int setup(void **state) {
    (void)state;
    folder = temp_folder();
    return 0;
}

static inline int teardown(void **state) {
    (void)state;
    temp_remove(folder);
    return 0;
}
#endif
