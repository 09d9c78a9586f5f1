/* Rotary frequencies (Su 2021, arXiv 2104.09864), scaled as config.json says; in double, rounded once. */
#include "family.h"
#include <math.h>
#include <string.h>

/* theta^(-2i/D); linear: divided by the factor; llama3: long wavelengths divided, short ones kept, those
 * between blended (Llama 3.1's rope_scaling); longrope: each divided by its own factor. */
static double frequency(const ar_config *c, int32_t i, bool is_long) {
    double freq = pow((double)c->rope_theta, -2.0 * i / (c->rotary ? c->rotary : c->head_dim)),
           factor = (double)c->rope_scaling.factor;
    if (strcmp(c->rope_scaling.kind, "linear") == 0) return freq / factor;
    if (strcmp(c->rope_scaling.kind, "longrope") == 0)
        return freq / (double)(is_long ? c->rope_scaling.long_factors : c->rope_scaling.short_factors)[i];
    if (strcmp(c->rope_scaling.kind, "llama3") != 0) return freq;
    double turns =
        c->rope_scaling.original_tokens * freq / (2 * 3.14159265358979323846); /* over the old context */
    double low = (double)c->rope_scaling.low_freq, high = (double)c->rope_scaling.high_freq;
    if (turns > high) return freq;
    if (turns < low) return freq / factor;
    double smooth = (turns - low) / (high - low);
    return (1 - smooth) * freq / factor + smooth * freq;
}

bool ar__rope_is_long(const ar_config *c) { return strcmp(c->rope_scaling.kind, "longrope") == 0; }

void ar__rope_frequencies(float *freq, const ar_config *c, bool is_long) {
    for (int32_t i = 0; i < (c->rotary ? c->rotary : c->head_dim) / 2; i++)
        freq[i] = (float)frequency(c, i, is_long);
}
