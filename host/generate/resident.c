/* Weights as they are stored, on the device; see resident.h. */
#include "resident.h"
#include "ar_error.h"
#include <stdlib.h>
#include <string.h>

/* ---- which products belong together: a forward that records nothing but what it asks for ---- */

typedef struct probe {
    ar_resident *r;
    bool grouped[AR_MAX_LINEARS];
} probe;

static ar_status note_group(probe *p, const int32_t *i, int32_t count, bool is_gated) {
    const ar_block *b = p->r->block;
    bool splits = count > AR__PARTS;
    for (int32_t n = 0; n < count; n++) {
        if (i[n] < 0 || i[n] >= b->linear_count)
            return ar__fail(AR_ERR_ARG, "block %d has no linear %d", (int)b->index, (int)i[n]);
        splits = splits || p->grouped[i[n]] || (is_gated && b->linears[i[n]].has_bias) ||
                 b->linears[i[n]].I != b->linears[i[0]].I;
    }
    if (is_gated && b->linears[i[0]].O != b->linears[i[1]].O) splits = true;
    for (int32_t n = 0; splits && n < count; n++)
        if (!p->grouped[i[n]]) AR_TRY(note_group(p, &i[n], 1, false));
    if (splits) return AR_OK;
    ar__group *group = &p->r->groups[p->r->group_count++];
    *group = (ar__group){.count = count, .is_gated = is_gated};
    for (int32_t n = 0; n < count; n++) {
        group->i[n] = i[n];
        group->first[n + 1] = group->first[n] + b->linears[i[n]].O;
        p->grouped[i[n]] = true;
    }
    return AR_OK;
}

static ar_status like(ar_graph *g, ar_tensor **y, const ar_tensor *x, int64_t columns) {
    return ar_graph_temp(g, y, AR_F32, 2, (const int64_t[]){ar_tensor_dim(x, 0), columns});
}

static ar_status probe_linears(void *ctx, ar_graph *g, ar_tensor **y, const int32_t *i, int32_t count,
                               ar_tensor *x) {
    const probe *p = ctx;
    AR_TRY(note_group(ctx, i, count, false));
    for (int32_t n = 0; n < count; n++) AR_TRY(like(g, &y[n], x, p->r->block->linears[i[n]].O));
    return AR_OK;
}

static ar_status probe_linear(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    return probe_linears(ctx, g, y, &i, 1, x);
}

static ar_status probe_norm(void *ctx, ar_graph *g, ar_tensor **y, int32_t j, ar_tensor *x) {
    (void)ctx;
    (void)j;
    return like(g, y, x, ar_tensor_dim(x, 1));
}

static ar_status probe_add(void *ctx, ar_graph *g, ar_tensor **y, ar_tensor *a, ar_tensor *b) {
    (void)ctx;
    (void)b;
    return like(g, y, a, ar_tensor_dim(a, 1));
}

static ar_status probe_gated(void *ctx, ar_graph *g, ar_tensor **y, int32_t gate, int32_t up, ar_act act,
                             ar_tensor *x) {
    const probe *p = ctx;
    AR_TRY(note_group(ctx, (const int32_t[]){gate, up}, 2, act == AR_ACT_SILU));
    return like(g, y, x, p->r->block->linears[gate].O);
}

static ar_status probe_linear_add(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x,
                                  ar_tensor *residual) {
    (void)residual;
    return probe_linears(ctx, g, y, &i, 1, x);
}

static ar_status probe_attention(void *ctx, ar_graph *g, ar_tensor **y, ar_tensor *q, ar_tensor *k,
                                 ar_tensor *v, const ar_attention *a) {
    (void)ctx;
    (void)k;
    (void)v;
    (void)a;
    return like(g, y, q, ar_tensor_dim(q, 1));
}

static ar_status find_groups(ar_resident *r, ar_device *device, bool single) {
    probe p = {.r = r};
    ar_hook hook = {.linear = probe_linear,
                    .norm = probe_norm,
                    .add = probe_add,
                    .linears = probe_linears,
                    .gated = probe_gated,
                    .linear_add = probe_linear_add,
                    .attention = probe_attention,
                    .ctx = &p};
    ar_graph *g = NULL;
    ar_tensor *x = NULL, *y = NULL;
    ar_status status;
    if (single) hook.linears = NULL, hook.gated = NULL, hook.linear_add = NULL;
    AR_GO(ar_graph_create(&g, device));
    AR_GO(ar_graph_temp(g, &x, AR_F32, 2, (const int64_t[]){1, r->block->hidden}));
    AR_GO(r->block->forward(r->block, g, &y, x, 1, &hook));
done:
    ar_graph_destroy(g);
    return status;
}

/* ---- reading, repacking, uploading ---- */

static bool agree(const ar_resident_weight_desc *a, const ar_resident_weight_desc *b) {
    return a->type == b->type && a->I == b->I &&
           (a->type != AR_QT_GROUP ||
            (a->scheme.bits == b->scheme.bits && a->scheme.group == b->scheme.group &&
             a->scheme.zero == b->scheme.zero));
}

static ar_status upload_biases(ar__group *group, const ar_block *b, ar_device *device) {
    bool any = false;
    ar_status status;
    for (int32_t n = 0; n < group->count; n++) any = any || b->linears[group->i[n]].has_bias;
    if (!any) return AR_OK;
    int64_t columns = group->first[group->count];
    float *bias = ar__alloc((size_t)columns, sizeof *bias); /* zeros where a part has none */
    if (!bias) return AR_ERR_MEMORY;
    for (int32_t n = 0; n < group->count; n++)
        if (b->linears[group->i[n]].has_bias) AR_GO(b->read_bias(b, bias + group->first[n], group->i[n]));
    AR_GO(ar_tensor_create(&group->bias, device, AR_F32, 1, &columns));
    AR_GO(ar_tensor_write(group->bias, bias, 0, columns));
done:
    free(bias);
    return status;
}

/* Splits group number n into one for each of its parts. */
static void split_group(ar_resident *r, int32_t n) {
    ar__group whole = r->groups[n];
    memmove(&r->groups[n + whole.count], &r->groups[n + 1],
            (size_t)(r->group_count - n - 1) * sizeof *r->groups);
    for (int32_t k = 0; k < whole.count; k++)
        r->groups[n + k] =
            (ar__group){.count = 1, .i = {whole.i[k]}, .first = {0, r->block->linears[whole.i[k]].O}};
    r->group_count += whole.count - 1;
}

/* *split = its parts are stored in different ways, so that they cannot be one weight. */
static ar_status upload_group(ar__group *group, const ar_block *b, ar_device *device, bool *split) {
    ar_stored stored[AR__PARTS] = {0};
    ar_resident_weight_desc parts[AR__PARTS];
    ar_status status = AR_OK;
    *split = false;
    for (int32_t n = 0; n < group->count && !*split; n++) {
        AR_GO(b->describe_linear(b, &stored[n], group->i[n]));
        parts[n] = stored[n].desc;
        *split = !agree(&parts[0], &parts[n]);
    }
    if (*split) goto done;
    AR_GO(ar_resident_weight_create(&group->W, device, parts, group->count, group->is_gated));
    AR_GO(upload_biases(group, b, device));
done:
    for (int32_t n = 0; n < group->count; n++) ar_stored_deinit(&stored[n]);
    return status;
}

ar_status ar__resident_init(ar_resident *r, const ar_block *block, ar_device *device, bool single) {
    ar_status status;
    *r = (ar_resident){.block = block};
    AR_GO(find_groups(r, device, single));
    for (int32_t n = 0; n < r->group_count; n++) {
        bool split;
        AR_GO(upload_group(&r->groups[n], block, device, &split));
        if (!split) continue;
        split_group(r, n);
        n--;
    }
    AR_GO(ar_block_upload_norms(r->norms, r->norm_biases, block, device));
done:
    if (status != AR_OK) ar__resident_deinit(r);
    return status;
}

void ar__resident_deinit(ar_resident *r) {
    for (int32_t n = 0; n < r->group_count; n++) {
        ar_resident_weight_destroy(r->groups[n].W);
        ar_tensor_destroy(r->groups[n].bias);
    }
    for (int32_t j = 0; j < AR_MAX_NORMS; j++) {
        ar_tensor_destroy(r->norms[j]);
        ar_tensor_destroy(r->norm_biases[j]);
    }
    *r = (ar_resident){0};
}

uint64_t ar__resident_bytes(const ar_resident *r) {
    uint64_t bytes = 0;
    for (int32_t n = 0; n < r->group_count; n++) bytes += ar_resident_weight_bytes(r->groups[n].W);
    return bytes;
}

/* ---- the hook ---- */

static ar__lazy *find_lazy(ar__recorder *c, const ar_tensor *t) {
    for (int32_t n = 0; n < c->lazy_count; n++)
        if (c->lazies[n].t == t) return &c->lazies[n];
    return NULL;
}

static ar_status add_lazy(ar__recorder *c, ar_graph *g, ar_tensor **t, ar_tensor *source, int32_t norm,
                          int64_t first, int64_t columns) {
    if (c->lazy_count == (int32_t)(sizeof c->lazies / sizeof *c->lazies))
        return ar__fail(AR_ERR_UNSUPPORTED, "generation: a block of too many parts");
    AR_TRY(like(g, t, source, columns));
    c->lazies[c->lazy_count++] = (ar__lazy){*t, source, NULL, norm, first};
    return AR_OK;
}

/* *x as a tensor that is really written. */
static ar_status make(ar__recorder *c, ar_graph *g, ar_tensor **x) {
    ar__lazy *lazy = find_lazy(c, *x);
    if (!lazy) return AR_OK;
    int32_t j = lazy->norm;
    if (!lazy->made && j >= 0)
        AR_TRY(ar_norm_record(&c->r->block->norms[j], g, &lazy->made, lazy->source, c->r->norms[j],
                              c->r->norm_biases[j]));
    if (!lazy->made)
        AR_TRY(ar_op_slice(g, &lazy->made, lazy->source, lazy->first, ar_tensor_dim(lazy->t, 1)));
    *x = lazy->made;
    return AR_OK;
}

static ar_status hook_norm(void *ctx, ar_graph *g, ar_tensor **y, int32_t j, ar_tensor *x) {
    ar__recorder *c = ctx;
    const ar_norm *norm = &c->r->block->norms[j];
    AR_TRY(make(c, g, &x));
    if (norm->kind == AR_NORM_RMS && !norm->has_bias && norm->I == ar_tensor_dim(x, 1))
        return add_lazy(c, g, y, x, j, 0, norm->I);
    return ar_norm_record(norm, g, y, x, c->r->norms[j], c->r->norm_biases[j]);
}

/* y = x times the group, with the norm of x, the bias and what fuse says already. */
static ar_status multiply(ar__recorder *c, ar_graph *g, ar_tensor **y, const ar__group *group, ar_tensor *x,
                          ar_resident_weight_fuse fuse) {
    ar__lazy *lazy = find_lazy(c, x);
    fuse.bias = group->bias;
    fuse.bytes = c->r->bytes;
    if (lazy && lazy->norm >= 0 && !lazy->made) {
        fuse.norm = c->r->norms[lazy->norm];
        fuse.norm_eps = c->r->block->norms[lazy->norm].eps;
        x = lazy->source;
    } else {
        AR_TRY(make(c, g, &x));
    }
    return ar_op_linear_resident(g, y, x, group->W, &fuse);
}

/* The group of linear i, and i's place in it. */
static const ar__group *find_group(const ar_resident *r, int32_t i, int32_t *place) {
    for (int32_t n = 0; n < r->group_count; n++)
        for (*place = 0; *place < r->groups[n].count; ++*place)
            if (r->groups[n].i[*place] == i) return &r->groups[n];
    return NULL;
}

static ar_status no_group(const ar__recorder *c, int32_t i) {
    return ar__fail(AR_ERR_UNSUPPORTED, "generation: block %d uses linear %d in two ways",
                    (int)c->r->block->index, (int)i);
}

static ar_status hook_linear(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x) {
    ar__recorder *c = ctx;
    int32_t place;
    const ar__group *group = find_group(c->r, i, &place);
    if (!group || group->count != 1) return no_group(c, i);
    return multiply(c, g, y, group, x, (ar_resident_weight_fuse){0});
}

static ar_status hook_linears(void *ctx, ar_graph *g, ar_tensor **y, const int32_t *i, int32_t count,
                              ar_tensor *x) {
    ar__recorder *c = ctx;
    int32_t place;
    const ar__group *group = find_group(c->r, i[0], &place);
    if (!group) return no_group(c, i[0]);
    if (group->count == 1) {
        AR_TRY(make(c, g, &x)); /* normed once for all of them */
        for (int32_t n = 0; n < count; n++) AR_TRY(hook_linear(c, g, &y[n], i[n], x));
        return AR_OK;
    }
    ar_tensor *whole = NULL;
    if (group->is_gated || group->count != count || memcmp(group->i, i, (size_t)count * sizeof *i) != 0)
        return no_group(c, i[0]);
    AR_TRY(multiply(c, g, &whole, group, x, (ar_resident_weight_fuse){0}));
    for (int32_t n = 0; n < count; n++)
        AR_TRY(add_lazy(c, g, &y[n], whole, -1, group->first[n], group->first[n + 1] - group->first[n]));
    return AR_OK;
}

static ar_status hook_gated(void *ctx, ar_graph *g, ar_tensor **y, int32_t gate, int32_t up, ar_act act,
                            ar_tensor *x) {
    ar__recorder *c = ctx;
    int32_t place, parts[2] = {gate, up};
    const ar__group *group = find_group(c->r, gate, &place);
    ar_tensor *both[2] = {NULL, NULL};
    if (group && group->is_gated && act == AR_ACT_SILU)
        return multiply(c, g, y, group, x, (ar_resident_weight_fuse){.silu_gated = true});
    AR_TRY(hook_linears(c, g, both, parts, 2, x));
    for (int32_t n = 0; n < 2; n++) AR_TRY(make(c, g, &both[n]));
    return ar_op_gated(g, y, both[0], both[1], act);
}

static ar_status hook_linear_add(void *ctx, ar_graph *g, ar_tensor **y, int32_t i, ar_tensor *x,
                                 ar_tensor *residual) {
    ar__recorder *c = ctx;
    int32_t place;
    const ar__group *group = find_group(c->r, i, &place);
    if (!group || group->count != 1) return no_group(c, i);
    AR_TRY(make(c, g, &residual));
    return multiply(c, g, y, group, x, (ar_resident_weight_fuse){.residual = residual});
}

static ar_status hook_add(void *ctx, ar_graph *g, ar_tensor **y, ar_tensor *a, ar_tensor *b) {
    AR_TRY(make(ctx, g, &a));
    AR_TRY(make(ctx, g, &b));
    return ar_op_add(g, y, a, b);
}

/* The columns that t stands for. */
static ar_status columns_of(ar__recorder *c, ar_graph *g, ar_columns *columns, ar_tensor *t) {
    const ar__lazy *lazy = find_lazy(c, t);
    int64_t count = ar_tensor_dim(t, 1);
    if (lazy && lazy->norm < 0 && !lazy->made) {
        *columns = (ar_columns){lazy->source, lazy->first, count};
        return AR_OK;
    }
    AR_TRY(make(c, g, &t));
    *columns = (ar_columns){t, 0, count};
    return AR_OK;
}

static ar_status hook_attention(void *ctx, ar_graph *g, ar_tensor **y, ar_tensor *q, ar_tensor *k,
                                ar_tensor *v, const ar_attention *a) {
    ar__recorder *c = ctx;
    ar_columns columns[3];
    AR_TRY(columns_of(c, g, &columns[0], q));
    AR_TRY(columns_of(c, g, &columns[1], k));
    AR_TRY(columns_of(c, g, &columns[2], v));
    return c->attend(c->attend_ctx, g, y, &columns[0], &columns[1], &columns[2], a);
}

void ar__recorder_init(ar__recorder *c, const ar_resident *r, ar__attend_fn attend, void *attend_ctx) {
    *c = (ar__recorder){.r = r, .attend = attend, .attend_ctx = attend_ctx};
    c->hook = (ar_hook){.linear = hook_linear,
                        .norm = hook_norm,
                        .add = hook_add,
                        .linears = hook_linears,
                        .gated = hook_gated,
                        .linear_add = hook_linear_add,
                        .attention = hook_attention,
                        .ctx = c};
}

ar_status ar__recorder_finish(ar__recorder *c, ar_graph *g, ar_tensor **y) { return make(c, g, y); }
