/* Of anyround info: nets of images, and nets of few states. */
#ifndef AR_INFO_NETS_H
#define AR_INFO_NETS_H
#include "program.h"
#include <cjson/cJSON.h>

/* Is there such a net's folder at path? */
bool ar_info_is_net(const char *path);
/* Says what it reads and how it is made, its layers and states where it is whole numbers, tensors, sizes and
 * bits per weight; with list, as an object of it. Errors: FORMAT, IO, MEMORY. */
ar_status ar_info_net(const char *path, const ar_common *common, cJSON *list);
#endif
