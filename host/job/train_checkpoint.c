/* Checkpoints of a training run; see train.h. A safetensors file, whose last tensor is a checksum of what it
 * says and of all values. */
#include "train.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUM   "checksum"
#define START UINT64_C(0xcbf29ce484222325)

/* What is said, in one line. */
static void say(char text[160], const ar_train_mark *m) {
    snprintf(text, 160, "step %d first %.17g best %.17g", (int)m->step, m->first, m->best);
}

static uint64_t sum_of(const char *run, const char *said) {
    return ar_hash64(ar_hash64(START, run, strlen(run)), said, strlen(said));
}

/* One tensor's share of the checksum: added up, whatever order they come in. */
static uint64_t share_of(const char *name, const void *data, size_t bytes) {
    return ar_hash64(ar_hash64(START, name, strlen(name)), data, bytes);
}

/* ---- writing ---- */

static ar_status declare_all(ar_st_writer *w, const ar_trainer *t) {
    char name[AR_PARAM_NAME + 8];
    ar_tensor *x;
    const int64_t one = 1;
    for (int32_t i = 0; (x = ar_trainer_state(name, t, i)) != NULL; i++) {
        int64_t count = ar_tensor_count(x);
        AR_TRY(ar_st_writer_declare(w, name, "F32", 1, &count));
    }
    return ar_st_writer_declare(w, SUM, "I64", 1, &one);
}

static ar_status write_all(ar_st_writer *w, const ar_trainer *t, uint64_t sum) {
    char name[AR_PARAM_NAME + 8];
    ar_tensor *x;
    for (int32_t i = 0; (x = ar_trainer_state(name, t, i)) != NULL; i++) {
        int64_t count = ar_tensor_count(x);
        float *values = ar__alloc((size_t)count, sizeof *values);
        if (!values) return AR_ERR_MEMORY;
        ar_status status = ar_tensor_read(x, values, 0, count);
        for (int64_t k = 0; status == AR_OK && k < count; k++)
            if (!isfinite(values[k]))
                status = ar__fail(AR_ERR_CHECK, "%s: element %lld became %g, expected a finite number", name,
                                  (long long)k, (double)values[k]);
        sum += share_of(name, values, (size_t)count * sizeof *values);
        if (status == AR_OK) status = ar_st_writer_data(w, values, (size_t)count * sizeof *values);
        free(values);
        AR_TRY(status);
    }
    return ar_st_writer_data(w, &sum, sizeof sum);
}

ar_status ar__checkpoint_write(const char *path, const ar_trainer *t, const char *run,
                               const ar_train_mark *mark) {
    ar_status status;
    ar_st_writer *w = NULL;
    char said[160];
    say(said, mark);
    AR_GO(ar_st_writer_create(&w));
    AR_GO(ar_st_writer_metadata(w, "run", run));
    AR_GO(ar_st_writer_metadata(w, "state", said));
    AR_GO(declare_all(w, t));
    AR_GO(ar_st_writer_begin(w, path));
    AR_GO(write_all(w, t, sum_of(run, said)));
    AR_GO(ar_st_writer_finish(&w));
done:
    ar_st_writer_abort(&w);
    return status;
}

/* ---- reading ---- */

/* The first line in which the two differ. */
static ar_status differ(const char *path, const char *found, const char *expected) {
    for (;;) {
        size_t f = strcspn(found, "\n"), e = strcspn(expected, "\n");
        if (f != e || strncmp(found, expected, f) != 0 || !found[f])
            return ar__fail(AR_ERR_USAGE, "%s: found \"%.*s\", expected \"%.*s\" to go on", path, (int)f,
                            found, (int)e, expected);
        found += f + 1;
        expected += e + 1;
    }
}

static ar_status damaged(const char *path) {
    return ar__fail(AR_ERR_CHECK, "%s: is damaged, expected what was written", path);
}

static ar_status check_sum(const ar_safetensors *st, const char *path, const char *run, const char *said) {
    const ar_st_tensor *end = ar_safetensors_find(st, SUM);
    uint64_t sum = sum_of(run, said), found;
    if (!end || end->bytes != sizeof found) return damaged(path);
    for (int64_t i = 0; i < ar_safetensors_count(st); i++) {
        const ar_st_tensor *x = ar_safetensors_at(st, i);
        if (x != end) sum += share_of(x->name, x->data, (size_t)x->bytes);
    }
    memcpy(&found, end->data, sizeof found);
    return sum == found ? AR_OK : damaged(path);
}

static ar_status load_all(const ar_safetensors *st, const char *path, ar_trainer *t) {
    char name[AR_PARAM_NAME + 8];
    ar_tensor *x;
    for (int32_t i = 0; (x = ar_trainer_state(name, t, i)) != NULL; i++) {
        const ar_st_tensor *from = ar_safetensors_find(st, name);
        if (!from || from->bytes != (uint64_t)ar_tensor_count(x) * 4) return damaged(path);
        AR_TRY(ar_tensor_write(x, from->data, 0, ar_tensor_count(x)));
    }
    return AR_OK;
}

ar_status ar__checkpoint_read(bool *found, const char *path, ar_trainer *t, const char *run,
                              ar_train_mark *mark) {
    ar_safetensors *st = NULL;
    ar_status status;
    int step = 0;
    *found = false;
    if (!ar_path_exists(path)) return AR_OK;
    status = ar_safetensors_open(&st, path);
    if (status != AR_OK) return status == AR_ERR_FORMAT ? damaged(path) : status;
    const char *was = ar_safetensors_metadata(st, "run"), *said = ar_safetensors_metadata(st, "state");
    if (!was || !said) AR_GO(damaged(path));
    AR_GO(check_sum(st, path, was, said));
    if (strcmp(was, run) != 0) AR_GO(differ(path, was, run));
    if (sscanf(said, "step %d first %lf best %lf", &step, &mark->first, &mark->best) != 3)
        AR_GO(damaged(path));
    mark->step = step;
    AR_GO(load_all(st, path, t));
    AR_GO(ar_trainer_resume(t, step));
    *found = true;
done:
    ar_safetensors_close(st);
    return status;
}
