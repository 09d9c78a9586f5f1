/* A Llama of 13 B parameters in 7 GB that take 250 MB of disk, and one block of it.
 *   large_model write FILE          a GGUF file of Q4_0: header, block 0, the first HELD rows of the
 * embedding and the head, norms; everything else is a hole and reads as zeros large_model check FILE DEVICE
 * runs block 0 and the head on a device within 2 GiB and compares the logits with scalar double arithmetic on
 * the file's bytes. Exit 77: there is no such device Writer and reference share nothing with the library but
 * the conversion of fp16, to which caches are rounded. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "ar_error.h"
#include "ar_host.h"

enum { HIDDEN = 5120, FFN = 13824, HEADS = 40, DIM = HIDDEN / HEADS, LAYERS = 40, VOCAB = 32000 };
enum { HELD = 512, TOKENS = 6, PER_LAYER = 9, TENSORS = 3 + PER_LAYER * LAYERS, ALIGN = 32 };
#define BUDGET (UINT64_C(2) << 30)
#define WITHIN 5e-4 /* of the logits' standard deviation */

/* ---- the file's tensors, in order ---- */

typedef struct tensor {
    char name[40];
    int64_t rows, width; /* rows 0: a norm, f32; else Q4_0 */
    int64_t held;        /* rows that are written */
    uint64_t offset;     /* from the start of the data */
} tensor;

static uint64_t row_bytes(const tensor *t) {
    return t->rows ? (uint64_t)t->width / 32 * 18 : (uint64_t)t->width * 4;
}

static uint64_t bytes_of(const tensor *t) { return row_bytes(t) * (uint64_t)(t->rows ? t->rows : 1); }

/* The next tensor of the list; layer -1: it is of none. */
static void add(tensor **list, const char *name, int layer, int64_t rows, int64_t width, int64_t held) {
    tensor *t = (*list)++;
    if (layer < 0)
        snprintf(t->name, sizeof t->name, "%s.weight", name);
    else
        snprintf(t->name, sizeof t->name, "blk.%d.%s.weight", layer, name);
    t->rows = rows;
    t->width = width;
    t->held = held;
}

/* Returns the bytes of all of them. */
static uint64_t list_tensors(tensor *list) {
    tensor *t = list;
    uint64_t offset = 0;
    add(&t, "token_embd", -1, VOCAB, HIDDEN, HELD);
    add(&t, "output", -1, VOCAB, HIDDEN, HELD);
    add(&t, "output_norm", -1, 0, HIDDEN, 1);
    for (int l = 0; l < LAYERS; l++) {
        static const struct {
            const char *name;
            int64_t rows, width;
        } parts[PER_LAYER] = {
            {"attn_norm", 0, HIDDEN},   {"attn_q", HIDDEN, HIDDEN},      {"attn_k", HIDDEN, HIDDEN},
            {"attn_v", HIDDEN, HIDDEN}, {"attn_output", HIDDEN, HIDDEN}, {"ffn_norm", 0, HIDDEN},
            {"ffn_gate", FFN, HIDDEN},  {"ffn_up", FFN, HIDDEN},         {"ffn_down", HIDDEN, FFN}};
        for (int i = 0; i < PER_LAYER; i++)
            add(&t, parts[i].name, l, parts[i].rows, parts[i].width,
                l > 0           ? 0
                : parts[i].rows ? parts[i].rows
                                : 1);
    }
    for (int i = 0; i < TENSORS; i++) {
        list[i].offset = offset;
        offset += (bytes_of(&list[i]) + ALIGN - 1) / ALIGN * ALIGN;
    }
    return offset;
}

/* ---- writing ---- */

static void put(FILE *f, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) fputc((int)(value >> 8 * i & 0xff), f);
}

static void put_text(FILE *f, const char *text) {
    put(f, strlen(text), 8);
    fputs(text, f);
}

enum { U32 = 4, F32 = 6, I32 = 5, STRING = 8, ARRAY = 9 };

static void put_u32(FILE *f, const char *key, uint32_t value) {
    put_text(f, key);
    put(f, U32, 4);
    put(f, value, 4);
}

static void put_f32(FILE *f, const char *key, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_text(f, key);
    put(f, F32, 4);
    put(f, bits, 4);
}

static void put_string(FILE *f, const char *key, const char *value) {
    put_text(f, key);
    put(f, STRING, 4);
    put_text(f, value);
}

static void put_array(FILE *f, const char *key, uint32_t type) {
    put_text(f, key);
    put(f, ARRAY, 4);
    put(f, type, 4);
    put(f, VOCAB, 8);
}

/* As many tokens as a real vocabulary has. */
static void put_tokens(FILE *f) {
    char token[16];
    put_string(f, "tokenizer.ggml.model", "llama");
    put_array(f, "tokenizer.ggml.tokens", STRING);
    for (int i = 0; i < VOCAB; i++) {
        if (i < 3)
            snprintf(token, sizeof token, "%s", i == 0 ? "<unk>" : i == 1 ? "<s>" : "</s>");
        else
            snprintf(token, sizeof token, i < 259 ? "<0x%02X>" : "t%d", i < 259 ? i - 3 : i);
        put_text(f, token);
    }
    put_array(f, "tokenizer.ggml.scores", F32);
    for (int i = 0; i < VOCAB; i++) put(f, 0, 4);
    put_array(f, "tokenizer.ggml.token_type", I32);
    for (int i = 0; i < VOCAB; i++) put(f, i == 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1, 4);
}

enum { KEYS = 14 };
static void put_header(FILE *f, const tensor *list) {
    fputs("GGUF", f);
    put(f, 3, 4);
    put(f, TENSORS, 8);
    put(f, KEYS, 8);
    put_string(f, "general.architecture", "llama");
    put_string(f, "general.name", "random, 13 B");
    put_u32(f, "llama.block_count", LAYERS);
    put_u32(f, "llama.context_length", 4096);
    put_u32(f, "llama.embedding_length", HIDDEN);
    put_u32(f, "llama.feed_forward_length", FFN);
    put_u32(f, "llama.attention.head_count", HEADS);
    put_u32(f, "llama.attention.head_count_kv", HEADS);
    put_f32(f, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    put_f32(f, "llama.rope.freq_base", 10000.0f);
    put_tokens(f);
    for (const tensor *t = list; t < list + TENSORS; t++) {
        put_text(f, t->name);
        put(f, t->rows ? 2 : 1, 4);
        put(f, (uint64_t)t->width, 8);
        if (t->rows) put(f, (uint64_t)t->rows, 8);
        put(f, t->rows ? 2 : 0, 4); /* Q4_0 or F32 */
        put(f, t->offset, 8);
    }
}

static uint64_t next_random(uint64_t *state) { /* xorshift64* */
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dU;
}

/* Scales of both signs between 2^-9 and 2^-8: weights of about 1 / sqrt(HIDDEN). Norms between 1/2 and 3/2.
 */
static void put_row(FILE *f, const tensor *t, uint64_t *state) {
    for (int64_t b = 0; t->rows && b < t->width / 32; b++) {
        uint64_t r = next_random(state);
        put(f, 0x1800 | (r & 0x3ff) | (r >> 40 & 1) << 15, 2);
        put(f, next_random(state), 8);
        put(f, next_random(state), 8);
    }
    for (int64_t i = 0; !t->rows && i < t->width; i++) {
        float value = 0.5f + (float)(next_random(state) >> 40) * 0x1p-24f;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        put(f, bits, 4);
    }
}

static int write_model(const char *path) {
    static tensor list[TENSORS];
    uint64_t bytes = list_tensors(list), state = 88172645463325252u;
    FILE *f = fopen(path, "wb");
    if (!f) return 1;
    put_header(f, list);
    off_t data = (ftello(f) + ALIGN - 1) / ALIGN * ALIGN;
    for (const tensor *t = list; t < list + TENSORS; t++) {
        if (t->held && fseeko(f, data + (off_t)t->offset, SEEK_SET) != 0) break;
        for (int64_t row = 0; row < t->held; row++) put_row(f, t, &state);
    }
    bool good = fflush(f) == 0 && !ferror(f) && ftruncate(fileno(f), data + (off_t)bytes) == 0;
    struct stat info = {0};
    good = stat(path, &info) == 0 && good;
    if (fclose(f) != 0 || !good) return 1;
    printf("%lld bytes, %lld on disk\n", (long long)info.st_size, (long long)info.st_blocks * 512);
    return 0;
}

/* ---- reference ---- */

typedef struct reference {
    tensor list[TENSORS];
    const uint8_t *data;
} reference;

static const tensor *find(const reference *r, const char *name) {
    const tensor *t = r->list;
    while (strcmp(t->name, name) != 0) t++;
    return t;
}

static void read_row(double *dst, const reference *r, const tensor *t, int64_t row) {
    const uint8_t *at = r->data + t->offset + (uint64_t)row * row_bytes(t);
    for (int64_t i = 0; i < t->width; i++)
        if (t->rows) {
            const uint8_t *block = at + i / 32 * 18, byte = block[2 + i % 16];
            double d = ar_f16_to_f32((uint16_t)(block[0] | block[1] << 8));
            dst[i] = d * ((i % 32 < 16 ? byte & 15 : byte >> 4) - 8);
        } else {
            float value;
            memcpy(&value, at + 4 * i, sizeof value);
            dst[i] = value;
        }
}

/* y (TOKENS, rows) = x (TOKENS, width) W^T for the first `rows` rows. */
static void multiply(double *y, const reference *r, const char *name, const double *x, int64_t rows) {
    static double w[FFN];
    const tensor *t = find(r, name);
    for (int64_t o = 0; o < rows; o++) {
        read_row(w, r, t, o);
        for (int n = 0; n < TOKENS; n++) {
            double sum = 0;
            for (int64_t i = 0; i < t->width; i++) sum += w[i] * x[n * t->width + i];
            y[n * rows + o] = sum;
        }
    }
}

static void rms_norm(double *y, const reference *r, const char *name, const double *x) {
    static double w[HIDDEN];
    read_row(w, r, find(r, name), 0);
    for (int n = 0; n < TOKENS; n++) {
        double sum = 0;
        for (int i = 0; i < HIDDEN; i++) sum += x[n * HIDDEN + i] * x[n * HIDDEN + i];
        double inverse = 1 / sqrt(sum / HIDDEN + (double)1e-5f);
        for (int i = 0; i < HIDDEN; i++) y[n * HIDDEN + i] = x[n * HIDDEN + i] * inverse * w[i];
    }
}

/* Neighbouring pairs turn, as llama.cpp orders the rows of its Llamas. */
static void rotate(double *x) {
    for (int n = 0; n < TOKENS; n++)
        for (int i = 0; i < HIDDEN; i += 2) {
            double angle = n * pow(10000, -(double)(i % DIM) / DIM), *p = x + n * HIDDEN + i;
            double a = p[0], b = p[1];
            p[0] = a * cos(angle) - b * sin(angle);
            p[1] = a * sin(angle) + b * cos(angle);
        }
}

static double as_half(double x) { return ar_f16_to_f32(ar_f32_to_f16((float)x)); }

static void attend(double *y, const double *q, const double *k, const double *v) {
    for (int n = 0; n < TOKENS; n++)
        for (int h = 0; h < HEADS; h++) {
            double p[TOKENS], sum = 0;
            for (int m = 0; m <= n; m++) {
                double dot = 0;
                for (int i = h * DIM; i < (h + 1) * DIM; i++)
                    dot += q[n * HIDDEN + i] * as_half(k[m * HIDDEN + i]);
                sum += p[m] = exp(dot / sqrt(DIM));
            }
            for (int i = h * DIM; i < (h + 1) * DIM; i++) {
                y[n * HIDDEN + i] = 0;
                for (int m = 0; m <= n; m++) y[n * HIDDEN + i] += p[m] / sum * as_half(v[m * HIDDEN + i]);
            }
        }
}

static void add_to(double *x, const double *y) {
    for (int i = 0; i < TOKENS * HIDDEN; i++) x[i] += y[i];
}

/* logits (TOKENS, HELD): those of the other ids are 0. */
static void compute(double *logits, const reference *r, const int32_t *ids) {
    static double x[TOKENS * HIDDEN], h[TOKENS * HIDDEN], q[TOKENS * HIDDEN], k[TOKENS * HIDDEN],
        v[TOKENS * HIDDEN], gate[TOKENS * FFN], up[TOKENS * FFN];
    for (int n = 0; n < TOKENS; n++) read_row(x + n * HIDDEN, r, find(r, "token_embd.weight"), ids[n]);
    rms_norm(h, r, "blk.0.attn_norm.weight", x);
    multiply(q, r, "blk.0.attn_q.weight", h, HIDDEN);
    multiply(k, r, "blk.0.attn_k.weight", h, HIDDEN);
    multiply(v, r, "blk.0.attn_v.weight", h, HIDDEN);
    rotate(q);
    rotate(k);
    attend(h, q, k, v);
    multiply(q, r, "blk.0.attn_output.weight", h, HIDDEN);
    add_to(x, q);
    rms_norm(h, r, "blk.0.ffn_norm.weight", x);
    multiply(gate, r, "blk.0.ffn_gate.weight", h, FFN);
    multiply(up, r, "blk.0.ffn_up.weight", h, FFN);
    for (int i = 0; i < TOKENS * FFN; i++) gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
    multiply(q, r, "blk.0.ffn_down.weight", gate, HIDDEN);
    add_to(x, q);
    rms_norm(h, r, "output_norm.weight", x);
    multiply(logits, r, "output.weight", h, HELD);
}

/* ---- comparing ---- */

/* Largest difference over the standard deviation of what is expected. */
static double difference(const float *found, const double *expected) {
    double squares = 0, most = 0;
    for (int i = 0; i < HELD; i++) squares += expected[i] * expected[i];
    for (int i = 0; i < VOCAB; i++) {
        double d = fabs(found[i] - (i < HELD ? expected[i] : 0));
        if (!(d <= most)) most = d;
    }
    return most / sqrt(squares / HELD);
}

/* The prompt but its last token at once, then that one by itself. */
static ar_status run_block(double differences[2], uint64_t *high_water, ar_open_model *m, ar_device *device,
                           const double *expected, const int32_t *ids) {
    ar_session *session = NULL;
    ar_memory_stats memory;
    float *logits = ar__alloc(VOCAB, sizeof *logits);
    ar_status status = logits ? AR_OK : AR_ERR_MEMORY;
    AR_GO(status);
    m->model.block_count = 1;
    AR_GO(ar_session_create(&session, m, device, 64));
    for (int i = 0; i < 2; i++) {
        int count = TOKENS - 1 + i;
        AR_GO(ar_session_logits(session, logits, ids, count));
        differences[i] = difference(logits, expected + (count - 1) * HELD);
    }
    ar_device_memory(device, &memory);
    *high_water = memory.high_water;
done:
    ar_session_destroy(session);
    free(logits);
    return status;
}

static int check_model(const char *path, const char *name) {
    static const int32_t ids[TOKENS] = {1, 300, 17, 511, 42, 300};
    static double expected[TOKENS * HELD];
    static reference r;
    ar_open_model *m = NULL;
    ar_device *device = NULL;
    ar_file file = {0};
    double differences[2] = {INFINITY, INFINITY};
    uint64_t high_water = 0, bytes = list_tensors(r.list);
    ar_status status;
    AR_GO(ar_device_open(&device, &(ar_device_desc){.select = name, .memory_budget = BUDGET}));
    AR_GO(ar_model_open(&m, path));
    AR_GO(ar_file_open(&file, path));
    r.data = file.data + (file.bytes - bytes);
    compute(expected, &r, ids);
    AR_GO(run_block(differences, &high_water, m, device, expected, ids));
    printf(
        "%s: one block of %s: logits off by %.2e and %.2e of their deviation, device memory at most %llu\n",
        name, path, differences[0], differences[1], (unsigned long long)high_water);
    if (!(differences[0] < WITHIN) || !(differences[1] < WITHIN) || high_water > BUDGET || high_water == 0)
        status = ar__fail(AR_ERR_CHECK, "expected less than %g, and at most %llu bytes", WITHIN,
                          (unsigned long long)BUDGET);
done:
    if (status != AR_OK) fprintf(stderr, "large_model: %s\n", ar_error());
    ar_file_close(&file);
    ar_device_close(device);
    ar_model_close(m);
    return status == AR_OK ? 0 : status == AR_ERR_NO_DEVICE ? 77 : 1;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "write") == 0) return write_model(argv[2]);
    if (argc == 4 && strcmp(argv[1], "check") == 0) return check_model(argv[2], argv[3]);
    return 2;
}
