/* GGUF's little-endian numbers. */
#include "fmt_gguf.h"
#include <string.h>

uint64_t ar__gguf_load64(const uint8_t *p) {
    return ar__gguf_load32(p) | (uint64_t)ar__gguf_load32(p + 4) << 32;
}

uint32_t ar__gguf_load32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

float ar__gguf_load_f32(const uint8_t *p) {
    uint32_t bits = ar__gguf_load32(p);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void ar__gguf_store(uint8_t *p, uint64_t value, int32_t bytes) {
    for (int32_t i = 0; i < bytes; i++) p[i] = (uint8_t)(value >> (8 * i));
}
