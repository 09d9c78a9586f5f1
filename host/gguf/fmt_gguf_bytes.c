/* GGUF's little-endian numbers, and putting bytes into a file. */
#include "fmt_gguf.h"
#include "tokenizer.h"
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

void ar__gguf_put(ar__gguf_out *o, const void *src, size_t bytes) {
    if (o->status == AR_OK && o->w) o->status = ar_writer_write(o->w, src, bytes);
    if (o->status == AR_OK && o->memory) o->status = ar__text_append(o->memory, src, bytes);
    o->bytes += bytes;
}

void ar__gguf_put_int(ar__gguf_out *o, uint64_t value, int32_t bytes) {
    uint8_t raw[8];
    ar__gguf_store(raw, value, bytes);
    ar__gguf_put(o, raw, (size_t)bytes);
}

void ar__gguf_put_string(ar__gguf_out *o, const char *text, size_t bytes) {
    ar__gguf_put_int(o, bytes, 8);
    ar__gguf_put(o, text, bytes);
}
