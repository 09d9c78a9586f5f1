/* Named tensors of a model, whatever file they come from: what all readers share. */
#include "ar_host.h"
#include <string.h>

void ar_weights_close(ar_weights *w) {
    if (w->vtable) w->vtable->close(w->impl);
    ar_notes_deinit(&w->notes);
    *w = (ar_weights){0};
}

int64_t ar_weights_find(const ar_weights *w, const char *name) {
    int64_t count = w->vtable->count(w->impl);
    for (int64_t i = 0; i < count; i++)
        if (strcmp(w->vtable->at(w->impl, i)->name, name) == 0) return i;
    return -1;
}
