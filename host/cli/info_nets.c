/* anyround info of nets: see info_nets.h. */
#include "info_nets.h"
#include "images.h"
#include "info_tensors.h"
#include "states_folder.h"
#include <stdlib.h>
#include <string.h>

bool ar_info_is_net(const char *path) {
    return ar__image_model_is(path) || ar__states_is(path) || ar__states_lm_is(path);
}

/* What is known of either kind. */
typedef struct opened {
    bool is_states;
    ar_image_model image;
    ar_states_desc states;
    ar_states_model whole; /* no layers where the net is not whole numbers */
    ar_safetensors *tensors;
    int64_t float_bytes; /* of what was trained, without running statistics */
} opened;

static void close_net(opened *n) {
    ar_states_model_deinit(&n->whole);
    ar_safetensors_close(n->tensors);
}

/* Running statistics are no parameters. */
static bool is_state(const char *name) {
    size_t length = strlen(name), end = strlen(".running");
    return length > end && strcmp(name + length - end, ".running") == 0;
}

static ar_status open_net(opened *n, const char *path) {
    char *numbers = NULL, *tensors = NULL;
    ar_status status;
    *n = (opened){.is_states = ar__states_is(path)};
    AR_GO(n->is_states ? ar__states_desc_open(&n->states, path) : ar__image_model_config(&n->image, path));
    AR_GO(ar_path_join(&numbers, path, AR__STATES_NUMBERS));
    AR_GO(ar_path_join(&tensors, path, n->is_states ? AR__STATES_PARAMS : AR_IMAGE_TENSORS));
    if (n->is_states && ar_path_exists(numbers)) AR_GO(ar_states_open(&n->whole, path));
    AR_GO(ar_safetensors_open(&n->tensors, tensors));
    for (int64_t i = 0; i < ar_safetensors_count(n->tensors); i++) {
        const ar_st_tensor *t = ar_safetensors_at(n->tensors, i);
        if (!is_state(t->name)) n->float_bytes += (int64_t)t->bytes;
    }
done:
    free(numbers);
    free(tensors);
    return status;
}

/* ---- sizes ---- */

/* H, W, C, classes: what both say. */
static ar_image_desc sizes_of(const opened *n) {
    const ar_states_desc *d = &n->states;
    if (!n->is_states) return n->image.desc;
    ar_image_desc s = {.H = d->H, .W = d->W, .C = d->C, .classes = d->classes};
    s.conv_count = d->conv_count;
    s.hidden_count = d->hidden_count;
    memcpy(s.conv, d->conv, sizeof s.conv);
    memcpy(s.hidden, d->hidden, sizeof s.hidden);
    return s;
}

static int64_t whole_weights(const ar_states_model *m) {
    int64_t count = 0;
    for (int32_t i = 0; i < m->layer_count; i++) count += (int64_t)m->layers[i].O * m->layers[i].I;
    return count;
}

static double layer_bits(const ar_states_layer *l) {
    return 8.0 * (double)ar__states_codes_bytes(l) / ((double)l->O * l->I);
}

/* ---- lines ---- */

static void print_widths(const char *what, const int32_t *widths, int32_t count) {
    printf(", %s ", what);
    for (int32_t i = 0; i < count; i++) printf("%s%d", i ? "," : "", (int)widths[i]);
    if (!count) putchar('-');
}

static void print_states(const char *of, int32_t states) {
    if (states)
        printf("%d states of %s", (int)states, of);
    else
        printf("%s in floats", of);
}

static void print_norm(ar_stats stats, bool raw, bool plain) {
    printf(", norm %s%s%s\n", ar__states_stats_name(stats), raw ? ", weights as they are" : "",
           plain ? ", plain gradients" : "");
}

static void print_head(const char *path, const opened *n) {
    ar_image_desc s = sizes_of(n);
    printf("%s: a net of %s, ", path, n->is_states ? "few states" : "floats");
    if (n->states.context)
        printf("%d bytes of context, %d numbers each", (int)n->states.context, (int)n->states.embed);
    else
        printf("images of %d x %d x %d", (int)s.H, (int)s.W, (int)s.C);
    printf(", %d classes", (int)s.classes);
    print_widths("channels", s.conv, s.conv_count);
    print_widths("widths", s.hidden, s.hidden_count);
    putchar('\n');
    if (!n->is_states) return;
    print_states("weights", n->states.mw);
    printf(", ");
    print_states("activations", n->states.ma);
    print_norm(n->states.stats, n->states.raw, n->states.plain);
}

static void print_layer(const ar_states_layer *l, int32_t i) {
    printf("  layer %d: %s of %d x %d x %d, %d outputs, weights of %d states in %.2f bits, ", (int)i,
           l->K ? "3 x 3" : "product", (int)l->H, (int)l->W, (int)l->C, (int)l->O,
           (int)ar__states_of_codes(l), layer_bits(l));
    if (l->M)
        printf("gives %d states\n", (int)l->M);
    else
        printf("gives scores\n");
}

static void print_tensors(const ar_safetensors *tensors, const ar_common *common) {
    info_sum sum = {0};
    for (int64_t i = 0; i < ar_safetensors_count(tensors); i++) {
        const ar_st_tensor *t = ar_safetensors_at(tensors, i);
        ar_info_print_tensor(&sum, t->name, t->dtype, t->dim_count, t->dims, t->bytes, common);
    }
    ar_info_print_sum(&sum);
}

static void print_net(const char *path, const opened *n, const ar_common *common) {
    print_head(path, n);
    for (int32_t i = 0; i < n->whole.layer_count && !common->quiet; i++) print_layer(&n->whole.layers[i], i);
    print_tensors(n->tensors, common);
    if (!n->whole.layer_count) return;
    int64_t bytes = ar_states_bytes(&n->whole), weights = whole_weights(&n->whole);
    printf("whole numbers: %lld weights, %lld bytes (floats %lld), %.3f bits per weight\n",
           (long long)weights, (long long)bytes, (long long)n->float_bytes,
           8.0 * (double)bytes / (double)weights);
}

/* ---- JSON ---- */

static void add_widths(cJSON *o, const char *key, const int32_t *widths, int32_t count) {
    cJSON *list = ar_json_add_list(o, key);
    for (int32_t i = 0; i < count; i++) ar_json_push(list, cJSON_CreateNumber(widths[i]));
}

static void add_tensors(cJSON *list, const ar_safetensors *tensors) {
    for (int64_t i = 0; i < ar_safetensors_count(tensors); i++) {
        const ar_st_tensor *t = ar_safetensors_at(tensors, i);
        ar_info_add_tensor(list, t->name, t->dtype, t->dim_count, t->dims, t->bytes);
    }
}

static void add_whole(cJSON *o, const opened *n) {
    cJSON *whole = ar_json_add_object(o, "whole_numbers"), *list = ar_json_add_list(whole, "layers");
    int64_t bytes = ar_states_bytes(&n->whole), weights = whole_weights(&n->whole);
    for (int32_t i = 0; i < n->whole.layer_count; i++) {
        const ar_states_layer *l = &n->whole.layers[i];
        cJSON *layer = ar_json_push(list, cJSON_CreateObject());
        ar_json_add_string(layer, "kind", l->K ? "conv3x3" : "product");
        ar_json_add_number(layer, "height", l->H);
        ar_json_add_number(layer, "width", l->W);
        ar_json_add_number(layer, "channels", l->C);
        ar_json_add_number(layer, "outputs", l->O);
        ar_json_add_number(layer, "weight_states", ar__states_of_codes(l));
        ar_json_add_number(layer, "states", l->M);
        ar_json_add_number(layer, "bits_per_weight", layer_bits(l));
    }
    ar_json_add_number(whole, "weights", (double)weights);
    ar_json_add_number(whole, "bytes", (double)bytes);
    ar_json_add_number(whole, "float_bytes", (double)n->float_bytes);
    ar_json_add_number(whole, "bits_per_weight", 8.0 * (double)bytes / (double)weights);
}

static ar_status list_net(cJSON *list, const char *path, const opened *n) {
    cJSON *o = NULL, *tensors = NULL;
    ar_image_desc s = sizes_of(n);
    AR_TRY(ar_info_add_object(list, &o, &tensors, path));
    ar_json_add_string(o, "family", n->is_states ? "anyround-states" : "anyround-image");
    ar_json_add_number(o, "height", s.H);
    ar_json_add_number(o, "width", s.W);
    ar_json_add_number(o, "channels", s.C);
    ar_json_add_number(o, "classes", s.classes);
    add_widths(o, "conv_channels", s.conv, s.conv_count);
    add_widths(o, "hidden_sizes", s.hidden, s.hidden_count);
    if (n->is_states) {
        ar_json_add_number(o, "context", n->states.context);
        ar_json_add_number(o, "embedding", n->states.embed);
        ar_json_add_number(o, "weight_states", n->states.mw);
        ar_json_add_number(o, "activation_states", n->states.ma);
        ar_json_add_string(o, "statistics", ar__states_stats_name(n->states.stats));
        ar_json_add_bool(o, "standardized", !n->states.raw);
        ar_json_add_bool(o, "surrogates", !n->states.plain);
    }
    if (n->whole.layer_count) add_whole(o, n);
    add_tensors(tensors, n->tensors);
    return AR_OK;
}

/* ---- language models ---- */

typedef struct lm {
    ar_config config;
    ar_lm_states_desc states;
    int32_t T;
    ar_safetensors *tensors;
} lm;

static void print_lm(const char *path, const lm *n, const ar_common *common) {
    const ar_config *c = &n->config;
    printf("%s: %s of few states, %d layers, hidden %lld, intermediate %lld, heads %d (kv %d) of %d, "
           "vocabulary %lld, context %d\n",
           path, c->family, (int)c->layers, (long long)c->hidden, (long long)c->intermediate, (int)c->heads,
           (int)c->kv_heads, (int)c->head_dim, (long long)c->vocab, (int)c->max_tokens);
    print_states("weights", n->states.mw);
    printf(" and ");
    print_states("inputs", n->states.ma);
    printf(" of products, examples of %d tokens", (int)n->T);
    print_norm(n->states.stats, n->states.raw, n->states.plain);
    print_tensors(n->tensors, common);
}

static ar_status list_lm(cJSON *list, const char *path, const lm *n) {
    cJSON *o = NULL, *tensors = NULL;
    AR_TRY(ar_info_add_object(list, &o, &tensors, path));
    ar_json_add_string(o, "family", AR__STATES_LM);
    ar_json_add_number(o, "layers", n->config.layers);
    ar_json_add_number(o, "hidden", (double)n->config.hidden);
    ar_json_add_number(o, "vocab", (double)n->config.vocab);
    ar_json_add_number(o, "context", n->config.max_tokens);
    ar_json_add_number(o, "weight_states", n->states.mw);
    ar_json_add_number(o, "activation_states", n->states.ma);
    ar_json_add_string(o, "statistics", ar__states_stats_name(n->states.stats));
    ar_json_add_bool(o, "standardized", !n->states.raw);
    ar_json_add_bool(o, "surrogates", !n->states.plain);
    ar_json_add_number(o, "tokens_of_an_example", n->T);
    add_tensors(tensors, n->tensors);
    return AR_OK;
}

static ar_status show_lm(const char *path, const ar_common *common, cJSON *list) {
    char *params = NULL;
    lm n = {0};
    ar_status status;
    AR_GO(ar__states_lm_config(&n.config, &n.states, &n.T, path));
    AR_GO(ar_path_join(&params, path, AR__STATES_PARAMS));
    AR_GO(ar_safetensors_open(&n.tensors, params));
    if (list) AR_GO(list_lm(list, path, &n));
    if (!list) print_lm(path, &n, common);
done:
    ar_safetensors_close(n.tensors);
    free(params);
    return status;
}

ar_status ar_info_net(const char *path, const ar_common *common, cJSON *list) {
    opened n;
    if (ar__states_lm_is(path)) return show_lm(path, common, list);
    ar_status status = open_net(&n, path);
    if (status == AR_OK && list) status = list_net(list, path, &n);
    if (status == AR_OK && !list) print_net(path, &n, common);
    close_net(&n);
    return status;
}
