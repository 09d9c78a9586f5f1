/* Hugging Face folders out; see hf_folder.h. */
#include "hf_folder.h"
#include "family.h"
#include "hf_make.h"
#include "model_card.h"
#include "place.h"
#include "tokenizer.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SHARD_BYTES  ((uint64_t)5000000000u)
#define COPY_BYTES   ((int64_t)8 << 20)
#define CONFIG_BYTES ((size_t)16 << 20)

void ar__hf_linear_name(char out[AR_HF_NAME], const ar_block *block, int32_t i) {
    snprintf(out, AR_HF_NAME, "%s.%s", block->name, block->linears[i].name);
}

/* ---- one tensor after the other, in shards ---- */

typedef struct entry {
    const ar_weight *weight; /* float tensors */
    int64_t index;           /* of the weight */
    int32_t block, linear;   /* quantized linears; block -1 = float */
    bool is_turned;          /* a float product stored (O, I) that is to be (I, O) */
    int32_t shard;
} entry;

typedef struct folder {
    const ar_write_source *src;
    const ar_hf_layout *layout;
    const char *path;
    entry *entries;
    int64_t count;
    int32_t shards;
    uint64_t total;
} folder;

const char *ar__hf_float_dtype(const ar_weight *w, const char *wanted) {
    bool plain = strcmp(w->type, "F32") == 0 || strcmp(w->type, "F16") == 0 || strcmp(w->type, "BF16") == 0;
    return wanted ? wanted : plain ? w->type : "F32";
}

static const char *float_dtype(const folder *f, const entry *e) {
    return ar__hf_float_dtype(e->weight, f->layout->float_dtype);
}

static int64_t element_count(const ar_weight *w) {
    int64_t n = 1;
    for (int32_t d = 0; d < w->dim_count; d++) n *= w->dims[d];
    return n;
}

static const ar_block *block_of(const folder *f, const entry *e) {
    return &f->src->model->model.blocks[e->block];
}

static void shape_of(const entry *e, int64_t dims[4]) {
    memcpy(dims, e->weight->dims, sizeof e->weight->dims);
    if (e->is_turned) dims[0] = e->weight->dims[1], dims[1] = e->weight->dims[0];
}

static bool is_transposed(const folder *f) { return f->layout->as_source && f->src->model->config.is_conv1d; }

static ar_status declared(const folder *f, const entry *e, ar_hf_tensors *t) {
    const ar_block *block = block_of(f, e);
    const ar_linear *lin = &block->linears[e->linear];
    ar_scheme scheme;
    memset(t, 0, sizeof *t);
    ar__source_scheme(&scheme, f->src, block, e->linear);
    AR_TRY(f->layout->declare(t, &scheme, lin->O, lin->I, f->layout->ctx));
    if (is_transposed(f)) t->list[0].dims[0] = lin->I, t->list[0].dims[1] = lin->O;
    return AR_OK;
}

/* Which linear this is the weight of: NULL for none, else its block, and *linear. */
static const ar_block *find_linear(const ar_model *m, int32_t *linear, const char *weight) {
    char name[AR_HF_NAME];
    for (int32_t b = 0; b < m->block_count; b++) {
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++) {
            ar__hf_linear_name(name, &m->blocks[b], i);
            size_t n = strlen(name);
            if (strncmp(weight, name, n) == 0 && strcmp(weight + n, ".weight") == 0) {
                *linear = i;
                return &m->blocks[b];
            }
        }
    }
    return NULL;
}

bool ar__hf_is_turned(const ar_open_model *m, const char *weight) {
    int32_t i = 0;
    const ar_block *b = m->config.is_conv1d ? find_linear(&m->model, &i, weight) : NULL;
    return b && !ar__family_is_transposed(b, i);
}

bool ar__hf_is_coded(const ar_write_source *src, const char *weight) {
    int32_t i = 0;
    const ar_block *b = find_linear(&src->model->model, &i, weight);
    ar_scheme scheme;
    return b && ar__source_scheme(&scheme, src, b, i);
}

/* What is quantized, and what else is turned round. */
static void place_entry(const folder *f, entry *e) {
    const ar_block *b = find_linear(&f->src->model->model, &e->linear, e->weight->name);
    ar_scheme scheme;
    bool is_coded = b && ar__source_scheme(&scheme, f->src, b, e->linear);
    e->block = is_coded ? b->index : -1;
    e->is_turned = !is_coded && ar__hf_is_turned(f->src->model, e->weight->name);
}

static ar_status plan_entries(folder *f) {
    const ar_weights *w = &f->src->model->weights;
    uint64_t used = 0, most = f->layout->shard_bytes ? f->layout->shard_bytes : SHARD_BYTES;
    f->count = w->vtable->count(w->impl);
    f->entries = ar__alloc((size_t)f->count, sizeof *f->entries);
    if (!f->entries) return AR_ERR_MEMORY;
    f->shards = 1;
    for (int64_t i = 0; i < f->count; i++) {
        entry *e = &f->entries[i];
        e->weight = w->vtable->at(w->impl, i);
        e->index = i;
        place_entry(f, e);
        uint64_t bytes = 0;
        if (e->block < 0) {
            bytes = (uint64_t)element_count(e->weight) * (strcmp(float_dtype(f, e), "F32") == 0 ? 4 : 2);
        } else {
            ar_hf_tensors t;
            AR_TRY(declared(f, e, &t));
            for (int32_t k = 0; k < t.count; k++) bytes += t.list[k].bytes;
        }
        if (used && used + bytes > most) {
            f->shards++;
            used = 0;
        }
        used += bytes;
        f->total += bytes;
        e->shard = f->shards - 1;
    }
    return AR_OK;
}

static void shard_name(const folder *f, char out[64], int32_t shard) {
    if (f->shards == 1)
        snprintf(out, 64, "model.safetensors");
    else
        snprintf(out, 64, "model-%05d-of-%05d.safetensors", (int)shard + 1, (int)f->shards);
}

/* ---- data ---- */

/* To F16 or BF16; a finite value that F16 only has as infinity would be lost. */
static ar_status narrow(uint16_t *dst, const float *src, int64_t count, bool f16, const char *name) {
    for (int64_t i = 0; i < count; i++) {
        dst[i] = f16 ? ar_f32_to_f16(src[i]) : ar_f32_to_bf16(src[i]);
        if (f16 && isfinite(src[i]) && (dst[i] & 0x7fff) == 0x7c00)
            return ar__fail(AR_ERR_UNSUPPORTED, "tensor %s: found %g, expected values that F16 holds", name,
                            (double)src[i]);
    }
    return AR_OK;
}

static ar_status write_float(const folder *f, ar_st_writer *w, const entry *e) {
    const ar_weights *weights = &f->src->model->weights;
    int64_t rows = e->weight->dim_count > 1 ? e->weight->dims[0] : 1,
            width = rows ? element_count(e->weight) / rows : 0;
    if (width == 0) return AR_OK; /* however many rows there are */
    int64_t step = COPY_BYTES / (4 * width) < 1 ? 1 : COPY_BYTES / (4 * width);
    const char *dtype = float_dtype(f, e);
    bool f16 = strcmp(dtype, "F16") == 0, wide = strcmp(dtype, "F32") == 0;
    float *values = ar__alloc((size_t)(step < rows ? step : rows), (size_t)width * sizeof *values);
    uint16_t *halves =
        wide ? NULL : ar__alloc((size_t)(step < rows ? step : rows), (size_t)width * sizeof *halves);
    ar_status status = values && (wide || halves) ? AR_OK : AR_ERR_MEMORY;
    for (int64_t row = 0; status == AR_OK && row < rows; row += step) {
        int64_t n = (rows - row < step ? rows - row : step), elems = n * width;
        status = weights->vtable->read(weights->impl, values, e->index, row, n);
        if (status == AR_OK && !wide) status = narrow(halves, values, elems, f16, e->weight->name);
        if (status == AR_OK)
            status =
                ar_st_writer_data(w, wide ? (const void *)values : halves, (size_t)elems * (wide ? 4 : 2));
    }
    free(values);
    free(halves);
    return status;
}

ar_status ar__hf_transpose(void **values, int64_t O, int64_t I) {
    const float *from = *values;
    float *to = ar__alloc((size_t)O, (size_t)I * sizeof *to);
    if (!to) return AR_ERR_MEMORY;
    for (int64_t o = 0; o < O; o++)
        for (int64_t i = 0; i < I; i++) to[i * O + o] = from[o * I + i];
    free(*values);
    *values = to;
    return AR_OK;
}

/* A float product (O, I) as (I, O), whole: it is a layer's. */
static ar_status write_turned(const folder *f, ar_st_writer *w, const entry *e) {
    const ar_weights *weights = &f->src->model->weights;
    int64_t O = e->weight->dims[0], I = e->weight->dims[1];
    const char *dtype = float_dtype(f, e);
    bool f16 = strcmp(dtype, "F16") == 0, wide = strcmp(dtype, "F32") == 0;
    void *values = ar__alloc((size_t)O, (size_t)I * sizeof(float));
    uint16_t *halves = wide ? NULL : ar__alloc((size_t)O, (size_t)I * sizeof *halves);
    ar_status status = values && (wide || halves) ? AR_OK : AR_ERR_MEMORY;
    if (status == AR_OK) status = weights->vtable->read(weights->impl, values, e->index, 0, O);
    if (status == AR_OK) status = ar__hf_transpose(&values, O, I);
    if (status == AR_OK && !wide) status = narrow(halves, values, O * I, f16, e->weight->name);
    if (status == AR_OK)
        status = ar_st_writer_data(w, wide ? values : halves, (size_t)O * (size_t)I * (wide ? 4 : 2));
    free(values);
    free(halves);
    return status;
}

static ar_status write_linear(const folder *f, ar_st_writer *w, const entry *e) {
    ar_qlinear *q = NULL;
    ar_hf_tensors t;
    AR_TRY(declared(f, e, &t));
    AR_TRY(f->src->linear(f->src->ctx, &q, e->block, e->linear));
    if (!q) return ar__fail(AR_ERR_CHECK, "%s: not quantized, expected codes", e->weight->name);
    ar_status status = ar__source_check(f->src, block_of(f, e), e->linear, q);
    if (status == AR_OK) status = f->layout->fill(&t, q, f->layout->ctx);
    if (status == AR_OK && is_transposed(f)) status = ar__hf_transpose(&t.list[0].data, q->O, q->I);
    for (int32_t k = 0; status == AR_OK && k < t.count; k++)
        status = ar_st_writer_data(w, t.list[k].data, t.list[k].bytes);
    for (int32_t k = 0; k < t.count; k++) free(t.list[k].data);
    ar_qlinear_free(q);
    return status;
}

static ar_status declare_entry(const folder *f, ar_st_writer *w, const entry *e) {
    int64_t dims[4];
    shape_of(e, dims);
    if (e->block < 0)
        return ar_st_writer_declare(w, e->weight->name, float_dtype(f, e), e->weight->dim_count, dims);
    ar_hf_tensors t;
    char prefix[AR_HF_NAME], name[AR_HF_NAME + 32];
    AR_TRY(declared(f, e, &t));
    ar__hf_linear_name(prefix, block_of(f, e), e->linear);
    for (int32_t k = 0; k < t.count; k++) {
        snprintf(name, sizeof name, "%s.%s", prefix, t.list[k].suffix);
        AR_TRY(ar_st_writer_declare(w, name, t.list[k].dtype, t.list[k].dim_count, t.list[k].dims));
    }
    return AR_OK;
}

static ar_status write_entry(const folder *f, ar_st_writer *w, const entry *e) {
    AR_TRY(ar__source_advance(f->src, element_count(e->weight)));
    return e->is_turned ? write_turned(f, w, e) : e->block < 0 ? write_float(f, w, e) : write_linear(f, w, e);
}

static ar_status write_shard(const folder *f, int32_t shard) {
    ar_status status = AR_OK;
    ar_st_writer *w = NULL;
    char name[64], *path = NULL;
    shard_name(f, name, shard);
    AR_GO(ar_path_join(&path, f->path, name));
    AR_GO(ar_st_writer_create(&w));
    AR_GO(ar_st_writer_metadata(w, "format", "pt"));
    AR_GO(ar_st_writer_metadata(w, AR_HF_WRITER_KEY, AR_HF_WRITER));
    for (int64_t i = 0; i < f->count; i++)
        if (f->entries[i].shard == shard) AR_GO(declare_entry(f, w, &f->entries[i]));
    AR_GO(ar_st_writer_begin(w, path));
    for (int64_t i = 0; i < f->count; i++)
        if (f->entries[i].shard == shard) AR_GO(write_entry(f, w, &f->entries[i]));
    AR_GO(ar_st_writer_finish(&w));
done:
    ar_st_writer_abort(&w);
    free(path);
    return status;
}

/* ---- the small files ---- */

/* config.json's root: the source folder's, or made for a source that is a file. */
static ar_status read_config(ar_json **root, const folder *f) {
    char *path = NULL;
    if (!ar_path_is_dir(f->src->model->path)) return ar__hf_make_config(root, f->src->model);
    AR_TRY(ar_path_join(&path, f->src->model->path, "config.json"));
    ar_status status = ar_json_open(root, path, CONFIG_BYTES);
    free(path);
    return status;
}

/* The card is not copied, for it speaks of the source; its licence goes on. */
static ar_status add_license(cJSON *root, const folder *f) {
    ar_notes values = {0};
    if (!ar_path_is_dir(f->src->model->path) || ar_json_get(root, "license")) return AR_OK;
    AR_TRY(ar__card_read(&values, f->src->model->path, "license"));
    if (values.count > 0) ar_json_add_string(root, "license", values.lines[0]);
    ar_notes_deinit(&values);
    return AR_OK;
}

static ar_status write_config(const folder *f) {
    ar_status status = AR_OK;
    ar_json *root = NULL;
    AR_GO(read_config(&root, f));
    AR_GO(add_license(root, f));
    AR_GO(f->layout->config(root, f->src, f->layout->ctx));
    AR_GO(ar__hf_write_json(f->path, "config.json", root));
    const cJSON *quantization = ar_json_get(root, "quantization_config");
    if (quantization) AR_GO(ar__hf_write_json(f->path, "quantization_config.json", quantization));
done:
    ar_json_close(root);
    return status;
}

/* The tokenizer of a source that is a file. */
static ar_status make_tokenizer_files(const folder *f) {
    const ar_open_model *m = f->src->model;
    char *text = NULL;
    cJSON *root = NULL;
    ar_status status;
    if (!m->tokenizer) return AR_OK;
    AR_GO(ar__tokenizer_write(&text, m->tokenizer));
    AR_GO(ar__hf_write_text(f->path, "tokenizer.json", text));
    AR_GO(ar__hf_make_tokenizer_config(&root, m));
    AR_GO(ar__hf_write_json(f->path, "tokenizer_config.json", root));
done:
    free(text);
    cJSON_Delete(root);
    return status;
}

static ar_status write_index(const folder *f) {
    if (f->shards == 1) return AR_OK;
    cJSON *root = cJSON_CreateObject(), *meta = ar_json_add_object(root, "metadata"),
          *map = ar_json_add_object(root, "weight_map");
    ar_status status = AR_OK;
    char shard[64], prefix[AR_HF_NAME], name[AR_HF_NAME + 32];
    ar_json_add_number(meta, "total_size", (double)f->total);
    for (int64_t i = 0; status == AR_OK && i < f->count; i++) {
        const entry *e = &f->entries[i];
        ar_hf_tensors t = {0};
        shard_name(f, shard, e->shard);
        if (e->block < 0) {
            ar_json_add_string(map, e->weight->name, shard);
            continue;
        }
        status = declared(f, e, &t);
        ar__hf_linear_name(prefix, block_of(f, e), e->linear);
        for (int32_t k = 0; k < t.count; k++) {
            snprintf(name, sizeof name, "%s.%s", prefix, t.list[k].suffix);
            ar_json_add_string(map, name, shard);
        }
    }
    if (status == AR_OK) status = ar__hf_write_json(f->path, "model.safetensors.index.json", root);
    cJSON_Delete(root);
    return status;
}

static ar_status write_all(folder *f) {
    AR_TRY(plan_entries(f));
    for (int32_t s = 0; s < f->shards; s++) AR_TRY(write_shard(f, s));
    AR_TRY(write_index(f));
    bool from_folder = ar_path_is_dir(f->src->model->path);
    if (!from_folder) AR_TRY(make_tokenizer_files(f));
    if (from_folder) AR_TRY(ar__hf_copy_files(f->path, f->src));
    return write_config(f); /* last: without it the folder is no model */
}

/* ---- its size ---- */

#define CONFIG_MORE 600 /* bytes that a format adds to config.json, and writes as a file of its own */
#define HEADER_EACH 90  /* of a tensor in the header of its file, beside its name */

static uint64_t file_bytes(const char *dir, const char *name) {
    char *path = NULL;
    struct stat s;
    uint64_t bytes = 0;
    if (ar_path_join(&path, dir, name) == AR_OK && stat(path, &s) == 0) bytes = (uint64_t)s.st_size;
    free(path);
    return bytes;
}

static ar_status header_bytes(const folder *f, const entry *e, uint64_t *bytes) {
    ar_hf_tensors t = {.count = 1};
    if (e->block >= 0) AR_TRY(declared(f, e, &t));
    uint64_t each = strlen(e->weight->name) + HEADER_EACH;
    *bytes += (uint64_t)t.count * each * (f->shards > 1 ? 2 : 1); /* the index has them once more */
    return AR_OK;
}

static ar_status text_bytes(const folder *f, uint64_t *bytes) {
    const ar_open_model *m = f->src->model;
    char *text = NULL;
    *bytes += 2 * CONFIG_MORE + file_bytes(m->path, "config.json");
    for (size_t i = 0; ar__hf_copied[i]; i++) *bytes += file_bytes(m->path, ar__hf_copied[i]);
    if (ar_path_is_dir(m->path) || !m->tokenizer) return AR_OK;
    AR_TRY(ar__tokenizer_write(&text, m->tokenizer));
    *bytes += strlen(text);
    free(text);
    return AR_OK;
}

ar_status ar__hf_folder_size(ar_output_size *size, const ar_write_source *src, const ar_hf_layout *layout) {
    folder f = {.src = src, .layout = layout};
    ar_status status = AR_OK;
    *size = (ar_output_size){0};
    AR_GO(plan_entries(&f));
    size->bytes = f.total;
    for (int64_t i = 0; i < f.count; i++) {
        size->values += element_count(f.entries[i].weight);
        AR_GO(header_bytes(&f, &f.entries[i], &size->bytes));
    }
    AR_GO(text_bytes(&f, &size->bytes));
done:
    free(f.entries);
    return status;
}

/* ---- the folder ---- */

ar_status ar__hf_folder_write(const char *path, const ar_write_source *src, const ar_hf_layout *layout) {
    AR_TRY(ar__hf_folder_check(path, src->model->path));
    char *temporary, *around, *name;
    ar_status made = ar__path_split(&around, &name, path);
    if (made == AR_OK) made = ar_dir_create(around);
    free(around);
    free(name);
    AR_TRY(made);
    AR_TRY(ar__dir_create_new(&temporary, path, ".writing"));
    folder f = {.src = src, .layout = layout, .path = temporary};
    ar_status status = AR_OK;
    AR_GO(write_all(&f));
    AR_GO(ar__hf_folder_place(path, temporary));
done:
    if (status != AR_OK) {
        char reason[512];
        snprintf(reason, sizeof reason, "%s", ar_error());
        if (ar_path_exists(temporary)) ar_dir_remove(temporary);
        ar__fail(status, "%s", reason);
    }
    free(f.entries);
    free(temporary);
    return status;
}
