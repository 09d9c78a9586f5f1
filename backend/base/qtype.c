/* Storage types of weights: names, blocks, bytes. */
#include "ar_error.h"
#include "qblocks.h"
#include <assert.h>

typedef struct qtype_row {
    const char *name;
    int32_t gguf_id, elems, bytes;
} qtype_row;

static const qtype_row rows[AR_QT_COUNT] = {
#define AR_QTYPE(id, name, gguf_id, elems, bytes) [AR_QT_##id] = {name, gguf_id, elems, bytes},
#include "qtypes.def"
#undef AR_QTYPE
};

enum {
#define AR_QTYPE(id, name, gguf_id, elems, bytes) BYTES_##id = (bytes),
#include "qtypes.def"
#undef AR_QTYPE
    BYTES_NONE
};
static_assert(sizeof(ar__q4_0) == BYTES_Q4_0 && sizeof(ar__q4_0) == BYTES_IQ4_NL, "Q4_0, IQ4_NL");
static_assert(sizeof(ar__q4_1) == BYTES_Q4_1, "Q4_1");
static_assert(sizeof(ar__q5_0) == BYTES_Q5_0, "Q5_0");
static_assert(sizeof(ar__q5_1) == BYTES_Q5_1, "Q5_1");
static_assert(sizeof(ar__q8_0) == BYTES_Q8_0, "Q8_0");
static_assert(sizeof(ar__q2_k) == BYTES_Q2_K, "Q2_K");
static_assert(sizeof(ar__q3_k) == BYTES_Q3_K, "Q3_K");
static_assert(sizeof(ar__q4_k) == BYTES_Q4_K, "Q4_K");
static_assert(sizeof(ar__q5_k) == BYTES_Q5_K, "Q5_K");
static_assert(sizeof(ar__q6_k) == BYTES_Q6_K, "Q6_K");

const char *ar_qtype_name(ar_qtype type) { return (unsigned)type < AR_QT_COUNT ? rows[type].name : "?"; }
int32_t ar_qtype_elems(ar_qtype type) { return (unsigned)type < AR_QT_COUNT ? rows[type].elems : 0; }
int32_t ar_qtype_bytes(ar_qtype type) { return (unsigned)type < AR_QT_COUNT ? rows[type].bytes : 0; }
int32_t ar_qtype_gguf_id(ar_qtype type) { return (unsigned)type < AR_QT_COUNT ? rows[type].gguf_id : -1; }

ar_qtype ar_qtype_from_gguf(int32_t gguf_id) {
    for (int32_t i = 0; i < AR_QT_COUNT; i++)
        if (rows[i].gguf_id == gguf_id && gguf_id >= 0) return (ar_qtype)i;
    return AR_QT_COUNT;
}

int64_t ar_qtype_row_bytes(ar_qtype type, int64_t I) {
    int32_t elems = ar_qtype_elems(type);
    return elems == 0 || I < 0 || I % elems != 0 ? -1 : I / elems * ar_qtype_bytes(type);
}
