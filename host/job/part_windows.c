/* What overlapping windows leave for the next one, kept in the state folder; see part.h. */
#include "part.h"
#include "ar_error.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static ar_status visit_path(const ar_part *p, char **path, int32_t window, int32_t block) {
    char name[48];
    snprintf(name, sizeof name, "window-%05d-%05d.safetensors", (int)window, (int)block);
    return ar_path_join(path, p->dir, name);
}

/* Of windows before `window`. */
static void forget_visits(const ar_part *p, int32_t window) {
    DIR *d = opendir(p->dir);
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        int at, block;
        char *path = NULL;
        if (sscanf(e->d_name, "window-%5d-%5d.", &at, &block) != 2 || at >= window) continue;
        if (ar_path_join(&path, p->dir, e->d_name) == AR_OK) remove(path);
        free(path);
    }
    if (d) closedir(d);
}

ar_status ar__part_visited(const ar_part *p, int32_t window, const ar_block *block,
                           ar_qlinear *const *linears) {
    char *path = NULL;
    AR_TRY(visit_path(p, &path, window, block->index));
    ar_status status =
        ar__part_file_write(p, path, block, linears, &(ar_block_report){.block = block->index});
    free(path);
    if (status == AR_OK) forget_visits(p, window - 1);
    return status;
}

ar_status ar__part_revisit(const ar_part *p, bool *found, int32_t window, const ar_block *block,
                           ar_qlinear **linears) {
    ar_status status = AR_OK;
    ar_safetensors *st = NULL;
    struct stat seen = {.st_size = -1};
    char *path = NULL;
    *found = false;
    AR_TRY(visit_path(p, &path, window, block->index));
    if (!ar_path_exists(path)) goto done;
    status = ar__part_file_open(p, &st, path, &seen, block->index);
    if (status == AR_ERR_CHECK) {
        ar__part_remark(p, "%s", ar_error());
        status = AR_OK;
        goto done;
    }
    AR_GO(status);
    AR_GO(ar__part_file_load(linears, st, block));
    *found = true;
done:
    ar_safetensors_close(st);
    free(path);
    return status;
}
