/* SentencePiece's tokenizer.model: a protocol buffer (sentencepiece_model.proto). Pieces with score and type;
 * of how it was trained only what changes ids. */
#include "tokenizer_files.h"
#include <string.h>

enum { MODEL_PIECES = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3 };
enum { PIECE_TEXT = 1, PIECE_SCORE = 2, PIECE_TYPE = 3 };
enum { TRAINER_KIND = 3, TRAINER_SUFFIX = 24, TRAINER_BYTE_FALLBACK = 35 };
enum { NORMALIZER_NAME = 1, NORMALIZER_CHARS, NORMALIZER_PREFIX, NORMALIZER_EXTRA, NORMALIZER_ESCAPE };
enum { KIND_UNIGRAM = 1, KIND_BPE = 2 };
enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* ---- a message ---- */

typedef struct message {
    const uint8_t *p, *end;
    const char *what;
} message;

typedef struct field {
    uint64_t number, value; /* of a varint */
    const uint8_t *data;    /* of what has a length, or of 32 or 64 bits */
    size_t bytes;
    uint32_t wire;
} field;

static ar_status bad(const message *m) {
    return ar__fail(AR_ERR_FORMAT, "%s: found an ill-formed field, expected a SentencePiece model", m->what);
}

static ar_status read_varint(message *m, uint64_t *value) {
    *value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (m->p == m->end) return bad(m);
        uint8_t byte = *m->p++;
        *value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return AR_OK;
    }
    return bad(m);
}

/* The next field; number 0 at the end. */
static ar_status next_field(message *m, field *f) {
    uint64_t key = 0;
    *f = (field){0};
    if (m->p == m->end) return AR_OK;
    AR_TRY(read_varint(m, &key));
    f->number = key >> 3;
    f->wire = key & 7;
    if (f->number == 0) return bad(m);
    if (f->wire == WIRE_VARINT) return read_varint(m, &f->value);
    uint64_t bytes = f->wire == WIRE_64 ? 8 : 4;
    if (f->wire == WIRE_BYTES)
        AR_TRY(read_varint(m, &bytes));
    else if (f->wire != WIRE_64 && f->wire != WIRE_32)
        return bad(m);
    if (bytes > (uint64_t)(m->end - m->p)) return bad(m);
    f->data = m->p;
    f->bytes = (size_t)bytes;
    m->p += bytes;
    return AR_OK;
}

static message inside(const field *f, const message *m) {
    return (message){f->data, f->data + f->bytes, m->what};
}

/* ---- its parts ---- */

static ar_status read_piece(ar__token_list *l, message m) {
    field f;
    const char *text = "";
    size_t bytes = 0;
    float score = 0;
    uint64_t type = AR_TOKEN_NORMAL;
    do {
        AR_TRY(next_field(&m, &f));
        if (f.number == PIECE_TEXT && f.wire == WIRE_BYTES) text = (const char *)f.data, bytes = f.bytes;
        if (f.number == PIECE_SCORE && f.wire == WIRE_32) memcpy(&score, f.data, sizeof score);
        if (f.number == PIECE_TYPE && f.wire == WIRE_VARINT) type = f.value;
    } while (f.number != 0);
    if (type < AR_TOKEN_NORMAL || type > AR_TOKEN_BYTE)
        return ar__fail(AR_ERR_FORMAT, "%s: piece %d: found type %llu, expected 1 to 6", m.what,
                        (int)l->count, (unsigned long long)type);
    return ar__token_list_put(l, l->count, text, bytes, score, (int32_t)type, m.what);
}

static ar_status read_trainer(bool *byte_fallback, message m) {
    static const char *const kinds[] = {"no", "a Unigram", "a BPE", "a word", "a character"};
    field f;
    uint64_t kind = KIND_UNIGRAM; /* where it is not said */
    *byte_fallback = false;
    do {
        AR_TRY(next_field(&m, &f));
        if (f.wire != WIRE_VARINT) continue;
        if (f.number == TRAINER_KIND) kind = f.value;
        if (f.number == TRAINER_BYTE_FALLBACK) *byte_fallback = f.value != 0;
        if (f.number == TRAINER_SUFFIX && f.value != 0)
            return ar__fail(AR_ERR_UNSUPPORTED, "%s: found spaces at the ends of words, expected them before",
                            m.what);
    } while (f.number != 0);
    if (kind == KIND_BPE) return AR_OK;
    return ar__fail(AR_ERR_UNSUPPORTED, "%s: found %s model, expected a BPE one", m.what,
                    kind < sizeof kinds / sizeof *kinds ? kinds[kind] : "another");
}

static ar_status read_normalizer(ar_tokenizer_data *d, message m) {
    field f;
    char name[32] = "an unnamed one";
    do {
        AR_TRY(next_field(&m, &f));
        bool off = f.wire == WIRE_VARINT && f.value == 0;
        if (f.number == NORMALIZER_NAME && f.wire == WIRE_BYTES && f.bytes < sizeof name) {
            memcpy(name, f.data, f.bytes);
            name[f.bytes] = 0;
        }
        if (f.number == NORMALIZER_CHARS && f.bytes > 0)
            return ar__fail(AR_ERR_UNSUPPORTED, "%s: found a normalization (%s), expected none (identity)",
                            m.what, name);
        if (f.number == NORMALIZER_PREFIX) d->add_prefix_space = !off;
        if (f.number == NORMALIZER_EXTRA && f.wire == WIRE_VARINT && !off)
            return ar__fail(AR_ERR_UNSUPPORTED, "%s: found that extra spaces go, expected them to stay",
                            m.what);
        if (f.number == NORMALIZER_ESCAPE && off)
            return ar__fail(AR_ERR_UNSUPPORTED, "%s: found spaces as they are, expected U+2581 for them",
                            m.what);
    } while (f.number != 0);
    return AR_OK;
}

ar_status ar__spm_read(ar__token_list *l, ar_tokenizer_data *d, bool *byte_fallback, const ar_file *f) {
    message m = {f->data, f->data + f->bytes, f->path}, trainer = {0}, normalizer = {0};
    field part;
    d->kind = AR_TOK_SPM;
    d->add_prefix_space = true;
    do {
        AR_TRY(next_field(&m, &part));
        if (part.wire != WIRE_BYTES) continue;
        if (part.number == MODEL_PIECES) AR_TRY(read_piece(l, inside(&part, &m)));
        if (part.number == MODEL_TRAINER) trainer = inside(&part, &m);
        if (part.number == MODEL_NORMALIZER) normalizer = inside(&part, &m);
    } while (part.number != 0);
    if (l->count == 0 || !trainer.p)
        return ar__fail(AR_ERR_FORMAT,
                        "%s: found no pieces or no trainer_spec, expected a SentencePiece model", f->path);
    AR_TRY(read_trainer(byte_fallback, trainer));
    return normalizer.p ? read_normalizer(d, normalizer) : AR_OK;
}
