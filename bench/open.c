/* Models for the bench; see open.h. */
#include "open.h"
#include "ops.h"
#include "random_model.h"
#include <string.h>
#include <strings.h>

#define RANDOM      "random:"
#define MOST_TOKENS 8192

static ar_status find_type(ar_qtype *type, const char *name, const char *whole) {
    for (int32_t i = 0; i < AR_QT_COUNT; i++)
        if (i != AR_QT_GROUP && strcasecmp(ar_qtype_name((ar_qtype)i), name) == 0) {
            *type = (ar_qtype)i;
            return AR_OK;
        }
    return ar__fail(AR_ERR_USAGE, "%s: no storage type \"%s\", expected one as q4_0, q4_k, f16", whole, name);
}

static ar_status open_random(ar_open_model **m, const char *name) {
    const char *size = name + strlen(RANDOM), *colon = strchr(size, ':');
    const ar_bench_shape *shape = NULL;
    ar_qtype type = AR_QT_F32;
    for (int32_t i = 0; colon && !shape && ar_bench_shape_at(i); i++) {
        const char *known = ar_bench_shape_at(i)->name;
        if (strlen(known) == (size_t)(colon - size) && strncmp(known, size, strlen(known)) == 0)
            shape = ar_bench_shape_at(i);
    }
    if (!shape) return ar__fail(AR_ERR_USAGE, "%s: expected random:SIZE:TYPE, as random:1b:q4_0", name);
    AR_TRY(find_type(&type, colon + 1, name));
    ar_config config = {.family = "llama",
                        .hidden = shape->hidden,
                        .intermediate = shape->intermediate,
                        .vocab = shape->vocab,
                        .layers = (int32_t)shape->layers,
                        .heads = (int32_t)shape->heads,
                        .kv_heads = (int32_t)shape->kv_heads,
                        .head_dim = (int32_t)shape->head_dim,
                        .max_tokens = MOST_TOKENS,
                        .rms_eps = 1e-5f,
                        .rope_theta = 10000.0f,
                        .tied = true,
                        .bos = -1,
                        .eos = -1};
    return ar_random_model_open_as(m, &config, type, 1);
}

ar_status ar_bench_open(ar_open_model **m, const char *name) {
    return strncmp(name, RANDOM, strlen(RANDOM)) == 0 ? open_random(m, name) : ar_model_open(m, name);
}

void ar_bench_close(ar_open_model *m) {
    if (m && ar_random_model_is(m))
        ar_random_model_close(m);
    else
        ar_model_close(m);
}
