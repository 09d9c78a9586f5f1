/* bench --first: cold and warm starts, each in a process of its own, since drivers keep kernels in their
 * process too. They begin with empty caches of ours and of the drivers whose folders a variable names. */
#include "first.h"
#include "open.h"
#include "ar_files.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROMPT 8 /* tokens before the first one */

typedef enum start_id { TOKEN, STEP, STARTS } start_id;

static const char *const start_names[] = {"token", "step"};

typedef struct start {
    const ar_bench_first_options *o;
    const ar_common *common;
    start_id id;
    ar_bench_clock began, took;
} start;

/* What a child tells. */
typedef struct told {
    ar_bench_clock took;
    ar_status status;
    char error[600];
} told;

/* ---- in the child ---- */

static ar_status first_token(start *s) {
    ar_open_model *m = NULL;
    ar_device *device = NULL;
    ar_session *session = NULL;
    float *logits = NULL;
    int32_t ids[PROMPT];
    ar_status status;
    AR_GO(ar_bench_open(&m, s->o->model));
    int32_t count = m->model.max_tokens < PROMPT ? m->model.max_tokens : PROMPT;
    for (int32_t i = 0; i < count; i++)
        ids[i] = (int32_t)(ar_random_unit(7, 1, (uint64_t)i) * (double)m->model.vocab);
    AR_GO(ar_program_device(&device, s->common, false));
    AR_GO(ar_session_create(&session, m, device, m->model.max_tokens < 512 ? m->model.max_tokens : 512));
    logits = ar__alloc((size_t)m->model.vocab, sizeof *logits);
    AR_GO(logits ? AR_OK : AR_ERR_MEMORY);
    AR_GO(ar_session_logits(session, logits, ids, count));
    s->took = ar_bench_since(s->began);
done:
    ar_session_destroy(session);
    ar_device_close(device);
    ar_bench_close(m);
    free(logits);
    return status;
}

static bool end_of_step(void *ctx) {
    start *s = ctx;
    s->took = ar_bench_since(s->began);
    return false;
}

static ar_status first_step(start *s) {
    ar_open_model *m = NULL;
    ar_device *device = NULL;
    ar_bench_step_desc desc = s->o->step;
    ar_bench_clock none;
    ar_status status;
    desc.steps = 1;
    AR_GO(ar_bench_open(&m, s->o->model));
    AR_GO(ar_program_device(&device, s->common, false));
    status = ar_bench_steps(&none, m, device, &desc, end_of_step, s);
    if (s->took.wall > 0) status = AR_OK; /* stopped there */
done:
    ar_device_close(device);
    ar_bench_close(m);
    return status;
}

static _Noreturn void child(start *s, const char *folder, int out) {
    static const char *const variables[] = {"XDG_CACHE_HOME", "POCL_CACHE_DIR", "MESA_SHADER_CACHE_DIR",
                                            "__GL_SHADER_DISK_CACHE_PATH", "CUDA_CACHE_PATH"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) setenv(variables[i], folder, 1);
    s->began = ar_bench_now();
    ar_status status = s->id == TOKEN ? first_token(s) : first_step(s);
    told t = {.took = s->took, .status = status};
    if (status != AR_OK) snprintf(t.error, sizeof t.error, "%s", ar_error());
    ssize_t written = write(out, &t, sizeof t);
    _exit(written == (ssize_t)sizeof t ? 0 : 1);
}

/* ---- around it ---- */

/* What the child tells, or nothing where it ends without a word; Ctrl-C ends it at once, compiling or not. */
static ssize_t listen(told *t, int end, pid_t pid) {
    struct pollfd one = {.fd = end, .events = POLLIN};
    while (poll(&one, 1, 100) <= 0)
        if (ar_program_interrupted()) {
            kill(pid, SIGKILL);
            return 0;
        }
    return read(end, t, sizeof *t);
}

static ar_status run_child(start *s, const char *folder) {
    int ends[2], state = 0;
    told t;
    fflush(stdout);
    if (pipe(ends) != 0) return ar__fail(AR_ERR_IO, "bench: no pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) child(s, folder, ends[1]);
    close(ends[1]);
    ssize_t got = pid > 0 ? listen(&t, ends[0], pid) : 0;
    close(ends[0]);
    if (pid < 0) return ar__fail(AR_ERR_IO, "bench: no process: %s", strerror(errno));
    while (waitpid(pid, &state, 0) < 0 && errno == EINTR) continue;
    if (ar_program_interrupted()) return ar__fail(AR_ERR_INTERRUPTED, "bench: interrupted");
    if (got != (ssize_t)sizeof t)
        return ar__fail(AR_ERR_CHECK, "bench: the process of the first %s ended before it",
                        start_names[s->id]);
    s->took = t.took;
    return t.status == AR_OK ? AR_OK : ar__fail(t.status, "%s", t.error);
}

/* Cold, then warm. */
static ar_status run_twice(ar_bench_clock took[2], start *s) {
    const char *parent = getenv("TMPDIR");
    char folder[512];
    snprintf(folder, sizeof folder, "%s/anyround-first-XXXXXX", parent && *parent ? parent : "/tmp");
    if (!mkdtemp(folder)) return ar__fail(AR_ERR_IO, "%s: cannot make it: %s", folder, strerror(errno));
    ar_status status = AR_OK;
    for (int32_t i = 0; status == AR_OK && i < 2; i++) {
        s->took = (ar_bench_clock){0};
        status = run_child(s, folder);
        took[i] = s->took;
    }
    ar_status removed = ar_dir_remove(folder);
    return status == AR_OK ? removed : status;
}

static ar_status print_json(const start *s, ar_bench_clock took[STARTS][2], bool with_step) {
    cJSON *j = cJSON_CreateObject();
    ar_json_add_number(j, "format_version", 1);
    ar_json_add_string(j, "model", s->o->model);
    ar_json_add_string(j, "device", s->common->device);
    for (start_id id = TOKEN; id < (with_step ? STARTS : STEP); id++) {
        cJSON *one = ar_json_add_object(j, id == TOKEN ? "first_token" : "first_step");
        ar_json_add_number(one, "cold_s", took[id][0].wall);
        ar_json_add_number(one, "cold_cpu_s", took[id][0].cpu);
        ar_json_add_number(one, "warm_s", took[id][1].wall);
        ar_json_add_number(one, "warm_cpu_s", took[id][1].cpu);
    }
    ar_status status = ar_program_json(j, true);
    cJSON_Delete(j);
    return status;
}

ar_status ar_bench_first(const ar_bench_first_options *o, const ar_common *common) {
    ar_bench_clock took[STARTS][2] = {0};
    start s = {.o = o, .common = common};
    bool with_step = o->step.seq > 0;
    for (s.id = TOKEN; s.id < (with_step ? STARTS : STEP); s.id++) AR_TRY(run_twice(took[s.id], &s));
    if (common->json) return print_json(&s, took, with_step);
    printf("%s on %s, wall clock (processors)\n", o->model, common->device);
    for (start_id id = TOKEN; id < (with_step ? STARTS : STEP); id++)
        printf("first %-5s  cold %7.3f s (%.3f), warm %7.3f s (%.3f)\n", start_names[id], took[id][0].wall,
               took[id][0].cpu, took[id][1].wall, took[id][1].cpu);
    return AR_OK;
}
