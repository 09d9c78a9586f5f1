/* host/family/family_bias.c: biases of zeros that a family does not have, as old GPTQ quantizers wrote them,
 * on the golden model of every family. */
#include "temp_files.h"
#include "ar_error.h"

static const char *const names[] = {"llama", "mistral", "qwen2", "qwen3", "phi3", "gpt2", "opt"};
enum { FAMILIES = sizeof names / sizeof *names };

static const char *golden_file(const char *name, const char *file) {
    static char path[2][256];
    static int turn;
    char *p = path[turn++ % 2];
    snprintf(p, sizeof path[0], "tests/golden/families/%s/%s", name, file);
    return p;
}

typedef struct change {
    float fill;       /* of the biases that are added wherever one is missing */
    bool last_alone;  /* of their last value alone, the others are -0 */
    bool all_zero;    /* every bias of the file becomes 0 */
    const char *keep; /* but the one with this name */
    const char *config;
} change;

static bool is_bias(const char *name) {
    size_t n = strlen(name);
    return n > 5 && strcmp(name + n - 5, ".bias") == 0;
}

/* The bias that NAME.weight has or could have, into out. */
static bool bias_beside(char out[160], const ar_st_tensor *t) {
    size_t n = strlen(t->name);
    if (n < 7 || strcmp(t->name + n - 7, ".weight") != 0) return false;
    snprintf(out, 160, "%.*s.bias", (int)n - 7, t->name);
    return true;
}

static void put_one(ar_st_writer *w, const ar_st_tensor *t, const change *c, bool begun) {
    static const uint8_t zeros[4096];
    bool zero = c->all_zero && is_bias(t->name) && !(c->keep && strcmp(c->keep, t->name) == 0);
    if (!begun)
        assert_ok(ar_st_writer_declare(w, t->name, t->dtype, t->dim_count, t->dims));
    else
        assert_ok(ar_st_writer_data(w, zero ? zeros : t->data, (size_t)t->bytes));
}

static void put_added(ar_st_writer *w, const char *name, int64_t count, const change *c, bool begun) {
    if (!begun) {
        assert_ok(ar_st_writer_declare(w, name, "F32", 1, &count));
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        float value = c->last_alone && i + 1 < count ? -0.0f : c->fill;
        assert_ok(ar_st_writer_data(w, &value, sizeof value));
    }
}

static char *write_folder(const char *name, const change *c) {
    char *folder = temp_folder(), *text, *json, bias[160];
    size_t bytes;
    ar_safetensors *st;
    ar_st_writer *w;
    assert_ok(ar_file_read_text(&text, &bytes, golden_file(name, "config.json"), 1 << 16));
    json = malloc(bytes + 256);
    *strrchr(text, '}') = '\0';
    snprintf(json, bytes + 256, "%s%s}", text, c->config ? c->config : "");
    put_text(in_folder(folder, "config.json"), json);
    free(text);
    free(json);
    assert_ok(ar_safetensors_open(&st, golden_file(name, "model.safetensors")));
    assert_ok(ar_st_writer_create(&w));
    for (int begun = 0; begun < 2; begun++) {
        if (begun) assert_ok(ar_st_writer_begin(w, in_folder(folder, "model.safetensors")));
        for (int64_t i = 0; i < ar_safetensors_count(st); i++) {
            const ar_st_tensor *t = ar_safetensors_at(st, i);
            put_one(w, t, c, begun);
            if (bias_beside(bias, t) && !ar_safetensors_find(st, bias)) /* a Conv1D has them all */
                put_added(w, bias, t->dims[0], c, begun);
        }
    }
    assert_ok(ar_st_writer_finish(&w));
    ar_safetensors_close(st);
    return folder;
}

static int count_biases(const ar_open_model *m) {
    int count = 0;
    for (int64_t i = 0; i < m->weights.vtable->count(m->weights.impl); i++)
        count += is_bias(m->weights.vtable->at(m->weights.impl, i)->name);
    return count;
}

/* Beside every matrix, norm, embedding and head. */
static void zero_biases_are_left_out(void **state) {
    (void)state;
    for (int f = 0; f < FAMILIES; f++) {
        ar_open_model *m, *plain;
        char *folder = write_folder(names[f], &(change){.fill = 0});
        char path[256];
        snprintf(path, sizeof path, "tests/golden/families/%s", names[f]);
        assert_ok(ar_model_open(&plain, path));
        assert_ok(ar_model_open(&m, folder));
        int64_t count = plain->weights.vtable->count(plain->weights.impl);
        assert_int_equal(m->weights.vtable->count(m->weights.impl), count);
        for (int64_t i = 0; i < count; i++) {
            const ar_weight *a = plain->weights.vtable->at(plain->weights.impl, i);
            int64_t at = ar_weights_find(&m->weights, a->name);
            assert_true(at >= 0);
            int64_t width = a->dim_count == 1 ? a->dims[0] : a->dims[1];
            float *x = malloc((size_t)width * 4), *y = malloc((size_t)width * 4);
            assert_ok(plain->weights.vtable->read(plain->weights.impl, x, i, 0, 1));
            assert_ok(m->weights.vtable->read(m->weights.impl, y, at, 0, 1));
            assert_memory_equal(x, y, (size_t)width * 4);
            free(x);
            free(y);
        }
        for (int32_t i = 0; i < m->model.blocks[0].linear_count; i++)
            assert_int_equal(m->model.blocks[0].linears[i].has_bias,
                             plain->model.blocks[0].linears[i].has_bias);
        assert_int_equal(m->notes.count, 1);
        ar_model_close(m);
        ar_model_close(plain);
        temp_remove(folder);
    }
}

/* One value that is not 0, in the last place of each. */
static void other_biases_are_refused(void **state) {
    (void)state;
    for (int f = 0; f < FAMILIES; f++) {
        ar_open_model *m;
        char *folder = write_folder(names[f], &(change){.fill = 1e-7f, .last_alone = true});
        assert_error(ar_model_open(&m, folder), AR_ERR_FORMAT, ".bias: found, expected none");
        temp_remove(folder);
    }
}

/* Llama's biases are seen in the weights: those of zeros stay where config.json speaks of biases, or where
 * another is not of zeros. */
static void optional_biases_go_together(void **state) {
    (void)state;
    const struct {
        change c;
        int biases;
    } rows[] = {{{.all_zero = true}, 14},
                {{.all_zero = true, .config = ",\"attention_bias\":false,\"mlp_bias\":false"}, 0},
                {{.all_zero = true,
                  .keep = "model.layers.1.mlp.down_proj.bias",
                  .config = ",\"attention_bias\":false,\"mlp_bias\":false"},
                 14}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ar_open_model *m;
        char *folder = write_folder("llama", &rows[i].c);
        assert_ok(ar_model_open(&m, folder));
        assert_int_equal(count_biases(m), rows[i].biases);
        assert_int_equal(m->model.blocks[1].linears[0].has_bias, rows[i].biases > 0);
        ar_model_close(m);
        temp_remove(folder);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(zero_biases_are_left_out),
                                       cmocka_unit_test(other_biases_are_refused),
                                       cmocka_unit_test(optional_biases_go_together)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
