/* JSON trees that are written. cJSON says that memory ran out by a NULL or a false that is easily passed
 * over, and then prints a tree that lacks something. Here the object or list that something could not be
 * added to is marked, whatever is added to nothing is dropped, and a marked tree is not printed. */
#include "ar_host.h"
#include "ar_error.h"
#include <cjson/cJSON.h>

#define LOST (1 << 16) /* in `type`, of which cJSON reads the low ten bits */

static ar_json *kept(ar_json *to, ar_json *item) {
    if (!item && to) to->type |= LOST;
    return item;
}

ar_json *ar_json_put(ar_json *object, const char *key, ar_json *item) {
    bool added = object && item && cJSON_AddItemToObject(object, key, item);
    if (!added) cJSON_Delete(item);
    return kept(object, added ? item : NULL);
}

ar_json *ar_json_push(ar_json *list, ar_json *item) {
    bool added = list && item && cJSON_AddItemToArray(list, item);
    if (!added) cJSON_Delete(item);
    return kept(list, added ? item : NULL);
}

ar_json *ar_json_add_object(ar_json *object, const char *key) {
    return kept(object, cJSON_AddObjectToObject(object, key));
}

ar_json *ar_json_add_list(ar_json *object, const char *key) {
    return kept(object, cJSON_AddArrayToObject(object, key));
}

void ar_json_add_string(ar_json *object, const char *key, const char *text) {
    kept(object, cJSON_AddStringToObject(object, key, text));
}

void ar_json_add_number(ar_json *object, const char *key, double number) {
    kept(object, cJSON_AddNumberToObject(object, key, number));
}

void ar_json_add_bool(ar_json *object, const char *key, bool truth) {
    kept(object, cJSON_AddBoolToObject(object, key, truth));
}

void ar_json_add_null(ar_json *object, const char *key) { kept(object, cJSON_AddNullToObject(object, key)); }

/* Recursion as deep as the tree: what was parsed is capped there, what is made here has a few levels. */
bool ar_json_is_whole(const ar_json *root) {
    if (!root || root->type & LOST) return false;
    for (const ar_json *item = root->child; item; item = item->next)
        if (!ar_json_is_whole(item)) return false;
    return true;
}

ar_status ar_json_print(char **text, const ar_json *root, bool indented, const char *what) {
    *text = NULL;
    if (ar_json_is_whole(root)) *text = indented ? cJSON_Print(root) : cJSON_PrintUnformatted(root);
    return *text ? AR_OK : ar__fail(AR_ERR_MEMORY, "%s: out of memory for its JSON", what);
}
