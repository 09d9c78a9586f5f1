/* The table of what can be tuned. */
#include "trainable.h"

static const ar__trainable *const trainables[] = {
#define AR_TRAINABLE(name) &ar__trainable_##name,
#include "trainables.def"
#undef AR_TRAINABLE
};

const ar__trainable *ar__trainable_at(int32_t index) {
    return index >= 0 && index < (int32_t)(sizeof trainables / sizeof *trainables) ? trainables[index] : NULL;
}
