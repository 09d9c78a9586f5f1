/* write_planted_model SOURCE TARGET: a Llama folder whose activations have outliers, made from one that has
 * none (examples/demo-model), for tests of what they do to tuning.
 *
 * Wherever the token MARKED stands, the first block adds a vector of some hundred thousand times the median
 * energy to the residual stream, as attention sinks of real models do. The hidden width grows by a group: its
 * first channel is 0 but in the embedding of MARKED, and one more unit of the first block's MLP, which sees
 * nothing but that channel, writes the vector, through weights like its neighbours'. Norms give the new
 * channels no weight and make up for the greater width; queries, keys and values of the blocks behind are
 * blind to the vector's direction. So the logits are nearly SOURCE's, but at MARKED itself. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ar_error.h"
#include "ar_host.h"

enum { MARKED = 970, MORE = 32, UNIT = 100 }; /* "?"; a group of channels, and of units; where the unit is */
#define INDICATOR 0.5f                        /* MARKED's in the new channel of the embedding */
#define GAIN      8.0f                        /* of gate and up from that channel */
#define OUTLIER   0.15f                       /* weight of the unit in every channel, of either sign */

/* What a dimension of a weight counts. */
typedef enum axis { KEPT, CHANNELS, UNITS } axis;
typedef struct kind {
    const char *end; /* of the name */
    axis rows, cols;
    bool blind; /* behind the first block: sees nothing of the outlier */
} kind;

static const kind kinds[] = {
    {"embed_tokens.weight", KEPT, CHANNELS, false}, {"lm_head.weight", KEPT, CHANNELS, false},
    {"norm.weight", KEPT, CHANNELS, false},         {"q_proj.weight", KEPT, CHANNELS, true},
    {"k_proj.weight", KEPT, CHANNELS, true},        {"v_proj.weight", KEPT, CHANNELS, true},
    {"o_proj.weight", CHANNELS, KEPT, false},       {"gate_proj.weight", UNITS, CHANNELS, false},
    {"up_proj.weight", UNITS, CHANNELS, false},     {"down_proj.weight", CHANNELS, UNITS, false}};

typedef struct tensor {
    const char *name;
    const kind *kind;
    int64_t rows, cols; /* of SOURCE's */
    float *data;        /* the planted one */
} tensor;

static bool ends(const char *name, const char *with) {
    size_t n = strlen(name), k = strlen(with);
    return n >= k && strcmp(name + n - k, with) == 0;
}

static bool is(const tensor *t, const char *end) { return ends(t->name, end); }
static bool is_first(const tensor *t) { return strstr(t->name, "layers.0.") != NULL; }
static float sign_of(int64_t channel) { return ar_random_u32(11, 0, (uint64_t)channel) & 1 ? 1.0f : -1.0f; }
static int64_t grown(axis a, int64_t n) { return a == KEPT ? n : n + MORE; }
static int64_t place(axis a, int64_t i) { return a == UNITS && i >= UNIT ? i + 1 : i; }
static int64_t width(const tensor *t) { return grown(t->kind->cols, t->cols); }

/* SOURCE's tensor in its place among zeros. */
static ar_status load(tensor *t, const ar_open_model *m, int64_t i) {
    const ar_weight *w = m->weights.vtable->at(m->weights.impl, i);
    *t = (tensor){
        .name = w->name, .rows = w->dim_count > 1 ? w->dims[0] : 1, .cols = w->dims[w->dim_count - 1]};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        if (is(t, kinds[k].end)) t->kind = &kinds[k];
    if (!t->kind) return ar__fail(AR_ERR_FORMAT, "%s: found a tensor that no Llama has", t->name);
    float *row = ar__alloc((size_t)t->cols, sizeof *row);
    t->data = ar__alloc((size_t)grown(t->kind->rows, t->rows), (size_t)width(t) * sizeof *t->data);
    ar_status status = row && t->data ? AR_OK : AR_ERR_MEMORY;
    for (int64_t r = 0; status == AR_OK && r < t->rows; r++) {
        status = m->weights.vtable->read(m->weights.impl, row, i, r, 1);
        for (int64_t c = 0; c < t->cols; c++)
            t->data[place(t->kind->rows, r) * width(t) + place(t->kind->cols, c)] = row[c];
    }
    free(row);
    return status;
}

/* Takes out of each row what it sees of the outlier behind its block's norm. */
static ar_status make_blind(tensor *t, const ar_model *m) {
    const ar_block *block = &m->blocks[strtol(strstr(t->name, "layers.") + 7, NULL, 10)];
    float *seen = ar__alloc((size_t)t->cols, sizeof *seen);
    double square = 0.0;
    if (!seen) return AR_ERR_MEMORY;
    ar_status status = block->read_norm(block, seen, 0);
    for (int64_t c = 0; c < t->cols; c++) {
        seen[c] *= sign_of(c);
        square += (double)seen[c] * (double)seen[c];
    }
    for (int64_t r = 0; r < t->rows; r++) {
        float *row = t->data + r * width(t);
        double along = 0.0;
        for (int64_t c = 0; c < t->cols; c++) along += (double)row[c] * (double)seen[c] / square;
        for (int64_t c = 0; c < t->cols; c++) row[c] -= (float)along * seen[c];
    }
    free(seen);
    return status;
}

/* What only the planted model has. */
static ar_status plant(tensor *t, const ar_model *m) {
    int64_t H = m->hidden;
    if (is(t, "norm.weight"))
        for (int64_t c = 0; c < H; c++) t->data[c] *= (float)sqrt((double)H / (double)(H + MORE));
    if (is(t, "layers.0.post_attention_layernorm.weight")) t->data[H] = 1.0f;
    if (is(t, "embed_tokens.weight")) t->data[MARKED * width(t) + H] = INDICATOR;
    if (is(t, "layers.0.mlp.gate_proj.weight") || is(t, "layers.0.mlp.up_proj.weight"))
        t->data[UNIT * width(t) + H] = GAIN;
    if (is(t, "layers.0.mlp.down_proj.weight"))
        for (int64_t c = 0; c < H; c++) t->data[c * width(t) + UNIT] = OUTLIER * sign_of(c);
    return t->kind->blind && !is_first(t) ? make_blind(t, m) : AR_OK;
}

static ar_status write_tensors(const ar_open_model *m, const char *path) {
    ar_status status = AR_OK;
    ar_st_writer *w = NULL;
    int64_t count = m->weights.vtable->count(m->weights.impl);
    tensor *list = ar__alloc((size_t)count, sizeof *list);
    if (!list) return AR_ERR_MEMORY;
    AR_GO(ar_st_writer_create(&w));
    for (int64_t i = 0; i < count; i++) {
        tensor *t = &list[i];
        AR_GO(load(t, m, i));
        AR_GO(plant(t, &m->model));
        const int64_t dims[] = {grown(t->kind->rows, t->rows), width(t)};
        bool norm = is(t, "norm.weight");
        AR_GO(ar_st_writer_declare(w, t->name, "F32", norm ? 1 : 2, norm ? dims + 1 : dims));
    }
    AR_GO(ar_st_writer_begin(w, path));
    for (int64_t i = 0; i < count; i++) {
        size_t rows = (size_t)grown(list[i].kind->rows, list[i].rows);
        AR_GO(ar_st_writer_data(w, list[i].data, rows * (size_t)width(&list[i]) * sizeof *list[i].data));
    }
    AR_GO(ar_st_writer_finish(&w));
done:
    ar_st_writer_abort(&w);
    for (int64_t i = 0; i < count; i++) free(list[i].data);
    free(list);
    return status;
}

static ar_status write_text(const char *path, const void *text, size_t bytes) {
    ar_writer *w = NULL;
    ar_status status = AR_OK;
    AR_GO(ar_writer_open(&w, path));
    AR_GO(ar_writer_write(w, text, bytes));
    AR_GO(ar_writer_commit(&w));
done:
    ar_writer_abort(&w);
    return status;
}

static ar_status write_config(const ar_config *c, const char *path) {
    char text[1000];
    double share = (double)c->hidden / (double)(c->hidden + MORE);
    int n = snprintf(
        text, sizeof text,
        "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_act\":\"silu\",\n"
        "\"hidden_size\":%d,\"intermediate_size\":%d,\"num_hidden_layers\":%d,\"num_attention_heads\":%d,\n"
        "\"num_key_value_heads\":%d,\"head_dim\":%d,\"vocab_size\":%d,\"max_position_embeddings\":%d,\n"
        "\"rms_norm_eps\":%.9g,\"rope_theta\":%.9g,\"tie_word_embeddings\":%s,\"bos_token_id\":%d,\n"
        "\"eos_token_id\":%d,\"torch_dtype\":\"float32\"}\n",
        (int)c->hidden + MORE, (int)c->intermediate + MORE, (int)c->layers, (int)c->heads, (int)c->kv_heads,
        (int)c->head_dim, (int)c->vocab, (int)c->max_tokens, (double)c->rms_eps * share,
        (double)c->rope_theta, c->tied ? "true" : "false", (int)c->bos, (int)c->eos);
    return write_text(path, text, (size_t)n);
}

/* FOLDER/NAME in a static buffer, one of two in turn. */
static const char *in(const char *folder, const char *name) {
    static char buffers[2][4096];
    static int turn;
    char *path = buffers[turn++ % 2];
    snprintf(path, sizeof buffers[0], "%s/%s", folder, name);
    return path;
}

static ar_status write_model(const char *source, const char *target) {
    static const char *const copied[] = {"tokenizer.json", "tokenizer_config.json"};
    ar_open_model *m = NULL;
    ar_status status = AR_OK;
    AR_GO(ar_model_open(&m, source));
    AR_GO(ar_dir_create(target));
    AR_GO(write_config(&m->config, in(target, "config.json")));
    AR_GO(write_tensors(m, in(target, "model.safetensors")));
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
        ar_file f = {0};
        AR_GO(ar_file_open(&f, in(source, copied[i])));
        status = write_text(in(target, copied[i]), f.data, (size_t)f.bytes);
        ar_file_close(&f);
        AR_GO(status);
    }
done:
    ar_model_close(m);
    return status;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    if (write_model(argv[1], argv[2]) == AR_OK) return 0;
    fprintf(stderr, "write_planted_model: %s\n", ar_error());
    return 1;
}
