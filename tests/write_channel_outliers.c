/* write_channel_outliers SOURCE TARGET [CHANNELS [FACTOR]]: a folder whose norms give a few channels values
 * far from the others', made from a Llama's or GPT-2's folder, which computes the same: in every norm before
 * queries, keys and values, and before the MLP, CHANNELS (3) random channels of weight and bias times FACTOR
 * (60), and what reads those channels divided by it. For tests of quantized activations
 * (docs/activations.md). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ar_error.h"
#include "ar_host.h"

enum { MOST_CHANNELS = 64 };

/* A norm and a product that reads it; along_rows: the weight lies (inputs, outputs), a Conv1D's. */
typedef struct reader {
    const char *norm, *linear;
    int32_t which; /* of a block's norms */
    bool along_rows;
} reader;

static const reader readers[] = {{"input_layernorm.", "self_attn.q_proj.weight", 0, false},
                                 {"input_layernorm.", "self_attn.k_proj.weight", 0, false},
                                 {"input_layernorm.", "self_attn.v_proj.weight", 0, false},
                                 {"post_attention_layernorm.", "mlp.gate_proj.weight", 1, false},
                                 {"post_attention_layernorm.", "mlp.up_proj.weight", 1, false},
                                 {"ln_1.", "attn.c_attn.weight", 0, true},
                                 {"ln_2.", "mlp.c_fc.weight", 1, true}};

typedef struct planting {
    int32_t channels;
    float factor;
    int64_t width;
} planting;

/* The number in "layers.3." or "h.3."; -1 = the tensor is of no block. */
static long block_of(const char *name) {
    const char *at = strstr(name, "layers.");
    if (at) return strtol(at + 7, NULL, 10);
    at = strncmp(name, "h.", 2) == 0 ? name : strstr(name, ".h.");
    return at ? strtol(strchr(at, 'h') + 2, NULL, 10) : -1;
}

static int64_t channel_of(const planting *p, long block, int32_t which, int32_t k) {
    return ar_random_u32(17, (uint64_t)(2 * block + which), (uint64_t)k) % (uint32_t)p->width;
}

/* Marked once each, however often chance names them. */
static void mark(bool *marked, const planting *p, long block, int32_t which) {
    memset(marked, 0, (size_t)p->width);
    for (int32_t k = 0, count = 0; count < p->channels; k++) {
        int64_t c = channel_of(p, block, which, k);
        count += !marked[c];
        marked[c] = true;
    }
}

/* rows x cols as stored. */
static ar_status plant(float *data, const ar_weight *w, const planting *p) {
    long block = block_of(w->name);
    int64_t cols = w->dims[w->dim_count - 1], rows = w->dim_count > 1 ? w->dims[0] : 1;
    bool *marked = ar__alloc((size_t)p->width, 1);
    if (!marked) return AR_ERR_MEMORY;
    for (size_t i = 0; block >= 0 && i < sizeof readers / sizeof *readers; i++) {
        const reader *r = &readers[i];
        bool is_first = i == 0 || readers[i - 1].norm != r->norm;
        bool norm = is_first && strstr(w->name, r->norm), linear = strstr(w->name, r->linear);
        if (!norm && !linear) continue;
        mark(marked, p, block, r->which);
        for (int64_t k = 0; k < rows * cols; k++) {
            int64_t c = linear && r->along_rows ? k / cols : k % cols;
            if (marked[c]) data[k] = norm ? data[k] * p->factor : data[k] / p->factor;
        }
    }
    free(marked);
    return AR_OK;
}

static ar_status write_tensors(const ar_open_model *m, const char *path, const planting *p) {
    ar_status status = AR_OK;
    ar_st_writer *w = NULL;
    const ar_weights_vtable *v = m->weights.vtable;
    int64_t count = v->count(m->weights.impl);
    float *data = NULL;
    AR_GO(ar_st_writer_create(&w));
    for (int64_t i = 0; i < count; i++) {
        const ar_weight *t = v->at(m->weights.impl, i);
        AR_GO(ar_st_writer_declare(w, t->name, "F32", t->dim_count, t->dims));
    }
    AR_GO(ar_st_writer_begin(w, path));
    for (int64_t i = 0; i < count; i++) {
        const ar_weight *t = v->at(m->weights.impl, i);
        int64_t rows = t->dim_count > 1 ? t->dims[0] : 1, cols = t->dims[t->dim_count - 1];
        data = ar__alloc((size_t)rows, (size_t)cols * sizeof *data);
        if (!data) AR_GO(AR_ERR_MEMORY);
        AR_GO(v->read(m->weights.impl, data, i, 0, rows));
        AR_GO(plant(data, t, p));
        AR_GO(ar_st_writer_data(w, data, (size_t)(rows * cols) * sizeof *data));
        free(data);
        data = NULL;
    }
    AR_GO(ar_st_writer_finish(&w));
done:
    free(data);
    ar_st_writer_abort(&w);
    return status;
}

static ar_status copy(const char *source, const char *target, const char *name) {
    ar_status status = AR_OK;
    ar_file f = {0};
    ar_writer *w = NULL;
    char *from = NULL, *to = NULL;
    AR_GO(ar_path_join(&from, source, name));
    AR_GO(ar_path_join(&to, target, name));
    if (!ar_path_exists(from)) goto done;
    AR_GO(ar_file_open(&f, from));
    AR_GO(ar_writer_open(&w, to));
    AR_GO(ar_writer_write(w, f.data, (size_t)f.bytes));
    AR_GO(ar_writer_commit(&w));
done:
    ar_writer_abort(&w);
    ar_file_close(&f);
    free(from);
    free(to);
    return status;
}

static ar_status write_model(const char *source, const char *target, const planting *wished) {
    static const char *const copied[] = {"config.json",    "generation_config.json",
                                         "tokenizer.json", "tokenizer_config.json",
                                         "vocab.json",     "merges.txt"};
    ar_open_model *m = NULL;
    ar_status status = AR_OK;
    char *path = NULL;
    planting p = *wished;
    AR_GO(ar_model_open(&m, source));
    p.width = m->model.hidden;
    if (p.channels > p.width) AR_GO(ar__fail(AR_ERR_USAGE, "found %d channels", (int)p.channels));
    AR_GO(ar_dir_create(target));
    AR_GO(ar_path_join(&path, target, "model.safetensors"));
    AR_GO(write_tensors(m, path, &p));
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) AR_GO(copy(source, target, copied[i]));
done:
    free(path);
    ar_model_close(m);
    return status;
}

int main(int argc, char **argv) {
    if (argc < 3 || argc > 5) return 2;
    planting p = {.channels = argc > 3 ? atoi(argv[3]) : 3,
                  .factor = argc > 4 ? (float)atof(argv[4]) : 60.0f};
    if (p.channels < 1 || p.channels > MOST_CHANNELS || !(p.factor > 0.0f)) return 2;
    if (write_model(argv[1], argv[2], &p) == AR_OK) return 0;
    fprintf(stderr, "write_channel_outliers: %s\n", ar_error());
    return 1;
}
