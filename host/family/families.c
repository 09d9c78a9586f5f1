/* The table of model families, from families.def, and the search in it. */
#include "family.h"
#include <string.h>

const ar_family *const ar__families[] = {
#define AR_FAMILY(name) &ar__family_##name,
#include "families.def"
#undef AR_FAMILY
    NULL};

const ar_family *ar__family_of(const ar_config *c) {
    for (int32_t i = 0; ar__families[i]; i++)
        if (strcmp(ar__families[i]->name, c->family) == 0) return ar__families[i];
    return NULL;
}

/* Whether word is one of the space-separated words of list. */
static bool has_word(const char *list, const char *word) {
    size_t bytes = strlen(word);
    for (const char *p = list; bytes > 0 && (p = strstr(p, word)) != NULL; p += bytes)
        if ((p == list || p[-1] == ' ') && (p[bytes] == ' ' || p[bytes] == '\0')) return true;
    return false;
}

const ar_family *ar_family_find(const char *model_type) {
    for (int32_t i = 0; ar__families[i]; i++)
        if (!strchr(model_type, ' ') && has_word(ar__families[i]->model_types, model_type))
            return ar__families[i];
    return NULL;
}
